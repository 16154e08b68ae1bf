"""A real nbgrader gradebook with the toy's cells, filled as nbgrader's own steps fill it."""

from nbgrader.api import Gradebook

AUTO = {"arithmetic": 4.0, "averages": 2.5}  # the exercises and their points
MANUAL = {"why": 2.0}  # the written question
MAXIMUM = 8.5


def add_assignment(gradebook: Gradebook, name: str = "toy", duedate: str | None = None) -> None:
    """What `nbgrader generate_assignment` writes."""
    gradebook.add_assignment(name, duedate=duedate)
    gradebook.add_notebook(name, name)
    for cell, points in (AUTO | MANUAL).items():
        kind = "markdown" if cell in MANUAL else "code"
        gradebook.add_grade_cell(cell, name, name, max_score=points, cell_type=kind)
    for cell in MANUAL:
        gradebook.add_solution_cell(cell, name, name)


def add_grades(gradebook: Gradebook, student: str, *scores: float | None, name: str = "toy", **about) -> None:
    """A student's submission: `scores` for the two exercises, then by a TA for the question; None is not graded.

    `timestamp` in `about` is the submission's, the rest is the student's.
    """
    timestamp = about.pop("timestamp", None)
    gradebook.update_or_create_student(student, **about)
    gradebook.update_or_create_submission(name, student, timestamp=timestamp)
    for cell, score in zip((*AUTO, *MANUAL), scores, strict=True):
        grade = gradebook.find_grade(cell, name, name, student)
        setattr(grade, "manual_score" if cell in MANUAL else "auto_score", score)
        grade.needs_manual_grade = score is None
    gradebook.db.commit()
