"""`autograder import`: nbgrader's source notebooks become modules that hold at once."""

import copy
import json
import re

import nbformat
import pytest
from conftest import needs_walls

from autograder.authors.old_solutions import pieces_of
from autograder.authors.old_tests import Written, parts_of
from autograder.cli import main
from autograder.sandboxed.notebook import Cell, parse
from autograder.sandboxed.probing import Student

SQUARE = '''\
import math

LIMIT = 3

def square(x):
    """x times x."""
    ### BEGIN SOLUTION
    if x is None:
        raise ValueError("nothing")
    squared = x * x
    return squared
    ### END SOLUTION'''
TOTAL = '''\
def total(numbers):
    numbers = list(numbers)
    ### BEGIN SOLUTION
    return sum(square(x) for x in numbers)
    ### END SOLUTION'''
STACK = '''\
class Stack:
    def __init__(self):
        ### BEGIN SOLUTION
        self.held = []
        ### END SOLUTION

    def push(self, item):
        ### BEGIN SOLUTION
        self.held.append(item)
        return len(self.held)
        ### END SOLUTION'''


def cell(kind, text, grade_id="", **about):
    new = (nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell)(text)
    if grade_id:
        marks = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
        new.metadata["nbgrader"] = marks | {"grade_id": grade_id} | about
    return new


def solution(text, grade_id):
    return cell("code", text, grade_id, solution=True)


def graded(text, grade_id, points=1.0):
    return cell("code", text, grade_id, grade=True, locked=True, points=points)


CELLS = [
    cell("markdown", "# Numbers\n\n![](plot.png)"),
    cell("code", "HALF = 0.5"),
    solution(SQUARE, "the_square"),
    graded(
        '"""Squares numbers."""\nassert square(3) == 9\n### BEGIN HIDDEN TESTS\nassert abs(square(1.5) - 2.25) < 1e-3\n'
        "### END HIDDEN TESTS",
        "squares",
        points=3,
    ),
    graded("try:\n    square(None)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError('no error')", "refuses"),
    graded("for n in range(4):\n    assert square(n * HALF) == (n * HALF) ** 2", "many"),
    solution(TOTAL, "the_total"),
    graded("from nose.tools import assert_equal\nassert_equal(total([1, 2]), 5)\n### AUTOTEST total([]); total([4])", "totals"),
    graded("kept = square\ndel square\ntry:\n    total([1])\n    raise AssertionError\nexcept NameError:\n    pass\n", "uses"),
    solution(STACK, "the_stack"),
    graded("s = Stack()\nassert s.push('a') == 1\nassert s.push('b') == 2", "stacks", points=2),
    solution("### BEGIN SOLUTION\nside = 4\narea = side ** 2\n### END SOLUTION", "area"),
    graded("assert area == 16 and side == 4", "areas"),
    cell("markdown", "Because.", "why", grade=True, solution=True, points=2),
    cell("code", "show = square(2)", "plotted", grade=True, solution=True, points=1.5),
    cell(
        "markdown",
        "Tidy up.\n\n=== BEGIN MARK SCHEME ===\n1 for names\n=== END MARK SCHEME ===",
        "tidy",
        task=True,
        locked=True,
        points=1,
    ),
]


def write(path, cells, **metadata):
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=copy.deepcopy(cells), metadata=metadata)))
    return path


@pytest.fixture
def course(tmp_path, monkeypatch):
    for folder in ("source", "tests", "old"):
        (tmp_path / folder).mkdir()
    (tmp_path / "old" / "plot.png").write_bytes(b"a picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_walls
@pytest.mark.long
def test_an_imported_module_holds_at_once(course, capsys):
    write(course / "old" / "numbers.ipynb", CELLS)
    assert main(["import", "old/numbers.ipynb", "--name", "week01_numbers"]) == 0
    told = capsys.readouterr().err
    assert "cell 9 (uses) stays as it is and runs beside the student's code" in told and "binds what students write" in told
    assert "cell 11 (stacks) stays as it is" in told and "objects of Stack" in told
    assert "cell 4 (squares): of its points (3) one half is public, one half hidden" in told
    assert "cell 7 (the_total): what was given inside total became a comment" in told
    assert "became the function area_12" in told or "became the function answer_12, which gives side, area" in told
    assert main(["verify", "week01_numbers"]) == 0, capsys.readouterr()
    assert "week01_numbers: verified" in capsys.readouterr().out
    assert main(["release", "week01_numbers"]) == 0, capsys.readouterr()
    assert main(["demo", "week01_numbers"]) == 0, capsys.readouterr()
    made = json.loads((course / "release" / "week01_numbers" / "numbers.ipynb").read_text())
    about = [c["metadata"]["nbgrader"] for c in made["cells"] if c["metadata"]]
    points_of = {one["grade_id"]: one["points"] for one in about if "points" in one}
    assert sum(points_of.values()) == sum(c.metadata.get("nbgrader", {}).get("points", 0) for c in CELLS) == 14.5
    assert points_of["question-why"] == 2 and points_of["plot-plotted"] == 1.5 and points_of["question-tidy"] == 1
    text = "\n".join("".join(c["source"]) for c in made["cells"])
    assert "# YOUR CODE HERE" in text and "#     numbers = list(numbers)" in text and "![](data/plot.png)" in text
    for secret in ("x * x", "Because.", "1 for names", "2.25", "side ** 2"):
        assert secret not in text
    assert (course / "release" / "week01_numbers" / "data" / "plot.png").read_bytes() == b"a picture"


@needs_walls
def test_notebooks_of_one_assignment_become_one_module(course, capsys):
    kind = graded("### AUTOTEST type(square(2))", "kind", points=0)
    write(course / "old" / "a.ipynb", [*CELLS[:5], kind])
    write(course / "old" / "b.ipynb", [cell("markdown", "Two", "two", grade=True, solution=True, points=1)])
    assert main(["import", "old/b.ipynb"]) == 2
    assert "old/b.ipynb has no test cell for what students write: name a notebook of the assignment" in capsys.readouterr().err
    assert main(["import", "old/a.ipynb", "old/b.ipynb"]) == 0
    assert "cell 6 (kind): of an answer only the kind is recorded, type, and any would be right" in capsys.readouterr().err
    text = (course / "source" / "old" / "old.py").read_text()
    assert 'function="square"' in text and 'name="two"' in text


@needs_walls
def test_what_cannot_become_an_exercise_is_named(course, capsys):
    drawing = solution("### BEGIN SOLUTION\nprint('drawn')\n### END SOLUTION", "draws")
    write(course / "old" / "numbers.ipynb", [*CELLS[:4], drawing, graded("assert HALF", "half", 4)])
    assert main(["import", "old/numbers.ipynb", "--name", "week01"]) == 1
    told = capsys.readouterr().err
    assert "left out: old/numbers.ipynb, cell 5 (draws): its solution defines and makes nothing that a test could ask" in told
    assert "left out: old/numbers.ipynb, cell 6 (half): it asks nothing" in told and "nobody gets its points (4)" in told
    assert "drawn" not in (course / "source" / "week01" / "numbers.py").read_text()


def changed(number, text=None, **about):
    cells = copy.deepcopy(CELLS)
    cells[number].source = cells[number].source if text is None else text
    cells[number].metadata["nbgrader"] = cells[number].metadata.get("nbgrader", {}) | about
    return cells


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (changed(2, checksum="abc"), "old.ipynb, cell 3 (the_square): it has a checksum, so this was released or handed in"),
        (changed(2, schema_version=2), "cell 3 (the_square): its metadata are of nbgrader's schema 2, and 3 can be read: run"),
        (changed(2, schema_version=9), "schema 9, and 3 can be read: save it by an nbgrader of today"),
        (changed(3, grade_id="the_square"), "cell 4 (the_square): cell 3 has the ID the_square too: give each its own"),
        (changed(3, grade_id=""), "cell 4: nbgrader has no ID for it"),
        (changed(3, points=-1), "cell 4 (squares): points=-1: write a number, 0 or more"),
        (changed(2, "def square(x):\n    ### BEGIN SOLUTION\n    return x"), "BEGIN SOLUTION and an END SOLUTION must follow"),
        (changed(0, "### BEGIN SOLUTION\n### END SOLUTION"), "cell 1: it has a region SOLUTION, and nbgrader knows of none"),
        (changed(1, "HALF ="), "cell 2: does not run: invalid syntax"),
        (changed(1, "def check():\n    pass"), "cell 2: it binds the name check"),
        ([CELLS[0], CELLS[1]], "old.ipynb has no solution cell, nothing for students to write"),
        ([*CELLS[:4], solution(SQUARE, "again")], "cell 5 (again): square is written in two cells: leave one"),
        ([*CELLS, cell("code", "print(show)")], "cell 17: it needs show of old.ipynb, cell 15 (plotted), which people grade"),
    ],
)
def test_what_is_no_source_is_one_line_and_writes_nothing(course, capsys, cells, words):
    write(course / "old.ipynb", cells)
    assert main(["import", "old.ipynb"]) == 2
    told = capsys.readouterr().err
    assert words in told and len(told.splitlines()) == 1
    assert not any([*(course / "source").iterdir(), *(course / "tests").iterdir(), *course.glob(".import*")])


@needs_walls
def test_a_solution_that_fails_its_own_test_is_the_authors(course, capsys):
    write(course / "old.ipynb", changed(3, "assert square(3) == 8"))
    assert main(["import", "old.ipynb"]) == 2
    told = capsys.readouterr().err
    assert "cell 4 (squares): the notebook's own solution fails it: AssertionError" in told and "assert square(3) == 8" in told
    assert not any((course / "source").iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "No such file"), ("{", "is no notebook"), ("{}", "is no notebook")],
)
def test_what_is_no_notebook(course, capsys, text, words):
    if text is not None:
        (course / "old.ipynb").write_text(text)
    assert main(["import", "old.ipynb"]) == 2 and words in capsys.readouterr().err


def test_another_language_and_a_name_that_is_taken(course, capsys):
    write(course / "old.ipynb", CELLS, kernelspec={"language": "R", "name": "ir", "display_name": "R"})
    assert main(["import", "old.ipynb"]) == 2 and "written in R: only notebooks in Python" in capsys.readouterr().err
    (course / "tests" / "old").mkdir()
    assert main(["import", "old.ipynb"]) == 2 and "exists: nothing was changed" in capsys.readouterr().err


def taken_apart(text, functions=("f",), **values):
    given = parse([Cell(0, "import numpy as np\nfrom unittest import TestCase\nbase = 2")])[0]
    return parts_of(text, Written([*functions, *values.values()], [], values), given)


@pytest.mark.parametrize(
    ("text", "line", "judge"),
    [
        ("assert f(1) == [2]", "student.f(1))", "equal(observed"),
        ("assert [2] == f(1)", "student.f(1))", "equal(observed"),
        ("r = f(1)\nassert r == base", "lambda: r)", "equal(observed"),
        ("assert np.isclose(f(1), 2, atol=0.1)", "student.f(1))", "asked, within=0.1)"),
        ("np.testing.assert_allclose(f(1), 2)", "student.f(1))", "within=1e-05)"),
        ("assert abs(f(1) - 2) < 0.01", "student.f(1))", "within=0.01)"),
        ("assert round(f(1), 2) == 2", "round(student.f(1), 2))", "equal(observed"),
        ("TestCase().assertAlmostEqual(f(1), 2, places=3)", "student.f(1))", "within=0.001)"),
        ("TestCase().assertRaises(KeyError, f, 1)", "student.f(1), raises=KeyError)", '"a KeyError"'),
        ("with TestCase().assertRaises(KeyError):\n    f(1)", "student.f(1), raises=KeyError)", '"a KeyError"'),
        ("try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass", "student.f(1), raises=KeyError)", '"a KeyError"'),
        ("assert len(f(1)) > base", "bool(len(student.f(1)) > base)", "same(observed"),
        ("assert f(1)", "bool(student.f(1))", "same(observed"),
    ],
)
def test_an_assertion_becomes_a_probe_and_a_check(text, line, judge):
    (part,) = taken_apart(text)
    assert not part.weak and part.asks == ["f"] and line in part.lines[-1] and judge in part.judges[0][0]


def test_a_value_is_asked_of_the_function_that_gives_it():
    (part,) = taken_apart("assert x == 3", functions=(), x="answer")
    assert part.lines == ['seen["x"] = attempt(lambda: student.answer()[\'x\'])']


@pytest.mark.parametrize("text", ["TestCase().assertEqual(f(1), g(1))", "while True:\n    assert f(1)", "one = f\ndel f"])
def test_what_no_rule_is_made_for_stays_as_it_is(text):
    (part,) = taken_apart(text, ("f", "g"))
    assert part.weak and part.text.endswith(text)


def test_a_region_is_widened_to_all_that_a_function_does():
    code = "def f(x):\n    '''Says.'''\n    y = x\n    ### BEGIN SOLUTION\n    y += 1\n    ### END SOLUTION\n    return y"
    piece = pieces_of(code, "a", {})[0]
    comments, _, region = piece.text.partition("    ### BEGIN SOLUTION\n")
    shown = "    #     y = x\n    #     # YOUR CODE HERE\n    #     return y\n    # YOUR CODE HERE\n"
    assert piece.framed and comments.endswith(shown)
    assert region == "    y = x\n    y += 1\n    return y\n    ### END SOLUTION"


def test_a_cell_without_a_region_is_all_solution():
    pieces = pieces_of("import math\n\ndef f(x): return math.pi * x", "a", {})
    assert [piece.function for piece in pieces] == ["", "f"] and "BEGIN SOLUTION\n    return math.pi * x" in pieces[1].text


def test_known_answers_stand_in_and_other_arguments_go_to_the_students_own():
    names = {}
    exec("def one(x):\n    return -x\n\ndef two(x):\n    return one(x)", names)
    student = Student(names)
    with student.answered(one={"(3,)": [9]}):
        assert (student.two(3), student.two(4)) == ([9], -4)
        student.two(3).append("changed")
        assert student.two(3) == [9]
    assert student.two(3) == -3


def test_a_test_cell_runs_among_the_students_names_and_leaves_them():
    names = {"one": lambda: 1}
    student = Student(names, {"two": "`two` is not written yet"})
    student.runs("kept = one\ndel one\nassert kept() == 1")
    assert set(names) == {"one"}
    with pytest.raises(AssertionError):
        student.runs("assert one() == 2")
    with pytest.raises(Exception, match=re.escape("`two` is not written yet")):
        student.runs("assert two() == 2")
