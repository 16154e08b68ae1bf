"""`autograder regrade`: a class is judged anew from what is kept, says what moves before it writes, and loses nothing."""

import json
import sys
from pathlib import Path

import pytest
from conftest import LIMIT, needs_walls
from test_grade import CLASS, result, rows, snapshot, submit
from toy_course import MISTAKES, PROBES_HIDDEN, TEST_HIDDEN, TEST_PUBLIC, solved, write_course

from autograder import cli
from autograder.classes import grade
from autograder.course.course import Course, Module
from autograder.grading import observer

pytestmark = needs_walls


@pytest.fixture
def run(shared, monkeypatch, capsys):
    """Runs `autograder …`; `regrade` with no way to start a worker. Gives the exit status, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(observer, "start_server", lambda *_: pytest.fail("a worker was started"))

    def run(command: str, *arguments: object) -> tuple[int, str, str]:
        for name in [name for name in sys.modules if name.split(".")[0] == "toys"]:
            del sys.modules[name]  # as a new process would import the changed checks
        limit = ["--limit", LIMIT] if command == "regrade" else []  # as the shared workers observe
        status = cli.main([command, "toys", *map(str, [*arguments, *limit])])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def course(run, tmp_path, monkeypatch) -> Module:
    """A graded class of five."""
    module = Course(write_course(tmp_path / "course", "toys")).module("toys")
    for student, data in CLASS.items():
        submit(module, student, data)
    monkeypatch.chdir(module.root)
    run("grade")
    return module


def change(course: Module, file: str, text: str, old: str, new: str) -> None:
    assert old in text
    (course.tests / f"{file}.py").write_text(text.replace(old, new))


def grades(course: Module) -> Path:
    return course.root / "grades" / "toys"


def texts(out: Path) -> dict[str, bytes]:
    return {name: content for name, (_, content) in snapshot(out).items()}


LENIENT = ("within=1e-9", "within=10.0")
DEARER = ('@check("double", points=1)', '@check("double", points=3)')
REWORDED = ("You multiply the number by itself.", "That is a square.")


def test_it_gives_what_grading_anew_gives(course, run, tmp_path):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    change(course, "test_hidden", TEST_HIDDEN, "(observed.large_doubles, ", "(3, ")
    change(course, "mistakes", MISTAKES, *REWORDED)
    assert run("regrade", "--yes")[0] == 0
    anew = tmp_path / "anew"
    run("grade", "--output", anew, "--seed", (grades(course) / "seed").read_text().strip())
    assert texts(grades(course)) == texts(anew)
    assert rows(anew)["ada"]["score"] == "7.5" and "That is a square." in (anew / "feedback" / "bob.html").read_text()


def test_it_says_what_moves_and_why(course, run):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    status, out, _ = run("regrade", "--dry-run")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert "ada test_doubles 1 → 3 worth 3 now, 1 before: passed" in lines
    assert any(line.startswith("bob test_doubles 0 → 0 worth 3 now, 1 before: double of 3 and") for line in lines)
    assert lines[-1].startswith("5 judged: the points of 4 move, and 1 more get other words")  # kim: a maximum


def test_a_check_that_comes_goes_or_changes_its_mind(course, run):
    (course.tests / "test_hidden.py").write_text(
        TEST_HIDDEN.replace("test_large_doubles", "test_huge_doubles").replace(*LENIENT)
    )
    out = " ".join(run("regrade", "--dry-run")[1].split())
    assert "ada test_huge_doubles none → 1 a new check: passed" in out
    assert "ada test_large_doubles 1 → none the check is gone" in out


def test_a_wider_tolerance_gives_points(course, run):
    submit(course, "zoe", solved(mean="def mean(n): return sum(n) / len(n) + 1.0"))
    run("grade")
    change(course, "test_hidden", TEST_HIDDEN, *LENIENT)
    out = " ".join(run("regrade", "--yes")[1].split())
    assert "zoe test_long_means 0 → 1.5 passed" in out and "the points of 1 move" in out
    assert rows(grades(course))["zoe"]["score"] == "5.5"


def test_a_reworded_hint_reaches_the_page_and_moves_nothing(course, run):
    change(course, "mistakes", MISTAKES, *REWORDED)
    status, out, _ = run("regrade", "--yes")
    assert status == 0 and "the points of 0 move, and 1 more get other words" in out
    assert "That is a square. Look at what happens to 3." in (grades(course) / "feedback" / "bob.html").read_text()


@pytest.mark.parametrize("answer", [["--dry-run"], [], "n", "", EOFError])
def test_nothing_is_written_before_somebody_agrees(course, run, monkeypatch, answer):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    before = snapshot(course.root / "grades")
    options = answer if isinstance(answer, list) else []
    if answer != options:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: raise_or_give(answer))
    status, out, err = run("regrade", *options)
    assert snapshot(course.root / "grades") == before and "1 → 3" in out
    assert status == (0 if options else 2)
    assert options or "nothing was written" in err
    assert answer != [] or "say --yes" in err


def raise_or_give(answer):
    if answer is EOFError:
        raise EOFError
    return answer


def test_agreeing_at_the_terminal_writes(course, run, monkeypatch):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert run("regrade")[0] == 0 and rows(grades(course))["ada"]["score"] == "8.5"


def test_the_second_time_there_is_nothing_to_ask(course, run):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    run("regrade", "--yes")
    before = texts(grades(course))
    status, out, err = run("regrade")
    assert (status, err) == (0, "") and "the points of 0 move, and 0 more" in out and "Written" not in out
    assert texts(grades(course)) == before


def test_a_group_alone_is_judged_anew(course, run):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    before = texts(grades(course) / "results")
    status, out, _ = run("regrade", "--group", "squares", "--yes")
    assert status == 0 and "1 judged" in out and "kim" not in out
    after = texts(grades(course) / "results")
    assert [name for name in after if after[name] != before[name]] == ["bob.json"]
    assert result(grades(course), "bob")["maximum"] == 8.5
    assert "did you mean squares?" in run("regrade", "--group", "squars")[2]


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_what_is_not_kept_is_named_and_keeps_its_grade(course, run):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    submit(course, "bob", solved(double="def double(x): return 7"))
    submit(course, "new", solved(mean="def mean(n): return 7.0"))
    (course.root / "submitted" / "ivy" / "toys" / "toys.ipynb").unlink()
    (course.root / "submitted" / "ivy" / "toys").rmdir()
    before = {name: result(grades(course), name) for name in ("bob", "ivy")}
    status, out, _ = run("regrade", "--yes")
    assert status == 1
    assert (
        "bob stays as it was: " in out and "nothing is kept of this notebook as it is now: autograder grade toys" in out
    )
    assert "new stays as it was: " in out and "new" not in rows(grades(course))
    assert "ivy stays as it was: there is no submission of this name" in out
    assert {name: result(grades(course), name) for name in before} == before
    assert rows(grades(course))["ada"]["score"] == "8.5"


def test_a_changed_probe_needs_grading(course, run):
    change(course, "probes_hidden", PROBES_HIDDEN, "range(7)", "range(8)")
    before = snapshot(course.root / "grades")
    status, out, err = run("regrade", "--yes")
    assert (status, out.strip()) == (2, "") and snapshot(course.root / "grades") == before
    assert "no recording of it is kept" in err and err.endswith("autograder grade toys grades anew\n") and err.count("\n") == 1


def test_without_grades_there_is_nothing_to_judge(course, run, tmp_path):
    status, _, err = run("regrade", "--yes", "--output", tmp_path / "no")
    assert status == 2 and "holds no grades of this class: grade it first: autograder grade toys" in err
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("damage", ["", "[]", '{"student": "bob"}'])
def test_a_damaged_result_is_named(course, run, damage):
    (grades(course) / "results" / "bob.json").write_text(damage)
    status, _, err = run("regrade", "--yes")
    assert status == 2 and "bob.json is damaged: delete it and grade the student again" in err


def test_what_a_person_changed_stays(course, run):
    path = grades(course) / "results" / "bob.json"
    by_hand = json.loads(path.read_text())
    by_hand["checks"][0]["points"], by_hand["score"] = 0.5, 5.0
    path.write_text(json.dumps(by_hand))
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    status, out, _ = run("regrade", "--yes")
    assert status == 1 and "bob stays as it was: was changed by hand" in out
    assert result(grades(course), "bob") == by_hand and rows(grades(course))["bob"]["score"] == "5"


def test_a_refusal_stays_one_and_replaces_no_grade(course, run):
    before = result(grades(course), "kim")
    path = course.root / "submitted" / "ada" / "toys" / "toys.ipynb"
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    status, out, _ = run("regrade", "--yes")
    assert status == 1 and "ada stays as it was: " in out and "links are not followed" in out
    assert rows(grades(course))["ada"]["score"] == "6.5" and rows(grades(course))["bob"]["maximum"] == "8.5"
    assert "kim" not in out and result(grades(course), "kim") == before | {"maximum": 8.5}


def test_interrupted_while_it_writes_it_is_finished_the_next_time(course, run, monkeypatch):
    change(course, "test_public", TEST_PUBLIC, *DEARER)
    write, left = grade.write_whole, iter(range(3))

    def interrupted(path, text):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(grade, "write_whole", interrupted)
        status, _, err = run("regrade", "--yes")
    assert status == 130 and "run the same command again" in err
    assert run("regrade", "--yes")[0] == 0
    finished = texts(grades(course))
    run("grade")
    assert texts(grades(course)) == finished and rows(grades(course))["ada"]["score"] == "8.5"


def test_an_old_hint_stays_where_a_new_mistake_was_not_observed(course, run):
    """The new one may explain bob's answers better; to know, it has to run, and so it waits for `grade`."""
    new = """
@mistake(of="double", caught_by="test_doubles")
def squares_numbers(x):
    \"\"\"A new hint.\"\"\"
    return x.__mul__(x)
"""
    (course.tests / "mistakes.py").write_text(MISTAKES.replace(*REWORDED) + new)
    status, out, _ = run("regrade", "--yes")
    assert status == 0 and "keep the hints they had" in out and "autograder grade toys" in out
    page = (grades(course) / "feedback" / "bob.html").read_text()
    assert "That is a square." in page and "A new hint." not in page
    assert {check["mistake"] for check in result(grades(course), "bob")["checks"]} == {"", "squares"}
