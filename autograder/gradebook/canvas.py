"""Canvas by its own API, where somebody has a token: the list of students in, grades and feedback pages out.

The way by CSV files needs no token and stays the usual one. Nothing is sent before somebody has seen what would be: the
same plan is printed first. Students are told apart as in a CSV file that Canvas exported, by the same code.
"""

import csv
import hashlib
import importlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from autograder.course.course import Module
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.export import POINTS_ROW, Roster, fill, read_standings
from autograder.gradebook.feedback import LeftOut, page_of
from autograder.gradebook.gradebook import existing_book
from autograder.grading.judge import clean
from autograder.grading.report import number, plain_cell

TOKEN = "CANVAS_API_TOKEN"  # the environment variables that Canvas's own examples use
ADDRESS = "CANVAS_API_URL"
COLUMNS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Integration ID"]  # as Canvas's gradebook exports them
WAITS = (2.0, 10.0, 30.0)  # seconds before another try, once Canvas says that there were too many requests
SENT = "canvas-feedback.json"  # in grades/<module>/: which page Canvas has of whom
HERE = ("127.0.0.1", "localhost")  # where an address without TLS tells nobody the token

Answer = TypeVar("Answer")


@dataclass
class Plan:
    """What would be sent, a line for each student, and how; `remarks` and `problems` as of an export."""

    sends: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_token(file: Path | None) -> str:
    """The token in the file, or without one in the environment.

    Raises:
        CourseError: there is none, or what is there cannot be one; it is not shown.
    """
    try:
        text = os.environ.get(TOKEN, "") if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{file}: {getattr(error, 'strerror', '') or 'no text'}: a token stands there alone") from None
    token, where = text.strip(), file or f"the environment variable {TOKEN}"
    if not token or not token.isascii() or len(token.split()) != 1:
        mend = "make one in Canvas (Account, Settings, New Access Token) and put it there alone, or name a --token-file"
        raise CourseError(f"{where} holds no token: {mend}")
    return token


class Canvas:
    """One course of a Canvas.

    Args:
        address: `https://canvas.example.org`; the token goes nowhere without TLS.

    Raises:
        CourseError: the library is missing, or Canvas has no such course for this token.
    """

    def __init__(self, address: str, course: int, token: str):
        parts = urlsplit(address)
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HERE)):
            mend = f"write --url https://canvas.example.org, or set {ADDRESS}"
            raise CourseError(f"{address!r} is no address of a Canvas: {mend}")
        self.address, self.number = f"{parts.scheme}://{parts.netloc}", course
        self._library = _library()
        with _quiet():
            library = self._library.Canvas(self.address, token)
        self.course = self._asked(lambda: library.get_course(course))

    def students(self) -> list[Any]:
        """The active students, as Canvas knows them."""
        users = self._asked(lambda: list(self.course.get_users(enrollment_type=["student"], enrollment_state=["active"])))
        if not users:
            raise CourseError(f"course {self.number} of {self.address} has no active students that this token may see")
        return users

    def assignment(self, name: str) -> Any:
        """The assignment of this name.

        Raises:
            CourseError: there is none, or two.
        """
        every = self._asked(lambda: list(self.course.get_assignments()))
        found = [one for one in every if one.name.strip().casefold() == name.casefold()]
        if len(found) != 1:
            listed = ", ".join(repr(clean(one.name)) for one in every) or "none"
            what = "two assignments are" if found else "no assignment is"
            raise CourseError(
                f"course {self.number} of {self.address}: {what} called {name!r}: make one there, or name it by --assignment: "
                f"there is {listed}"
            )
        return found[0]

    def submissions(self, assignment: Any) -> dict[str, Any]:
        """What Canvas has of the assignment, by the student's number."""
        return {str(one.user_id): one for one in self._asked(lambda: list(assignment.get_submissions()))}

    def send(self, action: Callable[[], Answer]) -> Answer:
        """Asks Canvas to do something, again after a while where it says that it was asked too often."""
        return self._asked(action)

    def _asked(self, action: Callable[[], Answer]) -> Answer:
        requests = importlib.import_module("requests")
        for wait in (*WAITS, None):
            try:
                return action()
            except self._library.exceptions.CanvasException as error:
                if wait is None or not _too_often(error):
                    raise CourseError(self._told(error)) from None
                time.sleep(wait)
            except (requests.RequestException, OSError) as error:
                what = f"{self.address} gave no answer of a Canvas ({type(error).__name__})"
                raise CourseError(f"{what}: is --url right?") from None
        raise AssertionError("the last try returns or raises")

    def _told(self, error: Exception) -> str:
        """An answer of Canvas's in one line, with the mend; never with the token."""
        kind, where = type(error).__name__, f"course {self.number} of {self.address}"
        if _too_often(error):
            return f"{self.address} says that it was asked too often: wait some minutes and run the same again, it goes on"
        told = {
            "InvalidAccessToken": f"{self.address} does not know this token: it may have ended; make a new one in Canvas",
            "Unauthorized": f"this token has no rights for that in {where}: use one of a teacher or TA who may grade there",
            "Forbidden": f"this token has no rights for that in {where}: use one of a teacher or TA who may grade there",
            "ResourceDoesNotExist": f"there is no {where}, or nothing of it for this token: the number is in its address",
        }
        return told.get(kind, f"{where} refused it ({kind}: {clean(str(error))[:200]})")


def _too_often(error: Exception) -> bool:
    """Canvas throttles with 403 and these words, of late with 429."""
    return type(error).__name__ == "RateLimitExceeded" or "rate limit exceeded" in str(error).lower()


def _library() -> ModuleType:
    try:
        importlib.import_module("canvasapi.exceptions")
        return importlib.import_module("canvasapi")
    except ImportError:
        need = 'pip install "visual-computing-autograder[canvas]"'
        raise CourseError(f"canvasapi is missing: {need}; `autograder export canvas` works by CSV files without it") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's warning of an address without TLS, which is this machine's own."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- the list of students ---------------------------------------------------------------------------------------------


def _row(user: Any) -> dict[str, str]:
    names = ("sortable_name", "id", "sis_user_id", "login_id", "integration_id")
    return {column: str(getattr(user, name, None) or "") for column, name in zip(COLUMNS, names, strict=True)}


def roster_text(canvas: Canvas) -> tuple[str, int]:
    """The course's students in the columns of a CSV file that Canvas exported, and how many they are."""
    out, users = io.StringIO(), canvas.students()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: plain_cell(text) for name, text in _row(user).items()} for user in users)
    return out.getvalue(), len(users)


# --- grades and pages -------------------------------------------------------------------------------------------------


def plan_grades(canvas: Canvas, module: Module, assignment: str, partial: bool, by: str | None = None) -> Plan:
    """The grades that differ from Canvas's; see `export` for who is left out."""
    theirs, rows, submissions, plan = _graded(canvas, module, assignment, partial, by)
    for who, row in rows:
        submission = submissions.get(row["ID"])
        if submission is None:
            plan.problems.append(f"graded, but without a place for it in Canvas's {clean(theirs.name)}: {clean(who)}")
            continue
        before, score = getattr(submission, "score", None), row[theirs.name]
        if before is None or round(float(before), 2) != float(score):
            shown = "no grade" if before is None else number(float(before))
            plan.sends.append((f"{clean(who)}: {shown} → {score}", _grading(submission, score)))
    return plan


def _grading(submission: Any, score: str) -> Callable[[], None]:
    def send() -> None:
        submission.edit(submission={"posted_grade": score})

    return send


def plan_feedback(canvas: Canvas, module: Module, assignment: str, partial: bool, by: str | None = None) -> Plan:
    """The pages of those who have a grade, as files at a comment; not again what Canvas has already."""
    _, rows, submissions, plan = _graded(canvas, module, assignment, partial, by)
    book, sent = existing_book(module), _sent(module)
    standings = {name.casefold(): one for one in read_standings(module, partial)[0] for name in one.names}
    for who, row in rows:
        standing, submission = standings[who.casefold()], submissions.get(row["ID"])
        try:
            page = page_of(book, standing, partial)
        except LeftOut as why:
            plan.remarks.append(f"not sent: {clean(standing.student)}: {why}")
            continue
        mark = f"{canvas.address} {canvas.number} {hashlib.sha256(page.encode()).hexdigest()}"
        if submission is None or sent.get(standing.student) == mark:
            there = "Canvas has it already" if submission else "Canvas has no place for it"
            plan.remarks.append(f"not sent: {clean(standing.student)}: {there}")
            continue
        plan.sends.append((f"{clean(standing.student)}: the page", _handing(module, submission, page, standing.student, mark)))
    return plan


def _handing(module: Module, submission: Any, page: str, student: str, mark: str) -> Callable[[], None]:
    def send() -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{module.name}.html")
            file.write_text(page, encoding="utf-8")
            done, answer = submission.upload_comment(file)
        if not done:
            raise CourseError(f"{student}: Canvas did not take the page: {clean(str(answer))[:200]}")
        write_whole(module.grades / SENT, json.dumps(_sent(module) | {student: mark}, indent=1) + "\n")

    return send


def _sent(module: Module) -> dict[str, str]:
    path = module.grades / SENT
    try:
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise CourseError(f"{path} is damaged: remove it, and pages that were sent before are sent again") from None
    return kept


def _graded(
    canvas: Canvas, module: Module, name: str, partial: bool, by: str | None
) -> tuple[Any, list[tuple[str, dict[str, str]]], dict[str, Any], Plan]:
    """Canvas's assignment, who has a grade with their row, what Canvas has of them, and what is said of the others."""
    theirs = canvas.assignment(name)
    submissions = canvas.submissions(theirs)
    excused = {who for who, one in submissions.items() if getattr(one, "excused", False)}
    rows = [_row(user) for user in canvas.students()]
    worth = getattr(theirs, "points_possible", None)
    points = [{"Student": f"    {POINTS_ROW}", **dict.fromkeys(COLUMNS[1:], ""), theirs.name: str(worth or 0)}]
    filled = [row | {theirs.name: "EX" if row["ID"] in excused else ""} for row in rows]
    where = Path(f"course {canvas.number} of {canvas.address.partition('://')[2]}")
    roster = Roster(where, [*COLUMNS, theirs.name], [*points, *filled], {}, "")
    done, found, by = fill(roster, module, "canvas", theirs.name, by=by, partial=partial)
    students = [(row[by].strip(), row) for row in found if POINTS_ROW not in row["Student"]]
    return theirs, students, submissions, Plan(remarks=done.remarks, problems=done.problems)
