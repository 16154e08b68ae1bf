"""A toy course and workers for it, shared by all tests: starting workers takes seconds, for they import torch."""

import contextlib
import functools
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

import nbgrader.api
import pytest
import toy_course
from toy_course import WITH_IMAGES

from autograder.authors import release, verify
from autograder.classes import grade
from autograder.course.course import Course, Module
from autograder.course.needs import SLOW, Needs, needs_of
from autograder.grading import contents
from autograder.grading.contents import collect
from autograder.grading.gate import require_sound
from autograder.grading.grader import FILES, Grader
from autograder.grading.observer import Observer
from autograder.sandboxed.sandbox import missing_walls

FUNCTIONS = ["double", "quadruple", "mean"]
LIMIT = 1.5  # seconds for a probe; the toy's take microseconds, a busy machine's fork well under this

os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])  # nbgrader calls `alembic`
# for each new gradebook in a process that takes two seconds, and it answers the same: here it is asked once
nbgrader.api.get_alembic_version = functools.cache(nbgrader.api.get_alembic_version)

# The files that take a minute and more, the longest first: started last, one of them would leave a core idle at the end.
LONGEST = (
    "test_agreement.py",
    "test_install.py",
    "test_train.py",
    "test_nbgrader.py",
    "test_week08_training.py",
    "test_notebooks_of_the_course.py",
    "test_benchmarks.py",
    "test_new.py",
    "test_killed.py",
    "test_attacks.py",
    "test_for_tas_session.py",
    "test_two_notebooks.py",
)

NO_SKIPS = bool(os.environ.get("AUTOGRADER_NO_SKIPS"))  # set by .ci/run: what is missing there fails

needs_walls = pytest.mark.skipif(bool(missing_walls()) and not NO_SKIPS, reason="; ".join(missing_walls()))


def needs(package: str, there: object) -> None:
    """Skips the test that asks, unless what it needs of Debian's `package` is there."""
    if not there:
        (pytest.fail if NO_SKIPS else pytest.skip)(f"needs the system package {package}: apt-get install {package}")


def collected_once(folder: Path, kept: dict[str, list] = {}) -> list:  # noqa: B006  kept on purpose
    """The checks in a folder; the same files are collected once, since pytest takes a second for it."""
    text = "".join(path.read_text() for path in sorted(folder.glob("test_*.py")))
    if text not in kept:
        kept[text] = collect(folder)
    return kept[text]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the others stay in their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Module:
    """The toy module, in a course of its own."""
    return Course(toy_course.write_course(tmp_path_factory.mktemp("course"), source=WITH_IMAGES)).module("toy")


@pytest.fixture(scope="session")
def observers(toy):
    """Public and hidden observers of the toy with full walls; None of them keeps recordings."""
    needs = Needs(needs_of(toy).data, SLOW)  # of what some test's submission imports
    about = {"needs": needs, "limit": LIMIT, "workers": 2}
    made = {public: Observer(toy.tests, file, FUNCTIONS, **about) for public, file in FILES.items()}
    for observer in made.values():
        observer.start()
    yield made
    for observer in made.values():
        observer.close()


@pytest.fixture(scope="session")
def shared_grader(observers) -> type[Grader]:
    """A Grader that asks the shared workers in place of its own. Only for courses with the toy's probes."""

    class SharedGrader(Grader):
        def __init__(self, module, seed, **_):
            super().__init__(module, seed)

        @functools.cached_property
        def observers(self):
            about = {"store": Course(self.module.root).store, "released": self.contents.released, "needs": self.contents.needs}
            return {public: _twin(observer, about) for public, observer in observers.items()}

        def __enter__(self):
            require_sound(self.contents)
            return self

        def __exit__(self, *_):
            pass

    return SharedGrader


def _twin(observer: Observer, about: dict[str, Any]) -> Observer:
    """The same workers for another course; recordings are kept as that course's own grader would keep them."""
    twin = object.__new__(Observer)
    twin.__dict__ = {name: value for name, value in vars(observer).items() if name != "_fingerprint"} | about
    return twin


@pytest.fixture
def shared(monkeypatch, shared_grader) -> type[Grader]:
    """Lets `grade` and `verify` use the shared workers."""
    for module in (grade, verify):
        monkeypatch.setattr(module, "Grader", shared_grader)
    monkeypatch.setattr(contents, "collect", collected_once)
    return shared_grader


@pytest.fixture(scope="session")
def grader(toy, shared_grader) -> Grader:
    """A Grader of the toy under seed 7."""
    return shared_grader(toy, 7)


@contextlib.contextmanager
def imported_anew():
    """Lets a package of the name `toy` be imported from another folder, and forgets it afterwards."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "toy"}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture(scope="module", autouse=True)
def _forget_toys():
    """Each file of tests has courses of its own, whose checks are all imported as `toys`."""
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "toys"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def made(tmp_path_factory, observers) -> Path:
    """A course whose toy was released once, for real: the solved notebook was run."""
    root = toy_course.write_course(tmp_path_factory.mktemp("released"), source=WITH_IMAGES)
    with pytest.MonkeyPatch.context() as patch, imported_anew():
        patch.setattr(release, "public_observer", lambda *_: contextlib.nullcontext(observers[True]))
        release.release(Course(root).module("toy"))
    return root
