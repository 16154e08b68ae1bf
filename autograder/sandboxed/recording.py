"""Recordings: what a submission's functions gave, as plain data.

A recording crosses from the process that ran a stranger's code to the one that judges it, so it is numbers, strings,
shapes, arrays and exceptions as text: no pickle, no objects, bounded in size. `encode` runs beside the student's code
and is not trusted; `decode` trusts nothing but the bytes' form and never imports torch.

An encoded value is one safetensors blob: the arrays, and in its metadata a JSON tree that refers to them. What decoding
it may cost, and whatever walks through it later, is bounded by `Bounds`.
"""

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from autograder.sandboxed.errors import Malformed

MAX_DEPTH = 16
MAX_ITEMS = 20_000
MAX_TEXT = 20_000
NUMBERS = {int, float, bool, type(None)}  # what JSON carries as it is
MAX_VALUE_BYTES = 16 * 2**20  # of what one probe gave; a whole answer's and a kept recording's limits are larger
torch: Any = None  # see `know_torch`
PATH_LETTERS = 100  # of the keys above a value, which whoever names its place writes out, cost as much as one more value


@dataclass(frozen=True)
class Tensor:
    """A tensor (or, with `kind="ndarray"`, a numpy array or number) as it was: values, exact dtype, device."""

    array: np.ndarray
    dtype: str
    device: str = "cpu"
    requires_grad: bool = False
    kind: str = "tensor"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "scalar"
        if self.kind == "ndarray" and self.shape == ():
            return f"numpy.{self.dtype} {self.array}"
        where = "" if self.device == "cpu" else f" on {self.device}"
        values = f" {self.array.tolist()}" if self.array.size <= 8 else ""
        return f"{self.kind} {shape} {self.dtype}{where}{values}"


@dataclass(frozen=True)
class Error:
    """An exception, as text: its type's name, its message, and where in the student's cells it was raised.

    `declared` says that the probe reckons with it: the reference may answer so.
    """

    type: str
    message: str
    where: str = ""
    declared: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return f"{self.type}: {self.message}" + (f" ({self.where})" if self.where else "")


@dataclass(frozen=True)
class Other:
    """A value of a type that recordings do not carry: the type's name and a short text."""

    type: str
    text: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"a {self.type}" + (f" ({self.text})" if self.text else "")


class Timing(float):
    """What running costs: seconds of wall time, or how often an accelerator is waited for. No answer, so compared loosely."""


@dataclass
class Bounds:
    """What recordings may cost together, far above what any module's reference needs.

    `decode` takes off what a value costs; one that costs more than is left takes nothing, and `exceeded` says so.

    Args:
        bytes: arrays and all.
        text: bytes of what is not arrays, which is parsed.
        values: numbers, texts, arrays and containers; below long keys each counts as more.
        keys: of dicts that are no text: those can be chosen so that finding one takes as long as looking at all.
    """

    bytes: int = 32 * 2**20
    text: int = 4 * 2**20
    values: int = 200_000
    keys: int = 1_000
    exceeded: bool = False

    def spend(self, what: str, amount: int) -> None:
        """Raises `Malformed` when there is less left of `what` than `amount`."""
        left = getattr(self, what) - amount
        if left < 0:
            self.exceeded = True
            raise Malformed(f"the result has {-left:,} more {_MEANT[what]} than are recorded")
        setattr(self, what, left)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Gives back what the block has spent when it fails."""
        before = self.bytes, self.text, self.values, self.keys
        try:
            yield
        except Malformed:
            self.bytes, self.text, self.values, self.keys = before
            raise


_MEANT = {"bytes": "bytes", "text": "bytes of text and structure", "values": "values", "keys": "keys that are no text"}


# --- encoding, beside the student's code ------------------------------------------------------------------------------


def know_torch() -> None:
    """Lets `encode` carry tensors, and `fresh_state` seed torch, which has been imported: in a worker, before the submission
    begins."""
    global torch
    torch = sys.modules.get("torch")



def encode(
    value: Any, max_bytes: int = MAX_VALUE_BYTES, max_depth: int = MAX_DEPTH, bounds: Bounds | None = None
) -> bytes:
    """`value` as bytes; what `decode` gave can be encoded again.

    Raises:
        ValueError: deeper than 16 levels, more than 20,000 items in a container, over `max_bytes`, or past one of
            `bounds`, which are those of one submission when none are given.
    """
    arrays: dict[str, np.ndarray] = {}
    bounds = bounds or Bounds()
    tree = json.dumps(_encode(value, arrays, max_depth, bounds))
    bounds.spend("text", len(tree))
    blob = save(arrays, metadata={"tree": tree})
    if len(blob) > max_bytes:
        raise ValueError(f"the result takes {len(blob):,} bytes; at most {max_bytes:,} are recorded")
    return blob


def _encode(value: Any, arrays: dict[str, np.ndarray], depth: int, bounds: Bounds) -> Any:
    """A value's node in the tree. What it is and holds Python and torch themselves say: a class of the submission's has no
    say in it, neither by `__class__` nor by a method."""
    if depth == 0:
        raise ValueError(f"the result is nested deeper than {MAX_DEPTH} levels")
    bounds.spend("values", 1)
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is Timing:
        return {"timing": float.__float__(value)}
    if issubclass(kind, int):
        return int.__index__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, str):
        return str.__str__(value)[:MAX_TEXT]
    if kind is Error:
        name = "declared error" if value.declared else "error"
        return {name: [value.type[:200], value.message[:MAX_TEXT], value.where[:500]]}
    if issubclass(kind, dict):
        pairs = _some(dict.items(value))
        bounds.spend("keys", sum(not issubclass(type(key), str) for key, _ in pairs))
        return {"dict": [[_encode(part, arrays, depth - 1, bounds) for part in pair] for pair in pairs]}
    if issubclass(kind, (list, tuple)):
        plain = list if issubclass(kind, list) else tuple
        items = _some(plain.__iter__(value))
        if set(map(type, items)) <= NUMBERS:
            bounds.spend("values", len(items))
            return {plain.__name__: items}
        return {plain.__name__: [_encode(item, arrays, depth - 1, bounds) for item in items]}
    if kind is Other:
        return {"other": [value.type, value.text]}
    return _encode_array(value, arrays) or {"other": [_type_name(value), _short(value)]}


def _some(items: Iterable[Any]) -> list[Any]:
    items = list(items)
    if len(items) > MAX_ITEMS:
        raise ValueError(f"the result has {len(items):,} items; at most {MAX_ITEMS:,} are recorded")
    return items


def _encode_array(value: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    kind = type(value)
    if kind is Tensor:
        about = {"dtype": value.dtype, "device": value.device, "grad": value.requires_grad}
        return {value.kind: _keep(value.array, arrays), **about}
    if torch is not None and issubclass(kind, torch.Tensor):
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            return _encode_tensor(value, arrays)
    if issubclass(kind, (np.ndarray, np.generic)):
        array = np.array(value, copy=True, order="C")
        return {"ndarray": _keep(array, arrays), "dtype": str(array.dtype)} if array.dtype.kind in "biuf" else None
    if torch is not None and kind in (torch.device, torch.dtype):
        return {"other": [_type_name(value), str(value)]}
    return None


def _encode_tensor(value: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A tensor by its memory: torchvision's images are of classes of their own, and so may be a submission's."""
    if type(value).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:  # there may be no memory behind it
        return {"other": [_type_name(value), ""]}
    grad = bool(torch.Tensor.requires_grad.__get__(value))
    plain = torch.Tensor.detach(value)
    about = {"dtype": str(plain.dtype), "device": plain.device.type, "grad": grad}
    plain = plain.cpu()
    if plain.dtype == torch.bfloat16:
        plain = plain.float()
    if plain.layout != torch.strided or plain.is_complex() or plain.is_quantized:
        return {"other": [f"{_type_name(value)} ({plain.layout}, {plain.dtype})", ""]}
    return {"tensor": _keep(plain.numpy(), arrays), **about}


def _keep(array: np.ndarray | np.generic, arrays: dict[str, np.ndarray]) -> str:
    key = str(len(arrays))
    arrays[key] = np.array(array, copy=True, order="C")
    return key


def _type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _short(value: Any) -> str:
    try:
        return re.sub(r"0x[0-9a-f]+", "0x…", repr(value))[:300]
    except Exception:  # a broken __repr__ is the student's, and no reason to lose the observation
        return ""


# --- decoding, where the judging is done ------------------------------------------------------------------------------


def decode(
    blob: bytes, max_bytes: int = MAX_VALUE_BYTES, max_depth: int = MAX_DEPTH, bounds: Bounds | None = None
) -> Any:
    """The value in `blob`; what that costs is taken off `bounds`.

    Raises:
        Malformed: too large, past a bound, not safetensors, no tree, or a tree that is not of `encode`'s form.
    """
    if len(blob) > max_bytes:
        raise Malformed(f"{len(blob):,} bytes, more than {max_bytes:,}")
    bounds = bounds or Bounds()
    with bounds.whole():
        return _decode(blob, max_depth, bounds)


def _decode(blob: bytes, max_depth: int, bounds: Bounds) -> Any:
    bounds.spend("bytes", len(blob))
    size = int.from_bytes(blob[:8], "little")
    bounds.spend("text", size if size < len(blob) else 0)  # else it is malformed, and no parser gets far
    try:
        arrays = load(blob)
        header = json.loads(blob[8 : 8 + size])
        return _Tree(arrays, bounds).value(json.loads(header["__metadata__"]["tree"]), max_depth)
    except Malformed:
        raise
    except Exception as error:  # whatever a forged blob provokes in the parsers means the same
        raise Malformed(f"{type(error).__name__}: {error}") from None


@dataclass
class _Tree:
    """Makes the values of one blob. `path` is how many letters the keys above a value have."""

    arrays: dict[str, np.ndarray]
    bounds: Bounds

    def value(self, node: Any, depth: int, path: int = 0) -> Any:
        if depth == 0:
            raise Malformed("nested too deeply")
        self._spend(1, path)
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        kind, body = next(iter(node.items()))
        if kind in ("list", "tuple", "dict") and len(body) > MAX_ITEMS:
            raise Malformed(f"{len(body):,} items, more than {MAX_ITEMS:,}")
        if kind in ("list", "tuple"):
            items = self._items(body, depth - 1, path)
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return dict(self._pair(key, item, depth - 1, path) for key, item in body)
        if kind == "tensor":
            # pop: an array that a forged tree refers to a thousand times would be copied as often
            return Tensor(self.arrays.pop(body), str(node["dtype"]), str(node["device"]), bool(node["grad"]))
        if kind == "ndarray":
            return Tensor(self.arrays.pop(body), str(node["dtype"]), kind="ndarray")
        if kind == "timing":
            return Timing(body)
        if kind in ("error", "declared error"):
            raised, message, where = map(str, body)
            return Error(raised, message, where, declared=kind != "error")
        if kind == "other":
            return Other(*map(str, body))
        raise Malformed(f"unknown kind {kind!r}")

    def _spend(self, values: int, path: int) -> None:
        self.bounds.spend("values", values * (1 + path // PATH_LETTERS))

    def _items(self, body: list[Any], depth: int, path: int) -> list[Any]:
        self._spend(sum(type(item) in NUMBERS for item in body), path)
        return [item if type(item) in NUMBERS else self.value(item, depth, path) for item in body]

    def _pair(self, node: Any, item: Any, depth: int, path: int) -> tuple[Any, Any]:
        key = self._key(node, depth)
        return key, self.value(item, depth, path + len(key if isinstance(key, str) else repr(key)))

    def _key(self, node: Any, depth: int) -> Any:
        if isinstance(node, str):  # nearly all are
            return node
        self.bounds.spend("keys", 1)
        key = self.value(node, depth)
        return key if isinstance(key, (str, int, float, bool, tuple, type(None))) else repr(key)
