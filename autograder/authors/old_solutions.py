"""A solution cell of nbgrader's, turned into exercises: one function, or class, with one solution region each."""

import ast
import re
import textwrap
from dataclasses import dataclass

from autograder.sandboxed.notebook import DEFINITIONS, Cell, Statement, parse

YOUR_CODE = "# YOUR CODE HERE"  # what nbgrader puts in a region's place
MARK = re.compile(r"^.*(?:BEGIN|END) SOLUTION.*$")


@dataclass
class Piece:
    """A cell of the new source: code that is given, or an exercise of `function`.

    Args:
        values: of an exercise made of code outside any function, the names whose values it gives.
        framed: whether code that was given around the region became a comment.
    """

    text: str
    function: str = ""
    is_class: bool = False
    values: tuple[str, ...] = ()
    framed: bool = False


def without_regions(text: str) -> tuple[str, set[int]]:
    """The text without the regions' marks, and which of its lines, from 1, stand in one; all where there is no mark.

    Of an empty region in a function the line above stands for it.
    """
    lines, inside, marked, begun, region = list[str](), False, False, 0, set[int]()
    for line in text.split("\n"):
        if MARK.match(line):
            if inside and len(lines) == begun and line[:1].isspace():
                region.add(begun)
            inside, marked, begun = "BEGIN SOLUTION" in line, True, len(lines)
            continue
        lines.append(line)
        region |= {len(lines)} if inside else set()
    return "\n".join(lines), region if marked else set(range(1, len(lines) + 1))


def pieces_of(text: str, name: str, known: dict[str, str]) -> list[Piece]:
    """The new cells for a solution cell.

    Args:
        name: what a function is called that is made of code outside any.
        known: the values that earlier cells give, and their functions; ones from here are put in.
    """
    code, region = without_regions(text)
    lines, pieces, given, loose = code.split("\n"), list[Piece](), list[str](), list[Statement]()
    at = 1
    for statement in parse([Cell(0, code)])[0]:
        end = statement.line + len(statement.text.split("\n")) - 1
        above = [line for number, line in enumerate(lines[at - 1 : statement.line - 1], at) if number not in region]
        inside = region & set(range(statement.line, end + 1))
        if isinstance(statement.node, (ast.FunctionDef, ast.ClassDef)) and inside:
            pieces += _given([*given, *above])
            given = []
            pieces.append(_exercise(statement, inside))
        elif inside and not isinstance(statement.node, (ast.Import, ast.ImportFrom)):
            given += above
            loose.append(statement)
        else:
            given += [*above, *statement.text.split("\n")]
        at = end + 1
    pieces += _given([*given, *(line for number, line in enumerate(lines[at - 1 :], at) if number not in region)])
    if loose:
        pieces += _values(loose, name, known)
    return pieces


def _given(lines: list[str]) -> list[Piece]:
    text = "\n".join(lines).strip("\n")
    return [Piece(text)] if text.strip() else []


# --- functions and classes --------------------------------------------------------------------------------------------


def _exercise(statement: Statement, region: set[int]) -> Piece:
    """The function or class with its bodies as solution regions, each of them whole: a stub says nothing yet."""
    node, text = statement.node, statement.text
    assert isinstance(node, (ast.FunctionDef, ast.ClassDef))
    offset = statement.line - 1
    if any(function.body[0].lineno == function.lineno for function in _functions(text)):  # `def f(x): return x`
        text, region, offset = ast.unparse(ast.parse(text)), set(range(1, 10_000)), 0
    lines, framed = text.split("\n"), False
    for function in reversed(_functions(text)):
        start, end = _body(function)
        inside = {number - offset for number in region}
        body = list(enumerate(lines[start - 1 : end], start))
        new, has_frame = _region(body, inside)
        lines[start - 1 : end] = new
        framed = framed or has_frame
    return Piece("\n".join(lines), node.name, isinstance(node, ast.ClassDef), framed=framed)


def _functions(text: str) -> list[ast.FunctionDef]:
    """The function that is defined, or the methods of the class."""
    node = ast.parse(text).body[0]
    parts = node.body if isinstance(node, ast.ClassDef) else [node]
    return [part for part in parts if isinstance(part, ast.FunctionDef)]


def _body(function: ast.FunctionDef) -> tuple[int, int]:
    """The first and the last line of what a function does, behind its docstring."""
    first = function.body[0]
    says = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    end = function.end_lineno or function.lineno
    if says:
        return (first.end_lineno or first.lineno) + 1, end
    head = max([function.lineno, *((one.end_lineno or 0) for one in ast.walk(function.args) if hasattr(one, "end_lineno"))])
    head = max(head, getattr(function.returns, "end_lineno", 0) or 0)
    return min(first.lineno, head + 1), end


def _region(body: list[tuple[int, str]], inside: set[int]) -> tuple[list[str], bool]:
    """A body's lines as one region; what was given around the old one stands above it as a comment."""
    code = [line for _, line in body if line.strip()]
    indent = re.match(r"\s*", code[0])[0] if code else "    "  # type: ignore[index]
    frame = [(number, line) for number, line in body if number not in inside and line.strip()]
    is_code = any(not line.strip().startswith("#") for _, line in frame)
    lines = [f"{indent}{line.strip()}" for _, line in frame] if not is_code else []
    if is_code:
        width, shown = len(indent), [f"{indent}# Given:"]
        for number, line in body:
            if number not in inside and line.strip():
                shown.append(f"{indent}#     {line[width:].rstrip()}")
            elif number in inside and shown[-1].strip() != f"#     {YOUR_CODE}":
                shown.append(f"{indent}#     {YOUR_CODE}")
        lines = shown
    kept = [line for number, line in body if is_code or number in inside or not line.strip()]
    rest = [line for line in kept if line.strip()] and kept or [f"{indent}pass"]
    return [*lines, f"{indent}{YOUR_CODE}", f"{indent}### BEGIN SOLUTION", *rest, f"{indent}### END SOLUTION"], is_code


# --- code outside any function ----------------------------------------------------------------------------------------


def _values(loose: list[Statement], name: str, known: dict[str, str]) -> list[Piece]:
    """A function that does what the cell did and gives the values it made, and a cell that takes them from it."""
    names = [n for n in dict.fromkeys(n for s in loose for n in _bound(s.node)) if not n.startswith("_")]
    if not names:
        return []
    reads = {n for s in loose for n in s.reads}
    taken = [f'{n} = {giver}()["{n}"]' for n, giver in known.items() if n in reads]
    body = "\n".join([*taken, *(s.text for s in loose)])
    given = ", ".join(f'"{n}": {n}' for n in names)
    listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    lines = [
        f"def {name}():",
        f'    """Gives a dict with {listed}."""',
        f"    {YOUR_CODE}",
        "    ### BEGIN SOLUTION",
        _indented(body),
        f"    return {{{given}}}",
        "    ### END SOLUTION",
    ]
    known |= dict.fromkeys(names, name)
    return [Piece("\n".join(lines), name, values=tuple(names)), Piece("\n".join(f'{n} = {name}()["{n}"]' for n in names))]


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds in the cell, in its order; not those inside a definition or a comprehension."""
    if isinstance(node, DEFINITIONS):
        return [node.name]
    inner = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found: list[str] = []

    def walk(part: ast.AST) -> None:
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.append(part.id)
        for child in ast.iter_child_nodes(part) if not isinstance(part, inner) else ():
            walk(child)

    walk(node)
    return found


def _indented(code: str) -> str:
    """The code one level in; written anew where a text over several lines would change with it."""
    moved = textwrap.indent(code, "    ")
    function = ast.parse("def f():\n" + moved).body[0]
    if list(map(ast.dump, getattr(function, "body", []))) == list(map(ast.dump, ast.parse(code).body)):
        return moved
    return textwrap.indent(ast.unparse(ast.parse(code)), "    ")
