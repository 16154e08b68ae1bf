"""Autograded assignments: students use `from autograder import TinyCIFAR10, check`; see README.md for everyone else."""

import builtins
import importlib.metadata
import re
import sys

DISTRIBUTION = "visual-computing-autograder"


class NotHere(ImportError):
    """The package cannot work here; the message says why and how to mend it."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback."""
        return [f"autograder: {self}"]


if sys.version_info < (3, 11):  # noqa: UP036  pip refuses an older Python, but a checkout on the path is never asked
    _old = NotHere(f"this is Python {sys.version.split()[0]}, and 3.11 or newer is needed: choose a newer kernel")
    if not hasattr(builtins, "__IPYTHON__"):
        sys.exit(f"autograder: {_old}")
    raise _old


def require_packages() -> None:
    """Raises `NotHere` when a package that students need is not installed; none of them is imported for it."""
    missing = [name for name in _student_packages() if not _is_installed(name)]
    if missing:
        raise NotHere(f"not installed in this Python: {', '.join(missing)}; run `pip install {' '.join(missing)}`")


def _student_packages() -> list[str]:
    requirements = importlib.metadata.requires(DISTRIBUTION) if _is_installed(DISTRIBUTION) else []
    return [re.match(r"[\w.-]+", text)[0] for text in requirements if "extra ==" not in text]


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def __getattr__(name: str):
    # imported when asked for: the command line must not wait for torch
    if name == "TinyCIFAR10":
        require_packages()
        from autograder.cifar10 import TinyCIFAR10

        return TinyCIFAR10
    if name == "check":
        if sys.platform == "win32":
            raise NotHere(
                "the checks need Linux, macOS or Colab: on Windows work in WSL, or open the notebook in Colab"
            )
        require_packages()
        from autograder import student

        student.warm_up()
        return student.check
    raise AttributeError(f"module 'autograder' has no attribute {name!r}")
