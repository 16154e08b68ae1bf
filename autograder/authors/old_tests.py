"""A test cell of nbgrader's, turned into probes and checks.

    assert squares(3) == [1, 4, 9]      a probe that records squares(3), a check that compares it with the reference's
    assert np.isclose(mean(x), 2.5)     the same, within the cell's tolerance
    assert_raises(ValueError, f, 0)     a probe that attempts f(0), a check that it raised a ValueError
    ### AUTOTEST squares(3)             the same as of ==
    assert anything else                a probe that records whether it holds
    all other statements                what comes before the assertions, done by the probe

A cell with a statement that is none of these stays as it is: the probe runs it and records what it raised.
"""

import ast
import re
import textwrap
from dataclasses import dataclass, field
from typing import TypeGuard

from autograder.sandboxed.notebook import DEFINITIONS, Cell, Statement, needed, parse

EQUAL = {"assert_equal", "assert_equals", "assertEqual", "assertListEqual", "assertDictEqual", "assertTupleEqual"} | {
    "assertSetEqual", "assertSequenceEqual", "assertMultiLineEqual", "assert_array_equal", "array_equal"
}  # fmt: skip
NEAR = {"isclose", "allclose", "assert_allclose"}
DECIMALS = {"assert_almost_equal", "assertAlmostEqual", "assert_array_almost_equal"}
TRUE, FALSE = {"assert_true", "assertTrue", "assert_"}, {"assert_false", "assertFalse"}
RAISES = {"assert_raises", "assertRaises", "raises"}
AUTOTEST = re.compile(r"^(?P<indent>[ \t]*)#[ #]*(?P<hashed>HASHED +)?AUTOTEST +(?P<code>.*)$", re.MULTILINE)
NOSE = re.compile(r"^from nose\.tools import (?P<names>[\w, ]+)$", re.MULTILINE)
SIMPLE = (ast.Import, ast.ImportFrom, ast.Assign, *DEFINITIONS)
WITHIN = 1e-5  # numpy's and half of the world's


class Unrecognised(Exception):
    """A statement of a test cell that no rule is made for; it stays as it is."""


@dataclass(frozen=True)
class Written:
    """What students write: functions and classes, and the names of values by the function that gives them."""

    functions: list[str]
    classes: list[str]
    values: dict[str, str]

    def asked(self, node: ast.AST) -> list[str]:
        """The functions that a piece of code asks, in the notebook's order."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        names |= {self.values[name] for name in names & self.values.keys()}
        return [name for name in self.functions if name in names]


@dataclass
class Part:
    """The public or the hidden half of a test cell: the lines of its probe and of its check.

    Args:
        asks: the functions that it asks.
        lines: of the probe's body.
        judges: of the check's body, with PROBE for the probe's name: a line, and all that is `asked` and judged by it.
        above: imports that the lines need.
        text: its statements, with all that they need.
        weak: why it stays as it is, as `text`; empty where it was taken apart.
        beside: assertions that the probe itself decides.
    """

    public: bool
    asks: list[str]
    lines: list[str] = field(default_factory=list)
    judges: list[tuple[str, list[str]]] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    weak: str = ""
    text: str = ""
    beside: int = 0


def title_of(text: str) -> str:
    """The first line of a test cell's docstring, or of its comment."""
    try:
        said = ast.get_docstring(ast.parse(as_python(text))) or ""
    except SyntaxError:
        said = ""
    comment = re.match(r"\s*#+ *(?!.*(?:AUTOTEST|HIDDEN TESTS))(\S.*)", text)
    return (said.strip().splitlines() or [comment[1] if comment else ""])[0].strip()


def as_python(text: str) -> str:
    """The cell with nbgrader's directives as calls, without the marks of regions, and without nose, which is no more."""
    text = re.sub(r"^.*(?:BEGIN|END) HIDDEN TESTS.*$", "", text, flags=re.MULTILINE)
    return AUTOTEST.sub(_as_call, NOSE.sub(_without_nose, text))


def _as_call(found: re.Match[str]) -> str:
    name = "HASHED_AUTOTEST" if found["hashed"] else "AUTOTEST"
    parts = [ast.unparse(node) for node in ast.parse(found["code"].strip()).body]
    return found["indent"] + "; ".join(f"{name}({part})" for part in parts)


def _without_nose(found: re.Match[str]) -> str:
    names = [name.strip() for name in found["names"].split(",")]
    mine = [f"{name} = unittest.TestCase().{_of_unittest(name)}" for name in names]
    return "; ".join(["import unittest", *mine])


def _of_unittest(name: str) -> str:
    """`assert_raises` as unittest calls it."""
    first, *others = name.strip("_").split("_")
    return first + "".join(word.capitalize() for word in others) if others else name


def parts_of(text: str, written: Written, given: list[Statement]) -> list[Part]:
    """The public and the hidden half of a test cell, of which one may be missing.

    Args:
        given: statements of the notebook's other cells that the tests may need.
    """
    statements = parse([Cell(0, as_python(text))])[0]
    hidden_lines = _hidden_lines(text)
    hidden = [s for s in statements if s.line in hidden_lines or _is_hashed(s)]
    public = [s for s in statements if s not in hidden]
    parts = []
    if any(map(_asserts, public)) or (any(map(_does, public)) and not any(map(_does, hidden))):
        parts.append(_part(True, [], public, written, given))
    if any(map(_does, hidden)):  # what it builds on may stand in the public half
        parts.append(_part(False, public, hidden, written, given))
    return parts


def _does(statement: Statement) -> bool:
    return not (_is_docstring(statement.node) or isinstance(statement.node, (ast.Import, ast.ImportFrom, *DEFINITIONS)))


def _hidden_lines(text: str) -> set[int]:
    hidden, inside = set(), False
    for number, line in enumerate(text.split("\n"), 1):
        inside = inside or "BEGIN HIDDEN TESTS" in line
        hidden |= {number} if inside else set()
        inside = inside and "END HIDDEN TESTS" not in line
    return hidden


def _is_hashed(statement: Statement) -> bool:
    return any(_called(node) == "HASHED_AUTOTEST" for node in ast.walk(statement.node) if isinstance(node, ast.Call))


def _asserts(statement: Statement) -> bool:
    for node in ast.walk(statement.node):
        if isinstance(node, (ast.Assert, ast.Raise)):
            return True
        if isinstance(node, ast.Call) and re.match(r"assert|raises|(HASHED_)?AUTOTEST", _called(node)):
            return True
    return False


def _part(
    public: bool, before: list[Statement], mine: list[Statement], written: Written, given: list[Statement]
) -> Part:
    statements = [*before, *mine]
    whole = ast.Module([s.node for s in statements], [])
    own = {name for s in statements for name in s.binds}
    reads = {name for s in statements for name in s.reads}
    outside = [one for one in needed(given, reads - set(written.functions) - own) if not one.binds & set(written.functions)]
    part = Part(public, written.asked(whole))
    values = [name for name in written.values if name in reads - own]
    lines = [f'{name} = {written.values[name]}()["{name}"]' for name in values]
    part.text = "\n".join([*(s.text for s in outside), *lines, *(textwrap.dedent(s.text) for s in statements)])
    try:
        _take_apart(part, before, mine, written, outside)
    except Unrecognised as why:
        part = Part(public, part.asks, text=part.text, weak=str(why))
    return part


# --- taken apart ------------------------------------------------------------------------------------------------------


def _take_apart(
    part: Part, before: list[Statement], mine: list[Statement], written: Written, outside: list[Statement]
) -> None:
    statements = [*before, *mine]
    for name in written.asked(ast.Module([s.node for s in statements], [])):
        if name in written.classes:
            raise Unrecognised(f"it works with objects of {name}")
    for statement in outside:
        if written.asked(statement.node) or not isinstance(statement.node, SIMPLE):
            raise Unrecognised(f"it needs `{_short(statement.text)}`")
    taking = _Taking(part, written)
    for statement in [*outside, *statements]:
        if isinstance(statement.node, (ast.Import, ast.ImportFrom)) or _is_nose(statement):
            continue
        if statement not in before or not _asserts(statement):
            taking.take(statement.node)
    if not part.judges:
        raise Unrecognised("it asserts nothing that a probe could record")
    used = {part.id for line in [ast.parse("\n".join(part.lines))] for part in ast.walk(line) if isinstance(part, ast.Name)}
    imports = [s for s in [*outside, *statements] if isinstance(s.node, (ast.Import, ast.ImportFrom))]
    part.above = list(dict.fromkeys(s.text for s in imports if s.binds & (used | {"*"})))


def _is_nose(statement: Statement) -> bool:
    return statement.text.startswith("assert") and "unittest.TestCase()" in statement.text


class _Taking:
    """Goes through a cell's statements, and writes the probe's and the check's lines."""

    def __init__(self, part: Part, written: Written):
        self.part, self.written = part, written
        self.theirs = {*written.functions, *written.values}  # names whose values come from what students wrote
        self.keys: dict[str, int] = {}
        self.indent, self.looped = "", False

    def take(self, node: ast.stmt) -> None:
        if self._is_theirs_bound(node):
            raise Unrecognised(f"it binds what students write: `{_short(ast.unparse(node))}`")
        if _is_docstring(node) or isinstance(node, ast.Pass):
            return
        if isinstance(node, ast.Assert):
            self._assertion(node.test)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._call(node.value)
        elif isinstance(node, ast.With):
            self._with(node)
        elif isinstance(node, ast.Try):
            self._try(node)
        elif isinstance(node, ast.For) and not node.orelse:
            self._loop(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, *DEFINITIONS)) and not _inside(node):
            self._before(node)
        else:
            raise Unrecognised(f"of its line `{_short(ast.unparse(node))}`")

    def _is_theirs_bound(self, node: ast.stmt) -> bool:
        mine = {*self.written.functions, *self.written.values}
        return any(isinstance(n, ast.Name) and n.id in mine and not isinstance(n.ctx, ast.Load) for n in ast.walk(node)) or (
            getattr(node, "name", "") in mine
        )

    def _before(self, node: ast.stmt) -> None:
        """What is done before an assertion; what it makes of a student's answer is the student's too."""
        if self._has_theirs(node):
            if isinstance(node, DEFINITIONS):
                self.theirs.add(node.name)
            self.theirs |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self._write(ast.unparse(self._asking(node)))

    def _has_theirs(self, node: ast.AST) -> bool:
        return any(isinstance(part, ast.Name) and part.id in self.theirs for part in ast.walk(node))

    def _asking(self, node: ast.AST) -> ast.AST:
        asking: ast.AST = _Asking(self.written).visit(ast.parse(ast.unparse(node)))
        return asking

    def _write(self, text: str) -> None:
        self.part.lines += textwrap.indent(text, self.indent).splitlines()

    # each assertion

    def _assertion(self, test: ast.expr) -> None:
        if not self._has_theirs(test):
            raise Unrecognised(f"it asserts what no student wrote: `{_short(ast.unparse(test))}`")
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for value in test.values:
                self._assertion(value)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1:
            self._comparison(test, test.left, test.ops[0], test.comparators[0])
        elif isinstance(test, ast.Call) and _called(test) in {*EQUAL, *NEAR} and len(test.args) >= 2:
            self._call(test)
        elif isinstance(test, ast.Call) and _called(test) == "all" and len(test.args) == 1 and _is_near(test.args[0]):
            self._call(test.args[0])
        else:
            self._truth(test)

    def _comparison(self, whole: ast.expr, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> None:
        gap = _gap(left)
        limit = _number(right)
        if isinstance(operator, (ast.Lt, ast.LtE)) and gap and limit is not None:
            self._equal(*gap, within=limit)
        elif isinstance(operator, (ast.Eq, ast.Is)) and self._has_theirs(left) != self._has_theirs(right):
            self._equal(left, right)
        else:
            self._truth(whole)

    def _call(self, call: ast.Call) -> None:
        name, arguments = _called(call), call.args
        if name in {"AUTOTEST", "HASHED_AUTOTEST"} and arguments:
            self._record(arguments[0], "equal(observed.PROBE[asked], expected.PROBE[asked], asked)")
        elif name in EQUAL and len(arguments) >= 2:
            self._equal(arguments[0], arguments[1])
        elif name in NEAR and len(arguments) >= 2:
            self._equal(arguments[0], arguments[1], within=_tolerance(call))
        elif name in DECIMALS and len(arguments) >= 2:
            self._equal(arguments[0], arguments[1], within=10.0 ** -_decimals(call))
        elif name in TRUE and arguments:
            self._assertion(arguments[0])
        elif name in FALSE and arguments:
            self._truth(ast.UnaryOp(ast.Not(), arguments[0]))
        elif name in RAISES and len(arguments) >= 2:
            self._raises(ast.Call(arguments[1], arguments[2:], call.keywords), arguments[0])
        elif name.startswith("assert"):
            raise Unrecognised(f"of its line `{_short(ast.unparse(call))}`")
        else:
            self._before(ast.Expr(call))

    def _equal(self, one: ast.expr, other: ast.expr, within: float | None = None) -> None:
        if self._has_theirs(one) == self._has_theirs(other):
            raise Unrecognised(f"both sides of `{_short(ast.unparse(one))}` come from students, or none does")
        asked = one if self._has_theirs(one) else other
        tolerance = "" if within is None else f", within={within:g}"
        self._record(asked, f"equal(observed.PROBE[asked], expected.PROBE[asked], asked{tolerance})")

    def _truth(self, test: ast.expr) -> None:
        direct = isinstance(test, ast.Call) and _called(test) in self.written.functions
        self.part.beside += not direct
        self._record(test, "same(observed.PROBE[asked], expected.PROBE[asked], asked)", "bool({})")

    def _raises(self, action: ast.expr, kind: ast.expr) -> None:
        if self.looped or not self._has_theirs(action):
            raise Unrecognised(f"of its line `{_short(ast.unparse(action))}`")
        key = self._key(action)
        types = ast.unparse(kind)
        self._write(f"seen[{key}] = attempt(lambda: {ast.unparse(self._asking(action))}, raises={types})")
        wanted = quoted(f"a {types}")
        test = f"require(isinstance(answer, Error) and answer.declared, asked, {wanted}, answer)"
        self._judge(key, f"answer = observed.PROBE[asked]\n{test}")

    def _record(self, asked: ast.expr, judge: str, form: str = "{}") -> None:
        if not self._has_theirs(asked):
            raise Unrecognised(f"it asks nothing of a student's: `{_short(ast.unparse(asked))}`")
        key = self._key(asked)
        value = f"attempt(lambda: {form.format(ast.unparse(self._asking(asked)))})"
        self._write(f"seen.setdefault({key}, []).append({value})" if self.looped else f"seen[{key}] = {value}")
        self._judge(key, judge)

    def _judge(self, key: str, form: str) -> None:
        """One line judges all that is asked in a row and judged alike."""
        if self.part.judges and self.part.judges[-1][0] == form:
            self.part.judges[-1][1].append(key)
        else:
            self.part.judges.append((form, [key]))

    def _key(self, asked: ast.expr) -> str:
        """What was asked, in the cell's words; once more with a number."""
        said = _short(ast.unparse(asked)) + (", one after another" if self.looped else "")
        count = self.keys[said] = self.keys.get(said, 0) + 1
        return quoted(said if count == 1 else f"{said}, time {count}")

    # statements with others inside

    def _with(self, node: ast.With) -> None:
        call = node.items[0].context_expr
        body = [s for s in node.body if not _is_docstring(s)]
        if not (isinstance(call, ast.Call) and _called(call) in RAISES and call.args and len(node.items) == len(body) == 1):
            raise Unrecognised(f"of its line `{_short(ast.unparse(node))}`")
        self._raises(_only_value(body[0]), call.args[0])

    def _try(self, node: ast.Try) -> None:
        """`try: f(0)`, `except ValueError: pass`, `else: raise AssertionError`, the last of which may stand in the `try`."""
        failing = node.orelse or node.body[1:]
        handled = node.handlers[0] if len(node.handlers) == 1 else None
        if (
            handled is None
            or handled.type is None
            or node.finalbody
            or len(node.body) > (1 if node.orelse else 2)
            or len(failing) != 1
            or not _fails(failing[0])
            or not all(isinstance(s, ast.Pass) or _is_docstring(s) or _prints(s) for s in handled.body)
        ):
            raise Unrecognised(f"of its line `{_short(ast.unparse(node))}`")
        self._raises(_only_value(node.body[0]), handled.type)

    def _loop(self, node: ast.For) -> None:
        if self.looped or self._has_theirs(node.iter):
            raise Unrecognised(f"of its line `{_short(ast.unparse(node))}`")
        self._write(f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}:")
        self.indent, self.looped = self.indent + "    ", True
        for one in node.body:
            self.take(one)
        self.indent, self.looped = self.indent[:-4], False


class _Asking(ast.NodeTransformer):
    """Puts `student.f` for a student's `f`, and `student.answer()["x"]` for a value `x`."""

    def __init__(self, written: Written):
        self.written = written

    def visit_Name(self, node: ast.Name) -> ast.AST:
        student = ast.Name("student", ast.Load())
        if node.id in self.written.functions:
            return ast.Attribute(student, node.id, ast.Load())
        if node.id in self.written.values:
            giving = ast.Call(ast.Attribute(student, self.written.values[node.id], ast.Load()), [], [])
            return ast.Subscript(giving, ast.Constant(node.id), ast.Load())
        return node


def _called(node: ast.AST) -> str:
    """The last name of what a call calls."""
    function = node.func if isinstance(node, ast.Call) else node
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _inside(node: ast.AST) -> bool:
    """Whether an assertion stands in a definition."""
    return any(isinstance(part, ast.Assert) for part in ast.walk(node))


def _fails(node: ast.stmt) -> bool:
    never = isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant) and not node.test.value
    return never or isinstance(node, ast.Raise)


def _prints(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _called(node.value) == "print"


def _only_value(node: ast.stmt) -> ast.expr:
    value = getattr(node, "value", None)
    if not isinstance(node, (ast.Expr, ast.Assign)) or not isinstance(value, ast.expr):
        raise Unrecognised(f"of its line `{_short(ast.unparse(node))}`")
    return value


def _is_near(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and _called(node) in NEAR


def _gap(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The two sides of `abs(a - b)`."""
    inner = node.args[0] if isinstance(node, ast.Call) and _called(node) in ("abs", "fabs") and len(node.args) == 1 else None
    return (inner.left, inner.right) if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub) else None


def _tolerance(call: ast.Call) -> float:
    given = [*call.args[2:4], *(k.value for k in call.keywords if k.arg in ("rtol", "atol", "rel_tol", "abs_tol"))]
    return max(filter(None, map(_number, given)), default=WITHIN)


def _number(node: ast.expr) -> float | None:
    """A number that is written down."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, (int, float)) else None


def _decimals(call: ast.Call) -> int:
    given = [*call.args[2:3], *(k.value for k in call.keywords if k.arg in ("places", "decimal"))]
    return next((one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, int)), 7)


def _short(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= 70 else line[:69] + "…"


def quoted(text: str) -> str:
    """The text as a literal, in the quotes that are usual here where it has none."""
    return repr(text) if '"' in text or repr(text)[1:-1] != text else f'"{text}"'
