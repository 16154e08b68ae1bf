"""The command `autograder`. Nothing heavy is imported before a command needs it."""

import argparse
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from autograder import NotHere, require_packages
from autograder.course import Course, CourseError, GraderFault


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; exit status 0: all went well, 1: something has to be looked at, 2: wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (CourseError, GraderFault, NotHere) as error:
        print(f"autograder: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nautograder: interrupted; run the same command again, it goes on where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autograder", description="Autograded assignments for Deep Learning for Visual Computing."
    )
    parser.add_argument("--version", action="version", version=f"autograder {version('visual-computing-autograder')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    grade = _command(commands, "grade", _grade, "grade a class: submitted/, or the notebooks and folders named")
    grade.add_argument("module", help="the module, e.g. week08_densenet")
    grade.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="notebooks, or folders of them")
    grade.add_argument("--output", type=Path, metavar="DIR", help="where grades are written (default: grades/MODULE)")
    grade.add_argument(
        "--seed", type=int, help="of the hidden checks' inputs (default: drawn once for the class and kept)"
    )
    _engine_options(grade)

    release = _command(commands, "release", _release, "make release/ and solutions/ from source/")
    release.add_argument("modules", nargs="*", metavar="MODULE", help="modules (default: all)")
    release.add_argument("--check", action="store_true", help="change nothing; fail when something is stale or leaks")

    verify = _command(
        commands, "verify", _verify, "the instructor's gate: reference, stub, known mistakes, alternatives"
    )
    verify.add_argument("modules", nargs="*", metavar="MODULE", help="modules (default: all)")
    verify.add_argument("--seed", type=int, default=1, help="of the hidden checks' inputs (default: 1)")
    _engine_options(verify)

    demo = _command(commands, "demo", _demo, "make a class from a module's catalogue and grade it")
    demo.add_argument("module", nargs="?", help="the module (default: the first)")
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the class is made (default: demo)"
    )
    _engine_options(demo)

    check = _command(commands, "check", _check, "say what the grader will say of everything public in your notebook")
    pack = _command(
        commands, "pack", _pack, "make the file to hand in, its receipt, and a list of what will cost points"
    )
    for command in (check, pack):
        command.add_argument(
            "notebook", nargs="?", type=Path, default=Path("."), help="default: the assignment's, in this folder"
        )
    check.add_argument("--limit", type=float, default=20.0, metavar="SECONDS", help="for one probe (default: 20)")
    pack.add_argument("-o", "--output", type=Path, metavar="FILE", help="the file to make (default: in handin/)")

    receipt = _command(
        commands, "receipt", _receipt, "say whether a collected notebook is the one a receipt was made for"
    )
    receipt.add_argument("notebook", type=Path, help="the collected file")
    receipt.add_argument("receipt", type=Path, help="the student's .receipt.json")

    _command(commands, "doctor", _doctor, "say what this machine lacks for grading")
    return parser


def _command(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _engine_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--sandbox",
        choices=("full", "none"),
        default="full",
        help="none: submissions can read your files and use the network; only for code you trust",
    )
    command.add_argument(
        "--workers", type=int, default=2, metavar="N", help="submissions observed at once (default: 2)"
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

    from autograder.grade import grade_class, print_table

    out = options.output or module.root / "grades" / module.name
    console = Console()
    outcome = grade_class(module, submissions, out, console, seed=options.seed, **engine)
    print_table(outcome, console)
    graded = len(outcome.results) - len(outcome.failures)
    console.print(
        f"{graded} of {len(outcome.results)} graded, {outcome.unchanged} of them unchanged. {out}/grades.csv, "
        f"{out}/feedback/",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if outcome.failures else 0


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


def _check(options: argparse.Namespace) -> int:
    require_packages()
    from autograder.handin import check_notebook, find_notebook

    path = find_notebook(options.notebook)
    text, passed = check_notebook(path, options.limit)
    print(text)
    return 0 if passed else 1


def _pack(options: argparse.Namespace) -> int:
    require_packages()
    from autograder.handin import find_notebook, pack

    path = find_notebook(options.notebook)
    saved = datetime.fromtimestamp(path.stat().st_mtime)
    packed, receipt, problems = pack(path, options.output)
    print(f"{packed}: hand in this file. It is {path} as saved at {saved:%Y-%m-%d %H:%M:%S}.")
    for problem in problems:
        print(f"  ! {problem}")
    if not problems:
        print("Nothing was found that must cost points; `autograder check` runs the public checks on it.")
    print(f"{receipt}: the receipt, keep it.\n{receipt.read_text(encoding='utf-8').strip()}")
    return 0


def _receipt(options: argparse.Namespace) -> int:
    from autograder.handin import verify_receipt

    text, same = verify_receipt(options.notebook, options.receipt)
    print(text, file=sys.stdout if same else sys.stderr)
    return 0 if same else 1


def _doctor(_: argparse.Namespace) -> int:
    from autograder.sandbox import missing_walls

    lacks = missing_walls()
    print(
        "\n".join(lacks) or "the sandbox can be built here: user, process, network, mount and IPC namespaces, Landlock"
    )
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
