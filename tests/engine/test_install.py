"""What a student installs and downloads: the light set is enough, and no answer lies in any of it, in bytecode neither."""

import ast
import contextlib
import gzip
import importlib.metadata
import json
import marshal
import os
import py_compile
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import nbformat
import pytest
from conftest import needs_walls
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from packaging.requirements import Requirement
from test_handin import finish

from autograder.authors.leaks import secret_lines, squeezed
from autograder.authors.release import reference_module, released_cells
from autograder.course.course import Course, Module
from autograder.grading.contents import Contents

ROOT = Path(__file__).resolve().parents[2]
MODULES = Course(ROOT).modules()
TELLING = 25  # characters without spaces: shorter pieces of code stand anywhere by chance
TELLING_BYTECODE = 60
TEACHERS_TOOLS = ("nbgrader", "rich", "jupytext", "nbclient", "nbformat", "jupyterlab")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as pip installs it, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "autograder", folder / "autograder")
    shutil.copy(ROOT / "pyproject.toml", folder)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q", "-w", "made"]
    subprocess.run(command, cwd=folder, check=True)
    zipfile.ZipFile(next((folder / "made").glob("*.whl"))).extractall(folder / "site")
    return folder / "site"


# --- no answers -------------------------------------------------------------------------------------------------------


def answers_in(folder: Path, module: Module) -> list[str]:
    """Where in a folder there is code of the reference, a hidden check or probe, a known mistake or an alternative."""
    contents = Contents(module)
    texts = [reference_module(contents), *(path.read_text() for path in module.secret_files)]
    public_texts = [path.read_text() for path in module.public_files]
    stubs = [cell.stub for cell in contents.cells if cell.role == "exercise"]  # a class's own body only names its methods
    secret_code = shapes_of(texts) - shapes_of([*public_texts, *stubs])
    hints = {squeezed(line) for text in texts for line in docstring_lines(text)}
    device = (ROOT / "autograder" / "sandboxed" / "device.py").read_text()  # its PyTorch calls stand in answers too
    public = plain("\n".join([*(cell.stub for cell in contents.cells), *public_texts, device]))
    lines = map(plain, secret_lines(contents).keys() - hints)
    secret_text = {
        line for line in lines if len(line) >= TELLING and line not in public and not line.startswith("from")
    }
    found = []
    for path in filter(Path.is_file, folder.rglob("*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = plain(data.decode("latin-1") if path.suffix == ".pyc" else data.decode(errors="replace"))
        found += [f"{path.name}: {line}" for line in secret_text if line in text]
        found += [f"{path.name}: bytecode of {shape[0]}" for shape in shapes_in(path) if shape in secret_code]
    return found


def plain(text: str) -> str:
    """Without spaces and escapes, so that a line of code is found in JSON, in a page and in another indentation."""
    return re.sub(r"\\n|\s|[\\#]", "", text)


def docstring_lines(text: str) -> Iterator[str]:
    """A mistake's docstring is its hint, which students do get."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            yield from text.splitlines()[node.body[0].lineno - 1 : node.body[0].end_lineno]


def shapes_of(texts: list[str]) -> set[tuple]:
    return {shape for text in texts for shape in shapes(compile(text, "text", "exec"))}


def shapes(code: CodeType) -> Iterator[tuple]:
    """The functions in compiled code, by what they do and not by where they stand."""
    if len(code.co_code) >= TELLING_BYTECODE and code.co_name != "<module>":
        yield code.co_name, code.co_code, code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from shapes(inner)


def shapes_in(path: Path) -> Iterator[tuple]:
    if path.suffix == ".pyc":
        yield from shapes(marshal.loads(path.read_bytes()[16:]))
    elif path.suffix == ".py":
        yield from shapes(compile(path.read_text(), path.name, "exec"))
    elif path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        for text in ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"):
            plain = "\n".join(line for line in text.splitlines() if not line.startswith("%"))  # a magic is no Python
            yield from shapes(compile(plain, path.name, "exec"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_answer_is_released_or_installed(wheel, module):
    assert answers_in(module.release, module) == []
    assert answers_in(wheel, module) == []


def as_bytecode(folder: Path, text: str) -> None:
    (folder / "answer.py").write_text(text)
    py_compile.compile(str(folder / "answer.py"), str(folder / "answer.pyc"))
    (folder / "answer.py").unlink()


def as_zipped_json(folder: Path, text: str) -> None:
    (folder / "answers.gz").write_bytes(gzip.compress(json.dumps({"tree": json.dumps([text])}).encode()))


def as_a_cell(folder: Path, text: str) -> None:
    cell = {"cell_type": "code", "source": [f"    {line}" for line in text.splitlines(keepends=True)]}
    (folder / "answer.ipynb").write_text(json.dumps({"cells": [cell | {"cell_type": "raw"}]}))


@pytest.mark.parametrize("hide", [as_bytecode, as_zipped_json, as_a_cell])
@pytest.mark.parametrize("file", ["reference", "test_hidden", "probes_hidden", "mistakes", "alternatives"])
def test_a_hidden_answer_is_found(tmp_path, hide, file):
    module = MODULES[0]
    reference = reference_module(Contents(module))
    hide(tmp_path, reference if file == "reference" else (module.tests / f"{file}.py").read_text())
    assert answers_in(tmp_path, module)


def test_the_package_has_what_students_need_and_no_more(wheel):
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "autograder").rglob("*") if path.is_file()}
    mine = {name for name in files if "__pycache__" not in name}
    packed = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    assert {name for name in packed if ".dist-info/" not in name} == mine
    assert {Path(name).suffix for name in mine} >= {".py", ".html", ".json", ""}


# --- the light set ----------------------------------------------------------------------------------------------------


def light_python(folder: Path, wheel: Path, without: str = "") -> Path:
    """A Python that has the package and what it declares for students, and what these declare; all by links."""
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for distribution in needed_by(next(wheel.glob("*.dist-info"))):
        if distribution.name != without:
            for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__", "bin"}:
                if not (site / top).exists():
                    (site / top).symlink_to(distribution.locate_file(top))
    for part in wheel.iterdir():
        shutil.copytree(part, site / part.name)
    return folder / "bin" / "python"


def needed_by(info: Path) -> Iterator[importlib.metadata.Distribution]:
    waiting, seen = [importlib.metadata.Distribution.at(info)], set()
    while waiting:
        for text in waiting.pop().requires or []:
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in seen:
                seen.add(requirement.name)
                waiting.append(importlib.metadata.distribution(requirement.name))
                yield waiting[-1]


@pytest.fixture(scope="module")
def light(tmp_path_factory, wheel) -> Path:
    return light_python(tmp_path_factory.mktemp("light"), wheel)


@pytest.fixture
def folder(made, tmp_path) -> Path:
    place = Path(shutil.copytree(made / "release" / "toy", tmp_path / "toy"))
    finish(place / "toy.ipynb")
    return place


def run(python: Path, folder: Path, *arguments: str, **more) -> subprocess.CompletedProcess:
    clean = {
        name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"
    }  # IPython would import from there
    command = [python, "-I", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=clean, **more)


@needs_walls
@pytest.mark.long
def test_students_need_only_the_light_set(light, folder):
    tools = f"import importlib.util; print([n for n in {TEACHERS_TOOLS} if importlib.util.find_spec(n)])"
    assert run(light, folder, "-c", tools).stdout == "[]\n"
    checked = run(light, folder, "-m", "autograder.cli", "check")
    assert "toy.ipynb: 4 of 4 public points. All public checks pass." in checked.stdout and checked.returncode == 0, (
        checked
    )
    packed = run(light, folder, "-m", "autograder.cli", "pack")
    assert "handin/toy.ipynb: hand in this file." in packed.stdout and packed.returncode == 0, packed
    typed = "def double(x): return x * x\n\nfrom autograder import check\ncheck('double')\n"
    shown = run(light, folder, "-m", "IPython", "--simple-prompt", "--quick", input=typed)
    assert "Where to look. You multiply the number by itself." in shown.stdout, shown


def ran(python: Path, folder: Path, place: Path, *cells: str) -> list[NotebookNode]:
    """What these cells put out, in a kernel of that Python as Jupyter starts it; it ends at the first error."""
    kernel = {"argv": [str(python), "-I", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    (place / "kernels" / "student").mkdir(parents=True)
    (place / "kernels" / "student" / "kernel.json").write_text(json.dumps(kernel | {"display_name": "student"}))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    client = NotebookClient(notebook, timeout=300, kernel_name="student", resources={"metadata": {"path": str(folder)}})
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(CellExecutionError):
        patch.setenv("JUPYTER_PATH", str(place))
        patch.delenv("VIRTUAL_ENV", raising=False)  # IPython would import from there
        client.execute()
    return [output for cell in notebook.cells for output in cell.outputs]


def red(outputs: list[NotebookNode]) -> list[str]:
    """What of it a notebook shows in red."""
    errors = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    return errors + [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
@pytest.mark.long
def test_the_first_cells_print_nothing_red(light, module, tmp_path):
    """Up to the first exercise, with what a student installs and no more; nor does the bar that students import."""
    cells = released_cells(Contents(module))
    first = next(number for number, cell in enumerate(cells) if cell.role == "exercise")
    code = [cell.stub for cell in cells[:first] if cell.kind == "code"]
    outputs = ran(light, module.release, tmp_path, *code, "import tqdm.auto", "print('ended')")
    assert red(outputs) == [] and "ended\n" in [output.get("text") for output in outputs]


@needs_walls
@pytest.mark.long
def test_a_whole_notebook_with_its_checks_prints_nothing_red(light, folder, tmp_path):
    cells = json.loads((folder / "toy.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    outputs = ran(light, folder, tmp_path / "jupyter", *code)
    assert red(outputs) == [] and "All public checks pass." in json.dumps(outputs)


ANOTHER = {
    "missing": (None, "is not in this Python. In a new cell run %pip install ADDRESS (your instructor"),
    "another": ("'Grades shell scripts.'", "is another one. In a new cell run %pip uninstall --yes autograder visual-"),
    "another that fails": ("import no_such_thing", "is another one. In a new cell run %pip uninstall"),
}


@pytest.mark.parametrize("kind", ANOTHER)
@pytest.mark.long
def test_a_missing_package_or_another_of_its_name_is_one_line(tmp_path, wheel, kind):
    python = light_python(tmp_path / "poor", wheel)
    site = next((tmp_path / "poor").glob("lib/python*/site-packages"))
    for part in wheel.iterdir():
        shutil.rmtree(site / part.name)
    text, words = ANOTHER[kind]
    if text is not None:
        (site / "autograder.py").write_text(text)
    code = released_cells(Contents(MODULES[0]))[2].text
    [said] = red(ran(python, tmp_path, tmp_path, code, "print('went on')"))
    assert words in said and said.count("\n") == 0


@needs_walls
def test_without_torch_one_line_says_what_to_install(tmp_path, wheel, folder):
    python = light_python(tmp_path / "poor", wheel, without="torch")
    mend = "not installed in this Python: torch; run `pip install torch`"
    checked = run(python, folder, "-m", "autograder.cli", "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (2, "", f"autograder: {mend}\n")
    shown = run(python, folder, "-m", "IPython", "--simple-prompt", "--quick", input="from autograder import check\n")
    assert f"autograder: {mend}" in shown.stdout and "Traceback" not in shown.stdout + shown.stderr


def test_an_old_python_is_one_line(tmp_path):
    old = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.version_info = (3, 10, 13)\nimport autograder"
    shown = run(Path(sys.executable), tmp_path, "-c", old)
    assert shown.returncode == 1 and shown.stderr.startswith("autograder: this is Python ")
    assert "3.11 or newer is needed" in shown.stderr and shown.stderr.count("\n") == 1
