"""Unusual right answers to `replace_classifier`, in every module whose networks have a last layer to be replaced.

That layer is called `classifier` in a DenseNet, `fc` in a ResNet.
"""

from torch import nn

from autograder.authoring import alternative


def _name(net) -> str:
    return "classifier" if hasattr(net, "classifier") else "fc"


def _old(net) -> nn.Linear:
    return getattr(net, _name(net))


def _put(net, layer: nn.Module):
    setattr(net, _name(net), layer)
    return net


@alternative(of="replace_classifier")
def classifier_from_in_features(net, num_classes: int = 10):
    old = _old(net)
    return _put(net, nn.Linear(old.in_features, num_classes).to(old.weight.device))


@alternative(of="replace_classifier")
def classifier_by_setattr(net, num_classes: int = 10):
    name, last = list(net.named_children())[-1]
    new = type(last)(in_features=last.in_features, out_features=num_classes, device=last.weight.device)
    setattr(net, name, new)
    return net


@alternative(of="replace_classifier")
def classifier_from_the_shape_of_the_weight(net, num_classes: int = 10):
    weight = _old(net).weight
    _, רוחב = weight.shape  # רוחב הקלט של השכבה האחרונה
    net._modules[_name(net)] = nn.Linear(רוחב, num_classes, bias=True, device=weight.device, dtype=weight.dtype)
    return net


@alternative(of="replace_classifier")
def classifier_initialised_by_he(net, num_classes: int = 10):
    new = nn.Linear(_old(net).weight.size(1), num_classes, device=next(net.parameters()).device)
    nn.init.kaiming_normal_(new.weight)
    nn.init.zeros_(new.bias)
    net.add_module(_name(net), new)
    return net


@alternative(of="replace_classifier")
def classifier_on_the_default_device(net, num_classes: int = 10):
    with _old(net).weight.device:
        return _put(net, nn.Linear(_old(net).in_features, num_classes))


@alternative(of="replace_classifier")
def replace_with_weights_drawn_as_in_the_paper(net, num_classes=10):
    old = _old(net)
    _put(net, nn.Linear(old.in_features, num_classes))
    nn.init.kaiming_normal_(_old(net).weight)
    nn.init.uniform_(_old(net).bias, -0.1, 0.1)
    _old(net).to(old.weight.device)
    return net
