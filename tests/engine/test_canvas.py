"""Canvas by its API, against a server on this machine that answers as Canvas's documentation says."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from gradebooks import add_assignment, add_grades
from nbgrader.api import Gradebook
from toy_course import write_course

from autograder import cli
from autograder.gradebook import canvas as by_api

TOKEN = "7~a-secret-token"
USERS = [
    {"id": 101, "sortable_name": "Lovelace, Ada", "sis_user_id": "s1", "login_id": "ada"},
    {"id": 102, "sortable_name": "=Bäcker, Bob", "sis_user_id": None, "login_id": "bob"},
    {"id": 103, "sortable_name": "Echo, Eve", "login_id": "eve"},
    {"id": 104, "sortable_name": "Moe, Mia", "login_id": "mia"},
    {"id": 105, "sortable_name": "Zed, Zoe", "login_id": "zed"},
]
PER_PAGE = 2  # Canvas may give fewer than were asked for


class Stand:
    """What Canvas has, and how it answers."""

    def __init__(self):
        self.submissions = [{"user_id": user["id"], "assignment_id": 7, "score": None, "excused": False} for user in USERS]
        self.assignments = [{"id": 6, "name": "Week 7"}, {"id": 7, "name": "toy", "points_possible": 8.5, "course_id": 12}]
        self.asked: list[tuple[str, str, dict]] = []
        self.status: dict[str, list[tuple[int, dict, dict]]] = {}  # answers that come first, by the path's end
        self.files: dict[int, bytes] = {}
        self.comments: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    stand: Stand

    def answer(self, status, content, headers=None):
        data = json.dumps(content).encode() if not isinstance(content, bytes) else content
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def page(self, rows):
        """A page of a list, with the Link header of RFC 5988."""
        query = parse_qs(urlsplit(self.path).query)
        number = int(query.get("page", ["1"])[0])
        where = f"http://{self.headers['Host']}{urlsplit(self.path).path}"
        links = [f'<{where}?page={number}&per_page={PER_PAGE}>; rel="current"']
        if number * PER_PAGE < len(rows):
            links.append(f'<{where}?page={number + 1}&per_page={PER_PAGE}>; rel="next"')
        self.answer(200, rows[(number - 1) * PER_PAGE : number * PER_PAGE], {"Link": ",".join(links)})

    def handle_any(self):
        stand, path = self.stand, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = {} if b"multipart" in self.headers.get("Content-Type", "").encode() else parse_qs(body.decode())
        stand.asked.append((self.command, path, form))
        if path == "/upload":
            assert "Authorization" not in self.headers and b'name="key"' in body
            stand.files[len(stand.files) + 900] = body
            return self.answer(201, {"id": len(stand.files) + 899, "url": "https://files/1", "size": len(body)})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"errors": [{"message": "Invalid access token."}]}, {"WWW-Authenticate": "Bearer realm"})
        for end, answers in stand.status.items():
            if path.endswith(end) and answers:
                return self.answer(*answers.pop(0))
        if path == "/api/v1/courses/99":
            return self.answer(200, b"<html>Sign in</html>")
        return self.course(path.removeprefix("/api/v1/courses/12"), form)

    def course(self, path, form):
        stand = self.stand
        if path == "":
            return self.answer(200, {"id": 12, "name": "Deep Learning"})
        if path == "/search_users":
            return self.page(USERS)
        if path == "/assignments":
            return self.page(stand.assignments)
        if path == "/assignments/7/submissions":
            return self.page(stand.submissions)
        if found := re.fullmatch(r"/assignments/7/submissions/(\d+)(/comments/files)?", path):
            if found[2]:
                assert form["name"] == ["toy.html"] and int(form["size"][0]) > 0
                return self.answer(200, {"upload_url": f"http://{self.headers['Host']}/upload", "upload_params": {"key": "k"}})
            (mine,) = (one for one in stand.submissions if str(one["user_id"]) == found[1])
            if "submission[posted_grade]" in form:
                mine["score"] = float(form["submission[posted_grade]"][0])
            stand.comments += [(found[1], number) for number in form.get("comment[file_ids][]", [])]
            return self.answer(200, mine)
        return self.answer(404, {"errors": [{"message": "The specified resource does not exist."}]})

    do_GET = do_POST = do_PUT = handle_any

    def log_message(self, *_):
        pass


@pytest.fixture
def canvas(tmp_path, monkeypatch, capsys):
    """A Canvas, and `run` for `autograder canvas …`: its status, and the lines that it wrote."""
    root = write_course(tmp_path / "course")
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        add_assignment(gradebook)
        add_grades(gradebook, "ada", 4, 2.5, 1.125)
        add_grades(gradebook, "bob", 4, 0, 0)
        add_grades(gradebook, "eve", 3, 2.5, None)
        add_grades(gradebook, "mia", 1, 0, 0)
        gradebook.db.commit()
    monkeypatch.chdir(root)
    monkeypatch.setenv(by_api.TOKEN, TOKEN)
    monkeypatch.setattr(by_api, "WAITS", (0.0, 0.0))
    stand = Stand()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Handler,), {"stand": stand}))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(*arguments, course="12", url=f"http://127.0.0.1:{server.server_port}"):
        status = cli.main(["canvas", *arguments, "--course", course, "--url", url])
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        return status, said.out.splitlines(), said.err.splitlines()

    stand.run, stand.root = run, root
    yield stand
    server.shutdown()
    server.server_close()


def changes(stand):
    return [one for one in stand.asked if one[0] != "GET"]


def test_the_list_of_students_comes_over_all_pages(canvas):
    status, out, _ = canvas.run("roster")
    assert status == 0 and out == ["canvas.csv: 5 students; autograder collect MODULE --roster canvas.csv"]
    lines = (canvas.root / "canvas.csv").read_text().splitlines()
    assert lines[0] == "Student,ID,SIS User ID,SIS Login ID,Integration ID" and lines[1] == '"Lovelace, Ada",101,s1,ada,'
    assert "'=Bäcker" in lines[2] and len(lines) == 6  # no formula in a spreadsheet
    from autograder.gradebook.collecting import listed

    assert {"ada", "zed"} <= {one.student for one in listed(canvas.root, canvas.root / "canvas.csv")}
    (err,) = canvas.run("roster")[2]
    assert err == "autograder: canvas.csv exists, and may hold more than the list: name another file with -o"


def test_grades_are_shown_first_and_sent_when_it_is_said(canvas):
    canvas.submissions[3]["excused"] = True
    status, out, err = canvas.run("grades", "toy")
    assert status == 0 and not changes(canvas)
    assert out == [
        "would send: ada: no grade → 7.62",
        "would send: bob: no grade → 4",
        "2 to send: run the same again with --send",
    ]
    assert any("eve: waits for manual grading" in line for line in err) and any("excused" in line for line in err)
    assert any("zed: not in the gradebook" in line for line in err)
    status, out, _ = canvas.run("grades", "toy", "--send")
    assert status == 0 and out == ["sent: ada: no grade → 7.62", "sent: bob: no grade → 4", "2 sent"]
    assert [one["score"] for one in canvas.submissions] == [7.62, 4.0, None, None, None]
    assert canvas.run("grades", "toy", "--send")[1] == ["0 sent"]


def test_another_maximum_is_looked_at_first(canvas):
    canvas.assignments[1]["points_possible"] = 10
    status, _, err = canvas.run("grades", "toy")
    assert status == 1 and any("'toy' is worth 10 points there and 8.5 here: set it there first" in line for line in err)


def test_pages_are_sent_as_files_at_a_comment_once(canvas, monkeypatch):
    monkeypatch.setattr(by_api, "page_of", lambda book, standing, partial: f"<p>page of {standing.student}</p>")
    assert canvas.run("feedback", "toy")[1][-1] == "3 to send: run the same again with --send" and not changes(canvas)
    status, out, _ = canvas.run("feedback", "toy", "--send")
    assert status == 0 and out[0] == "sent: ada: the page" and len(canvas.files) == 3
    assert b"page of ada" in canvas.files[900] and canvas.comments == [("101", "900"), ("102", "901"), ("104", "902")]
    _, out, err = canvas.run("feedback", "toy", "--send")
    assert out == ["0 sent"] and "autograder: not sent: ada: Canvas has it already" in err


TOO_OFTEN = (403, {"errors": "403 Forbidden (Rate Limit Exceeded)"}, {"X-Rate-Limit-Remaining": "0.0"})


def test_too_many_requests_are_waited_for(canvas):
    canvas.status = {"/submissions/101": [TOO_OFTEN, TOO_OFTEN]}
    assert canvas.run("grades", "toy", "--send")[1][-1] == "3 sent" and canvas.submissions[0]["score"] == 7.62
    canvas.status = {"/search_users": [TOO_OFTEN] * 3}
    status, _, err = canvas.run("grades", "toy")
    assert status == 2 and len(err) == 1 and "was asked too often: wait some minutes and run the same again" in err[0]


@pytest.mark.parametrize(
    ("end", "answer", "words"),
    [
        ("/submissions/101", (401, {"errors": [{"message": "user not authorized to perform that action"}]}), "has no rights"),
        ("/submissions/101", (403, {"errors": [{"message": "forbidden"}]}), "has no rights for that in course 12 of http://127"),
        ("/courses/12", (404, {"errors": [{"message": "does not exist"}]}), "there is no course 12 of http://127"),
        ("/submissions/101", (500, {}), "refused it (CanvasException"),
    ],
)
def test_what_canvas_refuses_is_one_line(canvas, end, answer, words):
    canvas.status = {end: [(*answer, {})]}
    status, _, err = canvas.run("grades", "toy", "--send")
    assert status == 2 and words in err[-1] and "Traceback" not in "".join(err)
    assert all(one["score"] is None for one in canvas.submissions)


def test_a_token_that_canvas_does_not_know(canvas, monkeypatch):
    monkeypatch.setenv(by_api.TOKEN, "7~another")
    status, _, err = canvas.run("roster")
    assert status == 2 and len(err) == 1 and "does not know this token: it may have ended; make a new one in Canvas" in err[0]
    assert "7~another" not in err[0] and not (canvas.root / "canvas.csv").exists()


def test_a_token_from_a_file_or_none(canvas, monkeypatch):
    monkeypatch.delenv(by_api.TOKEN)
    (canvas.root / "token").write_text(f"{TOKEN}\n")
    assert canvas.run("roster", "--token-file", "token")[0] == 0
    (canvas.root / "token").write_text("two words")
    for arguments, words in (
        ((), "the environment variable CANVAS_API_TOKEN holds no token: make one in Canvas"),
        (("--token-file", "token"), "token holds no token"),
        (("--token-file", "gone"), "gone: No such file or directory: a token stands there alone"),
    ):
        status, _, err = canvas.run("roster", "-o", "new.csv", *arguments)
        assert status == 2 and len(err) == 1 and words in err[0]


def test_wrong_usage_is_one_line_and_asks_nobody(canvas):
    for arguments, words in (
        (("grades",), "write `autograder canvas roster`, or `autograder canvas grades MODULE`"),
        (("roster", "toy"), "write `autograder canvas roster`"),
        (("grades", "nothing"), "no module is called 'nothing'"),
    ):
        status, _, err = canvas.run(*arguments)
        assert status == 2 and len(err) == 1 and words in err[0]
    for url in ("", "http://canvas.example.org", "canvas.example.org", "ftp://127.0.0.1"):
        status, _, err = canvas.run("roster", url=url)
        assert status == 2 and "is no address of a Canvas: write --url https://canvas.example.org" in err[0]
    assert not canvas.asked
    assert "no assignment is called 'Week 8'" in canvas.run("grades", "toy", "--assignment", "Week 8")[2][0]
    assert "gave no answer of a Canvas" in canvas.run("roster", course="99")[2][0]


def test_without_the_library_it_says_what_to_install(canvas, monkeypatch):
    monkeypatch.setitem(by_api.importlib.sys.modules, "canvasapi.exceptions", None)
    _, _, err = canvas.run("roster")
    assert err == [
        'autograder: canvasapi is missing: pip install "visual-computing-autograder[canvas]"; `autograder export canvas` works '
        "by CSV files without it"
    ]
