"""Late submissions: a policy of a few lines in `late_policy.toml`, applied by nbgrader's own step as it grades.

    grace_minutes = 15         # as late as this is in time, and days are counted from its end
    penalty_per_day = 10       # percent of the module's points, for every day begun
    cap = 50                   # percent of the module's points, never more

    [modules.week08_densenet]  # what is different for one module
    penalty_per_day = 5

Times are nbgrader's: the submission's `timestamp.txt`, the assignment's due date and a student's extension, compared in
UTC. A time is written `2026-03-01 12:00:00 Europe/Berlin` or `2026-03-01 12:00:00+0100`, the offset without a space:
nbgrader 0.9.6 takes `12:00:00 +0100` for an offset of 100 seconds.

Extensions are lines of `extensions.csv`, which `autograder extend` writes: nbgrader's gradebook holds one only once there
is a submission. The last line for a student counts, and is put into the gradebook as the submission is graded.
"""

import csv
import io
import math
import tomllib
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Unicode

from autograder.course.course import Course
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.judge import clean

POLICY, EXTENSIONS = "late_policy.toml", "extensions.csv"
COLUMNS = ["module", "student", "days", "entered", "why"]
MAX_DAYS = 366
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Policy:
    """What being late costs; `penalty_per_day` and `cap` are percent of the module's points."""

    penalty_per_day: float
    grace_minutes: float = 0.0
    cap: float = 100.0

    def penalty(self, score: float, maximum: float, seconds_late: float) -> float:
        """The points to take off a `score` out of `maximum`: never more than the score itself."""
        days = math.ceil(max(0.0, seconds_late - 60 * self.grace_minutes) / DAY)
        percent = min(days * self.penalty_per_day, self.cap)
        return max(0.0, min(score, maximum * percent / 100))


def read_policy(file: Path, module: str) -> Policy | None:
    """The policy for `module`; None when there is no such file, and nothing is taken off.

    Raises:
        CourseError: the file does not hold a policy; names the file, the key and the mend.
    """
    if not file.is_file():
        return None
    policies = _policies(file)
    return policies.get(module, policies[""])


def policy_file(root: Path) -> str:
    """The policy's path for nbgrader's configuration; ends the command, before it grades, when a file cannot be read."""
    try:
        read_policy(root / POLICY, "")
        extensions(root, "")
    except CourseError as error:
        raise SystemExit(f"autograder: {error}") from None
    return str(root / POLICY)


def _policies(file: Path) -> dict[str, Policy]:
    """The policies by module; under "" the one for all others."""
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{file} is not a policy ({error}): mend that line") from None
    modules = settings.pop("modules", {})
    if not isinstance(modules, dict) or not all(isinstance(table, dict) for table in modules.values()):
        raise CourseError(f"{file}: modules must hold tables: write [modules.NAME] and its settings below")
    policies = {"": _policy(file, "", settings)}
    for name, table in modules.items():
        try:
            Course(file.parent).module(name)
        except CourseError as error:
            raise CourseError(f"{file}: modules.{name}: {error}") from None
        policies[name] = _policy(file, f"modules.{name}.", settings | table)
    return policies


def _policy(file: Path, where: str, settings: dict[str, Any]) -> Policy:
    known = [field.name for field in fields(Policy)]
    for key, value in settings.items():
        if key not in known:
            raise CourseError(f"{file}: {where}{key} is unknown: there are {', '.join(known)} and [modules.NAME]")
        largest = math.inf if key == "grace_minutes" else 100
        if type(value) not in (int, float) or not 0 <= value <= largest or value == math.inf:
            what = "minutes, 0 or more" if key == "grace_minutes" else "percent, from 0 to 100"
            raise CourseError(f"{file}: {where}{key} = {value!r}: give a number of {what}")
    if "penalty_per_day" not in settings:
        raise CourseError(f"{file}: penalty_per_day is missing: give a number of percent, from 0 to 100")
    return Policy(**settings)


# --- extensions -------------------------------------------------------------------------------------------------------


def extensions(root: Path, module: str) -> dict[str, timedelta]:
    """The extensions of a module by student; one of no days takes an earlier one back.

    Raises:
        CourseError: the file cannot be read; names the line and the mend.
    """
    return {
        line["student"]: timedelta(days=float(line["days"])) for line in _lines(root) if line["module"] == module
    }


def enter_extension(root: Path, module: str, student: str, days: float, why: str) -> None:
    """Adds a line to the course's extensions; the earlier ones stay in the file.

    Raises:
        CourseError: no number of days, no reason, or the file cannot be read.
    """
    if not 0 <= days <= MAX_DAYS:
        raise CourseError(f"--days {days:g}: give a number from 0, which takes an extension back, to {MAX_DAYS}")
    if not (why := " ".join(clean(why).split())):
        raise CourseError("--why is empty: say for what reason, for whoever asks later")
    entered = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    line = {"module": module, "student": student, "days": f"{days:g}", "entered": entered, "why": why}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*_lines(root), line])
    write_whole(root / EXTENSIONS, text.getvalue())


def _lines(root: Path) -> list[dict[str, str]]:
    file = root / EXTENSIONS
    if not file.exists():
        return []
    try:
        content = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        lines = [{name: line.get(name) or "" for name in COLUMNS} for line in content]
    except (OSError, ValueError, csv.Error) as error:
        raise CourseError(f"{file} is not a table of extensions ({error}): mend it") from None
    if set(content.fieldnames or COLUMNS) != set(COLUMNS):
        raise CourseError(f"{file} has not the columns {', '.join(COLUMNS)}: mend its first line")
    for number, line in enumerate(lines, 2):
        try:
            right = 0 <= float(line["days"]) <= MAX_DAYS
        except ValueError:
            right = False
        if not right:
            raise CourseError(f"{file}, line {number}: days = {line['days']!r}: give a number from 0 to {MAX_DAYS}")
    return lines


class LatePolicyPlugin(LateSubmissionPlugin):
    """nbgrader's plugin: the penalty for one late notebook, by the policy in the file."""

    policy_file = Unicode(POLICY, help="The file that holds the policy; without it nothing is taken off").tag(
        config=True
    )

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The points to take off; None takes nothing off."""
        step = self.parent  # nbgrader's AssignLatePenalties, with the gradebook open and the notebook's ids
        policy = read_policy(Path(self.policy_file), step.assignment_id)
        if policy is None:
            return None
        notebook = step.gradebook.find_notebook(step.notebook_id, step.assignment_id)
        return policy.penalty(score, notebook.max_score, total_seconds_late)
