"""Random numbers that depend on a probe's draws alone, and what is left of the random state after a call."""

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seeds torch, numpy and random."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def seeded(draw: random.Random, build: Callable, *args, **kwargs):
    """`build(*args, **kwargs)` with random numbers that depend on `draw` alone, whatever was drawn from torch before."""
    seed_all(draw.getrandbits(31))
    return build(*args, **kwargs)


@contextlib.contextmanager
def random_numbers_after(seed: int) -> Iterator[list[float]]:
    """Seeds torch, numpy and random before the block, and puts the next number of each into the list after it."""
    seed_all(seed)
    numbers: list[float] = []
    yield numbers
    numbers += [torch.rand(()).item(), np.random.random(), random.random()]


def random_state_after(action: Callable[[], object], seed: int) -> list[float]:
    """The next random number of torch, numpy and random after `action()`, which began with all three seeded."""
    with random_numbers_after(seed) as numbers:
        action()
    return numbers


def told_apart(*drawn: list[float]) -> list[bool]:
    """Whether the numbers of torch, numpy and random differ between two of `random_numbers_after`'s lists."""
    return [one != other for one, other in zip(*drawn, strict=True)]
