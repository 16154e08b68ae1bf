"""What in a released folder a student must not have: answers, hidden checks, bytecode, outputs, paths."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from autograder.grading.contents import Contents

ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|work|workspace|mnt|media|private|opt|var)/[\w.-]+|\b[A-Z]:\\\\?\w+"
)

READ = (".ipynb", ".py", ".json", ".csv", ".md", ".txt")  # a module's own data may be of any kind


def find_leaks(contents: Contents, made: Iterable[str], folder: Path) -> list[str]:
    """What must not be in `folder`, a release of the module, one line each; `made` names the files that belong there."""
    expected, secrets = set(made), secret_lines(contents)
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        name = str(path.relative_to(folder))
        where = f"release/{contents.module.name}/{name}"
        if path.suffix in (".pyc", ".pyo"):
            problems.append(f"{where}: bytecode, delete it")
        elif name not in expected:
            problems.append(f"{where}: not made by `autograder release`, delete it")
        elif path.suffix in READ:
            problems += [f"{where}: {leak}" for leak in _leaks_in(path, secrets)]
            problems += [f"{where}: holds the solution of {name}" for name in _solved_in(path, contents)]
    return problems


def _solved_in(path: Path, contents: Contents) -> list[str]:
    """The functions whose solution, of two lines or more, stands in a Python file: a public file's lines are no secrets, and
    it may have been imported for a helper that stands beside a copy of the answers."""
    if path.suffix != ".py":
        return []
    lines = {squeezed(line) for line in path.read_text(encoding="utf-8").splitlines()}
    solved = [cell for cell in contents.cells if cell.role == "exercise"]
    told = {cell.about["function"]: {squeezed(line) for line in cell.solution_lines()} for cell in solved}
    return [name for name, solution in told.items() if len(solution) > 1 and solution <= lines]


def _leaks_in(path: Path, secrets: dict[str, str]) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    leaks = []
    if path.suffix == ".ipynb":
        notebook = json.loads(text)
        with_outputs = [
            n for n, cell in enumerate(notebook["cells"], 1) if cell.get("outputs") or cell.get("execution_count")
        ]
        leaks += [f"cell {number} has outputs" for number in with_outputs]
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    leaks += [
        f"holds {secrets[line]}: {line[:70]}"
        for line in dict.fromkeys(map(squeezed, text.splitlines()))
        if line in secrets
    ]
    leaks += [
        f"holds a path of the machine it was made on: {found}" for found in dict.fromkeys(ABSOLUTE_PATH.findall(text))
    ]
    return leaks


def secret_lines(contents: Contents) -> dict[str, str]:
    """Every line of 12 characters or more that stands in a solution or a secret file and nowhere students may look."""
    module, cells = contents.module, contents.cells
    public = {squeezed(line) for cell in cells for line in cell.stub.splitlines()}
    for path in module.public_files:
        public |= {squeezed(line) for line in path.read_text(encoding="utf-8").splitlines()}
    secrets = {squeezed(line): "a line of the solution" for cell in cells for line in cell.solution_lines()}
    for path in module.secret_files:
        kind = f"a line of {path.relative_to(module.root)}"
        secrets |= {squeezed(line): kind for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    return {line: kind for line, kind in secrets.items() if len(line) >= 12 and line not in public}


def squeezed(line: str) -> str:
    """A line without spaces and comment marks, so that another indentation or a comment hides nothing."""
    return "".join(line.split()).lstrip("#")
