"""Where a run's time went, for `autograder grade --timings`."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from autograder.grading.recordings import Recording

FROM_STORE = "taken from the store"


@dataclass
class Spent:
    """Seconds added up, how often, and the most at once."""

    seconds: float = 0.0
    times: int = 0
    most: float = 0.0

    def add(self, seconds: float) -> None:
        self.seconds, self.times, self.most = self.seconds + seconds, self.times + 1, max(self.most, seconds)


@dataclass
class Timings:
    """Wall seconds by stage, summed over threads, and by probe; only what ran counts as a probe's time."""

    stages: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))
    probes: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the block's time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, time.perf_counter() - start)

    def observed(self, kind: str, recording: Recording, seconds: float) -> None:
        """Counts a recording that came after `seconds`; `kind` is public or hidden."""
        self._add(FROM_STORE if recording.cached else f"observing, {kind} probes", seconds)
        if not recording.cached:
            with self._lock:
                for name, observation in recording.observations.items():
                    self.probes[f"{name} ({kind})"].add(observation.seconds)

    def _add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.stages[stage].add(seconds)
