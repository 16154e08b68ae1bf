"""Judging: the checks of a module on one recording. No student code runs here, and torch is not needed."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autograder.course.checks import Check, Remark, measured_distances, wrong_signature
from autograder.errors import Mismatch, Unavailable
from autograder.grading.recordings import Observed, Recording
from autograder.grading.wrappings import Inside, undone_for
from autograder.sandboxed.recording import Error

PASSED, FAILED, NOT_GRADED = "passed", "failed", "not graded"


@dataclass(frozen=True)
class Verdict:
    """What one check says about one submission. `hint` is a known mistake's, `mistake` its name.

    `state` is passed, failed, crashed, timed out, out of memory, missing or not graded.
    """

    check: str
    function: str
    title: str
    public: bool
    state: str
    points: float
    maximum: float
    message: str = ""
    expected: str = ""
    found: str = ""
    look: str = ""
    mistake: str = ""
    hint: str = ""

    @property
    def told_state(self) -> str:
        """The state as the student reads it: a hidden check has two, else its ending would tell more than whether it holds."""
        return self.state if self.public or self.state in (PASSED, NOT_GRADED) else FAILED

    @property
    def wrong(self) -> bool:
        """Whether there was an answer, or an attempt at one, that a known mistake may explain."""
        return self.state not in (PASSED, "missing")

    @property
    def unexplained(self) -> bool:
        """Whether it is wrong, no known mistake explains it, and the grader is not at fault."""
        return self.wrong and self.state != NOT_GRADED and not self.mistake

    @property
    def asked(self) -> str:
        """What was asked, where the check says so; `message` says it together with what was expected and found."""
        return self.message.split(": expected ")[0] if self.expected else ""

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Judged:
    """A verdict with what the diagnosis and `verify` need: the probes it looked at, and its distances in tolerances."""

    verdict: Verdict
    probes: tuple[str, ...]
    distances: tuple[float, ...]


def judge(
    checks: Iterable[Check], observed: Mapping[bool, Recording], expected: Mapping[bool, Recording]
) -> list[Judged]:
    """One verdict for every check, from the public (True) and the hidden (False) recordings.

    A set that `observed` does not hold was not observed: its checks are "not graded". A right value in a wrong wrapping
    costs once a function: the first check that fails for it says what to return, the others judge what is inside.
    """
    checks = list(checks)
    undo, charged = undone_for(checks), set[str]()
    judged = []
    for check in checks:
        seen, wanted = observed.get(check.public), expected.get(check.public)
        one = _judge_one(check, seen, wanted)
        if one.verdict.state == FAILED and seen and wanted:
            inside = _judge_one(check, seen, wanted, Inside(seen, wanted, undo.get(check.function, ())))
            if inside.verdict != one.verdict:
                one = inside if check.function in charged else one
                charged.add(check.function)
        judged.append(one)
    return judged


def remarks_on(remarks: Iterable[Remark], observed: Recording, expected: Recording) -> dict[str, str]:
    """What there is to say on each function, by its name; a remark that has nothing to look at says nothing."""
    said: dict[str, str] = {}
    for remark in remarks:
        with contextlib.suppress(Exception):
            if remark.holds(Observed(observed), Observed(expected)) is True:
                said[remark.function] = f"{said.get(remark.function, '')} {remark.says}".strip()
    return said


def full_marks(check: Check) -> Verdict:
    """The verdict when the check holds."""
    return Verdict(check.name, check.function, check.title, check.public, PASSED, check.points, check.points)


def _judge_one(
    check: Check, observed: Recording | None, expected: Recording | None, seen: Observed | None = None
) -> Judged:
    """The verdict of one check, on what it is to see of `observed`: all of it as it came, where nothing else is given."""
    verdict = full_marks(check)
    if observed is None or expected is None:
        return Judged(replace(verdict, state=NOT_GRADED, points=0, message="was not observed"), (), ())
    seen, wanted = seen or Observed(observed), Observed(expected)
    with measured_distances() as distances:
        try:
            check.test(seen, wanted)
            verdict = _passed(verdict, seen.used, observed)
        except Unavailable as error:
            verdict = _unavailable(verdict, error, expected)
        except Mismatch as error:
            verdict = _failed(verdict, str(error), expected=error.expected, found=error.found, look=error.look)
        except AssertionError as error:
            verdict = _failed(verdict, str(error))
        except MemoryError:  # the judge's own limit: no verdict
            raise
        except Exception as error:  # a recording of a form the check did not think of is wrong, not a grader's crash
            verdict = _confused(verdict, check, error, expected)
    return Judged(verdict, tuple(seen.used), tuple(distances))


def _passed(verdict: Verdict, used: list[str], observed: Recording) -> Verdict:
    """The verdict, if the check has read an answer: nothing is right by not being looked at.

    Raises:
        Unavailable: all that it read is not there, and it went on nevertheless.
    """
    if not used:
        return replace(verdict, state=NOT_GRADED, points=0, message="this check read no answer: tell your instructor")
    if not any(observed.observations[probe].state == "returned" for probe in used):
        raise Unavailable(used[0], observed.observations[used[0]])
    return verdict


def _confused(verdict: Verdict, check: Check, error: Exception, expected: Recording) -> Verdict:
    """After an exception that is no finding of the check's: whose fault it is shows the reference's own recording."""
    said = f"({type(error).__name__}: {error})"
    if author_error(check, expected):
        message = clean(f"this check is broken {said}: tell your instructor")
        return replace(verdict, state=NOT_GRADED, points=0, message=message)
    mend = "compare what your function returns with what its docstring says"
    return _failed(verdict, f"the answer has another form than the contract's {said}: {mend}")


def author_error(check: Check, expected: Recording) -> Exception | None:
    """What the check raises on the reference's own recording, other than its own findings: no student's fault."""
    try:
        check.test(Observed(expected), Observed(expected))
    except AssertionError:
        return None
    except Exception as error:
        return error
    return None


def _unavailable(verdict: Verdict, error: Unavailable, expected: Recording) -> Verdict:
    observation = error.observation
    if expected.observations[error.probe].state != "returned":
        return replace(verdict, state=NOT_GRADED, points=0, message="the reference itself did not answer this probe")
    if observation.state == "raised":
        signature = wrong_signature(observation.error) if observation.error else ""
        said = f"is {signature}. Keep the first line as it was given" if signature else f"raised {observation.error}"
        return replace(verdict, state=FAILED, points=0, message=_plain(f"`{verdict.function}` {said}"))
    error_seen = observation.error or Error("", "")
    where = f" ({error_seen.where})" if error_seen.where else ""
    return replace(verdict, state=observation.state, points=0, message=_plain(error_seen.message + where))


def _failed(verdict: Verdict, message: str, **details: str) -> Verdict:
    plain: dict[str, Any] = {name: _plain(text) for name, text in details.items()}
    return replace(verdict, state=FAILED, points=0, message=_plain(message), **plain)


def _plain(text: str) -> str:
    return cut_paths(clean(text))


def cut_paths(text: str) -> str:
    """Absolute paths cut to the file's name: where the grader's Python and the course lie is no student's business."""
    return re.sub(r"(?<![\w.~/:<])/(?:[^\s/:'\"`()\[\]{}<>,;]+/)+", "…/", text)


def clean(text: str, limit: int = 1200) -> str:
    """Text of a submission made fit for a terminal and a page: no control characters, no bidirectional tricks."""
    text = re.sub(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", "�", text
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"
