"""Commands for whoever grades a class: `collect`, `grade`, `regrade`, `report`, `similar`, `train`, `extend`, `export`
and `gradescope`.
"""

import argparse
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.cli.options import (
    add_class,
    add_command,
    add_engine,
    add_module,
    add_on,
    add_sandbox,
    engine,
    grades_folder,
    require_sandbox,
)
from autograder.course.course import Course
from autograder.defaults import CORES, ON, SANDBOX
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands
    from autograder.course.course import Module
    from autograder.sandboxed.training import Preset
    from autograder.training.images import Images

BELOW = 3  # exit status of `grade --fail-below`


def add_commands(commands: "Commands") -> None:
    """`collect`, `grade`, `regrade`, `report`, `similar`, `train`, `extend`, `export` and `gradescope`."""
    adders = (_add_collect, _add_grade, _add_regrade, _add_report, _add_similar, _add_train, _add_extend, _add_export)
    for add in (*adders, _add_gradescope):
        add(commands)


# --- arguments --------------------------------------------------------------------------------------------------------


def _add_collect(commands: "Commands") -> None:
    collect = add_command(
        commands, "collect", _collect, "put what Canvas, Moodle or Classroom gave you into submitted/, the newest of each"
    )
    add_module(collect)
    collect.add_argument(
        "archives",
        nargs="*",
        type=Path,
        metavar="ARCHIVE",
        help="zips, folders or notebooks (default: downloaded/MODULE/archive)",
    )
    collect.add_argument(
        "--roster", type=Path, metavar="FILE", help="a platform's CSV file: names and numbers of the gradebook's students"
    )


def _add_grade(commands: "Commands") -> None:
    grade = add_command(commands, "grade", _grade, "grade a class: submitted/, or the notebooks and folders named")
    add_class(grade)
    grade.add_argument(
        "--watch",
        action="store_true",
        help="go on with what arrives there, oldest first, until Ctrl-C; without --timings, --junit and --fail-below, which "
        "are about a class that is complete",
    )
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
    add_engine(grade)


def _add_regrade(commands: "Commands") -> None:
    regrade = add_command(
        commands, "regrade", _regrade, "judge a graded class by changed checks or hints, without running student code"
    )
    add_class(regrade)
    regrade.add_argument("--group", metavar="GROUP", help="only the students of this group, as `autograder group` lists them")
    answer = regrade.add_mutually_exclusive_group()
    answer.add_argument("--yes", action="store_true", help="write the new grades without asking")
    answer.add_argument("--dry-run", action="store_true", help="only say which grades would move and why")
    regrade.add_argument(
        "--run", action="store_true", dest="observe", help="run what is not kept: for changed probes, exercises or names"
    )
    add_engine(regrade)


def _add_similar(commands: "Commands") -> None:
    similar = add_command(
        commands, "similar", _similar, "show which students' functions are nearly the same: a reason to look, not a proof"
    )
    add_module(similar)
    similar.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="notebooks, or folders of them")
    similar.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the page to look at (default: grades/MODULE/similar.html)"
    )


def _add_report(commands: "Commands") -> None:
    report = add_command(
        commands, "report", _report, "write a page about a graded class: scores, checks, mistakes, failures without a name"
    )
    add_module(report)
    report.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="the submissions (default: submitted/)")
    report.add_argument("--grades", type=Path, metavar="DIR", help="where the grades are (default: grades/MODULE)")
    report.add_argument("--output", type=Path, metavar="FILE", help="the page (default: report.html beside the grades)")
    report.add_argument(
        "--anonymous", action="store_true", help="without names and hidden values, to show in class: report-anonymous.html"
    )
    report.add_argument(
        "--mistake", metavar="GROUP", help="write no page, but the draft of a known mistake from a group's own function"
    )


def _add_train(commands: "Commands") -> None:
    train = add_command(
        commands, "train", _train, "the full training check: train by the students' functions, one after another, and judge"
    )
    add_class(train)
    train.add_argument("--preset", default="rehearsal", metavar="NAME", help="how much (default: rehearsal, on the tiny data)")
    train.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: auto")
    train.add_argument(
        "--data", type=Path, metavar="PATH", help="CIFAR-10: a folder with cifar-10-batches-py, or a .npz (default: data/)"
    )
    train.add_argument("--download", action="store_true", help="fetch CIFAR-10 (170 MB) where it is missing")
    train.add_argument("--batch-size", type=int, metavar="N", help="another than the preset's, where memory is short")
    train.add_argument("--threads", type=int, metavar="N", help="of the CPU (default: all, of each node with --on)")
    train.add_argument("--seed", type=int, help="of weights and images (default: drawn once, kept)")
    train.add_argument(
        "--limit",
        type=float,
        metavar="SECONDS",
        help="for one run (default: four times what the reference would take here, which --on's nodes should be as fast as)",
    )
    train.add_argument(
        "--calibrate", type=int, metavar="N", help="train the reference N times, and the training mistakes: for floors"
    )
    train.add_argument(
        "--claim", type=Path, nargs="+", metavar="FILE", help="check claims of students' own runs instead; trains nothing"
    )
    add_sandbox(train)
    add_on(train, "where submissions are trained: slurm[:NAME=VALUE,…] or dask[:ADDRESS] (default: local, on this machine)")


def _add_extend(commands: "Commands") -> None:
    extend = add_command(commands, "extend", _extend, "give a student more days for a module, before or after they hand in")
    add_module(extend)
    extend.add_argument("student", help="the student's id in the gradebook")
    extend.add_argument("--days", type=float, required=True, metavar="N", help="from the due date; 0 takes it back")
    extend.add_argument("--why", required=True, metavar="REASON", help="kept beside it in extensions.csv")


def _add_export(commands: "Commands") -> None:
    export = add_command(commands, "export", _export, "write the gradebook's grades as a file that a platform imports")
    export.add_argument("platform", choices=("canvas", "moodle"), help="`nbgrader export` writes plain CSV")
    add_module(export)
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
    export.add_argument(
        "--partial", action="store_true", help="also grades that wait for a TA, or for a time of handing in"
    )


def _add_gradescope(commands: "Commands") -> None:
    gradescope = add_command(commands, "gradescope", _gradescope, "build the autograder zip of a module for Gradescope")
    add_module(gradescope)
    gradescope.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: MODULE-gradescope.zip")
    gradescope.add_argument(
        "--sandbox",
        choices=("full", "none"),
        default=SANDBOX,
        help="none: submissions can read the hidden checks and write their own score; where full walls cannot be built",
    )


# --- what they call ---------------------------------------------------------------------------------------------------


def _collect(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.collect import collect, default_sources, print_collected
    from autograder.gradebook.collecting import listed

    module = Course.find().module(options.module)
    sources = options.archives or default_sources(module)
    done = collect(module, sources, listed(module.root, options.roster))
    print_collected(done, Console())
    return 1 if done.problems else 0


def _grade(options: argparse.Namespace) -> int:
    from autograder.classes.submissions import enterable, find_submissions

    module = Course.find().module(options.module)
    if options.watch:
        return _watch(options, module)
    submissions = find_submissions(module, options.paths)
    settings = engine(options)
    from rich.console import Console

    from autograder.classes.grade import grade_class, print_outcome

    out, console = grades_folder(options, module), Console()
    record = None
    if not options.no_gradebook and (mine := enterable(module, submissions)):
        from autograder.gradebook.gradebook import recorder

        record = recorder(module, submissions, mine, console)
    outcome = grade_class(
        module, submissions, out, console, seed=options.seed, timed=options.timings, record=record, **settings
    )
    if record and out == module.grades:
        from autograder.gradebook.gradebook import write_pages

        with outcome.timings.stage("gradebook"):
            write_pages(module, mine)
    print_outcome(outcome, out, console, with_timings=options.timings)
    if options.junit:
        from autograder.files import write_whole
        from autograder.grading.report import junit_xml

        write_whole(options.junit, junit_xml(outcome.results))
    if outcome.failures:
        return 1
    return BELOW if outcome.below(options.fail_below or 0) else 0


def _watch(options: argparse.Namespace, module: "Module") -> int:
    if options.timings or options.junit or options.fail_below is not None:
        raise CourseError(
            "--watch takes no --timings, --junit or --fail-below, since more may come: give them to "
            f"`autograder grade {module.name}` afterwards, which judges what is kept"
        )
    settings = engine(options)
    from rich.console import Console

    from autograder.classes.submissions import may_hold_enterable
    from autograder.classes.watch import watch

    out, console = grades_folder(options, module), Console()
    entering: dict[str, Any] = {}
    if not options.no_gradebook and may_hold_enterable(module, options.paths):
        from autograder.gradebook.arriving import Arriving

        book = Arriving(module, out == module.grades, console)
        entering = {"record": book.record, "settle": book.settle}
    watch(module, options.paths, out, console, seed=options.seed, **entering, **settings)
    return 0


def _regrade(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.regrade import print_regraded, regrade, write
    from autograder.classes.submissions import find_submissions

    module, console = Course.find().module(options.module), Console()
    submissions, out = find_submissions(module, options.paths), grades_folder(options, module)
    if options.on != ON and not options.observe:
        raise CourseError("--on goes with --run: without it nothing is observed, here or elsewhere")
    if options.group:
        from autograder.classes.groups import group_of

        students = group_of(out, options.group).students
        submissions = [each for each in submissions if each.student in students]
    how = engine(options) if options.observe else {"sandbox": options.sandbox, "limit": options.limit}
    regraded = regrade(module, submissions, out, console, everyone=not (options.paths or options.group), **how)
    print_regraded(regraded, module, console)
    if regraded.changed and not _agreed(options):
        return 0 if options.dry_run else 2
    if not options.dry_run:
        write(regraded, out)
        if regraded.changed:
            console.print(f"Written: {out}/grades.csv, {out}/feedback/", highlight=False, soft_wrap=True)
    return 1 if regraded.kept else 0


def _similar(options: argparse.Namespace) -> int:
    from autograder.classes.similar import page, similar, words
    from autograder.classes.submissions import find_submissions
    from autograder.files import write_whole

    module = Course.find().module(options.module)
    found = similar(module, find_submissions(module, options.paths))
    out = options.output or module.grades / "similar.html"
    write_whole(out, page(module, found))
    for line in words(found):
        print(line)
    print(f"{out}: a reason to look, and not a proof")
    return 0


def _report(options: argparse.Namespace) -> int:
    if options.mistake and (options.anonymous or options.output):
        raise CourseError("--mistake writes into mistakes.py and no page: leave --output and --anonymous away")
    from datetime import datetime

    from autograder.classes.submissions import find_submissions
    from autograder.files import write_whole
    from autograder.gradebook.collecting import listed
    from autograder.gradebook.report import Report

    module = Course.find().module(options.module)
    out = options.grades or module.grades
    submissions = find_submissions(module, options.paths) if options.paths or (module.root / "submitted").is_dir() else []
    names = {one.student: one.names for one in listed(module.root)}
    if options.mistake:
        from autograder.classes.typical import drafted, write_draft

        print("\n".join(drafted(module, write_draft(module, out, submissions, options.mistake, names))))
        return 0
    report = Report(module, out, submissions, names, options.anonymous)
    page = options.output or out / ("report-anonymous.html" if options.anonymous else "report.html")
    write_whole(page, report.page(datetime.now()))
    print(f"{page}: {len(report.graded)} graded students")
    for line in report.damaged:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if report.damaged else 0


def _train(options: argparse.Namespace) -> int:
    if options.calibrate is not None and options.calibrate < 1:
        raise CourseError("--calibrate takes how many seeds: 5 or more for a floor")
    for name in ("batch_size", "threads", "limit"):
        if (value := getattr(options, name)) is not None and value <= 0:
            raise CourseError(f"--{name.replace('_', '-')} must be positive")
    if options.on != ON and (options.calibrate or options.claim):
        raise CourseError("--on trains submissions; --calibrate and --claim are for this machine alone: leave one away")
    module = Course.find().module(options.module)
    if options.claim:
        return _check_claims(options, module)
    require_sandbox(options)
    from rich.console import Console

    from autograder.classes.submissions import find_submissions
    from autograder.classes.train import train_and_write
    from autograder.training.full import Settings, calibrate, preset_of, recipe_of
    from autograder.training.images import find_images
    from autograder.training.run import choose_device

    console, recipe = Console(), recipe_of(module)
    preset = preset_of(recipe, options.preset, options.batch_size)
    settings = Settings(
        preset,
        seed=1,
        device=choose_device(options.device) if options.on == ON else _device_of_nodes(options),
        sandbox=options.sandbox,
        threads=options.threads or (CORES if options.on == ON else 0),
        limit=options.limit,
    )
    place = options.data or module.root / "data"
    images = find_images(preset, place, named=options.data is not None, download=options.download)
    if options.calibrate:
        calibrate(module, recipe, settings, images, list(range(1, options.calibrate + 1)), console.print)
        return 0
    submissions, out = find_submissions(module, options.paths), grades_folder(options, module)
    results = train_and_write(module, recipe, settings, images, submissions, out, options.seed, console, options.on)
    _enter_bonuses(module, recipe.exercise, out)
    return 0 if all(each.holds for each in results) else 1


def _device_of_nodes(options: argparse.Namespace) -> str:
    """The device to train on elsewhere: one that need not be here, where the limit is known without measuring it."""
    from autograder.training.run import choose_device

    if options.device != "auto" and options.limit:
        return str(options.device)
    try:
        return choose_device(options.device)
    except CourseError as error:
        raise CourseError(f"{error}. A run's limit is measured on it: --limit SECONDS names one without") from None


def _enter_bonuses(module: "Module", exercise: str, out: Path) -> None:
    """Into the course's own gradebook, what its own class earned."""
    if out.resolve() != module.grades.resolve() or not (module.root / "nbgrader_config.py").is_file():
        return
    from autograder.classes.train import bonuses
    from autograder.gradebook.gradebook import ClassBook, settings

    points = bonuses(out)
    if any(points.values()):
        for problem in ClassBook(module, settings(module.root).coursedir).enter_bonuses(exercise, points):
            print(f"autograder: {problem}", file=sys.stderr)


def _check_claims(options: argparse.Namespace, module: "Module") -> int:
    if options.paths or options.calibrate:
        raise CourseError("--claim checks files alone: name no submissions beside it, and no --calibrate")
    import secrets

    import torch
    from rich.console import Console

    from autograder.classes import claims
    from autograder.training.full import recipe_of
    from autograder.training.images import find_images
    from autograder.training.run import choose_device

    recipe, place, out = recipe_of(module), options.data or module.root / "data", grades_folder(options, module)
    torch.set_num_threads(options.threads or CORES)

    @functools.cache
    def find(preset: "Preset") -> "tuple[Images, Images]":
        return find_images(preset, place, named=options.data is not None, download=options.download)

    draw = secrets.randbits(62) if options.seed is None else options.seed
    device = choose_device(options.device)
    alright = claims.check_and_write(module, recipe, find, options.claim, out, draw, device, Console())
    _enter_bonuses(module, recipe.exercise, out)
    return 0 if alright else 1


def _agreed(options: argparse.Namespace) -> bool:
    """Whether the new grades may be written; asks where somebody can answer."""
    if options.yes or options.dry_run:
        return bool(options.yes)
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


def _extend(options: argparse.Namespace) -> int:
    from autograder.gradebook.gradebook import extend

    for line in extend(Course.find().module(options.module), options.student, options.days, options.why):
        print(line)
    return 0


def _export(options: argparse.Namespace) -> int:
    from autograder.files import write_whole
    from autograder.gradebook.export import export

    module = Course.find().module(options.module)
    out = options.output or module.grades / f"{options.platform}.csv"
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
    from autograder.gradebook.gradescope import OPEN, build

    module = Course.find().module(options.module)
    out = options.output or Path(f"{module.name}-gradescope.zip")
    build(module, out, options.sandbox)
    if options.sandbox == "none":
        print(f"autograder: {OPEN}", file=sys.stderr)
    print(f"{out}: upload it on the assignment's page Configure Autograder")
    return 0
