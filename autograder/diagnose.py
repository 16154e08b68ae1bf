"""Naming the mistake: a failing submission's observations are compared with those of the known mistakes.

There is no detection code for any mistake: whoever answers the probes as a known mistake does, reads that one's hint.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autograder.observer import Recording
from autograder.recording import agree, leaves

_ABSENT = object()


@dataclass(frozen=True)
class KnownMistake:
    """A mistake's name, its hint, and its recordings under the public (True) and hidden (False) probes."""

    name: str
    of: str
    hint: str
    recordings: Mapping[bool, Recording]


def diagnose(observed: Mapping[bool, Recording], expected: Mapping[bool, Recording], probes: Iterable[tuple[bool, str]],
             known: Iterable[KnownMistake]) -> KnownMistake | None:  # fmt: skip
    """The known mistake that explains most of how `observed` differs from `expected` under `probes`; None when none does.

    A mistake agrees when everything it changes in the answers is changed in the same way here.
    """
    probes = list(probes)
    ours, right = all_leaves(observed, probes), all_leaves(expected, probes)
    differing = {place for place in ours.keys() | right.keys() if not _alike(ours, right, place)}
    best, most = None, 0
    for mistake in known:
        theirs = all_leaves(mistake.recordings, probes)
        changed = {place for place in theirs.keys() | right.keys() if not _alike(theirs, right, place)}
        explained = len(changed & differing)
        if explained > most and all(_alike(ours, theirs, place) for place in changed):
            best, most = mistake, explained
    return best


def all_leaves(recordings: Mapping[bool, Recording], probes: Iterable[tuple[bool, str]]) -> dict[tuple, Any]:
    """Every leaf of the observations of `probes`; an observation without a value is one leaf, its error or state."""
    found: dict[tuple, Any] = {}
    for public, probe in probes:
        recording = recordings.get(public)
        observation = recording.observations.get(probe) if recording else None
        if observation is None:
            continue
        if observation.state == "returned":
            found.update({(public, probe, path): leaf for path, leaf in leaves(observation.value)})
        elif observation.state == "raised":
            found[public, probe, "raised"] = observation.error
        else:
            found[public, probe, "state"] = observation.state
    return found


def _alike(left: Mapping, right: Mapping, place: tuple) -> bool:
    a, b = left.get(place, _ABSENT), right.get(place, _ABSENT)
    return a is b or (a is not _ABSENT and b is not _ABSENT and agree(a, b))
