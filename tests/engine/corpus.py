"""Runs the attack corpus on the real engine: `python corpus.py COURSE REPORT [UID]`, as that user when run by root.

Makes a course in the empty folder COURSE, grades every attack of `attacks.py` there, each followed by an honest
submission, and writes to REPORT what can be seen from outside, for `test_attacks.py` to judge. `python corpus.py --controls
COURSE REPORT [UID]` lets those attacks succeed that may: without walls, and on the grader of `naive.py`.
"""

import contextlib
import ctypes
import dataclasses
import functools
import io
import json
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import naive  # noqa: E402
from attacks import ATTACKS, HELPERS, NAIVE, OPEN, PEEK, POINTS, POISON, Attack  # noqa: E402
from walls import become  # noqa: E402

CANARY = f"attack-canary-{os.getpid()}"  # of this course alone: several are struck at the same time, one of them unwalled
LIMIT = 1.0
GRADER_BYTES = 4 * 2**30
SECRET = re.compile(r"(?<![A-Z])(?!PROBE)[A-Z]+-SECRET")

FILES = {
    "source/toy/toy.py": '''
# %%
import torch
# %% role="exercise" function="double"
def double(x):
    ### BEGIN SOLUTION
    return x * 2  # SOLUTION-SECRET
    ### END SOLUTION
# %% role="exercise" function="total"
def total(values):
    ### BEGIN SOLUTION
    return float(sum(values))
    ### END SOLUTION
# %% role="exercise" function="label"
def label():
    ### BEGIN SOLUTION
    return "EXPECTED-SECRET"
    ### END SOLUTION
# %% role="grade" exercise="arithmetic"
check("arithmetic")
''',
    "tests/toy/__init__.py": "",
    "tests/toy/probes_public.py": """
import torch
from autograder.sandboxed.probing import probe

@probe("double")
def doubled(student, draw):
    return {"value": student.double(torch.arange(3.0)), "lines": 3}

@probe("total")
def summed(student, draw):
    return student.total([1, 2, 3])
""",
    "tests/toy/probes_hidden.py": """
import torch
from autograder.sandboxed.probing import probe

QUESTION = "PROBE-SECRET"

@probe("double")
def hidden_double(student, draw):
    return {"value": student.double(torch.tensor([draw.random(), 1.0]))}

@probe("total")
def hidden_total(student, draw):
    return student.total([draw.randint(1, 99), 5])

@probe("label")
def hidden_label(student, draw):
    return student.label()
""",
    "tests/toy/test_public.py": '''
from autograder.course.checks import check, same

@check("double", points=1)
def test_doubles(observed, expected):
    """Doubles."""
    assert len([[] for _ in range(observed.doubled["lines"])]) == 3
    same(observed.doubled["value"], expected.doubled["value"], "double(x)", within=1e-6)

@check("total", points=1)
def test_sums(observed, expected):
    """Sums."""
    same(observed.summed, expected.summed, "total(values)", within=1e-6)
''',
    "tests/toy/test_hidden.py": '''
from autograder.course.checks import check, remark, same

@remark("double", says="It is no tensor.")
def speaks(observed, expected):
    return observed.hidden_double["value"]["waits"]

@check("double", points=1)
def test_doubles_other_numbers(observed, expected):
    """Doubles other numbers."""
    same(observed.hidden_double["value"], expected.hidden_double["value"], "CHECK-SECRET", within=1e-6)

@check("total", points=1)
def test_sums_other_numbers(observed, expected):
    """Sums other numbers."""
    same(observed.hidden_total, expected.hidden_total, "total(values)", within=1e-6)

@check("label", points=1)
def test_label(observed, expected):
    """Has the label."""
    same(observed.hidden_label, expected.hidden_label, "label()")
''',
    "tests/toy/mistakes.py": '''
from autograder.course.catalogue import mistake

@mistake(of="double", caught_by="test_doubles")
def adds_two(x):
    """It adds two."""
    return x + 2
''',
    "tests/toy/alternatives.py": "",
    "gradebook.db": "GRADEBOOK-SECRET",
    "grades/seed": "1",
}
TOTAL = "def total(values): return float(sum(values))\n"
HONEST = 'def double(x):\n    "OTHER-SECRET {number}"\n    return x + x\n' + TOTAL


def notebook(*cells: str) -> bytes:
    """A notebook file with these code cells."""
    made = [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None} for cell in cells
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}).encode()


def make_course(root: Path) -> None:
    """Writes the toy course, with another student's submission in it."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    write_submission(root, "other", notebook(HONEST.replace("{number}", "0")))


def write_submission(root: Path, student: str, data: bytes) -> Path:
    path = root / "submitted" / student / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class Listener:
    """Counts what arrives on a TCP and a UDP port, a socket in a folder, and a socket without a path."""

    def __init__(self, root: Path):
        self.arrived = 0
        self.path, self.abstract = str(root / "daemon.socket"), f"attack-{os.getpid()}"
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", self.port))
        self._kept = [tcp, socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
        self._kept[1].bind(self.path)
        self._kept[2].bind(f"\0{self.abstract}")
        os.chmod(self.path, 0o777)
        for sock in self._kept:
            sock.listen()
            threading.Thread(target=self._count, args=(sock.accept,), daemon=True).start()
        threading.Thread(target=self._count, args=(lambda: udp.recv(100),), daemon=True).start()

    def _count(self, receive) -> None:
        while True:
            receive()
            self.arrived += 1


def raw(recordings: list) -> str:
    """What came to the grader, as it came."""
    seen = [observation for recording in recordings for observation in recording.observations.values()]
    notes = [note for recording in recordings for _, note in recording.notes]
    return "\n".join([*notes, *(f"{one.state} {one.error} {one.error and one.error.message} {one.value}" for one in seen)])


def canaries() -> list[Path]:
    """Files of these attacks left where others would find them."""
    return [path for folder in ("/tmp", "/dev/shm", "/var/tmp") for path in Path(folder).glob(f"{CANARY}*")]


def descendants(without: int | None = None) -> set[int]:
    """The processes that this one started, and those that they did; of the process `without` only itself."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, growing = {os.getpid()}, True
    while growing:
        new = {pid for pid, parent in parents.items() if parent in found and parent != without} - found
        found |= new
        growing = bool(new)
    return found


def reap(pids: set[int]) -> None:
    """Lets go of orphans that have ended: they are this process's own now."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def left_over(before: set[int], court: int) -> list[str]:
    """The commands of the processes that were not there before, after a moment to end; not the judge, of whom the court
    takes a new one when the old one has ended."""
    for _ in range(20):
        new = descendants(without=court) - before
        if not new:
            return []
        reap(new)
        time.sleep(0.05)
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:80] for pid in new]


def tree(root: Path) -> dict[str, list]:
    """Mode, owner, time and content of everything in the course that no grading may change."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith(
            (".autograder", "grades", "report", "submitted/mallory", "submitted/honest", "tests/toy/__pycache__")
        ):
            about = path.lstat()
            content = path.read_text(errors="replace") if path.is_file() else ""
            found[name] = [about.st_mode, about.st_uid, 0 if path.is_dir() else about.st_mtime_ns, content]
    return found


class Ear:
    """Hears in the workers' answers the marks by which an attack says how far it came, and takes them out again: what
    the grader reads is what it would read of the attack without marks."""

    def __init__(self, observers):
        self.mark = os.urandom(16)
        self.heard: set[int] = set()
        self.answers = b""
        for observer in observers:
            observer._ask_once = functools.partial(self._ask, observer._ask_once)

    def _ask(self, ask, *args):
        state, answer, *spent = ask(*args)
        marks = re.compile(re.escape(self.mark) + rb"(\d);")
        self.heard |= set(map(int, marks.findall(answer)))
        answer = marks.sub(b"", answer)
        self.answers += answer
        return state, answer, *spent

    def forget(self) -> None:
        self.heard, self.answers = set(), b""


def marks(attack: Attack) -> set[int]:
    """The lines that an attack must come to behind the walls: all of its text that are marked."""
    return set(map(int, re.findall(r"struck\((\d)\)", attack.cell)))


class Corpus:
    """A course with a running grader, and a way to attack it."""

    def __init__(self, root: Path, sandbox: str = "full"):
        from autograder.course.course import Module
        from autograder.grading.grader import Grader

        make_course(root)
        self.root, self.out, self.count = root, root / "grades", 0
        self.listener = Listener(root)
        self.grader = Grader(Module(root, "toy"), seed=1, workers=1, limit=LIMIT, sandbox=sandbox)
        self.world = "1.1.1.1" if sandbox == "full" else "127.0.0.1"  # whom to connect to: the control stays at home
        self.grader.__enter__()
        self.grader.expected  # noqa: B018
        self.ear = Ear(self.grader.observers.values())
        self.honest()
        self.processes, self.files = descendants(), tree(root)

    def grade(self, student: str, data: bytes):
        from autograder.classes.grade import _grade_one, write_result
        from autograder.classes.submissions import Submission

        path = write_submission(self.root, student, data)
        result = _grade_one(self.grader, Submission(student, path))
        write_result(result, self.grader.contents.exercises, self.out)
        return result

    def honest(self) -> float | None:
        """The points of an honest submission that the store does not know."""
        self.count += 1
        return self.grade("honest", notebook(HONEST.replace("{number}", str(self.count)))).score

    def cells(self, attack: Attack) -> list[str]:
        words = {
            "ROOT": self.root,
            "PORT": self.listener.port,
            "PID": os.getpid(),
            "CANARY": CANARY,
            "SOCKET": self.listener.path,
            "ABSTRACT": self.listener.abstract,
            "WORLD": self.world,
            "MARK": self.ear.mark.hex(),
        }
        cells = [HELPERS, TOTAL, attack.cell]
        return [re.sub(r"@([A-Z]+)@", lambda match: str(words[match[1]]), cell) for cell in cells]

    def attack(self, attack: Attack) -> dict:
        """Everything that can be seen of an attack from outside."""
        from rich.console import Console

        from autograder.classes.grade import ClassResult, print_table, write_grades_csv

        self.ear.forget()
        start, arrived = time.monotonic(), self.listener.arrived
        result = self.grade("mallory", notebook(*self.cells(attack)))
        seconds = time.monotonic() - start
        shown = io.StringIO()
        print_table(ClassResult([result], 0, self.grader.timings), Console(file=shown, force_terminal=False, width=200))
        write_grades_csv(self.out)
        verdicts = result.graded.verdicts if result.graded else ()
        recordings = self._recordings(result)
        left = left_over(self.processes, self.grader._court.pid)
        files = tree(self.root)
        return {
            "status": result.status,
            "reason": result.reason,
            "points": {f: sum(v.points for v in verdicts if v.function == f) for f in self.grader.contents.functions},
            "states": {v.check: [v.state, v.message] for v in verdicts},
            "notes": result.graded.notes if result.graded else (),
            "marks": sorted(self.ear.heard),
            "seen": sorted(set(SECRET.findall(repr(recordings) + self.ear.answers.decode("latin-1")))),
            "kept": raw(recordings),
            "page": (self.out / "feedback" / "mallory.html").read_text(),
            "terminal": shown.getvalue(),
            "csv": (self.out / "grades.csv").read_text(),
            "changed": [n for n in files.keys() | self.files.keys() if files.get(n) != self.files.get(n)],
            "outside": list(map(str, canaries())),
            "left": left,
            "arrived": self.listener.arrived - arrived,
            "next": self.honest() if attack.goal in (POISON, PEEK) or self.count % 4 == 0 else self._skip(),
            "seconds": seconds,
        }

    def _skip(self) -> float:
        """Most attacks leave the next submission to the next but one: grading it takes as long as the attack."""
        self.count += 1
        return 4

    def _recordings(self, result) -> list:
        if not result.graded:
            return []
        code = self.grader.read((self.root / "submitted/mallory/toy/toy.ipynb").read_bytes())
        return list(self.grader.observe(code).values())

    def mend(self) -> None:
        """Undoes what an attack without walls has done."""
        self.root.chmod(0o755)
        for path in self.root.rglob("*"):
            path.chmod(0o755)
        for path in canaries():
            with contextlib.suppress(OSError):  # another's
                path.unlink()
        make_course(self.root)
        for pid in descendants(without=self.grader._court.pid) - self.processes:
            os.kill(pid, signal.SIGKILL)
        while left_over(self.processes, self.grader._court.pid):
            pass
        self.files = tree(self.root)


def strikes(again: bool) -> list[Attack]:
    """The attacks; by a second user only those whose end depends on who the user is."""
    return [attack for attack in ATTACKS if not again or attack.goal != POINTS]


def keep_orphans() -> None:
    """Has what a submission's processes leave behind become this process's own, to be seen and ended."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def controls(root: str, report: str, uid: str = "") -> None:
    """What is seen of the attacks where they succeed."""
    if uid:
        become(int(uid), root)
    keep_orphans()
    corpus = Corpus(Path(root) / "open", sandbox="none")
    seen = {}
    for attack in ATTACKS:
        if attack.name in OPEN:
            try:
                seen[attack.name] = corpus.attack(attack)
            except Exception as error:
                seen[attack.name] = {"crash": f"{type(error).__name__}: {error}"}
            corpus.mend()
    corpus.grader.__exit__()
    import torch

    torch.set_num_threads(1)
    for attack in ATTACKS:
        if attack.name in NAIVE:
            corpus.root = Path(root) / attack.name
            corpus.root.mkdir()
            honest = HONEST if attack.goal == POISON else ""
            seen[attack.name] = naive.grade(corpus.cells(attack), corpus.root, corpus.ear.mark, honest)
    folder, mark = Path(root), corpus.ear.mark
    seen["right"] = naive.grade([HONEST], folder, mark, HONEST)
    seen["wrong"] = naive.grade([TOTAL, "def double(x): return 0"], folder, mark)
    Path(report).write_text(json.dumps(seen))


def main(root: str, report: str, uid: str = "") -> None:
    if uid:
        become(int(uid), root)
    keep_orphans()
    resource.setrlimit(resource.RLIMIT_DATA, (GRADER_BYTES, GRADER_BYTES))  # an attack that succeeds spares the machine
    corpus = Corpus(Path(root))
    seen = {}
    for attack in strikes(again=bool(uid)):
        try:
            seen[attack.name] = dataclasses.asdict(attack) | corpus.attack(attack)
        except Exception as error:  # the grader's own crash is the attack's success
            seen[attack.name] = {"crash": f"{type(error).__name__}: {error}"}
            corpus.processes, corpus.files = descendants(), tree(corpus.root)
        Path(report).write_text(json.dumps(seen))
    corpus.grader.__exit__()


if __name__ == "__main__":
    controls(*sys.argv[2:]) if sys.argv[1] == "--controls" else main(*sys.argv[1:])
