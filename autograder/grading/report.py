"""What is written about a submission: a JSON file for tools, an HTML page for the student, a CSV for the class."""

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from autograder.grading.grader import Graded
from autograder.grading.judge import NOT_GRADED, PASSED, Verdict, clean

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

SCHEMA = Path(__file__).parent / "result.schema.json"
ICONS = {PASSED: "✓", "failed": "✗", "missing": "○", NOT_GRADED: "?"}
GRADED, REFUSED = "graded", "refused"
SECTIONS = ("training", "claim")  # of a feedback page that are not made by grading, in their order
FROM_GRADEBOOK = ("score", "by hand", "due")  # the parts of a feedback page that the gradebook may replace
FOLDED, MAX_PRINTED = 3, 4000  # lines from either end in a terminal, and letters in all, of what a function printed
FAULT = "the grader failed, not you. Your instructor finds the reason in the autograder's output, and runs it again."


@dataclass(frozen=True)
class Result:
    """What became of one submission. `status` is graded, refused (the file's fault) or not graded (the grader's).

    `maximum` is what the checks give; `by_hand`, what people give beside them. `contact` is whom a student asks. `again`
    says which mistakes they have made before.
    """

    student: str
    module: str
    status: str
    maximum: float
    reason: str = ""
    note: str = ""
    graded: Graded | None = None
    notebook: str = ""
    seed: int | None = None
    by_hand: float = 0.0
    contact: str = ""
    again: str = ""

    @property
    def score(self) -> float | None:
        return self.graded.score if self.graded else None

    def as_dict(self, exercises: dict[str, list[str]]) -> dict[str, Any]:
        """The result in the form of `result.schema.json`."""
        verdicts = self.graded.verdicts if self.graded else ()
        return {
            "schema": 1,
            "student": self.student,
            "module": self.module,
            "status": self.status,
            "reason": self.reason,
            "note": self.note,
            "notebook_sha256": self.notebook,
            "seed": self.seed,
            "score": self.score,
            "maximum": self.maximum,
            "first_error": self.graded.first_error if self.graded else "",
            "exercises": [_exercise(name, functions, verdicts) for name, functions in exercises.items()]
            if verdicts
            else [],
            "checks": [{"exercise": _exercise_of(v.function, exercises), **v.as_dict()} for v in verdicts],
            "remarks": [{"function": f, "remark": text} for f, text in self.graded.remarks.items()]
            if self.graded
            else [],
            "cells": [{"cell": cell, "note": note} for cell, note in (self.graded.notes if self.graded else ())],
        }


def _exercise(name: str, functions: list[str], verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    mine = [verdict for verdict in verdicts if verdict.function in functions]
    return {"name": name, "points": sum(v.points for v in mine), "maximum": sum(v.maximum for v in mine)}


def _exercise_of(function: str, exercises: dict[str, list[str]]) -> str:
    return next(name for name, functions in exercises.items() if function in functions)


def result_json(result: Result, exercises: dict[str, list[str]]) -> str:
    return json.dumps(result.as_dict(exercises), indent=1, ensure_ascii=False) + "\n"


def grades_csv(results: Iterable[dict[str, Any]]) -> str:
    """One row for each result in its JSON form; a score that is not known is empty, never zero."""
    rows = [_row(result) for result in results]  # no more than this of each: a class's results need not fit in memory
    names = list(dict.fromkeys(name for _, points, _ in rows for name in points))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "status", "score", "maximum", *names, "reason"])
    for first, points, reason in rows:
        writer.writerow([*first, *(points.get(name, "") for name in names), reason])
    return out.getvalue()


def _row(result: dict[str, Any]) -> tuple[list[str], dict[str, str], str]:
    points = {exercise["name"]: number(exercise["points"]) for exercise in result["exercises"]}
    score = "" if result["score"] is None else number(result["score"])
    first = [plain_cell(result["student"]), result["status"], score, number(result["maximum"])]
    return first, points, plain_cell(result["reason"])


def plain_cell(text: str) -> str:
    """Text that a spreadsheet will not take for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def number(value: float) -> str:
    """Points as people write them: 3, 2.5."""
    return f"{value:g}"


def told(verdict: Verdict) -> str:
    """What a student may read about a check beside its title: of a hidden one its state and a mistake's hint alone."""
    if verdict.state == PASSED:
        return ""
    # what a hidden probe says never reaches the student
    said = verdict.message if verdict.public else f"A hidden check of `{verdict.function}`: {verdict.told_state}."
    return f"{said}\n{verdict.hint}".strip()


def junit_xml(results: list[Result]) -> str:
    """The class as JUnit XML: a suite for each student, a case for each check; what students may read, no more.

    A submission without a grade is one case with an error.
    """
    suites = ElementTree.Element("testsuites", name="autograder")
    for result in results:
        _add_suite(suites, result)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(suites: ElementTree.Element, result: Result) -> None:
    verdicts = result.graded.verdicts if result.graded else ()
    wrong = [verdict for verdict in verdicts if verdict.state not in (PASSED, NOT_GRADED)]
    errors = sum(verdict.state == NOT_GRADED for verdict in verdicts) if result.graded else 1
    counts = {"tests": len(verdicts) or 1, "failures": len(wrong), "errors": errors}
    about = {"name": f"{result.module}: {clean(result.student)}"} | {key: str(n) for key, n in counts.items()}
    suite = ElementTree.SubElement(suites, "testsuite", about)
    for verdict in verdicts:
        case = ElementTree.SubElement(
            suite, "testcase", name=clean(verdict.title), classname=f"{result.module}.{verdict.function}"
        )
        if verdict.state != PASSED:
            tag, text = "error" if verdict.state == NOT_GRADED else "failure", clean(told(verdict))
            ElementTree.SubElement(case, tag, type=verdict.told_state, message=text.partition("\n")[0]).text = text
    if result.graded is None:
        case = ElementTree.SubElement(suite, "testcase", name=result.status, classname=result.module)
        ElementTree.SubElement(case, "error", type=result.status, message=clean(told_reason(result)))


def told_reason(result: Result) -> str:
    """Why there is no grade, as a student may read it: of the grader's own faults no detail, which may come from a hidden
    probe or check."""
    return FAULT if result.status == NOT_GRADED else without_folders(result.reason)


# --- pages ------------------------------------------------------------------------------------------------------------


def feedback_page(result: Result, exercises: dict[str, list[str]]) -> str:
    """The student's page: self-contained HTML; of a hidden check it says the title, the points and a mistake's hint."""
    sections = _sections(result.graded, exercises)
    total = _total(result.score or 0, result.maximum, " by the checks" if result.by_hand else "", result.by_hand)
    return template("feedback.html").render(result=result, reason=told_reason(result), exercises=sections, total=total)


def empty_page(module: str, student: str) -> str:
    """A feedback page for a student whose functions are not graded yet."""
    result = Result(student, module, NOT_GRADED, 0)
    return template("feedback.html").render(result=result, reason="not asked for yet", exercises=[])


def with_section(page: str, name: str, fragment: str) -> str:
    """A feedback page with `fragment` as its section `name`, one of `SECTIONS`, in the place of the one that it had."""
    begin, end = _marks(name)
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2] if rest else ""
    if not rest:
        later = [mark for other in SECTIONS[SECTIONS.index(name) + 1 :] if (mark := _marks(other)[0]) in page]
        before, place, after = page.rpartition((later or ["</div></body>"])[0])
        after = place + after
    return f"{before}{begin}\n{fragment}{end}{after}"


def keep_sections(page: str, new: str) -> str:
    """The page `new` with the sections that `page` has."""
    for name in SECTIONS:
        if section := _between(page, name).lstrip("\n"):
            new = with_section(new, name, section)
    return new


def _between(page: str, name: str) -> str:
    """What stands between the marks of a part of a feedback page; empty when it has none."""
    begin, end = _marks(name)
    return page.partition(begin)[2].partition(end)[0]


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


@dataclass(frozen=True)
class ByHand:
    """What a TA gave for a question or plot, or said about any cell, in harmless HTML; None: points not known yet."""

    name: str
    points: float | None
    maximum: float
    comment: str = ""
    waits: bool = False


@dataclass(frozen=True)
class Decided:
    """A regrade request that was decided: what it was about, what the student asked, and the answer."""

    about: str
    asked: str
    outcome: str
    why: str


def with_grades(
    page: str, rows: list[ByHand], score: float, maximum: float, penalty: float, requests: Iterable[Decided] = ()
) -> str:
    """A feedback page with all of a student's points in it: by the checks, by hand, and what is taken off for lateness;
    and the answers to what was asked about them."""
    pending = sum(row.maximum - (row.points or 0) for row in rows if row.waits)
    total = _total(score, maximum, " so far" if any(row.waits for row in rows) else "", pending)
    by_hand = template("byhand.html").render(rows=rows, penalty=penalty) if rows or penalty else ""
    answers = template("requests.html").render(requests=requests) if requests else ""
    return _with_parts(page, {"score": total, "by hand": by_hand + answers})


def with_due(page: str, due: datetime) -> str:
    """A feedback page that says until when, in UTC, a file that was refused can be handed in again."""
    return _with_parts(page, {"due": f"until {due:%A, %d %B %Y, %H:%M} UTC"})


def _total(score: float, maximum: float, so_far: str, pending: float) -> "Markup":
    """The sum at the top of a page: in what sense it is not all, and how many points people may still give."""
    from markupsafe import Markup

    more = f"<small>{number(pending)} more by a teaching assistant, pending</small>" if pending else ""
    return Markup(f'<div class="score">{number(score)} <span>/ {number(maximum)} points{so_far}</span>{more}</div>')


def with_grades_of(page: str, other: str) -> str:
    """A feedback page with what `with_grades` and `with_due` put into another."""
    return _with_parts(page, {name: part for name in FROM_GRADEBOOK if (part := _between(other, name))})


def _with_parts(page: str, parts: dict[str, str]) -> str:
    for name, text in parts.items():
        opening, closing = _marks(name)
        before, begin, rest = page.partition(opening)
        _, end, after = rest.partition(closing)
        page = f"{before}{begin}{text}{end}{after}" if end else page
    return page


def _printed_lines(text: str) -> list[str]:
    """What a function printed, folded to its first and last lines."""
    lines = text.splitlines()
    if len(lines) > 2 * FOLDED:
        lines = [*lines[:FOLDED], f"… {len(lines) - 2 * FOLDED} lines more …", *lines[-FOLDED:]]
    return ["  It printed:", *(f"    | {line}" for line in lines)] if lines else []


def check_table(graded: Graded, exercises: dict[str, list[str]], closing: str = "") -> str:
    """What stands under an exercise in the notebook, an HTML fragment: of `check(…)`, or all checks after grading.

    Of a hidden check it says no more than the feedback page. `closing` stands below it.
    """
    return template("check.html").render(exercises=_sections(graded, exercises), closing=closing)


def as_text(graded: Graded) -> str:
    """The verdicts for a terminal; of a hidden check its title alone."""
    points = "points" if any(not verdict.public for verdict in graded.verdicts) else "public points"
    lines = []
    for function in dict.fromkeys(verdict.function for verdict in graded.verdicts):
        group = function_group(function, graded)
        lines.append(f"{function}: {number(group['points'])} / {number(group['maximum'])} {points}")
        lines += [f"  {group['newest']}"] if group["newest"] else []
        lines += [f"  Where to look. {hint}" for hint in group["hints"]]
        lines += [f"  {group['missing']}"] if group["missing"] else []
        for verdict in [] if group["unwritten"] else group["verdicts"]:
            state = verdict.told_state
            ended = "" if state in ICONS else f" ({state})"
            lines.append(f"  {ICONS.get(state, '✗')} {verdict.title}{ended}")
            said = verdict.public and state != "missing"
            lines += [f"      {line}" for line in _details(verdict, verdict.check in group["repeats"])] if said else []
        lines += _printed_lines(group["printed"])
    return "\n".join(lines)


def _details(verdict: Verdict, repeats: bool) -> list[str]:
    asked = [f"asked     {verdict.asked}", f"expected  {verdict.expected}", f"found     {verdict.found}"]
    said = "" if repeats else _words(verdict)
    return (asked if verdict.expected else []) + ([said] if said else [])


def _words(verdict: Verdict) -> str:
    """What a public check says in a sentence."""
    return verdict.look if verdict.expected else verdict.message


def _sections(graded: Graded | None, exercises: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Verdicts by exercise and function, as the templates want them."""
    sections = []
    for name, functions in exercises.items():
        groups = [function_group(function, graded) for function in functions] if graded else []
        groups = [group for group in groups if group["verdicts"]]
        if groups:
            points = {key: sum(group[key] for group in groups) for key in ("points", "maximum")}
            passed = all(group["passed"] for group in groups)
            sections.append({"name": name, "functions": groups, "passed": passed, **points})
    return sections


def function_group(function: str, graded: Graded) -> dict[str, Any]:
    """One function's verdicts with its points, its hint, its remark, and what to say once for the whole function."""
    mine = [verdict for verdict in graded.verdicts if verdict.function == function]
    missing = [v.message for v in mine if v.told_state == "missing"]
    public = [v for v in mine if v.public]
    words = [_words(v) for v in public]
    return {
        "name": function,
        "verdicts": mine,
        "points": sum(v.points for v in mine),
        "maximum": sum(v.maximum for v in mine),
        "hints": list(dict.fromkeys(v.hint for v in mine if v.hint)),
        "missing": next(iter(missing), ""),
        "unwritten": bool(missing) and len(missing) == len(public),
        "repeats": {v.check for place, v in enumerate(public) if words[place] in words[:place]},
        "passed": all(v.state == PASSED for v in mine),
        "remark": graded.remarks.get(function, ""),
        "newest": graded.newest.get(function, ""),
        "printed": clean(graded.printed.get(function, ""), MAX_PRINTED),
    }


def template(name: str, *folders: Path) -> "Template":
    """A template, looked for in `folders` and then among those of this room; of HTML all that is put in is escaped."""
    return _templates(folders).get_template(name)


@cache
def _templates(folders: tuple[Path, ...]) -> "Environment":
    import jinja2

    loader = jinja2.FileSystemLoader([*folders, Path(__file__).parent / "templates"])
    escape = jinja2.select_autoescape(["html"])
    environment = jinja2.Environment(loader=loader, autoescape=escape, trim_blocks=True, lstrip_blocks=True)
    environment.filters["points"] = number
    environment.filters["code"] = _code
    environment.filters["prose"] = _prose
    environment.globals["icons"] = ICONS
    return environment


def _code(text: str) -> "Markup":
    """`names` between backticks as <code>, everything else escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _prose(text: str) -> "Markup":
    """As `_code`, with *words* between asterisks as <em>: what an author wrote. A student's values keep their asterisks."""
    from markupsafe import Markup

    parts = re.split(r"(<code>.*?</code>)", str(_code(text)))
    parts[::2] = [re.sub(r"(?<![\w*])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])", r"<em>\1</em>", part) for part in parts[::2]]
    return Markup("".join(parts))


def without_folders(text: str) -> str:
    """Paths cut down to their file names: where a TA keeps the class is no student's business."""
    return re.sub(r"[^\s:()]*/", "", text)
