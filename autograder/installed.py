"""This package as it is installed: its version, and what it needs."""

import importlib.metadata
import re

from autograder.errors import NotHere

DISTRIBUTION = "visual-computing-autograder"


def package_version() -> str:
    """Its version, "0.1.0"."""
    return importlib.metadata.version(DISTRIBUTION)


def package_series() -> str:
    """The version without its last number, "0.1": a release and a package of one series understand each other."""
    return ".".join(package_version().split(".")[:2])


def require_packages() -> None:
    """Raises `NotHere` when a package that students need is not installed; none of them is imported for it."""
    missing = [name for name in _student_packages() if not _is_installed(name)]
    if missing:
        raise NotHere(f"not installed in this Python: {', '.join(missing)}; run `pip install {' '.join(missing)}`")


def _student_packages() -> list[str]:
    requirements = importlib.metadata.requires(DISTRIBUTION) if _is_installed(DISTRIBUTION) else []
    names = [re.match(r"[\w.-]+", text) for text in requirements or [] if "extra ==" not in text]
    return [name[0] for name in names if name]


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return False
