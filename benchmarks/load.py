"""The same class graded on a quiet and on a busy machine: verdicts and hints must not depend on who else is at work.

    python benchmarks/load.py week08_densenet                    # 3 times each, quiet and beside 20 busy processes
    python benchmarks/load.py week08_densenet --students 12 --times 2 --busy 20

Nothing is kept from one run to the next. Prints what differs from the first run, and ends with 1 when anything does.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from autograder.classes.demo import build_class
from autograder.classes.grade import grade_class
from autograder.classes.submissions import find_submissions
from autograder.course.course import Course, Module
from autograder.course.imports import COMMON

ROOT = Path(__file__).resolve().parent.parent
SEED = 5
TOLD = ("state", "points", "hint")  # of a check: what must be the same
SECONDS_BEFORE = 5  # for the load to be there before the first submission


def main() -> int:
    """Grades, compares, and says what differs."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        module = _copied(Course(ROOT).module(options.module), Path(scratch) / "course")
        folder = Path(scratch) / "class"
        wrong = 2 * options.students // 3
        names = [f"wrong-{number:03d}" for number in range(wrong)]
        build_class(module, folder, [f"right-{number:03d}" for number in range(options.students - wrong)], names)
        runs = {}
        for busy in (0, options.busy):
            for turn in range(options.times):
                with _busy(busy):
                    runs[busy, turn] = _graded(module, folder, Path(scratch) / "out")
                print(f"beside {busy} busy processes, run {turn + 1}: load {os.getloadavg()[0]:.1f} at its end", flush=True)
    first, *others = runs.items()
    differences = [
        f"beside {busy}, run {turn + 1}: {place}: {found.get(place)} in place of {first[1].get(place)}"
        for (busy, turn), found in others
        for place in sorted(found.keys() | first[1].keys())
        if found.get(place) != first[1].get(place)
    ]
    print("\n".join(differences) or f"{len(first[1])} verdicts, the same in all {len(runs)} runs")
    return 1 if differences else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", nargs="?", default="week08_densenet")
    parser.add_argument("--students", type=int, default=30, metavar="N", help="in the class (default: 30)")
    parser.add_argument("--times", type=int, default=3, metavar="N", help="runs on each machine (default: 3)")
    parser.add_argument("--busy", type=int, default=20, metavar="N", help="busy processes (default: 20)")
    return parser.parse_args()


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keeps `count` processes computing while the block runs."""
    processes = [multiprocessing.Process(target=_compute, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    time.sleep(SECONDS_BEFORE if count else 0)
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _compute() -> None:
    while True:
        sum(range(10_000))


def _copied(module: Module, root: Path) -> Module:
    """The module in a course of its own, whose recordings are its own too."""
    for part in (module.source.parent, module.tests, module.tests.parent / COMMON, module.release):
        shutil.copytree(part, root / part.relative_to(module.root))
    return Course(root).module(module.name)


def _graded(module: Module, folder: Path, out: Path) -> dict[str, Any]:
    """What every check said of every student, with nothing taken from an earlier run."""
    for old in (out, Course(module.root).store):
        shutil.rmtree(old, ignore_errors=True)
    grade_class(module, find_submissions(module, [folder]), out, Console(stderr=True), seed=SEED)
    results = (json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "results").glob("*.json")))
    return {
        f"{result['student']}, {check['check']}": [check[name] for name in TOLD]
        for result in results
        for check in result["checks"]
    }


if __name__ == "__main__":
    sys.exit(main())
