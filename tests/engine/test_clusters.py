"""A real Slurm and a real Dask on this machine: the same grades as without them, whatever is killed in the middle."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import slurm
from conftest import LIMIT, needs, needs_walls
from rich.console import Console
from toy_course import solved, write_course

from autograder import cli
from autograder.classes.grade import grade_class
from autograder.classes.submissions import find_submissions
from autograder.course.course import Course
from autograder.errors import CourseError

pytestmark = [needs_walls, pytest.mark.long]

STUDENTS = [f"student-{number:02}" for number in range(12)]
SLOW = "def mean(numbers):\n    import time\n    time.sleep(0.2)\n    return sum(numbers) / len(numbers)"
SEED = 7
WAIT = 120  # seconds, on a busy machine
MAIN = "import sys; from autograder.cli import main; sys.exit(main())"


def submission(number: int) -> bytes:
    """Each its own, none of them quick: a shard takes long enough to be killed in its middle."""
    wrong = {"double": f"def double(x): return x * x if x != {number} else x"} if number % 3 == 0 else {}
    return solved(mean=f"{SLOW}  # {number}", **wrong)


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    root = write_course(tmp_path_factory.mktemp("clusters") / "course")
    for number, student in enumerate(STUDENTS):
        path = root / "submitted" / student / "toy" / "toy.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(submission(number))
    return root


def grade(root: Path, out: Path, on: str = "local", say=None) -> str:
    """Grades the class with nothing kept, and gives all results but for the times in them."""
    shutil.rmtree(root / ".autograder" / "recordings", ignore_errors=True)
    module, console = Course(root).module("toy"), Console(quiet=True)
    if say is not None:
        console.print = lambda line="", **_: say.append(line)
    how = {"workers": 2, "limit": 4 * LIMIT, "on": on, "node_workers": 0 if on == "local" else 1}
    grade_class(module, find_submissions(module, []), out, console, seed=SEED, **how)
    return results(out)


def results(out: Path) -> str:
    texts = [path.read_text() for path in sorted((out / "results").glob("*.json"))]
    assert len(texts) == len(STUDENTS)
    return re.sub(r'"(seconds|cpu)": [\d.e-]+', "", "\n".join(texts))


@pytest.fixture(scope="module")
def here(course, tmp_path_factory) -> str:
    """The class as this machine alone grades it."""
    return grade(course, tmp_path_factory.mktemp("here"))


@contextlib.contextmanager
def meanwhile(work):
    """Runs `work` beside the block, and raises what it raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    if failed:
        raise failed[0]


def until(what: str, holds):
    """What `holds` gives, once that is true of something."""
    end = time.monotonic() + WAIT
    while not (found := holds()):
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def killed(course: Path, out: Path, on: str):
    """A grader that is killed after the block, which waits for the right moment, and the same command once more."""
    shutil.rmtree(course / ".autograder" / "recordings", ignore_errors=True)
    out.mkdir(exist_ok=True)
    (out / "seed").write_text(str(SEED))
    call = [sys.executable, "-c", MAIN, "grade", "toy", "--on", on, "--workers", "1", "--output", str(out)]
    call += ["--no-gradebook", "--limit", str(4 * LIMIT)]
    first = subprocess.Popen(call, cwd=course, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    assert first.poll() is None, "it had ended before it was killed"
    first.kill()
    first.wait()
    again = subprocess.run(call, cwd=course, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


@contextlib.contextmanager
def watching(course: Path, folder: Path, out: Path, on: str):
    """A grader that takes in what arrives in `folder`, with nothing kept, ended by Ctrl-C; what it said is in the list."""
    shutil.rmtree(course / ".autograder" / "recordings", ignore_errors=True)
    for made in (folder, out):
        made.mkdir()
    (out / "seed").write_text(str(SEED))
    call = [sys.executable, "-c", MAIN, "grade", "toy", str(folder), "--watch", "--on", on, "--workers", "1"]
    call += ["--output", str(out), "--no-gradebook", "--limit", str(4 * LIMIT)]
    process = subprocess.Popen(call, cwd=course, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said: list[str] = []
    yield said
    process.send_signal(signal.SIGINT)
    said.append(process.communicate(timeout=WAIT)[0])
    assert process.returncode == 130, said


def arrive(course: Path, folder: Path, students: list[str]) -> None:
    """Copies these students' work, with its time, which is of long ago."""
    for student in students:
        path = course / "submitted" / student
        for each in path.rglob("*.ipynb"):
            os.utime(each, (1e9, 1e9))
        shutil.copytree(path, folder / f".{student}")
        (folder / f".{student}").rename(folder / student)


def graded(out: Path) -> int:
    return len(list((out / "results").glob("*.json")))


# --- Slurm ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Slurm with two nodes."""
    needs("slurmctld slurmd slurm-client munge", not slurm.missing_daemons())
    with slurm.running(tmp_path_factory.mktemp("slurm") / "s") as running:
        yield running


@pytest.fixture
def on_slurm(cluster, monkeypatch):
    """Lets this process submit to it, in small shards, and look often."""
    from autograder.cluster import on_slurm as module

    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(module, "QUEUE_SECONDS", 0.5)
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(module.SlurmNodes, "shard", 3)
    until("two idle nodes", lambda: cluster.states() == ["idle", "idle"])
    return cluster


def jobs(cluster: slurm.Slurm, state: str = "RUNNING") -> list[str]:
    call = ("squeue", "--noheader", "--array", "--format=%i", f"--states={state}")
    return cluster.call(*call).stdout.split()


def grader_of(cluster: slurm.Slurm, root: Path) -> list[str]:
    """The jobs that a grader of this course has noted as its own."""
    notes = (root / ".autograder" / "slurm").glob("*/jobs.txt")
    return [job for path in notes for job in path.read_text().split()]


def test_slurm_gives_the_same_grades(on_slurm, course, here, tmp_path):
    assert grade(course, tmp_path, "slurm:partition=cpu,time=5") == here
    assert list((course / ".autograder" / "slurm").iterdir()) == []
    until("an empty queue", lambda: not jobs(on_slurm))


def test_jobs_that_are_cancelled_go_out_again(on_slurm, course, here, tmp_path):
    said: list[str] = []
    cancel = lambda: on_slurm.call("scancel", until("two jobs", lambda: jobs(on_slurm))[0])  # noqa: E731
    with meanwhile(cancel):
        assert grade(course, tmp_path, "slurm", said) == here
    assert any("was lost (job" in line and "goes out again, in halves" in line for line in said)


def test_a_whole_array_that_is_cancelled_goes_out_again(on_slurm, course, here, tmp_path):
    def cancel() -> None:
        first = until("a job", lambda: jobs(on_slurm))[0]
        on_slurm.call("scancel", first.split("_")[0])

    with meanwhile(cancel):
        assert grade(course, tmp_path, "slurm") == here


def test_a_node_that_dies_and_a_controller_that_restarts_lose_nothing(on_slurm, course, here, tmp_path):
    def kill() -> None:
        until("two jobs", lambda: len(jobs(on_slurm)) == 2)
        on_slurm.kill("slurmd-node1")
        on_slurm.restart_controller()

    with meanwhile(kill):
        assert grade(course, tmp_path, "slurm") == here
    on_slurm.start_node("node1")


def test_a_killed_grader_goes_on_and_leaves_no_job(on_slurm, course, here, tmp_path):
    with killed(course, tmp_path, "slurm"):
        left = until("noted jobs", lambda: grader_of(on_slurm, course) if jobs(on_slurm) else [])
    assert left and results(tmp_path) == here
    assert list((course / ".autograder" / "slurm").iterdir()) == []
    until("an empty queue", lambda: not jobs(on_slurm))


def test_an_interrupted_grader_cancels_its_jobs(on_slurm, course, tmp_path):
    shutil.rmtree(course / ".autograder" / "recordings", ignore_errors=True)
    call = [sys.executable, "-c", MAIN, "grade", "toy", "--on", "slurm", "--output", str(tmp_path), "--no-gradebook"]
    run = subprocess.Popen(call, cwd=course, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until("a job", lambda: jobs(on_slurm))
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=WAIT)
    assert run.returncode == 130
    assert "what still runs on Slurm is cancelled" in said and "run the same command again" in said
    until("an empty queue", lambda: not jobs(on_slurm))


def test_a_watch_on_slurm_that_is_ended_cancels_its_jobs_and_goes_on(on_slurm, course, here, tmp_path):
    arriving, on = tmp_path / "arriving", "slurm:partition=cpu,time=5"
    with watching(course, arriving, tmp_path / "first", on) as said:
        arrive(course, arriving, STUDENTS)
        until("a job", lambda: jobs(on_slurm))
    until("an empty queue", lambda: not jobs(on_slurm))
    assert f"{graded(tmp_path / 'first')} graded, {12 - graded(tmp_path / 'first')} wait" in said[0]
    arriving.rename(tmp_path / "arrived")
    with watching(course, arriving, tmp_path / "out", on):
        arrive(course, arriving, STUDENTS[:2])
        until("two", lambda: graded(tmp_path / "out") == 2)
        arrive(course, arriving, STUDENTS[2:])
        until("all", lambda: graded(tmp_path / "out") == 12)
    assert results(tmp_path / "out") == here


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("partition=nope", "such a job would not be taken: .*invalid partition"),
        ("part=cpu", "Unavailable parameter.*'part'.*there is partition, time"),
        ("cpu", "'cpu' is not NAME=VALUE"),
    ],
)
def test_what_slurm_does_not_take_is_said_at_once(on_slurm, course, tmp_path, setting, said):
    with pytest.raises(CourseError, match=said):
        grade(course, tmp_path, f"slurm:{setting}")


def test_a_scheduler_that_does_not_hear_may_have_another_clock(on_slurm, course, tmp_path, monkeypatch):
    sbatch = tmp_path / "bin" / "sbatch"  # says what Slurm's own does where munge's clock is two hours ahead
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho 'allocation failure: Zero Bytes were transmitted or received' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(CourseError, match="Zero Bytes .*; `scontrol ping` .*clock and munge key"):
        grade(course, tmp_path, "slurm:partition=cpu")


def test_doctor_asks_each_node_of_slurm(on_slurm, course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert cli.main(["doctor", "--on", "slurm:partition=cpu"]) == 0
    assert capsys.readouterr().out.splitlines() == ["node1: can observe", "node2: can observe"]


# --- Dask -------------------------------------------------------------------------------------------------------------


class Dask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.folder, self.address = folder, f"tcp://127.0.0.1:{self.port}"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        self.workers = [self.add_worker(), self.add_worker()]

    def add_worker(self) -> "subprocess.Popen[bytes]":
        how = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", str(WAIT)]
        return self._start("worker", self.address, "--local-directory", str(self.folder), *how)

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        call = [sys.executable, "-m", "dask", *arguments]
        return subprocess.Popen(call, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def restart_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def busy(self) -> bool:
        """Whether a worker has begun to observe."""
        return any("autograder-node" in name for name in os.listdir(self.folder))

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path, monkeypatch):
    from autograder.cluster.on_dask import DaskNodes

    monkeypatch.setattr(DaskNodes, "shard", 3)
    (tmp_path / "dask").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "dask"))
    started = Dask(tmp_path / "dask")
    yield started
    started.stop()


def test_dask_gives_the_same_grades_with_a_worker_killed(dask, course, here, tmp_path):
    def kill() -> None:
        until("a worker at work", dask.busy)
        dask.workers[0].kill()
        dask.workers.append(dask.add_worker())

    with meanwhile(kill):
        assert grade(course, tmp_path / "out", f"dask:{dask.address}") == here


def test_a_dask_scheduler_that_is_started_anew_loses_nothing(dask, course, here, tmp_path):
    def restart() -> None:
        until("a worker at work", dask.busy)
        dask.restart_scheduler()
        dask.workers += [dask.add_worker(), dask.add_worker()]

    with meanwhile(restart):
        assert grade(course, tmp_path / "out", f"dask:{dask.address}") == here


def test_a_watch_on_dask_loses_nothing_with_worker_and_scheduler_killed(dask, course, here, tmp_path):
    arriving, out = tmp_path / "arriving", tmp_path / "out"
    with watching(course, arriving, out, f"dask:{dask.address}") as said:
        arrive(course, arriving, STUDENTS[:6])
        until("a worker at work", dask.busy)
        dask.workers[0].kill()
        until("six", lambda: graded(out) == 6)
        dask.restart_scheduler()
        dask.workers += [dask.add_worker(), dask.add_worker()]
        arrive(course, arriving, STUDENTS[6:])
        until("all", lambda: graded(out) == 12)
    assert "12 graded, 0 wait" in said[0]
    assert results(out) == here


def test_a_killed_grader_on_dask_goes_on_and_leaves_no_task(dask, course, here, tmp_path):
    from distributed import Client

    with killed(course, tmp_path / "out", f"dask:{dask.address}"):
        until("a worker at work", dask.busy)
    assert results(tmp_path / "out") == here
    with Client(dask.address) as client:
        until("an idle scheduler", lambda: not client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def test_a_task_of_dask_learns_that_nobody_waits_for_it(dask, tmp_path):
    from distributed import Client

    began, ended = tmp_path / "began", tmp_path / "ended"

    def task() -> None:
        from autograder.cluster.node import still_wanted

        is_wanted = still_wanted()
        began.touch()
        while is_wanted():
            time.sleep(0.05)
        ended.touch()

    with Client(dask.address) as client:
        future = client.submit(task)
        until("the task", began.exists)
        assert not ended.exists()
        future.cancel()
        until("its end", ended.exists)


def test_a_large_shard_crosses_without_a_word_of_dask_s(dask, recwarn):
    from autograder.cluster.on_dask import DaskNodes

    nodes = DaskNodes(dask.address, 1, print)
    assert nodes.submit(bytes.strip, b" " * 11 * 2**20 + b"x").result() == b"x"  # 10 MiB are what it warns of
    nodes.shutdown()
    assert not [warned for warned in recwarn if "large graph" in str(warned.message)]


def test_doctor_asks_each_worker_of_dask(dask, course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    until("two workers", lambda: cli.main(["doctor", "--on", f"dask:{dask.address}"]) == 0 and _lines(capsys) == 2)


def test_a_worker_that_comes_while_doctor_asks_is_no_fault(monkeypatch):
    from autograder.cluster.on_dask import DaskNodes

    nodes = object.__new__(DaskNodes)
    nodes._lacks, nodes._hosts, there = {}, {}, iter([["first"], ["first", "second"]])
    monkeypatch.setattr(nodes, "_threads", lambda: dict.fromkeys(next(there), 1))
    monkeypatch.setattr(nodes, "_ask", lambda one: (nodes._hosts.update({one: "here"}), nodes._lacks.update({one: []})))
    assert nodes.each() == {"here (first)": []}


def _lines(capsys) -> int:
    return capsys.readouterr().out.count("can observe")


def test_a_worker_of_another_version_is_left_out_by_name(dask, course, tmp_path, monkeypatch):
    from autograder.cluster import node

    monkeypatch.setattr(node, "own_versions", lambda: {"torch": "1.0"})
    monkeypatch.setattr("autograder.cluster.on_dask.CONNECT_SECONDS", 20)
    said: list[str] = []
    with pytest.raises(CourseError, match="has no worker that can observe"):
        grade(course, tmp_path / "out", f"dask:{dask.address}", said)
    assert any("is left out: torch is" in line and "and 1.0 on the grader's machine" in line for line in said)


def test_without_a_scheduler_one_line_says_what_to_start(course, tmp_path, monkeypatch):
    monkeypatch.setattr("autograder.cluster.on_dask.CONNECT_SECONDS", 1)
    with pytest.raises(CourseError, match="no scheduler answers .* start one"):
        grade(course, tmp_path, "dask:tcp://127.0.0.1:9")
