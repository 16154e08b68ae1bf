"""The same class and the same checks for plain nbgrader and for otter-grader, both of which grade in the student's kernel.

Their notebooks hold the code that the functions need, one cell for each of the student's, and no training or plots: what
those would cost is not counted against them.
"""

import json
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import nbformat
from in_kernel import ABOUT
from measure import Cost, measure, together
from nbgrader.api import Gradebook

from autograder.course.course import Module
from autograder.course.notebooks import nbgrader_metadata
from autograder.grading.grader import FILES, Grader
from autograder.grading.recordings import save_recording
from autograder.sandboxed.notebook import read_cells, select

CONFIG = "c = get_config()\nc.CourseDirectory.course_id = 'plain'\nc.Execute.timeout = 300\n"
HERE = Path(__file__).parent
POINTS = (
    "import sys; sys.path.insert(0, {here!r})\nfrom in_kernel import points\npoints(globals(), {exercise!r}, {about!r})"
)
OTTER_TEST = """
import sys; sys.path.insert(0, {here!r})
from in_kernel import verdicts
from otter.test_files import test_case

OK_FORMAT = False
name = {exercise!r}
"""
OTTER_CASE = """
@test_case(name={check!r}, points={points})
def {check}(env):
    verdict = verdicts(env, {exercise!r}, {about!r})[{check!r}]
    assert verdict.state == "passed", verdict.message
"""


def write_about(grader: Grader, folder: Path) -> Path:
    """Writes what `in_kernel` reads: about the course, and the reference's recordings. Gives the first file."""
    folder.mkdir(parents=True)
    for public, recording in grader.expected.items():
        save_recording(folder / f"{FILES[public]}.safetensors", recording)
    module = grader.module
    about = {"root": str(module.root), "module": module.name, "seed": grader.seed, "exercises": grader.contents.exercises}
    (folder / ABOUT).write_text(json.dumps(about))
    return folder / ABOUT


def plain_notebook(data: bytes, grader: Grader, graded: list[nbformat.NotebookNode]) -> str:
    """A submission's code as a notebook of its own: one cell for each cell that the functions need, then `graded`."""
    cells: dict[int, list[str]] = {}
    code = select(read_cells(data), grader.contents.functions)
    for number, _, text in code.pieces:
        cells.setdefault(number, []).append(text)
    made = [nbformat.v4.new_code_cell("\n".join(texts)) for texts in cells.values()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=made + graded, metadata={"kernelspec": kernel})))


def grade_cells(grader: Grader, about: Path) -> list[nbformat.NotebookNode]:
    """nbgrader's grade cells, one for each exercise: what they end with is the exercise's points, by partial credit."""
    made = []
    for cell in grader.contents.cells:
        if cell.role == "grade":
            exercise = cell.about["exercise"]
            text = POINTS.format(here=str(HERE), exercise=exercise, about=str(about.parent))
            made.append(nbformat.v4.new_code_cell(text, metadata={"nbgrader": nbgrader_metadata(cell, grader.contents.points)}))
    return made


# --- nbgrader ---------------------------------------------------------------------------------------------------------


def run_nbgrader(grader: Grader, about: Path, submissions: list[Path], folder: Path, environment: dict[str, Any]) -> Cost:
    """`nbgrader autograde` in a plain course made in `folder`."""
    name, graded = grader.module.name, grade_cells(grader, about)
    source = folder / "source" / name / grader.module.notebook
    source.parent.mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(CONFIG)
    source.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=graded)))
    measure(["nbgrader", "generate_assignment", name], folder, environment)
    for path in submissions:
        copy = folder / "submitted" / path.parts[-3] / name / path.name
        copy.parent.mkdir(parents=True)
        copy.write_text(plain_notebook(path.read_bytes(), grader, graded))
    return measure(["nbgrader", "autograde", name], folder, environment)


def gradebook_scores(folder: Path, module: Module, course: str) -> dict[str, dict[str, float]]:
    """The automatic score of each exercise, by student, in the gradebook of a course."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", course) as book:
        return {
            submission.student.id: {
                grade.name.removeprefix("exercise-"): grade.auto_score or 0.0
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.name.startswith("exercise-")
            }
            for submission in book.find_assignment(module.name).submissions
        }


# --- otter-grader -----------------------------------------------------------------------------------------------------


def run_otter(grader: Grader, about: Path, submissions: list[Path], folder: Path, environment: dict[str, Any]) -> Cost:
    """`otter run`, once for each submission: its own way to grade without containers."""
    tests = folder / "tests"
    tests.mkdir(parents=True)
    for exercise, functions in grader.contents.exercises.items():
        names = {"here": str(HERE), "about": str(about.parent), "exercise": exercise}
        cases = [
            OTTER_CASE.format(check=check.name, points=check.points, **names)
            for check in grader.contents.checks
            if check.function in functions
        ]
        (tests / f"{exercise}.py").write_text(OTTER_TEST.format(**names) + "".join(cases))
    measure(["otter", "generate", "--no-environment", "--no-requirements"], folder, environment)
    costs = []
    for path in submissions:
        mine = folder / path.parts[-3]
        mine.mkdir()
        (mine / path.name).write_text(plain_notebook(path.read_bytes(), grader, []))
        costs.append(
            measure(["otter", "run", "-a", folder / "autograder.zip", "--no-logo", path.name], mine, environment)
        )
    return together(costs)


def otter_scores(folder: Path) -> dict[str, dict[str, float]]:
    """The score of each exercise, by student, in what `otter run` wrote."""
    found = {}
    for path in sorted(folder.glob("*/results.json")):
        tests = json.loads(path.read_text())["tests"]
        found[path.parent.name] = {test["name"]: test.get("score", 0.0) for test in tests if "score" in test}
    return found


def otter_is_missing() -> str:
    """Why otter-grader cannot run in this Python's environment; empty when it can."""
    there = shutil.which("otter", path=sysconfig.get_path("scripts"))
    return "" if there else "not run: `pip install 'visual-computing-autograder[benchmark]'` first"
