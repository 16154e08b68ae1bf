"""The grader's side of observing: sends code to the workers, keeps the recordings, and trusts neither.

A recording is kept under a key of everything it depends on, so that a class is judged again without running student
code again, and an interrupted run goes on where it stopped.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import queue
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from autograder.course import CourseError, GraderFault
from autograder.notebook import SHOWN, Code, HandedIn, Unreadable
from autograder.recording import MAX_DEPTH, Error, Malformed, decode, encode
from autograder.worker import MEMORY_BYTES, ask, receive_message, send_message

Answer = TypeVar("Answer")
ENGINE_FILES = ("notebook.py", "observe.py", "probing.py", "recording.py", "device.py", "worker.py", "sandbox.py")
NOT_PROBES = ("test_", "mistakes", "alternatives")  # what a module's folder holds beside its probes and their networks
READER_FILES = ("notebook.py", "worker.py")  # what the code that is read in a notebook depends on
MAX_RECORDING_BYTES = 256 * 2**20
KEPT_DEPTH = MAX_DEPTH + 4  # a recording on disk holds the values that were sent some levels deeper
MOST_SECONDS = 1e6  # that any probe can have taken
BUDGET = 6  # limits of one probe: the wall time for all probes of one submission in one set
PUBLIC_SEED = 40  # public probes always ask the same, so that their expected values can go to students


@dataclass(frozen=True)
class Observation:
    """What one probe saw. `state` is returned, raised, missing, crashed, timed out or out of memory."""

    state: str
    value: Any = None
    error: Error | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Recording:
    """All observations of one submission under one set of probes, and notes on its cells."""

    observations: Mapping[str, Observation]
    notes: tuple[tuple[str, str], ...] = ()
    cpu: float = 0.0
    cached: bool = field(default=False, compare=False)


class NotKept(GraderFault):
    """Something would have to run that is not in the store, and there are no workers to run it."""


class Unavailable(AssertionError):
    """A check asked for an observation that is not there; carries the reason to the verdict."""

    def __init__(self, probe: str, observation: Observation):
        super().__init__(str(observation.error) if observation.error else observation.state)
        self.probe, self.observation = probe, observation


class Observed:
    """A recording as checks see it: `observed.totals` is the value of the probe `totals`."""

    def __init__(self, recording: Recording):
        self._recording = recording
        self.used: list[str] = []

    def __getattr__(self, probe: str) -> Any:
        if probe.startswith("__"):
            raise AttributeError(probe)
        observation = self._recording.observations.get(probe)
        if observation is None:
            raise AttributeError(f"no probe is named {probe!r}; there are {', '.join(self._recording.observations)}")
        if probe not in self.used:
            self.used.append(probe)
        if observation.state != "returned":
            raise Unavailable(probe, observation)
        return observation.value


class Observer:
    """Worker processes for one set of probes.

    Args:
        folder: the package that holds the probes.
        file: `probes_public` or `probes_hidden`.
        functions: the contract's function names.
        store: where recordings are kept; None keeps none.
        sandbox: "full" or "none".
        limit: seconds a probe may take; all probes of one submission together may take `BUDGET` times that.
        workers: worker processes; with 0 nothing runs, and what the store does not hold is `NotKept`.
    """

    def __init__(
        self,
        folder: Path,
        file: str,
        functions: list[str],
        store: Path | None = None,
        *,
        sandbox: str = "full",
        limit: float = 20.0,
        workers: int = 1,
    ):
        self.folder, self.file, self.functions, self.store = folder, file, functions, store
        self.sandbox, self.limit = sandbox, limit
        self.probes: list[list[str]] = []  # name, function, and beside which other it is asked of the reference alone
        self._idle: queue.Queue[_Worker] = queue.Queue()
        self._servers: list[subprocess.Popen] = []
        self._started = False
        self._workers = workers
        self._fingerprint = _fingerprint(folder, file)

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def start(self, sockets: Iterable[socket.socket] = ()) -> None:
        """Starts the workers without waiting for them; the first `observe` waits.

        Args:
            sockets: of workers that `start_server` has started, for observers that share a server; else it has its own.
        """
        if self._workers and not self._started:
            self._started = True
            for sock in self._tell(sockets) if sockets else self._start(self._workers):
                self._idle.put(_Worker(sock))

    def _start(self, workers: int) -> Iterable[socket.socket]:
        server, [sockets] = start_server(workers)
        self._servers.append(server)
        return self._tell(sockets)

    def _tell(self, sockets: Iterable[socket.socket]) -> Iterable[socket.socket]:
        """Tells new workers which probes they hold."""
        for sock in sockets:
            with contextlib.suppress(OSError):  # it has ended: whoever asks it is told
                send_message(sock, {"folder": str(self.folder), "file": self.file, "sandbox": self.sandbox})
        return sockets

    def wait(self) -> None:
        """Waits until a worker has started."""
        self._asked()

    def close(self) -> None:
        """Ends the workers."""
        while not self._idle.empty():
            self._idle.get().drop()
        while self._servers:
            self._servers.pop().wait()
        self._started = False

    def read(self, data: bytes) -> Code:
        """The code of a notebook file, read behind the walls, or from the store if read before.

        Raises:
            Unreadable: with the reason and the mend.
            GraderFault: the sandbox or the workers failed.
        """
        path = self.store / f"{self._code_key(data)}.json" if self.store else None
        found = _load_code(path) if path else None
        if found is None:
            found = self._read(data)
            if path:
                write_whole(path, json.dumps({"unreadable": found} if isinstance(found, str) else _as_json(found)))
        if isinstance(found, str):
            raise Unreadable(found)
        return found

    def _read(self, data: bytes) -> Code | str:
        """The code, or what is wrong with the file."""
        reply = self._behind_walls({"kind": "read", "functions": self.functions}, data)
        return str(reply["unreadable"])[:500] if "unreadable" in reply else _plain_code(reply)

    def contents(self, data: bytes) -> list[HandedIn]:
        """The cells of a notebook file as they are to be shown, read behind the walls; raises as `read`."""
        reply = self._behind_walls({"kind": "contents"}, data)
        if "unreadable" in reply:
            raise Unreadable(str(reply["unreadable"])[:500])
        return _plain_contents(reply)

    def _behind_walls(self, job: dict, data: bytes) -> dict:
        """What a fork that parses the file `data` answers."""
        self._need_workers("nothing is kept of this notebook as it is now")
        state, answer, _, _ = self._ask(job, data, BUDGET * self.limit)
        replies = _replies(answer)
        if state != "finished" or len(replies) != 1:
            raise Unreadable(f"could not be read: reading it {state}")  # not kept: another machine may manage
        return replies[0]

    def _code_key(self, data: bytes) -> str:
        parts = [_reader_fingerprint(), hashlib.sha256(data).hexdigest(), self.functions]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def observe(
        self,
        code: Code,
        seed: int = PUBLIC_SEED,
        only: str | None = None,
        *,
        reference: bool = False,
        fresh: bool = False,
        again: bool = False,
        threads: int = 1,
    ) -> Recording:
        """Asks `code` every probe (or those about the function `only`), from the store if asked before.

        The `reference` is asked those beside them too, which give what others are compared with. Two runs need not agree:
        `fresh` leaves the store alone, `again` gives a second recording, kept by itself.

        Raises:
            GraderFault: the sandbox or the workers failed; the submission was not observed.
        """
        key = self.key(code, seed, only, again, reference)
        kept = None if fresh else self._load(key)
        if kept is not None:
            return kept
        recording = self._observe(code, seed, only, threads, reference)
        if not fresh:
            self._save(key, recording)
        return recording

    def key(self, code: Code, seed: int, only: str | None, again: bool = False, reference: bool = False) -> str:
        """The name a recording is kept under: a hash of everything that it depends on."""
        how = [seed, only, self.functions, self.sandbox, self.limit, again, reference]
        parts = [self._fingerprint, _as_json(code), how]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _observe(self, code: Code, seed: int, only: str | None, threads: int, reference: bool) -> Recording:
        self._need_workers("no recording of it is kept for these probes, this seed, --limit and --sandbox")
        waiting = [
            name
            for name, function, beside in self._asked()
            if only in (None, function) and (reference or not beside)
        ]
        observations: dict[str, Observation] = {}
        notes: tuple = ()
        cpu, left = 0.0, BUDGET * self.limit
        body = json.dumps(_as_json(code)).encode()
        job = {"kind": "observe", "functions": self.functions, "seed": seed, "threads": threads}
        while waiting:
            state, answer, cpu_now, wall = self._ask({**job, "probes": waiting}, body, left)
            cpu, left = cpu + cpu_now, left - wall
            new, notes_now = _read_answer(answer, waiting)
            observations |= new
            notes = notes_now or notes
            waiting = [name for name in waiting if name not in new]
            at_hand = wall - sum(o.seconds for o in new.values())
            if notes_now is None and left > 0:  # its code did not get to the first probe, and would not the next time
                observations |= {name: _ended(state, self.limit) for name in waiting}
                waiting = []
            elif waiting and (left > 0 or state != "timed out"):
                # the probe it was at is the one that ended it; the others are asked again in a new fork
                observations[waiting[0]] = _ended(state, self.limit, at_hand)
                waiting, at_hand = waiting[1:], 0.0
            if waiting and left <= 0:
                observations |= self._over_budget(waiting, observations, at_hand)
                waiting = []
        return Recording(observations, notes, cpu)

    def _over_budget(self, waiting: list[str], seen: dict[str, Observation], at_hand: float) -> dict[str, Observation]:
        """The probes that the budget left no time for, the first after `at_hand` seconds; names who used it.

        By function, since a student may read it, and no student may read the name of a hidden probe.
        """
        function = {name: function for name, function, _ in self.probes}
        spent = dict.fromkeys(function.values(), 0.0)
        for probe, seconds in [*((probe, o.seconds) for probe, o in seen.items()), (waiting[0], at_hand)]:
            spent[function[probe]] += seconds
        budget, most = BUDGET * self.limit, sorted(spent, key=spent.get, reverse=True)
        users = [f"`{name}`" for name in most if spent[name] > budget / 10] or [f"`{most[0]}`"]
        message = f"all functions together may run {budget:g} s, and that was used up, mostly by {', '.join(users)}"
        stopped = Observation("timed out", None, Error("Timeout", message))
        return dict.fromkeys(waiting, stopped) | {waiting[0]: replace(stopped, seconds=at_hand)}

    def _asked(self) -> list[list[str]]:
        if not self.probes:
            self.probes = self._with_worker(_Worker.probes)
        return self.probes

    def _need_workers(self, why: str) -> None:
        if not self._workers:
            raise NotKept(why)

    def _ask(self, job: dict, body: bytes, budget: float) -> tuple[str, bytes, float, float]:
        """How the fork ended, what it answered, its CPU and its wall seconds."""
        return self._with_worker(lambda worker: worker.ask(job, body, self.limit, budget))

    def _with_worker(self, work: Callable[["_Worker"], Answer]) -> Answer:
        """What `work` gives with an idle worker; one that is lost is replaced, and `work` tried once more."""
        self.start()
        worker = self._idle.get()
        try:
            for _ in range(2):
                if worker.sock is None:
                    (worker.sock,) = self._start(1)
                try:
                    return work(worker)
                except BaseException as error:
                    worker.drop()  # after an interruption too: its answer would be taken for the next one's
                    if not isinstance(error, (EOFError, OSError)):
                        raise
                    lost = error
            raise GraderFault(
                f"its worker process was lost twice ({lost}); run the command again, with fewer --workers if memory is short"
            ) from lost
        finally:
            self._idle.put(worker)

    def _load(self, key: str) -> Recording | None:
        if self.store is None or not (path := self.store / f"{key}.safetensors").is_file():
            return None
        try:
            return load_recording(path)
        except Malformed:
            path.unlink()  # damaged: it is made again
            return None

    def _save(self, key: str, recording: Recording) -> None:
        if self.store is not None:
            save_recording(self.store / f"{key}.safetensors", recording)


# --- recordings on disk -----------------------------------------------------------------------------------------------


def save_recording(path: Path, recording: Recording) -> None:
    """Writes a recording as one safetensors file, whole or not at all."""
    observations = [[name, o.state, o.value, o.error, o.seconds] for name, o in recording.observations.items()]
    content = {"observations": observations, "notes": list(recording.notes), "cpu": recording.cpu}
    write_whole(path, encode(content, MAX_RECORDING_BYTES, KEPT_DEPTH))


def load_recording(path: Path) -> Recording:
    """Reads what `save_recording` wrote.

    Raises:
        Malformed: the file is damaged.
    """
    kept = decode(path.read_bytes(), MAX_RECORDING_BYTES, KEPT_DEPTH)
    try:
        observations = {name: Observation(*fields) for name, *fields in kept["observations"]}
        return Recording(observations, tuple(map(tuple, kept["notes"])), kept["cpu"], cached=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{path} is not a recording ({error!r}): delete it") from None


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a file so that nobody ever reads half of it: beside it first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())  # or the power's failing could leave an empty file under the name
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# --- the workers ------------------------------------------------------------------------------------------------------


class _Worker:
    """One worker process, by its socket."""

    def __init__(self, sock: socket.socket):
        self.sock: socket.socket | None = sock
        self.ready: dict | None = None

    def probes(self) -> list[list[str]]:
        """Name, function and `beside` of each probe the worker holds; waits until it has started."""
        if self.ready is None:
            self.ready, _ = receive_message(self.sock)
        if "failed" in self.ready:
            raise CourseError(f"a worker could not start: {self.ready['failed']}")
        return self.ready["probes"]

    def ask(self, job: dict, body: bytes, limit: float, budget: float) -> tuple[str, bytes, float, float]:
        self.probes()
        start = time.monotonic()
        state, answer, cpu = ask(self.sock, job, body, limit, budget)
        return state, answer, cpu, time.monotonic() - start

    def drop(self) -> None:
        """Closes the socket, at which the process ends by itself."""
        if self.sock is not None:
            self.sock.close()
        self.sock = self.ready = None


def start_server(workers: int, sets: int = 1) -> tuple[subprocess.Popen, list[list[socket.socket]]]:
    """Starts the process that imports torch; nothing of ours reaches it but sockets, one for each worker of each set.

    It ends when all the sockets are closed.
    """
    pairs = [[socket.socketpair() for _ in range(workers)] for _ in range(sets)]
    theirs = [[their.fileno() for _, their in group] for group in pairs]
    environment = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": tempfile.gettempdir(),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }
    kept = {
        name: os.environ[name]
        for name in ("MPLCONFIGDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        if name in os.environ
    }
    package = str(Path(__file__).parent.parent)
    start = f"import sys; sys.path.append({package!r}); from autograder import worker; worker.main({theirs})"
    try:
        server = subprocess.Popen(
            [sys.executable, "-IB", "-c", start],
            pass_fds=[descriptor for group in theirs for descriptor in group],
            env=environment | kept,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the grader's to handle; the workers end when it closes their sockets
        )
    except OSError as error:
        raise GraderFault(f"worker processes cannot be started ({error}): run the command again") from error
    for group in pairs:
        for _, their in group:
            their.close()
    return server, [[mine for mine, _ in group] for group in pairs]


def _frames(answer: bytes) -> Iterator[dict]:
    """The values in a worker's answer; what is cut off or malformed ends the list."""
    place = 0
    while place + 4 <= len(answer):
        size = struct.unpack_from("<I", answer, place)[0]
        blob = answer[place + 4 : place + 4 + size]
        if len(blob) < size:
            return
        try:
            value = decode(blob)
        except Malformed:
            return
        if not isinstance(value, dict):
            return
        yield value
        place += 4 + size


def _replies(answer: bytes) -> list[dict]:
    """The values that follow the first, which says that the walls stand; nothing of the submission runs before it.

    Raises:
        GraderFault: the walls do not stand.
    """
    replies = list(_frames(answer))
    if replies and "broken" in replies[0]:
        raise GraderFault(f"the sandbox could not be built: {replies[0]['broken']}")
    return replies[1:]


def _read_answer(answer: bytes, asked: list[str]) -> tuple[dict[str, Observation], tuple | None]:
    """Observations by probe name, for the probes asked and in their order; doubled or unasked ones are forged.

    The notes on the cells come first; None when they did not come.
    """
    observations: dict[str, Observation] = {}
    notes: tuple | None = None
    for value in _replies(answer):
        if value.get("probe") == "" and not observations:
            notes = _plain_notes(value.get("notes"))
            continue
        name = value.get("probe")
        if len(observations) == len(asked) or name != asked[len(observations)]:
            return {name: _forged() for name in asked}, ()
        observations[name] = _observation(value)
    return observations, notes


def _observation(value: dict) -> Observation:
    state, error, seconds = value.get("state"), value.get("error"), value.get("seconds")
    if not isinstance(seconds, float) or not 0 <= seconds < MOST_SECONDS:
        return _forged()
    if state == "returned" and "value" in value:
        return Observation("returned", value["value"], None, seconds)
    if state in ("raised", "missing", "out of memory") and isinstance(error, Error):
        return Observation(state, None, error, seconds)
    return _forged()


def _forged() -> Observation:
    return Observation("crashed", None, Error("Forged", "the submission wrote into the grader's own answer"))


def _as_json(code: Code) -> dict:
    return {"pieces": code.pieces, "stubs": code.stubs, "notes": code.notes}


def _plain_code(value: dict) -> Code:
    """The code in a reader's answer, taken to be no more than text."""
    try:
        pieces = tuple((int(cell), min(max(int(line), 1), 100_000), str(text)) for cell, line, text in value["pieces"])
        notes = {int(cell): str(note)[:500] for cell, note in value["notes"].items()}
        return Code(pieces, {str(name): int(cell) for name, cell in value["stubs"].items()}, notes)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreadable("could not be read: the answer of the process that read it is damaged") from None


def _load_code(path: Path) -> Code | str | None:
    """What `Observer.read` kept: the code, or what is wrong with the file; None if nothing, or nothing whole."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["unreadable"]) if "unreadable" in kept else _plain_code(kept)
    except (OSError, ValueError, TypeError):
        return None


def _plain_contents(value: dict) -> list[HandedIn]:
    """The cells in a reader's answer, taken to be no more than text and pictures in base64."""
    try:
        cells = json.loads(value["contents"].array.tobytes())
        return [
            HandedIn(
                "code" if cell["kind"] == "code" else "markdown",
                str(cell["source"]),
                str(cell["grade_id"]),
                str(cell["id"]),
                tuple((kind, content) for kind, content in cell["shown"] if _is_shown(kind, content)),
            )
            for cell in cells
        ]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise Unreadable("could not be read: the answer of the process that read it is damaged") from None


def _is_shown(kind: Any, content: Any) -> bool:
    if kind not in SHOWN or not isinstance(content, str):
        return False
    return kind == "text/plain" or bool(re.fullmatch(r"[A-Za-z0-9+/=\s]+", content))


def _plain_notes(notes: Any) -> tuple[tuple[str, str], ...]:
    pairs = notes if isinstance(notes, list) else []
    return tuple(
        (str(pair[0])[:40], str(pair[1])[:500]) for pair in pairs[:2000] if isinstance(pair, list) and len(pair) == 2
    )


def _ended(state: str, limit: float, seconds: float = 0.0) -> Observation:
    name, error = {
        "timed out": ("timed out", Error("Timeout", f"it ran longer than {limit:g} s and was stopped")),
        "used too much memory": ("out of memory", Error("OutOfMemory", f"it used more than {MEMORY_BYTES:,} bytes")),
        "crashed: SIGKILL": (
            "out of memory",
            Error("OutOfMemory", "the system stopped it, most often for its memory"),
        ),
        "finished": ("crashed", Error("Ended", "the process ended by itself before the answer was complete")),
    }.get(state, ("crashed", Error("Crash", f"the process that ran it {state}")))
    return Observation(name, None, error, seconds)


def _fingerprint(folder: Path, file: str) -> str:
    """A hash of what a recording depends on beside the student's code: engine, probes, library versions."""
    files = [path for path in sorted(folder.glob("[!_]*.py")) if not path.name.startswith(NOT_PROBES)]
    versions = []
    for package in ("torch", "torchvision", "numpy", "matplotlib"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return _hash_of([*_engine_files(ENGINE_FILES), *files], file, *versions)


@functools.cache
def _reader_fingerprint() -> str:
    return _hash_of(_engine_files(READER_FILES))


def _engine_files(names: Iterable[str]) -> list[Path]:
    return [Path(__file__).parent / name for name in names]


def _hash_of(files: Iterable[Path], *more: str) -> str:
    """A hash of files, of further texts, and of the Python that runs them."""
    digest = hashlib.sha256(json.dumps([sys.version, *more]).encode())
    for path in files:
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
