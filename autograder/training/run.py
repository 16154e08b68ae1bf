"""One training run, from the grader's side: sends a student's code to a worker, and keeps what comes back.

Weights come as plain tensors, epoch by epoch, and lie where no submission can reach them; a run that was cut off goes on
after the last whole epoch. What a submission says of itself is kept as its word: judge.py believes none of it.
"""

import contextlib
import json
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autograder.course.needs import SLOW, Needs
from autograder.defaults import CORES
from autograder.errors import CourseError, GraderFault, Malformed
from autograder.files import write_whole
from autograder.grading.answers import what_is_broken
from autograder.grading.judge import clean
from autograder.grading.workers import Worker, hidden_folders, start_server
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.recording import Error, Tensor, decode, encode
from autograder.sandboxed.sandbox import WRITABLE
from autograder.sandboxed.training import GIB, MAX_MESSAGE_BYTES, Preset, message_bounds, says_no_memory
from autograder.sandboxed.worker import TOO_MUCH_MEMORY, ask, send_message
from autograder.training.claim_file import FIGURES
from autograder.training.images import CLASSES

SILENT_SECONDS = 300.0  # without a word of how far it is; a pass over some hundred images takes seconds
SCRATCH_MEGABYTES = 256  # what a loader's workers share are batches, which are larger than in a probe
WATCH_SECONDS = 0.02  # between two looks at its memory: an epoch of a rehearsal takes a second
DEVICE_SECONDS = 1.0  # between two looks at a GPU's memory
KEPT_EPOCHS = 3  # of whose weights the accuracy is the mean
DEVICE_FILES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "dri/renderD128", "kfd")


@dataclass
class Log:
    """What is known of a run, as it is kept in `log.json`.

    Args:
        state: "" while it runs; "finished", or how it ended.
        why: what the student's code raised, or what the process did.
        epochs: the history that the submission reported, a figure by name for each epoch.
        seconds: wall seconds of each epoch, training and test, by the grader's clock.
        most: the most seconds that each can have taken: since the one before ended, the first since the process began. An
            epoch can begin before the grader, busy with the message of the one before, has seen it begin.
        images: how many images went through the network, by the submission's word.
        memory: [seconds, bytes] pairs, seen from outside, by the clock of the process that took the run up last.
        device_memory: the same of a GPU's memory, beyond what was in use before.
        spans: from when to when on that clock an epoch ran.
        limit: wall seconds that the run was given.
        accuracy: on the images held back, by the number of the epoch; measured once the run has ended.
        still: the names of weights that the last epoch did not move; found then, too.
    """

    state: str = ""
    why: str = ""
    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    images: int = 0
    memory: list[list[float]] = field(default_factory=list)
    device_memory: list[list[float]] = field(default_factory=list)
    spans: list[list[float]] = field(default_factory=list)
    limit: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    still: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every epoch came."""
        return self.state == "finished"

    @property
    def may_go_on(self) -> bool:
        """Whether it was stopped for its time alone, so that more of it would take it further."""
        return self.state == "timed out"

    def is_over(self, limit: float) -> bool:
        """Whether it has ended, and would not go on for being given `limit` seconds."""
        return bool(self.state) and not (self.may_go_on and limit > self.limit)

    @property
    def out_of_memory(self) -> bool:
        return self.state == TOO_MUCH_MEMORY or self.state == "crashed: SIGKILL" or (
            self.state == "raised" and says_no_memory(self.why)
        )


class Kept:
    """A run's folder: its log, the weights of the last epochs, and what the next one needs."""

    LOG = "log.json"

    def __init__(self, folder: Path):
        self.folder = folder

    def log(self) -> Log:
        """What is kept of the run; an empty log where nothing is, or nothing whole."""
        try:
            return Log(**json.loads((self.folder / self.LOG).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Log()

    def write(self, log: Log) -> None:
        write_whole(self.folder / self.LOG, json.dumps(asdict(log)))

    def add(self, log: Log, number: int, message: bytes) -> None:
        """Keeps an epoch. The log comes last: what it does not know of is trained again."""
        write_whole(self._epoch(number), message)
        self.write(log)
        self._epoch(number - KEPT_EPOCHS).unlink(missing_ok=True)

    def epochs(self, log: Log) -> dict[int, Path]:
        """Where the messages of the last epochs of `log` lie, by number, whether they are there or not."""
        return {number: self._epoch(number) for number in range(1, len(log.epochs) + 1)[-KEPT_EPOCHS:]}

    def settle(self, log: Log) -> None:
        """Keeps of a run that has ended and was judged the log and the last weights: a class's runs would fill a disk."""
        self.write(log)
        for path in sorted(self.folder.glob("epoch-*.safetensors"))[:-1]:
            path.unlink()
        self.lighten()

    def lighten(self) -> None:
        """Takes from what is kept of a run that has ended what only its next epoch would need: most of it."""
        for path in self.folder.glob("epoch-*.safetensors"):
            if "optimizer" in (message := _read(path)):
                kept = {name: part for name, part in message.items() if name not in ("optimizer", "random")}
                write_whole(path, encode(kept, MAX_MESSAGE_BYTES, bounds=message_bounds()))

    def checkpoint(self, done: int) -> bytes:
        """The message of epoch `done`, from which the next one starts; empty when there is none."""
        with contextlib.suppress(OSError):
            return self._epoch(done).read_bytes()
        return b""

    def weights(self) -> dict[int, dict[str, np.ndarray]]:
        """Of the last epochs, by number, every weight and buffer by its name."""
        found = {}
        for path in sorted(self.folder.glob("epoch-*.safetensors")):
            with contextlib.suppress(Malformed, KeyError, TypeError, AttributeError):
                message = _read(path)
                found[int(message["epoch"])] = {str(name): tensor.array for name, tensor in message["net"].items()}
        return found

    def _epoch(self, number: int) -> Path:
        return self.folder / f"epoch-{number:03d}.safetensors"


def _read(path: Path) -> dict[str, Any]:
    return dict(decode(path.read_bytes(), MAX_MESSAGE_BYTES, bounds=message_bounds()))


class Trainer:
    """A worker that trains one submission after another on one device.

    Args:
        tests: the folder `tests/<module>/` of a course, or of what a node was sent, with `training.py`.
        given: the folder with the images that the next submission is given; see `give`.
        sandbox: "full", or "none" for limits alone.
    """

    def __init__(
        self, tests: Path, needs: Needs, preset: Preset, device: str, given: Path, sandbox: str, threads: int = CORES
    ):
        self.preset, self.device, self.given, self.threads = preset, device, given, threads
        self._folders = len(WRITABLE) * SCRATCH_MEGABYTES * 2**20 if sandbox == "full" else 0  # counted as full
        self._setting = {
            "folder": str(tests),
            "files": ["training"],
            "sandbox": sandbox,
            "hidden": [str(folder) for folder in hidden_folders(tests.parents[1])] if sandbox == "full" else [],
            "data": needs.setting,
            "given": [str(given)],
            "devices": [str(path) for path in device_files(device)],
            "memory": int(preset.memory_gib * GIB) + self._folders,
            "scratch": SCRATCH_MEGABYTES,
            "watch": WATCH_SECONDS,
        }

    def __enter__(self) -> "Trainer":
        self._server, [[sock]] = start_server(1, SLOW)
        send_message(sock, self._setting)
        self._worker = Worker(sock)
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.drop()
        self._server.wait()

    def train(
        self,
        code: Code,
        functions: list[str],
        seed: int,
        kept: Kept,
        limit: float,
        watch: Callable[[int, Log], None] = lambda images, log: None,
    ) -> Log:
        """Trains by `code`, or goes on with what is kept of it; a run that has ended is not run again.

        Args:
            limit: wall seconds for the whole run.
            watch: called now and then with the images that have passed since the run was taken up.

        Raises:
            GraderFault: the worker or its walls failed; what was done is kept.
        """
        log = kept.log()
        if log.is_over(limit):
            return log
        checkpoint = kept.checkpoint(len(log.epochs)) if log.epochs else b""
        if log.epochs and not checkpoint:
            log = Log()
        log.state, log.limit = "", limit
        content = code.as_json()
        job = {
            "kind": "train",
            "functions": functions,
            "preset": asdict(self.preset),
            "seed": seed,
            "device": self.device,
            "threads": self.threads,
            "classes": CLASSES,
            "given": str(self.given),
            "cpu": int(limit * (self.threads + 1)) + 60,
        }
        left = limit - sum(log.seconds)
        try:
            self._worker.probes()
            hearing = _Hearing(log, kept, watch)  # its clock begins with the process, as that of the memory does
            with contextlib.closing(hearing), _watched(self.device) as device_memory:
                sock = self._worker.sock
                assert sock is not None
                body = struct.pack("<I", len(content)) + content + checkpoint
                done = ask(sock, job, body, min(SILENT_SECONDS, left), left, hearing.hear)
        except (EOFError, OSError) as error:
            raise GraderFault(f"its worker was lost ({error}); run it again, it goes on after the last epoch") from error
        if broken := what_is_broken(done["state"], hearing.first):
            raise GraderFault(broken)
        log.device_memory = device_memory
        log.memory = [[seconds, max(0, taken - self._folders)] for seconds, taken in done["memory"]]
        log.state, log.why = self._ending(done["state"], hearing, limit)
        kept.write(log)
        return log

    def _ending(self, state: str, hearing: "_Hearing", limit: float) -> tuple[str, str]:
        """How the run ended, and why, for a student to read."""
        log = hearing.log
        if hearing.stopped:
            return ("missing" if hearing.stopped.type == "Missing" else "raised"), clean(str(hearing.stopped))[:1000]
        if hearing.wrong:
            return "crashed", hearing.wrong
        if len(log.epochs) == self.preset.epochs:
            return "finished", ""
        if state == "timed out":
            return state, f"it was stopped in epoch {len(log.epochs) + 1}, having been given {limit:.0f} s"
        if state in (TOO_MUCH_MEMORY, "crashed: SIGKILL"):
            return state, f"it was stopped in epoch {len(log.epochs) + 1}, having been given {self.preset.memory_gib:g} GiB"
        return "crashed", f"the process ended in epoch {len(log.epochs) + 1} ({state})"


class _Hearing:
    """Takes a run's messages, one after another, and keeps each epoch as it comes."""

    def __init__(self, log: Log, kept: Kept, watch: Callable[[int, Log], None]):
        self.log, self._kept, self._watch = log, kept, watch
        self.first, self.wrong = b"", ""
        self.stopped: Error | None = None
        self._data, self._start = bytearray(), time.monotonic()
        self._began = self._ended = 0.0  # the epoch that runs
        self._before = self._start  # when the one before it ended
        self._now = self._start  # when the message came that is being taken: keeping an epoch takes a while
        log.spans = []  # of this process

    def hear(self, part: bytes) -> bool:
        """Takes some bytes; False when no more are wanted."""
        self._data += part
        while len(self._data) >= 4:
            size = struct.unpack_from("<I", self._data)[0]
            if size > MAX_MESSAGE_BYTES:
                self.wrong = "it sent more than an epoch's weights can be"
                return False
            if len(self._data) < 4 + size:
                return True
            message, self._now = bytes(self._data[4 : 4 + size]), time.monotonic()
            del self._data[: 4 + size]
            if not self.first:
                self.first = struct.pack("<I", size) + message  # that the walls stand
                continue
            try:
                self._take(message)
            except (Malformed, KeyError, TypeError, ValueError, AttributeError, OverflowError):
                self.wrong = self.wrong or "it sent something else than an epoch's weights and figures"
                return False
            if self.wrong or self.stopped:
                return False
        return True

    def close(self) -> None:
        self._data.clear()

    def _take(self, message: bytes) -> None:
        said = decode(message, MAX_MESSAGE_BYTES, bounds=message_bounds())
        if "stopped" in said:
            error = said["stopped"]
            self.stopped = error if isinstance(error, Error) else Error("Error", "it stopped")
        elif "epoch" in said:
            self._epoch(said, message)
        elif "begun" in said:
            self._began = self._began or self._now
        elif "ended" in said:
            self._ended = self._now
        else:
            self._watch(int(said["images"]), self.log)

    def _epoch(self, said: dict[str, Any], message: bytes) -> None:
        if said["epoch"] != len(self.log.epochs) + 1 or not self._began < self._ended:
            self.wrong = "it sent an epoch out of turn"
            return
        if problem := _no_history(said["history"]):
            self.wrong = f"no history of one epoch came back: {problem}"
            return
        if not all(isinstance(tensor, Tensor) for tensor in said["net"].values()):
            raise Malformed("weights that are no tensors")
        self.log.epochs.append({name: float(said["history"][name][0]) for name in FIGURES})
        self.log.seconds.append(self._ended - self._began)
        self.log.most.append(self._ended - self._before)
        self._before = self._ended
        self.log.spans.append([round(moment - self._start, 2) for moment in (self._began, self._ended)])
        self.log.images = int(said["images"])
        self._kept.add(self.log, len(self.log.epochs), message)
        self._watch(self.log.images, self.log)
        self._began = self._now


def _no_history(history: Any) -> str:
    """What is wrong with the history of one epoch; empty when nothing is."""
    if not isinstance(history, dict):
        return f"a {type(history).__name__}, not a dict"
    for name in FIGURES:
        values = history.get(name)
        if not isinstance(values, list) or len(values) != 1:
            return f"{name} is no list with one float"
        if not isinstance(values[0], (int, float)):
            return f"{name} holds a {type(values[0]).__name__}, not a float"
    return ""


# --- devices ----------------------------------------------------------------------------------------------------------


def choose_device(name: str) -> str:
    """The device that `auto`, `cpu`, `cuda` or `mps` means here.

    Raises:
        CourseError: it is not there.
    """
    there = _devices()
    if name == "auto":
        return next(kind for kind, usable in there.items() if usable)
    if not there[name]:
        usable = [kind for kind, here in there.items() if here]
        raise CourseError(f"--device {name}: there is none here that PyTorch can use; there is {', '.join(usable)}")
    return name


def nearest_device(name: str) -> str:
    """The device `name`, or the CPU where that is not here: what weights that were trained elsewhere are judged on."""
    return name if _devices()[name] else "cpu"


def _devices() -> dict[str, bool]:
    """Which devices PyTorch can use here, the fastest first."""
    import torch

    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def device_files(device: str) -> list[Path]:
    """What a submission must reach of a GPU, file by file; nothing for other devices."""
    if device != "cuda":
        return []
    numbered = [path for path in Path("/dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()]
    return [path for path in (*sorted(numbered), *(Path("/dev", name) for name in DEVICE_FILES)) if path.exists()]


@contextlib.contextmanager
def _watched(device: str) -> Iterator[list[list[float]]]:
    """Collects, while the block runs, how much of a GPU's memory is in use, whoever uses it; nothing for other devices."""
    samples: list[list[float]] = []
    if device != "cuda":
        yield samples
        return
    import torch

    def used() -> int:
        free, total = torch.cuda.mem_get_info()
        return total - free

    start, before, done = time.monotonic(), used(), threading.Event()

    def look() -> None:
        while not done.wait(DEVICE_SECONDS):
            samples.append([round(time.monotonic() - start, 2), max(0, used() - before)])

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield samples
    finally:
        done.set()
        watch.join()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder of the grader's own for what submissions are given."""
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
