"""The class at a glance: `autograder report MODULE`, one page from what grading keeps. No student code runs."""

import csv
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from autograder.classes.grade import result_files
from autograder.classes.groups import MISTAKE, UNNAMED, Group, class_groups, read_observed, read_results
from autograder.classes.items import Item, Sides, items, sides, surprises
from autograder.classes.submissions import Submission
from autograder.classes.typical import Answers, name_parts, shown
from autograder.course.calendar import calendar, dates_of, told
from autograder.course.course import Course, Module
from autograder.errors import CourseError
from autograder.gradebook.gradebook import timestamp
from autograder.grading.contents import Contents
from autograder.grading.judge import clean
from autograder.grading.report import GRADED, number, template, without_folders

TEMPLATES = Path(__file__).parent / "templates"
WITH_CODE = 30  # groups without a name that are shown with an answer; the others stand in a table
TOLD_OF = 2  # checks of a group, of which the message stands open
SLOWEST = 10  # students
BINS = 10  # of the scores
LEFT = {"more than a week": 168.0, "1 to 7 days": 24.0, "6 to 24 hours": 6.0, "1 to 6 hours": 1.0, "the last hour": 0.0}
LATE, UNKNOWN = "late", "time unknown"


@dataclass(frozen=True)
class Spread:
    """Percentages of a class: how many, the quartiles, and the mean."""

    name: str
    count: int
    low: float
    middle: float
    high: float
    average: float
    more: str = ""


@dataclass(frozen=True)
class Failure:
    """A group without a name, with what one of its students was told, and that student's answer, where it is kept."""

    group: Group
    checks: list[Mapping[str, Any]]
    code: str = ""


@dataclass
class Report:
    """What the page says of a module's class.

    Args:
        out: where its grades are.
        names: what students are called beside their ids; with `anonymous` they are taken out of what is shown of code.
        anonymous: no names, and of hidden checks nothing but their titles: for showing in class.
    """

    module: Module
    out: Path
    submissions: Sequence[Submission]
    names: Mapping[str, Iterable[str]] = field(default_factory=dict)
    anonymous: bool = False

    def __post_init__(self) -> None:
        if not result_files(self.out):
            raise CourseError(f"{self.out} holds no grades of this class: grade it first: autograder grade {self.module.name}")
        self.results, self.damaged = read_results(self.out)
        self.graded = [result for result in self.results if result["status"] == GRADED]
        self.ungraded = [result for result in self.results if result["status"] != GRADED]
        self.seen = [read_observed(self.out, result) for result in self.graded]
        self.unseen = sum(not seen for seen in self.seen)

    def page(self, now: datetime) -> str:
        """The page, self-contained HTML."""
        how = {"with_code": WITH_CODE, "slowest": SLOWEST, "told_of": TOLD_OF}
        return template("report.html", TEMPLATES).render(report=self, made=f"{now:%Y-%m-%d %H:%M}", **how)

    # --- scores ---

    @cached_property
    def percents(self) -> list[float]:
        """Each graded student's share of the points, in percent."""
        return [_percent(result["score"], result["maximum"]) for result in self.graded]

    @cached_property
    def maximum(self) -> float:
        """The points that the checks are worth now: those of the largest number of results."""
        return float(Counter(result["maximum"] for result in self.graded).most_common(1)[0][0]) if self.graded else 0.0

    @cached_property
    def histogram(self) -> list[tuple[str, int]]:
        """How many students lie in each tenth of the points."""
        counts = Counter(min(BINS - 1, int(percent * BINS / 100 + 1e-9)) for percent in self.percents)
        return [(f"{100 * n // BINS}–{100 * (n + 1) // BINS} %", counts[n]) for n in range(BINS)]

    @cached_property
    def whole(self) -> Spread:
        """All points of the class."""
        return _spread(self.module.name, self.percents)

    @property
    def full(self) -> int:
        """How many have all points."""
        return sum(percent > 100 - 1e-9 for percent in self.percents)

    @cached_property
    def by_exercise(self) -> list[Spread]:
        """The points of each exercise."""
        found: dict[str, list[float]] = {}
        worth: dict[str, float] = {}
        for result in self.graded:
            for exercise in result["exercises"]:
                found.setdefault(exercise["name"], []).append(_percent(exercise["points"], exercise["maximum"]))
                worth[exercise["name"]] = exercise["maximum"]
        return [_spread(name, percents, f"{number(worth[name])} points") for name, percents in found.items()]

    @cached_property
    def weeks(self) -> list[Spread]:
        """This module's class behind those of earlier modules that have grades; empty when none has."""
        order = list(calendar(Course(self.module.root)))
        earlier = [self.module.root / "grades" / name for name in order[: order.index(self.module.name)]]
        found = [_spread(out.name, percents) for out in earlier if (percents := _graded_percents(out / "grades.csv"))]
        return [*found, self.whole] if found and self.percents else []

    # --- checks ---

    @cached_property
    def items(self) -> list[Item]:
        """Every check, in the notebook's order."""
        return items(self.graded, [seen.get("distances", {}) for seen in self.seen])

    @cached_property
    def sides(self) -> list[Sides]:
        """Public against hidden, by function."""
        return sides(self.graded)

    @property
    def surprises(self) -> list[tuple[str, str]]:
        """What is worth a look, with the check or function."""
        return surprises(self.items, self.sides)

    # --- groups ---

    @cached_property
    def groups(self) -> list[Group]:
        """All groups, the largest first."""
        return class_groups(self.graded, self.out)

    @cached_property
    def mistakes(self) -> list[tuple[Group, str]]:
        """The known mistakes that were made, with the hint that was read."""
        hints = {check["mistake"]: check["hint"] for result in self.graded for check in result["checks"]}
        return [(group, hints[group.name]) for group in self.groups if group.kind == MISTAKE]

    @cached_property
    def failures(self) -> list[Failure]:
        """The groups without a name, the largest first; the first ones with an answer."""
        unnamed = [group for group in self.groups if group.kind == UNNAMED]
        by_student = {result["student"]: result for result in self.graded}
        hashes = {student: result["notebook_sha256"] for student, result in by_student.items()}
        answers = Answers(Contents(self.module), self.submissions, hashes)
        return [
            self._failure(group, by_student, answers if place < WITH_CODE else None) for place, group in enumerate(unnamed)
        ]

    def _failure(self, group: Group, by_student: Mapping[str, Any], answers: Answers | None) -> Failure:
        found = answers.typical(group) if answers else None
        student = found[0] if found else group.students[0]
        secret = name_parts({student, *self.names.get(student, ())})
        hide: Callable[[str], str] = (lambda text: secret.sub("…", text)) if self.anonymous else str
        checks = [
            check | {"said": "" if self.anonymous and not check["public"] else hide(clean(check["message"]))}
            for check in by_student[student]["checks"]
            if check["check"] in group.checks and check["function"] == group.function
        ]
        return Failure(group, checks, hide(clean(shown(found[1], group.function), 10_000)) if found else "")

    @property
    def explained(self) -> tuple[int, int, int]:
        """How many wrong functions a known mistake explains, how many none does, and how many were graded too long ago."""
        named, unnamed, old = 0, 0, 0
        for result, seen in zip(self.graded, self.seen, strict=True):
            wrong: dict[str, bool] = {}
            for check in result["checks"]:
                if check["state"] not in ("passed", "missing", "not graded"):
                    wrong[check["function"]] = wrong.get(check["function"], False) or bool(check["mistake"])
            named += sum(wrong.values())
            unnamed += sum(not explained for explained in wrong.values())
            old += 0 if seen else sum(not explained for explained in wrong.values())
        return named, unnamed, old

    # --- time, memory, deadline ---

    @cached_property
    def seconds(self) -> list[tuple[float, str]]:
        """Seconds that each submission's probes took, the longest first, with the student."""
        found = [(s["seconds"], r["student"]) for s, r in zip(self.seen, self.graded, strict=True) if s]
        return sorted(found, key=lambda one: -one[0])

    @cached_property
    def time_bins(self) -> list[tuple[str, int]]:
        """How many submissions took how long, in steps of doubling."""
        steps = Counter(max(0, math.ceil(math.log2(max(seconds, 1e-9)))) for seconds, _ in self.seconds)
        return [(f"up to {2**n} s", steps[n]) for n in range(max(steps, default=0) + 1)]

    @cached_property
    def ended(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Functions whose process was ended: the state, the function, and whose."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for result in self.graded:
            for check in result["checks"]:
                if check["state"] in ("crashed", "timed out", "out of memory"):
                    found.setdefault((check["state"], check["function"]), {})[result["student"]] = None
        return sorted(((state, f, tuple(who)) for (state, f), who in found.items()), key=lambda one: -len(one[2]))

    @cached_property
    def due(self) -> datetime | None:
        """When the calendar says that it is due."""
        return dates_of(self.module).due

    @property
    def due_told(self) -> str:
        return told(self.due) if self.due else ""

    @cached_property
    def times(self) -> dict[str, timedelta | None]:
        """How long before the deadline each graded student handed in; None where nobody knows."""
        due = self.due
        found: dict[str, timedelta | None] = dict.fromkeys(result["student"] for result in self.graded)
        for submission in self.submissions:
            if due and submission.student in found and (when := timestamp(submission.folder)):
                found[submission.student] = due - when.replace(tzinfo=when.tzinfo or UTC)
        return found

    @cached_property
    def deadline(self) -> list[tuple[str, int, float | None]]:
        """By how long before the deadline: how many handed in, and their median score in percent."""
        percents = dict(zip((result["student"] for result in self.graded), self.percents, strict=True))
        by_time: dict[str, list[float]] = {name: [] for name in (*LEFT, LATE, UNKNOWN)}
        for student, left in self.times.items():
            by_time[_left(left)].append(percents[student])
        return [(name, len(found), median(found) if found else None) for name, found in by_time.items()]

    @property
    def students(self) -> list[dict[str, Any]]:
        """A row for each graded student, those with the fewest points first."""
        rows = zip(self.graded, self.percents, self.seen, strict=True)
        made = [
            {"student": r["student"], "score": r["score"], "percent": p, "first": r["first_error"], "seconds": s.get("seconds")}
            for r, p, s in rows
        ]
        return sorted(made, key=lambda row: row["percent"])

    def reason(self, result: Mapping[str, Any]) -> str:
        """Why a submission has no grade."""
        return without_folders(clean(result["reason"]))


def _percent(points: float, maximum: float) -> float:
    return 100 * points / maximum if maximum else 100.0


def _spread(name: str, percents: Sequence[float], more: str = "") -> Spread:
    """The spread of percentages; of a single one it is that one, of none zeros."""
    if len(percents) < 2:
        one = percents[0] if percents else 0.0
        return Spread(name, len(percents), one, one, one, one, more)
    low, middle, high = quantiles(percents, n=4, method="inclusive")
    return Spread(name, len(percents), low, middle, high, mean(percents), more)


def _graded_percents(path: Path) -> list[float]:
    """The scores of a module's `grades.csv` in percent; none where it is not there or another table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_percent(float(row["score"]), float(row["maximum"])) for row in csv.DictReader(file) if row["score"]]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def _left(left: timedelta | None) -> str:
    if left is None:
        return UNKNOWN
    hours = left.total_seconds() / 3600
    return next((name for name, least in LEFT.items() if hours >= least), LATE)
