"""The benchmark's own parts: what it compares with gives the same points, and what it measures is there."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from conftest import needs_walls
from toy_course import solved

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import compare
import deadline
import measure
import mutants
import rivals
import training
import whole_cifar10

from autograder.sandboxed.training import Preset
from autograder.training.images import find_images

pytestmark = pytest.mark.long

WRONG = solved(double="def double(x):\n    return x * x")
SPIN = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))'])"
PRINT_POINTS = """
import json, sys
sys.path.insert(0, {here!r})
from in_kernel import points
print(json.dumps({{exercise: points(globals(), exercise, {about!r}) for exercise in {exercises!r}}}))
"""

TRAINING = [sys.executable, Path(training.__file__)]


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


@needs_walls
def test_arrivals_at_a_deadline_differ_in_code_and_in_nothing_else(grader):
    first, second = (grader.read(deadline.different(WRONG, "double", number)) for number in (1, 2))
    assert first.pieces != second.pieces
    assert [each.state for each in grader.grade(first).verdicts] == [each.state for each in grader.grade(second).verdicts]
    assert grader.grade(first).score == grader.grade(grader.read(WRONG)).score


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


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which the loops were measured at the smallest size, in too little time for torch.compile."""
    folder = tmp_path_factory.mktemp("training")
    smallest = ["--synthetic", "--device", "cpu", "--image-size", "32", "--batch-size", "2", "--batches", "1"]
    short = ["--rounds", "1", "--minutes", "0.01", "--output", folder / "table.md"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*TRAINING, *smallest, *short], env=environment, cwd=folder, check=True, capture_output=True)
    return folder


def test_the_training_loops_are_measured_side_by_side(trained):
    table = (trained / "table.md").read_text(encoding="utf-8")
    [setting] = json.loads((trained / "table.json").read_text(encoding="utf-8"))["settings"]
    ways = {way["way"]["name"]: way for way in setting["ways"]}
    base, _, reference, *_ = ways.values()
    assert base["way"]["name"] == "the lecture's loop" and (base["waits"], reference["waits"]) == (1, 0)
    assert "synthetic" in table and all(f"| {name} |" in table for name in ways)
    assert all(len(way["turns"]) == len(way["base"]) and way["turns"][0]["train_seconds"] > 0 for way in ways.values())
    losses = [(way["turns"][0]["train_loss"], way["turns"][0]["test_loss"]) for way in (base, reference)]
    assert losses[0] == pytest.approx(losses[1], rel=training.SAME)


def test_what_was_not_measured_is_listed_with_the_reason(trained):
    [setting] = json.loads((trained / "table.json").read_text(encoding="utf-8"))["settings"]
    names = {way["way"]["name"] for way in setting["ways"]} | setting["not_measured"].keys()
    assert {way.name for way, _ in training.ways(torch.device("cpu"))} <= names
    assert "had not compiled" in setting["not_measured"]["torch.compile"]
    listed = (trained / "table.md").read_text(encoding="utf-8").partition("Not measured:")[2]
    assert all(f"- {name}: {reason}" in listed for name, reason in setting["not_measured"].items())


@pytest.mark.parametrize("name", ["train_one_epoch", "evaluate"])
def test_the_loop_that_is_measured_is_the_references(name):
    solved = Path(__file__).parents[2] / "solutions" / "week08_densenet" / "densenet.py"
    theirs, ours = (
        next(
            node.body for node in ast.parse(path.read_text(encoding="utf-8")).body if getattr(node, "name", "") == name
        )
        for path in (solved, Path(training.__file__))
    )
    assert [ast.unparse(node) for node in ours] == [ast.unparse(node) for node in theirs[1:]]  # without its docstring


def test_bytes_resized_on_the_device_are_the_lectures_images():
    images = training.synthetic(64).some(4, 4)
    setting = training.Setting(torch.device("cpu"), 48, 4)
    theirs, ours = (
        training.Job(training.Way("", resized_on_device=on_device), setting, images, torch.nn.Linear(1, 1))
        for on_device in (False, True)
    )
    [(expected, labels)], [(found, same_labels)] = theirs.train_loader, ours.train_loader
    found, _ = ours.uploaded(found, same_labels)
    assert labels.tolist() == same_labels.tolist()
    assert (found - expected).abs().max() * 255 < 1.01  # PIL rounds between its two passes too


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--data", "nowhere"], "there is no nowhere; --synthetic measures with random images"),
        (["--data", "."], ". is not the folder of cifar-10-batches-py or an .npz with"),
        (["--synthetic", "--device", "cuda"], "PyTorch finds no device cuda on this machine"),
        (["--synthetic", "--device", "cdua"], "argument --device: invalid choice: 'cdua'"),
        (["--synthetic", "--batch-size", "1"], "argument --batch-size: must be a whole number, at least 2, not '1'"),
        (["--synthetic", "--minutes", "0"], "--minutes must be more than 0"),
        (["--synthetic", "--output", "nowhere/table.md"], "there is no folder nowhere for --output"),
        ([], "one of the arguments --data --synthetic is required"),
    ],
)
def test_what_cannot_be_measured_is_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["training.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        training.main()
    text = capsys.readouterr().err or f"{ended.value.code}\n"
    assert text.startswith(f"training.py: {said}") and text.count("\n") == 1
    assert ended.value.code != 0


def test_the_run_that_the_notebook_shows_is_a_small_file(tmp_path):
    """Of the tiny images here, and with the names that the module's docstring promises."""
    preset = Preset("tiny", train_images=120, test_images=50, image_size=32, batch_size=32, epochs=2, learning_rate=1e-3)
    whole_cifar10.run(preset, find_images(preset, Path(), named=False), tmp_path / "data" / "run.npz")
    assert (tmp_path / "data" / "run.npz").stat().st_size < 500_000
    with np.load(tmp_path / "data" / "run.npz") as arrays:
        assert "120 training and 50 test images of 32" in str(arrays["about"])
        assert all(len(arrays[f"{part}_{what}"]) == 2 for part in ("train", "test") for what in ("loss", "accuracy"))
        changes = [np.abs(arrays[f"before {name}"] - arrays[f"after {name}"]) for name in whole_cifar10.WATCHED]
    assert [change.shape for change in changes] == [(64, 3, 7, 7), (128, 64, 1, 1)]
    assert all(0 < change.max() < 0.1 for change in changes)
