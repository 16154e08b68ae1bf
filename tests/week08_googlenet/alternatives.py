# ruff: noqa: F405
"""Unusual right answers of week08_googlenet, in as many styles as students have: all must get full marks.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import math
from collections import OrderedDict, defaultdict
from functools import reduce
from operator import mul
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.googlenet import BasicConv2d, GoogLeNetOutputs, Inception

from autograder.authoring import alternative

from .evaluate_alternatives import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# saved_by_bottleneck


@alternative(of="saved_by_bottleneck")
def price_by_a_helper(in_channels, reduced, out_channels, kernel, size):
    def macs(*factors):
        return reduce(mul, factors)

    direct = macs(size, size, kernel, kernel, in_channels, out_channels)
    return direct, macs(size, size, reduced, in_channels) + macs(size, size, reduced, kernel, kernel, out_channels)


@alternative(of="saved_by_bottleneck")
def price_by_products(in_channels: int, reduced: int, out_channels: int, kernel: int, size: int) -> tuple[int, int]:
    one = math.prod([in_channels, reduced, size, size])
    return (
        math.prod([in_channels, out_channels, kernel, kernel, size, size]),
        one + math.prod([reduced, out_channels, kernel, kernel, size, size]),
    )


@alternative(of="saved_by_bottleneck")
def price_by_layers_without_numbers(in_channels, reduced, out_channels, kernel, size):
    def macs(layer, places):
        return layer.weight.numel() * places

    with torch.device("meta"):
        direct = nn.Conv2d(in_channels, out_channels, kernel, padding="same", bias=False)
        first = nn.Conv2d(in_channels, reduced, 1, bias=False)
        second = nn.Conv2d(reduced, out_channels, kernel, padding="same", bias=False)
    return macs(direct, size**2), sum(macs(layer, size**2) for layer in (first, second))


@alternative(of="saved_by_bottleneck")
def price_by_counted_operations(in_channels, reduced, out_channels, kernel, size):
    """PyTorch's own counter, which counts a multiplication and its addition as two."""
    with torch.device("meta"):
        x = torch.empty(1, in_channels, size, size)
        direct = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        both = nn.Sequential(
            nn.Conv2d(in_channels, reduced, 1, bias=False),
            nn.Conv2d(reduced, out_channels, kernel, padding=kernel // 2, bias=False),
        )
    counts = []
    for layers in (direct, both):
        with FlopCounterMode(display=False) as counter:
            layers(x)
        counts.append(counter.get_total_flops() // 2)
    return tuple(counts)


@alternative(of="saved_by_bottleneck")
def price_by_numpy(in_channels, reduced, out_channels, kernel, size):
    ways = [[(in_channels, out_channels, kernel)], [(in_channels, reduced, 1), (reduced, out_channels, kernel)]]
    return tuple(int(sum(np.prod([a, b, k, k, size, size], dtype=np.int64) for a, b, k in way)) for way in ways)




@alternative(of="saved_by_bottleneck")
def price_by_place(in_channels, reduced, out_channels, kernel, size):
    direct = squeezed = 0
    for _ in range(size):
        for _ in range(size):
            direct += in_channels * out_channels * kernel**2
            squeezed += reduced * (in_channels + out_channels * kernel**2)
    return direct, squeezed


# ---------------------------------------------------------------------------------------------------------------------
# InceptionBlock


@alternative(of="InceptionBlock")
class BlockOfTorchvision(Inception):
    """Torchvision's own block under another name."""


@alternative(of="InceptionBlock")
class BlockOfTorchvisionsUnits(nn.Module):
    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1), BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1), BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(in_channels, pool_proj, kernel_size=1)
        )

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class _ConvNormRelu(nn.Module):
    """A unit of its own class, whose ReLU works in place on what it made itself."""

    def __init__(self, c_in, c_out, **settings):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, bias=False, **settings)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


@alternative(of="InceptionBlock")
class BlockOfOwnUnits(nn.Module):
    def __init__(self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int):
        super(BlockOfOwnUnits, self).__init__()  # noqa: UP008
        self.branch1 = _ConvNormRelu(in_channels, ch1x1, kernel_size=1)
        for number, (squeezed, written) in enumerate([(ch3x3red, ch3x3), (ch5x5red, ch5x5)], start=2):
            squeeze = _ConvNormRelu(in_channels, squeezed, kernel_size=(1, 1))
            write = _ConvNormRelu(squeezed, written, kernel_size=(3, 3), padding="same")
            self.add_module(f"branch{number}", nn.Sequential(squeeze, write))
        pool = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.branch4 = nn.Sequential(pool, _ConvNormRelu(in_channels, pool_proj, kernel_size=1))

    def forward(self, x):
        return torch.hstack((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)))


@alternative(of="InceptionBlock")
class BlockThatFillsATensor(nn.Module):
    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        self.widths = (ch1x1, ch3x3, ch5x5, pool_proj)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), _ConvNormRelu(in_channels, pool_proj, kernel_size=1))
        self.branch3 = nn.Sequential(
            _ConvNormRelu(in_channels, ch5x5red, kernel_size=1), _ConvNormRelu(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch2 = nn.Sequential(
            _ConvNormRelu(in_channels, ch3x3red, kernel_size=1), _ConvNormRelu(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch1 = _ConvNormRelu(in_channels, ch1x1, kernel_size=1)

    def forward(self, x):
        stack = x.new_empty(len(x), sum(self.widths), *x.shape[2:])
        start = 0
        for number, width in enumerate(self.widths, 1):
            stack[:, start : start + width] = getattr(self, f"branch{number}")(x)
            start += width
        return stack


@alternative(of="InceptionBlock")
class BlockByFunctions(nn.Module):
    """Modules hold the weights, functions compute with them."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        self.branch1 = self.unit(in_channels, ch1x1, 1)
        self.branch2 = nn.ModuleList([self.unit(in_channels, ch3x3red, 1), self.unit(ch3x3red, ch3x3, 3)])
        self.branch3 = nn.ModuleList([self.unit(in_channels, ch5x5red, 1), self.unit(ch5x5red, ch5x5, 3)])
        self.branch4 = nn.ModuleDict({"1": self.unit(in_channels, pool_proj, 1)})

    @staticmethod
    def unit(c_in: int, c_out: int, size: int) -> nn.ModuleDict:
        return nn.ModuleDict({"conv": nn.Conv2d(c_in, c_out, size, bias=False), "bn": nn.BatchNorm2d(c_out, 0.001)})

    @staticmethod
    def run(unit: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        weight = unit["conv"].weight
        return torch.relu(unit["bn"](F.conv2d(x, weight, padding=weight.shape[-1] // 2)))

    def forward(self, x):
        written = [self.run(self.branch1, x)]
        for first, second in (self.branch2, self.branch3):
            written.append(self.run(second, self.run(first, x)))
        pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, stride=1)
        written.append(self.run(self.branch4["1"], pooled))
        return torch.concat(written, dim=-3)


@alternative(of="InceptionBlock")
class BlockWithMergedSqueezes(nn.Module):
    """The three 1 × 1 convolutions that read the input run as one."""

    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()

        def named(c_in, c_out, size):
            layers = [("conv", nn.Conv2d(c_in, c_out, size, 1, size // 2, bias=False)), ("bn", nn.BatchNorm2d(c_out, 1e-3))]
            return nn.Sequential(OrderedDict([*layers, ("relu", nn.ReLU(True))]))

        self.branch1 = named(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(named(in_channels, ch3x3red, 1), named(ch3x3red, ch3x3, 3))
        self.branch3 = nn.Sequential(named(in_channels, ch5x5red, 1), named(ch5x5red, ch5x5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), named(in_channels, pool_proj, 1))
        self.split = [ch1x1, ch3x3red, ch5x5red]

    def forward(self, x):
        squeezes = [self.branch1, self.branch2[0], self.branch3[0]]
        parts = F.conv2d(x, torch.cat([unit.conv.weight for unit in squeezes])).split(self.split, dim=1)
        one, two, three = (F.relu(unit.bn(part)) for unit, part in zip(squeezes, parts, strict=True))
        return torch.cat((one, self.branch2[1](two), self.branch3[1](three), self.branch4(x)), 1)


@alternative(of="InceptionBlock")
class BlockWithAnyNamesOfWidths(nn.Module):
    """Other names of parameters; the widths come by place."""

    def __init__(self, inputs, a, b1, b2, c1, c2, d, **unused):
        super().__init__()
        one = _ConvNormRelu
        parts = {
            "branch1": one(inputs, a, kernel_size=1),
            "branch2": nn.Sequential(one(inputs, b1, kernel_size=1), one(b1, b2, kernel_size=3, padding=1)),
            "branch3": nn.Sequential(one(inputs, c1, kernel_size=1), one(c1, c2, kernel_size=3, padding=1)),
            "branch4": nn.Sequential(nn.MaxPool2d(3, 1, 1), one(inputs, d, kernel_size=1)),
        }
        for name, part in parts.items():
            setattr(self, name, part)
        self.names = list(parts)

    def forward(self, x):
        return torch.cat([getattr(self, name)(x) for name in self.names], 1)


# ---------------------------------------------------------------------------------------------------------------------
# replace_heads


@alternative(of="replace_heads")
def heads_one_by_one(net, num_classes=10):
    net.fc = nn.Linear(net.fc.in_features, num_classes).to(net.fc.weight.device)
    if net.aux1 is not None:
        net.aux1.fc2 = nn.Linear(net.aux1.fc2.in_features, num_classes).to(net.aux1.fc2.weight.device)
    if net.aux2 is not None:
        net.aux2.fc2 = nn.Linear(net.aux2.fc2.in_features, num_classes).to(net.aux2.fc2.weight.device)
    return net


@alternative(of="replace_heads")
def heads_by_their_names(net, num_classes: int = 10):
    for name in ("fc", "aux1.fc2", "aux2.fc2"):
        parent_name, _, attribute = name.rpartition(".")
        parent = getattr(net, parent_name) if parent_name else net
        old = getattr(parent, attribute, None)
        if isinstance(old, nn.Linear):
            setattr(parent, attribute, nn.Linear(old.weight.size(1), num_classes, device=next(net.parameters()).device))
    return net


@alternative(of="replace_heads")
def heads_on_the_default_device(net, num_classes=10):
    owners = [net.get_submodule(name) if name else net for name in ("", "aux1", "aux2") if not name or getattr(net, name)]
    with net.fc.weight.device:
        for owner in owners:
            last = "fc2" if hasattr(owner, "fc2") else "fc"
            owner.add_module(last, nn.Linear(getattr(owner, last).in_features, num_classes))
    return net


def _fresh(old: nn.Linear, classes: int) -> nn.Linear:
    new = nn.Linear(old.in_features, classes, bias=True)
    nn.init.trunc_normal_(new.weight, std=0.01, a=-2, b=2)
    nn.init.zeros_(new.bias)
    return new.to(old.weight)


@alternative(of="replace_heads")
def heads_initialised_as_in_torchvision(net, num_classes=10):
    net.fc = _fresh(net.fc, num_classes)
    for head in filter(None, (net.aux1, net.aux2)):
        head.fc2 = _fresh(head.fc2, num_classes)
    return net


@alternative(of="replace_heads")
def heads_set_by_modules(net, num_classes=10):
    found = [(n, m) for n, m in net.named_modules() if n in ("fc", "aux1.fc2", "aux2.fc2")]
    for name, old in found:
        new = nn.Linear(old.in_features, num_classes, device=old.weight.device)
        net.get_submodule(name.rpartition(".")[0])._modules[name.rpartition(".")[2]] = new
    return net


@alternative(of="replace_heads")
def heads_by_trying(net, num_classes=10):
    for head in [net, net.aux1, net.aux2]:
        for name in ["fc", "fc2"]:
            try:
                old = getattr(head, name)
            except AttributeError:
                continue
            with torch.device(old.weight.device):
                head.__setattr__(name, nn.Linear(old.weight.shape[-1], num_classes))
    return net


# ---------------------------------------------------------------------------------------------------------------------
# joint_loss


@alternative(of="joint_loss")
def loss_by_cases(outputs, labels, criterion, aux_weight=0.3):
    if isinstance(outputs, GoogLeNetOutputs):
        main = criterion(F.log_softmax(outputs.logits, dim=1), labels)
        auxiliary = torch.zeros((), device=main.device)
        if outputs.aux_logits1 is not None:
            auxiliary = auxiliary + criterion(F.log_softmax(outputs.aux_logits1, dim=1), labels)
        if outputs.aux_logits2 is not None:
            auxiliary = auxiliary + criterion(F.log_softmax(outputs.aux_logits2, dim=1), labels)
    else:
        main = criterion(F.log_softmax(outputs, dim=1), labels)
        auxiliary = torch.tensor(0.0, device=outputs.device)
    return main + aux_weight * auxiliary, main, auxiliary


@alternative(of="joint_loss")
def loss_by_cross_entropy(outputs, labels, criterion, aux_weight=0.3):
    if torch.is_tensor(outputs):
        main = F.cross_entropy(outputs, labels)
        return main, main, main.new_zeros(())
    logits, *others = outputs
    main = F.cross_entropy(logits, labels)
    losses = [F.cross_entropy(scores, labels) for scores in others if scores is not None]
    auxiliary = torch.stack(losses).sum() if losses else main * 0
    return torch.add(main, auxiliary, alpha=aux_weight), main, auxiliary


@alternative(of="joint_loss")
def loss_by_attributes(outputs, labels, criterion, aux_weight=0.3):
    def of(scores):
        return criterion(nn.LogSoftmax(dim=-1)(scores), labels)

    main = of(getattr(outputs, "logits", outputs))
    auxiliary = torch.zeros_like(main, requires_grad=True)
    for name in ("aux_logits1", "aux_logits2"):
        scores = getattr(outputs, name, None)
        if scores is not None:
            auxiliary = auxiliary + of(scores)
    total = main + aux_weight * auxiliary
    return total, main, auxiliary


@alternative(of="joint_loss")
def loss_by_weights(outputs, labels, criterion, aux_weight=0.3):
    heads = outputs if isinstance(outputs, tuple) else (outputs, None, None)
    losses = torch.stack(
        [
            heads[0].new_zeros(()) if scores is None else criterion(torch.log_softmax(scores, 1), labels)
            for scores in heads
        ]
    )
    weights = losses.new_tensor([1.0, aux_weight, aux_weight])
    return torch.dot(weights, losses), losses[0], losses[1:].sum()


@alternative(of="joint_loss")
def loss_by_hand(outputs, labels, criterion, aux_weight=0.3):
    """The log-softmax and the mean of what it says of the right classes, written out."""

    def of(scores):
        chosen = scores.gather(1, labels[:, None]).squeeze(1)
        return (scores.logsumexp(dim=1) - chosen).mean()

    if isinstance(outputs, torch.Tensor):
        outputs = (outputs,)
    main = of(outputs[0])
    auxiliary = 0 * main
    for scores in outputs[1:]:
        auxiliary = auxiliary if scores is None else auxiliary + of(scores)
    return main + auxiliary.mul(aux_weight), main, auxiliary


class _Losses(NamedTuple):
    total: torch.Tensor
    main: torch.Tensor
    auxiliary: torch.Tensor


@alternative(of="joint_loss")
def loss_in_a_named_tuple(outputs, labels, criterion, aux_weight=0.3):
    scores = dict(outputs._asdict()) if hasattr(outputs, "_asdict") else {"logits": outputs}
    losses = {k: criterion(F.log_softmax(v, dim=1), labels) for k, v in scores.items() if v is not None}
    main = losses.pop("logits")
    auxiliary = sum(losses.values()) if losses else torch.zeros_like(main)
    return _Losses(main + aux_weight * auxiliary, main, auxiliary)


@alternative(of="joint_loss")
def loss_in_double_precision(outputs, labels, criterion, aux_weight=0.3):
    heads = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    losses = [criterion(F.log_softmax(one, 1, dtype=torch.float64), labels) for one in heads if one is not None]
    auxiliary = sum(losses[1:], torch.zeros((), dtype=torch.float64, device=losses[0].device))
    return losses[0] + aux_weight * auxiliary, losses[0], auxiliary


# ---------------------------------------------------------------------------------------------------------------------
# train_one_epoch


@alternative(of="train_one_epoch")
def training_without_joint_loss(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """All in one, without calling the other function."""
    net.train()
    main_sum = aux_sum = total_sum = correct = seen = 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad(set_to_none=False)
        outputs = net(images)
        if torch.is_tensor(outputs):
            scores, others = outputs, []
        else:
            scores, others = outputs.logits, [one for one in outputs[1:] if one is not None]
        main = criterion(F.log_softmax(scores, dim=1), labels)
        auxiliary = sum((criterion(F.log_softmax(one, dim=1), labels) for one in others), torch.tensor(0.0, device=device))
        total = main + aux_weight * auxiliary
        total.backward()
        optimizer.step()
        n = labels.size(0)
        main_sum += main.item() * n
        aux_sum += auxiliary.item() * n
        total_sum += total.item() * n
        correct += (scores.argmax(1) == labels).sum().item()
        seen += n
    return {"loss": main_sum / seen, "aux_loss": aux_sum / seen, "total_loss": total_sum / seen, "accuracy": correct / seen}


@alternative(of="train_one_epoch")
def training_that_adds_the_total_at_the_end(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The total's mean follows from the other two."""
    net.train(True)
    sums = defaultdict(float)
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        outputs = net(images)
        loss, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight=aux_weight)
        net.zero_grad()
        loss.backward()
        optimizer.step()
        predicted = (outputs[0] if isinstance(outputs, tuple) else outputs).max(dim=1).indices
        sums["main"] += main.item() * len(images)
        sums["aux"] += auxiliary.item() * len(images)
        sums["right"] += (predicted == labels).sum().item()
    count = len(loader.dataset)
    main, auxiliary = sums["main"] / count, sums["aux"] / count
    return {
        "accuracy": sums["right"] / count,
        "loss": main,
        "aux_loss": auxiliary,
        "total_loss": main + aux_weight * auxiliary,
    }


@alternative(of="train_one_epoch")
def training_with_a_main_loss_of_its_own(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """Only the total comes from the other function; what is watched is computed once more."""
    net.train()
    rows = []
    for batch in loader:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
        optimizer.zero_grad()
        outputs = net(images)
        total, _, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
        total.backward()
        optimizer.step()
        with torch.no_grad():
            scores = getattr(outputs, "logits", outputs)
            main = F.cross_entropy(scores, labels)
            hits = scores.argmax(-1).eq(labels).double().mean()
        rows.append([float(value) for value in (main, auxiliary, total, hits)] + [len(labels)])
    table = np.array(rows)
    means = np.average(table[:, :4], axis=0, weights=table[:, 4])
    return dict(zip(["loss", "aux_loss", "total_loss", "accuracy"], means.tolist(), strict=True))


@alternative(of="train_one_epoch")
def training_with_a_closure(net, loader, criterion, optimizer, device, aux_weight=0.3):
    net.train()
    kept, images_seen = torch.zeros(4, device=device), 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        found = {}

        def closure(images=images, labels=labels, found=found):
            optimizer.zero_grad()
            outputs = net(images)
            total, main, auxiliary = joint_loss(outputs, labels, criterion, aux_weight)
            total.backward()
            scores = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
            right = (scores.detach().argmax(1) == labels).float().mean()
            found["row"] = torch.stack([main.detach(), auxiliary.detach(), total.detach(), right])
            return total

        optimizer.step(closure)
        kept += found["row"] * len(labels)
        images_seen += len(labels)
    loss, aux_loss, total_loss, accuracy = (kept / images_seen).tolist()
    return {"loss": loss, "aux_loss": aux_loss, "total_loss": total_loss, "accuracy": accuracy}


@alternative(of="train_one_epoch")
def training_with_more_figures(net, loader, criterion, optimizer, device, aux_weight=0.3, verbose=False):
    """Figures of np.float64, which is a float, and more of them than asked for."""
    net.to(device).train()
    means, count = np.zeros(4), 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        for parameter in net.parameters():
            parameter.grad = None
        outputs = net(images)
        losses = joint_loss(outputs=outputs, labels=labels, criterion=criterion, aux_weight=aux_weight)
        losses[0].backward()
        optimizer.step()
        scores = outputs if torch.is_tensor(outputs) else outputs.logits
        hits = (scores.cpu().detach().numpy().argmax(axis=1) == labels.cpu().numpy()).mean()
        count += len(labels)
        means += (np.array([losses[1].item(), losses[2].item(), losses[0].item(), hits]) - means) * len(labels) / count
    figures = OrderedDict(zip(("loss", "aux_loss", "total_loss", "accuracy"), means, strict=True))
    figures["images"] = count
    return figures


# ---------------------------------------------------------------------------------------------------------------------
# evaluate: what is GoogLeNet's own; the others are shared


@alternative(of="evaluate")
@torch.inference_mode()
def evaluation_by_joint_loss(net, loader, criterion, device):
    """The joint loss of plain scores is the main head's."""
    net.eval()
    losses, hits, sizes = [], [], []
    for images, labels in loader:
        labels = labels.to(device)
        scores = net(images.to(device))
        losses.append(joint_loss(scores, labels, criterion)[1].item())
        hits.append((scores.argmax(1) == labels).sum().item())
        sizes.append(len(labels))
    return float(np.average(losses, weights=sizes)), sum(hits) / sum(sizes)


@alternative(of="evaluate")
def evaluation_that_takes_any_outputs(net, loader, criterion, device):
    was = net.training
    net.eval()
    loss, right, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            out = net(images.to(device))
            out = out.logits if isinstance(out, GoogLeNetOutputs) else out
            loss += F.nll_loss(out.log_softmax(1).cpu(), labels.cpu(), reduction="sum").item()
            right += int((out.argmax(1).cpu() == labels.cpu()).sum())
            count += len(labels)
    net.train(was)
    return loss / count, right / count


@alternative(of="evaluate")
def evaluation_with_the_heads_put_aside(net, loader, criterion, device):
    """The auxiliary heads come off for the test and go back afterwards, in another order."""
    aside = {name: getattr(net, name) for name in ("aux2", "aux1") if isinstance(getattr(net, name, None), nn.Module)}
    for name in aside:
        setattr(net, name, None)
    try:
        return evaluation_by_joint_loss(net, loader, criterion, device)
    finally:
        for name, head in aside.items():
            delattr(net, name)
            setattr(net, name, head)
