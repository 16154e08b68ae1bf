"""Small modules unlike the toy: one with data of its own and without torch, one without hidden or without public probes."""

from pathlib import Path

from toy_course import write_course

TOTALS = '''
# %% [markdown]
# # Totals

# %%
import csv

from autograder import check

# %% role="exercise" function="total"
def total(path):
    """The sum of the column `count` of a table, an int."""
    ### BEGIN SOLUTION
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return sum(int(row["count"]) for row in rows)
    ### END SOLUTION

# %% role="check" exercise="total"
check("total")

# %%
print("birds:", total("data/birds.csv"))

# %% role="grade" exercise="totals"
check("totals")
'''
PROBES = '''
from autograder.authoring import probe


@probe("total")
def of_birds(student, draw):
    return student.total("data/birds.csv")
'''
MORE_PROBES = '''
from pathlib import Path

from autograder.authoring import probe


@probe("total")
def of_others(student, draw):
    """A table that is written here, beside the one that students have."""
    Path("data/others.csv").write_text("name,count\\n" + "".join(f"a,{draw.randint(1, 9)}\\n" for _ in range(7)))
    return student.total("data/others.csv")
'''
CHECKS = '''
from autograder.authoring import check, same


@check("total", points=1)
def test_birds(observed, expected):
    """Counts the birds."""
    same(observed.of_birds, expected.of_birds, 'total("data/birds.csv")')
'''
MORE_CHECKS = '''
from autograder.authoring import check, same


@check("total", points=2)
def test_others(observed, expected):
    """Counts others too."""
    same(observed.of_others, expected.of_others, "a hidden table")
'''
COUNTS_ROWS = '''
@mistake(of="total", caught_by="test_{0}")
def counts_{0}(path):
    """You count the rows. Add up what stands in the column."""
    with open(path) as file:
        return len(file.readlines()) - 1
'''
NO_OTHERS = '''
@mistake(of="total", caught_by="test_others")
def knows_the_birds(path):
    """Read the table that you are given."""
    return 9
'''
COUNTS_COLUMN = '''
@mistake(of="total", caught_by="test_birds")
def adds_up(path):
    """You add up a column. Count the rows."""
    with open(path) as file:
        return sum(int(row["count"]) for row in csv.DictReader(file))  # noqa: F821
'''
HEAD = "from autograder.authoring import mistake\n\n"
BIRDS = "name,count\nheron,4\nwren,5\n"
RIGHT = """import csv


def total(path):
    with open(path) as file:
        return sum(int(row["count"]) for row in csv.DictReader(file))"""
WRONG = "def total(path):\n    return len(open(path).readlines()) - 1"


def write_totals(root: Path, name: str = "totals", public: bool = True, hidden: bool = True, **changed: str) -> Path:
    """Writes a module with a table in its `data/`, without torch; its public or hidden half is there only if asked for."""
    mistakes = HEAD + (COUNTS_ROWS.format("birds") if public else "") + (NO_OTHERS if hidden else "")
    texts = {"source": TOTALS, "mistakes": mistakes, "alternatives": ""}
    texts |= {"probes_public": PROBES, "test_public": CHECKS} if public else {}
    texts |= {"probes_hidden": MORE_PROBES, "test_hidden": MORE_CHECKS} if hidden else {}
    write_course(root, name, **texts | changed)
    for half in [half for half, there in (("public", public), ("hidden", hidden)) if not there]:
        for file in ("probes", "test"):
            (root / "tests" / name / f"{file}_{half}.py").unlink()
    data = root / "source" / name / "data"
    (data / "more").mkdir(parents=True)
    (data / "birds.csv").write_text(BIRDS)
    (data / "more" / "notes.txt").write_text("counted in May\n")
    return root


# --- two notebooks in one module --------------------------------------------------------------------------------------

FIRST = '''
# %% [markdown]
# # Counting

# %%
from autograder import check

STEP = 1

# %% role="exercise" function="after"
def after(number):
    """The next number."""
    ### BEGIN SOLUTION
    following = number + STEP
    return following
    ### END SOLUTION

# %% role="grade" exercise="steps"
check("steps")

# %% [markdown] role="question" name="whole" points=2
# Why is there no last number?
#
# ### BEGIN SOLUTION
# Because one can be added to any.
# ### END SOLUTION
'''
SECOND = '''
# %% [markdown]
# # Counting backwards

# %%
import math

from autograder import check

STEP = 2

# %% role="exercise" function="before"
def before(number):
    """The number two below, as a float."""
    ### BEGIN SOLUTION
    preceding = math.fsum([number, -STEP])
    return preceding
    ### END SOLUTION

# %% role="check" exercise="before"
check("before")

# %% role="grade" exercise="back"
check("back")

# %% [markdown] role="question" name="below" points=1
# What comes before zero?
#
# ### BEGIN SOLUTION
# The negative numbers.
# ### END SOLUTION
'''
TWO_PROBES = '''
from autograder.authoring import probe


@probe("after")
def next_ones(student, draw):
    return [student.after(number) for number in (0, 7)]


@probe("before")
def last_ones(student, draw):
    return [student.before(number) for number in (2, 9)]
'''
TWO_CHECKS = '''
from autograder.authoring import check, same


@check("after", points=3)
def test_next(observed, expected):
    """Adds one."""
    same(observed.next_ones, expected.next_ones, "after 0 and 7")


@check("before", points=4)
def test_last(observed, expected):
    """Takes two away."""
    same(observed.last_ones, expected.last_ones, "before 2 and 9")
'''
TWO_HIDDEN_PROBES = '''
from autograder.authoring import probe


@probe("before")
def far_ones(student, draw):
    return student.before(draw.randint(100, 900))
'''
TWO_HIDDEN_CHECKS = '''
from autograder.authoring import check, same


@check("before", points=1)
def test_far(observed, expected):
    """Large numbers too."""
    same(observed.far_ones, expected.far_ones, "a large number")
'''
TWO_MISTAKES = '''
@mistake(of="after", caught_by="test_next")
def stays(number):
    """You give the number back. Add one."""
    return number


@mistake(of="before", caught_by="test_last")
def forward(number):
    """You go forward. Look at the sign."""
    return number + 2.0


@mistake(of="before", caught_by="test_far")
def stops(number):
    """It stops at a hundred."""
    return min(number, 100) - 2.0
'''
TWO_ALTERNATIVES = '''
from autograder.authoring import alternative


@alternative(of="before")
def subtracts(number):
    return float(number - 2)
'''
AFTER = "STEP = 1", "def after(number):\n    return number + STEP"
BEFORE = "STEP = 2", "def before(number):\n    return float(number - STEP)"


def write_two(root: Path, name: str = "counting", **changed: str) -> Path:
    """Writes a module of two notebooks, `first` (3 points, 2 by hand) and `second` (5 points, 1 by hand)."""
    texts = {
        "source": FIRST,
        "mistakes": HEAD + TWO_MISTAKES,
        "alternatives": TWO_ALTERNATIVES,
        "probes_public": TWO_PROBES,
        "test_public": TWO_CHECKS,
        "probes_hidden": TWO_HIDDEN_PROBES,
        "test_hidden": TWO_HIDDEN_CHECKS,
    }
    second = changed.pop("second", SECOND)
    write_course(root, name, **texts | changed)
    folder = root / "source" / name
    (folder / f"{name}.py").rename(folder / "first.py")
    (folder / "second.py").write_text(second)
    return root
