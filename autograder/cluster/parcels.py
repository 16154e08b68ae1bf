"""What crosses between the grader and a node: bytes, of one plain form both ways. Nothing in them is unpickled."""

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from autograder.course.imports import brought
from autograder.course.needs import Needs
from autograder.errors import Malformed
from autograder.files import write_whole
from autograder.sandboxed import PACKAGED_DATA

MAX_PARCEL_BYTES = 2**31  # of one shard's notebooks, or of its recordings

Parcel = tuple[dict[str, Any], list[bytes]]


def pack(about: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """`about`, which must be JSON, and `blobs`, to which it may refer by their places, as one piece of bytes."""
    head = json.dumps([about, [len(blob) for blob in blobs]]).encode()
    return b"".join([struct.pack("<I", len(head)), head, *blobs])


def unpack(data: bytes) -> Parcel:
    """What `pack` was given.

    Raises:
        Malformed: it is cut off, too long, or no parcel.
    """
    try:
        size = struct.unpack_from("<I", data)[0]
        about, sizes = json.loads(data[4 : 4 + size])
        place, blobs = 4 + size, []
        for length in map(int, sizes):
            blobs.append(data[place : place + length])
            place += length
        if place != len(data) or not isinstance(about, dict) or any(int(length) < 0 for length in sizes):
            raise ValueError(f"{len(data):,} bytes came, {place:,} were announced")
        return about, blobs
    except (ValueError, TypeError, RecursionError, struct.error) as error:
        raise Malformed(f"an answer that is no parcel: {error}") from None


def bring(tests: Path, names: Iterable[str], needs: Needs) -> Parcel:
    """The files `names` of a module's folder `tests`, what they import, and the module's own data; see `lay_out`."""
    root = tests.parents[1]
    files = {path.relative_to(root).as_posix(): path for path in brought(tests, names)}
    data = {name: f"data/{name}" for name in needs.own}
    files |= {data[name]: path for name, path in needs.own.items()}
    packaged = {name: path for name, path in needs.data.items() if name not in needs.own}
    about = {
        "files": {name: place for place, name in enumerate(files)},
        "folder": tests.relative_to(root).as_posix(),
        "data": data,
        "packaged": {name: path.relative_to(PACKAGED_DATA).as_posix() for name, path in packaged.items()},
        "packages": needs.packages,
    }
    return about, [path.read_bytes() for path in files.values()]


def lay_out(parcel: Parcel, root: Path) -> tuple[Path, Needs]:
    """Writes what `bring` gave into `root`; the module's folder there, and what its code needs around it."""
    about, blobs = parcel
    for name, place in about["files"].items():
        write_whole(root / name, blobs[place])
    data = {name: PACKAGED_DATA / packaged for name, packaged in about["packaged"].items()}
    data |= {name: root / file for name, file in about["data"].items()}
    return root / about["folder"], Needs(data, tuple(about["packages"]))
