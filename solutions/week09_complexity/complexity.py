"""The reference of week09_complexity. Made from source/week09_complexity/complexity.py: edit that file, not this one."""
from collections.abc import Callable, Iterable
from copy import deepcopy
import torch
from torch import nn


def model_bytes(net: nn.Module) -> int:
    """Returns the bytes of all parameters and buffers of `net`, each at its own dtype, a shared tensor once."""
    tensors = [*net.parameters(), *net.buffers()]  # both leave out what they have visited already
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def count_macs(net: nn.Module, input_shape: tuple[int, ...] = (3, 224, 224)) -> int:
    """Returns the multiply-accumulates of all convolutions and linear layers of `net` for one image.

    input_shape: of the image, without the batch: (channels, height, width), or as the network takes it.
    Each call of a layer counts, in evaluation mode. The network is not changed.
    """
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


def seconds_per_image(macs: int, flops_per_second: float, utilisation: float = 1.0) -> float:
    """Returns the seconds that `macs` multiply-accumulates need.

    flops_per_second: the hardware's operations a second. utilisation: the share of them that is used, 1.0 for all.
    Raises ValueError where either is not positive.
    """
    if not (flops_per_second > 0 and utilisation > 0):  # NaN is larger than nothing
        raise ValueError(f"not positive: flops_per_second={flops_per_second} and utilisation={utilisation}")
    return 2 * macs / (flops_per_second * utilisation)


def activation_bytes(net: nn.Module, input_shape: tuple[int, ...], batch_size: int,
                     dtype: torch.dtype = torch.float32) -> int:
    """Returns the bytes of the outputs of all leaf modules of `net` in one forward pass in training mode.

    input_shape: of an image, without the batch. dtype: what every output counts as.
    Each call of a leaf counts, each storage once. The network is not changed.
    """
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


def training_bytes(net: nn.Module, input_shape: tuple[int, ...], batch_size: int, optimizer: str = "adam") -> int:
    """Returns the bytes that training takes: weights and buffers, gradients, optimizer state, activations (float32).

    optimizer: "sgd", "momentum" or "adam". Raises ValueError for another name. The network is not changed.
    """
    copies = {"sgd": 0, "momentum": 1, "adam": 2}
    if optimizer not in copies:
        raise ValueError(f"{optimizer!r} is no optimizer of {', '.join(copies)}")
    trained = sum(p.numel() * p.element_size() for p in net.parameters() if p.requires_grad)
    return model_bytes(net) + (1 + copies[optimizer]) * trained + activation_bytes(net, input_shape, batch_size)


def largest_batch(net: nn.Module, input_shape: tuple[int, ...], memory_bytes: int, optimizer: str = "adam") -> int:
    """Returns the largest batch whose `training_bytes` are at most `memory_bytes`; 0 when not even one image fits."""
    two, three = (training_bytes(net, input_shape, batch, optimizer) for batch in (2, 3))  # batch norm may refuse one
    image = three - two
    return max(0, (memory_bytes - two + 2 * image) // image)


def complexity_table(builders: dict[str, Callable[[], nn.Module]], input_shape: tuple[int, ...],
                     memory_bytes: int) -> list[dict[str, str | int]]:
    """Returns a dict for each network that `builders` builds, in its order.

    Keys: name, parameters, bytes, macs (of an image), activation_bytes (of an image), largest_batch (with Adam).
    """
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
