"""What the public checks ask of your functions. Run beside your code; no answers here.

Each function below calls one of your functions on something small and returns what came back.
"""

import contextlib

import torch
from torch import nn

from autograder.authoring import Error, attempt, probe

from .accelerator import CPU
from .blocks import block_made, block_seen, gradients_of, passed_through
from .classifier_probes_public import *  # noqa: F403
from .networks import Scaled, SmallNet, TiedNet, resnet_18, their_block
from .seeds import seeded
from .weights import state

RESNET18 = resnet_18()

# --- block ------------------------------------------------------------------------------------------------------------


def residual_block(student, draw, widths: tuple[int, ...], device=CPU):
    """`ResidualBlock(*widths)` with the weights of torchvision's block, or the exception by which it came to none."""
    return block_made(lambda: student.follow(student.ResidualBlock)(*widths), their_block(draw, *widths), device)


def fresh_norms(block) -> dict:
    """What the batch norms of a new block hold before any training, by the names of their tensors."""
    if not isinstance(block, nn.Module):
        return {"made": block if isinstance(block, Error) else type(block).__name__}
    norms = {name: tensor for name, tensor in block.state_dict().items() if ".bn" in f".{name}" or "downsample.1" in name}
    return {name: sorted(set(tensor.reshape(-1).tolist())) for name, tensor in norms.items()}


def downsample_of(block) -> str:
    """The kind of module that is the block's `downsample`; of a block that has none, `None` all the same."""
    return type(getattr(block, "downsample", None)).__name__


def asked_of_a_block(draw) -> dict[str, tuple[int, ...]]:
    """Channels in, channels out and stride of the blocks asked for; some leave the stride to its default."""
    width = draw.choice([4, 5, 6])
    return {
        "equal": (width, width),
        "wider": (width, width + draw.choice([2, 3])),
        "shorter": (width, width, 3),
        "narrower": (width + 3, width),
        "both": (width, 2 * width, 2),
    }


@probe("ResidualBlock")
def blocks_of_a_few_kinds(student, draw):
    """Blocks of equal and of other widths, of stride 1, 2 and 3: their parts, and what they make of odd and even sizes."""
    seen = {}
    for name, widths in asked_of_a_block(draw).items():
        block = residual_block(student, draw, widths)
        x = seeded(draw, torch.randn, 2, widths[0], *((7, 9) if len(widths) > 2 else (5, 6)))
        seen[name] = {
            "asked": list(widths),
            "x": x.clone(),
            "block": block_seen(block),
            "downsample": downsample_of(block),
            "fresh": fresh_norms(attempt(lambda widths=widths: student.follow(student.ResidualBlock)(*widths))),
            "evaluation": passed_through(student, block, x.clone(), training=False),
            "gradients": gradients_of(student, block, x),
            "training": passed_through(student, block, x.clone(), training=True),
        }
    return seen


# --- join -------------------------------------------------------------------------------------------------------------


def joined(student, in_channels: int, layer_channels: list[int], how: str, raises=()) -> dict:
    """What came back, and the list of layers afterwards."""
    layers = list(layer_channels)
    found = attempt(lambda: student.joined_channels(in_channels, layers, how), raises)
    return {"asked": [in_channels, list(layer_channels), how], "found": found, "layers after": layers}


@probe("joined_channels")
def joined_both_ways(student, draw):
    """Two stacks that can be joined, one of no layer, and what cannot be joined."""
    width, growth = draw.choice([16, 24, 32]), draw.choice([4, 6])
    return {
        "added": joined(student, width, [width] * draw.randint(3, 5), "add"),
        "concatenated": joined(student, width, [growth, 2 * growth, growth, 1], "concatenate"),
        "nothing": joined(student, width, [], "add"),
        "another width": joined(student, width, [width + 1, width + 1], "add", ValueError),
        "the last one": joined(student, width, [width, width, 2 * width], "add", ValueError),
        "in between": joined(student, width, [width, growth, width], "add", ValueError),
        "another way": joined(student, width, [width, width], "multiply", ValueError),
        "a part of the word": joined(student, width, [width], "concat", ValueError),
        "another way for nothing": joined(student, width, [], "multiply", ValueError),
    }


# --- parameters -------------------------------------------------------------------------------------------------------


@probe("parameters_by_kind")
def kinds_of_a_few_networks(student, draw):
    """ResNet-18; frozen layers and buffers; a shared weight; parameters of a module that is no layer of PyTorch's."""
    width = draw.randint(5, 9)
    partly = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Linear(width, 4), nn.Linear(4, 3))
    partly[0].requires_grad_(False)
    partly[2].bias.requires_grad_(False)
    networks = {
        "ResNet-18": RESNET18,
        "partly frozen": partly,
        "shared": TiedNet(draw.randint(10, 20), width),
        "of its own": Scaled(width),
    }
    return {name: attempt(lambda net=net: student.parameters_by_kind(net)) for name, net in networks.items()}


# --- comparison -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def counted_by_others(student):
    """Right counts from the networks below, whoever of the notebook's functions is asked for them: each is graded alone."""
    with student.replaced(parameters_by_kind=lambda net: {"Linear": net.scalars}):
        yield


def chain(*widths: int, dtype=torch.float32) -> nn.Module:
    """Linear layers without biases one behind the other, and batch norm's buffers, but not its parameters."""
    layers = [nn.Linear(read, made, bias=False, dtype=dtype) for read, made in zip(widths, widths[1:], strict=False)]
    net = nn.Sequential(*layers, nn.BatchNorm1d(widths[-1], affine=False))
    net.scalars = sum(read * made for read, made in zip(widths, widths[1:], strict=False))
    return net


def tied(width: int) -> nn.Module:
    """Two layers that share one weight."""
    net = nn.Sequential(nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False))
    net[1].weight = net[0].weight
    net.scalars = width * width
    return net


def of_two_dtypes(width: int, first: torch.dtype, second: torch.dtype) -> nn.Module:
    """Two chains of layers of different dtypes."""
    chains = chain(width, 7, dtype=first), chain(7, 5, dtype=second)
    net = nn.Sequential(*chains)
    net.scalars = sum(one.scalars for one in chains)
    return net


def compared(student, networks: dict) -> dict:
    """What came back for the builders of these networks, how often each was called, and the names afterwards."""
    calls = []

    def builder(name: str, build):
        def called() -> nn.Module:
            calls.append(name)
            return build()

        return called

    builders = {name: builder(name, build) for name, build in networks.items()}
    with counted_by_others(student):
        found = attempt(lambda: student.compare_networks(builders))
    return {"found": found, "calls": sorted(calls), "names after": list(builders)}


@probe("compare_networks")
def a_few_networks(student, draw):
    """Six networks in no order: two of one size, two of half precision, one with a shared weight, most with buffers."""
    width = draw.randint(5, 9)
    return compared(
        student,
        {
            "wide": lambda: chain(width, 8 * width, width),
            "same": lambda: chain(width, width, 2 * width, dtype=torch.float64),
            "equal": lambda: chain(2 * width, width, width),
            "half": lambda: chain(width, 9 * width, width, dtype=torch.float16),
            "tied": lambda: tied(width),
            "mixed": lambda: of_two_dtypes(20 * width, torch.float16, torch.float32),
        },
    )


# --- gradients --------------------------------------------------------------------------------------------------------


def held(net: nn.Module) -> dict:
    """All that a measurement leaves as it was: weights and buffers, gradients, modes, and what is trained."""
    gradients = {name: None if one.grad is None else one.grad.detach().cpu().clone() for name, one in net.named_parameters()}
    return {
        "weights and buffers": state(net),
        "gradients": gradients,
        "training": {name: module.training for name, module in net.named_modules()},
        "trained": {name: parameter.requires_grad for name, parameter in net.named_parameters()},
    }


def measured(student, net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """What came back for one batch, and what the network held before and holds afterwards."""
    before = held(net)
    found = attempt(lambda: student.gradient_norms(net, images, labels, nn.NLLLoss()))
    return {"before": before, "found": found, "after": held(net)}


def batch_of(draw, count: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images and labels."""
    return seeded(draw, torch.randn, count, 3, 6, 5), torch.tensor([draw.randrange(classes) for _ in range(count)])


def steep_net(draw, classes: int) -> SmallNet:
    """A small network with gradients of about 1, whose batch norm has seen some images."""
    net = seeded(draw, SmallNet, classes, draw.randint(4, 6))
    with torch.no_grad():
        net.fc.weight.mul_(6)
        net.bn1.running_mean.normal_(0, 0.3)
        net.bn1.running_var.uniform_(0.2, 0.5)
    return net


def give_gradients(net: nn.Module, *names: str) -> None:
    """Random gradients for the parameters of these names, as an earlier backward pass leaves them."""
    for name, parameter in net.named_parameters():
        if name in names:
            parameter.grad = torch.randn_like(parameter)


class WithASpare(SmallNet):
    """A small network with a layer that its scores do not depend on."""

    def __init__(self, classes: int, width: int):
        super().__init__(classes, width)
        self.spare = nn.Linear(2, 2)


@probe("gradient_norms")
def norms_of_a_small_network(student, draw):
    """A small network in training and in evaluation mode, some of whose parameters have gradients already."""
    classes = draw.randint(3, 6)
    net = steep_net(draw, classes)
    give_gradients(net, "conv1.weight", "fc.bias")
    images, labels = batch_of(draw, 5, classes)
    return {mode: measured(student, net.train(mode == "training"), images, labels) for mode in ("training", "evaluation")}


@probe("gradient_norms")
def norms_of_a_frozen_network(student, draw):
    """A network in training mode whose batch norm is not, and whose convolution and one bias are frozen, the former with an
    older gradient; with a layer that its scores do not depend on."""
    net = seeded(draw, WithASpare, 4, draw.randint(4, 6))
    net.bn1.eval()
    give_gradients(net, "conv1.weight")
    net.conv1.requires_grad_(False)
    net.fc.bias.requires_grad_(False)
    return measured(student, net, *batch_of(draw, 5, 4))
