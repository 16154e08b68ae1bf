"""nbgrader's own commands on a course: what they print, and what is then in folders and gradebook."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from browser import free_port
from conftest import needs_walls
from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook
from toy_course import RIGHT, SOURCE, notebook, write_course

from autograder import cli
from autograder.classes.grade import write_result
from autograder.course.course import Course
from autograder.course.notebooks import make_notebook
from autograder.course.source import read_source
from autograder.gradebook.preprocessors import ShowRubrics, prepare
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result

pytestmark = [needs_walls, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"), pytest.mark.long]

CONFIG = Path(__file__).parents[2] / "nbgrader_config.py"
PLOT = """
# %% role="plot" name="line" points=3
picture = "a line"
### BEGIN SOLUTION
# *Rubric.* One point for each axis that has a label.
### END SOLUTION
"""
RUBRICS = ("Because their sum need not be", "One point for each axis")
SECRETS = ("the secret question", "the secret advice", "the secret list")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG, "text/html": "<b>mine</b>"}}
WIDGET = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<script>steal()</script>"}}
WARNING = {"output_type": "stream", "name": "stderr", "text": "UserWarning: slow\n"}
ANSWER = "A half is no whole number."
SQUARE = "def double(x):\n    return x * x"
GRADED = ("exercise-arithmetic", "exercise-averages", "question-why", "plot-line")
STUDENT = getpass.getuser()
TOKEN = "known-to-the-test"
THIEF = """import sqlite3
def double(x):
    try:
        with sqlite3.connect({path!r}) as book:
            book.execute("UPDATE grade SET extra_credit = 100, auto_score = 100")
    except Exception:
        pass
    return x + x"""


def run(root: Path, *command: object, status: int = 0) -> str:
    """What a command prints, run in a course without the environment's bin on the PATH, as its full path is typed."""
    program = Path(sysconfig.get_path("scripts")) / command[0]
    environment = {**os.environ, "PATH": os.defpath}
    done = subprocess.run(
        [program, *map(str, command[1:])], cwd=root, capture_output=True, text=True, timeout=300, env=environment
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def released(root: Path) -> dict:
    return nbformat.read(root / "release" / "toys" / "toys.ipynb", as_version=4)


def handed_in(root: Path, answer: str = ANSWER, **functions: str) -> dict:
    """The released notebook, solved (with other texts for some functions) and run."""
    content = released(root)
    for cell in content.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = (RIGHT | functions).get(name, cell.source.replace("*Your answer here.*", answer))
        if name == "plot-line":
            cell.outputs = [nbformat.from_dict(output) for output in (PICTURE, WIDGET, WARNING)]
    return content


def hand_in(root: Path, student: str, content: dict | bytes, name: str = "toys.ipynb") -> Path:
    path = root / "submitted" / student / "toys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())
    (path.parent / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    return path


def grades(root: Path) -> dict[str, dict[str, tuple]]:
    """All that the gradebook says of each student: automatic and manual score, extra credit, whether a TA is needed."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "deep-learning-for-visual-computing") as book:
        return {
            submission.student.id: {
                **{g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade) for g in part.grades},
                **{f"{c.name}, comment": (c.auto_comment, c.manual_comment) for c in part.comments},
                "handed in": submission.timestamp,
            }
            for submission in book.find_assignment("toys").submissions
            for part in submission.notebooks
        }


def shown(root: Path, student: str) -> nbformat.NotebookNode:
    return nbformat.read(root / "autograded" / student / "toys" / "toys.ipynb", as_version=4)


def cell_of(content: nbformat.NotebookNode, grade_id: str) -> nbformat.NotebookNode:
    (cell,) = [cell for cell in content.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id]
    return cell


# --- a week, as it is typed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def week(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A course after a week, and what each command printed."""
    root = write_course(tmp_path_factory.mktemp("week"), "toys", source=SOURCE + PLOT)
    shutil.copy(CONFIG, root)
    exchange = f"--Exchange.root={root / 'exchange'}"
    said = {}
    (root / "roster.csv").write_text(f"id,first_name\nada,Ada\nbob,Bob\n{STUDENT},Me\n")
    said["import"] = run(root, "nbgrader", "db", "student", "import", "roster.csv")
    said["generate"] = run(root, "nbgrader", "generate_assignment", "toys")
    said["release"] = run(root, "nbgrader", "release_assignment", "toys", exchange)

    home = root / "home"
    home.mkdir()
    shutil.copy(CONFIG, home / "nbgrader_config.py")
    (home / "nbgrader_config.py").write_text(
        'get_config().CourseDirectory.course_id = "deep-learning-for-visual-computing"'
    )
    (home / "toys").mkdir()
    nbformat.write(handed_in(root), home / "toys" / "toys.ipynb")
    said["submit"] = run(home, "nbgrader", "submit", "toys", exchange, f"--Exchange.cache={home / 'cache'}")
    said["collect"] = run(root, "nbgrader", "collect", "toys", exchange)

    archive = root / "downloaded" / "toys" / "archive"
    archive.mkdir(parents=True)
    for student, functions in (("ada", {}), ("bob", {"double": SQUARE})):
        content = nbformat.writes(handed_in(root, **functions))
        (archive / f"{student}_12_assignsubmission_file_toys.ipynb").write_text(content)
    said["zip_collect"] = run(root, "nbgrader", "zip_collect", "toys", "--force")

    hand_in(root, "kim", b"{not a notebook")
    hand_in(root, "thief", handed_in(root, double=THIEF.format(path=str(root / "gradebook.db"))))
    hand_in(root, "a+b c. (é)", handed_in(root), name="homework.ipynb")
    hand_in(root, "[x]*", notebook(*RIGHT.values()))
    said["autograde"] = run(root, "nbgrader", "autograde", "toys")
    said["feedback"] = run(root, "nbgrader", "generate_feedback", "toys")
    said["release_feedback"] = run(root, "nbgrader", "release_feedback", "toys", exchange)
    said["export"] = run(root, "nbgrader", "export")
    return root, said


class TestWeek:
    def test_generate_assignment_makes_what_autograder_release_makes(self, week):
        root, said = week
        assert "are what the sources make, and nothing leaks" in run(root, "autograder", "release", "--check")
        assert "made release/toys/ and solutions/toys/" in said["generate"]

    def test_the_release_reaches_students_whole(self, week):
        root, _ = week
        outbound = root / "exchange" / "deep-learning-for-visual-computing" / "outbound" / "toys"
        names = {str(path.relative_to(outbound)) for path in outbound.rglob("*") if path.is_file()}
        assert {"toys.ipynb", "checks/test_public.py", "checks/reference.safetensors"} <= names
        assert names == {
            str(path.relative_to(root / "release" / "toys"))
            for path in (root / "release" / "toys").rglob("*")
            if path.is_file()
        }

    def test_submissions_come_by_the_exchange_and_by_download(self, week):
        root, _ = week
        for student in (STUDENT, "ada", "bob"):
            assert (root / "submitted" / student / "toys" / "toys.ipynb").is_file()

    def test_one_score_an_exercise_with_partial_credit(self, week):
        found = grades(week[0])
        assert found["ada"]["exercise-arithmetic"] == (4, None, None, False)
        assert found["bob"]["exercise-arithmetic"] == (2, None, None, False)
        assert found["bob"]["exercise-averages"] == found[STUDENT]["exercise-averages"] == (2.5, None, None, False)

    def test_questions_and_plots_wait_for_a_ta(self, week):
        found = grades(week[0])
        assert found["ada"]["question-why"] == found["ada"]["plot-line"] == (None, None, None, True)
        assert found["[x]*"]["question-why"] == found["[x]*"]["plot-line"] == (0, None, None, False)
        assert found["[x]*"]["question-why, comment"] == ("No response.", None)

    def test_every_name_is_graded(self, week):
        found = grades(week[0])
        for student in ("a+b c. (é)", "[x]*"):
            assert found[student]["exercise-arithmetic"] == (4, None, None, False)
            assert f"{week[0]}/submitted/{student}/toys/" in week[1]["autograde"].replace("\n", "")

    def test_a_bad_notebook_is_named_and_has_no_zero(self, week):
        root, said = week
        assert "kim: refused: " in said["autograde"] and "save it again as .ipynb" in said["autograde"]
        assert grades(root)["kim"]["exercise-arithmetic"] == (None, None, None, False)  # waits for nobody
        assert "**Not graded.** toys.ipynb is not a notebook" in shown(root, "kim").cells[0].source

    def test_names_that_the_roster_does_not_have_are_said(self, week):
        assert "thief is not in the gradebook's list of students" in week[1]["autograde"]
        assert "ada is not in" not in week[1]["autograde"]

    def test_extra_credit_is_not_for_submissions_to_set(self, week):
        scores = {name: scores for name, scores in grades(week[0])["thief"].items() if name in GRADED}
        assert {extra for _, _, extra, _ in scores.values()} == {None}
        assert scores["exercise-arithmetic"] == (4, None, None, False)

    def test_our_report_is_the_grade_cell_s_output(self, week):
        (report,) = cell_of(shown(week[0], "bob"), "exercise-arithmetic").outputs
        assert (
            "double: 0 / 2 points" in report.data["text/plain"]
            and "quadruple: 2 / 2 points" in report.data["text/plain"]
        )
        assert "You multiply the number by itself" in report.data["text/html"]
        assert "Doubles large numbers too." in report.data["text/html"]

    def test_the_student_s_outputs_are_kept_and_said_to_be_theirs(self, week):
        outputs = cell_of(shown(week[0], "ada"), "plot-line").outputs
        assert [dict(output.data) for output in outputs] == [
            {"text/plain": "The student's own output, as handed in:"},
            {"image/png": PNG},
            {"text/plain": "UserWarning: slow\n"},
        ]

    @pytest.mark.parametrize("folder", ["autograded", "feedback", "exchange", "release"])
    def test_no_hidden_check_and_no_rubric_is_in_a_file_for_students(self, week, folder):
        pages = [path for path in (week[0] / folder).rglob("*") if path.suffix in (".ipynb", ".html", ".py", ".json")]
        assert pages
        for path in pages:
            text = path.read_text()
            assert not any(secret in text for secret in (*SECRETS, *RUBRICS)), path

    def test_there_is_one_feedback_page_with_the_report_the_sum_and_what_waits(self, week):
        root, _ = week
        page = (root / "feedback" / "bob" / "toys" / "toys.html").read_text()
        assert page == (root / "grades" / "toys" / "feedback" / "bob.html").read_text()
        assert "4.5 <span>/ 11.5 points so far</span><small>5 more by a teaching assistant, pending" in page
        assert "You multiply the number by itself" in page
        assert "steal()" not in page and "<b>mine</b>" not in page

    def test_who_cannot_be_served_by_the_exchange_keeps_nobody_else_from_it(self, week):
        root, said = week
        assert "bob: not released, for want of timestamp.txt and submission_secret.txt" in said["release_feedback"]
        assert f"Releasing feedback for student '{STUDENT}'" in said["release_feedback"]
        assert list((root / "exchange" / "deep-learning-for-visual-computing" / "feedback").glob("*.html"))

    def test_export(self, week):
        rows = (week[0] / "grades.csv").read_text().splitlines()
        (bob,) = [row for row in rows if ",bob," in row]
        assert ",4.5," in bob and bob.endswith(",11.5")

    def test_the_grades_folder_is_written_too(self, week):
        assert json.loads((week[0] / "grades" / "toys" / "results" / "bob.json").read_text())["score"] == 4.5

    def test_validate_fails_where_a_check_does(self, week):
        root, _ = week
        assert "VALIDATION FAILED ON 2 CELL(S)" in run(root, "nbgrader", "validate", "release/toys/toys.ipynb")

    def test_autograder_grade_gives_an_equal_gradebook(self, week, tmp_path, shared, monkeypatch, capsys):
        twin = copied(week[0], tmp_path)
        monkeypatch.chdir(twin)
        assert cli.main(["grade", "toys"]) == 1
        assert grades(twin) == grades(week[0])
        for path in (week[0] / "autograded").rglob("toys.ipynb"):
            assert path.read_text() == (twin / path.relative_to(week[0])).read_text()

        # a notebook that lies elsewhere is not entered, and a refused one takes nothing away
        (tmp_path / "ada.ipynb").write_bytes(notebook(SQUARE))
        assert cli.main(["grade", "toys", str(tmp_path / "ada.ipynb"), "--output", str(tmp_path / "out")]) == 0
        before = shown(twin, "ada")
        (twin / "submitted" / "ada" / "toys" / "toys.ipynb").write_bytes(b"{")
        assert cli.main(["grade", "toys"]) == 1
        assert grades(twin) == grades(week[0]) and shown(twin, "ada") == before

    def test_formgrader_grades_and_shows_the_rubrics(self, week):
        root, _ = week
        shutil.rmtree(root / "autograded" / "ada")
        with Gradebook(f"sqlite:///{root / 'gradebook.db'}", "deep-learning-for-visual-computing") as book:
            submission = book.find_submission_notebook("toys", "toys", "ada").id
        with formgrader(root) as address:
            answer = json.loads(asked(f"{address}/api/submission/toys/ada/autograde", b""))
            page = asked(f"{address}/submissions/{submission}/")
        assert answer["success"], answer
        assert all(rubric in page for rubric in RUBRICS) and "For graders only." in page
        assert "no more than that they failed" not in page  # ada's have passed
        assert (
            "double: 2 / 2 points" in cell_of(shown(root, "ada"), "exercise-arithmetic").outputs[0].data["text/plain"]
        )
        assert not any(
            rubric in path.read_text() for path in (root / "autograded").rglob("*.ipynb") for rubric in RUBRICS
        )

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
    def test_an_ended_run_is_finished_by_the_next(self, week, tmp_path, end):
        twin = copied(week[0], tmp_path)
        program = Path(sysconfig.get_path("scripts")) / "nbgrader"
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen([program, "autograde", "toys"], cwd=twin, stderr=said)
            wait_for(lambda: (twin / "autograded").is_dir())
            process.send_signal(end)
            process.wait()
        said = (tmp_path / "said").read_text()
        assert "Traceback" not in said and ("run the same command again" in said) == (end == signal.SIGINT)
        run(twin, "nbgrader", "autograde", "toys")
        assert grades(twin) == grades(week[0])


def test_a_module_that_is_still_being_written_stops_no_command(tmp_path):
    root = write_course(tmp_path, "toys")
    (root / "source" / "next_week").mkdir()
    prepare(root)
    assert [path.name for path in (root / ".autograder" / "source").iterdir()] == ["toys"]


def test_one_odd_name_or_file_costs_one_student(week, tmp_path):
    twin, solved = copied(week[0], tmp_path), handed_in(week[0])
    shutil.rmtree(twin / "submitted")
    hand_in(twin, "two names", solved, "toys (1).ipynb")
    hand_in(twin, "two names", handed_in(week[0], double=SQUARE), "b.ipynb")
    hand_in(twin, "stub", released(twin))
    hand_in(twin, "stub", solved, "toys (1).ipynb")
    for name in (os.fsdecode(b"m\xfcller"), "x" * 255, "__MACOSX"):
        hand_in(twin, name, solved)
    hand_in(twin, "page", b"<!DOCTYPE html>")
    (hand_in(twin, "flat", solved).parent).rename(_made(twin / "submitted" / "flat") / "toy")
    said = " ".join(run(twin, "nbgrader", "autograde", "toys").split())
    for words in (
        "two names: refused: ",
        "stub: graded toys (1).ipynb, since toys.ipynb is as it was released",
        "m\\xfcller: refused: ",
        "its name has 255 bytes",
        "page: refused: ",
        "there is no folder flat/toys/, but toy/: rename it",
    ):
        assert words in said
    found = grades(twin)
    assert set(found) == {"two names", "stub", "page", "flat"} and found["stub"]["exercise-arithmetic"][0] == 4
    said = run(twin, "nbgrader", "autograde", "toys", "--student=flat")  # nothing else that nbgrader would find
    assert "rename it" in said and "nobody" not in grades(twin)
    assert "No notebooks were matched by" in run(twin, "nbgrader", "autograde", "toys", "--student=nobody", status=1)


def copied(root: Path, tmp_path: Path) -> Path:
    """The course as it was before anything was graded, with the same seed and roster."""
    twin = tmp_path / "twin"
    for name in ("source", "tests", "release", "solutions", "submitted", "nbgrader_config.py", "roster.csv"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, _made(twin) / name)
    shutil.copy(root / "grades" / "toys" / "seed", _made(twin / "grades" / "toys") / "seed")
    return twin


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def asked(address: str, posted: bytes | None = None) -> str:
    request = urllib.request.Request(address, posted, {"Authorization": f"token {TOKEN}"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read().decode()


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@contextlib.contextmanager
def formgrader(root: Path) -> Iterator[str]:
    """The address of formgrader, on a Jupyter server of its own that reads none of the user's settings."""
    port = free_port()
    program = Path(sysconfig.get_path("scripts")) / "jupyter-server"
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": TOKEN,
        "ServerApp.jpserver_extensions": "{'nbgrader.server_extensions.formgrader': True}",
    }
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(root / "settings"), "JUPYTER_DATA_DIR": str(root / "data")}
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=root, stderr=log, env=environment)

    def listens() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        assert server.poll() is None, (root / "server.log").read_text()
        return False

    try:
        wait_for(listens)
        yield f"http://127.0.0.1:{port}/formgrader"
    finally:
        server.terminate()
        server.wait()


STATES = ("failed", "crashed", "timed out", "out of memory", "missing", "not graded")


def test_a_ta_alone_is_told_how_hidden_checks_ended_and_what_they_say(tmp_path):
    root = write_course(tmp_path, "toys")
    said = "</pre><script>alert(1)</script>\u2028# secret"
    verdicts = [Verdict(f"test_{n}", "double", "t", False, state, 0, 1, said) for n, state in enumerate(STATES)]
    verdicts.append(Verdict("test_p", "double", "t", False, "passed", 1, 1, "well"))
    verdicts.append(Verdict("q", "double", "t", True, "failed", 0, 1))
    graded = Graded(tuple(verdicts), ())
    result = Result("ada", "toys", "graded", 8.0, graded=graded)
    write_result(result, {"arithmetic": ["double"]}, root / "grades" / "toys")
    module = Course(root).module("toys")
    cells = read_source(module.source)
    about = {"metadata": {"path": str(root)}, "assignment_id": "toys", "student": "ada"}

    def page(**more: str) -> str:
        notebook = make_notebook(cells, [cell.stub for cell in cells], {"arithmetic": 4.0, "averages": 2.5})
        shown, _ = ShowRubrics().preprocess(notebook, about | more)
        return HTMLExporter().from_notebook_node(shown)[0]

    for_ta = page(submission_id="1")
    assert [state for n, state in enumerate(STATES) if f"<code>test_{n}</code>: {state}" in for_ta] == list(STATES)
    assert "# secret" in for_ta and "<script>alert" not in for_ta and "test_p" not in for_ta and "<code>q<" not in for_ta
    assert "secret" not in page()
    assert "secret" not in (root / "grades" / "toys" / "feedback" / "ada.html").read_text()
