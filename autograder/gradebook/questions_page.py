"""The page of `autograder questions`, served to this machine's browser alone: bound to 127.0.0.1, behind a token.

The token stands in the address that the command prints. What the page asks for and does needs it in a header, which no
other web page can send.
"""

import hmac
import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy.exc import DatabaseError

from autograder.errors import CourseError
from autograder.gradebook.questions import Question
from autograder.grading.report import template

MAX_BODY = 100_000  # bytes of what the page sends
TEMPLATES = Path(__file__).parent / "templates"


class QuestionServer(ThreadingHTTPServer):
    """Serves one question; one request at a time touches the gradebook."""

    daemon_threads = True

    def __init__(self, question: Question, port: int = 0):
        self.question, self.token, self.lock = question, secrets.token_urlsafe(24), threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.server_address[1]}/?token={self.token}"


def _page(question: Question, token: str, nonce: str) -> str:
    page = template("questions.html", TEMPLATES)
    return page.render(question=question, asked=question.asked(), token=token, nonce=nonce)


class _Handler(BaseHTTPRequestHandler):
    server: QuestionServer

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(where.query).items()}
        question, nonce = self.server.question, secrets.token_urlsafe(12)
        if where.path == "/" and self._knows(asked.get("token", "")):
            page = _page(question, self.server.token, nonce)
            self._send(HTTPStatus.OK, page, "text/html", f"script-src 'nonce-{nonce}'; connect-src 'self'; ")
        elif where.path == "/overview":
            self._answer(question.overview)
        elif where.path == "/answer":
            self._answer(lambda: question.answer(asked.get("id", "")))
        else:
            self._send(HTTPStatus.NOT_FOUND, "Open the whole address that `autograder questions` printed.")

    def do_POST(self) -> None:
        if not self._knows(self.headers.get("X-Token", "")):
            self._send(HTTPStatus.FORBIDDEN, "")
            return
        try:
            size = int(self.headers.get("Content-Length", ""))
            if not 0 <= size <= MAX_BODY:
                raise ValueError
            about = json.loads(self.rfile.read(size))
            what = _doings(self.server.question)[urlsplit(self.path).path.lstrip("/")]
        except (ValueError, KeyError):
            self._send(HTTPStatus.BAD_REQUEST, "")
            return
        self._answer(lambda: (what(**about), self.server.question.overview())[1])

    def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
        if not self._knows(self.headers.get("X-Token", "")):
            self._send(HTTPStatus.FORBIDDEN, "")
            return
        try:
            with self.server.lock:
                self._send(HTTPStatus.OK, json.dumps(make()), "application/json")
        except (CourseError, OSError) as error:
            self._send(HTTPStatus.CONFLICT, json.dumps({"error": str(error)}), "application/json")
        except DatabaseError:
            why = "the gradebook cannot be written now, another command may be using it: do that again"
            self._send(HTTPStatus.CONFLICT, json.dumps({"error": why}), "application/json")
        except (TypeError, ValueError):
            self._send(HTTPStatus.BAD_REQUEST, "")

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.server.token.encode())

    def _send(self, status: HTTPStatus, text: str, kind: str = "text/plain", more: str = "") -> None:
        data = text.encode()
        self.send_response(status)
        policy = f"default-src 'none'; {more}style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(data)),
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal is for the address."""


def _doings(question: Question) -> dict[str, Callable[..., None]]:
    return {
        "press": question.press,
        "say": question.say,
        "keep": question.keep,
        "set_item": question.set_item,
        "remove_item": question.remove_item,
        "undo": question.undo,
    }
