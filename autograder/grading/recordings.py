"""Recordings: what was seen of one submission under one set of probes, as checks see it and as it is kept on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.errors import Malformed, Unavailable
from autograder.files import write_whole
from autograder.sandboxed.recording import MAX_DEPTH, Bounds, Error, decode, encode

MAX_KEPT_BYTES = 256 * 2**20  # of a kept recording: all probes' values together
KEPT_DEPTH = MAX_DEPTH + 4  # a recording on disk holds the values that were sent some levels deeper


def kept_bounds() -> Bounds:
    """What a file of ours may cost: it was written from what had been read within a submission's own bounds."""
    return Bounds(MAX_KEPT_BYTES, MAX_KEPT_BYTES, MAX_KEPT_BYTES, MAX_KEPT_BYTES)


@dataclass(frozen=True)
class Observation:
    """What one probe saw. `state` is returned, raised, missing, crashed, timed out or out of memory."""

    state: str
    value: Any = None
    error: Error | None = None
    seconds: float = 0.0
    printed: str = ""  # only where it was asked for


@dataclass(frozen=True)
class Recording:
    """All observations of one submission under one set of probes, and notes on its cells."""

    observations: Mapping[str, Observation]
    notes: tuple[tuple[str, str], ...] = ()
    cpu: float = 0.0
    cached: bool = field(default=False, compare=False)


class Observed:
    """A recording as checks see it: `observed.totals` is the value of the probe `totals`."""

    def __init__(self, recording: Recording):
        self._recording = recording
        self.used: list[str] = []

    def __getattr__(self, probe: str) -> Any:
        if probe.startswith("__"):
            raise AttributeError(probe)
        observation = self._recording.observations.get(probe)
        if observation is None:
            raise AttributeError(f"no probe is named {probe!r}; there are {', '.join(self._recording.observations)}")
        if probe not in self.used:
            self.used.append(probe)
        if observation.state != "returned":
            raise Unavailable(probe, observation)
        return observation.value


def save_recording(path: Path, recording: Recording) -> None:
    """Writes a recording as one safetensors file, whole or not at all."""
    write_whole(path, recording_bytes(recording))


def recording_bytes(recording: Recording) -> bytes:
    """A recording as it is kept, and as it comes from another machine."""
    observations = [[name, o.state, o.value, o.error, o.seconds] for name, o in recording.observations.items()]
    content = {"observations": observations, "notes": list(recording.notes), "cpu": recording.cpu}
    return encode(content, MAX_KEPT_BYTES, KEPT_DEPTH, kept_bounds())


def load_recording(path: Path) -> Recording:
    """Reads what `save_recording` wrote.

    Raises:
        Malformed: the file is damaged.
    """
    kept = decode(path.read_bytes(), MAX_KEPT_BYTES, KEPT_DEPTH, kept_bounds())
    try:
        observations = {name: Observation(*fields) for name, *fields in kept["observations"]}
        return Recording(observations, tuple(map(tuple, kept["notes"])), kept["cpu"], cached=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{path} is not a recording ({error!r}): delete it") from None
