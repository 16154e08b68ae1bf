"""One question over the whole class: what is pressed is nbgrader's own score and comment, and can be taken back."""

import base64
import contextlib
import http.client
import json
import threading
from pathlib import Path

import nbformat
import pytest
from browser import chromium
from test_nbgrader import PLOT
from toy_course import SOURCE, write_course

from autograder import cli
from autograder.classes.grade import write_result
from autograder.course.course import Course
from autograder.course.source import read_source
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.autograded import not_graded, rebuild
from autograder.gradebook.gradebook import ClassBook
from autograder.gradebook.preprocessors import prepare
from autograder.gradebook.questions import Question, shown_answer
from autograder.gradebook.questions_page import QuestionServer
from autograder.grading.report import Result
from autograder.sandboxed.notebook import HandedIn

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

POINTS = {"arithmetic": 4.0, "averages": 2.5}
WHY = "question-why"
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\2\0\0\0\x90wS\xde\0\0\0\fIDATx\x9cc\xf8\xcf\xc0\0\0\3\1\1\0\xc9\xfe\x92\xef"
    b"\0\0\0\0IEND\xaeB`\x82"
).decode()
EVIL = "<script>alert(1)</script>[go](javascript:alert(1)) ![x](https://example.org/x.png)"


def enter(book: ClassBook, student: str, answer: str | None, **about: str) -> None:
    """A student's graded notebook with this answer (None: the file is refused), as grading leaves it."""
    cells = read_source(book.module.source)
    with book.open() as gradebook:
        gradebook.update_or_create_student(student, **about)
        gradebook.update_or_create_submission("toys", student)
    if answer is None:
        notebook = not_graded(cells, POINTS, "is a zip")
        write_result(Result(student, "toys", "refused", 6.5, "is a zip"), {}, book.module.grades)
    else:
        stub = next(cell.stub for cell in cells if cell.role == "question")
        plot = HandedIn("code", "plt.plot([1])", "plot-line", shown=(("image/png", PNG),))
        text = stub.replace("*Your answer here.*", answer or "*Your answer here.*")
        notebook = rebuild(cells, POINTS, [HandedIn("markdown", text, WHY), plot])
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("exercise-"):
                cell.metadata["autograder"] = {"score": 2.0}
    write_whole(book.folder(student) / book.module.notebook, nbformat.writes(notebook))
    book.save(student, notebook)


def a_class(root: Path, answers: dict[str, str | None]) -> ClassBook:
    write_course(root, "toys", source=SOURCE + PLOT)
    prepare(root)
    book = ClassBook(Course(root).module("toys"), _coursedir(root))
    book.register(POINTS)
    for student, answer in answers.items():
        enter(book, student, answer, first_name=student.title())
    return book


def _coursedir(root: Path):
    from nbgrader.coursedir import CourseDirectory

    return CourseDirectory(root=str(root), course_id="toys")


@pytest.fixture
def book(tmp_path) -> ClassBook:
    """ada and bob have answered, eve has not, oskar's file is refused."""
    return a_class(tmp_path / "course", {"ada": "Halves.", "bob": f"Floats. {EVIL}", "eve": "", "oskar": None})


@pytest.fixture
def why(book) -> Question:
    return Question(book, "why")


def key(question: Question, student: str) -> str:
    return question._key(student)


def press(question: Question, student: str, *numbers: int) -> None:
    for number in numbers:
        question.press(key(question, student), question.answer(key(question, student))["version"], number)


def held(book: ClassBook, student: str, name: str = WHY) -> tuple:
    """What nbgrader's gradebook says of an answer: score by a TA, comment by a TA, whether it waits."""
    with book.open() as gradebook:
        grade = gradebook.find_grade(name, "toys", "toys", student)
        comment = gradebook.find_comment(name, "toys", "toys", student).manual_comment
        return grade.manual_score, comment, grade.needs_manual_grade


def by_formgrader(book: ClassBook, student: str, score: float, text: str) -> None:
    with book.open() as gradebook:
        grade = gradebook.find_grade(WHY, "toys", "toys", student)
        grade.manual_score, grade.needs_manual_grade = score, False
        gradebook.find_comment(WHY, "toys", "toys", student).manual_comment = text
        gradebook.db.commit()


def test_items_give_points_and_comments_that_formgrader_shows(book, why):
    why.set_item(None, 1.5, "Names the sum.")
    why.set_item(None, -0.5, "No *units*.")
    press(why, "ada", 3, 4)
    assert held(book, "ada") == (1.0, "(+1.5) Names the sum.\n\n(-0.5) No *units*.", False)
    press(why, "ada", 1)
    assert held(book, "ada")[0] == 2.0, "never more than there is"
    press(why, "ada", 1, 3, 4)
    assert held(book, "ada") == (None, None, True) and held(book, "bob") == (None, None, True)


def test_everything_is_undone_one_after_another(book, why):
    by_formgrader(book, "bob", 0.75, "so so")
    untouched = held(book, "ada"), held(book, "bob")
    why.set_item(None, 1, "Good.")
    press(why, "ada", 3)
    press(why, "bob", 3)
    marked = held(book, "ada"), held(book, "bob")
    assert marked == ((1, "(+1) Good.", False), (1, "(+1) Good.\n\nso so", False))
    why.set_item(3, 2, "Very good.")
    assert held(book, "ada")[:2] == (2, "(+2) Very good.") and held(book, "bob")[:2] == (2, "(+2) Very good.\n\nso so")
    why.remove_item(3)
    assert held(book, "ada") == (None, None, True)
    why.undo()
    why.undo()
    assert (held(book, "ada"), held(book, "bob")) == marked
    for _ in range(3):
        why.undo()
    assert (held(book, "ada"), held(book, "bob")) == untouched and [item.number for item in why.items()] == [1, 2]
    with pytest.raises(CourseError, match="nothing to undo"):
        why.undo()


def test_the_next_evening_goes_on_where_this_one_ended(book, why):
    why.set_item(None, 1, "Good.")
    press(why, "ada", 3)
    why.say(key(why, "ada"), why.answer(key(why, "ada"))["version"], "And short.")
    again = Question(book, WHY)
    mark = again.answer(key(again, "ada"))["mark"]
    assert mark["items"] == [3] and mark["own"] == "And short." and not mark["waits"]
    assert sum(answer["waits"] for answer in again.overview()["answers"]) == 1


def test_what_a_ta_entered_in_formgrader_since_is_never_written_over(book, why):
    why.set_item(None, 1, "Good.")
    press(why, "ada", 3)
    seen = why.answer(key(why, "ada"))["version"]
    by_formgrader(book, "ada", 0.25, "on second thoughts")
    with pytest.raises(CourseError, match="marked elsewhere meanwhile"):
        why.press(key(why, "ada"), seen, 1)
    with pytest.raises(CourseError, match="not undone"):
        why.undo()
    why.set_item(3, 2, "Better.")
    assert held(book, "ada") == (0.25, "on second thoughts", False)
    why.say(key(why, "ada"), why.answer(key(why, "ada"))["version"], "more words")
    assert held(book, "ada") == (0.25, "more words", False), "points from formgrader stay beside a new comment"


def test_an_answer_that_changed_waits_until_its_points_are_confirmed(book, why):
    why.set_item(None, 1, "Good.")
    press(why, "ada", 3)
    enter(book, "ada", "Something else.")
    assert held(book, "ada") == (1, "(+1) Good.", True)
    why.set_item(3, 1.5, "Good.")
    assert held(book, "ada") == (1.5, "(+1.5) Good.", True), "a changed item settles nothing"
    why.keep(key(why, "ada"), why.answer(key(why, "ada"))["version"])
    assert held(book, "ada") == (1.5, "(+1.5) Good.", False)


def test_a_refused_student_waits_for_nobody_and_is_named(book, monkeypatch, capsys):
    with book.open() as gradebook:
        submission = gradebook.find_submission("toys", "oskar")
        assert not submission.needs_manual_grade and gradebook.find_submission("toys", "ada").needs_manual_grade
    enter(book, "quinn", "Who am I?")
    monkeypatch.chdir(book.module.root)
    for _ in range(2):
        assert cli.main(["questions", "toys"]) == 0
        told = capsys.readouterr()
        assert told.out == "question-why: 3 of 4 wait\nplot-line: 4 of 4 wait\n"
        assert "oskar: refused" in told.err and "quinn is not in the gradebook's list of students" in told.err
    enter(book, "oskar", "A notebook after all.")
    write_whole(book.module.grades / "results" / "oskar.json", '{"status": "graded"}')
    assert held(book, "oskar") == (None, None, True) and len(Question(book, "why").overview()["answers"]) == 5


def test_nobody_marks_what_is_not_there(book, monkeypatch, capsys, tmp_path):
    with pytest.raises(CourseError, match="is called 'question-wyh': did you mean question-why"):
        Question(book, "question-wyh")
    empty = write_course(tmp_path / "empty", "toys")
    monkeypatch.chdir(empty)
    assert cli.main(["questions", "toys"]) == 2 and "there is no gradebook yet" in capsys.readouterr().err
    assert not (empty / "gradebook.db").exists()


def test_no_name_and_nothing_that_runs_reaches_the_page(book, why):
    told = json.dumps([why.overview(), *(why.answer(answer["id"]) for answer in why.overview()["answers"])])
    assert "ada" not in told.casefold() and "bob" not in told and "Floats." in told
    assert "Why does a mean" not in told and "Why does a mean" in why.asked()["question"]
    shown = why.answer(key(why, "bob"))["html"]
    assert "<script" not in shown and 'href="javascript' not in shown and "<img" not in shown
    plot = Question(book, "line").answer(key(Question(book, "line"), "ada"))["html"]
    assert f'src="data:image/png;base64,{PNG}"' in plot and "plt.plot([1])" in plot
    svg = nbformat.v4.new_output("display_data", data={"image/svg+xml": '<svg onload="alert(1)"/>', "text/html": "<b>"})
    cell = nbformat.v4.new_code_cell("x", outputs=[svg], metadata={"nbgrader": {"grade_id": "p"}})
    shown = shown_answer(nbformat.v4.new_notebook(cells=[cell]), "p")
    assert "onload" not in shown and "<b>" not in shown and "data:image/svg+xml;base64," in shown


def test_own_cells_are_shown_where_the_answer_may_be_there(book, why):
    cells = read_source(book.module.source)
    notebook = rebuild(cells, POINTS, [HandedIn("markdown", "My answer stands here.", "")])
    assert "<details open>" in shown_answer(notebook, WHY) and "My answer stands here." in shown_answer(notebook, WHY)


# --- the page ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(question: Question):
    server = QuestionServer(question)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_without_the_token_nothing_is_said_or_done(book, why):
    with served(why) as server:
        port, body = server.server_address[1], json.dumps({})
        for method, path, headers, status in (
            ("GET", "/", {}, 404),
            ("GET", "/?token=wrong", {}, 404),
            ("GET", "/overview", {}, 403),
            ("GET", f"/overview?token={server.token}", {}, 403),
            ("POST", "/undo", {}, 403),
            ("POST", "/undo", {"X-Token": server.token}, 409),
            ("POST", "/_change", {"X-Token": server.token}, 400),
            ("POST", "/press", {"X-Token": server.token}, 400),
            ("GET", f"/?token={server.token}", {}, 200),
        ):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            line.request(method, path, body if method == "POST" else None, headers)
            assert (line.getresponse().status, path) == (status, path)
        assert server.server_address[0] == "127.0.0.1"


def test_a_ta_marks_a_class_in_the_browser(book, why):
    from playwright.sync_api import expect

    with served(why) as server, chromium() as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address)
        page.get_by_text("1 of 3 marked, answer 1 of 2").wait_for()
        page.keyboard.press("a")
        page.locator("#points").fill("1.5")
        page.locator("#text").fill("Names the sum.")
        page.keyboard.press("Enter")
        page.locator(".item", has_text="Names the sum.").wait_for()
        page.keyboard.press("3")
        page.get_by_text("2 of 3 marked").wait_for()
        page.keyboard.press("n")
        page.get_by_text("answer 2 of 2").wait_for()
        page.locator(".item", has_text="Names the sum.").locator(".press").click()
        page.get_by_text("3 of 3 marked").wait_for()
        page.keyboard.press("c")
        page.locator("#own").fill("Well put.")
        with page.expect_response("**/say"):  # or the next key might overtake it
            page.keyboard.press("Escape")
        page.locator("#score", has_text="1.5 / 2").wait_for()
        with page.expect_response("**/undo"):  # or the page is loaded anew before it is sent
            page.keyboard.press("z")
        expect(page.locator("#own")).to_have_value("")
        page.reload()
        page.get_by_text("Nothing waits here.").wait_for()
    assert not errors
    assert held(book, "ada") == held(book, "bob") == (1.5, "(+1.5) Names the sum.", False)
