"""The process that holds the probes and what they import, and forks once for every submission it observes.

The grader starts it with `main`, on one socket for every worker, without the caller's environment or descriptors. It knows
no check, answer or grade, and never runs a student's code itself: a fork of it does, behind the walls of `sandbox`.
Importing torch takes seconds, a fork of a process that has it takes milliseconds.

For each job the grader sends two pipes. The fork reads the job from one and answers on the other, straight to the grader:
the worker, of which all later submissions' processes are copies, never holds a submission nor an answer (the reference's
least of all). It waits for the grader's word on how the job ended, and says how the fork did.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import json
import multiprocessing.context
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from autograder.sandboxed import sandbox

if TYPE_CHECKING:
    from autograder.sandboxed.probing import Probe
    from autograder.sandboxed.training import Recipe

JOB, IMPORT = b"j", b"i"  # what comes next on a worker's socket
ANSWERS = 3  # the descriptor on which a fork answers
MAX_CODE_BYTES = 8 * 2**20
TOO_MUCH_MEMORY = "used too much memory"
TOO_MUCH_SAID = "answered too much"
OPEN_MAX = os.sysconf("SC_OPEN_MAX")  # asked before the sandbox lowers it
PROCESS_BYTES = 16 * 2**20  # what the kernel may keep for a process: 65,530 mappings, a thousand descriptors
MESSAGES = 12  # of the default size wait at most in a socket without a connection
MADV_COLLAPSE, HUGE_PAGE = 25, 2 * 2**20


def send_message(sock: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Writes one message: the header as JSON, then the body, each after its length."""
    head = json.dumps(header).encode()
    sock.sendall(struct.pack("<II", len(head), len(body)) + head + body)


def receive_message(sock: socket.socket) -> tuple[dict[str, Any], bytes]:
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


def main(groups: list[list[int]], packages: list[str]) -> None:
    """Works in a temporary folder of its own, which is gone afterwards with all that libraries leave behind in theirs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        os.environ["TMPDIR"] = os.environ["HOME"] = tempfile.tempdir = folder
        server = os.fork()
        if server == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            sandbox.die_with_parent()
            start(groups, packages)
        for descriptor in (descriptor for group in groups for descriptor in group):
            os.close(descriptor)
        os.waitpid(server, 0)


def start(groups: list[list[int]], packages: list[str]) -> None:
    """Imports `packages` once, and forks a process for every group of sockets, whose workers hold one set of probes."""
    gc.disable()  # collections would walk, again and again, what stays to the end
    for package in packages:
        importlib.import_module(package)
    from IPython.core import inputtransformer2  # noqa: F401  for notebooks with magics

    from autograder.sandboxed import authoring, observe

    observe.stand_in_for_the_package()
    sys.modules["autograder.authoring"] = authoring
    _fork_alone()
    _warm_up()
    gc.freeze()  # else a collection in a fork would walk, and so copy, all that was imported: 0.3 s
    _collapse_memory()  # once for all sets
    own, *others = [[socket.socket(fileno=descriptor) for descriptor in group] for group in groups]
    for group in others:
        if os.fork() == 0:
            _close(sock for other in (own, *others) if other is not group for sock in other)
            hold(group)
    _close(sock for group in others for sock in group)
    hold(own)


def _fork_alone() -> None:
    """Lets every process that a submission starts be forked: what a spawned one would import anew is not there (the
    probes' own classes, the submission's cells). Loaders with workers so answer alike under any start method."""
    contexts: dict[str, Any] = vars(multiprocessing.context)["_concrete_contexts"]
    contexts.update(spawn=contexts["fork"], forkserver=contexts["fork"])
    multiprocessing.set_start_method("fork", force=True)


def _warm_up() -> None:
    """Does once what every fork would have to do anew: what the imported packages put off until they are first used."""
    for package, warm_up in WARM_UPS.items():
        if package in sys.modules:
            warm_up()


@functools.cache
def _warm_up_torch() -> None:
    import torch
    from torch import nn

    from autograder.sandboxed.recording import know_torch

    know_torch()
    torch.set_num_threads(1)
    torch.backends.cpu.get_cpu_capability()  # torch looks at the processor once; behind the walls it could not
    with contextlib.suppress(ImportError, AttributeError):  # else a first torch.compile would, behind what is noted
        from torch._dynamo.mutation_guard import install_generation_tagging_init

        install_generation_tagging_init()
    with torch.no_grad():  # no backward pass: its threads would not survive a fork
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
        net(torch.rand(2, 3, 8, 8)).log_softmax(1).matmul(torch.rand(4, 4))


@functools.cache
def _warm_up_torchvision() -> None:
    import torchvision.transforms.v2  # noqa: F401

    from autograder.sandboxed import cifar10  # noqa: F401


@functools.cache
def _warm_up_plots() -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axis = plt.figure().add_subplot()
    axis.plot([1, 2], label="line")
    axis.legend()
    plt.close("all")


WARM_UPS = {"torch": _warm_up_torch, "torchvision": _warm_up_torchvision, "matplotlib": _warm_up_plots}


def hold(sockets: list[socket.socket]) -> NoReturn:
    """Imports files of probes, forks a worker for each of `sockets`, and waits for all children.

    The first message on each socket names the files, and folders to keep from submissions; the same on all of them.
    """
    from autograder.sandboxed.observe import guard
    from autograder.sandboxed.probing import import_from, probes_in

    with contextlib.suppress(EOFError, OSError):  # the grader is gone: so is the work
        setting = [receive_message(sock)[0] for sock in sockets][0]
        try:
            modules = [import_from(Path(setting["folder"]), file) for file in setting["files"]]
            probes = [probe for module in modules for probe in probes_in(module)]
            recipe = next((vars(module)["RECIPE"] for module in modules if "RECIPE" in vars(module)), None)
            _warm_up()  # what only the probes have imported
            guard(probes)  # for all forks
        except Exception as error:
            for sock in sockets:
                _say_failed(sock, error)
            os._exit(1)
        gc.freeze()  # the probes too
        gc.enable()
        _collapse_memory()
        for sock in sockets:
            if os.fork() == 0:
                _close(other for other in sockets if other is not sock)
                work = functools.partial(perform, probes, recipe)
                serve(sock, probes, work, setting["sandbox"], sandbox.Allowance.of(setting))
                os._exit(0)
        _close(sockets)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
    os._exit(0)  # libraries that clean up after themselves have things to say on stderr that help nobody


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _say_failed(sock: socket.socket, error: Exception) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename}, line {last.lineno}"
    send_message(sock, {"failed": f"{type(error).__name__}: {error} ({where})"})


def _collapse_memory() -> None:
    """Asks the kernel to keep what was imported in huge pages: a fork's cost is copying the table of its pages.

    See madvise(2), MADV_COLLAPSE, Linux 6.1; where the kernel refuses, forks take some 20 ms more and nothing else changes.
    """
    libc = ctypes.CDLL(None)
    try:
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except OSError:  # not Linux
        return
    for fields in map(str.split, mappings):
        start, end = (int(address, 16) for address in fields[0].split("-"))
        start, end = -(-start // HUGE_PAGE) * HUGE_PAGE, end // HUGE_PAGE * HUGE_PAGE
        if fields[1] == "rw-p" and fields[5:] in ([], ["[heap]"]) and start < end:
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_COLLAPSE)


def serve(
    sock: socket.socket, probes: list["Probe"], work: Callable[..., None], walls: str, allowance: sandbox.Allowance
) -> None:
    """Answers jobs, by `work` in a fork, until the grader closes the socket (EOFError, OSError).

    The first message says which probes this worker holds, or why it failed to start.
    """
    try:
        nursery = sandbox.Nursery(allowance) if walls == "full" else None
    except Exception as error:
        _say_failed(sock, error)
        return
    send_message(sock, {"probes": [[probe.name, probe.function, probe.beside] for probe in probes]})
    while (received := socket.recv_fds(sock, 1, 2))[0]:
        if received[0] == JOB:
            _do_job(sock, work, nursery, allowance, *received[1])
        else:
            _import_first(sock, probes)


def import_first(sock: socket.socket, packages: list[str]) -> None:
    """The grader's side of an import: has the worker import `packages`, if they are there, and waits for it."""
    sock.sendall(IMPORT)
    send_message(sock, {"packages": packages})
    receive_message(sock)


def _import_first(sock: socket.socket, probes: list["Probe"]) -> None:
    """The worker's side: imports what the next submission will, as if the module had."""
    from autograder.sandboxed import intact, observe

    known = len(sys.modules)
    for package in receive_message(sock)[0]["packages"]:
        with contextlib.suppress(ImportError):  # the submission is told
            importlib.import_module(package)
    if len(sys.modules) > known:  # else all stays untouched: what a worker writes to costs each of its forks
        _warm_up()
        intact.guard.cache_clear()
        observe.guard(probes)
    send_message(sock, {})


def perform(
    probes: list["Probe"], recipe: "Recipe | None", job: dict[str, Any], body: bytes, emit: Callable[[bytes], None]
) -> None:
    """In the fork: finds the code in a notebook, runs code under the probes, or trains by it."""
    from autograder.sandboxed.notebook import Code
    from autograder.sandboxed.observe import frame, observe
    from autograder.sandboxed.recording import encode

    if job["kind"] in ("read", "contents"):
        emit(frame(encode(_read(body, job))))
        if job.get("shown"):  # the code, and then what a gradebook shows: a fork costs more than both
            emit(frame(encode(_read(body, {"kind": "contents"}))))
        return
    if job["kind"] == "train":
        from autograder.sandboxed.training import train

        assert recipe is not None
        train(job, body, recipe, emit)
        return
    observe(job, Code.from_json(body), probes, lambda blob: emit(frame(blob)))


def _read(notebook: bytes, job: dict[str, Any]) -> dict[str, Any]:
    """The code that the job's functions need, or the cells as they are to be shown: JSON, which cuts no text."""
    import numpy as np

    from autograder.sandboxed.errors import Unreadable
    from autograder.sandboxed.notebook import Released, read_cells, read_contents, read_texts, read_version, select

    try:
        if job["kind"] == "contents":
            text = json.dumps(read_contents(notebook), ensure_ascii=False)
            return {"contents": np.frombuffer(text.encode("utf-8", "replace"), np.uint8)}
        released = Released.from_dict(job["released"])
        code = select(read_cells(notebook), job["functions"], released, read_texts(notebook))
        code = replace(code, version=read_version(notebook))
    except Unreadable as error:
        return {"unreadable": str(error)}
    except UnicodeDecodeError:
        return {"unreadable": "is not UTF-8 text: save it again from Jupyter or Colab as .ipynb"}
    data = code.as_json()
    if len(data) > MAX_CODE_BYTES:
        longest = max(code.pieces, key=lambda piece: len(piece[2]))[0]
        return {"unreadable": f"holds {len(data):,} bytes of code: shorten cell {longest}, or read its data from a file"}
    return {"code": np.frombuffer(data, np.uint8)}


# --- one job ----------------------------------------------------------------------------------------------------------


def ask(
    sock: socket.socket, job: dict[str, Any], body: bytes, limit: float, budget: float, hear: Callable[[bytes], bool]
) -> dict[str, Any]:
    """The grader's side of a job: sends it, and hears what the fork writes until it, and all it started, is dead.

    Args:
        job: with `cpu`, the seconds after which the kernel ends it, where those are not a little more than the budget.
        limit: seconds without a new answer after which it is killed.
        budget: seconds for the whole.
        hear: takes the next bytes; False when that is more than anyone wants.

    Returns:
        `state`, how it ended ("finished", "timed out", "crashed: …", "answered too much"), `cpu`, its seconds, and
        `memory`, what the worker has seen it use.

    Raises:
        EOFError, OSError: the worker is gone.
    """
    (question, asking), (answering, answer) = os.pipe(), os.pipe()
    with open(asking, "wb", buffering=0) as mine, open(answering, "rb", buffering=0) as theirs:
        try:
            socket.send_fds(sock, [JOB], [question, answer])
        finally:
            os.close(question)
            os.close(answer)
        head = json.dumps({"cpu": int(budget) + 5, **job}).encode()
        with mine, contextlib.suppress(BrokenPipeError):  # the fork is dead; how it ended follows
            _write_all(asking, struct.pack("<I", len(head)) + head + body)
        ending = _collect(theirs.fileno(), limit, budget, hear)
    send_message(sock, {"ending": ending})
    return receive_message(sock)[0]


def _receive_job(descriptor: int) -> tuple[dict[str, Any], bytes]:
    with open(descriptor, "rb", closefd=False) as file:
        head = struct.unpack("<I", file.read(4))[0]
        return json.loads(file.read(head)), file.read()


def _collect(descriptor: int, limit: float, budget: float, hear: Callable[[bytes], bool]) -> str:
    start = last = time.monotonic()
    while (left := min(last + limit, start + budget) - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            continue
        part = os.read(descriptor, 2**20)
        if not part:
            return "finished"
        last = time.monotonic()
        if not hear(part):
            return TOO_MUCH_SAID
    return "timed out"


def _do_job(
    sock: socket.socket,
    work: Callable[..., None],
    nursery: sandbox.Nursery | None,
    allowance: sandbox.Allowance,
    question: int,
    answer: int,
) -> None:
    """The worker's side: forks, behind the walls or without a nursery under limits alone, and sends how that ended.

    Raises:
        EOFError: the grader is gone; so is the fork.
    """
    before, group = _children_cpu(), nursery.group if nursery else None
    kills = group.kills() if group else 0
    with contextlib.nullcontext("") if nursery else tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        child = nursery.fork() if nursery else os.fork()
        if child == 0:
            _in_child(work, nursery, allowance, folder, question, answer)
        os.close(question)
        os.close(answer)
        ending, seen = "killed: the grader is gone", Seen()
        try:
            broken = _watch(sock, allowance, seen)
            ending = broken or receive_message(sock)[0]["ending"]
        finally:
            status = _end(child, ending)
    if broken:
        receive_message(sock)
    elif group and group.kills() > kills:
        ending = TOO_MUCH_MEMORY
    elif ending == "finished" and status != 0:
        ending = _crash(status)
    send_message(sock, {"state": ending, "cpu": _children_cpu() - before, "memory": seen.samples})


def _children_cpu() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Seen:
    """What a fork was seen to use: [seconds from its start, bytes], some hundred pairs over any time."""

    MOST = 400

    def __init__(self) -> None:
        self.samples: list[list[float]] = []
        self._start, self._every, self._looks = time.monotonic(), 1, 0

    def add(self, memory: int) -> None:
        if self._looks % self._every == 0:
            self.samples.append([round(time.monotonic() - self._start, 2), memory])
        self._looks += 1
        if len(self.samples) > self.MOST:
            del self.samples[1::2]
            self._every *= 2


def _watch(sock: socket.socket, allowance: sandbox.Allowance, seen: Seen) -> str:
    """Waits until the grader speaks; sooner, with the reason, when all that was started together takes too much."""
    while not select.select([sock], [], [], allowance.watch)[0]:
        tasks, memory = _started(allowance.scratch)
        seen.add(memory)
        if tasks > sandbox.MAX_TASKS:
            return f"started more than {sandbox.MAX_TASKS} processes and threads"
        if memory > allowance.memory:
            return TOO_MUCH_MEMORY
    return ""


def _started(scratch: int = sandbox.SCRATCH_MEGABYTES) -> tuple[int, int]:
    """Tasks of all that this process started, and their memory beyond its own: what no limit of one process bounds.

    What cannot be seen counts as much as it can be: a socket as full, the kernel's notes on a process, and, once the
    walls stand, the folders. Zeros where there is no /proc.
    """
    try:
        own = os.readlink("/proc/self")  # not getpid(): its number in the namespace that /proc shows
    except OSError:
        return 0, 0
    found = _descendants(own)
    mine, theirs = _status(own), [_status(name) for name in found]
    memory = sum(max(0, _bytes(status) - _bytes(mine)) + PROCESS_BYTES for status in theirs)
    if theirs and theirs[0].get("Seccomp_filters", 0) > mine.get("Seccomp_filters", 0):  # its namespaces are its own
        memory += _sockets(found[0]) * MESSAGES * _socket_bytes()
        memory += len(sandbox.WRITABLE) * scratch * 2**20
    return sum(status.get("Threads", 0) for status in theirs), memory


def _descendants(process: str) -> list[str]:
    """What a process started, and what these did. By the kernel's own lists, see proc_tid_children(5), so that a look costs no
    more where a thousand others work; where it keeps none, all processes of the machine are asked for their parent."""
    kept = os.path.exists(f"/proc/{process}/task/{process}/children")
    children: Callable[[str], list[str]] = _children if kept else _by_parent().__getitem__
    found = list(children(process))
    for name in found:  # grows as it is walked, but not for ever, however fast processes follow one another
        found += children(name) if len(found) < 4 * sandbox.MAX_TASKS else []
    return found


def _children(process: str) -> list[str]:
    """The processes that each thread of a process has started."""
    found: list[str] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError):
                found += Path(f"/proc/{process}/task/{task}/children").read_text().split()
    return found


def _by_parent() -> defaultdict[str, list[str]]:
    """All processes that /proc shows, by their parents."""
    children = defaultdict[str, list[str]](list)
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            children[Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]].append(name)
    return children


def _status(process: str) -> dict[str, int]:
    """The numbers that /proc has of a process, by name, memory in KiB; none once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.replace(":", " ").split() for line in lines)
    return {words[0]: int(words[1]) for words in fields if len(words) > 1 and words[1].isdecimal()}


def _bytes(status: dict[str, int]) -> int:
    """A process's pages and page tables."""
    return 1024 * (status.get("VmRSS", 0) + status.get("VmPTE", 0))


def _sockets(process: str) -> int:
    """How many sockets there are in a process's network namespace, those that nobody holds any more among them."""
    try:
        return len(Path(f"/proc/{process}/net/unix").read_text().splitlines()) - 1
    except OSError:
        return 0


@functools.cache
def _socket_bytes() -> int:
    """The default size of a socket's buffer; the kernel's own where a container does not show this machine's."""
    try:
        return int(Path("/proc/sys/net/core/wmem_default").read_text())
    except OSError:
        return 212_992


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


def _in_child(
    work: Callable[..., None],
    nursery: sandbox.Nursery | None,
    allowance: sandbox.Allowance,
    folder: str,
    question: int,
    answer: int,
) -> None:
    """The fork: never returns. Without a nursery it works in `folder`."""
    from autograder.sandboxed.observe import frame
    from autograder.sandboxed.recording import encode

    status = 1
    try:
        os.setsid()
        sandbox.die_with_parent()
        _die_first()
        job, body = _receive_job(question)
        try:
            if nursery:
                scratch = nursery.enter(job["cpu"])
            else:
                sandbox.limit_resources(sandbox.limits_from_here(allowance, job["cpu"]))
                scratch = Path(folder)
            _settle_in(scratch, allowance.data)
        except Exception as error:
            _write_all(answer, frame(encode({"broken": f"{type(error).__name__}: {error}"})))
            return
        _keep_only(answer)
        _write_all(ANSWERS, frame(encode({"walls": bool(nursery)})))  # all that comes after may be the submission's
        work(job, body, lambda data: _write_all(ANSWERS, data))
        status = 0
    finally:
        os._exit(status)


def _die_first() -> None:
    """Has the kernel, when memory runs out, end a submission before the worker, the grader and everyone else."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _keep_only(answers: int) -> None:
    """Descriptor 3 for the answers, /dev/null for 0 to 2, nothing else."""
    null = os.open(os.devnull, os.O_RDWR)
    if answers != ANSWERS:
        os.dup2(answers, ANSWERS)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(ANSWERS + 1, OPEN_MAX)


def _settle_in(scratch: Path, data: Iterable[tuple[str, Path]]) -> None:
    """Works, and keeps temporary files, in the scratch folder. In its `data/` are links to the files that lie there in a
    release: more can be written there, and nothing into them."""
    os.chdir(scratch)
    os.environ["TMPDIR"] = os.environ["HOME"] = tempfile.tempdir = str(scratch)
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):  # where torch.compile keeps what it makes
        os.environ[name] = str(scratch / name.lower())
    for name, path in data:
        link = scratch / "data" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
