"""Checking a claim: what its weights do on images that the grader draws, and whether what is said of them fits together.

No claim is proof that its student trained. What can be found out about the weights is found out; `NOT_ESTABLISHED` says
the rest, and belongs to every report. Points for a claim are bonus points, and a claim that is refused costs nothing.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import torch
from torch.nn import functional as F

from autograder.errors import NoClaim
from autograder.sandboxed.training import Preset, Recipe, claimed_start
from autograder.training.claim_file import Claim, Weights, hash_of
from autograder.training.images import CLASSES, Images
from autograder.training.judge import (
    ACCURACY_TOLERANCE,
    CLOCK_SHARE,
    LOSS_TOLERANCE,
    MOVED,
    OWN_START,
    START_LOSS,
    Finding,
    batches,
    blank,
    is_large,
    other_network,
    predict,
    usual_likeness,
)

SAMPLE_PIXELS = 400 * 224**2  # of the test images, and again of the training images: seconds of a CPU
CONFIDENCE = 0.999  # of the intervals; a class is many claims, and nobody is to be suspected by chance
DEVIATIONS = 4.0  # standard errors within which two means are taken as equal
BY_HEART = 0.95  # of the training images known, from which on the test images must be known less well
WHOLE = 0.2  # an accuracy is that of a whole number of images, to this fraction of an image
PRINTS = 4096  # numbers drawn of each weight, by which networks are compared: enough to tell 0.2 from 0
OWN_WORD = "by its own word"

NOT_ESTABLISHED = (
    "who trained it, and on whose machine: a claim that was made by somebody else under this seed looks the same",
    "that these images alone were trained on: more images, or gentle changes of them, leave no trace that is looked for",
    "the figures of the epochs before the last, their seconds, devices and versions: these are the student's word",
    "that no step was left out or done differently: no step is replayed (a step needs both states in full precision, some "
    "100 MB, and proves one step; how far devices differ in it has not been measured)",
)


@dataclass
class Checked:
    """What was found of one claim.

    Args:
        refused: why nothing could be checked; empty when something was.
        findings: what has to hold.
        remarks: what a TA should know and what costs nothing by itself.
        shared: whose weights or seed are the same, and in which way: no points before the TA has decided.
        preset: the experiment that it is a claim of.
        measured: accuracy on the test images drawn.
    """

    name: str
    claim: Claim | None = None
    refused: str = ""
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    shared: list[tuple[str, str]] = field(default_factory=list)
    preset: Preset | None = None
    measured: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether it could be checked, and everything looked at holds."""
        return not self.refused and bool(self.findings) and all(finding.holds for finding in self.findings)

    @property
    def bonus(self) -> float:
        """Bonus points: all of the preset's, or none."""
        return self.preset.points if self.preset and self.holds and not self.shared else 0.0


@dataclass(frozen=True)
class Sample:
    """Images that the grader drew, and what the weights say of them.

    Args:
        losses: nats, by image. right: whether recognised, by image.
        whole: whether these are all images that there are.
    """

    losses: np.ndarray
    right: np.ndarray
    whole: bool

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def loss(self) -> float:
        return float(self.losses.mean())

    @property
    def error(self) -> float:
        """The standard error of the mean loss."""
        with np.errstate(invalid="ignore"):  # of infinite losses
            return float(self.losses.std(ddof=1) / math.sqrt(len(self.losses)))

    @property
    def interval(self) -> tuple[float, float]:
        """What the accuracy on all images can be."""
        return binomial_interval(int(self.right.sum()), len(self.right), CONFIDENCE)

    def __str__(self) -> str:
        low, high = self.interval
        within = "all there are" if self.whole else f"{CONFIDENCE:.1%} interval {low:.1%} to {high:.1%}"
        return f"{self.right.sum():,} of {len(self.right):,} ({self.accuracy:.1%}; {within})"


# --- one claim --------------------------------------------------------------------------------------------------------


def check_claim(
    recipe: Recipe,
    module: str,
    name: str,
    claim: Claim,
    find: Callable[[Preset], tuple[Images, Images]],
    draw: int,
    device: str = "cpu",
) -> Checked:
    """What holds of one claim.

    Args:
        name: whose it is.
        find: all training and all test images of a preset.
        draw: the seed by which the grader draws its images; not known to whoever wrote the claim.
    """
    checked = Checked(name, claim)
    try:
        preset = checked.preset = preset_of_claim(recipe, module, claim)
    except NoClaim as error:
        checked.refused = str(error)
        return checked
    if problem := other_network(recipe, claim.weights):
        again = "hand in the claim of this week's run" if "not finite" not in problem else "train anew: its loss was NaN"
        checked.refused = f"holds other weights than this module's network has: {problem}: {again}"
        return checked
    images = find(preset)
    if len(images[0]) != claim.training_images:
        checked.refused = f"is of {claim.training_images:,} of {len(images[0]):,} training images: train on all of them"
        return checked
    train, test = (_sample(recipe, preset, claim.weights, part, [draw, place], device) for place, part in enumerate(images))
    checked.measured = test.accuracy
    checked.findings = [
        _end(claim, preset),
        _text(claim),
        _figures(claim, test),
        _history(claim),
        _start(recipe, claim),
        replace(_batches(claim, preset), name="batches"),
        _gap(train, test),
        _learns(preset, test),
    ]
    checked.remarks = _remarks(claim, preset)
    return checked


def preset_of_claim(recipe: Recipe, module: str, claim: Claim) -> Preset:
    """The preset whose experiment a claim is of: as many training images of the same size.

    Raises:
        NoClaim: it is of another week, or of another experiment.
    """
    if claim.module and claim.module != module:
        raise NoClaim(f"is a claim of another week, {claim.module}: hand in that of {module}")
    if claim.batch_size < 1:
        raise NoClaim("says nothing of the batch size: train with loaders of `make_loaders`")
    for preset in recipe.presets:
        if (preset.train_images, preset.image_size) == (claim.training_images, claim.image_size):
            return preset
    there = " or ".join(f"{preset.train_images:,} images of {preset.image_size} pixels" for preset in recipe.presets)
    raise NoClaim(
        f"is of another experiment: {claim.training_images:,} training images of {claim.image_size} pixels, and this "
        f"module's have {there}. Set FULL_EXPERIMENT = True and leave the cell of the switch as it was"
    )


def _sample(
    recipe: Recipe, preset: Preset, weights: Weights, images: Images, draw: list[int], device: str
) -> Sample:
    """What the weights say of images drawn; as many as take half of the time."""
    many = min(len(images), SAMPLE_PIXELS // preset.image_size**2)
    places = np.sort(np.random.default_rng(draw).permutation(len(images))[:many])
    drawn = images.at(places)
    single = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in weights.items()}
    scores = predict(recipe, preset.image_size, blank(recipe), single, drawn, device)
    labels = torch.from_numpy(drawn.labels.astype(np.int64))
    losses = F.cross_entropy(scores, labels, reduction="none").double().nan_to_num(nan=math.inf, posinf=math.inf)
    return Sample(losses.numpy(), (scores.argmax(dim=1) == labels).numpy(), many == len(images))


def _end(claim: Claim, preset: Preset) -> Finding:
    title = "All epochs are done"
    if claim.epochs >= preset.epochs:
        return Finding("end", title, True, f"{claim.epochs} of them, {OWN_WORD}")
    return Finding(
        "end",
        title,
        False,
        f"{claim.epochs} of {preset.epochs}: run the notebook again, it goes on after the last whole epoch, and hand in then",
    )


def _text(claim: Claim) -> Finding:
    """The seal fits the text, and the last hash the weights."""
    title = "The file is as `run_experiment` wrote it"
    problems = [] if claim.sealed else ["what it says was edited after it was written"]
    own = hash_of(claim.weights)
    earlier = [number for number, said in enumerate(claim.hashes, 1) if said == own]
    if own != claim.hashes[-1]:
        which = f"those of epoch {earlier[-1]} of {claim.epochs}" if earlier else "of none of its epochs"
        problems.append(f"the weights in it are {which}, by the hashes that it says itself")
    held = "seal and hash fit; whoever can compute them can forge them"
    return Finding("file", title, not problems, "; ".join(problems) or held)


def _figures(claim: Claim, test: Sample) -> Finding:
    """The last test figures are those of the weights, as far as the sample can tell."""
    said_accuracy, said_loss = claim.figure("test_accuracy"), claim.figure("test_loss")
    problems = []
    if test.whole:
        low = high = test.accuracy
        slack = max(ACCURACY_TOLERANCE, 1.5 / len(test.right))
    else:
        (low, high), slack = test.interval, ACCURACY_TOLERANCE
    if not low - slack <= said_accuracy <= high + slack:
        problems.append(f"the last test accuracy is said to be {said_accuracy:.1%}; the grader finds {test}")
    least = LOSS_TOLERANCE * max(1.0, test.loss) + (0.0 if test.whole else DEVIATIONS * test.error)
    if not abs(said_loss - test.loss) <= least:
        problems.append(f"the last test loss is said to be {said_loss:.3f}; the grader finds {test.loss:.3f} ± {least:.3f}")
    held = f"accuracy {said_accuracy:.1%} said, {test} found; loss {said_loss:.3f} said, {test.loss:.3f} ± {least:.3f} found"
    return Finding("figures", "The last test figures are those of the weights", not problems, "; ".join(problems) or held)


def _history(claim: Claim) -> Finding:
    """Figures that no run can have, whatever its weights."""
    problems = []
    if not START_LOSS[0] < claim.figure("train_loss", 0) / math.log(CLASSES) < START_LOSS[1]:
        start = claim.figure("train_loss", 0)
        problems.append(f"the first training loss is {start:.3f}, where guessing has {math.log(CLASSES):.3f}")
    for part, images in (("train", claim.training_images), ("test", claim.test_images)):
        problems += _impossible(part, claim.history[f"{part}_loss"], claim.history[f"{part}_accuracy"], images)
    for number, (said, clock) in enumerate(zip(claim.history["seconds"], claim.clock, strict=True), 1):
        if not CLOCK_SHARE[0] * clock - 1 <= said <= CLOCK_SHARE[1] * clock + 1 or said <= 0:
            problems.append(f"epoch {number} took {said:.1f} s by the history, and {clock:.1f} s by the clock beside it")
    held = "no figure in it contradicts another"
    return Finding("history", "The history is one that a run can have", not problems, "; ".join(problems[:3]) or held)


def _impossible(part: str, losses: Sequence[float], accuracies: Sequence[float], images: int) -> list[str]:
    """Who is wrong about an image gives its class ½ at most, and so loses ln 2 at least; and images are counted whole."""
    problems = []
    for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1):
        where = f"epoch {number}: {part}_accuracy {accuracy:.4f}"
        if not 0 <= accuracy <= 1:
            problems.append(f"{where} is no fraction")
        elif loss < (1 - accuracy) * math.log(2) - 1e-4:
            problems.append(f"{where} with {part}_loss {loss:.4f} cannot be: those not recognised alone lose more")
        elif abs(accuracy * images - round(accuracy * images)) > WHOLE:
            problems.append(f"{where} is that of no whole number of {images:,} images")
    if len(losses) > 1 and len(set(losses)) < len(losses):
        problems.append(f"two epochs have the same {part}_loss to the last digit")
    return problems


def _start(recipe: Recipe, claim: Claim) -> Finding:
    """The weights come from the start that the seed gives, and have moved."""
    title = "The weights are trained from the start that its seed gives"
    start = {name: tensor.numpy() for name, tensor in claimed_start(recipe, claim.seed).state_dict().items()}
    alike = usual_likeness(start, claim.weights)
    if not alike >= OWN_START:
        return Finding(
            "start",
            title,
            False,
            f"they do not descend from seed {claim.seed} (correlation {alike:.2f}): are they another's, or was the network "
            "built before `torch.manual_seed(SEED)`? Then restart the kernel, move the folder away, and run all cells",
        )
    if not 1 - alike > MOVED:
        return Finding("start", title, False, f"they are where seed {claim.seed} puts them: nothing was trained")
    told = f"correlation with the start of seed {claim.seed}: {alike:.2f} (median of its large weights; a stranger's is 0.00)"
    return Finding("start", title, True, told)


def _batches(claim: Claim, preset: Preset) -> Finding:
    return batches(claim.weights, replace(preset, batch_size=claim.batch_size, epochs=claim.epochs))


def _gap(train: Sample, test: Sample) -> Finding:
    """Images that were trained on are known better; test images that are known as well were trained on too."""
    title = "The test images were not learnt by heart"
    said = f"training images: {train}; test images: {test}"
    if test.interval[0] > train.interval[1]:
        return Finding("gap", title, False, f"they are known better than the training images, as if trained on. {said}")
    noise = DEVIATIONS * math.hypot(train.error, test.error)
    if train.accuracy >= BY_HEART and not test.loss - train.loss > noise:
        return Finding(
            "gap",
            title,
            False,
            f"they are known as well as the training images, nearly all of which are known by heart. {said}; "
            f"losses {train.loss:.3f} and {test.loss:.3f}",
        )
    return Finding("gap", title, True, said)


def _learns(preset: Preset, test: Sample) -> Finding:
    if not preset.floor:
        return Finding("accuracy", "Learns", True, f"{test}; too little was trained for a floor")
    enough = test.interval[1] >= preset.floor  # nobody loses by which images were drawn
    return Finding("accuracy", "Learns", enough, f"{test}; {preset.floor:.0%} is the least")


def _remarks(claim: Claim, preset: Preset) -> list[str]:
    """What its own word says, where that is another experiment than the preset's."""
    remarks = []
    if claim.learning_rate != preset.learning_rate:
        remarks.append(f"learning rate {claim.learning_rate:g} {OWN_WORD}, where the preset has {preset.learning_rate:g}")
    if claim.test_images > 2 * preset.test_images or 2 * claim.test_images < preset.test_images:
        remarks.append(f"tested on {claim.test_images:,} images {OWN_WORD}, where the preset has {preset.test_images:,}")
    if not claim.module:
        remarks.append("it does not say which module it is of: the notebook ran without its folder")
    return remarks


# --- several claims ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Print:
    """By what a claim is told from another's: its seed, its hashes, and numbers drawn of its weights."""

    seed: int
    hashes: frozenset[str]
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)


def print_of(claim: Claim) -> Print:
    """A claim's print."""
    large = {name: array for name, array in claim.weights.items() if is_large(array)}
    return Print(claim.seed, frozenset(claim.hashes) | {hash_of(claim.weights)}, {n: _some(n, a) for n, a in large.items()})


def _some(name: str, array: np.ndarray) -> np.ndarray:
    """Some thousand numbers of a weight, the same places in every claim, as a matrix: `likeness` compares those."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    places = np.random.default_rng(seed).integers(array.size, size=PRINTS)
    return array.reshape(-1)[places].astype(np.float32)[None, :]


def same_weights(prints: Mapping[str, Print]) -> list[tuple[str, str, str]]:
    """Pairs of claims that are not independent of each other, and in which way."""
    found = []
    for (one, first), (other, second) in combinations(prints.items(), 2):
        alike = usual_likeness(first.numbers, second.numbers)
        if first.hashes & second.hashes:
            found.append((one, other, "have the same weights after an epoch, to the last bit"))
        elif alike >= OWN_START:
            found.append((one, other, f"have weights of one origin (correlation {alike:.2f}; strangers' have 0.00)"))
        elif first.seed == second.seed:
            found.append((one, other, f"have the same seed, {first.seed}, which is drawn from two thousand million"))
    return found


# --- the interval -----------------------------------------------------------------------------------------------------


@functools.cache
def binomial_interval(right: int, of: int, confidence: float) -> tuple[float, float]:
    """The exact (Clopper–Pearson) interval of a probability of which `right` out of `of` draws came true.

    Exact for draws with replacement; of a finite set drawn without, it is wider than need be.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if right == 0 else _root(lambda p: at_least(right, of, p) - tail)
    high = 1.0 if right == of else _root(lambda p: tail - (1 - at_least(right + 1, of, p)))
    return low, high


def at_least(least: int, of: int, p: float) -> float:
    """The probability that of `of` draws, each true with probability `p`, `least` or more come true."""
    if least <= 0 or p >= 1:
        return 1.0
    if p <= 0 or least > of:
        return 0.0
    if least > of * p:
        return _tail(least, of, p)
    return 1 - _tail(of - least + 1, of, 1 - p)


def _tail(least: int, of: int, p: float) -> float:
    """As `at_least`, for a `least` above the mean: each term is smaller than the one before it."""
    log = math.lgamma(of + 1) - math.lgamma(least + 1) - math.lgamma(of - least + 1)
    term = math.exp(log + least * math.log(p) + (of - least) * math.log1p(-p))
    total = term
    for k in range(least, of):
        term *= (of - k) / (k + 1) * p / (1 - p)
        total += term
        if term < 1e-18 * total:
            break
    return total


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of a probability is 0, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
