"""What the public checks ask of your functions. Run beside your code; no answers here.

Each function below calls one of your functions on something small and returns what came back.
"""

import contextlib
import copy
import time
from collections.abc import Iterator
from unittest import mock

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgba
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from autograder.probing import attempt, printed, probe, timing

from .networks import (
    Pictures,
    SmallNet,
    copied,
    densenet121,
    favouring,
    in_order,
    numbered,
    pictures,
    seeded,
    settings,
    state,
    steps_counted,
    tiny_densenet,
)

CPU = torch.device("cpu")
CRITERION = nn.NLLLoss()
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
DENSENET121 = densenet121(1000)
DENSENET121_TEN_CLASSES = densenet121(10)

# --- transforms -------------------------------------------------------------------------------------------------------


def photo(draw, width: int, height: int) -> Image.Image:
    """A noisy RGB picture: every wrong way of resizing it shows."""
    pixels = np.random.default_rng(draw.getrandbits(32)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@probe("make_transform")
def one_small_photo(student, draw):
    """A 32 × 32 photo made into 48 × 48, and one that has the size asked for already."""
    image = photo(draw, 32, 32)
    return {
        "enlarged": attempt(lambda: student.make_transform(48)(image.copy())),
        "same size": attempt(lambda: student.make_transform(image_size=32)(image.copy())),
    }


def passes(loader, count: int) -> list[dict[str, list]]:
    """The labels that come in `count` passes over `loader`, the sizes of its batches, and whether images fit labels."""
    result = []
    for _ in range(count):
        labels, sizes, brightness = [], [], []
        for images, numbers in loader:
            labels += numbers.tolist()
            sizes.append(len(images))
            brightness += images[:, 0, 0, 0].tolist()
        result.append({"labels": labels, "sizes": sizes, "images": brightness})
    return result


def loaders_seen(student, train_count: int, test_count: int, *batch_size: int, epochs: int = 2) -> dict:
    """What `make_loaders` makes of two numbered data sets: kinds, and two passes over each loader."""
    loaders = student.make_loaders(numbered(train_count), numbered(test_count), *batch_size)
    seen = {
        "type": type(loaders).__name__ if not isinstance(loaders, tuple) else "tuple",
        "kinds": [isinstance(loader, DataLoader) for loader in loaders],
    }
    for name, loader in zip(("training", "test"), loaders, strict=False):
        seen[name] = attempt(lambda loader=loader: passes(loader, epochs))
    return seen


@probe("make_loaders")
def two_loaders(student, draw):
    """Twelve training and eight test images, four to a batch, each loader asked once."""
    return loaders_seen(student, 12, 8, 4, epochs=1)


# --- parameters -------------------------------------------------------------------------------------------------------


@probe("parameter_shapes")
def shapes_of_three_layers(student, draw):
    """A convolution and two linear layers."""
    return student.parameter_shapes(nn.Sequential(nn.Conv2d(3, 8, 5), nn.Linear(8, 6, bias=False), nn.Linear(6, 2)))


@probe("count_parameters")
def size_of_densenet121(student, draw):
    """DenseNet-121 as torchvision makes it, and with a classifier for ten classes."""
    return {
        "1000 classes": attempt(lambda: student.count_parameters(DENSENET121)),
        "10 classes": attempt(lambda: student.count_parameters(DENSENET121_TEN_CLASSES)),
    }


# --- classifier -------------------------------------------------------------------------------------------------------


def classifier_seen(net) -> dict:
    """What `net.classifier` is now."""
    layer = getattr(net, "classifier", None)
    return {
        "type": type(layer).__name__,
        "linear": isinstance(layer, nn.Linear),
        "weight": getattr(layer, "weight", None),
        "bias": getattr(layer, "bias", None),
    }


@probe("replace_classifier")
def new_classifier(student, draw):
    """A small DenseNet of 10 classes gets a classifier for 5."""
    net = seeded(draw, tiny_densenet, classes=10)
    before = state(net)
    returned = student.replace_classifier(net, 5)
    seen = {
        "before": before,
        "returned": type(returned).__name__,
        "same network": returned is net,
        "classifier": classifier_seen(net),
        "after": state(net),
    }
    images = torch.rand(2, 3, 32, 32)
    seen["scores"] = attempt(lambda: list(net.eval()(images).shape))
    return seen


# --- weights ----------------------------------------------------------------------------------------------------------


def train_by_hand(net: nn.Module) -> None:
    """A step of an optimizer: every weight changes in place."""
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(net.parameters(), lr=0.5).step()


@probe("snapshot_weights")
def snapshot_before_a_step(student, draw):
    """A snapshot of two weights as it is made, and the same snapshot after a training step."""
    net = seeded(draw, SmallNet)
    snapshot = student.snapshot_weights(net, ["features.conv0.weight", "classifier.bias"])
    made = copied(snapshot)
    train_by_hand(net)
    return {"made": made, "after training": snapshot}


@probe("weight_difference")
def difference_of_two_snapshots(student, draw):
    """Two weights, before and after."""
    before = {"features.conv0.weight": torch.rand(4, 3, 3, 3), "classifier.bias": torch.tensor([1.0, 2.0, 3.0])}
    after = {"features.conv0.weight": torch.rand(4, 3, 3, 3), "classifier.bias": torch.tensor([0.5, 2.0, 4.0])}
    return student.weight_difference(before, after)


@probe("weight_grid")
def grids_of_two_layers(student, draw):
    """Sixteen kernels that read an RGB image, and four kernels that read sixteen channels."""
    colour, deeper = torch.randn(16, 3, 5, 5), torch.randn(4, 16, 3, 3)
    return {
        "colour": attempt(lambda: student.weight_grid(colour)),
        "deeper": attempt(lambda: student.weight_grid(deeper)),
    }


# --- training ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def machine_with(accelerator: str | None) -> Iterator[None]:
    """A machine with "cuda", "mps" or no accelerator, as PyTorch's own questions see it; built for all of them."""
    cuda, mps = accelerator == "cuda", accelerator == "mps"
    here = accelerator is not None

    def current(check_available: bool = False) -> torch.device | None:
        return torch.device(accelerator) if here else None if check_available else torch.device("cuda")

    answers = {
        torch.cuda: {
            "is_available": lambda: cuda,
            "_is_compiled": lambda: True,
            "device_count": lambda: int(cuda),
            "current_device": lambda: 0,
            "get_device_name": lambda device=None: "GPU",
        },
        torch.backends.cuda: {"is_built": lambda: True},
        torch.backends.mps: {"is_available": lambda: mps, "is_built": lambda: True},
        torch.mps: {"is_available": lambda: mps, "device_count": lambda: int(mps)},
        torch.accelerator: {
            "is_available": lambda: here,
            "current_accelerator": current,
            "device_count": lambda: int(here),
            "current_device_index": lambda: 0,
        },
        torch._C: {"_cuda_getDeviceCount": lambda: int(cuda), "_mps_is_available": lambda: mps},
    }
    with contextlib.ExitStack() as patches:
        for module, functions in answers.items():
            for name, function in functions.items():
                patches.enter_context(mock.patch.object(module, name, function, create=True))
        yield


@probe("pick_device")
def device_of_a_laptop(student, draw):
    """A machine without an accelerator."""
    with machine_with(None):
        device = student.pick_device()
    return {"device": device, "name": str(device)}


@probe("train_one_epoch")
def one_epoch(student, draw):
    """Eight images of four classes, four to a batch: the figures, and the weights after one epoch of plain SGD."""
    net = favouring(seeded(draw, SmallNet, classes=4), label=1)
    loader = in_order(seeded(draw, pictures, [1, 1, 0, 3, 1, 2, 2, 0]), 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    before, steps = state(net), steps_counted(optimizer)
    figures = attempt(lambda: student.train_one_epoch(net, loader, CRITERION, optimizer, CPU))
    return {"figures": figures, "before": before, "after": state(net), "steps": len(steps)}


@probe("evaluate")
def one_test_pass(student, draw):
    """Eight images of four classes, four to a batch, for a network that was just training."""
    net = favouring(seeded(draw, SmallNet, classes=4), label=2)
    net.features.norm0.running_mean += 0.3
    kept = []
    net.watch = lambda passing, scores: kept.append([passing.features.norm0.training, scores.requires_grad])
    loader = in_order(seeded(draw, pictures, [2, 2, 0, 3, 2, 1, 1, 0]), 4)
    before = state(net.train())
    figures = attempt(lambda: student.evaluate(net, loader, CRITERION, CPU))
    return {"figures": figures, "training, gradients": kept, "before": before, "after": state(net)}


class Rehearsal:
    """Runs `fit` on small data, with stand-ins for the functions of yours that it may call.

    So `fit` is looked at by itself: what `train_one_epoch` and `evaluate` return is drawn beforehand. A `fit` that calls
    neither trains and tests for real, and its figures are compared with real ones.
    """

    def __init__(self, draw, classes: int, batch_size: int, pauses: tuple[float, float] = (0.0, 0.0)):
        self.net = favouring(seeded(draw, SmallNet, classes=classes), label=0)
        self.batch_size, self.pauses, self.start = batch_size, pauses, 0.0
        train_labels = [label % classes for label in range(2 * batch_size)] + [0]
        test_labels = [0] * batch_size + [classes - 1]
        self.train_pictures = seeded(draw, pictures, train_labels)
        self.test_pictures = seeded(draw, pictures, test_labels)
        self.training_figures = [
            (2.2 - 0.4 * epoch + draw.random() / 10, 0.2 + 0.1 * epoch + draw.random() / 20) for epoch in range(5)
        ]
        self.test_figures = [
            (1.0 + 0.4 * epoch + draw.random() / 10, 0.9 - 0.1 * epoch + draw.random() / 20) for epoch in range(5)
        ]

    def run(self, student, *epochs: int, replace=("train_one_epoch", "evaluate"), device=CPU) -> dict:
        """What one call of `fit` returned, printed, called and left behind."""
        net = copy.deepcopy(self.net).to(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
        seen = {"train_one_epoch": [], "evaluate": [], "passes": []}
        stand_ins = {
            "train_one_epoch": self._training(seen["train_one_epoch"], optimizer),
            "evaluate": self._testing(seen["evaluate"]),
        }
        with student.replaced(**{name: stand_ins[name] for name in replace}), printed() as text:
            loaders = [
                self._loader(self.train_pictures, self._on_pass("training", self.pauses[0], seen["passes"], text)),
                self._loader(self.test_pictures, self._on_pass("test", self.pauses[1], seen["passes"], text)),
            ]
            self.start = time.perf_counter()
            history = attempt(lambda: student.fit(net, *loaders, CRITERION, optimizer, device, *epochs))
            elapsed = time.perf_counter() - self.start
        return seen | {
            "history": plain_history(history),
            "lines": text.lines,
            "elapsed": timing(elapsed),
            "weights": state(net),
            "settings": settings(optimizer),
            "parameters with momentum": len(optimizer.state),
        }

    def _loader(self, data: Pictures, on_pass) -> DataLoader:
        return in_order(Pictures(data.images, data.labels, on_pass), self.batch_size)

    def _on_pass(self, name: str, pause: float, passes: list, text):
        def on_pass() -> None:
            one = {"data": name, "lines": text.lines}
            passes.append(one)
            if pause:
                began = time.perf_counter()
                time.sleep(pause)
                one |= {"began": timing(began - self.start), "ended": timing(time.perf_counter() - self.start)}

        return on_pass

    def _training(self, calls: list[dict], its_optimizer: torch.optim.Optimizer):
        def train_one_epoch(net, loader, criterion, optimizer, device, *rest, **more):
            net.train()
            figures = self.training_figures[len(calls) % len(self.training_figures)]
            call = _call(net, loader, criterion, device)
            calls.append(call | {"optimizer given": optimizer is its_optimizer, "settings": settings(optimizer)})
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.add_(0.03)
            return figures

        return train_one_epoch

    def _testing(self, calls: list[dict]):
        def evaluate(net, loader, criterion, device, *rest, **more):
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
    }


def plain_history(history):
    """The five lists of a history, its seconds marked as wall times; what is no dict as it came."""
    if not isinstance(history, dict):
        return history
    plain = {name: history[name] for name in (*FIGURES, "seconds") if name in history}
    if isinstance(plain.get("seconds"), list):
        plain["seconds"] = [timing(value) if isinstance(value, float) else value for value in plain["seconds"]]
    return plain


def with_and_without_stand_ins(rehearsal: Rehearsal, student, *epochs: int) -> dict:
    """A run with both stand-ins, with one of them, and with none.

    A function that `fit` does not call does its work for real, so its figures are to be compared with the run in which
    it was not replaced.
    """
    return {
        "both": rehearsal.run(student, *epochs),
        "train_one_epoch": rehearsal.run(student, *epochs, replace=("train_one_epoch",)),
        "evaluate": rehearsal.run(student, *epochs, replace=("evaluate",)),
        "neither": rehearsal.run(student, *epochs, replace=()),
    }


@probe("fit")
def two_epochs(student, draw):
    """Two epochs, in which `train_one_epoch` and `evaluate` return figures drawn beforehand."""
    return with_and_without_stand_ins(Rehearsal(draw, classes=4, batch_size=4), student, 2)


# --- plots ------------------------------------------------------------------------------------------------------------


def figure_seen(make) -> dict:
    """The figure that `make()` returns, as plain data: its axes, their curves, labels, legends and places."""
    plt.close("all")
    try:
        figure = make()
        if not isinstance(figure, plt.Figure):
            return {"figure": type(figure).__name__, "axes": []}
        return {
            "figure": "Figure",
            "axes": [axes_seen(axes) for axes in figure.axes],
            "xlabel of all": figure.get_supxlabel(),
            "ylabel of all": figure.get_supylabel(),
        }
    finally:
        plt.close("all")


def axes_seen(axes) -> dict:
    """The curves (lines or dots) of one pair of axes, and what is written beside them."""
    curves = [
        {"x": _numbers(line.get_xdata(orig=False)), "y": _numbers(line.get_ydata(orig=False)), "colour": _colour(line)}
        for line in axes.get_lines()
    ]
    for dots in axes.collections:
        places = np.ma.filled(dots.get_offsets(), np.nan)
        if len(places) > 1:
            curves.append({"x": _numbers(places[:, 0]), "y": _numbers(places[:, 1]), "colour": _colour(dots)})
    legend = axes.get_legend()
    entries = [] if legend is None else zip(legend.get_texts(), legend.legend_handles, strict=False)
    return {
        "curves": curves,
        "title": axes.get_title(),
        "xlabel": axes.get_xlabel(),
        "ylabel": axes.get_ylabel(),
        "legend": [{"text": text.get_text(), "colour": _colour(handle)} for text, handle in entries],
        "place": [float(edge) for edge in axes.get_position().bounds],
        "shares x": [other is not axes and axes.get_shared_x_axes().joined(axes, other) for other in axes.figure.axes],
    }


def _numbers(values) -> list[float]:
    return [float(value) for value in np.asarray(values, dtype=float).ravel()[:100]]


def _colour(artist) -> list[float] | None:
    """Red, green, blue and opacity of a line, of markers without a line, or of dots; None when there is no telling."""
    try:
        if hasattr(artist, "get_color"):
            dots_only = artist.get_linestyle() in ("None", "none", "", " ")
            colour = artist.get_markerfacecolor() if dots_only else artist.get_color()
        else:
            colour = artist.get_facecolor()
            colour = colour[0] if np.ndim(colour) == 2 else colour
        return [float(part) for part in to_rgba(colour)]
    except (AttributeError, ValueError, IndexError, TypeError):
        return None


@probe("plot_history")
def curves_of_four_epochs(student, draw):
    """The history of four epochs."""
    history = {
        "train_loss": [1.9, 1.4, 1.1, 0.8],
        "train_accuracy": [0.31, 0.48, 0.62, 0.71],
        "test_loss": [1.7, 1.5, 1.3, 1.35],
        "test_accuracy": [0.36, 0.45, 0.55, 0.53],
        "seconds": [4.2, 4.0, 4.1, 4.0],
    }
    return figure_seen(lambda: student.plot_history(history))
