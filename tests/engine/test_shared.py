"""What several modules share: files in `tests/common/`, imported as if they lay in each module's own folder."""

import io
import itertools
import json

import pytest
from rich.console import Console
from toy_course import solved, write_course

from autograder.authors.leaks import find_leaks
from autograder.authors.release import release
from autograder.authors.stale import check_release
from autograder.authors.verify import verify
from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader
from autograder.students.check import Bundle

INIT = '"""A week."""\n\nfrom pathlib import Path\n\n__path__.append(str(Path(__file__).parents[1] / "common"))\n'
SOURCE = '''
# %% [markdown]
# # Sums

# %%
from autograder import check

# %% role="exercise" function="total"
def total(numbers):
    """Their sum."""
    ### BEGIN SOLUTION
    together = 0
    for number in numbers:
        together += number
    return together
    ### END SOLUTION

# %% role="grade" exercise="sums"
check("sums")
'''
COMMON = {
    "numbers": '"""Numbers to add."""\n\n\ndef small():\n    return [1, 2, 3]\n',
    "total_probes_public": '''
from autograder.authoring import probe

from .numbers import small


@probe("total")
def of_three(student, draw):
    return student.total(small())
''',
    "total_probes_hidden": '''
from autograder.authoring import probe


@probe("total")
def of_many(student, draw):
    return student.total([draw.randint(1, 9) for _ in range(30)])
''',
    "total_test_public": '''
from autograder.authoring import check, same


@check("total", points=1)
def test_of_three(observed, expected):
    """Adds three."""
    same(observed.of_three, expected.of_three, "total([1, 2, 3])")
''',
    "total_test_hidden": '''
from autograder.authoring import check, remark, same


@check("total", points=2)
def test_of_many(observed, expected):
    """Adds many."""
    same(observed.of_many, expected.of_many, "a hidden sum")


@remark("total", "It is even.")
def even(observed, expected):
    return observed.of_many % 2 == 0
''',
    "total_mistakes": '''
from autograder.authoring import mistake


@mistake(of="total", caught_by="test_of_three")
def leaves_the_last_out(numbers):
    """The last number is missing."""
    return sum(numbers[:-1])


@mistake(of="total", caught_by="test_of_many")
def adds_ten_at_most(numbers):
    """Only the first ten are added."""
    return sum(numbers[:10])
''',
    "total_alternatives": '''
from autograder.authoring import alternative


@alternative(of="total")
def by_python(numbers):
    return sum(numbers)
''',
}
NUMBERS = itertools.count(1)  # a name of its own for each module: checks are imported, once for a name
PARTS = ("probes_public", "probes_hidden", "test_public", "test_hidden", "mistakes", "alternatives")


@pytest.fixture
def course(tmp_path) -> Course:
    """Two weeks that ask for the same function, and a third that shares nothing."""
    write_course(tmp_path)
    (tmp_path / "tests" / "common").mkdir()
    for name, text in COMMON.items():
        (tmp_path / "tests" / "common" / f"{name}.py").write_text(text)
    taken = {part: f"from .total_{part} import *  # noqa: F403\n" for part in PARTS}
    for _ in range(2):
        write_course(tmp_path, f"week{next(NUMBERS):02d}", source=SOURCE, __init__=INIT, **taken)
    return Course(tmp_path)


@pytest.mark.parametrize("which", [1, 2])
def test_each_week_asks_judges_and_knows_what_is_shared(course, which):
    contents = Contents(course.modules()[which])
    assert {(check.name, check.public) for check in contents.checks} == {("test_of_three", True), ("test_of_many", False)}
    assert [remark.says for remark in contents.remarks] == ["It is even."]
    assert [mistake.name for mistake in contents.mistakes] == ["leaves_the_last_out", "adds_ten_at_most"]
    with Grader(contents.module, seed=3, sandbox="none", workers=1) as grader:
        right = grader.grade(grader.read(solved(total="def total(numbers):\n    return sum(numbers)")))
        wrong = grader.grade(grader.read(solved(total="def total(numbers):\n    return sum(numbers[:-1])")))
    assert right.score == right.maximum == 3
    assert wrong.score == 0 and "The last number is missing." in str(wrong)


def test_a_release_holds_what_its_public_files_share_and_nothing_hidden(course):
    module = course.modules()[1]
    release(module)
    checks = module.release / "checks"
    shared = {path.name for path in checks.glob("*.py")}
    assert shared == {"__init__.py", "probes_public.py", "test_public.py"} | {
        f"{name}.py" for name in ("numbers", "total_probes_public", "total_test_public")
    }
    assert check_release(module) == []
    assert "total_test_public.py" in json.dumps(json.loads((checks / "module.json").read_text())["files"])
    bundle = Bundle(checks)
    assert [check.name for check in bundle.checks] == ["test_of_three"]
    (checks / "numbers.py").write_text((course.root / "tests/common/total_mistakes.py").read_text())
    leaks = find_leaks(Contents(module), [f"checks/{path.name}" for path in checks.iterdir()], module.release)
    assert any("a line of tests/common/total_mistakes.py" in leak for leak in leaks)


def test_a_week_that_shares_nothing_is_not_touched(course):
    (course.root / "tests/common/numbers.py").write_text("halfway = double(x)\nreturn double(halfway)\n")
    module = course.module("toy")
    assert {path.parent.name for path in [*module.public_files, *module.secret_files]} == {"toy"}


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("mistakes", "from .totals_mistakes import *\n", "mistakes.py, line 1: .* names no file of .*tests/common"),
        ("mistakes", "from .total_mistakes import leaves_one_out\n", "no entry 'leaves_one_out': did you mean leaves_the_last"),
        (
            "mistakes",
            "from autograder.authoring import mistake\nfrom .total_mistakes import *\n\n"
            '@mistake(of="total", caught_by="test_of_three")\ndef adds_ten_at_most(numbers):\n    """No."""\n    return 0\n',
            "adds_ten_at_most stands here and in a shared file",
        ),
    ],
)
def test_a_catalogue_that_takes_what_is_not_there_says_so(course, name, text, words):
    (course.modules()[1].tests / f"{name}.py").write_text(text)
    with pytest.raises(CourseError, match=words):
        _ = Contents(course.modules()[1]).mistakes


def test_students_never_get_a_shared_file_of_hidden_checks(course):
    path = course.modules()[1].tests / "test_public.py"
    path.write_text(path.read_text() + "from .total_test_hidden import even\n")
    with pytest.raises(CourseError, match="line 2: students get this file, and it imports total_test_hidden.py"):
        _ = course.modules()[1].public_files


def test_verify_goes_through_what_is_shared(course):
    console = Console(file=io.StringIO())
    assert verify(course.modules()[2], 3, console, sandbox="none"), console.file.getvalue()
