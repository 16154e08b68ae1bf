"""Finding submissions: nbgrader's tree, files and folders, and everything that people put in their place."""

import os
from pathlib import Path

import nbformat
import pytest
from toy_course import notebook, solved, write_course

from autograder.authors.release import released_cells
from autograder.classes.submissions import enterable, find_submissions
from autograder.course.course import Course, Module
from autograder.course.notebooks import make_notebook
from autograder.errors import CourseError, Unreadable
from autograder.grading.contents import Contents


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
    assert found(module)["ada"][1] == "the folder has no notebook but notes.txt: add toy.ipynb"
    assert (
        found(module)["bob"][1] == "the folder holds 2 other notebooks (a.ipynb, b.ipynb): leave one, named toy.ipynb"
    )


# --- one odd name or file costs one student ----------------------------------------------------------------------------


def test_names_that_no_page_can_hold_are_refused_and_the_others_are_graded(module, put):
    put("submitted/ada/toy/toy.ipynb")
    for name in (b"m\xfcller", b"x" * 255):
        folder = os.path.join(os.fsencode(module.root / "submitted"), name, b"toy")
        os.makedirs(folder)
        Path(os.fsdecode(os.path.join(folder, b"toy.ipynb"))).write_bytes(solved())
    everyone = {s.student: s for s in find_submissions(module, [])}
    assert everyone["ada"].problem == "" and len(everyone) == 3
    code_page, long = everyone["m\\xfcller"], next(s for name, s in everyone.items() if name.startswith("xxx"))
    assert code_page.problem.startswith("its name is in a Windows code page") and "müller" in code_page.problem
    assert long.problem == "its name has 255 bytes, more than 240: rename it and grade again"
    for one in (code_page, long):
        one.student.encode()
        assert one.nameless and len(one.student.encode()) < 100
    (module.root / "nbgrader_config.py").write_text("")
    assert enterable(module, list(everyone.values())) == {"ada"}


def test_ghosts_are_no_students_and_no_notebooks(module, put):
    put("submitted/ada/toy/toy (1).ipynb")
    for ghost in ("ada/toy/._toy.ipynb", "ada/toy/.ipynb_checkpoints/toy-checkpoint.ipynb", "__MACOSX/toy/toy.ipynb"):
        put(f"submitted/{ghost}")
    put("submitted/ada/toy/__MACOSX/toy.ipynb")
    assert found(module) == {"ada": ("submitted/ada/toy/toy (1).ipynb", "graded toy (1).ipynb, expected toy.ipynb")}


@pytest.mark.parametrize(
    ("place", "graded", "words"),
    [
        ("toy/toy/toy.ipynb", "toy/toy/toy.ipynb", "graded toy/toy.ipynb, expected toy.ipynb"),
        ("toy/handin/toy.ipynb", "toy/handin/toy.ipynb", "graded handin/toy.ipynb, expected toy.ipynb"),
        ("toy/toy.IPYNB", "toy/toy.IPYNB", "graded toy.IPYNB, expected toy.ipynb"),
        ("toy.ipynb", "toy.ipynb", "graded eve/toy.ipynb, expected it in eve/toy/"),
        ("toy (1).ipynb", "toy (1).ipynb", "lies beside and not in eve/toy/: move it there, as toy.ipynb"),
        ("toyy/toy.ipynb", "toyy/toy.ipynb", "there is no folder eve/toy/, but toyy/: rename it"),
        ("Toy/toy.ipynb", "Toy/toy.ipynb", "there is no folder eve/toy/, but Toy/: rename it"),
        ("toy/toy.zip", "toy/toy.ipynb", "the folder has no notebook but toy.zip: unpack it there, or collect it with"),
        ("toy/toy.py", "toy/toy.ipynb", "the folder has no notebook but toy.py, a program: ask for the notebook"),
        ("toy/timestamp.txt", "toy/toy.ipynb", "the folder has no notebook: add toy.ipynb"),
    ],
)
def test_what_lies_in_another_place_is_found_or_named(module, put, place, graded, words):
    put("submitted/bob/toy/toy.ipynb")
    put(f"submitted/eve/{place}")
    path, said = found(module)["eve"]
    assert path == f"submitted/eve/{graded}" and said.startswith(words)


def test_a_notebook_in_no_students_folder_is_named(module, put):
    put("submitted/bob/toy/toy.ipynb")
    put("submitted/toy.ipynb")
    assert found(module)["toy.ipynb"][1].startswith("lies in submitted/ itself, in no student's folder: move it to")


def test_a_folder_that_cannot_be_read(module, put, monkeypatch):
    put("submitted/bob/toy/toy.ipynb")
    put("submitted/eve/toy/toy.ipynb")
    scan = os.scandir

    def closed(path):
        if "eve/toy" in str(path):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert found(module)["eve"][1] == "the folder cannot be read (Permission denied): mend its permissions"
    assert found(module)["bob"][1] == ""


def released(module: Module) -> bytes:
    cells = released_cells(Contents(module))
    return nbformat.writes(
        make_notebook(cells, [cell.stub for cell in cells], {"arithmetic": 4, "averages": 2.5})
    ).encode()


def test_a_stub_beside_worked_on_files(module, put):
    for student in ("ada", "bob", "eve"):
        put(f"submitted/{student}/toy/toy.ipynb").write_bytes(released(module))
    put("submitted/ada/toy/toy (1).ipynb")
    put("submitted/ada/toy/toy (2).ipynb")  # the same once more
    put("submitted/ada/toy/experiments.ipynb").write_bytes(notebook("1"))
    put("submitted/bob/toy/toy (1).ipynb")
    put("submitted/bob/toy/handin/toy.ipynb").write_bytes(solved(mean="def mean(numbers):\n    return 0"))
    put("submitted/eve/toy/experiments.ipynb").write_bytes(notebook("1"))
    everyone = found(module)
    assert everyone["ada"] == (
        "submitted/ada/toy/toy (1).ipynb",
        "graded toy (1).ipynb, since toy.ipynb is as it was released",
    )
    assert everyone["bob"][1].startswith("is as it was released, and toy (1).ipynb, handin/toy.ipynb hold work: leave")
    assert everyone["eve"] == ("submitted/eve/toy/toy.ipynb", "")


def test_of_two_other_names_the_worked_on_one(module, put):
    put("submitted/ada/toy/toy (1).ipynb").write_bytes(released(module))
    put("submitted/ada/toy/toy (2).ipynb")
    assert found(module)["ada"] == ("submitted/ada/toy/toy (2).ipynb", "graded toy (2).ipynb, expected toy.ipynb")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
            "is Git LFS's pointer .* the student need do nothing",
        ),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>", "is a web page saved under a notebook's name"),
        (b"<html>", "is a web page"),
        (b"%PDF-1.7", "is a PDF under a notebook's name"),
        (b"Rar!\x1a", "is an archive under a notebook's name"),
        (b"# coding: utf-8\nimport math\n", "is a Python program under a notebook's name"),
        (b'{\n<<<<<<< HEAD\n "cells": []\n=======\n}\n>>>>>>> theirs\n', "holds a merge's marks"),
    ],
)
def test_a_file_is_called_what_it_is(module, put, content, words):
    put("submitted/ada/toy/toy.ipynb").write_bytes(content)
    (one,) = find_submissions(module, [])
    with pytest.raises(Unreadable, match=words):
        one.read()


def test_a_notebook_may_speak_of_all_that(module, put):
    text = "<<<<<<< HEAD\n<!DOCTYPE html>\nversion https://git-lfs\nimport math"
    put("submitted/ada/toy/toy.ipynb").write_bytes(notebook(text))
    (one,) = find_submissions(module, [])
    assert one.read() == notebook(text)


# --- doubles ----------------------------------------------------------------------------------------------------------


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
