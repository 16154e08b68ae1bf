"""This package as it is installed: its version, and what it needs."""

import contextlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator

from autograder.errors import NotHere

DISTRIBUTION = "visual-computing-autograder"
LIBRARIES = ("torch", "torchvision", "numpy", "matplotlib")  # on whose versions a recording depends


def package_version() -> str:
    """Its version, "0.1.0"."""
    return importlib.metadata.version(DISTRIBUTION)


def package_series() -> str:
    """The version without its last number, "0.1": a release and a package of one series understand each other."""
    return ".".join(package_version().split(".")[:2])


def versions(*names: str) -> dict[str, str]:
    """The versions of those of these packages that are installed, by name."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def without_addresses() -> Iterator[None]:
    """Lets the block import nbformat quickly. It imports jsonschema, which compiles a grammar of web addresses: more than a
    second of CPU, for a check that is not made here."""
    slow = "rfc3987_syntax"
    if slow in sys.modules:
        yield
        return
    sys.modules[slow] = None  # type: ignore[assignment]  # as if it were not installed; jsonschema does without
    try:
        yield
    finally:
        del sys.modules[slow]


def require_packages() -> None:
    """Raises `NotHere` when a package that students need is not installed; none of them is imported for it."""
    missing = not_installed(_needs(DISTRIBUTION))
    if missing:
        raise NotHere(f"not installed in this Python: {', '.join(missing)}; run `pip install {' '.join(missing)}`")


def not_installed(packages: Iterable[str]) -> list[str]:
    """Those of `packages`, as pip takes them, of which no version is installed."""
    return [package for package in packages if not _is_installed(_name(package))]


def foreign(modules: Iterable[str], packages: Iterable[str]) -> list[str]:
    """Those of `modules` that neither Python brings, nor this package with what it needs, nor `packages` with theirs."""
    known = _with_their_needs([DISTRIBUTION, *map(_name, packages)])
    brought_by = importlib.metadata.packages_distributions()
    ours = {module for module, names in brought_by.items() if any(_plain(name) in known for name in names)}
    return [name for name in modules if name not in ours | sys.stdlib_module_names | {"autograder"}]


def _with_their_needs(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = _plain(waiting.pop())
        if name not in found:
            found.add(name)
            waiting += _needs(name)
    return found


def _needs(distribution: str) -> list[str]:
    """The names of what an installed package needs, without its extras."""
    requirements = importlib.metadata.requires(distribution) if _is_installed(distribution) else []
    return [_name(text) for text in requirements or [] if "extra ==" not in text]


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else requirement


def _plain(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return False
