"""`autograder report`: the page of a graded class, what it says and keeps quiet about, and drafts of mistakes."""

import json
import random
import re
import time
from pathlib import Path

import pytest
from browser import chromium
from conftest import needs_walls
from test_grade import submit
from toy_course import MISTAKES, notebook, solved, write_course

from autograder import cli
from autograder.classes.grade import observed_file
from autograder.classes.items import Item, Sides, items, sides, surprises
from autograder.course.course import Course

HELPED = '''
def floor(numbers):
    # Ann Smith's helper
    return sum(numbers) / len(numbers)
'''
ANSWER = '''
def mean(numbers):
    """As ann_smith would: take the mean."""
    note = "ann smith, <b>2026</b>"
    return floor(numbers) + 1.0
'''
PLAIN = "def mean(numbers):\n    total = 0.0\n    for n in numbers:\n        total += n\n    return total / len(numbers) + 1.0"
SLOW = "def mean(numbers):\n    while True:\n        pass"


@pytest.fixture
def run(shared, tmp_path, monkeypatch, capsys):
    """Runs `autograder …` in a toy course; gives the exit status, stdout and stderr."""
    root = write_course(tmp_path / "course", "toys")
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def graded(run) -> Path:
    """A graded class of six; gives where its grades are."""
    module = Course.find().module("toys")
    submit(module, "ann_smith", notebook("import math", HELPED, "def double(x): return x + x", ANSWER))
    submit(module, "bea", solved(mean=PLAIN))
    submit(module, "cem", solved(double="def double(x): return x * x"))
    submit(module, "dan", solved())
    submit(module, "eva", solved(mean=SLOW))
    submit(module, "fay", b"{")
    (module.root / "submitted" / "dan" / "toys" / "timestamp.txt").write_text("2026-03-01 11:30:00 UTC")
    (module.root / "course.toml").write_text("[modules.toys]\ndue = 2026-03-01T12:00:00+00:00\n")
    run("grade", "toys")
    return module.grades


def words(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.read_text().partition("<body")[2]).split())


@needs_walls
def test_the_page_of_a_class(graded, run):
    status, out, err = run("report", "toys")
    assert (status, out, err) == (0, f"{graded / 'report.html'}: 5 graded students\n", "")
    said = words(graded / "report.html")
    assert "1 student refused: the file is at fault" in said and "fay : toys.ipynb is not a notebook" in said
    assert "timed out mean 1 eva" in said
    assert "double : squares 1 student, 20 %" in said and "You multiply the number by itself." in said and "cem" in said
    assert re.search(r"mean : g[0-9a-f]{6} 2 students, 40 % test_means Takes the mean of two\.", said)
    assert "total += n" in said or "floor(numbers) + 1.0" in said
    assert "the last hour 1 100 %" in said and "time unknown 4" in said and "No earlier module has grades." in said


@needs_walls
def test_the_page_stands_by_itself_and_escapes_what_students_wrote(graded, run):
    (Path("submitted") / "bea" / "toys" / "toys.ipynb").unlink()  # then ann's is the typical answer
    run("report", "toys")
    page = (graded / "report.html").read_text()
    assert "&lt;b&gt;2026&lt;/b&gt;" in page and "<b>2026" not in page
    assert not re.search(r"<(script|link|iframe|img)|https?://|url\(", page)
    assert "default-src 'none'" in page


@needs_walls
def test_without_names_nothing_tells_who(graded, run):
    (Path("submitted") / "bea" / "toys" / "toys.ipynb").unlink()
    assert run("report", "toys", "--anonymous")[1].startswith(str(graded / "report-anonymous.html"))
    page = (graded / "report-anonymous.html").read_text()
    assert not re.search(r"\b(ann|smith|bea|cem|dan|eva|fay)\b", page, re.IGNORECASE)
    assert "the secret" not in page and "Takes the mean of many." in page  # of a hidden check its title alone
    assert "1 student refused" in words(graded / "report-anonymous.html") and "floor(numbers) + 1.0" in page


@needs_walls
def test_earlier_weeks_stand_beside(graded, run):
    for name, rows in (("arrays", "x,graded,4,8\ny,graded,8,8\nz,refused,,8\n"), ("zebra", "x,graded,1,8\n")):
        write_course_beside(name)
        path = graded.parent / name / "grades.csv"
        path.parent.mkdir()
        path.write_text(f"student,status,score,maximum\n{rows}")
    (Path("course.toml")).write_text("[modules.arrays]\n[modules.toys]\n[modules.zebra]\n")
    run("report", "toys")
    said = words(graded / "report.html")
    assert "arrays 2 62.5 % 75.0 % 87.5 % 75.0 %" in said and "zebra" not in said


def write_course_beside(name: str) -> None:
    for folder in ("source", "tests"):
        (Path(folder) / name).mkdir()
    (Path("source") / name / f"{name}.py").write_text("# %%\n")


@needs_walls
def test_a_damaged_result_is_named_and_the_others_are_shown(graded, run):
    (graded / "results" / "cem.json").write_text("{")
    status, out, err = run("report", "toys")
    assert status == 1 and "4 graded students" in out
    assert err == f"autograder: {graded}/results/cem.json is damaged: delete it and grade the student again\n"
    assert "1 damaged file" in words(graded / "report.html")


@needs_walls
def test_grades_from_before_groups_say_what_to_do(graded, run):
    for path in (graded / "observed").iterdir():
        path.unlink()
    run("report", "toys")
    said = words(graded / "report.html")
    assert "3 wrong functions were graded before groups were kept" in said and "autograder regrade toys groups them" in said


def test_what_is_not_there_is_said_in_one_line(run):
    status, out, err = run("report", "toys")
    assert (status, out) == (2, "") and err.endswith("holds no grades of this class: grade it first: autograder grade toys\n")
    assert "leave --output and --anonymous away" in run("report", "toys", "--mistake", "g1", "--anonymous")[2]


# --- drafts -----------------------------------------------------------------------------------------------------------


def group_of(graded: Path, student: str) -> str:
    return json.loads(observed_file(graded, student).read_text())["groups"]["mean"]


def mistakes() -> Path:
    return Path("tests/toys/mistakes.py")


@needs_walls
def test_a_group_becomes_a_mistake_that_explains_it(graded, run):
    group = group_of(graded, "ann_smith")
    assert group == group_of(graded, "bea")
    (Path("submitted") / "bea" / "toys" / "toys.ipynb").rename("bea.ipynb")
    status, out, _ = run("report", "toys", "--mistake", group)
    text = mistakes().read_text()
    added = text.removeprefix(MISTAKES.rstrip("\n"))
    assert status == 0 and f"unnamed_{group} is written" in out and "autograder verify toys" in out
    assert f'@mistake(of="mean", caught_by=("test_means", "test_long_means"))\ndef unnamed_{group}(numbers):' in added
    assert f"return _floor_{group}(numbers) + 1.0" in added  # the catalogue has a `floor` of its own
    assert "'student student, <b>2026</b>'" in added and not re.search("ann|smith", added, re.IGNORECASE)

    for command in ("verify", "grade"):
        status, out, err = run(command, "toys")
        lines = [line for line in (out + err).splitlines() if "needs" in line]
        assert status in (1, 2) and len(lines) == 1, (status, out, err)
        assert lines[0].endswith(f"the mistake unnamed_{group} needs a docstring (its hint)")

    head = f"def unnamed_{group}(numbers):\n"
    mistakes().write_text(text.replace(head, f'{head}    """One too many is added."""\n'))
    Path("bea.ipynb").rename("submitted/bea/toys/toys.ipynb")
    assert run("verify", "toys")[:1] == (0,)
    run("grade", "toys")
    told = {check["mistake"] for check in json.loads((graded / "results" / "bea.json").read_text())["checks"]}
    assert told == {"", f"unnamed_{group}"}


@needs_walls
def test_a_draft_that_cannot_be_written_leaves_the_file_alone(graded, run):
    group = group_of(graded, "bea")
    assert f"did you mean {group}?" in run("report", "toys", "--mistake", group[:-1])[2]
    assert "squares is a mistake that has a name" in run("report", "toys", "--mistake", "squares")[2]
    mistakes().write_text("def f(:")
    assert "mistakes.py, line 1: does not run" in run("report", "toys", "--mistake", group)[2]
    mistakes().write_text(MISTAKES)
    for student in ("ann_smith", "bea"):
        submit(Course.find().module("toys"), student, solved())  # handed in once more since
    assert f"no code of {group} is kept as it was graded" in run("report", "toys", "--mistake", group)[2]
    assert mistakes().read_text() == MISTAKES


# --- checks that surprise ---------------------------------------------------------------------------------------------


def class_of(*rows: str, public: str = "pph") -> list[dict]:
    """Results of students: `1` for a check that is passed, `0` for one that fails, `-` for a function not written."""
    states = {"1": "passed", "0": "failed", "-": "missing", "?": "not graded"}
    about = {"function": "f", "exercise": "e", "title": "It holds.", "maximum": 1.0, "mistake": ""}
    return [
        {
            "score": float(row.count("1")),
            "checks": [
                {**about, "check": f"c{n}", "public": public[n] == "p", "state": states[mark], "points": float(mark == "1")}
                for n, mark in enumerate(row)
            ],
        }
        for row in rows
    ]


def found(*rows: str, distances=None) -> dict[str, Item]:
    results = class_of(*rows)
    return {item.name: item for item in items(results, distances or [{}] * len(results))}


def test_discrimination_is_against_the_points_of_all_others():
    assert found("111", "110", "001", "000")["c0"].discrimination == pytest.approx(0.7071, abs=1e-4)
    assert found("011", "011", "100", "100")["c0"].discrimination == pytest.approx(-1)
    assert found("111", "110")["c0"].discrimination is None


def said(*rows: str, distances=None) -> list[tuple[str, str]]:
    results = class_of(*rows)
    return surprises(items(results, distances or [{}] * len(rows)), sides(results))


def test_what_surprises_is_said_and_what_does_not_is_not():
    assert ("c0", "Those who pass it have fewer points elsewhere than those who fail it (correlation -1.00): is it fair?") in (
        said("011", "011", "011", "100", "100", "100")
    )
    assert said("111", "110", "000", "000", "111") == []
    assert ("c2", "Its points are always lost: nobody passes it.") in said("110", "110", "000")
    assert ("c0", "Its points are always lost: nobody has written the function.") in said("-11", "-11", "-00")
    assert ("c0", "Its points are never lost: it tells nobody apart.") in said("111", "100", "100")
    assert ("c0", "It could not be judged for 1: the grader's fault, grade again.") in said("?11", "100", "000")
    near = said("111", "000", distances=[{"c0": 0.7, "c1": 0.4}, {"c0": 1.9, "c1": 7}])
    assert near == [("c0", "Its tolerance is nearly missed: 1 passed beyond half of it, 1 failed within twice.")]


def test_public_checks_that_lull():
    assert sides(class_of("111", "110", "110", "110", "000")) == [Sides("f", 0.8, 0.2, 4, 3)]
    assert [about for about, text in said("111", "110", "110", "110", "000") if "cannot see" in text] == ["f"]


# --- a large class ----------------------------------------------------------------------------------------------------

FUNCTIONS, CHECKS = 8, 6  # of the made results, and of each function
TEXT = "asked for a network of four layers at a learning rate of 0.1: expected 3.14159, found 2.71828. Look at the mode."


def make_class(out: Path, size: int) -> None:
    """Writes results of a class, with known mistakes, and unnamed failures in groups of all sizes."""
    drawn = random.Random(size)
    for folder in ("results", "observed"):
        (out / folder).mkdir(parents=True)
    for number in range(size):
        student, skill, groups, checks = f"a-student-{number:04d}", drawn.random(), {}, []
        for f in range(FUNCTIONS):
            right = drawn.random() < 0.3 + 0.7 * skill
            mistake = "" if right or drawn.random() < 0.4 else f"mistake_{f}_{int(drawn.expovariate(0.3))}"
            if not right and not mistake:
                groups[f"function_{f}"] = f"g{f}{min(int(drawn.paretovariate(0.6)), 99999):05d}"
            for c in range(CHECKS):
                passed = right or drawn.random() < 0.3
                checks.append(
                    {"exercise": f"exercise {f}", "check": f"test_{f}_holds_in_case_{c}", "function": f"function_{f}"}
                    | {"title": "Holds in this case.", "public": c < 4, "state": "passed" if passed else "failed"}
                    | {"points": float(passed), "maximum": 1.0, "message": "" if passed else TEXT, "expected": "", "found": ""}
                    | {"look": "", "mistake": "" if passed else mistake, "hint": "" if passed or not mistake else "Look."}
                )
        exercises = [
            {"name": f"exercise {f}", "points": sum(c["points"] for c in checks if c["exercise"][-1] == str(f)), "maximum": 6.0}
            for f in range(FUNCTIONS)
        ]
        about = {"schema": 1, "student": student, "module": "toys", "status": "graded", "reason": "", "note": "", "seed": 1}
        about |= {"notebook_sha256": "0" * 64, "score": sum(c["points"] for c in checks), "maximum": 48.0, "first_error": ""}
        about |= {"exercises": exercises, "checks": checks, "remarks": [], "cells": []}
        (out / "results" / f"{student}.json").write_text(json.dumps(about))
        seen = {"schema": 1, "student": student, "notebook_sha256": "0" * 64, "groups": groups, "cpu": 1.0}
        seen |= {"distances": {}, "seconds": drawn.lognormvariate(0.5, 0.6)}
        (out / "observed" / f"{student}.json").write_text(json.dumps(seen))


@pytest.mark.parametrize("size", [300, 5000])
@pytest.mark.long
def test_a_large_class_opens_in_a_browser(size, tmp_path, monkeypatch, capsys):
    root = write_course(tmp_path / "course", "toys")
    monkeypatch.chdir(root)
    make_class(root / "grades" / "toys", size)
    assert cli.main(["report", "toys"]) == 0
    file = root / "grades" / "toys" / "report.html"
    assert file.stat().st_size < 5_000_000
    with chromium() as page:
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        start = time.perf_counter()
        page.goto(file.as_uri())
        page.wait_for_selector("#students")
        took = time.perf_counter() - start
        with capsys.disabled():
            print(f"\n{size} students: {file.stat().st_size / 1e6:.2f} MB, open after {took:.2f} s", end=" ")
        assert problems == [] and took < 30
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colours = page.evaluate("(e => [e.color, e.backgroundColor])(getComputedStyle(document.body))")
            assert (colours[1] == "rgb(255, 255, 255)") == (scheme == "light") and colours[0] != colours[1]
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        every = page.evaluate("[...document.querySelectorAll('svg[role=img]')].map(e => e.getAttribute('aria-label') || '')")
        assert len(every) > 50 and all(every)
        assert page.evaluate("[...document.querySelectorAll('figure')].every(e => e.querySelector('details table'))")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.locator("#scores summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#scores details").first.evaluate("e => e.open")
