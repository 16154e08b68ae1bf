"""Grading what arrives while grading goes on: `autograder grade MODULE [PATH…] --watch`.

The folders are looked at again every few seconds, by listing them and asking for times and sizes. Nothing here waits to
be notified: on network file systems (NFS, Windows shares) a machine is not told of what another one has written.

A submission whose turn has not come is an `Arrival`; of one that is done a mark of its files stays, in memory and in
`watched.json` beside the grades, so that what is unchanged is not graded twice, also after an interruption.
"""

import contextlib
import hashlib
import json
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from autograder.classes.collect import LATENESS, TIMESTAMP, time_of
from autograder.classes.grade import (
    exercises_of,
    grade_each,
    print_said,
    result_files,
    started,
    write_grades_csv,
    write_result,
)
from autograder.classes.on_nodes import Away, OnNodes
from autograder.classes.seed import class_seed
from autograder.classes.submissions import Submission, find_submissions
from autograder.cluster.nodes import Say, open_nodes, saying
from autograder.course.course import Module
from autograder.course.imports import COMMON
from autograder.defaults import ON, PROBE_SECONDS, SANDBOX, WORKERS
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.grader import Grader
from autograder.grading.judge import NOT_GRADED, clean
from autograder.grading.report import GRADED, REFUSED, Result
from autograder.grading.workers import PACKAGES
from autograder.installed import LIBRARIES, versions

Given = TypeVar("Given")
Done = dict[str, tuple[bytes, str]]  # by student: the mark of what was graded, and the result's status

LOOK_SECONDS = 3.0  # from the end of one look at the folders to the next
KEEP_SECONDS = 10.0  # the same for grades.csv and what else is of the whole class
SHARE = 10  # looking, and writing grades.csv, take no more than one in so many seconds each, however large the class
AT_REST = 5.0  # seconds without a change after which a file is no longer being written
YOUNG = 60.0  # what cannot be read and has changed within so many seconds may still be on its way
AGAIN = 60.0  # seconds until what could not be graded or written is tried again
DOUBLED = 6  # how often that time doubles for a submission at which the grader failed: it may take its worker with it
ELSEWHERE = 10_000  # submissions that may be with the nodes, or back from there and not judged yet
TICK = 0.5  # seconds until the bar moves, and Ctrl-C is heard
LOG_SECONDS = 60.0  # between two lines where there is no terminal to show a bar in


def watch(
    module: Module,
    paths: list[Path],
    out: Path,
    console: Console,
    *,
    seed: int | None = None,
    sandbox: str = SANDBOX,
    workers: int = WORKERS,
    limit: float = PROBE_SECONDS,
    on: str = ON,
    node_workers: int = 0,
    record: Callable[[list[Grader], Submission, Result], None] | None = None,
    settle: Callable[[], None] = lambda: None,
) -> None:
    """Grades what lies in `paths` and what arrives there, oldest first, until Ctrl-C; writes what `grade_class` writes.

    `on` and `node_workers` as there; `record` is called for each submission as there, and `settle` every few seconds,
    after some of them.

    Raises:
        KeyboardInterrupt: it was asked to end, and what was being graded here is graded and written.
        CourseError: as it begins a path does not exist, or there is no such scheduler; or the course cannot be used.
    """
    for path in paths or [module.root / "submitted"]:
        if not path.exists():
            raise CourseError(f"{path} does not exist: make the folder into which submissions come, or check the spelling")
    say = _said_once(saying(console))
    opened = partial(open_nodes, on, node_workers, module.root, say)
    with opened() as nodes:  # what is wrong there is said before anything is done
        elsewhere = nodes is not None
    seed = class_seed(out, seed)
    how: dict[str, Any] = {"sandbox": sandbox, "workers": workers, "limit": limit}
    with started(module, seed, **how) as graders:
        for grader in graders:
            grader.expected  # noqa: B018  the reference first: when it fails, nothing else is worth doing
        exercises = exercises_of(graders)
        memory = Memory(out, _judged_by(module, seed, sandbox, limit, bool(record)))

        def grade(submission: Submission) -> Result:
            (result,) = grade_each(graders, [submission])
            return result

        def write(submission: Submission, result: Result) -> None:
            write_result(result, exercises, out)
            if record:
                record(graders, submission, result)

        def keep(done: Done) -> None:
            write_grades_csv(out)
            memory.write(done)

        find = partial(find_submissions, module, paths, growing=True)
        pool = OnNodes(graders, opened, say) if elsewhere else ThreadPoolExecutor(workers)
        at_once = ELSEWHERE if elsewhere else workers
        watching = Watch(find, grade, write, console, pool, at_once=at_once, done=memory.read(), keep=keep, settle=settle)
        with until_interrupted() as asked:
            watching.run(asked)
        console.print(f"{watching.words}. {out}/grades.csv, {out}/feedback/", highlight=False, soft_wrap=True)
    raise KeyboardInterrupt


def _said_once(say: Say) -> Say:
    """Shows each line once: in hours the same nodes are left out, and the same scheduler is away, again and again."""
    said: set[str] = set()

    def say_new(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    return say_new


@contextlib.contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
    """Gives what says whether Ctrl-C was pressed, which then stops nothing by itself; pressed again, it does as ever."""
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


# --- what has come ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Arrival:
    """A submission whose turn has not come.

    Args:
        mark: what its files are known again by.
        handed_in: when, in seconds since 1970: the oldest comes first.
        changed: when the newest of its files was written, the same way.
        seen: since when it lies there as it is; this and `not_before` by the clock that nobody sets.
        not_before: when it may be tried.
        refused, failed: how often it was, and how often the grader failed at it.
    """

    submission: Submission
    mark: bytes
    handed_in: float
    changed: float
    seen: float = field(default_factory=time.monotonic)
    not_before: float = 0.0
    refused: int = 0
    failed: int = 0

    @property
    def rest(self) -> float:
        """Seconds since it has changed. Two clocks tell: a file server's may be wrong."""
        return max(time.time() - self.changed, time.monotonic() - self.seen)


def mark_of(submission: Submission) -> tuple[bytes, float | None]:
    """A hash that changes with a submission's files, and when the newest was written; None where there is none."""
    notebooks = [part.path for part in submission.parts or (submission,)]
    about, newest = hashlib.blake2b(digest_size=16), list[float]()
    about.update(repr((submission.problem, submission.note)).encode(errors="surrogateescape"))
    for path in (*notebooks, submission.folder / TIMESTAMP, submission.folder / LATENESS):
        with contextlib.suppress(OSError):
            found = path.lstat()
            about.update(repr((str(path), found.st_mtime_ns, found.st_size)).encode(errors="surrogateescape"))
            newest.append(found.st_mtime)
    with contextlib.suppress(OSError):  # of what is not there yet the folder tells
        newest = newest or [submission.folder.lstat().st_mtime]
    return about.digest(), max(newest, default=None)


def is_done(student: str, mark: bytes, done: Done) -> bool:
    """Whether a student's submission is done as it lies there."""
    return student in done and done[student][0] == mark


def arrival_of(submission: Submission, done: Done) -> Arrival | None:
    """The submission, if it is not done as it lies there."""
    mark, changed = mark_of(submission)
    if is_done(submission.student, mark, done):
        return None
    changed = time.time() if changed is None else changed
    when = time_of(submission.folder)
    return Arrival(submission, mark, when.timestamp() if when else changed, changed)


# --- the watch --------------------------------------------------------------------------------------------------------


class Chore(Generic[Given]):
    """What is done again and again beside the grading: `seconds` after it ended, later where it takes long; see `SHARE`."""

    def __init__(self, work: Callable[..., Given], seconds: float) -> None:
        self._work, self._seconds, self._due = work, seconds, 0.0
        self.future: Future[tuple[Given, float]] | None = None

    @property
    def due(self) -> bool:
        return self.future is None and time.monotonic() >= self._due

    def begin(self, pool: ThreadPoolExecutor, *arguments: Any) -> None:
        self.future = pool.submit(self._timed, *arguments)

    def _timed(self, *arguments: Any) -> tuple[Given, float]:
        start = time.monotonic()
        return self._work(*arguments), time.monotonic() - start

    def ended(self) -> list[Given]:
        """What it gave, told once; raises what it raised."""
        if self.future is None or not self.future.done():
            return []
        future, self.future = self.future, None
        given, took = future.result()
        self._due = time.monotonic() + max(self._seconds, SHARE * took)
        return [given]


class Watch:
    """Who has come, who is being graded, who is done. Other threads find, grade and keep; this is changed by `run`'s alone.

    Args:
        find: the submissions that are there now.
        grade, write: what becomes of one of them. What `write` cannot write is tried again later.
        pool: whose tasks call `grade`; shut down at the end.
        at_once: how many of them may be asked for.
        done: what an earlier watch has done.
        keep, settle: called every few seconds, and at the end: `settle` by `run`'s own thread, then `keep` in another
            one, with what is done and settled now.
    """

    def __init__(
        self,
        find: Callable[[], list[Submission]],
        grade: Callable[[Submission], Result],
        write: Callable[[Submission, Result], None],
        console: Console,
        pool: Executor,
        *,
        at_once: int,
        done: Done,
        keep: Callable[[Done], None],
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._find, self._grade, self._write, self._keep, self._settle = find, grade, write, keep, settle
        self._console, self._pool, self._at_once, self.done = console, pool, at_once, done
        self.known: dict[str, Arrival] = {}  # all that are not done, by student
        self.waiting: deque[Arrival] = deque()  # those of them that may be graded now
        self.running: dict[Future[Result], Arrival] = {}
        self._statuses = Counter(status for _, status in done.values())
        self._said: dict[str, str] = {}  # by student, or by chore: the last trouble that was told
        self._settled = dict(done)  # as much of `done` as nothing is left to do for
        self._ended = self._kept = 0  # how many have come to an end, and how many of them are in grades.csv

    def run(self, asked: Callable[[], bool]) -> None:
        """Grades until it is `asked` to end; then finishes what is being graded here."""
        looking, keeping = Chore(self._look, LOOK_SECONDS), Chore(self._try_to_keep, KEEP_SECONDS)
        with ThreadPoolExecutor(2) as aside, self._pool, self._shown() as show:
            try:
                while self.running or not asked():
                    if asked():
                        self._pool.shutdown(wait=False, cancel_futures=True)
                    else:
                        self._begin(aside, looking)
                    if keeping.due and self._ended > self._kept:
                        keeping.begin(aside, self._settle_all(), self._ended)
                    self._hear(looking, keeping)
                    show()
            finally:
                if keeping.future:
                    wait([keeping.future])
                self._keep(self._settle_all())

    def _begin(self, aside: ThreadPoolExecutor, looking: "Chore[list[Arrival] | None]") -> None:
        if looking.due:
            looking.begin(aside)
        while self.waiting and len(self.running) < self._at_once:
            arrival = self.waiting.popleft()
            self.running[self._pool.submit(self._grade, arrival.submission)] = arrival

    def _hear(self, looking: "Chore[list[Arrival] | None]", keeping: Chore[None]) -> None:
        """Waits until something has come to an end, and takes it in."""
        futures: list[Future[Any]] = [*self.running, *(chore.future for chore in (looking, keeping) if chore.future)]
        if futures:
            wait(futures, TICK, FIRST_COMPLETED)
        else:
            time.sleep(TICK)
        for future in [future for future in self.running if future.done()]:
            self._take_in(self.running.pop(future), future)
        keeping.ended()
        for found in looking.ended():
            if found is not None:
                self._take(found)

    # --- looking

    def _look(self) -> list[Arrival] | None:
        """All that are there and not done; None where nobody could look."""
        try:
            found = [arrival_of(submission, self.done) for submission in self._find()]
        except (OSError, CourseError) as error:
            self._say_once("looking", f"cannot be looked at, tried again: {error}")
            return None
        return [arrival for arrival in found if arrival]

    def _take(self, found: list[Arrival]) -> None:
        """Who is there now, those whom an earlier look has seen since then; who has gone is no longer waited for."""
        before, self.known, now = self.known, {}, time.monotonic()
        for arrival in found:
            student = arrival.submission.student
            if not is_done(student, arrival.mark, self.done):  # nor since the look
                known = before.get(student)
                self.known[student] = known if known and known.mark == arrival.mark else arrival
        busy = {arrival.submission.student for arrival in self.running.values()}
        ready = [a for a in self.known.values() if a.submission.student not in busy and a.rest >= AT_REST]
        self.waiting = deque(sorted((a for a in ready if a.not_before <= now), key=lambda a: a.handed_in))

    # --- what became of one

    def _take_in(self, arrival: Arrival, future: Future[Result]) -> None:
        if future.cancelled():
            return
        try:
            result = future.result()
        except Away as error:
            arrival.not_before = time.monotonic() + AGAIN
            self._say_once("nodes", f"nothing can be observed there now, tried again: {error}")
        else:
            self._said.pop("nodes", None)
            self._end(arrival, result)

    def _end(self, arrival: Arrival, result: Result) -> None:
        submission = arrival.submission
        if result.status == REFUSED and self._may_become_readable(arrival):
            arrival.not_before = time.monotonic() + AT_REST
            return
        try:
            self._write(submission, result)
        except Exception as error:  # a full disk, a gradebook that another one has locked: the others are graded
            arrival.not_before = time.monotonic() + AGAIN
            self._say_once(submission.student, f"not graded yet, tried again: what came of it cannot be written: {error}")
            return
        self._ended += 1
        if result.status == NOT_GRADED:
            arrival.not_before = time.monotonic() + AGAIN * 2 ** min(arrival.failed, DOUBLED)
            arrival.failed += 1
            self._say_once(submission.student, f"not graded yet, tried again: {result.reason}")
            return
        if submission.student in self.done:
            self._statuses[self.done[submission.student][1]] -= 1
        self._statuses[result.status] += 1
        self.done[submission.student] = arrival.mark, sys.intern(result.status)
        known = self.known.get(submission.student)
        if known and known.mark == arrival.mark:
            del self.known[submission.student]
        self._said.pop(submission.student, None)
        print_said(result, self._console)

    def _may_become_readable(self, arrival: Arrival) -> bool:
        """Whether it is young, or not what it was: replaced meanwhile, or in a folder that has vanished. For a folder that
        was away for a moment it is refused only when it would be a second time."""
        arrival.refused += 1
        return arrival.refused < 2 or arrival.rest < YOUNG or mark_of(arrival.submission)[0] != arrival.mark

    # --- what is of the whole class

    def _settle_all(self) -> Done:
        """What is done, and what is to follow it too; where that fails it is for the next time."""
        try:
            self._settle()
            self._settled = dict(self.done)
        except Exception as error:
            self._say_once("gradebook", f"waits: {error}")
        return self._settled

    def _try_to_keep(self, done: Done, ended: int) -> None:
        try:
            self._keep(done)
            self._kept = ended
        except (OSError, CourseError) as error:
            self._say_once("grades.csv", f"waits: {error}")

    # --- what is shown

    @property
    def words(self) -> str:
        """How many are graded, how many wait, and how long the longest has."""
        counts = [f"{self._statuses[GRADED]} graded"]
        counts += [f"{self._statuses[REFUSED]} refused"] if self._statuses[REFUSED] else []
        counts += [f"{len(self.running)} being graded"] if self.running else []
        busy = {id(arrival) for arrival in self.running.values()}
        since = [arrival.seen for arrival in self.known.values() if id(arrival) not in busy]
        longest = f", the longest for {_minutes(time.monotonic() - min(since))}" if since else ""
        return ", ".join([*counts, f"{len(since)} wait{longest}"])

    def _say_once(self, about: str, text: str) -> None:
        if self._said.get(about) != text:
            self._said[about] = text
            self._console.print(Text(f"{clean(about)}: {clean(text)}", style="red"), soft_wrap=True)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Callable[[], None]]:
        """A bar in a terminal; elsewhere, for a log, a line every minute."""
        last = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}; Ctrl-C ends it"))
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            bar = progress.add_task("grading", total=None, words="")

            def show() -> None:
                nonlocal last
                done = self._statuses.total()
                progress.update(bar, completed=done, total=done + len(self.known) or None, words=self.words)
                if not self._console.is_terminal and time.monotonic() - last >= LOG_SECONDS:
                    last = time.monotonic()
                    self._console.print(self.words, highlight=False)

            yield show


def _minutes(seconds: float) -> str:
    """12 s, 3:05 min, 1:02:03 h."""
    hours, minutes = divmod(int(seconds) // 60, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{int(seconds) % 60:02d} h"
    return f"{minutes}:{int(seconds) % 60:02d} min" if minutes else f"{int(seconds)} s"


# --- what stays of a watch --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """What watches of this class have done, in `watched.json`; deleted, all is judged again from kept recordings.

    It counts where all that a result depends on beside the submission is as it was, which is `judged_by`.
    """

    out: Path
    judged_by: str

    @property
    def _path(self) -> Path:
        return self.out / "watched.json"

    def read(self) -> Done:
        """What is done, and has its result still."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["judged_by"] != self.judged_by:
                return {}
            there = result_files(self.out)
            marks = {student: value for student, value in kept["done"].items() if student in there}
            return {student: (bytes.fromhex(mark), sys.intern(status)) for student, (mark, status) in marks.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, done: Done) -> None:
        marks = {student: (mark.hex(), status) for student, (mark, status) in done.items()}
        write_whole(self._path, json.dumps({"judged_by": self.judged_by, "done": marks}, indent=0) + "\n")


def _judged_by(module: Module, *how: object) -> str:
    """A hash of the engine, the module, the libraries and the settings."""
    libraries = versions(*LIBRARIES)
    digest = hashlib.sha256(json.dumps([sys.version, libraries, how]).encode())
    folders = [PACKAGES / "autograder", module.folder, module.tests, module.tests.parent / COMMON, module.release]
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts)
    for path in (*files, module.root / "course.toml"):
        if path.is_file():
            digest.update(str(path).encode(errors="surrogateescape") + path.read_bytes())
    return digest.hexdigest()
