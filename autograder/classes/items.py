"""What a class's results say about the checks: who passes them, and which of them surprise."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.grading.judge import NOT_GRADED, PASSED

NARROW = 0.5, 2.0  # in tolerances: right answers beyond the first and wrong ones within the second were close
LULLED = 1 / 3  # of those who pass a function's public checks: when so many fail a hidden one, it is worth a look
FEW = 3  # students, of whom nothing is concluded


@dataclass(frozen=True)
class Item:
    """One check over the class.

    Args:
        states: how many students ended how, as in a verdict; of the failing ones, how many are `named`.
        discrimination: the point-biserial correlation of passing it with the points of all other checks, from −1 to 1; None
            where all pass, all fail, or all have the same points elsewhere.
        nearly: how many passed beyond half the tolerance, and failed within twice; None where it measures no distance.
    """

    name: str
    function: str
    exercise: str
    title: str
    public: bool
    maximum: float
    states: Mapping[str, int]
    named: int
    discrimination: float | None
    nearly: tuple[int, int] | None

    @property
    def judged(self) -> int:
        """How many students it was judged for."""
        return sum(n for state, n in self.states.items() if state != NOT_GRADED)

    @property
    def passed(self) -> int:
        return self.states.get(PASSED, 0)

    @property
    def missing(self) -> int:
        """How many have not written the function."""
        return self.states.get("missing", 0)

    @property
    def rate(self) -> float:
        """The share that passes it, from 0 to 1."""
        return self.passed / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class Sides:
    """A function's public checks against its hidden ones: shares that pass each side, and who passes only the public."""

    function: str
    public: float
    hidden: float
    passed_public: int
    lulled: int


def items(results: Sequence[Mapping[str, Any]], distances: Sequence[Mapping[str, float]]) -> list[Item]:
    """Every check of these graded results, in their order; `distances` in tolerances, by check, of each result."""
    seen: dict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for student, result in enumerate(results):
        for check in result["checks"]:
            seen[check["check"]].append((student, check))
    scores = [float(result["score"]) for result in results]
    return [_item(verdicts, scores, distances) for verdicts in seen.values()]


def _item(
    verdicts: list[tuple[int, Mapping[str, Any]]], scores: Sequence[float], distances: Sequence[Mapping[str, float]]
) -> Item:
    about = verdicts[-1][1]
    judged = [(student, check) for student, check in verdicts if check["state"] != NOT_GRADED]
    passes = np.array([check["state"] == PASSED for _, check in judged], float)
    rest = np.array([scores[student] - check["points"] for student, check in judged], float)
    measured = [(check["state"], distances[s][check["check"]]) for s, check in judged if check["check"] in distances[s]]
    below, above = NARROW
    nearly = (
        sum(state == PASSED and distance > below for state, distance in measured),
        sum(state != PASSED and 1 < distance <= above for state, distance in measured),
    )
    return Item(
        name=about["check"],
        function=about["function"],
        exercise=about["exercise"],
        title=about["title"],
        public=about["public"],
        maximum=about["maximum"],
        states=Counter(check["state"] for _, check in verdicts),
        named=sum(bool(check["mistake"]) for _, check in judged),
        discrimination=correlation(passes, rest),
        nearly=nearly if measured else None,
    )


def correlation(left: np.ndarray, right: np.ndarray) -> float | None:
    """Pearson's, which for a yes or no is the point-biserial one; None where one of the two does not vary."""
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) < 1e-9:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def sides(results: Iterable[Mapping[str, Any]]) -> list[Sides]:
    """Public against hidden, for each function that has both."""
    counts: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for result in results:
        by_function: dict[str, dict[bool, list[bool]]] = defaultdict(lambda: {True: [], False: []})
        for check in result["checks"]:
            by_function[check["function"]][check["public"]].append(check["state"] == PASSED)
        for function, passed in by_function.items():
            if passed[True] and passed[False]:
                counts[function][all(passed[True]), all(passed[False])] += 1
    return [_sides(function, count) for function, count in counts.items()]


def _sides(function: str, count: Counter[tuple[bool, bool]]) -> Sides:
    public, hidden = count[True, True] + count[True, False], count[True, True] + count[False, True]
    return Sides(function, public / count.total(), hidden / count.total(), public, count[True, False])


def surprises(found: Iterable[Item], both: Iterable[Sides]) -> list[tuple[str, str]]:
    """What is worth a look, each with the check or function that it is about; the gravest first."""
    said = [*((rank, item.name, text) for item in found for rank, text in _of_item(item))]
    said += [(1, each.function, _lulled(each)) for each in both if each.lulled >= max(FEW, LULLED * each.passed_public)]
    return [(about, text) for _, about, text in sorted(said, key=lambda one: one[0])]


def _of_item(item: Item) -> Iterable[tuple[int, str]]:
    failed = item.judged - item.passed
    r, noise = item.discrimination, 1 / math.sqrt(max(1, item.judged))
    if r is not None and r < -noise and min(item.passed, failed) >= FEW:
        yield 0, f"Those who pass it have fewer points elsewhere than those who fail it (correlation {r:.2f}): is it fair?"
    if item.judged >= FEW and not item.passed:
        lost = "nobody has written the function" if item.missing == item.judged else "nobody passes it"
        yield 0, f"Its points are always lost: {lost}."
    if item.states.get(NOT_GRADED):
        yield 0, f"It could not be judged for {item.states[NOT_GRADED]}: the grader's fault, grade again."
    right, wrong = item.nearly or (0, 0)
    if right or wrong:
        yield 2, f"Its tolerance is nearly missed: {right} passed beyond half of it, {wrong} failed within twice."
    if item.judged >= FEW and not failed:
        yield 3, "Its points are never lost: it tells nobody apart."


def _lulled(each: Sides) -> str:
    return (
        f"{each.lulled} of the {each.passed_public} who pass all its public checks fail a hidden one: students cannot see "
        "that from their own checks."
    )
