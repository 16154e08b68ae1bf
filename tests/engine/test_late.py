"""Late submissions: the policy's arithmetic, its file, and nbgrader's own step with real time stamps and due dates."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from gradebooks import MAXIMUM, add_assignment, add_grades
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties
from toy_course import write_course
from traitlets.config import Config

from autograder.errors import CourseError
from autograder.gradebook.late import DAY, POLICY, Policy, policy_file, read_policy

LINES = "grace_minutes = 15\npenalty_per_day = 10\ncap = 25\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def course(tmp_path) -> Path:
    return write_course(tmp_path / "course")


@pytest.mark.parametrize(
    ("seconds_late", "points"),
    [
        (0, 0),
        (15 * 60, 0),  # the last second of grace
        (15 * 60 + 1, 1),
        (15 * 60 + DAY, 1),  # the last second of the first day
        (15 * 60 + DAY + 1, 2),
        (15 * 60 + 2 * DAY + 1, 2.5),  # the cap
        (365 * DAY, 2.5),
    ],
)
def test_days_begin_when_the_grace_ends(seconds_late, points):
    assert Policy(penalty_per_day=10, grace_minutes=15, cap=25).penalty(10, 10, seconds_late) == points


def test_a_penalty_is_never_more_than_the_score():
    policy = Policy(penalty_per_day=50)
    assert [policy.penalty(score, 10, DAY) for score in (0, 3, 5, 8)] == [0, 3, 5, 5]
    assert policy.penalty(10, 10, 9 * DAY) == 10


# --- the file ---------------------------------------------------------------------------------------------------------


def test_no_file_is_no_penalty(course):
    assert read_policy(course / POLICY, "toy") is None


def test_a_module_changes_what_it_names(course):
    (course / POLICY).write_text(LINES + "[modules.toy]\npenalty_per_day = 5\n")
    assert read_policy(course / POLICY, "toy") == Policy(penalty_per_day=5, grace_minutes=15, cap=25)
    assert read_policy(course / POLICY, "other") == Policy(penalty_per_day=10, grace_minutes=15, cap=25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cap = ", "is not a policy (Invalid value (at end of document)): mend that line"),
        ("cap = 50", "penalty_per_day is missing: give a number of percent, from 0 to 100"),
        ("penalty = 5", "penalty is unknown: there are penalty_per_day, grace_minutes, cap and [modules.NAME]"),
        ("penalty_per_day = '10'", "penalty_per_day = '10': give a number of percent, from 0 to 100"),
        ("penalty_per_day = true", "penalty_per_day = True: give a number of percent, from 0 to 100"),
        ("penalty_per_day = 101", "penalty_per_day = 101: give a number of percent, from 0 to 100"),
        ("penalty_per_day = nan", "penalty_per_day = nan: give a number of percent, from 0 to 100"),
        (LINES.replace("15", "-1"), "grace_minutes = -1: give a number of minutes, 0 or more"),
        (LINES + "modules = 3", "modules must hold tables: write [modules.NAME] and its settings below"),
        (LINES + "[modules.toys]\ncap = 3", "modules.toys: no module is called 'toys': did you mean toy?"),
        (LINES + "[modules.toy]\ncap = -3", "modules.toy.cap = -3: give a number of percent, from 0 to 100"),
    ],
)
def test_a_wrong_policy_is_one_line_with_the_mend(course, text, words):
    path = course / POLICY
    path.write_text(text)
    with pytest.raises(CourseError) as error:
        read_policy(path, "toy")
    assert str(error.value) in (f"{path}: {words}", f"{path} {words}") and "\n" not in str(error.value)


def test_a_wrong_policy_stops_nbgrader_before_it_grades(course):
    (course / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text())
    (course / POLICY).write_text("cap = 50")
    run = [sys.executable, "-m", "nbgrader", "db", "student", "list"]
    done = subprocess.run(run, cwd=course, capture_output=True, text=True)
    assert done.returncode == 1 and not (course / "gradebook.db").exists()
    assert done.stderr.splitlines()[-1].startswith(f"autograder: {course / POLICY}: penalty_per_day is missing")
    assert "Traceback" not in done.stderr


# --- nbgrader's own step ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """A gradebook; making one takes a second."""
    url = f"sqlite:///{tmp_path_factory.mktemp('late') / 'gradebook.db'}"
    Gradebook(url).close()
    return url


@pytest.fixture
def penalty(course, url):
    """What nbgrader's AssignLatePenalties leaves in the gradebook, for a `timestamp.txt` of this text."""

    def ask(submitted: str, *scores: float, due: str = "2026-03-01 12:00:00 UTC", hours: int = 0) -> float:
        folder = course / "submitted" / "ada" / "toy"
        folder.mkdir(parents=True)
        (folder / "timestamp.txt").write_text(submitted)
        timestamp = CourseDirectory(root=str(course)).get_existing_timestamp(str(folder))
        with Gradebook(url) as gradebook:
            name = f"toy{len(gradebook.assignments)}"
            add_assignment(gradebook, name, due)
            add_grades(gradebook, "ada", *scores, name=name, timestamp=timestamp)
            gradebook.grant_extension(name, "ada", hours=hours)
        config = Config()
        config.AssignLatePenalties.plugin_class = "autograder.gradebook.late.LatePolicyPlugin"
        config.LatePolicyPlugin.policy_file = policy_file(course)
        about = {"notebook": name, "assignment": name, "student": "ada", "db_url": url}
        AssignLatePenalties(config=config).preprocess(nbformat.v4.new_notebook(), {"nbgrader": about})
        with Gradebook(url) as gradebook:
            return gradebook.find_submission(name, "ada").late_submission_penalty

    return ask


@pytest.mark.parametrize(
    ("submitted", "percent"),
    [
        ("2026-03-01 11:59:59 UTC", 0),
        ("2026-03-01 12:15:00 UTC", 0),
        ("2026-03-01 12:15:00.5 UTC", 10),
        ("2026-03-02 12:15:00 UTC", 10),
        ("2026-03-02 12:15:01 UTC", 20),
        ("2026-03-01 13:15:00+0100", 0),
        ("2026-03-01 13:15:01 Europe/Berlin", 10),
        ("2026-03-01 21:15:00 Asia/Tokyo", 0),
        ("2026-03-01T07:15:01-05:00", 10),
        ("2027-03-01 12:00:00", 25),  # without a zone: nbgrader takes it for UTC
    ],
)
def test_nbgrader_takes_off_what_the_policy_says(course, penalty, submitted, percent):
    (course / POLICY).write_text(LINES)
    assert penalty(submitted, 4, 2.5, 2) == pytest.approx(MAXIMUM * percent / 100)


def test_the_due_date_too_has_a_time_zone(course, penalty):
    (course / POLICY).write_text(LINES)
    due = "2026-07-01 23:59:59 Europe/Berlin"  # in summer, two hours ahead of UTC
    assert penalty("2026-07-01 22:15:00 UTC", 4, 2.5, 2, due=due) == pytest.approx(0.85)


def test_an_extension_moves_the_due_date(course, penalty):
    (course / POLICY).write_text(LINES)
    assert penalty("2026-03-02 12:15:00 UTC", 4, 2.5, 2, hours=24) == 0


def test_the_gradebook_never_goes_below_zero(course, penalty):
    (course / POLICY).write_text("penalty_per_day = 100")
    assert penalty("2026-03-09 12:00:00 UTC", 0.5, 0, 0) == 0.5


def test_without_a_policy_nothing_is_taken_off(penalty):
    assert penalty("2027-03-01 12:00:00 UTC", 4, 2.5, 2) == 0
