"""One question or plot over the whole class: all answers without names, and rubric items that are pressed for points.

A rubric item is points with a comment; it is kept in the course's `rubrics/<module>/<question>.json`, for the next
answer, the next evening and the next year. What is pressed for an answer becomes nbgrader's own manual score and comment
at once, so that formgrader shows the same. Which items were pressed stands in `grades/<module>/marks/<question>.json`,
and counts only as long as the gradebook still holds what was entered by them: what a TA has entered in formgrader since
is never written over unasked. An item that is changed changes all answers that it was pressed for. Whatever was done can
be undone, one after another, until the command is ended.
"""

import base64
import binascii
import hashlib
import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Comment, Grade, Gradebook, MissingEntry, SubmittedAssignment, SubmittedNotebook

from autograder.classes.grade import never_graded
from autograder.course.course import Module, nearest
from autograder.course.source import ANSWER_HERE, SourceCell, by_hand, called, grade_id
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.autograded import as_html, markdown
from autograder.gradebook.gradebook import ClassBook
from autograder.grading.judge import clean
from autograder.sandboxed.pictures import VECTOR

MAX_COMMENT = 5000  # letters
PICTURES = ("image/png", "image/jpeg", "image/gif", VECTOR)


@dataclass(frozen=True)
class Item:
    """A rubric item: points, and what the student reads with them."""

    number: int
    points: float
    comment: str


@dataclass
class Mark:
    """What the gradebook holds for an answer, and by which items it came about."""

    manual: float | None
    auto: float | None  # 0 where nothing was answered
    comment: str
    waits: bool
    items: list[int] = field(default_factory=list)
    own: str = ""  # the comment beside those of the items

    @property
    def score(self) -> float | None:
        """The points that count."""
        return self.auto if self.manual is None else self.manual

    @property
    def version(self) -> str:
        """What a page has to have seen before it may change this."""
        return hashlib.sha256(repr(asdict(self)).encode()).hexdigest()[:12]


@dataclass
class _Row:
    """An answer's rows in the gradebook."""

    student: str
    grade: Grade
    comment: Comment


class Question:
    """One question or plot of a module, and all answers to it.

    Raises:
        CourseError: there is no such question, or nothing of it is in the gradebook.
    """

    def __init__(self, book: ClassBook, name: str):
        self.cell = _cell(book.module, name)
        self.name = grade_id(self.cell)
        self.book = book.holding(self.name)
        self.module = self.book.module
        self.rubric_file = self.module.root / "rubrics" / self.module.name / f"{self.name}.json"
        self.marks_file = self.module.grades / "marks" / f"{self.name}.json"
        self.left_out = never_graded(self.module)
        self._undo: list[tuple[list[Item], dict[str, tuple[Mark, Mark]]]] = []
        with self._rows() as (_, rows):
            self.maximum = float(rows[0].grade.max_score) if rows else float(self.cell.about["points"])
        self.items()  # a damaged file is said now

    # --- what is there ------------------------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """The question, its rubric items, and the answers in an order that tells nothing of who they are from."""
        with self._rows() as (_, rows):
            marks = self._marks(rows)
        answers = [{"id": self._key(who), "waits": mark.waits, "score": mark.score} for who, mark in marks.items()]
        return {
            "module": self.module.name,
            "name": self.name,
            "maximum": self.maximum,
            "items": [asdict(item) for item in self.items()],
            "answers": sorted(answers, key=lambda answer: str(answer["id"])),
            "undo": len(self._undo),
        }

    def asked(self) -> dict[str, str]:
        """The question's text, and what graders alone see: the model answer and the rubric, as harmless HTML."""
        text = self.cell.stub if self.cell.kind == "markdown" else f"```\n{self.cell.stub}\n```"
        return {"question": as_html(text), "model": as_html(self.cell.rubric)}

    def answer(self, key: str) -> dict[str, Any]:
        """One answer as harmless HTML, and its mark."""
        student, mark = self._find(key)
        path = self.book.folder(student) / self.module.notebook
        try:
            notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
            shown = shown_answer(notebook, self.name, self.cell.stub.partition(ANSWER_HERE)[0])
        except (OSError, ValueError):
            shown = "<p><em>Its notebook is not in autograded/: grade this student again.</em></p>"
        return {"id": key, "html": shown, "mark": {**asdict(mark), "score": mark.score}, "version": mark.version}

    def items(self) -> list[Item]:
        """The rubric items; at first one for all points and one for none."""
        if not self.rubric_file.is_file():
            return [Item(1, self.maximum, ""), Item(2, 0.0, "")]
        try:
            kept = json.loads(self.rubric_file.read_text(encoding="utf-8"))["items"]
            return [Item(int(each["number"]), float(each["points"]), str(each["comment"])) for each in kept]
        except (OSError, ValueError, KeyError, TypeError):
            raise CourseError(f"{self.rubric_file} is damaged: mend it, or move it away to begin anew") from None

    # --- what a TA does -----------------------------------------------------------------------------------------------

    def press(self, key: str, version: str, number: int) -> None:
        """Gives an item for an answer, or takes it back."""
        if number not in [item.number for item in self.items()]:
            raise CourseError("that rubric item is gone: load the page again")

        def pressed(mark: Mark) -> Mark:
            items = [each for each in mark.items if each != number]
            items = items if number in mark.items else [*items, number]
            return self._by_items(mark, items, mark.own, settles=True)

        self._change(key, version, pressed)

    def say(self, key: str, version: str, text: str) -> None:
        """Sets the comment for this answer alone, beside those of its items."""
        if len(text) > MAX_COMMENT:
            raise CourseError(f"the comment is longer than {MAX_COMMENT} letters")
        self._change(key, version, lambda mark: self._by_items(mark, mark.items, _text(text)))

    def keep(self, key: str, version: str) -> None:
        """Leaves the points as they are, of an answer that has changed since."""

        def kept(mark: Mark) -> Mark:
            if mark.score is None:
                raise CourseError("it has no points yet: press an item")
            return replace(mark, waits=False)

        self._change(key, version, kept)

    def set_item(self, number: int | None, points: float, comment: str) -> None:
        """Adds an item (no number), or changes one and with it all answers that it was pressed for."""
        if not -self.maximum <= points <= self.maximum:
            raise CourseError(f"points must be from {-self.maximum:g} to {self.maximum:g}")
        if len(comment) > MAX_COMMENT:
            raise CourseError(f"the comment is longer than {MAX_COMMENT} letters")
        before = self.items()
        new = Item(number or max((item.number for item in before), default=0) + 1, points, _text(comment))
        if number is None:
            self._set_items([*before, new])
        else:
            self._set_items([new if item.number == number else item for item in before])

    def remove_item(self, number: int) -> None:
        """Takes an item away, and from all answers that it was pressed for; those without another wait again."""
        self._set_items([item for item in self.items() if item.number != number])

    def undo(self) -> None:
        """Takes the last thing back, where nobody has changed it since."""
        if not self._undo:
            raise CourseError("there is nothing to undo")
        items, changed = self._undo[-1]
        with self._rows() as (gradebook, rows):
            here = self._marks(rows)
            if any(here.get(who) != after for who, (_, after) in changed.items()):
                self._undo.pop()
                raise CourseError("somebody has changed that since, so that it was not undone")
            self._write_items(items)
            self._write(gradebook, rows, {who: before for who, (before, _) in changed.items()})
        self._undo.pop()

    # --- how it is kept -----------------------------------------------------------------------------------------------

    def _by_items(self, mark: Mark, items: list[int], own: str, *, settles: bool = False) -> Mark:
        """The mark that these items and this comment make; what waits goes on waiting unless that `settles` it."""
        pressed = [item for item in self.items() if item.number in items]
        parts = [f"({item.points:+g}) {item.comment}" for item in pressed if item.comment]
        comment = "\n\n".join(filter(None, [*parts, own]))
        if pressed:
            manual: float | None = min(self.maximum, max(0.0, sum(item.points for item in pressed)))
        else:
            manual = None if mark.items else mark.manual  # points from formgrader stay until an item is pressed
        waits = (manual is None and mark.auto is None) or (mark.waits and not settles)
        return Mark(manual, mark.auto, comment, waits, [item.number for item in pressed], own)

    def _change(self, key: str, version: str, change: Any) -> None:
        with self._rows() as (gradebook, rows):
            student = self._student(rows, key)
            before = self._marks(rows)[student]
            if before.version != version:
                raise CourseError("this answer was marked elsewhere meanwhile: it is shown as it is now")
            self._write(gradebook, rows, {student: change(before)})
            self._undo.append((self.items(), {student: (before, self._marks(rows)[student])}))

    def _set_items(self, items: list[Item]) -> None:
        before = self.items()
        with self._rows() as (gradebook, rows):
            marks = self._marks(rows)
            self._write_items(items)
            moved = {who: self._by_items(mark, mark.items, mark.own) for who, mark in marks.items() if mark.items}
            moved = {who: new for who, new in moved.items() if new != marks[who]}
            self._write(gradebook, rows, moved)
            after = self._marks(rows)
            self._undo.append((before, {who: (marks[who], after[who]) for who in moved}))

    def _write_items(self, items: list[Item]) -> None:
        text = json.dumps({"items": [asdict(item) for item in items]}, indent=1, ensure_ascii=False)
        write_whole(self.rubric_file, text + "\n")

    @contextmanager
    def _rows(self) -> Iterator[tuple[Gradebook, list[_Row]]]:
        """The gradebook, and in it the rows of all answers but of those who were never graded."""
        with self.book.open() as gradebook:
            about = (self.name, self.book.name, self.module.name)
            try:
                graded, solved = gradebook.find_grade_cell(*about), gradebook.find_solution_cell(*about)
            except MissingEntry:
                raise CourseError(f"{self.name} is not in the gradebook yet: grade {self.module.name} first") from None

            def rows_of(kind: Any, cell: Any) -> dict[str, Any]:
                query = gradebook.db.query(SubmittedAssignment.student_id, kind)
                query = query.join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
                return dict(query.join(kind, kind.notebook_id == SubmittedNotebook.id).filter(kind.cell_id == cell.id).all())

            grades, comments = rows_of(Grade, graded), rows_of(Comment, solved)
            yield gradebook, [
                _Row(who, grades[who], comments[who]) for who in sorted(grades) if who in comments and who not in self.left_out
            ]

    def _marks(self, rows: list[_Row]) -> dict[str, Mark]:
        pressed, marks = self._pressed(), {}
        for row in rows:
            manual, comment = row.grade.manual_score, row.comment.manual_comment or ""
            mark = Mark(manual, row.grade.auto_score, comment, bool(row.grade.needs_manual_grade), own=comment)
            known = pressed.get(row.student)
            if known and (known["manual"], known["comment"]) == (manual, comment):
                mark.items, mark.own = list(known["items"]), known["own"]
            marks[row.student] = mark
        return marks

    def _pressed(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads(self.marks_file.read_text(encoding="utf-8"))) if self.marks_file.is_file() else {}
        except ValueError:
            raise CourseError(f"{self.marks_file} is damaged: move it away; all points are in the gradebook") from None

    def _write(self, gradebook: Gradebook, rows: list[_Row], marks: dict[str, Mark]) -> None:
        """Into the gradebook first: what is lost by a crash in between is which items were pressed, and no points."""
        for row in rows:
            if mark := marks.get(row.student):
                row.grade.manual_score, row.grade.needs_manual_grade = mark.manual, mark.waits
                row.comment.manual_comment = mark.comment or None
        gradebook.db.commit()
        pressed = self._pressed()
        for who, mark in marks.items():
            pressed[who] = {"manual": mark.manual, "comment": mark.comment, "items": mark.items, "own": mark.own}
        write_whole(self.marks_file, json.dumps(pressed, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

    def _key(self, student: str) -> str:
        """What an answer is called on the page: it tells nothing of the student, and orders the answers by chance."""
        return hashlib.sha256(f"{self.module.name}\0{self.name}\0{student}".encode()).hexdigest()[:16]

    def _student(self, rows: list[_Row], key: str) -> str:
        for row in rows:
            if self._key(row.student) == key:
                return row.student
        raise CourseError("that answer is not there any more: load the page again")

    def _find(self, key: str) -> tuple[str, Mark]:
        with self._rows() as (_, rows):
            student = self._student(rows, key)
            return student, self._marks(rows)[student]


def _text(text: str) -> str:
    """What a TA has typed, with the line ends of one kind and no control characters."""
    return clean(text.replace("\r\n", "\n").expandtabs(4).strip(), MAX_COMMENT)


def students_beside(book: ClassBook) -> list[str]:
    """A line for whoever has no answer to be marked since nothing of theirs was graded, and for who is in no list."""
    ungraded = never_graded(book.module)
    with book.open() as gradebook:
        students = [each.student_id for each in gradebook.assignment_submissions(book.module.name)]
    lines = [f"{clean(who)}: {status}, so that there is nothing to mark" for who, status in ungraded.items()]
    return lines + book.named_strangers(students)


def _cell(module: Module, name: str) -> SourceCell:
    cells = by_hand(module.sources)
    if cell := called(cells, name):
        return cell
    raise CourseError(f"no question or plot of {module.name} is called {name!r}: {nearest(name, list(map(grade_id, cells)))}")


def waiting(book: ClassBook) -> list[tuple[str, int, int]]:
    """Of each question and plot: its name, how many answers wait, and how many there are."""
    found = []
    for cell in by_hand(book.module.sources):
        answers = Question(book, grade_id(cell)).overview()["answers"]
        found.append((grade_id(cell), sum(answer["waits"] for answer in answers), len(answers)))
    return found


# --- what is shown ----------------------------------------------------------------------------------------------------


def shown_answer(notebook: NotebookNode, name: str, asked: str = "") -> str:
    """An answer of an autograded notebook as HTML that holds text and pictures, and nothing that runs or is fetched.

    The student's own cells, where an answer may stand too, come folded below it. The question's own text, `asked`, is left
    out where it stands unchanged before the answer.
    """
    cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name]
    if not cells:
        return "<p><em>This answer is not in the notebook: grade this student again.</em></p>"
    if cells[0].cell_type == "markdown" and asked.strip():
        cells[0].source = cells[0].source.replace(markdown(asked).strip(), "", 1).strip()
    shown = _shown(cells[0])
    own = [cell for cell in notebook.cells if str(cell.get("id", "")).startswith("kept-")]
    if own:
        inside = "\n<hr>\n".join(map(_shown, own))
        opened = " open" if "It may stand in" in _said(cells[0]) else ""
        shown += f"<details{opened}><summary>The student's own cells ({len(own)})</summary>\n{inside}</details>"
    return shown


def _said(cell: NotebookNode) -> str:
    outputs = (str(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", []))
    return "\n".join([cell.source, *outputs])


def _shown(cell: NotebookNode) -> str:
    if cell.cell_type != "code":
        pictures = cell.get("attachments", {})
        text = cell.source
        for name in pictures:
            text = text.replace(f"![{name}](attachment:{name})", "")
        shown = [_picture(kind, data) for picture in pictures.values() for kind, data in picture.items()]
        return as_html(text) + "".join(shown)
    parts = []
    for output in cell.get("outputs", []):
        for kind, data in output.get("data", {}).items():
            parts.append(_picture(kind, data) if kind in PICTURES else _pre(data))
    return "".join(parts) + f"<details><summary>The cell's code</summary>{_pre(cell.source)}</details>"


def _pre(text: Any) -> str:
    return f"<pre>{html.escape(str(text))}</pre>"


def _picture(kind: str, data: str) -> str:
    """A picture as data: of SVG too no script runs in an `img`."""
    if kind not in PICTURES:
        return _pre(f"({kind} is not shown here)")
    if kind == VECTOR and data.lstrip().startswith("<"):
        data = base64.b64encode(data.encode()).decode()
    data = re.sub(r"\s", "", data)
    try:
        base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        return _pre("(a damaged picture)")
    return f'<img alt="the student\'s picture" src="data:{kind};base64,{data}">'
