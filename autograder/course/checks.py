"""What a check file is written with. Checks are pytest functions over recordings; no student code ever runs here.

    @check("count_parameters", points=2)
    def test_buffers_are_not_parameters(observed, expected):
        \"\"\"Counts what is trained, not everything that is saved.\"\"\"
        same(observed.totals["plain"], expected.totals["plain"], "count_parameters(net) of a small DenseNet",
             look="`net.parameters()` gives what the optimizer trains.")

The docstring is the title a student reads; `observed` is the submission's recording and `expected` the reference's.
"""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np

from autograder.errors import Mismatch
from autograder.sandboxed.recording import Error, Tensor

Marked = TypeVar("Marked", bound=Callable[..., Any])

# Two machines may compute the same float32 figure, or draw the same random number, this far apart: the expected values
# that students get were recorded elsewhere.
ANOTHER_MACHINE = 1e-6
HIDDEN_FILE = "test_hidden"  # of checks that students do not get


@dataclass(frozen=True)
class Check:
    """A pytest function worth `points`, about one function of the contract; `public` as the file says that has it."""

    name: str
    function: str
    points: float
    title: str
    test: Callable[[Any, Any], None]
    public: bool = True


def check(function: str, points: float | None = None) -> Callable[[Marked], Marked]:
    """Marks a pytest function as a check of the contract's `function`.

    Raises:
        ValueError: no function, no points or none that can be added up, no docstring; says what to write.
    """
    if not isinstance(function, str):
        raise ValueError(f'{_name(function)} needs the function it is about: write @check("function", points=1)')

    def mark(test: Any) -> Any:
        if points is None:
            raise ValueError(f'{test.__name__} needs points: write @check("{function}", points=1)')
        if problem := points_problem(points):
            raise ValueError(f"{test.__name__} has {problem}")
        title = (test.__doc__ or "").strip().splitlines()
        if not title:
            raise ValueError(f"{test.__name__} needs a docstring: its first line is the title a student reads")
        test.__check__ = Check(test.__name__, function, points, title[0], test)
        return test

    return mark


def points_problem(points: Any) -> str:
    """What is wrong with points that an author wrote, and the mend; empty when nothing is."""
    if isinstance(points, (int, float)) and not isinstance(points, bool) and math.isfinite(points) and points >= 0:
        return ""
    return f"points={points!r}: write a number, 0 or more"


def _name(value: Any) -> str:
    return str(getattr(value, "__name__", repr(value)))


@dataclass(frozen=True)
class Remark:
    """What a student is told, at no cost in points, when `holds(observed, expected)` is True.

    The text is fixed: nothing that a submission's process has set can be part of it.
    """

    function: str
    says: str
    holds: Callable[[Any, Any], bool]


def remark(function: str, says: str) -> Callable[[Marked], Marked]:
    """Marks a function of a check file as a remark on the contract's `function`: it returns whether the text is said."""

    def mark(holds: Any) -> Any:
        holds.__remark__ = Remark(function, says, holds)
        return holds

    return mark


def wrapping(*functions: str) -> Callable[[Marked], Marked]:
    """Marks a function of a check file that undoes a wrong wrapping of a right value, in the answers of these functions.

    It is called with each part of an answer and of the expected one, `(found, expected)`, and returns what is inside, or
    `found` where it knows of none. One check charges for a wrapping, the others look inside; see `judge`.
    """

    def mark(undo: Any) -> Any:
        undo.__wrapping__ = functions
        return undo

    return mark


# Distances measured by `same`, in units of its tolerance: below 1 passes. `verify` collects them to show how far right
# answers stay below the line and wrong ones above it.
_distances: ContextVar[list[float] | None] = ContextVar("distances", default=None)


@contextlib.contextmanager
def measured_distances() -> Iterator[list[float]]:
    """Collects, while the block runs, every distance that `same` measures, in units of its tolerance."""
    distances: list[float] = []
    token = _distances.set(distances)
    try:
        yield distances
    finally:
        _distances.reset(token)


def require(condition: bool, what: str, expected: str, found: Any, look: str = "") -> None:
    """Fails the check with a `Mismatch` unless `condition` holds."""
    if not condition:
        _fail(what, expected, found, look)


def wrong_signature(error: Error) -> str:
    """What is said of a function that could not even be called as the contract has it; empty of any other exception."""
    called = re.match(r"[\w.<>]+\(\) (takes|missing|got|has)\b", error.message)
    if error.type != "TypeError" or error.where or not called:
        return ""
    names = ", ".join(f"`{name}`" for name in re.findall(r"'(\w+)'", error.message))
    found = {
        "missing": f"it has a parameter too many, without a default: {names}",
        "got": f"its parameter {names} is missing, has another name or another place",
    }.get(called[1], "it has too few parameters")
    return f"a function with another first line than the notebook's: {found} ({error.message})"


def _fail(what: str, expected: str, found: Any, look: str) -> NoReturn:
    # where to look is said about wrong answers; an exception tells its own line
    raise Mismatch(what, expected, show(found), "" if isinstance(found, Error) else look)


def same(found: Any, expected: Any, what: str, *, within: float = ANOTHER_MACHINE, look: str = "") -> None:
    """Fails unless `found` is of `expected`'s type and structure, and every number within the tolerance.

    Args:
        within: the largest |found − expected| / (1 + |expected|) accepted, for floats and float tensors.
            Integers, strings and booleans must be equal. NaN is wrong unless `expected` is NaN.

    Raises:
        Mismatch: naming the first place that differs.
    """
    if isinstance(expected, dict):
        _same_dict(found, expected, what, within, look)
    elif isinstance(expected, (list, tuple)):
        kind = type(expected).__name__
        require(type(found) is type(expected), what, f"a {kind} of {len(expected)}", found, look)
        if len(found) != len(expected):
            _fail(what, f"{len(expected)} entries", f"{len(found)}: {show(found)}", look)
        for index, item in enumerate(expected):
            same(found[index], item, f"{what}[{index}]", within=within, look=look)
    elif isinstance(expected, Tensor):
        _same_tensor(found, expected, what, within, look)
    elif isinstance(expected, float):
        if not isinstance(found, float):
            _fail(what, f"the Python float {show(expected)}", found, look)
        _near(distance(found, expected), within, what, expected, found, look)
    elif type(found) is not type(expected) or found != expected:
        _fail(what, show(expected), found, look)


def equal(found: Any, expected: Any, what: str, *, within: float = ANOTHER_MACHINE, look: str = "") -> None:
    """Fails unless Python's `==` holds, as in `assert mean([1, 3]) == 2`, where 2.0 is right too, or `same` does."""
    try:
        if bool(found == expected):
            return
    except ValueError:  # arrays are compared number by number
        pass
    same(found, expected, what, within=within, look=look)


def _same_dict(found: Any, expected: dict[Any, Any], what: str, within: float, look: str) -> None:
    if not isinstance(found, dict):
        _fail(what, f"a dict with the keys {show(list(expected))}", found, look)
    if found.keys() != expected.keys():
        _fail(what, f"the keys {show(list(expected))}", list(found), look)
    for key, item in expected.items():
        same(found[key], item, f"{what}[{key!r}]", within=within, look=look)


def _same_tensor(found: Any, expected: Tensor, what: str, within: float, look: str) -> None:
    article = "a numpy array" if expected.kind == "ndarray" else "a torch.Tensor"
    is_tensor = isinstance(found, Tensor) and found.kind == expected.kind
    require(is_tensor, what, f"{article} of shape {expected.shape}", found, look)
    require(found.shape == expected.shape, what, f"shape {expected.shape}", f"shape {found.shape}", look)
    require(found.dtype == expected.dtype, what, f"dtype {expected.dtype}", f"dtype {found.dtype}", look)
    _near(distance(found.array, expected.array), within, what, expected.array, found.array, look)


def _near(gap: float, within: float, what: str, expected: Any, found: Any, look: str) -> None:
    distances = _distances.get()
    if distances is not None:
        distances.append(gap / within if within else (0.0 if gap == 0 else np.inf))
    if not gap <= within:
        wanted, got = _summary(expected), _summary(found)
        if wanted == got and np.size(expected) > 1:  # equal in words: then what differs most
            gaps = np.abs(np.subtract(found, expected, dtype=np.float64))
            place = np.unravel_index(int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps))), np.shape(expected))
            where = ", ".join(map(str, place))
            wanted, got = (f"{float(np.asarray(each)[place]):.9g} at [{where}]" for each in (expected, found))
        _fail(what, wanted, got, look)


def distance(found: float | np.ndarray, expected: float | np.ndarray) -> float:
    """The largest |found − expected| / (1 + |expected|); NaN equals only NaN, infinity only itself, else infinite."""
    if isinstance(found, float) and isinstance(expected, float):  # most leaves: numpy would take ten times as long
        if found == expected or (math.isnan(found) and math.isnan(expected)):
            return 0.0
        gap = abs(found - expected) / (1 + abs(expected))
        return math.inf if math.isnan(gap) else gap
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(found - expected) / (1 + np.abs(expected)))
    return float(np.where(np.isnan(gaps), np.inf, gaps).max(initial=0.0))


def _summary(number: float | np.ndarray) -> str:
    array = np.asarray(number)
    if array.size <= 6:
        return show(array.tolist())
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    odd = f"{values.size - finite.size} of {values.size} values not finite" if finite.size < values.size else ""
    if not finite.size:
        return odd
    told = f"values from {finite.min():.4g} to {finite.max():.4g} with mean {finite.mean():.5g}"
    if finite.min() == finite.max():
        told = f"{finite.min():.6g} in all {finite.size} places"
    return f"{told}, {odd}" if odd else told


def show(value: Any, limit: int = 300) -> str:
    """A value as a student reads it: short, floats to six figures."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, (list, tuple)):
        text = ", ".join(show(v, limit) if not isinstance(v, str) else repr(v) for v in value[:12])
        text += ", …" if len(value) > 12 else ""
        text = f"({text})" if isinstance(value, tuple) else f"[{text}]"
    elif isinstance(value, Error):
        text = wrong_signature(value) or f"that it raised {value!r}"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
