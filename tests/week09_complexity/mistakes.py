# ruff: noqa: F821
"""Known mistakes of week09_complexity: each a small wrong solution whose docstring is the hint the student reads.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import io
import math
import sys
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from autograder.authoring import mistake

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)

# ---------------------------------------------------------------------------------------------------------------------
# model_bytes


def _bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def forgets_the_buffers(net):
    """`net.parameters()` visits no buffers. Batch norm's running means and variances, and its counters, take room as
    well."""
    return _bytes(net.parameters())


@mistake(of="model_bytes", caught_by="test_shared_tensors_once")
def forgets_frozen_parameters(net):
    """A frozen parameter is not trained, but it is there and takes room. Leave `requires_grad` out of this count."""
    return _bytes([*(p for p in net.parameters() if p.requires_grad), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def takes_four_bytes_for_everything(net):
    """Every number is counted as four bytes. A float16 has two, a float64 and an int64 eight; batch norm's counter is an
    int64. Ask each tensor for its `element_size()`."""
    return 4 * sum(tensor.numel() for tensor in [*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def counts_numbers(net):
    """These are the numbers, not their bytes: each number takes `element_size()` bytes."""
    return sum(tensor.numel() for tensor in [*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def counts_numbers_of_parameters(net):
    """This is the number of parameters. Asked for are bytes, of parameters and of buffers."""
    return sum(parameter.numel() for parameter in net.parameters())


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def counts_what_is_saved(net):
    """`state_dict()` holds what is saved: it leaves out buffers with `persistent=False`, and lists a tensor that two
    layers hold twice."""
    return _bytes(net.state_dict().values())


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def forgets_what_is_not_saved(net):
    """`state_dict()` holds what is saved: buffers with `persistent=False` are missing. They take room all the same."""
    return _bytes({id(tensor): tensor for tensor in net.state_dict(keep_vars=True).values()}.values())


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def gives_a_bool_one_bit(net):
    """A truth value is counted as one bit. It takes a byte: ask each tensor for its `element_size()`."""
    sizes = [(each.numel(), 1 / 8 if each.dtype == torch.bool else each.element_size()) for each in net.buffers()]
    return round(_bytes(net.parameters()) + sum(numbers * size for numbers, size in sizes))


@mistake(of="model_bytes", caught_by="test_shared_tensors_once")
def counts_shared_tensors_in_every_layer(net):
    """A tensor that two layers hold is counted in each of them. It is one tensor in memory; `net.parameters()` and
    `net.buffers()`, asked of the whole network, visit it once."""
    own = ([*layer.parameters(recurse=False), *layer.buffers(recurse=False)] for layer in net.modules())
    return sum(_bytes(tensors) for tensors in own)


@mistake(of="model_bytes", caught_by="test_shared_tensors_once")
def counts_shared_buffers_twice(net):
    """Parameters that two layers share are counted once, buffers that two layers share in each. One tensor is there
    once, whichever of the two it is."""
    return _bytes([*net.parameters(), *(buffer for layer in net.modules() for buffer in layer.buffers(recurse=False))])


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def weighs_the_file(net):
    """The saved file is weighed. It holds names, shapes and padding besides, and lacks what is not saved."""
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    return file.tell()


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def takes_the_first_parameters_dtype(net):
    """All tensors are counted at the dtype of the first parameter. A network can hold several; ask each tensor."""
    size = next(net.parameters()).element_size()
    return size * sum(tensor.numel() for tensor in [*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def takes_four_bytes_for_buffers(net):
    """Parameters are counted at their own dtype, buffers at four bytes. Buffers can have any dtype: batch norm's counter
    is an int64, masks are bool."""
    return _bytes(net.parameters()) + 4 * sum(buffer.numel() for buffer in net.buffers())


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def forgets_buffers_of_whole_numbers(net):
    """Only floating-point tensors are counted. Batch norm's `num_batches_tracked` is an int64: eight bytes each."""
    return _bytes(tensor for tensor in [*net.parameters(), *net.buffers()] if tensor.is_floating_point())


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def counts_bits(net):
    """These are bits: `element_size()` gives bytes already."""
    return 8 * _bytes([*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def counts_mebibytes(net):
    """These are MiB. Asked for are bytes, as an int: divide where it is printed."""
    return _bytes([*net.parameters(), *net.buffers()]) / 2**20


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def weighs_python_objects(net):
    """`sys.getsizeof` weighs the Python object around a tensor with its numbers. Count the numbers alone: `numel()`
    times `element_size()`."""
    return sum(sys.getsizeof(tensor.untyped_storage()) for tensor in [*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_model_bytes_leaves_the_network")
def thaws_the_network(net):
    """`requires_grad_` changes the network: what was frozen is trained afterwards. `net.parameters()` visits frozen
    parameters as they are."""
    net.requires_grad_(True)
    return _bytes([*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_own_dtypes")
def makes_the_network_float32(net):
    """`net.float()` changes the network itself: its parameters are float32 from then on, and counted as that."""
    net.float()
    return _bytes([*net.parameters(), *net.buffers()])


@mistake(of="model_bytes", caught_by="test_bytes_of_densenet121")
def counts_weights_and_biases_of_children(net):
    """Only the network's children are asked for `weight` and `bias`. Layers can lie deeper, and parameters can have other
    names: `net.parameters()` finds all."""
    named = (getattr(layer, name, None) for layer in net.children() for name in ("weight", "bias"))
    return _bytes(tensor for tensor in named if tensor is not None)


# ---------------------------------------------------------------------------------------------------------------------
# count_macs


def _pass(net, input_shape, batch_size, hook: Callable, kinds=COUNTED, training=False) -> None:
    """One pass on paper in which `hook(layer, input, output)` is called after each layer of these kinds."""
    paper = deepcopy(net).to("meta", torch.float32).train(training)
    for layer in paper.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda layer, inputs, output: hook(layer, inputs[0], output))
    with torch.no_grad():
        paper(torch.empty(batch_size, *input_shape, device="meta"))


def _sum(net, input_shape, count: Callable, kinds=COUNTED, batch_size=1, training=False) -> int:
    """The sum of `count(layer, input, output)` over all calls of layers of these kinds."""
    counts = []
    _pass(net, input_shape, batch_size, lambda *call: counts.append(count(*call)), kinds, training)
    return sum(counts)


def _macs(layer, x, out) -> int:
    return out.numel() * layer.weight[0].numel()


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def counts_operations(net, input_shape=(3, 224, 224)):
    """This is twice the multiply–accumulates: floating-point operations, of which a multiplication and an addition are two,
    or the count of two images. Asked for are multiply–accumulates of one."""
    return 2 * _sum(net, input_shape, _macs)


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def counts_biases(net, input_shape=(3, 224, 224)):
    """The addition of the bias is counted too. Only the products with weights are asked for."""
    return _sum(net, input_shape, lambda layer, x, out: _macs(layer, x, out) + (layer.bias is not None) * out.numel())


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def ignores_groups(net, input_shape=(3, 224, 224)):
    """Every output channel is taken to read all input channels. With groups it reads those of its own group: `in_channels //
    groups`, as many as the weight's second side says."""

    def count(layer, x, out):
        if isinstance(layer, nn.Linear):
            return _macs(layer, x, out)
        return out.numel() * layer.in_channels * math.prod(layer.kernel_size)

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def divides_by_groups_twice(net, input_shape=(3, 224, 224)):
    """The groups are divided out twice: the weight's second side has only the channels of one group already."""
    return _sum(net, input_shape, lambda layer, x, out: _macs(layer, x, out) // getattr(layer, "groups", 1))


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def takes_the_inputs_size(net, input_shape=(3, 224, 224)):
    """The kernel is taken to stop at every place of the *input*. With a stride, or without padding, there are fewer places
    in the output: it is the output's numbers that are computed."""

    def count(layer, x, out):
        return out.shape[1] * math.prod(x.shape[2:]) * layer.weight[0].numel() if x.dim() > 3 else _macs(layer, x, out)

    return _sum(net, input_shape, count)


def _places(layer, x, padded=True, dilated=True) -> int:
    """Places of the output by the formula, perhaps a wrong one."""
    sides = []
    for side, kernel, stride, padding, dilation in zip(
        x.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=False
    ):
        pad = padding if padded and not isinstance(padding, str) else 0
        sides.append((side + 2 * pad - (dilation if dilated else 1) * (kernel - 1) - 1) // stride + 1)
    return math.prod(sides)


def _by_formula(layer, x, out, **wrong) -> int:
    if isinstance(layer, nn.Linear) or layer.padding == "same":
        return _macs(layer, x, out)
    return out.shape[0] * out.shape[1] * _places(layer, x, **wrong) * layer.weight[0].numel()


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def ignores_dilation(net, input_shape=(3, 224, 224)):
    """Dilation is left out of the output's size. A dilated kernel is wider, so it has fewer places in the image. Read the
    size off the output itself."""
    return _sum(net, input_shape, lambda *call: _by_formula(*call, dilated=False))


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def ignores_padding(net, input_shape=(3, 224, 224)):
    """Padding is left out of the output's size, so every convolution seems to shrink the image. Read the size off the
    output itself."""
    return _sum(net, input_shape, lambda *call: _by_formula(*call, padded=False))


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def takes_kernels_as_square(net, input_shape=(3, 224, 224)):
    """The kernel is taken as square: the first of its sides, squared. Multiply its sides, however many there are."""

    def count(layer, x, out):
        if isinstance(layer, nn.Linear):
            return _macs(layer, x, out)
        return out.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] ** 2

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def takes_the_first_side_for_all(net, input_shape=(3, 224, 224)):
    """The kernel's first side is taken for all of them. A kernel may be longer than it is wide: multiply its sides."""

    def count(layer, x, out):
        if isinstance(layer, nn.Linear):
            return _macs(layer, x, out)
        kernel = layer.kernel_size[0] ** len(layer.kernel_size)
        return out.numel() * (layer.in_channels // layer.groups) * kernel

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by=("test_macs_of_densenet121", "test_macs_of_convolutions"))
def takes_outputs_as_square(net, input_shape=(3, 224, 224)):
    """The output is taken as high as it is wide. Images need not be square: multiply all sides of the output."""

    def count(layer, x, out):
        return out.shape[1] * out.shape[-1] ** 2 * layer.weight[0].numel() if out.dim() == 4 else _macs(layer, x, out)

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_every_layer_once(net, input_shape=(3, 224, 224)):
    """A layer that is called twice is counted once: each call writes over the count of the one before. Add up calls, not
    layers."""
    counts = {}

    def count(layer, x, out):
        counts[layer] = _macs(layer, x, out)

    _pass(net, input_shape, 1, count)
    return sum(counts.values())


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_layers_that_are_never_called(net, input_shape=(3, 224, 224)):
    """Layers that the forward pass never calls are counted as well. Only a hook knows whether a layer worked; a list of
    modules does not."""
    called = set()

    def count(layer, x, out):
        called.add(layer.weight.shape)
        return _macs(layer, x, out)

    total = _sum(net, input_shape, count)
    idle = [layer for layer in net.modules() if isinstance(layer, COUNTED) and layer.weight.shape not in called]
    return total + sum(layer.weight.numel() for layer in idle)


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_a_shared_weight_once(net, input_shape=(3, 224, 224)):
    """Two layers that share a weight are counted as one. Sharing saves memory; both layers work."""
    first = {}
    for layer in net.modules():
        if isinstance(layer, COUNTED):
            first.setdefault(layer.weight, layer)
    copy = deepcopy(net)
    wanted = {name for name, layer in net.named_modules() if layer in first.values()}
    total = 0

    def count(layer, inputs, out):
        nonlocal total
        total += _macs(layer, inputs[0], out)

    copy.to("meta", torch.float32).eval()
    for name, layer in copy.named_modules():
        if name in wanted:
            layer.register_forward_hook(count)
    copy(torch.empty(1, *input_shape, device="meta"))
    return total


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_a_layer_under_each_of_its_names(net, input_shape=(3, 224, 224)):
    """A layer that has two names in the network gets two hooks, so each of its calls counts twice. `net.modules()` visits
    it once."""
    paper, total = deepcopy(net).to("meta", torch.float32).eval(), 0

    def count(layer, inputs, out):
        nonlocal total
        total += _macs(layer, inputs[0], out)

    for _, layer in paper.named_modules(remove_duplicate=False):
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(count)
    paper(torch.empty(1, *input_shape, device="meta"))
    return total


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def forgets_linear_layers(net, input_shape=(3, 224, 224)):
    """Only convolutions are counted. Linear layers multiply and accumulate too."""
    return _sum(net, input_shape, _macs, COUNTED[:3])


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def counts_convolutions_of_two_dimensions_alone(net, input_shape=(3, 224, 224)):
    """Only `nn.Conv2d` is counted. `nn.Conv1d` and `nn.Conv3d` are convolutions as well, for sequences and volumes."""
    return _sum(net, input_shape, _macs, (nn.Conv2d, nn.Linear))


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def forgets_subclasses(net, input_shape=(3, 224, 224)):
    """The class of a layer is compared with `==`, so subclasses of convolutions and linear layers are passed over.
    `isinstance` knows them."""
    return _sum(net, input_shape, lambda layer, *call: _macs(layer, *call) if type(layer) in COUNTED else 0)


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_one_row_of_a_sequence(net, input_shape=(3, 224, 224)):
    """A linear layer is counted as inputs times outputs, once. It does that for every row of a sequence: count all numbers
    of its output."""

    def count(layer, x, out):
        return layer.weight.numel() if isinstance(layer, nn.Linear) else _macs(layer, x, out)

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def counts_batch_norm(net, input_shape=(3, 224, 224)):
    """Batch norm's multiplications are counted too. Asked for are convolutions and linear layers alone."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return _sum(net, input_shape, _macs) + _sum(net, input_shape, lambda layer, x, out: out.numel(), norms)


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def counts_weights_once(net, input_shape=(3, 224, 224)):
    """These are the weights of the layers. A convolution uses each of its weights at every place of its output."""
    return _sum(net, input_shape, lambda layer, x, out: layer.weight.numel())


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def forgets_the_input_channels(net, input_shape=(3, 224, 224)):
    """Each number of a convolution's output is taken to cost the kernel's size. It reads that patch in every input channel
    of its group."""

    def count(layer, x, out):
        return _macs(layer, x, out) if isinstance(layer, nn.Linear) else out.numel() * math.prod(layer.kernel_size)

    return _sum(net, input_shape, count)


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def always_takes_224(net, input_shape=(3, 224, 224)):
    """The image is 224 × 224 whatever `input_shape` says. Look for a shape that is written down."""
    return _sum(net, (3, 224, 224), _macs)


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def has_another_default_shape(net, input_shape=(3, 32, 32)):
    """Without a shape the image has 32 × 32 pixels. Look at the default in the function's first line."""
    return _sum(net, input_shape, _macs)


@mistake(of="count_macs", caught_by="test_macs_of_a_large_image")
def computes_the_image(net, input_shape=(3, 224, 224)):
    """The image is really computed, so a large one takes minutes, or more memory than there is. On the device "meta"
    tensors have shapes and no numbers."""
    copy = deepcopy(net).float().eval()
    counts = []
    for layer in copy.modules():
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(lambda layer, inputs, out: counts.append(_macs(layer, inputs[0], out)))
    with torch.no_grad():
        copy(torch.zeros(1, *input_shape))
    return sum(counts)


@mistake(of="count_macs", caught_by="test_macs_with_one_value_a_channel")
def counts_in_training_mode(net, input_shape=(3, 224, 224)):
    """The pass is in training mode: batch norm refuses a single value in each channel, and heads that only help training
    are counted. Set the copy to evaluation mode."""
    return _sum(net, input_shape, _macs, training=True)


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def counts_two_images_in_training_mode(net, input_shape=(3, 224, 224)):
    """The pass is in training mode, with two images so that batch norm takes them: heads that only help training are counted.
    Set the copy to evaluation mode."""
    return _sum(net, input_shape, _macs, batch_size=2, training=True) // 2


@mistake(of="count_macs", caught_by=("test_macs_of_each_call", "test_macs_with_one_value_a_channel"))
def leaves_the_mode_as_it_comes(net, input_shape=(3, 224, 224)):
    """The pass runs in whatever mode the network is in. A new network is in training mode: batch norm refuses a single value
    in each channel, and heads that only help training are counted. Set the copy to evaluation mode."""
    return _sum(net, input_shape, _macs, training=net.training)


def _on_the_network_itself(net, input_shape, remove=True) -> int:
    """A count with hooks and a real image on the network that was given; on paper where that is too large."""
    if math.prod(input_shape) > 10**6:
        return _sum(net, input_shape, _macs)
    counts, handles = [], []
    for layer in net.modules():
        if isinstance(layer, COUNTED):
            hook = lambda layer, inputs, out: counts.append(_macs(layer, inputs[0], out))  # noqa: E731
            handles.append(layer.register_forward_hook(hook))
    with torch.no_grad():
        net(torch.zeros(1, *input_shape, dtype=next(net.parameters()).dtype))
    for handle in handles if remove else ():
        handle.remove()
    return sum(counts)


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def leaves_evaluation_mode(net, input_shape=(3, 224, 224)):
    """`net.eval()` is never undone: the network comes back in evaluation mode. Work on a copy, or note every part's mode
    and put it back."""
    net.eval()
    return _on_the_network_itself(net, input_shape)


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def sets_training_mode_afterwards(net, input_shape=(3, 224, 224)):
    """The whole network is put into training mode afterwards, whatever mode its parts were in. Work on a copy, or put back
    each part's own mode."""
    net.eval()
    total = _on_the_network_itself(net, input_shape)
    net.train()
    return total


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def hooks_a_layer_for_each_parent(net, input_shape=(3, 224, 224)):
    """A layer that two parts of the network hold is met twice on the way through the children, gets two hooks, and each of its
    calls counts twice. `net.modules()` visits every layer once."""
    paper, counts = deepcopy(net).to("meta", torch.float32).eval(), []

    def visit(layer):
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(lambda layer, inputs, out: counts.append(_macs(layer, inputs[0], out)))
        for child in layer.children():
            visit(child)

    visit(paper)
    with torch.no_grad():
        paper(torch.empty(1, *input_shape, device="meta"))
    return sum(counts)


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def puts_one_mode_back_for_all(net, input_shape=(3, 224, 224)):
    """`net.train(before)` puts all parts into the mode of the whole. A part can be in another one, such as a batch norm that
    is kept in evaluation mode. Work on a copy, or put back each part's own mode."""
    before = net.training
    net.eval()
    total = _on_the_network_itself(net, input_shape)
    net.train(before)
    return total


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def leaves_its_hooks(net, input_shape=(3, 224, 224)):
    """The hooks stay on the network and are called at each further pass. Each has a handle that takes it away:
    `handle.remove()`."""
    modes = [(layer, layer.training) for layer in net.modules()]
    net.eval()
    total = _on_the_network_itself(net, input_shape, remove=False)
    for layer, mode in modes:
        layer.training = mode
    return total


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def removes_the_hooks_of_others(net, input_shape=(3, 224, 224)):
    """All hooks are removed, also those that somebody else had registered. Keep the handles of your own."""
    total = _sum(net, input_shape, _macs)
    for layer in net.modules():
        layer._forward_hooks.clear()
    return total


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def sends_the_network_itself_to_meta(net, input_shape=(3, 224, 224)):
    """`net.to("meta")` changes the network itself: all its weights are lost. Send a copy (`copy.deepcopy`)."""
    total = _sum(net, input_shape, _macs)
    net.to("meta")
    return total


@mistake(of="count_macs", caught_by="test_counting_leaves_other_networks")
def makes_the_network_itself_float32(net, input_shape=(3, 224, 224)):
    """`net.float()`, like `net.to(…)`, changes the network itself. Change a copy (`copy.deepcopy`), or give the image the
    network's dtype."""
    return _sum(net.float(), input_shape, _macs)


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def freezes_the_network(net, input_shape=(3, 224, 224)):
    """`requires_grad_(False)` freezes the network for good. `torch.no_grad()` does without gradients while a block runs."""
    net.requires_grad_(False)
    return _sum(net, input_shape, _macs)


@mistake(of="count_macs", caught_by="test_counting_leaves_the_network")
def clears_the_gradients(net, input_shape=(3, 224, 224)):
    """`zero_grad()` takes away gradients that somebody may still need. A pass that counts leaves none to be cleared."""
    net.zero_grad()
    return _sum(net, input_shape, _macs)


@mistake(of="count_macs", caught_by="test_macs_of_each_call")
def gives_a_float32_image_to_every_network(net, input_shape=(3, 224, 224)):
    """The image is float32, whatever the network's dtype: a network of 64 bits refuses it. Give the image the weights' dtype,
    or change the copy's."""
    paper, counts = deepcopy(net).to("meta").eval(), []
    for layer in paper.modules():
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(lambda layer, inputs, out: counts.append(_macs(layer, inputs[0], out)))
    paper(torch.empty(1, *input_shape, device="meta"))
    return sum(counts)


@mistake(of="count_macs", caught_by="test_macs_of_convolutions")
def takes_every_layer_to_be_of_an_image(net, input_shape=(3, 224, 224)):
    """Height and width of the output are its third and fourth side. A sequence has no fourth one, a volume a fifth: count
    all numbers of the output."""
    return _sum(net, input_shape, lambda layer, x, out: out.shape[1] * out.shape[2] * out.shape[3] * layer.weight[0].numel()
                if not isinstance(layer, nn.Linear) else _macs(layer, x, out))  # fmt: skip


@mistake(of="count_macs", caught_by="test_macs_of_densenet121")
def forgets_to_return_the_count(net, input_shape=(3, 224, 224)):
    """The function returns None: `return` is missing at its end."""
    _sum(net, input_shape, _macs)


# ---------------------------------------------------------------------------------------------------------------------
# activation_bytes


def _outputs(net, input_shape, batch_size, training=True, leaves=True) -> list:
    """(layer, input, output) of each call on paper of a leaf, or of every module."""
    paper, calls = deepcopy(net).to("meta", torch.float32).train(training), []
    for layer in paper.modules():
        if not leaves or not list(layer.children()):
            layer.register_forward_hook(lambda layer, inputs, output: calls.append((layer, inputs[0], output)))
    with torch.no_grad():
        paper(torch.empty(batch_size, *input_shape, device="meta"))
    return calls


def _once(outputs) -> int:
    """The numbers in the storages of these outputs, each once."""
    return sum({output.untyped_storage(): output.numel() for output in outputs}.values())


@mistake(of="activation_bytes", caught_by="test_activations_of_training_mode")
def measures_in_evaluation_mode(net, input_shape, batch_size, dtype=torch.float32):
    """The pass is in evaluation mode: dropout makes no tensor there, and heads that help training are silent. The copy
    belongs into training mode."""
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size, training=False)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_activations_of_training_mode")
def takes_the_mode_as_it_comes(net, input_shape, batch_size, dtype=torch.float32):
    """The pass runs in whatever mode the network is in. Set the copy to training mode: dropout makes a tensor there, and
    heads that help training work."""
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size, training=net.training)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def counts_every_output(net, input_shape, batch_size, dtype=torch.float32):
    """Outputs that share memory are counted each: a ReLU in place writes over its input, `Flatten` and `Identity` give back
    what they were given. Count storages, not tensors."""
    return sum(out.numel() for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def passes_over_every_layer_in_place(net, input_shape, batch_size, dtype=torch.float32):
    """A ReLU in place adds nothing here, be it by its kind or because it writes where its input lies. Behind `torch.cat` nobody
    has counted that memory yet: remember the storages that are counted, and count each once."""
    calls = [call for call in _outputs(net, input_shape, batch_size) if not getattr(call[0], "inplace", False)]
    return _once(out for _, _, out in calls) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def knows_layers_in_place_alone(net, input_shape, batch_size, dtype=torch.float32):
    """Layers in place are passed over, but `Flatten` and `Identity` are counted though they make no new memory either.
    Whether two outputs lie in one storage says `untyped_storage()`."""
    calls = _outputs(net, input_shape, batch_size)
    return sum(out.numel() for layer, _, out in calls if not getattr(layer, "inplace", False)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def compares_tensor_objects(net, input_shape, batch_size, dtype=torch.float32):
    """Tensor objects are compared. A view, as `Flatten` makes one, is another object that lies in the same storage."""
    outputs = {id(out): out for _, _, out in _outputs(net, input_shape, batch_size)}
    return sum(out.numel() for out in outputs.values()) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def compares_addresses_on_meta(net, input_shape, batch_size, dtype=torch.float32):
    """On the device "meta" every `data_ptr()` is 0, so all outputs seem to lie in one place. Compare the storages
    themselves: `untyped_storage()`."""
    places = {out.data_ptr(): out.numel() for _, _, out in _outputs(net, input_shape, batch_size)}
    return sum(places.values()) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_containers_too(net, input_shape, batch_size, dtype=torch.float32):
    """Modules that have children are counted as well, and what their functions make, such as `torch.cat`, with them. Only
    leaves are in the ledger: `list(layer.children())` is empty there."""
    paper, outputs = deepcopy(net).to("meta", torch.float32).train(), []

    def keep(layer, inputs, output):
        outputs.extend(output if isinstance(output, tuple) else [output])

    for layer in paper.modules():
        layer.register_forward_hook(keep)
    with torch.no_grad():
        paper(torch.empty(batch_size, *input_shape, device="meta"))
    return sum(out.numel() for out in outputs) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def counts_each_storage_of_containers_too(net, input_shape, batch_size, dtype=torch.float32):
    """Modules that have children are asked for their outputs as well, and what `torch.cat` or `+` make in them is counted. Only
    leaves are in the ledger: `list(layer.children())` is empty there."""
    outputs = (out for _, _, out in _outputs(net, input_shape, batch_size, leaves=False) if isinstance(out, torch.Tensor))
    return _once(outputs) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_each_storage_once")
def remembers_the_last_storage_only(net, input_shape, batch_size, dtype=torch.float32):
    """An output is compared with the one before it alone. An in-place layer may write into an older one: remember all
    storages that are counted."""
    counted, last = 0, None
    for _, _, out in _outputs(net, input_shape, batch_size):
        counted += out.numel() * (out.untyped_storage() is not last)
        last = out.untyped_storage()
    return counted * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_each_leaf_once(net, input_shape, batch_size, dtype=torch.float32):
    """A leaf that is called twice is counted once: the second output writes over the first. Add up calls, not layers."""
    last = {layer: out for layer, _, out in _outputs(net, input_shape, batch_size)}
    return _once(last.values()) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_numbers_of_outputs(net, input_shape, batch_size, dtype=torch.float32):
    """These are the numbers. Each takes as many bytes as `dtype` says: `dtype.itemsize`."""
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size))


@mistake(of="activation_bytes", caught_by="test_activations_at_the_dtype_asked_for")
def takes_four_bytes_for_every_output(net, input_shape, batch_size, dtype=torch.float32):
    """Every number is counted as four bytes, whatever `dtype` is asked for."""
    return 4 * _once(out for _, _, out in _outputs(net, input_shape, batch_size))


@mistake(of="activation_bytes", caught_by="test_activations_at_the_dtype_asked_for")
def takes_the_networks_dtype(net, input_shape, batch_size, dtype=torch.float32):
    """Outputs are counted at the dtype that the network computes with. Asked for is the argument `dtype`, whatever the
    network's own."""
    size = next(net.parameters()).element_size()
    return size * _once(out for _, _, out in _outputs(net, input_shape, batch_size))


@mistake(of="activation_bytes", caught_by="test_activations_at_the_dtype_asked_for")
def takes_every_network_for_float32(net, input_shape, batch_size, dtype=torch.float32):
    """The bytes that the network's own outputs take are turned into `dtype`'s as if they were float32. A network of another
    dtype is off by a factor: count numbers, and multiply by `dtype`'s bytes."""
    own = next(net.parameters()).element_size()
    return own * _once(out for _, _, out in _outputs(net, input_shape, batch_size)) // 4 * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def measures_one_image(net, input_shape, batch_size, dtype=torch.float32):
    """This is one image's, whatever the batch size."""
    calls = _outputs(net, input_shape, 2)
    return _once(out for _, _, out in calls) // 2 * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_activations_of_training_mode")
def sends_one_image_through(net, input_shape, batch_size, dtype=torch.float32):
    """A single image goes through in training mode, and its bytes are multiplied. Some batch norms refuse a single image:
    send the whole batch, on paper it costs nothing."""
    return _once(out for _, _, out in _outputs(net, input_shape, 1)) * batch_size * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_the_batch_twice(net, input_shape, batch_size, dtype=torch.float32):
    """The whole batch went through, and the bytes were multiplied by the batch size once more."""
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size)) * batch_size * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_convolutions_and_linear_layers(net, input_shape, batch_size, dtype=torch.float32):
    """Only convolutions and linear layers are counted. Batch norm, pooling and all other leaves have outputs too."""
    calls = [call for call in _outputs(net, input_shape, batch_size) if isinstance(call[0], COUNTED)]
    return _once(out for _, _, out in calls) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def passes_over_every_relu(net, input_shape, batch_size, dtype=torch.float32):
    """Every ReLU is passed over. Only one in place writes over its input; without `inplace=True` it makes a new tensor."""
    calls = [call for call in _outputs(net, input_shape, batch_size) if not isinstance(call[0], nn.ReLU)]
    return _once(out for _, _, out in calls) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def knows_pytorchs_own_leaves_alone(net, input_shape, batch_size, dtype=torch.float32):
    """Only PyTorch's own layers are counted. A module of any class is a leaf when it has no children."""
    calls = [call for call in _outputs(net, input_shape, batch_size) if type(call[0]).__module__.startswith("torch.nn")]
    return _once(out for _, _, out in calls) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_leaves_with_weights(net, input_shape, batch_size, dtype=torch.float32):
    """Only layers with parameters are counted. ReLU and pooling have none, and their outputs take memory all the same."""
    calls = [call for call in _outputs(net, input_shape, batch_size) if list(call[0].parameters())]
    return _once(out for _, _, out in calls) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_the_image_as_well(net, input_shape, batch_size, dtype=torch.float32):
    """The images themselves are counted. They are no module's output."""
    outputs = [out for _, _, out in _outputs(net, input_shape, batch_size)]
    return (_once(outputs) + batch_size * math.prod(input_shape)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_inputs(net, input_shape, batch_size, dtype=torch.float32):
    """The inputs of the layers are counted. Asked for are their outputs; what `torch.cat` made is no layer's output."""
    return _once(x for _, x, _ in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def takes_the_largest_output(net, input_shape, batch_size, dtype=torch.float32):
    """This is the largest output alone. In training all of them stay until the backward pass."""
    return max(out.numel() for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_gradients_of_activations(net, input_shape, batch_size, dtype=torch.float32):
    """Each output is counted twice, for its gradient as well. The ledger holds what the forward pass makes."""
    return 2 * _once(out for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def counts_what_autograd_keeps(net, input_shape, batch_size, dtype=torch.float32):
    """This is what autograd keeps for the backward pass, as week 8's notebook measures it. The ledger here is another: the
    outputs of all leaf modules."""
    copy, kept = deepcopy(net).float().train(), {}
    parameters = {parameter.data_ptr() for parameter in copy.parameters()}

    def keep(tensor):
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        copy(torch.zeros(batch_size, *input_shape))
    return sum(tensor.numel() for tensor in kept.values()) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_measuring_leaves_the_network")
def runs_the_network_itself(net, input_shape, batch_size, dtype=torch.float32):
    """The network itself runs in training mode: its batch norm takes the empty images into its running statistics. Let a
    copy run (`copy.deepcopy`)."""
    modes = [(layer, layer.training) for layer in net.modules()]
    net.train()
    with torch.no_grad():
        net(torch.zeros(batch_size, *input_shape, dtype=next(net.parameters()).dtype))
    for layer, mode in modes:
        layer.training = mode
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_measuring_leaves_the_network")
def leaves_training_mode(net, input_shape, batch_size, dtype=torch.float32):
    """`net.train()` is never undone: a network that was in evaluation mode comes back in training mode. Set the copy's."""
    net.train()
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_measuring_leaves_the_network")
def leaves_hooks_on_every_leaf(net, input_shape, batch_size, dtype=torch.float32):
    """The hooks stay on the network. Each has a handle that takes it away: `handle.remove()`; or hook a copy."""
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda *_: None)
    return _once(out for _, _, out in _outputs(net, input_shape, batch_size)) * dtype.itemsize


@mistake(of="activation_bytes", caught_by="test_outputs_of_leaves")
def forgets_to_return_the_bytes(net, input_shape, batch_size, dtype=torch.float32):
    """The function returns None: `return` is missing at its end."""
    _outputs(net, input_shape, batch_size)


# ---------------------------------------------------------------------------------------------------------------------
# training_bytes

COPIES = {"sgd": 0, "momentum": 1, "adam": 2}


def _copies(optimizer: str) -> int:
    if optimizer not in COPIES:
        raise ValueError(optimizer)
    return COPIES[optimizer]


def _trained(net) -> int:
    return _bytes(p for p in net.parameters() if p.requires_grad)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def forgets_the_gradients(net, input_shape, batch_size, optimizer="adam"):
    """The gradients are missing: one number for each trainable parameter, with every optimizer."""
    return model_bytes(net) + _copies(optimizer) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def gives_adam_one_copy(net, input_shape, batch_size, optimizer="adam"):
    """Adam has one copy of the parameters here. It keeps two running means for each: of the gradient and of its square."""
    copies = min(_copies(optimizer), 1)
    return model_bytes(net) + (1 + copies) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def gives_momentum_nothing(net, input_shape, batch_size, optimizer="adam"):
    """Momentum has no state here. It keeps one running mean of each gradient."""
    copies = {"sgd": 0, "momentum": 0, "adam": 2}[optimizer] if _copies(optimizer) >= 0 else 0
    return model_bytes(net) + (1 + copies) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def gives_every_optimizer_adams_state(net, input_shape, batch_size, optimizer="adam"):
    """All optimizers take as much as Adam. Plain SGD keeps nothing, momentum one copy, Adam two."""
    _copies(optimizer)
    return model_bytes(net) + 3 * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def counts_the_gradients_twice(net, input_shape, batch_size, optimizer="adam"):
    """One copy too many with every optimizer: beside the weights there are the gradients, once, and the optimizer's state."""
    return model_bytes(net) + (2 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def counts_gradients_of_frozen_parameters(net, input_shape, batch_size, optimizer="adam"):
    """Frozen parameters have no gradient and no optimizer state. Count those with `requires_grad`."""
    all_bytes = _bytes(net.parameters())
    return model_bytes(net) + (1 + _copies(optimizer)) * all_bytes + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def keeps_state_of_frozen_parameters(net, input_shape, batch_size, optimizer="adam"):
    """Gradients are those of the trainable parameters, but the optimizer's copies are taken of all. Frozen ones have
    neither."""
    state = _copies(optimizer) * _bytes(net.parameters())
    return model_bytes(net) + _trained(net) + state + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def counts_gradients_of_buffers(net, input_shape, batch_size, optimizer="adam"):
    """Buffers are counted as if they were trained. They have neither gradients nor optimizer state."""
    return (2 + _copies(optimizer)) * model_bytes(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def leaves_out_the_buffers(net, input_shape, batch_size, optimizer="adam"):
    """The weights are counted without the buffers. `model_bytes` has both."""
    weights = _bytes(net.parameters())
    return weights + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def leaves_out_frozen_weights(net, input_shape, batch_size, optimizer="adam"):
    """Frozen weights are left out altogether. They have no gradient, but they are in memory: `model_bytes` counts them."""
    weights = _trained(net) + _bytes(net.buffers())
    return weights + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def takes_four_bytes_for_gradients(net, input_shape, batch_size, optimizer="adam"):
    """Gradients and state are counted with four bytes a number. They have their parameters' dtype: `element_size()`."""
    numbers = 4 * sum(p.numel() for p in net.parameters() if p.requires_grad)
    return model_bytes(net) + (1 + _copies(optimizer)) * numbers + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def counts_shared_gradients_twice(net, input_shape, batch_size, optimizer="adam"):
    """The gradient of a parameter that two layers hold is counted in both. It is one parameter with one gradient."""
    own = (p for layer in net.modules() for p in layer.parameters(recurse=False) if p.requires_grad)
    return model_bytes(net) + (1 + _copies(optimizer)) * _bytes(own) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def counts_numbers_of_gradients(net, input_shape, batch_size, optimizer="adam"):
    """Gradients and state are counted in numbers, the rest in bytes."""
    numbers = sum(p.numel() for p in net.parameters() if p.requires_grad)
    return model_bytes(net) + (1 + _copies(optimizer)) * numbers + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_other_optimizers_raise")
def takes_an_unknown_optimizer_for_sgd(net, input_shape, batch_size, optimizer="adam"):
    """An unknown optimizer is silently taken for one without state. A misspelt name should be told: `raise ValueError`."""
    copies = COPIES.get(optimizer, 0)
    return model_bytes(net) + (1 + copies) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_other_optimizers_raise")
def takes_an_unknown_optimizer_for_adam(net, input_shape, batch_size, optimizer="adam"):
    """Whatever is neither "sgd" nor "momentum" is taken for Adam. A misspelt name should be told: `raise ValueError`."""
    copies = COPIES.get(optimizer, 2)
    return model_bytes(net) + (1 + copies) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_other_optimizers_raise")
def raises_key_error(net, input_shape, batch_size, optimizer="adam"):
    """An unknown name raises the dict's own KeyError. Asked for is a ValueError: look before you look up."""
    copies = COPIES[optimizer]
    return model_bytes(net) + (1 + copies) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_other_optimizers_raise")
def returns_the_error(net, input_shape, batch_size, optimizer="adam"):
    """The ValueError is returned, as a value. `raise` stops the function and tells the caller."""
    if optimizer not in COPIES:
        return ValueError(optimizer)
    return model_bytes(net) + (1 + COPIES[optimizer]) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def forgets_the_activations(net, input_shape, batch_size, optimizer="adam"):
    """The activations are missing, so the batch size changes nothing."""
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def adds_gradients_of_activations(net, input_shape, batch_size, optimizer="adam"):
    """The activations are counted twice, for their gradients too. Those come and go; they do not count here."""
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + 2 * activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_only_what_is_trained")
def takes_activations_at_the_networks_dtype(net, input_shape, batch_size, optimizer="adam"):
    """The activations are counted at the network's own dtype. Here they are float32, whatever the network has."""
    activations = activation_bytes(net, input_shape, batch_size, next(net.parameters()).dtype)
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activations


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def takes_activations_of_one_image(net, input_shape, batch_size, optimizer="adam"):
    """The activations are one image's. Every image of the batch leaves its own."""
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, 2) // 2


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def multiplies_activations_by_the_batch_again(net, input_shape, batch_size, optimizer="adam"):
    """The activations of the whole batch are multiplied by the batch size once more."""
    activations = batch_size * activation_bytes(net, input_shape, batch_size)
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activations


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def multiplies_everything_by_the_batch(net, input_shape, batch_size, optimizer="adam"):
    """Weights, gradients and state are multiplied by the batch size. They are there once; only activations grow with it."""
    fixed = model_bytes(net) + (1 + _copies(optimizer)) * _trained(net)
    return batch_size * fixed + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def takes_sgd_by_default(net, input_shape, batch_size, optimizer="sgd"):
    """Without a name the optimizer is SGD here. Look at the default in the function's first line."""
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_training_bytes_leaves_the_network")
def takes_a_step(net, input_shape, batch_size, optimizer="adam"):
    """The network is really trained for a step: its weights, gradients and running statistics are others afterwards. What it
    would take can be counted without."""
    total = model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)
    kind = next(net.parameters()).dtype
    out = net(torch.ones(2, *input_shape, dtype=kind))
    if out.requires_grad:
        out.sum().backward()
        torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1).step()
    return total


@mistake(of="training_bytes", caught_by="test_training_bytes_leaves_the_network")
def puts_the_network_into_training_mode(net, input_shape, batch_size, optimizer="adam"):
    """`net.train()` changes the network that was given, and nothing puts it back. Only a copy may change."""
    net.train()
    return model_bytes(net) + (1 + _copies(optimizer)) * _trained(net) + activation_bytes(net, input_shape, batch_size)


@mistake(of="training_bytes", caught_by="test_parts_of_training")
def forgets_to_return_the_sum(net, input_shape, batch_size, optimizer="adam"):
    """The function returns None: `return` is missing at its end."""
    _copies(optimizer)


# ---------------------------------------------------------------------------------------------------------------------
# largest_batch


def _line(net, input_shape, optimizer) -> tuple[int, int]:
    """Bytes that do not depend on the batch, and bytes of an image."""
    two, three = training_bytes(net, input_shape, 2, optimizer), training_bytes(net, input_shape, 3, optimizer)
    return 3 * two - 2 * three, three - two


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def wants_a_byte_left_over(net, input_shape, memory_bytes, optimizer="adam"):
    """A batch that needs the memory to the last byte does not count as fitting. It fits: `<=`, not `<`."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - 1 - fixed) // image)


@mistake(of="largest_batch", caught_by="test_no_image_fits")
def gives_negative_batches(net, input_shape, memory_bytes, optimizer="adam"):
    """Where the weights alone do not fit the batch is negative. Then it is 0."""
    fixed, image = _line(net, input_shape, optimizer)
    return (memory_bytes - fixed) // image


@mistake(of="largest_batch", caught_by="test_no_image_fits")
def gives_one_image_at_least(net, input_shape, memory_bytes, optimizer="adam"):
    """Where nothing fits the batch is 1. It is 0 then: not even one image fits."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(1, (memory_bytes - fixed) // image)


@mistake(of="largest_batch", caught_by="test_no_image_fits")
def gives_none_where_nothing_fits(net, input_shape, memory_bytes, optimizer="adam"):
    """Where nothing fits nothing is returned. The answer is 0 then."""
    fixed, image = _line(net, input_shape, optimizer)
    if fixed + image <= memory_bytes:
        return (memory_bytes - fixed) // image
    return None


@mistake(of="largest_batch", caught_by="test_no_image_fits")
def raises_where_nothing_fits(net, input_shape, memory_bytes, optimizer="adam"):
    """Where nothing fits an exception is raised. The answer is 0 then."""
    fixed, image = _line(net, input_shape, optimizer)
    if fixed + image > memory_bytes:
        raise ValueError("nothing fits")
    return (memory_bytes - fixed) // image


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def ignores_the_optimizer(net, input_shape, memory_bytes, optimizer="adam"):
    """The optimizer is not passed on, so it is always Adam."""
    fixed, image = _line(net, input_shape, "adam")
    return max(0, (memory_bytes - fixed) // image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def takes_sgd_where_no_optimizer_is_named(net, input_shape, memory_bytes, optimizer="sgd"):
    """Without a name the optimizer is SGD here. Look at the default in the function's first line."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - fixed) // image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def rounds_up(net, input_shape, memory_bytes, optimizer="adam"):
    """The quotient is rounded up: the last image fits only in part."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, -((fixed - memory_bytes) // image))


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def rounds_to_the_nearest(net, input_shape, memory_bytes, optimizer="adam"):
    """The quotient is rounded to the nearest whole number, so half an image counts as one. Only whole images fit: `//`."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, round((memory_bytes - fixed) / image))


@mistake(of="largest_batch", caught_by="test_80_gib")
def tries_every_batch(net, input_shape, memory_bytes, optimizer="adam"):
    """Every batch is tried, one after the other. In 80 GiB there are thousands. Only activations grow with the batch, so
    divide; or double until it is too much, then halve the interval."""
    batch = 0
    while training_bytes(net, input_shape, batch + 1, optimizer) <= memory_bytes:
        batch += 1
    return batch


@mistake(of="largest_batch", caught_by="test_80_gib")
def tries_no_more_than_1024(net, input_shape, memory_bytes, optimizer="adam"):
    """No batch above 1,024 is thought of. A large memory takes more: let the upper end depend on the memory."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, min(1024, (memory_bytes - fixed) // image))


@mistake(of="largest_batch", caught_by="test_80_gib")
def tries_no_more_than_4096(net, input_shape, memory_bytes, optimizer="adam"):
    """No batch above 4,096 is thought of. A large memory takes more: let the upper end depend on the memory."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, min(4096, (memory_bytes - fixed) // image))


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def gives_the_whole_memory_to_images(net, input_shape, memory_bytes, optimizer="adam"):
    """The whole memory is divided by the bytes of an image. Weights, gradients and optimizer state take their part first."""
    _, image = _line(net, input_shape, optimizer)
    return memory_bytes // image


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def leaves_gradients_and_state_out(net, input_shape, memory_bytes, optimizer="adam"):
    """Only the model itself is taken off the memory before it is divided. Gradients and the optimizer's state are there as
    well: `training_bytes` has all."""
    image = activation_bytes(net, input_shape, 2) // 2
    return max(0, (memory_bytes - model_bytes(net)) // image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def multiplies_the_weights_too(net, input_shape, memory_bytes, optimizer="adam"):
    """The memory is divided by what training with one image takes, so weights, gradients and state are counted once for
    every image. They are there once."""
    fixed, image = _line(net, input_shape, optimizer)
    return memory_bytes // (fixed + image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def forgets_the_first_image(net, input_shape, memory_bytes, optimizer="adam"):
    """One image too few: what training with one image takes is subtracted, and that image is not counted again."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - fixed - image) // image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def gives_the_first_that_does_not_fit(net, input_shape, memory_bytes, optimizer="adam"):
    """One image too many: this is the first batch that does not fit."""
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - fixed) // image) + 1


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def tries_powers_of_two(net, input_shape, memory_bytes, optimizer="adam"):
    """Only powers of two are tried. Any number of images is a batch."""
    fixed, image = _line(net, input_shape, optimizer)
    batch = (memory_bytes - fixed) // image
    return 2 ** (batch.bit_length() - 1) if batch > 0 else 0


@mistake(of="largest_batch", caught_by="test_search_leaves_the_network")
def searches_in_training_mode(net, input_shape, memory_bytes, optimizer="adam"):
    """`net.train()` changes the network that was given, and nothing puts it back."""
    net.train()
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - fixed) // image)


@mistake(of="largest_batch", caught_by="test_search_leaves_the_network")
def searches_in_evaluation_mode(net, input_shape, memory_bytes, optimizer="adam"):
    """`net.eval()` changes the network that was given, and nothing puts it back."""
    net.eval()
    fixed, image = _line(net, input_shape, optimizer)
    return max(0, (memory_bytes - fixed) // image)


@mistake(of="largest_batch", caught_by="test_last_batch_that_fits")
def forgets_to_return_the_batch(net, input_shape, memory_bytes, optimizer="adam"):
    """The function returns None: `return` is missing at its end."""
    _line(net, input_shape, optimizer)


# ---------------------------------------------------------------------------------------------------------------------
# seconds_per_image


def _positive(*rates) -> None:
    if not all(rate > 0 for rate in rates):
        raise ValueError(rates)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def takes_a_mac_as_one_operation(macs, flops_per_second, utilisation=1.0):
    """A multiply–accumulate is counted as one operation. It is a multiplication and an addition."""
    _positive(flops_per_second, utilisation)
    return macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def takes_half_an_operation(macs, flops_per_second, utilisation=1.0):
    """The multiply–accumulates are halved. Each is two operations, so there are twice as many."""
    _positive(flops_per_second, utilisation)
    return macs / 2 / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def multiplies_by_the_utilisation(macs, flops_per_second, utilisation=1.0):
    """A GPU that is used by a quarter gets four times as fast here. It takes longer the less of it is used."""
    _positive(flops_per_second, utilisation)
    return 2 * macs / flops_per_second * utilisation


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def forgets_the_utilisation(macs, flops_per_second, utilisation=1.0):
    """The utilisation changes nothing. Only that share of the rate works."""
    _positive(flops_per_second, utilisation)
    return 2 * macs / flops_per_second


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def takes_the_utilisation_as_percent(macs, flops_per_second, utilisation=1.0):
    """The utilisation is taken in percent. It is a share: 1.0 is all, 0.25 a quarter."""
    _positive(flops_per_second, utilisation)
    return 2 * macs / (flops_per_second * utilisation / 100)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def gives_milliseconds(macs, flops_per_second, utilisation=1.0):
    """These are milliseconds. Asked for are seconds."""
    _positive(flops_per_second, utilisation)
    return 2000 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def gives_images_a_second(macs, flops_per_second, utilisation=1.0):
    """These are images a second, the other way round, and 0 multiply–accumulates cannot be divided by."""
    _positive(flops_per_second, utilisation)
    return flops_per_second * utilisation / (2 * macs)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def gives_whole_seconds(macs, flops_per_second, utilisation=1.0):
    """`//` leaves whole seconds. An image takes a fraction of one."""
    _positive(flops_per_second, utilisation)
    return 2 * macs // (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def rounds_to_milliseconds(macs, flops_per_second, utilisation=1.0):
    """The time is rounded, and short ones become 0. Round where it is printed."""
    _positive(flops_per_second, utilisation)
    return round(2 * macs / (flops_per_second * utilisation), 3)


@mistake(of="seconds_per_image", caught_by="test_two_operations_a_mac")
def refuses_nothing_to_do(macs, flops_per_second, utilisation=1.0):
    """0 multiply–accumulates raise an exception. They take 0.0 seconds; only the rates must be positive."""
    _positive(macs, flops_per_second, utilisation)
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def looks_at_nothing(macs, flops_per_second, utilisation=1.0):
    """Rates are never looked at: zero raises Python's own ZeroDivisionError, a negative one gives a negative time. Look first,
    and raise ValueError."""
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def lets_nan_through(macs, flops_per_second, utilisation=1.0):
    """NaN gets through: no comparison with NaN is true, so `rate <= 0` is false. Ask whether the rate *is* positive, and
    turn that round."""
    if flops_per_second <= 0 or utilisation <= 0:
        raise ValueError
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def lets_zero_through(macs, flops_per_second, utilisation=1.0):
    """Zero gets through: it is not negative, but not positive either."""
    if flops_per_second != flops_per_second or utilisation != utilisation or flops_per_second < 0 or utilisation < 0:
        raise ValueError
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def looks_at_the_product(macs, flops_per_second, utilisation=1.0):
    """Only the product of the two is looked at: two negative numbers get through. Look at each."""
    _positive(flops_per_second * utilisation)
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def looks_at_the_rate_alone(macs, flops_per_second, utilisation=1.0):
    """Only `flops_per_second` is looked at. The utilisation must be positive too."""
    _positive(flops_per_second)
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def asserts_that_rates_are_positive(macs, flops_per_second, utilisation=1.0):
    """`assert` raises an AssertionError, and nothing at all under `python -O`. Asked for is a ValueError."""
    assert flops_per_second > 0 and utilisation > 0
    return 2 * macs / (flops_per_second * utilisation)


@mistake(of="seconds_per_image", caught_by="test_rates_are_positive")
def gives_nan_at_impossible_rates(macs, flops_per_second, utilisation=1.0):
    """Impossible rates give NaN instead of a ValueError, and NaN spreads through every further figure."""
    if not (flops_per_second > 0 and utilisation > 0):
        return float("nan")
    return 2 * macs / (flops_per_second * utilisation)


# ---------------------------------------------------------------------------------------------------------------------
# complexity_table


def _row(name, net, input_shape, memory_bytes, **other) -> dict:
    row = {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "bytes": model_bytes(net),
        "macs": count_macs(net, input_shape),
        "activation_bytes": activation_bytes(net, input_shape, 1),
        "largest_batch": largest_batch(net, input_shape, memory_bytes),
    }
    return row | other


@mistake(of="complexity_table", caught_by="test_every_column")
def counts_what_is_trained(builders, input_shape, memory_bytes):
    """`parameters` leaves out the frozen ones. In this table all count."""
    nets = {name: build() for name, build in builders.items()}
    trained = {name: sum(p.numel() for p in net.parameters() if p.requires_grad) for name, net in nets.items()}
    return [_row(name, net, input_shape, memory_bytes, parameters=trained[name]) for name, net in nets.items()]


@mistake(of="complexity_table", caught_by="test_every_column")
def counts_buffers_as_parameters(builders, input_shape, memory_bytes):
    """`parameters` has the buffers in it, since `state_dict()` holds them too."""
    nets = {name: build() for name, build in builders.items()}
    saved = {name: sum(tensor.numel() for tensor in net.state_dict().values()) for name, net in nets.items()}
    return [_row(name, net, input_shape, memory_bytes, parameters=saved[name]) for name, net in nets.items()]


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def leaves_out_what_does_not_fit(builders, input_shape, memory_bytes):
    """Networks that do not fit are left out. They belong into the table, with a largest batch of 0."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return [row for row in rows if row["largest_batch"] > 0]


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def sorts_by_name(builders, input_shape, memory_bytes):
    """The rows are sorted by name. They keep the order of `builders`."""
    return [_row(name, builders[name](), input_shape, memory_bytes) for name in sorted(builders)]


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def sorts_by_size(builders, input_shape, memory_bytes):
    """The rows are sorted by their parameters. They keep the order of `builders`."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return sorted(rows, key=lambda row: row["parameters"])


@mistake(of="complexity_table", caught_by="test_every_column")
def takes_activations_of_the_largest_batch(builders, input_shape, memory_bytes):
    """`activation_bytes` is that of the largest batch. In the table it is one image's."""
    rows = []
    for name, build in builders.items():
        net = build()
        row = _row(name, net, input_shape, memory_bytes)
        rows.append(row | {"activation_bytes": activation_bytes(net, input_shape, max(1, row["largest_batch"]))})
    return rows


@mistake(of="complexity_table", caught_by="test_every_column")
def takes_activations_at_half_precision(builders, input_shape, memory_bytes):
    """`activation_bytes` is counted at float16. In the table it is float32."""
    nets = {name: build() for name, build in builders.items()}
    half = {name: activation_bytes(net, input_shape, 1, torch.float16) for name, net in nets.items()}
    return [_row(name, net, input_shape, memory_bytes, activation_bytes=half[name]) for name, net in nets.items()]


@mistake(of="complexity_table", caught_by="test_every_column")
def takes_the_largest_batch_for_sgd(builders, input_shape, memory_bytes):
    """`largest_batch` is that for SGD. In the table it is Adam's."""
    nets = {name: build() for name, build in builders.items()}
    sgd = {name: largest_batch(net, input_shape, memory_bytes, "sgd") for name, net in nets.items()}
    return [_row(name, net, input_shape, memory_bytes, largest_batch=sgd[name]) for name, net in nets.items()]


@mistake(of="complexity_table", caught_by="test_every_column")
def counts_macs_at_224(builders, input_shape, memory_bytes):
    """`macs` is counted for the default image. Pass `input_shape` on."""
    nets = {name: build() for name, build in builders.items()}
    macs = {name: count_macs(net) for name, net in nets.items()}
    return [_row(name, net, input_shape, memory_bytes, macs=macs[name]) for name, net in nets.items()]


@mistake(of="complexity_table", caught_by="test_every_column")
def tells_macs_as_operations(builders, input_shape, memory_bytes):
    """`macs` has operations in it, twice as many."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return [row | {"macs": 2 * row["macs"]} for row in rows]


@mistake(of="complexity_table", caught_by="test_every_column")
def takes_four_bytes_a_parameter(builders, input_shape, memory_bytes):
    """`bytes` is four times the parameters. Buffers belong to it, and other dtypes: `model_bytes` knows."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return [row | {"bytes": 4 * row["parameters"]} for row in rows]


@mistake(of="complexity_table", caught_by="test_every_column")
def gives_mebibytes(builders, input_shape, memory_bytes):
    """`bytes` and `activation_bytes` are in MiB. Keep bytes in the table, and divide where it is printed."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return [row | {name: row[name] / 2**20 for name in ("bytes", "activation_bytes")} for row in rows]


@mistake(of="complexity_table", caught_by="test_every_column")
def has_names_of_its_own(builders, input_shape, memory_bytes):
    """The columns have other names than asked for: `name, parameters, bytes, macs, activation_bytes, largest_batch`."""
    rows = [_row(name, build(), input_shape, memory_bytes) for name, build in builders.items()]
    return [{"name": row["name"]} | {key.upper(): value for key, value in row.items() if key != "name"} for row in rows]


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def fills_one_row_again_and_again(builders, input_shape, memory_bytes):
    """One dict is made before the loop and put into the list again and again, so all rows show the last network. Make a new
    one for each."""
    row, rows = {}, []
    for name, build in builders.items():
        row.update(_row(name, build(), input_shape, memory_bytes))
        rows.append(row)
    return rows


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def calls_networks_by_their_class(builders, input_shape, memory_bytes):
    """`name` is the class of the network. It is the name under which `builders` has it."""
    nets = [(name, build()) for name, build in builders.items()]
    return [_row(name, net, input_shape, memory_bytes) | {"name": type(net).__name__} for name, net in nets]


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def prints_the_table(builders, input_shape, memory_bytes):
    """The table is printed, and nothing is returned."""
    for name, build in builders.items():
        print(_row(name, build(), input_shape, memory_bytes))


@mistake(of="complexity_table", caught_by="test_a_row_for_each_network")
def returns_after_the_first_network(builders, input_shape, memory_bytes):
    """`return` stands inside the loop, so there is one row alone."""
    rows = []
    for name, build in builders.items():
        rows.append(_row(name, build(), input_shape, memory_bytes))
        return rows
    return rows
