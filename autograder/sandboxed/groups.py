"""Control groups, by which the kernel counts all memory that a submission causes: pages, page tables, socket buffers, files
in memory; see cgroups(7). Used where this user may make a group of version 2; elsewhere the worker's watch counts.
"""

import contextlib
import os
from pathlib import Path

NEEDED = {"memory", "pids"}


class Group:
    """A group for one worker and its forks, below the nearest group whose controllers reach down to it.

    Nobody else's process is moved, and no group that is there is changed.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def join(self) -> bool:
        """Moves this process into it, and with it all that it will start; False if that may not be."""
        try:
            (self.folder / "cgroup.procs").write_text("0")
        except OSError:
            return False
        return True

    def kills(self) -> int:
        """How many processes the kernel has ended in it for want of memory."""
        with contextlib.suppress(OSError, ValueError):
            words = (self.folder / "memory.events").read_text().split()
            return int(dict(zip(words[::2], words[1::2], strict=True)).get("oom_kill", 0))
        return 0

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def make(memory: int, tasks: int) -> Group | None:
    """A new, empty group that may have `memory` bytes and `tasks` processes and threads; None where none can be made."""
    for around in _groups_around():
        folder = around / f"autograder-{os.getpid()}"
        try:
            if not set((around / "cgroup.subtree_control").read_text().split()) >= NEEDED:
                continue
            folder.mkdir()
            try:
                (folder / "memory.max").write_text(str(memory))
                (folder / "pids.max").write_text(str(tasks))
                with contextlib.suppress(OSError):  # there without swap it is not
                    (folder / "memory.swap.max").write_text("0")
            except OSError:
                folder.rmdir()
                continue
        except OSError:
            continue
        return Group(folder)
    return None


def usable() -> bool:
    """Whether a process that this one starts could be put into a group of its own."""
    group = make(2**30, 10)
    if group is None:
        return False
    child = os.fork()
    if child == 0:
        os._exit(0 if group.join() else 1)
    joined = os.waitpid(child, 0)[1] == 0
    group.remove()
    return joined


def _groups_around() -> list[Path]:
    """The folders of this process's group and of those around it, the nearest first; none without version 2."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    top = next((Path(fields[4]) for fields in mounts if "cgroup2" in fields[fields.index("-") :][1:2]), None)
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), None)
    if top is None or own is None or ".." in Path(own).parts:
        return []
    here = top / own
    return [folder for folder in (here, *here.parents) if folder.is_relative_to(top)]
