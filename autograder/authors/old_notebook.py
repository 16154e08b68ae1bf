"""An existing nbgrader assignment's source notebook, read: its cells, and what nbgrader knows of each.

Whatever cannot be imported is refused here, in one line with file, cell and mend.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from autograder.course.checks import points_problem
from autograder.errors import CourseError
from autograder.sandboxed.notebook import Cell, parse

SCHEMA = 3  # of nbgrader's metadata; there has been none above it since 2019
REGIONS = {"SOLUTION": "solution", "HIDDEN TESTS": "grade", "MARK SCHEME": "task"}  # and the cells that may have one


@dataclass(frozen=True)
class OldCell:
    """A cell of the notebook `path`; `number` counts from 1, `about` is nbgrader's metadata, empty where there is none."""

    path: Path
    number: int
    kind: str
    text: str
    about: dict[str, Any]
    pictures: dict[str, Any] = field(default_factory=dict)  # attachments, by name

    @property
    def where(self) -> str:
        """Its notebook, number and name."""
        name = self.about.get("grade_id")
        return f"{self.path}, cell {self.number}" + (f" ({name})" if name else "")

    @property
    def points(self) -> float:
        return float(self.about["points"])

    @property
    def by_hand(self) -> bool:
        """Whether a person grades it: what is written or done there, or a task."""
        return bool(self.about.get("task") or self.about.get("grade") and self.about.get("solution"))

    @property
    def written(self) -> bool:
        """Whether a student writes code there that tests grade."""
        return bool(self.about.get("solution")) and not self.by_hand and self.kind == "code"

    @property
    def tests(self) -> bool:
        """Whether its code grades."""
        return bool(self.about.get("grade")) and not self.by_hand and self.kind == "code"


def read_notebook(path: Path) -> list[OldCell]:
    """The cells of a source notebook, all of which can be imported as far as can be seen from here.

    Raises:
        CourseError: no notebook, not Python's, not a source (checksums, no solution), another schema, or a cell that nbgrader
            itself would refuse.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}: name the source notebook of an nbgrader assignment") from None
    except Exception as error:  # nbformat raises whatever it meets
        raise CourseError(f"{path} is no notebook ({type(error).__name__}): save it again from Jupyter") from None
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise CourseError(f"{path} is written in {language}: only notebooks in Python can be imported")
    cells = [
        OldCell(path, number, cell.cell_type, cell.source, dict(cell.metadata.get("nbgrader", {})), cell.get("attachments", {}))
        for number, cell in enumerate(notebook.cells, 1)
    ]
    if problem := next(_problems(cells), ""):
        raise CourseError(problem)
    if not any(cell.written or cell.by_hand for cell in cells):
        mend = "mark what students write as `Autograded answer` or `Manually graded answer` in Create Assignment"
        raise CourseError(f"{path} has no solution cell, nothing for students to write: {mend}")
    return cells


def _problems(cells: list[OldCell]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for cell in cells:
        about = cell.about
        if "checksum" in about:
            yield f"{cell.where}: it has a checksum, so this was released or handed in: name the notebook in nbgrader's source/"
        version = about.get("schema_version", 0) if about else SCHEMA
        if version != SCHEMA:
            mend = f"run `nbgrader update {cell.path}`" if version < SCHEMA else "save it by an nbgrader of today"
            yield f"{cell.where}: its metadata are of nbgrader's schema {version}, and {SCHEMA} can be read: {mend}"
        if any(about.get(mark) for mark in ("grade", "solution", "locked", "task")):
            yield from _unnamed(cell, seen)
        if (about.get("grade") or about.get("task")) and (problem := points_problem(about.get("points"))):
            yield f"{cell.where}: {problem}"
        yield from _regions(cell)
        yield from _broken(cell)


def _unnamed(cell: OldCell, seen: dict[str, int]) -> Iterator[str]:
    name = cell.about.get("grade_id", "")
    if not name:
        yield f"{cell.where}: nbgrader has no ID for it: give it one in Create Assignment"
    if name in seen:
        yield f"{cell.where}: cell {seen[name]} has the ID {name} too: give each its own"
    seen[name] = cell.number


def _regions(cell: OldCell) -> Iterator[str]:
    for kind, mark in REGIONS.items():
        marks = re.findall(rf"(BEGIN|END) {kind}", cell.text)
        if marks != ["BEGIN", "END"] * (len(marks) // 2):
            yield f"{cell.where}: a BEGIN {kind} and an END {kind} must follow each other: mend the region"
        if marks and not cell.about.get(mark):
            yield f"{cell.where}: it has a region {kind}, and nbgrader knows of none here: mark it in Create Assignment"


def _broken(cell: OldCell) -> Iterator[str]:
    if cell.kind == "code":
        for note in parse([Cell(0, cell.text)])[1].values():
            if note.startswith(("does not run", "could not be read")):
                yield f"{cell.where}: {note}: mend this line"
