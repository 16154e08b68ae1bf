"""Small networks and data with which the probes ask. The attribute paths are DenseNet-121's, so the same names work."""

import random

import torch
from torch import nn
from torchvision.models import DenseNet
from torchvision.models.densenet import _DenseLayer

from .blocks import after_some_training
from .practice import Pictures, SmallNet  # noqa: F401  the small network of `replace_classifier`'s probes
from .seeds import seeded


def tiny_densenet(classes: int = 10, growth: int = 4, start: int = 8) -> DenseNet:
    """A DenseNet with four blocks of two layers and a few thousand weights: (n, 3, 32, 32) → (n, classes)."""
    return DenseNet(
        growth_rate=growth, block_config=(2, 2, 2, 2), num_init_features=start, bn_size=2, num_classes=classes
    )


CLASSIFIER = "classifier"  # the name of the last layer


def tiny_net(draw: random.Random, classes: int) -> DenseNet:
    """A tiny DenseNet of drawn widths."""
    return seeded(draw, tiny_densenet, classes, growth=draw.choice([2, 3, 4, 5, 6]), start=draw.choice([4, 6, 8, 10]))


def densenet121(classes: int = 1000) -> DenseNet:
    """DenseNet-121 in its real size with constant weights, made quickly: for shapes and counts only."""
    with torch.device("meta"):
        net = DenseNet(growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64, num_classes=classes)
    net.to_empty(device="cpu")
    with torch.no_grad():  # not what happens to be in memory: a count of zeros must be the same every time
        for name, parameter in net.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return net


def torchvisions_layer(draw: random.Random, channels: int, growth: int, bottleneck: int) -> nn.Module:
    """Torchvision's dense layer in evaluation mode, with weights and running statistics as after some training."""
    return after_some_training(draw, _DenseLayer, channels, growth, bottleneck, 0.0)


class TiedNet(nn.Module):
    """An encoder and a decoder that share one weight; the decoder has a bias of its own."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.encoder = nn.Linear(width, width, bias=False)
        self.decoder = nn.Linear(width, width)
        self.decoder.weight = self.encoder.weight


def numbered(count: int, last: float = 0.5) -> Pictures:
    """`count` tiny images whose label is their own number, so that their order can be read off the labels.

    An image's first pixel is its number, its last one `last` more: turned over or changed, it shows.
    """
    pixels = torch.linspace(0, last, 12).view(1, 3, 2, 2)
    return Pictures(torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1) + pixels, list(range(count)))


def momentum(optimizer: torch.optim.Optimizer) -> list[float]:
    """The sum of the momentum that each parameter has, of those that the optimizer has moved."""
    return [float(kept["momentum_buffer"].sum()) for kept in optimizer.state.values() if "momentum_buffer" in kept]


def copied(weights):
    """A snapshot as it is now, whatever shares its memory; what is no dict as it is."""
    if not isinstance(weights, dict):
        return weights
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in weights.items()}


