"""A class that is observed elsewhere, in shards: the same grades as here, whatever is lost on the way, and no answer leaves."""

import json
import re
from pathlib import Path

import pytest
from conftest import needs_walls
from here import Here
from rich.console import Console
from toy_course import RIGHT, notebook, solved, write_course

from autograder.classes.grade import grade_all
from autograder.classes.submissions import find_submissions
from autograder.cluster import node, shards
from autograder.cluster.nodes import Nodes, open_nodes
from autograder.cluster.parcels import pack, unpack
from autograder.course.course import Course
from autograder.errors import CourseError, Malformed
from autograder.grading.judge import NOT_GRADED

pytestmark = needs_walls

CLASS = {
    "ada": solved(),
    "bob": solved(double="def double(x): return x * x"),
    "cem": solved(mean="def mean(n):\n    raise ValueError(n)"),
    "dee": solved(mean="def mean(n): return float(sum(n))"),
    "eve": notebook("import math", RIGHT["double"]),
    "fay": b"{not a notebook",
    "gus": solved(double="def double(x): return 2 * x"),
}
EXERCISES = {"arithmetic": ["double", "quadruple"], "averages": ["mean"]}
SEED = 7


@pytest.fixture(scope="module", autouse=True)
def _no_station_stays():
    yield
    while node._STATIONS:
        node._STATIONS.popitem()[1].close()


@pytest.fixture
def course(tmp_path):
    """A course with a class of seven, and nothing kept."""
    root = write_course(tmp_path / "course")
    for student, data in CLASS.items():
        hand_in(root, student, data)
    return root


def hand_in(root: Path, student: str, data: bytes) -> None:
    path = root / "submitted" / student / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def graded(root: Path, shared, nodes: Nodes | None, tell=None) -> dict[str, dict]:
    """Every student's result, but for the times in it."""
    module = Course(root).module("toy")
    console = Console(quiet=True)
    if tell is not None:
        console.print = lambda line="", **_: tell.append(line)
    results = grade_all([shared(module, SEED)], find_submissions(module, []), console, nodes=nodes)
    return {result.student: result.as_dict(EXERCISES) for result in results}


def plain(results: dict[str, dict]) -> str:
    return re.sub(r'"(seconds|cpu)": [\d.e-]+', "", json.dumps(results, sort_keys=True, default=str))


def forget(root: Path) -> None:
    for path in (root / ".autograder" / "recordings").iterdir():
        path.unlink()


def test_grades_are_the_same_as_here(course, shared):
    elsewhere = graded(course, shared, nodes := Here())
    forget(course)
    here = graded(course, shared, None)
    assert plain(elsewhere) == plain(here)
    assert {name: result["status"] for name, result in here.items()} == dict.fromkeys(CLASS, "graded") | {"fay": "refused"}
    assert len(nodes.sent) == 3  # that of fay too: what a file holds is found behind walls alone
    assert [result["student"] for result in elsewhere.values()] == sorted(CLASS)


def test_the_less_is_left_the_smaller_is_a_shard(course, shared):
    nodes = Here()
    nodes.shard, nodes.smallest = 3, 1
    graded(course, shared, nodes)
    assert [len(unpack(unpack(sent)[1][1])[1]) for sent in nodes.sent] == [2, 2, 1, 1, 1]


def test_of_a_shard_that_nobody_waits_for_no_further_one_is_begun(course, shared, monkeypatch):
    asked: list[bytes] = []
    monkeypatch.setattr(node, "still_wanted", lambda: lambda: not asked)
    answer = node.Station._answer
    monkeypatch.setattr(node.Station, "_answer", lambda station, *item: asked.append(item[1]) or answer(station, *item))
    nodes = Here(before=lambda blobs: asked.clear())
    nodes.shard, nodes.at_once, nodes.workers = 3, 1, 1
    said: list[str] = []
    graded(course, shared, nodes, said)
    assert any("a shard of 3 was lost" in line for line in said)  # as one is whose node ended: here somebody does wait


def test_what_is_kept_is_not_sent_again(course, shared):
    first = graded(course, shared, Here())
    assert plain(graded(course, shared, nodes := Here())) == plain(first)
    assert nodes.sent == []


def test_no_check_answer_or_hint_leaves(course, shared):
    graded(course, shared, nodes := Here())
    sent, tests = b"".join(nodes.sent), course / "tests" / "toy"
    assert b"def doubles(student, draw)" in sent  # the probes go with it
    for name in ("test_public", "test_hidden", "mistakes", "alternatives"):
        lines = [line.strip() for line in (tests / f"{name}.py").read_text().splitlines()]
        own = [line for line in lines if len(line) > 20 and line not in (tests / "probes_hidden.py").read_text()]
        found = [line for line in own if line.encode() in sent and line.encode() not in b"".join(CLASS.values())]
        assert own and not found
    assert b"twofold" not in sent and b"halfway" not in sent  # names in the reference


def test_one_that_takes_its_node_with_it_is_found(course, shared):
    killer = CLASS["dee"]
    hand_in(course, "zoe", killer)  # the same file once more

    def die(notebooks):
        if killer in notebooks:
            raise RuntimeError("the node is gone")

    told: list[str] = []
    results = graded(course, shared, nodes := Here(die), told)
    others = {name: r for name, r in results.items() if name not in ("dee", "zoe")}
    assert all(r["status"] == "graded" for name, r in others.items() if name != "fay")
    assert {results[name]["status"] for name in ("dee", "zoe")} == {NOT_GRADED}
    assert "was lost 2 times (the node is gone)" in results["dee"]["reason"]
    assert any("goes out again, in halves" in line for line in told)
    assert len(nodes.sent) < 3 * len(CLASS)


def test_a_lost_shard_costs_nobody_a_grade(course, shared):
    lost = iter([True, False, True])

    def die(notebooks):
        if next(lost, False):
            raise TimeoutError("a time limit")

    elsewhere = graded(course, shared, Here(die))
    forget(course)
    assert plain(elsewhere) == plain(graded(course, shared, None))


def test_when_nothing_comes_back_that_is_said(course, shared):
    def die(notebooks):
        raise OSError("no route to host")

    for number in range(20):
        hand_in(course, f"more-{number}", solved(mean=f"def mean(n): return {number}.0"))
    with pytest.raises(CourseError, match="12 shards in a row were lost, the last one since no route to host"):
        graded(course, shared, Here(die))


def test_a_node_that_cannot_observe_is_left_out_by_name(course, shared):
    refusals = iter([pack({"node": "node7", "lacks": ["torch is 2.6.0 there"]})])
    nodes, told = Here(), []
    nodes.answer = lambda parcel: next(refusals, None) or node.work(parcel)
    elsewhere = graded(course, shared, nodes, told)
    assert nodes.left_out == ["node7"]
    assert "node7 was left out: torch is 2.6.0 there" in told
    forget(course)
    assert plain(elsewhere) == plain(graded(course, shared, None))


def test_when_all_nodes_are_left_out_it_ends(course, shared):
    nodes = Here(answer=lambda parcel: pack({"node": "old", "lacks": ["Landlock is not enabled"]}))
    with pytest.raises(CourseError, match="no node is left"):
        graded(course, shared, nodes)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff" * 40,
        pack({"node": "n", "items": []}),
        pack({"node": "n", "items": [{"code": {}, "blobs": [0, 1]}] * 3}),
        pack({"node": "n", "items": [{"code": None}] * 3}),
        pack({"node": "n", "items": "abc"}),
    ],
    ids=["nothing", "noise", "too few", "no code", "code that is none", "texts"],
)
def test_an_answer_of_another_form_is_a_lost_shard(course, shared, answer):
    first = iter([answer])
    nodes = Here()
    nodes.answer = lambda parcel: next(first, None) or node.work(parcel)
    elsewhere = graded(course, shared, nodes)
    forget(course)
    assert plain(elsewhere) == plain(graded(course, shared, None))


def test_a_node_says_what_it_lacks(monkeypatch):
    wanted = {**node.own_versions(), "torch": "1.0"}
    assert "and 1.0 on the grader's machine" in node.lacking(node.about(), wanted)[0]
    assert node.lacking({**node.about(), "lacks": ["Landlock is not enabled"]}) == ["Landlock is not enabled"]
    assert node.lacking(node.about()) == []
    common = pack({"versions": wanted})
    assert "torch is" in unpack(node.work(pack({}, [common, pack({"items": []})])))[0]["lacks"][0]


def test_a_full_disk_is_the_nodes_own_fault(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node, "Station", full)
    common = pack({"versions": node.own_versions()})
    answer, _ = unpack(node.work(pack({}, [common, pack({"items": []})])))
    assert "No space left on device" in answer["lacks"][0] and answer["node"]


def test_a_grader_fault_there_is_not_graded_here(course, shared):
    def fault(parcel):
        about, blobs = unpack(node.work(parcel))
        for item in about["items"]:
            item.clear()
            item["fault"] = "the sandbox could not be built: unshare"
        return pack(about, blobs)

    results = graded(course, shared, Here(answer=fault))
    assert results["ada"]["status"] == NOT_GRADED and "unshare" in results["ada"]["reason"]


def test_files_that_have_grown_while_they_were_lost_are_all_sent(course, shared, monkeypatch):
    def lose(notebooks):
        if shards.SHARD_BYTES > 10:
            monkeypatch.setattr(shards, "SHARD_BYTES", 10)  # as if each filled a shard now
            raise RuntimeError("lost")

    elsewhere = graded(course, shared, Here(lose))
    forget(course)
    assert plain(elsewhere) == plain(graded(course, shared, None))


def test_shards_are_small_enough_for_a_scheduler(course, shared, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", len(CLASS["ada"]))
    graded(course, shared, nodes := Here())
    assert len(nodes.sent) >= 3


WHOLE = pack({}, [b"abc"])


@pytest.mark.parametrize("data", [b"", b"\x01", WHOLE[:-1], WHOLE + b"x", b"\x02\x00\x00\x00[]"], ids=range(5))
def test_what_is_no_parcel_is_malformed(data):
    with pytest.raises(Malformed):
        unpack(data)


def test_a_parcel_comes_as_it_went():
    assert unpack(pack({"a": [1]}, [b"", b"xy"])) == ({"a": [1]}, [b"", b"xy"])


@pytest.mark.parametrize(
    ("on", "said"),
    [("here", "there is local, slurm"), ("slurm:cpu", "there is no sbatch|is not NAME=VALUE"), ("dask", "name the scheduler")],
)
def test_a_place_that_is_none_is_named(on, said, tmp_path, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(CourseError, match=said), open_nodes(on, 0, tmp_path, print):
        pass


