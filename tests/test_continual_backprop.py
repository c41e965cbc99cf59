"""Continual Backprop: the utilities by hand, who is replaced and when, and whole trajectories against a plain loop.

"Algorithm 1" and "eq. (1)" are those of Dohare et al., Nature 632 (2024), Methods; "gnt.py" is the published code.
"""

from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal
from reference_continual_backprop import ReferenceRun

from minilop.backend import xp
from minilop.learner import Learner, LearnerSettings, make_mlp
from minilop.losses import squared_error
from minilop.networks import mlp
from minilop.plasticity import ContinualBackprop
from minilop.plasticity.budget import ReplacementBudget
from minilop.plasticity.continual_backprop import (
    PAPER,
    PUBLISHED_CODE,
    ContinualBackpropSettings,
    least_useful,
)
from minilop.plasticity.units import weight_magnitudes
from minilop.plasticity.utility import instantaneous_utility, update_average

SEEDS = (7, 20)


def make_learner(sizes=(3, 6, 5, 2), seeds=SEEDS, **settings):
    values = LearnerSettings(**{"dtype": "float64", "step_size": 0.05, **settings})
    return Learner(make_mlp(sizes, values, seeds), squared_error, values)


def mini_batch(step, sizes=(3, 6, 5, 2), batch=3, num_runs=2, dtype="float64"):
    """Inputs and targets of a problem that drifts, as NumPy arrays (R, I, B) and (R, O, B)."""
    random = np.random.default_rng(step)
    inputs = random.normal(size=(num_runs, sizes[0], batch))
    targets = np.sin(inputs[:, : sizes[-1]] + step / 40) + 0.3 * random.normal(size=(num_runs, sizes[-1], batch))
    return inputs.astype(dtype), targets.astype(dtype)


def continual_backprop_of(hidden=2, outputs=1, **settings):
    """A network of one run with one hidden layer and its Continual Backprop, for feeding it features by hand."""
    network = mlp((2, hidden, outputs), "relu", [3], "float64")
    return network, ContinualBackprop(network, ContinualBackpropSettings(**settings))


def judge(rule, features):
    """One step of the averages by the given features; returns the running utility and its corrected form."""
    ((incoming, outgoing),) = rule.weight_magnitudes()
    utility = host(rule.judge(rule.state[0], device(features), incoming, outgoing)).copy()
    return utility, utility / host(rule.state[0]["correction"])


# --- the utility, by hand ---------------------------------------------------------------------------------------------

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
def test_a_units_worth_on_one_mini_batch_is_that_of_the_table(utility, expected):
    """The kinds of utility of gnt.py, with mean magnitudes of outgoing and incoming weights."""
    network, rule = continual_backprop_of(outputs=2, utility=utility)
    network.hidden[0].incoming.weight[...] = device(INCOMING)
    network.hidden[0].outgoing.weight[...] = device(OUTGOING)
    ((incoming, outgoing),) = rule.weight_magnitudes()
    worth = instantaneous_utility(utility, device(FEATURES), device(CENTRE), incoming, outgoing)
    assert host(worth).tolist() == [expected]


@pytest.mark.quick
def test_the_paper_sums_outgoing_weights_where_the_code_takes_their_mean():
    """Eq. (1): sum over k of |w_{l,i,k}|; gnt.py: the mean over the same. A factor for the layer, so ranks are equal."""
    for outgoing, expected in (("sum", [[4, 2]]), ("mean", [[2, 1]])):
        network, rule = continual_backprop_of(outputs=2, outgoing=outgoing)
        network.hidden[0].outgoing.weight[...] = device(OUTGOING)
        assert host(rule.weight_magnitudes()[0][1]).tolist() == expected


@pytest.mark.quick
@on_both_array_modules
def test_the_magnitudes_of_a_layer_larger_than_the_cache_are_the_same():
    """They are summed in blocks of rows; every row is counted once, also in the last block."""
    weight = np.random.default_rng(0).normal(size=(2, 1000, 700))
    incoming, outgoing = weight_magnitudes(device(weight), incoming=True, outgoing=True)
    assert_allclose(host(incoming), abs(weight).sum(axis=-1), rtol=1e-13)
    assert_allclose(host(outgoing), abs(weight).sum(axis=-2), rtol=1e-13)


@pytest.mark.quick
@on_both_array_modules
def test_the_running_utility_is_the_decaying_average_of_eq_1():
    """u <- eta u + (1 - eta) |h| sum_k |w_k|, from 0; eta = 0.9, |h| = 2 then 5, one outgoing weight of 3."""
    network, rule = continual_backprop_of(**PAPER, decay_rate=0.9, maturity_threshold=100)
    network.hidden[0].outgoing.weight[...] = device([[3.0, -1.0]])
    assert_allclose(judge(rule, [[[2.0], [4.0]]])[0], [[0.1 * 6, 0.1 * 4]])
    assert_allclose(judge(rule, [[[5.0], [0.0]]])[0], [[0.9 * 0.1 * 6 + 0.1 * 15, 0.9 * 0.1 * 4]])
    assert host(rule.state[0]["age"]).tolist() == [[2, 2]]


def test_without_a_trace_the_current_mini_batch_alone_counts():
    """Methods: averaged over a mini-batch the instantaneous utility may stand for the running one, eta = 0."""
    network, rule = continual_backprop_of(**PAPER, decay_rate=0.0)
    network.hidden[0].outgoing.weight[...] = device([[1.0, 1.0]])
    judge(rule, [[[9.0, 9.0], [9.0, 9.0]]])
    assert judge(rule, [[[1.0, 3.0], [-2.0, 4.0]]])[0].tolist() == [[2.0, 3.0]]


@on_both_array_modules
def test_the_bias_factor_is_one_minus_eta_to_the_age():
    """0.01 at age 1, 0.6340 at age 100, 0.6376 at age 101, for eta = 0.99."""
    correction = device(np.zeros(1))
    seen = []
    for _ in range(101):
        update_average(correction, 1, 0.99)
        seen.append(float(host(correction)[0]))
    assert_allclose(seen, [1 - 0.99**age for age in range(1, 102)], rtol=1e-13)
    assert [round(seen[age - 1], 4) for age in (1, 100, 101)] == [0.0100, 0.6340, 0.6376]


def test_a_constant_unit_has_its_own_worth_as_corrected_utility_at_every_age():
    """The correction cancels exactly: u = q (1 - eta^age), so u / (1 - eta^age) = q."""
    network, rule = continual_backprop_of(utility="contribution", maturity_threshold=1000)
    network.hidden[0].outgoing.weight[...] = device([[0.5, -2.0]])
    for age in range(1, 200):
        utility, corrected = judge(rule, [[[3.0], [0.25]]])
        assert_allclose(corrected, [[0.5 * 3, 2 * 0.25]], rtol=1e-12)
        assert_allclose(utility, (1 - 0.99**age) * corrected, rtol=1e-12)


@pytest.mark.parametrize("utility", ["zero_contribution", "adaptable_contribution", "feature_by_input"])
def test_a_unit_that_never_varies_is_worth_nothing_to_a_centred_utility(utility):
    """f / (1 - eta^age) is then the feature itself from the first step, which therefore counts 0, but for rounding."""
    _, rule = continual_backprop_of(utility=utility, maturity_threshold=1000)
    for _ in range(50):
        assert abs(judge(rule, [[[3.0, 3.0], [-7.0, -7.0]]])[1]).max() < 1e-13


def test_on_a_units_first_example_alone_its_adaptable_contribution_is_zero():
    """One example at age 1: the corrected mean is that example, |h - f| = 0, whatever h is (gnt.py's new mean)."""
    network, rule = continual_backprop_of(maturity_threshold=1000)
    network.hidden[0].incoming.weight[...] = 1
    network.hidden[0].outgoing.weight[...] = 1
    assert_allclose(judge(rule, [[[3.0], [1e6]]])[1], 0, atol=1e6 * 1e-15)


@on_both_array_modules
def test_the_preprint_centres_on_the_mean_before_this_mini_batch():
    """arXiv:2108.06325: f_{t-1} / (1 - eta^a_t), zero at first, so that the first contribution is not centred."""
    network, rule = continual_backprop_of(utility="zero_contribution", centre="previous", decay_rate=0.5)
    network.hidden[0].outgoing.weight[...] = device([[1.0, 1.0]])
    assert_allclose(judge(rule, [[[3.0], [4.0]]])[0], [[0.5 * 3, 0.5 * 4]])
    # mean before: 0.5 * 3; corrected by 1 - 0.5^2
    second = 0.5 * 1.5 + 0.5 * abs(2 - 0.5 * 3 / 0.75)
    assert_allclose(judge(rule, [[[2.0], [4.0]]])[0][0, 0], second)


@on_both_array_modules
def test_lifetime_activity_is_a_sum_that_neither_decays_nor_is_reset():
    """The published residual network: s <- s + (1 - eta) |h|, utility = s sum|w| / K with the present weights."""
    network, rule = continual_backprop_of(
        utility="contribution", average="lifetime_activity", replacement_rate=0.5, maturity_threshold=1
    )
    state, features = rule.state[0], [[[2.0], [5.0]]]
    network.hidden[0].outgoing.weight[...] = device([[4.0, 1.0]])
    assert_allclose(judge(rule, features)[0], [[0.01 * 2 * 4, 0.01 * 5 * 1]])
    rule.step([None, None, device(features)], 1)  # rate 0.5 times 2 mature units: one is due, the second
    assert host(state["age"]).tolist() == [[2, 0]]
    assert_allclose(host(state["utility"]), [[0.01 * (2 + 2), 0.01 * (5 + 5)]])


# --- how many are due -------------------------------------------------------------------------------------------------


def replacement_steps(num_steps, num_units, **settings):
    """Steps, counted from 1, at which one run replaces units, and how many then."""
    budget = ReplacementBudget(np.array([0]), 0, num_units, **settings)
    found = {}
    for step in range(num_steps):
        due = budget.due(step)
        if due is not None and due[0]:
            found[step + 1] = int(due[0])
    return found


def test_512_units_at_a_rate_of_1e_5_lose_one_in_about_200_steps():
    """Methods: "0.00512 units are replaced per step [...] one replacement per about 200 updates"; maturity 1,000."""
    found = replacement_steps(
        2000, 512, replacement_rate=1e-5, maturity_threshold=1000, rate_counts="all", rounding="accumulate"
    )
    assert found == dict.fromkeys((1196, 1391, 1586, 1782, 1977), 1)


def test_2000_units_at_a_rate_of_1e_6_lose_one_in_500_steps_of_those_that_are_eligible():
    """Permuted MNIST: 0.002 a step from step 101 on, but 0.001999 while a young unit does not count."""
    found = replacement_steps(
        2700, 2000, replacement_rate=1e-6, maturity_threshold=100, rate_counts="eligible", rounding="accumulate"
    )
    assert found == dict.fromkeys((600, 1101, 1601, 2101, 2601), 1)


def test_a_unit_is_eligible_once_it_is_older_than_the_threshold():
    """Algorithm 1: age strictly greater than m. A rate of 1 replaces all that are eligible: at ages 4, 4, 4, for m = 3."""
    for rate_counts in ("eligible", "all"):
        found = replacement_steps(
            12, 2, replacement_rate=1, maturity_threshold=3, rate_counts=rate_counts, rounding="accumulate"
        )
        assert found == {4: 2, 8: 2, 12: 2}


def test_the_counter_stands_still_while_no_unit_is_eligible():
    """gnt.py skips a layer without eligible units before it adds to the counter."""
    for rate_counts in ("eligible", "all"):
        budget = ReplacementBudget(np.arange(2), 0, 4, 0.2, 10, rate_counts, "accumulate")
        totals = []
        for step in range(12):
            budget.due(step)
            totals.append(budget.total.tolist())
        assert totals[:10] == [[0, 0]] * 10  # ages 1 to 10
        assert_allclose(totals[10:], [[0.8, 0.8], [0.6, 0.6]])  # 0.8 a step, one of 1.6 was replaced


def test_no_more_units_are_replaced_than_are_eligible_and_the_rest_stays_due():
    """1.5 times 4 units are due as soon as one is eligible, but only 4 can go."""
    budget = ReplacementBudget(np.array([0]), 0, 4, 1.5, 1, "all", "accumulate")
    given = [budget.due(step) for step in range(4)]
    assert [0 if due is None else int(due[0]) for due in given] == [0, 4, 0, 4]  # step 3: all four are too young
    assert budget.total.tolist() == [(6 - 4) + (6 - 4)]


def test_the_paper_replaces_one_unit_when_the_counter_exceeds_1():
    """Algorithm 1: "if c > 1", one unit, c <- c - 1. At exactly 1 nothing happens; the code's floor replaces one."""
    exact = {"replacement_rate": 0.25, "maturity_threshold": 0, "rate_counts": "all"}
    assert replacement_steps(3, 4, **exact, rounding="single") == {2: 1, 3: 1}  # c = 1, 2, 2
    assert replacement_steps(3, 4, **exact, rounding="accumulate") == {1: 1, 2: 1, 3: 1}


@on_both_array_modules
def test_by_chance_one_unit_goes_with_the_probability_of_what_is_due():
    """gnt.py without accumulation: 0.3 due a step, so 0.3 of the steps, within four standard deviations."""
    budget = ReplacementBudget(np.arange(50), 0, 3, 0.1, 0, "all", "chance")
    given = [budget.due(step) for step in range(400)]
    counts = sum(np.zeros(50, int) if due is None else due for due in given)
    deviation = np.sqrt(50 * 400 * 0.3 * 0.7)
    assert abs(counts.sum() - 50 * 400 * 0.3) < 4 * deviation
    assert len(set(counts.tolist())) > 5  # each run has coins of its own


def test_by_chance_the_fraction_beyond_whole_units_is_dropped():
    """gnt.py: where one or more are due in a step, as many as the whole part, always."""
    found = replacement_steps(6, 5, replacement_rate=0.5, maturity_threshold=0, rate_counts="all", rounding="chance")
    assert found == dict.fromkeys(range(1, 7), 2)  # 2.5 a step


@on_both_array_modules
@pytest.mark.parametrize("rounding", ["accumulate", "single", "chance"])
@pytest.mark.parametrize("rate_counts", ["eligible", "all"])
def test_a_budget_restored_between_two_replacements_goes_on_as_if_nothing_had_happened(rounding, rate_counts):
    seeds, num_units, threshold = np.arange(3), 6, 7
    arguments = (seeds, 2, num_units, np.array([0.05, 0.11, 0.3]), threshold, rate_counts, rounding)
    budget = ReplacementBudget(*arguments)
    ages = np.zeros((3, num_units))
    copy = None
    total = 0
    for step in range(80):
        if step in (3, 8, 41):  # before any unit is eligible, among the first replacements, later
            copy = ReplacementBudget(*arguments)
            copy.restore(budget.total.copy(), ages.copy(), step)
        due = budget.due(step)
        if copy:
            again = copy.due(step)
            assert (due is None and again is None) or due.tolist() == again.tolist()
            assert_array_equal(copy.total, budget.total)
            assert_array_equal(copy.eligible, budget.eligible)
        ages += 1
        assert_array_equal((ages > threshold).sum(axis=-1), budget.eligible + (0 if due is None else due))
        for run, number in enumerate([] if due is None else due):
            oldest = np.argsort(-ages[run], kind="stable")[:number]
            ages[run, oldest] = 0
            total += number
    assert total > 20


# --- who goes ---------------------------------------------------------------------------------------------------------


def chosen(utility, age, threshold, number):
    """Which units, one list a run."""
    runs, units = least_useful(device(utility, float), device(age, float), threshold, np.asarray(number))
    return [sorted(host(units)[runs == run].tolist()) for run in range(len(utility))]


@on_both_array_modules
def test_the_eligible_unit_of_least_utility_goes_first():
    utility = [[3, 1, 2, 0], [0, 1, 2, 3]]
    age = [[9, 9, 9, 4], [9, 9, 9, 9]]  # the most useless unit of the first run is too young
    assert chosen(utility, age, 4, [1, 2]) == [[1], [0, 1]]


def test_of_equally_useful_units_that_of_the_lowest_index_goes():
    assert chosen([[5, 0, 0, 0, 0]], [[9] * 5], 4, [2]) == [[1, 2]]


def test_a_run_that_is_due_nothing_keeps_all_its_units():
    assert chosen([[1, 2], [1, 2]], [[9, 9], [9, 9]], 0, [0, 1]) == [[], [0]]


def test_an_infinitely_useful_unit_is_eligible_all_the_same():
    """1 / I is infinite for a unit without incoming weights; nothing guards against it in gnt.py either. A protected unit
    must not go in its stead."""
    utility = [[np.inf, 1, 0]]
    assert chosen(utility, [[9, 9, 1]], 4, [1]) == [[1]]
    assert chosen(utility, [[9, 9, 1]], 4, [2]) == [[0, 1]]


@on_both_array_modules
def test_a_unit_of_undefined_utility_counts_as_useless_and_protects_nobody():
    """0 / 0: a dead unit whose incoming weights have decayed to zero, by an adaptable contribution."""
    utility = [[2, np.nan, 1, 0]]
    assert chosen(utility, [[9, 9, 9, 1]], 4, [1]) == [[1]]
    assert chosen(utility, [[9, 9, 9, 1]], 4, [3]) == [[0, 1, 2]]


def test_a_dead_unit_without_incoming_weights_is_replaced():
    """Its adaptable contribution is 0 / 0 in every step; it must not stay for ever."""
    network, rule = continual_backprop_of(hidden=3, replacement_rate=1 / 3, maturity_threshold=4)
    network.hidden[0].incoming.weight[:, 1] = 0
    with np.errstate(invalid="ignore"):
        for step in range(5):
            features = device([[[1.0 + step], [0.0], [2.0 * step]]])
            rule.step([None, None, features], step)
    assert host(rule.state[0]["age"]).tolist() == [[5, 0, 5]]
    assert np.isfinite(host(rule.state[0]["utility"])).all()


@on_both_array_modules
def test_a_random_utility_replaces_every_unit_sooner_or_later_and_never_a_young_one():
    _, rule = continual_backprop_of(hidden=5, utility="random", replacement_rate=0.04, maturity_threshold=20)
    replaced = []
    for step in range(600):
        before = host(rule.state[0]["age"])[0].copy()
        rule.step([None, None, device(np.ones((1, 5, 1)))], step)
        gone = np.flatnonzero(host(rule.state[0]["age"])[0] == 0)
        assert (before[gone] >= 20).all()
        replaced += gone.tolist()
    assert set(replaced) == set(range(5)) and len(replaced) > 60


# --- what a replacement does ------------------------------------------------------------------------------------------


def test_removing_a_unit_takes_its_contribution_away_and_its_successor_adds_nothing():
    """Algorithm 1: outgoing weights become 0, "to ensure that the newly added units do not affect" what is computed."""
    learner = make_learner((3, 4, 2), replacement_rate=0.25, maturity_threshold=0)
    network, rule = learner.network, learner.continual_backprop
    inputs = device(mini_batch(0, (3, 4, 2))[0])
    before = network.forward(inputs)
    weight = host(network.hidden[0].outgoing.weight).copy()
    rule.step(before, 0)
    gone = host(rule.state[0]["age"]) == 0  # (R, H)
    assert gone.sum(axis=-1).tolist() == [1, 1]
    removed = weight @ (host(before[2]) * gone[..., None])
    after = network.forward(inputs)
    assert_allclose(host(after[-1]), host(before[-1]) - removed, atol=1e-14)
    network.hidden[0].incoming.weight[...] = xp.where(device(gone)[..., None], 9.9, network.hidden[0].incoming.weight)
    assert_array_equal(host(network.forward(inputs)[-1]), host(after[-1]))


@on_both_array_modules
def test_a_new_unit_has_weights_of_the_initial_law_no_bias_and_no_past():
    learner = make_learner((30, 40, 2), replacement_rate=1.0, maturity_threshold=0, activation="tanh")
    network, rule = learner.network, learner.continual_backprop
    network.hidden[0].incoming.bias[...] = 5
    old = host(network.hidden[0].incoming.weight).copy()
    rule.step(network.forward(device(mini_batch(0, (30, 40, 2))[0])), 0)
    fresh, bound = host(network.hidden[0].incoming.weight), 5 / 3 * np.sqrt(3 / 30)  # kaiming, tanh
    assert (fresh != old).all() and abs(fresh).max() < bound
    assert abs(fresh).max() > 0.99 * bound
    assert fresh.std() == pytest.approx(bound / np.sqrt(3), rel=0.04)  # 2,400 weights: 2 % is two standard errors
    assert (fresh[0] != fresh[1]).all()
    assert not host(network.hidden[0].incoming.bias).any() and not host(network.hidden[0].outgoing.weight).any()
    assert not any(host(array).any() for array in rule.state[0].values())


@on_both_array_modules
def test_normal_fresh_weights_have_variance_2_over_fan_in():
    """The published code for the residual network."""
    learner = make_learner((30, 40, 2), replacement_rate=1.0, maturity_threshold=0, fresh_weights="normal")
    learner.continual_backprop.step(learner.network.forward(device(mini_batch(0, (30, 40, 2))[0])), 0)
    fresh = host(learner.network.hidden[0].incoming.weight)
    assert fresh.std() == pytest.approx(np.sqrt(2 / 30), rel=0.06)
    assert abs(fresh).max() > 2.5 * np.sqrt(2 / 30)  # beyond any uniform law of that variance


def test_neighbours_in_adjacent_layers_replaced_in_one_step_have_a_random_weight_between_them():
    """gnt.py: layer l zeroes the column, then layer l + 1 redraws its whole row."""
    learner = make_learner((3, 2, 2, 1), replacement_rate=1.0, maturity_threshold=0)
    network = learner.network
    learner.continual_backprop.step(network.forward(device(mini_batch(0, (3, 2, 2, 1))[0])), 0)
    assert host(network.hidden[0].outgoing.weight).all()  # all four: both layers were replaced entirely
    assert not host(network.hidden[1].outgoing.weight).any()


@on_both_array_modules
def test_transferring_the_bias_keeps_the_mean_output():
    """arXiv:2108.06325: the removed unit's mean feature times its outgoing weights goes to its consumers' biases; for
    features that are always the same the output does not change at all."""
    learner = make_learner(
        (3, 4, 2), replacement_rate=0.5, maturity_threshold=5, transfer_bias=True, utility="contribution"
    )
    network, rule = learner.network, learner.continual_backprop
    inputs = device(mini_batch(0, (3, 4, 2), batch=1)[0])
    before = network.forward(inputs)
    for step in range(6):
        rule.step(before, step)
    assert (host(rule.state[0]["age"]) == 0).sum(axis=-1).tolist() == [2, 2]
    assert_allclose(host(network.forward(inputs)[-1]), host(before[-1]), atol=1e-13)


def test_bias_transfer_works_beside_a_lifetime_average_too():
    learner = make_learner(
        (3, 4, 2), replacement_rate=0.5, maturity_threshold=5, transfer_bias=True, utility="contribution",
        average="lifetime_activity",
    )  # fmt: skip
    inputs = device(mini_batch(0, (3, 4, 2), batch=1)[0])
    before = learner.network.forward(inputs)
    for step in range(6):
        learner.continual_backprop.step(before, step)
    assert_allclose(host(learner.network.forward(inputs)[-1]), host(before[-1]), atol=1e-13)


@on_both_array_modules
@pytest.mark.parametrize("optimizer", [{"optimizer": "adam"}, {"momentum": 0.9}])
def test_resetting_the_optimizer_forgets_the_touched_weights_and_no_others(optimizer):
    """arXiv:2108.06325: moments and time steps of the weights that enter or leave the unit; the paper is silent."""
    for reset in (True, False):
        learner = make_learner((3, 4, 2), replacement_rate=0.25, reset_optimizer_state=reset, **optimizer)
        network = learner.network
        for array in learner.optimizer.state.values():
            array[...] = 1
        gone = [(0, 1), (1, 0), (1, 2)]  # run, unit
        runs, units = np.transpose(gone)
        rule = learner.continual_backprop
        rule.replace(network.hidden[0], rule.state[0], runs, device(units), 0)
        expected = np.ones((2, 4 * 3 + 4 + 2 * 4 + 2))
        if reset:
            for run, unit in gone:
                expected[run, 3 * unit : 3 * unit + 3] = 0  # its row of the first weight
                expected[run, 12 + unit] = 0  # its bias
                expected[run, [16 + unit, 20 + unit]] = 0  # its column of the second
        for array in learner.optimizer.state.values():
            assert_array_equal(host(array), expected[:, : array.shape[-1]])  # a correction for all where none is reset


# --- the whole learner ------------------------------------------------------------------------------------------------


def train(learner, num_steps, sizes=(3, 6, 5, 2), **options):
    for step in range(num_steps):
        inputs, targets = mini_batch(step, sizes, num_runs=len(learner.network.seeds), **options)
        learner.step(device(inputs), device(targets))
    return host(learner.network.parameters)


def test_without_replacement_it_is_backprop_to_the_bit():
    plain = train(make_learner(dtype="float32"), 60, dtype="float32")
    no_rate = make_learner(dtype="float32", replacement_rate=0.0, transfer_bias=True, maturity_threshold=0)
    assert no_rate.continual_backprop is None
    assert_array_equal(train(no_rate, 60, dtype="float32"), plain)
    never_mature = make_learner(dtype="float32", replacement_rate=0.5, maturity_threshold=60)
    assert_array_equal(train(never_mature, 60, dtype="float32"), plain)
    assert host(never_mature.continual_backprop.state[0]["age"]).min() == 60
    matures_at_last = make_learner(dtype="float32", replacement_rate=0.5, maturity_threshold=59)
    assert (train(matures_at_last, 60, dtype="float32") != plain).any()


@on_both_array_modules
def test_a_run_of_nans_is_replaced_beside_the_others_without_a_trace_in_them():
    alone = make_learner(dtype="float32", replacement_rate=0.03, maturity_threshold=5)
    expected = train(alone, 80, dtype="float32")
    beside = make_learner(dtype="float32", replacement_rate=0.03, maturity_threshold=5)
    beside.network.parameters[0] = xp.nan
    with np.errstate(invalid="ignore"):
        found = train(beside, 80, dtype="float32")
    assert_array_equal(found[1], expected[1])
    for ours, theirs in zip(beside.continual_backprop.state, alone.continual_backprop.state):
        for name in ours:
            assert_array_equal(host(ours[name])[1], host(theirs[name])[1])
    for budget, state in zip(beside.continual_backprop.budgets, beside.continual_backprop.state):
        assert_array_equal((host(state["age"]) > 5).sum(axis=-1), budget.eligible)  # the books of both runs are right


BASE = LearnerSettings(step_size=0.05, replacement_rate=0.03, maturity_threshold=5, decay_rate=0.9, dtype="float64")
_ALL_UTILITIES = (
    "contribution",
    "weight",
    "adaptation",
    "zero_contribution",
    "adaptable_contribution",
    "feature_by_input",
    "random",
)
VARIANTS = {
    **{f"utility={utility}": {"utility": utility} for utility in _ALL_UTILITIES},
    "PAPER": PAPER,
    "PUBLISHED_CODE": PUBLISHED_CODE,
    "outgoing=sum": {"outgoing": "sum"},
    "average=lifetime_activity": {"average": "lifetime_activity", "utility": "contribution"},
    "average=lifetime_activity of weights": {"average": "lifetime_activity", "utility": "weight"},
    "centre=previous": {"centre": "previous"},
    "bias_correction=no": {"bias_correction": False},
    "rate_counts=all": {"rate_counts": "all"},
    "rounding=chance": {"rounding": "chance"},
    "rounding=chance of more than one": {"rounding": "chance", "replacement_rate": 0.3},
    "rounding=single": {"rounding": "single"},
    "fresh_weights=normal": {"fresh_weights": "normal"},
    "transfer_bias": {"transfer_bias": True},
    "transfer_bias of a plain contribution": {"transfer_bias": True, "utility": "contribution", "centre": "previous"},
    "momentum": {"momentum": 0.9, "step_size": 0.01},
    "momentum reset": {"momentum": 0.9, "step_size": 0.01, "reset_optimizer_state": True},
    "adam": {"optimizer": "adam", "step_size": 0.01},
    "adam reset": {"optimizer": "adam", "step_size": 0.01, "reset_optimizer_state": True},
    "weight decay": {"weight_decay": 0.01},
    "when=before_update": {"when": "before_update", "utility": "contribution"},
    "when=before_update with adam": {
        "when": "before_update",
        "optimizer": "adam",
        "step_size": 0.01,
        "reset_optimizer_state": True,
    },
    "no trace": {"decay_rate": 0.0, "utility": "contribution"},
    "all at once": {"replacement_rate": 1.0, "maturity_threshold": 20},
    "many more due than eligible": {"replacement_rate": 1.5, "rate_counts": "all", "maturity_threshold": 20},
}


def compare_with_reference(settings, sizes, batch, num_steps):
    """Both trajectories step by step; returns how many units were replaced."""
    learner = Learner(make_mlp(sizes, settings, SEEDS), squared_error, settings)
    network = learner.network
    initial = [[np.array(host(getattr(layer, name))) for layer in network.dense_layers] for name in ("weight", "bias")]
    references = [
        ReferenceRun([w[run] for w in initial[0]], [b[run, :, 0] for b in initial[1]], settings, seed)
        for run, seed in enumerate(SEEDS)
    ]
    for step in range(num_steps):
        inputs, targets = mini_batch(step, sizes, batch)
        with np.errstate(divide="ignore"):  # a unit all of whose inputs were replaced has an infinite utility
            learner.step(device(inputs), device(targets))
        parameters = host(network.parameters)
        for run, reference in enumerate(references):
            with np.errstate(divide="ignore"):
                reference.step(inputs[run], targets[run])
            ages = [host(state["age"])[run].tolist() for state in learner.continual_backprop.state]
            assert ages == reference.age, step  # the very same units, in the very same step
            # Two orders of summation in float64 differ by 1e-16 a step; 120 steps of a stable learner do not amplify
            # that a million times.
            assert_allclose(parameters[run], reference.flat(), rtol=1e-9, atol=1e-10)
    return min(len(reference.replaced) for reference in references)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_goes_where_a_plain_loop_over_units_goes(variant, batch):
    """Every utility and every convention, on a network whose runs NumPy keeps interleaved in memory."""
    settings = replace(BASE, **VARIANTS[variant])
    assert compare_with_reference(settings, (3, 6, 5, 2), batch, 120) >= 20


@pytest.mark.parametrize("variant", ["PAPER", "PUBLISHED_CODE", "rounding=chance", "adam reset"])
def test_a_wider_network_goes_there_too(variant):
    settings = replace(BASE, **VARIANTS[variant], replacement_rate=0.01)
    assert compare_with_reference(settings, (4, 24, 20, 2), 2, 100) >= 20


# --- presets and settings ---------------------------------------------------------------------------------------------


def test_the_presets_are_the_two_readings_of_the_method():
    paper, code = ContinualBackpropSettings(**PAPER), ContinualBackpropSettings(**PUBLISHED_CODE)
    assert (paper.utility, paper.outgoing, paper.bias_correction, paper.rounding) == (
        "contribution",
        "sum",
        False,
        "single",
    )
    assert code == ContinualBackpropSettings()  # the defaults are the published code's
    assert (code.utility, code.outgoing, code.bias_correction) == ("adaptable_contribution", "mean", True)
    assert (code.rounding, code.rate_counts, code.transfer_bias) == ("accumulate", "eligible", False)
    assert paper.decay_rate == code.decay_rate == 0.99  # Methods: in all experiments
    assert paper.when == code.when == "after_update" and not paper.reset_optimizer_state


def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="average=lifetime_activity needs utility=weight or utility=contribution"):
        make_learner(replacement_rate=0.1, average="lifetime_activity", utility="adaptation")
    with pytest.raises(ValueError, match=r"needs the runs axis; make the network with seeds=\[seed\]"):
        ContinualBackprop(mlp((2, 2, 1), "relu", 3, "float64"), ContinualBackpropSettings(replacement_rate=0.1))


def test_a_network_without_hidden_units_has_nothing_to_replace():
    with pytest.raises(ValueError, match="network=linear has no hidden units to drop, normalize or replace"):
        make_learner(network="linear", replacement_rate=0.5)
