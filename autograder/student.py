"""`check("count_parameters")` in a student's notebook: the grader's public probes and checks, on the code run so far.

The functions are taken from the cells that were run in this session, as the grader takes them from the notebook, and
run in a process of their own: an endless loop or a crash there leaves the notebook and its work alone.
"""

import atexit
import functools
import json
import os
from pathlib import Path

from autograder.course import CourseError
from autograder.diagnose import KNOWN, KnownMistake, diagnose, load_known
from autograder.grading import Graded, probes_of, with_hints
from autograder.judge import collect, judge
from autograder.notebook import Cell, Code, select
from autograder.observer import GraderFault, Observer, Recording, load_recording
from autograder.recording import Malformed
from autograder.report import as_text, check_table

SECONDS = 10.0


class CheckError(Exception):
    """`check` cannot work here; the message says why and how to mend it."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback: one line with the mend is enough."""
        return [f"check: {self}"]


class Bundle:
    """The `checks/` folder of a released module: public probes and checks, recordings instead of answers."""

    def __init__(self, folder: Path):
        about = json.loads((folder / "module.json").read_text(encoding="utf-8"))
        self.folder, self.exercises = folder, about["exercises"]
        self.functions = [name for names in self.exercises.values() for name in names]
        self.observer = Observer(folder, "probes_public", self.functions, sandbox="none", limit=SECONDS)
        atexit.register(self.observer.close)

    @functools.cached_property
    def checks(self) -> list:
        return collect(self.folder, ["test_public.py"])

    @functools.cached_property
    def reference(self) -> Recording:
        return load_recording(self.folder / "reference.safetensors")

    @functools.cached_property
    def mistakes(self) -> list[KnownMistake]:
        return load_known(self.folder / KNOWN)

    def grade(self, code: Code, functions: list[str]) -> Graded:
        """The public verdicts on `functions`."""
        only = functions[0] if len(functions) == 1 else None
        observed, expected = {True: self.observer.observe(code, only=only)}, {True: self.reference}
        judged = judge([check for check in self.checks if check.function in functions], observed, expected)
        found = {}
        for function in functions:
            failing = [j for j in judged if j.verdict.function == function and j.verdict.wrong]
            known = [mistake for mistake in self.mistakes if mistake.of == function] if failing else []
            found[function] = diagnose(observed, expected, probes_of(failing), known)
        return Graded(tuple(with_hints([j.verdict for j in judged], found)), observed[True].notes)


def check(name: str | None = None) -> None:
    """Runs the public checks of a function, or of an exercise, or with no name of all, and shows what they say.

    Raises:
        CheckError: an unknown name, or no `checks/` folder beside the notebook.
    """
    bundle = _bundle(Path.cwd() / "checks")
    functions, code = _functions(bundle, name), select(_cells(), bundle.functions)
    try:
        graded = bundle.grade(code, functions)
    except (GraderFault, CourseError, Malformed) as error:
        raise CheckError(
            f"the checks themselves failed ({error}): restart the kernel, or get the folder again."
        ) from None
    _show(graded, bundle.exercises)
    if os.environ.get("NBGRADER_EXECUTION") == "validate" and graded.score < graded.maximum:
        raise CheckError(as_text(graded))  # `nbgrader validate` knows a failure by its exception


@functools.cache
def _bundle(folder: Path) -> Bundle:
    if not (folder / "module.json").is_file():
        raise CheckError(
            f"{folder} is missing: open the notebook from its own folder, with checks/ and data/ beside it."
        )
    return Bundle(folder)


def _functions(bundle: Bundle, name: str | None) -> list[str]:
    if name is None:
        return bundle.functions
    if name in bundle.exercises:
        return bundle.exercises[name]
    if name in bundle.functions:
        return [name]
    import difflib

    names = [*bundle.functions, *bundle.exercises]
    near = difflib.get_close_matches(str(name), names, n=1)
    raise CheckError(
        f"there is no exercise {name!r}: "
        + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}.")
    )


def _cells() -> list[Cell]:
    """The cells run so far, by their execution number."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise CheckError("check works inside a notebook; for a file use `autograder grade MODULE FILE`.")
    return [Cell(number, text) for number, text in enumerate(shell.history_manager.input_hist_raw) if number and text]


def _show(graded: Graded, exercises: dict[str, list[str]]) -> None:
    from IPython.display import publish_display_data

    publish_display_data({"text/html": check_table(graded, exercises), "text/plain": as_text(graded)})


def warm_up() -> None:
    """Starts the checking process in the background when a notebook imports `check`, so that the first one is quick."""
    folder = Path.cwd() / "checks"
    if (folder / "module.json").is_file():
        _bundle(folder).observer.start()
