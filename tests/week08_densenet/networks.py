"""Small networks and data with which the probes ask. The attribute paths are DenseNet-121's, so the same names work."""

import contextlib
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models import DenseNet
from torchvision.models.densenet import _DenseLayer

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
    layer = seeded(draw, _DenseLayer, channels, growth, bottleneck, 0.0)
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if name.endswith(("weight", "running_var")) and tensor.dim() == 1:
                tensor.uniform_(0.4, 1.6)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.4)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(3)
            else:
                tensor.mul_(1.5)
    return layer.eval()


def give_weights(layer: nn.Module, theirs: nn.Module) -> None:
    """Gives `layer` the weights and buffers of `theirs`, by their names; where these differ, by their order, if it fits.

    So wrong names cost what asks for names, and nothing else. What `layer` has beside them (a bias) becomes zero.
    """
    mine, other = layer.state_dict(), theirs.state_dict()
    fits = [tensor.shape for tensor in mine.values()] == [tensor.shape for tensor in other.values()]
    if fits and mine.keys() != other.keys():
        other = dict(zip(mine, other.values(), strict=True))
    with torch.no_grad():
        for name, tensor in mine.items():
            if name not in other:
                tensor.zero_()
            elif tensor.shape == other[name].shape:
                tensor.copy_(other[name])


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


class TiedNet(nn.Module):
    """An encoder and a decoder that share one weight; the decoder has a bias of its own."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.encoder = nn.Linear(width, width, bias=False)
        self.decoder = nn.Linear(width, width)
        self.decoder.weight = self.encoder.weight


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


def numbered(count: int, last: float = 0.5) -> Pictures:
    """`count` tiny images whose label is their own number, so that their order can be read off the labels.

    An image's first pixel is its number, its last one `last` more: turned over or changed, it shows.
    """
    pixels = torch.linspace(0, last, 12).view(1, 3, 2, 2)
    return Pictures(torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1) + pixels, list(range(count)))


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


def momentum(optimizer: torch.optim.Optimizer) -> list[float]:
    """The sum of the momentum that each parameter has, of those that the optimizer has moved."""
    return [float(kept["momentum_buffer"].sum()) for kept in optimizer.state.values() if "momentum_buffer" in kept]


def steps_counted(optimizer: torch.optim.Optimizer) -> list[int]:
    """A list that grows by one entry at each step of the optimizer."""
    steps: list[int] = []
    optimizer.register_step_post_hook(lambda *_: steps.append(len(steps) + 1))
    return steps


def layers(net: nn.Module) -> str:
    """The layers of `net` and their settings, as PyTorch prints them: momentum of batch norm, rate of dropout."""
    return str(net)


def copied(weights):
    """A snapshot as it is now, whatever shares its memory; what is no dict as it is."""
    if not isinstance(weights, dict):
        return weights
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in weights.items()}


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
