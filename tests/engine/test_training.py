"""The real experiment in small: resuming, damaged and foreign checkpoints, too little memory, what is shown meanwhile."""

import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autograder.errors import NotebookError
from autograder.students import training
from autograder.students.training import experiment_folder, run_experiment

CPU = torch.device("cpu")


def fit(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """As a student writes it, in short."""
    history = {"train_loss": [], "test_loss": []}
    for _ in range(epochs):
        for name, loader in (("train_loss", train_loader), ("test_loss", test_loader)):
            total = 0.0
            for images, labels in loader:
                loss = criterion(net.train(name == "train_loss")(images), labels)
                if name == "train_loss":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                total += loss.item() * len(labels)
            history[name].append(total / len(loader.dataset))
        print("an epoch has ended")
    return history


class Experiment:
    """A tiny network with batch norm, dropout and Adam, and data that come in a random order."""

    def __init__(self, seed: int = 1, batch_size: int = 4, generator: torch.Generator | None = None):
        images = torch.rand(10, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        data = TensorDataset(images, torch.arange(10) % 3)
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.01)
        self.train = DataLoader(data, batch_size=batch_size, shuffle=True, generator=generator)
        self.test = DataLoader(data, batch_size=batch_size)

    def run(self, folder, epochs: int, fit=fit) -> dict:
        return run_experiment(
            fit, self.net, self.train, self.test, nn.CrossEntropyLoss(), self.optimizer, CPU, epochs, folder
        )


def stopping_in(epoch: int, error: BaseException):
    """A `fit` that raises in the middle of an epoch."""
    calls = []

    def stopped(net, train_loader, *others, epochs):
        calls.append(epochs)
        if len(calls) == epoch:
            next(iter(train_loader))
            raise error
        return fit(net, train_loader, *others, epochs=epochs)

    return stopped


@pytest.mark.parametrize("own_generator", [False, True])
def test_interrupted_and_resumed_is_as_uninterrupted(tmp_path, own_generator):
    def experiment(seed):
        return Experiment(seed, generator=torch.Generator().manual_seed(seed) if own_generator else None)

    whole = experiment(1)
    expected = whole.run(tmp_path / "whole", 4)
    with pytest.raises(NotebookError, match="Interrupted: run this cell again"):
        experiment(1).run(tmp_path / "cut", 4, stopping_in(3, KeyboardInterrupt()))
    other = experiment(2)  # a new runtime begins with other weights and another random state
    assert other.run(tmp_path / "cut", 4) == expected and len(expected["train_loss"]) == 4
    for name, weight in whole.net.state_dict().items():
        assert torch.equal(weight, other.net.state_dict()[name]), name
    assert json.loads((tmp_path / "cut" / "history.json").read_text()) == expected


def test_a_finished_experiment_is_not_trained_again(tmp_path, capsys):
    first = Experiment()
    history = first.run(tmp_path, 2)
    again = Experiment(seed=2)
    assert again.run(tmp_path, 2, fit=None) == history
    assert torch.equal(again.net[1].weight, first.net[1].weight)
    assert "2 of 2 epochs were done before" in capsys.readouterr().out


def test_the_bar_counts_images_and_lines_stay_whole(tmp_path, capsys):
    Experiment().run(tmp_path, 2)
    shown = capsys.readouterr().out
    assert "epoch 2/2" in shown and "40/40" in shown and " images/s" in shown
    lines = [line.rpartition("\r")[2] for line in shown.splitlines()]
    assert lines.count("an epoch has ended") == 2


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 99])
def test_a_damaged_checkpoint_is_named_and_kept(tmp_path, damage):
    Experiment().run(tmp_path, 1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(NotebookError, match=r"checkpoint\.pt is damaged.*move .*checkpoint\.pt away"):
        Experiment().run(tmp_path, 2)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [[1], {"about": 3}, None, {"net": {}}])
def test_a_file_of_something_else_is_named(tmp_path, content):
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(NotebookError, match="not a checkpoint of this notebook"):
        Experiment().run(tmp_path, 2)


class Evil:
    def __reduce__(self):
        return print, ("code of the checkpoint ran",)


def test_a_checkpoint_runs_no_code(tmp_path, capsys):
    torch.save({"about": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(NotebookError):
        Experiment().run(tmp_path, 2)
    assert "code of the checkpoint ran" not in capsys.readouterr().out


def test_a_checkpoint_of_other_settings_is_refused_with_the_difference(tmp_path):
    Experiment(batch_size=4).run(tmp_path, 1)
    experiment = Experiment(batch_size=5)
    before = experiment.net[1].weight.clone()
    with pytest.raises(NotebookError, match=r"batch size 4 there, 5 here\): set that back"):
        experiment.run(tmp_path, 2)
    assert torch.equal(experiment.net[1].weight, before)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 98.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_gets_a_smaller_batch(tmp_path, error):
    with pytest.raises(NotebookError, match="a batch of 4 images .*on cpu.* set BATCH_SIZE = 2; then restart"):
        Experiment().run(tmp_path, 2, stopping_in(1, error))
    with pytest.raises(NotebookError, match="a machine with more memory"):
        Experiment(batch_size=2).run(tmp_path, 2, stopping_in(1, error))


def test_other_errors_keep_their_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        Experiment().run(tmp_path, 2, stopping_in(1, RuntimeError("shapes do not fit")))


def test_interrupted_in_the_first_epoch_starts_from_fresh_weights(tmp_path):
    with pytest.raises(NotebookError, match="restart the kernel and run all cells"):
        Experiment().run(tmp_path, 2, stopping_in(1, KeyboardInterrupt()))
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("history", [None, {"train_loss": 3.0}, {"train_loss": ["x"]}, [1.0]])
def test_a_fit_without_history_is_named(tmp_path, history):
    with pytest.raises(NotebookError, match=r'check\("fit"\)'):
        Experiment().run(tmp_path, 2, lambda *_, epochs: history)


def test_a_full_disk_is_named_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    Experiment().run(tmp_path, 1)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "write_whole", full)
    with pytest.raises(NotebookError, match="No space left on device"):
        Experiment().run(tmp_path, 2)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_drive_is_used_where_it_is_mounted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "DRIVE", tmp_path / "MyDrive")
    assert str(experiment_folder("experiment")) == "experiment" and not capsys.readouterr().out
    monkeypatch.setitem(training.sys.modules, "google.colab", object())
    assert str(experiment_folder("experiment")) == "experiment"
    assert "Drive is not mounted" in capsys.readouterr().out
    (tmp_path / "MyDrive").mkdir()
    assert experiment_folder("experiment") == tmp_path / "MyDrive" / "experiment"
