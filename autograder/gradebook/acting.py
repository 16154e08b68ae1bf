"""Acting on a group of students whose answers are wrong in one way: `autograder group`.

A group's comment stands below the function in question, as a TA's own in formgrader; a change of points is a TA's own
score of the function's exercise: what the checks gave, and so much more or less, within 0 and the exercise's points.
What was entered stands in `grades/<module>/acted.json`. It can be taken back, and is never entered twice: of each kind a
group has one, and another takes its place. Scores that a TA has given, before or since, stay.
"""

import contextlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from nbgrader.api import Comment, Grade, MissingEntry
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.classes.groups import CHECK, Group, class_groups, group_of, read_results
from autograder.course import source
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.gradebook import ClassBook
from autograder.gradebook.questions import MAX_COMMENT
from autograder.grading.judge import clean
from autograder.grading.report import number


@dataclass(frozen=True)
class Action:
    """What was entered for a group: a comment, or points with the reason; and for whom."""

    group: str
    function: str
    exercise: str  # its cell in the gradebook
    text: str
    points: float | None
    students: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What a line calls it."""
        return "comment" if self.points is None else f"{self.points:+g} points"

    @property
    def paragraph(self) -> str:
        """What it adds to a student's comment."""
        return self.text if self.points is None else f"({self.points:+g}) {self.text}"

    def takes_the_place_of(self, other: "Action") -> bool:
        """Whether it is the same group's of the same kind."""
        return self.group == other.group and (self.points is None) == (other.points is None)


@dataclass
class Kept:
    """`acted.json`: what stands entered, and the scores by that, of students by exercise."""

    actions: list[Action] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


def act(book: ClassBook, name: str, text: str, points: float | None = None) -> tuple[str, list[str]]:
    """Enters a comment, or points and why, for all of a group; says what was done, and a line about each it was not for.

    Raises:
        CourseError: no such group, no text, or no such points; nothing is changed then.
    """
    kept, group = _read(book), group_of(book.module.grades, name)
    said = clean(text.replace("\r\n", "\n").expandtabs(4).strip(), MAX_COMMENT)
    if not said:
        raise CourseError("the text is empty: the students read it, so say what, or why")
    exercise, maximum = _exercise(book, group.function)
    if points is not None and not (math.isfinite(points) and 0 < abs(points) <= maximum):
        raise CourseError(
            f"--points {points:g}: give more or less by up to {number(maximum)}, what {exercise} is worth"
        )
    new = Action(name, group.function, exercise, said, points)
    old = next((each for each in kept.actions if new.takes_the_place_of(each)), None)
    before = old.students if old else ()
    new = replace(new, students=tuple(dict.fromkeys([*before, *group.students])))
    changed, left = _put(book, kept, old, new)
    had = len(new.students) - len(left) - changed
    gone = [student for student in before if student not in group.students]
    left += [f"{clean(student)}: no longer in the group; what was entered stays until --undo" for student in gone]
    return f"{name}: {new.kind} entered for {changed} of {len(new.students)}" + (f"; {had} had it" if had else ""), left


def undo(book: ClassBook, name: str) -> tuple[str, list[str]]:
    """Takes back what was entered for a group; as `act`.

    Raises:
        CourseError: nothing was.
    """
    kept, said, left = _read(book), list[str](), list[str]()
    actions = [each for each in kept.actions if each.group == name]
    if not actions:
        groups = ", ".join(dict.fromkeys(each.group for each in kept.actions))
        raise CourseError(f"nothing stands entered for {name!r}; it does for {groups or 'no group'}")
    for action in actions:
        changed, theirs = _put(book, kept, action, None)
        said.append(f"{action.kind} taken back from {changed} of {len(action.students)}")
        left += theirs
    return f"{name}: {', '.join(said)}", left


def listed(book: ClassBook) -> list[tuple[Group, list[str]]]:
    """The groups of a class without those of checks, unless something was entered for one; and what was, for how many."""
    results, _ = read_results(book.module.grades)
    actions = _read(book).actions
    found = []
    for group in class_groups(results, book.module.grades):
        done = [f"{each.kind} ({len(each.students)})" for each in actions if each.group == group.name]
        if group.kind != CHECK or done:
            found.append((group, done))
    return found


def print_listed(groups: list[tuple[Group, list[str]]], console: Console) -> None:
    """A line for each group."""
    table = Table(box=None, pad_edge=False)
    for name in ("group", "function", "students", "entered (for how many)"):
        table.add_column(name, justify="right" if name == "students" else "left")
    for group, done in groups:
        table.add_row(*map(Text, (group.name, group.function, str(len(group.students)), ", ".join(done))))
    console.print(table if groups else "Nobody's answers are wrong in a way that has a name.")


def addresses(book: ClassBook, students: Iterable[str]) -> dict[str, str]:
    """Whom to write to: name and e-mail address by student; nothing where the gradebook knows no address."""
    with book.open() as gradebook:
        known = {who.id: (who.first_name, who.last_name, f"<{who.email}>") for who in gradebook.students if who.email}
    return {student: clean(" ".join(filter(None, known.get(student, ())))) for student in students}


# --- in the gradebook -------------------------------------------------------------------------------------------------


def _put(book: ClassBook, kept: Kept, old: Action | None, new: Action | None) -> tuple[int, list[str]]:
    """Puts `new` in the place of `old`; gives for how many that changed anything, and a line for whom it was not done.

    Into the gradebook first: what a crash in between loses is a record, and no points.
    """
    action = new or old
    assert action
    others = [each for each in kept.actions if each is not old]
    done, changed, left = list[str](), list[str](), list[str]()
    with book.open() as gradebook:
        for student in action.students:
            try:
                about = book.name, book.module.name, student
                grade, comment = (
                    gradebook.find_grade(action.exercise, *about),
                    gradebook.find_comment(action.function, *about),
                )
            except MissingEntry:
                left.append(f"{clean(student)}: is not in the gradebook: grade {book.module.name} first")
                continue
            before = grade.manual_score, comment.manual_comment, grade.needs_manual_grade
            theirs = [each for each in [*others, *([new] if new else [])] if student in each.students]
            if action.points is not None and (why := _score(grade, theirs, kept.scores.setdefault(student, {}))):
                left.append(f"{clean(student)}: {why}")
                continue
            _comment(comment, old, new, theirs)
            done.append(student)
            changed += (
                [student] if (grade.manual_score, comment.manual_comment, grade.needs_manual_grade) != before else []
            )
        gradebook.db.commit()
    kept.actions = [*others, replace(new, students=tuple(done))] if new and done else others
    _write(book, kept)
    for student in changed:
        book.write_page(student)
    return len(changed), left


def _score(grade: Grade, actions: list[Action], ours: dict[str, float]) -> str:
    """Makes a score what these actions make of the checks' points; or says why it cannot be ours to change."""
    mine = ours.pop(grade.name, None)
    if grade.manual_score is not None and grade.manual_score != mine:
        return f"has {number(grade.manual_score)} of {number(grade.max_score)} by a TA, which stay"
    if grade.auto_score is None:
        return "has no points by the checks yet"
    more = [each.points for each in actions if each.points is not None and each.exercise == grade.name]
    grade.manual_score, grade.needs_manual_grade = None, False
    if more:
        grade.manual_score = ours[grade.name] = min(grade.max_score, max(0.0, grade.auto_score + sum(more)))
    return ""


def _comment(comment: Comment, old: Action | None, new: Action | None, actions: list[Action]) -> None:
    """Puts one paragraph of a comment in the place of another, unless it stands there already; the rest is not ours."""
    text = f"\n\n{comment.manual_comment or ''}\n\n"
    wanted = {each.paragraph for each in actions if each.function == comment.name}
    if old and old.paragraph not in wanted:
        text = text.replace(f"\n\n{old.paragraph}\n\n", "\n\n", 1)
    if new and f"\n\n{new.paragraph}\n\n" not in text:
        text += f"{new.paragraph}\n\n"
    comment.manual_comment = text.strip("\n") or None


def _exercise(book: ClassBook, function: str) -> tuple[str, float]:
    """The gradebook's cell of a function's exercise, and its points there."""
    for exercise, functions in source.exercises(source.read_source(book.module.source)).items():
        if function in functions:
            cell = f"exercise-{exercise}"
            with book.open() as gradebook, contextlib.suppress(MissingEntry):
                return cell, float(gradebook.find_grade_cell(cell, book.name, book.module.name).max_score)
            raise CourseError(f"{cell} is not in the gradebook yet: grade {book.module.name} first")
    raise CourseError(f"{function} is in no exercise of {book.module.name} any more: see to its points in formgrader")


# --- what is kept -----------------------------------------------------------------------------------------------------


def _file(book: ClassBook) -> Path:
    return book.module.grades / "acted.json"


def _read(book: ClassBook) -> Kept:
    file = _file(book)
    if not file.is_file():
        return Kept()
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        actions = [Action(**each | {"students": tuple(each["students"])}) for each in said["actions"]]
        return Kept(actions, {who: dict(scores) for who, scores in said["scores"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CourseError(
            f"{file} is damaged: put your last copy in its place; without it, comments and points stay as a TA's own"
        ) from None


def _write(book: ClassBook, kept: Kept) -> None:
    scores = {who: theirs for who, theirs in kept.scores.items() if theirs}
    about = {"actions": [asdict(each) for each in kept.actions], "scores": scores}
    write_whole(_file(book), json.dumps(about, indent=1, ensure_ascii=False) + "\n")
