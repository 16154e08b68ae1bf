"""The hidden checks of `replace_classifier`. They never leave the grader; students read their titles only."""

from autograder.authoring import Error, check, require, same

from .classifier_test_public import has_bias, is_classifier, is_fresh, others_unchanged
from .seeds_test_hidden import random_state_left


def replaced(observed, expected, network: str, outputs: int, what: str) -> dict:
    """What was seen of one network; requires a linear layer of the right shape."""
    seen, right = observed.classifiers_of_many_networks[network], expected.classifiers_of_many_networks[network]
    require(not isinstance(seen["returned"], Error), what, "a network with a new classifier", seen["returned"])
    is_classifier(seen, outputs, right["classifier"], what)
    return seen


@check("replace_classifier", points=1.5)
def test_input_width_is_read_from_the_network(observed, expected):
    """The input width is read from the network, not remembered."""
    replaced(observed, expected, "wide", 7, "replace_classifier(net, 7) of a small network")
    replaced(observed, expected, "frozen", 11, "replace_classifier(net, 11) of a network with 1,000 classes")
    replaced(observed, expected, "twice", 5, "replace_classifier(net, 5) after another replacement")


@check("replace_classifier", points=0.5)
def test_ten_classes_by_default(observed, expected):
    """Ten classes when nothing is said."""
    replaced(observed, expected, "default", 10, "replace_classifier(net) of a network with 7 classes")


@check("replace_classifier", points=1)
def test_classifier_is_fresh(observed, expected):
    """The new classifier starts from random weights of its own and is trained."""
    for network, outputs in (("wide", 7), ("frozen", 11), ("same count", 5)):
        what = f"replace_classifier(net, {outputs}): the classifier's weight"
        seen = replaced(observed, expected, network, outputs, what)
        is_fresh(seen, expected.classifiers_of_many_networks[network], outputs, what)


@check("replace_classifier", points=0.5)
def test_classifier_has_a_bias(observed, expected):
    """The new classifier has a bias, whatever the old one had."""
    # "without bias" is asked in this check alone: who asks the old layer's bias for its device errs in nothing else
    for network, outputs in (("without bias", 7), ("wide", 7)):
        what = "replace_classifier(net, 7): the classifier's bias"
        has_bias(replaced(observed, expected, network, outputs, what), outputs, what)


@check("replace_classifier", points=1)
def test_nothing_else_changes(observed, expected):
    """Nothing else in the network changes: weights, buffers, what is frozen."""
    for network, outputs in (("wide", 7), ("frozen", 11)):
        what = f"replace_classifier(net, {outputs})"
        seen = replaced(observed, expected, network, outputs, what)
        right = expected.classifiers_of_many_networks[network]
        others_unchanged(seen, right, what)
        classifier = right["classifier"]["name"]
        flags = [{name: flag for name, flag in flags.items() if not name.startswith(f"{classifier}.")}
                 for flags in (seen["trainable after"], right["trainable before"])]  # fmt: skip
        same(*flags, f"{what}: requires_grad of the other weights", look="Freezing or thawing them is not asked for.")
        require(seen["same network"] is True, f"{what}: what is returned", "the network given", "another")


@check("replace_classifier", points=1)
def test_classifier_on_the_networks_device(observed, expected):
    """The new classifier is on the device of the old one."""
    seen, right = observed.classifier_on_accelerator, expected.classifier_on_accelerator
    what = "replace_classifier(net, 7) of a network on an accelerator"
    require(not isinstance(seen["returned"], Error), what, "a network with a new classifier", seen["returned"])
    is_classifier(seen, 7, right["classifier"], what)
    for name, device in right["devices"].items():
        look = "A new layer is made on the CPU unless told otherwise; the old layer's weight knows its device."
        require(seen["devices"].get(name) == device, f"{what}: device of {name}", device, seen["devices"].get(name), look)


@check("replace_classifier", points=0.5)
def test_classifier_leaves_the_random_state(observed, expected):
    """The random state is left to the notebook."""
    replaced(observed, expected, "wide", 7, "replace_classifier(net, 7)")
    random_state_left(observed.random_state_beside_classifier, "replace_classifier")
