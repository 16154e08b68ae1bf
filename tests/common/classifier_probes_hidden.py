"""What the hidden checks ask of `replace_classifier`: other networks, another device, a second time. Not for students."""

from torch import nn

from autograder.authoring import Error, attempt, probe

from .accelerator import ACCELERATOR
from .classifier_probes_public import as_before, beside_the_classifier, classifier_seen
from .networks import CLASSIFIER, SmallNet, tiny_net
from .seeds import random_state_after, seeded, told_apart
from .weights import state


def classifier_replaced(student, net: nn.Module, *num_classes: int, before: set[str] | None = None) -> dict:
    """The network afterwards, and of before what a new classifier could have been taken from.

    Args:
        before: the names of its weights as it was made, if it was given to the function before.
    """
    before = before or set(net.state_dict())
    flags = {as_before(name, before): weight.requires_grad for name, weight in net.named_parameters()}
    old = state(getattr(net, CLASSIFIER))
    returned = attempt(lambda: student.replace_classifier(net, *num_classes))
    after = {as_before(name, before): weight.requires_grad for name, weight in net.named_parameters()}
    return {
        "old classifier": old,
        "others": beside_the_classifier(net, before),
        "same network": returned is net,
        "returned": returned if isinstance(returned, Error) else type(returned).__name__,
        "classifier": classifier_seen(net),
        "trainable before": flags,
        "trainable after": after,
    }


@probe("replace_classifier")
def classifiers_of_many_networks(student, draw):
    """Other widths and class counts, a classifier without bias, frozen weights, and a second replacement."""
    wide = tiny_net(draw, classes=9)
    without_bias = seeded(draw, SmallNet, classes=10, width=draw.randint(5, 9))
    setattr(without_bias, CLASSIFIER, nn.Linear(getattr(without_bias, CLASSIFIER).in_features, 10, bias=False))
    frozen = seeded(draw, SmallNet, classes=1000, width=draw.randint(10, 15))
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    next(frozen.buffers()).add_(0.5)
    again = seeded(draw, SmallNet, classes=7, width=12)
    made = set(again.state_dict())
    return {
        "wide": classifier_replaced(student, wide, 7),
        "without bias": classifier_replaced(student, without_bias, 7),
        "frozen": classifier_replaced(student, frozen, 11),
        "default": classifier_replaced(student, again),
        "twice": classifier_replaced(student, again, 5, before=made),
        "same count": classifier_replaced(student, again, 5, before=made),
    }


@probe("replace_classifier")
def classifier_on_accelerator(student, draw):
    """A network that is on an accelerator already."""
    net = seeded(draw, SmallNet, classes=10, width=6).to(ACCELERATOR)
    before = set(net.state_dict())
    returned = attempt(lambda: student.replace_classifier(net, 7))
    return {
        "returned": returned if isinstance(returned, Error) else type(returned).__name__,
        "devices": {as_before(name, before): str(weight.device) for name, weight in net.named_parameters()},
        "classifier": classifier_seen(net),
    }


@probe("replace_classifier")
def random_state_beside_classifier(student, draw):
    """Random numbers drawn after replacing a classifier, for two different states before."""
    net = seeded(draw, SmallNet)
    return told_apart(*(random_state_after(lambda: student.replace_classifier(net, 5), seed) for seed in (5, 6)))
