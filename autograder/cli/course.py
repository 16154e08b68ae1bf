"""Commands about the machine that grades: `doctor`."""

import argparse
from typing import TYPE_CHECKING

from autograder.cli.options import add_command

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`doctor`."""
    add_command(commands, "doctor", _doctor, "say what this machine lacks for grading")


def _doctor(_: argparse.Namespace) -> int:
    from autograder.sandboxed.sandbox import missing_walls

    lacks = missing_walls()
    print(
        "\n".join(lacks) or "the sandbox can be built here: user, process, network, mount and IPC namespaces, Landlock"
    )
    return 1 if lacks else 0
