"""The calendar: when a module is released, due, and its solutions are shown, as `course.toml` says.

    timezone = "Europe/Vienna"

    [modules.week08_densenet]
    release = 2026-11-23T08:00:00
    due = 2026-12-07              # a day alone: to its end; `release` and `solutions`: from its beginning
    solutions = 2026-12-09T12:00:00+01:00

Modules stand in the course's order. A module without dates is released as it is made, and never late.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from autograder.course.course import SETTINGS_FILE, Course, Module, nearest
from autograder.errors import CourseError

DATES = ("release", "due", "solutions")  # in the order in which they pass


@dataclass(frozen=True)
class Dates:
    """A module's dates, each with its time zone; None where the calendar gives none."""

    release: datetime | None = None
    due: datetime | None = None
    solutions: datetime | None = None

    def released(self, now: datetime) -> bool:
        """Whether students may have the module."""
        return self.release is None or now >= self.release

    def solved(self, now: datetime) -> bool:
        """Whether students may have its solutions: once their day has come, and never without one."""
        return self.solutions is not None and now >= self.solutions


def calendar(course: Course) -> dict[str, Dates]:
    """The dates of every module of the course, those of the calendar first, in its order.

    Raises:
        CourseError: no dates, no zone, dates in the wrong order, no such module; names the line.
    """
    settings, names = course.settings, [module.name for module in course.modules()]
    found = {}
    for name, entries in settings.modules.items():
        where = _Place(course.root / SETTINGS_FILE, name)
        if name not in names:
            raise CourseError(f"{where}: no module is called {name!r}: {nearest(name, names)}")
        if not isinstance(entries, dict):
            raise CourseError(f"{where}: write [modules.{name}], and its dates below it")
        if unknown := [key for key in entries if key not in DATES]:
            raise CourseError(f"{where.of(unknown[0])}: {unknown[0]!r} is none of {', '.join(DATES)}")
        dates = {key: _moment(entries[key], key, settings.timezone, where) for key in DATES if key in entries}
        for before, after in zip(list(dates)[:-1], list(dates)[1:], strict=True):
            if dates[before] >= dates[after]:
                raise CourseError(f"{where.of(after)}: {after} of {name} is not after its {before}: mend one of the two")
        found[name] = Dates(**dates)
    return found | {name: Dates() for name in names if name not in found}


def dates_of(module: Module) -> Dates:
    """The dates of one module; see `calendar`."""
    return calendar(Course(module.root))[module.name]


@dataclass(frozen=True)
class _Place:
    """Where in the file a module's entries stand, for a message."""

    path: Path
    module: str

    def __str__(self) -> str:
        return self.of("")

    def of(self, key: str) -> str:
        """The line of one entry; that of the module's header where it cannot be told."""
        header = re.compile(rf"\s*\[\s*modules\s*\.\s*[\"']?{re.escape(self.module)}[\"']?\s*\]")
        entry = re.compile(rf"\s*{re.escape(key)}\s*=")
        lines = self.path.read_text(encoding="utf-8").splitlines()
        start = next((number for number, line in enumerate(lines) if header.match(line)), None)
        if start is None:
            return self.path.name
        inside = [number for number, line in enumerate(lines) if number > start and key and entry.match(line)]
        return f"{self.path.name}, line {(inside or [start])[0] + 1}"


def _moment(value: Any, key: str, zone: str, where: _Place) -> datetime:
    if isinstance(value, datetime) and value.tzinfo:
        return value
    if not isinstance(value, date):
        raise CourseError(f"{where.of(key)}: {key} = {value!r} is no date: write 2026-12-07 or 2026-12-07T23:59:00")
    if not zone:
        raise CourseError(
            f'{where.of(key)}: {key} has no time zone: write timezone = "Europe/Vienna" above the modules, or +01:00 behind it'
        )
    try:
        here = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CourseError(f"{where.path.name}: timezone = {zone!r} is unknown: write one like Europe/Vienna") from None
    whole_day = datetime.combine(value, time(23, 59, 59) if key == "due" else time())
    moment = (value if isinstance(value, datetime) else whole_day).replace(tzinfo=here)
    if moment.astimezone(UTC).astimezone(here).replace(tzinfo=None) != moment.replace(tzinfo=None):
        raise CourseError(f"{where.of(key)}: {key} = {value} does not exist in {zone}, where the clocks are put forward")
    return moment


def told(moment: datetime) -> str:
    """A moment for people: Monday 7 December 2026, 23:59 (Europe/Vienna)."""
    zone = getattr(moment.tzinfo, "key", None) or f"UTC{moment:%z}"
    return f"{moment:%A} {moment.day} {moment:%B %Y, %H:%M} ({zone})"
