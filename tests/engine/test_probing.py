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


@pytest.mark.parametrize(
    ("own", "call", "taken"),
    [
        ("def g(net, loader): pass", "g(1, 2)", (1, 2, "own", ())),  # has no device: what the stand-in has by default
        ("def g(model, loader): pass", "g(1, loader=2)", (1, 2, "own", ())),
        ("def g(model, batches): pass", "g(1, 2)", (1, 2, "own", ())),
        ("def g(net, loader): pass", "g(1, 2, 3)", (1, 2, 3, ())),  # called as the contract has it
        ("def g(net, loader): pass", "g(1, 2, device=3)", (1, 2, 3, ())),
        ("def g(net, loader, optimizer, device): pass", "g(1, 2, 9, 3)", (1, 2, 3, (9,))),
        ("def g(model, batches, optimizer, device): pass", "g(1, 2, 9, 3)", (1, 2, 3, (9,))),
        ("def g(optimizer, net, loader, device): pass", "g(9, 1, 2, 3)", (1, 2, 3, (9,))),
        ("def g(net, loader, device, note): pass", "g(1, 2, 3)", (1, 2, 3, ())),
        ("def g(net, loader, device, note='x'): pass", "g(1, 2, 3)", (1, 2, 3, ())),
        ("def g(net, loader, device='cpu'): pass", "g(1, 2)", (1, 2, "cpu", ())),  # its own default, as when it ran
        ("def g(net, loader, where='cpu'): pass", "g(1, 2)", (1, 2, "cpu", ())),
        ("def g(net, loader, *more): pass", "g(1, 2, 3)", (1, 2, 3, ())),
    ],
)
def test_a_caller_is_not_charged_for_the_parameters_of_the_function_it_calls(own, call, taken):
    def stand_in(net, loader, device="own", *rest, **more):
        return net, loader, device, rest

    namespace = {}
    exec(own, namespace)
    with Student(namespace).replaced(g=stand_in):
        assert eval(call, namespace) == taken


@pytest.mark.parametrize(
    ("own", "call"),
    [
        ("def g(net, loader, device): pass", "g(1, 2)"),  # a device was to be given, and is not
        ("def g(net, loader): pass", "g(1)"),
        ("def g(net, loader): pass", "g(1, 2, 3, 4)"),
        ("def g(net, loader): pass", "g(1, 2, lr=3)"),
        ("def g(*anything): pass", "g(1, 2)"),
        ("def g(net, **anything): pass", "g(1, loader=2)"),
        ("", "g(1, 2)"),
    ],
)
def test_a_call_that_fits_neither_the_function_nor_the_contract_fails(own, call):
    def stand_in(net, loader, device="own"):
        return net, loader, device

    namespace = {}
    exec(own, namespace)
    with Student(namespace).replaced(g=stand_in), pytest.raises(TypeError):
        eval(call, namespace)


def test_a_stand_in_is_spared_what_it_does_not_take():
    namespace = {}
    exec("def g(x, times, **more): pass", namespace)
    with Student(namespace).replaced(g=lambda x: [x]):
        assert namespace["g"](1, 2, note=3) == [1]


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


def test_what_is_printed_on_a_kept_stream_goes_to_the_innermost_and_then_to_who_is_around():
    out = sys.stdout
    with printed() as around:
        print("one", file=out)
        with printed() as inside:
            print("two", file=out)
            print("three")
        assert inside.getvalue() == "two\nthree\n"
        print("four", file=out)
    assert around.getvalue() == "one\ntwo\nthree\nfour\n"


def test_a_probe_beside_another_has_its_draws():
    @probe("mean", beside="means")
    def more_means(student, draw): ...

    marked = more_means.__probe__
    assert (marked.name, marked.beside) == ("more_means", "means")
    assert marked.stream(3) == Probe("means", "mean", more_means).stream(3) != Probe("others", "mean", more_means).stream(3)


def test_what_a_class_made_is_called_under_the_same_eyes():
    looks = []

    class Layer:
        def __init__(self, width):
            self.width = width

        def __call__(self, x):
            return x * self.width

    student = Student({"Layer": Layer}, look=lambda: looks.append(len(looks)))
    layer = student.follow(student.Layer)(3)
    assert isinstance(layer, Layer) and looks == [0]
    assert student.follow(layer)(2) == 6 and looks == [0, 1]
