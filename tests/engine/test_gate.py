"""The author's gate: what is wrong with a module is told to its author, in one line with file, line and mend."""

import itertools
import json
import re

import pytest
from conftest import collected_once, needs_walls
from toy_course import (
    ALTERNATIVES,
    MISTAKES,
    PROBES_HIDDEN,
    PROBES_PUBLIC,
    SOURCE,
    TEST_HIDDEN,
    TEST_PUBLIC,
    solved,
    write_course,
)

from autograder import cli
from autograder.authors.leaks import find_leaks, secret_lines
from autograder.authors.release import released_files
from autograder.course.checks import Check, same
from autograder.course.course import Course
from autograder.course.source import read_source
from autograder.errors import CourseError
from autograder.grading import contents
from autograder.grading.contents import Contents
from autograder.grading.gate import course_problems, reference_problems, require_sound
from autograder.grading.judge import judge
from autograder.grading.recordings import Observation, Recording
from autograder.sandboxed.probing import attempt
from autograder.sandboxed.recording import Error, decode, encode

NUMBERS = itertools.count()


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A toy module under a name of its own, with other texts for some files."""
    monkeypatch.setattr(contents, "collect", collected_once)

    def write(**changed: str) -> Contents:
        name = f"gated{next(NUMBERS)}"  # checks are imported under the module's name
        return Contents(Course(write_course(tmp_path, name, **changed)).module(name))

    return write


CHECK = '@check("double", points=1)'
CHECK_CELL = '# %% role="check" exercise="double"\ncheck("double")\n'
QUESTION = SOURCE[SOURCE.index("# %% [markdown] role") :]


TEXTS = {
    "source": SOURCE,
    "test_public": TEST_PUBLIC,
    "test_hidden": TEST_HIDDEN,
    "probes_public": PROBES_PUBLIC,
    "probes_hidden": PROBES_HIDDEN,
    "mistakes": MISTAKES,
    "alternatives": ALTERNATIVES,
}


def points(text: str) -> tuple[str, str, str]:
    return "test_public", CHECK, f'@check("double", points={text})'


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("test_public", CHECK, '@check("double")', r'test_public.py, line 5: test_doubles needs points: write @check\("do'),
        (*points("-1"), r"test_public.py, line 5: test_doubles has points=-1: write a number, 0 or more"),
        (*points("float('nan')"), r"test_public.py, line 5: test_doubles has points=nan: write"),
        (*points("float('inf')"), r"test_public.py, line 5: test_doubles has points=inf: write"),
        (*points("True"), r"test_public.py, line 5: test_doubles has points=True: write"),
        (*points("'1'"), r"test_public.py, line 5: test_doubles has points='1': write"),
        ("test_public", CHECK, "@check", r"test_public.py, line 5: test_doubles needs the function it is about: write @che"),
        ("test_public", CHECK, "", r"test_public.py, line 6: test_doubles is no check and would never be asked: write @"),
        ("test_public", '    """Doubles small numbers."""\n', "", r"test_public.py, line 5: test_doubles needs a docst"),
        ("test_public", "expected):", "expected", r"test_public.py, line 6: does not run: .*: mend this line"),
        ("test_public", "import check", "import chek", r"line 2: could not be collected: ImportError: .*chek.*: mend this"),
        ("test_public", "test_means", "test_doubles", r"line 18: test_doubles replaces the one in line 6: give each its"),
        ("test_public", "observed.means", "observed.mean", r"line 20: test_means reads the probe mean, .*did you mean me"),
        ("test_hidden", "observed.long_means", "observed.means", r"line 14: test_long_means reads the probe means, and prob"),
        ("probes_public", "draw):", "draw", r"probes_public.py, line 6: does not run: .*: mend this line"),
        ("probes_public", "def means", "def doubles", r"_public.py, line 19: .*_public.py, line 6 has a probe doubles to"),
        ("probes_hidden", "def whole_", "def ", r"_hidden.py, line 12: .*_public.py, line 12 has a probe quadruples too:"),
        ("probes_public", '@probe("mean")', "@probe", r"line 19: the probe means names no function: write @probe"),
        ("probes_public", '"mean"', '"meen"', r"line 19: the probe means is of 'meen', which the notebook does not defin"),
        ("probes_hidden", '"long_means"', '"means"', r"line 23: the probe the_numbers_again is beside 'means', no prob"),
        ("mistakes", "(x):", "(x", r"mistakes.py, line 10: does not run: .*: mend this line"),
        ("mistakes", '@mistake(of="double", caught_by="test_doubles")', "@mistake", r"line 10: @mistake takes settings by"),
        ("alternatives", "(x):", "(x", r"alternatives.py, line 8: does not run: .*: mend this line"),
        ("source", "def double(x):", "def double(x:", r"line 11: this code does not run: .*: mend this line"),
        ("source", "import math", "import math as", r"line 6: this code does not run: .*: mend this line"),
        ("source", "points=2", "points=-2", r"line 42: points=-2: write a number, 0 or more"),
        ("source", "points=2", "points=NaN", r"line 42: points=nan: write a number"),
        ("source", "points=2", "points=true", r"line 42: points=True: write a number"),
        ("source", "points=2", 'points="2"', r"line 42: points='2': write a number"),
        ("source", QUESTION, QUESTION + QUESTION, r"line 48: nbgrader would call this cell question-why, as the one in l"),
        ("source", CHECK_CELL, CHECK_CELL * 2, r"line 20: nbgrader would call this cell check-double, as the one in lin"),
        ("source", '"why"', '"why not"', r"line 42: nbgrader cannot call a cell 'question-why not': write its name with"),
        ("source", '"double"', "double", r'line 10: its settings .* cannot be read: write texts in quotes'),
        ("source", 'function="double"', 'function="double" folded=true', r"line 10: folded=true hides .*: take it from text"),
        ("source", CHECK_CELL, '# %% role="exercise" function="f"\n', r"line 18: does not define f: write it here"),
        ("source", "return double(halfway)", "return double(", r"line 26: this code does not run"),
    ],
)  # fmt: skip
def test_an_authors_error_is_one_line(course, file, old, new, line):
    assert old in TEXTS[file]
    problems = course_problems(course(**{file: TEXTS[file].replace(old, new, 1)}))
    found = [problem for problem in problems if re.search(line, problem)]
    assert len(found) == 1 and re.match(r"(source|tests)/\w+/\w+\.py, line \d+: ", found[0]), problems
    assert all("\n" not in problem for problem in problems) and len(problems) <= 2


def test_a_sound_module_has_no_problems(course):
    require_sound(course())


def test_a_stub_that_cannot_run_is_told(course):
    """The solution is Python, and what is left without it is not."""
    body = "    try:\n        ### BEGIN SOLUTION\n        return x + x\n    finally:\n        ### END SOLUTION\n        x = 0\n"
    start, end = SOURCE.index("    ### BEGIN"), SOURCE.index("# %% role=\"check\"")
    problems = course_problems(course(source=SOURCE[:start] + body + "\n" + SOURCE[end:]))
    assert len(problems) == 1 and "line 10: without its solution it does not run" in problems[0], problems


CLASS_CELL = """# %% role="exercise" function="Layer"
class Layer:
    \"\"\"A layer.\"\"\"

    def __init__(self, width: int = 3):
        super().__init__()
        ### BEGIN SOLUTION
        self.width = width
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        widened = x * self.width
        return widened
        ### END SOLUTION


# %% role="grade" exercise="layers"
check("layers")

"""


def test_a_class_has_a_region_in_each_method(tmp_path):
    path = tmp_path / "layers.py"
    path.write_text(CLASS_CELL)
    cell = read_source(path)[0]
    assert cell.is_class and "BEGIN" not in cell.solution and list(cell.solution_lines())[0] == "self.width = width"
    raising = [line.strip() for line in cell.stub.splitlines() if "raise" in line]
    assert raising == [f'raise NotImplementedError("write Layer.{name}")' for name in ("__init__", "forward")]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("super().__init__()", "self.depth = 2", "what students get of Layer says something already: put all"),
        ("### ", "# ", "needs one ### BEGIN SOLUTION … ### END SOLUTION region, has 0"),
        ('function="Layer"', 'function="Net.Layer"', "does not define Net.Layer"),
        ("class Layer:", "class Other:", "does not define Layer"),
    ],
)
def test_a_class_that_is_no_exercise_is_told(tmp_path, old, new, line):
    path = tmp_path / "layers.py"
    path.write_text(CLASS_CELL.replace(old, new))
    with pytest.raises(CourseError, match=re.escape(line)):
        read_source(path)


@pytest.mark.parametrize("name", ["Layer", "Net.Layer"])
@pytest.mark.parametrize("outer", ["class Net:", "def make():"])
def test_a_class_inside_another_definition_is_told(tmp_path, name, outer):
    marker, body = CLASS_CELL.replace('"Layer"', f'"{name}"', 1).split("\n", 1)
    cell, rest = body.split("\n\n\n", 1)
    inside = "\n".join(f"    {line}" for line in cell.splitlines())
    (tmp_path / "layers.py").write_text(f"{marker}\n{outer}\n{inside}\n\n\n{rest}")
    words = f"defines Layer inside {outer.split()[1].strip('():')}: move it out, to the left edge of its cell, as function="
    with pytest.raises(CourseError, match=rf'line 1: {words}"Layer"'):
        read_source(tmp_path / "layers.py")


def test_every_file_is_looked_through(course):
    """One broken file hides nothing of the others."""
    problems = course_problems(course(mistakes="def f(:", probes_hidden="def f(:", test_public=TEST_PUBLIC + "\n1 / 0\n"))
    assert {re.search(r"(\w+)\.py", problem)[1] for problem in problems} == {"mistakes", "probes_hidden", "test_public"}


def test_probes_made_otherwise_are_not_guessed_at(course):
    made = PROBES_PUBLIC.replace('@probe("mean")\n', "") + '\nmeans = probe("mean")(means)\n'
    assert course_problems(course(probes_public=made)) == []


# --- what the reference answered --------------------------------------------------------------------------------------


def recording(**values: object) -> Recording:
    return Recording({name: Observation("returned", value) for name, value in values.items()})


def test_what_attempt_reckons_with_is_declared():
    def fail():
        return {}["x"]

    for raises, declared in (((), False), (ValueError, False), (KeyError, True), ((ValueError, LookupError), True)):
        back = decode(encode([attempt(fail, raises=raises)]))[0]
        assert (back, back.declared) == (Error("KeyError", "'x'"), declared)


HIDDEN = {"large_doubles": {"number": 6, "text": "abab"}, "whole_quadruples": 8, "long_means": 1.5, "the_numbers_again": 1.5}


def test_an_error_of_the_reference_must_be_declared(course):
    module = course()
    for declared, lines in ((True, 0), (False, 1)):
        text = {"text": Error("KeyError", "'ab'", "cell 2, line 4: x[3]", declared)}
        answers = recording(**HIDDEN | {"large_doubles": {"number": 6} | text})
        problems = reference_problems(module, {False: answers})
        assert len(problems) == lines, problems
    assert re.search(r"probes_hidden.py, line 6: the reference raises KeyError: 'ab' .*large_doubles\['text'\]", problems[0])
    assert problems[0].endswith("attempt(…, raises=KeyError)")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("pass", "line 17: test_it reads no answer: compare something of `observed`"),
        ("same(expected.long_means, 1.5, 'it')", "line 17: test_it reads no answer"),
        ("try:\n        observed.long_means\n    except AssertionError:\n        pass", "line 17: test_it passes without any"),
        ("observed.long_means['x']", "line 20: test_it breaks on the reference's own answers: TypeError: .*: mend what"),
        ("observed.large_doubles['x']", "line 20: test_it breaks on the reference's own answers: KeyError: 'x': mend"),
        ("observed.long_means.shape", "line 20: test_it breaks on the reference's own answers: AttributeError: "),
        ("same(observed.whole_quadruples, 8, 'it')", "line 17: test_it is about mean, and its probe whole_quadruples about q"),
        ("getattr(observed, 'nowhere')", "line 20: test_it breaks on .* no probe is named 'nowhere'"),
    ],
)
def test_a_check_that_looks_at_nothing_or_breaks_is_its_authors_error(course, body, line):
    text = f'{TEST_HIDDEN}\n\n@check("mean", points=1)\ndef test_it(observed, expected):\n    """Is told."""\n    {body}\n'
    problems = reference_problems(course(test_hidden=text), {False: recording(**HIDDEN)})
    assert len(problems) == 1 and re.search(r"tests/\w+/test_hidden.py, " + line, problems[0]), problems


# --- in judging -------------------------------------------------------------------------------------------------------


def judged(test, answer: Observation):
    check = Check("test_it", "f", 2, "Is told.", test, public=False)
    wanted = Recording({"asked": Observation("returned", {"a": 1})})
    return judge([check], {False: Recording({"asked": answer})}, {False: wanted})[0].verdict


def swallows(observed, expected):
    try:
        same(observed.asked, expected.asked, "it")
    except AssertionError:
        return


@pytest.mark.parametrize(
    ("test", "answer", "state", "message"),
    [
        (lambda observed, expected: None, Observation("returned", {"a": 1}), "not graded", "read no answer: tell your inst"),
        (swallows, Observation("missing", None, Error("Missing", "not written yet")), "missing", "not written yet"),
        (swallows, Observation("timed out", None, Error("Timeout", "too long")), "timed out", "too long"),
        (lambda observed, expected: observed.asked["b"], Observation("returned", {"a": 1}), "not graded", "check is broken"),
        (lambda observed, expected: observed.asked["a"], Observation("returned", None), "failed", "another form than the con"),
        (lambda observed, expected: observed.asked["a"], Observation("returned", {"a": 1}), "passed", ""),
    ],
)
def test_no_point_without_an_answer_and_no_blame_for_a_broken_check(test, answer, state, message):
    verdict = judged(test, answer)
    assert (verdict.state, verdict.points) == (state, 2 if state == "passed" else 0)
    assert message in verdict.message


# --- what is published ------------------------------------------------------------------------------------------------

HELPERS = {
    "networks": "from . import deeper\n",
    "deeper": "SIX = 6\n",
    "old_solutions": "def answer():\n    return 'of last year'\n",
}


@pytest.mark.parametrize(
    "line", ["from .networks import deeper", "from . import networks", "def late():\n    from .networks import deeper"]
)
def test_what_public_files_import_is_published_and_nothing_else(course, line):
    module = course(probes_public=f"{line}\n{PROBES_PUBLIC}", **HELPERS)
    published = {"__init__.py", "deeper.py", "networks.py", "probes_public.py", "test_public.py"}
    assert {path.name for path in module.module.public_files} == published
    assert {name.removeprefix("checks/") for name in released_files(module) if name.endswith(".py")} == published
    assert secret_lines(module)["return'oflastyear'"].endswith("old_solutions.py")


def test_the_release_lists_what_is_published(course):
    module = course(test_public=f"from .nets.small import SIX\n{TEST_PUBLIC}")
    (module.module.tests / "nets").mkdir()
    for name, text in (("__init__", ""), ("small", "SIX = 6\n"), ("other", "OTHER_SECRET = 'thing'\n")):
        (module.module.tests / "nets" / f"{name}.py").write_text(text)
    files = released_files(module)
    listed = ["__init__", "nets/__init__", "nets/small", "probes_public", "test_public"]
    assert json.loads(files["checks/module.json"])["files"] == [f"checks/{name}.py" for name in listed]
    assert "OTHER_SECRET='thing'" in secret_lines(module)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"probes_public": "from .mistakes import PAIR"}, r"probes_public.py, line 1: .* it imports mistakes.py, which they"),
        ({"test_public": "from . import test_hidden"}, r"test_public.py, line 1: .* it imports test_hidden.py, which they"),
        ({"test_public": "from . import networks", "networks": "\nfrom .probes_hidden import x"}, r"networks.py, line 2: "),
        ({"probes_public": "import {name}.networks", "networks": ""}, r"probes_public.py, line 1: .* a folder called checks/"),
        ({"probes_public": "from {name} import networks", "networks": ""}, r"line 1: .* a folder called checks/"),
    ],
)
def test_what_must_not_be_published_is_not(course, changed, line):
    module = course(**changed)
    for name, text in changed.items():
        (module.module.tests / f"{name}.py").write_text(text.format(name=module.module.name))
    assert [problem for problem in course_problems(module) if re.search(line, problem)]
    with pytest.raises(CourseError, match=line):
        released_files(module)


def test_a_copy_of_the_solutions_is_found_though_public_files_import_it(course, tmp_path):
    copied = "def quadruple(x):\n    halfway = double(x)\n    return double(halfway)\n"
    module = course(probes_public=f"from .helpers import quadruple\n{PROBES_PUBLIC}", helpers=copied)
    released = tmp_path / "released" / "checks" / "helpers.py"
    released.parent.mkdir(parents=True)
    released.write_text(copied)
    leaks = find_leaks(module, ["checks/helpers.py"], tmp_path / "released")
    assert len(leaks) == 1 and leaks[0].endswith("checks/helpers.py: holds the solution of quadruple")


# --- on the command line ----------------------------------------------------------------------------------------------


@needs_walls
def test_all_commands_say_the_same_lines(course, shared, tmp_path, monkeypatch, capsys):
    texts = {"test_public": TEST_PUBLIC.replace("points=2", "points=-2"), "source": SOURCE.replace("points=2", "points=-2")}
    name = course(**texts).module.name
    (tmp_path / "anna.ipynb").write_bytes(solved())
    monkeypatch.chdir(tmp_path)
    said = []
    for command in (["verify", name], ["release", name], ["release", "--check", name], ["grade", name, "anna.ipynb"]):
        assert cli.main(command) != 0
        said.append(capsys.readouterr().err.removeprefix("autograder: ").splitlines())
    assert said[0] == said[1] == said[2] == said[3] and len(said[0]) == 2


@needs_walls
def test_an_unfinished_module_keeps_nobody_from_the_others(course, shared, tmp_path, monkeypatch, capsys):
    name = course().module.name
    for folder in ("unfinished", ".ipynb_checkpoints", "__pycache__", "pictures"):
        (tmp_path / "source" / folder).mkdir()
    (tmp_path / "source" / "unfinished" / "a.py").touch()
    (tmp_path / "source" / "unfinished" / "b.py").touch()
    monkeypatch.chdir(tmp_path)
    assert [module.name for module in Course(tmp_path).modules()] == sorted([name, "unfinished"])
    assert cli.main(["verify"]) == 1
    printed = capsys.readouterr()
    assert "unfinished/a.py has no exercise and no question, and beside others it is taken for a notebook" in printed.err
    assert f"{name}: verified" in printed.out
    assert cli.main(["release", "--check"]) == 1
    printed = capsys.readouterr()
    assert "unfinished/a.py has no exercise" in printed.err and f"release/{name}/{name}.ipynb: missing" in printed.err
