"""The walls, tried from inside: as the user who runs the tests, and as an ordinary one when that is root."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import walls
from conftest import FUNCTIONS, needs_walls
from toy_course import solved

from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import read_cells, select

ORDINARY = 65534


def plain(value: object) -> object:
    """A value as it is after a way through JSON."""
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def tried(toy, observers) -> dict:
    return plain(walls.attempts(toy, observers[True]))


@pytest.fixture(scope="module")
def tried_as_ordinary_user() -> dict:
    """The same from a grader that runs as nobody."""
    with tempfile.TemporaryDirectory() as home:  # not pytest's own folder, which is closed to others
        os.chown(home, ORDINARY, ORDINARY)
        environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(sandbox.__file__).parent.parent)}
        command = [sys.executable, walls.__file__, home, str(ORDINARY)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_walls
@pytest.mark.parametrize("attempt", walls.ATTEMPTS)
def test_from_inside(tried, attempt):
    assert tried[attempt] in plain(walls.ATTEMPTS[attempt][1])


@needs_walls
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the test above says the same")
@pytest.mark.parametrize("attempt", walls.ATTEMPTS)
def test_from_inside_as_an_ordinary_user(tried_as_ordinary_user, attempt):
    assert tried_as_ordinary_user[attempt] in plain(walls.ATTEMPTS[attempt][1])


@needs_walls
def test_the_course_is_untouched(toy, tried):
    before = (toy.source.stat().st_mode & 0o777, toy.source.stat().st_mtime > 1e9, "def double" in toy.source.read_text())
    assert before == (0o644, True, True)
    theirs = {path.name for path in toy.root.iterdir()} - {".autograder"}  # the grader's own recordings, if it made any
    assert theirs == {"source", "tests"}


SURVIVOR = """
import ctypes, os, signal, time
def mean(numbers):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, b"ag-survivor")
            time.sleep(1000)
        os._exit(0)
    time.sleep(0.6)
"""


def survivors() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == "ag-survivor":
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@needs_walls
@pytest.mark.parametrize("ending", ["return 1.5", "os._exit(0)", "while True: pass"])
def test_what_a_submission_starts_dies_with_it(observers, ending):
    code = select(read_cells(solved(mean=f"{SURVIVOR}    {ending}")), FUNCTIONS)
    work = threading.Thread(target=observers[True].observe, args=[code], kwargs={"only": "mean"})
    work.start()
    seen: list[str] = []
    while work.is_alive():
        seen = seen or survivors()
        time.sleep(0.02)
    work.join()
    assert seen  # it did run, detached
    assert survivors() == []


@needs_walls
def test_processes_and_shared_memory_work_inside(observers):
    body = """
import torch
def mean(numbers):
    data = torch.utils.data.TensorDataset(torch.arange(8.0))
    return sum(batch[0].sum().item() for batch in torch.utils.data.DataLoader(data, 2, num_workers=1))
"""
    code = select(read_cells(solved(mean=body)), FUNCTIONS)
    observation = observers[True].observe(code, only="mean").observations["means"]
    assert (observation.state, observation.value) == ("returned", 28.0), observation.error


# --- what is missing --------------------------------------------------------------------------------------------------


@needs_walls
def test_nothing_is_missing_where_the_walls_stand():
    assert sandbox.missing_walls() == []


@pytest.mark.parametrize(
    ("platform", "abi", "unshare", "messages"),
    [
        ("darwin", 0, False, ["the sandbox needs Linux, this is darwin: grade in a Linux container"]),
        ("linux", 0, True, ["Landlock is not enabled in this kernel: Linux 5.13 or newer"]),
        ("linux", 1, False, ["unprivileged user namespaces are refused: allow them (sysctl"]),
        ("linux", -1, False, ["Landlock is not enabled", "unprivileged user namespaces"]),
    ],
)
def test_what_is_missing_is_named_with_the_mend(monkeypatch, platform, abi, unshare, messages):
    monkeypatch.setattr(sandbox.sys, "platform", platform)
    monkeypatch.setattr(sandbox, "_landlock_abi", lambda: abi)
    monkeypatch.setattr(sandbox, "_can_unshare", lambda: unshare)
    lacks = sandbox.missing_walls()
    assert len(lacks) == len(messages)
    assert all(said.startswith(message) for said, message in zip(lacks, messages, strict=True))
