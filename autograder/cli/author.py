"""Commands for instructors who write a module: `new`, `import`, `release`, `verify`, `publish` and `demo`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.cli.options import add_command, add_engine, add_module, add_modules, chosen, engine
from autograder.course.course import Course, Module
from autograder.defaults import VERIFY_SEED
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`new`, `import`, `release`, `verify`, `publish` and `demo`."""
    new = add_command(commands, "new", _new, "make a module that already runs, to be written on")
    new.add_argument("name", metavar="MODULE", help="its name: the week, and the notebook's, as week10_attention")

    imports = add_command(commands, "import", _import, "make a module of an nbgrader assignment's notebooks")
    imports.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="of nbgrader's source/, in order")
    imports.add_argument("--name", metavar="MODULE", help="the module's name (default: the notebook's, or their folder's)")

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
    verify.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="look at one function, mistake or alternative, while you write it; may be given again",
    )
    add_engine(verify)

    publish = add_command(commands, "publish", _publish, "make the students' public tree, with what is released today")
    publish.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="a folder outside the course: new, or published into before"
    )
    publish.add_argument("--branch", metavar="NAME", help="in place of DIR: a branch that holds nothing else, or a new one")
    publish.add_argument(
        "--repository", type=Path, metavar="CLONE", help="of the branch: a clone of another repository (default: the course's)"
    )
    publish.add_argument(
        "--workflow",
        action="store_true",
        help="publish nothing; write the GitHub workflow that publishes on the branch, and pushes it as course.toml says",
    )

    demo = add_command(commands, "demo", _demo, "make a class from a module's catalogue and grade it")
    add_module(demo, nargs="?", help="the module (default: the first)")
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), metavar="DIR", help="where the class is made (default: demo)"
    )
    add_engine(demo)


def _new(options: argparse.Namespace) -> int:
    from autograder.authors.new import new

    course = Course.find()
    for path in new(course, options.name):
        print(path.relative_to(course.root))
    print(f"autograder verify {options.name}   # it holds already; docs/for-instructors.md goes on from here in ten steps")
    return 0


def _import(options: argparse.Namespace) -> int:
    from autograder.authors.import_notebook import import_notebooks, listed

    course = Course.find()
    done = import_notebooks(course, options.notebooks, options.name)
    for path in done.files:
        print(path.relative_to(course.root))
    for line in listed(done):
        print(f"autograder: {line}", file=sys.stderr)
    print(f"autograder verify {done.name}   # then read what was made; docs/for-instructors.md says what to better")
    return 1 if done.left_out else 0


def _release(options: argparse.Namespace) -> int:
    from autograder.authors.release import release
    from autograder.authors.stale import check_release

    def make(module: Module) -> bool:
        from autograder.gradebook.gradebook import require_marks_kept

        require_marks_kept(module)
        release(module)
        return True

    if not options.check:
        return 0 if _each(options.modules, make) else 1
    if not _each(options.modules, lambda module: _no_problems(check_release(module))):
        return 1
    print("release/ and solutions/ are what the sources make, and nothing leaks")
    return 0


def _each(names: list[str], work: Callable[[Module], bool]) -> bool:
    """Whether `work` went well on every module; one that cannot be read keeps nobody from the others."""
    return all([_sound(module, work) for module in chosen(names)])


def _sound(module: Module, work: Callable[[Module], bool]) -> bool:
    try:
        return work(module)
    except CourseError as error:
        return _no_problems([f"autograder: {error}"])


def _no_problems(problems: list[str]) -> bool:
    for problem in problems:
        print(problem, file=sys.stderr)
    return not problems


def _verify(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.authors.verify import verify

    settings = engine(options)
    console = Console()
    console.width = max(console.width, 120)  # check names are long, and a table cut short tells nothing
    return 0 if _each(options.modules, lambda module: verify(module, options.seed, console, options.only, **settings)) else 1


def _publish(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from autograder.authors.publish import publish, publish_branch, write_workflow

    course, now, branch = Course.find(), datetime.now(UTC), options.branch
    if (options.folder is None) == (branch is None):
        raise CourseError("name where to: a folder outside the course (publish DIR), or a branch (publish --branch NAME)")
    if branch is None and (options.repository or options.workflow):
        raise CourseError("--repository and --workflow go with --branch NAME, and not with a folder")
    if options.workflow:
        path = write_workflow(course, branch, now)
        print(f"{path}: commit it, and give the course's repository the secret that its first lines name")
        return 0
    if branch is None:
        done, place = publish(course, options.folder, now), str(options.folder)
    else:
        repository = options.repository or course.root
        done, place = publish_branch(course, repository, branch, now), f"branch {branch}"
    for line in done.left_out:
        print(f"left out: {line}")
    if branch is None:
        print(f"{place}: {done.written} files written, {done.deleted} deleted; index.html is the page for students")
    else:
        changed = f"{done.written} files changed in a new commit" if done.written else "nothing has changed, no commit was made"
        print(f"{place}: {changed}; push that branch alone to the students' repository")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.demo import demo

    module = chosen([options.module] if options.module else [])[0]
    return demo(module, options.output, Console(), **engine(options))
