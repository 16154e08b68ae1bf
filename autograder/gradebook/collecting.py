"""`nbgrader zip_collect`, and whom a file's name means: the gradebook's students, and those of a platform's CSV file."""

import re
from pathlib import Path
from typing import Any

from nbgrader.plugins import ExtractorPlugin

from autograder.classes.collect import collect, lines
from autograder.classes.platforms import Listed
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.gradebook.export import PLATFORMS, open_gradebook, read_roster
from autograder.grading.judge import clean

_FIRST, _LAST = ("first name", "firstname", "first_name"), ("last name", "lastname", "last_name", "surname")
_WHOLE = ("student", "full name", "name")
_IDS = ("id", *(name.casefold() for platform in PLATFORMS.values() for name in platform.who))
_NUMBERS = ("identifier", "id", "lms_user_id")  # Moodle's `Participant 123`, Canvas's number


def listed(root: Path, roster: Path | None = None) -> list[Listed]:
    """The course's students: the gradebook's, with the names and numbers that a CSV file has for them.

    Someone who is in the CSV file alone is called by its id column there, the login or number.

    Raises:
        CourseError: the CSV file cannot be read, or has no column that tells who a student is.
    """
    known = _of_gradebook(root)
    if roster is None:
        return known
    by_name = {name.casefold(): one.student for one in known for name in (one.student, *one.names) if " " not in name}
    found = []
    for columns in _rows(roster):
        ids = list(filter(None, map(columns.get, _IDS)))
        if not ids:
            continue
        student = next((by_name[name.casefold()] for name in ids if name.casefold() in by_name), None)
        first, last = (next((columns[name] for name in names if columns.get(name)), "") for names in (_FIRST, _LAST))
        names = {*_both(first, last), *(columns[name] for name in _WHOLE if columns.get(name)), *ids}
        numbers = [re.sub(r"^\D+ ", "", columns[name]) for name in _NUMBERS if columns.get(name)]
        best = next((columns[n] for n in _IDS[1:] if columns.get(n) and "@" not in columns[n] and n != "id"), ids[0])
        student = student or best
        found.append(Listed(student, frozenset(names), frozenset(number for number in numbers if number.isdigit())))
    if not found:
        raise CourseError(
            f"{roster} has no column that tells who a student is: give the CSV file that the platform exported"
        )
    return known + found


def _rows(path: Path) -> list[dict[str, str]]:
    return list(map(_squeezed, read_roster(path).rows))


def _squeezed(row: dict[str, str]) -> dict[str, str]:
    return {name.casefold(): text.strip() for name, text in row.items()}


def _both(first: str, last: str) -> set[str]:
    """A whole name in the two orders in which platforms write it."""
    return {f"{first} {last}", f"{last} {first}"} if first and last else set()


def _of_gradebook(root: Path) -> list[Listed]:
    try:
        with open_gradebook(root) as gradebook:
            return [
                Listed(
                    student.id,
                    frozenset({*_both(student.first_name or "", student.last_name or ""), student.email or ""} - {""}),
                    frozenset({str(student.lms_user_id)} if student.lms_user_id else ()),
                )
                for student in gradebook.students
            ]
    except CourseError:
        return []  # there is none yet: people are called as the platform calls them


class Collect(ExtractorPlugin):
    """nbgrader's `zip_collect` by this project's `collect`, which leaves nothing to its later steps.

    Those would give two namesakes one folder, or stop the class at a file that they cannot place.
    """

    parent: Any  # nbgrader's command

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Collects what lies in the archive folder; nothing is put into `extracted/`."""
        log = self.parent.log
        self.parent.process_extracted_files = lambda: None
        try:
            module = Course(Path(self.parent.coursedir.root)).module(self.parent.coursedir.assignment_id)
            done = collect(module, [Path(archive_path)], listed(module.root))
        except CourseError as error:
            self.parent.fail(clean(str(error)))
            return
        for row in done.rows:
            if row.taken:
                log.info("%s: %s (handed in: %s)", clean(row.student), clean(row.taken), clean(row.when))
        for wrong, text in lines(done):
            (log.error if wrong else log.warning)("%s", text)
        log.info("%d of %d collected", sum(bool(row.taken) for row in done.rows), len(done.rows))
