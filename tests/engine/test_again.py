"""The same mistake in another week: the student reads it on their page, the instructor sees it in a table."""

import json

import pytest
from conftest import needs_walls
from test_grade import submit
from test_regrade import REWORDED, change, grades
from test_regrade import course as _course  # noqa: F401  the fixtures
from test_regrade import run as _run  # noqa: F401
from toy_course import MISTAKES, solved, write_course

from autograder.course.course import Module
from autograder.grading.again import Made, told_again

pytestmark = needs_walls

SAYS = "A mistake that you made before is here again, in <code>double</code> (as in more): compare the hint"


@pytest.fixture
def run(_run):  # noqa: F811
    return _run


@pytest.fixture
def course(_course) -> Module:  # noqa: F811
    """Two modules; in the first one too, bob has squared (and nobody else was graded there)."""
    write_course(_course.root, "more")
    result = json.loads((grades(_course) / "results" / "bob.json").read_text()) | {"module": "more"}
    folder = _course.root / "grades" / "more" / "results"
    folder.mkdir(parents=True)
    (folder / "bob.json").write_text(json.dumps(result))
    return _course


def page(course: Module, student: str) -> str:
    return (grades(course) / "feedback" / f"{student}.html").read_text()


def table(capsys) -> tuple[int, str, str]:
    from autograder import cli

    status = cli.main(["repeated"])
    said = capsys.readouterr()
    return status, " ".join(said.out.split()), said.err


def test_the_page_says_it_in_a_sentence_once_the_week_is_graded(course, run):
    assert "before" not in page(course, "bob")
    submit(course, "zoe", solved(double="def double(x): return x * x"))
    run("grade")
    assert SAYS in page(course, "bob") and "here again" not in page(course, "zoe") + page(course, "ada")


def test_the_week_before_says_nothing_of_the_week_after(course, run):
    (course.root / "course.toml").write_text("[modules.toys]\nrelease = 2026-01-01T00:00:00Z\n")
    run("grade")
    assert "here again" not in page(course, "bob")


def test_a_regrade_keeps_the_sentence(course, run):
    run("grade")
    change(course, "mistakes", MISTAKES, *REWORDED)
    assert run("regrade", "--yes")[0] == 0
    assert SAYS in page(course, "bob") and "That is a square." in page(course, "bob")


def test_the_instructor_sees_a_table_and_a_damaged_result_costs_one_line(course, run, capsys):
    assert table(capsys) == (0, "student mistake made in bob squares more (double), toys (double)", "")
    damaged = grades(course) / "results" / "ivy.json"
    damaged.write_text("{")
    status, out, err = table(capsys)
    assert status == 1 and "bob squares" in out and f"{damaged} is damaged" in err
    (course.root / "grades" / "more" / "results" / "bob.json").write_text("{")
    assert "Nobody made the same mistake in two modules." in table(capsys)[1]
    run("grade")
    assert "here again" not in page(course, "bob"), "and it stops no grading"


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"function": "other", "exercise": "another"}, True),
        ({"hint": "In other words.", "function": "other"}, True),
        ({"hint": "In other words.", "exercise": "another"}, True),
        ({"hint": "In other words.", "function": "other", "exercise": "another"}, False),
        ({"mistake": "cubes"}, False),
    ],
)
def test_what_is_the_same_mistake(changed, same):
    here = Made("toys", "squares", "double", "arithmetic", "A hint.")
    before = Made(**vars(here) | {"module": "more"} | changed)
    assert bool(told_again([here], [before])) is same


def test_several_are_one_sentence():
    here = [Made("toys", "m", name, "e", "A hint.") for name in ("one", "two")]
    before = [Made(module, "m", "one", "e", "A hint.") for module in ("first", "second")]
    said = told_again(here, before)
    assert said.startswith(
        "Mistakes that you made before are here again, in `one` (as in second) and `two` (as in second)"
    )
