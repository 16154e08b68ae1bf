"""What a regrading may change in nbgrader's gradebook, and when the gradebook is left alone."""

import re
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import nbformat
import pytest
from nbgrader.api import Base, Gradebook
from nbgrader.coursedir import CourseDirectory
from sqlalchemy import create_engine
from toy_course import SOURCE, write_course

from autograder import cli
from autograder.classes.grade import write_result
from autograder.classes.submissions import Submission
from autograder.course import source
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.autograded import rebuild
from autograder.gradebook.gradebook import ClassBook, check_gradebook, timestamp
from autograder.gradebook.preprocessors import prepare
from autograder.grading.contents import Contents
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
    book.register(POINTS)
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
    book.register({**POINTS, "arithmetic": 8.0})
    with book.open() as gradebook:
        assert gradebook.find_grade_cell(EXERCISE, "toys", "toys").max_score == 8
    assert read(book)[EXERCISE] == (3, None, None, False)


# --- a source that is edited after grading ----------------------------------------------------------------------------

QUESTION_CELL = SOURCE[SOURCE.index('# %% [markdown] role="question"') :]


def edited(book: ClassBook, *changes: tuple[str, str], points: dict[str, float] = POINTS) -> list[str]:
    """What is said when the module is registered after these changes of its source."""
    text = book.module.source.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    book.module.source.write_text(text)
    return ClassBook(book.module, book.coursedir).register(points)


def marked(book: ClassBook) -> None:
    """Ada is graded, her notebook lies where formgrader looks, and a TA gave points, extra credit and a comment."""
    grade(book, 3.0, "So.")
    notebook = rebuild(source.read_source(book.module.source), POINTS, [])
    write_whole(book.folder("ada") / "toys.ipynb", nbformat.writes(notebook))
    by_hand(book, EXERCISE, 3.5, extra=0.5)
    by_hand(book, QUESTION, 2.0)


def marks(book: ClassBook) -> dict[str, tuple]:
    return {name: values for name, values in read(book).items() if values[1] is not None}


def test_a_new_question_waits_and_every_mark_stays(book):
    marked(book)
    before = read(book)
    (said,) = edited(book, (QUESTION_CELL, QUESTION_CELL + QUESTION_CELL.replace('"why"', '"when"')))
    assert said.startswith("toys has changed since it was graded: question-when is new; what people gave stays")
    assert read(book) == before | {"question-when": (None, None, None, True)}
    assert comment(book) == (None, "well said")
    assert edited(book) == []
    grade(book, 3.0, "So.")
    with book.open() as gradebook:
        gradebook.update_or_create_student("bob")
        gradebook.update_or_create_submission("toys", "bob")
        assert len(gradebook.find_submission_notebook("toys", "toys", "bob").grades) == 4


def test_a_renamed_exercise_question_and_notebook_keep_their_marks(book):
    marked(book)
    before = read(book)
    book.module.source.rename(book.module.source.with_name("toy.py"))
    renamed = book_of(book.module.root)
    (said,) = edited(renamed, ('exercise="arithmetic"', 'exercise="sums"'), ("arithmetic", "sums"), ('"why"', '"wherefore"'),
                     points={"sums": 4.0, "averages": 2.5})  # fmt: skip
    assert "exercise-arithmetic is now exercise-sums, question-why is now question-wherefore" in said
    with renamed.open() as gradebook:
        submitted = gradebook.find_submission_notebook("toy", "toys", "ada")
        found = {g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade) for g in submitted.grades}
        said_by_ta = {comment.name: comment.manual_comment for comment in submitted.comments}
    assert found["exercise-sums"] == before[EXERCISE] and found["question-wherefore"] == before[QUESTION]
    assert len(found) == 3 and said_by_ta["question-wherefore"] == "well said"
    kept = (renamed.module.grades / "answers" / "ada.json").read_text()
    assert "question-wherefore" in kept and "question-why" not in kept  # or the answer would be taken for a new one


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ([(QUESTION_CELL, "")], QUESTION),
        ([('"why"', '"wherefore"'), ("need a float", "need to be a float")], QUESTION),
        ([('exercise="averages"', 'exercise="all"'), ('role="grade" exercise="arithmetic"', "")], EXERCISE),
    ],
)
def test_marks_that_would_be_lost_are_named_before_anything_is_changed(book, changes, cell):
    marked(book)
    before, path = read(book), book.module.root / "gradebook.db"
    content = path.read_bytes()
    with pytest.raises(CourseError, match=f"{cell} is no longer in the source of toys, .* to ada: give a cell that name"):
        edited(book, *changes)
    assert read(book) == before and path.read_bytes() == content


def test_what_nobody_gave_anything_for_may_go(book):
    grade(book, 3.0, "So.")
    assert "question-why is gone" in edited(book, (QUESTION_CELL, ""))[0]
    assert set(read(book)) == {EXERCISE, "exercise-averages"}


def test_points_above_a_new_maximum_are_looked_at_again_once(book):
    marked(book)
    less = {**POINTS, "arithmetic": 3.0}
    assert edited(book, ("points=2", "points=1"), points=less) == [
        "ada: 3.5 points for exercise-arithmetic, which is worth 3 now: look at it again in formgrader",
        "ada: 2 points for question-why, which is worth 1 now: look at it again in formgrader",
    ]
    assert read(book)[QUESTION] == (None, 2, None, True) and read(book)[EXERCISE] == (3, 3.5, 0.5, True)
    by_hand(book, QUESTION, 2.0)
    assert edited(book, points=less) == [] and not read(book)[QUESTION][3]


def test_a_release_that_would_lose_marks_is_not_made(book, monkeypatch, capsys):
    marked(book)
    book.module.source.write_text(SOURCE.replace(QUESTION_CELL, ""))
    monkeypatch.chdir(book.module.root)
    assert cli.main(["release"]) == 1
    assert "question-why is no longer in the source of toys" in capsys.readouterr().err
    assert not book.module.release.exists()


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


@pytest.mark.parametrize("known", [True, False])
def test_what_cannot_be_entered_whole_is_not_entered(book, monkeypatch, known):
    """A full disk: of a student who is there already all stays as it was, and nobody is new."""
    student = "ada" if known else "eve"
    folder = book.module.root / "submitted" / student / "toys"
    folder.mkdir(parents=True)
    (folder / "timestamp.txt").write_text("2026-03-01 12:00:00 UTC")
    submission = Submission(student, folder / "toys.ipynb")
    grader: Any = SimpleNamespace(contents=Contents(book.module))
    refused = Result(student, "toys", "refused", 3.0, reason="is cut off")

    def entered() -> list:
        with sqlite3.connect(book.module.root / "gradebook.db") as db:
            tables = ("student", "submitted_assignment", "grade")
            return [sorted(db.execute(f"SELECT * FROM {table}"), key=str) for table in tables]

    before = entered()
    with monkeypatch.context() as patch:
        patch.setattr("autograder.gradebook.gradebook.write_whole", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            book.record([grader], submission, refused, None)
    assert entered() == before
    book.record([grader], submission, refused, None)
    assert entered() != before and (book.folder(student) / "toys.ipynb").is_file()


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
