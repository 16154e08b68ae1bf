"""Which files of a module's folder a probe or check file brings with it: what its import statements name, and what these
import. Read from the text, so that nothing runs.

Files that several modules share lie in the folder `COMMON` beside the modules' folders, and are imported as if they lay in
each of these: a module whose `__init__.py` has that folder in its `__path__` writes `from .means import …`.
"""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import CourseError

COMMON = "common"


@dataclass(frozen=True)
class Import:
    """An import statement in `file`, and the `target`, a file of the same folder or of `COMMON`, that it brings."""

    file: Path
    line: int
    target: Path
    relative: bool


def parsed(path: Path) -> ast.Module:
    """The file as Python's syntax tree.

    Raises:
        CourseError: it is no Python, in one line with the place.
    """
    try:
        return _tree(path.read_bytes(), str(path))
    except SyntaxError as error:
        shown = f": {error.text.strip()[:80]}" if error.text else ""
        raise CourseError(f"{place(path, error.lineno)}: does not run: {error.msg}{shown}: mend this line") from None
    except ValueError as error:  # a null byte, or bytes that are no UTF-8
        raise CourseError(f"{place(path)}: {error}: save it again as a text in UTF-8") from None


@functools.lru_cache(maxsize=32)  # a module's files, at which each look of the author's gate looks
def _tree(text: bytes, name: str) -> ast.Module:
    return ast.parse(text, name)


def place(path: Path, line: int | None = None) -> str:
    """Where in the course: `tests/week08_densenet/probes_public.py, line 12`."""
    return "/".join(path.parts[-3:]) + (f", line {line}" if line else "")


def brought(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files `names` of the package `folder`, its `__init__.py`, and all files of it that these import, in order.

    Raises:
        CourseError: one of them is no Python.
    """
    waiting = [folder / "__init__.py", *(folder / f"{name}.py" for name in names)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            waiting += [each.target for each in imports_of(folder, path)]
    return sorted(found)


def imports_of(folder: Path, path: Path) -> Iterator[Import]:
    """What the file `path` of the package `folder` imports from it; a package brings its `__init__.py` too."""
    statements = [node for node in ast.walk(parsed(path)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in statements:
        for relative, parts in _modules(node, folder.name, within(folder, path).parts[:-1]):
            for length in range(1, len(parts) + 1):
                for file in _files(folder, parts[:length]):
                    yield Import(path, node.lineno, file, relative)


def within(folder: Path, path: Path) -> Path:
    """A file's place in the package `folder`, in which what lies in `COMMON` seems to lie."""
    return path.relative_to(folder if path.is_relative_to(folder) else folder.parent / COMMON)


def _files(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    """The file of a module of the package, one for a name; what lies in the folder itself comes before `COMMON`."""
    for root in (folder, folder.parent / COMMON):
        target = root.joinpath(*parts)
        found = [file for file in (target.with_suffix(".py"), target / "__init__.py") if file.is_file()]
        if found:
            return found
    return []


def _modules(
    node: ast.Import | ast.ImportFrom, package: str, inside: tuple[str, ...]
) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Whether by a dot, and the names below the folder, of each module (or name in one) that a statement may import."""
    if isinstance(node, ast.Import):
        names = [tuple(alias.name.split(".")) for alias in node.names]
    else:
        start = tuple(node.module.split(".")) if node.module else ()
        names = [(*start, alias.name) for alias in node.names]
        if node.level:
            above = inside[: max(0, len(inside) - node.level + 1)]
            yield from ((True, (*above, *parts)) for parts in names)
            return
    yield from ((False, parts[1:]) for parts in names if parts[0] == package)
