"""What a notebook does on Colab, with a server of our own: fetching its folder, and being graded as Colab saves it."""

import io
import json
import random
import sys
import threading
import types
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
import toy_course

from autograder import cli
from autograder.authors.release import released_cells
from autograder.course import colab
from autograder.course.colab import fetch_module
from autograder.course.course import Course
from autograder.course.notebooks import make_notebook
from autograder.errors import CourseError, NotebookError
from autograder.grading.contents import Contents
from autograder.sandboxed.notebook import read_cells, select

ABOUT = json.dumps({"module": "toy"})
GOOD = {"toy-main/release/toy/checks/module.json": ABOUT, "toy-main/release/toy/data/images": "pixels"}


def zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, text in files.items():
            file.writestr(name, text, zipfile.ZIP_DEFLATED if len(text) > 1000 else zipfile.ZIP_STORED)
    return out.getvalue()


def with_link(target: str) -> bytes:
    """An archive whose data/images is a symbolic link."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        link = zipfile.ZipInfo("toy-main/release/toy/data/images")
        link.external_attr = 0o120777 << 16
        file.writestr(link, target)
        file.writestr("toy-main/release/toy/checks/module.json", ABOUT)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200 if self.server.answer else 404)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server whose one answer is set by `served.give`, and an empty working folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], b""
    server.give = lambda body: setattr(server, "answer", body)
    server.zip = f"http://127.0.0.1:{server.server_port}/course.zip"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    (tmp_path / "content").mkdir()
    monkeypatch.chdir(tmp_path / "content")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_folder_is_fetched_once_and_worked_in(served, tmp_path, monkeypatch):
    served.give(zipped(GOOD | {"toy-main/solutions/toy/toy.py": "answer = 1"}))
    for _ in range(2):  # the cell again, in the fetched folder
        fetch_module(served.zip, "toy")
        assert tmp_path.cwd() == tmp_path / "content" / "toy"
    monkeypatch.chdir(tmp_path / "content")
    fetch_module(served.zip, "toy")  # the runtime restarted: the files are there, the working folder is not
    assert tmp_path.cwd() == tmp_path / "content" / "toy" and served.asked == ["/course.zip"]
    files = {
        str(path.relative_to(tmp_path / "content")) for path in (tmp_path / "content").rglob("*") if path.is_file()
    }
    assert files == {"toy/checks/module.json", "toy/data/images"}


UNUSABLE = {
    "nothing there": (b"", "could not be fetched .*404.*: run this cell again"),
    "cut off": (zipped(GOOD)[:100], "damaged .*run this cell again"),
    "a changed byte": (zipped(GOOD).replace(b"pixels", b"pixles"), "damaged .*CRC"),
    "a web page": (b"<html>Sign in</html>", "damaged"),
    "another module": (
        zipped({name.replace("/toy/", "/resnet/"): text for name, text in GOOD.items()}),
        "no release/toy/",
    ),
    "another name inside": (
        zipped({"toy-main/release/toy/checks/module.json": '{"module": "resnet"}'}),
        "no release/toy/",
    ),
    "no checks": (zipped({"toy-main/release/toy/notes.txt": ""}), "no release/toy/"),
    "much in little": (zipped(GOOD | {"toy-main/release/toy/data/bomb": "0" * 50_000}), "too large"),
    "too much": (
        zipped(GOOD | {"toy-main/docs/film": "".join(random.Random(1).choices("abcdefgh", k=40_000))}),
        "is larger than",
    ),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_failed_download_says_what_to_do_and_leaves_nothing(served, tmp_path, monkeypatch, kind):
    body, words = UNUSABLE[kind]
    monkeypatch.setattr(colab, "MAX_BYTES", 10_000)
    served.give(body)
    with pytest.raises(NotebookError, match=words):
        fetch_module(served.zip, "toy")
    assert list((tmp_path / "content").iterdir()) == []
    served.give(zipped(GOOD))
    fetch_module(served.zip, "toy")
    assert (tmp_path / "content" / "toy" / "data" / "images").read_text() == "pixels"


@pytest.mark.parametrize("place", ["../../../escaped", "/escaped", "data/../../../../../escaped", "..\\..\\escaped"])
def test_no_path_leads_out_of_the_folder(served, tmp_path, place):
    served.give(zipped(GOOD | {f"toy-main/release/toy/{place}": "out"}))
    fetch_module(served.zip, "toy")
    outside = [path for path in tmp_path.rglob("*escaped*") if tmp_path / "content" / "toy" not in path.parents]
    assert outside == [] and not (tmp_path.anchor and (tmp_path.parents[-1] / "escaped").exists())


def test_a_link_in_the_archive_is_no_link(served, tmp_path):
    served.give(with_link("../../../secret"))
    fetch_module(served.zip, "toy")
    assert not (tmp_path / "content" / "toy" / "data" / "images").is_symlink()


def test_no_server_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotebookError, match="could not be fetched"):
        fetch_module("http://127.0.0.1:9/course.zip", "toy")


def test_something_else_of_that_name_is_left_alone(served, tmp_path):
    (tmp_path / "content" / "toy").mkdir()
    (tmp_path / "content" / "toy" / "mine.txt").write_text("mine")
    with pytest.raises(NotebookError, match="rename it"):
        fetch_module(served.zip, "toy")
    assert (tmp_path / "content" / "toy" / "mine.txt").read_text() == "mine" and not served.asked


# --- the setting, and the notebook that comes back --------------------------------------------------------------------


def course(root, settings: str) -> Course:
    toy_course.write_course(root)
    (root / "course.toml").write_text(settings)
    return Course(root)


def test_without_a_repository_the_notebook_says_so(tmp_path, monkeypatch):
    cells = released_cells(Contents(course(tmp_path / "a", "# repository = 'x/y'").module("toy")))
    assert "no badge to click yet" in cells[1].text and 'ARCHIVE = ""' in cells[2].text
    exec(cells[2].text, {})  # on a laptop there is nothing to do
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    with pytest.raises(Exception, match="The course has not said yet where Colab finds its files") as caught:
        exec(cells[2].text, {})
    assert caught.value._render_traceback_() == [str(caught.value)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("repository = owner/name", "course.toml: Invalid value"),
        (
            'repository = "https://github.com/owner/name"',
            "repository = 'https://github.com/owner/name' is no repository",
        ),
        ('repo = "owner/name"', "unexpected keyword argument 'repo'"),
        ("repository = 3", "repository = 3 is no"),
        ('contact = "a\\nb"', "contact = .* is no contact"),
        ('packages = "scikit-learn"', "packages = 'scikit-learn' is no list of packages: write"),
        ("packages = [\"x; import os\"]", "packages = .* is no list of packages"),
        ('repository = "o/n"\nbranch = "a b"', "branch = 'a b' is no"),
        ('repository = "o/n"\narchive = \'http://x/"); import os\'', "archive = .* is no"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, settings, words):
    with pytest.raises(CourseError, match=words):
        released_cells(Contents(course(tmp_path, settings).module("toy")))


def test_a_courses_further_packages_are_installed_on_colab_and_listed(tmp_path, monkeypatch, capsys):
    settings = 'repository = "o/n"\npackages = ["scikit-learn>=1.4", "no-such-package"]'
    cells = released_cells(Contents(course(tmp_path, settings).module("toy")))
    assert '"--quiet", ARCHIVE, "scikit-learn>=1.4", "no-such-package"]' in cells[2].text
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor", "--packages"]) == 0
    assert capsys.readouterr().out == "scikit-learn>=1.4\nno-such-package\n"
    assert cli.main(["doctor"]) == 1 and "no-such-package" in capsys.readouterr().out


def saved_by_colab(notebook: dict) -> bytes:
    """As Colab writes it: format 4.0, ids in the metadata, outputs, names of its own."""
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] |= {"id": cell.pop("id"), "colab": {"base_uri": "https://localhost:8080/", "height": 35}}
        if cell["cell_type"] == "code":
            cell["execution_count"] = number
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["working in /content/toy\n"]}]
            cell["metadata"] |= {"outputId": "5d2c", "executionInfo": {"status": "ok", "user": {"displayName": "A"}}}
    notebook["metadata"] |= {"colab": {"provenance": [], "gpuType": "T4"}, "accelerator": "GPU"}
    return json.dumps(notebook | {"nbformat_minor": 0}, indent=2, ensure_ascii=False).encode()


def test_the_notebook_as_colab_saves_it_is_graded_the_same(tmp_path):
    cells = released_cells(Contents(course(tmp_path, 'repository = "owner/name"').module("toy")))
    solved = make_notebook(cells, [cell.solution for cell in cells], {"arithmetic": 1, "averages": 1})
    own = nbformat.writes(solved).encode()
    colabs = saved_by_colab(json.loads(own))
    assert colabs != own
    first, second = (select(read_cells(data), ["double", "quadruple", "mean"]) for data in (own, colabs))
    assert first == second and not any("does not run" in note for note in first.notes.values())
