"""A student's work taken over into a newer version of the notebook: `autograder update NOTEBOOK [NEW]`.

What a student wrote, ran or drew is found by what the released versions had: a cell that reads as in none of them is theirs.
It goes into the new notebook's cell of the same name, else it stays as a cell of its own. The notebook as it was is kept
beside it, and put under its new name last of all, so that a run that was cut off is made good by the next.
"""

import copy
import io
import json
import re
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.course.colab import fetch_release
from autograder.course.source import ANSWER_HERE
from autograder.course.versions import Versions, versions_in
from autograder.errors import CourseError, NotebookError, Unreadable
from autograder.files import write_whole
from autograder.sandboxed.notebook import read_cells, read_version
from autograder.students.check import notebooks_of, read_about

Cell = dict[str, Any]
MOST_LINES = 200  # of a question, in which the answer is looked for
SHARED = 3  # cells that a notebook must have of a module's, for it to be one of it


@dataclass(frozen=True)
class New:
    """A released module as it lies on the disk: its notebook, what `module.json` says, and the folder of both."""

    folder: Path
    notebook: dict[str, Any]
    about: dict[str, Any]
    versions: Versions


@dataclass(frozen=True)
class Updated:
    """What was done: under which name the notebook as it was is kept (None: nothing was to be done), and what to look at."""

    version: str
    kept: Path | None = None
    said: list[str] = field(default_factory=list)


def update(path: Path, new: Path | None = None) -> Updated:
    """Takes the work in the notebook `path` over into the new version, which takes its place; `checks/` and `data/` too.

    Args:
        new: the new notebook, its folder, or a zip of that; by default it is fetched from the course's address.

    Raises:
        CourseError: a file is damaged, of another module, or of a version that the new one does not know. Nothing is changed.
    """
    old = _read(path)
    with tempfile.TemporaryDirectory() as scratch:
        released = _released(path, new, Path(scratch))
        version = _require_earlier(path, old, released)
        if version == released.versions.current:
            return Updated(version)
        merged, said = merge(old["cells"], released, version)
        notebook = {**released.notebook, "cells": merged, "metadata": _metadata(old, released)}
        kept = _keep(path, path.read_bytes(), version)
        for name in ("checks", "data"):
            said += _copy(released.folder / name, path.parent / name, version)
        write_whole(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    return Updated(released.versions.current, kept, said)


def _metadata(old: dict[str, Any], new: New) -> dict[str, Any]:
    """The new notebook's, with the student's own kernel."""
    theirs: dict[str, Any] = new.notebook["metadata"]
    return {**theirs, **old["metadata"], "autograder": theirs["autograder"]}


# --- the files --------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    """A notebook file, made whole where it is of an older or another writer."""
    if not path.is_file():
        raise CourseError(f"{path} does not exist: name your notebook, autograder update NOTEBOOK")
    data = path.read_bytes()
    try:
        read_cells(data)
        notebook: dict[str, Any] = json.loads(data.decode("utf-8-sig"))
    except (Unreadable, UnicodeDecodeError, ValueError) as error:
        why = error if isinstance(error, Unreadable) else "is no UTF-8: save it again as .ipynb"
        raise CourseError(f"{path} {why}") from None
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise CourseError(f"{path} is of an old form of notebooks: open it in Jupyter and save it, then update it")
    notebook["cells"] = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    if not isinstance(notebook.get("metadata"), dict):
        notebook["metadata"] = {}
    return notebook


def _released(path: Path, new: Path | None, scratch: Path) -> New:
    """The new release: a folder, the one that a notebook lies in, a zip of it, or what the course's address has."""
    if new is None:
        about = read_about(path.parent.absolute() / "checks")
        if not about.get("archive"):
            mend = f"download the new zip, then autograder update {path} ZIP"
            raise CourseError(f"the course has not said where its newest files are: {mend}")
        try:
            folder = fetch_release(about["archive"], about["module"], scratch)
        except NotebookError as error:
            raise CourseError(str(error)) from None
    elif not new.exists():
        raise CourseError(f"{new} does not exist: name the new notebook, its folder, or its zip")
    elif zipfile.is_zipfile(new):
        folder = _unpacked(new, scratch)
    else:
        folder = new if new.is_dir() else new.parent
    about = _of_one(read_about(folder.absolute() / "checks"), new if new and new.suffix == ".ipynb" else path)
    notebook, versions = _read(new if new and new.suffix == ".ipynb" else folder / about["notebook"]), versions_in(about)
    about_it = notebook["metadata"].get("autograder")
    fresh = isinstance(about_it, dict) and about_it.get("version") == versions.current
    if not fresh or not all(versions.given(_text(cell)) for cell in notebook["cells"]):
        what = "is not a notebook as it is released, with its checks/ beside it"
        raise CourseError(f"{new or folder} {what}: download the new zip and name that")
    return New(folder, notebook, about, versions)


def _of_one(about: dict[str, Any], path: Path) -> dict[str, Any]:
    """What `module.json` says of the notebook; of several it is known by its name."""
    notebooks = notebooks_of(about)
    named = notebooks if len(notebooks) == 1 else [each for each in notebooks if each["notebook"] == path.name]
    if not named:
        names = ", ".join(each["notebook"] for each in notebooks)
        raise CourseError(f"{path.name} is none of the week's notebooks ({names}): give it its name back, then update it")
    return named[0]


def _unpacked(path: Path, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            archive.extractall(scratch)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise CourseError(f"{path} is damaged ({error}): download it again") from None
    found = sorted(scratch.rglob("checks/module.json"), key=lambda place: len(place.parts))
    if len(found) != 1:
        raise CourseError(f"{path} holds {'no' if not found else 'more than one'} released notebook: name the week's own zip")
    return found[0].parents[1]


def _require_earlier(path: Path, old: dict[str, Any], new: New) -> str:
    """The notebook's version, empty where it says none; one that `new` does not know is no earlier one of this module."""
    about = old["metadata"].get("autograder")
    module = about.get("module") if isinstance(about, dict) else None
    theirs = sum(new.versions.given(_text(cell)) for cell in old["cells"])
    if module not in (None, new.about["module"]) or (module is None and theirs < SHARED):
        what = f"a notebook of {module}" if module else f"no notebook of {new.about['module']}"
        raise CourseError(f"{path} is {what}, and the new one is of {new.about['module']}: name the two of one week")
    version = read_version(path.read_bytes())
    if version and version not in new.versions.cells:
        raise CourseError(
            f"{path} is of version {version}, which {new.versions.current} does not know: it is newer, or of another year. "
            "Download this week's newest zip and name it"
        )
    return version


def _keep(path: Path, data: bytes, version: str) -> Path:
    """Writes `data` beside `path` under a name that says what it is, where it is not there yet."""
    for number in range(1, 1000):
        more = f"-{number}" if number > 1 else ""
        kept = path.with_name(f"{path.stem}.before-update{'-from-' + version if version else ''}{more}{path.suffix}")
        if kept.is_file() and kept.read_bytes() == data:
            return kept
        if not kept.exists():
            write_whole(kept, data)
            return kept
    raise CourseError(f"{path} has been kept under 999 names: remove some")


def _copy(source: Path, target: Path, version: str) -> list[str]:
    """Copies a folder of the release over the one beside the notebook. Checks are replaced, and data that differ are kept."""
    said = []
    for new in sorted(source.rglob("*")):
        there, data = target / new.relative_to(source), new.read_bytes() if new.is_file() else b""
        if not new.is_file() or "__pycache__" in new.parts or (there.is_file() and there.read_bytes() == data):
            continue
        if there.is_file() and target.name == "data":
            said.append(f"{there} is new; as it was it is kept in {_keep(there, there.read_bytes(), version)}")
        write_whole(there, data)
    return said


# --- the cells --------------------------------------------------------------------------------------------------------


def merge(old: list[Cell], new: New, version: str) -> tuple[list[Cell], list[str]]:
    """The new notebook's cells with a student's work in them, and a line for all that is to be looked at."""
    made, said = copy.deepcopy(new.notebook["cells"]), list[str]()
    places = _places(old, made, new)
    for place, target in places.items():
        said += _fill(made[target], old[place], new, version)
    behind: dict[int, list[Cell]] = {}
    last = -1
    for place, cell in enumerate(old):
        last = places.get(place, last)
        if place in places or new.versions.given(_text(cell)) or not (_text(cell).strip() or _shown(cell)):
            continue
        behind.setdefault(last, []).append(_own(cell, sum(map(len, behind.values())) + 1))
        said += _why_own(cell, made, new)
    said += _without_stubs_below(old, made, new)
    cells = behind.get(-1, [])
    for number, cell in enumerate(made):
        cells += [cell, *behind.get(number, [])]
    named = [str(_about(cell)["grade_id"]) for cell in new.notebook["cells"] if _about(cell).get("solution")]
    later = [n for n in named if new.versions.came_later(version, n, new.about["former"].get(n, n))]
    return cells, said + ([f"new since then: {', '.join(later)}"] if later else [])


def _places(old: list[Cell], made: list[Cell], new: New) -> dict[int, int]:
    """For the student's cells the place in the new notebook of the cell that each becomes; written ones before stubs."""
    places: dict[int, int] = {}
    for number, cell in enumerate(made):
        if _about(cell).get("solution"):
            alike = [place for place, theirs in enumerate(old) if place not in places and _fits(theirs, cell, new)]
            written = [place for place in alike if not new.versions.given(_text(old[place]))]
            if alike:
                places[(written or alike)[-1]] = number
    taken = set(places.values())
    for place, theirs in enumerate(old):
        free = [number for number in range(len(made)) if number not in taken and _kind(made[number]) == _kind(theirs)]
        same = [number for number in free if _text(made[number]) == _text(theirs)]
        if same and place not in places and _text(theirs).strip():
            places[place] = same[0]
            taken.add(same[0])
    return places


def _without_stubs_below(old: list[Cell], made: list[Cell], new: New) -> list[str]:
    """A stub would undo, as the notebook runs, what stands in a cell with another function, or higher up."""
    said = []
    for cell in made:
        name = str(_about(cell).get("grade_id"))
        asked = _about(cell).get("solution") and not _about(cell).get("grade") and new.versions.given(_text(cell))
        if asked and any(_defines(name, _text(theirs)) and not new.versions.given(_text(theirs)) for theirs in old):
            cell["source"] = f"# `{name}` is written in another cell of this notebook."
            said.append(f"{name}: yours stays in the cell that it shares with other code")
    return said


def _fits(theirs: Cell, cell: Cell, new: New) -> bool:
    """Whether a student's cell holds the work for a cell of the new notebook. Code under a former name does not run there."""
    name, theirs_name = _about(cell)["grade_id"], _about(theirs).get("grade_id")
    if _kind(theirs) != _kind(cell):
        return False
    if _about(cell).get("grade"):
        return theirs_name is not None and theirs_name in (name, new.about["former"].get(name))
    return _defines(name, _text(theirs))


def _fill(cell: Cell, theirs: Cell, new: New, version: str) -> list[str]:
    """Puts a student's text and outputs into a cell; says where what was asked has changed."""
    name, mine = str(_about(cell).get("grade_id")), not new.versions.given(_text(theirs))
    for what in ("outputs", "execution_count", "attachments"):
        if theirs.get(what) and (mine or _text(theirs) == _text(cell) or _about(cell).get("grade")):
            cell[what] = theirs[what]
    if not mine:
        return []
    before = new.versions.cells.get(version, {})
    asked = before.get(name, before.get(new.about["former"].get(name, "")))
    changed = bool(asked) and asked != new.versions.cells[new.versions.current].get(name)
    if _kind(cell) == "markdown" and changed:
        answer = _answer(_text(theirs).splitlines(), new.versions)
        asked_now = _text(cell) if ANSWER_HERE in _text(cell) else f"{_text(cell)}\n\n{ANSWER_HERE}"
        cell["source"] = asked_now.replace(ANSWER_HERE, answer)
        return [f"{name}: the question has changed; your answer stands below its new text"]
    if changed:
        asks = "\n".join(f"# {line}".rstrip() for line in _text(cell).splitlines())
        cell["source"] = f"{_text(theirs)}\n\n# This cell has changed since you wrote it. It reads now:\n{asks}"
        return [f"{name}: what is given here has changed; it stands below your code, as a comment"]
    cell["source"] = theirs["source"]
    return []


def _answer(lines: list[str], versions: Versions) -> str:
    """What stands in a question where the answer was asked for; all of it where more than that was changed."""
    for start in range(min(len(lines), MOST_LINES)):
        for end in range(len(lines), start, -1):
            if versions.given("\n".join([*lines[:start], ANSWER_HERE, *lines[end:]])):
                return "\n".join(lines[start:end]).strip()
    return "\n".join(lines)


def _own(cell: Cell, number: int) -> Cell:
    """A cell that stays as the student's own: without the names by which a grader would take it for another."""
    metadata = {name: value for name, value in cell.get("metadata", {}).items() if name != "nbgrader"}
    return {**cell, "id": f"own-{number:03d}", "metadata": metadata}


def _why_own(cell: Cell, made: list[Cell], new: New) -> list[str]:
    """What to say of a cell that has no place of its own any more."""
    name = _about(cell).get("grade_id")
    if not isinstance(name, str) or any(_about(other).get("grade_id") == name for other in made):
        return []
    now = next((today for today, before in new.about["former"].items() if before == name), None)
    if now and _about(cell).get("solution"):
        return [f"{name} is called {now} now: yours is kept as a cell of its own, give it the new name"]
    return [f"{name} is no longer asked for: yours is kept as a cell of its own"] if _about(cell).get("solution") else []


def _defines(name: str, text: str) -> bool:
    return re.search(rf"^(?:async +def|def|class) +{re.escape(name)}\b", text, re.MULTILINE) is not None


def _text(cell: Cell) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _kind(cell: Cell) -> str:
    return "code" if cell.get("cell_type") == "code" else "markdown"


def _shown(cell: Cell) -> bool:
    return bool(cell.get("outputs") or cell.get("attachments"))


def _about(cell: Cell) -> dict[str, Any]:
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return about if isinstance(about, dict) else {}
