"""Generate-and-test with inheritance: phase by phase, the whole learner as a loop over units, and what follows.

A construction of ours; line numbers are those of minilop/plasticity/generate_and_test.py.
"""

import math
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal
from test_network_idbd import slow_of

from minilop import draws
from minilop.backend import xp
from minilop.learner import Learner
from minilop.losses import cross_entropy, half_squared_error
from minilop.optimizers import SGD, Adam, NetworkIDBD
from minilop.plasticity import GenerateAndTest
from minilop.plasticity.generate_and_test import (
    draw_inputs,
    input_logits,
    mean_over,
    other_units,
    update_utility,
)
from minilop.recipes import mlp

pytestmark = pytest.mark.quick

OPTIMIZER = NetworkIDBD(step_size=0.02, meta_step_size=0.05, tau=50.0)
RULE = GenerateAndTest(replacement_rate=0.01, maturity_threshold=8, decay_rate=0.9, num_new_inputs=2)


def make_learner(sizes, seeds=(3, 8), loss=half_squared_error, dtype="float64", optimizer=None, **changes):
    """A learner with the rule, some of whose hyperparameters are changed; `optimizer` has changes of the optimizer."""
    network = mlp(sizes, "tanh", list(seeds), dtype)
    return Learner(network, loss, replace(OPTIMIZER, **(optimizer or {})), [replace(RULE, **changes)])


def example(step, seeds, sizes, dtype="float64"):
    """Inputs (R, I, 1) and targets (R, O, 1) of a target that drifts; those of each run depend on its seed."""
    drawn = [np.random.default_rng([int(seed), step]) for seed in seeds]
    inputs = np.stack([random.normal(size=(sizes[0], 1)) for random in drawn])
    noise = np.stack([0.1 * random.normal(size=(sizes[-1], 1)) for random in drawn])
    return inputs.astype(dtype), (np.sin(inputs[:, : sizes[-1]] + step / 40) + noise).astype(dtype)


def learn(learner, sizes, steps):
    for step in steps:
        learner.step(*map(device, example(step, learner.network.seeds, sizes, learner.network.dtype)))
    return host(learner.network.parameters).copy()


# --- phases, by hand --------------------------------------------------------------------------------------------------


@on_both_array_modules
def test_a_units_utility_is_its_variation_times_what_leaves_it():
    """Line 1, eta = 0.9, two steps: |f - F^| sum |W'|; the first time f is its own mean, so there is no variation."""
    units = {name: device(np.zeros((1, 1))) for name in ("age", "mean_feature", "utility", "correction")}
    outgoing = device([[[2.0], [-1.0]]])  # two consumers: 2 + 1
    assert host(update_utility(units, device([[4.0]]), outgoing, 0.9))[0, 0] == pytest.approx(0)
    found = host(update_utility(units, device([[1.0]]), outgoing, 0.9))[0, 0]
    correction = 1 - 0.9**2
    mean = (0.9 * 0.1 * 4 + 0.1 * 1) / correction
    assert found == pytest.approx(0.1 * abs(1 - mean) * 3 / correction)
    assert host(units["age"])[0, 0] == 2


def test_the_other_units_are_those_that_stay():
    """Two are replaced at once in run 1: neither is a model for the other. Where none stays, all count."""
    wanted = device([[True, True, True], [True, True, True], [False, True, False]])
    found = other_units(wanted, xp.asarray([1, 1, 2]), xp.asarray([0, 2, 1]))
    assert host(found).tolist() == [[False, True, False], [False, True, False], [True, True, True]]
    assert host(wanted).sum() == 7  # untouched


@on_both_array_modules
def test_means_over_other_units():
    values = device([[[1.0, 2.0, 9.0], [3.0, 5.0, 7.0]]])  # (K, 2, H)
    others = device([[True, False, True]])
    assert host(mean_over(values, others)).tolist() == [[5.0, 5.0]]
    assert host(mean_over(device([[1.0, 2.0, 9.0]]), others)).tolist() == [5.0]


def test_chances_are_powers_of_the_sums_of_mature_step_sizes():
    step_sizes = device([[[0.1, 0.2], [0.3, 0.0], [5.0, 7.0]]])  # (K, H, I)
    mature = device([[True, True, False]])
    chances = np.exp(host(input_logits(step_sizes, mature, 2.0))[0])
    assert chances[1] / chances[0] == pytest.approx((0.2 / 0.4) ** 2)
    assert host(input_logits(step_sizes, mature, 0.0)).tolist() == [[0.0, 0.0]]


@on_both_array_modules
def test_inputs_are_drawn_without_replacement_each_with_its_chance():
    """Chances 1 : 2 : 5. The first of two is input i with p_i, the second j with p_j / (1 - p_i)."""
    number = 20_000
    chances = device(np.tile(np.log([1.0, 2.0, 5.0, 1e-300]), (number, 1)))
    uniforms = draws.uniform(np.arange(number), "test", 4, dtype="float64")
    one, two = (host(draw_inputs(chances, count, uniforms)) for count in (1, 2))
    assert (one.sum(axis=-1) == 1).all() and (two.sum(axis=-1) == 2).all() and (two >= one).all()
    p = np.array([1, 2, 5, 0]) / 8
    deviation = np.sqrt(p * (1 - p) / number)
    assert (abs(one.mean(axis=0) - p) <= 4 * deviation).all()
    pair = p[0] * p[1] / (1 - p[0]) + p[1] * p[0] / (1 - p[1])
    assert (two[:, 0] & two[:, 1]).mean() == pytest.approx(pair, abs=4 * math.sqrt(pair / number))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_high_power_draws_the_inputs_of_the_largest_step_sizes(dtype):
    """Chances of e^-240 to 1, which single precision holds as logarithms only; the large ones come last here."""
    step_sizes = device(np.exp([[[-6.0, -6.0, -6.0, 0.0, -0.5]]]), dtype)
    chances = input_logits(step_sizes, device([[True]]), 40.0)
    for seed in range(20):
        uniforms = draws.uniform(np.array([seed]), "test", 5, dtype=dtype)
        assert host(draw_inputs(chances, 2, uniforms)).tolist() == [[False, False, False, True, True]]


def test_more_new_inputs_than_there_are_is_all_of_them():
    assert host(draw_inputs(device([[0.0, 0.0]]), 3, device([[0.2, 0.9]]))).tolist() == [[True, True]]


# --- replacement ------------------------------------------------------------------------------------------------------


def replace_units(learner, runs, units, layer=0):
    """Replace units in one hidden layer, as line 3 does at step 0."""
    (rule,) = learner.rules
    rule.replace(learner.network.hidden[layer], rule.units[layer], np.asarray(runs), xp.asarray(units), 0)


def log_step_sizes(learner):
    """Views of beta around the first hidden layer: incoming (R, H, I), biases (R, H), outgoing (R, O, H)."""
    return learner.rules[0].log_step_sizes(learner.network.hidden[0])


@pytest.mark.parametrize("layer", [0, 1])
def test_replacement_takes_what_the_unit_gave_from_its_consumers_and_nothing_else(layer):
    sizes = (4, 6, 5, 2)
    learner = make_learner(sizes)
    learn(learner, sizes, range(30))
    network, x = learner.network, device(example(99, (3, 8), sizes)[0])
    hidden = network.hidden[layer]
    before = [host(value).copy() for value in network.forward(x)]
    given = host(hidden.outgoing.weight)[0, :, 2] * before[hidden.feature_index][0, 2, 0]  # (O,)
    replace_units(learner, [0], [2], layer)
    after = [host(value) for value in network.forward(x)]
    outputs = hidden.outgoing.index + 1  # what the consumers compute
    # In the sum of 6 numbers near 1 the order of rounding is the same but for the missing one.
    assert_allclose(after[outputs][0, :, 0], before[outputs][0, :, 0] - given, rtol=0, atol=1e-14)
    assert_array_equal(after[outputs][1], before[outputs][1])  # the other run


@on_both_array_modules
def test_a_new_unit_inherits_the_mean_logarithm_of_the_step_sizes_of_the_others():
    """Three units, two inputs, one output; unit 0 is replaced, so means are over units 1 and 2."""
    learner = make_learner((2, 3, 1))
    incoming, bias, outgoing = log_step_sizes(learner)
    incoming[0] = device([[9.0, 9.0], [1.0, -4.0], [2.0, -6.0]])
    bias[0] = device([9.0, 0.5, 1.0])
    outgoing[0, 0] = device([9.0, -1.0, -2.0])
    replace_units(learner, [0], [0])
    assert host(incoming)[0].tolist() == [[1.5, -5.0], [1.0, -4.0], [2.0, -6.0]]
    assert host(bias)[0].tolist() == [0.75, 0.5, 1.0]
    assert host(outgoing)[0].tolist() == [[-1.5, -1.0, -2.0]]
    assert (host(incoming)[1] == 0).all()
    for name in ("traces", "normalizers"):
        learner.optimizer.state[name][...] = 1.0
    replace_units(learner, [0], [0])
    for name in ("traces", "normalizers"):  # 2 incoming weights, a bias, an outgoing weight
        assert host(learner.optimizer.state[name])[0].tolist() == [0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1]


def test_without_inheritance_the_step_sizes_of_a_new_unit_start_at_step_size():
    learner = make_learner((2, 3, 1), inherit=False)
    learner.optimizer.state["log_step_sizes"][...] = -2.0
    replace_units(learner, [0], [0])
    of_run = host(learner.optimizer.step_sizes)[0]
    fresh = [0, 1, 6, 9]  # its two incoming weights, its bias, its outgoing weight
    assert of_run[fresh].tolist() == [0.02] * 4
    assert np.delete(of_run, fresh) == pytest.approx(0.02 * math.exp(-2))


def test_a_new_unit_is_connected_to_inputs_with_large_step_sizes_in_other_units():
    """Of 20 inputs 2 have a step size ten times as large: with p = 2 and two draws nearly all new units get both."""
    learner = make_learner((20, 3, 1), seeds=range(200))
    incoming, _, _ = log_step_sizes(learner)
    incoming[..., [4, 7]] = math.log(10)
    learner.rules[0].units[0]["age"][...] = 100
    replace_units(learner, range(200), [1] * 200)
    weight = host(learner.network.hidden[0].incoming.weight)[:, 1]  # (R, I)
    assert ((weight != 0).sum(axis=-1) == 2).all()
    both = 100 / 218 * 100 / 118 * 2  # one of the two first, then the other
    assert (weight[:, [4, 7]] != 0).all(axis=-1).mean() == pytest.approx(
        both, abs=4 * math.sqrt(both * (1 - both) / 200)
    )
    assert weight[weight != 0].std() == pytest.approx(0.5, rel=0.15)
    assert (host(learner.network.hidden[0].incoming.bias)[:, 1] == 0).all()


def test_uniform_inputs_or_all_inputs_do_not_depend_on_step_sizes():
    for new_inputs in ("uniform", "all"):
        learner = make_learner((20, 3, 1), seeds=range(200), new_inputs=new_inputs)
        log_step_sizes(learner)[0][..., [4, 7]] = math.log(1000)
        replace_units(learner, range(200), [1] * 200)
        weight = host(learner.network.hidden[0].incoming.weight)[:, 1]
        if new_inputs == "all":
            assert (weight != 0).all() and abs(weight).max() <= learner.network.hidden[0].incoming.weight_bound
        else:
            share = (weight != 0).mean(axis=0)  # of runs, for each input
            assert (abs(share - 0.1) < 5 * math.sqrt(0.09 / 200)).all()


def test_the_only_unit_of_a_layer_inherits_from_itself():
    """There is no other one: the step sizes stay, and nothing is divided by zero."""
    sizes = (4, 1, 1)
    learner = make_learner(sizes, replacement_rate=0.2)
    assert np.isfinite(learn(learner, sizes, range(60))).all()
    learner.optimizer.state["log_step_sizes"][...] = 0.25
    replace_units(learner, [0], [0])
    assert (host(learner.optimizer.state["log_step_sizes"]) == 0.25).all()


# --- the definition ---------------------------------------------------------------------------------------------------


def slow_learner(learner, run, sizes, num_steps):
    """A run with one hidden layer as a loop over units, from where the learner is; parameters, beta, ages."""
    rule, seed = learner.rules[0], int(learner.network.seeds[run])
    slow = slow_of(learner.network, run, learner.optimizer)
    num_hidden, num_inputs = slow.num_hidden, slow.num_inputs
    age, mean, utility = [0] * num_hidden, [0.0] * num_hidden, [0.0] * num_hidden
    due, eta = 0.0, rule.decay_rate
    for step in range(num_steps):
        x, y = example(step, learner.network.seeds, sizes)
        f, _ = slow.step(x[run, :, 0].tolist(), y[run, 0, 0])
        corrected = []
        for j in range(num_hidden):
            age[j] += 1
            mean[j] = eta * mean[j] + (1 - eta) * f[j]
            variation = abs(f[j] - mean[j] / (1 - eta ** age[j]))
            utility[j] = eta * utility[j] + (1 - eta) * variation * abs(slow.w["out", j])
            corrected.append(utility[j] / (1 - eta ** age[j]))
        mature = [j for j in range(num_hidden) if age[j] > rule.maturity_threshold]
        due += rule.replacement_rate * len(mature)
        if due < 1:
            continue
        due -= 1
        j = min(mature, key=lambda unit: corrected[unit])
        others = [unit for unit in range(num_hidden) if unit != j]
        where = {"step": step, "slot": j, "dtype": "float64"}
        uniforms = host(draws.uniform(seed, "fresh input", num_inputs, **where))
        normals = host(draws.normal(seed, "fresh weight", num_inputs, **where))
        models = [unit for unit in mature if unit != j]
        chances = [sum(slow.alpha((unit, i)) for unit in models) ** rule.input_power for i in range(num_inputs)]
        waiting = [-math.log(1 - uniforms[i]) / chances[i] for i in range(num_inputs)]
        chosen = sorted(range(num_inputs), key=lambda i: waiting[i])[: rule.num_new_inputs]
        for k in [*((j, i) for i in range(num_inputs)), (j, "bias"), ("out", j)]:
            slow.w[k] = slow.h[k] = slow.v[k] = 0.0
            slow.beta[k] = sum(slow.beta[("out", o) if k[0] == "out" else (o, k[1])] for o in others) / len(others)
        for i in chosen:
            slow.w[j, i] = normals[i] / 2
        age[j], mean[j], utility[j] = 0, 0.0, 0.0
    return slow.flat(slow.w), slow.flat(slow.beta), age


@on_both_array_modules
@pytest.mark.parametrize("curvature", ["layer_local", "gauss_newton_diagonal"])
def test_it_equals_a_loop_over_units(curvature):
    """Several units are replaced; every random number is drawn by its key."""
    sizes = (6, 5, 1)
    learner = make_learner(sizes, optimizer={"curvature": curvature}, maturity_threshold=30, replacement_rate=0.02)
    expected = [slow_learner(learner, run, sizes, 150) for run in range(2)]
    found = learn(learner, sizes, range(150))
    for run in range(2):
        parameters, beta, age = expected[run]
        # Rounding of 1e-16 in 150 steps of a system that is not chaotic.
        assert_allclose(found[run], parameters, rtol=0, atol=1e-9)
        assert_allclose(host(learner.optimizer.state["log_step_sizes"])[run], beta, rtol=0, atol=1e-9)
        assert host(learner.rules[0].units[0]["age"])[run].tolist() == age
        assert min(age) < 60 and len(set(age)) >= 3


# --- what follows -----------------------------------------------------------------------------------------------------


def test_with_everything_turned_off_it_is_sgd_to_the_bit():
    sizes = (4, 6, 5, 2)
    sgd = Learner(mlp(sizes, "tanh", [3, 8], "float64"), half_squared_error, SGD(step_size=0.02))
    expected = learn(sgd, sizes, range(60))
    for overshoot_limit in (0.0, 50.0):  # none, and one that is never reached
        optimizer = {"meta_step_size": 0.0, "overshoot_limit": overshoot_limit}
        learner = make_learner(sizes, optimizer=optimizer, replacement_rate=0.0)
        assert_array_equal(learn(learner, sizes, range(60)), expected)


def test_two_levels_are_network_idbd_to_the_bit():
    """Without replacements it is the learner with that optimizer."""
    sizes = (4, 6, 1)
    other = Learner(mlp(sizes, "tanh", [3, 8], "float64"), half_squared_error, OPTIMIZER)
    found = learn(make_learner(sizes, replacement_rate=0.0), sizes, range(60))
    assert_array_equal(found, learn(other, sizes, range(60)))


def test_before_any_unit_is_mature_three_levels_are_two():
    sizes = (4, 6, 1)
    three = learn(make_learner(sizes, maturity_threshold=60), sizes, range(60))
    assert_array_equal(three, learn(make_learner(sizes, replacement_rate=0.0), sizes, range(60)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_alone_equals_itself_among_others(dtype):
    sizes = (12, 40, 20, 2)
    together = learn(make_learner(sizes, seeds=[4, 9, 2], dtype=dtype), sizes, range(80))
    assert_array_equal(learn(make_learner(sizes, seeds=[9], dtype=dtype), sizes, range(80))[0], together[1])


def test_a_run_that_diverges_leaves_the_others_to_the_bit_as_they_were():
    sizes = (12, 40, 1)
    expected = learn(make_learner(sizes), sizes, range(80))
    learner = make_learner(sizes)
    with np.errstate(all="ignore"):
        for step in range(80):
            inputs, targets = example(step, (3, 8), sizes)
            targets[0] = np.inf if step == 20 else targets[0]
            learner.step(device(inputs), device(targets))
    found = host(learner.network.parameters)
    assert np.isnan(found[0]).any()
    assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("sizes", [(3, 6, 5, 1), (12, 30, 20, 2)])
def test_a_restored_learner_continues_to_the_bit(sizes):
    """Stopped before any unit is mature, and between two replacements whose fractions are carried over."""
    whole = make_learner(sizes, dtype="float32")
    expected = learn(whole, sizes, range(70))
    learner = make_learner(sizes, dtype="float32")
    for start, stop in ((0, 5), (5, 41), (41, 70)):
        learn(learner, sizes, range(start, stop))
        state = learner.state()
        learn(learner, sizes, range(stop, stop + 5))  # what happens afterwards must not reach into the state
        learner = make_learner(sizes, dtype="float32")
        learner.restore(state)
    assert_array_equal(host(learner.network.parameters), expected)
    for name, array in whole.state().items():
        assert_array_equal(array, learner.state()[name], name)


def test_a_state_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="parameters has the shape"):
        make_learner((3, 4, 1)).restore(make_learner((3, 5, 1)).state())


def test_it_runs_on_softmax_and_several_hidden_layers():
    """The gradient is the only derivative that it needs; units of both layers are replaced meanwhile."""
    learner = make_learner((3, 8, 6, 2), loss=cross_entropy, optimizer={"step_size": 0.05}, replacement_rate=0.002)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(800):
        x = random.normal(size=(2, 3, 1))
        losses.append(host(learner.step(device(x), device((x[:, 0] > 0).astype(int)))[1]).mean())
    assert np.mean(losses[-200:]) < 0.6 * np.mean(losses[:100])
    assert all(host(units["age"]).min() < 800 for units in learner.rules[0].units)


def test_a_network_without_the_runs_axis_is_refused():
    with pytest.raises(ValueError, match=r"make the network with seeds=\[seed\]"):
        Learner(mlp((3, 4, 1), "tanh", 0, "float64"), half_squared_error, OPTIMIZER, [RULE])


@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
def test_an_optimizer_without_a_step_size_for_each_weight_is_refused(optimizer):
    with pytest.raises(ValueError, match=f"generate_and_test inherits step sizes, and {optimizer.name} has none"):
        Learner(mlp((3, 4, 1), "tanh", [0], "float64"), half_squared_error, optimizer, [RULE])


@pytest.mark.parametrize(
    "changes", [{"num_new_inputs": 0}, {"decay_rate": 1.0}, {"replacement_rate": -1.0}, {"new_inputs": "some"}]
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        replace(RULE, **changes)


def test_a_step_waits_for_the_device_once_in_each_hidden_layer(strict):
    """To learn the number of eligible units, of which c is counted on the host; nothing else is fetched."""
    sizes = (3, 6, 5, 1)
    learner = make_learner(sizes, replacement_rate=0.05)
    batches = [tuple(map(device, example(step, (3, 8), sizes))) for step in range(40)]
    strict.reset()
    for batch in batches:
        learner.step(*batch)
    assert strict.synchronisations == 0 and strict.transfers == 2 * len(batches)
    assert host(learner.rules[0].units[0]["age"]).min() < 40


# --- cost -------------------------------------------------------------------------------------------------------------


class Counting(np.ndarray):
    """A NumPy array that counts how many numbers every operation on it reads or writes: its largest argument's."""

    counts: ClassVar[Counter] = Counter()

    def __array_ufunc__(self, ufunc, method, *arguments, out=None, **options):
        plain = [each.view(np.ndarray) if isinstance(each, Counting) else each for each in arguments]
        if out is not None:
            options["out"] = tuple(each.view(np.ndarray) for each in out)
        result = getattr(ufunc, method)(*plain, **options)
        self.counts["numbers"] += max(np.size(each) for each in (*plain, result))
        self.counts["operations"] += 1
        return out[0] if out is not None else np.asarray(result).view(Counting)


@pytest.mark.parametrize("new_inputs", ["by_step_sizes", "all"])
def test_a_step_costs_a_number_of_operations_proportional_to_that_of_the_weights(new_inputs, array_module):
    """Counted, not timed: with twice and four times the units or inputs, twice and four times the numbers, but for the
    costs of units and of operations. No buffer: the state is a few numbers a weight and four a unit."""
    if array_module != "numpy":
        pytest.skip("counts the operations of NumPy's arrays")
    found = {}
    for num_inputs, num_hidden in ((50, 20), (50, 40), (50, 80), (100, 20), (200, 20)):
        sizes = (num_inputs, num_hidden, 1)
        learner = make_learner(sizes, seeds=[3], new_inputs=new_inputs, replacement_rate=1 / num_hidden)
        network = learner.network
        learn(learner, sizes, range(20))  # some are mature
        for layer, views in zip(network.layers, network.views(network.parameters.view(Counting))):
            for name, view in views.items():
                setattr(layer, name, view)
        for name, array in learner.optimizer.state.items():
            learner.optimizer.state[name] = array.view(Counting)
        network.gradients = network.gradients.view(Counting)
        for layer, views in zip(network.layers, network.views(network.gradients)):
            for name, view in views.items():
                setattr(layer, f"{name}_gradient", view)
        Counting.counts.clear()
        learn(learner, sizes, range(20, 40))
        assert host(learner.rules[0].units[0]["age"]).min() < 20  # one unit a step was replaced
        found[sizes] = Counting.counts["numbers"] / 20 / network.num_parameters
        carried = sum(array.size for array in learner.arrays().values())
        assert carried == 4 * network.num_parameters + 4 * num_hidden + 1  # c of the layer
    smallest = found[50, 20, 1]
    assert 20 < smallest < 80  # operations a weight
    for each in found.values():
        assert each == pytest.approx(smallest, rel=0.15)
