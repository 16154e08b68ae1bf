"""Commands for whoever gives points by hand and tells students: `questions`, `group`, `requests`, `feedback`, `canvas`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.cli.options import add_command, add_module
from autograder.course.course import Course
from autograder.errors import CourseError

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`questions`, `group`, `requests`, `feedback` and `canvas`."""
    for add in (_add_questions, _add_group, _add_requests, _add_feedback, _add_canvas):
        add(commands)


# --- arguments --------------------------------------------------------------------------------------------------------


def _add_questions(commands: "Commands") -> None:
    questions = add_command(
        commands, "questions", _questions, "mark one question or plot over the whole class, on a page in your browser"
    )
    add_module(questions)
    questions.add_argument("question", nargs="?", help="its name; without one, say how many answers wait where")
    questions.add_argument("--port", type=int, default=0, metavar="N", help="of the page (default: any free one)")
    questions.add_argument("--no-browser", action="store_true", help="only print the address")


def _add_group(commands: "Commands") -> None:
    group = add_command(
        commands, "group", _group, "tell all students with one mistake something, change their points, or say who they are"
    )
    add_module(group)
    group.add_argument(
        "group", nargs="?", metavar="GROUP", help="a mistake, a group of the report, or a check; without one, list them"
    )
    what = group.add_mutually_exclusive_group()
    what.add_argument("--comment", metavar="TEXT", help="a comment below the function, in nbgrader's gradebook")
    what.add_argument("--points", type=float, metavar="N", help="more points (or, with a minus, less) for its exercise")
    what.add_argument("--undo", action="store_true", help="take back what was entered for the group")
    group.add_argument("--why", metavar="TEXT", help="with --points: the students read it")


def _add_requests(commands: "Commands") -> None:
    requests = add_command(commands, "requests", _requests, "regrade requests: show them, add one, or decide one")
    add_module(requests)
    which = requests.add_mutually_exclusive_group()
    which.add_argument(
        "--add", nargs=2, metavar=("STUDENT", "ABOUT"), help="write one down: about a check, function, question or plot"
    )
    which.add_argument(
        "--decide", nargs=2, metavar=("FILE", "OUTCOME"), help="accepted or declined; the student's page tells, with --why"
    )
    requests.add_argument("--why", default="", metavar="TEXT", help="what the student asks, or the answer")


def _add_feedback(commands: "Commands") -> None:
    feedback = add_command(
        commands, "feedback", _feedback, "pack the students' pages as Canvas or Moodle takes them back, or as e-mail drafts"
    )
    add_module(feedback)
    feedback.add_argument(
        "--for", dest="target", choices=("canvas", "moodle", "email"), required=True, help="who hands them out"
    )
    feedback.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the zip (default: grades/MODULE/feedback-PLATFORM.zip)"
    )
    feedback.add_argument(
        "--partial", action="store_true", help="also pages that wait for a TA, or say why there is no grade"
    )


def _add_canvas(commands: "Commands") -> None:
    canvas = add_command(
        commands, "canvas", _canvas, "by Canvas's API, with a token: fetch the list of students, or send grades or feedback"
    )
    canvas.add_argument("what", choices=("roster", "grades", "feedback"), help="sent is nothing without --send")
    add_module(canvas, nargs="?", help="of grades and feedback the module")
    canvas.add_argument("--course", type=int, required=True, metavar="N", help="its number, as in Canvas's address of it")
    canvas.add_argument("--url", metavar="URL", help="https://canvas.example.org (default: $CANVAS_API_URL)")
    canvas.add_argument(
        "--token-file", type=Path, metavar="FILE", help="that holds the token alone (default: $CANVAS_API_TOKEN)"
    )
    canvas.add_argument("--assignment", metavar="NAME", help="Canvas's name of it (default: named like the module)")
    canvas.add_argument("--by", metavar="COLUMN", help="which of Canvas's names are the gradebook's, as 'SIS Login ID'")
    canvas.add_argument("--partial", action="store_true", help="also grades that wait for a TA, or for a time of handing in")
    canvas.add_argument("--send", action="store_true", help="send what is shown without it")
    canvas.add_argument("-o", "--output", type=Path, metavar="FILE", help="of the roster (default: canvas.csv)")


# --- what they call ---------------------------------------------------------------------------------------------------


def _questions(options: argparse.Namespace) -> int:
    from autograder.gradebook.gradebook import existing_book
    from autograder.gradebook.questions import Question, students_beside, waiting

    module = Course.find().module(options.module)
    book = existing_book(module)
    question = Question(book, options.question) if options.question else None
    for line in students_beside(book):
        print(f"autograder: {line}", file=sys.stderr)
    if question is None:
        for name, waits, answers in waiting(book):
            print(f"{name}: {waits} of {answers} wait")
        return 0
    from autograder.gradebook.questions_page import QuestionServer

    with QuestionServer(question, options.port) as server:
        print(f"{question.name}: {server.address}", flush=True)
        print("Points are in the gradebook as you give them. Ctrl-C ends this.", flush=True)
        if not options.no_browser:
            import webbrowser

            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _group(options: argparse.Namespace) -> int:
    from rich.console import Console

    from autograder.classes.groups import group_of
    from autograder.gradebook.acting import act, addresses, listed, print_listed, undo
    from autograder.gradebook.gradebook import existing_book

    text = options.comment if options.points is None else options.why
    if (options.points is None) != (options.why is None):
        raise CourseError("--points and --why go together: say how many, and why")
    if not options.group and (options.undo or text is not None):
        raise CourseError("say for which group; without anything else, this command lists them")
    book = existing_book(Course.find().module(options.module))
    if not options.group:
        print_listed(listed(book), Console())
        return 0
    if not options.undo and text is None:
        for student, address in addresses(book, group_of(book.module.grades, options.group).students).items():
            print(f"{student}: {address or 'no e-mail address in the list of students'}")
        return 0
    said, left = undo(book, options.group) if options.undo else act(book, options.group, text, options.points)
    print(f"{said}; it is in the gradebook, and on the pages (pack them: autograder feedback)")
    for line in left:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if left else 0


def _requests(options: argparse.Namespace) -> int:
    from autograder.gradebook.gradebook import existing_book
    from autograder.gradebook.requests import add_request, decide, folder_of, lines

    module = Course.find().module(options.module)
    book = existing_book(module)
    if options.add:
        student, about = options.add
        print(f"{add_request(book, student, about, options.why)}: written")
        return 0
    if options.decide:
        name, outcome = options.decide
        request = decide(book, name, outcome, options.why)
        print(f"{request.file.name}: {outcome}; it stands on {request.student}'s page (pack it: autograder feedback)")
        if outcome == "accepted":
            print("points follow by hand in formgrader, or by a mended check: autograder regrade, then grade again")
        return 0
    if options.why:
        raise CourseError("--why goes with --add or --decide")
    said, problems = lines(book)
    for line in said or [f"no requests in {folder_of(module)}"]:
        print(line)
    for line in problems:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if problems else 0


def _feedback(options: argparse.Namespace) -> int:
    from autograder.files import write_whole
    from autograder.gradebook.feedback import pack

    module = Course.find().module(options.module)
    out = options.output or module.grades / f"feedback-{options.target}.zip"
    done = pack(module, options.target, options.partial)
    write_whole(out, done.data)
    print(f"{out}: {done.written} pages")
    for line in done.remarks + done.problems:
        print(f"autograder: {line}", file=sys.stderr)
    return 1 if done.problems else 0


def _canvas(options: argparse.Namespace) -> int:
    import os

    from autograder.gradebook.canvas import ADDRESS, Canvas, plan_feedback, plan_grades, read_token

    if (options.what == "roster") == bool(options.module):
        raise CourseError("write `autograder canvas roster`, or `autograder canvas grades MODULE`, or `… feedback MODULE`")
    out = options.output or Path("canvas.csv")
    if options.what == "roster" and out.exists():
        raise CourseError(f"{out} exists, and may hold more than the list: name another file with -o")
    module = Course.find().module(options.module) if options.module else None
    canvas = Canvas(options.url or os.environ.get(ADDRESS, ""), options.course, read_token(options.token_file))
    if module is None:
        from autograder.files import write_whole
        from autograder.gradebook.canvas import roster_text

        text, count = roster_text(canvas)
        write_whole(out, text)
        print(f"{out}: {count} students; autograder collect MODULE --roster {out}")
        return 0
    make = plan_grades if options.what == "grades" else plan_feedback
    plan = make(canvas, module, options.assignment or module.name, options.partial, options.by)
    for line in plan.remarks + plan.problems:
        print(f"autograder: {line}", file=sys.stderr)
    for line, send in plan.sends:
        if options.send:
            canvas.send(send)
        print(f"{'sent' if options.send else 'would send'}: {line}", flush=True)
    print(f"{len(plan.sends)} sent" if options.send else f"{len(plan.sends)} to send: run the same again with --send")
    return 1 if plan.problems else 0
