"""`autograder import NOTEBOOK`: an nbgrader assignment's source notebook becomes a module.

What students write becomes exercises (old_solutions.py), what grades them probes and checks (old_tests.py), what people
grade questions and plots. Two mistakes are made for each function, so that every check is needed by one. The reference is
tried before anything is put in place: a test that fails on the notebook's own solution is the author's to mend.
"""

import ast
import base64
import keyword
import pprint
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from autograder.authors.new import new_folders
from autograder.authors.old_notebook import OldCell, read_notebook
from autograder.authors.old_solutions import YOUR_CODE, pieces_of, without_regions
from autograder.authors.old_tests import Part, Written, as_python, parts_of, quoted, title_of
from autograder.course.course import Course, Module
from autograder.defaults import VERIFY_SEED
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.gate import require_sound
from autograder.grading.grader import Grader
from autograder.grading.judge import PASSED
from autograder.grading.observer import Observer
from autograder.sandboxed.notebook import DEFINITIONS, Cell, Statement, needed, parse
from autograder.sandboxed.recording import Error, Other, Tensor

RANDOM_ID = re.compile(r"cell-[0-9a-f]{8,}")  # what nbgrader calls a cell that nobody named
BESIDE = re.compile(r"""(?P<before>\]\(|\bsrc=["']|["'])(?P<name>[\w./ -]+\.\w+)(?=[)"'])""")  # a file's name, in text or code
MAX_ANSWER = 2000  # letters of a stand-in's answer
HOW = "write one call a line, `assert f(arguments) == value`, in the notebook and import it again, or a probe of your own"


@dataclass
class Imported:
    """What an import gave: the files, what is `weaker` than it could be, what was `left_out`, and what else to know."""

    name: str
    files: list[Path] = field(default_factory=list)
    weaker: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _New:
    """A cell of the new source; with the role `test` a place where there was a test cell."""

    kind: str
    text: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Asked:
    """A part of a test cell with its names, its points, the function it is about and those that stand in for others."""

    cell: OldCell
    part: Part
    name: str
    title: str
    points: float
    function: str
    beside: list[str]
    answers: dict[str, dict[str, str]] = field(default_factory=dict)


def import_notebooks(course: Course, paths: list[Path], name: str | None = None) -> Imported:
    """Makes `source/<name>/` and `tests/<name>/` of an assignment's notebooks, one behind the other.

    Args:
        name: the module's; by default the notebook's, or their folder's where there are several.

    Raises:
        CourseError: the notebook cannot be imported, its solution fails its own tests, or there is such a module already;
            in one line, and nothing is written.
    """
    whose = paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name
    name = name or re.sub(r"[^a-z0-9]+", "_", whose.lower()).strip("_")
    folders = new_folders(course, name)
    draft = _Draft(whose, [cell for path in paths for cell in read_notebook(path)])
    done = draft.done = Imported(name)
    draft.read()
    with tempfile.TemporaryDirectory(dir=course.root, prefix=".import-") as scratch:
        module = Module(Path(scratch), name)
        draft.write(module)
        draft.try_out(module)
        for kind, folder in folders.items():
            folder.parent.mkdir(exist_ok=True)
            Path(scratch, kind, name).rename(folder)
    done.files = sorted(path for folder in folders.values() for path in folder.rglob("*") if path.is_file())
    return done


class _Draft:
    """The module as it comes about."""

    def __init__(self, title: str, cells: list[OldCell]):
        self.title, self.cells, self.done = title, cells, Imported("")
        self.new: list[_New] = []
        self.data: dict[str, bytes] = {}
        self.written = Written([], [], {})
        self.asked: list[_Asked] = []
        self.reached: dict[str, set[str]] = {}

    # --- what the notebook holds

    def read(self) -> None:
        """All cells, then the exercises' tests, which may ask any function."""
        for cell in self.cells:
            text = self._with_files(cell)
            if cell.by_hand:
                self.new.append(self._by_hand(cell, text))
            elif cell.written:
                self._solution(cell, text)
            elif cell.tests:
                self.new.append(_New("code", text, {"role": "test"}))
            else:
                self.new.append(_New("code" if cell.kind == "code" else "markdown", text))
        self._tests()
        self._place_grades()
        self._first_cells()

    def _with_files(self, cell: OldCell) -> str:
        """The cell's text, in which pictures and files beside the notebook lie in `data/`, to which they are taken."""
        text = cell.text
        for name, content in cell.pictures.items():
            self.data[name] = base64.b64decode(next(iter(content.values())))
            text = text.replace(f"attachment:{name}", f"data/{name}")

        def moved(found: re.Match[str]) -> str:
            name = found["name"].strip()
            file = cell.path.parent / name
            if name.startswith("/") or ".." in Path(name).parts or not file.is_file() or file.suffix == ".ipynb":
                return found[0]
            self.data[name.removeprefix("data/")] = file.read_bytes()
            return found["before"] + (name if name.startswith("data/") else f"data/{name}")

        return BESIDE.sub(moved, text)

    def _by_hand(self, cell: OldCell, text: str) -> _New:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", cell.about["grade_id"])
        points = int(cell.points) if cell.points.is_integer() else cell.points
        if cell.kind == "code":
            return _New("code", self._model_code(cell, text), {"role": "plot", "name": name, "points": points})
        kind = "MARK SCHEME" if cell.about.get("task") else "SOLUTION"
        region = re.compile(rf"^.*BEGIN {kind}.*\n(?P<body>(?:.*\n)*?).*END {kind}.*$", re.MULTILINE)
        found = list(region.finditer(text))
        rest = region.sub("", text).strip("\n") if found or kind != "SOLUTION" else ""
        model = "\n".join(one["body"].strip("\n") for one in found) if found or rest else text
        model = model.strip("\n") or "No model answer was written."
        region_text = f"### BEGIN SOLUTION\n{model}\n### END SOLUTION"
        text = f"{rest}\n\n{region_text}" if rest else region_text
        return _New("markdown", text, {"role": "question", "name": name, "points": points})

    def _model_code(self, cell: OldCell, text: str) -> str:
        """What is given, and the model answer as the rubric, in comments; nothing that it defines is there for other cells."""
        code, region = without_regions(text)
        lines = code.split("\n")
        given = [line for number, line in enumerate(lines, 1) if number not in region]
        model = [f"# {line}".rstrip() for number, line in enumerate(lines, 1) if number in region]
        makes = sorted({name for s in parse([Cell(0, code)])[0] for name in s.binds})
        later = [c for c in self.cells if c.number > cell.number and c.kind == "code" and not c.by_hand]
        for other in later:
            if names := {n for s in parse([Cell(0, as_python(other.text))])[0] for n in s.reads} & set(makes):
                raise CourseError(
                    f"{other.where}: it needs {', '.join(sorted(names))} of {cell.where}, which people grade and "
                    "whose code becomes their rubric: make it an autograded answer, or take the name out here"
                )
        return "\n".join([*given, YOUR_CODE, "### BEGIN SOLUTION", *model, "### END SOLUTION"]).lstrip("\n")

    def _solution(self, cell: OldCell, text: str) -> None:
        """A cell that students write: functions, and a function for all else that it makes."""
        pieces = pieces_of(text, self._name(cell, "answer"), self.written.values)
        if not any(piece.function for piece in pieces):
            what = "its solution defines and makes nothing that a test could ask"
            mend = "put it into a function that returns something, or let people grade it (`Manually graded answer`)"
            self.done.left_out.append(f"{cell.where}: {what}: {mend}")
            pieces_text = "\n".join(p.text for p in pieces)
            self.new.append(_New("code", f"{pieces_text}\n{YOUR_CODE}".lstrip("\n")))
            return
        for piece in pieces:
            if not piece.function:
                self.new.append(_New("code", piece.text))
                continue
            if piece.function in self.written.functions:
                raise CourseError(f"{cell.where}: {piece.function} is written in two cells: leave one")
            self.written.functions.append(piece.function)
            self.written.classes.extend([piece.function] if piece.is_class else [])
            self.new.append(_New("code", piece.text, {"role": "exercise", "function": piece.function}))
            if piece.values:
                what = f"its code outside any function became the function {piece.function}, which gives"
                self.done.remarks.append(f"{cell.where}: {what} {', '.join(piece.values)}: say so in the text above it")
            if piece.framed:
                what = f"what was given inside {piece.function} became a comment there, for a stub says nothing yet"
                self.done.remarks.append(f"{cell.where}: {what}")

    def _name(self, cell: OldCell, otherwise: str) -> str:
        """The cell's ID as a name in Python."""
        name = re.sub(r"\W+", "_", cell.about["grade_id"]).strip("_").removeprefix("test_")
        unfit = RANDOM_ID.fullmatch(cell.about["grade_id"]) or not name.isidentifier() or keyword.iskeyword(name)
        taken = any(name in s.binds for other in self.cells if other.kind == "code" for s in _statements(other.text))
        return f"{otherwise}_{cell.number}" if unfit or taken else name

    # --- what grades it

    def _tests(self) -> None:
        given: list[Statement] = []
        for cell in self.cells:
            if cell.kind != "code" or cell.by_hand or cell.written:
                continue
            text = as_python(self._with_files(cell)) if cell.tests else self._with_files(cell)
            if cell.tests:
                self._test(cell, given)
            kept = (ast.Import, ast.ImportFrom, ast.Assign, *DEFINITIONS) if cell.tests else ast.stmt
            given += [s for s in _statements(text) if isinstance(s.node, kept)]

    def _test(self, cell: OldCell, given: list[Statement]) -> None:
        parts = parts_of(self._with_files(cell), self.written, given)
        name = self._name(cell, "cell")
        for part in parts:
            if not part.asks:
                parts = []
        if not parts:
            what = f"it asks nothing that a student writes in an exercise, and nobody gets its points ({cell.points:g})"
            self.done.left_out.append(f"{cell.where}: {what}: test a function of a solution cell")
            return
        if len(parts) > 1:
            self.done.remarks.append(f"{cell.where}: of its points ({cell.points:g}) one half is public, one half hidden")
        for part in parts:
            own = name if part.public or len(parts) == 1 else f"{name}_hidden"
            title = title_of(cell.text) or f"What cell {cell.number} of {cell.path.name} asserts."
            asked = _Asked(cell, part, own, title, cell.points / len(parts), part.asks[-1], [])
            self.asked.append(asked)
            if part.weak:
                what = f"{cell.where} stays as it is and runs beside the student's code, which may fool it"
                self.done.weaker.append(f"{what} ({part.weak}): {HOW}")
            elif part.beside:
                what = f"{part.beside} assertions of {cell.where} are decided beside the student's code"
                self.done.weaker.append(f"{what}: compare a value by ==, or judge what the probe returns in the check")

    # --- the source

    def _place_grades(self) -> None:
        """A grade cell where the last test cell before the next exercise was; the other test cells go."""
        placed: list[_New] = []
        waiting: list[str] = []
        last = None
        for cell in [*self.new, _New("", "", {"role": "exercise", "function": ""})]:
            role = cell.about.get("role")
            if role == "exercise" and waiting and (last is not None or not cell.kind):
                at = len(placed) if last is None else last
                about = {"role": "grade", "exercise": waiting[0]}
                placed.insert(at, _New("code", f'check("{waiting[0]}")', about))
                waiting, last = [], None
            if role == "exercise":
                waiting.append(cell.about["function"])
            if role == "test":
                last = len(placed)
            else:
                placed.append(cell)
        self.new = placed[:-1]

    def _first_cells(self) -> None:
        """A title, and the import of `check`."""
        for cell in self.cells:
            if cell.kind == "code" and any("check" in s.binds for s in _statements(cell.text)):
                raise CourseError(f"{cell.where}: it binds the name check, by which students run checks: rename it")
        if self.new[0].kind != "markdown":
            self.new.insert(0, _New("markdown", f"# {self.title}"))
        self.new.insert(1, _New("code", "from autograder import check"))

    def source_text(self) -> str:
        """The notebook in py:percent form."""
        make: dict[str, Any] = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
        cells = [make[cell.kind](cell.text, metadata=cell.about) for cell in self.new]
        filters = {"notebook_metadata_filter": "-all", "cell_metadata_filter": "role,function,exercise,name,points,-all"}
        notebook: Any = nbformat.v4.new_notebook(cells=cells, metadata={"jupytext": filters})
        return str(jupytext.writes(notebook, fmt="py:percent"))

    # --- the files

    def write(self, module: Module) -> None:
        """The notebook, its data and the files of `tests/`, as far as they are known before the reference was asked."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", self.title)
        write_whole(module.folder / f"{stem}.py", self.source_text())
        for name, content in self.data.items():
            write_whole(module.folder / "data" / name, content)
        write_whole(module.tests / "__init__.py", f'"""{module.name}, imported from an assignment of nbgrader\'s."""\n')
        write_whole(module.tests / "alternatives.py", ALTERNATIVES)
        for function, statements in self._reach(Contents(module)).items():
            self.reached[function] = {n for s in statements for n in s.binds} & set(self.written.functions) - {function}
        for asked in self.asked:
            others = (self.reached.get(asked.function, set()) | set(asked.part.asks)) - {asked.function}
            asked.beside = [n for n in self.written.functions if n in others and n not in self.written.classes]

    @staticmethod
    def _reach(contents: Contents) -> dict[str, list[Statement]]:
        return {name: needed(contents.statements, [name]) for name in contents.functions}

    def try_out(self, module: Module) -> None:
        """Asks the reference, writes probes and checks, and keeps those of the two mistakes that some check needs."""
        if not self.asked:
            mend = "name a notebook of the assignment that has one beside it, or write a function and a test cell for it"
            what = f"{self.cells[0].path} has no test cell for what students write: {mend}"
            raise CourseError("\n".join([what, *self.done.left_out]))
        self._ask_reference(module)
        for public in (True, False):
            kind = "public" if public else "hidden"
            mine = [asked for asked in self.asked if asked.part.public == public]
            if mine:
                write_whole(module.tests / f"probes_{kind}.py", _probes_text(mine, public))
                write_whole(module.tests / f"test_{kind}.py", _checks_text(mine, public))
        self._mistakes(module, {f: (True, True) for f in self.written.functions})
        contents = Contents(module)
        require_sound(contents)
        self._keep_needed(module)
        require_sound(Contents(module))

    def _ask_reference(self, module: Module) -> None:
        """Runs each test cell on the solution: whether it passes, and what the functions that others call gave."""
        write_whole(module.tests / "probes_public.py", _trial_text(self.asked))
        contents = Contents(module)
        about = contents.functions, None, contents.released, contents.needs
        with Observer(module.tests, "probes_public", *about, workers=1) as observer:
            recording = observer.observe(contents.reference, reference=True)
        (module.tests / "probes_public.py").unlink()
        for number, asked in enumerate(self.asked):
            observation = recording.observations[f"trial_{number}"]
            value = observation.value or {}
            error = observation.error or value.get("error")
            if isinstance(error, Error) or observation.state != "returned":
                what = f"the notebook's own solution fails it: {error or observation.state}"
                raise CourseError(f"{asked.cell.where}: {what}: mend one of the two")
            for name, arguments, answer in value.get("calls", []):
                if text := _as_literal(answer):
                    asked.answers.setdefault(name, {})[arguments] = text

    def _mistakes(self, module: Module, kinds: dict[str, tuple[bool, bool]]) -> None:
        write_whole(module.tests / "mistakes.py", _mistakes_text(kinds, self.written, self.asked))

    def _say_unrecorded(self, grader: Grader) -> None:
        """Answers of which a recording holds the type's name alone: every object of that type would be right."""
        for asked in self.asked:
            observation = grader.expected[asked.part.public].observations[asked.name]
            if kinds := sorted(set(_others(observation.value))):
                what = f"{asked.cell.where}: of an answer only the kind is recorded, {', '.join(kinds)}, and any would be right"
                mend = f"have the probe {asked.name} return numbers, texts, lists or arrays of it"
                self.done.weaker.append(f"{what}: {mend}")

    def _keep_needed(self, module: Module) -> None:
        """Of the two mistakes of each function the second only where a check needs it."""
        caught: dict[str, set[str]] = {}
        costs: dict[str, set[str]] = {}
        with Grader(module, VERIFY_SEED, workers=1) as grader:
            self._say_unrecorded(grader)
            for entry in grader.contents.mistakes:
                graded = {
                    f: grader.grade(grader.contents.code(entry), f, hints=False)
                    for f in self.written.functions
                    if f == entry.of or entry.of in self.reached[f]
                }
                lost = {f: {v.check for v in one.verdicts if v.state != PASSED} for f, one in graded.items()}
                caught[entry.name] = lost[entry.of]
                costs[entry.name] = {f for f, checks in lost.items() if checks and f != entry.of}
        kinds = {}
        for function in self.written.functions:
            nothing, raising = (_mistake_name(function, kind) for kind in (0, 1))
            fit = [bool(caught[one]) and not costs[one] for one in (nothing, raising)]
            kinds[function] = (fit[0], fit[1] and bool(caught[raising] - (caught[nothing] if fit[0] else set())))
            kept = {c for one, keep in zip((nothing, raising), kinds[function], strict=True) if keep for c in caught[one]}
            for asked in self.asked:
                if asked.function == function and f"test_{asked.name}" not in kept:
                    others = ", ".join(sorted(costs[nothing] | costs[raising]))
                    why = f"the mistakes made by rule also cost {others}" if others else "no mistake made by rule fails it"
                    mend = f"write one for test_{asked.name} in mistakes.py, which `autograder verify` asks for"
                    self.done.weaker.append(f"{asked.cell.where}: {why}: {mend}")
        self._mistakes(module, kinds)


def _others(value: Any) -> list[str]:
    """The types in a recorded value of which no recording carries more than the name."""
    parts = [*value.values()] if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    own = [value.type] if isinstance(value, Other) else []
    return [*own, *(name for part in parts for name in _others(part))]


def _statements(text: str) -> list[Statement]:
    return parse([Cell(0, text)])[0]


# --- the texts --------------------------------------------------------------------------------------------------------


def _trial_text(asked: list[_Asked]) -> str:
    """Probes that ask the reference alone, and are not kept."""
    parts = [TRIAL]
    for number, one in enumerate(asked):
        beside = ", ".join(f'{name}=noted(calls, "{name}", student.{name})' for name in one.beside)
        parts.append(
            f'\n\n@probe("{one.function}")\ndef trial_{number}(student, draw):\n    calls = []\n'
            f"    with student.replaced({beside}):\n"
            f"        error = attempt(lambda: student.runs({one.part.text!r}, AUTOTEST=nothing, HASHED_AUTOTEST=nothing))\n"
            '    return {"error": error, "calls": calls}\n'
        )
    return "".join(parts)


TRIAL = '''\
import copy

from autograder.authoring import attempt, probe


def nothing(value):
    pass


def noted(calls, name, own):
    def call(*args):
        arguments = repr(args)
        answer = own(*args)
        calls.append([name, arguments, copy.deepcopy(answer)])
        return answer

    return call
'''


def _as_literal(value: Any) -> str:
    """A recorded value as Python; empty where it is none that can be written down, or long."""
    if isinstance(value, Tensor):
        text = _as_array(value)
    else:
        text = repr(value)
        try:
            if ast.literal_eval(text) != value:
                text = ""
        except (ValueError, SyntaxError, RecursionError):
            text = ""
    return text if len(text) <= MAX_ANSWER else ""


def _as_array(value: Tensor) -> str:
    items = value.array.tolist()
    if not re.fullmatch(r"[\d\s.,e+\-\[\]TrueFals]*", repr(items)):  # inf and nan
        return ""
    if value.kind == "ndarray":
        return f'np.array({items}, dtype="{value.dtype}")' + ("[()]" if value.shape == () else "")
    return f"torch.tensor({items}, dtype=torch.{value.dtype})"


def _probes_text(asked: list[_Asked], public: bool) -> str:
    kind = "Public" if public else "Hidden"
    about = (
        f'"""{kind} probes, from nbgrader\'s test cells: what the student\'s functions are asked, in the sandbox.\n\n'
        "The arguments are those of the cells, written down and so the same in every class. A probe that draws some by `draw`\n"
        'cannot be answered from a list.\n"""\n'
    )
    answers: dict[str, dict[str, str]] = {}
    for one in asked:
        for name, known in one.answers.items():
            answers.setdefault(name, {}).update(known)
    tables = "".join(_table(name, known) for name, known in answers.items())
    bodies = "".join(map(_probe_text, asked))
    above = [line for one in asked if not one.part.weak for line in one.part.above]
    for package, line in (("np.array", "import numpy as np"), ("torch.tensor", "import torch")):
        above += [line] if package in tables else []
    names = [name for name in ("attempt", "probe") if f"{name}(" in bodies]
    futures = [line for line in above if "__future__" in line]
    others = sorted(set(above) - set(futures))
    imports = [*dict.fromkeys(futures), *others, *([""] if others else [])]
    return "\n".join([about, *imports, f"from autograder.authoring import {', '.join(names)}", ""]) + tables + bodies


def _table(name: str, known: dict[str, str]) -> str:
    lines = "".join(f"    {quoted(arguments)}: {answer},\n" for arguments, answer in known.items())
    return (
        f"\n# What `{name}` gives where others call it, by its arguments, so that a wrong one costs them nothing. These are\n"
        f"# right answers: a stand-in of your own (`student.replaced({name}=…)`) tells nobody any.\n"
        f"{_constant(name)} = {{\n{lines}}}\n"
    )


def _constant(name: str) -> str:
    return f"{name.upper()}_ANSWERS"


def _probe_text(one: _Asked) -> str:
    """The probe of a part of a test cell."""
    head = f'\n\n@probe("{one.function}")\ndef {one.name}(student, draw):\n'
    stand_ins = ", ".join(f"{name}={_constant(name)}" for name in one.answers)
    wrap = f"    with student.answered({stand_ins}):\n" if stand_ins else ""
    indent = "        " if wrap else "    "
    if not one.part.weak:
        lines = "\n".join(indent + line if line else "" for line in one.part.lines)
        return f"{head}    seen = {{}}\n{wrap}{lines}\n    return seen\n"
    code = f"{one.name.upper()}_CELL"
    text = "\n".join(line.rstrip() for line in one.part.text.strip("\n").split("\n"))
    literal = f"r'''\n{text}\n'''" if "'''" not in text and not text.endswith("\\") else pprint.pformat(text, width=110)
    says = (
        f"\n\n# WEAKER than a probe: the cell stays as it was, since no rule takes it apart ({one.part.weak}).\n"
        f"# It runs beside the student's code, which may make it pass. To strengthen it, return here what the functions give\n"
        f"# (`student.{one.function}(…)`), and compare that with the reference's in the check.\n{code} = {literal}\n"
    )
    if "AUTOTEST(" not in text:
        return f"{says}{head}{wrap}{indent}return attempt(lambda: student.runs({code}))\n"
    run = f"attempt(lambda: student.runs({code}, AUTOTEST=seen.append, HASHED_AUTOTEST=seen.append))"
    return f'{says}{head}    seen = []\n{wrap}{indent}raised = {run}\n    return {{"raised": raised, "seen": seen}}\n'


def _checks_text(asked: list[_Asked], public: bool) -> str:
    kind = "Public" if public else "Hidden"
    about = f'"""{kind} checks, from nbgrader\'s test cells: what students gave is compared with the reference\'s."""\n'
    bodies = "".join(map(_check_text, asked))
    names = [name for name in ("Error", "check", "equal", "require", "same") if re.search(rf"\b{name}\b[(,)]", bodies)]
    return f"{about}\nfrom autograder.authoring import {', '.join(names)}\n{bodies}"


def _check_text(one: _Asked) -> str:
    title = one.title.replace("\\", "").replace('"', "'")
    points = int(one.points) if float(one.points).is_integer() else one.points
    head = (
        f'\n\n@check("{one.function}", points={points})\ndef test_{one.name}(observed, expected):\n    """{title}"""\n'
    )
    if not one.part.weak:
        return head + "".join(_judging(line.replace("PROBE", one.name), keys) for line, keys in one.part.judges)
    seen = f"observed.{one.name}"
    raised = f'{seen}["raised"]' if "AUTOTEST(" in one.part.text else seen
    lines = f"    raised = {raised}\n"
    lines += '    require(raised is None, "the test cell", "that it runs through", raised)\n'
    if "AUTOTEST(" in one.part.text:
        lines += f'    equal({seen}["seen"], expected.{one.name}["seen"], "the test cell")\n'
    return head + lines


def _judging(line: str, keys: list[str]) -> str:
    inside = ", ".join(keys)
    listed = f"[{inside}]" if len(inside) < 90 else "[\n" + "".join(f"        {key},\n" for key in keys) + "    ]"
    return f"    for asked in {listed}:\n{textwrap.indent(line, ' ' * 8)}\n"


ALTERNATIVES = '"""Right answers in other styles: each must get full marks. Write some, as unlike the reference as can be."""\n'
HINTS = (
    ("gives_nothing", "It gives nothing: `return` what is asked for.", "    return None\n"),
    (
        "always_raises",
        "It raises an exception whatever it is given. Call it in a cell of its own, and read the last line that it prints.",
        '    raise RuntimeError("not that way")\n',
    ),
)


def _mistake_name(function: str, kind: int) -> str:
    return f"{function}_{HINTS[kind][0]}"


def _mistakes_text(kinds: dict[str, tuple[bool, bool]], written: Written, asked: list[_Asked]) -> str:
    """The mistakes that are wanted of each function."""
    parts = [
        '"""Known mistakes: the docstring is the hint of a student whose answers agree with the mistake\'s.\n\n'
        "These two are made by rule, so that each check is needed by one. The ones worth having are those that your students\n"
        'make: write them down.\n"""\n\nfrom autograder.authoring import mistake\n'
    ]
    for function, wanted in kinds.items():
        checks = tuple(f"test_{one.name}" for one in asked if one.function == function)
        for kind in (kind for kind, one in enumerate(wanted) if one and checks):
            parts.append(_mistake_text(function, kind, checks, function in written.classes))
    return "".join(parts)


def _mistake_text(function: str, kind: int, checks: tuple[str, ...], is_class: bool) -> str:
    _, hint, body = HINTS[kind]
    caught = repr(checks[0]) if len(checks) == 1 else repr(checks)
    head = f"\n\n@mistake(of={function!r}, caught_by={caught})\n".replace("'", '"')
    name = _mistake_name(function, kind)
    if not is_class:
        return f'{head}def {name}(*args, **kwargs):\n    """{hint}"""\n{body}'
    if kind:
        return f'{head}class {name}:\n    """{hint}"""\n\n    def __init__(self, *args, **kwargs):\n    {body}'
    return (
        f'{head}class {name}:\n    """{hint}"""\n\n    def __init__(self, *args, **kwargs):\n        pass\n\n'
        "    def __getattr__(self, name):\n        return lambda *args, **kwargs: None\n"
    )


def listed(done: Imported) -> Iterator[str]:
    """What to say of an import, a line each, the worst last."""
    yield from _each("note", done.remarks)
    yield from _each("weaker", done.weaker)
    yield from _each("left out", done.left_out)


def _each(what: str, lines: Iterable[str]) -> Iterator[str]:
    return (f"{what}: {line}" for line in lines)
