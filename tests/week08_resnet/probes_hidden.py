"""What the hidden checks ask: other sizes, other networks, other devices, and a second time. Never given to students."""

import torch
from torch import nn

from autograder.authoring import attempt, probe, register

from .accelerator import ACCELERATOR
from .blocks import block_seen, gradients_of, passed_through
from .classifier_probes_hidden import *  # noqa: F403
from .networks import Narrow, Scaled, SmallNet, TiedNet, TinyResNet, tiny_net
from .probes_public import (
    batch_of,
    chain,
    compared,
    downsample_of,
    give_gradients,
    joined,
    measured,
    of_two_dtypes,
    residual_block,
    steep_net,
    tied,
)
from .seeds import random_state_after, seeded, told_apart

register()  # without the simulated accelerator nothing is graded

# --- block ------------------------------------------------------------------------------------------------------------


def asked_of_many_blocks(draw) -> dict[str, tuple[int, ...]]:
    """Channels in, channels out and stride, far from those of a ResNet-18 too."""
    return {
        "wide": (draw.randint(17, 24), draw.randint(25, 32), 1),
        "narrower": (draw.randint(9, 12), draw.randint(3, 6)),
        "one channel": (1, 1),
        "stride 3": (draw.randint(3, 6), draw.randint(7, 9), 3),
        "stride 4": (5, 5, 4),
        "stride 2": (4, 4, 2),
        "halved": (6, 3, 2),
    }


@probe("ResidualBlock")
def blocks_of_many_widths(student, draw):
    """Other widths and strides, and inputs of other sizes, down to a single pixel; two inputs for each."""
    seen = {}
    for number, (name, widths) in enumerate(asked_of_many_blocks(draw).items()):
        block = residual_block(student, draw, widths)
        sizes = [(3, 4, 7), (1, 1, 1), (2, 11, 3)][number % 3]
        inputs = [seeded(draw, torch.randn, sizes[0], widths[0], *sizes[1:]) for _ in range(2)]
        seen[name] = {
            "asked": list(widths),
            "inputs": [x.clone() for x in inputs],
            "block": block_seen(block),
            "downsample": downsample_of(block),
            "outputs": [passed_through(student, block, x.clone(), training=False) for x in inputs],
        }
    return seen


@probe("ResidualBlock")
def block_in_training(student, draw):
    """Two passes in training mode, each with gradients, then one in evaluation mode; with a shortcut of either kind."""
    seen = {}
    for name, widths in {"as it is": (6, 6), "projected": (draw.randint(5, 7), draw.randint(8, 10), 2)}.items():
        block = residual_block(student, draw, widths)
        inputs = [seeded(draw, torch.randn, 4, widths[0], 7, 4) * scale for scale in (1.0, 2.0, 1.0)]
        passes, gradients = [], []
        for x, training in zip(inputs, (True, True, False), strict=True):
            gradients.append(gradients_of(student, block, x))
            passes.append(passed_through(student, block, x.clone(), training))
        seen[name] = {
            "asked": list(widths),
            "inputs": inputs,
            "block": block_seen(block),
            "passes": passes,
            "gradients": gradients,
        }
    return seen


@probe("ResidualBlock")
def blocks_side_by_side(student, draw):
    """The same input again and again, a second block beside the first, and the random numbers after a pass."""
    widths = (6, 9, 2)
    block = residual_block(student, draw, widths)
    x = seeded(draw, torch.randn, 2, 6, 5, 6)
    first = passed_through(student, block, x.clone(), training=False)
    other = residual_block(student, draw, widths)
    beside = passed_through(student, other, x.clone(), training=False)
    again = [passed_through(student, block, x.clone(), training=False) for _ in range(3)]
    quiet, passing = (
        random_state_after(lambda mode=mode: mode and passed_through(student, block, x.clone(), training=True), seed=3)
        for mode in (False, True)
    )
    made = told_apart(*(random_state_after(lambda: attempt(lambda: student.ResidualBlock(*widths)), seed) for seed in (5, 6)))
    return {
        "asked": list(widths),
        "block": block_seen(block),
        "first": first,
        "beside": beside,
        "again": again,
        "random numbers": {"without": quiet, "after a pass": passing, "after making": made},
    }


@probe("ResidualBlock")
def block_on_accelerator(student, draw):
    """Blocks with either shortcut and their input on an accelerator."""
    seen = {}
    for name, widths in {"as it is": (5, 5), "projected": (4, 6, 2)}.items():
        block = residual_block(student, draw, widths, ACCELERATOR)
        x = seeded(draw, torch.randn, 3, widths[0], 5, 4)
        passes = [passed_through(student, block, x.to(ACCELERATOR), training) for training in (False, True)]
        seen[name] = {"asked": list(widths), "block": block_seen(block), "passes": passes}
    return seen


# --- join -------------------------------------------------------------------------------------------------------------


@probe("joined_channels")
def joined_in_many_ways(student, draw):
    """Long stacks, single layers, no layer, a width that comes back, and other ways that do not exist."""
    width, other = draw.randint(3, 200), draw.randint(201, 300)
    grown = [draw.randint(1, 40) for _ in range(draw.randint(30, 40))]
    can = {
        "long, added": joined(student, width, [width] * 50, "add"),
        "one, added": joined(student, width, [width], "add"),
        "long, concatenated": joined(student, width, grown, "concatenate"),
        "one, concatenated": joined(student, width, [other], "concatenate"),
        "nothing, concatenated": joined(student, width, [], "concatenate"),
    }
    cannot = {
        "back again": joined(student, width, [width, other, width], "add", ValueError),
        "up": joined(student, width, [width, 2 * width], "add", ValueError),
        "narrower": joined(student, other, [width, width], "add", ValueError),
        "a part of the word": joined(student, width, [width], "concat", ValueError),
        "nothing, in another way": joined(student, width, [], "sum", ValueError),
        "no word": joined(student, width, [width], "", ValueError),
    }
    return {"can": can, "cannot": cannot}


# --- parameters -------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """A module of the same name as PyTorch's linear layer, which owns one parameter."""

    def __init__(self, width: int):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(width, 2))


class Twice(nn.Module):
    """One layer under two names, and a layer deep inside."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = self.first
        self.deep = nn.ModuleDict({"a": nn.Sequential(nn.ModuleList([nn.Conv1d(width, 3, 2)]))})


class BackToFront(nn.Module):
    """A convolution and a linear layer that share a tensor; the linear layer is the first to be registered."""

    def __init__(self, width: int):
        super().__init__()
        self.last = nn.Linear(width, width)
        self.first = nn.Conv1d(width, width, 1, bias=False)
        self.bias = self.last.bias


def network_of_lists(draw) -> nn.Module:
    """Parameters in a list, attention's, and layers of other kinds."""
    width = 2 * draw.randint(2, 4)
    loose = nn.ParameterList([nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(3, 2))])
    return nn.ModuleList([loose, nn.MultiheadAttention(width, 2), nn.LayerNorm(width), nn.GroupNorm(2, width), nn.PReLU()])


NETWORKS = {
    "tiny resnet": lambda draw: tiny_net(draw, draw.randint(3, 9)),
    "one layer": lambda draw: nn.Linear(draw.randint(2, 9), 3),
    "same name": lambda draw: nn.Sequential(nn.Linear(3, draw.randint(2, 5)), Linear(draw.randint(2, 5))),
    "another name": lambda draw: nn.Sequential(Narrow(3, draw.randint(2, 5)), nn.Linear(2, 2)),
    "twice": lambda draw: Twice(draw.randint(3, 6)),
    "back to front": lambda draw: BackToFront(draw.randint(3, 6)),
    "tied": lambda draw: TiedNet(draw.randint(10, 20), draw.randint(3, 6)),
    "own": lambda draw: Scaled(draw.randint(3, 9)),
    "lists": network_of_lists,
    "all frozen": lambda draw: SmallNet().requires_grad_(False),
    "frozen half": lambda draw: _frozen_half(draw),
    "nothing to own": lambda draw: nn.Sequential(nn.ReLU(), nn.Flatten()),
}


def _frozen_half(draw) -> nn.Module:
    net = tiny_net(draw, 5)
    net.layer1.requires_grad_(False)
    net.bn1.weight.requires_grad_(False)
    return net


@probe("parameters_by_kind")
def kinds_of_many_networks(student, draw):
    """Networks in which modules are nested, shared, of other names, frozen or without parameters."""
    return {name: attempt(lambda build=build: student.parameters_by_kind(build(draw))) for name, build in NETWORKS.items()}


# --- comparison -------------------------------------------------------------------------------------------------------


@probe("compare_networks")
def many_networks(student, draw):
    """Several networks of one size between others, of four dtypes; a single one; none."""
    width = draw.randint(10, 19)
    mixed = {
        "zebra": lambda: chain(width, 3),
        "yak": lambda: chain(width, 2, dtype=torch.float64),
        "ant": lambda: chain(3, width, dtype=torch.float16),
        "bee": lambda: chain(width, 100),
        "cat": lambda: chain(3, width, dtype=torch.bfloat16),
        "asp": lambda: chain(width, 3),
        "dog": lambda: of_two_dtypes(width, torch.float16, torch.float64),
        "eel": lambda: tied(width),
    }
    return {
        "mixed": compared(student, mixed),
        "single": compared(student, {"one": lambda: chain(2, 3, 4)}),
        "none": compared(student, {}),
    }


# --- gradients --------------------------------------------------------------------------------------------------------


@probe("gradient_norms")
def norms_of_a_tiny_resnet(student, draw):
    """A deeper network, with weights three times as steep, and a large batch."""
    net = seeded(draw, TinyResNet, 5, draw.randint(3, 5))
    with torch.no_grad():
        net.fc.weight.mul_(5)
    return measured(student, net, *batch_of(draw, 33, 5))


@probe("gradient_norms")
def norms_in_mixed_modes(student, draw):
    """A network in training mode whose batch norm is in evaluation mode, and the other way round."""
    seen = {}
    for name, training in {"batch norm evaluates": True, "batch norm trains": False}.items():
        net = steep_net(draw, 4).train(training)
        net.bn1.train(not training)
        seen[name] = measured(student, net, *batch_of(draw, 6, 4))
    return seen


@probe("gradient_norms")
def norms_again(student, draw):
    """The same network and batch three times; gradients that were there, of a frozen weight too."""
    net = steep_net(draw, 4)
    give_gradients(net, "conv1.weight", "bn1.bias", "fc.weight")
    net.bn1.bias.requires_grad_(False)
    batch = batch_of(draw, 4, 4)
    return [measured(student, net, *batch) for _ in range(3)]


@probe("gradient_norms")
def norms_of_shared_weights(student, draw):
    """Two layers that share a weight."""
    width = draw.randint(4, 6)
    return measured(student, seeded(draw, _shared_weights, width), *batch_of(draw, 7, width))


def _shared_weights(width: int) -> nn.Module:
    layers = [nn.Linear(90, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)]
    layers[4].weight = layers[2].weight
    return nn.Sequential(nn.Flatten(), *layers)


@probe("gradient_norms")
def norms_on_accelerator(student, draw):
    """A network and a batch on an accelerator."""
    net = steep_net(draw, 4).to(ACCELERATOR)
    images, labels = batch_of(draw, 5, 4)
    seen = measured(student, net, images.to(ACCELERATOR), labels.to(ACCELERATOR))
    return seen | {"devices": {name: str(weight.device) for name, weight in net.named_parameters()}}
