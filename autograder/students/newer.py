"""Whether a newer version of the notebook is out: `look_for_newer(…)` in its first cell.

What lies beside the notebook says so at once; what the course's address says comes in the background, and whoever is offline
neither waits nor is told.
"""

import contextlib
import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

SECONDS = 10
MAX_BYTES = 2**20  # of a release's module.json
NEWER = "A newer version of this notebook is out ({newest}, yours is {version}): {command} takes over all of your work."

_told: dict[str, str] = {}


def look_for_newer(notebook: str, version: str, address: str = "") -> None:
    """Prints a line where the `checks/` beside the notebook are of a newer version than the notebook, which has `version`.

    Args:
        address: of the newest release's module.json; empty where none is known. What it says `check` tells.
    """
    _told.clear()
    beside: Any = {}
    with contextlib.suppress(OSError, ValueError):
        beside = json.loads((Path.cwd() / "checks" / "module.json").read_text(encoding="utf-8"))
    if line := _newer(beside, notebook, version):
        print(line)
    elif address:
        threading.Thread(target=_ask, args=(address, notebook, version), daemon=True).start()


def told() -> str:
    """The line that `check` adds; empty where nothing newer is known."""
    return _told.get("line", "")


def _ask(address: str, notebook: str, version: str) -> None:
    # no network, or another page in its place: then nothing is known
    with contextlib.suppress(Exception), urllib.request.urlopen(address, timeout=SECONDS) as answer:
        _told["line"] = _newer(json.loads(answer.read(MAX_BYTES)), notebook, version)


def _newer(about: Any, notebook: str, version: str) -> str:
    """The line, where `about` is of a release that came after `version`; what does not know it is no later one."""
    own = about["notebooks"].get(notebook) if isinstance(about, dict) and isinstance(about.get("notebooks"), dict) else about
    versions, newest = (own.get(name) for name in ("versions", "version")) if isinstance(own, dict) else (None, None)
    if not isinstance(versions, dict) or version not in versions or newest == version:
        return ""
    command = f"`autograder update {notebook}`"
    if not about.get("archive"):
        command = f"get the new one's zip; `autograder update {notebook} ZIP`"
    return NEWER.format(newest=newest, version=version, command=command)
