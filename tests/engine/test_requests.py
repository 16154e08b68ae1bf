"""Regrade requests: what is asked, what was observed, what was decided, and that the student reads it."""

from pathlib import Path

import pytest
from test_questions import book as _book  # noqa: F401  the fixture
from test_questions import by_formgrader, enter
from toy_course import write_course

from autograder import cli
from autograder.classes.grade import feedback_file, write_result
from autograder.files import write_whole
from autograder.gradebook.gradebook import ClassBook
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

HIDDEN = Verdict("test_large_doubles", "double", "Doubles large numbers too.", False, "failed", 0, 2, "the secret answer")
ASKED = 'student = "ada"\nabout = "Doubles large numbers too."\nwhy = """It is <b>right</b>."""\n'


@pytest.fixture
def book(_book, monkeypatch) -> ClassBook:  # noqa: F811
    """A class of which ada's result is there."""
    result = Result("ada", "toys", "graded", 6.5, graded=Graded((HIDDEN,), ()))
    write_result(result, {"arithmetic": ["double"]}, _book.module.grades)
    monkeypatch.chdir(_book.module.root)
    return _book


def folder(book: ClassBook) -> Path:
    return book.module.root / "regrade_requests" / "toys"


def page(book: ClassBook) -> str:
    return feedback_file(book.module.grades, "ada").read_text()


def requests(capsys, *options: str) -> tuple[int, str, str]:
    status = cli.main(["requests", "toys", *options])
    return status, *capsys.readouterr()


def test_a_request_is_shown_decided_logged_and_told(book, capsys):
    write_whole(folder(book) / "ada-1.toml", ASKED)
    status, said, _ = requests(capsys)
    assert status == 0 and "ada-1.toml: open: ada about Doubles large numbers too." in said and "the secret answer" in said
    assert "test_large_doubles (hidden): failed, 0 / 2" in said
    assert requests(capsys, "--decide", "ada-1.toml", "declined", "--why", "1 << 60 is no float.")[0] == 0
    assert requests(capsys, "--decide", "ada-1", "accepted", "--why", "You are right & we were wrong.")[0] == 0
    assert (folder(book) / "ada-1.toml").read_text() == ASKED
    assert len((folder(book) / "decisions.jsonl").read_text().splitlines()) == 2, "an earlier decision stays in the log"
    told = page(book)
    assert "accepted" in told and "You are right &amp; we were wrong." in told and "It is &lt;b&gt;right&lt;/b&gt;." in told
    assert "no float" not in told and "the secret answer" not in told and "test_large_doubles" not in told
    assert "ada-1.toml: accepted" in requests(capsys)[1]


def test_points_that_moved_since_are_shown(book, capsys):
    by_formgrader(book, "ada", 0.5, "hm")
    assert requests(capsys, "--add", "ada", "why", "--why", "It's all there.")[0] == 0
    assert "question-why: 0.5 / 2" in requests(capsys)[1]
    assert requests(capsys, "--decide", "ada-1.toml", "accepted", "--why", "Yes.")[0] == 0
    by_formgrader(book, "ada", 2, "hm")
    assert "question-why (2 / 2, 0.5 / 2 then)" in requests(capsys)[1]


def test_a_hidden_check_keeps_its_name_from_the_student(book, capsys):
    requests(capsys, "--add", "ada", "test_large_doubles", "--why", "By e-mail.")
    requests(capsys, "--decide", "ada-1.toml", "declined", "--why", "No.")
    assert "test_large_doubles" not in page(book) and "Doubles large numbers too." in page(book)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student = ", "is no request"),
        ('student = "ada"\nabout = "double"\n', "why is missing: write why"),
        (ASKED + '[decision]\noutcome = "accepted"\n', "decision is unknown"),
        (ASKED.replace("Doubles", "Dubles"), "did you mean Doubles large numbers too.?"),
        (ASKED.replace('"ada"', '"adda"'), "adda has no result: did you mean ada?"),
        (ASKED + "#" * 200_000, "is larger than a request may be"),
    ],
)
def test_an_odd_request_costs_one_line(book, capsys, text, said):
    write_whole(folder(book) / "a.toml", text)
    write_whole(folder(book) / "b.toml", ASKED)
    status, out, err = requests(capsys)
    assert status == 1 and said in err and str(folder(book) / "a.toml") in err and "b.toml: open" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--decide", "ada-7.toml", "accepted", "--why", "x"], "has no request 'ada-7.toml': did you mean ada-1.toml?"),
        (["--decide", "ada-1.toml", "perhaps", "--why", "x"], "'perhaps' is no decision: write accepted or declined"),
        (["--decide", "ada-1.toml", "accepted"], "--why is empty"),
        (["--add", "ada", "nothing", "--why", "x"], "nothing of ada's is called 'nothing'"),
        (["--add", "nobody", "double", "--why", "x"], "nobody has no result"),
    ],
)
def test_what_cannot_be_decided_changes_nothing(book, capsys, options, said):
    write_whole(folder(book) / "ada-1.toml", ASKED)
    status, _, err = requests(capsys, *options)
    assert status == 2 and said in err and [path.name for path in folder(book).iterdir()] == ["ada-1.toml"]


def test_a_stranger_who_asks_is_named(book, capsys):
    enter(book, "quinn", "Who?")
    graded = Graded((HIDDEN,), ())
    write_result(Result("quinn", "toys", "graded", 6.5, graded=graded), {"arithmetic": ["double"]}, book.module.grades)
    write_whole(folder(book) / "quinn-1.toml", ASKED.replace("ada", "quinn"))
    assert "quinn is not in the gradebook's list of students" in requests(capsys)[2]


def test_without_a_gradebook_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_course(tmp_path / "fresh", "toys"))
    assert requests(capsys)[0] == 2 and not (tmp_path / "fresh" / "gradebook.db").exists()
