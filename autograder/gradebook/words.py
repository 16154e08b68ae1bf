"""What nbgrader's commands and formgrader say when something is wrong: one line that names the mend.

nbgrader shows tracebacks, or takes a mistyped module for a new one. Here a module's name is looked at before a command
does anything, and the detail of whatever goes wrong is kept in `.autograder/nbgrader.log`, for whoever mends the course.
"""

import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from nbgrader.apps import api
from nbgrader.apps.baseapp import NbGrader
from nbgrader.utils import temp_attrs
from sqlalchemy.exc import DBAPIError

from autograder.course.course import Course
from autograder.errors import CourseError, GraderFault
from autograder.gradebook.gradebook import check_gradebook, settings
from autograder.grading.judge import clean

LOG = Path(".autograder") / "nbgrader.log"
OF_A_MODULE = {  # nbgrader's names of the commands whose first argument is a module of this course
    f"nbgrader-{name}"
    for name in (
        "autograde",
        "collect",
        "db-assignment-add",
        "generate-assignment",
        "generate-feedback",
        "generate-solution",
        "release-assignment",
        "release-feedback",
        "zip-collect",
    )
}
TRACEBACK = "Traceback (most recent call last)"
SILENT = (
    "There was an error accessing the nbgrader database",  # advises an upgrade, whatever the error was
    "Removing existing assignment",  # a student's graded notebook, at every rerun, to write it again
    "Directory not found. Creating",
    "Config option `display_data_priority` not recognized",
)
POINTER, POINTED = "above traceback", "the others are done; run the same command again when this is mended"


def speak_plainly(root: Path) -> None:
    """Lets nbgrader's commands in the course at `root` end with one line, and look at a module's name first."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            said = "\nnbgrader: interrupted; run the same command again, it goes on where it stopped"
        else:
            said = f"nbgrader: {one_line(root, error)}"
        print(said, file=sys.stderr)

    sys.excepthook = hook
    if getattr(NbGrader.start, "plain", False):
        return
    NbGrader.start = _plain_start(NbGrader.start)
    api.capture_log = _plain_capture(api.capture_log)


def one_line(root: Path, error: BaseException) -> str:
    """What went wrong and what to do, as one line; the traceback goes into the course's log."""
    if isinstance(error, (CourseError, GraderFault)):
        return clean(str(error))
    if isinstance(error, DBAPIError) and (mend := _gradebooks_mend(root)):
        return clean(mend)
    with (_made(root / LOG)).open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {' '.join(sys.argv)}\n")
        log.writelines(traceback.format_exception(error))
    words = (str(error).strip().splitlines() or [""])[0]
    return clean(
        f"{type(error).__name__}: {words}: run it once more, and if that does not help give whoever looks after the course "
        f"the end of {root / LOG}"
    )


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _gradebooks_mend(root: Path) -> str:
    try:
        check_gradebook(settings(root).coursedir.db_url)
    except CourseError as error:
        return str(error)
    return ""


def _plain_start(start: Callable[[NbGrader], None]) -> Callable[[NbGrader], None]:
    def plain(self: NbGrader) -> None:
        if not any(isinstance(one, _OneLine) for one in self.log.filters):
            self.log.addFilter(_OneLine(Path(self.coursedir.root)))
        name = (self.extra_args or [self.coursedir.assignment_id])[0]
        if self.name in OF_A_MODULE and name:
            try:
                module = Course(Path(self.coursedir.root)).module(name)
            except CourseError as error:
                self.fail("%s", clean(str(error)))
            if self.name == "nbgrader-zip-collect":
                _require_archive(self, module.name)
        start(self)

    plain.plain = True  # type: ignore[attr-defined]
    return plain


def _require_archive(app: Any, name: str) -> None:
    with temp_attrs(app.coursedir, assignment_id=name):
        archive = app._format_collect_path(app.archive_directory)
    if not Path(archive).is_dir():
        app.fail("%s/ is not there: put the files that the platform gave you into it, as they are", archive)


def _plain_capture(capture: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """What formgrader's buttons show: nbgrader's log, and of a traceback the one line."""

    def plain(app: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        wish = _OneLine(Path(app.coursedir.root))
        app.log.addFilter(wish)
        try:
            result = capture(app, *args, **kwargs)
        finally:
            app.log.removeFilter(wish)
        if "error" in result:
            result["error"] = result["error"].strip().splitlines()[-1]
        return result

    return plain


class _OneLine(logging.Filter):
    """Makes one line of a traceback that nbgrader logs."""

    def __init__(self, root: Path):
        super().__init__()
        self.root = root

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        error = record.exc_info[1] if record.exc_info else sys.exc_info()[1] if TRACEBACK in said else None
        if error:
            record.msg, record.args = one_line(self.root, error), ()
            record.exc_info = record.exc_text = None
        elif POINTER in said:
            record.msg, record.args = POINTED, ()
        return not said.startswith(SILENT)
