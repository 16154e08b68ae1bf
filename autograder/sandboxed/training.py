"""Inside the sandbox: the full training by a student's functions, an epoch at a time.

What is sent from here is the submission's word. The grader believes none of it, and judges the weights by its own
evaluation; see the room `training`.
"""

import math
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset

from autograder.sandboxed.errors import Missing
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.observe import frame, fresh_state, run
from autograder.sandboxed.probing import Student, plain_error
from autograder.sandboxed.recording import Bounds, Error, Tensor, decode, encode, know_torch

know_torch()  # the grader, too, makes the network that a run starts from

GIVEN = "given.safetensors"  # the images that a submission is given, in a folder of their own
TICK_SECONDS = 0.5  # between two words on how many images have passed
MAX_MESSAGE_BYTES = 2**30  # an epoch's weights and what the optimizer keeps of them
GIB = 2**30
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS; Linux; Windows


@dataclass(frozen=True)
class Preset:
    """How much is trained. Of `test_images` one half, drawn from the seed, is never given to the submission.

    Args:
        train_images: drawn from the seed where there are more.
        image_size: pixels, height and width.
        floor: a fraction; what the accuracy on the images held back must reach, as the mean of the last three epochs.
            0: too little is trained for one.
        points: bonus points for a run in which everything holds.
        memory_gib: that all processes of a submission may use together, in GiB.
    """

    name: str
    train_images: int
    test_images: int
    image_size: int
    batch_size: int
    epochs: int
    learning_rate: float
    floor: float = 0.0
    points: float = 0.0
    memory_gib: float = 4.0

    @property
    def batches(self) -> int:
        """Steps in one epoch."""
        return math.ceil(self.train_images / self.batch_size)

    @property
    def given(self) -> int:
        """Images that pass through the network in one epoch, training and test."""
        return self.train_images + self.test_images // 2

    @property
    def work(self) -> int:
        """The same in all epochs."""
        return self.epochs * self.given


class Pictures(Dataset[tuple[Any, int]]):
    """Images in memory as torchvision's CIFAR10 has them: `data` (N, height, width, 3) bytes, `targets` a list of int."""

    def __init__(self, data: np.ndarray, targets: list[int], classes: list[str], transform: Callable[..., Any] | None):
        self.data, self.targets, self.classes, self.transform = data, targets, classes, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.data[index])
        return (self.transform(image) if self.transform else image), self.targets[index]


@dataclass
class Run:
    """What a recipe works with: the preset, the device, the network with the weights that the seed gives, the images."""

    preset: Preset
    device: torch.device
    net: nn.Module
    classes: int
    given: dict[str, np.ndarray]

    def images(self, part: str, transform: Callable[..., Any] | None = None) -> Pictures:
        """The images of "train" or "test" that a submission is given."""
        names = [str(number) for number in range(self.classes)]
        return Pictures(self.given[f"{part}_images"], self.given[f"{part}_labels"].tolist(), names, transform)


@dataclass
class Setup:
    """What an epoch needs."""

    net: nn.Module
    loaders: tuple[DataLoader[Any], ...]
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Recipe:
    """How a module's functions are put to work. `tests/<module>/training.py` makes one, and calls it RECIPE.

    Args:
        network: `network(classes)` with random weights, as the notebook builds it.
        prepare: (N, 3, height, width) bytes and a size → (N, 3, size, size) floats: what the network is to be given.
        begin: by the student's functions all that comes before the first epoch.
        epoch: by the student's functions one epoch; gives its history, a dict of lists with one float each.
        exercise: the exercise whose grade cell gets the bonus points.
        watched: a parameter of the first layer, drawn before and after.
        lecture: the lecture's own figures by epoch, drawn beside a student's: of the names in a history.
    """

    network: Callable[..., nn.Module]
    prepare: Callable[[torch.Tensor, int], torch.Tensor]
    begin: Callable[[Student, Run], Setup]
    epoch: Callable[[Student, Run, Setup], dict[str, list[float]]]
    presets: list[Preset]
    exercise: str
    watched: str
    lecture: dict[str, list[float]] = field(default_factory=dict)


def start_network(recipe: Recipe, seed: int) -> nn.Module:
    """The network with the weights that a run of this seed starts from; the same on every machine."""
    fresh_state(f"{seed}:network")
    return recipe.network()


def claimed_start(recipe: Recipe, seed: int) -> nn.Module:
    """The network with the weights that a student's own run starts from, whose notebook says `torch.manual_seed(seed)`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return recipe.network()


def train(job: dict[str, Any], body: bytes, recipe: Recipe, emit: Callable[[bytes], None]) -> None:
    """Trains by the code in `body`, from where the checkpoint behind it stops; sends how it goes, and each epoch.

    Args:
        job: `functions` (the contract's), `preset`, `seed`, `device`, `threads`, `given` (the folder with the images).
    """
    size = struct.unpack_from("<I", body)[0]
    code, kept = Code.from_json(body[4 : 4 + size]), body[4 + size :]
    torch.set_num_threads(job["threads"])
    preset = Preset(**job["preset"])
    try:
        student, _ = run(code, job["functions"])
        given = load_file(Path(job["given"], GIVEN))
        the_run = Run(preset, torch.device(job["device"]), start_network(recipe, job["seed"]), job["classes"], given)
        fresh_state(f"{job['seed']}:run")
        setup = recipe.begin(student, the_run)
        done = _take_up(kept, setup) if kept else 0
        ticks = _Ticks(setup.net, lambda images: _send(emit, {"images": images}))
        _send(emit, {"begun": done})
        for number in range(done + 1, preset.epochs + 1):
            history = recipe.epoch(student, the_run, setup)
            _send(emit, {"ended": number})  # what follows takes time and memory of our own
            _send(emit, {"epoch": number, "history": history, "images": ticks.images, **_state(setup)})
    except Missing as error:
        _send(emit, {"stopped": Error("Missing", str(error))})
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        _send(emit, {"stopped": plain_error(error)})


class _Ticks:
    """Counts the images that pass through a network, and says so now and then."""

    def __init__(self, net: nn.Module, say: Callable[[int], None]):
        self.images, self._say, self._said = 0, say, 0.0
        net.register_forward_pre_hook(self._count)

    def _count(self, _: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.images += len(arguments[0])
        if time.monotonic() > self._said + TICK_SECONDS:
            self._said = time.monotonic()
            self._say(self.images)


def _send(emit: Callable[[bytes], None], message: dict[str, Any]) -> None:
    emit(frame(encode(message, MAX_MESSAGE_BYTES, bounds=message_bounds())))


def message_bounds() -> Bounds:
    """What one message may cost."""
    return Bounds(bytes=MAX_MESSAGE_BYTES, text=4 * 2**20, values=100_000, keys=20_000)


def _state(setup: Setup) -> dict[str, Any]:
    """All that the next epoch needs: weights and buffers by name, the optimizer's own, the random states."""
    return {
        "net": {name: tensor.detach() for name, tensor in setup.net.state_dict().items()},
        "optimizer": setup.optimizer.state_dict(),
        "random": [generator.get_state() for generator in generators(setup.loaders)],
    }


def _take_up(kept: bytes, setup: Setup) -> int:
    """Puts an earlier epoch's state in place; gives its number."""
    saved = decode(kept, MAX_MESSAGE_BYTES, bounds=message_bounds())
    setup.net.load_state_dict(_torch(saved["net"]))
    setup.optimizer.load_state_dict(_torch(saved["optimizer"]))
    for generator, state in zip(generators(setup.loaders), saved["random"], strict=True):
        generator.set_state(_torch(state))
    return int(saved["epoch"])


def _torch(value: Any) -> Any:
    """A decoded value with torch's tensors in it."""
    if isinstance(value, Tensor):
        return torch.from_numpy(np.array(value.array))
    if isinstance(value, dict):
        return {key: _torch(item) for key, item in value.items()}
    return [_torch(item) for item in value] if isinstance(value, list) else value


def generators(loaders: Iterable[DataLoader[Any]]) -> list[torch.Generator]:
    """Where the order of the images comes from: torch's own random state, and that of each loader which has one."""
    own = [getattr(loader, "generator", None) for loader in loaders]
    return [torch.default_generator, *(generator for generator in own if generator is not None)]


def says_no_memory(message: str) -> bool:
    """Whether an error's message says that memory ran out, on whatever device."""
    return any(words in message.lower() for words in OUT_OF_MEMORY)
