"""The grader's side of observing on nodes: a class goes out in shards, and what comes back is kept as if it had been
observed here. All that follows, judging first of all, goes the same way as on one machine.

    out     `common`: versions, the probes' files, the module's own data, functions, what is released, limits
            `items`: for each a notebook, or code that was read already, and what it is to be asked
    back    for each its code and the recordings, or why there are none

What is lost alone too often is "not graded"; see sending.py.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from autograder.cluster.node import own_versions, work
from autograder.cluster.nodes import Nodes
from autograder.cluster.parcels import bring, pack
from autograder.cluster.sending import Item, Sending
from autograder.errors import Unreadable
from autograder.grading.answers import plain_code
from autograder.grading.grader import FILES, HIDDEN, PUBLIC, Grader, seeds
from autograder.sandboxed.notebook import Code

SHARD_BYTES = 16 * 2**20  # of notebooks in one shard: a scheduler holds it in memory

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


class Shards(Sending[Work[Who]]):
    """Has the work of one grader observed on `nodes`, each notebook or code by a hash of its bytes."""

    def __init__(self, grader: Grader, nodes: Nodes, say: Callable[[str], None]):
        super().__init__(nodes, work, say)
        self._grader = grader
        self._given_up: set[str] = set()  # by this one: what an earlier one gave up is tried again

    def observed(self, work: Collection[Work[Who]]) -> Iterator[list[Who]]:
        """Gives, as they come back, those of whom nothing has to run any more; see `back`.

        What cannot be read, or was lost, is among them: whoever grades it is told why by the grader.
        """
        return ([one.who for one in ready] for ready in self.back(work))

    def _meanwhile(self) -> None:
        self._grader.expected  # noqa: B018  the reference, while the nodes begin: without it all is in vain

    def _shard(self, waiting: Iterator[Work[Who]], ready: list[Work[Who]]) -> tuple[list[Item[Work[Who]]], bytes]:
        items: list[Item[Work[Who]]] = []
        blobs: list[bytes] = []
        size = self._size
        for one in waiting:
            try:
                data = one.read()
            except (Unreadable, OSError):
                ready.append(one)  # whoever grades it says so
                continue
            digest = hashlib.sha256(data).hexdigest()
            if digest in self._given_up or self._is_kept(one, data, digest):
                ready.append(one)
                continue
            self._grader.not_observed.pop(digest, None)
            items.append(Item(one, digest))
            blobs.append(data)
            if len(items) == size or sum(map(len, blobs)) > SHARD_BYTES:
                break
        each = [{"is_code": bool(item.work.asks), "asks": self._asks(item.work)} for item in items]
        return items, pack({"items": each}, blobs)

    def _asks(self, work: Work[Who]) -> tuple[Ask, ...]:
        drawn = seeds(self._grader.seed)
        return work.asks or tuple(Ask(public, drawn[public]) for public in (PUBLIC, HIDDEN))

    def _is_kept(self, work: Work[Who], data: bytes, digest: str) -> bool:
        observers = self._grader.observers
        code = Code.from_json(data) if work.asks else observers[PUBLIC].kept_code(digest)
        if code is None or isinstance(code, str):
            return code is not None
        return all(observers[ask.public].holds(code, *ask[1:]) for ask in self._asks(work))

    @cached_property
    def _common(self) -> bytes:
        return common(self._grader, self._nodes.workers)

    def _keep(self, items: list[Item[Work[Who]]], about: dict[str, Any], blobs: list[bytes]) -> None:
        for item, answer in zip(items, about["items"], strict=True):
            self._keep_one(item, answer, blobs)

    def _keep_one(self, item: Item[Work[Who]], answer: dict[str, Any], blobs: list[bytes]) -> None:
        observers = self._grader.observers
        if "fault" in answer:
            self._not_observed(item, str(answer["fault"])[:500])
        elif "unreadable" in answer:
            observers[PUBLIC].keep_code(item.name, str(answer["unreadable"])[:500])
        else:
            code = plain_code(answer["code"])
            for ask, place in zip(self._asks(item.work), answer["blobs"], strict=True):
                observers[ask.public].keep(code, blobs[place], *ask[1:])
            if not item.work.asks:
                observers[PUBLIC].keep_code(item.name, code)

    def _give_up(self, item: Item[Work[Who]], said: str) -> None:
        self._not_observed(item, f"the node that observed it {said}")

    def _not_observed(self, item: Item[Work[Who]], why: str) -> None:
        self._given_up.add(item.name)
        self._grader.not_observed[item.name] = why


def common(grader: Grader, workers: int) -> bytes:
    """What is the same for all shards of a class: all that a submission is observed with, and nothing to judge it by."""
    about, blobs = bring(grader.module.tests, FILES.values(), grader.contents.needs)
    about |= {
        "versions": own_versions(),
        "functions": grader.contents.functions,
        "released": grader.contents.released.as_dict(),
        "limit": grader.limit,
        "workers": workers,
    }
    return pack(about, blobs)
