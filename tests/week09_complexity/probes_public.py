"""What the public checks ask of your functions. Run beside your code; no answers here.

Each function below calls one of your functions on something small and returns what came back.
"""

import itertools

import torch
from torch import nn

from autograder.authoring import attempt, probe

from .networks import (
    Added,
    Around,
    BehindAView,
    CalledOften,
    CalledTwice,
    Constants,
    DrawnFigures,
    Head,
    Joined,
    LooksBack,
    Scale,
    ScaledConv2d,
    Tied,
    TiedConvolutions,
    WithAuxiliaryHead,
    condition,
    densenet121,
    for_large_images,
    lived_in,
    of_many_dtypes,
    one_value_a_channel,
    partly_frozen,
)

DENSENET121 = densenet121()


def each(count, networks: dict) -> dict:
    """What `count(net, …)` says of each of the networks and further arguments, or what it raised."""
    return {name: attempt(lambda given=given: count(*given)) for name, given in networks.items()}


# --- space ------------------------------------------------------------------------------------------------------------


@probe("model_bytes")
def bytes_of_densenet121(student, draw):
    """DenseNet-121 in its real size."""
    return attempt(lambda: student.model_bytes(DENSENET121))


@probe("model_bytes")
def bytes_of_every_dtype(student, draw):
    """A network with weights and buffers of several dtypes, and the network of a moment ago in 64 bits."""
    width = draw.randint(3, 6)
    several = {"several dtypes": of_many_dtypes(width), "64 bits": lived_in(3, width).double()}
    several |= {"buffers alone": Around(Constants(width))}
    return each(student.model_bytes, {name: (net,) for name, net in several.items()})


@probe("model_bytes")
def bytes_of_shared_tensors(student, draw):
    """Tensors that two layers hold, and a layer under two names; a network whose first layer is frozen."""
    width = draw.randint(3, 6)
    several = {"shared": Tied(width), "a layer twice": CalledTwice(width), "frozen": partly_frozen(Tied(width))}
    return each(student.model_bytes, {name: (net,) for name, net in several.items()})


@probe("model_bytes")
def network_after_its_bytes(student, draw):
    """What a network is like afterwards."""
    net = lived_in(3, draw.randint(2, 4))
    before = condition(net)
    attempt(lambda: student.model_bytes(net))
    return {"before": before, "after": condition(net)}


# --- operations -------------------------------------------------------------------------------------------------------


@probe("count_macs")
def macs_of_densenet121(student, draw):
    """DenseNet-121 for an image of 224 × 224, which is the default."""
    return {"by default": attempt(lambda: student.count_macs(DENSENET121))}


def convolutions(draw) -> dict:
    """Convolutions with every setting, each with the shape of its input."""
    width, side = 2 * draw.randint(2, 4), draw.randint(11, 16)
    image, settings = (4, side, side + 3), {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2)}
    return {
        "kernel, stride and padding": (Around(nn.Conv2d(4, width, **settings)), image),
        "no bias": (Around(nn.Conv2d(4, width, 3, bias=False)), image),
        "two groups": (Around(nn.Conv2d(4, width, 3, padding=1, groups=2)), image),
        "a group for each channel": (Around(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, width, 1)), image),
        "dilation": (Around(nn.Conv2d(4, width, 3, dilation=(2, 3))), image),
        "padding 'same'": (Around(nn.Conv2d(4, width, 4, padding="same")), image),
        "one dimension": (Around(nn.Conv1d(4, width, 3, stride=2, groups=2), nn.Tanh()), (4, 3 * side)),
        "three dimensions": (Around(nn.Conv3d(2, width, (1, 2, 3), padding=1)), (2, 4, 5, side)),
    }


def calls(draw) -> dict:
    """Layers that are called twice or never, and what else the number of calls depends on."""
    width, side = 2 * draw.randint(2, 3), draw.randint(8, 12)
    image = (width, side, side + 1)
    return {
        "twice, and never": (CalledTwice(width), image),
        "one layer in two places": (CalledOften(width, 2), image),
        "one weight in two layers": (TiedConvolutions(width), image),
        "subclasses": (Around(ScaledConv2d(width, 5, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), Head(20, 7)), image),
        "a linear layer on sequences": (Around(nn.Linear(width, 5), nn.ReLU(), nn.Linear(5, 3)), (side, width)),
        "layers without multiplications": (Around(nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)), image),
        "a head for training alone": (WithAuxiliaryHead(width, 5, 4), image),
        "64 bits": (lived_in(width, 4).double(), image),
        "frozen": (partly_frozen(CalledTwice(width)), image),
    }


@probe("count_macs")
def macs_of_convolutions(student, draw):
    """Convolutions with every setting."""
    return each(student.count_macs, convolutions(draw))


@probe("count_macs")
def macs_of_each_call(student, draw):
    """Layers that are called twice or never, linear layers, subclasses."""
    return each(student.count_macs, calls(draw))


@probe("count_macs")
def macs_with_one_value_a_channel(student, draw):
    """A network in training mode, with which batch norm would refuse a single image, and one in evaluation mode."""
    width = draw.randint(3, 6)
    nets = {"training": one_value_a_channel(3, width), "evaluation": one_value_a_channel(3, width + 1).eval()}
    return each(student.count_macs, {mode: (net, (3, 5, 6)) for mode, net in nets.items()})


@probe("count_macs")
def macs_of_a_large_image(student, draw):
    """An image of 8000 × 8000: nothing of that size can be computed here."""
    return attempt(lambda: student.count_macs(for_large_images(16 * draw.randint(3, 4)), (3, 8000, 8000)))


@probe("count_macs")
def network_after_counting(student, draw):
    """What a network is like after its operations were counted twice, and both counts."""
    return afterwards(draw, lambda net, shape: student.count_macs(net, shape))


def afterwards(draw, ask, dtype: torch.dtype = torch.float32) -> dict:
    """Two networks as they were before, and as they are after `ask(net, input_shape)` was called with them twice."""
    shape, seen = (3, draw.randint(7, 9), 8), {}
    nets = {
        mode: lived_in(3, draw.randint(2, 4), mode == "training").to(dtype) for mode in ("training", "evaluation")
    }  # both before anything is asked, which may draw random numbers of its own
    for mode, net in nets.items():
        before = condition(net)
        answers = [attempt(lambda net=net: ask(net, shape)) for _ in range(2)]
        seen[mode] = {"before": before, "after": condition(net), "answers": answers}
    return seen


# --- activations ------------------------------------------------------------------------------------------------------


def leaves(draw) -> dict:
    """Networks whose leaves each have an output of their own, and what is computed beside leaves."""
    width, side, batch = draw.randint(3, 5), draw.randint(7, 10), draw.randint(2, 4)
    image = (3, side, side + 2)
    return {
        "convolution, batch norm, ReLU, pooling": (
            Around(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)), image, batch,
        ),
        "one image": (Around(nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.Sigmoid()), image, 1),
        "a leaf called twice, others never": (CalledTwice(3), image, batch),
        "a leaf of a class of its own": (Around(Scale(3), nn.Conv2d(3, width, 1), Scale(width)), image, batch),
        "torch.cat between two leaves": (Around(Joined(3, width), nn.Conv2d(2 * width + 1, 2, 1)), image, batch),
        "linear layers on sequences": (Around(nn.Linear(4, width), nn.GELU(), nn.Linear(width, 6)), (side, 4), batch),
        "one dimension": (Around(nn.Conv1d(4, width, 3), nn.BatchNorm1d(width), nn.ELU()), (4, side), batch),
    }  # fmt: skip


def shared_storages(draw) -> dict:
    """Networks in which outputs lie where another lies already."""
    width, side, batch = draw.randint(3, 5), draw.randint(7, 10), draw.randint(2, 4)
    image, pool = (3, side, side + 2), nn.AdaptiveAvgPool2d(2)
    return {
        "ReLU in place": (Around(nn.Conv2d(3, width, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)), image, batch),
        "other layers in place": (
            Around(nn.Conv2d(3, width, 3), nn.Dropout(0.5, inplace=True), nn.LeakyReLU(0.1, True), nn.ELU()), image, batch,
        ),
        "Flatten": (Around(nn.Conv2d(3, width, 3), pool, nn.Flatten(), nn.Linear(4 * width, 6)), image, batch),
        "Identity": (Around(nn.Conv2d(3, width, 3), nn.Identity(), nn.Tanh(), nn.Identity()), image, batch),
        "ReLU in place behind torch.cat": (Around(nn.Conv2d(3, 4, 1), Joined(4, width)), image, batch),
        "ReLU in place behind an addition in place": (Around(nn.Conv2d(3, width, 1), Added(width)), image, batch),
        "ReLU in place behind a view": (BehindAView(3, width), image, batch),
        "ReLU in place on an earlier output": (LooksBack(3, width), image, batch),
    }  # fmt: skip


def modes(draw) -> dict:
    """Networks that do something else in evaluation mode, and one that refuses a single image in training mode."""
    width, side, batch = draw.randint(3, 5), draw.randint(7, 10), draw.randint(2, 4)
    image = (3, side, side + 2)
    return {
        "a head for training, dropout": (WithAuxiliaryHead(3, width, 4), image, batch),
        "a head for training, dropout; given in evaluation mode": (WithAuxiliaryHead(3, width, 4).eval(), image, batch),
        "one value a channel in an image": (one_value_a_channel(3, width), image, batch),
    }


def dtypes(draw) -> dict:
    """Float32 and other dtypes, for networks of 32 and of 64 bits."""
    width, side, batch = draw.randint(3, 5), draw.randint(7, 10), draw.randint(1, 3)
    image = (3, side, side + 2)
    given = {"by default": (), "float64": (torch.float64,), "float16": (torch.float16,), "bfloat16": (torch.bfloat16,)}
    nets = {"network of 32 bits": lived_in(3, width), "network of 64 bits": lived_in(3, width).double()}
    return {f"{kind}, {name}": (net, image, batch, *more) for kind, net in nets.items() for name, more in given.items()}


@probe("activation_bytes")
def outputs_of_leaves(student, draw):
    """Networks whose leaves each have an output of their own."""
    return each(student.activation_bytes, leaves(draw))


@probe("activation_bytes")
def outputs_in_one_place(student, draw):
    """Layers in place, `Flatten`, `Identity`."""
    return each(student.activation_bytes, shared_storages(draw))


@probe("activation_bytes")
def outputs_in_training_mode(student, draw):
    """Networks that do something else in evaluation mode."""
    return each(student.activation_bytes, modes(draw))


@probe("activation_bytes")
def outputs_of_other_dtypes(student, draw):
    """Float32, 64 and 16 bits, whatever the network has."""
    return each(student.activation_bytes, dtypes(draw))


@probe("activation_bytes")
def network_after_measuring(student, draw):
    """What a network is like after its activations were measured twice, and both answers."""
    return afterwards(draw, lambda net, shape: student.activation_bytes(net, shape, 2))


# --- training ---------------------------------------------------------------------------------------------------------

OPTIMIZERS = ("sgd", "momentum", "adam")
PARTS = ("model_bytes", "activation_bytes")


def subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All choices of some of the names, or none, or all."""
    return [chosen for size in range(len(names) + 1) for chosen in itertools.combinations(names, size)]


def drawn_figures(draw) -> DrawnFigures:
    """Stand-ins for your functions, whose figures are drawn."""
    return DrawnFigures(draw, image_bytes=draw.randint(3, 9))


def with_spare(net: nn.Module, width: int) -> nn.Module:
    """`net` with a layer of 16 bits that its forward pass does not call."""
    net.spare = nn.Linear(width, 3).half()
    return net


def trained(draw) -> dict:
    """Networks with different parts that are trained, each with a shape and a batch size."""
    width, side, batch = draw.randint(3, 5), draw.randint(7, 9), draw.randint(2, 5)
    image = (3, side, side + 1)
    return {
        "all trained": (Around(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU()), image, batch),
        "partly frozen": (partly_frozen(Around(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))), image, batch),
        "a weight in two layers": (Tied(width), (width,), batch),
        "64 bits, and a layer of 16": (with_spare(lived_in(3, width).double(), width), image, batch),
    }


def training_by_optimizer(student, figures: DrawnFigures, given: tuple) -> dict:
    """What training takes with each of the optimizers, and with none named; and which stand-ins were asked."""
    figures.called.clear()
    seen = {name: attempt(lambda name=name: student.training_bytes(*given, name)) for name in OPTIMIZERS}
    seen["by default"] = attempt(lambda: student.training_bytes(*given))
    return {"bytes": seen, "asked": sorted(figures.called)}


def budgets(student, draw, names: tuple[str, ...] = PARTS) -> dict:
    """What training takes of each network, with drawn figures in the place of your functions of these names."""
    figures, nets = drawn_figures(draw), trained(draw)
    with student.replaced(**figures.replacing(*names)):
        return {name: training_by_optimizer(student, figures, given) for name, given in nets.items()}


@probe("training_bytes")
def training_of_networks(student, draw):
    """Small networks, all trained or partly frozen, with each optimizer."""
    return budgets(student, draw)


@probe("training_bytes", beside="training_of_networks")
def training_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins: a `training_bytes` need not call your other functions."""
    return fewer_stand_ins(budgets, student, draw, PARTS)


def fewer_stand_ins(ask, student, draw, names: tuple[str, ...]) -> dict:
    """`ask(student, draw, chosen)` for each choice of the names, with the same draws."""
    state, seen = draw.getstate(), {}
    for chosen in subsets(names):
        draw.setstate(state)
        seen[" and ".join(sorted(chosen))] = ask(student, draw, chosen)
    return seen


@probe("training_bytes")
def training_by_unknown_optimizers(student, draw):
    """Optimizers that the contract does not have."""
    net, shape = Around(nn.Conv2d(3, 4, 3)), (3, 6, 6)
    with student.replaced(**drawn_figures(draw).replacing(*PARTS)):
        return unknown_optimizers(student, net, shape, ["rmsprop", "adagrad"])


def unknown_optimizers(student, net: nn.Module, shape: tuple[int, ...], names: list[str]) -> dict:
    """What each of the names gives."""
    ask = student.training_bytes
    return {name: attempt(lambda name=name: ask(net, shape, 2, name), raises=ValueError) for name in names}


@probe("training_bytes")
def network_after_the_budget(student, draw):
    """What a network is like afterwards."""
    with student.replaced(**drawn_figures(draw).replacing(*PARTS)):
        return afterwards(draw, lambda net, shape: student.training_bytes(net, shape, 2, "adam"))


# --- batch ------------------------------------------------------------------------------------------------------------

GIB = 2**30
COUNTED = ("training_bytes", "model_bytes", "activation_bytes")


def one_layer(draw) -> nn.Module:
    """A network whose images take a few bytes, so that every byte of memory can be tried."""
    return nn.Sequential(nn.Linear(2, draw.randint(2, 3)))


def batches(student, draw, names: tuple[str, ...] = COUNTED) -> dict:
    """The largest batches for memories that grow byte by byte, with each optimizer and with none named."""
    figures, net = drawn_figures(draw), one_layer(draw)
    first = draw.randint(900, 1100)
    seen, ask = {}, student.largest_batch
    with student.replaced(**figures.replacing(*names)):
        for optimizer in (*OPTIMIZERS, "by default"):
            named = () if optimizer == "by default" else (optimizer,)
            memories = range(first, first + (20 if optimizer == "sgd" else 3))
            seen[optimizer] = [attempt(lambda m=memory, named=named: ask(net, (2,), m, *named)) for memory in memories]
    return {"batches": seen, "asked": sorted(figures.called)}


def nothing_fits(student, draw, names: tuple[str, ...] = COUNTED) -> dict:
    """Memories into which no image fits: hardly any, and too little for the weights alone."""
    figures, net = drawn_figures(draw), one_layer(draw)
    with student.replaced(**figures.replacing(*names)):
        seen = [attempt(lambda m=m: student.largest_batch(net, (2,), m)) for m in (0, 3, draw.randint(10, 50))]
    return {"batches": seen, "asked": sorted(figures.called)}


def eighty_gib(student, draw, names: tuple[str, ...] = COUNTED) -> dict:
    """The largest batch for 80 GiB, of images that take some MiB each; computed, of some KiB."""
    figures = DrawnFigures(draw, image_bytes=draw.randint(1000, 1500))
    net, shape = Around(nn.Conv2d(3, draw.randint(3, 5), 3), nn.ReLU(), nn.MaxPool2d(2)), (3, 40, draw.randint(30, 40))
    with student.replaced(**figures.replacing(*names)):
        seen = attempt(lambda: student.largest_batch(net, shape, 80 * GIB))
    return {"batches": seen, "asked": sorted(figures.called)}


@probe("largest_batch")
def batches_byte_by_byte(student, draw):
    """Memories that grow byte by byte."""
    return batches(student, draw)


@probe("largest_batch", beside="batches_byte_by_byte")
def batches_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return fewer_stand_ins(batches, student, draw, COUNTED)


@probe("largest_batch")
def batches_in_no_memory(student, draw):
    """Memories into which no image fits."""
    return nothing_fits(student, draw)


@probe("largest_batch")
def batches_in_80_gib(student, draw):
    """A large memory."""
    return eighty_gib(student, draw)


@probe("largest_batch", beside="batches_in_80_gib")
def batches_in_80_gib_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return fewer_stand_ins(eighty_gib, student, draw, COUNTED)


@probe("largest_batch")
def network_after_the_search(student, draw):
    """What a network is like afterwards."""
    with student.replaced(**drawn_figures(draw).replacing(*COUNTED)):
        return afterwards(draw, lambda net, shape: student.largest_batch(net, shape, 100_000))


# --- time -------------------------------------------------------------------------------------------------------------


@probe("seconds_per_image")
def seconds_of_a_few_images(student, draw):
    """Rates of a laptop and of a GPU, and an image that costs nothing."""
    macs, rate = draw.randint(10**9, 10**10), draw.randint(10**11, 10**13)
    ask = student.seconds_per_image
    return {
        f"{macs}, {rate}": attempt(lambda: ask(macs, rate)),
        f"{macs}, {float(rate)}, 0.25": attempt(lambda: ask(macs, float(rate), 0.25)),
        f"{macs}, {rate}, utilisation=1": attempt(lambda: ask(macs, rate, utilisation=1)),
        f"0, {rate}": attempt(lambda: ask(0, rate)),
    }


@probe("seconds_per_image")
def seconds_at_impossible_rates(student, draw):
    """Rates that are not positive."""
    return at_rates(student, [(0, 1.0), (-1e12, 1.0), (1e12, 0.0), (1e12, -0.5), (-1e12, -0.5), (float("nan"), 1.0)])


def at_rates(student, rates: list[tuple[float, float]]) -> dict:
    """What each pair of rates gives."""
    ask = student.seconds_per_image
    return {
        f"{rate:g}, {share:g}": attempt(lambda rate=rate, share=share: ask(10**9, rate, share), raises=ValueError)
        for rate, share in rates
    }


# --- comparison -------------------------------------------------------------------------------------------------------

COLUMNS = ("parameters", "bytes", "macs", "activation_bytes", "largest_batch")
ASKED = ("model_bytes", "count_macs", "activation_bytes", "training_bytes", "largest_batch")
# a table that asks none of your functions for a figure computes it: each column is as with its stand-in, or as without
WORLDS = (ASKED, (), ("activation_bytes",), ("model_bytes", "activation_bytes"), ("training_bytes", "activation_bytes"))


def numbered(net: nn.Module, number: int) -> nn.Module:
    """`net` with a number by which the stand-ins know it."""
    net.number = number
    return net


def builders(draw) -> dict:
    """Functions that build a small network each, in an order that is none of the alphabet's or of size."""
    width = draw.randint(3, 5)
    return {
        "small": lambda: numbered(Around(nn.Conv2d(3, width, 3), nn.ReLU()), 3),
        "large": lambda: numbered(Around(nn.Conv2d(3, 4 * width, 3), nn.BatchNorm2d(4 * width), nn.Conv2d(4 * width, 4, 3)), 7),
        "frozen": lambda: numbered(partly_frozen(Around(nn.Conv2d(3, 2 * width, 3), nn.Conv2d(2 * width, 5, 1))), 1),
        "another": lambda: numbered(CalledTwice(3), 5),
    }  # fmt: skip


def table(student, draw, names: tuple[str, ...] = ASKED) -> object:
    """The table of the networks, by its columns; the memory is too small for one of them."""
    made, shape, memory = builders(draw), (3, draw.randint(8, 10), 9), 110_000 + draw.randint(0, 4000)
    with student.replaced(**drawn_figures(draw).replacing(*names)):
        found = attempt(lambda: student.complexity_table(made, shape, memory))
    if not isinstance(found, (list, tuple)):
        return found
    return type(found)(columns_of(row) for row in found)


def columns_of(row) -> object:
    """The columns of the contract in a row of the table; what is no dict as it is."""
    return {name: row[name] for name in ("name", *COLUMNS) if name in row} if isinstance(row, dict) else row


@probe("complexity_table")
def table_of_a_few_networks(student, draw):
    """Four small networks, one of which does not fit."""
    return table(student, draw)


@probe("complexity_table", beside="table_of_a_few_networks")
def table_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return in_worlds(student, draw)


def in_worlds(student, draw) -> list:
    """The table with each choice of stand-ins."""
    state, seen = draw.getstate(), []
    for names in WORLDS:
        draw.setstate(state)
        seen.append(table(student, draw, names))
    return seen
