"""The versions of a released module: what students were given before, so that work on it is known for what it is.

A release's `checks/module.json` says which version it is, and what is needed of all that were released before it: of each
version a hash of every marked cell's text; of all of them together the hashes of every cell and given statement. It grows
with each release and holds no text.
"""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from autograder.course.course import Course, Module
from autograder.errors import CourseError
from autograder.sandboxed.notebook import NOTHING_RELEASED, Released, squeezed_hash


@dataclass(frozen=True)
class Versions:
    """What a release says of itself and of those before it.

    Args:
        current: the version that it is; empty where none was released yet.
        cells: by version, the oldest first, the hash of each marked cell's text by its grade_id.
        texts: hashes of the texts of all cells of all versions.
        released: what their given statements say, together.
    """

    current: str = ""
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()
    released: Released = NOTHING_RELEASED

    def given(self, text: str) -> bool:
        """Whether a cell's text is as some version had it, and so nobody's own work."""
        return squeezed_hash(text) in self.texts

    def came_later(self, version: str, *names: str) -> bool:
        """Whether `version` is known and had no cell of any of these names."""
        return version in self.cells and not self.cells[version].keys() & set(names)

    def followed_by(self, version: str, cells: dict[str, str]) -> dict[str, dict[str, str]]:
        """`cells`, with those of `version` as the newest."""
        before = {name: theirs for name, theirs in self.cells.items() if name != version}
        return before | {version: cells}


NO_VERSIONS = Versions()


def versions_in(about: dict[str, Any]) -> Versions:
    """What a `module.json` says; nothing where it is of a time before there were versions."""
    if "version" not in about:
        return NO_VERSIONS
    cells = {str(name): dict(theirs) for name, theirs in about["versions"].items()}
    return Versions(str(about["version"]), cells, frozenset(about["texts"]), Released.from_dict(about["released"]))


def versions_of(module: Module) -> Versions:
    """What the module's release in the course says.

    Raises:
        CourseError: its file is damaged.
    """
    path = module.release / "checks" / "module.json"
    if not path.is_file():
        return NO_VERSIONS
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return versions_in(about["notebooks"].get(module.notebook, {}) if module.part and "notebooks" in about else about)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise CourseError(
            f"{path} is damaged, and says which versions students had: take it back from Git, or remove it to forget them"
        ) from None


def notebook_with(version: str, course: Course) -> Module | None:
    """The notebook of the course that is, or has been, of this version; None where none is known to have been."""
    for part in (part for module in course.modules() if module.sources for part in module.parts):
        with contextlib.suppress(CourseError):  # of another week: its own grading says so
            if version in versions_of(part).cells:
                return part
    return None
