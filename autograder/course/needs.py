"""What a module's code finds where it runs: the files in `data/`, and packages that are imported before any submission is.

A module's own files lie in `source/<module>/data/`. The tiny CIFAR-10 is a module's that names it, in its notebook or in
a probe, by the class `TinyCIFAR10` or by its folder; a module that has neither has no `data/`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autograder.course.colab import MAX_BYTES
from autograder.course.course import Module
from autograder.course.imports import brought, place
from autograder.errors import CourseError
from autograder.sandboxed import PACKAGED_DATA

DATA = "data"
MAX_FILES = 1000  # each is a link in the folder of every submission
SLOW = ("torch", "torchvision", "matplotlib")  # packages that take seconds to import: once, and not for every submission
IMPORTED = re.compile(  # in a Python file or, as JSON has it, in a notebook
    rf'(?:^|"|\\n)[ \t]*(?:import|from)[ \t].*?\b({"|".join(SLOW)})\b', re.MULTILINE
)
TINY = re.compile(r"\b(TinyCIFAR10|tiny-cifar-10)\b")


@dataclass(frozen=True)
class Needs:
    """What the code of one module needs around it.

    Args:
        data: the files in `data/`, by their paths in it.
        packages: of `SLOW`, what it imports.
    """

    data: dict[str, Path] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def setting(self) -> dict[str, str]:
        """The data as a worker is told of them."""
        return {name: str(path.absolute()) for name, path in self.data.items()}

    @property
    def own(self) -> dict[str, Path]:
        """The files in `data/` that the package does not bring."""
        return {name: path for name, path in self.data.items() if not path.is_relative_to(PACKAGED_DATA)}


NOTHING = Needs()


def needs_of(module: Module) -> Needs:
    """What the notebook and the probes of a module need.

    Raises:
        CourseError: a probe file is no Python; in its data a link, too many or too large files, or one of the tiny
            CIFAR-10's names.
    """
    texts = _texts([*module.whole.sources, *brought(module.tests, ["probes_public", "probes_hidden"])])
    packages, names_tiny = packages_in(texts), any(map(TINY.search, texts))
    own, tiny = _own_data(module), _files(PACKAGED_DATA) if names_tiny else {}
    if both := sorted({Path(name).parts[0] for name in own} & {Path(name).parts[0] for name in tiny}):
        raise CourseError(f"{place(own_folder(module))}/{both[0]}: the tiny CIFAR-10 lies there in a release: rename yours")
    return Needs(tiny | own, packages)


def needs_in(folder: Path) -> Needs:
    """What the released module in `folder`, or a student's copy of it, needs: its data are there."""
    texts = _texts([*folder.glob("*.ipynb"), *brought(folder / "checks", ["probes_public"])])
    return Needs(_files(folder / DATA), packages_in(texts))


def own_folder(module: Module) -> Path:
    """Where a module's own data lie."""
    return module.folder / DATA


def _texts(paths: Iterable[Path]) -> list[str]:
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]


def packages_in(texts: list[str]) -> tuple[str, ...]:
    """Those of `SLOW` that the texts import; torchvision with what the tiny CIFAR-10 is made of."""
    found = {package for text in texts for package in IMPORTED.findall(text)}
    found |= {"torchvision"} if any(map(TINY.search, texts)) else set()
    return tuple(package for package in SLOW if package in found)


def _own_data(module: Module) -> dict[str, Path]:
    folder = own_folder(module)
    files = _files(folder)
    links = [path for path in (folder, *_seen(folder)) if path.is_symlink()]
    if links:
        raise CourseError(f"{place(links[0])} is a link, and where it leads no submission can read: put the file in its place")
    if len(files) > MAX_FILES:
        many = f"{len(files):,} files, more than {MAX_FILES:,}"
        raise CourseError(f"{place(folder)} holds {many}: put them into one, a .npz or a .zip")
    size = sum(path.stat().st_size for path in files.values())
    if size > MAX_BYTES:
        large = f"{size >> 20} MiB, and students fetch at most {MAX_BYTES >> 20}"
        raise CourseError(f"{place(folder)} takes {large}: leave some of it out")
    return files


def _files(folder: Path) -> dict[str, Path]:
    """All files in a folder, by their paths in it."""
    return {path.relative_to(folder).as_posix(): path for path in _seen(folder) if path.is_file()}


def _seen(folder: Path) -> Iterator[Path]:
    """What lies in a folder and in its folders, without what Jupyter, Python and file managers leave there."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.name.startswith((".", "__pycache__")):
            yield path
            yield from _seen(path) if not path.is_symlink() else ()
