"""What probes are written with: the half of `autograder.authoring` that stands beside a student's code.

A worker puts this module in the place of the whole one, so a probe that asks for a check, or anything else of the
judge's side, ends as it is imported.
"""

from typing import TYPE_CHECKING, Any

from autograder.sandboxed.probing import attempt, printed, probe, timing
from autograder.sandboxed.recording import Error, Other, Tensor

if TYPE_CHECKING:
    from autograder.sandboxed.device import count_synchronisations, register

__all__ = [
    "Error",
    "Other",
    "Tensor",
    "attempt",
    "count_synchronisations",
    "printed",
    "probe",
    "register",
    "timing",
]


def __getattr__(name: str) -> Any:
    if name in __all__:  # the two that need torch, which the judge's side does without
        from autograder.sandboxed import device

        return getattr(device, name)
    raise AttributeError(f"{name} is not what probes are written with: there are {', '.join(__all__)}")
