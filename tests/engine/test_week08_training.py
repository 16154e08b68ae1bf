"""Week 8's own full trainings: their rehearsals, their mistakes and their floors."""

import json
from pathlib import Path

import pytest
from conftest import needs_walls

from autograder.cli import main
from autograder.course.catalogue import read_catalogue
from autograder.course.course import Course
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader
from autograder.training.full import FullTraining, Settings, preset_of, recipe_of
from autograder.training.images import find_images

pytestmark = pytest.mark.long

FINDINGS = {"end", "memory", "accuracy", "figures", "weights", "batches"}
MODULES = [module.name for module in Course.find().modules() if (module.tests / "training.py").is_file()]
REHEARSED = [name for name in MODULES if name != "week08_densenet"]  # whose mistakes a rehearsal is long enough for


@pytest.fixture(scope="module", params=MODULES)
def module(request):
    return Course.find().module(request.param)


@pytest.fixture(scope="module")
def calibration(module):
    return json.loads((module.tests / "calibration.json").read_text())


def mistakes_of(module) -> list:
    return read_catalogue(module.tests / "training_mistakes.py", Contents(module).statements)


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
    contents, mistakes = Contents(module), mistakes_of(module)
    assert len(mistakes) >= 5 and {name for mistake in mistakes for name in mistake.caught_by} <= FINDINGS
    with Grader(module, seed=3, workers=2) as grader:
        for mistake in mistakes:
            graded = grader.grade(contents.code(mistake), hints=False)
            lost = [(verdict.title, verdict.message) for verdict in graded.verdicts if verdict.points < verdict.maximum]
            assert not lost, (mistake.name, lost)


def test_floors_lie_between_the_reference_and_its_mistakes(module, calibration):
    """At least five seeds, in all of which all holds, above the floor by more than their spread."""
    recorded = [preset for preset in recipe_of(module).presets if preset.name in calibration]
    assert recorded
    for preset in recorded:
        found = calibration[preset.name]
        reached = [run["accuracy"] for run in found["reference"].values()]
        assert len(reached) >= 5 and all(run["caught by"] == [] for run in found["reference"].values())
        assert not preset.floor or min(reached) - (max(reached) - min(reached)) > preset.floor


def test_each_training_mistake_is_caught_by_what_it_names(module, calibration):
    (recorded,) = calibration.values()
    assert list(recorded["mistakes"]) == [mistake.name for mistake in mistakes_of(module)]
    for mistake in mistakes_of(module):
        assert set(mistake.caught_by) <= set(recorded["mistakes"][mistake.name]["caught by"]), mistake.name


@pytest.fixture(scope="module", params=REHEARSED)
def rehearsal(request, tmp_path_factory):
    module = Course.find().module(request.param)
    recipe = recipe_of(module)
    how = Settings(preset_of(recipe, "rehearsal"), seed=3, device="cpu", sandbox="full", threads=1, limit=600.0)
    images = find_images(how.preset, Path("data"), named=False)
    with FullTraining(module, recipe, how, images, tmp_path_factory.mktemp("runs")).open(str) as training:
        yield training


@needs_walls
def test_a_rehearsal_catches_mistakes_as_they_are_today(rehearsal):
    """One for each finding, under another seed than the recorded ones, which hold them all."""
    for mistake in {mistake.caught_by[0]: mistake for mistake in mistakes_of(rehearsal.module)}.values():
        judgement = rehearsal.train(rehearsal.contents.code(mistake)).judgement
        found = [finding.name for finding in judgement.findings if not finding.holds]
        assert set(mistake.caught_by) <= set(found), (mistake.name, found)
