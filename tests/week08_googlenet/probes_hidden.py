"""What the hidden checks ask: other sizes, other networks, other devices, and a second time. Never given to students."""

import copy

import torch
from torch import nn

from autograder.authoring import attempt, count_synchronisations, probe, register, timing

from .accelerator import ACCELERATOR, CPU, where_weights_are
from .blocks import block_seen, gradients_of, passed_through
from .evaluate_probes_hidden import *  # noqa: F403
from .evaluate_probes_hidden import MANY
from .networks import SmallGoogLeNet, favouring_one
from .practice import in_order, layers, pictures, settings, steps_counted, unsure
from .probes_public import (
    epochs_of,
    heads_replaced,
    inception_made,
    labels_of,
    losses_seen,
    made_up_losses,
    scores_of_heads,
)
from .seeds import random_numbers_after, random_state_after, seeded, told_apart
from .weights import state

register()  # without the simulated accelerator nothing is graded

# --- one by one -------------------------------------------------------------------------------------------------------


@probe("saved_by_bottleneck")
def prices_of_many_branches(student, draw):
    """Kernels of many sizes, a map of one place and a large one, a reduction that saves nothing, and the same again."""
    asked = {
        "1 × 1 kernels": (draw.randint(20, 60), draw.randint(3, 9), draw.randint(20, 60), 1, draw.randint(5, 9)),
        "7 × 7 kernels": (draw.randint(20, 60), draw.randint(3, 9), draw.randint(20, 60), 7, draw.randint(11, 19)),
        "one place": (draw.randint(20, 60), draw.randint(3, 9), draw.randint(20, 60), 3, 1),
        "one channel left": (draw.randint(20, 60), 1, draw.randint(20, 60), 5, draw.randint(5, 9)),
        "nothing saved": (draw.randint(10, 20), draw.randint(30, 60), draw.randint(20, 60), 3, draw.randint(5, 9)),
        "large": (draw.randint(2000, 4000), draw.randint(300, 400), draw.randint(2000, 4000), 5, draw.randint(300, 400)),
    }
    asked["again"] = asked["7 × 7 kernels"]
    return {name: {"asked": list(one), "price": attempt(lambda one=one: student.saved_by_bottleneck(*one))}
            for name, one in asked.items()}  # fmt: skip


# --- block ------------------------------------------------------------------------------------------------------------


def widths_of(draw) -> dict[str, tuple[int, ...]]:
    """What blocks are asked for."""
    return {
        "wide": (draw.randint(20, 30), *(draw.randint(6, 12) for _ in range(6))),
        "narrow": (draw.choice([1, 2]), 1, 1, 2, 1, 1, 1),
        "alike": (4, 4, 4, 4, 4, 4, 4),
        "reduced upwards": (3, 2, 9, 3, 8, 2, 7),
    }


@probe("InceptionBlock")
def blocks_of_many_widths(student, draw):
    """Other widths, and inputs of other sizes, down to a single pixel; two inputs for each."""
    seen = {}
    for number, (name, widths) in enumerate(widths_of(draw).items()):
        block = inception_made(student, draw, *widths)
        sizes = (3, 4, 7) if number % 2 else (1, 6, 1)
        inputs = [seeded(draw, torch.randn, sizes[0], widths[0], *sizes[1:]) - 0.5 for _ in range(2)]
        seen[name] = {
            "widths": list(widths),
            "inputs": [x.clone() for x in inputs],
            "block": block_seen(block),
            "outputs": [passed_through(student, block, x.clone(), training=False) for x in inputs],
        }
    return seen


@probe("InceptionBlock")
def block_in_training(student, draw):
    """Two passes in training mode, each with gradients, then one in evaluation mode."""
    widths = (draw.randint(7, 9), 3, 4, 5, 2, 3, draw.choice([4, 6]))
    block = inception_made(student, draw, *widths)
    inputs = [seeded(draw, torch.randn, 4, widths[0], 7, 4) * scale for scale in (1.0, 2.0, 1.0)]
    passes, gradients = [], []
    for x, training in zip(inputs, (True, True, False), strict=True):
        gradients.append(gradients_of(student, block, x))
        passes.append(passed_through(student, block, x.clone(), training))
    return {"widths": list(widths), "inputs": inputs, "block": block_seen(block), "passes": passes, "gradients": gradients}


@probe("InceptionBlock")
def blocks_side_by_side(student, draw):
    """The same input again and again, a second block beside the first, and the random numbers after a pass."""
    widths = (6, 3, 2, 4, 2, 3, 5)
    block = inception_made(student, draw, *widths)
    x = seeded(draw, torch.randn, 2, 6, 4, 6)
    first = passed_through(student, block, x.clone(), training=False)
    other = inception_made(student, draw, *widths)
    beside = passed_through(student, other, x.clone(), training=False)
    again = [passed_through(student, block, x.clone(), training=False) for _ in range(2)]
    quiet, passing = (
        random_state_after(lambda mode=mode: mode and passed_through(student, block, x.clone(), training=True), seed=3)
        for mode in (False, True)
    )
    make = lambda: attempt(lambda: student.InceptionBlock(*widths))  # noqa: E731
    return {
        "widths": list(widths),
        "x": x,
        "block": block_seen(block),
        "first": first,
        "beside": beside,
        "again": again,
        "random numbers": {
            "without": quiet,
            "after a pass": passing,
            "after making": told_apart(*(random_state_after(make, seed) for seed in (5, 6))),
        },
    }


@probe("InceptionBlock")
def block_on_accelerator(student, draw):
    """A block and its input on an accelerator."""
    widths = (5, 3, 2, 4, 2, 3, 2)
    block = inception_made(student, draw, *widths, device=ACCELERATOR)
    x = seeded(draw, torch.randn, 3, 5, 5, 4)
    return {
        "widths": list(widths),
        "x": x,
        "block": block_seen(block),
        "passes": [passed_through(student, block, x.to(ACCELERATOR), training) for training in (False, True)],
    }


# --- heads ------------------------------------------------------------------------------------------------------------


@probe("replace_heads")
def heads_of_many_networks(student, draw):
    """Other widths and class counts, heads without bias, a frozen network, one in training, and a second replacement."""
    sizes = draw.sample(range(5, 15), 3)
    wide = seeded(draw, SmallGoogLeNet, classes=9, width=sizes[0], hidden=(sizes[1], sizes[2]))
    without_bias = seeded(draw, SmallGoogLeNet, classes=10, width=6, bias=False)
    frozen = seeded(draw, SmallGoogLeNet, classes=100, width=7, hidden=(0, 8)).requires_grad_(False)
    frozen.conv1[1].running_mean += 0.5
    mixed = seeded(draw, SmallGoogLeNet, classes=10, width=6, hidden=(6, 6)).train()
    mixed.conv1[1].eval()  # as who trains with the statistics of before
    again = seeded(draw, SmallGoogLeNet, classes=7, width=9, hidden=(5, 7))
    return {
        "wide": heads_replaced(student, wide, 7),
        "without bias": heads_replaced(student, without_bias, 7),
        "frozen": heads_replaced(student, frozen, 11),
        "mixed": heads_replaced(student, mixed, 7),
        "default": heads_replaced(student, again),
        "twice": heads_replaced(student, again, 5),
        "same count": heads_replaced(student, again, 5),
    }


@probe("replace_heads")
def heads_on_accelerator(student, draw):
    """Networks that are on an accelerator already, one of them without auxiliary heads."""
    seen = {}
    for name, hidden in {"three": (6, 5), "one": (0, 0)}.items():
        net = seeded(draw, SmallGoogLeNet, classes=10, width=6, hidden=hidden).to(ACCELERATOR)
        seen[name] = heads_replaced(student, net, 7)
    return seen


@probe("replace_heads")
def random_state_beside_heads(student, draw):
    """Random numbers drawn after replacing heads, for two different states before."""
    net = seeded(draw, SmallGoogLeNet)
    return told_apart(*(random_state_after(lambda: attempt(lambda: student.replace_heads(net, 5)), seed) for seed in (5, 6)))


# --- loss -------------------------------------------------------------------------------------------------------------


@probe("joint_loss")
def losses_of_many_scores(student, draw):
    """Other weights, 0 and 1 among them, a single image, as many images as heads, sure and large scores, and again."""
    seen = {}
    for name, (images, weight) in {
        "weight 0": (5, 0.0),
        "weight 1": (6, 1.0),
        "one image": (1, 0.3),
        "three images": (3, 0.2),
        "many images": (70, draw.choice([0.15, 0.5, 2.0])),
    }.items():
        classes = draw.randint(3, 12)
        leaves, outputs = scores_of_heads(draw, images, classes)
        labels = labels_of(draw, images, classes)
        seen[name] = {"weight": weight} | losses_seen(student, leaves, outputs, labels, weight)
    made = [seeded(draw, torch.randn, 4, 5) * 60 for _ in range(3)]
    leaves = [one.requires_grad_() for one in made]
    outputs = type(outputs)(*leaves)
    seen["sure"] = {"weight": 0.3} | losses_seen(student, leaves, outputs, labels_of(draw, 4, 5))
    return seen


@probe("joint_loss")
def losses_on_accelerator(student, draw):
    """All heads on an accelerator, one of them None."""
    labels = labels_of(draw, 5, 4, ACCELERATOR)
    seen = {
        name: losses_seen(student, *scores_of_heads(draw, 5, 4, ACCELERATOR, without=without), labels)
        for name, without in {"three": "", "two": "aux_logits2", "one": "aux_logits1 aux_logits2"}.items()
    }
    return seen | {"accelerator's name": str(ACCELERATOR)}


@probe("joint_loss")
def losses_of_many_plain_scores(student, draw):
    """Plain scores of one, two and seven images, with weights; and the random numbers afterwards."""
    seen = {}
    for images in (1, 2, 7):
        classes = draw.randint(3, 8)
        leaves, outputs = scores_of_heads(draw, images, classes)
        labels = labels_of(draw, images, classes)
        seen[f"{images}"] = losses_seen(student, leaves[:1], outputs.logits, labels, draw.choice([0.4, 2.0]))
    ask = lambda: attempt(lambda: student.joint_loss(outputs, labels, nn.NLLLoss()))  # noqa: E731
    return seen | {"random state": told_apart(*(random_state_after(ask, seed) for seed in (5, 6)))}


# --- training ---------------------------------------------------------------------------------------------------------


class HeadsLesson:
    """A network of three heads, data whose last batch is a single image, and an optimizer, the same at every call."""

    def __init__(self, draw, hidden: tuple[int, int] = (5, 7), dropout: float = 0.0):
        classes = draw.choice([4, 5, 6])
        self.label, self.size = draw.randrange(classes), draw.choice([3, 4])
        net = seeded(draw, SmallGoogLeNet, classes=classes, width=draw.randint(4, 6), hidden=hidden, dropout=dropout)
        self.net = favouring_one(net, self.label, by=3)
        labels = [self.label, self.label, *(draw.randrange(classes) for _ in range(2 * self.size - 2))]
        self.loader = in_order(seeded(draw, pictures, [*labels, self.label], height=5, width=7), self.size)
        self.other_loader = in_order(seeded(draw, pictures, [*labels[::-1], *labels, (self.label + 1) % classes]), self.size)

    def copy(self, device=CPU) -> SmallGoogLeNet:
        return copy.deepcopy(self.net).to(device)

    def optimizer(self, net: SmallGoogLeNet) -> torch.optim.Optimizer:
        """SGD with momentum, and another rate for the main head."""
        others = [weight for name, weight in net.named_parameters() if weight.requires_grad and not name.startswith("fc.")]
        groups = [{"params": others}, {"params": list(net.fc.parameters()), "lr": 0.02, "weight_decay": 0.01}]
        return torch.optim.SGD(groups, lr=0.05, momentum=0.9)


def both(student, run) -> dict:
    """`run()` with your own `joint_loss`, and with a stand-in for it; see `made_up_losses`."""
    seen = {"own": run() | {"stood in": False}}
    calls: list[float] = []
    with student.replaced(joint_loss=made_up_losses(calls)):
        seen["stand-in"] = run()
    seen["stand-in"]["stood in"] = len(calls) > 0
    return seen


@probe("train_one_epoch")
def two_epochs(student, draw):
    """Two epochs in a row with momentum, over different images, of a network that comes in evaluation mode."""
    lesson, weight = HeadsLesson(draw), draw.choice([0.2, 0.5, 0.8])

    def run() -> dict:
        net = lesson.copy().eval()
        optimizer, criterion = lesson.optimizer(net), nn.NLLLoss()
        steps, before = steps_counted(optimizer), state(net)
        kept = {"settings before": settings(optimizer), "layers before": layers(net)}
        with random_numbers_after(5) as first:
            figures = attempt(lambda: student.train_one_epoch(net, lesson.loader, criterion, optimizer, CPU, weight))
        after = state(net)
        with random_numbers_after(6) as second:
            again = attempt(lambda: student.train_one_epoch(net, lesson.other_loader, criterion, optimizer, CPU, weight))
        return kept | {
            "figures": figures,
            "before": before,
            "after": after,
            "second figures": again,
            "after second": state(net),
            "steps": len(steps),
            "parameters with momentum": len(optimizer.state),
            "settings after": settings(optimizer),
            "layers after": layers(net),
            "reduction after": criterion.reduction,
            "gradients allowed after": torch.is_grad_enabled(),
            "random state": told_apart(first, second),
        }

    return both(student, run)


@probe("train_one_epoch")
def epoch_with_dropout(student, draw):
    """The modes in which the batches come, of a network with dropout and a frozen convolution, in evaluation mode before."""
    lesson = HeadsLesson(draw, dropout=0.5)

    def run() -> dict:
        net = lesson.copy().eval()
        net.conv1[0].weight.requires_grad_(False)
        before, net.seen = state(net), []
        figures = attempt(
            lambda: student.train_one_epoch(net, lesson.other_loader, nn.NLLLoss(), lesson.optimizer(net), CPU)
        )
        return {
            "figures": figures,
            "passes": net.seen,
            "before": before,
            "after": state(net),
            "trainable": {name: weight.requires_grad for name, weight in net.named_parameters()},
        }

    return both(student, run)


@probe("train_one_epoch")
def epochs_of_other_heads(student, draw):
    """One auxiliary head alone, a weight of 0, and no auxiliary heads with a weight."""
    return {
        "aux1 alone": epochs_of(student, draw, True, hidden=(5, 0)),
        "aux2 alone": epochs_of(student, draw, True, 0.6, hidden=(0, 5)),
        "weight 0": epochs_of(student, draw, True, 0.0),
        "no heads": epochs_of(student, draw, True, 0.7, hidden=(0, 0)),
    }


@probe("train_one_epoch")
def train_on_accelerator(student, draw):
    """The network is on an accelerator, the loader's images and labels on the CPU."""
    lesson = HeadsLesson(draw)

    def run() -> dict:
        net = lesson.copy(ACCELERATOR)
        optimizer = lesson.optimizer(net)
        with count_synchronisations() as counter:
            figures = attempt(lambda: student.train_one_epoch(net, lesson.loader, nn.NLLLoss(), optimizer, ACCELERATOR))
        return {
            "figures": figures,
            "before": state(lesson.net),
            "after": state(net),
            "on the accelerator": where_weights_are(net),
            "synchronisations": timing(counter.count),
            "batches": len(lesson.loader),
        }

    return both(student, run)


@probe("train_one_epoch")
def training_by_many_batches(student, draw):
    """Many batches of a single image, for a network whose likeliest class has a probability below a half."""
    made, data = seeded(draw, unsure, draw, MANY)

    def run() -> dict:
        net = copy.deepcopy(made)
        optimizer, before = torch.optim.SGD(net.parameters(), lr=0.001), state(net)
        figures = attempt(lambda: student.train_one_epoch(net, in_order(data, 1), nn.NLLLoss(), optimizer, CPU))
        return {"figures": figures, "before": before, "after": state(net)}

    return both(student, run)


@probe("evaluate")
def test_passes_of_heads(student, draw):
    """Networks of three heads and of one, in training mode and not."""
    seen = {}
    for name, hidden in {"three": (5, 7), "one": (0, 6), "none": (0, 0)}.items():
        lesson = HeadsLesson(draw, hidden, dropout=0.4)
        net = lesson.copy()
        seen[name] = attempt(lambda net=net, lesson=lesson: student.evaluate(net, lesson.other_loader, nn.NLLLoss(), CPU))
    return seen
