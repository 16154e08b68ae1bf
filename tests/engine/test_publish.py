"""`autograder publish`: the students' tree holds what students may have today, and nothing else."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from conftest import needs_walls
from toy_course import RIGHT, write_course

from autograder.authors.publish import LEDGER, publish, publish_branch, write_workflow
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


# --- on a branch ------------------------------------------------------------------------------------------------------


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=An instructor", "-c", "user.email=staff@example.org")
    done = subprocess.run(["git", "-C", str(repository), *who, *arguments], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.fixture
def repository(made, tmp_path, monkeypatch) -> Course:
    """The course as a Git repository, with all committed."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "An instructor")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "staff@example.org")
    copy = shutil.copytree(made, tmp_path / "repository")
    git(copy, "init", "-q", "-b", "main")
    git(copy, "add", "-A")
    git(copy, "commit", "-qm", "all")
    return Course(copy)


def in_history(repository: Path, branch: str) -> dict[str, str]:
    """Every text that the branch's commits reach, by its object and name; what lies in zips too."""
    found = {}
    for line in git(repository, "rev-list", "--objects", branch).splitlines():
        key, _, name = line.partition(" ")
        done = subprocess.run(["git", "-C", str(repository), "cat-file", "-p", key], capture_output=True, check=True)
        found[line] = done.stdout.decode("utf-8", "replace")
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
                found |= {f"{line}/{inner}": archive.read(inner).decode("utf-8", "replace") for inner in archive.namelist()}
    return found


def test_a_branch_holds_what_a_folder_does_and_no_more_in_all_its_history(repository, tmp_path):
    root = repository.root
    for when in (BEFORE, DURING, DURING):
        publish_branch(repository, root, "students", when)
    assert git(root, "log", "--format=%s", "students").splitlines() == [
        f"Published on 2026-10-15: {NAME}",
        "Published on 2026-09-15: no module yet",
    ]
    git(root, "clone", "-q", "--branch", "students", "--single-branch", str(root), str(tmp_path / "clone"))
    publish(repository, tmp_path / "folder", DURING)
    there = {name: data for name, data in listing(tmp_path / "clone").items() if not name.startswith(".git/")}
    folder = listing(tmp_path / "folder")
    del folder[LEDGER]
    assert there == folder
    everything = in_history(root, "students")
    staff = ("gradebook/", "classes/", "authors/", "cli/author", "test_hidden", "mistakes.py", "source/", "tests/", LATER)
    assert [line for line in everything if any(word in line for word in staff)] == []
    assert [(line, secret) for line, text in everything.items() for secret in SECRET if secret in text] == []
    assert git(root, "status", "--porcelain") == "" and git(root, "branch", "--show-current").strip() == "main"


def test_a_branch_with_anything_else_on_it_is_refused(repository):
    root = repository.root
    git(root, "branch", "work")
    with pytest.raises(CourseError, match="branch work holds a commit that publish did not make, [0-9a-f]{9} “all”"):
        publish_branch(repository, root, "work", DURING)
    with pytest.raises(CourseError, match="the branch main is checked out"):
        publish_branch(repository, root, "main", DURING)
    publish_branch(repository, root, "students", DURING)
    tip = git(root, "rev-parse", "students")
    tree = git(root, "rev-parse", "main^{tree}").strip()
    theirs = git(root, "commit-tree", tree, "-p", tip.strip(), "-m", git(root, "log", "-1", "--format=%B", "students")).strip()
    git(root, "update-ref", "refs/heads/students", theirs)
    with pytest.raises(CourseError, match="holds a commit that publish did not make"):
        publish_branch(repository, root, "students", DURING)
    assert git(root, "rev-parse", "students").strip() == theirs


def test_a_history_that_holds_what_is_too_early_now_is_not_gone_on_with(repository):
    root = repository.root
    publish_branch(repository, root, "students", AFTER)
    with pytest.raises(CourseError, match=f"history of students holds solutions/{NAME}/.*students may not see yet"):
        publish_branch(repository, root, "students", DURING)


@pytest.mark.parametrize("name, words", [("studnets", "students is published on already"), ("a b", "be a branch's name")])
def test_a_mistyped_branch_makes_none(repository, name, words):
    publish_branch(repository, repository.root, "students", DURING)
    before = git(repository.root, "branch")
    with pytest.raises(CourseError, match=words):
        publish_branch(repository, repository.root, name, DURING)
    assert git(repository.root, "branch") == before


def test_a_clone_goes_on_from_what_its_remote_has(repository, tmp_path):
    public = tmp_path / "public.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(public))
    git(tmp_path, "clone", "-q", str(public), str(tmp_path / "mine"))
    publish_branch(repository, tmp_path / "mine", "students", BEFORE)
    git(tmp_path / "mine", "push", "-q", "origin", "students")
    git(tmp_path, "clone", "-q", str(public), str(tmp_path / "other"))
    publish_branch(repository, tmp_path / "other", "students", DURING)
    git(tmp_path / "other", "push", "-q", "origin", "students")
    git(tmp_path / "mine", "fetch", "-q", "origin")
    with pytest.raises(CourseError, match="students lacks commits that origin has: run `git -C"):
        publish_branch(repository, tmp_path / "mine", "students", DURING)
    cut = tmp_path / "cut"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{public}", str(cut), "--branch", "students")
    git(cut, "checkout", "-q", "--detach")
    with pytest.raises(CourseError, match="only a part of the history of students"):
        publish_branch(repository, cut, "students", DURING)


def test_the_command_says_what_it_did_and_wants_a_folder_or_a_branch(repository, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(repository.root)
    assert main(["publish", "students"]) == 2 and "for a branch write --branch students" in capsys.readouterr().err
    assert main(["publish", "--workflow", str(tmp_path / "x")]) == 2 and "go with --branch" in capsys.readouterr().err
    for both in ([], [str(tmp_path / "x"), "--branch", "students"]):
        assert main(["publish", *both]) == 2 and "name where to: a folder" in capsys.readouterr().err
    assert main(["publish", "--branch", "students", "--repository", str(tmp_path)]) == 2
    assert "is no Git repository" in capsys.readouterr().err
    assert main(["publish", "--branch", "students"]) == 0
    assert "branch students:" in (said := capsys.readouterr().out) and "in a new commit; push that branch alone" in said
    assert main(["publish", "--branch", "students"]) == 0 and "nothing has changed" in capsys.readouterr().out


def test_the_workflow_publishes_when_something_is_pushed_or_its_date_comes(repository):
    root = repository.root
    with pytest.raises(CourseError, match="names no public repository"):
        write_workflow(repository, "students", DURING)
    (root / "course.toml").write_text('repository = "owner/students"\nbranch = "public"\n' + WEEKS)
    path = write_workflow(Course(root), "students", DURING)
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True]["push"] == {"branches": ["main"]}
    assert [each["cron"] for each in workflow[True]["schedule"]] == ["0 8 1 12 *", "0 8 1 1 *", "23 2 * * *"]
    last = workflow["jobs"]["publish"]["steps"][-1]
    assert last["env"]["STUDENTS"].endswith("secrets.STUDENTS_TOKEN }}@github.com/owner/students.git")
    assert 'git push "$STUDENTS" students:public' in last["run"] and "pypi" not in path.read_text()
    assert write_workflow(Course(root), "students", AFTER) == path
    path.write_text("name: somebody's own\n")
    with pytest.raises(CourseError, match="not made by this command"):
        write_workflow(Course(root), "students", DURING)


@pytest.mark.long
def test_the_workflows_own_lines_publish_twice(repository, tmp_path):
    """The last step's script, with a folder in the place of GitHub."""
    root, public = repository.root, tmp_path / "public.git"
    (root / "course.toml").write_text('repository = "owner/students"\nbranch = "public"\n' + WEEKS)
    release(Course(root).module(NAME))
    path = write_workflow(Course(root), "students", DURING)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a workflow")
    git(tmp_path, "init", "-q", "--bare", str(public))
    tools = tmp_path / "bin"
    tools.mkdir()
    command = "import sys; from autograder.cli import main; sys.exit(main())"
    (tools / "autograder").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{command}' \"$@\"\n")
    (tools / "autograder").chmod(0o755)
    script = yaml.safe_load(path.read_text())["jobs"]["publish"]["steps"][-1]["run"]
    for run in range(2):
        clone = tmp_path / f"runner-{run}"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{root}", str(clone))
        environment = os.environ | {"STUDENTS": str(public), "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd()}
        done = subprocess.run(["bash", "-e", "-c", script], cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert git(public, "log", "--format=%s", "public").count("Published on") == 1
