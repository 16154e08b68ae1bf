"""Naming the mistake: the one that explains most, both where there are two, and none where none agrees."""

import math
from dataclasses import replace

import pytest
from conftest import FUNCTIONS, needs_walls
from toy_course import solved

from autograder.errors import Malformed
from autograder.grading.diagnose import (
    KnownMistake,
    Later,
    all_leaves,
    diagnose,
    diagnose_all,
    differing_places,
    known_mistake,
    load_known,
    save_known,
    varying_places,
    with_incidental,
    without_places,
)
from autograder.grading.recordings import Observation, Recording
from autograder.sandboxed.notebook import read_cells, select
from autograder.sandboxed.recording import Error, Timing

RIGHT = {"totals": {"plain": 10, "frozen": 20}, "sizes": [1.0, 2.0]}


def recording(**answers: object) -> dict[bool, Recording]:
    """Public recordings by probe: a value, or an exception for a probe that raised."""
    return {
        True: Recording(
            {
                name: Observation("raised", None, value) if isinstance(value, Error) else Observation("returned", value)
                for name, value in answers.items()
            }
        )
    }


def mistake(name: str, **answers: object) -> KnownMistake:
    return known_mistake(name, "f", f"hint of {name}", lambda again: recording(**(RIGHT | answers)), recording(**RIGHT))


def named(known: list[KnownMistake], probes: tuple[str, ...] = ("totals", "sizes"), **answers: object) -> str:
    found = diagnose(recording(**(RIGHT | answers)), recording(**RIGHT), [(True, name) for name in probes], known)
    return found.name if found else ""


KNOWN = [
    mistake("one", totals={"plain": 10, "frozen": 99}),
    mistake("both", totals={"plain": 77, "frozen": 99}),
    mistake("keys", totals={"plain": 10}),
    mistake("raises", totals=Error("KeyError", "'x'", "cell 1")),
    mistake("sizes", sizes=[1.0, 3.0]),
    mistake("everything", totals={"plain": 77, "frozen": 99}, sizes=[9.0, 9.0]),
]


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        ({"totals": {"plain": 10, "frozen": 99}}, "one"),
        ({"totals": {"plain": 77, "frozen": 99}}, "both"),  # "one" agrees too, and explains less
        ({"totals": {"plain": 10}}, "keys"),
        ({"totals": Error("KeyError", "'x'", "cell 7")}, "raises"),
        ({"sizes": [1.0, 3.000001]}, "sizes"),
        ({"totals": {"plain": 77, "frozen": 99}, "sizes": [9.0, 9.0]}, "everything"),
        ({"totals": {"plain": 77, "frozen": 99}, "sizes": [1.0, 3.0]}, "both"),  # with another mistake beside it
        ({"totals": {"plain": 11, "frozen": 20}}, ""),
        ({"totals": {"plain": 10, "frozen": 98}}, ""),
        ({"totals": Error("KeyError", "'y'")}, ""),
        ({"totals": Error("ValueError", "'x'")}, ""),
        ({"totals": 10}, ""),
        ({"sizes": [1.0, 3.1]}, ""),
        ({"sizes": [1.0]}, ""),
        ({}, ""),
    ],
)
def test_the_mistake_that_explains_most_is_named(answers, name):
    assert named(KNOWN, **answers) == name
    assert named(KNOWN[::-1], **answers) == name


def test_what_a_wrongly_called_function_is_called_tells_nothing():
    known = [mistake("takes_one", totals=Error("TypeError", "takes_one() takes 1 positional argument but 2 were given"))]
    assert named(known, totals=Error("TypeError", "f() takes 1 positional argument but 2 were given")) == "takes_one"
    assert named(known, totals=Error("TypeError", "f() takes 2 positional arguments but 3 were given")) == ""
    assert named(known, totals=Error("TypeError", "f() takes keyword arguments only")) == ""


def test_the_words_of_an_error_that_is_asked_for_tell_nothing():
    right = {"unknown": Error("ValueError", "what is this?", "cell 1"), "nan": Error("ValueError", "no", "cell 1")}
    wrong = {"unknown": Error("ValueError", "", "cell 9"), "nan": math.nan}
    known = known_mistake("lets_nan_through", "f", "", lambda again: recording(totals=wrong), recording(totals=right))
    assert [path for _, _, path in known.changed] == ["['nan']"]

    def found(unknown: object) -> KnownMistake | None:
        answer = recording(totals={"unknown": unknown, "nan": math.nan})
        return diagnose(answer, recording(totals=right), [(True, "totals")], [known])

    assert found(Error("ValueError", "rates are to be positive", "cell 3")) is known
    for other in (Error("TypeError", "what is this?", "cell 1"), Error("ValueError", "what is this?", ""), 2.0):
        leaves = [all_leaves(recording(totals=answers), [(True, "totals")]) for answers in (right | {"unknown": other}, right)]
        assert differing_places(*leaves) == {(True, "totals", "['unknown']")}


def test_only_the_probes_that_failing_checks_looked_at_count():
    answers = {"totals": {"plain": 10, "frozen": 99}, "sizes": [1.0, 3.0]}
    assert named(KNOWN, ("sizes",), **answers) == "sizes"
    assert named(KNOWN, ("totals",), **answers) == "one"
    assert named(KNOWN, (), **answers) == ""


def test_what_is_known_survives_the_way_into_a_release(tmp_path):
    path = tmp_path / "mistakes"
    save_known(path, KNOWN, {(True, "sizes", "[…]"), (False, "secret", "")})
    assert any(leaf.where for leaf in KNOWN[3].changed.values() if isinstance(leaf, Error))
    mistakes, varying = load_known(path)
    assert varying == {(True, "sizes", "[…]")}  # of the hidden probes nothing is told
    for kept, known in zip(mistakes, KNOWN, strict=True):  # but for the mistake's own lines of code
        assert (kept.name, kept.of, kept.hint) == (known.name, known.of, known.hint)
        assert kept.changed == {place: without_places(leaf) for place, leaf in known.changed.items()}
        assert kept.incidental == {place for place in known.changed if place[1] == "sizes"}
    data = path.read_bytes()
    for damaged in (b"", data[:-20], b"\0" * 50, data[:30] + b"x" + data[31:]):
        path.write_bytes(damaged)
        with pytest.raises(Malformed, match="is damaged"):
            load_known(path)


# --- what varies between right answers --------------------------------------------------------------------------------


PLOT = {"x": [1.0, 2.0], "words": ["training", "test"], "width": 4}
ALTERNATIVES = [
    PLOT | {"x": [1.0, 2.001]},  # rounded: the numbers tell a mistake all the same
    PLOT | {"words": ["Train", "Test"]},
    PLOT | {"words": ["training", "validation"], "width": 6},
]


def plots(*known: dict) -> list[KnownMistake]:
    right = recording(plot=PLOT)
    made = [known_mistake(str(n), "f", "hint", lambda _, c=c: recording(plot=PLOT | c), right) for n, c in enumerate(known)]
    return [with_incidental(one, varying()) for one in made]


def varying() -> frozenset:
    return varying_places([recording(plot=one) for one in ALTERNATIVES], recording(plot=PLOT))


FROM_0, SWAPPED = {"x": [0.0, 1.0]}, {"words": ["test", "training"]}


@pytest.mark.parametrize(
    ("known", "seen", "name"),
    [
        ([FROM_0, SWAPPED], FROM_0 | {"words": ["a", "b"], "width": 9}, "0"),  # as right answers may have it
        ([FROM_0 | {"words": ["x", "y"]}, SWAPPED], FROM_0, "0"),
        ([FROM_0, SWAPPED], SWAPPED, "1"),  # what is in the words alone is told by the words
        ([FROM_0, SWAPPED], {"words": ["b", "a"]}, ""),
        ([FROM_0], {"x": [0.0, 2.0]}, ""),
        ([FROM_0], {"x": [0.0, 1.0], "y": 3, "words": ["a", "b"]}, "0"),  # all it changes is here, and something besides
        ([FROM_0 | {"width": 5}], {"x": [0.0, 1.0], "y": 3}, ""),  # in its essence only, and something besides
        ([FROM_0 | {"width": 5}, FROM_0 | {"width": 7}], FROM_0, ""),  # two of one essence
        ([FROM_0 | {"width": 5}, FROM_0 | {"width": 7}], FROM_0 | {"width": 7}, "1"),
    ],
)
def test_what_varies_between_right_answers_is_not_held_against_a_mistake(known, seen, name):
    found = diagnose(recording(plot=PLOT | seen), recording(plot=PLOT), [(True, "plot")], plots(*known), varying())
    assert (found.name if found else "") == name


def test_what_varies_is_looked_for_only_where_no_mistake_agrees_in_all():
    """Under the hidden probes that takes a run of every right answer there is."""
    looked = []
    later = Later(lambda: looked.append("looked") or varying())
    [made] = plots(FROM_0)
    known = [with_incidental(replace(made, incidental=frozenset()), later)]

    def found(**seen: object) -> list[str]:
        both = recording(plot=PLOT | seen), recording(plot=PLOT)
        return [one.name for one in diagnose_all(*both, [(True, "plot")], known, later)]

    assert found(**FROM_0) == ["0"] and not looked
    assert found(**FROM_0, words=["a", "b"]) == ["0"]  # all it changes is here, and words that it does not change
    assert found(x=[0.0, 2.0], words=["a", "b"]) == [] and looked == ["looked"]
    assert later | {"more"} == {*varying(), "more"} and len(later) == len(varying())


def test_no_further_mistake_is_looked_at_when_one_explains_all_but_wall_times():
    """Each costs a run, and wall times differ on any machine."""
    right, seen = {"rate": 1, "seconds": Timing(0.1)}, {"rate": 2, "seconds": Timing(0.9)}
    made = [recording(fit=right | {"rate": rate}) for rate in (2, 3)]
    known = [known_mistake("rate", "f", "hint", lambda _, one=one: one, recording(fit=right)) for one in made]
    looked = iter(known)
    assert diagnose(recording(fit=seen), recording(fit=right), [(True, "fit")], looked) == known[0]
    assert list(looked) == known[1:]


def test_an_error_of_the_function_is_not_one_of_who_uses_what_it_returned():
    known = [mistake("gives_none", totals=Error("TypeError", "'NoneType' object is not callable"))]
    assert named(known, totals=Error("TypeError", "'NoneType' object is not callable")) == "gives_none"
    assert named(known, totals=Error("TypeError", "'NoneType' object is not callable", "cell 3, line 2: f()")) == ""


# --- two at once -------------------------------------------------------------------------------------------------------


def both_named(known: list[KnownMistake], **answers: object) -> list[str]:
    probes = [(True, "totals"), (True, "sizes")]
    return [m.name for m in diagnose_all(recording(**(RIGHT | answers)), recording(**RIGHT), probes, known)]


@pytest.mark.parametrize(
    ("answers", "names"),
    [
        ({"totals": {"plain": 10, "frozen": 99}, "sizes": [1.0, 3.0]}, ["one", "sizes"]),
        ({"totals": {"plain": 77, "frozen": 99}, "sizes": [1.0, 3.0]}, ["both", "sizes"]),  # "one" is in "both"
        ({"totals": {"plain": 77, "frozen": 99}, "sizes": [9.0, 9.0]}, ["everything"]),
        ({"totals": {"plain": 10, "frozen": 99}, "sizes": [1.0, 3.5]}, ["one"]),  # the other is no known one
        ({"totals": {"plain": 11, "frozen": 20}, "sizes": [1.0, 3.0]}, ["sizes"]),
        ({"totals": {"plain": 11, "frozen": 20}, "sizes": [1.0, 3.5]}, []),
    ],
)
def test_two_mistakes_are_both_named_and_never_one_that_is_not_there(answers, names):
    assert both_named(KNOWN, **answers) == names
    assert set(both_named(KNOWN[::-1], **answers)) == set(names)


# --- in a class -------------------------------------------------------------------------------------------------------


def hints(grader, **changed: str) -> dict[str, str]:
    """The mistake named for each function that loses points; empty where none is."""
    graded = grader.grade(select(read_cells(solved(**changed)), FUNCTIONS))
    return {v.function: v.mistake for v in graded.verdicts if v.points < v.maximum}


@needs_walls
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, {}),
        ({"double": "def double(x):\n    return x ** 2"}, {"double": "squares"}),  # another error for a text: a second slip
        ({"double": "def double(x):\n    return x.__mul__(x)"}, {"double": "squares"}),
        ({"double": "def double(x): return x * x if x < 1000 else -1"}, {"double": "squares"}),
        ({"double": "def double(x): return int(x + x) if x < 1000 else -1"}, {"double": "forgets_fractions"}),
        # it squares small numbers alone, and is wrong about a text: a right answer rules out what is wrong there
        ({"double": "def double(x): return x * x if x != 'ab' and x < 9 else x if x == 'ab' else x + x"}, {"double": ""}),
        # the public answers are only partly those of `forgets_fractions`
        ({"double": "def double(x): return 7 if x == 3 else int(x + x) if x < 9 else -1"}, {"double": ""}),
        ({"double": "import operator\ndef double(x): return operator.mul(x, x)"}, {"double": "squares"}),
        ({"double": "def double(n): return int(2 * n)"}, {"double": "forgets_fractions"}),
        ({"double": "double = lambda x: x + 2"}, {"double": ""}),
        ({"quadruple": "quadruple = lambda x: double(x)"}, {"quadruple": "doubles_once"}),
        (
            {"double": "def double(x): return x * x", "mean": "def mean(n): return float(sum(n))"},
            {"double": "squares", "mean": "forgets_to_divide"},
        ),
        ({"double": "def double(x): return x * x", "mean": "mean = max"}, {"double": "squares", "mean": ""}),
        # two mistakes: a wrapping, and what is inside
        ({"mean": "import numpy as np\ndef mean(n): return np.array([float(sum(n))])"}, {"mean": "forgets_to_divide"}),
        (  # called as it wants to be called: one mistake, one function
            {
                "double": "def double(x, times): return times * x",
                "quadruple": "def quadruple(x): return double(double(x, 2), 2)",
            },
            {"double": ""},
        ),
        ({"double": "def double(x, times): return times * x"}, {"double": ""}),  # and called as it should want to be
        ({"double": "def double(x):\n    pass"}, {"double": ""}),  # the stub is missing, not mistaken
    ],
)
def test_a_submission_gets_the_hints_of_its_mistakes(grader, changed, named):
    assert hints(grader, **changed) == named


@needs_walls
def test_every_known_mistake_gets_its_own_hint(grader):
    for entry in grader.contents.mistakes:
        failing = [v for v in grader.grade(grader.contents.code(entry)).verdicts if v.points < v.maximum]
        assert {v.function for v in failing} == {entry.of}, entry.name
        assert {(v.mistake, v.hint) for v in failing} == {(entry.name, entry.hint)}


def test_what_a_second_run_does_not_give_again_is_no_sign_of_a_mistake():
    from autograder.grading.diagnose import known_mistake
    from autograder.sandboxed.recording import Timing

    right = recording(history={"loss": [1.0, 2.0], "seconds": [Timing(0.1)]})
    runs = iter([0.0031, 0.0047])  # a wall time that the mistake writes into the losses

    def observe(again: bool) -> dict[bool, Recording]:
        return recording(history={"loss": [5.0, next(runs)], "seconds": [Timing(0.1)]})

    found = known_mistake("misplaces", "f", "hint", observe, right)
    assert list(found.changed) == [(True, "history", "['loss'][0]")]


def test_candidates_behind_the_first_are_made_some_at_a_time():
    from autograder.grading.naming import AHEAD, Naming

    made, naming = [], object.__new__(Naming)
    naming.with_hidden = lambda mistake: made.append(mistake) or mistake
    candidates = naming._made([0, 1, 2, 3, 4, 5])
    assert next(candidates) == 0 and made == [0]
    assert [next(candidates), next(candidates)] == [1, 2]
    candidates.close()
    assert len(made) <= 3 + AHEAD < 6
    assert list(naming._made([0, 1, 2, 3, 4, 5])) == [0, 1, 2, 3, 4, 5] and list(naming._made([])) == []
