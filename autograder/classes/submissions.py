"""Finding what is to be graded, in nbgrader's `submitted/` tree or in files and folders that were named.

Only the notebook itself is taken from a submitted folder, links are refused, and nothing is ever changed there. What lies
there under another name, in another place or in another form is taken where it is certain, else named for what it is: one
odd name or file costs one student.
"""

import difflib
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.classes.handed_in import belongs, ghost, not_a_notebook, notebook_name, part_of, resembles, untouched
from autograder.course.course import Course, Module
from autograder.errors import CourseError, Unreadable
from autograder.sandboxed.notebook import MAX_NOTEBOOK_BYTES

BESIDE = ("timestamp.txt", "lateness.txt", "submission_secret.txt")  # what collecting puts beside a notebook
MAX_NAME_BYTES = 240  # of a student: results and pages are files of that name
MAX_SEEN, MAX_DEPTH = 500, 4  # files and folders in a folder that are looked at


@dataclass(frozen=True)
class Submission:
    """One student's notebook; `problem` says why it cannot be graded, and `note` what a TA should know.

    `place` is the folder that was handed in, where that is not the notebook's own. `nameless` are those whose name can
    stand in no gradebook; `student` is then a name to speak of them by. Of a module with several notebooks all stand in
    `parts`, in their order, and `path` is the first; one that is `absent` costs no other its points.
    """

    student: str
    path: Path
    problem: str = ""
    note: str = ""
    place: Path | None = None
    nameless: bool = False
    absent: bool = False
    parts: tuple["Submission", ...] = ()

    @property
    def folder(self) -> Path:
        """Where its time stamp lies."""
        return self.place or self.path.parent

    def to_observe(self) -> bytes:
        """As `read`, of a notebook that there is."""
        if self.problem or self.absent:
            raise Unreadable(self.problem or "was not handed in")
        return self.read()

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            OSError: it cannot be read.
            Unreadable: it is larger than a notebook may be, or plainly something else.
        """
        with self.path.open("rb") as file:
            data = file.read(MAX_NOTEBOOK_BYTES + 1)  # no more: a file of holes can claim any size
        if len(data) > MAX_NOTEBOOK_BYTES:
            raise Unreadable("is too large: clear the outputs (Edit, Clear All Outputs) and save it again")
        if what := not_a_notebook(data):
            raise Unreadable(what)
        return data


def find_submissions(module: Module, paths: list[Path], *, growing: bool = False) -> list[Submission]:
    """The submissions in `paths`, or in the course's `submitted/` when there are none, by student.

    Two submissions of one student are both refused, since nobody can tell which one counts. Of folders that are `growing`
    none need be there, or hold anything yet.

    Raises:
        CourseError: a path that does not exist, or a folder without any submission.
    """
    found: list[list[Submission]] = [[] for _ in module.parts]
    for path in paths or [module.root / "submitted"]:
        if not path.exists():
            if growing:
                continue
            raise CourseError(
                f"{path} does not exist: "
                + ("check the spelling" if paths else "collect the submissions first, or name them")
            )
        is_folder = path.is_dir() and path.name not in module.notebooks
        here = [_in_folder(part, path) if is_folder else _files(part, [path]) for part in module.parts]
        if not any(here) and not growing:
            raise CourseError(
                f"{path} holds no submission: expected <student>/{module.name}/{module.notebooks[0]}, or .ipynb files"
            )
        for theirs, new in zip(found, here, strict=True):
            theirs += new
    each = [_once(theirs) for theirs in found]
    together = each[0] if len(each) == 1 else _together(module, each)
    return sorted(together, key=lambda submission: submission.student)


def _once(found: list[Submission]) -> list[Submission]:
    once = {submission.path.absolute(): submission for submission in found}  # a file and its folder may both be named
    return _refuse_doubles([_well_named(submission) for submission in once.values()])


def _together(module: Module, each: list[list[Submission]]) -> list[Submission]:
    """Of every student the notebooks that were found one by one, as one submission."""
    students: dict[str, dict[int, Submission]] = {}
    for place, found in enumerate(each):
        for submission in found:
            students.setdefault(submission.student, {})[place] = submission
    return [_one(module, theirs) for theirs in students.values()]


def _one(module: Module, found: dict[int, Submission]) -> Submission:
    """One student's notebooks together. What cannot be graded for another reason than that it is not there refuses all:
    points that somebody may have earned are no zero."""
    known = next(iter(found.values()))
    parts = [
        found.get(place) or Submission(known.student, known.folder / name, place=known.place, absent=True)
        for place, name in enumerate(module.notebooks)
    ]
    there = [part for part in parts if not part.absent]
    for part in there:
        if part.problem:
            return part
    missing = [part.path.name for part in parts if part.absent]
    if not there:
        return replace(known, problem=f"{known.problem} and {' and '.join(missing[1:])}", absent=False)
    notes = [*(part.note for part in there), *(f"{name} is missing: no points for what is in it" for name in missing)]
    note = "; ".join(filter(None, notes))
    return Submission(known.student, there[0].path, note=note, place=there[0].place, parts=tuple(parts))


def enterable(module: Module, submissions: list[Submission]) -> set[str]:
    """The students whose submission lies in an nbgrader course's own `submitted/`: those its gradebook is to know."""
    if not (module.root / "nbgrader_config.py").is_file():
        return set()
    submitted = module.root / "submitted"
    return {s.student for s in submissions if submitted in s.path.absolute().parents and not s.nameless}


def may_hold_enterable(module: Module, paths: list[Path]) -> bool:
    """Whether something in `paths`, or in the default for none, can be `enterable`, now or later."""
    submitted = module.root / "submitted"
    places = [path.absolute() for path in paths] or [submitted]
    own = any(place.is_relative_to(submitted) or submitted.is_relative_to(place) for place in places)
    return own and (module.root / "nbgrader_config.py").is_file()


def _well_named(submission: Submission) -> Submission:
    """The submission, refused where files, pages and the gradebook cannot hold its student's name."""
    raw = os.fsencode(submission.student)
    spoken = raw.decode("utf-8", "backslashreplace")
    if spoken != submission.student:
        guess = raw.decode("cp1252", "replace")
        why = f"its name is in a Windows code page and not in UTF-8 (perhaps {guess!r}): rename it and grade again"
    elif len(raw) > MAX_NAME_BYTES:
        spoken = f"{spoken[:40]}…{hashlib.sha256(raw).hexdigest()[:8]}"
        why = f"its name has {len(raw)} bytes, more than {MAX_NAME_BYTES}: rename it and grade again"
    else:
        return submission
    return replace(submission, student=spoken, problem=why, nameless=True)


# --- folders ----------------------------------------------------------------------------------------------------------


def _in_folder(module: Module, folder: Path) -> list[Submission]:
    """nbgrader's tree where a student's folder has one for this module; else the notebooks lying in the folder."""
    entries = [path for path in sorted(folder.iterdir()) if not ghost(path.name)]
    students = [path for path in entries if path.is_dir()]
    tree = [_in_tree(module, path) for path in students if _is_folder(path / module.name)]
    if tree or folder.absolute() == module.root / "submitted":
        tree += [s for path in students if not _is_folder(path / module.name) for s in _elsewhere(module, path)]
        folders = set(students)
        loose = [path for path in entries if path not in folders and notebook_name(path.name) and _is_of(module, path)]
        return tree + [
            _loose(module, path) if tree or resembles(module, path.name) else _file(module, path) for path in loose
        ]
    seen = [path for path in sorted(folder.rglob("*")) if not any(map(ghost, path.relative_to(folder).parts))]
    return _files(module, [path for path in seen if notebook_name(path.name)])


def _is_of(module: Module, path: Path) -> bool:
    """Whether a notebook is this one, and no other that the module has."""
    if not module.part or path.name in module.whole.notebooks:
        return not module.part or path.name == module.notebook
    return part_of(module, path.name, _content(path) if path.is_file() and not path.is_symlink() else b"") == module


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the folder above may not be entered: `_elsewhere` says so
        return False


def _in_tree(module: Module, student: Path) -> Submission:
    folder = student / module.name
    wanted = Submission(student.name, folder / module.notebook, place=folder)
    if student.is_symlink() or folder.is_symlink():
        return replace(wanted, problem="lies behind a link, and links are not followed: submit the folder")
    try:
        seen = [path for path in _seen(folder) if not notebook_name(path.name) or _is_of(module, path)]
        if wanted.path.exists() or wanted.path.is_symlink():
            checked = _checked(wanted)
            others = [path for path in seen if path != wanted.path and notebook_name(path.name)]
            return checked if checked.problem or not others else _stub_or_work(module, checked, others)
        return _another(module, wanted, seen)
    except OSError as error:
        return replace(wanted, problem=f"the folder cannot be read ({error.strerror or error}): mend its permissions")


def _seen(folder: Path) -> list[Path]:
    """What lies in a student's folder, and in folders of it, that a person put there."""
    seen: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=_raise):
        below = Path(here).relative_to(folder).parts
        folders[:] = [name for name in sorted(folders) if not ghost(name) and len(below) < MAX_DEPTH]
        seen += [Path(here) / name for name in sorted(files) if not ghost(name) and name not in BESIDE]
        seen += [Path(here) / name for name in folders if notebook_name(name)]
        if len(seen) > MAX_SEEN:
            break
    return seen[:MAX_SEEN]


def _raise(error: OSError) -> None:
    raise error


def _stub_or_work(module: Module, wanted: Submission, others: list[Path]) -> Submission:
    """The notebook of the right name; where nothing is written in it and something in another one, that one."""
    if not untouched(module, _content(wanted.path)):
        return wanted
    worked = _worked_on(module, others)
    if not worked:
        return wanted
    names = ", ".join(str(path.relative_to(wanted.folder)) for path in worked)
    if len(worked) > 1:
        return replace(
            wanted,
            problem=f"is as it was released, and {names} hold work: leave the one that counts, as {module.notebook}",
        )
    return replace(wanted, path=worked[0], note=f"graded {names}, since {module.notebook} is as it was released")


def _another(module: Module, wanted: Submission, seen: list[Path]) -> Submission:
    """The one notebook under another name or in a folder of the folder; or what is seen in its place."""
    notebooks = [path for path in seen if notebook_name(path.name) and path.is_file() and not path.is_symlink()]
    direct = [path for path in notebooks if path.parent == wanted.folder]
    pool = direct or [path for path in notebooks if path.parent.name == "handin"] or notebooks
    if len(pool) > 1:
        pool = _worked_on(module, pool) or pool
    names = ", ".join(str(path.relative_to(wanted.folder)) for path in pool)
    if len(pool) == 1:
        return _checked(replace(wanted, path=pool[0], note=f"graded {names}, expected {module.notebook}"))
    if pool:
        return replace(
            wanted,
            problem=f"the folder holds {len(pool)} other notebooks ({names}): leave one, named {module.notebook}",
        )
    if odd := _in_its_place(module, wanted.folder, seen):
        return replace(wanted, problem=odd)
    others = ", ".join(str(path.relative_to(wanted.folder)) for path in seen[:3]) + (", …" if len(seen) > 3 else "")
    why = f"the folder has no notebook{' but ' if others else ''}{others}: add {module.notebook}"
    return replace(wanted, problem=why, absent=True)


def _worked_on(module: Module, paths: list[Path]) -> list[Path]:
    """Those of `paths` that are this module's and worked on, of files with one content the first."""
    found: dict[bytes, Path] = {}
    for path in paths:
        if path.is_file() and not path.is_symlink():
            data = _content(path)
            ours = belongs(module, data) or resembles(module, path.name)
            if ours and not not_a_notebook(data) and not untouched(module, data):
                found.setdefault(hashlib.sha256(data).digest(), path)
    return list(found.values())


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_NOTEBOOK_BYTES + 1)


def _in_its_place(module: Module, folder: Path, seen: list[Path]) -> str:
    """What lies in the place of the notebook and may be it, and what to do; nothing where nothing does."""
    add = f"add {module.notebook}"
    for path in seen:
        name = path.relative_to(folder)
        if path.is_symlink():
            return f"{name} is a link, and links are not followed: submit the notebook itself"
        if path.is_dir():
            return f"{name} is a folder, not a notebook: put the .ipynb file itself in its place"
        if path.suffix.casefold() == ".zip":
            return f"the folder has no notebook but {name}: unpack it there, or collect it with `autograder collect`"
        if path.suffix.casefold() == ".py":
            return f"the folder has no notebook but {name}, a program: ask for the notebook (.ipynb) and {add}"
    return ""


def _elsewhere(module: Module, student: Path) -> list[Submission]:
    """A student's folder without one for this module: nothing was handed in, or it lies in another place."""
    wanted = Submission(student.name, student / module.notebook, place=student)
    place = f"{student.name}/{module.name}/"
    try:
        entries = [path for path in sorted(student.iterdir()) if not ghost(path.name)]
        flat = [
            path
            for path in entries
            if path.is_file() and notebook_name(path.name) and resembles(module, path.name) and _is_of(module, path)
        ]
        if wanted.path in flat:
            return [_checked(replace(wanted, note=f"graded {student.name}/{module.notebook}, expected it in {place}"))]
        if flat:
            return [
                replace(
                    wanted, path=flat[0], problem=f"lies beside and not in {place}: move it there, as {module.notebook}"
                )
            ]
        names = [each.name for each in Course(module.root).modules()]
        for path in entries:
            if (
                path.is_dir()
                and path.name not in names
                and (_meant(module, path.name, names) or (path / module.notebook).is_file())
            ):
                here = f"there is no folder {place}, but {path.name}/: rename it"
                return [replace(wanted, path=path / module.notebook, place=path, problem=here)]
    except OSError as error:
        return [replace(wanted, problem=f"the folder cannot be read ({error.strerror or error}): mend its permissions")]
    return []


def _meant(module: Module, name: str, names: list[str]) -> bool:
    """Whether a folder's name is a mistyped one of this module."""
    lower = {each.casefold(): each for each in names}
    return [lower[near] for near in difflib.get_close_matches(name.casefold(), lower, 1, 0.8)] == [module.name]


def _loose(module: Module, path: Path) -> Submission:
    """A notebook that lies beside the students' folders: whose it is, its name may say, but not for certain."""
    place = f"{path.parent.name}/<student>/{module.name}/{module.notebook}"
    return Submission(
        path.name,
        path,
        problem=f"lies in {path.parent.name}/ itself, in no student's folder: move it to {place}",
        nameless=True,
    )


# --- files ------------------------------------------------------------------------------------------------------------


def _files(module: Module, paths: list[Path]) -> list[Submission]:
    return [_file(module, path) for path in paths if _is_of(module, path)]


def _file(module: Module, path: Path) -> Submission:
    """A notebook that was named: the student is the folder it lies in, or its own name when that tells more."""
    if module.part and path.name != module.notebook:
        names = ", ".join(module.whole.notebooks)
        why = f"its name tells no student, for {module.name} has several notebooks: put it into <student>/ as one of {names}"
        return Submission(path.name, path, problem=why, nameless=True)
    folders = [part for part in path.resolve().parent.parts if part != module.name]
    student = folders[-1] if path.name == module.notebook and folders else path.stem
    return _checked(Submission(student, path))


def _checked(submission: Submission) -> Submission:
    path = submission.path
    if path.is_symlink():
        return replace(submission, problem="is a link, and links are not followed: submit the notebook itself")
    if path.is_dir():
        return replace(submission, problem="is a folder, not a notebook: put the .ipynb file itself in its place")
    if not path.is_file():
        return replace(submission, problem="is not a regular file: submit the .ipynb file itself")
    return submission


def _refuse_doubles(submissions: list[Submission]) -> list[Submission]:
    times = Counter(submission.student for submission in submissions)
    unique: list[Submission] = []
    doubled: dict[str, list[Submission]] = {}
    for submission in submissions:
        if times[submission.student] == 1:
            unique.append(submission)
        else:
            doubled.setdefault(submission.student, []).append(submission)
    for student, twins in doubled.items():
        places = " and ".join(str(twin.path) for twin in twins)
        unique.append(
            Submission(
                student, twins[0].path, problem=f"two submissions of one student ({places}): keep the one that counts"
            )
        )
    return unique
