"""Unusual right answers of week08_resnet, in as many styles as students have: all must get full marks.

Each takes the place of the reference's function of the same contract.
"""

import copy
import dataclasses
import itertools
import math
import operator
from collections import Counter, OrderedDict, defaultdict
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call
from torch.nn.utils import skip_init
from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

from autograder.authoring import alternative

from .classifier_alternatives import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# ResidualBlock


@alternative(of="ResidualBlock")
class BlockOfTorchvision(BasicBlock):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        downsample = None
        if stride != 1 or in_channels != out_channels:
            downsample = nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))
        super().__init__(in_channels, out_channels, stride, downsample)


@alternative(of="ResidualBlock")
class BlockInPlace(nn.Module):
    """Everything in place, but for the input."""

    expansion = 1

    def __init__(self, in_channels, out_channels, stride=1):
        super(BlockInPlace, self).__init__()  # noqa: UP008  many have learnt it so
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        if in_channels != out_channels or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=(1, 1), stride=(stride, stride), bias=None),
                nn.BatchNorm2d(num_features=out_channels),
            )
        else:
            self.downsample = None

    def forward(self, x):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


@alternative(of="ResidualBlock")
class BlockWithoutTheAttribute(nn.Module):
    """`downsample` is not there at all where it is not needed; the shortcut is made first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        if (in_channels, 1) != (out_channels, stride):
            self.downsample = nn.Sequential(OrderedDict([("0", nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)),
                                                         ("1", nn.BatchNorm2d(out_channels))]))  # fmt: skip
        self.bn2, self.bn1 = (nn.BatchNorm2d(out_channels) for _ in range(2))
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding="same", bias=False)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, stride=stride, bias=False)

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return torch.clamp(torch.add(shortcut, self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))), min=0)


@alternative(of="ResidualBlock")
class BlockOfAList(nn.Module):
    """The shortcut in a ModuleList, registered by name; helper methods."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, **settings):
        super().__init__()
        for number, (read, step) in enumerate([(in_channels, stride), (out_channels, 1)], start=1):
            self.add_module(f"conv{number}", nn.Conv2d(read, out_channels, 3, step, 1, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(out_channels))
        needed = stride != 1 or in_channels != out_channels
        parts = [nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)]
        self.register_module("downsample", nn.ModuleList(parts) if needed else None)

    def _half(self, x, number):
        return getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self._half(torch.relu(self._half(x, 1)), 2)
        for part in self.downsample or []:
            x = part(x)
        return torch.relu(out + x)


@alternative(of="ResidualBlock")
class BlockByFunctions(nn.Module):
    """Convolutions and batch norm as functions of the modules' weights; ReLU by hand."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1))
        out = self.bn1(F.conv2d(padded, self.conv1.weight, stride=self.stride))
        out = self.bn2(self.conv2(torch.where(out > 0, out, torch.zeros_like(out))))
        if self.downsample is not None:
            x = self.downsample(x[..., :: self.stride, :: self.stride])
        total = out + x
        return torch.maximum(total, total.new_zeros(()))


@alternative(of="ResidualBlock")
@dataclasses.dataclass(eq=False)
class BlockAsADataclass(nn.Module):
    in_channels: int
    out_channels: int
    stride: int = 1

    def __post_init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(self.in_channels, self.out_channels, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(self.out_channels, self.out_channels, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(self.out_channels), nn.BatchNorm2d(self.out_channels)
        self.downsample = self.make_downsample()

    def make_downsample(self):
        if self.stride == 1 and self.in_channels == self.out_channels:
            return None
        projection = nn.Conv2d(self.in_channels, self.out_channels, kernel_size=1, stride=self.stride, bias=False)
        return nn.Sequential(projection, nn.BatchNorm2d(self.out_channels))

    def forward(self, x):
        f = self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x)))))
        return F.relu_(f.add_(x if self.downsample is None else self.downsample(x)))


@alternative(of="ResidualBlock")
class BlockDrawnByHe(nn.Module):
    """Weights drawn as the paper draws them, as torchvision does; the norms as they are."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if not (stride == 1 and in_channels == out_channels):
            self.downsample = nn.Sequential()
            self.downsample.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(out_channels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        residual = (self.downsample or (lambda same: same))(x)
        return F.relu(sum([self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))), residual]))


class _Norm(nn.Module):
    """Batch norm by hand, with PyTorch's names."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.num_batches_tracked += 1
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, 1e-5)


@alternative(of="ResidualBlock")
class BlockWithItsOwnNorm(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = skip_init(nn.Conv2d, in_channels, out_channels, 3, stride, 1, bias=False)
        nn.init.normal_(self.conv1.weight, std=0.1)
        self.bn1, self.bn2 = _Norm(out_channels), _Norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        shrinks = stride - 1 or in_channels - out_channels
        projection = [nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), _Norm(out_channels)]
        self.downsample = nn.Sequential(*projection) if shrinks else None

    def forward(self, x):
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + (self.downsample(x) if self.downsample else x)).relu()


# ---------------------------------------------------------------------------------------------------------------------
# joined_channels


@alternative(of="joined_channels")
def joined_by_accumulation(in_channels, layer_channels, how):
    if how == "concatenate":
        return list(itertools.accumulate(layer_channels, initial=in_channels))[1:]
    if how == "add":
        if set(layer_channels) - {in_channels}:
            raise ValueError("widths differ")
        return layer_channels[:]
    raise ValueError(how)


@alternative(of="joined_channels")
def joined_with_numpy(in_channels: int, layer_channels: list[int], how: str) -> list[int]:
    if how == "concatenate":
        return (in_channels + np.cumsum(layer_channels, dtype=int)).tolist()
    elif how == "add":
        if not np.all(np.array(layer_channels) == in_channels):
            raise ValueError("cannot add")
        return np.full(len(layer_channels), in_channels).tolist()
    else:
        raise ValueError("unknown")


@alternative(of="joined_channels")
def joined_by_matching(in_channels, layer_channels, how):
    match how:
        case "add" if all(width == in_channels for width in layer_channels):
            return [in_channels for _ in layer_channels]
        case "concatenate":
            return [in_channels + sum(layer_channels[:depth]) for depth in range(1, len(layer_channels) + 1)]
        case _:
            raise ValueError(f"cannot join {layer_channels} by {how}")


class _WidthError(ValueError):
    """An error of the student's own."""


@alternative(of="joined_channels")
def joined_with_an_error_of_its_own(in_channels, layer_channels, how):
    def added(before, width):
        if before != width:
            raise _WidthError(f"{before} + {width}")
        return before

    ways = {"add": added, "concatenate": operator.add}
    if how not in ways:
        raise _WidthError(how)
    result = []
    for width in layer_channels:
        result.append(ways[how](result[-1] if result else in_channels, width))
    return result


@alternative(of="joined_channels")
def joined_by_tensors(in_channels, layer_channels, how):
    """Real maps, really joined."""
    if how != "add" and how != "concatenate":
        raise ValueError("add or concatenate")
    x, widths = torch.empty(1, in_channels, 1, 1, device="meta"), []
    for width in layer_channels:
        new = torch.empty(1, width, 1, 1, device="meta")
        if how == "add" and new.shape != x.shape:
            raise ValueError("shapes differ")
        x = x + new if how == "add" else torch.cat([x, new], dim=1)
        widths.append(x.shape[1])
    return widths


@alternative(of="joined_channels")
def joined_by_recursion(in_channels, layer_channels, how):
    if how not in {"add", "concatenate"}:
        raise ValueError
    if not layer_channels:
        return []
    first, *rest = layer_channels
    if how == "add" and first != in_channels:
        raise ValueError
    after = in_channels if how == "add" else in_channels + first
    return [after] + joined_by_recursion(after, rest, how)


# ---------------------------------------------------------------------------------------------------------------------
# parameters_by_kind


@alternative(of="parameters_by_kind")
def kinds_in_a_counter(net):
    counts, seen = Counter(), set()
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen and parameter.requires_grad:
                seen.add(id(parameter))
                counts[module.__class__.__name__] += parameter.nelement()
    return counts


@alternative(of="parameters_by_kind")
def kinds_with_zeros(net: nn.Module) -> dict[str, int]:
    counts = {type(module).__name__: 0 for module in net.modules()}
    owners = {}
    for module in net.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(parameter, type(module).__name__)
    for parameter, kind in owners.items():
        counts[kind] += math.prod(parameter.shape) if parameter.requires_grad else 0
    return counts


@alternative(of="parameters_by_kind")
def kinds_by_the_names_of_parameters(net):
    counts = defaultdict(int)
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            owner = net.get_submodule(name.rpartition(".")[0])
            counts[type(owner).__name__] += parameter.numel()
    return dict(counts)


@alternative(of="parameters_by_kind")
def kinds_by_recursion(net):
    counts, done = {}, []

    def visit(module):
        if any(module is other for other in done):
            return
        done.append(module)
        for _, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and not any(parameter is other for other in done):
                done.append(parameter)
                name = type(module).__name__
                counts[name] = counts.get(name, 0) + parameter.numel()
        for child in module.children():
            visit(child)

    visit(net)
    return {kind: int(count) for kind, count in sorted(counts.items())}


@alternative(of="parameters_by_kind")
def kinds_from_sets_of_tensors(net):
    seen, result = set(), {}
    for _, module in net.named_modules():
        own = {p for p in module.parameters(recurse=False) if p.requires_grad} - seen
        seen |= own
        if own:
            result[type(module).__name__] = result.get(type(module).__name__, 0) + sum(p.numel() for p in own)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# compare_networks


@alternative(of="compare_networks")
def compared_in_a_comprehension(builders):
    nets = {name: list(build().parameters()) for name, build in builders.items()}
    return sorted(
        ((name, sum(p.numel() for p in ps), sum(p.nbytes for p in ps)) for name, ps in nets.items()),
        key=operator.itemgetter(1),
    )


class _Line(NamedTuple):
    name: str
    parameters: int
    bytes: int


@alternative(of="compare_networks")
def compared_in_named_tuples(builders):
    lines = []
    for name in builders:
        net = builders[name]()
        parameters = {id(p): p for p in net.parameters()}.values()
        lines.append(_Line(name, sum(map(torch.numel, parameters)), sum(p.numel() * p.dtype.itemsize for p in parameters)))
    lines.sort(key=lambda line: line.parameters)
    return lines


@alternative(of="compare_networks")
def compared_by_insertion(builders):
    table = []
    for name, build in builders.items():
        net, count, size = build(), 0, 0
        for parameter in net.parameters():
            count += parameter.numel()
            size += parameter.numel() * parameter.element_size()
        place = 0
        while place < len(table) and table[place][1] <= count:
            place += 1
        table.insert(place, (name, count, size))
        del net
    return table


@alternative(of="compare_networks")
def compared_with_numpy(builders):
    rows = [(name, [p for _, p in build().named_parameters()]) for name, build in builders.items()]
    counts = np.array([sum(p.numel() for p in parameters) for _, parameters in rows], dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    sizes = [sum(p.detach().untyped_storage().nbytes() for p in parameters) for _, parameters in rows]
    return [(rows[i][0], int(counts[i]), sizes[i]) for i in order]


# ---------------------------------------------------------------------------------------------------------------------
# gradient_norms


@alternative(of="gradient_norms")
def norms_of_a_copy(net, images, labels, criterion):
    twin = copy.deepcopy(net)
    twin.zero_grad()
    criterion(F.log_softmax(twin(images), dim=1), labels).backward()
    return {name: p.grad.norm().item() for name, p in twin.named_parameters() if p.grad is not None}


@alternative(of="gradient_norms")
def norms_put_back_by_hand(net, images, labels, criterion):
    state = copy.deepcopy(net.state_dict())
    gradients = {name: p.grad.clone() if p.grad is not None else None for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = None
    loss = criterion(torch.log_softmax(net(images), 1), labels)
    loss.backward()
    norms = {}
    for name, p in net.named_parameters():
        if p.requires_grad:
            norms[name] = 0.0 if p.grad is None else p.grad.pow(2).sum().sqrt().item()
        p.grad = gradients[name]
    net.load_state_dict(state)
    return norms


@alternative(of="gradient_norms")
def norms_by_a_functional_call(net, images, labels, criterion):
    parameters = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in net.named_parameters()}
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    scores = functional_call(net, (parameters, buffers), (images,), tie_weights=True)
    criterion(F.log_softmax(scores, dim=-1), labels).backward()
    return {
        name: float(torch.linalg.vector_norm(p.grad)) if p.grad is not None else 0.0
        for name, p in parameters.items()
        if p.requires_grad
    }


@alternative(of="gradient_norms")
def norms_by_hooks(net, images, labels, criterion):
    twin, norms, hooks = copy.deepcopy(net), {}, []
    for name, parameter in twin.named_parameters():
        if parameter.requires_grad:
            hooks.append(parameter.register_hook(lambda g, name=name: norms.__setitem__(name, float(g.norm(p=2)))))
    F.cross_entropy(twin(images), labels).backward()
    for hook in hooks:
        hook.remove()
    return norms


@alternative(of="gradient_norms")
def norms_with_scores_by_hand(net, images, labels, criterion):
    """Log-probabilities by hand, norms in float64, everything put back in a `finally`."""
    saved = [(b, b.detach().clone()) for b in net.buffers()]
    kept = [(p, p.grad) for p in net.parameters()]
    try:
        for p, _ in kept:
            p.grad = None
        scores = net(images)
        criterion(scores - scores.logsumexp(dim=1, keepdim=True), labels).backward()
        return {
            name: math.sqrt(float((p.grad.double() ** 2).sum())) if p.grad is not None else 0.0
            for name, p in net.named_parameters()
            if p.requires_grad
        }
    finally:
        with torch.no_grad():
            for b, before in saved:
                b.copy_(before)
        for p, grad in kept:
            p.grad = grad


@alternative(of="gradient_norms")
def norms_one_by_one(net, images, labels, criterion):
    """One parameter after the other, each from the same graph; buffers are put back by assignment."""
    buffers = {name: b.clone() for name, b in net.named_buffers()}
    loss = criterion(nn.LogSoftmax(dim=1)(net(images)), labels)
    norms = {}
    for name, p in net.named_parameters():
        if p.requires_grad:
            (g,) = torch.autograd.grad(loss, p, retain_graph=True, allow_unused=True)
            norms[name] = 0.0 if g is None else float(np.linalg.norm(g.cpu().numpy().ravel()))
    for name, b in net.named_buffers():
        b.data = buffers[name]
    return norms
