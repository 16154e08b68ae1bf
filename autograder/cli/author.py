"""Commands for instructors who write a module: `release`, `verify` and `demo`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.cli.options import add_command, add_engine, add_module, add_modules, chosen, engine
from autograder.defaults import VERIFY_SEED

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`release`, `verify` and `demo`."""
    release = add_command(commands, "release", _release, "make release/ and solutions/ from source/")
    add_modules(release)
    release.add_argument("--check", action="store_true", help="change nothing; fail when something is stale or leaks")

    verify = add_command(
        commands, "verify", _verify, "the instructor's gate: reference, stub, known mistakes, alternatives"
    )
    add_modules(verify)
    verify.add_argument(
        "--seed", type=int, default=VERIFY_SEED, help=f"of the hidden checks' inputs (default: {VERIFY_SEED})"
    )
    add_engine(verify)

    demo = add_command(commands, "demo", _demo, "make a class from a module's catalogue and grade it")
    add_module(demo, nargs="?", help="the module (default: the first)")
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the class is made (default: demo)"
    )
    add_engine(demo)


def _release(options: argparse.Namespace) -> int:
    from autograder.authors.release import release
    from autograder.authors.stale import check_release

    problems = []
    for module in chosen(options.modules):
        if options.check:
            problems += check_release(module)
        else:
            release(module)
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.check and not problems:
        print("release/ and solutions/ are what the sources make, and nothing leaks")
    return 1 if problems else 0


def _verify(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.authors.verify import verify

    modules, settings = chosen(options.modules), engine(options)
    console = Console()
    console.width = max(console.width, 120)  # check names are long, and a table cut short tells nothing
    return 0 if all([verify(module, options.seed, console, **settings) for module in modules]) else 1


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.demo import demo

    module = chosen([options.module] if options.module else [])[0]
    return demo(module, options.output, Console(), **engine(options))
