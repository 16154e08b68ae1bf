"""Where recordings are judged: a process of its own, which a limit ends and nothing else.

What checks make of a recording is not bounded by the recording: one that claims a million printed lines can make a check
build a million lists. So no recording is judged in the grader's process. It forks a court, once and before it has
threads, that holds the checks, the remarks and the reference's recordings. The court forks a judge, and another one when
a recording was that one's end. Only plain data comes back.
"""

import contextlib
import gc
import os
import pickle
import resource
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from autograder.course.checks import Check, Remark
from autograder.errors import GraderFault
from autograder.grading.judge import PASSED, Judged, Verdict, full_marks, judge, remarks_on
from autograder.grading.recordings import Recording
from autograder.sandboxed import sandbox
from autograder.sandboxed.worker import receive_message, send_message

MEMORY_BYTES = 2**30  # that judging one submission may take
CPU_SECONDS, WALL_SECONDS = 20, 300
ENDED = {
    "memory": f"judging it was stopped: it took more than {MEMORY_BYTES / 2**30:g} GB of memory",
    "time": f"judging it was stopped: it took more than {CPU_SECONDS} s",
}

FOUND = ("state", "points", "message", "expected", "found", "look")
NO_MEMORY = 3  # a judge's exit status

Recordings = Mapping[bool, Recording]
Checks = Mapping[str, Check]  # by name


class Court:
    """Judges recordings against those of the reference, `expected`, one submission after another."""

    def __init__(self, checks: list[Check], remarks: list[Remark], expected: Recordings):
        self._holds = {check.name: check for check in checks}, remarks, expected
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._sock, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            _sit(theirs, *self._holds)
        theirs.close()

    def judge(self, checks: Iterable[Check], observed: Recordings) -> tuple[list[Judged], dict[str, str]]:
        """One verdict for each of `checks`, and the remarks by function.

        Raises:
            GraderFault: it took too much memory or time; the next is judged as ever.
        """
        checks = list(checks)
        names = [check.name for check in checks]
        with self._lock:
            try:
                send_message(self._sock, {"checks": names}, pickle.dumps(dict(observed), protocol=5))
                said, _ = receive_message(self._sock)
            except (EOFError, OSError) as error:
                self.close()
                self._open()
                raise GraderFault(f"the process that judges was lost ({error}): run the command again") from error
        if "ended" in said:
            raise GraderFault(ENDED.get(said["ended"], f"judging it ended: {said['ended']}"))
        judged = [
            Judged(replace(full_marks(check), **found), tuple(probes), tuple(distances))
            for check, (found, probes, distances) in zip(checks, said["judged"], strict=True)
        ]
        return judged, said["remarks"]

    def close(self) -> None:
        """Ends the court."""
        self._sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


# --- in the court -----------------------------------------------------------------------------------------------------


def _sit(sock: socket.socket, checks: Checks, remarks: list[Remark], expected: Recordings) -> NoReturn:
    """Has a judge for as long as the grader is there."""
    try:
        os.setsid()  # Ctrl-C is the grader's to handle
        _keep_only(sock)
        gc.freeze()
        while True:
            judge = os.fork()
            if judge == 0:
                _serve(sock, checks, remarks, expected)
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(judge, 0)[1])
            if status == 0:
                break
            send_message(sock, {"ended": _why(status)})
    finally:
        os._exit(0)


def _keep_only(sock: socket.socket) -> None:
    """No descriptor but the socket: whoever waits for the end of a pipe of the grader's does not wait for this process."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, sock.fileno())
    os.closerange(sock.fileno() + 1, os.sysconf("SC_OPEN_MAX"))


def _why(status: int) -> str:
    if status in (-signal.SIGPROF, -signal.SIGALRM):
        return "time"
    return "memory" if status in (NO_MEMORY, -signal.SIGKILL) else f"exit status {status}"


def _serve(sock: socket.socket, checks: Checks, remarks: list[Remark], expected: Recordings) -> None:
    """Judges until the grader is gone. The timers' signals, and memory that is refused, end this process."""
    sandbox.die_with_parent()
    most = sandbox.limits_from_here(sandbox.Allowance(memory=MEMORY_BYTES), CPU_SECONDS)["RLIMIT_DATA"]
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    try:
        while True:
            about, body = receive_message(sock)
            _limit_time(CPU_SECONDS, WALL_SECONDS)
            gc.disable()  # it would walk all that a check makes, again and again
            answer = _judged([checks[name] for name in about["checks"]], remarks, pickle.loads(body), expected)
            gc.enable()
            _limit_time(0, 0)
            send_message(sock, answer)
    except EOFError:
        return
    except MemoryError:
        os._exit(NO_MEMORY)


def _limit_time(cpu: float, wall: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, cpu)
    signal.setitimer(signal.ITIMER_REAL, wall)


def _judged(
    checks: list[Check], remarks: list[Remark], observed: Recordings, expected: Recordings
) -> dict[str, Any]:
    judged = judge(checks, observed, expected)
    said = remarks_on(remarks, observed[False], expected[False]) if False in observed else {}
    return {"judged": [[_found(j.verdict), j.probes, j.distances] for j in judged], "remarks": said}


def _found(verdict: Verdict) -> dict[str, Any]:
    """What a verdict says beside what its check does; of a check that holds nothing."""
    return {} if verdict.state == PASSED else {name: getattr(verdict, name) for name in FOUND}
