"""Training elsewhere: the same runs and the same judgement as here, whatever is lost or forged on the way."""

import contextlib
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_walls
from here import Here
from rich.console import Console
from safetensors.numpy import load
from test_train import CELLS, changed, settings, tiny
from toy_course import notebook
from toy_training import NAME, write_training_course

from autograder.classes import train
from autograder.classes.submissions import find_submissions
from autograder.cli import main
from autograder.cluster import node
from autograder.cluster.parcels import pack, unpack
from autograder.cluster.sending import OTHER_FORM
from autograder.course.course import Course
from autograder.errors import GraderFault
from autograder.sandboxed.training import MAX_MESSAGE_BYTES
from autograder.training import images, on_nodes
from autograder.training.full import FullTraining, recipe_of
from autograder.training.on_nodes import Run, Runs
from autograder.training.run import FIGURES, Kept

pytestmark = [needs_walls, pytest.mark.long]

BROKEN = [cell.replace("return history", "return None") for cell in CELLS]
CLASS = {"ada": notebook(*CELLS), "bob": notebook(*BROKEN), "cem": notebook(*CELLS), "fay": b"{not a notebook"}
SEED = 7


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    root = write_training_course(tmp_path_factory.mktemp("elsewhere"))
    for student, data in CLASS.items():
        path = root / "submitted" / student / NAME / "train.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return Course(root).module(NAME)


@pytest.fixture(scope="module")
def here(module, tmp_path_factory) -> dict[str, dict]:
    """The class as this machine trains it."""
    return trained(module, tmp_path_factory.mktemp("here"))


def trained(module, out: Path, nodes: Here | None = None, tell: list[str] | None = None) -> dict[str, dict]:
    """What is written of each student, but for what the clock and the memory say."""
    recipe, patch = recipe_of(module), pytest.MonkeyPatch()
    how, console = settings(recipe), Console(width=400, file=io.StringIO())
    with patch.context() as patched:
        if nodes:
            patched.setattr(train, "open_nodes", lambda *_: contextlib.nullcontext(nodes))
        train.train_and_write(module, recipe, how, tiny(how), find_submissions(module, []), out, SEED, console)
    if tell is not None:
        tell += console.file.getvalue().splitlines()
    return {path.stem: plain(json.loads(path.read_text())) for path in sorted((out / "training").glob("*.json"))}


def plain(said: dict) -> dict:
    if "run" in said:
        for name in ("seconds", "most", "memory", "spans"):
            del said["run"][name]
        for epoch in said["run"]["epochs"]:
            del epoch["seconds"]
        for finding in said["findings"]:
            finding["said"] = re.sub(r"[\d.,]+ ([MG]iB|s)\b", "", finding["said"])
        del said["remarks"]  # on a pace that was measured on another machine
    return said


@pytest.fixture
def training(module, tmp_path):
    """For runs of code that is handed in by no one."""
    recipe = recipe_of(module)
    how = settings(recipe)
    with FullTraining(module, recipe, how, tiny(how), tmp_path / "runs").open(str, elsewhere=True) as opened:
        yield opened


def outcome(training: FullTraining, nodes: Here, code=None):
    """What became of one run, and why there is none."""
    code = code or training.contents.reference
    run = Run(["ada"], code, training.seed_of(code))
    sent = Runs(training, nodes, print)
    assert [back for back in sent.back([run]) if back] == [[run]]
    return training.judged(code, run.seed) if not sent.problem(run) else None, sent.problem(run)


# --- the same as here -------------------------------------------------------------------------------------------------


def test_the_same_as_here_and_nothing_twice(module, here, tmp_path):
    elsewhere = trained(module, tmp_path, nodes := Here())
    assert elsewhere == here
    assert (here["ada"]["bonus"], here["bob"]["bonus"], here["cem"]["bonus"]) == (3, 0, 3)
    assert "problem" in here["fay"]
    assert len(nodes.sent) == 2, "ada's and cem's code is the same: one run"
    page = (tmp_path / "feedback" / "ada.html").read_text()
    assert trained(module, tmp_path, nodes := Here()) == here and nodes.sent == []
    assert (tmp_path / "feedback" / "ada.html").read_text() == page


def test_a_run_that_is_lost_once_goes_out_again(module, here, tmp_path):
    lost = iter([True])

    def die(blobs):
        if next(lost, False):
            raise TimeoutError("a time limit")

    said: list[str] = []
    assert trained(module, tmp_path, nodes := Here(die), said) == here
    assert len(nodes.sent) == 3 and "a shard was lost (a time limit): it goes out again" in said


def test_a_run_that_is_lost_for_ever_is_a_line(module, here, tmp_path):
    def die(blobs):
        if b"return None" in blobs[0]:
            raise RuntimeError("the node is gone")

    said: list[str] = []
    results = trained(module, tmp_path, nodes := Here(die), said)
    assert "bob" in results["bob"]["student"] and len(nodes.sent) == 3
    words = "train.ipynb was not trained: the node that trained it was lost 2 times (the node is gone)"
    assert words in results["bob"]["problem"] and any(line.startswith("bob: ") and words in line for line in said)
    assert {**results, "bob": 0} == {**here, "bob": 0}


def test_a_run_goes_on_where_it_was_stopped(training, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Kept, "lighten", lambda _: None)
        whole, _ = outcome(training, nodes := Here())
    about, blobs = unpack(nodes.came[0])
    files = dict(zip(about["files"], blobs, strict=True))
    kept = training.kept(training.contents.reference, whole.seed)
    log = replace(whole.log, state="timed out", limit=1.0, accuracy={})
    for name in ("epochs", "seconds", "most", "spans"):
        del getattr(log, name)[3:]
    for path in kept.folder.iterdir():
        path.unlink()
    for number in (2, 3):
        kept.add(log, number, files[f"epoch-{number:03d}.safetensors"])
    again, _ = outcome(training, Here())
    assert again.log.complete and len(again.log.epochs) == 4 and len(again.log.spans) == 1
    assert all(np.array_equal(array, again.weights[name]) for name, array in whole.weights.items())


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_a_node_that_cannot_train_is_left_out_by_name(module, here, tmp_path):
    refusals = iter([pack({"node": "node7", "lacks": ["torch is 2.6.0 there"]})])
    nodes, said = Here(), []
    nodes.answer = lambda parcel: next(refusals, None) or on_nodes.train(parcel)
    assert trained(module, tmp_path, nodes, said) == here
    assert nodes.left_out == ["node7"] and "node7 was left out: torch is 2.6.0 there" in said


def test_a_node_says_what_it_lacks(training, monkeypatch):
    sent = Runs(training, Here(), print)
    code = training.contents.reference
    _, order = sent._shard(iter([Run(["ada"], code, 1)]), [])
    parcel = pack({}, [sent._common, order])
    with monkeypatch.context() as patched:
        patched.setattr(node, "own_versions", lambda: {**on_nodes.own_versions(), "torch": "1.0"})
        assert "torch is 1.0 there" in unpack(on_nodes.train(parcel))[0]["lacks"][0]
        patched.undo()
        patched.setattr(node, "missing_walls", lambda: ["Landlock is not enabled"])
        assert unpack(on_nodes.train(parcel))[0]["lacks"] == ["Landlock is not enabled"]
    about, blobs = unpack(sent._common)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    answer = unpack(on_nodes.train(pack({}, [pack(about | {"device": "cuda"}, blobs), order])))[0]
    assert "--device cuda: there is none here" in answer["lacks"][0] and answer["node"]


def test_walls_that_fail_there_are_a_line(training, monkeypatch):
    def fail(*_):
        raise GraderFault("the sandbox could not be built")

    monkeypatch.setattr(on_nodes.Trainer, "train", fail)
    assert outcome(training, Here()) == (None, "the sandbox could not be built")


# --- what crosses -----------------------------------------------------------------------------------------------------


def test_no_check_answer_or_image_held_back_leaves(training, module):
    pairs = [("history = {", "return {}\n    history = {")]
    mine = replace(changed(training, *pairs), pieces=((0, 1, "def fit(*_): return {}"), (1, 1, "def make_loaders(*_): pass")))
    outcome(training, nodes := Here(), mine)
    sent = b"".join(nodes.sent)
    parts = images.split(training.settings.preset, training.seed_of(mine), *training.images)
    assert all(image.tobytes() in sent for image in parts.test.images)
    assert not any(image.tobytes() in sent for image in parts.held_back.images)
    assert b"RECIPE = Recipe(" in sent
    for secret in ("zero_grad", "shuffle=True", "perf_counter", "same(observed", "student.fit is not None"):
        assert secret.encode() not in sent, secret
    (about, _), (order, (_, given)) = (unpack(blob) for blob in unpack(nodes.sent[0])[1])
    assert (about["preset"]["floor"], about["preset"]["points"]) == (0, 0)
    assert set(load(given)) == {"train_images", "train_labels", "test_images", "test_labels"}
    assert order == {"seed": training.seed_of(mine), "files": []}
    assert set(about) - {"files", "folder", "data", "packaged", "packages"} == {
        "versions", "functions", "preset", "device", "threads", "limit",
    }  # fmt: skip


@pytest.fixture(scope="module")
def came(module, tmp_path_factory) -> dict[str, bytes]:
    """The files of a run as they come from a node."""
    recipe = recipe_of(module)
    how = settings(recipe)
    with FullTraining(module, recipe, how, tiny(how), tmp_path_factory.mktemp("came")).open(str, elsewhere=True) as training:
        outcome(training, nodes := Here())
    about, blobs = unpack(nodes.came[0])
    assert about["files"] == ["log.json", *(f"epoch-00{number}.safetensors" for number in (2, 3, 4))]
    assert not any(b"exp_avg" in blob for blob in blobs), "what only a fifth epoch would need"
    return dict(zip(about["files"], blobs, strict=True))


LAST = "epoch-004.safetensors"
FORGED = {
    "no log": lambda files, log: {LAST: files[LAST]},
    "a path": lambda files, log: {**files, "../epoch-004.safetensors": files[LAST]},
    "another path": lambda files, log: {**files, "/tmp/x": b""},
    "another name": lambda files, log: {**files, "epoch-4.safetensors": files[LAST]},
    "a file of no epoch": lambda files, log: {**files, "epoch-005.safetensors": files[LAST]},
    "an epoch too old": lambda files, log: {**files, "epoch-001.safetensors": files[LAST]},
    "an epoch under another's name": lambda files, log: {**files, LAST: files["epoch-003.safetensors"]},
    "an epoch that is none": lambda files, log: {**files, LAST: b"noise"},
    "a log that is none": lambda files, log: {**files, "log.json": b"[" * 100_000},
    "a log in another form": lambda files, log: {**files, "log.json": b'{"state": "finished"}'},
    "a run that has not ended": lambda files, log: changed_log(files, log, state=""),
    "fewer epochs than it says": lambda files, log: changed_log(files, log, epochs=[], seconds=[], most=[]),
    "more epochs than there are": lambda files, log: changed_log(
        files, log, **{name: log[name] * 2 for name in ("epochs", "seconds", "most")}
    ),
    "an epoch without its seconds": lambda files, log: changed_log(files, log, seconds=[1.0] * 3),
    "seconds before it began": lambda files, log: changed_log(files, log, seconds=[-1.0] * 4),
    "texts for memory": lambda files, log: changed_log(files, log, memory=[["a", "b"]]),
    "no number of images": lambda files, log: changed_log(files, log, images=float("inf")),
}


def changed_log(files: dict[str, bytes], log: dict, **how) -> dict[str, bytes]:
    return {**files, "log.json": json.dumps(log | how).encode()}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_folder_is_not_kept(came, name, module, tmp_path):
    kept, preset = Kept(tmp_path / "runs" / "run"), settings(recipe_of(module)).preset
    with pytest.raises(OTHER_FORM):
        on_nodes.keep_files(kept, FORGED[name](came, json.loads(came["log.json"])), preset, 120.0)
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_is_not_kept(came, module, tmp_path, monkeypatch):
    kept, preset = Kept(tmp_path / "run"), settings(recipe_of(module)).preset
    for name, limit in (("MAX_MESSAGE_BYTES", len(came[LAST]) - 1), ("MAX_LOG_BYTES", len(came["log.json"]) - 1)):
        with monkeypatch.context() as patched, pytest.raises(OTHER_FORM, match="bytes"):
            patched.setattr(on_nodes, name, limit)
            on_nodes.keep_files(kept, came, preset, 120.0)
    assert list(tmp_path.iterdir()) == [] and len(came[LAST]) < MAX_MESSAGE_BYTES


def test_what_only_the_grader_finds_is_not_believed_of_a_node(came, module, tmp_path):
    kept, preset = Kept(tmp_path), settings(recipe_of(module)).preset
    log = json.loads(came["log.json"])
    on_nodes.keep_files(kept, changed_log(came, log, accuracy={"4": 1.0}, still=["x"], limit=1e9, why="\x1b[2J"), preset, 120.0)
    assert asdict(kept.log()) == log | {"accuracy": {}, "still": [], "limit": 120.0, "why": "�[2J"}
    assert sorted(kept.weights()) == [2, 3, 4] and set(log["epochs"][0]) == set(FIGURES)


def test_a_forged_answer_is_a_lost_shard(training):
    forged = iter([{"../../stolen": b"x"}, {"log.json": b"{}"}])

    def answer(parcel):
        if (files := next(forged, None)) is None:
            return on_nodes.train(parcel)
        return pack({"node": "n", "files": list(files)}, list(files.values()))

    found, problem = outcome(training, nodes := Here(answer=answer))
    assert found is None and "was lost 2 times (n answered in another form" in problem and len(nodes.sent) == 2
    assert not list(training.store.rglob("*"))


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sandbox", "none"], "--sandbox none is for this machine alone"),
        (["--calibrate", "5"], "--calibrate and --claim are for this machine alone"),
        (["--claim", "claim.safetensors"], "--calibrate and --claim are for this machine alone"),
        (["--device", "cuda"], "there is cpu. A run's limit is measured on it: --limit SECONDS names one without"),
        ([], "--on dask: name the scheduler"),
        (["--device", "cuda", "--limit", "60"], "--on dask: name the scheduler"),
    ],
)
def test_a_wrong_word_is_one_line(module, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(module.root)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert main(["train", NAME, "--on", "dask", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1
