"""The reference of week08_resnet. Made from source/week08_resnet/resnet.py: edit that file, not this one."""
from collections.abc import Callable, Iterable
import torch
import torch.nn.functional as F
from torch import nn


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input.

    in_channels, out_channels: how many channels come in and go out.
    stride: step of the first convolution, in pixels; height and width shrink by it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride), rounded up.

        `x` itself stays as it is.
        """
        difference = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(difference + shortcut)


def joined_channels(in_channels: int, layer_channels: list[int], how: str) -> list[int]:
    """Returns the channels after each layer of a stack, whose results are joined with what the layer read.

    layer_channels: the channels that each layer makes. how: "add" or "concatenate".
    Raises ValueError for another `how`, and where widths differ that are to be added.
    """
    if how not in ("add", "concatenate"):
        raise ValueError(f'how is "add" or "concatenate", not {how!r}')
    channels = []
    for width in layer_channels:
        if how == "concatenate":
            in_channels += width
        elif width != in_channels:
            raise ValueError(f"{width} channels cannot be added to {in_channels}")
        channels.append(in_channels)
    return channels


def replace_classifier(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces `net.fc` by a new random linear layer with bias, and returns the same network.

    The new layer maps (batch, features) to (batch, num_classes) scores, features as before, on the old one's device.
    All other weights and buffers stay as they were.
    """
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    return net


def parameters_by_kind(net: nn.Module) -> dict[str, int]:
    """Returns a dict from the name of a module's class to the trainable scalars that such modules own directly.

    A shared tensor counts for the first module, in the network's order, that owns it.
    """
    counts, seen = {}, set()
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                kind = type(module).__name__
                counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts


def compare_networks(builders: dict[str, Callable[[], nn.Module]]) -> list[tuple[str, int, int]]:
    """Returns (name, parameters, bytes of the parameters) of each network, fewest parameters first.

    builders: from a name to a function without arguments that builds the network.
    """
    rows = []
    for name, build in builders.items():
        parameters = list(build().parameters())
        count = sum(parameter.numel() for parameter in parameters)
        rows.append((name, count, sum(parameter.numel() * parameter.element_size() for parameter in parameters)))
    return sorted(rows, key=lambda row: row[1])


def gradient_norms(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, criterion: Callable) -> dict[str, float]:
    """Returns a dict from each trained parameter's name to the L2 norm of its gradient after one backward pass.

    images: (batch, 3, height, width), labels: (batch,), both on the network's device.
    criterion: maps log-probabilities (batch, classes) and labels to the mean loss of the batch, in nats.
    The network is afterwards as it was before.
    """
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    loss = criterion(F.log_softmax(net(images), dim=1), labels)
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
    for buffer, before in buffers:
        buffer.copy_(before)
    return {name: float(gradient.norm()) for name, gradient in zip(trained, gradients, strict=True)}
