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
