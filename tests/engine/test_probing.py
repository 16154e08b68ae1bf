"""What probes are written with: stand-ins that are called as the student's own functions are, and all that is printed."""

import logging
import sys

import pytest

from autograder.sandboxed.probing import Probe, Student, printed, probe


def stand_in(net, loader, *rest, **more):
    return net, loader, rest, more


@pytest.mark.parametrize(
    ("own", "call"),
    [
        ("def g(net, loader): pass", "g(1, 2)"),
        ("def g(net, loader): pass", "g(loader=2, net=1)"),
        ("def g(loader, net): pass", "g(2, 1)"),
        ("def g(model, batches): pass", "g(batches=2, model=1)"),
        ("def g(model, batches): pass", "g(1, batches=2)"),
        ("def g(*both): pass", "g(1, 2)"),
        ("def g(*, net, loader): pass", "g(net=1, loader=2)"),
        ("g = lambda net, loader: 0", "g(1, 2)"),
        ("class g:\n    def __init__(self, net, loader): pass", "g(1, loader=2)"),
        ("import functools\ndef h(a, net, loader): pass\ng = functools.partial(h, 0)", "g(1, 2)"),
        ("", "g(1, 2)"),
        ("g = 3", "g(1, 2)"),
    ],
)
def test_a_stand_in_is_called_as_the_function_it_replaces(own, call):
    namespace = {}
    exec(own, namespace)
    before = namespace.get("g")
    with Student(namespace).replaced(g=stand_in):
        assert eval(call, namespace) == (1, 2, (), {})
    assert namespace.get("g") is before


def test_a_stand_in_takes_what_else_is_given():
    namespace = {}
    exec("def g(net, loader, note='', **more): pass", namespace)
    with Student(namespace).replaced(g=stand_in):
        assert namespace["g"](1, 2, "x") == (1, 2, ("x",), {})
        assert namespace["g"](1, 2, lr=3) == (1, 2, (), {"lr": 3})
        assert namespace["g"].__name__ == "g"
        with pytest.raises(TypeError, match="loader"):
            namespace["g"](1)


def test_everything_printed_is_seen_also_on_streams_that_were_kept():
    out, err = sys.stdout, sys.stderr
    logger = logging.Logger("kept")
    logger.addHandler(logging.StreamHandler(out))
    with printed() as text:
        print("one")
        print("two", file=out)
        sys.stderr.write("three\nfour\n")
        err.write("five\n")
        logger.warning("six")
        assert text.lines == text.ended == 6
        print("sev", end="")
        assert (text.lines, text.ended) == (7, 6)
        print("en")
        assert text.lines == text.ended == 7
    assert (sys.stdout, sys.stderr) == (out, err)
    with printed() as text:
        pass
    print("not seen", file=out)
    assert text.lines == 0


def test_a_probe_beside_another_has_its_draws():
    @probe("mean", beside="means")
    def more_means(student, draw): ...

    marked = more_means.__probe__
    assert (marked.name, marked.beside) == ("more_means", "means")
    assert marked.stream(3) == Probe("means", "mean", more_means).stream(3) != Probe("others", "mean", more_means).stream(3)
