"""The autograder zip for Gradescope: built by the command, unpacked and run the way Gradescope lays its folders.

The installed environment stands in for what setup.sh installs.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest
from conftest import needs, needs_walls
from toy_course import MAXIMUM, notebook, solved, write_course

from autograder import cli
from autograder.gradebook import gradescope
from autograder.gradebook.gradescope import FAULT, OPEN

WRONG = solved(double="def double(x): return x * x", mean="def mean(n): raise ValueError('I saw ' + str(n))")
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
# what https://gradescope-autograders.readthedocs.io/en/latest/specs/ says of results.json; stricter, it knows no others
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number", "minimum": 0},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "tests": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "score", "max_score", "status"],
                "properties": {
                    "score": {"type": "number", "minimum": 0},
                    "max_score": {"type": "number", "minimum": 0},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string", "minLength": 1},
                    "output": {"type": "string"},
                    "output_format": FORMAT,
                    "visibility": VISIBILITY,
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    root = write_course(tmp_path_factory.mktemp("course"))
    (root / "source/toy/__pycache__").mkdir()
    (root / "source/toy/__pycache__/toy.pyc").write_bytes(b"bytecode")
    (root / "submitted/ada/toy").mkdir(parents=True)
    (root / "submitted/ada/toy/toy.ipynb").write_bytes(solved())
    return root


@pytest.fixture
def build(course, tmp_path, monkeypatch, capsys):
    """Builds the zip by the command and unpacks it as Gradescope does; gives the root and what was printed."""
    monkeypatch.chdir(course)

    def run(*options: str) -> tuple[Path, str]:
        assert cli.main(["gradescope", "toy", "-o", str(tmp_path / "auto.zip"), *options]) == 0
        root = tmp_path / "autograder"
        for folder in ("source", "submission", "results"):
            (root / folder).mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "auto.zip", root / "source"], check=True)
        shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
        (root / "run_autograder").chmod(0o755)
        return root, "".join(capsys.readouterr())

    return run


def graded(root: Path, submission: bytes, *before: str) -> tuple[dict, str]:
    """Runs the zip's script on one notebook; gives results.json and the output that instructors see."""
    (root / "submission" / "toy.ipynb").write_bytes(submission)
    environment = os.environ | {"AUTOGRADER_ROOT": str(root), "AUTOGRADER_PYTHON": sys.executable}
    done = subprocess.run([*before, root / "run_autograder"], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    content = json.loads((root / "results" / "results.json").read_text())
    jsonschema.validate(content, SCHEMA)
    return content, done.stdout


def test_the_zip_holds_the_scripts_and_this_module_alone(build, course):
    root, printed = build()
    with zipfile.ZipFile(root.parent / "auto.zip") as archive:
        names = set(archive.namelist())
        modes = {name: archive.getinfo(name).external_attr >> 16 for name in ("setup.sh", "run_autograder")}
    assert {"source/toy/toy.py", "tests/toy/test_hidden.py", "autograder/gradebook/gradescope.py"} <= names
    assert not [name for name in names if "submitted" in name or name.endswith((".pyc", "seed"))]
    assert set(modes.values()) == {0o755} and "auto.zip: upload it" in printed and OPEN not in printed
    for script in modes:
        subprocess.run(["bash", "-n", root / "source" / script], check=True)
    seed = (course / "grades" / "toy" / "seed").read_text().strip()
    assert (root / "run_autograder").read_text().endswith(f" toy {seed} full\n")  # the hidden inputs of the class
    requirements = (root / "source" / "requirements.txt").read_text().split()
    assert {line.partition(">")[0] for line in requirements} >= {"torch", "torchvision", "jupytext", "pytest", "rich"}
    assert "ruff" not in " ".join(requirements)


@needs_walls
def test_a_submission_is_graded_behind_the_walls(build):
    content, printed = graded(build()[0], WRONG)
    assert content["score"] == 2 and printed == ""
    assert content["output"].startswith(f"2 of {MAXIMUM} points by the autograder.\nStart with `double`")
    tests = {test["name"]: test for test in content["tests"]}
    assert sum(test["max_score"] for test in tests.values()) == MAXIMUM
    assert {test["visibility"] for test in tests.values()} == {"visible"} and content["stdout_visibility"] == "hidden"
    failed = tests["double: Doubles small numbers."]
    assert (failed["status"], failed["score"]) == ("failed", 0) and "expected 6, found 9" in failed["output"]
    assert failed["output"].endswith("You multiply the number by itself. Look at what happens to 3.")
    assert "I saw [1.0, 2.0]" in tests["mean: Takes the mean of two."]["output"]
    assert tests["mean: Takes the mean of many."]["output"] == "A hidden check of `mean`: failed."
    for secret in ("the secret", "large_doubles", "long_means", "test_hidden", "probes_hidden"):
        assert secret not in json.dumps(content)


@needs_walls
def test_without_namespaces_nothing_is_graded(build):
    """A container like Docker's, where nobody may make a user namespace."""
    needs("util-linux", shutil.which("unshare"))
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"'
    content, printed = graded(build()[0], solved(), "unshare", "--user", "--map-root-user", "bash", "-c", forbid)
    assert content["output"] == (
        "not graded: this container cannot build the walls around a submission; tell your instructor."
    )
    assert "score" not in content and "tests" not in content
    assert "user namespaces are refused" in printed and "or build the zip with --sandbox none" in printed


def test_running_open_is_asked_for_at_build_time_and_says_what_it_gives_up(build):
    root, printed = build("--sandbox", "none")
    assert f"autograder: {OPEN}" in printed
    content, shown = graded(root, solved())
    assert content["score"] == MAXIMUM and shown == f"{OPEN}\n"
    assert {test["status"] for test in content["tests"]} == {"passed"}


def test_a_place_that_cannot_be_written_is_one_line(course, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert cli.main(["gradescope", "toy", "-o", "/dev/null/auto.zip"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autograder: ") and "/dev/null" in line


# --- in one process, with the shared workers --------------------------------------------------------------------------


@pytest.fixture
def run(course, shared, tmp_path):
    """Grades what is put into the submission folder, and gives results.json."""
    for folder in ("submission", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "source").symlink_to(course)

    def ask(**files: bytes) -> dict:
        for name, data in files.items():
            (tmp_path / "submission" / f"{name}.ipynb").write_bytes(data)
        gradescope.run(tmp_path, "toy", 7, "full")
        content = json.loads((tmp_path / "results" / "results.json").read_text())
        jsonschema.validate(content, SCHEMA)
        return content

    return ask


@needs_walls
def test_one_notebook_counts_whatever_its_name(run):
    assert run(mine=solved())["score"] == MAXIMUM
    assert run(toy=notebook("pass"))["score"] == 0  # of two, the one with the right name


@needs_walls
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "not graded: 0 notebooks were submitted: submit toy.ipynb, and only that."),
        ({"a": solved(), "b": solved()}, "not graded: 2 notebooks were submitted: submit toy.ipynb, and only that."),
        ({"toy": b"{"}, "toy.ipynb is not a notebook ("),
    ],
)
def test_what_cannot_be_graded_has_no_score(run, files, words):
    content = run(**files)
    assert words in content["output"] and content["output"].startswith("not graded: ")
    assert "score" not in content and "tests" not in content


@needs_walls
def test_a_fault_of_the_grader_is_told_to_the_instructor_alone(run, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("the secret check")

    monkeypatch.setattr(gradescope, "grade_class", broken)
    content = run(toy=solved())
    assert content["output"] == f"not graded: {FAULT}" and "score" not in content
    assert capsys.readouterr().out == "not graded: RuntimeError: the secret check\n"
