"""Regrade requests: a file for each in `regrade_requests/<module>/`, and a log of what was decided.

    # regrade_requests/week08_densenet/ada-1.toml
    student = "ada"
    about = "Counts every parameter once."     # a check's title or name, a function, an exercise, a question or plot
    why = "Two runs of mine gave 7,978,856."

What was decided stands in `decisions.jsonl` beside them, a line each time, and the last one for a file counts; a request
itself is never changed. Points are given where they are always given: by a mended check, or by a TA in the gradebook.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.classes.grade import read_result, result_files
from autograder.course.course import Module, nearest
from autograder.course.source import by_hand, called, grade_id
from autograder.errors import CourseError
from autograder.files import start_of, write_whole
from autograder.grading.judge import clean
from autograder.grading.report import Decided, number

if TYPE_CHECKING:
    from autograder.gradebook.gradebook import ClassBook

FOLDER, LOG = "regrade_requests", "decisions.jsonl"
OUTCOMES = ("accepted", "declined")
MAX_BYTES = 100_000


@dataclass(frozen=True)
class Request:
    """What a student asks, and about what."""

    file: Path
    student: str
    about: str
    why: str


@dataclass(frozen=True)
class Entry:
    """A line of the log: what was decided of which request, and the points as they were then."""

    request: str
    student: str
    about: str
    asked: str
    outcome: str
    why: str
    points: str
    decided: str


def folder_of(module: Module) -> Path:
    """Where a module's requests and their log are."""
    return module.root / FOLDER / module.name


def read_request(file: Path) -> Request:
    """One request.

    Raises:
        CourseError: it cannot be read, or is no request; names the line or key and the mend.
    """
    try:
        text = start_of(file, MAX_BYTES + 1)
        kept = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise CourseError(f"{file}: {error.strerror}: name a file of {file.parent}") from None
    except ValueError as error:
        raise CourseError(f"{file} is no request ({error}): mend that line") from None
    wanted = [field.name for field in fields(Request)][1:]
    for key in [*wanted, *kept]:
        value = kept.get(key)
        if key not in wanted:
            raise CourseError(f"{file}: {key} is unknown: a request has {', '.join(wanted)}, and no more")
        if not isinstance(value, str) or not value.strip():
            raise CourseError(f"{file}: {key} is missing: write {key} = \"…\"")
    if len(text) > MAX_BYTES:
        raise CourseError(f"{file} is larger than a request may be ({MAX_BYTES} bytes): shorten it")
    return Request(file, *(clean(kept[key].strip(), MAX_BYTES) for key in wanted))


def read_requests(module: Module) -> tuple[list[Request], list[str]]:
    """All requests of a module by file name, and a line for each file that is none."""
    found, problems = [], []
    for file in sorted(folder_of(module).glob("[!.]*.toml")):
        try:
            found.append(read_request(file))
        except CourseError as error:
            problems.append(str(error))
    return found, problems


def add_request(book: "ClassBook", student: str, about: str, why: str) -> Path:
    """Writes a request for a student who asked otherwise, by e-mail say; gives its file.

    Raises:
        CourseError: something is empty, or nothing of the student's is called so.
    """
    said = {"student": student, "about": about, "why": why}
    for key, text in said.items():
        if not clean(text).strip():
            raise CourseError(f"{key} is empty: a request says who, about what, and why")
    folder = folder_of(book.module)
    observed(book, Request(folder, student, about, why))
    taken = [path.name for path in folder.glob("*.toml")]
    file = next(name for n in range(1, len(taken) + 2) if (name := f"{student}-{n}.toml") not in taken)
    lines = [f"{key} = {json.dumps(clean(text, MAX_BYTES), ensure_ascii=False)}\n" for key, text in said.items()]
    write_whole(folder / file, "".join(lines))
    return folder / file


# --- what was decided -------------------------------------------------------------------------------------------------


def decisions(module: Module) -> dict[str, Entry]:
    """What was decided of each request, by its file's name.

    Raises:
        CourseError: the log is damaged; names the line.
    """
    return {entry.request: entry for entry in _log(module)}


def _log(module: Module) -> Iterator[Entry]:
    file = folder_of(module) / LOG
    for place, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], 1):
        try:
            yield Entry(**json.loads(line))
        except (ValueError, TypeError):
            raise CourseError(f"{file}, line {place} is no decision: mend it, or put your last copy in its place") from None


def decide(book: "ClassBook", name: str, outcome: str, why: str) -> Request:
    """Logs what was decided of the request in the file `name`, and tells the student on their page.

    An earlier decision stays in the log.

    Raises:
        CourseError: there is no such request, no such outcome, no reason, or nothing that the request is about.
    """
    if outcome not in OUTCOMES:
        raise CourseError(f"{outcome!r} is no decision: write {' or '.join(OUTCOMES)}")
    if not clean(why).strip():
        raise CourseError("--why is empty: the student reads it, so say why")
    request = find_request(book.module, name)
    seen = observed(book, request)
    decided, why = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", clean(why.strip(), MAX_BYTES)
    new = Entry(request.file.name, request.student, seen.title, request.why, outcome, why, seen.points, decided)
    lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in (*_log(book.module), new)]
    write_whole(folder_of(book.module) / LOG, "\n".join(lines) + "\n")
    book.write_page(request.student)
    return request


def find_request(module: Module, name: str) -> Request:
    """The request in the file of this name, or at this path.

    Raises:
        CourseError: there is none.
    """
    file = folder_of(module) / Path(name).name
    names = [path.name for path in folder_of(module).glob("[!.]*.toml")]
    if file.name not in names and f"{file.name}.toml" in names:
        file = file.with_name(f"{file.name}.toml")
    if file.name not in names:
        raise CourseError(f"{folder_of(module)} has no request {file.name!r}: {nearest(file.name, sorted(names))}")
    return read_request(file)


def told(module: Module, student: str) -> list[Decided]:
    """What a student's page says of their requests: those that are decided."""
    return [
        Decided(entry.about, entry.asked, entry.outcome, entry.why)
        for entry in decisions(module).values()
        if entry.student == student
    ]


# --- what it is about -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """What a request is about, as its student knows it, its points now, and what a TA should see of it."""

    title: str
    points: str
    lines: list[str]


def observed(book: "ClassBook", request: Request) -> Observed:
    """What was observed for the checks that a request is about, or given for its question or plot.

    Raises:
        CourseError: the student has no result, or nothing of it is called so.
    """
    results = result_files(book.module.grades)
    if request.student not in results:
        raise CourseError(f"{request.student} has no result: {nearest(request.student, sorted(results))}")
    checks = read_result(results[request.student])["checks"]
    wanted = request.about.strip().casefold()
    for key in ("check", "title", "function", "exercise"):
        if found := [check for check in checks if check[key].casefold() == wanted]:
            title = found[0]["title"] if key == "check" else found[0][key]  # students do not know a hidden check's name
            return Observed(title, _points(found), [line for check in found for line in _lines(check)])
    cells = by_hand(book.module.sources)
    if cell := called(cells, wanted):
        points, comment = book.holding(grade_id(cell)).given(request.student, grade_id(cell))
        return Observed(grade_id(cell), points, [f"{grade_id(cell)}: {points}", *_indented(comment)])
    names = [check[key] for key in ("title", "check", "function", "exercise") for check in checks]
    known = sorted({*names, *map(grade_id, cells)})
    raise CourseError(f"nothing of {request.student}'s is called {request.about!r}: {nearest(request.about, known)}")


def _lines(check: dict[str, Any]) -> list[str]:
    """For a TA: what hidden checks say too."""
    kind = "public" if check["public"] else "hidden"
    first = f"{check['check']} ({kind}): {check['state']}, {_points([check])}: {check['title']}"
    return [first, *_indented(check["message"]), *_indented(check["hint"])]


def _indented(text: str) -> list[str]:
    return [f"    {clean(line)}" for line in text.splitlines() if line.strip()]


def _points(checks: list[dict[str, Any]]) -> str:
    return " / ".join(number(sum(check[key] for check in checks)) for key in ("points", "maximum"))


def lines(book: "ClassBook") -> tuple[list[str], list[str]]:
    """All requests for a TA, open ones with what was observed; and what has to be looked at."""
    requests, problems = read_requests(book.module)
    decided, said = decisions(book.module), []
    for request in requests:
        known = decided.get(request.file.name)
        try:
            seen = observed(book, request)
        except CourseError as error:
            problems.append(f"{request.file}: {error}")
            continue
        if known:
            since = "" if seen.points == known.points else f", {known.points} then"
            said.append(f"{request.file.name}: {known.outcome} {known.decided}: {seen.title} ({seen.points}{since})")
        else:
            said += [f"{request.file.name}: open: {clean(request.student)} about {clean(request.about)}"]
            said += [*(f"  {line}" for line in _indented(request.why)), *(f"    {line}" for line in seen.lines)]
    problems += book.named_strangers({each.student for each in requests})
    return said, problems
