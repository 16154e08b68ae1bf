"""The calendar in course.toml, what follows from it, and `autograder status`."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from toy_course import solved, write_course

from autograder.authors.release import released_cells
from autograder.cli import main
from autograder.course.calendar import calendar, dates_of, told
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.gradebook.gradebook import book_of
from autograder.gradebook.status import Standing, standings
from autograder.grading.contents import Contents

NAME = "dated"
WEEKS = '''
timezone = "Europe/Vienna"
contact = "staff@example.org"

[modules.dated]
release = 2026-10-01T08:00:00
due = 2026-10-31
solutions = 2026-11-02T12:00:00+00:00
'''


def course(tmp_path: Path, text: str = WEEKS) -> Course:
    root = write_course(tmp_path / "course", NAME) if not (tmp_path / "course").exists() else tmp_path / "course"
    (root / "course.toml").write_text(text)
    return Course(root)


def test_dates_are_in_their_zone_and_a_day_lasts_to_its_end(tmp_path):
    dates = dates_of(course(tmp_path).module(NAME))
    assert dates.release == datetime(2026, 10, 1, 6, tzinfo=UTC)  # in summer, two hours ahead
    assert dates.due == datetime(2026, 10, 31, 22, 59, 59, tzinfo=UTC)  # after the clocks went back: one
    assert dates.solutions == datetime(2026, 11, 2, 12, tzinfo=UTC)
    assert told(dates.due) == "Saturday 31 October 2026, 23:59 (Europe/Vienna)"
    assert not dates.released(dates.release - timedelta(seconds=1)) and dates.released(dates.release)
    assert not dates.solved(dates.due) and dates.solved(dates.solutions)


def test_modules_stand_in_the_calendars_order_and_those_without_dates_behind(tmp_path):
    made = course(tmp_path, "")
    for name in ("a_week", "b_week"):
        write_course(made.root, name)
    (made.root / "course.toml").write_text("[modules.dated]\n[modules.b_week]\n")
    assert list(calendar(Course(made.root))) == [NAME, "b_week", "a_week"]
    dates = calendar(Course(made.root))["a_week"]
    assert dates.released(datetime.now(UTC)) and not dates.solved(datetime.now(UTC))


@pytest.mark.parametrize(
    "text, words",
    [
        ("[modules.dated]\ndue = 2026-10-31\n", "course.toml, line 2: due has no time zone: write timezone ="),
        ('timezone = "Vienna"\n[modules.dated]\ndue = 2026-10-31\n', "timezone = 'Vienna' is unknown"),
        ('timezone = "Europe/Vienna"\n\n[modules.datet]\n', "line 3: no module is called 'datet': did you mean dated?"),
        ("[modules.dated]\nopen = 2026-10-31\n", "line 2: 'open' is none of release, due, solutions"),
        ('[modules.dated]\ndue = "tomorrow"\n', "line 2: due = 'tomorrow' is no date: write 2026-12-07"),
        (WEEKS.replace("2026-10-31", "2026-09-30"), "line 7: due of dated is not after its release"),
        (WEEKS.replace("2026-10-01T08:00:00", "2026-03-29T02:30:00"), "line 6: .* where the clocks are put forward"),
        ("modules = 3\n", "modules is no table"),
        ("[modules]\ndated = 3\n", r"write \[modules.dated\], and its dates below it"),
        ("contact = 3\n", "contact = 3 is no text"),
    ],
)
def test_what_is_wrong_in_the_calendar_is_told_with_its_line(tmp_path, text, words):
    with pytest.raises(CourseError, match=words):
        calendar(course(tmp_path, text))


def test_a_released_notebook_says_when_it_is_due_and_whom_to_ask(tmp_path):
    made = course(tmp_path, "")
    before = [cell.stub for cell in released_cells(Contents(made.module(NAME)))]
    after = [cell.stub for cell in released_cells(Contents(course(tmp_path).module(NAME)))]
    line = "Due **Saturday 31 October 2026, 23:59 (Europe/Vienna)**. Questions: staff@example.org."
    assert after == [before[0], line, *before[1:]]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A course in whose gradebook one of two students is graded."""
    root = write_course(tmp_path_factory.mktemp("dated"), NAME)
    shutil.copy("nbgrader_config.py", root)
    (root / "course.toml").write_text(WEEKS)
    for student in ("ada", "bob"):
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(solved())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["grade", NAME, "submitted/ada", "--sandbox", "none"]) == 0
    return root


def test_the_gradebook_has_the_calendars_due_date(graded):
    with book_of(Course(graded).module(NAME)).open() as gradebook:
        assert gradebook.find_assignment(NAME).duedate == datetime(2026, 10, 31, 22, 59, 59)


def test_status_says_how_far_each_module_is_and_what_to_do(graded, capsys, monkeypatch):
    monkeypatch.chdir(graded)
    write_course(graded, "next_week")
    first, second = standings(Course(graded))
    assert (first.module, first.submitted, first.graded, first.waiting) == (NAME, 2, 1, 1) and not second.made
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["status"]) == 0
    out = capsys.readouterr().out
    assert "2026-10-31 23:59" in out and "autograder release next_week" in out


@pytest.mark.parametrize(
    "how, now, step",
    [
        ({"made": False}, 5, "autograder release dated"),
        ({"made": True}, -40, "nothing before Thursday 1 October 2026, 08:00 (Europe/Vienna)"),
        ({"made": True}, -5, "nothing before Saturday 31 October 2026, 23:59 (Europe/Vienna)"),
        ({"made": True}, 5, "autograder collect dated ARCHIVE"),
        ({"made": True, "submitted": 3, "graded": 2}, 5, "autograder grade dated"),
        ({"made": True, "submitted": 3, "graded": 3, "waiting": 1}, 5, "nbgrader formgrader"),
        ({"made": True, "submitted": 3, "graded": 3}, 5, "nbgrader generate_feedback dated, autograder export dated"),
    ],
)
def test_the_next_step(tmp_path, how, now, step):
    dates = dates_of(course(tmp_path).module(NAME))
    assert Standing(NAME, dates, **how).next_step(dates.due + timedelta(days=now)) == step
