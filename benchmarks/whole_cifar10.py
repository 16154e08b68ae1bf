"""The lecture's experiment at a small size on the whole of CIFAR-10, for students without a GPU to see in their notebook.

    python benchmarks/whole_cifar10.py --data data          # where cifar-10-batches-py is, or an .npz of it

Trains DenseNet-121 by the reference's functions, as the notebook of week 8 does with the lecture's settings, but for the
size of the images. After each epoch it writes source/week08_densenet/data/whole_cifar10.npz anew, which `autograder
release` puts into the `data/` of the notebook: the history's lists by their names, for each watched layer `before NAME`
and `after NAME`, and `about`, a line of text that says what was run. At 32 × 32 pixels an epoch took some seven minutes of
one core.
"""

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

from autograder.errors import CourseError
from autograder.sandboxed.training import Pictures, Preset
from autograder.training.images import Images, find_images

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "source" / "week08_densenet" / "data" / "whole_cifar10.npz"
WATCHED = ["features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight"]
SEED = 40


def run(preset: Preset, parts: tuple[Images, Images], output: Path) -> None:
    """Trains on the first of `parts`, tests on the second, and writes `output` after each epoch."""
    reference = runpy.run_path(str(ROOT / "solutions" / "week08_densenet" / "densenet.py"))
    transform = reference["make_transform"](preset.image_size)
    sets = [Pictures(part.images, part.labels.tolist(), [], transform) for part in parts]
    loaders = reference["make_loaders"](*sets, preset.batch_size)
    device = reference["pick_device"]()
    torch.manual_seed(SEED)
    net = reference["replace_classifier"](torchvision.models.densenet121(weights=None)).to(device)
    net = net.to(memory_format=torch.channels_last)  # a fifth faster on a CPU, and the same numbers but for rounding
    optimizer = torch.optim.Adam(net.parameters(), lr=preset.learning_rate)
    before = reference["snapshot_weights"](net, WATCHED)
    about = (
        f"DenseNet-121, {len(sets[0]):,} training and {len(sets[1]):,} test images of {preset.image_size} × "
        f"{preset.image_size} pixels, batches of {preset.batch_size}, Adam at {preset.learning_rate:g}, seed {SEED}"
    )
    print(f"{about}; on {device}", flush=True)
    history: dict[str, list[float]] = {}
    for _ in range(preset.epochs):
        epoch = reference["fit"](net, *loaders, nn.NLLLoss(), optimizer, device, epochs=1)
        history = {name: history.get(name, []) + values for name, values in epoch.items()}
        save(output, about, history, before, reference["snapshot_weights"](net, WATCHED))
    print(f"written: {output}, {output.stat().st_size / 1000:.0f} kB")


def save(
    path: Path,
    about: str,
    history: dict[str, list[float]],
    before: dict[str, torch.Tensor],
    after: dict[str, torch.Tensor],
) -> None:
    """Writes what the notebook shows."""
    arrays: dict[str, Any] = {"about": about, **history}
    arrays |= {f"before {name}": weights.numpy() for name, weights in before.items()}
    arrays |= {f"after {name}": weights.numpy() for name, weights in after.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def main() -> None:
    """Takes the settings from the command line; without any they are the lecture's, but for the images' size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="PATH", help="CIFAR-10 (default: data/)")
    parser.add_argument("--download", action="store_true", help="fetch it (170 MB) where it is missing")
    parser.add_argument("--size", type=int, default=32, help="pixels, height and width (default: 32; the lecture's 224)")
    parser.add_argument("--epochs", type=int, default=10, help="default: the lecture's 10")
    parser.add_argument("--learning-rate", type=float, default=1e-4, metavar="RATE", help="default: the lecture's 1e-4")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="default: where releases take it from")
    options = parser.parse_args()
    preset = Preset("whole", 50_000, 10_000, options.size, 32, options.epochs, options.learning_rate)
    try:
        run(preset, find_images(preset, options.data, named=True, download=options.download), options.output)
    except CourseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
