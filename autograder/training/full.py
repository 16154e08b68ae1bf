"""The full training: a module's recipe at the size of a preset, by one submission's code after another on one device."""

import ast
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autograder.course.catalogue import read_catalogue
from autograder.course.course import Course, Module
from autograder.course.imports import brought, parsed
from autograder.defaults import CORES
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.probing import import_from
from autograder.sandboxed.training import Preset, Recipe
from autograder.training.claim_file import Weights
from autograder.training.images import Images, give, split
from autograder.training.judge import Judgement, growth, judge, peak, speed
from autograder.training.run import Kept, Log, Trainer, nearest_device, scratch

TIMES_THE_REFERENCE = 4.0  # that a run may take, and a minute
PACE_BATCHES = 24  # of the reference, by which its pace on this device is measured
PACE_SECONDS = 3600.0  # that these may take


@dataclass(frozen=True)
class Settings:
    """How a class is trained.

    Args:
        threads: of the CPU; 0: on other machines all that each has, here all there are.
        limit: seconds for one run; None: from the reference's pace on this machine.
    """

    preset: Preset
    seed: int
    device: str
    sandbox: str
    threads: int = CORES
    limit: float | None = None


def recipe_of(module: Module) -> Recipe:
    """The module's full training.

    Raises:
        CourseError: it has none, it is no recipe, or the module has several notebooks.
    """
    path = module.tests / "training.py"
    if not path.is_file():
        raise CourseError(f"{module.name} has no full training: tests/{module.name}/training.py would say what it is")
    module.source  # noqa: B018  refuses several notebooks before anything is trained or judged
    recipe = getattr(import_from(module.tests, "training"), "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise CourseError(f"{path} makes no RECIPE = Recipe(…): docs/training.md shows one")
    return recipe


def preset_of(recipe: Recipe, name: str, batch_size: int | None = None) -> Preset:
    """The preset called `name`, with another batch size if that is given.

    Raises:
        CourseError: there is none of that name.
    """
    for preset in recipe.presets:
        if preset.name == name:
            return replace(preset, batch_size=batch_size or preset.batch_size)
    raise CourseError(f"--preset {name}: there is {', '.join(preset.name for preset in recipe.presets)}")


class FullTraining:
    """Trains by one code after another, by a preset of a module on one device, and judges; opened as a context.

    Args:
        images: all that may be trained and tested on; what a run is given of them its seed draws.
        store: the folder in which runs are kept, each under what it depends on.
    """

    def __init__(self, module: Module, recipe: Recipe, settings: Settings, images: tuple[Images, Images], store: Path):
        self.module, self.recipe, self.settings, self.images, self.store = module, recipe, settings, images, store
        self.contents = Contents(module)
        self.pace = 0.0  # images a second of the reference where submissions are trained; 0: not known
        self.limit = settings.limit or 0.0

    @contextmanager
    def open(self, say: Callable[[str], None], elsewhere: bool = False) -> Iterator["FullTraining"]:
        """Measures the reference's pace, and starts the worker.

        What is trained `elsewhere` needs no worker here, and the pace only where nobody has said how long a run may take: the
        reference itself leaves this machine for no other.

        Raises:
            CourseError: the reference itself cannot be trained here; says what would help.
        """
        with scratch() as self._given:
            if not (elsewhere and self.settings.limit):
                say(f"the reference's pace on {self.settings.device}")
                pace = self._measure_pace()
                self.limit = self.settings.limit or 60 + TIMES_THE_REFERENCE * self.settings.preset.work / pace
            if elsewhere:
                yield self
                return
            self.pace = pace
            with self._trainer(self.settings.preset) as self._worker:
                yield self

    def _trainer(self, preset: Preset) -> Trainer:
        settings, needs = self.settings, self.contents.needs
        threads = settings.threads or CORES
        return Trainer(self.module.tests, needs, preset, settings.device, self._given, settings.sandbox, threads)

    def _measure_pace(self) -> float:
        preset = self.settings.preset
        few = min(preset.train_images, PACE_BATCHES * preset.batch_size)
        sample = replace(preset, train_images=few, test_images=min(preset.test_images, few), epochs=2)
        with self._trainer(sample) as trainer, tempfile.TemporaryDirectory() as kept:
            give(split(sample, 0, *self.images), self._given)
            log = trainer.train(self.contents.reference, self.contents.functions, 0, Kept(Path(kept)), limit=PACE_SECONDS)
        if log.out_of_memory:
            raise CourseError(
                f"a batch of {preset.batch_size} images of {preset.image_size} pixels does not fit in the memory here: "
                f"--batch-size {max(1, preset.batch_size // 2)} needs about half of it, --preset short much less"
            )
        if not log.complete:
            raise CourseError(f"the reference itself does not train here: {log.why}")
        return speed(log, sample)

    def train(
        self, code: Code, watch: Callable[[int, Log], None] = lambda images, log: None, seed: int | None = None
    ) -> "Outcome":
        """Trains by `code`, or takes what is kept of it, and judges.

        Args:
            watch: called now and then with the images that have passed.
            seed: in place of the code's own, see `seed_of`.

        Raises:
            GraderFault: the sandbox or the worker failed; what was done is kept.
        """
        seed = self.seed_of(code) if seed is None else seed
        give(split(self.settings.preset, seed, *self.images), self._given)
        self._worker.train(code, self.contents.functions, seed, self.kept(code, seed), self.limit, watch)
        return self.judged(code, seed)

    def judged(self, code: Code, seed: int) -> "Outcome":
        """Judges the run by `code` that is kept, wherever it was trained."""
        recipe, preset, device = self.recipe, self.settings.preset, nearest_device(self.settings.device)
        kept, images = self.kept(code, seed), split(preset, seed, *self.images)
        log, weights = kept.log(), kept.weights()
        judgement = judge(recipe, preset, seed, log, weights, images, device, self.pace)
        if not log.may_go_on:
            log.accuracy = {str(number): accuracy for number, accuracy in judgement.accuracy.items()}
            log.still = judgement.still
            kept.settle(log)
        return Outcome(seed, log, judgement, weights[max(weights)] if weights else {})

    def seed_of(self, code: Code) -> int:
        """The seed of a run by `code`: who has seen it, and brings along weights trained from it, has changed the code."""
        text = json.dumps([self.settings.seed, vars(code)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    def kept(self, code: Code, seed: int) -> Kept:
        """The run by `code`, in a folder whose name is a hash of everything that it depends on."""
        settings = self.settings
        how = [self.preset, seed, settings.device, settings.sandbox]
        return Kept(self.store / hashlib.sha256(json.dumps([how, self._steps(), vars(code)]).encode()).hexdigest()[:32])

    @property
    def preset(self) -> dict[str, Any]:
        """The preset without what it is judged by, on which no run depends."""
        return asdict(self.settings.preset) | {"floor": 0.0, "points": 0.0}

    def _steps(self) -> list[str]:
        """The text of all that a run consists of: the recipe's file, but not RECIPE with its floors, and what it imports."""
        path = self.module.tests / "training.py"
        own = [ast.unparse(statement) for statement in parsed(path).body if not _makes_recipe(statement)]
        shared = [file for file in brought(self.module.tests, ["training"]) if file != path]
        return own + [file.read_text(encoding="utf-8") for file in shared]


def _makes_recipe(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "RECIPE" for t in statement.targets)


@dataclass(frozen=True)
class Outcome:
    """A run that has ended: its seed, what is known of it, what holds, and the last epoch's weights (none: empty)."""

    seed: int
    log: Log
    judgement: Judgement
    weights: Weights


# --- floors -----------------------------------------------------------------------------------------------------------


def calibrate(
    module: Module,
    recipe: Recipe,
    settings: Settings,
    images: tuple[Images, Images],
    seeds: list[int],
    say: Callable[[str], None],
) -> Path:
    """Writes what floors are set from into `tests/<module>/calibration.json`, run by run.

    The reference under each of `seeds`, and every training mistake under the first.
    """
    contents, path = Contents(module), module.tests / "calibration.json"
    mistakes = read_catalogue(module.tests / "training_mistakes.py", contents.statements)
    everything = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = everything.setdefault(settings.preset.name, {})
    found |= {"preset": asdict(settings.preset), "device": settings.device, "threads": settings.threads}
    training = FullTraining(module, recipe, settings, images, Course(module.root).store.parent / "training")

    def note(kind: str, name: str, code: Code, seed: int) -> None:
        said = _calibrated(training.train(code, seed=seed), settings.preset)
        found.setdefault(kind, {})[name] = said
        write_whole(path, json.dumps(everything, indent=1) + "\n")
        say(f"{name}: {said}")

    with training.open(say):
        for seed in seeds:
            note("reference", f"seed {seed}", contents.reference, seed)
        for mistake in mistakes:
            note("mistakes", mistake.name, contents.code(mistake), seeds[0])
    return path


def _calibrated(outcome: Outcome, preset: Preset) -> dict[str, Any]:
    accuracy = outcome.judgement.mean_accuracy
    return {
        "accuracy": None if accuracy != accuracy else round(accuracy, 4),
        "caught by": [finding.name for finding in outcome.judgement.findings if not finding.holds],
        "images a second": round(speed(outcome.log, preset), 1),
        "MiB": round(peak(outcome.log) / 2**20),
        "growth MiB": round(growth(outcome.log, outcome.log.memory) / 2**20, 1),
    }
