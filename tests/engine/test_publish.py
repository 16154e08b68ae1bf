"""`autograder publish`: the students' tree holds what students may have today, and nothing else."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import needs_walls
from toy_course import RIGHT, write_course

from autograder.authors.publish import LEDGER, publish
from autograder.authors.release import release
from autograder.cli import main
from autograder.course.course import Course
from autograder.errors import CourseError

NAME, LATER = "shown", "next_week"
BEFORE, DURING, AFTER = (datetime(2026, month, 15, tzinfo=UTC) for month in (9, 10, 12))
WEEKS = f"""
title = "Numbers & more"
[modules.{NAME}]
release = 2026-10-01T08:00:00Z
due = 2026-11-01T08:00:00Z
solutions = 2026-12-01T08:00:00Z
[modules.{LATER}]
release = 2027-01-01T08:00:00Z
"""
SECRET = ("the secret advice", "test_large_doubles(", "forgets_fractions(", "adds_exactly", "doubles_once(", LATER)

pytestmark = needs_walls


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A course with a released week, and one that is not to be seen yet."""
    root = write_course(tmp_path_factory.mktemp("published"), NAME)
    write_course(root, LATER)
    (root / "course.toml").write_text(WEEKS)
    release(Course(root).module(NAME))
    shutil.copytree(root / "release" / NAME, root / "release" / LATER)
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(name, root)
    return root


@pytest.fixture
def course(made) -> Course:
    return Course(made)


@pytest.fixture(scope="module")
def tree(made, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "students"
    publish(Course(made), folder, DURING)
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def texts(folder: Path) -> dict[str, str]:
    """All that can be read in a tree, what lies in zips too."""
    found = listing(folder)
    for name, data in list(found.items()):
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                found |= {f"{name}/{inner}": archive.read(inner) for inner in archive.namelist()}
    return {name: data.decode("utf-8", "replace") for name, data in found.items()}


def test_it_holds_what_students_need_and_nothing_of_staff_or_of_later_weeks(tree):
    found = texts(tree)
    top = {name.partition("/")[0] for name in found}
    texts_and_page = {"AGENTS.md", "LICENSE", "README.md", "index.html", "pyproject.toml", LEDGER}
    assert top == texts_and_page | {"autograder", "release", f"{NAME}.zip"}
    telling = [(name, secret) for name, text in found.items() for secret in SECRET if secret in text]
    assert telling == []
    staff = ("gradebook/", "classes/", "authors/", "cli/author", "cli/classes", "cli/marking", "test_hidden", "mistakes.py")
    assert [name for name in found if any(word in name for word in (*staff, "__pycache__"))] == []
    assert all(words in found["index.html"] for words in ("Toy numbers", "Numbers &amp; more", "1 more to come"))
    assert "Numbers & more" in found["AGENTS.md"]
    for name in ("index.html", "README.md"):
        assert 'pip install "ADDRESS"' in found[name] and "our instructor gives" in found[name]


def test_the_pages_name_the_address_to_install_from(made, tmp_path):
    root = shutil.copytree(made, tmp_path / "course")
    (root / "course.toml").write_text('archive = "https://example.org/course.zip"\n' + WEEKS)
    release(Course(root).module(NAME))
    publish(Course(root), tmp_path / "students", DURING)
    found = listing(tmp_path / "students")
    for name in ("index.html", "README.md"):
        assert b'pip install "https://example.org/course.zip"' in found[name] and b"ADDRESS" not in found[name]


def test_solutions_come_when_their_day_has_come_and_a_week_not_before_its_own(course, tmp_path):
    folder = tmp_path / "students"
    early = publish(course, folder, BEFORE)
    assert [line.partition(":")[0] for line in early.left_out] == [NAME, LATER] and not (folder / "release").exists()
    publish(course, folder, DURING)
    assert (folder / "release" / NAME).is_dir() and not (folder / "solutions").exists()
    publish(course, folder, AFTER)
    assert (folder / "solutions" / NAME / f"{NAME}.ipynb").is_file()
    back = publish(course, folder, BEFORE)
    assert back.deleted and not (folder / "release").exists() and not (folder / "solutions").exists()


def test_a_second_time_changes_nothing_and_somebodys_files_stay(course, tmp_path):
    folder = tmp_path / "students"
    publish(course, folder, DURING)
    (folder / "CNAME").write_text("mine")
    before = listing(folder)
    again = publish(course, folder, DURING)
    assert (again.written, again.deleted) == (0, 0) and listing(folder) == before


def test_what_was_changed_there_is_named_and_nothing_is_touched(course, tmp_path):
    folder = tmp_path / "students"
    folder.mkdir()
    (folder / "README.md").write_text("somebody's own")
    with pytest.raises(CourseError, match="README.md was changed, or is somebody's own"):
        publish(course, folder, DURING)
    assert listing(folder) == {"README.md": b"somebody's own"}


def test_an_interrupted_run_is_finished_by_the_next(course, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    publish(course, whole, DURING)
    import autograder.authors.publish as module

    real, left = module.write_whole, [10]

    def stops(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_whole", stops)
        publish(course, cut, DURING)
    publish(course, cut, DURING)
    assert listing(cut) == listing(whole)


def test_it_does_not_publish_into_the_course_or_what_is_stale(course, tmp_path):
    for folder in (course.root / "public", course.root, course.root.parent):
        with pytest.raises(CourseError, match="lies in the course, or around it"):
            publish(course, folder, DURING)
    copy = shutil.copytree(course.root, tmp_path / "stale")
    path = copy / "release" / NAME / "checks" / "module.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(CourseError, match="(?s)nothing was published.*module.json.*stale"):
        publish(Course(copy), tmp_path / "students", DURING)


def test_what_is_not_committed_is_not_published(course, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(course.root, tmp_path / "repository")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(copy), *command], check=True)
    (copy / "course.toml").write_text(WEEKS + "\n")
    monkeypatch.chdir(copy)
    assert main(["publish", str(tmp_path / "students")]) == 2
    assert "course.toml has changes that are not committed (1 in all)" in capsys.readouterr().err
    assert not (tmp_path / "students").exists()


def test_a_students_hour_works_from_the_published_tree_alone(tree, tmp_path):
    """The week's zip, and the package from the tree: check the saved notebook, and pack it."""
    with zipfile.ZipFile(tree / f"{NAME}.zip") as archive:
        archive.extractall(tmp_path)
    work = tmp_path / NAME
    notebook = json.loads((work / f"{NAME}.ipynb").read_text())
    for cell in notebook["cells"]:
        for name, text in RIGHT.items():
            if "".join(cell["source"]).startswith(f"def {name}("):
                cell["source"] = text
    (work / f"{NAME}.ipynb").write_text(json.dumps(notebook))
    code = "import sys; from autograder.cli import main; sys.exit(main())"
    for command, words in ((["check"], "4 of 4 public points"), (["pack"], f"handin/{NAME}.ipynb")):
        environment = {"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code, *command], cwd=work, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and words in done.stdout, done.stdout + done.stderr
