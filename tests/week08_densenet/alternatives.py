# ruff: noqa: F405
"""Unusual right answers of week08_densenet, in as many styles as students have: all must get full marks.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import copy
import dataclasses
import datetime
import functools
import itertools
import logging
import math
import operator
import statistics
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch.backends.mps import is_available as has_mps
from torch.cuda import is_available as has_cuda
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, RandomSampler, Sampler, SequentialSampler
from torchvision import transforms
from torchvision.models.densenet import _DenseLayer
from torchvision.transforms import InterpolationMode, v2
from torchvision.utils import make_grid

from autograder.authoring import alternative

from .classifier_alternatives import *  # noqa: F403
from .evaluate_alternatives import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# make_transform


@alternative(of="make_transform")
def transform_with_pil(image_size: int = 224):
    def transform(image):
        return TF.to_tensor(image.resize((image_size, image_size), Image.BILINEAR))

    return transform


@alternative(of="make_transform")
def transform_in_version_2(image_size: int = 224):
    return v2.Compose(
        [v2.Resize((image_size, image_size)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )


@alternative(of="make_transform")
def transform_in_version_2_on_bytes(image_size: int = 224):
    return v2.Compose(
        [v2.ToImage(), v2.Resize([image_size] * 2, antialias=True), v2.ToDtype(torch.float32, scale=True)]
    )


@alternative(of="make_transform")
def transform_of_bytes(image_size: int = 224):
    return transforms.Compose(
        [
            transforms.PILToTensor(),
            transforms.Resize((image_size, image_size), InterpolationMode.BILINEAR, antialias=True),
            transforms.ConvertImageDtype(torch.float),
        ]
    )


@alternative(of="make_transform")
class TransformClass:
    """The class takes the function's place: making an instance is the call."""

    def __init__(self, image_size: int = 224):
        self.side = image_size

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        resized = TF.resize(picture, [self.side, self.side])
        return TF.pil_to_tensor(resized).float().div(255)


class _AsModule(nn.Module):
    def __init__(self, side: int):
        super().__init__()
        self.resize = transforms.Resize((side, side))

    def forward(self, image):
        return TF.to_tensor(self.resize(image))


@alternative(of="make_transform")
def transform_as_a_module(image_size: int = 224) -> nn.Module:
    return _AsModule(image_size).eval()


@alternative(of="make_transform")
def transform_through_numpy(image_size: int = 224):
    def transform(image):
        pixels = np.array(image.resize(size=(image_size, image_size), resample=Image.Resampling.BILINEAR))
        return torch.tensor(np.moveaxis(pixels, -1, 0) / 255.0, dtype=torch.float32)

    return transform


def _bilinear_weights(old: int, new: int) -> np.ndarray:
    """(new, old): what each old pixel gives to each new one; a triangle as wide as a new pixel, at least an old one."""
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distances = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.clip(1 - distances, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@alternative(of="make_transform")
def transform_by_hand(image_size: int = 224):
    def transform(image):
        pixels = np.asarray(image, dtype=np.float64)
        height, width, _ = pixels.shape
        rows, columns = _bilinear_weights(height, image_size), _bilinear_weights(width, image_size)
        resized = (rows @ pixels.transpose(2, 0, 1) @ columns.T).round()
        return torch.from_numpy(resized).to(torch.float32) / 255

    return transform


@alternative(of="make_transform")
def transform_of_many_steps(image_size: int = 224):
    steps = (_resizer(image_size), TF.pil_to_tensor, torch.Tensor.float, lambda x: x / 255)
    return lambda image: functools.reduce(lambda value, step: step(value), steps, image)


def _resizer(side: int) -> Callable:
    return functools.partial(TF.resize, size=(side, side), interpolation=InterpolationMode.BILINEAR)


# ---------------------------------------------------------------------------------------------------------------------
# make_loaders


@alternative(of="make_loaders")
def loaders_with_samplers(train_set, test_set, batch_size: int = 32):
    return (
        DataLoader(train_set, batch_size, sampler=RandomSampler(train_set)),
        DataLoader(test_set, batch_size, sampler=SequentialSampler(test_set)),
    )


@alternative(of="make_loaders")
def loaders_with_a_generator(train_set, test_set, batch_size: int = 32):
    generator = torch.Generator().manual_seed(42)
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True, generator=generator)
    return train_loader, DataLoader(test_set, batch_size=batch_size)


@alternative(of="make_loaders")
def loaders_with_a_worker(train_set, test_set, batch_size: int = 32):
    settings = {"batch_size": batch_size, "num_workers": 1, "persistent_workers": False, "drop_last": False}
    return DataLoader(train_set, shuffle=True, **settings), DataLoader(test_set, shuffle=False, **settings)


@alternative(of="make_loaders")
def loaders_that_pin_memory(train_set, test_set, batch_size: int = 32):
    pin = torch.cuda.is_available()
    return tuple(
        DataLoader(data, batch_size=batch_size, shuffle=shuffle, pin_memory=pin)
        for data, shuffle in ((train_set, True), (test_set, False))
    )


class _NewOrder(Sampler):
    def __init__(self, data):
        self.length = len(data)

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter(np.random.default_rng().permutation(self.length).tolist())


@alternative(of="make_loaders")
def loaders_with_their_own_sampler(train_set, test_set, batch_size: int = 32):
    """numpy draws the order, from a generator that nobody seeds."""
    return DataLoader(train_set, batch_size, sampler=_NewOrder(train_set)), DataLoader(test_set, batch_size)


def _gather(pairs):
    images, labels = zip(*pairs, strict=True)
    return torch.stack(images), torch.as_tensor(labels)


@alternative(of="make_loaders")
def loaders_that_collate(train_set, test_set, batch_size: int = 32):
    make = functools.partial(DataLoader, batch_size=batch_size, collate_fn=_gather)
    return make(train_set, shuffle=True), make(test_set)


class _Loaders(NamedTuple):
    training: DataLoader
    test: DataLoader


@alternative(of="make_loaders")
def loaders_in_a_named_tuple(train_set, test_set, batch_size: int = 32):
    return _Loaders(
        training=DataLoader(dataset=train_set, batch_size=batch_size, shuffle=True),
        test=DataLoader(dataset=test_set, batch_size=batch_size),
    )


# ---------------------------------------------------------------------------------------------------------------------
# parameter_shapes


@alternative(of="parameter_shapes")
def shapes_as_torch_sizes(net):
    return [parameter.shape for parameter in net.parameters()]


@alternative(of="parameter_shapes")
def shapes_in_a_loop(net: nn.Module) -> list[tuple[int, ...]]:
    σχήματα = []  # όλα τα σχήματα, με τη σειρά του δικτύου
    for _όνομα, παράμετρος in net.named_parameters():
        σχήματα.append(tuple(παράμετρος.size()))
    return σχήματα


@alternative(of="parameter_shapes")
def shapes_by_map(net):
    return list(map(tuple, map(operator.attrgetter("shape"), net.parameters())))


@alternative(of="parameter_shapes")
def shapes_module_by_module(net):
    seen, shapes = set(), []
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                shapes.append(tuple(int(side) for side in parameter.shape))
    return shapes


def _walk(module, seen):
    own = [p for p in module._parameters.values() if p is not None and id(p) not in seen and not seen.add(id(p))]
    return [tuple(p.shape) for p in own] + [shape for child in module.children() for shape in _walk(child, seen)]


@alternative(of="parameter_shapes")
def shapes_by_recursion(net):
    return _walk(net, set())


@alternative(of="parameter_shapes")
def shapes_from_numpy(net):
    return [*(parameter.detach().cpu().numpy().shape for parameter in net.parameters())]


# ---------------------------------------------------------------------------------------------------------------------
# count_parameters


@alternative(of="count_parameters")
def count_by_the_product_of_the_sides(net):
    return sum(math.prod(parameter.shape) for parameter in net.parameters() if parameter.requires_grad)


@alternative(of="count_parameters")
def count_with_numpy(net):
    sizes = [np.prod(parameter.shape, dtype=np.int64) for parameter in net.parameters() if parameter.requires_grad]
    return int(np.sum(sizes))


@alternative(of="count_parameters")
def count_in_a_loop(net: nn.Module) -> int:
    # 학습되는 매개변수만 센다 (버퍼와 고정된 가중치는 제외)
    total = 0
    for parameter in net.parameters():
        if not parameter.requires_grad:
            continue
        total += parameter.nelement()
    return total


@alternative(of="count_parameters")
def count_by_reduction(net):
    trainable = filter(lambda parameter: parameter.requires_grad, net.parameters())
    return functools.reduce(lambda total, parameter: total + parameter.numel(), trainable, 0)


@alternative(of="count_parameters")
def count_in_one_vector(net):
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return nn.utils.parameters_to_vector(trainable).shape[0] if trainable else 0


@alternative(of="count_parameters")
def count_in_a_set(net):
    different = {p for module in net.modules() for p in module.parameters() if p.requires_grad}
    return sum(len(p.flatten()) for p in different)


@alternative(of="count_parameters")
def count_by_recursion(net):
    def count(parameters):
        if not parameters:
            return 0
        first, *rest = parameters
        return (first.numel() if first.requires_grad else 0) + count(rest)

    return count(list(net.parameters()))


# ---------------------------------------------------------------------------------------------------------------------
# DenseLayer


@alternative(of="DenseLayer")
class LayerOfFunctionalNorms(nn.Module):
    """Batch norm as a function, told the mode: it moves the running statistics and counts no batches."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(bottleneck * growth)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def normed(self, norm, x):
        statistics = norm.running_mean, norm.running_var
        return F.batch_norm(x, *statistics, norm.weight, norm.bias, training=self.training).relu()

    def forward(self, x):
        return torch.cat([x, self.conv2(self.normed(self.norm2, self.conv1(self.normed(self.norm1, x))))], 1)


@alternative(of="DenseLayer")
class LayerOfTorchvision(_DenseLayer):
    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck, drop_rate=0.0)

    def forward(self, x):
        return torch.cat([x, super().forward(x)], 1)


@alternative(of="DenseLayer")
class LayerThatSavesMemory(_DenseLayer):
    """Torchvision's with checkpoints: it computes the first half again on the way back."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(num_input_features=channels, growth_rate=growth, bn_size=bottleneck, drop_rate=0,
                         memory_efficient=True)  # fmt: skip

    def forward(self, x):
        return torch.concatenate((x, _DenseLayer.forward(self, [x])), dim=1)


@alternative(of="DenseLayer")
class LayerAsASequence(nn.Sequential):
    """The parts of an nn.Sequential with names; those without parameters are called as one likes."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        wide = growth * bottleneck
        super().__init__(
            OrderedDict(
                [
                    ("norm1", nn.BatchNorm2d(channels)),
                    ("relu1", nn.ReLU(inplace=True)),
                    ("conv1", nn.Conv2d(channels, wide, kernel_size=(1, 1), stride=1, bias=False)),
                    ("norm2", nn.BatchNorm2d(wide)),
                    ("relu2", nn.ReLU(inplace=True)),
                    ("conv2", nn.Conv2d(wide, growth, kernel_size=3, stride=1, padding="same", bias=False)),
                ]
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x, super().forward(x)), dim=-3)


@alternative(of="DenseLayer")
class LayerWithAddedModules(nn.Module):
    """In another order, by `add_module`, one ReLU for both."""

    def __init__(self, channels, growth=32, bottleneck=4):
        super(LayerWithAddedModules, self).__init__()  # noqa: UP008  many have learnt it so
        parts = {
            "conv2": nn.Conv2d(bottleneck * growth, growth, 3, 1, 1, bias=False),
            "norm2": nn.BatchNorm2d(bottleneck * growth),
            "conv1": nn.Conv2d(channels, bottleneck * growth, 1, bias=False),
            "norm1": nn.BatchNorm2d(channels),
        }
        for name, part in parts.items():
            self.add_module(name, part)
        self.activation = nn.ReLU()

    def forward(self, x):
        new = x
        for half in ("1", "2"):
            new = getattr(self, "conv" + half)(self.activation(getattr(self, "norm" + half)(new)))
        return torch.hstack([x, new])


@alternative(of="DenseLayer")
class LayerWithCheckpoints(nn.Module):
    """The whole of it computed again on the way back, but for the running statistics' sake not while testing."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_features=channels)
        self.conv1 = nn.Conv2d(in_channels=channels, out_channels=bottleneck * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_features=bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, kernel_size=(3, 3), padding=(1, 1), bias=False)

    def _new(self, x):
        return self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())

    def forward(self, x):
        new = checkpoint(self._new, x, use_reentrant=False) if self.training else self._new(x)
        return torch.cat(tensors=[x, new], dim=1)


@alternative(of="DenseLayer")
class LayerThatFillsATensor(nn.Module):
    """Writes both parts into an empty tensor."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.channels = channels
        wide = bottleneck * growth
        for number, (read, written, size) in enumerate([(channels, wide, 1), (wide, growth, 3)], 1):
            setattr(self, f"norm{number}", nn.BatchNorm2d(read))
            setattr(self, f"conv{number}", nn.Conv2d(read, written, size, padding=size // 2, bias=False))

    def forward(self, x):
        new = self.conv2(self.norm2(self.conv1(self.norm1(x).clamp(min=0))).clamp_min(0))
        stack = x.new_empty((x.size(0), x.size(1) + new.size(1), x.size(2), x.size(3)))
        stack[:, : self.channels] = x
        stack[:, self.channels :] = new
        return stack


class _Convolution(nn.Conv2d):
    """A kernel of 1 × 1 or 3 × 3 that keeps height and width."""

    def __init__(self, read: int, written: int, size: int):
        super().__init__(read, written, size, padding=(size - 1) // 2, bias=False)


@alternative(of="DenseLayer")
class LayerOfOwnParts(nn.Module):
    """Helper classes, constants in the class, type hints, a layer that reads several tensors too."""

    KERNELS: tuple[int, int] = (1, 3)
    norm1: nn.BatchNorm2d
    conv1: nn.Conv2d

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4, /, *more, **settings):
        super().__init__()
        widths = [channels, bottleneck * growth, growth]
        for number, (read, written, size) in enumerate(zip(widths, widths[1:], self.KERNELS, strict=False), start=1):
            self.register_module(f"norm{number}", nn.BatchNorm2d(read))
            self.register_module(f"conv{number}", _Convolution(read, written, size))

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        stack = torch.cat(x, dim=1)
        squeezed = self.conv1(torch.relu(self.norm1(stack)))
        return torch.cat([stack, self.conv2(nn.functional.relu(self.norm2(squeezed), inplace=True))], dim=1)


@alternative(of="DenseLayer")
@dataclasses.dataclass(eq=False)
class LayerAsADataclass(nn.Module):
    channels: int
    growth: int = 32
    bottleneck: int = 4

    def __post_init__(self):
        super().__init__()
        width = self.bottleneck * self.growth
        self.norm1, self.norm2 = map(nn.BatchNorm2d, (self.channels, width))
        self.conv1 = nn.Conv2d(self.channels, width, 1, bias=None)
        self.conv2 = nn.Conv2d(width, self.growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv2(self.norm2(self.conv1(self.norm1(x).relu_())).relu_())], 1)


@alternative(of="DenseLayer")
class LayerByHand(nn.Module):
    """Batch norm, padding and convolutions as functions of the modules' weights."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(bottleneck * growth)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        squeezed = torch.einsum("oc,nchw->nohw", self.conv1.weight[:, :, 0, 0], F.threshold(self.norm1(x), 0, 0))
        padded = F.pad(torch.maximum(self.norm2(squeezed), torch.zeros_like(squeezed)), (1, 1, 1, 1))
        return torch.cat(list(x.split(1, dim=1)) + [F.conv2d(padded, self.conv2.weight)], dim=1)


@alternative(of="DenseLayer")
class LayerFromABase(LayerWithAddedModules):
    pass


# ---------------------------------------------------------------------------------------------------------------------
# replace_classifier: what is DenseNet's own; the others are shared


@alternative(of="replace_classifier")
def classifier_measured_by_a_pass(net, num_classes: int = 10):
    """The width is seen in evaluation mode, which leaves the running statistics alone, and the mode is put back."""
    device, training = net.classifier.weight.device, [module.training for module in net.modules()]
    net.eval()
    with torch.no_grad():
        width = net.features(torch.zeros(1, 3, 64, 64, device=device)).shape[1]
    for module, mode in zip(net.modules(), training, strict=True):
        module.training = mode
    net.classifier = nn.Linear(width, num_classes, device=device)
    return net


# ---------------------------------------------------------------------------------------------------------------------
# snapshot_weights


@alternative(of="snapshot_weights")
def snapshot_by_deepcopy(net, names):
    parameters = dict(net.named_parameters())
    return {name: copy.deepcopy(parameters[name].detach()).cpu() for name in names}


@alternative(of="snapshot_weights")
def snapshot_of_the_state_dict(net, names):
    state = net.state_dict()
    return {name: state[name].detach().clone().cpu() for name in names}


@alternative(of="snapshot_weights")
def snapshot_through_numpy(net, names):
    state = net.state_dict()
    return {name: torch.from_numpy(state[name].cpu().numpy().copy()) for name in names}


@alternative(of="snapshot_weights")
def snapshot_into_new_tensors(net, names):
    parameters, 快照 = OrderedDict(net.named_parameters()), {}  # 训练前的权重
    for 名称 in names:
        副本 = torch.empty_like(parameters[名称], device="cpu", requires_grad=False)
        with torch.no_grad():
            副本.copy_(parameters[名称])
        快照[名称] = 副本
    return 快照


@alternative(of="snapshot_weights")
def snapshot_with_a_clear_error(net, names):
    parameters = dict(net.named_parameters())
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise KeyError(f"no such weight: {', '.join(unknown)}")
    with torch.no_grad():
        return dict(zip(names, [parameters[name].cpu().clone() for name in names], strict=True))


@alternative(of="snapshot_weights")
def snapshot_by_attribute(net, names):
    def find(name):
        try:
            found = operator.attrgetter(name)(net)
        except AttributeError:
            found = None
        if not isinstance(found, torch.Tensor):
            raise KeyError(name)
        return found

    return {name: find(name).data.clone().cpu() for name in names}


# ---------------------------------------------------------------------------------------------------------------------
# weight_difference


@alternative(of="weight_difference")
def difference_by_torch_sub(before, after):
    return {name: torch.sub(weight, after[name]) for name, weight in before.items()}


@alternative(of="weight_difference")
def difference_of_sorted_names(before, after):
    return OrderedDict((name, before[name].clone().sub_(after[name])) for name in sorted(before))


@alternative(of="weight_difference")
def difference_in_a_loop(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    result = defaultdict(lambda: torch.zeros(0))
    for name in after:
        change = after[name] - before[name]
        result[name] = -change
    return dict(result)


@alternative(of="weight_difference")
def difference_by_numpy(before, after):
    return {name: torch.from_numpy(np.subtract(before[name].numpy(), after[name].numpy())) for name in before}


@alternative(of="weight_difference")
def difference_of_copies(before, after):
    difference = copy.deepcopy(before)
    for name, weight in difference.items():
        weight -= after[name]
    return difference


# ---------------------------------------------------------------------------------------------------------------------
# weight_grid


@alternative(of="weight_grid")
def grid_by_torchvision(weight):
    in_colour = weight.size(1) == 3
    return make_grid(weight if in_colour else weight[0, :, None], nrow=8, normalize=True).detach().cpu()


@alternative(of="weight_grid")
def grid_with_a_value_range(weight):
    patches = weight.detach().cpu().clone()
    if patches.shape[1] != 3:
        patches = patches[:1].transpose(0, 1).expand(-1, 3, -1, -1)
    low, high = patches.min().item(), patches.max().item()
    return make_grid(patches, nrow=8, padding=2, normalize=True, value_range=(low, high), pad_value=0.0)


@alternative(of="weight_grid")
def grid_by_hand(weight):
    patches = weight if weight.shape[1] == 3 else weight[0].unsqueeze(1).repeat(1, 3, 1, 1)
    patches = patches.detach().to("cpu", copy=True)
    patches = (patches - patches.min()) / (patches.max() - patches.min())
    count, _, height, width = patches.shape
    across = min(8, count)
    down = math.ceil(count / across)
    canvas = torch.zeros(3, down * (height + 2) + 2, across * (width + 2) + 2)
    for number, patch in enumerate(patches):
        row, column = divmod(number, across)
        top, left = 2 + row * (height + 2), 2 + column * (width + 2)
        canvas[:, top : top + height, left : left + width] = patch
    return canvas


@alternative(of="weight_grid")
def grid_of_padded_rows(weight):
    patches = weight.detach().cpu() if weight.shape[1] == 3 else weight.detach().cpu()[0].unsqueeze(1)
    patches = (patches - torch.min(patches)) / (torch.max(patches) - torch.min(patches))
    patches = F.pad(patches.expand(-1, 3, -1, -1), (2, 0, 2, 0))
    across = min(8, len(patches))
    missing = -len(patches) % across
    patches = torch.cat([patches, patches.new_zeros(missing, *patches.shape[1:])])
    rows = [torch.cat(list(row), dim=2) for row in patches.split(across)]
    return F.pad(torch.cat(rows, dim=1), (0, 2, 0, 2))


@alternative(of="weight_grid")
def grid_in_numpy(weight):
    pixels = weight.detach().cpu().numpy()
    if pixels.shape[1] != 3:
        pixels = np.repeat(pixels[0][:, np.newaxis], 3, axis=1)
    pixels = (pixels - pixels.min()) / np.ptp(pixels)
    blank = np.zeros_like(pixels[0])
    columns = min(8, len(pixels))
    cells = [*pixels, *[blank] * (-len(pixels) % columns)]
    cells = [np.pad(cell, ((0, 0), (2, 0), (2, 0))) for cell in cells]
    rows = [np.concatenate(cells[i : i + columns], axis=2) for i in range(0, len(cells), columns)]
    picture = np.concatenate(rows, axis=1)
    return torch.from_numpy(np.pad(picture, ((0, 0), (0, 2), (0, 2))).astype(np.float32))


@alternative(of="weight_grid")
def grid_in_double_precision(weight):
    patches = weight.double() if weight.shape[1] == 3 else weight[0].double().unsqueeze(1)
    return make_grid(patches, nrow=8, normalize=True)


# ---------------------------------------------------------------------------------------------------------------------
# pick_device


@alternative(of="pick_device")
def device_by_cuda():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@alternative(of="pick_device")
def device_by_early_return():
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@alternative(of="pick_device")
def device_by_accelerator():
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()
    return torch.device("cpu")


@alternative(of="pick_device")
def device_of_a_list():
    usable = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    return torch.device(next(name for name, is_available in usable.items() if is_available()))


@alternative(of="pick_device")
def device_by_or():
    return (torch.cuda.is_available() and torch.device("cuda:0")) or torch.empty(0).device


@alternative(of="pick_device")
def device_by_imported_questions():
    """The questions were imported by name, before anything could stand in their place."""
    if has_cuda() and torch.cuda.get_device_properties(0).total_memory > 2**30:
        return torch.device("cuda:0")
    return torch.device("mps") if has_mps() else torch.device("cpu")


HAS_GPU = torch.cuda.is_available()


@alternative(of="pick_device")
def device_of_a_constant():
    """The question was asked as the cell ran."""
    return torch.device("cuda" if HAS_GPU else "cpu")


@alternative(of="pick_device")
def device_that_is_tried():
    kind = torch.accelerator.current_accelerator()
    if kind is not None and torch.get_device_module(kind).device_count() > 0:
        return torch.device(kind.type, 0)
    return torch.device("cpu")


# ---------------------------------------------------------------------------------------------------------------------
# train_one_epoch


@alternative(of="train_one_epoch")
def training_with_cross_entropy(net, loader, criterion, optimizer, device):
    net.train()
    cross_entropy = nn.CrossEntropyLoss()
    loss_sum = correct = total = 0
    for images, labels in loader:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        outputs = net(images)
        loss = cross_entropy(outputs, labels)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * images.size(0)
        correct += (outputs.argmax(1) == labels).sum().item()
        total += images.size(0)
    return loss_sum / total, correct / total


@alternative(of="train_one_epoch")
def training_with_a_closure(net, loader, criterion, optimizer, device):
    net.train(True)
    total_loss, total_right = 0.0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        kept = {}

        def closure(images=images, labels=labels, kept=kept):
            optimizer.zero_grad()
            kept["scores"] = net(images)
            loss = criterion(F.log_softmax(kept["scores"], dim=1), labels)
            loss.backward()
            return loss

        total_loss += float(optimizer.step(closure)) * len(labels)
        total_right += int((kept["scores"].max(dim=1).indices == labels).sum())
    return total_loss / len(loader.dataset), total_right / len(loader.dataset)


@alternative(of="train_one_epoch")
def training_with_sums_on_the_device(net, loader, criterion, optimizer, device):
    """One synchronisation an epoch: the sums stay tensors until the end."""
    net.train()
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), dtype=torch.long, device=device)
    images_seen = 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        net.zero_grad()
        log_probabilities = torch.log_softmax(net(images), 1)
        loss = criterion(log_probabilities, labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        right += torch.eq(log_probabilities.argmax(-1), labels).sum()
        images_seen += len(labels)
    return (loss_sum / images_seen).item(), (right / images_seen).item()


@alternative(of="train_one_epoch")
def training_that_clears_at_the_end(net, loader, criterion, optimizer, device):
    optimizer.zero_grad()
    net.train()
    sums = np.zeros(3)
    for batch in loader:
        images, labels = (tensor.to(device) for tensor in batch)
        scores = net(images)
        loss = criterion(nn.LogSoftmax(dim=1)(scores), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        n = labels.shape[0]
        sums += [n * loss.item(), scores.argmax(1).eq(labels).sum().item(), n]
    return float(sums[0] / sums[2]), float(sums[1] / sums[2])


@alternative(of="train_one_epoch")
def training_with_gradients_cleared_by_hand(net, loader, criterion, optimizer, device):
    net.train()
    losses, answers, sizes = [], [], []
    for bilder, klassen in loader:
        bilder, klassen = bilder.to(device), klassen.to(device)
        for parameter in net.parameters():
            parameter.grad = None
        punkte = net(bilder)
        verlust = criterion(punkte.log_softmax(dim=1), klassen)
        verlust.backward()
        optimizer.step()
        losses.append(verlust.item())
        answers.extend((punkte.argmax(dim=1) == klassen).tolist())  # richtig oder falsch, Bild für Bild
        sizes.append(len(klassen))
    return float(np.average(losses, weights=sizes)), statistics.fmean(answers)


@alternative(of="train_one_epoch")
def training_with_autograd(net, loader, criterion, optimizer, device):
    net.train()
    weights = [parameter for parameter in net.parameters() if parameter.requires_grad]
    seen, loss_sum, right = 0, 0.0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        scores = net(x)
        loss = criterion(F.log_softmax(scores, 1), y)
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            weight.grad = gradient
        optimizer.step()
        seen, loss_sum, right = seen + len(y), loss_sum + loss.item() * len(y), right + (scores.argmax(1) == y).sum()
    return loss_sum / seen, right.item() / seen


class _Meter:
    """A mean over images."""

    def __init__(self):
        self.total, self.count = 0.0, 0

    def update(self, mean: float, count: int) -> None:
        self.total += mean * count
        self.count += count

    @property
    def mean(self) -> float:
        return self.total / self.count


@alternative(of="train_one_epoch")
def training_with_meters(net, loader, criterion, optimizer, device):
    net.train()
    loss_meter, accuracy_meter = _Meter(), _Meter()
    for step, (images, labels) in enumerate(loader, start=1):
        images, labels = images.to(device), labels.to(device)
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_meter.update(loss.item(), len(labels))
        accuracy_meter.update((scores.argmax(dim=1) == labels).float().mean().item(), len(labels))
        print(f"\r{step}/{len(loader)} {loss_meter.mean:.3f}", end="", file=sys.stderr)
    return loss_meter.mean, accuracy_meter.mean


def _pass_over(net, loader, criterion, device, optimizer=None):
    """Trains when there is an optimizer, tests when there is none."""
    net.train(optimizer is not None)
    loss_sum, right, count = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss = criterion(F.log_softmax(scores, dim=1), labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            right += (scores.argmax(dim=1) == labels).sum().item()
            count += len(labels)
    return loss_sum / count, right / count


@alternative(of="train_one_epoch")
def training_by_a_shared_helper(net, loader, criterion, optimizer, device):
    return _pass_over(net, loader, criterion, device, optimizer)


@alternative(of="train_one_epoch")
def training_with_a_while_loop(net, loader, criterion, optimizer, device):
    net.to(device).train()
    batches, figures = iter(loader), []
    while (batch := next(batches, None)) is not None:
        images, labels = batch[0].to(device), batch[1].to(device)
        optimizer.zero_grad()
        loss = criterion(F.log_softmax(scores := net(images), dim=1), labels)
        loss.backward()
        optimizer.step()
        predictions = scores.detach().cpu().numpy().argmax(axis=1)
        figures.append((loss.item() * len(labels), int((predictions == batch[1].cpu().numpy()).sum()), len(labels)))
    loss_sum, right, seen = map(sum, zip(*figures, strict=True))
    return loss_sum / seen, right / seen


# ---------------------------------------------------------------------------------------------------------------------
# fit


@alternative(of="fit")
def fit_by_the_two_functions(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    history = {name: [] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        train_loss, train_accuracy = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test_loss, test_accuracy = evaluate(net, test_loader, criterion, device)
        seconds = time.perf_counter() - start
        print(f"Epoche {epoch}/{epochs}: {train_loss:.4f} {train_accuracy:.2%} {test_loss:.4f} {test_accuracy:.2%}")
        for name, value in zip(
            history, (train_loss, train_accuracy, test_loss, test_accuracy, seconds), strict=True
        ):
            history[name] += [value]
    return history


@alternative(of="fit")
def fit_with_both_loops_inside(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    history = {"train_loss": [], "train_accuracy": [], "test_loss": [], "test_accuracy": [], "seconds": []}
    for epoch in range(epochs):
        start = time.time()

        net.train()
        running_loss, correct, total = 0.0, 0, 0
        for data in train_loader:
            inputs, labels = data[0].to(device), data[1].to(device)
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(F.log_softmax(outputs, dim=1), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * inputs.size(0)
            correct += (outputs.argmax(1) == labels).sum().item()
            total += labels.size(0)
        history["train_loss"].append(running_loss / total)
        history["train_accuracy"].append(correct / total)

        net.eval()
        running_loss, correct, total = 0.0, 0, 0
        with torch.no_grad():
            for data in test_loader:
                inputs, labels = data[0].to(device), data[1].to(device)
                outputs = net(inputs)
                running_loss += criterion(F.log_softmax(outputs, dim=1), labels).item() * inputs.size(0)
                correct += (outputs.argmax(1) == labels).sum().item()
                total += labels.size(0)
        history["test_loss"].append(running_loss / total)
        history["test_accuracy"].append(correct / total)

        history["seconds"].append(time.time() - start)
        print("epoch", epoch + 1, {key: round(values[-1], 4) for key, values in history.items()})
    return history


@alternative(of="fit")
def fit_with_more_in_the_history(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    rows = []
    for epoch in range(epochs):
        began = datetime.datetime.now()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        took = datetime.datetime.now() - began
        rows.append((*train, *test, took.total_seconds(), epoch + 1, optimizer.param_groups[0]["lr"]))
        sys.stdout.write(f"epoch {epoch + 1} of {epochs}: {took}\n")
    names = ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds", "epoch", "learning_rate"]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


@alternative(of="fit")
def fit_with_a_progress_line(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    history = defaultdict(list)
    for epoch in range(epochs):
        print(f"\repoch {epoch + 1}: training", end="", file=sys.stderr, flush=True)
        start = time.monotonic()
        figures = {
            "train": train_one_epoch(net, train_loader, criterion, optimizer, device),
            "test": evaluate(net, test_loader, criterion, device),
        }
        history["seconds"].append(time.monotonic() - start)
        for part, (loss, accuracy) in figures.items():
            history[f"{part}_loss"].append(loss)
            history[f"{part}_accuracy"].append(accuracy)
        print(f"epoch {epoch + 1}", *figures.items(), sep="\n\t")
    return history


@alternative(of="fit")
def fit_by_recursion(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    if epochs == 0:
        return dict(train_loss=[], train_accuracy=[], test_loss=[], test_accuracy=[], seconds=[])
    history = fit_by_recursion(net, train_loader, test_loader, criterion, optimizer, device, epochs - 1)
    start = time.perf_counter_ns()
    for part, loader, helper in (("train", train_loader, optimizer), ("test", test_loader, None)):
        loss, accuracy = _pass_over(net, loader, criterion, device, helper)
        history[part + "_loss"].append(loss)
        history[part + "_accuracy"].append(accuracy)
    history["seconds"].append((time.perf_counter_ns() - start) / 1e9)
    print("🙂 epoch", epochs, "done:", history["test_accuracy"][-1])
    return history


class _Trainer:
    def __init__(self, net, criterion, optimizer, device):
        self.net, self.criterion, self.optimizer, self.device = net, criterion, optimizer, device
        self.history: dict[str, list[float]] = {}

    def note(self, **figures: float) -> None:
        for name, value in figures.items():
            self.history.setdefault(name, []).append(float(value))

    def epoch(self, train_loader: Iterable, test_loader: Iterable) -> None:
        start = time.time()
        loss, accuracy = _pass_over(self.net, train_loader, self.criterion, self.device, self.optimizer)
        self.note(train_loss=loss, train_accuracy=accuracy)
        loss, accuracy = _pass_over(self.net, test_loader, self.criterion, self.device)
        self.note(test_loss=loss, test_accuracy=accuracy, seconds=time.time() - start)


@alternative(of="fit")
def fit_by_a_trainer(net, train_loader, test_loader, criterion, optimizer, device, epochs: int = 10):
    trainer = _Trainer(net, criterion, optimizer, device)
    for number in itertools.count(1):
        if number > epochs:
            break
        trainer.epoch(train_loader, test_loader)
        print(f"{number:3d} | {trainer.history['test_loss'][-1]:.5f}")
    return trainer.history


@alternative(of="fit")
def fit_with_a_line_begun_before(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The line of an epoch is begun before the training and ended after the test."""
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
    rows = []
    for epoch in range(epochs):
        print(f"Epoch {epoch + 1}/{epochs}", end=": ", flush=True)
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        print("trained", end=", ")
        test = evaluate(net, test_loader, criterion, device)
        rows.append((*train, *test, time.time() - start))
        print("done:", *rows[-1])
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


_log = logging.getLogger("fit")
_log.addHandler(logging.StreamHandler(sys.stdout))
_log.setLevel(logging.INFO)


@alternative(of="fit")
def fit_with_a_logger(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The lines go to a stream that was kept before."""
    history = defaultdict(list)
    for epoch in range(epochs):
        began = time.monotonic()
        figures = train_one_epoch(net, train_loader, criterion, optimizer, device)
        figures += evaluate(net, test_loader, criterion, device)
        for name, value in zip(_COLUMNS, (*figures, time.monotonic() - began), strict=True):
            history[name].append(value)
        _log.info("epoch %d: %s", epoch + 1, figures)
    return dict(history)


_COLUMNS: list[str] = []


def _column(*names: str) -> None:
    """The names of the columns are put together by calls."""
    for name in names:
        _COLUMNS.append(name)


_column("train_loss", "train_accuracy")
_column("test_loss", "test_accuracy", "seconds")


# ---------------------------------------------------------------------------------------------------------------------
# plot_history


@alternative(of="plot_history")
def plot_in_pyplot_style(history):
    epochs = range(1, len(history["train_loss"]) + 1)
    figure = plt.figure(figsize=(10, 4))
    plt.subplot(1, 2, 1)
    plt.plot(epochs, history["train_loss"], "r", label="train")
    plt.plot(epochs, history["test_loss"], "g", label="test")
    plt.xlabel("epoch")
    plt.ylabel("loss")
    plt.legend()
    plt.subplot(1, 2, 2)
    plt.plot(epochs, history["train_accuracy"], "r", label="train")
    plt.plot(epochs, history["test_accuracy"], "g", label="test")
    plt.xlabel("epoch")
    plt.ylabel("accuracy")
    plt.legend()
    return figure


@alternative(of="plot_history")
def plot_one_above_the_other(history):
    x = np.arange(len(history["train_loss"])) + 1
    fig, axs = plt.subplots(nrows=2, sharex=True, layout="constrained")
    for ax, what in zip(axs.flat, ["loss", "accuracy"], strict=True):
        for part, style in {"train": {"c": "tab:red", "ls": "--"}, "test": {"c": "tab:green", "marker": "o"}}.items():
            ax.plot(x, np.array(history[f"{part}_{what}"]), label=part, **style)
        ax.set(xlabel="epoch", ylabel=what, title=what.capitalize())
        ax.grid(alpha=0.3)
        ax.legend(loc="best")
    return fig


@alternative(of="plot_history")
def plot_without_pyplot(history):
    figure = Figure(figsize=(9, 3.5))
    left, right = figure.subplots(1, 2)
    for axes, key, label in ((left, "loss", "Verlust"), (right, "accuracy", "Genauigkeit")):
        numbers = [i for i, _ in enumerate(history["train_" + key], start=1)]
        axes.plot(numbers, history["test_" + key], color="#2e8b57", linewidth=2)
        axes.plot(numbers, history["train_" + key], color="crimson", linewidth=2)
        axes.legend(["Test", "Training"])
        axes.set_xlabel("Epoche")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@alternative(of="plot_history")
def plot_with_both_curves_at_once(history):
    fig = plt.figure()
    ax_loss, ax_accuracy = fig.add_subplot(121), fig.add_subplot(122)
    epochs = list(range(1, 1 + len(history["test_loss"])))
    for ax, key, name in [(ax_loss, "loss", "損失"), (ax_accuracy, "accuracy", "正解率")]:
        red, green = ax.plot(epochs, list(zip(history[f"train_{key}"], history[f"test_{key}"], strict=True)))
        red.set_color((0.8, 0.1, 0.1))
        green.set_color((0.1, 0.6, 0.1))
        ax.legend([red, green], ["訓練", "テスト"])
        ax.set_xlabel("エポック")
        ax.set_ylabel(name)
    return fig


@alternative(of="plot_history")
def plot_and_close(history):
    """The figure is closed, so that a notebook does not show it twice, and returned."""
    figure, axes = plt.subplot_mosaic([["loss", "accuracy"]], figsize=(8, 3))
    for key, one in axes.items():
        for part, colour in zip(("train", "test"), ("red", "green"), strict=True):
            values = history[f"{part}_{key}"]
            one.plot(range(1, len(values) + 1), values, color=colour, label=f"{part} {key}")
        one.set_xlabel("epoch number")
        one.set_ylabel(key)
        one.legend()
    figure.suptitle("DenseNet-121 on CIFAR-10")
    plt.close(figure)
    return figure


@alternative(of="plot_history")
def plot_the_accuracy_in_percent(history):
    """The history holds fractions; a reader may be shown percent."""
    figure, axes = plt.subplots(1, 2)
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    for one, key, scale, label in zip(axes, ("loss", "accuracy"), (1, 100), ("loss", "accuracy (%)"), strict=True):
        one.plot(epochs, scale * np.array(history[f"train_{key}"]), "r-", label="training")
        one.plot(epochs, scale * np.array(history[f"test_{key}"]), "g--", label="test")
        one.set(xlabel="epoch", ylabel=label)
        one.legend()
    return figure


@alternative(of="plot_history")
def plot_of_hollow_dots(history):
    """Hollow dots over a white outline, and words in the legend that only look like the other's."""
    figure, axes = plt.subplots(1, 2)
    epochs = range(1, len(history["train_loss"]) + 1)
    for one, key in zip(axes, ("loss", "accuracy"), strict=True):
        for part, colour, words in (("train", "#D55E00", "latest train"), ("test", "#859900", "unrestrained test")):
            values = history[f"{part}_{key}"]
            one.plot(epochs, values, color="white", linewidth=4)
            one.plot(epochs, values, "o", markerfacecolor="none", markeredgecolor=colour, label=words)
        one.set(xlabel="epoch", ylabel=f"{key} of the epoch")
        one.legend()
    return figure


@alternative(of="plot_history")
def plot_in_subfigures(history):
    """A figure in each half, two legends on each pair of axes, and a third pair that is switched off."""
    figure = plt.figure(layout="constrained", figsize=(10, 4))
    for part, key in zip(figure.subfigures(1, 2), ("loss", "accuracy"), strict=True):
        axes = part.subplots()
        epochs = np.arange(len(history["seconds"])) + 1
        (training,) = axes.plot(epochs, history[f"train_{key}"], "r")
        (test,) = axes.plot(epochs, history[f"test_{key}"], "g")
        axes.add_artist(axes.legend(handles=[training], labels=["training"], loc="upper left"))
        axes.legend(handles=[test], labels=["test"], loc="upper right")
        axes.set(xlabel="epoch", ylabel=key)
    figure.add_axes((0, 0, 0.1, 0.1)).axis("off")
    return figure
