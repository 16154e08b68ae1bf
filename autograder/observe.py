"""Inside the sandbox: run the student's code, ask it the probes, and send what came as plain bytes.

Nothing here knows an expected value, and nothing here is trusted by the process that reads the bytes.
"""

import hashlib
import linecache
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from autograder.notebook import Cell, Code, select
from autograder.probing import Missing, Probe, Student, plain_error
from autograder.recording import Error, encode

STATEMENT_SECONDS = 10


def observe(job: dict, probes: list[Probe], send: Callable[[bytes], None]) -> None:
    """Runs the code of `job["cells"]` and the probes named in `job["probes"]`; sends a frame for the code and for each.

    Args:
        job: `cells` (number and source of each code cell), `functions` (the contract's), `probes`, `seed`,
            `threads` (torch's).
        send: takes one encoded value; `frame` puts its length before it.
    """
    torch.set_num_threads(job["threads"])
    code = select([Cell(number, source) for number, source in job["cells"]], job["functions"])
    student = run(code, job["functions"])
    send(encode({"probe": "", "notes": [[f"cell {n}", note] for n, note in sorted(code.notes.items())]}))
    for probe in probes:
        if probe.name in job["probes"]:
            send(_answer(probe, student, job["seed"]))


def frame(blob: bytes) -> bytes:
    """A message as it crosses the pipe: four bytes of length, then the blob."""
    return struct.pack("<I", len(blob)) + blob


# --- the student's code -----------------------------------------------------------------------------------------------


def run(code: Code, functions: list[str]) -> Student:
    """Runs the chosen statements one by one in a module of their own; one that raises does not stop the next."""
    module = ModuleType("__main__")
    module.__dict__.update(display=_ignore, get_ipython=_ignore, input=_no_input)
    sys.modules["__main__"] = module
    for number, source in code.sources.items():
        linecache.cache[f"cell {number}"] = (len(source), None, source.splitlines(keepends=True), f"cell {number}")
    future = any("from __future__ import annotations" in source for source in code.sources.values())
    found: dict[str, Any] = {}
    for statement in code.statements:
        _run_statement(statement, module.__dict__, code, future)
        found.update({name: module.__dict__[name] for name in functions if callable(module.__dict__.get(name))})
    module.__dict__.update(found)
    return Student(
        module.__dict__, {name: _why_missing(name, code) for name in functions if _absent(name, code, found)}
    )


def _absent(name: str, code: Code, found: dict[str, Any]) -> bool:
    return name in code.stubs or name not in found


def _run_statement(statement, namespace: dict, code: Code, future: bool) -> None:
    import ast

    flags = 0x1000000 if future else 0  # __future__.annotations.compiler_flag
    signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(STATEMENT_SECONDS)
    try:
        tree = ast.Module([statement.node], [])
        exec(compile(tree, f"cell {statement.cell}", "exec", flags, dont_inherit=True), namespace)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        code.notes[statement.cell] = f"raised {plain_error(error)}"
    finally:
        signal.alarm(0)


def _too_slow(*_) -> None:
    raise TimeoutError(f"this line ran longer than {STATEMENT_SECONDS} s while the functions were being read")


def _no_input(*_) -> str:
    raise EOFError("input() has nobody to answer it here")


class _Ignore:
    """Stands for `get_ipython()` and `display`: takes any call, does nothing."""

    def __call__(self, *_, **__) -> "_Ignore":
        return self

    def __getattr__(self, name: str) -> "_Ignore":
        return self


_ignore = _Ignore()


def _why_missing(name: str, code: Code) -> str:
    if name in code.stubs:
        return f"`{name}` is not written yet: cell {code.stubs[name]} still holds the stub."
    broken = [
        f"cell {n} {note}" for n, note in sorted(code.notes.items()) if note.startswith(("does not run", "raised"))
    ]
    why = f" ({'; '.join(broken)})" if broken else ""
    return f"`{name}` is not defined in the notebook{why}."


# --- the probes -------------------------------------------------------------------------------------------------------


def _answer(probe: Probe, student: Student, seed: int) -> bytes:
    """One probe's observation, encoded: state, value or error, seconds."""
    fresh_state(f"{seed}:{probe.name}")
    start = time.perf_counter()
    outcome: dict[str, Any] = {"probe": probe.name, "state": "returned"}
    try:
        outcome["value"] = probe.ask(student, random.Random(f"{seed}:{probe.name}"))
    except Missing as error:
        outcome.update(state="missing", error=Error("Missing", str(error)))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        outcome.update(state=_state(error), error=plain_error(error))
    outcome["seconds"] = time.perf_counter() - start
    try:
        return encode(outcome)
    except Exception as error:
        outcome.update(state="raised", value=None, error=Error(type(error).__name__, str(error)))
        return encode(outcome)


def _state(error: BaseException) -> str:
    no_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return "out of memory" if no_memory else "raised"


def fresh_state(seed: str) -> None:
    """The same start for every probe: seeds from `seed`, and torch's global switches as they are after an import."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "little")
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
