"""Which answers are wrong in the same way: those that differ from the reference's in the same places, by the same values.

Each such way has a short name, a hash of what was observed, which is the same for whoever answers so and whenever it is
graded under the class's seed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from autograder.grading.diagnose import Place, all_leaves, differing_places, in_a_row, without_names
from autograder.grading.judge import Judged
from autograder.grading.naming import probes_of
from autograder.grading.recordings import Recording
from autograder.sandboxed.recording import Error, Other, Tensor, Timing

STEP = 1e-4  # numbers are told to this part of 1 + their size: far above rounding, below what a slip changes
LOOKED_AT = 100_000  # numbers of an array, about: a submission chooses how many there are
LETTERS = 6  # of a name: a class's few hundred ways do not meet by chance


def group_names(
    judged: Iterable[Judged], observed: Mapping[bool, Recording], expected: Mapping[bool, Recording]
) -> dict[str, str]:
    """The group of each function that has a wrong answer which no known mistake explains, e.g. `{"mean": "g1a2b3c"}`."""
    wrong: dict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        if each.verdict.unexplained:
            wrong[each.verdict.function].append(each)
    return {function: _group_name(function, theirs, observed, expected) for function, theirs in wrong.items()}


def _group_name(
    function: str, failing: list[Judged], observed: Mapping[bool, Recording], expected: Mapping[bool, Recording]
) -> str:
    probes = probes_of(failing)
    ours, right = all_leaves(observed, probes), all_leaves(expected, probes)
    seen = _told(ours, {in_a_row(place) for place in differing_places(ours, right)})
    told = seen or sorted(each.verdict.check for each in failing)  # nearer than a hint looks, or a machine was slow
    return "g" + hashlib.sha256(json.dumps([function, told]).encode()).hexdigest()[:LETTERS]


def _told(ours: Mapping[Place, Any], rows: set[Place]) -> list[Any]:
    """What stands in `rows`, in words that rounding does not change; wall times aside, which no two runs share."""
    by_row: dict[Place, list[Any]] = defaultdict(list)
    for place, leaf in ours.items():
        by_row[in_a_row(place)].append(leaf)
    absent = [[*row, "absent"] for row in rows - by_row.keys()]
    there = [[*row, *_words(by_row[row])] for row in rows & by_row.keys() if not isinstance(by_row[row][0], Timing)]
    return sorted(absent + there, key=json.dumps)


def _words(leaves: list[Any]) -> list[Any]:
    """Numbers in a row by their number and two sums, so that each has little chance to lie beside a step; the rest as it is."""
    if all(isinstance(leaf, float) for leaf in leaves):
        return [len(leaves), *_sums(np.array(leaves, np.float64))]
    return [_word(leaf) for leaf in leaves]


def _word(leaf: Any) -> Any:
    if isinstance(leaf, float):
        return _sums(np.array([leaf], np.float64))
    if isinstance(leaf, Tensor):
        about = [leaf.kind, list(leaf.shape), leaf.dtype, leaf.device, leaf.requires_grad]
        numbers = leaf.array.reshape(-1)
        return [*about, *_sums(numbers[:: max(1, numbers.size // LOOKED_AT)].astype(np.float64))]
    if isinstance(leaf, Error):
        return [leaf.type, without_names(leaf.message), bool(leaf.where)]
    if isinstance(leaf, Other):
        return leaf.type
    return repr(leaf)


def _sums(numbers: np.ndarray) -> list[Any]:
    """How many are not finite, and of the others two means on a scale on which `STEP` is a distance as `same` has it."""
    finite = np.isfinite(numbers)
    if not finite.any():
        return [numbers.size, [repr(number) for number in np.unique(numbers)]]
    known = np.where(finite, numbers, 0.0)
    scaled = np.sign(known) * np.log1p(np.abs(known))
    weights = np.linspace(1.0, 2.0, numbers.size)  # the order tells too
    return [int((~finite).sum()), *(round(float(each.mean()) / STEP) for each in (scaled, scaled * weights))]
