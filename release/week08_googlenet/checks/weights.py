"""What networks hold, copied: checks compare it with what they hold later."""

import torch
from torch import nn


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every weight and buffer of `net`."""
    return {name: tensor.detach().cpu().clone() for name, tensor in net.state_dict().items()}
