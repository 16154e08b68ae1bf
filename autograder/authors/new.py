"""A new module that already runs: `autograder new MODULE`. Its texts stand in `starter/`."""

import importlib.metadata
import re
import sys
import tempfile
from pathlib import Path
from string import Template

from autograder.course.course import Course
from autograder.course.imports import COMMON
from autograder.errors import CourseError
from autograder.files import write_whole

STARTER = Path(__file__).parent / "starter"
NOTEBOOK = "notebook.py.txt"


def new(course: Course, name: str) -> list[Path]:
    """Writes `source/<name>/` and `tests/<name>/`, with one exercise and one question; gives their files.

    Raises:
        CourseError: no name for a module, or there is something of that name; nothing is changed then.
    """
    folders = new_folders(course, name)
    short = name.partition("_")[2] or name
    with tempfile.TemporaryDirectory(dir=course.root, prefix=".new-") as scratch:
        for path in STARTER.iterdir():
            text = Template(path.read_text(encoding="utf-8")).substitute(title=short.replace("_", " ").capitalize())
            place = f"source/{short}.py" if path.name == NOTEBOOK else f"tests/{path.name.removesuffix('.txt')}"
            write_whole(Path(scratch, place), text)
        for kind, folder in folders.items():
            Path(scratch, kind).rename(folder)
    return sorted(path for folder in folders.values() for path in folder.iterdir())


def new_folders(course: Course, name: str) -> dict[str, Path]:
    """`source/<name>/` and `tests/<name>/`, neither of which exists yet.

    Raises:
        CourseError: no name for a module, or there is something of that name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or name == COMMON:
        raise CourseError(f"{name!r} is no name for a module: write small letters, digits and _, as week10_attention")
    if _is_package(name):
        raise CourseError(f"{name!r} is a package of Python's or an installed one: take another name, as week10_{name}")
    folders = {kind: course.root / kind / name for kind in ("source", "tests")}
    for folder in folders.values():
        if folder.exists():
            raise CourseError(f"{folder} exists: nothing was changed; take another name, or go on with what is there")
    return folders


def _is_package(name: str) -> bool:
    """Whether `import name` would find another package than the module's folder in `tests/`."""
    return name in sys.stdlib_module_names or name in importlib.metadata.packages_distributions()
