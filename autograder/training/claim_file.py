"""The file of a claim: what a student's own run says of itself, written beside the checkpoint and read by the grader.

One safetensors file: the network's weights by name, and in its metadata one JSON text. Whoever can run the notebook can
write one by hand, so reading it believes nothing but its form: no pickle, bounded size, depth and counts.
"""

import hashlib
import json
import math
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from autograder.errors import NoClaim
from autograder.files import start_of

CLAIM = "claim.safetensors"
SCHEMA = 1
FIGURES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
MAX_CLAIM_BYTES = 64 * 2**20  # DenseNet-121 takes 14 MiB
MAX_HEADER_BYTES = 2**20  # DenseNet-121's has 80 KiB
MAX_EPOCHS = 1000
MAX_SEED = 2**31  # what `experiment_seed` draws from
DTYPES = ("F16", "F32", "I64")
AGAIN = "hand in the file as `autograder pack` takes it along, from the folder of your experiment"

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Claim:
    """What a run says of itself.

    Args:
        module: the assignment's name; "" where the notebook ran without its folder.
        network: the type of the network.
        training_images, test_images: how many a loader had; `image_size` in pixels, height and width.
        planned: the epochs that were asked for.
        seed: from which the network's weights were drawn.
        history: lists of floats by name, as `fit` gives it: nats per image, fractions, seconds.
        hashes: of the weights as they are kept here, after every epoch.
        clock: seconds of every epoch, by the clock of `run_experiment`.
        devices: on which each epoch ran.
        weights: of the last epoch, by name.
        sealed: whether the seal fits the text: a file that was edited by hand does not.
    """

    module: str
    network: str
    training_images: int
    test_images: int
    image_size: int
    batch_size: int
    optimizer: str
    learning_rate: float
    planned: int
    seed: int
    history: dict[str, list[float]]
    hashes: list[str]
    clock: list[float]
    devices: list[str]
    versions: dict[str, str]
    weights: Weights = field(repr=False)
    sealed: bool = True

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.hashes)

    def figure(self, name: str, epoch: int = -1) -> float:
        """One figure of the history."""
        return self.history[name][epoch]


# --- writing ----------------------------------------------------------------------------------------------------------


def kept(weights: Weights) -> dict[str, np.ndarray]:
    """Weights as a claim keeps them: kernels and matrices in half precision, vectors, which are few, in single; whole
    numbers as they are. What half precision cannot hold stays in single."""
    return {name: _kept(np.asarray(array)) for name, array in weights.items()}


def _kept(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return np.array(array, dtype=np.int64, order="C")
    single = np.array(array, dtype=np.float32, order="C")
    if single.ndim < 2:
        return single
    with np.errstate(over="ignore"):
        half = single.astype(np.float16)
    return half if np.array_equal(np.isfinite(half), np.isfinite(single)) else single


def hash_of(weights: Weights) -> str:
    """SHA-256 over names, types, shapes and bytes of weights as `kept` gives them, in the order of the names."""
    digest = hashlib.sha256()
    for name, array in sorted(weights.items()):
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def pack_claim(claim: Claim) -> bytes:
    """The file's content; the seal is made anew."""
    said = asdict(replace(claim, weights={}))
    del said["weights"], said["sealed"]
    said["schema"] = SCHEMA
    return save(dict(claim.weights), metadata={"claim": json.dumps(said | {"seal": _seal(said)})})


def _seal(said: Mapping[str, Any]) -> str:
    """A hash of everything said; it shows a slip or a hasty edit, and hinders nobody who can compute one."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------------


def read_claim(path: Path) -> Claim:
    """The claim in a file that nobody trusts.

    Raises:
        NoClaim: it is none; says in which way, and what to do.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise NoClaim("is not a regular file: name the claim itself")
        data = start_of(path, MAX_CLAIM_BYTES + 1)
    except OSError as error:
        raise NoClaim(f"cannot be read ({error.strerror}): name the claim itself") from None
    if len(data) > MAX_CLAIM_BYTES:
        raise NoClaim(f"is larger than {MAX_CLAIM_BYTES / 2**20:.0f} MiB, which no claim is: {AGAIN}")
    return parse_claim(data)


def parse_claim(data: bytes) -> Claim:
    """The claim in these bytes; as `read_claim`."""
    said, text = _header(data)
    try:
        weights = load(data)
        claim = _claim(json.loads(text), weights)
    except NoClaim:
        raise
    except Exception as error:  # whatever a forged file provokes in the parsers means the same
        raise NoClaim(f"is no claim of this autograder ({type(error).__name__}): {AGAIN}") from None
    if unknown := {about["dtype"] for name, about in said.items() if name != "__metadata__"} - set(DTYPES):
        raise NoClaim(f"holds weights of the type {sorted(map(str, unknown))[0][:20]}, which no claim does: {AGAIN}")
    return claim


def _header(data: bytes) -> tuple[dict[str, Any], str]:
    """What a safetensors file says at its start, and the claim's text in it; that the file has the size it says."""
    size = int.from_bytes(data[:8], "little")
    if size > MAX_HEADER_BYTES or (len(data) >= 9 and data[8:9] != b"{"):
        raise NoClaim(f"is no safetensors file: {AGAIN}")
    if len(data) < 8 + size or size < 2:
        raise NoClaim(f"is cut off: it ends after {len(data):,} bytes. Copy it anew, or {AGAIN}")
    try:
        header = json.loads(data[8 : 8 + size])
        text = header["__metadata__"]["claim"]
        end = 8 + size + max(int(about["data_offsets"][1]) for name, about in header.items() if name != "__metadata__")
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise NoClaim(f"is no claim of `run_experiment`: {AGAIN}") from None
    if len(data) < end:
        raise NoClaim(f"is cut off: it has {len(data):,} of {end:,} bytes. Copy it anew, or {AGAIN}")
    if len(data) > end:
        raise NoClaim(f"has {len(data) - end:,} bytes behind its end: {AGAIN}")
    return header, text


def _claim(said: dict[str, Any], weights: dict[str, np.ndarray]) -> Claim:
    """What is said, each thing of its type.

    Raises:
        NoClaim: it is of another form, or a figure is no number.
        KeyError, TypeError, ValueError, AttributeError: something is missing or of another type.
    """
    if said["schema"] != SCHEMA:
        raise NoClaim(f"is of another version of the package (form {str(said['schema'])[:20]}, {SCHEMA} is read here)")
    seal = said.pop("seal")
    history = {str(name)[:50]: _numbers(values) for name, values in said["history"].items()}
    claim = Claim(
        module=_text(said["module"]),
        network=_text(said["network"]),
        training_images=_count(said["training_images"]),
        test_images=_count(said["test_images"]),
        image_size=_count(said["image_size"]),
        batch_size=_count(said["batch_size"]),
        optimizer=_text(said["optimizer"]),
        planned=_count(said["planned"]),
        learning_rate=_number(said["learning_rate"]),
        seed=_count(said["seed"]),
        history=history,
        hashes=[_text(value) for value in said["hashes"]],
        clock=_numbers(said["clock"]),
        devices=[_text(value) for value in said["devices"]],
        versions={_text(name): _text(version) for name, version in said["versions"].items()},
        weights=weights,
        sealed=seal == _seal(said),
    )
    if not 0 < claim.epochs <= MAX_EPOCHS:
        raise NoClaim(f"claims {claim.epochs:,} epochs: {AGAIN}")
    if missing := [name for name in FIGURES if name not in history]:
        raise NoClaim(f'has a history without {missing[0]}: `check("fit")` says what a history is; then train anew')
    rows = {"clock": len(claim.clock), "devices": len(claim.devices), **{name: len(history[name]) for name in FIGURES}}
    if wrong := [name for name, many in rows.items() if many != claim.epochs]:
        raise NoClaim(f"has {rows[wrong[0]]:,} values of {wrong[0]} for {claim.epochs:,} epochs: {AGAIN}")
    return claim


def _numbers(values: Any) -> list[float]:
    return [_number(value) for value in values]


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise NoClaim(f"says {str(value)[:30]} where a number should be: if your run had NaN, train anew")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise NoClaim(f"says {str(value)[:30]} where a whole number should be: {AGAIN}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise TypeError("no short text")
    return value
