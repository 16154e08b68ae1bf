"""docs/for-tas.md: its commands exist, with these arguments, those too that test_for_tas_session.py does not run."""

import re
import shlex
from pathlib import Path

import pytest
from nbgrader.apps.nbgraderapp import NbGraderApp

from autograder import cli

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "for-tas.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.M | re.S)
TYPED = [re.sub(r"^\$ |^- run: ", "", line.strip()) for block in BLOCKS for line in block.splitlines()]
INLINE = re.findall(r"`((?:autograder|nbgrader) [a-z][^`\n]*)`", PAGE)


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("line", sorted({line for line in TYPED if line.startswith("autograder ")}))
def test_a_command_of_ours_takes_these_arguments(line):
    cli._parser()[0].parse_args(words(line)[1:])


def test_there_are_such_lines():
    assert sum(line.startswith("autograder ") for line in TYPED) > 6 and sum(line.startswith("nbgrader ") for line in TYPED) > 6


@pytest.mark.parametrize("line", sorted({line for line in [*TYPED, *INLINE] if line.startswith("nbgrader ")}))
def test_a_command_of_nbgrader_s_exists_with_these_options(line):
    app, rest = NbGraderApp, words(line)[1:]
    while rest and isinstance(app.subcommands, dict) and rest[0] in app.subcommands:
        app, rest = app.subcommands[rest[0]][0], rest[1:]
    assert app is not NbGraderApp, line
    known = {"log-level", *app.aliases, *app.flags}
    known |= {name for names in (*app.aliases, *app.flags) if isinstance(names, tuple) for name in names}
    assert {word.removeprefix("--").partition("=")[0] for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("line", sorted({line for line in INLINE if line.startswith("autograder ")}))
def test_a_command_that_is_spoken_of_exists(line):
    parser, commands = cli._parser()
    name, *rest = words(line)[1:]
    assert name in commands
    help_text = parser._subparsers._group_actions[0].choices[name].format_help()
    assert all(word in help_text for word in rest if word.startswith("--"))
