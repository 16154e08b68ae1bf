"""One module with two notebooks: released, checked, handed in, graded, and in nbgrader's gradebook, each by itself."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from conftest import needs_walls
from nbgrader.api import Gradebook
from toy_course import notebook, write_course
from toy_weeks import AFTER, BEFORE, SECOND, write_two

from autograder import cli
from autograder.authors import publish
from autograder.authors.release import release
from autograder.authors.stale import check_release
from autograder.classes.collect import TIMESTAMP, collect
from autograder.classes.submissions import find_submissions
from autograder.course.course import Course, Module
from autograder.errors import CheckError, CourseError
from autograder.gradebook.gradebook import ClassBook, settings
from autograder.grading.contents import Contents
from autograder.grading.gate import course_problems
from autograder.sandboxed.notebook import Cell
from autograder.students import check
from autograder.students.handin import check_notebook, find_notebooks, pack
from autograder.training.full import recipe_of

pytestmark = [pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"), pytest.mark.long]  # of nbgrader's own
NAME, ROOT = "counting", Path(__file__).parents[2]
BOTH = ["first.ipynb", "second.ipynb"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The course, released once."""
    root = write_two(tmp_path_factory.mktemp("two"))
    release(Course(root).module(NAME))
    yield root
    _forget()


@pytest.fixture
def module(made, tmp_path) -> Module:
    """A copy of it, as an nbgrader course."""
    shutil.copytree(made, tmp_path / "course")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path / "course")
    _forget()
    return Course(tmp_path / "course").module(NAME)


def _forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in (NAME, "checks")]:
        del sys.modules[name]


def hand_in(module: Module, student: str, **files: bytes) -> None:
    folder = module.root / "submitted" / student / module.name
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / f"{name}.ipynb").write_bytes(data)


def solved(module: Module, name: str) -> bytes:
    return (module.solutions / f"{name}.ipynb").read_bytes()


def command(module: Module, monkeypatch, *words: str) -> int:
    monkeypatch.chdir(module.root)
    return cli.main([*words, "--workers", "1"] if words[0] in ("grade", "verify") else list(words))


def results(module: Module) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in (module.grades / "results").glob("*.json")}


# --- the author's side ------------------------------------------------------------------------------------------------


@needs_walls
def test_each_notebook_is_verified_by_itself(module, monkeypatch, capsys):
    assert command(module, monkeypatch, "verify") == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "counting, first.ipynb: verified" in said and "counting, second.ipynb: verified" in said
    mistakes = module.tests / "mistakes.py"
    mistakes.write_text(mistakes.read_text().replace("return number + 2.0", "return number - 2.0"))
    assert command(module, monkeypatch, "verify") == 1
    said = capsys.readouterr().out
    assert "the mistake forward of before is not caught" in said
    assert "counting, first.ipynb: verified" in said and "counting, second.ipynb: 2 problems" in said


def test_a_release_holds_both_and_one_folder_of_checks(module):
    assert {path.name for path in module.release.iterdir()} == {*BOTH, "checks"}
    assert {path.name for path in module.solutions.iterdir()} == {*BOTH, "first.py", "second.py"}
    about = check.read_about(module.release / "checks")
    first, second = check.notebooks_of(about)
    assert first["exercises"] == {"steps": ["after"]} and second["points"] == {"before": 5}
    assert check_release(module) == []
    (module.folder / "second.py").write_text(SECOND.replace("math.fsum([number, -STEP])", "float(number - STEP)"))
    stale = check_release(Course(module.root).module(NAME))
    assert any("solutions/counting/second.ipynb" in line for line in stale)
    assert any("solutions/counting/second.py" in line for line in stale) and not any("first" in line for line in stale)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"second": SECOND.replace('function="before"', 'function="after"').replace("def before", "def after")}, "after"),
        ({"second": SECOND.replace('exercise="back"', 'exercise="steps"').replace('check("back")', 'check("steps")')}, "steps"),
        ({"second": SECOND.replace('name="below"', 'name="whole"')}, "whole"),
        ({"second": SECOND.replace('exercise="back"', 'exercise="after"')}, "after"),
    ],
)
def test_a_name_in_two_notebooks_is_refused_in_one_line(tmp_path, changed, line):
    problems = course_problems(Contents(Course(write_two(tmp_path, **changed)).module(NAME)))
    _forget()
    assert [problem for problem in problems if f"{line} stands in first.py too: give each its own name" in problem], problems


def test_a_file_beside_the_notebook_that_is_none_is_refused(tmp_path):
    write_course(tmp_path)
    (tmp_path / "source/toy/helpers.py").write_text("ONE = 1\n")
    problems = course_problems(Contents(Course(tmp_path).module("toy")))
    assert problems == [
        "source/toy/helpers.py has no exercise and no question, and beside others it is taken for a notebook: give it one, or "
        "move it out of the folder"
    ]


def test_a_probe_of_no_notebook_is_still_told(module):
    probes = module.tests / "probes_public.py"
    probes.write_text(probes.read_text().replace('@probe("before")', '@probe("befor")'))
    (problem,) = [line for line in course_problems(Contents(module)) if "befor'" in line]
    assert "which the notebook does not define: did you mean before?" in problem


@pytest.mark.parametrize("words", [("demo", NAME), ("gradescope", NAME)])
def test_what_is_for_one_notebook_alone_says_so(module, monkeypatch, capsys, words):
    assert command(module, monkeypatch, *words) == 2
    said = capsys.readouterr().err
    assert "source/counting/ holds 2 notebooks (first.py, second.py), and this is not possible for a module of several" in said


def test_nothing_is_trained_for_a_module_of_two(module):
    (module.tests / "training.py").write_text("raise AssertionError\n")
    with pytest.raises(CourseError, match="holds 2 notebooks"):
        recipe_of(module)


def test_the_published_page_names_both(module):
    published = module.root.parent / "public"
    publish.publish(Course(module.root), published, datetime.now(UTC))
    page = (published / "index.html").read_text()
    assert "<h3>Counting</h3>" in page and "<h3>Counting backwards</h3>" in page
    assert {path.name for path in (published / "release/counting").glob("*.ipynb")} == set(BOTH)


# --- the student's side -----------------------------------------------------------------------------------------------


def test_check_asks_what_the_session_s_notebook_has(module, monkeypatch):
    monkeypatch.chdir(module.release)
    check._notebooks.cache_clear()
    check._bundle.cache_clear()
    start = [Cell(1, "from autograder import check")]
    begun = [*start, Cell(2, "import math"), Cell(3, "STEP = 2")]
    with pytest.raises(CheckError, match="no cell of yours has been run yet"):
        check._bundle_here(None, start)
    assert check._bundle_here("steps", start).functions == ["after"]
    assert check._bundle_here(None, begun).functions == ["before"]
    assert check._bundle_here("back", begun).functions == ["before"]
    with pytest.raises(CheckError, match="`after` belongs to first.ipynb, and no cell .* defines it: check it there"):
        check._bundle_here("after", begun)
    assert check._bundle_here("after", [*begun, Cell(4, AFTER[1])]).functions == ["after"], "copied to be used here"
    check._notebooks.cache_clear()
    check._bundle.cache_clear()


def test_check_and_pack_take_both_and_say_what_is_missing(module, capsys, monkeypatch):
    folder = module.release
    (folder / "first.ipynb").write_bytes(solved(module, "first"))
    text, passed = check_notebook(folder / "first.ipynb", 30)
    assert passed and "3 of 3 public points" in text and "before" not in text
    assert find_notebooks(folder) == ([folder / name for name in BOTH], [])
    monkeypatch.chdir(folder)
    assert cli.main(["pack"]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in (folder / "handin").glob("*.ipynb")) == BOTH
    assert "`before` is not written yet: 5 points" in said and "`after`" not in said
    (folder / "second.ipynb").rename(folder / "my second one.ipynb")
    out, _, problems = pack(folder / "my second one.ipynb")
    assert out.name == "second.ipynb" and "`before` is not written yet: 5 points" in problems
    assert cli.main(["pack"]) == 0
    assert "second.ipynb is not here: 5 points, and its written answers" in capsys.readouterr().out
    assert cli.main(["check"]) == 1


# --- grading ----------------------------------------------------------------------------------------------------------


def test_what_is_handed_in_is_put_together_by_student(module):
    hand_in(module, "ada", first=solved(module, "first"), second=solved(module, "second"))
    hand_in(module, "bob", second=solved(module, "second"))
    hand_in(module, "cyd", **{"my own": solved(module, "second"), "x": solved(module, "first")})
    hand_in(module, "dan")
    hand_in(module, "eve", first=solved(module, "first"))
    (module.root / "submitted/eve/counting/second.ipynb").symlink_to("/etc/passwd")
    found = {each.student: each for each in find_submissions(module, [])}
    assert [part.path.name for part in found["ada"].parts] == BOTH and not found["ada"].note
    assert [part.absent for part in found["bob"].parts] == [True, False]
    assert found["bob"].note == "first.ipynb is missing: no points for what is in it"
    assert [part.path.name for part in found["cyd"].parts] == ["x.ipynb", "my own.ipynb"]
    assert found["dan"].problem.endswith("add first.ipynb and second.ipynb")
    assert "is a link" in found["eve"].problem and not found["eve"].parts, "not a zero for what may be there"
    loose = module.root / "homework.ipynb"
    loose.write_bytes(solved(module, "second"))
    (odd,) = find_submissions(module, [loose])
    assert odd.nameless and "put it into <student>/ as one of first.ipynb, second.ipynb" in odd.problem
    (one,) = find_submissions(module, [module.root / "submitted/ada/counting" / name for name in BOTH])
    assert one.student == "ada" and len(one.parts) == 2


@needs_walls
def test_a_class_is_graded_notebook_by_notebook(module, monkeypatch, capsys):
    hand_in(module, "ada", first=solved(module, "first"), second=solved(module, "second"))
    hand_in(module, "bob", second=notebook(*BEFORE))
    borrowed = "def before(number):\n    return after(number) - 3"
    hand_in(module, "cyd", first=notebook(*AFTER, "print(1"), second=notebook(borrowed))
    hand_in(module, "dan", first=notebook(*AFTER), second=b"%PDF-1.4")
    assert command(module, monkeypatch, "grade", NAME, "--no-gradebook") == 1
    found = results(module)
    points = {who: [one["points"] for one in each["exercises"]] for who, each in found.items()}
    assert points == {"ada": [3, 5], "bob": [0, 5], "cyd": [3, 0], "dan": []}
    assert {each["maximum"] for each in found.values()} == {8}
    (lost,) = [one for one in found["bob"]["checks"] if one["function"] == "after"]
    assert lost["state"] == "missing" and "first.ipynb was not handed in" in lost["message"]
    (lost, _) = [one for one in found["cyd"]["checks"] if one["function"] == "before"]
    assert "name 'after' is not defined" in lost["message"], "the other notebook is another kernel"
    assert "first.ipynb, cell 3" in [cell["cell"] for cell in found["cyd"]["cells"]]
    assert found["dan"]["status"] == "refused" and found["dan"]["score"] is None
    page = (module.grades / "feedback/bob.html").read_text()
    assert "first.ipynb is missing" in page
    capsys.readouterr()
    assert command(module, monkeypatch, "regrade", NAME, "--dry-run") == 0
    assert "the points of 0 move" in capsys.readouterr().out
    checks = module.tests / "test_public.py"
    checks.write_text(checks.read_text().replace('@check("before", points=4)', '@check("before", points=6)'))
    _forget()
    assert command(module, monkeypatch, "regrade", NAME, "--yes") == 0
    assert {who: each["score"] for who, each in results(module).items()} == {"ada": 10, "bob": 7, "cyd": 3, "dan": None}


def test_collecting_takes_the_newest_of_each_notebook(module):
    source = module.root / "given"
    for name, data in {
        "Ada Bell_11_assignsubmission_file_/first.ipynb": notebook(*AFTER),
        "Ada Bell_11_assignsubmission_file_/homework (2).ipynb": solved(module, "second"),
        "Ada Bell_11_assignsubmission_file_/another.ipynb": notebook("1 + 1"),
        "Cy Dee_12_assignsubmission_file_/second.ipynb": (module.release / "second.ipynb").read_bytes(),
        "Cy Dee_12_assignsubmission_file_/second_1.ipynb": solved(module, "second"),
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    done = collect(module, [source])
    submitted = module.root / "submitted"
    ada, cy = submitted / "Ada Bell" / NAME, submitted / "Cy Dee" / NAME
    assert sorted(path.name for path in ada.iterdir()) == BOTH
    assert (ada / "second.ipynb").read_bytes() == (cy / "second.ipynb").read_bytes() == solved(module, "second")
    notes = {row.student: row.notes for row in done.rows}
    assert any("another.ipynb was not taken: it is another notebook; it is kept" in note for note in notes["Ada Bell"])
    assert "first.ipynb is missing" in notes["Cy Dee"] and not done.problems
    kept = {path.name[9:] for path in (module.root / "downloaded/counting/kept").rglob("*.ipynb")}
    assert kept == {"another.ipynb", "second.ipynb"}
    assert [row.taken for row in collect(module, [source]).rows] == ["unchanged", "unchanged"]


# --- nbgrader's gradebook ---------------------------------------------------------------------------------------------


def in_gradebook(module: Module) -> dict[str, dict[str, list]]:
    """By student and notebook: score, maximum, and the cells that wait for a TA."""
    with Gradebook(f"sqlite:///{module.root}/gradebook.db") as gradebook:
        return {
            submission.student_id: {
                each.name: [each.score, each.max_score, [one.name for one in each.grades if one.needs_manual_grade]]
                for each in submission.notebooks
            }
            for submission in gradebook.assignment_submissions(module.name)
        }


def give(module: Module, student: str, book: str, name: str, points: float) -> None:
    with Gradebook(f"sqlite:///{module.root}/gradebook.db") as gradebook:
        grade = gradebook.find_grade(name, book, module.name, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.db.commit()


@needs_walls
def test_both_notebooks_are_in_the_gradebook_by_either_command(module, monkeypatch, capsys):
    hand_in(module, "ada", first=solved(module, "first"), second=solved(module, "second"))
    hand_in(module, "bob", first=solved(module, "first"))
    expected = {
        "ada": {"first": [3, 5, ["question-whole"]], "second": [5, 6, ["question-below"]]},
        "bob": {"first": [3, 5, ["question-whole"]], "second": [0, 6, []]},
    }
    assert command(module, monkeypatch, "grade", NAME) == 0, capsys.readouterr()
    assert in_gradebook(module) == expected
    give(module, "ada", "second", "question-below", 1)
    assert command(module, monkeypatch, "grade", NAME) == 0
    page = (module.grades / "feedback/ada.html").read_text()
    assert '<div class="score">9 <span>/ 11 points so far</span>' in page
    nbgrader = [sys.executable, "-m", "nbgrader"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (["autograde", NAME], ["generate_feedback", NAME]):
        done = subprocess.run([*nbgrader, *words], cwd=module.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    expected["ada"]["second"] = [6, 6, []]
    assert in_gradebook(module) == expected
    shown = {path.name for path in (module.root / "autograded/bob/counting").glob("*.ipynb")}
    assert shown == set(BOTH)
    second = nbformat.read(module.root / "autograded/bob/counting/second.ipynb", as_version=4)
    assert second.cells[0].source == "**This notebook was not handed in.**"
    assert {path.name for path in (module.root / "feedback/ada/counting").glob("*.html")} == {"first.html", "second.html"}
    capsys.readouterr()
    assert command(module, monkeypatch, "questions", NAME) == 0
    assert capsys.readouterr().out == "question-whole: 2 of 2 wait\nquestion-below: 0 of 2 wait\n"


@needs_walls
def test_a_notebook_may_come_and_go_after_grading_and_no_marks_are_lost(module, monkeypatch, capsys):
    second = module.folder / "second.py"
    second.rename(module.root / "aside.py")
    single = {path: path.read_text() for path in module.tests.glob("*.py")}
    for path, text in single.items():
        if path.stem != "__init__":
            path.write_text(text.replace('"before"', '"after"').replace("student.before", "student.after"))
    (module.tests / "mistakes.py").write_text("")
    (module.tests / "alternatives.py").write_text("")
    hand_in(module, "ada", first=solved(module, "first"), second=solved(module, "second"))
    alone = Course(module.root).module(NAME)
    assert alone.parts == [alone] and alone.notebook == "first.ipynb"
    assert command(alone, monkeypatch, "grade", NAME) == 0, capsys.readouterr()
    assert in_gradebook(module)["ada"].keys() == {"first"}
    for path, text in single.items():
        path.write_text(text)
    (module.root / "aside.py").rename(second)
    _forget()
    assert command(module, monkeypatch, "grade", NAME) == 0, capsys.readouterr()
    assert in_gradebook(module)["ada"] == {"first": [3, 5, ["question-whole"]], "second": [5, 6, ["question-below"]]}
    give(module, "ada", "second", "question-below", 1)
    second.rename(module.root / "aside.py")
    book = ClassBook(Course(module.root).module(NAME), settings(module.root).coursedir)
    with pytest.raises(CourseError, match=r"second.py is no longer .* people gave points .* question-below to ada: put"):
        book.require_marks_kept()
    give(module, "ada", "second", "question-below", None)
    assert "second.ipynb is gone" in "".join(book.register({"steps": 3}))
    assert in_gradebook(module)["ada"].keys() == {"first"}


@needs_walls
def test_lateness_costs_by_the_notebook_and_is_not_called_stale(module, monkeypatch, capsys):
    (module.root / "late_policy.toml").write_text("penalty_per_day = 10\n")
    (module.root / "course.toml").write_text('timezone = "UTC"\n[modules.counting]\ndue = 2026-11-20T12:00:00\n')
    hand_in(module, "ada", first=solved(module, "first"))
    (module.root / "submitted/ada/counting" / TIMESTAMP).write_text("2026-11-21 11:00:00 UTC\n")
    assert command(module, monkeypatch, "grade", NAME) == 0, capsys.readouterr()
    give(module, "ada", "first", "question-whole", 2)
    assert command(module, monkeypatch, "grade", NAME) == 0
    (module.root / "roster.csv").write_text("Student,ID,SIS Login ID,counting\nAda,1,ada,\n")
    capsys.readouterr()
    assert command(module, monkeypatch, "export", "canvas", NAME, "--roster", "roster.csv", "-o", "out.csv") == 0
    assert (module.root / "out.csv").read_text().splitlines()[1] == "Ada,1,ada,4.5", "a tenth of 5; of what is missing, nothing"
    assert "taken off" not in capsys.readouterr().err
