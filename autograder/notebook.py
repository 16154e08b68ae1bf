"""From a submitted notebook to the code that its functions need. Nothing here runs the student's code.

`read_cells` takes the code cells out of a file that nobody trusts; `select` finds, by name, the statements that the
contract's functions depend on. Cells that only train, plot, mount a drive or ask for input are never needed by a
function, so they never run. Both are called inside the sandbox: a notebook may be made to harm its reader.
"""

import ast
import json
import re
import symtable
from collections.abc import Iterable
from dataclasses import dataclass, field

PYTHON_CELL_MAGICS = {"time", "timeit", "capture", "prun", "python", "python3"}
MAX_NOTEBOOK_BYTES = 100 * 2**20


class Unreadable(ValueError):
    """The file is not a notebook; the message says what it is and how to mend it."""


@dataclass(frozen=True)
class Cell:
    """A code cell; `number` counts the notebook's code cells from 1."""

    number: int
    source: str


@dataclass
class Statement:
    """A top-level statement and what it has to do with global names."""

    cell: int
    node: ast.stmt
    reads: set[str]
    binds: set[str]
    changes: set[str]


@dataclass
class Code:
    """The statements the functions need, in notebook order, and a note for every cell that is not plain code."""

    statements: list[Statement] = field(default_factory=list)
    sources: dict[int, str] = field(default_factory=dict)
    stubs: dict[str, int] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)


# --- reading the file -------------------------------------------------------------------------------------------------


def read_cells(data: bytes) -> list[Cell]:
    """The code cells of a notebook file of format 3 or 4, in order.

    Raises:
        Unreadable: empty, too large, not JSON, or JSON without cells.
    """
    notebook = _parse(data)
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):  # format 3
        cells = [cell for sheet in notebook["worksheets"] for cell in sheet.get("cells", [])]
    if not isinstance(cells, list):
        raise Unreadable("holds JSON, but no notebook cells: save it again from Jupyter or Colab as .ipynb")
    sources = [_source(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    return [Cell(number, source) for number, source in enumerate(sources, 1)]


def _parse(data: bytes) -> dict:
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable("is empty: the upload may have been cut off, save and submit it again")
    if len(data) > MAX_NOTEBOOK_BYTES:
        raise Unreadable(
            f"has {len(data) / 2**20:.0f} MB: clear the outputs (Edit, Clear All Outputs) and save it again"
        )
    if data.startswith(b"PK"):
        raise Unreadable("is a zip file: unpack it and submit the .ipynb inside")
    try:
        notebook = json.loads(_text(data))
    except RecursionError:
        raise Unreadable("is nested too deeply to be a notebook") from None
    except ValueError as error:
        raise Unreadable(
            f"is not a notebook ({error}): the file is damaged or cut off, save it again as .ipynb"
        ) from None
    if not isinstance(notebook, dict):
        raise Unreadable("holds JSON, but not a notebook: save it again from Jupyter or Colab as .ipynb")
    return notebook


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _source(cell: dict) -> str:
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    return "".join(line for line in lines if isinstance(line, str)).replace("\r\n", "\n").replace("\0", "")


# --- choosing the statements ------------------------------------------------------------------------------------------


def select(cells: Iterable[Cell], functions: Iterable[str]) -> Code:
    """The statements that `functions` need: their definitions, and whatever binds or changes a global they read."""
    code = Code()
    statements = [statement for cell in cells for statement in parse_cell(cell, code)]
    code.statements = needed(statements, functions)
    _find_stubs(code, set(functions))
    _note_unused(code, statements)
    return code


def needed(statements: list[Statement], names: Iterable[str]) -> list[Statement]:
    """Those of `statements` that bind or change one of `names`, or a global that these read, and so on; in order."""
    imported = {name for s in statements if isinstance(s.node, (ast.Import, ast.ImportFrom)) for name in s.binds}
    writers = _global_writers(statements)
    wanted, chosen = set(names), set()
    growing = True
    while growing:
        growing = False
        for index, statement in enumerate(statements):
            if index not in chosen and _touches(statement, wanted, imported, writers):
                chosen.add(index)
                wanted |= statement.reads
                growing = True
    return [statements[index] for index in sorted(chosen)]


def parse_cell(cell: Cell, code: Code) -> list[Statement]:
    """The cell's top-level statements; what does not run leaves a note in `code` instead."""
    source = _plain_python(cell, code)
    code.sources[cell.number] = source
    try:
        tree = ast.parse(source, f"cell {cell.number}")
        return [_statement(cell.number, node) for node in tree.body]
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        shown = (error.text or "").strip()[:80]
        code.notes[cell.number] = f"does not run: {error.msg}{line}" + (f": {shown}" if shown else "")
    except (RecursionError, MemoryError, ValueError) as error:
        code.notes[cell.number] = f"could not be read ({type(error).__name__}): it is nested too deeply"
    return []


def _plain_python(cell: Cell, code: Code) -> str:
    """The cell without IPython's magics; line numbers stay as they are."""
    first = re.match(r"\s*%%(\w+)[^\n]*", cell.source)
    source = cell.source
    if first:
        if first[1] not in PYTHON_CELL_MAGICS:
            code.notes[cell.number] = f"was not run: it is a %%{first[1]} cell"
            return ""
        source = source[: first.start()] + "#" + source[first.start() + 1 :]
    if not re.search(r"^\s*[%!?]|=\s*[%!]|\?\s*$|^\s*[,;/]", source, re.MULTILINE):
        return source
    from IPython.core.inputtransformer2 import TransformerManager  # slow to import, and few cells need it

    try:
        changed = TransformerManager().transform_cell(source)
    except SyntaxError:
        return source
    if "get_ipython()" in changed and "get_ipython()" not in source:
        code.notes[cell.number] = "has lines for the notebook or the shell (% or !): those lines were not run"
    return changed


def _statement(cell: int, node: ast.stmt) -> Statement:
    table = symtable.symtable(ast.unparse(node), f"cell {cell}", "exec")
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        binds.add("*")
    return Statement(cell, node, _global_reads(table), binds, _changed_in_place(node))


def _global_reads(table: symtable.SymbolTable) -> set[str]:
    """Names that the code looks up as globals, in the functions inside it too (their parameters are not)."""
    top = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return names.union(*(_global_reads(child) for child in table.get_children()))


def _changed_in_place(node: ast.stmt) -> set[str]:
    """Names whose object the statement changes: `names.append(…)`, `table["a"] = …`, `Net.forward = …`, setattr."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return set()
    changed = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, (ast.Store, ast.Del)):
            changed.add(_root(part))
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            call = part.value
            if isinstance(call.func, ast.Attribute):
                changed.add(f"{_root(call.func)}.")
            elif isinstance(call.func, ast.Name):
                changed.add(f"{call.func.id}()")
                if call.func.id in ("setattr", "delattr") and call.args:
                    changed.add(_root(call.args[0]))
    return changed


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _global_writers(statements: list[Statement]) -> dict[str, set[str]]:
    """For every function with a `global` statement, the names that a call of it may bind."""
    writers: dict[str, set[str]] = {}
    for statement in statements:
        for part in ast.walk(statement.node):
            if isinstance(part, ast.Global):
                for name in statement.binds:
                    writers.setdefault(name, set()).update(part.names)
    return writers


def _touches(statement: Statement, wanted: set[str], imported: set[str], writers: dict[str, set[str]]) -> bool:
    if "*" in statement.binds or statement.binds & wanted or statement.changes & wanted:
        return True
    for name in statement.changes:
        if name.endswith(".") and name[:-1] in wanted - imported:  # `names.append(…)`, but not `torch.manual_seed(…)`
            return True
        if name.endswith("()") and writers.get(name[:-2], set()) & wanted:  # `set_up()`, which binds a global
            return True
    return False


def _find_stubs(code: Code, functions: set[str]) -> None:
    for statement in code.statements:
        for name in statement.binds & functions:
            code.stubs.pop(name, None)
            if is_stub(statement.node):
                code.stubs[name] = statement.cell


def is_stub(node: ast.stmt) -> bool:
    """Whether a function's or a class's body says nothing yet: a docstring, `pass`, `...`, NotImplementedError."""
    if isinstance(node, ast.ClassDef):
        return all(_says_nothing(part) or is_stub(part) for part in node.body)
    return isinstance(node, ast.FunctionDef) and all(map(_says_nothing, node.body))


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Raise) and node.exc is not None:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(node, ast.Pass)


def _note_unused(code: Code, statements: list[Statement]) -> None:
    used = {statement.cell for statement in code.statements}
    for cell in sorted({statement.cell for statement in statements} - used):
        code.notes.setdefault(cell, "was not run: no graded function needs it")
