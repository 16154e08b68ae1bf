"""Grading what arrives on other machines: the same grades, and nothing is lost when they are away, or at Ctrl-C."""

import contextlib
import json
import os
import threading
import time
from pathlib import Path

import pytest
from conftest import needs_walls
from here import Here
from rich.console import Console
from test_shards import CLASS, _no_station_stays, forget, hand_in, plain  # noqa: F401  a fixture among them
from test_watch import LONG_AGO, hurried  # noqa: F401  a fixture among them
from toy_course import notebook, write_course
from toy_weeks import AFTER, BEFORE, write_two

from autograder.classes import on_nodes, watch
from autograder.classes.grade import grade_class
from autograder.classes.submissions import find_submissions
from autograder.cluster import sending
from autograder.course.course import Course
from autograder.errors import CourseError

pytestmark = needs_walls

WAIT = 120  # seconds, on a busy machine
STATUSES = {student: "refused" if student == "fay" else "graded" for student in CLASS}


class Watched:
    """A course whose class hands in while it is watched, on nodes that `make` gives each time they are opened."""

    def __init__(self, root: Path, monkeypatch):
        [self.module] = Course(root).modules()
        self.root, self.out, self._patch = root, self.module.grades, monkeypatch
        self.make, self.opened, self.said = Here, list[Here](), list[str]()

    def hand_in(self, student: str, data: bytes) -> None:
        hand_in(self.root, student, data)
        at_rest(self.root / "submitted" / student / "toy" / "toy.ipynb")

    def watch(self, until) -> None:
        """Until that holds, which is asked again and again."""
        end = time.monotonic() + WAIT

        def asked() -> bool:
            assert time.monotonic() < end, ("it was never reached", self.results(), self.said)
            return bool(until())

        self._patch.setattr(watch, "open_nodes", self._open)
        self._patch.setattr(watch, "until_interrupted", lambda: contextlib.nullcontext(asked))
        console = Console(quiet=True)
        console.print = lambda line="", **_: self.said.append(str(line))
        with pytest.raises(KeyboardInterrupt):
            watch.watch(self.module, [], self.out, console, seed=7, workers=2, on="here")

    @contextlib.contextmanager
    def _open(self, *_):
        nodes = self.make()
        self.opened.append(nodes)
        try:
            yield nodes
        finally:
            nodes.shutdown(cancel_futures=True)

    def results(self) -> dict[str, dict]:
        found = {}
        for path in (self.out / "results").glob("*.json"):
            with contextlib.suppress(ValueError):
                found[path.stem] = json.loads(path.read_text())
        return found

    def have(self, statuses: dict[str, str]):
        """Says whether the results have these, and no others."""
        return lambda: {student: result["status"] for student, result in self.results().items()} == statuses


def at_rest(path: Path) -> None:
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def sent_at_once(hurried):  # noqa: F811
    """What is hurried in sending, too."""
    hurried.setattr(on_nodes, "GATHER_SECONDS", 0.05)
    hurried.setattr(sending, "WAIT_SECONDS", 0.05)
    return hurried


@pytest.fixture
def toys(tmp_path, sent_at_once):
    return Watched(write_course(tmp_path / "course"), sent_at_once)


def test_grades_are_the_same_as_here(toys):
    """Some hand in as others are out."""
    coming = iter(CLASS.items())
    lock = threading.Lock()

    def one_more(_=None) -> None:
        with lock:
            for student, data in coming:
                return toys.hand_in(student, data)

    one_more()
    toys.make = lambda: Here(before=one_more)
    ended = toys.have(STATUSES)
    toys.watch(lambda: ended() or (toys.results() and one_more()))
    elsewhere = toys.results()
    assert "6 graded, 1 refused, 0 wait" in toys.said[-1]
    assert sum(len(nodes.sent) for nodes in toys.opened) > 2, "they went out as they came"

    forget(toys.root)
    toys.out = toys.root / "here"
    grade_class(toys.module, find_submissions(toys.module, []), toys.out, Console(quiet=True), seed=7, workers=2)
    assert plain(elsewhere) == plain(toys.results())


def test_nodes_that_are_away_are_told_of_once_and_asked_again(toys):
    """With a scheduler that is being started anew, and with one that takes a shard and is gone then."""
    for student, data in CLASS.items():
        toys.hand_in(student, data)
    opened = iter(range(100))

    def make() -> Here:
        number = next(opened)
        if number in (1, 2):
            raise CourseError("no scheduler answers")
        return Here(answer=gone if number == 3 else None)

    def gone(_) -> bytes:
        raise CourseError("the job was not taken")

    toys.make = make
    toys.watch(toys.have(STATUSES))
    assert len(toys.opened) == 3, "at the start, the one that took a shard, and the one that did all"
    for why in ("no scheduler answers", "the job was not taken"):
        assert toys.said.count(f"nodes: nothing can be observed there now, tried again: {why}") == 1
    assert "6 graded, 1 refused, 0 wait" in toys.said[-1]


def test_a_place_that_is_none_is_said_before_anything_is_done(toys):
    def make():
        raise CourseError("there is no such partition")

    toys.make = make
    (toys.root / "submitted").mkdir()
    with pytest.raises(CourseError, match="there is no such partition"):
        toys.watch(lambda: False)
    assert not toys.out.exists()


def test_ctrl_c_cancels_what_is_out_and_the_next_watch_goes_on(toys):
    for student in ("ada", "bob", "cem", "dee"):
        toys.hand_in(student, CLASS[student])

    class Held(Here):
        """Keeps the second shard, which is dee's, until it is shut down."""

        def __init__(self):
            released = threading.Event()
            super().__init__(before=lambda blobs: len(blobs) == 3 or released.wait(WAIT))
            self.shutdown = lambda **how: (released.set(), super(Held, self).shutdown(**how))

    toys.make = Held
    toys.watch(lambda: len(toys.results()) == 3)
    assert set(toys.results()) == {"ada", "bob", "cem"}
    assert "1 that were still out are cancelled; what came back is kept" in toys.said
    assert "3 graded, 1 wait" in toys.said[-1]
    toys.make = Here
    toys.watch(lambda: len(toys.results()) == 4)
    assert sum(len(nodes.sent) for nodes in toys.opened[2:]) == 1, "only dee's"
    assert "4 graded, 0 wait" in toys.said[-1]


def test_what_was_lost_alone_is_tried_again(toys):
    """A notebook that takes its node with it is not graded, and goes out again later: the node may have been full."""
    toys.hand_in("ada", CLASS["ada"])
    lost = iter(range(2))

    def lose(_) -> None:
        if next(lost, None) is not None:
            raise OSError("the node died")

    toys.make = lambda: Here(before=lose)
    toys.watch(toys.have({"ada": "graded"}))
    assert any("ada: not graded yet, tried again:" in line and "the node died" in line for line in toys.said)
    assert "1 graded, 0 wait" in toys.said[-1]


def test_a_fault_of_the_sending_side_ends_the_watch(toys):
    """It is told, and nobody waits for ever."""
    toys.hand_in("ada", CLASS["ada"])
    made = iter([Here])

    def make():
        return next(made)()

    toys.make = make
    with pytest.raises(RuntimeError, match="StopIteration"):
        toys.watch(lambda: False)


def test_two_notebooks(tmp_path, sent_at_once):
    toys = Watched(write_two(tmp_path), sent_at_once)
    folder = toys.root / "submitted/ada/counting"
    folder.mkdir(parents=True)
    for name, cells in (("first", AFTER), ("second", BEFORE)):
        (folder / f"{name}.ipynb").write_bytes(notebook(*cells))
        at_rest(folder / f"{name}.ipynb")
    toys.watch(toys.have({"ada": "graded"}))
    assert [one["points"] for one in toys.results()["ada"]["exercises"]] == [3, 5]
    assert len(toys.opened[1].sent) == 2
