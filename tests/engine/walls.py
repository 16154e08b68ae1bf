"""What a submission tries from inside, and what it must get: `python walls.py` prints it as JSON; for another user, as
root, `python walls.py HOME UID`; in a toy course that is there, `python walls.py --course ROOT`.

Each body becomes the student's `mean`; its result, or the name of the exception it raises, is compared with `want`.
"""

import contextlib
import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from toy_course import WITH_IMAGES, solved, write_course

from autograder.course.course import Course, Module
from autograder.course.needs import needs_of
from autograder.grading.observer import Observer
from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import read_cells, select

DENIED = ("PermissionError", "OSError", "FileNotFoundError")  # Landlock's EACCES, read-only, or not there at all
UNREACHABLE = ("OSError", "ConnectionRefusedError", "FileNotFoundError", "gaierror", "TimeoutError")
GONE = ("ProcessLookupError", "FileNotFoundError", "PermissionError")

ATTEMPTS = {
    # reading
    "read the hidden probes": ("return open(TESTS + '/probes_hidden.py').read()", DENIED),
    "read the hidden checks": ("return open(TESTS + '/test_hidden.py').read()", DENIED),
    "read the solution": ("return open(COURSE + '/source/toy/toy.py').read()", DENIED),
    "list the course": ("return os.listdir(COURSE)", DENIED),
    "list its own home": ("return os.listdir(HOME)", DENIED),
    "read the users": ("return open('/etc/passwd').read()", DENIED),
    "read through a link": ("os.symlink(COURSE, 'way')\nreturn open('way/source/toy/toy.py').read()", DENIED),
    "read the grader's environment": ("return open(f'/proc/{GRADER}/environ').read()", GONE),
    "read its own process's": ("return open('/proc/self/environ').read()", GONE),
    "list processes": ("return os.listdir('/proc')", DENIED),
    "read the tiny data": ("return open('data/tiny-cifar-10/batches.meta', 'rb').read(1)[0]", (0x80,)),
    "see the environment": ("return sorted(k for k in os.environ if 'TEST' in k or 'SECRET' in k)", ([],)),
    "see the arguments": ("return [a for a in sys.argv if 'toy' in a or 'course' in a]", ([],)),
    # writing
    "write into the course": ("open(COURSE + '/mine', 'w')", DENIED),
    "overwrite the source": ("open(COURSE + '/source/toy/toy.py', 'w')", DENIED),
    "remove the source": ("os.remove(COURSE + '/source/toy/toy.py')", DENIED),
    "rename the source": ("os.rename(COURSE + '/source/toy/toy.py', COURSE + '/source/toy/x')", DENIED),
    "change its mode": ("os.chmod(COURSE + '/source/toy/toy.py', 0o777)", DENIED),
    "change its times": ("os.utime(COURSE + '/source/toy/toy.py', (1, 1))", DENIED),
    "change its attributes": ("os.setxattr(COURSE + '/source/toy/toy.py', 'user.x', b'1')", DENIED),
    "write into the engine": ("open(ENGINE + '/mine.py', 'w')", DENIED),
    "write into site-packages": ("open(torch.__file__ + '.mine', 'w')", DENIED),
    "write beside its folder": ("open('../mine', 'w')", DENIED),
    "write a device": ("open('/dev/urandom', 'w')", DENIED),
    "write into its folder": ("open('mine', 'w').write('x')\nreturn open('mine').read()", ("x",)),
    "see another's folder": ("return sorted(os.listdir())", (["data"],)),
    "fill its folder": ("for n in range(9): open(f'f{n}', 'wb').write(bytes(2**24))", DENIED),
    "mount something else": ("return libc.mount(b'x', b'.', b'tmpfs', 0, None), ctypes.get_errno()", ((-1, 1),)),
    "open the mounts": ("return libc.umount2(os.getcwd().encode(), 2), ctypes.get_errno()", ((-1, 1),)),
    # reaching
    "connect to a port": ("socket.create_connection(('127.0.0.1', PORT), 1)", UNREACHABLE),
    "connect to an abstract socket": ("socket.socket(socket.AF_UNIX).connect('\\0' + NAME)", UNREACHABLE),
    "look up a name": ("socket.getaddrinfo('example.org', 80)", UNREACHABLE),
    "reach the machine's services": ("return os.listdir('/run')", DENIED),
    "signal the grader": ("os.kill(GRADER, 0)", GONE),
    "know its parent": ("return os.getpid(), os.getppid()", ((1, 0),)),
    "kill everyone": ("os.kill(-1, 9)", ("ProcessLookupError", None)),
    "use other descriptors": ("return [n for n in range(256) if alive(n)]", ([0, 1, 2, 3],)),
    "hear its standard input": ("return os.read(0, 10)", ("bytes",)),
    "raise its limits": ("resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))", ("ValueError",)),
    "map without end": ("mmap.mmap(-1, 2**38, flags=0x4022, prot=1)", ("OSError",)),  # private, nobody's, unreserved
    "open descriptors without end": ("for _ in range(1100): os.dup(0)", ("OSError",)),
    "make empty files without end": ("for n in range(9000): open(f'e{n}', 'w')", DENIED),
    "widen a socket's buffer": ("return widened(*socket.socketpair())", (0,)),
    # what it could tell another submission that runs at the same time
    "open other sockets": ("return [family for family in range(64) if opened(family)]", ([socket.AF_UNIX],)),
    "lock a shared file": ("return locked(fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB)", (False,)),
    "lock a part of it": ("return locked(fcntl.lockf, fcntl.LOCK_SH | fcntl.LOCK_NB)", (False,)),
    "lease a shared file": ("with open(os.__file__) as f: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)", DENIED),
    "leave a hint at a shared file": ("with open(os.__file__) as f: fcntl.fcntl(f, 1036, bytes(8))", ("OSError",)),
    "watch a shared folder": ("return libc.inotify_init1(0), ctypes.get_errno()", ((-1, 1),)),
    "watch it by signals": ("fcntl.fcntl(os.open(os.path.dirname(os.__file__), 0), fcntl.F_NOTIFY, 1)", DENIED),
    "see what is in memory": ("return libc.mincore(0, 0, 0), ctypes.get_errno()", ((-1, 1),)),
    "read the kernel's log": ("return libc.klogctl(10, None, 0), ctypes.get_errno()", ((-1, 1),)),
    # rights in namespaces of its own
    "clone into a user namespace": ("return cloned(0x10000000), ctypes.get_errno()", ((-1, 1),)),
    "clone with hidden flags": ("return libc.syscall(435, 0, 0), ctypes.get_errno()", ((-1, 38),)),  # clone3
    "make a call of tomorrow": ("return libc.syscall(463, 0, 0), ctypes.get_errno()", ((-1, 38),)),
    "have capabilities": ("return capabilities()", ([0, 0, 0, 0, 0, 0],)),
    "have capabilities to gain": ("return [n for n in range(64) if libc.prctl(23, n, 0, 0, 0) == 1]", ([],)),
    "win rights by a program": ("return libc.prctl(39, 0, 0, 0, 0)", (1,)),  # PR_GET_NO_NEW_PRIVS
}

PRELUDE = """
import ctypes, fcntl, mmap, os, platform, resource, socket, struct, sys, torch
libc = ctypes.CDLL(None, use_errno=True)
def alive(n):
    try:
        return os.fstat(n) and True
    except OSError:
        return False
def opened(family):
    return any(libc.socket(family, kind, 0) >= 0 for kind in (1, 2, 3, 5))
def locked(lock, how):
    with open(os.__file__) as mine:
        lock(mine, how)
        if os.fork() == 0:  # locks of a part are a process's
            found = fcntl.fcntl(mine, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
            taken = struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK
            try:
                fcntl.flock(open(os.__file__), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                taken = True
            os._exit(taken)
        return bool(os.wait()[1])
def widened(mine, theirs):
    before = mine.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    return mine.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - before
def cloned(flags):
    child = libc.syscall(56 if platform.machine() == "x86_64" else 220, flags | 17, 0, 0, 0, 0)
    return child or os._exit(0)
def capabilities():
    words = (ctypes.c_uint32 * 6)()
    libc.capget(struct.pack("Ii", 0x20080522, 0), words)
    return list(words)
"""


def attempts(module: Module, observer: Observer) -> dict:
    """What each attempt gives: a plain value, or an exception's or another value's type name."""
    import autograder

    with contextlib.ExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{module.root}")
        abstract.listen()
        names = {
            "COURSE": str(module.root),
            "TESTS": str(module.tests),
            "HOME": str(Path.home()),
            "ENGINE": str(Path(autograder.__file__).parent),
            "GRADER": os.getpid(),
            "PORT": port.getsockname()[1],
            "NAME": str(module.root),
        }
        prelude = PRELUDE + "\n".join(f"{name} = {value!r}" for name, value in names.items())
        return {name: _attempt(observer, prelude, body) for name, (body, _) in ATTEMPTS.items()}


def _attempt(observer: Observer, prelude: str, body: str) -> object:
    mean = "def mean(numbers):\n" + "\n".join(f"    {line}" for line in body.splitlines())
    code = select(read_cells(solved(mean=f"{prelude}\n{mean}")), observer.functions)
    observation = observer.observe(code, only="mean").observations["means"]
    if observation.state == "returned":
        return getattr(observation.value, "type", observation.value)
    return observation.error.type if observation.state == "raised" else f"{observation.state}: {observation.error}"


def _open_python() -> None:
    """Lets an ordinary user read a Python that lies in root's closed home, for this process and its children alone."""
    base = Path(sys.base_prefix)
    closed = [folder for folder in base.parents if not folder.stat().st_mode & 0o001]
    if closed:
        sandbox._call("unshare", sandbox.CLONE_NEWNS)
        sandbox._mount(None, "/", None, sandbox.MS_REC | sandbox.MS_PRIVATE)
        kept = os.open(base, sandbox.O_PATH)
        sandbox._mount("tmpfs", str(closed[-1]), "tmpfs", 0, "mode=755")
        base.mkdir(parents=True)
        sandbox._mount(f"/proc/self/fd/{kept}", str(base), None, sandbox.MS_BIND | sandbox.MS_REC)
        os.close(kept)


def become(uid: int, home: str) -> None:
    """Makes an ordinary user of this process, which is root's."""
    _open_python()
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.environ["HOME"] = os.environ["MPLCONFIGDIR"] = os.environ["TMPDIR"] = home


def main(home: str = "", uid: str = "") -> None:
    if home == "--course":
        return try_in(Path(uid))
    if uid:
        become(int(uid), home)
    with tempfile.TemporaryDirectory() as folder:
        try_in(write_course(Path(folder), source=WITH_IMAGES))


def try_in(course: Path) -> None:
    """Prints what each attempt gives in a toy course."""
    module = Course(course).module("toy")
    needs = needs_of(module)
    with Observer(module.tests, "probes_public", ["double", "quadruple", "mean"], needs=needs, limit=5) as observer:
        json.dump(attempts(module, observer), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
