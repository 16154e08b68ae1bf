"""The full training: what is trained at which size, and how a student's functions are put to work.

Runs in the sandbox, beside the student's code, and in the grader, which evaluates the weights that come back. The floors
are from calibration.json, which `autograder train week08_densenet --preset NAME --calibrate` writes.
"""

import torch
from torch import nn
from torchvision.models import DenseNet

from autograder.authoring import Preset, Recipe, Run, Setup

from .training_parts import REHEARSAL, prepare

# the lecture's ten epochs: the training loss as printed, 32 of which are the loss per image, and the test accuracy
PRINTED = [0.041725, 0.026344, 0.019356, 0.015529, 0.012718, 0.010575, 0.008777, 0.007313, 0.006126, 0.005103]
TEST_ACCURACY = [0.5927, 0.7402, 0.7774, 0.7650, 0.8475, 0.8390, 0.8513, 0.8426, 0.8543, 0.8606]


def network(classes: int = 1000) -> nn.Module:
    """DenseNet-121 from random weights."""
    return DenseNet(growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64, num_classes=classes)


def begin(student, run: Run) -> Setup:
    """All that comes before the first epoch, by the student's functions."""
    transform = student.make_transform(run.preset.image_size)
    loaders = student.make_loaders(run.images("train", transform), run.images("test", transform), run.preset.batch_size)
    net = student.replace_classifier(run.net, run.classes).to(run.device)
    return Setup(net, tuple(loaders), torch.optim.Adam(net.parameters(), lr=run.preset.learning_rate))


def epoch(student, run: Run, setup: Setup) -> dict[str, list[float]]:
    """One epoch, as the notebook's `run_experiment` asks for it."""
    return student.fit(setup.net, *setup.loaders, nn.NLLLoss(), setup.optimizer, run.device, epochs=1)


RECIPE = Recipe(
    network=network,
    prepare=prepare,
    begin=begin,
    epoch=epoch,
    exercise="training",
    watched="features.conv0.weight",
    lecture={"train_loss": [32 * printed for printed in PRINTED], "test_accuracy": TEST_ACCURACY},
    presets=[
        REHEARSAL,
        Preset(
            "short",
            train_images=10_000,
            test_images=4_000,
            image_size=32,
            batch_size=32,
            epochs=5,
            learning_rate=1e-3,
            floor=0.45,
            points=2,
        ),
        Preset(
            "lecture",
            train_images=50_000,
            test_images=10_000,
            image_size=224,
            batch_size=32,
            epochs=10,
            learning_rate=1e-4,
            floor=0.75,
            points=5,
            memory_gib=12,
        ),
    ],
)
