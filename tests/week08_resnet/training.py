"""The full training of a ResNet-18 made of a student's blocks, whose gradients are measured before each epoch.

Runs in the sandbox, beside the student's code, and in the grader, which evaluates the weights that come back. The loop is
given, as in the notebook.
"""

import contextlib
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock

from autograder.authoring import Recipe, Run, Setup

from .training_parts import REHEARSAL, loaders_of, prepare, put_blocks

MEASURED = 8  # images of which the gradients are measured


def network(classes: int = 1000) -> nn.Module:
    """ResNet-18 from random weights."""
    return resnet18(weights=None, num_classes=classes)


def begin(student, run: Run) -> Setup:
    """The student's blocks in the place of torchvision's, with their weights, and the student's classifier."""

    def block(theirs: BasicBlock) -> nn.Module:
        return student.ResidualBlock(theirs.conv1.in_channels, theirs.conv1.out_channels, theirs.stride)

    put_blocks(run.net, BasicBlock, block)
    net = student.replace_classifier(run.net, run.classes).to(run.device)
    return Setup(net, loaders_of(run), torch.optim.Adam(net.parameters(), lr=run.preset.learning_rate))


def epoch(student, run: Run, setup: Setup) -> dict[str, list[float]]:
    """A measurement of the gradients by the student's function, which leaves no trace, and one epoch of the given loop."""
    begun = time.perf_counter()
    images, labels = (tensor[:MEASURED].to(run.device) for tensor in next(iter(setup.loaders[1])))
    student.gradient_norms(setup.net.train(), images, labels, nn.NLLLoss())
    train = one_pass(setup.net.train(), setup.loaders[0], run.device, setup.optimizer)
    test = one_pass(setup.net.eval(), setup.loaders[1], run.device)
    figures = dict(zip(("train_loss", "train_accuracy", "test_loss", "test_accuracy"), (*train, *test), strict=True))
    return {name: [value] for name, value in (figures | {"seconds": time.perf_counter() - begun}).items()}


def one_pass(
    net: nn.Module, loader: DataLoader, device: torch.device, optimizer: torch.optim.Optimizer | None = None
) -> tuple[float, float]:
    """Loss, in nats per image, and accuracy over all of `loader`; with an `optimizer` a step at each batch."""
    loss_sum, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    with torch.no_grad() if optimizer is None else contextlib.nullcontext():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss = F.cross_entropy(scores, labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.detach() * len(labels)
            right += (scores.argmax(dim=1) == labels).sum()
            seen += len(labels)
    return float(loss_sum) / seen, float(right) / seen


RECIPE = Recipe(
    network=network,
    prepare=prepare,
    begin=begin,
    epoch=epoch,
    exercise="gradients",
    watched="conv1.weight",
    presets=[REHEARSAL],
)
