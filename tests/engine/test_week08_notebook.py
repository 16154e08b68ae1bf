"""Week 8's notebook: its map says what the course says, and any cell may be run twice."""

import ast
import re
from itertools import groupby
from unittest.mock import Mock

import matplotlib.pyplot as plt
import pytest
import torch
import torchvision

import autograder
from autograder.authors.release import reference_module
from autograder.course import source
from autograder.course.course import Course
from autograder.grading.contents import Contents
from autograder.sandboxed.cifar10 import TinyCIFAR10

SWITCH, SMALL_RUN, FULL_RUN = "FULL_EXPERIMENT = False", "32, 16, 10, 1e-3", "224, 32, 10, 1e-4"


@pytest.fixture(scope="module")
def module():
    return Course.find().module("week08_densenet")


def test_the_map_says_what_exercises_questions_and_plots_are_worth(module):
    contents = Contents(module)
    graded = {cell.about["name"]: cell.about["points"] for cell in contents.cells if cell.role in ("question", "plot")}
    points = {name: contents.points[name] for name in contents.exercises} | graded
    (map_,) = [cell.text for cell in contents.cells if cell.text.startswith("## The map")]
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in map_.splitlines() if line.startswith("| ")]
    named = {name: (int(minutes), float(worth)) for _, name, _, minutes, _, worth in rows if minutes.isdigit()}
    assert named.pop("all") == (sum(minutes for minutes, _ in named.values()), sum(points.values()))
    assert {name: worth for name, (_, worth) in named.items()} == points
    numbered = [(kind.split()[0], name) for kind, name, *_ in rows if name in points]
    order = [c.about.get("exercise") or c.about["name"] for c in contents.cells if c.role in ("grade", "question", "plot")]
    assert [name for _, name in numbered] == order
    assert len(re.findall(r"[\w.]+", contents.cells[0].text + map_)) < 400  # two minutes


def test_drawing_is_folded_away(module):
    """A figure's code is not what is learnt here; a plot that is graded stays in sight, and is short."""
    for cell in source.read_source(module.source):
        if "plt.show()" in cell.text:
            assert cell.folded or (cell.role == "plot" and len(cell.stub.splitlines()) < 10), f"line {cell.line}"


def test_what_the_notebook_gives_does_not_run_beside_a_submission(module):
    """A class that inherits from an exercise's would: the grader cannot know that it leaves it alone."""
    contents = Contents(module)
    made = ast.parse(reference_module(contents)).body
    assert [node.name for node in made if isinstance(node, (ast.FunctionDef, ast.ClassDef))] == contents.functions


def short_densenet(weights: None) -> torchvision.models.DenseNet:
    """DenseNet-121 but for the length of its last three blocks."""
    return torchvision.models.DenseNet(growth_rate=32, block_config=(6, 1, 1, 1), num_init_features=64)


@pytest.mark.parametrize("full", [False, True])
def test_any_cell_may_be_run_twice(module, full, monkeypatch, tmp_path):
    """With a short network with DenseNet-121's names, two epochs, and the tiny images in place of all."""
    cells = source.read_source(module.source)
    given = [cell.text for cell in cells if cell.kind == "code"]
    assert all(sum(text in code for code in given) == 1 for text in (SWITCH, SMALL_RUN, FULL_RUN))
    (tmp_path / "data").symlink_to(module.release / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(autograder, "check", lambda *_: None, raising=False)
    monkeypatch.setattr(torchvision.models, "densenet121", short_densenet)
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", lambda *where, download, **how: TinyCIFAR10(*where, **how))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    threads, names = torch.get_num_threads(), {"get_ipython": Mock()}
    try:
        for _, statements in groupby(source.reference_statements(cells), lambda statement: statement.cell):
            code = "\n".join(statement.text for statement in statements)
            code = code.replace(SMALL_RUN, "32, 16, 2, 1e-3").replace(FULL_RUN, "32, 32, 2, 1e-3")
            code = compile(code.replace(SWITCH, f"FULL_EXPERIMENT = {full}"), "<cell>", "exec")
            exec(code, names)
            once = names.get("history", {}).get("train_loss")
            exec(code, names)
            assert names.get("history", {}).get("train_loss") == (once and pytest.approx(once, rel=1e-3))
    finally:
        torch.set_num_threads(threads)
    assert names["history"]["train_loss"][0] == pytest.approx(2.3, abs=0.3)
    assert all(weights.abs().max() > 1e-4 for weights in names["difference"].values())
