"""Time and memory against the size of a class: `python benchmarks/growth.py --write` makes docs/growth.md and .svg.

A class of 100 is graded afresh, and 10 of it. Larger classes repeat it under other names: their recordings are kept, so
that what is measured there is reading the store, judging, reports and gradebook, and no student code runs.
"""

import argparse
import os
import re
import shutil
from pathlib import Path

from compare import ENVIRONMENT, ROOT, every, make_class, make_course
from measure import Cost, measure

from autograder.classes.demo import SEED
from autograder.course.course import Course, Module
from autograder.defaults import CORES
from autograder.files import write_whole

DISTINCT = 100  # submissions that are graded afresh
FRESH, KEPT, REPORTS = "graded afresh", "graded from kept recordings", "of that, reports written"
REGRADE, BOOK = "regraded", "graded from kept recordings, with gradebook"
KINDS = (FRESH, KEPT, REPORTS, REGRADE, BOOK)

Costs = dict[str, dict[int, Cost]]  # by kind and size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="week08_densenet")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 5000], metavar="N")
    parser.add_argument("--most", type=int, default=1000, metavar="N", help="with the gradebook (default: 1000)")
    parser.add_argument("--write", action="store_true", help="write docs/growth.md and docs/growth.svg")
    options = parser.parse_args()
    module, work = Course(ROOT).module(options.module), ROOT / ".autograder" / "growth"
    shutil.rmtree(work, ignore_errors=True)
    costs = run(module, work, options.sizes, options.most)
    text = report(costs, module)
    print(text)
    if options.write:
        draw(costs, ROOT / "docs" / "growth.svg")
        write_whole(ROOT / "docs" / "growth.md", text)


def run(module: Module, work: Path, sizes: list[int], most: int) -> Costs:
    """Measures every kind for every size, in one course whose recordings are kept after the first."""
    costs: Costs = {kind: {} for kind in KINDS}
    students = make_class(module, work / "class", DISTINCT)
    grade = ["autograder", "grade", module.name, "--timings"]
    for some in (every(students, 10), students):
        course = work / f"course-{len(some)}"
        make_course(module, some, course)
        costs[FRESH][len(some)] = _measured([*grade, "--no-gradebook"], course, FRESH, len(some))
    for size in sizes:
        hand_in(module, students, course, size)
        kept = costs[KEPT][size] = _measured([*grade, "--no-gradebook"], course, KEPT, size)
        costs[REPORTS][size] = Cost(_stage("writing", kept.said), 0, kept.memory, kept.load, kept.stolen)
        regrade = ["autograder", "regrade", module.name, "--dry-run"]
        costs[REGRADE][size] = _measured(regrade, course, REGRADE, size)
        if size <= most:
            hand_in(module, students, course, size)
            costs[BOOK][size] = _measured(grade, course, BOOK, size)
    return costs


def hand_in(module: Module, students: list[Path], course: Path, size: int) -> None:
    """Puts `size` submissions into a course, repeated under other names, and takes its grades and gradebook away."""
    for name in ("submitted", "grades", "autograded", "gradebook.db"):
        path = course / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for number in range(size):
        path = students[number % len(students)]
        folder = course / "submitted" / f"{path.parts[-3]}-{number // len(students):02d}" / module.name
        folder.mkdir(parents=True)
        os.link(path, folder / path.name)
    write_whole(course / "grades" / module.name / "seed", f"{SEED}\n")


def _measured(command: list[str], course: Path, kind: str, size: int) -> Cost:
    print(f"{size} {kind} … ", end="", flush=True)
    cost = measure(command, course, ENVIRONMENT)
    print(f"{cost.wall:.1f} s, {cost.memory:.0f} MB ({cost.quiet})", flush=True)
    return cost


def _stage(name: str, said: str) -> float:
    """The seconds of a stage in what `grade --timings` printed."""
    found = re.search(rf"^{name} +([\d.]+)", said, re.MULTILINE)
    assert found, f"grade --timings did not print {name}"
    return float(found[1])


# --- what is shown ----------------------------------------------------------------------------------------------------


def report(costs: Costs, module: Module) -> str:
    """The page: seconds, seconds for one more, and memory, by kind and size."""
    sizes = sorted({size for kind in costs.values() for size in kind})
    head = ["", "| submissions | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    memory = [kind for kind in KINDS if kind != REPORTS]
    return "\n".join(
        [
            "# Growth",
            "",
            f"{module.name} on {CORES} cores, made by `python benchmarks/growth.py --write`. {DISTINCT} "
            "submissions differ and are graded afresh; a larger class repeats them under other names and is judged from "
            "the recordings that are kept. The gradebook is SQLite.",
            "",
            "## Seconds (in brackets: for one more submission, from the size before)",
            *head,
            *(f"| {n} | " + " | ".join(_seconds(costs[kind], n) for kind in KINDS) + " |" for n in sizes),
            "",
            "## Peak memory, MB",
            "",
            "| submissions | " + " | ".join(memory) + " |",
            "|---" * (len(memory) + 1) + "|",
            *(f"| {n} | " + " | ".join(_memory(costs[kind], n) for kind in memory) + " |" for n in sizes),
            "",
            "![Seconds and peak memory against the number of submissions](growth.svg)",
            "",
            "## How quiet the machine was",
            "",
            *(f"- {n}, {kind}: {costs[kind][n].quiet}" for kind in memory for n in sorted(costs[kind])),
            "",
        ]
    )


def _seconds(by_size: dict[int, Cost], size: int) -> str:
    if size not in by_size:
        return ""
    before = max((other for other in by_size if other < size), default=None)
    more = "" if before is None else f" ({(by_size[size].wall - by_size[before].wall) / (size - before):.3f})"
    return f"{by_size[size].wall:.1f}{more}"


def _memory(by_size: dict[int, Cost], size: int) -> str:
    return f"{by_size[size].memory:.0f}" if size in by_size else ""


def draw(costs: Costs, path: Path) -> None:
    """Seconds and peak memory against the size, both axes of the first logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), facecolor="white", layout="constrained")
    colours, marks = ("#0072b2", "#e69f00", "#999999", "#56b4e9", "#000000"), "os^Dv"
    for kind, colour, mark in zip(KINDS, colours, marks, strict=True):
        sizes = sorted(costs[kind])
        left.plot(sizes, [costs[kind][n].wall for n in sizes], color=colour, marker=mark, label=kind)
        if kind != REPORTS:
            right.plot(sizes, [costs[kind][n].memory for n in sizes], color=colour, marker=mark, label=kind)
    left.set(xscale="log", yscale="log", xlabel="submissions", ylabel="seconds")
    right.set(xscale="log", xlabel="submissions", ylabel="peak memory, MB")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
