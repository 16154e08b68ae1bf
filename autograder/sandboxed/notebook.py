"""From a submitted notebook to the code that its functions need. Nothing here runs the student's code.

`read_cells` takes the code cells out of a file that nobody trusts; `select` finds, by name, the statements that the
contract's functions depend on. Cells that only train, plot, mount a drive or ask for input are never needed by a
function, so they never run. A submission is read inside the sandbox: it may be made to harm its reader.
"""

import ast
import builtins
import difflib
import hashlib
import json
import re
import symtable
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from autograder.sandboxed.errors import Unreadable
from autograder.sandboxed.pictures import UNSEEN, Shown, fit, is_picture, look, take_out

MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "discard", "clear"}
# Functions of imported modules that set something up for the others; all other such calls, as in
# `torch.manual_seed(0)` or `drive.mount(…)`, are the notebook's business and never run.
SET_UP = {"basicConfig", "filterwarnings", "simplefilter", "makedirs", "mkdir", "rcParams.update", "rc", "style.use"}
PYTHON_CELL_MAGICS = {"time", "capture", "prun"}  # what such a cell defines, the notebook keeps
TIMED = re.compile(r"""get_ipython\(\)\.run_line_magic\('time', ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""")
MAX_NOTEBOOK_BYTES = 100 * 2**20
# of what a TA is shown: cells, outputs of one, and bytes of a text, of all together, and of these for pictures at least
MAX_CELLS, MAX_OUTPUTS, MAX_TEXT_BYTES = 2000, 100, 20_000
MAX_SHOWN_BYTES, PICTURES_BYTES = 7 * 2**20, 3 * 2**20
VERSION = re.compile(r"[0-9a-f]{8}")
VERSION_LINE = re.compile(rf"^Version ({VERSION.pattern})\b", re.MULTILINE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
KEYWORDS = {ast.FunctionDef: "def ", ast.AsyncFunctionDef: "async def ", ast.ClassDef: "class "}


@dataclass(frozen=True)
class Cell:
    """A code cell; `number` counts the notebook's code cells from 1, `python` is the version it says that it ran on."""

    number: int
    source: str
    python: str = ""


@dataclass(frozen=True)
class HandedIn:
    """A cell as a student handed it in, to be shown and not to be run.

    Args:
        kind: code or markdown.
        grade_id: what its nbgrader metadata claims, and `id` what the file's format calls it; neither is trusted.
        shown: (type, content) of its outputs or, in a markdown cell, of its pictures; types as in `pictures.SHOWN`.
    """

    kind: str
    source: str
    grade_id: str = ""
    id: str = ""
    shown: tuple[tuple[str, str], ...] = ()


@dataclass
class Statement:
    """A top-level statement, where it stands, and what it has to do with global names."""

    cell: int
    line: int
    text: str
    node: ast.stmt
    reads: set[str]
    binds: set[str]
    changes: set[str]
    writes: set[str]


@dataclass(frozen=True)
class Code:
    """A submission as the grader sees it: the statements that the functions need, as text, in the notebook's order.

    Args:
        pieces: (cell, line, text) of each statement.
        stubs: the functions that are not written yet, and the cells of their stubs.
        notes: what happened to the cells that are not in it.
        homes: the functions' own cells, also where these do not run.
        absent: why a function is not in it, where its text says so.
        run: names that the code reads and that only the released notebook's own cells make, with their cells.
        version: of the module, that the notebook says it was made from; its student's word.
    """

    pieces: tuple[tuple[int, int, str], ...]
    stubs: dict[str, int]
    notes: dict[int, str]
    homes: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    run: dict[str, int] = field(default_factory=dict)
    version: str = ""

    @classmethod
    def from_json(cls, text: bytes) -> "Code":
        """What `as_json` wrote, from a process that is trusted."""
        content = json.loads(text)
        content["notes"] = {int(cell): note for cell, note in content["notes"].items()}
        return cls(**content)

    def as_json(self) -> bytes:
        """As it crosses to another process."""
        return json.dumps(vars(self)).encode()


@dataclass(frozen=True)
class Released:
    """What a released notebook says itself, outside the exercises; the rest of a submission is its student's own.

    Args:
        texts: a hash of each statement; see `squeezed_hash`.
        run: the names that its cells make by running something, as `net = densenet121()` does.
        classes: what the exercises ask a class for.
        former: (name, name before) of functions that earlier versions of the module called otherwise.
    """

    texts: frozenset[str] = frozenset()
    run: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    former: frozenset[tuple[str, str]] = frozenset()

    def says(self, text: str) -> bool:
        """Whether one of its statements is this."""
        return bool(self.texts) and squeezed_hash(text) in self.texts

    def as_dict(self) -> dict[str, list[Any]]:
        """As JSON carries it."""
        former = [list(names) for names in sorted(self.former)]
        return {"texts": sorted(self.texts), "run": sorted(self.run), "classes": sorted(self.classes), "former": former}

    @classmethod
    def from_dict(cls, about: dict[str, list[Any]]) -> "Released":
        """What `as_dict` gave."""
        texts, run, classes = (frozenset(about.get(name, ())) for name in ("texts", "run", "classes"))
        return cls(texts, run, classes, frozenset((name, before) for name, before in about.get("former", ())))

    def after(self, earlier: "Released") -> "Released":
        """With what the given cells of earlier versions said."""
        return replace(self, texts=self.texts | earlier.texts, run=self.run | earlier.run)


NOTHING_RELEASED = Released()


# --- reading the file -------------------------------------------------------------------------------------------------


def read_cells(data: bytes) -> list[Cell]:
    """The code cells of a notebook file of format 3 or 4, in order.

    Raises:
        Unreadable: empty, too large, not JSON, or JSON without cells.
    """
    notebook = _parse(data)
    python = _python(notebook)
    sources = [_source(cell) for cell in _cells(notebook) if cell.get("cell_type") == "code"]
    return [Cell(number, source, python) for number, source in enumerate(sources, 1)]


def read_texts(data: bytes) -> list[tuple[str, str]]:
    """The cells of a notebook file that are no code cells: where each stands, in words, and its text."""
    texts, number = [], 0
    for cell in _cells(_parse(data)):
        if cell.get("cell_type") == "code":
            number += 1
        else:
            kind = "raw" if cell.get("cell_type") == "raw" else "text"
            texts.append((f"the {kind} cell " + (f"below code cell {number}" if number else "at the top"), _source(cell)))
    return texts


def read_version(data: bytes) -> str:
    """The version that a notebook file says it was made from; empty where it says none."""
    notebook = _parse(data)
    metadata = notebook.get("metadata")
    about = metadata.get("autograder") if isinstance(metadata, dict) else None
    said = str(about.get("version", "")) if isinstance(about, dict) else ""
    if not VERSION.fullmatch(said):  # some editors keep no metadata that they do not know
        said = next((f[1] for _, text in read_texts(data) if (f := VERSION_LINE.search(text))), "")
    return said


def read_contents(data: bytes) -> list[dict[str, Any]]:
    """All cells of a notebook file for a TA to look at, as `HandedIn`'s fields; what is too large is cut, and says so.

    Texts go before what was printed, that before pictures, which are shrunk.

    Raises:
        Unreadable: as `read_cells`.
    """
    cells = _cells(_parse(data))
    contents = [_fields(cell) for cell in cells[:MAX_CELLS]]
    left = MAX_SHOWN_BYTES - PICTURES_BYTES
    for fields in contents:
        fields["source"] = _cut(fields["source"], min(MAX_TEXT_BYTES, left))
        left -= _size(fields["source"])
    for fields in contents:
        shown, fields["shown"] = fields["shown"], []
        for kind, content in shown:
            text = content if is_picture(kind) else _cut(content, min(MAX_TEXT_BYTES, left))
            left -= 0 if is_picture(kind) else _size(text)
            fields["shown"] += [(kind, text)] if left > 0 or is_picture(kind) else []
    _fit_pictures(contents, max(left, 0) + PICTURES_BYTES)
    left_out = len(cells) - MAX_CELLS
    return contents + ([_fields({"source": f"({left_out} more cells are not shown here)"})] if left_out > 0 else [])


def _fit_pictures(contents: list[dict[str, Any]], left: int) -> None:
    """Shrinks the pictures of all cells until they have room; those of cells that a person grades are the last to go."""
    places = [(fields, n) for fields in contents for n, (kind, _) in enumerate(fields["shown"]) if is_picture(kind)]
    first = [number for number, (fields, _) in enumerate(places) if fields["grade_id"]]
    for (fields, n), shown in zip(places, fit([f["shown"][n] for f, n in places], first, left), strict=True):
        fields["shown"][n] = shown
    for fields in contents:  # one line is enough for many that are not shown
        lines = dict.fromkeys(shown for shown in fields["shown"] if shown[0] == UNSEEN)
        fields["shown"] = [list(one) for one in fields["shown"] if one[0] != UNSEEN] + [list(one) for one in lines]


def _fields(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    kind, source, shown = "code" if cell.get("cell_type") == "code" else "markdown", _source(cell), shown_in(cell)
    if kind == "markdown":
        source, written_in = take_out(source)
        shown += written_in
    return {
        "kind": kind,
        "source": source,
        "grade_id": str(about.get("grade_id", ""))[:200] if isinstance(about, dict) else "",
        "id": str(cell.get("id", ""))[:200],
        "shown": shown,
    }


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of text (or nearly), with a word on what is missing."""
    if _size(text) <= size:
        return text
    return f"{text.encode('utf-8', 'replace')[: max(size, 0)].decode('utf-8', 'ignore')}\n(cut here: it is too large)"


def shown_in(cell: dict[str, Any]) -> list[Shown]:
    """The outputs, or the attached pictures, of a cell; where there are very many, pictures before texts."""
    outputs = cell.get("outputs")
    if isinstance(cell.get("attachments"), dict):
        outputs = [{"data": attached} for attached in cell["attachments"].values()]
    found = [look(output) for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    shown = [one for each in found for one in each]
    if len(shown) > MAX_OUTPUTS:
        ordered = sorted(range(len(shown)), key=lambda place: not is_picture(shown[place][0]))
        shown = [shown[place] for place in sorted(ordered[:MAX_OUTPUTS])]
    return shown


def _python(notebook: dict[str, Any]) -> str:
    """The Python that its metadata name, as "3.13"; nothing when they do not."""
    metadata = notebook.get("metadata")
    about = metadata.get("language_info") if isinstance(metadata, dict) else None
    version = about.get("version") if isinstance(about, dict) else None
    found = re.match(r"3\.\d{1,3}(?!\d)", version) if isinstance(version, str) else None
    return found[0] if found else ""


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):  # format 3
        sheets = [sheet.get("cells") for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable("holds JSON, but no notebook cells: save it again from Jupyter or Colab as .ipynb")
    return [cell for cell in cells if isinstance(cell, dict)]


def _parse(data: bytes) -> dict[str, Any]:
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


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    return (
        "".join(line for line in lines if isinstance(line, str))
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\0", "")
    )


# --- choosing the statements ------------------------------------------------------------------------------------------


def select(
    cells: Iterable[Cell],
    functions: Iterable[str],
    released: Released = NOTHING_RELEASED,
    texts: Iterable[tuple[str, str]] = (),
    *,
    newest: bool = False,
) -> Code:
    """The statements that `functions` need: their definitions, and whatever binds or changes a global they read.

    Args:
        released: what is not the student's own: it never takes the place of what is, and what its run makes is not there.
        texts: cells that are no code, as `read_texts` gives them, to be named where a definition stands in one.
        newest: whether a stub counts whose cell stands below the written function's, as it does where cells are run one
            by one.
    """
    cells, functions = list(cells), list(functions)
    statements, notes = parse(cells)
    statements = _under_new_names(statements, notes, released)
    fit = [statement for statement in statements if not _is_function_for_a_class(statement, released)]
    code = choose(fit, notes, functions, released, newest=newest)
    homes = {name: cell.number for cell in cells for name in functions if _defines(name, cell.source)} | code.homes
    missing = [name for name in functions if name not in code.homes]
    absent = {name: why for name in missing if (why := _why_absent(name, functions, statements, cells, texts, notes))}
    return replace(code, homes=homes, absent=absent)


def parse(cells: Iterable[Cell]) -> tuple[list[Statement], dict[int, str]]:
    """The top-level statements of all cells, and a note for each cell that does not run."""
    notes: dict[int, str] = {}
    return [statement for cell in cells for statement in _parse_cell(cell, notes)], notes


def choose(
    statements: list[Statement],
    notes: dict[int, str],
    functions: Iterable[str],
    released: Released = NOTHING_RELEASED,
    *,
    newest: bool = False,
) -> Code:
    """The code that `functions` need, out of what `parse` gave; all else as in `select`."""
    functions, said = set(functions), dict[int, str]()
    ran = _run_by(released, statements)
    gone = set(map(id, ran))  # by identity: comparing every statement with every other takes too long in a large notebook
    kept = [statement for statement in statements if id(statement) not in gone]
    kept = _without_displacing(_without_idle_stubs(kept, functions, said, newest), released)
    chosen = needed(kept, functions)
    stubs: dict[str, int] = {}
    homes: dict[str, int] = {}
    for statement in chosen:
        for name in statement.binds & functions:  # the last definition wins, as in a notebook run from top to bottom
            stubs.pop(name, None)
            if is_stub(statement.node):
                stubs[name] = statement.cell
            elif homes.get(name, statement.cell) != statement.cell:
                said[homes[name]] = f"defines `{name}`, and so does cell {statement.cell} below: the last one counts"
            homes[name] = statement.cell
    unused = {statement.cell for statement in statements} - {statement.cell for statement in chosen}
    unused_notes = {cell: "was not run: no graded function needs it" for cell in unused}
    pieces = tuple((s.cell, s.line, s.text) for s in chosen)
    return Code(pieces, stubs, unused_notes | said | notes, homes, run=_made_by_the_run(chosen, ran))


# --- what the released notebook says itself ---------------------------------------------------------------------------


def released_by(
    statements: Iterable[Statement], classes: Iterable[str] = (), former: Iterable[tuple[str, str]] = ()
) -> Released:
    """What the statements of a released notebook's cells, without the exercises', say; `classes`, `former`: see `Released`."""
    statements = list(statements)
    run = {name for statement in statements if _runs(statement.node) for name in statement.binds}
    return Released(frozenset(squeezed_hash(s.text) for s in statements), frozenset(run), frozenset(classes), frozenset(former))


def squeezed_hash(text: str) -> str:
    """A hash of a statement's text without its spaces: another layout is no other statement."""
    return hashlib.sha256("".join(text.split()).encode("utf-8", "replace")).hexdigest()[:16]


def _runs(node: ast.stmt) -> bool:
    """Whether a statement makes something by running: neither an import, a definition, nor a plain constant."""
    if isinstance(node, (ast.Import, ast.ImportFrom, *DEFINITIONS)):
        return False
    constant = isinstance(node, (ast.Assign, ast.AnnAssign))
    return not constant or any(isinstance(part, (ast.Call, ast.Subscript, ast.Await)) for part in ast.walk(node))


def _run_by(released: Released, statements: list[Statement]) -> list[Statement]:
    """The statements by which the released notebook's own cells make something, also where a student has edited a line."""
    making = [(s, released.says(s.text)) for s in statements if s.binds and _runs(s.node)]
    cells = {statement.cell for statement, theirs in making if theirs}
    return [s for s, theirs in making if theirs or (s.cell in cells and s.binds & released.run)]


def _made_by_the_run(chosen: list[Statement], ran: list[Statement]) -> dict[str, int]:
    """The names that `chosen` reads and nothing but the run makes, with the cells that do."""
    bound = {name for statement in chosen for name in statement.binds}
    read = {name for statement in chosen for name in statement.reads} - bound - set(dir(builtins))
    return {name: statement.cell for statement in ran for name in statement.binds & read}


def _without_idle_stubs(
    statements: list[Statement], functions: set[str], said: dict[int, str], newest: bool
) -> list[Statement]:
    """All but the stubs of functions that are written somewhere: a stub never takes the place of written code.

    With `newest` somewhere is the same cell: who runs a stub's cell after the written one may have gone back to it.
    """
    written = [(n, s.cell) for s in statements for n in s.binds & functions if not is_stub(s.node)]
    cells, pairs = dict(written), set(written)
    kept = []
    for statement in statements:
        names = [name for name in statement.binds & functions if is_stub(statement.node)]
        idle = [name for name in names if ((name, statement.cell) in pairs if newest else name in cells)]
        if idle:
            where = statement.cell if newest else cells[idle[0]]
            said[statement.cell] = f"holds the stub of `{idle[0]}` too: what counts is written in cell {where}"
        else:
            kept.append(statement)
    return kept


def _without_displacing(statements: list[Statement], released: Released) -> list[Statement]:
    """The statements without what the release binds where the student's own code has bound the same name before."""
    own: set[str] = set()
    kept = []
    for statement in statements:
        if not released.says(statement.text):
            own |= statement.binds
            kept.append(statement)
        elif not statement.binds & own:
            kept.append(statement)
        elif isinstance(statement.node, (ast.Import, ast.ImportFrom)) and statement.binds - own:
            kept.append(_without_names(statement, own))
    return kept


def _without_names(statement: Statement, names: set[str]) -> Statement:
    """An import without those of its names."""
    node: Any = statement.node
    left = [alias for alias in node.names if (alias.asname or alias.name.split(".")[0]) not in names]
    shorter = type(node)(**{**{f: getattr(node, f) for f in node._fields}, "names": left})
    text = ast.unparse(ast.copy_location(shorter, node))
    return replace(statement, text=text, node=shorter, binds=statement.binds - names)


# --- functions that have another name now -----------------------------------------------------------------------------


def _under_new_names(statements: list[Statement], notes: dict[int, str], released: Released) -> list[Statement]:
    """The statements with a function's name of today where an earlier version's is written, and today's is not."""
    written = {name: s.cell for s in statements if not is_stub(s.node) for name in s.binds}
    for name, before in sorted(released.former):
        if before in written and name not in written:
            statements = [_renamed(s, before, name) if before in s.binds | s.reads else s for s in statements]
            notes.setdefault(written[before], f"defines `{before}`, which is called `{name}` now and counts as that")
    return statements


def _renamed(statement: Statement, before: str, name: str) -> Statement:
    lines = statement.text.split("\n")
    for line, column in sorted(_places_of(before, ast.parse(statement.text)), reverse=True):
        data = lines[line - 1].encode()
        start = data.index(before.encode(), column)  # of a definition the column is that of its `def`
        lines[line - 1] = (data[:start] + name.encode() + data[start + len(before.encode()) :]).decode()
    text = "\n".join(lines)
    return replace(_statement(statement.cell, ast.parse(text).body[0], text), line=statement.line)


def _places_of(name: str, node: ast.AST) -> Iterator[tuple[int, int]]:
    """Line and column of each place where `node` means the global `name`; what a function binds itself is another."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name) and child.id == name:
            yield child.lineno, child.col_offset
        if isinstance(child, DEFINITIONS) and child.name == name:
            yield child.lineno, child.col_offset + len(KEYWORDS[type(child)])
        if isinstance(child, (*FUNCTIONS, ast.Lambda)) and name in _own_names(child):
            continue
        yield from _places_of(name, child)


def _own_names(node: Any) -> set[str]:
    """What a function's arguments, and assignments anywhere in it, bind."""
    arguments = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
    return arguments | {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


# --- why a function is not there --------------------------------------------------------------------------------------


def _defines(name: str, source: str) -> bool:
    return re.search(rf"^[ \t>]*(?:async +def|def|class) +{name}\b|^{name} *=[^=]", source, re.MULTILINE) is not None


def _why_absent(
    name: str,
    functions: list[str],
    statements: list[Statement],
    cells: list[Cell],
    texts: Iterable[tuple[str, str]],
    notes: dict[int, str],
) -> str:
    """Why no statement defines `name`: its cell does not run, is no code cell, or gives it another name."""
    for cell in reversed(cells):
        if _defines(name, cell.source) and cell.number in notes:
            return f"its cell {cell.number} {notes[cell.number]}"
    for where, text in texts:
        if _defines(name, text):
            return f"{where} holds it: make that a code cell (Esc, then Y), without any ``` lines, and run it"
    if as_function := [s.cell for s in statements if isinstance(s.node, FUNCTIONS) and s.node.name == name]:
        return f"cell {as_function[-1]} defines it as a function, and a class is asked for: `class {name}`"
    if inside := [(s.cell, outer) for s in statements for outer in around(name, s.node)]:
        return f"cell {inside[-1][0]} defines it inside `{inside[-1][1]}`: move it out, to the left edge of the cell"
    defined = {s.node.name: s.cell for s in statements if isinstance(s.node, DEFINITIONS)}
    others = {_plain_name(other): other for other in defined if other not in functions}
    near = difflib.get_close_matches(_plain_name(name), others, n=1, cutoff=0.85)
    if near:
        return f"cell {defined[others[near[0]]]} defines `{others[near[0]]}`: give it the name `{name}`"
    return ""


def _is_function_for_a_class(statement: Statement, released: Released) -> bool:
    return isinstance(statement.node, FUNCTIONS) and statement.node.name in released.classes


def around(name: str, node: ast.stmt) -> list[str]:
    """The names of the definitions in `node` that have a definition of `name` right in them."""
    outer = [part for part in ast.walk(node) if isinstance(part, DEFINITIONS)]
    return [one.name for one in outer if any(isinstance(part, DEFINITIONS) and part.name == name for part in one.body)]


def _plain_name(name: str) -> str:
    return name.replace("_", "").casefold()


# --- what they need ---------------------------------------------------------------------------------------------------


def bound_by(text: str) -> set[str]:
    """The global names that a statement binds; none when it cannot be read."""
    try:
        return {name for node in ast.parse(text).body for name in _statement(0, node, text).binds}
    except (SyntaxError, ValueError, RecursionError):
        return set()


def needed(statements: list[Statement], names: Iterable[str]) -> list[Statement]:
    """Those of `statements` that bind or change one of `names`, or a global that these read, and so on; in order."""
    names = set(names)
    imported = {name for s in statements if isinstance(s.node, (ast.Import, ast.ImportFrom)) for name in s.binds}
    writers = {name: s.writes for s in statements if s.writes for name in s.binds.difference(names)}
    makers: dict[str, list[int]] = {}
    for index, statement in enumerate(statements):
        for name in _touched(statement, imported, writers):
            makers.setdefault(name, []).append(index)
    waiting, wanted, chosen = ["*", *names], set[str](), set[int]()
    while waiting:
        if (name := waiting.pop()) not in wanted:
            wanted.add(name)
            new = set(makers.get(name, ())) - chosen
            chosen |= new
            waiting += [read for index in new for read in statements[index].reads]
    return [statements[index] for index in sorted(chosen)]


def _parse_cell(cell: Cell, notes: dict[int, str]) -> list[Statement]:
    source = _without_cell_magic(cell, notes)
    try:
        source, tree = _parse_source(source, cell.number, notes)
        return [_statement(cell.number, node, text) for node, text in zip(tree.body, _texts(source, tree), strict=True)]
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        shown = (error.text or "").strip()[:80]
        notes[cell.number] = f"does not run: {error.msg}{line}" + (f": {shown}" if shown else "") + _newer(cell.python)
    except (RecursionError, MemoryError, ValueError) as error:
        notes[cell.number] = f"could not be read ({type(error).__name__}): it is nested too deeply"
    return []


def _newer(python: str) -> str:
    """What to add about a cell that cannot be read, where the notebook ran on a newer Python than this one."""
    ours = sys.version_info[:2]
    if not python or tuple(map(int, python.split("."))) <= ours:
        return ""
    return f" (the notebook ran on Python {python}, the grader runs on {ours[0]}.{ours[1]})"


def _texts(source: str, tree: ast.Module) -> list[str]:
    """Each statement's own text: whole lines, or its part of a line that it shares with another."""
    spans = [(_first_line(node), node.end_lineno or node.lineno) for node in tree.body]
    lines = source.split("\n")
    if any(this[1] >= following[0] for this, following in zip(spans, spans[1:], strict=False)):
        return [_segment(source, node) or ast.unparse(node) for node in tree.body]
    return ["\n".join(lines[first - 1 : last]) for first, last in spans]


def _segment(source: str, node: ast.stmt) -> str | None:
    """The statement's part of the source; with decorators there is none, for they stand before it."""
    return None if getattr(node, "decorator_list", []) else ast.get_source_segment(source, node)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _without_cell_magic(cell: Cell, notes: dict[int, str]) -> str:
    """The cell without its first line's magic; nothing of a cell that is not Python."""
    first = re.match(r"\s*%%(\w+)", cell.source)
    if not first:
        return cell.source
    if first[1] not in PYTHON_CELL_MAGICS:
        notes[cell.number] = f"was not run: it is a %%{first[1]} cell"
        return ""
    return cell.source.replace("%%", "# ", 1)


def _parse_source(source: str, number: int, notes: dict[int, str]) -> tuple[str, ast.Module]:
    """A cell as Python; what is none as it stands is first changed as IPython does it: magics, indents, prompts.

    Line numbers stay as they are.
    """
    name = f"cell {number}"
    try:
        return source, ast.parse(source, name)
    except SyntaxError:
        changed = _as_ipython(source)
        tree = ast.parse(changed, name)
    if "get_ipython()" in changed and "get_ipython()" not in source:
        notes[number] = "has lines for the notebook or the shell (% or !): those lines were not run"
    return changed, tree


def _as_ipython(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager  # slow to import, and few cells need it

    try:
        changed = TransformerManager().transform_cell(source)
    except (SyntaxError, RuntimeError):  # RuntimeError: more magics than IPython takes in one cell
        return source
    empty = re.match(r"(?:[ \t]*\n)*", source)  # IPython leaves them out
    assert empty  # it takes none, too
    return "\n" * empty[0].count("\n") + TIMED.sub(_timed, changed)


def _timed(magic: re.Match[str]) -> str:
    """The Python in `%time x = 1`: the notebook keeps the `x`."""
    try:
        text: str = ast.literal_eval(magic[1]) or "None"
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # `%time !ls`
        return magic[0]
    return text


def _statement(cell: int, node: ast.stmt, text: str) -> Statement:
    table = symtable.symtable(text, f"cell {cell}", "exec")
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    if isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*"):
        binds.add("*")  # needed by everything
    reads = _global_reads(table)
    return Statement(
        cell, _first_line(node), text, node, reads, binds, _changed_in_place(node), _written(node, text, reads)
    )


def _written(node: ast.stmt, text: str, reads: set[str]) -> set[str]:
    """Globals that calling what `node` defines binds or changes; for a class that its subclasses register with, itself."""
    if not isinstance(node, DEFINITIONS):
        return set()
    written = {name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names}
    inside = {name.removesuffix(".") for part in node.body for name in _changes(part) if not name.endswith("()")}
    registers = {node.name} if "__init_subclass__" in text else set()
    return written | (inside & reads) | registers


def _global_reads(table: symtable.SymbolTable) -> set[str]:
    """Names that the code looks up as globals, in the functions inside it too (their parameters are not)."""
    top = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return names.union(*(_global_reads(child) for child in table.get_children()))


def _changed_in_place(node: ast.stmt) -> set[str]:
    """Names whose object the statement changes: `names.append(…)`, `table["a"] = …`, `Net.forward = …`, setattr."""
    if not isinstance(node, DEFINITIONS):
        return _changes(node)
    used = [*node.decorator_list, *getattr(node, "bases", [])]
    return set().union(*({f"{_root(part)}.", f"{_root(part)}()"} for part in used))


def _changes(node: ast.AST) -> set[str]:
    """`name` for a changed object, `name.` for one whose method is called, `name()` for a function that is called."""
    changed = set()
    for part in ast.walk(node):
        if isinstance(part, (ast.Attribute, ast.Subscript)) and isinstance(part.ctx, (ast.Store, ast.Del)):
            changed.add(_root(part))
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            changed |= _changed_by_call(part.value)
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in MUTATORS:
            changed.add(f"{_root(part.func)}.")  # its value is used: `last = names.pop()`
    return changed


def _changed_by_call(call: ast.Call) -> set[str]:
    if isinstance(call.func, ast.Attribute):
        set_up = ast.unparse(call.func).split(".", 1)[-1] in SET_UP
        return {_root(call.func) if set_up else f"{_root(call.func)}."}
    if isinstance(call.func, ast.Name):
        target = {_root(call.args[0])} if call.func.id in ("setattr", "delattr") and call.args else set()
        return {f"{call.func.id}()", *target}
    return set()


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _touched(statement: Statement, imported: set[str], writers: dict[str, set[str]]) -> set[str]:
    """The names that the statement binds or changes: "*" may be any."""
    found = statement.binds | statement.changes
    for name in statement.changes:
        if name.endswith(".") and name[:-1] not in imported:  # `names.append(…)`, but not `torch.manual_seed(…)`
            found.add(name[:-1])
        if name.endswith("()"):  # `set_up()`, which binds a global
            found |= writers.get(name[:-2], set())
    return found


def is_stub(node: ast.stmt) -> bool:
    """Whether a function's or a class's body says nothing yet: a docstring, `pass`, `...`, NotImplementedError.

    A class of which one method is written is no stub, nor one that only inherits: `class DenseLayer(MyLayer): pass`.
    """
    if isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        return bool(methods or not node.bases) and all(_says_nothing(part) or is_stub(part) for part in node.body)
    return isinstance(node, ast.FunctionDef) and all(_says_nothing(part) or _begins(part) for part in node.body)


def _begins(node: ast.stmt) -> bool:
    """Whether this is `super().__init__()`, with which the `__init__` of every module begins."""
    return isinstance(node, ast.Expr) and ast.unparse(node.value) == "super().__init__()"


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Raise) and node.exc is not None:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(node, ast.Pass)
