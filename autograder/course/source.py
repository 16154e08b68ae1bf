"""An instructor's source file: a notebook in jupytext's py:percent form whose cells carry short roles.

    # %% role="exercise" function="count_parameters"     one function of the contract, its body between
                                                         ### BEGIN SOLUTION and ### END SOLUTION; or one class, with
                                                         a region in each method that is to be written
    # %% role="check" exercise="count_parameters"        check("count_parameters"), right under it
    # %% role="grade" exercise="parameters"              check("parameters"), the grade cell: worth the exercise's checks
    # %% [markdown] role="question" name="…" points=4    a written question; the model answer is its solution region
    # %% role="plot" name="…" points=3                   a plot that a TA grades by eye; a solution region, if there is
                                                         one, holds comments only: the rubric
    # %% folded=true                                     code that is given and need not be read, as that of a figure:
                                                         JupyterLab and Colab show it when asked; beside a role too
    # %% … was="count"                                   beside a function or a name: what it was called in a version that
                                                         students have

The functions between two grade cells belong to the exercise that the second one names. Points of exercises are not
written here: they are the sum of the checks' points.
"""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from autograder.course.checks import Check, points_problem
from autograder.course.imports import place
from autograder.errors import CourseError
from autograder.installed import without_addresses
from autograder.sandboxed.notebook import Cell, Statement, around, is_stub, parse

ROLES = {"exercise", "check", "grade", "question", "plot"}
ANSWER_HERE = "*Your answer here.*"  # what stands in a question for the answer
REGION = re.compile(
    r"^(?P<indent>[ \t]*)(?:# ?)?### BEGIN SOLUTION\n(?P<body>.*?)^[ \t]*(?:# ?)?### END SOLUTION[ \t]*\n?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class SourceCell:
    """One cell: its role's settings in `about` (empty for cells without), and its text with the solution in it.

    `line` is where its marker stands in the source file, its text begins on the next one. What is made of the text by parsing
    it is made once: a class's notebooks are compared with it cell by cell.
    """

    kind: str
    text: str
    about: dict[str, Any]
    line: int = 0

    @property
    def role(self) -> str:
        role: str = self.about.get("role", "")
        return role

    @property
    def by_hand(self) -> bool:
        """Whether a person grades it: a question, or a plot."""
        return self.role in ("question", "plot")

    @property
    def folded(self) -> bool:
        """Whether its code is hidden until somebody asks for it."""
        return bool(self.about.get("folded"))

    @cached_property
    def solution(self) -> str:
        """The text with the solution, without the region's marks."""
        return REGION.sub(lambda match: match["body"], self.text)

    @cached_property
    def stub(self) -> str:
        """The text a student gets."""
        if self.kind == "markdown":
            return REGION.sub(f"{ANSWER_HERE}\n", self.text)
        if self.role == "plot":
            return REGION.sub("", self.text)
        return REGION.sub(self._raising, self.text)

    def _raising(self, region: re.Match[str]) -> str:
        """What stands in place of a region: a raise that names the function, or the method of the class."""
        name = self.about.get("function", "this")
        above = re.findall(r"^([ \t]*)def[ \t]+(\w+)", self.text[: region.start()], re.MULTILINE)
        methods = [method for indent, method in above if 0 < len(indent) < len(region["indent"])]
        if self.is_class and methods:
            name = f"{name}.{methods[-1]}"
        return f'{region["indent"]}raise NotImplementedError("write {name}")\n'

    @cached_property
    def is_class(self) -> bool:
        """Whether the contract's name that it defines is a class."""
        return any(isinstance(node, ast.ClassDef) for node in _definitions(self.about.get("function", ""), self.solution))

    @property
    def rubric(self) -> str:
        """What a TA grades a question or a plot by: the text of its solution region, as Markdown."""
        bodies = [match["body"] for match in REGION.finditer(self.text)] if self.by_hand else []
        text = "\n".join(bodies)
        return re.sub(r"^[ \t]*# ?", "", text, flags=re.MULTILINE) if self.kind == "code" else text

    def solution_lines(self) -> Iterator[str]:
        """The lines of its solution regions, stripped."""
        for match in REGION.finditer(self.text):
            yield from filter(None, map(str.strip, match["body"].splitlines()))


def read_source(path: Path) -> list[SourceCell]:
    """The cells of a source file.

    Raises:
        CourseError: a cell that is no Python, an unknown role, a role without its setting, a function cell without exactly
            one solution region, points that are none, two cells that nbgrader could not tell apart; with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CourseError(f"{place(path)}: {error}: save it again as a text in UTF-8") from None
    cells = [SourceCell(c.cell_type, c.source, dict(c.metadata), line) for line, c in _with_lines(text)]
    for cell in cells:
        _refuse_broken(path, cell)
        if problem := _problem(cell):
            raise CourseError(f"{place(path, cell.line)}: {problem}")
    _refuse_twins(path, cells)
    _refuse_wrong_former(path, cells)
    try:
        exercises(cells)
    except CourseError as error:
        raise CourseError(f"{place(path, cells[-1].line)}: {error}") from None
    return cells


def _with_lines(text: str) -> Iterator[tuple[int, Any]]:
    """Each cell as jupytext reads it, with the line of its marker; 1 for what stands before the first marker."""
    reads, lines = _jupytext().reads, text.splitlines()
    markers = [number for number, line in enumerate(lines) if line.startswith("# %%")]
    before = lines[: markers[0]] if markers else lines
    unmarked = len(reads("\n".join([*before, ""]), fmt="py:percent").cells) if before else 0
    end = 0
    for index, cell in enumerate(reads(text, fmt="py:percent").cells):
        start = next((m for m in markers if m >= end), end) if index >= unmarked else 0
        if index >= unmarked:  # a string may hold what looks like a marker
            end = start + 1 + len(cell.source.splitlines())
        yield start + 1, cell


def _refuse_broken(path: Path, cell: SourceCell) -> None:
    """Refuses a code cell that is no Python, be it with its solution or as the stub that students get."""
    for text, what in ((cell.text, ""), (cell.stub, "without its solution it ")) if cell.kind == "code" else ():
        _, notes = parse([Cell(0, text)])
        if notes.get(0, "").startswith("does not run"):
            found = None if what else re.search(r", line (\d+)", notes[0])
            note = notes[0].replace(found[0], "", 1) if found else notes[0]
            where = place(path, cell.line + int(found[1]) if found else cell.line)
            raise CourseError(f"{where}: {what or 'this code '}{note}: mend this line")


def _refuse_twins(path: Path, cells: list[SourceCell]) -> None:
    """Refuses two cells of one grade_id, and one that is none: nbgrader stops at either, when a class has worked on it."""
    lines: dict[str, int] = {}
    for cell in filter(lambda cell: cell.role, cells):
        name = grade_id(cell)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            mend = "write its name with letters, digits, _ and - alone"
            raise CourseError(f"{place(path, cell.line)}: nbgrader cannot call a cell {name!r}: {mend}")
        if name in lines:
            mend = "give each a name of its own" if "name" in cell.about else "remove one"
            raise CourseError(
                f"{place(path, cell.line)}: nbgrader would call this cell {name}, as the one in line {lines[name]}: {mend}"
            )
        lines[name] = cell.line


def _refuse_wrong_former(path: Path, cells: list[SourceCell]) -> None:
    """Refuses a former name that a cell has still, or that two have had."""
    names, seen = {grade_id(cell) for cell in cells if cell.role}, set[str]()
    for cell in cells:
        if "was" not in cell.about:
            continue
        if not isinstance(cell.about["was"], str) or cell.role not in ("exercise", "grade", "question", "plot"):
            problem = "write it in quotes, beside a function, an exercise's grade cell, a question or a plot"
        elif (former := _named(cell, cell.about["was"])) in names | seen:
            taken = "still a cell here" if former in names else "what another cell was"
            problem = f"{former} is {taken}: each had its own name"
        else:
            seen.add(former)
            continue
        raise CourseError(f"{place(path, cell.line)}: was={cell.about['was']!r}: {problem}")


def grade_id(cell: SourceCell) -> str:
    """What nbgrader calls a cell, each once: an exercise may have its function's name."""
    return _named(cell, str(cell.about.get("function") or cell.about.get("name") or cell.about.get("exercise")))


def _named(cell: SourceCell, name: str) -> str:
    kind = "exercise" if cell.role == "grade" else cell.role
    return name if cell.role == "exercise" else f"{kind}-{name}"


def former(cells: Iterable[SourceCell]) -> dict[str, str]:
    """The former grade_id of each cell that has had another, by that of today."""
    return {grade_id(cell): _named(cell, cell.about["was"]) for cell in cells if "was" in cell.about}


def by_hand(paths: Iterable[Path]) -> list[SourceCell]:
    """The questions and plots of a module's sources, see `read_source`."""
    return [cell for path in paths for cell in read_source(path) if cell.by_hand]


def called(cells: Iterable[SourceCell], name: str) -> SourceCell | None:
    """The one of these questions and plots that is called so, by its own name or by nbgrader's; capitals do not count."""
    names = {known.casefold(): cell for cell in cells for known in (cell.about["name"], grade_id(cell))}
    return names.get(name.casefold())


def _jupytext() -> ModuleType:
    with without_addresses():
        return importlib.import_module("jupytext")


def _problem(cell: SourceCell) -> str:
    about = cell.about
    unread = about.get("incorrectly_encoded_metadata", "")
    if "role" in unread:
        return f'its settings {unread} cannot be read: write texts in quotes, role="check" exercise="…"'
    if cell.role and cell.role not in ROLES:
        return f"unknown role {cell.role!r}; there are {', '.join(sorted(ROLES))}"
    needs = {
        "exercise": ["function"],
        "check": ["exercise"],
        "grade": ["exercise"],
        "question": ["name", "points"],
        "plot": ["name", "points"],
    }.get(cell.role, [])
    for setting in needs:
        if setting not in about:
            return f"role {cell.role!r} needs {setting}=…"
    if cell.folded and (cell.kind != "code" or cell.role == "exercise"):
        return "folded=true hides a cell's code until it is asked for: take it from text, and from what students write"
    if cell.by_hand and (problem := points_problem(about["points"])):
        return problem
    if cell.role == "exercise" and not _definitions(about["function"], cell.solution):
        return _why_undefined(about["function"], cell.solution)
    regions = len(REGION.findall(cell.text))
    if cell.role in ("exercise", "question") and regions != 1 and not (regions and cell.is_class):
        return f"needs one ### BEGIN SOLUTION … ### END SOLUTION region, has {regions}"
    if cell.role == "plot" and regions:
        return (
            "" if all(line.startswith("#") for line in cell.solution_lines()) else "a plot's region holds comments only"
        )
    if cell.role not in ("exercise", "question") and (regions or "SOLUTION" in cell.text):
        return "has a solution region, but no role that takes one"
    if cell.role == "exercise" and cell.is_class and not all(map(is_stub, _definitions(about["function"], cell.stub))):
        return f"what students get of {about['function']} says something already: put all that its methods do into regions"
    return ""


def _why_undefined(name: str, code: str) -> str:
    """Why an exercise's cell has no definition of `name` at the left edge."""
    inner = name.rpartition(".")[2]
    outer = [one for statement in parse([Cell(0, code)])[0] for one in around(inner, statement.node)]
    if outer:
        return f'defines {inner} inside {outer[0]}: move it out, to the left edge of its cell, as function="{inner}"'
    return f"does not define {name}: write it here, or its name as it stands here"


def _definitions(name: str, code: str) -> list[ast.stmt]:
    nodes = [statement.node for statement in parse([Cell(0, code)])[0]]
    return [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name]


def exercises(cells: list[SourceCell]) -> dict[str, list[str]]:
    """The functions of each exercise, both in the notebook's order.

    Raises:
        CourseError: a function after the last grade cell, or an exercise graded twice.
    """
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    for cell in cells:
        if cell.role == "exercise":
            waiting.append(cell.about["function"])
        elif cell.role == "grade":
            if cell.about["exercise"] in found:
                raise CourseError(f"the exercise {cell.about['exercise']!r} has two grade cells")
            found[cell.about["exercise"]], waiting = waiting, []
    if waiting:
        raise CourseError(f'no grade cell follows {", ".join(waiting)}: add one with role="grade"')
    return found


def points(exercises: dict[str, list[str]], checks: list[Check]) -> dict[str, float]:
    """Points are written once, with the checks; an exercise is worth the sum of its functions' checks."""
    return {
        exercise: sum(check.points for check in checks if check.function in functions)
        for exercise, functions in exercises.items()
    }


def functions(cells: list[SourceCell]) -> list[str]:
    """The contract's functions in the notebook's order."""
    return [name for names in exercises(cells).values() for name in names]


def classes(cells: list[SourceCell]) -> list[str]:
    """Those of the contract's functions that are classes."""
    return [cell.about["function"] for cell in cells if cell.role == "exercise" and cell.is_class]


def reference_statements(cells: list[SourceCell]) -> list[Statement]:
    """The statements of the code cells with the solutions in them."""
    return _statements(cell.solution for cell in cells if cell.kind == "code")


def stub_statements(cells: list[SourceCell]) -> list[Statement]:
    """The statements of the code cells that students get."""
    return _statements(cell.stub for cell in cells if cell.kind == "code")


def given_statements(cells: list[SourceCell]) -> list[Statement]:
    """The statements of the code cells in which students have nothing to write."""
    return _statements(cell.stub for cell in cells if cell.kind == "code" and cell.role != "exercise")


def _statements(sources: Iterator[str]) -> list[Statement]:
    statements, notes = parse(Cell(number, source) for number, source in enumerate(sources, 1))
    broken = {cell: note for cell, note in notes.items() if note.startswith("does not run")}
    if broken:
        raise CourseError("; ".join(f"code cell {cell} {note}" for cell, note in broken.items()))
    return statements
