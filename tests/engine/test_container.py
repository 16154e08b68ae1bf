"""The Containerfile says what the project says: it cannot be built where the tests run, so its text is held to the rest."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from autograder.sandboxed.sandbox import MAX_TASKS, MEMORY_BYTES, SCRATCH_MEGABYTES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Containerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KNOWN = ["ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "STOPSIGNAL", "USER", "WORKDIR"]
PIP_OPTIONS = {"--no-cache-dir", "--index-url"}


def instructions() -> list[tuple[str, str]]:
    """The file's instructions in their order, each with what follows it; comments away, continued lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined if line.strip()]


def installed() -> list[str]:
    """What pip is told to install."""
    commands = [shlex.split(rest) for name, rest in instructions() if name == "RUN" and rest.startswith("pip install")]
    words = [word for command in commands for word in command[2:]]
    return [word for word in words if word not in PIP_OPTIONS and not word.startswith(("$", "${"))]


def test_every_instruction_is_one():
    found = instructions()
    assert [name for name, _ in found if name not in KNOWN] == [] and found[0][0] == "FROM"
    assert all(rest for _, rest in found)
    for name, rest in found:
        if name in ("CMD", "ENTRYPOINT"):
            assert all(isinstance(word, str) for word in json.loads(rest))
        if name in ("RUN", "ENV", "COPY"):
            shlex.split(rest)


def test_what_is_copied_is_there_and_is_no_course():
    sources = [path for name, rest in instructions() if name == "COPY" for path in rest.split()[:-1]]
    assert all((ROOT / path).exists() for path in sources)
    assert not {"source", "tests", "solutions", "submitted", "grades", "."} & set(sources)
    assert "autograder" in sources and "pyproject.toml" in sources


def test_its_python_is_one_that_the_project_and_its_workflow_take():
    (image,) = [rest for name, rest in instructions() if name == "FROM"]
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", image)[1]
    assert version in SpecifierSet(PROJECT["requires-python"])
    workflow = (ROOT / "autograder/authors/workflow/publish.yml").read_text()
    assert f'python-version: "{version}"' in workflow


def test_its_packages_are_the_project_s():
    """torch first, from where it is small; then the package with extras that there are; course.toml's as `make` has them."""
    names = [Requirement(word).name for word in installed() if not word.startswith(".")]
    needed = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert set(names) == {"torch", "torchvision"} <= needed
    (package,) = [word for word in installed() if word.startswith(".")]
    extras = re.fullmatch(r"\.\[([\w,]+)\]", package)[1].split(",")
    assert "grading" in extras and set(extras) <= PROJECT["optional-dependencies"].keys() - {"dev"}
    assert "autograder doctor --packages" in TEXT and "autograder doctor --packages" in (ROOT / "Makefile").read_text()
    assert {rest.split("=")[0] for name, rest in instructions() if name == "ARG"} == {"TORCH_INDEX", "PACKAGES"}


def test_its_debian_packages_are_among_those_that_ci_installs():
    """None so far."""
    ci = re.search(r'^packages="([^"]*)"', (ROOT / ".ci/run").read_text(), re.MULTILINE)[1].split()
    commands = [rest for name, rest in instructions() if name == "RUN" and "apt-get" in rest]
    asked = [word for rest in commands for word in rest.partition("install")[2].split() if word.isalnum()]
    assert set(asked) <= set(ci)


@pytest.mark.parametrize("text", [TEXT, "FROM docker.io/library/python:3.12", "# https://download.pytorch.org/whl/cpu"])
def test_no_registry_is_named(text):
    host = re.search(r"https?://|\b[\w-]+\.(io|com|dev|net|org)(:\d+)?/", text)
    assert bool(host) == (text != TEXT)


def test_it_does_not_grade_as_root():
    names = [name for name, _ in instructions()]
    user = next(rest for name, rest in instructions() if name == "USER")
    assert user not in ("root", "0") and names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_what_its_head_says_of_the_walls_is_so():
    assert f"may have {MAX_TASKS} processes" in TEXT
    assert f"own, of {SCRATCH_MEGABYTES} MB" in " ".join(TEXT.replace("\n#", " ").split())
    assert f"below {MEMORY_BYTES // 2**30} GB" in TEXT
    sandbox = "".join(path.read_text() for path in (ROOT / "autograder/sandboxed").glob("*.py"))
    kinds = set(re.findall(r'_mount\("(\w+)"', sandbox))
    assert kinds == {"tmpfs"}, "a new /proc would need systempaths=unconfined in Docker"
    for option in ("seccomp=unconfined", "apparmor=unconfined"):
        assert option in TEXT
    docs = "".join((ROOT / "docs" / name).read_text() for name in ("for-instructors.md", "for-tas.md"))
    assert docs.count("(../Containerfile)") == 2 and "apparmor=unconfined" not in docs, "said in one place"
