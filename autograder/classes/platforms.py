"""What the names say that platforms give to files and folders: whose a file is, and whether it came late.

    Canvas      doejane_123_456_densenet.ipynb, doejane_LATE_123_456_densenet-2.ipynb, anon_x7Kq2_456_densenet.ipynb
    Moodle      Jane Doe_123_assignsubmission_file_densenet.ipynb, or densenet.ipynb in Jane Doe_123_assignsubmission_file/
    Classroom   Jane Doe - densenet.ipynb

A platform's number is what tells people apart; names are compared in one Unicode form.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MAX_NAME = 180  # bytes of a student's name: it becomes part of file names
_CANVAS = [
    re.compile(
        r"anon(?P<early>_LATE)?_(?P<number>[0-9A-Za-z]{5})(?P<late>_LATE)?_(?P<upload>\d+)_(?P<file>.+)", re.DOTALL
    ),
    re.compile(r"(?P<name>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<upload>\d+)_(?P<file>.+)", re.DOTALL),
    re.compile(r"(?P<name>.+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<file>(?:text|link)\.html)", re.DOTALL),
]
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?", re.DOTALL)
_CLASSROOM = re.compile(r"(?P<name>.+?) - (?P<file>.+)", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """What a name says. `late` is None where the platform does not mark what came late."""

    platform: str
    name: str
    number: str = ""
    upload: int = 0  # of two uploads the later one has the higher number
    late: bool | None = None
    file: str = ""  # the student's own name for it
    whole: str = ""  # the name itself, where it is in Canvas's or Moodle's form

    @property
    def key(self) -> str:
        """What tells this person from every other: the platform's number, the name where there is none.

        The name is in it all the same: two names under one number are two people, whatever a platform did there.
        """
        return " ".join(filter(None, (self.platform, self.number, squashed(self.name))))

    @property
    def numbered_key(self) -> str:
        """The beginning of `key` that stays the same when a person gets another name; nothing without a number."""
        return f"{self.platform} {self.number} " if self.number else ""


def numbered(name: str) -> Named | None:
    """What a name in Canvas's or Moodle's form says; None for any other."""
    if found := _MOODLE.fullmatch(name):
        return Named("Moodle", found["name"], found["number"], file=found["file"] or "", whole=name)
    for form in _CANVAS:
        if found := form.fullmatch(name):
            about = found.groupdict()
            late = bool(about["late"] or about.get("early"))
            who = about.get("name", f"anon_{about['number']}")
            return Named("Canvas", who, about["number"], int(about.get("upload") or 0), late, about["file"], name)
    return None


def titled(name: str) -> Named | None:
    """What a name in Google Classroom's form says, which many other names have too."""
    found = _CLASSROOM.fullmatch(name)
    return Named("Classroom", found["name"], file=found["file"]) if found else None


def squashed(name: str) -> str:
    """A name's letters and digits in one Unicode form, without capitals: `Doe, Jane` and `doejane` are one."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())))


def folded(name: str) -> str:
    """The same without accents: platforms leave them out of user names."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))


def speakable(name: str) -> str:
    """A student's name that any file, page and later step of nbgrader can hold, as near to `name` as that goes."""
    kept = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    kept = "".join("_" if c in '/\\[]*?:"<>|,' or unicodedata.category(c)[0] == "C" else c for c in kept)
    kept = " ".join(kept.split()).lstrip(".-").rstrip(". ")
    while len(kept.encode()) > MAX_NAME:
        kept = kept[:-1]
    return kept or "nameless"


@dataclass(frozen=True)
class Listed:
    """A student of the course's list: the gradebook's id, all names for them, and a platform's numbers."""

    student: str
    names: frozenset[str]
    numbers: frozenset[str] = frozenset()


class Roster:
    """The course's list of students, and who of it is meant by a name."""

    def __init__(self, listed: Iterable[Listed]):
        self.students: list[str] = []
        self._numbers: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._folded: dict[str, set[str]] = {}
        for one in listed:
            self.students.append(one.student)
            for number in one.numbers:
                self._numbers.setdefault(number, set()).add(one.student)
            for name in {one.student, *one.names} - {""}:
                self._names.setdefault(squashed(name), set()).add(one.student)
                self._folded.setdefault(folded(name), set()).add(one.student)

    def __bool__(self) -> bool:
        return bool(self.students)

    def knows(self, name: str) -> bool:
        """Whether somebody is called so."""
        return squashed(name) in self._names

    def meant(self, named: Named) -> set[str]:
        """The students that may be meant: by the platform's number, else by name, else by the name without accents."""
        if named.number and (found := self._numbers.get(named.number)):
            return found
        return self._names.get(squashed(named.name)) or self._folded.get(folded(named.name)) or set()
