"""The process that holds torch and the probes, and forks once for every submission it observes.

The grader starts it with `main`, on one socket for every worker, without the caller's environment or descriptors. It knows
no check, answer or grade, and never runs a student's code itself: a fork of it does, behind the walls of `sandbox`.
Importing torch takes seconds, a fork of a process that has it takes milliseconds.

A job on the socket is a JSON header and a body; the answer is a JSON header (how the fork ended) and the bytes it sent.
"""

import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from autograder import sandbox

ANSWERS = 3  # the descriptor on which a fork answers
MAX_ANSWER_BYTES = 128 * 2**20
MEMORY_BYTES = 3 * 2**30
WATCH_SECONDS = 0.1


def send_message(sock: socket.socket, header: dict, body: bytes = b"") -> None:
    """Writes one message: the header as JSON, then the body, each after its length."""
    head = json.dumps(header).encode()
    sock.sendall(struct.pack("<II", len(head), len(body)) + head + body)


def receive_message(sock: socket.socket) -> tuple[dict, bytes]:
    """Reads one message.

    Raises:
        EOFError: the other side is gone.
    """
    head, body = struct.unpack("<II", _receive(sock, 8))
    return json.loads(_receive(sock, head)), _receive(sock, body)


def _receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 2**20))
        if not part:
            raise EOFError("the other side closed the connection")
        data += part
    return bytes(data)


def main(descriptors: list[int]) -> None:
    """Imports torch once, forks a worker for every socket, and waits for them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot
    import torch
    import torchvision.transforms.v2  # noqa: F401

    import autograder.cifar10
    import autograder.observe  # noqa: F401

    torch.set_num_threads(1)
    torch.backends.cpu.get_cpu_capability()  # torch looks at the processor once; behind the walls it could not
    torch.rand(64).log().matmul(torch.rand(64, 64))
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    children = []
    for mine in sockets:
        children.append(os.fork())
        if children[-1] == 0:
            for other in sockets:
                if other is not mine:
                    other.close()
            with contextlib.suppress(EOFError, OSError):  # the grader is gone: so is the work
                serve(mine)
            os._exit(0)
    for sock in sockets:
        sock.close()
    for child in children:
        os.waitpid(child, 0)


def serve(sock: socket.socket) -> None:
    """Answers jobs until the grader closes the socket (EOFError, OSError).

    The first message says which probes this worker holds, and whether it forks behind the walls.
    """
    from autograder.probing import import_from, probes_in

    setting, _ = receive_message(sock)
    fork = sandbox.Nursery().fork if setting["sandbox"] == "full" else os.fork
    probes = probes_in(import_from(Path(setting["folder"]), setting["file"]))
    gc.collect()
    gc.freeze()  # else a collection in a fork would walk, and so copy, all that was imported: 0.3 s
    send_message(sock, {"probes": [[probe.name, probe.function] for probe in probes]})
    while sock.recv(1, socket.MSG_PEEK):
        # Each job is taken and answered by a process of its own: this one, of which all later submissions' processes are
        # copies, never holds an answer (the reference's least of all) nor a submission.
        helper = os.fork()
        if helper == 0:
            try:
                _do_job(sock, probes, fork, setting["sandbox"])
            finally:
                os._exit(1)
        if os.waitpid(helper, 0)[1]:
            return


def _do_job(sock: socket.socket, probes: list, fork: Callable[[], int], walls: str) -> None:
    job, body = receive_message(sock)
    state, answer, seconds = supervise(functools.partial(perform, job, body, probes), fork, walls, job["limit"])
    send_message(sock, {"state": state, "cpu": seconds}, answer)
    os._exit(0)


def perform(job: dict, body: bytes, probes: list, emit: Callable[[bytes], None]) -> None:
    """In the fork: finds the code in a notebook, or runs code under the probes."""
    from autograder.notebook import Code
    from autograder.observe import frame, observe
    from autograder.recording import encode

    if job["kind"] in ("read", "contents"):
        emit(frame(encode(_read(body, job.get("functions")))))
        return
    content = json.loads(body)
    notes = {int(cell): note for cell, note in content["notes"].items()}
    observe(job, Code(content["pieces"], content["stubs"], notes), probes, lambda blob: emit(frame(blob)))


def _read(notebook: bytes, functions: list[str] | None) -> dict:
    """The code that the functions need, or without any functions the cells as they are to be shown, as JSON."""
    import numpy as np

    from autograder.notebook import Unreadable, read_cells, read_contents, select

    try:
        if functions is None:
            text = json.dumps(read_contents(notebook), ensure_ascii=False)
            return {"contents": np.frombuffer(text.encode("utf-8", "replace"), np.uint8)}
        code = select(read_cells(notebook), functions)
    except Unreadable as error:
        return {"unreadable": str(error)}
    except UnicodeDecodeError:
        return {"unreadable": "is not UTF-8 text: save it again from Jupyter or Colab as .ipynb"}
    return {"pieces": list(code.pieces), "stubs": code.stubs, "notes": code.notes}


# --- supervising one fork ---------------------------------------------------------------------------------------------


def supervise(work: Callable, fork: Callable[[], int], walls: str, limit: float) -> tuple[str, bytes, float]:
    """Runs `work` in a fork behind the walls and collects what it writes until it, and all it started, is dead.

    Args:
        work: called in the fork with the function that sends bytes back.
        walls: "full", or "none" for limits alone.
        limit: seconds without a new answer after which it is killed; six times that is the limit for the whole.

    Returns:
        How it ended ("finished", "timed out", "crashed: …", "answered too much"), its bytes, its CPU seconds.
    """
    results, answers = os.pipe()
    before = _children_cpu()
    with tempfile.TemporaryDirectory(prefix="autograder-") as scratch:
        child = fork()
        if child == 0:
            _in_child(work, walls, limit, Path(scratch), answers)
        os.close(answers)
        ending, data = _collect(results, limit)
        status = _end(child, ending)
    os.close(results)
    if ending == "finished" and status != 0:
        ending = _crash(status)
    return ending, data, _children_cpu() - before


def _children_cpu() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _collect(descriptor: int, limit: float) -> tuple[str, bytes]:
    data = bytearray()
    start = last = watched = time.monotonic()
    while True:
        now = time.monotonic()
        if now > min(last + limit, start + 6 * limit):
            return "timed out", bytes(data)
        if now > watched + WATCH_SECONDS:
            tasks, memory = _started()
            if tasks > sandbox.MAX_TASKS:
                return f"started more than {sandbox.MAX_TASKS} processes and threads", bytes(data)
            if memory > MEMORY_BYTES:
                return "used too much memory", bytes(data)
            watched = now
        if not select.select([descriptor], [], [], WATCH_SECONDS)[0]:
            continue
        part = os.read(descriptor, 2**20)
        if not part:
            return "finished", bytes(data)
        data += part
        last = time.monotonic()
        if len(data) > MAX_ANSWER_BYTES:
            return "answered too much", b""


def _started() -> tuple[int, int]:
    """Tasks of all that this process started, and their memory beyond its own: what no limit of one process bounds.

    Zeros where there is no /proc.
    """
    page, about, children = os.sysconf("SC_PAGE_SIZE"), {}, {}
    try:
        own = os.readlink("/proc/self")  # not getpid(): its number in the namespace that /proc shows
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):  # it has ended
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                about[name] = int(fields[17]), int(fields[21]) * page  # num_threads, rss; see proc(5)
                children.setdefault(fields[1], []).append(name)
    except OSError:
        return 0, 0
    found = list(children.get(own, []))
    for name in found:
        found += children.get(name, [])
    return sum(about[name][0] for name in found), sum(max(0, about[name][1] - about[own][1]) for name in found)


def _end(child: int, ending: str) -> int:
    """Waits for the fork, or kills it. As process 1 of its namespace it takes everything it started with it."""
    if ending != "finished" or not _exits(child, seconds=1):  # it may close its descriptor and go on
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # without namespaces: what it left behind in its process group
    return status


def _exits(child: int, seconds: float) -> bool:
    """Whether the child ends by itself in time; it is left to be reaped."""
    end = time.monotonic() + seconds
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _crash(status: int) -> str:
    if status == -signal.SIGXCPU:
        return "timed out"
    known = {-number: number.name for number in signal.Signals}
    return f"crashed: {known.get(status, f'exit status {status}')}"


def _in_child(work: Callable, walls: str, limit: float, scratch: Path, answers: int) -> None:
    """The fork: never returns."""
    from autograder.observe import frame
    from autograder.recording import encode

    status = 1
    try:
        os.setsid()
        _keep_only(answers)
        cpu = int(6 * limit) + 5
        if walls == "full":
            sandbox.enter(scratch, sandbox.default_readable(), MEMORY_BYTES, cpu)
        else:
            sandbox.limit_resources(MEMORY_BYTES, cpu)
        _settle_in(scratch)
        _write_all(ANSWERS, frame(encode({"walls": walls})))  # all that comes after it may be the submission's
    except Exception as error:
        _write_all(ANSWERS, frame(encode({"broken": f"{type(error).__name__}: {error}"})))
        os._exit(status)
    try:
        work(lambda data: _write_all(ANSWERS, data))
        status = 0
    finally:
        os._exit(status)


def _keep_only(answers: int) -> None:
    """Descriptor 3 for the answers, /dev/null for 0 to 2, nothing else."""
    null = os.open(os.devnull, os.O_RDWR)
    if answers != ANSWERS:
        os.dup2(answers, ANSWERS)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(ANSWERS + 1, os.sysconf("SC_OPEN_MAX"))


def _settle_in(scratch: Path) -> None:
    """Works, and keeps temporary files, in the scratch folder; the tiny data lie there as `data/`, as in a release."""
    os.chdir(scratch)
    os.environ["TMPDIR"] = os.environ["HOME"] = tempfile.tempdir = str(scratch)
    with contextlib.suppress(OSError):
        (scratch / "data").symlink_to(Path(__file__).parent / "data")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
