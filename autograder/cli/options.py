"""Arguments that several commands share."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.course.course import Course, Module
from autograder.defaults import ON, PROBE_SECONDS, SANDBOX, WORKERS, WORKERS_PER_CORE
from autograder.errors import CourseError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # what `add_subparsers` gives


def add_command(
    commands: "Commands", name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A command that calls `run`; `text` is its line in the help."""
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def add_module(command: argparse.ArgumentParser, name: str = "module", **how: Any) -> None:
    """An argument for a module, or several; a shell completes it with the course's modules."""
    argument: Any = command.add_argument(name, **{"help": "the module, e.g. week08_densenet"} | how)
    argument.completer = lambda **_: [module.name for module in Course.find().modules()]


def add_modules(command: argparse.ArgumentParser) -> None:
    """`[MODULE ...]`; see `chosen`."""
    add_module(command, "modules", nargs="*", metavar="MODULE", help="modules (default: all)")


def chosen(names: list[str]) -> list[Module]:
    """The modules called `names`; without any name all of the course.

    Raises:
        CourseError: a name is unknown, or there is no module yet.
    """
    course = Course.find()
    found = [course.module(name) for name in names] if names else course.modules()
    if not found:
        raise CourseError(f"{course.root / 'source'} holds no module yet: add a folder with the notebook's source")
    return found


def add_class(command: argparse.ArgumentParser) -> None:
    """The module, what is to be graded, and where its grades are; see `grades_folder`."""
    add_module(command)
    command.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="notebooks, or folders of them")
    command.add_argument("--output", type=Path, metavar="DIR", help="where the grades are (default: grades/MODULE)")


def grades_folder(options: argparse.Namespace, module: Module) -> Path:
    """Where a class's grades are."""
    return options.output or module.grades


def add_sandbox(command: argparse.ArgumentParser) -> None:
    """`--sandbox`; see `require_sandbox`."""
    command.add_argument(
        "--sandbox",
        choices=("full", "none"),
        default=SANDBOX,
        help="none: submissions can read your files and use the network; only for code you trust",
    )


def add_observing(command: argparse.ArgumentParser) -> None:
    """What a recording depends on."""
    add_sandbox(command)
    command.add_argument(
        "--limit",
        type=float,
        default=PROBE_SECONDS,
        metavar="SECONDS",
        help=f"for one probe (default: {PROBE_SECONDS:g})",
    )


def add_engine(command: argparse.ArgumentParser) -> None:
    """What a recording depends on, where they are made and how many at once; see `engine`."""
    add_observing(command)
    command.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help=f"submissions observed at once, on each node where --on names others (default: {WORKERS_PER_CORE} a core)",
    )
    add_on(command)


ON_HELP = f"where submissions are observed: slurm[:NAME=VALUE,…] or dask[:ADDRESS] (default: {ON}, on this machine)"


def add_on(command: argparse.ArgumentParser, text: str = ON_HELP) -> None:
    """`--on`; see `open_nodes`."""
    command.add_argument("--on", default=ON, metavar="WHERE", help=text)


def engine(options: argparse.Namespace) -> dict[str, Any]:
    """The engine's settings; says what is missing instead of running open."""
    if (options.workers is not None and options.workers < 1) or options.limit <= 0:
        raise CourseError("--workers and --limit must be positive")
    require_sandbox(options)
    given = options.workers or 0
    workers = {"workers": given or WORKERS} if options.on == ON else {"workers": WORKERS, "node_workers": given}
    return {"sandbox": options.sandbox, "limit": options.limit, "on": options.on, **workers}


def require_sandbox(options: argparse.Namespace) -> None:
    """Says what is missing for the walls instead of running open, or what `--sandbox none` means."""
    from autograder.grading.workers import require_walls

    if options.sandbox == "none" and vars(options).get("on", ON) != ON:
        raise CourseError("--sandbox none is for this machine alone: leave it or --on away")
    if options.sandbox == "none":
        print(
            "autograder: --sandbox none: submissions can read your files, reach the network and fool the grader",
            file=sys.stderr,
        )
    else:
        require_walls()
