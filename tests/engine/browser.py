"""Headless Chromium for the tests that look at a page as a person does; all of them start it here."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from typing import Any

from conftest import needs

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
PATIENCE = 40_000  # milliseconds until something that does not appear is given up
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """An empty page, playwright's, of a fresh Chromium."""
    needs("chromium", CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
