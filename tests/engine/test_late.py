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

from autograder import cli
from autograder.classes.collect import LATENESS, TIMESTAMP
from autograder.classes.submissions import Submission
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.gradebook.gradebook import ClassBook
from autograder.gradebook.late import DAY, EXTENSIONS, POLICY, Policy, extensions, policy_file, read_policy

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


# --- extensions, and times that nobody knows --------------------------------------------------------------------------


@pytest.fixture
def book(course) -> ClassBook:
    """A gradebook in the course: ada has handed in a day and a second late, bob at a time that was known once."""
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        add_assignment(gradebook, "toy", "2026-03-01 12:00:00 UTC")
        for student in ("ada", "bob"):
            add_grades(gradebook, student, 4, 2.5, 2, timestamp="2026-03-02 12:00:01 UTC")
    handed_in(course, "ada", TIMESTAMP, "2026-03-02 12:00:01 UTC")
    handed_in(course, "bob", LATENESS, "late")
    (course / POLICY).write_text(LINES)
    return ClassBook(Course(course).module("toy"), CourseDirectory(root=str(course)))


def handed_in(course: Path, student: str, name: str, text: str) -> Submission:
    folder = course / "submitted" / student / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return Submission(student, folder / "toy.ipynb")


def late(book: ClassBook, student: str) -> tuple[float, str | None]:
    """How late the gradebook says that a student was, and the time it has."""
    with book.open() as gradebook:
        submission = gradebook.find_submission("toy", student)
        return submission.total_seconds_late, submission.timestamp and str(submission.timestamp)


def test_extend_before_and_after_the_submission(course, book, monkeypatch, capsys):
    monkeypatch.chdir(course)
    assert late(book, "ada")[0] == DAY + 1
    assert cli.main(["extend", "toy", "ada", "--days", "1", "--why", "ill,\nwith a note"]) == 0
    said = capsys.readouterr().out
    assert "due for ada: 2026-03-02 12:00:00 UTC" in said and "nbgrader autograde toy --student=ada" in said
    assert late(book, "ada")[0] == 1
    (course / "submitted" / "kim" / "toy").mkdir(parents=True)
    assert cli.main(["extend", "toy", "kim", "--days", "2.5", "--why", "moved"]) == 0
    with book.open() as gradebook:
        add_grades(gradebook, "kim", 4, 2.5, 2, timestamp="2026-03-02 12:00:01 UTC")
    book.settle_time(handed_in(course, "kim", TIMESTAMP, "2026-03-02 12:00:01 UTC"))  # as it is graded
    assert late(book, "kim")[0] == 0
    assert cli.main(["extend", "toy", "ada", "--days", "0", "--why", "by mistake"]) == 0
    assert late(book, "ada")[0] == DAY + 1
    text = (course / EXTENSIONS).read_text()
    assert [line.split(",")[:3] for line in text.splitlines()[1:]] == [
        ["toy", "ada", "1"],
        ["toy", "kim", "2.5"],
        ["toy", "ada", "0"],
    ]
    assert "ill, with a note" in text and extensions(course, "other") == {}


@pytest.mark.parametrize(
    ("student", "days", "why", "words"),
    [
        ("adda", "1", "ill", "no student of the course is called 'adda': did you mean ada?"),
        ("ada", "-1", "ill", "--days -1: give a number from 0"),
        ("ada", "nan", "ill", "--days nan: give a number from 0"),
        ("ada", "1", " ", "--why is empty: say for what reason"),
    ],
)
def test_a_wrong_extension_changes_nothing(course, book, monkeypatch, capsys, student, days, why, words):
    monkeypatch.chdir(course)
    assert cli.main(["extend", "toy", student, f"--days={days}", "--why", why]) == 2
    assert words in capsys.readouterr().err and not (course / EXTENSIONS).exists() and late(book, "ada")[0] == DAY + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student,days\nada,1\n", "has not the columns module, student, days, entered, why: mend its first line"),
        ("module,student,days,entered,why\ntoy,ada,three,,\n", ", line 2: days = 'three': give a number from 0 to 366"),
        ('module,student,days,entered,why\ntoy,"ada,1,,\n', "is not a table of extensions"),
    ],
)
def test_a_damaged_file_of_extensions_is_one_line(course, text, words):
    (course / EXTENSIONS).write_text(text)
    with pytest.raises(CourseError) as error:
        extensions(course, "toy")
    assert words in str(error.value) and str(course / EXTENSIONS) in str(error.value)
    with pytest.raises(SystemExit, match="extensions.csv"):
        policy_file(course)


def test_an_unknown_time_is_said_and_is_no_earlier_time(course, book):
    ada, bob = handed_in(course, "ada", TIMESTAMP, "2026-03-02 12:00:01 UTC"), handed_in(course, "bob", LATENESS, "late")
    eve, kim = handed_in(course, "eve", "x", ""), handed_in(course, "kim", LATENESS, "in time")
    lee = handed_in(course, "lee", TIMESTAMP, "??")
    said = book.unknown_times([ada, bob, eve, kim, lee])
    assert [line.split(": nothing")[0] for line in said] == [
        "bob: is late, says the platform, but not by how much",
        "eve: it is unknown when this was handed in",
        "lee: it is unknown when this was handed in",
    ]
    book.settle_time(bob)  # the time that the gradebook had was of an earlier file
    assert late(book, "bob") == (0, None)
    (course / POLICY).unlink()
    assert book.unknown_times([bob, eve]) == []


def test_exports_leave_out_whose_time_is_unknown(course, book, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(course)
    book.settle_time(handed_in(course, "bob", LATENESS, "late"))
    (tmp_path / "canvas.csv").write_text("Student,ID,SIS Login ID,Section,toy (1)\nAda,1,ada,,\nBob,2,bob,,\n")
    with book.open() as gradebook:
        gradebook.find_submission_notebook("toy", "toy", "ada").late_submission_penalty = 8.5 * 0.1
        gradebook.db.commit()
    command = ["export", "canvas", "toy", "--roster", str(tmp_path / "canvas.csv"), "-o", str(tmp_path / "out.csv")]
    cli.main(command)
    said = capsys.readouterr()
    assert "out.csv: 1 grades" in said.out and "bob" not in (tmp_path / "out.csv").read_text()
    assert "not in the file: bob: is late, says the platform, but not by how much (write it into timestamp.txt" in said.err
    assert cli.main([*command, "--partial"]) == 1
    said = capsys.readouterr()
    assert "out.csv: 2 grades" in said.out and "bob: is late, says the platform, but not by how much: nothing is" in said.err
