"""`autograder new`, and the page for instructors that goes on from it, followed word for word."""

import fnmatch
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import needs_walls

from autograder.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "for-instructors.md"
BLOCK = re.compile(r"^( *)```(sh|python|)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def course(tmp_path, monkeypatch):
    for folder in ("source", "tests"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> str:
    """What a command prints, in a process of its own: what it imports of the course is imported once in each."""
    code = "import sys; from autograder.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *line.split()[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@needs_walls
@pytest.mark.long
def test_the_ten_steps_of_the_page_hold(course):
    section = PAGE.read_text().partition("## A new week in ten steps\n")[2].partition("\n## ")[0]
    blocks = [(kind, textwrap.dedent(text)) for _, kind, text in BLOCK.findall(section)]
    assert len(re.findall(r"^\d+\. ", section, re.MULTILINE)) == 10 and len(blocks) == 12
    said = ""
    for kind, text in blocks:
        if kind == "sh":
            said = "".join(map(run, text.splitlines()))
        elif kind == "python":
            first, _, rest = text.partition("\n")
            with (course / first.removeprefix("# add to ")).open("a") as file:
                file.write(rest)
        else:
            assert fnmatch.fnmatchcase(said.strip(), text.strip().replace("…", "*")), said
    assert "centres_in_place" in said


@pytest.mark.parametrize(
    "name, words",
    [
        ("Week10", "'Week10' is no name for a module: write small letters"),
        ("week 10", "is no name for a module"),
        ("../week10", "is no name for a module"),
        ("common", "is no name for a module"),
        ("numbers", "'numbers' is a package of Python's or an installed one: take another name, as week10_numbers"),
    ],
)
def test_a_name_that_is_none_changes_nothing(course, capsys, name, words):
    assert main(["new", name]) == 2
    assert words in capsys.readouterr().err and written(course) == {}


@pytest.mark.parametrize("folder", ["source", "tests"])
def test_what_exists_is_not_touched(course, capsys, folder):
    (course / folder / "week10_colours").mkdir()
    (course / folder / "week10_colours" / "mine.py").write_text("mine")
    before = written(course)
    assert main(["new", "week10_colours"]) == 2
    assert f"{folder}/week10_colours exists: nothing was changed" in capsys.readouterr().err
    assert written(course) == before and not list(course.glob(".new-*"))
