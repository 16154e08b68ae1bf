"""Grading that is killed at any moment and run again gives the grades of an undisturbed run."""

import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_course
from conftest import FUNCTIONS, LIMIT, needs_walls
from corpus import descendants

from autograder.classes.grade import write_grades_csv, write_result
from autograder.classes.seed import class_seed
from autograder.errors import GraderFault
from autograder.files import write_whole
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.observer import Observer
from autograder.grading.recordings import Observation, Recording, load_recording
from autograder.grading.report import GRADED, Result
from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import Cell, Code, select

pytestmark = pytest.mark.long

KILLS = 110
STUDENTS = [f"student-{number:02d}" for number in range(12)]
EXERCISES = {"numbers": ["double"]}


class Quick(Observer):
    """An observer whose submissions answer at once, without torch; it keeps recordings as the real one does."""

    def _observe(self, code: Code, seed: int, only, threads: int, reference: bool, printed: bool) -> Recording:
        return Recording({"p": Observation("returned", [seed, code.pieces[0][2]] * 50)}, cpu=0.5)


def grade(out: Path, store: Path) -> None:
    """All steps of a grading run that write something, in their order."""
    seed = class_seed(out)
    observer = Quick(out, "", ["double"], store)
    for student in STUDENTS:
        recording = observer.observe(Code(((1, 1, student),), {}, {}), seed)
        points = hash_of(recording) % 7
        verdict = Verdict("c", "double", "Doubles.", True, "passed", points, 7)
        result = Result(student, "toy", GRADED, 7, graded=Graded((verdict,), ()), seed=seed)
        write_result(result, EXERCISES, out)
    write_grades_csv(out)


def hash_of(recording: Recording) -> int:
    return sum(map(ord, str(recording.observations["p"].value)))


def grades(out: Path) -> dict[str, str]:
    """The files of a class by name, but for the seconds in them: no two runs share those."""
    files = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file() and p.name[0] != "."}
    return {name: re.sub(r'"(seconds|cpu)": [\d.]+', "", text) for name, text in files.items()}


def in_fork(work, *arguments) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def test_killed_at_random_moments(tmp_path):
    """kill -9 while recordings, results and the table are written: what lies there is whole, and the end is the same."""
    draw = random.Random(7)
    out, store = tmp_path / "out", tmp_path / "store"
    start = time.monotonic()
    grade(tmp_path / "trial", tmp_path / "trial-store")
    duration, killed = time.monotonic() - start, 0
    while killed < KILLS:
        if killed % 10 == 0:
            shutil.rmtree(store, ignore_errors=True)
            shutil.rmtree(out / "results", ignore_errors=True)
        pid = in_fork(grade, out, store)
        time.sleep(draw.random() * duration)
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        for path in out.glob("results/[!.]*.json"):
            assert json.loads(path.read_text())["status"] == GRADED
        for path in store.glob("[!.]*.safetensors"):
            load_recording(path)
    undisturbed = tmp_path / "undisturbed"
    seed = class_seed(out)
    write_whole(undisturbed / "seed", f"{seed}\n")
    grade(undisturbed, tmp_path / "fresh")
    grade(out, store)
    assert grades(out) == grades(undisturbed)
    assert len(list(out.glob("results/[!.]*.json"))) == len(STUDENTS)


def test_a_full_disk_leaves_the_old_file_or_none(tmp_path):
    """Under a limit on file sizes every write of a run fails at some byte; nothing half-written is left to be read."""
    write_whole(tmp_path / "kept", "old")

    def work(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for name in ("kept", "new"):
            with pytest.raises(OSError):
                write_whole(tmp_path / name, "x" * 5000)

    for limit in (0, 1, 100, 4999):
        assert os.waitpid(in_fork(work, limit), 0)[1] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_a_damaged_recording_is_made_again(tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    grade(out, store)
    before = grades(out)
    for number, path in enumerate(sorted(store.glob("*.safetensors"))):
        data = path.read_bytes()
        path.write_bytes([b"", data[: len(data) // 2], b"\xff" * len(data), data[:-1]][number % 4])
    grade(out, store)
    assert grades(out) == before


ENDLESS = """
import sys
from pathlib import Path
from autograder.sandboxed.notebook import Cell, select
from autograder.grading.observer import Observer
code = select([Cell(1, "def double(x):\\n    while True: pass")], ["double"])
with Observer(Path(sys.argv[1]), "probes_public", ["double"], sandbox=sys.argv[2], limit=300) as observer:
    observer.observe(code)
"""


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def scratch_of(family: set[int]) -> list[Path]:
    """The folders that a submission's forks among these processes work in."""
    found = []
    for pid in family:
        with contextlib.suppress(OSError):
            found.append(Path(os.readlink(f"/proc/{pid}/cwd")))
    return [path for path in found if path == sandbox.SCRATCH or path.name.startswith("autograder-")]


@pytest.mark.parametrize("walls", ["full", "none"])
@needs_walls
def test_a_killed_grader_takes_its_workers_with_it(toy, walls):
    """While a submission runs that would go on for minutes: no process and no scratch folder is left."""
    others = descendants()
    grader = subprocess.Popen([sys.executable, "-c", ENDLESS, str(toy.tests), walls])
    while not (scratch := scratch_of(descendants() - others)):
        assert grader.poll() is None
        time.sleep(0.05)
    family = descendants() - others
    grader.kill()
    grader.wait()
    end = time.monotonic() + 60
    while any(map(running, family)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(running, family))
    assert len(family) > 3 and not any(path.exists() for path in scratch)


@needs_walls
def test_a_killed_worker_costs_no_answer(toy, tmp_path):
    """Any process of the workers is killed: the submission is asked again, and if not graded, then the next time."""
    code = select([Cell(1, "import time\ndef double(x):\n    time.sleep(0.05)\n    return x + x")], FUNCTIONS)
    draw = random.Random(8)
    others = descendants() | {os.getpid()}  # the workers that all tests share are not for killing
    with Observer(toy.tests, "probes_public", FUNCTIONS, limit=LIMIT) as observer:
        expected = observer.observe(code).observations
        for _ in range(4):
            family = sorted(descendants() - others)
            workers = [pid for pid in family if b"worker.main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            victim = os.fork()
            if victim == 0:
                time.sleep(draw.random() * 0.3)
                with contextlib.suppress(ProcessLookupError):  # a job's own process, which has ended since
                    os.kill(draw.choice(workers), signal.SIGKILL)
                os._exit(0)
            for _ in range(6):
                try:
                    again = observer.observe(code).observations
                except GraderFault:
                    continue
                assert {n: (o.state, o.value) for n, o in again.items()} == {
                    n: (o.state, o.value) for n, o in expected.items()
                }
            os.waitpid(victim, 0)


@needs_walls
def test_the_command_killed_and_run_again(tmp_path):
    """The real command, killed with kill -9 and with Ctrl-C, then run to its end, against one that nobody disturbed."""
    root = toy_course.write_course(tmp_path / "course")
    for number in range(4):
        folder = root / "submitted" / f"student-{number}" / "toy"
        folder.mkdir(parents=True)
        cell = f"def double(x):\n    return x * {number}\ndef mean(numbers):\n    return sum(numbers) / len(numbers)"
        cells = [{"cell_type": "code", "metadata": {}, "source": cell, "outputs": []}]
        (folder / "toy.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    package = str(Path(__file__).parents[2])

    def run(out: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "autograder.cli", "grade", "toy", "--output", out, *options]
        where = os.environ | {"PYTHONPATH": package}
        return subprocess.Popen(command, cwd=root, env=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for seconds, number in ((3, signal.SIGKILL), (4, signal.SIGINT), (5, signal.SIGKILL)):
        process = run("killed")
        time.sleep(seconds)
        process.send_signal(number)
        process.wait(timeout=60)
    assert run("killed").wait(timeout=120) == 0
    seed = (root / "killed" / "seed").read_text().strip()
    shutil.rmtree(root / ".autograder")
    assert run("undisturbed", "--seed", seed).wait(timeout=120) == 0
    found, expected = grades(root / "killed"), grades(root / "undisturbed")
    found.pop("seed"), expected.pop("seed", None)
    assert found == expected
    assert (root / "killed" / "grades.csv").read_text().count("graded") == 4
