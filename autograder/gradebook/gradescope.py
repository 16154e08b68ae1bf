"""Gradescope: a zip that grades one module there, and the results.json it writes.

Gradescope unpacks the zip into /autograder/source, runs `setup.sh` once, and for every submission `run_autograder`, which
finds the student's files in /autograder/submission and writes /autograder/results/results.json; see
https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Console

from autograder.authors.release import RECORDING_FILES
from autograder.classes.grade import grade_class
from autograder.classes.seed import class_seed
from autograder.classes.submissions import find_submissions
from autograder.course.course import Course, Module
from autograder.course.needs import own_folder
from autograder.defaults import SANDBOX
from autograder.files import write_whole
from autograder.grading.judge import NOT_GRADED, PASSED, clean
from autograder.grading.report import FAULT, Result, number, told, told_reason
from autograder.grading.workers import PACKAGES
from autograder.installed import DISTRIBUTION
from autograder.sandboxed import PACKAGED_DATA
from autograder.sandboxed.sandbox import missing_walls

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, when it builds the container: Python 3.11 or newer, and what the grader imports.
set -euo pipefail
root="${AUTOGRADER_ROOT:-/autograder}"
python=python3.12  # Ubuntu 24.04's; 22.04 has 3.11
apt-get update
apt-get install -y $python $python-venv || { python=python3.11; apt-get install -y $python $python-venv; }
"$python" -m venv "$root/venv"
"$root/venv/bin/pip" install --quiet -r "$root/source/requirements.txt"
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission. AUTOGRADER_ROOT and AUTOGRADER_PYTHON are for trying it elsewhere.
root="${{AUTOGRADER_ROOT:-/autograder}}"
cd "$root/source"
exec "${{AUTOGRADER_PYTHON:-$root/venv/bin/python}}" -m autograder.gradebook.gradescope "$root" {module} {seed} {sandbox}
"""

OPEN = "--sandbox none: a submission can read the hidden checks, reach the network and write its own score"


def build(module: Module, out: Path, sandbox: str = SANDBOX) -> None:
    """Writes the zip: the two scripts, the package, and of the course this module alone.

    The hidden checks' seed is the class's, so that a submission gets the same points here and there.
    """
    seed = class_seed(module.grades)
    files = {
        "setup.sh": SETUP,
        "run_autograder": RUN.format(module=module.name, seed=seed, sandbox=sandbox),
        "requirements.txt": "".join(f"{line}\n" for line in [*_requirements(), *Course(module.root).settings.packages]),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o644 if name.endswith(".txt") else 0o755) << 16
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
        for path, name in _copied(module):
            archive.write(path, name)
    write_whole(out, content.getvalue())


def _copied(module: Module) -> Iterator[tuple[Path, str]]:
    """Files and their names in the zip, whose top is a course like any other.

    It is what the package and the module are made of, and nothing that only lies beside: a roster, somebody's notebook.
    """
    package = PACKAGES / "autograder"
    for path in sorted(package.rglob("*")):
        needed = path.suffix in (".py", ".json", ".html") or PACKAGED_DATA.name in path.relative_to(package).parts
        if path.is_file() and needed and "__pycache__" not in path.parts:
            yield path, str(path.relative_to(PACKAGES))
    made = [module.release / name for name in ("checks/module.json", *RECORDING_FILES)]
    data = sorted(own_folder(module).rglob("*"))
    for path in [module.source, *data, *module.public_files, *module.secret_files, *made]:
        if path.is_file():
            yield path, str(path.relative_to(module.root))


def _requirements() -> list[str]:
    """What a grader needs, from the package's own metadata."""
    needed = map(Requirement, requires(DISTRIBUTION) or [])
    return [
        f"{need.name}{need.specifier}"
        for need in needed
        if need.marker is None or need.marker.evaluate({"extra": "grading"})
    ]


# --- in the container -------------------------------------------------------------------------------------------------


def run(root: Path, name: str, seed: int, sandbox: str) -> None:
    """Grades what lies in `root`/submission and writes `root`/results/results.json, whatever happens.

    What it prints only instructors see.
    """
    try:
        content = _graded(root, name, seed, sandbox)
    except Exception as error:  # a student must not read it: pytest's own words can hold a hidden check
        print(f"not graded: {type(error).__name__}: {error}")
        content = _not_graded(FAULT)
    write_whole(root / "results" / "results.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _graded(root: Path, name: str, seed: int, sandbox: str) -> dict[str, Any]:
    if sandbox == "none":
        print(OPEN)
    elif lacks := missing_walls():
        print("\n".join([*lacks, f"or build the zip with {OPEN}"]))
        return _not_graded("this container cannot build the walls around a submission; tell your instructor.")
    module = Course.find(root / "source").module(name)
    files = [path for path in sorted((root / "submission").rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    files = [path for path in files if path.name == module.notebook] or files
    if len(files) != 1:
        return _not_graded(f"{len(files)} notebooks were submitted: submit {module.notebook}, and only that.")
    grades, console = root / "source" / "grades", Console(stderr=True)
    outcome = grade_class(module, find_submissions(module, files), grades, console, seed=seed, sandbox=sandbox)
    result = outcome.results[0]
    if result.status == NOT_GRADED:
        print(result.reason)
        return _not_graded(FAULT)
    return results_json(result)


def results_json(result: Result) -> dict[str, Any]:
    """A result in Gradescope's form; of hidden checks the title, the points and a mistake's hint, as on our own page.

    They are not `hidden` in Gradescope's sense: that is meant for tests without points, and hides the total.
    """
    if result.graded is None:
        return _not_graded(told_reason(result))
    said = [f"{number(result.score or 0)} of {number(result.maximum)} points by the autograder."]
    if result.graded.first_error:
        said.append(f"Start with `{result.graded.first_error}`: the first function that loses points.")
    said += [f"{function}: {text}" for function, text in result.graded.remarks.items()]
    return {
        "score": result.score,
        "output": clean("\n".join(said)),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [
            {
                "name": clean(f"{verdict.function}: {verdict.title}"),
                "score": verdict.points,
                "max_score": verdict.maximum,
                "status": "passed" if verdict.state == PASSED else "failed",
                "output": clean(told(verdict)),
                "output_format": "text",
                "visibility": "visible",
            }
            for verdict in result.graded.verdicts
        ],
    }


def _not_graded(reason: str) -> dict[str, Any]:
    """No score and no test: Gradescope then shows no grade, and never a zero."""
    return {
        "output": f"not graded: {clean(reason)}",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
    }


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
