"""One class graded here, on Dask's workers and in Slurm's jobs, all on this machine, side by side in one run; and what that
says of larger classes: `python benchmarks/clusters.py --write` makes docs/large-classes.md.

Nothing is kept from one run to the next. Two workers of Dask with one thread each, and two nodes of Slurm with one core each
(Debian's slurmctld, slurmd and munge), stand for the cluster; the machine should have two cores and be quiet.
"""

import argparse
import contextlib
import importlib
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare import ENVIRONMENT, ROOT, make_class, make_course
from measure import Cost, family, measure

from autograder.classes.demo import SEED
from autograder.cluster.on_dask import DaskNodes
from autograder.cluster.on_slurm import SlurmNodes
from autograder.cluster.shards import common
from autograder.course.course import Course, Module
from autograder.defaults import CORES
from autograder.files import write_whole
from autograder.grading.grader import Grader, seeds

sys.path.append(str(ROOT / "tests" / "engine"))
slurm: Any = importlib.import_module("slurm")  # the tests' own, which is started and stopped here

CLASSES = (1_000, 20_000, 200_000)
DEADLINES = (60, 12 * 60)  # minutes in which the grades are to be there
PRICE = 0.05  # of a core for an hour, in dollars: an assumption, about what clouds ask
LOCAL, DASK, SLURM = "here", "Dask", "Slurm"


@dataclass(frozen=True)
class Measured:
    """What one submission costs: CPU seconds on a node and on the grader's machine, bytes out and back; and seconds until
    a job of Slurm begins to observe."""

    node: float
    grader: float
    out: float
    back: float
    start: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="week08_densenet")
    parser.add_argument("--students", type=int, default=200, metavar="N", help="in the class (default: 200)")
    parser.add_argument("--write", action="store_true", help="write docs/large-classes.md")
    options = parser.parse_args()
    module, work = Course(ROOT).module(options.module), ROOT / ".autograder" / "clusters"
    shutil.rmtree(work, ignore_errors=True)
    students = make_class(module, work / "class", options.students)
    costs, measured = run(module, students, work)
    text = report(module, len(students), costs, measured)
    print(text)
    if options.write:
        write_whole(ROOT / "docs" / "large-classes.md", text)


def run(module: Module, students: list[Path], work: Path) -> tuple[dict[str, Cost], Measured]:
    """The costs of the same class in each place, and what one submission costs."""
    costs = {LOCAL: _graded(module, students, work / "here", "local")}
    with _dask(work) as (address, cpu):
        costs[DASK] = _graded(module, students, work / "dask", f"dask:{address}")
        on_nodes = cpu()
    with tempfile.TemporaryDirectory() as folder, slurm.running(Path(folder) / "slurm") as cluster:
        started = _seconds_to_start(cluster)
        environment = {"SLURM_CONF": str(cluster.conf)}
        costs[SLURM] = _graded(module, students, work / "slurm", "slurm:cpus_per_task=1", environment)
    out, back = _bytes(module, students, work / "dask")
    each = len(students)
    return costs, Measured(on_nodes / each, costs[DASK].cpu / each, out, back, started)


def _graded(
    module: Module, students: list[Path], course: Path, on: str, environment: dict[str, str] | None = None
) -> Cost:
    make_course(module, students, course)
    write_whole(course / "grades" / module.name / "seed", f"{SEED}\n")
    command = ["autograder", "grade", module.name, "--no-gradebook", "--on", on]
    cost = measure(command, course, {**ENVIRONMENT, **(environment or {})})
    print(f"{on}: {cost.wall:.1f} s, {cost.cpu:.1f} s of CPU by the grader's own processes, {cost.quiet}", flush=True)
    return cost


@contextlib.contextmanager
def _dask(work: Path) -> Iterator[tuple[str, Callable[[], float]]]:
    """A scheduler with two workers; its address, and a function that gives the CPU seconds the workers have used."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    address, log = f"tcp://127.0.0.1:{port}", (work / "dask.log").open("w")
    local = ["--no-dashboard", "--local-directory", str(work / "dask-worker"), "--nthreads", "1", "--no-nanny"]
    calls = [["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], *2 * [["worker", address, *local]]]
    started = [
        subprocess.Popen([sys.executable, "-m", "dask", *call], stdout=log, stderr=log, env=ENVIRONMENT) for call in calls
    ]
    try:
        time.sleep(5)  # workers that are there already are no part of a class's time
        yield address, lambda: sum(_cpu_of_family(process.pid) for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _cpu_of_family(pid: int) -> float:
    """CPU seconds of a process and all its descendants, those that have ended and been waited for among them."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _seconds_to_start(cluster: Any) -> float:
    """From the call of sbatch until a job has imported torch."""
    start = time.monotonic()
    call = ["sbatch", "--wait", "--output=/dev/null", f"--wrap={sys.executable} -c 'import torch, torchvision'"]
    cluster.call(*call)
    return time.monotonic() - start


def _bytes(module: Module, students: list[Path], course: Path) -> tuple[float, float]:
    """Of one submission: what goes out, with its share of what is the same for a whole shard, and what comes back."""
    grader = Grader(Course(course).module(module.name), SEED, workers=0)  # from what the run has kept
    back = 0
    for path in students:
        code = grader.read(path.read_bytes())
        for public, observer in grader.observers.items():
            key = observer.key(code, seeds(SEED)[public], None)
            back += (Course(course).store / f"{key}.safetensors").stat().st_size
    notebooks = sum(path.stat().st_size for path in students)
    return notebooks / len(students) + len(common(grader, 0)) / DaskNodes.shard, back / len(students)


# --- what it says of larger classes -----------------------------------------------------------------------------------


def cores(measured: Measured, students: int, minutes: float) -> int:
    """Of nodes, so that a class is observed in time."""
    return math.ceil(students * measured.node / (60 * minutes))


def graders_minutes(measured: Measured, students: int) -> float:
    """That the grader's machine is busy for on one core: judging stays there, however many nodes there are."""
    return students * measured.grader / 60


def money(measured: Measured, students: int) -> float:
    """Dollars, for the nodes' time and the grader's."""
    return students * (measured.node + measured.grader) / 3600 * PRICE


def report(module: Module, students: int, costs: dict[str, Cost], measured: Measured) -> str:
    """docs/large-classes.md."""
    here = costs[LOCAL]
    ran = [
        f"| {name} | {cost.wall:.1f} | {cost.wall / here.wall:.2f} | {cost.cpu:.1f} | {cost.memory:.0f} | {cost.quiet} |"
        for name, cost in costs.items()
    ]
    larger = [
        f"| {count:,} | {' / '.join(f'{cores(measured, count, minutes):,}' for minutes in DEADLINES)} "
        f"| {graders_minutes(measured, count):,.0f} | {count * measured.out / 1e9:.2f} | {count * measured.back / 1e9:.2f} "
        f"| {money(measured, count):,.2f} |"
        for count in CLASSES
    ]
    return f"""# Large classes

How to grade on a cluster is in [for-instructors.md](for-instructors.md). This page is made by `python benchmarks/clusters.py
--write` on {CORES} cores: {students} mixed submissions of {module.name}, nothing kept, without the gradebook.

| where | wall, s | against here | grader's CPU, s | grader's peak memory, MB | how quiet |
|---|---|---|---|---|---|
{chr(10).join(ran)}

All three ran on the same machine, so that what a cluster adds (other processes, bytes to and fro, jobs that start) shows,
and what it is for does not.

## What one submission costs

- on a node {measured.node:.2f} s of one core;
- on the grader's machine {measured.grader:.2f} s: judging, naming mistakes, and asking failing functions once more (the
  reference's own start of some seconds is in it, shared among {students});
- out {measured.out / 1e3:.0f} kB, back {measured.back / 1e3:.0f} kB;
- a job of Slurm took {measured.start:.1f} s from sbatch until torch was imported; it then observes {SlurmNodes.shard}
  submissions.

## What that says of larger classes

Not measured: computed from the figures above, for this module, as if cores of nodes were as fast as this machine's.

| submissions | cores of nodes, for grades in 1 hour / in 12 | grader, minutes of one core | out, GB | back, GB | dollars |
|---|---|---|---|---|---|
{chr(10).join(larger)}

Dollars at {PRICE} for a core's hour, which is an assumption. What the grader's machine does does not spread over nodes: where
its minutes are more than the deadline leaves, grade as they arrive (`--watch`), or module by module on several machines.
"""


if __name__ == "__main__":
    main()
