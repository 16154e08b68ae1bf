"""Where a run's time went, for `autograder grade --timings`."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from autograder.grading.recordings import Recording

FROM_STORE, NAMING = "taken from the store", "naming mistakes"


@dataclass
class Spent:
    """Seconds added up, how often, the most at once, and CPU seconds."""

    seconds: float = 0.0
    times: int = 0
    most: float = 0.0
    cpu: float = 0.0

    def add(self, seconds: float, cpu: float = 0.0) -> None:
        self.seconds, self.times, self.most = self.seconds + seconds, self.times + 1, max(self.most, seconds)
        self.cpu += cpu


@dataclass
class Timings:
    """Seconds by stage, summed over threads, and by probe; only what ran counts as a probe's time.

    CPU is that of the grader's own threads and of the processes that answered probes.
    """

    stages: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))
    probes: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the block's time."""
        start, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - start, time.thread_time() - cpu)

    def observed(self, kind: str, recording: Recording, seconds: float) -> None:
        """Counts a recording that came after `seconds`; `kind` is public or hidden."""
        stage = FROM_STORE if recording.cached else f"observing, {kind} probes"
        self._add(stage, seconds, 0.0 if recording.cached else recording.cpu)
        if not recording.cached:
            with self._lock:
                for name, observation in recording.observations.items():
                    self.probes[f"{name} ({kind})"].add(observation.seconds)

    def observed_for_a_hint(self, recording: Recording) -> None:
        """Counts the CPU of a recording that naming a mistake needed: its wall time is within that stage."""
        with self._lock:
            self.stages[NAMING].cpu += 0.0 if recording.cached else recording.cpu

    def _add(self, stage: str, seconds: float, cpu: float) -> None:
        with self._lock:
            self.stages[stage].add(seconds, cpu)
