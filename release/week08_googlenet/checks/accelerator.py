"""The devices that probes ask on: the CPU, and an accelerator that is simulated on any machine."""

import torch
from torch import nn

from autograder.authoring import register

CPU = torch.device("cpu")
try:
    ACCELERATOR = register()  # before any backward pass of this process
except Exception:  # a version of PyTorch in which it cannot be simulated: the other questions are asked all the same
    ACCELERATOR = CPU


def where_weights_are(net: nn.Module) -> dict[str, bool]:
    """Whether each weight is on the accelerator."""
    return {name: str(weight.device) == str(ACCELERATOR) for name, weight in net.named_parameters()}
