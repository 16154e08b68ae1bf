"""Where shards are observed, when it is not here: what `--on` names, and what all such places have in common.

    on_slurm.py     jobs of Slurm, by submitit
    on_dask.py      workers of a Dask scheduler, by distributed

Each is imported only when it is asked for.
"""

import contextlib
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.defaults import ON
from autograder.errors import CourseError

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str], None]
KINDS = ("slurm", "dask")


class Nodes(Executor):
    """An executor over other machines, whose tasks take bytes and give bytes.

    Args:
        name: as a message calls it.
        shard: submissions in one shard, at most.
        smallest: in one of the last shards, which are the smaller the less is left, so that all nodes end together.
        at_once: shards that are out at the same time.
        workers: submissions observed at once on each node; 0: as many as its cores allow.
    """

    name: str
    shard: int
    smallest: int
    at_once: int
    workers: int

    @abstractmethod
    def submit(self, task: Callable[[bytes], bytes], /, parcel: bytes) -> Future[bytes]:  # type: ignore[override]
        """Has `task(parcel)` run on a node."""

    @abstractmethod
    def leave_out(self, node: str) -> None:
        """Sends nothing more to a node; raises `CourseError` when none is left."""

    @abstractmethod
    def each(self) -> dict[str, list[str]]:
        """What each node that there is now lacks for observing, by its name."""


def saying(console: "Console") -> Say:
    """Shows lines above the bar of `console`, as they are: what a scheduler says may hold brackets."""
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def open_nodes(on: str, workers: int, course: Path, say: Say) -> Iterator[Nodes | None]:
    """The nodes that `--on` names, None for this machine itself. What still runs at the end is cancelled.

    Args:
        on: `local`, `slurm`, `slurm:partition=cpu,time=60`, `dask` or `dask:tcp://host:8786`.
        workers: submissions observed at once on each node; 0: as many as its cores allow.
        course: its folder; Slurm's nodes must see it under the same name.
        say: shows a line to whoever waits.

    Raises:
        CourseError: there is no such scheduler, or its package is not installed.
    """
    kind, _, setting = on.partition(":")
    if on == ON:
        yield None
        return
    if kind not in KINDS:
        raise CourseError(f"--on {on}: there is {ON}, slurm[:NAME=VALUE,…] and dask[:ADDRESS]")
    try:
        nodes = _open(kind, setting, workers, course, say)
    except ImportError as error:
        raise CourseError(f"--on {kind} needs {error.name}: pip install 'visual-computing-autograder[{kind}]'") from None
    try:
        yield nodes
    except KeyboardInterrupt:
        print(f"\nautograder: what still runs on {nodes.name} is cancelled; what came back is kept", file=sys.stderr)
        raise
    finally:
        nodes.shutdown(cancel_futures=True)


def _open(kind: str, setting: str, workers: int, course: Path, say: Say) -> Nodes:
    if kind == "slurm":
        from autograder.cluster.on_slurm import SlurmNodes

        return SlurmNodes(setting, workers, course / ".autograder" / "slurm", say)
    from autograder.cluster.on_dask import DaskNodes

    return DaskNodes(setting, workers, say)
