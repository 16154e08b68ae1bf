"""Small networks with which the probes ask. The attribute paths are those of torchvision's ResNet."""

import random

import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock

from .blocks import after_some_training
from .seeds import seeded

CLASSIFIER = "fc"  # the name of the last layer


def their_block(draw: random.Random, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """Torchvision's block in evaluation mode, with weights and running statistics as after some training."""
    return after_some_training(draw, _basic_block, in_channels, out_channels, stride)


def _basic_block(in_channels: int, out_channels: int, stride: int) -> BasicBlock:
    shape_changes = stride > 1 or in_channels != out_channels
    around = (nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
    return BasicBlock(in_channels, out_channels, stride, nn.Sequential(*around) if shape_changes else None)


class TinyResNet(nn.Module):
    """A ResNet of two stages of one block each: (n, 3, h, w) → scores (n, classes)."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(_basic_block(width, width, 1))
        self.layer2 = nn.Sequential(_basic_block(width, 2 * width, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2 * width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.avgpool(self.layer2(self.layer1(x))).flatten(1))


def tiny_net(draw: random.Random, classes: int) -> TinyResNet:
    """A tiny ResNet of drawn width."""
    return seeded(draw, TinyResNet, classes, draw.randint(3, 7))


class SmallNet(nn.Module):
    """One convolution, batch norm and a classifier: (n, 3, h, w) → scores (n, classes)."""

    def __init__(self, classes: int = 10, width: int = 4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.bn1(self.conv1(images))).mean(dim=(2, 3)))


class TiedNet(nn.Module):
    """A table of words and, behind a layer of its own, a decoder that shares the table's weight."""

    def __init__(self, words: int, width: int):
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.middle = nn.Linear(width, width)
        self.decoder = nn.Linear(width, words)
        self.decoder.weight = self.table.weight


class Narrow(nn.Linear):
    """A linear layer of another name."""


class Scaled(nn.Module):
    """A module that is none of PyTorch's, with parameters of its own around two linear layers, one of another name."""

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.zeros(width))
        self.inner = nn.Sequential(nn.Linear(width, 3, bias=False), Narrow(3, 2))


def resnet_18() -> nn.Module:
    """ResNet-18 in its real size with constant weights, made quickly: for counts only."""
    with torch.device("meta"):
        net = resnet18(weights=None)
    net.to_empty(device="cpu")
    with torch.no_grad():  # not what happens to be in memory: a count of what is not zero must be the same every time
        for name, parameter in net.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return net
