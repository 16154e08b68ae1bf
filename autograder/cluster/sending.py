"""Sending work to nodes, shard by shard, until all of it is back, whatever is lost on the way.

A shard is a parcel with two in it: `common`, the same for all, and the order. One that does not come back (a dead node, a
time limit, a cancelled job), or in another form, goes out again in two halves, so that what takes its node with it is soon
alone; what is lost alone, too, is given up.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from autograder.cluster.nodes import Nodes
from autograder.cluster.parcels import pack, unpack
from autograder.errors import CourseError, Malformed

LOST_ALONE = 2  # times that a submission may be lost by itself
LOST_IN_A_ROW = 12  # shards, with nothing coming back between them: that is no submission's fault
WAIT_SECONDS = 0.5  # for what comes back, until whoever waits is asked whether it still does
OTHER_FORM = (Malformed, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)

W = TypeVar("W")


@dataclass(frozen=True)
class Item(Generic[W]):
    """What is out, and the name under which it is counted as lost."""

    work: W
    name: str


class Sending(ABC, Generic[W]):
    """Has work done on `nodes`, by `task` there; `say` shows a line to whoever waits.

    Raises:
        CourseError: nothing comes back, or no node can do it.
    """

    def __init__(self, nodes: Nodes, task: Callable[[bytes], bytes], say: Callable[[str], None]):
        self._nodes, self._task, self._say = nodes, task, say
        self._again: deque[list[W]] = deque()  # what did not come back
        self._out: dict[Future[bytes], list[Item[W]]] = {}
        self._lost: Counter[str] = Counter()
        self._in_a_row = self._left = 0

    def back(self, work: Collection[W]) -> Iterator[list[W]]:
        """Gives, as it comes back, the work of which nothing has to run any more; first that of which all was kept before.

        What was given up is among it. An empty list comes every now and then: whoever waits no longer may close this, and
        what is out is cancelled.
        """
        self._left, waiting = len(work), self._counted(work)
        try:
            while True:
                ready = self._send(waiting)
                self._meanwhile()
                yield ready
                if not self._out:
                    return
                while not (done := wait(self._out, WAIT_SECONDS, FIRST_COMPLETED).done):
                    yield []
                for future in done:
                    yield self._take(future, self._out.pop(future))
        finally:
            for future in self._out:
                future.cancel()

    # --- what is in a shard, and what is done with what comes back ----------------------------------------------------

    @property
    @abstractmethod
    def _common(self) -> bytes:
        """What is the same for all shards, with this machine's `versions` in it."""

    @abstractmethod
    def _shard(self, waiting: Iterator[W], ready: list[W]) -> tuple[list[Item[W]], bytes]:
        """The next of what has to run, and the order for it; none where nothing has to. What need not run is `ready`."""

    @abstractmethod
    def _keep(self, items: list[Item[W]], about: dict[str, Any], blobs: list[bytes]) -> None:
        """Keeps what came back of a shard; raises one of `OTHER_FORM` where it has another form."""

    @abstractmethod
    def _give_up(self, item: Item[W], said: str) -> None:
        """Notes that nothing will come of an item: its node `said`."""

    def _meanwhile(self) -> None:
        """What there is to do here, each time that shards went out."""

    @property
    def _at_once(self) -> int:
        """Shards that may be out."""
        return self._nodes.at_once

    # --- the way out and back -----------------------------------------------------------------------------------------

    def _send(self, waiting: Iterator[W]) -> list[W]:
        """Sends as many shards as may be out, and gives what was met on the way and need not run."""
        ready: list[W] = []
        while len(self._out) < self._at_once:
            again = self._again.popleft() if self._again else None
            source = iter(again) if again else waiting
            items, order = self._shard(source, ready)
            if again and (left := list(source)):  # their files have grown meanwhile
                self._again.appendleft(left)
            if items:
                self._out[self._nodes.submit(self._task, pack({}, [self._common, order]))] = items
            elif not again:
                break
        return ready

    def _counted(self, work: Collection[W]) -> Iterator[W]:
        for one in work:
            self._left -= 1
            yield one

    @property
    def _size(self) -> int:
        """How much goes into the next shard."""
        share = math.ceil(self._left / (2 * self._at_once))
        return min(self._nodes.shard, max(share, self._nodes.smallest))

    def _take(self, future: Future[bytes], items: list[Item[W]]) -> list[W]:
        """Keeps what came back of a shard; what need not run any more."""
        try:
            about, blobs = unpack(future.result())
        except CourseError:  # the scheduler takes nothing, whatever is in it
            raise
        except Exception as error:  # however it was lost
            return self._lose(items, " ".join(str(error).split())[:300] or type(error).__name__)
        if "lacks" in about:
            self._say(f"{about['node']} was left out: {'; '.join(map(str, about['lacks']))[:500]}")
            self._nodes.leave_out(str(about["node"]))
            self._again.appendleft([item.work for item in items])
            return []
        self._in_a_row = 0
        try:
            self._keep(items, about, blobs)
        except OTHER_FORM as error:
            return self._lose(items, f"{about.get('node')} answered in another form ({error!r})")
        return [item.work for item in items]

    def _lose(self, items: list[Item[W]], why: str) -> list[W]:
        """Sends what was lost again, in halves; what was lost alone too often is given up."""
        self._in_a_row += 1
        if self._in_a_row >= LOST_IN_A_ROW:
            raise CourseError(
                f"{self._nodes.name}: {self._in_a_row} shards in a row were lost, the last one since {why}. What came back is "
                "kept: mend that, and run the same command again"
            )
        if len(items) > 1:
            half = len(items) // 2
            self._again.extend([item.work for item in some] for some in (items[:half], items[half:]))
            self._say(f"a shard of {len(items)} was lost ({why}): it goes out again, in halves")
            return []
        self._lost[items[0].name] += 1
        if self._lost[items[0].name] < LOST_ALONE:
            self._again.append([items[0].work])
            self._say(f"a shard was lost ({why}): it goes out again")
            return []
        self._give_up(items[0], f"was lost {LOST_ALONE} times ({why})")
        return [items[0].work]
