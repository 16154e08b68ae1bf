"""Grades one class in every way there is, and writes docs/benchmark.md and docs/benchmark.svg: `make benchmark`.

Every way gets the same submissions, probes, checks and seed, one torch thread a process, and starts with nothing kept.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rivals
from measure import Cost, measure

from autograder.authors.release import notebook_text
from autograder.classes.demo import SEED, build_class
from autograder.course.course import Course, Module
from autograder.course.imports import COMMON
from autograder.defaults import CORES
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader

ROOT = Path(__file__).parents[1]
COURSE = "deep-learning-for-visual-computing"  # nbgrader_config.py's course_id
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
    "OMP_NUM_THREADS": "1",  # faster for every way: the networks are tiny
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
NBGRADER, OTTER = "plain `nbgrader autograde`", "`otter run`"
ONE, TWO, OURS, BOOK = "`grade`, 1 worker", "`grade`, 2 workers", "`grade`", "`grade`, with gradebook"
THROUGH, BARE = "`nbgrader autograde`, this engine", "bare probes, one process"

Scores = dict[str, dict[str, float]]  # points by student and exercise


@dataclass(frozen=True)
class Way:
    """One way to grade: `run` grades some submissions in a new folder, `scores` reads what it gave there."""

    name: str
    run: Callable[[list[Path], Path], Cost]
    scores: Callable[[Path], Scores]
    sampled: bool = False  # takes seconds for each submission, so by default it gets some of the class


@dataclass
class Figures:
    """One way's costs, for all its submissions and for fewer of them, and its scores; or why it was not run."""

    students: int = 0
    cost: Cost | None = None
    fewer: int = 0
    less: Cost | None = None
    scores: Scores | None = None
    why: str = ""

    @property
    def memory(self) -> float:
        """Peak megabytes of the whole run; NaN when it did not run."""
        return self.cost.memory if self.cost else math.nan

    def one_more(self, what: str) -> float:
        """Seconds (`wall` or `cpu`) that one more submission takes: the slope of the line through both sizes."""
        more, less = getattr(self.cost, what), getattr(self.less, what)
        return float(more - less) / (self.students - self.fewer)

    def start(self, what: str) -> float:
        """Seconds before the first submission: what that line leaves."""
        return max(0.0, float(getattr(self.cost, what)) - self.students * self.one_more(what))

    def each(self, what: str) -> float:
        """Seconds of the whole run for each submission, the start shared among all."""
        return float(getattr(self.cost, what)) / self.students


def main() -> None:
    options = _options()
    module = Course(ROOT).module(options.module)
    work = ROOT / ".autograder" / "benchmark"
    if not options.resume:
        shutil.rmtree(work, ignore_errors=True)
    students = make_class(module, work / "class", options.students)
    with Grader(module, SEED, workers=1) as grader:
        shutil.rmtree(work / "about", ignore_errors=True)
        about = rivals.write_about(grader, work / "about")
    found = {}
    for way in ways(grader, about):
        some = every(students, options.sample) if way.sampled and not options.all else students
        found[way.name] = figures(way, some, work)
    text = report(found, grader, options.students)
    print(text)
    if options.write:
        draw(found, ROOT / "docs" / "benchmark.svg")
        write_whole(ROOT / "docs" / "benchmark.md", text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="week08_densenet")
    parser.add_argument("--students", type=int, default=100, metavar="N", help="in the class (default: 100)")
    parser.add_argument(
        "--sample", type=int, default=10, metavar="N", help="of them for nbgrader and otter (default: 10)"
    )
    parser.add_argument("--all", action="store_true", help="give nbgrader and otter the whole class too")
    parser.add_argument("--resume", action="store_true", help="keep the parts that an interrupted run has finished")
    parser.add_argument("--write", action="store_true", help="write docs/benchmark.md and docs/benchmark.svg")
    options = parser.parse_args()
    if not 4 <= options.sample <= options.students:
        parser.error("--sample must be 4 or more, and not more than --students")
    return options


# --- the class --------------------------------------------------------------------------------------------------------


def make_class(module: Module, folder: Path, students: int) -> list[Path]:
    """The notebooks of a mixed class: the reference, other right ones, three in five with mistakes, a stub, half of one."""
    wrong = 3 * students // 5
    right = [f"right-{number:03d}" for number in range(students - wrong - 3)]
    build_class(module, folder, right, [f"wrong-{number:03d}" for number in range(wrong)])
    shutil.rmtree(folder / "oskar")  # damaged: there is nothing to compare
    solved = notebook_text(Contents(module), solved=True)
    write_whole(folder / "reference" / module.name / module.notebook, solved)
    return sorted(folder.glob(f"*/{module.name}/{module.notebook}"))


def every(students: list[Path], count: int) -> list[Path]:
    """`count` of the students, evenly spread, so that all kinds are among them."""
    return [students[index * len(students) // count] for index in range(count)]


# --- the ways ---------------------------------------------------------------------------------------------------------


def ways(grader: Grader, about: Path) -> list[Way]:
    """All ways to grade, the reference for the scores first."""
    module = grader.module

    def engine(*command: str) -> Callable[[list[Path], Path], Cost]:
        def run(students: list[Path], folder: Path) -> Cost:
            make_course(module, students, folder)
            return measure(command, folder, ENVIRONMENT)

        return run

    def kernels(run: Callable[..., Any]) -> Callable[[list[Path], Path], Cost]:
        return lambda students, folder: run(grader, about, students, folder, ENVIRONMENT)

    def bare(students: list[Path], folder: Path) -> Cost:
        folder.mkdir(parents=True)
        program = Path(__file__).with_name("in_kernel.py")
        return measure([sys.executable, program, about, *students], folder, ENVIRONMENT)

    grade = ("autograder", "grade", module.name)

    def ours(folder: Path) -> Scores:
        return result_scores(folder, grader)

    return [
        Way(OURS, engine(*grade, "--no-gradebook"), ours),
        Way(TWO, engine(*grade, "--no-gradebook", "--workers", "2"), ours),
        Way(ONE, engine(*grade, "--no-gradebook", "--workers", "1"), ours),
        Way(BOOK, engine(*grade), lambda folder: rivals.gradebook_scores(folder, module, COURSE)),
        Way(
            THROUGH,
            engine("nbgrader", "autograde", module.name),
            lambda folder: rivals.gradebook_scores(folder, module, COURSE),
        ),
        Way(BARE, bare, lambda _: {}),
        Way(
            NBGRADER,
            kernels(rivals.run_nbgrader),
            lambda folder: rivals.gradebook_scores(folder, module, "plain"),
            sampled=True,
        ),
        Way(OTTER, kernels(rivals.run_otter), rivals.otter_scores, sampled=True),
    ]


def make_course(module: Module, students: list[Path], folder: Path) -> None:
    """A course of one module without anything kept, and the students' submissions in it."""
    for part in ("source", "tests", "release"):
        shutil.copytree(module.root / part / module.name, folder / part / module.name)
    for name in ("nbgrader_config.py", "course.toml"):
        shutil.copy(module.root / name, folder)
    shutil.copytree(module.tests.parent / COMMON, folder / "tests" / COMMON)
    for path in students:
        shutil.copytree(path.parent, folder / "submitted" / path.parts[-3] / module.name)
    write_whole(folder / "grades" / module.name / "seed", f"{SEED}\n")


def result_scores(folder: Path, grader: Grader) -> Scores:
    """The points of each exercise, by student, in the result files of a course."""
    found = {}
    for path in sorted((folder / "grades" / grader.module.name / "results").glob("*.json")):
        checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
        found[path.stem] = {
            exercise: float(sum(check["points"] for check in checks if check["function"] in functions))
            for exercise, functions in grader.contents.exercises.items()
        }
    return found


def figures(way: Way, students: list[Path], work: Path) -> Figures:
    """What a way takes and gives for `students`, and for every fourth of them; kept, for a run that is resumed."""
    if way.name == OTTER and (why := rivals.otter_is_missing()):
        return Figures(why=why)
    kept = work / "parts" / f"{way.name.strip('`').replace(' ', '-').replace('`', '')}-{len(students)}.json"
    if kept.is_file():
        return _load(kept)
    costs = []
    few = every(students, max(2, len(students) // 4))
    for some in (few, students):
        folder = work / "part"
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{way.name}: {len(some)} submissions … ", end="", flush=True)
        costs.append(way.run(some, folder))
        print(f"{costs[-1].wall:.1f} s ({costs[-1].quiet})", flush=True)
    found = Figures(len(students), costs[1], len(few), costs[0], way.scores(folder))
    write_whole(kept, json.dumps(dataclasses.asdict(found)))
    return found


def _load(path: Path) -> Figures:
    kept = json.loads(path.read_text())
    return Figures(**{**kept, "cost": Cost(**kept["cost"]), "less": Cost(**kept["less"])})


# --- what is shown ----------------------------------------------------------------------------------------------------


def table(found: dict[str, Figures]) -> list[str]:
    """The ways as a Markdown table, the slowest first."""
    rows = [
        "| way | submissions | s each | start, s | one more, s | times nbgrader | CPU s each | start, CPU s "
        "| one more, CPU s | peak MB |",
        "|---" * 10 + "|",
    ]
    ran = {name: f for name, f in found.items() if f.cost}
    for name, f in sorted(ran.items(), key=lambda item: -item[1].each("wall")):
        seconds = [f"{f.each(what):.2f} | {f.start(what):.1f} | {f.one_more(what):.2f}" for what in ("wall", "cpu")]
        times = found[NBGRADER].each("wall") / f.each("wall")
        rows.append(f"| {name} | {f.students} | {seconds[0]} | {times:.1f} | {seconds[1]} | {f.memory:.0f} |")
    return rows + [f"| {name} | {f.why} |" + " |" * 8 for name, f in found.items() if f.why]


def aims(found: dict[str, Figures]) -> list[str]:
    """What was aimed at, and what came out."""
    one, two, ours, bare, nbgrader = found[ONE], found[TWO], found[OURS], found[BARE], found[NBGRADER]

    def more(slow: Figures, fast: Figures, what: str) -> str:
        whole, steady = slow.each(what) / fast.each(what), slow.one_more(what) / fast.one_more(what)
        return f"{whole:.2f} times for the whole run, {steady:.2f} times for one more submission"

    return [
        f"- throughput over plain nbgrader's (aim: 20 times): {more(nbgrader, ours, 'wall')}",
        f"- CPU over the bare probes' (aim: 1.6 times): {more(ours, bare, 'cpu')}; with one submission a core at once "
        f"{more(two, bare, 'cpu')}",
        f"- from 1 to 2 workers (aim: 1.8 times as fast): {more(one, two, 'wall')}",
        f"- memory of a further worker (aim: under 300 MB): {two.memory - one.memory:.0f} MB",
    ]


def differences(found: dict[str, Figures]) -> list[str]:
    """Where scores differ from `grade`'s, exercise by exercise."""
    ours, lines = found[OURS].scores or {}, []
    for name, f in found.items():
        if not f.scores or name == OURS:
            continue
        theirs = f.scores
        cells = [(student, exercise) for student in theirs for exercise in ours[student]]
        other = [cell for cell in cells if theirs[cell[0]].get(cell[1]) != ours[cell[0]][cell[1]]]
        lines.append(f"- {name}: {len(cells) - len(other)} of {len(cells)} scores are the same")
        lines += [
            f"  - {student}, {exercise}: {theirs[student].get(exercise)} in place of {ours[student][exercise]:g}"
            for student, exercise in other
        ]
    return lines


def report(found: dict[str, Figures], grader: Grader, students: int) -> str:
    """The whole page."""
    quiet = [f"- {name}: {f.cost.quiet}; with {f.fewer}: {f.less.quiet}" for name, f in found.items() if f.cost and f.less]
    return "\n".join(
        [
            "# The benchmark",
            "",
            f"One class of {students} submissions to {grader.module.name} (right ones, known mistakes, a stub, half a "
            f"notebook) with {len(grader.contents.checks)} checks, graded in every way on {CORES} cores, with nothing "
            "kept from before. Made by `make benchmark`. *Each* is the whole run divided by its submissions. *Start* and "
            "*one more* are the line through this run and one of a fourth of the submissions. CPU is that of all "
            "processes; memory is the peak of their proportional set sizes. Where a way got fewer submissions, they are "
            "evenly spread over the class. `grade` observes three submissions a core at once (`--workers`), since each waits "
            "while `fit` is timed. nbgrader and otter run our probes and checks in the student's kernel, and no "
            "training or plot cells.",
            "",
            *table(found),
            "",
            "![Seconds and CPU seconds a submission, and peak memory](benchmark.svg)",
            "",
            "## The aims",
            "",
            *aims(found),
            "",
            "## The scores",
            "",
            "In a kernel nothing runs a cell again, and what goes to a stream that a cell has kept is not seen: there a "
            "right answer that asks for the GPU as its cell runs, and one that logs its lines, lose a point each, where the "
            "sample holds them.",
            "",
            *differences(found),
            "",
            "## How quiet the machine was",
            "",
            "The load average (1 minute) before each part, and the share of the CPU that the host took away during it.",
            "",
            *quiet,
            "",
        ]
    )


def draw(found: dict[str, Figures], path: Path) -> None:
    """Three panels of bars: wall seconds and CPU seconds a submission, and peak memory."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    ran = {name.replace("`", ""): f for name, f in found.items() if f.cost}
    names = sorted(ran, key=lambda name: ran[name].each("wall"))
    panels = {
        "s a submission": [ran[name].each("wall") for name in names],
        "CPU s a submission": [ran[name].each("cpu") for name in names],
        "peak memory, MB": [ran[name].memory for name in names],
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3), sharey=True, facecolor="white", layout="constrained")
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(names, values, color=["#0072b2" if name.startswith("grade") else "#999999" for name in names])
        axis.bar_label(bars, [f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values], padding=3)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.2)
        axis.set_xticks([])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
