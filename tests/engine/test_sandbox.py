"""The walls, tried from inside: as the user who runs the tests, and as an ordinary one when that is root."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import threading
import time
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import walls
from conftest import FUNCTIONS, needs_walls
from toy_course import WITH_IMAGES, solved, write_course

from autograder import cli
from autograder.errors import CourseError
from autograder.grading.observer import Observer
from autograder.grading.workers import hidden_folders
from autograder.sandboxed import groups, sandbox, seccomp, worker
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
        environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(sandbox.__file__).parents[2])}
        command = [sys.executable, walls.__file__, home, str(ORDINARY)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
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


@needs_walls
def test_honest_code_works_inside(observers):
    body = """
import fcntl, multiprocessing, sqlite3, subprocess, sys, tempfile, threading
import matplotlib.pyplot as plt
import torch
def add(queue, lock):
    with lock:
        queue.put(torch.ones(2).sum().item())
def mean(numbers):
    with sqlite3.connect("mine.db") as db:
        db.execute("create table t (n)")
        db.execute("insert into t values (1)")
    with tempfile.TemporaryFile() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"x")
    fork = multiprocessing.get_context("fork")
    queue, lock = fork.Queue(), fork.Lock()
    started = [fork.Process(target=add, args=(queue, lock)) for _ in range(2)]
    started += [threading.Thread(target=add, args=(queue, lock))]
    for one in started: one.start()
    total = sum(queue.get() for _ in started)
    for one in started: one.join()
    plt.plot([1, 2]); plt.savefig("figure.png"); plt.close()
    said = subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True)
    return [total, int(said.stdout), db.execute("select n from t").fetchone()[0]]
"""
    code = select(read_cells(solved(mean=body)), FUNCTIONS)
    observation = observers[True].observe(code, only="mean").observations["means"]
    assert (observation.state, observation.value) == ("returned", [6.0, 5, 1]), observation.error


# --- the filter of calls, on machines that are not here ---------------------------------------------------------------

UNIX, INET, VSOCK = 1, 2, 40
ALLOWED, EPERM, ENOSYS, EINVAL, EAFNOSUPPORT = None, 1, 38, 22, 97


def answer(machine: str, number: int, *arguments: int, audit: int | None = None) -> int | None:
    """What the filter gives for a call: an error number, or None where it is allowed."""
    words = [number, seccomp.AUDIT_ARCH[machine] if audit is None else audit, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32]
    lines, at, loaded = seccomp.program(machine), 0, 0
    tests = {0x15: lambda k: loaded == k, 0x35: lambda k: loaded >= k, 0x45: lambda k: bool(loaded & k)}
    while lines[at][0] != seccomp.GIVE:
        code, if_true, if_false, operand = lines[at]
        if code == seccomp.LOAD:
            loaded = words[operand // 4]
        else:
            at += if_true if tests[code](operand) else if_false
        at += 1
    return None if lines[at][3] == seccomp.ALLOW else lines[at][3] & 0xFFFF


@pytest.mark.parametrize(
    ("numbers", "arguments", "gives"),
    [
        ((0, 63), (), ALLOWED),  # read
        ((59, 221), (), ALLOWED),  # execve
        ((41, 198), (UNIX, 1), ALLOWED),
        ((41, 198), (INET, 1), EAFNOSUPPORT),
        ((41, 198), (VSOCK, 1), EAFNOSUPPORT),
        ((53, 199), (UNIX, 1), ALLOWED),
        ((56, 220), (0x11,), ALLOWED),  # a fork
        ((56, 220), (0x3D0F00,), ALLOWED),  # a thread
        *[((56, 220), (flag | 0x11,), EPERM) for flag in (0x20000, *(1 << bit for bit in range(25, 31)))],
        ((435, 435), (), ENOSYS),
        ((54, 208), (3, 1, 7), 0),  # SO_SNDBUF
        ((54, 208), (3, 1, 32), EPERM),
        ((54, 208), (3, 1, 8), ALLOWED),
        ((73, 32), (3, 2), 0),
        *[((72, 25), (3, command), 0) for command in (6, 7, 37, 38)],  # locks
        *[((72, 25), (3, command), ALLOWED) for command in (0, 1, 2, 3, 4, 5, 36, 1030)],
        *[((72, 25), (3, command), EPERM) for command in (1024, 1026, 1031)],
        *[((72, 25), (3, command), EINVAL) for command in (1035, 1036, 1038)],
        ((103, 116), (3,), EPERM),  # the kernel's log
        ((294, 26), (), EPERM),
        ((300, 262), (), EPERM),
        ((462, 462), (), ALLOWED),
        ((463, 463), (), ENOSYS),
        ((0x40000000, 0x40000000), (), ENOSYS),
    ],
)
def test_the_filter_of_calls(numbers, arguments, gives):
    for machine, number in zip(seccomp.AUDIT_ARCH, numbers, strict=True):
        assert answer(machine, number, *arguments) == gives, machine


def test_the_filter_refuses_a_foreign_architecture():
    assert answer("x86_64", 3, audit=0x40000003) == EPERM  # 32 bit
    assert answer("aarch64", 3, audit=0x40000028) == EPERM


def test_jumps_of_the_filter_fit_a_byte():
    assert all(max(if_true, if_false) < 256 for m in seccomp.AUDIT_ARCH for _, if_true, if_false, _ in seccomp.program(m))


@needs_walls
@pytest.mark.skipif(sandbox._landlock_abi() < 6, reason="this kernel's Landlock knows no scopes")
def test_landlock_alone_keeps_abstract_sockets_and_signals_in(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0{tmp_path}")
        sock.listen()
        script = f"""
        sandbox._prctl(sandbox.PR_SET_NO_NEW_PRIVS, 1)
        sandbox._landlock([Path("/dev/null")], [], [])
        say(tried(lambda: socket.socket(socket.AF_UNIX).connect("\\0{tmp_path}")), tried(lambda: os.kill({os.getpid()}, 0)))
        """
        assert run(script) == ["PermissionError", "PermissionError"]


# --- a course where Python lies ---------------------------------------------------------------------------------------

START = """
import json, mmap, os, socket, sys, time
from pathlib import Path
from autograder.sandboxed import sandbox, worker
def tried(action):
    try:
        return action()
    except OSError as error:
        return type(error).__name__
def say(*found):
    print(json.dumps(found))
def inside(work, readable=(), hidden=(), look=lambda: None):
    nursery = sandbox.Nursery(sandbox.Allowance(hidden=tuple(hidden), given=tuple(readable)))
    (asking, ask), (telling, tell) = os.pipe(), os.pipe()
    child = nursery.fork()
    if child == 0:
        try:
            nursery.enter(60)
            os.write(tell, json.dumps(work()).encode())
            os.read(asking, 1)
        finally:
            os._exit(0)
    os.close(tell)
    said = json.loads(os.read(telling, 10000))
    seen = look()
    os.write(ask, b"x")
    os.waitpid(child, 0)
    return [said, seen]
"""


def run(script: str) -> list:
    """What a script `say`s; it runs in a process of its own, since a nursery moves the one that makes it."""
    environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(sandbox.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    text = START + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_walls
def test_a_course_in_a_readable_place_is_hidden(tmp_path):
    """The reference lies in it, beside an environment and the engine, which are shown all the same."""
    (tmp_path / "share/course/source").mkdir(parents=True)
    (tmp_path / "share/course/.venv/lib").mkdir(parents=True)
    for name in ("share/course/source/toy.py", "share/course/.venv/lib/library.py", "share/library.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "alias").symlink_to(tmp_path / "share")
    script = f"""
    base = Path({str(tmp_path)!r})
    course = base / "share/course"
    readable = [base / "share", course / ".venv/lib", base / "alias"]
    paths = [course / "source/toy.py", base / "alias/course/source/toy.py"]
    paths += [base / "share/library.py", course / ".venv/lib/library.py"]
    def work():
        seen = [tried(lambda: len(path.read_text())) for path in paths]
        return [*seen, tried(lambda: sorted(os.listdir(course))), tried(lambda: (course / "mine").write_text("x"))]
    say(*inside(work, readable, [course])[0])
    """
    hidden, aliased, shown, below, listed, written = run(script)
    assert (hidden, aliased) == ("FileNotFoundError", "FileNotFoundError")
    assert (shown, below) == (len("share/library.py"), len("share/course/.venv/lib/library.py"))
    assert listed == [".venv"] and written in walls.DENIED


@needs_walls
def test_a_course_that_is_its_own_environment(tmp_path):
    """`python -m venv .` in the course: the environment works behind the walls, and the course is not to be seen."""
    root = write_course(tmp_path / "course", source=WITH_IMAGES)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    (site,) = root.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    environment = {"PATH": os.defpath, "PYTHONPATH": str(Path(sandbox.__file__).parents[2])}
    command = [root / "bin/python", walls.__file__, "--course", root]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {attempt: found[attempt] for attempt in found if found[attempt] not in plain(walls.ATTEMPTS[attempt][1])}
    assert found and wrong == {}


def test_a_course_that_cannot_be_hidden_is_refused(tmp_path, monkeypatch, capsys):
    write_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autograder.grading.workers.default_readable", lambda: [tmp_path])
    refused = pytest.raises(CourseError, match=f"{tmp_path} holds Python's own files.*: move it to a folder of its own")
    with refused, Observer(tmp_path / "tests/toy", "probes_public", FUNCTIONS) as observer:
        observer.start()
    assert cli.main(["doctor"]) == 1
    assert f"{tmp_path} holds Python's own files" in capsys.readouterr().out


def test_what_lies_elsewhere_is_hidden_too(tmp_path, monkeypatch):
    root, elsewhere = write_course(tmp_path / "course"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "submitted").symlink_to(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {root, elsewhere, tmp_path, Path.cwd()} <= set(hidden_folders(root))


# --- memory -----------------------------------------------------------------------------------------------------------


@needs_walls
@pytest.mark.parametrize(
    ("work", "least"),
    [
        ("kept.append(mmap.mmap(-1, 2**35, flags=0x4022, prot=1)), [kept[0][n] for n in range(0, 2**35, 2**21)]", 60),
        ("kept.extend(socket.socketpair() for _ in range(200))", 900),
        ("[os.fork() or time.sleep(60) for _ in range(10)]", 160),
    ],
    ids=["page tables", "sockets", "processes"],
)
def test_the_watch_counts(work, least):
    """What no limit of a process counts, in megabytes beyond those of one that does nothing."""
    script = """
    kept = []
    say(inside(lambda: [WORK][:0], look=worker._started)[1][1] // 2**20)
    """
    ((idle,), (busy,)) = run(script.replace("WORK", "0")), run(script.replace("WORK", work))
    assert busy - idle >= least
    assert idle < 2 * sandbox.SCRATCH_MEGABYTES + 50


def test_the_watch_finds_all_that_was_started_by_either_way():
    """By the kernel's lists of children, and by everyone's parent where it keeps none; also what a thread has started."""
    sleep = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    with ThreadPoolExecutor() as pool:
        children = [subprocess.Popen(sleep), pool.submit(subprocess.Popen, sleep).result()]
        try:
            own, parents = os.readlink("/proc/self"), {}
            while sum(str(child.pid) in parents for child in children) < len(children):
                time.sleep(0.05)
                parents = worker._by_parent()
            found = set(worker._descendants(own))
            grandchildren = {name for child in children for name in parents[str(child.pid)]}
            assert {str(child.pid) for child in children} | grandchildren <= found
            with unittest.mock.patch("os.path.exists", lambda path: False):
                assert set(worker._descendants(own)) == found
        finally:
            for child in children:
                subprocess.run(["kill", *worker._children(str(child.pid)), str(child.pid)], check=False)
                child.wait()


CONTROLLERS = "cpuset cpu io memory pids"


def group_folder(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    return folder


def test_a_group_is_made_where_its_controllers_reach(tmp_path, monkeypatch):
    """A stand-in for the kernel's files: no machine of ours has them."""
    near = group_folder(tmp_path / "user/session", "cpu")
    monkeypatch.setattr(groups, "_groups_around", lambda: [near, tmp_path / "gone", tmp_path / "user"])
    assert groups.make(1000, 10) is None
    (tmp_path / "user/cgroup.subtree_control").write_text(CONTROLLERS)
    group = groups.make(1000, 10)
    assert group and group.folder.parent == tmp_path / "user"
    found = {path.name: path.read_text() for path in group.folder.iterdir()}
    assert found == {"memory.max": "1000", "pids.max": "10", "memory.swap.max": "0"}
    assert group.join() and (group.folder / "cgroup.procs").read_text() == "0"
    (group.folder / "memory.events").write_text("low 0\nmax 7\noom 1\noom_kill 3\n")
    assert group.kills() == 3


@pytest.mark.parametrize(("usable", "by"), [(True, "the kernel: a control group"), (False, "the worker, ten times a")])
def test_doctor_says_who_counts_memory(usable, by, monkeypatch, capsys):
    monkeypatch.setattr(groups, "usable", lambda: usable)
    cli.main(["doctor"])
    assert f"memory is counted by {by}" in capsys.readouterr().out


def test_groups_are_looked_for_from_the_own_one_up(monkeypatch):
    texts = {
        "/proc/self/mountinfo": "31 23 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n",
        "/proc/self/cgroup": "1:name=systemd:/x\n0::/user.slice/app.scope\n",
    }
    monkeypatch.setattr(groups.Path, "read_text", lambda path: texts[str(path)])
    top = Path("/sys/fs/cgroup/unified")
    assert groups._groups_around() == [top / "user.slice/app.scope", top / "user.slice", top]


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
