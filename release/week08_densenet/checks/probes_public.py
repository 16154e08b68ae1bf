"""What the public checks ask of your functions. Run beside your code; no answers here.

Each function below calls one of your functions on something small and returns what came back.
"""

import colorsys
import contextlib
import copy
import time
import types
from collections.abc import Iterator
from unittest import mock

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
import torchvision.transforms.functional as TF
from matplotlib.colors import to_hex, to_rgba, to_rgba_array
from matplotlib.legend import Legend
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from autograder.authoring import attempt, printed, probe, timing

from .accelerator import ACCELERATOR, CPU, where_weights_are
from .blocks import block_made, block_seen, gradients_of, passed_through
from .classifier_probes_public import *  # noqa: F403
from .evaluate_probes_public import *  # noqa: F403
from .networks import (
    TiedNet,
    copied,
    densenet121,
    momentum,
    numbered,
    torchvisions_layer,
)
from .practice import (
    Pictures,
    SmallNet,
    favouring,
    in_order,
    layers,
    pictures,
    settings,
    steps_counted,
    watched,
)
from .seeds import seeded
from .weights import state

FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
DENSENET121 = densenet121(1000)
OTHER_DENSENET121 = densenet121(10)

# --- transforms -------------------------------------------------------------------------------------------------------


def photo(draw, width: int, height: int) -> Image.Image:
    """A noisy RGB picture: every wrong way of resizing it shows."""
    pixels = np.random.default_rng(draw.getrandbits(32)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def a_few_photos(draw) -> tuple[int, Image.Image, Image.Image]:
    """A size, a 32 × 32 photo, and a wide one that is twice as high as the size."""
    image, size = photo(draw, 32, 32), draw.randint(40, 60)
    return size, image, photo(draw, 3 * size, 2 * size + 1)


@probe("make_transform")
def one_small_photo(student, draw):
    """A 32 × 32 photo made larger, one that has the size asked for already, and a wide one made smaller."""
    size, image, wide = a_few_photos(draw)
    return {
        "size": size,
        "enlarged": attempt(lambda: student.make_transform(size)(image.copy())),
        "same size": attempt(lambda: student.make_transform(image_size=32)(image.copy())),
        "wide": attempt(lambda: student.make_transform(size)(wide.copy())),
        "default shape": attempt(lambda: list(student.make_transform()(image.copy()).shape)),
    }


def resized_by_torchvision(image: Image.Image, size: int) -> torch.Tensor:
    return TF.resize(TF.pil_to_tensor(image), [size, size], antialias=True).float() / 255


@probe("make_transform", beside="one_small_photo")
def one_small_photo_by_torchvision(student, draw):
    """The same photos as torchvision resizes their bytes: two steps away from PIL at rare pixels."""
    size, image, wide = a_few_photos(draw)
    return {"enlarged": resized_by_torchvision(image, size), "wide": resized_by_torchvision(wide, size)}


def passes(loader, count: int) -> list[dict[str, list]]:
    """The labels that come in `count` passes over `loader`, the sizes of its batches, and two pixels of each image."""
    result = []
    for _ in range(count):
        labels, sizes, corners, kinds = [], [], [], set()
        for images, numbers in loader:
            kinds.add(f"images {images.dtype}, labels {numbers.dtype}")
            labels += numbers.tolist()
            sizes.append(len(images))
            corners += [[image[0, 0, 0].item(), image[-1, -1, -1].item()] for image in images]
        result.append({"labels": labels, "sizes": sizes, "corners": corners, "kinds": sorted(kinds)})
    return result


def loaders_seen(student, draw, train_count: int, test_count: int, *batch_size: int, epochs: int = 2) -> dict:
    """What `make_loaders` makes of two numbered data sets: kinds, and two passes over each loader."""
    training, test = draw.sample(range(8, 57), 2)  # never the same: the two sets are to be told apart
    shifts = {"training": training / 64, "test": test / 64}
    train_set, test_set = numbered(train_count, shifts["training"]), numbered(test_count, shifts["test"])
    made = student.make_loaders(train_set, test_set, *batch_size)
    loaders = () if made is None else made
    seen = {
        "attributes of the sets": [sorted(vars(train_set)), sorted(vars(test_set))],
        "type": type(made).__name__ if not isinstance(made, tuple) else "tuple",
        "kinds": [isinstance(loader, DataLoader) for loader in loaders],
        "last pixels": shifts,
    }
    for name, loader in zip(("training", "test"), loaders, strict=False):
        seen[name] = attempt(lambda loader=loader: passes(loader, epochs))
        seen[f"{name} orders"] = orders_of(seen[name])
    return seen


def orders_of(seen: object) -> list[str]:
    """Of each pass, whether its order is the data set's, that of a pass before it, or another: no order says more."""
    labels = [one["labels"] for one in seen] if isinstance(seen, list) else []
    kinds = []
    for place, order in enumerate(labels):
        kinds.append("the data set's" if order == sorted(order) else "as before" if order in labels[:place] else "another")
    return kinds


@probe("make_loaders")
def two_loaders(student, draw):
    """Some training images, fewer test images, a smaller last batch of each, each loader asked twice; no batch size."""
    batch_size = draw.choice([4, 5, 6])
    train_count, test_count = batch_size * draw.randint(3, 6) + 1, 2 * batch_size + 2
    seen = loaders_seen(student, draw, train_count, test_count, batch_size, epochs=2)
    by_default = attempt(lambda: loaders_seen(student, draw, 40, 34, epochs=1))
    counts = {"train count": train_count, "test count": test_count}
    return seen | {"batch size": batch_size, "by default": by_default, **counts}


# --- parameters -------------------------------------------------------------------------------------------------------


@probe("parameter_shapes")
def shapes_of_a_few_layers(student, draw):
    """A frozen convolution, batch norm, two linear layers, and two that share a weight."""
    kernels, middle, last = draw.randint(7, 16), draw.randint(17, 30), draw.randint(2, 5)
    layers = nn.Conv2d(3, kernels, 5), nn.BatchNorm2d(kernels), nn.Linear(kernels, middle, bias=False)
    layers[0].requires_grad_(False)
    return student.parameter_shapes(nn.Sequential(*layers, nn.Linear(middle, last), TiedNet(last)))


@probe("count_parameters")
def size_of_densenet121(student, draw):
    """DenseNet-121 as torchvision makes it, and with a classifier for fewer classes; a frozen and a shared weight."""
    classes = draw.randint(11, 300)
    OTHER_DENSENET121.classifier = nn.Linear(1024, classes)
    frozen = nn.Sequential(nn.Conv2d(3, draw.randint(5, 9), 3).requires_grad_(False), nn.Linear(4, draw.randint(5, 9)))
    return {
        "1000 classes": attempt(lambda: student.count_parameters(DENSENET121)),
        "classes": classes,
        "fewer classes": attempt(lambda: student.count_parameters(OTHER_DENSENET121)),
        "frozen": attempt(lambda: student.count_parameters(frozen)),
        "shared": attempt(lambda: student.count_parameters(TiedNet(draw.randint(3, 9)))),
    }


# --- block ------------------------------------------------------------------------------------------------------------


def layer_made(student, draw, *widths: int, as_torchvision: tuple[int, int, int], device=CPU):
    """`DenseLayer(*widths)` with the weights of torchvision's layer, or the exception by which it came to none."""
    return block_made(lambda: student.follow(student.DenseLayer)(*widths), torchvisions_layer(draw, *as_torchvision), device)


@probe("DenseLayer")
def a_dense_layer(student, draw):
    """A layer with torchvision's weights: what it is made of, what it makes of an input in both modes; and another layer."""
    channels, growth, bottleneck = draw.choice([7, 10, 11]), draw.choice([3, 4, 5]), draw.choice([2, 3])
    widths = (channels, growth, bottleneck)
    layer = layer_made(student, draw, *widths, as_torchvision=widths)
    x = seeded(draw, torch.randn, 2, channels, 5, 6)
    return {
        "widths": list(widths),
        "x": x.clone(),
        "layer": block_seen(layer),
        "by default": block_seen(layer_made(student, draw, channels, as_torchvision=(channels, 32, 4))),
        "evaluation": passed_through(student, layer, x.clone(), training=False),
        "gradients": gradients_of(student, layer, x),
        "training": passed_through(student, layer, x.clone(), training=True),
    }


# --- weights ----------------------------------------------------------------------------------------------------------


def step_by_hand(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """A step of the optimizer with gradients of 1: every weight changes in place."""
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


@probe("snapshot_weights")
def snapshot_before_a_step(student, draw):
    """A snapshot of two weights as it is made, and the same snapshot after a training step."""
    net = seeded(draw, SmallNet)
    net.classifier.bias.requires_grad_(False)
    snapshot = student.snapshot_weights(net, ["features.conv0.weight", "classifier.bias"])
    made = copied(snapshot)
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    step_by_hand(net, torch.optim.SGD(net.parameters(), lr=0.5))
    return {"made": made, "after training": snapshot, "network": state(net), "trainable": trainable}


@probe("snapshot_weights")
def snapshot_elsewhere(student, draw):
    """A network that is not on the CPU: on a simulated accelerator."""
    net = seeded(draw, SmallNet, width=5).to(ACCELERATOR)
    return {
        "snapshot": attempt(lambda: student.snapshot_weights(net, ["features.conv0.weight", "classifier.bias"])),
        "on the accelerator": where_weights_are(net),
    }


@probe("snapshot_weights")
def snapshot_of_an_unknown_name(student, draw):
    """A misspelt name, and the name of a layer in place of its weight's; and a right name."""
    net = seeded(draw, SmallNet)
    asked = {"misspelt": ["classifier.bias", "classifier.wieght"], "a layer": ["features.conv0"]}
    seen = {
        what: attempt(lambda names=names: student.snapshot_weights(net, names), raises=KeyError)
        for what, names in asked.items()
    }
    return {"unknown": seen, "known": attempt(lambda: student.snapshot_weights(net, ["classifier.bias"]))}


@probe("weight_difference")
def difference_of_two_snapshots(student, draw):
    """Five weights, before and after; in another order after, two of them of one shape, and one that has not changed."""
    shapes = {"features.conv0.weight": (4, 3, 3, 3), "conv1.weight": (3, 2, 1, 1), "a.bias": (3,), "b.bias": (3,)}
    before = {name: torch.rand(shape) for name, shape in shapes.items()} | {"still": torch.rand(2)}
    after = {name: torch.rand(shapes[name]) for name in reversed(shapes)} | {"still": before["still"].clone()}
    given = copy.deepcopy(before), copy.deepcopy(after)
    difference = attempt(lambda: student.weight_difference(before, after))
    return {"difference": difference, "given": given, "arguments after": (before, after)}


@probe("weight_grid")
def grids_of_two_layers(student, draw):
    """Sixteen kernels that read an RGB image, four that read sixteen channels, and three that read two."""
    layers = {"colour": torch.randn(16, 3, 5, 5), "deeper": torch.randn(4, 16, 3, 3), "two": torch.randn(3, 2, 3, 3)}
    given = {name: weight.clone() for name, weight in layers.items()}
    grids = {name: attempt(lambda weight=weight: student.weight_grid(weight)) for name, weight in layers.items()}
    return grids | {"given": given, "given after": layers}


# --- training ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def machine_with(accelerator: str | None) -> Iterator[list[str]]:
    """A machine with "cuda", "mps" or no accelerator, whichever of PyTorch's questions is asked; built for all of them.

    Gives the list of the questions that were answered with yes.
    """
    yes: list[str] = []

    def asked(about: str):
        def answer(*_) -> int:
            if accelerator == about:
                yes.append(about)
            return int(accelerator == about)

        return answer

    def told(about: str | None) -> str | None:
        yes.extend([about] if about else [])
        return about

    answers = {  # PyTorch's functions, by whatever name they were imported, ask these in the end
        torch._C: {
            "_cuda_getDeviceCount": asked("cuda"),
            "_mps_is_available": lambda: bool(asked("mps")()),
            "_has_mps": True,
            "_accelerator_getAccelerator": lambda: torch.device(told(accelerator) or "cuda"),
        },
        torch.cuda: {
            "_is_compiled": lambda: True,
            "_device_count_nvml": lambda: -1,
            "_cached_device_count": None,
            "_lazy_init": lambda: None,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "synchronize": lambda device=None: None,
            "get_device_name": lambda device=None: "GPU",
            "get_device_capability": lambda device=None: (8, 0),
            "get_device_properties": lambda device=None: types.SimpleNamespace(
                name="GPU", total_memory=16 * 2**30, major=8, minor=0, multi_processor_count=40
            ),
            "mem_get_info": lambda device=None: (15 * 2**30, 16 * 2**30),
        },
        torch.backends.cuda: {"is_built": lambda: True},
        torch.accelerator: {"current_device_index": lambda: 0, "set_device_index": lambda device: None},
    }
    with contextlib.ExitStack() as patches:
        for module, functions in answers.items():
            for name, function in functions.items():
                patches.enter_context(mock.patch.object(module, name, function, create=True))
        torch.backends.mps.is_available.cache_clear()
        patches.callback(torch.backends.mps.is_available.cache_clear)
        yield yes


@probe("pick_device")
def device_of_a_laptop(student, draw):
    """A machine without an accelerator."""
    with machine_with(None):
        device = student.pick_device()
    return {"device": device, "name": str(device)}


@probe("pick_device")
def devices_of_two_gpus(student, draw):
    """Six machines in a drawn order: with an NVIDIA GPU, with an Apple GPU, with neither."""
    machines = ["cpu", "cuda", "mps", *draw.choices(["cpu", "cuda", "mps"], k=3)]
    draw.shuffle(machines)
    seen = [devices_beside(student, {name: None if name == "cpu" else name}) for name in machines]
    return {"machines": machines, "devices": [one[name] for one, name in zip(seen, machines, strict=True)]}


def devices_beside(student, machines: dict[str, str | None]) -> dict[str, dict]:
    """The device picked on each machine, and whether any question of PyTorch's was answered with yes there."""
    seen = {}
    for name, accelerator in machines.items():
        with machine_with(accelerator) as yes:
            device = attempt(student.pick_device)
            if accelerator and not yes:  # it may have asked before, as its cell ran: then let it run on this machine
                device = attempt(lambda: student.afresh().pick_device())
        seen[name] = {"device": device, "name": str(device), "was told yes": len(yes) > 0}
    return seen


@probe("train_one_epoch")
def one_epoch(student, draw):
    """Nine images of four classes, four to a batch: the figures, and the weights after one epoch of plain SGD."""
    return an_epoch(student, draw, CPU)


@probe("train_one_epoch")
def one_epoch_elsewhere(student, draw):
    """The same where the network is not on the CPU, as the loader's images and labels are: a simulated accelerator."""
    return an_epoch(student, draw, ACCELERATOR)


def an_epoch(student, draw, device: torch.device) -> dict:
    """One epoch of a network that was just tested; its last batch is a single image."""
    net = favouring(seeded(draw, SmallNet, classes=4), label=1).to(device).eval()
    loader = in_order(seeded(draw, pictures, [1, 1, 0, 3, 1, 2, 2, 0, 1]), 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before, steps, criterion = state(net), steps_counted(optimizer), nn.NLLLoss()
    kept = {"settings before": settings(optimizer), "layers before": layers(net)}
    with watched(net) as forwards:
        figures = attempt(lambda: student.train_one_epoch(net, loader, criterion, optimizer, device))
    kept |= {"settings after": settings(optimizer), "layers after": layers(net), "reduction after": criterion.reduction}
    return kept | {
        "figures": figures,
        "before": before,
        "after": state(net),
        "steps": len(steps),
        "passes": forwards,
        "where": where_weights_are(net),
    }


TWO_FUNCTIONS = ("train_one_epoch", "evaluate")


class Rehearsal:
    """Runs `fit` on small data, with stand-ins for the functions of yours that it may call.

    So `fit` is looked at by itself: what `train_one_epoch` and `evaluate` return is drawn beforehand. A `fit` that calls
    neither trains and tests for real, and its figures are compared with real ones.
    """

    def __init__(self, draw, classes: int, batch_size: int):
        self.net = favouring(seeded(draw, SmallNet, classes=classes), label=0)
        self.batch_size, self.start = batch_size, 0.0
        self.pauses: dict[str, list[float]] = {"training": [], "test": []}  # seconds, pass by pass
        train_labels = [label % classes for label in range(2 * batch_size)] + [0]
        test_labels = [0] * batch_size + [classes - 1]
        self.train_pictures = seeded(draw, pictures, train_labels)
        self.test_pictures = seeded(draw, pictures, test_labels)
        self.training_figures = [
            (2.2 - 0.36 * epoch + draw.random() / 50, 1 - (6 - epoch) * (0.13 + draw.random() / 100)) for epoch in range(7)
        ]
        self.test_figures = [
            (1.0 + 0.4 * epoch + draw.random() / 10, 0.98 - 0.1 * epoch + draw.random() / 50) for epoch in range(7)
        ]

    def run(self, student, *epochs: int, replace: tuple[str, ...] = TWO_FUNCTIONS, device=CPU) -> dict:
        """What one call of `fit` returned, printed, called and left behind."""
        net = copy.deepcopy(self.net).to(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
        step_by_hand(net, optimizer)  # so that it has a momentum to keep
        seen = {"train_one_epoch": [], "evaluate": [], "passes": []}
        with printed() as text:
            training = self._loader(self.train_pictures, self._on_pass("training", seen["passes"], text))
            test = self._loader(self.test_pictures, self._on_pass("test", seen["passes"], text))
            criterion = nn.NLLLoss()
            stand_ins = {
                "train_one_epoch": self._training(seen["train_one_epoch"], net, training, criterion, optimizer, device),
                "evaluate": self._testing(seen["evaluate"], net, test, criterion, device),
            }
            with student.replaced(**{name: stand_ins[name] for name in replace}):
                self.start = time.perf_counter()
                given = net, training, test, criterion, optimizer, device, *epochs
                history = attempt(lambda: student.fit(*given))
            elapsed = time.perf_counter() - self.start
        return seen | {
            "history": plain_history(history),
            "lines": [text.lines, text.ended],
            "elapsed": timing(elapsed),
            "weights": state(net),
            "settings": settings(optimizer),
            "momentum": momentum(optimizer),
            "devices of the network": sorted({str(weight.device) for weight in net.parameters()}),
            "trainable": [weight.requires_grad for weight in net.parameters()],
        }

    def _loader(self, data: Pictures, on_pass) -> DataLoader:
        """First the first image, then from the last to the second: another order than that of a loader made anew."""
        order = [0, *range(len(data) - 1, 0, -1)]
        return DataLoader(Pictures(data.images, data.labels, on_pass), self.batch_size, sampler=order)

    def _on_pass(self, name: str, passes: list, text):
        pauses = iter(self.pauses[name])

        def on_pass() -> None:
            one = {"data": name, "lines": [text.lines, text.ended]}
            passes.append(one)
            if pause := next(pauses, 0.0):
                began = time.perf_counter()
                time.sleep(pause)
                one |= {"began": timing(began - self.start), "ended": timing(time.perf_counter() - self.start)}

        return on_pass

    # The stand-ins' defaults are what is right: a `fit` cannot pass on what your own function has no parameter for.

    def _training(self, calls: list[dict], net, loader, criterion, its_optimizer, device):
        def train_one_epoch(
            net=net, loader=loader, criterion=criterion, optimizer=its_optimizer, device=device, *rest, **more
        ):
            net.train()
            figures = self.training_figures[len(calls) % len(self.training_figures)]
            call = _call(net, loader, criterion, device)
            calls.append(call | {"optimizer given": optimizer is its_optimizer, "settings": settings(optimizer)})
            step_by_hand(net, optimizer)
            return figures

        return train_one_epoch

    def _testing(self, calls: list[dict], net, loader, criterion, device):
        def evaluate(net=net, loader=loader, criterion=criterion, device=device, *rest, **more):
            net.eval()
            figures = self.test_figures[len(calls) % len(self.test_figures)]
            calls.append(_call(net, loader, criterion, device))
            return figures

        return evaluate


def _call(net, loader, criterion, device) -> dict:
    """What a stand-in was given: the labels the loader brings, some weights, the loss of a fixed guess."""
    guess = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]]).log()
    return {
        "labels": [label for _, labels in loader for label in labels.tolist()],
        "weights": net.classifier.bias.detach().cpu().clone(),
        "loss": attempt(lambda: float(criterion(guess, torch.tensor([0, 2])))),
        "device": str(device),
        "devices of the network": sorted({str(weight.device) for weight in net.parameters()}),
        "trainable": [weight.requires_grad for weight in net.parameters()],
    }


def plain_history(history):
    """The five lists of a history, its seconds (but not an exact 0) marked as wall times; what is no dict as it came."""
    if not isinstance(history, dict):
        return history
    plain = {name: history[name] for name in (*FIGURES, "seconds") if name in history}
    if isinstance(plain.get("seconds"), list):
        plain["seconds"] = [timing(value) if isinstance(value, float) and value else value for value in plain["seconds"]]
    return plain


def with_fewer_stand_ins(rehearsal: Rehearsal, student, *epochs: int) -> dict:
    """Runs with one stand-in, and with none.

    A function that a `fit` does not call does its work for real, so its figures are to be compared with those of a run
    in which it was not replaced.
    """
    return {
        "train_one_epoch": rehearsal.run(student, *epochs, replace=("train_one_epoch",)),
        "evaluate": rehearsal.run(student, *epochs, replace=("evaluate",)),
        "neither": rehearsal.run(student, *epochs, replace=()),
    }


@probe("fit")
def a_few_epochs(student, draw):
    """Two epochs or some more, in which `train_one_epoch` and `evaluate` return figures drawn beforehand; slow images."""
    epochs = draw.randint(2, 5)
    rehearsal = Rehearsal(draw, classes=4, batch_size=4)
    # the second epoch's are above 0.05 s each: also of a `fit` that goes through the one or the other twice in its first
    rehearsal.pauses = {"training": [0.03, 0.07], "test": [0.05, 0.06]}
    seen = rehearsal.run(student, epochs) | {"epochs": epochs}
    rehearsal.pauses = {"training": [], "test": []}
    return seen | {"by default": rehearsal.run(student)["history"]}


@probe("fit", beside="a_few_epochs")
def a_few_epochs_for_real(student, draw):
    """The same, without the one or the other."""
    epochs = draw.randint(2, 5)
    return with_fewer_stand_ins(Rehearsal(draw, classes=4, batch_size=4), student, epochs)


# --- plots ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def figures_closed() -> Iterator[None]:
    """No figure is open before or after; and `plt.show` closes those that it shows, as it does in a notebook."""
    plt.close("all")
    try:
        with mock.patch.object(plt, "show", lambda *_, **__: plt.close("all")):
            yield
    finally:
        plt.close("all")


def figure_seen(make) -> dict:
    """The figure that `make()` returns, be it beside its axes, as plain data: its axes, curves, labels, legends, places."""
    figure = made = make()
    kind = type(made).__name__
    if isinstance(made, tuple):
        kind += f" of {', '.join(type(part).__name__ for part in made)}"
        figure = made[0] if len(made) == 2 else made
    if not isinstance(figure, plt.Figure):
        return {"figure": kind}
    return {
        "figure": "Figure" if figure is made else kind,
        "axes": [axes_seen(axes, figure) for axes in figure.axes if axes.get_visible() and (axes.axison or axes.lines)],
        "xlabel of all": figure.get_supxlabel(),
        "ylabel of all": figure.get_supylabel(),
        "legends of all": len(figure.legends),
    }


def axes_seen(axes, figure) -> dict:
    """The visible curves (lines or dots) of one pair of axes, its limits, and what is written beside them."""
    curves = [
        {"x": _numbers(line.get_xdata(orig=False)), "y": _numbers(line.get_ydata(orig=False)), "colour": _colour(line)}
        for line in axes.get_lines()
        if line.get_visible() and (_has_line(line) or line.get_marker() not in NOTHING)
    ]
    for dots in axes.collections:
        places = np.ma.filled(dots.get_offsets(), np.nan)
        if len(places) > 1 and dots.get_visible():
            curves.append({"x": _numbers(places[:, 0]), "y": _numbers(places[:, 1]), "colour": _colour(dots)})
    legends = [child for child in axes.get_children() if isinstance(child, Legend)]
    entries = [entry for one in legends for entry in zip(one.get_texts(), one.legend_handles, strict=False)]
    left, bottom, right, top = axes.get_window_extent().transformed(figure.transFigure.inverted()).extents
    return {
        "curves": curves,
        "limits": {"x": _numbers(axes.get_xlim()), "y": _numbers(axes.get_ylim())},
        "title": axes.get_title(),
        "xlabel": axes.get_xlabel(),
        "ylabel": axes.get_ylabel(),
        "legends": len(legends),
        "legend": [{"text": text.get_text(), "colour": _colour(handle)} for text, handle in entries],
        "place": [float(edge) for edge in (left, bottom, right - left, top - bottom)],
        "shares x": [other is not axes and axes.get_shared_x_axes().joined(axes, other) for other in figure.axes],
    }


NOTHING = ("None", "none", "", " ", None)  # matplotlib's ways to say: no line, no marker, no colour


def _has_line(line) -> bool:
    return line.get_linestyle() not in NOTHING and line.get_linewidth() > 0


def _numbers(values) -> list[float]:
    return [float(value) for value in np.asarray(values, dtype=float).ravel()[:100]]


def _colour(artist) -> str | None:
    """The name of the colour of a line, of markers without a line (their edge when they are hollow), or of dots.

    None when there is no telling.
    """
    try:
        if hasattr(artist, "get_markerfacecolor"):
            filled = str(artist.get_markerfacecolor()) not in NOTHING
            marker = artist.get_markerfacecolor() if filled else artist.get_markeredgecolor()
            colours = [to_rgba(artist.get_color() if _has_line(artist) else marker, artist.get_alpha())]
        else:
            colours = [*to_rgba_array(artist.get_facecolor()), *to_rgba_array(artist.get_edgecolor())]
        return colour_name(*next((colour for colour in colours if colour[3] > 0), colours[0]))
    except (AttributeError, ValueError, IndexError, TypeError):
        return None


def colour_name(red: float, green: float, blue: float, opacity: float) -> str:
    """"red" or "green" as people name them, or else the colour's code, as in "#1f77b4".

    Crimson, tomato, darkred, vermillion and tab:red are red, pink and orange are not; lime, olivedrab, seagreen and
    tab:green are green, teal and yellow are not.
    """
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    degrees = (hue * 360 + 20) % 360 - 20  # from -20 on: red lies around 0
    if opacity < 0.1 or value < 0.2:
        return "no visible colour" if opacity < 0.1 else "black"
    if degrees <= 27 and saturation >= 0.35:
        return "red"
    return "green" if 65 <= degrees <= 170 and saturation >= 0.2 else to_hex((red, green, blue))


@probe("plot_history")
@figures_closed()
def curves_of_four_epochs(student, draw):
    """The history of four epochs."""
    rising = [round(0.3 + 0.12 * epoch + draw.uniform(0, 0.1), 3) for epoch in range(4)]
    history = {
        "train_loss": [round(3 * (1 - value), 3) for value in rising],
        "train_accuracy": [round(value + draw.uniform(0, 0.02), 3) for value in rising],
        "test_loss": [round(2.5 * (1.1 - value), 3) for value in rising],
        "test_accuracy": [round(value - draw.uniform(0.02, 0.04), 3) for value in rising],
        "seconds": [round(draw.uniform(3.9, 4.3), 1) for _ in range(4)],
    }
    given = copy.deepcopy(history)
    return {"given": given, "figure": figure_seen(lambda: student.plot_history(history))}
