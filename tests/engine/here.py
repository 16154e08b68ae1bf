"""Nodes that are none: threads of the test's own process."""

from concurrent.futures import Future, ThreadPoolExecutor

from autograder.cluster.nodes import Nodes
from autograder.cluster.parcels import unpack
from autograder.errors import CourseError


class Here(Nodes):
    """Threads of this process in place of other machines. `before` is told what is in an order, and may lose it."""

    name, shard, smallest, at_once, workers = "here", 3, 3, 2, 2

    def __init__(self, before=lambda blobs: None, answer=None):
        self.before, self.answer = before, answer
        self.sent, self.came, self.left_out = [], [], []
        self._pool = ThreadPoolExecutor(2)

    def submit(self, task, /, parcel: bytes) -> Future:
        self.sent.append(parcel)
        return self._pool.submit(self._run, task, parcel)

    def _run(self, task, parcel: bytes) -> bytes:
        self.before(unpack(unpack(parcel)[1][1])[1])
        self.came.append(self.answer(parcel) if self.answer else task(parcel))
        return self.came[-1]

    def leave_out(self, node: str) -> None:
        self.left_out.append(node)
        if len(self.left_out) > 2:
            raise CourseError("no node is left")

    def each(self):
        return {}

    def shutdown(self, wait=True, *, cancel_futures=False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
