"""Finding submissions: nbgrader's tree, files and folders, and everything that people put in their place."""

import os
from pathlib import Path

import pytest
from toy_course import solved, write_course

from autograder.classes.submissions import find_submissions
from autograder.course.course import Course, Module
from autograder.errors import CourseError


@pytest.fixture
def module(tmp_path) -> Module:
    return Course(write_course(tmp_path)).module("toy")


@pytest.fixture
def put(tmp_path):
    """Writes a right notebook at a place below the course."""

    def write(place: str) -> Path:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(solved())
        return path

    return write


def found(module: Module, *paths: Path) -> dict[str, tuple[str, str]]:
    """Student: (path below the course, problem or note)."""
    return {
        s.student: (str(s.path.relative_to(module.root)), s.problem or s.note)
        for s in find_submissions(module, list(paths))
    }


def test_nbgraders_tree(module, put):
    for place in ("zoe/toy/toy.ipynb", "ada/toy/toy.ipynb", "ada/other/other.ipynb", "bob/other/other.ipynb"):
        put(f"submitted/{place}")
    put("submitted/.git/toy/toy.ipynb")
    assert found(module) == {"ada": ("submitted/ada/toy/toy.ipynb", ""), "zoe": ("submitted/zoe/toy/toy.ipynb", "")}
    assert list(found(module)) == ["ada", "zoe"]
    assert found(module, module.root / "submitted") == found(module)


def test_other_files_of_a_student_are_not_taken(module, put):
    put("submitted/ada/toy/toy.ipynb")
    put("submitted/ada/toy/old.ipynb")
    put("submitted/ada/toy/.ipynb_checkpoints/toy-checkpoint.ipynb")
    put("submitted/ada/toy/conftest.py")
    assert found(module) == {"ada": ("submitted/ada/toy/toy.ipynb", "")}


def test_a_wrong_name_is_graded_with_a_note(module, put):
    put("submitted/ada/toy/toy (1).ipynb")
    assert found(module) == {"ada": ("submitted/ada/toy/toy (1).ipynb", "graded toy (1).ipynb, expected toy.ipynb")}


def test_files_and_folders_that_are_named(module, put):
    named = put("class/ada.ipynb"), put("class/bob/toy.ipynb"), put("class/eve/toy/toy.ipynb")
    by_file = found(module, *named)
    assert by_file == {
        "ada": ("class/ada.ipynb", ""),
        "bob": ("class/bob/toy.ipynb", ""),
        "eve": ("class/eve/toy/toy.ipynb", ""),
    }
    (module.root / "class/eve").rename(module.root / "eve")
    assert found(module, module.root / "class") == {"ada": by_file["ada"], "bob": by_file["bob"]}
    assert found(module, module.root / "class/bob") == {"bob": by_file["bob"]}


def test_checkpoints_are_no_submissions(module, put):
    put("class/ada.ipynb")
    put("class/.ipynb_checkpoints/ada-checkpoint.ipynb")
    assert list(found(module, module.root / "class")) == ["ada"]


@pytest.mark.parametrize("path", ["submitted/ada/toy/toy.ipynb", "class/toy.ipynb"])
def test_a_folder_called_like_the_notebook(module, put, path):
    (module.root / path / "inside").mkdir(parents=True)
    put("submitted/bob/toy/toy.ipynb")
    problems = found(module, module.root / path) if "class" in path else found(module)
    (problem,) = (text for place, text in problems.values() if place == path)
    assert problem == "is a folder, not a notebook: put the .ipynb file itself in its place"
    assert "class" in path or problems["bob"][1] == ""


@pytest.mark.parametrize("target", ["submitted/bob/toy/toy.ipynb", "/etc/passwd", "nowhere", "source"])
def test_links_are_not_followed(module, put, target):
    put("submitted/bob/toy/toy.ipynb")
    link = module.root / "submitted/eve/toy/toy.ipynb"
    link.parent.mkdir(parents=True)
    link.symlink_to(target if target.startswith("/") else module.root / target)
    assert found(module)["eve"][1] == "is a link, and links are not followed: submit the notebook itself"
    assert found(module)["bob"][1] == ""


def test_a_link_of_another_name_or_a_linked_folder_is_not_followed(module, put):
    theirs = put("submitted/bob/toy/toy.ipynb")
    for student in ("eve", "mallory"):
        (module.root / "submitted" / student).mkdir()
    (module.root / "submitted/eve/toy").mkdir()
    (module.root / "submitted/eve/toy/mine.ipynb").symlink_to(theirs)
    (module.root / "submitted/mallory/toy").symlink_to(theirs.parent)
    everyone = found(module)
    assert "link" in everyone["eve"][1] and "link" in everyone["mallory"][1] and everyone["bob"][1] == ""


def test_what_is_no_regular_file(module):
    pipe = module.root / "submitted/eve/toy/toy.ipynb"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    assert found(module)["eve"][1] == "is not a regular file: submit the .ipynb file itself"


def test_a_students_folder_without_a_notebook(module, put):
    put("submitted/ada/toy/notes.txt")
    put("submitted/bob/toy/a.ipynb")
    put("submitted/bob/toy/b.ipynb")
    assert found(module)["ada"][1] == "the folder has no notebook: add toy.ipynb"
    assert found(module)["bob"][1] == "the folder holds 2 other notebooks: leave one, named toy.ipynb"


def test_two_submissions_of_one_student(module, put):
    paths = put("monday/ada.ipynb"), put("tuesday/ada.ipynb"), put("tuesday/bob.ipynb")
    problems = found(module, *paths)
    assert list(problems) == ["ada", "bob"] and problems["bob"][1] == ""
    assert problems["ada"][1].startswith("two submissions of one student (")
    assert str(paths[0]) in problems["ada"][1] and str(paths[1]) in problems["ada"][1]


def test_one_notebook_named_twice_is_one_submission(module, put):
    path = put("ada.ipynb")
    assert found(module, path, path) == {"ada": ("ada.ipynb", "")}


@pytest.mark.parametrize("named", [True, False])
def test_a_missing_path(module, named):
    path = module.root / "submitted"
    with pytest.raises(CourseError, match=f"^{path} does not exist: (check|collect)"):
        find_submissions(module, [path] if named else [])


def test_an_empty_folder(module):
    (module.root / "submitted").mkdir()
    with pytest.raises(CourseError, match=r"submitted holds no submission: expected <student>/toy/toy\.ipynb"):
        find_submissions(module, [])


def test_nothing_is_changed_there(module, put):
    path = put("submitted/ada/toy/toy.ipynb")
    path.chmod(0o400)
    before = [(p, p.lstat()) for p in sorted((module.root / "submitted").rglob("*"))]
    found(module)
    assert [(p, p.lstat()) for p in sorted((module.root / "submitted").rglob("*"))] == before
