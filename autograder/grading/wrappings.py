"""A right value in a wrong wrapping costs once: the judge looks inside, at what the function computed.

`unwrapped` undoes only what changes no value: a number of numpy or torch for a Python number, a list for a tuple, an array
for a tensor, a text for a device, one thing in a list of its own. What a module knows besides, its check file says with
`wrapping`. Whether what is inside is right, the checks themselves decide.
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from autograder.course.checks import Check
from autograder.grading.recordings import Observed, Recording
from autograder.sandboxed.recording import Other, Tensor

Undo = Callable[[Any, Any], Any]

EXACT = 2**53  # whole numbers below it a float holds as they are
DEVICE = re.compile(r"(cpu|cuda|mps)(:\d+)?")


class Inside(Observed):
    """A recording as checks see it, with every answer in the expected one's wrapping where that is all that differs."""

    def __init__(self, recording: Recording, expected: Recording, undo: Iterable[Undo]):
        super().__init__(recording)
        self._expected, self._undo = expected, tuple(undo)

    def __getattr__(self, probe: str) -> Any:
        found = super().__getattr__(probe)
        wanted = self._expected.observations[probe]
        return unwrapped(found, wanted.value, self._undo) if wanted.state == "returned" else found


def inside(recording: Recording, expected: Recording, undo: Iterable[Undo]) -> Recording:
    """A recording with every answer in the expected one's wrapping, as far as it is known."""
    undo, seen = tuple(undo), {}
    for name, observation in recording.observations.items():
        wanted = expected.observations.get(name)
        if wanted and wanted.state == observation.state == "returned":
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):  # of a form nobody thought of
                seen[name] = replace(observation, value=unwrapped(observation.value, wanted.value, undo))
    return replace(recording, observations={**recording.observations, **seen})


def undone_for(checks: Iterable[Check]) -> dict[str, list[Undo]]:
    """What the check files know to undo, by function; see `wrapping`."""
    files = {id(check.test.__globals__): check.test.__globals__ for check in checks}
    marked = {id(f): f for names in files.values() for f in names.values() if hasattr(f, "__wrapping__")}
    found: dict[str, list[Undo]] = {}
    for undo in marked.values():
        for function in undo.__wrapping__:
            found.setdefault(function, []).append(undo)
    return found


def unwrapped(found: Any, expected: Any, undo: Iterable[Undo] = ()) -> Any:
    """`found` with the wrappings undone that `expected` does not have, at every depth; where there are none, `found`."""
    found = _undone(_as_kind(found, expected), expected, undo)
    if isinstance(expected, dict) and isinstance(found, dict):
        return {key: unwrapped(item, expected[key], undo) if key in expected else item for key, item in found.items()}
    if isinstance(expected, (list, tuple)) and type(found) is type(expected) and len(found) == len(expected):
        return type(expected)(unwrapped(*pair, undo) for pair in zip(found, expected, strict=True))
    return found


def _undone(found: Any, expected: Any, undo: Iterable[Undo]) -> Any:
    for one in undo:
        found = one(found, expected)
    return found


def _as_kind(found: Any, expected: Any) -> Any:
    """`found` as a value of `expected`'s kind, where it holds such a value; else `found`."""
    for kind, to_kind in _TO_KIND.items():
        if type(expected) is kind:
            return _from_one(found, expected) if (inside := to_kind(found, expected)) is None else inside
    return found


def _from_one(found: Any, expected: Any) -> Any:
    """The only item of a list or a tuple, if it is of `expected`'s kind."""
    if isinstance(found, (list, tuple)) and len(found) == 1 and not isinstance(expected, (list, tuple)):
        inside = _as_kind(found[0], expected)
        return inside if type(inside) is type(expected) else found
    return found


def _number(found: Any) -> int | float | None:
    """The number that `found` is or holds alone; booleans are none."""
    if isinstance(found, Tensor) and found.array.size == 1 and found.array.dtype.kind in "iuf":
        found = found.array.reshape(-1)[0].item()
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def _to_int(found: Any, expected: int) -> int | None:
    number = _number(found)
    whole = number is not None and abs(number) < EXACT and number == int(number)
    return int(number) if whole and number is not None else None


def _to_float(found: Any, expected: float) -> float | None:
    if isinstance(found, float):
        return found
    number = _number(found)
    return float(number) if number is not None and (isinstance(number, float) or abs(number) < EXACT) else None


def _to_list(found: Any, expected: list[Any] | tuple[Any, ...]) -> Any:
    if isinstance(found, Tensor) and found.array.ndim and len(found.array) == len(expected):
        found = found.array.tolist()
    return type(expected)(found) if isinstance(found, (list, tuple)) else None


def _to_tensor(found: Any, expected: Tensor) -> Tensor | None:
    if isinstance(found, (list, tuple, int, float)) and not isinstance(found, bool):
        array = _array_of(found)
        found = None if array is None else Tensor(array, str(array.dtype), kind="ndarray")
    if not isinstance(found, Tensor):
        return None
    array = found.array[0] if found.shape == (1, *expected.shape) else found.array
    name = found.dtype.removeprefix("torch.")
    if name == "float64" and expected.dtype.endswith("float32"):
        with np.errstate(all="ignore"):
            array, name = array.astype(np.float32), "float32"
    dtype = f"torch.{name}" if expected.kind == "tensor" else name
    return replace(found, array=array, dtype=dtype, kind=expected.kind)


def _array_of(found: Any) -> np.ndarray | None:
    """Numbers, in lists of one length at each depth, as an array."""
    try:
        array = np.array(found)
    except ValueError:
        return None
    return array if array.dtype.kind in "if" else None


def _to_device(found: Any, expected: Other) -> Other | None:
    is_name = expected.type == "torch.device" and isinstance(found, str) and DEVICE.fullmatch(found)
    return Other("torch.device", found) if is_name else None


def _as_it_is(found: Any, expected: dict[Any, Any]) -> dict[Any, Any] | None:
    return found if isinstance(found, dict) else None


_TO_KIND: dict[type, Callable[[Any, Any], Any]] = {
    int: _to_int,
    float: _to_float,
    list: _to_list,
    tuple: _to_list,
    Tensor: _to_tensor,
    Other: _to_device,
    dict: _as_it_is,
}
