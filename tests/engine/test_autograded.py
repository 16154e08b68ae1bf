"""The notebook that a TA looks at, rebuilt from whatever was handed in; and what of it may reach a browser."""

import base64
import io
import json

import nbformat
import pytest
from conftest import needs_walls
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from PIL import Image
from test_damaged import REFUSED, SAME, dumped

from autograder.course import source
from autograder.errors import Unreadable
from autograder.gradebook.autograded import KEPT, MISSING, THEIRS, _harmless, markdown, not_graded, rebuild
from autograder.sandboxed.notebook import MAX_CELLS, MAX_SHOWN_BYTES, MAX_TEXT_BYTES, HandedIn, read_contents
from autograder.sandboxed.pictures import UNSEEN, VECTOR, look, take_out
from autograder.students.handin import find_problems

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
    assert [output.data["text/plain"] for output in nodes[DOUBLE + 1].outputs] == [KEPT.format(1), THEIRS, "6"]


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


SO = "It is so."
ELSEWHERE = {
    "text at the end": (len(TEXT), HandedIn("markdown", SO)),
    "text above": (QUESTION, HandedIn("markdown", SO)),
    "text at the top": (0, HandedIn("markdown", SO)),
    "code": (QUESTION, HandedIn("code", f"# {SO}", "question-why")),
    "printed": (QUESTION + 1, HandedIn("code", "print(answer)", shown=(("text/plain", SO),))),
    "a photo": (QUESTION + 1, HandedIn("markdown", "", shown=(PNG,))),
}


@pytest.mark.parametrize(("place", "own"), ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize(("name", "number"), [("question-why", QUESTION), ("plot-line", PLOT)])
def test_own_work_elsewhere_waits_for_a_ta_who_is_told_where(cells, place, own, name, number):
    handed_in = [cell for n, cell in enumerate(submitted(cells)) if n != number]
    handed_in.insert(place, own)
    nodes = made(cells, handed_in)
    node = next(node for node in nodes if node.metadata.get("nbgrader", {}).get("grade_id") == name)
    assert answered(nodes)[name]
    said = node.source if node.cell_type == "markdown" else node.outputs[1].data["text/plain"]
    assert "It may stand in own cell 1 (" in said and any("own cell 1:" in str(node) for node in nodes)


@pytest.mark.parametrize(("place", "where"), [(0, "at the top"), (PLOT, "below exercise-doubling"), (9, "at the end")])
def test_where_own_cells_stand(cells, place, where):
    handed_in = submitted(cells, {QUESTION: cells[QUESTION].stub})
    handed_in.insert(place, HandedIn("code", "answer()"))
    assert f"It may stand in own cell 1 ({where})" in sources(made(cells, handed_in))[QUESTION]


def test_a_changed_cell_of_no_exercise_may_hold_an_answer_and_so_does_changed_plot_code(cells):
    stubs = {QUESTION: cells[QUESTION].stub}
    assert answered(made(cells, submitted(cells, stubs | {LIMIT: "LIMIT = 1\nprint('so')"})))["question-why"]
    handed_in = submitted(cells)
    handed_in[PLOT] = HandedIn("code", "mine.draw()", "plot-line")
    assert answered(made(cells, handed_in))["plot-line"]


def test_of_two_plots_the_one_with_a_picture_counts_and_another_picture_is_kept(cells):
    handed_in = submitted(cells)
    log = HandedIn("code", cells[PLOT].stub, "plot-line", shown=(("text/plain", "1"), ("text/plain", "2")))
    other = HandedIn("code", cells[PLOT].stub, shown=(("image/png", "AAAA"),))
    nodes = made(cells, handed_in + [log, other])
    assert cell_outputs(nodes, "plot-line")[1].data == dict([PNG]) and kept(nodes) == [cells[PLOT].stub]


@pytest.mark.parametrize("place", [DOUBLE, QUESTION])
def test_a_plot_may_hang_at_another_cell(cells, place):
    handed_in = submitted(cells)
    handed_in[PLOT] = HandedIn("code", cells[PLOT].stub, "plot-line")
    other = handed_in[place]
    handed_in[place] = HandedIn(other.kind, other.source, other.grade_id, other.id, (PNG,))
    assert answered(made(cells, handed_in))["plot-line"]


def test_without_own_work_nothing_waits(cells):
    handed_in = submitted(cells, {QUESTION: cells[QUESTION].stub})
    handed_in[PLOT] = HandedIn("code", cells[PLOT].stub, "plot-line")
    for way in (handed_in, [], handed_in + [HandedIn("markdown", "# Title"), HandedIn("code", " ")]):
        found = answered(made(cells, way))
        assert not found["plot-line"] and not found["question-why"]


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
    assert len(contents[0]["source"]) < MAX_TEXT_BYTES + 100 and contents[0]["shown"][0][0] == UNSEEN
    assert "1008 more cells" in contents[MAX_CELLS]["source"]


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
    damaged = (UNSEEN, "(a picture that is not shown here, since it is damaged: open the submitted notebook)")
    assert observers[True].handed_in(dumped({"cells": [cell]})) == [
        HandedIn("code", "ä?", "double", "", (PNG, damaged))
    ]


# --- pictures ---------------------------------------------------------------------------------------------------------


def drawn(form: str = "PNG", side: int = 40) -> str:
    """A picture that hardly compresses."""
    out = io.BytesIO()
    Image.effect_noise((side, side), 100).convert("RGB").save(out, form)
    return base64.b64encode(out.getvalue()).decode()


def output(**data) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "<Figure>"} | data}


DRAWING = "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0L9 9'/></svg>"
SEEN = {
    "PNG": output(**{"image/png": PNG[1]}),
    "JPEG in lines": output(**{"image/jpeg": [drawn("JPEG")[:40] + "\n", drawn("JPEG")[40:]]}),
    "SVG": output(**{"image/svg+xml": DRAWING}),
    "SVG as Matplotlib writes it": output(**{"image/svg+xml": f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE svg '
        f'PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n{DRAWING}'}),
    "PNG in HTML": output(**{"text/html": f"<div><img width=3 src='data:image/png;base64,{PNG[1]}'></div>"}),
    "SVG in HTML": output(**{"text/html": f"<div>{DRAWING}</div>"}),
    "GIF": output(**{"image/gif": drawn("GIF")}),
    "format 3": {"output_type": "display_data", "png": PNG[1]},
}  # fmt: skip
NOT_SEEN = {
    "plotly": output(**{"application/vnd.plotly.v1+json": {"data": []}}),
    "plotly as HTML": output(**{"text/html": "<div class='plotly-graph-div'></div><script>draw()</script>"}),
    "PDF": output(**{"application/pdf": "JVBERi0="}),
    "a widget": output(**{"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Canvas(toolbar=1)"}),
    "a picture from elsewhere": output(**{"text/html": "<img src='http://a.b/c.png'>"}),
    "no base64": output(**{"image/png": "'onerror=1"}),
    "no SVG": output(**{"image/svg+xml": "<svg><g></svg>"}),
    "SVG with entities": output(**{"image/svg+xml": f"<!DOCTYPE a [<!ENTITY b 'c'>]>{DRAWING}"}),
}
NO_PICTURE = {
    "a table": output(**{"text/html": "<table><tr><td>1</td></tr></table>"}),
    "a progress bar": output(**{"application/vnd.jupyter.widget-view+json": {}, "text/plain": "  0%|   | 0/3"}),
    "text": {"output_type": "stream", "text": ["a", "b"]},
    "damaged": {"output_type": "display_data", "data": 3, "text": {}},
}


@pytest.mark.parametrize("name", [*SEEN, *NOT_SEEN, *NO_PICTURE])
def test_the_grader_and_pack_agree_on_what_a_picture_is(cells, name):
    cell = {
        "cell_type": "code",
        "metadata": {"nbgrader": {"grade_id": "plot-line"}},
        "execution_count": 1,
        "source": cells[PLOT].stub,
        "outputs": [(SEEN | NOT_SEEN | NO_PICTURE)[name]],
    }
    data = dumped({"cells": [cell]})
    handed_in = [HandedIn(**{**cell, "shown": tuple(map(tuple, cell["shown"]))}) for cell in read_contents(data)]
    nodes = made(cells, handed_in)
    assert answered(nodes)["plot-line"] == (name not in NO_PICTURE)
    shown = str(cell_outputs(nodes, "plot-line"))
    assert ("image/" in shown) == (name in SEEN) and ("not shown here" in shown) == (name in NOT_SEEN)
    about = {"cells": [{"id": "plot-line", "kind": "code", "locked": False, "text": cells[PLOT].stub}]}
    assert bool(find_problems(data, about)) == (name in NO_PICTURE)


def cell_outputs(nodes, name: str) -> list:
    return next(node.outputs for node in nodes if node.metadata.get("nbgrader", {}).get("grade_id") == name)


BAD_SVG = {
    "a script": "<script>alert(1)</script>",
    "an event": "<path onload='alert(1)' d='M0 0'/>",
    "a link": "<a href='http://a.b'><path d='M0 0'/></a>",
    "HTML": "<foreignObject><b xmlns='http://www.w3.org/1999/xhtml'>x</b></foreignObject>",
    "a picture from elsewhere": "<image href='http://a.b/c.png'/>",
    "a style from elsewhere": "<style>@import 'http://a.b/c.css';</style>",
    "a colour from elsewhere": "<path style='fill: url(http://a.b/c#d)' d='M0 0'/>",
    "an animation": "<set attributeName='href' to='javascript:alert(1)'/>",
    "copies of copies": "<g id='a'><use href='#b'/><use href='#b'/></g><use href='#a'/>",
}


@pytest.mark.parametrize("inside", BAD_SVG.values(), ids=BAD_SVG)
def test_svg_is_cleaned_of_all_but_drawing(inside):
    ((kind, content),) = look(output(**{"image/svg+xml": DRAWING.replace("</svg>", f"{inside}</svg>")}))
    text = base64.b64decode(content).decode()
    assert kind == VECTOR and "M0 0L9 9" in text
    for bad in ("alert", "onload", "a.b", "<a ", "foreign", "<b", "import", "#a"):
        assert bad not in text


def test_what_an_svg_refers_to_within_itself_stays():
    text = DRAWING.replace("</svg>", "<g style='clip-path: url(#a)'><use href='#b'/></g></svg>")
    content = base64.b64decode(look(output(**{"image/svg+xml": text}))[0][1]).decode()
    assert "url(#a)" in content and 'xlink:href="#b"' in content


def test_a_shown_svg_is_an_image_to_the_browser(cells):
    handed_in = submitted(cells)
    handed_in[PLOT] = HandedIn("code", "plot()", "plot-line", shown=tuple(look(SEEN["SVG"])))
    handed_in[QUESTION] = HandedIn("markdown", "a", "question-why", shown=tuple(look(SEEN["SVG"])))
    page = HTMLExporter().from_notebook_node(rebuild(cells, {"doubling": 2.0}, handed_in))[0]
    assert page.count('src="data:image/svg+xml;base64,') == 2 and "M0 0L9 9" not in page


def test_pictures_written_into_markdown_are_taken_out():
    text, found = take_out(f"My answer ![x](data:image/png;base64,{PNG[1]}).")
    assert text == "My answer ![x](picture)." and found == [PNG]


def test_pictures_are_shrunk_before_texts_are_dropped():
    many = {"cell_type": "code", "source": "demo()", "outputs": [output(**{"image/png": drawn(side=200)})] * 90}
    plot = {"cell_type": "code", "source": "plot()", "outputs": [output(**{"image/png": drawn(side=1300)})]}
    texts = [{"cell_type": "markdown", "source": ANSWER}]
    contents = read_contents(dumped({"cells": [many, plot, *texts]}))
    assert contents[-1]["source"] == ANSWER
    for cell in contents[:2]:
        assert {kind for kind, _ in cell["shown"]} <= {"image/png", "image/jpeg"}
    assert sum(len(json.dumps(cell)) for cell in contents) < MAX_SHOWN_BYTES
    shown = Image.open(io.BytesIO(base64.b64decode(contents[1]["shown"][0][1])))
    assert shown.format == "JPEG" and shown.width <= 1300


def test_of_too_many_pictures_those_of_graded_cells_are_kept():
    def cell(name: str, times: int) -> dict:
        outputs = [output(**{"image/png": drawn(side=80)})] * times
        return {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": name}}, "source": "a", "outputs": outputs}

    contents = read_contents(dumped({"cells": [cell("", 100) for _ in range(8)] + [cell("plot-line", 1)]}))
    assert [kind for kind, _ in contents[-1]["shown"]] in (["image/png"], ["image/jpeg"])
    assert UNSEEN in {kind for each in contents for kind, _ in each["shown"]}


def test_a_picture_behind_very_many_outputs_is_found():
    outputs = [{"output_type": "stream", "text": "x"}] * 300 + [output(**{"image/png": PNG[1]})]
    (cell,) = read_contents(dumped({"cells": [{"cell_type": "code", "outputs": outputs}]}))
    assert PNG[0] in [kind for kind, _ in cell["shown"]]


def test_what_a_cell_is_made_of_is_parsed_once(cells):
    """Every cell of every submission is compared with every stub."""
    assert all(cell.stub is cell.stub and cell.solution is cell.solution for cell in cells)
