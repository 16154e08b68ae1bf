"""Green means what the text says: the public checks of a module catch every known mistake that the released inputs can show.

A student whose public checks all pass loses hidden points only for what other inputs show: other sizes, another device, a
second call. Which mistakes these are, and why, is written here, and no other may be green.
"""

from pathlib import Path

import pytest
from conftest import needs_walls

from autograder.course.course import Course
from autograder.defaults import VERIFY_SEED
from autograder.grading.grader import PUBLIC, Grader
from autograder.grading.judge import PASSED, judge

pytestmark = needs_walls

COURSE = Path(__file__).resolve().parents[2]

ANOTHER_CALL = "shows at another call: what one call leaves behind, the next one finds"
A_SEED = "a seed set inside shows in the random numbers drawn after two seeds set before"
LONGER = "shows at a larger size: more batches, epochs or kernels than a check in the notebook has time for"
SMALLER = "shows at a smaller size: a set smaller than a batch, a batch of one image"
A_SURE_NETWORK = "shows with other weights: a network so sure or so unsure that nothing else differs"
STEEP = "shows with steep gradients, where clipping takes hold"
TWO_NAMES = "shows where one layer is registered under two names"
NO_BIAS = "shows where the old layer has no bias; those of DenseNet and ResNet have one"
ONE_CHANNEL = "shows with kernels that read a single channel; DenseNet has none"
ELSEWHERE = "shows on a device that is not the CPU; in public that is asked where the exercise's own text names it"

ONLY_HIDDEN = {
    "remembers_photos_by_their_size": ANOTHER_CALL,
    "keeps_loaders_from_before": ANOTHER_CALL,
    "keeps_a_classifier_that_fits": ANOTHER_CALL,
    "adds_to_the_last_difference": ANOTHER_CALL,
    "draws_into_the_figure_of_before": ANOTHER_CALL,
    "seeds_for_the_loaders": A_SEED,
    "SeedsInForward": A_SEED,
    "SeedsInInit": A_SEED,
    "seeds_for_the_classifier": A_SEED,
    "seeds_every_epoch": A_SEED,
    "seeds_in_fit": A_SEED,
    "shows_no_more_than_64": LONGER,
    "stops_after_ten_batches": LONGER,
    "stops_after_a_hundred_batches": LONGER,
    "begins_its_loss_anew_every_two_hundred_batches": LONGER,
    "stops_after_ten_test_batches": LONGER,
    "stops_after_a_hundred_test_batches": LONGER,
    "trains_on_a_hundred_batches": LONGER,
    "lowers_the_learning_rate_later": LONGER,
    "writes_the_limits_down": LONGER,
    "takes_no_more_than_the_test_images": SMALLER,
    "DropsAxesOfOne": SMALLER,
    "takes_the_logarithm_of_a_sum_in_training": A_SURE_NETWORK,
    "counts_only_likely_answers_in_training": A_SURE_NETWORK,
    "takes_the_logarithm_of_a_sum_in_testing": A_SURE_NETWORK,
    "counts_only_likely_answers_in_testing": A_SURE_NETWORK,
    "clips_large_gradients": STEEP,
    "clips_each_gradient": STEEP,
    "JoinsOnTheCpu": ELSEWHERE,
    "picks_the_device_itself": ELSEWHERE,
    "moves_the_network_away": ELSEWHERE,
    "takes_the_network_home": ELSEWHERE,
    "SetsASeedInInit": A_SEED,
    "SqueezesAxesOfOne": SMALLER,
    "AddsOnTheCpu": ELSEWHERE,
    "moves_the_batch_to_the_cpu": ELSEWHERE,
    "converts_gradients_by_numpy": ELSEWHERE,
    "measures_the_network_on_the_cpu": ELSEWHERE,
    "clips_while_measuring": STEEP,
    "visits_modules_by_their_names": TWO_NAMES,
    "has_a_bias_where_the_old_one_had": NO_BIAS,
    "shows_all_kernels_of_one_channel": ONE_CHANNEL,
}


@pytest.mark.parametrize("module", ["week08_densenet", "week08_resnet"])
def test_every_known_mistake_is_caught_in_public_or_has_a_reason(module):
    """On the released inputs, as `check` in the notebook asks them; what `verify` has kept of that is not observed again."""
    with Grader(Course(COURSE).module(module), VERIFY_SEED, workers=2) as grader:
        public = [check for check in grader.contents.checks if check.public]
        green = set()
        for mistake in grader.contents.mistakes:
            seen = grader.naming.observe(grader.contents.code(mistake), mistake.of, [PUBLIC])
            judged = judge([check for check in public if check.function == mistake.of], seen, grader.naming.expected)
            if all(one.verdict.state == PASSED for one in judged):
                green.add(mistake.name)
    assert green - ONLY_HIDDEN.keys() == set(), "green in public: make a public check see it, or say here why it cannot"
    listed = ONLY_HIDDEN.keys() & {mistake.name for mistake in grader.contents.mistakes}
    assert listed - green == set(), "listed here, and caught in public: take it off the list"
