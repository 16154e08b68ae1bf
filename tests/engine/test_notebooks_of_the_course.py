"""The course's notebooks: their maps say what the course says, little is read first, and any cell may be run twice."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
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

pytestmark = pytest.mark.long

COURSE = Course(Path(__file__).resolve().parents[2])
WEEKS = ["week08_densenet", "week08_googlenet", "week08_resnet", "week09_complexity"]  # those that were written here
LOOK = "# @title How figures look"
SWITCH = "FULL_EXPERIMENT = False"


@pytest.fixture(scope="module", params=WEEKS)
def module(request):
    return COURSE.module(request.param)


@pytest.fixture(scope="module")
def cells(module):
    return source.read_source(module.source)


def test_the_map_says_what_exercises_questions_and_plots_are_worth(module):
    contents = Contents(module)
    graded = [cell for cell in contents.cells if cell.role in ("grade", "question", "plot")]
    worth = [
        ("Exercise", cell.about["exercise"], contents.points[cell.about["exercise"]])
        if cell.role == "grade"
        else (cell.role.capitalize(), cell.about["name"], cell.about["points"])
        for cell in graded
    ]
    (map_,) = [cell.text for cell in contents.cells if cell.text.startswith("## The map")]
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in map_.splitlines() if line.startswith("| ")]
    *listed, total = [row for row in rows if row[3].isdigit()]
    assert [(kind.split()[0], name, float(points)) for kind, name, _, _, _, points in listed] == worth
    assert all(what and set(difficulty) == {"●"} for _, _, what, _, difficulty, _ in listed)
    assert int(total[3]) == sum(int(row[3]) for row in listed)
    assert float(total[5]) == sum(points for _, _, points in worth)
    text = "\n".join(cell.text for cell in contents.cells)
    headings = re.findall(r"^##+ ((?:Exercise|Question) \w+):", text, re.MULTILINE)
    assert headings == [kind for kind, *_ in listed if kind != "Plot"]


def test_little_is_read_before_the_first_exercise(cells):
    """In less than three minutes."""
    first = next(index for index, cell in enumerate(cells) if "## Exercise 1" in cell.text)
    texts = [cell.text.partition("## Exercise 1")[0] for cell in cells[: first + 1] if cell.kind == "markdown"]
    assert len(re.findall(r"[\w.]+", re.sub(r"\]\(.*?\)", "]", "\n".join(texts)))) < 400  # without addresses


def test_the_switch_stands_where_it_is_needed(cells):
    """No exercise between it and what it decides on."""
    code = [cell for cell in cells if cell.kind == "code"]
    switches = [index for index, cell in enumerate(code) if SWITCH in cell.text]
    asked = [index for index, cell in enumerate(code) if re.search(r"\bEPOCHS\b", cell.text)]
    assert len(switches) == bool(asked)
    for switch in switches:
        used = next(index for index in asked if index > switch)
        assert all(cell.role != "exercise" for cell in code[switch:used])


def test_figures_look_alike_in_all_notebooks(cells):
    (look,) = [cell for cell in cells if cell.text.startswith(LOOK)]
    (first,) = [cell for cell in source.read_source(COURSE.module(WEEKS[0]).source) if cell.text.startswith(LOOK)]
    assert look.folded and look.text == first.text


def test_drawing_is_folded_away(cells):
    """A figure's code is not what is learnt here; a plot that is graded stays in sight, and is short."""
    for cell in cells:
        if "plt.show()" in cell.text:
            assert cell.folded or (cell.role == "plot" and len(cell.stub.splitlines()) < 10), f"line {cell.line}"
        if cell.folded:
            assert cell.text.startswith("# @title "), f"line {cell.line}: what is hidden has no name"


def test_what_the_notebook_gives_does_not_run_beside_a_submission(module):
    """A class that inherits from an exercise's would: the grader cannot know that it leaves it alone."""
    contents = Contents(module)
    made = ast.parse(reference_module(contents)).body
    defined = [node.name for node in made if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert sorted(defined) == sorted(contents.functions)


def short_densenet(weights: None, **settings: bool) -> torchvision.models.DenseNet:
    """DenseNet-121 but for the length of its last three blocks."""
    settings |= {"growth_rate": 32, "block_config": (6, 1, 1, 1), "num_init_features": 64}
    return torchvision.models.DenseNet(**settings)


def small(**settings: object) -> torchvision.models.ResNet:
    """In place of a network of which only sizes and times are asked for."""
    return torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])


@dataclass(frozen=True)
class Shorter:
    """What makes a notebook run in seconds: other texts, other networks; and which figures its run leaves."""

    texts: dict[str, str]
    networks: dict[str, Callable] = field(default_factory=dict)
    figures: Callable[[dict], list] = lambda names: []
    trains: bool = True


SHORTER = {
    "week08_densenet": Shorter(
        {"32, 16, 10, 1e-3": "32, 16, 2, 1e-3", "224, 32, 10, 1e-4": "32, 32, 2, 1e-3"},
        {"densenet121": short_densenet},
        lambda names: names.get("history", {}).get("train_loss", []),
    ),
    "week08_googlenet": Shorter(
        {"32, 16, 8, 1e-3": "32, 60, 1, 1e-3", "224, 16, 10, 1e-4": "32, 60, 1, 1e-3", "in range(5)": "in range(2)"},
        figures=lambda names: [loss for run in names.get("histories", {}).values() for loss in run["train_loss"]],
    ),
    "week08_resnet": Shorter(
        {"8, 20, 12, 0.05": "4, 40, 1, 0.05", "16, 128, 10, 0.1": "4, 40, 1, 0.05", "blocks=27": "blocks=9"},
        figures=lambda names: [loss for run in names.get("losses", {}).values() for loss in run],
    ),
    "week09_complexity": Shorter(
        {"IMAGE = (3, 224, 224)": "IMAGE = (3, 64, 64)"},
        {"densenet121": short_densenet, **dict.fromkeys(["googlenet", "resnet18", "resnet50", "resnet101", "vgg16"], small)},
        trains=False,
    ),
}
RUNS = [(name, full) for name in WEEKS for full in (False, True) if not full or SHORTER[name].trains]


def run_twice(name: str, full: bool, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, object]:
    """Runs each cell of the solved notebook twice, shortened, with the tiny images in place of all; returns its names.

    What the run has found is the same after each cell's second time.
    """
    module, shorter = COURSE.module(name), SHORTER[name]
    cells = source.read_source(module.source)
    for text in [*shorter.texts, *[SWITCH] * full]:
        assert sum(text in cell.text for cell in cells if cell.kind == "code") == 1, text
    if (module.release / "data").is_dir():
        (folder / "data").symlink_to(module.release / "data")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(autograder, "check", lambda *_: None, raising=False)
    for network, stand_in in shorter.networks.items():
        monkeypatch.setattr(torchvision.models, network, stand_in)
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", lambda *where, download, **how: TinyCIFAR10(*where, **how))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    threads, names = torch.get_num_threads(), {"get_ipython": Mock()}
    try:
        for _, statements in groupby(source.reference_statements(cells), lambda statement: statement.cell):
            code = "\n".join(statement.text for statement in statements)
            for text, other in [*shorter.texts.items(), (SWITCH, f"FULL_EXPERIMENT = {full}")]:
                code = code.replace(text, other)
            code = compile(code, "<cell>", "exec")
            exec(code, names)
            once = shorter.figures(names)
            exec(code, names)
            assert shorter.figures(names) == pytest.approx(once, rel=1e-3)
    finally:
        torch.set_num_threads(threads)
    return names


@pytest.mark.parametrize(("name", "full"), RUNS)
def test_any_cell_may_be_run_twice(name, full, monkeypatch, tmp_path):
    names = run_twice(name, full, monkeypatch, tmp_path)
    if SHORTER[name].trains:
        assert SHORTER[name].figures(names)[0] == pytest.approx(2.3, abs=0.5)
    if name == "week08_densenet":
        assert all(weights.abs().max() > 1e-4 for weights in names["difference"].values())
