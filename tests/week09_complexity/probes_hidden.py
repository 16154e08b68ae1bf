"""What the hidden checks ask besides: other sizes, settings and repetitions. They run beside a student's code too."""

import torch
from torch import nn

from autograder.authoring import attempt, probe

from .networks import (
    Added,
    Around,
    CalledOften,
    CalledTwice,
    Constants,
    DrawnFigures,
    Joined,
    Scale,
    Tied,
    WithAuxiliaryHead,
    condition,
    for_large_images,
    lived_in,
    of_many_dtypes,
    one_value_a_channel,
    partly_frozen,
    tiny_densenet,
)
from .probes_public import (
    COUNTED,
    PARTS,
    afterwards,
    at_rates,
    batches,
    budgets,
    each,
    eighty_gib,
    fewer_stand_ins,
    in_worlds,
    leaves,
    modes,
    nothing_fits,
    shared_storages,
    table,
)

# --- space ------------------------------------------------------------------------------------------------------------


@probe("model_bytes")
def bytes_of_other_dtypes(student, draw):
    """Other widths and dtypes, deeper in the network."""
    width = draw.randint(7, 12)
    several = {
        "several dtypes": Around(of_many_dtypes(width), Around(Constants(2 * width))),
        "bfloat16": tiny_densenet(4, width).bfloat16(),
        "bytes": Around(nn.Conv2d(3, width, 3), numbered_by_bytes(width)),
    }
    return each(student.model_bytes, {name: (net,) for name, net in several.items()})


def numbered_by_bytes(width: int) -> nn.Module:
    """A layer with buffers of one and of two bytes a number."""
    layer = Scale(width)
    layer.register_buffer("palette", torch.zeros(width, 3, dtype=torch.uint8), persistent=False)
    layer.register_buffer("places", torch.zeros(width, dtype=torch.int16))
    return layer


@probe("model_bytes")
def bytes_of_other_shared_tensors(student, draw):
    """Tensors that several parts hold, some of them frozen."""
    width, tied = draw.randint(7, 12), Tied(draw.randint(7, 12))
    layer = nn.Linear(width, width)
    several = {
        "one network in two places": Around(tied, Around(tied), nn.ReLU()),
        "one weight in two layers": Around(nn.Linear(width, 4), layer, _with_weight(layer.weight, width)),
        "frozen": partly_frozen(Around(Tied(width), nn.Linear(width, 2))),
    }
    return each(student.model_bytes, {name: (net,) for name, net in several.items()})


def _with_weight(weight: nn.Parameter, width: int) -> nn.Module:
    layer = nn.Linear(width, width, bias=False)
    layer.weight = weight
    return layer


@probe("model_bytes")
def network_after_other_bytes(student, draw):
    """What another network is like afterwards."""
    net = partly_frozen(lived_in(3, draw.randint(5, 6), training=False)).double()
    before = condition(net)
    attempt(lambda: student.model_bytes(net))
    return {"before": before, "after": condition(net)}


# --- operations -------------------------------------------------------------------------------------------------------


@probe("count_macs")
def macs_of_other_convolutions(student, draw):
    """Convolutions with settings that are drawn, each with another one behind it."""
    several = {}
    for number in range(5):
        groups = draw.choice([1, 2, 3])
        net = Around(drawn_convolution(draw, 2, 3, 6, 1), nn.ReLU(), drawn_convolution(draw, 2, 6, 6, groups))
        several[f"two dimensions, {number}"] = (net, (3, draw.randint(14, 20), draw.randint(14, 20)))
    for dimensions, sides in ((1, [31]), (3, [9, 10, 11])):
        groups = draw.choice([1, 2])
        net = Around(drawn_convolution(draw, dimensions, 4, 6, groups), drawn_convolution(draw, dimensions, 6, 2, 2))
        several[f"{dimensions} dimensions"] = (net, (4, *sides))
    return each(student.count_macs, several)


def drawn_convolution(draw, dimensions: int, channels: int, width: int, groups: int) -> nn.Module:
    """A convolution of one, two or three dimensions whose other settings are drawn, along each dimension for itself."""
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    kernel, stride, padding, dilation = (
        tuple(draw.randint(low, high) for _ in range(dimensions)) for low, high in ((1, 3), (1, 2), (0, 2), (1, 2))
    )
    return kind(channels, width, kernel, stride, padding, dilation, groups, bias=draw.random() < 0.5)


@probe("count_macs")
def macs_of_other_calls(student, draw):
    """Layers that are called many times, in evaluation mode and in training mode; a small DenseNet."""
    width, times, side = draw.randint(2, 4), draw.randint(3, 5), draw.randint(9, 12)
    given = {
        "many times": (CalledOften(width, times), (width, side, 7)),
        "in evaluation mode": (CalledTwice(width).eval(), (width, side, 8)),
        "a small DenseNet": (tiny_densenet(4, 2 * width), (3, 2 * side, 24)),
        "a small DenseNet of 64 bits": (tiny_densenet(3, 2 * width).double(), (3, 24, 2 * side)),
        "added and joined": (Around(Added(width), Joined(width, 3), nn.Conv2d(7, 2, 1)), (width, side, 5)),
        "a head for training alone": (WithAuxiliaryHead(width, 3, times).eval(), (width, side, 5)),
        "a row of numbers": (Around(nn.Linear(side, times), nn.BatchNorm1d(times), nn.Linear(times, 2)), (side,)),
        "sequences": (Around(nn.Linear(side, times, bias=False), nn.Linear(times, 2)), (2, 3, side)),
    }
    return each(student.count_macs, given)


@probe("count_macs")
def macs_with_one_value_in_other_networks(student, draw):
    """Networks of other widths with which batch norm would refuse a single image."""
    width = draw.randint(3, 6)
    flat = Around(nn.Flatten(), nn.Linear(12, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    several = {"a row": (flat, (3, 2, 2)), "an image": (one_value_a_channel(2, draw.randint(7, 9)), (2, 6, 7))}
    return each(student.count_macs, several)


@probe("count_macs")
def macs_of_another_large_image(student, draw):
    """Another large image."""
    net = for_large_images(16 * draw.randint(5, 6)).eval()
    return attempt(lambda: student.count_macs(net, (3, 8000, 500 * draw.randint(12, 16))))


@probe("count_macs")
def other_network_after_counting(student, draw):
    """What other networks are like afterwards."""
    return afterwards(draw, lambda net, shape: student.count_macs(net, shape), torch.float64)


# --- activations ------------------------------------------------------------------------------------------------------


@probe("activation_bytes")
def outputs_of_other_leaves(student, draw):
    """The networks of the public probe in other sizes, and others."""
    width, batch = draw.randint(2, 4), draw.randint(5, 7)
    more = {
        "a leaf called many times, not in place": (Around(*[nn.Conv2d(width, width, 1)] * 4), (width, 5, 6), batch),
        "without convolutions": (Around(nn.AvgPool2d(2), nn.Softplus(), Scale(width)), (width, 8, 6), batch),
        "a leaf for each dimension": (Around(nn.Conv3d(width, 2, 2), nn.MaxPool3d((1, 2, 1))), (width, 4, 5, 6), batch),
    }
    return each(student.activation_bytes, leaves(draw) | more)


@probe("activation_bytes")
def other_outputs_in_one_place(student, draw):
    """The networks of the public probe in other sizes, and others."""
    width, batch = draw.randint(2, 4), draw.randint(5, 7)
    row = Around(nn.Conv2d(width, 6, 1), nn.Flatten(1, 2), nn.Identity(), nn.ReLU(inplace=True), nn.Flatten(), nn.Tanh())
    more = {
        "often in place": (CalledOften(width, draw.randint(3, 5)), (width, 5, 6), batch),
        "several views": (row, (width, 4, 5), batch),
        "blocks in a row": (Around(Added(width), Joined(width, 3), Added(7)), (width, 6, 7), batch),
        "a small DenseNet": (tiny_densenet(4, 2 * width), (3, 24, 32), 2),
    }
    return each(student.activation_bytes, shared_storages(draw) | more)


@probe("activation_bytes")
def other_outputs_in_training_mode(student, draw):
    """The networks of the public probe in other sizes, and one for rows of numbers."""
    width = draw.randint(3, 6)
    flat = Around(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Dropout(0.3))
    return each(student.activation_bytes, modes(draw) | {"rows": (flat, (6,), draw.randint(2, 9))})


@probe("activation_bytes")
def outputs_of_more_dtypes(student, draw):
    """Dtypes of two, four and eight bytes."""
    width, batch = draw.randint(6, 8), draw.randint(4, 5)
    nets = {"32 bits": Around(nn.Conv2d(3, width, 3), nn.ReLU(True)), "64 bits": lived_in(3, width).double()}
    several = (torch.float32, torch.bfloat16, torch.float64, torch.float16)
    given = {f"{name}, {dtype}": (net, (3, 6, 9), batch, dtype) for name, net in nets.items() for dtype in several}
    return each(student.activation_bytes, given)


@probe("activation_bytes")
def other_network_after_measuring(student, draw):
    """What other networks are like afterwards."""
    return afterwards(draw, lambda net, shape: student.activation_bytes(net, shape, 3, torch.float16), torch.float64)


# --- training ---------------------------------------------------------------------------------------------------------


@probe("training_bytes")
def training_of_other_networks(student, draw):
    """Other sizes and figures."""
    return budgets(student, draw)


@probe("training_bytes", beside="training_of_other_networks")
def training_of_others_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return fewer_stand_ins(budgets, student, draw, PARTS)


@probe("training_bytes")
def other_network_after_the_budget(student, draw):
    """What other networks are like afterwards."""
    figures = DrawnFigures(draw, image_bytes=5)
    with student.replaced(**figures.replacing(*PARTS)):
        return afterwards(draw, lambda net, shape: student.training_bytes(net, shape, 3, "momentum"), torch.float64)


# --- batch ------------------------------------------------------------------------------------------------------------


@probe("largest_batch")
def other_batches_byte_by_byte(student, draw):
    """Other memories and figures."""
    return batches(student, draw)


@probe("largest_batch", beside="other_batches_byte_by_byte")
def other_batches_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return fewer_stand_ins(batches, student, draw, COUNTED)


@probe("largest_batch")
def other_batches_in_no_memory(student, draw):
    """Other memories into which no image fits."""
    return nothing_fits(student, draw)


@probe("largest_batch")
def other_batches_in_80_gib(student, draw):
    """Other images in a large memory."""
    return eighty_gib(student, draw)


@probe("largest_batch", beside="other_batches_in_80_gib")
def other_batches_in_80_gib_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return fewer_stand_ins(eighty_gib, student, draw, COUNTED)


@probe("largest_batch")
def other_network_after_the_search(student, draw):
    """What other networks are like afterwards."""
    with student.replaced(**DrawnFigures(draw, image_bytes=4).replacing(*COUNTED)):
        return afterwards(draw, lambda net, shape: student.largest_batch(net, shape, 50_000, "momentum"), torch.float64)


# --- time -------------------------------------------------------------------------------------------------------------


@probe("seconds_per_image")
def seconds_of_other_images(student, draw):
    """Other images at other rates, the fast ones far below a microsecond."""
    seen = {}
    for _ in range(20):
        macs, rate, share = int(10 ** draw.uniform(3, 12)), 10 ** draw.uniform(6, 18), draw.uniform(0.01, 1.0)
        seen[f"{macs}, {rate}, {share}"] = attempt(lambda given=(macs, rate, share): student.seconds_per_image(*given))
    return seen


@probe("seconds_per_image")
def seconds_at_other_impossible_rates(student, draw):
    """Other rates that are not positive."""
    rate, nan = -(10 ** draw.uniform(-3, 12)), float("nan")
    return at_rates(student, [(rate, 1.0), (rate, rate), (1e9, rate), (1e9, nan), (nan, nan), (0.0, 0.0), (-0.0, 1.0)])


# --- comparison -------------------------------------------------------------------------------------------------------


@probe("complexity_table")
def table_of_other_networks(student, draw):
    """Other sizes and figures."""
    return table(student, draw)


@probe("complexity_table", beside="table_of_other_networks")
def other_table_with_fewer_stand_ins(student, draw):
    """The same with fewer stand-ins."""
    return in_worlds(student, draw)
