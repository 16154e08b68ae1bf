"""Acting on a group: a comment or points for all who made one mistake, entered once, taken back, a TA's own left alone."""

import pytest
from test_questions import book as _book  # noqa: F401  the fixture
from test_questions import enter

from autograder import cli
from autograder.classes.grade import feedback_file, write_result
from autograder.gradebook.gradebook import ClassBook
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

SQUARES = Verdict("test_doubles", "double", "Doubles.", True, "failed", 0, 1, "said", mistake="squares", hint="A hint.")
ONCE = Verdict(
    "test_quadruples", "quadruple", "Twice.", True, "failed", 0, 2, "said", mistake="doubles_once", hint="Another."
)
EXERCISES = {"arithmetic": ["double", "quadruple"], "averages": ["mean"]}


def result(book: ClassBook, student: str, *verdicts: Verdict) -> None:
    write_result(Result(student, "toys", "graded", 6.5, graded=Graded(verdicts, ())), EXERCISES, book.module.grades)


@pytest.fixture
def book(_book, monkeypatch) -> ClassBook:  # noqa: F811
    """ada and bob have squared, bob has doubled once too; zoe, who has squared, is not in the gradebook yet."""
    for student, verdicts in {"ada": [SQUARES], "bob": [SQUARES, ONCE], "eve": []}.items():
        result(_book, student, *verdicts)
    monkeypatch.chdir(_book.module.root)
    return _book


@pytest.fixture
def group(book, capsys):
    """Runs `autograder group toys …`; gives the exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(["group", "toys", *arguments])
        return status, *capsys.readouterr()

    return run


def held(book: ClassBook, student: str, function: str = "double") -> tuple:
    """A TA's score of the exercise and comment on the function, and whether it waits."""
    with book.open() as gradebook:
        grade = gradebook.find_grade("exercise-arithmetic", "toys", "toys", student)
        comment = gradebook.find_comment(function, "toys", "toys", student).manual_comment
        return grade.manual_score, comment, grade.needs_manual_grade


def by_a_ta(book: ClassBook, student: str, score: float | None = None, comment: str | None = None) -> None:
    with book.open() as gradebook:
        gradebook.find_grade("exercise-arithmetic", "toys", "toys", student).manual_score = score
        if comment is not None:
            gradebook.find_comment("double", "toys", "toys", student).manual_comment = comment
        gradebook.db.commit()


NOTHING = (None, None, False)


def test_a_comment_reaches_all_of_the_group_once_and_goes_again(book, group):
    by_a_ta(book, "bob", comment="My own words.")
    status, out, err = group("squares", "--comment", "Look at the *sum* again.")
    assert (status, err) == (0, "") and out.startswith("squares: comment entered for 2 of 2;")
    assert held(book, "ada") == (None, "Look at the *sum* again.", False) and held(book, "eve") == NOTHING
    assert held(book, "bob")[1] == "My own words.\n\nLook at the *sum* again."
    assert "<em>sum</em>" in feedback_file(book.module.grades, "ada").read_text()
    before = held(book, "ada"), held(book, "bob")
    assert "entered for 0 of 2; 2 had it" in group("squares", "--comment", "Look at the *sum* again.")[1]
    assert (held(book, "ada"), held(book, "bob")) == before
    assert "squares: comment taken back from 2 of 2" in group("squares", "--undo")[1]
    assert held(book, "ada") == NOTHING and held(book, "bob") == (None, "My own words.", False)
    assert "<em>sum</em>" not in feedback_file(book.module.grades, "ada").read_text()


def test_another_comment_takes_the_place_of_the_first(book, group):
    group("squares", "--comment", "One.")
    group("squares", "--comment", "Another.\n\nIn two paragraphs.")
    assert held(book, "ada")[1] == "Another.\n\nIn two paragraphs."
    group("squares", "--undo")
    assert held(book, "ada") == NOTHING


def test_points_are_a_score_of_the_exercise_and_sum_up_over_groups(book, group):
    group("squares", "--points", "0.5", "--why", "The check was unfair.")
    group("squares", "--points", "1", "--why", "The check was unfair.")
    group("doubles_once", "--points", "0.5", "--why", "Half right.")
    assert held(book, "ada") == (3.0, "(+1) The check was unfair.", False)
    assert held(book, "bob") == (3.5, "(+1) The check was unfair.", False)
    assert held(book, "bob", "quadruple") == (3.5, "(+0.5) Half right.", False)
    assert "3.5 / 4" in feedback_file(book.module.grades, "bob").read_text()
    group("squares", "--undo")
    assert held(book, "ada") == NOTHING and held(book, "bob") == (2.5, None, False)
    group("doubles_once", "--undo")
    assert held(book, "bob") == NOTHING and held(book, "bob", "quadruple") == NOTHING


def test_points_stay_within_the_exercise_and_may_be_taken(book, group):
    group("squares", "--points", "4", "--why", "All of it.")
    assert held(book, "ada")[0] == 4.0
    group("squares", "--points", "-3", "--why", "Copied.")
    assert held(book, "ada")[:2] == (0.0, "(-3) Copied.")


def test_a_tas_own_score_stays_before_and_after(book, group):
    by_a_ta(book, "ada", 3.5)
    status, out, err = group("squares", "--points", "1", "--why", "Unfair.")
    assert status == 1 and "entered for 1 of 2" in out and err == "autograder: ada: has 3.5 of 4 by a TA, which stay\n"
    assert held(book, "ada") == (3.5, None, False) and held(book, "bob")[0] == 3.0
    by_a_ta(book, "bob", 0.25)
    status, _, err = group("squares", "--undo")
    assert status == 1 and "bob: has 0.25 of 4 by a TA, which stay" in err and held(book, "bob")[0] == 0.25
    assert group("squares", "--undo")[0] == 2, "what a TA has taken over is the TA's"


def test_after_grading_anew_it_follows_when_asked_again(book, group):
    group("squares", "--points", "1", "--why", "Unfair.")
    with book.open() as gradebook:
        grade = gradebook.find_grade("exercise-arithmetic", "toys", "toys", "ada")
        grade.auto_score, grade.needs_manual_grade = 2.5, True  # as `save` does
        gradebook.db.commit()
    group("squares", "--points", "1", "--why", "Unfair.")
    assert held(book, "ada") == (3.5, "(+1) Unfair.", False)


def test_who_joins_gets_it_and_who_leaves_is_named(book, group):
    group("squares", "--comment", "Look.")
    enter(book, "zoe", "Because.")
    result(book, "zoe", SQUARES)
    result(book, "ada")
    status, out, err = group("squares", "--comment", "Look.")
    assert status == 1 and "entered for 1 of 3; 2 had it" in out and "ada: no longer in the group" in err
    assert held(book, "zoe")[1] == "Look."
    result(book, "bob")
    result(book, "zoe")
    assert "comment taken back from 3 of 3" in group("squares", "--undo")[1], "also when nobody is in it any more"
    assert held(book, "ada") == held(book, "zoe") == NOTHING


def test_a_student_outside_the_gradebook_is_named(book, group):
    result(book, "zoe", SQUARES)
    status, out, err = group("squares", "--comment", "Look.")
    assert status == 1 and "entered for 2 of 3" in out and "zoe: is not in the gradebook: grade toys first" in err


def test_groups_are_listed_with_what_was_entered_and_whom_to_write_to(book, group):
    enter(book, "ada", "Halves.", first_name="Ada", last_name="Lovelace", email="ada@example.org")
    group("squares", "--comment", "Look.")
    group("test_doubles", "--comment", "This check is being mended.")
    lines = [" ".join(line.split()) for line in group()[1].splitlines()]
    assert "squares double 2 comment (2)" in lines and "doubles_once quadruple 1" in lines
    assert "test_doubles double 2 comment (2)" in lines and not any(
        line.startswith("test_quadruples") for line in lines
    )
    assert (
        group("squares")[1] == "ada: Ada Lovelace <ada@example.org>\nbob: no e-mail address in the list of students\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["squars", "--comment", "x"], "did you mean squares?"),
        (["squares", "--comment", "  "], "the text is empty"),
        (["squares", "--points", "1"], "--points and --why go together"),
        (["squares", "--points", "nan", "--why", "x"], "by up to 4, what exercise-arithmetic is worth"),
        (["squares", "--points", "4.5", "--why", "x"], "by up to 4, what exercise-arithmetic is worth"),
        (["squares", "--points", "0", "--why", "x"], "by up to 4"),
        (["squares", "--undo"], "nothing stands entered for 'squares'; it does for no group"),
        (["--undo"], "say for which group"),
    ],
)
def test_what_cannot_be_done_changes_nothing(book, group, arguments, said):
    status, _, err = group(*arguments)
    assert status == 2 and said in err
    assert held(book, "ada") == NOTHING and not (book.module.grades / "acted.json").exists()


def test_a_damaged_record_is_said_before_anything_is_done(book, group):
    book.module.grades.joinpath("acted.json").write_text('{"actions": [{}]}')
    status, _, err = group("squares", "--comment", "Look.")
    assert status == 2 and "acted.json is damaged" in err and held(book, "ada") == NOTHING
