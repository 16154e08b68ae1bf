"""What nbgrader's commands say when something is wrong: one line each, and the detail in the course's log."""

import sqlite3
import sys
import traceback
from pathlib import Path

import pytest
from nbgrader.apps import api
from nbgrader.apps.autogradeapp import AutogradeApp
from nbgrader.apps.dbapp import DbAssignmentAddApp
from nbgrader.apps.nbgraderapp import NbGraderApp
from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.coursedir import CourseDirectory
from sqlalchemy.exc import OperationalError
from toy_course import write_course

from autograder.errors import CourseError
from autograder.gradebook.words import LOG, OF_A_MODULE, _OneLine, one_line, speak_plainly


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for kind in (AutogradeApp, DbAssignmentAddApp, ZipCollectApp):
        monkeypatch.setattr(kind().log, "filters", [])  # a process has one course, and here several
    root = write_course(tmp_path / "course", "toys")
    speak_plainly(root)
    return root


def started(kind: type, root: Path, *arguments: str) -> str:
    """What an app fails with, before it does anything."""
    app, said = kind(), []
    app.coursedir, app.extra_args = CourseDirectory(root=str(root)), list(arguments)

    def fail(text: str, *words: object) -> None:
        said.append(text % words)
        raise SystemExit(1)

    app.fail = fail
    with pytest.raises(SystemExit):
        app.start()
    return said[0]


@pytest.mark.parametrize("kind", [AutogradeApp, DbAssignmentAddApp, ZipCollectApp])
def test_a_mistyped_module_is_told_before_anything_is_done(root, kind):
    before = sorted(root.rglob("*"))
    assert started(kind, root, "toy") == "no module is called 'toy': did you mean toys?"
    assert sorted(root.rglob("*")) == before


def test_the_commands_are_nbgrader_s():
    names = {app.name for app, _ in NbGraderApp.subcommands.values()} | {DbAssignmentAddApp.name}
    assert names >= OF_A_MODULE


def test_an_archive_that_is_not_there_is_told(root):
    assert f"{root}/downloaded/toys/archive/ is not there: put the files" in started(ZipCollectApp, root, "toys")


def test_a_traceback_is_one_line_and_its_detail_is_kept(root, capsys):
    try:
        raise ZeroDivisionError("a\nb")
    except ZeroDivisionError as error:
        sys.excepthook(type(error), error, None)
    printed = capsys.readouterr().err
    assert printed.startswith("nbgrader: ZeroDivisionError: a: run it once more") and printed.count("\n") == 1
    kept = (root / LOG).read_text()
    assert "test_a_traceback_is_one_line" in kept and "ZeroDivisionError: a\nb" in kept


def test_what_is_known_is_said_as_it_is(root):
    assert one_line(root, CourseError("mend this")) == "mend this" and not (root / LOG).exists()


def test_a_locked_gradebook_is_said_with_its_mend(root, monkeypatch):
    monkeypatch.setattr("autograder.gradebook.gradebook.LOCK_SECONDS", 0.1)
    with sqlite3.connect(root / "gradebook.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        said = one_line(root, OperationalError("SELECT", {}, Exception("database is locked")))
    assert "wait for the other nbgrader or autograder" in said and not (root / LOG).exists()


def test_formgrader_s_buttons_show_no_traceback(root):
    app = AutogradeApp()
    app.coursedir = CourseDirectory(root=str(root))

    def start() -> None:
        try:
            raise KeyError("x")
        except KeyError:
            app.log.error(traceback.format_exc())
            app.log.error("Please see the the above traceback for details")
            app.log.warning("Removing existing assignment: ada")
            raise

    app.start = start
    result = api.capture_log(app)
    assert not result["success"] and result["error"] == "KeyError: 'x'"
    assert "Traceback" not in result["log"] and "traceback" not in result["log"] and "Removing" not in result["log"]
    assert str(root / LOG) in result["log"] and "Traceback" in (root / LOG).read_text()
    assert not any(isinstance(one, _OneLine) for one in app.log.filters)
