"""Entering what arrives while a class is graded (`autograder grade MODULE --watch`) into the course's gradebook."""

from rich.console import Console

from autograder.classes.submissions import Submission, enterable
from autograder.course.course import Module
from autograder.gradebook.gradebook import ClassBook, odd, recorder, settings
from autograder.grading.grader import Grader
from autograder.grading.report import Result


class Arriving:
    """Enters submissions one by one, without knowing beforehand whose they are.

    Args:
        pages: whether the feedback pages lie where the gradebook's part of them is to stand.

    Raises:
        CourseError: the gradebook cannot be used; nothing is changed then.
    """

    def __init__(self, module: Module, pages: bool, console: Console) -> None:
        self._module, self._pages, self._console = module, pages, console
        self._students: set[str] = set()  # of whom the recorder enters what it gets
        self._enter = recorder(module, [], self._students, console)
        self._entered: dict[str, Submission] = {}  # since `settle`

    def record(self, graders: list[Grader], submission: Submission, result: Result) -> None:
        """Enters the submission, if it lies in the course's own `submitted/`."""
        if mine := enterable(self._module, [submission]):
            self._students |= mine
            self._enter(graders, submission, result)
            self._entered[submission.student] = submission

    def settle(self) -> None:
        """Of those who were entered since: says what is odd, and puts what the gradebook says into their pages."""
        if not self._entered:
            return
        book = ClassBook(self._module, settings(self._module.root).coursedir)
        for line in odd(book, list(self._entered.values())):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        for student in sorted(self._entered) if self._pages else ():
            book.write_page(student)
        self._entered.clear()
