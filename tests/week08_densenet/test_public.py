"""The public checks of week08_densenet: what students run in the notebook. Each compares plain recordings."""

import re

import numpy as np

from autograder.authoring import Error, Other, Tensor, check, require, same, wrapping

from .block_checks import NEAR, has_torchvisions_state, is_module, moved_its_statistics, passes_gradients
from .classifier_test_public import *  # noqa: F403
from .evaluate_test_public import *  # noqa: F403
from .evaluate_test_public import (
    ELSEWHERE,
    FIGURE,
    WEIGHT,
    callers_things_left,
    fractions,
    is_done_elsewhere,
    same_figures,
    same_weights,
)

STEP = 1 / 255
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")

# --- right values in wrong wrappings, beside those that the grader knows ---------------------------------------------


@wrapping("make_loaders")
def loaders_in_a_list(found, expected):
    """Two loaders in a list."""
    listed = isinstance(found, dict) and "kinds" in found and found.get("type") == "list"
    return found | {"type": "tuple"} if listed else found


@wrapping("plot_history")
def figure_beside_its_axes(found, expected):
    """The figure together with its axes, as `plt.subplots` gives them."""
    beside = isinstance(found, dict) and "axes" in found and str(found.get("figure")).startswith("tuple of Figure, ")
    return found | {"figure": "Figure"} if beside else found


@wrapping("fit")
def accuracies_in_percent(found, expected):
    """All of a history's accuracies 100 times the right ones."""
    names = ("train_accuracy", "test_accuracy")
    lists = all(isinstance(one, dict) and isinstance(one.get(name), list) for one in (found, expected) for name in names)
    return found | {name: fractions(found[name], expected[name]) for name in names} if lists else found


# --- transforms -------------------------------------------------------------------------------------------------------


def is_image(found, size: int, what: str) -> None:
    """Requires a float32 tensor (3, size, size)."""
    look = "ToTensor gives channels first, as float32; `image_size` is both the height and the width."
    is_tensor = isinstance(found, Tensor) and found.kind == "tensor"
    require(is_tensor, what, f"a torch.Tensor of shape (3, {size}, {size})", found, look)
    require(found.shape == (3, size, size), what, f"the shape (3, {size}, {size})", f"the shape {found.shape}", look)
    require(found.dtype == "torch.float32", what, "dtype torch.float32", f"dtype {found.dtype}", look)


def is_resized(found, expected: Tensor, what: str, look: str, by_torchvision: Tensor | None = None) -> None:
    """Requires every pixel within 1/255 of the expected one.

    Torchvision's own resizing of bytes is two steps off at rare pixels: what is within 1/255 of that is right there too.
    """
    is_image(found, expected.shape[1], what)
    gaps = found.array - expected.array
    if by_torchvision is not None:
        others = found.array - by_torchvision.array
        gaps = np.where(np.abs(others) < np.abs(gaps), others, gaps)
    what = f"{what}: differences from PIL's bilinear resize (up to 1/255 is right)"
    zeros = Tensor(np.zeros_like(gaps), found.dtype)
    same(Tensor(gaps, found.dtype), zeros, what, within=1.1 * STEP, look=look)


@check("make_transform", points=1)
def test_photo_becomes_a_tensor(observed, expected):
    """A photo becomes a float32 tensor (3, image_size, image_size)."""
    size = expected.one_small_photo["size"]
    is_image(observed.one_small_photo["enlarged"], size, f"make_transform({size}) of a 32 × 32 photo")
    is_image(observed.one_small_photo["same size"], 32, "make_transform(image_size=32) of a 32 × 32 photo")
    is_image(observed.one_small_photo["wide"], size, f"make_transform({size}) of a wide photo")
    same(observed.one_small_photo["default shape"], [3, 224, 224], "make_transform()(photo): the shape",
         look="The default stands in the function's first line.")  # fmt: skip


@check("make_transform", points=1)
def test_values_are_the_photos(observed, expected):
    """The values are the photo's own, from 0 to 1."""
    found, right = observed.one_small_photo["same size"], expected.one_small_photo["same size"]
    what = "make_transform(32) of a photo that is 32 × 32 already"
    require(isinstance(found, Tensor) and found.array.size > 0, what, "a tensor with values", found)
    span = f"values from {found.array.min():.3g} to {found.array.max():.3g}"
    look = "Divide by 255 once; no Normalize here, since the lecture trains on plain pixels."
    require(found.array.min() >= -1e-6 and found.array.max() <= 1 + 1e-6, what, "values from 0 to 1", span, look)
    look = "Each value is the photo's divided by 255, and channel, row and column stay where they are."
    is_resized(found, right, what, look)


def are_whole_steps(found, what: str) -> None:
    """Requires every value to be a multiple of 1/255."""
    steps = found.array.astype(np.float64) / STEP
    off = float(np.abs(steps - np.round(steps)).max())
    require(off < 1e-2, what, "whole multiples of 1/255", f"values between them, by up to {off:.2f} of a step",
            "Resize the image first, make it a float tensor afterwards.")  # fmt: skip


@check("make_transform", points=0.5)
def test_photo_is_resized_as_a_picture(observed, expected):
    """The whole photo is resized, bilinearly, to values that are whole multiples of 1/255."""
    seen, right = observed.one_small_photo, expected.one_small_photo
    size, by_torchvision = right["size"], expected.one_small_photo_by_torchvision
    look = "The whole picture fills the square, neither cut nor framed; bilinear, and where it shrinks all pixels count."
    for name, what in (("enlarged", "a 32 × 32 photo"), ("wide", "a wide photo of twice its size")):
        is_resized(seen[name], right[name], f"make_transform({size}) of {what}", look, by_torchvision[name])
        are_whole_steps(seen[name], f"make_transform({size}) of {what}")
    are_whole_steps(seen["same size"], "make_transform(32) of a 32 × 32 photo")


def loader_of(seen: dict, name: str) -> list[dict]:
    """The passes seen over one loader; requires a tuple of two loaders."""
    what, look = "make_loaders(train_set, test_set, …)", "Return the two loaders together: `return first, second`."
    require(seen["type"] == "tuple" and seen["kinds"] == [True, True], what, "a tuple of two DataLoaders",
            f"a {seen['type']} of {len(seen['kinds'])}, of which {sum(seen['kinds'])} are DataLoaders", look)  # fmt: skip
    require(isinstance(seen[name], list), f"the {name} loader", "batches of images and labels", seen[name])
    return seen[name]


def whole_passes(seen: dict, right: dict, name: str) -> list[dict]:
    """The passes of one loader; requires that each brings every image exactly once, with its own label."""
    passes, count = loader_of(seen, name), right[{"training": "train count", "test": "test count"}[name]]
    for number, one in enumerate(passes, 1):
        what = f"pass {number} over the {name} loader, for a set of {count} images"
        look = "Which data set does this loader read, and does it leave anything out or take anything twice?"
        require(sorted(one["labels"]) == list(range(count)), what, f"each of the {count} images exactly once",
                f"{len(one['labels'])} images, {len(set(one['labels']))} of them different", look)  # fmt: skip
        numbers = [int(first) for first, _ in one["corners"]]  # an image's first pixel is its number
        look = "An image and its label must stay together."
        require(one["labels"] == numbers, what, "images with their own labels", "images beside other labels", look)
        corners = [[float(number), number + right["last pixels"][name]] for number in numbers]
        same(one["corners"], corners, f"{what}: first and last pixel of each image", look="A loader only brings them.")
        kinds = ["images torch.float32, labels torch.int64"]
        same(one["kinds"], kinds, f"{what}: dtypes in its batches", look="A loader only brings them.")
    attributes = [["images", "labels", "on_pass"]] * 2
    same(seen["attributes of the sets"], attributes, "attributes of the two data sets after make_loaders",
         look="The data sets are the caller's: load them, and leave them as they are.")  # fmt: skip
    return passes


@check("make_loaders", points=1)
def test_two_loaders(observed, expected):
    """A tuple of two loaders, first training, then test, with the batch size asked for."""
    seen, right = observed.two_loaders, expected.two_loaders
    for name, count in (("training", right["train count"]), ("test", right["test count"])):
        size, sets = right["batch size"], ("default", {"training": 40, "test": 34}[name])
        full, what = [size] * (count // size), f"for {count} images and batch_size={size}"
        found = [one["sizes"][: len(full)] for one in loader_of(seen, name)]
        look = "Both loaders get the batch size, each its own data set."
        same(found, [full, full], f"sizes of the full batches in the {name} loader, {what}", look=look)
        require(isinstance(seen["by default"], dict), "make_loaders(train_set, test_set)", "two loaders", seen["by default"])
        found = [one["sizes"][:1] for one in loader_of(seen["by default"], name)]
        same(found, [[32]], f"size of the first batch in the {name} loader for {sets[1]} images and no batch size",
             look="The default stands in the function's first line.")  # fmt: skip


@check("make_loaders", points=1)
def test_every_image_once(observed, expected):
    """Every image comes exactly once an epoch."""
    whole_passes(observed.two_loaders, expected.two_loaders, "training")
    whole_passes(observed.two_loaders, expected.two_loaders, "test")


def is_reshuffled(passes: list[dict]) -> None:
    """Requires a random order in each of two passes or more, always another."""
    orders = [one["labels"] for one in passes]
    for number, order in enumerate(orders, 1):
        require(order != sorted(order), f"training images in epoch {number}", "a random order", "the data set's order",
                "`shuffle` belongs to the training loader.")  # fmt: skip
    different = all(one != other for place, one in enumerate(orders) for other in orders[:place])
    require(different and len(orders) > 1, f"training images in {len(orders)} epochs", "another order in each",
            "the same order again", "The loader shuffles at each epoch; shuffling the data set once does not.")  # fmt: skip


def keeps_its_order(passes: list[dict]) -> None:
    """Requires the data set's order in each pass."""
    for number, one in enumerate(passes, 1):
        labels = one["labels"]
        require(len(labels) > 1, f"the test images in pass {number}", "images", labels)
        require(labels == list(range(len(labels))), f"test images in pass {number}, by their place in the data set",
                "0, 1, 2, …", labels, "Only the training images are shuffled.")  # fmt: skip


@check("make_loaders", points=0.5)
def test_orders_of_both_loaders(observed, expected):
    """Training images come in a new order every epoch, test images in the data set's."""
    seen, right = observed.two_loaders, expected.two_loaders
    passes = {name: loader_of(seen, name) for name in ("training", "test")}
    for name, count in (("training", right["train count"]), ("test", right["test count"])):
        least = min(len(one["labels"]) for one in passes[name])
        size = right["batch size"]
        require(count // size * size <= least <= count, f"images in a pass over the {name} loader", f"{count}", f"{least}")
    is_reshuffled(passes["training"])
    keeps_its_order(passes["test"])


# --- parameters -------------------------------------------------------------------------------------------------------


def are_shapes(found, expected, what: str, look: str) -> None:
    """Requires the expected list, saying first what is missing or too many."""
    require(isinstance(found, list), what, "a list", found, "A list in square brackets or made by `list(…)`.")
    require(all(isinstance(shape, tuple) for shape in found), what, "a tuple for each parameter", found,
            "`tuple(…)` makes one of any sequence.")  # fmt: skip
    require(len(found) == len(expected), what, f"{len(expected)} shapes: {expected}", f"{len(found)}: {found}", look)
    same(found, expected, what, look=look)


@check("parameter_shapes", points=1.5)
def test_shapes_of_a_few_layers(observed, expected):
    """One tuple for each parameter tensor, in the network's own order."""
    are_shapes(observed.shapes_of_a_few_layers, expected.shapes_of_a_few_layers,
               "parameter_shapes of a frozen convolution, batch norm, two linear layers, and two that share one weight",
               "Weights and biases both are parameters, frozen ones too; running statistics are none, and a tensor that "
               "two layers share is one tensor.")  # fmt: skip


def is_count(found, expected: int, what: str, look: str) -> None:
    """Requires the expected Python int."""
    look_type = "A tensor or numpy number becomes a Python int by `int(…)`."
    require(type(found) is int, what, f"the int {expected:,}", found, look_type)
    require(found == expected, what, f"{expected:,}", f"{found:,}", look)


@check("count_parameters", points=0.5)
def test_size_of_densenet121(observed, expected):
    """DenseNet-121 has 7,978,856 parameters."""
    is_count(observed.size_of_densenet121["1000 classes"], expected.size_of_densenet121["1000 classes"],
             "count_parameters(DenseNet-121)",
             "Count the numbers in the parameters, neither the tensors nor what BatchNorm stores besides.")  # fmt: skip


@check("count_parameters", points=1.5)
def test_size_with_fewer_classes(observed, expected):
    """With fewer classes it has fewer: the network is counted, not remembered."""
    right = expected.size_of_densenet121
    is_count(observed.size_of_densenet121["fewer classes"], right["fewer classes"],
             f"count_parameters(DenseNet-121 with {right['classes']} classes)",
             "The count depends on the network that is given.")  # fmt: skip


@check("count_parameters", points=0.5)
def test_size_of_what_is_trained(observed, expected):
    """Frozen parameters do not count, a shared one counts once."""
    seen, right = observed.size_of_densenet121, expected.size_of_densenet121
    is_count(seen["frozen"], right["frozen"], "count_parameters of a frozen convolution and a linear layer",
             "Trainable means `requires_grad`.")  # fmt: skip
    is_count(seen["shared"], right["shared"], "count_parameters of two linear layers that share one weight",
             "Two layers, one tensor: the optimizer trains it once.")  # fmt: skip


# --- block ------------------------------------------------------------------------------------------------------------

SQUEEZED = "Squeezed to bottleneck · growth channels by a 1 × 1 convolution, then growth written by a 3 × 3 one."


def layer_named(widths: list[int]) -> str:
    return f"DenseLayer({', '.join(map(str, widths))})"


def is_output(found, widths: list[int], x: Tensor, what: str) -> None:
    """Requires a tensor as high and wide as the input, with `growth` more channels."""
    shape = (x.shape[0], widths[0] + widths[1], *x.shape[2:])
    require(isinstance(found, Tensor) and found.kind == "tensor", what, f"a torch.Tensor of shape {shape}", found)
    require(found.shape == shape, f"{what}: the shape", f"{shape}: {widths[0]} channels and {widths[1]} new ones",
            f"{found.shape}", "New channels are put beside what came in, along the axis of the channels.")  # fmt: skip


def keeps_its_input(seen: dict, widths: list[int], x: Tensor, what: str) -> None:
    """Requires the input in front of the output, and unchanged where it came from."""
    is_output(seen["output"], widths, x, what)
    front = Tensor(seen["output"].array[:, : widths[0]], seen["output"].dtype)
    same(front, x, f"{what}: its first {widths[0]} channels", within=0, look="The input comes first, as it came in.")
    same(seen["x after"], x, f"{what}: x afterwards", within=0,
         look="Later layers read x too: what works in place, as `inplace=True`, must not work on x.")  # fmt: skip


def writes_the_new_channels(seen: dict, expected: dict, widths: list[int], what: str, look: str) -> None:
    """Requires the right new channels, behind the input, in front of it, or alone: where they are is asked elsewhere."""
    channels, growth, *_ = widths
    found, right = seen["output"], expected["output"].array[:, channels:]
    require(isinstance(found, Tensor) and found.kind == "tensor", what, "a torch.Tensor", found)
    places = [found.array[:, channels:], found.array[:, :growth]] if found.array.ndim == 4 else []
    new = [part for part in places if part.shape == right.shape]
    require(bool(new), f"{what}: the shape of the {growth} new channels", f"{right.shape}", f"{found.shape} in all",
            "Padding keeps height and width; `growth` channels are new.")  # fmt: skip
    gap = [float(np.abs(part - right).max()) for part in new]
    nearest = new[int(np.argmin(np.nan_to_num(gap, nan=np.inf)))]
    same(Tensor(nearest, found.dtype), Tensor(right, "torch.float32"), f"{what}: the new channels", within=NEAR, look=look)


@check("DenseLayer", points=0.5)
def test_layer_has_torchvisions_names(observed, expected):
    """It is a module whose parameters and buffers have the names and shapes of torchvision's dense layer."""
    seen, right = observed.a_dense_layer, expected.a_dense_layer
    has_torchvisions_state(seen["layer"], right["layer"], layer_named(right["widths"]), SQUEEZED)
    has_torchvisions_state(seen["by default"], right["by default"], layer_named(right["widths"][:1]), SQUEEZED)


@check("DenseLayer", points=1)
def test_new_channels_come_behind_the_input(observed, expected):
    """The input stands in front of the result, unchanged, the new channels behind it."""
    seen, right = observed.a_dense_layer, expected.a_dense_layer
    is_module(seen["layer"], layer_named(right["widths"]))
    for mode in ("evaluation", "training"):
        what = f"{layer_named(right['widths'])}(x) in {mode} mode"
        keeps_its_input(seen[mode], right["widths"], right["x"], what)


@check("DenseLayer", points=1)
def test_new_channels_are_torchvisions(observed, expected):
    """With torchvision's weights the new channels are torchvision's, in evaluation mode."""
    seen, right = observed.a_dense_layer, expected.a_dense_layer
    what = f"{layer_named(right['widths'])}(x) in evaluation mode"
    is_module(seen["layer"], what)
    look = "Batch norm, ReLU, convolution, and once more: the order matters, and each of the six has its work."
    writes_the_new_channels(seen["evaluation"], right["evaluation"], right["widths"], what, look)


@check("DenseLayer", points=0.5)
def test_layer_learns(observed, expected):
    """In training mode too; the running statistics move, and gradients reach the input and every parameter."""
    seen, right = observed.a_dense_layer, expected.a_dense_layer
    what = f"{layer_named(right['widths'])}(x) in training mode"
    is_module(seen["layer"], what)
    learns(seen["training"], right["training"], seen["gradients"], right["gradients"], right["widths"], what)


def learns(seen: dict, expected: dict, gradients: dict, right_gradients: dict, widths: list[int], what: str) -> None:
    """Requires the new channels of training mode, running statistics that moved as they do, and all gradients."""
    look = "In training mode batch norm takes the batch's own statistics; nothing else changes, and nothing is random."
    writes_the_new_channels(seen, expected, widths, what, look)
    moved_its_statistics(seen, expected, what)
    passes_gradients(gradients, right_gradients, what)


# --- weights ----------------------------------------------------------------------------------------------------------


def is_snapshot(found, expected: dict, what: str, look: str = "") -> None:
    """Requires a dict of exactly these names with tensors of exactly these values."""
    require(isinstance(found, dict), what, f"a dict with the names {list(expected)}", found, look)
    for name in expected:
        if name in found:
            require(isinstance(found[name], Tensor) and found[name].kind == "tensor", f"{what}[{name!r}]",
                    "a torch.Tensor", found[name], "Keep tensors, neither lists nor numpy arrays.")  # fmt: skip
    same(found, expected, what, look=look or "The values are the weights' own at the time of the call.")


@check("snapshot_weights", points=1)
def test_snapshot_has_the_weights(observed, expected):
    """A dict from each name to the weight's values."""
    is_snapshot(observed.snapshot_before_a_step["made"], expected.snapshot_before_a_step["made"],
                'snapshot_weights(net, ["features.conv0.weight", "classifier.bias"])')  # fmt: skip


@check("snapshot_weights", points=1)
def test_snapshot_outlives_a_step(observed, expected):
    """A training step does not change a snapshot made before."""
    seen, right = observed.snapshot_before_a_step, expected.snapshot_before_a_step
    same_weights(seen["network"], right["network"], "the network after one step of the optimizer",
                 "A snapshot leaves the network as it is: it trains on.")  # fmt: skip
    is_snapshot(seen["after training"], right["made"],
                "the snapshot after one step of the optimizer",
                "The optimizer changes weights in place: whatever shares their memory changes with them.")  # fmt: skip


@check("snapshot_weights", points=0.5)
def test_snapshot_is_on_the_cpu_and_detached(observed, expected):
    """The copies lie on the CPU and take no part in gradients; the network stays where it is, and learns on."""
    seen, right = observed.snapshot_before_a_step, expected.snapshot_before_a_step
    is_snapshot(seen["made"], right["made"], "snapshot_weights(net, …)")
    for name, tensor in seen["made"].items():
        require(not tensor.requires_grad, f"the snapshot of {name!r}: requires_grad", "False", "True",
                "A copy that remembers where it came from keeps the whole computation alive.")  # fmt: skip
    same(seen["trainable"], right["trainable"], "requires_grad of the network's own parameters after snapshot_weights",
         look="Only the copies are detached; an underscore at a method's end means in place.")  # fmt: skip
    seen, right, what = observed.snapshot_elsewhere, expected.snapshot_elsewhere, "snapshot_weights on an accelerator"
    is_snapshot(seen["snapshot"], right["snapshot"], what)
    for name, tensor in seen["snapshot"].items():
        require(tensor.device == "cpu", f"{what}: device of {name!r}", "cpu", tensor.device,
                "Snapshots outlive the training: they need not fill the GPU's memory.")  # fmt: skip
    require(all(seen["on the accelerator"].values()), f"{what}: the network afterwards", "where it was", "elsewhere",
            "Move the copies; moving a network moves the network itself.")  # fmt: skip


def raises_key_error(seen: dict) -> None:
    """Requires a KeyError for each of the unknown names."""
    for name, found in seen.items():
        what = f"snapshot_weights with an unknown name ({name})"
        require(isinstance(found, Error) and found.type == "KeyError", what, "a KeyError", found,
                "A misspelt name should be noticed at once; looking up a dictionary raises this by itself.")  # fmt: skip


@check("snapshot_weights", points=0.5)
def test_unknown_name_raises(observed, expected):
    """An unknown name raises KeyError."""
    seen, right = observed.snapshot_of_an_unknown_name, expected.snapshot_of_an_unknown_name
    is_snapshot(seen["known"], right["known"], 'snapshot_weights(net, ["classifier.bias"])')
    raises_key_error(seen["unknown"])


@check("weight_difference", points=2)
def test_before_minus_after(observed, expected):
    """Each difference is before − after, whatever the order of the names."""
    found, right = observed.difference_of_two_snapshots["difference"], expected.difference_of_two_snapshots["difference"]
    what = "weight_difference(before, after)"
    look = "As in the lecture: before minus after, number by number; the same name in both, not the same place."
    same(found, right, what, within=1e-6, look=look)


def leaves_its_arguments(seen: dict, right: dict) -> None:
    """Requires both snapshots to be as they were."""
    require(isinstance(seen["difference"], dict) and len(seen["difference"]) > 0, "weight_difference(before, after)",
            "a dict of differences", seen["difference"])  # fmt: skip
    for name, found, given in zip(("before", "after"), seen["arguments after"], right["given"], strict=True):
        look = "The result needs memory of its own; `-=` and `sub_` write into what was given."
        same(found, given, f"weight_difference(before, after): the argument `{name}` afterwards", look=look)
        asking = [key for key, tensor in found.items() if tensor.requires_grad]
        require(not asking, f"weight_difference(before, after): requires_grad in `{name}` afterwards", "False everywhere",
                f"True for {asking}", look)  # fmt: skip


@check("weight_difference", points=0.5)
def test_both_snapshots_stay(observed, expected):
    """Both dicts stay as they were."""
    leaves_its_arguments(observed.difference_of_two_snapshots, expected.difference_of_two_snapshots)


def is_tensor(found, what: str, look: str = "") -> None:
    """Requires a tensor, whatever it shows."""
    require(isinstance(found, Tensor) and found.kind == "tensor", what, "a torch.Tensor", found, look)


def is_grid(found, expected: Tensor, what: str) -> None:
    """Requires a float tensor of the expected grid's size."""
    look = "An image tensor has channels first, three of them; eight patches to a row, two pixels around each."
    is_tensor(found, what, look)
    require(found.shape == expected.shape, what, f"shape {expected.shape}", f"shape {found.shape}", look)
    require(found.dtype in ("torch.float32", "torch.float64"), what, "dtype torch.float32", f"dtype {found.dtype}",
            "The values are floats from 0 to 1.")  # fmt: skip


def same_pixels(found: Tensor, expected: Tensor, what: str, look: str) -> None:
    """Requires the expected values, in single or double precision."""
    same(Tensor(found.array, expected.dtype), Tensor(expected.array, expected.dtype), what, within=GRID, look=look)


# (x − min) / (max − min) and make_grid's own formula agree to 1e-5 where the range of the weights is above 1.
GRID = 1e-4


@check("weight_grid", points=1)
def test_grid_of_colour_kernels(observed, expected):
    """Kernels that read an RGB image are colour patches, eight to a row."""
    what = "weight_grid of a (16, 3, 5, 5) weight"
    found, right = observed.grids_of_two_layers["colour"], expected.grids_of_two_layers["colour"]
    is_grid(found, right, what)
    same_pixels(found, right, what, "All patches in their order, scaled together to [0, 1].")


@check("weight_grid", points=1)
def test_grid_of_a_deeper_layer(observed, expected):
    """Of a deeper layer, the first kernel's channels are shown in grey."""
    what = "weight_grid of a (4, 16, 3, 3) weight"
    found, right = observed.grids_of_two_layers["deeper"], expected.grids_of_two_layers["deeper"]
    is_grid(found, right, what)
    same_pixels(found, right, what, "The 16 patches of the first kernel, each in three equal channels.")
    found, right = observed.grids_of_two_layers["two"], expected.grids_of_two_layers["two"]
    is_grid(found, right, "weight_grid of a (3, 2, 3, 3) weight")
    same_pixels(found, right, "weight_grid of a (3, 2, 3, 3) weight", "Colour is for kernels of three channels alone.")


def leaves_the_weight(found: Tensor, given: Tensor) -> None:
    """Requires the weight to be as it was."""
    same(found, given, f"the {given.shape} weight after weight_grid", look="Scale a copy.")
    require(not found.requires_grad, f"the {given.shape} weight after weight_grid: requires_grad", "False, as before", "True",
            "An underscore at a method's end means in place.")  # fmt: skip


@check("weight_grid", points=0.5)
def test_shown_weight_stays(observed, expected):
    """The weight itself stays as it is."""
    seen, right = observed.grids_of_two_layers, expected.grids_of_two_layers
    for layer, given in right["given"].items():
        is_tensor(seen[layer], f"weight_grid of a {given.shape} weight")
        leaves_the_weight(seen["given after"][layer], given)


# --- training ---------------------------------------------------------------------------------------------------------


CPU = ("cpu", "cpu:0")


def is_device(seen: dict, names: tuple[str, ...], what: str, look: str) -> None:
    """Requires a torch.device of one of these names."""
    device = seen["device"]
    require(isinstance(device, Other) and device.type == "torch.device", what, "a torch.device", device,
            "`torch.device(…)` makes one of a name.")  # fmt: skip
    require(seen["name"] in names, what, " or ".join(names), seen["name"], look)


@check("pick_device", points=0.5)
def test_device_of_a_laptop(observed, expected):
    """Without an accelerator it is the CPU, as a torch.device."""
    look = "Ask whether there is a GPU before choosing it."
    is_device(observed.device_of_a_laptop, CPU, "pick_device() without an accelerator", look)


@check("pick_device", points=0.5)
def test_device_beside_a_gpu(observed, expected):
    """The accelerator where there is one."""
    seen = {"cpu": [], "cuda": [], "mps": []}
    for machine, device in zip(expected.devices_of_two_gpus["machines"], observed.devices_of_two_gpus["devices"], strict=True):
        seen[machine].append(device)
    for number in range(max(map(len, seen.values()))):
        takes_the_accelerator({machine: devices[min(number, len(devices) - 1)] for machine, devices in seen.items()})


def takes_the_accelerator(seen: dict) -> None:
    """Requires the GPU, at least of one kind, and never what was not asked for."""
    look = "Ask PyTorch whether there is one; then choose it."
    is_device(seen["cuda"], ("cuda", "cuda:0", *CPU), "pick_device() beside an NVIDIA GPU", look)
    is_device(seen["mps"], ("mps", "mps:0", *CPU), "pick_device() beside an Apple GPU", look)
    is_device(seen["cpu"], CPU, "pick_device() without an accelerator", look)
    for name, what in (("cuda", "an NVIDIA GPU"), ("mps", "an Apple GPU")):
        require(not (seen[name]["name"] in CPU and seen[name]["was told yes"]), f"pick_device() beside {what}",
                "that GPU, since it asked and was told that there is one", "cpu",
                "What was answered is not what is chosen: look at the conditions, and at what each writes over.")  # fmt: skip
        require(seen[name]["name"] in CPU or seen[name]["was told yes"], f"pick_device() beside {what}",
                "a GPU of which PyTorch was asked", f"{seen[name]['name']}, and nothing was asked", look)  # fmt: skip
    found = [seen[name]["name"] for name in ("cuda", "mps")]
    require(not set(found) <= set(CPU), "pick_device() beside an NVIDIA GPU, and beside an Apple GPU",
            "the GPU, at least of the one kind", " and ".join(found), look)  # fmt: skip


@check("train_one_epoch", points=2)
def test_figures_of_an_epoch(observed, expected):
    """Loss and accuracy of the epoch are means over the images."""
    what = "train_one_epoch on nine images, four to a batch, so that the last batch is one image"
    same_figures(observed.one_epoch["figures"], expected.one_epoch["figures"], what)


@check("train_one_epoch", points=2)
def test_weights_after_an_epoch(observed, expected):
    """The weights have taken one step for each batch."""
    seen, right = observed.one_epoch, expected.one_epoch
    require(not isinstance(seen["figures"], Error), "train_one_epoch", "a trained network", seen["figures"])
    what = "weights after train_one_epoch with SGD"
    moved = any(not np.array_equal(seen["after"][name].array, right["before"][name].array) for name in
                ("features.conv0.weight", "classifier.weight"))  # fmt: skip
    require(moved, what, "weights that have changed", "the weights of before",
            "For each batch: clear the gradients, compute the loss, go backward, take a step.")  # fmt: skip
    same_weights(seen["after"], right["after"], what,
                 "For each batch: the gradients of this batch's mean loss alone, then one step; in training mode.")
    same(seen["settings after"], right["settings before"], "settings of the optimizer after train_one_epoch",
         look="Learning rate, momentum and weight decay are the caller's.")  # fmt: skip
    callers_things_left(seen, right, "train_one_epoch")


@check("train_one_epoch", points=0.5)
def test_training_elsewhere(observed, expected):
    """Images and labels go to the device, where the network is."""
    seen, right = observed.one_epoch_elsewhere, expected.one_epoch_elsewhere
    is_done_elsewhere(seen, right, "train_one_epoch on an accelerator")
    same_weights(seen["after"], right["after"], "train_one_epoch on an accelerator: weights afterwards", ELSEWHERE)


def history_of(run: dict) -> dict:
    """The history of a run of `fit`; requires a dict."""
    require(isinstance(run["history"], dict), "fit(…)", "a dict of five lists", run["history"],
            "Return the dict when all epochs are done.")  # fmt: skip
    return run["history"]


def reference_run(run: dict, replaced: dict, for_real: dict) -> dict:
    """The reference's run in which the same functions were replaced as `run` called."""
    called = [name for name in ("train_one_epoch", "evaluate") if run[name]]
    return replaced if len(called) == 2 else for_real[called[0] if called else "neither"]


def same_columns(run: dict, reference: dict, names: tuple[str, ...], what: str) -> None:
    """Requires these lists of the history, as in the reference's run."""
    history, right = history_of(run), history_of(reference)
    for name in names:
        require(name in history, f"{what}: the history", f"the key {name!r}", f"the keys {list(history)}")
        look = "An epoch trains once, then tests once, and its figures go to the end of each list."
        same(history[name], right[name], f"{what}: history[{name!r}]", within=FIGURE, look=look)


def is_history(history: dict, epochs: int, what: str) -> None:
    """Requires five lists of floats, one entry an epoch."""
    look = "Five lists, each with one Python float more after every epoch."
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"):
        require(name in history, f"{what}: the history", f"the key {name!r}", f"the keys {list(history)}", look)
        values = history[name]
        require(isinstance(values, list), f"{what}: history[{name!r}]", "a list", values, look)
        require(len(values) == epochs, f"{what}: history[{name!r}]", f"{epochs} entries", f"{len(values)}", look)
        floats = all(isinstance(value, float) for value in values)
        require(floats, f"{what}: history[{name!r}]", "Python floats", values, look)


def prints_each_epoch(run: dict, epochs: int, what: str) -> None:
    """Requires a line that begins or ends between the beginnings of two training passes, and after the last."""
    history_of(run)
    counts = [one["lines"] for one in run["passes"] if one["data"] == "training"] + [run["lines"]]
    if len(counts) <= epochs:  # the images were kept from the first epoch: when an epoch began, there is no telling
        counts = [[count] for count in range(run["lines"][0] + 1)]
    ended = max(sum(after > before for before, after in zip(c, c[1:], strict=False)) for c in zip(*counts, strict=True))
    require(ended >= epochs, f"{what}: lines printed", "at least one line as each epoch ends",
            f"a new line after {ended} of {epochs} epochs", "The printing belongs into the loop over epochs.")  # fmt: skip


@check("fit", points=1)
def test_history_has_five_lists(observed, expected):
    """The history is a dict of five lists with one float an epoch."""
    epochs, seen = expected.a_few_epochs["epochs"], observed.a_few_epochs
    is_history(history_of(seen), epochs, f"fit(…, epochs={epochs})")
    is_history(history_of({"history": seen["by default"]}), 10, "fit(…) without a number of epochs")


@check("fit", points=1.5)
def test_history_has_the_figures(observed, expected):
    """Each list holds its own figures, epoch after epoch."""
    run, replaced = observed.a_few_epochs, expected.a_few_epochs
    right = reference_run(run, replaced, expected.a_few_epochs_for_real)
    same_columns(run, right, FIGURES, f"fit(…, epochs={replaced['epochs']})")


@check("fit", points=1)
def test_a_line_an_epoch(observed, expected):
    """A line is printed as each epoch ends."""
    epochs = expected.a_few_epochs["epochs"]
    run, what = observed.a_few_epochs, f"fit(…, epochs={epochs})"
    calls = len(run["train_one_epoch"])
    require(calls in (0, epochs), f"{what}: calls of train_one_epoch", f"one an epoch: {epochs}", f"{calls}")
    prints_each_epoch(run, epochs, what)


@check("fit", points=0.5)
def test_each_epoch_trains_then_tests(observed, expected):
    """Each epoch trains once, then tests once, what it was given."""
    replaced = expected.a_few_epochs
    right = reference_run(observed.a_few_epochs, replaced, expected.a_few_epochs_for_real)
    trains_and_tests(observed.a_few_epochs, right, replaced["epochs"])


def trains_and_tests(run: dict, right: dict, epochs: int) -> None:
    """Requires one training and one test an epoch, of the network, images, criterion and optimizer that were given."""
    history_of(run)
    passes = sum(one["data"] == "training" for one in run["passes"])
    require(passes >= epochs, f"fit(…, epochs={epochs}): passes over the training loader", f"{epochs}", passes,
            "The loader brings the images in a new order each time; batches that are kept stay as they are.")  # fmt: skip
    for name in ("train_one_epoch", "evaluate"):
        require(len(run[name]) == len(right[name]), f"fit(…, epochs={epochs}): calls of {name}", f"{len(right[name])}",
                len(run[name]), "Once an epoch, or never if `fit` does the work itself.")  # fmt: skip
        for epoch, (call, wanted) in enumerate(zip(run[name], right[name], strict=True), 1):
            what = f"fit: the call of {name} in epoch {epoch}"
            same(call["labels"], wanted["labels"], f"{what}: labels of the images it is given",
                 look="Training images for training, test images for testing.")  # fmt: skip
            same(call["weights"], wanted["weights"], f"{what}: the network's classifier bias", within=WEIGHT,
                 look="First train, then test, always the same network.")  # fmt: skip
            same(call["loss"], wanted["loss"], f"{what}: criterion of a fixed guess", within=FIGURE,
                 look="Pass on the criterion that was given.")  # fmt: skip
            same(call["device"], wanted["device"], f"{what}: the device", look="Pass on the device that was given.")
            same(call["trainable"], wanted["trainable"], f"{what}: requires_grad of the parameters",
                 look="Nothing is frozen or thawed here.")  # fmt: skip
    for epoch, (call, wanted) in enumerate(zip(run["train_one_epoch"], right["train_one_epoch"], strict=False), 1):
        require(call["optimizer given"] is True, f"fit: the optimizer in epoch {epoch}", "the one that was given",
                "another", "A new optimizer each epoch forgets its momentum.")  # fmt: skip
        same(call["settings"], wanted["settings"], f"fit: settings of the optimizer in epoch {epoch}", within=1e-9)
    same(run["settings"], right["settings"], "settings of the optimizer after fit", within=1e-9)
    same(run["momentum"], right["momentum"], "momentum that the given optimizer has of each parameter", within=FIGURE,
         look="The optimizer that was given takes the steps, not another, and keeps what it remembers.")  # fmt: skip
    look = "All epochs are trained, on the network that was given, and none of them is undone."
    same_weights(run["weights"], right["weights"], f"the network's weights after fit(…, epochs={epochs})", look)
    same(run["trainable"], right["trainable"], f"requires_grad of the parameters after fit(…, epochs={epochs})")


@check("fit", points=0.5)
def test_seconds_of_each_epoch(observed, expected):
    """The seconds are each epoch's own wall time, training and test."""
    epochs = expected.a_few_epochs["epochs"]
    are_wall_times(observed.a_few_epochs, epochs, f"fit(…, epochs={epochs}) with slow images: history['seconds']")


def least_seconds(passes: list[dict], epochs: int, without: list[float]) -> list[float]:
    """For each epoch the time from the beginning of its training images to the end of its test images' loading.

    Args:
        without: what is said where this cannot be told, since a fit looks into a loader besides.
    """
    training = [one["began"] for one in passes if one["data"] == "training" and "began" in one]
    test = [one["ended"] for one in passes if one["data"] == "test" and "ended" in one]
    counts = [sum(one["data"] == data for one in passes) for data in ("training", "test")]
    if counts != [epochs, epochs]:
        return without
    known = [end - begin for begin, end in zip(training, test, strict=True)]
    return known + [0.0] * (epochs - len(known))


def are_wall_times(run: dict, epochs: int, what: str) -> None:
    """Requires a float for each epoch, at least the time its images took, together at most the time of the call."""
    seconds = history_of(run).get("seconds")
    floats = isinstance(seconds, list) and len(seconds) == epochs and all(isinstance(value, float) for value in seconds)
    require(floats, what, f"a list of {epochs} floats", seconds)
    rounded = all(abs(value * 10 - round(value * 10)) < 1e-9 for value in seconds)  # to tenths of a second
    slack = 0.05 if rounded else 0.006
    besides = [0.05] * 2 + [0.0] * (epochs - 2)  # the pauses alone take longer than this
    leasts = least_seconds(run["passes"], epochs, besides)
    for epoch, (found, least) in enumerate(zip(seconds, leasts, strict=True), 1):
        require(found >= least - slack, f"{what}, epoch {epoch}", f"at least the {least:.3f} s that its images took",
                f"{found:.3f} s", "Wall time in seconds, from before the training to after the test.")  # fmt: skip
    total = sum(seconds)
    most = f"at most the {run['elapsed']:.3f} s of the call"
    require(total <= run["elapsed"] + epochs * slack, f"{what}: their sum", most, f"{total:.3f} s",
            "Each epoch starts its own clock.")  # fmt: skip


# --- plots ------------------------------------------------------------------------------------------------------------


def axes_of(seen: dict) -> list[dict]:
    """The two axes of a figure, the upper or left one first; requires a Figure with two."""
    require(seen["figure"] == "Figure", "plot_history(history)", "a matplotlib Figure", f"a {seen['figure']}",
            "Return the figure itself: `plt.subplots` gives it first, beside the axes.")  # fmt: skip
    require(len(seen["axes"]) == 2, "plot_history(history)", "a figure with two axes", f"{len(seen['axes'])} axes",
            "One pair of axes for the loss, another for the accuracy.")  # fmt: skip
    return sorted(seen["axes"], key=lambda axes: (-round(axes["place"][1], 1), round(axes["place"][0], 1)))


def curves_through(axes: list[dict], values: list[float]) -> list[tuple[int, dict]]:
    """The place (0 first, 1 second) of the axes, and the curve, of each curve that shows these values."""
    return [
        (place, one)
        for place, one_axes in enumerate(axes)
        for one in one_axes["curves"]
        if len(one["y"]) == len(values) and np.allclose(one["y"], values, rtol=1e-6, atol=1e-6)
    ]


CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


def has_curves(seen: dict, history: dict) -> dict[str, tuple[int, list[dict]]]:
    """The place of the axes of each of the four curves and what is drawn there through its values (an outline besides).

    Requires each, the losses on one pair of axes and the accuracies on the other. Both accuracies may be drawn in
    percent: the contract says how they are kept, not how they are shown.
    """
    axes = axes_of(seen)
    percent = {name: [100 * value for value in history[name]] for name in ("train_accuracy", "test_accuracy")}
    shown = history | percent if all(curves_through(axes, values) for values in percent.values()) else history
    found = {name: curves_through(axes, shown[name]) for name in CURVES}
    drawn = [one["y"] for one_axes in axes for one in one_axes["curves"]]
    for name in CURVES:
        require(len(found[name]) > 0, f"plot_history(history): the curve of {name}", f"a curve through {history[name]}",
                f"curves through {drawn}" if drawn else "no curves",
                "Each list of the history but the seconds is one curve, its figures as they are.")  # fmt: skip
    places = [sorted({place for place, _ in found[name]}) for name in CURVES]
    where = ", ".join(f"{name} on the {' and the '.join(('first', 'second')[place] for place in sorted(on))}"
                      for name, on in zip(CURVES, places, strict=True))  # fmt: skip
    require(places in ([[0], [0], [1], [1]], [[1], [1], [0], [0]]), "plot_history(history): axes of the four curves",
            "both losses on one pair of axes, both accuracies on the other", where)  # fmt: skip
    return {name: (places[0], [one for _, one in found[name]]) for name, places in zip(CURVES, places, strict=True)}


def colours_tell_training_from_test(seen: dict, history: dict) -> None:
    """Requires red training curves and green test curves."""
    for name, (_, drawn) in has_curves(seen, history).items():
        wanted = "red" if name.startswith("train") else "green"
        colours = [one["colour"] or "no colour" for one in drawn]
        require(wanted in colours, f"plot_history(history): colour of {name}", wanted, ", ".join(colours),
                "Training in red, test in green, on both axes.")  # fmt: skip


def four_epochs(observed, expected) -> tuple[dict, dict]:
    """The figure that was seen, and the history that it is to show."""
    return observed.curves_of_four_epochs["figure"], expected.curves_of_four_epochs["given"]


@check("plot_history", points=1)
def test_figure_with_two_axes(observed, expected):
    """A matplotlib Figure with two axes comes back."""
    seen, history = four_epochs(observed, expected)
    figures = [times * value for values in history.values() for value in values for times in (1, 100)]
    drawn = [[y for one in axes["curves"] for y in one["y"]] for axes in axes_of(seen)]
    shown = [sum(bool(np.isclose(figures, y, rtol=1e-6).any()) for y in ys) for ys in drawn]
    require(all(shown), "plot_history(history)", "figures of the history drawn on both axes",
            f"{shown[0]} and {shown[1]} of them on the first and on the second")  # fmt: skip


@check("plot_history", points=1)
def test_curves_are_the_histories(observed, expected):
    """The losses are drawn on the first pair of axes, the accuracies on the second, and nothing else."""
    seen, history = four_epochs(observed, expected)
    loss_is_first(seen, history)
    draws_only_figures(seen, history)


def loss_is_first(seen: dict, history: dict) -> None:
    """Requires the losses on the left or above, the accuracies on the right or below."""
    found = has_curves(seen, history)
    first, second = (one["place"] for one in axes_of(seen))
    beside = first[0] + first[2] <= second[0] + 0.02
    above = second[1] + second[3] <= first[1] + 0.02
    require(beside or above, "plot_history(history): places of the axes", "side by side or one above the other",
            "axes that overlap")  # fmt: skip
    require(found["train_loss"][0] == 0, "plot_history(history): the first axes", "the losses", "the accuracies",
            "First is left, or above.")  # fmt: skip


def draws_only_figures(seen: dict, history: dict) -> None:
    """Requires no curve through another list of the history."""
    curves = [curve["y"] for axes in axes_of(seen) for curve in axes["curves"]]
    for other in history.keys() - FIGURES:
        require(history[other] not in curves, "plot_history(history): the curves", "losses and accuracies only",
                f"also {other!r}", "What has another unit makes the curves beside it flat.")  # fmt: skip


@check("plot_history", points=0.5)
def test_four_epochs_count_from_one(observed, expected):
    """Epochs count from 1."""
    counts_from_one(*four_epochs(observed, expected))


def counts_from_one(seen: dict, history: dict) -> None:
    """Requires each curve to stand over 1, 2, 3, …"""
    for curve, (_, found) in has_curves(seen, history).items():
        epochs = [float(epoch) for epoch in range(1, len(history[curve]) + 1)]
        for one in found:
            same(one["x"], epochs, f"plot_history(history): the epochs under {curve}", within=1e-6,
                 look="Without epochs given, matplotlib counts from 0.")  # fmt: skip


@check("plot_history", points=0.5)
def test_words_at_the_axes(observed, expected):
    """Both axes are labelled, in both directions."""
    axes_are_labelled(*four_epochs(observed, expected))


@check("plot_history", points=0.5)
def test_two_legends(observed, expected):
    """A legend on each pair of axes."""
    legends_tell_the_curves(*four_epochs(observed, expected))


def axes_are_labelled(seen: dict, history: dict) -> None:
    """Requires words at both directions of both axes, that do not name something else."""
    names = quantities(seen, history)
    first, second = axes_of(seen)
    for place, axes in (("first", first), ("second", second)):
        xlabel = axes["xlabel"] or seen["xlabel of all"]
        if axes is first and True in axes["shares x"]:  # one above the other, with the epochs written below both
            xlabel = xlabel or second["xlabel"]
        for direction, text in (("x", xlabel), ("y", axes["ylabel"] or seen["ylabel of all"])):
            require(bool(text.strip()), f"plot_history(history): the {direction} label of the {place} axes", "some words",
                    "nothing", "The epoch below; what is measured, and its unit, at the side.")  # fmt: skip
            require(not contradicts(text, direction, names[place]),
                    f"plot_history(history): the {direction} label of the {place} axes", f"words for the "
                    f"{'epoch' if direction == 'x' else names[place]}", repr(text))  # fmt: skip


def legends_tell_the_curves(seen: dict, history: dict) -> None:
    """Requires a legend on each pair of axes that tells training from test."""
    for (place, quantity), axes in zip(quantities(seen, history).items(), axes_of(seen), strict=True):
        what = f"plot_history(history): the legend of the {place} axes"
        entries = [entry for entry in axes["legend"] if entry["text"].strip() and not entry["text"].startswith("_")]
        look = "Give each curve a label, then ask for the legend."
        if seen["legends of all"]:
            look = "A legend of the whole figure is another thing; each pair of axes is to have its own."
        require(len({entry["text"] for entry in entries}) >= 2, what, "two entries with different words",
                [entry["text"] for entry in axes["legend"]], look)  # fmt: skip
        texts = [entry["text"] for entry in entries]
        require(not all(len(text) == 1 and text.isascii() for text in texts), what, "words", texts,
                "`legend` takes a list of labels; of a word it makes a label of each letter.")  # fmt: skip
        require(not any(names_the_other(text, quantity) for text in texts), what, "what tells training from test", texts,
                f"Both curves here are of the {quantity}.")  # fmt: skip
        mixed = [entry["text"] for entry in entries if _says_the_other(entry)]
        require(len(mixed) < 2, what, "training beside red, test beside green", f"{mixed} beside the other")


def quantities(seen: dict, history: dict) -> dict[str, str]:
    """Which of loss and accuracy the first and the second axes show; requires the four curves."""
    losses_first = has_curves(seen, history)["train_loss"][0] == 0
    return dict(zip(("first", "second"), ("loss", "accuracy") if losses_first else ("accuracy", "loss"), strict=True))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def contradicts(label: str, direction: str, quantity: str) -> bool:
    """Whether a label says in English that something else is drawn; other words and languages are the student's own."""
    words, epochs = _words(label), {"epoch", "epochs"}
    if direction == "x":
        return not words.isdisjoint({"loss", "accuracy"}) and words.isdisjoint(epochs)
    return names_the_other(label, quantity) or bool(words) and words <= epochs


def names_the_other(text: str, quantity: str) -> bool:
    """Whether a text names the accuracy and not the loss, where the loss is drawn, or the other way round."""
    words = _words(text) & {"loss", "accuracy"}
    return bool(words) and quantity not in words


def _says_the_other(entry: dict) -> bool:
    """Whether a legend's entry has the word for test beside red, or that for training beside green."""
    words = _words(entry["text"])
    training = not words.isdisjoint({"train", "training"})
    test = not words.isdisjoint({"test", "testing", "validation", "val"})
    return (entry["colour"] == "red" and test and not training) or (entry["colour"] == "green" and training and not test)


@check("plot_history", points=1)
def test_training_red_test_green(observed, expected):
    """Training is red, test is green."""
    colours_tell_training_from_test(*four_epochs(observed, expected))
