"""Small networks with which the probes ask. The attribute paths are those of torchvision's GoogLeNet."""

import copy
import random

import torch
from torch import nn
from torchvision.models.googlenet import GoogLeNetOutputs, Inception

from .blocks import after_some_training


def their_block(draw: random.Random, *widths: int) -> nn.Module:
    """Torchvision's Inception block, with weights and running statistics as after some training.

    Some running variances are so small that it shows what is added to them.
    """
    block = after_some_training(draw, Inception, *widths)
    for name, buffer in block.named_buffers():
        if name.endswith("running_var"):
            buffer[::2] = buffer[::2] / 100
    return block


class SmallHead(nn.Module):
    """An auxiliary head: (n, width) → scores (n, classes)."""

    def __init__(self, width: int, hidden: int, classes: int, bias: bool = True):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, classes, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class SmallGoogLeNet(nn.Module):
    """One convolution, batch norm and up to three heads: (n, 3, h, w) → as GoogLeNet gives it.

    In training mode that is a named tuple of scores, with None for a head that there is not; in evaluation mode, and
    always where there is no auxiliary head, it is the main head's scores.

    hidden: the widths of the two auxiliary heads; 0 for a head that is None.
    """

    def __init__(
        self, classes: int = 10, width: int = 5, hidden: tuple[int, int] = (4, 6), bias: bool = True, dropout: float = 0.0
    ):
        super().__init__()
        self.aux_logits = any(hidden)
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width, eps=0.001), nn.ReLU())
        self.aux1, self.aux2 = (SmallHead(width, size, classes, bias) if size else None for size in hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, classes, bias=bias)
        self.seen: list[dict] | None = None  # a list that is kept of the forward passes, where there is one

    def forward(self, images: torch.Tensor) -> torch.Tensor | GoogLeNetOutputs:
        x = self.conv1(images).mean(dim=(2, 3))
        scores = self.fc(self.dropout(x))
        if self.seen is not None:
            parts = self.training, self.conv1.training, self.dropout.training
            modes = {"training": all(parts), "testing": not any(parts)}
            self.seen.append({"images": len(images), **modes, "gradients": scores.requires_grad})
        if self.training and self.aux_logits:
            others = (None if head is None else head(x) for head in (self.aux2, self.aux1))
            return GoogLeNetOutputs(scores, *others)
        return scores


HEADS = {"fc": "fc", "aux1": "aux1.fc2", "aux2": "aux2.fc2"}  # the last layer of each


def last_layer(net: nn.Module, head: str):
    """The last layer of a head, or what stands in its place; None where there is no such head."""
    found = net
    for name in HEADS[head].split("."):
        found = getattr(found, name, None)
    return found


def favouring_one(net: SmallGoogLeNet, label: int, by: float = 2.5) -> SmallGoogLeNet:
    """`net` with heads that mostly say different things: the main head `label`, the others what stands before it.

    Right and wrong answers then differ clearly in their loss, and the heads in theirs.
    """
    with torch.no_grad():
        for number, head in enumerate(HEADS):
            if layer := last_layer(net, head):
                layer.weight.mul_(3)
                layer.bias[label - number] += by
    return net


def telling_apart(net: SmallGoogLeNet, images: torch.Tensor) -> SmallGoogLeNet:
    """`net` with a main head that says different things of different `images`: (n, 3, h, w)."""
    with torch.no_grad():
        net.fc.weight.mul_(12)
        net.fc.bias -= copy.deepcopy(net).train()(images).mean(dim=0)
    return net
