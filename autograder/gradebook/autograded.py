"""The notebook that a TA looks at: the source's cells in the source's order, with what the student handed in.

Ids, points, check cells and texts come from the source, never from a submission; whatever became of the student's cells
(doubled, split, moved, stripped of their metadata), a class's notebooks read alike. What has no place of its own is
kept behind the cell that it followed.
"""

import hashlib
import itertools
import re
from collections import defaultdict
from html.parser import HTMLParser
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.course.notebooks import make_notebook
from autograder.course.source import SourceCell, grade_id
from autograder.grading.grader import Graded
from autograder.grading.judge import clean
from autograder.grading.report import as_text, check_table, without_folders
from autograder.sandboxed.notebook import MAX_TEXT_BYTES, HandedIn

PLAIN_TAGS = re.compile("p|em|strong|del|code|pre|span|div|br|hr|[uo]l|li|a|blockquote|table|thead|tbody|t[rhd]|h[1-6]")
THEIRS = "The student's own output, as handed in:"
KEPT = "A cell of the student's own:"
MISSING = "This cell is missing in the submission."


def rebuild(cells: list[SourceCell], points: dict[str, float], handed_in: list[HandedIn]) -> NotebookNode:
    """The source's notebook with a student's cells in it.

    The metadata `autograder` of a cell that the student was to fill says whether it is `answered`, and holds a hash of
    the `answer`, by which a later regrading knows whether it changed.
    """
    places = _places(cells, handed_in)
    kept = _kept(cells, handed_in, places)
    notebook = make_notebook(cells, [cell.stub for cell in cells], points)
    numbers = itertools.count(1)
    made = [_own_cell(theirs, next(numbers)) for theirs in kept[-1]]
    for number, (cell, node) in enumerate(zip(cells, notebook.cells, strict=True)):
        theirs = handed_in[places[number]] if number in places else None
        if _fillable(cell):
            around = kept[number] if theirs else itertools.chain(*kept.values())
            _fill(cell, node, theirs, [other.source for other in around if other.kind == "markdown"])
        made += [node, *(_own_cell(other, next(numbers)) for other in kept[number])]
    notebook.cells = made
    return notebook


def not_graded(cells: list[SourceCell], points: dict[str, float], reason: str) -> NotebookNode:
    """The source's notebook with nothing in it but the reason why the submission was not graded."""
    notebook = make_notebook(cells, [cell.stub for cell in cells], points)
    notebook.cells.insert(
        0, nbformat.v4.new_markdown_cell(f"**Not graded.** {markdown(without_folders(reason))}", id="not-graded")
    )
    return notebook


def add_reports(notebook: NotebookNode, graded: Graded, exercises: dict[str, list[str]]) -> None:
    """Puts the verdicts on an exercise below its grade cell, and the points into the cell's metadata."""
    by_id = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    for name, functions in exercises.items():
        mine = graded.of(functions)
        cell = by_id[f"exercise-{name}"]
        report = {"text/html": check_table(mine, {name: functions}), "text/plain": as_text(mine)}
        cell.outputs = [nbformat.v4.new_output("display_data", data=report)]
        cell.metadata["autograder"] = {"score": mine.score}


# --- which cell is which ----------------------------------------------------------------------------------------------


def _places(cells: list[SourceCell], handed_in: list[HandedIn]) -> dict[int, int]:
    """For each of the source's cells the place of the student's cell that it became; the likeliest one, each once."""
    places: dict[int, int] = {}
    for number, cell in enumerate(cells):
        free = [place for place in range(len(handed_in)) if place not in places.values()]
        likely = [(_likeness(cell, number, handed_in[place]), place) for place in free]
        best = max((pair for pair in likely if pair[0] is not None), default=None)
        if best:
            places[number] = best[1]
    return places


def _likeness(cell: SourceCell, number: int, theirs: HandedIn) -> tuple[bool, ...] | None:
    """What speaks for a student's cell being this one, what counts most first; None when nothing does."""
    if theirs.kind != cell.kind:
        return None
    function = cell.about.get("function", "")
    defines = bool(
        function and re.search(rf"^(async +def|def|class) +{function}\b|^{function} *=", theirs.source, re.M)
    )
    if defines:
        return True, False, False, False  # the last definition counts, as in grading
    same_id = bool(cell.role) and theirs.grade_id == grade_id(cell)
    unchanged = _same(theirs.source, cell.stub)
    opening = cell.role in ("question", "plot") and _first_line(theirs.source) == _first_line(cell.stub)
    if not (same_id or unchanged or opening or theirs.id == f"cell-{number:03d}"):
        return None
    return False, same_id, not unchanged if _fillable(cell) else unchanged, bool(theirs.shown)


def _same(text: str, other: str) -> bool:
    return [line.rstrip() for line in text.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


def _fillable(cell: SourceCell) -> bool:
    """Whether students work in it: answers, and code that is no check."""
    return cell.role == "question" or (cell.kind == "code" and cell.role not in ("check", "grade"))


def _kept(cells: list[SourceCell], handed_in: list[HandedIn], places: dict[int, int]) -> dict[int, list[HandedIn]]:
    """The student's cells without a place, and changed ones where only the source's text counts, by the number of the
    source's cell that they follow (-1: none)."""
    numbers = {place: number for number, place in places.items()}
    placed = {(handed_in[place].source, handed_in[place].shown) for place in numbers}
    kept, last = defaultdict(list), -1
    for place, theirs in enumerate(handed_in):
        last = numbers.get(place, last)
        if place in numbers:
            nothing_new = _fillable(cells[last]) or _same(theirs.source, cells[last].stub)
        else:
            copied = (theirs.source, theirs.shown) in placed
            nothing_new = copied or any(_same(theirs.source, cell.stub) for cell in cells)
        if theirs.source.strip() and not nothing_new:
            kept[last].append(theirs)
    return kept


# --- what is in it ----------------------------------------------------------------------------------------------------


def _fill(cell: SourceCell, node: NotebookNode, theirs: HandedIn | None, texts: list[str]) -> None:
    """Puts the student's text and outputs into a cell; `texts` stand where a written answer may be too."""
    if theirs is None:
        answers = []
    elif cell.role == "plot":
        answers = [content for kind, content in theirs.shown if kind.startswith("image/")]
    else:
        answers = [] if _same(theirs.source, cell.stub) else [theirs.source]
        answers += [content for _, content in theirs.shown if cell.role == "question"]
    if cell.role == "question":
        answers += texts
    if cell.role:
        answer = hashlib.sha256("\0".join(answers).encode()).hexdigest()
        node.metadata["autograder"] = {"answered": bool(answers), "answer": answer}
    if theirs is None and cell.role:
        _say(node, MISSING)
    elif theirs is not None:
        _show(node, theirs)


def _own_cell(theirs: HandedIn, number: int) -> NotebookNode:
    new: Any = nbformat.v4.new_code_cell if theirs.kind == "code" else nbformat.v4.new_markdown_cell
    node: NotebookNode = new(id=f"kept-{number:03d}")
    _show(node, theirs)
    _say(node, KEPT)
    return node


def _show(node: NotebookNode, theirs: HandedIn) -> None:
    if node.cell_type == "code":
        node.source = _plain(theirs.source)
        node.outputs = [_output(kind, content) for kind, content in theirs.shown]
        if node.outputs:
            _say(node, THEIRS)
        return
    node.source = markdown(theirs.source)
    pictures = [(f"picture-{n}", *shown) for n, shown in enumerate(theirs.shown) if shown[0] != "text/plain"]
    node.source += "".join(f"\n\n![{name}](attachment:{name})" for name, _, _ in pictures)
    if pictures:
        node.attachments = {name: {kind: content} for name, kind, content in pictures}


def _output(kind: str, content: str) -> NotebookNode:
    data = {kind: _plain(content) if kind == "text/plain" else "".join(content.split())}
    output: NotebookNode = nbformat.v4.new_output("display_data", data=data)
    return output


def _say(node: NotebookNode, text: str) -> None:
    """Our own word on a cell, before all that is the student's."""
    if node.cell_type == "code":
        node.outputs.insert(0, _output("text/plain", text))
    else:
        node.source = f"*{text}*\n\n{node.source}"


def _plain(text: str) -> str:
    """Text as a terminal would show it in the end: without colours, progress bars overwritten."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n"))
    return clean(re.sub(r"[^\n]*\r(?=[^\n])", "", text).expandtabs(4), limit=MAX_TEXT_BYTES + 100)


def markdown(text: str) -> str:
    """A student's Markdown made fit for the browser of a TA: no HTML, no pictures from elsewhere, no scripts in links.

    What would still be more than text, or what nbconvert cannot show, is shown as it was typed.
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", "< ", _plain(text)).replace("![", "!\\[")
    text = re.sub(r"\\(?=(href|require|class|cssId|style)\b)", r"\\ ", text)  # MathJax makes links of these
    return text if _harmless(text) else "\n".join(f"    {line}" for line in text.splitlines())


def _harmless(text: str) -> bool:
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    try:
        page = _Page()
        page.feed(markdown2html_mistune(text))
    except Exception:  # whatever the converter stumbles over it would stumble over again in formgrader
        return False
    return page.harmless


class _Page(HTMLParser):
    """Looks for anything but plain text in HTML."""

    harmless = True

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        links = [value or "" for name, value in attributes if name == "href"]
        self.harmless &= bool(PLAIN_TAGS.fullmatch(tag)) and all(
            re.match(r"https?://|mailto:|#", link) for link in links
        )
        self.harmless &= not any(name.startswith("on") or name == "src" for name, _ in attributes)
