"""Commands for whoever gives points by hand: `questions`."""

import argparse
import sys
from typing import TYPE_CHECKING

from autograder.cli.options import add_command, add_module
from autograder.course.course import Course

if TYPE_CHECKING:
    from autograder.cli.options import Commands


def add_commands(commands: "Commands") -> None:
    """`questions`."""
    for add in (_add_questions,):
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
