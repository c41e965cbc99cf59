"""Conventions of Continual Backprop that only the kit has: by hand, and their properties.

The rule is minilop/verify/reference/continual_backprop.py, unit by unit. "gnt.py" is the published code. Whole
trajectories are compared with the library (test_verify_library.py) and with PyTorch (test_verify_pytorch.py).
"""

from unittest.mock import Mock

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose

from minilop import draws
from minilop.learner import Learner
from minilop.losses import cross_entropy
from minilop.optimizers import SGD
from minilop.recipes import mlp
from minilop.residual_networks import resnet
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.settings import ReferenceSettings, optimizer_of


def bound(network, **settings):
    """The rule on a network, with nobody who records what it does."""
    return ContinualBackprop(network, ReferenceSettings(**settings), SGD().bind(network.parameters), Mock())


def rule_of(hidden=2, outputs=1, **settings):
    """The rule on a network with one hidden layer, for feeding it features by hand."""
    return bound(mlp((2, hidden, outputs), "relu", (3,), "float64"), **settings)


def judged(rule, features):
    """The units of the first hidden layer after one step of their averages with features (H, B)."""
    rule.begin([None, None, device([features])], 0, {})
    rule.update_utilities(rule.layers[0])
    return rule.layers[0]


def fresh_weights(network, step):
    """Draws for whoever is replaced, in the layout of the kit."""
    return {
        f"fresh_weight/{layer.incoming.number}": host(
            draws.normal(
                5, "fresh weight", (layer.incoming.num_outputs, *layer.incoming.row_shape), step=step, dtype="float64"
            )
        )
        for layer in network.hidden
    }


def replace_one(rule, index, unit, values=None):
    """Replace a unit of a hidden layer, whatever it is worth."""
    rule.begin(values or rule.network.forward(device(numbers(1, 3, 8, 8, 4))), 1, fresh_weights(rule.network, 1))
    rule.replace(rule.layers[index], unit)
    rule.end()


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- utilities, by hand -----------------------------------------------------------------------------------------------

# Two units, two examples, two inputs, two consumers. Before this step the running mean feature was 0; without memory it
# is that of the mini-batch, 2 and 0: mean |h - f| = (1 + 1) / 2 = 1 and (2 + 2) / 2 = 2.
FEATURES = [[1.0, 3.0], [-2.0, 2.0]]  # mean |h| = 2 and 2
INCOMING = [[[1.0, -1.0], [4.0, 0.0]]]  # mean |w| = 1 and 2
OUTGOING = [[[1.0, -2.0], [3.0, 0.0]]]  # mean over consumers 2 and 1, sum 4 and 2


@pytest.mark.quick
@on_both_array_modules
@pytest.mark.parametrize(
    ("utility", "expected"),
    [
        ("weight", [2, 1]),
        ("contribution", [2 * 2, 1 * 2]),
        ("adaptation", [1 / 1, 1 / 2]),
        ("zero_contribution", [2 * 1, 1 * 2]),
        ("adaptable_contribution", [2 * 1 / 1, 1 * 2 / 2]),
        ("feature_by_input", [1 / 1, 2 / 2]),
    ],
)
def test_a_units_utility_on_one_mini_batch_is_that_of_the_table(utility, expected):
    """The kinds of utility of gnt.py, with mean magnitudes of outgoing and incoming weights."""
    rule = rule_of(outputs=2, utility=utility, decay_rate=0.0)
    hidden = rule.network.hidden[0]
    hidden.incoming.weight[...], hidden.outgoing.weight[...] = device(INCOMING), device(OUTGOING)
    assert judged(rule, FEATURES).utility.tolist() == expected


@pytest.mark.quick
def test_the_paper_sums_outgoing_weights_where_the_code_takes_their_mean():
    """Eq. (1) of Dohare et al. (2024); gnt.py."""
    for outgoing, expected in (("sum", [4, 2]), ("mean", [2, 1])):
        rule = rule_of(outputs=2, outgoing=outgoing, utility="weight", decay_rate=0.0)
        rule.network.hidden[0].outgoing.weight[...] = device(OUTGOING)
        assert judged(rule, FEATURES).utility.tolist() == expected


@pytest.mark.parametrize("utility", ["zero_contribution", "adaptable_contribution", "feature_by_input"])
def test_the_centered_utility_of_a_unit_that_never_varies_is_zero(utility):
    """f / (1 - eta^age) is then the feature itself from the first step on; only rounding is left of |h - f|."""
    rule = rule_of(utility=utility, maturity_threshold=1000)
    for _ in range(50):
        assert abs(judged(rule, [[3.0, 3.0], [-7.0, -7.0]]).ranking_score).max() < 1e-13


@on_both_array_modules
def test_the_preprint_centers_on_the_mean_before_this_mini_batch():
    """arXiv:2108.06325: f_{t-1} / (1 - eta^a_t), zero at first, so that the first contribution is not centered."""
    rule = rule_of(utility="zero_contribution", centre="previous", decay_rate=0.5)
    rule.network.hidden[0].outgoing.weight[...] = device([[1.0, 1.0]])
    assert_allclose(judged(rule, [[3.0], [4.0]]).utility, [0.5 * 3, 0.5 * 4])
    # mean before: 0.5 * 3; corrected by 1 - 0.5^2
    second = 0.5 * 1.5 + 0.5 * abs(2 - 0.5 * 3 / 0.75)
    assert_allclose(judged(rule, [[2.0], [4.0]]).utility[0], second)


@on_both_array_modules
def test_a_lifetime_utility_of_weights_ranks_by_the_present_outgoing_weights():
    """The activity is summed all the same: s <- s + (1 - eta) |h|."""
    rule = rule_of(utility="weight", average="lifetime_activity")
    rule.network.hidden[0].outgoing.weight[...] = device([[4.0, -1.0]])
    units = judged(rule, [[2.0], [5.0]])
    assert units.ranking_score.tolist() == [4.0, 1.0]
    assert_allclose(units.utility, [0.01 * 2, 0.01 * 5])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("worth", "due", "expected"),
    [
        ([np.inf, 1.0, 2.0, 3.0, 0.0], 4.0, [1, 2, 3, 0]),
        ([2.0, np.nan, 1.0, 3.0, 0.0], 1.0, [1]),
        ([2.0, 1.0, 1.0, 1.0, 0.0], 2.0, [1, 2]),
        ([2.0, 1.0, 1.0, 1.0, 0.0], 9.5, [1, 2, 3, 0]),
    ],
)
def test_infinite_and_undefined_utilities_protect_no_unit(worth, due, expected):
    """An eligible unit comes before the protected last one; 0 / 0 counts as 0; ties go to the lowest index."""
    rule = rule_of(hidden=5, replacement_rate=1e-3, maturity_threshold=4)
    (units,) = rule.layers
    units.age[:], units.ranking_score[:], units.units_to_replace[:] = [9, 9, 9, 9, 4], worth, due
    assert rule.select(units) == expected
    assert units.units_to_replace[0] == pytest.approx(
        due + 4e-3 - len(expected)
    )  # what is due beyond the eligible stays due


# --- bias transfer ----------------------------------------------------------------------------------------------------


@on_both_array_modules
@pytest.mark.parametrize("average", ["utility", "lifetime_activity"])
def test_transferring_the_bias_keeps_the_mean_output(average):
    """arXiv:2108.06325: the removed unit's mean feature times its outgoing weights goes to the biases of its consumers;
    for features that are always the same the output does not change at all."""
    network = mlp((3, 4, 2), "relu", (7,), "float64")
    settings = {"replacement_rate": 0.5, "maturity_threshold": 5, "transfer_bias": True, "utility": "contribution"}
    rule = bound(network, average=average, **settings)
    inputs = device(numbers(1, 3, 1))
    before = network.forward(inputs)
    for step in range(6):
        rule.step(before, step, fresh_weights(network, step))
    assert rule.layers[0].replaced.sum() == (rule.layers[0].age == 0).sum() == 2
    assert_allclose(host(network.forward(inputs)[-1]), host(before[-1]), atol=1e-13)


# --- shortcuts of residual networks -----------------------------------------------------------------------------------

SMALL = {"widths": (4, 6), "blocks": (2, 1), "image_size": 8, "num_outputs": 5}


def residual_rule(**settings):
    return bound(resnet([2], "float64", **SMALL), initialization="kaiming_normal", **settings)


def new_unit_has_an_effect(shortcuts, index):
    """Whether the output depends on what a new unit of hidden layer `index` computes."""
    rule = residual_rule(shortcuts=shortcuts)
    network, layer = rule.network, rule.network.hidden[index]
    replace_one(rule, index, 1)
    images = device(numbers(1, 3, 8, 8, 4))
    before = host(network.forward(images)[-1])
    layer.incoming.weight[0, 1] = device(numbers(*layer.incoming.row_shape, seed=9))
    layer.normalization.bias[0, 1] = 3
    return bool(abs(host(network.forward(images)[-1]) - before).max() > 1e-12)


@pytest.mark.quick
def test_new_units_have_an_effect_through_shortcuts_unless_these_are_cut():
    """Hidden layers 0 to 6: stem, two blocks of two, one block of two with a convolution in its shortcut."""
    ignored = [new_unit_has_an_effect("ignored", index) for index in range(7)]
    assert ignored == [True, False, True, False, True, False, False]
    assert not any(new_unit_has_an_effect("cut", index) for index in range(7))


@on_both_array_modules
def test_cutting_zeroes_the_channel_in_every_layer_that_it_reaches_and_in_no_other():
    rule = residual_rule(shortcuts="cut")
    network, stem = rule.network, rule.network.hidden[0]
    replace_one(rule, 0, 1)
    reached = (stem.outgoing, *stem.shortcut_consumers)
    assert len(reached) == 4
    for layer in network.weighted_layers:
        weight = abs(host(layer.weight)[0])
        is_zero = weight.sum(axis=(0, *range(2, weight.ndim))) == 0  # of each input channel
        assert np.flatnonzero(is_zero).tolist() == ([1] if layer in reached else [])


def test_the_utility_of_a_cut_unit_counts_all_that_leaves_it():
    rule = residual_rule(shortcuts="cut")
    stem = rule.network.hidden[0]
    consumers = (stem.outgoing, *stem.shortcut_consumers)
    leaving = [abs(host(consumer.weight)[0]).swapaxes(0, 1).reshape(4, -1) for consumer in consumers]
    expected = np.concatenate(leaving, axis=-1).mean(axis=-1)
    rule.begin(rule.network.forward(device(numbers(1, 3, 8, 8, 4))), 0, {})
    assert_allclose([rule.outgoing(rule.layers[0], unit).item() for unit in range(4)], expected, rtol=1e-12)


def test_momentum_of_what_is_cut_is_reset_on_request():
    network = resnet([4], "float32", **SMALL)
    settings = ReferenceSettings(
        momentum=0.9, shortcuts="cut", reset_optimizer_state=True, initialization="kaiming_normal"
    )
    learner = Learner(network, cross_entropy, optimizer_of(settings))
    rule = ContinualBackprop(network, settings, learner.optimizer, Mock())
    images = device(numbers(1, 3, 8, 8, 4), "float32")
    learner.step(images, device(np.arange(4)[None]))
    stem = network.hidden[0]
    replace_one(rule, 0, 1, network.forward(images))
    views = network.views(learner.optimizer.state["velocity"])
    for consumer in (stem.outgoing, *stem.shortcut_consumers):
        velocity = host(views[consumer.index]["weight"])[0]
        assert not velocity[:, 1].any() and velocity[:, 0].any()


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="average=lifetime_activity needs utility=weight or utility=contribution"):
        ReferenceSettings(replacement_rate=0.1, average="lifetime_activity", utility="adaptation")
    with pytest.raises(ValueError, match="choose shortcuts=ignored"):
        ReferenceSettings(replacement_rate=0.1, shortcuts="cut", transfer_bias=True)
