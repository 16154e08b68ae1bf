"""What runs on a node: `work` observes a shard of a class behind the same walls as on the grader's own machine.

A node has the package and nothing of a course. With a shard come the probes and the data that submissions find; no check,
no answer and no grade. What goes back are recordings, as bytes.
"""

import contextlib
import itertools
import os
import platform
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from autograder.cluster.parcels import Parcel, lay_out, pack, unpack
from autograder.defaults import CORES, WORKERS_PER_CORE
from autograder.errors import CourseError, GraderFault, Unreadable
from autograder.grading.grader import FILES, PUBLIC
from autograder.grading.observer import Observer
from autograder.grading.recordings import Recording, recording_bytes
from autograder.grading.workers import start_server
from autograder.installed import DISTRIBUTION, LIBRARIES, versions
from autograder.sandboxed.notebook import Code, Released
from autograder.sandboxed.sandbox import missing_walls
from autograder.threads import pool

FOLDERS = "autograder-node-"  # how the names of a node's own begin
IDLE_SECONDS = 120  # after which a node that stays up ends its workers


def about() -> dict[str, Any]:
    """The node's name, what it lacks for the walls, and the versions that a recording depends on."""
    name = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    return {"node": name, "lacks": missing_walls(), "versions": own_versions()}


def report(_: bytes) -> bytes:
    """`about`, as a task of bytes."""
    return pack(about())


def own_versions() -> dict[str, str]:
    """The versions, by name, that must be the same on all machines that observe one class."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **versions(DISTRIBUTION, *LIBRARIES)}


def lacking(here: dict[str, Any], wanted: dict[str, str] | None = None) -> list[str]:
    """What keeps the node that says `here` of itself from observing for a machine of the versions `wanted`, or this one."""
    wanted = wanted or own_versions()
    other = [
        f"{name} is {here['versions'].get(name, 'not installed')} there and {version} on the grader's machine: install that"
        for name, version in wanted.items()
        if here["versions"].get(name) != version
    ]
    return [*here["lacks"], *other]


def answered(parcel: bytes, do: Callable[[bytes, Parcel, str], bytes]) -> bytes:
    """What `do` gives of a shard's `common`, its order and this node's name. See sending.py for what becomes of it.

    A node that cannot build the walls, has other versions or no room on its disk says so, and does nothing.
    """
    (_, (common, order)), here = unpack(parcel), about()
    if lacks := lacking(here, unpack(common)[0]["versions"]):
        return pack({"node": here["node"], "lacks": lacks})
    try:
        return do(common, unpack(order), here["node"])
    except CourseError as error:  # workers that stop at once, a device that is not there
        return pack({"node": here["node"], "lacks": [str(error)]})
    except (OSError, GraderFault) as error:  # a full disk, workers that do not start
        return pack({"node": here["node"], "lacks": [f"{type(error).__name__}: {error}"]})


def work(parcel: bytes) -> bytes:
    """Observes one shard. See shards.py for what it holds and what comes back."""
    return answered(parcel, _observe)


def _observe(common: bytes, items: Parcel, node: str) -> bytes:
    with _station(common) as station:
        return station.observe(items, node)


class Station:
    """The workers of one module's probes on this node, and the folder in which its probes and data lie."""

    def __init__(self, common: Parcel):
        about, _ = common
        self.users = self.uses = 0  # at the moment, and in all
        self._folder = tempfile.TemporaryDirectory(prefix=FOLDERS)
        tests, needs = lay_out(common, Path(self._folder.name))
        released = Released.from_dict(about["released"])
        self.workers = about["workers"] or WORKERS_PER_CORE * cores()
        how: dict[str, Any] = {"limit": about["limit"], "workers": self.workers}
        self.observers = {
            public: Observer(tests, file, about["functions"], None, released, needs, **how)
            for public, file in FILES.items()
        }
        self._server, sockets = start_server(self.workers, needs.packages, len(FILES))
        for observer, theirs in zip(self.observers.values(), sockets, strict=True):
            observer.start(theirs)

    def observe(self, items: Parcel, node: str) -> bytes:
        """The answers to all items of a shard, in their order.

        Raises:
            CancelledError: nobody waits for them any more; no further one is begun.
        """
        is_wanted = still_wanted()

        def one(item: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
            if not is_wanted():
                raise CancelledError
            return self._answer(item, blob)

        with pool(self.workers) as threads:
            answers = list(threads.map(one, items[0]["items"], items[1]))
        out: list[bytes] = []
        for answer, recordings in answers:
            answer["blobs"] = list(range(len(out), len(out) + len(recordings)))
            out += recordings
        return pack({"node": node, "items": [answer for answer, _ in answers]}, out)

    def _answer(self, item: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """What became of one item, and the recordings of it that were asked for."""
        try:
            code = Code.from_json(blob) if item["is_code"] else self.observers[PUBLIC].read(blob)
            recordings: list[Recording] = []
            for public, asks in itertools.groupby(item["asks"], key=lambda ask: ask[0]):
                recordings += self.observers[public].observe_each(code, [(seed, only) for _, seed, only, _ in asks])
            return {"code": vars(code)}, [recording_bytes(recording) for recording in recordings]
        except Unreadable as error:
            return {"unreadable": str(error)}, []
        except GraderFault as error:
            return {"fault": str(error)}, []

    def close(self) -> None:
        """Ends the workers and removes the folder."""
        for observer in self.observers.values():
            observer.close()
        self._server.wait()
        self._folder.cleanup()


_STATIONS: dict[bytes, Station] = {}  # kept from one shard to the next, where the process stays
_LOCK = threading.Lock()


@contextlib.contextmanager
def _station(common: bytes) -> Iterator[Station]:
    """The workers for `common`, those of the shard before where there was one."""
    with _LOCK:
        if common not in _STATIONS:
            _STATIONS[common] = Station(unpack(common))
        station = _STATIONS[common]
        station.users, station.uses = station.users + 1, station.uses + 1
    try:
        yield station
    finally:
        with _LOCK:
            station.users -= 1
        timer = threading.Timer(IDLE_SECONDS, _close_idle, [common, station.uses])
        timer.daemon = True
        timer.start()


def _close_idle(common: bytes, uses: int) -> None:
    """Ends workers that nobody has used since they were used for the `uses`-th time."""
    with _LOCK:
        if common in _STATIONS and not _STATIONS[common].users and _STATIONS[common].uses == uses:
            _STATIONS.pop(common).close()


def still_wanted() -> Callable[[], bool]:
    """What says whether the task that this thread runs is still waited for. Slurm ends the jobs that are cancelled; Dask
    lets a task run on, and can only be asked."""
    worker = _dask_worker()
    if worker is None:
        return lambda: True
    tasks, key = worker.state.tasks, worker.get_current_task()
    return lambda: key in tasks and tasks[key].state != "cancelled"


def _dask_worker() -> Any:
    """The worker of Dask of which this thread runs a task; None where it runs none."""
    if "distributed.worker" in sys.modules:
        from distributed import get_worker

        with contextlib.suppress(ValueError):  # it is imported, and this is no task of it
            return get_worker()
    return None


def cores() -> int:
    """The cores that the scheduler has given this process."""
    if "SLURM_CPUS_ON_NODE" in os.environ:
        return int(os.environ["SLURM_CPUS_ON_NODE"])
    worker = _dask_worker()
    return CORES if worker is None else int(worker.state.nthreads)
