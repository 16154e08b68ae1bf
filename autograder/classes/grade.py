"""Grading a class: `autograder grade MODULE [PATH…]`."""

import contextlib
import functools
import hashlib
import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from autograder.classes.seed import class_seed
from autograder.classes.submissions import Submission
from autograder.cluster.nodes import Nodes, Say, open_nodes, saying
from autograder.cluster.shards import Shards, Work
from autograder.course.calendar import calendar
from autograder.course.course import Course, Module
from autograder.course.versions import notebook_with
from autograder.defaults import ON, PROBE_SECONDS, SANDBOX, WORKERS
from autograder.errors import CourseError, GraderFault, Unreadable
from autograder.files import write_whole
from autograder.grading.again import Made, mistakes_in, told_again
from autograder.grading.grader import Graded, Grader
from autograder.grading.judge import NOT_GRADED, clean
from autograder.grading.report import (
    GRADED,
    REFUSED,
    SCHEMA,
    Result,
    empty_page,
    feedback_page,
    grades_csv,
    keep_sections,
    number,
    result_json,
    with_grades_of,
    with_section,
)
from autograder.grading.timings import Timings
from autograder.sandboxed.notebook import Code
from autograder.threads import pool

Done = TypeVar("Done")

NO_ANSWER = ("crashed", "timed out", "out of memory", NOT_GRADED)
SLOWEST = 5  # submissions and probes that --timings names


@dataclass(frozen=True)
class ClassResult:
    """What a run did: its results by student, how many of them needed no student code to run again, where time went."""

    results: list[Result]
    unchanged: int
    timings: Timings

    @property
    def failures(self) -> list[Result]:
        """Those that were not graded, or refused."""
        return [result for result in self.results if result.status != GRADED]

    def below(self, percent: float) -> list[Result]:
        """The graded ones with fewer than `percent` of their points."""
        return [r for r in self.results if r.score is not None and 100 * r.score < percent * r.maximum]


def grade_class(
    module: Module,
    submissions: list[Submission],
    out: Path,
    console: Console,
    *,
    seed: int | None = None,
    sandbox: str = SANDBOX,
    workers: int = WORKERS,
    limit: float = PROBE_SECONDS,
    on: str = ON,
    node_workers: int = 0,
    timed: bool = False,
    record: Callable[[list[Grader], Submission, Result], None] | None = None,
) -> ClassResult:
    """Grades `submissions` and writes, for each, a JSON file and a feedback page under `out`, and `grades.csv`.

    `on` says where submissions are observed, and `node_workers` how many at once on each node there: see `open_nodes`.
    With `timed` it waits for all workers first, so that their start is not counted as a submission's time. `record` is
    called for each submission, one after another, while the next ones are being graded.
    """
    how: dict[str, Any] = {"sandbox": sandbox, "workers": workers, "limit": limit}
    seed = class_seed(out, seed)
    with (
        open_nodes(on, node_workers, module.root, saying(console)) as nodes,
        started(module, seed, timed=timed, **how) as graders,
    ):
        timings = graders[0].timings
        results = grade_all(graders, submissions, console, record, nodes)
    with timings.stage("writing"):
        write_results(results, exercises_of(graders), out)
    unchanged = sum(bool(result.graded and result.graded.cached) for result in results)
    return ClassResult(results, unchanged, timings)


@contextlib.contextmanager
def started(module: Module, seed: int, timed: bool = False, **how: Any) -> Iterator[list[Grader]]:
    """A grader for each of the module's notebooks, with their timings together; `how` as in `Grader`.

    With `timed` it waits for the workers, and counts that as a stage of its own.
    """
    with contextlib.ExitStack() as stack:
        graders = [stack.enter_context(Grader(part, seed, **how)) for part in module.parts]
        for grader in graders:
            grader.timings = graders[0].timings
            if timed:
                with grader.timings.stage("starting workers"):
                    grader.wait()
        yield graders


def grade_all(
    graders: list[Grader],
    submissions: list[Submission],
    console: Console,
    record: Callable[[list[Grader], Submission, Result], None] | None = None,
    nodes: Nodes | None = None,
) -> list[Result]:
    """A result for every submission, in their order. For `record` see `grade_class`; `nodes` observe, if there are any."""
    results: dict[Submission, Result] = {}
    for grader in graders if record else ():
        grader.show()
    for submission, result in watched(graded(graders, submissions, console, nodes), submissions, console):
        results[submission] = result
        if record:
            with graders[0].timings.stage("gradebook"):
                record(graders, submission, result)
    return [results[submission] for submission in submissions]


def graded(
    graders: list[Grader], submissions: list[Submission], console: Console, nodes: Nodes | None = None
) -> Iterator[tuple[Submission, Result]]:
    """Every submission with its result, as they come: in their order where no other machine observes."""
    yield from _side_by_side(graders, observed(graders, submissions, nodes, saying(console)))


def observed(
    graders: list[Grader], submissions: list[Submission], nodes: Nodes | None, say: Say
) -> Generator[list[Submission], None, None]:
    """The submissions as they are ready to be graded: all of them at once, or those whose recordings came from `nodes`.

    Of those it gives an empty list every now and then; closed, it cancels what is out.
    """
    if nodes is None:
        _require_references(graders)
        yield submissions
        return
    for place, grader in enumerate(graders):
        work = [Work(one, (one.parts[place] if one.parts else one).to_observe) for one in submissions]
        batches = Shards[Submission](grader, nodes, say).observed(work)
        if grader is graders[-1]:
            yield from batches
        else:
            for _ in batches:  # a submission is graded when all its notebooks have been observed
                yield []


def exercises_of(graders: list[Grader]) -> dict[str, list[str]]:
    """The functions of each exercise, of all notebooks."""
    return {name: functions for grader in graders for name, functions in grader.contents.exercises.items()}


def watched(results: Iterator[Done], submissions: list[Submission], console: Console) -> Iterator[Done]:
    """The results, with a bar that shows how far it is."""
    with _progress(console) as progress:
        bar = progress.add_task("grading", total=len(submissions))
        for result in results:
            yield result
            progress.advance(bar)


def points_of(graders: list[Grader]) -> dict[str, float]:
    """What each exercise is worth, of all notebooks."""
    return {name: points for grader in graders for name, points in grader.contents.points.items()}


def grade_each(graders: list[Grader], submissions: list[Submission]) -> Iterator[Result]:
    """The result of each of `submissions`, in their order, graded side by side; a grader for each of the notebooks."""
    _require_references(graders)
    return (result for _, result in _side_by_side(graders, [submissions]))


def _require_references(graders: list[Grader]) -> None:
    for grader in graders:
        grader.expected  # noqa: B018  the reference first: when it fails, nothing else is worth doing


def _side_by_side(graders: list[Grader], batches: Iterable[list[Submission]]) -> Iterator[tuple[Submission, Result]]:
    """Each submission with its result, in the order of the batches; one is graded while the next is waited for."""
    with pool(max(1, graders[0].workers)) as threads:
        running = deque[tuple[Submission, Future[Result]]]()
        for batch in batches:
            running += [(submission, threads.submit(_grade, graders, submission)) for submission in batch]
            while running and running[0][1].done():
                yield running[0][0], running.popleft()[1].result()
        while running:
            yield running[0][0], running.popleft()[1].result()


def _grade(graders: list[Grader], submission: Submission) -> Result:
    result = _grade_one(graders[0], submission) if len(graders) == 1 else _grade_parts(graders, submission)
    return with_again(result, graders[0].module, exercises_of(graders))


def _grade_parts(graders: list[Grader], submission: Submission) -> Result:
    """One submission, notebook by notebook. What is not known of one of them makes the sum unknown."""
    parts = submission.parts or (submission,) * len(graders)
    results = [_grade_one(grader, part) for grader, part in zip(graders, parts, strict=True)]
    whole = {name: sum(getattr(result, name) for result in results) for name in ("maximum", "by_hand")}
    for result in results:
        if result.graded is None:
            return replace(result, **whole)
    each = {grader.module.notebook: result for grader, result in zip(graders, results, strict=True)}
    hashes = "".join(f"{result.notebook}  {name}\n" for name, result in each.items() if result.notebook)
    found = {name: result.graded for name, result in each.items() if result.graded}
    graded = Graded(
        tuple(verdict for one in found.values() for verdict in one.verdicts),
        tuple((f"{name}, {cell}", note) for name, one in found.items() for cell, note in one.notes),
        cached=all(one.cached for one in found.values()),
        remarks={function: said for one in found.values() for function, said in one.remarks.items()},
        seconds=sum(one.seconds for one in found.values()),
        seen=_seen_together([one.seen for one in found.values()]),
        unnamed=tuple(function for one in found.values() for function in one.unnamed),
    )
    notes = dict.fromkeys([clean(submission.note), *(result.note for result in results)])
    note, notebook = " ".join(filter(None, notes)), hashlib.sha256(hashes.encode()).hexdigest()
    return replace(results[0], graded=graded, note=note, notebook=notebook, **whole)


def _seen_together(each: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What `observed/` keeps, of all notebooks: tables together, times added up."""
    together: dict[str, Any] = {}
    for seen in each:
        for name, value in seen.items():
            together[name] = together.get(name, {}) | value if isinstance(value, dict) else together.get(name, 0.0) + value
    return together


def _grade_one(grader: Grader, submission: Submission) -> Result:
    about: dict[str, Any] = {
        "student": submission.student,
        "module": grader.module.name,
        "note": clean(submission.note),
        "maximum": sum(check.points for check in grader.contents.checks),
        "seed": grader.seed,
        "by_hand": grader.contents.points_by_hand,
        "contact": Course(grader.module.root).settings.contact,
    }
    if submission.problem and not submission.absent:
        return Result(status=REFUSED, reason=clean(f"{submission.path}: {submission.problem}"), **about)
    try:
        data = b"" if submission.absent else submission.read()
        code = _absent(grader) if submission.absent else grader.read(data)
    except (Unreadable, OSError) as error:
        return Result(status=REFUSED, reason=clean(f"{submission.path} {error}"), **about)
    except GraderFault as error:
        return Result(status=NOT_GRADED, reason=clean(f"{submission.path} was not graded: {error}"), **about)
    try:
        graded = grader.grade(code)
    except CourseError:
        raise
    except Exception as error:  # whatever it is (a full disk, a form nobody thought of), the others are graded
        return Result(status=NOT_GRADED, reason=clean(f"{submission.path} was not graded: {error}"), **about)
    about["note"] = " ".join(filter(None, [about["note"], _of_which_version(code, grader)]))
    graded = replace(graded, judged=())  # what only `verify` needs would stay in memory for the whole class
    notebook = "" if submission.absent else hashlib.sha256(data).hexdigest()
    return Result(status=GRADED, graded=graded, notebook=notebook, **about)


def _absent(grader: Grader) -> Code:
    """The code of a notebook that was not handed in beside another one."""
    why = f"{grader.module.notebook} was not handed in"
    return Code((), {}, {}, absent=dict.fromkeys(grader.contents.functions, why))


def with_again(result: Result, module: Module, exercises: dict[str, list[str]]) -> Result:
    """A result that says which of its mistakes the course's grades of earlier modules hold too."""
    here = mistakes_in(result.as_dict(exercises))
    if not here:
        return result
    course, before = Course(module.root), list[Made]()
    for name in itertools.takewhile(lambda name: name != module.name, calendar(course)):
        path = course.module(name).grades / "results" / f"{result.student}.json"
        with contextlib.suppress(CourseError):  # a damaged file of another week stops nothing here
            before += mistakes_in(read_result(path)) if path.is_file() else []
    return replace(result, again=told_again(here, before))


def _of_which_version(code: Code, grader: Grader) -> str:
    """What to say of a notebook that is not of the version that is released now."""
    versions = grader.contents.versions
    if code.version in ("", versions.current) or not versions.current:
        return ""
    if code.version not in versions.cells:
        if other := notebook_with(code.version, Course(grader.module.root)):
            which = f"{other.notebook} of {other.name}, by its version {code.version}"
            return f"The notebook is {which}: hand in {grader.module.notebook}."
        return f"The notebook says that it is of version {code.version}, which this module has never had."
    former = grader.contents.former
    later = [name for name in grader.contents.functions if versions.came_later(code.version, name, former.get(name, name))]
    missing = f", to which {', '.join(later)} came later" if later else ""
    return f"The notebook is of an earlier version, {code.version}{missing}; {versions.current} is the newest."


# --- what is written --------------------------------------------------------------------------------------------------


def write_results(results: list[Result], exercises: dict[str, list[str]], out: Path) -> None:
    """Writes every student's files, and `grades.csv` from all that lie in `out`."""
    for result in results:
        write_result(result, exercises, out)
    write_grades_csv(out)


def write_result(result: Result, exercises: dict[str, list[str]], out: Path) -> None:
    """Writes a student's JSON files and feedback page. A grade is never replaced by a refusal."""
    for path, text in changed_files(result, exercises, out).items():
        write_whole(path, text)


def changed_files(result: Result, exercises: dict[str, list[str]], out: Path) -> dict[Path, str]:
    """What `write_result` writes: the texts of those of a student's files that are not yet so."""
    path = out / "results" / f"{result.student}.json"
    if result.status != GRADED and _status(path) == GRADED:
        return {}
    page = feedback_file(out, result.student)
    texts = {path: result_json(result, exercises), page: feedback_page(result, exercises)}
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    texts[page] = keep_sections(before, texts[page])
    if result.graded and result.graded.seen:
        about = {"schema": 1, "student": result.student, "notebook_sha256": result.notebook, **result.graded.seen}
        texts[observed_file(out, result.student)] = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == texts[path]:  # else the gradebook's sum holds no longer
        texts[page] = with_grades_of(texts[page], before)
    return {p: text for p, text in texts.items() if not p.is_file() or p.read_text(encoding="utf-8") != text}


def feedback_file(out: Path, student: str) -> Path:
    """The student's feedback page."""
    return out / "feedback" / f"{student}.html"


def observed_file(out: Path, student: str) -> Path:
    """What was seen of a student's answers beside the verdicts: groups by function, distances by check, seconds."""
    return out / "observed" / f"{student}.json"


def write_section(out: Path, module: Module, student: str, name: str, fragment: str) -> None:
    """Writes a section of the student's feedback page, which is made where there is none yet."""
    page = feedback_file(out, student)
    before = page.read_text(encoding="utf-8") if page.is_file() else empty_page(module.name, student)
    write_whole(page, with_section(before, name, fragment))


def _status(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError):
        return ""


def never_graded(module: Module) -> dict[str, str]:
    """The students of whom no file was ever graded, with what became of the last one: refused, or not graded."""
    statuses = {student: _status(path) for student, path in result_files(module.grades).items()}
    return {student: status for student, status in statuses.items() if status not in ("", GRADED)}


def result_files(out: Path) -> dict[str, Path]:
    """The files of the results that lie in `out`, those of earlier runs too, by student."""
    return {path.stem: path for path in sorted((out / "results").glob("[!.]*.json"))}


def read_result(path: Path) -> dict[str, Any]:
    """A result in its JSON form.

    Raises:
        CourseError: the file is damaged.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return {field: result[field] for field in _fields()}
    except (ValueError, KeyError, TypeError):
        raise CourseError(f"{path} is damaged: delete it and grade the student again") from None


@functools.cache
def _fields() -> list[str]:
    return list(json.loads(SCHEMA.read_text(encoding="utf-8"))["required"])


def write_grades_csv(out: Path) -> None:
    """Writes `grades.csv` from all results in `out`, those of earlier runs too."""
    write_whole(out / "grades.csv", grades_csv(map(read_result, result_files(out).values())))


# --- what is shown ----------------------------------------------------------------------------------------------------


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def print_outcome(outcome: ClassResult, out: Path, console: Console, with_timings: bool = False) -> None:
    """The table, where the time went if that is asked, how many were graded, and where the files are."""
    print_table(outcome, console)
    if with_timings:
        print_timings(outcome, console)
    graded = len(outcome.results) - len(outcome.failures)
    console.print(
        f"{graded} of {len(outcome.results)} graded, {outcome.unchanged} of them unchanged. {out}/grades.csv, "
        f"{out}/feedback/",
        highlight=False,
        soft_wrap=True,
    )


def print_table(outcome: ClassResult, console: Console) -> None:
    """One line a student: score, where the first error is, which mistakes were named, how many checks had no answer."""
    table = Table(box=None, pad_edge=False)
    for name in ("student", "score", "first error", "mistakes named", "no answer"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for result in outcome.results:
        table.add_row(*map(Text, _row(result)))
    console.print(table)
    for result in outcome.results:
        print_said(result, console)


def print_said(result: Result, console: Console) -> None:
    """What a TA should know of one result: what was odd, and why there is no grade."""
    if result.note:
        console.print(Text(f"{clean(result.student)}: {result.note}"), soft_wrap=True)
    if result.status != GRADED:
        console.print(Text(f"{clean(result.student)}: {result.status}: {result.reason}", style="red"), soft_wrap=True)


def print_timings(outcome: ClassResult, console: Console) -> None:
    """Where the time went: by stage, then the slowest submissions and the slowest probes."""
    stages, probes = outcome.timings.stages, outcome.timings.probes
    ran = [(r.student, r.graded.seconds) for r in outcome.results if r.graded and not r.graded.cached]
    slowest = sorted(ran, key=lambda one: one[1], reverse=True)[:SLOWEST]
    tables: dict[tuple[str, ...], Sequence[tuple[str, ...]]] = {
        ("stage", "seconds", "CPU", "times"): [
            (name, f"{s.seconds:.2f}", f"{s.cpu:.2f}", str(s.times)) for name, s in stages.items()
        ],
        ("slowest submissions", "seconds in probes"): [
            (clean(student), f"{seconds:.2f}") for student, seconds in slowest
        ],
        ("slowest probes", "seconds", "times", "mean", "most"): [
            (name, f"{s.seconds:.2f}", str(s.times), f"{s.seconds / s.times:.3f}", f"{s.most:.3f}")
            for name, s in sorted(probes.items(), key=lambda item: item[1].seconds, reverse=True)[:SLOWEST]
        ],
    }
    for columns, rows in tables.items():
        table = Table(box=None, pad_edge=False, title_justify="left")
        for place, name in enumerate(columns):
            table.add_column(name, justify="right" if place else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        if rows:
            console.print(table, "")
    console.print(
        "Seconds are wall time, CPU is the grader's and the probes'; both added up over workers and with the reference's. "
        f"{outcome.unchanged} of {len(outcome.results)} submissions were taken from the store: no code of theirs ran.",
        highlight=False,
    )


def _row(result: Result) -> tuple[str, str, str, str, str]:
    if result.graded is None:
        return clean(result.student), result.status, "", "", ""
    states = Counter(verdict.state for verdict in result.graded.verdicts if verdict.state in NO_ANSWER)
    named = dict.fromkeys(verdict.mistake for verdict in result.graded.verdicts if verdict.mistake)
    score = f"{number(result.graded.score)} / {number(result.maximum)}"
    ended = ", ".join(f"{count} {state}" for state, count in states.items())
    return clean(result.student), score, result.graded.first_error, ", ".join(named), ended
