"""A course whose module trains: a network of a few hundred weights on the tiny data, epochs of a fraction of a second."""

from pathlib import Path

NAME = "week02_train"
SOURCE = '''
# %% [markdown]
# # A small training

# %%
import time

import torch
from torch.utils.data import DataLoader
from torchvision import transforms

from autograder import check

# %% role="exercise" function="make_loaders"
def make_loaders(train_set, test_set, batch_size):
    """Two loaders."""
    ### BEGIN SOLUTION
    return DataLoader(train_set, batch_size, shuffle=True), DataLoader(test_set, batch_size)
    ### END SOLUTION

# %% role="exercise" function="fit"
def fit(net, train_loader, test_loader, criterion, optimizer, device, epochs):
    """The history."""
    ### BEGIN SOLUTION
    history = {name: [] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    for _ in range(epochs):
        start, figures = time.perf_counter(), []
        for loader, training in ((train_loader, True), (test_loader, False)):
            net.train(training)
            loss_sum, correct, seen = 0.0, 0, 0
            with torch.set_grad_enabled(training):
                for images, labels in loader:
                    images, labels = images.to(device), labels.to(device)
                    scores = net(images)
                    loss = criterion(scores, labels)
                    if training:
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    loss_sum += loss.item() * len(labels)
                    correct += int((scores.argmax(1) == labels).sum())
                    seen += len(labels)
            figures += [loss_sum / seen, correct / seen]
        for values, value in zip(history.values(), [*figures, time.perf_counter() - start]):
            values.append(value)
    return history
    ### END SOLUTION

# %% role="grade" exercise="training"
check("training")
'''

PROBES = '''
from autograder.authoring import probe


@probe("fit")
def there(student, draw):
    return student.fit is not None


@probe("make_loaders")
def loaders(student, draw):
    return len(student.make_loaders([1, 2], [3], 1))
'''

CHECKS = '''
from autograder.authoring import check, same


@check("fit", points=1)
def test_there(observed, expected):
    """Is there."""
    same(observed.there, expected.there, "fit")


@check("make_loaders", points=1)
def test_loaders(observed, expected):
    """Two."""
    same(observed.loaders, expected.loaders, "loaders")
'''

TRAINING = '''
import torch
from torch import nn
from torchvision import transforms

from autograder.authoring import Preset, Recipe, Run, Setup


def network(classes=10):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=4, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 8 * 8, classes)
    )


def prepare(images, size):
    return images.float() / 255


def begin(student, run):
    as_tensor = transforms.ToTensor()
    loaders = student.make_loaders(run.images("train", as_tensor), run.images("test", as_tensor), run.preset.batch_size)
    net = run.net.to(run.device)
    return Setup(net, loaders, torch.optim.Adam(net.parameters(), lr=run.preset.learning_rate))


def epoch(student, run, setup):
    return student.fit(setup.net, *setup.loaders, nn.CrossEntropyLoss(), setup.optimizer, run.device, epochs=1)


RECIPE = Recipe(
    network=network, prepare=prepare, begin=begin, epoch=epoch, exercise="training", watched="0.weight",
    presets=[
        Preset("rehearsal", train_images=120, test_images=50, image_size=32, batch_size=16, epochs=4, learning_rate=1e-3),
        Preset("points", train_images=120, test_images=50, image_size=32, batch_size=16, epochs=4, learning_rate=1e-3,
               floor=0.05, points=3, memory_gib=1),
        Preset("out_of_reach", train_images=120, test_images=50, image_size=32, batch_size=16, epochs=4, learning_rate=1e-3,
               floor=0.95, points=3),
        Preset("large", train_images=5000, test_images=200, image_size=32, batch_size=16, epochs=4, learning_rate=1e-3),
    ],
)
'''


def write_training_course(root: Path) -> Path:
    """Writes the course; its root."""
    files = {
        f"source/{NAME}/train.py": SOURCE,
        f"tests/{NAME}/__init__.py": "",
        f"tests/{NAME}/probes_public.py": PROBES,
        f"tests/{NAME}/test_public.py": CHECKS,
        f"tests/{NAME}/training.py": TRAINING,
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    return root
