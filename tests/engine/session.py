"""A student's session: `check(…)` on the cells of one notebook after another, in a process of its own.

    python session.py FOLDER JOBS VERDICTS

FOLDER is a released assignment; JOBS and VERDICTS are files of JSON. A job is the cells that were run, in their order,
and the names that are then checked, or none for all at once; of each come its verdicts, [state, message] by check, and the
statements that were chosen.
"""

import functools
import json
import os
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from autograder.sandboxed.notebook import Cell, Code, Released
from autograder.students import check as student

LIMIT = 60  # seconds of a probe: also on a busy machine no right answer is late


class Bundle(student.Bundle):
    """The bundle that `check` asks, and what it said last."""

    def grade(self, code, functions):
        self.pieces = code.pieces
        self.graded = super().grade(code, functions)
        return self.graded


def unsettle() -> None:
    """Sets what a student may have set in the session, and what no process of the grader has."""
    warnings.simplefilter("error")
    np.seterr(all="raise")
    np.set_printoptions(precision=1)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    torch.manual_seed(1)
    random.seed(1)
    os.environ |= {"MPLBACKEND": "svg", "OMP_NUM_THREADS": "2", "PYTHONPATH": "/nowhere"}


def select_once(select=student.select):
    """`select`, which the cells of one notebook are given to for each name that is checked, and answers the same."""

    @functools.lru_cache(1)
    def selected(cells: tuple[Cell, ...], functions: tuple[str, ...], released: Released, newest: bool) -> Code:
        return select(cells, functions, released, newest=newest)

    return lambda cells, functions, released, newest: selected(tuple(cells), tuple(functions), released, newest)


def checked(shell: InteractiveShell, bundle: Bundle, cells: list[str], names: list[str]) -> tuple[dict[str, list[str]], list]:
    """The verdicts of `check(name)` for each name, or of `check()`, where `cells` were run, and the statements chosen.

    What is shown has as many ticks.
    """
    shell.history_manager.input_hist_raw = ["", *cells]
    found = {}
    for name in names or [None]:
        with capture_output() as shown:
            student.check(name)
        [display] = shown.outputs
        verdicts = bundle.graded.verdicts
        ticks = display.data["text/plain"].count("✓")
        assert ticks == sum(v.state == "passed" for v in verdicts) and not shown.stdout + shown.stderr, str(shown)
        found |= {verdict.check: [verdict.state, verdict.message] for verdict in verdicts}
    return found, bundle.pieces


def main(folder: str, jobs: str, verdicts: str) -> None:
    student.Bundle, student.select = Bundle, select_once()
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    todo = json.loads(Path(jobs).read_text())
    os.chdir(folder)
    unsettle()
    bundle = student._bundle(Path.cwd() / "checks")
    bundle.observer.limit = LIMIT
    said = [checked(shell, bundle, cells, names) for cells, names in todo]
    Path(verdicts).write_text(json.dumps(said))


if __name__ == "__main__":
    main(*map(os.path.abspath, sys.argv[1:]))
