"""The hidden checks of `evaluate`. They never leave the grader; students read their titles only."""

from autograder.authoring import Error, check, remark, require, same

from .evaluate_test_public import are_figures, changes_only_the_mode, same_figures
from .seeds_test_hidden import random_state_left

ALL_AND_LIKELIEST = "All batches are gone through; and the answer is the likeliest class, however unlikely it is."


@check("evaluate", points=1)
def test_smaller_last_batch_weighs_less_in_testing(observed, expected):
    """The last, smaller batch weighs less in the test figures, and all batches are in them."""
    look = "The last batch is one image of all; neither the number of batches nor the batch size divides the sum rightly."
    same_figures(observed.two_test_passes["first"], expected.two_test_passes["first"],
                 "evaluate with a single image in its last batch", look)  # fmt: skip
    same_figures(observed.testing_by_many_batches, expected.testing_by_many_batches,
                 "evaluate with 205 batches of one image, and a network that is never sure", ALL_AND_LIKELIEST)  # fmt: skip


@check("evaluate", points=1)
def test_evaluation_mode(observed, expected):
    """In evaluation mode, and without gradients, at every batch."""
    seen, right = observed.two_test_passes["first passes"], expected.two_test_passes["first passes"]
    found = [one["images"] for one in seen]
    same(found, [one["images"] for one in right], "evaluate: images in each forward pass of the network",
         look="Every batch goes through the network.")  # fmt: skip
    modes = [not one["batch norm training"] and not one["dropout training"] for one in seen]
    require(all(modes), "evaluate for a network that was in training mode",
            "batch norm and dropout in evaluation mode at every batch", f"{sum(modes)} of {len(modes)} batches",
            "Dropout should drop nothing, batch norm use what it learnt.")  # fmt: skip
    kept = sum(one["gradients"] for one in seen)
    require(kept == 0, "scores inside evaluate", "no gradients", f"gradients at {kept} of {len(seen)} batches")


@check("evaluate", points=1)
def test_testing_changes_nothing(observed, expected):
    """Nothing but the mode is changed: weights, buffers, gradients, random state."""
    seen, right = observed.two_test_passes, expected.two_test_passes
    are_figures(seen["first"], "evaluate")
    same(seen["after"], right["before second"], "weights and buffers after evaluate", look="Testing must not teach.")
    changes_only_the_mode(seen, right)
    random_state_left(seen["random state"], "evaluate")


@check("evaluate", points=0.5)
def test_second_test_pass_begins_anew(observed, expected):
    """The figures of a second pass, over other images, are its own."""
    look = "Sums begin at zero at each call, and nothing here is random."
    same_figures(observed.two_test_passes["second"], expected.two_test_passes["second"],
                 "evaluate called again with other images", look)  # fmt: skip


@check("evaluate", points=1)
def test_testing_on_an_accelerator(observed, expected):
    """Tests on the device where the network is."""
    seen, right = observed.evaluate_on_accelerator, expected.evaluate_on_accelerator
    what = "evaluate on an accelerator"
    look = "Where these are right on the CPU, look for what is left on the wrong device, or moved from the right one."
    same_figures(seen["figures"], right["figures"], what, look)
    same(seen["devices"], right["devices"], f"{what}: devices of the weights afterwards", look=look)


OFTEN = (
    "On a GPU this loop waits more often than once a batch: each `.item()`, `.cpu()`, `float()` or `print` of a tensor "
    "stops Python until the GPU has caught up. Sums can stay tensors until the last batch."
)


@remark("evaluate", says=OFTEN)
def waits_in_testing(observed, expected):
    """How often the test loop waits for the accelerator."""
    return waits(observed.evaluate_on_accelerator)


def waits(seen: dict) -> bool:
    """Whether the loop waits more often than once a batch and, for the sums, twice at the end."""
    return not isinstance(seen["figures"], Error) and seen["synchronisations"] > seen["batches"] + 2
