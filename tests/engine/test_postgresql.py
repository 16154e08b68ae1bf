"""The gradebook on PostgreSQL: the same content as on SQLite, and nbgrader's own commands on it, with one setting."""

import csv
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import conftest
import nbformat
import pytest
from gradebooks import add_assignment, add_grades
from nbgrader.api import Gradebook
from toy_course import write_course

from autograder import cli

pytestmark = pytest.mark.long

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="module")
def server():
    """A real server in a folder of its own, on a socket there; PostgreSQL refuses to run as root. Gives the folder."""
    conftest.needs("postgresql", PROGRAMS)
    account = {}
    if os.getuid() == 0:
        name = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
        account = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's own folders are root's alone, and too long for a socket
    if account:
        shutil.chown(folder, name)

    def run(program: str, *arguments: str) -> None:
        command = [PROGRAMS[-1].with_name(program), "-D", folder / "data", *arguments]
        log = (folder / f"{program}.log").open("w")  # a pipe would stay open for as long as the server runs
        subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=True, timeout=120, **account)

    try:
        run("initdb", "--auth=trust", "--username=ta", "--encoding=UTF8", "--no-locale", "--no-sync")
        run("pg_ctl", "start", "--wait", "-o", f"-c listen_addresses='' -c fsync=off -k {folder}")
        try:
            yield folder
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def url(server, request) -> str:
    """The URL of an empty database."""
    name = request.node.name.lower()
    subprocess.run([PROGRAMS[-1].with_name("createdb"), "-h", server, "-U", "ta", name], check=True)
    return f"postgresql+psycopg://ta@/{name}?host={server}"


def content(url: str) -> list:
    """What a class of three leaves in the gradebook, as nbgrader's own queries give it."""
    with Gradebook(url, "course") as gradebook:
        add_assignment(gradebook, duedate="2026-03-01 12:00:00 UTC")
        add_grades(gradebook, "ada", 4, 2.5, None, first_name="Ada", last_name="Bäcker \N{SNOWMAN}")
        add_grades(gradebook, "o'brien; --", 0, 1.25, 2, timestamp="2026-03-02 12:00:00+0100", email="o@example.org")
        add_grades(gradebook, "new", None, None, None)
        gradebook.grant_extension("toy", "ada", days=1)
        gradebook.find_comment("why", "toy", "toy", "ada").manual_comment = "Look at `mean` ✓"
        grade = gradebook.find_grade("why", "toy", "toy", "ada")
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 1.5, 0.5, False
        gradebook.find_submission_notebook("toy", "toy", "o'brien; --").late_submission_penalty = 0.75
        gradebook.db.commit()
    with Gradebook(url, "course") as gradebook:
        late = gradebook.find_submission("toy", "o'brien; --")
        found = [
            gradebook.student_dicts(),
            gradebook.submission_dicts("toy"),
            gradebook.notebook_submission_dicts("toy", "toy"),
            [(s.student_id, s.needs_manual_grade) for s in gradebook.assignment_submissions("toy")],
        ]
        plain = [sorted(({**row, "id": ""} if "student" in row else row).items()) for rows in found[:3] for row in rows]
        return [
            *sorted(map(str, plain)),
            *sorted(found[3]),
            (late.total_seconds_late, late.late_submission_penalty, gradebook.average_assignment_score("toy")),
            gradebook.find_comment("why", "toy", "toy", "ada").comment,
        ]


def test_the_gradebook_is_the_same_as_on_sqlite(url, tmp_path):
    on_postgresql, on_sqlite = content(url), content(f"sqlite:///{tmp_path / 'gradebook.db'}")
    assert on_postgresql == on_sqlite and on_sqlite[-1] == "Look at `mean` ✓"


@pytest.mark.parametrize(("strict", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_what_is_missing_is_a_clear_skip_and_in_ci_a_failure(monkeypatch, strict, outcome):
    monkeypatch.setattr(conftest, "NO_SKIPS", strict)
    with pytest.raises(outcome, match="needs the system package postgresql: apt-get install postgresql"):
        conftest.needs("postgresql", [])
    conftest.needs("postgresql", ["initdb"])


def cell(name: str, source: str, **about: object) -> dict:
    about = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3} | about
    kind = nbformat.v4.new_markdown_cell if about.pop("markdown", False) else nbformat.v4.new_code_cell
    return kind(source, metadata={"nbgrader": {"grade_id": name, **about}})


@pytest.fixture
def course(url, tmp_path) -> Path:
    """A course of nbgrader's own kind, with the gradebook's URL."""
    root = write_course(tmp_path / "course")
    settings = {"course_id": "course", "db_url": url}  # without a course, PostgreSQL refuses an assignment
    lines = ["c = get_config()", *(f"c.CourseDirectory.{name} = {value!r}" for name, value in settings.items())]
    (root / "nbgrader_config.py").write_text("\n".join(lines))
    cells = [
        cell("double", "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION", solution=True),
        cell("checks", "1.5 if double(2) == 4 else 0.5", grade=True, locked=True, points=2),
        cell("why", "the model answer", grade=True, solution=True, points=3, markdown=True),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "source" / "toy" / "toy.ipynb")
    return root


def nbgrader(course: Path, *arguments: object) -> str:
    """Runs one of nbgrader's commands as a TA does; gives what it says."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # nbgrader calls alembic
    run = [sys.executable, "-m", "nbgrader", *map(str, arguments)]
    done = subprocess.run(run, cwd=course, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def test_nbgraders_commands_work_with_one_setting(course, url, monkeypatch, capsys):
    nbgrader(course, "generate_assignment", "toy")
    shutil.copytree(course / "release" / "toy", course / "submitted" / "ada" / "toy")
    source = course / "submitted" / "ada" / "toy" / "toy.ipynb"
    source.write_text(source.read_text().replace("YOUR ANSWER HERE", "because"))
    nbgrader(course, "db", "student", "add", "ada", "--email=ada@example.org")
    nbgrader(course, "autograde", "toy")
    assert not (course / "gradebook.db").exists()
    with Gradebook(url, "course") as gradebook:
        assert gradebook.find_grade("checks", "toy", "toy", "ada").auto_score == 0  # the released stub raises
        grade = gradebook.find_grade("why", "toy", "toy", "ada")
        assert grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = 2.5, False  # as formgrader does
        gradebook.db.commit()
    source.write_text(source.read_text().replace("raise NotImplementedError()", "return 2 * x"))
    nbgrader(course, "autograde", "toy", "--force")
    nbgrader(course, "export", "--to", course / "grades.csv")
    (row,) = csv.DictReader((course / "grades.csv").open())
    assert (row["email"], row["score"], row["max_score"]) == ("ada@example.org", "4.0", "5.0")
    assert "PostgresqlImpl" in nbgrader(course, "db", "upgrade")

    (course / "canvas.csv").write_text(
        "Student,ID,SIS Login ID,Section,toy (7)\n    Points Possible,,,,5\nA,1,ada,S,\n"
    )
    monkeypatch.chdir(course)
    with Gradebook(url, "course") as gradebook:  # the regrade asks for a new look at the answer
        gradebook.find_grade("why", "toy", "toy", "ada").needs_manual_grade = False
        gradebook.db.commit()
    assert cli.main(["export", "canvas", "toy", "--roster", "canvas.csv", "-o", "out.csv"]) == 0
    assert (course / "out.csv").read_text().splitlines()[-1] == "A,1,ada,S,4"


def test_a_server_that_is_not_there_is_one_line(course, server, monkeypatch, capsys):
    config = course / "nbgrader_config.py"
    config.write_text(config.read_text().replace("ta@/", "ta:secret@/").replace(str(server), "/nowhere"))
    (course / "canvas.csv").write_text("Student,ID,toy\nA,1,\n")
    monkeypatch.chdir(course)
    assert cli.main(["export", "canvas", "toy", "--roster", "canvas.csv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autograder: the gradebook postgresql+psycopg://ta:***@/")
    assert "its server, is there" in line and "secret" not in line
