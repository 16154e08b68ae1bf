"""Similar code in a class: `autograder similar MODULE`. A reason to look, and never a proof.

The definitions of functions and classes that students wrote are compared by copydetect, in MOSS's way: passages of code in
which every name is one letter, without comments and blanks. What tells nothing is left out, by four rules: `RULES`.
No student code runs. A notebook is taken as grading has read it, behind the walls; here its text is cut into words alone,
as formgrader does to colour it.
"""

import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.classes.handed_in import untouched
from autograder.classes.submissions import Submission
from autograder.course.course import Module
from autograder.errors import CourseError, NoClaim, NotHere, NotKept, Unreadable
from autograder.grading.contents import Contents
from autograder.grading.grader import PUBLIC, Grader
from autograder.grading.judge import clean
from autograder.grading.report import template
from autograder.sandboxed.notebook import Code, squeezed_hash
from autograder.training.claim_file import CLAIM, read_claim

if TYPE_CHECKING:
    from markupsafe import Markup

PASSAGE = 25  # letters of code: the shortest passage that is compared
OWN = 100  # letters of code that must be left of a definition, or it tells nothing
ALIKE = 0.8  # of what is left of each of two definitions, from which on they are alike
COMMON = 0.1, 5, 20  # of the class: a passage that more share is everyone's; the least and the most that this can be
MAX_LETTERS = 20_000  # of a definition: no exercise asks for one so long
SHOWN = 200  # groups on the page: nobody looks at more, and it stays small
RULES = (
    "what was released: the stubs, and the notebook's own cells",
    "passages of the reference and of the catalogue's alternatives, which any right answer may hold",
    f"passages that more than a tenth of the class share: in a small class more than {COMMON[1]} students, in any more than "
    f"{COMMON[2]}",
    f"definitions of which fewer than {OWN} letters of code are then left (a name counts as one letter, a comment as none)",
)
MISSING = "similar code is looked for by the package copydetect, which is not installed: pip install 'copydetect>=0.5'"
_DEFINITION = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Definition:
    """A function or class as a student wrote it."""

    student: str
    name: str
    text: str


@dataclass(frozen=True)
class Pair:
    """Two definitions side by side, what is alike marked in each; `how` says in which way they are alike."""

    one: Definition
    other: Definition
    how: str
    left: "Markup"
    right: "Markup"


@dataclass(frozen=True)
class Alike:
    """Definitions of several students that are alike, each with the one of the others that it is most like."""

    names: list[str]
    students: list[str]
    pairs: list[Pair]


@dataclass
class Found:
    """What there is to look at.

    Args:
        identical: students whose notebooks are the same, byte for byte, and not as released.
        claims: two students whose claims of a training run are not independent, and in which way.
        groups: of definitions that are alike, the largest first.
        passed_over: whose notebook or claim was not compared, and why.
        compared, telling: how many notebooks there were, and how many definitions in them were not left out by a rule.
        left_out: how many were.
    """

    identical: list[list[str]] = field(default_factory=list)
    claims: list[tuple[str, str, str]] = field(default_factory=list)
    groups: list[Alike] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    compared: int = 0
    telling: int = 0
    left_out: int = 0


def similar(module: Module, submissions: list[Submission]) -> Found:
    """What is alike among `submissions`, of which grading has read the notebooks.

    Raises:
        CourseError: none of them was read yet.
        NotHere: copydetect is not installed.
    """
    try:
        import copydetect  # noqa: F401
    except ImportError:
        raise NotHere(MISSING) from None
    found, codes, files = Found(), dict[str, Code](), defaultdict[str, list[str]](list)
    grader = Grader(module, seed=0, workers=0)
    unread = f"read yet: autograder grade {module.name}"
    for submission in submissions:
        try:
            if submission.problem:
                raise Unreadable(submission.problem)
            data = submission.read()
            codes[submission.student] = grader.observers[PUBLIC].read(data)
            if not untouched(module, data):
                files[hashlib.sha256(data).hexdigest()].append(submission.student)
        except NotKept:
            found.passed_over[submission.student] = f"was not {unread}"
        except (Unreadable, OSError) as error:
            found.passed_over[submission.student] = str(error)
    if not codes and f"was not {unread}" in found.passed_over.values():
        raise CourseError(f"no hand-in of this class was {unread}")
    found.compared = len(codes)
    found.identical = [students for students in files.values() if len(students) > 1]
    found.claims = _claims(submissions, found)
    _compare(grader.contents, codes, found)
    return found


def _claims(submissions: list[Submission], found: Found) -> list[tuple[str, str, str]]:
    """Pairs of claims that lie beside the notebooks and are not independent of each other."""
    claims = [(each.student, path) for each in submissions if (path := each.folder / CLAIM).exists()]
    if len(claims) < 2:
        return []
    from autograder.training.claims import print_of, same_weights  # with torch, which nothing else here needs

    prints = {}
    for student, path in claims:
        try:
            prints[student] = print_of(read_claim(path))
        except NoClaim as error:
            found.passed_over[f"{student}'s claim"] = str(error)
    return same_weights(prints)


# --- comparing --------------------------------------------------------------------------------------------------------


def _compare(contents: Contents, codes: dict[str, Code], found: Found) -> None:
    """Fills in the groups of `found`."""
    written: dict[str, list[Definition]] = defaultdict(list)  # by their text: a class writes many a function alike
    for student, code in codes.items():
        for definition in _definitions(student, code, contents):
            written[definition.text].append(definition)
    long = {text for text in written if len(text) > MAX_LETTERS}
    for text in long:
        for each in written.pop(text):
            found.passed_over[f"{each.student}'s {each.name}"] = f"has more than {MAX_LETTERS:,} letters"
    prints = {text: _print(text) for text in written}
    anybodys = {mark for text in _expected(contents) for mark in _print(text).hashes}
    anybodys |= _everyones(prints, written, len(codes))
    for text, marks in prints.items():
        _leave_out(marks, anybodys)
        telling = marks.token_coverage >= OWN
        found.telling += len(written[text]) * telling
        found.left_out += len(written[text]) * (not telling)
    groups = _groups({text: marks for text, marks in prints.items() if marks.token_coverage >= OWN}, written)
    found.groups = sorted(groups, key=lambda group: (-len(group.students), group.students, group.names))


def _definitions(student: str, code: Code, contents: Contents) -> Iterator[Definition]:
    """What a student defines that the graded functions need, without what was released."""
    for _, _, text in code.pieces:
        named = _DEFINITION.search(text) if text.startswith(("def ", "class ", "async ", "@")) else None
        if named and named[1] not in code.stubs and not contents.released.says(text):
            yield Definition(student, named[1], clean(text.expandtabs(4), MAX_LETTERS + 1))


def _expected(contents: Contents) -> list[str]:
    """Code that any hand-in may hold."""
    cells = [text for cell in contents.cells if cell.kind == "code" for text in (cell.stub, cell.solution)]
    return cells + [entry.text for entry in contents.alternatives]


def _print(text: str) -> Any:
    """The passages of a text, all of them: with a window of one none is left to chance."""
    from copydetect import CodeFingerprint

    return CodeFingerprint("a.py", PASSAGE, 1, language="python", fp=io.StringIO(text))


def _everyones(prints: dict[str, Any], written: dict[str, list[Definition]], students: int) -> set[int]:
    """The passages that so many of the class share that they tell nothing."""
    share, least, most = COMMON
    holders: dict[str, set[int]] = defaultdict(set)
    for text, marks in prints.items():
        for definition in written[text]:
            holders[definition.student] |= marks.hashes
    times = Counter(mark for marks in holders.values() for mark in marks)
    limit = min(most, max(least, int(share * students)))
    return {mark for mark, many in times.items() if many > limit}


def _leave_out(marks: Any, passages: set[int]) -> None:
    """Takes passages out of a print; copydetect's own way of doing so expects that none stands in a text twice."""
    from copydetect.utils import get_token_coverage

    marks.hashes -= passages
    marks.hash_idx = {mark: places for mark, places in marks.hash_idx.items() if mark in marks.hashes}
    marks.token_coverage = get_token_coverage(marks.hash_idx, marks.k, len(marks.filtered_code))


# --- groups -----------------------------------------------------------------------------------------------------------


def _groups(prints: dict[str, Any], written: dict[str, list[Definition]]) -> list[Alike]:
    """The students of whom definitions are alike, each group held together by its most alike pairs."""
    above: dict[Definition, Definition] = {}

    def top(one: Definition) -> Definition:
        while one in above:
            one = above[one]
        return one

    links = []
    for one, other in _alike(prints, written):
        if (mine := top(one)) != (theirs := top(other)):
            above[theirs] = mine
            links.append((one, other))
    families: dict[Definition, list[tuple[Definition, Definition]]] = defaultdict(list)
    for one, other in links:
        families[top(one)].append((one, other))
    by_students: dict[frozenset[str], list[tuple[Definition, Definition]]] = defaultdict(list)
    for pairs in families.values():
        by_students[frozenset(each.student for pair in pairs for each in pair)] += pairs
    return [_group(sorted(students), pairs, prints) for students, pairs in by_students.items()]


def _group(students: list[str], pairs: list[tuple[Definition, Definition]], prints: dict[str, Any]) -> Alike:
    names = sorted({each.name for pair in pairs for each in pair})
    return Alike(names, students, [_pair(one, other, prints) for one, other in pairs])


def _alike(prints: dict[str, Any], written: dict[str, list[Definition]]) -> Iterator[tuple[Definition, Definition]]:
    """Definitions of two students that are alike, the most alike first. Only texts that share a passage are compared."""
    for text in prints:
        yield from pairwise({definition.student: definition for definition in written[text]}.values())
    holders: dict[int, list[str]] = defaultdict(list)
    for text, marks in prints.items():
        for mark in marks.hashes:
            holders[mark].append(text)
    shared = Counter(pair for texts in holders.values() for pair in combinations(texts, 2))
    found = []
    for (one, other), many in shared.items():
        most = max(len(prints[one].hashes), len(prints[other].hashes))
        if many >= most / 2 and (share := _share(prints[one], prints[other])) >= ALIKE:
            found.append((share, one, other))
    for _, one, other in sorted(found, key=lambda pair: -pair[0]):
        pairs = ((a, b) for a in written[one] for b in written[other] if a.student != b.student)
        yield from islice(pairs, 1)


def _share(one: Any, other: Any) -> float:
    """How much of what is left of each is alike, of the one of which it is less."""
    from copydetect import compare_files

    return float(min(compare_files(one, other)[1]))


def _pair(one: Definition, other: Definition, prints: dict[str, Any]) -> Pair:
    from copydetect import compare_files

    mine, theirs = prints[one.text], prints[other.text]
    _, shares, (left, right) = compare_files(mine, theirs)
    if squeezed_hash(one.text) == squeezed_hash(other.text):
        how = "the same to the letter"
    elif mine.filtered_code == theirs.filtered_code:
        how = "the same but for names, comments and texts"
    else:
        how = f"{min(1.0, *shares):.0%} of what is their own is alike"
    return Pair(one, other, how, _marked(one.text, left), _marked(other.text, right))


def _marked(text: str, slices: Any) -> "Markup":
    """A text for a page, with what is alike marked."""
    from markupsafe import Markup, escape

    parts, end = list[str](), 0
    for start, stop in sorted((int(start), int(stop)) for start, stop in zip(*slices, strict=True)):
        start, stop = max(start, end), min(stop, len(text))
        if start < stop:
            parts += [escape(text[end:start]), Markup("<mark>{}</mark>").format(text[start:stop])]
            end = stop
    return Markup("").join([*parts, escape(text[end:])])


# --- what is shown ----------------------------------------------------------------------------------------------------


def words(found: Found) -> list[str]:
    """What was found, line by line, for a terminal: what is the same to the last byte first."""
    lines = [f"the same notebook, byte for byte: {_names(students)}" for students in found.identical]
    lines += [f"claims: {clean(one)}'s and {clean(other)}'s {how}" for one, other, how in found.claims]
    lines += [f"{_names(group.names)}: {_names(group.students)}: {group.pairs[0].how}" for group in found.groups]
    lines += [f"passed over: {clean(who)}: {clean(why)}" for who, why in found.passed_over.items()]
    total = found.telling + found.left_out
    left = f"{found.left_out} of {total} definitions left out: short, or as anybody writes them"
    lines.append(f"{found.compared} hand-ins; {left}")
    return lines


def _names(names: Iterable[str]) -> str:
    return clean(", ".join(names))


def page(module: Module, found: Found) -> str:
    """A page that stands by itself, for whoever decides whom to ask."""
    made = template("similar.html", Path(__file__).parent / "templates")
    return made.render(module=module.name, found=found, rules=RULES, alike=ALIKE, shown=SHOWN)
