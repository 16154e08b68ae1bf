"""The full training check, with a network of a few hundred weights."""

import io
import json
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_walls
from rich.console import Console
from safetensors.numpy import load_file
from toy_course import notebook
from toy_training import NAME, SOURCE, write_training_course

from autograder.classes.grade import feedback_file
from autograder.classes.submissions import find_submissions
from autograder.classes.train import bonuses, train_and_write
from autograder.cli import main
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.grading.report import empty_page, keep_sections, with_section
from autograder.sandboxed.notebook import Code
from autograder.sandboxed.recording import encode
from autograder.sandboxed.training import GIVEN, Preset
from autograder.training import images, judge, run
from autograder.training.full import FullTraining, Settings, calibrate, preset_of, recipe_of
from autograder.training.judge import GROWTH_BYTES, Judgement, growth, usual_likeness
from autograder.training.run import Kept, Log

CELLS = [cell.partition("\n")[2] for cell in SOURCE.split("# %%")[1:] if "[markdown]" not in cell.partition("\n")[0]]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return Course(write_training_course(tmp_path_factory.mktemp("training"))).module(NAME)


@pytest.fixture(scope="module")
def recipe(module):
    return recipe_of(module)


def settings(recipe, preset: str = "points", **how) -> Settings:
    how = {"seed": 7, "device": "cpu", "sandbox": "full", "threads": 1, "limit": 120.0} | how
    return Settings(preset_of(recipe, preset), **how)


@pytest.fixture(scope="module")
def training(module, recipe, tmp_path_factory):
    how = settings(recipe)
    with FullTraining(module, recipe, how, tiny(how), tmp_path_factory.mktemp("runs")).open(str) as opened:
        yield opened


def tiny(how: Settings) -> tuple[images.Images, images.Images]:
    return images.find_images(how.preset, Path("data"), named=False)


def changed(training, *pairs: tuple[str, str]) -> Code:
    """The reference with some text of it replaced."""
    pieces = []
    for cell, line, text in training.contents.reference.pieces:
        for old, new in pairs:
            text = text.replace(old, new)
        pieces.append((cell, line, text))
    whole = "\n".join(text for _, _, text in pieces)
    assert all(new in whole for _, new in pairs), "the text to replace is not there"
    return replace(training.contents.reference, pieces=tuple(pieces))


def failed(judgement: Judgement) -> dict[str, str]:
    return {finding.name: finding.said for finding in judgement.findings if not finding.holds}


# --- what holds -------------------------------------------------------------------------------------------------------


@needs_walls
def test_a_right_run_holds_and_is_not_run_again(training):
    first = training.train(training.contents.reference)
    log, judgement = first.log, first.judgement
    assert log.complete and not failed(judgement) and judgement.holds
    assert {finding.name for finding in judgement.findings} == {"end", "memory", "accuracy", "figures", "weights", "batches"}
    assert len(log.epochs) == 4 and sorted(judgement.accuracy) == [2, 3, 4]
    again = training.train(training.contents.reference)
    assert again.log.seconds == log.seconds and again.judgement.accuracy == judgement.accuracy
    assert all(np.array_equal(array, again.weights[name]) for name, array in first.weights.items())
    assert len(list(training.store.glob("*/epoch-*"))) == 1, "only the last weights stay"


@needs_walls
def test_other_code_has_another_seed(training):
    """Who read a seed, and brings along weights trained from it, has changed the code."""
    one, other = training.contents.reference, changed(training, ("return history", "return dict(history)"))
    assert training.seed_of(one) != training.seed_of(other)


def test_a_kept_run_is_taken_for_the_same_steps_alone(tmp_path):
    """A helper of the recipe is a part of it, here or in a shared file; a floor is not."""
    module = Course(write_training_course(tmp_path)).module(NAME)
    recipe, path = recipe_of(module), module.tests / "training.py"
    how = settings(recipe)
    training = FullTraining(module, recipe, how, tiny(how), tmp_path / "runs")
    keys, text = [training.kept(training.contents.reference, 1).folder], path.read_text()
    path.write_text(text.replace("floor=0.05", "floor=0.5"))
    assert training.kept(training.contents.reference, 1).folder == keys[0]
    shared = tmp_path / "tests" / "common" / "parts.py"
    shared.parent.mkdir()
    takes = "from .parts import steps"
    for ours, theirs in (("def help(): return 1", ""), (takes, "steps = 1"), (takes, "steps = 2")):
        path.write_text(f"{ours}\n{text}")
        shared.write_text(theirs)
        keys.append(training.kept(training.contents.reference, 1).folder)
    assert len(set(keys)) == 4


WRONG = {
    # name: what is replaced, what is found, words of it
    "another network's figures": (
        [("history = {", "import random\n    history = {"), ("loss_sum / seen, correct / seen", "loss_sum / seen, 0.9")],
        "figures",
        "test accuracy is said to be 0.9000, and is",
    ),
    "seconds made up": ([("time.perf_counter() - start", "1000.0")], "figures", "said to have taken 1000.0 s"),
    "starts too well": ([("loss_sum / seen", "0.01")], "figures", "first training loss is 0.010"),
    "trains a copy": (
        [("history = {", "import copy\n    net = copy.deepcopy(net)\n    history = {")],
        "weights",
        "where they were before",
    ),
    "weights of its own": (
        [
            (
                "return history",
                "torch.manual_seed(3)\n    for weight in net.parameters():\n        weight.data = torch.randn_like(weight)\n"
                "    return history",
            )
        ],
        "weights",
        "not descended from it",
    ),
    "leaves early": (
        [("images, labels = images.to", "if training and seen > 80: break\n                    images, labels = images.to")],
        "batches",
        "24 batches in training mode, 32 were due",
    ),
    "tests in training mode": ([("net.train(training)", "net.train()")], "batches", "Is the test run in training mode"),
    "NaN": (
        [("return history", "net[0].weight.data.fill_(float('nan'))\n    return history")],
        "weights",
        "0.weight holds numbers that are not finite",
    ),
    "another network": (
        [("return history", "net[4] = torch.nn.Linear(1024, 11)\n    return history")],
        "weights",
        "4.weight has the shape (11, 1024)",
    ),
    "trains a part": (
        [("history = {", "net[1].requires_grad_(False)\n    history = {")],
        "weights",
        "the last epoch did not change 1.weight, and 1 more",
    ),
    "learns no statistics": (
        [("history = {", "net[1].momentum = 0.0\n    history = {")],
        "weights",
        "the last epoch did not change 1.running_mean, and 1 more: has batch norm's momentum",
    ),
    "raises": ([("history = {", "raise ValueError('no idea')\n    history = {")], "end", "ValueError: no idea (cell "),
    "returns nothing": ([("return history", "return None")], "end", "no history of one epoch came back: a NoneType"),
    "returns garbage": (
        [("return history", "return {'train_loss': 'much'}")],
        "end",
        "train_loss is no list with one float",
    ),
    "infinite figures": (
        [("return history", "history['test_loss'] = [1e999]\n    return history")],
        "figures",
        "test loss is said to be inf",
    ),
    "returns before training": (
        [("history = {", f"return dict.fromkeys({run.FIGURES}, [0.5])\n    history = {{")],
        "weights",
        "where they were before",
    ),
    "ends the process": (
        [("history = {", "import os; os._exit(0)\n    history = {")],
        "end",
        "the process ended in epoch 1",
    ),
    "writes what the grader reads": (
        [("history = {", "import os, struct; os.write(3, struct.pack('<I', 40) + bytes(40))\n    history = {")],
        "end",
        "something else than an epoch's weights",
    ),
    "takes memory": (
        [("history = {", "kept = [torch.ones(2**28) for _ in range(9)]\n    history = {")],
        "end",
        "",
    ),
}


@needs_walls
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_run_is_told_and_the_next_one_holds(training, name):
    pairs, found, words = WRONG[name]
    code = changed(training, *pairs)
    outcome = training.train(code)
    log, judgement = outcome.log, outcome.judgement
    assert found in failed(judgement), (name, log.state, log.why, judgement)
    assert words in failed(judgement)[found]
    assert not judgement.holds
    if name == "takes memory":
        assert "memory ran out (1 GiB were given)" in failed(judgement)["memory"]
    assert failed(training.train(code).judgement) == failed(judgement), "nor does it when it is taken from what is kept"
    assert training.train(training.contents.reference).judgement.holds


@needs_walls
@pytest.mark.long
def test_a_run_that_never_ends_is_stopped_and_goes_on_with_more_time(module, recipe, tmp_path):
    how = settings(recipe, limit=6.0)
    with FullTraining(module, recipe, how, tiny(how), tmp_path).open(str) as training:
        endless = changed(training, ("history = {", "while len(train_loader): print('on and on')\n    history = {"))
        outcome = training.train(endless)
        assert outcome.log.state == "timed out" and "having been given 6 s" in failed(outcome.judgement)["end"]
        training.limit = 8.0
        assert training.train(endless).log.limit == 8.0


@needs_walls
@pytest.mark.long
def test_a_run_that_was_stopped_after_two_epochs_goes_on_after_them(module, recipe, tmp_path):
    """What the next epoch needs is kept, and what was measured of the first two is not taken for the last ones."""
    slow = "fit.calls = getattr(fit, 'calls', 0) + 1\n    if fit.calls == 3: time.sleep(600)\n    history = {"
    with FullTraining(module, recipe, settings(recipe, limit=20.0), tiny(settings(recipe)), tmp_path).open(str) as training:
        code = changed(training, ("history = {", slow))
        stopped = training.train(code)
        assert stopped.log.may_go_on and len(stopped.log.epochs) == 2 and sorted(stopped.judgement.accuracy) == [1, 2]
        assert training.train(code).log == stopped.log, "not before it is given more"
        training.limit = 300.0
        whole = training.train(code)
        assert whole.log.seconds[:2] == stopped.log.seconds and len(whole.log.epochs) == 4
        assert sorted(whole.judgement.accuracy) == [2, 3, 4] and not failed(whole.judgement)


@needs_walls
def test_what_is_held_back_is_never_there(training, tmp_path):
    """Neither in the files that the submission can read, nor elsewhere in its process."""
    parts = images.split(training.settings.preset, 7, *training.images)
    held_back = {image.tobytes() for image in parts.held_back.images}
    images.give(parts, tmp_path)
    given = load_file(tmp_path / GIVEN)
    there = {image.tobytes() for name, array in given.items() if name.endswith("_images") for image in array}
    assert (len(held_back), len(there)) == (25, 145) and not held_back & there
    look = (
        "import glob, os\n"
        "found = [p for p in glob.glob('/tmp/**/*', recursive=True) if os.path.isfile(p)]\n"
        "raise ValueError(f'{len(test_loader.dataset)} images, files {[os.path.basename(p) for p in found]}')\n"
    )
    judgement = training.train(changed(training, ("history = {", look.replace("\n", "\n    ") + "history = {"))).judgement
    assert "25 images, files []" in failed(judgement)["end"]


@needs_walls
def test_the_floor_counts(module, recipe, tmp_path):
    how = settings(recipe, "out_of_reach")
    with FullTraining(module, recipe, how, tiny(how), tmp_path).open(str) as training:
        judgement = training.train(training.contents.reference).judgement
    assert list(failed(judgement)) == ["accuracy"] and "95% is the least" in failed(judgement)["accuracy"]


def test_an_epoch_that_began_before_the_grader_saw_it_is_believed(tmp_path, monkeypatch):
    """It goes on in its process while the grader still keeps what came of the one before."""
    clock = iter([0.0, 1.0, 3.0, 3.1, 9.0, 11.0, 11.1])  # the start; begun; ended and message of one epoch, and of the next
    monkeypatch.setattr(run.time, "monotonic", lambda: next(clock))
    log = Log()
    hearing = run._Hearing(log, Kept(tmp_path), lambda images, log: None)
    hearing.first = b"the walls stand"
    figures = dict.fromkeys(run.FIGURES, [1.0])
    for message in ({"begun": 0}, *({"ended": 1}, {"epoch": 1, "history": figures, "images": 1, "net": {}}) * 2):
        message = message | ({"epoch": len(log.epochs) + 1} if "epoch" in message else {})
        data = encode(message, 10**6)
        assert hearing.hear(struct.pack("<I", len(data)) + data), hearing.wrong
    assert [round(seconds, 1) for seconds in (*log.seconds, *log.most)] == [2.0, 5.9, 3.0, 6.0]


def test_memory_that_grows_within_an_epoch():
    def grown(log: Log) -> float:
        return growth(log, log.memory)

    def log(slope: float) -> Log:
        """Memory as an allocator shows it: what the first epoch took is not given back."""
        first = [[t / 10, 2**30 + slope * t] for t in range(100)]
        return Log(spans=[[0.0, 10.0], [10.0, 20.0]], memory=first + [[t / 10, 2**30 + slope * 99] for t in range(100, 200)])

    assert grown(log(0)) == 0
    assert grown(log(2**22)) > 5 * GROWTH_BYTES and grown(log(2**18)) < GROWTH_BYTES / 2
    for share in (0.3, 0.5, 0.7):
        settled = log(0)
        for moment, sample in enumerate(settled.memory):
            sample[1] += 2**28 * (moment >= 100 * share)
        assert grown(settled) == 0, "what is taken once is no growth"
    by_chance = log(0)
    for moment in (0, 60, 70, 99):
        by_chance.memory[moment][1] = 2**32
    assert grown(by_chance) == 0, "a peak is no growth"
    assert grown(Log()) == grown(Log(spans=[[0.0, 0.01]])) == 0


@pytest.mark.parametrize("looks", [20, 60, 400])
def test_what_goes_up_and_down_within_a_batch_neither_is_nor_hides_growth(looks):
    """Eight batches of 24 MiB, at whatever moments of theirs the looks fall, and half of it kept of each or nothing."""
    for phase in np.linspace(0, 1, 11):
        times = (np.arange(looks) + phase) / looks
        swing = 2 * 2**20 * 12 * (1 - np.abs(1 - 2 * (8 * times % 1)))
        for kept, grows in ((0, False), (12 * 2**20, True)):
            memory = [[float(t), float(m)] for t, m in zip(times, 2**28 + swing + kept * np.floor(8 * times), strict=True)]
            log = Log(spans=[[0.0, 1.0]], memory=memory)
            assert (growth(log, log.memory) > GROWTH_BYTES) == grows, (phase, kept)


@needs_walls
def test_a_worker_that_starts_slowly_moves_no_epoch_away_from_its_memory(module, recipe, tmp_path, monkeypatch):
    """Epochs are told by the grader's clock, memory by the worker's, and both begin with the process that trains."""
    started, clock = run.Worker.probes, time.monotonic

    def slowly(worker: run.Worker) -> list[list[str]]:
        ready = started(worker)
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000)
        return ready

    how = settings(recipe)
    with FullTraining(module, recipe, how, tiny(how), tmp_path).open(str) as training:
        monkeypatch.setattr(run.Worker, "probes", slowly)
        log = training.train(training.contents.reference).log
    assert log.complete and log.spans[-1][1] < 1000


def test_likeness_is_one_for_the_same_and_nothing_for_a_stranger():
    rng = np.random.default_rng(0)
    one, other = ({"w": rng.normal(size=(40, 50)), "b": rng.normal(size=3)} for _ in range(2))
    assert usual_likeness(one, one) == pytest.approx(1) and abs(usual_likeness(one, other)) < 0.1
    assert usual_likeness({"w": np.zeros((40, 50))}, one) == 0 and usual_likeness({}, one) == 0


# --- killed in the middle ---------------------------------------------------------------------------------------------


@needs_walls
@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(module, recipe, tmp_path):
    """The grader is killed after the second epoch; the one that takes over ends with the same weights."""
    def script(store: Path) -> list[str]:
        return [sys.executable, "-c", KILLED.format(root=str(module.root), name=NAME, store=str(store))]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(script(whole), check=True)
    started = subprocess.Popen(script(cut))
    wait_for(lambda: any(cut.glob("*/epoch-002.safetensors")) and any(cut.glob("*/log.json")), started)
    started.send_signal(signal.SIGKILL)
    started.wait()
    subprocess.run(script(cut), check=True)
    one, other = (Kept(next(folder.iterdir())) for folder in (whole, cut))
    assert one.log().complete and other.log().complete
    assert len(other.log().spans) < 4 == len(other.log().epochs), "it was taken up"
    assert all(np.array_equal(array, other.weights()[4][name]) for name, array in one.weights()[4].items())


KILLED = """
from pathlib import Path
from dataclasses import replace
from autograder.training.full import FullTraining, Settings, preset_of, recipe_of
from autograder.course.course import Course
from autograder.training.images import find_images
module = Course(Path({root!r})).module({name!r})
recipe = recipe_of(module)
settings = Settings(preset_of(recipe, "points"), seed=7, device="cpu", sandbox="full", threads=1, limit=120.0)
training = FullTraining(module, recipe, settings, find_images(settings.preset, Path("data"), named=False), Path({store!r}))
reference = training.contents.reference
pieces = [(c, n, t.replace("history = {{", "time.sleep(0.5)\\n    history = {{")) for c, n, t in reference.pieces]
with training.open(str):
    training.train(replace(reference, pieces=tuple(pieces)))
"""


def wait_for(there, process) -> None:
    end = time.monotonic() + 300
    while not there():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


# --- a class ----------------------------------------------------------------------------------------------------------


@needs_walls
@pytest.mark.long
def test_a_class_gets_pages_points_and_a_table(module, recipe, tmp_path):
    for student, cells in {"ada": CELLS, "bob": [c.replace("return history", "return None") for c in CELLS]}.items():
        folder = tmp_path / "class" / student / NAME
        folder.mkdir(parents=True)
        (folder / "train.ipynb").write_bytes(notebook(*cells))
    (tmp_path / "class" / "eve" / NAME).mkdir(parents=True)
    submissions = find_submissions(module, [tmp_path / "class"])
    how, out = settings(recipe), tmp_path / "grades"
    console = Console(width=200, file=io.StringIO())
    feedback_file(out, "ada").parent.mkdir(parents=True)
    feedback_file(out, "ada").write_text('<html><body class="ag"><div class="page">graded before\n</div></body></html>\n')
    results = train_and_write(module, recipe, how, tiny(how), submissions, out, 7, console)
    assert [(each.student, each.holds) for each in results] == [("ada", True), ("bob", False), ("eve", False)]
    page = feedback_file(out, "ada").read_text()
    assert "graded before" in page and "3 / 3 bonus" in page and page.count("<img") == 3 and page.endswith("</html>\n")
    assert "no history of one epoch came back" in feedback_file(out, "bob").read_text()
    assert "has no notebook" in (out / "training" / "eve.json").read_text()
    assert "eve" in (out / "training" / "class.html").read_text()
    kept = json.loads((out / "training" / "ada.json").read_text())
    assert kept["bonus"] == 3 and len(kept["run"]["epochs"]) == 4
    assert bonuses(out) == {"ada": 3, "bob": 0, "eve": 0}
    train_and_write(module, recipe, how, tiny(how), submissions, out, 7, console)
    assert feedback_file(out, "ada").read_text() == page, "a second time changes nothing"


def test_a_graded_page_keeps_its_sections():
    page = with_section(empty_page("toy", "ada"), "claim", "my claim\n")
    page = with_section(page, "training", "my training\n")
    assert page.index("my training") < page.index("my claim") < page.index("</body>")
    kept = keep_sections(page, empty_page("toy", "bob"))
    assert "my training" in kept and "my claim" in kept and "bob" in kept
    assert keep_sections(kept, empty_page("toy", "bob")) == kept
    assert with_section(kept, "claim", "another\n").count("<!-- claim -->") == 1


@needs_walls
def test_calibration_is_written_run_by_run(module, recipe):
    how = settings(recipe)
    path = calibrate(module, recipe, how, tiny(how), [1, 2], str)
    found = json.loads(path.read_text())["points"]
    assert list(found["reference"]) == ["seed 1", "seed 2"] and found["reference"]["seed 1"]["caught by"] == []


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "shrt"], "--preset shrt: there is rehearsal, points, out_of_reach, large"),
        (["--preset", "large"], "CIFAR-10 is not in"),
        (["--preset", "large", "--data", "nowhere.npz"], "CIFAR-10 is not in nowhere.npz/"),
        (["--device", "mps"], "--device mps: there is none here that PyTorch can use; there is cpu"),
        (["--device", "cuda"], "--device cuda: there is none here that PyTorch can use; there is cpu"),
        (["--batch-size", "0"], "--batch-size must be positive"),
        (["--calibrate", "0"], "5 or more for a floor"),
        (["nobody.ipynb"], "nobody.ipynb does not exist"),
    ],
)
def test_a_wrong_word_is_one_line(module, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(module.root)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert main(["train", NAME, *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1


def test_damaged_data_are_named(recipe, tmp_path):
    large = preset_of(recipe, "large")
    broken = tmp_path / "cifar.npz"
    broken.write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(CourseError, match=r"cifar\.npz is damaged, or no \.npz file of CIFAR-10"):
        images.find_images(large, broken, named=True)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    other = {name: np.zeros((3, 32, 32, 3), np.uint8) for name in names}
    np.savez(tmp_path / "few.npz", **other)
    with pytest.raises(CourseError, match="does not hold CIFAR-10 in its official order"):
        images.find_images(large, tmp_path / "few.npz", named=True)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(CourseError, match="cifar-10-batches-py is damaged"):
        images.find_images(large, tmp_path, named=True)


def test_a_module_without_training_says_so(toy):
    with pytest.raises(CourseError, match="toy has no full training: tests/toy/training.py would say what it is"):
        recipe_of(toy)


def test_a_gpu_s_memory_is_watched_from_outside(monkeypatch):
    """By a stand-in for the driver: no machine of ours has a GPU."""
    free = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (next(free), 2 * 10**9))
    monkeypatch.setattr(run, "DEVICE_SECONDS", 0.01)
    with run._watched("cuda") as samples:
        time.sleep(0.2)
    assert [used for _, used in samples[:3]] == [10**6, 2 * 10**6, 3 * 10**6]
    with run._watched("cpu") as samples:
        pass
    assert samples == []
    steep = [[t / 10, 2**22 * t] for t in range(100)]
    log = Log(state="finished", spans=[[0.0, 10.0]], device_memory=steep)
    finding = judge._memory(log, Preset("small", 1, 2, 32, 1, 1, 0.1))
    assert not finding.holds and "MiB more on the GPU" in finding.said


def test_only_the_gpu_is_let_in(monkeypatch):
    assert run.device_files("cpu") == []
    assert all(path.parts[1] == "dev" and path.exists() for path in run.device_files("cuda"))


@needs_walls
def test_too_little_memory_for_the_batch_says_what_would_help(module, recipe, tmp_path):
    how = settings(recipe, "large")
    how = replace(how, preset=replace(how.preset, batch_size=5000, memory_gib=0.1))  # 59 MiB of floats, without a layer
    black = images.Images(np.zeros((5000, 32, 32, 3), np.uint8), np.zeros(5000, np.int64))
    training = FullTraining(module, recipe, how, (black, black), tmp_path)
    words = "a batch of 5000 images of 32 pixels does not fit .* --batch-size 2500"
    with pytest.raises(CourseError, match=words), training.open(str):
        pass
