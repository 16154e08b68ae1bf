"""The class's pages packed for Canvas, for Moodle and as e-mail drafts: who gets one, and by which name."""

import email
import email.policy
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from gradebooks import add_assignment, add_grades
from nbgrader.api import Gradebook
from toy_course import write_course

from autograder import cli
from autograder.classes.collect import collect
from autograder.classes.grade import feedback_file, write_result
from autograder.course.course import Course
from autograder.files import write_whole
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

CANVAS = ("ada_101_5001_toy.ipynb", "bob_LATE_102_5002_toy-2.ipynb", "eve_103_5003_toy.ipynb", "oskar_104_5004_toy.ipynb")
MOODLE = ("Ada Love_lace_11_assignsubmission_file_/toy.ipynb", "eve_13_assignsubmission_file_toy.ipynb")


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """ada and bob are graded, eve waits for a TA, oskar's file is refused, quinn is in no list and came by no platform."""
    root = write_course(tmp_path / "course")
    monkeypatch.chdir(root)
    module = Course(root).module("toy")
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        add_assignment(gradebook)
        add_grades(gradebook, "ada", 4, 2.5, 1.5, first_name="Ada", last_name="Löve, Lady", email="ada@example.org")
        add_grades(gradebook, "bob", 4, 0, 0, first_name="Bob", email="bob@example.org\nBcc: all@example.org")
        add_grades(gradebook, "eve", 3, 2.5, None, first_name="Eve", email="eve@example.org")
        add_grades(gradebook, "oskar", None, None, 2, first_name="Oskar", email="oskar@example.org")
        add_grades(gradebook, "quinn", 1, 1, 1)
    verdict = Verdict("test_doubles", "double", "Doubles.", True, "passed", 4, 4)
    for student in ("ada", "bob", "eve", "oskar", "quinn"):
        graded = Graded((verdict,), ()) if student != "oskar" else None
        status = "graded" if graded else "refused"
        write_result(Result(student, "toy", status, 6.5, "is a zip", graded=graded), {"arithmetic": ["double"]}, module.grades)
    for archive, names in (("canvas", CANVAS), ("moodle", MOODLE)):
        with zipfile.ZipFile(tmp_path / f"{archive}.zip", "w") as file:
            for name in names:
                file.writestr(name, json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return root


@pytest.fixture
def feedback(course, capsys):
    """Runs the command; gives its status, the files in the zip, and the lines of stderr."""

    def run(target: str, *options: str) -> tuple[int, dict[str, bytes], str]:
        status = cli.main(["feedback", "toy", "--for", target, *options])
        with zipfile.ZipFile(course / "grades" / "toy" / f"feedback-{target}.zip") as file:
            return status, {name: file.read(name) for name in file.namelist()}, capsys.readouterr().err

    return run


def collected(course: Path, archive: str) -> None:
    collect(Course(course).module("toy"), [course.parent / f"{archive}.zip"])


def placed_by_canvas(name: str) -> tuple[str, str] | None:
    """Whose submission and which file Canvas takes a name for (`infer_comment_context_from_filename` in its source)."""
    parts = [part for part in name.split("/")[-1].split("_") if part != "LATE"]
    numbers = [part for part in parts if re.fullmatch(r"\d+", part)][:2]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and not parts[-1].startswith("link") else None


def placed_by_moodle(name: str) -> tuple[int, str] | None:
    """Whose feedback and which file Moodle takes a name for (`is_valid_filename_for_import` in its source)."""
    parts = name.split("_", 4)
    right = len(parts) == 5 and parts[1].isdigit() and parts[2:4] == ["assignsubmission", "file"]
    return (int(parts[1]), parts[4]) if right else None


def test_canvas_finds_every_student_by_its_own_numbers(course, feedback):
    collected(course, "canvas")
    status, files, told = feedback("canvas")
    assert [placed_by_canvas(name) for name in files] == [("101", "5001"), ("102", "5002")]
    assert "8 <span>/ 8.5 points</span>" in files["ada_101_5001_feedback.html"].decode()
    assert "not packed: eve: waits for manual grading" in told and "not packed: oskar: refused" in told
    assert "not packed: quinn: nothing of Canvas's was collected" in told and "name of the student's own file" in told
    assert status == 1 and "quinn is not in the gradebook's list of students" in told


def test_partial_takes_who_waits_and_who_was_refused(course, feedback):
    collected(course, "canvas")
    _, files, told = feedback("canvas", "--partial")
    assert len(files) == 4 and "eve" not in told and "oskar" not in told
    assert b"5.5 <span>/ 8.5" in files["eve_103_5003_feedback.html"] and b"is a zip" in files["oskar_104_5004_feedback.html"]


def test_a_second_download_names_the_newer_file(course, feedback):
    collected(course, "canvas")
    for number in (5009, 5008):
        with zipfile.ZipFile(course.parent / "canvas.zip", "w") as file:
            file.writestr(f"ada_101_{number}_toy-1.ipynb", "{}")  # and be it a damaged one: Canvas knows its newest
        collected(course, "canvas")
    assert "ada_101_5009_feedback.html" in feedback("canvas")[1]


def test_moodle_finds_every_student_by_its_number(course, feedback):
    collected(course, "moodle")
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        add_grades(gradebook, "Ada Love_lace", 4, 2.5, 2, email="x@example.org")
    write_whole(feedback_file(Course(course).module("toy").grades, "Ada Love_lace"), "<html></html>")
    _, files, _ = feedback("moodle", "--partial")
    assert [placed_by_moodle(name) for name in files] == [(11, "toy.html"), (13, "toy.html")]


def test_drafts_for_each_address(feedback):
    status, files, told = feedback("email")
    assert list(files) == ["ada.eml"]
    draft = email.message_from_binary_file(io.BytesIO(files["ada.eml"]), policy=email.policy.default)
    assert draft["X-Unsent"] == "1" and draft["To"].addresses[0].addr_spec == "ada@example.org"
    assert draft["To"].addresses[0].display_name == "Ada Löve, Lady" and "Points: 8 of 8.5." in draft.get_body().get_content()
    (page,) = draft.iter_attachments()
    assert page.get_content_type() == "text/html" and "8 <span>/ 8.5 points</span>" in page.get_content()
    assert "bob: 'bob@example.org" in told and "is no e-mail address" in told and "quinn: no e-mail address" in told


def test_a_stranger_is_named_each_time_and_served_where_the_platform_knows_them(course, feedback):
    write_whole(course.parent / "q" / "quinn_105_5005_toy.ipynb", "{}")
    collect(Course(course).module("toy"), [course.parent / "q"])
    for _ in range(2):
        status, files, told = feedback("canvas")
        assert status == 1 and len(files) == 1 and "quinn is not in the gradebook's list of students" in told
