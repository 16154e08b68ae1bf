"""Who made the same mistake in more than one week: a table for the instructor, `autograder repeated`."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.classes.grade import read_result, result_files
from autograder.course.calendar import calendar
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.grading.again import Made, mistakes_in
from autograder.grading.judge import clean


@dataclass(frozen=True)
class Repeated:
    """One mistake of one student, wherever it was made: in the calendar's order, in two modules at least."""

    student: str
    made: tuple[Made, ...]

    @property
    def mistake(self) -> str:
        """The mistake's name."""
        return self.made[-1].mistake

    @property
    def modules(self) -> list[str]:
        """Where it was made."""
        return list(dict.fromkeys(each.module for each in self.made))


def repeated(course: Course) -> tuple[list[Repeated], list[str]]:
    """The mistakes made in more than one module, the most modules first; and a line about each result that is damaged."""
    made, damaged = defaultdict[str, list[Made]](list), list[str]()
    for name in calendar(course):
        for student, path in result_files(course.module(name).grades).items():
            try:
                made[student] += mistakes_in(read_result(path))
            except CourseError as error:
                damaged.append(str(error))
    found = [each for student, theirs in made.items() for each in _of_one(student, theirs)]
    return sorted(found, key=lambda each: (-len(each.modules), each.student, each.mistake)), damaged


def _of_one(student: str, made: list[Made]) -> Iterator[Repeated]:
    while made:
        same = Repeated(student, tuple(each for each in made if each.same_as(made[0])))
        made = [each for each in made if each not in same.made]
        if len(same.modules) > 1:
            yield same


def print_repeated(found: list[Repeated], console: Console) -> None:
    """A line for each."""
    table = Table(box=None, pad_edge=False)
    for name in ("student", "mistake", "made in"):
        table.add_column(name)
    for each in found:
        places = ", ".join(f"{made.module} ({made.function})" for made in each.made)
        table.add_row(*map(Text, (clean(each.student), each.mistake, places)))
    console.print(table if found else "Nobody made the same mistake in two modules.")
