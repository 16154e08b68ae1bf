"""A TA's hour in nbgrader's formgrader, seen in headless Chromium: autograde, look, give points, generate feedback."""

import shutil
from pathlib import Path

import pytest
from browser import chromium
from conftest import needs_walls
from test_nbgrader import CONFIG, PLOT, SQUARE, TOKEN, formgrader, grades, hand_in, handed_in, run
from toy_course import SOURCE, write_course

pytestmark = [needs_walls, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"), pytest.mark.long]

COMMENT = "Say what a *float* is."


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course with the notebooks of two students, of which nothing is graded."""
    root = write_course(tmp_path_factory.mktemp("hour"), "toys", source=SOURCE + PLOT)
    shutil.copy(CONFIG, root)
    run(root, "nbgrader", "generate_assignment", "toys")
    hand_in(root, "ada", handed_in(root))
    hand_in(root, "bob", handed_in(root, double=SQUARE))
    return root


def press(page, student: str, button: str, said: str) -> None:
    """Presses a student's button on the page of all submissions, and closes the box that says how it went."""
    page.locator("tr", has_text=student).locator(f".{button} a").click()
    page.locator(".modal-body").get_by_text(said).wait_for()
    page.locator(".modal").get_by_role("button", name="OK").click()
    page.locator(".modal").wait_for(state="detached")


def save(page, field: str, text: str) -> None:
    """Types into a field, leaves it as a TA does, and waits until the server has it."""
    with page.expect_response(lambda answer: answer.request.method == "PUT") as answer:
        page.locator(field).fill(text)
        page.locator(field).press("Tab")
    assert answer.value.ok


def test_a_ta_grades_a_student(course):
    with formgrader(course) as address, chromium() as page:
        page.goto(f"{address}?token={TOKEN}")
        page.goto(f"{address}/manage_submissions/toys")
        page.locator("tr", has_text="bob").get_by_text("needs autograding").wait_for()
        press(page, "bob", "autograde", "Successfully autograded 'toys' for student 'bob'")
        page.locator("tr", has_text="bob").get_by_text("needs manual grading").wait_for()
        page.locator("tr", has_text="ada").get_by_text("needs autograding").wait_for()

        page.goto(f"{address}/gradebook/toys/toys")
        page.get_by_role("link", name="Submission #1").click()
        page.get_by_text("You multiply the number by itself").wait_for()
        page.get_by_text("Because their sum need not be a multiple of their count.").wait_for()
        page.get_by_text("One point for each axis that has a label.").wait_for()
        page.locator("#exercise-arithmetic[placeholder='2']").wait_for()
        save(page, "#question-why", "1.5")
        save(page, "#question-why-comment", COMMENT)
        save(page, "#plot-line", "3")

        page.goto(f"{address}/manage_submissions/toys")
        page.locator("tr", has_text="bob").get_by_text("9 / 11.5").wait_for()
        press(page, "bob", "generate-feedback", "Successfully generated feedback for 'toys' for student 'bob'")
        page.goto((course / "feedback" / "bob" / "toys" / "toys.html").as_uri())
        text = page.locator("body").inner_text()

    assert grades(course)["bob"]["question-why"] == (None, 1.5, None, False)
    assert "9 / 11.5 points" in text and "1.5 / 2" in text and "3 / 3" in text and "wait" not in text
    assert "Say what a float is." in text and "You multiply the number by itself" in text
    assert "For graders only" not in text and "One point for each axis" not in text
