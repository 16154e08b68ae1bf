"""The public checks of `evaluate`, in every module that has it, and of the figures that it gives."""

from autograder.authoring import check, require, same, wrapping

# Right answers differ by up to 1e-7 (sums in float32 or float64, other devices), wrong ones by 1e-4 and more.
MEAN = 2e-5
# The figures that `fit` files are drawn: other figures than the right ones are 1e-2 away. Rounding them is all right.
FIGURE = 1e-4
WEIGHT = 1e-5


@wrapping("train_one_epoch", "evaluate")
def accuracy_in_percent(found, expected):
    """An accuracy of 100 times the right fraction."""
    if isinstance(expected, tuple) and list(map(type, expected)) == [float, float] and isinstance(found, tuple):
        return (found[0], *fractions(found[1:], expected[1:])) if len(found) == 2 else found
    return found


def fractions(found, expected):
    """Percents as fractions, if every one of them is 100 times the right one; else as they are."""
    floats = len(found) == len(expected) and all(isinstance(value, float) for value in found)
    percents = floats and all(abs(value - 100 * right) <= 100 * FIGURE for value, right in zip(found, expected, strict=True))
    return type(found)(value / 100 for value in found) if percents else found


def are_figures(found, what: str) -> None:
    """Requires a tuple of two Python floats."""
    look = "Return loss and accuracy together."
    require(isinstance(found, tuple) and len(found) == 2, what, "a tuple (loss, accuracy)", found, look)
    look = "A number of torch or numpy becomes a Python float by `.item()`, a whole number by a division."
    require(all(isinstance(value, float) for value in found), what, "two Python floats", found, look)


def same_figures(found, expected, what: str, look: str = "") -> None:
    """Requires the expected loss and accuracy."""
    are_figures(found, what)
    same(found[0], expected[0], f"{what}: the loss in nats per image", within=MEAN, look=look or
         "The loss of a batch is its mean; the mean over all images weighs each batch with its size.")  # fmt: skip
    same(found[1], expected[1], f"{what}: the accuracy as a fraction", within=MEAN, look=look or
         "Right answers divided by images: from 0 to 1.")  # fmt: skip


def same_weights(found: dict, expected: dict, what: str, look: str) -> None:
    """Requires the expected value of every weight and buffer."""
    same(found, expected, what, within=WEIGHT, look=look)


ELSEWHERE = "Where these are right on the CPU, look for what is left on the wrong device, or moved from the right one."


def is_done_elsewhere(seen: dict, right: dict, what: str) -> None:
    """Requires the right figures from an accelerator, and a network that is there still."""
    same_figures(seen["figures"], right["figures"], what, ELSEWHERE)
    require(all(seen["where"].values()), f"{what}: the network afterwards", "where it was", "elsewhere", ELSEWHERE)


@check("evaluate", points=1)
def test_figures_of_a_test_pass(observed, expected):
    """Loss and accuracy on the test images are means over the images."""
    look = "In evaluation mode batch norm takes its running statistics; the mean weighs each batch with its size."
    same_figures(observed.one_test_pass["figures"], expected.one_test_pass["figures"],
                 "evaluate, four images to a batch", look)  # fmt: skip


@check("evaluate", points=1)
def test_testing_teaches_nothing(observed, expected):
    """Testing changes nothing but the network's mode: a second pass gives the same figures."""
    seen, right = observed.one_test_pass, expected.one_test_pass
    are_figures(seen["figures"], "evaluate")
    same(seen["after"], right["before"], "weights and buffers after evaluate",
         look="No optimizer here; and batch norm updates its statistics whenever it is in training mode.")  # fmt: skip
    changes_only_the_mode(seen, right)
    are_figures(seen["again"], "evaluate, called again on the same images")
    for first, again, what in zip(seen["figures"], seen["again"], ("the loss", "the accuracy"), strict=True):
        same(again, first, f"evaluate, called again on the same images: {what}", within=MEAN,
             look="Sums begin at zero at each call, and nothing here is random.")  # fmt: skip


def callers_things_left(seen: dict, right: dict, function: str) -> None:
    """Requires the settings of the network's layers and of the criterion to be those of before."""
    same(seen["layers after"], right["layers before"], f"the network's layers and their settings after {function}",
         look="Momentum of batch norm and rate of dropout belong to the network.")  # fmt: skip
    require(seen["reduction after"] == "mean", f"criterion.reduction after {function}", "mean", seen["reduction after"],
            "The criterion is the caller's: whoever uses it next finds it changed.")  # fmt: skip


def changes_only_the_mode(seen: dict, right: dict) -> None:
    """Requires what is the caller's to be as before `evaluate`: layers, criterion, gradients, what is trained."""
    callers_things_left(seen, right, "evaluate")
    same(seen["trainable after"], right["trainable before"], "requires_grad of the parameters after evaluate")
    same(seen["gradients after"], right["gradients after"], "which parameters have gradients after evaluate",
         look="Nothing goes backward here.")  # fmt: skip
    require(seen["gradients allowed after"] is True, "gradients after evaluate", "allowed again", "switched off for good",
            "As a context (`with …:`) the switch goes back by itself.")  # fmt: skip


@check("evaluate", points=0.5)
def test_no_gradients_in_testing(observed, expected):
    """No gradients are kept while testing."""
    seen, count = observed.one_test_pass["passes"], expected.one_test_pass["images"]
    came = sum(one["images"] for one in seen)
    require(came == count, "evaluate", f"forward passes of {count} images through the network", f"of {came}")
    kept = sum(one["gradients"] for one in seen)
    require(kept == 0, "scores of the network inside evaluate", "scores without gradients",
            f"scores that require gradients in {kept} of {len(seen)} batches",
            "PyTorch has a context in which none are recorded; it saves memory and time.")  # fmt: skip


@check("evaluate", points=0.5)
def test_testing_elsewhere(observed, expected):
    """Images and labels go to the device, where the network is."""
    is_done_elsewhere(observed.one_test_pass_elsewhere, expected.one_test_pass_elsewhere, "evaluate on an accelerator")
