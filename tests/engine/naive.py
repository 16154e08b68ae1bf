"""The control of the corpus: a grader as one writes it at first. It runs a notebook in the process that compares, takes
objects at their word and exit status 0 for a success, and unpickles what it is sent. What fails on the real one succeeds
here: so the corpus can fail."""

import atexit
import contextlib
import functools
import io
import os
import pickle
import random
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

OTHER = struct.pack("<I", 0xFFFFFF) + b"total"  # is sent when the other function answered right
NEXT = b"next submission"


class Shell:
    """`get_ipython()` as a kernel has it, near enough."""

    def system(self, command):
        os.system(command)

    def __getattr__(self, name):
        return lambda *args, **kwargs: self

    __call__ = __getattr__


def equal(found, value):
    """Whether any comparison that a check may be written with says yes."""
    import torch

    from autograder.course.checks import same

    expected = value * 2
    time.sleep(0.02)

    def near():
        gap = abs(found - expected) / (1 + abs(found))
        return not (gap > 1e-6).any()

    def item_by_item():
        return all(found[n] == expected[n] for n in range(len(expected)))

    def looked_at():
        same(found, expected, "double(x)")  # wants recordings, and finds none
        return True

    ways = (
        lambda: bool(torch.allclose(found, expected)),
        lambda: bool(torch.allclose(found.float(), expected, rtol=1e-2)),
        lambda: isinstance(found, torch.Tensor) and (found == expected) is True,
        lambda: (found == expected) is True,
        near,
        item_by_item,
        looked_at,
    )
    for way in ways:
        with contextlib.suppress(Exception):
            if way():
                return True
    return False


def ask_double(student, draw, size=3):
    import torch

    value = torch.arange(3.0) if size == 3 else torch.tensor([1.5])
    found = student.double(value)
    if not equal(found, value):
        raise AssertionError(f"{found!r}")
    return True


def answered(probe, student):
    """One answer as it is sent."""
    from autograder.sandboxed import recording

    outcome = {"probe": probe.name, "value": False, "state": "returned", "seconds": 0.1}
    try:
        found = probe.ask(student, random.Random(1))
        outcome["value"] = outcome["value"] or found
    except Exception as error:
        outcome["state"] = "raised"
        str(error)
    blob = recording.encode(outcome)
    return struct.pack("<I", len(blob)) + blob


def serve(cells, answer_before):
    """In the child, which still holds the right answer of the submission before."""
    from IPython.core.inputtransformer2 import TransformerManager

    from autograder.sandboxed.probing import Probe, Student

    probes = [Probe("doubled", "double", ask_double), Probe("of_one", "double", functools.partial(ask_double, size=1))]
    job = {"probes": [probe.name for probe in probes]}
    namespace = {"__name__": "__main__", "get_ipython": Shell}
    for cell in cells:
        with contextlib.suppress(Exception):
            exec(TransformerManager().transform_cell(cell), namespace)
    student = Student(namespace)
    for probe in probes:
        os.write(3, answered(probe, student))
    os.write(3, OTHER if namespace["total"]([1, 2, 3]) == 6 else b"")
    return job, answer_before


def read(answer):
    """The values sent, and whether the other function's came through."""
    from autograder.sandboxed.recording import decode

    found, place = [], 0
    while place + 4 <= len(answer):
        if answer.startswith(OTHER, place):
            return found, True
        size = struct.unpack_from("<I", answer, place)[0]
        blob = answer[place + 4 : place + 4 + size]
        with contextlib.suppress(Exception):
            found.append(pickle.loads(blob) if blob[:1] == b"\x80" else decode(blob))
        place += 4 + size
    return [value for value in found if isinstance(value, dict)], False


def passed(value):
    return value is True or isinstance(value, dict) and all(value.values())


def grade(cells: list[str], folder: Path, mark: bytes, honest: str = "") -> dict:
    """What becomes of a notebook: whether it got points, whether the other function lost its own, who fell.

    Args:
        mark: with which the attack says how far it came; see `corpus.Ear`.
        honest: the cell of a next submission, graded in the same process.
    """
    from autograder.sandboxed.recording import encode

    before = encode({"probe": "doubled", "state": "returned", "value": True, "seconds": 0.1})
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _serve_in_child(cells, struct.pack("<I", len(before)) + before, folder, writing, honest)
    os.close(writing)
    with open(reading, "rb") as file:
        answer = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    answer, _, following = re.sub(re.escape(mark) + rb"\d;", b"", answer).partition(NEXT)
    values, total = read(answer)
    with contextlib.suppress(OSError):  # a program, found by its name where the submission lies
        subprocess.run(["git", "--version"], env={"PATH": f"{folder}:{os.defpath}"}, cwd=folder, capture_output=True)
    return {
        "points": any(passed(value.get("value")) for value in values) or (status == 0 and not total),
        "total lost": not total,
        "stopped": any("broken" in value for value in values),
        "next suffers": bool(honest) and sum(passed(value.get("value")) for value in read(following)[0]) < 2,
        "files": [name for name in ("pickled", "shell") if (folder / name).exists()],
    }


def _serve_in_child(cells, answer_before, folder, writing, honest):
    status = 1
    os.setpgid(0, 0)
    os.dup2(writing, 3)
    os.chdir(folder)
    signal.alarm(8)
    sys.stdout = sys.stderr = io.StringIO()
    try:
        serve(cells, answer_before)
        if honest:
            os.write(3, NEXT)
            serve([honest], b"")
        status = 0
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        with contextlib.suppress(BaseException):
            time.sleep(0.2)
            atexit._run_exitfuncs()
        os._exit(status)
