"""What the public checks ask of `evaluate`, in every module that has it. Run beside your code; no answers here."""

import torch
from torch import nn

from autograder.authoring import attempt, probe

from .accelerator import ACCELERATOR, CPU, where_weights_are
from .practice import SmallNet, favouring, in_order, layers, pictures, watched
from .seeds import seeded
from .weights import state


@probe("evaluate")
def one_test_pass(student, draw):
    """Images of four classes, four to a batch, for a network that was just training; and the same once more."""
    return a_test_pass(student, draw, CPU)


@probe("evaluate")
def one_test_pass_elsewhere(student, draw):
    """The same where the network is not on the CPU, as the loader's images and labels are: a simulated accelerator."""
    return a_test_pass(student, draw, ACCELERATOR)


def a_test_pass(student, draw, device: torch.device) -> dict:
    """Two passes over the same images, of which the last batch has one; what changed besides the network's mode."""
    net = favouring(seeded(draw, SmallNet, classes=4, dropout=0.5), label=2).to(device)
    net.features.norm0.running_mean += 0.3
    net.features.norm0.bias.requires_grad_(False)
    labels = [2, 1, 2, 0, 3, 2, 0, 2, 2, 2, 1, 1] + [2, 2, 1, draw.randrange(4)] * draw.randrange(8) + [2]
    images = seeded(draw, pictures, labels)
    before, criterion = state(net.train()), nn.NLLLoss()
    kept = {"layers before": layers(net), "trainable before": [p.requires_grad for p in net.parameters()]}
    with torch.enable_grad(), watched(net) as forwards:
        figures = attempt(lambda: student.evaluate(net, in_order(images, 4), criterion, device))
        kept["gradients allowed after"] = torch.is_grad_enabled()
    kept["layers after"], kept["reduction after"] = layers(net), criterion.reduction
    kept["trainable after"] = [p.requires_grad for p in net.parameters()]
    kept["gradients after"] = [p.grad is not None for p in net.parameters()]
    after = state(net)
    with torch.enable_grad():
        again = attempt(lambda: student.evaluate(net, in_order(images, 4), nn.NLLLoss(), device))
    return kept | {
        "figures": figures,
        "again": again,
        "passes": forwards,
        "images": len(labels),
        "before": before,
        "after": after,
        "where": where_weights_are(net),
    }
