"""Collecting: what platforms call files, whose they are, which counts, what is kept, and what is not believed."""

import io
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from toy_course import notebook, solved, write_course

from autograder import cli
from autograder.authors.release import released_cells
from autograder.classes import archives, collect
from autograder.classes.collect import LATENESS, TIMESTAMP
from autograder.classes.platforms import Listed, speakable
from autograder.course.course import Course, Module
from autograder.course.notebooks import make_notebook
from autograder.errors import CourseError
from autograder.gradebook.collecting import listed
from autograder.grading.contents import Contents

MAC = b"\0\5\x16\7" + b"\0" * 80
JANE_COMPOSED = unicodedata.normalize("NFC", "Zoë Müller")
OLD, NEW = solved(), solved(mean="def mean(numbers):\n    return float(sum(numbers) / len(numbers))")


@pytest.fixture
def module(tmp_path) -> Module:
    return Course(write_course(tmp_path / "course")).module("toy")


@pytest.fixture
def archive(module) -> Path:
    folder = module.root / "downloaded" / "toy" / "archive"
    folder.mkdir(parents=True)
    return folder


def stub(module: Module) -> bytes:
    cells = released_cells(Contents(module))
    points = {"arithmetic": 4.0, "averages": 2.5}
    return nbformat.writes(make_notebook(cells, [cell.stub for cell in cells], points)).encode()


def zipped(files: dict[str, bytes], times: dict[str, tuple[int, ...]] | None = None) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (times or {}).get(name, (2026, 11, 20, 12, 0, 0)))
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, content)
    return data.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def submitted(module: Module) -> dict[str, bytes]:
    return {path.parts[-3]: path.read_bytes() for path in (module.root / "submitted").glob("*/toy/toy.ipynb")}


def tree(module: Module) -> dict[str, bytes]:
    """All that collecting wrote."""
    return {
        str(path.relative_to(module.root)): path.read_bytes()
        for top in ("submitted", "downloaded")
        for path in (module.root / top).rglob("*")
        if path.is_file() and "archive" not in path.parts
    }


def kept(module: Module, student: str) -> set[bytes]:
    return {path.read_bytes() for path in (module.root / "downloaded/toy/kept" / student).glob("*")}


def said(done: collect.Collected) -> str:
    return "\n".join(text for _, text in collect.lines(done))


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "student", "when"),
    [
        ("doejane_12345_67890_toy.ipynb", "doejane", "in time, says the platform"),
        ("doejane_LATE_12345_67890_toy-2.ipynb", "doejane", "late, time unknown"),
        ("anon_x7Kq2_67890_toy.ipynb", "anon_x7Kq2", "in time, says the platform"),
        ("Jane van Doe_123456_assignsubmission_file_toy.ipynb", "Jane van Doe", "unknown"),
        ("Jane van Doe_123456_assignsubmission_file/toy.ipynb", "Jane van Doe", "unknown"),
        ("Jane van Doe_123456_assignsubmission_file_/toy.ipynb", "Jane van Doe", "unknown"),
        ("Jane Doe - toy.ipynb", "Jane Doe", "unknown"),
        ("Jane Doe - Copy of toy.ipynb", "Jane Doe", "unknown"),
        ("ada/toy.ipynb", "ada", "unknown"),
        ("ada/toy/toy.ipynb", "ada", "unknown"),
        ("ada/homework/final/toy (1).ipynb", "ada", "unknown"),
        ("ada/toy-DESKTOP-1AB2.ipynb", "ada", "unknown"),
        ("ada/toy.IPYNB", "ada", "unknown"),
        ("ada/toy.ipynb.txt", "ada", "unknown"),
        ("ada.ipynb", "ada", "unknown"),
        ("ada_toy.ipynb", "ada", "unknown"),
    ],
)
def test_the_names_that_platforms_give(module, archive, name, student, when):
    put(archive, {name: solved()})
    done = collect.collect(module, [archive])
    assert [(row.student, row.when, row.problems) for row in done.rows] == [(student, when, [])]
    assert submitted(module) == {student: solved()} and not done.problems


@pytest.mark.parametrize(
    "files",
    [
        {"doejane_1_2_toy.zip": {"toy/toy.ipynb": OLD}},
        {"doejane_1_2_toy.zip": {"toy.ipynb": OLD, "__MACOSX/._toy.ipynb": MAC, ".DS_Store": MAC}},
        {"submissions.zip": {"doejane_1_2_toy.zip": {"my week/toy.zip": {"toy.ipynb": OLD}}}},
        {
            "submissions.zip": {
                "submissions/doejane_1_2_toy.ipynb": OLD,
                "__MACOSX/submissions/._doejane_1_2_toy.ipynb": MAC,
            }
        },
        {"toy.zip": {"toy/doejane/toy.ipynb": OLD, "toy/roe/toy.ipynb": OLD}},
        {"class.zip": {"group 1/doejane/toy.ipynb": OLD, "group 1/roe/toy.ipynb": OLD}},
        {"doejane.zip": {"toy.ipynb": OLD, "._toy.ipynb": MAC}},
    ],
)
def test_zips_in_zips_and_what_a_mac_leaves(module, archive, files):
    def packed(content: dict | bytes) -> bytes:
        return zipped({k: packed(v) for k, v in content.items()}) if isinstance(content, dict) else content

    put(archive, {name: packed(content) for name, content in files.items()})
    done = collect.collect(module, [archive])
    assert submitted(module)["doejane"] == OLD and set(submitted(module)) <= {"doejane", "roe"}
    assert not done.problems


def test_a_platforms_zip_is_named_itself(module, archive, tmp_path):
    (tmp_path / "CS 101 week 8.zip").write_bytes(zipped({"doejane_1_2_toy.ipynb": OLD, "roe_3_4_toy.ipynb": NEW}))
    collect.collect(module, [tmp_path / "CS 101 week 8.zip"])
    assert submitted(module) == {"doejane": OLD, "roe": NEW}


def test_namesakes_are_told_apart_by_the_number(module, archive):
    put(archive, {"doejane_123_456_toy.ipynb": OLD, "doejane_223_556_toy.ipynb": NEW})
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane_123": OLD, "doejane_223": NEW}
    assert "more than one is called doejane" in said(done)
    put(archive, {"roe_1_2_toy.ipynb": OLD})
    collect.collect(module, [archive])
    put(archive, {"roe_7_9_toy.ipynb": NEW})
    collect.collect(module, [archive])  # who was there first keeps the name
    assert {who: submitted(module)[who] for who in ("roe", "roe_7")} == {"roe": OLD, "roe_7": NEW}


def test_another_name_under_one_number(module, archive):
    put(archive, {"doejane_1_20_toy.ipynb": OLD})
    collect.collect(module, [archive])
    shutil.rmtree(archive)
    put(archive, {"roejane_1_30_toy.ipynb": NEW})
    collect.collect(module, [archive])  # the person is the same
    assert submitted(module) == {"doejane": NEW}
    put(archive, {"ada_7_20_toy.ipynb": OLD, "bob_7_20_toy.ipynb": NEW})
    collect.collect(module, [archive])  # two at once are two people
    assert submitted(module) == {"doejane": NEW, "ada": OLD, "bob": NEW}


def test_names_are_matched_with_the_list_in_any_unicode_form(module, archive):
    students = [
        Listed("zm1", frozenset({JANE_COMPOSED, "Müller Zoë"})),
        Listed("jd", frozenset({"Jane Doe", "Doe Jane"})),
    ]
    decomposed = unicodedata.normalize("NFD", JANE_COMPOSED)
    put(archive, {f"{decomposed}_12_assignsubmission_file_toy.ipynb": OLD, "doejane_LATE_1_2_toy.ipynb": NEW})
    put(archive, {"zoé_9_9_toy.ipynb": OLD})
    done = collect.collect(module, [archive], students)
    assert submitted(module) == {"zm1": OLD, "jd": NEW, "zoé": OLD}
    assert "zoé: not in the list of students" in said(done)


def test_the_lists_numbers_tell_namesakes_apart(module, archive, tmp_path):
    roster = tmp_path / "worksheet.csv"
    roster.write_text(
        "Identifier,Full name,Email address,Username\n"
        "Participant 123,Jane Doe,j1@x.org,jd1\nParticipant 124,Jane Doe,j2@x.org,jd2\nParticipant 125,Ann Roe,a@x.org,ar\n"
    )
    put(archive, {f"Jane Doe_{n}_assignsubmission_file_toy.ipynb": data for n, data in ((123, OLD), (124, NEW))})
    collect.collect(module, [archive])
    assert set(submitted(module)) == {"Jane Doe_123", "Jane Doe_124"}
    done = collect.collect(module, [archive], listed(module.root, roster))  # the folders move to their right names
    assert submitted(module) == {"jd1": OLD, "jd2": NEW} and done.missing == ["ar"]


def test_a_list_as_canvas_exports_it(module, tmp_path):
    roster = tmp_path / "canvas.csv"
    roster.write_text('Student,ID,SIS Login ID,toy (7)\n    Points Possible,,,6.5\n"Doe, Jane",123,jd1,\n')
    (one,) = listed(module.root, roster)
    assert one.student == "jd1" and one.numbers == {"123"} and "Doe, Jane" in one.names


@pytest.mark.parametrize(
    "name", ["../../x", "a/b\\c", "x" * 300, "é" * 150, "[x]*?", ".hidden", "\udcfc", "a\nb\u202e", ""]
)
def test_any_name_becomes_one_that_a_folder_can_have(name):
    safe = speakable(name)
    assert safe and not set(safe) & set('/\\[]*?\n\u202e"') and len(safe.encode()) <= 180 and not safe.startswith(".")


# --- which counts -----------------------------------------------------------------------------------------------------


def test_the_newest_attempt_counts_and_the_others_are_kept(module, archive):
    put(
        archive,
        {"doejane_1_20_toy.ipynb": OLD, "doejane_1_30_toy-1.ipynb": NEW, "doejane_1_31_notes.ipynb": notebook("1")},
    )
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": NEW} and kept(module, "doejane") == {OLD, notebook("1")}
    assert "doejane_1_20_toy.ipynb was not taken: it is older" in said(done)
    assert "doejane_1_31_notes.ipynb was not taken: it is another notebook" in said(done)


def test_the_worked_on_file_counts_before_a_newer_one_as_it_was_released(module, archive):
    put(
        archive,
        {"doejane_1_20_toy.ipynb": OLD, "doejane_1_30_toy-1.ipynb": stub(module), "roe_2_3_toy.ipynb": stub(module)},
    )
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": OLD, "roe": stub(module)}
    assert "toy-1.ipynb was not taken: it is as it was released" in said(done)
    assert done.problems and "roe_2_3_toy.ipynb is as it was released, nothing is written in it" in said(done)


def test_two_files_of_which_nothing_says_which_is_newer_are_named(module, archive):
    put(archive, {"ada/toy.ipynb": OLD, "ada/toy (1).ipynb": NEW})
    done = collect.collect(module, [archive])
    assert "nothing says which is newer" in said(done) and len(kept(module, "ada")) == 1


def test_a_second_download_adds_what_is_new_and_keeps_what_it_replaces(module, archive):
    put(archive, {"doejane_1_20_toy.ipynb": OLD, "roe_2_21_toy.ipynb": OLD})
    collect.collect(module, [archive])
    first = tree(module)
    assert [row.taken for row in collect.collect(module, [archive]).rows] == ["unchanged"] * 2 and tree(module) == first
    by_hand = module.root / "submitted/roe/toy/toy.ipynb"
    by_hand.write_bytes(b"mended by a TA")
    put(archive, {"doejane_LATE_1_40_toy-1.ipynb": NEW, "kim_3_41_toy.ipynb": OLD})
    collect.collect(module, [archive])
    assert submitted(module) == {"doejane": NEW, "roe": b"mended by a TA", "kim": OLD}
    assert OLD in kept(module, "doejane")
    assert (module.root / "submitted/doejane/toy" / LATENESS).read_text() == "late"
    shutil.rmtree(archive)
    put(archive, {"doejane_1_20_toy.ipynb": OLD, "roe_2_50_toy.ipynb": NEW})
    done = collect.collect(module, [archive])  # a download from before, but of roe there is a newer one
    assert submitted(module) == {"doejane": NEW, "roe": NEW, "kim": OLD}
    assert "it is older than what was collected before" in said(done) and b"mended by a TA" in kept(module, "roe")


def test_what_lies_there_from_elsewhere_is_kept(module, archive):
    put(
        module.root,
        {"submitted/doejane/toy/toy.ipynb": OLD, "submitted/doejane/toy/timestamp.txt": b"2026-11-20 10:00:00 UTC"},
    )
    put(archive, {"doejane_1_20_toy.ipynb": NEW})
    collect.collect(module, [archive])
    assert submitted(module) == {"doejane": NEW} and kept(module, "doejane") == {OLD, b"2026-11-20 10:00:00 UTC"}
    assert not (module.root / "submitted/doejane/toy" / TIMESTAMP).exists()


@pytest.mark.parametrize("writes", range(9))
def test_ended_in_the_middle_and_again(module, archive, tmp_path, monkeypatch, writes):
    put(archive, {"doejane_1_20_toy.ipynb": OLD, "doejane_1_30_toy-1.ipynb": NEW, "roe_2_3_toy.ipynb": OLD})
    put(module.root, {"submitted/roe/toy/toy.ipynb": b"from elsewhere"})
    shutil.copytree(module.root, tmp_path / "twin")
    twin = Course(tmp_path / "twin").module("toy")
    collect.collect(twin, [archive])
    write, left = collect.write_whole, [writes]

    def interrupted(path, data):
        left[0] -= 1
        if left[0] == -1:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(collect, "write_whole", interrupted)
    try:
        collect.collect(module, [archive])
    except KeyboardInterrupt:
        assert not list((module.root / ".autograder").glob("collecting-*"))
    monkeypatch.undo()
    collect.collect(module, [archive])
    assert tree(module) == tree(twin)


# --- when -------------------------------------------------------------------------------------------------------------


def moodle(*people: str) -> dict[str, bytes]:
    return {f"{who}_{n}_assignsubmission_file_toy.ipynb": solved() for n, who in enumerate(people)}


def test_moodles_times_become_time_stamps(module, tmp_path):
    files = moodle("Ada", "Bob")
    times = dict(zip(files, [(2026, 11, 20, 10, 0, 0), (2026, 11, 21, 23, 0, 0)], strict=True))
    (tmp_path / "m.zip").write_bytes(zipped(files, times))
    done = collect.collect(module, [tmp_path / "m.zip"])
    here = datetime(2026, 11, 20, 10).astimezone()
    assert [row.when for row in done.rows] == [f"{here:%Y-%m-%d %H:%M:%S%z}", "2026-11-21 23:00:00" + f"{here:%z}"]
    from nbgrader.utils import parse_utc

    text = (module.root / "submitted/Ada/toy" / TIMESTAMP).read_text().strip()
    assert parse_utc(text) == here.astimezone(UTC).replace(tzinfo=None)


def test_a_time_in_utc_is_taken_before_the_local_one():
    entry = zipfile.ZipInfo("x", (2026, 11, 20, 10, 0, 0))
    entry.extra = struct.pack("<HHBi", 0x5455, 5, 1, 1763632800)
    assert archives._time_of(entry) == datetime.fromtimestamp(1763632800, UTC)


@pytest.mark.parametrize("times", [(2026, 11, 20, 10, 0, 0), (1980, 1, 1, 0, 0, 0), (2090, 1, 1, 0, 0, 0)])
def test_times_of_the_packing_say_nothing(module, tmp_path, times):
    files = moodle("Ada", "Bob")
    (tmp_path / "m.zip").write_bytes(zipped(files, dict.fromkeys(files, times)))
    done = collect.collect(module, [tmp_path / "m.zip"])
    assert [row.when for row in done.rows] == ["unknown"] * 2
    assert "handed in at an unknown time: Ada, Bob" in said(done)


# --- what is not believed ---------------------------------------------------------------------------------------------


def one_student(content: bytes, name: str = "kim_3_4_toy.zip") -> dict[str, bytes]:
    return {name: content, "doejane_1_2_toy.ipynb": OLD}


def test_a_broken_zip_costs_one_student(module, archive):
    put(archive, one_student(b"PK\x03\x04" + b"\0" * 20))
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": OLD} and done.problems
    assert "kim: kim_3_4_toy.zip is a damaged zip" in said(done)


def test_what_is_no_notebook_is_named(module, archive):
    put(
        archive,
        {
            "ada_1_2_toy.py": b"import math",
            "bob_2_3_toy.pdf": b"%PDF",
            "eve_3_4_text.html": b"<p>",
            "kim_4_5_toy.rar": b"",
        },
    )
    put(archive, {"lee_5_6_toy.ipynb": b"<!DOCTYPE html>", "stray.txt": b"", "toy.ipynb": OLD})
    done = collect.collect(module, [archive])
    assert [row.student for row in done.rows] == ["ada", "bob", "eve", "kim", "lee"]
    for words in (
        "ada: ada_1_2_toy.py is a program, not the notebook",
        "bob: bob_2_3_toy.pdf is no notebook",
        "eve: eve_3_4_text.html is no notebook",
        "kim: kim_4_5_toy.rar is an archive that is not opened here",
        "lee: lee_5_6_toy.ipynb is a web page saved under a notebook's name",
        "nobody's: toy.ipynb: its name tells no student",
    ):
        assert words in said(done)


@pytest.mark.parametrize(
    "name", ["../../../evil.ipynb", "/etc/evil.ipynb", "..\\evil.ipynb", "C:\\evil.ipynb", "a/../../toy.ipynb"]
)
def test_names_lead_nowhere(module, archive, name):
    before = set(module.root.parent.rglob("*"))
    put(archive, one_student(zipped({name: NEW})))
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": OLD} and "has a name that leads out of its archive" in said(done)
    new = set(module.root.parent.rglob("*")) - before
    assert not [path for path in new if "evil" in path.name]


def test_absurd_names_and_depths(module, archive):
    deep = zipped({"toy.ipynb": NEW})
    for _ in range(5):
        deep = zipped({"x.zip": deep})
    put(archive, one_student(zipped({"x" * 300 + ".ipynb": NEW})) | {"roe_5_6_toy.zip": deep})
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": OLD}
    assert "has a name of 306 characters" in said(done) and "is a zip 3 zips deep" in said(done)


def test_bombs_are_bounded(module, archive, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES_WITHIN", 20)
    monkeypatch.setattr(archives._Left.__init__, "__defaults__", (3 << 20, 20))
    put(archive, one_student(zipped({f"{n}.ipynb": b" " * (1 << 20) for n in range(5)})))
    put(archive, {"roe_5_6_toy.zip": zipped({f"{n}.ipynb": b"" for n in range(21)})})
    done = collect.collect(module, [archive])
    assert submitted(module)["doejane"] == OLD and "roe" not in submitted(module)
    assert "out of which more comes than a notebook" in said(done) and "holds 21 files, more than 20" in said(done)


def test_one_large_file_is_bounded(module, archive, monkeypatch):
    monkeypatch.setattr(archives._stage, "__defaults__", (1000, None))
    put(archive, {"kim_3_4_toy.ipynb": b" " * 2000, "doejane_1_2_toy.ipynb": OLD})
    done = collect.collect(module, [archive])
    assert submitted(module) == {} or "kim" not in submitted(module)
    assert "kim_3_4_toy.ipynb is larger than" in said(done)


def test_links_are_not_followed(module, archive, tmp_path):
    (archive / "kim_3_4_toy.ipynb").symlink_to("/etc/passwd")
    link = zipfile.ZipInfo("toy.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive / "roe_5_6_toy.zip", "w") as out:
        out.writestr(link, "/etc/passwd")
    (module.root / "submitted").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (module.root / "submitted/doejane").symlink_to(tmp_path / "elsewhere")
    put(archive, {"doejane_1_2_toy.ipynb": OLD})
    done = collect.collect(module, [archive])
    assert said(done).count("is a link, and links are not followed") == 2 and not list(
        (tmp_path / "elsewhere").iterdir()
    )
    assert "doejane: " in said(done) and "is no folder of its own" in said(done)


def test_encrypted_and_cut_off(module, archive):
    data = bytearray(zipped({"toy.ipynb": NEW}))
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.find(mark) + at] |= 1
    put(archive, one_student(bytes(data)) | {"roe_5_6_toy.zip": zipped({"toy.ipynb": os.urandom(5000)})[:3000]})
    done = collect.collect(module, [archive])
    assert submitted(module) == {"doejane": OLD}
    assert "is encrypted: ask for it without a password" in said(done) and "roe_5_6_toy.zip is a damaged zip" in said(
        done
    )


def test_nothing_to_collect(module, archive, tmp_path):
    with pytest.raises(CourseError, match="there is nothing in it"):
        collect.collect(module, [archive])
    with pytest.raises(CourseError, match="does not exist: name the zip"):
        collect.collect(module, [tmp_path / "no.zip"])
    put(module.root, {"downloaded/toy/collected.json": b"{"})
    put(archive, {"ada.ipynb": OLD})
    with pytest.raises(CourseError, match="collected.json is damaged: move it away"):
        collect.collect(module, [archive])


# --- the commands -----------------------------------------------------------------------------------------------------


def test_autograder_collect(module, archive, monkeypatch, capsys):
    monkeypatch.chdir(module.root)
    put(archive, {"doejane_1_2_toy.ipynb": OLD})
    assert cli.main(["collect", "toy"]) == 0
    assert "doejane_1_2_toy.ipynb" in capsys.readouterr().out and submitted(module) == {"doejane": OLD}
    put(archive, {"kim_3_4_toy.zip": b"PK"})
    assert cli.main(["collect", "toy", str(archive)]) == 1
    assert "kim_3_4_toy.zip is a damaged zip" in capsys.readouterr().out


@pytest.mark.long
def test_nbgrader_zip_collect_is_the_same(module, archive):
    shutil.copy(Path(__file__).parents[2] / "nbgrader_config.py", module.root)
    put(archive, {"doejane_1_2_toy.ipynb": OLD, "doejane_3_4_toy.ipynb": NEW, "kim_5_6_toy.zip": b"PK"})
    command = [sys.executable, "-m", "nbgrader", "zip_collect", "toy"]
    for _ in range(2):
        done = subprocess.run(command, cwd=module.root, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr
        assert "kim_5_6_toy.zip is a damaged zip" in done.stderr
    assert submitted(module) == {"doejane_1": OLD, "doejane_3": NEW}
    people = json.loads((module.root / "downloaded/toy/collected.json").read_text())["people"]
    assert people["Canvas 1 doejane"] == "doejane_1"
