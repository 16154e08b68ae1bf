"""Releasing: what students and TAs get, and everything that `release --check` finds stale or leaking in it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from conftest import collected_once, imported_anew, needs_walls
from nbgrader.nbgraderformat.v3 import MetadataValidatorV3
from toy_course import TEST_HIDDEN

from autograder import cli
from autograder.authors import release as releasing
from autograder.authors import stale
from autograder.course.course import Course, Module
from autograder.errors import CourseError
from autograder.grading import contents
from autograder.sandboxed.recording import Timing

pytestmark = needs_walls


@pytest.fixture
def copy(made, tmp_path, monkeypatch, observers):
    """A copy of the released course, to be damaged; the shared workers answer its public probes."""
    shutil.copytree(made, tmp_path / "course")
    for module in (releasing, stale):
        monkeypatch.setattr(module, "public_observer", lambda *_: contextlib.nullcontext(observers[True]))
    monkeypatch.setattr(contents, "collect", collected_once)
    monkeypatch.chdir(tmp_path / "course")
    with imported_anew():
        yield Course(tmp_path / "course").module("toy")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def cells(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


# --- what is made -----------------------------------------------------------------------------------------------------


def test_what_is_released_passes_the_check(copy, capsys):
    assert stale.check_release(copy) == []
    assert cli.main(["release", "--check"]) == 0
    assert "nothing leaks" in capsys.readouterr().out


def test_students_get_stubs_public_checks_and_data_and_nothing_else(copy):
    files = {str(path.relative_to(copy.release)) for path in copy.release.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith(("data/", "checks/mistakes."))} == {
        "toy.ipynb",
        "checks/__init__.py",
        "checks/module.json",
        "checks/probes_public.py",
        "checks/test_public.py",
        "checks/reference.safetensors",
    }
    assert any(name.startswith("data/") for name in files)
    nothing = b"".join(path.read_bytes() for path in copy.release.rglob("*") if path.is_file())
    for secret in (b"twofold", b"halfway", b"len(numbers)", b"the secret", b"long_means", b"BEGIN SOLUTION", b"PAIR"):
        assert secret not in nothing
    released = "\n".join(cell.source for cell in cells(copy.release / "toy.ipynb"))
    assert released.count("raise NotImplementedError") == 3 and "*Your answer here.*" in released


def test_the_released_notebook_is_valid_for_nbgrader(copy):
    notebook = nbformat.read(copy.release / "toy.ipynb", as_version=4)
    nbformat.validate(notebook)
    validator = MetadataValidatorV3()
    validator.validate_nb(notebook)
    ids = [cell.metadata.nbgrader.grade_id for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids)) == 7
    for cell in notebook.cells:
        if "nbgrader" in cell.metadata:
            validator.validate_cell(cell)


def test_points_are_the_sum_of_the_checks(copy):
    roles = {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader for cell in cells(copy.release / "toy.ipynb")
             if "nbgrader" in cell.metadata}  # fmt: skip
    assert {name: role.points for name, role in roles.items() if role.grade} == {
        "exercise-arithmetic": 4,
        "exercise-averages": 2.5,
        "question-why": 2,
    }
    assert [name for name, role in roles.items() if role.solution] == ["double", "quadruple", "mean", "question-why"]
    assert all(role.locked for name, role in roles.items() if name.startswith(("check-", "exercise-")))


def test_a_folded_cell_says_so_to_jupyterlab_and_colab(copy):
    edit(copy.source, "# %%\nimport math", "# %% folded=true\nimport math")
    edit(copy.source, '# %% role="check"', '# %% folded=true role="check"')
    made = nbformat.reads(releasing.notebook_text(contents.Contents(copy), solved=False), as_version=4)
    nbformat.validate(made)
    folded = [cell for cell in made.cells if cell.metadata.get("cellView") == "form"]
    assert [cell.source.split()[0] for cell in folded] == ["import", 'check("double")']
    assert folded == [cell for cell in made.cells if cell.metadata.get("jupyter", {}).get("source_hidden")]
    assert folded[1].metadata.nbgrader.locked


def test_a_modules_own_data_comes_beside_the_tiny_images(copy):
    data = copy.source.parent / "data" / "runs"
    data.mkdir(parents=True)
    (data / "mine.npz").write_bytes(b"figures")
    files = releasing.released_files(contents.Contents(copy))
    assert files["data/runs/mine.npz"] == b"figures" and "data/tiny-cifar-10/test_batch" in files
    assert "data/runs/mine.npz: missing" in "".join(stale.check_release(copy))


def test_tas_get_an_importable_reference_and_the_notebook_with_outputs(copy):
    namespace: dict = {}
    exec((copy.solutions / "toy.py").read_text(), namespace)
    assert (namespace["quadruple"](3), namespace["mean"]([1, 2])) == (12, 1.5)
    assert "autograder" not in (copy.solutions / "toy.py").read_text().replace("source/toy/toy.py", "")
    shown = [json.dumps(cell.outputs) for cell in cells(copy.solutions / "toy.ipynb") if cell.source.startswith("check(")]
    assert len(shown) == 3 and all("Doubles small numbers." in text for text in shown[:2])
    assert "Takes the mean of two." in shown[2] and "✗" not in "".join(shown)


# --- what a student does with it on Colab ----------------------------------------------------------------------------


STUDENT = """
import json, os, sys, types
BLOCKED = ("jupytext", "nbclient", "nbformat", "nbgrader", "rich")  # what a student does not install

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
sys.modules["google.colab"] = types.ModuleType("google.colab")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(history_length=0)
shell.run_line_magic("colors", "nocolor")
for source in json.loads(sys.argv[1]):
    result = shell.run_cell(source, store_history=True)
    if not result.success:
        break
print("ended in", os.getcwd())
"""


def on_colab(folder: Path, *sources: str) -> str:
    """What a student sees who runs these cells in a kernel of their own, with a stand-in for google.colab and pip."""
    (folder / "stand-in" / "pip").mkdir(parents=True, exist_ok=True)
    (folder / "stand-in" / "pip" / "__init__.py").touch()
    (folder / "stand-in" / "pip" / "__main__.py").write_text(
        f"import sys, pathlib\npathlib.Path({str(folder)!r}, 'pip').write_text(' '.join(sys.argv[1:]))\n"
        "sys.exit('no connection' if 'broken' in sys.argv[-1] else 0)"
    )
    (folder / "content").mkdir(exist_ok=True)
    paths = [str(folder / "stand-in"), str(Path(releasing.__file__).parents[2])]
    command = [sys.executable, "-c", STUDENT, json.dumps(sources)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder / "ipython")}
    done = subprocess.run(command, cwd=folder / "content", env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture
def served(copy, tmp_path):
    """The released toy in a zip file as GitHub makes it, behind a server of our own; course.toml names it."""
    shutil.copytree(copy.release, tmp_path / "www" / "repository-main" / "release" / "toy")
    shutil.make_archive(str(tmp_path / "www" / "course"), "zip", tmp_path / "www", "repository-main")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "www"))
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01)).start()
    address = f"http://127.0.0.1:{server.server_port}/course.zip"
    (copy.root / "course.toml").write_text(f'repository = "owner/name"\narchive = "{address}"\n')
    yield address
    server.shutdown()
    server.server_close()


def test_the_released_notebook_works_on_colab(copy, served, tmp_path):
    badge, first = releasing.released_cells(contents.Contents(copy))[1:3]
    assert "colab.research.google.com/github/owner/name/blob/main/release/toy/toy.ipynb" in badge.text
    cells = [first.text, "from autograder import check", "def double(x):\n    return x * x", 'check("double")']
    for _ in range(2):  # the second time after a restart: a new kernel in the old files
        shown = on_colab(tmp_path, *cells)
        assert "ended in " + str(tmp_path / "content" / "toy") in shown and "You multiply the number by itself" in shown
    assert (tmp_path / "pip").read_text() == f"install --quiet {served}"
    assert {path.name for path in (tmp_path / "content").iterdir()} == {"toy"}


def test_elsewhere_the_first_cell_does_nothing(copy, served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    exec(releasing.released_cells(contents.Contents(copy))[2].text, {})
    assert set(tmp_path.iterdir()) == before and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("course.zip", "broken.zip", "no connection\\s+.*not installed. Run this cell again in a minute"),
        ("course.zip", "none.zip", "none.zip could not be fetched .*404"),
        ('"toy"', '"toys"', "the archive holds no release/toys/: tell your instructor"),
    ],
)
def test_a_student_sees_no_traceback_when_fetching_fails(copy, served, tmp_path, old, new, words):
    shown = on_colab(tmp_path, releasing.released_cells(contents.Contents(copy))[2].text.replace(old, new), "print('went on')")
    assert re.search(words, shown) and "Traceback" not in shown and "went on" not in shown, shown
    assert list((tmp_path / "content").iterdir()) == []


# --- what is found ----------------------------------------------------------------------------------------------------


def into_notebook(text: str):
    """Puts a line into a cell of the released notebook, by hand."""

    def damage(copy: Module) -> None:
        path = copy.release / "toy.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[2].source += f"\n{text}"
        nbformat.write(notebook, path)

    return damage


def with_output(copy: Module) -> None:
    path = copy.release / "toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", text="6\n")]
    nbformat.write(notebook, path)


def write(place: str, text: str = "x = 1\n"):
    def damage(copy: Module) -> None:
        path = copy.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return damage


def change(place: str, old: str, new: str):
    return lambda copy: edit(copy.root / place, old, new)


SOURCE, NOTEBOOK, CHECKS = "source/toy/toy.py", "release/toy/toy.ipynb", "release/toy/checks"
HIDDEN_LINE = next(line for line in TEST_HIDDEN.splitlines() if "the secret question" in line)


@pytest.mark.parametrize(
    ("damage", "file", "problem"),
    [
        (into_notebook("    halfway = double(x)"), NOTEBOOK, "holds a line of the solution: halfway=double(x)"),
        (into_notebook("#   halfway=double( x )"), NOTEBOOK, "holds a line of the solution"),
        (into_notebook(HIDDEN_LINE), NOTEBOOK, "holds a line of tests/toy/test_hidden.py"),
        (into_notebook('    """You multiply the number by itself. Look at what happens to 3."""'), NOTEBOOK, "mistakes.py"),
        (into_notebook("# see /home/someone/course"), NOTEBOOK, "holds a path of the machine it was made on: /home/so"),
        (into_notebook(r"# see C:\\Users"), NOTEBOOK, "holds a path of the machine"),
        (into_notebook("# harmless"), NOTEBOOK, "stale, run `autograder release toy`"),
        (with_output, NOTEBOOK, "has outputs"),
        (write("release/toy/checks/__pycache__/test_public.cpython-311.pyc"), "test_public.cpython-311.pyc", "bytecode"),
        (write("release/toy/checks/test_hidden.py", TEST_HIDDEN), f"{CHECKS}/test_hidden.py", "not made by"),
        (write("release/toy/notes.txt"), "release/toy/notes.txt", "not made by"),
        (lambda copy: (copy.release / "checks/test_public.py").unlink(), f"{CHECKS}/test_public.py", "missing"),
        (lambda copy: (copy.release / "toy.ipynb").unlink(), NOTEBOOK, "missing"),
        (lambda copy: next((copy.release / "data").rglob("batches.meta")).unlink(), "batches.meta", "missing"),
        (lambda copy: (copy.release / "checks/reference.safetensors").unlink(), "reference.safetensors", "missing"),
        (write("release/toy/checks/reference.safetensors"), "release/toy/checks", "damaged recordings"),
        (lambda copy: (copy.solutions / "toy.py").unlink(), "solutions/toy/toy.py", "missing"),
        (lambda copy: (copy.solutions / "toy.ipynb").unlink(), "solutions/toy/toy.ipynb", "missing"),
        (lambda copy: shutil.rmtree(copy.release), NOTEBOOK, "missing"),
        (change(SOURCE, "# # Toy numbers", "# # Toys"), NOTEBOOK, "stale"),
        (change(SOURCE, "twofold = x + x", "twofold = 2 * x"), "solutions/toy/toy.py", "stale"),
        (change(SOURCE, "twofold = x + x", "twofold = 2 * x"), "solutions/toy/toy.ipynb", "stale"),
        (change(SOURCE, "/ len(numbers)", "/ 3"), "reference.safetensors", "stale"),
        (change("tests/toy/test_public.py", "points=2", "points=3"), NOTEBOOK, "stale"),
        (change("tests/toy/probes_public.py", "student.double(3)", "student.double(4)"), f"{CHECKS}/probes_public", "stale"),
        (change("tests/toy/mistakes.py", "x * x", "x * x * x"), f"{CHECKS}/module.json", "stale"),
        (change("solutions/toy/toy.py", "halfway", "middle"), "solutions/toy/toy.py", "stale"),
        (write("course.toml", 'repository = "owner/name"'), NOTEBOOK, "stale"),
        (write("course.toml", 'repository = "owner/name"'), "solutions/toy/toy.ipynb", "stale"),
    ],
)  # fmt: skip
def test_a_damage_is_named_with_its_file(copy, damage, file, problem):
    damage(copy)
    problems = stale.check_release(copy)
    assert [text for text in problems if file in text and problem in text], problems


def test_checking_changes_nothing_and_fails(copy, capsys):
    (copy.release / "notes.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in copy.root.rglob("*") if ".autograder" not in path.parts}
    assert cli.main(["release", "--check", "toy"]) == 1
    assert capsys.readouterr().err == "release/toy/notes.txt: not made by `autograder release`, delete it\n"
    assert {path: path.stat().st_mtime_ns for path in copy.root.rglob("*") if ".autograder" not in path.parts} == before


@pytest.mark.parametrize(
    ("place", "old", "new", "message"),
    [
        (SOURCE, "# # Toy numbers", "# # See /home/someone/course", "it would leak:\n  .*a path of the machine"),
        (SOURCE, "import math", "import math\n\nraise EOFError", "the solved notebook does not run:\n(.|\n)*EOFError"),
        (SOURCE, 'role="grade" exercise="averages"', 'role="gade"', "unknown role 'gade'"),
        (SOURCE, "### END SOLUTION", "###", "needs one ### BEGIN SOLUTION"),
    ],
)
def test_a_wrong_source_is_not_released_and_the_old_release_stays(copy, place, old, new, message):
    before = sorted(copy.release.rglob("*"))
    edit(copy.root / place, old, new)
    with pytest.raises(CourseError, match=message):
        releasing.release(copy)
    assert sorted(copy.release.rglob("*")) == before
    assert not list(copy.root.glob(".release-*"))


@pytest.mark.parametrize(
    ("fresh", "kept", "alike"),
    [
        (Timing(0.1), Timing(3.0), True),  # a busy machine makes nothing stale
        (Timing(0.1), 0.1, False),
        (1.0, 1.00001, True),
        (1.0, 1.1, False),
        ("a", "b", False),
    ],
)
def test_what_makes_a_recording_stale(fresh, kept, alike):
    assert stale._alike(fresh, kept) == alike
