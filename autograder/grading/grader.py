"""Grading one module's submissions: everything goes the same way, the reference first.

`Grader` holds the workers and the reference's recordings; `grade` takes code and gives verdicts.
"""

import hashlib
import itertools
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from autograder.course.course import Course, Module
from autograder.defaults import PROBE_SECONDS, SANDBOX, WORKERS
from autograder.errors import GraderFault
from autograder.grading.alike import group_names
from autograder.grading.contents import Contents
from autograder.grading.court import Court
from autograder.grading.gate import require_sound
from autograder.grading.judge import PASSED, Judged, Verdict, clean, cut_paths
from autograder.grading.naming import Naming
from autograder.grading.observer import PUBLIC_SEED, BothSets, Observer
from autograder.grading.recordings import Recording
from autograder.grading.timings import NAMING, Timings
from autograder.grading.workers import start_server
from autograder.sandboxed.notebook import Code, HandedIn
from autograder.threads import pool

PUBLIC, HIDDEN = True, False
KINDS = {PUBLIC: "public", HIDDEN: "hidden"}
FILES = {public: f"probes_{kind}" for public, kind in KINDS.items()}


def seeds(seed: int) -> dict[bool, int]:
    """What each set of probes draws from in a class of this seed: the public one, which any submission sees, tells
    nothing of the hidden one."""
    digest = hashlib.sha256(f"the public probes of {seed}".encode()).digest()
    return {PUBLIC: int.from_bytes(digest[:8], "big"), HIDDEN: seed}


@dataclass(frozen=True)
class Graded:
    """A submission's verdicts in the notebook's order, and what the grader noticed about its cells."""

    verdicts: tuple[Verdict, ...]
    notes: tuple[tuple[str, str], ...]
    judged: tuple[Judged, ...] = ()
    cached: bool = False
    remarks: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # that its probes took in this run
    printed: Mapping[str, str] = field(default_factory=dict)  # by the functions, as they were asked; of `check` alone
    newest: Mapping[str, str] = field(default_factory=dict)  # of functions whose newest code does not run, what was judged
    unnamed: tuple[str, ...] = ()  # functions whose mistake could not be looked up, for a recording of it is not kept
    seen: Mapping[str, Any] = field(default_factory=dict)  # what `observed/` keeps of it beside the verdicts

    @property
    def score(self) -> float:
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def maximum(self) -> float:
        return sum(verdict.maximum for verdict in self.verdicts)

    def of(self, functions: Iterable[str]) -> "Graded":
        """What it says about these functions alone."""
        mine = tuple(verdict for verdict in self.verdicts if verdict.function in functions)
        return replace(self, verdicts=mine, judged=())

    @property
    def first_error(self) -> str:
        """The function, in the notebook's order, in which the first check failed; empty when none did."""
        return next((verdict.function for verdict in self.verdicts if verdict.state != PASSED), "")


class Grader:
    """Grades submissions of one module under one class's seed.

    Args:
        seed: the inputs of all probes are drawn from it; those that a release holds are for the student's own checks.
        sandbox: "full", or "none" for limits alone.
        workers: processes for each set of probes; with 0 nothing runs, and what is not kept is `NotKept`.
        limit: seconds a probe may take.
        catalogue: whether it is to have workers for the course's own code too, in `both`.
    """

    def __init__(
        self,
        module: Module,
        seed: int,
        *,
        catalogue: bool = False,
        sandbox: str = SANDBOX,
        workers: int = WORKERS,
        limit: float = PROBE_SECONDS,
    ):
        self.module, self.seed = module, seed
        self.workers, self.limit = workers, limit
        self.contents = Contents(module)
        self.naming = Naming(self.contents, self._observe_one, self._fetch, lambda: self.expected, workers)
        self.timings = Timings()
        self.not_observed: dict[str, str] = {}  # notebooks, by SHA-256, that other machines failed to observe, and why
        self._catalogue = catalogue
        self._engine: dict[str, Any] = {"sandbox": sandbox, "limit": limit, "workers": workers}
        self._expected: dict[bool, Recording] = {}
        self._court: Court | None = None
        self._lock = threading.RLock()

    @cached_property
    def observers(self) -> dict[bool, Observer]:
        """Those who ask the public (True) and the hidden (False) probes."""
        store = Course(self.module.root).store
        return {
            public: Observer(
                self.module.tests,
                file,
                self.contents.functions,
                store,
                self.contents.released,
                self.contents.needs,
                **self._engine,
            )
            for public, file in FILES.items()
        }

    @cached_property
    def both(self) -> BothSets:
        """Who asks the course's own code all probes in one process."""
        return BothSets(self.observers)

    @property
    def _all_observers(self) -> list[Observer]:
        return [*self.observers.values(), *([self.both] if self._catalogue else [])]

    def __enter__(self) -> "Grader":
        if self.workers:  # the module is read while the workers import what it needs
            observers = self._all_observers
            self._server, sockets = start_server(self.workers, self.contents.needs.packages, len(observers))
            try:
                for observer, theirs in zip(observers, sockets, strict=True):
                    observer.start(theirs)
                require_sound(self.contents)
            except BaseException:
                for sock in itertools.chain(*sockets):
                    sock.close()
                self._server.terminate()  # it is still importing
                self._server.wait()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        for observer in self._all_observers:
            observer.close()
        if self._court:
            self._court.close()
        if self.workers:
            self._server.wait()

    def wait(self) -> None:
        """Waits until the workers have started."""
        for observer in self.observers.values():
            observer.wait()

    @property
    def expected(self) -> dict[bool, Recording]:
        """The reference's recordings: submission zero.

        Raises:
            CourseError: the reference does not answer a probe, or its answers show a check to be broken.
        """
        with self._lock:
            if not self._expected:
                recordings = self._observe_reference()
                require_sound(self.contents, recordings)
                self._expected = recordings
                self._court = Court(self.contents.checks, self.contents.remarks, recordings)
        return self._expected

    def _observe_reference(self) -> dict[bool, Recording]:
        """Both sets side by side, since nothing else can be done meanwhile."""
        reference, drawn = self.contents.reference, seeds(self.seed)
        with pool(len(drawn)) as threads:
            recordings = threads.map(lambda public: self._observe_set(public, reference, drawn[public], reference=True), drawn)
            return dict(zip(drawn, recordings, strict=True))

    def judge(self, recordings: Mapping[bool, Recording], function: str | None = None) -> tuple[list[Judged], dict[str, str]]:
        """The verdicts on recordings, of all checks or those of one function, and the remarks by function.

        Raises:
            GraderFault: judging them took too much memory or time.
        """
        self.expected  # noqa: B018  with it the court is made
        assert self._court is not None
        checks = [check for check in self.contents.checks if function in (None, check.function)]
        return self._court.judge(checks, recordings)

    def read(self, data: bytes) -> Code:
        """The code of a notebook.

        Raises:
            Unreadable: with the reason and the mend.
            GraderFault: it was not observed on another machine; what was lost there is not tried here.
        """
        if self.not_observed and (why := self.not_observed.get(hashlib.sha256(data).hexdigest())):
            raise GraderFault(why)
        with self.timings.stage("reading"):
            return self.observers[PUBLIC].read(data)

    def show(self) -> None:
        """Says that `handed_in` will be asked for what is read from now on, so that a file is parsed once."""
        self.observers[PUBLIC].shown = {}

    def handed_in(self, data: bytes) -> list[HandedIn]:
        """The cells of a notebook as they are to be shown; raises `Unreadable`."""
        return self.observers[PUBLIC].handed_in(data)

    def observe(
        self, code: Code, function: str | None = None, seed: int | None = None, **how: Any
    ) -> dict[bool, Recording]:
        """The recordings of `code` under all probes, or those about one function; `how` as in `Observer.observe`."""
        drawn = seeds(self.seed if seed is None else seed)
        return {public: self._observe_set(public, code, drawn[public], function, **how) for public in self.observers}

    def _observe_set(self, public: bool, code: Code, seed: int, function: str | None = None, **how: Any) -> Recording:
        start = time.perf_counter()
        recording = self.observers[public].observe(code, seed, function, **how)
        self.timings.observed(KINDS[public], recording, time.perf_counter() - start)
        return recording

    def _observe_one(self, public: bool, seed: int | None, code: Code, function: str | None, **how: Any) -> Recording:
        drawn = seeds(self.seed)[public] if seed is None else seed
        recording = self.observers[public].observe(code, drawn, function, **how)
        self.timings.observed_for_a_hint(recording)
        return recording

    def _fetch(self, code: Code, functions: list[str]) -> None:
        self.observers[PUBLIC].fetch(code, [(PUBLIC_SEED, function) for function in functions])

    def grade(self, code: Code, function: str | None = None, hints: bool = True) -> Graded:
        """Grades `code`: all of it, or only the checks of one function; with `hints`, names the mistakes.

        Raises:
            GraderFault: it could not be observed; that is "not graded", never a zero.
        """
        self.expected  # noqa: B018  the reference first
        recordings = self.observe(code, function)
        with self.timings.stage("judging"):
            judged, remarks = self.judge(recordings, function)
        verdicts: list[Verdict] = [j.verdict for j in judged]
        unnamed: list[str] = []
        if hints:
            with self.timings.stage(NAMING):
                verdicts, unnamed = self.naming.name(code, judged, recordings)
        # of the public process alone: in the other one the submission could write hidden probes into them
        notes = tuple((clean(cell), cut_paths(clean(note))) for cell, note in recordings[PUBLIC].notes)
        ran = [recording for recording in recordings.values() if not recording.cached]
        return Graded(
            tuple(verdicts),
            notes,
            tuple(judged),
            cached=not ran,
            remarks=remarks,
            seconds=sum(o.seconds for recording in ran for o in recording.observations.values()),
            unnamed=tuple(unnamed),
            seen=_seen(verdicts, judged, recordings, self.expected) if hints else {},
        )


def _seen(
    verdicts: list[Verdict],
    judged: list[Judged],
    observed: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
) -> dict[str, Any]:
    """The groups of unexplained answers by function, each check's largest distance in tolerances, and the time it took."""
    named = [replace(j, verdict=verdict) for j, verdict in zip(judged, verdicts, strict=True)]
    distances = {j.verdict.check: max(j.distances) for j in judged if j.distances}
    probes = [o.seconds for recording in observed.values() for o in recording.observations.values()]
    return {
        "groups": group_names(named, observed, expected),
        "distances": {check: float(f"{d:.3g}") for check, d in distances.items() if math.isfinite(d)},
        "seconds": round(sum(probes), 3),
        "cpu": round(sum(recording.cpu for recording in observed.values()), 3),
    }
