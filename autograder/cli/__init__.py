# PYTHON_ARGCOMPLETE_OK
"""The command `autograder`: a file of this folder for each reader, with its arguments and what it calls.

    classes.py   collect, grade, regrade, report, similar, train, extend, export, gradescope
    marking.py   questions, group, requests, feedback, canvas
    author.py    new, import, release, verify, publish, demo
    student.py   check, pack, and of what was packed the receipt
    course.py    status, repeated, doctor

Nothing heavy is imported before a command needs it, and nothing is decided here: what a command does lives below. What
students are given to install has the file for students alone.
"""

import argparse
import importlib.util
import os
import sys
from typing import Any

from autograder.course.course import nearest
from autograder.errors import CourseError, GraderFault, NotHere

READERS = ("classes", "marking", "author", "student", "course")
INTERRUPTED = 130  # as a shell says it of a process that SIGINT ended


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; exit status 0: all went well, 1: something has to be looked at, 2: wrong usage.

    `grade --fail-below`: 3 when everything was graded and a submission has fewer points than asked.
    """
    parser, commands = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line goes on
        import argcomplete

        argcomplete.autocomplete(parser)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        print(f"autograder: no command is called {arguments[0]!r}: {nearest(arguments[0], commands)}", file=sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (CourseError, GraderFault, NotHere, OSError) as error:  # an OSError names the file that cannot be written
        print(f"autograder: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nautograder: interrupted; run the same command again, it goes on where it stopped", file=sys.stderr)
        return INTERRUPTED


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser, and the names of the commands."""
    parser = argparse.ArgumentParser(
        prog="autograder", description="Autograded assignments for Deep Learning for Visual Computing."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Command)
    for reader in READERS:
        if importlib.util.find_spec(f"{__name__}.{reader}"):
            importlib.import_module(f"{__name__}.{reader}").add_commands(commands)
    return parser, list(commands.choices)


class _Command(argparse.ArgumentParser):
    """Takes options before, between and behind a list of paths; argparse's own takes the list for empty at an option."""

    _within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
        if self._within:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


class _Version(argparse.Action):
    """Looks the version up when it is asked for: every other command would wait for that."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from autograder.installed import package_version

        print(f"autograder {package_version()}")
        parser.exit()
