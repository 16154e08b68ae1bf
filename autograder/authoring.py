"""What a module is written with, all of it from here.

    # tests/<module>/probes_public.py, probes_hidden.py: run in the sandbox, know no answers
    from autograder.authoring import probe

    @probe("count_parameters")
    def counts(student, draw):
        return {"small": student.count_parameters(small_net(width=draw.randint(3, 6)))}

    # tests/<module>/test_public.py, test_hidden.py: run where no student code ever does
    from autograder.authoring import check, same

    @check("count_parameters", points=1)
    def test_counts(observed, expected):
        \"\"\"Counts what is trained.\"\"\"
        same(observed.counts["small"], expected.counts["small"], "count_parameters(net)")

    # tests/<module>/mistakes.py, alternatives.py: solutions, read as text
    from autograder.authoring import alternative, mistake

    @mistake(of="count_parameters", caught_by="test_counts")
    def counts_buffers(net):
        \"\"\"`state_dict()` also holds buffers: saved, never trained.\"\"\"
        return sum(tensor.numel() for tensor in net.state_dict().values())

for            names
probes         `probe`, `attempt`, `printed`, `timing`; the simulated accelerator: `register`, `count_synchronisations`
checks         `check`, `remark`, `same`, `require`
both           what a recording holds beside plain values: `Tensor`, `Error`, `Other`
the catalogue  `mistake`, `alternative`

In the sandbox there are the names for probes alone: no check and no answer is ever where a student's code runs.
"""

from typing import TYPE_CHECKING, Any

from autograder.course.catalogue import alternative, mistake
from autograder.course.checks import check, remark, require, same
from autograder.sandboxed import authoring as _probes
from autograder.sandboxed.authoring import Error, Other, Tensor, attempt, printed, probe, timing

if TYPE_CHECKING:
    from autograder.sandboxed.authoring import count_synchronisations, register

__all__ = [
    "Error",
    "Other",
    "Tensor",
    "alternative",
    "attempt",
    "check",
    "count_synchronisations",
    "mistake",
    "printed",
    "probe",
    "register",
    "remark",
    "require",
    "same",
    "timing",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(_probes, name)
    raise AttributeError(f"modules are not written with {name!r}: there are {', '.join(__all__)}")
