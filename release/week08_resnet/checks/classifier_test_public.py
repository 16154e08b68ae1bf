"""The public checks of `replace_classifier`, in every module whose networks have a last layer to be replaced."""

import numpy as np

from autograder.authoring import Error, Tensor, check, require, same, wrapping


@wrapping("replace_classifier")
def network_not_returned(found, expected):
    """The network was changed as asked for, and nothing returned."""
    silent = isinstance(found, dict) and "same network" in found and found.get("returned") == "NoneType"
    return found | {"same network": True} if silent else found



def is_classifier(seen: dict, outputs: int, expected: dict, what: str) -> None:
    """Requires the classifier to be a linear layer with `outputs` rows, as wide as the expected one."""
    found, name, inputs = seen["classifier"], f"net.{expected['name']}", expected["weight"].shape[1]
    require(found["linear"], f"{what}: {name}", "an nn.Linear", f"a {found['type']}",
            f"The last layer is called `{name}`; a layer under another name is never used.")  # fmt: skip
    weight = found["weight"]
    shape = weight.shape if isinstance(weight, Tensor) else weight
    look = "A linear layer's weight has a row for each class and a column for each input; setting a number on the old " \
           "layer does not change its weight."  # fmt: skip
    require(shape == (outputs, inputs), f"{what}: shape of {name}.weight", f"({outputs}, {inputs})", shape, look)
    widths, says = f"in_features={inputs}, out_features={outputs}", found["prints itself as"]
    require(widths in says, f"{what}: {name} as it prints itself", f"Linear({widths}, bias=True)", says,
            "A new layer knows its widths; one whose weight was exchanged still tells the old ones.")  # fmt: skip


def others_unchanged(seen: dict, expected: dict, what: str) -> None:
    """Requires every weight and buffer outside the classifier to be there still, bit for bit."""
    found, right = seen["others"], expected["others"]
    look = "Only the last layer is set anew; the network is neither rebuilt nor run."
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
    what = f"replace_classifier(net, {classes}) of a small network"
    is_classifier(seen, classes, right["classifier"], what)
    same(seen["scores"], right["scores"], f"{what}: shape of net(images) for two images")
    what = "replace_classifier(net) of another network"
    is_classifier(seen["by default"], 10, right["by default"]["classifier"], what)


@check("replace_classifier", points=1)
def test_same_network_comes_back(observed, expected):
    """The same network comes back, not another."""
    seen, right = observed.new_classifier, expected.new_classifier
    what = f"replace_classifier(net, {right['classes']})"
    look = "End with `return` and the network that was given; a copy or a new one is another network."
    found = f"a {seen['returned']}" if seen["returned"] == "NoneType" else f"another object, a {seen['returned']}"
    require(seen["same network"] is True, f"{what}: what is returned", "the network that was given", found, look)
    is_classifier(seen, right["classes"], right["classifier"], what)


@check("replace_classifier", points=1.5)
def test_other_weights_stay(observed, expected):
    """Every other weight stays as it was."""
    seen, right = observed.new_classifier, expected.new_classifier
    classes, what = right["classes"], f"replace_classifier(net, {right['classes']})"
    others_unchanged(seen, right, what)
    weight = seen["classifier"]["weight"]
    rows = weight.shape[:1] if isinstance(weight, Tensor) else "no weight"
    require(rows == (classes,), f"{what}: shape of the classifier's weight", f"{classes} rows", rows)
    same(seen["trainable after"], right["trainable before"], f"{what}: requires_grad of the other weights",
         look="Freezing or thawing them is not asked for.")  # fmt: skip


def is_fresh(seen: dict, right: dict, outputs: int, what: str) -> None:
    """Requires random numbers of its own for the classifier's weight, and that it is trained."""
    weight, bias = seen["classifier"]["weight"], seen["classifier"]["bias"]
    spread = len(np.unique(weight.array)) > weight.array.size / 2
    require(spread and np.isfinite(weight.array).all(), what, "random numbers", weight, "PyTorch's own are fine.")
    old = right["old classifier"]["weight"].array
    rows = min(len(old), outputs)
    kept = float((weight.array[:rows] == old[:rows]).mean())
    require(kept < 0.5, what, "new numbers", f"{kept:.0%} of them the old classifier's", "A new layer, not the old.")
    trained = weight.requires_grad and (not isinstance(bias, Tensor) or bias.requires_grad)
    require(trained, what, "a weight that is trained (requires_grad)", "one that is frozen",
            "Also in a network that is frozen the new layer is to learn.")  # fmt: skip


def has_bias(seen: dict, outputs: int, what: str) -> None:
    """Requires a bias for each class."""
    bias = seen["classifier"]["bias"]
    require(isinstance(bias, Tensor) and bias.shape == (outputs,), what, f"a bias of {outputs} numbers", bias)


@check("replace_classifier", points=0.5)
def test_classifier_is_new_and_has_a_bias(observed, expected):
    """The new layer has a bias and random weights of its own."""
    seen, right = observed.new_classifier, expected.new_classifier
    classes, what = right["classes"], f"replace_classifier(net, {right['classes']})"
    is_classifier(seen, classes, right["classifier"], what)
    has_bias(seen, classes, f"{what}: the classifier's bias")
    is_fresh(seen, right, classes, f"{what}: the classifier's weight")


@check("replace_classifier", points=0.5)
def test_classifier_is_where_the_old_one_was(observed, expected):
    """The new layer is on the device of the old one."""
    seen, right = observed.new_classifier_elsewhere, expected.new_classifier_elsewhere
    what = f"replace_classifier(net, {right['classes']}) of a network on an accelerator"
    require(not isinstance(seen["returned"], Error), what, "a network with a new classifier", seen["returned"])
    is_classifier(seen, right["classes"], right["classifier"], what)
    look = "A new layer is made on the CPU unless told otherwise; the old layer's weight knows its device."
    for name, there in seen["on the accelerator"].items():
        require(there, f"{what}: device of {name}", "the accelerator", "another", look)
