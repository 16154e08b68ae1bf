"""The real experiment: a student's own `fit`, an epoch at a time, so that a lost Colab runtime costs one epoch at most."""

import contextlib
import io
import json
import pickle
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from autograder.errors import CheckError, NotebookError
from autograder.files import write_whole
from autograder.installed import DISTRIBUTION, versions
from autograder.sandboxed.training import generators, says_no_memory
from autograder.training.claim_file import CLAIM, MAX_SEED, Claim, Weights, hash_of, kept, pack_claim

DRIVE = Path("/content/drive/MyDrive")
CHECKPOINT, HISTORY, SEED = "checkpoint.pt", "history.json", "seed.txt"
DAMAGED = (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)


def experiment_folder(name: str) -> Path:
    """Where the experiment `name` is saved: on Google Drive where Colab has mounted it, else beside the notebook."""
    if DRIVE.is_dir():
        return DRIVE / name
    if "google.colab" in sys.modules:
        print(
            "Drive is not mounted: what is saved goes with this runtime. To keep it, mount Drive (the folder icon on the "
            "left), then run this cell again."
        )
    return Path(name)


def experiment_seed(folder: Path) -> int:
    """The seed of the experiment in `folder`: drawn once, and kept in `folder`/seed.txt, so that nobody else has it.

    For `torch.manual_seed`, right before the network is built: the grader of a claim draws the first weights again.

    Raises:
        NotebookError: the file is damaged, or cannot be written.
    """
    path = Path(folder) / SEED
    try:
        if not path.exists():
            write_whole(path, f"{secrets.randbelow(MAX_SEED)}\n")
        seed = int(path.read_text(encoding="utf-8")[:20])
        if 0 <= seed < MAX_SEED:
            return seed
    except OSError as error:
        raise NotebookError(f"{path} cannot be kept ({error.strerror}): make room there.") from None
    except ValueError:
        pass
    raise NotebookError(f"{path} is damaged: delete it. What was trained from it keeps the seed in its checkpoint.")


def run_experiment(
    fit: Callable[..., dict[str, list[float]]],
    net: nn.Module,
    train_loader: DataLoader[Any],
    test_loader: DataLoader[Any],
    criterion: Callable[..., torch.Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    epochs: int,
    folder: Path,
    seed: int | None = None,
) -> dict[str, list[float]]:
    """Trains `net` with `fit` for `epochs` epochs in all, and goes on where an earlier run left off.

    After each epoch `folder`/checkpoint.pt holds everything that the next one needs, and `folder`/history.json the
    figures so far. A run that was interrupted and resumed ends as one that was not.
    fit: called with epochs=1, once an epoch; other arguments are as for `fit`.
    seed: from which the weights of `net` were drawn, see `experiment_seed`. With it `folder`/claim.safetensors is written
    after each epoch too: the weights and what a grader needs to check the run.
    Returns fit's history of all epochs, earlier ones included.

    Raises:
        NotebookError: out of memory, interrupted, a checkpoint that is damaged or of another experiment, or a `fit`
            that returns no history; one line with the mend.
    """
    folder = Path(folder)
    about = _about(net, train_loader, optimizer)
    history, trail = _resume(folder / CHECKPOINT, about, net, optimizer, train_loader)
    done = _epochs(history)
    if trail is None and seed is not None and not done:
        trail = Trail(seed)
    run = _Run(folder, about, net, optimizer, train_loader, test_loader, epochs)
    if done:
        print(f"{done} of {epochs} epochs were done before, see {folder}/; move it away to train from the start")
        if trail:
            run.save_claim(history, trail)  # it may be an epoch behind, or lost
        elif seed is not None:
            print("They were trained without a seed of their own, so there is no claim of them to hand in")
    datasets: list[Any] = [train_loader.dataset, test_loader.dataset]
    images = sum(map(len, datasets))
    with _explained(train_loader.batch_size, device, folder), _progress(epochs * images, done * images) as bar:
        loaders = _Counted(train_loader, bar), _Counted(test_loader, bar)
        for epoch in range(done + 1, epochs + 1):
            bar.set_description(f"epoch {epoch}/{epochs}")
            start = time.perf_counter()
            _append(history, fit(net, *loaders, criterion, optimizer, device, epochs=1))
            if trail:
                trail.add(net, device, time.perf_counter() - start)
            run.save(history, trail)
    return history


class _Counted:
    """A loader whose images move a progress bar as they are taken; in all else the loader itself."""

    def __init__(self, loader: DataLoader[Any], bar: tqdm):
        self._loader, self._bar = loader, bar

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self._bar.update(len(batch[-1]))  # when the next batch is asked for, this one has been learnt

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


@contextlib.contextmanager
def _progress(total: int, initial: int) -> Iterator[tqdm]:
    """A bar with images/s and the time left of the whole experiment; what is printed meanwhile goes above it."""
    screen = sys.stdout
    with (
        contextlib.redirect_stdout(DummyTqdmFile(screen)),
        tqdm(total=total, initial=initial, unit=" images", file=screen, mininterval=1, dynamic_ncols=True) as bar,
    ):
        yield bar


@contextlib.contextmanager
def _explained(batch_size: int | None, device: torch.device, folder: Path) -> Iterator[None]:
    """Says in one line what to do when memory runs out or the student interrupts."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not says_no_memory(str(error)):
            raise
        size = batch_size or 0  # None beside a batch_sampler
        mend = f"set BATCH_SIZE = {size // 2}" if size > 2 else "take smaller batches or a machine with more memory"
        raise NotebookError(
            f"Out of memory: a batch of {batch_size or 'some'} images and what the layers keep of them do not fit on {device}. "
            f"Beside the switch, {mend}; then restart the kernel, which frees what is held now, and run all cells."
        ) from None
    except KeyboardInterrupt:
        again = "run this cell again" if (folder / CHECKPOINT).exists() else "restart the kernel and run all cells"
        raise NotebookError(f"Interrupted: {again} to go on after the last whole epoch.") from None


def _append(history: dict[str, list[float]], epoch: dict[str, list[float]]) -> None:
    try:
        for name, values in epoch.items():
            history[name] = history.get(name, []) + [float(value) for value in values]
    except (AttributeError, TypeError, ValueError):
        raise NotebookError('`fit` returned no dict of lists of floats: check("fit") says more.') from None


def _epochs(history: dict[str, list[float]]) -> int:
    return max(map(len, history.values()), default=0)


# --- the checkpoint ---------------------------------------------------------------------------------------------------


def _about(net: nn.Module, loader: DataLoader[Any], optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """What must be the same for an experiment to go on."""
    dataset: Any = loader.dataset
    image, *_ = dataset[0]
    return {
        "network": f"{type(net).__name__}, {len(net.state_dict())} tensors",
        "training images": f"{len(dataset):,}",
        "image": " × ".join(map(str, image.shape)),
        "batch size": str(loader.batch_size),
        "optimizer": f"{type(optimizer).__name__}, learning rate {optimizer.param_groups[0]['lr']:g}",
    }


@dataclass
class _Run:
    """What is saved of an experiment, and where."""

    folder: Path
    about: dict[str, str]
    net: nn.Module
    optimizer: torch.optim.Optimizer
    train_loader: DataLoader[Any]
    test_loader: DataLoader[Any]
    planned: int

    def save(self, history: dict[str, list[float]], trail: "Trail | None") -> None:
        """Writes checkpoint, history and claim."""
        checkpoint = io.BytesIO()
        state = {
            "about": self.about,
            "history": history,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": [generator.get_state() for generator in generators([self.train_loader])],
        }
        torch.save(state | ({"trail": asdict(trail)} if trail else {}), checkpoint)
        with _told_when_full(self.folder, len(checkpoint.getbuffer())):
            write_whole(self.folder / CHECKPOINT, checkpoint.getvalue())
            write_whole(self.folder / HISTORY, json.dumps(history, indent=1))
        if trail:
            self.save_claim(history, trail)

    def save_claim(self, history: dict[str, list[float]], trail: "Trail") -> None:
        """Writes the claim."""
        datasets: list[Any] = [self.train_loader.dataset, self.test_loader.dataset]
        image, *_ = datasets[0][0]
        claim = Claim(
            module=_module(),
            network=type(self.net).__name__,
            training_images=len(datasets[0]),
            test_images=len(datasets[1]),
            image_size=int(image.shape[-1]),
            batch_size=int(self.train_loader.batch_size or 0),
            optimizer=type(self.optimizer).__name__,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            planned=self.planned,
            seed=trail.seed,
            history=history,
            hashes=trail.hashes,
            clock=trail.clock,
            devices=trail.devices,
            versions={"python": platform.python_version(), **versions(DISTRIBUTION, "torch", "torchvision", "numpy")},
            weights=kept(_arrays(self.net)),
        )
        data = pack_claim(claim)
        with _told_when_full(self.folder, len(data)):
            write_whole(self.folder / CLAIM, data)


@contextlib.contextmanager
def _told_when_full(folder: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotebookError(
            f"{folder} cannot take the {size / 2**20:.0f} MiB of a checkpoint ({error.strerror}): make room there."
        ) from None


def _resume(
    path: Path, about: dict[str, str], net: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]
) -> tuple[dict[str, list[float]], "Trail | None"]:
    """Puts the checkpoint's state in place and returns its history and trail; without a checkpoint changes nothing."""
    if not path.exists():
        return {}, None
    anew = f"to train from the start, move {path} away, restart the kernel and run all cells."
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        there = saved["about"]
        other = [f"{name} {there[name]} there, {here} here" for name, here in about.items() if there[name] != here]
        if other:
            raise NotebookError(f"{path} is of another experiment ({'; '.join(other)}): set that back, or {anew}")
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        for generator, state in zip(generators([loader]), saved["random"], strict=True):
            generator.set_state(state)
        history = {name: [float(value) for value in values] for name, values in saved["history"].items()}
        trail = Trail(**saved["trail"]) if "trail" in saved else None
        return history, trail
    except DAMAGED:
        raise NotebookError(f"{path} is damaged, or not a checkpoint of this notebook: {anew}") from None


# --- the claim --------------------------------------------------------------------------------------------------------


@dataclass
class Trail:
    """What a claim says of each epoch: a hash of its weights, its seconds, the device it ran on."""

    seed: int
    hashes: list[str] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)

    def add(self, net: nn.Module, device: torch.device, seconds: float) -> None:
        """An epoch that has ended."""
        self.hashes.append(hash_of(kept(_arrays(net))))
        self.clock.append(seconds)
        cuda = torch.device(device).type == "cuda"
        self.devices.append(torch.cuda.get_device_name(device)[:150] if cuda else f"{device} ({platform.machine()})")


def _arrays(net: nn.Module) -> Weights:
    """Weights and buffers by name, on the CPU."""
    tensors = {name: tensor.detach().cpu() for name, tensor in net.state_dict().items()}
    return {name: (tensor.float() if tensor.is_floating_point() else tensor).numpy() for name, tensor in tensors.items()}


def _module() -> str:
    """The assignment that this notebook belongs to; empty where its folder is not at hand."""
    from autograder.students.check import read_about

    try:
        return str(read_about(Path("checks").absolute()).get("module", ""))
    except CheckError:
        return ""
