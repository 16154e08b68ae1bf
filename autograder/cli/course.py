"""Commands about the machine that grades: `doctor`."""

import argparse
from typing import TYPE_CHECKING

from autograder.cli.options import add_command
from autograder.course.course import Course
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`doctor`."""
    doctor = add_command(commands, "doctor", _doctor, "say what this machine lacks for grading")
    doctor.add_argument(
        "--packages", action="store_true", help="only print what pip has to install for course.toml, one a line"
    )


def _doctor(options: argparse.Namespace) -> int:
    from autograder.installed import not_installed
    from autograder.sandboxed.sandbox import missing_walls

    packages = _packages()
    if options.packages:
        print("\n".join(packages))
        return 0
    lacks = missing_walls()
    if missing := not_installed(packages):
        lacks.append(f"of course.toml's packages are not installed: run `pip install {' '.join(missing)}`")
    print(
        "\n".join(lacks) or "the sandbox can be built here: user, process, network, mount and IPC namespaces, Landlock"
    )
    return 1 if lacks else 0


def _packages() -> list[str]:
    """The further packages of the course that this folder lies in; none outside of a course."""
    try:
        return Course.find().settings.packages
    except CourseError as error:
        if "is not inside a course" in str(error):
            return []
        raise
