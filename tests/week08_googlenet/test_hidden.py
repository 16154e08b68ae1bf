"""The hidden checks of week08_googlenet. They never leave the grader; students read their titles only."""


from autograder.authoring import check, remark, require, same

from .block_checks import (
    has_torchvisions_state,
    is_module,
    left_its_input,
    moved_its_statistics,
    same_gradients,
)
from .evaluate_test_hidden import *  # noqa: F403
from .evaluate_test_hidden import ALL_AND_LIKELIEST, OFTEN, waits
from .evaluate_test_public import ELSEWHERE, callers_things_left, same_figures, same_weights
from .seeds_test_hidden import random_state_left
from .test_public import (
    DIRECT,
    REDUCED,
    SHAPES,
    STEP,
    SUM,
    THREE,
    are_epoch_figures,
    are_fresh,
    are_heads,
    are_losses,
    are_tensors,
    block_named,
    fewer,
    is_price,
    judged,
    nothing_else,
    same_branches,
    same_epoch,
    same_gradients_of_heads,
    steps_right,
)

# --- one by one -------------------------------------------------------------------------------------------------------


@check("saved_by_bottleneck", points=1.5)
def test_direct_price_of_any_branch(observed, expected):
    """The direct convolution of any branch is counted exactly."""
    for name, right in expected.prices_of_many_branches.items():
        is_price(observed.prices_of_many_branches[name], right, 0, DIRECT)


@check("saved_by_bottleneck", points=1.5)
def test_reduced_price_of_any_branch(observed, expected):
    """Both convolutions of the reduced way are counted, for any branch."""
    for name, right in expected.prices_of_many_branches.items():
        is_price(observed.prices_of_many_branches[name], right, 1, REDUCED)


# --- block ------------------------------------------------------------------------------------------------------------


@check("InceptionBlock", points=1)
def test_blocks_of_any_width_have_torchvisions_names(observed, expected):
    """Names and shapes are torchvision's for any widths."""
    for name, right in expected.blocks_of_many_widths.items():
        seen = observed.blocks_of_many_widths[name]
        has_torchvisions_state(seen["block"], right["block"], block_named(right["widths"]), SHAPES)


@check("InceptionBlock", points=1.5)
def test_branches_of_any_width_are_torchvisions(observed, expected):
    """The four branches agree with torchvision's for any widths and sizes."""
    for name, right in expected.blocks_of_many_widths.items():
        seen, what = observed.blocks_of_many_widths[name], block_named(right["widths"])
        is_module(seen["block"], what)
        for found, wanted, x in zip(seen["outputs"], right["outputs"], right["inputs"], strict=True):
            same_branches(found, wanted, right["widths"], x, f"{what}(x) for x of shape {x.shape}")
            left_its_input(found, x, f"{what}(x) for x of shape {x.shape}")


@check("InceptionBlock", points=1)
def test_block_in_a_training(observed, expected):
    """Two training passes in a row and a test pass after them are torchvision's, with all gradients."""
    seen, right = observed.block_in_training, expected.block_in_training
    is_module(seen["block"], block_named(right["widths"]))
    for number, x in enumerate(right["inputs"]):
        what = f"{block_named(right['widths'])}(x), pass {number + 1}"
        same_branches(seen["passes"][number], right["passes"][number], right["widths"], x, what)
        moved_its_statistics(seen["passes"][number], right["passes"][number], what)
        same_gradients(seen["gradients"][number], right["gradients"][number], what)


@check("InceptionBlock", points=0.5)
def test_blocks_are_alike_every_time(observed, expected):
    """The same input gives the same result every time, whatever other blocks there are; nothing is random."""
    seen, right = observed.blocks_side_by_side, expected.blocks_side_by_side
    what = block_named(right["widths"])
    is_module(seen["block"], what)
    for which, found in (("a second block", seen["beside"]), *(("the first, again", one) for one in seen["again"])):
        wanted = right["beside" if which == "a second block" else "first"]
        same_branches(found, wanted, right["widths"], right["x"], f"{what}(x): {which}")
    numbers = seen["random numbers"]
    same(numbers["after a pass"], numbers["without"], f"the next random numbers after {what}(x) in training mode", within=0,
         look="An Inception block has no dropout.")  # fmt: skip
    random_state_left(numbers["after making"], what)


@check("InceptionBlock", points=0.5)
def test_block_on_an_accelerator(observed, expected):
    """Works on the device where it is, in both modes."""
    seen, right = observed.block_on_accelerator, expected.block_on_accelerator
    what = f"{block_named(right['widths'])}(x) on an accelerator"
    is_module(seen["block"], what)
    for found, wanted in zip(seen["passes"], right["passes"], strict=True):
        same_branches(found, wanted, right["widths"], right["x"], what)


# --- heads ------------------------------------------------------------------------------------------------------------

NETWORKS = {"wide": 7, "frozen": 11, "mixed": 7, "default": 10, "twice": 5, "same count": 5}
WITHOUT_BIAS = {"without bias": 7}  # in one check alone: who asks the old layer's bias for its device errs in nothing else


def networks(observed, expected, asked=NETWORKS):
    """What was seen of each network, what is right there, the number of classes, and what to call it."""
    for name, classes in asked.items():
        seen, right = observed.heads_of_many_networks[name], expected.heads_of_many_networks[name]
        yield seen, right, classes, f"replace_heads(net{'' if name == 'default' else f', {classes}'}) ({name})"


@check("replace_heads", points=1.5)
def test_widths_are_read_from_the_heads(observed, expected):
    """Each head's width is read from the network, for any network and number of classes."""
    for seen, right, classes, what in networks(observed, expected):
        are_heads(seen, right, classes, what)
        fewer(seen, right, classes, what)


@check("replace_heads", points=1)
def test_heads_are_fresh(observed, expected):
    """All new layers start from random weights of their own, have a bias and are trained."""
    for seen, right, classes, what in networks(observed, expected, NETWORKS | WITHOUT_BIAS):
        are_fresh(seen, right, classes, what)


@check("replace_heads", points=1)
def test_all_beside_the_heads_stays(observed, expected):
    """Nothing else in the network changes: weights, buffers, modes, what is frozen."""
    for seen, right, _, what in networks(observed, expected):
        nothing_else(seen, right, what)


@check("replace_heads", points=0.5)
def test_heads_on_the_networks_device(observed, expected):
    """The new layers are on the device of the old ones, and the network stays there."""
    for name, right in expected.heads_on_accelerator.items():
        seen, what = observed.heads_on_accelerator[name], "replace_heads(net, 7) of a network on an accelerator"
        are_heads(seen, right, 7, what)
        require(all(seen["on the accelerator"].values()), f"{what}: devices of all weights", "the accelerator", "others too")


@check("replace_heads", points=0.5)
def test_heads_leave_the_random_state(observed, expected):
    """The random state is left to the notebook."""
    are_heads(observed.heads_of_many_networks["wide"], expected.heads_of_many_networks["wide"], 7, "replace_heads(net, 7)")
    random_state_left(observed.random_state_beside_heads, "replace_heads")


# --- loss -------------------------------------------------------------------------------------------------------------


@check("joint_loss", points=1.5)
def test_losses_of_any_scores(observed, expected):
    """The three losses of any scores, with any weight."""
    for name, right in expected.losses_of_many_scores.items():
        seen, what = observed.losses_of_many_scores[name], f"joint_loss with weight {right['weight']} ({name})"
        are_losses(seen, right, what, SUM)


@check("joint_loss", points=1)
def test_total_teaches_by_any_weight(observed, expected):
    """The total's gradients of all heads are right, with any weight; the results are tensors that carry gradients."""
    for name, right in expected.losses_of_many_scores.items():
        seen, what = observed.losses_of_many_scores[name], f"joint_loss with weight {right['weight']} ({name})"
        are_tensors(seen, what, THREE)
        same_gradients_of_heads(seen, right, what)


@check("joint_loss", points=0.5)
def test_losses_on_an_accelerator(observed, expected):
    """All results are on the scores' device, with any number of heads."""
    for name in ("three", "two", "one"):
        seen, right = observed.losses_on_accelerator[name], expected.losses_on_accelerator[name]
        what = f"joint_loss on an accelerator ({name} heads with scores)"
        are_losses(seen, right, what, ELSEWHERE)
        are_tensors(seen, what, ("total", "main"), expected.losses_on_accelerator["accelerator's name"])


@check("joint_loss", points=1)
def test_any_plain_scores(observed, expected):
    """Plain scores of any number of images have an auxiliary loss of zero; nothing here is random."""
    for images in ("1", "2", "7"):
        seen, right = observed.losses_of_many_plain_scores[images], expected.losses_of_many_plain_scores[images]
        what = f"joint_loss of plain scores of {images} images"
        are_losses(seen, right, what, "The outputs are a tensor here: its first axis are images, not heads.")
        are_tensors(seen, what, ("total", "main"))
        same_gradients_of_heads(seen, right, what)
    random_state_left(observed.losses_of_many_plain_scores["random state"], "joint_loss")


# --- training ---------------------------------------------------------------------------------------------------------


@check("train_one_epoch", points=1)
def test_smaller_last_batch_weighs_less_in_training(observed, expected):
    """The last, smaller batch weighs less in the epoch's figures, and all batches are in them."""
    look = "The last batch is one image of all; neither the number of batches nor the batch size divides the sum rightly."
    same_epoch(*judged(observed.two_epochs, expected.two_epochs), "train_one_epoch, a single image in its last batch", look)
    run, right = judged(observed.training_by_many_batches, expected.training_by_many_batches)
    same_epoch(run, right, "train_one_epoch with 205 batches of one image", ALL_AND_LIKELIEST)
    same_weights(run["after"], right["after"], "weights after 205 batches of one image", ALL_AND_LIKELIEST)


@check("train_one_epoch", points=0.5)
def test_training_mode(observed, expected):
    """One pass in training mode, whatever the mode before; what is frozen stays frozen."""
    name = "stand-in" if observed.epoch_with_dropout["stand-in"]["stood in"] else "own"
    seen, right = observed.epoch_with_dropout[name], expected.epoch_with_dropout[name]
    found = [one["images"] for one in seen["passes"]]
    same(found, [one["images"] for one in right["passes"]], "train_one_epoch: images in each forward pass of the network",
         look="Every batch goes through the network once an epoch.")  # fmt: skip
    modes = [one["training"] for one in seen["passes"]]
    require(all(modes), "train_one_epoch for a network that was in evaluation mode", "training mode at every batch",
            f"{sum(modes)} of {len(modes)} batches", "After a test pass the network is in evaluation mode.")  # fmt: skip
    same(seen["trainable"], right["trainable"], "requires_grad of the parameters after train_one_epoch")
    frozen = "conv1.0.weight"
    same(seen["after"][frozen], right["before"][frozen], "a frozen weight after train_one_epoch")


@check("train_one_epoch", points=1)
def test_weights_after_two_epochs(observed, expected):
    """After two epochs with momentum the weights are where one step a batch leads."""
    run, right = judged(observed.two_epochs, expected.two_epochs)
    steps_right(run, right, "train_one_epoch", STEP)
    look = "One step for each batch, with this batch's gradients alone, by the optimizer that was given."
    same_weights(run["after second"], right["after second"], "weights and buffers after two epochs", look)


@check("train_one_epoch", points=0.5)
def test_second_epoch_begins_anew(observed, expected):
    """The figures of a second epoch are its own."""
    run, right = judged(observed.two_epochs, expected.two_epochs)
    look = "Sums begin at zero at each call; and the second epoch starts from the weights of the first."
    again = ({"figures": one["second figures"]} for one in (run, right))
    same_epoch(*again, "train_one_epoch called a second time", look)


@check("train_one_epoch", points=0.5)
def test_callers_things_stay_in_training(observed, expected):
    """Optimizer, settings, criterion and random state are the caller's."""
    run, right = judged(observed.two_epochs, expected.two_epochs)
    are_epoch_figures(run["figures"], "train_one_epoch")
    same(run["settings after"], right["settings before"], "settings of the optimizer after train_one_epoch",
         look="Learning rate, momentum and weight decay are the caller's.")  # fmt: skip
    require(run["parameters with momentum"] == right["parameters with momentum"], "parameters moved by the optimizer",
            f"{right['parameters with momentum']}", run["parameters with momentum"],
            "An optimizer made inside the function forgets its momentum at every call.")  # fmt: skip
    require(run["gradients allowed after"] is True, "gradients after train_one_epoch", "allowed", "switched off")
    callers_things_left(run, right, "train_one_epoch")
    random_state_left(run["random state"], "train_one_epoch")


@check("train_one_epoch", points=1)
def test_training_of_other_heads(observed, expected):
    """One auxiliary head, none, and a weight of 0."""
    for name, right in expected.epochs_of_other_heads.items():
        run, right = judged(observed.epochs_of_other_heads[name], right)
        same_epoch(run, right, f"train_one_epoch ({name})")
        steps_right(run, right, f"train_one_epoch ({name})", STEP)


@check("train_one_epoch", points=1)
def test_training_on_an_accelerator(observed, expected):
    """Trains on the device where the network is."""
    run, right = judged(observed.train_on_accelerator, expected.train_on_accelerator)
    what = "train_one_epoch on an accelerator"
    same_epoch(run, right, what, ELSEWHERE)
    require(all(run["on the accelerator"].values()), f"{what}: the network afterwards", "where it was", "elsewhere", ELSEWHERE)
    same_weights(run["after"], right["after"], f"{what}: weights afterwards", ELSEWHERE)


@check("evaluate", points=1)
def test_main_head_of_any_network_is_tested_alone(observed, expected):
    """The main head is tested alone, however many heads there are."""
    for name, right in expected.test_passes_of_heads.items():
        same_figures(observed.test_passes_of_heads[name], right, f"evaluate of a network with auxiliary heads: {name}",
                     "In evaluation mode GoogLeNet gives the main head's scores, a tensor.")  # fmt: skip


# --- remarks ----------------------------------------------------------------------------------------------------------


@remark("train_one_epoch", says=OFTEN)
def waits_in_training(observed, expected):
    """How often the training loop waits for the accelerator."""
    return waits(observed.train_on_accelerator["own"])
