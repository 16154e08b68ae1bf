"""Collecting a class's files: `autograder collect MODULE [ARCHIVE…]`, and nbgrader's `zip_collect` by the same code.

Each person gets `submitted/<student>/<module>/<notebook>`, the newest attempt. Whatever it displaces, and all other
notebooks of that person, are kept in `downloaded/<module>/kept/<student>/`; nothing is deleted. What was taken from where
is written into `downloaded/<module>/collected.json`, so that a second download adds what is new, and a run that was
ended is finished by the next one; and how the platform called a person's newest file, by which it takes feedback back.
"""

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.classes.archives import Found, read_archive
from autograder.classes.handed_in import belongs, not_a_notebook, notebook_name, part_of, resembles, stem, untouched
from autograder.classes.platforms import Listed, Named, Roster, numbered, speakable, squashed, titled
from autograder.course.course import Module
from autograder.errors import CourseError
from autograder.files import start_of, write_whole
from autograder.grading.judge import clean

TIMESTAMP, LATENESS = "timestamp.txt", "lateness.txt"  # the platform's time; its mark where it gives no time
MARKS = {True: "late", False: "in time"}


@dataclass
class Row:
    """What became of one person's files. `problems` have to be looked at, `notes` are for information."""

    student: str
    taken: str = ""
    when: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Collected:
    """A row a person, what is nobody's, and who of the list handed in nothing."""

    rows: list[Row] = field(default_factory=list)
    nobodys: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def problems(self) -> bool:
        return bool(self.nobodys) or any(row.problems for row in self.rows)


@dataclass(frozen=True)
class _File:
    """One notebook of a person, and how it ranks among theirs: a later one is greater."""

    found: Found
    named: Named
    problem: str = ""  # it is no notebook
    worked: bool = True
    ours: bool = True
    notebook: str = ""  # which of the module's it is, where that has several; empty where it is none

    @property
    def place(self) -> str:
        return clean("/".join(filter(None, self.found.parts)))

    @property
    def age(self) -> tuple[int, float]:
        return self.named.upload, self.found.when.timestamp() if self.found.when else 0.0

    @property
    def rank(self) -> tuple[bool, bool, bool, int, float]:
        return not self.problem, self.ours, self.worked, *self.age


@dataclass
class _Person:
    named: Named
    files: list[_File] = field(default_factory=list)
    others: list[Found] = field(default_factory=list)


def collect(module: Module, sources: list[Path], listed: Iterable[Listed] = ()) -> Collected:
    """Puts the newest notebook of each person in `sources` into the course's `submitted/`.

    Args:
        sources: zips, folders or notebooks as a platform gave them.
        listed: the course's list of students; without it people are called as the platform calls them.

    Raises:
        CourseError: a source does not exist, or holds nothing at all; nothing is changed then.
    """
    for source in sources:
        if not source.exists():
            raise CourseError(f"{source} does not exist: name the zip or folder that the platform gave you")
    roster, done = Roster(listed), Collected()
    scratch_root = module.root / ".autograder"
    scratch_root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root, prefix="collecting-") as scratch:
        found = [(source, read_archive(source, Path(scratch))) for source in sources]
        if not any(files for _, files in found):
            raise CourseError(f"{', '.join(map(str, sources))}: there is nothing in it: download it again")
        people: dict[str, _Person] = {}
        for source, files in found:
            _sort_out(module, roster, source, files, people, done)
        with _Ledger(module) as ledger:
            names = _students(people, roster, ledger)
            together: dict[str, list[str]] = {}
            for key, (student, _) in names.items():
                together.setdefault(student, []).append(key)
            for student, keys in sorted(together.items()):
                row = Row(student, notes=list(filter(None, {names[key][1] for key in keys})))
                done.rows.append(row)
                try:
                    _place(module, _joined([people[key] for key in keys]), row, ledger)
                except OSError as error:
                    row.problems.append(f"could not be put in place ({error}): mend that and collect again")
    had = {path.parent.name for path in (module.root / "submitted").glob(f"*/{module.name}")}
    done.missing = sorted(set(roster.students) - {row.student for row in done.rows} - had)
    return done


# --- whose it is ------------------------------------------------------------------------------------------------------


def _sort_out(
    module: Module, roster: Roster, source: Path, files: list[Found], people: dict[str, _Person], done: Collected
) -> None:
    """Gives each file to its person, or says that it is nobody's."""
    wrappers = _wrappers(module, roster, files)
    for each in files:
        named = _whose(module, roster, each.parts, wrappers)
        where = clean("/".join(filter(None, each.parts)) or str(source))
        if named is None:
            if each.problem:
                done.nobodys.append(f"{where} {each.problem}")
            elif each.staged:
                done.nobodys.append(f"{where}: its name tells no student: put it into a folder called like the student")
            continue
        person = people.setdefault(named.key, _Person(named))
        if named.upload >= person.named.upload:
            person.named = named
        staged = each.staged
        if staged is None:
            person.others.append(each)
            continue
        if named.platform != "Moodle":
            each = replace(each, when=None)  # the time of a packing or a download, not of handing in
        data = staged.read_bytes()
        ours = (
            belongs(module, data)
            or resembles(module, named.file or each.parts[-1])
            or resembles(module, each.parts[-1])
        )
        part = part_of(module, named.file or each.parts[-1], data)
        which = part.notebook if ours and part.part else ""
        person.files.append(_File(each, named, not_a_notebook(data), not untouched(module, data), ours, which))


def _joined(people: list[_Person]) -> _Person:
    """One person, who came by a platform and in a folder of their name, say."""
    files = [file for person in people for file in person.files]
    return _Person(people[0].named, files, [other for person in people for other in person.others])


def _wrappers(module: Module, roster: Roster, files: list[Found]) -> set[tuple[str, ...]]:
    """Folders around the students' folders: a zip of a class often has one."""
    inner = [each.parts[1:] for each in files if len(each.parts) > 1]
    around: set[tuple[str, ...]] = set()
    perhaps: list[tuple[str, ...]] = []  # alone in what is around it, as a student's own folder may be too
    prefix: tuple[str, ...] = ()
    while True:
        here = [parts[len(prefix) :] for parts in inner if parts[: len(prefix)] == prefix]
        first = {parts[0] for parts in here if len(parts) > 1}
        below = {parts[1] for parts in here if len(parts) > 2}
        if len(first) != 1 or not below or any(len(parts) == 1 and notebook_name(parts[0]) for parts in here):
            return around
        (name,) = first
        if roster.knows(_bare(name)):
            return around
        prefix = (*prefix, name)
        perhaps.append(prefix)
        if any(roster.knows(_bare(one)) for one in below) or (not roster and len(below) > 1):
            around.update(perhaps)


def _whose(module: Module, roster: Roster, parts: tuple[str, ...], wrappers: set[tuple[str, ...]]) -> Named | None:
    """Whom a file belongs to: by the outermost name in a platform's form, else by the folder, else by its own name."""
    for part in parts:
        if named := numbered(part):
            return named
    for part in reversed(parts):
        if (named := titled(part)) and (resembles(module, named.file) or roster.knows(named.name)):
            return named
    for depth in range(1, len(parts) - 1):
        name = _bare(parts[depth])
        if parts[1 : depth + 1] not in wrappers and not _is_of_the_week(module, name):
            return Named("", name, file=parts[-1])
    own, source = stem(parts[-1]), _bare(parts[0])
    for wanted in (*map(stem, module.notebooks), module.name):
        before, mark, _ = own.casefold().partition(wanted.casefold())
        if mark and before.strip(" _-") and not _copied(before):
            return Named("", own[: len(before)].strip(" _-"), file=parts[-1])
    if len(parts) > 1 or notebook_name(parts[0]):
        bare = own if notebook_name(parts[-1]) else _bare(parts[-1])
        if (notebook_name(parts[-1]) or parts[-1].casefold().endswith(".zip")) and not _is_of_the_week(module, bare):
            return Named("", bare, file=parts[-1])
    return Named("", source, file=parts[-1]) if source and roster.knows(source) else None


def _bare(name: str) -> str:
    return name[:-4] if name.casefold().endswith(".zip") else name


def _copied(before: str) -> bool:
    """Whether it is what a computer puts before a copy's name."""
    return squashed(before) in ("copyof", "kopievon", "copy", "kopie", "copiede", "copiade")


def _is_of_the_week(module: Module, name: str) -> bool:
    """Whether a folder is called after the module, the notebook or nothing in particular, and not after a person."""
    own = squashed(name).rstrip("0123456789") if "(" in name else squashed(name)
    short = squashed(module.name.partition("_")[0])
    general = {"submitted", "submissions", "submission", "downloaded", "archive", "handin", "download"}
    return own in {squashed(module.name), short, *general} or resembles(module, name)


# --- what they are called ---------------------------------------------------------------------------------------------


STRANGER = "not in the list of students: is the name right?"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]


def _renamed(named: Named, people: dict[str, _Person], ledger: "_Ledger") -> str | None:
    """The folder of a person who was collected under another name; a number with two names at once is no such case."""
    same = named.numbered_key
    if not same or sum(key.startswith(same) for key in people) > 1:
        return None
    return next((student for key, student in ledger.people.items() if key.startswith(same)), None)


def _students(people: dict[str, _Person], roster: Roster, ledger: "_Ledger") -> dict[str, tuple[str, str]]:
    """Each person's folder, and a note where that is not what the list of students says.

    A person who was collected before keeps their folder. Of those whom the list cannot tell apart each gets the
    platform's number behind the name.
    """
    meant = {key: roster.meant(person.named) for key, person in people.items()}
    names: dict[str, tuple[str, str]] = {}
    wanted: dict[str, list[str]] = {}
    for key, person in people.items():
        before = ledger.people.get(key) or _renamed(person.named, people, ledger)
        listed = next(iter(meant[key])) if len(meant[key]) == 1 else None
        if before is not None and (listed is None or before == listed or before in roster.students):
            names[key] = before, "" if not roster or before in roster.students else STRANGER
        elif not person.named.number and len(meant[key]) < 2:  # a folder of somebody's name is theirs
            names[key] = listed or speakable(person.named.name), STRANGER if roster and not listed else ""
        else:
            wanted.setdefault((listed or speakable(person.named.name)).casefold(), []).append(key)
    taken = {student.casefold() for key, student in ledger.people.items() if key not in people or key in names}
    for name, keys in wanted.items():
        for key in keys:
            named, found = people[key].named, meant[key]
            note = "" if found or not roster else STRANGER
            if len(keys) == 1 and name not in taken and len(found) < 2:
                plain = next(iter(found)) if found else speakable(named.name)
                names[key] = plain, note
            else:
                names[key] = (
                    f"{speakable(named.name)}_{named.number or _short(named.key)}",
                    (
                        f"more than one is called {named.name}; told apart by the platform's number (--roster with numbers "
                        "says who is who)"
                    ),
                )
    for key, (student, _) in names.items():
        ledger.rename(key, student)
        ledger.call(student, people[key].named)
    return names


# --- what is put where ------------------------------------------------------------------------------------------------


def called(module: Module, platform: str) -> dict[str, Named]:
    """How a platform (`Canvas` or `Moodle`) called each student's newest file, of those that were collected.

    Raises:
        CourseError: `collected.json` is damaged.
    """
    names = {student: numbered(names.get(platform, "")) for student, names in _Ledger(module).read().called.items()}
    return {student: named for student, named in names.items() if named is not None}


class _Ledger:
    """`collected.json`: who has which folder, and what was taken for them; written whole when the run ends, however."""

    def __init__(self, module: Module):
        self.folder = module.root / "downloaded" / module.name
        self.path, self.submitted = self.folder / "collected.json", module.root / "submitted"
        self.people: dict[str, str] = {}
        self.taken: dict[str, dict[str, Any]] = {}
        self.called: dict[str, dict[str, str]] = {}  # by student and platform, the platform's own name of the newest file

    def __enter__(self) -> "_Ledger":
        return self.read()

    def read(self) -> "_Ledger":
        if self.path.is_file():
            try:
                kept = json.loads(self.path.read_text(encoding="utf-8"))
                self.people, self.taken = dict(kept["people"]), dict(kept["taken"])
                self.called = dict(kept.get("called", {}))  # not in files of an earlier version
            except (ValueError, KeyError, TypeError):
                raise CourseError(
                    f"{self.path} is damaged: move it away and collect again; what was collected before is kept"
                ) from None
        return self

    def __exit__(self, *_: object) -> None:
        kept = {"people": self.people, "taken": self.taken, "called": self.called}
        write_whole(self.path, json.dumps(kept, indent=1, sort_keys=True) + "\n")

    def rename(self, key: str, student: str) -> None:
        """Says who has which folder; a folder under an earlier name, from before the list was known, moves along."""
        before = self.people.get(key, student)
        old, new = (self.submitted / name / self.folder.name for name in (before, student))
        if before != student and old.is_dir() and not new.exists():
            new.parent.mkdir(exist_ok=True)
            old.rename(new)
            for taken in [one for one in self.taken if one.partition("/")[0] == before]:
                self.taken[student + taken.removeprefix(before)] = self.taken.pop(taken)
        self.people[key] = student

    def call(self, student: str, named: Named) -> None:
        """Keeps how the platform called a person's file, unless it is known for a newer one."""
        before = numbered(self.called.get(student, {}).get(named.platform, ""))
        if named.whole and (before is None or before.upload <= named.upload):
            self.called.setdefault(student, {})[named.platform] = named.whole

    def keep(self, student: str, name: str, data: bytes) -> Path:
        """Puts a file's content aside, once however often it comes."""
        path = self.folder / "kept" / student / f"{hashlib.sha256(data).hexdigest()[:8]}-{speakable(name)}"
        if not path.is_file():
            write_whole(path, data)
        return path


def _place(module: Module, person: _Person, row: Row, ledger: _Ledger) -> None:
    """Takes a person's newest notebook, or of several the newest of each, keeps the others, and says so in `row`."""
    _say_others(person, row)
    if not person.files:
        if not row.problems:
            row.problems.append("no notebook to take")
        return
    if module.parts == [module] or not any(file.notebook for file in person.files):
        _place_one(module.parts[0], person.files, row, ledger)
        return
    found = {part: [file for file in person.files if file.notebook == part.notebook] for part in module.parts}
    for part in sorted(filter(found.get, found), key=lambda part: max(file.age for file in found[part])):
        _place_one(part, found[part], row, ledger)  # the newest comes last: the time of handing in is its
    for file in person.files:
        if not file.notebook:
            ledger.keep(row.student, file.named.file or file.found.parts[-1], _bytes(file))
            row.notes.append(f"{file.place} was not taken: it is another notebook; it is kept")
    folder = module.root / "submitted" / row.student / module.name
    row.notes += [f"{name} is missing" for name in module.notebooks if not (folder / name).exists()]


def _place_one(module: Module, files: list[_File], row: Row, ledger: _Ledger) -> None:
    """Takes the newest of these files for a notebook; see `_place`."""
    best = max(files, key=lambda file: (file.rank, file.place))
    others = {file.found.sha: file for file in files if file.found.sha != best.found.sha}
    key = f"{row.student}/{module.notebook}" if module.part else row.student
    folder = module.root / "submitted" / row.student / module.name
    for place in (folder, folder.parent):
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            row.problems.append(f"{place} is no folder of its own: move it away and collect again")
            return
    path = folder / module.notebook
    if path.is_symlink() or (path.exists() and not path.is_file()):
        row.problems.append(f"{path} is no file: move it away and collect again")
        return
    for file in others.values():
        ledger.keep(row.student, file.named.file or file.found.parts[-1], _bytes(file))
        row.notes.append(_why_not(file, best))
    before = ledger.taken.get(key)
    there = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    stays = _stays(best, before, there, folder) if there else ""
    if before is None and best.found.sha == there:
        ledger.taken[key] = _record(best)
    if stays:
        row.taken, row.when = _and(row.taken, "unchanged"), _when(folder)
        if best.found.sha not in (there, (before or {}).get("sha")):
            ledger.keep(row.student, best.named.file or best.found.parts[-1], _bytes(best))
            row.notes.append(f"{best.place} was not taken: {stays}")
    else:
        known, when = time_of(folder), best.found.when
        later = known if module.part and known and when and known > when else when  # another notebook's may be the last
        _put(path, replace(best, found=replace(best.found, when=later)), there, row, ledger)
        ledger.taken[key] = _record(best)
        row.taken, row.when = _and(row.taken, best.place), _when(folder)
    if best.problem:
        row.problems.append(f"{best.place} {best.problem}")
    elif not best.worked and best.found.sha in (there, ledger.taken.get(key, {}).get("sha")):
        row.problems.append(f"{best.place} is as it was released, nothing is written in it: ask for the worked-on file")


def _and(taken: str, more: str) -> str:
    return f"{taken}, {more}" if taken not in ("", more) else more


def _record(file: _File) -> dict[str, Any]:
    upload, time = file.age
    return {"sha": file.found.sha, "upload": upload, "time": time, "worked": file.worked, "from": file.place}


def _stays(best: _File, before: dict[str, Any] | None, there: str, folder: Path) -> str:
    """Why the notebook that lies there stays; nothing where the new one takes its place."""
    if before is None:
        known = time_of(folder)
        if best.found.sha == there:
            return "" if best.found.when and not known else "the same"
        newer = known and best.found.when and known > best.found.when
        return "what lies in submitted/ was handed in later" if newer else ""
    if best.found.sha == before["sha"]:
        return "it was taken before"
    if best.age < (before["upload"], before["time"]):
        return "it is older than what was collected before"
    if before["worked"] and (not best.worked or best.problem):
        return "it is as it was released" if not best.problem else best.problem
    return ""


def _put(path: Path, best: _File, there: str, row: Row, ledger: _Ledger) -> None:
    folder = path.parent
    if there and there != best.found.sha:
        kept = ledger.keep(row.student, path.name, path.read_bytes())
        row.notes.append(f"what lay there before is kept: {kept}")
    when, late = best.found.when, best.named.late
    time = f"{when:%Y-%m-%d %H:%M:%S%z}\n" if when else ""
    for name, text in ((TIMESTAMP, time), (LATENESS, "" if late is None else MARKS[late])):
        file = folder / name
        if file.is_file() and not file.is_symlink() and file.read_bytes() != text.encode():
            ledger.keep(row.student, name, file.read_bytes())  # it was of the notebook that goes
            if not text:
                file.unlink()
        if text:
            write_whole(file, text)
    if there != best.found.sha:
        write_whole(path, _bytes(best))


def _bytes(file: _File) -> bytes:
    assert file.found.staged is not None
    return file.found.staged.read_bytes()


def _why_not(file: _File, best: _File) -> str:
    if file.problem:
        why = file.problem
    elif best.ours and not file.ours:
        why = "it is another notebook"
    elif best.worked and not file.worked:
        why = "it is as it was released"
    elif file.age < best.age:
        why = "it is older"
    else:
        why = "nothing says which is newer, look at both"
    return f"{file.place} was not taken: {why}; it is kept"


def _say_others(person: _Person, row: Row) -> None:
    """The files that are no notebooks: those that should have been are problems, the rest is only counted."""
    for each in person.others:
        place = clean("/".join(filter(None, each.parts)))
        if each.problem:
            (row.notes if person.files else row.problems).append(f"{place} {each.problem}")
        elif not person.files and len(row.problems) < 5:
            what = "is a program, not the notebook: ask for the .ipynb" if place.endswith(".py") else "is no notebook"
            row.problems.append(f"{place} {what}")


def time_of(folder: Path) -> datetime | None:
    """When a submission was handed in, by the time stamp that collecting or nbgrader's exchange wrote beside it."""
    path = folder / TIMESTAMP
    with contextlib.suppress(OSError, ValueError, OverflowError):
        if path.is_file() and not path.is_symlink():
            text = start_of(path, 100).decode().strip()
            return datetime.fromisoformat(text.replace(" UTC", "+00:00")).astimezone()
    return None


def _when(folder: Path) -> str:
    """What is known of the time, for the table."""
    if (folder / TIMESTAMP).is_file():
        return (folder / TIMESTAMP).read_text(encoding="utf-8", errors="replace")[:40].strip()
    mark = (folder / LATENESS).read_text(encoding="utf-8")[:20] if (folder / LATENESS).is_file() else ""
    return {"late": "late, time unknown", "in time": "in time, says the platform"}.get(mark, "unknown")


# --- what is shown ----------------------------------------------------------------------------------------------------


def lines(done: Collected) -> Iterator[tuple[bool, str]]:
    """What has to be said beside the table, and whether it has to be looked at."""
    for row in done.rows:
        yield from ((True, f"{clean(row.student)}: {clean(text)}") for text in row.problems)
        yield from ((False, f"{clean(row.student)}: {clean(text)}") for text in row.notes)
    yield from ((True, f"nobody's: {clean(text)}") for text in done.nobodys)
    unknown = [clean(row.student) for row in done.rows if row.taken and row.when in ("unknown", "late, time unknown")]
    if unknown:
        yield (
            False,
            f"handed in at an unknown time: {', '.join(unknown)}; write it into {TIMESTAMP} beside the notebook",
        )
    if done.missing:
        yield False, f"in the list of students, and nothing of theirs: {', '.join(map(clean, done.missing))}"


def print_collected(done: Collected, console: Console) -> None:
    """A line for each person, then what has to be said."""
    table = Table(box=None, pad_edge=False)
    for name in ("student", "taken", "handed in"):
        table.add_column(name, overflow="fold")
    for row in done.rows:
        table.add_row(*(Text(clean(text)) for text in (row.student, row.taken or "nothing", row.when)))
    console.print(table)
    for wrong, text in lines(done):
        console.print(Text(text, style="red" if wrong else ""), soft_wrap=True)


def default_sources(module: Module) -> list[Path]:
    """Where nbgrader looks for what a platform gave.

    Raises:
        CourseError: there is no such folder.
    """
    folder = module.root / "downloaded" / module.name / "archive"
    if not folder.is_dir():
        raise CourseError(f"{folder} does not exist: put the platform's files there, or name them")
    return [folder]
