"""docs/for-tas.md, run: its commands in their order on a class of five, and every line that it shows is one they print.

The class is the page's: ada is right, fatima and lena each make a mistake of the catalogue, oskar's file is cut off, quinn
is not in the list of students and has half of the notebook, goran comes 28 hours late. What the page tells between two
commands (files are put somewhere, points are given, a check is mended) is done in `BEFORE`, by the command that follows.
"""

import contextlib
import csv
import io
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from conftest import needs_walls
from nbgrader.api import Gradebook
from toy_course import write_course

from autograder.course.course import Course
from autograder.course.notebooks import make_notebook
from autograder.course.source import ANSWER_HERE
from autograder.defaults import VERIFY_SEED
from autograder.errors import CourseError
from autograder.gradebook import preprocessors
from autograder.grading.contents import Contents

pytestmark = [needs_walls, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"), pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "for-tas.md").read_text(encoding="utf-8")
WEEK = "week08_densenet"

# What commands of the page begin with that are not run here, each with the reason.
NOT_RUN = {
    "export CANVAS_API_URL": "a shell's own; see the next",
    "autograder canvas": "needs a Canvas; tests/engine/test_canvas.py has a server that answers as one",
    "autograder repeated": "needs a graded week before this one; tests/engine/test_again.py has some",
    f"autograder similar {WEEK}": "needs copydetect, and copies in a larger class; tests/engine/test_similar.py has them",
    f"autograder train {WEEK} --data data/ --claim submitted/*/{WEEK}/claim.safetensors": "needs the whole CIFAR-10, and a "
    "minute a claim; tests/engine/test_claims.py has a class of claims",
}
# Commands whose exit status the page says to be another than 0, or that name something to be looked at.
STATUS = {
    "autograder collect": 1,
    f"autograder grade {WEEK}": 1,
    "autograder feedback": 1,
    "autograder export canvas": 1,
    "autograder export moodle": 1,
}
# What the page shows of one machine, and what another says in its place.
ELSEWHERE = {
    "memory is counted by the kernel: a control group for every worker": "memory is counted by the worker, …",
}


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A command of the page, without its comment, and the lines that the page shows below it."""

    section: str
    typed: str
    shown: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.section}: {self.typed}"


def without_comment(line: str) -> str:
    return re.sub(r"\s+# .*", "", line).strip()


def blocks(page: str, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Each fenced block of a kind with the heading above it."""
    for part in re.split(r"^## ", page, flags=re.M):
        for its_kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", part, re.M | re.S):
            if its_kind == kind:
                yield part.splitlines()[0], text.splitlines()


def steps(page: str) -> list[Step]:
    found = []
    for section, lines in blocks(page, ""):
        assert lines[0].startswith("$ "), f"{section}: a block without a language begins with a command: {lines[0]}"
        starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            shown = tuple(line for line in lines[start + 1 : end] if line.strip("… "))
            found.append(Step(section, without_comment(lines[start].removeprefix("$ ")), shown))
    return found


STEPS = steps(PAGE)
TYPED = [without_comment(line) for _, lines in blocks(PAGE, "sh") for line in lines]


def is_left_out(typed: str) -> bool:
    return typed.startswith(tuple(NOT_RUN))


def first_unsaid(shown: tuple[str, ...], said: str) -> str | None:
    """The first line of the page that is no line of what was said, in the page's order; `…` stands for anything."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for line in shown:
        forms = [" ".join(form.split()) for form in (line, ELSEWHERE.get(line, line))]
        wanted = re.compile("|".join(".*".join(map(re.escape, form.split("…"))) for form in forms))
        if not any(wanted.fullmatch(each) for each in lines):
            return line
    return None


# --- a terminal -------------------------------------------------------------------------------------------------------


def in_terminal(folder: str, words: list[str], settings: dict[str, str], out: str) -> None:
    """In a process of its own: a command of the page in `folder`, which leaves what it says in `out`."""
    os.chdir(folder)
    os.environ |= settings
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests themselves run in a shell's background
    with open(out, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = words
    if words[0] == "autograder":
        from autograder.cli import main

        sys.exit(main(words[1:]))
    elif words[0] == "nbgrader":
        from nbgrader.apps.nbgraderapp import main

        try:
            main()
        except Exception:  # as a Python of its own ends: with what nbgrader's settings make of a traceback
            sys.excepthook(*sys.exc_info())
            sys.exit(1)
    else:
        sys.exit(subprocess.call(words))


class Terminal:
    """Runs commands in the course, each in a process of its own that has the packages imported already."""

    def __init__(self, root: Path, home: Path):
        self.root, self.home, self.count = root, home, 0
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(
            ["autograder.cli", "autograder.classes.grade", "autograder.gradebook.preprocessors", "nbgrader.apps.nbgraderapp"]
        )
        # wide enough for every table; the browser that is opened is a command that does nothing
        self.settings = {"COLUMNS": "200", "HOME": str(home), "BROWSER": "true", "OMP_NUM_THREADS": "1"}

    def start(self, typed: str, folder: Path) -> tuple[multiprocessing.Process, Path]:
        self.count += 1
        out = self.home / f"said-{self.count}"
        words = [word.replace("~/", f"{self.home}/", 1) if word.startswith("~/") else word for word in shlex.split(typed)]
        process = self.forks.Process(target=in_terminal, args=(str(folder), words, self.settings, str(out)))
        process.start()
        return process, out

    def run(self, typed: str, folder: Path | None = None) -> tuple[int, str]:
        """The exit status of a command, and what it said."""
        process, out = self.start(typed, folder or self.root)
        process.join(300)
        assert process.exitcode is not None, f"{typed}: not ended after 300 s: {out.read_text()}"
        return process.exitcode, out.read_text()


# --- the class, and what happens between two commands -----------------------------------------------------------------

ROSTER = """\
id,first_name,last_name,email
ada,Ada,Lovelace,ada@example.org
fatima,Fatima,Noor,fatima@example.org
goran,Goran,Ilic,goran@example.org
lena,Lena,Hart,lena@example.org
oskar,Oskar,Wild,oskar@example.org
"""
CANVAS = """\
Student,ID,SIS Login ID,Section,week08_densenet (881)
    Points Possible,,,,118
"Lovelace, Ada",12,ada,L1,
"Noor, Fatima",13,fatima,L1,
"Hart, Lena",14,lena,L1,
"Wild, Oskar",15,oskar,L1,
"Zed, Zoe",17,zed,L1,
"""
WORKSHEET = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed"
"Participant 11","Ada Lovelace",ada@example.org,"Submitted for grading - ",,118.00,Yes
"Participant 12","Fatima Noor",fatima@example.org,"Submitted for grading - ",,118.00,Yes
"Participant 14","Lena Hart",lena@example.org,"Submitted for grading - ",,118.00,Yes
"""
OTHERS = 'Student,ID,SIS Login ID,Section\n"Lovelace, Ada",12,ada,L1\n"Kim, Kim",3,kim,L1\n'
DOWNLOADED = {
    "ada": "lovelaceada_12_345_densenet-2.ipynb",
    "fatima": "noorfatima_13_346_densenet.ipynb",
    "lena": "hartlena_14_347_densenet.ipynb",
    "oskar": "wildoskar_15_348_densenet.ipynb",
    "quinn": "quinn_16_349_densenet.ipynb",
}
LEFT = "Ask me again"  # fatima's answer, which nobody marks
ANSWERS = dict.fromkeys(("ada", "lena", "quinn"), "Of fifty images, one is 2 %.") | {"fatima": LEFT}


def class_of_notebooks() -> dict[str, bytes]:
    """Each student's file. Of questions and plots, only the first question is answered, so that only that one waits."""
    contents = Contents(Course(ROOT).module(WEEK))
    mistakes = {entry.name: entry for entry in contents.mistakes}
    half = contents.functions[len(contents.functions) // 2 :]

    def notebook(student: str, *wrong: str, stubs: tuple[str, ...] = ()) -> bytes:
        entries, texts = {mistakes[name].of: mistakes[name] for name in wrong}, []
        for cell in contents.cells:
            function = cell.about.get("function")
            if function in entries:
                texts.append(f"{entries[function].text}\n\n\n{function} = {entries[function].name}")
            elif cell.about.get("name") == "oscillation" and student in ANSWERS:
                texts.append(cell.stub.replace(ANSWER_HERE, ANSWERS[student]))
            else:
                texts.append(cell.solution if function and function not in stubs else cell.stub)
        return nbformat.writes(make_notebook(contents.cells, texts, contents.points)).encode()

    made = {
        "ada": notebook("ada"),
        "fatima": notebook("fatima", "turns_the_patches_over"),
        "goran": notebook("goran", "turns_the_patches_over"),
        "lena": notebook("lena", "trains_twice_an_epoch"),
        "quinn": notebook("quinn", stubs=tuple(half)),
    }
    whole = made["lena"]
    return made | {"oskar": whole[: whole.index(b'"source"', len(whole) // 3) + 30]}  # ends within a string


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return data.getvalue()


class Class:
    """The course of the page, in which its commands are run; `log` is what each step ended with and said."""

    def __init__(self, folder: Path):
        self.root, self.files = folder / "course", class_of_notebooks()
        for name in ("source", "tests", "release", "solutions"):
            shutil.copytree(ROOT / name / WEEK, self.root / name / WEEK, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests" / "common", self.root / "tests" / "common")
        shutil.copy(ROOT / "course.toml", self.root)
        config = (ROOT / "nbgrader_config.py").read_text() + f"c.Exchange.root = {str(folder / 'exchange')!r}\n"
        write(self.root / "nbgrader_config.py", config)
        # the recordings and the seed of `autograder verify`, so that what has run there need not run here
        (ROOT / ".autograder" / "recordings").mkdir(parents=True, exist_ok=True)
        (self.root / ".autograder").mkdir()
        (self.root / ".autograder" / "recordings").symlink_to(ROOT / ".autograder" / "recordings")
        write(self.root / "grades" / WEEK / "seed", f"{VERIFY_SEED}\n")
        self.terminal = Terminal(self.root, folder / "home")
        self.terminal.home.mkdir()
        (folder / "exchange").mkdir()
        (folder / "exchange").chmod(0o777)  # nbgrader asks for that
        self.log: dict[Step, tuple[int, str]] = {}
        self.seen: dict[str, dict] = {}  # the gradebook's scores at some moments, for tests
        self.refusals = ""

    def run(self, step: Step) -> None:
        folder = self.root
        for begin, prepare in BEFORE.items():
            if step.typed.startswith(begin):
                folder = prepare(self) or folder
        if step.typed.startswith("autograder questions") and len(shlex.split(step.typed)) == 4:
            self.log[step] = self.run_page(step.typed)
        else:
            self.log[step] = self.terminal.run(step.typed, folder)

    def run_page(self, typed: str) -> tuple[int, str]:
        """The command that serves a question: three of the four who wait get a point there, then it is ended."""
        process, out = self.terminal.start(typed, self.root)
        end = time.monotonic() + 120
        while not (found := re.search(r"http://\S+\n", out.read_text() if out.exists() else "")):
            assert time.monotonic() < end and process.is_alive(), out.read_text()
            time.sleep(0.1)
        give_points(found[0].strip())
        self.seen["the page is open"] = self.scores("question-oscillation")
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        return process.exitcode, out.read_text()

    def scores(self, cell: str) -> dict[str, tuple]:
        """What nbgrader's gradebook says of a cell: score by the autograder, by a person, and whether it waits."""
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}", "deep-learning-for-visual-computing") as book:
            return {
                submission.student_id: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                for submission in book.find_assignment(WEEK).submissions
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.name == cell
            }

    def refused(self, *typed: str) -> None:
        """Keeps what commands say that cannot do what they are asked."""
        for each in typed:
            status, said = self.terminal.run(each)
            assert status, said
            self.refusals += said

    # --- what the page tells between two commands

    def import_students(self) -> None:
        write(self.root / "roster.csv", ROSTER)

    def download(self) -> None:
        self.refused("nbgrader autograde week08_densenet", "autograder grade week8")
        archive = self.root / "downloaded" / WEEK / "archive"
        for student, file in DOWNLOADED.items():
            write(archive / file, self.files[student])

    def another_class(self) -> Path:
        """Under Collect the page shows another class, of namesakes and a damaged zip."""
        other = self.root.parent / "another"
        for name in ("source", "tests", "release"):
            shutil.copytree(self.root / name, other / name)
        write(other / "canvas.csv", OTHERS)
        files = {
            "lovelaceada_12_345_densenet-2.ipynb": self.files["ada"],
            "doejane_LATE_123_456_densenet.ipynb": self.files["lena"],
            "doejane_223_556_densenet.ipynb": self.files["fatima"],
            "kim_3_4_densenet.zip": b"PK, and no more",
        }
        write(self.terminal.home / "Downloads" / "submissions.zip", zipped(files))
        return other

    def pack_adas(self) -> None:
        from autograder.students.handin import pack

        at_home = self.root.parent / "ada"
        shutil.copytree(self.root / "release" / WEEK, at_home)
        write(at_home / "densenet.ipynb", self.files["ada"])
        shutil.copy(pack(at_home / "densenet.ipynb")[1], self.root)

    def goran_comes_late(self) -> None:
        policy = next(lines for section, lines in blocks(PAGE, "toml") if section == "Late submissions")
        write(self.root / "late_policy.toml", "\n".join(policy[:-2]))  # "without the last two lines"
        write(self.root / "submitted" / "goran" / WEEK / "densenet.ipynb", self.files["goran"])
        write(self.root / "submitted" / "goran" / WEEK / "timestamp.txt", "2026-11-21 16:00:00 Europe/Berlin")

    def grade_goran_again(self) -> None:
        write(self.root / "canvas.csv", CANVAS)
        self.terminal.run(f"nbgrader autograde {WEEK} --student=goran")  # as `autograder extend` says

    def worksheet(self) -> None:
        write(self.root / "worksheet.csv", WORKSHEET)

    def stand_in_the_way(self) -> None:
        """What makes commands refuse, each for one command, and mended behind it."""
        book, source = self.root / "gradebook.db", self.root / "source" / WEEK / "densenet.py"
        with contextlib.closing(sqlite3.connect(book, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            self.refused(f"autograder questions {WEEK}")
            database.execute("ROLLBACK")
            (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            database.execute("UPDATE alembic_version SET version_num = '50a4d84c131a'")
            self.refused(f"autograder questions {WEEK}")
            database.execute("UPDATE alembic_version SET version_num = ?", [version])
        text = source.read_text()
        source.write_text(text.replace('name="oscillation"', 'name="waves"').replace("### Question 1:", "### First question:"))
        self.refused(f"autograder grade {WEEK}")
        source.write_text(text)
        self.refused("nbgrader export --to=no/such/folder.csv")

    def correct_the_check(self) -> None:
        """The check that the page's output names asks for no more than a picture from now on."""
        path = self.root / "tests" / WEEK / "test_hidden.py"
        before, name, after = path.read_text().partition("def test_patches_are_scaled_together(")
        strict, grids = 'same_patches(observed, expected, "colour", look)', 'grids_of_many_layers["grids"]["colour"]'
        lenient = f'same_pixels(expected.{grids}, expected.{grids}, "the picture", "")'
        lenient = f'require(observed.{grids} is not None, "the picture", "one", "none")\n    {lenient}'
        assert strict in after
        path.write_text(before + name + after.replace(strict, lenient, 1))


BEFORE: dict[str, Callable[[Class], Path | None]] = {
    "nbgrader db student import": Class.import_students,
    "nbgrader zip_collect": Class.download,
    "autograder collect": Class.another_class,
    "autograder receipt": Class.pack_adas,
    f"nbgrader autograde {WEEK} --student=goran": Class.goran_comes_late,
    "autograder export canvas": Class.grade_goran_again,
    "autograder export moodle": Class.worksheet,
    "nbgrader export": Class.stand_in_the_way,
    "autograder regrade": Class.correct_the_check,
}


def give_points(address: str) -> None:
    """On the page of one question: full points to every answer but the one that is left, as the browser asks for it."""
    where, token = urlsplit(address), parse_qs(urlsplit(address).query)["token"][0]

    def ask(path: str, **about: object) -> dict:
        data = json.dumps(about).encode() if about else None
        request = urllib.request.Request(f"http://{where.netloc}/{path}", data, {"X-Token": token})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    for each in ask("overview")["answers"]:
        answer = ask(f"answer?id={each['id']}")
        if each["waits"] and LEFT not in answer["html"]:
            ask("press", key=each["id"], version=answer["version"], number=1)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Class:
    """The page, run once from its beginning to its end."""
    course = Class(tmp_path_factory.mktemp("page"))
    for step in STEPS:
        if not is_left_out(step.typed):
            course.run(step)
    return course


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [step for step in STEPS if not is_left_out(step.typed)], ids=str)
def test_a_command_prints_what_the_page_shows(session, step):
    status, said = session.log[step]
    assert "Traceback" not in said, said
    assert status == next((number for begin, number in STATUS.items() if step.typed.startswith(begin)), 0), said
    line = first_unsaid(step.shown, said)
    assert line is None, f"docs/for-tas.md shows {line!r}, and `{step.typed}` printed\n{said}"


def test_every_command_of_the_week_in_five_lines_is_one_of_these():
    """With the options that are shown there, and perhaps more."""
    run = [step.typed for step in STEPS if not is_left_out(step.typed)]
    alone = [line for line in TYPED if not is_left_out(line) and not any(typed.startswith(line) for typed in run)]
    assert len(TYPED) >= 6 and alone == []


def test_what_is_not_run_is_on_the_page():
    typed = [*TYPED, *(step.typed for step in STEPS)]
    assert [begin for begin in NOT_RUN if not any(line.startswith(begin) for line in typed)] == []


@pytest.mark.parametrize(
    ("shown", "said", "unsaid"),
    [
        (("a …", "c"), "a long line\nb\nc\n", None),
        (("a  b",), " a b ", None),
        (("c", "a"), "a\nb\nc\n", "a"),  # in this order
        (("a",), "a, and more", "a"),  # whole lines
        (("a.c",), "abc", "a.c"),
    ],
)
def test_a_line_that_is_not_printed_is_found(shown, said, unsaid):
    assert first_unsaid(shown, said) == unsaid


REFUSALS = re.findall(r"^\| `(.*?)` \|", PAGE[PAGE.index("| it says | what to do |") :].split("\n\n")[0], re.M)
OF_A_SERVER = "source/… or tests/… has changed: restart the Jupyter server first"


@pytest.mark.parametrize("refusal", [each for each in REFUSALS if each != OF_A_SERVER])
def test_a_refusal_of_the_table_is_said(session, refusal):
    assert re.search(".*".join(map(re.escape, refusal.split("…"))), session.refusals), session.refusals


def test_a_server_that_holds_the_old_checks_says_so(tmp_path, monkeypatch):
    module = Course(write_course(tmp_path, "toys")).module("toys")
    monkeypatch.setitem(preprocessors._graders, module, ("as it was", []))
    with pytest.raises(CourseError, match=".*".join(map(re.escape, OF_A_SERVER.split("…")))):
        preprocessors._graders_of(module)
    assert len(REFUSALS) > 5 and OF_A_SERVER in REFUSALS


# --- sentences of the page --------------------------------------------------------------------------------------------


def rows(session: Class, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((session.root / "grades" / WEEK / file).read_text().splitlines()))


def test_what_is_pressed_is_in_the_gradebook_while_the_page_is_open(session):
    found = session.seen["the page is open"]
    assert {student: found[student] for student in ANSWERS} == {
        **dict.fromkeys(("ada", "lena", "quinn"), (None, 4, False)),
        "fatima": (None, None, True),
    }


def test_a_refused_student_waits_for_nobody(session):
    assert session.seen["the page is open"]["oskar"] == (None, None, False)


def test_the_decision_and_why_stand_on_the_student_s_page(session):
    page = (session.root / "grades" / WEEK / "feedback" / "ada.html").read_text()
    assert "You are right, the check was too strict." in page and "Two runs gave 7,978,856." in page


def test_a_group_s_comment_is_in_the_gradebook_and_undone_points_are_not(session):
    found = session.scores("exercise-training")
    assert found["lena"][1] is None, "what was entered for the group was taken back"
    assert "Which axis of" in (session.root / "grades" / WEEK / "feedback" / "fatima.html").read_text()


def test_an_extension_takes_the_penalty_away(session):
    with Gradebook(f"sqlite:///{session.root / 'gradebook.db'}", "deep-learning-for-visual-computing") as book:
        assert book.find_submission(WEEK, "goran").late_submission_penalty == 0


def test_the_files_for_the_platforms_hold_the_scores_of_the_gradebook(session):
    grades = {row["SIS Login ID"]: row[f"{WEEK} (881)"] for row in rows(session, "canvas.csv")}
    assert {who: float(grade) for who, grade in grades.items() if who} == {"ada": 104, "lena": 97}


def test_looking_only_at_what_a_corrected_check_moves_writes_nothing(session):
    assert {row["student"]: row["score"] for row in rows(session, "grades.csv")}["fatima"] == "95.5"


def test_nbgrader_s_own_export_writes_0_for_a_refused_file(session):
    with (session.root / "grades.csv").open() as file:
        assert {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}["oskar"] == 0


def test_who_did_not_hand_in_by_the_exchange_is_named(session):
    (said,) = [said for step, (_, said) in session.log.items() if step.typed.startswith("nbgrader release_feedback")]
    assert all(f"{student}: not released" in said for student in ("ada", "fatima", "lena", "quinn"))
