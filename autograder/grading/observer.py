"""The grader's side of observing: sends code to the workers, keeps the recordings, and trusts neither.

A recording is kept under a key of everything it depends on, so that a class is judged again without running student
code again, and an interrupted run goes on where it stopped.
"""

import contextlib
import functools
import hashlib
import json
import queue
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from autograder.course.imports import brought
from autograder.course.needs import NOTHING, Needs, packages_in
from autograder.defaults import PROBE_SECONDS, SANDBOX, WORKERS
from autograder.errors import GraderFault, Malformed, NotKept, Unreadable
from autograder.files import write_whole
from autograder.grading.answers import (
    ended,
    plain_code,
    plain_contents,
    read_answer,
    read_json,
    replies,
    what_is_broken,
)
from autograder.grading.recordings import Observation, Recording, load_recording, recording_bytes, save_recording
from autograder.grading.workers import Worker, hidden_folders, start_server
from autograder.installed import LIBRARIES, versions
from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import NOTHING_RELEASED, Code, HandedIn, Released
from autograder.sandboxed.recording import Bounds, Error
from autograder.sandboxed.worker import TOO_MUCH_SAID, send_message

Answer = TypeVar("Answer")
Asked = tuple[bool, int, str]  # public, seed, function
SANDBOXED = Path(sandbox.__file__).parent
READER_FILES = ("notebook.py", "worker.py")  # what the code that is read in a notebook depends on
NOT_PROBES = ("test_", "mistakes", "alternatives", "training")  # what no recording depends on, unless the probes import it
BUDGET = 6  # limits of one probe: the wall time for all probes of one submission in one set
MOST_SHOWN = 100  # notebooks of which the cells too wait, for the gradebook
PUBLIC_SEED = 40  # of what a release holds: students are asked the same each time, and no grade is given on it


class Observer:
    """Worker processes for one set of probes.

    Args:
        folder: the package that holds the probes.
        file: `probes_public` or `probes_hidden`.
        functions: the contract's function names.
        store: where recordings are kept; None keeps none.
        released: what is not the student's own in a notebook that `read` gets.
        needs: the data that lie beside the code, and the packages that are imported before it.
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
        released: Released = NOTHING_RELEASED,
        needs: Needs = NOTHING,
        *,
        sandbox: str = SANDBOX,
        limit: float = PROBE_SECONDS,
        workers: int = WORKERS,
    ):
        self.folder, self.file, self.functions, self.store = folder, file, functions, store
        self.files = [file]  # of which its workers hold the probes
        self.sandbox, self.limit, self.released, self.needs = sandbox, limit, released, needs
        self.probes: list[list[str]] = []  # name, function, and beside which other it is asked of the reference alone
        self._idle: queue.Queue[Worker] = queue.Queue()
        self._servers: list[subprocess.Popen[bytes]] = []
        self._started = False
        self._workers = workers
        self._fresh: set[str] = set()  # keys of recordings that came from another machine in this run
        self.shown: dict[str, dict[str, Any]] | None = None  # cells by their file's hash; where nobody asks for them, None

    def __enter__(self) -> "Observer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, sockets: Iterable[socket.socket] = ()) -> None:
        """Starts the workers without waiting for them; the first `observe` waits.

        Args:
            sockets: of workers that `start_server` has started, for observers that share a server; else it has its own.
        """
        if self._workers and not self._started:
            self._setting  # noqa: B018  a course that cannot be hidden is refused before a process waits for its sockets
            self._started = True
            for sock in self._tell(sockets) if sockets else self._start(self._workers):
                self._idle.put(Worker(sock))

    def _start(self, workers: int) -> Iterable[socket.socket]:
        server, [sockets] = start_server(workers, self.needs.packages)
        self._servers.append(server)
        return self._tell(sockets)

    def _tell(self, sockets: Iterable[socket.socket]) -> Iterable[socket.socket]:
        """Tells new workers which probes they hold, and what they hide."""
        for sock in sockets:
            with contextlib.suppress(OSError):  # it has ended: whoever asks it is told
                send_message(sock, self._setting)
        return sockets

    @functools.cached_property
    def _setting(self) -> dict[str, Any]:
        """What a worker is told first; without walls nothing is hidden."""
        course = self.folder.parents[1]  # of tests/<module>/
        hidden = [str(folder) for folder in hidden_folders(course)] if self.sandbox == "full" else []
        return {
            "folder": str(self.folder),
            "files": [file for file in self.files if (self.folder / f"{file}.py").is_file()],
            "sandbox": self.sandbox,
            "hidden": hidden,
            "data": self.needs.setting,
        }

    @functools.cached_property
    def _fingerprint(self) -> str:
        return _fingerprint(self.folder, self.file, self.needs)

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
        digest = _hash_of_file(data)
        found = self.kept_code(digest)
        if found is None:
            found = self._read(data)
            self.keep_code(digest, found)
        if isinstance(found, str):
            raise Unreadable(found)
        return found

    def kept_code(self, digest: str) -> Code | str | None:
        """The code of a notebook of this SHA-256 that was read before, or what is wrong with it; None if nothing is kept."""
        return _load_code(self._code_path(digest)) if self.store else None

    def keep_code(self, digest: str, found: Code | str) -> None:
        """Keeps what was read in a notebook of this SHA-256, here or on another machine."""
        if self.store:
            kept = {"unreadable": found} if isinstance(found, str) else _as_json(found)
            write_whole(self._code_path(digest), json.dumps(kept))

    def _code_path(self, digest: str) -> Path:
        assert self.store
        parts = [_reader_fingerprint(), digest, self.functions, self.released.as_dict()]
        return self.store / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}.json"

    def _read(self, data: bytes) -> Code | str:
        """The code, or what is wrong with the file."""
        job = {"kind": "read", "functions": self.functions, "released": self.released.as_dict()}
        if self.shown is not None and len(self.shown) < MOST_SHOWN:
            with contextlib.suppress(Unreadable):  # what is shown costs nobody what is graded
                reply, self.shown[_hash_of_file(data)] = self._behind_walls({**job, "shown": True}, data, 2)
                return _code_in(reply)
        [reply] = self._behind_walls(job, data)
        return _code_in(reply)

    def handed_in(self, data: bytes) -> list[HandedIn]:
        """The cells of a notebook file as they are to be shown, read behind the walls; raises as `read`."""
        reply = self.shown.pop(_hash_of_file(data), None) if self.shown else None
        if reply is None:
            [reply] = self._behind_walls({"kind": "contents"}, data)
        if "unreadable" in reply:
            raise Unreadable(str(reply["unreadable"])[:500])
        return plain_contents(reply)

    def _behind_walls(self, job: dict[str, Any], data: bytes, count: int = 1) -> list[dict[str, Any]]:
        """The `count` values that a fork which parses the file `data` answers."""
        self._need_workers("nothing is kept of this notebook as it is now")
        state, answer, _, _ = self._ask(job, data, BUDGET * self.limit)
        said = replies(answer, Bounds())
        if state != "finished" or len(said) != count:
            raise Unreadable(f"could not be read: reading it {state}")  # not kept: another machine may manage
        return said

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
        printed: bool = False,
    ) -> Recording:
        """Asks `code` every probe (or those about the function `only`), from the store if asked before.

        The `reference` is asked those beside them too, which give what others are compared with. Two runs need not agree:
        `fresh` leaves the store alone, `again` gives a second recording, kept by itself. What is `printed` comes with the
        answers where it is asked for, of a recording that is not kept.

        Raises:
            GraderFault: the sandbox or the workers failed; the submission was not observed.
        """
        fresh = fresh or printed or self.store is None
        key = "" if fresh else self.key(code, seed, only, again, reference)
        kept = None if fresh else self._load(key)
        if kept is not None:
            return kept
        recording = self._observe(code, seed, only, threads, reference, printed)
        if not fresh:
            self._save(key, recording)
        return recording

    def observe_each(self, code: Code, asks: Sequence[tuple[int, str | None]]) -> list[Recording]:
        """A recording for each of `asks`, its seed and function, all in one process: starting one costs more than most probes.

        Where something ends it early, each has a process of its own, so that none pays for what another does.
        """
        groups = [(seed, self._names(only)) for seed, only in asks]
        together = self._in_one_process(code, groups) if len(asks) > 1 else None
        return together or [self._observe(code, seed, only, threads=1) for seed, only in asks]

    def _in_one_process(
        self, code: Code, groups: Sequence[tuple[int, list[str]]], budget: float = BUDGET, **how: Any
    ) -> list[Recording] | None:
        """A recording for each seed and its probes; None unless all were asked. The `budget` is in limits of a probe."""
        names = [name for _, group in groups for name in group]
        seeds = [seed for seed, group in groups for _ in group]
        job = self._job(code, threads=1, probes=names, seeds=seeds, **how)
        state, answer, cpu, _ = self._ask(job, code.as_json(), budget * self.limit)
        bounds = Bounds()
        seen, notes = read_answer(answer, names, bounds)
        if state != "finished" or notes is None or len(seen) < len(names) or bounds.exceeded:
            return None
        left = iter(seen)
        return [Recording({name: next(left) for name in group}, notes, cpu / len(groups)) for _, group in groups]

    def fetch(self, code: Code, asks: Iterable[tuple[int, str | None]]) -> dict[tuple[int, str | None], Recording]:
        """Sees to it that `observe` finds the recordings of `asks` in the store; gives those that had to be made."""
        missing = [ask for ask in asks if not self.holds(code, *ask)] if self.store and self._workers else []
        made = dict(zip(missing, self.observe_each(code, missing), strict=True)) if missing else {}
        for (seed, only), recording in made.items():
            self.keep(code, recording_bytes(recording), seed, only)
        return made

    def holds(self, code: Code, seed: int, only: str | None = None, again: bool = False) -> bool:
        """Whether a recording is kept; for the arguments see `observe`."""
        return self.store is not None and self._path(self.key(code, seed, only, again)).is_file()

    def keep(self, code: Code, recording: bytes, seed: int, only: str | None = None, again: bool = False) -> None:
        """Keeps a recording that was made in this run, on another machine or beside others."""
        key = self.key(code, seed, only, again)
        write_whole(self._path(key), recording)
        self._fresh.add(key)

    def key(self, code: Code, seed: int, only: str | None, again: bool = False, reference: bool = False) -> str:
        """The name a recording is kept under: a hash of everything that it depends on."""
        how = [seed, only, self.functions, self.sandbox, self.limit, again, reference]
        parts = [self._fingerprint, _as_json(replace(code, version="")), how]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _observe(
        self, code: Code, seed: int, only: str | None, threads: int, reference: bool = False, printed: bool = False
    ) -> Recording:
        self._need_workers("no recording of it is kept for these probes, this seed, --limit and --sandbox")
        waiting = self._names(only, reference)
        observations: dict[str, Observation] = {}
        notes: tuple[Any, ...] = ()
        cpu, left, bounds = 0.0, BUDGET * self.limit, Bounds()
        job, body = self._job(code, threads=threads, printed=printed), code.as_json()
        unread = not self.probes  # its cells run all the same: what happened to them is told
        while waiting or unread:
            unread = False
            state, answer, cpu_now, wall = self._ask({**job, "probes": waiting, "seeds": [seed] * len(waiting)}, body, left)
            cpu, left = cpu + cpu_now, left - wall
            seen, notes_now = read_answer(answer, waiting, bounds)
            new = dict(zip(waiting, seen, strict=False))
            observations |= new
            notes = notes_now or notes
            waiting = [name for name in waiting if name not in new]
            at_hand = wall - sum(o.seconds for o in new.values())
            if bounds.exceeded:
                state, bounds.exceeded = TOO_MUCH_SAID, False
            if notes_now is None and left > 0:  # its code did not get to the first probe, and would not the next time
                observations |= {name: ended(state, self.limit) for name in waiting}
                waiting = []
            elif waiting and (left > 0 or state != "timed out"):
                # the probe it was at is the one that ended it; the others are asked again in a new fork
                observations[waiting[0]] = ended(state, self.limit, at_hand)
                waiting, at_hand = waiting[1:], 0.0
            if waiting and left <= 0:
                observations |= self._over_budget(waiting, observations, at_hand)
                waiting = []
        return Recording(observations, notes, cpu)

    def _job(self, code: Code, **how: Any) -> dict[str, Any]:
        packages = packages_in([text for _, _, text in code.pieces])
        return {"kind": "observe", "functions": self.functions, "packages": packages, **how}

    def _names(self, only: str | None, reference: bool = False) -> list[str]:
        """The probes about the function `only`, or all."""
        return [name for name, function, beside in self._asked() if only in (None, function) and (reference or not beside)]

    def _over_budget(self, waiting: list[str], seen: dict[str, Observation], at_hand: float) -> dict[str, Observation]:
        """The probes that the budget left no time for, the first after `at_hand` seconds; names who used it.

        By function, since a student may read it, and no student may read the name of a hidden probe.
        """
        function = {name: function for name, function, _ in self.probes}
        spent = dict.fromkeys(function.values(), 0.0)
        for probe, seconds in [*((probe, o.seconds) for probe, o in seen.items()), (waiting[0], at_hand)]:
            spent[function[probe]] += seconds
        budget, most = BUDGET * self.limit, sorted(spent, key=lambda name: spent[name], reverse=True)
        users = [f"`{name}`" for name in most if spent[name] > budget / 10] or [f"`{most[0]}`"]
        message = f"all functions together may run {budget:g} s, and that was used up, mostly by {', '.join(users)}"
        stopped = Observation("timed out", None, Error("Timeout", message))
        return dict.fromkeys(waiting, stopped) | {waiting[0]: replace(stopped, seconds=at_hand)}

    def _asked(self) -> list[list[str]]:
        if not self.probes:
            self.probes = [probe for probe in self._with_worker(Worker.probes) if probe[1] in self.functions]
        return self.probes

    def _need_workers(self, why: str) -> None:
        if not self._workers:
            raise NotKept(why)

    def _ask(self, job: dict[str, Any], body: bytes, budget: float) -> tuple[str, bytes, float, float]:
        """How the fork ended, what it answered, its CPU and its wall seconds.

        What the machine's load may have ended, nobody's fault, is asked once more, alone, and only then counts: a fork
        that came to no line of the submission, and one that waited for most of its time.

        Raises:
            GraderFault: the walls did not stand this time either; nothing is known of the submission.
        """
        for alone in (False, True):
            state, answer, cpu, wall = self._ask_once(job, body, budget, alone)
            broken = what_is_broken(state, answer)
            if not broken and (state != "timed out" or cpu > wall / 2):
                break
        if broken:
            raise GraderFault(broken)
        return state, answer, cpu, wall

    def _ask_once(self, job: dict[str, Any], body: bytes, budget: float, alone: bool) -> tuple[str, bytes, float, float]:
        return self._with_worker(lambda worker: worker.ask(job, body, self.limit, budget, alone))

    def _with_worker(self, work: Callable[["Worker"], Answer]) -> Answer:
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
        if self.store is None or not (path := self._path(key)).is_file():
            return None
        try:
            return replace(load_recording(path), cached=key not in self._fresh)
        except Malformed:
            path.unlink()  # damaged: it is made again
            return None

    def _save(self, key: str, recording: Recording) -> None:
        if self.store is not None:
            save_recording(self._path(key), recording)

    def _path(self, key: str) -> Path:
        assert self.store
        return self.store / f"{key}.safetensors"


class BothSets(Observer):
    """Observes with workers that hold the public and the hidden probes: half the processes, for code of the course itself.

    No submission comes here: it would find the hidden probes beside the public ones.

    Args:
        sets: the observers of the public probes (True) and of the hidden ones (False), which keep what is made here.
    """

    def __init__(self, sets: Mapping[bool, Observer]):
        one = sets[True]
        how: dict[str, Any] = {"sandbox": one.sandbox, "limit": one.limit, "workers": one._workers}
        super().__init__(one.folder, one.file, one.functions, None, one.released, one.needs, **how)
        self.files = [observer.file for observer in sets.values()]
        self._sets = sets

    def fetch_both(self, code: Code, drawn: Mapping[bool, int], functions: Iterable[str]) -> dict[Asked, Recording]:
        """Sees to it that each set's `observe` finds the recordings of `functions` under its seed; gives those it made.

        The code is run anew before the hidden probes, as it is where they are asked alone. Where something ends the process
        early, or some are kept, none is made: the sets' own observers are to ask.
        """
        asks = [(public, seed, function) for public, seed in drawn.items() for function in functions]
        if any(self._sets[public].holds(code, seed, function) for public, seed, function in asks):
            return {}
        groups = [(seed, self._sets[public]._names(function)) for public, seed, function in asks]
        anew = sum(len(names) for (public, *_), (_, names) in zip(asks, groups, strict=True) if public)
        made = self._in_one_process(code, groups, BUDGET * len(drawn), anew=anew)
        found = dict(zip(asks, made, strict=True)) if made else {}
        for (public, seed, function), recording in found.items():
            self._sets[public].keep(code, recording_bytes(recording), seed, function)
        return found


def _as_json(code: Code) -> dict[str, Any]:
    return dict(vars(code))


def _code_in(reply: dict[str, Any]) -> Code | str:
    """The code in a reader's answer, or what is wrong with the file."""
    return str(reply["unreadable"])[:500] if "unreadable" in reply else plain_code(read_json(reply.get("code")))


def _hash_of_file(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _load_code(path: Path) -> Code | str | None:
    """What `Observer.read` kept: the code, or what is wrong with the file; None if nothing, or nothing whole."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["unreadable"]) if "unreadable" in kept else plain_code(kept)
    except (OSError, ValueError, TypeError):
        return None


def _fingerprint(folder: Path, file: str, needs: Needs) -> str:
    """A hash of what a recording depends on beside the student's code: engine, probes, data, library versions."""
    beside = {path for path in folder.glob("[!_]*.py") if not path.name.startswith(NOT_PROBES)}
    files = sorted(beside.union(brought(folder, [file])))
    libraries = [" ".join(one) for one in versions(*LIBRARIES).items()]
    data = needs.data.values()
    return _hash_of([*sorted(SANDBOXED.glob("*.py")), *files, *data], file, *libraries, *needs.data)


@functools.cache
def _reader_fingerprint() -> str:
    return _hash_of(SANDBOXED / name for name in READER_FILES)


def _hash_of(files: Iterable[Path], *more: str) -> str:
    """A hash of files, of further texts, and of the Python that runs them."""
    digest = hashlib.sha256(json.dumps([sys.version, *more]).encode())
    for path in files:
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
