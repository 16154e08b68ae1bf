"""Grading what arrives: whose turn is when, what is done only once, what is tried again, and what an interruption leaves."""

import contextlib
import errno
import gc
import io
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import needs_walls
from rich.console import Console
from toy_course import notebook, solved, write_course
from toy_weeks import AFTER, BEFORE, write_two

from autograder import cli
from autograder.classes import watch
from autograder.classes.submissions import Submission, find_submissions
from autograder.classes.watch import Arrival, Memory, Watch, mark_of
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.grading.report import GRADED, REFUSED, Result

ROOT = Path(__file__).parents[2]
LONG_AGO = 1_000_000_000  # seconds since 1970


@pytest.fixture
def hurried(monkeypatch):
    """A watch that waits for nothing."""
    for name in ("LOOK_SECONDS", "KEEP_SECONDS", "AT_REST", "YOUNG", "AGAIN", "SHARE"):
        monkeypatch.setattr(watch, name, 0)
    monkeypatch.setattr(watch, "TICK", 0.01)
    return monkeypatch


class Class:
    """A folder of small files, one a student, and a stand-in for the grader: the text of a file is what becomes of it.

    Everything that is graded is written down in `graded` as student and text, and what is written in `written`.
    """

    def __init__(self, folder: Path):
        self.folder, self.console = folder, Console(width=1000, record=True, file=io.StringIO())
        self.graded, self.written, self.kept = list[tuple[str, str]](), list[tuple[str, str]](), list[dict]()
        self.at_work, self.full, self.gone = Counter[str](), False, False
        self.done: dict = {}

    def put(self, student: str, text: str = GRADED, when: float = LONG_AGO) -> None:
        path = self.folder / student / "toy.ipynb"
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(".coming")  # nobody sees half of it
        beside.write_text(text)
        os.utime(beside, (when, when))
        beside.rename(path)

    def find(self) -> list[Submission]:
        if self.gone:
            raise CourseError("the folder is gone")
        return [Submission(path.parent.name, path) for path in sorted(self.folder.glob("*/toy.ipynb"))]

    def grade(self, submission: Submission) -> Result:
        self.at_work[submission.student] += 1
        assert self.at_work[submission.student] == 1, "never two of one student at once"
        text = submission.path.read_text()
        time.sleep(0.001)
        self.graded.append((submission.student, text))
        self.at_work[submission.student] -= 1
        return Result(submission.student, "toy", text.partition(",")[0], 1, reason=text)

    def write(self, submission: Submission, result: Result) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written.append((result.student, result.reason))

    def made(self, at_once: int = 2, **changed) -> Watch:
        """A watch of this class."""
        how = {"at_once": at_once, "done": self.done, "keep": self.kept.append} | changed
        pool = how.pop("pool", None) or ThreadPoolExecutor(at_once)
        return Watch(self.find, self.grade, self.write, self.console, pool, **how)

    def watch(self, asked, **how) -> Watch:
        """Runs a watch until `asked`, which is looked at before each turn."""
        made = self.made(**how)
        made.run(asked)
        return made

    @property
    def said(self) -> str:
        return self.console.export_text(clear=False)


@pytest.fixture
def toys(tmp_path) -> Class:
    return Class(tmp_path)


def until(reached, seconds: float = 60):
    """Asks to end once `reached` holds; fails where it never does."""
    end = time.monotonic() + seconds

    def asked() -> bool:
        assert time.monotonic() < end, "it was never reached"
        return bool(reached())

    return asked


# --- whose turn it is -------------------------------------------------------------------------------------------------


def test_the_oldest_comes_first(hurried, toys):
    """By the time stamp beside a submission, as collecting or nbgrader's exchange writes it, else by the file's time."""
    for place, student in enumerate(["late", "exchanged", "collected", "early"]):
        toys.put(student, when=LONG_AGO + 100 * (4 - place))
    (toys.folder / "collected" / "timestamp.txt").write_text("2030-01-01 10:00:00+0100\n")
    (toys.folder / "exchanged" / "timestamp.txt").write_text("2030-01-01 09:30:00.123456 UTC")
    toys.watch(until(lambda: len(toys.graded) == 4), at_once=1)
    assert [student for student, _ in toys.graded] == ["early", "late", "collected", "exchanged"]


def test_what_is_still_being_written_waits(hurried, toys):
    """At rest is what has not changed for some seconds, by the file's own time or by the look before: a clock may be wrong."""
    hurried.setattr(watch, "AT_REST", 5)
    now, ahead = time.time(), time.time() + 3600
    old, young, odd = (Arrival(Submission(str(t), toys.folder), b"whole", 0, t) for t in (now - 6, now - 1, ahead))
    made = toys.made(at_once=1)
    made._take([old, young, odd])
    assert list(made.waiting) == [old] and len(made.known) == 3
    odd.seen -= 6
    made._take([Arrival(each.submission, b"whole", 0, each.changed) for each in (old, young, odd)])
    assert set(made.waiting) == {old, odd}
    made._take([Arrival(odd.submission, b"grown", 0, ahead)])
    assert not made.waiting and len(made.known) == 1, "it has changed, so it is not at rest; and the others have gone"


def test_who_hands_in_again_is_graded_again_and_nobody_twice(hurried, toys):
    """Also while the first one is being graded; the newest counts."""
    toys.put("ada"), toys.put("bob")
    grade = toys.grade

    def slowly(submission: Submission) -> Result:
        result = grade(submission)
        if len(toys.graded) == 1:
            toys.at_work[submission.student] += 1
            toys.put(submission.student, "graded, anew", LONG_AGO + 1)
            time.sleep(0.2)  # many looks see the new one
            toys.at_work[submission.student] -= 1
        return result

    toys.grade = slowly
    looks = itertools.count()
    made = toys.watch(until(lambda: len(toys.written) >= 3 and next(looks) > 20))
    again = toys.graded[0][0]
    assert Counter(toys.written) == Counter([("ada", GRADED), ("bob", GRADED), (again, "graded, anew")])
    assert toys.written.index((again, GRADED)) < toys.written.index((again, "graded, anew"))
    assert made.words == "2 graded, 0 wait" and toys.kept[-1] == made.done


def test_a_notebook_more_of_the_same_student_is_a_change(tmp_path):
    """Of a module with several notebooks the second may come later."""
    module = Course(write_two(tmp_path)).module("counting")
    folder = tmp_path / "submitted/ada/counting"
    folder.mkdir(parents=True)
    (folder / "first.ipynb").write_bytes(notebook(*AFTER))
    marks = [mark_of(find_submissions(module, [])[0])[0] for _ in range(2)]
    (folder / "second.ipynb").write_bytes(notebook(*BEFORE))
    marks.append(mark_of(find_submissions(module, [])[0])[0])
    (folder / "timestamp.txt").write_text("2030-01-01 10:00:00+0100\n")
    marks.append(mark_of(find_submissions(module, [])[0])[0])
    assert marks[0] == marks[1] and len(set(marks)) == 3


# --- what is odd ------------------------------------------------------------------------------------------------------


def test_a_folder_may_vanish_and_come_back(hurried, toys):
    """What is done is not graded again, what waited is graded, and a file that goes as it is graded is no refusal."""
    for number in range(6):
        toys.put(f"student-{number}")
    away, grade, moves = toys.folder.with_name("away"), toys.grade, iter(["away"])

    def as_it_goes(submission: Submission) -> Result:
        if len(toys.graded) == 2 and next(moves, None):
            toys.folder.rename(away)
            toys.folder.mkdir()
        try:
            return grade(submission)
        except OSError as error:
            toys.at_work[submission.student] = 0
            return Result(submission.student, "toy", REFUSED, 1, reason=str(error))

    toys.grade = as_it_goes
    looks = itertools.count()

    def reached() -> bool:
        if away.exists() and next(looks) == 20:
            toys.folder.rmdir()
            away.rename(toys.folder)
        return len(toys.written) == 6

    toys.watch(until(reached), at_once=1)
    assert Counter(toys.written) == Counter((f"student-{n}", GRADED) for n in range(6))


def test_where_nobody_can_look_it_is_told_once_and_looked_at_again(hurried, toys):
    toys.put("ada")
    toys.gone = True
    looks = itertools.count()

    def reached() -> bool:
        toys.gone = next(looks) < 10
        return bool(toys.written)

    toys.watch(until(reached))
    assert toys.said.count("looking: cannot be looked at, tried again: the folder is gone") == 1


def test_folders_may_be_empty_or_not_there_yet_only_where_they_grow(tmp_path):
    module = Course(write_course(tmp_path)).module("toy")
    empty, full, missing = (tmp_path / name for name in ("empty", "full", "missing"))
    empty.mkdir()
    (full / "ada").mkdir(parents=True)
    (full / "ada/toy.ipynb").write_bytes(solved())
    assert [each.student for each in find_submissions(module, [empty, missing, full], growing=True)] == ["ada"]
    for path in (empty, missing):
        with pytest.raises(CourseError):
            find_submissions(module, [full, path])


def test_a_broken_notebook_is_told_once_and_again_when_it_changes(hurried, toys):
    """And not as long as it is so young that the rest of it may be on its way."""
    hurried.setattr(watch, "YOUNG", 60)
    toys.put("bob", "refused, damaged")
    toys.put("eve", "refused, half", time.time())
    changes = iter(["now"])

    def reached() -> bool:
        both = toys.written and ("eve", "refused, half") in toys.graded
        if both and next(changes, None):
            toys.put("bob", "refused, still damaged", LONG_AGO + 1)
            toys.put("eve", GRADED)  # who may be graded once more for it, where she was just being read
        return {("bob", "refused, still damaged"), ("eve", GRADED)} <= set(toys.written)

    made = toys.watch(until(reached))
    bob = [("bob", "refused, damaged"), ("bob", "refused, still damaged")]
    assert set(toys.written) == {*bob, ("eve", GRADED)} and [one for one in toys.written if one[0] == "bob"] == bob
    assert toys.said.splitlines() == [f"bob: refused: {text}" for _, text in bob]
    assert made.words.startswith("1 graded, 1 refused, ")


def test_what_the_grader_failed_at_is_tried_again(hurried, toys):
    for student in ("ada", "bob"):
        toys.put(student)
    grade, failures = toys.grade, iter(["not graded", "not graded"])

    def sometimes(submission: Submission) -> Result:
        result = grade(submission)
        status = next(failures, GRADED) if submission.student == "bob" else GRADED
        return Result(result.student, "toy", status, 1, reason="a worker was lost")

    toys.grade = sometimes
    made = toys.watch(until(lambda: len(toys.written) == 4))
    assert Counter(student for student, _ in toys.graded) == {"ada": 1, "bob": 3}
    assert made.words == "2 graded, 0 wait"
    assert toys.said.count("bob: not graded yet, tried again: a worker was lost") == 1


def test_what_the_grader_fails_at_again_and_again_waits_longer_each_time(toys):
    """Its own fault or not, it takes a worker each time, elsewhere perhaps a node; an hour or so is the most."""
    made, arrival = toys.made(), Arrival(Submission("bob", toys.folder), b"", 0, 0)
    waits = []
    for _ in range(9):
        made._end(arrival, Result("bob", "toy", "not graded", 1, reason="a worker was lost"))
        waits.append(arrival.not_before - time.monotonic())
    assert waits == pytest.approx([60, 120, 240, 480, 960, 1920, 3840, 3840, 3840], abs=30)


def test_a_full_disk_loses_nothing(hurried, toys):
    """Neither a submission nor the table of the class; each is told once, and all is written when there is room again."""
    for student in ("ada", "bob"):
        toys.put(student)
    toys.full, kept = True, []

    def keep(done: dict) -> None:
        if toys.full or len(kept) < 2:
            kept.append("failed")
            raise OSError(errno.ENOSPC, "No space left on device", "grades.csv")
        kept.append(done)

    made = toys.made(keep=keep)

    def reached() -> bool:
        toys.full = len(toys.graded) < 10
        return len(kept) > 2

    made.run(until(reached))
    assert Counter(toys.written) == {("ada", GRADED): 1, ("bob", GRADED): 1}
    assert kept[:2] == ["failed"] * 2 and set(kept[-1]) == {"ada", "bob"}
    for student in ("ada", "bob"):
        assert toys.said.count(f"{student}: not graded yet, tried again: what came of it cannot be written") == 1
    assert toys.said.count("grades.csv: waits: ") == 1


def test_what_did_not_come_into_the_gradebook_s_pages_is_done_again_by_the_next_watch(hurried, toys):
    """grades.csv is written all the same."""
    toys.put("ada")
    locked = [True]

    def settle() -> None:
        if locked[0]:
            raise CourseError("the gradebook is locked")

    for expected in ({}, {"ada"}):
        made = toys.made(at_once=1, done={}, settle=settle)
        toys.kept.clear()
        made.run(until(lambda made=made: made.done))
        assert toys.kept and toys.kept[-1].keys() == set(expected)
        locked[0] = False
    assert toys.said.count("gradebook: waits: the gradebook is locked") == 1


def test_a_fault_of_the_course_ends_the_watch_and_what_is_done_stays(hurried, toys):
    toys.put("ada"), toys.put("bob", when=LONG_AGO + 1)
    grade = toys.grade

    def faulty(submission: Submission) -> Result:
        if submission.student == "bob":
            raise CourseError("a probe is broken")
        return grade(submission)

    toys.grade = faulty
    with pytest.raises(CourseError, match="a probe is broken"):
        toys.watch(until(lambda: False), at_once=1)
    assert set(toys.kept[-1]) == {"ada"}


# --- memory -----------------------------------------------------------------------------------------------------------


def test_of_thousands_nothing_stays_but_a_mark(hurried, toys):
    """Counted by objects: as many are alive after three thousand as after a hundred, but for the marks in `done`."""
    counts = []
    for number in (100, 3000):
        for student in range(number):
            toys.put(f"{student:04d}")
        toys.written.clear()
        made = toys.made(at_once=4, done={}, keep=lambda done: None)
        made.run(until(lambda number=number: len(toys.written) == number, 300))
        assert len(made.done) == number and made.words == f"{number} graded, 0 wait"
        gc.collect()
        alive = Counter(type(one).__name__ for one in gc.get_objects())
        counts.append({name: alive[name] for name in ("Submission", "Result", "Arrival", "Future", "Thread")})
    assert all(after <= counts[0][name] + 5 for name, after in counts[1].items()), counts
    sizes = [sys.getsizeof(student) + sys.getsizeof(one) + sys.getsizeof(one[0]) for student, one in made.done.items()]
    assert max(sizes) < 250


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_later_watch_knows_what_is_done(tmp_path):
    """As long as it is judged by the same, and its result is there still; a damaged file of memory is none."""
    (tmp_path / "results").mkdir()
    for student in ("ada", "bob"):
        (tmp_path / "results" / f"{student}.json").write_text("{}")
    done = {"ada": (b"\x01\x02", GRADED), "bob": (b"\x03", REFUSED)}
    memory = Memory(tmp_path, "these checks")
    assert memory.read() == {}
    memory.write(done)
    assert memory.read() == done and Memory(tmp_path, "other checks").read() == {}
    (tmp_path / "results/ada.json").unlink()
    assert memory.read() == {"bob": done["bob"]}
    for done in ("[1]", '{"bob": 1}', '{"bob": ["no hash", 1]}', "{"):
        damaged = f'{{"judged_by": "these checks", "done": {done}}}'
        (tmp_path / "watched.json").write_text(damaged)
        assert memory.read() == {}


def test_what_is_judged_by_changes_with_checks_and_settings(tmp_path):
    module = Course(write_course(tmp_path)).module("toy")
    before = [watch._judged_by(module, 7, "full", 20.0, True), watch._judged_by(module, 7, "full", 20.0, False)]
    assert before[0] == watch._judged_by(module, 7, "full", 20.0, True) != before[1]
    hidden = module.tests / "test_hidden.py"
    hidden.write_text(hidden.read_text().replace("points=1.5", "points=2"))
    assert watch._judged_by(module, 7, "full", 20.0, True) not in before


@pytest.mark.parametrize("more", [["--junit", "x.xml"], ["--fail-below", "0"], ["--timings"]])
def test_what_is_about_a_complete_class_is_refused(tmp_path, monkeypatch, capsys, more):
    monkeypatch.chdir(write_course(tmp_path))
    assert cli.main(["grade", "toy", "--watch", *more]) == 2
    assert "--watch takes no --timings, --junit or --fail-below" in capsys.readouterr().err
    assert not (tmp_path / "grades").exists()


@needs_walls
def test_a_folder_that_is_not_there_is_refused_as_it_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_course(tmp_path))
    assert cli.main(["grade", "toy", "submited", "--watch"]) == 2
    assert "submited does not exist: make the folder" in capsys.readouterr().err
    assert not (tmp_path / "grades").exists()


def test_the_first_ctrl_c_ends_well_and_the_second_as_ever():
    with watch.until_interrupted() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)


@needs_walls
def test_two_notebooks_that_arrive_one_after_the_other(hurried, tmp_path, monkeypatch, capsys):
    """By the command, ended by Ctrl-C: exit status 130; first the other notebook is missing, then it is graded too."""
    root = write_two(tmp_path)
    monkeypatch.chdir(root)
    folder = root / "submitted/ada/counting"
    folder.mkdir(parents=True)
    (folder / "first.ipynb").write_bytes(notebook(*AFTER))
    points = []

    def hand_in_the_second() -> None:
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError):
                result = json.loads((root / "grades/counting/results/ada.json").read_text())
                points.append([one["points"] for one in result["exercises"]])
                if points[-1] == [3, 5]:
                    break
                (folder / "second.ipynb").write_bytes(notebook(*BEFORE))
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=hand_in_the_second).start()
    assert cli.main(["grade", "counting", "--watch", "--workers", "1"]) == cli.INTERRUPTED
    assert points[0] == [3, 0] and points[-1] == [3, 5]
    said = capsys.readouterr()
    assert re.search("1 graded, [01] wait", said.out)  # the second may be there before this line is
    assert "second.ipynb is missing: no points for what is in it" in said.out
    assert "run the same command again" in said.err
    assert "ada,graded,8,8" in (root / "grades/counting/grades.csv").read_text()


@needs_walls
@pytest.mark.long
def test_the_command_while_a_class_hands_in(tmp_path):
    """The real command: one hands in twice, Ctrl-C, it goes on, and all is as `grade` gives it; nobody is graded twice."""
    root = write_course(tmp_path / "course")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    hand_in(root, "ada", solved())
    hand_in(root, "bob", b"{not a notebook")
    with watching(root) as said:
        reached(root, "ada", "graded")
        reached(root, "bob", "refused")
        hand_in(root, "eve", solved(double="def double(x): return x * x"))
        reached(root, "eve", 4.5)
        hand_in(root, "eve", solved(), LONG_AGO + 1)
        reached(root, "eve", 6.5)
    assert said[0] == 130 and "2 graded, 1 refused, " in said[1] and "bob: refused: " in said[1]
    assert "run the same command again" in said[1]
    assert [line.split(",")[:3] for line in table(root)[1:]] == [
        ["ada", "graded", "6.5"],
        ["bob", "refused", ""],
        ["eve", "graded", "6.5"],
    ]
    first = (root / "autograded/ada/toy/toy.ipynb").stat()
    hand_in(root, "lena", solved(mean="def mean(numbers): return 3"))
    with watching(root) as said:
        reached(root, "lena", "graded")
    assert said[0] == 130 and "3 graded, 1 refused, 0 wait" in said[1] and "bob" not in said[1]
    last = (root / "autograded/ada/toy/toy.ipynb").stat()
    assert (first.st_ino, first.st_mtime_ns) == (last.st_ino, last.st_mtime_ns), "unchanged: not graded again"

    again = tmp_path / "again"
    shutil.copytree(root, again, ignore=shutil.ignore_patterns("grades", "autograded", "gradebook.db"))
    seed = (root / "grades/toy/seed").read_text().strip()
    assert run(again, "--seed", seed).wait(timeout=120) == 1
    assert files(root) == files(again) and len(table(root)) == 5
    assert scores(root) == scores(again) and len(scores(root)) == 12


def hand_in(root: Path, student: str, data: bytes, when: float = LONG_AGO) -> None:
    """Puts a notebook into place, whole and with a time of long ago, so that nobody waits for more of it."""
    path = root / "submitted" / student / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(".coming")
    beside.write_bytes(data)
    os.utime(beside, (when, when))
    beside.rename(path)


def run(root: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "autograder.cli", "grade", "toy", *options]
    where = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "1000"}
    return subprocess.Popen(command, cwd=root, env=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextlib.contextmanager
def watching(root: Path):
    """The command, ended by Ctrl-C with the block; then its exit status and all that it has said are in the list."""
    process, said = run(root, "--watch"), []
    try:
        yield said
    finally:
        process.send_signal(signal.SIGINT)
        said += [*reversed((process.communicate(timeout=120)[0], process.returncode))]


def reached(root: Path, student: str, expected: str | float) -> None:
    """Waits until a student's result has this status or this score."""
    path = root / "grades/toy/results" / f"{student}.json"
    for _ in range(600):
        with contextlib.suppress(OSError):
            result = json.loads(path.read_text())
            if expected in (result["status"], result["score"]):
                return
        time.sleep(0.2)
    pytest.fail(f"{student} never became {expected}")


def files(root: Path) -> dict[str, str]:
    """All that is written for a class but the watch's own memory: results, pages, what was seen, grades.csv."""
    out = root / "grades/toy"
    found = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file() and path.name != "watched.json"}
    return {name: path.read_text().replace(str(root), "") for name, path in found.items()}


def table(root: Path) -> list[str]:
    return (root / "grades/toy/grades.csv").read_text().splitlines()


def scores(root: Path) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(root / "gradebook.db")) as book:
        rows = book.execute(
            "select student_id, name, auto_score, manual_score, needs_manual_grade from grade join submitted_notebook on "
            "grade.notebook_id = submitted_notebook.id join submitted_assignment on submitted_assignment.id = "
            "submitted_notebook.assignment_id join base_cell on base_cell.id = cell_id"
        )
        return sorted(rows)
