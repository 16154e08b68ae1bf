"""The class's feedback pages, packed as a platform takes them back: Canvas, Moodle, or e-mail drafts.

    Canvas  doejane_123_456_feedback.html       who and which of their files, in the numbers that Canvas itself gave
    Moodle  Jane Doe_123_assignsubmission_file_week08_densenet.html
    e-mail  doejane.eml, a draft (X-Unsent), the page attached

Canvas finds the student by the first number and wants the second to be a file of that submission; Moodle finds the
student by the number behind the first underscore. Both pass over what they cannot place, so that whoever is not known
by such a name is left out here, by name.
"""

import email.policy
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage

from autograder.classes.collect import called
from autograder.classes.grade import feedback_file
from autograder.classes.platforms import Named
from autograder.course.course import Module
from autograder.errors import CourseError
from autograder.gradebook.export import Standing, read_standings
from autograder.gradebook.gradebook import ClassBook, existing_book
from autograder.grading.judge import clean
from autograder.grading.report import number

CANVAS_SAYS = (
    "Canvas hands the page out under the name of the student's own file, {}, say: tell students to rename it to .html, or to "
    "drag it into a browser"
)


@dataclass
class Packed:
    """The zip and what to say about it: `remarks` for information, `problems` to be looked at."""

    data: bytes = b""
    written: int = 0
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class LeftOut(Exception):
    """Why a student's page is not packed."""


Pack = Callable[[Standing, str], tuple[str, bytes]]  # a student and the page: the file's name and content


def pack(module: Module, target: str, partial: bool = False) -> Packed:
    """Packs the pages for `canvas`, `moodle` or `email`, with the gradebook's points as they are now.

    Args:
        partial: also pages of students who wait for a TA, or have no grade but a page that says why.

    Raises:
        CourseError: there is no gradebook, or what `autograder collect` kept is damaged.
    """
    standings, doubts, maximum = read_standings(module, partial)
    make: Pack = {
        "canvas": lambda: _for_canvas(called(module, "Canvas")),
        "moodle": lambda: _for_moodle(module, called(module, "Moodle")),
        "email": lambda: _for_email(module, maximum),
    }[target]()
    book, done, files = existing_book(module), Packed(problems=doubts), dict[str, bytes]()
    for standing in sorted(standings, key=lambda standing: standing.student):
        try:
            name, data = make(standing, page_of(book, standing, partial))
        except LeftOut as why:
            done.remarks.append(f"not packed: {clean(standing.student)}: {why}")
            continue
        if name in files:
            raise CourseError(f"two students are called {name!r} by the platform: mend collected.json")
        files[name] = data
    done.problems += book.named_strangers(standing.student for standing in standings)
    done.written = len(files)
    if target == "canvas" and files:
        done.remarks.append(CANVAS_SAYS.format(module.notebooks[0]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(name, files[name])
    done.data = out.getvalue()
    return done


def page_of(book: ClassBook, standing: Standing, partial: bool) -> str:
    """A student's page with the gradebook's points as they are now; `LeftOut` says why there is none."""
    if standing.score is None and not (partial and feedback_file(book.module.grades, standing.student).is_file()):
        raise LeftOut(standing.why)
    page = book.write_page(standing.student)
    if page is None:
        raise LeftOut(f"there is no page in {book.module.grades / 'feedback'}: grade again")
    return page


def _number_of(standing: Standing, names: dict[str, Named], platform: str) -> Named:
    if standing.student not in names:
        raise LeftOut(
            f"nothing of {platform}'s was collected for them, so that their number is not known: collect {platform}'s zip "
            "again with `autograder collect`"
        )
    return names[standing.student]


def _for_canvas(names: dict[str, Named]) -> Pack:
    def make(standing: Standing, page: str) -> tuple[str, bytes]:
        named = _number_of(standing, names, "Canvas")
        if not named.upload:
            raise LeftOut("Canvas takes feedback for an uploaded file alone, and this was a text or a link")
        return f"{named.whole.removesuffix(named.file)}feedback.html", page.encode()

    return make


def _for_moodle(module: Module, names: dict[str, Named]) -> Pack:
    def make(standing: Standing, page: str) -> tuple[str, bytes]:
        named = _number_of(standing, names, "Moodle")
        who = named.name.replace("_", " ")  # Moodle reads the number behind the first underscore
        return f"{who}_{named.number}_assignsubmission_file_{module.name}.html", page.encode()

    return make


def _for_email(module: Module, maximum: float) -> Pack:
    def make(standing: Standing, page: str) -> tuple[str, bytes]:
        if not standing.email:
            raise LeftOut(f"no e-mail address in the list of students: nbgrader db student add {standing.student} --email=…")
        draft = EmailMessage(policy=email.policy.SMTP)
        try:
            draft["To"] = Address(display_name=standing.name, addr_spec=standing.email)
        except (ValueError, IndexError, HeaderParseError):
            raise LeftOut(f"{clean(standing.email)!r} is no e-mail address: mend it with nbgrader db student add") from None
        draft["Subject"] = f"{module.name}: your feedback"
        draft["X-Unsent"] = "1"  # Outlook and others open it as a draft
        points = "" if standing.score is None else f" Points: {number(round(standing.score, 2))} of {number(maximum)}."
        draft.set_content(
            f"Hello{' ' + standing.name if standing.name else ''},\n\nyour feedback for {module.name} is attached: save the "
            f"page and open it in a browser.{points}\n"
        )
        draft.add_attachment(page, subtype="html", cte="base64", filename=f"{module.name}.html")
        return f"{standing.student}.eml", bytes(draft)

    return make
