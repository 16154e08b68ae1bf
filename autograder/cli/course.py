"""Commands about the whole course and the machine that grades: `status`, `repeated` and `doctor`."""

import argparse
import sys
from typing import TYPE_CHECKING

from autograder.cli.options import add_command, add_on
from autograder.course.course import Course
from autograder.defaults import ON
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`status`, `repeated` and `doctor`."""
    add_command(commands, "status", _status, "say what is released, due, handed in and graded, and what to do next")
    add_command(commands, "repeated", _repeated, "show who made the same mistake in more than one module")

    doctor = add_command(commands, "doctor", _doctor, "say what this machine lacks for grading")
    doctor.add_argument(
        "--packages", action="store_true", help="only print what pip has to install for course.toml, one a line"
    )
    add_on(doctor, "say it of every node of a scheduler, slurm[:NAME=VALUE,…] or dask[:ADDRESS], instead of this machine")


def _status(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from rich.console import Console

    from autograder.gradebook.status import print_standings, standings

    print_standings(standings(Course.find()), datetime.now(UTC), Console())
    return 0


def _repeated(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.again import print_repeated, repeated

    found, damaged = repeated(Course.find())
    print_repeated(found, Console())
    for line in damaged:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if damaged else 0


def _doctor(options: argparse.Namespace) -> int:
    from autograder.installed import not_installed
    from autograder.sandboxed import groups
    from autograder.sandboxed.sandbox import missing_walls

    course = _course()
    packages = course.settings.packages if course else []
    if options.packages:
        print("\n".join(packages))
        return 0
    if options.on != ON:
        return _doctor_of_nodes(options.on, course)
    lacks = [*missing_walls(), *_exposed(course)]
    if missing := not_installed(packages):
        lacks.append(f"of course.toml's packages are not installed: run `pip install {' '.join(missing)}`")
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


def _doctor_of_nodes(on: str, course: Course | None) -> int:
    from autograder.cluster.nodes import open_nodes

    if course is None:
        raise CourseError("--on is asked from within a course: what nodes are to see lies there")
    with open_nodes(on, 0, course.root, lambda line: None) as nodes:
        found = nodes.each() if nodes else {}
        for node, lacks in found.items():
            print(f"{node}: {'; '.join(lacks) or 'can observe'}")
        if not found:
            print(f"{on}: there is no node yet")
    return 0 if found and not any(found.values()) else 1


def _course() -> Course | None:
    """The course that this folder lies in, if it does."""
    try:
        return Course.find()
    except CourseError:
        return None


def _exposed(course: Course | None) -> list[str]:
    """What is wrong with the place of the course."""
    from autograder.grading.workers import hidden_folders

    try:
        hidden_folders(course.root) if course else []
    except CourseError as error:
        return [str(error)]
    return []
