"""The catalogue of a module: known mistakes, each with the hint a student reads, and unusual right answers.

A mistake is a small wrong solution; its docstring is the hint. An alternative is a right solution in another style.
Both are plain functions (or classes) that take the place of the contract's function they name:

    @mistake(of="count_parameters", caught_by="test_buffers_are_not_parameters")
    def counts_buffers(net):
        \"\"\"`state_dict()` also holds BatchNorm's running statistics. They are buffers: saved, never trained.\"\"\"
        ...

They are read as text, never imported: like a student's code, they run in the sandbox alone. What several modules share
stands in a file of `tests/common/`, of which a module takes all, or some by name: `from .evaluate_mistakes import *`.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autograder.course.course import nearest
from autograder.course.imports import COMMON, parsed, place
from autograder.errors import CourseError
from autograder.sandboxed.notebook import Cell, Code, Statement, choose, needed, parse

Solution = TypeVar("Solution", bound=Callable[..., Any])
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Mark = tuple[str, dict[str | None, Any]]  # see `_take_mark`
CELL = 1001  # a catalogue's code stands in a cell of its own, behind all cells of the notebook


def mistake(*, of: str, caught_by: str | tuple[str, ...]) -> Callable[[Solution], Solution]:
    """Marks a function or class as a known mistake in `of`, caught by the check (or one of the checks) `caught_by`."""
    return lambda solution: solution


def alternative(*, of: str) -> Callable[[Solution], Solution]:
    """Marks a function or class as an unusual right answer to `of`."""
    return lambda solution: solution


@dataclass(frozen=True)
class Entry:
    """A mistake (with `caught_by` and a hint) or an alternative (without), and the statements that it needs."""

    name: str
    of: str
    statements: tuple[Statement, ...]
    hint: str = ""
    caught_by: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its code, as a student could have written it."""
        return "\n\n\n".join(statement.text for statement in self.statements)

    def code(self, reference: list[Statement], functions: list[str]) -> Code:
        """It as a submission: the reference, then this in place of the reference's function."""
        alias, _ = parse([Cell(CELL + 1, f"{self.of} = {self.name}")])
        return choose([*reference, *self.statements, *alias], {}, functions)


def read_catalogue(path: Path, reference: list[Statement], text: str | None = None) -> list[Entry]:
    """The entries of a mistakes.py or an alternatives.py, in the order of its text; none when there is no such file.

    With `text`, those that it would have with this in it.

    Raises:
        CourseError: a name that hides another's, a mistake without a hint or a check, a decorator
            that cannot be read.
    """
    if text is None:
        if not path.is_file():
            return []
        parsed(path)
        text = path.read_text(encoding="utf-8")
    statements, _ = parse([Cell(CELL, text)])
    shared = [s for s in statements if _takes_shared(s)]
    statements = [s for s in statements if not _takes_shared(s)]
    _refuse_clashes(path, statements, reference)
    marks = [_take_mark(path, statement) for statement in statements]
    own = [_entry(path, s, mark, statements) for s, mark in zip(statements, marks, strict=True) if mark is not None]
    entries = [entry for statement in shared for entry in _taken(path, statement, reference)] + own
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CourseError(f"{place(path)}: {', '.join(twice)} stands here and in a shared file: give each its own name")
    return entries


def _takes_shared(statement: Statement) -> bool:
    return isinstance(statement.node, ast.ImportFrom) and statement.node.level > 0


def _taken(path: Path, statement: Statement, reference: list[Statement]) -> list[Entry]:
    """The entries that an import statement of a catalogue takes from a shared file.

    Raises:
        CourseError: there is no such file, or no entry of a name.
    """
    node = statement.node
    assert isinstance(node, ast.ImportFrom)
    shared = path.parents[1] / COMMON / f"{node.module}.py"
    where = place(path, statement.line)
    if node.level != 1 or not shared.is_file():
        raise CourseError(f"{where}: `{statement.text}` names no file of {place(shared.parent)}: move what is shared there")
    entries = {entry.name: entry for entry in read_catalogue(shared, reference)}
    names = list(entries) if node.names[0].name == "*" else [alias.name for alias in node.names]
    if unknown := [name for name in names if name not in entries]:
        raise CourseError(f"{where}: {place(shared)} has no entry {unknown[0]!r}: {nearest(unknown[0], list(entries))}")
    return [entries[name] for name in names]


def _take_mark(path: Path, statement: Statement) -> Mark | None:
    """The decorator's name and settings, with the marked `name` and its docstring, the `hint`; None where it has none.

    Both are taken off: the code runs without this package's help, and a recording of it outlives a reworded hint.
    """
    node = statement.node
    if not isinstance(node, Definition):
        return None
    for decorator in node.decorator_list:
        name = getattr(getattr(decorator, "func", decorator), "id", "")
        if name in ("mistake", "alternative"):
            where = place(path, node.lineno)
            if not isinstance(decorator, ast.Call) or decorator.args:
                raise CourseError(f'{where}: @{name} takes settings by their names: write @{name}(of="…")')
            node.decorator_list.remove(decorator)
            statement.reads.discard(name)
            hint = " ".join((ast.get_docstring(node) or "").split())
            statement.text = ast.unparse(_without_docstring(node))
            try:
                settings = {keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords}
            except ValueError:
                raise CourseError(f"{where}: @{name} takes plain strings only: write them out") from None
            return name, settings | {"name": node.name, "hint": hint, "line": node.lineno}
    return None


def _without_docstring(node: Definition) -> Definition:
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _entry(path: Path, statement: Statement, mark: Mark, statements: list[Statement]) -> Entry:
    kind, settings = mark
    name = settings["name"]
    hint = settings["hint"] if kind == "mistake" else ""
    caught_by = settings.get("caught_by", ())
    caught_by = (caught_by,) if isinstance(caught_by, str) else tuple(caught_by)
    lacks = [what for what, there in (("a docstring (its hint)", hint), ("caught_by (its check)", caught_by)) if not there]
    if kind == "mistake" and lacks:
        raise CourseError(f"{place(path, settings['line'])}: the mistake {name} needs {' and '.join(lacks)}")
    entry = Entry(name, settings.get("of", ""), tuple(needed(statements, [name])), hint, caught_by)
    _refuse_calling_itself(path, entry)
    return entry


def _refuse_calling_itself(path: Path, entry: Entry) -> None:
    """In the place of the reference's function an entry that calls this by its name calls itself, for ever."""
    for statement in entry.statements:
        inner = (node for node in ast.walk(statement.node) if isinstance(node, ast.FunctionDef | ast.Lambda))
        if entry.of in {name.id for node in inner for name in ast.walk(node) if isinstance(name, ast.Name)}:
            raise CourseError(
                f"{place(path, statement.line)}: {entry.name} stands in the place of {entry.of} and so calls itself for "
                f"ever: write out here what it needs of the right {entry.of}, in a helper of another name"
            )


def _refuse_clashes(path: Path, statements: list[Statement], reference: list[Statement]) -> None:
    """A second definition hides the first without a word, here or in the reference that the entry is added to."""
    imports = (ast.Import, ast.ImportFrom)
    own: set[str] = set()
    for statement in statements:
        names = statement.binds if not isinstance(statement.node, imports) else set()
        if names & own:
            twice = ", ".join(sorted(names & own))
            raise CourseError(f"{place(path, statement.line)}: {twice} defined more than once: give each its own name")
        own |= names
    bound = {name: s.text for s in reference for name in s.binds}
    for statement in statements:
        for name in statement.binds & set(bound) - {"*"}:
            if not isinstance(statement.node, imports) or not _same_import(name, statement, reference):
                where, shown = place(path, statement.line), repr(bound[name][:60])
                raise CourseError(f"{where}: the notebook also binds the name {name} ({shown}): rename it here")


def _same_import(name: str, statement: Statement, theirs: list[Statement]) -> bool:
    return all(_origin(name, s.node) == _origin(name, statement.node) for s in theirs if name in s.binds)


def _origin(name: str, node: ast.stmt) -> str:
    """What an imported name stands for: `torch.nn` for both `from torch import nn` and `import torch.nn as nn`."""
    for alias in getattr(node, "names", []):
        if isinstance(node, ast.ImportFrom) and (alias.asname or alias.name) == name:
            return f"{node.module}.{alias.name}"
        if isinstance(node, ast.Import) and (alias.asname or alias.name.split(".")[0]) == name:
            return alias.name if alias.asname else name
    return f"not imported: {name}"
