"""What a probe file is written with. It runs beside the student's code, in the sandbox, and knows no answers.

@probe("count_parameters")
def totals(student, draw):
    net = tiny_densenet(width=draw.randint(3, 6))
    return {"plain": student.count_parameters(net)}
"""

import contextlib
import copy
import functools
import importlib
import inspect
import io
import linecache
import random
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from unittest import mock

from autograder.sandboxed.errors import Missing
from autograder.sandboxed.intact import followed
from autograder.sandboxed.recording import Error, Timing

Ask = TypeVar("Ask", bound=Callable[..., Any])
TEST_CELL = "cell of tests"
PROBE_FILES = ("probes_public", "probes_hidden")


@dataclass(frozen=True)
class Probe:
    """One question to a submission: `ask(student, draw)` calls the student's `function` and returns plain values.

    With `beside`, the name of another probe, only the reference is asked, with that probe's draws: for answers that
    submissions are compared with and do not give themselves.
    """

    name: str
    function: str
    ask: Callable[["Student", random.Random], Any]
    beside: str = ""

    def stream(self, seed: int) -> str:
        """What all that it draws depends on."""
        return f"{seed}:{self.beside or self.name}"


def probe(function: str, beside: str = "") -> Callable[[Ask], Ask]:
    """Marks a probe of the contract's `function`. Its value goes to the judge under the probe's own name.

    Args:
        beside: another probe, for one that only the reference is asked; see `Probe`.
    """

    def mark(ask: Any) -> Any:
        ask.__probe__ = Probe(ask.__name__, function, ask, beside)
        return ask

    return mark


def probes_in(module: ModuleType) -> list[Probe]:
    """The probes of a file, in its order: those defined in it, and those that it imports from a file that modules share.

    What it imports from the module's other probe file, a public probe to ask it otherwise, say, stays that file's.
    """
    files = {f"{module.__package__}.{name}" for name in PROBE_FILES} - {module.__name__}
    return [f.__probe__ for f in vars(module).values() if hasattr(f, "__probe__") and f.__module__ not in files]


def import_from(folder: Path, name: str) -> ModuleType:
    """Imports `name`.py of the package `folder`; it may import files beside it: `from .networks import …`."""
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    return importlib.import_module(f"{folder.name}.{name}")


class Student:
    """The student's functions as attributes: `student.count_parameters(net)`."""

    def __init__(
        self,
        namespace: dict[str, Any],
        missing: dict[str, str] | None = None,
        run_again: Callable[[], "Student"] | None = None,
        look: Callable[[], None] = lambda: None,
    ):
        self._namespace, self._missing, self._run_again = namespace, missing or {}, run_again
        self._look = look

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise Missing(self._missing[name])
        return followed(self._namespace[name], self._look)

    def follow(self, made: Callable[..., Any]) -> Callable[..., Any]:
        """Calls `made`, a class of the student's or what a function of theirs returned, as `student.name(…)` calls that."""
        call: Callable[..., Any] = (lambda *args, **kwargs: made(*args, **kwargs)) if isinstance(made, type) else made
        following: Callable[..., Any] = followed(call, self._look)
        return following

    def afresh(self) -> "Student":
        """The functions after all the cells ran once more, for what they looked at as they ran."""
        return self._run_again() if self._run_again else self

    def runs(self, statements: str, **names: Any) -> None:
        """Runs the statements of a test cell among the student's own names, which are as before afterwards.

        Weaker than to ask: what they compare is compared beside the student's code, which may have made it look right. What
        they raise is raised; a missing function that they name, or one of `names`, first.

        Args:
            names: what the statements find beside the student's names.
        """
        for name, why in self._missing.items():
            if re.search(rf"\b{re.escape(name)}\b", statements):
                raise Missing(why)
        before = dict(self._namespace)
        try:
            self._namespace.update(names)
            lines = statements.splitlines(keepends=True)
            linecache.cache[TEST_CELL] = (len(statements), None, lines, TEST_CELL)  # where an error points to
            exec(compile(statements, TEST_CELL, "exec", dont_inherit=True), self._namespace)
        finally:
            self._namespace.clear()
            self._namespace.update(before)
            self._look()

    @contextlib.contextmanager
    def replaced(self, **stand_ins: Callable[..., Any]) -> Iterator[None]:
        """Puts `stand_ins` in place of the student's functions of these names while the block runs.

        So a function can be graded by itself: a right `fit` that calls a wrong `train_one_epoch` keeps its points, also
        when what is wrong there are the parameters. A default of a stand-in's parameter stands for what the student's
        function has no parameter for; see `_called_as`.
        """
        before = {name: self._namespace[name] for name in stand_ins if name in self._namespace}
        self._namespace.update({name: _called_as(before.get(name), stand_in) for name, stand_in in stand_ins.items()})
        try:
            yield
        finally:
            for name in stand_ins:
                self._namespace.pop(name, None)
            self._namespace.update(before)

    @contextlib.contextmanager
    def answered(self, **answers: dict[str, Any]) -> Iterator[None]:
        """Gives known `answers` in place of what the student's functions of these names would, while the block runs.

        Each by the `repr` of the positional arguments, `{"(3,)": 9}`; for all other arguments the student's own function is
        called. So a function that calls another is graded by itself, and may call it otherwise than the reference does.
        """
        own: dict[str, Any] = {name: self._namespace.get(name) for name in answers}

        def stand_in(name: str, known: dict[str, Any]) -> Callable[..., Any]:
            def answer(*args: Any) -> Any:
                if repr(args) in known:
                    return copy.deepcopy(known[repr(args)])
                if name in self._missing:
                    raise Missing(self._missing[name])
                return own[name](*args)

            return answer

        with self.replaced(**{name: stand_in(name, known) for name, known in answers.items()}):
            yield


def _called_as(function: Any, stand_in: Callable[..., Any]) -> Callable[..., Any]:
    """`stand_in` with the name of the student's `function`, called as that is, or as the contract has it.

    Whoever calls it cannot be charged for the parameters of `function`: arguments are taken by the contract's names,
    those of other names for the contract's parameters that are still without one, in order, and what is left goes behind
    them. A call that does not fit `function` may fit the contract; there every parameter is to be given.
    """
    contract = inspect.signature(stand_in)
    strict = contract.replace(parameters=[p.replace(default=p.empty) for p in contract.parameters.values()])
    try:
        theirs = inspect.signature(function)
    except (TypeError, ValueError):  # not there, or nothing that can be called
        function, theirs = stand_in, strict
    takes_anything = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in theirs.parameters.values())

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            given = theirs.bind(*args, **kwargs)
        except TypeError as error:
            given = _bound(strict, args, kwargs, error)
        args, kwargs = _in_the_contracts_order(given, contract)
        if takes_anything:  # it has a place for every parameter of the contract
            strict.bind(*args, **kwargs)
        return stand_in(*args, **kwargs)

    return called


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any], otherwise: TypeError
) -> inspect.BoundArguments:
    """The arguments as `signature` takes them; raises `otherwise` where it does not."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError:
        raise otherwise from None


def _in_the_contracts_order(
    given: inspect.BoundArguments, contract: inspect.Signature
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call to a student's function as positional and keyword arguments of the contract's."""
    said = set(given.arguments)
    given.apply_defaults()
    parameters = contract.parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    kinds = {parameter.kind for parameter in parameters}
    values, others, more = _told_apart(given, names)
    without = [name for name in names if name not in values]
    values |= {name: value for name, (_, value) in zip(without, others, strict=False)}
    rest = [value for name, value in others[len(without) :] if name in said]  # then every name has its value
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        more = {}
    if rest and inspect.Parameter.VAR_POSITIONAL in kinds:
        return (*(values[name] for name in names), *rest), more
    return (), values | more


def _told_apart(
    given: inspect.BoundArguments, names: list[str]
) -> tuple[dict[str, Any], list[tuple[str, Any]], dict[str, Any]]:
    """Arguments of the contract's `names`; those of other parameters, in order; and what came by no parameter's name."""
    values: dict[str, Any] = {}
    others: list[tuple[str, Any]] = []
    more: dict[str, Any] = {}
    for name, value in given.arguments.items():
        kind = given.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            more = {key: one for key, one in value.items() if key not in names}
            values |= {key: one for key, one in value.items() if key in names}
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            others += [(name, one) for one in value]
        elif name in names:
            values[name] = value
        else:
            others.append((name, value))
    return values, others, more


def attempt(
    action: Callable[[], Any], raises: type[Exception] | tuple[type[Exception], ...] = ()
) -> Any:
    """What `action()` returns, or the exception it raises as a plain `Error`. A missing function stays missing.

    Args:
        raises: what the right answer raises; the reference may raise nothing else.
    """
    try:
        return action()
    except Missing:
        raise
    except Exception as error:
        return replace(plain_error(error), declared=isinstance(error, raises))


def timing(seconds: float) -> Timing:
    """Marks a wall time, or another cost, in a recording: it is no answer, and no mistake is told by it alone."""
    return Timing(seconds)


class Printed(io.StringIO):
    """Collects what is printed; `lines` counts the lines so far that have something in them, `ended` those that ended."""

    @property
    def lines(self) -> int:
        return _filled(self.getvalue().replace("\r", "\n"))

    @property
    def ended(self) -> int:
        return _filled(self.getvalue().replace("\r", "\n").rpartition("\n")[0])


def _filled(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@contextlib.contextmanager
def printed() -> Iterator[Printed]:
    """Collects what the student's code prints on stdout and stderr while the block runs.

    Also what it prints on the streams themselves, which a cell may have kept: `out = sys.stdout`.
    """
    text = Printed()
    with contextlib.ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            stack.enter_context(mock.patch.object(stream, "write", _write_innermost))
        stack.enter_context(contextlib.redirect_stdout(text))
        stack.enter_context(contextlib.redirect_stderr(text))
        _collecting.append(text)
        try:
            yield text
        finally:
            _collecting.remove(text)
            if _collecting:  # what a probe counts was printed all the same
                _write_innermost(text.getvalue())


def _write_innermost(text: str) -> int:
    """What is written on a stream that was kept goes to whoever collects now, also where somebody around does as well."""
    return io.StringIO.write(_collecting[-1], text)  # whose own `write` stands replaced while somebody inside collects


_collecting: list[Printed] = []
_causes: dict[str, str] = {}


def explain_names(causes: dict[str, str]) -> None:
    """Why each of these names may be undefined: said behind Python's own words when it is."""
    _causes.clear()
    _causes.update(causes)


def plain_error(error: BaseException) -> Error:
    """An exception as text, from the student's own line on: `cell 7, line 3: return width(net) → cell 5, line 2: …`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("cell ")]
    lines = [
        f"{f.filename}, line {f.lineno}: {linecache.getline(f.filename, f.lineno or 0).strip()[:150]}" for f in frames
    ]
    where = " → ".join(list(dict.fromkeys(lines))[-3:])
    try:
        message = str(error)
    except Exception:  # an exception class of the student's whose __str__ is broken
        message = ""
    if isinstance(error, NameError) and error.name in _causes:
        message = f"{_causes[error.name]} ({message})"
    return Error(type(error).__name__, message[:4000], where[:500])
