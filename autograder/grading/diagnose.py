"""Naming the mistake: a failing submission's observations are compared with those of the known mistakes.

There is no detection code for any mistake: whoever answers the probes as a known mistake does, reads that one's hint.
"""

import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder.course.checks import distance
from autograder.errors import Malformed
from autograder.files import write_whole
from autograder.grading.recordings import MAX_KEPT_BYTES, Recording, kept_bounds
from autograder.sandboxed.recording import Error, Other, Tensor, Timing, decode, encode

Place = tuple[bool, str, str]  # public, probe, path

HINT_TOLERANCE = 1e-5  # how near two numbers must be, as |a − b| / (1 + |b|), to tell the same mistake
HINT_SECONDS = 0.03  # and two wall times
ROUNDING = 0.05  # how far apart right answers may lie where a mistake is still told by its numbers; a pixel's step is 0.004

ABSENT = Other("nothing")
KNOWN = "mistakes.safetensors.gz"  # in a release's checks/


class Later(Set[Place]):
    """Places that are looked for when one is first asked for: what is known only by many runs, most never ask for."""

    _from_iterable = frozenset  # of `|` and `-`

    def __init__(self, find: Callable[[], Iterable[Place]]):
        self._find = find

    @cached_property
    def _places(self) -> frozenset[Place]:
        return frozenset(self._find())

    def __contains__(self, place: object) -> bool:
        return place in self._places

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class KnownMistake:
    """A mistake's name and hint, and every place in the answers that it changes, with what is then there.

    A place is (public, probe, path); what a mistake removes is `ABSENT`. What is `incidental` varies between right answers
    too: legends' words, the order of a shuffle.
    """

    name: str
    of: str
    hint: str
    changed: Mapping[Place, Any]
    incidental: Set[Place] = frozenset()

    def under(self, probes: set[tuple[bool, str]]) -> dict[Place, Any]:
        """What it changes in the answers to `probes`; wall times only if nothing else, since a busy machine does too."""
        changed = {place: leaf for place, leaf in self.changed.items() if place[:2] in probes}
        return {place: leaf for place, leaf in changed.items() if not isinstance(leaf, Timing)} or changed

    def essential(self, probes: set[tuple[bool, str]]) -> dict[Place, Any]:
        """What it changes under `probes` where right answers agree; a mistake that changes nothing else is all essence."""
        return self.fixed(probes) if self.changed.keys() - self.incidental else self.under(probes)

    def fixed(self, probes: set[tuple[bool, str]]) -> dict[Place, Any]:
        """What it changes under `probes` where right answers agree, be it nothing."""
        return {place: leaf for place, leaf in self.under(probes).items() if place not in self.incidental}


def known_mistake(
    name: str,
    of: str,
    hint: str,
    observe: Callable[[bool], Mapping[bool, Recording]],
    expected: Mapping[bool, Recording],
) -> KnownMistake:
    """A mistake by its own recordings, which may hold the probes of its function alone.

    Args:
        observe: gives its recordings; with True, those of a second run. Where the answers hold wall times, what the
            second does not give again is left out: a mistake may carry them into any other figure.
    """
    recordings = observe(False)
    probes = _probes(recordings)
    right = all_leaves(expected, probes)
    changed = _changed(all_leaves(recordings, probes), right)
    if any(isinstance(leaf, Timing) and not leaf.is_integer() for leaf in right.values()):  # a count is whole, and no time
        again = _changed(all_leaves(observe(True), probes), right)
        changed = {place: leaf for place, leaf in changed.items() if agree(again.get(place, ABSENT), leaf)}
    return KnownMistake(name, of, hint, changed)


def _probes(recordings: Mapping[bool, Recording]) -> set[tuple[bool, str]]:
    return {(public, probe) for public, recording in recordings.items() for probe in recording.observations}


def _changed(theirs: Mapping[Place, Any], right: Mapping[Place, Any]) -> dict[Place, Any]:
    return {place: theirs.get(place, ABSENT) for place in differing_places(theirs, right)}


def diagnose(
    observed: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
    probes: Iterable[tuple[bool, str]],
    known: Iterable[KnownMistake],
    varying: Set[Place] = frozenset(),
) -> KnownMistake | None:
    """The known mistake that explains most of how `observed` differs from `expected` under `probes`; None if none does.

    A mistake agrees when everything it changes in the answers is changed in the same way here. Where none agrees so, it
    may agree in its essence: where nothing differs from right answers but what it changes too, and no other does so.

    Args:
        varying: where right answers differ among themselves.
    """
    known, probes = iter(known), set(probes)
    ours, right = all_leaves(observed, probes), all_leaves(expected, probes)
    differing = differing_places(ours, right)
    only_times = all(isinstance(ours.get(place, right.get(place)), Timing) for place in differing)
    whole = sum(only_times or not isinstance(ours.get(place), Timing) for place in differing)  # nothing explains more
    best, most, looked_at = None, 0, []
    for mistake in known:
        looked_at.append(mistake)
        changed = mistake.under(probes)
        if not only_times and all(isinstance(leaf, Timing) for leaf in changed.values()):
            continue  # something else is wrong, and wall times alone are soon alike
        explained = len(changed.keys() & differing)
        if explained > most and _agrees(changed, ours):
            best, most = mistake, explained
            if most == whole:
                break
    return best or _in_essence(ours, right, differing, probes, looked_at, varying)


def diagnose_all(
    observed: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
    probes: Iterable[tuple[bool, str]],
    known: Iterable[KnownMistake],
    varying: Set[Place] = frozenset(),
) -> list[KnownMistake]:
    """The known mistake that explains most, and beside it the one that explains most of what is left.

    They change nothing in one place, and each agrees in all that it changes.
    """
    known, again = itertools.tee(known)
    probes = set(probes)
    first = diagnose(observed, expected, probes, known, varying)
    if first is None or explains_all(first, observed, expected, probes):
        return [first] if first else []
    places = first.under(probes).keys()
    others = [mistake for mistake in again if not places & mistake.under(probes).keys()]
    second = diagnose(observed, expected, probes, others)
    return [first, second] if second else [first]


def _in_essence(
    ours: Mapping[Place, Any],
    right: Mapping[Place, Any],
    differing: Set[Place],
    probes: set[tuple[bool, str]],
    known: list[KnownMistake],
    varying: Set[Place],
) -> KnownMistake | None:
    """The one mistake that makes of right answers what is here, but for what varies between those; None if several do."""
    wrong = {p for p in differing if in_a_row(p) not in varying and not isinstance(ours.get(p, right.get(p)), Timing)}
    if not wrong:
        return None
    found = []
    for mistake in known:
        essential = mistake.essential(probes)
        if essential and wrong == essential.keys() & wrong and _agrees(essential, ours):
            found.append(mistake)
    return found[0] if len(found) == 1 else None


def consistent(
    observed: Mapping[bool, Recording], probes: Iterable[tuple[bool, str]], known: Iterable[KnownMistake]
) -> list[KnownMistake]:
    """Those of `known` of which all that they change under `probes`, where right answers agree, is changed in the same way
    in `observed`."""
    probes = set(probes)
    ours = all_leaves(observed, probes)
    return [mistake for mistake in known if _agrees(mistake.fixed(probes), ours)]


def varying_places(
    alternatives: Iterable[Mapping[bool, Recording]], expected: Mapping[bool, Recording]
) -> frozenset[Place]:
    """Where the recordings of right answers differ from the reference's, by more than rounding; of a row of numbers,
    wherever one does."""
    found = set()
    for recordings in alternatives:
        probes = _probes(recordings)
        right = all_leaves(expected, probes)
        for place, leaf in _changed(all_leaves(recordings, probes), right).items():
            if not isinstance(leaf, Timing) and not agree(leaf, right.get(place, ABSENT), ROUNDING):
                found.add(in_a_row(place))
    return frozenset(found)


def ruled_out(
    mistake: KnownMistake,
    observed: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
    probes: Iterable[tuple[bool, str]],
) -> bool:
    """Whether an answer to `probes` is right where the mistake's is wrong."""
    probes = set(probes)
    changed, ours, right = mistake.essential(probes), all_leaves(observed, probes), all_leaves(expected, probes)
    return any(agree(ours.get(place, ABSENT), right.get(place, ABSENT)) for place in changed)


def in_a_row(place: Place) -> Place:
    """The place without its last indices: those of a list of numbers have one place together."""
    public, probe, path = place
    return public, probe, re.sub(r"(\[\d+\])+$", "[…]", path)


def explains_all(
    mistake: KnownMistake,
    observed: Mapping[bool, Recording],
    expected: Mapping[bool, Recording],
    probes: Iterable[tuple[bool, str]],
) -> bool:
    """Whether the mistake changes every place where `observed` differs from `expected` under `probes`, wall times aside."""
    probes = set(probes)
    ours = all_leaves(observed, probes)
    differing = differing_places(ours, all_leaves(expected, probes))
    return {place for place in differing if not isinstance(ours.get(place), Timing)} <= mistake.changed.keys()


def _agrees(changed: Mapping[Place, Any], ours: Mapping[Place, Any]) -> bool:
    return all(agree(ours.get(place, ABSENT), leaf) for place, leaf in changed.items())


def differing_places(left: Mapping[Place, Any], right: Mapping[Place, Any]) -> set[Place]:
    """Where leaves do not tell the same as those of right answers."""
    places = left.keys() | right.keys()
    return {place for place in places if not _tells_what_is_right(left.get(place, ABSENT), right.get(place, ABSENT))}


def _tells_what_is_right(leaf: Any, right: Any) -> bool:
    """Whether the leaves agree; of an error that is asked for in type alone, since its words are anyone's own."""
    if isinstance(leaf, Error) and isinstance(right, Error):
        return agree(leaf, replace(right, message=leaf.message))
    return agree(leaf, right)


def same_leaves(left: Mapping[Place, Any], right: Mapping[Place, Any]) -> bool:
    """Whether two sets of leaves tell the same everywhere."""
    return not differing_places(left, right)


def all_leaves(recordings: Mapping[bool, Recording], probes: Iterable[tuple[bool, str]]) -> dict[Place, Any]:
    """Every leaf of the observations of `probes`; an observation without a value is one leaf, its error or state."""
    found: dict[Place, Any] = {}
    for public, probe in probes:
        recording = recordings.get(public)
        observation = recording.observations.get(probe) if recording else None
        if observation is None:
            continue
        if observation.state == "returned":
            found.update({(public, probe, path): leaf for path, leaf in leaves(observation.value)})
        else:
            found[public, probe, "ended"] = observation.error if observation.state == "raised" else observation.state
    return found


# --- what tells the same ----------------------------------------------------------------------------------------------


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a decoded value with its path, e.g. `("['loss'][0]", 2.3)`; containers give their type and size."""
    if isinstance(value, dict):
        yield f"{path} keys", tuple(map(repr, value))
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        yield f"{path} length", (type(value).__name__, len(value))
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def without_places(value: Any) -> Any:
    """A decoded value whose errors say no line of code, only whether they were raised by the function or in its use."""
    if isinstance(value, Error):
        return replace(value, where="in the function" if value.where else "")
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_places, value))
    return value


def agree(left: Any, right: Any, within: float = HINT_TOLERANCE) -> bool:
    """Whether two leaves tell the same: numbers within `within`, wall times nearly, errors by type and message."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Timing):
        return bool(abs(left - right) < HINT_SECONDS)
    if isinstance(left, float):
        return distance(left, right) <= within
    if isinstance(left, Tensor):
        alike = (left.shape, left.dtype, left.device, left.requires_grad, left.kind)
        if alike != (right.shape, right.dtype, right.device, right.requires_grad, right.kind):
            return False
        return distance(left.array, right.array) <= within
    if isinstance(left, Error):
        by_itself = bool(left.where), bool(right.where)  # or in what is done with what it returned
        told = (left.type, without_names(left.message)) == (right.type, without_names(right.message))
        return told and by_itself[0] == by_itself[1]
    return bool(left == right)


def without_names(message: str) -> str:
    """A message without addresses, so that two runs of one mistake compare equal, and without the name of a function that
    was called wrongly: a mistake has one of its own."""
    return re.sub(r"0x[0-9a-fA-F]+", "0x", re.sub(r"[\w.<>]+\(\) (?=takes |missing |got )", "", message))


# --- in a release -----------------------------------------------------------------------------------------------------


def save_known(path: Path, known: Iterable[KnownMistake], varying: Iterable[Place] = ()) -> None:
    """Writes names, hints and what the mistakes change in the public answers, no code, and where right answers differ, as
    one compressed safetensors file."""
    mistakes = [[m.name, m.of, m.hint, _public_leaves(m)] for m in known]
    by_probe: dict[str, list[str]] = {}
    for public, probe, text in sorted(varying):
        if public:
            by_probe.setdefault(probe, []).append(text)
    content = {"mistakes": mistakes, "varying": by_probe}
    write_whole(path, gzip.compress(encode(content, MAX_KEPT_BYTES, bounds=kept_bounds()), mtime=0))


def _public_leaves(mistake: KnownMistake) -> list[list[Any]]:
    """(probe, path, leaf) of each place; an error's does not name the mistake's own line of code."""
    return [[probe, text, without_places(leaf)] for (public, probe, text), leaf in mistake.changed.items() if public]


def load_known(path: Path) -> tuple[list[KnownMistake], frozenset[Place]]:
    """Reads what `save_known` wrote: the mistakes, and where right answers differ.

    Raises:
        Malformed: the file is damaged.
    """
    try:
        kept = decode(gzip.decompress(path.read_bytes()), MAX_KEPT_BYTES, bounds=kept_bounds())
        varying = frozenset((True, probe, text) for probe, texts in kept["varying"].items() for text in texts)
        mistakes = [
            with_incidental(KnownMistake(name, of, hint, {(True, probe, text): leaf for probe, text, leaf in changed}), varying)
            for name, of, hint, changed in kept["mistakes"]
        ]
        return mistakes, varying
    except (AttributeError, EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        raise Malformed(f"{path.name} is damaged ({error}): get the assignment's folder again") from None


def with_incidental(mistake: KnownMistake, varying: Set[Place]) -> KnownMistake:
    """The mistake with what it changes where right answers differ too marked as incidental."""
    before = mistake.incidental
    return replace(
        mistake, incidental=Later(lambda: (p for p in mistake.changed if p in before or in_a_row(p) in varying))
    )
