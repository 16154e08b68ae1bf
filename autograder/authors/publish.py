"""The students' public tree, and nothing else: `autograder publish DIR`, or `--branch NAME`.

It holds the modules whose release date has come, the package as a student installs it, an index page, a zip for each
module, and the solutions whose date has come. What it wrote into a folder is noted in `.published.json` with a hash, so
that nothing is ever replaced or deleted that it did not make; for a branch see branch.py.
"""

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from autograder.authors.branch import Branch
from autograder.authors.stale import check_release
from autograder.course.calendar import Dates, calendar, told
from autograder.course.course import Course, Module
from autograder.course.source import read_source
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.grading.report import template

LEDGER = ".published.json"
TEXTS = Path(__file__).parent / "published"
WORKFLOW = ".github/workflows/publish.yml"
NAMED = 3  # files that a line names
STAFF = ("authors", "classes", "gradebook", *(f"cli/{name}.py" for name in ("author", "classes", "course", "marking")))
STUDENTS = ("LICENSE", "pyproject.toml", "docs/for-students.md", "docs/training.md", "docs/feedback.png", "docs/notebook.png")
MADE_FROM = ("source", "tests", "release", "solutions", "autograder", "docs", "course.toml", "pyproject.toml", "LICENSE")
NEVER = ("__pycache__", ".ipynb_checkpoints")


@dataclass(frozen=True)
class Week:
    """A notebook of a released module, as the index page shows it."""

    name: str
    title: str
    notebook: str
    due: str
    solved: bool


@dataclass(frozen=True)
class Published:
    """What was done: files written and deleted, and a line for each module that was left out."""

    written: int
    deleted: int
    left_out: list[str]


def publish(course: Course, folder: Path, now: datetime) -> Published:
    """Makes `folder` the students' tree as of `now`; files in it that are not this command's stay as they are.

    Raises:
        CourseError: a release is stale or leaks, the course has changes that are not committed, the folder holds
            somebody's files under names that are needed, or lies in the course; nothing is changed then.
    """
    if folder.resolve().is_relative_to(course.root) or course.root.is_relative_to(folder.resolve()):
        mend = f"name a folder elsewhere; for a branch write --branch {folder}"
        raise CourseError(f"{folder} lies in the course, or around it: {mend}")
    files, left_out = _tree(course, now)
    before = _ledger(folder)
    _require_ours(folder, files, before)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    _note(folder, {name: [*before.get(name, []), hashes.get(name, "")] for name in {**before, **files}})  # should it be cut off
    changed = [name for name, data in files.items() if not _is(folder / name, hashes[name])]
    for name in changed:
        write_whole(folder / name, files[name])
    gone = [name for name in before if name not in files and (folder / name).is_file()]
    for name in gone:
        (folder / name).unlink()
    for name in sorted(gone, reverse=True):
        _remove_empty(folder, (folder / name).parent)
    _note(folder, {name: [value] for name, value in hashes.items()})
    return Published(len(changed), len(gone), left_out)


def publish_branch(course: Course, repository: Path, name: str, now: datetime) -> Published:
    """Makes the students' tree as of `now` the newest commit of a branch; working tree and index stay as they are.

    Raises:
        CourseError: as `publish`; or the branch holds what publish did not make, or what students may not see yet, now or
            in its history. Nothing is changed then.
    """
    branch = Branch(repository, name)
    tip = branch.require_ours()
    files, left_out = _tree(course, now)
    early = sorted(path for path in branch.paths(tip) if _too_early(path, course, now))
    if early:
        raise CourseError(
            f"the history of {name} holds {', '.join(early[:NAMED])}, which students may not see yet: publish on a new branch, "
            f"and delete this one wherever it is (git branch -D {name})"
        )
    there = ", ".join(sorted(path.split("/")[1] for path in files if path.endswith("/module.json"))) or "no module yet"
    return Published(branch.commit(files, tip, f"Published on {now:%Y-%m-%d}: {there}"), 0, left_out)


def write_workflow(course: Course, branch: str, now: datetime) -> Path:
    """Writes the GitHub Actions workflow that publishes on `branch`, and gives its path.

    Raises:
        CourseError: `course.toml` names no repository, or another file of this name is there.
    """
    settings, path = course.settings, course.root / WORKFLOW
    if not settings.repository:
        raise CourseError('course.toml names no public repository to push to: write repository = "owner/name"')
    moments = {date.astimezone(UTC) for dates in calendar(course).values() for date in (dates.release, dates.solutions) if date}
    times = [f"{moment.minute} {moment.hour} {moment.day} {moment.month} *" for moment in sorted(moments) if moment > now]
    text = template("publish.yml", TEXTS.with_name("workflow")).render(settings=settings, branch=branch, times=times)
    first = text.splitlines()[0]
    if path.is_file() and path.read_text(encoding="utf-8").splitlines()[:1] != [first]:
        raise CourseError(f"{path} is there, and not made by this command: move it away")
    write_whole(path, text + "\n")
    return path


# --- what belongs in it -----------------------------------------------------------------------------------------------


def _tree(course: Course, now: datetime) -> tuple[dict[str, bytes], list[str]]:
    """The files of the students' tree, and why modules were left out.

    Raises:
        CourseError: a release is stale or leaks, or the course has changes that are not committed.
    """
    _require_committed(course.root)
    open_now, left_out = _modules(course, now)
    problems = [problem for module, _ in open_now for problem in check_release(module)]
    if problems:
        raise CourseError("nothing was published:\n" + "\n".join(problems))
    return dict(_files(course, open_now, now, left_out)), left_out


def _too_early(path: str, course: Course, now: datetime) -> bool:
    """Whether a file is of a module, or of solutions, whose date has not come."""
    top, _, rest = path.partition("/")
    name = rest.partition("/")[0] if top in ("release", "solutions") else path.removesuffix(".zip")
    dates = calendar(course).get(name)
    return dates is not None and not (dates.solved(now) if top == "solutions" else dates.released(now))


def _modules(course: Course, now: datetime) -> tuple[list[tuple[Module, Dates]], list[str]]:
    """The modules that students may have, and why others are left out."""
    found, left_out = [], []
    for name, dates in calendar(course).items():
        module = course.module(name)
        if not dates.released(now):
            assert dates.release
            left_out.append(f"{name}: not before {told(dates.release)}")
        elif not module.release.is_dir():
            left_out.append(f"{name}: not made yet, run `autograder release {name}`")
        else:
            found.append((module, dates))
    return found, left_out


def _files(
    course: Course, modules: list[tuple[Module, Dates]], now: datetime, left_out: list[str]
) -> Iterator[tuple[str, bytes]]:
    weeks = []
    for module, dates in modules:
        released = _under(module.release, f"release/{module.name}")
        yield from released.items()
        yield f"{module.name}.zip", _zipped({f"{module.name}/{name.split('/', 2)[2]}": data for name, data in released.items()})
        solved = dates.solved(now)
        if solved:
            yield from _under(module.solutions, f"solutions/{module.name}").items()
        due = told(dates.due) if dates.due else ""
        weeks += [Week(module.name, _title(part), part.notebook, due, solved) for part in module.parts]
    for name in STUDENTS:
        if (course.root / name).is_file():
            yield name, (course.root / name).read_bytes()
    package = Path(__file__).parents[1]
    for name, data in _under(package, "autograder").items():
        if not name.removeprefix("autograder/").startswith(STAFF):
            yield name, data
    for path in sorted(TEXTS.iterdir()):
        yield path.name, _text(path.name, course, weeks, left_out).encode()


def _under(folder: Path, name: str) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not set(NEVER) & set(path.parts)]
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def _zipped(files: dict[str, bytes]) -> bytes:
    """A zip that is the same, to the byte, for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _title(module: Module) -> str:
    """The notebook's own title."""
    lines = [line for cell in read_source(module.source) for line in cell.stub.splitlines()]
    return next((line[2:].strip() for line in lines if line.startswith("# ")), module.name)


def _text(name: str, course: Course, weeks: list[Week], left_out: list[str]) -> str:
    settings = course.settings
    later = f"{len(left_out)} more to come." if left_out else ""
    page = template(name, TEXTS).render(settings=settings, weeks=weeks, later=later, address=settings.zip)
    return page + "\n"


# --- whose the files are ----------------------------------------------------------------------------------------------


def _ledger(folder: Path) -> dict[str, list[str]]:
    """What an earlier run wrote into the folder: hashes by name, more than one where it was cut off."""
    path = folder / LEDGER
    if not path.exists():
        return {}
    try:
        return {str(name): [str(value) for value in values] for name, values in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        raise CourseError(f"{path} is damaged: publish into an empty folder") from None


def _note(folder: Path, files: dict[str, list[str]]) -> None:
    write_whole(folder / LEDGER, json.dumps(dict(sorted(files.items())), indent=1) + "\n")


def _is(path: Path, value: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == value


def _require_ours(folder: Path, files: dict[str, bytes], before: dict[str, list[str]]) -> None:
    if folder.exists() and not folder.is_dir():
        raise CourseError(f"{folder} is no folder")
    for name in {**before, **files}:
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise CourseError(f"{path} is no file, and one of this name is to be written: move it away")
        ours = [*before.get(name, []), hashlib.sha256(files[name]).hexdigest() if name in files else ""]
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() not in ours:
            raise CourseError(f"{path} was changed, or is somebody's own: move it away, or publish into an empty folder")


def _remove_empty(top: Path, folder: Path) -> None:
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _require_committed(root: Path) -> None:
    """What is published is what is committed; where there is no Git, what lies there."""
    if not (root / ".git").exists():
        return
    command = ["git", "-C", str(root), "status", "--porcelain", "--", *MADE_FROM]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return
    if changes := done.stdout.splitlines():
        raise CourseError(f"{changes[0][3:]} has changes that are not committed ({len(changes)} in all): commit them first")
