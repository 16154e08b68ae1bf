"""Groups of students whose answers are wrong in the same way, from what grading keeps: for `report`, and to act on one.

A group is of one of three kinds: answers that no known mistake explains and that are alike (`g1a2b3c`, see
grading/alike.py), those that a known mistake explains, by its name, and all that fail a check, by the check's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.classes.grade import observed_file, read_result, result_files
from autograder.course.course import nearest
from autograder.errors import CourseError
from autograder.grading.judge import NOT_GRADED, PASSED
from autograder.grading.report import GRADED

UNNAMED, MISTAKE, CHECK = "unnamed", "mistake", "check"
FORMS = {"groups": dict, "distances": dict, "seconds": float, "cpu": float}  # of `observed_file`


@dataclass(frozen=True)
class Group:
    """Students whose answers are wrong in one way, and the checks of the function that they fail there."""

    name: str
    kind: str
    function: str
    students: tuple[str, ...]
    checks: tuple[str, ...]


def read_results(out: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The results in `out`, by student, and a line about each file that is damaged."""
    results, damaged = [], []
    for path in result_files(out).values():
        try:
            results.append(read_result(path))
        except CourseError as error:
            damaged.append(str(error))
    return results, damaged


def read_observed(out: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept beside a result, see `observed_file`; empty where nothing is, or of another notebook's grading."""
    try:
        about = json.loads(observed_file(out, result["student"]).read_text(encoding="utf-8"))
        right = all(isinstance(about[name], form) for name, form in FORMS.items())
        return dict(about) if right and about["notebook_sha256"] == result["notebook_sha256"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def class_groups(results: Iterable[Mapping[str, Any]], out: Path) -> list[Group]:
    """All groups of a class, those with most students first."""
    members: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for result in results:
        if result["status"] == GRADED:
            for key, check in _memberships(result, read_observed(out, result)):
                students, checks = members.setdefault(key, ({}, {}))
                students[result["student"]] = checks[check] = None
    found = [Group(name, kind, f, tuple(who), tuple(what)) for (name, kind, f), (who, what) in members.items()]
    return sorted(found, key=lambda group: (-len(group.students), group.name))


def _memberships(result: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """(name, kind, function) of each group that a student is in, with each check that fails there."""
    for check in result["checks"]:
        if check["state"] in (PASSED, NOT_GRADED):
            continue
        name, function = check["check"], check["function"]
        yield (name, CHECK, function), name
        if check["mistake"]:
            yield (check["mistake"], MISTAKE, function), name
        elif check["state"] != "missing" and (group := seen.get("groups", {}).get(function)):
            yield (str(group), UNNAMED, function), name


def group_of(out: Path, name: str) -> Group:
    """The group called `name` of the class whose grades are in `out`.

    Raises:
        CourseError: nothing is graded yet, or no group has this name; names the nearest.
    """
    if not result_files(out):
        raise CourseError(f"{out} holds no grades of this class: grade it first: autograder grade {out.name}")
    groups = class_groups(read_results(out)[0], out)
    if found := next((group for group in groups if group.name == name), None):
        return found
    names = [group.name for group in groups if group.kind != CHECK or name.startswith("test")]
    raise CourseError(f"no group is called {name!r} in {out}: {nearest(name, names)}")
