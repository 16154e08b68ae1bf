"""The full training check of a class: `autograder train MODULE [PATH…]`, one submission after another on one device."""

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autograder.classes.grade import feedback_file
from autograder.classes.seed import class_seed
from autograder.classes.submissions import Submission
from autograder.course.catalogue import read_catalogue
from autograder.course.course import Course, Module
from autograder.defaults import CORES
from autograder.errors import CourseError, GraderFault, Unreadable
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.judge import clean
from autograder.grading.observer import Observer
from autograder.grading.report import empty_page, number, with_section
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.probing import import_from
from autograder.sandboxed.training import Preset, Recipe
from autograder.training.images import Images, Split, find_images, split
from autograder.training.judge import Judgement, growth, judge, peak, speed
from autograder.training.report import class_page, section
from autograder.training.run import Kept, Log, Trainer, choose_device, scratch

TIMES_THE_REFERENCE = 4.0  # that a run may take, and a minute
PACE_BATCHES = 24  # of the reference, by which its pace on this device is measured


__all__ = ["Settings", "bonus", "calibrate", "choose_device", "find_images", "preset_of", "recipe_of", "train_and_write"]


@dataclass(frozen=True)
class Settings:
    """How a class is trained. `limit` are seconds for one run; None: from the reference's pace."""

    preset: Preset
    seed: int
    device: str
    sandbox: str
    threads: int = CORES
    limit: float | None = None


@dataclass(frozen=True)
class Trained:
    """One submission's run. `problem` says why there is none."""

    student: str
    log: Log | None = None
    judgement: Judgement | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything that is judged holds."""
        return self.judgement is not None and self.judgement.holds


def recipe_of(module: Module) -> Recipe:
    """The module's full training.

    Raises:
        CourseError: it has none, or it is no recipe.
    """
    path = module.tests / "training.py"
    if not path.is_file():
        raise CourseError(f"{module.name} has no full training: tests/{module.name}/training.py would say what it is")
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


class Hall:
    """Where one submission after another is trained: images drawn from the seed, a worker on the device, the reference's pace.

    Args:
        store: the folder in which runs are kept, each under what it depends on.
    """

    def __init__(self, module: Module, recipe: Recipe, settings: Settings, images: tuple[Images, Images], store: Path):
        self.module, self.recipe, self.settings, self.store = module, recipe, settings, store
        self.contents = Contents(module)
        self.images: Split = split(settings.preset, settings.seed, *images)
        self.pace = 0.0
        self.limit = settings.limit or 0.0

    @contextmanager
    def open(self, say: Callable[[str], None]) -> Iterator["Hall"]:
        """Starts the worker, and measures the reference's pace.

        Raises:
            CourseError: the reference itself cannot be trained here; says what would help.
        """
        with scratch() as folder:
            given = self.images.give(folder / "given.safetensors")
            self.pace = self._measure_pace(folder, given, say)
            preset = self.settings.preset
            work = preset.epochs * (preset.train_images + preset.test_images // 2)
            self.limit = self.settings.limit or 60 + TIMES_THE_REFERENCE * work / self.pace
            with self._trainer(preset, given) as self.trainer:
                yield self

    def _trainer(self, preset: Preset, given: Path) -> Trainer:
        return Trainer(self.module, preset, self.settings.device, given, self.settings.sandbox, self.settings.threads)

    def _measure_pace(self, folder: Path, given: Path, say: Callable[[str], None]) -> float:
        """Images a second of the reference, by a few batches."""
        preset, code = self.settings.preset, self.contents.reference
        say(f"the reference's pace on {self.settings.device}")
        few = min(preset.train_images, PACE_BATCHES * preset.batch_size)
        part = Split(*(images.at(slice(few)) for images in (self.images.train, self.images.test, self.images.held_back)))
        sample = replace(preset, train_images=few, test_images=2 * len(part.test), epochs=2)
        with self._trainer(sample, part.give(folder / "sample.safetensors")) as trainer:
            log = trainer.train(code, self.contents.functions, self.settings.seed, Kept(folder / "pace"), limit=3600)
        if log.out_of_memory:
            raise CourseError(
                f"a batch of {preset.batch_size} images of {preset.image_size} pixels does not fit in the memory here: "
                f"--batch-size {max(1, preset.batch_size // 2)} needs about half of it, --preset short much less"
            )
        if not log.complete:
            raise CourseError(f"the reference itself does not train here: {log.why}")
        return speed(log, sample)

    def train(self, code: Code, watch: Callable[[int, Log], None] = lambda images, log: None) -> tuple[Log, Judgement]:
        """Trains by `code`, or takes what is kept of it, and judges.

        Raises:
            GraderFault: the sandbox or the worker failed; what was done is kept.
        """
        settings, kept = self.settings, Kept(self.store / self.key(code))
        log = self.trainer.train(code, self.contents.functions, settings.seed, kept, self.limit, watch)
        about = (self.recipe, settings.preset, settings.seed, log, kept.weights(), self.images, settings.device, self.pace)
        judgement = judge(*about)
        log.accuracy = {str(number): accuracy for number, accuracy in judgement.accuracy.items()}
        kept.settle(log)
        return log, judgement

    def weights(self, code: Code) -> dict[str, Any]:
        """The last epoch's weights; empty when there are none."""
        found = Kept(self.store / self.key(code)).weights()
        return found[max(found)] if found else {}

    def key(self, code: Code) -> str:
        """The name under which a run is kept: a hash of everything that it depends on."""
        settings = self.settings
        judged = {"floor": 0.0, "points": 0.0}  # no run depends on them
        how = [asdict(settings.preset) | judged, settings.seed, settings.device, settings.sandbox]
        steps = (self.recipe.network, self.recipe.prepare, self.recipe.begin, self.recipe.epoch)
        made = [inspect.getsource(step) for step in steps]
        return hashlib.sha256(json.dumps([how, made, vars(code)]).encode()).hexdigest()[:32]


def train_and_write(
    module: Module,
    recipe: Recipe,
    settings: Settings,
    images: tuple[Images, Images],
    submissions: list[Submission],
    out: Path,
    seed: int | None,
    console: Console,
) -> list[Trained]:
    """Trains a class and writes, for each, a JSON file and a section of the feedback page, and `training/class.html`."""
    settings = replace(settings, seed=class_seed(out, seed))
    hall = Hall(module, recipe, settings, images, out / "training" / "runs")
    results = []
    with hall.open(console.print):
        for trained, code in train_class(hall, submissions, console):
            write_trained(hall, trained, code, out)
            results.append(trained)
    page = write_class(hall, results, out)
    print_trained(results, settings.preset, console)
    console.print(f"{page}, {out}/feedback/", highlight=False, soft_wrap=True)
    return results


def train_class(hall: Hall, submissions: list[Submission], console: Console) -> Iterator[tuple[Trained, Code | None]]:
    """Each submission's run, one after another, with a bar that shows how far it is."""
    module, preset = hall.module, hall.settings.preset
    work = preset.epochs * (preset.train_images + preset.test_images // 2)
    reader = Observer(
        module.tests,
        "probes_public",
        hall.contents.functions,
        Course(module.root).store,
        hall.contents.released,
        sandbox=hall.settings.sandbox,
        workers=1,
    )
    with reader, _progress(console) as progress:
        for place, submission in enumerate(submissions, 1):
            name = f"{clean(submission.student)} ({place}/{len(submissions)})"
            bar = progress.add_task(name, total=work, said="")

            def watch(images: int, log: Log, bar: TaskID = bar, start: float = time.monotonic()) -> None:
                done = len(log.epochs) * work // preset.epochs  # more than `images` where an earlier run was taken up
                pace = images / (time.monotonic() - start + 1e-9)
                progress.update(bar, completed=max(done, images), said=f"{pace:,.0f} images/s, {_how_it_goes(log, preset)}")

            yield _train_one(hall, reader, submission, watch)
            progress.remove_task(bar)


def _train_one(
    hall: Hall, reader: Observer, submission: Submission, watch: Callable[[int, Log], None]
) -> tuple[Trained, Code | None]:
    student = submission.student
    if submission.problem:
        return Trained(student, problem=clean(f"{submission.path}: {submission.problem}")), None
    try:
        code = reader.read(submission.read())
        log, judgement = hall.train(code, watch)
    except (Unreadable, OSError) as error:
        return Trained(student, problem=clean(f"{submission.path} {error}")), None
    except GraderFault as error:
        return Trained(student, problem=clean(f"{submission.path} was not trained: {error}")), None
    return Trained(student, log, judgement), code


def _how_it_goes(log: Log, preset: Preset) -> str:
    if not log.epochs:
        return f"{preset.epochs} epochs"
    last = log.epochs[-1]
    return f"epoch {len(log.epochs)}/{preset.epochs}, loss {last['train_loss']:.3f}, test {last['test_accuracy']:.1%}"


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


# --- what is written --------------------------------------------------------------------------------------------------


def write_trained(hall: Hall, trained: Trained, code: Code | None, out: Path) -> None:
    """Writes a student's `training/<student>.json`, and the section of the feedback page. What is known of an earlier run
    is never replaced by the news that there was none."""
    settings, path = hall.settings, out / "training" / f"{trained.student}.json"
    if trained.log is None or trained.judgement is None or code is None:
        if not path.is_file():
            write_whole(path, json.dumps({"student": trained.student, "problem": trained.problem}, indent=1) + "\n")
        return
    points = bonus(trained, settings.preset)
    about = {
        "student": trained.student,
        "preset": asdict(settings.preset),
        "seed": settings.seed,
        "device": settings.device,
        "bonus": points,
        "accuracy": trained.judgement.accuracy,
        "findings": [asdict(finding) for finding in trained.judgement.findings],
        "remarks": trained.judgement.remarks,
        "run": asdict(trained.log),
    }
    write_whole(path, json.dumps(about, indent=1) + "\n")
    weights = hall.weights(code)
    how = (settings.preset, settings.seed, trained.log, trained.judgement, weights, settings.device, points)
    page = feedback_file(out, trained.student)
    before = page.read_text(encoding="utf-8") if page.is_file() else empty_page(hall.module.name, trained.student)
    write_whole(page, with_section(before, section(hall.recipe, *how)))


def write_class(hall: Hall, results: list[Trained], out: Path) -> Path:
    """Writes the class's page; its path."""
    preset, path = hall.settings.preset, out / "training" / "class.html"
    rows = [
        {
            "student": clean(each.student),
            "accuracy": _row(each, preset)[1],
            "speed": _row(each, preset)[2],
            "bonus": bonus(each, preset),
            "said": what_to_say(each),
        }
        for each in results
    ]
    runs = [(each.log, each.judgement) for each in results if each.log and each.judgement]
    write_whole(path, class_page(hall.module.name, preset, rows, runs))
    return path


# --- what is shown ----------------------------------------------------------------------------------------------------


def print_trained(results: list[Trained], preset: Preset, console: Console) -> None:
    """One line a student, then what does not hold."""
    table = Table(box=None, pad_edge=False)
    for name, side in (("student", "left"), ("accuracy", "right"), ("images/s", "right"), ("bonus", "right"), ("", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for each in results:
        table.add_row(*map(Text, _row(each, preset)))
    console.print(table)
    for each in results:
        for line in what_to_say(each):
            console.print(Text(f"{clean(each.student)}: {line}"), soft_wrap=True)


def _row(trained: Trained, preset: Preset) -> tuple[str, ...]:
    if trained.log is None or trained.judgement is None:
        return clean(trained.student), "", "", "", "not trained"
    accuracy = trained.judgement.mean_accuracy
    failed = [finding.name for finding in trained.judgement.findings if not finding.holds]
    return (
        clean(trained.student),
        "" if accuracy != accuracy else f"{accuracy:.1%}",
        f"{speed(trained.log, preset):.0f}" if trained.log.seconds else "",
        number(bonus(trained, preset)),
        "does not hold: " + ", ".join(failed) if failed else "all holds",
    )


def what_to_say(trained: Trained) -> list[str]:
    """Lines on what does not hold, and remarks."""
    if trained.judgement is None:
        return [trained.problem]
    failed = [f"{finding.title}: no. {finding.said}" for finding in trained.judgement.findings if not finding.holds]
    return failed + trained.judgement.remarks


def bonus(trained: Trained, preset: Preset) -> float:
    """Bonus points: all of the preset's, or none."""
    return preset.points if trained.holds else 0.0




# --- floors -----------------------------------------------------------------------------------------------------------


def calibrate(
    module: Module, recipe: Recipe, settings: Settings, images: tuple[Images, Images], seeds: list[int], console: Console
) -> Path:
    """Writes what floors are set from into `tests/<module>/calibration.json`, run by run; what is there is not run again.

    The reference under each of `seeds`, and every training mistake under the first.
    """
    contents, path = Contents(module), module.tests / "calibration.json"
    mistakes = read_catalogue(module.tests / "training_mistakes.py", contents.statements)
    everything = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = everything.setdefault(settings.preset.name, {})
    found |= {"preset": asdict(settings.preset), "device": settings.device, "threads": settings.threads}
    store = Course(module.root).store.parent / "training"

    def note(kind: str, name: str, hall: Hall, code: Code) -> None:
        said = _calibrated(*hall.train(code), settings.preset)
        found.setdefault(kind, {})[name] = said
        write_whole(path, json.dumps(everything, indent=1) + "\n")
        console.print(f"{name}: {said}", highlight=False, soft_wrap=True)

    for seed in seeds:
        hall = Hall(module, recipe, replace(settings, seed=seed), images, store)
        with hall.open(console.print):
            note("reference", f"seed {seed}", hall, contents.reference)
            for mistake in mistakes if seed == seeds[0] else []:
                note("mistakes", mistake.name, hall, contents.code(mistake))
    return path


def _calibrated(log: Log, judgement: Judgement, preset: Preset) -> dict[str, Any]:
    accuracy = judgement.mean_accuracy
    return {
        "accuracy": None if accuracy != accuracy else round(accuracy, 4),
        "caught by": [finding.name for finding in judgement.findings if not finding.holds],
        "images a second": round(speed(log, preset), 1),
        "MiB": round(peak(log) / 2**20),
        "growth MiB": round(growth(log) / 2**20, 1),
    }
