"""A mistake that a student makes again, in another week.

Two mistakes are the same when they have one name and, with it, one hint (as those of tests/common/ have, which several
modules share), one function or one exercise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Made:
    """A mistake that was named in a function of one week's module."""

    module: str
    mistake: str
    function: str
    exercise: str
    hint: str

    def same_as(self, other: "Made") -> bool:
        """Whether it is the same mistake, in whichever module."""
        pairs = (self.hint, other.hint), (self.function, other.function), (self.exercise, other.exercise)
        return self.mistake == other.mistake and any(one == another for one, another in pairs)


def mistakes_in(result: Mapping[str, Any]) -> list[Made]:
    """The mistakes named in a result in its JSON form, each once for a function."""
    made = (
        Made(result["module"], check["mistake"], check["function"], check["exercise"], check["hint"])
        for check in result["checks"]
        if check["mistake"]
    )
    return list(dict.fromkeys(made))


def told_again(here: Iterable[Made], before: Iterable[Made]) -> str:
    """What a student's page says of the mistakes `here` that they made `before`, the latest week last; may be nothing."""
    before = list(before)
    places = {each.function: same[-1].module for each in here if (same := [old for old in before if each.same_as(old)])}
    if not places:
        return ""
    said = " and ".join(f"`{function}` (as in {module})" for function, module in places.items())
    many = len(places) > 1
    first = "Mistakes that you made before are" if many else "A mistake that you made before is"
    return f"{first} here again, in {said}: compare the {'hints' if many else 'hint'} with what you mended then."
