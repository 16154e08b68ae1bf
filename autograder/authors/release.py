"""From an instructor's source to what students and TAs get: `autograder release [MODULE]`.

Everything in `release/<module>/` and `solutions/<module>/` is made here and never edited. Whether it is stale says
stale.py, and what must not be in it leaks.py.
"""

import ast
import functools
import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from autograder.authors.leaks import find_leaks
from autograder.course.calendar import dates_of, told
from autograder.course.colab import COLAB_BADGE, COLAB_CELL, NEWEST, NO_BADGE
from autograder.course.course import Course, Module
from autograder.course.notebooks import make_notebook
from autograder.course.source import SourceCell
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.diagnose import (
    KNOWN,
    KnownMistake,
    Place,
    known_mistake,
    save_known,
    varying_places,
    without_places,
)
from autograder.grading.gate import require_sound
from autograder.grading.observer import Observer
from autograder.grading.recordings import Observation, Recording, save_recording
from autograder.installed import DISTRIBUTION, package_series
from autograder.sandboxed.notebook import Code, needed, squeezed_hash

# what `module.json` says of each notebook by itself
OWN = ("exercises", "points", "released", "cells", "version", "former", "versions", "texts")
RECORDING_FILES = ("checks/reference.safetensors", f"checks/{KNOWN}")  # of a release: made by running code


def release(module: Module) -> None:
    """Makes `release/<module>/` and `solutions/<module>/`; the old ones stay until the new ones are complete.

    Raises:
        CourseError: the source or the solved notebook is wrong, or the result would leak; nothing is changed then.
    """
    contents = Contents(module)
    require_sound(contents)
    with tempfile.TemporaryDirectory(dir=module.root, prefix=".release-") as scratch:
        student, teacher = Path(scratch) / "release", Path(scratch) / "solutions"
        files = released_files(contents)
        _write_all(student, files)
        _record(contents, student)
        _write_all(teacher, reference_modules(contents))
        leaks = find_leaks(contents, [*files, *RECORDING_FILES], student)
        if leaks:
            raise CourseError("not released, it would leak:\n  " + "\n  ".join(leaks))
        for part in contents.parts:
            print(f"{part.module.title}: running the solved notebook …", flush=True)
            write_whole(teacher / part.module.notebook, _executed(part, student))
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


def released_cells(contents: Contents) -> list[SourceCell]:
    """The source's cells; behind the title when it is due, Colab's badge or that there is none, with the version, and the
    set-up cell."""
    module, cells = contents.module, contents.cells
    settings = Course(module.root).settings
    packages = "".join(f', "{package}"' for package in settings.packages)
    about = {"module": module.name, "notebook": module.notebook, "version": contents.version}
    badge = COLAB_BADGE if settings.repository else NO_BADGE
    text = badge.format(repository=settings.repository, branch=settings.branch, **about)
    code = COLAB_CELL.format(
        archive=settings.zip, newest=_newest(module), packages=packages, distribution=DISTRIBUTION, **about
    )
    due = dates_of(module).due
    when = [SourceCell("markdown", _due(due, settings.contact), {})] if due else []
    return [*cells[:1], *when, SourceCell("markdown", text, {}), SourceCell("code", code, {}), *cells[1:]]


def _newest(module: Module) -> str:
    """Where the newest release says which version it is; empty where nobody can fetch that small file alone."""
    settings = Course(module.root).settings
    if not settings.repository or settings.archive:
        return ""
    return NEWEST.format(repository=settings.repository, branch=settings.branch, module=module.name)


def _due(due: datetime, contact: str) -> str:
    return f"Due **{told(due)}**." + (f" Questions: {contact}." if contact else "")


def released_files(contents: Contents) -> dict[str, bytes]:
    """The files of `release/<module>/` by their path in it, without the recordings."""
    module = contents.module
    files = {part.module.notebook: notebook_text(part, solved=False).encode() for part in contents.parts}
    files |= {f"data/{name}": path.read_bytes() for name, path in contents.needs.data.items()}
    for path in module.public_files:
        files[f"checks/{module.place(path)}"] = path.read_bytes()
    files["checks/module.json"] = (json.dumps(_about(contents, files), indent=1) + "\n").encode()
    return files


def _about(contents: Contents, files: dict[str, bytes]) -> dict[str, Any]:
    """What `module.json` says; of several notebooks, what is each one's own under its name."""
    module = contents.module
    if len(contents.parts) > 1:
        each = {part.module.notebook: _about(part, files) for part in contents.parts}
        common = {name: value for name, value in next(iter(each.values())).items() if name not in (*OWN, "notebook")}
        own = {notebook: {name: about[name] for name in OWN} for notebook, about in each.items()}
        return common | {"made_from": contents.made_from, "notebooks": own}
    notebook = json.loads(files[module.notebook])
    return {
        "module": module.name,
        "notebook": module.notebook,
        "needs": package_series(),
        "exercises": contents.exercises,
        "points": contents.function_points,
        "packages": Course(module.root).settings.packages,
        "archive": Course(module.root).settings.zip,
        "released": contents.released.as_dict(),
        "cells": _marked_cells(notebook),
        **_versions(contents, notebook),
        "made_from": contents.made_from,
        "files": [name for name in files if name.startswith("checks/")],
    }


def _marked_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that must stay as they are or that a person grades: `autograder pack` says what became of them."""
    marked = [(cell, cell["metadata"].get("nbgrader", {})) for cell in notebook["cells"]]
    return [
        {"id": about["grade_id"], "kind": cell["cell_type"], "locked": about["locked"], "text": "".join(cell["source"])}
        for cell, about in marked
        if about.get("locked") or about.get("grade")
    ]


def _versions(contents: Contents, notebook: dict[str, Any]) -> dict[str, Any]:
    """Which version this is, and what later ones will know it by; see course/versions.py."""
    names = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook["cells"]]
    texts = [squeezed_hash("".join(cell["source"])) for cell in notebook["cells"]]
    marked = {name: text for name, text in zip(names, texts, strict=True) if name}
    return {
        "version": contents.version,
        "former": contents.former,
        "versions": contents.versions.followed_by(contents.version, marked),
        "texts": sorted(contents.versions.texts.union(texts)),
    }


def notebook_text(contents: Contents, solved: bool) -> str:
    """The notebook as .ipynb text with nbgrader's metadata: the student's, or with `solved` the reference."""
    cells = released_cells(contents)
    texts = [cell.solution if solved else cell.stub for cell in cells]
    notebook = make_notebook(cells, texts, contents.points)
    notebook.metadata["autograder"] = {"module": contents.module.name, "version": contents.version}
    return str(nbformat.writes(notebook)) + "\n"


def _record(contents: Contents, student: Path) -> None:
    """Writes what the public checks need in place of answers: the recordings of the reference and of the mistakes."""
    reference, mistakes = (student / name for name in RECORDING_FILES)
    answers, known, varying = dict[str, Observation](), list[KnownMistake](), frozenset[Place]()
    for part in contents.parts:
        with public_observer(part) as observer:
            expected = {True: observer.observe(part.reference, reference=True)}
            require_sound(part, expected)
            for entry in part.mistakes:
                observe = functools.partial(_publicly, observer, part.code(entry), entry.of)
                known.append(known_mistake(entry.name, entry.of, entry.hint, observe, expected))
            right = [_publicly(observer, part.code(entry), entry.of) for entry in part.alternatives]
        answers |= expected[True].observations
        varying |= varying_places(right, expected)
    save_recording(reference, _for_students(Recording(answers)))
    save_known(mistakes, known, varying)


def _publicly(observer: Observer, code: Code, function: str, again: bool = False) -> dict[bool, Recording]:
    return {True: observer.observe(code, only=function, again=again)}


def public_observer(contents: Contents) -> Observer:
    """Who asks the public probes, for recordings that a release holds."""
    store = Course(contents.module.root).store
    about = contents.functions, store, contents.released, contents.needs
    return Observer(contents.module.tests, "probes_public", *about, workers=1)


def _for_students(recording: Recording) -> Recording:
    """Without times, which no two machines share, and without the reference's own lines."""
    observations = {
        name: replace(o, seconds=0.0, value=without_places(o.value)) for name, o in recording.observations.items()
    }
    return Recording(observations)


# --- what TAs get -----------------------------------------------------------------------------------------------------


def reference_modules(contents: Contents) -> dict[str, bytes]:
    """The files of `solutions/<module>/` that are Python, one for each notebook."""
    return {f"{part.module.source.stem}.py": reference_module(part).encode() for part in contents.parts}


def reference_module(contents: Contents) -> str:
    """The reference functions, and what they need, as an importable Python module."""
    module, parts = contents.module, []
    for statement in needed(contents.statements, contents.functions):
        is_import = isinstance(statement.node, (ast.Import, ast.ImportFrom))
        parts.append(statement.text if is_import else f"\n\n{statement.text}")
    made_from = f"source/{module.name}/{module.source.name}"
    title = f'"""The reference of {module.name}. Made from {made_from}: edit that file, not this one."""'
    return "\n".join([title, *parts]) + "\n"


def _executed(contents: Contents, student: Path) -> str:
    """The solved notebook with its outputs, run where a student would run it."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    module = contents.module
    notebook = nbformat.reads(notebook_text(contents, solved=True), as_version=4)
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
    notebook.metadata["autograder"] |= {"source_sha256": hashlib.sha256(module.source.read_bytes()).hexdigest()}
    notebook.metadata["language_info"] = {"name": "python"}
    return str(nbformat.writes(notebook)) + "\n"
