"""Colab: the badge and the first cell of a released notebook, and what that cell calls.

On Colab a notebook comes alone; `fetch_module` fetches the rest of its released folder. Anywhere else the cell looks
whether the package is there, and is this one: package registries have another `autograder`.
"""

import http.client
import io
import json
import os
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from autograder.errors import NotebookError

MAX_BYTES = 200 * 2**20  # of the archive, and of what is unpacked from it
SECONDS = 60
COLAB_BADGE = """\
[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/{repository}/blob/{branch}/release/{module}/{notebook})

On Colab, first save your own copy (File, Save a copy in Drive), and hand in the file from File, Download, Download .ipynb.
Else it runs on Linux and macOS, and on Windows in WSL.

Version {version}
"""
NO_BADGE = """\
This notebook runs on Linux and macOS, and on Windows in WSL. For Colab there is no badge to click yet: the course has not
said where its files are (`repository` in `course.toml`).

Version {version}
"""
NEWEST = "https://raw.githubusercontent.com/{repository}/{branch}/release/{module}/checks/module.json"
COLAB_CELL = """\
# Set-up. On Colab: installs the course's package, fetches checks/ and data/. Anywhere else: looks for the package.
import subprocess
import sys

ARCHIVE = "{archive}"  # where the package is; empty while the course has not said


class SetUp(Exception):
    def _render_traceback_(self):
        return [str(self)]


if "google.colab" in sys.modules:
    if not ARCHIVE:
        raise SetUp("The course has not said yet where Colab finds its files: ask your instructor, or work on a laptop.")
    pip = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", ARCHIVE{packages}], capture_output=True, text=True)
    if pip.returncode:
        raise SetUp(f"{{pip.stderr}}\\nThe course's package was not installed. Run this cell again in a minute.")

try:
    from autograder import fetch_module, look_for_newer
except Exception as error:
    if type(error).__name__ == "NotHere":  # the course's package itself, which says what it needs
        raise
    missing = isinstance(error, ModuleNotFoundError) and error.name == "autograder"
    why = "" if missing else ": autograder is another one"
    first = "" if missing else "%pip uninstall --yes autograder {distribution}, then "
    address = ARCHIVE or "ADDRESS (your instructor gives it)"
    raise SetUp(
        f"The course's package is not in this Python{{why}}. In a new cell run {{first}}%pip install {{address}}, then restart "
        "the kernel."
    ) from None

if "google.colab" in sys.modules:
    fetch_module(ARCHIVE, "{module}")
look_for_newer("{notebook}", "{version}", "{newest}")
"""


def fetch_module(archive: str, module: str) -> None:
    """Unpacks release/<module>/ from the repository's zip `archive` into <module>/, and makes it the working folder.

    A folder that was fetched before is used again: after a restart nothing is downloaded.

    Raises:
        NotebookError: no connection, a wrong or damaged archive, another thing of that name; one line with the mend.
    """
    folder = Path.cwd() if Path.cwd().name == module else Path.cwd() / module
    if _name_of(folder) != module:
        if folder.exists():
            raise NotebookError(
                f"{folder} is there, but is not the released {module}: rename it, then run this cell again."
            )
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
            fetch_release(archive, module, Path(scratch)).rename(folder)
    os.chdir(folder)
    there = [f"{name}/" for name in ("checks", "data") if (folder / name).is_dir()]
    print(f"working in {folder}: {' and '.join(there)} {'are' if len(there) > 1 else 'is'} there")


def fetch_release(archive: str, module: str, scratch: Path) -> Path:
    """Unpacks release/<module>/ from the zip at the address `archive` into `scratch`, and gives its folder.

    Raises:
        NotebookError: as `fetch_module`.
    """
    return _unpack(_download(archive), module, scratch)


def _name_of(folder: Path) -> str | None:
    """The module that a released folder says it is."""
    try:
        name: str | None = json.loads((folder / "checks" / "module.json").read_text(encoding="utf-8"))["module"]
        return name
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _download(archive: str) -> bytes:
    try:
        with urllib.request.urlopen(archive, timeout=SECONDS) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotebookError(
            f"{archive} could not be fetched ({error}): run this cell again in a minute; if that does not help, tell your "
            "instructor."
        ) from None
    if len(data) > MAX_BYTES:
        raise NotebookError(
            f"{archive} is larger than {MAX_BYTES >> 20} MiB, so it is not the course's: tell your instructor."
        )
    return data


def _unpack(data: bytes, module: str, scratch: Path) -> Path:
    """Unpacks the module's files and no others; zipfile itself keeps them inside `scratch` and makes no links."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = [entry for entry in file.infolist() if entry.filename.split("/")[1:3] == ["release", module]]
            if sum(entry.file_size for entry in members) > MAX_BYTES:
                raise zipfile.BadZipFile("too large")
            file.extractall(scratch, members)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
        raise NotebookError(f"the download is damaged ({error}): run this cell again.") from None
    found = [folder for folder in scratch.glob(f"*/release/{module}") if _name_of(folder) == module]
    if len(found) != 1:
        raise NotebookError(f"the archive holds no release/{module}/: tell your instructor.")
    return found[0]
