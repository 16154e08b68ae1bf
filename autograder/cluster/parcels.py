"""What crosses between the grader and a node: bytes, of one plain form both ways. Nothing in them is unpickled."""

import json
import struct
from collections.abc import Sequence
from typing import Any

from autograder.errors import Malformed

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
