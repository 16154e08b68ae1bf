"""Known mistakes in `replace_classifier`, in every module whose networks have a last layer to be replaced.

That layer is called `classifier` in a DenseNet, `fc` in a ResNet.
"""

import copy

import torch
from torch import nn

from autograder.authoring import mistake


def _name(net) -> str:
    return "classifier" if hasattr(net, "classifier") else "fc"


def _old(net) -> nn.Linear:
    return getattr(net, _name(net))


def _put(net, layer: nn.Module):
    setattr(net, _name(net), layer)
    return net


def _new_classifier(net, num_classes: int, **settings) -> nn.Linear:
    return nn.Linear(_old(net).in_features, num_classes, device=_old(net).weight.device, **settings)


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def sets_a_layer_beside_the_classifier(net, num_classes: int = 10):
    """The new layer has another name than the old one (a DenseNet's is called `classifier`, a ResNet's `fc`), and the old
    one still does the work: print the network and look at what its last layer is called."""
    setattr(net, "fc" if _name(net) == "classifier" else "classifier", _new_classifier(net, num_classes))
    return net


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def reads_a_layer_that_is_not_there(net, num_classes: int = 10):
    """The last layer is asked for by a name that this network does not have (a DenseNet's is called `classifier`, a
    ResNet's `fc`): print the network and look."""
    old = net.fc if _name(net) == "classifier" else net.classifier
    return _put(net, nn.Linear(old.in_features, num_classes, device=old.weight.device))


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def edits_out_features(net, num_classes: int = 10):
    """`out_features` is only a note of the layer's width: changing it leaves the weight as it was, and the network
    still gives the old number of scores."""
    _old(net).out_features = num_classes
    return net


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def writes_10_classes_down(net, num_classes: int = 10):
    """There are ten scores whatever number of classes is asked for. Look for a number that stands where the argument
    `num_classes` belongs."""
    return _put(net, _new_classifier(net, 10))


@mistake(of="replace_classifier", caught_by="test_ten_classes_by_default")
def has_another_default_number_of_classes(net, num_classes: int = 1000):
    """Without an argument there are 1,000 classes, as in ImageNet. CIFAR-10 has ten: look at the default value in the
    function's first line."""
    return _put(net, _new_classifier(net, num_classes))


@mistake(of="replace_classifier", caught_by="test_same_network_comes_back")
def changes_a_copy(net, num_classes: int = 10):
    """A copy of the network gets the new classifier, and the caller's network keeps the old one. An optimizer built on
    the one would not train the other."""
    net = copy.deepcopy(net)
    return _put(net, _new_classifier(net, num_classes))


@mistake(of="replace_classifier", caught_by="test_same_network_comes_back")
def forgets_to_return_the_network(net, num_classes: int = 10):
    """The network is changed but nothing is returned, so a caller who writes `net = replace_classifier(net)` is left
    with None."""
    _put(net, _new_classifier(net, num_classes))


@mistake(of="replace_classifier", caught_by="test_same_network_comes_back")
def returns_the_classifier_alone(net, num_classes: int = 10):
    """The new layer is returned instead of the network that it belongs to."""
    _put(net, _new_classifier(net, num_classes))
    return _old(net)


@mistake(of="replace_classifier", caught_by="test_classifier_has_a_bias")
def leaves_the_bias_out(net, num_classes: int = 10):
    """The new layer has no bias; the old one had one. The count of parameters is ten short for ten classes."""
    return _put(net, _new_classifier(net, num_classes, bias=False))


@mistake(of="replace_classifier", caught_by="test_classifier_has_a_bias")
def has_a_bias_where_the_old_one_had(net, num_classes: int = 10):
    """Where the old layer had no bias, the new one has none either. It has one always."""
    return _put(net, _new_classifier(net, num_classes, bias=_old(net).bias is not None))


@mistake(of="replace_classifier", caught_by="test_input_width_is_read_from_the_network")
def appends_a_second_layer(net, num_classes: int = 10):
    """The old classifier is kept and a second layer put behind it. It should be replaced: the thousand scores of
    ImageNet have no part in this network."""
    old = _old(net)
    return _put(net, nn.Sequential(old, nn.Linear(old.out_features, num_classes, device=old.weight.device)))


@mistake(of="replace_classifier", caught_by="test_input_width_is_read_from_the_network")
def puts_a_softmax_behind(net, num_classes: int = 10):
    """The classifier now ends in log-softmax. The network should give raw scores; the loss takes their log-softmax in
    the training loop, and twice is once too often."""
    return _put(net, nn.Sequential(_new_classifier(net, num_classes), nn.LogSoftmax(dim=1)))


@mistake(of="replace_classifier", caught_by="test_classifier_is_fresh")
def starts_from_zeros(net, num_classes: int = 10):
    """All weights of the new layer are zero. Then no gradient passes through it in the first step; weights have to
    start at random."""
    _put(net, _new_classifier(net, num_classes))
    nn.init.zeros_(_old(net).weight)
    nn.init.zeros_(_old(net).bias)
    return net


@mistake(of="replace_classifier", caught_by="test_classifier_is_fresh")
def keeps_the_first_rows(net, num_classes: int = 10):
    """The new layer starts with the first rows of the old one. Those belong to other classes; a fresh layer is asked
    for."""
    new = _new_classifier(net, num_classes)
    rows = min(num_classes, len(_old(net).weight))
    with torch.no_grad():
        new.weight[:rows] = _old(net).weight[:rows]
        if _old(net).bias is not None:
            new.bias[:rows] = _old(net).bias[:rows]
    return _put(net, new)


@mistake(of="replace_classifier", caught_by="test_classifier_is_fresh")
def keeps_a_classifier_that_fits(net, num_classes: int = 10):
    """When the old layer already has the right number of outputs it is kept. A fresh one is asked for in any case: the
    old weights may have been trained for other classes."""
    if _old(net).out_features != num_classes:
        _put(net, _new_classifier(net, num_classes))
    return net


@mistake(of="replace_classifier", caught_by="test_classifier_on_the_networks_device")
def leaves_the_classifier_on_the_cpu(net, num_classes: int = 10):
    """New layers are made on the CPU. If the network already sits on a GPU, its last layer does not, and the first
    batch fails."""
    return _put(net, nn.Linear(_old(net).in_features, num_classes))


@mistake(of="replace_classifier", caught_by="test_nothing_else_changes")
def freezes_the_features(net, num_classes: int = 10):
    """All other weights were frozen, as in transfer learning. This network starts from random weights and all of it
    has to train: nothing but the classifier should change."""
    net.requires_grad_(False)
    return _put(net, _new_classifier(net, num_classes))


@mistake(of="replace_classifier", caught_by="test_other_weights_stay")
def starts_every_weight_afresh(net, num_classes: int = 10):
    """All layers were initialised again, not just the new one. What the rest of the network has learned is lost."""
    _put(net, _new_classifier(net, num_classes))
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return net


@mistake(of="replace_classifier", caught_by="test_other_weights_stay")
def finds_the_width_by_a_training_pass(net, num_classes: int = 10):
    """An image of noise was sent through the network in training mode to see its width, and every BatchNorm has added
    it to its running statistics. The width can be read without computing anything."""
    old, widths = _old(net), []
    hook = old.register_forward_pre_hook(lambda layer, inputs: widths.append(inputs[0].shape[1]))
    net.train()(torch.rand(2, 3, 64, 64, device=old.weight.device))
    hook.remove()
    return _put(net, nn.Linear(widths[0], num_classes, device=old.weight.device))


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def swaps_inputs_and_outputs(net, num_classes: int = 10):
    """The two numbers of the linear layer have changed places: it takes as many inputs as there are classes. Inputs
    come first, outputs second."""
    return _put(net, nn.Linear(num_classes, _old(net).in_features, device=_old(net).weight.device))


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def takes_the_old_outputs_as_inputs(net, num_classes: int = 10):
    """The old layer's number of outputs was taken for its number of inputs. The new layer reads the same features as
    the old one."""
    old = _old(net)
    return _put(net, nn.Linear(old.out_features, num_classes, device=old.weight.device))


@mistake(of="replace_classifier", caught_by="test_classifier_leaves_the_random_state")
def seeds_for_the_classifier(net, num_classes: int = 10):
    """The global random state is set to a fixed seed as a side effect: every new classifier starts with the same
    weights, and so does all that is drawn later. Whoever runs the experiment sets the seed."""
    torch.manual_seed(0)
    return _put(net, _new_classifier(net, num_classes))


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def keeps_the_layer_in_a_name_of_its_own(net, num_classes: int = 10):
    """A new layer is made and kept in a name of the function alone: the network never hears of it and is returned as it
    was. It has to be set as the network's attribute."""
    classifier = _new_classifier(net, num_classes)  # noqa: F841
    return net


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def wraps_the_layer(net, num_classes: int = 10):
    """The new layer is wrapped in an `nn.Sequential`. The scores are right, but its weight has a
    name with a 0 in it now: the linear layer itself is to be the classifier."""
    return _put(net, nn.Sequential(_new_classifier(net, num_classes)))


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def cuts_the_weight_to_size(net, num_classes: int = 10):
    """The old layer got a new weight and bias, and still says that it has the old number of outputs. A new layer is
    asked for."""
    new = _new_classifier(net, num_classes)
    _old(net).weight, _old(net).bias = new.weight, new.bias
    return net


@mistake(of="replace_classifier", caught_by="test_classifier_on_the_networks_device")
def moves_the_network_for_the_classifier(net, num_classes: int = 10):
    """The whole network was moved to the CPU, where the new layer is. It is to stay on its device, and the new layer to
    join it there."""
    net.cpu()
    return _put(net, nn.Linear(_old(net).in_features, num_classes))
