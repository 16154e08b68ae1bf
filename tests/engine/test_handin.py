"""Handing in: `autograder check` says what the grader will say, `pack` warns and refuses nothing, a receipt is verified."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import needs_walls
from nbclient import NotebookClient
from toy_course import RIGHT, notebook

from autograder import cli
from autograder.errors import NoClaim
from autograder.grading.grader import Graded
from autograder.grading.report import as_text
from autograder.students import check as student
from autograder.students import handin

pytestmark = needs_walls  # the shared course is released behind them

QUESTION = "Why does a mean of whole numbers need a float?"
WRONG = RIGHT | {
    "double": "def double(x):\n    return x * x",
    "quadruple": "def helper(x):\n    return x.size\n\ndef quadruple(x):\n    return helper(x)",
}


@pytest.fixture
def folder(made, tmp_path, monkeypatch) -> Path:
    """What a student has, and works in."""
    place = Path(shutil.copytree(made / "release" / "toy", tmp_path / "toy"))
    monkeypatch.chdir(place)
    return place


def edit(path: Path, **texts: str | None) -> None:
    """Writes texts into the cells of these ids (`_` for `-`); None deletes the cell."""
    notebook = nbformat.read(path, as_version=4)
    for name, text in texts.items():
        cell = next(cell for cell in notebook.cells if grade_id(cell) == name.replace("_", "-"))
        if text is None:
            notebook.cells.remove(cell)
        else:
            cell.source = text
    nbformat.write(notebook, path)


def grade_id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def finish(path: Path) -> None:
    """Everything done: solved, answered, run."""
    edit(path, **RIGHT, question_why="Because a sum need not divide.")
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    nbformat.write(notebook, path)


# --- the same verdicts everywhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("functions", "failing"), [(RIGHT, []), (WRONG, ["arithmetic"])], ids=["right", "wrong"])
@pytest.mark.long
def test_check_autograder_check_validate_and_the_grader_agree(folder, grader, capsys, functions, failing):
    path = folder / "toy.ipynb"
    edit(path, **functions)

    public = tuple(v for v in grader.grade(grader.read(path.read_bytes())).verdicts if v.public)
    said = numberless(as_text(Graded(public, ())))
    assert said.count("✗") == 2 * len(failing)

    assert cli.main(["check", "toy.ipynb"]) == len(failing)
    assert numberless(capsys.readouterr().out).startswith(said + "\n\ntoy.ipynb: ")

    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("check()"))
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()
    assert numberless(notebook.cells[-1].outputs[0].data["text/plain"]).startswith(said + "\n")

    assert validated("toy.ipynb") == failing


def numberless(text: str) -> str:
    """Without cells' numbers: a session counts the cells that were run, a file those that it has."""
    return re.sub(r"cell \d+", "cell N", text)


def validated(name: str) -> list[str]:
    """The exercises whose check `nbgrader validate` calls failed, as a student types it."""
    command = [sys.executable, "-m", "nbgrader", "validate", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ("Success! Your notebook passes all the tests." in shown) != ("VALIDATION FAILED" in shown)
    assert "Traceback" not in shown
    return re.findall(
        r'The following cell failed:\s+check\("(\w+)"\)\s+The error was:\s+double: 0 / 1 public points', shown
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "toy.ipynb is empty"), ("{", "toy.ipynb is not a notebook"), ("{}", "toy.ipynb holds JSON, but no notebook")],
)
def test_check_of_a_damaged_file_is_one_line(folder, capsys, monkeypatch, observers, text, said):
    monkeypatch.setattr(student, "Observer", lambda *_, **__: observers[True])
    monkeypatch.setattr(handin, "closing", lambda observer: memoryview(b""))  # the shared workers go on
    (folder / "toy.ipynb").write_text(text)
    assert cli.main(["check"]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith(said) and shown.out.count("\n") == 1 and not shown.err


@pytest.mark.parametrize("command", ["check", "pack"])
@pytest.mark.parametrize(
    ("place", "name", "said"),
    [
        (".", "tpy.ipynb", "tpy.ipynb does not exist: here is toy.ipynb"),
        (".", "no/where.ipynb", "does not exist: name your notebook"),
        ("data", ".", "checks is missing: work in the assignment's own folder"),
        (".", "data", "checks is missing: work in the assignment's own folder"),
    ],
)
def test_a_wrong_name_or_folder_is_one_line(folder, capsys, monkeypatch, command, place, name, said):
    monkeypatch.chdir(place)
    assert cli.main([command, name]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and not shown.out


# --- packing ----------------------------------------------------------------------------------------------------------


def packed(capsys, *arguments: str) -> list[str]:
    """The problems that `pack` names."""
    assert cli.main(["pack", *arguments]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    return [line.removeprefix("  ! ") for line in shown.out.splitlines() if line.startswith("  ! ")]


def test_a_finished_notebook_is_packed_as_it_is_without_a_warning(folder, capsys):
    finish(folder / "toy.ipynb")
    before = (folder / "toy.ipynb").read_bytes()
    assert packed(capsys) == []
    assert (folder / "handin" / "toy.ipynb").read_bytes() == (folder / "toy.ipynb").read_bytes() == before
    assert sorted(path.name for path in (folder / "handin").iterdir()) == ["toy.ipynb", "toy.receipt.json"]
    assert packed(capsys, "toy.ipynb") == []  # again, over the first


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.99])
@pytest.mark.parametrize("out", ["handin/toy.ipynb", "elsewhere.ipynb"])
def test_a_file_that_is_cut_off_never_replaces_a_good_one(folder, capsys, kept, out):
    packed(capsys, "-o", out)
    good = {path: path.read_bytes() for path in (Path(out), Path(out).with_suffix(".receipt.json"))}
    whole = (folder / "toy.ipynb").read_bytes()
    (folder / "toy.ipynb").write_bytes(whole[: int(kept * len(whole)) if kept != 1 else 1])
    assert cli.main(["pack", "-o", out]) == 2
    said = capsys.readouterr().err
    assert f"{out}, which you packed before, is whole and stays as it is" in said and said.count("\n") == 1
    assert {path: path.read_bytes() for path in good} == good
    Path(out).write_bytes(b"{")  # what is no better may be replaced
    assert "the grader will refuse this file" in packed(capsys, "-o", out)[-1]
    (folder / "toy.ipynb").write_bytes(whole)
    packed(capsys, "-o", out)
    assert Path(out).read_bytes() == whole


def change(**texts):
    return lambda path: edit(path, **texts)


def twice(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if grade_id(cell) == "check-double")
    notebook.cells.append(nbformat.from_dict({**cell, "id": "twin"}))
    nbformat.write(notebook, path)


def not_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if grade_id(cell) == "check-double").execution_count = None
    nbformat.write(notebook, path)


def large(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if grade_id(cell) == "check-double").outputs = [
        nbformat.v4.new_output("stream", text="x" * 11 * 2**20)
    ]
    nbformat.write(notebook, path)


def damaged_metadata(path: Path) -> None:
    notebook = json.loads(path.read_bytes())
    for cell, metadata in zip(
        notebook["cells"], [None, [], None, [], {"nbgrader": 3}, {"nbgrader": {"grade_id": []}}, 1], strict=False
    ):
        cell.update(metadata=metadata, outputs={"a": 1})
    notebook["cells"].append("no cell")
    path.write_text(json.dumps(notebook))


PROBLEMS = {
    "a stub": (change(mean="def mean(n):\n    raise NotImplementedError"), "`mean` is not written yet: 2.5 points"),
    "a function that is gone": (change(mean=None), "`mean` is not written yet: 2.5 points"),
    "a cell that does not run": (change(mean="def mean(:"), "code cell 8 does not run: invalid syntax, line 1: def mean(:"),
    "an edited check cell": (change(check_double="check('mean')"), "the check cell check-double was edited: "),
    "a deleted check cell": (change(exercise_averages=None), "the cell exercise-averages is gone: "),
    "a doubled cell": (twice, "the cell check-double is there 2 times: keep one"),
    "no answer": (change(question_why=f"{QUESTION}\n\n*Your answer here.*"), "question-why is not answered yet"),
    "an unrun cell": (not_run, "1 code cells were not run"),
    "much output": (large, "the file has 11 MB, 11 MB of them outputs of cell 7: clear them"),
    "damaged metadata": (damaged_metadata, "the cell check-double is gone"),
    "no JSON": (lambda path: path.write_text("%PDF"), "the grader will refuse this file: it is not a notebook"),
    "an empty file": (lambda path: path.write_text(""), "the grader will refuse this file: it is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_costs_points_is_named_and_nothing_is_refused(folder, capsys, damage, said):
    finish(folder / "toy.ipynb")
    damage(folder / "toy.ipynb")
    problems = packed(capsys)
    assert [problem for problem in problems if problem.startswith(said)], problems
    assert (folder / "handin" / "toy.ipynb").read_bytes() == (folder / "toy.ipynb").read_bytes()


def test_a_plot_without_its_picture_is_named():
    about = {"cells": [{"id": "plot-curves", "kind": "code", "locked": False, "text": "plot()"}]}
    cell = nbformat.v4.new_code_cell("plot()", metadata={"nbgrader": {"grade_id": "plot-curves"}}, execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert "plot-curves shows no picture" in handin.find_problems(nbformat.writes(notebook).encode(), about)[0]
    cell.outputs = [nbformat.v4.new_output("display_data", {"image/png": "…"})]
    assert handin.find_problems(nbformat.writes(notebook).encode(), about) == []


def test_what_the_grader_may_not_have_is_named_as_it_is_packed(folder):
    lines = "import math\nimport no_such_package\nfrom torch import nn\nfrom six.moves import urllib"
    text = notebook(f"{lines}\n\n\ndef double(x):\n    return nn, math, no_such_package, urllib")
    found = handin.find_problems(text, {"points": {"double": 1}})
    assert "code cell 1 imports no_such_package, which is none of the course's packages: the grader may not have it" in found
    assert not any("math" in problem or "torch" in problem for problem in found)


def test_another_name_is_mended_and_a_chosen_one_is_warned_of(folder, capsys):
    finish(folder / "toy.ipynb")
    (folder / "toy.ipynb").rename(folder / "toy (1).ipynb")
    assert packed(capsys, "toy (1).ipynb") == []
    assert (folder / "handin" / "toy.ipynb").is_file()
    assert packed(capsys, "toy (1).ipynb", "-o", "mine.ipynb") == [
        "the grader expects the name toy.ipynb, not mine.ipynb"
    ]
    assert packed(capsys, "toy (1).ipynb", "-o", "data") == [] and (folder / "data" / "toy.ipynb").is_file()
    assert packed(capsys, "handin/toy.ipynb", "-o", "handin/toy.ipynb")[0].startswith("nothing could be compared")


# --- the receipt ------------------------------------------------------------------------------------------------------


def test_a_receipt_is_of_one_file_alone(folder, capsys):
    packed(capsys)
    file, receipt = "handin/toy.ipynb", "handin/toy.receipt.json"
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert cli.main(["receipt", file, receipt]) == 0
    said = capsys.readouterr().out
    assert digest in said and "the student's own word" in said and "not when it was handed in" in said
    with Path(file).open("ab") as notebook:
        notebook.write(b" ")
    assert cli.main(["receipt", file, receipt]) == 1
    changed = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert f"is NOT the file of this receipt: SHA-256 {changed}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "3", "[" * 9000, '{"sha256": "a"}', "\0", '{"sha256": "a", "packed": "' + "x" * 2**17 + '"}'],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_receipt_is_one_line(folder, capsys, text):
    (folder / "receipt.json").write_text(text)
    assert cli.main(["receipt", "toy.ipynb", "receipt.json"]) == 2
    said = "autograder: receipt.json is no receipt of `autograder pack`: ask the student for the file\n"
    assert capsys.readouterr().err == said


def test_a_receipt_cannot_write_to_the_terminal_or_be_a_link(folder, capsys):
    forged = {"sha256": "\x1b[2Jgood", "packed": "\x1b[31mnow"}
    (folder / "receipt.json").write_text(json.dumps(forged))
    assert cli.main(["receipt", "toy.ipynb", "receipt.json"]) == 1
    assert "\x1b" not in capsys.readouterr().err
    (folder / "link.json").symlink_to("receipt.json")
    assert cli.main(["receipt", "toy.ipynb", "link.json"]) == 2


# --- a claim of a training run ----------------------------------------------------------------------------------------


def test_pack_takes_the_newest_claim_along(folder, capsys):
    packed(capsys)
    assert not Path("handin/claim.safetensors").exists() and "claim" not in json.loads(read_receipt())
    for number, (place, content) in enumerate({"older": b"old", "newer": b"new"}.items()):
        Path(place).mkdir()
        (Path(place) / "claim.safetensors").write_bytes(content)
        os.utime(Path(place) / "claim.safetensors", (number, number))
    for _ in range(2):  # the copy in handin/ is never taken for another run
        assert cli.main(["pack"]) == 0
        assert "for bonus points: hand it in too. It is newer/claim.safetensors" in capsys.readouterr().out
        assert Path("handin/claim.safetensors").read_bytes() == b"new"
    claim = json.loads(read_receipt())["claim"]
    assert (claim["sha256"], claim["bytes"]) == (hashlib.sha256(b"new").hexdigest(), 3)
    assert cli.main(["receipt", "handin/claim.safetensors", "handin/toy.receipt.json"]) == 0
    Path("handin/claim.safetensors").write_bytes(b"other")
    assert cli.main(["receipt", "handin/claim.safetensors", "handin/toy.receipt.json"]) == 1


def test_a_damaged_claim_never_replaces_a_good_one(folder, capsys, monkeypatch):
    def parsed(data: bytes) -> None:
        if data != b"good":
            raise NoClaim("is cut off")

    monkeypatch.setattr(handin, "parse_claim", parsed)
    Path("run").mkdir()
    Path("run/claim.safetensors").write_bytes(b"good")
    packed(capsys)
    Path("run/claim.safetensors").write_bytes(b"goo")
    assert cli.main(["pack"]) == 2
    assert "run/claim.safetensors is cut off. Nothing was packed: " in capsys.readouterr().err
    assert Path("handin/claim.safetensors").read_bytes() == b"good"


def test_what_can_be_no_claim_is_left_alone(folder, capsys):
    for place in ("empty", "huge", "link", "folder"):
        Path(place).mkdir()
    Path("empty/claim.safetensors").touch()
    with Path("huge/claim.safetensors").open("wb") as file:
        file.truncate(2**30)
    Path("link/claim.safetensors").symlink_to("/etc/passwd")
    Path("folder/claim.safetensors").mkdir()
    assert cli.main(["pack"]) == 0
    assert "bonus" not in capsys.readouterr().out and not Path("handin/claim.safetensors").exists()


def read_receipt() -> str:
    return Path("handin/toy.receipt.json").read_text()
