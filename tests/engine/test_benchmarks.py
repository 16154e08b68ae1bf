"""The benchmark's own parts: what it compares with gives the same points, and what it measures is there."""

import ast
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
import mutants
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


def test_a_right_answer_is_changed_in_one_place_each_time():
    text = "def f(a: int, b=2) -> int:\n    'doc'\n    for x in a:\n        b += x\n    print('sum', b)\n    return b"
    [entry] = [mutants._bare(node) for node in ast.parse(text).body]
    before = ast.unparse(entry)
    texts = {ast.unparse(ast.fix_missing_locations(one)) for one in mutants.changed(entry)}
    assert ast.unparse(entry) == before == text.replace(": int", "").replace(" -> int", "").replace("    'doc'\n", "")
    for old, new in (
        ("b=2", "b=3"),
        ("b += x", "b -= x"),
        ("b += x", "b = x"),
        ("b += x", "pass"),
        ("b += x", "b += x\n        break"),
        ("b += x\n    print", "b += x\n        print"),
        ("in a:", "in [*a][:100]:"),
        ("in a:", "in b:"),
        ("return b", "pass"),
    ):
        assert before.replace(old, new) in texts
    assert not any("_" in one or ast.unparse(entry) == one for one in texts)  # what is printed is free


@needs_walls
def test_mutants_that_no_check_notices_are_told(grader, tmp_path):
    made = list(mutants.mutants(grader.contents, "mean", alternatives=1))
    entry = mutants.reference(grader.contents, "mean")
    text = entry.statements[0].text
    right = mutants._mutant(entry, 0, text, text.replace("sum(", "sum(1 * n for n in "))
    wrong = mutants._mutant(entry, 0, text, "def reference_of_mean(numbers):\n    return 1.5")
    assert mutants.survivors(grader, [*made, right, wrong], 2) == [right]
    assert {mutant.entry.name for mutant in made} == {"reference_of_mean", "adds_exactly"}
    kept = tmp_path / "mutants.md"
    reasons = {right.change: "Multiplying by one changes nothing.", wrong.change: mutants.OPEN}
    mutants.write_kept(kept, reasons, "# Head\n")
    assert mutants.read_kept(kept) == reasons
    assert mutants.read_kept(tmp_path / "none") == {}
