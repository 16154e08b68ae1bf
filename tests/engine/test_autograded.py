"""The notebook that a TA looks at, rebuilt from whatever was handed in; and what of it may reach a browser."""

import json

import nbformat
import pytest
from conftest import needs_walls
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from test_damaged import REFUSED, SAME, dumped

from autograder.course import source
from autograder.errors import Unreadable
from autograder.gradebook.autograded import KEPT, MISSING, THEIRS, _harmless, markdown, not_graded, rebuild
from autograder.sandboxed.notebook import MAX_SHOWN_BYTES, MAX_TEXT_BYTES, HandedIn, read_contents

TEXT = """
# %% [markdown]
# # Title

# %%
LIMIT = 1

# %% role="exercise" function="double"
def double(x):
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION

# %% role="grade" exercise="doubling"
check("doubling")

# %% role="plot" name="line" points=3
plot()
### BEGIN SOLUTION
# *Rubric.* One point a line.
### END SOLUTION

# %% [markdown] role="question" name="why" points=2
# ### Why?
#
# ### BEGIN SOLUTION
# Therefore.
# ### END SOLUTION
"""
TITLE, LIMIT, DOUBLE, CHECK, PLOT, QUESTION = range(6)
PNG = ("image/png", "iVBORw0KGgo=")
SOLVED = "def double(x):\n    return 2 * x"
ANSWER = "### Why?\n\nSo."


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> list:
    path = tmp_path_factory.mktemp("source") / "a.py"
    path.write_text(TEXT)
    return [cell for cell in source.read_source(path) if cell.text.strip()]


def submitted(cells, changed: dict[int, str] | None = None, ids: bool = True, **shown) -> list[HandedIn]:
    """The released cells, solved, or with other texts for some; `ids=False` strips what nbgrader knows them by."""
    texts = {DOUBLE: SOLVED, QUESTION: ANSWER} | (changed or {})
    names = {DOUBLE: "double", CHECK: "exercise-doubling", PLOT: "plot-line", QUESTION: "question-why"}
    return [
        HandedIn(
            cell.kind,
            texts.get(number, cell.stub),
            names.get(number, "") if ids else "",
            f"cell-{number:03d}" if ids else "",
            (PNG,) if number == PLOT else (),
        )
        for number, cell in enumerate(cells)
    ]


def made(cells, handed_in) -> list:
    notebook = rebuild(cells, {"doubling": 2.0}, handed_in)
    nbformat.validate(notebook)
    return notebook.cells


def sources(nodes) -> list[str]:
    return [node.source for node in nodes if not node.id.startswith("kept")]


def kept(nodes) -> list[str]:
    return [node.source for node in nodes if node.id.startswith("kept")]


def answered(nodes) -> dict[str, bool]:
    return {
        node.metadata.nbgrader.grade_id: node.metadata.autograder.answered
        for node in nodes
        if "autograder" in node.metadata
    }


ALL = {"double": True, "plot-line": True, "question-why": True}
WAYS = {
    "as released": lambda s: s,
    "every cell twice": lambda s: s + s,
    "metadata stripped": lambda s: [HandedIn(c.kind, c.source, shown=c.shown) for c in s],
    "ids all the same": lambda s: [HandedIn(c.kind, c.source, "double", "x", c.shown) for c in s],
    "from last to first": lambda s: s[::-1],
    "spaces at line ends": lambda s: [HandedIn(c.kind, c.source + "  \n", c.grade_id, c.id, c.shown) for c in s],
}


@pytest.mark.parametrize("way", WAYS)
def test_all_are_rebuilt_alike(cells, way):
    nodes = made(cells, WAYS[way](submitted(cells)))
    expected = [cell.stub.strip() for cell in cells]
    expected[DOUBLE], expected[QUESTION] = SOLVED, ANSWER
    assert [text.strip() for text in sources(nodes)] == expected
    assert kept(nodes) == [] and answered(nodes) == ALL


def test_points_ids_and_checks_come_from_the_source(cells):
    nodes = made(cells, submitted(cells, {CHECK: "print(1000)"}))
    assert sources(nodes)[CHECK] == 'check("doubling")'
    assert nodes[CHECK].metadata.nbgrader.points == 2 and nodes[CHECK].metadata.nbgrader.grade_id == "exercise-doubling"
    assert kept(nodes) == ["print(1000)"]  # and nothing of the student's is lost


def test_own_cells_stay_behind_the_cell_that_they_followed(cells):
    handed_in = submitted(cells)
    handed_in.insert(DOUBLE + 1, HandedIn("code", "double(3)", shown=(("text/plain", "6"),)))
    nodes = made(cells, handed_in)
    assert nodes[DOUBLE + 1].source == "double(3)"
    assert [output.data["text/plain"] for output in nodes[DOUBLE + 1].outputs] == [KEPT, THEIRS, "6"]


def test_of_two_definitions_the_last_is_the_answer_as_in_grading(cells):
    handed_in = submitted(cells) + [HandedIn("code", "def double(x):\n    return 'last'")]
    nodes = made(cells, handed_in)
    assert "last" in sources(nodes)[DOUBLE] and kept(nodes) == [SOLVED]


def test_a_missing_cell_is_said(cells):
    handed_in = [cell for cell in submitted(cells) if cell.grade_id not in ("double", "question-why")]
    nodes = made(cells, handed_in)
    assert nodes[DOUBLE].outputs[0].data["text/plain"] == MISSING
    assert MISSING in nodes[QUESTION].source
    assert answered(nodes) == {"double": False, "plot-line": True, "question-why": False}


def test_an_answer_in_a_cell_of_its_own_waits_for_a_ta_too(cells):
    handed_in = submitted(cells, {QUESTION: cells[QUESTION].stub}) + [HandedIn("markdown", "Since it is so.")]
    assert answered(made(cells, handed_in))["question-why"]


def test_a_plot_counts_by_its_picture_and_not_by_its_unchanged_code(cells):
    handed_in = submitted(cells)
    handed_in[PLOT] = HandedIn("code", cells[PLOT].stub, "plot-line", shown=(("text/plain", "<Figure>"),))
    assert not answered(made(cells, handed_in))["plot-line"]


def test_an_answer_is_known_again(cells):
    def answer(*handed_in) -> str:
        return made(cells, *handed_in)[QUESTION].metadata.autograder.answer

    assert answer(submitted(cells)) == answer(submitted(cells, ids=False))
    assert answer(submitted(cells)) != answer(submitted(cells, {QUESTION: ANSWER + " Or not."}))


def test_a_rubric_is_in_the_source_alone(cells):
    assert cells[PLOT].rubric.strip() == "*Rubric.* One point a line."
    assert cells[QUESTION].rubric.strip() == "Therefore."
    text = nbformat.writes(rebuild(cells, {"doubling": 2.0}, submitted(cells)))
    text += nbformat.writes(not_graded(cells, {"doubling": 2.0}, "/home/ta/a.ipynb is empty"))
    assert "One point a line" not in text and "Therefore" not in text and "/home/ta" not in text


# --- what reaches a browser -------------------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <b onclick='x'>b</b>",
    "<!-- --><svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](attachment:gone.png)",
    "![x](http://elsewhere/pixel.png)",
    "[![x](attachment&#58;gone.png)](http://a)",
    "```mermaid\n</pre><script>alert(1)</script>\n```",
    "$\\href{javascript:alert(1)}{x}$",
    "<\0script>alert(1)</script>",
    "<<script>script>alert(1)</script>",
    "[" * 3000,
    "> " * 3000 + "x",
)


@pytest.mark.parametrize("text", EVIL)
def test_markdown_becomes_plain_text(text):
    safe = markdown(text)
    assert _harmless(safe)
    page = markdown2html_mistune(safe)
    assert not any(bad in page for bad in ("<script", "<img", "<svg", "<b ", 'href="javascript', "\\href"))


@pytest.mark.parametrize(
    "text", ["*a* < b", "$a<b$ and `List[int]`", "| a | b |\n|---|---|\n| 1 | 2 |", "[x](https://a.b)"]
)
def test_plain_markdown_stays_formatted(text):
    assert not markdown(text).startswith("    ")


def test_progress_bars_and_colours_are_shown_as_they_ended(cells):
    handed_in = submitted(cells)
    handed_in[LIMIT] = HandedIn(
        "code", "LIMIT = 1", id="cell-001", shown=(("text/plain", "10%\r50%\r\x1b[32m100%\x1b[0m\n"),)
    )
    assert made(cells, handed_in)[LIMIT].outputs[1].data["text/plain"] == "100%\n"


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SAME)
def test_damaged_notebooks_can_be_shown(cells, kind):
    contents = [HandedIn(**{**cell, "shown": tuple(map(tuple, cell["shown"]))}) for cell in read_contents(SAME[kind])]
    nodes = made(cells, contents)
    assert any("def double" in node.source for node in nodes)
    nbformat.writes(nbformat.v4.new_notebook(cells=nodes)).encode()


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_ones_are_refused_here_too(kind):
    with pytest.raises((Unreadable, UnicodeDecodeError)):
        read_contents(REFUSED[kind])


def test_what_is_shown_is_bounded():
    picture = {"output_type": "display_data", "data": {"image/png": "A" * 5 * 2**20}}
    text = {"output_type": "stream", "text": "x" * 10**6}
    cell = {"cell_type": "code", "source": "#" * 10**6, "outputs": [picture, text]}
    small = {"cell_type": "code", "source": "#" * 10_000, "outputs": []}
    contents = read_contents(dumped({"cells": [cell] * 8 + [small] * 3000}))
    assert sum(len(json.dumps(cell)) for cell in contents) < 2 * MAX_SHOWN_BYTES
    assert len(contents[0]["source"]) < MAX_TEXT_BYTES + 100 and "too large" in contents[0]["shown"][0][1]


@needs_walls
def test_behind_the_walls(observers):
    pictures = [PNG[1], 'x" onerror="alert(1)']
    outputs = [{"output_type": "display_data", "data": {"image/png": picture}} for picture in pictures]
    cell = {
        "cell_type": "code",
        "source": "ä\ud800",
        "metadata": {"nbgrader": {"grade_id": "double"}},
        "outputs": outputs,
    }
    assert observers[True].handed_in(dumped({"cells": [cell]})) == [HandedIn("code", "ä?", "double", "", (PNG,))]
