"""Commands for students, `check`, `pack` and `update`, and for whoever gets what was packed: `receipt`."""

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.cli.options import add_command
from autograder.defaults import PROBE_SECONDS
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`check`, `pack`, `update` and `receipt`."""
    check = add_command(commands, "check", _check, "say what the grader will say of everything public in your notebook")
    pack = add_command(
        commands, "pack", _pack, "make the file to hand in, its receipt, and a list of what will cost points"
    )
    for command in (check, pack):
        command.add_argument(
            "notebook", nargs="?", type=Path, default=Path("."), help="default: the assignment's, in this folder"
        )
    check.add_argument(
        "--limit",
        type=float,
        default=PROBE_SECONDS,
        metavar="SECONDS",
        help=f"for one probe (default: {PROBE_SECONDS:g})",
    )
    pack.add_argument("-o", "--output", type=Path, metavar="FILE", help="the file to make (default: in handin/)")

    update = add_command(
        commands, "update", _update, "take your work over into a newer version of the notebook, and keep the old one beside it"
    )
    update.add_argument("notebook", type=Path, help="yours; it becomes the newer version, with your work in it")
    update.add_argument(
        "new", nargs="?", type=Path, metavar="NEW", help="the new zip, folder or notebook (default: from the course's address)"
    )

    receipt = add_command(
        commands, "receipt", _receipt, "say whether a collected notebook is the one a receipt was made for"
    )
    receipt.add_argument("notebook", type=Path, help="the collected file; or the claim that came with it")
    receipt.add_argument("receipt", type=Path, help="the student's .receipt.json")


def _check(options: argparse.Namespace) -> int:
    from autograder.installed import require_packages

    require_packages()
    from autograder.students.handin import check_notebook, find_notebooks

    paths, missing = find_notebooks(options.notebook)
    passed = not missing
    for path in paths:
        text, right = check_notebook(path, options.limit)
        print(text)
        passed = passed and right
    for line in missing:
        print(f"  ! {line}")
    return 0 if passed else 1


def _pack(options: argparse.Namespace) -> int:
    from autograder.installed import require_packages

    require_packages()
    from autograder.students.handin import find_notebooks

    paths, missing = find_notebooks(options.notebook)
    if len(paths) > 1 and options.output and not options.output.is_dir():
        raise CourseError(f"{options.output} is one file, and there are {len(paths)} notebooks: name a folder with -o")
    for path in paths:
        _pack_one(path, options.output)
    for line in missing:
        print(f"  ! {line}")
    return 0


def _pack_one(path: Path, out: Path | None) -> None:
    from autograder.students.handin import pack

    saved = datetime.fromtimestamp(path.stat().st_mtime)
    packed, receipt, problems = pack(path, out)
    print(f"{packed}: hand in this file. It is {path} as saved at {saved:%Y-%m-%d %H:%M:%S}.")
    said = receipt.read_text(encoding="utf-8").strip()
    if claim := json.loads(said).get("claim"):
        size, came = f"{claim['bytes'] / 2**20:.1f} MiB", claim["from"]
        print(f"{packed.parent / claim['file']}: your training run ({size}), for bonus points: hand it in too. It is {came}.")
    for problem in problems:
        print(f"  ! {problem}")
    if not problems:
        print("Nothing was found that must cost points; `autograder check` runs the public checks on it.")
    print(f"{receipt}: the receipt, keep it.\n{said}")


def _update(options: argparse.Namespace) -> int:
    from autograder.installed import require_packages

    require_packages()
    from autograder.students.update import update

    done = update(options.notebook, options.new)
    if done.kept is None:
        print(f"{options.notebook} is of version {done.version} already: nothing was changed.")
        return 0
    for line in done.said:
        print(f"  ! {line}")
    print(f"{options.notebook} is of version {done.version} now, with your work in it. As it was it is kept in {done.kept}.")
    print("Open it anew, restart the kernel and run all cells; then check and pack as ever.")
    return 0


def _receipt(options: argparse.Namespace) -> int:
    from autograder.students.handin import verify_receipt

    text, same = verify_receipt(options.notebook, options.receipt)
    print(text, file=sys.stdout if same else sys.stderr)
    return 0 if same else 1
