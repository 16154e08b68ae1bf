"""Small networks with which the probes ask, what they look like afterwards, and figures drawn for stand-ins."""

import math
import random

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import DenseNet


def densenet121() -> DenseNet:
    """DenseNet-121 in its real size, made quickly, with constant weights."""
    with torch.device("meta"):
        net = DenseNet(growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64)
    net.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            tensor.fill_(1)
    return net


def tiny_densenet(growth: int, start: int) -> DenseNet:
    """A DenseNet with two blocks and a few thousand weights: (n, 3, h, w) → (n, 5)."""
    return DenseNet(growth_rate=growth, block_config=(2, 2), num_init_features=start, bn_size=2, num_classes=5)


# --- how often a layer works, and where -------------------------------------------------------------------------------


class Around(nn.Module):
    """Any layers in a row, on the image as it comes: what `nn.Sequential` is, with a name of its own for a subclass."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class CalledTwice(nn.Module):
    """(n, channels, h, w): one convolution called twice, under two names; another, and a linear layer, never."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.again = self.conv
        self.spare = nn.Conv2d(channels, 2 * channels, 5)
        self.pool = nn.AvgPool2d(2)
        self.unused = nn.Linear(channels, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.pool(self.conv(x)))


class TiedConvolutions(nn.Module):
    """(n, channels, h, w): two convolutions with one weight between them, each called once."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, stride=2)
        self.second = nn.Conv2d(channels, channels, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class CalledOften(nn.Module):
    """(n, channels, h, w): one convolution and its in-place ReLU are called `times` times, each time by another list's."""

    def __init__(self, channels: int, times: int):
        super().__init__()
        step = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True))
        self.steps = nn.ModuleList([nn.ModuleList([step]) for _ in range(times)])
        self.steps.append(nn.ModuleList([nn.Conv2d(channels, 9, 1)]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step, *_ in self.steps[:-1]:
            x = step(x)
        return x


class ScaledConv2d(nn.Conv2d):
    """A convolution whose output is halved."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / 2


class Head(nn.Linear):
    """A linear layer under another name."""


class Scale(nn.Module):
    """A leaf of its own class: each channel times a number."""

    def __init__(self, channels: int):
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Joined(nn.Module):
    """(n, channels, h, w): two convolutions side by side, joined by `torch.cat`, then an in-place ReLU on that."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.left = nn.Conv2d(channels, width, 1)
        self.right = nn.Conv2d(channels, width + 1, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(torch.cat([self.left(x), self.right(x)], dim=1))


class Added(nn.Module):
    """(n, channels, h, w): a residual block whose one in-place ReLU works twice; once behind an addition in place."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        new = self.conv2(self.relu(self.bn1(self.conv1(x))))
        new += x
        return self.relu(new)


class BehindAView(nn.Module):
    """(n, channels, h, w): the in-place ReLU is given the convolution's output in another shape."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv(x).flatten(2))


class LooksBack(nn.Module):
    """(n, channels, h, w): the in-place ReLU is given an output that another layer has read since."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3)
        self.second = nn.Conv2d(width, width, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.second(x) + self.relu(x)


class WithAuxiliaryHead(nn.Module):
    """(n, channels, h, w) → scores; in training mode also those of a second head, and dropout works."""

    def __init__(self, channels: int, width: int, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, classes)
        self.auxiliary = nn.Sequential(nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        features = self.dropout(F.relu(self.conv(x))).mean(dim=(2, 3))
        return (self.head(features), self.auxiliary(features)) if self.training else self.head(features)


def one_value_a_channel(channels: int, width: int) -> nn.Module:
    """(n, channels, h, w): behind the pooling batch norm meets a single value in each channel of an image."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, 2 * width, 1),
    )


def for_large_images(width: int) -> nn.Module:
    """(n, 3, h, w): its outputs of an 8000 × 8000 image take some GiB, and computing them minutes."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


# --- tensors of every kind --------------------------------------------------------------------------------------------


class Constants(nn.Module):
    """A leaf with buffers: of other dtypes, one that is not saved, one that is not there, and its own number of scalars."""

    def __init__(self, length: int):
        super().__init__()
        self.register_buffer("steps", torch.arange(length))
        self.register_buffer("mask", torch.ones(length + 1, dtype=torch.bool))
        self.register_buffer("means", torch.zeros(length, 2, dtype=torch.float64), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def of_many_dtypes(width: int) -> nn.Module:
    """Layers of 16, 32 and 64 bits and buffers of five dtypes. It is for looking at, not for calling."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.Linear(width, 5).half(),
        nn.Linear(5, width, bias=False).double(),
        Constants(width),
    )


class Tied(nn.Module):
    """(n, width): an encoder and a decoder with one weight, and one buffer that both hold."""

    def __init__(self, width: int):
        super().__init__()
        self.encoder = nn.Linear(width, width, bias=False)
        self.encoder.register_buffer("mean", torch.zeros(width))
        self.decoder = nn.Linear(width, width)
        self.decoder.weight = self.encoder.weight
        self.decoder.register_buffer("mean", self.encoder.mean)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))


def partly_frozen(net: nn.Module) -> nn.Module:
    """`net` with its first layer that has parameters frozen."""
    first = next(layer for layer in net.modules() if list(layer.parameters(recurse=False)))
    first.requires_grad_(False)
    return net


# --- a network and what becomes of it ---------------------------------------------------------------------------------


def nothing_happens(*_: object) -> None:
    """A hook that somebody else has registered."""


def lived_in(channels: int, width: int, training: bool = True) -> nn.Module:
    """(n, channels, h, w): a network in use. One layer is frozen and in another mode, two have hooks, some gradients."""
    net = Around(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Dropout(0.25),
        nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 5),
    )
    net.train(training)
    net.layers[1].train(not training).requires_grad_(False)
    net.layers[0].register_forward_hook(nothing_happens)
    net.layers[8].register_forward_pre_hook(nothing_happens)
    net.layers[8].weight.grad = torch.full_like(net.layers[8].weight, 0.75)
    return net


def condition(net: nn.Module) -> dict:
    """All of a network that a look at it could change, as plain data."""
    tensors = {name: tensor for one in (net.named_parameters(), net.named_buffers()) for name, tensor in one}
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "layers": str(net),
        "modes": [layer.training for layer in net.modules()],
        "tensors": [f"{name}: {tensor.dtype}, {list(tensor.shape)}, {tensor.device}" for name, tensor in tensors.items()],
        "numbers": [_numbers(tensor) for tensor in tensors.values()],
        "gradients": [_numbers(tensor.grad) for tensor in net.parameters()],
        "trainable": [tensor.requires_grad for tensor in net.parameters()],
        "hooks": [sum(len(getattr(layer, kind)) for kind in hooks) for layer in net.modules()],
    }


def _numbers(tensor: torch.Tensor | None) -> list[float] | str:
    if tensor is None:
        return "none"
    if tensor.device.type != "cpu":
        return f"on {tensor.device}"
    return tensor.detach().double().flatten().tolist()


# --- stand-ins --------------------------------------------------------------------------------------------------------

MANY_CALLS = 2_000  # at 10 ms, a pass of a small network without its numbers, this takes the 20 s that are given


class DrawnFigures:
    """Stand-ins for the functions that others call. Their figures are drawn, so they say nothing of the right ones.

    Each says something of its arguments: another batch size, shape or dtype gives another figure. `called` collects which
    of them were asked.
    """

    def __init__(self, draw: random.Random, image_bytes: int):
        """image_bytes: what an image takes, for each number that it holds."""
        self.image_bytes = image_bytes
        self.weights = draw.randint(100, 200)
        self.fixed = {"sgd": draw.randint(210, 300), "momentum": draw.randint(310, 400), "adam": draw.randint(410, 500)}
        self.called: set[str] = set()
        self.calls = 0

    def replacing(self, *names: str) -> dict:
        """The stand-ins of these names."""
        return {name: getattr(self, name) for name in names}

    def _note(self, name: str) -> None:
        self.called.add(name)
        self.calls += 1
        if self.calls > MANY_CALLS:
            raise TimeoutError(f"{name} was asked {MANY_CALLS:,} times: with a real network that takes longer than 20 s")

    def model_bytes(self, net):
        self._note("model_bytes")
        return self.weights + getattr(net, "number", 0)

    def count_macs(self, net, input_shape=(3, 224, 224)):
        self._note("count_macs")
        return 1000 * getattr(net, "number", 0) + math.prod(input_shape)

    # What comes behind `*` is what was said: a wrong default in a student's own function is that function's error alone.

    def activation_bytes(self, net, input_shape, batch_size, *said, **more):
        self._note("activation_bytes")
        dtype = (*said, *more.values(), torch.float32)[0]
        itemsize = torch.empty((), dtype=dtype).element_size()
        return (getattr(net, "number", 0) + self.image_bytes * math.prod(input_shape)) * batch_size * itemsize // 4

    def training_bytes(self, net, input_shape, batch_size, *said, **more):
        self._note("training_bytes")
        optimizer = (*said, *more.values(), "adam")[0]
        image = getattr(net, "number", 0) + self.image_bytes * math.prod(input_shape)
        return self.fixed[optimizer] + image * batch_size

    def largest_batch(self, net, input_shape, memory_bytes, *said, **more):
        self._note("largest_batch")
        optimizer = (*said, *more.values(), "adam")[0]
        room = memory_bytes - 100 * self.fixed[optimizer] - 10_000 * getattr(net, "number", 0)
        return max(0, room // math.prod(input_shape))
