"""Observing: every way a submission can end is a state of its own, costs one probe, and touches nobody else's."""

import os
import queue
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import FUNCTIONS, LIMIT, imported_anew, needs_walls
from toy_course import notebook, solved, write_course

from autograder.course.course import Course
from autograder.course.needs import SLOW, Needs
from autograder.errors import CourseError, GraderFault, Malformed, NotKept, Unavailable, Unreadable
from autograder.grading.observer import MOST_SHOWN, BothSets, Observer
from autograder.grading.recordings import Observed, load_recording, save_recording
from autograder.grading.workers import Turns, Worker
from autograder.sandboxed.notebook import Cell, Code, parse, read_cells, released_by, select
from autograder.sandboxed.recording import Error, encode

pytestmark = needs_walls


def code(**changed: str) -> Code:
    return select(read_cells(solved(**changed)), FUNCTIONS)


def mean(body: str, before: str = "") -> Code:
    """A right submission but for what `mean` does."""
    return code(mean=before + "\ndef mean(numbers):\n" + "\n".join(f"    {line}" for line in body.splitlines()))


@pytest.fixture
def observer(observers) -> Observer:
    return observers[True]


@pytest.fixture
def stored(observer, tmp_path) -> Observer:
    """The shared workers with a store of this test's own; `asked` collects the jobs that reach a worker."""
    twin = object.__new__(Observer)
    twin.__dict__ = {**observer.__dict__, "store": tmp_path / "store", "asked": []}
    twin._ask = lambda job, *how: (twin.asked.append(job), observer._ask(job, *how))[1]
    return twin


# --- states -----------------------------------------------------------------------------------------------------------


def test_right_answers_come_back_by_probe(observer):
    recording = observer.observe(code())
    assert {name: o.value for name, o in recording.observations.items()} == {
        "doubles": {"whole": 6, "fraction": 0.5},
        "quadruples": [["x"]],
        "means": 1.5,
    }
    assert [o.state for o in recording.observations.values()] == ["returned"] * 3
    assert not recording.cached and recording.cpu > 0


@pytest.mark.parametrize(
    ("body", "state", "error"),
    [
        ("raise KeyError('none')", "raised", Error("KeyError", "'none'", "cell 4, line 3: raise KeyError('none')")),
        ("1 / 0\nreturn 1.5", "raised", Error("ZeroDivisionError", "division by zero", "cell 4, line 3: 1 / 0")),
        ("import sys\nsys.exit(0)", "raised", Error("SystemExit", "0", "cell 4, line 4: sys.exit(0)")),
        (
            "raise KeyboardInterrupt",
            "raised",
            Error("KeyboardInterrupt", "", "cell 4, line 3: raise KeyboardInterrupt"),
        ),
        ("import os\nos._exit(0)", "crashed", "ended by itself"),
        ("import os\nos._exit(3)", "crashed", "exit status 3"),
        ("import ctypes\nctypes.string_at(0)", "crashed", "SIGSEGV"),
        ("import os\nos.abort()", "crashed", "SIG"),
        ("raise type('Odd', (BaseException,), {})", "crashed", "exit status 1"),
        ("while True: pass", "timed out", f"longer than {LIMIT:g} s"),
        ("import time\ntime.sleep(1000)", "timed out", f"longer than {LIMIT:g} s"),
        ("return bytearray(2**40)", "out of memory", "MemoryError"),
        ("import torch\nreturn torch.empty(2**40)", "out of memory", "can't allocate memory"),
    ],
)
def test_every_ending_is_a_state_and_costs_one_probe(observer, body, state, error):
    observed = observer.observe(mean(body)).observations
    assert observed["means"].state == state
    assert observed["means"].error == error if isinstance(error, Error) else error in str(observed["means"].error)
    assert observed["means"].value is None
    assert observed["doubles"].value == {"whole": 6, "fraction": 0.5} and observed["quadruples"].value == [["x"]]


def test_the_probes_behind_a_crash_are_asked_again(stored):
    crashing = code(double="import os\ndef double(x):\n    os._exit(0)")
    observed = stored.observe(crashing).observations
    assert {name: o.state for name, o in observed.items()} == {
        "doubles": "crashed",
        "quadruples": "returned",
        "means": "returned",
    }
    assert [job["probes"] for job in stored.asked] == [["doubles", "quadruples", "means"], ["quadruples", "means"]]


@pytest.mark.parametrize(
    ("ending", "state"), [("__import__('os')._exit(0)", "crashed"), ("__import__('time').sleep(1000)", "timed out")]
)
def test_code_that_ends_while_it_is_read_is_asked_once(stored, ending, state):
    observed = stored.observe(code(mean=f"mean = {ending}")).observations
    assert {o.state for o in observed.values()} == {state} and len(observed) == 3
    assert len(stored.asked) == 1


def plain(recording):
    """A recording but for its times."""
    return {name: (o.state, o.value, o.error) for name, o in recording.observations.items()}, recording.notes


def test_several_functions_and_seeds_in_one_process_answer_as_each_does_alone(stored):
    right, asks = code(), [(7, "mean"), (7, "double"), (8, "mean")]
    together = stored.observe_each(right, asks)
    assert [job["probes"] for job in stored.asked] == [["means", "doubles", "means"]]
    alone = [stored.observe(right, seed, only, fresh=True) for seed, only in asks]
    assert list(map(plain, together)) == list(map(plain, alone)) and all(recording.cpu > 0 for recording in together)


@pytest.mark.parametrize("ending", ["__import__('os')._exit(0)", "__import__('os').write(3, b'lie')", "while True: pass"])
def test_what_ends_one_function_costs_no_other_that_is_asked_beside_it(stored, ending):
    asks = [(7, "mean"), (7, "double")]
    [means, doubles] = stored.observe_each(mean(ending), asks)
    assert means.observations["means"].state in ("crashed", "timed out")
    assert doubles.observations["doubles"].value == {"whole": 6, "fraction": 0.5}
    assert len(stored.asked) == 3


def test_what_is_fetched_is_found_by_those_who_ask_for_it(stored):
    right, asks = code(), [(7, "mean"), (7, "double")]
    stored.observe(right, *asks[0])
    assert list(stored.fetch(right, asks)) == asks[1:]
    assert stored.fetch(right, asks) == {}
    assert [job["probes"] for job in stored.asked] == [["means"], ["doubles"]]
    assert not stored.observe(right, *asks[1]).cached and len(stored.asked) == 2


def both_sets(observers, store) -> BothSets:
    """A twin of each of the two observers, with the answers kept in `store`, and workers of their own that hold both sets."""
    sets = {}
    for public, observer in observers.items():
        sets[public] = object.__new__(Observer)
        sets[public].__dict__ = {**observer.__dict__, "store": store}
    return BothSets(sets)


REMEMBERS = "def double(x, seen=[]):\n    seen.append(x)\n    return len(seen)"


@pytest.mark.parametrize("double", ["def double(x):\n    return 2 * x", REMEMBERS], ids=["right", "remembers"])
def test_the_courses_own_code_answers_both_sets_in_one_process_as_it_does_each_alone(observers, tmp_path, double):
    drawn, functions, one = {True: 7, False: 8}, ["double", "mean"], code(double=double)
    with both_sets(observers, tmp_path) as both:
        made = both.fetch_both(one, drawn, functions)
        assert len(made) == 4 and both.fetch_both(one, drawn, functions) == {}
    for (public, seed, function), recording in made.items():
        assert plain(recording) == plain(observers[public].observe(one, seed, function))
        twin = object.__new__(Observer)
        twin.__dict__ = {**observers[public].__dict__, "store": tmp_path}
        assert twin.holds(one, seed, function)


def test_what_ends_the_process_of_both_sets_is_left_to_each(observers, tmp_path):
    with both_sets(observers, tmp_path) as both:
        assert both.fetch_both(mean("__import__('os')._exit(0)"), {True: 7, False: 8}, ["double", "mean"]) == {}
    assert not list(tmp_path.iterdir())



SPAWNED = """
import torch
from torch.utils.data import DataLoader, Dataset


class Own(Dataset):
    def __init__(self, numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, place):
        return self.numbers[place]


def mean(numbers):
    loader = DataLoader(Own(numbers), num_workers=1, multiprocessing_context="{}")
    return sum(batch.item() for batch in loader) / len(loader)
"""
COMPILED = """
import torch


def mean(numbers):
    run = torch.compile(torch.nn.Identity(), backend="eager")
    return run(torch.tensor(numbers)).mean().item()
"""


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """An observer for what takes its time, on a busy machine more than the toy's limit."""
    folder, needs = Course(write_course(tmp_path_factory.mktemp("patient"), "toys")).module("toys").tests, Needs(packages=SLOW)
    with imported_anew(), Observer(folder, "probes_public", FUNCTIONS, needs=needs, limit=60, workers=1) as observer:
        yield observer


@pytest.mark.parametrize("text", [SPAWNED.format(how) for how in ("spawn", "forkserver", "fork")] + [COMPILED])
def test_loaders_of_any_start_method_and_compiled_networks_answer_behind_the_walls(patient, text):
    seen = patient.observe(code(mean=text)).observations["means"]
    assert (seen.state, seen.value) == ("returned", 1.5)


def test_a_missing_package_is_told_as_the_cause(observer):
    lacking = "from no_such_package import average\n\n\ndef mean(numbers):\n    return average(numbers)"
    error = observer.observe(code(mean=lacking)).observations["means"].error
    assert error.message.startswith("cell 4 could not import no_such_package, which the grader has not (name 'average'")


def test_what_only_the_run_makes_is_told_as_that(observer):
    cells = [Cell(1, "import math"), Cell(2, "scale = dict(by=2)"), Cell(3, "def mean(numbers): return scale['by']")]
    released = released_by(parse(cells[:2])[0])
    error = observer.observe(select(cells, FUNCTIONS, released)).observations["means"].error
    assert error.message.startswith("`scale` is made by cell 2 alone") and "take it as an argument" in error.message


def test_imports_that_stand_below_are_said_once(observer):
    late = "def double(x: math.e): return x + x", "def mean(numbers: math.pi): return 1.0", "import math"
    observed = observer.observe(select([Cell(n, text) for n, text in enumerate(late, 1)], FUNCTIONS)).observations
    first, second = observed["doubles"].error.message, observed["means"].error.message
    assert "its cell 1 raised NameError" in first and "it is imported in cell 3, below: move the imports" in first
    assert second.endswith("for the same reason as cell 1.") and "imported in" not in second


def test_a_star_import_that_replaces_a_function_is_named(observer):
    text = "def mean(numbers): return 1.0\n\n\nfrom statistics import *"
    notes = dict(observer.observe(code(mean=text)).notes)
    assert notes["cell 4"] == "replaced `mean` by what its `import *` brought"


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("def mean(numbers):\n    raise NotImplementedError('write mean')", "not written yet: cell 4 still holds"),
        ("average = 3", "`mean` is not defined in the notebook."),
        ("def mean(numbers:\n    return 1", "cell 4 does not run"),
        ("mean = no_such_function", "cell 4 raised NameError: name 'no_such_function' is not defined (cell 4, line 1"),
        ("mean = 3", "`mean` is not defined"),
        ("import no_such_package\nmean = no_such_package.mean", "its cell 4 could not import no_such_package, which"),
        ("mean = input('which? ')", "input() has nobody to answer it here"),
    ],
)
def test_a_missing_function_says_why_and_leaves_the_others(observer, cells, message):
    observed = observer.observe(code(mean=cells)).observations
    assert (observed["means"].state, observed["doubles"].state) == ("missing", "returned")
    assert observed["means"].error.type == "Missing" and message in observed["means"].error.message


@pytest.mark.parametrize(
    "cells",
    [
        "def mean(n): return 1.5\nraise SystemExit",
        "def mean(n): return 1.5\ndef mean_of(n): return no_such_name",
        "def mean(n): return 1.5\nmean = no_such_function(mean)",
        "def mean(n): return 1.5\ndel mean",
        "def mean(n): return 1.5\nmean = 'a mean'",
        "from __future__ import annotations\ndef mean(n: Undefined) -> Undefined: return 1.5",
        "class mean:\n    def __new__(cls, n): return 1.5",
        "%time\nimport functools\nmean = functools.partial(max, [1.5, 0.0])\nmean = lambda n: 1.5",
    ],
)
def test_a_definition_that_ran_counts(observer, cells):
    assert observer.observe(code(mean=cells)).observations["means"].value == 1.5


def test_what_happened_to_the_cells_is_noted(observer):
    cells = ["def double(x): return x + x", "%%bash\nls", "quadruple = unknown", "train()", "def f(:"]
    notes = dict(observer.observe(select(read_cells(notebook(*cells)), FUNCTIONS)).notes)
    assert notes == {
        "cell 2": "was not run: it is a %%bash cell",
        "cell 3": "raised NameError: name 'unknown' is not defined (cell 3, line 1: quadruple = unknown)",
        "cell 4": "was not run: no graded function needs it",
        "cell 5": "does not run: invalid syntax, line 1: def f(:",
    }


def test_only_the_probes_of_one_function_are_asked(observer):
    assert list(observer.observe(code(), only="mean").observations) == ["means"]


def test_only_the_reference_is_asked_what_stands_beside_a_probe(observers):
    submission, reference = (observers[False].observe(code(), 5, "mean", reference=r).observations for r in (False, True))
    assert list(submission) == ["long_means"] and list(reference) == ["long_means", "the_numbers_again"]
    assert reference["the_numbers_again"].value == reference["long_means"].value == submission["long_means"].value


def test_a_check_that_needs_what_is_not_there_gets_the_reason(observer):
    observed = Observed(observer.observe(mean("raise ValueError('no')")))
    assert observed.doubles == {"whole": 6, "fraction": 0.5}
    with pytest.raises(Unavailable, match="ValueError: no"):
        _ = observed.means
    with pytest.raises(AttributeError, match="no probe is named 'menas'; there are doubles"):
        _ = observed.menas
    assert observed.used == ["doubles", "means"]


# --- forged answers ---------------------------------------------------------------------------------------------------

FORGE = """
import os, struct
from autograder.sandboxed.recording import encode
def write(**frame):
    blob = encode(frame)
    os.write(3, struct.pack("<I", len(blob)) + blob)
"""
FULL = "state='returned', value=1.5, seconds=0.0"


@pytest.mark.parametrize(
    "body",
    [
        f"write(probe='means', {FULL})\nreturn 1.5",
        f"write(probe='doubles', {FULL})\nreturn 1.5",
        f"write(probe='quadruples', {FULL})\nos._exit(0)",
        f"write(probe='secret', {FULL})\nreturn 1.5",
        "write(probe='means', state='passed', value=1.5, seconds=0.0)\nos._exit(0)",
        "write(probe='means', state='returned', value=1.5)\nos._exit(0)",
        "write(probe='means', state='raised', error='x', seconds=0.0)\nos._exit(0)",
        "write(probe='means', state='returned', value=1.5, seconds=float('nan'))\nos._exit(0)",
        "write(probe='means', state='returned', value=1.5, seconds=-1e300)\nos._exit(0)",
        "write(broken='not my fault')\nos._exit(0)",
        "os.write(3, b'\\xff' * 100)\nreturn 1.5",
        "os.write(3, bytes(100))\nreturn 1.5",
        "os.write(3, struct.pack('<I', 4) + b'{}{}')\nreturn 1.5",
        "import autograder.sandboxed.observe\nautograder.sandboxed.observe.encode = lambda v: b''\nreturn 1.5",
        "import autograder.sandboxed.observe\nautograder.sandboxed.observe.encode = lambda v: encode([v])\nreturn 1.5",
        "os.close(3)\nreturn 1.5",
    ],
)
def test_forged_answers_are_not_accepted(observer, body):
    observation = observer.observe(mean(body, before=FORGE)).observations["means"]
    assert observation.state == "crashed" and observation.value is None and observation.error is not None


def test_a_flood_is_cut_off(observer):
    observed = observer.observe(mean("while True: os.write(3, bytes(2**20))", before=FORGE)).observations
    assert observed["means"].state == "crashed"


def test_what_is_written_before_the_first_probe_is_not_believed(observer):
    """The walls have been reported by then: nothing that a submission writes makes it "not graded"."""
    forged = code(mean=FORGE + "write(broken='x')\nmean = write(broken='x') or (lambda n: 1.5)")
    observed = observer.observe(forged).observations
    assert {o.state for o in observed.values()} == {"crashed"}


def test_a_value_that_cannot_be_recorded_is_the_probes_error(observer):
    for body, message in (("return list(range(30_000))", "30,000 items"), ("x = []; x.append(x); return x", "deeper")):
        observation = observer.observe(mean(body)).observations["means"]
        assert observation.state == "raised" and message in observation.error.message


# --- the store --------------------------------------------------------------------------------------------------------


def test_the_second_time_nothing_runs(stored):
    first = stored.observe(code())
    second = stored.observe(code())
    assert len(stored.asked) == 1 and second == first
    assert (first.cached, second.cached) == (False, True)
    stored.observe(code(), fresh=True)
    assert len(stored.asked) == 2


def test_a_crash_is_kept_as_it_was(stored):
    first = stored.observe(mean("import os\nos._exit(1)"))
    assert stored.observe(mean("import os\nos._exit(1)")) == first


def test_the_key_changes_with_all_that_a_recording_depends_on(observers, tmp_path):
    observer = observers[False]
    keys = [
        observer.key(code(), 1, None),
        observer.key(code(), 2, None),
        observer.key(code(), 1, "mean"),
        observer.key(mean("return 1.5"), 1, None),
        observer.key(code(mean="def mean(n):\n    raise NotImplementedError"), 1, None),
        observers[True].key(code(), 1, None),
    ]
    assert len(set(keys)) == len(keys)
    assert observer.key(code(), 1, None) == keys[0]


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({}, False),
        ({"probes_hidden": "x = 1"}, True),
        ({"probes_public": "x = 1"}, True),  # which probes_hidden may import from
        ({"networks": "x = 1"}, True),
        ({"test_hidden": "x = 1"}, False),
        ({"mistakes": "x = 1"}, False),
    ],
)
def test_a_changed_probe_asks_again_and_a_changed_check_does_not(tmp_path, changed, differs):
    def key(name: str, **texts: str) -> str:
        toy = Course(write_course(tmp_path / name, **texts)).module("toy")
        return Observer(toy.tests, "probes_hidden", FUNCTIONS).key(code(), 1, None)

    assert (key("before") != key("after", **changed)) is differs


DAMAGES = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "garbage": lambda data: b"\0" * len(data),
    "of another form": lambda data: encode({"observations": [["means"]], "notes": [], "cpu": 0.0}),
    "not a dict": lambda data: encode([1]),
    "without notes": lambda data: encode({"observations": [], "cpu": 0.0}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_recording_is_made_again(stored, damage):
    whole = stored.observe(code())
    (path,) = stored.store.glob("*.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Malformed):
        load_recording(path)
    again = stored.observe(code())
    assert not again.cached and len(stored.asked) == 2
    assert [o.value for o in again.observations.values()] == [o.value for o in whole.observations.values()]
    assert load_recording(path) == again


def test_a_recording_is_written_whole_or_not_at_all(stored, tmp_path, monkeypatch):
    path = tmp_path / "kept.safetensors"
    save_recording(path, stored.observe(code()))
    before = path.read_bytes()
    monkeypatch.setattr("autograder.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_recording(path, stored.observe(mean("return 2.5"), fresh=True))
    assert path.read_bytes() == before and [p.name for p in tmp_path.glob("*kept*")] == [path.name]


# --- one submission and the next --------------------------------------------------------------------------------------

SABOTAGE = """
import os, random, sys, builtins, numpy as np, torch, autograder.sandboxed.recording, autograder.sandboxed.probing
random.seed(0); torch.manual_seed(0); np.random.seed(0)
random.random = lambda: 0.5
torch.set_default_dtype(torch.float64)
torch.zeros = np.zeros = builtins.len = None
torch.set_num_threads(2)
os.environ["MARK"] = "left"
os.chdir("/")
sys.path.clear()
sys.modules["math"] = None
autograder.sandboxed.recording.encode = autograder.sandboxed.probing.Student.__getattr__ = None
"""
LOOK = """
import os, random, sys, math, numpy as np, torch
return [random.random(), torch.rand(1).item(), np.random.rand(), str(torch.get_default_dtype()),
        torch.zeros(1).tolist(), np.zeros(1).tolist(), torch.get_num_threads(), len(sys.path) > 0,
        os.environ.get("MARK"), os.getcwd() != "/", sorted(os.listdir()), torch.is_grad_enabled()]
"""


def test_one_submission_cannot_affect_the_next(observer):
    before = observer.observe(mean(LOOK)).observations["means"]
    assert before.state == "returned", before.error
    for _ in range(3):  # on each of the workers
        vandal = observer.observe(code(mean="mean = 1\n" + SABOTAGE + "mean.x = torch.x = 1\ndef mean(n): len()"))
        assert vandal.observations["means"].state != "returned"
        observer.observe(mean(SABOTAGE))
        after = observer.observe(mean(LOOK)).observations["means"]
        assert after.value == before.value


def test_one_probe_starts_like_another_whatever_came_before(observer):
    draws = "import random, torch, numpy as np\nreturn [random.random(), torch.rand(1).item(), np.random.rand()]"
    quiet = observer.observe(mean(draws)).observations["means"]
    body = "import torch, random\n    random.seed(3); torch.rand(9); torch.set_default_dtype(torch.float64)"
    body += "\n    torch.set_grad_enabled(False); torch.set_default_device('meta')\n    return x + x"
    busy = observer.observe(code(double=f"def double(x):\n    {body}", mean=mean(draws).pieces[-1][2]))
    assert busy.observations["doubles"].state == "returned"
    assert busy.observations["means"].value == quiet.value


def test_the_answers_of_two_at_once_are_not_mixed_up(observer):
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda n: observer.observe(mean(f"return {n}")).observations["means"].value, range(12))
        assert list(answers) == list(range(12))


# --- reading, and the grader's own faults -----------------------------------------------------------------------------


def test_a_notebook_is_read_behind_the_walls(observer):
    assert observer.read(solved()) == code()
    with pytest.raises(Unreadable, match="damaged or cut off"):
        observer.read(solved()[:100])


def test_what_was_read_is_kept(stored):
    bad = solved()[:100]
    first = stored.read(solved())
    with pytest.raises(Unreadable, match="damaged or cut off") as refused:
        stored.read(bad)
    assert stored.read(solved()) == first and len(stored.asked) == 2
    with pytest.raises(Unreadable) as again:
        stored.read(bad)
    assert str(again.value) == str(refused.value) and len(stored.asked) == 2
    assert stored.read(solved(mean="def mean(n): return 1.5")) != first and len(stored.asked) == 3
    twin = object.__new__(Observer)
    twin.__dict__ = {**stored.__dict__, "functions": ["double"]}
    assert twin.read(solved()) != first and len(stored.asked) == 4


def test_what_the_gradebook_shows_comes_with_the_code(stored, observer):
    """A second fork for it would cost more than parsing the file. Each file's cells are handed out once, and few wait."""
    stored.shown = {}
    assert stored.read(solved()) == code()
    assert stored.handed_in(solved()) == observer.handed_in(solved()) and len(stored.asked) == 1 and stored.shown == {}
    assert stored.handed_in(solved()) == observer.handed_in(solved()) and len(stored.asked) == 2
    bad = solved()[:100]
    with pytest.raises(Unreadable, match="damaged or cut off"):
        stored.read(bad)
    with pytest.raises(Unreadable, match="damaged or cut off"):
        stored.handed_in(bad)
    assert len(stored.asked) == 3
    stored.shown = dict.fromkeys(map(str, range(MOST_SHOWN)), {})
    stored.read(solved(mean="def mean(n): return 1.5"))
    assert not stored.asked[-1].get("shown") and len(stored.shown) == MOST_SHOWN


def test_what_cannot_be_shown_costs_nobody_what_is_graded(stored):
    """The fork ends after the code: it is read once more by itself."""
    observer_s, stored.shown = stored._ask, {}

    def ask(job, *how):
        state, answer, *rest = observer_s(job, *how)
        return ("timed out" if job.get("shown") else state), answer, *rest

    stored._ask = ask
    assert stored.read(solved()) == code()
    assert [job.get("shown", False) for job in stored.asked] == [True, False] and stored.shown == {}


def test_what_was_read_depends_on_the_reader(stored, monkeypatch):
    stored.read(solved())
    monkeypatch.setattr("autograder.grading.observer._reader_fingerprint", lambda: "another notebook.py")
    stored.read(solved())
    assert len(stored.asked) == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"pieces": 3}', b"\xff"])
def test_a_damaged_reading_is_made_again(stored, damage):
    first = stored.read(solved())
    (path,) = stored.store.glob("*.json")
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert stored.read(solved()) == first and len(stored.asked) == 2
    assert path.read_bytes() == whole


def test_without_workers_the_store_is_all_there_is(stored, toy):
    recording = stored.observe(stored.read(solved()))
    about = toy.tests, "probes_public", FUNCTIONS, stored.store
    with Observer(*about, needs=stored.needs, limit=LIMIT, workers=0) as observer:
        assert observer.observe(observer.read(solved())) == recording
        for ask in (lambda: observer.read(solved(mean="x")), lambda: observer.observe(mean("return 2"))):
            with pytest.raises(NotKept):
                ask()


def test_a_long_statement_is_read_whole(observer):
    long = f"WORDS = {list(range(20_000))}\nmean = lambda numbers: WORDS and 1.5"
    assert observer.observe(observer.read(solved(mean=long))).observations["means"].value == 1.5
    with pytest.raises(Unreadable, match="bytes of code: shorten cell 4"):
        observer.read(solved(mean=f"WORDS = '{'x' * 9_000_000}'\nmean = lambda numbers: WORDS and 1.5"))


def test_too_much_of_everything_is_the_submissions_own_ending(stored):
    """What all its probes answered together is bounded, and what is over is not asked again."""
    lists = "return [list(range(8_000)) for _ in range(10)]"
    observed = stored.observe(code(double=f"def double(x):\n    {lists}", mean=mean(lists).pieces[-1][2])).observations
    assert {name: o.state for name, o in observed.items()} == {
        "doubles": "returned",
        "quadruples": "returned",
        "means": "crashed",
    }
    assert "answered too much" in observed["means"].error.message and len(stored.asked) == 1


# --- load ---------------------------------------------------------------------------------------------------------------


def twin_that_says(observer: Observer, store, *told: tuple) -> Observer:
    """The observer with the answers of its forks given beforehand; `tries` collects whether each was asked alone."""
    twin = object.__new__(Observer)
    twin.__dict__ = {**observer.__dict__, "store": store, "tries": []}
    answers = iter(told)

    def ask_once(job, body, budget, alone):
        twin.tries.append(alone)
        given = next(answers)
        return observer._ask_once(job, body, budget, alone) if given is None else given

    twin._ask_once = ask_once
    return twin


HELD_UP = ("timed out", b"", 0.0, LIMIT)
WALLS = struct.pack("<I", len(encode({"walls": True}))) + encode({"walls": True})


def test_a_process_whose_walls_never_stood_says_nothing_of_the_submission(observer, tmp_path):
    twin = twin_that_says(observer, tmp_path, HELD_UP, HELD_UP)
    with pytest.raises(GraderFault, match="the process that was to build it timed out"):
        twin.observe(code())
    assert twin.tries == [False, True] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", [HELD_UP, ("timed out", WALLS, 0.1, LIMIT)], ids=["before the walls", "behind them"])
def test_what_load_ended_is_tried_once_more_alone(observer, tmp_path, first):
    twin = twin_that_says(observer, tmp_path, first, None)
    assert twin.observe(code()).observations["means"].value == 1.5
    assert twin.tries == [False, True] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("cpu", "tries"), [(LIMIT, [False]), (0.1, [False, True])])
def test_only_who_used_the_time_has_timed_out_at_once(observer, tmp_path, cpu, tries):
    ending = ("timed out", WALLS, cpu, LIMIT)
    twin = twin_that_says(observer, tmp_path, ending, ending)
    assert twin.observe(code()).observations["means"].state == "timed out" and twin.tries == tries


def test_who_is_alone_runs_beside_nobody():
    turns, seen, running = Turns(), [], []

    def run(alone: bool) -> None:
        with turns.taken(alone):
            running.append(alone)
            time.sleep(0.001)
            seen.append((alone, len(running)))
            running.remove(alone)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, [number % 4 == 0 for number in range(80)]))
    assert len(seen) == 80 and {beside for alone, beside in seen if alone} == {1}


# --- lost workers -----------------------------------------------------------------------------------------------------


def test_a_lost_worker_is_replaced_and_its_submission_tried_once_more(toy):
    with Observer(toy.tests, "probes_public", FUNCTIONS, sandbox="none", limit=LIMIT) as observer:
        assert observer.observe(code()).observations["means"].value == 1.5
        assert observer.observe(mean("import os; os.kill(0, 9)")).observations["means"].state == "out of memory"
        os.killpg(observer._servers[0].pid, signal.SIGKILL)
        assert observer.observe(code()).observations["means"].value == 1.5
        assert len(observer._servers) == 2
    assert observer._servers == []


def test_a_worker_lost_twice_is_the_graders_fault_and_the_next_has_a_new_one(observer, monkeypatch):
    ask, asked = Worker.ask, []

    def lost(self, *_):
        asked.append(self.sock)
        raise EOFError("the other side closed the connection")

    twin = object.__new__(Observer)
    twin.__dict__ = {**observer.__dict__, "_idle": queue.Queue()}
    twin._start = lambda workers: [socket.socket()]
    twin._idle.put(Worker(socket.socket()))
    monkeypatch.setattr(Worker, "ask", lost)
    for times in (2, 4):  # the second one that asks does not wait for ever for a worker that is gone
        with pytest.raises(GraderFault, match="lost twice .*run the command again"):
            twin.observe(code())
        assert len(set(map(id, asked))) == times
    monkeypatch.setattr(Worker, "ask", ask)


def test_no_temporary_file_is_left_behind(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # nowhere to keep fonts
    needs = Needs(packages=SLOW)
    with Observer(toy.tests, "probes_public", FUNCTIONS, needs=needs, limit=LIMIT, workers=1) as observer:
        assert observer.observe(code()).observations["means"].value == 1.5
        assert [path.name[:11] for path in tmp_path.iterdir()] == ["autograder-"]
    assert list(tmp_path.iterdir()) == []


def test_a_probe_file_that_does_not_import_is_named_with_its_line(tmp_path):
    toy = Course(write_course(tmp_path, "lame", probes_public="import math\nx = math.nothing")).module("lame")
    with (
        Observer(toy.tests, "probes_public", FUNCTIONS) as observer,
        pytest.raises(CourseError, match="has no attribute 'nothing'.*lame/probes_public.py, line 2"),
    ):
        observer.observe(code())


# --- the budget of a whole submission ---------------------------------------------------------------------------------


def test_endless_loops_everywhere_share_one_budget(observer, monkeypatch):
    """The first is stopped at its own limit, the next by what is left for all, the last is not asked."""
    monkeypatch.setattr("autograder.grading.observer.BUDGET", 1.5)
    jobs, ask = [], observer._ask
    twin = object.__new__(Observer)
    twin.__dict__ = {**observer.__dict__, "_ask": lambda job, *how: (jobs.append(job), ask(job, *how))[1]}
    endless = "def {}(x):\n    while True: pass"
    observed = twin.observe(code(double=endless.format("double"), quadruple=endless.format("quadruple"))).observations
    assert {name: o.state for name, o in observed.items()} == dict.fromkeys(observed, "timed out") and len(
        observed
    ) == 3
    assert f"longer than {LIMIT:g} s" in observed["doubles"].error.message
    assert [job["probes"] for job in jobs] == [["doubles", "quadruples", "means"], ["quadruples", "means"]]
    message = observed["means"].error.message
    assert f"{1.5 * LIMIT:g} s" in message and message.endswith("`double`, `quadruple`")
    assert observed["quadruples"].error == observed["means"].error
    assert observed["doubles"].seconds > observed["quadruples"].seconds > observed["means"].seconds == 0
