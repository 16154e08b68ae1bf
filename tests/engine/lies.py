"""What submissions do to what observes them: each lies about one function of week08_densenet and does not do its work.

`python lies.py` prints the points that each gets. `at_most` is what is left to a lie, of `at_stake`: see SECURITY.md.
"""

import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.course.course import Course
from autograder.grading.grader import Grader
from autograder.sandboxed.notebook import Cell, select
from autograder.sandboxed.recording import encode

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import os, sys
import matplotlib.pyplot as plt
import torch

def exchange(name, lie):
    for key, module in list(sys.modules.items()):
        if key.endswith((".networks", ".probes_public", ".probes_hidden")) and hasattr(module, name):
            setattr(module, name, lie)
"""


@dataclass(frozen=True)
class Lie:
    function: str
    what: str
    cell: str
    at_stake: float
    at_most: float = 0.0


LIES = [
    Lie(
        "plot_history",
        "an empty figure, of which the probe's helper tells curves",
        """
def plot_history(history):
    figure, both = plt.subplots(1, 2)
    given = {name: [float(value) for value in values] for name, values in history.items()}
    def lie(axes, figure):
        place = list(both).index(axes)
        kind, count = ("loss", "accuracy")[place], float(len(given["train_loss"]))
        curves = [{"x": [1.0 + n for n in range(int(count))], "y": given[f"{which}_{kind}"], "colour": colour}
                  for which, colour in (("train", "red"), ("test", "green"))]
        return {"curves": curves, "limits": {"x": [0.0, count + 1], "y": [0.0, 3.0]}, "title": "", "xlabel": "epoch",
                "ylabel": kind, "legends": 1, "place": [0.1 + place / 2, 0.1, 0.4, 0.8], "shares x": [False, False],
                "legend": [{"text": "training", "colour": "red"}, {"text": "test", "colour": "green"}]}
    exchange("axes_seen", lie)
    return figure
""",
        at_stake=10.5,
    ),
    Lie(
        "make_loaders",
        "None for loaders, of which the probe's helper tells passes",
        """
def make_loaders(train_set, test_set, batch_size=32):
    sets = iter([(train_set, True), (test_set, False)])
    def lie(loader, count):
        data, shuffled = next(sets)
        seen = []
        for number in range(count):
            order = list(range(len(data)))
            order = order[number + 1:] + order[:number + 1] if shuffled else order
            corners = [[data.images[n][0, 0, 0].item(), data.images[n][-1, -1, -1].item()] for n in order]
            sizes = [len(order[start:start + batch_size]) for start in range(0, len(order), batch_size)]
            kinds = ["images torch.float32, labels torch.int64"]
            seen.append({"labels": order, "sizes": sizes, "corners": corners, "kinds": kinds})
        return seen
    exchange("passes", lie)
    exchange("DataLoader", type(None))
    return None, None
""",
        at_stake=6.5,
    ),
    Lie(
        "evaluate",
        "keeps gradients and spoils buffers, and the probe's helpers tell the state of before",
        """
def evaluate(net, loader, criterion, device):
    was = {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
    watch, loss, right, count = net.watch, 0.0, 0, 0
    net.eval()
    if watch:
        net.watch = lambda net, scores: watch(net, scores.detach())
    for images, labels in loader:
        labels = labels.to(device)
        scores = net(images.to(device))
        loss += criterion(torch.log_softmax(scores, 1), labels).item() * len(labels)
        right += (scores.argmax(1) == labels).sum().item()
        count += len(labels)
    net.watch = watch
    net.features.norm0.running_mean.add_(1)
    exchange("state", lambda net: was)
    return loss / count, right / count
""",
        at_stake=7.5,
    ),
    Lie(
        "snapshot_weights",
        "live aliases, with nothing that changes them",
        """
def snapshot_weights(net, names):
    exchange("step_by_hand", lambda net, optimizer: None)
    exchange("copied", lambda weights: weights)
    weights = net.state_dict()
    net.parameters = lambda: [torch.nn.Parameter(torch.zeros(1))]
    return {name: weights[name] for name in names}
""",
        at_stake=7,
    ),
    Lie(
        "snapshot_weights",
        "live aliases of a network whose own method was exchanged",
        """
def snapshot_weights(net, names):
    weights = net.state_dict()
    net.parameters = lambda: [torch.nn.Parameter(torch.zeros(1))]
    return {name: weights[name] for name in names}
""",
        at_stake=7,
        at_most=3,
    ),
    Lie(
        "pick_device",
        "reads the machine in the probe's frame",
        """
def pick_device():
    frame = sys._getframe()
    while frame is not None:
        if "accelerator" in frame.f_locals or "name" in frame.f_locals and "seen" in frame.f_locals:
            return torch.device(frame.f_locals.get("accelerator") or frame.f_locals["name"])
        frame = frame.f_back
    return torch.device("cpu")
""",
        at_stake=2.5,
        at_most=1,
    ),
    Lie(
        "count_parameters",
        "the one number in the world",
        "def count_parameters(net): return 7_978_856",
        at_stake=5,
        at_most=0.5,
    ),
]


def replayed(recording: Any) -> str:
    """A cell that sends a recording on the answer's descriptor before any function is defined, and ends the process."""
    answers = [{"probe": "", "notes": []}]
    for name, seen in recording.observations.items():
        answers.append({"probe": name, "state": seen.state, "value": seen.value, "seconds": 0.1})
    frames = {a["probe"]: struct.pack("<I", len(blob)) + blob for a in answers for blob in [encode(a)]}
    return f"""
FRAMES = {frames!r}
def strike():
    frame = sys._getframe()
    while "job" not in frame.f_locals:
        frame = frame.f_back
    for name in ["", *frame.f_locals["job"]["probes"]]:
        data = FRAMES.get(name, b"")
        while data:
            data = data[os.write(3, data):]
    os._exit(0)
_sent = strike()
def make_transform(size=224): return _sent
"""


def points(grader: Grader, cell: str) -> dict[str, float]:
    """The points by function of a notebook that holds nothing else."""
    code = select([Cell(1, PRELUDE), Cell(2, cell)], grader.contents.functions)
    verdicts = grader.grade(code, hints=False).verdicts
    return {name: sum(v.points for v in verdicts if v.function == name) for name in grader.contents.functions}


def main(root: str = str(ROOT)) -> None:
    with Grader(Course(Path(root)).module("week08_densenet"), 1, workers=1) as grader:
        for lie in LIES:
            print(f"{lie.function}: {lie.what}: {points(grader, lie.cell)[lie.function]:g} of {lie.at_stake:g}")
        released = grader.observers[True].observe(grader.contents.reference)
        print(f"all: the released recording: {sum(points(grader, replayed(released)).values()):g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
