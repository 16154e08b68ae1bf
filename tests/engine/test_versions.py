"""A module that is changed after its release: versions, work on an earlier one, and `autograder update`."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import toy_course
from conftest import LIMIT, needs_walls
from toy_course import RIGHT, SOURCE, WITH_IMAGES, write_course

from autograder.authors.release import released_files
from autograder.cli import main
from autograder.course.course import Course, Module
from autograder.errors import CourseError
from autograder.files import write_whole
from autograder.gradebook.autograded import rebuild
from autograder.gradebook.gradebook import book_of
from autograder.grading.contents import Contents
from autograder.sandboxed.notebook import HandedIn, Released, read_cells, read_version, select
from autograder.students import newer
from autograder.students.handin import pack
from autograder.students.update import update

NAME = "toys"
TEXTS = ("SOURCE", "PROBES_PUBLIC", "PROBES_HIDDEN", "TEST_PUBLIC", "TEST_HIDDEN", "MISTAKES", "ALTERNATIVES")
WHY = "Why does a mean of whole numbers need a float?"
HOW = SOURCE[SOURCE.index('# %% [markdown] role="question"') :].replace('"why"', '"how"').replace(WHY, "How?")
ANSWER = "Because their sum may be odd."


def next_version() -> dict[str, str]:
    """`double` is called `twice`, its exercise `sums`; a check is worth more; a question came, and one has other words."""
    texts = {name.lower(): re.sub(r"\bdouble\b", "twice", getattr(toy_course, name)) for name in TEXTS}
    source = texts["source"].replace('function="twice"', 'function="twice" was="double"')
    source = source.replace('role="grade" exercise="arithmetic"', 'role="grade" exercise="sums" was="arithmetic"')
    source = source.replace('"""The mean of a list of numbers, a float."""', '"""The mean of numbers, a float."""')
    source = source.replace("arithmetic", "sums").replace('was="sums"', 'was="arithmetic"').replace(WHY, WHY.upper())
    texts["test_public"] = texts["test_public"].replace('"mean", points=1', '"mean", points=3')
    return texts | {"source": source + HOW}


def import_anew() -> None:
    """Lets changed checks be imported, as a new process would."""
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


def released(module: Module) -> Module:
    """Writes what a release holds, without its recordings, which need workers."""
    import_anew()
    for name, data in released_files(Contents(module)).items():
        write_whole(module.release / name, data)
    return Module(module.root, module.name)


def change(module: Module, **texts: str) -> Module:
    """Writes other texts of a module, and releases it again."""
    module.source.write_text(texts.pop("source", module.source.read_text()))
    for name, text in texts.items():
        (module.tests / f"{name}.py").write_text(text)
    return released(Module(module.root, module.name))


@pytest.fixture
def module(tmp_path) -> Module:
    return released(Course(write_course(tmp_path / "course", NAME)).module(NAME))


def given_out(module: Module, folder: Path) -> Path:
    """The released folder as a student unpacks it; gives the notebook."""
    shutil.copytree(module.release, folder)
    return folder / f"{NAME}.ipynb"


def work(path: Path, answer: str = ANSWER, extra: bool = True, **functions: str) -> dict:
    """Fills in a notebook: the functions, the question `why`, and a cell of the student's own with a figure."""
    notebook = json.loads(path.read_text())
    cells = []
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if name in functions:
            cell["source"] = functions[name]
        elif name == "question-why" and answer:
            cell["source"] = "".join(cell["source"]).replace("*Your answer here.*", answer)
        cells.append(cell)
        if name == "mean" and extra:
            shown = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}, "metadata": {}}
            own = {"cell_type": "code", "metadata": {}, "execution_count": 3, "outputs": [shown], "source": "plot(mean)"}
            cells.append(own)
    path.write_text(json.dumps(notebook | {"cells": cells}))
    return notebook


def without(path: Path, start: str) -> None:
    """Removes the cells that start so."""
    notebook = json.loads(path.read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if not "".join(cell["source"]).startswith(start)]
    path.write_text(json.dumps(notebook))


def cells_of(path: Path) -> dict[str, str]:
    """The texts of the cells with a name, by it; of the others by their text."""
    cells = json.loads(path.read_text())["cells"]
    texts = [("".join(cell["source"]), cell["metadata"].get("nbgrader", {}).get("grade_id")) for cell in cells]
    return {name or text: text for text, name in texts}


# --- the version ------------------------------------------------------------------------------------------------------


def test_a_notebook_carries_its_version_in_its_metadata_and_in_a_line(module):
    version = Contents(module).version
    data = (module.release / f"{NAME}.ipynb").read_bytes()
    assert json.loads(data)["metadata"]["autograder"] == {"module": NAME, "version": version}
    stripped = json.loads(data) | {"metadata": {}}
    assert read_version(data) == read_version(json.dumps(stripped).encode()) == version
    assert read_version(json.dumps({"cells": []}).encode()) == ""


def test_it_follows_from_what_students_get(module):
    first = Contents(module).version
    assert Contents(module).version == first
    text = module.source.read_text()
    for old, new, same in (
        ("# Because their sum need not", "# Since their sum need not", True),  # the model answer
        ("# # Toy numbers", "# # Toy figures", False),
        ("twofold = x + x", "twofold = 2 * x", False),  # what the recordings are made from
    ):
        module.source.write_text(text.replace(old, new))
        assert text != module.source.read_text() and (Contents(module).version == first) == same
    module.source.write_text(text)
    import_anew()
    path = module.tests / "test_hidden.py"
    path.write_text(path.read_text().replace("points=1.5", "points=2"))
    assert Contents(module).version != first


def test_a_release_knows_those_before_it_and_is_the_same_a_second_time(module):
    first = Contents(module).versions
    after = change(module, **next_version())
    now = Contents(after).versions
    assert list(now.cells) == [first.current, now.current] and first.texts < now.texts
    before = (module.release / "checks" / "module.json").read_bytes()
    assert released_files(Contents(after))["checks/module.json"] == before
    (module.release / "checks" / "module.json").write_text("{")
    with pytest.raises(CourseError, match="module.json is damaged, and says which versions students had"):
        released_files(Contents(Module(module.root, NAME)))


@pytest.mark.parametrize(
    "settings, words",
    [
        ('function="mean" was="double"', "double is still a cell here"),
        ("function=\"mean\" was=['a']", "write it in quotes"),
    ],
)
def test_a_wrong_former_name_is_refused_with_its_line(module, settings, words):
    module.source.write_text(SOURCE.replace('function="mean"', settings))
    with pytest.raises(CourseError, match=rf"toys.py, line \d+: was=.*{words}"):
        Contents(module).cells  # noqa: B018


# --- work on an earlier version ---------------------------------------------------------------------------------------


@needs_walls
def test_another_weeks_notebook_is_named(module, tmp_path, monkeypatch, capsys):
    """It is graded for what is in it all the same; of a version that nobody knows nothing is guessed."""
    other = released(Course(write_course(module.root, "others", source=SOURCE.replace(WHY, "Why not?"))).module("others"))
    notebook = (other.release / other.notebook).read_text()
    version = read_version(notebook.encode())
    folder = module.root / "submitted"
    write_whole(folder / "ada" / NAME / module.notebook, notebook)
    write_whole(folder / "bob" / NAME / module.notebook, notebook.replace(version, "0" * len(version)))
    monkeypatch.chdir(module.root)
    assert main(["grade", NAME, "--no-gradebook", "--limit", str(LIMIT)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"ada: The notebook is others.ipynb of others, by its version {version}: hand in {NAME}.ipynb." in said
    assert f"bob: The notebook says that it is of version {'0' * len(version)}, which this module has never had." in said


FORMER = Released(former=frozenset({("twice", "double")}))


@pytest.mark.parametrize(
    "before, after",
    [
        ("def double(x):\n    return x + x", "def twice(x):\n    return x + x"),
        ("double = lambda x: x + x", "twice = lambda x: x + x"),
        ("def quadruple(x):\n    return double(x.double())", "def quadruple(x):\n    return twice(x.double())"),
        ("def quadruple(double):\n    return double", "def quadruple(double):\n    return double"),
        ("def quadruple(x): 'é'; return double(double(x))", "def quadruple(x): 'é'; return twice(twice(x))"),
    ],
)
def test_a_function_under_its_former_name_counts_with_all_that_calls_it(before, after):
    texts = ["def twice(x):\n    raise NotImplementedError", "double = abs" if "quadruple" in before else "", before]
    code = select(read_cells(toy_course.notebook(*texts)), ["twice", "quadruple"], FORMER)
    assert after in [text for _, _, text in code.pieces] and "twice" not in code.stubs


def test_todays_name_goes_before_the_former_one():
    code = select(read_cells(toy_course.notebook("def double(x): return 1", "def twice(x): return 2")), ["twice"], FORMER)
    assert [text for _, _, text in code.pieces] == ["def twice(x): return 2"]


def test_an_earlier_versions_texts_are_nobodys_answer_and_a_later_question_waits(module):
    first, old = Contents(module).versions.current, json.loads((module.release / f"{NAME}.ipynb").read_text())
    after = Contents(change(module, **next_version()))
    handed_in = [
        HandedIn(
            "code" if cell["cell_type"] == "code" else "markdown",
            "".join(cell["source"]),
            cell["metadata"].get("nbgrader", {}).get("grade_id", ""),
        )
        for cell in old["cells"]
    ]

    def answered(versions, version):
        notebook = rebuild(after.cells, after.points, handed_in, versions, version)
        cells = [cell for cell in notebook.cells if "autograder" in cell.metadata and "nbgrader" in cell.metadata]
        own = [cell for cell in notebook.cells if "The student's own" in cell.source]
        return {cell.metadata.nbgrader.grade_id: cell.metadata.autograder.answered for cell in cells}, own

    questions, own = answered(after.versions, first)
    assert (questions["question-why"], questions["question-how"], own) == (False, True, [])
    assert not answered(after.versions, after.versions.current)[0]["question-how"]


def test_pack_knows_an_earlier_version_and_its_unanswered_question(module, tmp_path):
    path = given_out(module, tmp_path / "mine")
    old = read_version(path.read_bytes())
    shutil.copytree(change(module, **next_version()).release / "checks", path.parent / "checks", dirs_exist_ok=True)
    problems = pack(path)[2]
    assert problems[0].startswith(f"it is of version {old}, and ") and "`autograder update` takes" in problems[0]
    assert "question-why is not answered yet" in problems


# --- the line that a newer one is out ---------------------------------------------------------------------------------


def test_the_first_cell_says_when_the_checks_beside_it_are_newer(module, tmp_path, monkeypatch, capsys):
    path = given_out(module, tmp_path / "mine")
    monkeypatch.chdir(path.parent)
    version = read_version(path.read_bytes())
    newer.look_for_newer(path.name, version)
    assert capsys.readouterr().out == "" and newer.told() == ""
    shutil.copytree(change(module, **next_version()).release / "checks", path.parent / "checks", dirs_exist_ok=True)
    newer.look_for_newer(path.name, version)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("A newer version of this notebook is out") and f"`autograder update {NAME}.ipynb ZIP`" in line


def test_check_says_what_the_courses_address_says_and_nothing_where_there_is_none(module, tmp_path, monkeypatch, capsys):
    path = given_out(module, tmp_path / "mine")
    monkeypatch.chdir(path.parent)
    after, version = change(module, **next_version()), read_version(path.read_bytes())
    monkeypatch.setattr(newer.threading.Thread, "start", newer.threading.Thread.run)
    for address in ("http://127.0.0.1:9/module.json", (module.release / f"{NAME}.ipynb").as_uri()):
        newer.look_for_newer(path.name, version, address)
        assert newer.told() == ""
    newer.look_for_newer(path.name, version, (after.release / "checks" / "module.json").as_uri())
    assert "A newer version" in newer.told() and capsys.readouterr().out == ""


# --- update -----------------------------------------------------------------------------------------------------------


def test_update_loses_nothing_and_runs_twice(module, tmp_path, capsys):
    path = given_out(module, tmp_path / "mine")
    version = read_version(path.read_bytes())
    work(path, **RIGHT)
    before = path.read_bytes()
    after = change(module, **next_version())
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for file in after.release.rglob("*"):
            archive.write(file, Path(NAME) / file.relative_to(after.release))
    assert main(["update", str(path), str(tmp_path / "new.zip")]) == 0
    said, kept = capsys.readouterr().out, path.with_name(f"{NAME}.before-update-from-{version}.ipynb")
    assert kept.read_bytes() == before and str(kept) in said
    for words in ("double is called twice now", "question-why: the question has changed", "new since then: question-how"):
        assert words in said
    found = cells_of(path)
    asks = '# def mean(numbers):\n#     """The mean of numbers, a float."""\n#     raise NotImplementedError("write mean")'
    now = f"{RIGHT['mean']}\n\n# This cell has changed since you wrote it. It reads now:\n{asks}"
    assert found["mean"] == now and found["question-why"].startswith(WHY.upper())
    assert ANSWER in found["question-why"] and WHY not in found["question-why"] and RIGHT["double"] in found
    assert "raise NotImplementedError" in found["twice"] and "plot(mean)" in found
    assert found["quadruple"] == RIGHT["quadruple"]
    cells = json.loads(path.read_text())["cells"]
    (figure,) = [cell["outputs"][0]["data"] for cell in cells if "".join(cell["source"]) == "plot(mean)"]
    assert figure == {"image/png": "iVBORw0KGgo="}
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert read_version(path.read_bytes()) == Contents(after).versions.current
    assert (path.parent / "checks" / "module.json").read_bytes() == (after.release / "checks" / "module.json").read_bytes()
    once = path.read_bytes()
    assert main(["update", str(path), str(tmp_path / "new.zip")]) == 0 and "nothing was changed" in capsys.readouterr().out
    assert path.read_bytes() == once and sorted(path.parent.glob("*.ipynb")) == sorted([path, kept])


def test_a_run_that_is_cut_off_is_made_good_by_the_next(module, tmp_path, monkeypatch):
    path = given_out(module, tmp_path / "mine")
    work(path, **RIGHT)
    before, after = path.read_bytes(), change(module, **next_version())
    import autograder.students.update as updating

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(updating, "_copy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        update(path, after.release)
    assert path.read_bytes() == before
    update(path, after.release)
    assert len(list(path.parent.glob("*.ipynb"))) == 2 and cells_of(path)["quadruple"] == RIGHT["quadruple"]


def test_two_functions_in_one_cell_and_one_that_is_no_longer_asked_for(module, tmp_path):
    path = given_out(module, tmp_path / "mine")
    work(path, double=f"{RIGHT['double']}\n\n\n{RIGHT['mean']}", quadruple=RIGHT["quadruple"])
    texts = {"source": SOURCE.replace("Toy numbers", "Toys"), "test_public": toy_course.TEST_PUBLIC}
    done = update(path, change(module, **texts).release)
    assert done.said == ["mean: yours stays in the cell that it shares with other code"]
    assert cells_of(path)["mean"] == "# `mean` is written in another cell of this notebook."
    code = select(read_cells(path.read_bytes()), ["double", "mean"])
    assert not code.stubs and set(code.homes) == {"double", "mean"}


def test_data_that_differ_are_kept(module, tmp_path):
    path = given_out(change(module, source=WITH_IMAGES), tmp_path / "mine")
    (file := next(each for each in (path.parent / "data").rglob("*") if each.is_file())).write_bytes(b"mine")
    done = update(path, change(module, source=WITH_IMAGES.replace("Toy numbers", "Toys")).release)
    assert any(str(file) in line for line in done.said)
    assert b"mine" in [each.read_bytes() for each in file.parent.iterdir() if each.is_file()] and file.read_bytes() != b"mine"


def other_module(path: Path) -> None:
    notebook = json.loads(path.read_text())
    notebook["metadata"]["autograder"]["module"] = "week09"
    path.write_text(json.dumps(notebook))


def of_next_year(path: Path) -> None:
    path.write_text(path.read_text().replace(read_version(path.read_bytes()), "0123abcd"))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda path: path.write_text(path.read_text()[:500]), "toys.ipynb is not a notebook .*damaged or cut off"),
        (lambda path: path.unlink(), "toys.ipynb does not exist: name your notebook"),
        (lambda path: path.write_text('{"nbformat": 3, "worksheets": []}'), "is of an old form of notebooks: open it"),
        (lambda path: path.write_bytes(toy_course.notebook("x = 1")), "is no notebook of toys, .*name the two of one week"),
        (other_module, "is a notebook of week09, and the new one is of toys"),
        (of_next_year, "is of version 0123abcd, which [0-9a-f]{8} does not know: it is newer, or of another year"),
    ],
)
def test_what_cannot_be_updated_is_one_line_and_nothing_is_changed(module, tmp_path, damage, words):
    path = given_out(module, tmp_path / "mine")
    after = change(module, **next_version())
    damage(path)
    before = {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()}
    with pytest.raises(CourseError, match=words) as told:
        update(path, after.release)
    assert len(str(told.value).splitlines()) == 1
    assert {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()} == before


def test_what_is_no_new_notebook_is_one_line(module, tmp_path):
    path = given_out(module, tmp_path / "mine")
    after = change(module, **next_version())
    theirs = given_out(after, tmp_path / "theirs")
    work(theirs, **RIGHT)
    (tmp_path / "empty.zip").write_bytes(b"PK\5\6" + b"\0" * 18)
    for new, words in (
        (theirs, "is not a notebook as it is released"),
        (tmp_path / "empty.zip", "holds no released notebook"),
        (tmp_path / "none.zip", "does not exist: name the new notebook"),
        (None, "has not said where its newest files are: download the new zip"),
    ):
        with pytest.raises(CourseError, match=words):
            update(path, new)


# --- a class ----------------------------------------------------------------------------------------------------------

WRONG = {"mean": "def mean(numbers):\n    return sum(numbers) / 2.0"}
CLASS = [f"student{number:02d}" for number in range(30)]


@needs_walls
@pytest.mark.long
def test_a_correction_is_carried_through_a_class_of_thirty_half_on_the_version_before(module, tmp_path, monkeypatch, capsys):
    """Every third has a mistake; five answers are marked before the correction; half of the class updates its notebooks."""
    monkeypatch.chdir(module.root)
    monkeypatch.setenv("COLUMNS", "1000")
    shutil.copy(Path(__file__).parents[2] / "nbgrader_config.py", module.root)
    for number, student in enumerate(CLASS):
        path = given_out(module, tmp_path / "homes" / student)
        work(path, extra=False, **RIGHT | (WRONG if number % 3 == 0 else {}))
        write_whole(module.root / "submitted" / student / NAME / path.name, path.read_bytes())
    assert main(["grade", NAME, "--limit", str(LIMIT)]) == 0
    with book_of(module).open() as gradebook:
        for student in CLASS[:5]:
            gradebook.find_grade("question-why", NAME, NAME, student).manual_score = 2.0
            gradebook.find_grade("question-why", NAME, NAME, student).needs_manual_grade = False
            gradebook.find_comment("question-why", NAME, NAME, student).manual_comment = "well said"
        gradebook.db.commit()
    after = change(module, **next_version())
    for student in CLASS[15:]:
        path = tmp_path / "homes" / student / f"{NAME}.ipynb"
        update(path, after.release)
        renamed = {name.replace("double", "twice"): RIGHT[name].replace("double", "twice") for name in ("double", "quadruple")}
        work(path, answer="", extra=False, **renamed)
        without(path, "def double")  # as update says
        write_whole(module.root / "submitted" / student / NAME / path.name, path.read_bytes())
    capsys.readouterr()

    assert main(["regrade", NAME, "--run", "--dry-run", "--limit", str(LIMIT)]) == 0
    moved = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert sum("test_means" in line and "1 → 3 worth 3 now, 1 before: passed" in line for line in moved) == len(CLASS)
    assert moved[-1].startswith("30 judged: the points of 30 move")

    assert main(["grade", NAME, "--limit", str(LIMIT)]) == 0
    said = capsys.readouterr().out
    assert said.count("of an earlier version") == 15 and "exercise-arithmetic is now exercise-sums" in said
    with book_of(after).open() as gradebook:
        for number, student in enumerate(CLASS):
            theirs = gradebook.find_submission_notebook(NAME, NAME, student)
            grades = {grade.name: grade for grade in theirs.grades}
            assert grades["exercise-sums"].auto_score == 4.0, student
            assert grades["exercise-averages"].auto_score == (3.0 if number % 3 == 0 else 4.5), student
            assert grades["question-why"].manual_score == (2.0 if number < 5 else None)
            assert grades["question-why"].needs_manual_grade == (number >= 5)
            assert grades["question-how"].needs_manual_grade == (number < 15)
            said_by_ta = {comment.name: comment.manual_comment for comment in theirs.comments}
            assert said_by_ta["question-why"] == ("well said" if number < 5 else None)
