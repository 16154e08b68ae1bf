"""Week 8's own full training: its rehearsal, its mistakes and its floors."""

import json

import pytest
from conftest import needs_walls

from autograder.cli import main
from autograder.course.catalogue import read_catalogue
from autograder.course.course import Course
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader
from autograder.training.full import recipe_of

FINDINGS = {"end", "memory", "accuracy", "figures", "weights", "batches"}


@pytest.fixture(scope="module")
def module():
    return Course.find().module("week08_densenet")


@pytest.fixture(scope="module")
def calibration(module):
    return json.loads((module.tests / "calibration.json").read_text())


@needs_walls
def test_the_reference_passes_its_rehearsal(module, tmp_path, capsys):
    solved = module.solutions / module.notebook
    assert main(["train", module.name, str(solved), "--output", str(tmp_path), "--threads", "1", "--limit", "1500"]) == 0
    assert "all holds" in capsys.readouterr().out
    (page,) = (tmp_path / "feedback").glob("*.html")
    assert page.read_text().count("<img") == 3


@needs_walls
def test_only_the_full_training_shows_its_mistakes(module):
    """Each passes every small check, public and hidden."""
    contents = Contents(module)
    mistakes = read_catalogue(module.tests / "training_mistakes.py", contents.statements)
    assert len(mistakes) >= 4 and {name for mistake in mistakes for name in mistake.caught_by} <= FINDINGS
    with Grader(module, seed=3, workers=2) as grader:
        for mistake in mistakes:
            graded = grader.grade(contents.code(mistake), hints=False)
            lost = [(verdict.title, verdict.message) for verdict in graded.verdicts if verdict.points < verdict.maximum]
            assert not lost, (mistake.name, lost)


def test_floors_lie_between_the_reference_and_its_mistakes(module, calibration):
    """At least five seeds above the floor by more than their spread; each mistake caught by what it names."""
    for preset in recipe_of(module).presets:
        if preset.name not in calibration:
            continue
        found = calibration[preset.name]
        reached = [run["accuracy"] for run in found["reference"].values()]
        assert len(reached) >= 5 and all(run["caught by"] == [] for run in found["reference"].values())
        assert min(reached) - (max(reached) - min(reached)) > preset.floor


def test_each_training_mistake_is_caught_by_what_it_names(module, calibration):
    mistakes = read_catalogue(module.tests / "training_mistakes.py", Contents(module).statements)
    for mistake in mistakes:
        run = calibration["short"]["mistakes"][mistake.name]
        assert set(mistake.caught_by) <= set(run["caught by"]), mistake.name
