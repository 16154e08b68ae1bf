"""A small network to train and test, pictures to do it with, and what is seen of both meanwhile."""

import contextlib
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class SmallNet(nn.Module):
    """One convolution, batch norm and a classifier: (n, 3, h, w) → scores (n, classes).

    `watch(net, scores)`, when set, is called at each forward pass.
    """

    def __init__(self, classes: int = 10, width: int = 4, dropout: float = 0.0):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, width, kernel_size=3, padding=1, bias=False),
                norm0=nn.BatchNorm2d(width),
                relu0=nn.ReLU(),
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)
        self.watch: Callable[[SmallNet, torch.Tensor], None] | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.classifier(self.dropout(self.features(images).mean(dim=(2, 3))))
        if self.watch is not None:
            self.watch(self, scores)
        return scores


def favouring(net: SmallNet, label: int, by: float = 2.5) -> SmallNet:
    """`net` with a classifier that mostly says `label`: right and wrong answers then differ clearly in their loss."""
    with torch.no_grad():
        net.classifier.weight.mul_(3)
        net.classifier.bias[label] += by
    return net


class Pictures(Dataset):
    """Images (n, 3, h, w) and their labels. `on_pass()`, when given, is called as the first image is asked for."""

    def __init__(self, images: torch.Tensor, labels: list[int], on_pass: Callable[[], None] | None = None):
        self.images, self.labels, self.on_pass = images, labels, on_pass

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == 0 and self.on_pass is not None:
            self.on_pass()
        return self.images[index], self.labels[index]


def pictures(labels: list[int], height: int = 6, width: int = 8, on_pass: Callable[[], None] | None = None) -> Pictures:
    """Random images, brighter or darker with their label."""
    shades = torch.tensor(labels, dtype=torch.float32).view(-1, 1, 1, 1) / (1 + max(labels))
    return Pictures((torch.rand(len(labels), 3, height, width) + shades) / 2, labels, on_pass)


def unsure(draw: random.Random, count: int) -> tuple[nn.Module, Pictures]:
    """A network of four classes that gives no class a probability of a half, and `count` pictures, most of which it knows.

    Which class is the likeliest is clear at each picture: the scores lie a third apart or more.
    """
    net = nn.Sequential(OrderedDict(flat=nn.Flatten(), classifier=nn.Linear(12, 4)))
    with torch.no_grad():
        net.classifier.weight.copy_(0.3 * torch.eye(4).repeat_interleave(3, dim=1))
        net.classifier.bias.zero_()
    answers = [draw.randrange(4) for _ in range(count)]
    labels = [answer if draw.random() < 0.7 else draw.randrange(4) for answer in answers]
    images = 0.3 * torch.rand(count, 4, 3)
    images[torch.arange(count), answers] += 0.7
    return net, Pictures(images.view(count, 3, 2, 2), labels)


def in_order(data: Dataset, batch_size: int) -> DataLoader:
    """A loader of `data` from first to last, the same at every pass."""
    return DataLoader(data, batch_size=batch_size)


def settings(optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Learning rate, momentum and weight decay of each group of parameters, where the optimizer has them."""
    names = ("lr", "momentum", "weight_decay")
    return [{name: float(group[name]) for name in names if name in group} for group in optimizer.param_groups]


def steps_counted(optimizer: torch.optim.Optimizer) -> list[int]:
    """A list that grows by one entry at each step of the optimizer."""
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(len(steps) + 1))
    return steps


def layers(net: nn.Module) -> str:
    """The layers of `net` and their settings, as PyTorch prints them: momentum of batch norm, rate of dropout."""
    return str(net)


@contextlib.contextmanager
def watched(net: SmallNet) -> Iterator[list[dict]]:
    """Collects, at each forward pass, how many images came and whether net was training and kept gradients."""
    seen: list[dict] = []

    def watch(passing: SmallNet, scores: torch.Tensor) -> None:
        seen.append(
            {
                "images": len(scores),
                "batch norm training": passing.features.norm0.training,
                "dropout training": passing.dropout.training,
                "gradients": scores.requires_grad,
            }
        )

    net.watch = watch
    try:
        yield seen
    finally:
        net.watch = None
