"""The hidden checks of week09_complexity: other sizes, settings and repetitions than the public ones."""

from autograder.authoring import check

from .test_public import (
    BUDGET,
    CALL_LOOKS,
    CALLS,
    CONVOLUTION,
    DTYPES,
    LEAF_LOOKS,
    LEAVES,
    MODE,
    MODE_LOOKS,
    PARTLY,
    SHARED,
    STORAGE_LOOKS,
    STORAGES,
    TRAINED,
    are_batches,
    are_budgets,
    are_columns,
    are_counts,
    are_seconds,
    both_stay_as_they_were,
    is_count,
    is_large,
    is_table,
    is_value_error,
    nothing_fits,
    stays_as_it_was,
)


@check("model_bytes", points=1.5)
def test_other_dtypes(observed, expected):
    """Parameters and buffers of other dtypes, deeper in the network."""
    are_counts(observed.bytes_of_other_dtypes, expected.bytes_of_other_dtypes, "model_bytes of a network", {}, DTYPES)


@check("model_bytes", points=1)
def test_other_shared_tensors(observed, expected):
    """Other tensors that several parts hold."""
    seen, right = observed.bytes_of_other_shared_tensors, expected.bytes_of_other_shared_tensors
    are_counts(seen, right, "model_bytes of a network", {}, SHARED)


@check("model_bytes", points=0.5)
def test_model_bytes_leaves_other_networks(observed, expected):
    """Another network stays as it was."""
    stays_as_it_was(observed.network_after_other_bytes, expected.network_after_other_bytes, "model_bytes")


@check("count_macs", points=2)
def test_macs_of_other_convolutions(observed, expected):
    """Convolutions with other settings, one behind the other."""
    seen, right = observed.macs_of_other_convolutions, expected.macs_of_other_convolutions
    are_counts(seen, right, "count_macs of convolutions", {}, CONVOLUTION)


@check("count_macs", points=1.5)
def test_macs_of_other_calls(observed, expected):
    """Other networks whose layers are called many times, once or never."""
    are_counts(observed.macs_of_other_calls, expected.macs_of_other_calls, "count_macs of a network", CALL_LOOKS, CALLS)


@check("count_macs", points=0.5)
def test_macs_with_one_value_in_other_networks(observed, expected):
    """Other networks with which batch norm would refuse a single image."""
    seen, right = observed.macs_with_one_value_in_other_networks, expected.macs_with_one_value_in_other_networks
    are_counts(seen, right, "count_macs with one value a channel", {}, "One image is enough in evaluation mode.")


@check("count_macs", points=1)
def test_macs_of_another_large_image(observed, expected):
    """Another large image is counted without computing it."""
    is_count(observed.macs_of_another_large_image, expected.macs_of_another_large_image, "count_macs for a large image",
             "On the device \"meta\" a tensor has a shape and no numbers.")  # fmt: skip


@check("count_macs", points=0.5)
def test_counting_leaves_other_networks(observed, expected):
    """Other networks stay as they were, and give the same count again."""
    both_stay_as_they_were(observed.other_network_after_counting, expected.other_network_after_counting, "count_macs")


@check("activation_bytes", points=2)
def test_outputs_of_other_leaves(observed, expected):
    """Other leaves, in other networks."""
    are_counts(observed.outputs_of_other_leaves, expected.outputs_of_other_leaves, "activation_bytes", LEAF_LOOKS, LEAVES)


@check("activation_bytes", points=2)
def test_each_storage_once_in_other_networks(observed, expected):
    """Other in-place layers and views, several in a row."""
    seen, right = observed.other_outputs_in_one_place, expected.other_outputs_in_one_place
    are_counts(seen, right, "activation_bytes", STORAGE_LOOKS, STORAGES)


@check("activation_bytes", points=1)
def test_activations_of_training_mode_in_other_networks(observed, expected):
    """Other networks in training mode."""
    seen, right = observed.other_outputs_in_training_mode, expected.other_outputs_in_training_mode
    are_counts(seen, right, "activation_bytes in training mode", MODE_LOOKS, MODE)


@check("activation_bytes", points=0.5)
def test_activations_at_other_dtypes(observed, expected):
    """Other dtypes and networks."""
    are_counts(observed.outputs_of_more_dtypes, expected.outputs_of_more_dtypes, "activation_bytes", {},
               "`dtype` says how many bytes a number takes; the network may compute with another.")  # fmt: skip


@check("activation_bytes", points=0.5)
def test_measuring_leaves_other_networks(observed, expected):
    """Other networks stay as they were, and give the same bytes again."""
    both_stay_as_they_were(observed.other_network_after_measuring, expected.other_network_after_measuring, "activation_bytes")


@check("training_bytes", points=1.5)
def test_parts_of_other_training(observed, expected):
    """The parts of training in other networks."""
    seen, fewer = observed.training_of_other_networks, expected.training_of_others_with_fewer_stand_ins
    are_budgets(seen, fewer, ["all trained"], BUDGET)


@check("training_bytes", points=1.5)
def test_only_what_is_trained_in_other_networks(observed, expected):
    """Other networks of which parts are frozen, shared or of another dtype."""
    seen, fewer = observed.training_of_other_networks, expected.training_of_others_with_fewer_stand_ins
    are_budgets(seen, fewer, PARTLY, TRAINED)


@check("training_bytes", points=0.5)
def test_training_bytes_leaves_other_networks(observed, expected):
    """Other networks stay as they were."""
    seen, right = observed.other_network_after_the_budget, expected.other_network_after_the_budget
    both_stay_as_they_were(seen, right, "training_bytes")


@check("largest_batch", points=1.5)
def test_last_batch_that_fits_elsewhere(observed, expected):
    """The largest batch that fits, to the byte, in other memories."""
    are_batches(observed.other_batches_byte_by_byte, expected.other_batches_with_fewer_stand_ins)


@check("largest_batch", points=0.5)
def test_no_image_fits_elsewhere(observed, expected):
    """0 in other memories that are too small."""
    nothing_fits(observed.other_batches_in_no_memory, expected.other_batches_in_no_memory)


@check("largest_batch", points=1)
def test_other_images_in_80_gib(observed, expected):
    """It answers for 80 GiB and other images."""
    is_large(observed.other_batches_in_80_gib, expected.other_batches_in_80_gib_with_fewer_stand_ins)


@check("largest_batch", points=0.5)
def test_search_leaves_other_networks(observed, expected):
    """Other networks stay as they were."""
    seen, right = observed.other_network_after_the_search, expected.other_network_after_the_search
    both_stay_as_they_were(seen, right, "largest_batch")


@check("seconds_per_image", points=1)
def test_seconds_of_other_images(observed, expected):
    """Other images at other rates."""
    are_seconds(observed.seconds_of_other_images, expected.seconds_of_other_images)


@check("seconds_per_image", points=1)
def test_other_rates_are_positive(observed, expected):
    """Other rates that are not positive raise ValueError."""
    for given in expected.seconds_at_other_impossible_rates:
        found = observed.seconds_at_other_impossible_rates[given]
        is_value_error(found, f"seconds_per_image(1000000000, {given})")


@check("complexity_table", points=1)
def test_a_row_for_each_other_network(observed, expected):
    """The rows of other networks."""
    is_table(observed.table_of_other_networks, expected.table_of_other_networks)


@check("complexity_table", points=1.5)
def test_every_column_of_other_networks(observed, expected):
    """The columns of other networks."""
    are_columns(observed.table_of_other_networks, expected.other_table_with_fewer_stand_ins)
