"""A class made from a module's own catalogue, graded: `autograder demo`.

Right answers in several styles, typical mistakes, a stub, half a notebook and a damaged file.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console

from autograder.classes.grade import grade_class, print_table
from autograder.classes.submissions import find_submissions
from autograder.course.catalogue import Entry
from autograder.course.course import Module
from autograder.course.notebooks import make_notebook
from autograder.course.source import SourceCell
from autograder.files import write_whole
from autograder.grading.contents import Contents

RIGHT = ("ada", "boris", "chen", "dalia", "emre")
WRONG = ("fatima", "goran", "hana", "ivan", "june", "kofi", "lena", "malik", "noor")
SEED = 1  # of the class and of its hidden checks, so that every demo shows the same


def demo(module: Module, folder: Path, console: Console, **engine: Any) -> int:
    """Makes the class under `folder`/submitted, grades it, and prints the table and where the feedback is."""
    students = build_class(module, folder / "submitted")
    console.print(
        f"{len(students)} submissions in {folder / 'submitted'}: {', '.join(students)}", highlight=False, soft_wrap=True
    )
    submissions = find_submissions(module, [folder / "submitted"])
    outcome = grade_class(module, submissions, folder / "grades", console, seed=SEED, **engine)
    print_table(outcome, console)
    grades = folder / "grades"
    console.print(
        f"\nA feedback page for every student: {grades / 'feedback'}/, grades: {grades / 'grades.csv'}",
        highlight=False,
        soft_wrap=True,
    )
    expected = {"oskar"}  # the damaged file cannot be graded, and the rest of the class is
    return 0 if {result.student for result in outcome.failures} == expected else 1


def build_class(module: Module, folder: Path, right: Sequence[str] = RIGHT, wrong: Sequence[str] = WRONG) -> list[str]:
    """Writes a notebook for every student of the class into nbgrader's tree, and gives their names."""
    contents = Contents(module)
    cells, functions, points = contents.cells, contents.functions, contents.points
    drawn = random.Random(SEED)
    notebooks = {name: _notebook(cells, points, _styles(contents.alternatives, functions, drawn)) for name in right}
    for number, name in enumerate(wrong):
        mistakes = [entry for entry in contents.mistakes if entry.of in functions]
        chosen = drawn.sample(mistakes, min(1 + number % 3, len(mistakes)))
        notebooks[name] = _notebook(cells, points, {entry.of: entry for entry in chosen})
    notebooks["petra"] = _notebook(cells, points, {}, stubs=functions)
    notebooks["quinn"] = _notebook(cells, points, {}, stubs=functions[len(functions) // 2 :])
    notebooks["oskar"] = notebooks["petra"][: len(notebooks["petra"]) // 3]
    for name, text in notebooks.items():
        write_whole(folder / name / module.name / module.notebook, text)
    return sorted(notebooks)


def _styles(alternatives: list[Entry], functions: list[str], drawn: random.Random) -> dict[str, Entry]:
    """One alternative for each function that has any."""
    by_function = {name: [entry for entry in alternatives if entry.of == name] for name in functions}
    return {name: drawn.choice(entries) for name, entries in by_function.items() if entries}


def _notebook(
    cells: list[SourceCell], points: dict[str, float], entries: dict[str, Entry], stubs: Sequence[str] = ()
) -> str:
    """The released notebook as a student hands it in: solved, but for `entries` and `stubs`."""
    texts = []
    for cell in cells:
        function = cell.about.get("function")
        if function in entries:
            texts.append(f"{entries[function].text}\n\n\n{function} = {entries[function].name}")
        else:
            texts.append(cell.stub if not function or function in stubs else cell.solution)
    return str(nbformat.writes(make_notebook(cells, texts, points)))
