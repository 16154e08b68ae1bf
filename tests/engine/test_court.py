"""The judge has walls too, and nothing that a hidden probe saw comes back to its author but fixed texts."""

import itertools
import json
import os
import random
import signal

import nbformat
import numpy as np
import pytest

from autograder.course.checks import Check, Remark
from autograder.errors import GraderFault
from autograder.gradebook.autograded import add_reports
from autograder.gradebook.gradescope import results_json
from autograder.grading import court
from autograder.grading.court import Court
from autograder.grading.grader import Graded
from autograder.grading.judge import PASSED, cut_paths, judge, remarks_on
from autograder.grading.recordings import Observation, Recording
from autograder.grading.report import Result, as_text, check_table, feedback_page, junit_xml, told_reason
from autograder.sandboxed.recording import Error, Other, Tensor


def recording(value: object, state: str = "returned", error: Error | None = None) -> Recording:
    return Recording({"seen": Observation(state, value, error)})


EXPECTED = {public: recording(1) for public in (True, False)}


def grows(observed, expected):
    """As a check does that makes something for every line that a recording claims."""
    if len([[] for _ in range(observed.seen)]) != expected.seen:
        raise AssertionError("another number of lines")


def endless(observed, expected):
    while observed.seen != 1:
        pass


def check(test, public: bool = True, name: str = "test_it") -> Check:
    return Check(name, "f", 1.0, "The title.", test, public)


@pytest.fixture
def courts():
    """Opens courts, and closes them."""
    opened = []

    def make(checks: list[Check], remarks: tuple[Remark, ...] = ()) -> Court:
        opened.append(Court(checks, list(remarks), EXPECTED))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_court_says_what_the_judge_says(courts):
    checks = [check(grows), check(grows, public=False, name="test_hidden_one")]
    remarks = [Remark("f", "Look again.", lambda observed, expected: observed.seen > 1)]
    opened = courts(checks, remarks)
    for number in (1, 3):
        seen = {True: recording(1), False: recording(number)}
        assert opened.judge(checks, seen) == (judge(checks, seen, EXPECTED), remarks_on(remarks, seen[False], EXPECTED[False]))
    assert opened.judge(checks[:1], {True: recording(1)})[0] == judge(checks[:1], {True: recording(1)}, EXPECTED)


@pytest.mark.parametrize(
    ("test", "number", "seconds", "why"), [(grows, 10**10, 60, "GB of memory"), (endless, 2, 0.5, "took more than")]
)
def test_a_recording_that_costs_too_much_ends_its_own_judging_alone(courts, monkeypatch, test, number, seconds, why):
    monkeypatch.setattr(court, "CPU_SECONDS", seconds)
    monkeypatch.setattr(court, "MEMORY_BYTES", 2**27)
    checks = [check(test)]
    opened = courts(checks)
    for _ in range(2):
        with pytest.raises(GraderFault, match=why):
            opened.judge(checks, {True: recording(number)})
        assert [j.verdict.state for j in opened.judge(checks, {True: recording(1)})[0]] == [PASSED]


def test_a_court_that_is_lost_is_replaced(courts):
    checks = [check(grows)]
    opened = courts(checks)
    os.kill(opened.pid, signal.SIGKILL)
    with pytest.raises(GraderFault, match="run the command again"):
        opened.judge(checks, {True: recording(1)})
    assert [j.verdict.state for j in opened.judge(checks, {True: recording(1)})[0]] == [PASSED]


# --- what comes back --------------------------------------------------------------------------------------------------

EXERCISES = {"work": ["f", "g"]}
STATES = ["raised", "missing", "crashed", "timed out", "out of memory"]


def is_one(observed, expected):
    assert observed.seen == expected.seen, f"found {observed.seen}"


HIDDEN = [
    check(is_one, public=False, name="test_one"),
    Check("test_two", "g", 2.0, "Another.", lambda observed, expected: is_one(observed, expected), False),
]
REMARKS = [
    Remark("f", "It is large.", lambda observed, expected: observed.seen > 100),
    Remark("f", "It is odd.", lambda observed, expected: observed.seen % 2 == 1),
    Remark("g", "never said", lambda observed, expected: f"it is {observed.seen}"),
]


def visible(graded: Graded) -> str:
    """All that a student can be shown of a graded submission, in one text."""
    result = Result("ada", "toy", "graded", graded.maximum, graded=graded)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("check('work')", id="a")])
    notebook.cells[0].metadata["nbgrader"] = {"grade_id": "exercise-work"}
    add_reports(notebook, graded, EXERCISES)
    parts = [feedback_page(result, EXERCISES), check_table(graded, EXERCISES), as_text(graded), junit_xml([result])]
    return "\n".join([*parts, json.dumps(results_json(result)), nbformat.writes(notebook)])


def forged(draw: random.Random) -> Recording:
    """A hidden recording as a submission can forge it."""
    text = "".join(draw.choices("abc/\x1b<>é0123456789", k=draw.randint(0, 40)))
    if draw.random() < 0.4:
        return recording(None, draw.choice(STATES), Error(text, text, text))
    values = [1, 3, draw.randint(2, 10**6), text, [text], {text: draw.random()}, Other(text, text), Error(text, text, text)]
    return recording(draw.choice([*values, Tensor(np.array([draw.random()]), text, text)]))


def test_a_hidden_process_has_two_states_a_check_and_a_bit_a_remark_to_speak_with():
    draw, seen = random.Random(1), {}
    for _ in range(400):
        observed = {False: forged(draw)}
        verdicts = tuple(j.verdict for j in judge(HIDDEN, observed, EXPECTED))
        remarks = remarks_on(REMARKS, observed[False], EXPECTED[False])
        bits = tuple(v.state == PASSED for v in verdicts), tuple(sorted(remarks.items()))
        seen.setdefault(bits, set()).add(visible(Graded(verdicts, (), remarks=remarks)))
    assert all(len(texts) == 1 for texts in seen.values()), "the same bits, and another page"
    assert 3 <= len(seen) <= 2 ** (len(HIDDEN) + len(REMARKS))


@pytest.mark.parametrize("states", [*itertools.combinations(["failed", *STATES[1:]], 2)], ids=" or ".join)
def test_how_a_hidden_check_ended_the_staff_alone_read(states):
    texts, kept = set(), set()
    for state in states:
        observed = {False: recording(2) if state == "failed" else recording(None, state, Error("E", "m"))}
        verdicts = tuple(j.verdict for j in judge(HIDDEN, observed, EXPECTED))
        graded = Graded(verdicts, ())
        texts.add(visible(graded))
        result = Result("ada", "toy", "graded", 3, graded=graded).as_dict(EXERCISES)
        kept.add(tuple(verdict["state"] for verdict in result["checks"]))
    assert len(texts) == 1 and len(kept) == 2


def test_of_the_graders_faults_a_student_reads_one_text():
    """The fault can be a check's own exception, with a hidden value in it."""
    result = Result("ada", "toy", "not graded", 3, reason="/srv/class/ada.ipynb was not graded: KeyError: 4711")
    for text in (told_reason(result), feedback_page(result, EXERCISES), junit_xml([result]), json.dumps(results_json(result))):
        assert "4711" not in text and "/srv" not in text and "the grader failed, not you" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no such file: '/srv/my/venv/lib/python3.11/site-packages/torch/nn/x.py'", "no such file: '…/x.py'"),
        ("/scratch/a.pt and /b", "…/a.pt and /b"),
        ("images/s, 3 / 4, n/a, https://pytorch.org/docs/x", "images/s, 3 / 4, n/a, https://pytorch.org/docs/x"),
        ("data/tiny-cifar-10/x", "data/tiny-cifar-10/x"),
    ],
)
def test_where_the_grader_lies_is_not_told(text, told):
    assert cut_paths(text) == told
    failed = judge([check(is_one)], {True: recording(None, "raised", Error("E", text))}, EXPECTED)[0].verdict
    assert failed.message == f"`f` raised E: {told}"
