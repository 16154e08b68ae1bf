"""What the benchmark compares with: the same probes and checks, run beside the student's code. Insecure on purpose.

A notebook's grade cell (nbgrader) or a test file (otter) hands over its own variables. `python in_kernel.py` runs the
bare probes of a class in one process: torch is imported once, nothing forks, nothing is walled in, nothing is judged.
"""

import contextlib
import functools
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

from autograder.course.course import Course
from autograder.grading.contents import collect
from autograder.grading.grader import FILES, seeds
from autograder.grading.judge import judge
from autograder.grading.recordings import Observation, Recording, load_recording
from autograder.sandboxed.notebook import read_cells, select
from autograder.sandboxed.observe import fresh_state, observe
from autograder.sandboxed.probing import Probe, Student, import_from, plain_error, probes_in
from autograder.sandboxed.recording import decode, encode, know_torch

ABOUT = "about.json"  # beside the reference's recordings: where the course is, the module, the seed, the exercises


def points(variables: dict[str, Any], exercise: str, folder: str) -> float:
    """The points that the student's functions of `exercise` get, for a grade cell of nbgrader."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return float(sum(verdict.points for verdict in verdicts(variables, exercise, folder).values()))


@functools.cache
def _course(folder: str) -> tuple[dict[str, Any], list[Any], dict[bool, list[Any]], dict[bool, Recording]]:
    """What is known of the course, its checks, its probes, and the reference's recordings, which lie in `folder`."""
    know_torch()
    about = json.loads((Path(folder) / ABOUT).read_text())
    tests = Course(Path(about["root"])).module(about["module"]).tests
    probes = {public: probes_in(import_from(tests, file)) for public, file in FILES.items()}
    expected = {public: load_recording(Path(folder) / f"{file}.safetensors") for public, file in FILES.items()}
    return about, collect(tests), probes, expected


_kept: dict[str, dict[str, Any]] = {}


def verdicts(variables: dict[str, Any], exercise: str, folder: str) -> dict[str, Any]:
    """The verdict of each check on the functions of `exercise`, by the check's name; made once for each exercise."""
    if exercise not in _kept:
        about, checks, probes, expected = _course(folder)
        functions = about["exercises"][exercise]
        absent = {name: f"`{name}` is not defined" for name in functions if name not in variables}
        student = Student(variables, absent)
        drawn = seeds(about["seed"])
        observed = {
            public: Recording(
                {p.name: _ask(p, student, drawn[public]) for p in asked if p.function in functions and not p.beside}
            )
            for public, asked in probes.items()
        }
        judged = judge([check for check in checks if check.function in functions], observed, expected)
        _kept[exercise] = {j.verdict.check: j.verdict for j in judged}
    return _kept[exercise]


def _ask(probe: Probe, student: Student, seed: int) -> Observation:
    fresh_state(probe.stream(seed))
    try:
        return Observation("returned", decode(encode(probe.ask(student, random.Random(probe.stream(seed))))))
    except Exception as error:
        return Observation("raised", None, plain_error(error))


def bare(about: dict[str, Any], notebooks: list[str]) -> None:
    """Asks every probe of each of `notebooks`, one after another in this process."""
    import torch  # noqa: F401  as a worker has it before the probes: else tensors would be written out as texts

    know_torch()
    tests = Course(Path(about["root"])).module(about["module"]).tests
    functions = [name for names in about["exercises"].values() for name in names]
    probes = {public: probes_in(import_from(tests, file)) for public, file in FILES.items()}
    for path in notebooks:
        code = select(read_cells(Path(path).read_bytes()), functions)
        for public, asked in probes.items():
            names = [probe.name for probe in asked if not probe.beside]
            job = {"functions": functions, "probes": names, "seeds": [seeds(about["seed"])[public]] * len(names), "threads": 1}
            observe(job, code, asked, lambda _: None)


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("Agg")
    bare(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:])
