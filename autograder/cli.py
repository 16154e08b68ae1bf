# PYTHON_ARGCOMPLETE_OK
"""The command `autograder`. Nothing heavy is imported before a command needs it."""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

from autograder.course import Course, CourseError, GraderFault, Module, nearest


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; exit status 0: all went well, 1: something has to be looked at, 2: wrong usage."""
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
        return options.run(options)
    except (CourseError, GraderFault) as error:
        print(f"autograder: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nautograder: interrupted; run the same command again, it goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser, and the names of the commands."""
    parser = argparse.ArgumentParser(
        prog="autograder", description="Autograded assignments for Deep Learning for Visual Computing."
    )
    parser.add_argument("--version", action="version", version=f"autograder {version('visual-computing-autograder')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    grade = _command(commands, "grade", _grade, "grade a class: submitted/, or the notebooks and folders named")
    _class_arguments(grade)
    grade.add_argument("--timings", action="store_true", help="say where the time went, and which probes are slow")
    grade.add_argument(
        "--seed", type=int, help="of the hidden checks' inputs (default: drawn once for the class and kept)"
    )
    _engine_options(grade)

    regrade = _command(
        commands, "regrade", _regrade, "judge a graded class by changed checks or hints, without running student code"
    )
    _class_arguments(regrade)
    answer = regrade.add_mutually_exclusive_group()
    answer.add_argument("--yes", action="store_true", help="write the new grades without asking")
    answer.add_argument("--dry-run", action="store_true", help="only say which grades would move and why")
    _observing_options(regrade)

    release = _command(commands, "release", _release, "make release/ and solutions/ from source/")
    _modules(release.add_argument("modules", nargs="*", metavar="MODULE", help="modules (default: all)"))
    release.add_argument("--check", action="store_true", help="change nothing; fail when something is stale or leaks")

    verify = _command(
        commands, "verify", _verify, "the instructor's gate: reference, stub, known mistakes, alternatives"
    )
    _modules(verify.add_argument("modules", nargs="*", metavar="MODULE", help="modules (default: all)"))
    verify.add_argument("--seed", type=int, default=1, help="of the hidden checks' inputs (default: 1)")
    _engine_options(verify)

    demo = _command(commands, "demo", _demo, "make a class from a module's catalogue and grade it")
    _modules(demo.add_argument("module", nargs="?", help="the module (default: the first)"))
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the class is made (default: demo)"
    )
    _engine_options(demo)

    _command(commands, "doctor", _doctor, "say what this machine lacks for grading")
    return parser, list(commands.choices)


def _command(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _class_arguments(command: argparse.ArgumentParser) -> None:
    _modules(command.add_argument("module", help="the module, e.g. week08_densenet"))
    command.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="notebooks, or folders of them")
    command.add_argument("--output", type=Path, metavar="DIR", help="where the grades are (default: grades/MODULE)")


def _modules(argument: argparse.Action) -> None:
    """Lets a shell complete the argument with the course's modules."""
    argument.completer = lambda **_: [module.name for module in Course.find().modules()]


def _engine_options(command: argparse.ArgumentParser) -> None:
    _observing_options(command)
    command.add_argument(
        "--workers", type=int, default=2, metavar="N", help="submissions observed at once (default: 2)"
    )


def _observing_options(command: argparse.ArgumentParser) -> None:
    """What a recording depends on."""
    command.add_argument(
        "--sandbox",
        choices=("full", "none"),
        default="full",
        help="none: submissions can read your files and use the network; only for code you trust",
    )
    command.add_argument("--limit", type=float, default=20.0, metavar="SECONDS", help="for one probe (default: 20)")


def _engine(options: argparse.Namespace) -> dict:
    """The engine's settings; says what is missing instead of running open."""
    from autograder.sandbox import missing_walls

    if options.workers < 1 or options.limit <= 0:
        raise CourseError("--workers and --limit must be positive")
    if options.sandbox == "none":
        print(
            "autograder: --sandbox none: submissions can read your files, reach the network and fool the grader",
            file=sys.stderr,
        )
    elif lacks := missing_walls():
        raise CourseError(
            "the sandbox cannot be built here:\n  " + "\n  ".join(lacks) + "\nor use --sandbox none for code you trust"
        )
    return {"sandbox": options.sandbox, "workers": options.workers, "limit": options.limit}


def _chosen(names: list[str]) -> list:
    course = Course.find()
    chosen = [course.module(name) for name in names] if names else course.modules()
    if not chosen:
        raise CourseError(f"{course.root / 'source'} holds no module yet: add a folder with the notebook's source")
    return chosen


def _grade(options: argparse.Namespace) -> int:
    from autograder.submissions import find_submissions

    module = Course.find().module(options.module)
    submissions = find_submissions(module, options.paths)
    engine = _engine(options)
    from rich.console import Console

    from autograder.grade import grade_class, print_table, print_timings

    out = _output(options, module)
    console = Console()
    outcome = grade_class(module, submissions, out, console, seed=options.seed, timed=options.timings, **engine)
    print_table(outcome, console)
    if options.timings:
        print_timings(outcome, console)
    graded = len(outcome.results) - len(outcome.failures)
    console.print(
        f"{graded} of {len(outcome.results)} graded, {outcome.unchanged} of them unchanged. {out}/grades.csv, "
        f"{out}/feedback/",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if outcome.failures else 0


def _output(options: argparse.Namespace, module: Module) -> Path:
    return options.output or module.root / "grades" / module.name


def _regrade(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.regrade import print_regraded, regrade, write
    from autograder.submissions import find_submissions

    module, console = Course.find().module(options.module), Console()
    submissions, out = find_submissions(module, options.paths), _output(options, module)
    engine = {"sandbox": options.sandbox, "limit": options.limit}
    regraded = regrade(module, submissions, out, console, everyone=not options.paths, **engine)
    print_regraded(regraded, module, console)
    if regraded.changed and not _agreed(options):
        return 0 if options.dry_run else 2
    if not options.dry_run:
        write(regraded, out)
        if regraded.changed:
            console.print(f"Written: {out}/grades.csv, {out}/feedback/", highlight=False, soft_wrap=True)
    return 1 if regraded.kept else 0


def _agreed(options: argparse.Namespace) -> bool:
    """Whether the new grades may be written; asks where somebody can answer."""
    if options.yes or options.dry_run:
        return options.yes
    if not sys.stdin.isatty():
        print("autograder: nothing was written: say --yes to write it, or --dry-run only to look", file=sys.stderr)
        return False
    try:
        agreed = input("Write this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if not agreed:
        print("autograder: nothing was written", file=sys.stderr)
    return agreed


def _release(options: argparse.Namespace) -> int:
    from autograder.release import check_release, release

    problems = []
    for module in _chosen(options.modules):
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

    from autograder.verify import verify

    modules, engine = _chosen(options.modules), _engine(options)
    console = Console()
    console.width = max(console.width, 120)  # check names are long, and a table cut short tells nothing
    return 0 if all([verify(module, options.seed, console, **engine) for module in modules]) else 1


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.demo import demo

    module = _chosen([options.module] if options.module else [])[0]
    return demo(module, options.output, Console(), **_engine(options))


def _doctor(_: argparse.Namespace) -> int:
    from autograder.sandbox import missing_walls

    lacks = missing_walls()
    print(
        "\n".join(lacks) or "the sandbox can be built here: user, process, network, mount and IPC namespaces, Landlock"
    )
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
