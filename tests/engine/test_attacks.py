"""The attack corpus fails, as root and as an ordinary user: `attacks.py` strikes, `corpus.py` watches, here it is judged."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from attacks import ATTACKS, KEPT, LEAK, NAIVE, NOT_RUN, OPEN
from corpus import marks, strikes

from autograder.classes.submissions import Submission, find_submissions
from autograder.course.course import Module
from autograder.errors import Unreadable
from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import MAX_NOTEBOOK_BYTES

NOBODY = 65534
USERS = ["root", "user"] if hasattr(os, "getuid") and os.getuid() == 0 else ["user"]
SECONDS = 30  # an attack may take: a few probes, each up to the limit; one that only waits is tried once more, alone

needs_walls = pytest.mark.skipif(bool(sandbox.missing_walls()), reason="the sandbox cannot be built here")


def start(user: str, *how: str) -> tuple[Path, subprocess.Popen]:
    """Starts corpus.py in an empty course, and gives the place of its report."""
    base = Path(tempfile.mkdtemp(prefix="corpus-"))  # not pytest's own folder, which is closed to others
    base.chmod(0o755)
    course, report = base / "course", base / "course" / "report.json"
    course.mkdir()
    who = []
    if user == "user" and os.getuid() == 0:
        who = [str(NOBODY)]
        os.chown(course, NOBODY, NOBODY)
    command = [sys.executable, str(Path(__file__).with_name("corpus.py")), *how, str(course), str(report), *who]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # they are for the run around it
    return report, subprocess.Popen(command, stderr=subprocess.PIPE, env=env)


@pytest.fixture(scope="session")
def seen():
    """What was seen of every attack, by user, and of the controls; all strike at the same time, each in its own course."""
    started = {user: start(user) for user in USERS} | {"controls": start("user", "--controls")}
    found = {}
    for user, (report, process) in started.items():
        error = process.communicate(timeout=600)[1].decode()
        assert process.returncode == 0, error
        found[user] = json.loads(report.read_text())
        shutil.rmtree(report.parents[1])
    return found


STRIKES = [(user, attack) for user in USERS for attack in strikes(user != USERS[0])]


@needs_walls
@pytest.mark.parametrize(("user", "attack"), STRIKES, ids=[f"{attack.name}-{user}" for user, attack in STRIKES])
def test_attack_fails(attack, user, seen):
    outcome = seen[user][attack.name]
    assert "crash" not in outcome, "the grader itself fell"
    assert set(outcome["marks"]) == marks(attack) != set(), "it did not come to its decisive lines: nothing was tried"
    assert outcome["status"] == attack.status, outcome["reason"]
    assert outcome["points"]["double"] == 0, "points without an answer"
    assert outcome["points"]["label"] == 0, "the expected value was found"
    if attack.spares:
        assert outcome["points"]["total"] == 2, f"an attack inside double cost total its points: {outcome['states']}"
    assert outcome["seen"] == [], "a secret was seen"
    assert outcome["changed"] == [] and outcome["outside"] == [], "a file was touched"
    assert outcome["left"] == [], "a process survived"
    assert outcome["arrived"] == 0, "a connection was made"
    for shown in (outcome["page"], outcome["terminal"], outcome["csv"]):
        assert "<script" not in shown and "onerror=alert(1)>" not in shown
        assert not any(ord(c) < 32 and c != "\n" or c in "\x7f\x9b\u202e\u2066" for c in shown)
        assert "LEAKED" not in shown and "PROBE-SECRET" not in shown, "a hidden probe was carried out"
    assert attack.goal != LEAK or "crashed" not in outcome["page"], "how its hidden process ended was carried out"
    assert outcome["next"] == 4, "the next submission suffered"
    assert outcome["seconds"] < SECONDS, "it held the grader up"


@needs_walls
@pytest.mark.parametrize("name", sorted(OPEN))
def test_attack_succeeds_without_walls(name, seen):
    outcome = seen["controls"][name]
    if name == "change-modes":
        assert "PermissionError" in outcome["crash"], "the grader cannot write in its own course any more"
    else:
        assert any(outcome[sign] for sign in ("seen", "changed", "outside", "left", "arrived"))


@needs_walls
@pytest.mark.parametrize("name", sorted(NAIVE))
def test_attack_succeeds_on_a_naive_grader(name, seen):
    assert any(seen["controls"][name].values())


@needs_walls
def test_the_naive_grader_grades(seen):
    assert seen["controls"]["right"].pop("points")
    assert not any([*seen["controls"]["right"].values(), *seen["controls"]["wrong"].values()])


@needs_walls
@pytest.mark.parametrize("name", sorted(KEPT))
def test_what_the_attack_carries_comes_to_the_grader(name, seen):
    assert KEPT[name] in seen[USERS[0]][name]["kept"]


def test_every_attack_has_a_control_or_a_reason():
    assert sorted([*OPEN, *NAIVE, *KEPT, *NOT_RUN]) == sorted(attack.name for attack in ATTACKS)
    assert all(marks(attack) for attack in ATTACKS)


def test_the_corpus_is_of_size():
    assert len(ATTACKS) >= 50
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert all(attack.goal and attack.mechanism and attack.cell.strip() for attack in ATTACKS)


# --- tricks with files ------------------------------------------------------------------------------------------------


def course(root: Path) -> Module:
    (root / "source/toy").mkdir(parents=True)
    (root / "source/toy/toy.py").write_text("# %%")
    (root / "solutions/toy").mkdir(parents=True)
    (root / "solutions/toy/toy.ipynb").write_text("the solutions")
    (root / "submitted").mkdir()
    return Module(root, "toy")


def link_notebook(root: Path) -> None:
    (root / "submitted/mallory/toy").mkdir(parents=True)
    (root / "submitted/mallory/toy/toy.ipynb").symlink_to(root / "solutions/toy/toy.ipynb")


def link_folder(root: Path) -> None:
    (root / "submitted/mallory").mkdir()
    (root / "submitted/mallory/toy").symlink_to(root / "solutions/toy")


def link_student(root: Path) -> None:
    (root / "submitted/mallory").symlink_to(root / "solutions")


def link_nowhere(root: Path) -> None:
    (root / "submitted/mallory/toy").mkdir(parents=True)
    (root / "submitted/mallory/toy/toy.ipynb").symlink_to("/nonexistent")


def folder_for_notebook(root: Path) -> None:
    (root / "submitted/mallory/toy/toy.ipynb").mkdir(parents=True)


def pipe_for_notebook(root: Path) -> None:
    (root / "submitted/mallory/toy").mkdir(parents=True)
    os.mkfifo(root / "submitted/mallory/toy/toy.ipynb")


TRICKS = [link_notebook, link_folder, link_student, link_nowhere, folder_for_notebook, pipe_for_notebook]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_file_trick_is_refused(trick, tmp_path):
    module = course(tmp_path)
    trick(tmp_path)
    (submission,) = find_submissions(module, [])
    assert submission.student == "mallory" and submission.problem


def test_a_file_of_holes_is_not_read_into_memory(tmp_path):
    path = tmp_path / "toy.ipynb"
    with path.open("wb") as file:
        file.truncate(MAX_NOTEBOOK_BYTES * 1000)
    with pytest.raises(Unreadable, match="too large"):
        Submission("mallory", path).read()
