"""A simulated accelerator: a PyTorch device that is not the CPU, on any machine.

    device = register()                          # device(type='sim', index=0)
    with count_synchronisations() as counter:
        train_one_epoch(net.to(device), loader, criterion, optimizer, device)
    print(counter.count)                         # how often the host waited for the device

Training functions are probed on it so that mistakes which only a GPU shows are found by graders without one: a tensor
left on the CPU raises what it raises beside a GPU ("Expected all tensors to be on the same device ..."), `.numpy()` is
refused, and every read from the device is counted. Results are the CPU's own, random numbers included.

How it works. PyTorch keeps one device type, PrivateUse1, for backends that others write. Here its tensors are ordinary
dense tensors (`torch.Tensor`, `nn.Parameter`) whose bytes lie in the machine's memory; only their label says "sim". An
operation on them is run by `_run`: look at the same bytes under the label "cpu", let PyTorch's CPU code compute, put
the label "sim" on the results. Autograd, `nn.Module.to` and the optimizers need no help: to them it is a GPU.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch._C._dynamo.guards import _reinterpret_tensor  # type: ignore[attr-defined]  # its stub lacks it
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "sim"

# DLPack, the exchange format between array libraries, numbers the kinds of devices; "extension" becomes PrivateUse1.
CPU, EXTENSION = 1, 12
KIND_OFFSET = 8  # bytes before that number in DLPack's C structure: the pointer to the data comes first

# Operations that take CPU tensors beside a GPU's: indices of any shape, or the one value to fill in.
TAKES_CPU_INDICES = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
TAKES_CPU_VALUE = ("fill", "fill_", "masked_fill", "masked_fill_", "_foreach_add_", "_foreach_mul_", "_foreach_div_")

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)

_torch: Any = torch  # for what is written there without types, and for what is replaced there

Twins = dict[int, tuple[torch.Tensor, torch.Tensor]]  # id of a CPU tensor: it, and the device's with its bytes

_libraries: list[torch.library.Library] = []  # registered kernels live as long as their Library object
_counters: list["Counter"] = []  # those that are counting now


def register() -> torch.device:
    """The simulated device; the first call in a process registers it with PyTorch.

    Forked processes inherit the device. But once a process that has it has called `backward()`, PyTorch refuses
    `backward()` in the processes forked from it: in a parent, leave training to the children.
    """
    if not _libraries:
        _setup_privateuseone_for_python_backend(NAME, backend_module=_BackendModule())
        every, aten = _torch.library.Library("_", "IMPL"), _torch.library.Library("aten", "IMPL")
        every.fallback(_run, "PrivateUse1")
        every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # autocast leaves the types alone
        # PyTorch's own code for these asks a backend for kernels that the CPU does not have: run the CPU's from here.
        for operation in (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default):
            aten.impl(operation, functools.partial(_run, operation), "PrivateUse1")
        for name, kernel in _KERNELS.items():
            aten.impl(name, kernel, "PrivateUse1")
        # With an accelerator about, loaders with pin_memory=True pin; for this one any memory will do.
        aten.impl("_pin_memory", lambda tensor, device=None: tensor.clone(), "CPU")
        _patch_python()
        _libraries.extend([every, aten])
    # By default backward() runs in a thread per device, and those are made once: at the process's first backward(),
    # which may have been before this. Without threads it runs in the caller's, as the CPU's backward() always does.
    torch.autograd.set_multithreading_enabled(False)
    return torch.device(NAME, 0)


@dataclass(eq=False)  # two counters with equal counts are still two
class Counter:
    count: int = 0


@contextlib.contextmanager
def count_synchronisations() -> Iterator[Counter]:
    """Counts how often the host waits for the device inside the `with` block: `.item()`, `.tolist()`, `.cpu()`,
    `float()`, `if`, `print`, indexing by a mask, `torch.accelerator.synchronize()`."""
    counter = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


def _count_one(*_: Any) -> None:
    for counter in _counters:
        counter.count += 1


def _on_device(tensor: torch.Tensor) -> bool:
    return tensor.device.type == NAME


def _relabel(tensor: torch.Tensor, kind: int) -> torch.Tensor:
    """The same bytes as a tensor of another kind of device; the new tensor keeps the old one's memory alive."""
    capsule = torch._C._to_dlpack(tensor)
    ctypes.c_int32.from_address(_capsule_pointer(capsule, b"dltensor") + KIND_OFFSET).value = kind
    return torch._C._from_dlpack(capsule)


@functools.cache
def _facts(operation: torch._ops.OpOverload) -> tuple[bool, bool, int]:
    """(has it an `out=`, must the host wait for its result, how many dimensions a CPU tensor beside the device's may
    have: -1 when none may be there)"""
    name, tags = operation._schema.name.removeprefix("aten::"), operation.tags
    waits = torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags and name != "index"
    pointwise = torch.Tag.pointwise in tags or name in TAKES_CPU_VALUE
    return torch.Tag.out in tags, waits, 64 if name in TAKES_CPU_INDICES else 0 if pointwise else -1


def _run(operation: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """Runs any operation that has a tensor of the device, or that is to make one, by the CPU's code."""
    has_out, waits, guest_dimensions = _facts(operation)
    twins: Twins = {}
    guests: list[torch.Tensor] = []
    cpu_args = _lower(args, twins, guests)
    cpu_kwargs = {name: _lower(value, twins, guests) for name, value in kwargs.items()}
    if twins and any(guest.dim() > guest_dimensions for guest in guests):
        _raise_two_devices(operation, args, kwargs)
    if waits:
        _count_one()
    # Some operations resize their `out=`, if only for a while. Borrowed memory cannot grow: compute elsewhere and copy.
    outputs = {name: value for name, value in kwargs.items() if has_out and isinstance(value, torch.Tensor)}
    for name, output in outputs.items():
        borrowed, cpu_kwargs[name] = cpu_kwargs[name], torch.empty_like(cpu_kwargs[name])
        twins[id(cpu_kwargs[name])] = borrowed, output
    result = operation(*cpu_args, **cpu_kwargs)
    for name, output in outputs.items():
        _write(output, cpu_kwargs[name])
    return _lift(result, twins, operation.is_view)


def _lower(value: Any, twins: Twins, guests: list[torch.Tensor]) -> Any:
    """An argument as the CPU's code takes it. Notes the device's tensors in `twins` and the CPU's in `guests`."""
    if isinstance(value, torch.Tensor):
        if not _on_device(value):
            guests.append(value)
            return value
        cpu = _relabel(value, CPU)
        twins[id(cpu)] = cpu, value
        return cpu
    if isinstance(value, list | tuple):
        return type(value)(_lower(item, twins, guests) for item in value)
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _lift(value: Any, twins: Twins, is_view: bool) -> Any:
    """A result of the CPU's code as the device's."""
    if isinstance(value, torch.Tensor):
        if id(value) in twins:  # computed in place
            return twins[id(value)][1]
        base = next(iter(twins.values()))[1] if is_view else None
        if base is not None and base.dtype == value.dtype:
            return _view(base, value.size(), value.stride(), value.storage_offset())
        return _relabel(value, EXTENSION)
    return type(value)(_lift(item, twins, is_view) for item in value) if isinstance(value, list | tuple) else value


def _write(tensor: torch.Tensor, cpu: torch.Tensor) -> None:
    """Gives a tensor of the device the shape and the values of a CPU tensor; in its own memory where they fit."""
    if tensor.shape == cpu.shape:
        _relabel(tensor, CPU).copy_(cpu)
    else:
        tensor.data = _relabel(cpu, EXTENSION)


def _view(base: torch.Tensor, size: Sequence[int], stride: Sequence[int], offset: int | torch.SymInt) -> torch.Tensor:
    """A tensor in the storage of `base`, as autograd wants views to be; an inference tensor if `base` is one."""
    size, stride = tuple(size), tuple(stride)  # plain ones: PyTorch 2.15 refuses a torch.Size
    if base.is_inference() == torch.is_inference_mode_enabled():
        view: torch.Tensor = _reinterpret_tensor(base, size, stride, offset)
        return view
    with torch.inference_mode(base.is_inference()):
        view = _reinterpret_tensor(base, size, stride, offset)
        return view


def _raise_two_devices(operation: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
    """The error of a GPU's kernel: it names the first tensor that is not where the tensors before it are."""
    names = [argument.name for argument in operation._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    lists = {name: value if isinstance(value, list | tuple) else [value] for name, value in given.items()}
    places = [(name, item.device) for name, items in lists.items() for item in items if isinstance(item, torch.Tensor)]
    common = places[0][1]
    name, place = next((name, place) for name, place in places if place != common)
    method = f"wrapper_{NAME.upper()}_{operation._schema.name.removeprefix('aten::')}"
    raise RuntimeError(f"Expected all tensors to be on the same device, but got {name} is on {place}, different from "
                       f"other tensors on {common} (when checking argument in method {method})")


def _to_copy(tensor: torch.Tensor, non_blocking: bool = False, memory_format: Any = None, **where: Any) -> torch.Tensor:
    """PyTorch's own wants pinned memory, which only C++ has, for a copy to the CPU with non_blocking=True."""
    return torch.empty_like(tensor, memory_format=memory_format or torch.preserve_format, **where).copy_(tensor)


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """Every copy between devices ends here: `.to()`, `.cpu()`, `copy_()`."""
    if not _on_device(target):
        _count_one()
    cpu_source, cpu_target = (_relabel(t, CPU) if _on_device(t) else t for t in (source, target))
    cpu_target.copy_(cpu_source)
    return target


def _as_strided(tensor: torch.Tensor, size: list[int], stride: list[int], offset: int | None = None) -> torch.Tensor:
    """Counts its offset from the beginning of the storage, of which `_run` sees only the part from the tensor on."""
    return _view(tensor, size, stride, 0 if offset is None else offset - tensor.storage_offset())


def _resize(tensor: torch.Tensor, size: list[int], *, memory_format: torch.memory_format | None = None) -> torch.Tensor:
    _write(tensor, _relabel(tensor, CPU).clone().resize_(size, memory_format=memory_format))
    return tensor


def _set_tensor(tensor: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    tensor.data = source
    return tensor


def _set_storage(tensor: torch.Tensor, storage: Any, offset: int, size: list[int], stride: Any = ()) -> torch.Tensor:
    cpu = torch.empty(0, dtype=tensor.dtype).set_(_copy_storage(storage, "cpu"), offset, size, stride)
    return _set_tensor(tensor, _relabel(cpu, EXTENSION))


_KERNELS = {"_to_copy": _to_copy, "_copy_from": _copy_from, "as_strided": _as_strided, "resize_": _resize,
            "set_.source_Tensor": _set_tensor, "set_.source_Storage_storage_offset": _set_storage}


def _copy_storage(storage: Any, device: str) -> torch.UntypedStorage:
    """A copy of a storage's bytes on a device. PyTorch cannot make storages there: it asks for an allocator in C++."""
    copy: torch.UntypedStorage = _torch.UntypedStorage(storage.nbytes())
    ctypes.memmove(copy.data_ptr(), storage.data_ptr(), storage.nbytes())
    flat = torch.empty(0, dtype=torch.uint8).set_(copy)
    return copy if device == "cpu" else _relabel(flat, EXTENSION).untyped_storage()


class _BackendModule(_DummyBackendModule):
    """What `torch.sim` offers, as `torch.cuda` does for GPUs."""

    synchronize = staticmethod(_count_one)

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()  # the device draws from the CPU's generator

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def _patch_python() -> None:
    """Python functions of PyTorch that would ask the device's missing C++ code. Other devices' tensors go as before."""
    text: Callable[..., str] = torch._tensor_str._str
    apply, to_cpu, clone = _torch.nn.Module._apply, _torch.UntypedStorage.cpu, _torch.UntypedStorage.clone

    def text_in_one_read(tensor: torch.Tensor, **kwargs: Any) -> str:
        """Formatting takes a dozen operations and reads; what the student wrote is one."""
        if not _on_device(tensor):
            return text(tensor, **kwargs)
        _count_one()
        counting, _counters[:] = _counters[:], []
        try:
            return text(tensor, **kwargs)
        finally:
            _counters[:] = counting

    def apply_in_place(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        """`.to(device)` keeps a network's Parameter objects on the way to a GPU, so an optimizer made before it goes on
        working. For our device PyTorch makes new ones: give the old ones what the new ones hold."""
        before: dict[str, Any] = dict(module._parameters)
        apply(module, *args, **kwargs)
        for name, old in before.items():
            new: Any = module._parameters[name]
            if new is not old and _on_device(new) != _on_device(old):
                torch._C._swap_tensor_impl(old, new)
                module._parameters[name] = old
        return module

    _torch._tensor_str._str = text_in_one_read
    _torch.nn.Module._apply = apply_in_place
    # torch.save copies storages to the CPU, deepcopy clones them, torch.load puts them back where they were.
    _torch.UntypedStorage.cpu = lambda self: _copy_storage(self, "cpu") if _on_device(self) else to_cpu(self)
    _torch.UntypedStorage.clone = lambda self: _copy_storage(self, NAME) if _on_device(self) else clone(self)
    _torch.serialization.register_package(
        5, lambda storage: f"{NAME}:0" if _on_device(storage) else None,
        lambda storage, location: _copy_storage(storage, NAME) if location.startswith(NAME) else None)
    torch.accelerator.synchronize = _count_one
