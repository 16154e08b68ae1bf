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
# # Space and computational complexity: where does the memory go?
#
# *Deep Learning for Visual Computing, week 9, the lecture after DenseNet.*
#
# A case of missing memory. The lectures have made three statements, and you will put each to the test:
#
# 1. *DenseNet-121 has about half the parameters of a ResNet.* So is it half as large, half as slow, half as hungry?
# 2. *GoogLeNet was trained with batches of 16 images …*
# 3. *… where DenseNet-121 takes 32, since it has fewer parameters.* What memory must the GPU have had then?
#
# You write the instruments: bytes of a model, operations of an image, bytes of its activations, of the whole training,
# the largest batch, seconds. Nothing is trained, no image is loaded, and no GPU is needed.

# %% [markdown]
# ## The map
#
# | | | what you do | minutes | difficulty | points |
# |---|---|---|---:|:---:|---:|
# | Exercise 1 | space | bytes of a network | 15 | ● | 6 |
# | Question 1 | file | why is its file not as large? | 10 | ● | 6 |
# | Exercise 2 | operations | count multiplications on paper | 30 | ●●● | 11 |
# | Exercise 3 | time | from operations to seconds | 10 | ● | 3 |
# | Question 2a | speed-guess | predict: which is slowest? | 5 | ● | 2 |
# | Question 2b | speed | explain what you measured | 15 | ●● | 8 |
# | Exercise 4 | activations | bytes of what an image leaves behind | 30 | ●●● | 11 |
# | Question 3a | kept-guess | predict: is that the truth? | 10 | ●● | 2 |
# | Question 3b | kept | explain where it is not | 20 | ●●● | 8 |
# | Exercise 5 | training | bytes of the whole training | 15 | ●● | 7 |
# | Exercise 6 | batch | the largest that fits | 15 | ●● | 7 |
# | Exercise 7 | comparison | six networks in a table | 15 | ● | 5 |
# | Plot | circles | three costs in one plot | 5 | ● | 6 |
# | Question 4 | half | half a ResNet? | 15 | ●● | 8 |
# | Question 5 | verdict | which memory had the GPU? | 20 | ●●● | 10 |
# | | all | with the text in between: an afternoon | 230 | | 100 |
#
# Run the cells from top to bottom; any may be run again. In an exercise, replace the `raise NotImplementedError` line by
# your code, run the cell, and then the `check(...)` below it: it says what is right and what to look at. Grading uses
# further checks with other networks and sizes.
#
# Questions 2a and 3a ask for a **prediction**: write it down before you run the next cell. An honest wrong one has full
# points. The code of figures is folded away; a click on it shows it.

# %%
import io
import math
import time
from collections.abc import Callable, Iterable
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torchvision
from torch import nn

from autograder import check

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
# The suspects. Each is built from random weights when it is called for.

# %%
MIB, GIB = 2**20, 2**30
IMAGE = (3, 224, 224)
SUSPECTS: dict[str, Callable[[], nn.Module]] = {
    "GoogLeNet": lambda: torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False),
    "DenseNet-121": lambda: torchvision.models.densenet121(weights=None),
    "ResNet-18": lambda: torchvision.models.resnet18(weights=None),
    "ResNet-50": lambda: torchvision.models.resnet50(weights=None),
    "ResNet-101": lambda: torchvision.models.resnet101(weights=None),
    "VGG-16": lambda: torchvision.models.vgg16(weights=None, init_weights=False),
}
densenet = SUSPECTS["DenseNet-121"]()

# %% [markdown]
# ## Exercise 1: space
#
# **Why.** A network that is stored, sent to a phone or loaded onto a GPU takes room for its *parameters* and for its
# *buffers*, such as the running means of batch normalisation. How much, their
# [dtypes](https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.dtype) say: a float32 has four bytes, an
# int64 eight.
#
# **Write** the bytes of all parameters and buffers. **It is right when** each counts at its own dtype, frozen
# parameters and buffers that are not saved too; when a tensor that two layers hold counts once; when the network stays
# as it was; and when DenseNet-121 takes 32,250,984 bytes.

# %% role="exercise" function="model_bytes"
def model_bytes(net: nn.Module) -> int:
    """Returns the bytes of all parameters and buffers of `net`, each at its own dtype, a shared tensor once."""
    ### BEGIN SOLUTION
    tensors = [*net.parameters(), *net.buffers()]  # both leave out what they have visited already
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    ### END SOLUTION


# %% role="grade" exercise="space"
check("space")

# %% [markdown]
# ### A piece of evidence
#
# `torch.save` writes what `model_bytes` counts, and names to find it by. The next cell weighs files in memory. Think
# first: larger or smaller than `model_bytes`, and by how much?

# %%
def file_bytes(net: nn.Module) -> int:
    """Bytes of the file that `torch.save` makes of the weights and buffers of `net`."""
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.tell()


print(f"{'network':<28}{'model_bytes':>14}{'file':>14}{'difference':>12}{'tensors':>9}")
for name, net in {
    "DenseNet-121": densenet,
    "ResNet-18": SUSPECTS["ResNet-18"](),
    "a linear layer of 10 weights": nn.Sequential(nn.Linear(10, 1, bias=False)),
    "the same in 16 bits": nn.Sequential(nn.Linear(10, 1, bias=False)).half(),
}.items():
    counted, file, tensors = model_bytes(net), file_bytes(net), len(net.state_dict())
    print(f"{name:<28}{counted:>14,}{file:>14,}{file - counted:>12,}{tensors:>9}")

# %% [markdown] role="question" name="file" points=6
# ### Question 1: why is the file not as large as the model?
#
# What did you expect, and what did you find? What is in the file beside the numbers, and what does its size depend on?
# How would you make the file of a network smaller, and by what factor, and what would that cost?
#
# ### BEGIN SOLUTION
# *Model answer.* The file is always larger. It is a zip archive with one record for each tensor and one with their
# names, shapes and dtypes. The difference grows with the number of tensors, not with their size: DenseNet-121 has 727
# tensors, ResNet-18 122, so DenseNet's difference is nearly seven times as large (258,729 and 38,411 bytes) though its
# weights are fewer. Each tensor costs about 350 bytes (name, header, entry in the table of contents, padding to an
# aligned place): 0.8 % for DenseNet-121, but nearly all of the file of a linear layer of 40 bytes. Half precision
# makes every floating number two bytes instead of four, so nearly half the file (int64 counters stay), and costs
# precision: about three decimal digits are left.
#
# *Rubric.* 1 point: a prediction, and what was found, with a number. 2: names and structure are stored too. 2: the
# difference goes with the number of tensors, shown from the table. 1: a way to make it smaller with its factor and cost.
# ### END SOLUTION

# %% [markdown]
# ## A network on paper
#
# The next exercises ask what happens as an image goes through. Two tools tell that without computing anything:
#
# - On the [device `"meta"`](https://docs.pytorch.org/docs/stable/meta.html) a tensor has a shape and a dtype, and no
#   numbers. A layer that lies there works out the shape of its result, and that is all.
# - A [forward hook](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_forward_hook)
#   is a function that a module calls after each of its forward passes. It gets the module, its inputs and its output.
#
# **What to see:** an image of 8,000 × 8,000 pixels goes through in no time. Its first output alone would have filled 15
# GiB. The ReLU's output is the convolution's own storage, since it works *in place*: the same number stands behind both.

# %%
paper = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(4), nn.Flatten()).to("meta")
storages = []


def tell(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    storage = output.untyped_storage()
    if all(storage is not other for other in storages):
        storages.append(storage)
    number = [storage is other for other in storages].index(True)
    print(f"{type(module).__name__:<10} {tuple(output.shape)!s:<24} {storage.nbytes() / GIB:6.2f} GiB in storage {number}")


handles = [module.register_forward_hook(tell) for module in paper]
paper(torch.empty(1, 3, 8000, 8000, device="meta"))
for handle in handles:
    handle.remove()

# %% [markdown]
# ## Exercise 2: operations
#
# **Why.** How long an image takes depends on how much there is to compute. Nearly all of that is *multiply–accumulates*
# (MACs): multiply a weight by a number of the input, add the product to a sum. Each number that a convolution writes
# costs one for each number it reads: the kernel's positions times the input channels, of its *group* where there are
# several. Each number that a linear layer writes costs one for each input.
#
# **Write** the count for one image of a given shape. A copy of the network (`deepcopy`) can be sent to the device
# `"meta"`, and hooked, as you like.
#
# **It is right when**
#
# - groups, strides, padding and dilation are respected, in `nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`; these, `nn.Linear` and
#   their subclasses count, biases and all other layers do not;
# - a layer counts as often as the forward pass calls it, in evaluation mode: twice when it is called twice, not at all
#   when never;
# - it works, too, where batch norm would meet a single value in each channel, and for an image of 8,000 × 8,000 within
#   3 GiB of memory;
# - the network stays as it was: modes, weights, buffers, gradients, hooks, dtype and device;
# - DenseNet-121 needs 2,834,161,664, about 2.83 × 10⁹.

# %% role="exercise" function="count_macs"
def count_macs(net: nn.Module, input_shape: tuple[int, ...] = (3, 224, 224)) -> int:
    """Returns the multiply-accumulates of all convolutions and linear layers of `net` for one image.

    input_shape: of the image, without the batch: (channels, height, width), or as the network takes it.
    Each call of a layer counts, in evaluation mode. The network is not changed.
    """
    ### BEGIN SOLUTION
    paper = deepcopy(net).to("meta", torch.float32).eval()
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()  # the weights of one output channel: what one number reads

    for layer in paper.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        paper(torch.empty(1, *input_shape, device="meta"))
    return total
    ### END SOLUTION


# %% role="grade" exercise="operations"
check("operations")

# %% [markdown]
# ## Exercise 3: time
#
# **Why.** Hardware is sold by its *FLOP/s*, floating-point operations a second. A multiplication and an addition are
# two operations. And no network uses all that is sold: the *utilisation* is the share that it does use.
#
# **Write** the seconds that an image needs. **It is right when** a multiply–accumulate is two operations, nothing to do
# takes 0.0 seconds, and a rate or a utilisation that is not positive raises `ValueError`. `float("nan")` is not
# positive.

# %% role="exercise" function="seconds_per_image"
def seconds_per_image(macs: int, flops_per_second: float, utilisation: float = 1.0) -> float:
    """Returns the seconds that `macs` multiply-accumulates need.

    flops_per_second: the hardware's operations a second. utilisation: the share of them that is used, 1.0 for all.
    Raises ValueError where either is not positive.
    """
    ### BEGIN SOLUTION
    if not (flops_per_second > 0 and utilisation > 0):  # NaN is larger than nothing
        raise ValueError(f"not positive: flops_per_second={flops_per_second} and utilisation={utilisation}")
    return 2 * macs / (flops_per_second * utilisation)
    ### END SOLUTION


# %% role="grade" exercise="time"
check("time")

# %% [markdown] role="question" name="speed-guess" points=2
# ### Question 2a: a prediction
#
# The next cell but one measures how fast your CPU multiplies matrices, and how long four networks need for an image.
# **Before you run it:** put DenseNet-121, ResNet-18, ResNet-50 and VGG-16 in the order of their seconds, and say about
# how many times as long as ResNet-18 DenseNet-121 takes. Which of the four will use the largest share of the rate?
# Give your reason. (The cell below counts; you may run that.)
#
# ### BEGIN SOLUTION
# *Model answer.* By the operations alone: ResNet-18 (1.81 × 10⁹), DenseNet-121 (2.83), ResNet-50 (4.09), VGG-16 (15.5),
# and DenseNet-121 takes 2.83 / 1.81 = 1.6 times as long as ResNet-18. VGG-16 should use most of the rate: few, large
# convolutions.
#
# *Rubric.* 1 point: an order and a factor, right or wrong. 1: a reason, from the counts or from the layers.
# ### END SOLUTION

# %%
TIMED = ["ResNet-18", "DenseNet-121", "ResNet-50", "VGG-16"]
macs = {name: count_macs(SUSPECTS[name](), IMAGE) for name in TIMED}
for name, count in macs.items():
    print(f"{name:<14}{count / 1e9:7.2f} × 10⁹ multiply–accumulates")

# %% [markdown]
# The cell takes the fastest of a few repetitions: everything that disturbs a measurement makes it slower.

# %%
def fastest(action: Callable[[], object], repetitions: int = 4) -> float:
    """Seconds of the fastest of some calls of `action`; one before them is not timed."""
    action()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


matrix, image = torch.randn(1024, 1024), torch.randn(1, *IMAGE)
rate = 2 * 1024**3 / fastest(lambda: matrix @ matrix, 20)
measured = {}
print(f"matrices: {rate / 1e9:.0f} × 10⁹ operations a second\n")
print(f"{'network':<14}{'at the full rate':>18}{'measured':>12}{'utilisation':>13}")
with torch.inference_mode():
    for name in TIMED:
        net = SUSPECTS[name]().eval()
        measured[name] = fastest(lambda net=net: net(image), 3)
        least = seconds_per_image(macs[name], rate)
        print(f"{name:<14}{1000 * least:>15.1f} ms{1000 * measured[name]:>9.1f} ms{least / measured[name]:>13.0%}")

# %% folded=true
# @title Counted and measured
figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
places, least = np.arange(len(TIMED)), np.array([seconds_per_image(macs[name], rate) for name in TIMED])
taken = np.array([measured[name] for name in TIMED])
axis.barh(places - 0.2, 1000 * least, 0.4, color="white", edgecolor="black", hatch="///", label="at the full rate")
bars = axis.barh(places + 0.2, 1000 * taken, 0.4, color="tab:blue", label="measured")
axis.bar_label(bars, [f"{share:.0%} of the rate" for share in least / taken], padding=4, fontsize=10)
axis.set(yticks=places, yticklabels=TIMED, xlabel="milliseconds an image", xlim=(0, 1200 * max(*least, *taken)))
axis.invert_yaxis()
axis.legend(loc="upper right", frameon=False)
plt.show()

# %% [markdown] role="question" name="speed" points=8
# ### Question 2b: the explanation
#
# Compare your prediction with the measurement: the order, DenseNet-121's factor, the utilisation. Where were you wrong,
# and why? What does a network do that `count_macs` does not count, and why does that weigh on DenseNet-121 more than on
# VGG-16? For which use would you trust the count, and for which not?
#
# ### BEGIN SOLUTION
# *Model answer.* (Yours differ, as those above do. One core of a busy server: 324, 528, 655 and 2,185 ms, utilisation
# 60, 57, 67 and 76 %.) There the order is the predicted one and DenseNet-121 takes 1.63 times as long as ResNet-18,
# just as counted, though it uses the smallest share of the rate and VGG-16 the largest. On two cores it took 1.9 times
# as long, and on a GPU the shares should part further: the products get cheaper, the rest hardly. That rest is batch
# norm, ReLU, pooling and concatenation. DenseNet-121 has 120 convolutions, most of them small, with 121 batch norms,
# 121 ReLUs and 58 concatenations between them. These hardly compute anything, but each reads and writes whole
# activations, and memory is slower than arithmetic; a concatenation copies all channels so far. Calling more than 400
# layers costs time too. VGG-16's few large convolutions use each number that was fetched hundreds of times, so they
# come near the rate of the matrices (where a library multiplies less than is counted, by Winograd's method, even above
# it); but its linear layers read 494 MB of weights for one image. The count is good for networks of one kind on one
# machine, and as a rough lower bound; not across architectures and hardware, nor where memory is what is waited for.
#
# *Rubric.* 2 points: prediction and measurement compared with numbers, honestly. 2: what is not counted (batch norm,
# ReLU, pooling, concatenation, calls). 2: memory traffic or small layers, and why that is DenseNet. 2: where the count
# can be trusted and where not.
# ### END SOLUTION

# %% [markdown]
# ## Exercise 4: activations
#
# **Why.** Training needs the results of the layers again, in the backward pass. These *activations* stay in memory until
# then, for every image of the batch. We keep a simple ledger of them: the outputs of all *leaf modules* (modules without
# children), as they are made by one forward pass in training mode.
#
# **Write** their bytes for a batch. What `torch.cat`, `+` or `F.relu` make is no module's output, so it is not in the
# ledger. Two outputs that share memory need it once: a
# [storage](https://docs.pytorch.org/docs/stable/storage.html) is the memory itself, a tensor only a look at it.
#
# **It is right when**
#
# - every call of a leaf counts, of whatever class; a leaf called twice has two outputs;
# - each storage counts once: in-place layers, `Flatten` and `Identity` add nothing to what they are given, whether its
#   storage came from the layer before or through a view or `+=`; but the output of an in-place ReLU behind `torch.cat` is
#   the first leaf output in that storage, so it counts;
# - the pass is in training mode, with the whole batch: dropout works, auxiliary heads too, and batch norm that
#   refuses a single image is content with several;
# - every output counts as if it had `dtype`, whatever dtype the network computes with;
# - the network stays as it was, running statistics too.

# %% role="exercise" function="activation_bytes"
def activation_bytes(net: nn.Module, input_shape: tuple[int, ...], batch_size: int,
                     dtype: torch.dtype = torch.float32) -> int:
    """Returns the bytes of the outputs of all leaf modules of `net` in one forward pass in training mode.

    input_shape: of an image, without the batch. dtype: what every output counts as.
    Each call of a leaf counts, each storage once. The network is not changed.
    """
    ### BEGIN SOLUTION
    paper = deepcopy(net).to("meta", torch.float32).train()
    sizes: dict[torch.UntypedStorage, int] = {}  # by storage; kept here, none is given away to another output

    def keep(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        sizes.setdefault(output.untyped_storage(), output.numel())

    for layer in paper.modules():
        if not list(layer.children()):
            layer.register_forward_hook(keep)
    with torch.no_grad():
        paper(torch.empty(batch_size, *input_shape, device="meta"))
    return sum(sizes.values()) * dtype.itemsize
    ### END SOLUTION


# %% role="grade" exercise="activations"
check("activations")

# %% [markdown] role="question" name="kept-guess" points=2
# ### Question 3a: a prediction
#
# The ledger has a competitor: the truth. PyTorch can say which tensors it *really* keeps for the backward pass of a real
# image. **Before you run the next cell:** look into `torchvision`'s ResNet-18 and DenseNet-121. What is kept that is not
# in the ledger, and what is in the ledger that need not be kept? For each of the two networks, will the truth be larger
# or smaller than the ledger, and by about how much?
#
# ### BEGIN SOLUTION
# *Model answer.* Not in the ledger: what `torch.cat` makes (58 times in DenseNet-121, ever larger), results of functions,
# the positions of the maxima in pooling, the image. In it, but not kept: the input of an in-place ReLU is overwritten,
# outputs that no gradient needs, such as those of the last convolution before an addition, if nothing reads them again.
# ResNet-18: about equal. DenseNet-121: the truth is larger, by the stacks that batch norm reads, perhaps half as much.
#
# *Rubric.* 1 point: larger or smaller for both, with a size, right or wrong. 1: a reason for one of them.
# ### END SOLUTION

# %%
def kept_bytes(net: nn.Module, image: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass of `image`, without the parameters themselves."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = net.train()(image)  # held until the sum is made, so no address is used twice
        del result
    return sum(kept.values())


print(f"{'MiB an image':<15}{'ledger':>8}{'truth':>8}{'truth / ledger':>16}")
for name in ["ResNet-18", "ResNet-50", "VGG-16", "GoogLeNet", "DenseNet-121"]:
    net = SUSPECTS[name]()
    ledger, truth = activation_bytes(net, IMAGE, 1), kept_bytes(net, torch.zeros(1, *IMAGE))
    print(f"{name:<15}{ledger / MIB:>8.1f}{truth / MIB:>8.1f}{truth / ledger:>16.2f}")

# %% [markdown] role="question" name="kept" points=8
# ### Question 3b: the explanation
#
# Compare your prediction with the table. Where does the ledger lie, and why there? What would you add to it, and what
# take away? Why is the error so different from network to network? And which of the two would a GPU's memory follow?
#
# ### BEGIN SOLUTION
# *Model answer.* The truth is 1.08 of the ledger for ResNet-18, 0.96 for ResNet-50, 1.21 for VGG-16, 1.53 for GoogLeNet
# and 1.43 for DenseNet-121. Missing in the ledger: what `torch.cat` makes. In DenseNet each of the 58 layers
# concatenates all channels so far, and batch norm keeps that stack for its backward pass: about 37 MiB an image, growing
# with the square of the number of layers in a block. GoogLeNet concatenates too, and all networks with max pooling keep
# the places of the maxima, as int64, 8 bytes for each output: that is most of what VGG-16 and ResNet-18 have more, and
# GoogLeNet has 13 such layers. Too much in the ledger: outputs that no gradient needs, such as those of batch norm
# before an addition (the projections of ResNet-50). So the error depends on the architecture: sums are made in place of
# what is there, stacks are made anew. I would add the results of functions and the indices, and take away what is not
# read in the backward pass. A GPU's memory follows the truth, and beyond it: workspaces of the convolutions, gradients
# of activations, the allocator's gaps; so the ledger is rather a lower bound.
#
# *Rubric.* 2 points: prediction and table compared with numbers, honestly. 2: concatenations (or function results) that
# batch norm keeps. 2: one more source of the difference, in either direction (indices, the image, outputs that nobody
# reads again). 1: why it differs between networks. 1: the truth is what the memory follows, or is itself a lower bound.
# ### END SOLUTION

# %% [markdown]
# ## Exercise 5: training
#
# **Why.** Beside the activations, training keeps a *gradient* of each trainable parameter, and the optimizer may keep
# more: momentum one running mean of each gradient, [Adam](https://arxiv.org/abs/1412.6980) two.
#
# **Write** the bytes of all that: weights and buffers, gradients, optimizer state (`"sgd"` none, `"momentum"` one copy,
# `"adam"` two) and activations at float32. Use the functions that you have.
#
# **It is right when** gradients and state are those of the trainable parameters, at their own dtype, a shared one once;
# when another optimizer's name raises `ValueError`; and when nothing is trained: the network stays as it was. (Gradients
# of activations do not count: they come and go.)

# %% role="exercise" function="training_bytes"
def training_bytes(net: nn.Module, input_shape: tuple[int, ...], batch_size: int, optimizer: str = "adam") -> int:
    """Returns the bytes that training takes: weights and buffers, gradients, optimizer state, activations (float32).

    optimizer: "sgd", "momentum" or "adam". Raises ValueError for another name. The network is not changed.
    """
    ### BEGIN SOLUTION
    copies = {"sgd": 0, "momentum": 1, "adam": 2}
    if optimizer not in copies:
        raise ValueError(f"{optimizer!r} is no optimizer of {', '.join(copies)}")
    trained = sum(p.numel() * p.element_size() for p in net.parameters() if p.requires_grad)
    return model_bytes(net) + (1 + copies[optimizer]) * trained + activation_bytes(net, input_shape, batch_size)
    ### END SOLUTION


# %% role="grade" exercise="training"
check("training")

# %% [markdown]
# Now the question of the title has an answer. **What to see:** the parameters, of which the lecture's statement speaks,
# are the blue slices on the left. At 32 images nearly everything is activations.

# %% folded=true
# @title Training DenseNet-121 with Adam
shares = {"weights": model_bytes(densenet), "gradients": sum(4 * p.numel() for p in densenet.parameters())}
shares["Adam's means"] = 2 * shares["gradients"]
figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
image_bytes = activation_bytes(densenet, IMAGE, 1)
for place, batch in enumerate([1, 8, 32]):
    parts, left = shares | {"activations": batch * image_bytes}, 0.0
    for (name, size), color in zip(parts.items(), ["#08519c", "#6baed6", "#c6dbef", "#fdb863"], strict=True):
        axis.barh(place, size / GIB, left=left, color=color, edgecolor="black", linewidth=0.5,
                  label=name if place == 0 else None)  # fmt: skip
        left += size / GIB
    axis.text(left + 0.03, place, f"{left:.2f} GiB", va="center")
axis.set(yticks=range(3), yticklabels=["1 image", "8 images", "32 images"], xlabel="GiB", xlim=(0, 3.3))
axis.invert_yaxis()
axis.legend(loc="upper right", frameon=False)
plt.show()

# %% [markdown]
# ## Exercise 6: batch
#
# **Why.** "Out of memory" comes at the worst moment. What fits can be known before.
#
# **Write** the largest batch with which training fits. **It is right when** `training_bytes` of that batch are at most
# `memory_bytes`, and of one image more are not; when it is 0 where not even one image fits; when 80 GiB are answered
# within 20 seconds, whatever the network, so do not try one batch after the other; and when the network stays as it was.

# %% role="exercise" function="largest_batch"
def largest_batch(net: nn.Module, input_shape: tuple[int, ...], memory_bytes: int, optimizer: str = "adam") -> int:
    """Returns the largest batch whose `training_bytes` are at most `memory_bytes`; 0 when not even one image fits."""
    ### BEGIN SOLUTION
    two, three = (training_bytes(net, input_shape, batch, optimizer) for batch in (2, 3))  # batch norm may refuse one
    image = three - two
    return max(0, (memory_bytes - two + 2 * image) // image)
    ### END SOLUTION


# %% role="grade" exercise="batch"
check("batch")

# %% [markdown]
# ## Exercise 7: comparison
#
# **Why.** One figure says little about a network. A table lets you choose.
#
# **Write** one dict a network, with the keys `name`, `parameters`, `bytes`, `macs`, `activation_bytes`,
# `largest_batch` (further ones are allowed). `builders` holds a function without arguments for each name, which builds
# the network. **It is right when** the list keeps the dict's order, networks that do not fit included; when `parameters`
# counts all, frozen ones too; when `activation_bytes` is that of one image at float32, and `largest_batch` that for Adam.

# %% role="exercise" function="complexity_table"
def complexity_table(builders: dict[str, Callable[[], nn.Module]], input_shape: tuple[int, ...],
                     memory_bytes: int) -> list[dict[str, str | int]]:
    """Returns a dict for each network that `builders` builds, in its order.

    Keys: name, parameters, bytes, macs (of an image), activation_bytes (of an image), largest_batch (with Adam).
    """
    ### BEGIN SOLUTION
    table: list[dict[str, str | int]] = []
    for name, build in builders.items():
        net = build()
        table.append(
            {
                "name": name,
                "parameters": sum(parameter.numel() for parameter in net.parameters()),
                "bytes": model_bytes(net),
                "macs": count_macs(net, input_shape),
                "activation_bytes": activation_bytes(net, input_shape, 1),
                "largest_batch": largest_batch(net, input_shape, memory_bytes),
            }
        )
    return table
    ### END SOLUTION


# %% role="grade" exercise="comparison"
check("comparison")

# %%
MEMORY = 4 * GIB
table = complexity_table(SUSPECTS, IMAGE, MEMORY)
print(f"{'network':<14}{'parameters':>13}{'MiB':>8}{'10⁹ MACs':>10}{'MiB an image':>14}{'batch in 4 GiB':>16}")
for row in table:
    print(f"{row['name']:<14}{row['parameters']:>13,}{row['bytes'] / MIB:>8.0f}{row['macs'] / 1e9:>10.2f}"
          f"{row['activation_bytes'] / MIB:>14.1f}{row['largest_batch']:>16}")  # fmt: skip

# %% [markdown]
# The plot has all three: to the right the parameters, upwards the operations, and the *area* of a circle is what an
# image leaves in memory. The ResNets are blue, all others orange. **What to see:** three different orders of the same
# networks. Whoever is small in one way may be large in another.

# %% folded=true
# @title Draws the circles
def draw_circles(table: list[dict[str, str | int]]) -> plt.Figure:
    """A circle for each row of `complexity_table`, its name and its MiB an image beside it."""
    figure, axis = plt.subplots(figsize=(9.5, 5.6), layout="constrained")
    for row in table:
        place, mib = (row["parameters"] / 1e6, row["macs"] / 1e9), row["activation_bytes"] / MIB
        color, side = ("tab:blue", "right") if row["name"].startswith("ResNet") else ("tab:orange", "left")
        axis.scatter(*place, s=20 * mib, color=color, alpha=0.55, edgecolor="black")
        beside = (4 + np.sqrt(20 * mib / np.pi)) * (1 if side == "left" else -1)  # beyond the circle's radius, in points
        axis.annotate(f"{row['name']}\n{mib:.0f} MiB", place, (beside, 0), textcoords="offset points", ha=side, va="center",
                      fontsize=10)  # fmt: skip
    axis.set(xscale="log", yscale="log", xlim=(4, 400), ylim=(0.8, 30))
    axis.set(xlabel="parameters (millions)", ylabel="multiply–accumulates an image (billions)")
    axis.set_xticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    axis.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axis.grid(alpha=0.3)
    axis.set_title("An image of 224 × 224: the circle's area is its activations")
    return figure


# %% role="plot" name="circles" points=6
figure = draw_circles(table)
plt.show()
### BEGIN SOLUTION
# *Rubric.* 2 points: six circles in the right places (DenseNet-121 furthest left, VGG-16 furthest right and up). 2: the
# area, not the radius, follows the activations: ResNet-101's is about six times ResNet-18's. 1: both axes are labelled
# with units. 1: each circle can be told.
### END SOLUTION

# %% [markdown] role="question" name="half" points=8
# ### Question 4: "about half the parameters of a ResNet"
#
# Test the first statement in four currencies: parameters, bytes, operations, activations. Of which ResNet is it true, if
# of any? Give the ratios. Somebody concludes from it that DenseNet-121 is the network for a small GPU, and another one
# that it is the network for a slow phone. What do you tell them?
#
# ### BEGIN SOLUTION
# *Model answer.* DenseNet-121 has 0.68 of ResNet-18's parameters, 0.31 of ResNet-50's and 0.18 of ResNet-101's. "Half"
# would be a ResNet between the first two (ResNet-34, 21.8 million: 0.37); as "fewer" it holds against each. In bytes the
# ratios are about the same (0.69, 0.31, 0.18): nearly all bytes are parameters at float32. In operations it is 1.56 of
# ResNet-18, 0.69 of ResNet-50, 0.36 of ResNet-101: more work than the small one. In activations 4.4 of ResNet-18, 1.02
# of ResNet-50, 0.70 of ResNet-101: it is small on disk alone. For a small GPU on which it is to be *trained*, the
# activations decide, and ResNet-18 fits more than four times the batch. For a phone that only *runs* it, activations can
# be thrown away at once, so its 31 MiB are a point in its favour where room for the download is short; but it takes 1.6
# times ResNet-18's operations, and longer than that says (question 2).
#
# *Rubric.* 2 points: ratios of parameters with at least two ResNets, and a verdict on "half". 2: ratios of operations
# and activations. 2: the small GPU: training is activations. 2: the phone: no backward pass; size against time.
# ### END SOLUTION

# %% [markdown]
# ## The alibi
#
# GoogLeNet's batch of 16 and DenseNet-121's batch of 32 are the last clues. Suppose that memory had been the reason,
# and that the lecturer tried the usual powers of two: then 16 GoogLeNet images fitted and 32 did not, and 32 DenseNet
# images fitted and 64 did not. Each says between which bounds the GPU's memory was. **What to see:** the two shaded
# bands, and the dots, the lecture's batches.

# %%
LECTURE = {"GoogLeNet": 16, "DenseNet-121": 32}
bands = {}
for name, batch in LECTURE.items():
    net = SUSPECTS[name]()
    bands[name] = [training_bytes(net, IMAGE, images) for images in (batch, 2 * batch)]
    fits, too_much = (size / GIB for size in bands[name])
    print(f"{name:<14}{batch} images take {fits:.2f} GiB, {2 * batch} take {too_much:.2f} GiB")
most = largest_batch(SUSPECTS["GoogLeNet"](), IMAGE, bands["DenseNet-121"][0])
print(f"where 32 images of DenseNet-121 fit, so do {most} of GoogLeNet")

# %% folded=true
# @title The memory that the lecture's GPU must have had
figure, axis = plt.subplots(figsize=(9.5, 4.6), layout="constrained")
for (name, batch), color in zip(LECTURE.items(), ("tab:orange", "tab:blue"), strict=True):
    fits, too_much = (size / GIB for size in bands[name])
    image = (too_much - fits) / batch
    axis.plot([1, 96], [fits + (images - batch) * image for images in (1, 96)], color=color, label=name)
    axis.plot(batch, fits, "o", color=color)
    axis.axhspan(fits, too_much, color=color, alpha=0.2)
    axis.text(96, (fits + too_much) / 2, f"{batch} fit, {2 * batch} do not", ha="right", va="center", fontsize=10)
axis.set(xlabel="batch (images)", ylabel="training with Adam (GiB)", xlim=(0, 97), ylim=(0, 9))
label_ends(axis, [line for line in axis.lines if len(line.get_xdata()) > 1])
plt.show()

# %% [markdown] role="question" name="verdict" points=10
# ### Question 5: the verdict
#
# What memory must the GPU have had by GoogLeNet's batch, and what memory by DenseNet-121's? Can it have been the same
# GPU, with memory as the reason for both batches? Test the explanation "since it has fewer parameters" with bytes: how
# many images do DenseNet's saved parameters pay for? Then say what may have been the reason, and how you would find out.
# Do your findings of question 3 make the case stronger or weaker?
#
# ### BEGIN SOLUTION
# *Model answer.* GoogLeNet: at least 0.66 GiB and less than 1.13. DenseNet-121: at least 2.85 GiB and less than 5.59. The
# bands do not touch, so it cannot have been the same memory with memory as the reason for both. A GPU that holds 32
# DenseNet images holds 90 of GoogLeNet. The explanation by parameters: DenseNet has 5.0 million fewer; with gradient and
# Adam's means 16 bytes each, that is 77 MiB, and one image of DenseNet-121 leaves 87.5 MiB. So they pay for not even one
# of the 16 additional images, which take 1,400 MiB. With the truth of question 3 the case is stronger: 125 MiB and 46
# MiB an image give about 4.0 to 7.9 GiB for DenseNet and 0.9 to 1.6 for GoogLeNet: further apart. What else: another GPU
# for the earlier lecture, or one shared with somebody; another network or size than the slide says (the published
# notebook of that lecture trains Inception v3 at 299 × 299, in batches of 32); the workspaces of the convolutions; or no
# reason of memory at all, such as a batch size copied from elsewhere. One would find out by
# `torch.cuda.max_memory_allocated()` in one step of each, by trying 32 with GoogLeNet, or by asking.
#
# *Rubric.* 2 points: both bands with numbers. 2: they do not overlap, so not the same memory for the same reason (an
# answer that drops the assumption of powers of two and argues from 16 and 32 as fitting alone has these too). 2: the
# saved parameters in bytes, against the bytes of an image. 2: another reason, and a way to find out. 2: question 3's
# truth makes the distance larger, with numbers or a sound argument.
# ### END SOLUTION

# %% [markdown]
# ## Before you hand in
#
# Restart the kernel and run all cells, so that what you see is what your cells say. The next cell then runs all public
# checks once more. Save the notebook, and see that all written answers are in it. In a terminal, `autograder pack` then
# makes the file to hand in and says what would cost points.

# %%
check()

# %% [markdown]
# ## Go deeper (optional, no points)
#
# ### How far does a larger image go?
#
# The parameters of a convolution do not know the size of the image. **What to see:** operations and activations grow
# with the area, the bytes of the model stay, and the batch that fits shrinks to nothing.

# %%
print(f"{'pixels':<10}{'10⁹ MACs':>12}{'MiB an image':>15}{'batch in 80 GiB':>18}")
for side in [32, 224, 1024, 8000]:
    shape = (3, side, side)
    image = activation_bytes(densenet, shape, 2) / 2
    batch = largest_batch(densenet, shape, 80 * GIB)
    print(f"{side:<10}{count_macs(densenet, shape) / 1e9:>12.2f}{image / MIB:>15.1f}{batch:>18}")

# %% [markdown]
# ### Paying with time
#
# A GPU need not keep every activation: it can keep the inputs of a block and compute the rest again in the backward pass
# (*checkpointing*). torchvision's DenseNet does so for its concatenations with `memory_efficient=True`. **What to see:**
# the truth for DenseNet-121 falls to a fraction; the price is a second forward pass through each layer's first half.

# %%
thrifty = torchvision.models.densenet121(weights=None, memory_efficient=True)
for name, net in {"as usual": densenet, "memory_efficient": thrifty}.items():
    image = torch.zeros(1, *IMAGE, requires_grad=True)  # without it the checkpoint of the first block has nothing to do
    print(f"{name:<18}{kept_bytes(net, image) / MIB:>8.1f} MiB kept of an image")

# %% [markdown]
# ### How many seconds has an epoch?
#
# ImageNet has 1.28 million images, and a training step costs about three forward passes: one forward, two backward. A
# GPU with 10¹³ operations a second that is used by 30 % needs so long for an epoch of each:

# %%
for row in table:
    hours, minutes = divmod(round(3 * 1_281_167 * seconds_per_image(row["macs"], 1e13, 0.3) / 60), 60)
    print(f"{row['name']:<14}{hours:>4} h {minutes:>2} min")

# %% [markdown]
# **Further reading:** [memory-efficient DenseNets](https://arxiv.org/abs/1707.06990) (Pleiss et al., 2017), whose
# complaint is yours of question 3; [an analysis of deep networks for practical use](https://arxiv.org/abs/1605.07678)
# (Canziani et al., 2016), from which the circles are; [ZeRO](https://arxiv.org/abs/1910.02054) (2020), on what is left
# when the activations are gone; [checkpointing](https://arxiv.org/abs/1604.06174) (Chen et al., 2016).
