"""The graded cells in nbgrader's gradebook, when the source has been edited after grading.

nbgrader itself refuses every cell that comes, goes or gets another name once there are submissions. Here its tables are
changed in place: what people gave stays with its cell, by the cell's name. A cell that only got another name is known
again: by the source's `was=`, else an exercise by its functions, a question or plot by its text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    GradeCell,
    Notebook,
    SolutionCell,
    SourceCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)

from autograder.errors import CourseError
from autograder.grading.judge import clean
from autograder.grading.report import number

NAMED = 5  # students whom a line names


@dataclass(frozen=True)
class Edit:
    """What becomes of the gradebook's cells: names, in the notebook's order; `renamed` are new names by the old ones."""

    renamed: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{old} is now {name}" for old, name in self.renamed.items()]
        parts += [f"{name} is new" for name in self.new] + [f"{name} is gone" for name in self.gone]
        return ", ".join(parts)


def functions_of(notebook: NotebookNode) -> dict[str, set[str]]:
    """By an exercise's cell its functions' cells: those since the last exercise."""
    found: dict[str, set[str]] = {}
    waiting = set[str]()
    for cell in _marked(notebook):
        about = cell.metadata.nbgrader
        if about.grade and about.locked:
            found[about.grade_id], waiting = waiting, set()
        elif about.solution and not about.grade:
            waiting.add(about.grade_id)
    return found


def planned(
    before: Notebook, made: NotebookNode, functions: dict[str, set[str]], former: dict[str, str] | None = None
) -> Edit:
    """How the cells of `before` become those of `made`, the notebook as the source has it now.

    Args:
        functions: of each exercise's cell, as they were when the class was last graded.
        former: by the name of a cell what the source says that it was called.

    Raises:
        CourseError: points or comments by people would be lost; says whose, where, and what to do.
    """
    old = {cell.name: cell for cell in before.source_cells}
    now = {cell.metadata.nbgrader.grade_id: cell for cell in _marked(made)}
    gone = [name for name in old if name not in now]
    new = [name for name in now if name not in old]
    functions_now = functions_of(made)

    def same(one: str, other: str) -> bool:
        if former and (one in former.values() or other in former):
            return former.get(other) == one
        if other in functions_now:
            return functions.get(one) == functions_now[other]
        text, graded = now[other].source, now[other].metadata.nbgrader.grade
        return bool(graded) and old[one].cell_type == now[other].cell_type and (old[one].source or "") == text

    pairs = [(one, other) for one in gone for other in new if same(one, other)]
    renamed = {
        one: other for one, other in pairs if sum(one == a for a, _ in pairs) == 1 == sum(other == b for _, b in pairs)
    }
    edit = Edit(
        renamed,
        [name for name in gone if name not in renamed],
        [name for name in new if name not in renamed.values()],
    )
    for cell in before._base_cells:
        if cell.name in edit.gone and (students := _with_marks(cell)):
            raise CourseError(
                f"{cell.name} is no longer in the source of {before.assignment.name}, and people gave points or comments "
                f"there to {_names(students)}: give a cell that name again, or say beside its new name what it was "
                '(was="…"), or take these back in formgrader first'
            )
    return edit


def require_no_marks(notebook: Notebook) -> None:
    """Refuses to lose what people gave in a notebook that is no longer there.

    Raises:
        CourseError: there is something; says whose, where, and what to do.
    """
    for cell in notebook._base_cells:
        if students := _with_marks(cell):
            raise CourseError(
                f"{notebook.name}.py is no longer in the source of {notebook.assignment.name}, and people gave points or "
                f"comments in {cell.name} to {_names(students)}: put the notebook back, or take these back in formgrader first"
            )


def add_to_submissions(db: Any, assignment: Assignment) -> None:
    """Gives every submission a place for the notebooks that have come since; what is in them waits until it is graded."""
    for notebook in assignment.notebooks:
        known = {each for (each,) in db.query(SubmittedNotebook.assignment_id).filter_by(notebook_id=notebook.id)}
        for submission in [each for each in assignment.submissions if each.id not in known]:
            _add_place(db, notebook, submission)
    db.commit()


def submission_of(db: Any, assignment: Assignment, student: str) -> SubmittedAssignment:
    """A student's submission in an open session, which is not committed: nbgrader itself would commit a new one at once."""
    if found := db.query(SubmittedAssignment).filter_by(assignment_id=assignment.id, student_id=student).one_or_none():
        return found
    new = SubmittedAssignment(assignment=assignment, student=db.get(Student, student) or Student(id=student))
    db.add(new)
    for notebook in assignment.notebooks:
        _add_place(db, notebook, new)
    return new


def _add_place(db: Any, notebook: Notebook, submission: SubmittedAssignment) -> None:
    new = SubmittedNotebook(notebook=notebook, assignment=submission)
    db.add(new)
    db.add_all(Grade(cell=cell, notebook=new) for cell in notebook.grade_cells)
    db.add_all(Comment(cell=cell, notebook=new) for cell in notebook.solution_cells)


def apply(db: Any, before: Notebook, made: NotebookNode, edit: Edit) -> list[str]:
    """Changes the cells of `before` in an open session, which is not committed; gives a line for whom a TA is asked again."""
    for cell in [*before._base_cells, *before.source_cells]:
        cell.name = edit.renamed.get(cell.name, cell.name)
    now = {cell.metadata.nbgrader.grade_id: cell for cell in _marked(made)}
    graded = {name: cell for name, cell in now.items() if cell.metadata.nbgrader.grade}
    said = []
    for kind in list(before._base_cells):
        there = graded if isinstance(kind, GradeCell) else now
        if kind.name not in there:
            for row in [*_rows(db, Grade, kind), *_rows(db, Comment, kind), kind]:
                db.delete(row)
        elif isinstance(kind, GradeCell):
            said += _set_maximum(db, kind, graded[kind.name].metadata.nbgrader.points)
    for cell in list(before.source_cells):
        if cell.name not in now:
            db.delete(cell)
    for name in edit.new:
        _add(db, before, now[name])
    return said


def _add(db: Any, notebook: Notebook, cell: NotebookNode) -> None:
    """A new cell, with a place for its grade and comment in every submission; until it is graded it waits for a TA."""
    about, kind = cell.metadata.nbgrader, cell.cell_type
    db.add(SourceCell(name=about.grade_id, cell_type=kind, locked=about.locked, source=cell.source, notebook=notebook))
    if about.grade:
        grade_cell = GradeCell(name=about.grade_id, max_score=about.points, cell_type=kind, notebook=notebook)
        db.add_all([grade_cell, *(Grade(cell=grade_cell, notebook=each) for each in notebook.submissions)])
    if about.solution:
        solution_cell = SolutionCell(name=about.grade_id, notebook=notebook)
        db.add_all([solution_cell, *(Comment(cell=solution_cell, notebook=each) for each in notebook.submissions)])


def _set_maximum(db: Any, cell: GradeCell, maximum: float) -> list[str]:
    """What was given above a new maximum is to be looked at again."""
    if cell.max_score == maximum:
        return []
    cell.max_score, said = maximum, []
    for grade in _rows(db, Grade, cell):
        given = grade.auto_score if grade.manual_score is None else grade.manual_score
        if given is not None and given > maximum:
            grade.needs_manual_grade = True
            said.append(
                f"{clean(grade.student.id)}: {number(given)} points for {cell.name}, which is worth {number(maximum)} now: "
                "look at it again in formgrader"
            )
    return said


def _rows(db: Any, kind: type, cell: Any) -> list[Any]:
    return list(db.query(kind).filter_by(cell_id=cell.id))


def _marked(notebook: NotebookNode) -> Iterable[NotebookNode]:
    return [cell for cell in notebook.cells if "nbgrader" in cell.metadata]


def _with_marks(cell: Any) -> list[str]:
    """To whom people gave points or comments in a cell."""
    given = [grade for grade in cell.grades if grade.manual_score is not None or grade.extra_credit]
    if not isinstance(cell, GradeCell):
        given += [comment for comment in cell.comments if comment.manual_comment]
    return sorted({each.student.id for each in given})


def _names(students: list[str]) -> str:
    more = [f"{len(students) - NAMED} more"] if len(students) > NAMED else []
    return ", ".join([*map(clean, students[:NAMED]), *more])
