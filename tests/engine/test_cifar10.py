"""The tiny CIFAR-10: the committed files, the messages when they are not there, and the command that cuts them."""

import collections
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from autograder.sandboxed import PACKAGED_DATA, cifar10
from autograder.sandboxed.cifar10 import TinyCIFAR10

FILES = ["data_batch_1", "test_batch", "batches.meta"]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A student's data/ folder: a copy that a test may damage."""
    shutil.copytree(PACKAGED_DATA, tmp_path / "data")
    return tmp_path / "data"


def full_data_set(path: Path, per_class: int) -> Path:
    """A made-up full data set of `per_class` images of each class, labels 0 to 9 in turn."""
    images = np.random.default_rng(0).integers(0, 256, (10 * per_class, 32, 32, 3), dtype=np.uint8)
    labels = np.tile(np.arange(10, dtype=np.uint8), per_class)
    np.savez(path, train_images=images, train_labels=labels, test_images=images[::-1], test_labels=labels[::-1])
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("train", "per_class"), [(True, 12), (False, 5)])
def test_loads_with_the_same_number_of_images_of_each_class(train, per_class):
    images = TinyCIFAR10(train=train)
    assert isinstance(images, CIFAR10)
    assert collections.Counter(images.targets) == dict.fromkeys(range(10), per_class)
    assert len(images) == len(images.data) == 10 * per_class
    image, label = images[0]
    assert (image.size, image.mode) == ((32, 32), "RGB")
    assert images.classes[label] == {True: "frog", False: "cat"}[train]


def test_the_committed_files_have_the_checksums_of_the_class():
    listed = dict(TinyCIFAR10.train_list + TinyCIFAR10.test_list)
    listed[TinyCIFAR10.meta["filename"]] = TinyCIFAR10.meta["md5"]
    folder = PACKAGED_DATA / TinyCIFAR10.base_folder
    assert {path.name: calculate_md5(path) for path in folder.iterdir()} == listed
    assert sum(path.stat().st_size for path in folder.iterdir()) < 600_000


def test_training_and_test_images_are_apart():
    train, test = ({image.tobytes() for image in TinyCIFAR10(train=train).data} for train in (True, False))
    assert len(train) == 120 and len(test) == 50 and not train & test


def test_a_folder_of_ones_own_and_a_transform(copied):
    sizes = TinyCIFAR10(str(copied), train=False, transform=lambda image: image.size)
    assert sizes[3][0] == (32, 32)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("train", [True, False])
def test_a_damaged_file_is_named_with_the_mend(copied, name, train):
    path = copied / "tiny-cifar-10" / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RuntimeError) as error:
        TinyCIFAR10(copied, train=train)
    message = str(error.value)
    assert f"{path} is damaged: " in message and "TinyCIFAR10()" in message and "\n" not in message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_the_mend(copied, name):
    (copied / "tiny-cifar-10" / name).unlink()
    with pytest.raises(RuntimeError, match=f"{name} is missing: open the notebook from its own folder"):
        TinyCIFAR10(copied)


def test_a_notebook_opened_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="data_batch_1 is missing: .* with the assignment's data/ folder beside it"):
        TinyCIFAR10("data")
    assert not list(tmp_path.iterdir())


def test_a_damaged_package_says_to_reinstall_it(copied, monkeypatch):
    monkeypatch.setattr(cifar10, "PACKAGED_DATA", copied)
    (copied / "tiny-cifar-10" / "test_batch").write_bytes(b"")
    with pytest.raises(RuntimeError, match="test_batch is damaged: reinstall the autograder package"):
        TinyCIFAR10()


def test_never_downloads():
    with pytest.raises(RuntimeError, match="never downloads"):
        TinyCIFAR10().download()


def test_cut_takes_the_first_images_of_each_class_and_is_repeatable(tmp_path):
    source = full_data_set(tmp_path / "full.npz", per_class=15)
    for folder in ("one", "two"):
        cifar10.main(["cut", str(source), str(tmp_path / folder)])
    for name in FILES:
        one, two = (tmp_path / folder / "tiny-cifar-10" / name for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()

    with np.load(source) as full, (tmp_path / "one/tiny-cifar-10/test_batch").open("rb") as file:
        batch = pickle.load(file, encoding="latin1")
        assert batch["labels"] == full["test_labels"][:50].tolist()
        assert (batch["data"].reshape(50, 3, 32, 32).transpose(0, 2, 3, 1) == full["test_images"][:50]).all()


def test_cut_says_what_is_wrong_with_its_source(tmp_path, capsys):
    for source in (tmp_path / "nowhere.npz", full_data_set(tmp_path / "few.npz", per_class=3)):
        with pytest.raises(SystemExit):
            cifar10.main(["cut", str(source), str(tmp_path / "out")])
        assert f"{source} cannot be cut: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
