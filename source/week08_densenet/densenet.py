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
# weights, look inside it before and after, and catch two slips in the lecture's own figures on the way.
#
# Run the cells from top to bottom. In an exercise, replace the `raise NotImplementedError` line by your code and run
# the cell, then the `check(...)` cell below it: it tells you at once what is right and what to look at. Grading uses
# further checks with other inputs, so write for any network, any number of classes, any batch size and any device, and
# set no random seed in a function.

# %%
import time
from collections.abc import Callable, Iterable
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import transforms

from autograder import TinyCIFAR10, check, experiment_folder, experiment_seed, run_experiment

# %% [markdown]
# The next cell draws figures with black ink on white paper, also where your editor's theme is dark.

# %%
plt.style.use("default")
plt.rcParams.update({"figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 100, "font.size": 11})

# %% [markdown]
# ## One switch: rehearsal or the real experiment
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
else:
    IMAGE_SIZE, BATCH_SIZE, EPOCHS, LEARNING_RATE = 32, 16, 10, 1e-3


def cifar10(train: bool, transform: Callable | None = None) -> Dataset:
    """CIFAR-10's training or test images, all of them or the tiny subset, as the switch says."""
    if FULL_EXPERIMENT:
        return torchvision.datasets.CIFAR10("data", train=train, transform=transform, download=True)
    return TinyCIFAR10("data", train=train, transform=transform)


# %% [markdown]
# ## The images
#
# [CIFAR-10](https://www.cs.toronto.edu/~kriz/cifar.html) (Krizhevsky, 2009) has colour photographs of 32 × 32 pixels in
# ten classes. **What to see:** how little there is to go on. The second deer hides in its forest, and some cats and
# dogs need a second look. Expect the network to confuse what you confuse.

# %%
pictures = cifar10(train=True)
figure, rows = plt.subplots(4, 10, figsize=(12, 5.4), layout="constrained")
for class_index, column in enumerate(rows.T):
    examples = np.flatnonzero(np.array(pictures.targets) == class_index)
    for axis, example in zip(column, examples, strict=False):
        axis.imshow(pictures.data[example])
        axis.axis("off")
    column[0].set_title(pictures.classes[class_index], fontsize=11)
figure.suptitle("CIFAR-10: four training images of each class")
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

# %%
picture, label = pictures[0]
figure, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
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
transform = make_transform(IMAGE_SIZE)
train_set, test_set = cifar10(train=True, transform=transform), cifar10(train=False, transform=transform)
train_loader, test_loader = make_loaders(train_set, test_set, BATCH_SIZE)
print(f"training: {len(train_set):,} images in {len(train_loader):,} batches of up to {BATCH_SIZE}")
print(f"test:     {len(test_set):,} images in {len(test_loader):,} batches")

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
# **What to see:** six layers, 256 channels at the end, both ways. Left, every hatched bar (what a layer writes) is as
# tall as what it reads. Right, it is a thin slice that becomes part of what all later layers read (in its own blue).

# %%
LAYERS, GROWTH, START = 6, 32, 64
END = START + LAYERS * GROWTH
WRITES = {"facecolor": "#fdb863", "edgecolor": "black", "hatch": "///"}
layers = np.arange(1, LAYERS + 1)

figure, (adding, joining) = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout="constrained")
blues = plt.colormaps["Blues"](np.linspace(0.85, 0.25, LAYERS))
adding.bar(layers - 0.2, END, 0.4, color=blues[0], edgecolor="black", label="reads")
adding.bar(layers + 0.2, END, 0.4, label="writes (added to what it read)", **WRITES)
for layer in layers:
    adding.text(layer, END + 5, f"{9 * END * END:,}", ha="center", fontsize=9)
adding.set_title(f"Adding: {LAYERS * 9 * END * END:,} weights")

for layer in layers:
    reads = START + (layer - 1) * GROWTH
    joining.bar(layer, START, 0.7, color=blues[0], edgecolor="black", label="reads" if layer == 1 else None)
    for earlier in range(1, layer):
        joining.bar(layer, GROWTH, 0.7, START + (earlier - 1) * GROWTH, color=blues[earlier], edgecolor="black")
    joining.bar(layer, GROWTH, 0.7, reads, label="writes (put beside what it read)" if layer == 1 else None, **WRITES)
    joining.text(layer, reads + GROWTH + 5, f"{9 * reads * GROWTH:,}", ha="center", fontsize=9)
total = sum(9 * (START + layer * GROWTH) * GROWTH for layer in range(LAYERS))
joining.set_title(f"Concatenating: {total:,} weights")

for axis in (adding, joining):
    axis.set(xlabel="layer (above each bar: weights of its 3 × 3 convolution)", ylim=(0, 345))
    axis.legend(loc="upper left", ncols=2, frameon=False)
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
SEED = experiment_seed(experiment_folder("densenet121")) if FULL_EXPERIMENT else 40  # of the experiment your own
torch.manual_seed(SEED)
net = torchvision.models.densenet121(weights=None)
print(net.features.denseblock1.denselayer1)

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
# stacks are high. The first dense layer sees 56 × 56 points, not 112 × 112 as in the lecture: the max pooling before it
# halves both once more.

# %%
def print_layers(net: nn.Module, image_size: int) -> None:
    """Prints what each stage of a DenseNet makes of one image: the output's shape and the stage's parameters."""
    print(f"{'stage':<14}{'kind':<13}{'channels':>9}{'height × width':>17}{'parameters':>13}")
    x = torch.zeros(1, 3, image_size, image_size, device=net.classifier.weight.device)
    for name, stage in net.features.named_children():
        x = stage(x)
        size = f"{x.shape[2]} × {x.shape[3]}"
        print(f"{name:<14}{type(stage).__name__:<13}{x.shape[1]:>9,}{size:>17}{count_parameters(stage):>13,}")
    head = net.classifier
    print(f"{'classifier':<14}{'Linear':<13}{head.out_features:>9,}{'':>17}{count_parameters(head):>13,}")
    print(f"{'all':<53}{count_parameters(net):>13,}")


with torch.no_grad():
    print_layers(net.eval(), image_size=224)

# %% [markdown]
# The first block has 335,040 parameters: the 331,776 weights from above and 3,264 of batch normalisation.
#
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
net = replace_classifier(net, num_classes=10)
print(f"{count_parameters(net):,} parameters, {parameter_shapes(net)[-2:]} in the new classifier")

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
before = snapshot_weights(net, WATCHED)
for name, weight in before.items():
    print(f"{name}: {tuple(weight.shape)}")

# %% [markdown]
# ## Exercise 6: training
#
# ### A small detective story: the impossible loss
#
# After its first epoch the lecture's notebook prints a training loss of **0.0417** and a test accuracy of **59.27 %**.
# The loss of an image is −ln(p), in *nats*, where p is the probability that the network gave to the right class. So a
# loss can be turned back into a probability, p = exp(−loss), and that makes the first clue.

# %%
PRINTED = np.array([0.041725, 0.026344, 0.019356, 0.015529, 0.012718, 0.010575, 0.008777, 0.007313, 0.006126, 0.005103])
LECTURE_TEST_ACCURACY = np.array([59.27, 74.02, 77.74, 76.50, 84.75, 83.90, 85.13, 84.26, 85.43, 86.06]) / 100
FACTOR = 1  # what if each printed loss were too small by some factor? Try others, and think of the table of the switch

print("epoch   training loss   so p of the right class   test images recognised")
for epoch, (loss, accuracy) in enumerate(zip(FACTOR * PRINTED, LECTURE_TEST_ACCURACY, strict=True), 1):
    print(f"{epoch:5}{loss:16.4f}{np.exp(-loss):26.1%}{accuracy:25.1%}")

# %% [markdown]
# - **Clue 1.** A network that knows nothing gives each of ten classes p = 1/10 and loses ln 10 = 2.303 nats an image.
#   Here the right class gets 96 % after one epoch, while four of ten test images are not recognised. Both cannot be.
# - **Clue 2.** With `FACTOR = 32` the first loss is 1.335 nats, so p = 26 %. That is believable. And 32 is the batch
#   size.
# - **Clue 3.** The test loss that the lecture plots is at least *five times* the training loss in every epoch, even in
#   the first, when no image can have been learnt by heart. There are five times as many training as test images.
#
# Who did it? Make a guess before you read on.
#
# <details><summary><b>The solution of the case</b> (click)</summary>
#
# There were two culprits, both in the bookkeeping; the network itself was trained as it should be.
#
# 1. *The shrunken sum.* The criterion gives the mean loss over a batch. The lecture adds up these 1,563 means and
#    divides by 50,000 *images*: 32 times too small.
# 2. *The stowaway.* The running sum is not set back to zero between training and testing. So the training loss travels
#    into the test loss, and there it is divided by 10,000 instead of 50,000: five times the training loss, under every
#    test loss.
#
# The cure: weigh every batch by its number of images, and let training and testing each keep their own sum. Two
# separate functions make the second slip impossible.
#
# </details>
#
# The next cell does the lecture's sum for its first epoch. **What to see:** even a perfect network would be charged
# 0.2086, exactly five times the printed training loss, and one that only guesses not much more. What the test images
# say is hardly to be seen.

# %%
running_sum = PRINTED[0] * 50_000  # of the training pass, and not set back to zero
test_batches = 10_000 / 32
for network, honest_loss in [("perfect", 0.0), ("believable", 1.2), ("guessing", np.log(10))]:
    plotted = (running_sum + test_batches * honest_loss) / 10_000
    print(f"a {network} network: test loss {honest_loss:.3f} nats an image, plotted as {plotted:.4f}")

# %% [markdown]
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
# ### The run
#
# The network moves to the device *before* the optimizer is built, so that the optimizer holds the weights that are
# trained.
#
# With the switch on, `run_experiment` asks your `fit` for one epoch at a time (so its lines say 1 of 1), shows the
# images per second and the time left, and saves everything after each epoch, on Google Drive where it is mounted, else
# in the folder `densenet121/`. If Colab takes the machine back or you interrupt, run all cells again: it goes on after
# the last whole epoch. For bonus points hand in `claim.safetensors` from that folder beside the notebook (`autograder
# pack` takes it along): your weights and your figures, which the grader checks. It starts from a seed of your own.

# %%
device = pick_device()
net = net.to(device)
criterion = nn.NLLLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
print(f"training on {device}")
run = (net, train_loader, test_loader, criterion, optimizer, device, EPOCHS)
where = {"folder": experiment_folder("densenet121"), "seed": SEED} if FULL_EXPERIMENT else {}
history = run_experiment(fit, *run, **where) if FULL_EXPERIMENT else fit(*run)

# %%
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
# carries over to new images.

# %% role="plot" name="curves" points=3
figure = plot_history(history)
loss_axis, accuracy_axis = figure.axes[:2]
loss_axis.plot(range(1, 11), 32 * PRINTED, "k^:", label="lecture, training")
loss_axis.axhline(np.log(10), color="grey", linewidth=1, label="guessing: ln 10")
unit = 100 if accuracy_axis.get_ylim()[1] > 2 else 1  # whether your axis shows percent or fractions
accuracy_axis.plot(range(1, 11), unit * LECTURE_TEST_ACCURACY, "kv:", label="lecture, test")
accuracy_axis.axhline(unit / 10, color="grey", linewidth=1, label="guessing: 1 of 10")
for axis in (loss_axis, accuracy_axis):
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=9)
figure.suptitle("DenseNet-121 on CIFAR-10: your run, and the lecture's in black")
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

# %%
train_sums = np.array(history["train_loss"]) * len(train_loader)
test_sums = np.array(history["test_loss"]) * len(test_loader)
lecture_books = {"training": train_sums / len(train_set), "test": (train_sums + test_sums) / len(test_set)}
honest_books = {"training": history["train_loss"], "test": history["test_loss"]}

figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
axes[0].set(title="Your run in the lecture's books", ylabel="loss, summed up as in the lecture")
axes[1].set(title="Your run in your books", ylabel="loss (nats per image)")
for axis, books in zip(axes, [lecture_books, honest_books], strict=True):
    for (name, losses), style, color in zip(books.items(), ["o-", "s--"], ["tab:red", "tab:green"], strict=True):
        axis.plot(range(1, len(losses) + 1), losses, style, color=color, label=name)
    axis.set(xlabel="epoch", ylim=(0, None))
    axis.legend()
plt.show()

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
# ## The kernels before, after, and their difference
#
# Each picture is scaled on its own, darkest to brightest, so compare patterns here and sizes in the printed lines.
# **What to see:** before training there is only noise. The difference shows what the gradients pushed: in the first
# layer, smooth patches of light, dark and colour in place of noise, clearer the longer the training. The bottleneck
# layer has kernels of 1 × 1, so each square is a single weight, one for each channel that it reads (the smallest weight
# is as black as the frame).

# %% role="plot" name="kernels" points=3
difference = weight_difference(before, after)
figure, rows = plt.subplots(2, 3, figsize=(12, 8.4), layout="constrained")
moments = [(before, "before"), (after, "after"), (difference, "before − after")]
for row, name in zip(rows, WATCHED, strict=True):
    for axis, (weights, when) in zip(row, moments, strict=True):
        axis.imshow(weight_grid(weights[name]).permute(1, 2, 0), interpolation="nearest")
        axis.set_title(f"{name.removeprefix('features.')}\n{when}", fontsize=10)
        axis.axis("off")
    print(f"{name}: root mean square {before[name].square().mean().sqrt():.4f} before,"
          f" {after[name].square().mean().sqrt():.4f} after, {difference[name].square().mean().sqrt():.4f} difference")
plt.show()
### BEGIN SOLUTION
# *Rubric.* 1 point: six pictures, two layers before, after, and their difference. 1: the kernels are told apart (a grid,
# not one grey patch). 1: the differences are not zero: the weights before are copies, and training moved the net.
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
# each), more after the full one. Each picture is scaled to its own extremes, so brightness must not be compared between
# pictures. As it is before − after, bright means that the weight fell. The 1 × 1 kernels have no neighbourhood: a patch
# is one number, how strongly one of the 64 channels is read, and the order of channels means nothing.
#
# *Rubric.* 1 point: the difference removes the random start. 1: structure (smooth, coloured, oriented) against noise,
# or honestly reports that little is to be seen after few steps. 1: size compared with numbers, or the separate scaling
# noticed. 1: a 1 × 1 kernel mixes channels and has no spatial pattern.
# ### END SOLUTION

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
pixels = torch.from_numpy(np.array(pictures.data[:FEW])).permute(0, 3, 1, 2)
small_set, byte_set = Subset(train_set, range(FEW)), TensorDataset(pixels, torch.tensor(pictures.targets[:FEW]))
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
