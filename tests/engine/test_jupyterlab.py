"""The student's hour in a real JupyterLab, driven in headless Chromium: a wrong answer, its hint, a right one, packed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import chromium, free_port

from autograder.course.course import Course

pytestmark = pytest.mark.long

MODULE = "week08_densenet"
SCREENSHOT = "AUTOGRADER_SCREENSHOT"  # where to keep the picture of the wrong answer, e.g. docs/notebook.png
WRONG = "    return sum(tensor.numel() for tensor in net.state_dict().values())"
RIGHT = "    return sum(weight.numel() for weight in net.parameters() if weight.requires_grad)"


@pytest.fixture
def home(tmp_path) -> Path:
    """A student's folder: the released module, and nothing of the course around it."""
    return Path(shutil.copytree(Course.find(Path(__file__)).module(MODULE).release, tmp_path / MODULE))


@pytest.fixture
def lab(home):
    """The address of a JupyterLab in that folder."""
    port = free_port()
    settings = home.parent / "settings"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(settings / "config"),
        "JUPYTER_DATA_DIR": str(settings / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings / "lab"),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings / "workspaces"),
    }
    chosen = {
        "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, not only those in sight
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    for plugin, values in chosen.items():
        path = settings / "lab" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=",
        "--allow-root",
    ]
    with (home.parent / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}/lab/tree/{next(home.glob('*.ipynb')).name}"
    server.terminate()
    server.wait()


@pytest.fixture
def page(lab):
    with chromium() as page:
        for _ in range(300):
            try:
                page.goto(lab)
                break
            except Exception:  # it has not started yet
                page.wait_for_timeout(200)
        page.get_by_text("| Idle").wait_for()  # the kernel has started
        yield page


def cell(page, text: str):
    """The code cell whose text has `text` in it."""
    return page.locator(".jp-CodeCell").filter(has=page.locator(".jp-InputArea-editor", has_text=text)).first


def run(page, text: str):
    """Runs a cell as a student does, with Ctrl+Enter; gives the cell once its number shows that it has ended."""
    this = cell(page, text)
    this.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    this.locator(".jp-InputArea-prompt", has_text="[").filter(has_not_text="*").filter(has_not_text="[ ]").wait_for()
    return this


def write(page, function: str, line: str):
    """Puts `line` in the place of the last line of a function's cell, and runs it."""
    cell(page, f"def {function}").locator(".cm-line").last.click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    page.keyboard.press("Shift+Home")
    page.keyboard.type(line)
    run(page, f"def {function}")


def test_a_student_writes_checks_and_packs(page, home):
    run(page, "from autograder import TinyCIFAR10")
    run(page, "def count_parameters")
    checking = run(page, 'check("count_parameters")')
    checking.get_by_text("is not written yet").wait_for()

    write(page, "count_parameters", WRONG)
    checking = run(page, 'check("count_parameters")')
    checking.get_by_text("running statistics").wait_for()
    if SCREENSHOT in os.environ:
        checking.scroll_into_view_if_needed()
        page.screenshot(path=os.environ[SCREENSHOT])

    write(page, "count_parameters", RIGHT)
    checking = run(page, 'check("count_parameters")')
    checking.get_by_text("All public checks pass.").wait_for()
    marks = checking.locator(".ag-icon")
    assert set(marks.all_inner_texts()) == {"✓"}
    colour = marks.first.evaluate("icon => getComputedStyle(icon).color")  # "rgb(26, 127, 55)"
    red, green, blue = map(int, re.findall(r"\d+", colour))
    assert green > red and green > blue

    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.type("!autograder pack")
    page.keyboard.press("Control+s")
    run(page, "!autograder pack").get_by_text("hand in this file").wait_for()
    packed = home / "handin" / "densenet.ipynb"
    assert RIGHT.strip() in packed.read_text() and (home / "handin" / "densenet.receipt.json").is_file()
