"""The grader's side of observing on nodes: a class goes out in shards, and what comes back is kept as if it had been
observed here. All that follows, judging first of all, goes the same way as on one machine.

    out     `common`: versions, the probes' files, the module's own data, functions, what is released, limits
            `items`: for each a notebook, or code that was read already, and what it is to be asked
    back    for each its code and the recordings, or why there are none

A shard that does not come back (a dead node, a time limit, a cancelled job) goes out again in two halves, so that a
submission that takes its node with it is soon alone; what is lost alone, too, is "not graded".
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from autograder.cluster.node import own_versions, work
from autograder.cluster.nodes import Nodes
from autograder.cluster.parcels import pack, unpack
from autograder.course.imports import brought
from autograder.errors import CourseError, Malformed, Unreadable
from autograder.grading.answers import plain_code
from autograder.grading.grader import FILES, HIDDEN, PUBLIC, Grader, seeds
from autograder.sandboxed import PACKAGED_DATA
from autograder.sandboxed.notebook import Code

SHARD_BYTES = 16 * 2**20  # of notebooks in one shard: a scheduler holds it in memory
LOST_ALONE = 2  # times that a submission may be lost by itself
LOST_IN_A_ROW = 12  # shards, with nothing coming back between them: that is no submission's fault

Who = TypeVar("Who")


class Ask(NamedTuple):
    """What is to be observed: which probes, under which seed, of one function alone, for a second time."""

    public: bool
    seed: int
    only: str | None = None
    again: bool = False


@dataclass(frozen=True)
class Work(Generic[Who]):
    """A notebook that `read` gives, to be asked all; with `asks` it is code as JSON, to be asked these."""

    who: Who
    read: Callable[[], bytes]
    asks: tuple[Ask, ...] = ()


@dataclass(frozen=True)
class Item(Generic[Who]):
    """What is out, by a hash of the bytes that were sent; they can be read again."""

    work: Work[Who]
    digest: str


class Shards(Generic[Who]):
    """Has the work of one grader observed on `nodes`; `say` shows a line to whoever waits.

    Raises:
        CourseError: nothing comes back, or no node can observe.
    """

    def __init__(self, grader: Grader, nodes: Nodes, say: Callable[[str], None]):
        self._grader, self._nodes, self._say = grader, nodes, say
        self._again: deque[list[Work[Who]]] = deque()  # what did not come back
        self._out: dict[Future[bytes], list[Item[Who]]] = {}
        self._lost: Counter[str] = Counter()
        self._in_a_row = 0

    def observed(self, work: Iterable[Work[Who]]) -> Iterator[list[Who]]:
        """Gives, as they come back, those of whom nothing has to run any more; first those of whom all was kept before.

        What cannot be read, or was lost, is among them: whoever grades it is told why by the grader.
        """
        waiting = iter(work)
        try:
            while True:
                ready = self._send(waiting)
                self._grader.expected  # noqa: B018  the reference, while the nodes begin: without it all is in vain
                if ready:
                    yield ready
                if not self._out:
                    return
                done, _ = wait(self._out, return_when=FIRST_COMPLETED)
                for future in done:
                    if back := self._take(future, self._out.pop(future)):
                        yield back
        finally:
            for future in self._out:
                future.cancel()

    def _send(self, waiting: Iterator[Work[Who]]) -> list[Who]:
        """Sends as many shards as may be out, and gives those met on the way who need none."""
        ready: list[Who] = []
        while len(self._out) < self._nodes.at_once:
            again = self._again.popleft() if self._again else None
            source = iter(again) if again else waiting
            items, blobs = self._shard(source, ready)
            if again and (left := list(source)):  # their files have grown meanwhile
                self._again.appendleft(left)
            if items:
                self._out[self._nodes.submit(work, pack({}, [self._common, self._order(items, blobs)]))] = items
            elif not again:
                break
        return ready

    def _shard(self, waiting: Iterator[Work[Who]], ready: list[Who]) -> tuple[list[Item[Who]], list[bytes]]:
        """The next of those that have to be observed, and their bytes."""
        items: list[Item[Who]] = []
        blobs: list[bytes] = []
        for one in waiting:
            try:
                data = one.read()
            except (Unreadable, OSError):
                ready.append(one.who)  # whoever grades it says so
                continue
            digest = hashlib.sha256(data).hexdigest()
            if digest in self._grader.not_observed or self._is_kept(one, data, digest):
                ready.append(one.who)
                continue
            items.append(Item(one, digest))
            blobs.append(data)
            if len(items) == self._nodes.shard or sum(map(len, blobs)) > SHARD_BYTES:
                break
        return items, blobs

    def _asks(self, work: Work[Who]) -> tuple[Ask, ...]:
        drawn = seeds(self._grader.seed)
        return work.asks or tuple(Ask(public, drawn[public]) for public in (PUBLIC, HIDDEN))

    def _is_kept(self, work: Work[Who], data: bytes, digest: str) -> bool:
        observers = self._grader.observers
        code = Code.from_json(data) if work.asks else observers[PUBLIC].kept_code(digest)
        if code is None or isinstance(code, str):
            return code is not None
        return all(observers[ask.public].holds(code, *ask[1:]) for ask in self._asks(work))

    # --- what goes out ------------------------------------------------------------------------------------------------

    @cached_property
    def _common(self) -> bytes:
        return common(self._grader, self._nodes.workers)

    def _order(self, items: list[Item[Who]], blobs: list[bytes]) -> bytes:
        each = [{"is_code": bool(item.work.asks), "asks": self._asks(item.work)} for item in items]
        return pack({"items": each}, blobs)

    # --- what comes back ----------------------------------------------------------------------------------------------

    def _take(self, future: Future[bytes], items: list[Item[Who]]) -> list[Who]:
        """Keeps what came back of a shard; those who need no further run."""
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
            for item, answer in zip(items, about["items"], strict=True):
                self._keep(item, answer, blobs)
        except (Malformed, KeyError, IndexError, TypeError, ValueError) as error:
            return self._lose(items, f"{about.get('node')} answered in another form ({error!r})")
        return [item.work.who for item in items]

    def _keep(self, item: Item[Who], answer: dict[str, Any], blobs: list[bytes]) -> None:
        observers = self._grader.observers
        if "fault" in answer:
            self._grader.not_observed[item.digest] = str(answer["fault"])[:500]
        elif "unreadable" in answer:
            observers[PUBLIC].keep_code(item.digest, str(answer["unreadable"])[:500])
        else:
            code = plain_code(answer["code"])
            for ask, place in zip(self._asks(item.work), answer["blobs"], strict=True):
                observers[ask.public].keep(code, blobs[place], *ask[1:])
            if not item.work.asks:
                observers[PUBLIC].keep_code(item.digest, code)

    def _lose(self, items: list[Item[Who]], why: str) -> list[Who]:
        """Sends what was lost again, in halves; those who were lost alone too often."""
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
        self._lost[items[0].digest] += 1
        if self._lost[items[0].digest] < LOST_ALONE:
            self._again.append([items[0].work])
            return []
        self._grader.not_observed[items[0].digest] = f"the node that observed it was lost {LOST_ALONE} times ({why})"
        return [items[0].work.who]


def common(grader: Grader, workers: int) -> bytes:
    """What is the same for all shards of a class: all that a submission is observed with, and nothing to judge it by."""
    needs, tests = grader.contents.needs, grader.module.tests
    root = tests.parents[1]
    files = {path.relative_to(root).as_posix(): path for path in brought(tests, FILES.values())}
    data = {name: f"data/{name}" for name in needs.own}
    files |= {data[name]: path for name, path in needs.own.items()}
    packaged = {name: path for name, path in needs.data.items() if name not in needs.own}
    about = {
        "versions": own_versions(),
        "files": {name: place for place, name in enumerate(files)},
        "folder": tests.relative_to(root).as_posix(),
        "data": data,
        "packaged": {name: path.relative_to(PACKAGED_DATA).as_posix() for name, path in packaged.items()},
        "packages": needs.packages,
        "functions": grader.contents.functions,
        "released": grader.contents.released.as_dict(),
        "limit": grader.limit,
        "workers": workers,
    }
    return pack(about, [path.read_bytes() for path in files.values()])
