"""Starting the worker processes, and asking them. What they answer is read in answers.py."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autograder.errors import CourseError, GraderFault
from autograder.sandboxed.sandbox import default_readable, missing_walls
from autograder.sandboxed.worker import ask, import_first, receive_message

MAY_LIE_ELSEWHERE = ("source", "tests", "solutions", "submitted", "autograded", "feedback", "grades")  # as links
MAX_ANSWER_BYTES = 32 * 2**20  # to all probes of one set
PACKAGES = Path(__file__).resolve().parents[2]  # the folder that `autograder` is imported from


def require_walls() -> None:
    """Says what is missing instead of running open.

    Raises:
        CourseError: this machine cannot build the sandbox.
    """
    if lacks := missing_walls():
        raise CourseError(
            "the sandbox cannot be built here:\n  "
            + "\n  ".join(lacks)
            + "\nor use `autograder grade` with --sandbox none for code you trust"
        )


class Turns:
    """Lets submissions run side by side, or one of them alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running, self._alone = 0, False

    @contextlib.contextmanager
    def taken(self, alone: bool) -> Iterator[None]:
        """Waits until nobody is alone; who is to be `alone` also until the others have ended, and lets no other begin."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone, self._running = alone, self._running + 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not alone or self._running == 1)
            yield
        finally:
            with self._changed:
                self._alone, self._running = self._alone and not alone, self._running - 1
                self._changed.notify_all()


TURNS = Turns()  # of all workers of this process, whatever probes they hold


def hidden_folders(course: Path) -> list[Path]:
    """Folders to keep from every submission, should they lie where Python or the system's libraries do.

    Raises:
        CourseError: the course is such a place itself, so that it cannot be hidden.
    """
    places = {place.resolve() for place in default_readable()}
    if course.resolve() in places:
        raise CourseError(
            f"{course} holds Python's own files, which every submission reads, so the course cannot be hidden there: "
            "move it to a folder of its own, or use --sandbox none for code you trust"
        )
    own = [course / name for name in MAY_LIE_ELSEWHERE]
    folders = [course, *own, Path.cwd(), Path(os.path.expanduser("~")), Path(tempfile.gettempdir())]
    return [folder for folder in dict.fromkeys(folder.resolve() for folder in folders) if folder.is_dir()]


class Worker:
    """One worker process, by its socket."""

    def __init__(self, sock: socket.socket):
        self.sock: socket.socket | None = sock
        self.ready: dict[str, Any] | None = None
        self._imported: set[str] = set()

    def probes(self) -> list[list[str]]:
        """Name, function and `beside` of each probe the worker holds; waits until it has started."""
        if self.ready is None:
            self.ready, _ = receive_message(self._open())
        if "failed" in self.ready:
            raise CourseError(f"a worker could not start: {self.ready['failed']}")
        return list(self.ready["probes"])

    def ask(
        self, job: dict[str, Any], body: bytes, limit: float, budget: float, alone: bool
    ) -> tuple[str, bytes, float, float]:
        """How the job ended, what was answered, its CPU and its wall seconds; `alone`, while no other worker works."""
        self.probes()
        self._import(job.get("packages", ()))
        answer = bytearray()

        def hear(part: bytes) -> bool:
            answer.extend(part)
            return len(answer) <= MAX_ANSWER_BYTES

        with TURNS.taken(alone):
            start = time.monotonic()
            done = ask(self._open(), job, body, limit, budget, hear)
            return done["state"], bytes(answer), done["cpu"], time.monotonic() - start

    def _import(self, packages: Iterable[str]) -> None:
        """Lets the worker itself import what a submission will: each takes seconds, which nobody is charged for."""
        if missing := set(packages) - self._imported:
            self._imported |= missing
            import_first(self._open(), sorted(missing))

    def _open(self) -> socket.socket:
        if self.sock is None:
            raise EOFError("it was dropped")
        return self.sock

    def drop(self) -> None:
        """Closes the socket, at which the process ends by itself."""
        if self.sock is not None:
            self.sock.close()
        self.sock = self.ready = None
        self._imported = set()


def _fonts() -> dict[str, str]:
    """Where matplotlib keeps its list of fonts, which takes it a while to make, from one start to the next; nowhere if it
    cannot: it is then made anew in the server's own folder."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autograder" / "matplotlib"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return {"MPLCONFIGDIR": str(folder)}
    return {}


def start_server(
    workers: int, packages: Sequence[str], sets: int = 1
) -> tuple[subprocess.Popen[bytes], list[list[socket.socket]]]:
    """Starts the process that imports `packages`; nothing of ours reaches it but sockets, one for each worker of each set.

    It ends when all the sockets are closed.
    """
    pairs = [[socket.socketpair() for _ in range(workers)] for _ in range(sets)]
    theirs = [[their.fileno() for _, their in group] for group in pairs]
    environment = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin where they wait stand still on a busy machine
        "MPLBACKEND": "Agg",
    }
    kept = {
        name: os.environ[name]
        for name in ("TMPDIR", "MPLCONFIGDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        if name in os.environ
    }
    call = f"worker.main({theirs}, {list(packages)})"
    start = f"import sys; sys.path.append({str(PACKAGES)!r}); from autograder.sandboxed import worker; {call}"
    try:
        server = subprocess.Popen(
            [sys.executable, "-IB", "-c", start],
            pass_fds=[descriptor for group in theirs for descriptor in group],
            env=environment | _fonts() | kept,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the grader's to handle; the workers end when it closes their sockets
        )
    except OSError as error:
        raise GraderFault(f"worker processes cannot be started ({error}): run the command again") from error
    for group in pairs:
        for _, their in group:
            their.close()
    return server, [[mine for mine, _ in group] for group in pairs]
