"""The hidden checks of week08_densenet. They never leave the grader; students read their titles only."""

import numpy as np

from autograder.authoring import Error, Tensor, check, remark, require, same

from .block_checks import has_torchvisions_state, is_module, same_gradients
from .classifier_test_hidden import *  # noqa: F403
from .evaluate_test_hidden import *  # noqa: F403
from .evaluate_test_hidden import ALL_AND_LIKELIEST, OFTEN, waits
from .evaluate_test_public import FIGURE, are_figures, callers_things_left, same_figures, same_weights
from .seeds_test_hidden import random_state_left
from .test_public import (
    CPU,
    FIGURES,
    SQUEEZED,
    are_shapes,
    are_wall_times,
    are_whole_steps,
    axes_are_labelled,
    axes_of,
    colours_tell_training_from_test,
    counts_from_one,
    draws_only_figures,
    has_curves,
    history_of,
    is_count,
    is_device,
    is_grid,
    is_history,
    is_image,
    is_reshuffled,
    is_resized,
    is_snapshot,
    is_tensor,
    keeps_its_input,
    keeps_its_order,
    layer_named,
    learns,
    leaves_its_arguments,
    leaves_the_weight,
    legends_tell_the_curves,
    loader_of,
    loss_is_first,
    raises_key_error,
    reference_run,
    same_columns,
    same_pixels,
    takes_the_accelerator,
    trains_and_tests,
    writes_the_new_channels,
)

# --- transforms -------------------------------------------------------------------------------------------------------


@check("make_transform", points=1)
def test_every_photo_becomes_a_square(observed, expected):
    """Photos of every size become squares of the size asked for, 224 if none is."""
    seen, size = observed.photos_of_many_sizes, expected.photos_of_many_sizes["size"]
    for name in ("small", "wide", "tall", "large"):
        is_image(seen[name], size, f"make_transform({size}) of a {name} photo")
    same(seen["default shape"], [3, 224, 224], "make_transform()(photo): the shape",
         look="The default stands in the function's first line.")  # fmt: skip


@check("make_transform", points=1)
def test_small_photos_are_enlarged_smoothly(observed, expected):
    """A small photo is enlarged with bilinear interpolation."""
    seen, right = observed.photos_of_many_sizes, expected.photos_of_many_sizes
    look = "Neither nearest nor bicubic; the whole photo fills the square."
    what = f"make_transform({right['size']}) of a 20 × 20 photo"
    is_resized(seen["small"], right["small"], what, look, expected.photos_resized_by_torchvision["small"])


@check("make_transform", points=0.5)
def test_wide_and_tall_photos_fill_the_square(observed, expected):
    """Of a wide or tall photo nothing is cut off and nothing added."""
    seen, right = observed.photos_of_many_sizes, expected.photos_of_many_sizes
    look = "Both sides are given to the resizing; a single number sets the shorter side only."
    for name in ("wide", "tall"):
        what = f"make_transform({right['size']}) of a {name} photo"
        is_resized(seen[name], right[name], what, look, expected.photos_resized_by_torchvision[name])


@check("make_transform", points=0.5)
def test_large_photos_are_averaged(observed, expected):
    """A large photo is shrunk as an image, every pixel counting."""
    seen, right = observed.photos_of_many_sizes, expected.photos_of_many_sizes
    look = "PIL averages over all pixels as it shrinks; tensors need `antialias=True` for the same."
    what = f"make_transform({right['size']}) of a photo of twice its size"
    is_resized(seen["large"], right["large"], what, look, expected.photos_resized_by_torchvision["large"])


@check("make_transform", points=0.5)
def test_values_are_whole_steps(observed, expected):
    """The photo is resized as an image: every value is a whole multiple of 1/255."""
    seen, size = observed.photos_of_many_sizes, expected.photos_of_many_sizes["size"]
    for name in ("small", "large"):
        what = f"make_transform({size}) of a {name} photo"
        is_image(seen[name], size, what)
        are_whole_steps(seen[name], what)


@check("make_transform", points=0.5)
def test_transform_is_not_random(observed, expected):
    """The same photo always gives the same tensor."""
    seen, right = observed.one_photo_again_and_again, expected.one_photo_again_and_again
    image, other = expected.two_photos_resized_by_torchvision
    for number, found in enumerate(seen["again"], 1):
        is_resized(found, right["again"][0], f"one photo through one transform, time {number}",
                   "The transform serves test images too: nothing in it is random.", image)  # fmt: skip
    is_resized(seen["other"], right["other"], "another photo through the same transform",
               "A transform keeps nothing of the photo before.", other)  # fmt: skip
    same(seen["random state"], right["random state without"], "the next random numbers after make_transform(24)(photo)",
         within=0, look="Nothing in the transform is random, not even seldom.")  # fmt: skip


@check("make_loaders", points=1)
def test_training_images_are_reshuffled(observed, expected):
    """Training images come in a new order every epoch."""
    is_reshuffled(loader_of(observed.loaders_of_odd_sizes, "training"))


@check("make_loaders", points=1)
def test_test_images_keep_their_order(observed, expected):
    """Test images come in the data set's order, every time."""
    keeps_its_order(loader_of(observed.loaders_of_odd_sizes, "test"))


@check("make_loaders", points=1)
def test_last_batch_is_kept(observed, expected):
    """The last, smaller batch is kept."""
    right = expected.loaders_of_odd_sizes
    for name, count in (("training", right["train count"]), ("test", right["test count"])):
        whole, rest = divmod(count, right["batch size"])
        sizes = [right["batch size"]] * whole + [rest]
        for one in loader_of(observed.loaders_of_odd_sizes, name):
            same(one["sizes"], sizes, f"batch sizes of the {name} loader for {count} images",
                 look="Images that do not fill a batch make a smaller one; `drop_last` leaves them out.")  # fmt: skip


@check("make_loaders", points=0.5)
def test_batch_size_by_default(observed, expected):
    """Thirty-two images a batch when nothing is said."""
    seen = observed.loaders_without_a_batch_size
    look = "The default stands in the function's first line, and is for both loaders."
    for name, sizes in (("training", [32, 32, 6]), ("test", [32, 8])):
        found = [one["sizes"] for one in loader_of(seen["first"], name)]
        same(found, [sizes], f"batch sizes of the {name} loader when no batch size is given", look=look)
    look = "Each call makes loaders of its own; a set smaller than a batch makes one batch, and the other keeps its size."
    for name, sizes in (("training", [32, 18]), ("test", [10])):
        found = [one["sizes"] for one in loader_of(seen["again"], name)]
        same(found, [sizes], f"batch sizes of the {name} loader at a second call, with 50 and 10 images", look=look)


@check("make_loaders", points=0.5)
def test_loaders_leave_the_random_state(observed, expected):
    """The random state is left to the notebook."""
    loader_of(observed.loaders_of_odd_sizes, "training")
    random_state_left(observed.random_state_beside_loaders, "make_loaders")


# --- parameters -------------------------------------------------------------------------------------------------------


def shapes_of(observed, expected, network: str, what: str, look: str) -> None:
    """Requires the shapes of one of the networks."""
    found, right = observed.shapes_of_many_networks[network], expected.shapes_of_many_networks[network]
    are_shapes(found, right, f"parameter_shapes of {what}", look)


@check("parameter_shapes", points=0.5)
def test_shapes_without_buffers(observed, expected):
    """Running statistics have no place in the list."""
    look = "Buffers are saved with the network but not trained: `state_dict()` has both."
    shapes_of(observed, expected, "batch norm", "a network with batch norm", look)


@check("parameter_shapes", points=0.5)
def test_shapes_of_frozen_weights(observed, expected):
    """Frozen weights are listed too."""
    shapes_of(observed, expected, "frozen", "a network whose convolution is frozen", "Frozen weights are parameters.")


@check("parameter_shapes", points=0.5)
def test_shapes_of_shared_weights(observed, expected):
    """A shared weight is listed once."""
    look = "Two layers, one tensor: one shape for each parameter tensor."
    shapes_of(observed, expected, "shared", "a network that uses one weight in two layers", look)


@check("parameter_shapes", points=0.5)
def test_shapes_in_network_order(observed, expected):
    """The order is the network's, whatever the layers are called."""
    look = "Neither sorted nor grouped: as `net.named_parameters()` has them."
    shapes_of(observed, expected, "backwards", "a network with a bias before its weights and a single number", look)


@check("parameter_shapes", points=0.5)
def test_shapes_of_any_network(observed, expected):
    """Every network has shapes of its own."""
    look = "Read the shapes from the network given."
    shapes_of(observed, expected, "plain", "four layers of drawn widths", look)
    shapes_of(observed, expected, "densenet", "a small DenseNet", look)
    shapes_of(observed, expected, "long", "sixty small layers", look)


def count_of(observed, expected, network: str, what: str, look: str) -> None:
    """Requires the count of one of the networks."""
    found, right = observed.counts_of_many_networks[network], expected.counts_of_many_networks[network]
    is_count(found, right, f"count_parameters of {what}", look)


@check("count_parameters", points=1)
def test_count_without_buffers(observed, expected):
    """Counts what is trained, not everything that is saved."""
    look = "BatchNorm's running statistics are buffers, not parameters."
    count_of(observed, expected, "batch norm", "a network with batch norm", look)


@check("count_parameters", points=1)
def test_count_without_frozen_weights(observed, expected):
    """Frozen weights do not count."""
    count_of(observed, expected, "frozen", "a network whose convolution is frozen", "Trainable means `requires_grad`.")
    count_of(observed, expected, "all frozen", "a network that is all frozen", "Nothing trainable is 0, an int too.")


@check("count_parameters", points=1)
def test_shared_weights_count_once(observed, expected):
    """A shared weight counts once."""
    look = "Two layers, one tensor: the optimizer trains it once."
    count_of(observed, expected, "shared", "a network that uses one weight in two layers", look)


@check("count_parameters", points=1)
def test_count_of_any_network(observed, expected):
    """Every number of every parameter counts, in any network."""
    count_of(observed, expected, "plain", "four layers of drawn widths", "Weights and biases, all their axes.")
    look = "Also parameters that belong to no layer."
    count_of(observed, expected, "backwards", "a network with a single number as a parameter", look)
    count_of(observed, expected, "densenet", "a small DenseNet", "Layers inside layers count too.")
    count_of(observed, expected, "long", "sixty small layers", "Every layer counts.")


# --- block ------------------------------------------------------------------------------------------------------------


@check("DenseLayer", points=0.5)
def test_layers_of_any_width_have_torchvisions_names(observed, expected):
    """Names and shapes are torchvision's for any width, growth and bottleneck."""
    for name, right in expected.layers_of_many_widths.items():
        seen = observed.layers_of_many_widths[name]
        has_torchvisions_state(seen["layer"], right["layer"], layer_named(right["asked"]), SQUEEZED)


@check("DenseLayer", points=1)
def test_layers_of_any_width_write_torchvisions_channels(observed, expected):
    """The new channels are torchvision's for any width, growth and bottleneck."""
    for name, right in expected.layers_of_many_widths.items():
        seen, what = observed.layers_of_many_widths[name], layer_named(right["asked"])
        is_module(seen["layer"], what)
        look = "All widths follow from the arguments; the defaults stand in the first line of `__init__`."
        for found, wanted, x in zip(seen["outputs"], right["outputs"], right["inputs"], strict=True):
            writes_the_new_channels(found, wanted, right["widths"], f"{what}(x) for x of shape {x.shape}", look)


@check("DenseLayer", points=0.5)
def test_layers_of_any_width_keep_their_input(observed, expected):
    """The input stands in front, unchanged, for any width and in both modes."""
    for name, right in expected.layers_of_many_widths.items():
        seen, what = observed.layers_of_many_widths[name], layer_named(right["asked"])
        is_module(seen["layer"], what)
        for found, x in zip(seen["outputs"], right["inputs"], strict=True):
            keeps_its_input(found, right["widths"], x, f"{what}(x) for x of shape {x.shape}")
    seen, right = observed.layer_in_training, expected.layer_in_training
    for number, (found, x) in enumerate(zip(seen["passes"], right["inputs"], strict=True), 1):
        keeps_its_input(found, right["widths"], x, f"{layer_named(right['widths'])}(x), pass {number}")


@check("DenseLayer", points=1)
def test_layer_in_a_training(observed, expected):
    """Two training passes in a row and a test pass after them are torchvision's, with all gradients."""
    seen, right = observed.layer_in_training, expected.layer_in_training
    is_module(seen["layer"], layer_named(right["widths"]))
    for number in range(3):
        what = f"{layer_named(right['widths'])}(x), pass {number + 1}"
        two = ((one["passes"][number], one["gradients"][number]) for one in (seen, right))
        (found, gradients), (wanted, right_gradients) = two
        learns(found, wanted, gradients, right_gradients, right["widths"], what)
        same_gradients(gradients, right_gradients, what)


@check("DenseLayer", points=0.5)
def test_layers_are_alike_every_time(observed, expected):
    """The same input gives the same result every time, whatever other layers there are; nothing is random."""
    seen, right = observed.layers_side_by_side, expected.layers_side_by_side
    what = layer_named(right["widths"])
    is_module(seen["layer"], what)
    for which, found in (("a second layer", seen["beside"]), *(("the first, again", one) for one in seen["again"])):
        wanted = right["beside" if which == "a second layer" else "first"]
        look = "Each layer has modules of its own, made in its `__init__`; and nothing is kept from pass to pass."
        writes_the_new_channels(found, wanted, right["widths"], f"{what}(x): {which}", look)
    numbers = seen["random numbers"]
    same(numbers["after a pass"], numbers["without"], f"the next random numbers after {what}(x) in training mode", within=0,
         look="DenseNet-121 has no dropout.")  # fmt: skip
    random_state_left(numbers["after making"], what)


@check("DenseLayer", points=0.5)
def test_layer_on_an_accelerator(observed, expected):
    """Works on the device where it is, in both modes."""
    seen, right = observed.layer_on_accelerator, expected.layer_on_accelerator
    what = f"{layer_named(right['widths'])}(x) on an accelerator"
    is_module(seen["layer"], what)
    for found, wanted in zip(seen["passes"], right["passes"], strict=True):
        look = "What is made in `forward` is made on the CPU unless told otherwise; modules move with the layer."
        writes_the_new_channels(found, wanted, right["widths"], what, look)


# --- weights ----------------------------------------------------------------------------------------------------------


@check("snapshot_weights", points=1)
def test_snapshots_are_copies(observed, expected):
    """Neither later training changes a snapshot, nor a snapshot the network."""
    seen, right = observed.snapshots_through_a_training, expected.snapshots_through_a_training
    look = "A copy shares no memory with the weight it was made from."
    is_snapshot(seen["first after training"], right["made"], "the first snapshot after training", look)
    is_snapshot(seen["second"], right["second"], "a second snapshot, after training",
                "Each call reads the network as it is then.")  # fmt: skip
    same(seen["network after a copy was cleared"], right["network after a copy was cleared"],
         "the network's weights after the snapshot was set to zero", look=look)  # fmt: skip


@check("snapshot_weights", points=1)
def test_snapshots_are_on_the_cpu(observed, expected):
    """The copies are on the CPU, wherever the network is."""
    seen, right = observed.snapshot_of_an_accelerator, expected.snapshot_of_an_accelerator
    what = "snapshot_weights of a network on an accelerator"
    found, beside = seen["snapshot"], observed.snapshots_through_a_training["made"]
    is_snapshot(found, right["snapshot"], what)
    is_snapshot(beside, expected.snapshots_through_a_training["made"], "snapshot_weights of a network on the CPU")
    for name, tensor in found.items():
        require(tensor.device == "cpu", f"{what}: device of {name!r}", "cpu", tensor.device,
                "Snapshots outlive the training: they need not fill the GPU's memory.")  # fmt: skip
    same(seen["devices of the network"], right["devices of the network"], f"{what}: devices of the network afterwards",
         look="Move the copies; moving a network moves the network itself.")  # fmt: skip


@check("snapshot_weights", points=0.5)
def test_snapshots_are_detached(observed, expected):
    """The copies are detached, the network's own weights go on learning."""
    seen, right = observed.snapshots_of_any_names["several"], expected.snapshots_of_any_names["several"]
    trainable = observed.snapshots_through_a_training["trainable"]
    is_snapshot(seen, right, "snapshot_weights of three names")
    for name, tensor in seen.items():
        require(not tensor.requires_grad, f"the snapshot of {name!r}: requires_grad", "False", "True",
                "A copy that remembers where it came from keeps the whole computation alive.")  # fmt: skip
    same(trainable, expected.snapshots_through_a_training["trainable"],
         "requires_grad of the network's own parameters after snapshot_weights",
         look="Only the copies are detached; an underscore at a method's end means in place.")  # fmt: skip


@check("snapshot_weights", points=0.5)
def test_snapshots_of_the_names_given(observed, expected):
    """Exactly the names given, whatever they are."""
    asked = {
        "several": "three names",
        "one": "one name",
        "none": "an empty list",
        "frozen": "a frozen weight",
        "shared": "a shared weight",
        "all": "all names of sixty small layers",
    }
    for name, what in asked.items():
        seen, right = observed.snapshots_of_any_names[name], expected.snapshots_of_any_names[name]
        is_snapshot(seen, right, f"snapshot_weights for {what}")


@check("snapshot_weights", points=1)
def test_unknown_names_raise_key_error(observed, expected):
    """A name that the network does not have raises KeyError."""
    raises_key_error(observed.snapshots_of_unknown_names)


@check("weight_difference", points=1)
def test_differences_are_matched_by_name(observed, expected):
    """Weights are matched by name, whatever their order."""
    found, right = observed.differences_of_any_names["difference"], expected.differences_of_any_names["difference"]
    what = "weight_difference of two snapshots whose names are in different orders"
    same(found, right, what, within=1e-6, look="The same name in both, not the same place.")


@check("weight_difference", points=1)
def test_difference_leaves_its_arguments(observed, expected):
    """Neither snapshot is changed."""
    leaves_its_arguments(observed.differences_of_any_names, expected.differences_of_any_names)


@check("weight_difference", points=0.5)
def test_difference_of_any_names(observed, expected):
    """The same names and shapes, whatever they are."""
    found, right = observed.differences_of_any_names["same order"], expected.differences_of_any_names["same order"]
    same(found, right, "weight_difference of two snapshots of six weights, one of them unchanged", within=1e-6)
    found, right = observed.differences_of_any_names["many"], expected.differences_of_any_names["many"]
    same(found, right, "weight_difference of two snapshots of 120 weights", within=1e-6)
    found, right = observed.differences_of_any_names["other names"], expected.differences_of_any_names["other names"]
    same(found, right, "weight_difference called again with another name", within=1e-6,
         look="Each call makes a dictionary of its own.")  # fmt: skip


def patch_places(given: Tensor, grid: Tensor) -> np.ndarray:
    """Which pixels of a grid belong to patches, (H, W), for a weight of the given shape."""
    kernels, channels, height, width = given.shape
    count = kernels if channels == 3 else channels
    inside = np.zeros(grid.shape[1:], bool)
    for index in range(count):
        row, column = divmod(index, 8)
        top, left = row * (height + 2) + 2, column * (width + 2) + 2
        inside[top : top + height, left : left + width] = True
    return inside


def same_patches(observed, expected, layer: str, look: str) -> None:
    """Requires the grid's size and the pixels of its patches, whatever lies between them."""
    found, right = observed.grids_of_many_layers["grids"][layer], expected.grids_of_many_layers["grids"][layer]
    given = expected.grids_of_many_layers["given"][layer]
    what = f"weight_grid of a {given.shape} weight"
    is_grid(found, right, what)
    inside = patch_places(given, right)
    patches = [Tensor(grid.array[:, inside], grid.dtype) for grid in (found, right)]
    same_pixels(*patches, f"{what}: the pixels of the patches", look)


@check("weight_grid", points=1)
def test_patches_are_scaled_together(observed, expected):
    """All patches are scaled together, so that weak kernels look weak."""
    look = "One smallest and one largest value for the whole picture; they become 0 and 1."
    same_patches(observed, expected, "colour", look)


@check("weight_grid", points=0.5)
def test_only_the_first_kernel_in_grey(observed, expected):
    """A deeper layer is shown by its first kernel alone, in grey."""
    look = "Each channel of the first kernel is one grey patch; the other kernels do not matter, not even for the scale."
    same_patches(observed, expected, "deeper", look)
    same_patches(observed, expected, "1 x 1", look)
    same_patches(observed, expected, "two channels", look)
    found, right = (seen.grids_of_many_layers["grids"]["one channel"] for seen in (observed, expected))
    what = f"weight_grid of a {expected.grids_of_many_layers['given']['one channel'].shape} weight: its only patch"
    is_grid(found, right, what)
    same_pixels(found, right, what, look)


@check("weight_grid", points=0.5)
def test_grids_of_any_number(observed, expected):
    """Any number of kernels has its place."""
    look = "Rows of eight, the last perhaps shorter; the second axis of the weight tells colour from the rest."
    same_patches(observed, expected, "few colour", look)
    same_patches(observed, expected, "three kernels", look)
    same_patches(observed, expected, "many", look)
    same_patches(observed, expected, "many colour", look)


@check("weight_grid", points=0.5)
def test_two_black_pixels_between_patches(observed, expected):
    """Two black pixels lie around every patch."""
    for layer in ("colour", "deeper"):
        found, right = observed.grids_of_many_layers["grids"][layer], expected.grids_of_many_layers["grids"][layer]
        given = expected.grids_of_many_layers["given"][layer]
        what = f"weight_grid of a {given.shape} weight"
        is_grid(found, right, what)
        between = ~patch_places(given, right)
        padding = [Tensor(grid.array[:, between], grid.dtype) for grid in (found, right)]
        same_pixels(*padding, f"{what}: the pixels between the patches", "Padding is black: 0.")


@check("weight_grid", points=0.5)
def test_grid_leaves_the_weight(observed, expected):
    """The weight itself is not changed."""
    seen, right = observed.grids_of_many_layers, expected.grids_of_many_layers
    for layer, given in right["given"].items():
        is_tensor(seen["grids"][layer], f"weight_grid of a {given.shape} weight")
        leaves_the_weight(seen["given after"][layer], given)


# --- training ---------------------------------------------------------------------------------------------------------


@check("pick_device", points=0.5)
def test_cpu_where_there_is_no_accelerator(observed, expected):
    """The CPU where there is no accelerator, even if PyTorch was built for one."""
    is_device(observed.devices_of_three_machines["cpu"], CPU, "pick_device() without an accelerator",
              "Whether one is available now is another question than what PyTorch was built for.")  # fmt: skip


@check("pick_device", points=1)
def test_accelerator_where_there_is_one(observed, expected):
    """The accelerator where there is one."""
    takes_the_accelerator(observed.devices_of_three_machines)


def trained(seen: dict, expected: dict, name: str, what: str) -> None:
    """Requires that training ran and that the weights have changed at all."""
    are_figures(seen[name], what)
    before, after = expected["start"]["classifier.weight"], seen["after" if "after" in seen else "after first"]
    require(not np.array_equal(after["classifier.weight"].array, before.array), what, "weights that have changed",
            "the weights of before")  # fmt: skip


@check("train_one_epoch", points=1)
def test_smaller_last_batch_weighs_less_in_training(observed, expected):
    """The last, smaller batch weighs less in the epoch's figures, and all batches are in them."""
    seen, right = observed.two_epochs_of_training, expected.two_epochs_of_training
    look = "The last batch is one image of all; neither the number of batches nor the batch size divides the sum rightly."
    same_figures(seen["first"], right["first"], "train_one_epoch with a single image in its last batch", look)
    seen, right = observed.training_by_many_batches, expected.training_by_many_batches
    what = "train_one_epoch with 205 batches of one image, and a network that is never sure"
    same_figures(seen["figures"], right["figures"], what, ALL_AND_LIKELIEST)
    same_weights(seen["after"], right["after"], f"{what}: weights afterwards", ALL_AND_LIKELIEST)


@check("train_one_epoch", points=0.5)
def test_training_mode(observed, expected):
    """One pass in training mode, whatever the mode before."""
    for name, sizes in (("two_epochs_of_training", "passes"), ("training_of_a_frozen_network", "passes")):
        seen, right = getattr(observed, name)[sizes], getattr(expected, name)[sizes]
        found = [one["images"] for one in seen]
        same(found, [one["images"] for one in right], "train_one_epoch: images in each forward pass of the network",
             look="Every batch goes through the network once an epoch.")  # fmt: skip
        modes = [one["batch norm training"] and one["dropout training"] for one in seen]
        require(all(modes), "train_one_epoch for a network that was in evaluation mode",
                "batch norm and dropout in training mode at every batch", f"{sum(modes)} of {len(modes)} batches",
                "After a test pass the network is in evaluation mode until someone says otherwise.")  # fmt: skip


@check("train_one_epoch", points=1)
def test_weights_after_two_epochs(observed, expected):
    """After two epochs with momentum the weights are where one step a batch leads."""
    seen, right = observed.two_epochs_of_training, expected.two_epochs_of_training
    trained(seen, right, "first", "train_one_epoch")
    look = "One step for each batch, with this batch's gradients alone, by the optimizer that was given."
    same_weights(seen["after first"], right["after first"], "weights and buffers after one epoch", look)
    same_weights(seen["after second"], right["after second"], "weights and buffers after two epochs", look)


@check("train_one_epoch", points=0.5)
def test_second_epoch_begins_anew(observed, expected):
    """The figures of a second epoch are its own."""
    seen, right = observed.two_epochs_of_training, expected.two_epochs_of_training
    look = "Sums begin at zero at each call; and the second epoch starts from the weights of the first."
    same_figures(seen["second"], right["second"], "train_one_epoch called a second time", look)


@check("train_one_epoch", points=0.5)
def test_optimizer_is_the_callers(observed, expected):
    """The optimizer that was given does the work, with its own settings."""
    seen, right = observed.two_epochs_of_training, expected.two_epochs_of_training
    trained(seen, right, "first", "train_one_epoch")
    same(seen["settings after"], right["settings before"], "settings of the optimizer after train_one_epoch",
         look="Learning rate, momentum and weight decay are the caller's.")  # fmt: skip
    require(seen["parameters with momentum"] == right["parameters with momentum"], "parameters moved by the optimizer",
            f"{right['parameters with momentum']}", seen["parameters with momentum"],
            "An optimizer made inside the function forgets its momentum at every call.")  # fmt: skip
    require(seen["gradients allowed after"] is True, "gradients after train_one_epoch", "allowed", "switched off")
    callers_things_left(seen, right, "train_one_epoch")


@check("train_one_epoch", points=0.5)
def test_frozen_weights_stay_frozen(observed, expected):
    """Frozen weights stay frozen while the others learn."""
    seen, right = observed.training_of_a_frozen_network, expected.training_of_a_frozen_network
    what = "train_one_epoch with a frozen convolution"
    are_figures(seen["figures"], what)
    same(seen["trainable"], right["trainable"], f"{what}: requires_grad afterwards")
    same(seen["after"]["features.conv0.weight"], right["before"]["features.conv0.weight"], f"{what}: its weight")
    learnt = not np.array_equal(seen["after"]["classifier.weight"].array, right["before"]["classifier.weight"].array)
    require(learnt, f"{what}: the classifier's weight", "a change", "the weight of before")


@check("train_one_epoch", points=1.5)
def test_training_on_an_accelerator(observed, expected):
    """Trains on the device where the network is."""
    seen, right = observed.train_on_accelerator, expected.train_on_accelerator
    what = "train_one_epoch on an accelerator"
    look = "Where these are right on the CPU, look for what is left on the wrong device, or moved from the right one."
    same_figures(seen["figures"], right["figures"], what, look)
    same(seen["devices"], right["devices"], f"{what}: devices of the weights afterwards", look=look)
    same_weights(seen["after"], right["after"], f"{what}: weights afterwards", look)


@check("train_one_epoch", points=0.5)
def test_training_leaves_the_random_state(observed, expected):
    """The random state is left to the notebook."""
    trained(observed.two_epochs_of_training, expected.two_epochs_of_training, "first", "train_one_epoch")
    random_state_left(observed.two_epochs_of_training["random state"], "train_one_epoch")


def three_epochs_on(observed, expected, which: str = "cpu") -> tuple[dict, dict]:
    """One of the runs of `fit`, and the reference's in which the same functions were replaced as it called."""
    run = observed.three_epochs[which]
    return run, reference_run(run, expected.three_epochs["cpu"], expected.three_epochs_for_real)


@check("fit", points=1)
def test_trains_and_tests_once_an_epoch(observed, expected):
    """Each epoch trains once on the training images, then tests what was trained on the test images."""
    run, right = three_epochs_on(observed, expected)
    same_columns(run, right, ("train_loss", "test_loss"), "fit(…, epochs=3)")
    trains_and_tests(run, right, 3)


@check("fit", points=1)
def test_history_of_three_epochs(observed, expected):
    """Every epoch's figures are in their lists, as they came."""
    run, right = three_epochs_on(observed, expected)
    is_history(history_of(run), 3, "fit(…, epochs=3)")
    same_columns(run, right, FIGURES, "fit(…, epochs=3)")
    run = observed.epoch_of_many_batches
    right = reference_run(run, expected.epoch_of_many_batches, expected.epoch_of_many_batches_for_real)
    same_columns(run, right, FIGURES, "fit(…, epochs=1) with 205 batches of one image, and a network that is never sure")


@check("fit", points=0.5)
def test_ten_epochs_by_default(observed, expected):
    """Ten epochs when nothing is said."""
    is_history(history_of(observed.epochs_not_given), 10, "fit(…) without a number of epochs")


@check("fit", points=1)
def test_seconds_are_wall_time(observed, expected):
    """The seconds are each epoch's own wall time, training and test."""
    are_wall_times(observed.three_epochs["timed"], 2, "fit(…, epochs=2) with slow images: history['seconds']")


@check("fit", points=0.5)
def test_every_call_begins_a_new_history(observed, expected):
    """Every call begins a new history."""
    run, right = three_epochs_on(observed, expected, "timed")
    history, right, what = history_of(run), history_of(right), "fit(…, epochs=2) after other calls of fit"
    for name in FIGURES:
        look = "Lists made outside the function, or as defaults of its arguments, are the same at every call."
        same(history.get(name), right[name][:2], f"{what}: history[{name!r}]", within=FIGURE, look=look)


@check("fit", points=0.5)
def test_fit_leaves_the_callers_things(observed, expected):
    """The optimizer, its settings and the random state are the caller's."""
    run, right = three_epochs_on(observed, expected)
    is_history(history_of(run), 3, "fit(…, epochs=3)")
    for epoch, (call, wanted) in enumerate(zip(run["train_one_epoch"], right["train_one_epoch"], strict=False), 1):
        require(call["optimizer given"] is True, f"fit: the optimizer in epoch {epoch}", "the one that was given",
                "another", "A new optimizer each epoch forgets its momentum.")  # fmt: skip
        same(call["settings"], wanted["settings"], f"fit: settings of the optimizer in epoch {epoch}", within=1e-9)
    same(run["settings"], right["settings"], "settings of the optimizer after fit", within=1e-9)
    long, right_long = observed.epochs_not_given, expected.epochs_not_given
    history_of(long)
    same(long["settings"], right_long["settings"], "settings of the optimizer after ten epochs", within=1e-9,
         look="A scheduler changes them after some epochs.")  # fmt: skip
    same(run["momentum"], right["momentum"], "momentum that the given optimizer has of each parameter", within=FIGURE,
         look="The optimizer that was given takes the steps, not another, and keeps what it remembers.")  # fmt: skip
    random_state_left(observed.three_epochs["random state"], "fit")


@check("fit", points=0.5)
def test_fit_ends_with_the_last_weights(observed, expected):
    """The network ends with the last epoch's weights."""
    run, right = three_epochs_on(observed, expected)
    history_of(run)
    look = "All epochs are trained, on the network that was given, and none of them is undone."
    same_weights(run["weights"], right["weights"], "the network's weights after fit(…, epochs=3)", look)
    same(run["trainable"], right["trainable"], "requires_grad of the parameters after fit(…, epochs=3)")
    long = observed.epochs_not_given
    if isinstance(long["history"], dict) and long["train_one_epoch"]:  # of a training for real there is no reference
        weights = expected.epochs_not_given["weights"]
        same_weights(long["weights"], weights, "the network's weights after fit(…) with ten epochs", look)


@check("fit", points=0.5)
def test_fit_on_an_accelerator(observed, expected):
    """Works on the device that is given."""
    run, right = three_epochs_on(observed, expected, "accelerator")
    what = "fit on an accelerator"
    same_columns(run, right, FIGURES, what)
    devices = expected.three_epochs["accelerator"]["devices of the network"]
    same(run["devices of the network"], devices, f"{what}: devices of the network afterwards",
         look="The network is the caller's, and stays where it is.")  # fmt: skip
    for name in ("train_one_epoch", "evaluate"):
        for call, wanted in zip(run[name], expected.three_epochs["accelerator"][name], strict=False):
            same(call["device"], wanted["device"], f"{what}: the device passed to {name}")
            same(call["devices of the network"], wanted["devices of the network"], f"{what}: devices of the network",
                 look="The network is on the device already, and stays there.")  # fmt: skip


# --- plots ------------------------------------------------------------------------------------------------------------


def drawn(observed, expected, name: str = "twelve") -> tuple[dict, dict]:
    """The figure seen and the history that was given; requires that it was drawn."""
    seen = observed.curves_of_two_histories[name]["figure"]
    require(not isinstance(seen, Error), "plot_history(history)", "a matplotlib Figure", seen)
    return seen, expected.curves_of_two_histories[name]["given"]


@check("plot_history", points=1.5)
def test_epochs_count_from_one(observed, expected):
    """The curves stand over the epochs, counted from 1."""
    for name in ("twelve", "three"):
        counts_from_one(*drawn(observed, expected, name))


@check("plot_history", points=0.5)
def test_curves_of_any_history(observed, expected):
    """Any number of epochs, all of each curve to be seen, and nothing of other lists or other histories."""
    for name in ("twelve", "three"):
        seen, history = drawn(observed, expected, name)
        for curve, (place, found) in has_curves(seen, history).items():
            for one in found:
                whole_curve_shows(one, axes_of(seen)[place], f"plot_history(history): the curve of {curve}")
        draws_only_figures(seen, history)
        curves = [curve["y"] for axes in axes_of(seen) for curve in axes["curves"]]
    _, before = drawn(observed, expected, "twelve")
    again = sum(before[name] in curves for name in FIGURES)
    require(again == 0, "plot_history(history), called a second time with another history", "its four curves alone",
            f"also {again} of the first call", "Each call makes a figure of its own.")  # fmt: skip


def whole_curve_shows(curve: dict, axes: dict, what: str) -> None:
    """Requires every point of a curve to be within the limits of its axes."""
    for direction in ("x", "y"):
        low, high = sorted(axes["limits"][direction])
        slack = 1e-6 * (high - low)
        outside = [value for value in curve[direction] if not low - slack <= value <= high + slack]
        require(not outside, what, f"all of it between the limits of the {direction} axis, {low:.4g} and {high:.4g}",
                f"{len(outside)} points cut off", "Limits that are written down do not fit every history.")  # fmt: skip


@check("plot_history", points=1)
def test_loss_comes_first(observed, expected):
    """The loss is on the left or above, the accuracy on the right or below."""
    loss_is_first(*drawn(observed, expected))


@check("plot_history", points=0.5)
def test_colours_of_any_history(observed, expected):
    """Training is red and test green on both axes, whatever the order of the lists."""
    colours_tell_training_from_test(*drawn(observed, expected))


@check("plot_history", points=1)
def test_axes_are_labelled(observed, expected):
    """Both directions of both axes are labelled."""
    axes_are_labelled(*drawn(observed, expected))


@check("plot_history", points=1)
def test_legend_on_each(observed, expected):
    """A legend on each pair of axes tells training from test."""
    legends_tell_the_curves(*drawn(observed, expected))


@check("plot_history", points=0.5)
def test_history_is_only_read(observed, expected):
    """The history itself is not changed."""
    seen, history = drawn(observed, expected)
    require(len(axes_of(seen)) == 2, "plot_history(history)", "a figure with two axes", "another")
    after = observed.curves_of_two_histories["twelve"]["history after"]
    same(after, history, "the history after plot_history(history)", look="Draw it, only.")


# --- remarks ----------------------------------------------------------------------------------------------------------


@remark("train_one_epoch", says=OFTEN)
def waits_in_training(observed, expected):
    """How often the training loop waits for the accelerator."""
    return waits(observed.train_on_accelerator)


