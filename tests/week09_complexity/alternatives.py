# ruff: noqa: F821
"""Unusual right answers of week09_complexity, in as many styles as students have: all must get full marks.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import bisect
import contextlib
import dataclasses
import functools
import io
import itertools
import math
import operator
from collections import Counter, OrderedDict, defaultdict
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
import torch.nn as nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx import GraphModule, Interpreter, Tracer
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from autograder.authoring import alternative

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# ---------------------------------------------------------------------------------------------------------------------
# model_bytes


@alternative(of="model_bytes")
def bytes_by_nbytes(net):
    return sum(tensor.nbytes for tensor in itertools.chain(net.parameters(), net.buffers()))


@alternative(of="model_bytes")
def bytes_by_identity(net: nn.Module) -> int:
    seen: dict[int, torch.Tensor] = {}
    for layer in net.modules():
        for tensor in [*layer._parameters.values(), *layer._buffers.values()]:
            if tensor is not None:
                seen[id(tensor)] = tensor
    total = 0
    for tensor in seen.values():
        total += math.prod(tensor.shape) * tensor.dtype.itemsize
    return total


@alternative(of="model_bytes")
def bytes_by_storages(net):
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in [*net.parameters(), *net.buffers()]}
    return sum(storages.values())


@alternative(of="model_bytes")
def bytes_of_a_set(net):
    tensors = set(net.parameters()) | set(net.buffers())
    return int(np.sum([np.prod(t.shape, dtype=np.int64) * t.element_size() for t in tensors]))


@alternative(of="model_bytes")
def bytes_by_dtype(net):
    numbers = Counter()
    for _, tensor in [*net.named_parameters(), *net.named_buffers()]:
        numbers[tensor.dtype] += tensor.nelement()
    return sum(count * torch.empty((), dtype=dtype).element_size() for dtype, count in numbers.items())


@alternative(of="model_bytes")
def bytes_recursively(net):
    seen = set()

    def own(layer):
        total = 0
        for tensor in [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            if tensor not in seen:
                seen.add(tensor)
                total += tensor.numel() * tensor.element_size()
        return total + sum(own(child) for child in layer.children())

    return own(net)


# ---------------------------------------------------------------------------------------------------------------------
# count_macs


@alternative(of="count_macs")
def macs_by_pytorchs_counter(net, input_shape=(3, 224, 224)):
    paper = deepcopy(net).to("meta").eval()
    kind = next(paper.parameters()).dtype
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        paper(torch.empty(1, *input_shape, device="meta", dtype=kind))
    return counter.get_total_flops() // 2


@alternative(of="count_macs")
def macs_with_fake_tensors(net, input_shape=(3, 224, 224)):
    copy = deepcopy(net).eval()
    total = []

    def hook(layer, inputs, output):
        per_number = layer.in_features if isinstance(layer, nn.Linear) else layer.weight.shape[1:].numel()
        total.append(math.prod(output.shape) * per_number)

    for layer in copy.modules():
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(hook)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        copy(torch.empty((1, *input_shape), dtype=next(copy.parameters()).dtype))
    return sum(total)


@alternative(of="count_macs")
def macs_with_other_forwards(net, input_shape=(3, 224, 224)):
    """Each layer's `forward` is wrapped, on a copy made through a file."""
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    copy = torch.load(file, weights_only=False).to(device="meta").float()
    copy.train(False)
    macs = defaultdict(int)

    def wrapped(layer):
        forward = layer.forward

        @functools.wraps(forward)
        def counting(x):
            output = forward(x)
            macs[layer] += output.numel() * (layer.weight.numel() // layer.weight.size(0))
            return output

        return counting

    for layer in copy.modules():
        if isinstance(layer, COUNTED):
            layer.forward = wrapped(layer)
    copy(torch.rand(1, *input_shape, device="meta"))
    return sum(macs.values())


@alternative(of="count_macs")
def macs_with_weights_on_paper(net, input_shape=(3, 224, 224)):
    """The network itself is called, with other weights, and everything is put back."""
    tensors = dict([*net.named_parameters(remove_duplicate=False), *net.named_buffers(remove_duplicate=False)])
    kind = next(net.parameters()).dtype
    total = 0

    def hook(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features
        else:
            total += output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)

    modes = {layer: layer.training for layer in net.modules()}
    handles = [layer.register_forward_hook(hook) for layer in modes if isinstance(layer, COUNTED)]
    try:
        net.eval()
        paper = {name: tensor.to("meta") for name, tensor in tensors.items()}
        with torch.no_grad():
            functional_call(net, paper, (torch.zeros(1, *input_shape, device="meta", dtype=kind),), tie_weights=False)
    finally:
        for handle in handles:
            handle.remove()
        for layer, mode in modes.items():
            layer.training = mode
    return total


@alternative(of="count_macs")
def macs_by_a_hook_for_all(net, input_shape=(3, 224, 224)):
    """A hook of every module there is, taken away again."""
    paper = deepcopy(net, {id(tensor): tensor.to("meta") for tensor in [*net.parameters(), *net.buffers()]}).eval()
    counts = []

    def hook(layer, inputs, output):
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            counts.append(int(np.prod(output.shape)) * int(np.prod(layer.weight.shape[1:])))

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        with torch.inference_mode():
            paper(torch.empty(1, *input_shape, device="meta", dtype=next(iter(paper.parameters())).dtype))
    finally:
        handle.remove()
    return sum(counts)


class _Counting(TorchDispatchMode):
    """Counts in the operations themselves."""

    def __init__(self):
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.macs += out.numel() * args[1][0].numel()
        elif name == "addmm":
            self.macs += out.numel() * args[1].shape[-1]
        elif name in ("mm", "bmm"):
            self.macs += out.numel() * args[0].shape[-1]
        return out


@alternative(of="count_macs")
def macs_by_dispatch(net, input_shape=(3, 224, 224)):
    paper = deepcopy(net).to("meta", torch.float32).eval()
    with _Counting() as counting, torch.no_grad():
        paper(torch.empty(1, *input_shape, device="meta"))
    return counting.macs


class _LeavesKept(Tracer):
    """Goes into containers, and into no layer without children."""

    def is_leaf_module(self, m, module_qualified_name):
        return not list(m.children())


class _CountingInterpreter(Interpreter):
    macs = 0

    def call_module(self, target, args, kwargs):
        layer, out = self.fetch_attr(target), super().call_module(target, args, kwargs)
        if isinstance(layer, COUNTED):
            self.macs += out.numel() * math.prod(layer.weight.shape[1:])
        return out


@alternative(of="count_macs")
def macs_by_a_traced_graph(net, input_shape=(3, 224, 224)):
    paper = deepcopy(net).to("meta", torch.float32).eval()
    interpreter = _CountingInterpreter(GraphModule(paper, _LeavesKept().trace(paper)))
    interpreter.run(torch.empty(1, *input_shape, device="meta"))
    return interpreter.macs


@alternative(of="count_macs")
def macs_for_real_where_that_is_cheap(net, input_shape=(3, 224, 224)):
    """A real image where it is small, and one on paper where it is not; each weight at each place."""
    device = "cpu" if math.prod(input_shape) < 10_000 else "meta"
    copy = deepcopy(net).eval().float().to(device)
    rows = []

    def hook(layer, inputs, output):
        places = output.numel() // layer.weight.shape[0]
        rows.append(places * layer.weight.numel())

    for layer in filter(lambda layer: isinstance(layer, COUNTED), copy.modules()):
        layer.register_forward_hook(hook)
    with torch.no_grad():
        copy(torch.ones((1,) + tuple(input_shape), device=device))
    return functools.reduce(operator.add, rows, 0)


# ---------------------------------------------------------------------------------------------------------------------
# activation_bytes


def _leaves(net):
    return [layer for layer in net.modules() if next(layer.children(), None) is None]


@alternative(of="activation_bytes")
def activations_for_real(net, input_shape, batch_size, dtype=torch.float32):
    """A real batch through a copy; the outputs are held, so that no address is used twice."""
    copy, outputs = deepcopy(net).train(), []
    for layer in _leaves(copy):
        layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    copy(torch.randn(batch_size, *input_shape, dtype=next(copy.parameters()).dtype))
    places = {}
    for output in outputs:
        storage = output.untyped_storage()
        places[storage.data_ptr()] = storage.nbytes() // output.element_size()
    return sum(places.values()) * torch.zeros(1, dtype=dtype).element_size()


@alternative(of="activation_bytes")
def activations_on_the_network_itself(net, input_shape, batch_size, dtype=torch.float32):
    """The network itself runs, and all that this changes is put back."""
    saved = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    modes = [(layer, layer.training) for layer in net.modules()]
    outputs, handles = [], []
    for layer in _leaves(net):
        handles.append(layer.register_forward_hook(lambda *call: outputs.append(call[-1])))
    net.train()
    with contextlib.ExitStack() as at_the_end:
        at_the_end.enter_context(torch.no_grad())
        for handle in handles:
            at_the_end.callback(handle.remove)
        net(torch.zeros((batch_size, *input_shape), dtype=next(net.parameters()).dtype))
    net.load_state_dict(saved)
    for layer, mode in modes:
        layer.training = mode
    sizes = {output.untyped_storage().data_ptr(): output.nelement() for output in outputs}
    return sum(sizes.values()) * (torch.finfo(dtype).bits // 8)


@alternative(of="activation_bytes")
def activations_by_weak_references(net, input_shape, batch_size, dtype=torch.float32):
    paper, seen, total = deepcopy(net).to("meta", dtype).train(), {}, 0

    def hook(layer, inputs, output):
        nonlocal total
        reference = StorageWeakRef(output.untyped_storage())
        if reference not in seen:
            seen[reference] = output
            total += output.numel() * output.element_size()

    for layer in _leaves(paper):
        layer.register_forward_hook(hook)
    paper(torch.empty(batch_size, *input_shape, device="meta", dtype=dtype))
    return total


@alternative(of="activation_bytes")
def activations_by_comparison(net, input_shape, batch_size, dtype=torch.float32):
    """Every output is compared with all before."""
    paper, different = deepcopy(net).double().to("meta"), []

    def hook(_, __, output):
        if not any(torch._C._is_alias_of(output, other) for other in different):
            different.append(output)

    for layer in _leaves(paper):
        layer.register_forward_hook(hook)
    with torch.no_grad():
        paper.train()(torch.empty(batch_size, *input_shape, device="meta", dtype=torch.double))
    return dtype.itemsize * sum(output.shape.numel() for output in different)


@alternative(of="activation_bytes")
def activations_with_fake_tensors(net, input_shape, batch_size, dtype=torch.float32):
    sizes, alive = {}, []
    with FakeTensorMode() as mode:
        tensors = {id(t): mode.from_tensor(t) for t in [*net.parameters(), *net.buffers()]}
        copy = deepcopy(net, tensors).train()

        def hook(layer, inputs, output):
            alive.append(output)
            sizes[output.untyped_storage()._cdata] = output.numel()

        for layer in _leaves(copy):
            layer.register_forward_hook(hook)
        with torch.no_grad():
            copy(torch.empty(batch_size, *input_shape, dtype=next(net.parameters()).dtype))
    return sum(sizes.values()) * dtype.itemsize


@alternative(of="activation_bytes")
def activations_of_a_pair(net, input_shape, batch_size, dtype=torch.float32):
    """Two images are enough: what batch norm refuses is one alone."""
    paper, sizes = deepcopy(net).to("meta", torch.float32).train(), {}
    for layer in _leaves(paper):
        layer.register_forward_hook(lambda _, __, out: sizes.update({out.untyped_storage(): out[0].numel()}))
    with torch.no_grad():
        paper(torch.empty(2, *input_shape, device="meta"))
    return int(batch_size * sum(sizes.values()) * dtype.itemsize)


@alternative(of="activation_bytes")
def activations_by_a_hook_for_all(net, input_shape, batch_size, dtype=torch.float32):
    paper = deepcopy(net).to("meta").train()
    outputs = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda layer, inputs, output: None if list(layer.children()) else outputs.append(output)
    )
    try:
        paper(torch.empty(batch_size, *input_shape, device="meta", dtype=next(paper.parameters()).dtype))
    finally:
        handle.remove()
    count, storages = 0, []
    for output in tree_leaves(outputs):
        storage = output.untyped_storage()
        if not any(storage is other for other in storages):
            storages.append(storage)
            count += output.numel()
    return count * dtype.itemsize


# ---------------------------------------------------------------------------------------------------------------------
# training_bytes


@alternative(of="training_bytes")
def training_by_match(net, input_shape, batch_size, optimizer="adam"):
    match optimizer:
        case "sgd":
            copies = 0
        case "momentum":
            copies = 1
        case "adam":
            copies = 2
        case other:
            raise ValueError(f"{other}?")
    size = model_bytes(net) + activation_bytes(net, input_shape, batch_size)
    for parameter in net.parameters():
        if parameter.requires_grad:
            size += (copies + 1) * parameter.nbytes
    return size


@alternative(of="training_bytes")
def training_by_an_index(net, input_shape, batch_size, optimizer="adam"):
    copies = ["sgd", "momentum", "adam"].index(optimizer)  # raises ValueError by itself
    trained = [p for p in net.parameters() if p.requires_grad]
    gradients = sum(p.numel() * p.element_size() for p in trained)
    return sum((model_bytes(net), gradients, copies * gradients, activation_bytes(net, input_shape, batch_size)))


@alternative(of="training_bytes")
def training_from_one_image(net, input_shape, batch_size, optimizer="adam"):
    class UnknownOptimizer(ValueError):
        pass

    state = {"sgd": 0, "momentum": 1, "adam": 2}.get(optimizer)
    if state is None:
        raise ValueError from UnknownOptimizer(optimizer)
    frozen = [p for p in net.parameters() if not p.requires_grad]
    all_bytes, frozen_bytes = (sum(p.nbytes for p in some) for some in (net.parameters(), frozen))
    pair = activation_bytes(net, input_shape, batch_size=2, dtype=torch.float32)
    return model_bytes(net=net) + (1 + state) * (all_bytes - frozen_bytes) + pair * batch_size // 2


@alternative(of="training_bytes")
def training_without_the_others(net, input_shape, batch_size, optimizer="adam"):
    """Everything is counted here once more."""
    if optimizer not in ("sgd", "momentum", "adam"):
        raise ValueError(optimizer)
    copies = {"sgd": 1, "momentum": 2, "adam": 3}[optimizer]
    total = 0
    for parameter in net.parameters():
        total += parameter.nbytes * (1 + (copies if parameter.requires_grad else 0))
    total += sum(buffer.nbytes for buffer in net.buffers())
    paper, storages = deepcopy(net).to("meta", torch.float32).train(), {}
    for layer in _leaves(paper):
        layer.register_forward_hook(lambda _, __, out: storages.update({out.untyped_storage(): out.numel()}))
    with torch.no_grad():
        paper(torch.empty(batch_size, *input_shape, device="meta"))
    return total + 4 * sum(storages.values())


@alternative(of="training_bytes")
def training_of_parts(net, input_shape, batch_size, optimizer="adam"):
    @dataclasses.dataclass
    class Parts:
        weights: int
        gradients: int
        state: int
        activations: int

    gradients = sum(w.numel() * w.element_size() for w in net.parameters() if w.requires_grad)
    try:
        state = dict(sgd=0, momentum=1, adam=2)[optimizer] * gradients
    except KeyError:
        raise ValueError(f"no optimizer is called {optimizer}") from None
    buffers = sum(b.numel() * b.element_size() for b in net.buffers())
    weights = sum(w.numel() * w.element_size() for w in net.parameters())
    parts = Parts(weights + buffers, gradients, state, activation_bytes(net, input_shape, batch_size))
    return sum(dataclasses.astuple(parts))


# ---------------------------------------------------------------------------------------------------------------------
# largest_batch


@alternative(of="largest_batch")
def batch_by_halving(net, input_shape, memory_bytes, optimizer="adam"):
    """Doubles until it is too much, then halves the interval."""

    def fits(batch):
        return training_bytes(net, input_shape, batch, optimizer) <= memory_bytes

    if not fits(1):
        return 0
    low = 1
    while fits(2 * low):
        low *= 2
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@alternative(of="largest_batch")
def batch_by_bisect(net, input_shape, memory_bytes, optimizer="adam"):
    most = range(1, memory_bytes + 2)
    return bisect.bisect_right(most, memory_bytes, key=lambda batch: training_bytes(net, input_shape, batch, optimizer))


@alternative(of="largest_batch")
def batch_by_the_ledger(net, input_shape, memory_bytes, optimizer="adam"):
    image = activation_bytes(net, input_shape, 1)
    fixed = training_bytes(net, input_shape, 1, optimizer=optimizer) - image
    return max((memory_bytes - fixed) // image, 0)


@alternative(of="largest_batch")
def batch_from_the_parts(net, input_shape, memory_bytes, optimizer="adam"):
    trained = sum(p.nbytes for p in net.parameters() if p.requires_grad)
    left = memory_bytes - model_bytes(net) - {"sgd": 1, "momentum": 2, "adam": 3}[optimizer] * trained
    per_image = activation_bytes(net, input_shape, 8) // 8
    return left // per_image if left >= per_image else 0


@alternative(of="largest_batch")
def batch_by_estimate_and_correction(net, input_shape, memory_bytes, optimizer="adam"):
    """A guess in floating point, and steps from there."""
    one, two = (training_bytes(net, input_shape, n, optimizer) for n in (1, 2))
    guess = max(0, math.floor((memory_bytes - one) / (two - one)) - 2)
    while one + guess * (two - one) <= memory_bytes:
        guess += 1
    while guess > 0 and one + (guess - 1) * (two - one) > memory_bytes:
        guess -= 1
    return guess


@alternative(of="largest_batch")
def batch_bit_by_bit(net, input_shape, memory_bytes, optimizer="adam"):
    batch = 0
    for bit in reversed(range(34)):
        if training_bytes(net, input_shape, batch + 2**bit, optimizer) <= memory_bytes:
            batch += 2**bit
    return batch


@alternative(of="largest_batch")
def batch_without_the_others(net, input_shape, memory_bytes, optimizer="adam"):
    """Nothing of the notebook is called."""
    copies = {"sgd": 1, "momentum": 2, "adam": 3}[optimizer]
    fixed = sum(p.nbytes * (1 + copies * p.requires_grad) for p in net.parameters()) + sum(b.nbytes for b in net.buffers())
    paper, storages = deepcopy(net).to("meta", torch.float32).train(), {}
    for layer in _leaves(paper):
        layer.register_forward_hook(lambda _, __, out: storages.update({out.untyped_storage(): out.numel()}))
    with torch.no_grad():
        paper(torch.empty(1, *input_shape, device="meta"))
    return max(0, int((Fraction(memory_bytes) - fixed) // (4 * sum(storages.values()))))


# ---------------------------------------------------------------------------------------------------------------------
# seconds_per_image


@alternative(of="seconds_per_image")
def seconds_with_isnan(macs, flops_per_second, utilisation=1.0):
    for rate in (flops_per_second, utilisation):
        if math.isnan(rate) or rate <= 0:
            raise ValueError("rates must be positive")
    return float(macs + macs) / flops_per_second / utilisation


@alternative(of="seconds_per_image")
def seconds_by_numpy(macs, flops_per_second, utilisation=1.0):
    rates = np.array([flops_per_second, utilisation], dtype=float)
    if not np.all(rates > 0):
        raise ValueError(rates.tolist())
    return float(np.float64(2 * macs) / rates.prod())


@alternative(of="seconds_per_image")
def seconds_by_fractions(macs, flops_per_second, utilisation=1.0):
    positive = flops_per_second > 0 < utilisation
    if positive is False:
        raise ValueError
    return float(Fraction(2 * macs) / Fraction(flops_per_second) / Fraction(utilisation))


@alternative(of="seconds_per_image")
def seconds_by_decimals(macs: int, flops_per_second: float, utilisation: float = 1.0) -> float:
    if min(flops_per_second, utilisation) <= 0 or flops_per_second != flops_per_second or utilisation != utilisation:
        raise ValueError("not positive")
    if macs == 0:
        return 0.0
    return float(Decimal(2 * macs) / (Decimal(flops_per_second) * Decimal(utilisation)))


# ---------------------------------------------------------------------------------------------------------------------
# complexity_table


@alternative(of="complexity_table")
def table_of_comprehensions(builders, input_shape, memory_bytes):
    nets = {name: build() for name, build in builders.items()}
    return [
        dict(
            name=name,
            parameters=sum(map(torch.Tensor.nelement, net.parameters())),
            bytes=model_bytes(net),
            macs=count_macs(net, input_shape=input_shape),
            activation_bytes=activation_bytes(net, input_shape, batch_size=1, dtype=torch.float32),
            largest_batch=largest_batch(net, input_shape, memory_bytes=memory_bytes, optimizer="adam"),
        )
        for name, net in nets.items()
    ]


@alternative(of="complexity_table")
def table_with_further_columns(builders, input_shape, memory_bytes):
    rows = []
    for name in builders:
        net = builders[name]()
        row = OrderedDict(trainable=sum(p.numel() for p in net.parameters() if p.requires_grad), network=type(net))
        row["largest_batch"] = largest_batch(net, input_shape, memory_bytes)
        row["activation_bytes"] = activation_bytes(net, input_shape, 1)
        row["macs"], row["flops"] = count_macs(net, input_shape), 2 * count_macs(net, input_shape)
        row["bytes"], row["MiB"] = model_bytes(net), model_bytes(net) / 2**20
        row["parameters"], row["name"] = sum(p.numel() for p in net.parameters()), name
        rows.append(row)
    return rows


@dataclasses.dataclass
class _Row:
    name: str
    parameters: int
    bytes: int
    macs: int
    activation_bytes: int
    largest_batch: int


@alternative(of="complexity_table")
def table_of_dataclasses(builders, input_shape, memory_bytes):
    def row(name, build):
        net = build()
        count = sum(math.prod(parameter.shape) for parameter in net.parameters())
        room = largest_batch(net, input_shape, memory_bytes)
        return _Row(name, count, model_bytes(net), count_macs(net, input_shape), activation_bytes(net, input_shape, 1), room)

    return [dataclasses.asdict(row(*item)) for item in builders.items()]


@alternative(of="complexity_table")
def table_that_searches_itself(builders, input_shape, memory_bytes):
    """The largest batch is computed here, and every network is built for each column anew."""
    table = []
    for name, build in builders.items():
        image = activation_bytes(build(), input_shape, 1)
        fixed = training_bytes(build(), input_shape, 1, "adam") - image
        row = {"name": str(name), "parameters": sum(p.numel() for p in build().parameters()), "bytes": model_bytes(build())}
        row |= {"macs": count_macs(build(), input_shape), "activation_bytes": image}
        table += [row | {"largest_batch": max(0, (memory_bytes - fixed) // image)}]
    return table
