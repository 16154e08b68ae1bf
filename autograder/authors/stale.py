"""`autograder release --check`: what in `release/` and `solutions/` is not what the sources make now, or leaks."""

import hashlib
from pathlib import Path
from typing import Any

import nbformat

from autograder.authors.leaks import find_leaks
from autograder.authors.release import (
    RECORDING_FILES,
    public_observer,
    reference_modules,
    released_cells,
    released_files,
)
from autograder.course.course import Module
from autograder.errors import Malformed
from autograder.grading.contents import Contents
from autograder.grading.diagnose import agree, all_leaves, load_known
from autograder.grading.gate import course_problems, reference_problems
from autograder.grading.recordings import Observation, Recording, load_recording
from autograder.sandboxed.recording import Timing

RECORDED_TOLERANCE = 1e-4  # how far another machine's figures may be from the recorded ones, as |a − b| / (1 + |b|)


def check_release(module: Module) -> list[str]:
    """What is wrong in the sources, else what is stale or leaks in `release/` and `solutions/`, one line each with the file."""
    contents = Contents(module)
    if wrong := course_problems(contents):
        return wrong
    files = released_files(contents)
    again = f"stale, run `autograder release {module.name}`"
    problems = []
    for name, content in files.items():
        problems += _compare(module.release / name, content, again)
    problems += _check_recordings(contents, again)
    for name, content in reference_modules(contents).items():
        problems += _compare(module.solutions / name, content, again)
    for part in contents.parts:
        problems += _check_executed(part, again)
    made = [*files, *RECORDING_FILES]
    return problems + (find_leaks(contents, made, module.release) if module.release.is_dir() else [])


def _compare(path: Path, content: bytes, again: str) -> list[str]:
    if not path.is_file():
        return [f"{_short(path)}: missing, {again}"]
    return [] if path.read_bytes() == content else [f"{_short(path)}: {again}"]


def _short(path: Path) -> str:
    return "/".join(path.parts[-4:]) if "checks" in path.parts or "data" in path.parts else "/".join(path.parts[-3:])


def _check_recordings(contents: Contents, again: str) -> list[str]:
    """The reference is recorded again; the mistakes' recordings are as fresh as the hash in module.json, but for hints."""
    reference, known = (contents.module.release / name for name in RECORDING_FILES)
    missing = [f"{_short(path)}: missing, {again}" for path in (reference, known) if not path.is_file()]
    if missing:
        return missing
    seen, wrong = dict[str, Observation](), list[str]()
    for part in contents.parts:
        with public_observer(part) as observer:
            fresh = observer.observe(part.reference, reference=True)
        seen |= fresh.observations
        wrong += reference_problems(part, {True: fresh})
    fresh = Recording(seen)
    try:
        kept = load_recording(reference)
        hints = {mistake.name: mistake.hint for mistake in load_known(known)[0]}
    except Malformed as error:
        return [f"{_short(reference.parent)}: damaged recordings ({error}), {again}"]
    probes = [(True, name) for name in fresh.observations.keys() | kept.observations.keys()]
    left, right = all_leaves({True: fresh}, probes), all_leaves({True: kept}, probes)
    alike = left.keys() == right.keys() and all(_alike(left[place], right[place]) for place in left)
    problems = wrong + ([] if alike else [f"{_short(reference)}: {again}"])
    if hints != {entry.name: entry.hint for entry in contents.mistakes}:
        problems.append(f"{_short(known)}: {again}")
    return problems


def _alike(fresh: Any, kept: Any) -> bool:
    """Whether two leaves tell the same. Wall times tell how busy the machine was, not whether anything is stale."""
    return isinstance(fresh, Timing) and isinstance(kept, Timing) or agree(fresh, kept, within=RECORDED_TOLERANCE)


def _check_executed(contents: Contents, again: str) -> list[str]:
    module = contents.module
    path = module.solutions / module.notebook
    if not path.is_file():
        return [f"{_short(path)}: missing, {again}"]
    notebook = nbformat.read(path, as_version=4)
    fresh = (
        notebook.metadata.get("autograder", {}).get("source_sha256")
        == hashlib.sha256(module.source.read_bytes()).hexdigest()
    )
    same = [cell.source for cell in notebook.cells] == [cell.solution.rstrip("\n") for cell in released_cells(contents)]
    return [] if fresh and same else [f"{_short(path)}: {again}"]
