"""Known mistakes of week08_resnet: each a small wrong solution whose docstring is the hint the student reads.

Each takes the place of the reference's function of the same contract.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from autograder.authoring import mistake

from .classifier_mistakes import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# ResidualBlock


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class _Block(nn.Module):
    """A right block, for mistakes that change a part of it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = _projection(in_channels, out_channels, stride)

    def difference(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x):
        return F.relu(self.difference(x) + self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ConvolvesWithBiases(_Block):
    """The convolutions have a bias. Batch normalisation subtracts the mean right after them, so a bias does nothing:
    torchvision's have `bias=False`, and there is no place for them among its weights."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsWithABias(_Block):
    """The 1 × 1 convolution of the shortcut has a bias, and batch normalisation follows it: `bias=False` there too."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if self.downsample is not None:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AppliesReluBeforeTheAddition(_Block):
    """The last ReLU comes before the addition, so the layers can only ever add something positive, and what the block
    gives may be negative. Add first; ReLU comes last."""

    def forward(self, x):
        return F.relu(self.difference(x)) + self.shortcut(x)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AppliesReluBeforeAndAfterTheAddition(_Block):
    """There is a ReLU too many: right before the addition. What is added may be negative, else a block can never take
    anything away from its input."""

    def forward(self, x):
        return F.relu(F.relu(self.difference(x)) + self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ForgetsTheLastReLU(_Block):
    """There is no ReLU after the addition: the block gives negative values."""

    def forward(self, x):
        return self.difference(x) + self.shortcut(x)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ForgetsTheReLUBetween(_Block):
    """There is no ReLU between the two convolutions: two linear layers in a row can do no more than one."""

    def difference(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ForgetsTheAddition(_Block):
    """The input is not added: this is the plain block."""

    def forward(self, x):
        return F.relu(self.difference(x))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AddsOnlyWhereNothingChanges(_Block):
    """Where channels or stride change nothing is added: `downsample` is there, and what it gives is not used."""

    def forward(self, x):
        return F.relu(self.difference(x) + (x if self.downsample is None else 0))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsOnlyWhereChannelsChange(_Block):
    """`downsample` is made only where the number of channels changes. With a stride the result is smaller than the input
    too, and cannot be added to it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if in_channels == out_channels:
            self.downsample = None


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class TakesEverySecondPixel(_Block):
    """Where only the stride changes there is no `downsample`: every second pixel of the input is added as it is. Torchvision's
    block projects there too."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.stride = stride
        if in_channels == out_channels:
            self.downsample = None

    def shortcut(self, x):
        return x[:, :, :: self.stride, :: self.stride] if self.downsample is None else self.downsample(x)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsOnlyWhereTheStrideIsNotOne(_Block):
    """`downsample` is made only where the stride is not 1. Where the number of channels changes the input cannot be added
    as it is either."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if stride == 1:
            self.downsample = None


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsOnlyWhereBothChange(_Block):
    """`downsample` is made only where channels *and* stride change. Either of them is enough: look for an `and` that is
    an `or`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if stride == 1 or in_channels == out_channels:
            self.downsample = None


@mistake(of="ResidualBlock", caught_by="test_blocks_of_any_width_have_torchvisions_names")
class ProjectsOnlyToMoreChannels(_Block):
    """`downsample` is made only where there are more channels than before. With fewer the input cannot be added as it is
    either: the question is whether the numbers differ."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if stride == 1 and in_channels > out_channels:
            self.downsample = None


@mistake(of="ResidualBlock", caught_by="test_blocks_of_any_width_have_torchvisions_names")
class ProjectsOnlyForAStrideOfTwo(_Block):
    """`downsample` is made for a stride of 2 alone. Any stride that is not 1 makes the result smaller."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if stride > 2 and in_channels == out_channels:
            self.downsample = None


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsAlways(_Block):
    """Every block has a `downsample`, also where the input could be added as it is. Then nothing in the block passes it on
    unchanged, and that is the point of it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.downsample = _projection(in_channels, out_channels, stride)


@mistake(of="ResidualBlock", caught_by="test_no_downsample_where_none_is_needed")
class HasAnIdentityForADownsample(_Block):
    """Where the input is added as it is, `downsample` is a module that does nothing. There it should not be at all, or be
    None, as in torchvision's block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.downsample = self.downsample or nn.Identity()


@mistake(of="ResidualBlock", caught_by="test_no_downsample_where_none_is_needed")
class HasAnEmptySequenceForADownsample(_Block):
    """Where the input is added as it is, `downsample` is an `nn.Sequential` without layers. There it should not be at all, or
    be None, as in torchvision's block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.downsample = self.downsample or nn.Sequential()


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsWithoutNormalising(_Block):
    """The shortcut is a 1 × 1 convolution alone: batch normalisation belongs behind it, so that both summands have the same
    scale."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if self.downsample is not None:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ProjectsByThreeTimesThree(_Block):
    """The convolution of the shortcut is 3 × 3. It only has to bring the input into shape: 1 × 1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if self.downsample is not None:
            projection = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ProjectsWithAReLU(_Block):
    """The shortcut ends in a ReLU. Only the sum goes through one."""

    def shortcut(self, x):
        return x if self.downsample is None else F.relu(self.downsample(x))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ProjectsWithoutTheStride(_Block):
    """The convolution of the shortcut has no stride, so its result is larger than what it is added to."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if self.downsample is not None:
            self.downsample = _projection(in_channels, out_channels, 1)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AveragesOnTheShortcut(_Block):
    """The shortcut averages pixels where it should take every second one (`stride` of its convolution). That is a later
    variant of ResNet; the weights fit, and the results differ."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.stride = stride
        if self.downsample is not None:
            self.downsample = _projection(in_channels, out_channels, 1)

    def shortcut(self, x):
        if self.stride != 1:
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True)
        return super().shortcut(x)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class StridesInTheSecondConvolution(_Block):
    """The stride is the second convolution's. In torchvision's block the first one takes it, and the second works on the
    smaller map."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1.stride, self.conv2.stride = (1, 1), (stride, stride)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class StridesInBothConvolutions(_Block):
    """Both convolutions take the stride, so the result is too small by it. Only the first one does."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv2.stride = (stride, stride)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class IgnoresTheStride(_Block):
    """The stride is not used: height and width stay as they are."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1.stride = (1, 1)
        if self.downsample is not None:
            self.downsample[0].stride = (1, 1)


@mistake(of="ResidualBlock", caught_by="test_blocks_of_any_stride_are_torchvisions")
class StridesByTwoAlways(_Block):
    """A stride of 2 is written down where `stride` belongs."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if stride != 1:
            self.conv1.stride = self.downsample[0].stride = (2, 2)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class HasAStrideOfTwoByDefault(_Block):
    """Without a third argument the stride is 2. It is 1: look at the default in the first line of `__init__`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2):
        super().__init__(in_channels, out_channels, stride)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ForgetsToPadResiduals(_Block):
    """The 3 × 3 convolutions do not pad, so each makes the map smaller by two, and it no longer fits the input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1.padding = self.conv2.padding = (0, 0)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class CutsTheInputToFit(_Block):
    """The 3 × 3 convolutions do not pad, and the input is cut to the size of what they make. With padding the map keeps its
    size, and all of the input is added."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv2.padding = (0, 0)

    def forward(self, x):
        difference, shortcut = self.difference(x), self.shortcut(x)
        return F.relu(difference + shortcut[:, :, : difference.shape[2], : difference.shape[3]])


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class ChangesChannelsInTheSecondConvolution(_Block):
    """The first convolution keeps the number of channels and the second changes it. In torchvision's block it is the first
    one that does."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class NormalisesFirst(_Block):
    """Batch normalisation and ReLU come before each convolution: that is DenseNet's order (and a later ResNet's). Here
    each convolution comes first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(in_channels)

    def difference(self, x):
        return self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AppliesReluBeforeNormalising(_Block):
    """ReLU comes between convolution and batch normalisation. It belongs behind the normalisation."""

    def difference(self, x):
        return self.bn2(self.conv2(self.bn1(F.relu(self.conv1(x)))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ForgetsTheSecondNorm(_Block):
    """`bn2` is made and never used: what the second convolution gives is added as it is."""

    def difference(self, x):
        return self.conv2(F.relu(self.bn1(self.conv1(x))))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class SharesOneNormBetweenBoth(_Block):
    """One batch normalisation serves both convolutions. Each has statistics of its own: `bn1` and `bn2`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        del self.bn2

    def difference(self, x):
        return self.bn1(self.conv2(F.relu(self.bn1(self.conv1(x)))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class UsesTheFirstNormTwice(_Block):
    """`bn1` is used behind both convolutions, and `bn2` never."""

    def difference(self, x):
        return self.bn1(self.conv2(F.relu(self.bn1(self.conv1(x)))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AddsAfterTheFirstNorm(_Block):
    """The input is added between the two convolutions. It goes round both of them."""

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)) + self.shortcut(x)))))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AddsBeforeTheSecondNorm(_Block):
    """The input is added before the last batch normalisation, which scales it away. It is added behind it, as it is."""

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))) + self.shortcut(x)))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ConcatenatesTheInput(_Block):
    """The input is put beside the result, as in DenseNet: there are more channels than asked for. In a ResNet it is
    added."""

    def forward(self, x):
        return F.relu(torch.cat([self.difference(x), self.shortcut(x)], dim=1))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class SubtractsTheInput(_Block):
    """The input is subtracted. F(x) is what is to be *added* to x to get H(x)."""

    def forward(self, x):
        return F.relu(self.difference(x) - self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class MultipliesByTheInput(_Block):
    """Input and result are multiplied. They are to be added."""

    def forward(self, x):
        return F.relu(self.difference(x) * self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AveragesBoth(_Block):
    """The sum is halved. Then even a block that does nothing halves its input."""

    def forward(self, x):
        return F.relu((self.difference(x) + self.shortcut(x)) / 2)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class AddsItsOwnResult(_Block):
    """By the time of the addition the name of the input stands for something else, so the result is added to itself. Keep
    the input under a name of its own."""

    def forward(self, x):
        identity = self.shortcut(x)
        x = identity = self.difference(x) if self.downsample is None else self.difference(x) + 0 * identity
        return F.relu(x + identity)


@mistake(of="ResidualBlock", caught_by="test_block_leaves_its_input")
class AppliesReluToTheInputInPlace(_Block):
    """The input itself goes through a ReLU that works in place, so whoever else reads it finds other numbers."""

    def forward(self, x):
        result = super().forward(x)
        x.relu_()
        return result


@mistake(of="ResidualBlock", caught_by="test_block_leaves_its_input")
class AddsInPlaceWithoutGradients(_Block):
    """Where no gradients are kept, as in testing, the block adds into the caller's own tensor. Make a new one, always."""

    def forward(self, x):
        difference, identity = self.difference(x), self.shortcut(x)
        return F.relu(difference + identity if torch.is_grad_enabled() else identity.add_(difference))


@mistake(of="ResidualBlock", caught_by="test_block_leaves_its_input")
class AddsInPlaceToTheInput(_Block):
    """`x += …` adds into the caller's own tensor. Add into the new one, or make a new one."""

    def forward(self, x):
        difference = self.difference(x)
        identity = self.shortcut(x)
        identity += difference
        return F.relu(identity)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class CallsTheShortcutShortcut(nn.Module):
    """The shortcut is called `shortcut`, and torchvision's weights for `downsample` find no place. Names are part of what is
    asked for."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = _projection(in_channels, out_channels, stride)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class CallsTheNormsByDenseNetsNames(nn.Module):
    """The batch norms are called `norm1` and `norm2`, as in DenseNet. In torchvision's `BasicBlock` they are `bn1` and
    `bn2`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = _projection(in_channels, out_channels, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + shortcut)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class NumbersThePartsInASequence(nn.Module):
    """The parts lie in an `nn.Sequential`, so their names are numbers (`layers.0.weight`). Make each of them an attribute of
    the block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = _projection(in_channels, out_channels, stride)

    def forward(self, x):
        return F.relu(self.layers(x) + (x if self.downsample is None else self.downsample(x)))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class NamesThePartsOfTheShortcut(_Block):
    """The two parts of the shortcut have names of their own. In torchvision's block they are numbered: `downsample.0` and
    `downsample.1`, as in an `nn.Sequential` without names."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        if self.downsample is not None:
            conv, norm = self.downsample
            self.downsample = nn.Sequential()
            self.downsample.add_module("conv", conv)
            self.downsample.add_module("bn", norm)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class MakesTheShortcutInForward(_Block):
    """The shortcut is made in `forward`, with new random weights at every pass: nothing of it is ever trained or saved. All
    parts are made in `__init__`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.shape = (in_channels, out_channels, stride)
        self.projects, self.downsample = self.downsample is not None, None

    def shortcut(self, x):
        return _projection(*self.shape).to(x.device)(x) if self.projects else x


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class BuildsABottleneck(nn.Module):
    """These are three convolutions, 1 × 1, 3 × 3, 1 × 1: the bottleneck of ResNet-50. Asked for is the block of ResNet-18
    and 34, two of 3 × 3."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        middle = max(1, out_channels // 4)
        self.conv1, self.bn1 = nn.Conv2d(in_channels, middle, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = nn.Conv2d(middle, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = _projection(in_channels, out_channels, stride)

    def forward(self, x):
        new = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))))
        return F.relu(new + (x if self.downsample is None else self.downsample(x)))


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class NormalisesWithAnotherEpsilon(_Block):
    """The batch normalisations have an `eps` of their own (GoogLeNet's is 0.001). Here they are as PyTorch makes them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1.eps = self.bn2.eps = 1e-3


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class MovesItsStatisticsSlowly(_Block):
    """The batch normalisations have a `momentum` of their own, so their running statistics move otherwise than PyTorch's."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1.momentum = self.bn2.momentum = 0.01


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class MovesItsStatisticsByNineTenths(_Block):
    """The batch norms have a `momentum` of 0.9, which elsewhere is the old statistics' weight. In PyTorch it is the newest
    batch's: 0.1 by default."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1.momentum = self.bn2.momentum = 0.9


@mistake(of="ResidualBlock", caught_by="test_batch_norm_is_pytorchs")
class BeginsWithASilentNorm(_Block):
    """The last batch normalisation begins with a weight of zero, so that the block does nothing at first. That is a known
    trick, and not asked for: here it begins as PyTorch makes it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        nn.init.zeros_(self.bn2.weight)


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class DetachesTheShortcut(_Block):
    """The shortcut is detached, so no gradient comes back on it: the road of the input is closed for the way back, and that
    is what it was built for."""

    def shortcut(self, x):
        return super().shortcut(x).detach()


@mistake(of="ResidualBlock", caught_by="test_block_in_a_training")
class DetachesTheInputWhereItIsAdded(_Block):
    """Where the input is added as it is, it is detached (or copied through `.data`), and the gradient comes back through
    the convolutions alone."""

    def shortcut(self, x):
        return x.data if self.downsample is None else self.downsample(x)


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class ComputesTheDifferenceWithoutGradients(_Block):
    """The convolutions run under `torch.no_grad()`: neither of them ever learns."""

    def difference(self, x):
        with torch.no_grad():
            return super().difference(x)


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class DropsSomeOfTheDifference(_Block):
    """There is a dropout in the block. ResNet has none."""

    def difference(self, x):
        return F.dropout(super().difference(x), 0.3, self.training)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class TrainsWhileTesting(_Block):
    """`forward` puts the block into training mode, so batch norm takes the batch's own statistics while testing too. The
    mode is the caller's."""

    def forward(self, x):
        self.train()
        return super().forward(x)


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class NormalisesInEvaluationModeAlways(_Block):
    """The batch norms are put into evaluation mode and stay there, so their running statistics never move."""

    def forward(self, x):
        self.bn1.eval()
        self.bn2.eval()
        return super().forward(x)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class KeepsNoStatistics(_Block):
    """The batch norms keep no running statistics (`track_running_stats=False`), and torchvision's find no place."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels, track_running_stats=False)
        self.bn2 = nn.BatchNorm2d(out_channels, track_running_stats=False)


@mistake(of="ResidualBlock", caught_by="test_block_learns")
class RunsTheFirstHalfTwice(_Block):
    """The first half of the block runs twice in each pass, the first time for nothing, and the running statistics of `bn1`
    move twice. Look for a call whose result is not used."""

    def forward(self, x):
        self.bn1(self.conv1(x))
        return super().forward(x)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class IsAFunctionOfModules:
    """The class does not derive from `nn.Module`, so it has no parameters, no modes and no device."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        self.block = _Block(in_channels, out_channels, stride)

    def __call__(self, x):
        return self.block(x)


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class DoesNotCallSuper(nn.Module):
    """`__init__` does not begin with `super().__init__()`, and an `nn.Module` cannot hold modules before that."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


@mistake(of="ResidualBlock", caught_by="test_block_is_torchvisions")
class ReturnsNothing(_Block):
    """`forward` computes the result and does not return it."""

    def forward(self, x):
        super().forward(x)


_parts = {}


@mistake(of="ResidualBlock", caught_by="test_blocks_are_alike_every_time")
class SharesAConvolutionWithAllBlocks(_Block):
    """A convolution belongs to the class (or to a global), so all blocks have one between them. Make the parts in
    `__init__`, each block its own."""

    def difference(self, x):
        shared = _parts.setdefault(tuple(self.conv2.weight.shape), self.conv2)
        return self.bn2(shared(F.relu(self.bn1(self.conv1(x)))))


@mistake(of="ResidualBlock", caught_by="test_blocks_of_any_stride_are_torchvisions")
class SqueezesAxesOfOne(_Block):
    """`squeeze()` takes away every axis of length 1, also when that is the batch of one image or the height of one pixel."""

    def forward(self, x):
        return super().forward(x).squeeze()


@mistake(of="ResidualBlock", caught_by="test_blocks_are_alike_every_time")
class SetsASeedInInit(_Block):
    """A seed is set in `__init__`, so all blocks of a network start from the same numbers. Random weights are random."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        torch.manual_seed(39)
        super().__init__(in_channels, out_channels, stride)


@mistake(of="ResidualBlock", caught_by="test_block_on_an_accelerator")
class AddsOnTheCpu(_Block):
    """A tensor that is made in `forward` lies on the CPU, wherever the block and its input are. Make it with
    `device=x.device`, or from `x` itself."""

    def forward(self, x):
        difference = self.difference(x)
        return F.relu(torch.zeros(difference.shape) + difference + self.shortcut(x))


@mistake(of="ResidualBlock", caught_by="test_block_has_torchvisions_names")
class PadsChannelsWithZeros(_Block):
    """The shortcut has no weights: it takes every second pixel and fills the missing channels with zeros (option A of the
    paper). Asked for is a 1 × 1 convolution with batch normalisation (option B), as in torchvision."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(in_channels, out_channels, stride)
        self.missing, self.stride, self.downsample = out_channels - in_channels, stride, None

    def shortcut(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))


# ---------------------------------------------------------------------------------------------------------------------
# joined_channels


def _joined(in_channels: int, layer_channels: list[int], how: str) -> list[int]:
    """A right answer, for mistakes that change a part of it."""
    if how not in ("add", "concatenate"):
        raise ValueError("another way")
    if how == "add" and any(width != in_channels for width in layer_channels):
        raise ValueError("widths differ")
    sums = [in_channels + sum(layer_channels[: number + 1]) for number in range(len(layer_channels))]
    return [in_channels] * len(layer_channels) if how == "add" else sums


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def counts_what_came_in(in_channels, layer_channels, how):
    """The list begins with the channels that came in. Asked for are those *after* each layer, one entry a layer."""
    return [in_channels, *_joined(in_channels, layer_channels, how)]


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def forgets_what_came_in(in_channels, layer_channels, how):
    """What came in is not counted: concatenating puts the new channels *beside* those that are there."""
    return _joined(in_channels if how == "add" else 0, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def joins_two_neighbours(in_channels, layer_channels, how):
    """Each layer's channels are joined to those of the layer before it alone. Concatenating piles up: what a layer reads is
    all that was made before it."""
    joined, before = _joined(in_channels, layer_channels, how), [in_channels, *layer_channels]
    return joined if how == "add" else [read + made for read, made in zip(before, layer_channels, strict=False)]


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def gives_each_layers_own_channels(in_channels, layer_channels, how):
    """For concatenation this gives what came in and each layer's own channels, not what has piled up before it."""
    joined = _joined(in_channels, layer_channels, how)
    return joined if how == "add" else [in_channels + width for width in layer_channels]


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def stops_before_the_last_layer(in_channels, layer_channels, how):
    """The list is one short: what each layer *reads* was counted, not what is there after it."""
    return [in_channels, *_joined(in_channels, layer_channels, how)][:-1]


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def gives_the_last_number_alone(in_channels, layer_channels, how):
    """Only the channels at the end are returned. A list with the channels after *each* layer is asked for."""
    return [in_channels, *_joined(in_channels, layer_channels, how)][-1]


@mistake(of="joined_channels", caught_by="test_channels_added")
def sums_up_what_is_added(in_channels, layer_channels, how):
    """Added channels were counted as more channels. Adding two maps of 64 channels gives 64 channels, with other values."""
    _joined(in_channels, layer_channels, how)
    return _joined(in_channels, layer_channels, "concatenate")


@mistake(of="joined_channels", caught_by="test_channels_added")
def adds_only_once(in_channels, layer_channels, how):
    """For adding, one entry is returned, not one for each layer."""
    joined = _joined(in_channels, layer_channels, how)
    return joined if how == "concatenate" else [in_channels]


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def adds_any_width(in_channels, layer_channels, how):
    """Layers of any width are added. Two maps of different numbers of channels cannot be: that is a ValueError."""
    return [max(in_channels, w) for w in layer_channels] if how == "add" else _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def gives_each_added_layers_own_channels(in_channels, layer_channels, how):
    """Layers of another width are let through, as if a 1 × 1 convolution fitted the input to them. Nothing does here: two maps
    of different numbers of channels cannot be added, and that is a ValueError."""
    return list(layer_channels) if how == "add" else _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def looks_at_the_first_width_only(in_channels, layer_channels, how):
    """Only the first layer's width is looked at. Every layer is added to something."""
    if how == "add":
        if layer_channels and layer_channels[0] != in_channels:
            raise ValueError("widths differ")
        return list(layer_channels)
    return _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def compares_layers_with_each_other_only(in_channels, layer_channels, how):
    """The layers are compared with each other and not with what came in, to which the first one is added."""
    if how == "add":
        if len(set(layer_channels)) > 1:
            raise ValueError("widths differ")
        return list(layer_channels)
    return _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_what_cannot_be_joined")
def compares_the_last_width_only(in_channels, layer_channels, how):
    """Only the last layer's width is compared with what came in. A layer of another width in between cannot be added
    either."""
    if how == "add":
        if layer_channels and layer_channels[-1] != in_channels:
            raise ValueError("widths differ")
        return [in_channels] * len(layer_channels)
    return _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_what_cannot_be_joined")
def allows_multiples(in_channels, layer_channels, how):
    """A width that is a multiple of what it is added to passes. It has to be equal."""
    if how == "add":
        if any(width % in_channels for width in layer_channels):
            raise ValueError("widths differ")
        return [in_channels] * len(layer_channels)
    return _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def takes_any_other_word_for_concatenation(in_channels, layer_channels, how):
    """Whatever is not "add" is concatenated, also a misspelt word. Any other `how` is a ValueError."""
    return _joined(in_channels, layer_channels, "add" if how == "add" else "concatenate")


@mistake(of="joined_channels", caught_by="test_what_cannot_be_joined")
def looks_at_the_beginning_of_the_word(in_channels, layer_channels, how):
    """Only the beginning of `how` is compared, so that "concat" passes. There are two words, and another one is a
    ValueError."""
    return _joined(in_channels, layer_channels, "concatenate" if how.startswith("concat") else how)


@mistake(of="joined_channels", caught_by="test_what_cannot_be_joined")
def asks_how_in_the_loop(in_channels, layer_channels, how):
    """`how` is looked at layer by layer, so a stack without layers takes any word. Look at it first."""
    return _joined(in_channels, layer_channels, how) if layer_channels else []


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def returns_none_for_what_cannot_be(in_channels, layer_channels, how):
    """Where widths differ None is returned (or something printed). It has to be *raised*: `raise ValueError(…)`."""
    try:
        return _joined(in_channels, layer_channels, how)
    except ValueError:
        return None


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def raises_an_assertion(in_channels, layer_channels, how):
    """An `assert` raises AssertionError. A ValueError is asked for, by which a caller can tell what was wrong."""
    assert how in ("add", "concatenate")
    assert how != "add" or all(width == in_channels for width in layer_channels)
    return _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_other_widths_cannot_be_added")
def returns_the_error(in_channels, layer_channels, how):
    """The ValueError is made and returned. An exception has to be raised."""
    try:
        return _joined(in_channels, layer_channels, how)
    except ValueError as error:
        return error


@mistake(of="joined_channels", caught_by="test_layers_stay_as_they_were")
def piles_up_in_the_callers_list(in_channels, layer_channels, how):
    """The caller's list is written over with the sums. Make a new one."""
    result = _joined(in_channels, layer_channels, how)
    layer_channels[:] = result
    return layer_channels


@mistake(of="joined_channels", caught_by="test_layers_stay_as_they_were")
def empties_the_callers_list(in_channels, layer_channels, how):
    """The caller's list is taken apart with `pop`, and empty afterwards."""
    result = _joined(in_channels, layer_channels, how)
    while layer_channels:
        layer_channels.pop(0)
    return result


@mistake(of="joined_channels", caught_by="test_layers_stay_as_they_were")
def inserts_into_the_callers_list(in_channels, layer_channels, how):
    """What came in is put in front of the caller's own list. Work on a copy."""
    result = _joined(in_channels, layer_channels, how)
    layer_channels.insert(0, in_channels)
    return result


@mistake(of="joined_channels", caught_by="test_channels_added")
def mixes_up_both_ways(in_channels, layer_channels, how):
    """The two ways have changed places."""
    return _joined(in_channels, layer_channels, {"add": "concatenate", "concatenate": "add"}.get(how, how))


@mistake(of="joined_channels", caught_by="test_channels_concatenated")
def yields_the_channels(in_channels, layer_channels, how):
    """This is a generator: it gives the numbers one by one, and nothing before it is asked for. A list is wanted."""
    yield from _joined(in_channels, layer_channels, how)


@mistake(of="joined_channels", caught_by="test_channels_added")
def gives_an_array_of_channels(in_channels, layer_channels, how):
    """The numbers are in a numpy array. A list of Python's own is asked for: `.tolist()` makes one."""
    return np.array(_joined(in_channels, layer_channels, how))


# ---------------------------------------------------------------------------------------------------------------------
# replace_classifier: what is ResNet's own; the others are shared


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def writes_512_down(net, num_classes: int = 10):
    """512 is the width of ResNet-18 and is written down. A ResNet-50 has 2,048, and the network itself knows it."""
    net.fc = nn.Linear(512, num_classes, device=net.fc.weight.device)
    return net


@mistake(of="replace_classifier", caught_by="test_same_network_comes_back")
def builds_a_new_resnet(net, num_classes: int = 10):
    """Another network is returned (a new ResNet-18, or one that another cell left behind), and the given one is not
    changed, with all that it has learned. Change the network in the argument."""
    return models.resnet18(num_classes=num_classes)


# ---------------------------------------------------------------------------------------------------------------------
# parameters_by_kind


def _kinds(modules, count) -> dict[str, int]:
    """`count(module, seen)` summed up by the modules' classes."""
    counts: dict[str, int] = {}
    seen: set = set()
    for module in modules:
        counts[type(module).__name__] = counts.get(type(module).__name__, 0) + count(module, seen)
    return counts


def _own(module, seen) -> int:
    fresh = [p for p in module.parameters(recurse=False) if p.requires_grad and p not in seen]
    seen.update(fresh)
    return sum(p.numel() for p in fresh)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_what_lies_inside_too(net):
    """Each module is charged for what lies inside it too, so the network's parameters count again for each block and each
    stage around them. Ask only for a module's own: `recurse=False`."""
    return _kinds(net.modules(), lambda module, seen: sum(p.numel() for p in module.parameters() if p.requires_grad))


@mistake(of="parameters_by_kind", caught_by="test_shared_parameter_counts_for_the_first")
def counts_shared_tensors_twice(net):
    """A tensor that two modules share counts for both, and the values no longer sum to the network's total. It counts for
    the first."""
    return _kinds(
        net.modules(), lambda module, seen: sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad)
    )


@mistake(of="parameters_by_kind", caught_by="test_shared_parameter_counts_for_the_first")
def counts_shared_tensors_for_the_last(net):
    """A shared tensor counts for the last module that owns it. It is the first one's, in the network's order."""
    counts = {type(module).__name__: 0 for module in net.modules()}
    owner = {p: type(m).__name__ for m in net.modules() for p in m.parameters(recurse=False) if p.requires_grad}
    for parameter, kind in owner.items():
        counts[kind] += parameter.numel()
    return counts


@mistake(of="parameters_by_kind", caught_by="test_shared_parameter_counts_for_the_first")
def names_the_last_owner(net):
    """A shared tensor counts for the last module that owns it, since a dict keeps what was written last. It is the first
    one's, in the network's order: look whether the tensor is there already."""
    owner = {p: type(m).__name__ for m in net.modules() for p in m.parameters(recurse=False) if p.requires_grad}
    counts = {}
    for parameter, kind in owner.items():
        counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def tells_tensors_apart_by_their_values(net):
    """Tensors of equal values are taken for one. Two tensors may hold the same numbers by chance, as two batch norms do
    before training: what counts is whether they are the *same* tensor."""

    def own(module, seen):
        total = 0
        for parameter in module.parameters(recurse=False):
            key = (tuple(parameter.shape), float(parameter.detach().double().sum()))
            if parameter.requires_grad and key not in seen:
                seen.add(key)
                total += parameter.numel()
        return total

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def tells_tensors_apart_by_their_shapes(net):
    """A shape that came before is taken for the same tensor. Two layers may have equal shapes and be two layers all the
    same."""

    def own(module, seen):
        fresh = [p for p in module.parameters(recurse=False) if p.requires_grad and tuple(p.shape) not in seen]
        seen.update(tuple(p.shape) for p in fresh)
        return sum(p.numel() for p in fresh)

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_what_is_trained")
def counts_what_is_frozen(net):
    """Frozen parameters were counted as well. Only what is trained is asked for: look at `requires_grad`."""

    def own(module, seen):
        fresh = [p for p in module.parameters(recurse=False) if p not in seen]
        seen.update(fresh)
        return sum(p.numel() for p in fresh)

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_what_is_trained")
def leaves_half_frozen_modules_out(net):
    """A module of which one parameter is frozen is left out altogether. The others of it are trained and count."""

    def own(module, seen):
        return _own(module, seen) if all(p.requires_grad for p in module.parameters(recurse=False)) else 0

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_what_is_trained")
def counts_half_frozen_modules_whole(net):
    """A module whose first parameter is trained is counted with all of its parameters, frozen ones too."""

    def own(module, seen):
        parameters = [p for p in module.parameters(recurse=False) if p not in seen]
        seen.update(parameters)
        return sum(p.numel() for p in parameters) if parameters and parameters[0].requires_grad else 0

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_buffers_as_parameters(net):
    """The running statistics of batch normalisation were counted. They are buffers: saved with the network, never
    trained."""
    return _kinds(
        net.modules(), lambda module, seen: _own(module, seen) + sum(b.numel() for b in module.buffers(recurse=False))
    )


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_tensors_by_kind(net):
    """This counts tensors. Each holds many scalars, and those are asked for."""
    return _kinds(net.modules(), lambda module, seen: sum(p.requires_grad for p in module.parameters(recurse=False)))


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_modules_by_kind(net):
    """This counts how many modules of each kind there are. Their parameters are asked for."""
    return _kinds(net.modules(), lambda module, seen: 1)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def looks_at_the_children_only(net):
    """Only the network's direct children are looked at. Layers lie deeper, in stages and blocks: `modules()` visits them
    all."""
    return _kinds(net.children(), _own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def keeps_the_last_of_each_kind(net):
    """Each module's number replaces that of the one before it of the same kind. They are to be added up."""
    seen = set()
    return {type(module).__name__: _own(module, seen) for module in net.modules()}


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_by_the_names_of_modules(net):
    """The keys are the names of the modules in this network (`layer1.0.conv1`). Asked for are the names of their classes:
    `type(module).__name__`."""
    seen = set()
    return {name: _own(module, seen) for name, module in net.named_modules()}


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_by_the_classes_themselves(net):
    """The keys are the classes, not their names: `type(module).__name__` is a text."""
    counts, seen = {}, set()
    for module in net.modules():
        counts[type(module)] = counts.get(type(module), 0) + _own(module, seen)
    return counts


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_by_the_classes_with_their_module(net):
    """The keys are written with the package (`torch.nn.modules.conv.Conv2d`). The name alone is asked for: `__name__`."""
    counts, seen = {}, set()
    for module in net.modules():
        kind = f"{type(module).__module__}.{type(module).__name__}"
        counts[kind] = counts.get(kind, 0) + _own(module, seen)
    return counts


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_by_weight_and_bias(net):
    """The keys are the last part of the parameters' names, `weight` and `bias`. Asked for is the class of the module that
    owns them."""
    counts = {}
    for name, parameter in net.named_parameters():
        kind = name.rpartition(".")[2]
        counts[kind] = counts.get(kind, 0) + parameter.numel() * parameter.requires_grad
    return counts


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_weights_only(net):
    """Only tensors called `weight` are counted. Batch normalisation and linear layers also have a `bias`."""

    def own(module, seen):
        weight = getattr(module, "weight", None)
        return _own(nn.ParameterList([weight]), seen) if isinstance(weight, nn.Parameter) else 0

    return _kinds(net.modules(), own)


@mistake(of="parameters_by_kind", caught_by="test_parameters_of_other_modules")
def counts_three_kinds_only(net):
    """A list of kinds is written down, and what is not on it is left out. Any module may own parameters, and the values are
    to sum to the network's total."""
    written_down = ("Conv2d", "BatchNorm2d", "Linear", "Embedding")
    return {kind: count for kind, count in _kinds(net.modules(), _own).items() if kind in written_down}


@mistake(of="parameters_by_kind", caught_by="test_parameters_of_other_modules")
def counts_leaves_only(net):
    """Only modules without children are looked at. One that has children may own parameters too."""
    return _kinds([module for module in net.modules() if not list(module.children())], _own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_any_network")
def leaves_the_network_itself_out(net):
    """The network itself is skipped. It may own parameters, and a single layer is a network too."""
    return _kinds(list(net.modules())[1:], _own)


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_any_network")
def asks_what_is_an_instance(net):
    """`isinstance` takes a subclass for its parent: a class derived from `nn.Linear` has a name of its own, and counts under
    that."""
    counts, seen = {}, set()
    for module in net.modules():
        kind = "Linear" if isinstance(module, nn.Linear) else type(module).__name__
        counts[kind] = counts.get(kind, 0) + _own(module, seen)
    return counts


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_in_percent(net):
    """These are shares in percent. The numbers themselves are asked for."""
    counts = _kinds(net.modules(), _own)
    return {kind: 100 * count / max(1, sum(counts.values())) for kind, count in counts.items()}


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_into_tensors_by_kind(net):
    """The counts are tensors. Plain Python ints are wanted, which print, compare and save as numbers."""
    return {kind: torch.tensor(count) for kind, count in _kinds(net.modules(), _own).items()}


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def counts_in_numpy_by_kind(net):
    """The counts are numpy's whole numbers, as `np.prod` gives them. Plain Python ints are wanted: `numel()`, or
    `math.prod`."""
    return {kind: np.int64(count) for kind, count in _kinds(net.modules(), _own).items()}


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def gives_the_total_alone(net):
    """This is the network's total. It is to be split up by kind, in a dict."""
    return sum(_kinds(net.modules(), _own).values())


@mistake(of="parameters_by_kind", caught_by="test_kinds_of_resnet18")
def adds_a_total(net):
    """There is an entry for the total beside the kinds, so the values sum to twice the network's parameters."""
    counts = _kinds(net.modules(), _own)
    return counts | {"total": sum(counts.values())}


@mistake(of="parameters_by_kind", caught_by="test_nothing_counts_twice")
def visits_modules_by_their_names(net):
    """A layer that is registered under two names is visited twice, since each name is followed. `net.modules()` gives each
    module once."""
    owners: dict = {}

    def visit(module):
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and owners.setdefault(parameter, [module])[0] is module:
                owners[parameter].append(type(module).__name__)
        for child in module._modules.values():
            visit(child)

    visit(net)
    counts: dict[str, int] = {}
    for parameter, (_, *kinds) in owners.items():
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts


# ---------------------------------------------------------------------------------------------------------------------
# compare_networks


def _row(name, net) -> tuple[str, int, int]:
    parameters = list(net.parameters())
    return name, sum(p.numel() for p in parameters), sum(p.numel() * p.element_size() for p in parameters)


def _rows(builders) -> list[tuple[str, int, int]]:
    return [_row(name, build()) for name, build in builders.items()]


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def leaves_the_table_unsorted(builders):
    """The rows are in the dict's order. The smallest number of parameters comes first."""
    return _rows(builders)


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def puts_the_largest_first(builders):
    """The largest network comes first. It is the smallest that should."""
    return sorted(_rows(builders), key=lambda row: -row[1])


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def sorts_by_name(builders):
    """The rows are sorted by their names: `sorted` compares the first entry of tuples first."""
    return sorted(_rows(builders))


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def sorts_by_bytes(builders):
    """The rows are sorted by their bytes. A network of half precision has more parameters than its bytes suggest; the
    number of parameters decides."""
    return sorted(_rows(builders), key=lambda row: row[2])


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def sorts_equals_by_name(builders):
    """Networks with equally many parameters are sorted by name. They should keep the dict's order."""
    return sorted(_rows(builders), key=lambda row: (row[1], row[0]))


@mistake(of="compare_networks", caught_by="test_any_networks_are_sorted")
def sorts_equals_by_bytes(builders):
    """Networks with equally many parameters are sorted by their bytes. They should keep the dict's order."""
    return sorted(_rows(builders), key=lambda row: (row[1], row[2]))


@mistake(of="compare_networks", caught_by="test_networks_are_sorted")
def turns_a_falling_order_round(builders):
    """Sorted with the largest first and turned round: so networks with equally many parameters come out in the opposite of
    the dict's order."""
    return sorted(_rows(builders), key=lambda row: row[1], reverse=True)[::-1]


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def merges_networks_of_equal_size(builders):
    """The rows were collected in a dict by their number of parameters, so of networks with equally many only one is
    left."""
    rows = {row[1]: row for row in _rows(builders)}
    return [rows[count] for count in sorted(rows)]


@mistake(of="compare_networks", caught_by="test_bytes_of_each_network")
def takes_four_bytes_for_each(builders):
    """Four bytes are taken for each parameter. That is right for float32; a tensor knows its own: `element_size()`."""
    return sorted([(name, count, 4 * count) for name, count, _ in _rows(builders)], key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_and_bytes_of_any_network")
def takes_the_first_tensors_dtype_for_all(builders):
    """The dtype of the first parameter is taken for all. Tensors of one network may have different ones."""
    rows = []
    for name, build in builders.items():
        net = build()
        count = sum(p.numel() for p in net.parameters())
        rows.append((name, count, count * next(net.parameters()).element_size()))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_bytes_of_each_network")
def counts_the_bytes_of_buffers(builders):
    """The bytes of buffers (running statistics) are counted too. Those of the parameters are asked for."""
    rows = []
    for name, build in builders.items():
        net = build()
        buffers = sum(b.numel() * b.element_size() for b in net.buffers())
        _, count, size = _row(name, net)
        rows.append((name, count, size + buffers))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def counts_the_whole_state(builders):
    """`state_dict()` also holds the running statistics of batch normalisation, which are no parameters, and names a shared
    tensor twice."""
    rows = []
    for name, build in builders.items():
        tensors = build().state_dict().values()
        rows.append((name, sum(t.numel() for t in tensors), sum(t.numel() * t.element_size() for t in tensors)))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def counts_shared_weights_for_each_layer(builders):
    """A weight that two layers share was counted for both. It is stored once."""
    rows = []
    for name, build in builders.items():
        parameters = [p for _, p in build().named_parameters(remove_duplicate=False)]
        rows.append((name, sum(p.numel() for p in parameters), sum(p.numel() * p.element_size() for p in parameters)))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_bytes_of_each_network")
def gives_megabytes(builders):
    """The third entry is in mebibytes. The exact number of bytes is asked for; it can be divided where it is printed."""
    return sorted([(name, count, size / 2**20) for name, count, size in _rows(builders)], key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_bytes_of_each_network")
def gives_bits(builders):
    """The third entry counts bits. A byte has eight of them."""
    return sorted([(name, count, 8 * size) for name, count, size in _rows(builders)], key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def gives_millions_of_parameters(builders):
    """The second entry is in millions and rounded. The exact number of scalars is asked for."""
    rows = sorted(_rows(builders), key=lambda row: row[1])
    return [(name, round(count / 1e6, 2), size) for name, count, size in rows]


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def counts_parameter_tensors(builders):
    """The second entry counts tensors. Each holds many scalars, and those are asked for."""
    rows = []
    for name, build in builders.items():
        parameters = list(build().parameters())
        rows.append((name, len(parameters), sum(p.numel() * p.element_size() for p in parameters)))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def swaps_parameters_and_bytes(builders):
    """The second and the third entry have changed places: name, parameters, bytes."""
    return [(name, size, count) for name, count, size in sorted(_rows(builders), key=lambda row: row[1])]


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def gives_a_dict_of_networks(builders):
    """This is a dict by name. A list of tuples is asked for, which has an order."""
    return {name: (count, size) for name, count, size in sorted(_rows(builders), key=lambda row: row[1])}


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def gives_lists_for_rows(builders):
    """Each row is a list. Tuples are asked for: `(name, parameters, bytes)`."""
    return [list(row) for row in sorted(_rows(builders), key=lambda row: row[1])]


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def leaves_the_bytes_out(builders):
    """The rows have two entries: the bytes are missing."""
    return [row[:2] for row in sorted(_rows(builders), key=lambda row: row[1])]


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def names_the_classes(builders):
    """The first entry is the name of the network's class. The name in the dict is asked for: two networks may be of one
    class."""
    rows = []
    for build in builders.values():
        net = build()
        rows.append(_row(type(net).__name__, net))
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_networks_are_built_once")
def builds_for_each_column(builders):
    """Each network is built twice, once for its parameters and once for its bytes. Building costs time and memory: keep it
    in a variable."""
    rows = [(name, _row(name, build())[1], _row(name, build())[2]) for name, build in builders.items()]
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def takes_builders_for_networks(builders):
    """The dict holds functions that *build* networks, and they are taken for networks: call them, `build()`."""
    return sorted([_row(name, net) for name, net in builders.items()], key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def hands_the_name_to_the_builder(builders):
    """The builders are called with an argument, and take none."""
    return sorted([_row(name, build(name)) for name, build in builders.items()], key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_networks_are_built_once")
def empties_the_dict_of_builders(builders):
    """The caller's dict is taken apart with `popitem`, and empty afterwards."""
    names = list(builders)
    rows = [_row(name, builders.pop(name)()) for name in names]
    return sorted(rows, key=lambda row: row[1])


@mistake(of="compare_networks", caught_by="test_parameters_of_each_network")
def sorts_and_returns_nothing(builders):
    """`list.sort` sorts in place and returns None. Return the list, or use `sorted`."""
    return _rows(builders).sort(key=lambda row: row[1])


# ---------------------------------------------------------------------------------------------------------------------
# gradient_norms


def _loss(net, images, labels, criterion):
    return criterion(F.log_softmax(net(images), dim=1), labels)


def _all_of(net) -> tuple:
    gradients = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    return gradients, [b.clone() for b in net.buffers()]


def _put_back(net, kept) -> None:
    for parameter, gradient in zip(net.parameters(), kept[0], strict=True):
        parameter.grad = gradient
    with torch.no_grad():
        for buffer, before in zip(net.buffers(), kept[1], strict=True):
            buffer.copy_(before)


def _backward(net, images, labels, criterion) -> None:
    net.zero_grad()
    _loss(net, images, labels, criterion).backward()


def _measured(net, images, labels, criterion, norm) -> dict:
    """A right measurement, for mistakes that change what is taken of a gradient."""
    kept = _all_of(net)
    _backward(net, images, labels, criterion)
    norms = {
        name: norm(torch.zeros_like(p) if p.grad is None else p.grad)
        for name, p in net.named_parameters()
        if p.requires_grad
    }
    _put_back(net, kept)
    return norms


def _l2(gradient) -> float:
    return float(gradient.norm())


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def squares_the_norm(net, images, labels, criterion):
    """The root is missing: these are sums of squares."""
    return _measured(net, images, labels, criterion, lambda gradient: float(gradient.square().sum()))


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def takes_the_root_of_the_mean(net, images, labels, criterion):
    """These are roots of *mean* squares. The L2 norm is the root of the sum, so a larger tensor has a larger one."""
    return _measured(net, images, labels, criterion, lambda gradient: float(gradient.square().mean().sqrt()))


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def sums_absolute_values(net, images, labels, criterion):
    """These are sums of absolute values (the L1 norm). The L2 norm is asked for."""
    return _measured(net, images, labels, criterion, lambda gradient: float(gradient.abs().sum()))


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def averages_absolute_values(net, images, labels, criterion):
    """These are means of absolute values. The L2 norm is the root of the sum of the squares."""
    return _measured(net, images, labels, criterion, lambda gradient: float(gradient.abs().mean()))


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def takes_the_largest(net, images, labels, criterion):
    """This is the largest entry of each gradient. The L2 norm is the root of the sum of the squares of all."""
    return _measured(net, images, labels, criterion, lambda gradient: float(gradient.abs().max()))


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def takes_a_matrix_norm(net, images, labels, criterion):
    """`torch.linalg.norm(…, 2)` of a matrix is its largest singular value. Flatten the gradient first, or take
    `torch.linalg.vector_norm`."""

    def norm(gradient):
        return float(torch.linalg.norm(gradient, 2)) if gradient.dim() == 2 else _l2(gradient)

    return _measured(net, images, labels, criterion, norm)


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_norms_of_rows(net, images, labels, criterion):
    """There is a list of norms for each parameter, one a row. One number for all of the gradient is asked for."""
    return _measured(net, images, labels, criterion, lambda gradient: gradient.flatten(1).norm(dim=1).tolist()
                     if gradient.dim() > 1 else gradient.abs().tolist())  # fmt: skip


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_the_gradients_themselves(net, images, labels, criterion):
    """These are the gradients. Their norms are asked for, a float for each."""
    return _measured(net, images, labels, criterion, lambda gradient: gradient.clone())


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_tensors_for_norms(net, images, labels, criterion):
    """The norms are tensors. A plain Python float is asked for: `.item()`."""
    return _measured(net, images, labels, criterion, lambda gradient: gradient.norm())


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_norms_of_weights(net, images, labels, criterion):
    """These are the norms of the weights. Those of their gradients are asked for: `.grad`."""
    return {name: float(p.detach().norm()) for name, p in net.named_parameters() if p.requires_grad}


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_a_list_of_norms(net, images, labels, criterion):
    """This is a list. A dict by the parameters' names is asked for."""
    return list(_measured(net, images, labels, criterion, _l2).values())


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def gives_one_norm_for_all(net, images, labels, criterion):
    """This is one norm of all gradients together. One for each parameter is asked for, by its name."""
    return float(sum(norm**2 for norm in _measured(net, images, labels, criterion, _l2).values()) ** 0.5)


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def measures_weights_only(net, images, labels, criterion):
    """Only tensors called `weight` are measured. Biases are parameters too."""
    norms = _measured(net, images, labels, criterion, _l2)
    return {name: norm for name, norm in norms.items() if name.endswith("weight")}


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def names_the_modules(net, images, labels, criterion):
    """The keys are the names of modules, so a bias takes the place of its weight. Use the names of
    `net.named_parameters()`."""
    return {n.rpartition(".")[0]: norm for n, norm in _measured(net, images, labels, criterion, _l2).items()}


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def adds_to_older_gradients(net, images, labels, criterion):
    """A backward pass *adds* to what is in `.grad`. What was there from before is measured along: clear it first (and put it
    back)."""
    kept = _all_of(net)
    _loss(net, images, labels, criterion).backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def forgets_the_log_softmax(net, images, labels, criterion):
    """The raw scores go into the criterion. It wants logarithms of probabilities: `F.log_softmax(scores, dim=1)`."""
    kept = _all_of(net)
    net.zero_grad()
    criterion(net(images), labels).backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def takes_the_softmax(net, images, labels, criterion):
    """`softmax` gives probabilities, and the criterion wants their logarithms: `log_softmax`."""
    kept = _all_of(net)
    net.zero_grad()
    criterion(F.softmax(net(images), dim=1), labels).backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def normalises_over_the_batch(net, images, labels, criterion):
    """`dim=0` makes probabilities out of each class's scores over the batch. They are those of one image: `dim=1`."""
    kept = _all_of(net)
    net.zero_grad()
    criterion(F.log_softmax(net(images), dim=0), labels).backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def sums_the_loss_over_the_batch(net, images, labels, criterion):
    """The loss is multiplied by the number of images, so all norms grow with the batch. The criterion's mean is to be
    used as it is."""
    return {n: len(labels) * norm for n, norm in _measured(net, images, labels, criterion, _l2).items()}


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def measures_the_sum_of_scores(net, images, labels, criterion):
    """The backward pass begins at the sum of the scores. It should begin at the loss."""
    kept = _all_of(net)
    net.zero_grad()
    net(images).sum().backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def looks_at_the_first_image_only(net, images, labels, criterion):
    """Only a part of the batch is used."""
    return _measured(net, images[:2], labels[:2], criterion, _l2)


@mistake(of="gradient_norms", caught_by="test_norms_in_evaluation_mode")
def measures_in_training_mode(net, images, labels, criterion):
    """The network is put into training mode for the measurement. It should be measured in the mode it is in."""
    modes = {module: module.training for module in net.modules()}
    norms = _measured(net.train(), images, labels, criterion, _l2)
    for module, training in modes.items():
        module.training = training
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def measures_in_evaluation_mode(net, images, labels, criterion):
    """The network is put into evaluation mode for the measurement (that the running statistics stay, perhaps). It should be
    measured in the mode it is in."""
    modes = {module: module.training for module in net.modules()}
    norms = _measured(net.eval(), images, labels, criterion, _l2)
    for module, training in modes.items():
        module.training = training
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def leaves_it_in_training_mode(net, images, labels, criterion):
    """The network is left in training mode. Whatever mode it was in is the caller's."""
    norms = _measured(net, images, labels, criterion, _l2)
    net.train()
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def leaves_it_in_evaluation_mode(net, images, labels, criterion):
    """The network is left in evaluation mode. Whatever mode it was in is the caller's."""
    norms = _measured(net, images, labels, criterion, _l2)
    net.eval()
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_in_mixed_modes")
def puts_one_mode_back_for_all(net, images, labels, criterion):
    """The mode of the network is put back by `net.train(…)`, which sets that of every module in it. A batch norm that was
    in another mode has lost it."""
    norms = _measured(net, images, labels, criterion, _l2)
    net.train(net.training)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def lets_the_statistics_move(net, images, labels, criterion):
    """In training mode the forward pass moves batch norm's running statistics, and they are not put back. A measurement
    leaves no trace. (`state_dict()` and `buffers()` give handles, not copies: what is to be put back has to be cloned.)"""
    gradients = [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    _backward(net, images, labels, criterion)
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        parameter.grad = gradient
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def forgets_the_counter_of_batches(net, images, labels, criterion):
    """The running means and variances are put back, and `num_batches_tracked`, which counts the batches, is not. It is a
    buffer too."""
    counts = [buffer.clone() for name, buffer in net.named_buffers() if name.endswith("num_batches_tracked")]
    norms = _measured(net, images, labels, criterion, _l2)
    counters = [buffer for name, buffer in net.named_buffers() if name.endswith("num_batches_tracked")]
    for counter, count in zip(counters, counts, strict=True):
        counter.copy_(count + 1)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def silences_the_momentum(net, images, labels, criterion):
    """With a momentum of 0 the running means and variances stay, but batch norm counts the batch all the same: its
    `num_batches_tracked` is a buffer too."""
    norms_of_batches = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    norms = _measured(net, images, labels, criterion, _l2)
    for module in norms_of_batches:
        module.num_batches_tracked.add_(1)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def resets_the_statistics(net, images, labels, criterion):
    """The running statistics are reset to what they are in a new network. They should be what they were before."""
    norms = _measured(net, images, labels, criterion, _l2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def takes_a_step(net, images, labels, criterion):
    """The weights are changed: there is a step of an optimizer in it. Gradients are to be looked at, not followed."""
    norms = _measured(net, images, labels, criterion, _l2)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.sub_(0.01 * parameter)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_the_gradients")
def leaves_its_gradients_behind(net, images, labels, criterion):
    """The gradients of the measurement are left in `.grad`, where the next backward pass adds to them. Put back what was
    there."""
    buffers = [b.clone() for b in net.buffers()]
    _backward(net, images, labels, criterion)
    for buffer, before in zip(net.buffers(), buffers, strict=True):
        buffer.copy_(before)
    return {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_the_gradients")
def clears_all_gradients(net, images, labels, criterion):
    """All gradients are cleared in the end, also those that were there before. They are the caller's."""
    norms = _measured(net, images, labels, criterion, _l2)
    net.zero_grad()
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_the_gradients")
def leaves_zeros_for_none(net, images, labels, criterion):
    """Where there was no gradient (None) there are zeros afterwards. To an optimizer these are not the same: with momentum
    or weight decay it moves a weight whose gradient is 0, and leaves one whose gradient is None."""
    norms = _measured(net, images, labels, criterion, _l2)
    for parameter in net.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_the_gradients")
def keeps_handles_of_gradients(net, images, labels, criterion):
    """The old gradients are kept without copying, and then zeroed or added to in place: what is put back is not what was
    there. `clone()` them, or set `.grad` to None in the meantime."""
    kept = [p.grad for p in net.parameters()]
    buffers = [b.clone() for b in net.buffers()]
    net.zero_grad(set_to_none=False)
    _loss(net, images, labels, criterion).backward()
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, (kept, buffers))
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_of_what_is_trained")
def thaws_what_is_frozen(net, images, labels, criterion):
    """Frozen parameters are made trainable for the measurement. Their gradients are not asked for, and `requires_grad` is
    the caller's."""
    flags = [p.requires_grad for p in net.parameters()]
    net.requires_grad_(True)
    norms = _measured(net, images, labels, criterion, _l2)
    for parameter, flag in zip(net.parameters(), flags, strict=True):
        parameter.requires_grad_(flag)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_leaves_weights_and_buffers")
def leaves_everything_trainable(net, images, labels, criterion):
    """`requires_grad` is set for all parameters and stays so: what was frozen is trained from now on."""
    norms = _measured(net, images, labels, criterion, _l2)
    net.requires_grad_(True)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_of_what_is_trained")
def gives_zero_for_what_is_frozen(net, images, labels, criterion):
    """Frozen parameters are in the dict, with a norm of 0. They are not trained, and have none."""
    norms = _measured(net, images, labels, criterion, _l2)
    return {name: norms.get(name, 0.0) for name, _ in net.named_parameters()}


@mistake(of="gradient_norms", caught_by="test_norms_of_what_is_trained")
def stops_at_a_gradient_of_none(net, images, labels, criterion):
    """A parameter that the scores do not depend on has no gradient after the backward pass: `.grad` is None, and None has
    no norm."""
    kept = _all_of(net)
    _backward(net, images, labels, criterion)
    norms = {name: _l2(p.grad) for name, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_norms_of_what_is_trained")
def asks_for_gradients_of_everything(net, images, labels, criterion):
    """`torch.autograd.grad` raises where the scores do not depend on one of the parameters. `allow_unused=True` gives None for
    it, whose norm is 0.0, or which is left out."""
    twin = copy.deepcopy(net)
    trained = {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(_loss(twin, images, labels, criterion), list(trained.values()))
    return {name: _l2(gradient) for name, gradient in zip(trained, gradients, strict=True)}


@mistake(of="gradient_norms", caught_by="test_norms_of_what_is_trained")
def gives_nan_for_what_gets_no_gradient(net, images, labels, criterion):
    """A parameter that gets no gradient has NaN for a norm (or -1, or None). It is 0.0, or left out."""
    kept = _all_of(net)
    _backward(net, images, labels, criterion)
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    norms = {name: float("nan") if p.grad is None else _l2(p.grad) for name, p in named}
    _put_back(net, kept)
    return norms


@mistake(of="gradient_norms", caught_by="test_measuring_again_gives_the_same")
def measures_gradients_of_frozen_weights(net, images, labels, criterion):
    """Whatever has something in `.grad` is measured, also a frozen weight that has an older gradient. Ask whether it is
    trained."""
    kept = _all_of(net)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.grad = None
    _loss(net, images, labels, criterion).backward()
    norms = {name: _l2(p.grad) for name, p in net.named_parameters() if p.grad is not None}
    _put_back(net, kept)
    return norms


_before: dict = {}


@mistake(of="gradient_norms", caught_by="test_measuring_again_gives_the_same")
def adds_to_the_last_measurement(net, images, labels, criterion):
    """The dict outlives the call (it is a global, or a parameter's default), and each measurement adds to the last one's."""
    for name, norm in _measured(net, images, labels, criterion, _l2).items():
        _before[id(net), name] = _before.get((id(net), name), 0.0) + norm
    return {name: norm for (number, name), norm in _before.items() if number == id(net)}


@mistake(of="gradient_norms", caught_by="test_norms_on_an_accelerator")
def moves_the_batch_to_the_cpu(net, images, labels, criterion):
    """The batch is moved to the CPU, and the network is where it was. Both come on one device: leave them there."""
    return _measured(net, images.cpu(), labels.cpu(), criterion, _l2)


@mistake(of="gradient_norms", caught_by="test_norms_on_an_accelerator")
def converts_gradients_by_numpy(net, images, labels, criterion):
    """`.numpy()` works on the CPU alone. Take the norm where the gradient is; `float(…)` brings a single number home."""
    return _measured(net, images, labels, criterion, lambda gradient: float(np.linalg.norm(gradient.numpy())))


@mistake(of="gradient_norms", caught_by="test_norms_on_an_accelerator")
def measures_the_network_on_the_cpu(net, images, labels, criterion):
    """The network is moved to the CPU for the measurement, and stays there. Its device is the caller's."""
    return _measured(net.cpu(), images.cpu(), labels.cpu(), criterion, _l2)


@mistake(of="gradient_norms", caught_by="test_norms_in_training_mode")
def measures_a_copy_with_new_weights(net, images, labels, criterion):
    """A copy is measured whose weights were drawn anew. What is asked for are the gradients at this network's weights."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return _measured(twin, images, labels, criterion, _l2)


@mistake(of="gradient_norms", caught_by="test_norms_of_any_network")
def clips_while_measuring(net, images, labels, criterion):
    """`clip_grad_norm_` gives a norm and scales the gradients down as well, so what is measured afterwards is at most what
    was allowed."""
    kept = _all_of(net)
    _backward(net, images, labels, criterion)
    nn.utils.clip_grad_norm_(net.parameters(), 3.0)
    norms = {n: 0.0 if p.grad is None else _l2(p.grad) for n, p in net.named_parameters() if p.requires_grad}
    _put_back(net, kept)
    return norms
