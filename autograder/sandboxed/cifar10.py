"""A tiny subset of the real CIFAR-10 (Krizhevsky, 2009): 12 training and 5 test images of each of the ten classes.

`TinyCIFAR10` is torchvision's own CIFAR10 with its own file list, so it behaves as the full data set does. The files
lie in this package; they were cut from the full data set by

    python -m autograder.sandboxed.cifar10 cut cifar10.npz autograder/sandboxed/data

where cifar10.npz holds the 60,000 images in the official order, as four uint8 arrays: train_images
(50000, 32, 32, 3), train_labels (50000,), test_images (10000, 32, 32, 3), test_labels (10000,).
"""

import argparse
import hashlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from autograder.sandboxed import PACKAGED_DATA

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN_PER_CLASS = 12
TEST_PER_CLASS = 5


class TinyCIFAR10(CIFAR10):
    """120 training or 50 test images of CIFAR-10, each a (32 x 32 RGB PIL image, class index from 0 to 9) pair.

    `root` is the folder that holds `tiny-cifar-10/`; None means the copy inside this package. `transform` is applied
    to each image. Nothing is ever downloaded. Raises RuntimeError, one line that names the file and the mend, when a
    file is missing or is not the file that was released.
    """

    base_folder = "tiny-cifar-10"
    train_list = [["data_batch_1", "5711e68d4c431da0913b44c422ebe816"]]
    test_list = [["test_batch", "750a2ca4dd5501f959d95dac6231d2b0"]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": "4ea390c2a413a461dcc49832672e7588"}

    def __init__(
        self, root: str | Path | None = None, train: bool = True, transform: Callable[..., Any] | None = None
    ) -> None:
        folder = PACKAGED_DATA if root is None else Path(root).expanduser()
        self._require_files(folder / self.base_folder)
        super().__init__(folder, train=train, transform=transform)

    def _require_files(self, folder: Path) -> None:
        """Raises RuntimeError for the first file in `folder` that is missing or damaged."""
        for name, md5 in [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]:
            path = folder / name
            if not check_integrity(path, md5):
                raise RuntimeError(f"{path.absolute()} is {'damaged' if path.exists() else 'missing'}: {_mend(folder)}")

    def download(self) -> None:
        """Raises RuntimeError: the images come with the assignment."""
        raise RuntimeError(f"TinyCIFAR10 never downloads: {_mend(Path(self.root) / self.base_folder)}")


def _mend(folder: Path) -> str:
    if folder.parent == PACKAGED_DATA:
        return "reinstall the autograder package, which brings this file."
    return (
        f"open the notebook from its own folder, with the assignment's {folder.parent.name}/ folder beside it, "
        "or use TinyCIFAR10() without a folder for the copy that comes with the autograder package."
    )


class _BatchPickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as in CIFAR-10's own files, which torchvision reads as latin-1.

    Python 3 would store them in protocol 2 as UTF-8 text, which makes pixels half as large again.
    """

    write: Callable[[bytes], Any]  # typeshed's _Pickler is without these two
    memoize: Callable[[Any], None]
    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes  # type: ignore[assignment]  # typeshed's has the Unpickler's functions here


def _write_pickle(value: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        _BatchPickler(file, protocol=2).dump(value)
    print(f"{path}: {path.stat().st_size:,} bytes, md5 {hashlib.md5(path.read_bytes()).hexdigest()}")


def _first_of_each_class(images: np.ndarray, labels: np.ndarray, per_class: int) -> dict[str, Any]:
    """The first `per_class` images of each class in the order given, in CIFAR-10's own layout.

    images (N, 32, 32, 3) uint8, labels (N,) -> "data" (10 * per_class, 3072) uint8, all red values of an image before
    its green and blue ones, and "labels", a list of int. Raises ValueError when a class has too few images.
    """
    if images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8 or len(images) != len(labels):
        raise ValueError(f"expected (N, 32, 32, 3) uint8 images with N labels, got {images.shape} {images.dtype}")
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == index)[:per_class] for index in range(len(CLASSES))]))
    if len(chosen) != per_class * len(CLASSES):
        raise ValueError(f"expected at least {per_class} images of each of the {len(CLASSES)} classes")
    data = np.ascontiguousarray(images[chosen].transpose(0, 3, 1, 2)).reshape(len(chosen), -1)
    return {"data": data, "labels": labels[chosen].tolist()}


def cut(source: Path, target: Path) -> None:
    """Writes the subset of the full data set `source` (.npz, see above) to `target`/tiny-cifar-10/.

    The same `source` always gives the same bytes. Raises OSError, KeyError or ValueError when `source` cannot be used.
    """
    with np.load(source) as full:
        train = _first_of_each_class(full["train_images"], full["train_labels"], TRAIN_PER_CLASS)
        test = _first_of_each_class(full["test_images"], full["test_labels"], TEST_PER_CLASS)
    folder = target / TinyCIFAR10.base_folder
    folder.mkdir(parents=True, exist_ok=True)
    _write_pickle(train, folder / "data_batch_1")
    _write_pickle(test, folder / "test_batch")
    _write_pickle({"label_names": CLASSES}, folder / "batches.meta")
    print("If an md5 differs from the one in class TinyCIFAR10, write it there.")


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m autograder.sandboxed.cifar10 cut cifar10.npz autograder/sandboxed/data`."""
    parser = argparse.ArgumentParser(prog="python -m autograder.sandboxed.cifar10", description=__doc__.splitlines()[0])
    command = parser.add_subparsers(required=True).add_parser("cut", help="cut the subset from the full data set")
    command.add_argument("source", type=Path, help="the full data set as .npz (described at the top of this file)")
    command.add_argument("target", type=Path, help="the folder to hold tiny-cifar-10/")
    options = parser.parse_args(arguments)
    try:
        cut(options.source, options.target)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        parser.error(f"{options.source} cannot be cut: {error}")


if __name__ == "__main__":
    main()
