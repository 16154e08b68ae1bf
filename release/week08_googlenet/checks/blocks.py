"""A block by hand, as torchvision has it: with torchvision's weights, what it is made of, and what it makes of an input."""

import copy
import random
from collections.abc import Callable

import torch
from torch import nn

from autograder.authoring import Error, attempt

from .accelerator import CPU
from .seeds import seeded


def after_some_training(draw: random.Random, build: Callable[..., nn.Module], *args) -> nn.Module:
    """`build(*args)` in evaluation mode, with weights and running statistics as after some training."""
    block = seeded(draw, build, *args)
    with torch.no_grad():
        for name, tensor in block.state_dict().items():
            if name.endswith(("weight", "running_var")) and tensor.dim() == 1:
                tensor.uniform_(0.4, 1.6)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.4)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(3)
            else:
                tensor.mul_(1.5)
    return block.eval()


def give_weights(block: nn.Module, theirs: nn.Module) -> None:
    """Gives `block` the weights and buffers of `theirs`, by their names; where these differ, by their order, if it fits.

    So wrong names cost what asks for names, and nothing else. What `block` has beside them (a bias) becomes zero, what is of
    another shape takes their numbers one after another: nothing is left to how a block draws its own.
    """
    mine, other = block.state_dict(), theirs.state_dict()
    fits = [tensor.shape for tensor in mine.values()] == [tensor.shape for tensor in other.values()]
    if fits and mine.keys() != other.keys():
        other = dict(zip(mine, other.values(), strict=True))
    with torch.no_grad():
        for name, tensor in mine.items():
            if name not in other:
                tensor.zero_()
            else:
                numbers = other[name].flatten()
                tensor.copy_(numbers[torch.arange(tensor.numel()) % numbers.numel()].view(tensor.shape))


def block_made(make: Callable[[], object], theirs: nn.Module, device: torch.device = CPU):
    """What `make()` gives, with the weights of `theirs`, or the exception by which it came to none."""

    def made():
        block = make()
        if isinstance(block, nn.Module):
            give_weights(block, theirs)
            return block.to(device)
        return block

    return attempt(made)


def block_seen(block) -> dict:
    """What was made, and the names and shapes of its parameters and buffers."""
    if not isinstance(block, nn.Module):
        return {"made": block if isinstance(block, Error) else type(block).__name__, "state": {}}
    return {"made": "Module", "state": {name: list(tensor.shape) for name, tensor in block.state_dict().items()}}


def passed_through(student, block, x: torch.Tensor, training: bool) -> dict:
    """What the block makes of `x` in one of the modes, and `x` and the running statistics afterwards.

    A test pass keeps no gradients, as everywhere. The statistics are means and variances: a block whose norms are functions
    is right without counting its batches.
    """
    if not isinstance(block, nn.Module):
        return {"output": block if isinstance(block, Error) else type(block).__name__}
    block.train(training)
    with torch.set_grad_enabled(training):
        output = attempt(lambda: student.follow(block)(x))
    return {
        "output": output.detach().cpu().clone() if isinstance(output, torch.Tensor) else output,
        "x after": x.detach().cpu().clone(),
        "statistics after": sorted(float(each.double().mean()) for each in block.buffers() if each.is_floating_point()),
    }


def gradients_of(student, block, x: torch.Tensor) -> dict:
    """Root mean squares, sorted, of the gradients of the input and of each parameter, from the sum of a squared output."""
    if not isinstance(block, nn.Module):
        return {"failed": "no nn.Module"}
    x = x.detach().clone().requires_grad_()

    def there_and_back() -> list:
        twin = copy.deepcopy(block).train()
        student.follow(twin)(x + 0).square().sum().backward()  # the leaf itself must not change in place: that is asked above
        return [x, *twin.parameters()]

    tensors = attempt(there_and_back)
    if isinstance(tensors, Error):
        return {"failed": tensors}
    return {"sizes": sorted(0.0 if one.grad is None else float(one.grad.square().mean().sqrt()) for one in tensors)}
