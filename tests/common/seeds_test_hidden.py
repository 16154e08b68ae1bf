"""What hidden checks of the random state share. Never given to students."""

from autograder.authoring import require


def random_state_left(apart: list[bool], what: str) -> None:
    """Requires that what was drawn after two differently seeded calls differs, for each generator."""
    for name, differs in zip(("torch", "numpy", "random"), apart, strict=True):
        require(differs is True, f"{what}: the next random number of {name}, for two different seeds set before",
                "two different numbers", "the same both times",
                "A seed set inside the function makes everything random after it the same.")  # fmt: skip
