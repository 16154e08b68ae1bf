"""Judging a class anew from what is kept of it: `autograder regrade MODULE`. No student code runs, no worker starts.

For a changed check, tolerance or hint. It goes `grade`'s own way, with workers that are not there: what would have to
run keeps its old grade and is named. With workers it says what changed probes, exercises or names change, too.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.classes.grade import (
    changed_files,
    exercises_of,
    graded,
    read_result,
    result_files,
    watched,
    with_again,
    write_grades_csv,
    write_result,
)
from autograder.classes.seed import kept_seed
from autograder.classes.submissions import Submission
from autograder.cluster.nodes import open_nodes, saying
from autograder.course.course import Module
from autograder.defaults import ON, PROBE_SECONDS, SANDBOX
from autograder.errors import CourseError, NotKept
from autograder.grading.diagnose import KnownMistake
from autograder.grading.grader import Graded, Grader
from autograder.grading.judge import NOT_GRADED, PASSED, Verdict, clean
from autograder.grading.naming import with_hints
from autograder.grading.report import GRADED, REFUSED, Result, number

WHY_LENGTH = 300


@dataclass(frozen=True)
class Move:
    """Points of one student that change by one check; an empty `check` stands for all of them. None: there were none."""

    student: str
    check: str
    old: float | None
    new: float | None
    why: str


@dataclass
class Regraded:
    """What would be written, and what stays as it is.

    Args:
        changed: the results of which a file changes.
        moves: the points that move in them.
        kept: students whose grade stays, and why.
        unnamed: students whose old hints stay, for no recording is kept to look up others.
        judged: how many were judged anew.
        exercises: the functions of each exercise, as a result's files show them.
    """

    changed: list[Result]
    moves: list[Move]
    kept: dict[str, str]
    unnamed: list[str]
    judged: int
    exercises: dict[str, list[str]]


def regrade(
    module: Module,
    submissions: list[Submission],
    out: Path,
    console: Console,
    *,
    everyone: bool = True,
    sandbox: str = SANDBOX,
    limit: float = PROBE_SECONDS,
    workers: int = 0,
    on: str = ON,
    node_workers: int = 0,
) -> Regraded:
    """Judges `submissions` under the checks and hints as they are now, and compares with the grades in `out`.

    Args:
        everyone: whether a student with a grade and without a submission is to be named.
        sandbox, limit: as they were when the class was graded.
        workers: who run what is not kept; with 0 nothing runs.
        on, node_workers: where it runs; see `grade_class`.

    Raises:
        CourseError: there are no grades yet, or the reference's own recording is not kept.
    """
    seed, old = kept_seed(out), result_files(out)
    if seed is None or not old:
        raise CourseError(f"{out} holds no grades of this class: grade it first: autograder grade {module.name}")
    graders = [Grader(part, seed, sandbox=sandbox, workers=workers, limit=limit) for part in module.parts]
    hints = {entry.name: entry.hint for grader in graders for entry in grader.contents.mistakes}
    regraded = Regraded([], [], {}, [], 0, exercises_of(graders))
    try:
        with contextlib.ExitStack() as stack:
            nodes = stack.enter_context(open_nodes(on, node_workers, module.root, saying(console)))
            for grader in graders if workers else ():
                stack.enter_context(grader)
            for _, result in watched(graded(graders, submissions, console, nodes), submissions, console):
                path = old.pop(result.student, None)
                _take_in(result, read_result(path) if path else {}, regraded, hints, module, out)
    except NotKept as error:
        raise CourseError(
            f"nothing can be judged: of the reference, {error}. Probes, reference, engine or libraries have changed: "
            f"autograder regrade {module.name} --run says what that changes, autograder grade {module.name} grades anew"
        ) from None
    regraded.kept.update(dict.fromkeys(old if everyone else (), "there is no submission of this name"))
    return regraded


def _take_in(
    result: Result, old: dict[str, Any], regraded: Regraded, hints: dict[str, str], module: Module, out: Path
) -> None:
    """Adds what is to be said of one student. A result that does not change is let go: a class need not fit in memory."""
    why = _why_kept(result, old, out)
    if why:
        regraded.kept[result.student] = why
        return
    regraded.judged += 1
    if result.graded and result.graded.unnamed:
        regraded.unnamed.append(result.student)
        result = with_again(_with_old_hints(result, result.graded, old, hints), module, regraded.exercises)
    if changed_files(result, regraded.exercises, out):
        regraded.changed.append(result)
        regraded.moves.extend(_moves(result, old))


def write(regraded: Regraded, out: Path) -> None:
    """Writes the results that change, and `grades.csv`."""
    for result in regraded.changed:
        write_result(result, regraded.exercises, out)
    write_grades_csv(out)


def _why_kept(result: Result, old: dict[str, Any], out: Path) -> str:
    """Why a student's grade stays as it is; empty when it was judged anew."""
    if _by_hand(old):
        return f"was changed by hand; delete {out / 'results' / result.student}.json to have it judged"
    if result.status == NOT_GRADED:
        return f"{result.reason}: autograder grade {result.module}"
    return result.reason if result.status == REFUSED and old.get("status") == GRADED else ""


def _by_hand(old: dict[str, Any]) -> bool:
    """Whether somebody changed points in a result: they are no longer what the checks gave."""
    checks = old.get("checks", [])
    wrong = any(check["points"] != (check["maximum"] if check["state"] == PASSED else 0) for check in checks)
    return wrong or (old.get("score") or 0) != sum(check["points"] for check in checks)


def _with_old_hints(result: Result, graded: Graded, old: dict[str, Any], hints: dict[str, str]) -> Result:
    """Where no other mistake could be looked up, the one that was named before stays, in today's words."""
    found = {
        check["check"]: KnownMistake(check["mistake"], check["function"], hints[check["mistake"]], {})
        for check in old.get("checks", [])
        if check["function"] in graded.unnamed and check["mistake"] in hints
    }
    return replace(result, graded=replace(graded, verdicts=tuple(with_hints(graded.verdicts, found))))


def _moves(result: Result, old: dict[str, Any]) -> Iterator[Move]:
    """The points that change, check by check; in one move for a student who had none before."""
    before = {check["check"]: check for check in old.get("checks", [])}
    if not before and result.graded:
        yield Move(result.student, "", None, result.score, f"was {old.get('status', 'never graded')} before")
        return
    now = {verdict.check: verdict for verdict in (result.graded.verdicts if result.graded else ())}
    for name, verdict in now.items():
        points, maximum = (before[name]["points"], before[name]["maximum"]) if name in before else (None, None)
        if (points, maximum) != (verdict.points, verdict.maximum):
            yield Move(result.student, name, points, verdict.points, _why(verdict, maximum))
    for name in sorted(before.keys() - now.keys()):
        yield Move(result.student, name, before[name]["points"], None, "the check is gone")


def _why(verdict: Verdict, maximum: float | None) -> str:
    said = verdict.message or verdict.state
    if maximum is None:
        return f"a new check: {said}"
    if maximum != verdict.maximum:
        return f"worth {number(verdict.maximum)} now, {number(maximum)} before: {said}"
    return said


# --- what is shown ----------------------------------------------------------------------------------------------------


def print_regraded(regraded: Regraded, module: Module, console: Console) -> None:
    """The points that move, the grades that stay, and what else changes."""
    table = Table(box=None, pad_edge=False)
    for name in ("student", "check", "points", "why"):
        table.add_column(name, justify="right" if name == "points" else "left", no_wrap=name != "why")
    for move in regraded.moves:
        points = f"{_points(move.old)} → {_points(move.new)}"
        why = clean(" ".join(move.why.split()), WHY_LENGTH)
        table.add_row(*map(Text, (clean(move.student), move.check or "all", points, why)))
    if regraded.moves:
        console.print(table)
    for student, why in regraded.kept.items():
        console.print(Text(f"{clean(student)} stays as it was: {why}"), soft_wrap=True)
    if regraded.unnamed:
        console.print(
            f"{len(regraded.unnamed)} keep the hints they had, for a known mistake was not observed yet: "
            f"autograder grade {module.name}",
            highlight=False,
        )
    moved = len({move.student for move in regraded.moves})
    console.print(
        f"{regraded.judged} judged: the points of {moved} move, and {len(regraded.changed) - moved} more get other "
        "words (messages, hints or groups).",
        highlight=False,
    )


def _points(points: float | None) -> str:
    return "none" if points is None else number(points)
