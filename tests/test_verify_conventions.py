"""Conventions of Continual Backprop that only the kit has: by hand, their properties, and against a plain loop.

The rule is minilop/verify/reference/continual_backprop.py. "gnt.py" is the published code.
"""

from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal
from reference_continual_backprop import ReferenceRun

from minilop.learner import Learner
from minilop.losses import cross_entropy, squared_error
from minilop.optimizers import SGD
from minilop.recipes import mlp
from minilop.residual_networks import resnet
from minilop.verify.reference.continual_backprop import (
    ContinualBackprop,
    ReplacementBudget,
    instantaneous_utility,
    least_useful,
)
from minilop.verify.reference.settings import ReferenceSettings, optimizer_of

SEEDS = (7, 20)


def rule_of(hidden=2, outputs=1, seeds=(3,), **settings):
    """The rule on a network with one hidden layer, for feeding it features by hand."""
    network = mlp((2, hidden, outputs), "relu", seeds, "float64")
    return ContinualBackprop(network, ReferenceSettings(**settings), SGD().bind(network.parameters))


def utilities_after(rule, features):
    """One step of the averages with the given features: the running utility, and its bias-corrected form."""
    ((incoming, outgoing),) = rule.weight_magnitudes()
    utility = host(rule.update_utility(rule.state[0], device(features), incoming, outgoing)).copy()
    return utility, utility / host(rule.state[0]["correction"])


# --- utilities, by hand -----------------------------------------------------------------------------------------------

# Two units, two examples, two inputs, two consumers.
FEATURES = [[[1.0, 3.0], [-2.0, 2.0]]]  # mean |h| = 2 and 2
CENTRE = [[2.0, 1.0]]  # mean |h - f| = (1 + 1) / 2 = 1 and (3 + 1) / 2 = 2
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
    rule = rule_of(outputs=2, utility=utility)
    hidden = rule.network.hidden[0]
    hidden.incoming.weight[...], hidden.outgoing.weight[...] = device(INCOMING), device(OUTGOING)
    ((incoming, outgoing),) = rule.weight_magnitudes()
    found = instantaneous_utility(utility, device(FEATURES), device(CENTRE), incoming, outgoing)
    assert host(found).tolist() == [expected]


@pytest.mark.quick
def test_the_paper_sums_outgoing_weights_where_the_code_takes_their_mean():
    """Eq. (1) of Dohare et al. (2024); gnt.py."""
    for outgoing, expected in (("sum", [[4, 2]]), ("mean", [[2, 1]])):
        rule = rule_of(outputs=2, outgoing=outgoing)
        rule.network.hidden[0].outgoing.weight[...] = device(OUTGOING)
        assert host(rule.weight_magnitudes()[0][1]).tolist() == expected


@pytest.mark.parametrize("utility", ["zero_contribution", "adaptable_contribution", "feature_by_input"])
def test_the_centered_utility_of_a_unit_that_never_varies_is_zero(utility):
    """f / (1 - eta^age) is then the feature itself from the first step on; only rounding is left of |h - f|."""
    rule = rule_of(utility=utility, maturity_threshold=1000)
    for _ in range(50):
        assert abs(utilities_after(rule, [[[3.0, 3.0], [-7.0, -7.0]]])[1]).max() < 1e-13


@on_both_array_modules
def test_the_preprint_centers_on_the_mean_before_this_mini_batch():
    """arXiv:2108.06325: f_{t-1} / (1 - eta^a_t), zero at first, so that the first contribution is not centered."""
    rule = rule_of(utility="zero_contribution", centre="previous", decay_rate=0.5)
    rule.network.hidden[0].outgoing.weight[...] = device([[1.0, 1.0]])
    assert_allclose(utilities_after(rule, [[[3.0], [4.0]]])[0], [[0.5 * 3, 0.5 * 4]])
    # mean before: 0.5 * 3; corrected by 1 - 0.5^2
    second = 0.5 * 1.5 + 0.5 * abs(2 - 0.5 * 3 / 0.75)
    assert_allclose(utilities_after(rule, [[[2.0], [4.0]]])[0][0, 0], second)


@on_both_array_modules
def test_a_lifetime_utility_of_weights_ranks_by_the_present_outgoing_weights():
    """The activity is summed all the same: s <- s + (1 - eta) |h|."""
    rule = rule_of(utility="weight", average="lifetime_activity")
    rule.network.hidden[0].outgoing.weight[...] = device([[4.0, -1.0]])
    assert utilities_after(rule, [[[2.0], [5.0]]])[0].tolist() == [[4.0, 1.0]]
    assert_allclose(host(rule.state[0]["utility"]), [[0.01 * 2, 0.01 * 5]])


@on_both_array_modules
def test_infinite_and_undefined_utilities_protect_no_unit():
    """An eligible unit comes before the protected last one; 0 / 0 counts as 0; ties go to the lowest index."""
    age = device([[9.0, 9.0, 9.0, 9.0, 1.0]])
    for utility, number, expected in (
        ([np.inf, 1.0, 2.0, 3.0, 0.0], 4, [0, 1, 2, 3]),
        ([2.0, np.nan, 1.0, 3.0, 0.0], 1, [1]),
        ([2.0, 1.0, 1.0, 1.0, 0.0], 2, [1, 2]),
    ):
        runs, units = least_useful(device([utility]), age, 4, np.array([number]))
        assert runs.tolist() == [0] * number and sorted(host(units).tolist()) == expected


# --- bias transfer ----------------------------------------------------------------------------------------------------


@on_both_array_modules
@pytest.mark.parametrize("average", ["utility", "lifetime_activity"])
def test_transferring_the_bias_keeps_the_mean_output(average):
    """arXiv:2108.06325: the removed unit's mean feature times its outgoing weights goes to the biases of its consumers;
    for features that are always the same the output does not change at all."""
    network = mlp((3, 4, 2), "relu", SEEDS, "float64")
    settings = ReferenceSettings(
        replacement_rate=0.5, maturity_threshold=5, transfer_bias=True, utility="contribution", average=average
    )
    rule = ContinualBackprop(network, settings, SGD().bind(network.parameters))
    inputs = device(np.random.default_rng(0).normal(size=(2, 3, 1)))
    before = network.forward(inputs)
    for step in range(6):
        rule.step(before, step)
    assert (host(rule.state[0]["age"]) == 0).sum(axis=-1).tolist() == [2, 2]
    assert_allclose(host(network.forward(inputs)[-1]), host(before[-1]), atol=1e-13)


# --- shortcuts of residual networks -----------------------------------------------------------------------------------

SMALL = {"widths": (4, 6), "blocks": (2, 1), "image_size": 8, "num_outputs": 5}


def residual_rule(**settings):
    network = resnet([2], "float64", **SMALL)
    return ContinualBackprop(network, ReferenceSettings(**settings), SGD().bind(network.parameters))


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def new_unit_has_an_effect(shortcuts, index):
    """Whether the output depends on what a new unit of hidden layer `index` computes."""
    rule = residual_rule(shortcuts=shortcuts)
    network, layer = rule.network, rule.network.hidden[index]
    rule.replace(layer, rule.state[index], np.array([0]), device(np.array([1])), step=1)
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
    rule.replace(stem, rule.state[0], np.array([0]), device(np.array([1])), step=1)
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
    assert_allclose(host(rule.weight_magnitudes()[0][1])[0], expected, rtol=1e-12)


def test_momentum_of_what_is_cut_is_reset_on_request():
    network = resnet([4], "float32", **SMALL)
    settings = ReferenceSettings(momentum=0.9, shortcuts="cut", reset_optimizer_state=True)
    learner = Learner(network, cross_entropy, optimizer_of(settings))
    rule = ContinualBackprop(network, settings, learner.optimizer)
    learner.step(device(numbers(1, 3, 8, 8, 4), "float32"), device(np.arange(4)[None]))
    stem = network.hidden[0]
    rule.replace(stem, rule.state[0], np.array([0]), device(np.array([1])), step=1)
    views = network.views(learner.optimizer.state["velocity"])
    for consumer in (stem.outgoing, *stem.shortcut_consumers):
        velocity = host(views[consumer.index]["weight"])[0]
        assert not velocity[:, 1].any() and velocity[:, 0].any()


# --- how many units to replace, counted on the host -------------------------------------------------------------------


@on_both_array_modules
@pytest.mark.parametrize("rounding", ["accumulate", "single", "chance"])
@pytest.mark.parametrize("rate_counts", ["eligible", "all"])
def test_a_budget_restored_between_two_replacements_continues_as_before(rounding, rate_counts):
    """It knows the numbers of eligible units without looking at their ages; every run has a rate of its own."""
    settings = ReferenceSettings(
        replacement_rate=np.array([0.05, 0.11, 0.3]), maturity_threshold=7, rate_counts=rate_counts, rounding=rounding
    )
    budget = ReplacementBudget(np.arange(3), 2, 6, settings)
    ages = np.zeros((3, 6))
    copy = None
    total = 0
    for step in range(80):
        if step in (3, 8, 41):  # before any unit is eligible, among the first replacements, later
            copy = ReplacementBudget(np.arange(3), 2, 6, settings)
            copy.restore(budget.units_to_replace.copy(), ages.copy(), step)
        number = budget.num_to_replace(step)
        if copy:
            again = copy.num_to_replace(step)
            assert (number is None and again is None) or number.tolist() == again.tolist()
            assert_array_equal(copy.units_to_replace, budget.units_to_replace)
            assert_array_equal(copy.eligible, budget.eligible)
        ages += 1
        assert_array_equal((ages > 7).sum(axis=-1), budget.eligible + (0 if number is None else number))
        for run, units in enumerate([] if number is None else number):
            oldest = np.argsort(-ages[run], kind="stable")[:units]
            ages[run, oldest] = 0
            total += units
    assert total > 20


# --- whole trajectories against a plain loop --------------------------------------------------------------------------

BASE = ReferenceSettings(step_size=0.05, replacement_rate=0.03, maturity_threshold=5, decay_rate=0.9)
VARIANTS = {
    "utility=weight": {"utility": "weight"},
    "utility=adaptation": {"utility": "adaptation"},
    "utility=zero_contribution": {"utility": "zero_contribution"},
    "utility=feature_by_input": {"utility": "feature_by_input"},
    "average=lifetime_activity of weights": {"average": "lifetime_activity", "utility": "weight"},
    "centre=previous": {"centre": "previous"},
    "transfer_bias": {"transfer_bias": True},
    "transfer_bias of a plain contribution": {"transfer_bias": True, "utility": "contribution", "centre": "previous"},
    "transfer_bias with adam": {
        "transfer_bias": True, "optimizer": "adam", "step_size": 0.01, "reset_optimizer_state": True,
    },
}  # fmt: skip


def mini_batch(step, sizes, batch):
    """Inputs and targets of a problem that drifts, as NumPy arrays (R, I, B) and (R, O, B)."""
    random = np.random.default_rng(step)
    inputs = random.normal(size=(2, sizes[0], batch))
    return inputs, np.sin(inputs[:, : sizes[-1]] + step / 40) + 0.3 * random.normal(size=(2, sizes[-1], batch))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rule_of_the_kit_equals_a_plain_loop_over_units(variant, batch):
    settings, sizes = replace(BASE, **VARIANTS[variant]), (3, 6, 5, 2)
    network = mlp(sizes, "relu", SEEDS, "float64")
    optimizer = optimizer_of(settings)
    initial = [[host(getattr(layer, name)).copy() for layer in network.dense_layers] for name in ("weight", "bias")]
    references = [
        ReferenceRun([w[run] for w in initial[0]], [b[run, :, 0] for b in initial[1]], optimizer, settings, seed)
        for run, seed in enumerate(SEEDS)
    ]
    learner = Learner(network, squared_error, optimizer)
    rule = ContinualBackprop(network, settings, learner.optimizer)
    for step in range(120):
        inputs, targets = mini_batch(step, sizes, batch)
        with np.errstate(divide="ignore"):  # a unit all of whose inputs were replaced has an infinite utility
            values = learner.forward(device(inputs))
            learner.learn(values, squared_error(values[-1], device(targets))[1])
            rule.step(values, step)
            for run, reference in enumerate(references):
                reference.step(inputs[run], targets[run])
        for run, reference in enumerate(references):
            assert [host(state["age"])[run].tolist() for state in rule.state] == reference.age, step
            # Two orders of summation in float64 differ by 1e-16 a step; 120 steps of a stable learner do not amplify
            # that a million times.
            assert_allclose(host(network.parameters)[run], reference.flat(), rtol=1e-9, atol=1e-10)
    assert min(len(reference.replaced) for reference in references) >= 20


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="average=lifetime_activity needs utility=weight or utility=contribution"):
        ReferenceSettings(replacement_rate=0.1, average="lifetime_activity", utility="adaptation")
    with pytest.raises(ValueError, match="choose shortcuts=ignored"):
        ReferenceSettings(replacement_rate=0.1, shortcuts="cut", transfer_bias=True)
