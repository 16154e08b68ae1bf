"""What the hidden checks ask of `evaluate`: other sizes, other devices, and a second time. Never given to students."""

import copy

import torch
from torch import nn
from torch.utils.data import DataLoader

from autograder.authoring import attempt, count_synchronisations, probe, timing

from .accelerator import ACCELERATOR, CPU
from .practice import SmallNet, favouring, in_order, layers, pictures, unsure, watched
from .seeds import random_numbers_after, seeded, told_apart
from .weights import state


class Lesson:
    """A network, data whose last batch is a single image, and an optimizer, the same at every call.

    The network mostly gives one answer; for the single image it is right, in the other loader wrong. So neither weighing
    batches alike nor taking the last for a full one gives the right accuracy. And the gradients of the classifier's
    weight are steep: who clips them takes other steps.
    """

    STEEP = 30

    def __init__(self, draw, dropout: float = 0.0):
        self.classes, self.batch_size = draw.choice([5, 6, 7]), draw.choice([4, 5])
        self.label = draw.randrange(self.classes - 1)
        batch = [self.label, self.label, self.classes - 1, *(draw.randrange(self.classes) for _ in range(9))]
        labels = batch[: self.batch_size] + [self.classes - 1] + batch[3 : self.batch_size + 2]
        self.net = favouring(
            seeded(draw, SmallNet, classes=self.classes, width=draw.randint(4, 6), dropout=dropout), self.label, by=5
        )
        with torch.no_grad():
            self.net.features.norm0.running_mean.uniform_(-0.3, 0.3)
            self.net.features.norm0.running_var.uniform_(0.2, 0.6)
            self.net.features.norm0.weight.mul_(self.STEEP)
            self.net.classifier.weight.div_(self.STEEP)
        self.loader = in_order(seeded(draw, pictures, [*labels, self.label], height=5, width=9), self.batch_size)
        other = [*labels[: self.batch_size], self.classes - 1]
        self.other_loader = in_order(seeded(draw, pictures, other), self.batch_size)
        self.more = seeded(draw, pictures, [*labels, *labels, *labels, self.classes - 1])

    def in_pairs(self) -> DataLoader:
        """More than ten batches, the last a single image."""
        return in_order(self.more, 2)

    def make_sure(self, net: SmallNet) -> None:
        """Makes `net` so sure of its one answer that others have probabilities near 1e-13: log-softmax can tell them."""
        with torch.no_grad():
            net.classifier.bias[self.label] += 25

    def copy(self, device=CPU) -> SmallNet:
        return copy.deepcopy(self.net).to(device)

    def optimizer(self, net: SmallNet) -> torch.optim.Optimizer:
        """SGD with a rate for the convolution, one for the steep weight, and another for the rest."""
        first = [parameter for parameter in net.features.parameters() if parameter.requires_grad]
        groups = [
            {"params": first, "lr": 0.02},
            {"params": [net.classifier.weight], "lr": 0.05 / self.STEEP**2, "weight_decay": 0.01},
            {"params": [net.classifier.bias]},
        ]
        return torch.optim.SGD(groups, lr=0.05, momentum=0.9)


MANY = 205  # batches: more than the 100 or 200 after which a loop may report, or stop


@probe("evaluate")
def testing_by_many_batches(student, draw):
    """Many batches of a single image, for a network whose likeliest class has a probability below a half."""
    net, data = seeded(draw, unsure, draw, MANY)
    return attempt(lambda: student.evaluate(net, in_order(data, 1), nn.NLLLoss(), CPU))


@probe("evaluate")
def two_test_passes(student, draw):
    """Two sets of images for one network in training mode, with dropout and running statistics; what has changed."""
    lesson = Lesson(draw, dropout=0.5)
    net, criterion = lesson.copy().train(), nn.NLLLoss()
    net.features.norm0.bias.requires_grad_(False)
    seen = {"before": state(net), "trainable before": [p.requires_grad for p in net.parameters()]}
    seen["layers before"] = layers(net)
    with watched(net) as forwards, torch.enable_grad(), random_numbers_after(5) as first:
        seen["first"] = attempt(lambda: student.evaluate(net, lesson.loader, criterion, CPU))
        seen["first passes"] = copy.deepcopy(forwards)
        seen["gradients allowed after"] = torch.is_grad_enabled()
    lesson.make_sure(net.train())
    seen["before second"] = state(net)
    with torch.enable_grad(), random_numbers_after(6) as second:
        seen["second"] = attempt(lambda: student.evaluate(net, lesson.in_pairs(), nn.NLLLoss(), CPU))
    seen["random state"] = told_apart(first, second)
    seen["after"], seen["layers after"], seen["reduction after"] = state(net), layers(net), criterion.reduction
    seen["gradients after"] = [parameter.grad is not None for parameter in net.parameters()]
    seen["trainable after"] = [parameter.requires_grad for parameter in net.parameters()]
    return seen


@probe("evaluate")
def evaluate_on_accelerator(student, draw):
    """The network is on an accelerator and was tested before; the loader's images and labels are on the CPU."""
    lesson = Lesson(draw)
    net = lesson.copy(ACCELERATOR).eval()
    with count_synchronisations() as counter:
        figures = attempt(lambda: student.evaluate(net, lesson.loader, nn.NLLLoss(), ACCELERATOR))
    return {
        "figures": figures,
        "devices": sorted({str(weight.device) for weight in net.parameters()}),
        "synchronisations": timing(counter.count),
        "batches": len(lesson.loader),
    }
