# PYTHON_ARGCOMPLETE_OK
"""The command `autograder`. Nothing heavy is imported before a command needs it."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from autograder import NotHere, require_packages
from autograder.course import WORKERS, Course, CourseError, GraderFault, Module, nearest


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
        return options.run(options)
    except (CourseError, GraderFault, NotHere, OSError) as error:  # an OSError names the file that cannot be written
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
    grade.add_argument(
        "--no-gradebook",
        action="store_true",
        help="leave nbgrader's gradebook and autograded/ alone; else what lies in the course's own submitted/ is entered",
    )
    grade.add_argument("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML too")
    grade.add_argument(
        "--fail-below", type=float, metavar="PERCENT", help="exit status 3 when a submission has fewer of its points"
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

    export = _command(commands, "export", _export, "write the gradebook's grades as a file that a platform imports")
    export.add_argument("platform", choices=("canvas", "moodle"), help="`nbgrader export` writes plain CSV")
    export.add_argument("module", help="the module, e.g. week08_densenet")
    export.add_argument(
        "--roster", type=Path, required=True, metavar="FILE", help="the CSV file that the platform's gradebook exported"
    )
    export.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the file to import (default: grades/MODULE/PLATFORM.csv)"
    )
    export.add_argument(
        "--by", metavar="COLUMN", help="the roster's column with the gradebook's ids or e-mail addresses"
    )
    export.add_argument(
        "--column", metavar="COLUMN", help="the roster's column to fill (default: named like the module)"
    )
    export.add_argument("--partial", action="store_true", help="also grades that wait for a TA")

    gradescope = _command(commands, "gradescope", _gradescope, "build the autograder zip of a module for Gradescope")
    gradescope.add_argument("module", help="the module, e.g. week08_densenet")
    gradescope.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: MODULE-gradescope.zip")
    gradescope.add_argument(
        "--sandbox",
        choices=("full", "none"),
        default="full",
        help="none: submissions can read the hidden checks and write their own score; where full walls cannot be built",
    )

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
        "--workers",
        type=int,
        default=WORKERS,
        metavar="N",
        help="submissions observed at once (default: three a core)",
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
    from autograder.sandbox import require_walls

    if options.workers < 1 or options.limit <= 0:
        raise CourseError("--workers and --limit must be positive")
    if options.sandbox == "none":
        print(
            "autograder: --sandbox none: submissions can read your files, reach the network and fool the grader",
            file=sys.stderr,
        )
    else:
        require_walls()
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
    record = None if options.no_gradebook else _recorder(module, submissions, console)
    how = {"seed": options.seed, "timed": options.timings, "record": record}
    outcome = grade_class(module, submissions, out, console, **how, **engine)
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
    if options.junit:
        from autograder.observer import write_whole
        from autograder.report import junit_xml

        write_whole(options.junit, junit_xml(outcome.results))
    if outcome.failures:
        return 1
    below = [r for r in outcome.results if 100 * r.score < (options.fail_below or 0) * r.maximum]
    return 3 if below else 0


def _export(options: argparse.Namespace) -> int:
    from autograder.export import export
    from autograder.observer import write_whole

    module = Course.find().module(options.module)
    out = options.output or module.root / "grades" / module.name / f"{options.platform}.csv"
    if out.resolve() == options.roster.resolve():
        raise CourseError(f"{out} is the roster itself: name another file with -o")
    done = export(
        module, options.platform, options.roster, by=options.by, column=options.column, partial=options.partial
    )
    write_whole(out, done.text)
    print(f"{out}: {done.written} grades")
    for line in done.remarks + done.problems:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if done.problems else 0


def _gradescope(options: argparse.Namespace) -> int:
    from autograder.gradescope import OPEN, build

    module = Course.find().module(options.module)
    out = options.output or Path(f"{module.name}-gradescope.zip")
    build(module, out, options.sandbox)
    if options.sandbox == "none":
        print(f"autograder: {OPEN}", file=sys.stderr)
    print(f"{out}: upload it on the assignment's page Configure Autograder")
    return 0


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


def _recorder(module: Module, submissions: list, console) -> Callable | None:
    """What enters a submission into nbgrader's gradebook; None when none lies in an nbgrader course's submitted/."""
    submitted = module.root / "submitted"
    ours = {s.student for s in submissions if submitted in s.path.absolute().parents}
    if not ours or not (module.root / "nbgrader_config.py").is_file():
        return None
    from autograder.gradebook import ClassBook, settings

    app = settings(module.root)
    book = ClassBook(module, app.coursedir)
    for student in book.strangers(sorted(ours)):
        console.print(f"{student} is not in the gradebook's list of students: is the name right?", markup=False)
    registered = []

    def record(grader, submission, result) -> None:
        if not registered:
            book.register(grader.cells, grader.points)
            registered.append(True)
        if submission.student in ours:
            book.record(grader, submission, result, app.config)

    return record


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
