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
# # GoogLeNet: several heads, one loss
#
# *Deep Learning for Visual Computing, week 8, lecture 37.*
#
# [GoogLeNet](https://arxiv.org/abs/1409.4842) (Szegedy and others, 2014) had 12 times fewer parameters than the
# winner of two years before, and won. It had three ideas: look with small and with large kernels *side by side*; pay
# for the large ones by a 1 × 1 convolution *first*; and let two more *heads* speak on the way. You will build all
# three, and measure whether each does what it is said to do.

# %% [markdown]
# ## The map
#
# | | | what you do | minutes | difficulty | points |
# |---|---|---|---:|:---:|---:|
# | Exercise 1 | one_by_one | what a convolution costs | 15 | ● | 6 |
# | Question 1 | seconds | are multiplications seconds? | 20 | ●● | 9 |
# | Exercise 2 | block | write the Inception block | 30 | ●●● | 9 |
# | Exercise 3 | heads | ten classes for each of three heads | 15 | ●● | 9 |
# | Exercise 4 | loss | three losses, one number | 20 | ●● | 9 |
# | Question 2 | first_loss | the loss of knowing nothing | 15 | ●● | 9 |
# | Question 3 | reach | do the early layers need the heads? | 20 | ●●● | 9 |
# | Plot | gradients | what each part hears | 5 | ● | 5 |
# | Exercise 5 | training | train on three heads, test one | 35 | ●●● | 20.5 |
# | Plot | curves | with and without the heads | 5 | ● | 5 |
# | Question 4 | worth | what are the heads worth? | 20 | ●●● | 8 |
# | | all | with the text in between: an afternoon | 200 | | 98.5 |
#
# Run the cells from top to bottom; any may be run again. In an exercise, replace the `raise NotImplementedError` line by
# your code, run the cell, and then the `check(...)` below it: it says what is right. Grading uses further checks with
# other inputs, so write for any network, number of classes, batch and device, and set no random seed in a function.
#
# Questions 1 to 3 ask for a **prediction**: write it down before you run the next cell. A wrong one costs nothing, if
# you explain the difference. The code of figures is folded away; a click on it shows it.

# %%
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.models.googlenet import GoogLeNetOutputs

from autograder import TinyCIFAR10, check, experiment_folder, run_experiment

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
# ## Why 1 × 1 first
#
# GoogLeNet is nine *Inception blocks* in a row. Each looks at the same map through kernels of several sizes. Large
# kernels over many channels are dear: on a 14 × 14 map with 480 channels, a 5 × 5 kernel that writes 48 channels does
# 14² · 5² · 480 · 48 multiplications, each followed by an addition (a *multiply–accumulate*, MAC). So the block first
# squeezes the 480 channels to 16, by a 1 × 1 convolution, which is all that the large kernel reads.
#
# ## Exercise 1: one by one
#
# **Write** the price of both ways, in MACs: the kernel × kernel convolution on all channels, and the 1 × 1
# convolution to `reduced` channels *together with* the kernel × kernel convolution behind it. Stride 1, padding that
# keeps the size, no biases.
#
# **It is right when** both are counted exactly, as whole numbers (Python `int`): a 1 × 1 convolution costs something
# too, each of the size × size places is computed, and a multiplication with its addition is *one* MAC.

# %% role="exercise" function="saved_by_bottleneck"
def saved_by_bottleneck(in_channels: int, reduced: int, out_channels: int, kernel: int, size: int) -> tuple[int, int]:
    """Returns (direct, reduced): the multiply-accumulates without and with a 1 x 1 convolution first.

    direct: one kernel x kernel convolution, in_channels -> out_channels, on a (size x size) map.
    reduced: 1 x 1 from in_channels to `reduced`, then kernel x kernel from `reduced` to out_channels; both count.
    Stride 1, padding that keeps the size, biases not counted.
    """
    ### BEGIN SOLUTION
    places, patch = size * size, kernel * kernel
    direct = places * patch * in_channels * out_channels
    squeezed = places * in_channels * reduced + places * patch * reduced * out_channels
    return direct, squeezed
    ### END SOLUTION


# %% role="grade" exercise="one_by_one"
check("one_by_one")

# %% [markdown]
# Here are all nine blocks, with the numbers of channels that the paper gives them.

# %%
# in, 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool projection; and the size of the map
BLOCKS = {
    "3a": ((192, 64, 96, 128, 16, 32, 32), 28),
    "3b": ((256, 128, 128, 192, 32, 96, 64), 28),
    "4a": ((480, 192, 96, 208, 16, 48, 64), 14),
    "4b": ((512, 160, 112, 224, 24, 64, 64), 14),
    "4c": ((512, 128, 128, 256, 24, 64, 64), 14),
    "4d": ((512, 112, 144, 288, 32, 64, 64), 14),
    "4e": ((528, 256, 160, 320, 32, 128, 128), 14),
    "5a": ((832, 256, 160, 320, 32, 128, 128), 7),
    "5b": ((832, 384, 192, 384, 48, 128, 128), 7),
}

# %% [markdown]
# **What to see:** your function's prices of all of them. Without the 1 × 1 convolutions (left) the 5 × 5 branches, which
# write few channels, take nearly half of the cost. With them (right) the whole tower costs less than a third.

# %% folded=true
# @title The price of each block, without and with 1 × 1 first
BRANCHES = {"1 × 1": "#4c72b0", "3 × 3": "#dd8452", "5 × 5": "#55a868", "pool": "#937860"}


def block_macs(widths: tuple[int, ...], size: int) -> tuple[list[float], list[float]]:
    """Millions of MACs of a block's four branches, without and with the 1 x 1 reductions."""
    channels, ones, reduce3, threes, reduce5, fives, pooled = widths
    same = [size * size * channels * ones, size * size * channels * pooled]
    three, five = (saved_by_bottleneck(channels, *rest, size) for rest in ((reduce3, threes, 3), (reduce5, fives, 5)))
    return tuple([m / 1e6 for m in (same[0], three[way], five[way], same[1])] for way in (0, 1))


figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), sharey=True, layout="constrained")
totals = []
for axis, way, title in ((left, 0, "kernels on all channels"), (right, 1, "1 × 1 first")):
    table = np.array([block_macs(*block)[way] for block in BLOCKS.values()])
    bottom = np.zeros(len(BLOCKS))
    for (branch, color), heights in zip(BRANCHES.items(), table.T, strict=True):
        axis.bar(list(BLOCKS), heights, bottom=bottom, color=color, edgecolor="black", linewidth=0.5, label=branch)
        bottom += heights
    totals.append(table.sum())
    axis.set(title=f"{title}: {table.sum():,.0f} million MACs", xlabel="block")
left.set_ylabel("million MACs for one image")
right.legend(*(reversed(found) for found in right.get_legend_handles_labels()), title="branch", frameon=False)
plt.show()
print(f"the nine blocks cost {totals[0] / totals[1]:.1f} times less")

# %% [markdown] role="question" name="seconds" points=9
# ### Question 1: are MACs seconds?
#
# Take the 5 × 5 branch of block 4a: 480 channels to 48 on a 14 × 14 map, directly or through 16 channels.
#
# 1. *Before you run the cell below:* how many times fewer MACs does the way through 16 channels need (by your
#    function)? And how many times less **time** do you predict? Write both numbers down.
# 2. Run the cell. How many times less time was it here? Run it three times: how far do the runs differ?
# 3. Explain the difference between your prediction and the measurement. Two reasons, please, and say for each whether
#    it makes the measured ratio larger or smaller than the ratio of the MACs.
#
# ### BEGIN SOLUTION
# *Model answer.* 112,896,000 / 5,268,480 = 21.4 times fewer MACs, so a first prediction is 21 times less time. Measured
# on several CPUs: between 8 and 50 times, other in every run (the solved notebook shows one). The MACs do not fix the
# time. Smaller ratio: each call costs a fixed time (starting the operation, spreading it over threads), and the reduced
# way has two calls with little work in each; the 1 × 1 convolution has to read all 480 channels from memory for only 16
# multiplications a value, so it waits for memory, not for arithmetic; with 16 output channels the vector units are not
# filled. Larger ratio: the direct 5 × 5 convolution has weights of 2.3 MB (480 · 48 · 25 floats) that do not stay in
# the fast cache, or it falls into a slower implementation than the small one; then it reaches fewer MACs a second. On a
# GPU the ratio is usually far smaller than 21: both are over before the GPU is full.
#
# *Rubric.* 2 points: 21.4 (or both MACs) and a prediction of the time with it. 2: the measured ratios of several
# runs, with their spread. 4: two reasons for the difference (fixed cost of a call, memory, caches, vector width,
# implementation, threads), each with its direction. 1: the reasons fit the direction that was measured. A prediction
# that was wrong costs nothing; one that is missing, or the measurement copied as the prediction without a word: at
# most 6 in all.
# ### END SOLUTION

# %%
def seconds_of(layers: nn.Module, x: torch.Tensor, times: int = 9) -> float:
    """The median of the seconds that `layers` takes for `x`, after one call to warm up."""
    measured = []
    with torch.no_grad():
        layers(x)
        for _ in range(times):
            start = time.perf_counter()
            layers(x)
            measured.append(time.perf_counter() - start)
    return float(np.median(measured))


maps = torch.rand(16, 480, 14, 14)
direct = nn.Conv2d(480, 48, kernel_size=5, padding=2, bias=False)
through_16 = nn.Sequential(nn.Conv2d(480, 16, 1, bias=False), nn.Conv2d(16, 48, 5, padding=2, bias=False))
seconds = [seconds_of(layers, maps) for layers in (direct, through_16)]
macs = saved_by_bottleneck(480, 16, 48, kernel=5, size=14)
for name, one, count in zip(("direct", "through 16"), seconds, macs, strict=True):
    print(f"{name:<11}{1e3 * one:8.2f} ms for 16 images, {16 * count / one / 1e9:7.1f} billion MACs a second")
print(f"MACs: {macs[0] / macs[1]:.1f} times fewer. Time: {seconds[0] / seconds[1]:.1f} times less"
      f" (threads: {torch.get_num_threads()})")

# %% [markdown]
# ## Branches side by side
#
# How large should a kernel be? GoogLeNet does not decide: an Inception block has four *branches* that all read the
# same map, and puts what they write side by side, as channels. The next layer takes what it needs.
#
# | branch | layers | channels it writes |
# |---|---|---|
# | `branch1` | 1 × 1 | `ch1x1` |
# | `branch2` | 1 × 1 to `ch3x3red`, then 3 × 3 | `ch3x3` |
# | `branch3` | 1 × 1 to `ch5x5red`, then **3 × 3** | `ch5x5` |
# | `branch4` | max pooling 3 × 3 with stride 1, then 1 × 1 | `pool_proj` |
#
# The third branch should have 5 × 5 kernels, and in the paper it has. Torchvision's has 3 × 3: a [known
# slip](https://github.com/pytorch/vision/issues/906) that stayed, since published weights were trained with it. You
# follow torchvision, so that its weights fit.

# %%
imagenet_net = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)  # for 1,000 classes
print(imagenet_net.inception3a.branch2)

# %% [markdown]
# ## Exercise 2: block
#
# **Why.** Whoever has written this block knows the network: it is the block nine times, with a few layers before.
#
# **Write** the class: its parts in `__init__`, what they do in `forward`. Every convolution has no bias and is
# followed by batch normalisation with `eps=0.001`, then ReLU. The printout above shows the names of such a unit's
# parts: `conv` and `bn`. A small class of your own makes units, or an
# [`nn.Sequential`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html) of an `OrderedDict`,
# whose keys become names. Branches of several parts are `nn.Sequential`, whose parts are numbered: `branch2.0.conv`,
# `branch2.1.conv`, `branch4.1.conv`.
#
# **It is right when** parameters and buffers have torchvision's names and shapes (`branch1.conv.weight`, …); when,
# with its weights, the four branches stand in the order of the table and agree with its own, in evaluation and in
# training mode; when height and width stay, `x` itself is not changed, and gradients reach the input and every
# parameter.

# %% role="exercise" function="InceptionBlock"
class InceptionBlock(nn.Module):
    """Four branches that read the same map, their channels side by side, as torchvision's `Inception`.

    in_channels: how many come in. ch1x1, ch3x3, ch5x5 and pool_proj: how many each branch writes.
    ch3x3red, ch5x5red: how many the 1 x 1 convolutions before the larger kernels leave.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int,
                 pool_proj: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        def unit(inputs: int, outputs: int, size: int) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
            return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs, eps=0.001), relu=nn.ReLU()))

        self.branch1 = unit(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(unit(in_channels, ch3x3red, 1), unit(ch3x3red, ch3x3, 3))
        self.branch3 = nn.Sequential(unit(in_channels, ch5x5red, 1), unit(ch5x5red, ch5x5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, pool_proj, 1))
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, height, width) -> (batch, ch1x1 + ch3x3 + ch5x5 + pool_proj, height, width)."""
        ### BEGIN SOLUTION
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)
        ### END SOLUTION


# %% role="grade" exercise="block"
check("block")

# %% [markdown]
# The names of your parts are torchvision's, so its weights of block 3a fit into yours. Do both compute the same?

# %%
widths, _ = BLOCKS["3a"]
mine, theirs = InceptionBlock(*widths).eval(), imagenet_net.inception3a.eval()
mine.load_state_dict(theirs.state_dict())
maps = torch.rand(1, widths[0], 9, 9, requires_grad=True)
written = mine(maps)
print(f"largest difference from torchvision's block: {(written - theirs(maps)).abs().max().item():.1e}")

# %% [markdown]
# How far does each branch look? Grey are the pixels of a 9 × 9 map that can change what it writes in the middle. **What
# to see:** one pixel for the 1 × 1 branch, 3 × 3 for all others: with torchvision's slip no branch looks farther than
# another. In the paper the third sees 5 × 5.

# %% folded=true
# @title The pixels that each branch looks at
starts = np.cumsum([0, widths[1], widths[3], widths[5]])
ends = [*starts[1:], written.shape[1]]
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis, branch, start, end in zip(axes, BRANCHES, starts, ends, strict=True):
    (reach,) = torch.autograd.grad(written[0, start:end, 4, 4].sum(), maps, retain_graph=True)
    axis.imshow((reach[0].abs().sum(0) > 0).numpy(), cmap="Greys", vmin=0, vmax=1.4)
    axis.hlines(np.arange(10) - 0.5, -0.5, 8.5, color="0.8", linewidth=0.6)
    axis.vlines(np.arange(10) - 0.5, -0.5, 8.5, color="0.8", linewidth=0.6)
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"{branch} branch,\nchannels {start} to {end - 1}", fontsize=11)
    axis.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# ## Several heads
#
# In 2014 nobody could train 22 layers well: what the loss says at the end hardly reached the first layers. So
# GoogLeNet has two *auxiliary heads*, small classifiers that branch off after blocks 4a (`aux1`) and 4d (`aux2`). In
# training all three heads are asked; in testing the main head alone. Torchvision returns
#
# - in training mode `GoogLeNetOutputs(logits, aux_logits2, aux_logits1)`, a named tuple of scores (mind the order),
# - in evaluation mode the main head's scores alone, a tensor.

# %%
noise = torch.rand(2, 3, 64, 64)
print("training:  ", {name: tuple(scores.shape) for name, scores in imagenet_net.train()(noise)._asdict().items()})
print("evaluation:", tuple(imagenet_net.eval()(noise).shape))

# %% [markdown]
# ## Exercise 3: heads
#
# **Why.** All three heads give 1,000 scores, for ImageNet's classes. CIFAR-10 has ten. Whoever replaces only `net.fc`
# trains two heads that still speak of 1,000 classes.
#
# **Write** a function that puts a fresh
# [`nn.Linear`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html) in place of `net.fc`,
# `net.aux1.fc2` and `net.aux2.fc2`. A network that was built without auxiliary heads has `net.aux1 = None` and
# `net.aux2 = None`.
#
# **It is right when** each head has a new layer of its own with bias, random weights and as many inputs as the old
# one; when it is on the old one's device; when a head that is `None` stays `None`, whichever it is; and when the same
# network comes back, with nothing else changed.

# %% role="exercise" function="replace_heads"
def replace_heads(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces the last layer of every head of a GoogLeNet by a new random linear layer with bias; returns the network.

    The layers are `net.fc`, `net.aux1.fc2` and `net.aux2.fc2`, each (batch, features) -> (batch, num_classes), features
    as before, on the old layer's device. A head that is None stays None. Everything else stays as it was.
    """
    ### BEGIN SOLUTION
    for head, name in ((net, "fc"), (net.aux1, "fc2"), (net.aux2, "fc2")):
        if head is not None:
            old = getattr(head, name)
            setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net
    ### END SOLUTION


# %% role="grade" exercise="heads"
check("heads")

# %% [markdown]
# ## Exercise 4: loss
#
# **Why.** Three heads give three losses, and an optimizer can only make one number smaller. The paper adds them up,
# the auxiliary ones with a weight of 0.3: *total = main + 0.3 · (auxiliary 1 + auxiliary 2)*.
#
# **Write** that. `criterion` is [`nn.NLLLoss`](https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html),
# which wants logarithms of probabilities, so each head's loss is `criterion(F.log_softmax(scores, dim=1), labels)`.
#
# **It is right when** the three results are tensors without dimensions, in the order total, main, auxiliary; when the
# auxiliary loss is the plain *sum* over the auxiliary heads, and weighed in the total alone; when a head whose scores
# are `None` adds nothing; when plain scores (a tensor, as of a network in evaluation mode) give an auxiliary loss of
# zero, on the scores' device; and when the backward pass of the total reaches all heads.

# %% role="exercise" function="joint_loss"
def joint_loss(outputs: GoogLeNetOutputs | torch.Tensor, labels: torch.Tensor, criterion: Callable,
               aux_weight: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns (total, main, auxiliary), tensors of no dimension: total = main + aux_weight * auxiliary.

    outputs: a GoogLeNetOutputs of scores (batch, classes), whose auxiliary scores may be None, or the main scores alone.
    labels: (batch,), on the scores' device. criterion: maps log-probabilities and labels to a mean loss in nats.
    auxiliary is the sum over the auxiliary heads, 0 where there are none.
    """
    ### BEGIN SOLUTION
    heads = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    main, *others = [criterion(F.log_softmax(scores, dim=1), labels) for scores in heads if scores is not None]
    auxiliary = sum(others, start=torch.zeros_like(main))
    return main + aux_weight * auxiliary, main, auxiliary
    ### END SOLUTION


# %% role="grade" exercise="loss"
check("loss")

# %% [markdown]
# Now the images: [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html) (Krizhevsky, 2009), colour photographs of 32
# × 32 pixels in ten classes. 64 of the training images in `data/` are enough for the next two questions.

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
criterion = nn.NLLLoss()
few = Subset(TinyCIFAR10("data", train=True, transform=transforms.ToTensor()), range(64))
images, labels = (tensor.to(device) for tensor in next(iter(DataLoader(few, batch_size=64))))


def new_googlenet(seed: int = 37) -> nn.Module:
    """A GoogLeNet with three heads of ten classes and random weights, the same for the same seed."""
    torch.manual_seed(seed)
    net = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    return replace_heads(net, num_classes=10).to(device)

# %% [markdown] role="question" name="first_loss" points=9
# ### Question 2: what does a network lose that knows nothing?
#
# The next cell sends 64 training images through a network with random weights and asks for the joint loss.
#
# 1. *Before you run it:* a head that knows nothing and gives each of ten classes the same probability loses ln 10 =
#    2.303 nats an image. What do you predict for main, auxiliary and total? Write the three numbers down.
# 2. Run the cell. What are they? It does so for five networks with other random weights: is the difference from your
#    prediction chance?
# 3. Explain the difference: why is it on this side of your prediction? And which mistake in the code would have given
#    a total of about 3.0, which one of about 6.9?
#
# ### BEGIN SOLUTION
# *Model answer.* Predicted: main 2.303, auxiliary 2 · 2.303 = 4.605, total 2.303 + 0.3 · 4.605 = 3.684. Measured over
# the five: main 2.34 to 2.51, auxiliary 4.66 to 4.80, total 3.75 to 3.91, all of them above the prediction, so it is
# no chance. A network with random weights does not say 1/10 for each class: its scores differ from class to class, at
# random, without knowing the label. The mean of −ln p over classes is smallest when all p are 1/10 (the logarithm is
# concave: what is lost where the right class has less than 1/10 is more than what is gained where it has more), so an
# uninformed opinion costs more than none. Dropout adds random differences of its own in training mode. A total of 3.0
# = 2.303 + 0.3 · 2.303: only one auxiliary head, or their mean in place of their sum. 6.9 = 3 · 2.303: the weight 0.3
# was left out (or is 1).
#
# *Rubric.* 2 points: three predictions that follow from ln 10, the sum over two heads and the weight. 2: measured
# figures of several networks and that all lie above. 3: scores that differ at random cost more than equal ones
# (concavity, Jensen, or an example with two classes). "It is random" alone: 1. 2: one point for each of the two
# mistakes.
# ### END SOLUTION

# %%
print(f"ln 10 = {math.log(10):.3f}\n{'seed':<8}{'main':>8}{'auxiliary':>12}{'total':>8}")
for seed in range(5):
    with torch.no_grad():
        total, main, auxiliary = joint_loss(new_googlenet(seed).train()(images), labels, criterion)
    print(f"{seed:<8}{main.item():8.3f}{auxiliary.item():12.3f}{total.item():8.3f}")

# %% [markdown] role="question" name="reach" points=9
# ### Question 3: do the early layers need the auxiliary heads?
#
# The lecture's reason for the heads: on its long way back the main loss's gradient fades, and the early layers hear
# hardly anything. The plot below shows how much each part of an untrained network hears: the norm of the gradient of
# its convolutions, from the main loss and from the weighed auxiliary loss.
#
# 1. *Before you run it:* sketch in words what you expect for the main loss from the first convolution to block 5b.
#    Rising, falling, level? What share of what `conv1` hears comes from the auxiliary heads, in per cent? Is
#    there a part where it is zero?
# 2. Run the cell. What does it show? Give the printed numbers that you use.
# 3. Explain each difference from your expectation. (There is a hint below the plot, folded. Measure first.)
#
# ### BEGIN SOLUTION
# *Model answer.* Expected by the lecture's reason: the main loss's gradient falls towards the input, so that `conv1`
# hears little from it and the auxiliary heads give most. Measured: the main loss's gradient *grows* towards the input
# (norm 4 at block 5b, 30 at 3a, 36 at `conv1`; `conv2` has few weights and so a smaller norm), and that of the
# weighed auxiliary loss is about a tenth of it (3.2 against 36). Behind their branching points, in 4e, 5a and 5b, its
# gradient is exactly zero: no path leads from the auxiliary heads there; block 4a hears from both heads, 4b to 4d
# from `aux2` alone. The gradient does not vanish since every convolution is followed by batch normalisation (2015, a
# year after GoogLeNet): it keeps the activations and so the gradients at one scale from layer to layer, whatever the
# scale of the weights. The paper's network had none. So with batch normalisation the heads' first reason is gone, and
# what is left is a mild regularisation; torchvision kept them to be faithful. (Norms of layers of different sizes are
# compared loosely here, and the start says nothing about later.)
#
# *Rubric.* 2 points: a prediction for the curve and a share. 2: reads off that the main gradient does not fade
# towards the input, with numbers. 2: the auxiliary gradient is zero in 4e, 5a and 5b, and why. 3: batch normalisation
# keeps the scale, and the paper did not have it (residual connections or "better initialisation" with a reason: 2;
# "the network is not deep enough" with the plot: 1).
# ### END SOLUTION

# %%
PARTS = ["conv1", "conv2", "conv3", *(f"inception{block}" for block in BLOCKS)]


def gradient_norms(net: nn.Module, loss: torch.Tensor) -> list[float]:
    """The norm of the gradient of `loss` in the convolutions of each of PARTS."""
    norms = []
    for part in PARTS:
        weights = [m.weight for m in net.get_submodule(part).modules() if isinstance(m, nn.Conv2d)]
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients if g is not None)))
    return norms


# %% folded=true
# @title Draws what each part hears
def draw_reaches(reaches: dict[str, list[float]]) -> plt.Figure:
    """A line for each loss over PARTS, and where the auxiliary heads branch off."""
    figure, axis = plt.subplots(figsize=(11, 4.4), layout="constrained")
    for (name, norms), style, color in zip(reaches.items(), ("o-", "s--"), ("tab:blue", "tab:orange"), strict=True):
        axis.plot(range(len(PARTS)), norms, style, color=color, label=name)
    axis.set(ylabel="norm of the gradient", ylim=(0, None), title="What each part of an untrained GoogLeNet hears of each loss")
    axis.set_xticks(range(len(PARTS)), [part.removeprefix("inception") for part in PARTS])
    axis.set_xlabel("part of the network, from the input to the main head (3a to 5b: the Inception blocks)")
    for part, head in (("inception4a", "aux1"), ("inception4d", "aux2")):
        place = PARTS.index(part)
        axis.axvline(place, color=GREY, linewidth=1, linestyle=":")
        axis.text(place + 0.1, 0.97, f"{head} branches\noff here", transform=axis.get_xaxis_transform(), va="top",
                  fontsize=10, color=GREY)  # fmt: skip
    label_ends(axis, axis.lines[:2])
    return figure


# %% role="plot" name="gradients" points=5
net = new_googlenet().train()
total, main, auxiliary = joint_loss(net(images), labels, criterion)
reaches = {"main loss": gradient_norms(net, main), "0.3 · auxiliary loss": gradient_norms(net, 0.3 * auxiliary)}
figure = draw_reaches(reaches)
plt.show()
for part, *norms in zip(PARTS, *reaches.values(), strict=True):
    print(f"{part:<12} main {norms[0]:7.2f}   0.3 · auxiliary {norms[1]:7.2f}   ratio {norms[1] / norms[0]:4.0%}")
### BEGIN SOLUTION
# *Rubric.* 2 points: both curves over the twelve parts, told apart. 1: axes labelled, lines named. 2: the figures are those
# of a right `joint_loss`: the auxiliary curve is well below the main one and exactly zero in 4e, 5a and 5b. The cell as
# released with right functions above gets all five.
### END SOLUTION

# %% [markdown]
# <details><summary><b>A hint for the third part of Question 3</b> (click, once you have measured)</summary>
#
# What follows every convolution of this network? Which of it did the paper's network not have, in 2014?
#
# </details>

# %% [markdown]
# ## Exercise 5: training
#
# ### `train_one_epoch`
#
# **Why.** One number is made smaller, but three should be watched: the total loss falls also when only the auxiliary
# heads learn.
#
# **Write** one pass over the loader in training mode: clear the gradients, ask the network, take the joint loss (your
# `joint_loss` may be called), go backward from the *total*, take a step. Images and labels must go to the network's
# device.
#
# **It is right when** the dict has `loss` (the main head's), `aux_loss` (the unweighed sum over the auxiliary heads),
# `total_loss` and `accuracy` (of the main head), Python floats, each a mean over the *images* seen, also if the last
# batch is smaller; when the weights have taken one step for each batch, along the gradient of the total with the
# `aux_weight` that is given; and when a network without auxiliary heads, which gives plain scores, trains on its main
# loss, with an `aux_loss` of 0.0.

# %% role="exercise" function="train_one_epoch"
def train_one_epoch(net: nn.Module, loader: DataLoader, criterion: Callable, optimizer: torch.optim.Optimizer,
                    device: torch.device, aux_weight: float = 0.3) -> dict[str, float]:
    """Trains `net` on every batch of `loader` once, in training mode, on the joint loss of its heads.

    net: on `device`, maps images (batch, 3, height, width) to GoogLeNetOutputs or to scores (batch, classes).
    criterion: as for `joint_loss`.
    Returns means over the images seen during the pass: "loss" (main), "aux_loss" (unweighed sum over the auxiliary
    heads), "total_loss", in nats per image, and "accuracy" (main head), a fraction in [0, 1].
    """
    ### BEGIN SOLUTION
    net.train()
    sums, seen = dict.fromkeys(("loss", "aux_loss", "total_loss", "accuracy"), 0.0), 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = net(images)
        total, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
        total.backward()
        optimizer.step()
        scores = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
        means = (main, auxiliary, total, (scores.argmax(dim=1) == labels).float().mean())
        for name, mean in zip(sums, means, strict=True):
            sums[name] += mean.detach() * len(labels)  # a tensor until the end: .item() would wait for the GPU here
        seen += len(labels)
    return {name: float(value / seen) for name, value in sums.items()}
    ### END SOLUTION


# %% role="check" exercise="train_one_epoch"
check("train_one_epoch")

# %% [markdown]
# ### `evaluate`
#
# **Why.** Only images that it never trained on say what a network has learnt. Here the main head answers alone.
#
# **Write** the loss and the accuracy in *evaluation mode*, in which GoogLeNet gives the main head's scores, dropout
# drops nothing and batch normalisation uses its running statistics; and without gradients
# ([`torch.no_grad`](https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html)). **It is right when** both
# are means over the images, and testing twice gives the same figures twice: no weight, no buffer and no gradient
# changes.

# %% role="exercise" function="evaluate"
def evaluate(net: nn.Module, loader: DataLoader, criterion: Callable, device: torch.device) -> tuple[float, float]:
    """Returns (loss, accuracy) of `net` over every batch of `loader`: nats per image, and a fraction in [0, 1].

    Works in evaluation mode and without gradients; changes nothing but the network's mode.
    Arguments are as for `train_one_epoch`.
    """
    ### BEGIN SOLUTION
    net.eval()
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss_sum += criterion(F.log_softmax(scores, dim=1), labels) * len(labels)
            correct += (scores.argmax(dim=1) == labels).sum()
            seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)
    ### END SOLUTION


# %% role="check" exercise="evaluate"
check("evaluate")

# %% role="grade" exercise="training"
check("training")

# %% [markdown]
# ## The run: a rehearsal, or the real experiment
#
# | | `FULL_EXPERIMENT = False` | `FULL_EXPERIMENT = True` |
# |---|---|---|
# | images | 120 for training, 50 for testing, in `data/` | all: 50,000 and 10,000 (downloads 170 MB) |
# | size, batch | 32 × 32 pixels, 16 | 224 × 224 pixels, 16 (the lecture's batch) |
# | epochs | 8, with and without auxiliary heads | 10, with and without |
# | where, how long | any laptop, less than a minute | a GPU, some hours |
# | if it is cut off | starts again | goes on after the last whole epoch |
#
# Solve everything with `False`. Then, if you have a GPU, set `True`, restart the kernel and run all cells. Colab lends
# one (Runtime, Change runtime type). There, first mount Google Drive (the folder icon on the left): the experiment is
# saved on it after every epoch.

# %%
FULL_EXPERIMENT = False

if FULL_EXPERIMENT:
    IMAGE_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 224, 16, 10, 1e-4
else:
    IMAGE_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 32, 16, 8, 1e-3
    torch.set_num_threads(1)  # images this small keep one core busy; more threads would wait for each other


def cifar10(train: bool) -> Dataset:
    """CIFAR-10's training or test images, all of them or the tiny subset, as the switch says."""
    transform = transforms.Compose([transforms.Resize((IMAGE_SIZE, IMAGE_SIZE)), transforms.ToTensor()])
    if FULL_EXPERIMENT:
        return torchvision.datasets.CIFAR10("data", train=train, transform=transform, download=True)
    return TinyCIFAR10("data", train=train, transform=transform)


train_set, test_set = cifar10(train=True), cifar10(train=False)
train_loader, test_loader = DataLoader(train_set, BATCH_SIZE, shuffle=True), DataLoader(test_set, BATCH_SIZE)
print(f"{len(train_set):,} training images, {len(test_set):,} test images, on {device}")

# %% [markdown]
# The loop around your two functions is given.

# %%
def fit_with(aux_weight: float) -> Callable:
    """A loop over epochs that trains with the weight `aux_weight` and tests after each epoch."""

    def fit(net, train_loader, test_loader, criterion, optimizer, device, epochs):
        history = {}
        for _ in range(epochs):
            start = time.perf_counter()
            figures = train_one_epoch(net, train_loader, criterion, optimizer, device, aux_weight)
            row = {f"train_{name}": value for name, value in figures.items()}
            row["test_loss"], row["test_accuracy"] = evaluate(net, test_loader, criterion, device)
            row["seconds"] = time.perf_counter() - start
            for name, value in row.items():
                history.setdefault(name, []).append(value)
            print(f"epoch {len(history['seconds'])}:", ", ".join(f"{name} {value:.3f}" for name, value in row.items()))
        return history

    return fit

# %% [markdown]
# Two networks start from the same weights and see the same images in the same order: one hears the auxiliary heads with
# weight 0.3, the other with weight 0.

# %%
histories = {}
for aux_weight in (0.3, 0.0):
    print(f"--- auxiliary weight {aux_weight}")
    net = new_googlenet()
    run = (net, train_loader, test_loader, criterion, torch.optim.Adam(net.parameters(), LEARNING_RATE), device, EPOCHS)
    if FULL_EXPERIMENT:
        histories[aux_weight] = run_experiment(fit_with(aux_weight), *run, experiment_folder(f"googlenet-{aux_weight}"))
    else:
        histories[aux_weight] = fit_with(aux_weight)(*run)

# %% [markdown]
# **What to see:** on the tiny data the network begins to learn its 120 images by heart, and the test images profit
# little. The auxiliary loss is that of two heads, so it starts twice as high. With weight 0 it hardly moves, but it
# does move, although nobody asks for it: think why, for the last question.

# %% folded=true
# @title Draws both runs
def draw_curves(histories: dict[float, dict[str, list[float]]]) -> plt.Figure:
    """Three axes with a line for each run and one for guessing."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
    for axis, name, title, unit, guess in [
        (axes[0], "train_loss", "main head, training loss", "nats per image", math.log(10)),
        (axes[1], "train_aux_loss", "auxiliary heads, training loss", "nats per image", 2 * math.log(10)),
        (axes[2], "test_accuracy", "main head, test accuracy", "fraction of images", 0.1),
    ]:
        for (aux_weight, history), style, color in zip(histories.items(), ("o-", "s--"), ("tab:blue", "tab:orange"),
                                                       strict=True):  # fmt: skip
            epochs = range(1, len(history[name]) + 1)
            axis.plot(epochs, history[name], style, color=color, label=f"weight {aux_weight:g}")
        axis.plot(epochs, np.full(len(epochs), guess), color=GREY, linewidth=1, label="guessing")
        axis.set(title=title, xlabel="epoch", ylabel=unit, ylim=(0, None))
        axis.locator_params("x", integer=True)
        label_ends(axis, axis.lines)
    return figure


# %% role="plot" name="curves" points=5
figure = draw_curves(histories)
plt.show()
### BEGIN SOLUTION
# *Rubric.* 2 points: both runs on all three axes, one point an epoch. 1: axes labelled, lines named. 2: the figures are
# those of right functions: the main loss starts near 2.3 and falls, the auxiliary loss starts near 4.6 and falls with weight
# 0.3. The cell as released with right functions above gets all five.
### END SOLUTION

# %% [markdown] role="question" name="worth" points=8
# ### Question 4: what are the heads worth?
#
# 1. By your two runs: does training with the auxiliary heads make the *main* head better, on training and on test
#    images? Give numbers, and say how large a difference in the test accuracy would have to be before you believed it
#    (50 test images, one run each).
# 2. With `aux_weight=0` no step is taken to please the auxiliary heads. Does their loss stay exactly where it was?
#    Explain what you see.
# 3. Somebody's `evaluate` sets no evaluation mode, and adds 0.3 times the auxiliary losses to the test loss. Name two
#    things that are wrong with that figure.
#
# ### BEGIN SOLUTION
# *Model answer.* (1) On one machine, after 8 epochs: training loss of the main head 0.82 with the heads and 1.20
# without, so they may help to learn by heart (one pair of runs; another seed may say otherwise); test accuracy 24 %
# in both, and in between once 26 against 12 %, once 20 against 34 %. With 50 images at an accuracy of 0.3 the
# standard error is √(0.3 · 0.7 / 50) = 6.5 points, of a difference of two runs 9 points: one would have to see some
# 18 points, or the same sign in many pairs of runs with other seeds. So these runs do not show that the heads help.
# (2) The auxiliary heads' own weights get a gradient of zero and stay random, but their input does not stay: the
# layers up to 4a and 4d are trained by the main loss, so the features that the random heads read change and with them
# their loss, a little, up or down, without any aim (4.63 to 4.73); dropout and the batches change it too. (With Adam
# a gradient of exactly zero moves nothing.) (3) The auxiliary heads are no part of what is used after training, so
# the loss is not that of the network that answers, and cannot be compared with the loss of another network. And in
# training mode dropout drops and batch normalisation uses the statistics of the test batch, so the figure is random
# and depends on which images share a batch, and the running statistics learn from test images.
#
# *Rubric.* 3 points: numbers of both runs (1), a standard error or another sound argument about 50 images (1), a
# conclusion no stronger than that (1). 3: the heads' weights do not move (1), the features under them do (1), what
# was seen of the loss (1). 2: two of: heads not used in testing, not comparable, dropout, batch statistics, running
# statistics learn.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run all cells, so that what you see is what your cells say. The next cell then runs all
# public checks once more. Save the notebook, and see that all four written answers are in it, with your predictions.
# In a terminal, `autograder pack` then makes the file to hand in and says what would cost points.

# %%
check()

# %% [markdown]
# ## Go deeper (optional, no points)
#
# ### Three 1 × 1 convolutions are one
#
# `branch1`, `branch2.0` and `branch3.0` read the same map with 1 × 1 kernels. Their weights put on top of each other
# make *one* convolution, whose channels are then handed to the three. It computes the same, in one call.

# %%
block = InceptionBlock(*BLOCKS["4a"][0]).eval()
units = [block.branch1, block.branch2[0], block.branch3[0]]
together = torch.cat([unit.conv.weight for unit in units])
maps = torch.rand(16, 480, 14, 14)
with torch.no_grad():
    apart = torch.cat([unit.conv(maps) for unit in units], dim=1)
    print(f"largest difference: {(F.conv2d(maps, together) - apart).abs().max().item():.1e}")
    merged = nn.Conv2d(480, len(together), 1, bias=False)
    seconds = sum(seconds_of(unit.conv, maps) for unit in units), seconds_of(merged, maps)
print(f"three calls {1e3 * seconds[0]:.2f} ms, one call {1e3 * seconds[1]:.2f} ms")

# %% [markdown]
# Things to try: give the third branch the paper's 5 × 5 kernels (which weights of torchvision no longer fit?); take
# batch normalisation out of a copy of the network and draw the plot of Question 3 again: now the lecture is right.
# Why is a network whose auxiliary heads are taken off after training (`net.aux1 = net.aux2 = None`) the same in
# testing, and how many parameters does that save?
#
# **Further reading:** the [GoogLeNet paper](https://arxiv.org/abs/1409.4842), sections 4 to 6; [batch
# normalisation](https://arxiv.org/abs/1502.03167) (Ioffe and Szegedy, 2015); [what the next Inception made of the
# auxiliary heads](https://arxiv.org/abs/1512.00567) (section 4); [torchvision's
# GoogLeNet](https://docs.pytorch.org/vision/stable/models/googlenet.html).
