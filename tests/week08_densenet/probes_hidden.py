"""What the hidden checks ask: other sizes, other networks, other devices, and a second time. Never given to students."""

import copy

import torch
from PIL import Image
from torch import nn

from autograder.authoring import attempt, count_synchronisations, probe, register, timing

from .accelerator import ACCELERATOR, CPU
from .blocks import block_seen, gradients_of, passed_through
from .classifier_probes_hidden import *  # noqa: F403
from .evaluate_probes_hidden import *  # noqa: F403
from .evaluate_probes_hidden import MANY, Lesson
from .networks import (
    TiedNet,
    copied,
    numbered,
    tiny_densenet,
)
from .practice import (
    SmallNet,
    in_order,
    layers,
    settings,
    steps_counted,
    unsure,
    watched,
)
from .probes_public import (
    Rehearsal,
    devices_beside,
    figure_seen,
    figures_closed,
    layer_made,
    loaders_seen,
    photo,
    resized_by_torchvision,
    with_fewer_stand_ins,
)
from .seeds import random_numbers_after, random_state_after, seeded, told_apart
from .weights import state

register()  # without the simulated accelerator nothing is graded

# --- transforms -------------------------------------------------------------------------------------------------------


def many_photos(draw) -> tuple[int, dict[str, Image.Image]]:
    """The size of the squares that are made of them, and small and large, wide and tall photos."""
    size = draw.randint(33, 47)
    return size, {
        "small": photo(draw, 20, 20),
        "wide": photo(draw, size + 31, size - 8),
        "tall": photo(draw, size - 9, size + 27),
        "large": photo(draw, 3 * size + 1, 2 * size + 3),
    }


@probe("make_transform")
def photos_of_many_sizes(student, draw):
    """Small and large, wide and tall photos, made into squares of several sizes."""
    size, photos = many_photos(draw)
    small = photos["small"]
    return {
        "size": size,
        **{name: attempt(lambda one=one: student.make_transform(size)(one.copy())) for name, one in photos.items()},
        "default": attempt(lambda: student.make_transform()(small.copy())[:, ::9, ::9]),
        "default shape": attempt(lambda: list(student.make_transform()(small.copy()).shape)),
    }


@probe("make_transform", beside="photos_of_many_sizes")
def photos_resized_by_torchvision(student, draw):
    """The same photos as torchvision resizes their bytes: two steps away from PIL at rare pixels."""
    size, photos = many_photos(draw)
    return {name: resized_by_torchvision(one, size) for name, one in photos.items()}


def two_photos(draw) -> list[Image.Image]:
    return [photo(draw, 30, 22) for _ in range(2)]


@probe("make_transform", beside="one_photo_again_and_again")
def two_photos_resized_by_torchvision(student, draw):
    """The two photos as torchvision resizes their bytes."""
    return [resized_by_torchvision(image, 24) for image in two_photos(draw)]


@probe("make_transform")
def one_photo_again_and_again(student, draw):
    """The same photo six times through one transform, and two photos in turn."""
    transform = student.make_transform(24)
    student.make_transform(40)
    image, other = two_photos(draw)
    return {
        "again": [attempt(lambda: transform(image.copy())) for _ in range(6)],
        "other": attempt(lambda: transform(other.copy())),
        "random state": [random_state_after(lambda: student.make_transform(24)(image.copy()), seed) for seed in (3, 4)],
        "random state without": [random_state_after(lambda: None, seed) for seed in (3, 4)],
    }


@probe("make_loaders")
def loaders_of_odd_sizes(student, draw):
    """Sets whose last batch is smaller, three epochs of each loader."""
    batch_size = draw.choice([5, 6, 7])
    train_count, test_count = 4 * batch_size + 1, 2 * batch_size + draw.randint(1, 3)
    seen = loaders_seen(student, draw, train_count, test_count, batch_size, epochs=3)
    return seen | {"batch size": batch_size, "train count": train_count, "test count": test_count}


@probe("make_loaders")
def loaders_without_a_batch_size(student, draw):
    """No batch size given, and again for other sets, of which the one is smaller than a batch."""
    return {
        "first": loaders_seen(student, draw, 70, 40, epochs=1),
        "again": loaders_seen(student, draw, 50, 10, epochs=1),
    }


@probe("make_loaders")
def random_state_beside_loaders(student, draw):
    """Random numbers drawn after making loaders, for two different states before."""

    def make():
        train_loader, _ = student.make_loaders(numbered(9), numbered(5), 4)
        return [labels.tolist() for _, labels in train_loader]

    return told_apart(*(random_state_after(make, seed) for seed in (5, 6)))


# --- parameters -------------------------------------------------------------------------------------------------------


def frozen_net(width: int) -> SmallNet:
    """A small network whose convolution is not trained."""
    net = SmallNet(width=width)
    net.features.conv0.weight.requires_grad_(False)
    return net


def plain_net(draw) -> nn.Module:
    """Layers of drawn widths, without batch norm."""
    first, second = draw.randint(3, 9), draw.randint(10, 20)
    return nn.Sequential(
        nn.Conv2d(3, first, (3, 5)), nn.Conv2d(first, 2, 1, bias=False), nn.Linear(second, first), nn.Linear(4, 7)
    )


class BackwardsNet(nn.Module):
    """A bias that comes before its weight, and a scale of a single number."""

    def __init__(self, width: int):
        super().__init__()
        self.last = nn.Linear(width, 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(1))
        self.first = nn.Conv2d(3, width, 3)


def long_net(draw) -> nn.Module:
    """More than a hundred parameters."""
    return nn.Sequential(*(nn.Linear(draw.randint(1, 3), draw.randint(1, 3)) for _ in range(60)))


NETWORKS = {
    "plain": plain_net,
    "batch norm": lambda draw: SmallNet(classes=draw.randint(3, 9), width=draw.randint(5, 9)),
    "frozen": lambda draw: frozen_net(draw.randint(5, 9)),
    "shared": lambda draw: TiedNet(draw.randint(3, 9)),
    "backwards": lambda draw: BackwardsNet(draw.randint(3, 9)),
    "long": long_net,
    "densenet": lambda draw: tiny_densenet(classes=7, growth=draw.choice([2, 6]), start=draw.choice([4, 6, 10])),
}


@probe("parameter_shapes")
def shapes_of_many_networks(student, draw):
    """Networks with batch norm, frozen and shared weights, and an unusual order."""
    return {name: attempt(lambda build=build: student.parameter_shapes(build(draw))) for name, build in NETWORKS.items()}


@probe("count_parameters")
def counts_of_many_networks(student, draw):
    """The same kinds of networks, and one with nothing left to train."""
    counts = {
        name: attempt(lambda build=build: student.count_parameters(build(draw))) for name, build in NETWORKS.items()
    }
    counts["all frozen"] = attempt(lambda: student.count_parameters(plain_net(draw).requires_grad_(False)))
    return counts


# --- block ------------------------------------------------------------------------------------------------------------


def widths_of(draw) -> dict[str, tuple[int, ...]]:
    """What layers are asked for: channels, growth, bottleneck; some leave them to their defaults."""
    return {
        "wide": (draw.randint(20, 40), draw.randint(6, 9), draw.choice([3, 5])),
        "narrow": (draw.choice([1, 2, 3]), draw.choice([1, 2]), 1),
        "square": (12, 6, 2),
        "default bottleneck": (draw.randint(5, 9), draw.choice([3, 4])),
        "default growth": (draw.randint(5, 9),),
    }


@probe("DenseLayer")
def layers_of_many_widths(student, draw):
    """Other widths, growths and bottlenecks, and inputs of other sizes, down to a single pixel; two inputs for each."""
    seen = {}
    for number, (name, widths) in enumerate(widths_of(draw).items()):
        whole = (*widths, *(32, 4)[len(widths) - 1 :])
        layer = layer_made(student, draw, *widths, as_torchvision=whole)
        sizes = (3, 4, 7) if number % 2 else (1, 6, 1)
        first, second = (seeded(draw, torch.randn, sizes[0], whole[0], *sizes[1:]) for _ in range(2))
        seen[name] = {
            "asked": list(widths),
            "widths": list(whole),
            "inputs": [first.clone(), second.clone()],
            "layer": block_seen(layer),
            "outputs": [passed_through(student, layer, x.clone(), training=False) for x in (first, second)],
        }
    return seen


@probe("DenseLayer")
def layer_in_training(student, draw):
    """Two passes in training mode, each with gradients, then one in evaluation mode."""
    widths = (draw.randint(12, 17), draw.choice([5, 6]), draw.choice([2, 3]))
    layer = layer_made(student, draw, *widths, as_torchvision=widths)
    inputs = [seeded(draw, torch.randn, 4, widths[0], 7, 4) * scale for scale in (1.0, 2.0, 1.0)]
    passes, gradients = [], []
    for x, training in zip(inputs, (True, True, False), strict=True):
        gradients.append(gradients_of(student, layer, x))
        passes.append(passed_through(student, layer, x.clone(), training))
    return {"widths": list(widths), "inputs": inputs, "layer": block_seen(layer), "passes": passes, "gradients": gradients}


@probe("DenseLayer")
def layers_side_by_side(student, draw):
    """The same input again and again, a second layer beside the first, and the random numbers after a pass."""
    widths = (9, 4, 2)
    layer = layer_made(student, draw, *widths, as_torchvision=widths)
    x = seeded(draw, torch.randn, 2, 9, 4, 6)
    first = passed_through(student, layer, x.clone(), training=False)
    other = layer_made(student, draw, *widths, as_torchvision=widths)
    beside = passed_through(student, other, x.clone(), training=False)
    again = [passed_through(student, layer, x.clone(), training=False) for _ in range(3)]
    quiet, passing = (
        random_state_after(lambda mode=mode: mode and passed_through(student, layer, x.clone(), training=True), seed=3)
        for mode in (False, True)
    )
    made = told_apart(*(random_state_after(lambda: attempt(lambda: student.DenseLayer(*widths)), seed) for seed in (5, 6)))
    return {
        "widths": list(widths),
        "x": x,
        "layer": block_seen(layer),
        "first": first,
        "beside": beside,
        "again": again,
        "random numbers": {"without": quiet, "after a pass": passing, "after making": made},
    }


@probe("DenseLayer")
def layer_on_accelerator(student, draw):
    """A layer and its input on an accelerator."""
    widths = (8, 5, 3)
    layer = layer_made(student, draw, *widths, as_torchvision=widths, device=ACCELERATOR)
    x = seeded(draw, torch.randn, 3, 8, 5, 4)
    return {
        "widths": list(widths),
        "x": x,
        "layer": block_seen(layer),
        "passes": [passed_through(student, layer, x.to(ACCELERATOR), training) for training in (False, True)],
    }


# --- weights ----------------------------------------------------------------------------------------------------------

LECTURE_NAMES = ("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight")


@probe("snapshot_weights")
def snapshots_through_a_training(student, draw):
    """Snapshots of a small DenseNet before and after its weights change, and after a copy was changed."""
    net = seeded(draw, tiny_densenet, classes=7, start=draw.choice([4, 6, 10]))
    net.features.conv0.weight.requires_grad_(False)
    first = student.snapshot_weights(net, LECTURE_NAMES)
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    made = copied(first)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.5).add_(0.25)
    second = student.snapshot_weights(net, list(LECTURE_NAMES))
    after = copied(first), copied(second)
    attempt(lambda: [tensor.detach().zero_() for tensor in second.values()])
    weights = state(net)
    return {
        "made": made,
        "trainable": trainable,
        "first after training": after[0],
        "second": after[1],
        "network after a copy was cleared": {name: weights[name] for name in LECTURE_NAMES},
    }


@probe("snapshot_weights")
def snapshots_of_any_names(student, draw):
    """Other names, one name, no names, a frozen and a shared weight."""
    net = seeded(draw, tiny_densenet, classes=5)
    names = ["features.norm5.bias", "classifier.weight", "features.denseblock2.denselayer2.conv2.weight"]
    draw.shuffle(names)
    frozen, tied = seeded(draw, frozen_net, 6), seeded(draw, TiedNet, 5)
    long = seeded(draw, long_net, draw)
    return {
        "several": attempt(lambda: student.snapshot_weights(net, names)),
        "one": attempt(lambda: student.snapshot_weights(net, ["features.norm0.weight"])),
        "none": attempt(lambda: student.snapshot_weights(net, [])),
        "frozen": attempt(lambda: student.snapshot_weights(frozen, ["features.conv0.weight"])),
        "shared": attempt(lambda: student.snapshot_weights(tied, ["encoder.weight", "decoder.bias"])),
        "all": attempt(lambda: student.snapshot_weights(long, [name for name, _ in long.named_parameters()])),
    }


@probe("snapshot_weights")
def snapshots_of_unknown_names(student, draw):
    """Names that are neither a parameter nor a buffer."""
    net = seeded(draw, SmallNet)
    asked = {
        "misspelt": ["features.conv0.weight", "features.conv0.wieght"],
        "of another network": ["features.denseblock1.denselayer1.conv1.weight"],
        "a layer": ["features.conv0"],
    }
    return {
        what: attempt(lambda names=names: student.snapshot_weights(net, names), raises=KeyError)
        for what, names in asked.items()
    }


@probe("snapshot_weights")
def snapshot_of_an_accelerator(student, draw):
    """A network that is on an accelerator."""
    net = seeded(draw, SmallNet, width=5).to(ACCELERATOR)
    return {
        "snapshot": attempt(lambda: student.snapshot_weights(net, ["features.conv0.weight", "classifier.bias"])),
        "devices of the network": sorted({str(weight.device) for weight in net.parameters()}),
    }


@probe("weight_difference")
def differences_of_any_names(student, draw):
    """Names in different orders, weights of one shape under different names, one that has not changed."""
    rows, columns = draw.randint(2, 5), draw.randint(6, 9)
    before = {name: torch.randn(rows, columns) for name in ("b.weight", "a.weight", "c.weight")}
    before |= {"kernel": torch.randn(rows, 3, 2, 5), "1 x 1": torch.randn(rows, 3, 1, 1), "still": torch.randn(columns)}
    after = {name: before[name] + torch.randn(before[name].shape) for name in sorted(before)}
    after["still"] = before["still"].clone()
    given = copy.deepcopy(before), copy.deepcopy(after)
    many = [{f"{number}.weight": torch.rand(2) for number in range(120)} for _ in range(2)]
    return {
        "given": given,
        "many": attempt(lambda: student.weight_difference(*many)),
        "difference": attempt(lambda: student.weight_difference(before, after)),
        "same order": attempt(lambda: student.weight_difference(*map(_sorted, given))),
        "other names": attempt(lambda: student.weight_difference({"d.bias": torch.ones(3)}, {"d.bias": torch.zeros(3)})),
        "arguments after": (before, after),
    }


def _sorted(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weights[name].clone() for name in sorted(weights)}


@probe("weight_grid")
def grids_of_many_layers(student, draw):
    """Kernels of other numbers, sizes and ranges, and the weights after each call."""
    few, many, channels = draw.randint(3, 6), draw.randint(17, 23), draw.randint(9, 15)
    layers = {
        "colour": torch.randn(many, 3, 4, 6) * torch.linspace(0.2, 2, many).view(-1, 1, 1, 1) + 0.5,
        "few colour": torch.randn(few, 3, 7, 7),
        "deeper": torch.randn(5, channels, 3, 5) * torch.linspace(0.2, 2, channels).view(-1, 1, 1),
        "1 x 1": torch.randn(6, channels + 8, 1, 1),
        "three kernels": torch.randn(3, few + 5, 3, 3),
        "two channels": torch.randn(few, 2, 3, 4),
        "many": torch.randn(2, 90 + many, 2, 1),
        "many colour": torch.randn(90 + many, 3, 1, 2),
    }
    layers["deeper"][1:] *= 3
    layers["1 x 1"][1:] *= 3
    layers["one channel"] = torch.randn(few, 1, 5, 4) * torch.arange(1, few + 1).view(-1, 1, 1, 1)
    given = {name: weight.clone() for name, weight in layers.items()}
    grids = {name: attempt(lambda weight=weight: student.weight_grid(weight)) for name, weight in layers.items()}
    grids["one channel"] = without_frame(grids["one channel"], 5, 4)
    return {"given": given, "grids": grids, "given after": layers}


def without_frame(grid, height: int, width: int):
    """A single patch without the frame that it may have: `make_grid` leaves it away, who lays patches out by hand does not."""
    framed = isinstance(grid, torch.Tensor) and grid.shape[1:] == (height + 4, width + 4)
    return grid[:, 2:-2, 2:-2] if framed else grid


# --- training ---------------------------------------------------------------------------------------------------------


@probe("pick_device")
def devices_of_three_machines(student, draw):
    """Machines with an Apple GPU, an NVIDIA GPU and neither, in another order."""
    return devices_beside(student, {"mps": "mps", "cuda": "cuda", "cpu": None})


@probe("train_one_epoch")
def two_epochs_of_training(student, draw):
    """Two epochs in a row with momentum, a smaller last batch, and a network that comes in evaluation mode."""
    lesson = Lesson(draw)
    net = lesson.copy().eval()
    optimizer = lesson.optimizer(net)
    steps, criterion = steps_counted(optimizer), nn.NLLLoss()
    seen = {"start": state(net), "settings before": settings(optimizer), "layers before": layers(net)}
    with watched(net) as forwards:
        with random_numbers_after(5) as first:
            seen["first"] = attempt(lambda: student.train_one_epoch(net, lesson.loader, criterion, optimizer, CPU))
        seen["after first"] = state(net)
        seen["first passes"] = copy.deepcopy(forwards)
        lesson.make_sure(net)
        with random_numbers_after(6) as second:
            seen["second"] = attempt(
                lambda: student.train_one_epoch(net, lesson.other_loader, nn.NLLLoss(), optimizer, CPU)
            )
    seen["random state"] = told_apart(first, second)
    seen["passes"] = forwards
    seen["after second"] = state(net)
    seen["settings after"], seen["steps"] = settings(optimizer), len(steps)
    seen["parameters with momentum"] = len(optimizer.state)
    seen["gradients allowed after"] = torch.is_grad_enabled()
    seen["layers after"], seen["reduction after"] = layers(net), criterion.reduction
    return seen


@probe("train_one_epoch")
def training_of_a_frozen_network(student, draw):
    """A network with dropout whose convolution is frozen, and a dozen batches."""
    lesson = Lesson(draw, dropout=0.5)
    loader = lesson.in_pairs()
    net = lesson.copy()
    net.features.conv0.weight.requires_grad_(False)
    optimizer = lesson.optimizer(net)
    before = state(net)
    with watched(net.eval()) as forwards:
        figures = attempt(lambda: student.train_one_epoch(net, loader, nn.NLLLoss(), optimizer, CPU))
    after = state(net)
    return {
        "figures": figures,
        "passes": forwards,
        "before": {name: before[name] for name in ("features.conv0.weight", "classifier.weight")},
        "after": {name: after[name] for name in ("features.conv0.weight", "classifier.weight")},
        "trainable": {name: parameter.requires_grad for name, parameter in net.named_parameters()},
    }


@probe("train_one_epoch")
def train_on_accelerator(student, draw):
    """The network is on an accelerator, the loader's images and labels on the CPU."""
    lesson = Lesson(draw)
    net = lesson.copy(ACCELERATOR)
    optimizer = lesson.optimizer(net)
    with count_synchronisations() as counter:
        figures = attempt(lambda: student.train_one_epoch(net, lesson.loader, nn.NLLLoss(), optimizer, ACCELERATOR))
    return {
        "figures": figures,
        "start": state(lesson.net),
        "after": state(net),
        "devices": sorted({str(weight.device) for weight in net.parameters()}),
        "synchronisations": timing(counter.count),
        "batches": len(lesson.loader),
    }


@probe("train_one_epoch")
def training_by_many_batches(student, draw):
    """Many batches of a single image, for a network whose likeliest class has a probability below a half."""
    net, data = seeded(draw, unsure, draw, MANY)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
    figures = attempt(lambda: student.train_one_epoch(net, in_order(data, 1), nn.NLLLoss(), optimizer, CPU))
    return {"figures": figures, "after": state(net)}


# Seconds that the first image of a pass takes to load: training, test, their sum and its mean all differ.
PAUSES = {"training": [0.04, 0.14], "test": [0.08, 0.06]}


def hidden_rehearsal(draw) -> Rehearsal:
    return Rehearsal(draw, classes=draw.choice([5, 6, 7]), batch_size=draw.choice([3, 5]))


@probe("fit")
def three_epochs(student, draw):
    """Three epochs on the CPU and on an accelerator, random numbers after each; then two with pauses in the data."""
    rehearsal = hidden_rehearsal(draw)
    with random_numbers_after(5) as first:
        seen = {"cpu": rehearsal.run(student, 3)}
    with random_numbers_after(6) as second:
        seen["accelerator"] = rehearsal.run(student, 3, device=ACCELERATOR)
    rehearsal.pauses = PAUSES
    return seen | {"random state": told_apart(first, second), "timed": rehearsal.run(student, 2)}


@probe("fit", beside="three_epochs")
def three_epochs_for_real(student, draw):
    """The same, without one or both of the stand-ins."""
    return with_fewer_stand_ins(hidden_rehearsal(draw), student, 3)


@probe("fit")
def epochs_not_given(student, draw):
    """The number of epochs is left to its default."""
    return Rehearsal(draw, classes=3, batch_size=3).run(student)


def rehearsal_of_many_batches(draw) -> Rehearsal:
    """One with a network that is never sure of its answers, and many batches of a single image."""
    rehearsal = Rehearsal(draw, classes=4, batch_size=1)
    rehearsal.net, rehearsal.train_pictures = seeded(draw, unsure, draw, MANY)
    _, rehearsal.test_pictures = seeded(draw, unsure, draw, MANY)
    return rehearsal


@probe("fit")
def epoch_of_many_batches(student, draw):
    """An epoch of many batches: a `fit` that does the work itself goes through all of them."""
    return rehearsal_of_many_batches(draw).run(student, 1)


@probe("fit", beside="epoch_of_many_batches")
def epoch_of_many_batches_for_real(student, draw):
    """The same, without one or both of the stand-ins."""
    return with_fewer_stand_ins(rehearsal_of_many_batches(draw), student, 1)


# --- plots ------------------------------------------------------------------------------------------------------------


def history_of(draw, epochs: int) -> dict[str, list[float]]:
    """A history of drawn figures, as `fit` returns it, with a list of another kind beside them."""
    names = ("test_accuracy", "seconds", "train_loss", "learning_rate", "test_loss", "train_accuracy")
    return {name: [round(draw.uniform(0.1, 0.9) + 1.55 * ("loss" in name), 4) for _ in range(epochs)] for name in names}


@probe("plot_history")
@figures_closed()
def curves_of_two_histories(student, draw):
    """A history of twelve epochs with one list more, its lists in another order, then one of three; both left open."""
    return {name: _drawn(student, history_of(draw, epochs)) for name, epochs in {"twelve": 12, "three": 3}.items()}


def _drawn(student, history: dict) -> dict:
    """A history, its figure, and the history as it is after."""
    given = copy.deepcopy(history)
    return {
        "given": given,
        "figure": attempt(lambda: figure_seen(lambda: student.plot_history(history))),
        "history after": history,
    }
