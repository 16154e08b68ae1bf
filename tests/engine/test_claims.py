"""Claims of a student's own run: an honest one, dishonest ones made from it, files that are none, and how one is written."""

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import claimants
import numpy as np
import pytest
import torch
from claimants import EPOCHS, PRESET, RECIPE, data, forged, run, started, with_counters, with_history
from safetensors.numpy import save
from test_training import stopping_in
from torch.utils.data import ConcatDataset
from torchvision.models import densenet121
from toy_course import write_course

from autograder import cli
from autograder.classes.claims import closing, words
from autograder.course.course import Course
from autograder.errors import NoClaim, NotebookError
from autograder.students import training
from autograder.students.training import experiment_seed
from autograder.training import claims
from autograder.training.claim_file import CLAIM, hash_of, kept, pack_claim, parse_claim, read_claim
from autograder.training.claims import binomial_interval, check_claim, print_of, same_weights
from autograder.training.full import recipe_of
from autograder.training.images import find_images


def tiny(preset):
    return find_images(PRESET, Path("nowhere"), named=False)


def check(claim, name="ada"):
    return check_claim(RECIPE, "toys", name, claim, tiny, draw=1)


def failing(claim) -> set[str]:
    """What does not hold of a claim, by name; no points for it."""
    checked = check(claim)
    assert not checked.refused and checked.bonus == 0
    return {finding.name for finding in checked.findings if not finding.holds}


def said(claim, name: str) -> str:
    """What is said under one name."""
    return next(finding.said for finding in check(claim).findings if finding.name == name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("claims")


@pytest.fixture(scope="module")
def claim_of(folder):
    """Makes a run, and gives its claim."""

    def made(name, seed, **how):
        run(folder / name, seed, **how)
        return read_claim(folder / name / CLAIM)

    return made


@pytest.fixture(scope="module")
def ada(claim_of):
    return claim_of("ada", 11)


@pytest.fixture(scope="module")
def bob(claim_of):
    return claim_of("bob", 12)


@pytest.fixture(scope="module")
def early(claim_of):
    """The first half of Ada's run."""
    return claim_of("early", 11, epochs=EPOCHS // 2)


# --- honest -----------------------------------------------------------------------------------------------------------


def test_an_honest_run_earns_its_bonus(ada, bob):
    for claim in (ada, bob):
        checked = check(claim)
        assert checked.holds and checked.bonus == PRESET.points, words(checked)
    assert "3 bonus points" in words(checked)[0] and words(checked)[0].startswith("ada: all that can be checked holds")
    assert not same_weights({"ada": print_of(ada), "bob": print_of(bob)})


def test_what_cannot_be_established_is_said():
    text = "\n".join(closing())
    for words_of in ("who trained it", "more images", "student's word", "no step is replayed", "costs nothing"):
        assert words_of in text


def test_a_claim_knows_its_run(ada):
    assert [len(values) for values in ada.history.values()] == [EPOCHS] * 5
    assert ada.seed == 11 and ada.epochs == ada.planned == EPOCHS and len(set(ada.hashes)) == EPOCHS
    assert (ada.training_images, ada.test_images, ada.image_size, ada.batch_size) == (120, 50, 32, 16)
    assert (ada.network, ada.optimizer, ada.learning_rate) == ("SmallNet", "Adam", 3e-3)
    assert ada.devices[0].startswith("cpu") and ada.versions["torch"] and all(seconds > 0 for seconds in ada.clock)
    kinds = {name: str(array.dtype) for name, array in ada.weights.items()}
    assert kinds["features.0.weight"] == "float16" and kinds["features.1.running_var"] == "float32"
    assert kinds["features.1.num_batches_tracked"] == "int64"


# --- dishonest --------------------------------------------------------------------------------------------------------


def test_an_edited_history(ada):
    better = with_history(ada, test_accuracy={-1: 0.9}, test_loss={-1: 0.4})
    assert failing(better) == {"figures"}
    assert "said to be 90.0%; the grader finds" in said(better, "figures")
    assert failing(with_history(ada, test_accuracy={-1: 0.9})) == {"figures"}
    assert "figures" in failing(with_history(ada, test_loss={-1: 2.0}))


@pytest.mark.parametrize(
    ("figures", "words_of"),
    [
        ({"train_loss": {0: 0.01}}, "where guessing has 2.303"),
        ({"test_accuracy": {1: 1.5}}, "no fraction"),
        ({"test_accuracy": {1: 0.0}, "test_loss": {1: 0.2}}, "those not recognised alone lose more"),
        ({"train_accuracy": {2: 0.604}}, "no whole number of 120 images"),
        ({"train_loss": {3: 0.5, 4: 0.5}}, "two epochs have the same train_loss"),
        ({"seconds": {2: 3600.0}}, "3600.0 s by the history"),
    ],
)
def test_figures_that_no_run_can_have(ada, figures, words_of):
    claim = with_history(ada, **figures)
    assert failing(claim) == {"history"} and words_of in said(claim, "history")


def test_a_text_edited_without_its_seal(ada):
    data = pack_claim(ada)
    old = json.dumps(ada.history["test_accuracy"][1]).encode()
    assert failing(parse_claim(data.replace(old, old[:-1] + b"1"))) >= {"file"}


def test_weights_of_somebody_else(ada, bob):
    claim = forged(bob, weights=ada.weights)
    assert failing(claim) >= {"start", "figures"}
    assert "do not descend from seed 12" in said(claim, "start")
    assert same_weights({"ada": print_of(ada), "bob": print_of(claim)})


def test_right_weights_with_another_seed(ada):
    claim = forged(ada, seed=12)
    assert failing(claim) == {"start"} and "another's" in said(claim, "start")


def test_weights_of_an_earlier_epoch(ada, early):
    half = EPOCHS // 2
    assert early.hashes == ada.hashes[:half]
    plain = parse_claim(pack_claim(replace(ada, weights=early.weights)))
    assert failing(plain) >= {"file", "batches"} and f"those of epoch {half} of {EPOCHS}" in said(plain, "file")
    assert failing(forged(ada, weights=early.weights)) >= {"batches", "figures"}
    counted = with_counters(forged(ada, weights=early.weights), 8 * EPOCHS)
    assert "figures" in failing(counted) and "batches" not in failing(counted)


def test_half_trained_and_filled_up(early):
    longer = {name: values + [value * 0.9 for value in values] for name, values in early.history.items()}
    for name in ("train_accuracy", "test_accuracy"):
        longer[name][EPOCHS // 2 :] = [1.0] * (EPOCHS // 2)
    claim = forged(early, history=longer, hashes=early.hashes * 2, clock=early.clock * 2, devices=early.devices * 2)
    assert failing(claim) >= {"batches", "figures"}
    assert "batch norm counted 24 batches in training mode, 48 were due" in said(claim, "batches")


def test_an_unfinished_run_is_told_to_go_on(early):
    assert failing(early) >= {"end"} and "it goes on after the last whole epoch" in said(early, "end")


def test_trained_on_the_test_images(claim_of):
    claim = claim_of("test", 13, epochs=20, train_set=data(train=False))
    assert "of another experiment: 50 training images" in check(claim).refused
    claim = with_counters(forged(claim, training_images=120), 8 * 20)
    assert failing(claim) == {"gap", "history"} and "known better than the training images" in said(claim, "gap")


def test_trained_on_both(claim_of):
    claim = claim_of("both", 14, epochs=12, train_set=ConcatDataset([data(train=True), data(train=False)]))
    claim = with_counters(forged(claim, training_images=120), 8 * 12)
    assert "gap" in failing(claim) and "as well as the training images" in said(claim, "gap")


def test_the_start_itself(ada):
    claim = forged(ada, weights=kept({name: t.numpy() for name, t in started(11).state_dict().items()}))
    assert "start" in failing(claim) and "nothing was trained" in said(claim, "start")


def test_a_sample_suffices(ada, monkeypatch):
    monkeypatch.setattr(claims, "SAMPLE_PIXELS", 30 * 32**2)
    assert check(ada).holds and "interval" in said(ada, "figures")
    better = with_history(ada, test_accuracy={-1: 0.9}, test_loss={-1: 0.4})
    assert failing(better) == {"figures"}


# --- several ----------------------------------------------------------------------------------------------------------


def test_the_same_weights_are_told_and_so_are_nearly_the_same(ada, bob):
    noise = np.random.default_rng(0)
    near = {n: a + noise.normal(0, 0.01, a.shape) if a.ndim > 1 else a for n, a in ada.weights.items()}
    others = {
        "to the last bit": ada,
        "one origin": forged(ada, seed=99, hashes=["0"] * EPOCHS, weights=kept(near)),
        "same seed": replace(bob, seed=11),
        "after an epoch": replace(bob, hashes=[*bob.hashes[:3], ada.hashes[2]]),
    }
    for how, other in others.items():
        [(one, two, told)] = same_weights({"ada": print_of(ada), "eve": print_of(other)})
        assert (one, two) == ("ada", "eve") and how in told


def test_one_weight_blown_up_outweighs_no_others():
    """Batch norm undoes the scale: a start that is put into one layer alone makes no descent."""
    draw = np.random.default_rng(0)
    start = {str(layer): draw.normal(size=(50, 50)) for layer in range(5)}
    stranger = {str(layer): draw.normal(size=(50, 50)) for layer in range(5)}
    forged_one = stranger | {"3": 1000 * start["3"]}
    assert abs(claims.usual_likeness(start, forged_one)) < 0.1
    assert claims.usual_likeness(start, start) == pytest.approx(1) and claims.usual_likeness(start, {}) == 0


# --- what is no claim -------------------------------------------------------------------------------------------------


def blob(said) -> bytes:
    return save({"a": np.zeros(3, np.float32)}, metadata={"claim": said if isinstance(said, str) else json.dumps(said)})


DAMAGES = {
    "empty": (lambda data: b"", "is cut off"),
    "half": (lambda data: data[: len(data) // 2], "is cut off: it has"),
    "in the header": (lambda data: data[:100], "is cut off: it ends after 100 bytes"),
    "longer": (lambda data: data + b"x" * 10, "has 10 bytes behind its end"),
    "pickle": (lambda data: b"\x80\x04" + data, "no safetensors file"),
    "endless header": (lambda data: b"\xff" * 8 + data[8:], "no safetensors file"),
    "another safetensors file": (lambda data: save({"a": np.zeros(3)}), "no claim of `run_experiment`"),
    "deep": (lambda data: blob("[" * 100_000), "no claim of this autograder"),
    "a list": (lambda data: blob([1]), "no claim of this autograder"),
    "nothing in it": (lambda data: blob({}), "no claim of this autograder"),
    "another form": (lambda data: blob({"schema": 2}), "another version of the package"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told(ada, damage):
    change, told = DAMAGES[damage]
    with pytest.raises(NoClaim, match=told):
        parse_claim(change(pack_claim(ada)))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": -1}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"learning_rate": math.nan}, "train anew"),
        ({"hashes": []}, "claims 0 epochs"),
        ({"hashes": ["x"] * 5000}, "claims 5,000 epochs"),
        ({"devices": ["cpu"]}, "1 values of devices for 6 epochs"),
        ({"history": {"train_loss": [1.0]}}, "without train_accuracy"),
        ({"history": 3}, "no claim of this autograder"),
        ({"network": "x" * 1000}, "no claim of this autograder"),
        ({"versions": {"torch": 2}}, "no claim of this autograder"),
    ],
)
def test_texts_of_another_form_are_told(ada, changed, told):
    with pytest.raises(NoClaim, match=told):
        parse_claim(pack_claim(replace(ada, **changed)))


def test_a_history_of_nan_is_told(ada):
    with pytest.raises(NoClaim, match="if your run had NaN, train anew"):
        with_history(ada, train_loss={2: math.nan})


def test_weights_of_another_type_are_told(ada):
    with pytest.raises(NoClaim, match="type F64"):
        parse_claim(pack_claim(replace(ada, weights={"a": np.zeros(3)})))


def test_claims_of_something_else_are_refused_and_cost_nothing(ada):
    weights = dict(ada.weights)
    broken = weights["features.0.weight"].copy()
    broken[0] = np.nan
    refused = {
        "another week, week09: hand in that of toys": replace(ada, module="week09"),
        "5,000 training images of 32 pixels": replace(ada, training_images=5000),
        "is missing": replace(ada, weights={"features.0.weight": weights["features.0.weight"]}),
        "none of the network's": replace(ada, weights=weights | {"more": np.zeros(3, np.float32)}),
        "has the shape": replace(ada, weights=weights | {"classifier.bias": np.zeros(3, np.float32)}),
        "not finite.*its loss was NaN": replace(ada, weights=weights | {"features.0.weight": broken}),
        "nothing of the batch size": replace(ada, batch_size=0),
    }
    for told, claim in refused.items():
        checked = check(claim)
        assert re.search(told, checked.refused), checked.refused
        assert not checked.findings and checked.bonus == 0 and words(checked)[0].startswith("ada: no bonus points: the file ")
    part = check_claim(RECIPE, "toys", "ada", replace(ada, training_images=50_000), tiny, 1)
    assert "50,000 of 120 training images" in part.refused


def test_weights_that_give_no_numbers_hold_nothing(ada):
    poisoned = dict(ada.weights) | {"features.1.running_var": np.full(48, -1e3, np.float32)}
    assert failing(forged(ada, weights=poisoned)) >= {"figures"}


def test_only_regular_files_of_some_size_are_read(tmp_path, ada):
    (tmp_path / "claim").write_bytes(pack_claim(ada))
    (tmp_path / "link").symlink_to(tmp_path / "claim")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    told = {"link": "not a regular file", "pipe": "not a regular file", ".": "not a regular file", "no": "cannot be read"}
    for name, words_of in (told | {"huge": "larger than 64 MiB"}).items():
        with pytest.raises(NoClaim, match=words_of):
            read_claim(tmp_path / name)
    assert read_claim(tmp_path / "claim").sealed


# --- the interval -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "of", "confidence", "low", "high"),
    [
        (0, 10, 0.95, 0.0, 0.308497),
        (10, 10, 0.95, 0.691503, 1.0),
        (5, 10, 0.95, 0.187086, 0.812914),
        (1, 20, 0.95, 0.001265, 0.248733),
        (0, 1, 0.95, 0.0, 0.975),
    ],
)
def test_the_exact_interval(right, of, confidence, low, high):
    assert binomial_interval(right, of, confidence) == pytest.approx((low, high), abs=2e-6)


def test_the_tail_is_the_sum_of_its_terms():
    for of, p in ((7, 0.3), (40, 0.9), (200, 0.01)):
        terms = [math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(of + 1)]
        for least in range(of + 1):
            assert claims.at_least(least, of, p) == pytest.approx(sum(terms[least:]), abs=1e-12)
    assert binomial_interval(81, 263, 0.95) == pytest.approx((0.2527, 0.3676), abs=5e-5)  # Newcombe, 1998
    assert binomial_interval(8600, 10_000, 0.999) == pytest.approx((0.8482, 0.8713), abs=5e-4)


# --- how one is written -----------------------------------------------------------------------------------------------


def test_an_interrupted_run_keeps_the_claim_and_ends_as_an_uninterrupted_one(tmp_path, ada, monkeypatch):
    monkeypatch.setattr("test_training.fit", claimants.fit)
    with pytest.raises(NotebookError, match="Interrupted"):
        run(tmp_path, 11, fit=stopping_in(3, KeyboardInterrupt()))
    assert read_claim(tmp_path / CLAIM).hashes == ada.hashes[:2]
    (tmp_path / CLAIM).unlink()
    run(tmp_path, 12)  # another seed in the notebook: the run has begun from its own
    claim = read_claim(tmp_path / CLAIM)
    assert (claim.seed, claim.hashes, claim.history) == (11, ada.hashes, ada.history) and check(claim).holds
    (tmp_path / CLAIM).unlink()
    run(tmp_path, 11, fit=None)
    assert read_claim(tmp_path / CLAIM).hashes == ada.hashes


def test_without_a_seed_there_is_no_claim(tmp_path, capsys):
    run(tmp_path, 11, epochs=1, claim=False)
    assert not (tmp_path / CLAIM).exists()
    run(tmp_path, 11, epochs=2)
    assert not (tmp_path / CLAIM).exists() and "there is no claim of them" in capsys.readouterr().out


def test_the_claim_names_its_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autograder.students.check.read_about", lambda folder: {"module": "toys"})
    run(tmp_path / "run", 11, epochs=1)
    assert read_claim(tmp_path / "run" / CLAIM).module == "toys"


def test_a_full_disk_is_told_for_the_claim_too(tmp_path, monkeypatch):
    whole = training.write_whole

    def full(path, data):
        if path.name == CLAIM:
            raise OSError(28, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(training, "write_whole", full)
    with pytest.raises(NotebookError, match="No space left on device"):
        run(tmp_path, 11, epochs=1)


def test_what_half_precision_cannot_hold_stays_single():
    weights = kept({"a": np.array([[1e6]], np.float32), "b": np.array([[0.1]]), "c": np.array([0.1]), "d": np.array(3)})
    assert [str(array.dtype) for array in weights.values()] == ["float32", "float16", "float32", "int64"]
    assert hash_of(weights) == hash_of(dict(reversed(weights.items()))) != hash_of(weights | {"d": np.array(4)})


def test_the_seed_is_drawn_once(tmp_path):
    seeds = {experiment_seed(tmp_path / str(number)) for number in range(5)}
    assert len(seeds) == 5 and experiment_seed(tmp_path / "0") == experiment_seed(tmp_path / "0") in seeds
    for text in ("", "x", "-4", "99999999999", "\xff"):
        (tmp_path / "0" / "seed.txt").write_text(text, encoding="latin-1")
        with pytest.raises(NotebookError, match="seed.txt is damaged: delete it"):
            experiment_seed(tmp_path / "0")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path, monkeypatch):
    root = write_course(tmp_path, "toys")
    (root / "tests" / "toys" / "training.py").write_text("from claimants import RECIPE\n")
    monkeypatch.chdir(root)
    return root


def write(course, student: str, claim) -> str:
    path = course / "submitted" / student / "toys" / CLAIM
    path.parent.mkdir(parents=True)
    path.write_bytes(claim if isinstance(claim, bytes) else pack_claim(claim))
    return str(path)


def results(course) -> dict:
    return {path.stem: json.loads(path.read_text()) for path in (course / "grades/toys/training/claims").glob("*.json")}


def test_a_class_of_claims(course, ada, bob, capsys):
    files = [write(course, "ada", ada), write(course, "bob", bob), write(course, "eve", pack_claim(ada)[:500])]
    assert cli.main(["train", "toys", "--device", "cpu", "--claim", *files]) == 1
    shown = capsys.readouterr().out
    assert "ada: all that can be checked holds; 3 bonus points" in shown and "eve: no bonus points: the file is cut" in shown
    assert "What no check of a claim establishes:" in shown and "bonus points: a claim that is refused" in shown
    assert {name: each["bonus"] for name, each in results(course).items()} == {"ada": 3, "bob": 3, "eve": 0}

    copied = write(course, "dan", replace(ada, module=""))
    assert cli.main(["train", "toys", "--device", "cpu", "--claim", copied]) == 1  # the others are known from before
    shown = capsys.readouterr().out
    assert "ada and this one have the same weights after an epoch" in shown and "before the TA has decided" in shown
    told = (course / "grades/toys/training/claims/dan.txt").read_text()
    assert "another claim and this one have" in told and "ada" not in told and "What no check" in told
    assert results(course)["dan"]["bonus"] == 0 and results(course)["ada"]["bonus"] == 3

    Path(files[0]).write_bytes(b"")
    assert cli.main(["train", "toys", "--device", "cpu", "--claim", files[0]]) == 1
    assert results(course)["ada"]["bonus"] == 3  # what is known is not lost


def test_one_honest_claim_is_enough_for_success(course, ada, capsys):
    assert cli.main(["train", "toys", "--device", "cpu", "--seed", "5", "--claim", write(course, "ada", ada)]) == 0
    assert results(course)["ada"]["drawn by"] == 5


def test_two_claims_of_one_student_and_claims_beside_submissions_are_told(course, ada, capsys):
    path = write(course, "ada", ada)
    (course / "ada.safetensors").write_bytes(b"")
    assert cli.main(["train", "toys", "--claim", path, "ada.safetensors"]) == 2
    assert "another claim here" in capsys.readouterr().err
    assert cli.main(["train", "toys", "somewhere", "--claim", path]) == 2
    assert "name no submissions beside it" in capsys.readouterr().err


def test_the_weights_are_torch_s_own_start():
    """What the notebook builds after `torch.manual_seed`, and what the grader draws again."""
    state = torch.get_rng_state()
    drawn = claims.claimed_start(RECIPE, 11).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(drawn[name], weight) for name, weight in started(11).state_dict().items() if "class" not in name)


def test_the_notebook_s_network_is_the_one_that_is_drawn_again():
    recipe = recipe_of(Course(Path(__file__).parents[2]).module("week08_densenet"))
    torch.manual_seed(5)
    built, drawn = densenet121(weights=None).state_dict(), claims.claimed_start(recipe, 5).state_dict()
    assert built.keys() == drawn.keys() and all(torch.equal(built[name], weight) for name, weight in drawn.items())
