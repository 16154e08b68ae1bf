"""Grading one module's submissions: everything goes the same way, the reference first.

`Grader` holds the workers, the checks and the reference's recordings; `grade` takes code and gives verdicts.
"""

import hashlib
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property

from autograder import source
from autograder.catalogue import Entry, read_catalogue
from autograder.checks import Check, Remark
from autograder.course import Course, CourseError, Module
from autograder.diagnose import KNOWN, KnownMistake, consistent, diagnose, known_mistake, load_known
from autograder.judge import PASSED, Judged, Verdict, clean, collect, hidden_remarks, judge, remarks_on
from autograder.notebook import Code, HandedIn, Statement, choose
from autograder.observer import PUBLIC_SEED, NotKept, Observer, Recording, start_server
from autograder.timings import Timings

PUBLIC, HIDDEN = True, False
KINDS = {PUBLIC: "public", HIDDEN: "hidden"}
FILES = {public: f"probes_{kind}" for public, kind in KINDS.items()}


@dataclass(frozen=True)
class Graded:
    """A submission's verdicts in the notebook's order, and what the grader noticed about its cells."""

    verdicts: tuple[Verdict, ...]
    notes: tuple[tuple[str, str], ...]
    judged: tuple[Judged, ...] = ()
    cached: bool = False
    remarks: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # that its probes took in this run
    unnamed: tuple[str, ...] = ()  # functions whose mistake could not be looked up, for a recording of it is not kept

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
    """Grades submissions of one module under one seed of the hidden probes.

    Args:
        seed: the hidden probes' inputs are drawn from it.
        sandbox: "full", or "none" for limits alone.
        workers: processes for each set of probes; with 0 nothing runs, and what is not kept is `NotKept`.
        limit: seconds a probe may take.
    """

    def __init__(self, module: Module, seed: int, *, sandbox: str = "full", workers: int = 1, limit: float = 20.0):
        self.module, self.seed = module, seed
        self.workers = workers
        self.timings = Timings()
        self._engine = {"sandbox": sandbox, "limit": limit, "workers": self.workers}
        self._expected: dict[bool, Recording] = {}
        self._known: dict[str, list[KnownMistake]] = {}
        self._hidden: dict[str, KnownMistake] = {}
        self._lock = threading.RLock()
        self._observing: dict[str, threading.Lock] = defaultdict(threading.Lock)

    @cached_property
    def cells(self) -> list[source.SourceCell]:
        """The source's cells; raises `CourseError` as all that is read of a module."""
        return source.read_source(self.module.source)

    @cached_property
    def exercises(self) -> dict[str, list[str]]:
        return source.exercises(self.cells)

    @cached_property
    def functions(self) -> list[str]:
        return source.functions(self.cells)

    @cached_property
    def statements(self) -> list[Statement]:
        return source.reference_statements(self.cells)

    @cached_property
    def reference(self) -> Code:
        return choose(self.statements, {}, self.functions)

    @cached_property
    def checks(self) -> list[Check]:
        return _in_order(collect(self.module.tests), self.functions, self.module)

    @cached_property
    def remarks(self) -> list[Remark]:
        return hidden_remarks(self.checks)

    @cached_property
    def observers(self) -> dict[bool, Observer]:
        store = Course(self.module.root).store
        return {
            public: Observer(self.module.tests, file, self.functions, store, **self._engine)
            for public, file in FILES.items()
        }

    @cached_property
    def mistakes(self) -> list[Entry]:
        return read_catalogue(self.module.tests / "mistakes.py", self.statements)

    @property
    def alternatives(self) -> list[Entry]:
        return read_catalogue(self.module.tests / "alternatives.py", self.statements)

    def __enter__(self) -> "Grader":
        if self.workers:  # the module is read while the workers import torch
            self._server, sockets = start_server(self.workers, len(FILES))
            try:
                for observer, theirs in zip(self.observers.values(), sockets, strict=True):
                    observer.start(theirs)
                self.checks  # noqa: B018
                self.mistakes  # noqa: B018
            except BaseException:
                for sock in itertools.chain(*sockets):
                    sock.close()
                self._server.kill()  # it is still importing torch
                self._server.wait()
                raise
        return self

    def __exit__(self, *_) -> None:
        for observer in self.observers.values():
            observer.close()
        if self.workers:
            self._server.wait()

    def wait(self) -> None:
        """Waits until the workers have started."""
        for observer in self.observers.values():
            observer.wait()

    @property
    def points(self) -> dict[str, float]:
        """What each exercise is worth."""
        return source.points(self.exercises, self.checks)

    def code(self, entry: Entry) -> Code:
        """A mistake or an alternative as a submission."""
        return entry.code(self.statements, self.functions)

    @property
    def expected(self) -> dict[bool, Recording]:
        """The reference's recordings: submission zero.

        Raises:
            CourseError: the reference does not answer a probe.
        """
        with self._lock:
            if not self._expected:
                recordings = self.observe(self.reference, reference=True)
                for recording in recordings.values():
                    for name, observation in recording.observations.items():
                        if observation.state != "returned":
                            raise CourseError(
                                f"{self.module.name}: the reference itself fails the probe {name}: {observation.error}"
                            )
                self._expected = recordings
        return self._expected

    def read(self, data: bytes) -> Code:
        """The code of a notebook; raises `Unreadable`."""
        with self.timings.stage("reading"):
            return self.observers[PUBLIC].read(data)

    def contents(self, data: bytes) -> list[HandedIn]:
        """The cells of a notebook as they are to be shown; raises `Unreadable`."""
        return self.observers[PUBLIC].contents(data)

    def observe(self, code: Code, function: str | None = None, seed: int | None = None, **how) -> dict[bool, Recording]:
        """The recordings of `code` under all probes, or those about one function; `how` as in `Observer.observe`."""
        seeds = {PUBLIC: PUBLIC_SEED, HIDDEN: self.seed if seed is None else seed}
        recordings = {}
        for public, observer in self.observers.items():
            start = time.perf_counter()
            recordings[public] = observer.observe(code, seeds[public], function, **how)
            self.timings.observed(KINDS[public], recordings[public], time.perf_counter() - start)
        return recordings

    def grade(self, code: Code, function: str | None = None, hints: bool = True) -> Graded:
        """Grades `code`: all of it, or only the checks of one function; with `hints`, names the mistakes.

        Raises:
            GraderFault: it could not be observed; that is "not graded", never a zero.
        """
        expected = self.expected
        recordings = self.observe(code, function)
        checks = [check for check in self.checks if function in (None, check.function)]
        with self.timings.stage("judging"):
            judged = judge(checks, recordings, expected)
            remarks = remarks_on(self.remarks, recordings[HIDDEN], expected[HIDDEN])
        verdicts, unnamed = [j.verdict for j in judged], []
        if hints:
            with self.timings.stage("naming mistakes"):
                verdicts, unnamed = self._name_mistakes(judged, recordings)
        # of the public process alone: in the other one the submission could write hidden probes into them
        notes = tuple((clean(cell), clean(note)) for cell, note in recordings[PUBLIC].notes)
        ran = [recording for recording in recordings.values() if not recording.cached]
        return Graded(
            tuple(verdicts),
            notes,
            tuple(judged),
            cached=not ran,
            remarks=remarks,
            seconds=sum(o.seconds for recording in ran for o in recording.observations.values()),
            unnamed=tuple(unnamed),
        )

    def _name_mistakes(
        self, judged: list[Judged], recordings: dict[bool, Recording]
    ) -> tuple[list[Verdict], list[str]]:
        """The verdicts with hints, and the functions for which a mistake's recording is not kept."""
        found, unnamed = {}, []
        for name in self.functions:
            try:
                found[name] = self._diagnose(name, judged, recordings)
            except NotKept:
                unnamed.append(name)
        return with_hints([j.verdict for j in judged], found), unnamed

    def _diagnose(self, function: str, judged: list[Judged], recordings: dict[bool, Recording]) -> KnownMistake | None:
        mine = [j for j in judged if j.verdict.function == function]
        failing = [j for j in mine if j.verdict.wrong]
        if not failing:
            return None
        public = [(public, probe) for public, probe in probes_of(mine) if public]
        candidates = consistent(recordings, public, self.known(function))
        probes = probes_of(failing)
        if any(not public for public, _ in probes):
            candidates = self._under_hidden(candidates, {j.verdict.check for j in failing})
        return diagnose(recordings, self.expected, probes, candidates)

    def _under_hidden(self, candidates: list[KnownMistake], failed: set[str]) -> Iterator[KnownMistake]:
        """Those of `candidates` that can have been made, under the hidden probes too.

        A mistake fails a check that it names (`verify` sees to it). First, and by itself, comes the one that explains
        most of the public answers: it is likely the one, and each of the others costs a run.
        """
        named = {entry.name for entry in self.mistakes if failed.intersection(entry.caught_by)}
        made = [mistake for mistake in candidates if mistake.name in named]
        made.sort(key=lambda mistake: len(mistake.changed), reverse=True)
        yield from map(self.with_hidden, made[:1])
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            yield from pool.map(self.with_hidden, made[1:])

    def known(self, function: str) -> list[KnownMistake]:
        """The known mistakes of `function` under the public probes: those that the release holds, or made once."""
        with self._lock:
            if function not in self._known:
                self._known[function] = [m for m in self._released if m.of == function] or [
                    self.as_known(entry, [PUBLIC]) for entry in self.mistakes if entry.of == function
                ]
        return self._known[function]

    def with_hidden(self, mistake: KnownMistake) -> KnownMistake:
        """The same mistake with what it changes under the hidden probes too, made once for a class's seed."""
        with self._observing[mistake.name]:  # who needs it too waits
            if mistake.name not in self._hidden:
                entry = next(entry for entry in self.mistakes if entry.name == mistake.name)
                changed = {**mistake.changed, **self.as_known(entry, [HIDDEN]).changed}
                self._hidden[mistake.name] = replace(mistake, changed=changed)
            return self._hidden[mistake.name]

    @cached_property
    def _released(self) -> list[KnownMistake]:
        """The mistakes as the release recorded them, with the hints as they are now; none when it was made from other
        code than this."""
        checks = self.module.release / "checks"
        try:
            about = json.loads((checks / "module.json").read_text(encoding="utf-8"))
            if about["made_from"] != made_from(self.module, self.mistakes):
                return []
            hints = {entry.name: entry.hint for entry in self.mistakes}
            return [replace(mistake, hint=hints[mistake.name]) for mistake in load_known(checks / KNOWN)]
        except (OSError, ValueError, KeyError):
            return []

    def as_known(self, entry: Entry, sets: Iterable[bool] = (PUBLIC, HIDDEN)) -> KnownMistake:
        """A mistake of the catalogue, observed under `sets` of probes."""
        seeds, code = {PUBLIC: PUBLIC_SEED, HIDDEN: self.seed}, self.code(entry)

        def observe(again: bool) -> dict[bool, Recording]:
            return {s: self.observers[s].observe(code, seeds[s], entry.of, again=again) for s in sets}

        return known_mistake(entry.name, entry.of, entry.hint, observe, self.expected)


def made_from(module: Module, mistakes: Iterable[Entry]) -> str:
    """A hash of all that a release's recordings of the mistakes are made from; their hints are not."""
    digest = hashlib.sha256(json.dumps([[m.name, m.of, m.text] for m in mistakes]).encode())
    for path in [module.source, *module.public_files]:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def probes_of(judged: Iterable[Judged]) -> list[tuple[bool, str]]:
    """The probes that these checks looked at, each once."""
    return list(dict.fromkeys((j.verdict.public, probe) for j in judged for probe in j.probes))


def with_hints(verdicts: list[Verdict], found: dict[str, KnownMistake | None]) -> list[Verdict]:
    """The verdicts, with each function's mistake named on the checks that it fails."""
    return [_with_hint(verdict, found.get(verdict.function)) for verdict in verdicts]


def _with_hint(verdict: Verdict, mistake: KnownMistake | None) -> Verdict:
    if mistake is None or not verdict.wrong:
        return verdict
    return replace(verdict, mistake=mistake.name, hint=mistake.hint)


def _in_order(checks: list[Check], functions: list[str], module: Module) -> list[Check]:
    """Checks in the notebook's order of functions.

    Raises:
        CourseError: a check of a function that the notebook does not have, or two checks of one name.
    """
    names = [check.name for check in checks]
    for check in checks:
        if check.function not in functions:
            raise CourseError(
                f"{module.tests}: {check.name} is about {check.function!r}, which the notebook does not define"
            )
        if names.count(check.name) > 1:
            raise CourseError(f"{module.tests}: two checks are called {check.name}: give each its own name")
    return sorted(checks, key=lambda check: functions.index(check.function))
