"""The lecture's training loop, the reference solution's, and what could make them faster, side by side on one machine.

    python benchmarks/training.py --data data                        # where cifar-10-batches-py is, or an .npz of it
    python benchmarks/training.py --synthetic --device cuda          # random images: the work is the same
    python benchmarks/training.py --data data --output training.md   # the table, and training.json beside it

It needs torch, torchvision and numpy alone, so this one file can be copied to a machine with a GPU. Every way trains
DenseNet-121 from the same weights on the same batches in the same order. Right beside each turn of a way is one of the
lecture's loop, and what is told are the ratios of such neighbours. Where `--minutes` would not suffice for all batches
and rounds that were asked for, it measures fewer.
"""

import argparse
import contextlib
import copy
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import v2

SEED = 40
LEARNING_RATE = 1e-4  # the lecture's
LOSS_SCALE = 2.0**10  # GradScaler's own start, 2**16, overflows at first, and the first steps would be left out
SAME, ROUNDING, SHORT = 1e-3, 1e-2, 5e-2  # how far losses may be off: same sums; sums in another order; short numbers
HELPS = 1.02  # an option with at least this ratio, and more than chance makes, is one of those put together
ALONE = 0.85  # of the time: for each option alone; the rest is for all together
COMPILING, COMPILING_ON_CPU = 0.4, 0.1  # of the time: for compiling, at most; a CPU is slow at it
FEWEST_ROUNDS, FEWEST_BATCHES = 5, 1  # what is kept, where it can be, when time is short
TRAINED_FOR_EACH_TESTED = 3  # batches
MIB = 2**20

Batches = DataLoader[Any]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """A way to do the lecture's work: its loop with some options. `tolerance` bounds how far the losses may be off."""

    name: str
    tolerance: float = SAME
    reference: bool = False  # the reference solution's functions, as they are
    waits: bool = True  # for the loss in every batch, by `.item()`
    channels_last: bool = False
    short: torch.dtype | None = None  # of automatic mixed precision
    pinned: bool = False
    resized_on_device: bool = False
    workers: int = 0
    fused: bool = False
    compiled: bool = False


def ways(device: torch.device) -> Iterator[tuple[Way, str]]:
    """Each option alone over the lecture's loop, which comes first; and why it is of no use on `device`, else ""."""
    count = max(1, min(8, cores() - 1 if cores() > 2 else cores()))
    no_copy = "" if device.type == "cuda" else f"nothing is copied from pinned memory to the device {device.type}"
    scaled = "" if device.type != "cpu" else "on the CPU, autocast is made for bfloat16"
    yield Way("the lecture's loop"), ""
    yield Way("the same once more (what chance does)"), ""
    yield Way("no `.item()` in a batch: the reference solution", reference=True, waits=False), ""
    yield Way("channels-last memory format", ROUNDING, channels_last=True), ""
    yield Way("mixed precision, bfloat16", SHORT, short=torch.bfloat16), ""
    yield Way("mixed precision, float16 with GradScaler", SHORT, short=torch.float16), scaled
    yield Way("pinned memory, copies without waiting", pinned=True), no_copy
    yield Way("bytes, resized on the device", ROUNDING, resized_on_device=True), ""
    yield Way(f"{count} worker process{'es' * (count > 1)} in the loader", workers=count), ""
    yield Way("fused Adam", ROUNDING, fused=True), ""
    yield Way("torch.compile", ROUNDING, compiled=True), ""


def together(helpful: list[Way], device: torch.device) -> Way:
    """The loop that waits in no batch, with the options of all these ways. Copies that do not wait help it alone: where
    `.item()` waits anyway, they show nothing."""
    pinned = device.type == "cuda"
    names, best = ["no `.item()`"] + ["pinned memory"] * pinned, dict[str, Any]()
    for way in helpful:  # from the best down, so that of two precisions the better one stays
        for option in ("channels_last", "short", "resized_on_device", "workers", "fused", "compiled"):
            if getattr(way, option) and option not in best:
                best[option] = getattr(way, option)
                names.append(way.name)
    tolerance = max([SAME, *(way.tolerance for way in helpful)])
    return Way("together: " + ", ".join(names), tolerance, waits=False, pinned=pinned, **best)


# --- the work ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """Training and test images (N, 32, 32, 3), their labels, and in words where they are from."""

    train: Pixels
    train_labels: Pixels
    test: Pixels
    test_labels: Pixels
    origin: str

    def some(self, train: int, test: int) -> "Images":
        """So many of them, always the same, in an order that is no order."""
        first, second = (np.random.default_rng(SEED).permutation(len(part)) for part in (self.train, self.test))
        first, second = np.resize(first, train), np.resize(second, test)  # again from the start if there are too few
        return Images(
            self.train[first], self.train_labels[first], self.test[second], self.test_labels[second], self.origin
        )


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """What the lecture's loader reads: each image resized by PIL and made a float tensor."""

    def __init__(self, images: Pixels, labels: Pixels, size: int) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [transforms.Resize((size, size), transforms.InterpolationMode.BILINEAR), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class Bytes(Dataset[tuple[torch.Tensor, int]]):
    """The images as they are stored: (3, 32, 32) bytes."""

    def __init__(self, images: Pixels, labels: Pixels) -> None:
        self.images, self.labels = torch.from_numpy(images).permute(0, 3, 1, 2), labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], int(self.labels[index])


@dataclass(frozen=True)
class Setting:
    """What all ways share."""

    device: torch.device
    size: int
    batch: int


class Job:
    """One way at work: its network, always from the same weights, and its loaders."""

    def __init__(self, way: Way, setting: Setting, images: Images, net: nn.Module) -> None:
        self.way, self.setting, self.device = way, setting, setting.device
        self.start = net.state_dict()
        self.plain = copy.deepcopy(net).to(self.device)
        if way.channels_last:
            self.plain = self.plain.to(memory_format=torch.channels_last)
        self.net: Callable[..., Any] = torch.compile(self.plain) if way.compiled else self.plain
        self.train_loader = self._loader(images.train, images.train_labels)
        self.test_loader = self._loader(images.test, images.test_labels)
        self.reset()

    def _loader(self, images: Pixels, labels: Pixels) -> Batches:
        way, size = self.way, self.setting.size
        data: Dataset[Any] = Bytes(images, labels) if way.resized_on_device else Pictures(images, labels, size)
        return DataLoader(
            data,
            batch_size=self.setting.batch,
            num_workers=way.workers,
            persistent_workers=way.workers > 0,  # their start is no part of a batch
            pin_memory=way.pinned,
        )

    def reset(self) -> None:
        """Back to the first weights, with a new optimizer."""
        self.plain.load_state_dict(self.start)
        self.plain.zero_grad()
        self.optimizer = torch.optim.Adam(self.plain.parameters(), lr=LEARNING_RATE, fused=self.way.fused or None)
        self.scaler = torch.amp.GradScaler(
            self.device.type, init_scale=LOSS_SCALE, enabled=self.way.short == torch.float16
        )

    def uploaded(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch of the loader as the network takes it."""
        images = images.to(self.device, non_blocking=self.way.pinned)
        labels = labels.to(self.device, non_blocking=self.way.pinned)
        if self.way.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.way.resized_on_device:
            size = [self.setting.size, self.setting.size]
            images = v2.functional.resize(images, size, antialias=True).float() / 255  # the bytes stay whole numbers
        return images, labels

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.way.short or torch.bfloat16, enabled=self.way.short is not None)

    def synchronise(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize()


@dataclass(frozen=True)
class Turn:
    """One way's turn of a round: seconds of both passes, of the first also those of this process on all cores (without
    the loader's workers); the losses, and the peak of its memory in MiB (on CUDA)."""

    train_seconds: float
    train_cpu: float
    test_seconds: float
    train_loss: float
    test_loss: float
    memory: float | None


def turn(job: Job) -> Turn:
    """Trains and tests once, from the first weights."""
    job.synchronise()
    others = 0
    if job.device.type == "cuda":
        own = sum(tensor.nbytes for tensor in job.plain.state_dict().values())
        others = torch.cuda.memory_allocated() - own
        torch.cuda.reset_peak_memory_stats()
    start, cpu = time.perf_counter(), time.process_time()
    train_loss = train(job)
    job.synchronise()
    middle, cpu = time.perf_counter(), time.process_time() - cpu
    test_loss = test(job)
    job.synchronise()
    end = time.perf_counter()
    memory = (torch.cuda.max_memory_allocated() - others) / MIB if job.device.type == "cuda" else None
    job.reset()  # which also gives back the memory of gradients and optimizer
    return Turn(middle - start, cpu, end - middle, train_loss, test_loss, memory)


def train(job: Job) -> float:
    """One pass over the training batches, as the lecture does it and with the job's options: the mean loss."""
    if job.way.reference:
        return train_one_epoch(job.net, job.train_loader, nn.NLLLoss(), job.optimizer, job.device)[0]
    job.plain.train()
    running_loss: Any = 0.0
    correct: Any = 0
    seen = 0
    for images, labels in job.train_loader:
        images, labels = job.uploaded(images, labels)
        job.optimizer.zero_grad()
        with job.autocast():
            scores = job.net(images)
        loss = F.nll_loss(F.log_softmax(scores.float(), dim=1), labels)
        job.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        job.scaler.step(job.optimizer)
        job.scaler.update()
        if job.way.waits:
            running_loss += loss.item() * len(labels)
        else:
            running_loss += loss.detach() * len(labels)
            correct += (scores.argmax(dim=1) == labels).sum()  # which the lecture does not count in training
        seen += len(labels)
    if not job.way.waits:
        float(correct / seen)
    return float(running_loss / seen)


def test(job: Job) -> float:
    """One pass over the test batches, likewise."""
    if job.way.reference:
        return evaluate(job.net, job.test_loader, nn.NLLLoss(), job.device)[0]
    job.plain.eval()
    running_loss: Any = 0.0
    correct: Any = 0
    seen = 0
    with torch.no_grad():
        for images, labels in job.test_loader:
            images, labels = job.uploaded(images, labels)
            with job.autocast():
                scores = job.net(images)
            loss = F.nll_loss(F.log_softmax(scores.float(), dim=1), labels)
            right = (scores.argmax(dim=1) == labels).sum()
            running_loss += (loss.item() if job.way.waits else loss) * len(labels)
            correct += right.item() if job.way.waits else right
            seen += len(labels)
    float(correct / seen)
    return float(running_loss / seen)


# The reference solution's own, statement for statement (tests/engine/test_benchmarks.py holds them to it).


def train_one_epoch(
    net: Any, loader: Batches, criterion: Callable[..., Any], optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[float, float]:
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)  # a tensor until the end: .item() would wait for the GPU here
        correct += (scores.argmax(dim=1) == labels).sum()
        seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)


def evaluate(net: Any, loader: Batches, criterion: Callable[..., Any], device: torch.device) -> tuple[float, float]:
    net.eval()
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss_sum += criterion(F.log_softmax(scores, dim=1), labels) * len(labels)
            correct += (scores.argmax(dim=1) == labels).sum()
            seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)


# --- what is measured beside time -------------------------------------------------------------------------------------


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the calls that wait for the device: a value read by Python, a copy to or from it that is waited for."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count, self.stepping = 0, False
        optimizer.register_step_pre_hook(lambda *_: setattr(self, "stepping", True))
        optimizer.register_step_post_hook(lambda *_: setattr(self, "stepping", False))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            self.count += not self.stepping  # an optimizer reads its own count of steps, which the CPU has
        elif func is torch.ops.aten._to_copy.default and not kwargs.get("non_blocking"):
            self.count += torch.device(kwargs.get("device") or args[0].device).type != args[0].device.type
        return func(*args, **kwargs)


def waits(way: Way, setting: Setting, images: Images) -> int:
    """How often a batch of training waits for the device: counted in the way's loop with a network of one layer."""
    counts: list[int] = []
    layer = nn.Sequential(nn.Conv2d(3, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for batches in (1, 2):  # the difference is a batch's; what is read at a pass's end is in both
        part = images.some(batches * setting.batch, setting.batch)
        job = Job(replace(way, compiled=False, workers=0), setting, part, layer)
        with Waits(job.optimizer) as counted:
            train(job)
        counts.append(counted.count)
    return counts[1] - counts[0]


def network() -> nn.Module:
    """The lecture's network, with the same random weights every time."""
    torch.manual_seed(SEED)
    net: nn.Module = torchvision.models.densenet121(weights=None, num_classes=10)
    return net


def why_not_compiled(way: Way, setting: Setting, seconds: float) -> str:
    """Why a way does not compile, tried in a process that can be stopped; "" when it does. What it made is kept by
    PyTorch on the disk, so that the measuring process is quick to have it too."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_compile, args=(way, setting, writer))
    process.start()
    writer.close()
    try:
        if not reader.poll(seconds):
            return f"had not compiled after {seconds:.0f} s, the time for it; a longer --minutes gives more"
        return str(reader.recv())
    except EOFError:
        process.join()
        return f"the process that compiled ended with {process.exitcode}"
    finally:
        process.terminate()
        process.join(10)
        process.kill()
        process.join()


def _compile(way: Way, setting: Setting, writer: Connection) -> None:
    """Says what stands in the way of training and testing one batch; "" for nothing."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(8, device=setting.device))  # tells early what is missing
        turn(Job(way, setting, synthetic(2 * setting.batch).some(setting.batch, setting.batch), network()))
        writer.send("")
    except Exception as error:  # of any kind: it is told
        writer.send(_reason(error))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


# --- rounds -----------------------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What was found for one way in one setting: its turns, and those of the lecture's loop right beside them."""

    way: Way
    waits: int
    turns: list[Turn]
    base: list[Turn]

    def ratios(self, what: str) -> list[float]:
        """How many times as fast as the lecture's loop, round by round; `what` is a field of Turn."""
        return [getattr(b, what) / getattr(t, what) for t, b in zip(self.turns, self.base, strict=True)]

    def ratio(self, what: str) -> float:
        return float(statistics.median(self.ratios(what)))

    def rate(self, what: str, images: int) -> float:
        return float(statistics.median(images / getattr(t, what) for t in self.turns))

    def off(self) -> float:
        """The largest difference of a loss from the lecture's loop's, as a part of it."""
        ours, theirs = ([[one.train_loss, one.test_loss] for one in some] for some in (self.turns, self.base))
        return float(np.nan_to_num(np.abs(np.array(ours) / np.array(theirs) - 1), nan=np.inf).max())

    def agrees(self) -> bool:
        return self.off() <= self.way.tolerance


@dataclass
class Outcome:
    """All of one setting."""

    setting: Setting
    batches: int = 0
    tested: int = 0
    found: list[Figures] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)  # of ways that were not measured, by name
    load: list[str] = field(default_factory=list)  # average of a minute, before and after


def measure(setting: Setting, images: Images, most: int, rounds: int, seconds: float) -> Outcome:
    """Each option alone, then all that help together, in about so many seconds."""
    begin = time.monotonic()
    outcome = Outcome(setting, load=[load_average()])
    usable: list[Way] = []
    compiling = seconds * (COMPILING_ON_CPU if setting.device.type == "cpu" else COMPILING)
    base = a_round = 0.0  # seconds of one batch: of the lecture's loop, of all ways beside it
    for way, reason in ways(setting.device):
        took = 0.0
        if not reason:
            reason, took = _tried(way, setting, images, compiling)
        if reason:
            outcome.reasons[way.name] = reason
            if not usable:  # the lecture's loop itself
                return outcome
        else:
            usable.append(way)
            base = base or took
            a_round += base + took
    left = begin + ALONE * seconds - time.monotonic()
    fits = int(left / ((min(rounds, FEWEST_ROUNDS) + 1) * a_round))
    outcome.batches = min(most, max(fits, FEWEST_BATCHES))
    outcome.tested = -(-outcome.batches // TRAINED_FOR_EACH_TESTED)
    part = images.some(outcome.batches * setting.batch, outcome.tested * setting.batch)
    outcome.found += alternate(usable, setting, part, rounds, begin + ALONE * seconds)

    first, again, _, *single = outcome.found
    chance = abs(again.ratio("train_seconds") - 1)
    helpful = [figures for figures in single if figures.agrees()]
    helpful = [figures for figures in helpful if figures.ratio("train_seconds") >= max(HELPS, 1 + chance)]
    helpful.sort(key=lambda figures: -figures.ratio("train_seconds"))
    way = together([figures.way for figures in helpful], setting.device)
    if not helpful and not way.pinned:
        outcome.reasons["all that help together"] = f"none is at least {HELPS} times as fast, and more than by chance"
    elif reason := _tried(way, setting, images, begin + seconds - time.monotonic())[0]:
        outcome.reasons[way.name] = reason
    else:
        outcome.found += alternate([first.way, way], setting, part, rounds, begin + seconds)[1:]
    outcome.load.append(load_average())
    return outcome


def _tried(way: Way, setting: Setting, images: Images, seconds: float) -> tuple[str, float]:
    """Why a way does not run, or "" and the seconds that one batch takes, with its share of testing."""
    _say(f"trying: {way.name}")
    if way.compiled and (reason := why_not_compiled(way, setting, seconds)):
        return reason, 0
    try:
        job = Job(way, setting, images.some(setting.batch, setting.batch), network())
        turn(job)
        taken = turn(job)
    except Exception as error:  # of any kind: it is told
        return _reason(error), 0
    return "", taken.train_seconds + taken.test_seconds / TRAINED_FOR_EACH_TESTED


def alternate(some: list[Way], setting: Setting, images: Images, rounds: int, until: float) -> list[Figures]:
    """Measures each way beside the first, at most so many rounds, and at least one; ends in time if a round is as the
    last. Each turn has one of the first way right before or after it, since a machine is not as fast all the time."""
    base, *jobs = [Job(way, setting, images, network()) for way in some]
    for job in (base, *jobs):
        turn(job)  # starts workers, compiles, fills caches
    pairs: list[list[tuple[Turn, Turn]]] = [[] for _ in jobs]
    for number in range(rounds):
        begin = time.monotonic()
        _say(f"round {number + 1} of up to {rounds}")
        for place in range(len(jobs)):  # another way begins each round
            index = (place + number) % len(jobs)
            if number % 2:
                theirs, ours = turn(base), turn(jobs[index])
            else:
                ours, theirs = turn(jobs[index]), turn(base)
            pairs[index].append((ours, theirs))
        if 2 * time.monotonic() - begin > until:
            break
    all_base = [theirs for of_one in pairs for _, theirs in of_one]
    found = [Figures(base.way, waits(base.way, setting, images), all_base, all_base)]
    for job, of_one in zip(jobs, pairs, strict=True):
        turns, beside = ([pair[which] for pair in of_one] for which in (0, 1))
        found.append(Figures(job.way, waits(job.way, setting, images), turns, beside))
    return found


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


# --- what is shown ----------------------------------------------------------------------------------------------------


def report(outcomes: list[Outcome], images: Images) -> list[str]:
    """The tables, a setting each, as Markdown."""
    lines = [f"On {machine(outcomes[0].setting.device)}. The images: {images.origin}.", ""]
    for outcome in outcomes:
        found, setting = outcome.found, outcome.setting
        lines += [f"## {setting.size} × {setting.size} pixels, batches of {setting.batch}", ""]
        if found:
            last = "peak MiB" if setting.device.type == "cuda" else "training's ratio in CPU time"
            rounds = f"{len(found[1].turns)} rounds"
            if found[-1].way.name.startswith("together"):
                rounds += f", then {len(found[-1].turns)} of the lecture's loop and all together"
            lines += [
                f"Batches a turn: {outcome.batches} of training, {outcome.tested} of testing; {rounds}. Load average before "
                f"and after: {' and '.join(outcome.load)}.",
                "",
                f"| way | training, images/s | ratio | testing, images/s | ratio | waits a batch | {last} | losses off by |",
                "|---" * 8 + "|",
                *(_row(figures, outcome) for figures in found),
                "",
            ]
        if outcome.reasons:
            lines += ["Not measured:", "", *(f"- {name}: {why}" for name, why in outcome.reasons.items()), ""]
    return lines


def _row(figures: Figures, outcome: Outcome) -> str:
    cells = [figures.way.name]
    for what, batches in (("train_seconds", outcome.batches), ("test_seconds", outcome.tested)):
        cells += [f"{figures.rate(what, batches * outcome.setting.batch):.1f}", _spread(figures, what)]
    memory = [one.memory for one in figures.turns if one.memory is not None]
    off = f"{100 * figures.off():.3f} % (may: {100 * figures.way.tolerance:g} %)"
    cells += [
        str(figures.waits),
        f"{max(memory):.0f}" if memory else _spread(figures, "train_cpu"),
        off if figures.agrees() else f"**{off}**",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(figures: Figures, what: str) -> str:
    if figures.turns is figures.base:
        return "1.00"
    ratios = figures.ratios(what)
    return f"{figures.ratio(what):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def as_json(outcomes: list[Outcome], images: Images) -> str:
    """All figures of every turn."""
    settings = [
        {
            "size": outcome.setting.size,
            "batch": outcome.setting.batch,
            "batches": outcome.batches,
            "tested": outcome.tested,
            "load": outcome.load,
            "not_measured": outcome.reasons,
            "ways": [{**asdict(figures), "agrees": figures.agrees()} for figures in outcome.found],
        }
        for outcome in outcomes
    ]
    about = {"machine": machine(outcomes[0].setting.device), "images": images.origin, "settings": settings}
    return json.dumps(about, indent=1, default=str)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def machine(device: torch.device) -> str:
    """The device, the processor, and the versions, in words."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = {"cpu": "the CPU", "mps": "a Mac's GPU (mps)"}.get(device.type) or torch.cuda.get_device_name()
    plural = "" if torch.get_num_threads() == 1 else "s"
    return (
        f"{name}: {cores()} cores ({model}), {torch.get_num_threads()} thread{plural} of PyTorch, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, Python {platform.python_version()}"
    )


# --- the command ------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")  # one line, without the usage


def main() -> None:
    options = _options()
    try:
        device = _device(options.device)
        images = load(options.data) if options.data else synthetic()
    except ValueError as error:
        sys.exit(f"training.py: {error}")
    if options.output and not options.output.parent.is_dir():
        sys.exit(f"training.py: there is no folder {options.output.parent} for --output")
    accelerated = device.type != "cpu"
    end = time.monotonic() + 60 * (options.minutes or (9 if accelerated else 3))
    size = options.image_size or (224 if accelerated else 32)
    preset = {"cpu": [16], "mps": [32], "cuda": [32, 256]}[device.type]  # 16 as in the notebook, 32 as in the lecture
    sizes = options.batch_size or preset
    most = options.batches or (20 if accelerated else 4)
    outcomes = []
    for number, batch in enumerate(sizes):
        _say(f"{size} × {size} pixels, batches of {batch}, on {device.type}; images: {images.origin}")
        seconds = max(0, end - time.monotonic()) / (len(sizes) - number)
        setting = Setting(device, size, batch)
        try:
            outcomes.append(measure(setting, images, most, options.rounds, seconds))
        except Exception as error:  # of any kind: it is told, and what else was found is kept
            outcomes.append(Outcome(setting, reasons={"all of it": _reason(error)}))
        if accelerated:
            (torch.cuda if device.type == "cuda" else torch.mps).empty_cache()
    text = "\n".join(report(outcomes, images))
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
        options.output.with_suffix(".json").write_text(as_json(outcomes, images), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = _Parser(prog="training.py", description=(__doc__ or "").splitlines()[0])
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="PATH", help="the folder of cifar-10-batches-py, or an .npz")
    data.add_argument("--synthetic", action="store_true", help="random images")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--image-size", type=_at_least(32), metavar="N", help="default: 32 on the CPU, else 224")
    parser.add_argument(
        "--batch-size", type=_at_least(2), nargs="+", metavar="N", help="default: 16 on the CPU, 32 and 256 on CUDA"
    )
    parser.add_argument(
        "--batches", type=_at_least(1), metavar="N", help="trained in a turn, at most (default: 4; on a GPU 20)"
    )
    parser.add_argument("--rounds", type=_at_least(1), default=20, metavar="N", help="at most (default: 20)")
    parser.add_argument("--minutes", type=float, metavar="N", help="for all of it (default: 3; on a GPU 9)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="the table; the figures beside it as .json")
    options = parser.parse_args()
    if options.minutes is not None and not options.minutes > 0:
        parser.error("--minutes must be more than 0")
    return options


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number, at least {least}, not {text!r}")
        return int(text)

    return number


def _device(word: str) -> torch.device:
    """Raises ValueError where there is no such device."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if word == "auto":
        return torch.device(next(name for name in there if there[name]))
    if not there[word]:
        raise ValueError(f"PyTorch finds no device {word} on this machine (--device cpu measures on the CPU)")
    return torch.device(word)


def synthetic(count: int = 4096) -> Images:
    """Random images and labels."""
    numbers = np.random.default_rng(SEED)
    pixels = numbers.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = numbers.integers(0, 10, count, dtype=np.uint8)
    half = count // 2
    return Images(pixels[:half], labels[:half], pixels[half:], labels[half:], "synthetic (random bytes)")


def load(path: Path) -> Images:
    """CIFAR-10 from torchvision's folder or from an .npz.

    Raises:
        ValueError: it is neither.
    """
    if not path.exists():
        raise ValueError(f"there is no {path}; --synthetic measures with random images")
    try:
        if path.is_file():
            with np.load(path) as arrays:
                names = ("train_images", "train_labels", "test_images", "test_labels")
                parts = [arrays[name] for name in names if name in arrays]
        else:
            root = path.parent if path.name == torchvision.datasets.CIFAR10.base_folder else path
            sets = [torchvision.datasets.CIFAR10(root, train=train) for train in (True, False)]
            parts = [np.asarray(part, np.uint8) for one in sets for part in (one.data, one.targets)]
        if len(parts) == 2:  # training images alone: the last tenth is for testing
            cut = len(parts[0]) - len(parts[0]) // 10
            parts = [parts[0][:cut], parts[1][:cut], parts[0][cut:], parts[1][cut:]]
        images = Images(parts[0], parts[1], parts[2], parts[3], "CIFAR-10")
        if any(part.dtype != np.uint8 or part.shape[1:] != (32, 32, 3) for part in (images.train, images.test)):
            raise ValueError("its images are not (N, 32, 32, 3) bytes")
    except Exception as error:  # of any kind: it is told
        wanted = "the folder of cifar-10-batches-py or an .npz with train_images and train_labels"
        raise ValueError(f"{path} is not {wanted}: {_reason(error)}") from error
    return images


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Please use the new API settings to control TF32")
    main()
