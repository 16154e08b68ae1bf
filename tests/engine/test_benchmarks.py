"""The benchmark's own parts: what it compares with gives the same points, and what it measures is there."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import needs_walls
from toy_course import solved

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import compare
import measure
import rivals

WRONG = solved(double="def double(x):\n    return x * x")
SPIN = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))'])"
PRINT_POINTS = """
import json, sys
sys.path.insert(0, {here!r})
from in_kernel import points
print(json.dumps({{exercise: points(globals(), exercise, {about!r}) for exercise in {exercises!r}}}))
"""


@needs_walls
def test_the_checks_give_the_same_points_beside_the_students_code(grader, tmp_path):
    about = rivals.write_about(grader, tmp_path / "about")
    cells = nbformat.reads(rivals.plain_notebook(WRONG, grader, rivals.grade_cells(grader, about)), as_version=4).cells
    answers = [cell.source for cell in cells if "nbgrader" not in cell.metadata]
    names = {"here": str(rivals.HERE), "about": str(about.parent), "exercises": list(grader.contents.exercises)}
    program = "\n".join([*answers, PRINT_POINTS.format(**names)])
    said = measure.measure([sys.executable, "-c", program], tmp_path, compare.ENVIRONMENT).said
    graded = grader.grade(grader.read(WRONG), hints=False)
    assert json.loads(said) == {
        exercise: graded.of(functions).score for exercise, functions in grader.contents.exercises.items()
    }
    assert graded.score not in (0, graded.maximum)


def test_measures_children_too_and_tells_a_failure(tmp_path):
    alone = measure.measure([sys.executable, "-c", "pass"], tmp_path, compare.ENVIRONMENT)
    parent = measure.measure([sys.executable, "-c", SPIN], tmp_path, compare.ENVIRONMENT)
    assert parent.cpu > alone.cpu
    with pytest.raises(SystemExit, match="ended with 3"):
        measure.measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, compare.ENVIRONMENT)
