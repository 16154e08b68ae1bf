"""What the public checks ask of `replace_classifier`, in every module whose networks have a last layer to be replaced.

A module's `networks.py` has the name of that layer, `CLASSIFIER`, and two networks: a tiny one built as the lecture's is,
`tiny_net(draw, classes)`, and `SmallNet(classes, width)`.
"""

from collections.abc import Iterable

import torch
from torch import nn

from autograder.authoring import Error, attempt, probe

from .accelerator import ACCELERATOR, where_weights_are
from .networks import CLASSIFIER, SmallNet, tiny_net
from .seeds import seeded
from .weights import state


def as_before(name: str, before: Iterable[str]) -> str:
    """The name of a weight that was there before, or is the classifier's; of another layer's one name for all such."""
    return name if name in before or name.startswith(f"{CLASSIFIER}.") else f"another layer's {name.rpartition('.')[2]}"


def beside_the_classifier(net: nn.Module, before: Iterable[str]) -> dict:
    """Every weight and buffer outside the classifier: what they are called and look like, and all their numbers."""
    kept = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(f"{CLASSIFIER}.")}
    return {
        "tensors": [f"{as_before(name, before)}: {tensor.dtype}, {list(tensor.shape)}" for name, tensor in kept.items()],
        "sizes": [tensor.numel() for tensor in kept.values()],
        "numbers": torch.cat([torch.zeros(0), *(tensor.detach().cpu().float().flatten() for tensor in kept.values())]),
    }




def classifier_seen(net) -> dict:
    """What the last layer is now, by the name that the networks of the module have for it."""
    layer = getattr(net, CLASSIFIER, None)
    return {
        "name": CLASSIFIER,
        "type": type(layer).__name__,
        "linear": isinstance(layer, nn.Linear),
        "weight": getattr(layer, "weight", None),
        "bias": getattr(layer, "bias", None),
        "prints itself as": str(layer),
    }


@probe("replace_classifier")
def new_classifier(student, draw):
    """A small network of 10 classes gets a classifier for fewer."""
    classes = draw.randint(3, 8)
    net = tiny_net(draw, classes=10)
    next(net.parameters()).requires_grad_(False)
    before, old, flags = set(net.state_dict()), state(getattr(net, CLASSIFIER)), _flags(net)
    returned = student.replace_classifier(net, classes)
    seen = {
        "old classifier": old,
        "trainable before": flags,
        "trainable after": _flags(net),
        "classes": classes,
        "returned": type(returned).__name__,
        "same network": returned is net,
        "classifier": classifier_seen(net),
        "others": beside_the_classifier(net, before),
    }
    images = torch.rand(2, 3, 32, 32)
    seen["scores"] = attempt(lambda: list(net.eval()(images).shape))
    other = seeded(draw, SmallNet, classes=7, width=12)
    attempt(lambda: student.replace_classifier(other))
    seen["by default"] = {"classifier": classifier_seen(other)}
    return seen


def _flags(net: nn.Module) -> dict[str, bool]:
    """What is trained, outside the classifier."""
    flags = {name: weight.requires_grad for name, weight in net.named_parameters()}
    return {name: flag for name, flag in flags.items() if not name.startswith(f"{CLASSIFIER}.")}


@probe("replace_classifier")
def new_classifier_elsewhere(student, draw):
    """A network that is not on the CPU: on a simulated accelerator."""
    classes = draw.randint(3, 30)
    net = seeded(draw, SmallNet, classes=10, width=draw.randint(5, 9)).to(ACCELERATOR)
    returned = attempt(lambda: student.replace_classifier(net, classes))
    return {
        "classes": classes,
        "returned": returned if isinstance(returned, Error) else type(returned).__name__,
        "on the accelerator": where_weights_are(net),
        "classifier": classifier_seen(net),
    }
