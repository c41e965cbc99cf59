"""ReDo: scores by hand, what a period is, and what stays as it is."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_array_equal

from minilop.backend import Array, xp
from minilop.learner import Learner
from minilop.losses import squared_error
from minilop.networks import HiddenLayer
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, ReDo
from minilop.plasticity.redo import dormant_units
from minilop.recipes import mlp

pytestmark = pytest.mark.quick


def redo_of(num_units, seeds=(1,), **settings):
    network = mlp((3, num_units, 2), "relu", seeds, "float64")
    for layer in network.dense_layers:
        layer.bias[...] = 0.5
    return network, ReDo(**settings).bind(network, SGD())


def step(rule, features, number):
    """Step `number` of the rule on a network whose hidden features (R, H, B) are these; returns the replaced units."""
    masks = rule.after_update([None, None, device(features)], None, number)
    return masks and [host(mask).tolist() for mask in masks]


def replaced(network, before, layer=0):
    """(R, H): the units whose incoming weights are no longer those of `before`."""
    return (host(network.hidden[layer].incoming.weight) != before).all(axis=-1).tolist()


@on_both_array_modules
def test_a_score_is_a_units_share_of_the_mean_activity_of_its_layer():
    """score_i = |h_i| / mean_j |h_j|, replaced at tau or below: Sokar et al. (2023), eq. 1.

    Mean activities 1/8, 1, 2, 7/8 have the mean 1 and so are their own scores; equal to tau is dormant.
    """
    activity = device([[0.125, 1.0, 2.0, 0.875], [2.0, 2.0, 2.0, 2.0]])
    assert host(dormant_units(activity, 0.125)).tolist() == [[True, False, False, False], [False] * 4]
    assert host(dormant_units(activity, 0.124)).tolist() == [[False] * 4, [False] * 4]
    assert host(dormant_units(activity, 0.875)).tolist() == [[True, False, False, True], [False] * 4]
    assert host(dormant_units(activity, 1.0)).tolist() == [[True, True, False, True], [True] * 4]


@on_both_array_modules
def test_dormant_units_get_fresh_weights_no_bias_and_no_consumers():
    """As published: incoming weights of the initial distribution, bias 0, outgoing weights 0; all others as before."""
    network, rule = redo_of(4, redo_period=1, redo_threshold=0.1)
    weight, outgoing = host(network.hidden[0].incoming.weight).copy(), host(network.hidden[0].outgoing.weight).copy()
    features = [[[0.0, 0.1], [-4.0, 4.0], [1.0, 1.0], [0.0, 0.0]]]  # activity 0.05, 4, 1, 0: scores below 0.04
    assert step(rule, features, 0) == [[[True, False, False, True]]]
    assert replaced(network, weight) == [[True, False, False, True]]
    assert abs(host(network.hidden[0].incoming.weight)).max() < np.sqrt(2) * np.sqrt(3 / 3)  # kaiming bound
    assert host(network.hidden[0].incoming.bias)[0, :, 0].tolist() == [0, 0.5, 0.5, 0]
    assert_array_equal(host(network.hidden[0].outgoing.weight), outgoing * [0, 1, 1, 0])
    assert (host(network.hidden[0].outgoing.bias) == 0.5).all()


def test_a_silent_layer_has_no_scores_and_is_left_alone():
    """0 / 0 in the published comparison code; the run beside it loses its dormant unit all the same."""
    network, rule = redo_of(3, seeds=(1, 2), redo_period=1)
    weight = host(network.hidden[0].incoming.weight).copy()
    expected = [[False, False, False], [True, False, False]]
    assert step(rule, [[[0.0], [0.0], [0.0]], [[0.0], [1.0], [2.0]]], 0) == [expected]
    assert replaced(network, weight) == expected


def test_nothing_happens_before_the_end_of_a_period():
    """A counter of steps that is checked when it reaches the period: steps 3, 6, 9, counted from 1."""
    network, rule = redo_of(3, redo_period=3)
    happened = []
    for number in range(9):
        weight = host(network.hidden[0].incoming.weight).copy()
        masks = step(rule, [[[0.0], [1.0], [1.0]]], number)
        assert bool(masks) == any(replaced(network, weight)[0])
        if masks:
            happened.append(number + 1)
    assert happened == [3, 6, 9]


@pytest.mark.parametrize(
    ("scores", "expected"), [("mini_batch", [True, False, False]), ("period", [False, False, True])]
)
def test_scores_are_those_of_the_last_mini_batch_or_of_the_whole_period(scores, expected):
    """The first unit is active but in the last step; the last one is hardly ever."""
    network, rule = redo_of(3, redo_period=2, redo_scores=scores, redo_threshold=0.2)
    weight = host(network.hidden[0].incoming.weight).copy()
    step(rule, [[[9.0], [3.0], [0.0]]], 0)
    step(rule, [[[0.0], [3.0], [1.0]]], 1)  # scores now 0, 2.2, 0.8; of the period 1.7, 1.1, 0.2
    assert replaced(network, weight) == [expected]


def test_the_activity_is_set_to_0_at_the_end_of_a_period():
    _, rule = redo_of(2, redo_period=2, redo_scores="period")
    for number in range(2):
        step(rule, [[[5.0], [5.0]]], number)
    assert not host(rule.activity[0]).any()
    step(rule, [[[5.0, 1.0], [-2.0, 0.0]]], 2)
    assert host(rule.activity[0]).tolist() == [[3.0, 1.0]]


@on_both_array_modules
@pytest.mark.parametrize("reset", [False, True])
def test_moments_of_replaced_units_are_reset_on_request(reset):
    """The comparison code leaves Adam's moments as they are, the ReDo paper resets them."""
    network = mlp((3, 4, 2), "relu", [1], "float64")
    learner = Learner(network, squared_error, Adam(), [ReDo(redo_period=1, reset_optimizer_state=reset)])
    for array in learner.optimizer.state.values():
        array[...] = 1
    step(learner.rules[0], [[[0.0], [1.0], [1.0], [1.0]]], 0)
    expected = np.ones((1, 4 * 3 + 4 + 2 * 4 + 2))
    if reset:
        expected[0, [0, 1, 2, 12, 16, 20]] = 0  # the first unit's row, bias and column
    for array in learner.optimizer.state.values():
        assert_array_equal(host(array), expected[:, : array.shape[-1]])  # a correction for all where none is reset


def learner_with_a_silent_unit():
    """Of 6 units in each of two runs, a large negative bias silences unit 2. The step size is 0."""
    learner = Learner(
        mlp((3, 6, 2), "relu", [1, 2], "float64"),
        squared_error,
        SGD(step_size=0.0),
        [ReDo(redo_period=5, redo_scores="period")],
    )
    learner.network.hidden[0].incoming.bias[...] = 1
    learner.network.hidden[0].incoming.bias[:, 2] = -100
    return learner


def learn(learner, steps):
    for number in steps:
        inputs = np.random.default_rng(number).normal(size=(2, 3, 8))
        learner.step(device(inputs), device(np.zeros((2, 2, 8))))


def test_it_runs_as_part_of_a_learner_and_replaces_only_dormant_units():
    """The silent unit is replaced at the end of the period, and the other rules are told so."""
    learner = learner_with_a_silent_unit()
    told = []
    learner.rules[0].units_replaced = told.append
    before = host(learner.network.hidden[0].incoming.weight).copy()
    learn(learner, range(4))
    assert replaced(learner.network, before) == [[False] * 6] * 2 and not told
    learn(learner, range(4, 5))
    expected = [[unit == 2 for unit in range(6)]] * 2
    assert replaced(learner.network, before) == expected
    assert [host(mask).tolist() for mask in told[0]] == [expected]


def test_a_learner_restored_within_a_period_continues_to_the_bit():
    """The activity so far is part of the state."""
    whole, copy = learner_with_a_silent_unit(), learner_with_a_silent_unit()
    learn(whole, range(3))
    copy.restore(whole.state())
    for each in (whole, copy):
        learn(each, range(3, 12))
    for name, array in whole.state().items():
        assert_array_equal(copy.state()[name], array, name)


def test_the_runs_axis_is_needed():
    with pytest.raises(ValueError, match=r"redo needs the runs axis; make the network with seeds=\[seed\]"):
        ReDo().bind(mlp((3, 4, 2), "relu", 1, "float64"), SGD())


@pytest.mark.parametrize("changes", [{"redo_period": 0}, {"redo_threshold": -0.1}, {"redo_scores": "all"}])
def test_a_value_out_of_range_is_refused_by_name(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        ReDo(**changes)


def test_fresh_rows_may_come_from_outside() -> None:
    """As those of another implementation, with which a whole run is compared."""

    def fresh_rows(layer: HiddenLayer, runs: np.ndarray, units: Array, step: int) -> Array:
        return xp.full((len(runs), layer.incoming.num_inputs), 10.0 * step + 1)

    for rule in (ReDo(redo_period=1, redo_threshold=2), ContinualBackprop(replacement_rate=0.5, maturity_threshold=0)):
        rule.fresh_rows = fresh_rows
        learner = Learner(mlp((3, 4, 2), "tanh", [0, 1], "float64"), squared_error, SGD(0.0), [rule])
        for _ in range(2):
            learner.step(device(np.ones((2, 3, 1))), device(np.ones((2, 2, 1))))
        weight = host(learner.network.dense_layers[0].weight)
        assert {1.0, 11.0} >= set(weight[(weight == 1) | (weight == 11)].tolist()) != set()
        assert ((weight == 11).all(axis=-1).sum(axis=-1) >= 1).all()
