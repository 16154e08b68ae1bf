"""Plain `pytest tests/<module>` judges the reference; `--submission FILE` any notebook.

Gives every check its `observed` and `expected`. The submission runs in the sandbox, never in the process of pytest.
"""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("autograder")
    group.addoption("--submission", type=Path, metavar="FILE", help="the notebook to judge (default: the reference)")
    group.addoption("--seed", type=int, default=1, help="of the hidden checks' inputs (default: 1)")
    group.addoption("--sandbox", choices=("full", "none"), default="full", help="none: only for code you trust")


@pytest.fixture(scope="session")
def _graders(request: pytest.FixtureRequest):
    """Graders by module, made when the first check of the module asks, closed at the end."""
    from autograder.course import Course
    from autograder.grading import Grader

    graders: dict[str, Grader] = {}

    def grader(path: Path) -> Grader:
        if path.name not in graders:
            module = Course.find(path).module(path.name)
            graders[path.name] = Grader(module, request.config.option.seed, sandbox=request.config.option.sandbox)
        return graders[path.name]

    yield grader
    for open_one in graders.values():
        open_one.__exit__()


@pytest.fixture
def expected(request: pytest.FixtureRequest, _graders):
    """The reference's recording under the probes of this check's file."""
    from autograder.observer import Observed

    return Observed(_graders(request.path.parent).expected[request.function.__check__.public])


@pytest.fixture
def observed(request: pytest.FixtureRequest, _graders, expected):
    """The submission's recording: the notebook given by --submission, else the reference itself."""
    from autograder.observer import Observed

    file = request.config.option.submission
    if file is None:
        return expected
    grader = _graders(request.path.parent)
    if not file.is_file():
        raise pytest.UsageError(f"--submission {file}: there is no such file")
    return Observed(grader.observe(grader.read(file.read_bytes()))[request.function.__check__.public])
