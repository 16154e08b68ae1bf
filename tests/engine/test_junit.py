"""`autograder grade --junit`: the report of a class, its schema, what students may read; and the exit status."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from conftest import needs_walls
from toy_course import solved

from autograder import cli
from autograder.grading.grader import Graded
from autograder.grading.judge import Verdict
from autograder.grading.report import Result, junit_xml

SCHEMA = xmlschema.XMLSchema(Path(__file__).parent / "junit.xsd")
CLASS = {
    "ada": solved(),
    "bob": solved(double="def double(x): return x * x"),
    "ivy": solved(mean="def mean(n): raise ValueError('<&\\x00\\uffff' + str(n))"),
    "kim": b"{",
}


@pytest.fixture
def report(toy, shared, tmp_path, monkeypatch):
    """Runs `autograder grade toy --junit` on some of the class; gives the exit status and the suites."""
    monkeypatch.chdir(toy.root)

    def run(*students: str, below: str = "") -> tuple[int, dict[str, ElementTree.Element]]:
        paths = [tmp_path / f"{student}.ipynb" for student in students]
        for path in paths:
            path.write_bytes(CLASS[path.stem])
        out = tmp_path / "junit.xml"
        options = ["--output", tmp_path / "out", "--junit", out, *(["--fail-below", below] if below else [])]
        status = cli.main(["grade", "toy", *map(str, [*paths, *options])])
        SCHEMA.validate(out)
        return status, {suite.get("name"): suite for suite in ElementTree.parse(out).getroot()}

    return run


def findings(suite: ElementTree.Element) -> dict[str, tuple[str, str]]:
    """By check: the finding's element and its first line."""
    return {f"{case.get('classname')}: {case.get('name')}": (e.tag, e.get("message")) for case in suite for e in case}


@needs_walls
def test_every_check_is_a_case_and_a_refused_file_an_error(report):
    status, suites = report(*CLASS)
    counts = {name: [suite.get(key) for key in ("tests", "failures", "errors")] for name, suite in suites.items()}
    assert counts == {
        "toy: ada": ["5", "0", "0"],
        "toy: bob": ["5", "2", "0"],
        "toy: ivy": ["5", "2", "0"],
        "toy: kim": ["1", "0", "1"],
    }
    assert status == 1 and all(len(suite) == int(suite.get("tests")) for suite in suites.values())
    assert findings(suites["toy: ada"]) == {}
    (tag, message) = findings(suites["toy: kim"])["toy: refused"]
    assert tag == "error" and "is not a notebook" in message


@needs_walls
def test_of_a_hidden_check_the_report_tells_the_title_alone(report):
    suite = report("bob", "ivy")[1]["toy: ivy"]
    assert findings(suite)["toy.mean: Takes the mean of many."] == ("failure", "A hidden check of `mean`: failed.")
    public = findings(suite)["toy.mean: Takes the mean of two."][1]
    assert "ValueError: <&\ufffd\ufffd[1.0, 2.0]" in public
    assert "secret" not in ElementTree.tostring(suite, encoding="unicode")


@needs_walls
@pytest.mark.parametrize(
    ("students", "below", "status"),
    [
        ("ada bob", "", 0),
        ("ada", "100", 0),
        ("ada bob", "100", 3),
        ("bob", "69", 0),  # 4.5 of 6.5 points are 69.2 percent
        ("bob", "70", 3),
        ("bob kim", "70", 1),
    ],
)
def test_the_exit_status_tells_who_is_below(report, students, below, status):
    assert report(*students.split(), below=below)[0] == status


def test_what_the_grader_could_not_judge_is_an_error_not_a_failure():
    verdicts = (
        Verdict("test_a", "f", "Title.", True, "not graded", 0, 1, message="was not observed"),
        Verdict("test_b", "f", "Other.", False, "missing", 0, 1, message="the secret question"),
    )
    text = junit_xml([Result("ada", "toy", "graded", 2.0, graded=Graded(verdicts, ()))])
    SCHEMA.validate(text)
    (suite,) = ElementTree.fromstring(text)
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")
    assert findings(suite)["toy.f: Title."] == ("error", "was not observed") and "secret" not in text
