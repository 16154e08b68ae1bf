"""Wrong functions that pass every small check: only the full training shows them. The docstring is the hint.

`caught_by` names what the full training finds: "end", "memory", "accuracy", "figures", "weights" or "batches".
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from autograder.authoring import mistake

# --- block ------------------------------------------------------------------------------------------------------------


class _RightBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        difference = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(difference + (x if self.downsample is None else self.downsample(x)))


@mistake(of="ResidualBlock", caught_by="figures")
class FoldsBatchNormOnce(_RightBlock):
    """In testing, each convolution is joined with its batch normalisation, which is faster, but only once: what the first
    test made is used in every later one, whatever was trained since. Make it anew when the network has trained."""

    folded = None

    def forward(self, x):
        if self.training:
            return super().forward(x)
        if self.folded is None:
            self.folded = [_folded(self.conv1, self.bn1), _folded(self.conv2, self.bn2)]
        (weight1, bias1), (weight2, bias2) = self.folded
        first = F.relu(F.conv2d(x, weight1, bias1, self.conv1.stride, padding=1))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(F.conv2d(first, weight2, bias2, padding=1) + shortcut)


def _folded(conv, norm):
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (conv.weight * factor.view(-1, 1, 1, 1)).detach(), (norm.bias - norm.running_mean * factor).detach()


@mistake(of="ResidualBlock", caught_by="batches")
class TakesLargeBatchesApart(_RightBlock):
    """A batch of more than eight images goes through the block in parts, to save memory. But batch normalisation takes its
    statistics from what it is given, so it sees other batches than those of the loader, and counts more of them."""

    def forward(self, x):
        return torch.cat([super(type(self), self).forward(part) for part in x.split(8)])


# --- classifier -------------------------------------------------------------------------------------------------------


@mistake(of="replace_classifier", caught_by="figures")
def draws_large_weights(net, num_classes=10):
    """The new weights are drawn with a standard deviation of 1. A score adds up 512 products, so the network starts out very
    sure of wrong answers, and its first loss is far above ln 10. `nn.Linear` draws small ones by itself."""
    net.fc = nn.Linear(net.fc.in_features, num_classes, device=net.fc.weight.device)
    nn.init.normal_(net.fc.weight)
    return net


# --- gradients --------------------------------------------------------------------------------------------------------


def _norms_of(net, images, labels, criterion):
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    loss = criterion(F.log_softmax(net(images), dim=1), labels)
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True, materialize_grads=True)
    return {name: float(gradient.norm()) for name, gradient in zip(trained, gradients, strict=True)}


def _put_back(buffers):
    for buffer, before in buffers:
        buffer.copy_(before)


@mistake(of="gradient_norms", caught_by="memory")
def leaves_its_hooks(net, images, labels, criterion):
    """The hooks that take down the gradients are never removed, so they go on keeping every gradient of the training that
    follows. `register_hook` gives a handle: call its `remove()`."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    trained = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    gradients, kept = {name: parameter.grad for name, parameter in trained.items()}, {name: [] for name in trained}
    for name, parameter in trained.items():
        parameter.grad = None
        parameter.register_hook(kept[name].append)
    criterion(F.log_softmax(net(images), dim=1), labels).backward()
    for name, parameter in trained.items():
        parameter.grad = gradients[name]
    _put_back(buffers)
    return {name: float(found[-1].norm()) for name, found in kept.items() if found}


@mistake(of="gradient_norms", caught_by="batches")
def goes_back_to_the_first_state(net, images, labels, criterion):
    """What is put back is what the *first* call found: every later one undoes all that was trained in between. Take down the
    network's state in each call."""
    if not hasattr(net, "as_it_was"):
        net.as_it_was = copy.deepcopy(net.state_dict())
    norms = _norms_of(net, images, labels, criterion)
    net.load_state_dict(net.as_it_was)
    return norms


@mistake(of="gradient_norms", caught_by="weights")
def puts_copies_back(net, images, labels, criterion):
    """The layers are replaced by copies that were made before. The numbers are as before, but these are other parameters:
    the optimizer goes on stepping the old ones, and the network is never trained again. Copy numbers back into the tensors,
    or measure on a copy."""
    before, gradients = copy.deepcopy(net), [parameter.grad for parameter in net.parameters()]
    norms = _norms_of(net, images, labels, criterion)
    for name, layer in before.named_children():
        setattr(net, name, layer)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        parameter.grad = gradient
    return norms


@mistake(of="gradient_norms", caught_by="batches")
def stops_tracking_the_statistics(net, images, labels, criterion):
    """`track_running_stats` is turned off, so that the measurement leaves the running statistics alone, and never on again:
    in all the training that follows batch normalisation learns none."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
    return _norms_of(net, images, labels, criterion)


@mistake(of="gradient_norms", caught_by="weights")
def stops_the_momentum(net, images, labels, criterion):
    """Batch normalisation's `momentum` is set to 0, so that the measurement leaves the running statistics alone, and is never
    set back: they stay where they are in all the training that follows, and the network is tested with those of its start."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    norms = _norms_of(net, images, labels, criterion)
    _put_back(buffers)
    return norms


@mistake(of="gradient_norms", caught_by="end")
def turns_gradients_off_for_good(net, images, labels, criterion):
    """Gradients are turned on for the measurement and off behind it, for the whole program: the next training step fails.
    Leave the setting alone, or use `with torch.enable_grad():`, which puts it back."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    torch.set_grad_enabled(mode=True)
    norms = _norms_of(net, images, labels, criterion)
    torch.set_grad_enabled(mode=False)
    _put_back(buffers)
    return norms
