"""The walls around a submission, on Linux, without root and without a daemon.

A worker forks for every submission in a `Nursery`, where each fork is process 1 of a process namespace of its own. The
fork calls its `enter`: a file tree without the machine's files, a further user namespace, empty network and IPC
namespaces, a private scratch folder in memory, Landlock so that only the Python installation can be read, resource
limits, no capability even in its own namespaces, and a filter on the kernel's calls (seccomp.py). The calls are the
kernel's own (through ctypes, since Python 3.11 wraps none of them); see namespaces(7), landlock(7), capabilities(7).
"""

import ctypes
import functools
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.sandboxed import groups, seccomp
from autograder.sandboxed.errors import SandboxUnavailable

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 16384, 1 << 18, 2, 4
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, CAPABILITY_VERSION = 24, 47, 4, 0x20080522
MS_BIND, MNT_DETACH = 4096, 2
MOUNT_SETATTR, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, 0x8000, 1
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_EXECUTE, LANDLOCK_READ_FILE, LANDLOCK_READ_DIR = 1 << 0, 1 << 2, 1 << 3
LANDLOCK_WRITE_FILE, LANDLOCK_IOCTL_DEV = 1 << 1, 1 << 15
LANDLOCK_SCOPE_ABSTRACT_SOCKETS, LANDLOCK_SCOPE_SIGNALS = 1 << 0, 1 << 1
O_PATH = 0o10000000

SCRATCH = Path("/scratch")  # the submission's own folder
WRITABLE = [SCRATCH, Path("/dev/shm")]  # DataLoader's worker processes share tensors through /dev/shm
SCRATCH_MEGABYTES = 64
SCRATCH_FILES = 8192  # empty ones take memory too, which no size counts
ADDRESS_BYTES = 64 * 2**30  # that a process may map beyond what it has: what bounds its page tables
MAX_DESCRIPTORS = 1024  # of one process
MEMORY_BYTES = 3 * 2**30  # that all processes of a submission may use together, where nothing else is said
MAX_TASKS = 256  # processes and threads; the kernel's own limit does not hold root, so the worker counts too


def missing_walls() -> list[str]:
    """What this machine lacks for the full sandbox, each with the mend; empty when nothing does."""
    if sys.platform != "linux":
        return [f"the sandbox needs Linux, this is {sys.platform}: grade in a Linux container or virtual machine"]
    lacks = []
    if os.uname().machine not in seccomp.AUDIT_ARCH:
        lacks.append(
            f"the seccomp filter knows {' and '.join(seccomp.AUDIT_ARCH)}, this is {os.uname().machine}: use one of these"
        )
    if _landlock_abi() < 1:
        lacks.append(
            "Landlock is not enabled in this kernel: Linux 5.13 or newer with `landlock` in the lsm= boot line"
        )
    if not _can_unshare():
        lacks.append(
            "unprivileged user namespaces are refused: allow them (sysctl kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0), or in Docker use --security-opt seccomp=unconfined"
        )
    return lacks


def _can_unshare() -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            _unshare(CLONE_NEWUSER | CLONE_NEWPID, _about_me())
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@dataclass(frozen=True)
class Allowance:
    """What a submission may have.

    Args:
        hidden: folders that it may not read, should they lie among what it may.
        data: files that it finds in its folder `data/`, by their paths there, and may read.
        given: files and folders that it may read beside Python's own and the system's libraries.
        devices: an accelerator's device files.
        memory: bytes that all its processes may use together.
        scratch: megabytes of its own folder, and as many for what its processes share.
        watch: seconds between two looks at what it uses.
    """

    hidden: tuple[Path, ...] = ()
    data: tuple[tuple[str, Path], ...] = ()
    given: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    memory: int = MEMORY_BYTES
    scratch: int = SCRATCH_MEGABYTES
    watch: float = 0.1

    @property
    def may_read(self) -> tuple[Path, ...]:
        """All that it may read beside Python's own and the system's libraries."""
        return (*(path for _, path in self.data), *self.given, *self.devices)

    @classmethod
    def of(cls, setting: dict[str, Any]) -> "Allowance":
        """The allowance that a message asks for, paths as texts in it."""
        told: dict[str, Any] = {name: setting[name] for name in ("memory", "scratch", "watch") if name in setting}
        told |= {name: tuple(map(Path, setting[name])) for name in ("hidden", "given", "devices") if name in setting}
        return cls(data=tuple((name, Path(path)) for name, path in setting["data"].items()), **told)


class Nursery:
    """Where a worker makes its forks: made once, by the worker itself, in a user and process namespace of its own.

    `fork` makes every child process 1 of a new process namespace. With it dies everything it started; and with the
    worker, which is process 1 too, dies every child. A child closes the walls around itself with `enter`.

    Raises:
        SandboxUnavailable: with the kernel's reason.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance, self._readable = allowance, [*default_readable(), *allowance.may_read]
        group = groups.make(allowance.memory, 2 * MAX_TASKS)  # the watch, which can say why, comes first
        try:
            _unshare(CLONE_NEWUSER | CLONE_NEWPID, _about_me())
        except OSError as error:
            raise SandboxUnavailable(f"{error}: `autograder doctor` says what is missing") from error
        worker = os.fork()
        if worker:
            status = os.waitpid(worker, 0)[1]
            if group:
                group.remove()
            os._exit(os.waitstatus_to_exitcode(status) & 255)
        die_with_parent()
        self.group = group if group and group.join() else None
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._capabilities = int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1
        self._tree = _grow_tree(self._readable, allowance.hidden)

    def fork(self) -> int:
        """Like `os.fork`, but the child is process 1 of a new process namespace."""
        _call("unshare", CLONE_NEWPID)
        child = os.fork()
        if child:
            _call("setns", self._own, CLONE_NEWPID)  # so that the next one can have a new namespace again
        return child

    def enter(self, cpu_seconds: int) -> Path:
        """Closes the walls around this process, a child of `fork`. There is no way back.

        Args:
            cpu_seconds: CPU time after which the kernel ends it.

        Returns:
            Its scratch folder: a private, empty tmpfs; beside /dev/shm the only place that can be written.
        """
        about_me = _about_me()  # the tree has no /proc to ask
        limits = limits_from_here(self._allowance, cpu_seconds, walls=True)
        _call("setns", self._tree, CLONE_NEWNS)
        _unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC, about_me)
        limit_resources(limits)
        size = f"size={self._allowance.scratch}m,nr_inodes={SCRATCH_FILES}"
        for place in WRITABLE:
            _mount("tmpfs", str(place), "tmpfs", MS_NOSUID | MS_NODEV, size)
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _landlock(self._readable, WRITABLE, self._allowance.devices)
        _drop_capabilities(self._capabilities)
        _filter_calls()
        return SCRATCH


def die_with_parent() -> None:
    """Has the kernel kill this process when the one that forked it dies; only Linux can."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _about_me() -> int:
    """A descriptor of this process's folder in /proc."""
    return os.open("/proc/self", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _unshare(flags: int, about_me: int) -> None:
    """New namespaces for this process, a user namespace among them in which it keeps its own numbers.

    Closes `about_me`, which was opened where there is a /proc.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        _call("unshare", flags)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(os.open(name, os.O_WRONLY, dir_fd=about_me), "w") as file:
                file.write(text)
    finally:
        os.close(about_me)


def _grow_tree(readable: Iterable[Path], hidden: Iterable[Path]) -> int:
    """A mount namespace whose files are `readable` without `hidden`, read-only, and empty `WRITABLE` folders; /tmp is one.

    Landlock keeps files from being opened; here they do not exist: no chmod, no stat, no socket of a service. A process
    of its own makes it, since this one could not leave the namespace again.

    Returns:
        The namespace's descriptor.

    Raises:
        SandboxUnavailable: with the kernel's reason.
    """
    mine, theirs = socket.socketpair()
    with mine, theirs, tempfile.TemporaryDirectory(prefix="autograder-") as root:
        grower = os.fork()
        if grower == 0:
            try:
                _call("unshare", CLONE_NEWNS)
                tree = os.open("/proc/self/ns/mnt", os.O_RDONLY)
                _leave_only(readable, hidden, Path(root))
                socket.send_fds(theirs, [b"grown"], [tree])
            except OSError as error:
                theirs.send(str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(grower, 0)
        theirs.close()
        said, descriptors, _, _ = socket.recv_fds(mine, 1000, 1)
    if not descriptors:
        raise SandboxUnavailable(f"the file tree of the sandbox cannot be made: {said.decode() or 'no answer'}")
    return descriptors[0]


def _leave_only(readable: Iterable[Path], hidden: Iterable[Path], root: Path) -> None:
    """Makes the tree in memory, over the empty folder `root`, and puts it in the place of this process's files."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m")
    covers = covered(readable, hidden)
    for place in sorted({*readable, *covers}, key=lambda place: len(place.parts)):  # what lies in another comes later
        here = root / place.relative_to("/")
        if place in covers:
            _mount("tmpfs", str(here), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m")
            continue
        here.parent.mkdir(parents=True, exist_ok=True)
        if here.exists() or here.is_symlink():
            continue
        if place.is_symlink():  # as /lib is one to usr/lib
            here.symlink_to(os.readlink(place))
            continue
        here.mkdir() if place.is_dir() else here.touch()
        _mount(str(place), str(here), None, MS_BIND | MS_REC)
    for place in WRITABLE:
        (root / place.relative_to("/")).mkdir(parents=True, exist_ok=True)
    if not (root / "tmp").exists():  # unless Python lies there
        (root / "tmp").symlink_to(SCRATCH)
    read_only = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY)
    path = str(root).encode()
    _call("syscall", MOUNT_SETATTR, -1, path, AT_RECURSIVE, ctypes.byref(read_only), ctypes.c_size_t(32))
    os.chdir(root)
    _call("syscall", PIVOT_ROOT[os.uname().machine], b".", b".")  # the old root is now on top of the new one
    _call("umount2", b".", MNT_DETACH)


def covered(readable: Iterable[Path], hidden: Iterable[Path]) -> set[Path]:
    """Where the folders `hidden` lie inside `readable` ones, by every such name. What must be read itself is not hidden."""
    real = {place: place.resolve() for place in readable if not place.is_symlink()}
    folders = {folder.resolve() for folder in hidden if folder.is_dir()} - set(real.values())
    return {p / folder.relative_to(r) for folder in folders for p, r in real.items() if folder.is_relative_to(r)}


def _drop_capabilities(count: int) -> None:
    """Gives up all `count` capabilities, which this process has in its own namespaces: each opens much of the kernel."""
    _call("prctl", PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    for capability in range(count):
        _prctl(PR_CAPBSET_DROP, capability)
    _call("capset", struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24))


def _filter_calls() -> None:
    """Puts the seccomp filter in force, for this process and all that it starts."""
    code = seccomp.program(os.uname().machine)
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(lines))
    _call("prctl", PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), program, 0, 0)


def limits_from_here(allowance: Allowance, cpu_seconds: int, walls: bool = False) -> dict[str, int]:
    """Limits for `limit_resources`, those on memory beyond what this process has now; asks /proc for that.

    Behind walls its folders, which lie in memory, count as full: the process itself may have the rest.

    Addresses are not bounded where there may be a GPU, whose driver maps hundreds of gigabytes.
    """
    limits = {
        "RLIMIT_CPU": cpu_seconds,
        "RLIMIT_FSIZE": allowance.scratch * 2**20,
        "RLIMIT_NOFILE": MAX_DESCRIPTORS,
        "RLIMIT_CORE": 0,
    }
    if sys.platform != "linux":
        return limits | {"RLIMIT_DATA": allowance.memory}
    pages = [int(word) for word in Path("/proc/self/statm").read_text().split()]
    mapped, private = pages[0] * resource.getpagesize(), pages[5] * resource.getpagesize()
    if walls and not allowance.devices:
        limits["RLIMIT_AS"] = mapped + ADDRESS_BYTES
    folders = len(WRITABLE) * allowance.scratch * 2**20 if walls else 0
    return limits | {"RLIMIT_DATA": private + allowance.memory - folders, "RLIMIT_NPROC": MAX_TASKS}


def limit_resources(limits: dict[str, int]) -> None:
    """Limits on private memory, CPU time, file size, processes and more for this process and what it starts."""
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))


def default_readable() -> list[Path]:
    """What Python needs to go on importing: its own installation and the system's libraries, nothing of the course.

    Of a prefix only the folders that an installation has, since a course may lie in one, or be one (`python -m venv .`).
    """
    own = [Path(sys.prefix, part) for part in ("bin", "lib", "lib64", "include", "pyvenv.cfg")]
    for base in (sys.base_prefix, "/usr", "/usr/local"):
        own += [Path(base, part) for part in ("bin", "lib", "lib64", "libexec", "include", "share")]
    own += [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    own += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    system = ["/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"]
    system += ["/dev/random", "/sys/devices/system/cpu"]
    places = [*own, *map(Path, system), Path(__file__).parent]
    return [place for place in dict.fromkeys(places) if place.exists()]


# --- the kernel's calls -----------------------------------------------------------------------------------------------


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> int:
    result: int = getattr(_libc(), name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def _landlock_abi() -> int:
    return int(_libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _landlock(readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path]) -> None:
    abi = _landlock_abi()
    everything = (1 << (13 + (abi >= 2) + (abi >= 3))) - 1 | (LANDLOCK_IOCTL_DEV if abi >= 5 else 0)
    # no rules on the network, which has a namespace; older kernels know the structure's first field alone
    ruleset = _Ruleset(everything, 0, LANDLOCK_SCOPE_ABSTRACT_SOCKETS | LANDLOCK_SCOPE_SIGNALS if abi >= 6 else 0)
    size = ctypes.c_size_t(24 if abi >= 6 else 8)
    fd = _call("syscall", LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    for path in readable:
        _allow(fd, path, LANDLOCK_READ_FILE | LANDLOCK_READ_DIR | LANDLOCK_EXECUTE)
    _allow(fd, Path("/dev/null"), LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE)
    for path in writable:
        _allow(fd, path, everything)
    for path in devices:
        _allow(fd, path, everything & (LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_IOCTL_DEV))
    _call("syscall", LANDLOCK_RESTRICT_SELF, fd, 0)
    os.close(fd)


def _allow(ruleset: int, path: Path, access: int) -> None:
    if not path.is_dir():
        access &= LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE | LANDLOCK_EXECUTE | LANDLOCK_IOCTL_DEV
    fd = os.open(path, O_PATH | os.O_CLOEXEC)
    rule = _PathRule(access, fd)
    _call("syscall", LANDLOCK_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    os.close(fd)
