"""The simulated accelerator computes what the CPU computes, fails as a GPU fails, and leaves the CPU's work alone."""

import copy
import functools
import gc
import io
import os
import traceback
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import DenseNet

from autograder.sandboxed.device import count_synchronisations, register

CPU = torch.device("cpu")


def fork(function: Callable[[], None]) -> None:
    """Calls the function in a forked process and fails with its traceback."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # OpenMP's threads do not survive the fork
            function()
            os.write(write_end, b"passed")
        except BaseException:
            os.write(write_end, traceback.format_exc().encode()[-20_000:])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said == "passed", said or "the process died"


def in_its_own_process(test: Callable) -> Callable:
    """The device is registered once per process and for good: tests do it in a fork, not in pytest's own process."""

    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        fork(lambda: test(*args, **kwargs))

    return wrapper


def tiny_densenet() -> DenseNet:
    torch.manual_seed(0)
    return DenseNet(growth_rate=4, block_config=(2, 2, 2, 2), num_init_features=8, bn_size=2, drop_rate=0.2,
                    num_classes=10)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, 3, 32, 32, generator=generator), torch.randint(10, (8,), generator=generator)


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-4),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=1e-4),
    "Adam, not foreach": lambda parameters: torch.optim.Adam(parameters, lr=1e-4, foreach=False),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=1e-4),
}


def train(device: torch.device, optimizer: str = "SGD", steps: int = 3) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of a few steps, evaluation last, and the network's parameters and buffers on the CPU."""
    net, (images, labels), losses = tiny_densenet().to(device), batch(), []
    step = OPTIMIZERS[optimizer](net.parameters())
    images, labels = images.to(device, non_blocking=True), labels.to(device)
    for _ in range(steps):
        step.zero_grad()
        loss = nn.NLLLoss()(F.log_softmax(net(images), dim=1), labels)
        loss.backward()
        step.step()
        losses.append(loss.item())
    net.eval()
    with torch.inference_mode():
        losses.append(nn.CrossEntropyLoss()(net(images), labels).item())
    return losses, {name: tensor.cpu() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@in_its_own_process
def test_trains_as_the_cpu_does(optimizer):
    losses, weights = train(register(), optimizer)
    cpu_losses, cpu_weights = train(CPU, optimizer)
    assert losses == pytest.approx(cpu_losses, abs=1e-6)
    for name, tensor in cpu_weights.items():
        assert weights[name].dtype == tensor.dtype
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=0, msg=name)
    assert weights["features.norm0.num_batches_tracked"] == 3


def in_place_gradient(device):
    """Views and in-place operations, through which autograd must find its way."""
    leaf = torch.arange(6.0, device=device).requires_grad_()
    table = (leaf * 2).view(2, 3)
    table[1, 1:] *= 3
    table[:, 0].add_(1)
    table.t()[2].mul_(leaf[0])
    table[1:][0, 0] = leaf[5]
    table.sum().backward()
    return leaf.grad


def clipped(device):
    net = nn.Linear(3, 1, device=device)
    nn.init.ones_(net.weight)
    net(torch.ones(2, 3, device=device)).sum().backward()
    return nn.utils.clip_grad_norm_(net.parameters(), 1.0) * net.weight.grad


def filled(device):
    table = torch.zeros(4, 4, device=device)
    table[1:3, 2] = 5
    table[0] += 1
    table[table > 4] = 7
    table[torch.tensor([3])] = torch.tensor(9.0)  # indices and the one value may be the CPU's
    table *= 2
    return table


PROGRAMS = {
    "tensor": lambda on: torch.tensor(0.5, device=on) + torch.zeros(3, device=on) + torch.full((3,), 2.0, device=on),
    "arange": lambda on: torch.arange(5, device=on),
    "0-dim CPU tensor beside it": lambda on: torch.arange(3.0, device=on) * torch.tensor(2.0) + torch.tensor(1),
    "argmax": lambda on: torch.eye(4, device=on).flip(0).argmax(dim=1),
    "max": lambda on: torch.eye(4, device=on).max(dim=1)[1],
    "topk": lambda on: torch.arange(6.0, device=on).topk(2).indices,
    "one-hot": lambda on: F.one_hot(torch.arange(3, device=on)),
    "stack, cat": lambda on: torch.cat([torch.stack([torch.ones(2, device=on), torch.zeros(2, device=on)])] * 2),
    "mask": lambda on: torch.arange(5, device=on)[torch.arange(5, device=on) > 2],
    "CPU indices": lambda on: torch.arange(5, device=on)[torch.tensor([0, 2])],
    "where": lambda on: torch.where(torch.arange(3, device=on) > 1, 1.0, torch.tensor(0.0)),
    "slices": lambda on: torch.arange(12, device=on).view(3, 4).t()[1:, ::2].contiguous(),
    "diagonal": lambda on: torch.arange(12.0, device=on).view(3, 4)[:, 1:].diagonal() * 2,
    "unbind": lambda on: torch.stack(torch.arange(6, device=on).view(3, 2).unbind(1)[::-1]),
    "losses": lambda on: F.mse_loss(torch.ones(3, device=on), torch.zeros(3, device=on)),
    "smoothing": lambda on: F.cross_entropy(torch.eye(3, device=on), torch.arange(3, device=on), label_smoothing=0.1),
    "dropout": lambda on: (torch.manual_seed(0), F.dropout(torch.ones(9, device=on)))[1],
    "clipping": clipped,
    "quantile, median": lambda on: torch.arange(5.0, device=on).quantile(0.3) + torch.arange(5.0, device=on).median(),
    "linear": lambda on: nn.Linear(3, 2, device=on).weight.detach().zero_(),
    "new": lambda on: torch.ones(3, device=on).new_zeros(2),
    "resize": lambda on: torch.arange(3.0, device=on).resize_(2),
    "in place": filled,
    "in-place gradient": in_place_gradient,
}


@in_its_own_process
def test_computes_what_the_cpu_computes():
    device = register()
    for name, program in PROGRAMS.items():
        result, expected = program(device), program(CPU)
        assert result.device == device, name
        torch.testing.assert_close(result.cpu(), expected, atol=1e-6, rtol=1e-6, msg=name)


MISTAKES = {
    "labels left on the CPU": lambda net, images, labels, on: F.cross_entropy(net(images.to(on)), labels),
    "images left on the CPU": lambda net, images, labels, on: net(images),
    "network left on the CPU": lambda net, images, labels, on: net.cpu()(images.to(on)),
    "a discarded .to(device)": lambda net, images, labels, on: (images.to(on), net(images)),
    "predictions compared with CPU labels": lambda net, images, labels, on: net(images.to(on)).argmax(1) == labels,
    "a CPU tensor that sums up": lambda net, images, labels, on: torch.tensor(0.0).add_(net(images.to(on)).sum()),
    "a list of both": lambda net, images, labels, on: torch.stack([images.sum(), images.to(on).sum()]),
    "linear": lambda net, images, labels, on: nn.Linear(32, 1, device=on)(images),
    "before - after": lambda net, images, labels, on: net.features.conv0.weight - torch.zeros(8, 3, 7, 7),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@in_its_own_process
def test_two_devices_raise_what_a_gpu_raises(mistake):
    device = register()
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device") as error:
        MISTAKES[mistake](tiny_densenet().to(device), *batch(), device)
    assert "sim:0" in str(error.value) and "cpu" in str(error.value)


@in_its_own_process
def test_numpy_is_refused():
    tensor = torch.ones(3, device=register())
    with pytest.raises(TypeError, match="can't convert sim:0 device type tensor to numpy. Use Tensor.cpu()"):
        tensor.numpy()
    assert tensor.detach().cpu().clone().numpy().tolist() == [1, 1, 1]


@in_its_own_process
def test_indices_of_a_cpu_tensor_must_be_on_the_cpu():
    with pytest.raises(RuntimeError, match="indices should be either on cpu or on the same device"):
        torch.arange(3)[torch.tensor([0], device=register())]


READS = {
    "item": (1, lambda t: t.sum().item()),
    "tolist": (1, lambda t: t.tolist()),
    "tolist of a number": (1, lambda t: t.sum().tolist()),
    "cpu": (1, lambda t: t.cpu()),
    "to": (1, lambda t: t.to("cpu", non_blocking=True)),
    "copy_": (1, lambda t: torch.zeros(3).copy_(t)),
    "float": (1, lambda t: float(t.sum())),
    "int": (1, lambda t: int(t.sum())),
    "bool": (1, lambda t: bool(t.sum())),
    "if": (1, lambda t: 1 if t.sum() > 2 else 0),
    "equal": (1, lambda t: torch.equal(t, t)),
    "format": (1, lambda t: f"{t.sum():.3f}"),
    "print": (1, lambda t: print(t)),
    "repr of a loss": (1, lambda t: repr(t.sum())),
    "mask": (1, lambda t: t[t > 1]),
    "synchronize": (1, lambda t: torch.accelerator.synchronize()),
    "twice": (2, lambda t: [value.item() for value in t[:2]]),
    "sums stay there": (0, lambda t: (t + t).sum() / 3),
    "to the device": (0, lambda t: torch.ones(3).to(t.device)),
    "indexing": (0, lambda t: t[torch.tensor([0], device=t.device)]),
    "deepcopy": (0, copy.deepcopy),
    "the CPU's": (0, lambda t: [torch.ones(3).tolist(), torch.ones(3).cpu(), float(torch.ones(1)), str(torch.ones(1))]),
}


@in_its_own_process
def test_every_read_is_counted_once():
    tensor = torch.arange(3.0, device=register())
    for name, (reads, program) in READS.items():
        with count_synchronisations() as counter:
            program(tensor)
        assert counter.count == reads, name
        tensor.sum().item()
        assert counter.count == reads, f"{name}: counted after the block"


@in_its_own_process
def test_a_training_step_reads_nothing_by_itself():
    with count_synchronisations() as outer, count_synchronisations() as inner:
        train(register(), "Adam", steps=0)
    weights = len(tiny_densenet().state_dict())
    assert outer.count == inner.count == 1 + weights  # the evaluation's loss and the weights
    with count_synchronisations() as counter:
        train(register(), "Adam", steps=4)
    assert counter.count == 1 + weights + 4  # and a loss a step


@in_its_own_process
def test_networks_are_moved_copied_and_saved():
    device, (images, _) = register(), batch()
    net = tiny_densenet().eval()
    parameters, expected = list(net.parameters()), net(images).detach()
    net.to(device)
    assert all(now is before for now, before in zip(net.parameters(), parameters, strict=True))
    assert all(type(parameter) is nn.Parameter and parameter.is_leaf for parameter in parameters)
    twin, file = copy.deepcopy(net), io.BytesIO()
    torch.save(net.state_dict(), file)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(images.to(device)).detach().cpu(), expected)
    for place in (None, CPU, device):
        file.seek(0)
        weights = torch.load(file, map_location=place)
        assert weights["classifier.bias"].device == (place or device)
        net.load_state_dict(weights)
        torch.testing.assert_close(net(images.to(device)).detach().cpu(), expected)
    torch.testing.assert_close(net.cpu()(images).detach(), expected)
    assert torch.empty_like(parameters[0].to(device), device="cpu").device == CPU


@in_its_own_process
def test_an_optimizer_made_before_the_move_goes_on_working():
    device, (images, _) = register(), batch()
    net = nn.Conv2d(3, 2, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(images).sum().backward()
    net.to(device)
    assert net.weight.grad.device == device
    before, waiting = net.weight.detach().clone(), net(images.to(device))
    net.cpu()
    net.to(device)
    net(images.to(device)).sum().backward()
    optimizer.step()
    assert not torch.equal(net.weight, before) and waiting.device == device


@in_its_own_process
def test_memory_is_given_back_at_once():
    """Without waiting for Python's garbage collector: a training loop would pile up its batches."""
    gc.disable()
    device, memory = register(), torch.ones(1000)
    there = memory.to(device)
    (there.view(10, 100)[1:] + 1).sum().item()
    assert there._use_count() == 1


@in_its_own_process
def test_what_students_use_on_gpus():
    device = register()
    assert torch.accelerator.is_available() and torch.accelerator.current_accelerator().type == device.type
    images = torch.utils.data.TensorDataset(torch.arange(4.0))
    for (loaded,) in torch.utils.data.DataLoader(images, batch_size=2, pin_memory=True):
        assert loaded.to(device, non_blocking=True).device == device
    with torch.autocast(device.type):
        assert nn.Linear(2, 1, device=device)(torch.ones(1, 2, device=device)).dtype == torch.float32
    assert str(torch.ones(2, device=device)) == "tensor([1., 1.], device='sim:0')"


@in_its_own_process
def test_the_cpu_works_as_before():
    def cpu_work():
        net, file = tiny_densenet(), io.BytesIO()
        parameters = list(net.parameters())
        torch.save(copy.deepcopy(net).double().state_dict(), file)
        file.seek(0)
        net.to("cpu").load_state_dict(torch.load(file))
        assert all(now is before for now, before in zip(net.parameters(), parameters, strict=True))
        with torch.random.fork_rng():
            torch.rand(3)
        draws, shown = torch.rand(3).tolist(), str(net.classifier.weight)
        return train(CPU, "Adam"), draws, shown, torch.ones(2).device, torch.get_default_device()

    before = cpu_work()
    train(register())
    torch.testing.assert_close(cpu_work()[0], before[0], atol=0, rtol=0)
    assert cpu_work()[1:] == before[1:]


@in_its_own_process
def test_registering_twice_is_registering_once():
    assert register() == register() == torch.ones(1, device="sim").device


@in_its_own_process
def test_registered_before_the_fork():
    expected = train(CPU)[0]  # a backward() before the registration does no harm, in this process or in the next
    device = register()

    def child():
        assert train(device)[0] == train(register())[0] == pytest.approx(expected, abs=1e-6)

    fork(child)
    fork(child)


@in_its_own_process
def test_registered_after_the_fork():
    fork(lambda: train(register()))
    fork(lambda: train(register()))
