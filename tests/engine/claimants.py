"""A toy week with a training, an honest run of it, and the dishonest claims that can be made from one."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from autograder import TinyCIFAR10
from autograder.sandboxed.training import Preset, Recipe
from autograder.students.training import run_experiment
from autograder.training.claim_file import Claim, hash_of, kept, pack_claim, parse_claim

CPU = torch.device("cpu")
EPOCHS = 6
PRESET = Preset("tiny", 120, 50, image_size=32, batch_size=16, epochs=EPOCHS, learning_rate=3e-3, floor=0.2, points=3)


class SmallNet(nn.Module):
    """Two convolutions with batch norm; the classifier is replaced, as the real week does it."""

    def __init__(self, classes: int = 20) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 48, 3, stride=2), nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 24, 3, stride=2), nn.ReLU()
        )
        self.classifier = nn.Linear(24 * 49, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


RECIPE = Recipe(
    network=SmallNet,
    prepare=lambda images, size: images.float() / 255,
    begin=lambda student, run: None,
    epoch=lambda student, run, setup: {},
    presets=[PRESET, replace(PRESET, name="all", train_images=50_000, points=9)],
    exercise="training",
    watched="features.0.weight",
)


def started(seed: int) -> nn.Module:
    """The network as a notebook builds it."""
    torch.manual_seed(seed)
    net = SmallNet()
    net.classifier = nn.Linear(net.classifier.in_features, 10)
    return net


def data(train: bool) -> TinyCIFAR10:
    return TinyCIFAR10(train=train, transform=transforms.ToTensor())


def one_pass(net, loader, optimizer=None):
    """(loss, accuracy) of a pass; with an optimizer it trains."""
    net.train(optimizer is not None)
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in loader:
            scores = net(images)
            loss = F.cross_entropy(scores, labels)
            if optimizer:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (scores.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
    return loss_sum / seen, correct / seen


def fit(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """As a student writes it; its clock stands still, so that two runs give the same history."""
    history = {name: [] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    for _ in range(epochs):
        figures = *one_pass(net, train_loader, optimizer), *one_pass(net, test_loader), 0.25
        for values, value in zip(history.values(), figures, strict=True):
            values.append(value)
    return history


def run(folder: Path, seed: int, epochs: int = EPOCHS, train_set=None, fit=fit, claim=True) -> dict:
    """A run of the toy week's experiment, whose claim is then in `folder`."""
    net = started(seed)
    train = DataLoader(train_set or data(train=True), batch_size=16, shuffle=True)
    test = DataLoader(data(train=False), batch_size=16)
    optimizer = torch.optim.Adam(net.parameters(), lr=PRESET.learning_rate)
    how = (fit, net, train, test, nn.CrossEntropyLoss(), optimizer, CPU, epochs, folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine several wait for each other, far longer than the clock of `fit` says
    try:
        return run_experiment(*how, seed=seed) if claim else run_experiment(*how)
    finally:
        torch.set_num_threads(threads)


def forged(claim: Claim, **changed) -> Claim:
    """With other contents, as somebody makes it who can compute hashes: seal and last hash fit."""
    claim = replace(copy.deepcopy(claim), **changed)
    return parse_claim(pack_claim(replace(claim, hashes=[*claim.hashes[:-1], hash_of(claim.weights)])))


def with_history(claim: Claim, **figures: dict[int, float]) -> Claim:
    """With other figures of some epochs: `test_accuracy={-1: 0.9}`."""
    history = copy.deepcopy(claim.history)
    for name, values in figures.items():
        for epoch, value in values.items():
            history[name][epoch] = value
    return forged(claim, history=history)


def with_counters(claim: Claim, batches: int) -> Claim:
    """With another number in the counters of batch norm."""
    weights = {n: a * 0 + batches if n.endswith("num_batches_tracked") else a for n, a in claim.weights.items()}
    return forged(claim, weights=kept(weights))
