# ruff: noqa: F405
"""Known mistakes of week08_googlenet: each a small wrong solution whose docstring is the hint the student reads.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import copy
import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.googlenet import InceptionAux

from autograder.authoring import mistake

from .evaluate_mistakes import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# saved_by_bottleneck


def _convolution(inputs: int, outputs: int, kernel: int, size: int) -> int:
    return size**2 * kernel**2 * inputs * outputs


def _prices(in_channels: int, reduced: int, out_channels: int, kernel: int, size: int) -> tuple[int, int]:
    """The right ones."""
    squeezed = _convolution(in_channels, reduced, 1, size) + _convolution(reduced, out_channels, kernel, size)
    return _convolution(in_channels, out_channels, kernel, size), squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def forgets_the_squeezing(in_channels, reduced, out_channels, kernel, size):
    """The 1 × 1 convolution is taken to be free. It reads all channels at every place, and is part of the price of the
    reduced way."""
    return _convolution(in_channels, out_channels, kernel, size), _convolution(reduced, out_channels, kernel, size)


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def gives_what_is_saved_as_the_second(in_channels, reduced, out_channels, kernel, size):
    """The second number is what is saved. Asked for is what the reduced way costs, whatever the function's name says."""
    direct, squeezed = _prices(in_channels, reduced, out_channels, kernel, size)
    return direct, direct - squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def counts_the_squeezing_alone(in_channels, reduced, out_channels, kernel, size):
    """Only the 1 × 1 convolution is counted in the reduced way. The large kernel still follows it, on fewer channels."""
    return _convolution(in_channels, out_channels, kernel, size), _convolution(in_channels, reduced, 1, size)


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def squeezes_with_the_large_kernel(in_channels, reduced, out_channels, kernel, size):
    """Both convolutions of the reduced way have the large kernel. The first one, which squeezes, is 1 × 1."""
    squeezed = _convolution(in_channels, reduced, kernel, size) + _convolution(reduced, out_channels, kernel, size)
    return _convolution(in_channels, out_channels, kernel, size), squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def still_reads_all_channels(in_channels, reduced, out_channels, kernel, size):
    """The large kernel of the reduced way still reads all channels. It comes behind the 1 × 1 convolution and reads what
    that one left."""
    squeezed = _convolution(in_channels, reduced, 1, size) + _convolution(in_channels, out_channels, kernel, size)
    return _convolution(in_channels, out_channels, kernel, size), squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def expands_by_one_by_one(in_channels, reduced, out_channels, kernel, size):
    """The two convolutions have changed places: the large kernel reads all channels and a 1 × 1 convolution follows.
    Then hardly anything is saved; the 1 × 1 comes first."""
    squeezed = _convolution(in_channels, reduced, kernel, size) + _convolution(reduced, out_channels, 1, size)
    return _convolution(in_channels, out_channels, kernel, size), squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_operations(in_channels, reduced, out_channels, kernel, size):
    """Both counts are twice too large: multiplications and additions were counted one by one. A multiply–accumulate is
    one multiplication together with its addition."""
    return tuple(2 * macs for macs in _prices(in_channels, reduced, out_channels, kernel, size))


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_weights(in_channels, reduced, out_channels, kernel, size):
    """These are the numbers of weights. Each weight is used at every place of the map: the price grows with its size."""
    return _prices(in_channels, reduced, out_channels, kernel, 1)


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def takes_the_map_for_a_row(in_channels, reduced, out_channels, kernel, size):
    """The size was taken once. The map is as high as it is wide: size · size places."""
    return tuple(macs // size for macs in _prices(in_channels, reduced, out_channels, kernel, size))


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def takes_the_kernel_for_a_row(in_channels, reduced, out_channels, kernel, size):
    """The kernel's size was taken once. It is as high as it is wide: kernel · kernel weights for each channel."""
    direct = size**2 * kernel * in_channels * out_channels
    return direct, size**2 * (in_channels * reduced + kernel * reduced * out_channels)


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def loses_the_border(in_channels, reduced, out_channels, kernel, size):
    """The large kernel was placed only where it fits into the map whole. Padding keeps the size, so it stands at all
    size · size places."""
    inner = size - kernel + 1
    squeezed = _convolution(in_channels, reduced, 1, size) + _convolution(reduced, out_channels, kernel, inner)
    return _convolution(in_channels, out_channels, kernel, inner), squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_biases(in_channels, reduced, out_channels, kernel, size):
    """One addition more was counted for each value, that of a bias. These convolutions have none, and the contract does
    not count them."""
    direct, squeezed = _prices(in_channels, reduced, out_channels, kernel, size)
    return direct + size**2 * out_channels, squeezed + size**2 * (reduced + out_channels)


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def gives_the_reduced_price_first(in_channels, reduced, out_channels, kernel, size):
    """The two counts have changed places: the direct way comes first."""
    return _prices(in_channels, reduced, out_channels, kernel, size)[::-1]


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def gives_what_is_saved(in_channels, reduced, out_channels, kernel, size):
    """One number came back, the difference. Both counts are asked for; who wants the difference can subtract."""
    direct, squeezed = _prices(in_channels, reduced, out_channels, kernel, size)
    return direct - squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def gives_the_ratio(in_channels, reduced, out_channels, kernel, size):
    """The second number is the ratio of the two counts. The count itself is asked for."""
    direct, squeezed = _prices(in_channels, reduced, out_channels, kernel, size)
    return direct, direct / squeezed


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_in_floats(in_channels, reduced, out_channels, kernel, size):
    """The counts are floats. Counts are whole numbers: look for a division, or for numpy."""
    return tuple(float(macs) for macs in _prices(in_channels, reduced, out_channels, kernel, size))


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_in_numpy(in_channels, reduced, out_channels, kernel, size):
    """The counts are numpy's whole numbers, as `np.prod` gives them. A Python `int` is asked for: `math.prod`, or `int(…)`."""
    return tuple(np.int64(macs) for macs in _prices(in_channels, reduced, out_channels, kernel, size))


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_way_through_fewer_channels")
def squeezes_at_one_place_only(in_channels, reduced, out_channels, kernel, size):
    """Of the 1 × 1 convolution the weights are counted. It works at every one of the size · size places, as the large
    kernel does."""
    large = _convolution(reduced, out_channels, kernel, size)
    return _convolution(in_channels, out_channels, kernel, size), in_channels * reduced + large


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def counts_in_millions(in_channels, reduced, out_channels, kernel, size):
    """The counts were divided by a million. Round and scale where you print."""
    return tuple(macs // 10**6 for macs in _prices(in_channels, reduced, out_channels, kernel, size))


@mistake(of="saved_by_bottleneck", caught_by="test_price_of_the_direct_way")
def writes_the_example_down(in_channels, reduced, out_channels, kernel, size):
    """The numbers of block 4a are written down. Every branch has widths of its own: compute with the arguments."""
    return 112_896_000, 5_268_480


@mistake(of="saved_by_bottleneck", caught_by="test_reduced_price_of_any_branch")
def never_dearer_than_direct(in_channels, reduced, out_channels, kernel, size):
    """The reduced way is never said to be dearer than the direct one. It can be, where the 1 × 1 convolution leaves many
    channels: give what it costs."""
    direct, squeezed = _prices(in_channels, reduced, out_channels, kernel, size)
    return direct, min(direct, squeezed)


# ---------------------------------------------------------------------------------------------------------------------
# InceptionBlock: variations on one block that is made as the reference's, of units that can be told how to be


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU, with torchvision's names."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, bias: bool = False, **norm):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)
        self.bn = nn.BatchNorm2d(outputs, **{"eps": 0.001, **norm})

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """As the reference's, of units that `unit` makes."""

    unit: Callable = _Unit

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        unit = type(self).unit
        self.branch1 = unit(in_channels, ch1x1)
        self.branch2 = nn.Sequential(unit(in_channels, ch3x3red), unit(ch3x3red, ch3x3, 3))
        self.branch3 = nn.Sequential(unit(in_channels, ch5x5red), unit(ch5x5red, ch5x5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, pool_proj))

    def written(self, x) -> list:
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]

    def forward(self, x):
        return torch.cat(self.written(x), 1)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class ConvolvesFiveByFive(_Block):
    """The third branch has 5 × 5 kernels, as the paper has. Torchvision's has 3 × 3, and its weights are to fit: the
    notebook tells why."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.branch3[1] = _Unit(ch5x5red, ch5x5, 5)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class PutsThePoolingFirst(_Block):
    """The channels of the pooling branch come first. The order is that of the table: 1 × 1, 3 × 3, the third, pooling."""

    def forward(self, x):
        one, two, three, four = self.written(x)
        return torch.cat([four, one, two, three], 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class PutsThePoolingThird(_Block):
    """The channels of the third and the pooling branch have changed places. The order is that of the table: pooling comes
    last."""

    def forward(self, x):
        one, two, three, four = self.written(x)
        return torch.cat([one, two, four, three], 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class SwapsTheLargeBranches(_Block):
    """The channels of the second and the third branch have changed places. The order is that of the table."""

    def forward(self, x):
        one, two, three, four = self.written(x)
        return torch.cat([one, three, two, four], 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class AddsTheBranches(_Block):
    """The branches are added, as a ResNet does. An Inception block puts them side by side: concatenate along the
    channels."""

    def forward(self, x):
        written = self.written(x)
        widest = max(one.shape[1] for one in written)
        return sum(F.pad(one, (0, 0, 0, 0, 0, widest - one.shape[1])) for one in written)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class JoinsTheBatches(_Block):
    """The branches are concatenated along axis 0, the images, or along height or width. Channels are axis 1."""

    def forward(self, x):
        return torch.cat(self.written(x), 0)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ChainsTheBranches(_Block):
    """The branches run one behind the other. All four read the same map, the block's input."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.channels = in_channels

    def forward(self, x):
        written = []
        for branch in (self.branch1, self.branch2, self.branch3, self.branch4):
            x = branch(x)
            written.append(x)
        return torch.cat(written, 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class LeavesThePoolingOut(_Block):
    """Only three branches are joined; the pooling branch is computed and forgotten."""

    def forward(self, x):
        return torch.cat(self.written(x)[:3], 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class KeepsItsInputInFront(_Block):
    """The input stands in front of the branches, as in a DenseNet. An Inception block hands on what its branches write,
    and nothing else."""

    def forward(self, x):
        return torch.cat([x, *self.written(x)], 1)


class _UnitWithBias(_Unit):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__(inputs, outputs, size, bias=True)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class HasBiases(_Block):
    """The convolutions have biases. Batch normalisation takes every mean away right after them, so a bias does nothing:
    `bias=False`."""

    unit = _UnitWithBias


class _UnitWithEps(_Unit):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__(inputs, outputs, size, eps=1e-5)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class TakesTheDefaultEps(_Block):
    """Batch normalisation has PyTorch's default `eps` of 1e-5. GoogLeNet's is 0.001, which shows where a channel varies
    little."""

    unit = _UnitWithEps


class _UnitWithMomentum(_Unit):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__(inputs, outputs, size, momentum=0.01)


class _UnitWithEpsBehindLargeKernels(_Unit):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__(inputs, outputs, size, eps=0.001 if size > 1 else 1e-5)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ForgetsTheEpsBehindSqueezes(_Block):
    """Batch normalisation behind the 1 × 1 convolutions has PyTorch's default `eps` of 1e-5. GoogLeNet's is 0.001, in each
    unit."""

    unit = _UnitWithEpsBehindLargeKernels


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class DilatesTheThirdBranch(_Block):
    """The third branch's kernel has gaps (`dilation`), so that its nine weights reach over 5 × 5 pixels. Torchvision's is a
    plain 3 × 3 kernel."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.branch3[1].conv.dilation = self.branch3[1].conv.padding = (2, 2)


@mistake(of="InceptionBlock", caught_by="test_block_in_training_mode")
class ChangesTheMomentum(_Block):
    """Batch normalisation's `momentum` was changed, so its running statistics move at another pace. Only `eps` differs
    from PyTorch's defaults."""

    unit = _UnitWithMomentum


class _UnitWithoutRelu(_Unit):
    def forward(self, x):
        return self.bn(self.conv(x))


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ForgetsEveryRelu(_Block):
    """There is no ReLU behind batch normalisation: two convolutions in a row without one are no more than one."""

    unit = _UnitWithoutRelu


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ForgetsTheReluInBetween(_Block):
    """The 1 × 1 convolutions in front have no ReLU. Every convolution has its batch normalisation and its ReLU, also the
    one that squeezes."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.branch2[0] = _UnitWithoutRelu(in_channels, ch3x3red)
        self.branch3[0] = _UnitWithoutRelu(in_channels, ch5x5red)


class _UnitReluFirst(_Unit):
    def forward(self, x):
        return self.bn(F.relu(self.conv(x)))


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ReluBeforeTheNorm(_Block):
    """ReLU stands before batch normalisation. The order is convolution, batch normalisation, ReLU."""

    unit = _UnitReluFirst


class _UnitAsInDenseNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(inputs, eps=0.001)

    def forward(self, x):
        return self.conv(F.relu(self.bn(x)))


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class NormBeforeTheConvolution(_Block):
    """Batch normalisation and ReLU stand before each convolution, as in a DenseNet. Here they follow it: normalisation is
    as wide as what the convolution writes."""

    unit = _UnitAsInDenseNet


class _UnitWithoutNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)

    def forward(self, x):
        return F.relu(self.conv(x))


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class HasNoNorms(_Block):
    """There is no batch normalisation, as in the paper of 2014. Torchvision's blocks have it behind every convolution."""

    unit = _UnitWithoutNorm


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class AveragesInThePooling(_Block):
    """The pooling branch takes the mean of 3 × 3 values. It takes the largest."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branch4[0] = nn.AvgPool2d(3, stride=1, padding=1)


class _PadsWithZeros(nn.Module):
    def forward(self, x):
        return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, stride=1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class PoolsPaddedZeros(_Block):
    """The map was padded with zeros before the pooling, and where all values are below zero the largest is then a zero
    of the padding. The pooling layer's own `padding` does not take part in the maximum."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branch4[0] = _PadsWithZeros()


@mistake(of="InceptionBlock", caught_by="test_block_keeps_size_and_input")
class PoolsWithStride(_Block):
    """The pooling makes the map smaller, so its channels do not fit beside the others. Its stride is PyTorch's default,
    the kernel's size: it is to be 1."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branch4[0] = nn.MaxPool2d(3, padding=1)


@mistake(of="InceptionBlock", caught_by="test_block_keeps_size_and_input")
class PoolsWithoutPadding(_Block):
    """The pooling has no padding and takes a row and a column from each side, so its channels do not fit beside the
    others."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branch4[0] = nn.MaxPool2d(3, stride=1)


class _UnitWithoutPadding(_Unit):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        super().__init__(inputs, outputs, size)
        self.conv = nn.Conv2d(inputs, outputs, size, bias=False)


@mistake(of="InceptionBlock", caught_by="test_block_keeps_size_and_input")
class ConvolvesWithoutPadding(_Block):
    """The 3 × 3 convolutions have no padding, so what they write is smaller than what the 1 × 1 convolutions write, and
    cannot stand beside it."""

    unit = _UnitWithoutPadding


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class PoolsAfterConvolving(_Block):
    """The last branch convolves first and pools afterwards, so its convolution has another number in its name. The
    pooling comes first."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branch4 = nn.Sequential(self.branch4[1], self.branch4[0])


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class PoolsBehindItsConvolution(_Block):
    """The pooling stands first in the branch, but `forward` takes the convolution first. Pool, then convolve."""

    def written(self, x):
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4[0](self.branch4[1](x))]


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ForgetsToPool(_Block):
    """The last branch does not pool: only its 1 × 1 convolution is called."""

    def written(self, x):
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4[1](x)]


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class ConvolvesAllChannels(_Block):
    """The large kernels read all channels: their 1 × 1 convolutions are missing, and with them all that makes the block
    cheap."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.branch2, self.branch3 = _Unit(in_channels, ch3x3, 3), _Unit(in_channels, ch5x5, 3)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class SwapsReducedAndWritten(_Block):
    """The numbers of channels before and behind the large kernel have changed places: `ch3x3red` is what the 1 × 1
    convolution leaves, `ch3x3` what the branch writes."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3, ch3x3red, ch5x5, ch5x5red, pool_proj)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class SqueezesTheThirdBranchAsTheSecond(_Block):
    """The third branch squeezes to `ch3x3red` channels, as the second one does. Its own number is `ch5x5red`: look at what
    was copied from the line above."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch3x3red, ch5x5, pool_proj)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class CallsItsBranchesByOtherNames(nn.Module):
    """The block computes what it should, but its parts have names of their own, so torchvision's weights find no place.
    Branches are called `branch1` to `branch4`, their units' parts `conv` and `bn`."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        block = _Block(in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj)
        self.one, self.three, self.five, self.pool = block.branch1, block.branch2, block.branch3, block.branch4

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


class _NumberedUnit(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, size: int = 1):
        conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, eps=0.001), nn.ReLU())


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class NumbersThePartsOfUnits(_Block):
    """Convolution and batch normalisation are numbered, `branch1.0` and `branch1.1`, where torchvision's have names:
    `branch1.conv` and `branch1.bn`. An `OrderedDict` in the `nn.Sequential` gives names."""

    unit = _NumberedUnit


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class KeepsItsBranchesInAList(_Block):
    """The branches lie in a plain Python list, where PyTorch does not see them: they are neither trained, saved nor
    moved. Make each an attribute of the block."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branches = [self._modules.pop(f"branch{number}") for number in (1, 2, 3, 4)]

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class NumbersItsBranches(_Block):
    """The branches lie in an `nn.ModuleList`, so their names begin with its own: `branches.0.conv`. Torchvision's are
    attributes of the block, from `branch1` to `branch4`."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.branches = nn.ModuleList([self._modules.pop(f"branch{number}") for number in (1, 2, 3, 4)])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class ForgetsToCallSuper(nn.Module):
    """`super().__init__()` is missing: an `nn.Module` has to be set up before it can be given parts."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        self.branch1 = _Unit(in_channels, ch1x1)


@mistake(of="InceptionBlock", caught_by="test_block_has_torchvisions_names")
class TakesFourWidths(_Block):
    """The class takes fewer widths than it is given. Compare its first line with the one that was there, name by name."""

    def __init__(self, in_channels, ch1x1, ch3x3, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3, ch3x3, ch5x5, ch5x5, pool_proj)


@mistake(of="InceptionBlock", caught_by="test_block_keeps_size_and_input")
class ReluOnItsInput(_Block):
    """ReLU was applied in place to the input, which other layers may read as well. In place is for what the block made
    itself."""

    def forward(self, x):
        return torch.cat(self.written(F.relu_(x)), 1)


@mistake(of="InceptionBlock", caught_by="test_block_keeps_size_and_input")
class DetachesABranch(_Block):
    """One branch reads a detached input, or runs under `no_grad`: what comes before the block learns nothing through it."""

    def written(self, x):
        with torch.no_grad():
            third = self.branch3(x)
        return [self.branch1(x), self.branch2(x), third, self.branch4(x)]


@mistake(of="InceptionBlock", caught_by="test_block_in_training_mode")
class DropsInTraining(_Block):
    """There is a dropout behind the branches. Blocks have none; GoogLeNet's stands before its heads."""

    def forward(self, x):
        return F.dropout(torch.cat(self.written(x), 1), 0.2, self.training)


@mistake(of="InceptionBlock", caught_by="test_block_in_a_training")
class NormalisesByRunningStatisticsAlways(_Block):
    """Batch normalisation stays in evaluation mode while training, so its running statistics never move: it is put there, or
    `F.batch_norm` is not told (`training=self.training`)."""

    def forward(self, x):
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return torch.cat(self.written(x), 1)


@mistake(of="InceptionBlock", caught_by="test_block_in_a_training")
class NormalisesByTheBatchAlways(_Block):
    """Batch normalisation keeps no running statistics of use: it is left in training mode, or takes the statistics of the
    batch in evaluation mode as well."""

    def forward(self, x):
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        return torch.cat(self.written(x), 1)


@mistake(of="InceptionBlock", caught_by="test_blocks_of_any_width_have_torchvisions_names")
class SharesOneSqueeze(_Block):
    """One 1 × 1 convolution squeezes for both large kernels. Each branch has its own, with a width of its own."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__(in_channels, ch1x1, ch3x3red, ch3x3, ch3x3red, ch5x5, pool_proj)
        self.branch3[0] = self.branch2[0]


@mistake(of="InceptionBlock", caught_by="test_blocks_are_alike_every_time")
class SeedsItsWeights(_Block):
    """The global random state is set to a fixed seed in `__init__`: all blocks start with the same weights, and so does all
    that is drawn later. Whoever runs the experiment sets the seed."""

    def __init__(self, *widths):
        torch.manual_seed(0)
        super().__init__(*widths)


@mistake(of="InceptionBlock", caught_by="test_block_on_an_accelerator")
class BringsTheChannelsToTheCpu(_Block):
    """What the branches write is brought to the CPU before it is joined, where the next layer on a GPU does not find
    it. Nothing has to be moved here."""

    def forward(self, x):
        filled = torch.zeros(x.shape[0], 0, *x.shape[2:])
        return torch.cat([filled, *self.written(x)], 1)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class PrintsTheShape(_Block):
    """`forward` returns nothing: the result is computed, and there is no `return`."""

    def forward(self, x):
        print(torch.cat(self.written(x), 1).shape)


@mistake(of="InceptionBlock", caught_by="test_branches_are_torchvisions")
class ReturnsAListOfBranches(_Block):
    """`forward` returns the four branches in a list. The next block reads one tensor: concatenate them."""

    def forward(self, x):
        return self.written(x)


# ---------------------------------------------------------------------------------------------------------------------
# replace_heads


def _heads(net) -> list:
    """(module, name) of the last layer of every head."""
    return [(head, name) for head, name in ((net, "fc"), (net.aux1, "fc2"), (net.aux2, "fc2")) if head is not None]


def _renew(net, num_classes: int, width: Callable | None = None, **settings):
    for head, name in _heads(net):
        old = getattr(head, name)
        inputs = old.in_features if width is None else width(old)
        setattr(head, name, nn.Linear(inputs, num_classes, device=old.weight.device, **settings))
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def replaces_the_main_head_alone(net, num_classes=10):
    """Only `net.fc` was replaced. The auxiliary heads still give the old number of scores, and their losses speak of
    classes that there are not."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def forgets_the_second_auxiliary_head(net, num_classes=10):
    """`net.aux2` was left as it was. There are two auxiliary heads."""
    for head, name in _heads(net)[:2]:
        old = getattr(head, name)
        setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def replaces_the_wrong_layer_of_the_head(net, num_classes=10):
    """In the auxiliary heads `fc1` was replaced, which is not their last layer: print `net.aux1`."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    for head in (net.aux1, net.aux2):
        if head is not None:
            head.fc1 = nn.Linear(head.fc1.in_features, num_classes, device=head.fc1.weight.device)
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def replaces_the_whole_auxiliary_head(net, num_classes=10):
    """`net.aux1` and `net.aux2` were replaced as a whole by a linear layer, and the layers before it are gone. Only each
    head's last layer, `fc2`, is to be replaced."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    for name in ("aux1", "aux2"):
        if getattr(net, name) is not None:
            setattr(net, name, nn.Linear(getattr(net, name).fc1.in_features, num_classes))
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def names_the_heads_layer_fc(net, num_classes=10):
    """The auxiliary heads got a layer `fc`, which they never use. Their last layer is called `fc2`: print `net.aux1`."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    for head in (net.aux1, net.aux2):
        if head is not None:
            head.fc = nn.Linear(head.fc2.in_features, num_classes, device=head.fc2.weight.device)
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def writes_1024_down(net, num_classes=10):
    """1,024 inputs are written down, so it works for GoogLeNet's own widths alone. Each old layer knows its inputs."""
    return _renew(net, num_classes, width=lambda old: 1024)


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def takes_the_main_heads_width_for_all(net, num_classes=10):
    """The main head's width was taken for the auxiliary heads too. In GoogLeNet they happen to be equal; read each from
    its own old layer."""
    main = net.fc.in_features
    return _renew(net, num_classes, width=lambda old: main)


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def writes_ten_classes_down(net, num_classes=10):
    """There are ten scores whatever number of classes is asked for. Look for a number that stands where the argument
    `num_classes` belongs."""
    return _renew(net, 10)


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def has_another_default_number_of_classes(net, num_classes=1000):
    """Without an argument there are 1,000 classes, as in ImageNet. CIFAR-10 has ten: look at the default in the first
    line."""
    return _renew(net, num_classes)


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def swaps_inputs_and_outputs(net, num_classes=10):
    """The two numbers of the linear layers have changed places: inputs come first, outputs second."""
    for head, name in _heads(net):
        old = getattr(head, name)
        setattr(head, name, nn.Linear(num_classes, old.in_features, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def sets_out_features(net, num_classes=10):
    """`out_features` is only a note of a layer's width: changing it leaves the weight as it was."""
    for head, name in _heads(net):
        getattr(head, name).out_features = num_classes
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def keeps_the_layers_in_names_of_its_own(net, num_classes=10):
    """The network has its old heads still: new layers are kept in names of the function alone, or are put only where a
    search finds what it expects (a thousand outputs, say). Set them as attributes of the heads, whatever was there."""
    for head, name in _heads(net):
        old = getattr(head, name)
        old = nn.Linear(old.in_features, num_classes, device=old.weight.device)
    return net


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def puts_a_layer_behind(net, num_classes=10):
    """The old layers are kept and new ones put behind them. They should be replaced: the thousand scores of ImageNet
    have no part in this network."""
    for head, name in _heads(net):
        old = getattr(head, name)
        setattr(head, name, nn.Sequential(old, nn.Linear(old.out_features, num_classes, device=old.weight.device)))
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def shares_the_auxiliary_layer(net, num_classes=10):
    """Both auxiliary heads got one and the same layer: what the one learns changes the other, and where their widths
    differ it does not fit. Make a layer for each."""
    _renew(net, num_classes)
    heads = [head for head in (net.aux1, net.aux2) if head is not None]
    for head in heads:
        head.fc2 = heads[0].fc2
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def shares_the_auxiliary_layer_where_it_fits(net, num_classes=10):
    """Both auxiliary heads got one and the same layer, where they are equally wide, as in GoogLeNet: what the one learns
    changes the other. Make a layer for each."""
    _renew(net, num_classes)
    if net.aux1 is not None and net.aux2 is not None and net.aux1.fc2.in_features == net.aux2.fc2.in_features:
        net.aux2.fc2 = net.aux1.fc2
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def shares_one_layer(net, num_classes=10):
    """All heads got one and the same layer, where they are equally wide, as in GoogLeNet: what the one learns changes the
    others. Make a layer for each."""
    made = {}
    for head, name in _heads(net):
        old = getattr(head, name)
        if old.in_features not in made:
            made[old.in_features] = nn.Linear(old.in_features, num_classes, device=old.weight.device)
        setattr(head, name, made[old.in_features])
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def copies_one_layer(net, num_classes=10):
    """The auxiliary heads' layers start as copies of the old rows. Fresh layers are asked for: the old rows belong to
    other classes."""
    for head, name in _heads(net):
        old = getattr(head, name)
        new = nn.Linear(old.in_features, num_classes, device=old.weight.device)
        rows = min(num_classes, old.out_features)
        with torch.no_grad():
            new.weight[:rows] = old.weight[:rows]
        setattr(head, name, new)
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def leaves_the_biases_out(net, num_classes=10):
    """The new layers have no bias."""
    return _renew(net, num_classes, bias=False)


@mistake(of="replace_heads", caught_by="test_heads_are_fresh")
def has_a_bias_where_the_old_one_had(net, num_classes=10):
    """The new layers have a bias only where the old ones had. They are to have one in any case."""
    for head, name in _heads(net):
        old = getattr(head, name)
        bias = old.bias is not None
        setattr(head, name, nn.Linear(old.in_features, num_classes, bias=bias, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_new_layers_of_their_own")
def starts_from_zeros(net, num_classes=10):
    """All weights of the new layers are zero: then no gradient passes through them in the first step. Weights start at
    random."""
    for head, name in _heads(_renew(net, num_classes)):
        nn.init.zeros_(getattr(head, name).weight)
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_fresh")
def keeps_heads_that_fit(net, num_classes=10):
    """A head that already has the right number of classes is kept. Fresh layers are asked for in any case."""
    for head, name in _heads(net):
        old = getattr(head, name)
        if old.out_features != num_classes:
            setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_fresh")
def freezes_with_the_network(net, num_classes=10):
    """The new layers are frozen where the old ones were. They are fresh, and have to learn."""
    for head, name in _heads(net):
        old = getattr(head, name)
        new = nn.Linear(old.in_features, num_classes, device=old.weight.device)
        setattr(head, name, new.requires_grad_(old.weight.requires_grad))
    return net


@mistake(of="replace_heads", caught_by="test_heads_that_are_none_stay_none")
def expects_both_auxiliary_heads(net, num_classes=10):
    """The auxiliary heads are taken for granted. A network that is built without them has `None` there, which has no
    layers."""
    for head, name in ((net, "fc"), (net.aux1, "fc2"), (net.aux2, "fc2")):
        old = getattr(head, name)
        setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_heads_that_are_none_stay_none")
def asks_only_the_first_head(net, num_classes=10):
    """Only `net.aux1` is asked whether it is None, and the answer taken for both. Ask each head for itself."""
    heads = [(net, "fc")] + ([(net.aux1, "fc2"), (net.aux2, "fc2")] if net.aux1 is not None else [])
    for head, name in heads:
        old = getattr(head, name)
        setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net


@mistake(of="replace_heads", caught_by="test_heads_that_are_none_stay_none")
def makes_heads_where_there_are_none(net, num_classes=10):
    """Where the network had no auxiliary head, one was made. A head that is None stays None."""
    for name, width in (("aux1", 512), ("aux2", 528)):
        if getattr(net, name) is None:
            setattr(net, name, InceptionAux(width, num_classes))
    return _renew(net, num_classes)


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def takes_the_auxiliary_heads_off(net, num_classes=10):
    """The main head is replaced, and the auxiliary heads are set to None. All heads are to be trained."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    net.aux1 = net.aux2 = None
    return net


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def changes_a_copy(net, num_classes=10):
    """A copy of the network gets the new heads, and the caller's keeps the old ones. An optimizer built on the one would
    not train the other."""
    return _renew(copy.deepcopy(net), num_classes)


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def forgets_to_return_the_network(net, num_classes=10):
    """The network is changed but nothing is returned, so a caller who writes `net = replace_heads(net)` is left with
    None."""
    _renew(net, num_classes)


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def returns_the_main_head(net, num_classes=10):
    """The new layer is returned instead of the network that it belongs to."""
    return _renew(net, num_classes).fc


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def freezes_the_features(net, num_classes=10):
    """All other weights were frozen, as in transfer learning. This network starts from random weights and all of it has
    to train."""
    net.requires_grad_(False)
    return _renew(net, num_classes)


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def thaws_what_was_frozen(net, num_classes=10):
    """Weights that were frozen are trained afterwards. Only the new layers are the function's business."""
    return _renew(net, num_classes).requires_grad_(True)


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def starts_every_weight_afresh(net, num_classes=10):
    """All layers were initialised again, not just the new ones. What the rest of the network has learned is lost."""
    for module in _renew(net, num_classes).modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return net


@mistake(of="replace_heads", caught_by="test_nothing_but_the_heads_changes")
def leaves_training_mode(net, num_classes=10):
    """The network was put into training mode. Modes are the caller's."""
    return _renew(net, num_classes).train()


@mistake(of="replace_heads", caught_by="test_all_beside_the_heads_stays")
def leaves_evaluation_mode(net, num_classes=10):
    """The network was put into evaluation mode. Modes are the caller's."""
    return _renew(net, num_classes).eval()


@mistake(of="replace_heads", caught_by="test_heads_are_where_the_old_ones_were")
def leaves_the_heads_on_the_cpu(net, num_classes=10):
    """New layers are made on the CPU. If the network already sits on a GPU, its heads do not, and the first batch
    fails."""
    for head, name in _heads(net):
        setattr(head, name, nn.Linear(getattr(head, name).in_features, num_classes))
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_where_the_old_ones_were")
def leaves_the_auxiliary_heads_on_the_cpu(net, num_classes=10):
    """The main head is on the network's device, the auxiliary ones were left on the CPU."""
    _renew(net, num_classes)
    for head, name in _heads(net)[1:]:
        setattr(head, name, nn.Linear(getattr(head, name).in_features, num_classes))
    return net


@mistake(of="replace_heads", caught_by="test_heads_are_where_the_old_ones_were")
def moves_the_network_to_the_cpu(net, num_classes=10):
    """The whole network was moved to the CPU, where the new layers are. It is to stay on its device, and the new layers
    to join it there."""
    return _renew(net.cpu(), num_classes)


@mistake(of="replace_heads", caught_by="test_heads_leave_the_random_state")
def seeds_for_the_heads(net, num_classes=10):
    """The global random state is set to a fixed seed as a side effect: all that is drawn later is the same every time.
    Whoever runs the experiment sets the seed."""
    torch.manual_seed(0)
    return _renew(net, num_classes)


@mistake(of="replace_heads", caught_by="test_all_three_heads_give_the_classes_asked_for")
def puts_a_log_softmax_behind(net, num_classes=10):
    """The heads end in log-softmax. They should give raw scores; the loss takes their log-softmax, and twice is once too
    often."""
    for head, name in _heads(_renew(net, num_classes)):
        setattr(head, name, nn.Sequential(getattr(head, name), nn.LogSoftmax(dim=1)))
    return net


# ---------------------------------------------------------------------------------------------------------------------
# joint_loss


def _loss(scores, labels, criterion):
    return criterion(F.log_softmax(scores, dim=1), labels)


def _each(outputs, labels, criterion) -> tuple:
    """The main loss and the list of the auxiliary ones."""
    heads = [outputs] if isinstance(outputs, torch.Tensor) else [one for one in outputs if one is not None]
    main, *others = [_loss(scores, labels, criterion) for scores in heads]
    return main, others


def _sum(losses: list, main):
    return sum(losses, start=0 * main)


def _losses(outputs, labels, criterion, aux_weight=0.3) -> tuple:
    """The right ones."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def weighs_the_main_head_too(outputs, labels, criterion, aux_weight=0.3):
    """The weight multiplies the main loss as well. It is for the auxiliary losses alone."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return aux_weight * (main + auxiliary), main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def forgets_the_weight(outputs, labels, criterion, aux_weight=0.3):
    """The auxiliary losses count as much as the main one: the weight is not used."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return main + auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def weighs_twice(outputs, labels, criterion, aux_weight=0.3):
    """The auxiliary loss is weighed as it is added up and once more in the total. The weight belongs in the total alone,
    once."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = aux_weight * _sum(others, main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_the_weighed_auxiliary_loss(outputs, labels, criterion, aux_weight=0.3):
    """The total is right, but the auxiliary loss that comes back is weighed already. It is the plain sum over the heads:
    the weight belongs in the total alone."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = aux_weight * _sum(others, main)
    return main + auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def averages_the_auxiliary_heads(outputs, labels, criterion, aux_weight=0.3):
    """The auxiliary loss is the mean over the heads. It is their sum."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main) / max(1, len(others))
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def hears_one_auxiliary_head(outputs, labels, criterion, aux_weight=0.3):
    """One of the two auxiliary heads is left out. Both have a loss."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others[:1], main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def hears_the_first_auxiliary_head_alone(outputs, labels, criterion, aux_weight=0.3):
    """`aux_logits2` is left out. Both auxiliary heads have a loss."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others[-1:] if len(others) > 1 else others, main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def takes_the_last_for_the_main_head(outputs, labels, criterion, aux_weight=0.3):
    """The outputs were unpacked in the order in which the heads stand in the network. The named tuple has the main head
    first: `logits, aux_logits2, aux_logits1`."""
    if not isinstance(outputs, torch.Tensor):
        outputs = [one for one in reversed(outputs) if one is not None]
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def counts_the_main_head_as_auxiliary(outputs, labels, criterion, aux_weight=0.3):
    """The sum over the heads has the main head in it, which so counts twice. The auxiliary loss is that of the other two."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum([main, *others] if others else [], main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def averages_all_heads(outputs, labels, criterion, aux_weight=0.3):
    """The total is a weighed mean: it was divided by the sum of the weights. The losses are added, and that is all."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return (main + aux_weight * auxiliary) / (1 + aux_weight * len(others)), main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def shares_the_weight_out(outputs, labels, criterion, aux_weight=0.3):
    """The main loss is weighed by 1 − aux_weight. It counts in full."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return (1 - aux_weight) * main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def writes_the_weight_down(outputs, labels, criterion, aux_weight=0.3):
    """The weight is 0.3 whatever is given. Use the argument `aux_weight`."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return main + 0.3 * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def has_another_default_weight(outputs, labels, criterion, aux_weight=0.4):
    """Without an argument the weight is not 0.3. Look at the default in the first line."""
    return _losses(outputs, labels, criterion, aux_weight)


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def averages_the_scores(outputs, labels, criterion, aux_weight=0.3):
    """The scores of the auxiliary heads were added and one loss taken of the result. Each head has a loss of its own."""
    main, others = _each(outputs, labels, criterion)
    if not others:
        return main, main, 0 * main
    auxiliary = 2 * _loss(sum(one for one in outputs[1:] if one is not None), labels, criterion)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def gives_scores_to_the_criterion(outputs, labels, criterion, aux_weight=0.3):
    """Raw scores go straight into the criterion. It expects log-probabilities; read what `nn.NLLLoss` says of its input."""
    return _losses(outputs, labels, lambda log_probabilities, _: criterion(_raw(outputs, log_probabilities), labels),
                      aux_weight)  # fmt: skip


def _raw(outputs, log_probabilities):
    """The scores that these log-probabilities were made of."""
    heads = [outputs] if isinstance(outputs, torch.Tensor) else [one for one in outputs if one is not None]
    return min(heads, key=lambda one: (F.log_softmax(one, dim=1) - log_probabilities).abs().max().item())


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def gives_probabilities_to_the_criterion(outputs, labels, criterion, aux_weight=0.3):
    """Softmax stands where log-softmax belongs. The negative log likelihood takes logarithms."""
    return _losses(outputs, labels, lambda logs, given: criterion(logs.exp(), given), aux_weight)


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def normalises_over_the_batch(outputs, labels, criterion, aux_weight=0.3):
    """The log-softmax runs along axis 0, over the images of the batch instead of over the classes of each image."""
    return _losses(outputs, labels, lambda logs, given: criterion(F.log_softmax(_raw(outputs, logs), dim=0), given),
                      aux_weight)  # fmt: skip


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def adds_up_over_the_batch(outputs, labels, criterion, aux_weight=0.3):
    """The losses are sums over the batch. The criterion's mean is asked for."""
    return tuple(len(labels) * loss for loss in _losses(outputs, labels, criterion, aux_weight))


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def divides_by_the_batch(outputs, labels, criterion, aux_weight=0.3):
    """The losses are divided by the number of images, though the criterion gives a mean already."""
    return tuple(loss / len(labels) for loss in _losses(outputs, labels, criterion, aux_weight))


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_the_main_loss_first(outputs, labels, criterion, aux_weight=0.3):
    """The results are in another order: total, main, auxiliary is asked for."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return main, auxiliary, total


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def swaps_main_and_auxiliary(outputs, labels, criterion, aux_weight=0.3):
    """The main and the auxiliary loss have changed places in what is returned: total, main, auxiliary is asked for."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return total, auxiliary, main


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_the_total_alone(outputs, labels, criterion, aux_weight=0.3):
    """Only the total is returned. The caller watches three losses: total, main, auxiliary."""
    return _losses(outputs, labels, criterion, aux_weight)[0]


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_every_auxiliary_loss(outputs, labels, criterion, aux_weight=0.3):
    """Four losses come back, one for each auxiliary head. Their sum is asked for."""
    main, others = _each(outputs, labels, criterion)
    return main + aux_weight * _sum(others, main), main, *others


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_nothing(outputs, labels, criterion, aux_weight=0.3):
    """Nothing comes back: the losses are computed and the `return` is missing."""
    _losses(outputs, labels, criterion, aux_weight)


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def returns_a_dict_of_losses(outputs, labels, criterion, aux_weight=0.3):
    """The losses come back in a dict. A tuple is asked for: total, main, auxiliary."""
    return dict(zip(("total", "main", "auxiliary"), _losses(outputs, labels, criterion, aux_weight), strict=True))


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def changes_the_criterion(outputs, labels, criterion, aux_weight=0.3):
    """The criterion's `reduction` is set and stays so: whoever uses it next finds it changed."""
    criterion.reduction = "sum"
    return tuple(loss / len(labels) for loss in _losses(outputs, labels, criterion, aux_weight))


@mistake(of="joint_loss", caught_by="test_losses_are_tensors")
def returns_numbers(outputs, labels, criterion, aux_weight=0.3):
    """The losses are Python numbers. A number has no gradients, so nothing can be learnt from it: take `.item()` where you
    print."""
    return tuple(loss.item() for loss in _losses(outputs, labels, criterion, aux_weight))


@mistake(of="joint_loss", caught_by="test_losses_are_tensors")
def returns_numbers_beside_the_total(outputs, labels, criterion, aux_weight=0.3):
    """The main and the auxiliary loss are Python numbers. All three are to be tensors: on a GPU each `.item()` waits."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return total, main.item(), auxiliary.item()


@mistake(of="joint_loss", caught_by="test_losses_are_tensors")
def detaches_what_is_watched(outputs, labels, criterion, aux_weight=0.3):
    """The main and the auxiliary loss are detached. All three are to carry gradients, so that a caller can go backward
    from any of them."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return total, main.detach(), auxiliary.detach()


@mistake(of="joint_loss", caught_by="test_losses_are_tensors")
def starts_its_sum_with_a_row(outputs, labels, criterion, aux_weight=0.3):
    """The sum of the auxiliary losses starts from `torch.zeros(1)`, a row of one number, so it and the total have the shape
    (1,). A tensor without dimensions is `torch.zeros(())`."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return total.unsqueeze(0), main, auxiliary.unsqueeze(0)


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def adds_to_the_main_loss_itself(outputs, labels, criterion, aux_weight=0.3):
    """`total = main` gives the main loss a second name, and `total += …` adds to that one tensor, so the main loss comes back
    as large as the total. Make a new one: `total = main + …`."""
    total, _, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return total, total, auxiliary


@mistake(of="joint_loss", caught_by="test_heads_without_scores_add_nothing")
def gives_a_constant_unless_there_are_both(outputs, labels, criterion, aux_weight=0.3):
    """Where one auxiliary head is None, the other is not heard either. Each head that gives scores has a loss."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = sum(others) if len(others) == 2 else torch.tensor(0.0, device=main.device)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_are_tensors")
def returns_losses_in_lists(outputs, labels, criterion, aux_weight=0.3):
    """The losses are tensors of one entry, of shape (1,). They have no dimension."""
    return tuple(loss.unsqueeze(0) for loss in _losses(outputs, labels, criterion, aux_weight))


@mistake(of="joint_loss", caught_by="test_total_teaches_all_heads")
def detaches_the_auxiliary_heads(outputs, labels, criterion, aux_weight=0.3):
    """The auxiliary loss enters the total as a number, so no gradient reaches the auxiliary heads. Add tensors that are
    still connected to their scores."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others, main)
    return main + aux_weight * auxiliary.detach(), main, auxiliary


@mistake(of="joint_loss", caught_by="test_total_teaches_all_heads")
def makes_the_total_anew(outputs, labels, criterion, aux_weight=0.3):
    """The total is a new tensor made from numbers, and knows nothing of the scores that it came from. Add tensors."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return torch.tensor(total.item(), device=total.device, requires_grad=True), main, auxiliary


@mistake(of="joint_loss", caught_by="test_heads_without_scores_add_nothing")
def expects_every_head(outputs, labels, criterion, aux_weight=0.3):
    """A head whose scores are None was given to log-softmax. Ask of each head whether it gave scores."""
    if isinstance(outputs, torch.Tensor):
        return _losses(outputs, labels, criterion, aux_weight)
    main, *others = [_loss(scores, labels, criterion) for scores in outputs]
    return main + aux_weight * sum(others), main, sum(others)


@mistake(of="joint_loss", caught_by="test_heads_without_scores_add_nothing")
def wants_both_heads_or_none(outputs, labels, criterion, aux_weight=0.3):
    """Where one auxiliary head is None, the other is not heard either. Each head that gives scores has a loss."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = _sum(others if len(others) == 2 else [], main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def unpacks_plain_scores(outputs, labels, criterion, aux_weight=0.3):
    """Plain scores were unpacked as if they were three heads: where there are three images, each becomes a head. Ask first
    whether the outputs are a tensor."""
    main_scores, *others = outputs
    if isinstance(outputs, torch.Tensor):
        main_scores, others = outputs[:1], [outputs[1:2], outputs[2:3]]
        labels = labels[:1]
    main = _loss(main_scores, labels, criterion)
    auxiliary = sum((_loss(scores, labels, criterion) for scores in others if scores is not None), start=0 * main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def looks_for_logits(outputs, labels, criterion, aux_weight=0.3):
    """`outputs.logits` is asked of whatever comes. Plain scores are a tensor, which has no such attribute."""
    main = _loss(outputs.logits, labels, criterion)
    auxiliary = _sum([_loss(one, labels, criterion) for one in outputs[1:] if one is not None], main)
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def gives_zero_as_a_number(outputs, labels, criterion, aux_weight=0.3):
    """Without auxiliary heads the auxiliary loss is the number 0. It is to be a tensor, as always, on the scores' device."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return (total, main, 0.0) if isinstance(outputs, torch.Tensor) else (total, main, auxiliary)


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def gives_none_for_no_loss(outputs, labels, criterion, aux_weight=0.3):
    """Without auxiliary heads the auxiliary loss is None. It is to be a zero, so that nobody has to ask."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return (total, main, None) if isinstance(outputs, torch.Tensor) else (total, main, auxiliary)


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def makes_the_zero_on_the_cpu(outputs, labels, criterion, aux_weight=0.3):
    """The auxiliary loss of plain scores is a zero on the CPU, wherever the scores are."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return (total, main, torch.zeros(())) if isinstance(outputs, torch.Tensor) else (total, main, auxiliary)


@mistake(of="joint_loss", caught_by="test_plain_scores_have_no_auxiliary_loss")
def repeats_the_main_loss(outputs, labels, criterion, aux_weight=0.3):
    """For plain scores the auxiliary loss is the main loss once more. There is no auxiliary head, so it is zero."""
    total, main, auxiliary = _losses(outputs, labels, criterion, aux_weight)
    return (total, main, main) if isinstance(outputs, torch.Tensor) else (total, main, auxiliary)


@mistake(of="joint_loss", caught_by="test_losses_on_an_accelerator")
def starts_its_sum_on_the_cpu(outputs, labels, criterion, aux_weight=0.3):
    """Where the auxiliary heads gave no scores, the zero lies on the CPU, wherever the others are."""
    main, others = _each(outputs, labels, criterion)
    auxiliary = sum(others) if others else torch.zeros((), device=main.device if torch.is_tensor(outputs) else "cpu")
    return main + aux_weight * auxiliary, main, auxiliary


@mistake(of="joint_loss", caught_by="test_losses_of_any_scores")
def takes_no_weight_for_the_default(outputs, labels, criterion, aux_weight=0.3):
    """A weight of 0 is taken for none at all, and becomes 0.3: `aux_weight or 0.3`. Zero is a weight too."""
    return _losses(outputs, labels, criterion, aux_weight or 0.3)


@mistake(of="joint_loss", caught_by="test_losses_of_any_scores")
def takes_the_logarithm_of_a_sum(outputs, labels, criterion, aux_weight=0.3):
    """A small number was added to the probabilities before their logarithm. Where a head is sure, the loss is then wrong;
    there is a function that takes both steps at once, exactly."""
    return _losses(outputs, labels, lambda logs, given: criterion(torch.log(logs.exp() + 1e-8), given), aux_weight)


@mistake(of="joint_loss", caught_by="test_losses_of_three_heads")
def takes_no_weight(outputs, labels, criterion):
    """The function takes one argument less than it is given. Compare its first line with the one that was there."""
    return _losses(outputs, labels, criterion)


# ---------------------------------------------------------------------------------------------------------------------
# train_one_epoch


def _scores(outputs):
    return outputs if isinstance(outputs, torch.Tensor) else outputs[0]


def _epoch(
    net,
    loader,
    criterion,
    optimizer,
    device,
    aux_weight,
    goal: Callable = lambda total, main, auxiliary: total,
    step: Callable | None = None,
    scores_of: Callable = _scores,
) -> list[dict]:
    """Trains in the mode that the network is in; gives each batch's figures and its number of images."""
    rows = []
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        outputs = net(images)
        total, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
        if step is None:
            optimizer.zero_grad()
            goal(total, main, auxiliary).backward()
            optimizer.step()
        else:
            step(goal(total, main, auxiliary))
        right = (scores_of(outputs).argmax(1) == labels).sum().item()
        rows.append(
            {
                "loss": main.item(),
                "aux_loss": auxiliary.item(),
                "total_loss": total.item(),
                "accuracy": right / len(labels),
                "images": len(labels),
            }
        )
    return rows


def _means(rows: list[dict]) -> dict:
    images = sum(row["images"] for row in rows)
    names = ("loss", "aux_loss", "total_loss", "accuracy")
    return {name: sum(row[name] * row["images"] for row in rows) / images for name in names}


def _trained(net, loader, criterion, optimizer, device, aux_weight=0.3) -> dict:
    """The right figures of a right epoch."""
    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def goes_backward_from_the_main_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The backward pass starts at the main loss, so the auxiliary heads are watched and never trained. Start at the
    total."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight, goal=lambda total, main, auxiliary: main)
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def adds_the_auxiliary_loss_once_more(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The auxiliary loss is added to the total once more, so it is weighed twice. The total of `joint_loss` has it
    already."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight,
                  goal=lambda total, main, auxiliary: total + aux_weight * auxiliary)  # fmt: skip
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def trains_on_the_plain_sum(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The step follows the plain sum of main and auxiliary loss, without the weight. The total is to be minimised."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight,
                  goal=lambda total, main, auxiliary: main + auxiliary)  # fmt: skip
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_weight_of_the_auxiliary_heads")
def never_passes_the_weight_on(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The argument `aux_weight` arrives and is not passed on, so the weight is 0.3 whatever is given."""
    return _trained(net, loader, criterion, optimizer, device)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def has_another_default_weight_in_training(net, loader, criterion, optimizer, device, aux_weight=0.4):
    """Without an argument the weight of the auxiliary heads is not 0.3. Look at the default in the first line."""
    return _trained(net, loader, criterion, optimizer, device, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_the_weighed_auxiliary_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`aux_loss` is weighed. It is the plain sum over the heads; only in the total it is weighed."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"aux_loss": aux_weight * figures["aux_loss"]}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_the_auxiliary_loss_of_a_head(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`aux_loss` was divided by two, the number of heads. It is the sum over the heads."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"aux_loss": figures["aux_loss"] / 2}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_the_total_as_the_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`loss` is the total. It is to be the main head's loss alone, which can be compared with the test loss."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"loss": figures["total_loss"]}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_a_total_without_the_weight(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`total_loss` is the plain sum of `loss` and `aux_loss`. In what is minimised the auxiliary loss is weighed."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"total_loss": figures["loss"] + figures["aux_loss"]}


@mistake(of="train_one_epoch", caught_by="test_weight_of_the_auxiliary_heads")
def reports_a_total_with_the_default_weight(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """It trains on the right total, and reports one with the weight 0.3, whatever `aux_weight` is."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"total_loss": figures["loss"] + 0.3 * figures["aux_loss"]}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def swaps_the_names_of_two_losses(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`loss` and `aux_loss` have changed places. `joint_loss` gives total, main, auxiliary, in this order."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"loss": figures["aux_loss"], "aux_loss": figures["loss"]}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def judges_by_an_auxiliary_head(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The accuracy is that of an auxiliary head, the last of the named tuple. The main head's scores come first."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight,
                  scores_of=lambda outputs: outputs if torch.is_tensor(outputs) else [o for o in outputs if o is not None][-1])
    return _means(rows)


@mistake(of="train_one_epoch", caught_by=("test_figures_of_an_epoch", "test_training_elsewhere"))
def lets_the_heads_vote(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The accuracy is that of all heads together, whose scores were added. The main head's alone is asked for."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight,
                  scores_of=lambda outputs: outputs if torch.is_tensor(outputs) else sum(o for o in outputs if o is not None))
    return _means(rows)


@mistake(of="train_one_epoch", caught_by=("test_figures_of_an_epoch", "test_training_elsewhere"))
def lets_the_heads_vote_by_probabilities(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The accuracy is that of all heads together, whose probabilities were added. The main head's alone is asked for."""

    def vote(outputs):
        heads = [outputs] if torch.is_tensor(outputs) else [scores for scores in outputs if scores is not None]
        return sum(scores.softmax(1) for scores in heads)

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, scores_of=vote))


@mistake(of="train_one_epoch", caught_by="test_training_of_other_heads")
def recovers_the_auxiliary_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The auxiliary loss is worked out from the total by dividing by `aux_weight`, which may be 0. `joint_loss` gives it."""
    means = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return means | {"aux_loss": (means["total_loss"] - means["loss"]) / aux_weight}


@mistake(of="train_one_epoch", caught_by="test_training_of_other_heads")
def takes_no_weight_for_no_heads(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """With `aux_weight=0` the auxiliary heads are not asked, and `aux_loss` is 0. They give scores all the same: the weight
    takes them out of the total, not out of the report."""
    means = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return means if aux_weight else means | {"aux_loss": 0.0}


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def leaves_dropout_in_evaluation_mode(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """Dropout stays in evaluation mode and drops nothing. `train` of the network tells every part."""
    for part in net.train().modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    return _means(_epoch(net, loader, criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_training_without_auxiliary_heads")
def takes_the_first_image_for_the_main_head(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`outputs[0]` is taken for the main head's scores. Of plain scores, a tensor, it is the first image's row."""

    def scores_of(outputs):
        return outputs[0].expand(len(outputs), -1) if torch.is_tensor(outputs) else outputs[0]

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, scores_of=scores_of))


@mistake(of="train_one_epoch", caught_by="test_training_without_auxiliary_heads")
def expects_logits_in_training(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`outputs.logits` is asked of whatever the network gives. Without auxiliary heads it gives plain scores, a tensor."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight, scores_of=lambda outputs: outputs.logits)
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_training_without_auxiliary_heads")
def leaves_the_auxiliary_loss_out(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """For a network without auxiliary heads the dict has no `aux_loss`. It is 0.0 there."""
    plain = []

    def scores_of(outputs):
        plain.append(isinstance(outputs, torch.Tensor))
        return _scores(outputs)

    figures = _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, scores_of=scores_of))
    if all(plain):
        del figures["aux_loss"]
    return figures


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def never_clears_the_gradients(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The gradients of earlier batches are never cleared: PyTorch adds each new one to them."""

    def step(loss):
        loss.backward()
        optimizer.step()

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, step=step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def clears_the_gradients_too_late(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The gradients are cleared after the backward pass and before the step, which then has nothing to go by."""

    def step(loss):
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, step=step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def never_steps(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The gradients are computed, and the optimizer never takes a step."""

    def step(loss):
        optimizer.zero_grad()
        loss.backward()

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, step=step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def steps_for_each_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """Two steps are taken for each batch, one along the main and one along the auxiliary loss. One step follows the
    total."""

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.step()

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, step=step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def clips_the_gradients(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The gradients are clipped, which the exercise does not ask for: the steps are others."""

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.05)
        optimizer.step()

    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight, step=step))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def forgets_training_mode(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The network stays in the mode in which it comes. After a test that is evaluation mode, in which GoogLeNet does not
    even ask its auxiliary heads."""
    return _means(_epoch(net, loader, criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def trains_in_evaluation_mode(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The network is put into evaluation mode, in which GoogLeNet does not ask its auxiliary heads and batch
    normalisation learns nothing."""
    return _means(_epoch(net.eval(), loader, criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def averages_the_batches(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """All batches count alike. The last one is usually smaller, and its images count for more than the others: weigh each
    batch with its images."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("loss", "aux_loss", "total_loss", "accuracy")}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def averages_the_auxiliary_loss_of_batches(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`aux_loss` weighs all batches alike, the others weigh their images. The last batch is usually smaller."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    return _means(rows) | {"aux_loss": sum(row["aux_loss"] for row in rows) / len(rows)}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_batch_means_by_the_images(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The batches' means were added up and divided by the number of images: too small by the batch size, as in the
    lecture. Weigh each batch with its images first."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    images = sum(row["images"] for row in rows)
    losses = {name: sum(row[name] for row in rows) / images for name in ("loss", "aux_loss", "total_loss")}
    return _means(rows) | losses


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def adds_up_the_losses(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The losses are sums over the images and grow with their number. Means are asked for."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    images = sum(row["images"] for row in rows)
    return {name: value * (images if "loss" in name else 1) for name, value in _means(rows).items()}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_by_50000(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The sums are divided by 50,000, the size of CIFAR-10's training set. Count the images that you see."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    images = sum(row["images"] for row in rows)
    return {name: value * images / 50_000 for name, value in _means(rows).items()}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def counts_right_answers(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`accuracy` is the number of right answers. Divide it by the number of images."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    return _means(rows) | {"accuracy": float(sum(row["accuracy"] * row["images"] for row in rows))}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def gives_percent(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The accuracy is a percentage. A fraction between 0 and 1 is asked for."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return figures | {"accuracy": 100 * figures["accuracy"]}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def rounds_the_figures(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures are rounded, so that small progress cannot be seen. Round where you print."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return {name: round(value, 2) for name, value in figures.items()}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_the_last_batch(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures are those of the last batch alone: each batch overwrites what was kept of the one before."""
    return _means(_epoch(net.train(), loader, criterion, optimizer, device, aux_weight)[-1:])


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_tensors(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures are tensors. Python floats are asked for, which print, compare and save as numbers."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return {name: torch.tensor(value) for name, value in figures.items()}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_a_tuple(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures come back without names, in a tuple. A dict is asked for."""
    return tuple(_trained(net, loader, criterion, optimizer, device, aux_weight).values())


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def has_names_of_its_own(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures have names of their own. The contract's are `loss`, `aux_loss`, `total_loss` and `accuracy`."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    return dict(zip(("main_loss", "auxiliary_loss", "total", "acc"), figures.values(), strict=True))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_lists_of_batches(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The dict has lists with a figure for each batch. Each figure is one mean over the images of the epoch."""
    rows = _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    return {name: [row[name] for row in rows] for name in ("loss", "aux_loss", "total_loss", "accuracy")}


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_after_the_first_batch(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """Only the first batch is trained on: the `return` stands inside the loop."""
    return _means(_epoch(net.train(), [next(iter(loader))], criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def skips_the_small_batch(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The last batch is skipped when it is smaller than the others. Its images belong to the epoch like all the rest."""
    full = (batch for batch in loader if len(batch[1]) == loader.batch_size)
    return _means(_epoch(net.train(), full, criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def stops_after_a_hundred_batches(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The loop ends after a hundred batches: a `break` was left from trying things out."""
    return _means(_epoch(net.train(), itertools.islice(loader, 100), criterion, optimizer, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_second_epoch_begins_anew")
def carries_sums_into_the_next_epoch(net, loader, criterion, optimizer, device, aux_weight=0.3, rows=[]):  # noqa: B006
    """The sums live longer than one call (here in a default value, which is made only once), so the second epoch contains
    the first. Start them at zero inside the function."""
    rows += _epoch(net.train(), loader, criterion, optimizer, device, aux_weight)
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_callers_things_stay_in_training")
def trains_with_its_own_optimizer(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """A new optimizer is made inside the function and forgets its momentum at every call. The caller's is to be used."""
    own = torch.optim.SGD(net.parameters(), lr=optimizer.param_groups[0]["lr"])
    return _means(_epoch(net.train(), loader, criterion, own, device, aux_weight))


@mistake(of="train_one_epoch", caught_by="test_callers_things_stay_in_training")
def lowers_the_learning_rate(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The learning rate is lowered at the end of the epoch. The optimizer's settings are the caller's."""
    figures = _trained(net, loader, criterion, optimizer, device, aux_weight)
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
    return figures


@mistake(of="train_one_epoch", caught_by="test_callers_things_stay_in_training")
def seeds_every_epoch(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The global random state is set to a fixed seed at every call, so each epoch drops and shuffles alike. Whoever runs
    the experiment sets the seed."""
    torch.manual_seed(0)
    return _trained(net, loader, criterion, optimizer, device, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def thaws_the_network_for_training(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """All parameters are thawed: what the caller had frozen is trained from then on."""
    net.requires_grad_(True)
    return _trained(net, loader, criterion, optimizer, device, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_training_of_other_heads")
def trains_all_heads_for_no_weight(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """A weight of 0 is taken for none at all, and becomes 0.3: `aux_weight or 0.3`. Zero is a weight too."""
    return _trained(net, loader, criterion, optimizer, device, aux_weight or 0.3)


def _brought(loader, bring: Callable):
    return [bring(images, labels) for images, labels in loader]



def _unmoved(net, batches, criterion, optimizer, aux_weight):
    rows = []
    for images, labels in batches:
        outputs = net(images)
        total, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        right = (_scores(outputs).argmax(1) == labels).float().mean().item()
        figures = {"loss": main.item(), "aux_loss": auxiliary.item(), "total_loss": total.item(), "accuracy": right}
        rows.append(figures | {"images": len(labels)})
    return _means(rows)


@mistake(of="train_one_epoch", caught_by="test_training_elsewhere")
def leaves_the_labels_behind(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The images are brought to the device and the labels are not. On a GPU the loss cannot be computed."""
    batches = _brought(loader, lambda images, labels: (images.to(device), labels))
    return _unmoved(net.train(), batches, criterion, optimizer, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_training_elsewhere")
def leaves_the_images_behind(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The batches stay on the CPU, where the loader makes them; the argument `device` is not used."""
    return _unmoved(net.train(), loader, criterion, optimizer, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_training_elsewhere")
def trains_on_the_cpu(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The network was moved to the CPU for training and stays there. Go by the argument `device`."""
    return _unmoved(net.cpu().train(), loader, criterion, optimizer, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def hard_codes_cuda(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """`.cuda()` is written down, so the function works on NVIDIA's GPUs only. Go by the argument `device`."""
    batches = _brought(loader, lambda images, labels: (images.cuda(), labels.cuda()))
    return _unmoved(net.train(), batches, criterion, optimizer, aux_weight)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def takes_no_weight_in_training(net, loader, criterion, optimizer, device):
    """The function takes one argument less than it may be given. Compare its first line with the one that was there."""
    return dict.fromkeys(("loss", "aux_loss", "total_loss"), 0.0) | _trained(
        net, loader, criterion, optimizer, device, 0.0
    )


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def measures_after_the_step(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The figures are measured after the training, in a second pass. The losses that were minimised on the way are asked
    for."""
    _trained(net, loader, criterion, optimizer, device, aux_weight)
    with torch.no_grad():
        return _means(_epoch(copy.deepcopy(net), loader, criterion, optimizer, device, aux_weight, step=lambda loss: None))


# ---------------------------------------------------------------------------------------------------------------------
# evaluate: what is GoogLeNet's own; the others are shared


def _tested_heads(net, loader, criterion, device, loss_of: Callable, scores_of: Callable) -> tuple[float, float]:
    loss_sum, right, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            outputs = net(images)
            loss_sum += loss_of(outputs, labels).item() * len(labels)
            right += (scores_of(outputs).argmax(1) == labels).sum().item()
            count += len(labels)
    return loss_sum / count, right / count


def _tested(net, loader, criterion, device) -> tuple[float, float]:
    """The right figures."""
    net.eval()
    return _tested_heads(net, loader, criterion, device, lambda out, y: _loss(out, y, criterion), lambda out: out)


@mistake(of="evaluate", caught_by="test_main_head_is_tested_alone")
def tests_all_heads(net, loader, criterion, device):
    """The test loss is the joint loss of all heads, and for that the network is left in training mode. The auxiliary heads
    are for training alone."""
    if getattr(net, "aux_logits", False):
        net.train()
    else:
        net.eval()
    return _tested_heads(net, loader, criterion, device, lambda out, y: joint_loss(out, y, criterion)[0], _scores)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def expects_three_heads_in_testing(net, loader, criterion, device):
    """`.logits` is asked of the outputs. In evaluation mode GoogLeNet gives the main head's scores, a tensor."""
    net.eval()
    return _tested_heads(
        net, loader, criterion, device, lambda out, y: _loss(out.logits, y, criterion), lambda out: out.logits
    )


@mistake(of="evaluate", caught_by="test_main_head_is_tested_alone")
def sets_the_mode_of_norm_and_dropout_alone(net, loader, criterion, device):
    """Batch normalisation and dropout are put into evaluation mode one by one, and the network stays in training: it answers
    with all heads still. `eval` of the network tells every part."""
    for part in net.train().modules():
        if isinstance(part, (nn.BatchNorm2d, nn.Dropout)):
            part.eval()
    return _tested_heads(net, loader, criterion, device, lambda out, y: _loss(_scores(out), y, criterion), _scores)


@mistake(of="evaluate", caught_by="test_main_head_is_tested_alone")
def takes_the_auxiliary_heads_off_for_the_test(net, loader, criterion, device):
    """The auxiliary heads are taken off the network and are gone for good. In evaluation mode they are not asked: set the
    mode, and leave them where they are."""
    net.aux1 = net.aux2 = None
    return _tested_heads(net.eval(), loader, criterion, device, lambda out, y: _loss(out, y, criterion), lambda out: out)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def picks_the_main_scores_in_training_mode(net, loader, criterion, device):
    """The main head's scores are picked out of the three, but the network is never told that this is a test: batch norm takes
    the test images' own statistics, and dropout drops. Set evaluation mode; the outputs are then the scores themselves."""
    return _tested_heads(net, loader, criterion, device, lambda out, y: _loss(_scores(out), y, criterion), _scores)


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def takes_the_first_image_for_the_scores(net, loader, criterion, device):
    """`net(images)[0]` is taken for the main head's scores, as in training. In evaluation mode the outputs are a tensor, and
    this is its first image."""
    net.eval()
    return _tested_heads(
        net, loader, criterion, device, lambda out, y: _loss(out[:1], y[:1], criterion), lambda out: out[:1]
    )


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_a_dict_of_figures(net, loader, criterion, device):
    """The figures come back in a dict, as those of `train_one_epoch`. Here a tuple is asked for: loss, accuracy."""
    return dict(zip(("loss", "accuracy"), _tested(net, loader, criterion, device), strict=True))


@mistake(of="evaluate", caught_by="test_figures_of_a_test_pass")
def returns_numpy_numbers(net, loader, criterion, device):
    """The figures are arrays of numpy. Python floats are asked for."""
    return tuple(np.array(figure) for figure in _tested(net, loader, criterion, device))
