"""Modules unlike the first: with data of their own, without any, without torch, without hidden or without public probes."""

import json
import re
import sys

import pytest
from conftest import needs_walls
from toy_course import WITH_IMAGES, notebook, write_course
from toy_weeks import COUNTS_COLUMN, HEAD, RIGHT, TOTALS, WRONG, write_totals

from autograder import cli
from autograder.authors.leaks import find_leaks
from autograder.authors.release import release, released_files
from autograder.authors.stale import check_release
from autograder.course import needs
from autograder.course.course import Course
from autograder.course.needs import SLOW, needs_in, needs_of
from autograder.errors import CourseError
from autograder.gradebook import gradescope
from autograder.grading.contents import Contents
from autograder.grading.gate import course_problems
from autograder.grading.grader import Grader
from autograder.grading.observer import Observer
from autograder.sandboxed.notebook import read_cells, select
from autograder.sandboxed.recording import Tensor
from autograder.students.handin import check_notebook

LOOKING = """
from pathlib import Path
import sys

from autograder.authoring import attempt, probe


@probe("total")
def loaded(student, draw):
    return [name for name in ("torch", "torchvision", "matplotlib") if name in sys.modules]


@probe("total")
def found(student, draw):
    return sorted(path.as_posix() for path in Path("data").rglob("*") if path.is_file())


@probe("total")
def overwritten(student, draw):
    return attempt(lambda: Path("data/birds.csv").write_text("mine"))


@probe("total")
def beside(student, draw):
    return attempt(lambda: Path("data/birds.csv").resolve().parents[1].joinpath("totals.py").read_text())
"""


@pytest.fixture
def totals(tmp_path):
    yield Course(write_totals(tmp_path)).module("totals")
    _forget("totals")


def _forget(*names: str) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in names]:
        del sys.modules[name]


def observe(module, *cells: str) -> dict:
    """What the public probes saw of these cells."""
    functions = ["total"]
    with Observer(module.tests, "probes_public", functions, needs=needs_of(module), workers=1) as observer:
        return observer.observe(select(read_cells(notebook(*cells)), functions)).observations


# --- data -------------------------------------------------------------------------------------------------------------


def test_a_release_holds_the_module_s_own_data_and_no_other(totals, tmp_path):
    (totals.source.parent / "data/.ipynb_checkpoints").mkdir()
    (totals.source.parent / "data/.ipynb_checkpoints/birds.csv").write_text("old")
    files = released_files(Contents(totals))
    data = {name: files[name] for name in files if name.startswith("data/")}
    assert set(data) == {"data/birds.csv", "data/more/notes.txt"} and data["data/more/notes.txt"] == b"counted in May\n"
    bare = Course(write_course(tmp_path / "bare")).module("toy")
    tiny = Course(write_course(tmp_path / "tiny", source=WITH_IMAGES)).module("toy")
    assert needs_of(bare).data == {}
    assert "tiny-cifar-10/test_batch" in needs_of(tiny).data and needs_of(tiny).own == {}


@needs_walls
def test_behind_the_walls_lie_the_data_of_the_release_read_only_and_no_neighbour(totals):
    (totals.tests / "probes_public.py").write_text(LOOKING)
    seen = {name: o.value for name, o in observe(totals, RIGHT).items()}
    assert seen["loaded"] == []
    assert seen["found"] == ["data/birds.csv", "data/more/notes.txt"]
    assert seen["overwritten"].type in ("PermissionError", "OSError") and seen["beside"].type == "FileNotFoundError"


def test_a_recording_depends_on_the_data(totals):
    def key() -> str:
        observer = Observer(totals.tests, "probes_public", ["total"], needs=needs_of(totals))
        return observer.key(select([], ["total"]), 1, None)

    before, made_from = key(), Contents(totals).made_from
    (totals.source.parent / "data/birds.csv").write_text("name,count\nheron,5\n")
    assert key() != before and Contents(totals).made_from != made_from


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: (data / "far").symlink_to("/etc"), "totals/data/far is a link, .*: put the file in its place"),
        (lambda data: (data / "tiny-cifar-10").mkdir() or (data / "tiny-cifar-10/x").touch(), "tiny CIFAR-10.*: rename"),
        (lambda data: (data / "more.csv").touch(), "source/totals/data holds 3 files, more than 2: put them into one"),
    ],
)
def test_data_that_cannot_be_given_are_refused_in_one_line(totals, monkeypatch, change, words):
    monkeypatch.setattr(needs, "MAX_FILES", 2 if "3 files" in words else 9)
    totals.source.write_text(totals.source.read_text().replace("import check", "import TinyCIFAR10, check"))
    change(totals.source.parent / "data")
    with pytest.raises(CourseError, match=words) as refused:
        needs_of(totals)
    assert "\n" not in str(refused.value)


def test_an_answer_in_the_data_is_a_leak(totals):
    contents = Contents(totals)
    for name, text in released_files(contents).items():
        (totals.release / name).parent.mkdir(parents=True, exist_ok=True)
        (totals.release / name).write_bytes(text)
    made = [str(path.relative_to(totals.release)) for path in totals.release.rglob("*")]
    assert find_leaks(contents, made, totals.release) == []
    (totals.release / "data/more/notes.txt").write_text('return sum(int(row["count"]) for row in rows)\n')
    (leak,) = find_leaks(contents, made, totals.release)
    assert "notes.txt: holds a line of the solution" in leak


def test_gradescope_gets_the_data_and_what_modules_share(totals):
    common = totals.root / "tests/common"
    common.mkdir()
    (common / "counting.py").write_text("ONE = 1\n")
    hidden = totals.tests / "probes_hidden.py"
    hidden.write_text(hidden.read_text() + "from .counting import ONE  # noqa: F401\n")
    names = {name for _, name in gradescope._copied(totals)}
    assert {"source/totals/data/birds.csv", "tests/common/counting.py", "tests/totals/probes_public.py"} <= names


# --- torch ------------------------------------------------------------------------------------------------------------


def test_what_is_imported_before_a_submission_is_what_the_module_imports(totals, tmp_path):
    assert needs_of(totals).packages == ()
    assert needs_of(Course(write_course(tmp_path / "tiny", source=WITH_IMAGES)).module("toy")).packages == ("torchvision",)
    for line in ("import torch", "from torch import nn", "import numpy, torch.nn", "if 1:\n    import torch as t"):
        (totals.tests / "probes_hidden.py").write_text(line + "\n")
        assert needs_of(totals).packages == ("torch",), line
    (totals.root / "student").mkdir()
    (totals.root / "student/mine.ipynb").write_bytes(notebook("import math\nimport matplotlib.pyplot as plt"))
    assert needs_in(totals.root / "student").packages == ("matplotlib",)


def test_the_first_module_is_given_what_it_was(request):
    found = needs_of(Course(request.config.rootpath).module("week08_densenet"))
    assert found.packages == SLOW and list(found.own) == ["whole_cifar10.npz"]
    assert len(found.data.keys() - found.own.keys()) == 3


@needs_walls
def test_a_submission_may_bring_torch_to_a_module_without(totals):
    tensor = "import torch\n\n\ndef total(path):\n    return torch.tensor([4, 5]).sum().item()"
    with Observer(totals.tests, "probes_public", ["total"], needs=needs_of(totals), workers=1) as observer:
        for text, value in ((tensor, 9), (RIGHT, 9), (tensor.replace(".item()", ""), Tensor)):
            found = observer.observe(select(read_cells(notebook(text)), ["total"])).observations["of_birds"]
            assert found.value == value or type(found.value) is value, found.error


# --- public or hidden probes alone ------------------------------------------------------------------------------------


@needs_walls
@pytest.mark.parametrize(("half", "points"), [("public", 1), ("hidden", 2)])
def test_a_module_with_one_half_of_the_probes(tmp_path, monkeypatch, capsys, half, points):
    name = f"{half}_alone"
    root = write_totals(tmp_path, name, public=half == "public", hidden=half == "hidden")
    module = Course(root).module(name)
    monkeypatch.chdir(root)
    try:
        assert cli.main(["verify", "--workers", "1"]) == 0, capsys.readouterr()
        release(module)
        assert check_release(module) == []
        for student, text in (("ada", RIGHT), ("bob", WRONG)):
            (root / "submitted" / student / name).mkdir(parents=True)
            (root / "submitted" / student / name / f"{name}.ipynb").write_bytes(notebook(text, "1 +"))
        assert cli.main(["grade", name, "submitted", "--workers", "1"]) == 0, capsys.readouterr()
        results = {who: json.loads((root / f"grades/{name}/results/{who}.json").read_text()) for who in ("ada", "bob")}
        assert {who: (result["score"], result["maximum"]) for who, result in results.items()} == {
            "ada": (points, points),
            "bob": (0, points),
        }
        assert "does not run" in json.dumps(results["bob"]["cells"])
        (module.release / "mine.ipynb").write_bytes(notebook(WRONG))
        text, passed = check_notebook(module.release / "mine.ipynb", 30)
    finally:
        _forget(name)
    if half == "public":
        assert not passed and "There are no hidden checks here." in text
    else:
        expected = "There are no public checks of `total`: hidden ones, worth 2 points, come with the grade."
        assert passed and text == f"{module.release / 'mine.ipynb'}: {expected}"


def test_checks_without_their_probes_are_refused(totals):
    (totals.tests / "probes_hidden.py").unlink()
    with pytest.raises(CourseError, match="probes_hidden.py is missing, and test_hidden.py has nothing to read: add it, or"):
        release(totals)


# --- several modules in one course ------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """Two modules of which both have a `total`: of a table's column, and of its rows."""
    write_totals(tmp_path)
    rows = TOTALS.replace('int(row["count"]) for row', "1 for row")
    write_totals(tmp_path, "rows", source=rows, mistakes=HEAD + COUNTS_COLUMN, hidden=False)
    yield Course(tmp_path)
    _forget("totals", "rows")


@needs_walls
def test_one_name_may_be_of_two_functions_in_two_modules(two, monkeypatch, capsys):
    monkeypatch.chdir(two.root)
    assert cli.main(["verify", "--workers", "1"]) == 0, capsys.readouterr()
    assert "rows: verified" in (said := capsys.readouterr().out) and "totals: verified" in said
    counts = {name: observe(two.module(name), RIGHT)["of_birds"].value for name in ("rows", "totals")}
    assert counts == {"rows": 9, "totals": 9}
    with Grader(two.module("rows"), 1, workers=1) as rows, Grader(two.module("totals"), 1, workers=1) as totals:
        scores = [[grader.grade(grader.read(notebook(text))).score for text in (RIGHT, WRONG)] for grader in (rows, totals)]
    assert scores == [[0, 1], [3, 0]]


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("probes_hidden", "from totals.probes_hidden import of_others", "line 1: it imports from tests/totals/, which is not"),
        ("probes_public", "import totals.probes_public as theirs", "line 1: it imports from tests/totals/, which is not"),
        ("test_public", "\nfrom ..totals import test_public", "line 2: it imports what lies above its own folder: put what"),
        ("mistakes", "from totals.mistakes import *", "line 1: it imports from tests/totals/, which is not this module's: put"),
        ("helpers", "def f():\n    from common import one", "line 2: it imports from tests/common/, which is not .* `from .… "),
    ],
)
def test_another_module_s_files_are_not_imported(two, file, text, line):
    (two.root / "tests/common").mkdir()
    (two.root / f"tests/rows/{file}.py").write_text(text)
    found = [problem for problem in course_problems(Contents(two.module("rows"))) if re.search(line, problem)]
    assert len(found) == 1 and found[0].startswith(f"tests/rows/{file}.py, line "), found


def test_a_notebook_imports_no_file_of_the_course(two):
    source = two.module("rows").source
    source.write_text(source.read_text().replace("import csv\n", "import csv\nfrom totals.networks import tiny\n"))
    (problem,) = course_problems(Contents(two.module("rows")))
    line = source.read_text().splitlines().index("from totals.networks import tiny") + 1
    assert problem.startswith(f"source/rows/rows.py, line {line}: it imports from tests/totals/, which students do not have")
