"""nbgrader's gradebook: what of it is ours to write, and when.

A score is the autograder's, or it is a TA's. Ours are written into the fields that nbgrader keeps for an autograder;
manual scores, comments and extra credit are never touched. A grade is flagged for a TA when what it was given for has
changed since, and only then.
"""

import contextlib
import functools
import json
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import nbgrader
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook, MissingEntry, Notebook, SubmittedAssignment, SubmittedNotebook
from nbgrader.apps.baseapp import NbGrader
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, ComputeChecksums, SaveCells
from nbgrader.utils import parse_utc
from rich.console import Console
from sqlalchemy import MetaData, create_engine, inspect, select, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DatabaseError, OperationalError, SAWarning

from autograder.classes.collect import LATENESS, MARKS
from autograder.classes.grade import feedback_file, points_of
from autograder.classes.submissions import Submission
from autograder.course.calendar import dates_of
from autograder.course.course import Module, nearest
from autograder.course.notebooks import make_notebook
from autograder.course.source import SourceCell, former, grade_id, read_source
from autograder.errors import CourseError, Unreadable
from autograder.files import write_whole
from autograder.gradebook.autograded import add_reports, as_html, not_graded, rebuild
from autograder.gradebook.cells import (
    Edit,
    add_to_submissions,
    apply,
    functions_of,
    planned,
    require_no_marks,
    submission_of,
)
from autograder.gradebook.late import EXTENSIONS, POLICY, enter_extension, extensions, read_policy
from autograder.gradebook.requests import told
from autograder.grading.grader import Grader
from autograder.grading.judge import clean
from autograder.grading.report import GRADED, ByHand, Result, number, told_reason, with_due, with_grades

warnings.filterwarnings("ignore", category=SAWarning)  # about nbgrader's own way with its tables
LOCK_SECONDS = 5  # how long somebody else may be writing
STRANGER = "is not in the gradebook's list of students: is the name right? If it is: nbgrader db student add, with a name"
NO_RESPONSE = "No response."
CHANGED = "{module} has changed since it was graded: {edit}; what people gave stays. Grade the whole class again"
COPIED = ("timestamp.txt", "submission_secret.txt")  # what nbgrader itself puts beside a submission, and reads again


class ClassBook:
    """The gradebook of one module of a course, and the notebooks in `autograded/` that formgrader shows with it.

    Of several notebooks each has a book of its own, in `parts`; where there is one, that is this one.

    Raises:
        CourseError: the gradebook cannot be used; nothing is changed then.
    """

    def __init__(self, module: Module, coursedir: CourseDirectory):
        self.module, self.coursedir = module, coursedir
        self.parts = [self] if module.parts == [module] else [ClassBook(part, coursedir) for part in module.parts]
        check_gradebook(coursedir.db_url)

    @property
    def name(self) -> str:
        """What nbgrader calls the notebook."""
        return Path(self.module.notebook).stem

    @contextlib.contextmanager
    def open(self) -> Iterator[Gradebook]:
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            yield gradebook

    def resources(self, student: str = "") -> dict[str, Any]:
        """What nbgrader's steps want to be told."""
        about = {"student": student, "assignment": self.module.name, "notebook": self.name}
        return {"nbgrader": {**about, "db_url": self.coursedir.db_url}, "unique_key": self.name}

    def require_marks_kept(self) -> None:
        """Looks whether `register` can be done, and changes nothing.

        Raises:
            CourseError: the source lacks cells in which people gave points or comments.
        """
        with self.open() as gradebook:
            for book in self.parts:
                book._edit(book._registered(gradebook), book._made({}), book._former)
            for notebook in self._left(gradebook):
                require_no_marks(notebook)

    def register(self, points: dict[str, float]) -> list[str]:
        """Writes the module's graded cells and their points into the gradebook, as the source has them now, and when it is due.

        What people gave stays with its cell, whatever came, went or got another name beside it; see cells.py. Gives a line
        for what has changed since the class was graded, and for each student of whom a TA is asked again.

        Args:
            points: what each exercise is worth.

        Raises:
            CourseError: the source lacks cells in which people gave points or comments; nothing is changed then.
        """
        self.require_marks_kept()
        said = [line for book in self.parts for line in book._register(points)]
        with self.open() as gradebook:
            for notebook in self._left(gradebook):
                said.append(CHANGED.format(module=self.module.name, edit=f"{notebook.name}.ipynb is gone"))
                gradebook.remove_notebook(notebook.name, self.module.name)
            add_to_submissions(gradebook.db, gradebook.find_assignment(self.module.name))
        return said

    def _left(self, gradebook: Gradebook) -> list[Notebook]:
        """The notebooks in the gradebook that the module has no longer, under this name or another."""
        with contextlib.suppress(MissingEntry):
            known = [book._registered(gradebook) for book in self.parts]
            return [notebook for notebook in gradebook.find_assignment(self.module.name).notebooks if notebook not in known]
        return []

    def _register(self, points: dict[str, float]) -> list[str]:
        """See `register`, for one notebook."""
        made, said, due = self._made(points), list[str](), dates_of(self.module).due
        with self.open() as gradebook:
            gradebook.update_or_create_assignment(self.module.name, **({"duedate": in_utc(due)} if due else {}))
            before = self._registered(gradebook)
            edit = self._edit(before, made, self._former)
            if before:
                before.name = self.name
                said = apply(gradebook.db, before, made, edit)
                gradebook.db.commit()
                if before.submissions and str(edit):
                    said.insert(0, CHANGED.format(module=self.module.name, edit=edit))
        self._rename_answers(edit)
        for step in (ComputeChecksums(), SaveCells()):
            made, _ = step.preprocess(made, self.resources())
        return said

    @property
    def _former(self) -> dict[str, str]:
        return former(read_source(self.module.source))

    def _made(self, points: dict[str, float]) -> NotebookNode:
        """The notebook as the source has it now."""
        cells = read_source(self.module.source)
        worth = {cell.about["exercise"]: 0.0 for cell in cells if cell.role == "grade"} | points
        return make_notebook(cells, [cell.stub for cell in cells], worth)

    def _registered(self, gradebook: Gradebook) -> Notebook | None:
        """The notebook in the gradebook, which may have had another name; None where it is not there yet.

        Under another name it is known where the module has no other notebook, and has had none.
        """
        with contextlib.suppress(MissingEntry):
            notebooks = gradebook.find_assignment(self.module.name).notebooks
            named = [notebook for notebook in notebooks if notebook.name == self.name]
            return (named or (notebooks if len(notebooks) == 1 and not self.module.part else []) or [None])[0]
        return None

    def _edit(self, before: Notebook | None, made: NotebookNode, former: dict[str, str]) -> Edit:
        if before is None:
            return Edit()
        gone = {cell.name for cell in before.grade_cells if cell.cell_type == "code"} - functions_of(made).keys()
        return planned(before, made, self._functions(gone), former)

    def _functions(self, exercises: set[str]) -> dict[str, set[str]]:
        """The functions of these exercises in the notebooks that formgrader shows, as they were graded last."""
        found: dict[str, set[str]] = {}
        for path in sorted(self.folder("*").parent.parent.glob(f"*/{self.module.name}/*.ipynb")):
            if exercises <= found.keys():
                break
            with contextlib.suppress(OSError, ValueError, AttributeError):
                found = functions_of(nbformat.read(path, as_version=4)) | found
        return found

    def _rename_answers(self, edit: Edit) -> None:
        """An answer whose cell has another name is the same answer still."""
        for kept in (self.module.grades / "answers").glob("*.json") if edit.renamed else ():
            answers = json.loads(kept.read_text(encoding="utf-8"))
            write_whole(kept, json.dumps({edit.renamed.get(name, name): text for name, text in answers.items()}, indent=1))

    def folder(self, student: str) -> Path:
        """Where formgrader looks for a student's graded notebook."""
        return Path(self.coursedir.format_path(self.coursedir.autograded_directory, student, self.module.name))

    def suits_nbgrader(self, submission: Submission, found: dict[str, list[str]]) -> bool:
        """Whether `nbgrader autograde` can take it: `found` in its folder, well named, with a readable time or none."""
        folder = submission.folder
        timed = timestamp(folder) is not None or not os.path.lexists(folder / COPIED[0])
        paths = [part.path for part in submission.parts if not part.absent] or [submission.path]
        well_named = [path.name for path in paths] == self.module.notebooks and "\n" not in submission.student
        return {str(path) for path in paths} <= set(found.get(str(folder), [])) and well_named and timed

    def named_strangers(self, students: Iterable[str]) -> list[str]:
        """A line for each of `students` whom the roster does not know; none when there is no roster.

        Grading makes a student of every folder: one without a name, e-mail address and number counts as a stranger, each
        time, where others of the list have them.
        """
        with self.open() as gradebook:
            about = {who.id: (who.first_name, who.last_name, who.email, who.lms_user_id) for who in gradebook.students}
        detailed = {student for student, details in about.items() if any(details)}
        unknown = set(students) - (detailed or set(about)) if about else set()
        return [f"{clean(student)} {STRANGER}" for student in sorted(unknown)]

    def holding(self, name: str) -> "ClassBook":
        """The book of the notebook that has the cell `name`, nbgrader's."""
        return next(book for book in self.parts if name in [grade_id(cell) for cell in book._cells if cell.role])

    def given(self, student: str, name: str) -> tuple[str, str]:
        """The points of a cell as they are shown, and what was said about it."""
        with self.open() as gradebook, contextlib.suppress(MissingEntry):
            grade = gradebook.find_grade(name, self.name, self.module.name, student)
            comment = gradebook.find_comment(name, self.name, self.module.name, student).comment or ""
            waits = ", waits for a TA" if grade.needs_manual_grade else ""
            return f"{number(grade.score)} / {number(grade.max_score)}{waits}", comment
        return "no points yet", ""

    def save(self, student: str, notebook: NotebookNode) -> None:
        """Writes what `rebuild` and `add_reports` said about the cells of `notebook`, all at once."""
        with self.open() as gradebook:
            self._enter(gradebook, student, notebook)
            gradebook.db.commit()
        self._keep_answers(student, notebook)

    def _enter(self, gradebook: Gradebook, student: str, notebook: NotebookNode) -> SubmittedNotebook:
        """See `save`; in an open session, which is not committed."""
        before, about = self._answers(student), _about(notebook)
        submitted = gradebook.find_submission_notebook(self.name, self.module.name, student)
        submitted.notebook._base_cells  # noqa: B018  all at once: each grade's and comment's own is then at hand
        for grade in submitted.grades:
            if grade.name in about:
                _update(grade, about[grade.name], before.get(grade.name))
        for comment in submitted.comments:
            if comment.name in about:
                comment.auto_comment = None if about[comment.name]["answered"] else NO_RESPONSE
        never = all(grade.auto_score is None and grade.manual_score is None for grade in submitted.grades)
        if not about and never:  # refused, or not graded: there is nothing that a TA could grade
            for grade in submitted.grades:
                grade.needs_manual_grade = False
        return submitted

    def _answers(self, student: str) -> dict[str, str]:
        """The hashes of a student's answers as they were entered last, by cell."""
        kept = self._answers_file(student)
        return json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}

    def _answers_file(self, student: str) -> Path:
        return self.module.grades / "answers" / f"{student}.json"

    def _keep_answers(self, student: str, notebook: NotebookNode) -> None:
        answers = {name: cell["answer"] for name, cell in _about(notebook).items() if "answer" in cell}
        if answers:
            write_whole(self._answers_file(student), json.dumps({**self._answers(student), **answers}, indent=1))

    def record(self, graders: list[Grader], submission: Submission, result: Result, config: Any) -> None:
        """Does for one submission what `nbgrader autograde` does: gradebook, autograded notebooks, late penalty.

        The gradebook has all of it or, after an interruption, nothing.
        """
        student = submission.student
        parts = submission.parts or (submission,) * len(self.parts)
        notebooks = [autograded(grader, part, result) for grader, part in zip(graders, parts, strict=True)]
        with self.open() as gradebook:
            theirs = submission_of(gradebook.db, gradebook.find_assignment(self.module.name), student)
            self._settle_time(theirs, submission)
            entered = [book._enter(gradebook, student, notebook) for book, notebook in zip(self.parts, notebooks, strict=True)]
            gradebook.db.flush()  # fails while somebody else is writing: no file is changed then
            for submitted in entered:
                gradebook.db.refresh(submitted, ["score"])
                submitted.late_submission_penalty = _penalty(gradebook, theirs, submitted, config)
            self.keep_only_small_files(submission)
            for book, notebook in zip(self.parts, notebooks, strict=True):
                path = self.folder(student) / book.module.notebook
                if result.status == GRADED or not path.is_file():
                    write_whole(path, nbformat.writes(notebook) + "\n")
            gradebook.db.commit()
        for book, notebook in zip(self.parts, notebooks, strict=True):
            book._keep_answers(student, notebook)

    def settle_time(self, submission: Submission) -> None:
        """Enters what a late penalty follows from: the student's extension, and no time where there is none any more.

        nbgrader itself would keep the time of an earlier file.
        """
        with self.open() as gradebook:
            self._settle_time(gradebook.find_submission(self.module.name, submission.student), submission)
            gradebook.db.commit()

    def _settle_time(self, theirs: SubmittedAssignment, submission: Submission) -> None:
        granted = extensions(self.module.root, self.module.name).get(submission.student)
        theirs.timestamp = timestamp(submission.folder)
        if granted is not None:
            theirs.extension = granted or None

    def unknown_times(self, submissions: Iterable[Submission]) -> list[str]:
        """A line for each student of whom nobody can tell whether they are late, where being late costs something."""
        with self.open() as gradebook:
            try:
                due = gradebook.find_assignment(self.module.name).duedate
            except MissingEntry:
                due = None
        if due is None or not costs(self.module):
            return []
        return [
            f"{each.student}: {why}: nothing is taken off, and `autograder export` leaves them out, until the time stands in "
            f"{each.folder / COPIED[0]}"
            for each in submissions
            if not each.nameless and timestamp(each.folder) is None and (why := unknown_time(each.folder))
        ]

    def write_page(self, student: str) -> str | None:
        """Puts what the gradebook says into the student's feedback page, and gives the page; None where there is none."""
        with self.open() as gradebook:
            return self._write_page(gradebook, student)

    def _write_page(self, gradebook: Gradebook, student: str) -> str | None:
        path = feedback_file(self.module.grades, student)
        if not path.is_file():
            return None
        page = path.read_text(encoding="utf-8")
        with contextlib.suppress(MissingEntry):
            theirs = gradebook.find_submission(self.module.name, student)
            penalty = theirs.late_submission_penalty or 0.0
            score = max(0.0, theirs.score - penalty)
            asked, by_hand = told(self.module, student), list[ByHand]()
            for book in self.parts:
                by_hand += book._by_hand(gradebook.find_submission_notebook(book.name, self.module.name, student))
            page = with_grades(page, by_hand, score, theirs.max_score, penalty, asked)
            if theirs.assignment.duedate:
                page = with_due(page, theirs.duedate)
        write_whole(path, page)
        return page

    def _by_hand(self, submitted: SubmittedNotebook) -> list[ByHand]:
        """What people graded or said, changed of the checks' points, or have still to grade, in the notebook's order."""
        submitted.notebook._base_cells  # noqa: B018  as in `_enter`
        grades = {grade.name: grade for grade in submitted.grades}
        said = {comment.name: comment.comment or "" for comment in submitted.comments}
        rows = []
        for cell in self._cells:
            name = grade_id(cell) if cell.role else ""
            grade, comment = grades.get(name), said.get(name, "")
            theirs = cell.by_hand or (grade and (grade.manual_score is not None or grade.extra_credit))
            if grade and theirs:
                waits = bool(grade.needs_manual_grade)
                unknown = waits and grade.manual_score is None
                rows.append(ByHand(name, None if unknown else grade.score, grade.max_score, as_html(comment), waits))
            elif comment and comment != NO_RESPONSE:
                rows.append(ByHand(name, None, 0, as_html(comment)))
        return rows

    @functools.cached_property
    def _cells(self) -> list[SourceCell]:
        return read_source(self.module.source)

    def enter_bonuses(self, exercise: str, points: dict[str, float]) -> list[str]:
        """Enters bonus points by student, as extra credit of an exercise's cell; what a TA entered there stays.

        Returns a line for each student whose points could not be entered.
        """
        kept, problems = self.module.grades / "bonus.json", []
        before: dict[str, float] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        with self.open() as gradebook:
            for student, bonus in points.items():
                try:
                    submitted = gradebook.find_submission_notebook(self.name, self.module.name, student)
                    grade = next(grade for grade in submitted.grades if grade.name == f"exercise-{exercise}")
                except (MissingEntry, StopIteration):
                    why = f"{student} is not graded yet, so {bonus:g} bonus points wait: grade, then run this again"
                    problems += [why] if bonus else []
                    continue
                theirs = grade.extra_credit or 0
                if theirs not in (0, before.get(student)):
                    problems.append(f"{student} has {theirs:g} extra credit by a TA, which stays: add {bonus:g} by hand")
                    continue
                grade.extra_credit, before[student] = bonus, bonus
            gradebook.db.commit()
        write_whole(kept, json.dumps(before, indent=1))
        return problems

    def keep_only_small_files(self, submission: Submission) -> None:
        """Leaves beside the graded notebook what nbgrader's later steps read, and none of the student's other files.

        nbgrader copies these, follows links as it does so, and would release what comes out as somebody's feedback.
        """
        folder = self.folder(submission.student)
        for path in folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in self.module.notebooks:
                path.unlink()
        for name in COPIED:
            content = _small_file(submission.folder / name)
            if content:
                write_whole(folder / name, content)


def book_of(module: Module) -> ClassBook | None:
    """The module's gradebook; None where there is none yet.

    Raises:
        CourseError: it cannot be used.
    """
    coursedir = settings(module.root).coursedir
    return ClassBook(module, coursedir) if _exists(coursedir.db_url) else None


def recorder(
    module: Module, submissions: list[Submission], students: set[str], console: Console
) -> Callable[[list[Grader], Submission, Result], None]:
    """What enters the submissions of `students` into the course's gradebook, one by one; see `ClassBook.record`.

    Raises:
        CourseError: the gradebook cannot be used; nothing is changed then.
    """
    app = settings(module.root)
    book = ClassBook(module, app.coursedir)
    book.require_marks_kept()
    for line in odd(book, [each for each in submissions if each.student in students]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    @functools.cache
    def register(*graders: Grader) -> None:
        for line in book.register(points_of([*graders])):
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def record(graders: list[Grader], submission: Submission, result: Result) -> None:
        register(*graders)
        if submission.student in students:
            book.record(graders, submission, result, app.config)

    return record


def odd(book: ClassBook, submissions: list[Submission]) -> list[str]:
    """A line for each student whom the roster does not know, and for each of whom nobody can tell whether they are late."""
    strangers = book.named_strangers(submission.student for submission in submissions)
    return [*strangers, *map(clean, book.unknown_times(submissions))]


def write_pages(module: Module, students: Iterable[str]) -> None:
    """See `ClassBook.write_page`."""
    book = ClassBook(module, settings(module.root).coursedir)
    with book.open() as gradebook:
        for student in sorted(students):
            book._write_page(gradebook, student)


def autograded(grader: Grader, submission: Submission, result: Result) -> NotebookNode:
    """The notebook that formgrader shows for a submission: rebuilt, with the reports; or why there is no grade."""
    points = grader.contents.points
    if result.graded is None:
        return not_graded(grader.contents.cells, points, told_reason(result))
    try:
        data = b"" if submission.absent else submission.read()
        handed_in, version = ([], "") if submission.absent else (grader.handed_in(data), grader.read(data).version)
        notebook = rebuild(grader.contents.cells, points, handed_in, grader.contents.versions, version)
        if submission.absent:
            notebook.cells.insert(0, nbformat.v4.new_markdown_cell("**This notebook was not handed in.**", id="absent"))
    except (Unreadable, OSError) as error:  # it was graded: what cannot be shown costs nothing
        notebook = not_graded(grader.contents.cells, points, f"Its cells cannot be shown: {error}")
    add_reports(notebook, result.graded, grader.contents.exercises)
    return notebook


def _about(notebook: NotebookNode) -> dict[str, Any]:
    """What `rebuild` and `add_reports` said about the cells of a notebook, by nbgrader's names."""
    marked = [cell.metadata for cell in notebook.cells if "nbgrader" in cell.metadata and "autograder" in cell.metadata]
    return {about.nbgrader.grade_id: about.autograder for about in marked}


def _penalty(gradebook: Gradebook, theirs: SubmittedAssignment, submitted: SubmittedNotebook, config: Any) -> float | None:
    """What nbgrader's own step takes off one late notebook, by the plugin that `config` names; None where nothing."""
    late = theirs.total_seconds_late
    if not late > 0:
        return None
    step = AssignLatePenalties(config=config)
    step.gradebook, step.notebook_id, step.assignment_id = gradebook, submitted.name, theirs.name
    step.init_plugin()
    penalty = step.plugin_inst.late_submission_penalty(theirs.student.id, submitted.score, late)
    return None if penalty is None else min(max(penalty, 0), submitted.score)


def _update(grade: Grade, about: dict[str, Any], before: str | None) -> None:
    """A new autograder's score, or a new answer, replaces the old one and may need a TA; the same one changes nothing."""
    if "score" in about:
        score, waiting = about["score"], grade.manual_score is not None
        changed = grade.auto_score != score
    else:
        score, waiting = (None, True) if about["answered"] else (0.0, grade.manual_score is not None)
        changed = before != about["answer"]
    if changed:
        grade.auto_score, grade.needs_manual_grade = score, waiting


def timestamp(folder: Path) -> datetime | None:
    """When a submission was handed in, as nbgrader wrote it beside it; None where it did not, or not readably."""
    try:
        when: datetime | None = parse_utc(_small_file(folder / COPIED[0]).decode().strip() or None)
        return when
    except (ValueError, OverflowError):
        return None


def in_utc(moment: datetime) -> datetime:
    """A moment as nbgrader keeps it: in UTC, without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def unknown_time(folder: Path) -> str:
    """Why nobody can tell whether a submission without a time is late; nothing where its platform says that it is not."""
    mark = _small_file(folder / LATENESS).decode("utf-8", "replace").strip()
    if mark == MARKS[False]:
        return ""
    if mark == MARKS[True]:
        return "is late, says the platform, but not by how much"
    return "it is unknown when this was handed in"


def costs(module: Module) -> bool:
    """Whether being late takes points off."""
    policy = read_policy(module.root / POLICY, module.name)
    return policy is not None and policy.penalty_per_day > 0 and policy.cap > 0


def extend(module: Module, student: str, days: float, why: str) -> list[str]:
    """Enters an extension into the course's file, and into the gradebook where the submission is there; says what it did.

    Raises:
        CourseError: nobody of the course is called so, or the file or the gradebook cannot be used.
    """
    app, book = settings(module.root), book_of(module)
    known = {path.parent.name for path in (module.root / app.coursedir.submitted_directory).glob(f"*/{module.name}")}
    if book:
        with book.open() as gradebook:
            known |= {each.id for each in gradebook.students}
    if student not in known:
        raise CourseError(f"no student of the course is called {student!r}: {nearest(student, sorted(known))}")
    enter_extension(module.root, module.name, student, days, why)
    said = [f"{student}: {days:g} days more for {module.name}; it stands in {module.root / EXTENSIONS}"]
    if book:
        with book.open() as gradebook, contextlib.suppress(MissingEntry):
            due = gradebook.find_assignment(module.name).duedate
            if due:
                said.append(f"due for {student}: {due + timedelta(days=days):%Y-%m-%d %H:%M:%S} UTC")
            else:
                said.append(f"{module.name} has no due date in the gradebook, so nothing is late yet")
            gradebook.find_submission(module.name, student).extension = timedelta(days=days) or None
            gradebook.db.commit()
            said.append(f"grade again, so that the penalty follows: nbgrader autograde {module.name} --student={student}")
    return said


def require_marks_kept(module: Module) -> None:
    """See `ClassBook.require_marks_kept`; where there is no gradebook yet, nothing can be lost."""
    if book := book_of(module):
        book.require_marks_kept()


def _small_file(path: Path) -> bytes:
    """The content of one of nbgrader's own small files; nothing when it is a link or too large to be one."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 1000:
        return b""
    return path.read_bytes()


# --- the database -----------------------------------------------------------------------------------------------------


def check_gradebook(db_url: str) -> None:
    """Looks whether the gradebook can be written, before anything is.

    Raises:
        CourseError: it was made by another nbgrader, is locked, damaged or not to be reached; with the mend.
    """
    shown = make_url(db_url).render_as_string(hide_password=True)
    sqlite = make_url(db_url).get_backend_name() == "sqlite"
    try:
        engine = create_engine(db_url, connect_args={"timeout": LOCK_SECONDS} if sqlite else {})
    except ModuleNotFoundError as error:
        raise CourseError(f"the gradebook {shown} needs the package {error.name}: install it with pip") from None
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            version = None
            if "alembic_version" in tables:
                version = connection.scalar(text("SELECT version_num FROM alembic_version"))
            unmade = tables and not version and _remove_empty(connection)  # nbgrader was interrupted as it made it
            if tables and not unmade and version != _version():
                raise CourseError(
                    f"the gradebook {shown} was made by another version of nbgrader: copy it, then run `nbgrader db upgrade`"
                )
            if sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails while somebody else is writing
    except OperationalError as error:
        raise CourseError(
            f"the gradebook {shown} cannot be written ({_first_line(error)}): if it is locked, wait for the other nbgrader or "
            "autograder, or end it; else see that its folder, or its server, is there. Then run this again"
        ) from None
    except DatabaseError as error:
        raise CourseError(
            f"the gradebook {shown} is damaged ({_first_line(error)}): put your last copy of it in its place"
        ) from None
    finally:
        engine.dispose()


def _first_line(error: DatabaseError) -> str:
    return str(error.orig).strip().splitlines()[0]


def _remove_empty(connection: Connection) -> bool:
    """Removes the gradebook's tables where none holds anything, so that nbgrader makes them again; whether it did."""
    made = MetaData()
    made.reflect(connection)
    if any(connection.execute(select(table).limit(1)).first() for table in made.sorted_tables):
        return False
    made.drop_all(connection)
    connection.commit()
    return True


def _version() -> str | None:
    """The database version of the nbgrader that is installed."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(nbgrader.__file__).parent / "alembic")).get_current_head()


def existing_book(module: Module) -> ClassBook:
    """The gradebook of a module that was graded before.

    Raises:
        CourseError: there is none yet, or it cannot be used.
    """
    coursedir = settings(module.root).coursedir
    require_gradebook(coursedir.db_url)
    book = ClassBook(module, coursedir)
    with book.open() as gradebook:
        try:
            for each in book.parts:
                gradebook.find_notebook(each.name, module.name)
        except MissingEntry:
            raise CourseError(f"the gradebook has no grades of {module.name} yet: grade it first") from None
    return book


def require_gradebook(db_url: str) -> None:
    """Looks whether there is a gradebook: nbgrader would make an empty one.

    Raises:
        CourseError: there is none.
    """
    if not _exists(db_url):
        raise CourseError(f"there is no gradebook yet ({make_url(db_url).database}): run `nbgrader autograde` first")


def _exists(db_url: str) -> bool:
    """Whether there is a gradebook; of one on a server nobody can tell before it is opened."""
    url = make_url(db_url)
    return url.get_backend_name() != "sqlite" or os.path.exists(url.database or "")


def settings(root: Path) -> NbGrader:
    """nbgrader's settings for the course, read as its own commands read them."""
    app = NbGrader(log_level=logging.ERROR)
    app.initialize([], root=str(root))
    return app
