"""The full training of a GoogLeNet made of a student's blocks, by the student's heads, loss and loop.

Runs in the sandbox, beside the student's code, and in the grader, which evaluates the weights that come back.
"""

import time

import torch
from torch import nn
from torchvision.models import googlenet
from torchvision.models.googlenet import Inception

from autograder.authoring import Recipe, Run, Setup

from .training_parts import REHEARSAL, loaders_of, prepare, put_blocks


def network(classes: int = 1000) -> nn.Module:
    """GoogLeNet with its auxiliary heads from random weights, as the notebook makes it."""
    return googlenet(weights=None, num_classes=classes, aux_logits=True, init_weights=False)


def begin(student, run: Run) -> Setup:
    """The student's blocks in the place of torchvision's, with their weights, and the student's heads."""

    def block(theirs: Inception) -> nn.Module:
        pairs = (theirs.branch2, theirs.branch3)
        widths = [unit.conv.out_channels for unit in (theirs.branch1, *pairs[0], *pairs[1], theirs.branch4[1])]
        return student.InceptionBlock(theirs.branch1.conv.in_channels, *widths)

    put_blocks(run.net, Inception, block)
    net = student.replace_heads(run.net, run.classes).to(run.device)
    return Setup(net, loaders_of(run), torch.optim.Adam(net.parameters(), lr=run.preset.learning_rate))


def epoch(student, run: Run, setup: Setup) -> dict[str, list[float]]:
    """One epoch, as the notebook's loop asks for it."""
    start, criterion = time.perf_counter(), nn.NLLLoss()
    train = student.train_one_epoch(setup.net, setup.loaders[0], criterion, setup.optimizer, run.device)
    loss, accuracy = student.evaluate(setup.net, setup.loaders[1], criterion, run.device)
    figures = {"train_loss": train["loss"], "train_accuracy": train["accuracy"], "test_loss": loss, "test_accuracy": accuracy}
    return {name: [value] for name, value in (figures | {"seconds": time.perf_counter() - start}).items()}


RECIPE = Recipe(
    network=network,
    prepare=prepare,
    begin=begin,
    epoch=epoch,
    exercise="training",
    watched="conv1.conv.weight",
    presets=[REHEARSAL],
)
