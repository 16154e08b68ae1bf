"""What a training run looks like on paper: a section of the student's feedback page, and one page for the class."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.grading.report import number, template
from autograder.sandboxed.training import GIB, Preset, Recipe, start_network
from autograder.training.claim_file import Weights
from autograder.training.judge import Judgement, speed
from autograder.training.run import Log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"

DEVICES = {"cpu": "a CPU", "cuda": "a GPU", "mps": "a Mac's GPU"}
QUANTITIES = {"loss": "loss, nats per image", "accuracy": "accuracy, fraction of images"}
RED, GREEN, GREY = "#d62728", "#2ca02c", "#7f7f7f"


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in a page; `alt` says in words what it shows."""

    alt: str
    kind: str
    data: str


def section(
    recipe: Recipe, preset: Preset, seed: int, log: Log, judgement: Judgement, weights: Weights, device: str, bonus: float
) -> str:
    """The section on a run in the student's feedback page, an HTML fragment."""
    figures = [curves(recipe, preset, log, judgement), kernels(recipe, seed, weights), cost(preset, log)]
    intro = (
        f"Your functions trained the real network: {preset.train_images:,} images of {preset.image_size} × "
        f"{preset.image_size} pixels, {preset.epochs} epochs, on {DEVICES[device]}, {speed(log, preset):,.0f} images a second. "
        "What counts is measured by the grader, from the weights that came back."
        if log.epochs
        else f"Your functions were to train the real network ({preset.name}), and no epoch was finished."
    )
    return template("section.html", TEMPLATES).render(
        intro=intro,
        findings=judgement.findings,
        remarks=judgement.remarks,
        figures=[figure for figure in figures if figure],
        points=preset.points,
        bonus=bonus,
    )


def class_page(
    module: str, preset: Preset, rows: Sequence[Mapping[str, Any]], runs: Sequence[tuple[Log, Judgement]]
) -> str:
    """The class: a table and one plot."""
    points = f", {number(preset.points)} bonus points where all holds" if preset.points else ""
    intro = (
        f"Preset {preset.name}: {preset.train_images:,} images of {preset.image_size} pixels, {preset.epochs} epochs{points}."
    )
    return template("class.html", TEMPLATES).render(module=module, intro=intro, rows=rows, figure=_class_curves(preset, runs))


# --- figures ----------------------------------------------------------------------------------------------------------


def curves(recipe: Recipe, preset: Preset, log: Log, judgement: Judgement) -> Picture | None:
    """Loss and accuracy by epoch, the lecture's beside them."""
    if not log.epochs:
        return None
    figure, axes = _figure(2)
    epochs = range(1, len(log.epochs) + 1)
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        for part, style, color in (("train", "o-", RED), ("test", "s--", GREEN)):
            name = f"{part}_{quantity}"
            if name in recipe.lecture:
                theirs = recipe.lecture[name]
                axis.plot(range(1, len(theirs) + 1), theirs, style[1:], color=GREY, label=f"lecture, {part}")
            axis.plot(epochs, [epoch[name] for epoch in log.epochs], style, color=color, label=f"your run, {part}")
        axis.set_ylim(bottom=0)
        _against_the_epoch(axis, QUANTITIES[quantity])
    if judgement.accuracy:
        numbers, values = zip(*sorted(judgement.accuracy.items()), strict=True)
        axes[1].plot(numbers, values, "k*", markersize=10, label="measured on images held back")
    if preset.floor:
        axes[1].axhline(preset.floor, color="black", linewidth=1, linestyle=":", label=f"least: {preset.floor:.0%}")
    for axis in axes:
        axis.legend(fontsize=8)
    beside = ", beside the lecture's" if recipe.lecture else ""
    return _picture(figure, f"Loss and accuracy of your run by epoch{beside}", "svg+xml")


def kernels(recipe: Recipe, seed: int, weights: Weights) -> Picture | None:
    """The first layer before, after, and their difference."""
    if recipe.watched not in weights:
        return None
    before = start_network(recipe, seed).state_dict()[recipe.watched].numpy()
    after = np.asarray(weights[recipe.watched], dtype=np.float32)
    if before.shape != after.shape or not np.isfinite(after).all():
        return None
    figure, axes = _figure(3, height=3.6)
    for axis, kernel, title in zip(axes, (before, after, before - after), ("before", "after", "before − after"), strict=True):
        axis.imshow(_grid(kernel), interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    alt = f"{recipe.watched}: before the training, after it, and the difference, each scaled on its own"
    return _picture(figure, alt, "png")


def cost(preset: Preset, log: Log) -> Picture | None:
    """Seconds an epoch, and memory over time."""
    if not log.epochs:
        return None
    figure, axes = _figure(2, height=2.8)
    axes[0].bar(range(1, len(log.seconds) + 1), log.seconds, color=GREY)
    _against_the_epoch(axes[0], "seconds, training and test")
    if log.memory:
        seconds, taken = zip(*log.memory, strict=True)
        axes[1].plot(seconds, np.array(taken) / GIB, color=RED)
        for start, _ in log.spans:
            axes[1].axvline(start, color=GREY, linewidth=0.8, linestyle=":")
    axes[1].set(xlabel="seconds (a dotted line: an epoch begins)", ylabel="memory (GiB)")
    axes[1].set_ylim(bottom=0)
    return _picture(figure, "Seconds of each epoch, and the memory in use over time, seen from outside", "svg+xml")


def _class_curves(preset: Preset, runs: Sequence[tuple[Log, Judgement]]) -> Picture | None:
    runs = [(log, judgement) for log, judgement in runs if log.epochs]
    if not runs:
        return None
    figure, (axis,) = _figure(1)
    looks = {True: (GREEN, "-", "all holds"), False: (RED, "--", "something does not hold")}
    for log, judgement in runs:
        color, style, label = looks[judgement.holds]
        epochs = range(1, len(log.epochs) + 1)
        axis.plot(epochs, [e["test_accuracy"] for e in log.epochs], style, color=color, alpha=0.6, label=label)
    if preset.floor:
        axis.axhline(preset.floor, color="black", linewidth=1, linestyle=":", label=f"least: {preset.floor:.0%}")
    axis.set_ylim(0, 1.03)
    _against_the_epoch(axis, "test accuracy, as reported")
    lines = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))  # one of each kind
    axis.legend(lines.values(), lines.keys())
    return _picture(figure, f"Test accuracy by epoch of {len(runs)} submissions", "svg+xml")


def _against_the_epoch(axis: Any, what: str) -> None:
    from matplotlib import ticker

    axis.set_xlabel("epoch")
    axis.set_ylabel(what)
    axis.get_xaxis().set_major_locator(ticker.MaxNLocator(integer=True))


def _figure(columns: int, height: float = 4.0) -> tuple["Figure", list[Any]]:
    from matplotlib.figure import Figure  # without pyplot: no window, nothing kept

    figure = Figure(figsize=(5.2 * columns, height), layout="constrained", facecolor="white")
    return figure, list(np.atleast_1d(figure.subplots(1, columns)))


def _picture(figure: "Figure", alt: str, kind: str) -> Picture:
    import matplotlib

    data = io.BytesIO()
    about = {"Date": None} if kind == "svg+xml" else None
    with matplotlib.rc_context({"svg.hashsalt": alt}):  # the same run gives the same bytes
        figure.savefig(data, format=kind.removesuffix("+xml"), dpi=110, metadata=about)
    return Picture(alt, kind, base64.b64encode(data.getvalue()).decode())


def _grid(weight: np.ndarray) -> np.ndarray:
    import torch
    from torchvision.utils import make_grid

    kernels = torch.from_numpy(np.array(weight, dtype=np.float32))
    if kernels.shape[1] != 3:
        kernels = kernels[0][:, None]
    grid: np.ndarray = make_grid(kernels, nrow=8, normalize=True).permute(1, 2, 0).numpy()
    return grid
