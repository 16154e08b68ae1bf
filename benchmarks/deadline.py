"""A deadline: submissions arrive at twice the rate that this machine can grade, and `grade --watch` takes them in.

    python benchmarks/deadline.py                            # an hour of arrivals, in the tests' toy course
    python benchmarks/deadline.py week08_densenet --write    # two hours and more; writes docs/deadline.md

First the rate is measured: so many submissions at once, from the first result to the last. Then twice that rate is held;
every twentieth arrival is of somebody who hands in again. No two submissions are the same, and none is taken from a kept
recording. A line each minute says what has arrived, what is graded, and the memory of the grader (its own, and with its
workers, where pages that are shared count once). Then what waits is graded too, Ctrl-C ends it, and it is looked whether
everybody's newest file is graded; ends with 1 where one is not. The machine should do nothing else meanwhile.
"""

import argparse
import ast
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from compare import ENVIRONMENT, ROOT, make_class, make_course
from measure import MEGABYTE, family, proportional

from autograder.course.course import Course, Module
from autograder.files import write_whole
from autograder.grading.contents import Contents

sys.path.insert(0, str(ROOT / "tests" / "engine"))
import toy_course  # type: ignore[import-not-found]  # of the tests

DISTINCT = 30  # notebooks that the class is made of
AGAIN = 20  # every so many arrivals are of somebody who has handed in before
PAGE = ROOT / "docs" / "deadline.md"
SHOWN_MINUTES = 10  # between two lines of the page


def main() -> int:
    """Holds the rate, prints a line each minute, and says what was lost."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        if options.module == "toy":
            module = Course(toy_course.write_course(Path(scratch) / "course")).module("toy")
            wrong = toy_course.solved(double="def double(x):\n    return x * x")
            notebooks = [toy_course.solved(), wrong]
        else:
            given = Course(ROOT).module(options.module)
            notebooks = [path.read_bytes() for path in make_class(given, Path(scratch) / "class", DISTINCT)]
            make_course(given, [], Path(scratch) / "course")
            module = Course(Path(scratch) / "course").module(given.name)
        deadline = Deadline(module, notebooks)
        lost = deadline.hold(options.minutes, options.sample)
    if options.write:
        write_whole(PAGE, page(module.name, deadline.rate, deadline.looks, len(deadline.newest), len(lost)))
    return 1 if lost else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", nargs="?", default="toy", help="a module of this course (default: the tests' toy)")
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="of arrivals (default: 60)")
    parser.add_argument("--sample", type=int, default=60, metavar="N", help="submissions to measure by (default: 60)")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    return parser.parse_args()


@dataclass(frozen=True)
class Look:
    """What was seen once a minute: submissions, seconds, the grader's MB of its own and with its workers, and the load."""

    minute: int
    arrived: int
    waiting: int
    oldest: float
    own: float
    everybody: float
    load: float

    @property
    def graded(self) -> int:
        return self.arrived - self.waiting

    def __str__(self) -> str:
        return (
            f"{self.arrived} arrived, {self.graded} graded, {self.waiting} wait, the oldest for {self.oldest:.0f} s; "
            f"{self.own:.0f} MB of the grader's own, with workers {self.everybody:.0f} MB; load {self.load:.1f}"
        )


@dataclass
class Deadline:
    """The class, and who has handed in what. `waiting` has of each student whose newest file is not graded its time."""

    module: Module
    notebooks: list[bytes]
    newest: dict[str, str] = field(default_factory=dict)  # by student: the SHA-256
    waiting: dict[str, float] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    rate: float = 0.0  # submissions a second that can be graded
    start: float = 0.0  # of the hour
    arrived: int = 0

    def hold(self, minutes: float, sample: int) -> list[str]:
        """Lets submissions arrive for so many minutes, waits until all are graded, and gives those who were lost."""
        self.function = Contents(self.module).functions[0]
        (self.module.root / "submitted").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "autograder.cli", "grade", self.module.name, "--watch", "--no-gradebook"]
        where = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
        log = (self.module.root / "log.txt").open("w+")
        process = subprocess.Popen(command, cwd=self.module.root, env=where, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.rate = self._measured(process, sample)
            print(f"{60 * self.rate:.0f} a minute can be graded here; {120 * self.rate:.0f} a minute arrive", flush=True)
            self.start = time.monotonic()
            self._go_on(process, lambda: time.monotonic() - self.start < 60 * minutes, 2 * self.rate)
            print("nobody arrives any more", flush=True)
            self._go_on(process, lambda: bool(self.waiting), 0)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
        log.seek(0)
        print(log.read().strip())
        return self._lost()

    def _measured(self, process: "subprocess.Popen[bytes]", sample: int) -> float:
        """Submissions a second: once one is graded, so that the workers have started, from the first of many to the last."""
        self._hand_in(1)
        for count in (0, sample):
            self._hand_in(count)
            while self.waiting:
                _require(process)
                time.sleep(0.5)
                self._look()
        times = sorted(path.stat().st_mtime for path in self._result("*").parent.glob("[!.]*.json"))[1:]
        return (len(times) - 1) / (times[-1] - times[0])

    def _go_on(self, process: "subprocess.Popen[bytes]", longer: Callable[[], bool], rate: float) -> None:
        """Lets `rate` submissions a second arrive for as long as `longer` holds, and prints a line each minute."""
        start, before, minute = time.monotonic(), self.arrived, 0
        while longer():
            _require(process)
            self._hand_in(before + int((time.monotonic() - start) * rate) - self.arrived)
            if time.monotonic() - start >= 60 * minute:
                self._look()
                self._say(process)
                minute += 1
            time.sleep(0.5)
            if not rate:
                self._look()
        self._look()
        self._say(process)

    def _hand_in(self, count: int) -> None:
        for _ in range(count):
            again = self.arrived % AGAIN == AGAIN - 1
            student = f"student-{self.arrived // 2 if again else self.arrived:06d}"
            student = student if not again or student in self.newest else f"student-{self.arrived:06d}"
            data = different(self.notebooks[self.arrived % len(self.notebooks)], self.function, self.arrived)
            path = self.module.root / "submitted" / student / self.module.name / self.module.notebook
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self.newest[student] = hashlib.sha256(data).hexdigest()
            self.waiting[student] = time.time()
            self.arrived += 1

    def _result(self, student: str) -> Path:
        return self.module.grades / "results" / f"{student}.json"

    def _look(self) -> None:
        """Takes out who is graded; and the recordings of what was observed a minute ago, of which none is asked for."""
        for student, since in list(self.waiting.items()):
            path = self._result(student)
            if path.is_file() and path.stat().st_mtime >= since and self._graded(student):
                del self.waiting[student]
        for path in Course(self.module.root).store.glob("[!.]*"):
            if time.time() - path.stat().st_mtime > 60:
                path.unlink(missing_ok=True)

    def _graded(self, student: str) -> bool:
        """Whether the newest file of a student has a grade."""
        result = json.loads(self._result(student).read_text())
        return bool(result["status"] == "graded" and result["notebook_sha256"] == self.newest[student])

    def _say(self, process: "subprocess.Popen[bytes]") -> None:
        oldest = time.time() - min(self.waiting.values()) if self.waiting else 0
        everybody = sum(map(proportional, family(process.pid))) / MEGABYTE
        minute, load = round((time.monotonic() - self.start) / 60), os.getloadavg()[0]
        look = Look(minute, self.arrived, len(self.waiting), oldest, _own(process.pid), everybody, load)
        self.looks.append(look)
        print(look, flush=True)

    def _lost(self) -> list[str]:
        """Those whose newest file has no grade, and who have no line in grades.csv."""
        with (self.module.grades / "grades.csv").open(encoding="utf-8", newline="") as file:
            rows = {row["student"] for row in csv.DictReader(file)}
        lost = [student for student in self.newest if student not in rows or not self._graded(student)]
        print(f"{len(self.newest)} students, {self.arrived} submissions, {len(lost)} lost", *lost[:10])
        return lost


def page(module: str, rate: float, looks: list[Look], students: int, lost: int) -> str:
    """The page about a run of so many `students`, graded at `rate` submissions a second before it began."""
    shown = {look.minute: look for look in looks if look.minute % SHOWN_MINUTES == 0 or look is looks[-1]}
    table = [
        f"| {minute} | {look.arrived:,} | {look.graded:,} | {look.waiting:,} | {look.oldest / 60:.0f} min | {look.own:.0f} | "
        f"{look.everybody:,.0f} | {look.load:.1f} |"
        for minute, look in shown.items()
    ]
    return f"""# An hour at a deadline

Made by `python benchmarks/deadline.py {module} --write`, on {os.cpu_count()} cores. `autograder grade {module} --watch
--no-gradebook` could grade {60 * rate:.0f} submissions a minute before the hour began. Then twice as many arrived, no two of
them the same, every twentieth of somebody who handed in again; nothing was taken from kept recordings. Then nobody came any
more, and the rest was graded: {students:,} students, {looks[-1].arrived:,} submissions, {lost} lost. Of somebody who hands in
again while the first is waiting, the newest alone is graded, and stands for both here.

Memory is in MB: the grader's own, which holds what it knows of each student, and with all workers, shared pages once. The
load is all that the machine did, other work among it.

| minute | arrived | graded | wait | the oldest for | grader | with workers | load |
|---:|---:|---:|---:|---:|---:|---:|---:|
{chr(10).join(table)}
"""


def different(data: bytes, function: str, number: int) -> bytes:
    """The notebook with a line more in `function`, so that it is another submission with the same grade."""
    notebook = json.loads(data)
    for cell in notebook["cells"]:
        lines = "".join(cell["source"]).splitlines()
        if cell["cell_type"] != "code" or not (found := _body(lines, function)):
            continue
        line, indent = found
        cell["source"] = "\n".join([*lines[:line], f"{' ' * indent}arrival = {number}", *lines[line:]])
    return json.dumps(notebook).encode()


def _body(lines: list[str], function: str) -> tuple[int, int] | None:
    """The last statement of a function's body: the lines before it, and its indent; None where it is not defined here."""
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == function and node.body[0].lineno > node.lineno:
            return node.body[-1].lineno - 1, node.body[-1].col_offset
    return None


def _own(pid: int) -> float:
    """What a process has in memory of its own, in MB: no file, and no page of a library that others have too."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024


def _require(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        sys.exit(f"the grader ended with {process.returncode}: see its words above")


if __name__ == "__main__":
    sys.exit(main())
