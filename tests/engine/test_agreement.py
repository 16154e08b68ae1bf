"""A student's own `check(…)` and the grader agree: on every mistake, every alternative, and however a notebook is written.

For each public check the verdict that `check` gives in a session in which the cells were run is the grader's on the file, on
the inputs of the release and on inputs drawn for a class. Notebooks in the session hold many entries of the catalogue at a
time, each in its function's place, and their files are read as the session's cells are; the grader's verdict on an entry is
the one on it alone, as `verify` gives it, whose recordings are found where it has run.
"""

import itertools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import needs_walls

from autograder.course.catalogue import Entry
from autograder.course.course import Course
from autograder.defaults import VERIFY_SEED
from autograder.grading.contents import Contents
from autograder.grading.grader import PUBLIC, Grader, seeds
from autograder.grading.judge import PASSED, judge
from autograder.grading.observer import PUBLIC_SEED
from autograder.sandboxed import PACKAGED_DATA
from autograder.sandboxed.notebook import Code, read_cells, select
from autograder.sandboxed.sandbox import default_readable

pytestmark = [needs_walls, pytest.mark.long]

COURSE, MODULE = Path(__file__).resolve().parents[2], "week08_densenet"
INPUTS = {"released": PUBLIC_SEED, "drawn anew": seeds(VERIFY_SEED)[PUBLIC]}
FILES_OF_DATA = ("batches.meta", "data_batch_1", "test_batch")
PATIENCE = 1200  # seconds until a session that does not end is given up

WALL_TIMES = "test_seconds_of_each_epoch"  # of a mistake it may say either: no two runs take as long

# Where `check` and the grader say different things, and are to: case → the state each gives, and why. Each is needed.
ELSEWHERE = {
    "a copy of the stubs behind, run too": (
        "missing",
        "passed",
        "who ran a stub last may have gone back to it; `check` names the cell, and the grader takes what is written",
    ),
    "evaluate with a socket": ("passed", "failed", "behind the walls there is no network"),
    "evaluate with a file of the machine": ("passed", "failed", "behind the walls there are no such files"),
    "evaluate with a signal to itself": (
        "crashed",
        "passed",
        "behind the walls it is process 1 of a namespace, which the kernel spares the signals it sends itself",
    ),
}
# And where only other inputs than the released ones show a mistake, or hide it: all of them fail hidden checks.
BY_CHANCE = {
    "flips_at_random": {("failed", "passed")},  # an image is turned over, or happens not to be
    "trains_on_the_test_images": {("passed", "failed"), ("failed", "passed")},  # which check sees it depends on the images
}


class Text(str):
    """A cell that is no code."""


@dataclass
class Notebook:
    """A notebook as a student has it.

    Args:
        cells: by the function they are to hold, or by their number.
        asked: the names that `check` is asked for; none for all at once.
        entries: the catalogue's that it holds.
        before: cells that were run before those that it holds now.
    """

    name: str
    cells: dict[str, str]
    asked: list[str]
    entries: list[Entry] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def called(self, function: str) -> str:
        """The name of the entry in this function's place, or of the case."""
        return next((entry.name for entry in self.entries if entry.of == function), self.name)

    @property
    def ran(self) -> list[str]:
        return [*self.before, *(text for text in self.cells.values() if not isinstance(text, Text))]

    @property
    def file(self) -> bytes:
        cells = [
            {"cell_type": "markdown" if isinstance(text, Text) else "code", "metadata": {}, "source": text}
            for text in self.cells.values()
        ]
        return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def code_cells(contents: Contents, stubs: bool = False) -> dict[str, str]:
    """The code cells of the solved notebook, or of the released one."""
    cells = [cell for cell in contents.cells if cell.kind == "code"]
    return {
        cell.about.get("function", f"cell {number}"): cell.stub if stubs else cell.solution
        for number, cell in enumerate(cells, 1)
    }


# --- the catalogue ----------------------------------------------------------------------------------------------------


def with_entries(contents: Contents, entries: list[Entry]) -> list[Notebook]:
    """Notebooks that hold all of `entries` between them, each one a function at most, in place of the function's cell."""
    by_function = [[entry for entry in entries if entry.of == name] for name in contents.functions]
    notebooks = []
    for number, row in enumerate(itertools.zip_longest(*by_function), 1):
        chosen = [entry for entry in row if entry]
        texts = {entry.of: f"{entry.text}\n\n\n{entry.of} = {entry.name}" for entry in chosen}
        names = [entry.of for entry in chosen]
        notebooks.append(Notebook(f"notebook {number}", code_cells(contents) | texts, names, chosen))
    return notebooks


# --- code that is written in another way ------------------------------------------------------------------------------

CASES: dict[str, tuple[list[str], Callable]] = {}


def case(name: str, *asked: str):
    """Registers a change to the solved notebook's `cells`, which gets the released ones too: `change(cells, stubs)`.

    It may return cells that were run before those that the notebook now holds.
    """

    def register(change: Callable) -> Callable:
        CASES[name] = (list(asked), change)
        return change

    return register


@case("a stub below in the same cell", "count_parameters")
def _(cells, stubs):
    cells["count_parameters"] += "\n\n\n" + stubs["count_parameters"]


@case("a stub above in the same cell", "count_parameters")
def _(cells, stubs):
    cells["count_parameters"] = stubs["count_parameters"] + "\n\n\n" + cells["count_parameters"]


@case("a copy of the stubs behind, run too")
def _(cells, stubs):
    cells |= {f"copy of {name}": text for name, text in stubs.items()}


@case("a copy of the stubs in front")
def _(cells, stubs):
    mine = dict(cells)
    cells.clear()
    cells |= {f"copy of {name}": text for name, text in stubs.items()} | mine


@case("the stubs were run first")
def _(cells, stubs):
    return list(stubs.values())


@case("every cell was run twice")
def _(cells, stubs):
    return list(cells.values())


@case("a function in a text cell", "make_transform", "make_loaders")
def _(cells, stubs):
    cells["make_transform"] = Text(f"```python\n{cells['make_transform']}\n```")


@case("the imports last")
def _(cells, stubs):
    first = next(iter(cells))
    cells["imports"] = cells.pop(first)


@case("another name", "make_transform")
def _(cells, stubs):
    cells["make_transform"] = cells["make_transform"].replace("make_transform", "MakeTransform")


@case("a helper named like a later variable", "count_parameters")
def _(cells, stubs):
    helper = "def count(p):\n    return p.numel()\n\n\n"
    body = "    return sum(count(p) for p in net.parameters() if p.requires_grad)\n"
    cells["count_parameters"] = f"{helper}def count_parameters(net):\n{body}"
    cells["behind"] = "count = 3\n"


@case("a helper named like a variable of the released cells", "count_parameters", "fit")
def _(cells, stubs):
    helper = "def net(p):\n    return p.numel()\n\n\n"
    body = "    return sum(net(p) for p in network.parameters() if p.requires_grad)\n"
    cells["count_parameters"] = f"{helper}def count_parameters(network):\n{body}"


@case("a variable that only the run makes", "count_parameters")
def _(cells, stubs):
    cells["count_parameters"] = "def count_parameters(network):\n    return sum(p.numel() for p in net.parameters())\n"


@case("a package that nobody has", "evaluate")
def _(cells, stubs):
    cells["evaluate"] = "from no_such_package import accuracy\n" + cells["evaluate"]


@case("a package that nobody has, used", "evaluate")
def _(cells, stubs):
    used = cells["evaluate"].replace("    net.eval()", "    net.eval()\n    accuracy([1], [1])", 1)
    cells["evaluate"] = "from no_such_package import accuracy\n" + used


def loaders_with(how: str):
    def change(cells, stubs):
        cells["make_loaders"] = (
            f"def make_loaders(train_set, test_set, batch_size=32):\n    how = dict(batch_size=batch_size, {how})\n"
            "    return DataLoader(train_set, shuffle=True, **how), DataLoader(test_set, **how)\n"
        )

    return change


for _method in ("spawn", "forkserver", "fork"):
    _how = f"num_workers=1, multiprocessing_context='{_method}'"
    case(f"loaders whose workers start by {_method}", "make_loaders")(loaders_with(_how))
case("loaders with workers that stay", "make_loaders")(loaders_with("num_workers=1, persistent_workers=True"))


@case("a compiled network", "evaluate")
def _(cells, stubs):
    compiled = cells["evaluate"].replace("net.eval()", "net.eval()\n    run = torch.compile(net, backend='eager')", 1)
    cells["evaluate"] = compiled.replace("scores = net(images)", "scores = run(images)")


def evaluating(line: str):
    """`evaluate` that begins with a line of its own."""

    def change(cells, stubs):
        cells["evaluate"] = cells["evaluate"].replace("    net.eval()\n", f"    {line}\n    net.eval()\n", 1)

    return change


LINES = {
    "a file in the working folder": "open('notes.txt', 'w').write('x'); open('notes.txt').read()",
    "a file in data": "open('data/notes.txt', 'w').close()",
    "a file in /tmp": "torch.save(net.state_dict(), '/tmp/agreement.pt'); __import__('os').remove('/tmp/agreement.pt')",
    "a file in the home folder": "import os; open(os.path.expanduser('~/notes.txt'), 'w').close()",
    "a temporary file": "import tempfile; tempfile.NamedTemporaryFile().write(b'1')",
    "a locked file": "import fcntl; fcntl.flock(open('lock', 'w'), fcntl.LOCK_EX)",
    "a file of the machine": "open('/proc/meminfo').close()",
    "the tiny data": "from autograder import TinyCIFAR10; TinyCIFAR10('data', train=True)",
    "threads and all cores": "import os; torch.set_num_threads(os.cpu_count())",
    "a pool of processes": "import multiprocessing; multiprocessing.get_context('fork').Pool(2).map(abs, [1, 2])",
    "a program": "import subprocess; subprocess.run(['true'], check=True)",
    "a line for the shell": "import subprocess; subprocess.run('true | true', shell=True, check=True)",
    "a socket": "import socket; socket.socket()",
    "a signal to itself": "import os; os.kill(os.getpid(), 15)",
    "a crash": "import ctypes; ctypes.string_at(0)",
    "the end": "import sys; sys.exit()",
    "deep recursion": "import sys; sys.setrecursionlimit(20000)",
    "a question": "input('go on? ')",
    "a warning": "import warnings; warnings.warn('careful')",
    "a figure": "plt.plot([1]); plt.show()",
    "the GPU, if there is one": "device = 'cuda' if torch.cuda.is_available() else device",
}
if any(place.is_relative_to("/tmp") for place in default_readable()):
    del LINES["a file in /tmp"]  # where Python lies, the walls let nothing be written
for _what, _line in LINES.items():
    case(f"evaluate with {_what}", "evaluate")(evaluating(_line))


def with_first_line(line: str):
    def change(cells, stubs):
        cells["count_parameters"] = f"{line}\n{cells['count_parameters']}"

    return change


FIRST = {
    "%%time": "%%time", "%%capture": "%%capture", "a magic": "%matplotlib inline", "the shell": "!true",
    "an assertion that fails": "assert 1 == 2", "numpy strict": "np.seterr(all='raise')",
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
    "double precision": "torch.set_default_dtype(torch.float64)", "no gradients": "torch.set_grad_enabled(False)",
    "a prompt": ">>> print(1)", "future annotations": "from __future__ import annotations",
    "a star import": "from torch import *", "a syntax error": "count parameters",
}  # fmt: skip
for _what, _line in FIRST.items():
    case(f"a cell with {_what}")(with_first_line(_line))


def changed(contents: Contents) -> list[Notebook]:
    """The solved notebook in each of `CASES`."""
    notebooks = []
    for name, (asked, change) in CASES.items():
        cells = code_cells(contents)
        before = change(cells, code_cells(contents, stubs=True))
        notebooks.append(Notebook(name, cells, asked, before=before or []))
    return notebooks


# --- both sides -------------------------------------------------------------------------------------------------------

Verdicts = dict[str, tuple[str, str]]  # state and message by check


class Compared:
    """What `check` and the grader say of notebooks."""

    def __init__(self, folder: Path):
        with Grader(Course(COURSE).module(MODULE), VERIFY_SEED, workers=2) as grader:
            contents = self.contents = grader.contents
            self.checks = [check for check in contents.checks if check.public]
            catalogue = [book for kind in (contents.mistakes, contents.alternatives) for book in with_entries(contents, kind)]
            self.notebooks = [*changed(contents), *catalogue]
            session = self._session(folder)
            try:
                self.grader = self._graded(grader)
                assert session.wait(PATIENCE) == 0
            finally:
                session.kill()
        said = json.loads((folder / "verdicts.json").read_text())
        self.student: list[Verdicts] = [verdicts for verdicts, _ in said]
        self.chosen: list[list] = [pieces for _, pieces in said]

    def _session(self, folder: Path) -> subprocess.Popen:
        jobs, verdicts = folder / "jobs.json", folder / "verdicts.json"
        jobs.write_text(json.dumps([[notebook.ran, notebook.asked] for notebook in self.notebooks]))
        program = Path(__file__).with_name("session.py")
        return subprocess.Popen([sys.executable, program, self.contents.module.release, jobs, verdicts])

    def _graded(self, grader: Grader) -> dict[str, list[Verdicts]]:
        """By the inputs, what the grader says of each notebook."""
        expected = {"released": grader.naming.expected[PUBLIC], "drawn anew": grader.expected[PUBLIC]}

        def verdicts(notebook: Notebook) -> dict[str, Verdicts]:
            found: dict[str, Verdicts] = {inputs: {} for inputs in INPUTS}
            for code, only in self._codes(grader, notebook):
                checks = [check for check in self.checks if only in (None, check.function)]
                for inputs, seed in INPUTS.items():
                    seen = {PUBLIC: grader.observers[PUBLIC].observe(code, seed, only)}
                    judged = judge(checks, seen, {PUBLIC: expected[inputs]})
                    found[inputs] |= {j.verdict.check: (j.verdict.state, j.verdict.message) for j in judged}
            return found

        with ThreadPoolExecutor(grader.workers) as pool:
            said = list(pool.map(verdicts, self.notebooks))
        return {inputs: [found[inputs] for found in said] for inputs in INPUTS}

    @staticmethod
    def _codes(grader: Grader, notebook: Notebook) -> list[tuple[Code, str | None]]:
        """What is observed of a notebook, and of which function alone: each entry, or the file."""
        if notebook.entries:
            return [(grader.contents.code(entry), entry.of) for entry in notebook.entries]
        return [(grader.read(notebook.file), notebook.asked[0] if len(notebook.asked) == 1 else None)]

    def disagreements(self, inputs: str) -> dict[str, set[tuple[str, str]]]:
        """Case or catalogue entry → the pairs of states, `check`'s and the grader's, of which one is a pass."""
        about = {check.name: check.function for check in self.checks}
        found = defaultdict(set)
        for notebook, mine, theirs in zip(self.notebooks, self.student, self.grader[inputs], strict=True):
            for check, (state, _) in mine.items():
                if check != WALL_TIMES and (state == PASSED) != (theirs[check][0] == PASSED):
                    found[notebook.called(about[check])].add((state, theirs[check][0]))
        return dict(found)


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Compared:
    return Compared(tmp_path_factory.mktemp("agreement"))


def states(listed: dict[str, tuple[str, str, str]]) -> dict[str, set[tuple[str, str]]]:
    return {name: {(mine, theirs)} for name, (mine, theirs, _) in listed.items()}


def test_check_and_grader_agree_on_the_released_inputs(compared):
    assert compared.disagreements("released") == states(ELSEWHERE)


def test_check_and_grader_agree_on_inputs_drawn_for_a_class(compared):
    assert compared.disagreements("drawn anew") == states(ELSEWHERE) | BY_CHANCE


def test_the_whole_catalogue_is_compared_and_every_check(compared):
    contents = compared.contents
    entries = [entry for notebook in compared.notebooks for entry in notebook.entries]
    assert {entry.name for entry in entries} == {entry.name for entry in [*contents.mistakes, *contents.alternatives]}
    assert {check for mine in compared.student for check in mine} == {check.name for check in compared.checks}


def test_a_file_of_entries_is_read_as_the_session_s_cells_are(compared):
    contents = compared.contents
    for notebook, chosen in zip(compared.notebooks, compared.chosen, strict=True):
        if notebook.entries:
            code = select(read_cells(notebook.file), contents.functions, contents.released)
            assert [list(piece) for piece in code.pieces] == chosen, notebook.name


def test_a_mistake_beside_others_is_still_caught(compared):
    public, missed = {check.name for check in compared.checks}, []
    for notebook, mine in zip(compared.notebooks, compared.student, strict=True):
        for entry in notebook.entries:
            if entry.caught_by and public.issuperset(entry.caught_by):
                missed += [entry.name] if all(mine[check][0] == PASSED for check in entry.caught_by) else []
    assert not missed


def test_check_writes_nothing_into_the_package(compared):
    assert {path.name for path in PACKAGED_DATA.rglob("*")} == {"tiny-cifar-10", *FILES_OF_DATA}
