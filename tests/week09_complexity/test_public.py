"""The public checks of week09_complexity: what students run in the notebook. Each compares plain recordings."""

from autograder.authoring import Error, check, require, same, wrapping

# --- counts -----------------------------------------------------------------------------------------------------------


def is_count(found, expected: int, what: str, look: str) -> None:
    """Requires the expected Python int."""
    require(type(found) is int, what, f"the int {expected:,}", found,
            "A count is whole: a tensor, a float or a numpy number becomes one by `int(…)`, a quotient by `//`.")  # fmt: skip
    require(found == expected, what, f"{expected:,}", f"{found:,}", look)


def are_counts(found: dict, expected: dict, what: str, looks: dict[str, str], look: str) -> None:
    """Requires the expected ints, each under its name.

    Args:
        looks: where to look, by name; `look` for the others.
    """
    for name, right in expected.items():
        is_count(found[name], right, f"{what}: {name}", looks.get(name, look))


def stays_as_it_was(seen: dict, expected: dict, what: str) -> None:
    """Requires a network's condition to be afterwards what the reference found before."""
    looks = {
        "layers": "Nothing is added, taken away or wrapped.",
        "modes": "`net.train()` and `net.eval()` set every part; here the parts were in different modes.",
        "tensors": "Neither dtype nor device nor shape may change: `net.to(…)` and `net.double()` change the network itself.",
        "numbers": "A forward pass in training mode moves batch norm's running statistics. Let a copy run.",
        "gradients": "Gradients that are there stay there, and no new ones come.",
        "trainable": "Nothing is frozen or thawed.",
        "hooks": "A hook stays until its handle is told to `remove()`; and hooks of others are not yours to remove.",
    }
    for part, look in looks.items():
        same(seen["after"][part], expected["before"][part], f"{what}: {part} of the network afterwards", look=look)


def both_stay_as_they_were(seen: dict, expected: dict, what: str) -> None:
    """Requires that of a network in training and of one in evaluation mode, and the same answer twice, right or wrong."""
    for mode in ("training", "evaluation"):
        where = f"{what} of a network in {mode} mode"
        first, second = seen[mode]["answers"]
        require(not isinstance(first, Error), where, "a count", first)
        require(first == second, f"{where}, called twice", "the same count", f"{first} and {second}",
                "What a call leaves behind, the next one meets: hooks, or a list that is filled further.")  # fmt: skip
        stays_as_it_was(seen[mode], expected[mode], where)


# --- space ------------------------------------------------------------------------------------------------------------

DTYPES = "Each tensor has its own `element_size()`, and buffers take room as parameters do, whether they are saved or not."
SHARED = "Where two layers hold the same tensor, it is there once; a frozen parameter is there too."


@check("model_bytes", points=1)
def test_bytes_of_densenet121(observed, expected):
    """DenseNet-121 takes 32,250,984 bytes."""
    is_count(observed.bytes_of_densenet121, expected.bytes_of_densenet121, "model_bytes(DenseNet-121)",
             "The bytes of parameters and of buffers: batch norm's are of two dtypes.")  # fmt: skip


@check("model_bytes", points=1)
def test_own_dtypes(observed, expected):
    """Every parameter and buffer counts at its own dtype."""
    are_counts(observed.bytes_of_every_dtype, expected.bytes_of_every_dtype, "model_bytes of a network", {}, DTYPES)


@check("model_bytes", points=0.5)
def test_shared_tensors_once(observed, expected):
    """A tensor that two layers hold counts once; frozen parameters count."""
    are_counts(observed.bytes_of_shared_tensors, expected.bytes_of_shared_tensors, "model_bytes of a network", {}, SHARED)


@check("model_bytes", points=0.5)
def test_model_bytes_leaves_the_network(observed, expected):
    """The network stays as it was."""
    stays_as_it_was(observed.network_after_its_bytes, expected.network_after_its_bytes, "model_bytes")


# --- operations -------------------------------------------------------------------------------------------------------

CONVOLUTION = (
    "Each number of the output costs as many multiply–accumulates as the numbers that it reads: the kernel's size times the "
    "input channels of its group."
)
CALLS = "What counts is how often the forward pass calls a layer, and the size of what comes out."
CALL_LOOKS = {
    "twice, and never": "A layer that is called twice works twice, and one that is never called does not work at all.",
    "one layer in two places": "Each call counts once, in however many parts of the network the layer is held.",
    "one weight in two layers": "Shared weights save memory, not work.",
    "many times": "A layer that is called five times works five times.",
    "subclasses": "`isinstance` knows subclasses, `type(…) ==` does not.",
    "a linear layer on sequences": "A linear layer works on every row of a sequence: look at all numbers of its output.",
    "sequences": "A linear layer works on every row: look at all numbers of its output.",
    "64 bits": "The image must be of the dtype that the network computes with.",
}


@check("count_macs", points=1)
def test_macs_of_densenet121(observed, expected):
    """DenseNet-121 needs 2,834,161,664 multiply–accumulates for an image of 224 × 224."""
    are_counts(observed.macs_of_densenet121, expected.macs_of_densenet121, "count_macs(DenseNet-121)", {}, CONVOLUTION)


@check("count_macs", points=1.5)
def test_macs_of_convolutions(observed, expected):
    """Stride, padding, groups and dilation are respected, in one, two and three dimensions; biases do not count."""
    are_counts(observed.macs_of_convolutions, expected.macs_of_convolutions, "count_macs of a convolution", {}, CONVOLUTION)


@check("count_macs", points=1)
def test_macs_of_each_call(observed, expected):
    """Convolutions and linear layers count as often as they are called, and nothing else does."""
    are_counts(observed.macs_of_each_call, expected.macs_of_each_call, "count_macs of a network", CALL_LOOKS, CALLS)


@check("count_macs", points=0.5)
def test_macs_with_one_value_a_channel(observed, expected):
    """It works where batch norm would meet a single value."""
    are_counts(observed.macs_with_one_value_a_channel, expected.macs_with_one_value_a_channel,
               "count_macs with one value a channel", {}, "One image is enough in evaluation mode.")  # fmt: skip


@check("count_macs", points=1)
def test_macs_of_a_large_image(observed, expected):
    """An image of 8000 × 8000 pixels is counted without computing it."""
    is_count(observed.macs_of_a_large_image, expected.macs_of_a_large_image, "count_macs for an image of 8000 × 8000",
             "On the device \"meta\" a tensor has a shape and no numbers.")  # fmt: skip


@check("count_macs", points=0.5)
def test_counting_leaves_the_network(observed, expected):
    """The network stays as it was, and gives the same count again."""
    both_stay_as_they_were(observed.network_after_counting, expected.network_after_counting, "count_macs")


# --- activations ------------------------------------------------------------------------------------------------------

LEAVES = "Each call of a module without children leaves one output: all its numbers, of all images, times the dtype's bytes."
STORAGES = "Two tensors that lie in one storage take its room once, whichever layer made them."
LEAF_LOOKS = {
    "a leaf called twice, others never": "A leaf that is called twice has two outputs; one that is never called has none.",
    "a leaf of a class of its own": "Every module without children is a leaf, whatever its class.",
    "torch.cat between two leaves": "What `torch.cat` makes is no leaf's output; the in-place ReLU behind it is a leaf.",
}
STORAGE_LOOKS = {
    "ReLU in place behind torch.cat": "What `torch.cat` made has not been counted yet; the ReLU's output lies there.",
    "ReLU in place behind an addition in place": "`+=` writes where the convolution's output lies already.",
    "ReLU in place behind a view": "A view has a tensor object of its own; the numbers lie in the storage of the first one.",
}
MODE_LOOKS = {
    "one value a channel in an image": "Batch norm refuses a single such image in training mode: let the whole batch through.",
}
MODE = "In training mode dropout makes a new tensor, and heads work that are silent in evaluation mode."


@check("activation_bytes", points=1.5)
def test_outputs_of_leaves(observed, expected):
    """The output of every leaf module counts, as often as it is called."""
    are_counts(observed.outputs_of_leaves, expected.outputs_of_leaves, "activation_bytes", LEAF_LOOKS, LEAVES)


@check("activation_bytes", points=1.5)
def test_each_storage_once(observed, expected):
    """In-place layers, `Flatten` and `Identity` add nothing: each storage counts once."""
    are_counts(observed.outputs_in_one_place, expected.outputs_in_one_place, "activation_bytes", STORAGE_LOOKS, STORAGES)


@check("activation_bytes", points=1)
def test_activations_of_training_mode(observed, expected):
    """The forward pass is that of the whole batch in training mode."""
    seen, right = observed.outputs_in_training_mode, expected.outputs_in_training_mode
    are_counts(seen, right, "activation_bytes in training mode", MODE_LOOKS, MODE)


@check("activation_bytes", points=0.5)
def test_activations_at_the_dtype_asked_for(observed, expected):
    """Every output counts as if it had `dtype`, whatever the network's own."""
    are_counts(observed.outputs_of_other_dtypes, expected.outputs_of_other_dtypes, "activation_bytes", {},
               "`dtype` says how many bytes a number takes; the network may compute with another.")  # fmt: skip


@check("activation_bytes", points=0.5)
def test_measuring_leaves_the_network(observed, expected):
    """The network stays as it was, running statistics too, and gives the same bytes again."""
    both_stay_as_they_were(observed.network_after_measuring, expected.network_after_measuring, "activation_bytes")


# --- training ---------------------------------------------------------------------------------------------------------

BUDGET = "Weights and buffers, gradients, the optimizer's copies, activations: only the last are there for every image."
TRAINED = "Gradients and the optimizer's copies are there for trainable parameters alone, once each and at their own dtype."


def as_asked(seen: dict, fewer: dict) -> dict:
    """The reference's answers with the stand-ins that the submission asked, and no others."""
    return fewer[" and ".join(seen["asked"])]


def are_budgets(seen: dict, fewer: dict, names: list[str], look: str) -> None:
    """Requires what training these networks takes with each optimizer."""
    for name in names:
        right = as_asked(seen[name], {stand_ins: answers[name] for stand_ins, answers in fewer.items()})
        what = f"training_bytes, {name}, optimizer"
        are_counts(seen[name]["bytes"], right["bytes"], what, {"by default": "Without a name it is Adam."}, look)


@check("training_bytes", points=1.5)
def test_parts_of_training(observed, expected):
    """Weights, gradients, optimizer state and activations, for each of the three optimizers."""
    are_budgets(observed.training_of_networks, expected.training_with_fewer_stand_ins, ["all trained"], BUDGET)


PARTLY = ["partly frozen", "a weight in two layers", "64 bits, and a layer of 16"]


@check("training_bytes", points=1)
def test_only_what_is_trained(observed, expected):
    """Gradients and optimizer state are those of the trainable parameters, at their own dtypes."""
    are_budgets(observed.training_of_networks, expected.training_with_fewer_stand_ins, PARTLY, TRAINED)


@check("training_bytes", points=0.5)
def test_other_optimizers_raise(observed, expected):
    """Another optimizer's name raises ValueError."""
    for name in expected.training_by_unknown_optimizers:
        is_value_error(observed.training_by_unknown_optimizers[name], f"training_bytes with optimizer={name!r}")


def is_value_error(found, what: str) -> None:
    """Requires a ValueError."""
    require(isinstance(found, Error) and found.type == "ValueError", what, "a ValueError", found,
            "`raise ValueError(…)` before anything is computed with it.")  # fmt: skip


@check("training_bytes", points=0.5)
def test_training_bytes_leaves_the_network(observed, expected):
    """The network stays as it was: nothing is trained."""
    both_stay_as_they_were(observed.network_after_the_budget, expected.network_after_the_budget, "training_bytes")


# --- batch ------------------------------------------------------------------------------------------------------------

FITS = "It fits when `training_bytes` are no more than `memory_bytes`: the last byte may be used, and no image is cut in two."
SEARCH = "Only the activations grow with the batch. Whoever knows what one image takes can divide, or halve an interval."


def are_batches(seen: dict, fewer: dict) -> None:
    """Requires the largest batch for each memory, with each optimizer."""
    right = as_asked(seen, fewer)["batches"]
    for name, batches in right.items():
        for found, batch in zip(seen["batches"][name], batches, strict=True):
            is_count(found, batch, f"largest_batch, memory byte by byte, optimizer: {name}", FITS)


@check("largest_batch", points=1.5)
def test_last_batch_that_fits(observed, expected):
    """The largest batch that fits, to the byte, for each optimizer."""
    are_batches(observed.batches_byte_by_byte, expected.batches_with_fewer_stand_ins)


@check("largest_batch", points=0.5)
def test_no_image_fits(observed, expected):
    """0 where not even one image fits."""
    nothing_fits(observed.batches_in_no_memory, expected.batches_in_no_memory)


def nothing_fits(seen: dict, expected: dict) -> None:
    """Requires a batch of 0 for each memory."""
    for found, right in zip(seen["batches"], expected["batches"], strict=True):
        is_count(found, right, "largest_batch in no memory worth the name", "There are no negative batches.")


@check("largest_batch", points=1)
def test_80_gib(observed, expected):
    """It answers for 80 GiB without trying every batch."""
    is_large(observed.batches_in_80_gib, expected.batches_in_80_gib_with_fewer_stand_ins)


def is_large(seen: dict, fewer: dict) -> None:
    """Requires the largest batch for 80 GiB."""
    is_count(seen["batches"], as_asked(seen, fewer)["batches"], "largest_batch for 80 GiB", SEARCH)


@check("largest_batch", points=0.5)
def test_search_leaves_the_network(observed, expected):
    """The network stays as it was."""
    both_stay_as_they_were(observed.network_after_the_search, expected.network_after_the_search, "largest_batch")


# --- time -------------------------------------------------------------------------------------------------------------

# Right answers differ by the order of their roundings, 1e-15; a time may be far below a second, so it is compared as a share.
SHARE = 1e-9


def are_seconds(seen: dict, expected: dict) -> None:
    """Requires the right seconds for each call."""
    for given, right in expected.items():
        what = f"seconds_per_image({given})"
        require(isinstance(seen[given], float), what, f"the float {right:.6g}", seen[given],
                "A time is a float, also where it is 0.0.")  # fmt: skip
        share = seen[given] / right if right else 1 + seen[given]
        same(share, 1.0, f"{what}: as a share of the right {right:.6g} s", within=SHARE,
             look="A multiply–accumulate is two operations; a GPU that is used by a quarter does a quarter of them.")


@check("seconds_per_image", points=0.5)
def test_two_operations_a_mac(observed, expected):
    """A multiply–accumulate is two operations, and only the used share of the rate works."""
    are_seconds(observed.seconds_of_a_few_images, expected.seconds_of_a_few_images)


@check("seconds_per_image", points=0.5)
def test_rates_are_positive(observed, expected):
    """A rate or utilisation that is not positive raises ValueError, as does NaN."""
    for given in expected.seconds_at_impossible_rates:
        is_value_error(observed.seconds_at_impossible_rates[given], f"seconds_per_image(1000000000, {given})")


# --- comparison -------------------------------------------------------------------------------------------------------

COLUMNS = {
    "parameters": "All parameters count, frozen ones too; a shared one counts once.",
    "bytes": "This is `model_bytes`.",
    "macs": "This is `count_macs` for `input_shape`.",
    "activation_bytes": "These are the activations of a single image, at float32.",
    "largest_batch": "For `memory_bytes`, trained with Adam.",
}


@wrapping("complexity_table")
def table_by_name(found, expected):
    """A dict from name to row."""
    by_name = isinstance(found, dict) and isinstance(expected, list) and all(isinstance(row, dict) for row in found.values())
    return [{"name": name} | _columns(row) for name, row in found.items()] if by_name and found else found


def _columns(row: dict) -> dict:
    return {name: row[name] for name in ("name", *COLUMNS) if name in row}


def are_rows(seen) -> None:
    """Requires a list of dicts."""
    rows = isinstance(seen, list) and len(seen) > 0 and all(isinstance(row, dict) for row in seen)
    require(rows, "complexity_table(builders, …)", "a list of dicts", seen, "One dict for each network, in a list.")


def is_table(seen, expected: list) -> None:
    """Requires a list of dicts with the names in the right order."""
    are_rows(seen)
    names = [row["name"] for row in expected]
    same([row.get("name") for row in seen], names, "complexity_table(builders, …): the names",
         look="All of `builders`, in the dict's own order.")  # fmt: skip


def are_columns(seen, worlds: list) -> None:
    """Requires every figure to be the reference's with one choice of stand-ins: a table may ask functions or compute.

    Rows are found by their names, or by their places: which there are is asked elsewhere.
    """
    are_rows(seen)
    names = [row["name"] for row in worlds[0]]
    for index, row in enumerate(seen[: len(names)]):
        place = names.index(row["name"]) if row.get("name") in names else index
        for name, look in COLUMNS.items():
            what = f"complexity_table: {name} of the network {names[place]!r}"
            require(name in row, what, "an int", f"a row with {list(row)} alone", look)
            right = [world[place][name] for world in worlds]
            is_count(row[name], row[name] if row[name] in right else right[0], what, look)


@check("complexity_table", points=1)
def test_a_row_for_each_network(observed, expected):
    """A list of one dict a network, in the order of `builders`, those that do not fit included."""
    is_table(observed.table_of_a_few_networks, expected.table_of_a_few_networks)


@check("complexity_table", points=1.5)
def test_every_column(observed, expected):
    """Every column holds what its name says."""
    are_columns(observed.table_of_a_few_networks, expected.table_with_fewer_stand_ins)
