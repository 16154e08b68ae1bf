"""Plain `pytest tests/<module>` judges the reference; `--submission FILE` any notebook.

Gives every check its `observed` and `expected`. The submission runs in the sandbox, never in the process of pytest.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autograder.defaults import SANDBOX, VERIFY_SEED

if TYPE_CHECKING:
    from autograder.grading.recordings import Observed, Recording

    Recordings = Callable[[Path], tuple[dict[bool, Recording], dict[bool, Recording]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder")
    group.addoption("--submission", type=Path, metavar="FILE", help="the notebook to judge (default: the reference)")
    group.addoption("--seed", type=int, default=VERIFY_SEED, help="of the hidden checks' inputs")
    group.addoption("--sandbox", choices=("full", "none"), default=SANDBOX, help="none: only for code you trust")


@pytest.fixture(scope="session")
def _recordings(request: pytest.FixtureRequest) -> "Recordings":
    """For a module's folder what was seen of the reference and of the submission, made when its first check asks."""
    from autograder.course.course import Course
    from autograder.grading.grader import Grader
    from autograder.grading.recordings import Recording

    options = request.config.option

    @functools.cache
    def recordings(folder: Path) -> tuple[dict[bool, "Recording"], dict[bool, "Recording"]]:
        module = Course.find(folder).module(folder.name)
        if options.submission is None and len(module.parts) > 1:
            expected = {True: Recording({}), False: Recording({})}
            for part in module.parts:
                with Grader(part, options.seed, sandbox=options.sandbox) as grader:
                    for public, seen in grader.expected.items():
                        expected[public] = Recording({**expected[public].observations, **seen.observations})
            return expected, expected
        with Grader(module, options.seed, sandbox=options.sandbox) as grader:
            if options.submission is None:
                return grader.expected, grader.expected
            if not options.submission.is_file():
                raise pytest.UsageError(f"--submission {options.submission}: there is no such file")
            return grader.expected, grader.observe(grader.read(options.submission.read_bytes()))

    return recordings


@pytest.fixture
def expected(request: pytest.FixtureRequest, _recordings: "Recordings") -> "Observed":
    """The reference's recording under the probes of this check's file."""
    return _seen(request, _recordings(request.path.parent)[0])


@pytest.fixture
def observed(request: pytest.FixtureRequest, _recordings: "Recordings") -> "Observed":
    """The submission's recording: the notebook given by --submission, else the reference itself."""
    return _seen(request, _recordings(request.path.parent)[1])


def _seen(request: pytest.FixtureRequest, recordings: dict[bool, "Recording"]) -> "Observed":
    from autograder.course.checks import HIDDEN_FILE
    from autograder.grading.recordings import Observed

    return Observed(recordings[request.path.stem != HIDDEN_FILE])
