"""Groups of a class: who answers alike stands under one name, which stays, and who does not stands under another."""

import json

import numpy as np
import pytest
from conftest import needs_walls
from test_grade import submit
from toy_course import solved, write_course

from autograder import cli
from autograder.classes.grade import observed_file
from autograder.classes.groups import CHECK, MISTAKE, UNNAMED, class_groups, group_of, read_results
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.grading.alike import group_names
from autograder.grading.judge import Judged, Verdict
from autograder.grading.recordings import Observation, Recording
from autograder.sandboxed.recording import Error, Tensor

FAILED = Verdict("test_f", "f", "It holds.", True, "failed", 0, 1)
JUDGED = [Judged(FAILED, ("probe",), ())]


def name_of(value, right=1.0, judged=JUDGED, **how):
    observation = Observation(**{"state": "returned", "value": value} | how)
    found = group_names(judged, *({True: Recording({"probe": o})} for o in (observation, Observation("returned", right))))
    return found.get("f", "")


RIGHT = [0.5, 1.5, 2.5]
ALIKE = {
    "rounding": ([1.5, 2.5, 3.5], [1.5 + 1e-9, 2.5, 3.5 - 1e-9], RIGHT),
    "not a number": ([1.5, float("nan")], [1.5, float("nan")], RIGHT),
    "an array": (Tensor(np.ones(4, np.float32), "float32"), Tensor(np.ones(4, np.float32) * (1 + 1e-7), "float32"), RIGHT),
    "an address": (Error("TypeError", "<a at 0x12>"), Error("TypeError", "<a at 0x345>"), 1),
}
OTHER = {
    "a value": ([1.5, 2.5, 3.5], [1.5, 2.5, 3.6], RIGHT),
    "an order": ([1.5, 2.5, 3.5], [3.5, 2.5, 1.5], RIGHT),
    "a type": ([1, 2, 3], [1.0, 2.0, 3.0], RIGHT),
    "a place": ({"a": 2, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}),
    "an exception": (Error("TypeError", "no"), Error("ValueError", "no"), 1),
    "infinities": (float("inf"), -float("inf"), 1.0),
}


@pytest.mark.parametrize("case", ALIKE)
def test_answers_that_rounding_alone_tells_apart_are_alike(case):
    one, other, right = ALIKE[case]
    assert name_of(one, right) == name_of(other, right) != ""


@pytest.mark.parametrize("case", OTHER)
def test_answers_that_differ_otherwise_are_not(case):
    one, other, right = OTHER[case]
    assert name_of(one, right) != name_of(other, right)


def test_how_a_probe_ended_is_an_answer_too():
    assert name_of(None, state="timed out") != name_of(None, state="crashed")


def test_what_a_mistake_explains_or_nobody_wrote_has_no_group():
    for change in ({"mistake": "m"}, {"state": "missing"}, {"state": "passed"}, {"state": "not graded"}):
        verdict = Verdict(**{**FAILED.as_dict(), **change})
        assert name_of(2.0, judged=[Judged(verdict, ("probe",), ())]) == ""


def test_a_name_is_short_and_stays():
    assert name_of([1.5, 2.5, 3.5], RIGHT) == "g6b1960"


ADDS_ONE = "def mean(numbers):\n    return {}sum(numbers) / len(numbers) + 1.0"


@pytest.fixture
def graded(shared, tmp_path, monkeypatch, capsys):
    """A graded class: two who add one, one who adds two, one with a known mistake, one who is right."""
    module = Course(write_course(tmp_path / "course", "toys")).module("toys")
    answers = {"ann": ADDS_ONE.format(""), "bea": ADDS_ONE.format("0.5 + -0.5 + "), "cem": ADDS_ONE.format("1.0 + ")}
    for student, mean in answers.items():
        submit(module, student, solved(mean=mean))
    submit(module, "dan", solved(double="def double(x): return x * x"))
    submit(module, "eli", solved())
    monkeypatch.chdir(module.root)
    assert cli.main(["grade", "toys"]) == 0
    capsys.readouterr()
    return module


@needs_walls
def test_a_class_in_groups(graded):
    results, damaged = read_results(graded.grades)
    groups = class_groups(results, graded.grades)
    unnamed = [group for group in groups if group.kind == UNNAMED]
    assert damaged == [] and [group.students for group in unnamed] == [("ann", "bea"), ("cem",)]
    assert unnamed[0].function == "mean" and unnamed[0].checks == ("test_means", "test_long_means")
    assert [(g.name, g.students) for g in groups if g.kind == MISTAKE] == [("squares", ("dan",))]
    assert ("test_means", ("ann", "bea", "cem")) in [(g.name, g.students) for g in groups if g.kind == CHECK]
    for group in groups:
        assert group_of(graded.grades, group.name) == group
    with pytest.raises(CourseError, match="no group is called 'square' in .*: did you mean squares?"):
        group_of(graded.grades, "square")
    with pytest.raises(CourseError, match="grade it first: autograder grade no"):
        group_of(graded.grades.parent / "no", "g1")


@needs_walls
def test_what_was_kept_of_another_notebook_is_not_believed(graded):
    path = observed_file(graded.grades, "ann")
    about = json.loads(path.read_text())
    assert about["seconds"] > 0 and about["distances"]["test_long_means"] > 1e6
    path.write_text(json.dumps(about | {"notebook_sha256": "0" * 64}))
    observed_file(graded.grades, "bea").write_text("[")
    assert [g.students for g in class_groups(read_results(graded.grades)[0], graded.grades) if g.kind == UNNAMED] == [("cem",)]
