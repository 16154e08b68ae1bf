"""The rooms of the package: what a worker's process has loaded, and what authors and students import from where.

That imports point downward is import-linter's to say (`lint-imports`, part of `make test`).
"""

import subprocess
import sys

import pytest
from conftest import LIMIT, imported_anew, needs_walls
from toy_course import PROBES_PUBLIC, WITH_IMAGES, solved, write_course

import autograder
from autograder import authoring
from autograder.course.course import Course
from autograder.course.needs import needs_of
from autograder.errors import CourseError
from autograder.grading.observer import Observer
from autograder.sandboxed import authoring as for_probes
from autograder.sandboxed.notebook import read_cells, select

LOOKING = """
import sys


@probe("double")
def loaded(student, draw):
    student.double(2)
    return {key: module.__name__ for key, module in sys.modules.items() if key.split(".")[0] == "autograder"}
"""
FOR_AUTHORS = {
    *("probe", "attempt", "printed", "timing", "register", "count_synchronisations"),
    *("check", "remark", "same", "equal", "require", "wrapping"),
    *("Tensor", "Error", "Other"),
    *("mistake", "alternative"),
    *("Preset", "Recipe", "Run", "Setup"),
}
FOR_STUDENTS = {
    "TinyCIFAR10",
    "check",
    "experiment_folder",
    "experiment_seed",
    "fetch_module",
    "look_for_newer",
    "run_experiment",
}


@pytest.fixture(scope="module")
def observer(tmp_path_factory):
    """One worker for a toy whose probe tells what is loaded."""
    root = write_course(tmp_path_factory.mktemp("rooms"), "toys", source=WITH_IMAGES, probes_public=PROBES_PUBLIC + LOOKING)
    module = Course(root).module("toys")
    about = {"needs": needs_of(module), "limit": 10 * LIMIT, "workers": 1}
    with imported_anew(), Observer(module.tests, "probes_public", ["double"], **about) as observer:
        yield observer


@needs_walls
def test_a_worker_has_loaded_nothing_of_this_package_but_the_sandboxed_room(observer):
    """Looked at after the worker has read a notebook and answered: a fork is its copy, with what the job itself loads."""
    data = solved(mean="from autograder import TinyCIFAR10, check\n\n\ndef mean(numbers):\n    return 0.0")
    observer.handed_in(data)
    code = observer.read(data)
    observer.observe(code)
    loaded = observer.observe(code, fresh=True).observations["loaded"].value
    assert loaded["autograder"] == "autograder" and "autograder.sandboxed.observe" in loaded
    others = {name for name in loaded.values() if name.split(".")[:2] not in (["autograder"], ["autograder", "sandboxed"])}
    assert not others


@needs_walls
def test_a_probe_cannot_import_what_checks_are_written_with(tmp_path):
    text = "from autograder.authoring import check\n" + PROBES_PUBLIC
    folder = Course(write_course(tmp_path, "toys", probes_public=text)).module("toys").tests
    code = select(read_cells(solved()), ["double"])
    with imported_anew(), Observer(folder, "probes_public", ["double"], workers=1) as observer:  # noqa: SIM117
        with pytest.raises(CourseError, match="cannot import name 'check'.*probes_public.py, line 1"):
            observer.observe(code)


@needs_walls
def test_a_submission_may_import_all_that_students_import(observer):
    """All but the tiny data does nothing there; a line that imports several things must not fail."""
    line = f"from autograder import {', '.join(sorted(FOR_STUDENTS))}"
    double = f"{line}\nIMAGES = len(TinyCIFAR10())\ncheck('double')\n\n\ndef double(x):\n    return IMAGES * x"
    observations = observer.observe(select(read_cells(solved(double=double)), ["double"])).observations
    assert observations["doubles"].value == {"whole": 360, "fraction": 30.0}


def test_what_authors_write_with_comes_from_one_place():
    assert set(authoring.__all__) == FOR_AUTHORS
    assert all(getattr(authoring, name) is getattr(for_probes, name) for name in for_probes.__all__)
    assert set(for_probes.__all__) <= FOR_AUTHORS and not {"check", "same", "mistake"} & set(for_probes.__all__)
    with pytest.raises(AttributeError, match="modules are not written with 'judge'"):
        authoring.judge  # noqa: B018


def test_what_students_import_comes_from_one_place():
    assert set(autograder.__all__) == FOR_STUDENTS
    assert all(callable(getattr(autograder, name)) for name in FOR_STUDENTS - {"check"})  # `check` starts a worker


def test_checks_are_written_without_torch():
    code = "import sys; from autograder.authoring import check, same, probe, mistake; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_the_gradebook_comes_without_a_grammar_of_web_addresses():
    """Which takes longer than all the rest of it."""
    code = "import sys, autograder.gradebook.gradebook; sys.exit('rfc3987_syntax.syntax_helpers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
