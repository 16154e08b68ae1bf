"""From an instructor's source to what students and TAs get: `autograder release [MODULE]`.

Everything in `release/<module>/` and `solutions/<module>/` is made here and never edited. `check_release` makes it
again, in memory, and says what is stale and what leaks.
"""

import ast
import functools
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from autograder import source
from autograder.catalogue import Entry, read_catalogue
from autograder.course import KEPT_TO_THE_COURSE, Course, CourseError, Module
from autograder.diagnose import KNOWN, all_leaves, known_mistake, load_known, save_known
from autograder.grading import made_from
from autograder.judge import collect
from autograder.notebook import choose, needed
from autograder.observer import Observer, Recording, load_recording, save_recording, write_whole
from autograder.recording import Malformed, Timing, agree, without_places
from autograder.source import SourceCell
from autograder.student import package_series

PACKAGED_DATA = Path(__file__).parent / "data"
RECORDINGS = ("reference.safetensors", KNOWN)
COLAB_BADGE = """\
[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/{repository}/blob/{branch}/release/{module}/{notebook})

On Colab, first save your own copy (File, Save a copy in Drive), and hand in the file from File, Download, Download .ipynb.
"""
COLAB_CELL = """\
# On Colab: installs the course's package and fetches checks/ and data/. Anywhere else it does nothing.
import subprocess
import sys

if "google.colab" in sys.modules:
    ARCHIVE = "{archive}"
    pip = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", ARCHIVE], capture_output=True, text=True)
    if pip.returncode:
        sys.exit(f"{{pip.stderr}}\\nThe course's package was not installed. Run this cell again in a minute.")
    from autograder.colab import fetch_module

    fetch_module(ARCHIVE, "{module}")
"""
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|work|workspace|mnt|media|private|opt|var)/[\w.-]+|\b[A-Z]:\\\\?\w+"
)


def release(module: Module) -> None:
    """Makes `release/<module>/` and `solutions/<module>/`; the old ones stay until the new ones are complete.

    Raises:
        CourseError: the source or the solved notebook is wrong, or the result would leak; nothing is changed then.
    """
    cells = released_cells(module)
    with tempfile.TemporaryDirectory(dir=module.root, prefix=".release-") as scratch:
        student, teacher = Path(scratch) / "release", Path(scratch) / "solutions"
        _write_all(student, released_files(module, cells))
        _record(module, cells, student / "checks")
        _write_all(teacher, {f"{module.source.stem}.py": reference_module(module, cells).encode()})
        leaks = find_leaks(module, cells, student)
        if leaks:
            raise CourseError("not released, it would leak:\n  " + "\n  ".join(leaks))
        print(f"{module.name}: running the solved notebook on the tiny data …", flush=True)
        write_whole(teacher / module.notebook, _executed(module, cells, student))
        for new, old in ((student, module.release), (teacher, module.solutions)):
            _replace(new, old)
    print(f"{module.name}: made release/{module.name}/ and solutions/{module.name}/")


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_whole(folder / name, content)


def _replace(new: Path, old: Path) -> None:
    """Puts the folder `new` in the place of `old`, which is only removed once it is out of the way."""
    old.parent.mkdir(exist_ok=True)
    aside = new.with_name(f"{new.name}-before")
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


# --- what students get ------------------------------------------------------------------------------------------------


def released_cells(module: Module) -> list[SourceCell]:
    """The source's cells; where course.toml names a repository, behind the title Colab's badge and its first cell."""
    cells, settings = source.read_source(module.source), Course(module.root).settings
    if not settings.repository:
        return cells
    words = {"archive": settings.zip, "module": module.name, "notebook": module.notebook}
    badge = COLAB_BADGE.format(repository=settings.repository, branch=settings.branch, **words)
    colab = [SourceCell("markdown", badge, {}), SourceCell("code", COLAB_CELL.format(**words), {})]
    return [*cells[:1], *colab, *cells[1:]]


def released_files(module: Module, cells: list[SourceCell]) -> dict[str, bytes]:
    """The files of `release/<module>/` by their path in it, without the recordings."""
    files = {module.notebook: notebook_text(module, cells, solved=False).encode()}
    for path in sorted(PACKAGED_DATA.rglob("*")):
        if path.is_file():
            files[f"data/{path.relative_to(PACKAGED_DATA)}"] = path.read_bytes()
    for path in module.public_files:
        files[f"checks/{path.name}"] = path.read_bytes()
    about = {
        "module": module.name,
        "notebook": module.notebook,
        "needs": package_series(),
        "exercises": source.exercises(cells),
        "points": function_points(module, cells),
        "cells": _marked_cells(json.loads(files[module.notebook])),
        "made_from": made_from(module, _mistakes(module, cells)),
    }
    files["checks/module.json"] = (json.dumps(about, indent=1) + "\n").encode()
    return files


def _marked_cells(notebook: dict) -> list[dict[str, Any]]:
    """The cells that must stay as they are or that a person grades: `autograder pack` says what became of them."""
    marked = [(cell, cell["metadata"].get("nbgrader", {})) for cell in notebook["cells"]]
    return [
        {"id": about["grade_id"], "kind": cell["cell_type"], "locked": about["locked"], "text": "".join(cell["source"])}
        for cell, about in marked
        if about.get("locked") or about.get("grade")
    ]


def notebook_text(module: Module, cells: list[SourceCell], solved: bool) -> str:
    """The notebook as .ipynb text with nbgrader's metadata: the student's, or with `solved` the reference."""
    texts = [cell.solution if solved else cell.stub for cell in cells]
    return nbformat.writes(make_notebook(cells, texts, exercise_points(module, cells))) + "\n"


def make_notebook(cells: list[SourceCell], texts: Iterable[str], points: dict[str, float]) -> nbformat.NotebookNode:
    """A notebook with these cells' kinds and roles, the given texts and exercises' points, without outputs."""
    made = []
    for number, (cell, text) in enumerate(zip(cells, texts, strict=True)):
        new = nbformat.v4.new_code_cell if cell.kind == "code" else nbformat.v4.new_markdown_cell
        metadata = {"nbgrader": nbgrader_metadata(cell, points)} if cell.role else {}
        made.append(new(text.rstrip("\n"), metadata=metadata, id=f"cell-{number:03d}"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def exercise_points(module: Module, cells: list[SourceCell]) -> dict[str, float]:
    """What each exercise is worth."""
    return source.points(source.exercises(cells), collect(module.tests))


def function_points(module: Module, cells: list[SourceCell]) -> dict[str, float]:
    """What each function's checks are worth together, the hidden ones too."""
    checks = collect(module.tests)
    return {name: sum(check.points for check in checks if check.function == name) for name in source.functions(cells)}


def nbgrader_metadata(cell: SourceCell, points: dict[str, float]) -> dict:
    """nbgrader's cell metadata, schema 3, for a cell's role."""
    grade, solution, locked = {
        "exercise": (False, True, False),
        "check": (False, False, True),
        "grade": (True, False, True),
        "question": (True, True, False),
        "plot": (True, True, False),
    }[cell.role]
    metadata = {
        "schema_version": 3,
        "grade_id": grade_id(cell),
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
    }
    if grade:
        metadata["points"] = points[cell.about["exercise"]] if cell.role == "grade" else cell.about["points"]
    return metadata


def grade_id(cell: SourceCell) -> str:
    """What nbgrader calls a cell, each once: an exercise may have its function's name."""
    if cell.role == "exercise":
        return cell.about["function"]
    kind = "exercise" if cell.role == "grade" else cell.role
    return f"{kind}-{cell.about.get('name') or cell.about['exercise']}"


def _record(module: Module, cells: list[SourceCell], checks: Path) -> None:
    """Writes what the public checks need in place of answers: the recordings of the reference and of the mistakes."""
    statements, functions = source.reference_statements(cells), source.functions(cells)
    with _public_observer(module, cells) as observer:
        expected = {True: observer.observe(choose(statements, {}, functions), reference=True)}
        known = []
        for entry in _mistakes(module, cells):
            ask = functools.partial(observer.observe, entry.code(statements, functions), only=entry.of)
            known.append(
                known_mistake(
                    entry.name, entry.of, entry.hint, lambda again, ask=ask: {True: ask(again=again)}, expected
                )
            )
    save_recording(checks / RECORDINGS[0], _for_students(expected[True]))
    save_known(checks / RECORDINGS[1], known)


def _mistakes(module: Module, cells: list[SourceCell]) -> list[Entry]:
    return read_catalogue(module.tests / "mistakes.py", source.reference_statements(cells))


def _public_observer(module: Module, cells: list[SourceCell]) -> Observer:
    return Observer(module.tests, "probes_public", source.functions(cells), Course(module.root).store)


def _for_students(recording: Recording) -> Recording:
    """Without times, which no two machines share, and without the reference's own lines."""
    observations = {
        name: replace(o, seconds=0.0, value=without_places(o.value)) for name, o in recording.observations.items()
    }
    return Recording(observations)


# --- what TAs get -----------------------------------------------------------------------------------------------------


def reference_module(module: Module, cells: list[SourceCell]) -> str:
    """The reference functions, and what they need, as an importable Python module."""
    parts = []
    for statement in needed(source.reference_statements(cells), source.functions(cells)):
        is_import = isinstance(statement.node, (ast.Import, ast.ImportFrom))
        parts.append(statement.text if is_import else f"\n\n{statement.text}")
    made_from = f"source/{module.name}/{module.source.name}"
    title = f'"""The reference of {module.name}. Made from {made_from}: edit that file, not this one."""'
    return "\n".join([title, *parts]) + "\n"


def _executed(module: Module, cells: list[SourceCell], student: Path) -> str:
    """The solved notebook with its outputs, run where a student would run it."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.reads(notebook_text(module, cells, solved=True), as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / module.name
        shutil.copytree(student, folder)
        try:
            client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
            client.execute(stderr=subprocess.DEVNULL)  # what the kernel says as it starts and ends; cells have their own
        except CellExecutionError as error:
            raise CourseError(f"{module.source.name}: the solved notebook does not run:\n{error}") from None
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata.pop("execution", None)
        if "✗" in "".join(str(output) for output in cell.get("outputs", [])):
            raise CourseError(
                f"{module.source.name}, cell {number}: a check fails in the solved notebook; run `autograder verify`"
            )
    notebook.metadata["autograder"] = {"source_sha256": hashlib.sha256(module.source.read_bytes()).hexdigest()}
    notebook.metadata["language_info"] = {"name": "python"}
    return nbformat.writes(notebook) + "\n"


# --- checking ---------------------------------------------------------------------------------------------------------


def check_release(module: Module) -> list[str]:
    """What is stale or leaks in `release/` and `solutions/`, one line each with the file; empty when nothing is."""
    cells = released_cells(module)
    again = f"stale, run `autograder release {module.name}`"
    problems = []
    for name, content in released_files(module, cells).items():
        problems += _compare(module.release / name, content, again)
    problems += _check_recordings(module, cells, again)
    problems += _compare(module.solutions / f"{module.source.stem}.py", reference_module(module, cells).encode(), again)
    problems += _check_executed(module, cells, again)
    return problems + (find_leaks(module, cells, module.release) if module.release.is_dir() else [])


def _compare(path: Path, content: bytes, again: str) -> list[str]:
    if not path.is_file():
        return [f"{_short(path)}: missing, {again}"]
    return [] if path.read_bytes() == content else [f"{_short(path)}: {again}"]


def _short(path: Path) -> str:
    return "/".join(path.parts[-4:]) if "checks" in path.parts or "data" in path.parts else "/".join(path.parts[-3:])


def _check_recordings(module: Module, cells: list[SourceCell], again: str) -> list[str]:
    """The reference is recorded again; the mistakes' recordings are as fresh as the hash in module.json, but for hints."""
    path = module.release / "checks" / RECORDINGS[0]
    missing = [
        f"{_short(path.with_name(name))}: missing, {again}" for name in RECORDINGS if not path.with_name(name).is_file()
    ]
    if missing:
        return missing
    with _public_observer(module, cells) as observer:
        reference = choose(source.reference_statements(cells), {}, source.functions(cells))
        fresh = observer.observe(reference, reference=True)
    try:
        kept = load_recording(path)
        hints = {mistake.name: mistake.hint for mistake in load_known(path.with_name(RECORDINGS[1]))}
    except Malformed as error:
        return [f"{_short(path.parent)}: damaged recordings ({error}), {again}"]
    probes = [(True, name) for name in fresh.observations.keys() | kept.observations.keys()]
    left, right = all_leaves({True: fresh}, probes), all_leaves({True: kept}, probes)
    alike = left.keys() == right.keys() and all(_alike(left[place], right[place]) for place in left)
    problems = [] if alike else [f"{_short(path)}: {again}"]
    if hints != {entry.name: entry.hint for entry in _mistakes(module, cells)}:
        problems.append(f"{_short(path.with_name(RECORDINGS[1]))}: {again}")
    return problems


def _alike(fresh: Any, kept: Any) -> bool:
    """Whether two leaves tell the same. Wall times tell how busy the machine was, not whether anything is stale."""
    return isinstance(fresh, Timing) and isinstance(kept, Timing) or agree(fresh, kept, within=1e-4)


def _check_executed(module: Module, cells: list[SourceCell], again: str) -> list[str]:
    path = module.solutions / module.notebook
    if not path.is_file():
        return [f"{_short(path)}: missing, {again}"]
    notebook = nbformat.read(path, as_version=4)
    fresh = (
        notebook.metadata.get("autograder", {}).get("source_sha256")
        == hashlib.sha256(module.source.read_bytes()).hexdigest()
    )
    same = [cell.source for cell in notebook.cells] == [cell.solution.rstrip("\n") for cell in cells]
    return [] if fresh and same else [f"{_short(path)}: {again}"]


def find_leaks(module: Module, cells: list[SourceCell], folder: Path) -> list[str]:
    """What in a released folder a student must not have: answers, hidden checks, bytecode, outputs, paths."""
    expected = set(released_files(module, cells)) | {f"checks/{name}" for name in RECORDINGS}
    secrets = _secret_lines(module, cells)
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        name = str(path.relative_to(folder))
        where = f"release/{module.name}/{name}"
        if path.suffix in (".pyc", ".pyo"):
            problems.append(f"{where}: bytecode, delete it")
        elif name not in expected:
            problems.append(f"{where}: not made by `autograder release`, delete it")
        elif path.suffix in (".ipynb", ".py", ".json"):
            problems += [f"{where}: {leak}" for leak in _leaks_in(path, secrets)]
    return problems


def _leaks_in(path: Path, secrets: dict[str, str]) -> list[str]:
    text = path.read_text(encoding="utf-8")
    leaks = []
    if path.suffix == ".ipynb":
        notebook = json.loads(text)
        with_outputs = [
            n for n, cell in enumerate(notebook["cells"], 1) if cell.get("outputs") or cell.get("execution_count")
        ]
        leaks += [f"cell {number} has outputs" for number in with_outputs]
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    leaks += [
        f"holds {secrets[line]}: {line[:70]}"
        for line in dict.fromkeys(map(_squeezed, text.splitlines()))
        if line in secrets
    ]
    leaks += [
        f"holds a path of the machine it was made on: {found}" for found in dict.fromkeys(ABSOLUTE_PATH.findall(text))
    ]
    return leaks


def _secret_lines(module: Module, cells: list[SourceCell]) -> dict[str, str]:
    """Every line of 12 characters or more that stands in a solution or a hidden file and nowhere students may look."""
    public = {_squeezed(line) for cell in cells for line in cell.stub.splitlines()}
    for path in module.public_files:
        public |= {_squeezed(line) for line in path.read_text(encoding="utf-8").splitlines()}
    secrets = {_squeezed(line): "a line of the solution" for cell in cells for line in cell.solution_lines()}
    for name in KEPT_TO_THE_COURSE:
        path = module.tests / f"{name}.py"
        if path.is_file():
            kind = f"a line of tests/{module.name}/{path.name}"
            secrets |= {_squeezed(line): kind for line in path.read_text(encoding="utf-8").splitlines()}
    return {line: kind for line, kind in secrets.items() if len(line) >= 12 and line not in public}


def _squeezed(line: str) -> str:
    """A line without spaces and comment marks, so that another indentation or a comment hides nothing."""
    return "".join(line.split()).lstrip("#")
