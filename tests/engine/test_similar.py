"""`autograder similar`: who wrote nearly the same, what is left out by rule, and that nothing of a submission runs."""

import builtins
import re

import numpy as np
import pytest
from conftest import needs_walls
from test_grade import submit
from test_regrade import run as _run  # noqa: F401  the fixture
from toy_course import notebook, solved, write_course

from autograder.course.course import Course, Module
from autograder.training.claim_file import FIGURES, Claim, hash_of, pack_claim

pytestmark = needs_walls

LONG = '''def mean({n}):
    """{doc}"""
    {total} = 0.0
    {count} = 0
    while {count} < len({n}):
        {one} = float({n}[{count}])
        if {one} != {one}:
            raise ValueError("{word}")
        {total} = {total} + {one}
        {count} = {count} + 1
    return {total} / {count} if {count} else float("nan")'''
OTHER = """def mean(numbers):
    from collections import Counter
    weighted = [(many, number) for number, many in Counter(sorted(numbers, key=repr)).items()]
    shares = [many * number / sum(pair[0] for pair in weighted) for many, number in weighted]
    return float(sum(sorted(shares)))"""
ADAS = LONG.format(n="numbers", total="total", count="count", one="number", doc="Mine.", word="no number")
BOBS = LONG.format(n="values", total="s", count="i", one="v", doc="<b>My own.</b>", word="what is this?")
CLASS = {
    "ada": solved(mean=ADAS),
    "bob": solved(mean="# mine alone\n" + BOBS, double="def double(x):\n    return 2 * x"),
    "eve": solved(mean=OTHER),
    "ivy": solved(double="def double(x): return sum([x, x])"),
    "joe": solved(
        double="def double(x): return sum([x, x])", quadruple="# joe\ndef quadruple(x): return double(double(x))"
    ),
    "kim": b"{not a notebook",
}


@pytest.fixture
def run(_run):  # noqa: F811
    return _run


@pytest.fixture
def course(run, tmp_path, monkeypatch) -> Module:
    return a_class(run, tmp_path, monkeypatch, CLASS)


def a_class(run, tmp_path, monkeypatch, students: dict[str, bytes]) -> Module:
    module = Course(write_course(tmp_path / "course", "toys")).module("toys")
    for student, data in students.items():
        submit(module, student, data)
    monkeypatch.chdir(module.root)
    run("grade")
    return module


def a_claim() -> bytes:
    weights = {"conv.weight": np.ones((8, 3, 3, 3), np.float16)}
    history = {name: [0.5] for name in FIGURES}
    about = ("toys", "Net", 10, 10, 32, 4, "Adam", 0.1, 1, 7, history, [hash_of(weights)], [1.0], ["cpu"], {}, weights)
    return pack_claim(Claim(*about))


def page(course: Module) -> str:
    return (course.grades / "similar.html").read_text()


def test_other_names_and_comments_hide_nothing_and_short_functions_are_left_out(course, run):
    status, out, err = run("similar")
    assert (status, err) == (0, "") and "mean: ada, bob: the same but for names, comments and texts" in out
    assert "double:" not in out and "joe" not in out and "eve" not in out
    assert "kim: is not a notebook" in out and "5 hand-ins" in out
    shown = page(course)
    assert "A reason to look, and not a proof." in shown
    assert "<script" not in shown and not re.search("https?:", shown)
    assert re.findall("<figcaption>(.*?)</figcaption>", shown) == ["ada", "bob"]
    assert "&lt;b&gt;My own.&lt;/b&gt;" in shown and "<b>" not in shown
    assert "<mark>def mean(values):" in shown, "what is alike is marked in the student's own text"


def test_the_same_file_is_named_first_and_the_released_one_never(course, run):
    from autograder.authors.release import released_cells
    from autograder.grading.contents import Contents

    submit(course, "zoe", CLASS["eve"])
    stubs = notebook(*(cell.stub for cell in released_cells(Contents(course)) if cell.kind == "code"))
    for student in ("pia", "pit"):
        submit(course, student, stubs)
    run("grade")
    lines = run("similar")[1].splitlines()
    assert lines[0] == "the same notebook, byte for byte: eve, zoe"
    assert lines[1] == "mean: ada, bob: the same but for names, comments and texts"
    assert lines[2] == "mean: eve, zoe: the same to the letter" and "pia" not in page(course)


def test_what_a_right_answer_may_hold_tells_nothing(course, run):
    """Ada's function as an alternative of the catalogue: now it is an answer that anybody may write."""
    alternatives = course.tests / "alternatives.py"
    as_alternative = ADAS.replace("def mean", '@alternative(of="mean")\ndef steps')
    alternatives.write_text(alternatives.read_text() + f"\n\n{as_alternative}\n")
    out = run("similar")[1]
    assert "mean:" not in out and "ada" not in page(course)


@pytest.mark.parametrize(("writers", "told"), [(5, True), (6, False)])
def test_what_more_than_five_of_a_small_class_write_is_everyones(run, tmp_path, monkeypatch, writers, told):
    students = {f"s{n}": solved(mean=ADAS, double=f"# {n}\ndouble = lambda x: x + x") for n in range(writers)}
    a_class(run, tmp_path, monkeypatch, students)
    assert ("mean: s0, s1, s2" in run("similar")[1]) is told


def test_nearly_the_same_is_said_by_how_much(run, tmp_path, monkeypatch):
    longer = ADAS.replace("    return", "    assert count\n    return")
    a_class(
        run, tmp_path, monkeypatch, {"ada": solved(mean=ADAS), "bob": solved(mean=longer), "eve": solved(mean=OTHER)}
    )
    assert re.search(r"mean: ada, bob: [89]\d% of what is their own is alike", run("similar")[1])


def test_claims_of_one_origin_are_named(course, run):
    for student in ("ada", "eve"):
        (course.root / "submitted" / student / "toys" / "claim.safetensors").write_bytes(a_claim())
    (course.root / "submitted" / "bob" / "toys" / "claim.safetensors").write_bytes(b"no claim at all")
    out = run("similar")[1]
    assert out.startswith("claims: ada's and eve's have the same weights after an epoch, to the last bit")
    assert "passed over: bob's claim: is " in out and "ada and eve have the same weights" in page(course)


def test_a_class_that_was_not_read_is_to_be_graded_first(run, tmp_path, monkeypatch):
    module = Course(write_course(tmp_path / "course", "toys")).module("toys")
    submit(module, "ada", CLASS["ada"])
    monkeypatch.chdir(module.root)
    assert run("similar") == (2, "", "autograder: no hand-in of this class was read yet: autograder grade toys\n")


def test_without_the_package_a_line_says_what_to_install(course, run, monkeypatch):
    imported = builtins.__import__

    def without(name, *about):
        if name.startswith("copydetect"):
            raise ImportError(name)
        return imported(name, *about)

    monkeypatch.setattr(builtins, "__import__", without)
    status, _, err = run("similar")
    assert status == 2 and "pip install 'copydetect>=0.5'" in err and not (course.grades / "similar.html").exists()
