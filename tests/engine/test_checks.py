"""What checks are written with: what `same` accepts and refuses, and what it tells the student."""

import math

import numpy as np
import pytest

from autograder.course.checks import check, measured_distances, require, same, show
from autograder.errors import Mismatch
from autograder.sandboxed.recording import Error, Other, Tensor

nan = math.nan


def floats(*values: float, dtype: str = "torch.float32", kind: str = "tensor") -> Tensor:
    return Tensor(np.array(values, float), dtype, kind=kind)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (1, 1),
        ("a", "a"),
        (None, None),
        (1.0 + 5e-7, 1.0),
        (1000.0005, 1000.0),
        (nan, nan),
        (math.inf, math.inf),
        ([1, 2.0], [1, 2.0]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (floats(1, nan), floats(1, nan)),
        (floats(1.0000001), floats(1)),
        ((), ()),
        (Error("E", "m"), Error("E", "m")),
    ],
)
def test_same_accepts(found, expected):
    same(found, expected, "it", within=1e-6)


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (2, 1, "it: expected 1, found 2."),
        (True, 1, "it: expected 1, found True."),
        (1.0, 1, "it: expected 1, found 1."),
        (1, 1.0, "it: expected the Python float 1, found 1."),
        (floats(1.0), 1.0, "it: expected the Python float 1, found tensor 1 torch.float32 [1.0]."),
        ("1", 1.0, "it: expected the Python float 1, found 1."),
        (1.1, 1.0, "it: expected 1, found 1.1."),
        (nan, 1.0, "it: expected 1, found nan."),
        (1.0, nan, "it: expected nan, found 1."),
        (math.inf, 1.0, "it: expected 1, found inf."),
        ((1,), [1], "it: expected a list of 1, found (1)."),
        ([1, 2], [1], "it: expected 1 entries, found 2: [1, 2]."),
        ([1, 3], [1, 2], "it[1]: expected 2, found 3."),
        ([1], {"a": 1}, "it: expected a dict with the keys ['a'], found [1]."),
        ({"a": 1, "b": 2}, {"a": 1}, "it: expected the keys ['a'], found ['a', 'b']."),
        ({"a": [3]}, {"a": [1]}, "it['a'][0]: expected 1, found 3."),
        (1.0, floats(1), "it: expected a torch.Tensor of shape (1,), found 1."),
        (floats(1, kind="ndarray"), floats(1), "it: expected a torch.Tensor of shape (1,), found ndarray 1"),
        (floats(1), floats(1, kind="ndarray"), "it: expected a numpy array of shape (1,), found tensor 1"),
        (floats(1, 2), floats(1), "it: expected shape (1,), found shape (2,)."),
        (floats(1), floats(1, dtype="torch.int64"), "it: expected dtype torch.int64, found dtype torch.float32."),
        (floats(1, nan), floats(1, 2), "it: expected [1, 2], found [1, nan]."),
        (floats(*range(7), nan), floats(*[2] * 8), "it: expected 2 in all 8 places, found values from 0 to 6 with mean 3, "),
        (floats(*[nan] * 9), floats(*[2] * 9), "it: expected 2 in all 9 places, found 9 of 9 values not finite"),
        (floats(*[0] * 8, 1e-3), floats(*[0] * 7, 1e-3, 0), "it: expected 0.001 at [7], found 0 at [7]"),
        (floats(*range(9)), floats(*[2] * 9), "it: expected 2 in all 9 places, found values from 0 to 8"),
        (Other("set", "{1}"), 1, "it: expected 1, found a set ({1})."),
        (None, 1.0, "it: expected the Python float 1, found None."),
    ],
)
def test_same_refuses_with_the_place_and_both_values(found, expected, message):
    with pytest.raises(Mismatch) as error:
        same(found, expected, "it", within=1e-6, look="Look there.")
    assert str(error.value).startswith(message) and str(error.value).endswith("Look there.")
    assert (error.value.look, error.value.what.startswith("it")) == ("Look there.", True)


def test_an_exception_in_place_of_a_value_is_told_without_advice():
    with pytest.raises(Mismatch, match=r"^it: expected 1, found that it raised ValueError: no\.$"):
        same(Error("ValueError", "no"), 1, "it", look="Look there.")


def test_the_tolerance_is_relative_to_large_and_absolute_near_small():
    same(1e6 + 1.0, 1e6, "it", within=1e-6)
    same(5e-7, 0.0, "it", within=1e-6)
    with pytest.raises(Mismatch):
        same(1e6 + 3.0, 1e6, "it", within=1e-6)
    with pytest.raises(Mismatch):
        same(1.0 + 1e-15, 1.0, "it", within=0.0)


def test_distances_are_measured_in_tolerances():
    with measured_distances() as distances:
        same([1.0, 3.0], [1.0, 3.0], "it", within=0.0)
        same(1.5, 1.0, "it", within=0.5)
        with pytest.raises(Mismatch):
            same(2.0, 1.0, "it", within=0.0)
    assert distances == [0.0, 0.0, 0.5, math.inf]
    with measured_distances() as later:
        pass
    assert later == []


def test_require_says_what_came():
    require(True, "it", "more", 1)
    with pytest.raises(Mismatch, match=r"^it: expected more, found \[1\.5\]\. See the slides\.$") as error:
        require(False, "it", "more", [1.5], "See the slides.")
    assert (error.value.expected, error.value.found) == ("more", "[1.5]")


def test_check_takes_its_title():
    def test_something(observed, expected):
        """The title.

        More.
        """

    marked = check("f", points=2)(test_something).__check__
    assert (marked.name, marked.function, marked.points, marked.title) == ("test_something", "f", 2, "The title.")


def test_a_check_without_a_title_is_refused():
    with pytest.raises(ValueError, match="test_untold needs a docstring"):

        @check("f", points=1)
        def test_untold(observed, expected):
            pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456789, "0.123457"),
        (["a", 1.0], "['a', 1]"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …]"),
        ("x" * 400, "x" * 299 + "…"),
        (floats(1, 2), "tensor 2 torch.float32 [1.0, 2.0]"),
    ],
)
def test_values_are_shown_short(value, text):
    assert show(value) == text
