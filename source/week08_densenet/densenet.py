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
# # DenseNet-121 on CIFAR-10
#
# *Deep Learning for Visual Computing, week 8, lecture 40.*
#
# You will train [DenseNet](https://arxiv.org/abs/1608.06993) (Huang, Liu, van der Maaten, Weinberger, 2017) from random
# weights, ask it about pictures it has never seen, look inside it before and after, and find out what is wrong with two
# figures of the lecture.

# %% [markdown]
# ## The map
#
# | | | what you do | minutes | difficulty | points |
# |---|---|---|---:|:---:|---:|
# | Exercise 1 | transforms | pictures into tensors, tensors into batches | 15 | ● | 13 |
# | Exercise 2 | parameters | list and count what is trained | 10 | ● | 10.5 |
# | Exercise 3 | block | write the layer that makes a DenseNet dense | 25 | ●●● | 7 |
# | Exercise 4 | classifier | ten classes in place of a thousand | 10 | ● | 11 |
# | Exercise 5 | weights | keep them, subtract them, show them | 20 | ●● | 17.5 |
# | Exercise 6 | training | solve a case, then train and test | 45 | ●●● | 30.5 |
# | Exercise 7 | plots | draw the run | 15 | ● | 10.5 |
# | Plot | curves | your run beside the lecture's | 5 | ● | 3 |
# | Question 1 | oscillation | why does the accuracy go up and down? | 15 | ●● | 4 |
# | Plot | kernels | before and after | 5 | ● | 3 |
# | Question 2 | differences | what did training change? | 15 | ●● | 4 |
# | Question 3 | batch | what fills the memory? | 15 | ●● | 4 |
# | | all | with the text in between: an afternoon | 195 | | 118 |
#
# Run the cells from top to bottom; any of them may be run again. In an exercise, replace the `raise
# NotImplementedError` line by your code, run the cell, and then the `check(...)` below it: it says at once what is right
# and what to look at. Grading uses further checks with other inputs, so write for any network, any number of classes,
# any batch size and any device, and set no random seed in a function.
#
# The code of figures is folded away; a click on it shows it.

# %%
import time
from collections.abc import Callable, Iterable
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from matplotlib.patches import FancyArrowPatch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import transforms

from autograder import TinyCIFAR10, check, experiment_folder, experiment_seed, run_experiment

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
# ## The images
#
# [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html) (Krizhevsky, 2009) has 60,000 colour photographs of 32 × 32
# pixels in ten classes. In `data/` you have 120 of them for training and 50 for testing. **What to see:** how little
# there is to go on. The second deer hides in its forest. Expect the network to confuse what you confuse.

# %% folded=true
# @title Four training images of each class
pictures = TinyCIFAR10("data", train=True)
figure, rows = plt.subplots(4, 10, figsize=(11, 5), layout="constrained")
for class_index, column in enumerate(rows.T):
    examples = np.flatnonzero(np.array(pictures.targets) == class_index)
    for axis, example in zip(column, examples, strict=False):
        axis.imshow(pictures.data[example])
        axis.axis("off")
    column[0].set_title(pictures.classes[class_index], fontsize=11)
plt.show()

# %% [markdown]
# ## Exercise 1: transforms
#
# ### `make_transform`
#
# **Why.** DenseNet-121 was designed for 224 × 224 pixels: it shrinks its input 32 times, so a 32-pixel image would
# arrive at the last block as a single point. And a network computes with float tensors, not with picture files.
#
# **Write** a function that returns a callable from a picture (PIL, RGB, any size, not always square) to a tensor.
# [`torchvision.transforms`](https://docs.pytorch.org/vision/stable/transforms.html) has the parts.
#
# **It is right when** the picture is resized as a picture is, with bilinear interpolation: each of its values stays one
# of 256 brightnesses, so each value of the tensor is a whole multiple of 1/255.

# %% role="exercise" function="make_transform"
def make_transform(image_size: int = 224) -> Callable:
    """Makes the transform of training and test images alike; nothing random, no normalisation.

    image_size: height and width of the result, in pixels.
    Returns a callable: RGB PIL image of any size -> float32 tensor (3, image_size, image_size) in [0, 1].
    """
    ### BEGIN SOLUTION
    return transforms.Compose(
        [
            transforms.Resize((image_size, image_size), transforms.InterpolationMode.BILINEAR),
            transforms.ToTensor(),
        ]
    )
    ### END SOLUTION

# %% role="check" exercise="make_transform"
check("make_transform")

# %% [markdown]
# **What to see:** enlarging invents no detail, it only spreads the same 1,024 pixels over 50,176. The network gets more
# places to look, not more to look at.

# %% folded=true
# @title A picture, and what your transform makes of it
picture, label = pictures[0]
figure, axes = plt.subplots(1, 2, figsize=(7, 3.8), layout="constrained")
enlarged = make_transform(224)(picture).permute(1, 2, 0)
for axis, image, size in zip(axes, [picture, enlarged], [32, 224], strict=True):
    axis.imshow(image, interpolation="nearest")
    axis.set_title(f"{pictures.classes[label]}, {size} × {size} pixels")
plt.show()

# %% [markdown]
# ### `make_loaders`
#
# **Why.** A loader cuts the data set into *batches*, small stacks of images that go through the network together. One
# pass over all training images is an *epoch*. Shuffling anew each epoch keeps the network from learning the order; test
# images need no shuffling, and a fixed order lets you find the third wrong answer again.
#
# **Write** two [`DataLoader`](https://docs.pytorch.org/docs/stable/data.html)s. **They are right when** every image
# comes exactly once an epoch, also those of the last, smaller batch.

# %% role="exercise" function="make_loaders"
def make_loaders(train_set: Dataset, test_set: Dataset, batch_size: int = 32) -> tuple[DataLoader, DataLoader]:
    """Returns (train_loader, test_loader), both with `batch_size` images a batch.

    Training images come in a new random order every epoch, test images in data-set order; every image comes exactly
    once an epoch, so the last batch may be smaller.
    """
    ### BEGIN SOLUTION
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=batch_size)
    return train_loader, test_loader
    ### END SOLUTION

# %% role="check" exercise="make_loaders"
check("make_loaders")

# %% role="grade" exercise="transforms"
check("transforms")

# %%
as_tensor = make_transform(32)
loaders = make_loaders(TinyCIFAR10("data", True, as_tensor), TinyCIFAR10("data", False, as_tensor), batch_size=16)
for name, loader in zip(["training", "test"], loaders, strict=True):
    print(f"{name}: batches of", ", ".join(str(len(labels)) for images, labels in loader), "images")

# %% [markdown]
# ## What DenseNet is, and why it needs fewer parameters
#
# In a deep chain of layers, each layer sees only the one before it, and what early layers found is soon lost.
# [ResNet](https://arxiv.org/abs/1512.03385) carries it along by **addition**: a layer's output is added to its input.
# Both must then have the same number of channels, so a wide stream needs wide layers all the way.
#
# DenseNet carries it along by **concatenation**: a layer's few new channels are put beside all earlier ones, and the
# next layer reads the whole stack. Nothing is overwritten, so a layer writes only what is new: 32 channels here, the
# *growth rate* $k$. A 3 × 3 convolution from $C_\text{in}$ to $C_\text{out}$ channels has
# $9\,C_\text{in}\,C_\text{out}$ weights, and $C_\text{out} = k$ stays small.
#
# **What to see:** six layers, 256 channels at the end, both ways; above, who is wired to whom, below, what each layer
# reads and writes. Left, a layer writes as much as it reads, and after the sum nobody can tell who wrote what. Right,
# it writes a thin slice, which keeps its colour in all that later layers read.

# %% folded=true
# @title Adding and concatenating: the wiring, and what each layer reads and writes
LAYERS, GROWTH, START = 6, 32, 64
END = START + LAYERS * GROWTH
SUM = "#9ecae1"
WRITER = ["0.6", *plt.colormaps["plasma"](np.linspace(0.1, 0.92, LAYERS))]  # a colour for the input and for each layer


def draw_box(axis: plt.Axes, x: float, y: float, text: str, color: object, ink: str = "black") -> None:
    axis.text(x, y, text, ha="center", va="center", color=ink, fontsize=10, zorder=3,
              bbox={"boxstyle": "round,pad=0.35", "facecolor": color, "edgecolor": "black"})


def draw_arrow(axis: plt.Axes, start: tuple, end: tuple, color: object, bend: float = 0.0, away: float = 9) -> None:
    axis.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=9,
                                   color=color, linewidth=1.4, shrinkA=away, shrinkB=9, zorder=2))


figure, ((add_wires, join_wires), (adding, joining)) = plt.subplots(
    2, 2, figsize=(12.5, 7.2), sharex="col", height_ratios=[1, 1.8], layout="constrained")
for axis in (add_wires, join_wires):
    axis.set(xlim=(-0.5, 7.3), ylim=(-0.25, 1.25))
    axis.axis("off")
    draw_box(axis, 0, 0, "input", WRITER[0])

for layer in range(1, LAYERS + 1):
    draw_arrow(add_wires, (layer - 1 + 0.42 * (layer > 1), 0), (layer + 0.42, 0), SUM)
    draw_arrow(add_wires, (layer - 0.35, 0), (layer, 1), SUM, -0.2, away=0)
    draw_arrow(add_wires, (layer, 1), (layer + 0.42, 0), "#e6862e", -0.2)
    draw_box(add_wires, layer, 1, f"{layer}", "#fdb863")
    add_wires.text(layer + 0.42, 0, "+", ha="center", va="center", zorder=4,
                   bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black"})
    for writer in range(layer):
        draw_arrow(join_wires, (writer, 0), (layer, 0), WRITER[writer], -0.45)
    ink = "white" if layer < 4 else "black"
    draw_box(join_wires, layer, 0, f"{layer}", WRITER[layer], ink)
add_wires.set_title("Adding (ResNet): every layer changes one stream")
join_wires.set_title("Concatenating (DenseNet): every layer reads all that was written")

WRITES = {"edgecolor": "black", "hatch": "///"}
for layer in range(1, LAYERS + 1):
    adding.bar(layer - 0.2, END, 0.4, color=SUM, edgecolor="black")
    adding.bar(layer + 0.2, END, 0.4, color="#fdb863", **WRITES)
    adding.text(layer, END + 5, f"{9 * END * END:,}", ha="center", fontsize=9)
    reads = START + (layer - 1) * GROWTH
    for writer in range(layer):
        bottom = START + (writer - 1) * GROWTH if writer else 0
        joining.bar(layer, GROWTH if writer else START, 0.7, bottom, color=WRITER[writer], edgecolor="black")
    joining.bar(layer, GROWTH, 0.7, reads, color=WRITER[layer], **WRITES)
    joining.text(layer, reads + GROWTH + 5, f"{9 * reads * GROWTH:,}", ha="center", fontsize=9)
for writer in range(LAYERS + 1):
    middle = START + (writer - 0.5) * GROWTH if writer else START / 2
    what = "the input" if not writer else f"layer {writer} wrote" if writer < LAYERS else "layer 6 writes"
    joining.text(6.42, middle, what, va="center", fontsize=9)
labelled = {"ha": "center", "va": "center", "rotation": 90, "fontsize": 10}
adding.text(0.8, END / 2, "reads the sum of all so far", **labelled)
adding.text(1.2, END / 2, "writes what is added", **labelled, bbox={"facecolor": "#fdb863", "edgecolor": "none", "pad": 2})
total = sum(9 * (START + layer * GROWTH) * GROWTH for layer in range(LAYERS))
adding.set_title(f"{LAYERS * 9 * END * END:,} weights", pad=12)
joining.set_title(f"{total:,} weights", pad=12)
for axis in (adding, joining):
    axis.set(xlabel="layer (above each bar: weights of its 3 × 3 convolution)", ylim=(0, 275), xticks=range(1, LAYERS + 1))
adding.set_ylabel("channels")
plt.show()

# %% [markdown]
# Fourteen times fewer. Real networks first squeeze the channels with a cheap 1 × 1 convolution (a *bottleneck*), in
# both families, and then the gap is smaller: 417,792 weights for six bottleneck layers of ResNet at 256 channels,
# 331,776 for DenseNet's first block. Over whole networks:
#
# | network (1,000 classes) | parameters | DenseNet-121 has |
# |---|---|---|
# | DenseNet-121 | 7,978,856 | |
# | ResNet-18 | 11,689,512 | 0.68 of it |
# | GoogLeNet, with its auxiliary heads | 13,004,888 | 0.61 of it |
# | ResNet-50 | 25,557,032 | 0.31 of it |
# | VGG-16 | 138,357,544 | 0.06 of it |
#
# The lecture's "about half the parameters of a ResNet" holds loosely: it depends on which ResNet.

# %%
imagenet_net = torchvision.models.densenet121(weights=None)  # for 1,000 classes, with random weights
print(imagenet_net.features.denseblock1.denselayer1)

# %% [markdown]
# That is one of its 58 dense layers. *Batch normalisation* (`norm`) shifts and scales each channel by the mean and the
# variance of the batch; `conv1` is the bottleneck; `conv2` writes the 32 new channels.
#
# ## Exercise 2: parameters
#
# ### `parameter_shapes`
#
# **Why.** The shapes are the network's skeleton: which layer is wide, which kernel is 7 × 7, where the sizes meet.
#
# **Write** a list of the shapes of all parameter tensors;
# [`Module.parameters`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html) visits them. **It is right
# when** the first of DenseNet-121's 364 shapes is `(64, 3, 7, 7)`: 64 kernels, 3 colours, 7 × 7 pixels.

# %% role="exercise" function="parameter_shapes"
def parameter_shapes(net: nn.Module) -> list[tuple[int, ...]]:
    """Returns the shape of every parameter tensor of `net`, each a plain tuple of int, in the network's own order."""
    ### BEGIN SOLUTION
    return [tuple(parameter.shape) for parameter in net.parameters()]
    ### END SOLUTION

# %% role="check" exercise="parameter_shapes"
check("parameter_shapes")

# %% [markdown]
# ### `count_parameters`
#
# **Why.** The number of parameters is what a network costs to store and, times four, to train with Adam.
#
# **Write** the number of single values that training changes. Parameters that were frozen (`requires_grad` is false) do
# not count. *Buffers*, such as batch normalisation's running means, are saved with the network but not trained, so they
# are no parameters. **It is right when** DenseNet-121 has 7,978,856.

# %% role="exercise" function="count_parameters"
def count_parameters(net: nn.Module) -> int:
    """Returns the number of scalars in the trainable parameters of `net`, as an int; buffers do not count."""
    ### BEGIN SOLUTION
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    ### END SOLUTION

# %% role="check" exercise="count_parameters"
check("count_parameters")

# %% role="grade" exercise="parameters"
check("parameters")

# %% [markdown]
# With your function, here is the whole network as a table. **What to see:** each dense block adds 32 channels a layer,
# each *transition* halves the channels, the height and the width. Most parameters sit in the last two blocks, where the
# stacks are high. The first block has 335,040: the 331,776 weights from above and 3,264 of batch normalisation.

# %%
def print_layers(net: nn.Module, image_size: int) -> None:
    """Prints what each stage of a DenseNet makes of one image: the output's shape and the stage's parameters."""
    print(f"{'stage':<14}{'kind':<13}{'channels':>9}{'height × width':>17}{'parameters':>13}")
    x = torch.zeros(1, 3, image_size, image_size)
    for name, stage in net.features.named_children():
        x = stage(x)
        size = f"{x.shape[2]} × {x.shape[3]}"
        print(f"{name:<14}{type(stage).__name__:<13}{x.shape[1]:>9,}{size:>17}{count_parameters(stage):>13,}")
    head = net.classifier
    print(f"{'classifier':<14}{'Linear':<13}{head.out_features:>9,}{'':>17}{count_parameters(head):>13,}")
    print(f"{'all':<53}{count_parameters(net):>13,}")


with torch.no_grad():
    print_layers(imagenet_net.eval(), image_size=224)

# %% [markdown]
# ### Why 224 becomes 112, and what keeps its size
#
# A kernel is laid on the picture wherever it fits, every `stride` pixels. The first convolution (7 × 7, stride 2) puts
# a *padding* of three zeros around the picture, so that its 7 pixels can be centred on the very first one: 230 pixels,
# 224 places to lay it on, and with every second of them 112. A 3 × 3 kernel needs one zero around for each pixel to be
# a centre, a 1 × 1 kernel none: both then keep the size.
#
# **What to see:** after the max pooling it is 56, so the first dense layer sees 56 × 56 points, not 112 × 112 as in
# the lecture.

# %%
def size_after(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Places where a kernel fits: the height or width that a convolution or a pooling gives."""
    return (size + 2 * padding - kernel) // stride + 1


print("7 × 7, stride 2, padding 3: 224 ->", size_after(224, kernel=7, stride=2, padding=3))
print("max pooling 3 × 3, stride 2, padding 1: 112 ->", size_after(112, kernel=3, stride=2, padding=1))
print("3 × 3, padding 1: 56 ->", size_after(56, kernel=3, padding=1), "    without padding:", size_after(56, kernel=3))
print("1 × 1: 56 ->", size_after(56, kernel=1))

# %% [markdown]
# ## Exercise 3: block
#
# ### `DenseLayer`
#
# **Why.** All that makes a DenseNet dense happens in this one layer, 58 times over: read the whole stack, write a few
# channels, put them behind. Whoever has written it knows the network.
#
# **Write** the class, a [`Module`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html): its parts in
# `__init__`, what they do in `forward`. Batch normalisation, ReLU and a 1 × 1 convolution squeeze all channels to
# `bottleneck` · `growth`; batch normalisation, ReLU and a 3 × 3 convolution, which keeps height and width, write
# `growth` new ones. Neither convolution has a bias. The printout of `denselayer1` above shows the parts of such a layer
# of 64 channels, growth 32 and bottleneck 4.
#
# **It is right when** the result is the stack that came in, unchanged, with the new channels behind it; when the parts
# have torchvision's names (`norm1`, `conv1`, `norm2`, `conv2`), so that its weights fit and the new channels agree with
# its own, in training as in evaluation mode; and when gradients reach the input and every parameter.

# %% role="exercise" function="DenseLayer"
class DenseLayer(nn.Module):
    """Reads all channels so far, and returns them with `growth` new ones behind.

    channels: how many come in. The first convolution makes `bottleneck` * `growth` of them, the second one `growth`.
    """

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, kernel_size=3, padding=1, bias=False)
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) -> (batch, channels + growth, height, width); `x` itself stays as it is."""
        ### BEGIN SOLUTION
        squeezed = self.conv1(F.relu(self.norm1(x)))
        new = self.conv2(F.relu(self.norm2(squeezed)))
        return torch.cat([x, new], dim=1)
        ### END SOLUTION

# %% role="check" exercise="DenseLayer"
check("DenseLayer")

# %% role="grade" exercise="block"
check("block")

# %% [markdown]
# ### What the dense paths are good for
#
# A gradient comes from the loss and passes every layer on its way to the first one. In a plain stack that is a product
# of many factors, and products run away: towards zero or towards infinity. Along the dense paths there is a short way
# from the loss to every layer. Is that so? Your layers, 24 in a row, once dense, and once plain: there each layer
# passes on its new channels alone.

# %%
DEPTH, WIDTH = 24, 12


class Plain(nn.Module):
    """A dense layer without its dense path: what it read is not passed on."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[:, x.shape[1]:]


def gradient_sizes(dense: bool, normalised: bool) -> list[float]:
    """The root mean square of the gradient that reaches `conv1` of each layer of a new stack, first layer first."""
    torch.manual_seed(0)  # the same pictures and weights each time
    layers = [DenseLayer(WIDTH * (1 + earlier * dense), growth=WIDTH) for earlier in range(DEPTH)]
    stack = nn.Sequential(*(layers if dense else map(Plain, layers)))
    if not normalised:
        for layer in layers:
            layer.norm1 = layer.norm2 = nn.Identity()
    maps = stack(torch.randn(16, WIDTH, 16, 16))
    scores = nn.Linear(maps.shape[1], 10)(maps.mean(dim=(2, 3)))
    F.cross_entropy(scores, torch.arange(16) % 10).backward()
    return [layer.conv1.weight.grad.square().mean().sqrt().item() for layer in layers]


sizes = {(dense, normalised): gradient_sizes(dense, normalised) for dense in (True, False) for normalised in (True, False)}

# %% [markdown]
# **What to see:** the scale is logarithmic. Without batch normalisation next to nothing reaches any layer of the plain
# stack. Batch normalisation cures that, and then the gradients of the plain stack grow from layer to layer on their way
# back, more than a thousandfold. In the dense stack all layers are within a factor of about ten, both times.

# %% folded=true
# @title Gradients, layer by layer
figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
for axis, normalised in zip(axes, [False, True], strict=True):
    for dense, name, color, style in [(True, "dense", "tab:blue", "o-"), (False, "plain", "tab:orange", "s--")]:
        found = sizes[dense, normalised]
        axis.semilogy(range(1, DEPTH + 1), found, style, color=color, markersize=4, label=name)
        print(f"{name}, {'with' if normalised else 'without'} batch normalisation: the largest gradient is"
              f" {max(found) / min(found):,.0f} times the smallest, {min(found):.0e}")
    axis.set(xlabel="layer (the loss is behind the last)", title=f"{'with' if normalised else 'without'} batch normalisation")
    label_ends(axis, axis.lines)
axes[0].set_ylabel("gradient (root mean square)")
plt.show()

# %% [markdown]
# ## Exercise 4: classifier
#
# **Why.** The last layer gives 1,000 scores, one for each class of ImageNet. CIFAR-10 has ten classes. Everything
# before it can stay: the features do not know how many classes there are.
#
# **Write** a function that puts a fresh
# [`nn.Linear`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html) in place of `net.classifier`. Read
# its input width from the network, so that it works for DenseNet-161 too (2,208, not 1,024), and keep it on the device
# where the old one was. **It is right when** nothing else changes and DenseNet-121 has 6,964,106 parameters afterwards.

# %% role="exercise" function="replace_classifier"
def replace_classifier(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces `net.classifier` by a new random linear layer with bias, and returns the same network.

    The new layer maps (batch, features) to (batch, num_classes) scores, features as before, on the old one's device.
    All other weights and buffers stay as they were.
    """
    ### BEGIN SOLUTION
    old = net.classifier
    net.classifier = nn.Linear(old.in_features, num_classes, device=old.weight.device)
    return net
    ### END SOLUTION

# %% role="grade" exercise="classifier"
check("classifier")

# %%
ten_classes = replace_classifier(torchvision.models.densenet121(weights=None), num_classes=10)
print(f"{count_parameters(ten_classes):,} parameters, {parameter_shapes(ten_classes)[-2:]} in the new classifier")

# %% [markdown]
# ## Exercise 5: weights
#
# What does training do to the weights? To see it, keep a copy from before. The lecture watches two layers: the very
# first convolution, and the first bottleneck convolution. (It calls the latter `denselayer1[2]`; dense layers can no
# longer be indexed, the layer is `denselayer1.conv1`.)
#
# ### `snapshot_weights`
#
# **Why.** A tensor is a handle: training changes what it points to. Two handles of the same weights would show you "no
# difference" ever after.
#
# **Write** copies of the named weights. **They are right when** they lie on the CPU, take no part in gradients, and no
# later training step can change them. An unknown name raises `KeyError`.

# %% role="exercise" function="snapshot_weights"
def snapshot_weights(net: nn.Module, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Returns a dict from each of `names` (as in `net.named_parameters()`) to a copy of that weight as it is now.

    The copies are on the CPU, detached, and independent of the network. Raises KeyError for a name that is neither a
    parameter nor a buffer of `net`.
    """
    ### BEGIN SOLUTION
    weights = net.state_dict()
    return {name: weights[name].detach().cpu().clone() for name in names}
    ### END SOLUTION

# %% role="check" exercise="snapshot_weights"
check("snapshot_weights")

# %% [markdown]
# ### `weight_difference`
#
# **Why.** What training did to a weight is the difference of two snapshots.
#
# **Write** before − after, as in the lecture, so a weight that grew has a negative difference. **It is right when** the
# weights are matched by name, in whatever order the dicts hold them, and both dicts stay as they were.

# %% role="exercise" function="weight_difference"
def weight_difference(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns a dict with the same names: `before` minus `after`, each with its weight's shape."""
    ### BEGIN SOLUTION
    return {name: before[name] - after[name] for name in before}
    ### END SOLUTION

# %% role="check" exercise="weight_difference"
check("weight_difference")

# %% [markdown]
# ### `weight_grid`
#
# **Why.** The kernels of the first convolution have three channels, as a picture has: each can be looked at in colour,
# and shows the patch of image it answers to. Deeper kernels have one channel for each map that they read, so only one
# kernel is shown, a grey patch a channel.
#
# **Write** one picture of them all;
# [`make_grid`](https://docs.pytorch.org/vision/stable/generated/torchvision.utils.make_grid.html) lays out patches.
# **It is right when** there are eight patches to a row with two pixels between them, all scaled together so that the
# smallest value is 0 and the largest is 1.

# %% role="exercise" function="weight_grid"
def weight_grid(weight: torch.Tensor) -> torch.Tensor:
    """Returns a picture (3, H, W) of the kernels, in [0, 1], eight to a row.

    weight: (K, 3, h, w) gives K colour patches; any other (K, C, h, w) the C channels of its first kernel, in grey. It
    stays as it is.
    """
    ### BEGIN SOLUTION
    patches = weight if weight.shape[1] == 3 else weight[0].unsqueeze(1)
    return torchvision.utils.make_grid(patches, nrow=8, normalize=True)
    ### END SOLUTION

# %% role="check" exercise="weight_grid"
check("weight_grid")

# %% role="grade" exercise="weights"
check("weights")

# %%
WATCHED = ["features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight"]
for name, weight in snapshot_weights(ten_classes, WATCHED).items():
    print(f"{name}: {tuple(weight.shape)}, as a picture {tuple(weight_grid(weight).shape)}")

# %% [markdown]
# ## Exercise 6: training
#
# ### A small detective story: the impossible loss
#
# The lecture trains with 50,000 images, tests with 10,000, in batches of 32. After its first epoch its notebook prints
# a training loss of **0.0417** and a test accuracy of **59.27 %**.
#
# The loss of an image is −ln(p), in *nats*, where p is the probability that the network gave to the right class. So a
# loss can be turned back into a probability, p = exp(−loss). A network that knows nothing gives each of ten classes p =
# 1/10 and loses ln 10 = 2.303 nats an image.

# %%
PRINTED = np.array([0.041725, 0.026344, 0.019356, 0.015529, 0.012718, 0.010575, 0.008777, 0.007313, 0.006126, 0.005103])
LECTURE_TEST_ACCURACY = np.array([59.27, 74.02, 77.74, 76.50, 84.75, 83.90, 85.13, 84.26, 85.43, 86.06]) / 100
FACTOR = 1  # what if each printed loss were too small by some factor? Try others

print("epoch   training loss   so p of the right class   test images recognised")
for epoch, (loss, accuracy) in enumerate(zip(FACTOR * PRINTED, LECTURE_TEST_ACCURACY, strict=True), 1):
    print(f"{epoch:5}{loss:16.4f}{np.exp(-loss):26.1%}{accuracy:25.1%}")

# %% [markdown]
# - **Clue 1.** The right class gets 96 % after one epoch, while four of ten test images are not recognised. Can both
#   be? Which `FACTOR` would make the first row believable, and which number of the lecture's run is it?
# - **Clue 2.** The test loss that the lecture plots is at least *five times* the training loss in every epoch, even in
#   the first, when no image can have been learnt by heart. Which two numbers of its run are five to one?
#
# Who did it? Make a guess before you read on.
#
# <details><summary><b>The solution of the case</b> (click)</summary>
#
# There were two culprits, both in the bookkeeping; the network itself was trained as it should be.
#
# 1. *The shrunken sum.* The criterion gives the mean loss over a batch. The lecture adds up these 1,563 means and
#    divides by 50,000 *images*: 32 times too small. With `FACTOR = 32` the first loss is 1.335 nats, so p = 26 %.
# 2. *The stowaway.* The running sum is not set back to zero between training and testing. So the training loss travels
#    into the test loss, and there it is divided by 10,000 instead of 50,000: five times the training loss, under every
#    test loss.
#
# The cure: weigh every batch by its number of images, and let training and testing each keep their own sum. Two
# separate functions make the second slip impossible.
#
# </details>
#
# You will write the honest bookkeeping now, and see both versions of your own curves at the end.
#
# ### `pick_device`
#
# **Why.** A GPU trains this network tens of times faster, but not every machine has one, and a notebook that insists on
# `"cuda"` stops on all others.
#
# **Write** a choice between the devices; [`torch.cuda`](https://docs.pytorch.org/docs/stable/cuda.html) and, for Macs,
# [`torch.backends.mps`](https://docs.pytorch.org/docs/stable/backends.html) say what there is. **It is right when** it
# is the accelerator where there is one, else the CPU.

# %% role="exercise" function="pick_device"
def pick_device() -> torch.device:
    """Returns the accelerator of this machine if it has one, else the CPU."""
    ### BEGIN SOLUTION
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    ### END SOLUTION

# %% role="check" exercise="pick_device"
check("pick_device")

# %% [markdown]
# ### `train_one_epoch`
#
# **Why.** This is where learning happens. For each batch: forget the old gradients, compute the scores, the loss and
# its *gradients* (how the loss would change with each weight), and let the *optimizer* take a step that lowers the
# loss. The lecture's, [Adam](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html), gives each weight a
# step size of its own.
#
# **Write** one pass over the loader. The network gives raw scores, one for each class; `criterion` is
# [`nn.NLLLoss`](https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html), which wants logarithms of
# probabilities: `F.log_softmax(scores, dim=1)`. Images and labels must go to the network's device. In *training mode*
# (see [`Module.train`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html)) batch normalisation uses
# the batch's own statistics.
#
# **It is right when** loss and accuracy are means over the *images* seen, plain Python floats, also if the last batch
# is smaller.

# %% role="exercise" function="train_one_epoch"
def train_one_epoch(net: nn.Module, loader: DataLoader, criterion: Callable, optimizer: torch.optim.Optimizer,
                    device: torch.device) -> tuple[float, float]:
    """Trains `net` on every batch of `loader` once, in training mode.

    net: on `device`, maps images (batch, 3, height, width) to scores (batch, classes).
    criterion: maps log-probabilities (batch, classes) and labels (batch,) to the mean loss of the batch, in nats.
    Returns (loss, accuracy): nats per image, and a fraction in [0, 1], over the images seen during the pass.
    """
    ### BEGIN SOLUTION
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)  # a tensor until the end: .item() would wait for the GPU here
        correct += (scores.argmax(dim=1) == labels).sum()
        seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)
    ### END SOLUTION

# %% role="check" exercise="train_one_epoch"
check("train_one_epoch")

# %% [markdown]
# ### `evaluate`
#
# **Why.** The training accuracy says how well the network knows what it was shown. Only images that it never trained on
# say what it has learnt.
#
# **Write** the same figures in *evaluation mode*, in which batch normalisation uses the running statistics it gathered
# in training, and without gradients
# ([`torch.no_grad`](https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html)), which saves memory and time.
# **It is right when** testing twice gives the same figures twice: no weight, no buffer and no gradient changes.

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

# %% [markdown]
# ### `fit`
#
# **Why.** One epoch is not enough, and a run that takes an hour should tell you early when it goes wrong.
#
# **Write** the loop that calls your two functions once an epoch, prints a line as each epoch ends, and keeps the
# figures. **It is right when** each list of the history has one float for each epoch.

# %% role="exercise" function="fit"
def fit(net: nn.Module, train_loader: DataLoader, test_loader: DataLoader, criterion: Callable,
        optimizer: torch.optim.Optimizer, device: torch.device, epochs: int = 10) -> dict[str, list[float]]:
    """Trains and tests `net` once an epoch, and prints a line as each epoch ends.

    Returns a dict of lists with one float an epoch: "train_loss" and "test_loss" (nats per image), "train_accuracy" and
    "test_accuracy" (fractions in [0, 1]), "seconds" (wall time of the epoch, training and test).
    Other arguments are as for `train_one_epoch`.
    """
    ### BEGIN SOLUTION
    history = {name: [] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        for values, value in zip(history.values(), (*train, *test, time.perf_counter() - start), strict=True):
            values.append(value)
        print(f"epoch {epoch}/{epochs}:", ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items()))
    return history
    ### END SOLUTION

# %% role="check" exercise="fit"
check("fit")

# %% role="grade" exercise="training"
check("training")

# %% [markdown]
# ## The run: a rehearsal, or the real experiment
#
# | | `FULL_EXPERIMENT = False` | `FULL_EXPERIMENT = True` |
# |---|---|---|
# | images | 120 for training, 50 for testing, in `data/` | all: 50,000 and 10,000 (downloads 170 MB) |
# | size | 32 × 32 pixels | 224 × 224 pixels, as in the lecture |
# | batch, epochs | 16, 10 | 32, 10 |
# | optimizer | Adam, learning rate 1e-3 (few steps, so longer ones) | Adam, learning rate 1e-4 |
# | where, how long | any laptop, about half a minute | a GPU: 95 minutes on the lecture's (a CPU: 1½ days) |
# | if it is cut off | starts again | goes on after the last whole epoch |
#
# Solve everything with `False`. Then, if you have a GPU, set `True`, restart the kernel and run all cells. Colab lends
# one (Runtime, Change runtime type). There, first mount Google Drive (the folder icon on the left): the experiment is
# saved on it after every epoch, and survives when Colab takes the machine back.

# %%
FULL_EXPERIMENT = False

if FULL_EXPERIMENT:
    IMAGE_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 224, 32, 10, 1e-4
    SEED = experiment_seed(experiment_folder("densenet121"))  # of the experiment your own
else:
    IMAGE_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 32, 16, 10, 1e-3
    SEED = 40
    torch.set_num_threads(1)  # images this small keep one core busy; more threads would wait for each other


def cifar10(train: bool, transform: Callable) -> Dataset:
    """CIFAR-10's training or test images, all of them or the tiny subset, as the switch says."""
    if FULL_EXPERIMENT:
        return torchvision.datasets.CIFAR10("data", train=train, transform=transform, download=True)
    return TinyCIFAR10("data", train=train, transform=transform)


device = pick_device()
transform = make_transform(IMAGE_SIZE)
train_set, test_set = cifar10(train=True, transform=transform), cifar10(train=False, transform=transform)
train_loader, test_loader = make_loaders(train_set, test_set, BATCH_SIZE)
print(f"{len(train_set):,} training images in {len(train_loader):,} batches, {len(test_set):,} test images, on {device}")

# %% [markdown]
# The next cell is the whole run, from the random weights to the trained ones. Its seed makes it the same run each time.
# The network moves to the device *before* the optimizer is built, so that the optimizer holds the weights that are
# trained.
#
# With the switch on, `run_experiment` asks your `fit` for one epoch at a time (so its lines say 1 of 1), shows the
# images per second and the time left, and saves everything after each epoch, on Google Drive where it is mounted, else
# in the folder `densenet121/`. If Colab takes the machine back or you interrupt, run all cells again: it goes on after
# the last whole epoch. For bonus points hand in `claim.safetensors` from that folder beside the notebook (`autograder
# pack` takes it along): your weights and your figures, which the grader checks. It starts from a seed of your own.

# %%
torch.manual_seed(SEED)
net = replace_classifier(torchvision.models.densenet121(weights=None), num_classes=10).to(device)
criterion, optimizer = nn.NLLLoss(), torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
before = snapshot_weights(net, WATCHED)

run = (net, train_loader, test_loader, criterion, optimizer, device, EPOCHS)
where = {"folder": experiment_folder("densenet121"), "seed": SEED} if FULL_EXPERIMENT else {}
history = run_experiment(fit, *run, **where) if FULL_EXPERIMENT else fit(*run)

after = snapshot_weights(net, WATCHED)

# %% [markdown]
# ## Exercise 7: plots
#
# **Why.** Ten rows of figures hide what two curves show: whether training still helps, and whether it helps on images
# that the network has not seen.
#
# **Write** a [`Figure`](https://matplotlib.org/stable/api/figure_api.html) with two axes, the loss first, then the
# accuracy (fractions or percent). Different line styles or markers help those who cannot tell red from green.
#
# **It is right when** a reader needs no further word: epochs from 1, both axes labelled, a legend on each, training in
# red and test in green.

# %% role="exercise" function="plot_history"
def plot_history(history: dict[str, list[float]]) -> plt.Figure:
    """Returns a figure of `fit`'s history: loss (nats per image) and accuracy against the epoch, from 1.

    Two axes, loss first; training red, test green; labels on both axes and a legend on each.
    """
    ### BEGIN SOLUTION
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), facecolor="white", layout="constrained")
    epochs = range(1, len(history["train_loss"]) + 1)
    for axis, quantity, unit in zip(axes, ("loss", "accuracy"), ("nats per image", "fraction of images"), strict=True):
        axis.plot(epochs, history[f"train_{quantity}"], "o-", color="tab:red", label="training")
        axis.plot(epochs, history[f"test_{quantity}"], "s--", color="tab:green", label="test")
        axis.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
        axis.locator_params("x", integer=True)
        axis.legend()
    return figure
    ### END SOLUTION

# %% role="grade" exercise="plots"
check("plots")

# %% [markdown]
# ### Your run beside the lecture's
#
# The black lines are the lecture's own ten epochs on all of CIFAR-10: its printed training loss times 32 (per image, as
# yours), and its test accuracy. **What to see:** on the tiny data your training accuracy runs far ahead of your test
# accuracy. 120 images can be learnt by heart (*overfitting*); the lecture's 50,000 cannot, so what its network learns
# carries over to new images. It has not *converged* after ten epochs either: in the last one its training loss still
# fell by 17 %, and its test accuracy rose by 0.6 points. So 86 % is where it was stopped, not what it can do.

# %% folded=true
# @title Draws the lecture's lines beside yours
def draw_beside_the_lecture(figure: plt.Figure) -> None:
    """Adds the lecture's ten epochs, and what guessing would give, to a figure of `plot_history`."""
    figure.set_layout_engine("constrained")
    loss_axis, accuracy_axis = figure.axes[:2]
    unit = 100 if accuracy_axis.get_ylim()[1] > 2 else 1  # whether the axis shows percent or fractions
    epochs = np.arange(1, 11)
    for axis, values, chance, names in [
        (loss_axis, 32 * PRINTED, np.log(10), ("lecture,\ntraining", "guessing:\nln 10")),
        (accuracy_axis, unit * LECTURE_TEST_ACCURACY, unit / 10, ("lecture,\ntest", "guessing:\n1 of 10")),
    ]:
        lines = axis.plot(epochs, values, "k^:", epochs, np.full(10, chance), "-", markersize=5)
        lines[1].set(color=GREY, linewidth=1)
        for line, name in zip(lines, names, strict=True):
            line.set_label(name)
        axis.set_ylim(bottom=0)
        label_ends(axis, lines)


# %% role="plot" name="curves" points=3
figure = plot_history(history)
draw_beside_the_lecture(figure)
plt.show()
### BEGIN SOLUTION
# *Rubric.* 1 point: both curves of the student's own run are there, one point an epoch, training and test told apart.
# 1: axes labelled, a legend on each. 1: the run is one: the training loss starts near ln 10 = 2.3 and falls (or the
# student says why it does not). Cells left as released with a right `plot_history` above get all three.
### END SOLUTION

# %% [markdown]
# ### The case, closed
#
# Here is your own run, kept in the lecture's books and in yours. The lecture divides by images where it should count
# batches, and carries the training loss along; on the tiny data the stowaway weighs 120/50 = 2.4 instead of 5. **What
# to see:** in the false books (left) the scale is far too small, and the test loss sinks along with the training loss
# that it carries. In the honest books (right) the test loss goes its own way, on the tiny data soon upwards. The slip
# would have hidden the overfitting.

# %% folded=true
# @title The same run in two books
train_sums = np.array(history["train_loss"]) * len(train_loader)
test_sums = np.array(history["test_loss"]) * len(test_loader)
lecture_books = {"training": train_sums / len(train_set), "test": (train_sums + test_sums) / len(test_set)}
honest_books = {"training": history["train_loss"], "test": history["test_loss"]}

figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
axes[0].set(title="Your run in the lecture's books", ylabel="loss, summed up as in the lecture")
axes[1].set(title="Your run in your books", ylabel="loss (nats per image)")
for axis, books in zip(axes, [lecture_books, honest_books], strict=True):
    for (name, losses), style, color in zip(books.items(), ["o-", "s--"], [RED, GREEN], strict=True):
        axis.plot(range(1, len(losses) + 1), losses, style, color=color, label=name)
    axis.set(xlabel="epoch", ylim=(0, None))
    label_ends(axis, axis.lines)
plt.show()

# %% [markdown]
# **A sentence of the lecture, answered.** It reads from its plot that the test loss falls *faster* than the training
# loss, and takes that for generalisation. In its books the test loss cannot do otherwise: it carries five times the
# training loss. The next cell does the lecture's sums for three networks whose true test loss never changes.
# What does speak for generalisation is the other curve: from 59 to 86 % of images it was never trained on.

# %%
training_sums, test_batches = PRINTED * 50_000, 10_000 / 32  # a training sum is not set back to zero before the test
print(f"training loss as printed: {PRINTED[0]:.4f} -> {PRINTED[-1]:.4f}, falls by {PRINTED[0] - PRINTED[-1]:.4f}")
for network, honest_loss in [("perfect", 0.0), ("middling", 1.2), ("guessing", np.log(10))]:
    plotted = (training_sums + test_batches * honest_loss) / 10_000
    print(f"test loss, always {network:>9} ({honest_loss:.1f} nats): plotted as {plotted[0]:.4f} -> {plotted[-1]:.4f}, "
          f"falls by {plotted[0] - plotted[-1]:.4f}")

# %% [markdown] role="question" name="oscillation" points=4
# ### Question 1: why does the test accuracy oscillate?
#
# The lecture's training loss falls in every one of its ten epochs. Its test accuracy does not rise in every one: it
# goes 77.74, 76.50, 84.75, 83.90, 85.13, 84.26 %. Give two reasons for this back and forth, say for each whether it
# would be stronger or weaker in your run on 50 test images, and name one thing that would calm it.
#
# ### BEGIN SOLUTION
# *Model answer.* (1) Adam steps along gradients of small batches at a fixed rate. The weights at the end of an epoch
# are one point of a noisy path around a good region, and the loss of the training images, averaged over the whole
# epoch, smooths this noise while the test accuracy sees only that last point. Decision boundaries move, and images near
# them change sides. (2) The test set is a finite sample: at 85 % of 10,000 images the standard error is 0.36 points, at
# 30 % of 50 images 6.5 points (one image is 2 points), so this reason is far stronger in the small run. The lecture's
# drops of about 1 point are larger than (2) alone would usually make them. Also right: training minimises the loss of
# *training* images, not the test accuracy, so overfitting lets the two part; batch normalisation tests with running
# statistics that lag behind the weights (stronger in the small run: few steps, small batches). Calmer with: a learning
# rate that decays, an average of the weights over steps, larger batches, more test images, several runs averaged.
#
# *Rubric.* 1 point for each reason that is right (at most 2); 1 for comparing with the small run, with a number or an
# argument; 1 for a remedy that fits a reason given. "Overfitting" alone, without why it goes back *up*: at most 1.
# ### END SOLUTION

# %% [markdown]
# ## What does your network say?
#
# One test image of each class, the three answers your network finds likeliest, and how sure it is of them. **What to
# see:** being sure and being right are two things. A network that has learnt 120 images by heart is often sure of a
# wrong answer: its loss on those images left it nothing to be modest for.

# %% folded=true
# @title Ten test images, and what your network says
net.eval()
with torch.no_grad():
    sure = torch.cat([F.softmax(net(images.to(device)), dim=1).cpu() for images, _ in test_loader]).numpy()
truth, said = np.array(test_set.targets), sure.argmax(axis=1)

figure, rows = plt.subplots(4, 5, figsize=(12, 7.4), height_ratios=[2, 1, 2, 1], layout="constrained")
for class_index, name in enumerate(test_set.classes):
    row, column = 2 * (class_index // 5), class_index % 5
    example = np.flatnonzero(truth == class_index)[0]
    photo, bars = rows[row, column], rows[row + 1, column]
    photo.imshow(test_set.data[example])
    photo.set_title(f"{name} {'✓' if said[example] == class_index else '✗'}", fontsize=11)
    photo.axis("off")
    likeliest = sure[example].argsort()[:-4:-1]
    colors = ["#7fc97f" if answer == class_index else "0.75" for answer in likeliest]
    bars.barh([2, 1, 0], sure[example][likeliest], color=colors)
    for height, answer in zip([2, 1, 0], likeliest, strict=True):
        bars.text(0.02, height, f"{test_set.classes[answer]} {sure[example][answer]:.0%}", va="center", fontsize=10)
    bars.set(xlim=(0, 1))
    bars.axis("off")
figure.suptitle("Three likeliest answers to one test image of each class (green: the right one)")
plt.show()

# %% [markdown]
# **What to see:** a row for each class, and in it what your network took its test images for. The diagonal is right.
# Look for pairs that share a background, as ship and airplane, or a shape, as cat and dog.

# %% folded=true
# @title Confusion matrix
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (truth, said), 1)
figure, axis = plt.subplots(figsize=(7, 6), layout="constrained")
axis.imshow(confusion, cmap="Blues", vmin=0)
for (row, column), count in np.ndenumerate(confusion):
    ink = "white" if count > confusion.max() / 2 else "black"
    axis.text(column, row, f"{count:,}" if count else "·", ha="center", va="center", color=ink, fontsize=10)
axis.set(xlabel="what your network said", ylabel="what it was", yticks=range(10), yticklabels=test_set.classes)
axis.set_xticks(range(10), test_set.classes, rotation=45, ha="right")
share = np.trace(confusion) / confusion.sum()
error = np.sqrt(share * (1 - share) / confusion.sum())
axis.set_title(f"{share:.1%} of {confusion.sum():,} test images recognised (standard error {error:.1%})", fontsize=11)
plt.show()

# %% [markdown]
# ## The kernels before, after, and their difference
#
# **How to read it.** The top row is the lecture's view, by your `weight_grid`: the 64 kernels of the first convolution
# in colour, each picture scaled on its own, so compare patterns in it and not brightness. The heat maps have one scale
# for *before* and *after* and one for the difference: blue is negative, white zero, red positive. The middle row shows
# the same 64 kernels of 7 × 7 as the mean of their three colours. In the bottom row a kernel is 1 × 1, a single weight
# for each of the 64 channels that it reads.

# %% folded=true
# @title Draws kernels
def side_by_side(patches: torch.Tensor) -> np.ndarray:
    """64 patches (64, h, w) as one picture (8 h, 8 w), eight to a row, without gaps."""
    _, height, width = patches.shape
    return patches.reshape(8, 8, height, width).transpose(1, 2).reshape(8 * height, 8 * width).numpy()


def draw_kernels(*moments: dict[str, torch.Tensor]) -> plt.Figure:
    """Draws both watched layers, a column for each of before, after and their difference."""
    first, second = WATCHED
    figure, rows = plt.subplots(3, 3, figsize=(12, 12.4), layout="constrained")
    for axis, weights, when in zip(rows[0], moments, ["before", "after", "before − after"], strict=True):
        axis.imshow(weight_grid(weights[first]).permute(1, 2, 0), interpolation="nearest")
        axis.set_title(when, fontsize=13)
    for row, pictures in [
        (rows[1], [side_by_side(weights[first].mean(dim=1)) for weights in moments]),
        (rows[2], [side_by_side(weights[second][0]) for weights in moments]),
    ]:
        for axes, group in [(row[:2], pictures[:2]), (row[2:], pictures[2:])]:
            largest = max(np.abs(picture).max() for picture in group)
            for axis, picture in zip(axes, group, strict=True):
                edges = np.arange(1, 8) * len(picture) / 8 - 0.5
                axis.hlines(edges, -0.5, len(picture) - 0.5, color="black", linewidth=0.3)
                axis.vlines(edges, -0.5, len(picture) - 0.5, color="black", linewidth=0.3)
                drawn = axis.imshow(picture, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
            what = "weight" if len(group) == 2 else "weight before − weight after"
            figure.colorbar(drawn, ax=list(axes), location="bottom", shrink=0.6, aspect=20 * len(group), label=what)
    names = ["in colour", "mean of the colours"]
    names = [*(f"first convolution,\n{name}" for name in names), "first bottleneck,\n64 weights of one kernel"]
    for row, name in zip(rows, names, strict=True):
        row[0].set_ylabel(name, fontsize=11)
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    return figure


# %% role="plot" name="kernels" points=3
difference = weight_difference(before, after)
figure = draw_kernels(before, after, difference)
plt.show()
for name in WATCHED:
    print(f"{name}: root mean square {before[name].square().mean().sqrt():.4f} before,"
          f" {after[name].square().mean().sqrt():.4f} after, {difference[name].square().mean().sqrt():.4f} difference")
### BEGIN SOLUTION
# *Rubric.* 1 point: both layers before, after, and their difference. 1: the kernels are told apart (a grid, not one
# grey patch). 1: the differences are not zero: the weights before are copies, and training moved the net.
### END SOLUTION

# %% [markdown] role="question" name="differences" points=4
# ### Question 2: what do the weight differences show?
#
# Look at the difference of `features.conv0.weight`, and at the printed sizes. What does the difference show that the
# kernels after training do not? How large is it beside the weights, and what does that say about the run? Why can the 1
# × 1 kernels below not be read as patterns?
#
# ### BEGIN SOLUTION
# *Model answer.* The kernels after training still look like the noise they began as, because the change is smaller than
# the random start; the difference takes the start away and leaves the sum of all steps. In the first layer it has
# structure that noise has not: neighbouring pixels changed together, so smooth blobs, edges and colours appear, since
# neighbouring pixels of images are alike and so are their gradients. Its size, root mean square beside root mean
# square, says how far training moved the weights: about 6 % after the small run (few steps of about the learning rate
# each), more after the full one. The difference has a scale of its own, so its colours must not be compared with those of
# the weights. As it is before − after, red means that the weight fell. The 1 × 1 kernels have no neighbourhood: a patch is
# one number, how strongly one of the 64 channels is read, and the order of channels means nothing.
#
# *Rubric.* 1 point: the difference removes the random start. 1: structure (smooth, coloured, oriented) against noise,
# or honestly reports that little is to be seen after few steps. 1: size compared with numbers, or the separate scaling
# noticed. 1: a 1 × 1 kernel mixes channels and has no spatial pattern.
# ### END SOLUTION

# %% [markdown]
# ### Two sentences of the lecture, put to the test
#
# **"The intensity changes, the shade does not."** If that were so, each kernel would be the old one, only stronger or
# weaker, and its change a multiple of itself. So: which share of the (squared) change lies along the old kernel? All of
# it, if the sentence holds; 1 of 147, if the change has nothing to do with the old kernel.
#
# **"Deep nets show no shapes."** A shape is what neighbouring pixels have in common. So: how alike are neighbouring
# weights of the first layer? 0 is noise, 1 is perfectly smooth.
#
# **What to see** after the small run: the first sentence has it the wrong way round, hardly any of the change is
# intensity. The second is true of the weights, which are still mostly their random start, and not of what they learnt.

# %%
first = WATCHED[0]
old, change = before[first].flatten(1), difference[first].flatten(1)
along = (old * change).sum(dim=1) ** 2 / (old.square().sum(dim=1) * change.square().sum(dim=1))
print(f"share of the change that is intensity: {along.mean():.1%} (by chance {1 / old.shape[1]:.1%})")


def neighbours_alike(kernels: torch.Tensor) -> float:
    """The correlation of each weight with the one on its right."""
    return torch.corrcoef(torch.stack([kernels[..., :-1].flatten(), kernels[..., 1:].flatten()]))[0, 1].item()


for when, weights in [("before", before), ("after", after), ("difference", difference)]:
    print(f"neighbouring weights alike, {when:<10}: {neighbours_alike(weights[first]):5.2f}")

# %% [markdown]
# ### The same on all of CIFAR-10
#
# Ten epochs on 120 images are a rehearsal. `data/whole_cifar10.npz` holds what the same functions gave on all 50,000
# training images, at 32 × 32 pixels and with the lecture's settings in all else: the history, and both watched layers
# before and after. **What to see:** the test loss turns upwards after the fifth epoch while the training loss goes on
# falling, so 50,000 images can be learnt by heart too. The test accuracy stays at 66 %, where the lecture's comes to 86 %:
# at 32 × 32 the last block sees a single point of each picture. And the difference of the kernels is a picture now, with
# edges and spots of colour, though the kernels themselves still look like the noise that they began as.

# %% folded=true
# @title The whole of CIFAR-10: curves and kernels
with np.load("data/whole_cifar10.npz") as whole:
    print(whole["about"])
    figure = plot_history({name: whole[name].tolist() for name in history})
    moments = [{name: torch.from_numpy(whole[f"{when} {name}"]) for name in WATCHED} for when in ("before", "after")]
draw_beside_the_lecture(figure)
plt.show()
moments.append({name: moments[0][name] - moments[1][name] for name in WATCHED})
figure = draw_kernels(*moments)
plt.show()
for when, weights in zip(("before", "after", "difference"), moments, strict=True):
    print(f"neighbouring weights alike, {when:<10}: {neighbours_alike(weights[first]):5.2f};"
          f" root mean square {weights[first].square().mean().sqrt():.4f}")

# %% [markdown]
# ## What fills the memory
#
# Training keeps two things. For every *parameter*: its value, its gradient and Adam's two running means, four floats of
# 4 bytes. For every *image of the batch*: the results of the layers on the way (*activations*), which the backward pass
# needs again. The next cell measures both at 224 × 224 pixels.

# %%
def activation_bytes(net: nn.Module, image_size: int) -> int:
    """Bytes that one training image leaves behind for the backward pass, without the parameters themselves."""
    parameters = {parameter.data_ptr() for parameter in net.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net.train()(torch.zeros(1, 3, image_size, image_size))
    return sum(kept.values())


MIB = 2**20
print(f"{'network':<15}{'parameters':>12}{'MiB for them':>15}{'MiB an image':>15}")
for name, other in {
    "DenseNet-121": torchvision.models.densenet121(weights=None),
    "GoogLeNet": torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False),
}.items():
    count = count_parameters(other)
    print(f"{name:<15}{count:>12,}{16 * count / MIB:>15.0f}{activation_bytes(other, 224) / MIB:>15.0f}")

# %% [markdown] role="question" name="batch" points=4
# ### Question 3: do fewer parameters make room for larger batches?
#
# The lecture trains DenseNet-121 with batches of 32 images where it gave GoogLeNet 16. A first guess is that the batch
# may be larger because DenseNet-121 has fewer parameters. Put the guess to the test with the table above. How many MiB
# do the fewer parameters save? How much memory does each of the two runs need in all? Does the guess hold? If your
# figures speak against it, say so: what counts is that the conclusion follows from them.
#
# ### BEGIN SOLUTION
# *Model answer.* Weights, gradients and Adam's two means take 16 bytes a parameter: 122 MiB for DenseNet-121 and 198
# MiB for GoogLeNet. So DenseNet leaves 76 MiB more for images: that is the explanation. But this part does not
# depend on the batch; the activations do: about 125 MiB an image for DenseNet-121 (concatenation makes a new, ever
# higher stack for each layer, kept before and after batch normalisation) and about 46 for GoogLeNet. In all about 122 +
# 32 × 125 = 4,100 MiB against 198 + 16 × 46 = 930 MiB. The saved parameters pay for less than one DenseNet image, so
# their number is not enough of a reason: by these figures GoogLeNet could have the larger batch. The choice must come
# from elsewhere, for example the GPU, the implementation or other settings: the published notebook of lecture 37 trains
# Inception v3 at 299 × 299 (27,161,264 parameters, 414 MiB, about 94 MiB an image), in batches of 32. DenseNet can
# trade time for memory by recomputing activations (`memory_efficient=True` in torchvision).
#
# *Rubric.* 1 point: what is kept per parameter, and the explanation in MiB (or a clear ratio). 1: activations
# grow with the batch, parameters do not. 1: totals for both runs from the table. 1: concludes that parameters alone do
# not explain it, or gives another sound reason. An answer that only repeats "fewer parameters, so more room": 1.
# ### END SOLUTION

# %% [markdown]
# ### What the next lecture asks
#
# *What does a network cost?* The bytes of a model, on disk and in memory; the operations that an image takes; the time
# that a given machine needs for them; and, with all of it counted, why GoogLeNet had a batch of 16 where DenseNet-121
# has 32. You have just counted the first of these.

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run all cells, so that what you see is what your cells say. The next cell then runs all public
# checks once more. Save the notebook, and see that all three written answers are in it. In a terminal, `autograder pack`
# then makes the file to hand in and says what would cost points.

# %%
check()

# %% [markdown]
# ## Go deeper (optional, no points)
#
# ### A minute to win
#
# How many test images can be recognised after *one minute* of training? Set `SECONDS = 60`, and change anything but the
# test images. Ideas: flipped and shifted training images, a smaller network with more steps a second, a learning rate
# that falls, larger images. Mind the standard error: on 50 test images the best of twenty tries is mostly luck.

# %%
SECONDS = 0  # 60 to take part

challenger = replace_classifier(torchvision.models.densenet121(weights=None), num_classes=10).to(device)
adam = torch.optim.Adam(challenger.parameters(), lr=LEARNING_RATE)
start = time.perf_counter()
while time.perf_counter() - start < SECONDS:
    train_one_epoch(challenger, train_loader, criterion, adam, device)
loss, accuracy = evaluate(challenger, test_loader, criterion, device)
error = np.sqrt(accuracy * (1 - accuracy) / len(test_set))
print(f"after {time.perf_counter() - start:.0f} s: {accuracy:.1%} of the test images (standard error {error:.1%})")

# %% [markdown]
# ### A whole block of your layers
#
# Six of your layers in a row are DenseNet-121's first dense block. A *transition* ends it: it halves the channels with
# a 1 × 1 convolution, and the height and the width by averaging. The names of your parts are torchvision's, so the
# weights of its block fit into yours. Do both compute the same?

# %%
theirs = torchvision.models.densenet121(weights=None).features.eval()
block = nn.Sequential(*[DenseLayer(64 + 32 * layer) for layer in range(6)]).eval()
for mine, original in zip(block, theirs.denseblock1.children(), strict=True):
    mine.load_state_dict(original.state_dict())
transition = nn.Sequential(nn.BatchNorm2d(256), nn.ReLU(), nn.Conv2d(256, 128, 1, bias=False), nn.AvgPool2d(2)).eval()
transition.load_state_dict(dict(zip(transition.state_dict(), theirs.transition1.state_dict().values(), strict=True)))

stack = torch.randn(2, 64, 56, 56)
with torch.no_grad():
    grown, original = block(stack), theirs.denseblock1(stack)
    halved, smaller = transition(grown), theirs.transition1(original)
print("block:     ", tuple(stack.shape), "->", tuple(grown.shape))
print("transition:", tuple(grown.shape), "->", tuple(halved.shape))
for name, one, other in [("block", grown, original), ("transition", halved, smaller)]:
    print(f"largest difference from torchvision's {name}: {(one - other).abs().max().item():.1e}")

# %% [markdown]
# Things to try: replace the concatenation by an addition (which shapes must change?); leave out the bottleneck and count
# the parameters again; set the growth rate to 12, as in the paper's smaller networks. And why must the ReLU come
# *before* the convolution, if later layers are to read what was written, negative values and all?
#
# ### The same training with less waiting
#
# The optional loop below computes what yours does. Each change takes a wait or some work away. *Bytes* are a quarter
# of the floats to copy, and the device resizes a whole batch at once. *Channels last* stores the channels of a pixel
# side by side, as convolutions of 16 bits read them on GPUs. *Autocast* convolves in 16 bits (`bfloat16`; weights and
# sums keep 32) where the GPU has units for it; on the CPU it stays off. *No wait within a batch:* `.item()`, or a copy
# that is not `non_blocking` from `pin_memory`, makes Python stand still until the GPU is done.

# %%
def train_one_epoch_faster(net: nn.Module, loader: DataLoader, criterion: Callable, optimizer: torch.optim.Optimizer,
                           device: torch.device, image_size: int) -> tuple[float, float]:
    """As `train_one_epoch`, but `loader` gives images as bytes, (batch, 3, height, width), of any size."""
    net.train().to(memory_format=torch.channels_last)
    short = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        images = transforms.functional.resize(images, [image_size, image_size], antialias=True).float() / 255
        images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=short):
            scores = net(images)
        loss = criterion(F.log_softmax(scores.float(), dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)  # still a tensor: nobody has waited for it
        correct += (scores.argmax(dim=1) == labels).sum()
        seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)

# %% [markdown]
# Both start from the same weights and see the same 120 images in the same order. **What to see:** the losses agree, but
# not in every digit: sums in another order, or of 16 bits, are rounded otherwise. Which loop is faster, and by
# how much, depends on the machine.

# %%
FEW = 120
pixels = torch.from_numpy(np.array(train_set.data[:FEW])).permute(0, 3, 1, 2)
small_set, byte_set = Subset(train_set, range(FEW)), TensorDataset(pixels, torch.tensor(train_set.targets[:FEW]))
for name, loop, data_set, more in [
    ("yours", train_one_epoch, small_set, ()),
    ("faster?", train_one_epoch_faster, byte_set, (IMAGE_SIZE,)),
]:
    twin, loader = deepcopy(net), DataLoader(data_set, BATCH_SIZE, pin_memory=device.type == "cuda")
    adam = torch.optim.Adam(twin.parameters(), lr=LEARNING_RATE)
    start = time.perf_counter()
    loss, accuracy = loop(twin, loader, criterion, adam, device, *more)
    print(f"{name:<9}{FEW / (time.perf_counter() - start):7.1f} images/s, loss {loss:.4f}, accuracy {accuracy:.1%}")

# %% [markdown]
# **Further reading:** the [DenseNet paper](https://arxiv.org/abs/1608.06993), sections 3 and 5; [memory-efficient
# DenseNets](https://arxiv.org/abs/1707.06990) (Pleiss et al., 2017); [torchvision's
# DenseNet](https://docs.pytorch.org/vision/stable/models/densenet.html).
