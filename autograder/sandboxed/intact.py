"""Whether what observes a submission is still what it was before the submission's first line.

A submission's code shares its process with the probes, and can rebind any name there: a helper that looks at a figure, a
method of `torch.Tensor` that takes a copy. So all by which probes observe is noted before any of its code runs, and
compared as each of its functions returns, before the probe looks at what that did.
"""

import builtins
import dis
import functools
import itertools
import operator
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

STATUS = 86  # with which a process ends that is not intact
ENGINE = "autograder.sandboxed."
NOT_OBSERVING = {ENGINE + name for name in ("worker", "sandbox", "notebook", "cifar10")}
# The libraries' classes, and modules of them, whose objects probes look at: what a probe names in them is noted.
LOOKED_AT = {
    *("torch.Tensor", "torch.nn.modules.module", "torch.optim.optimizer", "torch.utils.data.dataloader", "PIL.Image"),
    *("matplotlib.figure", "matplotlib.axes._base", "matplotlib.axes._axes", "matplotlib.lines", "matplotlib.legend"),
    *("matplotlib.collections", "matplotlib.text", "matplotlib.artist"),
}
BY_SYNTAX = {"__call__", "__iter__", "__next__", "__len__", "__getitem__", "__getattribute__", "__class__"}

Owner = types.ModuleType | type


@functools.cache
def guard(package: str) -> Callable[[], None]:
    """A function that ends this process unless all by which the probes of `package` observe is as it is now.

    So a probe leaves what it names as it is. The function keeps all that it needs to itself: what it calls by a name could be
    exchanged too.
    """
    modules = [sys.modules[name] for name in sys.modules if name.startswith((f"{package}.", ENGINE))]
    modules = [module for module in modules if module.__name__ not in NOT_OBSERVING]
    functions = list(dict.fromkeys(_functions(modules)))
    names: dict[int, tuple[Owner, dict[str, None]]] = {}
    for owner, name in _places(modules, functions):
        names.setdefault(id(owner), (owner, {}))[1][name] = None
    lookups = [_lookup(owner, list(wanted)) for owner, wanted in names.values()]
    values = [value for function in functions for value in vars(function).values() if hasattr(value, "__dict__")]
    owners = [*functions, *values]  # with its `Probe`, whose `ask` is what is asked
    marked = [vars(owner) for owner in owners] + [f.__kwdefaults__ for f in functions if f.__kwdefaults__]
    tables, unmarked = [table for table in marked if table], [table for table in marked if not table]
    # Python and torch.compile add names of their own to a module; one of a builtin's would be found in the builtin's place
    shadows = [(frozenset(vars(builtins)) - vars(module).keys(), vars(module)) for module in modules]

    cells = [cell for function in functions for cell in function.__closure__ or ()]
    parts: dict[str, Sequence[Any]] = dict.fromkeys(("__code__", "__defaults__", "__kwdefaults__"), functions)
    parts |= {"__dict__": owners, "cell_contents": cells}
    gets, get_values = [(operator.attrgetter(name), having) for name, having in parts.items()], dict.values

    def noted(chain: Any = itertools.chain, map: Any = map) -> Iterable[Any]:
        found = [lookup(table) for lookup, table in lookups]
        found += map(get_values, tables)  # the one part that can grow: it would displace the code of functions, which is next
        found += [map(get, having) for get, having in gets]
        together: Iterable[Any] = chain.from_iterable(found)
        return together

    kept = tuple(noted())  # alive, so that nothing else comes to have its place in memory
    gone = AttributeError, KeyError, ValueError  # one of the names, or of the cells' contents

    def look(map: Any = map, same: Any = operator.is_, all: Any = all, any: Any = any, end: Any = os._exit) -> None:
        try:
            intact = all(map(same, noted(), kept)) and not any(unmarked)
            intact = intact and all(names.isdisjoint(table) for names, table in shadows)
        except gone:
            intact = False
        if not intact:
            end(STATUS)

    return look


def followed(function: Any, look: Callable[[], None]) -> Any:
    """`function`, each call of which is followed by a `look`; a class as it is."""
    if isinstance(function, type) or not callable(function):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            look()

    return call


# --- what is noted ----------------------------------------------------------------------------------------------------


def _functions(modules: Iterable[types.ModuleType]) -> Iterator[types.FunctionType]:
    """The functions defined in these modules, those of their classes too."""
    for module in modules:
        mine = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
        for value in [*mine, *(part for kind in mine if isinstance(kind, type) for part in vars(kind).values())]:
            function = getattr(value, "__func__", getattr(value, "fget", value))
            while isinstance(function, types.FunctionType):
                yield function
                function = getattr(function, "__wrapped__", None)


def _places(modules: list[types.ModuleType], functions: list[types.FunctionType]) -> Iterator[tuple[Owner, str]]:
    """Every name of these modules and of their classes, what they name of others, and what they look at in objects."""
    for module in modules:
        yield from ((module, name) for name in vars(module))
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
        yield from ((kind, name) for kind in kinds for name in vars(kind) if _is_kept(kind, name))
    attributes = set(BY_SYNTAX)
    for function in functions:
        for code in _codes(function.__code__):
            yield from _named(code, function.__globals__, attributes)
    for kind in _kinds():
        yield from ((kind, name) for name in attributes if _is_kept(kind, name))


def _lookup(owner: Owner, names: list[str]) -> tuple[Callable[[Any], Any], Any]:
    """What gives the values of at least two `names`, and what it is to be given: a class, which may inherit them, itself."""
    if isinstance(owner, type):
        return operator.attrgetter(*names, "__class__", "__class__"), owner
    return operator.itemgetter(*names, "__name__"), vars(owner)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _named(code: types.CodeType, known: Mapping[str, Any], attributes: set[str]) -> Iterator[tuple[Owner, str]]:
    """The names that `code` looks up in builtins, modules and classes; those in other objects go to `attributes`."""
    found: Any = None
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found = known.get(name, vars(builtins).get(name))
            if name not in known and name in vars(builtins):
                yield builtins, name
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            is_place = isinstance(found, (types.ModuleType, type)) and name in vars(found)
            if is_place and found is not sys:  # a notebook may well exchange `sys.stdout`
                yield from [(found, name)] if isinstance(found, types.ModuleType) or _is_kept(found, name) else []
            else:
                attributes.add(name)
            found = vars(found)[name] if is_place else None
        else:
            found = None


def _is_kept(kind: type, name: str) -> bool:
    """Whether the class gives the same object each time it is asked for `name`: a class method is a new one each time."""
    return hasattr(kind, name) and getattr(kind, name) is getattr(kind, name)


def _kinds() -> Iterator[type]:
    """The classes of the libraries whose objects are looked at."""
    seen: set[type] = set()
    growing = [object]
    while growing:
        new = {kind for parent in growing for kind in type.__subclasses__(parent)} - seen
        seen |= new
        growing = list(new)
    return (kind for kind in seen if not LOOKED_AT.isdisjoint((kind.__module__, f"{kind.__module__}.{kind.__name__}")))
