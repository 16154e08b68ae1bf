"""What the full trainings of several modules have in common. Runs in the sandbox, and in the grader as it evaluates."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Resize, ToTensor
from torchvision.transforms.functional import pil_to_tensor, resize, to_pil_image

from autograder.authoring import Preset, Run

REHEARSAL = Preset("rehearsal", train_images=120, test_images=50, image_size=32, batch_size=16, epochs=3, learning_rate=1e-3)


def prepare(images: torch.Tensor, size: int) -> torch.Tensor:
    """(N, 3, height, width) bytes → (N, 3, size, size) floats in [0, 1], as torchvision's Resize and ToTensor do it."""
    if images.shape[2:] != (size, size):
        images = torch.stack([pil_to_tensor(resize(to_pil_image(image), [size, size])) for image in images])
    return images.float() / 255


def loaders_of(run: Run) -> tuple[DataLoader, DataLoader]:
    """The images that a submission is given, as the notebook loads them: the training images in random order."""
    transform = Compose([Resize((run.preset.image_size, run.preset.image_size)), ToTensor()])
    train, test = run.images("train", transform), run.images("test", transform)
    return DataLoader(train, run.preset.batch_size, shuffle=True), DataLoader(test, run.preset.batch_size)


def put_blocks(net: nn.Module, kind: type[nn.Module], make: Callable[[nn.Module], nn.Module]) -> None:
    """Puts `make(block)` with the block's weights and buffers in the place of each block of the class `kind`."""
    for name, block in list(net.named_modules()):
        if isinstance(block, kind):
            made = make(block)
            made.load_state_dict(block.state_dict())
            net.set_submodule(name, made)
