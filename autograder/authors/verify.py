"""The instructor's gate before a release: `autograder verify [MODULE]`.

The reference has full marks, twice and under another seed; the stub has none; every known mistake is caught by a check
it names, costs nothing in functions that are right, and is told by its own hint; every alternative has full marks;
every check is needed by some mistake. For every check it prints how far right and wrong answers stay from the line.
What is an author's error in itself, whatever the catalogue says, is refused before: see grading/gate.py.

Mistakes answer the public probes on the inputs that a release holds, as a student who makes one is asked by `check`: the
hint is found by the same answers. The reference and the alternatives answer those drawn for a class.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from autograder.cluster.nodes import Nodes, open_nodes, saying
from autograder.cluster.shards import Ask, Shards, Work
from autograder.course import source
from autograder.course.catalogue import Entry
from autograder.course.checks import Check
from autograder.course.course import Module, nearest
from autograder.defaults import ON
from autograder.errors import CourseError
from autograder.grading.contents import Contents
from autograder.grading.diagnose import KnownMistake, diagnose
from autograder.grading.grader import HIDDEN, PUBLIC, Grader, seeds
from autograder.grading.judge import PASSED, Judged, judge
from autograder.grading.naming import probes_of
from autograder.grading.observer import PUBLIC_SEED
from autograder.grading.recordings import Recording
from autograder.grading.report import number
from autograder.sandboxed.notebook import choose, needed
from autograder.threads import pool

Result = TypeVar("Result")


@dataclass
class Finding:
    """What is wrong (`problems`) or worth knowing (`remarks`), and per check who was caught and how narrowly."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    caught: dict[str, list[str]] = field(default_factory=dict)
    right: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """A mistake, made: the verdicts on each function that it can reach, its own one's answers, and what it changes in them."""

    judged: dict[str, list[Judged]]
    seen: dict[bool, Recording]
    known: KnownMistake | None


def verify(module: Module, seed: int, console: Console, only: Collection[str] = (), **engine: Any) -> bool:
    """Verifies a module, prints a table and the problems for each notebook, and says whether there were none.

    only: names of functions, and of mistakes and alternatives, to look at alone while one writes; without any, all.

    Raises:
        CourseError: the module has none of such a name.
    """
    contents = Contents(module)
    _require_known(contents, only)
    chosen = [(part.module, [name for name in only if name in _names(part)]) for part in contents.parts]
    return all([_verify(part, seed, console, names, **engine) for part, names in chosen if names or not only])


def _verify(
    module: Module,
    seed: int,
    console: Console,
    only: Collection[str],
    *,
    on: str = ON,
    node_workers: int = 0,
    **engine: Any,
) -> bool:
    finding = Finding()
    with (
        open_nodes(on, node_workers, module.root, saying(console)) as nodes,
        Grader(module, seed, catalogue=True, **engine) as grader,
        pool(grader.workers) as workers,
    ):
        contents = grader.contents
        mistakes, alternatives = (
            [entry for entry in entries if _is_chosen(entry, only)] for entries in (contents.mistakes, contents.alternatives)
        )
        functions = contents.functions if not only else {*only, *(entry.of for entry in (*mistakes, *alternatives))}
        checks = [check for check in contents.checks if check.function in functions]
        grader.expected  # noqa: B018  the reference first; then all is asked at once, and looked at in its order
        ways = ((grader.seed, 1), (grader.seed, 2), (grader.seed + 1, 1))  # seed, and torch's threads
        references = workers.map(lambda way: _judge_reference(grader, checks, *way), ways)
        dependents = _dependents(grader)
        judged = workers.map(lambda entry: _judge_alternative(grader, entry, dependents), alternatives)
        console.print(f"{module.title}: {len(mistakes)} known mistakes, {len(alternatives)} alternatives …")
        if nodes:
            _observe_on(nodes, grader, mistakes, dependents, console)
        makes = workers.map(lambda entry: _make(grader, entry, dependents), mistakes)
        for (of_seed, threads), results in zip(ways, references, strict=True):
            _verify_reference(f"seed {of_seed}, {threads} threads", results, finding)
        _verify_stub(grader, finding)
        for entry, by_function in _shown(console, "alternatives", alternatives, judged):
            _verify_alternative(entry, by_function, finding)
        rivals = [entry for entry in contents.mistakes if entry.of in functions and not _is_chosen(entry, only)]
        known = [mistake for _, mistake in _shown(console, "rivals", rivals, workers.map(grader.naming.as_known, rivals))]
        _verify_mistakes(grader, mistakes, makes, known, finding, console)
        if all(name in contents.functions for name in only):
            _verify_needed(checks, finding)
    _print(module, checks, finding, console, only)
    return not finding.problems


def _released(grader: Grader) -> dict[bool, int]:
    """What each set of probes draws from as mistakes are asked."""
    return {**seeds(grader.seed), PUBLIC: PUBLIC_SEED}


def _observe_on(
    nodes: Nodes, grader: Grader, mistakes: list[Entry], dependents: dict[str, list[str]], console: Console
) -> None:
    """Has the mistakes observed elsewhere. Reference and alternatives are answers, and those leave this machine never."""
    work = []
    for entry in mistakes:
        names = dependents.get(entry.of, [])
        asks = tuple(Ask(public, seed, name) for public, seed in _released(grader).items() for name in names)
        work.append(Work(entry, grader.contents.code(entry).as_json, asks))
    batches = Shards[Entry](grader, nodes, saying(console)).observed(work)
    done = (entry for batch in batches for entry in batch)
    for _ in _shown(console, "observed elsewhere", mistakes, done):
        pass


def _require_known(contents: Contents, names: Iterable[str]) -> None:
    there = [name for part in contents.parts for name in _names(part)] if names else []
    for name in names:
        if name not in there:
            what = f"{contents.module.name} has no function, mistake or alternative {name!r}"
            raise CourseError(f"{what}: {nearest(name, there)}")


def _names(contents: Contents) -> list[str]:
    return [*contents.functions, *(entry.name for entry in (*contents.mistakes, *contents.alternatives))]


def _is_chosen(entry: Entry, only: Collection[str]) -> bool:
    return not only or entry.name in only or entry.of in only


def _shown(console: Console, what: str, entries: list[Entry], results: Iterable[Result]) -> Iterator[tuple[Entry, Result]]:
    """Each entry with its result, under a bar that says how many are done."""
    pairs = zip(entries, results, strict=True)
    yield from track(pairs, what, len(entries), console=console, transient=True, disable=not console.is_terminal)


def _judge_reference(grader: Grader, checks: list[Check], seed: int, threads: int) -> list[Judged]:
    """The verdicts on the reference, observed afresh under a seed, by the first answers under that."""
    reference = grader.contents.reference
    expected = grader.expected if seed == grader.seed else grader.observe(reference, seed=seed, reference=True)
    return judge(checks, grader.observe(reference, seed=seed, fresh=True, threads=threads), expected)


def _verify_reference(how: str, judged: list[Judged], finding: Finding) -> None:
    _right(judged, finding)
    for verdict in (j.verdict for j in judged if j.verdict.state != PASSED):
        finding.problems.append(f"the reference fails {verdict.check} ({how}): {verdict.message}")


def _verify_stub(grader: Grader, finding: Finding) -> None:
    stub = choose(source.stub_statements(grader.contents.cells), {}, grader.contents.functions)
    for verdict in grader.grade(stub, hints=False).verdicts:
        if verdict.state != "missing":
            finding.problems.append(
                f"the untouched stub is {verdict.state} in {verdict.check}, not missing: {verdict.message}"
            )


def _dependents(grader: Grader) -> dict[str, list[str]]:
    """For each function, it first, the functions whose reference calls it: those that its mistakes could reach."""
    statements, functions = grader.contents.statements, grader.contents.functions
    reached = {name: {b for s in needed(statements, [name]) for b in s.binds} for name in functions}
    return {name: [name, *(other for other in functions if other != name and name in reached[other])] for name in functions}


def _judge_alternative(grader: Grader, entry: Entry, dependents: dict[str, list[str]]) -> dict[str, list[Judged]]:
    """The verdicts by function."""
    return _judged(grader, _observed(grader, entry, dependents, seeds(grader.seed)), grader.expected)


def _make(grader: Grader, entry: Entry, dependents: dict[str, list[str]]) -> Made:
    seen = _observed(grader, entry, dependents, _released(grader))
    known = grader.naming.as_known(entry, seen=seen[entry.of]) if seen else None
    return Made(_judged(grader, seen, grader.naming.expected), seen.get(entry.of, {}), known)


def _observed(
    grader: Grader, entry: Entry, dependents: dict[str, list[str]], drawn: Mapping[bool, int]
) -> dict[str, dict[bool, Recording]]:
    """Recordings by function, all asked in one process where none is kept and nothing ends it."""
    code, functions = grader.contents.code(entry), dependents.get(entry.of, [])
    seen: dict[str, dict[bool, Recording]] = {function: {} for function in functions}
    together = grader.both.fetch_both(code, drawn, functions) if functions else {}
    for public, seed in drawn.items():
        observer = grader.observers[public]
        apart = {} if together else observer.fetch(code, [(seed, function) for function in functions])
        for function in functions:
            made = together.get((public, seed, function)) or apart.get((seed, function))
            seen[function][public] = made or observer.observe(code, seed, function)
    return seen


def _judged(
    grader: Grader, seen: Mapping[str, Mapping[bool, Recording]], expected: Mapping[bool, Recording]
) -> dict[str, list[Judged]]:
    checks = grader.contents.checks
    return {name: judge([c for c in checks if c.function == name], mine, expected) for name, mine in seen.items()}


def _verify_alternative(entry: Entry, results: dict[str, list[Judged]], finding: Finding) -> None:
    if not results:
        finding.problems.append(f"the alternative {entry.name} is of {entry.of!r}, which the notebook does not define")
    for judged in results.values():
        _right(judged, finding)
        for verdict in (j.verdict for j in judged):
            if verdict.state != PASSED:
                finding.problems.append(
                    f"the alternative {entry.name} of {entry.of} fails {verdict.check}: {verdict.message}"
                )


def _right(judged: Iterable[Judged], finding: Finding) -> None:
    for j in judged:
        finding.right[j.verdict.check] = max([finding.right.get(j.verdict.check, 0.0), *j.distances])


def _verify_mistakes(
    grader: Grader,
    mistakes: list[Entry],
    makes: Iterable[Made],
    rivals: list[KnownMistake],
    finding: Finding,
    console: Console,
) -> None:
    """Looks at each of the mistakes as it is made, and tells those of a function apart while others are still observed."""
    count = Counter(entry.of for entry in mistakes)
    made: dict[str, list[tuple[Entry, Made]]] = {function: [] for function in count}
    told: dict[str, Future[dict[str, str | None]]] = {}
    with pool(1) as aside:
        for entry, one in _shown(console, "mistakes", mistakes, makes):
            _verify_mistake(entry, one.judged, finding)
            made[entry.of].append((entry, one))
            if len(made[entry.of]) == count[entry.of]:
                told[entry.of] = aside.submit(_tell_apart, grader, made.pop(entry.of), rivals)
        names = (told[entry.of].result()[entry.name] for entry in mistakes)
        for entry, name in _shown(console, "hints told apart", mistakes, names):
            _verify_hint(entry, name, finding)


def _verify_mistake(entry: Entry, results: dict[str, list[Judged]], finding: Finding) -> None:
    if entry.of not in results:
        finding.problems.append(f"the mistake {entry.name} is of {entry.of!r}, which the notebook does not define")
        return
    failing = [j for j in results[entry.of] if j.verdict.state != PASSED]
    for j in failing:
        finding.caught.setdefault(j.verdict.check, []).append(entry.name)
        over = [distance for distance in j.distances if distance > 1]
        if over:
            finding.wrong[j.verdict.check] = min([finding.wrong.get(j.verdict.check, float("inf")), *over])
    names = [j.verdict.check for j in failing]
    if not names:
        finding.problems.append(f"the mistake {entry.name} of {entry.of} is not caught: it has full marks")
    elif not set(names) & set(entry.caught_by):
        finding.problems.append(
            f"the mistake {entry.name} of {entry.of} names {', '.join(entry.caught_by)}, is caught by {', '.join(names)}"
        )
    for function, judged in results.items():
        lost = [j.verdict.check for j in judged if j.verdict.state != PASSED]
        if function != entry.of and lost:
            finding.problems.append(f"the mistake {entry.name} of {entry.of} also costs {function}: {', '.join(lost)}")


def _tell_apart(grader: Grader, made: list[tuple[Entry, Made]], rivals: list[KnownMistake]) -> dict[str, str | None]:
    """By its name for each mistake of a function the one that is told of its answers, "" where nothing is to be told, None
    where nothing is."""
    known = [*(one.known for _, one in made if one.known), *rivals]
    return {entry.name: _named(grader, entry, one, known) for entry, one in made}


def _named(grader: Grader, entry: Entry, made: Made, known: list[KnownMistake]) -> str | None:
    failing = [j for j in made.judged.get(entry.of, []) if j.verdict.state != PASSED]
    if not failing:
        return ""
    rivals = [mistake for mistake in known if mistake.of == entry.of]
    named = diagnose(made.seen, grader.naming.expected, probes_of(failing), rivals)
    return named.name if named else None


def _verify_hint(entry: Entry, named: str | None, finding: Finding) -> None:
    """Every mistake gets its own hint; two that answer every probe alike are told, since no student can be told apart."""
    if named is None:
        finding.problems.append(f"the mistake {entry.name} of {entry.of} gets no hint")
    elif named not in ("", entry.name):
        twin = f"the mistake {entry.name} of {entry.of} gets the hint of {named}: no probe tells them apart"
        finding.remarks.append(twin)


def _verify_needed(checks: list[Check], finding: Finding) -> None:
    for check in checks:
        if check.name not in finding.caught:
            finding.problems.append(
                f"the check {check.name} is needed by no known mistake: add one, or remove the check"
            )


def _print(module: Module, checks: list[Check], finding: Finding, console: Console, only: Collection[str]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("function", "check", ""):
        table.add_column(name, no_wrap=True)
    for name in ("points", "catches", "right up to", "wrong from"):
        table.add_column(name, justify="right", no_wrap=True)
    for check in checks:
        caught = str(len(finding.caught.get(check.name, [])))
        shown = "public" if check.public else "hidden"
        table.add_row(
            check.function,
            check.name,
            shown,
            number(check.points),
            caught,
            _distance(finding.right, check),
            _distance(finding.wrong, check),
        )
    console.print(table)
    shares = {
        public: number(sum(check.points for check in checks if check.public == public)) for public in (PUBLIC, HIDDEN)
    }
    console.print(
        f"{len(checks)} checks, {shares[PUBLIC]} points public and {shares[HIDDEN]} hidden. Distances are in units "
        "of each check's tolerance: right answers stay below 1, wrong ones above.",
        highlight=False,
    )
    for remark in finding.remarks:
        console.print(f"  remark: {remark}", highlight=False, soft_wrap=True)
    for problem in finding.problems:
        console.print(f"  problem: {problem}", highlight=False, soft_wrap=True, markup=False)
    verified = f"verified, of {', '.join(only)} alone" if only else "verified"
    console.print(f"{module.title}: " + (f"{len(finding.problems)} problems" if finding.problems else verified))


def _distance(distances: dict[str, float], check: Check) -> str:
    return f"{distances[check.name]:.2g}" if check.name in distances else ""
