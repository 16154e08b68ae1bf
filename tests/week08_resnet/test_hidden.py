"""The hidden checks of week08_resnet. They never leave the grader; students read their titles only."""

from autograder.authoring import check, require, same

from .block_checks import is_module, left_its_input, moved_its_statistics, same_gradients
from .classifier_test_hidden import *  # noqa: F403
from .seeds_test_hidden import random_state_left
from .test_public import (
    ADDED,
    CONCATENATED,
    WIDTHS,
    are_channels,
    are_kinds,
    are_norms,
    block_named,
    built_once,
    has_the_parts,
    is_sorted,
    is_torchvisions,
    leaves_everything,
    leaves_its_layers,
    raises_value_error,
    same_column,
)

# --- block ------------------------------------------------------------------------------------------------------------


@check("ResidualBlock", points=1)
def test_blocks_of_any_width_have_torchvisions_names(observed, expected):
    """Names and shapes are torchvision's for any widths and stride, and `downsample` is there only where it is needed."""
    for name, right in expected.blocks_of_many_widths.items():
        seen = observed.blocks_of_many_widths[name]
        has_the_parts(seen, right)
        if right["downsample"] == "NoneType":
            require(seen["downsample"] == "NoneType", block_named(right["asked"]), "no downsample", seen["downsample"])


@check("ResidualBlock", points=1.5)
def test_blocks_of_any_stride_are_torchvisions(observed, expected):
    """The results are torchvision's for any widths, strides and sizes."""
    for name, right in expected.blocks_of_many_widths.items():
        seen, what = observed.blocks_of_many_widths[name], block_named(right["asked"])
        is_module(seen["block"], what)
        for found, wanted, x in zip(seen["outputs"], right["outputs"], right["inputs"], strict=True):
            is_torchvisions(found, wanted, f"{what}(x) for x of shape {x.shape}", "All widths follow from the arguments.")


@check("ResidualBlock", points=1.5)
def test_block_in_a_training(observed, expected):
    """Two training passes in a row and a test pass after them are torchvision's, with all gradients."""
    for name, right in expected.block_in_training.items():
        seen, what = observed.block_in_training[name], block_named(right["asked"])
        is_module(seen["block"], what)
        for number in range(3):
            which = f"{what}(x), pass {number + 1}"
            found, wanted = seen["passes"][number], right["passes"][number]
            is_torchvisions(found, wanted, which, "Nothing is kept from pass to pass but the running statistics.")
            moved_its_statistics(found, wanted, which)
            left_its_input(found, right["inputs"][number], which)
            same_gradients(seen["gradients"][number], right["gradients"][number], which)


@check("ResidualBlock", points=0.5)
def test_blocks_are_alike_every_time(observed, expected):
    """The same input gives the same result every time, whatever other blocks there are; nothing is random."""
    seen, right = observed.blocks_side_by_side, expected.blocks_side_by_side
    what = block_named(right["asked"])
    is_module(seen["block"], what)
    look = "Each block has modules of its own, made in its `__init__`; and nothing is kept from pass to pass."
    is_torchvisions(seen["beside"], right["beside"], f"{what}(x): a second block", look)
    for found in seen["again"]:
        is_torchvisions(found, right["first"], f"{what}(x): the first, again", look)
    numbers = seen["random numbers"]
    same(numbers["after a pass"], numbers["without"], f"the next random numbers after {what}(x) in training mode", within=0,
         look="A residual block has no dropout.")  # fmt: skip
    random_state_left(numbers["after making"], what)


@check("ResidualBlock", points=0.5)
def test_block_on_an_accelerator(observed, expected):
    """Works on the device where it is, in both modes."""
    for name, right in expected.block_on_accelerator.items():
        seen, what = observed.block_on_accelerator[name], f"{block_named(right['asked'])}(x) on an accelerator"
        is_module(seen["block"], what)
        for found, wanted in zip(seen["passes"], right["passes"], strict=True):
            look = "What is made in `forward` is made on the CPU unless told otherwise; modules move with the block."
            is_torchvisions(found, wanted, what, look)


# --- join -------------------------------------------------------------------------------------------------------------


@check("joined_channels", points=1)
def test_channels_of_any_stack(observed, expected):
    """Channels after each layer of any stack, both ways."""
    for name, right in expected.joined_in_many_ways["can"].items():
        are_channels(observed.joined_in_many_ways["can"][name], right, ADDED if "added" in name else CONCATENATED)


@check("joined_channels", points=1)
def test_what_cannot_be_joined(observed, expected):
    """Whatever cannot be added, and any other way, raises ValueError."""
    for name, right in expected.joined_in_many_ways["cannot"].items():
        raises_value_error(observed.joined_in_many_ways["cannot"][name], right, WIDTHS)


@check("joined_channels", points=0.5)
def test_any_layers_stay_as_they_were(observed, expected):
    """Nothing is changed in place."""
    for part, cases in expected.joined_in_many_ways.items():
        for name, right in cases.items():
            leaves_its_layers(observed.joined_in_many_ways[part][name], right)


# --- parameters -------------------------------------------------------------------------------------------------------


def kinds(observed, expected, what: str, *networks: str) -> None:
    """Requires the counts of these networks."""
    for name in networks:
        are_kinds(observed.kinds_of_many_networks[name], expected.kinds_of_many_networks[name], f"{what}: {name}", "")


@check("parameters_by_kind", points=1)
def test_kinds_of_any_network(observed, expected):
    """Every module counts, however deep, of whatever class, the network itself too."""
    kinds(observed, expected, "parameters_by_kind", "tiny resnet", "one layer", "own", "lists", "same name", "another name",
          "nothing to own")  # fmt: skip


@check("parameters_by_kind", points=1)
def test_nothing_counts_twice(observed, expected):
    """What modules share counts once, for the first of them."""
    kinds(observed, expected, "parameters_by_kind", "twice", "back to front", "tied")


@check("parameters_by_kind", points=1)
def test_frozen_parts_do_not_count(observed, expected):
    """What is frozen does not count, in parts or as a whole."""
    kinds(observed, expected, "parameters_by_kind", "frozen half", "all frozen")


# --- comparison -------------------------------------------------------------------------------------------------------


def tables(observed, expected, look_at) -> None:
    """`look_at(seen, expected, what)` for each of the tables."""
    for name, right in expected.many_networks.items():
        look_at(observed.many_networks[name], right, f"compare_networks: {name}")


@check("compare_networks", points=1)
def test_parameters_and_bytes_of_any_network(observed, expected):
    """Parameters and bytes of any network, whatever its dtypes."""
    for column in (1, 2):
        tables(observed, expected, lambda seen, right, what, column=column: same_column(seen, right, column, what, ""))


@check("compare_networks", points=1)
def test_any_networks_are_sorted(observed, expected):
    """Sorted by parameters alone; what is equal keeps its order."""
    tables(observed, expected, is_sorted)


@check("compare_networks", points=0.5)
def test_any_networks_are_built_once(observed, expected):
    """Each builder is called once, and the dict stays as it was."""
    tables(observed, expected, built_once)


# --- gradients --------------------------------------------------------------------------------------------------------

ALL = ("weights and buffers", "gradients", "training", "trained")


def norms_and_nothing_else(seen: dict, expected: dict, what: str) -> None:
    """Requires the norms, and a network as it was before."""
    are_norms(seen, expected, what, "")
    leaves_everything(seen, expected, what, *ALL)


@check("gradient_norms", points=1)
def test_norms_of_any_network(observed, expected):
    """The norms of a deeper network, and of one that shares a weight."""
    norms_and_nothing_else(observed.norms_of_a_tiny_resnet, expected.norms_of_a_tiny_resnet, "a tiny ResNet")
    norms_and_nothing_else(observed.norms_of_shared_weights, expected.norms_of_shared_weights, "a shared weight")


@check("gradient_norms", points=1)
def test_norms_in_mixed_modes(observed, expected):
    """Each module keeps the mode it is in."""
    for name, right in expected.norms_in_mixed_modes.items():
        norms_and_nothing_else(observed.norms_in_mixed_modes[name], right, name)


@check("gradient_norms", points=1)
def test_measuring_again_gives_the_same(observed, expected):
    """Measuring again gives the same norms; older gradients, of frozen weights too, do not count and stay."""
    seen = observed.norms_again
    require(len(seen) == len(expected.norms_again), "three measurements", "three", len(seen))
    for number, (one, right) in enumerate(zip(seen, expected.norms_again, strict=True), 1):
        norms_and_nothing_else(one, right, f"measurement {number}")


@check("gradient_norms", points=1)
def test_norms_on_an_accelerator(observed, expected):
    """Works on the device where the network is, and leaves it there."""
    seen, right = observed.norms_on_accelerator, expected.norms_on_accelerator
    norms_and_nothing_else(seen, right, "gradient_norms on an accelerator")
    same(seen["devices"], right["devices"], "devices of the parameters afterwards")
