"""The reference of week08_googlenet. Made from source/week08_googlenet/googlenet.py: edit that file, not this one."""
from collections import OrderedDict
from collections.abc import Callable, Iterable
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.models.googlenet import GoogLeNetOutputs


def saved_by_bottleneck(in_channels: int, reduced: int, out_channels: int, kernel: int, size: int) -> tuple[int, int]:
    """Returns (direct, reduced): the multiply-accumulates without and with a 1 x 1 convolution first.

    direct: one kernel x kernel convolution, in_channels -> out_channels, on a (size x size) map.
    reduced: 1 x 1 from in_channels to `reduced`, then kernel x kernel from `reduced` to out_channels; both count.
    Stride 1, padding that keeps the size, biases not counted.
    """
    places, patch = size * size, kernel * kernel
    direct = places * patch * in_channels * out_channels
    squeezed = places * in_channels * reduced + places * patch * reduced * out_channels
    return direct, squeezed


class InceptionBlock(nn.Module):
    """Four branches that read the same map, their channels side by side, as torchvision's `Inception`.

    in_channels: how many come in. ch1x1, ch3x3, ch5x5 and pool_proj: how many each branch writes.
    ch3x3red, ch5x5red: how many the 1 x 1 convolutions before the larger kernels leave.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int,
                 pool_proj: int) -> None:
        super().__init__()
        def unit(inputs: int, outputs: int, size: int) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
            return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs, eps=0.001), relu=nn.ReLU()))

        self.branch1 = unit(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(unit(in_channels, ch3x3red, 1), unit(ch3x3red, ch3x3, 3))
        self.branch3 = nn.Sequential(unit(in_channels, ch5x5red, 1), unit(ch5x5red, ch5x5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, pool_proj, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, height, width) -> (batch, ch1x1 + ch3x3 + ch5x5 + pool_proj, height, width)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


def replace_heads(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces the last layer of every head of a GoogLeNet by a new random linear layer with bias; returns the network.

    The layers are `net.fc`, `net.aux1.fc2` and `net.aux2.fc2`, each (batch, features) -> (batch, num_classes), features
    as before, on the old layer's device. A head that is None stays None. Everything else stays as it was.
    """
    for head, name in ((net, "fc"), (net.aux1, "fc2"), (net.aux2, "fc2")):
        if head is not None:
            old = getattr(head, name)
            setattr(head, name, nn.Linear(old.in_features, num_classes, device=old.weight.device))
    return net


def joint_loss(outputs: GoogLeNetOutputs | torch.Tensor, labels: torch.Tensor, criterion: Callable,
               aux_weight: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns (total, main, auxiliary), tensors of no dimension: total = main + aux_weight * auxiliary.

    outputs: a GoogLeNetOutputs of scores (batch, classes), whose auxiliary scores may be None, or the main scores alone.
    labels: (batch,), on the scores' device. criterion: maps log-probabilities and labels to a mean loss in nats.
    auxiliary is the sum over the auxiliary heads, 0 where there are none.
    """
    heads = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    main, *others = [criterion(F.log_softmax(scores, dim=1), labels) for scores in heads if scores is not None]
    auxiliary = sum(others, start=torch.zeros_like(main))
    return main + aux_weight * auxiliary, main, auxiliary


def train_one_epoch(net: nn.Module, loader: DataLoader, criterion: Callable, optimizer: torch.optim.Optimizer,
                    device: torch.device, aux_weight: float = 0.3) -> dict[str, float]:
    """Trains `net` on every batch of `loader` once, in training mode, on the joint loss of its heads.

    net: on `device`, maps images (batch, 3, height, width) to GoogLeNetOutputs or to scores (batch, classes).
    criterion: as for `joint_loss`.
    Returns means over the images seen during the pass: "loss" (main), "aux_loss" (unweighed sum over the auxiliary
    heads), "total_loss", in nats per image, and "accuracy" (main head), a fraction in [0, 1].
    """
    net.train()
    sums, seen = dict.fromkeys(("loss", "aux_loss", "total_loss", "accuracy"), 0.0), 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = net(images)
        total, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
        total.backward()
        optimizer.step()
        scores = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
        means = (main, auxiliary, total, (scores.argmax(dim=1) == labels).float().mean())
        for name, mean in zip(sums, means, strict=True):
            sums[name] += mean.detach() * len(labels)  # a tensor until the end: .item() would wait for the GPU here
        seen += len(labels)
    return {name: float(value / seen) for name, value in sums.items()}


def evaluate(net: nn.Module, loader: DataLoader, criterion: Callable, device: torch.device) -> tuple[float, float]:
    """Returns (loss, accuracy) of `net` over every batch of `loader`: nats per image, and a fraction in [0, 1].

    Works in evaluation mode and without gradients; changes nothing but the network's mode.
    Arguments are as for `train_one_epoch`.
    """
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
