"""Where the course stands, a line for each module: `autograder status`."""

from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.course.calendar import Dates, calendar, told
from autograder.course.course import Course, Module
from autograder.gradebook.gradebook import book_of


@dataclass(frozen=True)
class Standing:
    """How far a module is: how many students have handed in, are graded, and wait for a TA; and what to do next."""

    module: str
    dates: Dates
    made: bool
    submitted: int = 0
    graded: int = 0
    waiting: int = 0

    def next_step(self, now: datetime) -> str:
        """The command to run now, or what is waited for."""
        if not self.made:
            return f"autograder release {self.module}"
        if not self.dates.released(now):
            assert self.dates.release
            return f"nothing before {told(self.dates.release)}"
        if self.submitted > self.graded:
            return f"autograder grade {self.module}"
        if self.waiting:
            return "nbgrader formgrader"
        if self.graded:
            return f"nbgrader generate_feedback {self.module}, autograder export {self.module}"
        if self.dates.due and now < self.dates.due:
            return f"nothing before {told(self.dates.due)}"
        return f"autograder collect {self.module} ARCHIVE"


def standings(course: Course) -> list[Standing]:
    """The modules' standings, in the calendar's order.

    Raises:
        CourseError: the calendar or the gradebook cannot be read.
    """
    return [_standing(course.module(name), dates) for name, dates in calendar(course).items()]


def _standing(module: Module, dates: Dates) -> Standing:
    submitted = len(list((module.root / "submitted").glob(f"*/{module.name}")))
    graded, waiting = _in_gradebook(module)
    return Standing(module.name, dates, module.release.is_dir(), submitted, graded, waiting)


def _in_gradebook(module: Module) -> tuple[int, int]:
    """How many submissions the gradebook holds, and how many of these wait for a person; zeros where there is none."""
    book = book_of(module)
    if book is None:
        return 0, 0
    with book.open() as gradebook:
        if module.name not in {assignment.name for assignment in gradebook.assignments}:
            return 0, 0
        submissions = gradebook.assignment_submissions(module.name)
        return len(submissions), sum(bool(submission.needs_manual_grade) for submission in submissions)


def print_standings(found: list[Standing], now: datetime, console: Console) -> None:
    """A table with a line for each module."""
    table = Table(box=None, pad_edge=False)
    for name in ("module", "release", "due", "submitted", "graded", "wait for a TA", "next"):
        table.add_column(name, overflow="fold")
    for each in found:
        release, due = (f"{date:%Y-%m-%d %H:%M}" if date else "" for date in (each.dates.release, each.dates.due))
        counts = map(str, (each.submitted, each.graded, each.waiting))
        table.add_row(*map(Text, (each.module, release, due, *counts, each.next_step(now))))
    console.print(table)
