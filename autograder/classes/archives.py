"""Reading what platforms hand out: folders, zips, zips in zips. No name in them becomes a path, and all sizes are bounded.

Only notebooks are copied, under names of our own; of all other files the names alone are kept.
"""

import hashlib
import os
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from autograder.classes.handed_in import ghost, notebook_name
from autograder.classes.platforms import numbered
from autograder.sandboxed.notebook import MAX_NOTEBOOK_BYTES

MAX_DEPTH = 3  # zips in zips
MAX_ENTRIES, MAX_ENTRIES_WITHIN = 100_000, 2_000  # of an archive, and of a zip that a student packed
MAX_ZIP_BYTES = 4 * MAX_NOTEBOOK_BYTES  # of a student's zip, and of all that comes out of it
MAX_RATIO = 200  # of all that comes out of a class's zip to the zip itself; a notebook shrinks to a tenth at best
MAX_PATH = 1_000  # characters
ARCHIVES = (".rar", ".7z", ".gz", ".tgz", ".tar", ".bz2", ".xz")
PACKING_SECONDS = 120  # entries whose times lie as near as this have the time of the packing
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """One file: `parts` are its name and those of what it lies in, from the outside; `staged` is a notebook's copy.

    `problem` says why it cannot be used; a file without a copy and without a problem is not a notebook.
    """

    parts: tuple[str, ...]
    staged: Path | None = None
    sha: str = ""
    when: datetime | None = None
    problem: str = ""


class _Refused(Exception):
    """A file that is not read; the message says why."""


@dataclass
class _Left:
    """How much may still come out of a student's zip."""

    bytes: int = MAX_ZIP_BYTES
    entries: int = MAX_ENTRIES_WITHIN


def read_archive(source: Path, scratch: Path) -> list[Found]:
    """All files of `source`, a zip, a folder or a notebook; notebooks are copied into `scratch`.

    The first part is the archive's own name, or nothing for a folder.
    """
    if source.is_dir():
        return list(_in_folder(source, ("",), scratch))
    return list(_file_on_disk(source, (source.name,), scratch, depth=0))


def _in_folder(folder: Path, parts: tuple[str, ...], scratch: Path) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(parts, problem=f"cannot be read ({error.strerror})")
        return
    for entry in entries:
        if ghost(entry.name):
            continue
        here = (*parts, entry.name)
        if entry.is_symlink():
            yield Found(here, problem="is a link, and links are not followed: put the file itself there")
        elif entry.is_dir():
            if len(here) > 40:
                yield Found(here, problem="is nested too deeply")
            else:
                yield from _in_folder(Path(entry.path), here, scratch)
        elif not entry.is_file():
            yield Found(here, problem="is not a regular file")
        else:
            yield from _file_on_disk(Path(entry.path), here, scratch, depth=1)


def _file_on_disk(path: Path, parts: tuple[str, ...], scratch: Path, depth: int) -> Iterator[Found]:
    try:
        if path.name.casefold().endswith(".zip"):
            # what lies at the top may be the platform's own zip of the class: as many files as it has, no bomb for that
            own = depth == 0 or (len(parts) == 2 and not numbered(path.name))
            large = _Left(max(MAX_ZIP_BYTES, MAX_RATIO * path.stat().st_size), MAX_ENTRIES)
            yield from _zip(path, parts, scratch, 0, large) if own else _zip(path, parts, scratch, 1, _Left())
        elif notebook_name(path.name):
            with path.open("rb") as file:
                yield _stage(file, parts, scratch, None)
        else:
            yield Found(parts, problem=_unopened(path.name))
    except _Refused as error:
        yield Found(parts, problem=str(error))
    except OSError as error:
        yield Found(parts, problem=f"cannot be read ({error.strerror or error})")


def _unopened(name: str) -> str:
    return "is an archive that is not opened here: unpack it" if name.casefold().endswith(ARCHIVES) else ""


# --- zips -------------------------------------------------------------------------------------------------------------


def _zip(path: Path, parts: tuple[str, ...], scratch: Path, depth: int, left: _Left) -> Iterator[Found]:
    """The files of a zip; `left` bounds what comes out of it. At depth 0 it is a class's, below a student's."""
    if depth > MAX_DEPTH:
        raise _Refused(f"is a zip {MAX_DEPTH} zips deep, and is not opened: unpack it")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > left.entries:
                raise _Refused(f"holds {len(entries):,} files, more than {left.entries:,}: hand in the notebook alone")
            left.entries -= len(entries)
            found = [each for entry in entries for each in _entry(archive, entry, parts, scratch, depth, left)]
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError) as error:
        raise _Refused(f"is a damaged zip ({error}): ask for it again") from None
    yield from found if depth else _without_packing_time(found)


def _entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, parts: tuple[str, ...], scratch: Path, depth: int, left: _Left
) -> Iterator[Found]:
    name = _decoded(entry)
    names = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not names or any(map(ghost, [part for part in names if part != ".."])):
        return
    here = (*parts, *names)
    try:
        if name.startswith(("/", "\\")) or ".." in names or names[0].endswith(":"):
            here = (*parts, *(part for part in names if part != ".."))
            raise _Refused("has a name that leads out of its archive, and was not read")
        if len(name) > MAX_PATH or max(len(part.encode("utf-8", "replace")) for part in names) > 255:
            raise _Refused(f"has a name of {len(name)} characters, and was not read")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _Refused("is a link, and links are not followed: hand in the file itself")
        is_zip = names[-1].casefold().endswith(".zip")
        if not is_zip and not notebook_name(names[-1]):
            yield Found(here, problem=_unopened(names[-1]))
            return
        if entry.flag_bits & 1:
            raise _Refused("is encrypted: ask for it without a password")
        with archive.open(entry) as file:
            staged = _stage(file, here, scratch, _time_of(entry), MAX_ZIP_BYTES if is_zip else MAX_NOTEBOOK_BYTES, left)
        if not is_zip:
            yield staged
        elif staged.staged:
            inner = list(_zip(staged.staged, here, scratch, depth + 1, left if depth else _Left()))
            yield from (
                replace(each, when=staged.when) for each in inner
            )  # within, the times are a student's computer's
    except _Refused as error:
        yield Found(here, problem=str(error))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, struct.error) as error:
        yield Found(here, problem=f"is damaged in its archive ({error}): ask for it again")


def _stage(
    file: IO[bytes],
    parts: tuple[str, ...],
    scratch: Path,
    when: datetime | None,
    limit: int = MAX_NOTEBOOK_BYTES,
    left: _Left | None = None,
) -> Found:
    """A copy of a file in `scratch`, never more than `limit` bytes, whatever size it claims."""
    digest, size = hashlib.sha256(), 0
    descriptor, path = tempfile.mkstemp(dir=scratch)
    with os.fdopen(descriptor, "wb") as copy:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if left is not None:
                left.bytes -= len(chunk)
            if size > limit:
                raise _Refused(f"is larger than {limit >> 20} MB unpacked: hand in the notebook alone, outputs cleared")
            if left is not None and left.bytes < 0:
                raise _Refused("lies in a zip out of which more comes than a notebook: hand in the notebook alone")
            digest.update(chunk)
            copy.write(chunk)
    return Found(parts, Path(path), digest.hexdigest(), when)


def _decoded(entry: zipfile.ZipInfo) -> str:
    """An entry's name: zips without the flag for UTF-8 hold it all the same where a Mac made them."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _time_of(entry: zipfile.ZipInfo) -> datetime | None:
    """When a file was last changed, as its zip says it: in UTC where that is there too, else in this machine's zone."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            return _likely(datetime.fromtimestamp(struct.unpack("<i", extra[5:9])[0], UTC))
        extra = extra[4 + size :]
    try:
        return _likely(datetime(*entry.date_time).astimezone())
    except (ValueError, OverflowError):
        return None


def _likely(when: datetime) -> datetime | None:
    return when if datetime(2000, 1, 1, tzinfo=UTC) < when < datetime.now(UTC) + timedelta(days=1) else None


def _without_packing_time(found: list[Found]) -> list[Found]:
    """The files of a platform's zip; times that all lie together are those of the packing, and say nothing."""
    times = [each.when for each in found if each.when]
    if times and max(times) - min(times) > timedelta(seconds=PACKING_SECONDS):
        return found
    return [replace(each, when=None) for each in found]
