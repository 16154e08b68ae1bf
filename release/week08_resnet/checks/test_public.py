"""The public checks of week08_resnet: what students run in the notebook. Each compares plain recordings."""

from autograder.authoring import Error, Tensor, check, require, same

from .block_checks import (
    NEAR,
    has_torchvisions_state,
    is_module,
    left_its_input,
    moved_its_statistics,
    same_gradients,
)
from .classifier_test_public import *  # noqa: F403

# Norms in another order of summation differ by up to 1e-6, wrong ones by 1e-3 and more.
NORM = 2e-5

# --- block ------------------------------------------------------------------------------------------------------------


def block_named(asked: list[int]) -> str:
    return f"ResidualBlock({', '.join(map(str, asked))})"


def has_the_parts(seen: dict, expected: dict) -> None:
    """Requires torchvision's names and shapes."""
    look = "The first convolution changes the number of channels, and so does the one on the shortcut."
    has_torchvisions_state(seen["block"], expected["block"], block_named(expected["asked"]), look)


def is_torchvisions(seen: dict, expected: dict, what: str, look: str) -> None:
    """Requires the result of torchvision's block."""
    right = expected["output"]
    found = seen["output"]
    require(isinstance(found, Tensor) and found.kind == "tensor", what, f"a torch.Tensor of shape {right.shape}", found)
    padded = "The 3 × 3 convolutions pad by 1; the stride is the first one's and the shortcut's; the input is added."
    require(found.shape == right.shape, f"{what}: the shape", f"{right.shape}", f"{found.shape}", padded)
    same(found, right, what, within=NEAR, look=look)


@check("ResidualBlock", points=2)
def test_block_has_torchvisions_names(observed, expected):
    """It is a module whose parameters and buffers have the names and shapes of torchvision's `BasicBlock`."""
    for name, right in expected.blocks_of_a_few_kinds.items():
        has_the_parts(observed.blocks_of_a_few_kinds[name], right)


@check("ResidualBlock", points=0.5)
def test_no_downsample_where_none_is_needed(observed, expected):
    """Where the input is added as it is there is no `downsample`, or it is None."""
    seen, what = observed.blocks_of_a_few_kinds["equal"], block_named(expected.blocks_of_a_few_kinds["equal"]["asked"])
    is_module(seen["block"], what)
    require(seen["downsample"] == "NoneType", f"{what}: its `downsample`", "none, or None", f"a {seen['downsample']}",
            "Of equal channels and stride 1 the input needs no layer: leave `downsample` out, or set it to None.")  # fmt: skip


@check("ResidualBlock", points=0.5)
def test_batch_norm_is_pytorchs(observed, expected):
    """Its batch normalisation starts as PyTorch makes it."""
    for name, right in expected.blocks_of_a_few_kinds.items():
        found, what = observed.blocks_of_a_few_kinds[name]["fresh"], block_named(right["asked"])
        require("made" not in found, what, "an nn.Module", found.get("made"))
        for tensor, values in found.items():
            kind = tensor.rpartition(".")[2]
            wanted = [1.0] if kind in ("weight", "running_var") else [0] if kind == "num_batches_tracked" else [0.0]
            same(values, wanted, f"{what}: the values in {tensor}", look="`nn.BatchNorm2d(…)` makes it so; leave it as it is.")


@check("ResidualBlock", points=2.5)
def test_block_is_torchvisions(observed, expected):
    """With torchvision's weights the result is torchvision's, for both strides and odd sizes, in evaluation mode."""
    for name, right in expected.blocks_of_a_few_kinds.items():
        seen, what = observed.blocks_of_a_few_kinds[name], f"{block_named(right['asked'])}(x) in evaluation mode"
        is_module(seen["block"], what)
        look = "Convolution, norm, ReLU, convolution, norm; then the addition, and the last ReLU after it."
        is_torchvisions(seen["evaluation"], right["evaluation"], f"{what}, x of shape {right['x'].shape}", look)


@check("ResidualBlock", points=0.5)
def test_block_leaves_its_input(observed, expected):
    """`x` stays as it was, in both modes."""
    for name, right in expected.blocks_of_a_few_kinds.items():
        is_module(observed.blocks_of_a_few_kinds[name]["block"], block_named(right["asked"]))
        for mode in ("evaluation", "training"):
            what = f"{block_named(right['asked'])}(x) in {mode} mode"
            left_its_input(observed.blocks_of_a_few_kinds[name][mode], right["x"], what)


@check("ResidualBlock", points=1)
def test_block_learns(observed, expected):
    """In training mode too; the running statistics move, and the gradients of the input and each parameter are right."""
    for name, right in expected.blocks_of_a_few_kinds.items():
        seen, what = observed.blocks_of_a_few_kinds[name], f"{block_named(right['asked'])}(x) in training mode"
        is_module(seen["block"], what)
        look = "In training mode batch norm takes the batch's own statistics; nothing else changes, and nothing is random."
        is_torchvisions(seen["training"], right["training"], what, look)
        moved_its_statistics(seen["training"], right["training"], what)
        same_gradients(seen["gradients"], right["gradients"], what)


# --- join -------------------------------------------------------------------------------------------------------------


def call_of(asked: list) -> str:
    return f"joined_channels({asked[0]}, {asked[1] if len(asked[1]) < 9 else '[…]'}, {asked[2]!r})"


def are_channels(seen: dict, expected: dict, look: str) -> None:
    """Requires the list of channels after each layer."""
    same(seen["found"], expected["found"], call_of(expected["asked"]), look=look)


def raises_value_error(seen: dict, expected: dict, look: str) -> None:
    """Requires a ValueError."""
    found = seen["found"]
    require(isinstance(found, Error) and found.declared, call_of(expected["asked"]), "a ValueError", found, look)


def leaves_its_layers(seen: dict, expected: dict) -> None:
    """Requires `layer_channels` to be as it was."""
    found, what = seen["found"], call_of(expected["asked"])
    require(not isinstance(found, Error) or found.declared, what, "an answer", found)
    same(seen["layers after"], expected["asked"][1], f"layer_channels after {what}",
         look="A list that grows or shrinks in a function does so for the caller too.")  # fmt: skip


ADDED = "Added, they stay as many as they were, layer by layer; no layer, no entry."
CONCATENATED = "Put beside what is there, each layer's channels come on top; the list does not begin with what came in."
WAYS = 'There are two ways, "add" and "concatenate": no other word passes, be there layers or not.'
WIDTHS = "Only what has the same number of channels can be added; every layer is to be looked at."


@check("joined_channels", points=1)
def test_channels_added(observed, expected):
    """Adding keeps the number of channels, one entry for each layer."""
    for name in ("added", "nothing"):
        are_channels(observed.joined_both_ways[name], expected.joined_both_ways[name], ADDED)


@check("joined_channels", points=1)
def test_channels_concatenated(observed, expected):
    """Concatenating adds each layer's channels to those that are there."""
    are_channels(observed.joined_both_ways["concatenated"], expected.joined_both_ways["concatenated"], CONCATENATED)


@check("joined_channels", points=1)
def test_other_widths_cannot_be_added(observed, expected):
    """Adding layers of another width raises ValueError, and so does another `how`."""
    seen, right = observed.joined_both_ways, expected.joined_both_ways
    for name in ("another width", "the last one", "in between"):
        raises_value_error(seen[name], right[name], WIDTHS)
    for name in ("another way", "a part of the word", "another way for nothing"):
        raises_value_error(seen[name], right[name], WAYS)


@check("joined_channels", points=0.5)
def test_layers_stay_as_they_were(observed, expected):
    """`layer_channels` stays as it was."""
    for name, right in expected.joined_both_ways.items():
        leaves_its_layers(observed.joined_both_ways[name], right)


# --- parameters -------------------------------------------------------------------------------------------------------


def are_kinds(found, expected: dict, what: str, look: str) -> None:
    """Requires the counts by kind; a kind that owns none may be left out or be 0."""
    require(isinstance(found, dict), what, f"a dict with the keys {list(expected)}", found)
    found, right = ({kind: count for kind, count in one.items() if not (type(count) is int and count == 0)}
                    for one in (found, expected))  # fmt: skip
    for kind, count in right.items():
        require(kind in found, what, f"the kind {kind!r} with {count:,}", found, look)
        same(found[kind], count, f"{what}: {kind}", look=look)
    require(found.keys() == right.keys(), what, f"the kinds {list(right)}", found, look)


@check("parameters_by_kind", points=1.5)
def test_kinds_of_resnet18(observed, expected):
    """ResNet-18 by kind: convolutions, batch norms, one linear layer."""
    are_kinds(observed.kinds_of_a_few_networks["ResNet-18"], expected.kinds_of_a_few_networks["ResNet-18"],
              "parameters_by_kind(ResNet-18)",
              "Each parameter counts for the module that owns it directly, not for those around it.")  # fmt: skip


@check("parameters_by_kind", points=0.5)
def test_kinds_of_what_is_trained(observed, expected):
    """Frozen parameters and buffers do not count."""
    are_kinds(observed.kinds_of_a_few_networks["partly frozen"], expected.kinds_of_a_few_networks["partly frozen"],
              "parameters_by_kind of a frozen convolution, batch norm and two linear layers, one with a frozen bias",
              "Trained is what has `requires_grad`; a layer may be frozen in parts.")  # fmt: skip


@check("parameters_by_kind", points=1)
def test_shared_parameter_counts_for_the_first(observed, expected):
    """A shared tensor counts once, for the first module that owns it."""
    are_kinds(observed.kinds_of_a_few_networks["shared"], expected.kinds_of_a_few_networks["shared"],
              "parameters_by_kind of an Embedding, a Linear, and a Linear that shares the Embedding's weight",
              "Remember which tensors have been counted: the values are to sum to the network's total.")  # fmt: skip


@check("parameters_by_kind", points=1)
def test_parameters_of_other_modules(observed, expected):
    """Parameters of a module that is no layer of PyTorch's count for its class."""
    are_kinds(observed.kinds_of_a_few_networks["of its own"], expected.kinds_of_a_few_networks["of its own"],
              "parameters_by_kind of a Scaled, a module with parameters of its own, a Linear and a Narrow, a class of Linear's",
              "Any module may own parameters, the network itself too, and counts under the name of its own class.")  # fmt: skip


# --- comparison -------------------------------------------------------------------------------------------------------


def table_of(seen: dict, what: str, rows: int) -> list[tuple]:
    """The table; requires a list of tuples of three."""
    found = seen["found"]
    require(isinstance(found, list), what, f"a list of {rows} tuples", found)
    require(all(isinstance(row, tuple) and len(row) == 3 for row in found) and len(found) == rows, what,
            f"{rows} tuples (name, parameters, bytes)", found, "One tuple for each network.")  # fmt: skip
    return found


def same_column(seen: dict, expected: dict, column: int, what: str, look: str) -> None:
    """Requires a column of the table, by the networks' names, whatever their order."""
    right = expected["found"]
    found = {row[0]: row[column] for row in table_of(seen, what, len(right)) if isinstance(row[0], str)}
    same(found, {row[0]: row[column] for row in right}, f"{what}: {('name', 'parameters', 'bytes')[column]}", look=look)


def is_sorted(seen: dict, expected: dict, what: str) -> None:
    """Requires the order of the rows, by their names."""
    right = expected["found"]
    found = [row[0] for row in table_of(seen, what, len(right))]
    same(found, [row[0] for row in right], f"{what}: the names in order",
         look="By the number of parameters alone, smallest first; where it is equal, the dict's order stays.")  # fmt: skip


def built_once(seen: dict, expected: dict, what: str) -> None:
    """Requires each builder to have been called once, and the dict to be as it was."""
    require(not isinstance(seen["found"], Error), what, "a table", seen["found"])
    same(seen["calls"], expected["calls"], f"{what}: calls of builders", look="Build once, keep the network, count on it.")
    same(seen["names after"], expected["names after"], f"{what}: names in `builders` afterwards")


FEW = "compare_networks of a few small networks"


@check("compare_networks", points=1)
def test_parameters_of_each_network(observed, expected):
    """A list of tuples with each network's name and parameters, a shared tensor once."""
    same_column(observed.a_few_networks, expected.a_few_networks, 1, FEW,
                "All scalars of all parameters; what two layers share is one tensor; buffers are no parameters.")  # fmt: skip


@check("compare_networks", points=1)
def test_bytes_of_each_network(observed, expected):
    """The bytes of the parameters at their own dtypes."""
    same_column(observed.a_few_networks, expected.a_few_networks, 2, FEW,
                "A tensor knows how many bytes each of its elements takes; buffers are not asked for.")  # fmt: skip


@check("compare_networks", points=1)
def test_networks_are_sorted(observed, expected):
    """Fewest parameters first, networks of equal number in the dict's order."""
    is_sorted(observed.a_few_networks, expected.a_few_networks, FEW)


@check("compare_networks", points=0.5)
def test_networks_are_built_once(observed, expected):
    """Each builder is called once, without arguments."""
    built_once(observed.a_few_networks, expected.a_few_networks, FEW)


# --- gradients --------------------------------------------------------------------------------------------------------


def are_norms(seen: dict, expected: dict, what: str, look: str) -> None:
    """Requires the norm for each trained parameter; one that the scores do not depend on may be left out."""
    found, right = seen["found"], expected["found"]
    require(isinstance(found, dict), what, f"a dict with the names {list(right)}", found)
    found = found | {name: 0.0 for name, norm in right.items() if norm == 0 and name not in found}
    same(found, right, what, within=NORM, look=look)


def leaves_everything(seen: dict, expected: dict, what: str, *parts: str) -> None:
    """Requires the named parts of what the network holds to be as they were before."""
    require(not isinstance(seen["found"], Error), what, "norms", seen["found"])
    looks = {
        "weights and buffers": "In training mode a forward pass moves the running statistics: keep a copy, and put it back.",
        "gradients": "A backward pass adds to what is in `.grad`: what was there has to be there afterwards, None too.",
        "training": "The mode of each module is the caller's.",
        "trained": "`requires_grad` is the caller's.",
    }
    for part in parts:
        same(seen["after"][part], expected["before"][part], f"{what}, afterwards: {part}", within=0, look=looks[part])


@check("gradient_norms", points=1)
def test_norms_in_training_mode(observed, expected):
    """The L2 norm of each parameter's gradient, by its name, in training mode; older gradients do not count."""
    seen, right = observed.norms_of_a_small_network, expected.norms_of_a_small_network
    are_norms(seen["training"], right["training"], "gradient_norms in training mode",
              "The root of the sum of squares of the gradient of this batch's loss, and of nothing else.")  # fmt: skip


@check("gradient_norms", points=0.5)
def test_norms_in_evaluation_mode(observed, expected):
    """And in evaluation mode, where the network is in it."""
    seen, right = observed.norms_of_a_small_network, expected.norms_of_a_small_network
    are_norms(seen["evaluation"], right["evaluation"], "gradient_norms in evaluation mode",
              "The mode is the network's own: in evaluation mode batch norm takes its running statistics.")  # fmt: skip


@check("gradient_norms", points=0.5)
def test_norms_of_what_is_trained(observed, expected):
    """Frozen parameters have no norm; one that the scores do not depend on is 0.0 or left out."""
    are_norms(observed.norms_of_a_frozen_network, expected.norms_of_a_frozen_network,
              "gradient_norms of a partly frozen network with a layer that its scores do not depend on",
              "Trained is what has `requires_grad`; where nothing arrives the gradient may be None.")  # fmt: skip


@check("gradient_norms", points=1)
def test_measuring_leaves_weights_and_buffers(observed, expected):
    """Weights, running statistics, modes and requires_grad are afterwards as before."""
    for mode, right in expected.norms_of_a_small_network.items():
        leaves_everything(observed.norms_of_a_small_network[mode], right, f"gradient_norms in {mode} mode",
                          "weights and buffers", "training", "trained")  # fmt: skip
    leaves_everything(observed.norms_of_a_frozen_network, expected.norms_of_a_frozen_network,
                      "gradient_norms of a partly frozen network", "weights and buffers", "training", "trained")  # fmt: skip


@check("gradient_norms", points=1)
def test_measuring_leaves_the_gradients(observed, expected):
    """Gradients are afterwards as before, those that were there and those that were None."""
    for mode, right in expected.norms_of_a_small_network.items():
        leaves_everything(observed.norms_of_a_small_network[mode], right, f"gradient_norms in {mode} mode", "gradients")
    leaves_everything(observed.norms_of_a_frozen_network, expected.norms_of_a_frozen_network,
                      "gradient_norms of a partly frozen network", "gradients")  # fmt: skip
