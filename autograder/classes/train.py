"""The full training check of a class: `autograder train MODULE [PATH…]`, one submission after another on one device."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autograder.classes.grade import write_section
from autograder.classes.seed import class_seed
from autograder.classes.submissions import Submission
from autograder.cluster.nodes import Nodes, open_nodes, saying
from autograder.course.course import Course, Module
from autograder.defaults import ON
from autograder.errors import CourseError, GraderFault, Unreadable
from autograder.files import write_whole
from autograder.grading.judge import clean
from autograder.grading.observer import Observer
from autograder.grading.report import number
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.training import Preset, Recipe
from autograder.training.full import FullTraining, Outcome, Settings
from autograder.training.images import Images
from autograder.training.judge import speed
from autograder.training.on_nodes import Run, Runs
from autograder.training.report import class_page, section
from autograder.training.run import Log


@dataclass(frozen=True)
class Trained:
    """One submission's run. `problem` says why there is none."""

    student: str
    outcome: Outcome | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything that is judged holds."""
        return self.outcome is not None and self.outcome.judgement.holds


def train_and_write(
    module: Module,
    recipe: Recipe,
    settings: Settings,
    images: tuple[Images, Images],
    submissions: list[Submission],
    out: Path,
    seed: int | None,
    console: Console,
    on: str = ON,
) -> list[Trained]:
    """Trains a class and writes, for each, a JSON file and a section of the feedback page, and `training/class.html`.

    `on` says where submissions are trained: see `open_nodes`.
    """
    settings = replace(settings, seed=class_seed(out, seed))
    training = FullTraining(module, recipe, settings, images, out / "training" / "runs")
    found: dict[str, Trained] = {}
    with (
        open_nodes(on, 0, module.root, saying(console)) as nodes,
        training.open(saying(console), elsewhere=nodes is not None),
    ):
        for trained in train_class(training, submissions, console, nodes):
            write_trained(training, trained, out)
            found[trained.student] = trained
    results = [found[submission.student] for submission in submissions]
    page = write_class(training, results, out)
    print_trained(results, settings.preset, console)
    console.print(f"{page}, {out}/feedback/", highlight=False, soft_wrap=True)
    return results


def train_class(
    training: FullTraining, submissions: list[Submission], console: Console, nodes: Nodes | None = None
) -> Iterator[Trained]:
    """Each submission's run, with a bar that shows how far it is: one after another here, or as they come from `nodes`."""
    module = training.module
    reader = Observer(
        module.tests,
        "probes_public",
        training.contents.functions,
        Course(module.root).store,
        training.contents.released,
        training.contents.needs,
        sandbox=training.settings.sandbox,
        workers=1,
    )
    with reader, _progress(console) as progress:
        if nodes:
            yield from _train_on(nodes, training, reader, submissions, console, progress)
        else:
            yield from _train_here(training, reader, submissions, progress)


def _train_here(
    training: FullTraining, reader: Observer, submissions: list[Submission], progress: Progress
) -> Iterator[Trained]:
    preset = training.settings.preset
    for place, submission in enumerate(submissions, 1):
        name = f"{clean(submission.student)} ({place}/{len(submissions)})"
        bar = progress.add_task(name, total=preset.work, said="")

        def watch(images: int, log: Log, bar: TaskID = bar, start: float = time.monotonic()) -> None:
            done = len(log.epochs) * preset.given  # more than `images` where an earlier run was taken up
            pace = images / (time.monotonic() - start + 1e-9)
            progress.update(bar, completed=max(done, images), said=f"{pace:,.0f} images/s, {_how_it_goes(log, preset)}")

        yield _train_one(training, reader, submission, watch)
        progress.remove_task(bar)


def _train_one(
    training: FullTraining, reader: Observer, submission: Submission, watch: Callable[[int, Log], None]
) -> Trained:
    code = _read(reader, submission)
    if isinstance(code, Trained):
        return code
    try:
        return Trained(submission.student, training.train(code, watch))
    except GraderFault as error:
        return _not_trained(submission, error)


def _train_on(
    nodes: Nodes,
    training: FullTraining,
    reader: Observer,
    submissions: list[Submission],
    console: Console,
    progress: Progress,
) -> Iterator[Trained]:
    """As runs come back; those whose code is the same have one run."""
    bar = progress.add_task(f"training on {nodes.name}", total=len(submissions), said="")
    runs: dict[int, Run[Submission]] = {}
    for submission in submissions:
        code = _read(reader, submission)
        if isinstance(code, Trained):
            progress.advance(bar)
            yield code
        else:
            seed = training.seed_of(code)
            runs.setdefault(seed, Run([], code, seed)).who.append(submission)
    sent = Runs[Submission](training, nodes, saying(console))
    for run in (run for back in sent.back(runs.values()) for run in back):
        problem = sent.problem(run)
        outcome = None if problem else training.judged(run.code, run.seed)
        for submission in run.who:
            progress.advance(bar)
            yield Trained(submission.student, outcome) if outcome else _not_trained(submission, problem)


def _read(reader: Observer, submission: Submission) -> Code | Trained:
    """A submission's code, or why there is none."""
    if submission.problem:
        return Trained(submission.student, problem=clean(f"{submission.path}: {submission.problem}"))
    try:
        return reader.read(submission.read())
    except (Unreadable, OSError) as error:
        return Trained(submission.student, problem=clean(f"{submission.path} {error}"))
    except GraderFault as error:
        return _not_trained(submission, error)


def _not_trained(submission: Submission, why: object) -> Trained:
    return Trained(submission.student, problem=clean(f"{submission.path} was not trained: {why}"))


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


def write_trained(training: FullTraining, trained: Trained, out: Path) -> None:
    """Writes a student's `training/<student>.json`, and the section of the feedback page. What is known of an earlier run
    is never replaced by the news that there was none."""
    settings, outcome, path = training.settings, trained.outcome, out / "training" / f"{trained.student}.json"
    if outcome is None:
        if not path.is_file():
            write_whole(path, json.dumps({"student": trained.student, "problem": trained.problem}, indent=1) + "\n")
        return
    points, judgement = bonus(trained, settings.preset), outcome.judgement
    about = {
        "student": trained.student,
        "preset": asdict(settings.preset),
        "seed": outcome.seed,
        "device": settings.device,
        "bonus": points,
        "accuracy": judgement.accuracy,
        "findings": [asdict(finding) for finding in judgement.findings],
        "remarks": judgement.remarks,
        "run": asdict(outcome.log),
    }
    write_whole(path, json.dumps(about, indent=1) + "\n")
    how = (settings.preset, outcome.seed, outcome.log, judgement, outcome.weights, settings.device, points)
    write_section(out, training.module, trained.student, "training", section(training.recipe, *how))


def write_class(training: FullTraining, results: list[Trained], out: Path) -> Path:
    """Writes the class's page; its path."""
    preset, path = training.settings.preset, out / "training" / "class.html"
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
    runs = [(each.outcome.log, each.outcome.judgement) for each in results if each.outcome]
    write_whole(path, class_page(training.module.name, preset, rows, runs))
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
    if trained.outcome is None:
        return clean(trained.student), "", "", "", "not trained"
    log, judgement = trained.outcome.log, trained.outcome.judgement
    accuracy = judgement.mean_accuracy
    failed = [finding.name for finding in judgement.findings if not finding.holds]
    return (
        clean(trained.student),
        "" if accuracy != accuracy else f"{accuracy:.1%}",
        f"{speed(log, preset):.0f}" if log.seconds else "",
        number(bonus(trained, preset)),
        "does not hold: " + ", ".join(failed) if failed else "all holds",
    )


def what_to_say(trained: Trained) -> list[str]:
    """Lines on what does not hold, and remarks."""
    if trained.outcome is None:
        return [trained.problem]
    judgement = trained.outcome.judgement
    return [f"{f.title}: no. {f.said}" for f in judgement.findings if not f.holds] + judgement.remarks


def bonuses(out: Path) -> dict[str, float]:
    """Bonus points by student, from all that lies in `out`: those of the full training or of a claim, the higher."""
    found: dict[str, float] = {}
    for path in sorted((out / "training").glob("*.json")) + sorted((out / "training" / "claims").glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            points = 0.0 if said.get("shared") else float(said.get("bonus", 0.0))
            found[path.stem] = max(points, found.get(path.stem, 0.0))
        except (OSError, ValueError, TypeError, AttributeError):
            raise CourseError(f"{path} is damaged: delete it and run the command again") from None
    return found


def bonus(trained: Trained, preset: Preset) -> float:
    """Bonus points: all of the preset's, or none."""
    return preset.points if trained.holds else 0.0
