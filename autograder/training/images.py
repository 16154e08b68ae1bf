"""CIFAR-10 for the full training: where it is, and which of it a submission is given."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from autograder.errors import CourseError
from autograder.sandboxed.training import GIVEN, Preset

TRAIN, TEST, CLASSES = 50_000, 10_000, 10
FIRST_LABELS = ([6, 9, 9, 4, 1, 1, 2, 7, 8, 3], [3, 8, 8, 0, 6, 6, 1, 6, 3, 1])  # of the official order
PUBLISHED = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


@dataclass(frozen=True)
class Images:
    """A labelled set: `images` (N, 32, 32, 3) bytes, `labels` (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, places: np.ndarray) -> "Images":
        """Those at `places`."""
        return Images(self.images[places], self.labels[places])


@dataclass(frozen=True)
class Split:
    """What the seed draws: images to train on and to test on, and those that no submission is given."""

    train: Images
    test: Images
    held_back: Images


def give(parts: Split, folder: Path) -> None:
    """Writes what a submission is given of `parts` into `folder`."""
    (folder / GIVEN).write_bytes(given_of(parts))


def given_of(parts: Split) -> bytes:
    """What a submission is given of `parts`, as a file that it reads: never what is held back."""
    given = {"train": parts.train, "test": parts.test}
    arrays = {f"{name}_images": np.ascontiguousarray(part.images) for name, part in given.items()}
    return save(arrays | {f"{name}_labels": part.labels.astype(np.int64) for name, part in given.items()})


def split(preset: Preset, seed: int, train: Images, test: Images) -> Split:
    """The images of a run: `preset` says how many, `seed` which; the same on every machine.

    Raises:
        CourseError: there are fewer.
    """
    if len(train) < preset.train_images or len(test) < preset.test_images:
        raise CourseError(
            f"--preset {preset.name} needs {preset.train_images:,} training and {preset.test_images:,} test images; "
            f"there are {len(train):,} and {len(test):,}"
        )
    drawn = np.random.default_rng([seed, 0]).permutation(len(train))[: preset.train_images]
    order = np.random.default_rng([seed, 1]).permutation(len(test))[: preset.test_images]
    half = preset.test_images // 2
    return Split(train.at(drawn), test.at(order[:half]), test.at(order[half:]))


def find_images(preset: Preset, place: Path, *, named: bool, download: bool = False) -> tuple[Images, Images]:
    """The training and the test images that `preset` draws from.

    Args:
        place: where CIFAR-10 is: a folder that holds torchvision's `cifar-10-batches-py`, or a .npz file with
            train_images (50000, 32, 32, 3), train_labels, test_images and test_labels in the official order. Not needed
            for a preset that the tiny data are enough for.
        named: whether the user named `place`.
        download: fetch it (170 MB) where it is missing.

    Raises:
        CourseError: it is missing or damaged; says how to get it.
    """
    tiny = _tiny()
    if not named and preset.train_images <= len(tiny[0]) and preset.test_images <= len(tiny[1]):
        return tiny
    if place.is_file():
        return _checked(_from_npz(place), place)
    folder = place.parent if place.name == "cifar-10-batches-py" else place
    return _checked(_from_torchvision(folder, download), folder)


def _tiny() -> tuple[Images, Images]:
    from autograder.sandboxed.cifar10 import TinyCIFAR10

    parts = [TinyCIFAR10(train=train) for train in (True, False)]
    train, test = (Images(part.data, np.array(part.targets)) for part in parts)
    return train, test


def _from_npz(path: Path) -> tuple[Images, Images]:
    try:
        with np.load(path) as file:
            train, test = (Images(file[f"{part}_images"], file[f"{part}_labels"]) for part in ("train", "test"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        mend = "make it again, or name a folder with cifar-10-batches-py"
        raise CourseError(f"{path} is damaged, or no .npz file of CIFAR-10 ({error}): {mend}") from None
    return train, test


def _from_torchvision(folder: Path, download: bool) -> tuple[Images, Images]:
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(folder, train=train, download=download) for train in (True, False)]
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        there = (folder / CIFAR10.base_folder).is_dir()
        what = f"CIFAR-10 in {folder}/{CIFAR10.base_folder} is damaged" if there else f"CIFAR-10 is not in {folder}/"
        if download:
            what = f"CIFAR-10 could not be fetched to {folder}/ ({' '.join(str(error).split())[:200]})"
        mend = f"--download fetches it (170 MB); or --data names a folder with what {PUBLISHED} holds, or a .npz file"
        raise CourseError(f"{what}: {mend}") from None
    train, test = (Images(part.data, np.array(part.targets)) for part in parts)
    return train, test


def _checked(parts: tuple[Images, Images], place: Path) -> tuple[Images, Images]:
    for part, count, labels in zip(parts, (TRAIN, TEST), FIRST_LABELS, strict=True):
        right = part.images.shape == (count, 32, 32, 3) and part.images.dtype == np.uint8 and len(part) == count
        if not right or part.labels[: len(labels)].tolist() != labels:
            raise CourseError(
                f"{place} does not hold CIFAR-10 in its official order ({count:,} images of 32 x 32 expected, found "
                f"{part.images.shape}): make it again from {PUBLISHED}"
            )
    return parts
