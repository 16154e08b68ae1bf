"""From a submitted file to the code that its functions need: damaged files, and what is taken out of sound ones."""

import json
import random

import pytest
from toy_course import notebook

from autograder.errors import Unreadable
from autograder.sandboxed.notebook import Cell, Code, Released, parse, read_cells, released_by, select

# --- reading the file -------------------------------------------------------------------------------------------------


def as_json(**content) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (bytes(5000), "is empty"),
        (b"PK\x03\x04 and so on", "zip file"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut off"),
        (b"\xff\xfe\x00", "damaged or cut off"),
        (b"<!DOCTYPE html>", "damaged or cut off"),
        (b"def f(): return 1", "damaged or cut off"),
        (notebook("x = 1")[:40], "damaged or cut off"),
        (notebook("x = 1") + b"}", "damaged or cut off"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "is not a notebook"),
        (b"null", "not a notebook"),
        (b"[]", "not a notebook"),
        (b'"cells"', "not a notebook"),
        (b"{}", "no notebook cells"),
        (as_json(cells=None), "no notebook cells"),
        (as_json(cells={"source": "x"}), "no notebook cells"),
        (as_json(worksheets=3), "no notebook cells"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_notebook_is_named_with_the_mend(data, message):
    with pytest.raises(Unreadable, match=message) as error:
        read_cells(data)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_a_notebook_full_of_outputs_is_too_large(monkeypatch):
    monkeypatch.setattr("autograder.sandboxed.notebook.MAX_NOTEBOOK_BYTES", 1000)
    with pytest.raises(Unreadable, match="clear the outputs"):
        read_cells(notebook("x" * 1000))


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        ({"source": "a = 1\nb = 2"}, "a = 1\nb = 2"),
        ({"source": ["a = 1\n", "b = 2"]}, "a = 1\nb = 2"),
        ({"source": "a = 1\r\nb = 2\rc = 3"}, "a = 1\nb = 2\nc = 3"),
        ({"source": ["a = 1\n", 3, None, "b = 2"]}, "a = 1\nb = 2"),
        ({"source": "a = 1\0"}, "a = 1"),
        ({"source": None}, ""),
        ({"source": {"a": 1}}, ""),
        ({}, ""),
        ({"source": "a = 1", "metadata": "lost", "outputs": 5}, "a = 1"),
    ],
)
def test_a_cells_source_in_any_form(cell, source):
    assert read_cells(as_json(cells=[{"cell_type": "code", **cell}])) == [Cell(1, source)]


def test_what_is_no_code_cell_is_left_out():
    cells = [None, 3, [], "x", {}, {"cell_type": "markdown", "source": "# x"}, {"cell_type": ["code"]}]
    assert read_cells(as_json(cells=[*cells, {"cell_type": "code", "source": "x"}, *cells])) == [Cell(1, "x")]


@pytest.mark.parametrize("sheet", [None, 3, "x", [], {}, {"cells": None}, {"cells": 3}])
def test_a_notebook_of_format_3(sheet):
    code = {"cell_type": "code", "input": ["a = 1\n", "b = 2"], "language": "python"}
    good = {"cells": [{"cell_type": "heading", "source": "x"}, code]}
    assert read_cells(as_json(nbformat=3, worksheets=[sheet, good])) == [Cell(1, "a = 1\nb = 2")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_of_editors(encoding):
    data = json.dumps({"cells": [{"cell_type": "code", "source": "x = 'é'"}]}, ensure_ascii=False)
    assert read_cells(data.encode(encoding)) == [Cell(1, "x = 'é'")]


def test_a_damaged_notebook_is_read_or_unreadable():
    """Cuts, flips and insertions at places drawn from a seed; nothing but Unreadable may come out."""
    whole = notebook("%time x = 1\n!ls", "def f(n):\n    return [x, n]", "del x; y = 2")
    draw = random.Random(2)
    unreadable = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(data))
            if draw.random() < 0.5:
                data[place] = draw.randrange(256)
            else:
                del data[place : place + draw.randint(1, 9)]
        try:
            assert isinstance(select(read_cells(bytes(data)), ["f"]), Code)
        except Unreadable:
            unreadable += 1
    assert 300 < unreadable < 1500


# --- choosing the statements ------------------------------------------------------------------------------------------


def chosen(*sources: str) -> Code:
    return select([Cell(number, source) for number, source in enumerate(sources, 1)], ["f", "g"])


def run(code: Code) -> dict:
    """Runs the statements as the sandbox does: one by one, each at its line."""
    namespace: dict = {}
    for cell, line, text in code.pieces:
        exec(compile("\n" * (line - 1) + text, f"cell {cell}", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(
    "sources",
    [
        ["def f(): return 1", "def f(): return 3"],
        ["def f(): return 3", "def f(:"],
        ["def f(): return 3", "f(", "'open"],
        ["def f(): return helper()", "def helper(): return 3"],
        ["def f(): return [first(n) for n in '3'][0]", "def first(n): return second(n)", "second = int"],
        ["def f(): return Net().size", "class Base: size = 3", "class Net(Base): pass"],
        ["class f:\n    def __new__(cls): return 3"],
        ["f = lambda: size", "size = 3"],
        ["size = 1", "def f(): return size", "size = 3"],
        ["size = 3", "def f(n=size): return n"],
        ["size = 1", "size += 1", "size = size + 1", "def f(): return size"],
        ["a, (b, *c) = 1, (2, 3)", "def f(): return c[0]"],
        ["sizes: dict = {}", "sizes['a'] = 3", "def f(): return sizes['a']"],
        ["sizes = []", "sizes.append(3)", "def f(): return sizes[0]"],
        ["sizes = [0]", "for n in range(4):\n    sizes[0] = n", "def f(): return sizes[0]"],
        ["if True:\n    size = 3\nelse:\n    size = 1", "def f(): return size"],
        ["size = 3", "def other(size): size = 1", "def f(): return size"],
        ["def set_up():\n    global size\n    size = 3", "set_up()", "def f(): return size"],
        ["from math import *", "def f(): return int(sqrt(9))"],
        ["import math as m, os.path", "def f(): return int(m.sqrt(9)) if os.path else 0"],
        ["import functools", "@functools.cache\ndef f(): return 3"],
        ["def thrice(g): return lambda: 3 * g()", "@thrice\ndef f(): return 1"],
        ["size = 0; thrice = lambda g: lambda: 3 * g()\n@thrice\ndef f(): return 1"],
        ["import math; size = 3; other = 4\ndef f(): return size"],
        ["def f(): return 1", "f = (lambda g: lambda: 3 * g())(f)"],
        ["class Net: pass", "Net.size = 3", "def f(): return Net.size"],
        ["class Net: pass", "def size(self): return 3\nNet.size = size", "def f(): return Net().size()"],
        ["class Net: pass", "setattr(Net, 'size', 3)", "def f(): return Net.size"],
        ["import types", "types.size = 3", "def f(): return types.size"],
        ["def f(): return f.size", "f.size = 3"],
        ["try:\n    import no_such_package as p\nexcept ImportError:\n    p = 3", "def f(): return p"],
        ["with open('/dev/null') as file:\n    size = 3", "def f(): return size"],
        ["size = 1", "del size", "size = 3", "def f(): return size"],
        ["%%time\ndef f(): return 3"],
        ["\n%%capture out\ndef f(): return 3"],
        ["%time size = 3", "def f(): return size"],
        ["%time size = 1; size = 3\n%time\n%time !ls\n%timeit size = 4", "def f(): return size"],
        ["if True:\n    %time text = \"it's '3'\"", "def f(): return int(text[-2])"],
        ["size = %time 1 + 2", "def f(): return size"],
        ["%%prun\ndef f(): return 3"],
        ["def f(): return 3", "%%timeit\ndef f(): return 4"],
        ["def f(): return 3", "%%python3\ndef f(): return 4"],
        ["%matplotlib inline\n!pip install torch\nsize = 3", "def f(): return size"],
        ["!pip install \\\n   torch\nsize = 3", "def f(): return size"],
        ["?print\nsize?\nsize = 3\ndef f(): return size"],
        ["text = '''\n!3\n%4\n'''", "def f(): return int(text[2])"],
        ["from google.colab import drive\ndrive.mount('/content/drive')\ndef f(): return 3"],
        ["name = input('who? ')\nprint(name)", "def f(): return 3"],
        ["def train(): raise SystemError", "train()", "for epoch in range(10):\n    train()", "def f(): return 3"],
        ["net = no_such_function()\nnet.fit()", "def f(net=None): return 3"],
        ["raise SystemExit", "assert False", "def f(): return 3"],
        ["def f(): return 3", "if __name__ == '__main__':\n    raise SystemExit"],
        ["await something()", "return 5", "def f(): return 3"],
        ["x = 'é'; size = 3\ndef f(): return size  # ü"],
        ["def f():\n\treturn 3"],
        ["    size = 3\n    def f():\n        return size"],
        [">>> def f():\n...     return 3"],
        ["In [1]: def f():\n   ...:     return 3"],
        ["    ", "# only a comment", "'only a string'", "def f(): return 3"],
        ["match 3:\n    case size: pass", "def f(): return size"],
        ["if (size := 3): pass", "def f(): return size"],
        ["sizes = [3, 1]", "last = sizes.pop()", "def f(): return sizes[-1]"],
        ["sizes = []", "_ = [sizes.append(n) for n in (1, 3)]", "def f(): return sizes[1]"],
        ["sizes = {}", "def add(n): sizes['last'] = n", "add(1)", "add(3)", "def f(): return sizes['last']"],
        ["sizes = []", "def add(n):\n    sizes.append(n)\n    return n", "add(3)", "def f(): return sizes[0]"],
        [
            "makers = {}",
            "def register(name):\n    def keep(g):\n        makers[name] = g\n        return g\n    return keep",
            "@register('three')\ndef three(): return 3",
            "def f(): return makers['three']()",
        ],
        ["makers = []", "def keep(g):\n    makers.append(g)", "@keep\ndef three(): return 3", "def f(): return makers[0]()"],
        ["class Keep(list): __call__ = list.append", "keep = Keep()", "@keep\ndef g(): return 3", "def f(): return keep[0]()"],
        [
            "class Base:\n    kinds = []\n    def __init_subclass__(cls): Base.kinds.append(cls)",
            "class Three(Base): size = 3",
            "def f(): return Base.kinds[0].size",
        ],
        [
            "from functools import singledispatch",
            "@singledispatch\ndef g(x): return 1",
            "@g.register\ndef _(x: str): return 3",
            "def f(): return g('a')",
        ],
        ["import warnings", "warnings.filterwarnings('error')", "def f(): return {'error': 3}[warnings.filters[0][0]]"],
        ["calls = []", "def g():\n    calls.append(1)\n    return 5", "g()\nopen('/nowhere')", "def f(): return 3"],
    ],
    ids=lambda sources: " | ".join(sources)[:60],
)
def test_the_last_definition_is_taken_with_what_it_needs(sources):
    code = chosen(*sources)
    assert run(code)["f"]() == 3
    assert code.stubs == {}


@pytest.mark.parametrize(
    "source",
    [
        "drive.mount('/content/drive')",
        "input()",
        "history = fit(net, loader)",
        "for epoch in range(10):\n    train(net)",
        "%timeit f()",
        "%time f()",
        "%prun f()",
        "%%time\nf()",
        "%%timeit\nf()",
        "%%capture out\nf()",
        "import torch\ntorch.manual_seed(0)",
        "import os\nos.getcwd()",
        "f()",
        "import time\ntime.sleep(1000)",
        "assert f() == 1",
        "check('f')",
        "while True: pass",
    ],
)
def test_what_no_function_needs_does_not_run(source):
    code = chosen("import math", source, "def f(): return math.pi")
    assert [cell for cell, _, _ in code.pieces] == [1, 3]
    assert set(code.notes) <= {2}


def test_line_numbers_stay_as_they_are_beside_magics():
    code = chosen("\n \n%matplotlib inline\n\ndef f(): return 3")
    assert [line for _, line, _ in code.pieces] == [5]


def test_each_cell_that_does_not_run_says_why():
    code = chosen("%%bash\nls", "def g(:", "train()", "!ls", "(" * 1000, "-" * 100_000 + "1", "def f(): return 1")
    assert code.notes[1] == "was not run: it is a %%bash cell"
    assert code.notes[2] == "does not run: invalid syntax, line 1: def g(:"
    assert code.notes[3] == "was not run: no graded function needs it"
    assert code.notes[4] == "has lines for the notebook or the shell (% or !): those lines were not run"
    assert code.notes[5].startswith("does not run: too many nested parentheses")
    assert "nested too deeply" in code.notes[6]
    assert set(code.notes) == {1, 2, 3, 4, 5, 6} and run(code)["f"]() == 1


@pytest.mark.parametrize(("version", "told"), [("3.99.1", True), ("3.99", True), ("3.4.0", False), ("4", False), (5, False)])
def test_syntax_of_a_newer_python_is_told(version, told):
    content = json.loads(notebook("def f(:", "f = 3"))
    content["metadata"]["language_info"] = {"name": "python", "version": version}
    note = select(read_cells(json.dumps(content).encode()), ["f"]).notes[1]
    assert note.startswith("does not run: ") and ("ran on Python 3.99, the grader runs on 3." in note) == told


def test_a_cell_of_more_magics_than_ipython_takes_does_not_stop_the_others(monkeypatch):
    monkeypatch.setattr("IPython.core.inputtransformer2.TRANSFORM_LOOP_LIMIT", 3)
    code = chosen("!ls\n" * 5, "def f(): return 1")
    assert run(code)["f"]() == 1 and list(code.notes) == [1]


def test_split_merged_repeated_and_moved_cells_give_the_same_functions():
    helper, f, g = "def helper(): return 2", "def f(): return helper() + 1", "def g(): return f()"
    ways = [
        [helper, f, g],
        ["\n\n\n".join([helper, f, g])],
        [g, f, helper],
        [f, f, helper, g, g, helper],
        [f, "# %%\n" + g, "", helper],
    ]
    for sources in ways:
        namespace = run(chosen(*sources))
        assert (namespace["f"](), namespace["g"]()) == (3, 3)


def test_statements_keep_their_text_and_place():
    code = chosen("%%time\n# first\n\nimport math\n\n@math.sin  # why not\ndef f():\n    # inside\n    return 1  # one")
    assert code.pieces == (
        (1, 4, "import math"),
        (1, 6, "@math.sin  # why not\ndef f():\n    # inside\n    return 1  # one"),
    )


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "...",
        "'''What it does.'''",
        "'''What it does.'''\n    raise NotImplementedError",
        "raise NotImplementedError('write f')",
        "'''Doc.'''\n    # a comment\n    pass",
    ],
)
def test_a_stub_is_missing(body):
    assert chosen("def g(): return 1", f"def f():\n    {body}").stubs == {"f": 2}
    assert chosen(f"def f():\n    {body}", "def f(): return 1").stubs == {}
    assert chosen("def f(): return 1", f"def f():\n    {body}").stubs == {}


@pytest.mark.parametrize(
    "source",
    [
        "def f(): return None",
        "def f(): raise ValueError",
        "def f():\n    x = 1\n    raise NotImplementedError",
        "def f(): print('hello')",
        "def f():\n    def h(): pass",
        "f = lambda: None",
    ],
)
def test_what_does_something_is_no_stub(source):
    assert chosen(source).stubs == {}


def test_a_class_of_stubs_is_a_stub():
    assert chosen("class f:\n    '''Doc.'''\n    def a(self): pass\n    def b(self): ...").stubs == {"f": 1}
    assert chosen("class f:\n    def a(self): pass\n    def b(self): return 1").stubs == {}
    assert chosen(STUB_OF_A_CLASS.format("raise NotImplementedError('write f.__init__')")).stubs == {"f": 1}
    assert chosen(STUB_OF_A_CLASS.format("self.width = width")).stubs == {}, "one method is written"
    assert chosen("class mine:\n    def a(self): return 1", "class f(mine): pass").stubs == {}, "it inherits"


STUB_OF_A_CLASS = """class f(nn.Module):
    '''Doc.'''

    def __init__(self, width: int = 3):
        super().__init__()
        {}

    def forward(self, x):
        '''Doc.'''
        raise NotImplementedError("write f.forward")
"""


def test_a_written_class_counts_beside_its_stub():
    stub, written = STUB_OF_A_CLASS.format("raise NotImplementedError"), "class f:\n    def forward(self, x): return x"
    for cells in ([stub, written], [written, stub], [f"{written}\n\n\n{stub}"]):
        code = chosen(*cells)
        assert not code.stubs and run(code)["f"]().forward(3) == 3
        assert any("holds the stub of `f` too" in note for note in code.notes.values())


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["def f(width): return width"], "cell 1 defines it as a function, and a class is asked for: `class f`"),
        (["async def f(width): return width"], "cell 1 defines it as a function, and a class is asked for: `class f`"),
        (["class Net:\n    class f:\n        pass"], "cell 1 defines it inside `Net`: move it out, to the left"),
        (["def make():\n    class f: pass\n    return f"], "cell 1 defines it inside `make`: move it out, to the left edge"),
        (["x = 1", "class F:\n    def forward(self, x): return x"], "cell 2 defines `F`: give it the name `f`"),
        (["class f:\n    def forward(self, x) return x"], "its cell 1 does not run: "),
        (["class G:\n    def forward(self, x): return x"], None),
        ([], None),
    ],
)
def test_why_a_class_is_not_there(cells, why):
    cells = [Cell(number, text) for number, text in enumerate(cells, 1)]
    code = select(cells, ["f", "g"], Released(classes=frozenset({"f"})))
    assert "f" not in code.stubs and not any("f" in text for _, _, text in code.pieces if "def f" in text)
    assert code.absent["f"].startswith(why) if why else "f" not in code.absent


def test_a_class_in_a_text_cell_and_a_function_inside_another():
    code = select([Cell(1, "x = 1")], ["f"], texts=[("the text cell below code cell 1", "class f(nn.Module):\n    pass")])
    assert code.absent["f"].startswith("the text cell below code cell 1 holds it: make that a code cell")
    assert chosen("class Trainer:\n    def f(self): return 1").absent["f"].startswith("cell 1 defines it inside `Trainer`")


def test_a_class_stays_where_a_function_of_its_name_was_tried():
    released = Released(classes=frozenset({"f"}))
    code = select([Cell(1, "class f:\n    pass\nf.x = 1"), Cell(2, "def f(): return 2")], ["f"], released)
    assert isinstance(run(code)["f"], type)


def test_an_absent_function_leaves_the_others():
    code = chosen("def f(): return 1")
    assert code.stubs == {} and set(run(code)) == {"f", "__builtins__"}


def test_nothing_in_an_empty_notebook():
    assert chosen() == Code((), {}, {})


# --- what is the student's own, and what the released notebook says itself --------------------------------------------

GIVEN = [
    "import math\nfrom collections import Counter",
    "SIZES = [1, 2]\n\n\ndef helper(x):\n    return x + len(SIZES)",
    "net = list(range(3))\noptimizer = dict(lr=1)\ncount = len(net)",
]
RELEASED = released_by(parse([Cell(n, text) for n, text in enumerate(GIVEN, 1)])[0])


def own(*sources: str, texts=(), newest: bool = False) -> Code:
    """The code of `f` and `g` in a notebook of these cells, some of them the released ones."""
    return select([Cell(n, text) for n, text in enumerate(sources, 1)], ["f", "g"], RELEASED, texts, newest=newest)


def test_a_released_cell_that_runs_something_is_no_part_of_the_code():
    code = own(*GIVEN, "def f(x):\n    return optimizer['lr'] * math.pi * helper(x)", "def g(): return Counter()")
    assert code.run == {"optimizer": 3}
    assert {cell for cell, _, _ in code.pieces} == {1, 2, 4, 5} and "optimizer" not in run(code)
    assert run(code)["helper"](1) == 3


def test_a_released_name_never_displaces_the_students_own():
    helper = "def count(x):\n    return 2 * x\n\n\ndef f(x):\n    return count(x)"
    assert run(own(helper, *GIVEN))["f"](4) == 8
    assert run(own("def math(x): return x", "def f(x): return math(x)", *GIVEN))["f"](5) == 5
    mixed = run(own("Counter = 3\n\n\ndef f(x): return (Counter, math.floor(x))", *GIVEN))
    assert mixed["f"](1.5) == (3, 1)


def test_an_edited_line_of_a_run_is_no_more_the_students_than_the_rest():
    edited = "net = list(range(3))\noptimizer = dict(lr=5)\ncount = len(net)"
    assert own(edited, "def f(): return optimizer").run == {"optimizer": 1}
    assert run(own("optimizer = dict(lr=5)", "def f(): return optimizer"))["f"]() == {"lr": 5}  # in a cell of their own


def test_a_stub_never_takes_the_place_of_written_code():
    stub = "def f():\n    raise NotImplementedError"
    for cells in (["def f(): return 1", stub], [stub, "def f(): return 1"], [f"def f(): return 1\n\n\n{stub}"]):
        code = own(*cells)
        assert not code.stubs and run(code)["f"]() == 1
        assert any("holds the stub of `f` too" in note for note in code.notes.values())
    assert own("def f(): return 1", stub, newest=True).stubs == {"f": 2}  # run one by one, the newest counts
    together = own(f"def f(): return 1\n\n\n{stub}", newest=True)  # but not where both were run at once
    assert not together.stubs and run(together)["f"]() == 1
    assert own(stub, stub).stubs == {"f": 2}


@pytest.mark.parametrize(
    ("cells", "texts", "why"),
    [
        (["x = 1"], [("the text cell below code cell 1", "```python\ndef f(x):\n    return x\n```")], "the text cell below"),
        (["x = 1"], [("the raw cell at the top", "def f(x): return x")], "the raw cell at the top holds it"),
        (["%%timeit\ndef f(x): return x"], [], "its cell 1 was not run: it is a %%timeit cell"),
        (["def f(x:\n    return x"], [], "its cell 1 does not run: '(' was never closed"),
        (["def F(x): return x"], [], "cell 1 defines `F`: give it the name `f`"),
        (["def f_(x): return x"], [], "cell 1 defines `f_`: give it the name `f`"),
        (["def double(x): return x"], [("the text cell at the top", "define f here")], None),
    ],
)
def test_a_function_that_is_not_there_is_looked_for(cells, texts, why):
    absent = own(*cells, texts=texts).absent
    assert why in absent["f"] if why else "f" not in absent


def test_a_later_definition_that_counts_is_named():
    code = own("def f(): return 1", "x = 2", "def f(): return 3")
    assert code.notes[1] == "defines `f`, and so does cell 3 below: the last one counts" and run(code)["f"]() == 3


def test_what_a_release_says_survives_json():
    assert Released.from_dict(json.loads(json.dumps(RELEASED.as_dict()))) == RELEASED
