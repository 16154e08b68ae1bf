"""nbgrader's steps with this grader underneath: what `nbgrader_config.py` names in place of nbgrader's own.

`nbgrader autograde`, and formgrader's button, make the exporter first, which grades all that was asked for, many at
once. nbgrader then goes through the students as ever; each notebook is rebuilt (for "sanitizing") and its scores are
saved (for "autograding"). No kernel is started and no submission is parsed in nbgrader's process.
"""

import atexit
import contextlib
import fnmatch
import glob
import hashlib
import logging
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter, NotebookExporter
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange.default import ExchangeReleaseFeedback
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.authors.release import release
from autograder.classes.grade import exercises_of, grade_each, points_of, read_result, result_files, write_results
from autograder.classes.seed import class_seed
from autograder.classes.submissions import Submission, find_submissions
from autograder.course import source
from autograder.course.course import Course, Module
from autograder.course.needs import needs_of
from autograder.errors import CourseError, GraderFault
from autograder.files import write_whole
from autograder.gradebook.gradebook import COPIED, ClassBook, autograded
from autograder.gradebook.words import speak_plainly
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader
from autograder.grading.judge import PASSED, clean
from autograder.grading.report import GRADED
from autograder.grading.workers import require_walls

SIGNPOST = """This file is only a signpost: nbgrader wants a notebook here. The notebook is made from
`source/{module}/{source}`, and that is the file to edit."""


def prepare(root: Path) -> None:
    """Puts in place what nbgrader looks for and a fresh clone has not: source notebooks, and `alembic` on the PATH.

    It also lets nbgrader's commands say in one line what is wrong, and a class of nothing but odd names be graded.
    """
    speak_plainly(root)
    _find_odd_names_too()
    scripts = sysconfig.get_path("scripts")
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    for module in Course(root).modules():
        with contextlib.suppress(CourseError):  # a module that is still being written is no reason to stop all commands
            for part in module.parts:
                _put_signpost(part)


def _find_odd_names_too() -> None:
    """nbgrader gives up where no student's folder holds a notebook by its rules; what lies there is then said by name."""
    if getattr(Autograde.init_notebooks, "finds_odd_names", False):
        return
    strictly = Autograde.init_notebooks

    def init_notebooks(self: Autograde) -> None:
        try:
            strictly(self)
        except NbGraderException:
            try:
                module = Course(Path(self.coursedir.root)).module(self.coursedir.assignment_id)
                chosen = _chosen(module, self.coursedir)
            except (CourseError, OSError):
                chosen = []
            if not chosen:
                raise
            self.assignments, self.notebooks = {}, []

    init_notebooks.finds_odd_names = True  # type: ignore[attr-defined]
    Autograde.init_notebooks = init_notebooks


def _chosen(module: Module, coursedir: CourseDirectory) -> list[Submission]:
    """The submissions of the students that were asked for."""
    left_out = coursedir.student_id_exclude.split(",")
    return [
        submission
        for submission in find_submissions(module, [Path(coursedir.root) / coursedir.submitted_directory])
        if fnmatch.fnmatchcase(submission.student, coursedir.student_id) and submission.student not in left_out
    ]


def _put_signpost(module: Module) -> None:
    path = module.root / ".autograder" / "source" / module.name / module.notebook
    if not path.is_file():
        text = SIGNPOST.format(module=module.name, source=module.source.name)
        cells = [nbformat.v4.new_markdown_cell(text, id="signpost")]
        write_whole(path, nbformat.writes(nbformat.v4.new_notebook(cells=cells)))


@contextlib.contextmanager
def _one_line(log: logging.Logger) -> Iterator[None]:
    """What the course lacks is said in one line, and ends nbgrader's command before it has changed anything."""
    try:
        yield
    except (CourseError, GraderFault) as error:
        log.error("%s", clean(str(error)))
        raise NbGraderException(str(error)) from None


# --- nbgrader generate_assignment -------------------------------------------------------------------------------------


class ReleaseExporter(NotebookExporter):
    """Makes the release as `autograder release` does, and enters the module into the gradebook.

    That is done before nbgrader would remove the old release, and leaves it nothing to do: it skips what exists.
    """

    parent: Any  # nbgrader's command

    def __init__(self, parent: Any = None, **kwargs: Any) -> None:
        super().__init__(parent=parent, **kwargs)
        with _one_line(parent.log):
            module = Course(Path(parent.coursedir.root)).module(parent.coursedir.assignment_id)
            if not parent.no_database:
                book = ClassBook(module, parent.coursedir)
                book.require_marks_kept()
            if parent.force or not module.release.is_dir():
                parent.log.info("Making release/%s/ and solutions/%s/", module.name, module.name)
                release(module)
            if not parent.no_database:
                for line in book.register(Contents(module).points):
                    parent.log.warning("%s", line)
            parent.force = False


# --- nbgrader autograde -----------------------------------------------------------------------------------------------


class SubmissionExporter(NotebookExporter):
    """Grades the submissions that nbgrader found, and hands out their notebooks one by one."""

    parent: Any  # nbgrader's command

    def __init__(self, parent: Any = None, **kwargs: Any) -> None:
        super().__init__(parent=parent, **kwargs)
        with _one_line(parent.log):
            require_walls()
            module = Course(Path(parent.coursedir.root)).module(parent.coursedir.assignment_id)
            self.book = ClassBook(module, parent.coursedir)
            self.graders = _graders_of(module)
            for line in self.book.register(points_of(self.graders)):
                parent.log.warning("%s", line)
            self.results = self._grade(_chosen(module, parent.coursedir))

    def _grade(self, submissions: list[Submission]) -> dict[str, Any]:
        """Grades all; what nbgrader cannot take (another file name, say) is also recorded here, and left out there."""
        log, out = self.parent.log, self.book.module.grades
        log.info("Grading %d submissions of %s", len(submissions), self.book.module.name)
        for line in self.book.named_strangers(each.student for each in submissions if not each.nameless):
            log.warning("%s", line)
        for line in self.book.unknown_times(submissions):
            log.warning("%s", clean(line))
        for grader in self.graders:
            grader.show()
        results, passed_over = list(grade_each(self.graders, submissions)), []
        for submission, result in zip(submissions, results, strict=True):
            if result.note:
                log.warning("%s: %s", clean(submission.student), clean(result.note))
            if result.status != GRADED:
                log.error("%s: %s: %s", clean(submission.student), result.status, clean(result.reason))
            if submission.nameless:
                self.parent.assignments.pop(str(submission.folder), None)
            elif not self.book.suits_nbgrader(submission, self.parent.assignments):
                log.warning(
                    "%s: in the gradebook, though nbgrader's own steps cannot take its name, file name or time",
                    clean(str(submission.path)),
                )
                self.book.record(self.graders, submission, result, self.config)
                self.parent.assignments.pop(str(submission.folder), None)
                passed_over.append(submission.student)
        ours = {str(submission.folder) for submission in submissions}  # and no ghost: `__MACOSX` is no student
        self.parent.assignments = {place: books for place, books in self.parent.assignments.items() if place in ours}
        write_results(results, exercises_of(self.graders), out)
        for student in passed_over:
            self.book.write_page(student)
        return {
            submission.student: (submission, result) for submission, result in zip(submissions, results, strict=True)
        }

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """A submission's file is not opened here: the first step puts the rebuilt notebook in place of this empty one."""
        if self.parent._sanitizing:
            return self.from_notebook_node(nbformat.v4.new_notebook(), resources, **kwargs)
        return super().from_filename(filename, resources, **kwargs)


class Rebuild(NbGraderPreprocessor):
    """Gives the notebook that formgrader will show, with the reports; of the other files only nbgrader's own stay."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        exporter = self.parent
        submission, result = exporter.results[resources["nbgrader"]["student"]]
        exporter.book.keep_only_small_files(submission)
        place = exporter.book.module.notebooks.index(f"{resources['nbgrader']['notebook']}.ipynb")
        part = submission.parts[place] if submission.parts else submission
        return autograded(exporter.graders[place], part, result), resources


class SaveScores(NbGraderPreprocessor):
    """Writes the scores that the rebuilt notebook holds into the gradebook, and what a late penalty follows from."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        student = resources["nbgrader"]["student"]
        name = resources["nbgrader"]["notebook"]
        next(book for book in self.parent.book.parts if book.name == name).save(student, nb)
        self.parent.book.settle_time(self.parent.results[student][0])
        return nb, resources


class WritePage(NbGraderPreprocessor):
    """Puts the gradebook's points into the student's page; the last step, for a late penalty is one of them."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        self.parent.book.write_page(resources["nbgrader"]["student"])
        return nb, resources


def _graders_of(module: Module) -> list[Grader]:
    """The module's graders, started once in a process: formgrader's button need not wait for them a second time."""
    fingerprint = _fingerprint(module)
    if module not in _graders:
        graders = []
        for part in module.parts:
            graders.append(Grader(part, class_seed(module.grades)).__enter__())
            atexit.register(graders[-1].__exit__)
        _graders[module] = fingerprint, graders
    started_with, graders = _graders[module]
    if fingerprint != started_with:
        raise CourseError(
            f"source/{module.name}/ or tests/{module.name}/ has changed: restart the Jupyter server first"
        )
    return graders


_graders: dict[Module, tuple[str, list[Grader]]] = {}


def _fingerprint(module: Module) -> str:
    files = [*module.sources, *module.public_files, *module.secret_files, *needs_of(module).own.values()]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


# --- nbgrader generate_feedback and release_feedback ------------------------------------------------------------------


class FeedbackExporter(HTMLExporter):
    """Gives the one page for a student, the autograder's with the gradebook's points and comments in it.

    Where there is none (`grades/` was removed) it is nbgrader's.
    """

    parent: Any  # nbgrader's command

    def __init__(self, parent: Any = None, **kwargs: Any) -> None:
        super().__init__(parent=parent, **kwargs)
        with _one_line(parent.log):
            module = Course(Path(parent.coursedir.root)).module(parent.coursedir.assignment_id)
            self.book = ClassBook(module, parent.coursedir)

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        page = self.book.write_page(resources["nbgrader"]["student"]) if resources else None
        if resources is None or page is None:
            return super().from_filename(filename, resources, **kwargs)
        return page, {**resources, "output_extension": self.file_extension}


class ReleaseFeedback(ExchangeReleaseFeedback):
    """Leaves out, by name, who did not hand in by the exchange; nbgrader would stop there and serve nobody behind."""

    def copy_files(self) -> None:
        coursedir, left_out = self.coursedir, self.coursedir.student_id_exclude
        place = coursedir.format_path(coursedir.feedback_directory, "*", coursedir.assignment_id)
        for folder in sorted(map(Path, glob.glob(place))):
            lacks = [name for name in COPIED if not (folder / name).is_file()]
            if lacks and fnmatch.fnmatchcase(folder.parent.name, coursedir.student_id or "*"):
                self.log.warning("%s: not released, for want of %s", clean(folder.parent.name), " and ".join(lacks))
                coursedir.student_id_exclude += f",{folder.parent.name}"
        try:
            super().copy_files()
        finally:
            coursedir.student_id_exclude = left_out


# --- formgrader -------------------------------------------------------------------------------------------------------


class ShowRubrics(NbGraderPreprocessor):
    """Shows a TA in formgrader the model answer and the rubric below each question and plot, and below each exercise how
    the hidden checks ended and what they say.

    They come from the source, and from `grades/`, at that moment and are in no notebook of the class, so that no feedback
    page can hold them.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        if "submission_id" not in resources:  # a feedback page, not formgrader
            return nb, resources
        module = Course.find(Path(resources["metadata"]["path"])).module(resources["assignment_id"])
        rubrics = {source.grade_id(cell): cell.rubric for cell in Contents(module).cells if cell.rubric}
        rubrics |= _hidden_checks(module, str(resources.get("student", "")))
        cells = []
        for cell in nb.cells:
            cells.append(cell)
            rubric = rubrics.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
            if rubric:
                cells.append(nbformat.v4.new_markdown_cell(f"**For graders only.** {rubric}"))
        nb.cells = cells
        return nb, resources


def _hidden_checks(module: Module, student: str) -> dict[str, str]:
    """What a student is not told of the hidden checks that gave no points, as Markdown by the exercise's grade cell."""
    path = result_files(module.grades).get(student)
    with contextlib.suppress(CourseError):
        told: dict[str, str] = {}
        for check in read_result(path)["checks"] if path else []:
            if not check["public"] and check["state"] != PASSED:
                lines = "".join(f"\n    {clean(line)}" for line in check["message"].splitlines())
                title = f"\n\n`{check['check']}`: {check['state']}\n{lines}"
                name = f"exercise-{check['exercise']}"
                told[name] = told.get(name, "Hidden checks, of which the student sees no more than that they failed:") + title
        return told
    return {}
