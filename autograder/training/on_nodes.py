"""Training on nodes: a node trains one submission, and the folder of its run comes back and is kept as if it had been
trained here. Judging goes the same way as on one machine: the images held back, the floor and the reference stay.

    out     `common`: versions, training.py and what it imports, the module's own data, functions, preset, device, limit
            the order: the seed, the code, the images that the submission is given, what is kept of a run that goes on
    back    the log and the messages of the last epochs, or why there are none
"""

import json
import math
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from autograder.cluster.node import FOLDERS, answered, cores, own_versions
from autograder.cluster.nodes import Nodes
from autograder.cluster.parcels import Parcel, bring, lay_out, pack, unpack
from autograder.cluster.sending import Item, Sending
from autograder.errors import GraderFault, Malformed
from autograder.files import write_whole
from autograder.grading.judge import clean
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.recording import Tensor, decode
from autograder.sandboxed.training import GIVEN, MAX_MESSAGE_BYTES, Preset, message_bounds
from autograder.training.claim_file import FIGURES
from autograder.training.full import FullTraining
from autograder.training.images import given_of, split
from autograder.training.run import Kept, Log, Trainer, choose_device

MAX_LOG_BYTES = 64 * 2**20  # what a day's looks at memory take, twice over
OUT_BYTES = 8 * 2**30  # of images, that may be out at the same time: a scheduler holds them, or a disk
STATES = 100  # letters of a state

Who = TypeVar("Who")


@dataclass(frozen=True)
class Run(Generic[Who]):
    """A run that is to be trained, for all whose code is the same."""

    who: list[Who]
    code: Code
    seed: int


class Runs(Sending[Run[Who]]):
    """Has runs trained on `nodes`, one in a shard, into the folders of `training`, which judges them.

    `problems` says, by the name of a run's folder, why there is none.
    """

    def __init__(self, training: FullTraining, nodes: Nodes, say: Callable[[str], None]):
        super().__init__(nodes, train, say)
        self._training = training
        self.problems: dict[str, str] = {}

    def problem(self, run: Run[Who]) -> str:
        """Why a run that is back cannot be judged; empty when it can."""
        return self.problems.get(self._kept(run).folder.name, "")

    def _kept(self, run: Run[Who]) -> Kept:
        return self._training.kept(run.code, run.seed)

    @property
    def _at_once(self) -> int:
        given: int = self._training.settings.preset.given * self._training.images[0].images[0].nbytes
        return max(1, min(self._nodes.at_once, OUT_BYTES // given))

    @cached_property
    def _common(self) -> bytes:
        training = self._training
        about, blobs = bring(training.module.tests, ["training"], training.contents.needs)
        about |= {
            "versions": own_versions(),
            "functions": training.contents.functions,
            "preset": training.preset,
            "device": training.settings.device,
            "threads": training.settings.threads,
            "limit": training.limit,
        }
        return pack(about, blobs)

    def _shard(self, waiting: Iterator[Run[Who]], ready: list[Run[Who]]) -> tuple[list[Item[Run[Who]]], bytes]:
        for run in waiting:
            kept = self._kept(run)
            if kept.log().is_over(self._training.limit):
                ready.append(run)
                continue
            images = split(self._training.settings.preset, run.seed, *self._training.images)
            names, files = files_of(kept)
            return [Item(run, kept.folder.name)], pack(
                {"seed": run.seed, "files": names}, [run.code.as_json(), given_of(images), *files]
            )
        return [], b""

    def _keep(self, items: list[Item[Run[Who]]], about: dict[str, Any], blobs: list[bytes]) -> None:
        [item] = items
        if "fault" in about:
            self.problems[item.name] = str(about["fault"])[:500]
            return
        files = dict(zip(map(str, about["files"]), blobs, strict=True))
        keep_files(self._kept(item.work), files, self._training.settings.preset, self._training.limit)

    def _give_up(self, item: Item[Run[Who]], said: str) -> None:
        self.problems[item.name] = f"the node that trained it {said}"


# --- a run's folder as it crosses -------------------------------------------------------------------------------------


def files_of(kept: Kept) -> tuple[list[str], list[bytes]]:
    """The names and the contents of the files of a run: its log and the last epochs; none when nothing is kept."""
    log = kept.log()
    if not log.epochs and not log.state:
        return [], []
    paths = [kept.folder / kept.LOG, *(path for path in kept.epochs(log).values() if path.is_file())]
    return [path.name for path in paths], [path.read_bytes() for path in paths]


def keep_files(kept: Kept, files: dict[str, bytes], preset: Preset, limit: float) -> None:
    """Keeps a run that was trained elsewhere with `limit` seconds, whole; the log last, which never knows too much.

    Where it is no run that has ended, by its form, it raises one of `OTHER_FORM` and keeps nothing.
    """
    log = _plain_log(files[kept.LOG], preset, limit)
    paths = kept.epochs(log)
    if others := files.keys() - {path.name for path in paths.values()} - {kept.LOG}:
        raise Malformed(f"files that are no run's: {sorted(others)[:3]}")
    messages = {path: files[path.name] for path in paths.values() if path.name in files}
    for number, path in paths.items():
        if path in messages:
            _require_epoch(messages[path], number)
    for path, message in messages.items():
        write_whole(path, message)
    kept.write(log)
    for path in set(kept.folder.glob("epoch-*.safetensors")) - set(messages):
        path.unlink()


def _plain_log(data: bytes, preset: Preset, limit: float) -> Log:
    """The log of a run that has ended, taken to be no more than figures and a line.

    How long it had is known here, and what the weights are worth, too, is only found here.
    """
    if len(data) > MAX_LOG_BYTES:
        raise Malformed(f"a log of {len(data):,} bytes")
    said = json.loads(data)
    log = Log(
        state=clean(str(said["state"]))[:STATES],
        why=clean(str(said["why"]))[:1000],
        epochs=[{name: float(epoch[name]) for name in FIGURES} for epoch in said["epochs"]],
        seconds=[_length(seconds) for seconds in said["seconds"]],
        most=[_length(seconds) for seconds in said["most"]],
        images=int(said["images"]),
        memory=_pairs(said["memory"]),
        device_memory=_pairs(said["device_memory"]),
        spans=_pairs(said["spans"]),
        limit=limit,
    )
    if not log.state or not len(log.most) == len(log.seconds) == len(log.epochs) <= preset.epochs:
        raise Malformed("a run that has not ended, or never was")
    if log.complete and len(log.epochs) < preset.epochs:
        raise Malformed(f"a run of {len(log.epochs)} epochs that says it is complete")
    return log


def _pairs(values: Any) -> list[list[float]]:
    return [[_length(one), _length(other)] for one, other in values]


def _length(value: Any) -> float:
    """A number of seconds or bytes."""
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
        raise Malformed(f"{value!r:.40} for seconds or bytes")
    return value


def _require_epoch(message: bytes, number: int) -> None:
    said = decode(message, MAX_MESSAGE_BYTES, bounds=message_bounds())
    if said["epoch"] != number or not all(isinstance(tensor, Tensor) for tensor in said["net"].values()):
        raise Malformed(f"something else than epoch {number}")


# --- on the node ------------------------------------------------------------------------------------------------------

_DEVICE = threading.Lock()  # one run at a time has the device and all the cores, whatever the scheduler sends here


def train(parcel: bytes) -> bytes:
    """Trains one submission behind the walls, on a node."""
    return answered(parcel, _train)


def _train(common: bytes, order: Parcel, node: str) -> bytes:
    (about, _), (run, (code, images, *files)) = unpack(common), order
    device = choose_device(about["device"])
    with _DEVICE, tempfile.TemporaryDirectory(prefix=FOLDERS) as folder:
        root = Path(folder)
        tests, needs = lay_out(unpack(common), root)
        kept = Kept(root / "run")
        write_whole(root / "given" / GIVEN, images)
        for name, data in zip(run["files"], files, strict=True):
            write_whole(kept.folder / name, data)
        preset, threads = Preset(**about["preset"]), about["threads"] or cores()
        with Trainer(tests, needs, preset, device, root / "given", "full", threads) as trainer:
            try:
                log = trainer.train(Code.from_json(code), about["functions"], run["seed"], kept, about["limit"])
            except GraderFault as error:
                return pack({"node": node, "fault": str(error)})
        if not log.may_go_on:
            kept.lighten()
        names, files = files_of(kept)
        return pack({"node": node, "files": names}, files)
