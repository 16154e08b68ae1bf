"""Observing in jobs of Slurm, one a shard, submitted as arrays by submitit.

What is on the way lies as files in a folder of the course that the nodes see under the same name, as they see Python.
Answers are read as bytes: the pickles that submitit makes of results are never opened. Which jobs are still there is asked
of squeue, since sacct needs a database that not every Slurm has.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import submitit

from autograder.cluster.node import lacking, report
from autograder.cluster.nodes import Nodes, Say
from autograder.cluster.parcels import unpack
from autograder.errors import CourseError, GraderFault
from autograder.files import write_whole

LOOK_SECONDS = 0.5  # between looks for answers in the folder
QUEUE_SECONDS = 10.0  # between questions to the queue
GRACE_SECONDS = 30.0  # that an answer may take to be seen here once its job has left the queue: file systems have caches
AWAY_SECONDS = 120.0  # that the folder may be away
DOCTOR_SECONDS = 120.0  # that a node may take to say what it lacks
DEFAULTS = {"time": 60, "job_name": "autograder"}  # minutes
KNOWN = "partition, time (minutes), mem, cpus_per_task, account, qos, constraint, python and what else submitit takes"
ASKED_FIRST = ("partition", "account", "qos", "constraint")
NOT_HEARD = ("transmitted", "contact", "authent", "munge")  # in sbatch's words where the question itself did not get through
UNHEARD = "; `scontrol ping` says whether the scheduler is up, and this machine's clock and munge key must be the cluster's"
JOBS, LOCK = "jobs.txt", "lock"


@dataclass
class Job:
    """A task on its way: what is run on what, on which node, and what it will be known by."""

    task: Callable[[bytes], bytes]
    parcel: Path
    node: str = ""
    future: Future[bytes] = field(default_factory=Future)
    submitted: Any = None  # submitit's job
    gone: float = 0.0  # when it was first seen to have left the queue

    @property
    def answer(self) -> Path:
        return self.parcel.with_suffix(".answer")


class SlurmNodes(Nodes):
    """Slurm as `setting` asks for it.

    Args:
        setting: `NAME=VALUE,…`: what submitit's SlurmExecutor takes (partition, time in minutes, mem, cpus_per_task, account,
            qos, constraint, …), and `python`, the one to run on the nodes.
        folder: for what is on the way.

    Raises:
        CourseError: there is no Slurm here, or no such setting.
    """

    name = "Slurm"
    shard = smallest = 100  # each job imports torch anew
    at_once = 500  # jobs in an array

    def __init__(self, setting: str, workers: int, folder: Path, say: Say):
        self.workers, self._say = workers, say
        if not shutil.which("sbatch"):
            raise CourseError("--on slurm: there is no sbatch here: run it where jobs are submitted, on a login node")
        self._options: dict[str, Any] = {**DEFAULTS, **_options(setting)}
        python = self._options.pop("python", None)
        self._left_out: list[str] = []
        self._require_taken()
        cancel_left_behind(folder)
        self._folder, self._alive = _own_folder(folder.absolute())
        self._executor = submitit.SlurmExecutor(self._folder / "jobs", max_num_timeout=0, python=python)
        self._numbers = itertools.count()
        self._waiting: list[Job] = []
        self._out: list[Job] = []
        self._lock, self._ended = threading.Lock(), threading.Event()
        try:
            self._set()
        except CourseError:
            self._leave_folder()
            raise
        self._asked = time.monotonic()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self._watch.start()

    def _set(self, node: str = "") -> None:
        one = {"nodelist": node} if node else {"exclude": ",".join(self._left_out)} if self._left_out else {}
        try:
            self._executor.parameters.clear()
            self._executor.update_parameters(stderr_to_stdout=True, **self._options, **one)
        except (ValueError, TypeError) as error:
            said = str(error).splitlines()[0]
            raise CourseError(f"--on slurm: {said}: there is {KNOWN}") from None

    def _require_taken(self) -> None:
        """Asks Slurm whether it would take such a job, before anything is done for it."""
        flags = [f"--{name}={self._options[name]}" for name in ASKED_FIRST if name in self._options]
        said = subprocess.run(["sbatch", "--test-only", "--wrap=true", *flags], capture_output=True, text=True)
        if said.returncode:
            why = " ".join(said.stderr.split())
            mend = UNHEARD if any(word in why.lower() for word in NOT_HEARD) else ""
            raise CourseError(f"--on slurm: such a job would not be taken: {why}{mend}")

    def submit(self, task: Callable[[bytes], bytes], /, parcel: bytes) -> Future[bytes]:  # type: ignore[override]
        return self._submit(task, parcel).future

    def _submit(self, task: Callable[[bytes], bytes], parcel: bytes, node: str = "") -> Job:
        job = Job(task, self._folder / f"{next(self._numbers)}.parcel", node)
        write_whole(job.parcel, parcel)
        with self._lock:
            self._waiting.append(job)
        return job

    def leave_out(self, node: str) -> None:
        with self._lock:
            self._left_out.append(node)

    def each(self) -> dict[str, list[str]]:
        jobs = {node: self._submit(report, b"", node) for node in self._nodes()}
        end, found = time.monotonic() + DOCTOR_SECONDS, {}
        for node, job in jobs.items():
            try:
                found[node] = lacking(unpack(job.future.result(max(0.0, end - time.monotonic())))[0])
            except CourseError as error:
                found[node] = [str(error)]
            except Exception as error:  # whatever it is, the others are asked
                found[node] = [f"it did not say what it lacks ({type(error).__name__} {error}): it may be busy, or down"]
        return found

    def _nodes(self) -> list[str]:
        partition = [f"--partition={self._options['partition']}"] if "partition" in self._options else []
        said = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%N", *partition], capture_output=True, text=True)
        if said.returncode:
            raise CourseError(f"--on slurm: sinfo says {' '.join(said.stderr.split())}")
        return list(dict.fromkeys(said.stdout.split()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._ended.set()
        self._watch.join()
        _cancel([job.submitted.job_id for job in self._out])
        self._leave_folder()

    def _leave_folder(self) -> None:
        self._alive.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the watch ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failing = 0.0
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._send()
                self._look()
                failing = 0.0
            except OSError as error:  # the folder may be away for a moment, and what lies there with it
                failing = failing or time.monotonic()
                if time.monotonic() - failing > AWAY_SECONDS:
                    for job in [*self._waiting, *self._out]:
                        _fail(job, CourseError(f"--on slurm: {self._folder} cannot be used any more ({error})"))
                    return

    def _send(self) -> None:
        """Submits all that waits: what may run anywhere as one array, what is for one node by itself."""
        with self._lock:
            waiting, self._waiting = [job for job in self._waiting if not job.future.cancelled()], []
        for node in dict.fromkeys(job.node for job in waiting):
            jobs = [job for job in waiting if job.node == node]
            try:
                self._set(node)
                tasks, parcels, answers = zip(*((job.task, job.parcel, job.answer) for job in jobs), strict=True)
                submitted = self._executor.map_array(_run_file, tasks, parcels, answers)
                with (self._folder / JOBS).open("a") as file:
                    file.writelines(f"{each.job_id}\n" for each in submitted)
                for job, each in zip(jobs, submitted, strict=True):
                    job.submitted = each
                self._out += jobs
            except Exception as error:  # sbatch's own words: no such partition, a clock that is off, too many jobs
                said = " ".join(str(error).split())
                for job in jobs:
                    _fail(job, CourseError(f"--on slurm: the job was not taken: {said[-400:]}"))

    def _look(self) -> None:
        """Gives what came back, and says what is lost."""
        queued = self._queued()
        for job in list(self._out):
            if job.answer.is_file():
                self._done(job, job.answer.read_bytes())
            elif job.future.cancelled():
                _cancel([job.submitted.job_id])
                self._done(job, None)
            elif queued is not None and job.submitted.job_id not in queued:
                job.gone = job.gone or time.monotonic()
                if time.monotonic() - job.gone > GRACE_SECONDS:
                    self._done(job, None)

    def _done(self, job: Job, answer: bytes | None) -> None:
        """Passes on what a job gave, or that it is lost."""
        self._out.remove(job)
        if answer is None:
            _fail(job, GraderFault(f"job {job.submitted.job_id} ended without an answer{_last_words(job)}"))
        elif job.future.set_running_or_notify_cancel():
            job.future.set_result(answer)
        job.parcel.unlink(missing_ok=True)
        job.answer.unlink(missing_ok=True)

    def _queued(self) -> set[str] | None:
        """The numbers of this user's jobs that wait or run; None when it is not known now."""
        if not self._out or time.monotonic() - self._asked < QUEUE_SECONDS:
            return None
        self._asked = time.monotonic()
        call = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
        said = subprocess.run(call, capture_output=True, text=True)
        return set(said.stdout.split()) if said.returncode == 0 else None  # a scheduler that restarts keeps its jobs


def _fail(job: Job, why: Exception) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(why)


def _run_file(task: Callable[[bytes], bytes], parcel: Path, answer: Path) -> None:
    """In the job: what comes back is a file of bytes."""
    write_whole(answer, task(parcel.read_bytes()))


def _options(setting: str) -> dict[str, Any]:
    """`partition=cpu,time=60` as a dict; whole numbers as numbers."""
    options: dict[str, Any] = {}
    for part in filter(None, setting.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise CourseError(f"--on slurm:{setting}: {part!r} is not NAME=VALUE, as in slurm:partition=cpu,time=60")
        options[name.strip()] = int(value) if value.isdecimal() else value
    return options


def _last_words(job: Job) -> str:
    """The end of what the job has written, to say why it ended."""
    try:
        lines = job.submitted.paths.stdout.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()][-1:]
    except OSError:
        said = []
    return f": {said[0][:200]}" if said else ""


def _own_folder(folder: Path) -> tuple[Path, TextIO]:
    """A new folder in `folder` and the lock in it that says that its grader is alive; it has its name once it is locked."""
    new = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
    lock = (new / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return new.rename(folder / new.name.replace(".new", "run")), lock


def cancel_left_behind(folder: Path) -> None:
    """Cancels the jobs of graders that were killed before they could: nobody waits for what they would say."""
    folder.mkdir(parents=True, exist_ok=True)
    for lock in folder.glob(f"run-*/{LOCK}"):
        with contextlib.suppress(OSError), lock.open("r+") as file:  # OSError: its grader is alive
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            jobs = lock.with_name(JOBS)
            _cancel(jobs.read_text().split() if jobs.is_file() else [])
            shutil.rmtree(lock.parent, ignore_errors=True)


def _cancel(jobs: list[str]) -> None:
    if jobs:
        subprocess.run(["scancel", *jobs], capture_output=True)
