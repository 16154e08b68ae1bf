"""Damaged and rewritten notebooks: each is graded as the undamaged one, or refused with a line that says the mend."""

import copy
import io
import json
import random
import zipfile

import pytest
from conftest import needs_walls

from autograder.errors import Unreadable
from autograder.sandboxed.notebook import Code, read_cells, select

FUNCTIONS = ["double", "mean"]
CELLS = [
    "# %% [markdown] is only a comment here",
    "import math\nFACTOR = 2",
    "def double(x):\n    return FACTOR * x",
    "def mean(numbers):\n    return math.fsum(numbers) / len(numbers)",
    "print(double(3))",
]


def cell(source, **more) -> dict:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None, **more}


def notebook(sources=CELLS, **more) -> dict:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell(source) for source in sources], **more}


def dumped(content, **how) -> bytes:
    return json.dumps(content, **how).encode()


def changed(**more) -> bytes:
    return dumped({**notebook(), **more})


def each_cell(change) -> bytes:
    content = copy.deepcopy(notebook())
    for one in content["cells"]:
        change(one)
    return dumped(content)


def without(key: str) -> bytes:
    return each_cell(lambda one: one.pop(key))


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("toy.ipynb", dumped(notebook()))
    return out.getvalue()


def format_3() -> bytes:
    cells = [{"cell_type": "code", "input": source, "language": "python", "collapsed": False} for source in CELLS]
    return dumped({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]})


WHOLE = dumped(notebook())
COLAB = {"colab": {"provenance": []}, "accelerator": "GPU", "kernelspec": {"name": "python3"}}
BIG = [{"output_type": "stream", "name": "stdout", "text": "x" * 30 * 2**20}]
GRADED = {"nbgrader": {"grade_id": "double", "points": 1000, "grade": True, "locked": False, "solution": False}}

SAME = {
    "undamaged": WHOLE,
    "no metadata at all": without("metadata"),
    "no notebook metadata": dumped({"nbformat": 4, "cells": notebook()["cells"]}),
    "metadata of another type": changed(metadata=[1, "x"]),
    "no outputs": without("outputs"),
    "no execution counts": without("execution_count"),
    "no format number": dumped({"cells": notebook()["cells"]}),
    "format number 99": changed(nbformat=99, nbformat_minor=-1),
    "format number as text": changed(nbformat="4.5"),
    "format 4.0": changed(nbformat_minor=0),
    "format 3": format_3(),
    "Colab's rewriting": dumped({**notebook(), "metadata": COLAB}, indent=2),
    "Colab's form magic": dumped(notebook(["# @title Functions { display-mode: 'form' }\n" + c for c in CELLS])),
    "Colab's drive cell": dumped(notebook(["from google.colab import drive\ndrive.mount('/content/drive')", *CELLS])),
    "Colab's shell lines": dumped(notebook(["!pip install torch\n%cd /content", *CELLS])),
    "VS Code's rewriting": each_cell(lambda c: c.update(metadata={"vscode": {"languageId": "python"}}, id="x")),
    "sources as lists of lines": each_cell(lambda c: c.update(source=c["source"].splitlines(keepends=True))),
    "lines without ends": dumped(notebook([[line] for line in CELLS])),
    "Windows line ends": each_cell(lambda c: c.update(source=c["source"].replace("\n", "\r\n"))),
    "old Mac line ends": each_cell(lambda c: c.update(source=c["source"].replace("\n", "\r"))),
    "NULs in the sources": each_cell(lambda c: c.update(source=c["source"] + "\0")),
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "UTF-16": json.dumps(notebook()).encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + json.dumps(notebook()).encode("utf-16-be"),
    "spaces around": b"\n\n  " + WHOLE + b"\n\n",
    "indented by eight": dumped(notebook(), indent=8),
    "plain UTF-8": json.dumps(notebook([*CELLS, "# äöü 漢字 🎓"]), ensure_ascii=False).encode(),
    "every cell twice": dumped(notebook(CELLS * 2)),
    "one cell twice": dumped(notebook([*CELLS, CELLS[2]])),
    "ids twice": each_cell(lambda c: c.update(id="same")),
    "grade metadata rewritten": each_cell(lambda c: c.update(metadata=GRADED)),
    "all cells merged into one": dumped(notebook(["\n\n".join(CELLS)])),
    "cells split at every statement": dumped(notebook([*CELLS[:1], "import math", "FACTOR = 2", *CELLS[2:]])),
    "helper below its function": dumped(notebook([CELLS[2], CELLS[3], CELLS[1]])),
    "an empty cell between all": dumped(notebook([text for c in CELLS for text in (c, "")])),
    "30 MB of output": dumped(notebook() | {"cells": [cell(c, outputs=BIG if c == CELLS[-1] else []) for c in CELLS]}),
    "thousands of cells": dumped(notebook([*CELLS, *["1 + 1"] * 5000])),
    "a cell that does not parse": dumped(notebook(["def broken(:", *CELLS])),
    "a cell with merge marks": dumped(notebook([*CELLS, "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> mine"])),
    "cells that are not cells": dumped(notebook() | {"cells": [None, 1, [], "x", *notebook()["cells"], {}]}),
    "a cell without a source": dumped(notebook() | {"cells": [*notebook()["cells"], {"cell_type": "code"}]}),
    "sources that are not text": dumped(notebook([*CELLS, 5, None, {"a": 1}, [1, None]])),
    "unknown kinds of cells": dumped(notebook() | {"cells": [*notebook()["cells"], cell("x", cell_type="heading")]}),
    "lone surrogates in a comment": dumped(notebook([*CELLS, "# \ud800"])),
    "tabs and form feeds": dumped(notebook([c.replace("    ", "\t") + "\n\f" for c in CELLS])),
    "a thousand nested brackets": dumped(notebook([*CELLS, "(" * 1000 + ")" * 1000])),
    "a last line without end and a backslash": dumped(notebook([*CELLS, "x = 1 \\"])),
}
REFUSED = {
    "empty": b"",
    "NULs only": b"\0" * 5000,
    "cut off": WHOLE[: len(WHOLE) // 2],
    "cut off by one byte": WHOLE[:-1],
    "two files in one": WHOLE + WHOLE,
    "a zip file": zipped(),
    "a web page": b"<!doctype html><title>Sign in</title>",
    "a Python script": "\n".join(CELLS).encode(),
    "a list": b"[]",
    "a number": b"40",
    "no cells": b'{"nbformat": 4}',
    "cells are text": changed(cells="none"),
    "Latin-1": json.dumps(notebook([*CELLS, "# \xe4"]), ensure_ascii=False).encode("latin-1"),
    "UTF-16 cut in a character": b"\xff\xfe" + b"\x00\xd8",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a million brackets": b"[" * 10**6,
    "conflict marks around": b"<<<<<<< HEAD\n" + WHOLE,
    "zeros written over its middle": WHOLE[:40] + b"\0" * 40 + WHOLE[80:],
}
MEND = "save|submit|unpack|clear|nested too deeply"


def read(data: bytes) -> Code:
    return select(read_cells(data), FUNCTIONS)


def answers(code: Code) -> tuple:
    """What the functions of the code give; the code is this file's own."""
    namespace: dict = {}
    for _, _, text in code.pieces:
        exec(text, namespace)
    return namespace["double"](21), namespace["mean"]([1, 2, 6])


@pytest.mark.parametrize("kind", SAME)
def test_graded_as_the_undamaged_one(kind):
    code = read(SAME[kind])
    assert answers(code) == (42, 3.0)
    assert code.stubs == {}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_mend(kind):
    with pytest.raises((Unreadable, UnicodeDecodeError)) as caught:  # the second is worded by the worker
        read(REFUSED[kind])
    if isinstance(caught.value, Unreadable):
        assert any(word in str(caught.value) for word in MEND.split("|")), caught.value
        assert "\n" not in str(caught.value)


def mutated(draw: random.Random, data: bytes) -> bytes:
    """The bytes with one to eight changes: flipped, cut out, doubled, put elsewhere, or replaced by what parsers hate."""
    data = bytearray(data)
    hated = (b'"', b"{", b"]", b"\\", b"\\ud800", b"\0", b"\xff", b"1e999", b"null", b"\n", b"%%", b"!", b"def ", b"(" * 50)
    for _ in range(draw.randint(1, 8)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.randint(0, 30))
        data[start:end] = draw.choice([b"", data[start:end] * 2, draw.randbytes(end - start), draw.choice(hated)])
    return bytes(data)


def test_no_mutation_of_the_bytes_is_a_crash():
    draw = random.Random(4)
    sources = [SAME[name] for name in SAME if len(SAME[name]) < 5000]
    for _ in range(3000):
        data = mutated(draw, draw.choice(sources))
        try:
            read(data)
        except (Unreadable, UnicodeDecodeError):
            continue


@needs_walls
def test_nor_behind_the_walls(observers):
    draw = random.Random(5)
    for data in [mutated(draw, WHOLE) for _ in range(30)] + list(REFUSED.values()):
        try:
            observers[True].read(data)
        except Unreadable as error:
            assert "could not be read: reading it" not in str(error), data
