"""Recordings: every type comes back as it was, bounds hold, and no bytes do more than be Malformed."""

import json
import math
import random

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import tv_tensors

from autograder.course.checks import distance
from autograder.errors import Malformed
from autograder.grading.diagnose import agree, leaves
from autograder.sandboxed.probing import attempt
from autograder.sandboxed.recording import (
    MAX_DEPTH,
    MAX_ITEMS,
    Bounds,
    Error,
    Other,
    Tensor,
    Timing,
    decode,
    encode,
    know_torch,
)

know_torch()  # as a worker does


class Three(int):
    """Claims to equal everything."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Loud(str):
    def __str__(self):
        return "forged"


class Half(float):
    def __float__(self):
        return 1.0


class Items(list):
    def __iter__(self):
        return iter(["forged"])


class Pair(tuple):
    def __iter__(self):
        return iter(["forged"])


class Table(dict):
    def items(self):
        return [("forged", True)]


class Lying(torch.Tensor):
    """Says of itself, in every way in which it can be asked, what it is not."""

    dtype, device, requires_grad, layout = "torch.int64", torch.device("meta"), True, None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.ones(5)

    def detach(self):
        return torch.ones(5)

    cpu = numpy = tolist = __array__ = untyped_storage = float = detach


class Lazy(torch.Tensor):
    """Has no memory: its own class answers for all that torch does with it."""

    @staticmethod
    def __new__(cls):
        return torch.Tensor._make_wrapper_subclass(cls, (3,), dtype=torch.float32)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return torch.ones(5)


class Array(np.ndarray):
    dtype = property(lambda self: np.dtype("int64"))

    def __array__(self, *args, **kwargs):
        return np.ones(5)


class Float:
    @property
    def __class__(self):
        return float


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr")


PLAIN = [
    None,
    True,
    False,
    0,
    -(2**70),
    0.1,
    -0.0,
    math.inf,
    "",
    "ü\n\0\ud800",
    [],
    (),
    {},
    [1, (2.0, "x"), None],
    {"a": {1: [True]}, (1, "b"): 2.5, None: 3, 0.5: 4},
    Error("ValueError", "no", "cell 3, line 1: x"),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_come_back_with_their_types(value):
    back = decode(encode(value))
    assert back == value and repr(back) == repr(value)
    assert encode(back) == encode(value)


def test_a_timing_comes_back_as_a_timing():
    assert type(decode(encode(Timing(1.5)))) is Timing


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        *((Three(3), 3), (Loud("said"), "said"), (Half(0.5), 0.5), (torch.Size([2, 3]), (2, 3))),
        *((Items([1, "a"]), [1, "a"]), (Pair([1, 2]), (1, 2)), (Table(a=1), {"a": 1})),
    ],
)
def test_subclasses_are_recorded_by_their_value_alone(value, plain):
    back = decode(encode(value))
    assert type(back) is type(plain) and back == plain


def test_a_tensor_is_recorded_by_its_memory_whatever_its_class_says():
    plain = decode(encode(torch.arange(3.0)))
    assert repr(decode(encode(torch.arange(3.0).as_subclass(Lying)))) == repr(plain)
    assert repr(decode(encode(tv_tensors.Image(torch.zeros(1, 2, 2))))) == repr(decode(encode(torch.zeros(1, 2, 2))))
    assert repr(decode(encode(np.arange(3.0).view(Array)))) == repr(decode(encode(np.arange(3.0))))


@pytest.mark.parametrize("mode", [TorchFunctionMode, TorchDispatchMode])
def test_a_mode_that_was_left_on_is_not_asked(mode):
    def lie(self, func, types, args=(), kwargs=None):
        return torch.ones(5)

    tensor = torch.arange(3.0)
    kind = type("Mode", (mode,), {"__torch_function__": lie, "__torch_dispatch__": lie})
    with kind():
        blob = encode(tensor)
    assert decode(blob).array.tolist() == [0, 1, 2]


@pytest.mark.parametrize("value", [Lazy(), Float()], ids=["Lazy", "Float"])
def test_what_only_claims_to_be_a_value_is_another(value):
    assert type(decode(encode(value))) is Other


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_come_back_with_their_dtype(dtype, shape):
    tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    back = decode(encode({"t": tensor}))["t"]
    assert (back.dtype, back.shape, back.device, back.kind) == (str(dtype), shape, "cpu", "tensor")
    assert back.array.tolist() == tensor.tolist() and not back.requires_grad
    assert agree(decode(encode(back)), back)


def test_gradients_strides_and_numpy_arrays():
    parameter = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    assert decode(encode(parameter)).requires_grad
    assert decode(encode(parameter.T)).array.tolist() == parameter.T.tolist()
    array = decode(encode(np.arange(4, dtype=np.int16)[::-1]))
    assert (array.kind, array.dtype, array.array.tolist()) == ("ndarray", "int16", [3, 2, 1, 0])
    number = decode(encode(np.float32(0.5)))
    assert (number.kind, number.array.tolist(), repr(number)) == ("ndarray", 0.5, "numpy.float32 0.5")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (torch.device("cpu"), "torch.device"),
        (torch.float16, "torch.dtype"),
        (np.datetime64(1, "D"), "numpy.datetime64"),
        (1j, "complex"),
        (b"x", "bytes"),
        ({1}, "set"),
        (torch.tensor([1j]), "torch.Tensor (torch.strided, torch.complex64)"),
        (np.array(["a"]), "numpy.ndarray"),
        (Broken(), f"{__name__}.Broken"),
    ],
)
def test_other_types_come_as_their_name(value, name):
    assert decode(encode(value)) == Other(name)


def test_an_address_is_not_recorded():
    assert "0x…" in decode(encode(object())).text


def test_attempt_gives_the_exception_as_text():
    back = decode(encode(attempt(lambda: [][1])))
    assert back == Error("IndexError", "list index out of range")


# --- bounds -----------------------------------------------------------------------------------------------------------


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_items_and_bytes_are_bounded():
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="deeper than 16"):
        encode(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="items"):
        encode([0] * (MAX_ITEMS + 1))
    with pytest.raises(ValueError, match="bytes"):
        encode(np.zeros(1000), max_bytes=4000)
    with pytest.raises(Malformed, match="more than"):
        decode(encode([1] * 100), max_bytes=100)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([list(range(10))] * 10, "values"),
        ({"k" * 1000: list(range(20))}, "values"),
        (dict.fromkeys(range(10)), "keys that are no text"),
        (["x" * 100] * 20, "bytes of text"),
        (np.zeros(1000), "bytes"),
    ],
    ids=["lists", "below long keys", "keys", "text", "arrays"],
)
def test_what_a_recording_costs_is_bounded_all_together(value, what):
    bounds = Bounds(bytes=6000, text=1500, values=100, keys=5)
    with pytest.raises(Malformed, match=f"more {what}"):
        decode(encode(value), bounds=bounds)
    assert bounds.exceeded


def test_several_recordings_share_their_bounds():
    bounds = Bounds(values=25)
    for _ in range(2):
        decode(encode(list(range(10))), bounds=bounds)
    assert not bounds.exceeded
    with pytest.raises(Malformed):
        decode(encode(list(range(10))), bounds=bounds)
    assert bounds.exceeded and decode(encode([1]), bounds=bounds) == [1]  # what is too much takes nothing from the others
    with pytest.raises(ValueError, match="more values than are recorded"):
        encode([list(range(19_000))] * 11)


def test_an_endless_value_ends():
    endless: list = []
    endless.append(endless)
    with pytest.raises(ValueError, match="deeper"):
        encode(endless)


def test_long_text_is_cut():
    assert len(decode(encode("x" * 10**6))) == 20_000


# --- malformed bytes --------------------------------------------------------------------------------------------------


def blob(tree: object) -> bytes:
    return save({"0": np.zeros(2)}, metadata={"tree": tree if isinstance(tree, str) else json.dumps(tree)})


TREES = [
    "",
    "{",
    "[" * 100_000,
    {},
    [],
    [1],
    {"list": 1},
    {"list": None},
    {"dict": [[1]]},
    {"dict": [[1, 2, 3]]},
    {"tensor": "1", "dtype": "x", "device": "cpu", "grad": False},
    {"tensor": "0"},
    {"tensor": []},
    {"ndarray": "0"},
    {"error": []},
    {"error": [1, 2, 3, 4]},
    {"timing": None},
    {"timing": "x"},
    {"other": 3},
    {"pickle": "x"},
    json.dumps({"list": []}).replace("[]", '[{"list": ' * 20 + "[]" + "}]" * 20),
]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: repr(tree)[:40])
def test_a_forged_tree_is_malformed(tree):
    with pytest.raises(Malformed):
        decode(blob(tree))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff" * 8,
        b"\xff" * 100,
        bytes(8),
        b"\2" + bytes(7) + b"{}",
        b"\2" + bytes(7) + b"[]",
        save({"0": np.zeros(2)}),
        b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    ],
    ids=repr,
)
def test_other_bytes_are_malformed(data):
    with pytest.raises(Malformed):
        decode(data)


def test_damaged_bytes_are_read_or_malformed():
    """Flips, cuts, insertions and doublings at places drawn from a seed; nothing but Malformed may come out."""
    whole = encode({"a": [1, 2.5, "text", None], "t": torch.arange(5.0), "e": Error("E", "m"), "n": np.ones((2, 2))})
    draw = random.Random(1)
    malformed = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(data))
            action = draw.randrange(4)
            if action == 0:
                data[place] = draw.randrange(256)
            elif action == 1:
                del data[place : place + draw.randint(1, 40)]
            elif action == 2:
                data[place:place] = data[place : place + draw.randint(1, 40)]
            else:
                data[draw.randrange(8)] = draw.randrange(256)
            data = data or bytearray(b"\0")
        try:
            decode(bytes(data))
        except Malformed:
            malformed += 1
    assert malformed > 1000  # the damage does reach the parser


# --- comparing --------------------------------------------------------------------------------------------------------

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("found", "expected", "gap"),
    [
        (1.0, 1.0, 0.0),
        (3.0, 1.0, 1.0),
        (nan, nan, 0.0),
        (nan, 1.0, inf),
        (1.0, nan, inf),
        (inf, inf, 0.0),
        (-inf, inf, inf),
        (1.0, inf, inf),
        (inf, 1.0, inf),
        (np.array([1.0, nan, inf]), np.array([1.0, nan, inf]), 0.0),
        (np.array([1.0, nan]), np.array([nan, 1.0]), inf),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0.0),
        (np.array([True]), np.array([False]), 1.0),
    ],
)
def test_distance(found, expected, gap):
    assert distance(found, expected) == gap


def tensor(values: list, dtype: str = "torch.float32", **about) -> Tensor:
    return Tensor(np.array(values), dtype, **about)


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (1.0, 1.0 + 1e-6, True),
        (1.0, 1.001, False),
        (nan, nan, True),
        (nan, 0.0, False),
        (inf, inf, True),
        ("a", "a", True),
        (None, None, True),
        (Timing(1.0), Timing(1.02), True),
        (Timing(1.0), Timing(1.06), False),
        (Timing(1.0), 1.0, False),
        (tensor([1.0]), tensor([1.0]), True),
        (tensor([nan]), tensor([nan]), True),
        (tensor([1.0]), tensor([1.1]), False),
        (tensor([1.0]), tensor([[1.0]]), False),
        (tensor([1.0]), tensor([1.0], "torch.float64"), False),
        (tensor([1.0]), tensor([1.0], device="accelerator"), False),
        (tensor([1.0]), tensor([1.0], requires_grad=True), False),
        (tensor([1.0]), tensor([1.0], kind="ndarray"), False),
        (Error("E", "at 0x12", "cell 1"), Error("E", "at 0xff", "cell 2"), True),
        (Error("E", "12"), Error("E", "13"), False),
        (Error("E", "m"), Error("F", "m"), False),
        (Other("set", "{1}"), Other("set", "{2}"), True),
        (Other("set"), Other("list"), False),
    ],
)
def test_agree(left, right, alike):
    assert agree(left, right) is alike
    assert agree(right, left) is alike


def test_leaves_tell_types_and_sizes_apart():
    value = {"loss": [2.3, (1,)]}
    assert list(leaves(value)) == [
        (" keys", ("'loss'",)),
        ("['loss'] length", ("list", 2)),
        ("['loss'][0]", 2.3),
        ("['loss'][1] length", ("tuple", 1)),
        ("['loss'][1][0]", 1),
    ]
