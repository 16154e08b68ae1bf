"""The author's gate: what is wrong with a module itself, one line each with file, line and mend.

Nothing of it may reach a student as the student's fault, so whatever works with a module passes here first: `verify`,
`release`, `grade` and all that grades. `course_problems` reads the files alone and runs nothing but the check files;
`reference_problems` looks at what the reference answered.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.course.checks import Check
from autograder.course.course import nearest
from autograder.course.imports import COMMON, parsed, place, within
from autograder.errors import CourseError
from autograder.grading.contents import Contents, told_in, where
from autograder.grading.judge import author_error
from autograder.grading.recordings import Observation, Observed, Recording
from autograder.sandboxed.recording import Error

KINDS = {True: "public", False: "hidden"}
MISSING = Observation("missing", None, Error("Missing", "not there"))


def require_sound(contents: Contents, expected: Mapping[bool, Recording] | None = None) -> None:
    """Refuses a module with problems; with the reference's recordings, those that these show.

    Raises:
        CourseError: one line for each.
    """
    problems = course_problems(contents) if expected is None else reference_problems(contents, expected)
    if problems:
        raise CourseError("\n".join(problems))


# --- before anything runs ---------------------------------------------------------------------------------------------


def course_problems(contents: Contents) -> list[str]:
    """What is wrong in the module's source, probes, checks and catalogue, and with what would be published."""
    lines = [line for part in contents.parts for look in LOOKS for line in _lines(look, part)]
    return list(dict.fromkeys(lines))  # a broken source is noticed by all that need it


def _lines(look: Callable[[Contents], Iterator[str]], contents: Contents) -> list[str]:
    try:
        return list(look(contents))
    except CourseError as error:
        return str(error).splitlines()


def _source(contents: Contents) -> Iterator[str]:
    contents.statements  # noqa: B018
    yield from ()


def _beside(contents: Contents) -> Iterator[str]:
    """Of one notebook among several: a name that stands in an earlier one too, and a file that is none."""
    module = contents.module
    earlier = module.whole.parts[: module.whole.parts.index(module)]
    if module.part and not any(cell.role for cell in contents.cells):
        yield (
            f"{place(module.source)} has no exercise and no question, and beside others it is taken for a notebook: give it "
            "one, or move it out of the folder"
        )
    for part in earlier:
        theirs = _named(Contents(part))
        for name, line in _named(contents).items():
            if name in theirs:
                yield f"{place(module.source, line)}: {name} stands in {part.source.name} too: give each its own name"


def _named(contents: Contents) -> dict[str, int]:
    """What is called by a name in a notebook (functions, exercises, questions, plots), with the lines."""
    cells = [cell for cell in contents.cells if cell.role in ("exercise", "grade") or cell.by_hand]
    return {str(cell.about.get("function") or cell.about.get("exercise") or cell.about["name"]): cell.line for cell in cells}


def _data(contents: Contents) -> Iterator[str]:
    contents.needs  # noqa: B018
    yield from ()


def _published(contents: Contents) -> Iterator[str]:
    contents.module.public_files  # noqa: B018
    yield from ()


def _probes(contents: Contents) -> Iterator[str]:
    """A name given twice in one file or in both, a function or another probe that is not there, a mark that does not mark."""
    seen: dict[str, Probe] = {}
    for kind in KINDS.values():
        path, checks = (contents.module.tests / f"{name}_{kind}.py" for name in ("probes", "test"))
        if not path.is_file():
            if checks.is_file():
                yield f"{place(path)} is missing, and {checks.name} has nothing to read: add it, or remove both"
            continue
        probes = _probes_of(path)
        for probe in probes:
            if probe.name in seen:
                yield f"{probe.place}: {seen[probe.name].place} has a probe {probe.name} too: give each its own name"
            seen.setdefault(probe.name, probe)
            known = [*contents.functions, *contents.elsewhere]
            yield from _wrong_names(probe, known, [other.name for other in probes])


def _wrong_names(probe: "Probe", functions: list[str], beside: list[str]) -> Iterator[str]:
    about = probe.settings.get("function")
    if about is None:
        yield f'{probe.place}: the probe {probe.name} names no function: write @probe("function") above it'
    elif about not in (*functions, UNKNOWN):
        mend = nearest(about, functions)
        yield f"{probe.place}: the probe {probe.name} is of {about!r}, which the notebook does not define: {mend}"
    if (other := probe.settings.get("beside", "")) not in (*beside, "", UNKNOWN):
        yield f"{probe.place}: the probe {probe.name} is beside {other!r}, no probe of its file: {nearest(other, beside)}"


def _checks(contents: Contents) -> Iterator[str]:
    """What pytest cannot collect, a test that hides another, a probe that is not there or about another function."""
    contents.checks  # noqa: B018
    for kind in KINDS.values():
        path, probes = (contents.module.tests / f"{name}_{kind}.py" for name in ("test", "probes"))
        if path.is_file():
            functions = [node for node in parsed(path).body if isinstance(node, ast.FunctionDef)]
            yield from _hidden_by_later(path, functions)
            known = _names_of(probes)
            for function in functions if known is not None else ():
                yield from _unknown_probes(path, function, known or [], kind)


def _hidden_by_later(path: Path, functions: list[ast.FunctionDef]) -> Iterator[str]:
    lines: dict[str, int] = {}
    for function in functions:
        if function.name in lines:
            yield (
                f"{place(path, function.lineno)}: {function.name} replaces the one in line {lines[function.name]}: "
                "give each its own name"
            )
        lines[function.name] = function.lineno


def _unknown_probes(path: Path, test: ast.FunctionDef, known: list[str], kind: str) -> Iterator[str]:
    recordings = {argument.arg for argument in test.args.args[:2]} if _mark(test, "check") else set()
    read = [node for node in ast.walk(test) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    lines = {node.attr: node.lineno for node in reversed(read) if ast.unparse(node.value) in recordings}
    for name in sorted(lines.keys() - known):
        yield (
            f"{place(path, lines[name])}: {test.name} reads the probe {name}, and probes_{kind}.py has none of that name: "
            f"{nearest(name, known)}"
        )


def _catalogue(contents: Contents) -> Iterator[str]:
    contents.mistakes  # noqa: B018
    contents.alternatives  # noqa: B018
    yield from ()


def _foreign(contents: Contents) -> Iterator[str]:
    """What the notebook, or a file of the module, imports of another module's folder or of what lies above its own."""
    module = contents.module
    others = {path.name for path in module.tests.parent.iterdir() if path.is_dir()} - {module.name}
    mend = f"put what modules share into tests/{COMMON}/, and write `from .… import …`"
    for path in [*module.public_files, *module.secret_files]:
        depth = len(within(module.tests, path).parts)
        for node in (node for node in ast.walk(parsed(path)) if isinstance(node, (ast.Import, ast.ImportFrom))):
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                yield f"{place(path, node.lineno)}: it imports what lies above its own folder: {mend}"
            for name in sorted(_first_names(node) & others):
                yield f"{place(path, node.lineno)}: it imports from tests/{name}/, which is not this module's: {mend}"
    code = [cell for cell in contents.cells if cell.kind == "code"]
    for statement in contents.statements:
        for name in sorted(_first_names(statement.node) & others):
            line = code[statement.cell - 1].line + statement.line
            yield f"{place(module.source, line)}: it imports from tests/{name}/, which students do not have: write it here"


def _first_names(node: ast.AST) -> set[str]:
    """The packages that an import statement names, without those of its own by dots."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) and not node.level else set()


LOOKS = (_source, _beside, _data, _published, _foreign, _probes, _checks, _catalogue)


# --- probes, read as text ---------------------------------------------------------------------------------------------

UNKNOWN = "not written out"  # a setting that is computed


@dataclass(frozen=True)
class Probe:
    """A probe as its file has it, and what its decorator says."""

    name: str
    place: str
    settings: dict[str, str]


def _probes_of(path: Path) -> list[Probe]:
    """The functions at the top of the file that `@probe` marks; none where there is no file."""
    if not path.is_file():
        return []
    found = [(node, _mark(node, "probe")) for node in parsed(path).body if isinstance(node, ast.FunctionDef)]
    return [Probe(node.name, place(path, node.lineno), _settings(mark)) for node, mark in found if mark]


def _names_of(path: Path) -> list[str] | None:
    """The names of the file's probes; None where some are made in another way than by `@probe` at the top."""
    if not path.is_file():
        return []
    probes = _probes_of(path)
    made = sum("probe" in (getattr(node, "id", ""), getattr(node, "attr", "")) for node in ast.walk(parsed(path)))
    return [probe.name for probe in probes] if made == len(probes) else None


def _mark(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The decorator called `name`, with or without its brackets."""
    for decorator in function.decorator_list:
        if getattr(getattr(decorator, "func", decorator), "id", "") == name:
            return decorator
    return None


def _settings(mark: ast.expr) -> dict[str, str]:
    if not isinstance(mark, ast.Call):
        return {}
    named = [*zip(("function", "beside"), mark.args, strict=False), *((k.arg, k.value) for k in mark.keywords)]
    return {str(n): v.value if isinstance(v, ast.Constant) and isinstance(v.value, str) else UNKNOWN for n, v in named}


# --- what the reference answered --------------------------------------------------------------------------------------


def reference_problems(contents: Contents, expected: Mapping[bool, Recording]) -> list[str]:
    """Probes that the reference does not answer or answers by an error nobody declared, and checks that break on it or
    pass without an answer."""
    lines: list[str] = []
    for public, recording in expected.items():
        path = contents.module.tests / f"probes_{KINDS[public]}.py"
        probes = {probe.name: probe for probe in _probes_of(path)}
        lines += _unanswered(recording, {name: probe.place for name, probe in probes.items()}, place(path))
        about = {name: probe.settings.get("function", UNKNOWN) for name, probe in probes.items()}
        checks = [check for check in contents.checks if check.public == public]
        lines += [line for check in checks for line in _broken(contents, check, recording, about)]
    return lines


def _unanswered(recording: Recording, places: Mapping[str, str], file: str) -> Iterator[str]:
    for name, observation in recording.observations.items():
        at = places.get(name, file)
        if observation.state != "returned":
            yield f"{at}: the reference itself fails the probe {name}: {observation.error}: mend one of the two"
        for error, inside in _errors(observation.value):
            yield (
                f"{at}: the reference raises {error} in the probe {name}{inside}: mend it, or declare what is right: "
                f"attempt(…, raises={error.type})"
            )


def _errors(value: Any, inside: str = "") -> Iterator[tuple[Error, str]]:
    """Each undeclared error in a recorded value, and where it is."""
    if isinstance(value, Error) and not value.declared:
        yield value, inside
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _errors(item, f"{inside}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _errors(item, f"{inside}[{index}]")


def _broken(contents: Contents, check: Check, expected: Recording, about: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a check; `about` names each probe's function."""
    if error := author_error(check, expected):
        what = f"{check.name} breaks on the reference's own answers: {type(error).__name__}: "
        yield told_in(contents.module.tests, error, what) + ": mend what it reads there"
        return
    seen, missing = Observed(expected), Recording(dict.fromkeys(expected.observations, MISSING))
    passes = _passes(check, seen, Observed(expected))
    foreign = [name for name in seen.used if about.get(name, UNKNOWN) not in (check.function, UNKNOWN)]
    if foreign:
        theirs = f"{foreign[0]} about {about[foreign[0]]}"
        yield f"{where(check)}: {check.name} is about {check.function}, and its probe {theirs}: mend one of the two"
    elif passes and not seen.used:
        yield f"{where(check)}: {check.name} reads no answer: compare something of `observed`"
    elif _passes(check, Observed(missing), Observed(expected)):
        yield f"{where(check)}: {check.name} passes without any answer: compare something of `observed` in every case"


def _passes(check: Check, seen: Observed, expected: Observed) -> bool:
    try:
        check.test(seen, expected)
    except Exception:
        return False
    return True
