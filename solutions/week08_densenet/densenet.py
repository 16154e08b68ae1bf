"""The reference of week08_densenet. Made from source/week08_densenet/densenet.py: edit that file, not this one."""
import time
from collections.abc import Callable, Iterable
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import transforms


plt.style.use("default")


plt.rcParams.update({"figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 80, "font.size": 11})


plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})


def make_transform(image_size: int = 224) -> Callable:
    """Makes the transform of training and test images alike; nothing random, no normalisation.

    image_size: height and width of the result, in pixels.
    Returns a callable: RGB PIL image of any size -> float32 tensor (3, image_size, image_size) in [0, 1].
    """
    return transforms.Compose(
        [
            transforms.Resize((image_size, image_size), transforms.InterpolationMode.BILINEAR),
            transforms.ToTensor(),
        ]
    )


def make_loaders(train_set: Dataset, test_set: Dataset, batch_size: int = 32) -> tuple[DataLoader, DataLoader]:
    """Returns (train_loader, test_loader), both with `batch_size` images a batch.

    Training images come in a new random order every epoch, test images in data-set order; every image comes exactly
    once an epoch, so the last batch may be smaller.
    """
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=batch_size)
    return train_loader, test_loader


def parameter_shapes(net: nn.Module) -> list[tuple[int, ...]]:
    """Returns the shape of every parameter tensor of `net`, each a plain tuple of int, in the network's own order."""
    return [tuple(parameter.shape) for parameter in net.parameters()]


def count_parameters(net: nn.Module) -> int:
    """Returns the number of scalars in the trainable parameters of `net`, as an int; buffers do not count."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


class DenseLayer(nn.Module):
    """Reads all channels so far, and returns them with `growth` new ones behind.

    channels: how many come in. The first convolution makes `bottleneck` * `growth` of them, the second one `growth`.
    """

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) -> (batch, channels + growth, height, width); `x` itself stays as it is."""
        squeezed = self.conv1(F.relu(self.norm1(x)))
        new = self.conv2(F.relu(self.norm2(squeezed)))
        return torch.cat([x, new], dim=1)


def replace_classifier(net: nn.Module, num_classes: int = 10) -> nn.Module:
    """Replaces `net.classifier` by a new random linear layer with bias, and returns the same network.

    The new layer maps (batch, features) to (batch, num_classes) scores, features as before, on the old one's device.
    All other weights and buffers stay as they were.
    """
    old = net.classifier
    net.classifier = nn.Linear(old.in_features, num_classes, device=old.weight.device)
    return net


def snapshot_weights(net: nn.Module, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Returns a dict from each of `names` (as in `net.named_parameters()`) to a copy of that weight as it is now.

    The copies are on the CPU, detached, and independent of the network. Raises KeyError for a name that is neither a
    parameter nor a buffer of `net`.
    """
    weights = net.state_dict()
    return {name: weights[name].detach().cpu().clone() for name in names}


def weight_difference(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns a dict with the same names: `before` minus `after`, each with its weight's shape."""
    return {name: before[name] - after[name] for name in before}


def weight_grid(weight: torch.Tensor) -> torch.Tensor:
    """Returns a picture (3, H, W) of the kernels, in [0, 1], eight to a row.

    weight: (K, 3, h, w) gives K colour patches; any other (K, C, h, w) the C channels of its first kernel, in grey. It
    stays as it is.
    """
    patches = weight if weight.shape[1] == 3 else weight[0].unsqueeze(1)
    return torchvision.utils.make_grid(patches, nrow=8, normalize=True)


def pick_device() -> torch.device:
    """Returns the accelerator of this machine if it has one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def train_one_epoch(net: nn.Module, loader: DataLoader, criterion: Callable, optimizer: torch.optim.Optimizer,
                    device: torch.device) -> tuple[float, float]:
    """Trains `net` on every batch of `loader` once, in training mode.

    net: on `device`, maps images (batch, 3, height, width) to scores (batch, classes).
    criterion: maps log-probabilities (batch, classes) and labels (batch,) to the mean loss of the batch, in nats.
    Returns (loss, accuracy): nats per image, and a fraction in [0, 1], over the images seen during the pass.
    """
    net.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        scores = net(images)
        loss = criterion(F.log_softmax(scores, dim=1), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)  # a tensor until the end: .item() would wait for the GPU here
        correct += (scores.argmax(dim=1) == labels).sum()
        seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)


def evaluate(net: nn.Module, loader: DataLoader, criterion: Callable, device: torch.device) -> tuple[float, float]:
    """Returns (loss, accuracy) of `net` over every batch of `loader`: nats per image, and a fraction in [0, 1].

    Works in evaluation mode and without gradients; changes nothing but the network's mode.
    Arguments are as for `train_one_epoch`.
    """
    net.eval()
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            scores = net(images)
            loss_sum += criterion(F.log_softmax(scores, dim=1), labels) * len(labels)
            correct += (scores.argmax(dim=1) == labels).sum()
            seen += len(labels)
    return float(loss_sum / seen), float(correct / seen)


def fit(net: nn.Module, train_loader: DataLoader, test_loader: DataLoader, criterion: Callable,
        optimizer: torch.optim.Optimizer, device: torch.device, epochs: int = 10) -> dict[str, list[float]]:
    """Trains and tests `net` once an epoch, and prints a line as each epoch ends.

    Returns a dict of lists with one float an epoch: "train_loss" and "test_loss" (nats per image), "train_accuracy" and
    "test_accuracy" (fractions in [0, 1]), "seconds" (wall time of the epoch, training and test).
    Other arguments are as for `train_one_epoch`.
    """
    history = {name: [] for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")}
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        for values, value in zip(history.values(), (*train, *test, time.perf_counter() - start), strict=True):
            values.append(value)
        print(f"epoch {epoch}/{epochs}:", ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items()))
    return history


def plot_history(history: dict[str, list[float]]) -> plt.Figure:
    """Returns a figure of `fit`'s history: loss (nats per image) and accuracy against the epoch, from 1.

    Two axes, loss first; training red, test green; labels on both axes and a legend on each.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), facecolor="white", layout="constrained")
    epochs = range(1, len(history["train_loss"]) + 1)
    for axis, quantity, unit in zip(axes, ("loss", "accuracy"), ("nats per image", "fraction of images"), strict=True):
        axis.plot(epochs, history[f"train_{quantity}"], "o-", color="tab:red", label="training")
        axis.plot(epochs, history[f"test_{quantity}"], "s--", color="tab:green", label="test")
        axis.set(xlabel="epoch", ylabel=f"{quantity} ({unit})")
        axis.locator_params("x", integer=True)
        axis.legend()
    return figure
