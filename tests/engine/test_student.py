"""`check(…)` as a student meets it: in a real kernel, with right and wrong functions, loops, crashes and interruptions."""

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import needs_walls
from jupyter_client.manager import start_new_kernel
from toy_course import RIGHT

pytestmark = needs_walls  # the shared course is released behind them

PATIENCE = 120  # seconds until a kernel that does not answer is given up
LIMIT = """
from pathlib import Path
from autograder.students import check as student
student._bundle(Path.cwd() / "checks").observer.limit = {}
"""
LOOP = """
def mean(numbers):
    Path({unfinished!r}).write_text(str(os.getpid()))
    os.rename({unfinished!r}, {finished!r})
    while True:
        pass
"""


@dataclass
class Shown:
    """What a cell showed: text and HTML of its display, its traceback's lines, what it printed."""

    text: str = ""
    html: str = ""
    error: list[str] = field(default_factory=list)
    printed: str = ""


class Kernel:
    """A Jupyter kernel in a folder."""

    def __init__(self, folder: Path):
        self.manager, self.client = start_new_kernel(cwd=str(folder))

    def run(self, code: str, interrupt_when: Path | None = None) -> Shown:
        """Runs a cell; interrupts it, as the button does, once the file `interrupt_when` is there."""
        shown = Shown()
        request = self.client.execute(code)
        if interrupt_when:
            wait_for(interrupt_when.is_file)
            self.manager.interrupt_kernel()
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "display_data":
                shown.text, shown.html = content["data"]["text/plain"], content["data"]["text/html"]
            elif message["msg_type"] == "error":
                shown.error = content["traceback"]
            elif message["msg_type"] == "stream":
                shown.printed += content["text"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return shown

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory) -> Path:
    """What a student has: the released folder, somewhere else."""
    return Path(shutil.copytree(made / "release" / "toy", tmp_path_factory.mktemp("home") / "toy"))


@pytest.fixture(scope="module")
def started(folder):
    kernel = Kernel(folder)
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(started, folder) -> Kernel:
    """The kernel as after a restart: in its folder, nothing of an earlier test in its history."""
    started.run(f"%reset -f\nimport os; os.chdir({str(folder)!r})\nfrom autograder import check")
    started.run(LIMIT.format(60))
    return started


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_a_stub_is_not_written_yet(kernel):
    kernel.run('def double(x):\n    raise NotImplementedError("write double")')
    shown = kernel.run('check("double")')
    assert "`double` is not written yet" in shown.text and "Doubles small numbers." not in shown.text
    assert not shown.error and "<code>double</code> is not written yet" in shown.html


def test_a_cell_that_was_not_run_is_to_be_run(kernel):
    assert "`mean` is not defined yet: run its cell first" in kernel.run('check("mean")').text


def test_a_wrong_answer_shows_asked_expected_found_hint_points_and_that_hidden_checks_exist(kernel):
    kernel.run("def double(x):\n    return x * x")
    shown = kernel.run('check("double")')
    lines = [line.strip() for line in shown.text.splitlines()]
    assert lines[0] == "double: 0 / 1 public points"
    assert lines[1] == "Where to look. You multiply the number by itself. Look at what happens to 3."
    assert lines[3:6] == ["asked     double of 3 and of 0.25['whole']", "expected  6", "found     9"]
    assert "hidden ones, with other inputs, are worth the other 1." in lines[-1]
    for part in ("asked", "expected", "found", "Where to look.", "0 / 1", "hidden ones, with other inputs"):
        assert part in shown.html
    assert not shown.printed and not shown.error


def test_right_again_after_wrong_and_twice(kernel):
    for text, verdict in [("x * x", "✗"), ("x + x", "✓"), ("x + x", "✓")]:
        kernel.run(f"def double(x):\n    return {text}")
        assert f"{verdict} Doubles small numbers." in kernel.run('check("double")').text
    assert "All public checks pass." in kernel.run('check("double")').text


def test_an_exercise_and_everything(kernel):
    kernel.run("\n\n".join(RIGHT.values()))
    assert [line for line in kernel.run('check("arithmetic")').text.splitlines() if "points" in line][:2] == [
        "double: 1 / 1 public points",
        "quadruple: 2 / 2 public points",
    ]
    assert "There are no hidden checks here." in kernel.run('check("quadruple")').text
    assert kernel.run("check()").text.count("✓") == 3


def test_an_exception_is_told_from_the_students_own_line_on(kernel):
    kernel.run("def helper(x):\n    return x.size\n\ndef double(x):\n    return helper(x)")
    shown = kernel.run('check("double")')
    assert "raised AttributeError: 'int' object has no attribute 'size'" in shown.text
    assert re.search(r"\(cell (\d+), line 5: return helper\(x\) → cell \1, line 2: return x.size\)", shown.text)
    assert re.search(r"Cell (\d+) is the one that shows \[\1\] beside it.", shown.text)
    assert "probes_public" not in shown.text and "Traceback" not in shown.text


def test_what_magics_define_is_checked(kernel):
    kernel.run("%time two = 2\n%timeit -n 1 -r 1 two")
    kernel.run("%%time\ndef double(x):\n    return two * x")
    assert "✓ Doubles small numbers." in kernel.run('check("double")').text


@pytest.mark.parametrize(
    "broken", ["def double(x)\n    return x * x", "def double(x):\n    return x *\n", "x = (\ndef double(x): 0"]
)
def test_newest_code_that_does_not_run_is_told_beside_what_is_judged(kernel, broken):
    kernel.run("def double(x):\n    return x + x")
    assert "does not run" not in kernel.run('check("double")').text
    kernel.run(broken)
    shown = kernel.run('check("double")')
    said = re.search(r"The newest `double`, run \[(\d+)\], does not run: .*Judged here is run \[(\d+)\]", shown.text)
    assert said and int(said[1]) == int(said[2]) + 2  # one check was run between the two
    assert "All public checks pass" not in shown.text and "does not run" in shown.html
    kernel.run("def double(x):\n    return x + x")
    shown = kernel.run('check("double")')
    assert "does not run" not in shown.text and "All public checks pass" in shown.text


def test_another_cell_that_does_not_run_is_no_matter(kernel):
    kernel.run("def double(x):\n    return x + x")
    kernel.run("def doubled(x)\n    return 0")
    kernel.run("double(2")
    assert "does not run" not in kernel.run('check("double")').text


def test_what_a_function_prints_is_shown_folded(kernel):
    kernel.run("def double(x):\n    print('given', x, '<b>')\n    return x + x")
    shown = kernel.run('check("double")')
    assert [line for line in shown.text.splitlines() if "given" in line] == ["    | given 3 <b>", "    | given 0.25 <b>"]
    assert "<summary>What it printed</summary><pre>given 3 &lt;b&gt;" in shown.html and not shown.printed
    kernel.run("def double(x):\n    for n in range(200): print('line', n)\n    return x + x")
    text = kernel.run('check("double")').text
    assert "| line 0" in text and "394 lines more" in text and "| line 199" in text and "| line 9\n" not in text
    kernel.run("def double(x):\n    return x + x")
    assert "printed" not in kernel.run('check("double")').text


def test_what_it_printed_before_it_raised_is_shown_too(kernel):
    kernel.run("def double(x):\n    print('so far')\n    return x.size")
    text = kernel.run('check("double")').text
    assert "| so far" in text and "AttributeError" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def double(): return 6", "it has too few parameters"),
        ("def double(x, times): return times * x", "it has a parameter too many, without a default: `times`"),
        ("def double(*, x): return x + x", "it has too few parameters"),
    ],
)
def test_a_wrong_signature_is_told_as_that(kernel, text, said):
    kernel.run(text)
    shown = kernel.run('check("double")').text
    assert "`double` is a function with another first line than the notebook's" in shown and said in shown


def test_a_wrong_call_inside_the_function_is_no_wrong_signature(kernel):
    kernel.run("def helper(): return 0\n\ndef double(x):\n    return helper(x)")
    shown = kernel.run('check("double")').text
    assert "raised TypeError: helper() takes 0 positional arguments but 1 was given (cell" in shown


# --- what it survives -------------------------------------------------------------------------------------------------

ENDINGS = {
    "a loop": ("while True: pass", "ran longer than 1.5 s"),
    "os._exit": ("import os; os._exit(0)", "ended by itself"),
    "a segmentation fault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "memory": ("return [0] * 10**10", "it needed more memory than there is (cell "),
    "recursion": ("return double(x)", "RecursionError"),
    "SystemExit": ("raise SystemExit('bye')", "SystemExit: bye"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "killing its group": ("import os; os.killpg(0, 9)", "memory"),
}


@pytest.mark.parametrize(("body", "said"), ENDINGS.values(), ids=ENDINGS)
def test_whatever_a_function_does_the_notebook_and_its_work_live_on(kernel, body, said):
    kernel.run("work = [1, 2, 3]\n" + LIMIT.format(1.5))
    kernel.run(f"def double(x):\n    {body}")
    shown = kernel.run('check("double")')
    assert said in shown.text and "✗ Doubles small numbers." in shown.text
    kernel.run("def double(x):\n    return x + x")
    assert "✓ Doubles small numbers." in kernel.run('check("double")').text
    assert kernel.run("print(work)").printed == "[1, 2, 3]\n"


def test_after_an_interruption_the_next_check_works_and_nothing_runs_on(kernel, tmp_path):
    pid = tmp_path / "pid"
    kernel.run("import os\nfrom pathlib import Path\n" + LOOP.format(unfinished=f"{pid}.", finished=str(pid)))
    kernel.run("def double(x):\n    return x + x")
    shown = kernel.run('check("mean")', interrupt_when=pid)
    assert shown.error == ["check: interrupted. Your notebook is as it was; the next check starts afresh."]
    assert "✓ Doubles small numbers." in kernel.run('check("double")').text
    wait_for(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def test_two_checks_at_once(kernel):
    kernel.run("\n\n".join(RIGHT.values()))
    threads = "threads = [threading.Thread(target=check, args=[name]) for name in ('double', 'mean')]"
    shown = kernel.run(f"import threading\n{threads}\nfor t in threads: t.start()\nfor t in threads: t.join()")
    assert not shown.error and not shown.printed
    assert "✓ Doubles small numbers." in kernel.run('check("double")').text


# --- what it says when it cannot work ---------------------------------------------------------------------------------


def without(name: str):
    return lambda folder: (folder / "checks" / name).unlink()


def with_about(**changed):
    def damage(folder: Path) -> None:
        path = folder / "checks" / "module.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return damage


def write(name: str, text: str):
    return lambda folder: (folder / "checks" / name).write_text(text)


DAMAGES = {
    "another folder": (
        lambda folder: shutil.rmtree(folder / "checks"),
        "checks is missing: work in the assignment's own",
    ),
    "no module.json": (without("module.json"), "get the assignment's folder again"),
    "no module": (write("module.json", "[]"), "get the assignment's folder again"),
    "half a module.json": (write("module.json", '{"needs": "0.1", "exer'), "get the assignment's folder again"),
    "an old folder": (with_about(needs="0.0"), "is for version 0.0 of the package, and .* get the assignment's folder"),
    "an old package": (with_about(needs="99.0"), r"is for version 99.0 .* update the package .*pip install --upgrade"),
    "no recording": (without("reference.safetensors"), "reference.safetensors is missing: get the assignment's folder"),
    "a damaged recording": (write("reference.safetensors", "x"), "get the assignment's folder again"),
    "no checks": (without("test_public.py"), "get the assignment's folder again"),
    "checks that do not import": (write("test_public.py", "import no_such_thing"), "get the assignment's folder again"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damage_is_one_line_with_the_mend(kernel, folder, tmp_path, damage, said):
    place = Path(shutil.copytree(folder, tmp_path / "toy"))
    damage(place)
    kernel.run(f"import os; os.chdir({str(place)!r})\ndef double(x): return x + x")
    shown = kernel.run('from autograder import check\ncheck("double")')
    assert len(shown.error) == 1 and re.search(said, shown.error[0]), shown
    assert shown.error[0].startswith("check: ") and "\n" not in shown.error[0] and not shown.printed


def test_two_assignments_in_one_session(kernel, folder, tmp_path):
    other = Path(shutil.copytree(folder, tmp_path / "toy"))
    kernel.run("def double(x): return x + x")
    for place in (other, folder):
        assert "✓ Doubles small numbers." in kernel.run(f"os.chdir({str(place)!r})\ncheck('double')").text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('check("duoble")', "check: there is no exercise 'duoble': did you mean check(\"double\")?"),
        ('check("arithmetics")', "did you mean check(\"arithmetic\")?"),
        ('check("xyz")', "check: there is no exercise 'xyz': there are double, quadruple, mean, arithmetic, averages."),
        ("check(3)", "check: there is no exercise 3: there are double"),
        ("def double(x): return x\ncheck(double)", "did you mean check(\"double\")?"),
        ("check([])", "check: there is no exercise []: there are double"),
    ],
)  # fmt: skip
def test_a_name_typed_wrong(kernel, call, said):
    shown = kernel.run(call)
    assert len(shown.error) == 1 and said in shown.error[0] and "\n" not in shown.error[0]
