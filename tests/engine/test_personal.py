"""People's names, work and marks: git leaves them alone, and nothing that a command makes for others holds them."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from toy_course import solved, write_course

from autograder.course.course import Course
from autograder.gradebook.gradescope import build
from autograder.students.handin import pack

ROOT = Path(__file__).resolve().parents[2]
NAME = b"Lovelace, Ada"
FILES = (  # where they lie after a term, and where somebody may have put one
    "roster.csv",
    "canvas.csv",
    "2026-11-20T1200_Grades-DLVC.csv",
    "grades.csv",
    "extensions.csv",
    "students.xlsx",
    "submissions.zip",
    "gradebook.db",
    "gradebook.db-journal",
    "gradebook.db.2026-11-20-120000.000000",
    "submitted/ada/toy/toy.ipynb",
    "submitted/ada/toy/timestamp.txt",
    "autograded/ada/toy/toy.ipynb",
    "feedback/ada/toy/toy.html",
    "grades/toy/results/ada.json",
    "grades/toy/answers/ada.json",
    "downloaded/toy/archive/ada_12_345_toy.ipynb",
    "downloaded/toy/kept/ada/toy.ipynb",
    "exchange/course/inbound/ada+toy/toy.ipynb",
    "demo/grades.csv",
    ".autograder/nbgrader.log",
    "source/toy/roster.csv",
    "source/toy/.ipynb_checkpoints/ada-checkpoint.ipynb",
    "tests/toy/class_roster.csv",
    "tests/toy/old/canvas.csv",
    "autograder/roster.csv",
)


@pytest.fixture
def course(tmp_path) -> Path:
    """A course with the package in it, as the repository is, after a term."""
    root = write_course(tmp_path / "course")
    for name in (".gitignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "autograder", root / "autograder", ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(NAME)
    return root


def test_git_leaves_them_alone(course):
    def git(*command: str) -> list[str]:
        done = subprocess.run(["git", *command], cwd=course, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    git("init", "-q")
    git("add", "-A")
    committed = git("ls-files")
    assert not set(FILES) & set(committed)
    assert {"source/toy/toy.py", "tests/toy/test_hidden.py", "autograder/cli/__init__.py"} <= set(committed)


def test_no_file_of_the_repository_is_taken_for_one():
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    listed = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    assert listed.stdout == ""


def test_no_archive_holds_them(course, tmp_path, monkeypatch):
    monkeypatch.chdir(course)
    monkeypatch.setattr("autograder.gradebook.gradescope.PACKAGES", course)
    build(Course(course).module("toy"), tmp_path / "gradescope.zip")
    code = "from setuptools.build_meta import *; build_sdist('made'); build_wheel('made')"
    subprocess.run([sys.executable, "-c", code], cwd=course, check=True, capture_output=True)
    contents = {}
    for path in (tmp_path / "gradescope.zip", *(course / "made").iterdir()):
        if path.suffix == ".gz":
            with tarfile.open(path) as archive:
                members = [member for member in archive.getmembers() if member.isfile()]
                contents[path.suffix] = {member.name: archive.extractfile(member).read() for member in members}
        else:
            with zipfile.ZipFile(path) as archive:
                contents[path.suffix] = {name: archive.read(name) for name in archive.namelist()}
    assert set(contents) == {".zip", ".whl", ".gz"}
    for files in contents.values():
        assert any(name.endswith("autograder/cli/__init__.py") for name in files)
        assert [name for name, content in files.items() if NAME in content] == []


def test_no_packed_notebook_has_company(course):
    folder = course / "home"
    (folder / "data").mkdir(parents=True)
    (folder / "toy.ipynb").write_bytes(solved())
    (folder / "roster.csv").write_bytes(NAME)
    out, receipt, _ = pack(folder / "toy.ipynb")
    assert set(out.parent.iterdir()) == {out, receipt} and NAME not in receipt.read_bytes()
