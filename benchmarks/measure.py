"""Runs a command and says what it took: wall time, CPU seconds with all children, peak memory; and how quiet it was."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.5  # seconds between two looks at the memory; a look takes some milliseconds of another core
MEGABYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """What a command took: wall and CPU seconds, the peak of its memory in MB, the load and the share stolen, and what
    it printed. Memory is the sum of proportional set sizes, so that a page that processes share counts once."""

    wall: float
    cpu: float
    memory: float
    load: float
    stolen: float
    said: str = ""

    @property
    def quiet(self) -> str:
        """The load average before it, and the share of the CPU that the host took away while it ran."""
        return f"load {self.load:.2f}, {100 * self.stolen:.0f}% stolen"


def measure(command: Sequence[object], folder: Path, environment: dict[str, str], allowed: Iterable[int] = (0,)) -> Cost:
    """Runs `command` in `folder` until it ends.

    Raises:
        SystemExit: its exit status is none of `allowed`; with the end of what it printed.
    """
    load, (stolen, total), start = os.getloadavg()[0], _ticks(), time.monotonic()
    output = folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
        with _peak(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)  # its usage holds that of all descendants that were waited for
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - start
    said = output.read_text(encoding="utf-8", errors="replace")
    if process.returncode not in allowed:
        sys.exit(f"{' '.join(map(str, command))} in {folder} ended with {process.returncode}:\n{said[-3000:]}")
    stolen_now, total_now = _ticks()
    share = (stolen_now - stolen) / max(1, total_now - total)
    return Cost(wall, usage.ru_utime + usage.ru_stime, max(peak), load, share, said)


def together(costs: list[Cost]) -> Cost:
    """The cost of commands that ran one after another."""
    wall, cpu = sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs)
    stolen = sum(cost.stolen * cost.wall for cost in costs) / wall
    return Cost(wall, cpu, max(cost.memory for cost in costs), costs[0].load, stolen, costs[-1].said)


@contextlib.contextmanager
def _peak(pid: int) -> Iterator[list[float]]:
    """Looks at the memory of `pid` and its descendants while the block runs; the list holds the values in MB."""
    seen, done = [0.0], threading.Event()

    def look() -> None:
        while not done.wait(INTERVAL):
            seen.append(sum(map(proportional, family(pid))) / MEGABYTE)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def proportional(pid: int) -> int:
    """A process's proportional set size in bytes; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def _ticks() -> tuple[int, int]:
    """The clock ticks that the host took from this machine, and all ticks, since it started; see proc(5)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)
