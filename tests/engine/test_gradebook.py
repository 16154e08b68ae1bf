"""What a regrading may change in nbgrader's gradebook, and when the gradebook is left alone."""

import re
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from nbgrader.api import Base, Gradebook
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import create_engine
from toy_course import SOURCE, write_course

from autograder.classes.grade import write_result
from autograder.course import source
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.autograded import rebuild
from autograder.gradebook.gradebook import ClassBook, check_gradebook, timestamp
from autograder.gradebook.preprocessors import prepare
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result, feedback_page, with_grades_of
from autograder.sandboxed.notebook import HandedIn

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

POINTS = {"arithmetic": 4.0, "averages": 2.5}
EXERCISE, QUESTION = "exercise-arithmetic", "question-why"


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A course whose gradebook knows the module and one student."""
    root = write_course(tmp_path_factory.mktemp("gradebook"), "toys")
    prepare(root)
    book = book_of(root)
    book.register(source.read_source(book.module.source), POINTS)
    with book.open() as gradebook:
        gradebook.add_student("ada")
        gradebook.add_submission("toys", "ada")
    return root


@pytest.fixture
def book(empty, tmp_path) -> ClassBook:
    return book_of(shutil.copytree(empty, tmp_path / "course"))


def book_of(root: Path) -> ClassBook:
    return ClassBook(Course(root).module("toys"), CourseDirectory(root=str(root), course_id="toys"))


def grade(book: ClassBook, score: float | None, answer: str = "") -> dict[str, tuple]:
    """Saves a notebook with this score and this answer; gives what the gradebook then says."""
    cells = source.read_source(book.module.source)
    question = next(cell for cell in cells if cell.role == "question")
    text = question.stub.replace("*Your answer here.*", answer) if answer else question.stub
    notebook = rebuild(cells, POINTS, [HandedIn("markdown", text, QUESTION)])
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == EXERCISE and score is not None:
            cell.metadata["autograder"] = {"score": score}
    book.save("ada", notebook)
    return read(book)


def read(book: ClassBook) -> dict[str, tuple]:
    with book.open() as gradebook:
        submitted = gradebook.find_submission_notebook("toys", "toys", "ada")
        return {
            grade.name: (grade.auto_score, grade.manual_score, grade.extra_credit, grade.needs_manual_grade)
            for grade in submitted.grades
        }


def by_hand(book: ClassBook, name: str, score: float, extra: float | None = None, comment: str = "well said") -> None:
    """What formgrader writes when a TA gives points, extra credit and a comment."""
    with book.open() as gradebook:
        given = gradebook.find_grade(name, "toys", "toys", "ada")
        given.manual_score, given.extra_credit, given.needs_manual_grade = score, extra, False
        if name == QUESTION:
            gradebook.find_comment(name, "toys", "toys", "ada").manual_comment = comment
        gradebook.db.commit()


def comment(book: ClassBook) -> tuple[str | None, str | None]:
    with book.open() as gradebook:
        found = gradebook.find_comment(QUESTION, "toys", "toys", "ada")
        return found.auto_comment, found.manual_comment


def test_an_answer_waits_and_silence_earns_nothing(book):
    assert grade(book, 3.0, "So.") == {
        **read(book),
        EXERCISE: (3, None, None, False),
        QUESTION: (None, None, None, True),
    }
    assert comment(book) == (None, None)
    assert grade(book, 3.0)[QUESTION] == (0, None, None, False)
    assert comment(book) == ("No response.", None)


def test_a_regrade_of_the_same_changes_nothing(book):
    grade(book, 3.0, "So.")
    by_hand(book, QUESTION, 1.5, extra=0.5)
    by_hand(book, EXERCISE, 4.0)
    before = read(book)
    assert grade(book, 3.0, "So.") == before
    assert comment(book) == (None, "well said")


def test_only_what_changed_is_flagged(book):
    grade(book, 3.0, "So.")
    by_hand(book, QUESTION, 1.5, extra=0.5)
    by_hand(book, EXERCISE, 4.0)
    after = grade(book, 3.0, "Otherwise.")
    assert after[QUESTION] == (None, 1.5, 0.5, True) and after[EXERCISE] == (3, 4, None, False)
    by_hand(book, QUESTION, 1.5, extra=0.5)
    after = grade(book, 2.0, "Otherwise.")
    assert after[QUESTION] == (None, 1.5, 0.5, False) and after[EXERCISE] == (2, 4, None, True)


def test_not_graded_is_no_zero(book):
    assert grade(book, None)[EXERCISE] == (None, None, None, True)
    grade(book, 3.0)
    assert grade(book, None)[EXERCISE] == (3, None, None, False)


def test_bonus_points_are_extra_credit_and_a_ta_s_stay(book):
    grade(book, 3.0)
    name = "exercise-arithmetic"
    assert book.enter_bonuses("arithmetic", {"ada": 2.0, "nobody": 2.0, "idle": 0.0}) == [
        "nobody is not graded yet, so 2 bonus points wait: grade, then run this again"
    ]
    assert read(book)[name][2] == 2.0
    assert book.enter_bonuses("arithmetic", {"ada": 2.0}) == [] and read(book)[name][2] == 2.0, "once"
    assert book.enter_bonuses("arithmetic", {"ada": 0.0}) == [] and read(book)[name][2] == 0.0, "taken back"
    by_hand(book, name, 3.0, extra=1.0)
    (problem,) = book.enter_bonuses("arithmetic", {"ada": 2.0})
    assert "1 extra credit by a TA, which stays: add 2 by hand" in problem and read(book)[name][2] == 1.0


def test_points_follow_the_source(book):
    grade(book, 3.0)
    book.register(source.read_source(book.module.source), {**POINTS, "arithmetic": 8.0})
    with book.open() as gradebook:
        assert gradebook.find_grade_cell(EXERCISE, "toys", "toys").max_score == 8
    assert read(book)[EXERCISE] == (3, None, None, False)


def test_other_graded_cells_are_refused_once_there_are_submissions(book):
    grade(book, 3.0)
    book.module.source.write_text(SOURCE.replace('name="why"', 'name="wherefore"'))
    with pytest.raises(CourseError, match="nbgrader db assignment remove toys"):
        book.register(source.read_source(book.module.source), POINTS)
    assert read(book)[EXERCISE] == (3, None, None, False)


# --- a gradebook that cannot be used ----------------------------------------------------------------------------------


def damage(book: ClassBook, command: str) -> Path:
    path = book.module.root / "gradebook.db"
    with sqlite3.connect(path) as database:
        database.execute(command)
    return path


@pytest.mark.parametrize(
    "command", ["UPDATE alembic_version SET version_num = '50a4d84c131a'", "DROP TABLE alembic_version"]
)
def test_one_of_another_nbgrader_is_left_alone(book, command):
    path = damage(book, command)
    before = path.read_bytes()
    with pytest.raises(CourseError, match="copy it, then run `nbgrader db upgrade`"):
        book_of(book.module.root)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", ["", "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"])
def test_one_whose_making_was_interrupted_is_made_again(tmp_path, version):
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    Base.metadata.create_all(create_engine(url))  # nbgrader's own first step
    with sqlite3.connect(tmp_path / "gradebook.db") as database:
        database.execute(version)
    check_gradebook(url)
    with Gradebook(url, "toys") as gradebook:
        gradebook.add_student("ada")
    check_gradebook(url)
    with Gradebook(url, "toys") as gradebook:
        assert [student.id for student in gradebook.students] == ["ada"]


def test_a_locked_one_is_said(book, monkeypatch):
    monkeypatch.setattr("autograder.gradebook.gradebook.LOCK_SECONDS", 0.1)
    with sqlite3.connect(book.module.root / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CourseError, match="database is locked.*run this again"):
            book_of(book.module.root)
        other.execute("ROLLBACK")
    book_of(book.module.root)


def test_a_damaged_one_is_said(tmp_path):
    (tmp_path / "gradebook.db").write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(CourseError, match="is damaged"):
        check_gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}")


def test_a_missing_driver_is_named():
    with pytest.raises(CourseError, match="needs the package pg8000: install it"):
        check_gradebook("postgresql+pg8000://nobody@localhost/gradebook")


@pytest.mark.parametrize("text", ["", "2026-11-20 10:00:00 UTC", "soon", "x" * 5000, "9999999-01-01"])
def test_times(tmp_path, text):
    (tmp_path / "timestamp.txt").write_text(text)
    found = timestamp(tmp_path)
    assert (found is not None) == text.startswith("2026") and timestamp(tmp_path / "elsewhere") is None


def test_a_link_is_no_time(tmp_path):
    (tmp_path / "secret").write_text("2026-11-20 10:00:00 UTC")
    (tmp_path / "timestamp.txt").symlink_to(tmp_path / "secret")
    assert timestamp(tmp_path) is None


def test_the_gradebook_is_nbgrader_s(book):
    with Gradebook(book.coursedir.db_url, "toys") as gradebook:
        assert {cell.name for cell in gradebook.find_notebook("toys", "toys").grade_cells} == {
            EXERCISE,
            "exercise-averages",
            QUESTION,
        }


# --- the student's page -----------------------------------------------------------------------------------------------

PAGE = "<!-- score -->3 by the autograder<!-- end of score --> checks <!-- by hand --><!-- end of by hand -->"


def page_of(book: ClassBook, page: str = PAGE) -> str:
    write_whole(book.module.grades / "feedback" / "ada.html", page)
    return book.write_page("ada")


def test_a_page_says_what_waits_and_then_what_a_ta_gave_and_said(book):
    assert book.write_page("ada") is None
    grade(book, 3.0, "So.")
    page = page_of(book)
    assert "3 <span>/ 8.5 points so far</span><small>2 more by a teaching assistant, pending" in page and "pending / 2<" in page
    by_hand(book, QUESTION, 1.5, extra=0.5, comment="*well* <b>said</b>")
    again = page_of(book, page)
    assert "5 <span>/ 8.5 points<" in again and "2 / 2" in again and "pending" not in again
    assert "<em>well</em>" in again and "<b>" not in again
    assert again == (book.module.grades / "feedback" / "ada.html").read_text()


def test_a_page_says_what_a_ta_changed_of_the_checks_points_and_what_is_taken_off(book):
    grade(book, 3.0)
    by_hand(book, EXERCISE, 4.0)
    with book.open() as gradebook:
        gradebook.find_submission_notebook("toys", "toys", "ada").late_submission_penalty = 1.5
        gradebook.db.commit()
    page = page_of(book)
    assert "2.5 <span>/ 8.5 points<" in page and EXERCISE in page and "−1.5" in page and "No response." in page


def test_a_page_of_what_was_not_graded_stays_as_it_is(book):
    assert page_of(book, "<p>Not graded</p>") == "<p>Not graded</p>"


def test_a_refused_file_s_page_says_until_when_and_whom_to_ask(book):
    reason, contact = "is cut off", "the forum <b>"
    page = feedback_page(Result("ada", "toys", "refused", 3.0, reason=reason, contact=contact), {"e": ["f"]})
    assert "until the assignment is due" in page and "ask the forum &lt;b&gt;." in page
    assert "ask a teaching assistant" in feedback_page(Result("ada", "toys", "refused", 3.0, reason=reason), {"e": ["f"]})
    grade(book, 3.0)
    assert page_of(book, page) == page  # the gradebook knows no date yet
    with book.open() as gradebook:
        gradebook.find_assignment("toys").duedate = datetime(2026, 11, 30, 22, 59)
        gradebook.find_submission("toys", "ada").extension = timedelta(days=2)
        gradebook.db.commit()
    dated = page_of(book, page)
    assert "until Wednesday, 02 December 2026, 22:59 UTC." in re.sub("<!--.*?-->", "", dated)
    assert with_grades_of(page, dated) == dated


def test_the_sum_stays_in_a_page_that_is_made_again_and_goes_when_the_checks_points_change(book):
    exercises, files = {"e": ["f"]}, book.module.grades

    def made(points: float) -> str:
        verdict = Verdict("t", "f", "t", True, "passed" if points else "failed", points, 3.0)
        write_result(Result("ada", "toys", "graded", 3.0, graded=Graded((verdict,), ())), exercises, files)
        return (files / "feedback" / "ada.html").read_text()

    assert "3 <span>/ 3 points<" in made(3)
    grade(book, 3.0, "So.")
    page = book.write_page("ada")
    assert "so far" in page and made(3) == page
    assert "0 <span>/ 3 points<" in made(0) and "so far" not in made(0)
