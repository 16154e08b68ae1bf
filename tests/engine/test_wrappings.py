"""A right value in a wrong wrapping costs once: what is undone, what is not, and which check charges for it."""

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_walls

from autograder.course.checks import check, same, wrapping
from autograder.course.course import Course
from autograder.grading.grader import Grader
from autograder.grading.judge import FAILED, PASSED, judge
from autograder.grading.recordings import Observation, Recording
from autograder.grading.wrappings import unwrapped
from autograder.sandboxed.recording import Error, Other, Tensor


def tensor(*values: float, dtype: str = "torch.float32", kind: str = "tensor", shape: tuple[int, ...] | None = None) -> Tensor:
    array = np.array(values, dtype.removeprefix("torch."))
    return Tensor(array.reshape(array.shape if shape is None else shape), dtype, kind=kind)


CPU = Other("torch.device", "cpu")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (tensor(7, dtype="int64", kind="ndarray", shape=()), 7),
        (tensor(7, dtype="torch.int64", shape=()), 7),
        (tensor(7, shape=(1,)), 7),
        (7.0, 7),
        ((7,), 7),
        ([tensor(7, dtype="torch.int64", shape=())], 7),
        (tensor(0.5, shape=()), 0.5),
        (1, 1.0),
        ((0.5,), 0.5),
        ([0.5, 1], (0.5, 1.0)),
        ((tensor(0.5, shape=()), tensor(0.25, shape=())), (0.5, 0.25)),
        (tensor(0.5, 0.25), (0.5, 0.25)),
        ([[2, 3], [4]], [(2, 3), (4,)]),
        (tensor(1, 2, dtype="float32", kind="ndarray"), tensor(1, 2)),
        (tensor(1, 2, dtype="float64", kind="ndarray"), tensor(1, 2)),
        (tensor(1, 2, dtype="torch.float64"), tensor(1, 2)),
        ([[1.0, 2.0]], tensor(1, 2, shape=(1, 2))),
        (tensor(1, 2, shape=(1, 2)), tensor(1, 2)),
        ("cpu", CPU),
        ({"a": (tensor(3, dtype="int64", kind="ndarray", shape=()),)}, {"a": 3}),
    ],
)
def test_what_is_inside_is_right(found, expected):
    same(unwrapped(found, expected), expected, "it")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (tensor(8, dtype="int64", kind="ndarray", shape=()), 7),
        (7.25, 7),
        (math.nan, 7),
        (math.inf, 7),
        (True, 1),
        (tensor(1, dtype="bool", kind="ndarray", shape=()), 1),
        ("7", 7),
        (None, 7),
        ([7, 7], 7),
        (10**400, 7.0),
        (10**400, tensor(7, shape=())),
        (1, True),
        (["a"], "a"),
        ([0.5], (0.5, 0.25)),
        ([0.5, 0.26], (0.5, 0.25)),
        (tensor(1, 2, dtype="torch.uint8"), tensor(1, 2)),
        (tensor(1, 2, dtype="torch.float16"), tensor(1, 2)),
        (tensor(1, 2), tensor(1, 2, shape=(1, 2))),
        ([[1.0], [1.0, 2.0]], tensor(1, 2)),
        (["1", "2"], tensor(1, 2)),
        ("gpu", CPU),
        ({"b": 3}, {"a": 3}),
        (Error("KeyError", "'x'"), 7),
        (7, Error("KeyError", "'x'")),
    ],
)
def test_no_wrong_value_becomes_right(found, expected):
    with pytest.raises(AssertionError):
        same(unwrapped(found, expected), expected, "it")


def test_what_is_in_no_wrapping_stays_as_it_is():
    for value in (3, 0.5, "a", None, True, (1, [2.0]), {"a": tensor(1)}, CPU, Error("E", "m")):
        assert unwrapped(value, value) == value


# --- who charges for it ------------------------------------------------------------------------------------------------


@check("f", points=1)
def test_small(observed, expected):
    """Small numbers."""
    same(observed.small, expected.small, "f of a small number")


@check("f", points=1)
def test_large(observed, expected):
    """Large numbers."""
    same(observed.large, expected.large, "f of a large number")


@check("g", points=1)
def test_other(observed, expected):
    """Another function."""
    same(observed.other, expected.other, "g")


@wrapping("f")
def in_percent(found, expected):
    """Percents."""
    return found / 100 if isinstance(found, float) and found == 100 * expected else found


CHECKS = [test.__check__ for test in (test_small, test_large, test_other)]  # type: ignore[attr-defined]
for one in (test_small, test_large, test_other):
    one.__test__ = False  # they are checks, no tests of this file
RIGHT = {"small": 0.5, "large": 0.75, "other": 2}


def states(**answers: object) -> list[str]:
    def recording(values: dict) -> dict[bool, Recording]:
        said = {name: Observation("returned", value) for name, value in values.items()}
        return {public: Recording(said) for public in {one.public for one in CHECKS}}

    return [j.verdict.state for j in judge(CHECKS, recording(RIGHT | answers), recording(RIGHT))]


def number(value: float) -> Tensor:
    return tensor(value, shape=())


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({}, (PASSED, PASSED, PASSED)),
        ({"small": number(0.5), "large": number(0.75)}, (FAILED, PASSED, PASSED)),
        ({"small": 50.0, "large": 75.0}, (FAILED, PASSED, PASSED)),
        ({"small": number(0.5), "large": number(0.7)}, (FAILED, FAILED, PASSED)),
        ({"small": number(0.4), "large": number(0.75)}, (FAILED, PASSED, PASSED)),
        ({"small": 0.4, "large": number(0.75)}, (FAILED, FAILED, PASSED)),  # two errors, two checks
        ({"large": number(0.75)}, (PASSED, FAILED, PASSED)),  # never free
        ({"large": 75.0}, (PASSED, FAILED, PASSED)),
        ({"small": number(0.5), "large": number(0.75), "other": number(2)}, (FAILED, PASSED, FAILED)),  # by function
        ({"other": 200}, (PASSED, PASSED, FAILED)),  # what is undone for `f` alone
        ({"small": "0.5", "large": "0.75"}, (FAILED, FAILED, PASSED)),
    ],
)
def test_a_wrapping_is_charged_once_and_never_free(answers, wanted):
    assert tuple(states(**answers)) == wanted


def test_the_one_that_charges_says_what_to_return():
    observed = {one.public: Recording({n: Observation("returned", number(v)) for n, v in RIGHT.items()}) for one in CHECKS}
    expected = {one.public: Recording({n: Observation("returned", v) for n, v in RIGHT.items()}) for one in CHECKS}
    first, second, _ = (j.verdict for j in judge(CHECKS, observed, expected))
    assert "expected the Python float 0.5, found tensor scalar" in first.message and not second.message


# Mistakes of the first module that are a wrapping and nothing else: each loses one check.
WRAPPINGS = (
    "gives_double_precision",
    "gives_an_array_of_numpy",
    "counts_into_a_tensor",
    "counts_with_numpy_integers",
    "forgets_to_return_the_network",
    "turns_weights_into_lists",
    "gives_a_numpy_array",
    "names_the_device",
    "gives_the_training_accuracy_in_percent",
    "returns_numbers_of_numpy",
    "returns_the_test_loss_as_a_tensor",
    "keeps_figures_as_tensors",
    "keeps_accuracies_in_percent",
    "returns_figure_and_axes",
)


@needs_walls
@pytest.mark.long
def test_a_wrapping_costs_one_check_in_every_function_of_week_8():
    module = Course(Path(__file__).resolve().parents[2]).module("week08_densenet")
    with Grader(module, 7, workers=1) as grader:
        entries = {entry.name: entry for entry in grader.contents.mistakes}
        for name in WRAPPINGS:
            entry = entries[name]
            graded = grader.grade(grader.contents.code(entry), entry.of, hints=False)
            lost = [verdict.check for verdict in graded.verdicts if verdict.state != PASSED]
            assert len(lost) == 1 and lost[0] in entry.caught_by, name
