"""Before and at handing in: `autograder check`, `autograder pack`, and for the TA `autograder receipt`.

`check_notebook` says of a saved file what the grader will say of everything public, in a fresh process. `pack` makes the
file to hand in, byte for byte the student's, and says what will cost points; it refuses nothing but to put a file that is
cut off or damaged in the place of a good one.
"""

import ast
import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from autograder.classes.submissions import Submission
from autograder.course.versions import Versions, versions_in
from autograder.errors import CourseError, NoClaim, Unreadable
from autograder.files import start_of, write_whole
from autograder.grading.judge import clean
from autograder.grading.report import as_text, number
from autograder.installed import DISTRIBUTION, foreign, versions
from autograder.sandboxed.notebook import (
    MAX_NOTEBOOK_BYTES,
    NOTHING_RELEASED,
    Code,
    Released,
    read_cells,
    read_texts,
    read_version,
    select,
    shown_in,
)
from autograder.sandboxed.pictures import is_picture
from autograder.students.check import AGAIN, Bundle, likeliest, notebooks_of, read_about
from autograder.training.claim_file import CLAIM, MAX_CLAIM_BYTES, parse_claim

LARGE_BYTES = 10 * 2**20
RECEIPT_BYTES = 2**16
VERSIONS = (DISTRIBUTION, "torch", "torchvision", "numpy")  # that a receipt says


def find_notebooks(place: Path) -> tuple[list[Path], list[str]]:
    """The notebooks that `place` names, in a folder the assignment's own; and a line for each of several that is not there.

    Raises:
        CourseError: there is none.
    """
    abouts = notebooks_of(read_about(place.absolute() / "checks")) if place.is_dir() else []
    paths = {place / about["notebook"]: sum(about["points"].values()) for about in abouts} or {place: 0}
    there = [path for path in paths if path.is_file()]
    if not there:
        path = next(iter(paths))
        others = ", ".join(sorted(other.name for other in path.parent.glob("*.ipynb"))) if path.parent.is_dir() else ""
        raise CourseError(f"{path} does not exist: " + (f"here is {others}" if others else "name your notebook"))
    missing = [path for path in paths if path not in there]
    return there, [f"{path} is not here: {number(paths[path])} points, and its written answers" for path in missing]


def _about_of(path: Path) -> dict[str, Any]:
    """What `checks/` says of the notebook in a file: of several the one of its name, else the one of which its cells are."""
    abouts = notebooks_of(read_about(path.parent.absolute() / "checks"))
    named = [about for about in abouts if len(abouts) == 1 or about["notebook"] == path.name]
    if not named:
        data = start_of(path, MAX_NOTEBOOK_BYTES)
        named = likeliest(abouts, [] if _no_notebook(data) else read_cells(data))
    return named[0]


def check_notebook(path: Path, limit: float) -> tuple[str, bool]:
    """What the grader will say of everything public in a saved notebook, and whether all public checks pass.

    Args:
        limit: seconds that one probe may take.

    Raises:
        CourseError: the file or the checks beside it cannot be used; the message says why and how to mend it.
    """
    bundle = Bundle((path.parent / "checks").absolute(), limit, _about_of(path).get("notebook", ""))
    with closing(bundle.observer):
        try:
            code = bundle.observer.read(Submission("", path).read())
        except Unreadable as error:
            return f"{path} {error}", False
        graded = bundle.grade(code, bundle.functions)
    points = f"{number(graded.score)} of {number(graded.maximum)} public points. " if graded.verdicts else ""
    said = f"{path}: {points}{bundle.closing(graded, bundle.functions)}"
    return f"{as_text(graded)}\n\n{said}".lstrip(), graded.score == graded.maximum


# --- packing ----------------------------------------------------------------------------------------------------------


def pack(path: Path, out: Path | None = None) -> tuple[Path, Path, list[str]]:
    """Makes the file to hand in and its receipt; gives both paths, and what will cost points.

    A claim of the student's own training run, in a folder beside the notebook, is taken along; see `claim_beside`.

    Args:
        out: the file to make; by default the name that the grader expects, in a new folder `handin/` beside the notebook.

    Raises:
        CourseError: the notebook or the claim is damaged, and a good one lies where it would be put; nothing is changed.
    """
    data = path.read_bytes()
    try:
        about, problems = _about_of(path), []
    except CourseError as error:
        about, problems = {}, [f"nothing could be compared with the assignment: {error}"]
    expected = about.get("notebook", path.name)
    out = out or path.parent / "handin" / expected
    if out.is_dir():
        out = out / expected
    if out.name != expected:
        problems.append(f"the grader expects the name {expected}, not {out.name}")
    claim = claim_beside(path.parent, out.parent)
    content = start_of(claim, MAX_CLAIM_BYTES) if claim else b""
    _spare(out, path, _no_notebook(data), _no_notebook, "in JupyterLab: File, Revert Notebook to Checkpoint")
    if claim:
        _spare(out.parent / CLAIM, claim, _no_claim(content), _no_claim, "or move it out of the way")
    if not (out.exists() and out.samefile(path)):
        write_whole(out, data)
    receipt = out.with_suffix(".receipt.json")
    said = make_receipt(out.name, data, about)
    if claim:
        write_whole(out.parent / CLAIM, content)
        said["claim"] = {"from": claim.relative_to(path.parent).as_posix(), **_identity(CLAIM, content)}
    write_whole(receipt, json.dumps(said, indent=1) + "\n")
    return out, receipt, problems + find_problems(data, about)


def _spare(there: Path, new: Path, why: str, problem: Callable[[bytes], str], mend: str) -> None:
    """Raises `CourseError` where the good file `there` would be replaced by `new`, which is none, and says `why` that is."""
    if why and there.is_file() and not there.samefile(new) and not problem(there.read_bytes()):
        raise CourseError(
            f"{new} {why}. Nothing was packed: {there}, which you packed before, is whole and stays as it is. Take back an "
            f"earlier state of {new.name} ({mend}), then pack again; or hand in {there}"
        )


def _no_notebook(data: bytes) -> str:
    """Why a file is no notebook; empty where it is one."""
    try:
        read_cells(data)
    except (Unreadable, UnicodeDecodeError) as error:
        return str(error)
    return ""


def _no_claim(data: bytes) -> str:
    """Why a file is no claim; empty where it is one."""
    try:
        parse_claim(data)
    except NoClaim as error:
        return str(error)
    return ""


def claim_beside(folder: Path, out: Path) -> Path | None:
    """The newest claim in the notebook's folder or in one right below it, but for the one where the packed file is made.

    What no claim can be for its size is left alone, and so are links.
    """
    found = [path for path in (folder / CLAIM, *folder.glob(f"*/{CLAIM}")) if path.is_file() and not path.is_symlink()]
    fit = [
        path
        for path in found
        if path.parent.resolve() != out.resolve() and 0 < path.stat().st_size <= MAX_CLAIM_BYTES
    ]
    return max(fit, key=lambda path: path.stat().st_mtime, default=None)


def find_problems(data: bytes, about: dict[str, Any]) -> list[str]:
    """What in a notebook file will cost points or trouble, one line each; `about` is the assignment's module.json."""
    if why := _no_notebook(data):
        return [f"the grader will refuse this file: it {why}"]
    code_cells = read_cells(data)
    points, released = about.get("points", {}), about.get("released")
    given = Released.from_dict(released) if released else NOTHING_RELEASED
    code = select(code_cells, points, given, read_texts(data))
    problems = [f"code cell {cell} {note}" for cell, note in code.notes.items() if note.startswith("does not run")]
    for name, worth in points.items():
        if name in code.absent:
            problems.append(f"`{name}` is not there: {code.absent[name]}: {number(worth)} points")
        elif name in code.stubs or name not in code.homes:
            problems.append(f"`{name}` is not written yet: {number(worth)} points")
    problems += [
        f"`{name}` is made by code cell {cell} alone, which the grader does not run: take it as an argument"
        for name, cell in code.run.items()
    ]
    problems += _foreign_imports(code, about.get("packages", []))
    cells, versions = _plain_cells(data), versions_in(about)
    problems[:0] = _of_another_version(read_version(data), versions)
    return problems + _marked_problems(cells, about.get("cells", []), versions) + _unrun(cells) + _too_large(data, cells)


def _foreign_imports(code: Code, packages: list[str]) -> list[str]:
    """What the graded functions import and the grader may not have."""
    imported: dict[str, int] = {}
    for cell, _, text in code.pieces:
        for node in ast.parse(text).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.split(".")[0]: cell for name in names}
    return [
        f"code cell {imported[name]} imports {name}, which is none of the course's packages: the grader may not have it"
        for name in foreign(imported, packages)
    ]


def _plain_cells(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook that `read_cells` can read, made whole where something in them is of another type."""
    cells = json.loads(data).get("cells") or []
    return [
        {
            "kind": cell.get("cell_type"),
            "id": _dict(_dict(cell.get("metadata")).get("nbgrader")).get("grade_id"),
            "text": "".join(map(str, text)) if isinstance(text := cell.get("source", ""), list) else str(text),
            "outputs": [output for output in _list(cell.get("outputs")) if isinstance(output, dict)],
            "picture": any(is_picture(kind) for kind, _ in shown_in(cell)),
            "run": cell.get("execution_count") is not None,
        }
        for cell in cells
        if isinstance(cell, dict)
    ]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _of_another_version(version: str, versions: Versions) -> list[str]:
    if version in ("", versions.current) or not versions.current:
        return []
    if version not in versions.cells:
        return [f"it is of version {version}, and checks/ of {versions.current} do not know it: {AGAIN}"]
    return [f"it is of version {version}, and {versions.current} is out: `autograder update` takes your work over"]


def _marked_problems(cells: list[dict[str, Any]], marked: list[dict[str, Any]], versions: Versions) -> list[str]:
    """What became of the check cells, the written answers and the plots."""
    times = Counter(str(cell["id"]) for cell in cells)
    by_id = {str(cell["id"]): cell for cell in cells}
    problems = []
    for released in marked:
        name, mine = released["id"], by_id.get(released["id"])
        same = mine is not None and mine["text"].strip() == released["text"].strip()
        if mine is None:
            problems.append(f"the cell {name} is gone: copy it back from the released notebook")
        elif times[name] > 1:
            problems.append(f"the cell {name} is there {times[name]} times: keep one")
        elif released["locked"] and not same:
            problems.append(f"the check cell {name} was edited: the grader uses its own, undo what you changed")
        elif released["kind"] == "markdown" and (same or versions.given(mine["text"])) and not mine["picture"]:
            problems.append(f"{name} is not answered yet")
        elif released["kind"] == "code" and not released["locked"] and not mine["picture"]:
            problems.append(f"{name} shows no picture: run it and save, people grade what they see")
    return problems


def _unrun(cells: list[dict[str, Any]]) -> list[str]:
    waiting = [cell for cell in cells if cell["kind"] == "code" and cell["text"].strip() and not cell["run"]]
    return [f"{len(waiting)} code cells were not run: their results are not in the file"] if waiting else []


def _too_large(data: bytes, cells: list[dict[str, Any]]) -> list[str]:
    if len(data) <= LARGE_BYTES:
        return []
    sizes = [len(json.dumps(cell["outputs"])) for cell in cells]
    number_of = max(range(len(cells)), key=sizes.__getitem__, default=0)
    return [
        f"the file has {len(data) / 2**20:.0f} MB, {max(sizes, default=0) / 2**20:.0f} MB of them outputs of cell "
        f"{number_of + 1}: clear them (Edit, Clear Cell Output) and save"
    ]


# --- the receipt ------------------------------------------------------------------------------------------------------


def make_receipt(name: str, data: bytes, about: dict[str, Any]) -> dict[str, Any]:
    """What `verify_receipt` can compare (file, SHA-256, bytes), and what a student says beside it."""
    return {
        **_identity(name, data),
        "packed": datetime.now().astimezone().isoformat(timespec="seconds"),
        "module": about.get("module", ""),
        "made_from": about.get("made_from", ""),
        "versions": {"python": platform.python_version(), **dict.fromkeys(VERSIONS, "not installed"), **versions(*VERSIONS)},
    }


def _identity(name: str, data: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def verify_receipt(file: Path, receipt: Path) -> tuple[str, bool]:
    """What a receipt proves about a collected file, a notebook or a claim, and whether it is the file it was made for.

    Raises:
        CourseError: one of the two cannot be read, or is no receipt.
    """
    for path in (file, receipt):
        if path.is_symlink() or not path.is_file():
            raise CourseError(f"{path} is not a regular file: name the collected notebook, then its receipt")
    try:
        said = json.loads(start_of(receipt, RECEIPT_BYTES))
        of = said["claim"] if file.suffix == Path(CLAIM).suffix else said
        claimed, packed = str(of["sha256"]), clean(str(said["packed"]), 40)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CourseError(f"{receipt} is no receipt of `autograder pack`: ask the student for the file") from None
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not re.fullmatch("[0-9a-f]{64}", claimed) or claimed != found:
        return f"{file} is NOT the file of this receipt: SHA-256 {found}, the receipt says {clean(claimed, 70)}", False
    return (
        f"{file} is the file of this receipt, byte for byte (SHA-256 {found}).\n"
        f"The receipt says that it was packed at {packed}. That and the versions are the student's own word: it proves "
        "that the file is unchanged since, not when it was handed in.",
        True,
    )
