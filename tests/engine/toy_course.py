"""A course of three tiny functions, written into any folder: what the engine knows, it knows from such files alone."""

import json
from pathlib import Path

SOURCE = '''
# %% [markdown]
# # Toy numbers

# %%
import math

from autograder import check

# %% role="exercise" function="double"
def double(x):
    """Twice x, of x's type."""
    ### BEGIN SOLUTION
    twofold = x + x
    return twofold
    ### END SOLUTION

# %% role="check" exercise="double"
check("double")

# %% role="exercise" function="quadruple"
def quadruple(x):
    """Four times x."""
    ### BEGIN SOLUTION
    halfway = double(x)
    return double(halfway)
    ### END SOLUTION

# %% role="grade" exercise="arithmetic"
check("arithmetic")

# %% role="exercise" function="mean"
def mean(numbers):
    """The mean of a list of numbers, a float."""
    ### BEGIN SOLUTION
    return sum(numbers) / len(numbers)
    ### END SOLUTION

# %% role="grade" exercise="averages"
check("averages")

# %% [markdown] role="question" name="why" points=2
# Why does a mean of whole numbers need a float?
#
# ### BEGIN SOLUTION
# Because their sum need not be a multiple of their count.
# ### END SOLUTION
'''

WITH_IMAGES = SOURCE.replace("import check", "import TinyCIFAR10, check")  # and so workers import torch: five seconds

PROBES_PUBLIC = '''
from autograder.authoring import probe


@probe("double")
def doubles(student, draw):
    """A whole number and a fraction."""
    return {"whole": student.double(3), "fraction": student.double(0.25)}


@probe("quadruple")
def quadruples(student, draw):
    """By itself: a stand-in answers for `double`."""
    with student.replaced(double=lambda x: [x]):
        return student.quadruple("x")


@probe("mean")
def means(student, draw):
    return student.mean([1.0, 2.0])
'''

PROBES_HIDDEN = '''
from autograder.authoring import attempt, probe


@probe("double")
def large_doubles(student, draw):
    number = draw.randint(1000, 10_000_000)
    return {"number": student.double(number), "text": attempt(lambda: student.double("ab"))}


@probe("quadruple")
def whole_quadruples(student, draw):
    """With the student's own `double`."""
    return student.quadruple(draw.randint(5, 50))


@probe("mean")
def long_means(student, draw):
    return student.mean([draw.randint(1, 100) for _ in range(7)] + [draw.random()])


@probe("mean", beside="long_means")
def the_numbers_again(student, draw):
    return student.mean([draw.randint(1, 100) for _ in range(7)] + [draw.random()])
'''

TEST_PUBLIC = '''
from autograder.authoring import check, same


@check("double", points=1)
def test_doubles(observed, expected):
    """Doubles small numbers."""
    same(observed.doubles, expected.doubles, "double of 3 and of 0.25", look="Twice `x` is not x squared.")


@check("quadruple", points=2)
def test_quadruples(observed, expected):
    """Doubles twice."""
    same(observed.quadruples, expected.quadruples, "quadruple")


@check("mean", points=1)
def test_means(observed, expected):
    """Takes the mean of two."""
    same(observed.means, expected.means, "mean([1.0, 2.0])", within=1e-9)
'''

TEST_HIDDEN = '''
from autograder.authoring import check, same


@check("double", points=1)
def test_large_doubles(observed, expected):
    """Doubles large numbers too."""
    same(observed.large_doubles, expected.large_doubles, "the secret question", look="the secret advice")


@check("mean", points=1.5)
def test_long_means(observed, expected):
    """Takes the mean of many."""
    same(observed.long_means, expected.long_means, "the secret list", within=1e-9)
'''

MISTAKES = '''
from math import floor

from autograder.authoring import mistake

PAIR = 2


@mistake(of="double", caught_by="test_doubles")
def squares(x):
    """You multiply the number by itself. Look at what happens to 3."""
    return x * x


@mistake(of="double", caught_by=("test_doubles", "test_large_doubles"))
def forgets_fractions(x):
    """The result is cut to a whole number. Look at `0.25`."""
    return int(x + x)


@mistake(of="double", caught_by="test_large_doubles")
def doubles_small_numbers(x):
    """Large numbers are cut off."""
    return min(x + x, 1000) if not isinstance(x, str) else x + x


@mistake(of="quadruple", caught_by="test_quadruples")
def doubles_once(x):
    """One doubling is missing."""
    return double(x)  # noqa: F821


@mistake(of="mean", caught_by="test_means")
def forgets_to_divide(numbers):
    """That is the sum, not the mean."""
    return float(sum(numbers))


@mistake(of="mean", caught_by="test_long_means")
def divides_by_two(numbers):
    """The 2 is written down: divide by how many there are."""
    return sum(numbers) / PAIR


@mistake(of="mean", caught_by="test_long_means")
def rounds_down(numbers):
    """The mean of whole numbers is rounded down."""
    return sum(numbers) / len(numbers) if len(numbers) < 3 else float(floor(sum(numbers) / len(numbers)))
'''

ALTERNATIVES = '''
import math

from autograder.authoring import alternative


@alternative(of="double")
def multiplies(x):
    return 2 * x


@alternative(of="mean")
def adds_exactly(numbers):
    return math.fsum(numbers) / len(numbers)
'''

RIGHT = {
    "double": "def double(x):\n    return x + x",
    "quadruple": "def quadruple(x):\n    return double(double(x))",
    "mean": "def mean(numbers):\n    return sum(numbers) / len(numbers)",
}
MAXIMUM = 6.5


def write_course(root: Path, name: str = "toy", **changed: str) -> Path:
    """Writes the course; `changed` are other texts for its files, e.g. `mistakes="…"`. Gives `root`."""
    texts = {
        "__init__": "",
        "probes_public": PROBES_PUBLIC,
        "probes_hidden": PROBES_HIDDEN,
        "test_public": TEST_PUBLIC,
        "test_hidden": TEST_HIDDEN,
        "mistakes": MISTAKES,
        "alternatives": ALTERNATIVES,
    }
    for folder in ("source", "tests"):
        (root / folder / name).mkdir(parents=True)
    (root / "source" / name / f"{name}.py").write_text(changed.pop("source", SOURCE))
    for file, text in (texts | changed).items():
        (root / "tests" / name / f"{file}.py").write_text(text)
    return root


def notebook(*sources: str) -> bytes:
    """A notebook file with these code cells."""
    cells = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for source in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def solved(**changed: str) -> bytes:
    """A right notebook, with other texts for some functions: `solved(mean="def mean(numbers): …")`."""
    return notebook("import math", *(RIGHT | changed).values())
