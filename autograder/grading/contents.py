"""What a module holds: its cells, functions, checks and catalogue, each read once.

Checks are collected by pytest itself (so that plain `assert` explains itself), and then called for one recording after
another: a class is judged without a pytest start for each submission.
"""

import contextlib
import hashlib
import inspect
import io
import json
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder.course import source
from autograder.course.catalogue import Entry, read_catalogue
from autograder.course.checks import HIDDEN_FILE, Check, Remark
from autograder.course.course import Module, nearest
from autograder.course.imports import parsed, place
from autograder.course.needs import Needs, needs_of
from autograder.course.versions import Versions, versions_of
from autograder.errors import CourseError
from autograder.sandboxed.notebook import Code, Released, Statement, choose, needed, released_by


class Contents:
    """What a module holds. What is asked for first is read first; all of it raises `CourseError`, with the mend."""

    def __init__(self, module: Module):
        self.module = module
        self._codes: dict[tuple[str, str, str], Code] = {}

    @cached_property
    def cells(self) -> list[source.SourceCell]:
        """The source's cells."""
        return [cell for path in self._sources for cell in source.read_source(path)]

    @property
    def _sources(self) -> list[Path]:
        return self.module.sources or [self.module.source]  # which says that there is none

    @cached_property
    def parts(self) -> list["Contents"]:
        """What each of the module's notebooks holds; itself where it is one."""
        return [self] if len(self.module.parts) == 1 else [Contents(part) for part in self.module.parts]

    @cached_property
    def elsewhere(self) -> set[str]:
        """The functions of the module's other notebooks, where this is one of several."""
        others = [part for part in self.module.whole.parts if self.module.part and part != self.module]
        return {name for part in others for name in Contents(part).functions}

    @cached_property
    def exercises(self) -> dict[str, list[str]]:
        """The functions of each exercise."""
        return source.exercises(self.cells)

    @cached_property
    def functions(self) -> list[str]:
        """The contract's functions in the notebook's order."""
        return source.functions(self.cells)

    @cached_property
    def statements(self) -> list[Statement]:
        """The code cells' statements, with the solutions in them. Names of one notebook are not known in another, so that
        these, and all that is made of them, are one notebook's."""
        self.module.source  # noqa: B018  refuses several
        return source.reference_statements(self.cells)

    @cached_property
    def reference(self) -> Code:
        """The reference as a submission."""
        return choose(self.statements, {}, self.functions, self.released)

    @cached_property
    def released(self) -> Released:
        """What the released notebook says itself, outside the exercises, and what it said in earlier versions."""
        functions = {name: before for name, before in self.former.items() if name in self.functions}
        now = released_by(source.given_statements(self.cells), source.classes(self.cells), functions.items())
        return now.after(self.versions.released)

    @cached_property
    def former(self) -> dict[str, str]:
        """What cells were called in versions that students have, by nbgrader's names of today."""
        return source.former(self.cells)

    @cached_property
    def versions(self) -> Versions:
        """What was released, and before that."""
        return versions_of(self.module)

    @cached_property
    def version(self) -> str:
        """A short hash of what students get, as it is now; of the answers what their recordings are made from."""
        answers = [statement.text for statement in needed(self.statements, self.functions)]
        hints = [[entry.name, entry.of, entry.hint] for entry in self.mistakes]
        cells = [[cell.kind, cell.stub, cell.about] for cell in self.cells]
        digest = hashlib.sha256(json.dumps([cells, answers, self.function_points, hints]).encode())
        for path in [*self.module.public_files, *self.needs.own.values()]:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:8]

    @cached_property
    def needs(self) -> Needs:
        """The data and the packages that its code needs."""
        return needs_of(self.module)

    @cached_property
    def checks(self) -> list[Check]:
        """All checks, in the order of the functions they are about."""
        checks = collect(self.module.tests)
        return _in_order([check for check in checks if check.function not in self.elsewhere], self.functions)

    @cached_property
    def remarks(self) -> list[Remark]:
        """The remarks on what hidden probes saw."""
        return hidden_remarks(self.checks)

    @property
    def points(self) -> dict[str, float]:
        """What each exercise is worth."""
        return source.points(self.exercises, self.checks)

    @property
    def points_by_hand(self) -> float:
        """What people give: the questions' and plots' points."""
        return sum(float(cell.about["points"]) for cell in self.cells if cell.by_hand)

    @property
    def function_points(self) -> dict[str, float]:
        """What each function's checks are worth together, the hidden ones too."""
        return {name: sum(c.points for c in self.checks if c.function == name) for name in self.functions}

    @cached_property
    def mistakes(self) -> list[Entry]:
        """The known mistakes."""
        return self._catalogue("mistakes.py")

    @cached_property
    def alternatives(self) -> list[Entry]:
        """The unusual right answers."""
        return self._catalogue("alternatives.py")

    def _catalogue(self, file: str) -> list[Entry]:
        """The entries of a file of the catalogue, each under the notebook of its function."""
        return [
            entry
            for part in self.parts
            for entry in read_catalogue(self.module.tests / file, part.statements)
            if entry.of not in part.elsewhere
        ]

    def code(self, entry: Entry) -> Code:
        """A mistake or an alternative as a submission."""
        about = (entry.of, entry.name, entry.text)
        if about not in self._codes:
            self._codes[about] = entry.code(self.statements, self.functions)
        return self._codes[about]

    @property
    def made_from(self) -> str:
        """A hash of all that a release's recordings of the catalogue are made from; the hints are not."""
        entries = [*self.mistakes, *self.alternatives]
        digest = hashlib.sha256(json.dumps([[entry.name, entry.of, entry.text] for entry in entries]).encode())
        for path in [*self._sources, *self.module.public_files, *self.needs.own.values()]:
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()


def _in_order(checks: list[Check], functions: list[str]) -> list[Check]:
    """Checks in the notebook's order of functions.

    Raises:
        CourseError: a check of a function that the notebook does not have, or two checks of one name.
    """
    names = [check.name for check in checks]
    for check in checks:
        if check.function not in functions:
            mend = nearest(check.function, functions)
            raise CourseError(
                f"{where(check)}: {check.name} is about {check.function!r}, which the notebook does not define: {mend}"
            )
        if names.count(check.name) > 1:
            raise CourseError(f"{where(check)}: two checks are called {check.name}: give each its own name")
    return sorted(checks, key=lambda check: functions.index(check.function))


def where(check: Check) -> str:
    """The file and the line in which a check begins."""
    code = inspect.unwrap(check.test).__code__
    return place(Path(code.co_filename), code.co_firstlineno)


# --- checks, collected by pytest ---------------------------------------------------------------------------------------


def collect(folder: Path, files: Iterable[str] = ("test_public.py", "test_hidden.py")) -> list[Check]:
    """The checks in `folder`, collected by pytest, in the order of the files.

    Raises:
        CourseError: a check file does not import, holds a test that is no check, or none of them holds a check.
    """
    import pytest

    paths = [folder / name for name in files if (folder / name).is_file()]
    if not paths:
        raise CourseError(f"{folder} holds no checks ({' or '.join(files)})")
    for path in paths:
        parsed(path)
    _forget_namesakes(folder)
    collector, output = _Collector(folder), io.StringIO()
    arguments = [
        "--collect-only",
        "-q",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(folder),
        "--import-mode=prepend",
    ]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), _no_bytecode():
        status = pytest.main([*arguments, *map(str, paths)], plugins=[collector])
    if collector.problems:
        raise CourseError("\n".join(collector.problems))
    if not collector.checks:
        mend = 'write a function test_…(observed, expected) below @check("function", points=1)'
        raise CourseError(f"{place(folder)}: checks could not be collected, there are none: {mend}")
    if status != pytest.ExitCode.OK:
        raise CourseError(f"the checks in {folder} could not be collected:\n{output.getvalue().strip()}")
    return collector.checks


def _forget_namesakes(folder: Path) -> None:
    """Lets a module be imported though one of its name in another course was before: Python would take that one."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] == folder.name and file and not Path(file).is_relative_to(folder.parent):
            del sys.modules[name]


class _Collector:
    """The checks that pytest finds in a folder, and what is wrong with others, one line each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checks: list[Check] = []
        self.problems: list[str] = []

    def pytest_exception_interact(self, call: Any) -> None:
        error = call.excinfo.value.__cause__ or call.excinfo.value
        by_check = traceback.extract_tb(error.__traceback__)[-1].filename == inspect.getfile(Check)
        told = "" if by_check and isinstance(error, ValueError) else f"could not be collected: {type(error).__name__}: "
        self.problems.append(told_in(self.folder, error, told) + ("" if not told else ": mend this line"))

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            if hasattr(item.function, "__check__"):
                self.checks.append(replace(item.function.__check__, public=item.path.stem != HIDDEN_FILE))
            else:
                _, line, name = item.location
                mend = 'write @check("function", points=1) above it, or give a helper another name'
                self.problems.append(f"{place(item.path, line + 1)}: {name} is no check and would never be asked: {mend}")


def told_in(folder: Path, error: BaseException, what: str) -> str:
    """What an exception says, in one line, with the last line of the folder's own files that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(folder)]
    at = place(Path(frames[-1].filename), frames[-1].lineno) if frames else place(folder)
    return f"{at}: {what}{' '.join(str(error).split())}"


def hidden_remarks(checks: Iterable[Check]) -> list[Remark]:
    """The remarks in the files of the hidden checks among `checks`, for recordings of the hidden probes."""
    files = {id(check.test.__globals__): check.test.__globals__ for check in checks if not check.public}
    marked = {id(f): f for names in files.values() for f in names.values() if hasattr(f, "__remark__")}
    return [f.__remark__ for f in marked.values()]


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
