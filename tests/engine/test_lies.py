"""Lies about what was observed, and what a release holds, earn no more than lies.py says; honest ones may exchange much."""

import secrets

import pytest
from lies import LIES, PRELUDE, ROOT, points, replayed

from autograder.course.course import Course
from autograder.grading.grader import PUBLIC, Grader
from autograder.grading.judge import judge
from autograder.grading.observer import PUBLIC_SEED
from autograder.sandboxed import sandbox
from autograder.sandboxed.notebook import Cell, select

pytestmark = pytest.mark.skipif(bool(sandbox.missing_walls()), reason="the sandbox cannot be built here")
ONE_VALUE = {"test_size_of_densenet121": 0.5, "test_device_of_a_laptop": 0.5}  # what they ask has one answer in the world


@pytest.fixture(scope="module")
def grader():
    with Grader(Course(ROOT).module("week08_densenet"), 1, workers=1) as grader:
        yield grader


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: f"{lie.function}-{LIES.index(lie)}")
def test_a_lie_earns_no_more_than_it_says(lie, grader):
    assert points(grader, lie.cell)[lie.function] == lie.at_most


def test_the_released_recording_sent_before_any_function_is_defined(grader):
    released = grader.observers[PUBLIC].observe(grader.contents.reference)
    assert sum(points(grader, replayed(released)).values()) <= sum(ONE_VALUE.values())
    fresh = grader.expected[PUBLIC]
    sent = sum(points(grader, replayed(fresh)).values())  # the control: the attack runs, and what it sends counts
    assert sent == sum(check.points for check in grader.contents.checks if check.public)


def test_the_released_recording_is_no_answer_in_any_class(grader):
    """By chance a form drawn anew is the released one: under 2 of the 42 points on the average of some classes."""
    released, checks = grader.naming.expected[PUBLIC], [check for check in grader.contents.checks if check.public]
    by_chance = []
    for seed in range(1, 9):
        fresh = grader.observe(grader.contents.reference, seed=seed, reference=True)
        verdicts = [judged.verdict for judged in judge(checks, {PUBLIC: released}, fresh)]
        earned = {verdict.check: verdict.points for verdict in verdicts if verdict.points}
        assert earned.items() >= ONE_VALUE.items()
        by_chance.append(sum(earned.values()) - sum(ONE_VALUE.values()))
    assert sum(by_chance) / len(by_chance) < 2


def counted(grader: Grader, before: str = "", inside: str = "") -> str:
    """The state of a probe that a right `parameter_shapes` answers, with other lines before it and in it."""
    right = "return [tuple(weight.shape) for weight in net.parameters()]"
    cell = f"{before}\ndef parameter_shapes(net):\n    {inside or 'pass'}\n    {right}"
    code = select([Cell(1, PRELUDE + "import builtins, time\n"), Cell(2, cell)], grader.contents.functions)
    return grader.observe(code, "parameter_shapes")[PUBLIC].observations["shapes_of_a_few_layers"].state


EXCHANGED = [
    "torch.Tensor.clone = lambda self: self",
    "plt.Figure.get_visible = plt.Axes.get_visible = lambda self: True",
    "torch.nn.Module.named_parameters = lambda self: iter(())",
    "plt.Figure.axes = property(lambda self: [])",
    "time.perf_counter = lambda: 0.0",
    "time.sleep = lambda seconds: None",
    "builtins.isinstance = lambda value, kind: True",
    "exchange('figure_seen', lambda make: {})",
    "exchange('isinstance_', None) or exchange('state', dict)",
    "sys.modules['autograder.sandboxed.observe'].encode = lambda value: b''",
    "sys.modules['autograder.sandboxed.observe']._answer.__code__ = (lambda probe, student, seed: b'').__code__",
    "vars(sys.modules['autograder.sandboxed.recording'])['sorted'] = list",
    "exchange('in_order', (lambda a, b: None)) or exchange('watched', None)",
    "sys.modules['autograder.sandboxed.probing'].attempt.__defaults__ = (Exception,)",
    "[object.__setattr__(f.__probe__, 'ask', None) for key, m in list(sys.modules.items()) if key.endswith('probes_public') "
    "for f in list(vars(m).values()) if hasattr(f, '__probe__')]",
    "[object.__setattr__(f.__probe__, '__dict__', {**vars(f.__probe__), 'ask': None}) for key, m in list(sys.modules.items()) "
    "if key.endswith('probes_public') for f in list(vars(m).values()) if hasattr(f, '__probe__')]",
    "sys.modules['autograder.sandboxed.observe']._answer.__dict__ = {'__wrapped__': None}",
    "sys.modules['autograder.sandboxed.observe']._answer.__wrapped__ = None",
    "sys.modules['autograder.sandboxed.observe']._answer.__kwdefaults__ = {'seed': 1}",
]


@pytest.mark.parametrize("line", EXCHANGED)
def test_who_exchanges_what_observes_ends(line, grader):
    assert counted(grader, inside=line) == "crashed"
    assert counted(grader, before=f"def strike():\n    {line}\n\nparameter_shapes = strike()") == "crashed"


HONEST = [
    "plt.show = lambda *args: None",
    "plt.rcParams['figure.dpi'] = 120",
    "torch.Tensor.__repr__ = lambda self: 'a tensor'",
    "torch.backends.cudnn.benchmark = True",
    "torch.load = lambda *args: None",
    "sys.stdout = open(os.devnull, 'w')",
    "torch.nn.Linear.nickname = 'dense'",
    "torch.set_printoptions(precision=3)",
    "torch.manual_seed(3)",
]


@pytest.mark.parametrize("line", HONEST)
def test_who_exchanges_other_things_is_graded(line, grader):
    assert counted(grader, inside=line) == "returned"
    assert counted(grader, before=f"def set_up():\n    {line}\n\nparameter_shapes = set_up()") == "returned"


def test_a_plain_right_submission_costs_no_further_fork(grader, monkeypatch):
    """And one that fails costs one, however many of its functions failed."""
    observer = grader.observers[PUBLIC]
    asked, ask = [], observer._ask

    def noting(job, body, *rest):
        asked.append((body, set(job["seeds"]) == {PUBLIC_SEED}))
        return ask(job, body, *rest)

    monkeypatch.setattr(observer, "_ask", noting)
    grader.grade(grader.contents.reference)
    assert not any(released for _, released in asked)
    never_kept = f"'{secrets.token_hex(8)}'"
    cell = f"def parameter_shapes(net): return {never_kept}\ndef count_parameters(net): return {never_kept}"
    wrong = select([Cell(1, cell)], grader.contents.functions)
    grader.grade(wrong)
    assert [released for body, released in asked if body == wrong.as_json()] == [False, True]
