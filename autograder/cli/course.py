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
    add_command(commands, "doctor", _doctor, "say what this machine lacks for grading")


def _doctor(_: argparse.Namespace) -> int:
    from autograder.sandboxed import groups
    from autograder.sandboxed.sandbox import missing_walls

    lacks = [*missing_walls(), *_exposed()]
    walls = "user, process, network, mount and IPC namespaces, Landlock, seccomp, no capabilities"
    print("\n".join(lacks) or f"the sandbox can be built here: {walls}")
    if groups.usable():
        print("memory is counted by the kernel: a control group for every worker")
    else:
        print(
            "memory is counted by the worker, ten times a second (no control group of version 2 can be made here: "
            "start the grader with `systemd-run --user --scope` to have one)"
        )
    return 1 if lacks else 0


def _exposed() -> list[str]:
    """What is wrong with the place of the course around the working folder, if there is one."""
    from autograder.grading.workers import hidden_folders

    try:
        course = Course.find()
    except CourseError:
        return []
    try:
        hidden_folders(course.root)
    except CourseError as error:
        return [str(error)]
    return []
