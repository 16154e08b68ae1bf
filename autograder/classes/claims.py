"""Claims of a class, from files to words: `autograder train MODULE --claim FILE…`."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from pathlib import Path

from rich.console import Console
from rich.text import Text

from autograder.classes.grade import write_section
from autograder.course.course import Module
from autograder.errors import CourseError, NoClaim
from autograder.files import write_whole
from autograder.grading.judge import clean
from autograder.grading.report import number
from autograder.sandboxed.training import Preset, Recipe
from autograder.training.claim_file import CLAIM, read_claim
from autograder.training.claims import NOT_ESTABLISHED, Checked, Print, check_claim, print_of, same_weights
from autograder.training.images import Images

BONUS = "Points for a claim are bonus points: a claim that is refused, or none at all, costs nothing."


def check_and_write(
    module: Module,
    recipe: Recipe,
    find: Callable[[Preset], tuple[Images, Images]],
    files: list[Path],
    out: Path,
    draw: int,
    device: str,
    console: Console,
) -> bool:
    """Checks claims, says what was found and what cannot be, and writes `training/claims/<student>.json` and `.txt` for each.

    Args:
        find: the images of a preset.
        draw: the seed by which images are drawn.

    Returns whether everything holds for everybody, and no two are alike.

    Raises:
        CourseError: two files of one student; or images that are needed are not there.
    """
    named = {_student(module, path): path for path in files}
    if len(named) < len(files):
        twice = [path for path in files if named[_student(module, path)] != path]
        raise CourseError(f"{twice[0]} is of a student who has another claim here: name one, or rename the file")
    folder = out / "training" / "claims"
    prints, checked = _earlier(folder, named), []
    for student, path in named.items():
        console.print(Text(f"checking {clean(str(path))}"))
        try:
            claim = read_claim(path)
        except NoClaim as error:
            checked.append(Checked(student, refused=str(error)))
            continue
        prints[student] = print_of(claim)
        checked.append(check_claim(recipe, module.name, student, claim, find, draw, device))
    pairs = same_weights(prints)
    for each in checked:
        each.shared = [(one if each.name == other else other, how) for one, other, how in pairs if each.name in (one, other)]
        _write(folder, module, each, prints.get(each.name), draw)
        console.print(Text("\n".join(words(each))), soft_wrap=True)
    console.print(Text("\n".join(closing())), soft_wrap=True)
    console.print(f"{folder}/", highlight=False, soft_wrap=True)
    return all(each.holds and not each.shared for each in checked)


def words(checked: Checked, named: bool = True) -> list[str]:
    """What was found of one claim, line by line.

    Args:
        named: whether others are named, which is for the TA alone.
    """
    name = clean(checked.name)
    if checked.refused:
        return [f"{name}: no bonus points: the file {clean(checked.refused)}"]
    failed = [finding for finding in checked.findings if not finding.holds]
    points = number(checked.bonus)
    if failed:
        verdict = f"{len(failed)} of {len(checked.findings)} do not hold; no bonus points"
    elif checked.shared:
        verdict = "all that can be checked holds, and it is not the only one: no bonus points before the TA has decided"
    else:
        verdict = f"all that can be checked holds; {points} bonus points"
    lines = [f"{name}: {verdict}"]
    for finding in checked.findings:
        lines.append(f"  {'✓' if finding.holds else '✗'} {finding.title}: {clean(finding.said)}")
    shared = [f"{clean(other) if named else 'another claim'} and this one {how}" for other, how in checked.shared]
    return lines + [f"  ! {clean(line)}" for line in shared + checked.remarks]


def closing() -> list[str]:
    """What holds of every claim."""
    return ["What no check of a claim establishes:", *(f"  - {line}" for line in NOT_ESTABLISHED), BONUS]


def _student(module: Module, path: Path) -> str:
    """Whose a file is: the folder it lies in, where it has the usual name; else what it is called."""
    if path.name != CLAIM:
        return path.stem
    folders = [part for part in path.resolve().parent.parts if part != module.name]
    return folders[-1] if folders else path.stem


def _earlier(folder: Path, named: dict[str, Path]) -> dict[str, Print]:
    """Seeds and hashes of claims that were checked before; those named now are read anew."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            if said["hashes"] and path.stem not in named:
                found[path.stem] = Print(int(said["seed"]), frozenset(map(str, said["hashes"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _write(folder: Path, module: Module, checked: Checked, known: Print | None, draw: int) -> None:
    """Writes what was found: all of it as JSON, and for the student as text, in which no other student is named.

    What is known of an earlier claim is never replaced by the news that a file is none.
    """
    path = folder / f"{checked.name}.json"
    if checked.refused and path.is_file():
        return
    text = "\n".join([*words(checked, named=False), "", *closing()])
    write_whole(folder / f"{checked.name}.txt", text + "\n")
    shown = f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'
    fragment = f"<section>\n<h2>Claim of your own training</h2>\n{shown}\n</section>\n"
    write_section(folder.parents[1], module, checked.name, "claim", fragment)
    about = {
        "student": checked.name,
        "bonus": checked.bonus,
        "of": checked.preset.points if checked.preset else 0.0,
        "preset": checked.preset.name if checked.preset else "",
        "refused": checked.refused,
        "accuracy": None if math.isnan(checked.measured) else checked.measured,
        "findings": [asdict(finding) for finding in checked.findings],
        "shared": checked.shared,
        "remarks": checked.remarks,
        "not established": NOT_ESTABLISHED,
        "drawn by": draw,
        "seed": known.seed if known else None,
        "hashes": sorted(known.hashes) if known else [],
        "history": checked.claim.history if checked.claim else {},
        "devices": checked.claim.devices if checked.claim else [],
        "versions": checked.claim.versions if checked.claim else {},
    }
    write_whole(path, json.dumps(about, indent=1) + "\n")
