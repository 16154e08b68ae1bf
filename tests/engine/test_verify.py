"""The instructor's gate: a sound module is verified, and every kind of fault in one is found and named."""

import pytest
from conftest import needs_walls
from rich.console import Console
from toy_course import ALTERNATIVES, MISTAKES, TEST_HIDDEN, TEST_PUBLIC, write_course

from autograder.authors.verify import verify
from autograder.course.course import Course
from autograder.errors import CourseError

pytestmark = needs_walls


@pytest.fixture
def verified(shared, tmp_path, capsys):
    """Verifies a course with the toy's probes under a name of its own; gives the answer and what was printed."""

    def run(name: str, only: tuple[str, ...] = (), **changed: str) -> tuple[bool, str]:
        module = Course(write_course(tmp_path, name, **changed)).module(name)
        answer = verify(module, 1, Console(width=200), only, workers=2)
        return answer, capsys.readouterr().out

    return run


def test_a_sound_module_is_verified(verified):
    answer, out = verified("sound")
    assert answer and out.rstrip().endswith("sound: verified") and "problem" not in out
    assert "7 known mistakes, 2 alternatives" in out
    assert "5 checks, 4 points public and 2.5 hidden" in out


def test_what_one_is_writing_is_verified_alone(verified):
    answer, out = verified("part", only=("double", "forgets_to_divide"))
    assert answer and out.rstrip().endswith("part: verified, of double, forgets_to_divide alone")
    assert "test_doubles" in out and "test_means" in out and "quadruple" not in out
    with pytest.raises(CourseError, match="part2 has no function, mistake or alternative 'duoble': did you mean double\\?"):
        verified("part2", only=("duoble",))


FAULTY_CHECKS = '''

@check("quadruple", points=1)
def test_whole_quadruples(observed, expected):
    """Costs quadruple what double does wrong."""
    same(observed.whole_quadruples, expected.whole_quadruples, "quadruple")


@check("mean", points=1)
def test_nothing(observed, expected):
    """Looks at the answer and asks nothing of it."""
    assert observed.long_means is not None


@check("mean", points=1)
def test_too_strict(observed, expected):
    """Accepts no other order of adding."""
    same(observed.long_means, expected.long_means + 1e-9, "the mean", within=1e-12)


@check("mean", points=1)
def test_by_luck(observed, expected):
    """Is true under one seed alone."""
    same(round(expected.long_means, 3), LUCKY, "the mean", within=1e-9)
'''.replace("LUCKY", "0.0")
FAULTY_MISTAKES = '''

@mistake(of="mean", caught_by="test_means")
def is_right(numbers):
    """Not a mistake at all."""
    return sum(numbers) / len(numbers)


@mistake(of="mean", caught_by="test_doubles")
def is_caught_elsewhere(numbers):
    """Names another check."""
    return sum(numbers) / len(numbers) + 1


@mistake(of="mean", caught_by="test_means")
def is_a_twin(numbers):
    """Answers as another one does."""
    return float(sum(numbers))


@mistake(of="median", caught_by="test_means")
def is_of_nothing(numbers):
    """There is no median."""
    return 0.0
'''
FAULTY_ALTERNATIVES = '''

@alternative(of="mean")
def is_wrong(numbers):
    return sorted(numbers)[0]


@alternative(of="median")
def is_no_alternative(numbers):
    return 0.0
'''


def test_every_kind_of_fault_is_found(verified):
    """One module with all of them, since each would cost a verification."""
    answer, out = verified(
        "faulty",
        test_hidden=TEST_HIDDEN + FAULTY_CHECKS,
        mistakes=MISTAKES + FAULTY_MISTAKES,
        alternatives=ALTERNATIVES + FAULTY_ALTERNATIVES,
    )
    assert not answer
    for problem in (
        "the mistake is_caught_elsewhere of mean names test_doubles, is caught by ",
        "the mistake squares of double also costs quadruple: test_whole_quadruples",
        "the mistake is_of_nothing is of 'median', which the notebook does not define",
        "the alternative is_wrong of mean fails test_means: mean([1.0, 2.0]): expected 1.5, found 1.",
        "the alternative is_no_alternative is of 'median', which the notebook does not define",
        "the check test_nothing is needed by no known mistake: add one, or remove the check",
        "the reference fails test_too_strict (seed 1, 1 threads): the mean: expected ",
        "the reference fails test_by_luck (seed 2, 1 threads): the mean: expected 0",
    ):
        assert f"problem: {problem}" in out, out
    twin = "the mistake is_a_twin of mean gets the hint of forgets_to_divide: no probe tells them apart"
    assert f"remark: {twin}" in out
    assert "faulty: verified" not in out


def test_a_mistake_that_no_check_catches_is_found(verified):
    answer, out = verified("uncaught", mistakes=MISTAKES + FAULTY_MISTAKES.split("@mistake")[1].join(["@mistake", ""]))
    assert not answer and "problem: the mistake is_right of mean is not caught: it has full marks" in out
    assert "uncaught: 1 problems" in out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mistakes": "def f(): pass\ndef f(): pass"}, "f defined more than once: give each its own name"),
        ({"mistakes": "def double(x): pass"}, "the notebook also binds the name double"),
        ({"mistakes": "import statistics as math"}, "the notebook also binds the name math"),
        ({"mistakes": "@mistake(of='mean', caught_by='t')\ndef f(): pass"}, "the mistake f needs a docstring"),
        ({"mistakes": "@mistake(of='mean')\ndef f():\n    '''Hint.'''"}, "the mistake f needs caught_by"),
        ({"mistakes": "@mistake(of=MEAN, caught_by='t')\ndef f(): pass"}, "takes plain strings only"),
        (
            {"mistakes": "@mistake(of='mean', caught_by='t')\ndef f(x):\n    \"Hint.\"\n    return 2 * mean(x)"},
            "f stands in the place of mean and so calls itself for ever",
        ),
        ({"mistakes": "def f(:"}, "does not run: invalid syntax"),
        ({"test_public": TEST_PUBLIC.replace('"mean"', '"median"')}, "is about 'median', which the notebook does not"),
        ({"test_hidden": TEST_PUBLIC}, "two checks are called test_"),
        ({"test_public": "import no_such_package"}, "could not be collected:(.|\n)*no_such_package"),
        ({"test_public": "x = 1", "test_hidden": "x = 1"}, "could not be collected"),
        ({"source": "# %% role='exercise'\nx = 1\n"}, "role 'exercise' needs function="),
    ],
)
def test_a_course_that_cannot_be_read_says_where(shared, tmp_path, request, changed, message):
    name = f"unread{request.node.callspec.indices['changed']}"
    module = Course(write_course(tmp_path, name, **changed)).module(name)
    with pytest.raises(CourseError, match=message):
        verify(module, 1, Console(quiet=True), workers=1)
