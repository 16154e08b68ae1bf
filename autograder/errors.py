"""All exceptions of this package.

    exception               raised by                        shown by                    to
    Exception
    ├── CourseError         whatever reads the course, the   the command, one line       instructor, TA, student
    │   │                   class or the command line
    │   └── CheckError      `check` that cannot work here    the notebook, one line      student
    ├── NotebookError       the notebook's other helpers     the notebook, one line      student
    ├── ChecksFailed        `check` where nbgrader runs it   `nbgrader validate`         student
    ├── Missing             a stub that a probe calls        the verdict "missing"       student
    ├── AssertionError
    │   ├── Mismatch        a check that does not hold       the verdict "failed"        student
    │   └── Unavailable     a check without its observation  the verdict, with why       student
    ├── ImportError
    │   └── NotHere         the package, where it cannot     the command or notebook     student
    │                       work
    ├── RuntimeError
    │   ├── GraderFault     workers that fail                the status "not graded"     TA
    │   │   └── NotKept     what may not run and is not      `regrade`, by name          TA
    │   │                   kept
    │   └── SandboxUnavailable  walls that cannot be built   "not graded", `doctor`      TA
    └── ValueError
        ├── NoClaim         a file that is no claim          the claim's report          TA, student
        ├── Unreadable      a file that is no notebook       the status "refused"        TA, student
        └── Malformed       bytes that are no recording      never: what they claim      nobody
                                                             counts as crashed

Every message names what is wrong, where, and what to do next. Those of the sandboxed side are defined there, since it
imports nothing from here.
"""

from typing import TYPE_CHECKING

from autograder.sandboxed.errors import Malformed, Missing, SandboxUnavailable, Unreadable

if TYPE_CHECKING:
    from autograder.grading.recordings import Observation

__all__ = [
    "CheckError",
    "ChecksFailed",
    "CourseError",
    "GraderFault",
    "Malformed",
    "Mismatch",
    "Missing",
    "NoClaim",
    "NotHere",
    "NotKept",
    "NotebookError",
    "SandboxUnavailable",
    "Unavailable",
    "Unreadable",
]


class CourseError(Exception):
    """Something in the course or on the command line has to be mended; the message names it and the mend."""


class CheckError(CourseError):
    """`check` cannot work here; the message says why and how to mend it."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback: one line with the mend is enough."""
        return [f"check: {self}"]


class NotebookError(Exception):
    """Something that a student can mend, said in one line; a notebook shows it in place of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class ChecksFailed(Exception):
    """Public checks failed; raised only where nbgrader runs the notebook, which knows a failure by its exception."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Mismatch(AssertionError):
    """A check's finding, in the student's words: what was asked, what was expected, what came, where to look."""

    def __init__(self, what: str, expected: str, found: str, look: str = ""):
        super().__init__(f"{what}: expected {expected}, found {found}." + (f" {look}" if look else ""))
        self.what, self.expected, self.found, self.look = what, expected, found, look


class Unavailable(AssertionError):
    """A check asked for an observation that is not there; carries the reason to the verdict."""

    def __init__(self, probe: str, observation: "Observation"):
        super().__init__(str(observation.error) if observation.error else observation.state)
        self.probe, self.observation = probe, observation


class NotHere(ImportError):
    """The package cannot work here; the message says why and how to mend it."""

    def _render_traceback_(self) -> list[str]:
        return [f"autograder: {self}"]


class GraderFault(RuntimeError):
    """The grader failed, not the submission: it is "not graded", never a zero."""


class NotKept(GraderFault):
    """Something would have to run that is not in the store, and there are no workers to run it."""


class NoClaim(ValueError):
    """The file is no claim of a training run; the message says in which way and what to do."""
