"""Grading a class by the command: exit status, table, grades.csv, JSON, pages; and what a rerun leaves alone."""

import csv
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from browser import chromium
from conftest import needs_walls
from toy_course import MAXIMUM, notebook, solved, write_course

from autograder import cli
from autograder.course.course import Course, Module
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import SCHEMA, Result, as_text, check_table, feedback_page, grades_csv

pytestmark = needs_walls

SQUARES = "def double(x):\n    '''My own.'''\n    return x.__mul__(x) if isinstance(x, str) else x * x if x else x"
CLASS = {
    "ada": solved(),
    "bob": solved(double="def double(x): return x * x"),
    "eve": solved(mean="def mean(n):\n    raise NotImplementedError"),
    "ivy": solved(mean="def mean(n):\n    raise ValueError('SECRET TEXT ' + str(n))", double="def double(x): return 3"),
    "kim": b"{not a notebook",
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Module:
    """A course with a class of five."""
    module = Course(write_course(tmp_path_factory.mktemp("graded"), "toys")).module("toys")
    for student, data in CLASS.items():
        submit(module, student, data)
    return module


def submit(module: Module, student: str, data: bytes) -> Path:
    path = module.root / "submitted" / student / module.name / module.notebook
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def grade(course, shared, monkeypatch, capsys):
    """Runs `autograder grade toys …` in the course; gives the exit status, stdout and stderr."""
    monkeypatch.chdir(course.root)
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(["grade", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def graded(course, shared_grader) -> Path:
    """The folder with the grades of the whole class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autograder.classes.grade.Grader", shared_grader)
        patch.chdir(course.root)
        assert cli.main(["grade", "toys", "--seed", "7"]) == 1
    return course.root / "grades" / "toys"


def result(out: Path, student: str) -> dict:
    return json.loads((out / "results" / f"{student}.json").read_text())


def rows(out: Path) -> dict[str, dict]:
    return {row["student"]: row for row in csv.DictReader((out / "grades.csv").open())}


# --- what a run gives -------------------------------------------------------------------------------------------------


def test_a_class_is_graded_and_the_rest_is_named(course, grade):
    status, out, err = grade("toys", "--seed", 7)
    lines = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert status == 1 and err == ""
    assert lines["ada"] == f"ada {MAXIMUM} / {MAXIMUM}"
    assert lines["bob"] == "bob 4.5 / 6.5 double squares"
    assert lines["eve"] == "eve 4 / 6.5 mean"
    assert "kim: refused: " in lines["kim:"] and "submitted/kim/toys/toys.ipynb is not a notebook (" in lines["kim:"]
    assert lines["kim:"].endswith("the file is damaged or cut off, save it again as .ipynb")
    assert "4 of 5 graded" in out


def test_all_graded_is_exit_status_0(course, grade, tmp_path):
    status, out, _ = grade("toys", "submitted/ada", "submitted/bob/toys/toys.ipynb", "--output", tmp_path / "out")
    assert status == 0 and "2 of 2 graded" in out
    assert list(rows(tmp_path / "out")) == ["ada", "bob"]


def test_grades_csv(graded):
    table = rows(graded)
    assert list(table) == sorted(CLASS)
    row = {"student": "bob", "status": "graded", "score": "4.5", "maximum": "6.5"}
    assert table["bob"] == {**row, "arithmetic": "2", "averages": "2.5", "reason": ""}
    assert (table["kim"]["status"], table["kim"]["score"], table["kim"]["averages"]) == ("refused", "", "")
    assert "submitted/kim/toys/toys.ipynb is not a notebook" in table["kim"]["reason"]


@pytest.mark.parametrize("student", CLASS)
def test_the_json_is_of_the_schema(graded, student):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    content = result(graded, student)
    validator.validate(content)
    for broken in ({"score": -1}, {"score": "4"}, {"more": 1}, {"status": "passed"}, {"schema": 2}, {"checks": [{}]}):
        assert not validator.is_valid(content | broken), broken
    assert not validator.is_valid({name: value for name, value in content.items() if name != "maximum"})


def test_every_field_of_the_schema_is_described():
    def undescribed(node: dict, name: str) -> list[str]:
        own = [] if "description" in node or "$ref" in node else [name]
        return own + [n for key, part in node.get("properties", {}).items() for n in undescribed(part, f"{name}.{key}")]

    schema = json.loads(SCHEMA.read_text())
    assert [n for part in (schema, *schema["$defs"].values()) for n in undescribed(part, part.get("title", "$def"))] == []
    assert all(part["additionalProperties"] is False for part in (schema, *schema["$defs"].values()))


def test_the_json_tells_every_check(graded):
    bob = result(graded, "bob")
    assert (bob["score"], bob["maximum"], bob["first_error"], bob["seed"]) == (4.5, MAXIMUM, "double", 7)
    assert bob["exercises"] == [
        {"name": "arithmetic", "points": 2, "maximum": 4},
        {"name": "averages", "points": 2.5, "maximum": 2.5},
    ]
    checks = {check["check"]: check for check in bob["checks"]}
    first = checks["test_doubles"]
    assert (first["exercise"], first["function"], first["public"], first["state"]) == (
        "arithmetic",
        "double",
        True,
        "failed",
    )
    assert (first["points"], first["maximum"], first["mistake"]) == (0, 1, "squares")
    assert first["message"] == (
        "double of 3 and of 0.25['whole']: expected 6, found 9. Twice `x` is not x squared."
    )
    assert checks["test_quadruples"]["state"] == "passed" and not checks["test_large_doubles"]["public"]
    eve = {check["check"]: check for check in result(graded, "eve")["checks"]}
    assert eve["test_means"]["state"] == eve["test_long_means"]["state"] == "missing"
    assert "not written yet: cell 4" in eve["test_means"]["message"]
    kim = result(graded, "kim")
    assert (kim["score"], kim["checks"], kim["exercises"]) == (None, [], [])


# --- pages ------------------------------------------------------------------------------------------------------------


def page(out: Path, student: str) -> str:
    return (out / "feedback" / f"{student}.html").read_text()


def test_of_hidden_checks_a_page_says_the_title_alone(graded):
    """Neither their message nor what they asked, expected or found, nor an exception raised under them."""
    text = page(graded, "ivy")
    assert "Doubles large numbers too." in text and "Takes the mean of many." in text
    for check in (check for check in result(graded, "ivy")["checks"] if not check["public"]):
        assert check["state"] == "failed" and check["message"] not in text
        assert not check["expected"] or check["expected"] not in text
    for secret in ("the secret", "large_doubles", "long_means", "test_hidden", "probes_hidden"):
        assert secret not in text
    assert re.findall(r"SECRET TEXT \[[^]]*\]", text) == ["SECRET TEXT [1.0, 2.0]"]  # the public question's alone


def test_no_hidden_question_gets_onto_the_page_as_a_missing_function():
    """A submission can raise the grader's own `Missing` with whatever a hidden probe asked it."""
    missing = Verdict("test_it", "f", "Title.", False, "missing", 0, 1, message="the secret question 4711")
    text = feedback_page(Result("ada", "toy", "graded", 1.0, graded=Graded((missing,), ())), {"e": ["f"]})
    assert "4711" not in text and "is missing" not in text  # whether it is, the public process says


def test_a_page_leads_with_the_hint(graded):
    text = page(graded, "bob")
    assert text.index("Where to look.") < text.index("Doubles small numbers.") < text.index("expected")
    assert "You multiply the number by itself. Look at what happens to 3." in text
    assert "<code>double</code>" in text and "4.5 <span>/ 6.5" in text
    assert 'Start with <a href="#function-double">' in text and '<div id="function-double">' in text
    assert "2 more by a teaching assistant, pending" in text
    assert "Well done" in page(graded, "ada") and "could not be graded" in page(graded, "kim")
    assert "hand in again, the same way as before, " in page(graded, "kim")


def verdict(check: str, state: str, **about) -> Verdict:
    return Verdict(check, "f", f"Title of {check}.", **({"public": True, "points": 0, "maximum": 1} | about), state=state)


def test_what_is_right_or_not_written_is_folded_to_one_line():
    def page_of(*verdicts: Verdict) -> str:
        graded = Graded(verdicts, (), remarks={"f": "Slow."})
        return feedback_page(Result("ada", "toy", "graded", 2.0, graded=graded), {"e": ["f"]})

    right = page_of(verdict("a", "passed"), verdict("b", "passed", public=False))
    assert '<details class="ag-function">' in right
    assert right.index("</details>") < right.index("Slow.")  # a remark is read nevertheless
    stub = page_of(verdict("a", "missing", message="`f` is not written."), verdict("b", "missing", public=False))
    assert '<details class="ag-function">' in stub and "ag-failed" not in stub.split("</style>")[-1]
    assert stub.count("<code>f</code> is not written.") == 1 and "Title of b." in stub
    assert '<details class="ag-function" open>' in page_of(verdict("a", "failed"), verdict("b", "passed"))


def test_what_an_author_stresses_is_stressed_and_what_a_student_wrote_stays_as_it_is():
    wrong = verdict("a", "failed", look="The *last <b>* of `a*b*c`, 2 * 3 * 4 and **kw.", expected="y", found="*x*")
    text = feedback_page(Result("ada", "toy", "graded", 1.0, graded=Graded((wrong,), ())), {"e": ["f"]})
    assert "The <em>last &lt;b&gt;</em> of <code>a*b*c</code>, 2 * 3 * 4 and **kw." in text
    assert "*x*" in text


def test_a_page_fits_a_phone_and_follows_the_theme_around_it(graded, tmp_path):
    """The system's theme; and what JupyterLab, VS Code and Colab say of theirs, against the system's."""
    with chromium() as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto((graded / "feedback" / "bob.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        title, score = (page.locator(name).bounding_box() for name in ("h1", ".score"))
        assert score["y"] >= title["y"] + title["height"] or score["x"] >= title["x"] + title["width"]
        for system in ("light", "dark"):
            page.emulate_media(color_scheme=system)
            assert is_dark(page) == (system == "dark")
            for mark in THEMES:
                for dark in (True, False):
                    (tmp_path / "cell.html").write_text(f"<body {mark[dark]}><div>{check_table(GRADED, EXERCISES)}")
                    page.goto((tmp_path / "cell.html").as_uri())
                    assert is_dark(page) == dark, (system, mark)
            page.goto((graded / "feedback" / "bob.html").as_uri())


THEMES = [
    {True: 'data-jp-theme-light="false"', False: 'data-jp-theme-light="true"'},
    {True: 'class="vscode-dark"', False: 'class="vscode-light"'},
    {True: 'class="vscode-high-contrast"', False: 'class="vscode-high-contrast vscode-high-contrast-light"'},
    {True: 'theme="dark"', False: 'theme="light"'},
]
GRADED, EXERCISES = Graded((verdict("a", "failed", message="Wrong."),), ()), {"e": ["f"]}


def is_dark(page) -> bool:
    """Whether the checks stand on a dark ground, in light letters."""
    found = page.locator(".ag").first.evaluate("it => [getComputedStyle(it).backgroundColor, getComputedStyle(it).color]")
    ground, letters = (sum(map(int, re.findall(r"\d+", colour))) for colour in found)
    assert abs(ground - letters) > 300
    return ground < letters


def test_what_several_checks_say_is_said_once():
    same = {"message": "ValueError: no", "expected": ""}
    verdicts = (verdict("a", "crashed", **same), verdict("b", "crashed", **same), verdict("c", "failed", message="Other."))
    graded = Graded(verdicts, ())
    for text in (feedback_page(Result("ada", "toy", "graded", 3.0, graded=graded), {"e": ["f"]}), as_text(graded)):
        assert text.count("ValueError: no") == 1 and "Title of b." in text and "Other." in text


@pytest.mark.parametrize("student", CLASS)
def test_a_page_is_self_contained(graded, student):
    text = page(graded, student)
    assert not re.search(r"<(script|img|link|iframe|object|form)|https?:|\bon\w+=|url\(", text)
    assert "default-src 'none'" in text


HOSTILE = "<script>alert(1)</script>\x1b[2J\x1b]0;owned\x07\u202e`<b>`\"'&\r"


def hostile() -> Result:
    names = ("title", "message", "expected", "found", "look", "hint", "mistake")
    failed = Verdict("test_it", "f", "", True, "failed", 0, 1)
    verdict = type(failed)(**{**failed.as_dict(), **dict.fromkeys(names, HOSTILE)})
    crashed = type(failed)(**{**failed.as_dict(), "state": "crashed", "title": HOSTILE, "public": False})
    graded = Graded((verdict, crashed), (("cell 1", HOSTILE),))
    return Result(HOSTILE, HOSTILE, "graded", 2.0, note=HOSTILE, graded=graded)


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)


def test_hostile_text_stays_text_on_the_page():
    parser = Tags()
    text = feedback_page(hostile(), {HOSTILE: ["f"]})
    parser.feed(text)
    assert "script" not in parser.tags and "b" not in parser.tags
    assert "&lt;script&gt;" in text
    refused = Result("ada", "toy", "refused", 2.0, reason=HOSTILE)
    assert "<script>" not in feedback_page(refused, {"e": ["f"]})


def test_no_formula_gets_into_the_csv():
    formula = Result('=HYPERLINK("x")', "toy", "refused", 2.0, reason="@SUM(1)").as_dict({})
    cells = next(iter(csv.DictReader(grades_csv([formula]).splitlines())))
    assert (cells["student"], cells["reason"]) == ("'=HYPERLINK(\"x\")", "'@SUM(1)")


def test_hostile_submissions_reach_terminal_json_and_page_as_text(course, grade, tmp_path):
    raises = f"def double(x):\n    raise ValueError({HOSTILE!r})"
    path = tmp_path / "eve\x1b[2J [bold]x" / "toys.ipynb"
    path.parent.mkdir()
    path.write_bytes(solved(double=raises))
    kim = tmp_path / "kim\x1b[31m.ipynb"
    kim.write_bytes(b"{")
    status, out, err = grade("toys", path, kim, "--output", tmp_path / "out")
    assert status == 1 and "\x1b" not in out + err and "\x07" not in out + err
    assert "[bold]" in out  # the console's own markup is text too
    (file,) = (tmp_path / "out" / "results").glob("eve*.json")
    content = json.loads(file.read_text())
    message = next(check["message"] for check in content["checks"] if check["check"] == "test_doubles")
    assert "<script>alert(1)</script>" in message and not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", message)
    (feedback,) = (tmp_path / "out" / "feedback").glob("eve*.html")
    parser = Tags()
    parser.feed(feedback.read_text())
    assert "script" not in parser.tags and "ValueError" in feedback.read_text()


# --- reruns -----------------------------------------------------------------------------------------------------------


def snapshot(out: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p.relative_to(out)): (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()}


def test_a_rerun_grades_only_what_changed(course, grade, tmp_path):
    out = tmp_path / "out"
    paths = [tmp_path / f"{name}.ipynb" for name in ("ada", "bob", "zoe")]
    for number, path in enumerate(paths):
        path.write_bytes(solved(mean=f"def mean(n): return sum(n) / len(n) + 0 * {number}"))
    assert "3 of 3 graded, 0 of them unchanged" in grade("toys", *paths, "--output", out)[1]
    before = snapshot(out)
    assert "3 of 3 graded, 3 of them unchanged" in grade("toys", *paths, "--output", out)[1]
    after = snapshot(out)
    assert {n: v for n, v in after.items() if n != "grades.csv"} == {n: v for n, v in before.items() if n != "grades.csv"}
    assert after["grades.csv"][1] == before["grades.csv"][1]
    paths[1].write_bytes(solved(mean="def mean(n): return 3.0"))
    assert "3 of 3 graded, 2 of them unchanged" in grade("toys", *paths, "--output", out)[1]
    changed = {name for name, value in snapshot(out).items() if value != before.get(name)}
    assert changed == {"results/bob.json", "observed/bob.json", "feedback/bob.html", "grades.csv"}


def test_a_refused_file_does_not_replace_a_grade(course, grade, graded, monkeypatch):
    before = snapshot(graded)
    path = course.root / "submitted/ada/toys/toys.ipynb"
    try:
        path.write_bytes(b"")
        status, out, _ = grade("toys", path)
        assert status == 1 and "ada: refused: " in out and "is empty" in out
        assert snapshot(graded)["results/ada.json"] == before["results/ada.json"]
        assert rows(graded)["ada"]["score"] == "6.5"
    finally:
        path.write_bytes(CLASS["ada"])


def test_grading_one_keeps_the_others_rows(course, grade, graded):
    before = rows(graded)
    status, out, _ = grade("toys", "submitted/bob", "--seed", 7)
    assert status == 0 and rows(graded) == before


def test_the_class_keeps_its_seed(course, grade, tmp_path):
    out = tmp_path / "out"
    grade("toys", "submitted/ada", "--output", out)
    first = result(out, "ada")["seed"]
    assert int((out / "seed").read_text()) == first
    grade("toys", "submitted/bob", "--output", out)
    assert result(out, "bob")["seed"] == first
    (out / "seed").write_text("x\n")
    status, _, err = grade("toys", "submitted/bob", "--output", out)
    assert status == 2 and f"{out}/seed must hold one whole number" in err
    assert result(out, "bob")["seed"] == first


def test_a_fault_of_the_grader_is_no_zero(course, grade, shared, monkeypatch, tmp_path):
    from autograder.errors import GraderFault

    def lost(self, data):
        raise GraderFault("a worker process was lost")

    grade("toys", "submitted/ada", "--output", tmp_path)
    monkeypatch.setattr(shared, "read", lost)
    status, out, _ = grade("toys", "submitted/ada", "submitted/bob", "--output", tmp_path)
    assert status == 1 and "bob: not graded: " in out and "a worker process was lost" in out
    assert (rows(tmp_path)["bob"]["status"], rows(tmp_path)["bob"]["score"]) == ("not graded", "")
    assert rows(tmp_path)["ada"]["score"] == "6.5"
    jsonschema.validate(result(tmp_path, "bob"), json.loads(SCHEMA.read_text()))


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tois"], "no module is called 'tois': did you mean toys?"),
        (["zzz"], "no module is called 'zzz': there is toys."),
        (["toys", "nowhere.ipynb"], "nowhere.ipynb does not exist: check the spelling"),
        (["toys", "tests"], "tests holds no submission: expected <student>/toys/toys.ipynb, or .ipynb files"),
        (["toys", "--workers", "0"], "--workers and --limit must be positive"),
        (["toys", "--limit", "-1"], "--workers and --limit must be positive"),
    ],
)
def test_wrong_usage_is_one_line_with_the_mend(course, grade, arguments, message):
    before = snapshot(course.root)
    status, out, err = grade(*arguments)
    assert (status, out, err) == (2, "", f"autograder: {message}\n")
    assert snapshot(course.root) == before


def test_outside_a_course(grade, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "is not inside a course" in grade("toys")[2]


def test_without_walls_it_does_not_run_open(course, grade, monkeypatch):
    monkeypatch.setattr("autograder.grading.workers.missing_walls", lambda: ["Landlock is not enabled"])
    status, out, err = grade("toys")
    assert status == 2 and "Landlock is not enabled" in err and "--sandbox none for code you trust" in err
    assert "submissions can read your files" in grade("toys", "submitted/ada", "--sandbox", "none")[2]


def test_an_interruption_says_how_to_go_on(course, grade, shared, monkeypatch):
    def interrupted(self, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(shared, "read", interrupted)
    status, _, err = grade("toys", "submitted/ada")
    assert status == 130 and "run the same command again" in err


def test_the_command_itself(course, tmp_path):
    """Once for real: its own process and workers, another folder, a class of three."""
    for name in ("ada", "bob", "kim"):
        (tmp_path / f"{name}.ipynb").write_bytes(CLASS[name])
    (tmp_path / "ivy.ipynb").write_bytes(notebook("train()", "print('hello')"))
    command = [sys.executable, "-m", "autograder.cli", "grade", "toys", tmp_path, "--output", tmp_path / "out"]
    done = subprocess.run(command, cwd=course.root / "source" / "toys", capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert {name: row["score"] for name, row in rows(tmp_path / "out").items()} == {
        "ada": "6.5",
        "bob": "4.5",
        "ivy": "0",
        "kim": "",
    }
    assert "3 of 4 graded" in done.stdout and "kim: refused" in done.stdout
