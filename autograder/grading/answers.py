"""Reading what a worker answers. Its bytes are a stranger's: nothing in them is trusted but their form."""

import json
import re
import struct
from collections.abc import Iterator
from typing import Any

from autograder.errors import Malformed, Unreadable
from autograder.grading.recordings import Observation
from autograder.sandboxed import intact
from autograder.sandboxed.notebook import Code, HandedIn
from autograder.sandboxed.pictures import SHOWN
from autograder.sandboxed.recording import Bounds, Error, Tensor, decode
from autograder.sandboxed.sandbox import MEMORY_BYTES
from autograder.sandboxed.worker import TOO_MUCH_MEMORY

MOST_SECONDS = 1e6  # that any probe can have taken


def _frames(answer: bytes, bounds: Bounds) -> Iterator[dict[str, Any]]:
    """The values in a worker's answer; what is cut off, malformed or past the bounds ends the list."""
    place = 0
    while place + 4 <= len(answer):
        size = struct.unpack_from("<I", answer, place)[0]
        blob = answer[place + 4 : place + 4 + size]
        if len(blob) < size:
            return
        try:
            value = decode(blob, bounds=bounds)
        except Malformed:
            return
        if not isinstance(value, dict):
            return
        yield value
        place += 4 + size


def what_is_broken(state: str, answer: bytes) -> str:
    """Why nothing is known of a submission, however its process ended; empty where the first value says that the walls
    stand. Nothing of the submission runs before that."""
    first = next(_frames(answer, Bounds()), {})
    if "walls" in first:
        return ""
    return f"the sandbox could not be built: {first.get('broken', f'the process that was to build it {state}')}"


def replies(answer: bytes, bounds: Bounds) -> list[dict[str, Any]]:
    """The values that follow the first, which says that the walls stand."""
    return list(_frames(answer, bounds))[1:]


def read_answer(answer: bytes, asked: list[str], bounds: Bounds) -> tuple[list[Observation], tuple[Any, ...] | None]:
    """Observations of the probes asked, in their order, as far as they came; with unasked ones among them all are forged.

    The notes on the cells come first; None when they did not come. `bounds` is what the submission may still cost.
    """
    observations: list[Observation] = []
    notes: tuple[Any, ...] | None = None
    for value in replies(answer, bounds):
        if value.get("probe") == "" and not observations:
            notes = _plain_notes(value.get("notes"))
            continue
        name = value.get("probe")
        if len(observations) == len(asked) or name != asked[len(observations)]:
            return [_forged()] * len(asked), ()
        observations.append(_observation(value))
    return observations, notes


def _observation(value: dict[str, Any]) -> Observation:
    state, error, seconds = value.get("state"), value.get("error"), value.get("seconds")
    printed = value.get("printed", "")
    printed = printed if isinstance(printed, str) else ""
    if not isinstance(seconds, float) or not 0 <= seconds < MOST_SECONDS:
        return _forged()
    if state == "returned" and "value" in value:
        return Observation("returned", value["value"], None, seconds, printed)
    if state in ("raised", "missing", "out of memory") and isinstance(error, Error):
        return Observation(state, None, error, seconds, printed)
    return _forged()


def _forged() -> Observation:
    return Observation("crashed", None, Error("Forged", "the submission wrote into the grader's own answer"))


def read_json(value: Any) -> Any:
    """The JSON in a reader's answer, which carries texts of any length; None where there is none."""
    try:
        return json.loads(value.array.tobytes()) if isinstance(value, Tensor) else None
    except (ValueError, RecursionError):
        return None


def plain_code(value: Any) -> Code:
    """The code in a reader's answer, taken to be no more than text."""
    try:
        pieces = tuple((int(cell), min(max(int(line), 1), 100_000), str(text)) for cell, line, text in value["pieces"])
        notes = {int(cell): str(note)[:500] for cell, note in value["notes"].items()}
        stubs, homes, run = ({str(n): int(c) for n, c in value[what].items()} for what in ("stubs", "homes", "run"))
        absent, version = {str(n): str(why)[:500] for n, why in value["absent"].items()}, str(value["version"])[:8]
        return Code(pieces, stubs, notes, homes, absent, run, version)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreadable("could not be read: the answer of the process that read it is damaged") from None


def plain_contents(value: dict[str, Any]) -> list[HandedIn]:
    """The cells in a reader's answer, taken to be no more than text and pictures in base64."""
    try:
        return [
            HandedIn(
                "code" if cell["kind"] == "code" else "markdown",
                str(cell["source"]),
                str(cell["grade_id"]),
                str(cell["id"]),
                tuple((kind, content) for kind, content in cell["shown"] if _is_shown(kind, content)),
            )
            for cell in read_json(value["contents"])
        ]
    except (KeyError, TypeError, ValueError):
        raise Unreadable("could not be read: the answer of the process that read it is damaged") from None


def _is_shown(kind: Any, content: Any) -> bool:
    if kind not in SHOWN or not isinstance(content, str):
        return False
    return not kind.startswith("image/") or bool(re.fullmatch(r"[A-Za-z0-9+/=\s]+", content))


def _plain_notes(notes: Any) -> tuple[tuple[str, str], ...]:
    pairs = notes if isinstance(notes, list) else []
    return tuple(
        (str(pair[0])[:40], str(pair[1])[:500]) for pair in pairs[:2000] if isinstance(pair, list) and len(pair) == 2
    )


def ended(state: str, limit: float, seconds: float = 0.0) -> Observation:
    name, error = {
        "timed out": ("timed out", Error("Timeout", f"it ran longer than {limit:g} s and was stopped")),
        TOO_MUCH_MEMORY: ("out of memory", Error("OutOfMemory", f"it used more than {MEMORY_BYTES:,} bytes")),
        "crashed: SIGKILL": (
            "out of memory",
            Error("OutOfMemory", "the system stopped it, most often for its memory"),
        ),
        f"crashed: exit status {intact.STATUS}": (
            "crashed",
            Error("Tampered", "the submission exchanged functions of the libraries, or of the grader, by which it is observed"),
        ),
        "finished": ("crashed", Error("Ended", "the process ended by itself before the answer was complete")),
    }.get(state, ("crashed", Error("Crash", f"the process that ran it {state}")))
    return Observation(name, None, error, seconds)
