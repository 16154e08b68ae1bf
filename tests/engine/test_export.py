"""Exports: the files that Canvas and Moodle wrote come back with the gradebook's scores, and nothing else changed."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from gradebooks import add_assignment, add_grades
from nbgrader.api import Gradebook
from toy_course import write_course

from autograder import cli
from autograder.gradebook.late import POLICY

# as Canvas's exporter writes it: its own name for an assignment, a row of posting policies, one of points, totals
CANVAS = '''\
Student,ID,SIS User ID,SIS Login ID,Section,Week 7 (880),toy (881),Current Score,Final Score
,,,,,Manual Posting,,(read only),(read only)
    Points Possible,,,,,10.00,8.50,(read only),(read only)
"Lovelace, Ada ""the first""",101,s1,ada,L1,7.00,,70,70
"Bäcker, Bob",102,s2,bob@example.org,L1,,1.00,,
"Echo, Eve",103,s3,eve,L2,,,,
"Ivy, Ida",104,s4,ivy,L2,,,,
"Moe, Mia",105,s5,mia,L2,,EX,,
"Student, Test",106,,,L1,,,,
'''
WORKSHEET = """\
Identifier,"Full name","ID number","Email address",Status,Grade,"Maximum Grade","Grade can be changed",\
"Last modified (grade)","Feedback comments"
"Participant 11","Ada Lovelace",101,ada@example.org,"Submitted for grading - ",,8.50,Yes,-,"- good"
"Participant 12","Bob Bäcker",102,bob@example.org,"No submission - ",3.00,8.50,Yes,"Monday, 2 March 2026, 9:00 AM",
"Participant 13","Eve Echo",103,eve@example.org,"No submission - ",2.00,8.50,Yes,"Monday, 2 March 2026, 9:00 AM",
"""
GRADES = """\
"First name","Last name","ID number",Institution,"Email address","Assignment: toy (Real)","Course total (Real)",\
"Last downloaded from this course"
Ada,Lovelace,101,,ADA@example.org,-,-,1774000000
=1+1,Bäcker,102,,bob@example.org,3.00,3.00,1774000000
Eve,Echo,103,,eve@example.org,2.00,2.00,1774000000
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Path:
    """A course with a gradebook: two graded, one who waits for a TA, one not graded, one without a submission."""
    root = write_course(tmp_path_factory.mktemp("course"))
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        add_assignment(gradebook, duedate="2026-03-01 12:00:00 UTC")
        add_grades(gradebook, "ada", 4, 2.5, 1.125, email="ada@example.org")
        add_grades(gradebook, "bob", 4, 0, 0, email="Bob@example.org", timestamp="2026-03-01 12:00:01 UTC")
        gradebook.find_submission_notebook("toy", "toy", "bob").late_submission_penalty = 0.85
        add_grades(gradebook, "eve", 3, 2.5, None, email="eve@example.org")
        add_grades(gradebook, "ivy", None, None, None)
        add_grades(gradebook, "mia", 0, 0, 0)
        gradebook.add_student("kim", lms_user_id="999")
        gradebook.db.commit()
    return root


@pytest.fixture
def export(graded, tmp_path, monkeypatch, capsys):
    """Runs `autograder export` on a roster of this text; gives the status, what it wrote, and the lines of stderr."""
    monkeypatch.chdir(graded)

    def run(platform: str, roster: str | bytes, *options: object) -> tuple[int, bytes, list[str]]:
        path, out = tmp_path / "roster.csv", tmp_path / "out.csv"
        out.unlink(missing_ok=True)
        path.write_bytes(roster.encode() if isinstance(roster, str) else roster)
        status = cli.main(["export", platform, "toy", "--roster", str(path), "-o", str(out), *map(str, options)])
        told = capsys.readouterr().err.replace(str(tmp_path) + "/", "").splitlines()
        return status, out.read_bytes() if out.exists() else b"", told

    return run


def rows(data: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter))


# --- Canvas -----------------------------------------------------------------------------------------------------------


def test_canvas_gets_its_own_columns_and_only_grades(export):
    status, data, told = export("canvas", CANVAS)
    assert data.decode() == (
        "Student,ID,SIS User ID,SIS Login ID,Section,toy (881)\n"
        ",,,,,\n"
        "    Points Possible,,,,,8.50\n"
        '"Lovelace, Ada ""the first""",101,s1,ada,L1,7.62\n'
        '"Bäcker, Bob",102,s2,bob@example.org,L1,3.15\n'
    )
    assert told == [
        "autograder: not in the file: eve: waits for manual grading (`autograder questions`, formgrader, or --partial)",
        "autograder: not in the file: ivy: not graded yet",
        "autograder: not in the file: mia: excused by the platform",
        "autograder: not in the file: Student, Test 106: not in the gradebook",
    ]
    assert status == 0


def test_what_a_ta_has_not_graded_yet_is_exported_when_asked(export):
    data = export("canvas", CANVAS, "--partial")[1]
    assert {row[3]: row[5] for row in rows(data)[3:]} == {"ada": "7.62", "bob@example.org": "3.15", "eve": "5.5"}


def test_students_are_found_by_the_column_that_knows_most_or_by_the_one_named(export):
    swapped = CANVAS.replace(",s1,ada,", ",ada,x1,").replace(",s3,eve,", ",eve,x3,").replace(",s5,mia,", ",mia,x5,")
    assert [row[0] for row in rows(export("canvas", swapped)[1])[3:]] == ['Lovelace, Ada "the first"']
    status, data, told = export("canvas", swapped, "--by", "SIS Login ID")
    assert [row[0] for row in rows(data)[3:]] == ["Bäcker, Bob"]
    assert status == 1 and "autograder: graded, but not in the column 'SIS Login ID' of roster.csv: ada" in told


def test_semicolons_windows_lines_and_a_bom_stay(export):
    text = "\ufeff" + CANVAS.replace(",", ";").replace("\n", "\r\n").replace("Lovelace;", "Lovelace,")
    data = export("canvas", text)[1]
    assert data.startswith(b"\xef\xbb\xbfStudent;ID") and data.count(b"\r\n") == data.count(b"\n") == 5
    assert rows(data, ";")[3][5] == "7.62"


def test_another_maximum_is_said(export):
    status, _, told = export("canvas", CANVAS.replace("8.50", "10.00"))
    assert status == 1
    assert "autograder: roster.csv: 'toy (881)' is worth 10.00 points there and 8.5 here: set it there first" in told


# --- Moodle -----------------------------------------------------------------------------------------------------------


def test_moodles_worksheet(export):
    status, data, told = export("moodle", WORKSHEET)
    header, *body = rows(data)
    assert header == [
        *("Identifier", "Full name", "ID number", "Email address", "Grade", "Maximum Grade", "Last modified (grade)")
    ]
    assert body == [
        ["Participant 11", "Ada Lovelace", "101", "ada@example.org", "7.62", "8.50", "'-"],
        ["Participant 12", "Bob Bäcker", "102", "bob@example.org", "3.15", "8.50", "Monday, 2 March 2026, 9:00 AM"],
    ]
    assert told[0].startswith("autograder: not in the file: eve@example.org: waits for manual grading")
    assert status == 1 and told[1:] == ["autograder: graded, but not in the column 'Email address' of roster.csv: mia"]


def test_moodles_gradebook_and_no_formula(export):
    data = export("moodle", GRADES)[1]
    assert rows(data) == [
        [
            *("First name", "Last name", "ID number", "Email address", "Assignment: toy (Real)"),
            "Last downloaded from this course",
        ],
        ["Ada", "Lovelace", "101", "ADA@example.org", "7.62", "1774000000"],
        ["'=1+1", "Bäcker", "102", "bob@example.org", "3.15", "1774000000"],
    ]


def test_an_id_that_a_spreadsheet_would_compute_is_left_to_the_ta(export, graded):
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_student("mia", email="=1+2@example.org")
    line = "Mia,Moe,105,,=1+2@example.org,-,-,1774000000\n"
    try:
        status, data, told = export("moodle", GRADES + line)
    finally:
        with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as gradebook:
            gradebook.update_or_create_student("mia", email=None)
    assert b"=1+2" not in data
    assert any(line.endswith("begins like a spreadsheet's formula; enter the grade by hand") for line in told)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roster", "options", "words"),
    [
        (b"\xff\xfeS\0", (), "roster.csv is not UTF-8: export it again as CSV, and do not save it in a spreadsheet"),
        ("", (), "roster.csv has no columns: give the CSV file that the platform exported"),
        ('a,b\n"x', (), "roster.csv is not a CSV file (unexpected end of data): export it again"),
        ("ID,ID,toy\n", (), "roster.csv has two columns called 'ID': give the CSV file that the platform exported"),
        (
            "Student,ID,Section,other (1)\n",
            (),
            "roster.csv: no column for 'toy': create the assignment and export again, or name the column with --column: "
            "'Student', 'ID', 'Section', 'other (1)'",
        ),
        (
            CANVAS.replace("Week 7 (880)", "toy (880)"),
            (),
            "roster.csv: two columns for 'toy': create the assignment and export again, or name the column with "
            "--column: 'Student', 'ID', 'SIS User ID', 'SIS Login ID', 'Section', 'toy (880)', 'toy (881)', "
            "'Current Score', 'Final Score'",
        ),
        (
            "Name,toy\nada,\n",
            (),
            "roster.csv has no column that tells who a student is: name it with --by: 'Name', 'toy'",
        ),
        ("Name,toy\nada,\n", ("--by", "Nam"), "roster.csv has no column 'Nam': name it with --by: 'Name', 'toy'"),
        ("Name,toy\nada,\nADA,\n", ("--by", "Name"), "roster.csv: 'ADA' is in two rows of the column 'Name': leave the "
                                                    "right one"),
    ],
)  # fmt: skip
def test_a_wrong_roster_is_one_line_and_writes_nothing(export, roster, options, words):
    assert export("canvas", roster, *options) == (2, b"", [f"autograder: {words}"])


def test_a_file_that_is_not_there(graded, monkeypatch, capsys):
    monkeypatch.chdir(graded)
    assert cli.main(["export", "canvas", "toy", "--roster", "gone.csv"]) == 2
    assert capsys.readouterr().err == (
        "autograder: gone.csv: No such file or directory: name the file that the platform exported\n"
    )
    assert cli.main(["export", "canvas", "toy", "--roster", "gone.csv", "-o", "gone.csv"]) == 2
    assert "is the roster itself: name another file with -o" in capsys.readouterr().err


def test_two_students_of_one_name_are_not_guessed(export, graded):
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as gradebook:
        gradebook.update_or_create_student("kim", lms_user_id="ADA")
    try:
        status, data, told = export("canvas", CANVAS)
    finally:
        with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as gradebook:
            gradebook.update_or_create_student("kim", lms_user_id=None)
    assert (status, data) == (2, b"") and "the gradebook has the students 'ada' and 'kim' under one name" in told[0]


def test_without_a_gradebook_or_an_assignment(tmp_path, monkeypatch, capsys):
    root = write_course(tmp_path / "course")
    (root / "roster.csv").write_text(CANVAS)
    monkeypatch.chdir(root)
    command = ["export", "canvas", "toy", "--roster", "roster.csv"]
    assert cli.main(command) == 2
    assert capsys.readouterr().err.startswith("autograder: there is no gradebook yet (")
    assert not (root / "gradebook.db").exists()
    Gradebook(f"sqlite:///{root / 'gradebook.db'}").close()
    assert cli.main(command) == 2
    assert capsys.readouterr().err == (
        "autograder: the gradebook does not know toy: run `nbgrader generate_assignment toy`\n"
    )


def test_a_penalty_that_the_policy_no_longer_gives_is_said(export, graded):
    (graded / POLICY).write_text("penalty_per_day = 20")
    try:
        status, _, told = export("canvas", CANVAS)
    finally:
        (graded / POLICY).unlink()
    assert status == 1 and told[-1] == (
        "autograder: bob: 0.85 points are taken off for lateness, by late_policy.toml it is 1.7: run `nbgrader "
        "autograde toy --student=bob --force`"
    )


def test_nbgraders_own_csv_has_the_same_scores(graded, tmp_path):
    out = tmp_path / "plain.csv"
    run = [sys.executable, "-m", "nbgrader", "export", "--to", str(out)]
    subprocess.run(run, cwd=graded, check=True, capture_output=True)
    scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(out.open())}
    assert (scores["ada"], scores["bob"]) == (7.625, pytest.approx(3.15))
