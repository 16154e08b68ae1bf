"""The notebook that is made from a source's cells: what nbgrader and Jupyter call a cell, and what it is worth."""

from collections.abc import Iterable
from typing import Any

import nbformat

from autograder.course.source import SourceCell, grade_id

FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}  # what JupyterLab and Colab hide a cell's code by


def make_notebook(cells: list[SourceCell], texts: Iterable[str], points: dict[str, float]) -> nbformat.NotebookNode:
    """A notebook with these cells' kinds and roles, the given texts and exercises' points, without outputs.

    One is made for every submission, so nbformat's own `new_code_cell`, which compares each cell with a schema, makes none.
    """
    made = []
    for number, (cell, text) in enumerate(zip(cells, texts, strict=True)):
        metadata: dict[str, Any] = dict(FOLDED) if cell.folded else {}
        if cell.role:
            metadata["nbgrader"] = nbgrader_metadata(cell, points)
        about = {"id": f"cell-{number:03d}", "cell_type": cell.kind, "metadata": metadata, "source": text.rstrip("\n")}
        made.append(nbformat.from_dict(about | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    languages = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook: nbformat.NotebookNode = nbformat.v4.new_notebook(metadata=languages)
    notebook.cells = made
    return notebook


def nbgrader_metadata(cell: SourceCell, points: dict[str, float]) -> dict[str, Any]:
    """nbgrader's cell metadata, schema 3, for a cell's role."""
    grade, solution, locked = {
        "exercise": (False, True, False),
        "check": (False, False, True),
        "grade": (True, False, True),
        "question": (True, True, False),
        "plot": (True, True, False),
    }[cell.role]
    metadata = {
        "schema_version": 3,
        "grade_id": grade_id(cell),
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
    }
    if grade:
        metadata["points"] = points[cell.about["exercise"]] if cell.role == "grade" else cell.about["points"]
    return metadata
