"""A class's seed: the inputs of all probes are drawn from it. Drawn once, and kept with the class's grades."""

import secrets
from pathlib import Path

from autograder.errors import CourseError
from autograder.files import write_whole

SEEDS = 2**62  # too many to try each: what the public probes draw is seen, and comes from the same seed


def class_seed(out: Path, given: int | None = None) -> int:
    """A class's seed: `given` or drawn once, then kept with its grades."""
    kept = kept_seed(out) if given is None else given
    seed = secrets.randbelow(SEEDS) if kept is None else kept
    if not (out / "seed").is_file():
        write_whole(out / "seed", f"{seed}\n")
    return seed


def kept_seed(out: Path) -> int | None:
    """The seed that lies with a class's grades; None when there is none yet."""
    path = out / "seed"
    if not path.is_file():
        return None
    try:
        return int(path.read_text())
    except ValueError:
        raise CourseError(
            f"{path} must hold one whole number, the seed of the hidden checks: mend it, or delete it"
        ) from None
