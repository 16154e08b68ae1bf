"""Wrong functions that pass every small check: only the full training shows them. The docstring is the hint.

`caught_by` names what the full training finds: "end", "memory", "accuracy", "figures", "weights" or "batches".
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from autograder.authoring import mistake

# --- block ------------------------------------------------------------------------------------------------------------


def _unit(inputs, outputs, size):
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs, eps=0.001), relu=nn.ReLU()))


class _RightBlock(nn.Module):
    def __init__(self, in_channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
        super().__init__()
        self.branch1 = _unit(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(_unit(in_channels, ch3x3red, 1), _unit(ch3x3red, ch3x3, 3))
        self.branch3 = nn.Sequential(_unit(in_channels, ch5x5red, 1), _unit(ch5x5red, ch5x5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _unit(in_channels, pool_proj, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


@mistake(of="InceptionBlock", caught_by="figures")
class MergesKernelsOnce(_RightBlock):
    """In testing the three 1 × 1 convolutions are done as one, batch normalisation included, which is faster, but they are
    merged only once: what the first test merged is used in every later one, whatever was trained since. Merge them anew."""

    merged = None

    def forward(self, x):
        if self.training:
            return super().forward(x)
        units = [self.branch1, self.branch2[0], self.branch3[0]]
        if self.merged is None:
            self.merged = [torch.cat(parts) for parts in zip(*map(_folded, units), strict=True)]
        maps = F.relu(F.conv2d(x, *self.merged)).split([unit.conv.out_channels for unit in units], dim=1)
        return torch.cat([maps[0], self.branch2[1](maps[1]), self.branch3[1](maps[2]), self.branch4(x)], dim=1)


def _folded(unit):
    """Weight and bias of a convolution with the batch normalisation behind it."""
    factor = unit.bn.weight / (unit.bn.running_var + unit.bn.eps).sqrt()
    weight, bias = unit.conv.weight * factor.view(-1, 1, 1, 1), unit.bn.bias - unit.bn.running_mean * factor
    return weight.detach(), bias.detach()


@mistake(of="InceptionBlock", caught_by="batches")
class TakesLargeBatchesApart(_RightBlock):
    """A batch of more than eight images goes through the block in parts, to save memory. But batch normalisation takes its
    statistics from what it is given, so it sees other batches than those of the loader, and counts more of them."""

    def forward(self, x):
        return torch.cat([super(type(self), self).forward(part) for part in x.split(8)])


# --- training ---------------------------------------------------------------------------------------------------------


def _trained(net, loader, criterion, optimizer, device, aux_weight, sums, backward=lambda losses: losses[0].backward()):
    """Trains on each batch, adds its figures to `sums`, and gives its number, losses, images and labels."""
    net.train()
    for batch, (images, labels) in enumerate(loader, start=1):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = net(images)
        losses = joint_loss(outputs, labels, criterion, aux_weight)  # noqa: F821  the notebook's
        backward(losses)
        optimizer.step()
        scores = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
        right = (scores.argmax(dim=1) == labels).float().mean()
        for name, mean in zip(("total_loss", "loss", "aux_loss", "accuracy"), (*losses, right), strict=True):
            sums[name] = sums.get(name, 0.0) + mean.detach() * len(labels)
        sums["images"] = sums.get("images", 0) + len(labels)
        yield batch, losses, images, labels


def _means(sums):
    return {name: float(value / sums["images"]) for name, value in sums.items() if name != "images"}


@mistake(of="train_one_epoch", caught_by="memory")
def keeps_every_graph(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The loss goes backward with `retain_graph=True` and is added up with its graph, batch upon batch, until the memory is
    full. One pass backward needs no graph afterwards; add up numbers: `loss.detach()` or `loss.item()`."""
    sums, total_sum = {}, 0.0
    again = lambda losses: losses[0].backward(retain_graph=True)  # noqa: E731
    for _, (total, _, _), _, labels in _trained(net, loader, criterion, optimizer, device, aux_weight, sums, again):
        total_sum = total_sum + total * len(labels)
    return _means(sums) | {"total_loss": float(total_sum) / sums["images"]}


@mistake(of="train_one_epoch", caught_by="memory")
def keeps_every_gradient(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The gradients of each batch are kept, for a figure of how they change: as many numbers as the network has weights,
    batch upon batch. Keep what the figure needs, their norms."""
    sums, kept = {}, []
    for _ in _trained(net, loader, criterion, optimizer, device, aux_weight, sums):
        kept.append({name: weight.grad for name, weight in net.named_parameters()})
    return _means(sums)


@mistake(of="train_one_epoch", caught_by="batches")
def goes_on_in_evaluation_mode(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """A look at the network after six batches leaves it in evaluation mode: from there on the auxiliary heads are not asked,
    nothing is dropped, and batch normalisation learns no statistics. Set the mode back."""
    sums = {}
    for batch, _, images, labels in _trained(net, loader, criterion, optimizer, device, aux_weight, sums):
        if batch == 6:
            net.eval()
            with torch.no_grad():
                print("now", net(images).argmax(dim=1)[:4], labels[:4])
    return _means(sums)


def _epochs_begun(net):
    net.epochs_begun = getattr(net, "epochs_begun", 0) + 1
    return net.epochs_begun


@mistake(of="train_one_epoch", caught_by="weights")
def leaves_the_heads_out_later(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """After two epochs the main loss alone goes backward, as if the auxiliary heads had done their work: from there on their
    own layers are not trained. The joint loss is asked for in every epoch."""
    sums, which = {}, 1 if _epochs_begun(net) > 2 else 0
    main_alone = lambda losses: losses[which].backward()  # noqa: E731
    for _ in _trained(net, loader, criterion, optimizer, device, aux_weight, sums, main_alone):
        pass
    return _means(sums)


@mistake(of="train_one_epoch", caught_by="weights")
def trains_the_heads_alone_later(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """After two epochs the auxiliary loss alone goes backward. The main head, and all that stands behind the auxiliary ones,
    is not trained any more."""
    sums, which = {}, 2 if _epochs_begun(net) > 2 else 0
    auxiliary_alone = lambda losses: losses[which].backward()  # noqa: E731
    for _ in _trained(net, loader, criterion, optimizer, device, aux_weight, sums, auxiliary_alone):
        pass
    return _means(sums)


@mistake(of="train_one_epoch", caught_by="end")
def reads_the_momentum(net, loader, criterion, optimizer, device, aux_weight=0.3):
    """The optimizer's `momentum` is read, to print it. SGD has one, Adam has not, and the real network is trained with
    Adam: KeyError. Work with whatever optimizer is given."""
    print("learning rate", *(f"{group['lr']}, momentum {group['momentum']}" for group in optimizer.param_groups))
    sums = {}
    for _ in _trained(net, loader, criterion, optimizer, device, aux_weight, sums):
        pass
    return _means(sums)


def _tested(net, loader, criterion, device):
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


@mistake(of="evaluate", caught_by="weights")
def turns_the_heads_off_for_good(net, loader, criterion, device):
    """The auxiliary heads are turned off for testing (`aux_logits`), which evaluation mode does by itself, and never on
    again: from the second epoch on the network trains without them. Testing changes nothing but the mode."""
    net.aux_logits = False
    return _tested(net, loader, criterion, device)
