"""What a module is written with, all of it from here.

    # tests/<module>/probes_public.py, probes_hidden.py: run in the sandbox, know no answers
    from autograder.authoring import probe

    @probe("mean")
    def means(student, draw):
        return {"of two": student.mean([draw.random(), draw.random()])}

    # tests/<module>/test_public.py, test_hidden.py: run where no student code ever does
    from autograder.authoring import check, same

    @check("mean", points=1)
    def test_means(observed, expected):
        \"\"\"Divides by how many there are.\"\"\"
        same(observed.means["of two"], expected.means["of two"], "mean of two numbers")

    # tests/<module>/mistakes.py, alternatives.py: solutions, read as text
    from autograder.authoring import alternative, mistake

    @mistake(of="mean", caught_by="test_means")
    def forgets_to_divide(numbers):
        \"\"\"That is the sum, not the mean.\"\"\"
        return sum(numbers)

for            names
probes         `probe`, `attempt`, `printed`, `timing`; the simulated accelerator: `register`, `count_synchronisations`
checks         `check`, `remark`, `same`, `equal`, `require`, `wrapping`
both           what a recording holds beside plain values: `Tensor`, `Error`, `Other`
the catalogue  `mistake`, `alternative`
the training   `Recipe`, `Preset`, `Run`, `Setup`, of tests/<module>/training.py; see docs/training.md

In the sandbox there are the names for probes alone: no check and no answer is ever where a student's code runs.
"""

from typing import TYPE_CHECKING, Any

from autograder.course.catalogue import alternative, mistake
from autograder.course.checks import check, equal, remark, require, same, wrapping
from autograder.sandboxed import authoring as _probes
from autograder.sandboxed.authoring import Error, Other, Tensor, attempt, printed, probe, timing

if TYPE_CHECKING:
    from autograder.sandboxed.authoring import Preset, Recipe, Run, Setup, count_synchronisations, register

__all__ = [
    "Error",
    "Other",
    "Preset",
    "Recipe",
    "Run",
    "Setup",
    "Tensor",
    "alternative",
    "attempt",
    "check",
    "count_synchronisations",
    "equal",
    "mistake",
    "printed",
    "probe",
    "register",
    "remark",
    "require",
    "same",
    "timing",
    "wrapping",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(_probes, name)
    raise AttributeError(f"modules are not written with {name!r}: there are {', '.join(__all__)}")
