"""What probes are written with: the half of `autograder.authoring` that stands beside a student's code.

A worker puts this module in the place of the whole one, so a probe that asks for a check, or anything else of the
judge's side, ends as it is imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from autograder.sandboxed.probing import attempt, printed, probe, timing
from autograder.sandboxed.recording import Error, Other, Tensor

if TYPE_CHECKING:
    from autograder.sandboxed.device import count_synchronisations, register
    from autograder.sandboxed.training import Preset, Recipe, Run, Setup

_HOMES = {  # of those that need torch, which the judge's side does without
    **dict.fromkeys(("count_synchronisations", "register"), "device"),
    **dict.fromkeys(("Preset", "Recipe", "Run", "Setup"), "training"),
}

__all__ = [
    "Error",
    "Other",
    "Preset",
    "Recipe",
    "Run",
    "Setup",
    "Tensor",
    "attempt",
    "count_synchronisations",
    "printed",
    "probe",
    "register",
    "timing",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"autograder.sandboxed.{_HOMES[name]}"), name)
    raise AttributeError(f"{name} is not what probes are written with: there are {', '.join(__all__)}")
