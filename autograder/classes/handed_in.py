"""What a handed-in file is: a notebook or something else, this module's or another's, worked on or as it was released."""

import contextlib
import functools
import json
import re
from typing import Any

from autograder.course.course import Module
from autograder.errors import CourseError
from autograder.sandboxed.notebook import squeezed_hash

_GHOSTS = ("__macosx", "__pycache__", "thumbs.db", "desktop.ini")
_SUFFIX = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)  # as some browsers save it
_MERGE_MARKS = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)
_PROGRAM = re.compile(rb"^(import \w|from \w+ import |def \w+\(|# coding|# -\*-)", re.MULTILINE)


def ghost(name: str) -> bool:
    """Whether a computer put it there and not a person: `._x`, `__MACOSX`, checkpoints, hidden files."""
    return name.startswith(".") or name.casefold() in _GHOSTS or name.casefold().endswith("-checkpoint.ipynb")


def notebook_name(name: str) -> bool:
    """Whether a file is a notebook by its name."""
    return bool(_SUFFIX.search(name))


def stem(name: str) -> str:
    """A notebook's name without its ending."""
    return _SUFFIX.sub("", name)


def resembles(module: Module, name: str) -> bool:
    """Whether a file's name is a notebook's of the module, or a computer's variation of it: `densenet (1)`, `Copy of …`."""
    wanted = [stem(notebook).casefold() for notebook in module.notebooks]
    return any(one in stem(name).casefold() for one in wanted) or module.name.casefold() in name.casefold()


def part_of(module: Module, name: str, data: bytes) -> Module:
    """Which of the module's notebooks a file is: the one of its name, else the one of which most released cells are in it,
    else the one whose name is in its name."""
    parts, texts = module.whole.parts, set(_texts(data))

    def likeness(part: Module) -> tuple[bool, int, bool]:
        return part.notebook == name, len(texts & _released(part)), stem(part.notebook).casefold() in stem(name).casefold()

    return max(parts, key=likeness) if len(parts) > 1 else parts[0]


def not_a_notebook(data: bytes) -> str:
    """What a file is that is no notebook, and what to do; nothing where it may be one."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return (
            "is Git LFS's pointer to the notebook, which is not in this clone: run `git lfs pull` there and grade again; "
            "the student need do nothing"
        )
    if start.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head", b"<script")):
        return "is a web page saved under a notebook's name, not the notebook: download it by File, Download .ipynb"
    if start.startswith(b"%pdf"):
        return "is a PDF under a notebook's name: submit the .ipynb file itself"
    if start.startswith((b"rar!", b"7z\xbc\xaf", b"\x1f\x8b")):
        return "is an archive under a notebook's name: unpack it and submit the .ipynb inside"
    if not start.startswith(b"{"):
        if _MERGE_MARKS.search(data):
            return _MERGED
        if _PROGRAM.search(data[:100_000]) and b'"cells"' not in data:
            return (
                "is a Python program under a notebook's name: submit the notebook itself (.ipynb), not its .py export"
            )
    return _MERGED if _MERGE_MARKS.search(data) else ""


_MERGED = (
    "holds a merge's marks (<<<<<<<, >>>>>>>), so Git could not join two versions of it: choose one of them "
    "(`git checkout --ours` or `--theirs`) and submit it again"
)


def untouched(module: Module, data: bytes) -> bool:
    """Whether it is the notebook as it was released: no cell has another text, so there is nothing to grade."""
    texts = _texts(data)
    return bool(texts) and set(texts) <= _released(module)


def belongs(module: Module, data: bytes) -> bool:
    """Whether it came from the module's notebook: cells of the release are in it."""
    texts = _texts(data)
    return len(_released(module).intersection(texts)) >= min(3, len(_released(module)))


def _texts(data: bytes) -> list[str]:
    """A hash of each cell's text, without blanks; none when it cannot be read."""
    try:
        notebook: Any = json.loads(data.decode("utf-8-sig"))
        texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [squeezed_hash(text) for text in texts if text.strip()]


@functools.cache
def _released(module: Module) -> frozenset[str]:
    """Hashes of the released cells' texts: as the source has them now, and of all versions that students got."""
    from autograder.authors.release import released_cells
    from autograder.grading.contents import Contents

    texts = set[str]()
    for part in Contents(module).parts:
        with contextlib.suppress(CourseError, OSError):  # grading itself says what is wrong with the source
            texts |= {squeezed_hash(cell.stub) for cell in released_cells(part) if cell.stub.strip()}
        texts |= part.versions.texts
    return frozenset(texts)
