"""Grades for a course's platform: the file that Canvas or Moodle exported comes back with the module's grades in it.

Only the rows of students who have a grade are written. To both platforms a student who is not in the file is untouched,
while a zero is a grade, and Moodle takes an empty cell for "no grade any more".
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student, SubmittedAssignment

from autograder.classes.grade import never_graded
from autograder.course.course import Module
from autograder.errors import CourseError
from autograder.gradebook.gradebook import check_gradebook, costs, require_gradebook, settings, unknown_time
from autograder.gradebook.late import POLICY, read_policy
from autograder.grading.judge import clean
from autograder.grading.report import REFUSED, number, plain_cell

BOM = "\ufeff"
POINTS_ROW = "Points Possible"  # Canvas's second row: what each assignment is worth


@dataclass(frozen=True)
class Platform:
    """What a platform calls its columns: those that tell who a row is (best first), and others that an import needs."""

    who: tuple[str, ...]
    needed: tuple[str, ...]


PLATFORMS = {
    "canvas": Platform(
        ("SIS Login ID", "SIS User ID", "Integration ID", "ID"),
        ("Student", "LastName", "FirstName", "Root Account", "Section"),
    ),
    # both of Moodle's files: a grading worksheet of one assignment, and the export of the whole gradebook
    "moodle": Platform(
        ("Email address", "ID number", "Username"),
        ("Identifier", "Full name", "First name", "Last name", "Surname", "Maximum Grade", "Maximum grade")
        + ("Last modified (grade)", "Last downloaded from this course"),
    ),
}


@dataclass(frozen=True)
class Roster:
    """A platform's CSV file: the columns, the rows below them, and the form in which it was written."""

    path: Path
    columns: list[str]
    rows: list[dict[str, str]]
    form: dict[str, Any]
    bom: str


@dataclass(frozen=True)
class Standing:
    """A student's grade; without one, `why` says what is missing. `name` and `email` are the list of students'."""

    student: str
    score: float | None
    why: str = ""
    name: str = ""
    email: str = ""
    names: frozenset[str] = frozenset()  # all that the gradebook has for them


@dataclass
class Export:
    """The file to import and what to say about it: `remarks` for information, `problems` to be looked at."""

    text: str = ""
    written: int = 0
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def export(
    module: Module,
    platform: str,
    path: Path,
    *,
    by: str | None = None,
    column: str | None = None,
    partial: bool = False,
) -> Export:
    """The module's grades in the form of `path`, a file that the platform exported.

    Args:
        by: the column of `path` that holds the gradebook's student ids (or e-mail addresses, or LMS ids).
        column: the column to fill; by default the one named like the module.
        partial: whether grades that still wait for a TA, or for the time of handing in, count as grades.

    Raises:
        CourseError: the file, the columns or the gradebook are not what is needed; names the mend.
    """
    roster = read_roster(path)
    target = _target(roster, column or module.name)
    done, rows, by = fill(roster, module, platform, target, by=by, partial=partial)
    names = PLATFORMS[platform]
    kept = [name for name in roster.columns if name in (*names.who, *names.needed, by, target)]
    done.text = _written(roster, kept, rows, target, by)
    return done


def fill(
    roster: Roster, module: Module, platform: str, target: str, *, by: str | None = None, partial: bool = False
) -> tuple[Export, list[dict[str, str]], str]:
    """What is said of a platform's list, its rows with a grade in the column `target`, and the column that says who.

    Raises:
        CourseError: no column tells who a student is, or one tells it of two; the gradebook is not what is needed.
    """
    of_all, doubts, maximum = read_standings(module, partial)
    standings = _by_name(of_all)
    done = Export(problems=[*doubts, *_other_maximum(roster, target, maximum)])
    by = _who_column(roster, by, PLATFORMS[platform].who, standings)
    return done, _filled(roster, standings, target, by, done), by


def _filled(roster: Roster, standings: dict[str, Standing], target: str, by: str, done: Export) -> list[dict[str, str]]:
    """The rows of students with a grade, and Canvas's own; tells `done` who is missing on either side."""
    rows, placed = [], set()
    for row in roster.rows:
        if _not_a_student(row, by):
            rows.append(row)
            continue
        standing = standings.get(row[by].strip().casefold())
        if standing is not None and standing.student in placed:
            raise CourseError(f"{roster.path}: {row[by]!r} is in two rows of the column {by!r}: leave the right one")
        placed |= {standing.student} if standing else set()
        why = _why_not(row, target, by, standing)
        if standing is None or standing.score is None or why:
            done.remarks.append(f"not in the file: {clean(_who(row, by))}: {why}")
        else:
            rows.append(row | {target: number(round(standing.score, 2))})
            done.written += 1
    done.problems += [
        f"graded, but not in the column {by!r} of {roster.path}: {clean(standing.student)}"
        for standing in dict.fromkeys(standings.values())
        if standing.score is not None and standing.student not in placed
    ]
    return rows


# --- the platform's file ----------------------------------------------------------------------------------------------


def read_roster(path: Path) -> Roster:
    """Reads a CSV file as Canvas and Moodle write it: with commas, semicolons or tabs, with or without a BOM.

    Raises:
        CourseError: it cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}: name the file that the platform exported") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not UTF-8: export it again as CSV, and do not save it in a spreadsheet") from None
    bom = BOM if text.startswith(BOM) else ""
    first = text.removeprefix(BOM).partition("\n")[0]
    form: dict[str, Any] = {
        "delimiter": max(",;\t", key=first.count),
        "lineterminator": "\r\n" if first.endswith("\r") else "\n",
    }
    content = io.StringIO(text.removeprefix(BOM), newline="")
    try:
        lines = [line for line in csv.reader(content, strict=True, **form) if line]
    except csv.Error as error:
        raise CourseError(f"{path} is not a CSV file ({error}): export it again") from None
    columns = [name.strip() for name in lines[0]] if lines else []
    doubled = {name for name in columns if name and columns.count(name) > 1}
    if len(columns) < 2 or doubled:
        what = f"has two columns called {doubled.pop()!r}" if doubled else "has no columns"
        raise CourseError(f"{path} {what}: give the CSV file that the platform exported")
    rows = [dict(zip(columns, [*line, *[""] * len(columns)], strict=False)) for line in lines[1:]]
    return Roster(path, columns, rows, form, bom)


def _written(roster: Roster, columns: list[str], rows: list[dict[str, str]], target: str, by: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, **roster.form)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(row[name] if name in (target, by) else plain_cell(row[name]) for name in columns)
    return roster.bom + out.getvalue()


def _target(roster: Roster, wanted: str) -> str:
    """The column to fill: of this name, or with the platform's own additions around it."""
    found = [name for name in roster.columns if name == wanted] or [
        name for name in roster.columns if wanted.casefold() in _titles(name)
    ]
    if not found and "Identifier" in roster.columns and "Grade" in roster.columns:
        found = ["Grade"]  # Moodle's worksheet is of one assignment
    if len(found) != 1:
        what = "two columns" if found else "no column"
        raise CourseError(
            f"{roster.path}: {what} for {wanted!r}: create the assignment and export again, or name the column "
            f"with --column: {_listed(roster.columns)}"
        )
    return found[0]


def _titles(column: str) -> set[str]:
    """An assignment's names in a column's: Canvas adds its id, `week08 (1234)`; Moodle `Assignment: week08 (Real)`."""
    title = re.sub(r" *\((\d+|Real)\)$", "", column).casefold()
    return {title, title.partition(": ")[2]} - {""}


def _who_column(roster: Roster, wanted: str | None, usual: tuple[str, ...], standings: dict[str, Standing]) -> str:
    """The column that tells who a row is: the one wanted, else the usual one that knows most of the gradebook."""
    there = [name for name in ([wanted] if wanted else usual) if name in roster.columns]
    if not there:
        what = f"no column {wanted!r}" if wanted else "no column that tells who a student is"
        raise CourseError(f"{roster.path} has {what}: name it with --by: {_listed(roster.columns)}")
    return max(there, key=lambda name: sum(row[name].strip().casefold() in standings for row in roster.rows))


def _listed(names: list[str]) -> str:
    return ", ".join(repr(clean(name)) for name in names)


def _not_a_student(row: dict[str, str], by: str) -> bool:
    """Canvas's rows about the assignments: what they are worth, and which are posted by hand."""
    first, second = list(row.values())[:2]
    return POINTS_ROW in first or not (first + second + row[by]).strip()


def _who(row: dict[str, str], by: str) -> str:
    return row[by] or " ".join(filter(None, list(row.values())[:2]))


def _why_not(row: dict[str, str], target: str, by: str, standing: Standing | None) -> str:
    if standing is None:
        return "not in the gradebook"
    if standing.score is None:
        return standing.why
    if row[target].strip().upper() == "EX":
        return "excused by the platform"
    if plain_cell(row[by]) != row[by]:
        return f"its {by!r} begins like a spreadsheet's formula; enter the grade by hand"
    return ""


def _other_maximum(roster: Roster, target: str, maximum: float) -> list[str]:
    """A grade is not rescaled: the platform must give the module as many points as it has."""
    theirs = {row[target] for row in roster.rows if POINTS_ROW in next(iter(row.values()))}
    theirs |= {row[name] for row in roster.rows for name in ("Maximum Grade", "Maximum grade") if name in row}
    return [
        f"{roster.path}: {target!r} is worth {clean(text)} points there and {number(maximum)} here: set it there first"
        for text in sorted(theirs)
        if _number(text) not in (None, maximum)
    ]


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


# --- nbgrader's gradebook ---------------------------------------------------------------------------------------------


@contextmanager
def open_gradebook(root: Path) -> Iterator[Gradebook]:
    """The gradebook that nbgrader's own commands use in the course at `root`.

    Raises:
        CourseError: it is not there yet, or cannot be read.
    """
    app = settings(root)
    require_gradebook(app.coursedir.db_url)
    check_gradebook(app.coursedir.db_url)
    with Gradebook(app.coursedir.db_url, app.coursedir.course_id) as gradebook:
        yield gradebook


def _assignment(gradebook: Gradebook, module: Module) -> Assignment:
    try:
        return gradebook.find_assignment(module.name)
    except MissingEntry:
        raise CourseError(
            f"the gradebook does not know {module.name}: run `nbgrader generate_assignment {module.name}`"
        ) from None


def read_standings(module: Module, partial: bool) -> tuple[list[Standing], list[str], float]:
    """Every student's standing, what is doubtful about them in lines to be looked at, and the module's points.

    Args:
        partial: whether grades that still wait for a TA, or for the time of handing in, count as grades.

    Raises:
        CourseError: there is no gradebook, or it cannot be used.
    """
    with open_gradebook(module.root) as gradebook:
        assignment = _assignment(gradebook, module)
        unknown = _unknown_times(module, assignment)
        submissions = {submission.student_id: submission for submission in assignment.submissions}
        ungraded = never_graded(module)
        found, doubts = [], _stale_penalties(module, assignment)
        for student in gradebook.students:
            submission, late = submissions.get(student.id), unknown.get(student.id, "")
            why = _why_no_grade(submission, ungraded.get(student.id, ""), partial)
            if late and not partial:
                late = f"{late} (write it into timestamp.txt and grade again, or --partial)"
                why = "; ".join(filter(None, (why, late)))
            score = 0.0
            if submission and not why:
                score = max(0.0, submission.score - (submission.late_submission_penalty or 0.0))
            found.append(_standing(student, None if why else score, why))
        if partial:
            doubts += [f"{clean(who)}: {why}: nothing is taken off for lateness" for who, why in unknown.items()]
        return found, doubts, float(assignment.max_score)


def _by_name(standings: list[Standing]) -> dict[str, Standing]:
    """Every student's standing under each name that the gradebook has for them, in small letters.

    Raises:
        CourseError: one name stands for two students.
    """
    found: dict[str, Standing] = {}
    for standing in standings:
        for name in standing.names:
            other = found.setdefault(name.casefold(), standing)
            if other.student != standing.student:
                raise CourseError(
                    f"the gradebook has the students {other.student!r} and {standing.student!r} under one name, {name!r}: "
                    "mend it with `nbgrader db student add`"
                )
    return found


def _standing(student: Student, score: float | None, why: str) -> Standing:
    names = {student.id, student.email, student.lms_user_id} - {None, ""}
    whole = " ".join(filter(None, (student.first_name, student.last_name)))
    return Standing(student.id, score, why, whole, student.email or "", frozenset(names))


def _why_no_grade(submission: SubmittedAssignment | None, status: str, partial: bool) -> str:
    if submission is None:
        return "nothing was submitted"
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    if status == REFUSED:  # also where a TA has given points: they are not for what was handed in
        return "refused: ask for the file again, and grade it"
    if status or all(grade.auto_score is None and grade.manual_score is None for grade in grades):
        return "not graded yet"
    waits = submission.needs_manual_grade and not partial
    return "waits for manual grading (`autograder questions`, formgrader, or --partial)" if waits else ""


def _unknown_times(module: Module, assignment: Assignment) -> dict[str, str]:
    """Why it is unknown whether a student is late, where being late costs something."""
    if assignment.duedate is None or not costs(module):
        return {}
    submitted = module.root / settings(module.root).coursedir.submitted_directory
    found = {
        one.student_id: unknown_time(submitted / one.student_id / module.name)
        for one in assignment.submissions
        if one.timestamp is None
    }
    return {student: why for student, why in found.items() if why}


def _stale_penalties(module: Module, assignment: Assignment) -> list[str]:
    """nbgrader sets a penalty when it grades; points that a TA gave since, or a new policy, are not in it."""
    policy, stale = read_policy(module.root / POLICY, module.name), []
    if policy is None:
        return []
    for submission in assignment.submissions:
        if submission.timestamp is None:
            continue  # it is said that nobody knows
        kept = submission.late_submission_penalty or 0.0
        late = submission.total_seconds_late  # nbgrader takes it off notebook by notebook
        due = sum(policy.penalty(each.score, each.max_score, late) for each in submission.notebooks)
        if abs(kept - due) > 1e-6:
            stale.append(
                f"{clean(submission.student_id)}: {number(kept)} points are taken off for lateness, by {POLICY} it is "
                f"{number(due)}: run `nbgrader autograde {module.name} --student={submission.student_id} --force`"
            )
    return stale
