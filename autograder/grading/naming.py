"""Naming a submission's mistakes: which known ones can have been made, and which one explains most.

What the mistakes change under the public probes on the released inputs lies in the release; so a function that failed is
asked those once more. Under the hidden ones they are observed once for a class's seed, when a submission needs it.
"""

import contextlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from autograder.course.catalogue import Entry
from autograder.errors import NotKept
from autograder.grading.contents import Contents
from autograder.grading.diagnose import (
    KNOWN,
    KnownMistake,
    Later,
    Place,
    all_leaves,
    consistent,
    diagnose,
    diagnose_all,
    explains_all,
    known_mistake,
    load_known,
    ruled_out,
    same_leaves,
    varying_places,
    with_incidental,
)
from autograder.grading.judge import Judged, Verdict
from autograder.grading.observer import PUBLIC_SEED
from autograder.grading.recordings import Recording
from autograder.grading.wrappings import Undo, inside, undone_for
from autograder.sandboxed.notebook import Code
from autograder.threads import pool

AHEAD = 2  # candidates for a hint that are made side by side: often the last of them are not needed
ANSWERED = ("returned", "raised")  # states of a probe that may as well be asked again; the others took all their time


class Observe(Protocol):
    """Gives the recording of code under one set of probes, those of one function or of all; `how` as in `Observer`."""

    def __call__(self, public: bool, seed: int | None, code: Code, function: str | None, **how: bool) -> Recording: ...


class Naming:
    """The known mistakes of a module as they answer under one class's seed.

    Args:
        observe: gives recordings, under a seed, or with None under the class's own.
        fetch: has several functions of a code asked the public probes on the released inputs, side by side in one process.
        expected: gives the reference's recordings under the class's seed.
        at_once: how many mistakes are observed side by side.
    """

    def __init__(
        self,
        contents: Contents,
        observe: Observe,
        fetch: Callable[[Code, list[str]], None],
        expected: Callable[[], dict[bool, Recording]],
        at_once: int,
    ):
        self._contents, self._observe, self._fetch, self._expected = contents, observe, fetch, expected
        self._at_once = max(1, at_once)
        self._known: dict[str, list[KnownMistake]] = {}
        self._hidden: dict[str, KnownMistake] = {}
        self._varying: dict[tuple[str, bool], frozenset[Place]] = {}
        self._lock = threading.RLock()
        self._observing: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def name(
        self, code: Code, judged: list[Judged], recordings: Mapping[bool, Recording]
    ) -> tuple[list[Verdict], list[str]]:
        """The verdicts with hints, and the functions for which a recording that is needed is not kept."""
        by_function = {name: [j for j in judged if j.verdict.function == name] for name in self._contents.functions}
        wrong = {name: mine for name, mine in by_function.items() if _can_be_named(mine, recordings)}
        self._fetch(code, list(wrong))
        found: dict[str, KnownMistake] = {}
        unnamed = []
        for function, mine in wrong.items():
            try:
                mistakes = self._diagnose(code, function, mine, recordings)
                found |= by_check(mine, mistakes, {m.name: m.caught_by for m in self._contents.mistakes})
            except NotKept:
                unnamed.append(function)
        return with_hints([j.verdict for j in judged], found), unnamed

    def _diagnose(
        self, code: Code, function: str, judged: list[Judged], recordings: Mapping[bool, Recording]
    ) -> list[KnownMistake]:
        seen = {**recordings, **self.observe(code, function, [True])}
        return with_insides(seen, self.expected, judged, self._undo.get(function, []), self._explaining)

    @cached_property
    def _undo(self) -> dict[str, list[Undo]]:
        return undone_for(self._contents.checks)

    def _explaining(self, seen: Mapping[bool, Recording], judged: list[Judged]) -> list[KnownMistake]:
        """The mistakes that explain what was seen of one function."""
        function = judged[0].verdict.function
        candidates = consistent(seen, [one for one in probes_of(judged) if one[0]], self.known(function))
        failing = [j for j in judged if j.verdict.wrong]
        probes = probes_of(failing)
        if all(public for public, _ in probes):
            return diagnose_all(seen, self.expected, probes, candidates, self.varying(function, True))
        candidates = self._named(candidates, {j.verdict.check for j in failing})
        varying = Later(lambda: self.varying(function, True) | self.varying(function, False))
        with contextlib.closing(self._made(candidates)) as made:
            found = diagnose_all(seen, self.expected, probes, made, varying)
        if found:
            return found
        by_public = self._by_public_answers(judged, seen, candidates)
        return [by_public] if by_public else []

    def _made(self, candidates: list[KnownMistake]) -> Generator[KnownMistake]:
        """`candidates` with what they change under the hidden probes: each costs a run, so the first, which is likely the
        one, comes alone, and the others some at a time."""
        yield from map(self.with_hidden, candidates[:1])
        with pool(AHEAD) as threads:
            ahead: deque[Future[KnownMistake]] = deque()
            for candidate in candidates[1:]:
                ahead.append(threads.submit(self.with_hidden, candidate))
                if len(ahead) == AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    @cached_property
    def expected(self) -> dict[bool, Recording]:
        """The reference's recordings that the mistakes are compared with: the public one on the released inputs."""
        released = self._observe(True, PUBLIC_SEED, self._contents.reference, None, reference=True)
        return {**self._expected(), True: released}

    def observe(
        self, code: Code, function: str, sets: Iterable[bool] = (True, False), again: bool = False
    ) -> dict[bool, Recording]:
        """Recordings of `code` to compare with `expected`, under `sets` of probes: public (True), hidden (False)."""
        return {s: self._observe(s, PUBLIC_SEED if s else None, code, function, again=again) for s in sets}

    def _by_public_answers(
        self, judged: list[Judged], seen: Mapping[bool, Recording], candidates: Iterable[KnownMistake]
    ) -> KnownMistake | None:
        """The one that explains all that is wrong under the public probes of failing checks, when none agrees with what
        the hidden ones saw: a second slip may have changed the answers there. A right answer where the mistake's is
        wrong still rules it out."""
        failed = [(public, probe) for public, probe in probes_of(j for j in judged if j.verdict.wrong) if public]
        beside = [(public, probe) for public, probe in probes_of(judged) if not public]
        made = map(self.with_hidden, candidates)
        likely = [mistake for mistake in made if not ruled_out(mistake, seen, self.expected, beside)]
        found = diagnose(seen, self.expected, failed, likely)
        return found if found and explains_all(found, seen, self.expected, failed) else None

    def _named(self, candidates: Iterable[KnownMistake], failed: set[str]) -> list[KnownMistake]:
        """Those of `candidates` that can have been made: a mistake fails a check that it names (`verify` sees to it).

        First comes the one that explains most of the public answers.
        """
        named = {entry.name for entry in self._contents.mistakes if failed.intersection(entry.caught_by)}
        made = [mistake for mistake in candidates if mistake.name in named]
        return sorted(made, key=lambda mistake: len(mistake.changed), reverse=True)

    def known(self, function: str) -> list[KnownMistake]:
        """The known mistakes of `function` under the public probes: those that the release holds, or made once."""
        with self._lock:
            if function not in self._known:
                self._known[function] = [m for m in self._released[0] if m.of == function] or [
                    with_incidental(self.as_known(entry, [True]), self.varying(function, True))
                    for entry in self._contents.mistakes
                    if entry.of == function
                ]
        return self._known[function]

    def varying(self, function: str, public: bool) -> frozenset[Place]:
        """Where right answers to one set of probes differ: what the release holds of it, or observed once."""
        if public and self._released[0]:
            return self._released[1]
        with self._observing[f"the alternatives of {function}, {public}"]:  # who needs them too waits
            if (function, public) not in self._varying:
                codes = [self._contents.code(entry) for entry in self._contents.alternatives if entry.of == function]
                with pool(self._at_once) as threads:
                    answers = list(threads.map(lambda code: self.observe(code, function, [public]), codes))
                self._varying[function, public] = varying_places(answers, self.expected)
            return self._varying[function, public]

    def with_hidden(self, mistake: KnownMistake) -> KnownMistake:
        """The same mistake with what it changes under the hidden probes too, made once for a class's seed."""
        with self._observing[mistake.name]:  # who needs it too waits
            if mistake.name not in self._hidden:
                entry = next(entry for entry in self._contents.mistakes if entry.name == mistake.name)
                changed = {**mistake.changed, **self.as_known(entry, [False]).changed}
                whole = replace(mistake, changed=changed)
                self._hidden[mistake.name] = with_incidental(whole, Later(lambda: self.varying(mistake.of, False)))
            return self._hidden[mistake.name]

    @cached_property
    def _released(self) -> tuple[list[KnownMistake], frozenset[Place]]:
        """The mistakes as the release recorded them, with the hints as they are now, and where right answers differ;
        nothing when it was made from other code than this."""
        checks = self._contents.module.release / "checks"
        try:
            about = json.loads((checks / "module.json").read_text(encoding="utf-8"))
            if about["made_from"] != self._contents.made_from:
                return [], frozenset()
            hints = {entry.name: entry.hint for entry in self._contents.mistakes}
            mistakes, varying = load_known(checks / KNOWN)
            return [replace(mistake, hint=hints[mistake.name]) for mistake in mistakes], varying
        except (OSError, ValueError, KeyError):
            return [], frozenset()

    def as_known(
        self, entry: Entry, sets: Iterable[bool] = (True, False), seen: Mapping[bool, Recording] | None = None
    ) -> KnownMistake:
        """A mistake of the catalogue, observed under `sets` of probes: public (True), hidden (False).

        Args:
            seen: what `observe` would give, where it is at hand.
        """

        def ask(again: bool) -> Mapping[bool, Recording]:
            return seen if seen and not again else self.observe(self._contents.code(entry), entry.of, sets, again)

        return known_mistake(entry.name, entry.of, entry.hint, ask, self.expected)


def _can_be_named(judged: list[Judged], recordings: Mapping[bool, Recording]) -> bool:
    """Whether something is wrong in a function that has answered the public probes."""
    public = [probe for public, probe in probes_of(judged) if public]
    answered = all(recordings[True].observations[probe].state in ANSWERED for probe in public)
    return answered and any(j.verdict.wrong for j in judged)


def probes_of(judged: Iterable[Judged]) -> list[tuple[bool, str]]:
    """The probes that these checks looked at, each once."""
    return list(dict.fromkeys((j.verdict.public, probe) for j in judged for probe in j.probes))


Explain = Callable[[Mapping[bool, Recording], list[Judged]], list[KnownMistake]]


def with_insides(
    seen: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
    judged: list[Judged],
    undo: Iterable[Undo],
    explain: Explain,
) -> list[KnownMistake]:
    """What `explain` names of the answers as they came and, where that leaves something, of what is inside their wrappings."""
    probes = probes_of(j for j in judged if j.verdict.wrong)
    found = explain(seen, judged)
    if found and explains_all(found[0], seen, expected, probes):
        return found
    insides = {public: inside(recording, expected[public], undo) for public, recording in seen.items()}
    if all(_alike(insides[public], seen[public]) for public in seen):
        return found
    others = [mistake for mistake in explain(insides, judged) if mistake.name not in {one.name for one in found}]
    return [*found, *others][:2]


def _alike(left: Recording, right: Recording) -> bool:
    probes = [(True, name) for name in left.observations]
    return same_leaves(all_leaves({True: left}, probes), all_leaves({True: right}, probes))


def by_check(
    judged: Iterable[Judged], found: list[KnownMistake], caught_by: Mapping[str, Iterable[str]] = MappingProxyType({})
) -> dict[str, KnownMistake]:
    """Which of the mistakes found in a function each failing check tells: the first, or one that names the check.

    Each is told somewhere; a check that fails alone tells both.

    Args:
        caught_by: the checks that mistakes name, where that is known.
    """
    failing = [j for j in judged if j.verdict.wrong]
    told: dict[str, KnownMistake] = {}
    for j in failing if found else []:
        naming = [mistake for mistake in found if j.verdict.check in caught_by.get(mistake.name, ())]
        changing = [mistake for mistake in found if mistake.under(set(probes_of([j])))]
        told[j.verdict.check] = next(iter([*naming, *changing, *found]))
    for mistake in found:
        if not told or mistake.name in {one.name for one in told.values()}:
            continue
        looked = [j.verdict.check for j in failing if mistake.under(set(probes_of([j])))] or list(told)
        if len(told) > 1:
            told[looked[-1]] = mistake
        else:
            told[looked[0]] = replace(told[looked[0]], hint=f"{told[looked[0]].hint} {mistake.hint}")
    return told


def with_hints(verdicts: Iterable[Verdict], found: Mapping[str, KnownMistake]) -> list[Verdict]:
    """The verdicts, each failing one with the mistake found for its check."""
    return [_with_hint(verdict, found.get(verdict.check)) for verdict in verdicts]


def _with_hint(verdict: Verdict, mistake: KnownMistake | None) -> Verdict:
    if mistake is None or not verdict.wrong:
        return verdict
    return replace(verdict, mistake=mistake.name, hint=mistake.hint)
