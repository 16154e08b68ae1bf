"""Mutation testing of a module's checks: small changes to right answers, each of which some check should notice.

    python benchmarks/mutants.py week08_densenet [--function NAME] [--alternatives N] [--write docs/mutants.md]

Every change of `changed` is made, one at a time, to the reference of each function and to some of its alternatives, and
graded under that function's checks alone. What has full marks survives. A survivor that is right under the contract is
listed in docs/mutants.md below the reason; any other is printed with its diff, and ends the run with status 1: mend the
checks and add a mistake, or give the reason. `--write` adds new survivors to the file, as without a reason yet.
"""

import argparse
import ast
import copy
import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from autograder.classes.demo import SEED
from autograder.course.catalogue import Entry
from autograder.course.course import Course
from autograder.defaults import WORKERS
from autograder.files import write_whole
from autograder.grading.contents import Contents
from autograder.grading.grader import Grader
from autograder.grading.judge import NOT_GRADED, PASSED
from autograder.sandboxed.notebook import Cell, Statement, needed, parse

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "mutants.md"
CELL = 2001  # a mutant's code stands behind the notebook's and the catalogue's
OPEN = "no reason yet"

Item = TypeVar("Item")
Node = TypeVar("Node", bound=ast.AST)

# What stands for another of its kind: operators, and names that are easily taken for one another.
OPERATORS: dict[type[ast.AST], list[type[ast.AST]]] = {
    ast.Eq: [ast.NotEq, ast.GtE],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.FloorDiv],
    ast.FloorDiv: [ast.Div, ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.MatMult: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
TWINS = {
    "argmax": "argmin", "sum": "mean", "mean": "sum", "max": "min", "min": "max", "train": "eval", "eval": "train",
    "no_grad": "enable_grad", "inference_mode": "enable_grad", "numel": "dim", "log_softmax": "softmax",
    "in_features": "out_features", "zeros": "ones", "range": "list", "perf_counter": "process_time", "all": "any",
    "parameters": "buffers", "named_parameters": "named_buffers", "append": "extend", "detach": "requires_grad_",
    "floor": "ceil", "round": "floor", "len": "id", "float": "int", "int": "float", "tuple": "list", "list": "tuple",
    "BILINEAR": "NEAREST", "ToTensor": "PILToTensor", "is_available": "is_built", "loss": "accuracy", "cuda": "cpu",
}  # fmt: skip
PARTS = ("list({})[1:]", "list({})[:-1]", "[*{}][:100]", "[*{}, *{}]")  # of what is gone through


@dataclass(frozen=True)
class Mutant:
    """A changed solution to `of`; `change` tells which solution and what is other than in it, in one line."""

    of: str
    change: str
    diff: str
    entry: Entry


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", default="week08_densenet")
    parser.add_argument("--function", metavar="NAME", help="of this function alone")
    parser.add_argument("--alternatives", type=int, default=1, metavar="N", help="of each function, beside the reference")
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N")
    parser.add_argument("--write", type=Path, metavar="FILE", help="add new survivors to this file")
    options = parser.parse_args()
    with Grader(Course(ROOT).module(options.module), SEED, workers=options.workers) as grader:
        functions = [options.function] if options.function else grader.contents.functions
        made = [mutant for name in functions for mutant in mutants(grader.contents, name, options.alternatives)]
        survived = survivors(grader, made, options.workers)
    known = read_kept(KEPT)
    new = [mutant for mutant in survived if known.get(mutant.change, OPEN) == OPEN]
    print(table(functions, made, survived, new))
    for mutant in new:
        print(f"\n{mutant.change}\n{mutant.diff}")
    if options.write:
        others = {change: reason for change, reason in known.items() if not any(m.change == change for m in made)}
        reasons = {mutant.change: known.get(mutant.change, OPEN) for mutant in survived}
        head = HEAD.format(module=options.module, table=table(functions, made, survived, new))
        write_kept(options.write, others | reasons, head)
    return 1 if new else 0


def survivors(grader: Grader, made: list[Mutant], workers: int) -> list[Mutant]:
    """Those of the mutants that have full marks."""
    grader.expected  # noqa: B018  the reference first

    def survives(mutant: Mutant) -> bool:
        graded = grader.grade(grader.contents.code(mutant.entry), mutant.of, hints=False)
        states = [verdict.state for verdict in graded.verdicts]
        if NOT_GRADED in states:
            raise SystemExit(f"not graded: {mutant.change}")
        unread = any(note.startswith("raised") for _, note in graded.notes)  # what answered is the reference
        return not unread and all(state == PASSED for state in states)

    with ThreadPoolExecutor(workers) as pool:
        return [mutant for mutant, full in zip(made, pool.map(survives, made), strict=True) if full]


# --- making them ------------------------------------------------------------------------------------------------------


def mutants(contents: Contents, function: str, alternatives: int) -> Iterator[Mutant]:
    """The mutants of the reference of `function` and of its first alternatives, each text once."""
    chosen = [entry for entry in contents.alternatives if entry.of == function][:alternatives]
    for entry in [reference(contents, function), *chosen]:
        for index, statement in enumerate(entry.statements):
            if not isinstance(statement.node, ast.Import | ast.ImportFrom):
                tree = _bare(statement.node)
                texts = dict.fromkeys(ast.unparse(ast.fix_missing_locations(one)) for one in changed(tree))
                yield from (_mutant(entry, index, ast.unparse(tree), text) for text in texts if text != ast.unparse(tree))


def reference(contents: Contents, function: str) -> Entry:
    """The reference of `function` as an entry of a catalogue, under another name than the contract's."""
    found = [s for s in needed(contents.statements, [function]) if function in s.binds]
    name = f"reference_of_{function}"
    renamed = re.sub(rf"\b{function}\b", name, ast.unparse(found[-1].node))
    return Entry(name, function, tuple(_parsed(renamed)))


def _parsed(text: str) -> list[Statement]:
    return parse([Cell(CELL, text)])[0]


def _mutant(entry: Entry, index: int, before: str, text: str) -> Mutant:
    lines = list(difflib.unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=1))[2:]
    gone, come = (" ⏎ ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    if gone == come:  # it has moved: what it stands behind now
        behind = next(above for above, line in zip(lines, lines[1:], strict=False) if line[0] == "+")
        come = f"… behind {behind[1:].strip()}"
    statements = (*entry.statements[:index], *_parsed(text), *entry.statements[index + 1 :])
    return Mutant(entry.of, f"`{entry.name}`: `{gone}` → `{come}`", "\n".join(lines), replace(entry, statements=statements))


def _bare(node: ast.stmt) -> ast.stmt:
    """A copy without annotations and docstrings, in which every node is there once: nothing there changes an answer."""
    tree = copy.deepcopy(node)
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, ast.arg):
            part.annotation = None
        if isinstance(part, ast.FunctionDef):
            part.returns = None
    [bare] = ast.parse(ast.unparse(tree)).body
    return bare


def changed(tree: ast.stmt) -> Iterator[ast.stmt]:
    """Copies of `tree`, each with one change. What `print` is given is left alone: its words are free."""
    parameters = [arg.arg for part in ast.walk(tree) if isinstance(part, ast.arguments) for arg in part.args]
    free = {id(word) for part in ast.walk(tree) if _prints(part) for word in ast.walk(part) if word is not part}
    for part in list(ast.walk(tree)):
        if id(part) in free:
            continue
        for field, value in ast.iter_fields(part):
            nodes = value if isinstance(value, list) else [value]
            for index, node in enumerate(nodes):
                if not isinstance(node, ast.AST) or id(node) in free or _prints(node):
                    continue
                for change in changes(node, parameters):
                    instead = [*nodes[:index], change, *nodes[index + 1 :]] if isinstance(value, list) else change
                    setattr(part, field, instead)
                    yield copy.deepcopy(tree)
                setattr(part, field, value)
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                for block in _other_orders(value):
                    setattr(part, field, block)
                    yield copy.deepcopy(tree)
                setattr(part, field, value)


def _prints(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _other_orders(block: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Neighbours exchanged, and a statement moved into the loop or context before it, or out of it."""
    yield from _swapped(block)
    for i, node in enumerate(block):
        if isinstance(node, ast.For | ast.While | ast.With):
            for n in (1, 2):
                if len(node.body) > n:
                    yield [*block[:i], _but(node, body=node.body[:-n]), *node.body[-n:], *block[i + 1 :]]
            if i + 1 < len(block):
                yield [*block[:i], _but(node, body=[*node.body, block[i + 1]]), *block[i + 2 :]]


def changes(node: ast.AST, parameters: list[str]) -> Iterator[ast.AST]:
    """What may stand in the place of `node`, in a function with these parameters."""
    if isinstance(node, ast.operator | ast.cmpop | ast.boolop):
        yield from (kind() for kind in OPERATORS.get(type(node), []))
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_values(node.value))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from (ast.Name(name, node.ctx) for name in _other_names(node.id, parameters))
    elif isinstance(node, ast.stmt):
        yield from _other_statements(node)
    elif isinstance(node, ast.expr):
        yield from _other_expressions(node)
    elif isinstance(node, ast.comprehension):
        yield from (_but(node, iter=part) for part in _parts(node.iter))
        yield from (_but(node, ifs=_without(node.ifs, i)) for i in range(len(node.ifs)))


def _other_values(value: object) -> list[bool | int | float | str]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1]
    return [value + "_"] if isinstance(value, str) else []


def _other_names(name: str, parameters: list[str]) -> list[str]:
    """The neighbours of a parameter, or the twin of a name."""
    if name in parameters:
        place = parameters.index(name)
        return parameters[max(place - 1, 0) : place] + parameters[place + 1 : place + 2]
    return [TWINS[name]] if name in TWINS else []


def _other_statements(node: ast.stmt) -> Iterator[ast.AST]:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Pass):
        yield ast.Pass()
    if isinstance(node, ast.AugAssign):
        yield ast.Assign([node.target], node.value)
    elif isinstance(node, ast.For):
        yield _but(node, body=[*node.body, ast.Break()])
        yield from (_but(node, iter=part) for part in _parts(node.iter))
    elif isinstance(node, ast.With):
        yield ast.If(ast.Constant(True), node.body, [])
    elif isinstance(node, ast.If):
        yield from (_but(node, test=ast.Constant(value)) for value in (True, False))


def _other_expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from (node.left, node.right)
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
        yield from (_but(node, elts=swapped) for swapped in _swapped(node.elts))
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Attribute) and node.attr in TWINS:
        yield _but(node, attr=TWINS[node.attr])
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value


def _other_calls(node: ast.Call) -> Iterator[ast.expr]:
    """Without the call, without one of its arguments, or with two neighbours exchanged."""
    if isinstance(node.func, ast.Attribute):
        yield node.func.value
    if len(node.args) == 1:
        yield node.args[0]
    yield from (_but(node, keywords=_without(node.keywords, i)) for i in range(len(node.keywords)))
    yield from (_but(node, args=_without(node.args, i)) for i in range(len(node.args)))
    yield from (_but(node, args=swapped) for swapped in _swapped(node.args))


def _but(node: Node, **fields: object) -> Node:
    """A copy of `node` with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _without(items: list[Item], index: int) -> list[Item]:
    return items[:index] + items[index + 1 :]


def _swapped(items: list[Item]) -> Iterator[list[Item]]:
    for i in range(len(items) - 1):
        yield [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def _parts(iterable: ast.expr) -> Iterator[ast.expr]:
    text = ast.unparse(iterable)
    return (ast.parse(part.replace("{}", f"({text})"), mode="eval").body for part in PARTS)


# --- what is kept about them ------------------------------------------------------------------------------------------

HEAD = """# Mutants that have full marks

Made by `python benchmarks/mutants.py {module} --write docs/mutants.md`, but for the reasons, which people write. Right
answers were changed in one place each and graded; these changes cost nothing. Below each reason stand those that it is
the reason for: they are right under the contract, or nothing that the contract promises can show them. ⏎ stands between
lines.

```
{table}
```
"""


def read_kept(path: Path) -> dict[str, str]:
    """The reason of each change that is listed in a file."""
    kept, reason = {}, OPEN
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        if line.startswith("## "):
            reason = line[3:]
        elif line.startswith("- "):
            kept[line[2:]] = reason
    return kept


def write_kept(path: Path, reasons: dict[str, str], head: str) -> None:
    """Writes the changes below their reasons."""
    groups = sorted(set(reasons.values()), key=lambda reason: (reason == OPEN, reason))
    parts = [f"\n## {group}\n\n" + "".join(f"- {c}\n" for c, r in reasons.items() if r == group) for group in groups]
    write_whole(path, head + "".join(parts))


def table(functions: list[str], made: list[Mutant], survived: list[Mutant], new: list[Mutant]) -> str:
    """How many were made and caught of each function, and how many survived, without a reason the last."""
    counts = [Counter(mutant.of for mutant in some) for some in (made, survived, new)]
    rows = [[count[name] for count in counts] for name in functions]
    rows.append([sum(column) for column in zip(*rows, strict=True)])
    lines = [f"{'function':20} {'made':>6} {'caught':>7} {'right':>6} {'new':>5}"]
    for name, (all_, full, open_) in zip([*functions, "all"], rows, strict=True):
        lines.append(f"{name:20} {all_:6} {all_ - full:7} {full - open_:6} {open_:5}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
