"""The public checks of week08_googlenet: what students run in the notebook. Each compares plain recordings."""

import numpy as np

from autograder.authoring import Error, Tensor, check, require, same, wrapping

from .block_checks import (
    NEAR,
    has_torchvisions_state,
    is_module,
    left_its_input,
    moved_its_statistics,
    passes_gradients,
)
from .evaluate_test_public import *  # noqa: F403
from .evaluate_test_public import ELSEWHERE, MEAN, WEIGHT, callers_things_left, fractions, same_figures, same_weights

FIGURES = ("loss", "aux_loss", "total_loss", "accuracy")
LOSS = 1e-5  # right losses differ by up to 1e-7, in float32 and float64, wrong ones by 1e-2 and more

# --- right values in wrong wrappings, beside those that the grader knows ---------------------------------------------


@wrapping("replace_heads")
def network_not_returned(found, expected):
    """The network was changed as asked for, and nothing returned."""
    silent = isinstance(found, dict) and "same network" in found and found.get("returned") == "NoneType"
    return found | {"same network": True} if silent else found


@wrapping("train_one_epoch")
def training_accuracy_in_percent(found, expected):
    """An accuracy of 100 times the right fraction, among an epoch's figures."""
    both = isinstance(found, dict) and isinstance(expected, dict) and set(FIGURES) <= found.keys() & expected.keys()
    return found | {"accuracy": fractions([found["accuracy"]], [expected["accuracy"]])[0]} if both else found


# --- one by one -------------------------------------------------------------------------------------------------------


def price_asked(right: dict) -> str:
    return f"saved_by_bottleneck({', '.join(map(str, right['asked']))})"


def is_price(seen: dict, right: dict, which: int, look: str) -> None:
    """Requires one of the two counts, 0 for the direct way and 1 for the reduced one, as a Python int."""
    found, what, name = seen["price"], price_asked(right), ("direct", "reduced")[which]
    require(isinstance(found, tuple) and len(found) == 2, what, "a tuple (direct, reduced)", found,
            "Return both counts together: `return first, second`.")  # fmt: skip
    require(type(found[which]) is int, f"{what}: {name}", f"the int {right['price'][which]:,}", found[which],
            "Products and sums of whole numbers are whole; a division or numpy makes something else of them.")  # fmt: skip
    require(found[which] == right["price"][which], f"{what}: {name}", f"{right['price'][which]:,}", f"{found[which]:,}", look)


DIRECT = "Each of size · size places sums up kernel · kernel · in_channels products, for each channel that it writes."
REDUCED = "Two convolutions on a map of the same size: one with 1 × 1 kernels to `reduced` channels, one that reads only those."


@check("saved_by_bottleneck", points=1.5)
def test_price_of_the_direct_way(observed, expected):
    """The direct convolution is counted exactly: size × size places, one MAC for a multiplication with its addition."""
    for name, right in expected.prices_of_some_branches.items():
        is_price(observed.prices_of_some_branches[name], right, 0, DIRECT)


@check("saved_by_bottleneck", points=1.5)
def test_price_of_the_way_through_fewer_channels(observed, expected):
    """Both convolutions of the reduced way are counted, the 1 × 1 too."""
    for name, right in expected.prices_of_some_branches.items():
        is_price(observed.prices_of_some_branches[name], right, 1, REDUCED)


# --- block ------------------------------------------------------------------------------------------------------------

SHAPES = "Look again at the table: what each branch reads, leaves and writes, and which kernels are 3 × 3."


def block_named(widths: list[int]) -> str:
    return f"InceptionBlock({', '.join(map(str, widths))})"


def branches_of(widths: list[int]) -> list[int]:
    """How many channels each of the four branches writes."""
    _, ones, _, threes, _, fives, pooled = widths
    return [ones, threes, fives, pooled]


def is_stack(found, widths: list[int], x: Tensor, what: str) -> None:
    """Requires a tensor as high and wide as the input, with the channels of all branches."""
    shape = (x.shape[0], sum(branches_of(widths)), *x.shape[2:])
    require(isinstance(found, Tensor) and found.kind == "tensor", what, f"a torch.Tensor of shape {shape}", found)
    require(found.shape == shape, f"{what}: the shape", f"{shape}: {' + '.join(map(str, branches_of(widths)))} channels",
            f"{found.shape}", "Every branch keeps height and width, by padding and stride 1; channels are axis 1.")  # fmt: skip


def same_branches(seen: dict, expected: dict, widths: list[int], x: Tensor, what: str) -> None:
    """Requires torchvision's channels of each branch, in its order."""
    is_stack(seen["output"], widths, x, what)
    ends = np.cumsum(branches_of(widths))[:-1]
    parts = (np.split(one["output"].array, ends, axis=1) for one in (seen, expected))
    for number, (found, right) in enumerate(zip(*parts, strict=True), 1):
        same(Tensor(found, "torch.float32"), Tensor(right, "torch.float32"), f"{what}: the channels of branch{number}",
             within=NEAR, look="Convolution, batch norm with eps=0.001, ReLU, in each unit; the branches in the table's "
             "order; the last pools the largest of 3 × 3, then convolves.")  # fmt: skip


@check("InceptionBlock", points=1)
def test_block_has_torchvisions_names(observed, expected):
    """Its parameters and buffers have torchvision's names and shapes."""
    seen, right = observed.an_inception_block, expected.an_inception_block
    has_torchvisions_state(seen["block"], right["block"], block_named(right["widths"]), SHAPES)


@check("InceptionBlock", points=1.5)
def test_branches_are_torchvisions(observed, expected):
    """With torchvision's weights the four branches agree with its own, in the table's order."""
    seen, right = observed.an_inception_block, expected.an_inception_block
    what = f"{block_named(right['widths'])}(x) in evaluation mode"
    is_module(seen["block"], what)
    same_branches(seen["evaluation"], right["evaluation"], right["widths"], right["x"], what)


@check("InceptionBlock", points=1)
def test_block_in_training_mode(observed, expected):
    """In training mode too, and its running statistics move as torchvision's."""
    seen, right = observed.an_inception_block, expected.an_inception_block
    what = f"{block_named(right['widths'])}(x) in training mode"
    is_module(seen["block"], what)
    same_branches(seen["training"], right["training"], right["widths"], right["x"], what)
    moved_its_statistics(seen["training"], right["training"], what)


@check("InceptionBlock", points=1)
def test_block_keeps_size_and_input(observed, expected):
    """Height and width stay, `x` itself is not changed, and gradients reach the input and every parameter."""
    seen, right = observed.an_inception_block, expected.an_inception_block
    what = f"{block_named(right['widths'])}(x)"
    is_module(seen["block"], what)
    for mode in ("evaluation", "training"):
        is_stack(seen[mode]["output"], right["widths"], right["x"], f"{what} in {mode} mode")
        left_its_input(seen[mode], right["x"], f"{what} in {mode} mode")
    passes_gradients(seen["gradients"], right["gradients"], what)


# --- heads ------------------------------------------------------------------------------------------------------------


def came_back(seen: dict, what: str) -> None:
    """Requires that no exception was raised."""
    require(not isinstance(seen["returned"], Error), what, "a network with new heads", seen["returned"])


def are_heads(seen: dict, right: dict, outputs: int, what: str) -> None:
    """Requires a linear layer for each head that there was, as wide as the old one, with `outputs` rows."""
    came_back(seen, what)
    for head, old in right["new"].items():
        found, name = seen["new"][head], f"net.{old['name']}"
        require(found["linear"], f"{what}: {name}", "an nn.Linear", f"a {found['type']}",
                "A head's last layer is called `fc` in the network and `fc2` in an auxiliary head.")  # fmt: skip
        weight, inputs = found["weight"], old["weight"].shape[1]
        require(isinstance(weight, Tensor) and weight.shape == (outputs, inputs), f"{what}: shape of {name}.weight",
                f"({outputs}, {inputs})", weight.shape if isinstance(weight, Tensor) else weight,
                "A row for each class, a column for each input; each head has a width of its own, which its old layer "
                "knows as `in_features`.")  # fmt: skip
        widths, says = f"in_features={inputs}, out_features={outputs}", found["prints itself as"]
        require(widths in says, f"{what}: {name} as it prints itself", f"Linear({widths}, bias=True)", says,
                "A new layer knows its widths; one whose weight was exchanged still tells the old ones.")  # fmt: skip


def are_fresh(seen: dict, right: dict, outputs: int, what: str) -> None:
    """Requires layers of their own, with random weights and a bias, that are trained."""
    are_heads(seen, right, outputs, what)
    require(seen["layers"] == len(right["new"]), f"{what}: the heads' last layers", f"{len(right['new'])} different layers",
            f"{seen['layers']}", "Each head gets a layer of its own: make one for each.")  # fmt: skip
    for head, old in right["old"].items():
        found, name = seen["new"][head], f"{what}: net.{old['name']}"
        weight, bias = found["weight"], found["bias"]
        require(isinstance(bias, Tensor) and bias.shape == (outputs,), f"{name}.bias", f"a bias of {outputs} numbers", bias)
        spread = len(np.unique(weight.array)) > weight.array.size / 2 and np.isfinite(weight.array).all()
        require(bool(spread), f"{name}.weight", "random numbers", weight, "PyTorch's own are fine.")
        rows = min(len(weight.array), len(old["weight"].array))
        kept = float((weight.array[:rows] == old["weight"].array[:rows]).mean())
        require(kept < 0.5, f"{name}.weight", "new numbers", f"{kept:.0%} of them the old layer's", "A new layer, not the old.")
        require(weight.requires_grad and bias.requires_grad, f"{name}", "a layer that is trained (requires_grad)",
                "a frozen one", "Also in a network that is frozen the new layers are to learn.")  # fmt: skip


def nothing_else(seen: dict, right: dict, what: str) -> None:
    """Requires the same network, and all beside the heads' last layers as before."""
    came_back(seen, what)
    found = "None" if seen["returned"] == "NoneType" else f"another object, a {seen['returned']}"
    require(seen["same network"] is True, f"{what}: what is returned", "the network that was given", found,
            "End with `return` and the network that was given.")  # fmt: skip
    found, before = seen["after"], right["before"]
    look = "Only the last layer of each head is set anew; the network is neither rebuilt nor run."
    same(found["weights"], before["weights"], f"{what}: the other weights and buffers", within=0, look=look)
    same(found["trained"], before["trained"], f"{what}: requires_grad of the other weights",
         look="Freezing or thawing them is not asked for.")  # fmt: skip
    same(found["modes"], before["modes"], f"{what}: the modes of the other layers (True is training)",
         look="Training and evaluation mode are the caller's.")  # fmt: skip


@check("replace_heads", points=1.5)
def test_all_three_heads_give_the_classes_asked_for(observed, expected):
    """All three heads then give one score for each class asked for, each read with its own width."""
    seen, right = observed.three_heads, expected.three_heads
    are_heads(seen["different"], right["different"], right["classes"], f"replace_heads(net, {right['classes']})")
    same(seen["scores"], right["scores"], "shapes of the three heads' scores for two images afterwards")
    are_heads(seen["alike"], right["alike"], 10, "replace_heads(net)")


@check("replace_heads", points=1)
def test_heads_are_new_layers_of_their_own(observed, expected):
    """Each head has a new layer of its own with bias and random weights."""
    seen, right = observed.three_heads, expected.three_heads
    are_fresh(seen["alike"], right["alike"], 10, "replace_heads(net) of a network whose heads are equally wide")
    are_fresh(seen["different"], right["different"], right["classes"], f"replace_heads(net, {right['classes']})")


@check("replace_heads", points=1)
def test_nothing_but_the_heads_changes(observed, expected):
    """The same network comes back, with nothing else changed."""
    seen, right = observed.three_heads["different"], expected.three_heads["different"]
    classes, what = expected.three_heads["classes"], f"replace_heads(net, {expected.three_heads['classes']})"
    nothing_else(seen, right, what)
    weight = seen["new"]["fc"]["weight"]
    rows = weight.shape[:1] if isinstance(weight, Tensor) else "no weight"
    require(rows == (classes,), f"{what}: shape of net.fc.weight", f"{classes} rows", rows)


def fewer(seen: dict, right: dict, outputs: int, what: str) -> None:
    """Requires new layers in the heads that there are, and None where there was none."""
    are_heads(seen, right, outputs, what)
    for head, there in right["None"].items():
        require(seen["None"][head] is there, f"{what}: net.{head}", "None, as before", "something else",
                "Ask of each head whether it is None.")  # fmt: skip


WITHOUT = {
    "none": "a network without auxiliary heads",
    "aux1 alone": "a network whose aux2 is None",
    "aux2 alone": "a network whose aux1 is None",
}


@check("replace_heads", points=0.5)
def test_heads_that_are_none_stay_none(observed, expected):
    """A head that is `None` stays `None`, whichever it is."""
    for name, network in WITHOUT.items():
        classes = expected.fewer_heads["classes"]
        what = f"replace_heads(net, {classes}) of {network}"
        fewer(observed.fewer_heads[name], expected.fewer_heads[name], classes, what)


@check("replace_heads", points=0.5)
def test_heads_are_where_the_old_ones_were(observed, expected):
    """Each new layer is on the old one's device."""
    seen, right = observed.heads_elsewhere, expected.heads_elsewhere
    what = f"replace_heads(net, {right['classes']}) of a network on an accelerator"
    are_heads(seen, right, right["classes"], what)
    look = "A new layer is made on the CPU unless told otherwise; the old layer's weight knows its device."
    for name, there in seen["on the accelerator"].items():
        require(there, f"{what}: device of {name}", "the accelerator", "another", look)


# --- loss -------------------------------------------------------------------------------------------------------------

THREE = ("total", "main", "auxiliary")


def are_losses(seen: dict, right: dict, what: str, look: str) -> None:
    """Requires the right numbers for total, main and auxiliary loss."""
    found = seen["losses"]
    require(isinstance(found, tuple) and len(found) == 3, what, "a tuple (total, main, auxiliary)", found,
            "Return the three together.")  # fmt: skip
    for name, one, wanted in zip(THREE, found, right["losses"], strict=True):
        require(isinstance(one, (int, float)), f"{what}: {name}", "a single number", one, "A tensor without dimensions.")
        same(float(one), wanted, f"{what}: {name}", within=LOSS, look=look)


SUM = "The main loss is the main head's alone; the auxiliary one a plain sum; the weight counts in the total only, and once."


@check("joint_loss", points=2)
def test_losses_of_three_heads(observed, expected):
    """Total, main and auxiliary loss of three heads, in this order, with the weight that is given or 0.3."""
    seen, right = observed.losses_of_three_heads, expected.losses_of_three_heads
    are_losses(seen["default"], right["default"], "joint_loss(outputs, labels, criterion)", SUM)
    what = f"joint_loss(outputs, labels, criterion, {right['weight']})"
    are_losses(seen["given"], right["given"], what, SUM)
    require(seen["default"]["reduction after"] == "mean", "criterion.reduction after joint_loss", "mean",
            seen["default"]["reduction after"], "The criterion is the caller's.")  # fmt: skip


def are_tensors(seen: dict, what: str, gradients: tuple[str, ...], device: str = "cpu") -> None:
    """Requires three tensors of no dimension on the device, and that those of the names in `gradients` carry gradients."""
    kinds = seen["kinds"]
    require(len(kinds) == 3, what, "three losses", seen["losses"])
    for name, kind in zip(THREE, kinds, strict=True):
        require(kind["type"] == "tensor", f"{what}: {name}", "a torch.Tensor", f"a {kind['type']}",
                "Numbers have no gradients: `.item()` and `float()` belong where losses are printed.")  # fmt: skip
        require(kind["shape"] == [], f"{what}: {name}", "a tensor without dimensions", f"one of shape {kind['shape']}",
                "The criterion gives a mean over the batch; adding such means adds no dimension.")  # fmt: skip
        require(kind["device"] == device, f"{what}: device of {name}", device, kind["device"], ELSEWHERE)
        if name in gradients:
            require(kind["gradients"], f"{what}: {name}", "a tensor that carries gradients", "one that carries none",
                    "What is detached, made under `no_grad` or made anew from numbers carries none.")  # fmt: skip


@check("joint_loss", points=0.5)
def test_losses_are_tensors(observed, expected):
    """All three are tensors without dimensions, and carry gradients."""
    are_tensors(observed.losses_of_three_heads["default"], "joint_loss of three heads", THREE)


def same_gradients_of_heads(seen: dict, right: dict, what: str) -> None:
    """Requires the total's gradients of each head's scores."""
    found = seen["gradients"]
    require(isinstance(found, list), f"{what}: total.backward()", "gradients of each head's scores", found)
    for head, one, wanted in zip(("main", "second auxiliary", "first auxiliary"), found, right["gradients"], strict=False):
        same(one, wanted, f"{what}: gradients of the {head} head's scores after total.backward()", within=LOSS,
             look="The total has to be computed from all heads' losses, each still connected to its scores.")  # fmt: skip


@check("joint_loss", points=1)
def test_total_teaches_all_heads(observed, expected):
    """The backward pass of the total reaches all heads."""
    seen, right = observed.losses_of_three_heads, expected.losses_of_three_heads
    same_gradients_of_heads(seen["given"], right["given"], f"joint_loss(outputs, labels, criterion, {right['weight']})")
    require(seen["given"]["scores changed"] is False, "the scores after joint_loss", "as before", "changed")


@check("joint_loss", points=0.5)
def test_heads_without_scores_add_nothing(observed, expected):
    """A head whose scores are `None` adds nothing."""
    for name, right in expected.losses_of_fewer_heads.items():
        seen, what = observed.losses_of_fewer_heads[name], f"joint_loss of outputs of which {name}"
        are_losses(seen, right, what, "Ask of each head whether it gave scores. No heads, no auxiliary loss: zero.")
        are_tensors(seen, what, ("total", "main"))


@check("joint_loss", points=1)
def test_plain_scores_have_no_auxiliary_loss(observed, expected):
    """Plain scores give an auxiliary loss of zero, a tensor on their device."""
    seen, right = observed.losses_of_plain_scores, expected.losses_of_plain_scores
    look = "In evaluation mode the outputs are a tensor: its first axis are images, not heads."
    are_losses(seen["cpu"], right["cpu"], "joint_loss of plain scores", look)
    are_tensors(seen["cpu"], "joint_loss of plain scores", ("total", "main"))
    same_gradients_of_heads(seen["cpu"], right["cpu"], "joint_loss of plain scores")
    what = "joint_loss of plain scores on an accelerator"
    are_losses(seen["accelerator"], right["accelerator"], what, ELSEWHERE)
    are_tensors(seen["accelerator"], what, ("total", "main"), right["accelerator's name"])


# --- training ---------------------------------------------------------------------------------------------------------


def _number(value) -> float:
    """The number that a figure is or holds; infinite where it is none."""
    if isinstance(value, Tensor) and value.array.size == 1:
        value = value.array.reshape(-1)[0].item()
    return float(value) if isinstance(value, (int, float)) else np.inf


def is_right(run: dict, right: dict) -> bool:
    """Whether an epoch's figures, whatever they are wrapped in, the weights and the criterion after it are the right ones."""
    figures, wanted = run["figures"], right["figures"]
    if not isinstance(figures, dict) or run["after"].keys() != right["after"].keys():
        return False
    if run.get("reduction after") != right.get("reduction after"):  # a `joint_loss` may have changed it
        return False
    near = (abs(_number(figures.get(name)) - wanted[name]) <= MEAN * (1 + wanted[name]) for name in FIGURES)
    weights = (np.allclose(run["after"][name].array, one.array, WEIGHT, WEIGHT) for name, one in right["after"].items())
    return all(near) and all(weights)


def judged(runs: dict, right: dict) -> tuple[dict, dict]:
    """The run that is judged, and the reference's of the same kind.

    That is the one with the student's own `joint_loss`, unless it went wrong and another was in the place of that: so a
    wrong `joint_loss` costs nothing here.
    """
    name = "stand-in" if not is_right(runs["own"], right["own"]) and runs["stand-in"]["stood in"] else "own"
    return runs[name], right[name]


def are_epoch_figures(found, what: str) -> None:
    """Requires a dict with a Python float for each of the four figures."""
    require(isinstance(found, dict), what, f"a dict with the keys {list(FIGURES)}", found,
            "Return the figures under their names: `return {\"loss\": …, …}`.")  # fmt: skip
    missing = [name for name in FIGURES if name not in found]
    require(not missing, f"{what}: its keys", f"{list(FIGURES)}", f"{list(found)}", "The names are given, letter by letter.")
    for name in FIGURES:
        require(isinstance(found[name], float), f"{what}: {name}", "a Python float", found[name],
                "A number of torch or numpy becomes a Python float by `.item()` or `float(…)`.")  # fmt: skip


FIGURE_LOOKS = {
    "loss": "The main head's loss alone, and a mean over images: a batch of four weighs four times a batch of one.",
    "aux_loss": "The sum over the auxiliary heads, not weighed by `aux_weight`, and a mean over images.",
    "total_loss": "What is minimised: main + aux_weight · auxiliary, as a mean over images.",
    "accuracy": "The main head's right answers divided by the images: from 0 to 1.",
}


def same_epoch(run: dict, right: dict, what: str, look: str = "") -> None:
    """Requires the expected figures of an epoch."""
    are_epoch_figures(run["figures"], what)
    for name in FIGURES:
        same(run["figures"][name], right["figures"][name], f"{what}: {name}", within=MEAN, look=look or FIGURE_LOOKS[name])


@check("train_one_epoch", points=2)
def test_figures_of_an_epoch(observed, expected):
    """Loss, auxiliary loss, total loss and accuracy of an epoch are means over the images, by their names."""
    same_epoch(*judged(observed.one_epoch, expected.one_epoch), "train_one_epoch on nine images, four to a batch")


def steps_right(run: dict, right: dict, what: str, look: str) -> None:
    """Requires the expected weights after an epoch, and what is the caller's as before."""
    require(not isinstance(run["figures"], Error), what, "a trained network", run["figures"])
    moved = any(not np.array_equal(run["after"][name].array, one.array) for name, one in right["before"].items())
    require(moved, f"{what}: the weights", "a change", "the weights of before",
            "For each batch: clear the gradients, compute the loss, go backward, take a step.")  # fmt: skip
    same_weights(run["after"], right["after"], f"{what}: weights and buffers afterwards", look)
    same(run["settings after"], right["settings before"], f"{what}: settings of the optimizer afterwards",
         look="Learning rate, momentum and weight decay are the caller's.")  # fmt: skip
    callers_things_left(run, right, "train_one_epoch")


STEP = "For each batch: the gradients of this batch's total loss alone, then one step; in training mode."


@check("train_one_epoch", points=2)
def test_weights_after_an_epoch(observed, expected):
    """The weights have taken one step for each batch, along the gradient of the total."""
    steps_right(*judged(observed.one_epoch, expected.one_epoch), "train_one_epoch with SGD", STEP)


@check("train_one_epoch", points=1)
def test_weight_of_the_auxiliary_heads(observed, expected):
    """The weight of the auxiliary heads is the one that is given."""
    run, right = judged(observed.one_epoch_with_a_weight, expected.one_epoch_with_a_weight)
    what = "train_one_epoch(net, loader, criterion, optimizer, device, aux_weight)"
    same_epoch(run, right, what)
    steps_right(run, right, what, "The argument `aux_weight` has to arrive where the losses are added.")


@check("train_one_epoch", points=0.5)
def test_training_without_auxiliary_heads(observed, expected):
    """A network without auxiliary heads trains on its main loss, with an `aux_loss` of 0.0."""
    seen, right = observed.one_epoch_without_auxiliary_heads, expected.one_epoch_without_auxiliary_heads
    run, right = judged(seen, right)
    what = "train_one_epoch of a network that gives plain scores"
    same_epoch(run, right, what, "Such outputs are a tensor, without `logits`; there the auxiliary loss is 0.")
    steps_right(run, right, what, STEP)


@check("train_one_epoch", points=0.5)
def test_training_elsewhere(observed, expected):
    """Images and labels go to the device, where the network is."""
    run, right = judged(observed.one_epoch_elsewhere, expected.one_epoch_elsewhere)
    what = "train_one_epoch on an accelerator"
    same_epoch(run, right, what, ELSEWHERE)
    same_weights(run["after"], right["after"], f"{what}: weights afterwards", ELSEWHERE)
    require(all(run["on the accelerator"].values()), f"{what}: the network afterwards", "where it was", "elsewhere", ELSEWHERE)


@check("evaluate", points=0.5)
def test_main_head_is_tested_alone(observed, expected):
    """Of a network with three heads the main head is tested, alone."""
    seen, right = observed.one_test_pass_of_three_heads, expected.one_test_pass_of_three_heads
    same_figures(seen["figures"], right["figures"], "evaluate of a network with three heads",
                 "In evaluation mode GoogLeNet gives the main head's scores, a tensor: set the mode first.")  # fmt: skip
    modes = [one["testing"] for one in seen["passes"]]
    require(all(modes), "evaluate of a network with three heads: its mode, and that of its parts", "evaluation mode",
            "training mode, at least in part", "`eval` of the network itself tells every part.")  # fmt: skip
    same(seen["weights"], right["weights"], "names of the network's weights after evaluate",
         look="The auxiliary heads are needed again in the next epoch; in evaluation mode they are silent.")  # fmt: skip
