"""`check("count_parameters")` in a student's notebook: the grader's public probes and checks, on the code run so far.

The functions are taken from the cells that were run in this session, as the grader takes them from the notebook, and
run in a process of their own: an endless loop or a crash there leaves the notebook and its work alone.
"""

import atexit
import contextlib
import difflib
import functools
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autograder.course.checks import Check
from autograder.course.needs import needs_in
from autograder.defaults import NOTEBOOK_PROBE_SECONDS
from autograder.errors import CheckError, ChecksFailed, CourseError, GraderFault, Malformed
from autograder.grading.contents import collect
from autograder.grading.diagnose import KNOWN, KnownMistake, Place, diagnose_all, load_known
from autograder.grading.grader import Graded
from autograder.grading.judge import Judged, judge
from autograder.grading.naming import by_check, probes_of, with_hints, with_insides
from autograder.grading.observer import Observer
from autograder.grading.recordings import Recording, load_recording
from autograder.grading.report import as_text, check_table, number
from autograder.grading.wrappings import Undo, undone_for
from autograder.installed import package_series
from autograder.sandboxed.notebook import Cell, Code, Released, parse, select, squeezed_hash
from autograder.students.newer import told

AGAIN = "get the assignment's folder again (your notebook keeps its place: only checks/ and data/ are replaced)"

ABOUT = ("exercises", "points", "cells", "released", "files")  # what `module.json` must say
BROKEN = re.compile("does not run|could not be read")  # how the notes on cells that are no Python begin


class Bundle:
    """The `checks/` folder of a released module: public probes and checks, recordings instead of answers.

    Args:
        notebook: which of the module's notebooks is checked, where it has several.

    Raises:
        CheckError: the folder is missing, damaged, or made for another version of this package.
    """

    def __init__(self, folder: Path, limit: float = NOTEBOOK_PROBE_SECONDS, notebook: str = ""):
        about = next(each for each in notebooks_of(read_about(folder)) if not notebook or each["notebook"] == notebook)
        self.folder = folder
        self.exercises: dict[str, list[str]] = about["exercises"]
        self.points: dict[str, float] = about["points"]
        self.functions = [name for names in self.exercises.values() for name in names]
        self.released = Released.from_dict(about["released"])
        self._has_checks = "checks/test_public.py" in about["files"]
        how: dict[str, Any] = {"released": self.released, "needs": needs_in(folder.parent), "sandbox": "none"}
        self.observer = Observer(folder, "probes_public", self.functions, **how, limit=limit, workers=1)

    @functools.cached_property
    def checks(self) -> list[Check]:
        for name in [name for name in sys.modules if name.split(".")[0] == self.folder.name]:
            del sys.modules[name]  # another assignment's checks, where one session opens two
        return collect(self.folder, ["test_public.py"]) if self._has_checks else []

    @functools.cached_property
    def reference(self) -> Recording:
        return load_recording(self.folder / "reference.safetensors")

    @functools.cached_property
    def catalogue(self) -> tuple[list[KnownMistake], frozenset[Place]]:
        return load_known(self.folder / KNOWN)

    def grade(self, code: Code, functions: list[str]) -> Graded:
        """The public verdicts on `functions`.

        Raises:
            CheckError: the checks themselves cannot work, or were interrupted.
        """
        with _in_one_line():
            return self._grade(code, functions)

    def _grade(self, code: Code, functions: list[str]) -> Graded:
        only = functions[0] if len(functions) == 1 else None
        expected = {True: self.reference}
        observed = {True: self.observer.observe(code, only=only, printed=True)}
        judged = judge([check for check in self.checks if check.function in functions], observed, expected)
        found: dict[str, KnownMistake] = {}
        for function in functions:
            mine = [j for j in judged if j.verdict.function == function]
            if any(j.verdict.wrong for j in mine):
                undo = self._undo.get(function, [])
                found |= by_check(mine, with_insides(observed, expected, mine, undo, self._explaining))
        verdicts = tuple(with_hints([j.verdict for j in judged], found))
        return Graded(verdicts, observed[True].notes, printed=self._printed(observed[True]))

    @functools.cached_property
    def _undo(self) -> dict[str, list[Undo]]:
        return undone_for(self.checks)

    def _explaining(self, seen: Mapping[bool, Recording], judged: list[Judged]) -> list[KnownMistake]:
        mistakes, varying = self.catalogue
        known = [mistake for mistake in mistakes if mistake.of == judged[0].verdict.function]
        probes = probes_of(j for j in judged if j.verdict.wrong)
        return diagnose_all(seen, {True: self.reference}, probes, known, varying)

    def _printed(self, recording: Recording) -> dict[str, str]:
        """What each function printed as the probes asked it, the same text once."""
        texts: dict[str, dict[str, None]] = {}
        for probe, function, _ in self.observer.probes:
            observation = recording.observations.get(probe)
            if observation and observation.printed.strip():
                texts.setdefault(function, {})[observation.printed.rstrip()] = None
        return {function: "\n".join(said) for function, said in texts.items()}

    def closing(self, graded: Graded, functions: list[str]) -> str:
        """What to say below the verdicts on `functions`: these are not all the checks."""
        hidden = sum(self.points[function] for function in functions) - graded.maximum
        if not graded.verdicts:
            names = ", ".join(f"`{function}`" for function in functions)
            return f"There are no public checks of {names}: hidden ones, worth {number(hidden)} points, come with the grade."
        good = "All public checks pass. " if graded.score == graded.maximum and not graded.newest else ""
        if not hidden:
            return f"{good}There are no hidden checks here."
        return (
            f"{good}These are the public checks, worth {number(graded.maximum)} of "
            f"{number(graded.maximum + hidden)} points; hidden ones, with other inputs, are worth the other {number(hidden)}."
        )


@contextlib.contextmanager
def _in_one_line() -> Iterator[None]:
    """Turns whatever can go wrong around the checks into a `CheckError`."""
    try:
        yield
    except CheckError:
        raise
    except KeyboardInterrupt:
        raise CheckError("interrupted. Your notebook is as it was; the next check starts afresh.") from None
    except FileNotFoundError as error:
        raise CheckError(f"{error.filename} is missing: {AGAIN}.") from None
    except (GraderFault, CourseError, Malformed, MemoryError, OSError) as error:
        raise CheckError(
            f"the checks do not work here ({_first_line(error)}): restart the kernel, or {AGAIN}."
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_about(folder: Path) -> dict[str, Any]:
    """What a `checks/` folder says of itself, `module.json`.

    Raises:
        CheckError: it is missing, damaged, or made for another version of this package.
    """
    if not folder.is_dir():
        raise CheckError(
            f"{folder} is missing: work in the assignment's own folder, with checks/ and data/ beside the notebook."
        )
    try:
        about: dict[str, Any] = json.loads((folder / "module.json").read_text(encoding="utf-8"))
        needs, _ = about["needs"], [each[name] for each in notebooks_of(about) for name in ABOUT]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckError(f"{folder / 'module.json'} is missing, damaged or too old: {AGAIN}.") from None
    mine = package_series()
    if needs != mine:
        newer = _numbers(needs) > _numbers(mine)
        mend = "update the package as docs/for-students.md says (`pip install --upgrade …`)" if newer else AGAIN
        raise CheckError(f"{folder} is for version {needs} of the package, and {mine} is installed: {mend}.")
    return about


def notebooks_of(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What `module.json` says, of each of the module's notebooks."""
    several = about.get("notebooks", {})
    return [{**about, "notebook": name, **own} for name, own in several.items()] if several else [about]


def likeliest(notebooks: list[dict[str, Any]], cells: list[Cell]) -> list[dict[str, Any]]:
    """Those of a module's notebooks that these cells are of: as many of the released statements stand in no other one."""
    texts = {squeezed_hash(statement.text) for statement in parse(cells)[0]} if len(notebooks) > 1 else set()
    found = [len(texts.intersection(Released.from_dict(each["released"]).texts)) for each in notebooks]
    return [each for each, count in zip(notebooks, found, strict=True) if count == max(found)]


def _numbers(series: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(series))]


# --- in the notebook --------------------------------------------------------------------------------------------------


def check(name: str | None = None) -> None:
    """Runs the public checks of a function, or of an exercise, or with no name of all, and shows what they say.

    Raises:
        CheckError: an unknown name, or no `checks/` folder beside the notebook.
        ChecksFailed: a check failed, and nbgrader runs the notebook (`nbgrader validate`).
    """
    from IPython.display import publish_display_data

    with _in_one_line():
        cells = _cells()
        bundle = _bundle_here(name, cells)
        code = select(cells, bundle.functions, bundle.released, newest=True)
        graded = _for_session(bundle.grade(code, _functions(bundle, name)))
        graded = replace(graded, newest=_newest_broken(cells, code, _functions(bundle, name)))
    closing = " ".join(filter(None, [bundle.closing(graded, _functions(bundle, name)) + _where_cells_are(graded), told()]))
    text = f"{as_text(graded)}\n{closing}"
    if graded.score < graded.maximum and "NBGRADER_EXECUTION" in os.environ:
        raise ChecksFailed(text)
    publish_display_data({"text/html": check_table(graded, bundle.exercises, closing), "text/plain": text})


def _bundle_here(name: str | None, cells: list[Cell]) -> Bundle:
    """What is checked in this session: of several notebooks that one of which its cells are."""
    folder = Path.cwd() / "checks"
    notebooks = _notebooks(folder)
    if len(notebooks) == 1:
        return _bundle(folder)
    here = likeliest(notebooks, cells)
    asked = [each for each in notebooks if name in each["exercises"] or name in each["points"]]
    if name is None and len(here) > 1:
        raise CheckError("no cell of yours has been run yet: run the cells above first, or name an exercise.")
    if not asked or asked[0] in here or _defined(asked[0], cells):
        return _bundle(folder, (asked or here)[0]["notebook"])
    raise CheckError(f"`{name}` belongs to {asked[0]['notebook']}, and no cell that was run here defines it: check it there.")


def _defined(about: dict[str, Any], cells: list[Cell]) -> bool:
    bound = {name for statement in parse(cells)[0] for name in statement.binds}
    return not bound.isdisjoint(about["points"])


@functools.cache
def _notebooks(folder: Path) -> list[dict[str, Any]]:
    return notebooks_of(read_about(folder))


@functools.cache
def _bundle(folder: Path, notebook: str = "") -> Bundle:
    bundle = Bundle(folder, notebook=notebook)
    atexit.register(bundle.observer.close)
    return bundle


def _functions(bundle: Bundle, name: str | None) -> list[str]:
    if name is None:
        return bundle.functions
    if str(name) in bundle.exercises:
        return bundle.exercises[str(name)]
    if str(name) in bundle.functions:
        return [str(name)]
    names = [*bundle.functions, *bundle.exercises]
    near = difflib.get_close_matches(getattr(name, "__name__", str(name)), names, n=1)
    raise CheckError(
        f"there is no exercise {name!r}: "
        + (f'did you mean check("{near[0]}")?' if near else f"there are {', '.join(names)}.")
    )


def _cells() -> list[Cell]:
    """The cells run so far, by their execution number."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise CheckError("check works inside a notebook; for a file use `autograder check FILE`.")
    return [Cell(number, text) for number, text in enumerate(shell.history_manager.input_hist_raw) if number and text]


def _newest_broken(cells: list[Cell], code: Code, functions: list[str]) -> dict[str, str]:
    """Of the functions whose newest cell is no Python, what that is and which run is judged instead: the notebook, too,
    goes on with what ran before."""
    said = {}
    for name in functions:
        writes = re.compile(rf"^[ \t]*(?:async +)?def +{name}\b", re.MULTILINE)
        newest = max((cell.number for cell in cells if writes.search(cell.source)), default=0)
        judged = code.homes.get(name, 0)
        if newest > judged and BROKEN.match(code.notes.get(newest, "")) and any(cell == judged for cell, _, _ in code.pieces):
            said[name] = (
                f"The newest `{name}`, run [{newest}], {code.notes[newest]}. Judged here is run [{judged}], which is still "
                "what the notebook uses: mend the newest and run it."
            )
    return said


def _for_session(graded: Graded) -> Graded:
    """What the notebook does not define may stand in a cell that was not run."""
    for_file, for_session = r"is not defined in the notebook(?!: cell \d+ defines)", "is not defined yet: run its cell first"
    return replace(
        graded, verdicts=tuple(replace(v, message=re.sub(for_file, for_session, v.message)) for v in graded.verdicts)
    )


def _where_cells_are(graded: Graded) -> str:
    named = next((found for v in graded.verdicts if (found := re.search(r"\bcell (\d+)\b", v.message))), None)
    return f" Cell {named[1]} is the one that shows [{named[1]}] beside it." if named else ""


def warm_up() -> None:
    """Starts the checking process in the background when a notebook imports `check`, so that the first one is quick.

    Not for a module of several notebooks: which one this is, its cells say later.
    """
    with contextlib.suppress(CourseError, GraderFault):  # `check` itself says what is wrong
        if len(_notebooks(Path.cwd() / "checks")) == 1:
            _bundle(Path.cwd() / "checks").observer.start()
