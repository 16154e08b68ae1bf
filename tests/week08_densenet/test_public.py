"""The public checks of week08_densenet: what students run in the notebook. Each compares plain recordings."""

import numpy as np

from autograder.authoring import Error, Other, Tensor, check, require, same, wrapping

STEP = 1 / 255
# Right answers differ by up to 1e-7 (sums in float32 or float64, other devices), wrong ones by 1e-4 and more.
MEAN = 2e-5
# The figures that `fit` files are drawn: other figures than the right ones are 1e-2 away. Rounding them is all right.
FIGURE = 1e-4
WEIGHT = 1e-5
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")

# --- right values in wrong wrappings, beside those that the grader knows ---------------------------------------------


@wrapping("make_loaders")
def loaders_in_a_list(found, expected):
    """Two loaders in a list."""
    listed = isinstance(found, dict) and "kinds" in found and found.get("type") == "list"
    return found | {"type": "tuple"} if listed else found


@wrapping("replace_classifier")
def network_not_returned(found, expected):
    """The network was changed as asked for, and nothing returned."""
    silent = isinstance(found, dict) and "same network" in found and found.get("returned") == "NoneType"
    return found | {"same network": True} if silent else found


@wrapping("plot_history")
def figure_beside_its_axes(found, expected):
    """The figure together with its axes, as `plt.subplots` gives them."""
    beside = isinstance(found, dict) and "axes" in found and str(found.get("figure")).startswith("tuple of Figure, ")
    return found | {"figure": "Figure"} if beside else found


@wrapping("train_one_epoch", "evaluate")
def accuracy_in_percent(found, expected):
    """An accuracy of 100 times the right fraction."""
    if isinstance(expected, tuple) and list(map(type, expected)) == [float, float] and isinstance(found, tuple):
        return (found[0], *fractions(found[1:], expected[1:])) if len(found) == 2 else found
    return found


@wrapping("fit")
def accuracies_in_percent(found, expected):
    """All of a history's accuracies 100 times the right ones."""
    names = ("train_accuracy", "test_accuracy")
    lists = all(isinstance(one, dict) and isinstance(one.get(name), list) for one in (found, expected) for name in names)
    return found | {name: fractions(found[name], expected[name]) for name in names} if lists else found


def fractions(found, expected):
    """Percents as fractions, if every one of them is 100 times the right one; else as they are."""
    floats = len(found) == len(expected) and all(isinstance(value, float) for value in found)
    percents = floats and all(abs(value - 100 * right) <= 100 * FIGURE for value, right in zip(found, expected, strict=True))
    return type(found)(value / 100 for value in found) if percents else found


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
    right = expected.two_loaders
    size = right["batch size"]
    for name, count in (("training", right["train count"]), ("test", right["test count"])):
        sizes, found = [size] * (count // size), [one["sizes"] for one in loader_of(observed.two_loaders, name)]
        what = f"sizes of the batches in the {name} loader, for {count} images and batch_size={size}"
        same(found, [sizes], what, look="Both loaders get the batch size, each its own data set.")


@check("make_loaders", points=1)
def test_every_image_once(observed, expected):
    """Every image comes exactly once an epoch."""
    whole_passes(observed.two_loaders, expected.two_loaders, "training")
    whole_passes(observed.two_loaders, expected.two_loaders, "test")


# --- parameters -------------------------------------------------------------------------------------------------------


def are_shapes(found, expected, what: str, look: str) -> None:
    """Requires the expected list, saying first what is missing or too many."""
    require(isinstance(found, list), what, "a list", found, "A list in square brackets or made by `list(…)`.")
    require(all(isinstance(shape, tuple) for shape in found), what, "a tuple for each parameter", found,
            "`tuple(…)` makes one of any sequence.")  # fmt: skip
    require(len(found) == len(expected), what, f"{len(expected)} shapes: {expected}", f"{len(found)}: {found}", look)
    same(found, expected, what, look=look)


@check("parameter_shapes", points=1.5)
def test_shapes_of_three_layers(observed, expected):
    """One tuple for each parameter tensor, in the network's own order."""
    are_shapes(observed.shapes_of_three_layers, expected.shapes_of_three_layers,
               "parameter_shapes of a convolution and two linear layers, one without bias",
               "Weights and biases both are parameters, each with a shape of its own.")  # fmt: skip


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


# --- classifier -------------------------------------------------------------------------------------------------------


def is_classifier(seen: dict, outputs: int, inputs: int, what: str) -> None:
    """Requires `net.classifier` to be a linear layer with a weight (outputs, inputs)."""
    found = seen["classifier"]
    require(found["linear"], f"{what}: net.classifier", "an nn.Linear", f"a {found['type']}",
            "The attribute is called `classifier`; ResNet's is `fc`, which a DenseNet never looks at.")  # fmt: skip
    weight = found["weight"]
    shape = weight.shape if isinstance(weight, Tensor) else weight
    look = "A linear layer's weight has a row for each class and a column for each input; setting a number on the old " \
           "layer does not change its weight."  # fmt: skip
    require(shape == (outputs, inputs), f"{what}: shape of net.classifier.weight", f"({outputs}, {inputs})", shape, look)
    widths, says = f"in_features={inputs}, out_features={outputs}", found["prints itself as"]
    require(widths in says, f"{what}: net.classifier as it prints itself", f"Linear({widths}, bias=True)", says,
            "A new layer knows its widths; one whose weight was exchanged still tells the old ones.")  # fmt: skip


def others_unchanged(seen: dict, expected: dict, what: str) -> None:
    """Requires every weight and buffer outside the classifier to be there still, bit for bit."""
    found, right = seen["others"], expected["others"]
    look = "Only the attribute `classifier` is set anew; the network is neither rebuilt nor run."
    new, gone = (sorted(set(left["tensors"]) - set(other["tensors"]))[:4] for left, other in ((found, right), (right, found)))
    require(not new and not gone, f"{what}: weights outside the classifier", f"the {len(right['tensors'])} of before",
            f"new: {new}, gone: {gone}", look)  # fmt: skip
    ends = np.cumsum(right["sizes"])[:-1]
    parts = [np.split(one["numbers"].array, ends) for one in (found, right)]
    for name, *numbers in zip(right["tensors"], *parts, strict=True):
        same(*(Tensor(part, "torch.float32") for part in numbers), f"{what}: {name.split(':')[0]}", look=look)


@check("replace_classifier", points=1.5)
def test_scores_for_the_classes_asked_for(observed, expected):
    """The network then gives one score for each class asked for."""
    seen, right = observed.new_classifier, expected.new_classifier
    classes = right["classes"]
    what = f"replace_classifier(net, {classes}) of a small DenseNet"
    is_classifier(seen, classes, right["classifier"]["weight"].shape[1], what)
    same(seen["scores"], right["scores"], f"{what}: shape of net(images) for two images")


@check("replace_classifier", points=1)
def test_same_network_comes_back(observed, expected):
    """The same network comes back, not another."""
    seen, right = observed.new_classifier, expected.new_classifier
    what = f"replace_classifier(net, {right['classes']})"
    look = "End with `return` and the network that was given; a copy or a new one is another network."
    found = f"a {seen['returned']}" if seen["returned"] == "NoneType" else f"another object, a {seen['returned']}"
    require(seen["same network"] is True, f"{what}: what is returned", "the network that was given", found, look)
    is_classifier(seen, right["classes"], right["classifier"]["weight"].shape[1], what)


@check("replace_classifier", points=1.5)
def test_other_weights_stay(observed, expected):
    """Every other weight stays as it was."""
    seen, right = observed.new_classifier, expected.new_classifier
    classes, what = right["classes"], f"replace_classifier(net, {right['classes']})"
    others_unchanged(seen, right, what)
    weight = seen["classifier"]["weight"]
    rows = weight.shape[:1] if isinstance(weight, Tensor) else "no weight"
    require(rows == (classes,), f"{what}: shape of net.classifier.weight", f"{classes} rows", rows)


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


@check("weight_difference", points=1.5)
def test_before_minus_after(observed, expected):
    """Each difference is before − after."""
    found, right = observed.difference_of_two_snapshots, expected.difference_of_two_snapshots
    what, look = "weight_difference(before, after)", "As in the lecture: before minus after, number by number."
    same(found, right, what, within=1e-6, look=look)


def is_grid(found, expected: Tensor, what: str) -> None:
    """Requires a float tensor of the expected grid's size."""
    look = "An image tensor has channels first, three of them; eight patches to a row, two pixels around each."
    require(isinstance(found, Tensor) and found.kind == "tensor", what, "a torch.Tensor", found, look)
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


@check("train_one_epoch", points=2)
def test_figures_of_an_epoch(observed, expected):
    """Loss and accuracy of the epoch are means over the images."""
    what = "train_one_epoch on eight images, four to a batch"
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
                 "For each batch: the gradients of this batch's mean loss alone, then one step.")  # fmt: skip


@check("evaluate", points=1)
def test_figures_of_a_test_pass(observed, expected):
    """Loss and accuracy on the test images are means over the images."""
    look = "In evaluation mode batch norm takes its running statistics; the mean weighs each batch with its size."
    same_figures(observed.one_test_pass["figures"], expected.one_test_pass["figures"],
                 "evaluate, four images to a batch", look)  # fmt: skip


@check("evaluate", points=1)
def test_testing_teaches_nothing(observed, expected):
    """Testing changes neither weights nor running statistics."""
    seen, right = observed.one_test_pass, expected.one_test_pass
    are_figures(seen["figures"], "evaluate")
    same(seen["after"], right["before"], "weights and buffers after evaluate",
         look="No optimizer here; and batch norm updates its statistics whenever it is in training mode.")  # fmt: skip


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
    epochs = expected.a_few_epochs["epochs"]
    is_history(history_of(observed.a_few_epochs), epochs, f"fit(…, epochs={epochs})")


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


@check("plot_history", points=1.5)
def test_curves_are_the_histories(observed, expected):
    """The losses are drawn on one pair of axes, the accuracies on the other."""
    has_curves(*four_epochs(observed, expected))


@check("plot_history", points=1.5)
def test_training_red_test_green(observed, expected):
    """Training is red, test is green."""
    colours_tell_training_from_test(*four_epochs(observed, expected))
