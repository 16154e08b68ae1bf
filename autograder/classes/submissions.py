"""Finding what is to be graded, in nbgrader's `submitted/` tree or in files and folders that were named.

Only the notebook itself is taken from a submitted folder, links are refused, and nothing is ever changed there.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.course.course import Module
from autograder.errors import CourseError, Unreadable
from autograder.sandboxed.notebook import MAX_NOTEBOOK_BYTES


@dataclass(frozen=True)
class Submission:
    """One student's notebook; `problem` says why it cannot be graded, and `note` what a TA should know."""

    student: str
    path: Path
    problem: str = ""
    note: str = ""

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            OSError: it cannot be read.
            Unreadable: it is larger than a notebook may be.
        """
        with self.path.open("rb") as file:
            data = file.read(MAX_NOTEBOOK_BYTES + 1)  # no more: a file of holes can claim any size
        if len(data) > MAX_NOTEBOOK_BYTES:
            raise Unreadable("is too large: clear the outputs (Edit, Clear All Outputs) and save it again")
        return data


def find_submissions(module: Module, paths: list[Path]) -> list[Submission]:
    """The submissions in `paths`, or in the course's `submitted/` when there are none, by student.

    Two submissions of one student are both refused, since nobody can tell which one counts.

    Raises:
        CourseError: a path that does not exist, or a folder without any submission.
    """
    found: list[Submission] = []
    for path in paths or [module.root / "submitted"]:
        if not path.exists():
            raise CourseError(
                f"{path} does not exist: "
                + ("check the spelling" if paths else "collect the submissions first, or name them")
            )
        here = _in_folder(module, path) if path.is_dir() and path.name != module.notebook else [_file(module, path)]
        if not here:
            raise CourseError(
                f"{path} holds no submission: expected <student>/{module.name}/{module.notebook}, or .ipynb files"
            )
        found += here
    once = {submission.path.absolute(): submission for submission in found}  # a file and its folder may both be named
    return sorted(_refuse_doubles(list(once.values())), key=lambda submission: submission.student)


def enterable(module: Module, submissions: list[Submission]) -> set[str]:
    """The students whose submission lies in an nbgrader course's own `submitted/`: those its gradebook is to know."""
    if not (module.root / "nbgrader_config.py").is_file():
        return set()
    submitted = module.root / "submitted"
    return {s.student for s in submissions if submitted in s.path.absolute().parents}


def _in_folder(module: Module, folder: Path) -> list[Submission]:
    """nbgrader's tree where a student's folder has one for this module; else the notebooks lying in the folder."""
    students = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    tree = [_in_tree(module, path) for path in students if (path / module.name).is_dir()]
    return tree or [
        _file(module, path) for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts
    ]


def _in_tree(module: Module, student: Path) -> Submission:
    folder = student / module.name
    path = folder / module.notebook
    if student.is_symlink() or folder.is_symlink():
        return Submission(
            student.name, path, problem="lies behind a link, and links are not followed: submit the folder"
        )
    if path.exists() or path.is_symlink():
        return _checked(Submission(student.name, path))
    others = [other for other in sorted(folder.glob("*.ipynb")) if other.is_file()]
    if len(others) == 1:
        return _checked(
            Submission(student.name, others[0], note=f"graded {others[0].name}, expected {module.notebook}")
        )
    what = f"holds {len(others)} other notebooks: leave one, named" if others else "has no notebook: add"
    return Submission(student.name, path, problem=f"the folder {what} {module.notebook}")


def _file(module: Module, path: Path) -> Submission:
    """A notebook that was named: the student is the folder it lies in, or its own name when that tells more."""
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
