"""Autograded assignments. What a student's notebook imports is here, and what authors write with in `authoring`.

    from autograder import TinyCIFAR10, check

    check("count_parameters")                          the public checks of a function, below its cell
    TinyCIFAR10("data", train=True)                    the tiny CIFAR-10 that lies beside the notebook
    run_experiment(fit, net, …), experiment_folder(…)  the real experiment, resumed where it was cut off
    experiment_seed(folder)                            its seed, drawn once, nobody else's
    fetch_module(archive, module)                      on Colab: the rest of the assignment's folder
    look_for_newer(notebook, version, address)         whether a newer version of the notebook is out
"""

import builtins
import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autograder.course.colab import fetch_module
    from autograder.sandboxed.cifar10 import TinyCIFAR10
    from autograder.students.check import check
    from autograder.students.newer import look_for_newer
    from autograder.students.training import experiment_folder, experiment_seed, run_experiment

__all__ = [
    "TinyCIFAR10",
    "check",
    "experiment_folder",
    "experiment_seed",
    "fetch_module",
    "look_for_newer",
    "run_experiment",
]

_HOMES = {
    "TinyCIFAR10": "autograder.sandboxed.cifar10",
    "check": "autograder.students.check",
    "experiment_folder": "autograder.students.training",
    "experiment_seed": "autograder.students.training",
    "fetch_module": "autograder.course.colab",
    "look_for_newer": "autograder.students.newer",
    "run_experiment": "autograder.students.training",
}


if sys.version_info < (3, 11):  # noqa: UP036  pip refuses an older Python, but a checkout on the path is never asked
    from autograder.errors import NotHere

    _old = NotHere(f"this is Python {sys.version.split()[0]}, and 3.11 or newer is needed: choose a newer kernel")
    if not hasattr(builtins, "__IPYTHON__"):
        sys.exit(f"autograder: {_old}")
    raise _old


def __getattr__(name: str) -> Any:
    # imported when asked for: the command line must not wait for torch
    if name not in _HOMES:
        raise AttributeError(f"module 'autograder' has no attribute {name!r}")
    _require(name)
    home = importlib.import_module(_HOMES[name])
    if name == "check":
        home.warm_up()
    return getattr(home, name)


def _require(name: str) -> None:
    from autograder.errors import NotHere
    from autograder.installed import require_packages

    if name == "check" and sys.platform == "win32":
        raise NotHere("the checks need Linux, macOS or Colab: on Windows work in WSL, or open the notebook in Colab")
    require_packages()
