"""The command line: nothing heavy before it is needed, a typing error gets its mend, a shell completes."""

import os
import subprocess
import sys

import pytest
from conftest import needs_walls
from test_grade import CLASS, submit
from toy_course import write_course

from autograder import cli
from autograder.course.course import Course

HEAVY = {"torch", "numpy", "matplotlib", "pytest", "rich", "jupytext", "nbformat", "jinja2", "safetensors"}


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.chdir(write_course(tmp_path, "toys"))
    return Course(tmp_path).module("toys")


def complete(line: str) -> list[str]:
    """What a shell is offered behind `line`."""
    pytest.importorskip("argcomplete", reason="completion needs argcomplete: pip install argcomplete")
    shell = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    code = "import os; os.dup2(1, 8); os.dup2(2, 9); from autograder import cli; cli.main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | shell, capture_output=True, text=True)
    return [word.strip() for word in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["--version"], 0), (["grade", "--help"], 0), (["garde"], 2), (["grade", "--nothing", "x"], 2)],
)
def test_an_instant_command_imports_nothing_heavy(arguments, status):
    code = f"import sys; from autograder import cli\ntry: sys.exit(cli.main({arguments}))\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert done.returncode == status and "autograder.cli" in loaded and not loaded & HEAVY


def test_the_package_itself_imports_nothing():
    code = "import sys; import autograder; print([name for name in sys.modules if name.startswith('autograder.')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("typed", "mend"),
    [
        ("garde", "no command is called 'garde': did you mean grade?"),
        ("re-grade", "no command is called 're-grade': did you mean regrade?"),
        ("verfy", "no command is called 'verfy': did you mean verify?"),
    ],
)
def test_a_mistyped_command_is_one_line_with_the_nearest(capsys, typed, mend):
    assert cli.main([typed, "week"]) == 2
    assert tuple(capsys.readouterr()) == ("", f"autograder: {mend}\n")


def test_a_command_like_no_other_names_them_all(capsys):
    assert cli.main(["xyz"]) == 2
    said = capsys.readouterr().err
    assert "there is collect, grade, regrade, " in said and said.endswith("doctor.\n")


def test_a_shell_completes_commands_options_modules_and_paths(course):
    submit(course, "ada", CLASS["ada"])
    assert {"regrade", "requests", "release", "receipt", "repeated"} <= set(complete("autograder re"))
    assert complete("autograder regrade --dr") == ["--dry-run"]
    assert complete("autograder grade to") == ["toys"]
    assert complete("autograder verify to") == ["toys"]
    assert complete("autograder grade toys submitted/a") == ["submitted/ada/"]


def test_a_shell_completes_outside_a_course_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete("autograder grade --ti") == ["--timings"]
    assert complete("autograder grade to") == []


@needs_walls
def test_timings_say_what_took_how_long_and_what_was_kept(course, shared, monkeypatch, capsys):
    submit(course, "ada", CLASS["ada"])
    submit(course, "slow", CLASS["ada"].replace(b"return x + x", b"import time; time.sleep(0.2); return x + x"))
    monkeypatch.setenv("COLUMNS", "200")
    (course.root / "nbgrader_config.py").touch()  # there is a gradebook

    def firsts() -> list[str]:
        """The first column of all that is printed."""
        assert cli.main(["grade", "toys", "--timings"]) == 0
        return [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]

    first = firsts()
    stages = {"starting workers", "reading", "observing, public probes", "observing, hidden probes", "judging"}
    assert stages | {"naming mistakes", "writing", "gradebook"} <= set(first)
    slowest = first.index("slowest submissions")
    assert first[slowest + 1 : slowest + 3] == ["slow", "ada"]
    doubling = ("doubles (public)", "large_doubles (hidden)", "whole_quadruples (hidden)")
    assert first[first.index("slowest probes") + 1] in doubling
    again = firsts()
    assert "taken from the store" in again and "slowest probes" not in again and "slowest submissions" not in again
    assert not any(name.startswith("observing") for name in again)
    assert "2 of 2 submissions were taken from the store" in again[-2]


@pytest.mark.parametrize(
    "line",
    ["grade toys --limit 3 a b", "grade --limit 3 toys a b", "grade toys a b --limit 3", "grade toys a --limit 3 b"],
)
def test_options_may_stand_anywhere_among_paths(line):
    options = cli._parser()[0].parse_args(line.split())
    assert (options.module, [*map(str, options.paths)], options.limit) == ("toys", ["a", "b"], 3.0)


def test_no_path_is_none():
    options = cli._parser()[0].parse_args(["grade", "--timings", "toys", "--limit", "3"])
    assert (options.module, options.paths, options.timings) == ("toys", [], True)
