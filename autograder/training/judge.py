"""Judging a training run: from the weights that came back, by the grader's own evaluation.

Nothing that the submission reported is believed. Its history is compared with what the grader measures itself, on images
that it was given and on images that it never was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from autograder.sandboxed.training import GIB, Preset, Recipe, start_network
from autograder.training.claim_file import Weights
from autograder.training.images import CLASSES, Images, Split
from autograder.training.run import Log

EVALUATION_IMAGES = 250  # at once
GROWTH_BYTES = 64 * 2**20  # an epoch: a right loop's is some MiB, 120 are a list that keeps 10,000 images of 32 pixels
GROWTH_PARTS = ((1 / 8, 5 / 8), (3 / 8, 7 / 8))  # of an epoch: where memory has to grow for it to go on growing
ACCURACY_TOLERANCE = 0.005  # between the submission's evaluation of its network and ours: images that are nearly ties
LOSS_TOLERANCE = 0.02
CLOCK_SHARE = (0.5, 1.02)  # what the reported seconds may be, of an epoch's measured wall time and of the most it can be
START_LOSS = (0.3, 1.5)  # of ln(classes), what the first epoch's mean training loss may be
OWN_START = 0.2  # correlation with the seed's start above which weights are descended from it; strangers' have 0.00
SLOW = 0.6  # of the reference's images a second, below which a remark is due
MOVED = 1e-6  # 1 − correlation, above which weights have moved
RUNNING = ("running_mean", "running_var")  # what batch norm learns beside its parameters
TELLING = 1000  # scalars in a weight from which on it tells one start from another


@dataclass(frozen=True)
class Finding:
    """One thing that has to hold. `said` is what was found, for whoever reads the report."""

    name: str
    title: str
    holds: bool
    said: str


@dataclass
class Judgement:
    """What was found, and the figures behind it.

    Args:
        accuracy: on the images held back, by epoch number, for the last epochs.
        still: the names of what the last epoch did not move, see `unmoved`.
        remarks: what costs nothing and is worth a look.
    """

    findings: list[Finding] = field(default_factory=list)
    accuracy: dict[int, float] = field(default_factory=dict)
    still: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all of it holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def mean_accuracy(self) -> float:
        """The mean over the last epochs; NaN without one."""
        return float(np.mean(list(self.accuracy.values()))) if self.accuracy else math.nan


def judge(
    recipe: Recipe,
    preset: Preset,
    seed: int,
    log: Log,
    weights: Mapping[int, Weights],
    images: Split,
    device: str,
    reference_speed: float = 0.0,
) -> Judgement:
    """What holds of a run that has ended.

    Args:
        weights: of the last epochs, by number.
        reference_speed: images a second of the reference on the same device in the same run; 0: not measured.
    """
    judgement = Judgement()
    add = judgement.findings.append
    add(_end(log, preset))
    add(_memory(log, preset))
    if problem := _not_the_network(recipe, weights):
        if log.complete:
            add(Finding("weights", "The weights are this network's", False, problem))
        return judgement
    network = blank(recipe)
    judgement.accuracy = {int(number): accuracy for number, accuracy in log.accuracy.items()} or {
        number: evaluate(recipe, preset, network, each, images.held_back, device)[1] for number, each in weights.items()
    }
    if not log.complete:
        return judgement
    last = weights[max(weights)]
    add(_accuracy(judgement.mean_accuracy, preset, len(images.held_back), len(judgement.accuracy)))
    add(_figures(log, evaluate(recipe, preset, network, last, images.test, device)))
    judgement.still = log.still or unmoved(network, weights)
    add(_weights(recipe, seed, last, judgement.still))
    add(batches(last, preset))
    judgement.remarks += _speed(log, preset, reference_speed)
    return judgement


def blank(recipe: Recipe) -> torch.nn.Module:
    """The network as a run ends with it; its weights are to be replaced."""
    return recipe.network(CLASSES)


def evaluate(
    recipe: Recipe, preset: Preset, network: torch.nn.Module, weights: Weights, images: Images, device: str
) -> tuple[float, float]:
    """Loss (nats per image) and accuracy (a fraction) of `weights` on `images`, by the contract and nobody's code."""
    scores = predict(recipe, preset.image_size, network, weights, images, device)
    labels = torch.from_numpy(images.labels.astype(np.int64))
    return float(F.cross_entropy(scores, labels)), float((scores.argmax(dim=1) == labels).float().mean())


def predict(
    recipe: Recipe, image_size: int, network: torch.nn.Module, weights: Weights, images: Images, device: str
) -> torch.Tensor:
    """The scores (N, classes) that `weights` give `images`, in evaluation mode, on the CPU."""
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    network.to(device).eval()
    flushed = torch.set_flush_denormal(True)  # weights made of these would take a hundred times as long
    step = max(1, EVALUATION_IMAGES * 32**2 // image_size**2)
    with torch.no_grad():
        pixels = torch.from_numpy(images.images).permute(0, 3, 1, 2)
        parts = [pixels[start : start + step] for start in range(0, len(pixels), step)]
        scores = [network(recipe.prepare(part, image_size).to(device)).float().cpu() for part in parts]
    if flushed:
        torch.set_flush_denormal(False)
    network.cpu()
    return torch.cat(scores)


def _not_the_network(recipe: Recipe, weights: Mapping[int, Weights]) -> str:
    """Why the weights cannot be evaluated; empty when they can, or when there are none."""
    for each in weights.values():
        if problem := other_network(recipe, each):
            return problem
    return "" if weights else "no weights came back"


def other_network(recipe: Recipe, weights: Weights) -> str:
    """What tells `weights` from the module's network; empty when they are its own and finite."""
    expected, found = _shapes(blank(recipe).state_dict()), _shapes(weights)
    if missing := [name for name in expected if name not in found]:
        return f"{missing[0]} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
    if further := [name for name in found if name not in expected]:
        return f"{further[0][:100]} is none of the network's"
    if other := [name for name in expected if expected[name] != found[name]]:
        return f"{other[0]} has the shape {found[other[0]]}, the network's has {expected[other[0]]}"
    if broken := [name for name, array in weights.items() if not np.isfinite(array).all()]:
        return f"{broken[0]} holds numbers that are not finite (NaN or infinity)"
    return ""


def _shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    found = {}
    for name, weight in weights.items():
        found[name] = tuple(weight.shape)
    return found


# --- what has to hold -------------------------------------------------------------------------------------------------


def _end(log: Log, preset: Preset) -> Finding:
    title = "Trains to the end, within its time"
    if log.complete:
        return Finding("end", title, True, f"{preset.epochs} epochs in {sum(log.seconds):,.0f} s")
    done = f"{len(log.epochs)} of {preset.epochs} epochs: "
    return Finding("end", title, False, done + log.why)


def _memory(log: Log, preset: Preset) -> Finding:
    title = "Needs no more memory the more batches it has seen"
    if log.out_of_memory:
        return Finding(
            "memory",
            title,
            False,
            f"the memory ran out ({preset.memory_gib:g} GiB were given): what is kept from one batch to the next?",
        )
    said = f"at most {peak(log) / GIB:.2f} GiB"
    for samples, where in ((log.memory, ""), (log.device_memory, " on the GPU")):
        grown = growth(log, samples)
        if grown > GROWTH_BYTES:
            more = f"{grown / 2**20:,.0f} MiB more{where} at the end of an epoch than at its start"
            return Finding("memory", title, False, f"{said}, and {more}")
    return Finding("memory", title, True, said)


def peak(log: Log) -> float:
    """The most bytes that were seen in use."""
    return max((amount for _, amount in log.memory), default=0.0)


def growth(log: Log, samples: list[list[float]]) -> float:
    """Bytes that memory (`samples`) grows by from the first batch of an epoch to its last, if it goes on growing: by the
    usual slope before the middle or by the one behind it, whichever is less.

    So what is taken once, as by an optimizer at its first step, is no growth, however few batches the epoch has. In the
    process's first epoch alone, since what was given back there is taken again later without being seen; without its
    beginning, in which libraries settle in, and its end, when it tests.
    """
    if not log.spans:
        return 0.0
    start, end = log.spans[0]
    times, amounts = np.array(samples, dtype=np.float64).reshape(-1, 2).T
    shares = (times - start) / (end - start or 1)
    least = min(usual_slope(shares, amounts, *part) for part in GROWTH_PARTS)
    return max(0.0, least)


def usual_slope(x: np.ndarray, y: np.ndarray, least: float, most: float) -> float:
    """The median of the slopes between any two points whose `x` is between `least` and `most` (Theil–Sen, see
    https://doi.org/10.1080/01621459.1968.10480934); 0 with fewer than three. A minority of odd points does not move it, nor
    what goes up and down within each batch."""
    inside = (least <= x) & (x <= most)
    x, y = x[inside], y[inside]
    if len(x) < 3:
        return 0.0
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] != x[first]
    return float(np.median((y[second] - y[first])[apart] / (x[second] - x[first])[apart])) if apart.any() else 0.0


def _accuracy(mean: float, preset: Preset, images: int, epochs: int) -> Finding:
    said = f"{mean:.1%} of {images:,} images that it was never given (mean of {epochs} epochs)"
    if not preset.floor:
        return Finding("accuracy", "Learns", True, f"{said}; too little was trained for a floor")
    return Finding("accuracy", "Learns", mean >= preset.floor, f"{said}; {preset.floor:.0%} is the least")


def _figures(log: Log, measured: tuple[float, float]) -> Finding:
    """The reported history is that of this run."""
    loss, accuracy = measured
    said, first = log.epochs[-1], log.epochs[0]["train_loss"] / math.log(CLASSES)
    problems = []
    if not abs(said["test_accuracy"] - accuracy) <= ACCURACY_TOLERANCE:  # NaN is near nothing
        problems.append(f"the last test accuracy is said to be {said['test_accuracy']:.4f}, and is {accuracy:.4f}")
    if not abs(said["test_loss"] - loss) <= LOSS_TOLERANCE * max(1.0, loss):
        problems.append(f"the last test loss is said to be {said['test_loss']:.4f}, and is {loss:.4f}")
    if not START_LOSS[0] < first < START_LOSS[1]:
        start = log.epochs[0]["train_loss"]
        problems.append(f"the first training loss is {start:.3f}, where guessing has {math.log(CLASSES):.3f}")
    for number, (epoch, wall, most) in enumerate(zip(log.epochs, log.seconds, log.most, strict=True), 1):
        if not CLOCK_SHARE[0] * wall - 1 <= epoch["seconds"] <= CLOCK_SHARE[1] * most + 1:
            problems.append(f"epoch {number} is said to have taken {epoch['seconds']:.1f} s, and took {wall:.1f} s")
    held = f"the last test figures are those of the weights: {loss:.3f}, {accuracy:.1%}"
    return Finding("figures", "The history is that of this run", not problems, "; ".join(problems[:3]) or held)


def _weights(recipe: Recipe, seed: int, weights: Weights, still: list[str]) -> Finding:
    """They come from the start that the seed gives, and have moved: weights that were brought along do neither. And each
    has moved to the end."""
    title = "The weights are trained from this run's own start"
    start = {name: tensor.numpy() for name, tensor in start_network(recipe, seed).state_dict().items()}
    alike = usual_likeness(start, weights)
    if not alike >= OWN_START:
        return Finding("weights", title, False, f"they are not descended from it (correlation {alike:.2f})")
    if not 1 - alike > MOVED:
        return Finding("weights", title, False, "they are where they were before: another network was trained, or a copy")
    if still:
        more = f", and {len(still) - 1} more" if len(still) > 1 else ""
        why = "has the optimizer other weights, or does the loss not reach these?"
        why = "has batch norm's momentum been set to 0, or its mode?" if still[0].endswith(RUNNING) else why
        return Finding("weights", title, False, f"the last epoch did not change {still[0]}{more}: {why}")
    return Finding("weights", title, True, f"correlation with the start {alike:.2f}")


def unmoved(network: torch.nn.Module, weights: Mapping[int, Weights]) -> list[str]:
    """The parameters of `network` and its running statistics that are to the last bit what they were an epoch before: what
    trains moves in each step. Empty without two epochs."""
    if len(weights) < 2:
        return []
    *_, before, last = (weights[number] for number in sorted(weights))
    names = [name for name, _ in network.named_parameters()]
    names += [name for name in last if name.endswith(RUNNING)]
    return [name for name in names if np.array_equal(before[name], last[name])]


def usual_likeness(one: Weights, other: Weights) -> float:
    """The median, over the large weights that both have, of the correlation of each with its other; 0 without any.

    Not the correlation of all together: batch norm undoes the scale of a weight, so that a single one, blown up, could
    outweigh all others.
    """
    names = [name for name, weight in one.items() if is_large(weight) and name in other and other[name].shape == weight.shape]
    return float(np.median([correlation(one[name], other[name]) for name in names])) if names else 0.0


def is_large(weight: np.ndarray) -> bool:
    """Whether it has enough numbers to tell one start from another."""
    return weight.size >= TELLING and weight.ndim > 1


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of the numbers of two arrays of one shape, without taking off a mean: 1 for multiples; 0 where one is all zeros."""
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


def batches(weights: Weights, preset: Preset) -> Finding:
    """That batch norm has counted as many batches as the preset has."""
    title = "Every batch of every epoch trains"
    counted = {int(array) for name, array in weights.items() if name.endswith("num_batches_tracked")}
    due = preset.batches * preset.epochs
    if not counted or counted == {due}:
        return Finding("batches", title, True, f"batch norm counted all {due:,} batches" if counted else "")
    least, most = min(counted), max(counted)
    many = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    look = "Does the loop end early, or the network leave training mode?"
    look = look if least < due else "Is the test run in training mode?"
    return Finding("batches", title, False, f"batch norm counted {many} batches in training mode, {due:,} were due. {look}")


def speed(log: Log, preset: Preset) -> float:
    """Images a second, training and test together: the median over the epochs."""
    return preset.given / float(np.median(log.seconds)) if log.seconds else 0.0


def _speed(log: Log, preset: Preset, reference: float) -> list[str]:
    own = speed(log, preset)
    if not reference or own >= SLOW * reference:
        return []
    return [
        f"{own:,.0f} images a second, where the reference's loop has {reference:,.0f} here. Look for what is done in every "
        "step and need not be: `.item()` or `print`, which wait for the device, work on the CPU, lists that are joined anew."
    ]
