"""One student's code, for a group of failures: shown on the report, and written as the draft of a known mistake."""

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from autograder.classes.grade import read_result, result_files
from autograder.classes.groups import UNNAMED, Group, group_of
from autograder.classes.submissions import Submission
from autograder.course.catalogue import read_catalogue
from autograder.course.course import Course, Module
from autograder.course.imports import place
from autograder.errors import CourseError, GraderFault, Unreadable
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.grader import FILES, PUBLIC
from autograder.grading.observer import Observer
from autograder.sandboxed.notebook import Cell, Code, Statement, needed, parse

TRIED = 5  # of a group's students, of whose answers the shortest is shown
SHOWN = 4000  # letters of it
LETTERS = 3  # of a part of a name; a shorter one is any word
NOBODY = "student"  # what stands in a name's place
WIDTH = 120  # of a line that is written
HINT = "to be written"  # only while the text is tried


class Answers:
    """The code of graded submissions, as it is kept: nothing runs, and a notebook that has changed since is left out.

    Args:
        notebooks: the hash of each student's notebook as it was graded.
    """

    def __init__(self, contents: Contents, submissions: Iterable[Submission], notebooks: Mapping[str, str]):
        self._submissions = {submission.student: submission for submission in submissions}
        self._notebooks, module = notebooks, contents.module
        store = Course(module.root).store
        self._reader = Observer(module.tests, FILES[PUBLIC], contents.functions, store, contents.released, workers=0)

    def code(self, student: str) -> Code | None:
        """A student's code; None where it is not kept, or the file is gone or another one."""
        submission = self._submissions.get(student)
        if submission is None or submission.problem:
            return None
        try:
            data = submission.read()
            return self._reader.read(data) if hashlib.sha256(data).hexdigest() == self._notebooks.get(student) else None
        except (GraderFault, Unreadable, OSError):
            return None

    def typical(self, group: Group) -> tuple[str, Code] | None:
        """Of the group's first students the one with the shortest answer, and their code; None where no code is kept."""
        found = [(student, code) for student in group.students[:TRIED] if (code := self.code(student))]
        return min(found, key=lambda one: len(shown(one[1], group.function)), default=None)


def shown(code: Code, function: str) -> str:
    """A student's own text of one function: its definition or, where it has none, all that its cell says."""
    defines = re.compile(rf"(?:@.*\n|#.*\n)*(?:async +)?(?:def|class) +{re.escape(function)}\b")
    texts = [text for _, _, text in code.pieces if defines.match(text)][-1:]
    texts = texts or [text for cell, _, text in code.pieces if cell == code.homes.get(function)]
    text = "\n\n".join(texts)
    return text if len(text) <= SHOWN else text[:SHOWN] + "\n…"


def name_parts(names: Iterable[str]) -> re.Pattern[str]:
    """What finds the parts of a student's names as words of a text."""
    parts = {part for name in names for part in (name, *re.split(r"[\W\d_]+", name)) if len(part) >= LETTERS}
    words = "|".join(re.escape(part) for part in sorted(parts, key=len, reverse=True)) or r"(?!)"
    return re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)


# --- the draft of a mistake -------------------------------------------------------------------------------------------


def write_draft(
    module: Module, out: Path, submissions: Iterable[Submission], name: str, names: Mapping[str, Iterable[str]]
) -> str:
    """Writes a draft mistake from a student's function of the unnamed group `name` into mistakes.py; gives its name.

    It has no hint yet, and until it has one `verify` and `grade` refuse the module in one line.

    Args:
        names: what else students are called, by student; none of it stays in the draft's texts.

    Raises:
        CourseError: there is no such group, its code is not kept, or the draft would not fit into the file, which then
            stays as it is.
    """
    group, contents = group_of(out, name), Contents(module)
    if group.kind != UNNAMED:
        raise CourseError(f"{name} is a {group.kind} that has a name: --mistake takes a group without one, as g1a2b3c")
    files = result_files(out)
    hashes = {student: read_result(files[student])["notebook_sha256"] for student in group.students[:TRIED]}
    found = Answers(contents, submissions, hashes).typical(group)
    if found is None:
        raise CourseError(f"no code of {name} is kept as it was graded: autograder grade {module.name}, then again")
    student, code = found
    path = module.tests / "mistakes.py"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    read_catalogue(path, contents.statements)  # what is wrong with the file itself is said first
    draft = _Draft(group, contents, before, name_parts({student, *names.get(student, ())}))
    try:
        definitions = draft.definitions(code)
        texts = [draft.whole(definitions, hint) for hint in (HINT, "")]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CourseError(f"{student}'s {group.function} cannot be copied ({error}): write the mistake by hand") from None
    read_catalogue(path, contents.statements, texts[0])
    write_whole(path, texts[1])
    return draft.name


class _Draft:
    """A student's function as an entry of the catalogue's text `before`."""

    def __init__(self, group: Group, contents: Contents, before: str, secret: re.Pattern[str]):
        self.group, self.contents, self.before, self.secret = group, contents, before, secret
        is_class = group.function[0].isupper()
        self.name = f"Unnamed{group.name.capitalize()}" if is_class else f"unnamed_{group.name}"
        self._theirs, _ = parse([Cell(1, before)])

    def definitions(self, code: Code) -> list[Statement]:
        """What the function needs of the student's own code: helpers, imports and itself."""
        others = {name for name in self.contents.functions if name != self.group.function}
        statements, _ = parse([Cell(cell, text) for cell, _, text in code.pieces])
        own = [statement for statement in statements if not statement.binds & others]
        return [s for s in needed(own, [self.group.function]) if not self.contents.released.says(s.text)]

    def whole(self, definitions: list[Statement], hint: str) -> str:
        """The catalogue's text with the draft; `hint` is its docstring, without one it has none."""
        own = [statement for statement in definitions if not _imports(statement)]
        read = {name for statement in own for name in statement.reads} - self._there
        imports = [line for s in definitions if _imports(s) for line in _importing(s.node, read)]
        if not any("mistake" in statement.binds for statement in self._theirs):
            imports.append("from autograder.authoring import mistake")
        names = self._renamed(own)
        texts = [self._text(statement, names, hint) for statement in own]
        if not any(text.startswith("@mistake(") for text in texts):
            raise ValueError("it is not defined by `def` or `class`")
        text = _with_imports(self.before, list(dict.fromkeys(imports)))
        return text.rstrip("\n") + "".join(f"\n\n\n{each}" for each in texts) + "\n"

    @cached_property
    def _there(self) -> set[str]:
        """The names of the file and of the notebook."""
        return {name for statement in [*self._theirs, *self.contents.statements] for name in statement.binds}

    def _renamed(self, definitions: list[Statement]) -> dict[str, str]:
        """New names for what is called as something in the file, in the notebook or in the contract."""
        bound = {name for statement in definitions for name in statement.binds}
        renamed = {name: f"_{name.strip('_')}_{self.group.name}" for name in bound & self._there}
        return renamed | {self.group.function: self.name}

    def _text(self, statement: Statement, names: dict[str, str], hint: str) -> str:
        node: Any = _Renamer(names, self.secret).visit(ast.parse(statement.text).body[0])
        if getattr(node, "name", "") != self.name:
            return ast.unparse(node)
        node.body = (node.body[1:] if ast.get_docstring(node) is not None else node.body) or [ast.Pass()]
        if hint:
            node.body = [ast.Expr(ast.Constant(hint)), *node.body]
        return f"{_mark(self.group)}\n{ast.unparse(ast.fix_missing_locations(node))}"


def _mark(group: Group) -> str:
    """The decorator, in one line where it fits."""
    checks = [f'"{check}"' for check in group.checks]
    caught_by = checks[0] if len(checks) == 1 else f"({', '.join(checks)})"
    line = f'@mistake(of="{group.function}", caught_by={caught_by})'
    if len(line) <= WIDTH:
        return line
    rows = "".join(f"        {check},\n" for check in checks)
    return f'@mistake(\n    of="{group.function}",\n    caught_by=(\n{rows}    ),\n)'


class _Renamer(ast.NodeTransformer):
    """Gives global names their new ones, and takes a student's names out of all texts; comments are gone by themselves."""

    def __init__(self, names: dict[str, str], secret: re.Pattern[str]):
        self.names, self.secret = names, secret

    def visit(self, node: ast.AST) -> Any:
        for field in ("id", "name"):
            if getattr(node, field, None) in self.names:
                setattr(node, field, self.names[getattr(node, field)])
        if isinstance(node, (ast.arg, ast.keyword)) and node.arg in self.names:
            raise ValueError(f"{node.arg} names a parameter and something else too")
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self.names.get(name, name) for name in node.names]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = self.secret.sub(NOBODY, node.value)
        return self.generic_visit(node)


def _imports(statement: Statement) -> bool:
    return isinstance(statement.node, (ast.Import, ast.ImportFrom))


def _importing(node: ast.stmt, names: set[str]) -> list[str]:
    """What of an import statement gives one of `names`."""
    assert isinstance(node, (ast.Import, ast.ImportFrom))
    aliases = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in names]
    if isinstance(node, ast.Import):
        return [ast.unparse(ast.Import([alias])) for alias in aliases]
    return [ast.unparse(ast.ImportFrom(node.module, [alias], node.level)) for alias in aliases]


def _with_imports(text: str, imports: list[str]) -> str:
    """The text with further imports below those that it has, or above all else but its docstring."""
    if not imports:
        return text
    body = ast.parse(text).body
    own = [node for node in body if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)]
    ends = [node.end_lineno for node in own] or [node.end_lineno for node in body[:1] if isinstance(node, ast.Expr)]
    lines, at = text.splitlines(), (ends or [0])[-1]
    return "\n".join([*lines[:at], *imports, *lines[at:]])


def drafted(module: Module, name: str) -> list[str]:
    """What to do next about the draft `name`."""
    where = place(module.tests / "mistakes.py")
    return [
        f"{where}: {name} is written. Make it small, and give it a docstring: the hint that students read.",
        f"Then: autograder verify {module.name}, autograder release {module.name}, autograder grade {module.name}",
    ]
