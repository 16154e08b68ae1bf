"""The notebook that a TA looks at: the source's cells in the source's order, with what the student handed in.

Ids, points, check cells and texts come from the source, never from a submission; whatever became of the student's cells
(doubled, split, moved, stripped of their metadata), a class's notebooks read alike. What has no place of its own is
kept behind the cell that it followed. Nothing of it is passed over: a question or plot without an answer waits for a TA as
long as there are cells of the student's own that may hold one, and says where they stand.
"""

import base64
import binascii
import contextlib
import hashlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.course.notebooks import make_notebook
from autograder.course.source import SourceCell, former, grade_id
from autograder.course.versions import NO_VERSIONS, Versions
from autograder.grading.grader import Graded
from autograder.grading.judge import clean
from autograder.grading.report import as_text, check_table, without_folders
from autograder.sandboxed.notebook import MAX_TEXT_BYTES, HandedIn
from autograder.sandboxed.pictures import UNSEEN, VECTOR, is_picture

PLAIN_TAGS = re.compile("p|em|strong|del|code|pre|span|div|br|hr|[uo]l|li|a|blockquote|table|thead|tbody|t[rhd]|h[1-6]")
THEIRS = "The student's own output, as handed in:"
KEPT = "The student's own cell {}:"
CHANGED = "The student's own cell {}, which the student changed:"
MISSING = "This cell is missing in the submission."
LATER = "The notebook is of the version {}, which did not have this cell yet."
ELSEWHERE = "Nothing of the student's stands in this cell. It may stand in {}."
MANY = 12  # own cells that are listed


@dataclass(frozen=True)
class Own:
    """A cell of the student's own: its number among these, where it stands in words, and whether it has a place there."""

    number: int
    cell: HandedIn
    where: str
    placed: bool


def rebuild(
    cells: list[SourceCell],
    points: dict[str, float],
    handed_in: list[HandedIn],
    versions: Versions = NO_VERSIONS,
    version: str = "",
) -> NotebookNode:
    """The source's notebook with a student's cells in it; `versions` were released, and theirs is made from `version`.

    The metadata `autograder` of a cell that the student was to fill says whether it is `answered`, and holds a hash of
    the `answer`, by which a later regrading knows whether it changed.
    """
    places = _places(cells, handed_in)
    theirs = {number: handed_in[place] for number, place in places.items()}
    own = _own(cells, handed_in, places, versions)
    notebook = make_notebook(cells, [cell.stub for cell in cells], points)
    made = [_own_cell(one) for one in own.get(-1, [])]
    for number, (cell, node) in enumerate(zip(cells, notebook.cells, strict=True)):
        behind = [one for one in own.get(number, []) if not one.placed]
        if _fillable(cell):
            near = [one.cell.source for one in behind if one.cell.kind == "markdown"] if number in theirs else []
            _fill(cell, node, theirs.get(number), near, _elsewhere(cell, cells, theirs, own), versions)
            if cell.by_hand and versions.came_later(version, *_names(cell)) and not node.metadata["autograder"]["answered"]:
                node.metadata["autograder"]["answered"] = True  # a person says what it costs
                _say(node, LATER.format(version))
        for one in own.get(number, []):
            if one.placed:
                _say(node, CHANGED.format(one.number))
        made += [node, *map(_own_cell, behind)]
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
        taken, names = set(places.values()), _names(cell)
        free = [place for place, one in enumerate(handed_in) if one.kind == cell.kind and place not in taken]
        likely = [(_likeness(cell, names, number, handed_in[place]), place) for place in free]
        best = max((pair for pair in likely if pair[0] is not None), default=None)
        if best:
            places[number] = best[1]
    return places


def _likeness(cell: SourceCell, names: list[str], number: int, theirs: HandedIn) -> tuple[bool, ...] | None:
    """What speaks for a student's cell being this one of the same kind, what counts most first; None when nothing does."""
    function = cell.about.get("function", "")
    called = f"({'|'.join(map(re.escape, names))})" if function else ""
    defines = bool(called and re.search(rf"^(async +def|def|class) +{called}\b|^{called} *=", theirs.source, re.M))
    if defines:
        return True, False, False, False  # the last definition counts, as in grading
    same_id = bool(cell.role) and theirs.grade_id in names
    unchanged = _same(theirs.source, cell.stub)
    opening = cell.by_hand and _first_line(theirs.source) == _first_line(cell.stub)
    if not (same_id or unchanged or opening or theirs.id == f"cell-{number:03d}"):
        return None
    shown = any(is_picture(kind) for kind, _ in theirs.shown) if cell.role == "plot" else bool(theirs.shown)
    return False, same_id, not unchanged if _fillable(cell) else unchanged, shown


def _names(cell: SourceCell) -> list[str]:
    """What nbgrader calls a cell now, and called it before."""
    return [grade_id(cell), *former([cell]).values()]


def _same(text: str, other: str) -> bool:
    if text.split(None, 1)[:1] != other.split(None, 1)[:1]:  # nearly always, and soon seen
        return False
    return [line.rstrip() for line in text.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()


def _fillable(cell: SourceCell) -> bool:
    """Whether students work in it: answers, and code that is no check."""
    return cell.role == "question" or (cell.kind == "code" and cell.role not in ("check", "grade"))


def _own(
    cells: list[SourceCell], handed_in: list[HandedIn], places: dict[int, int], versions: Versions
) -> dict[int, list[Own]]:
    """The student's own cells, by the number of the source's cell that they follow (-1: none).

    Those are cells without a place, changed ones where only the source's text counts, and changed ones of no exercise,
    question or plot, which have a place and may hold an answer all the same.
    """
    numbers = {place: number for number, place in places.items()}
    placed = {(handed_in[place].source, handed_in[place].shown) for place in numbers}
    pictures = {shown for place in numbers for shown in handed_in[place].shown if is_picture(shown[0])}
    own, last, count = dict[int, list[Own]](), -1, 0
    for place, theirs in enumerate(handed_in):
        last = numbers.get(place, last)
        if place in numbers:
            filled = bool(cells[last].role and _fillable(cells[last]))
            nothing_new = filled or _same(theirs.source, cells[last].stub) or versions.given(theirs.source)
        else:
            new_pictures = any(is_picture(shown[0]) and shown not in pictures for shown in theirs.shown)
            copied = (theirs.source, theirs.shown) in placed
            given = versions.given(theirs.source) or any(_same(theirs.source, cell.stub) for cell in cells)
            nothing_new = copied or (not new_pictures and given)
        if (theirs.source.strip() or theirs.shown) and not nothing_new:
            count += 1
            has_a_place = place in numbers and _fillable(cells[last])
            own.setdefault(last, []).append(Own(count, theirs, _where(cells, last), has_a_place))
    return own


def _where(cells: list[SourceCell], last: int) -> str:
    """Behind which of the source's cells something stands, in words."""
    if last == len(cells) - 1:
        return "at the end"
    named = [grade_id(cell) for cell in cells[: last + 1] if cell.role]
    return f"below {named[-1]}" if named else "at the top"


def _elsewhere(
    cell: SourceCell, cells: list[SourceCell], theirs: dict[int, HandedIn], own: dict[int, list[Own]]
) -> dict[str, list[str]]:
    """What an answer to a question or plot may be where its own cell has none: where it stands, and its contents."""
    found = {}
    if cell.role == "plot":  # also a picture in a cell that has another use
        for number, other in theirs.items():
            pictures = [content for kind, content in other.shown if is_picture(kind)]
            if cells[number].role in ("question", "exercise") and pictures:
                found[grade_id(cells[number])] = pictures
    if cell.by_hand:
        for one in sorted((one for each in own.values() for one in each), key=lambda one: one.number):
            contents = [one.cell.source, *(content for _, content in one.cell.shown)]
            found[f"own cell {one.number} ({one.where})"] = contents
    return found


# --- what is in it ----------------------------------------------------------------------------------------------------


def _fill(
    cell: SourceCell,
    node: NotebookNode,
    theirs: HandedIn | None,
    texts: list[str],
    elsewhere: dict[str, list[str]],
    versions: Versions,
) -> None:
    """Puts the student's text and outputs into a cell; `texts` stand where a written answer may be too.

    What is `elsewhere` counts only where there is nothing else.
    """
    untouched = theirs is not None and (_same(theirs.source, cell.stub) or versions.given(theirs.source))
    if theirs is None:
        answers = []
    elif cell.role == "plot":
        answers = [content for kind, content in theirs.shown if is_picture(kind)]
    else:
        answers = [] if untouched else [theirs.source]
        answers += [content for _, content in theirs.shown if cell.role == "question"]
    if cell.role == "question":
        answers += texts
    lost = not answers and bool(elsewhere)
    if lost:
        answers = [content for contents in elsewhere.values() for content in contents]
    if cell.role == "plot" and theirs and not answers and not untouched:
        answers = [theirs.source]  # what draws it was changed and shows nothing: that too is for a person to judge
    if cell.role:
        answer = hashlib.sha256("\0".join(answers).encode("utf-8", "replace")).hexdigest()
        node.metadata["autograder"] = {"answered": bool(answers), "answer": answer}
    if theirs is not None:
        _show(node, theirs)
    if lost:
        named = list(elsewhere)
        more = [f"{len(named) - MANY} more"] if len(named) > MANY else []
        _say(node, ELSEWHERE.format(", ".join(named[:MANY] + more)))
    if theirs is None and cell.role:
        _say(node, MISSING)


def _own_cell(one: Own) -> NotebookNode:
    new: Any = nbformat.v4.new_code_cell if one.cell.kind == "code" else nbformat.v4.new_markdown_cell
    node: NotebookNode = new(id=f"kept-{one.number:03d}")
    _show(node, one.cell)
    _say(node, KEPT.format(one.number))
    return node


def _show(node: NotebookNode, theirs: HandedIn) -> None:
    if node.cell_type == "code":
        node.source = _plain(theirs.source)
        node.outputs = [_output(kind, content) for kind, content in theirs.shown]
        if node.outputs:
            _say(node, THEIRS)
        return
    node.source = markdown(theirs.source)
    pictures = [(f"picture-{n}", *shown) for n, shown in enumerate(theirs.shown) if shown[0].startswith("image/")]
    node.source += "".join(f"\n\n![{name}](attachment:{name})" for name, _, _ in pictures)
    node.source += "".join(f"\n\n*{_plain(text)}*" for kind, text in theirs.shown if kind == UNSEEN)
    if pictures:
        node.attachments = {name: {kind: content} for name, kind, content in pictures}


def _output(kind: str, content: str) -> NotebookNode:
    if kind == VECTOR:
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            content = base64.b64decode(content).decode()
    elif kind.startswith("image/"):
        content = "".join(content.split())
    else:
        kind, content = "text/plain", _plain(content)
    output: NotebookNode = nbformat.v4.new_output("display_data", data={kind: content})
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


def as_html(text: str) -> str:
    """Markdown as HTML, made fit for a browser in the same way."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    return str(markdown2html_mistune(markdown(text)))


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
