# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ResNet: learning the difference
#
# *Deep Learning for Visual Computing, week 8, lecture 39.*
#
# You will write the block that made networks of a hundred layers trainable
# ([ResNet](https://arxiv.org/abs/1512.03385), He, Zhang, Ren, Sun, 2015), hold it against DenseNet's way of joining
# layers, put a claim of the lecture to the test, and measure which gradients arrive.

# %% [markdown]
# ## The map
#
# | | | what you do | minutes | difficulty | points |
# |---|---|---|---:|:---:|---:|
# | Exercise 1 | block | write the residual block | 30 | ●●● | 12 |
# | Question 1 | nothing | a block that has learnt nothing | 15 | ●● | 7 |
# | Exercise 2 | join | add or concatenate | 15 | ● | 6 |
# | Question 2 | by_hand | the bill for both | 15 | ●● | 6 |
# | Exercise 3 | classifier | ten classes in place of a thousand | 10 | ● | 11 |
# | Exercise 4 | parameters | count them by kind | 20 | ●● | 7 |
# | Question 3 | kinds | where are they? | 15 | ●● | 8 |
# | Exercise 5 | comparison | a table of networks | 15 | ●● | 6 |
# | Plot | claim | half the parameters? | 5 | ● | 3 |
# | Question 4 | verdict | judge the lecture's sentence | 15 | ●● | 8 |
# | Exercise 6 | gradients | measure, and leave no trace | 25 | ●●● | 8 |
# | Question 5 | arrive | which gradients arrive? | 20 | ●●● | 9 |
# | Plot | gradients | three deep stacks | 5 | ● | 3 |
# | Question 6 | degradation | why deep plain networks fail | 15 | ●● | 6 |
# | | all | with the text in between: an afternoon | 220 | | 100 |
#
# Run the cells from top to bottom; any may be run again. In an exercise, replace the `raise NotImplementedError` line by
# your code, run the cell, and then the `check(...)` below it: it says what is right. Grading uses further checks with
# other inputs, so write for any network, width, stride, batch and device, and set no random seed in a function.
#
# Questions 1, 3 and 5 ask for a **prediction**: write it down before you run the next cell. A wrong one costs nothing,
# one written afterwards teaches nothing. The code of figures is folded away; a click on it shows it.

# %%
from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision import models

from autograder import TinyCIFAR10, check

# %% folded=true
# @title How figures look: black ink on white paper, also in a dark editor, and sharp on a fine screen
# %config InlineBackend.figure_format = "retina"
plt.style.use("default")
plt.rcParams.update({"figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 80, "font.size": 11})
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
RED, GREEN, GREY = "tab:red", "tab:green", "0.45"


def label_ends(axis: plt.Axes, lines: Iterable[plt.Line2D]) -> None:
    """Writes the name of each line beside its right end, in its colour; names that would touch are moved apart."""
    axis.figure.canvas.draw()  # only now are the axis's limits known
    ends = [(axis.transData.transform((line.get_xdata()[-1], line.get_ydata()[-1])), line) for line in lines]
    lowest = -np.inf
    for end, line in sorted(ends, key=lambda pair: pair[0][1]):
        height = lowest = max(axis.transAxes.inverted().transform(end)[1], lowest + 0.075)
        axis.annotate(line.get_label(), (line.get_xdata()[-1], line.get_ydata()[-1]), (1.04, height),
                      textcoords="axes fraction", va="center", fontsize=10, color=line.get_color(),
                      arrowprops={"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.6})

# %% [markdown]
# ## The puzzle
#
# In 2015, whoever stacked more layers got a *worse* network: already the *training* error of 56 layers was higher than
# that of 20. That should not be. A deeper network could copy the shallow one and let its other layers pass on what they
# get. So a better solution was there, and training did not find it: a stack of convolutions finds it hard to do
# *nothing*.
#
# This is a block of such a *plain* stack. Batch normalisation shifts and scales each channel by the mean and the variance
# of the batch.

# %%
def plain_block(in_channels: int, out_channels: int, stride: int = 1, norm: bool = True) -> nn.Sequential:
    """Two 3 × 3 convolutions, each with batch normalisation and ReLU; the first one takes `stride` pixels at a step."""
    layers = []
    for read, step in ((in_channels, stride), (out_channels, 1)):
        layers += [nn.Conv2d(read, out_channels, 3, step, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(out_channels)] if norm else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


# %% [markdown]
# ## Exercise 1: block
#
# ### `ResidualBlock`
#
# **Why.** The idea that solved the puzzle is small. Do not ask a few layers for what they should compute, $H(x)$. Ask
# them for the *difference* to their input, $F(x)$, and add the input back:
#
# $$H(x) = F(x) + x$$
#
# Doing nothing is now easy: $F = 0$. And whatever the layers do, the input comes through on a road of its own. A
# ResNet-34 is sixteen of these blocks and little else.
#
# **Write** the class, a [`Module`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html): its parts in
# `__init__`, what they do in `forward`. As in the plain block, a 3 × 3 convolution with the stride, batch normalisation,
# ReLU, a 3 × 3 convolution and batch normalisation; neither convolution has a bias. Then the input is *added*, and only
# then comes the last ReLU. Where the result has another shape, because the channels or the stride say so, the input
# goes through `downsample` before it is added: a 1 × 1 convolution without bias, with the stride, and batch
# normalisation. Where it is added as it is there is no `downsample` (none at all, or `None`).
#
# **It is right when** the parts have the names of torchvision's `BasicBlock` (`conv1`, `bn1`, `conv2`, `bn2`,
# `downsample.0`, `downsample.1`), its batch normalisation is PyTorch's own, with torchvision's weights the results are
# torchvision's, for any widths, stride and size, in training as in evaluation mode; when `x` stays as it was; and when
# the gradients of the input and of every parameter are torchvision's too.

# %% role="exercise" function="ResidualBlock"
class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input.

    in_channels, out_channels: how many channels come in and go out.
    stride: step of the first convolution, in pixels; height and width shrink by it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride), rounded up.

        `x` itself stays as it is.
        """
        ### BEGIN SOLUTION
        difference = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(difference + shortcut)
        ### END SOLUTION


# %% role="grade" exercise="block"
check("block")

# %% [markdown]
# What do such blocks do to a picture, before any training? The pictures are
# [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html)'s (Krizhevsky, 2009), 120 of them are in `data/`.

# %%
tiny = TinyCIFAR10("data", train=True)
pixels = torch.from_numpy(np.array(tiny.data)).permute(0, 3, 1, 2)  # bytes, (images, 3, 32, 32)
labels = torch.tensor(tiny.targets)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def as_input(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes as floats from -0.5 to 0.5, on the device."""
    return pixels.to(device).float() / 255 - 0.5

# %% [markdown]
# **What to see:** the same picture after 1, 4 and 16 untrained blocks of each kind, three channels all the way, drawn as
# red, green and blue. The number is how much of the picture is left: the correlation of the best channel's pixels with
# those of the picture. The plain blocks forget at once what they saw. The residual ones only ever add to it, so they
# forget slowly.

# %% folded=true
# @title A picture after untrained blocks
def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of the pixels of two maps (height, width): 1 for the same picture, 0 for unrelated ones."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].nan_to_num())


torch.manual_seed(39)
batch = as_input(pixels[:32]) + 0.5
figure, rows = plt.subplots(2, 4, figsize=(11, 5.8), layout="constrained")
for row, (kind, block) in zip(rows, {"plain": plain_block, "residual": ResidualBlock}.items(), strict=True):
    maps, passed = batch, 0
    for axis, blocks in zip(row, (0, 1, 4, 16), strict=True):
        with torch.no_grad():
            while passed < blocks:
                maps, passed = block(3, 3).to(device)(maps), passed + 1
        picture = maps[4].cpu()
        left = max(abs(correlation(picture[channel], batch[4].mean(dim=0).cpu())) for channel in range(3))
        low, high = picture.amin(dim=(1, 2), keepdim=True), picture.amax(dim=(1, 2), keepdim=True)
        axis.imshow(((picture - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).numpy())
        axis.set_title(f"{blocks} {kind} block{'s' * (blocks > 1)}: {left:.2f}" if blocks else "the picture", fontsize=11)
        axis.axis("off")
plt.show()

# %% [markdown] role="question" name="nothing" points=7
# ### Question 1: a block that has learnt nothing
#
# The last batch normalisation of a block multiplies each channel by its `weight` and adds its `bias`. The cell below sets
# both to zero in `bn2`. **Before you run it, write your prediction:** what does `ResidualBlock(16, 16)` then make of an
# input without negative values, and what of one with both signs? What does `ResidualBlock(16, 32, stride=2)` make of
# them, and what a plain block whose last batch normalisation is silenced in the same way? **Then run it,** write down
# what you measured, and **explain** each difference from your prediction. Why does it not matter, inside a ResNet, what a
# block does with negative inputs?
#
# ### BEGIN SOLUTION
# *Model answer.* *Prediction* (any, if it is a statement that the cell can refute): all four give the input back.
# *Measured:* the block of equal widths gives an input without negative values back exactly (difference 0); of one with
# both signs it gives the positive part (the largest difference is the size of the most negative value, about 4). The
# block with stride gives neither the input nor zero. The plain block gives 0 everywhere.
# *Explanation:* with bn2 silent F(x) = 0, so H(x) = ReLU(0 + x). ReLU leaves what is not negative and cuts the rest. The
# block with stride has H(x) = ReLU(downsample(x)): its shortcut is a random projection, not the identity. The plain block
# has no road beside the silenced one: ReLU(0) = 0, and nothing of the input is left. Inside a ResNet each block reads
# what another block's last ReLU (or the one behind the first convolution) wrote, and that is never negative: so "do
# nothing" is the exact identity there.
#
# *Rubric.* 2 points: a prediction for all cases, before (it may be wrong; one that copies the measurement word for word
# gets 1). 1: the measurement. 3: ReLU cuts negative values; the projection is no identity; the plain block has no other
# road (1 each). 1: inputs inside a ResNet come from a ReLU.
# ### END SOLUTION

# %%
def silenced(block: nn.Module) -> nn.Module:
    """`block` with weight and bias of its last batch normalisation (of the main road) set to zero."""
    norms = [module for name, module in block.named_modules()
             if isinstance(module, nn.BatchNorm2d) and "downsample" not in name]  # fmt: skip
    nn.init.zeros_(norms[-1].weight)
    nn.init.zeros_(norms[-1].bias)
    return block


both_signs = torch.randn(8, 16, 10, 10)
for name, block in {
    "ResidualBlock(16, 16)": ResidualBlock(16, 16),
    "ResidualBlock(16, 32, stride=2)": ResidualBlock(16, 32, stride=2),
    "plain_block(16, 16)": plain_block(16, 16),
}.items():
    for sort, x in {"no negative values": both_signs.abs(), "both signs": both_signs}.items():
        with torch.no_grad():
            result = silenced(block)(x)
        same_shape = result.shape == x.shape
        apart = f"largest difference from x {(result - x).abs().max().item():.3f}" if same_shape else "another shape than x"
        print(f"{name:<33}{sort:<20} largest value {result.abs().max().item():.3f}, {apart}")

# %% [markdown]
# ## Exercise 2: join
#
# ### `joined_channels`
#
# **Why.** There are two ways of not losing what earlier layers found. ResNet *adds* a layer's result to what it read.
# DenseNet *concatenates*: it puts the result beside what it read, and the next layer reads both. The way decides how
# wide the layers have to be.
#
# **Write** a function that follows the channels through a stack of layers: `layer_channels` says how many channels each
# layer makes, `in_channels` how many come in, `how` is `"add"` or `"concatenate"`.
#
# **It is right when** it returns a list with the number of channels after each layer, as long as `layer_channels`, which
# stays as it was; when adding layers of another width than what they are added to raises `ValueError`; and when any other
# `how` does, be there layers or not.

# %% role="exercise" function="joined_channels"
def joined_channels(in_channels: int, layer_channels: list[int], how: str) -> list[int]:
    """Returns the channels after each layer of a stack, whose results are joined with what the layer read.

    layer_channels: the channels that each layer makes. how: "add" or "concatenate".
    Raises ValueError for another `how`, and where widths differ that are to be added.
    """
    ### BEGIN SOLUTION
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
    ### END SOLUTION


# %% role="grade" exercise="join"
check("join")

# %% [markdown]
# **What to see:** twelve layers on 64 channels. Adding, each layer has to make all 64 anew, and 64 is all that the last
# layer reads. Concatenating, layers that make 64 each soon drown the next one. That is why DenseNet's layers make only
# 32: its *growth rate*.

# %% folded=true
# @title Channels, added and concatenated
figure, axis = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
for made, how, style in [(64, "add", "o-"), (64, "concatenate", "s--"), (32, "concatenate", "^:")]:
    axis.plot(range(13), [64, *joined_channels(64, [made] * 12, how)], style, label=f"{how},\n{made} a layer")
axis.set(xlabel="after layer", ylabel="channels", ylim=(0, None), title="Channels that the next layer reads")
label_ends(axis, axis.lines)
plt.show()

# %% [markdown] role="question" name="by_hand" points=6
# ### Question 2: the bill, by hand
#
# A 3 × 3 convolution from $a$ to $b$ channels has $9ab$ weights. Take four layers on 64 channels, each one such
# convolution that makes 64 channels. Without running code, write down for both ways of joining what each layer reads,
# its weights, and their sum. How does the sum grow when the stack gets twice as deep? What of that can DenseNet escape,
# and how?
#
# ### BEGIN SOLUTION
# *Model answer.* Adding: each layer reads 64, 9 · 64 · 64 = 36,864 weights, in all 147,456. Concatenating: they read 64,
# 128, 192, 256, so 36,864, 73,728, 110,592, 147,456 weights, in all 368,640 = 10 · 36,864. Twice as deep: adding gives
# twice as much (8 · 36,864 = 294,912); concatenating (1 + … + 8) = 36 times 36,864 = 1,327,104, 3.6 times as much: it
# grows with the square of the depth. DenseNet pays this bill with small change: layers make few channels (growth rate
# 32, or 12), a 1 × 1 bottleneck caps what the 3 × 3 convolution reads, and transitions halve the stack between blocks.
# Since nothing has to be made anew, few channels a layer are enough.
#
# *Rubric.* 1 point: what is read, both ways. 2: both sums right (1 each). 2: linear against quadratic growth, with
# numbers or an argument (1 each). 1: growth rate, bottleneck or transition named as the way out.
# ### END SOLUTION

# %% [markdown]
# ## Exercise 3: classifier
#
# **Why.** The last layer gives 1,000 scores, one for each class of ImageNet. CIFAR-10 has ten classes.
#
# **Write** a function that puts a fresh
# [`nn.Linear`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html) in place of the last layer, which is
# called `fc` in a ResNet (in a DenseNet `classifier`). Read its input width from the network, so that it works for
# ResNet-50 too (2,048, not 512), and keep it on the device where the old one was. **It is right when** nothing else
# changes, the same network comes back, and ResNet-18 has 11,181,642 parameters afterwards.

# %% role="exercise" function="replace_classifier"
def replace_classifier(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces `net.fc` by a new random linear layer with bias, and returns the same network.

    The new layer maps (batch, features) to (batch, num_classes) scores, features as before, on the old one's device.
    All other weights and buffers stay as they were.
    """
    ### BEGIN SOLUTION
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    return net
    ### END SOLUTION


# %% role="grade" exercise="classifier"
check("classifier")

# %% [markdown]
# ## Exercise 4: parameters
#
# ### `parameters_by_kind`
#
# **Why.** "It has 25 million parameters" does not say where they are. A network is a tree of modules, and each parameter
# belongs directly to one of them: a `Conv2d`, a `BatchNorm2d`, a `Linear`.
#
# **Write** a function that sums the trainable scalars up by the class of the module that owns them directly;
# [`Module.modules`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html) visits all modules, and
# `parameters(recurse=False)` gives a module's own.
#
# **It is right when** ResNet-18 has 11,166,912 in `Conv2d`, 9,600 in `BatchNorm2d` and 513,000 in `Linear`. Frozen
# parameters (`requires_grad` is false) and buffers do not count. A tensor that several modules share counts once, for
# the first of them in the network's order, so that the values sum to the network's total. A module that is no layer of
# PyTorch's may own parameters too. Kinds that own none may be left out or be 0.

# %% role="exercise" function="parameters_by_kind"
def parameters_by_kind(net: nn.Module) -> dict[str, int]:
    """Returns a dict from the name of a module's class to the trainable scalars that such modules own directly.

    A shared tensor counts for the first module, in the network's order, that owns it.
    """
    ### BEGIN SOLUTION
    counts, seen = {}, set()
    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                kind = type(module).__name__
                counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts
    ### END SOLUTION


# %% role="grade" exercise="parameters"
check("parameters")

# %% [markdown] role="question" name="kinds" points=8
# ### Question 3: where are the parameters?
#
# The next cell shows five networks by kind, as they are for ImageNet's 1,000 classes. **Before you run it, predict:** in
# which kind does VGG-16 keep most of its parameters, and how many percent of them? What share do ResNet-50's 53 batch
# normalisations have? Which of the five loses the largest share when its last layer gets 10 classes in place of 1,000?
# **Then run it,** write down what you read off, and **explain** where you were wrong and why, from the shapes of the
# layers. (There is a hint below the figure, folded. Measure first.)
#
# ### BEGIN SOLUTION
# *Model answer.* *Prediction:* any statement with numbers. *Measured:* VGG-16 keeps 89 % in its three linear layers
# (123,642,856 of 138,357,544). ResNet-50's batch normalisations have 53,120 of 25,557,032, 0.2 %. With 10 classes
# DenseNet-121 loses 12.7 % (1,014,750 of 7,978,856), more than ResNet-50 (7.9 %) and ResNet-18 (4.3 %); of GoogLeNet
# 7.8 % go with its main head (all three heads: 23 %); of VGG-16 2.9 %.
# *Explanation:* a linear layer has a weight for each pair of input and output. VGG-16's first one reads 512 · 7 · 7 =
# 25,088 numbers into 4,096: 102,760,448 weights, three quarters of the network; its convolutions share their weights over
# all places. Average pooling in ResNet, GoogLeNet and DenseNet leaves one number a map, so their last layer reads 512 to
# 2,048. Batch normalisation has two scalars a channel where a convolution has k² · C a channel. DenseNet-121 loses the
# largest share because the rest of it is small: its layer reads 1,024, as GoogLeNet's.
#
# *Rubric.* 2 points: predictions for all three, with numbers (wrong ones count in full). 2: the three measurements. 3:
# full connections against shared weights, with the 25,088 · 4,096 or the like; pooling; two scalars a channel (1 each).
# 1: names a difference from the own prediction and a reason for it, or why it was right.
# ### END SOLUTION

# %%
def in_memory(build: Callable[..., nn.Module], **settings) -> nn.Module:
    """A network of torchvision's with memory for its weights, but without the time to draw them: for counting only."""
    with torch.device("meta"):
        net = build(weights=None, **settings)
    return net.to_empty(device="cpu")


NETWORKS = {
    "VGG-16": lambda: in_memory(models.vgg16),
    "GoogLeNet": lambda: in_memory(models.googlenet, aux_logits=True, init_weights=False),
    "ResNet-18": lambda: in_memory(models.resnet18),
    "ResNet-50": lambda: in_memory(models.resnet50),
    "DenseNet-121": lambda: in_memory(models.densenet121),
}
KINDS = {"Conv2d": "tab:blue", "Linear": "tab:orange", "BatchNorm2d": "tab:green"}
counted = {name: parameters_by_kind(build()) for name, build in NETWORKS.items()}

for name, counts in counted.items():
    print(f"{name:<14}{sum(counts.values()):>13,}", *(f"{kind} {counts.get(kind, 0):>11,}" for kind in KINDS), sep="   ")

# %% folded=true
# @title The same as a figure
figure, (whole, shares) = plt.subplots(1, 2, figsize=(12, 4.2), sharey=True, layout="constrained")
for axis, unit in ((whole, 1e6), (shares, None)):
    left = np.zeros(len(counted))
    for kind, color in KINDS.items():
        parts = [counts.get(kind, 0) / (unit or sum(counts.values()) / 100) for counts in counted.values()]
        axis.barh(list(counted), parts, left=left, color=color, edgecolor="black", linewidth=0.5, label=kind)
        left += parts
whole.set(xlabel="parameters (millions)")
shares.set(xlabel="share of the network (%)")
whole.invert_yaxis()
figure.legend(*whole.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# <details><summary><b>A hint for Question 3</b> (click, once you have measured)</summary>
#
# VGG-16's first linear layer reads 512 maps of 7 × 7 numbers. What does ResNet do with each map before its linear layer?
#
# </details>

# %% [markdown]
# ## Exercise 5: comparison
#
# ### `compare_networks`
#
# **Why.** The lecture says of DenseNet that it needs about *half the parameters of a residual network*. A claim with a
# number in it can be put to the test.
#
# **Write** the table. `builders` maps a network's name to a function that builds it; so only one of them is in memory at
# a time.
#
# **It is right when** it returns a list of tuples `(name, parameters, bytes)`, smallest number of parameters first, those
# of equal number in the dict's order; when each builder was called once, without arguments; and when the bytes are those
# of the parameters, each tensor once and at its own dtype: 4 for a `float32`, 2 for a `float16`. Buffers are no
# parameters.

# %% role="exercise" function="compare_networks"
def compare_networks(builders: dict[str, Callable[[], nn.Module]]) -> list[tuple[str, int, int]]:
    """Returns (name, parameters, bytes of the parameters) of each network, fewest parameters first.

    builders: from a name to a function without arguments that builds the network.
    """
    ### BEGIN SOLUTION
    rows = []
    for name, build in builders.items():
        parameters = list(build().parameters())
        count = sum(parameter.numel() for parameter in parameters)
        rows.append((name, count, sum(parameter.numel() * parameter.element_size() for parameter in parameters)))
    return sorted(rows, key=lambda row: row[1])
    ### END SOLUTION


# %% role="grade" exercise="comparison"
check("comparison")

# %% [markdown]
# **What to see:** grey is what a network has, orange is half of it. The claim is true of a network whose *orange* dot
# lies on the blue line, which is DenseNet-121. The axis is logarithmic: from mark to mark it is twice as many.

# %% folded=true
# @title Draws the table
def draw_claim(table: list[tuple[str, int, int]]) -> plt.Figure:
    """A row for each network: its parameters, half of them, and how many DenseNet-121 has of them."""
    names, millions = [name for name, *_ in table], np.array([parameters for _, parameters, _ in table]) / 1e6
    densenet = millions[names.index("DenseNet-121")]
    figure, axis = plt.subplots(figsize=(10, 3.6), layout="constrained")
    axis.axvline(densenet, color="tab:blue", linestyle="--")
    axis.text(densenet, 1.02, "DenseNet-121", transform=axis.get_xaxis_transform(), ha="center", color="tab:blue")
    for row, one in enumerate(millions):
        axis.plot([one / 2, one], [row, row], color="0.8", zorder=1)
        axis.scatter([one], [row], s=70, color="0.45", label="its parameters" if row == 0 else None)
        axis.scatter([one / 2], [row], s=70, color="tab:orange", label="half of them" if row == 0 else None)
        axis.text(1.02, row, f"{one:.2f} million, DenseNet-121 has {densenet / one:.2f} of it", va="center",
                  transform=axis.get_yaxis_transform(), fontsize=10)  # fmt: skip
    axis.set(xlabel="parameters (millions)", xscale="log", yticks=range(len(names)), yticklabels=names)
    axis.set_xticks([4, 8, 16, 32, 64, 128], ["4", "8", "16", "32", "64", "128"])
    axis.set_xticks([], minor=True)
    axis.invert_yaxis()
    axis.legend(loc="upper right", frameon=False)
    return figure


# %% role="plot" name="claim" points=3
table = compare_networks(NETWORKS)
figure = draw_claim(table)
plt.show()
for name, parameters, size in table:
    print(f"{name:<14}{parameters:>13,} parameters{size / 2**20:>9.1f} MiB")
### BEGIN SOLUTION
# *Rubric.* 1 point: all five networks, in the order of their parameters. 1: the right numbers (7.98, 11.69, 13.00, 25.56
# and 138.36 million). 1: the ratios can be read off. A cell left as released with a right function above gets all three.
### END SOLUTION

# %% [markdown] role="question" name="verdict" points=8
# ### Question 4: your verdict
#
# Does DenseNet-121 have half the parameters of a residual network? Give a verdict, with figures, and say *which* residual
# network it is true of, if of any. A comparison is fair between networks that do the same work equally well. torchvision
# gives these top-1 accuracies on ImageNet: ResNet-18 69.8 %, ResNet-34 73.3 % (it has 21,797,672 parameters),
# DenseNet-121 74.4 %, ResNet-50 76.1 %, VGG-16 71.6 %, GoogLeNet 69.8 %. What does the claim become when it is made fair?
# Does it change with ten classes? Correct the sentence of the lecture so that it holds.
#
# ### BEGIN SOLUTION
# *Model answer.* As it stands the claim is true of none of the two: DenseNet-121 has 0.68 of ResNet-18's parameters and
# 0.31 of ResNet-50's (0.61 of GoogLeNet's with its auxiliary heads, 0.06 of VGG-16's). Between the two lies some network
# of which it is true, but nobody chose it. Fair is a residual network of about the same accuracy: DenseNet-121 (74.4 %)
# lies between ResNet-34 (73.3 %) and ResNet-50 (76.1 %), so it has 0.37 of a slightly worse and 0.31 of a slightly better
# one: about a third, so the lecture is too modest. With ten classes 6,964,106 against 11,181,642 (0.62) and 23,528,522
# (0.30): a little less, the picture is the same. Corrected: "DenseNet-121 has about a third of the parameters of a
# residual network of similar accuracy (ResNet-34 or -50), and two thirds of those of ResNet-18, which is less accurate."
# Also right: parameters are not memory while training or time; DenseNet saves neither in this proportion.
#
# *Rubric.* 2 points: both ratios, with figures. 1: says that it depends on which network. 2: compares at equal accuracy,
# about a third. 1: ten classes, with figures or an argument. 2: a corrected sentence that the figures bear out. A verdict
# without figures: 2 at most.
# ### END SOLUTION

# %% [markdown]
# ## Exercise 6: gradients
#
# ### `gradient_norms`
#
# **Why.** A layer learns from its gradient. Whether one reaches the first layers of a deep network can be measured before
# any training.
#
# **Write** a function that makes one forward and one backward pass on one batch and gives the
# [L2 norm](https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html) (the root of the sum of the
# squares) of each parameter's gradient. The network gives raw scores; `criterion` is
# [`nn.NLLLoss`](https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html), which wants
# `F.log_softmax(scores, dim=1)`. It is a measurement, and a measurement leaves no trace.
#
# **It is right when** there is a float for each parameter that is trained, by its name in `net.named_parameters()`, in
# the mode the network is in; frozen parameters have none, and one that the scores do not depend on is 0.0 or left out.
# Afterwards all is as before: weights, buffers (running statistics too), the mode of every module, `requires_grad`, and
# the gradients, those that were there and those that were `None`.

# %% role="exercise" function="gradient_norms"
def gradient_norms(net: nn.Module, images: torch.Tensor, labels: torch.Tensor, criterion: Callable) -> dict[str, float]:
    """Returns a dict from each trained parameter's name to the L2 norm of its gradient after one backward pass.

    images: (batch, 3, height, width), labels: (batch,), both on the network's device.
    criterion: maps log-probabilities (batch, classes) and labels to the mean loss of the batch, in nats.
    The network is afterwards as it was before.
    """
    ### BEGIN SOLUTION
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    loss = criterion(F.log_softmax(net(images), dim=1), labels)
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
    for buffer, before in buffers:
        buffer.copy_(before)
    return {name: float(gradient.norm()) for name, gradient in zip(trained, gradients, strict=True)}
    ### END SOLUTION


# %% role="grade" exercise="gradients"
check("gradients")

# %% [markdown] role="question" name="arrive" points=9
# ### Question 5: which gradients arrive?
#
# The next cell builds three stacks of 27 blocks (54 convolutions) with random weights: plain blocks without batch
# normalisation, plain blocks with it, and your residual blocks. It draws the norm of the gradient of each 3 × 3
# convolution, from the first to the last. **Before you run it, predict:** for each stack, is the gradient of the *first*
# convolution larger or smaller than that of the last, and by about which factor? **Then run it,** write down the three
# factors, and **explain** them; say above all what you did not expect. (There is a hint below the plot, folded. Measure
# first.)
#
# ### BEGIN SOLUTION
# *Model answer.* *Prediction:* often "plain vanishes, with or without batch normalisation, residual stays". *Measured*
# (one run): without normalisation the gradients are 0 or next to it everywhere (3e-22 in the last: the signal itself has
# died on the way forward); with it the *first* convolution has a gradient 299 times larger than the last (another seed:
# thousands of times); residual: 3.7 times.
# *Explanation:* a product of many factors vanishes when they are below 1 and explodes when they are above; 54 of them
# leave nothing in between. PyTorch's first weights have a sixth of the variance that a layer with ReLU needs to keep a
# signal's size, so it dies on the way forward, and the gradient with it: *vanishing*. Batch normalisation scales each
# layer's output up again, so nothing dies going forward; but going backward each division by a small standard deviation
# multiplies the gradient by a factor above 1 (about 1.11 here, and 1.11^53 is about 250): *exploding*. The paper is
# right that with batch normalisation plain networks do not fail by vanishing gradients. In the residual stack the
# derivative of F(x) + x is F' + 1: the 1 is a road on which the gradient comes back unchanged, from the last block to the
# first, and the product becomes a sum over many paths.
#
# *Rubric.* 2 points: a prediction for all three, with a direction and a factor. 2: the three measured factors. 2: product
# of factors below or above 1. 2: the derivative 1 of the shortcut. 1: says that batch normalisation does not leave the
# gradients small but makes them grow (or names another honest surprise, with a reason).
# ### END SOLUTION

# %%
STACKS = {"plain, not normalised": lambda a, b: plain_block(a, b, norm=False), "plain": plain_block,
          "residual": ResidualBlock}  # fmt: skip


def stack_of(block: Callable[..., nn.Module], blocks: int, channels: int) -> nn.Sequential:
    """A network of `blocks` equal blocks: (batch, 3, height, width) -> (batch, 10) scores."""
    first = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*first, *(block(channels, channels) for _ in range(blocks)), *last)


def norms_by_depth(block: Callable[..., nn.Module]) -> list[float]:
    """Of the 54 3 × 3 convolutions in a new stack of 27 blocks, from the first to the last."""
    torch.manual_seed(39)
    net = stack_of(block, blocks=27, channels=16).to(device)
    norms = gradient_norms(net, as_input(pixels[:32]), labels[:32].to(device), nn.NLLLoss())
    kernels = [name for name, parameter in net.named_parameters() if parameter.shape[-2:] == (3, 3)]
    return [norms[name] for name in kernels[1:]]  # the very first one is in no block


# %% folded=true
# @title Draws the gradients
def draw_by_depth(stacks: dict[str, list[float]]) -> plt.Figure:
    """A line for each stack on the left; on the right those again whose gradients arrive."""
    figure, (every, closer) = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
    for (name, norms), style, color in zip(stacks.items(), ("v:", "s--", "o-"), ("black", RED, "tab:blue"), strict=True):
        for axis in (every, closer) if norms[0] > 1e-6 else (every,):
            drawn = np.maximum(norms, 1e-24)
            axis.semilogy(range(1, len(norms) + 1), drawn, style, color=color, markersize=4, label=name.replace(", ", ",\n"))
    every.set(title="All (what is below 1e-24 is drawn there)", ylabel="norm of the gradient, before training")
    closer.set(title="Those that arrive, closer")
    for axis in (every, closer):
        axis.set_xlabel("3 × 3 convolution, counted from the input")
        label_ends(axis, axis.lines)
    return figure


# %% role="plot" name="gradients" points=3
norms = {name: norms_by_depth(block) for name, block in STACKS.items()}
figure = draw_by_depth(norms)
plt.show()
for name, (first, *_, last) in norms.items():
    factor = first / last if last else float("nan")
    print(f"{name:<25} first {first:.2e}, last {last:.2e}, first / last {factor:.3g}")
### BEGIN SOLUTION
# *Rubric.* 1 point: three curves over depth, on a logarithmic axis, told apart. 1: the plain stack with normalisation
# rises towards the input, the residual one is level. 1: the stack without normalisation lies far below. A cell left as
# released with right functions above gets all three.
### END SOLUTION

# %% [markdown]
# <details><summary><b>A hint for Question 5</b> (click, once you have measured)</summary>
#
# Going back through a layer, a gradient is multiplied by something like the layer's weights. What does a product of 54
# such factors do? What does the + in $F(x) + x$ do to the product? And what do the lecture and the paper call each of
# the three?
#
# </details>

# %% [markdown]
# ## The puzzle, in your own run
#
# Now the paper's experiment: networks of 20 and of 56 layers, plain and residual, three stages of blocks, each with twice
# the channels and half the height of the one before. Only the *training* loss is asked for, since that is where the
# puzzle is.
#
# | | `FULL_EXPERIMENT = False` | `FULL_EXPERIMENT = True` |
# |---|---|---|
# | training images | 120, in `data/` | 50,000 (downloads 170 MB) |
# | channels of the three stages | 8, 16, 32 | 16, 32, 64, as in the paper |
# | batch, epochs, learning rate | 20, 12, 0.05 | 128, 10, 0.1 |
# | four networks take | about a minute on a laptop | a GPU, and some patience |
#
# Solve everything with `False`. Then, if you have a GPU (Colab lends one: Runtime, Change runtime type), set `True`,
# restart the kernel and run all cells.

# %%
FULL_EXPERIMENT = False

if FULL_EXPERIMENT:
    WIDTH, BATCH_SIZE, EPOCHS, LEARNING_RATE = 16, 128, 10, 0.1
    cifar10 = torchvision.datasets.CIFAR10("data", train=True, download=True)
else:
    WIDTH, BATCH_SIZE, EPOCHS, LEARNING_RATE = 8, 20, 12, 0.05
    cifar10 = TinyCIFAR10("data", train=True)
    torch.set_num_threads(1)  # networks this small keep one core busy; more threads would wait for each other

train_pixels = torch.from_numpy(np.array(cifar10.data)).permute(0, 3, 1, 2)
train_labels = torch.tensor(cifar10.targets)
print(f"{len(train_labels):,} training images, on {device}")

# %% [markdown]
# The network and its training are given.

# %%
def cifar_network(block: Callable[..., nn.Module], depth: int, width: int) -> nn.Sequential:
    """The paper's network for CIFAR-10, of 6n + 2 layers: (batch, 3, 32, 32) -> (batch, 10) scores."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for stage in (width, 2 * width, 4 * width):
        for _ in range((depth - 2) // 6):
            layers.append(block(channels, stage, 1 if channels == stage else 2))
            channels = stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def training_losses(net: nn.Module, epochs: int) -> list[float]:
    """Trains `net` and returns the mean loss of each epoch, in nats per image."""
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    losses = []
    for _ in range(epochs):
        total = torch.zeros((), device=device)
        for batch in torch.randperm(len(train_labels)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(as_input(train_pixels[batch])), train_labels[batch].to(device))
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        losses.append(float(total) / len(train_labels))
    return losses


# %% [markdown]
# The next cell is the whole run: four networks, each from the same seed.

# %%
losses = {}
for name, block in {"plain": plain_block, "residual": ResidualBlock}.items():
    for depth in (20, 56):
        torch.manual_seed(39)
        losses[name, depth] = training_losses(cifar_network(block, depth, WIDTH).to(device), EPOCHS)
        print(f"{name}, {depth} layers: last training loss {losses[name, depth][-1]:.3f}")

# %% folded=true
# @title The training loss of the four networks
figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), sharey=True, layout="constrained")
for axis, name in zip(axes, ("plain", "residual"), strict=True):
    for depth, style, color in ((20, "s--", "tab:orange"), (56, "o-", "tab:blue")):
        epochs = range(1, len(losses[name, depth]) + 1)
        axis.plot(epochs, losses[name, depth], style, color=color, label=f"{depth} layers")
    axis.plot(epochs, np.full(len(epochs), np.log(10)), color=GREY, linewidth=1, label="guessing: ln 10")
    axis.set(title=name, xlabel="epoch", ylim=(0, None))
    axis.locator_params("x", integer=True)
    label_ends(axis, axis.lines)
axes[0].set_ylabel("training loss (nats per image)")
plt.show()

# %% [markdown] role="question" name="degradation" points=6
# ### Question 6: the case, closed
#
# Someone says: "The deep plain network fails because it overfits." Someone else: "Because its gradients vanish." Judge
# both with *your own* curves and the measurement before them. What, then, did the addition change? Say also what your
# run cannot show (how many images, how many epochs, how many seeds).
#
# ### BEGIN SOLUTION
# *Model answer.* *Overfitting* would be a low training loss beside a high test loss. Here the *training* loss of the
# deep plain network is the higher one: 2.31 after twelve epochs (guessing has 2.30) against 1.96 of 20 layers; it does
# not even learn its 120 images. *Vanishing gradients:* with batch normalisation they did not vanish, they were large
# towards the input (question 5), so that is not it either, before training at least; steps of one learning rate are
# then too large for the first layers and too small for the last. The deep residual network learns (1.99, and falling),
# if in these few steps more slowly than the shallow one (1.55). The addition made "do nothing" easy (question 1), so
# that more layers can only help or stay idle, and it gave the gradient a road of even size, so that one learning rate
# suits all layers: the problem became easier to *optimise*; what the network can represent is hardly more. What the run
# cannot show: whether deeper is *better* on new images (no test images were asked), what happens after many epochs, and
# with one seed how much of a difference is luck; the paper's plain 56-layer network does train, only worse than its 20
# layers.
#
# *Rubric.* 2 points: against overfitting, by the training loss, with figures of the own run. 2: against (or, if the own
# measurement says so, for) vanishing, by question 5. 1: what the addition changed (identity easy, or even gradients).
# 1: one limit of the own run.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run all cells, so that what you see is what your cells say. The next cell then runs all public
# checks once more. Save the notebook, and see that all six written answers are in it, predictions too. In a terminal,
# `autograder pack` then makes the file to hand in and says what would cost points.

# %%
check()

# %% [markdown]
# ## Go deeper (optional, no points)
#
# ### A ResNet-18 of your blocks
#
# The names of your parts are torchvision's, so its weights fit. Put your blocks in the place of all eight of ResNet-18's:
# do both networks compute the same?

# %%
theirs = models.resnet18(weights=None).eval()
mine = models.resnet18(weights=None)
for stage, (before, channels, stride) in enumerate([(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)], 1):
    setattr(mine, f"layer{stage}", nn.Sequential(ResidualBlock(before, channels, stride), ResidualBlock(channels, channels)))
print(mine.load_state_dict(theirs.state_dict()))
with torch.no_grad():
    x = torch.rand(2, 3, 64, 64)
    print(f"largest difference of the scores: {(mine.eval()(x) - theirs(x)).abs().max().item():.1e}")

# %% [markdown]
# ### Before or after?
#
# In a later paper ([Identity Mappings in Deep Residual Networks](https://arxiv.org/abs/1603.05027), 2016) the same authors
# move batch normalisation and ReLU *before* each convolution, so that nothing at all stands on the road of the input, not
# even the last ReLU. DenseNet's layers are built this way. Rewrite the block, draw the gradients of 100 blocks of each,
# and look at what the last ReLU costs.
#
# **Further reading:** the [ResNet paper](https://arxiv.org/abs/1512.03385), sections 3 and 4.2 (figure 6 is your last
# figure); [A Mean Field Theory of Batch Normalization](https://arxiv.org/abs/1902.08129) (Yang et al., 2019) on why
# gradients explode in plain networks with it; [torchvision's
# ResNet](https://docs.pytorch.org/vision/stable/models/resnet.html).
