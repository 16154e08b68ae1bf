"""Inside the sandbox: run the student's code, ask it the probes, and send what came as plain bytes.

Nothing here knows an expected value, and nothing here is trusted by the process that reads the bytes.
"""

import __future__

import contextlib
import hashlib
import linecache
import random
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from autograder.sandboxed import intact, recording
from autograder.sandboxed.errors import Missing
from autograder.sandboxed.notebook import Code, bound_by
from autograder.sandboxed.probing import Probe, Student, explain_names, plain_error, printed
from autograder.sandboxed.recording import Error, encode

STATEMENT_SECONDS = 10
MAX_PRINTED = 4000  # letters that a function prints as one probe asks it, where they are shown
FAILED = ("does not run", "raised", "could not")  # how a note begins that may explain why something is missing
NOT_THEIRS = "`{}` is made by cell {} alone, which trains or shows something: take it as an argument"
IMPORTED_BELOW = "it is imported in cell {}, below: move the imports to the top (a restart and a run from the top shows it)"


def observe(job: dict[str, Any], code: Code, probes: list[Probe], send: Callable[[bytes], None]) -> None:
    """Runs `code` and the probes named in `job["probes"]`; sends one encoded value for the code and one for each probe.

    Args:
        job: `functions` (the contract's), `probes`, the `seeds` of each, `threads` (torch's); `printed` when what is printed
            is asked for; `anew`, the place of a probe before which the code is run once more.
    """
    if recording.torch:
        recording.torch.set_num_threads(job["threads"])
    called = {probe.name: probe for probe in probes}
    asked = tuple((called[name], seed) for name, seed in zip(job["probes"], job["seeds"], strict=True))
    look = guard(probes)
    student, notes = run(code, job["functions"], look)
    look()
    send(encode({"probe": "", "notes": [[f"cell {n}", note] for n, note in sorted(notes.items())]}))
    for place, (probe, seed) in enumerate(asked):  # not the job's own list, which the submission finds in this frame
        if place == job.get("anew"):
            student, _ = run(code, job["functions"], look)
        answer = _answer(probe, student, seed, job.get("printed", False))
        look()
        send(answer)


def guard(probes: list[Probe]) -> Callable[[], None]:
    """Ends this process unless all by which `probes` observe is as it was at the first call."""
    return intact.guard(probes[0].ask.__module__.rpartition(".")[0] if probes else "none")


def frame(blob: bytes) -> bytes:
    """A message as it crosses the pipe: four bytes of length, then the blob."""
    return struct.pack("<I", len(blob)) + blob


# --- the student's code -----------------------------------------------------------------------------------------------


def run(
    code: Code, functions: list[str], look: Callable[[], None] = lambda: None
) -> tuple[Student, dict[int, str]]:
    """Runs the statements one by one in a module of their own, and gives the functions and what happened to the cells.

    A statement that raises does not stop the next one. Each call of a function, by a probe, is followed by a `look`.
    """
    module = ModuleType("__main__")
    namespace = module.__dict__
    namespace.update(display=_display, get_ipython=_ignore, input=_no_input)
    sys.modules["__main__"] = module
    _show_lines(code)
    notes, causes = dict(code.notes), {name: NOT_THEIRS.format(name, cell) for name, cell in code.run.items()}
    explain_names(causes)
    future = any("from __future__ import annotations" in text for _, _, text in code.pieces)
    found: dict[str, Any] = {}
    told: dict[int, int] = {}
    for place, (cell, line, text) in enumerate(code.pieces):
        error = _run_statement("\n" * (line - 1) + text, f"cell {cell}", namespace, future)
        if error:
            note = _why_it_failed(error, cell, code.pieces[place + 1 :], told if cell in code.homes.values() else {})
            causes.update({name: f"cell {cell} {note}" for name in bound_by(text)})
            explain_names(causes)
            if not notes.get(cell, "").startswith(FAILED):  # the first is the cause of the others
                notes[cell] = note
        now = {name: namespace[name] for name in functions if callable(namespace.get(name))}
        if "import *" in text and (replaced := [name for name in found if now.get(name) is not found[name]]):
            notes[cell] = f"replaced {', '.join(f'`{name}`' for name in replaced)} by what its `import *` brought"
        found.update(now)
    namespace.update(found)
    missing = _why_missing([name for name in functions if name in code.stubs or name not in found], code, notes)
    return Student(namespace, missing, lambda: run(code, functions, look)[0], look), notes


def _why_it_failed(
    error: BaseException, cell: int, below: Sequence[tuple[int, int, str]], told: dict[int, int]
) -> str:
    """What to say of a statement of `cell` that raised `error`.

    Args:
        below: the pieces that come after it.
        told: for a cell of imports that stands below what needs it the cell that says so, since it is said once.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"could not import {error.name}, which the grader has not"
    said = f"raised {plain_error(error)}"
    later = []
    if isinstance(error, NameError):
        later = [number for number, _, text in below if "import" in text and error.name in bound_by(text)]
    if not later:
        return said
    first = told.setdefault(later[0], cell)
    return f"{said}: {IMPORTED_BELOW.format(later[0])}" if first == cell else f"{said}, for the same reason as cell {first}"


def _show_lines(code: Code) -> None:
    """Lets tracebacks and `inspect` find the student's lines."""
    cells: dict[int, list[str]] = {}
    for cell, line, text in code.pieces:
        lines = cells.setdefault(cell, [])
        lines += ["\n"] * (line - 1 - len(lines)) + text.splitlines(keepends=True)
    for cell, lines in cells.items():
        linecache.cache[f"cell {cell}"] = (sum(map(len, lines)), None, lines, f"cell {cell}")


def _run_statement(text: str, name: str, namespace: dict[str, Any], future: bool) -> BaseException | None:
    flags = __future__.annotations.compiler_flag if future else 0
    signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(STATEMENT_SECONDS)
    try:
        exec(compile(text, name, "exec", flags, dont_inherit=True), namespace)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return error
    finally:
        signal.alarm(0)
    return None


def _too_slow(*_: Any) -> None:
    raise TimeoutError(f"this line ran longer than {STATEMENT_SECONDS} s while the functions were being read")


def _no_input(*_: Any) -> str:
    raise EOFError("input() has nobody to answer it here")


def _display(*values: Any, **_: Any) -> "_Ignore":
    print(*values)
    return _ignore


class _Ignore:
    """Stands for `get_ipython()`: takes any call, does nothing."""

    def __call__(self, *_: Any, **__: Any) -> "_Ignore":
        return self

    def __getattr__(self, name: str) -> "_Ignore":
        return self


_ignore = _Ignore()


def stand_in_for_the_package() -> None:
    """Lets a submission import what students import from this package; all but the tiny data does nothing here."""
    package: Any = sys.modules["autograder"]
    for name in package.__all__:
        if name != "TinyCIFAR10":
            setattr(package, name, _ignore)
    package.__getattr__ = _tiny_data


def _tiny_data(name: str) -> Any:
    """The package's `TinyCIFAR10`, imported when it is asked for: it needs torch, which not every module does."""
    if name != "TinyCIFAR10":
        raise AttributeError(f"module 'autograder' has no attribute {name!r}")
    from autograder.sandboxed.cifar10 import TinyCIFAR10

    return TinyCIFAR10


def _why_missing(names: list[str], code: Code, notes: dict[int, str]) -> dict[str, str]:
    """Why each of `names` cannot be asked; its own cell comes first."""
    why: dict[str, str] = {}
    for name in names:
        home = code.homes.get(name, 0)
        if name in code.stubs:
            why[name] = f"`{name}` is not written yet: cell {code.stubs[name]} still holds the stub."
        elif name in code.absent:
            why[name] = f"`{name}` is not defined in the notebook: {code.absent[name]}."
        elif notes.get(home, "").startswith(FAILED):
            why[name] = f"`{name}` is not defined in the notebook: its cell {home} {notes[home]}."
        else:
            broken = [f"cell {n} {note}" for n, note in sorted(notes.items()) if note.startswith(FAILED)]
            why[name] = f"`{name}` is not defined in the notebook" + (f" ({'; '.join(broken)})." if broken else ".")
    return why


# --- the probes -------------------------------------------------------------------------------------------------------


def _answer(probe: Probe, student: Student, seed: int, with_printed: bool) -> bytes:
    """One probe's observation, encoded: state, value or error, seconds, and what was printed if that is asked for."""
    fresh_state(probe.stream(seed))
    start = time.perf_counter()
    outcome: dict[str, Any] = {"probe": probe.name, "state": "returned"}
    text = None
    try:
        with printed() if with_printed else contextlib.nullcontext() as text:
            outcome["value"] = probe.ask(student, random.Random(probe.stream(seed)))
    except Missing as error:
        outcome.update(state="missing", error=Error("Missing", str(error)))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        outcome.update(state=_state(error), error=_told(error))
    outcome["seconds"] = time.perf_counter() - start
    outcome |= {"printed": text.getvalue()[:MAX_PRINTED]} if text else {}
    try:
        return encode(outcome)
    except Exception as error:
        outcome.update(state="raised", value=None, error=Error(type(error).__name__, str(error)))
        return encode(outcome)


def _told(error: BaseException) -> Error:
    told = plain_error(error)
    no_words = isinstance(error, MemoryError) and not told.message  # as Python itself raises it
    return Error(told.type, "it needed more memory than there is", told.where) if no_words else told


def _state(error: BaseException) -> str:
    no_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return "out of memory" if no_memory else "raised"


def fresh_state(seed: str) -> None:
    """The same start for every probe: seeds from `seed`, and torch's global switches as they are after an import."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "little")
    np.random.seed(number)
    random.seed(number)
    if recording.torch:  # the generator of the CPU alone: torch.manual_seed asks for every other device too, slowly
        recording.torch.default_generator.manual_seed(number)
        recording.torch.set_grad_enabled(True)
        recording.torch.set_default_dtype(recording.torch.float32)
        recording.torch.set_default_device(None)
