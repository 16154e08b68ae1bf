"""Observing on the workers of a Dask scheduler: an address, or the cluster that Dask's own configuration names.

No file system need be shared. On Kubernetes the cluster is one of Dask's own operator. Who can reach a scheduler can run
code on its workers: it belongs behind a firewall, or under Dask's TLS, which its configuration sets.
"""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import dask.config
from distributed import Client

from autograder.cluster.node import about, lacking
from autograder.cluster.nodes import Nodes, Say
from autograder.errors import CourseError

UNWARNED = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}  # a shard is as large as it is, and sent once
CONNECT_SECONDS = 15  # in which a scheduler, and a first worker, must answer


class DaskNodes(Nodes):
    """The workers of the scheduler at `address`; without one, at that of Dask's configuration.

    Raises:
        CourseError: none is named, or none answers.
    """

    shard, smallest = 25, 4

    def __init__(self, address: str, workers: int, say: Say):
        self._address = address or dask.config.get("scheduler-address", None) or ""
        if not self._address:
            raise CourseError("--on dask: name the scheduler, as in --on dask:tcp://host:8786, or set DASK_SCHEDULER_ADDRESS")
        self.name, self.workers, self._say = f"Dask at {self._address}", workers, say
        self._lacks: dict[str, list[str]] = {}  # of each worker that was asked, by its address
        self._hosts: dict[str, str] = {}
        self._client = self._connect()

    def _connect(self) -> Client:
        try:  # of what workers answer nothing is unpickled
            return Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False, deserializers=["dask", "msgpack"])
        except (OSError, TimeoutError, ValueError) as error:
            said = " ".join(str(error).split())
            raise CourseError(
                f"{self.name}: no scheduler answers ({said}): start one (dask scheduler) and workers (dask worker ADDRESS), "
                "and run the same command again"
            ) from None

    @property
    def at_once(self) -> int:  # type: ignore[override]
        """Two shards for each thread, so that none waits for the grader."""
        return max(2, 2 * sum(self._threads().values()))

    def submit(self, task: Callable[[bytes], bytes], /, parcel: bytes) -> Future[bytes]:  # type: ignore[override]
        able = self._able()
        how: dict[str, Any] = {"pure": False, "retries": 0, "workers": able}
        with dask.config.set(UNWARNED):
            future: Future[bytes] = self._patiently(lambda client: client.get_executor(**how).submit(task, parcel))
        return future

    def leave_out(self, node: str) -> None:
        self._lacks.update({address: ["it was left out"] for address, host in self._hosts.items() if host == node})
        self._able()

    def each(self) -> dict[str, list[str]]:
        self._able_now()
        there = self._threads()  # one that has come since then is not asked yet
        return {f"{self._hosts[one]} ({one})": lacks for one, lacks in self._lacks.items() if one in there}

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._client.close()  # the scheduler forgets what was asked with it

    def _threads(self) -> dict[str, int]:
        """The threads of each worker there is now."""
        found: dict[str, int] = self._patiently(lambda client: client.nthreads())
        return found

    def _patiently(self, ask: Callable[[Client], Any]) -> Any:
        """What the scheduler answers; one that is being started anew is connected to again.

        Raises:
            CourseError: none answers in time.
        """
        try:
            return ask(self._client)
        except (OSError, RuntimeError):  # the connection broke, or the client has given up and closed
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                self._client.close()
            self._client = self._connect()
            return ask(self._client)

    def _able(self) -> list[str]:
        """The addresses of the workers that can observe; waits a while for a first one."""
        end = time.monotonic() + CONNECT_SECONDS
        while not (able := self._able_now()):
            if time.monotonic() > end:
                raise CourseError(
                    f"{self.name} has no worker that can observe: `autograder doctor --on dask:{self._address}` says why"
                )
            time.sleep(0.2)
        return able

    def _able_now(self) -> list[str]:
        there = list(self._threads())
        for address in there:
            if address not in self._lacks:
                self._ask(address)
        return [address for address in there if not self._lacks[address]]

    def _ask(self, address: str) -> None:
        said = self._patiently(lambda client: client.run(about, workers=[address], on_error="return")).get(address)
        if isinstance(said, dict):
            self._hosts[address], self._lacks[address] = str(said["node"]), lacking(said)
        else:
            why = " ".join(str(said).split())[:200]
            self._hosts[address] = address
            self._lacks[address] = [f"the package cannot be used there ({why}): install the one that is here"]
        if self._lacks[address]:
            self._say(f"{self._hosts[address]} is left out: {'; '.join(self._lacks[address])}")
