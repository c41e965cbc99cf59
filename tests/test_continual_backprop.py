"""Continual Backprop: utilities by hand, which units are replaced and when, and trajectories against a plain loop.

"Algorithm 1" and "eq. (1)" are those of Dohare et al., Nature 632 (2024), Methods; "gnt.py" is the published code. The
conventions that only the kit has are in test_verify_conventions.py.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop import draws
from minilop.backend import xp
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.losses import squared_error
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop
from minilop.plasticity.continual_backprop import PAPER
from minilop.plasticity.num_to_replace import accumulate, chance, replacement_draws, single
from minilop.plasticity.units import least_useful, update_average
from minilop.plasticity.utility import incoming_magnitude, outgoing_magnitude
from minilop.recipes import convnet, mlp
from minilop.verify.catalogue.gradient_descent import learner as description
from minilop.verify.catalogue.learners import make_inputs
from minilop.verify.reference.learners import LearnerReference

SEEDS = (7, 20)
STEP = SGD(step_size=0.05)


def make_learner(sizes=(3, 6, 5, 2), seeds=SEEDS, optimizer=STEP, dtype="float64", **settings):
    """A learner with Continual Backprop, or without it if no settings are given."""
    rules = [ContinualBackprop(**settings)] if settings else []
    return Learner(mlp(sizes, "relu", seeds, dtype), squared_error, optimizer, rules)


def mini_batch(step, sizes=(3, 6, 5, 2), batch=3, num_runs=2, dtype="float64"):
    """Inputs and targets of a problem that drifts, as NumPy arrays (R, I, B) and (R, O, B)."""
    random = np.random.default_rng(step)
    inputs = random.normal(size=(num_runs, sizes[0], batch))
    targets = np.sin(inputs[:, : sizes[-1]] + step / 40) + 0.3 * random.normal(size=(num_runs, sizes[-1], batch))
    return inputs.astype(dtype), targets.astype(dtype)


def rule_of(hidden=2, outputs=1, seeds=(3,), **settings):
    """Continual Backprop of a network with one hidden layer, for feeding it features by hand."""
    network = mlp((2, hidden, outputs), "relu", seeds, "float64")
    return ContinualBackprop(**settings).bind(network, SGD().bind(network.parameters))


def values_of(features):
    """What a network with one hidden layer of these features (R, H, B) would compute, as far as the rule reads it."""
    return [None, None, device(features)]


def utilities_after(rule, features):
    """One step with the given features: the running utility, and what units are ranked by, (R, H) each."""
    assert not rule.choose(0, values_of(features), 0)
    units = rule.units[0]
    return host(units["utility"]).copy(), host(rule.utility_to_rank_by(rule, rule.network.hidden[0], units, 0)).copy()


# --- the utility, by hand ---------------------------------------------------------------------------------------------

# Two units, two examples, two inputs, two consumers.
FEATURES = [[[1.0, 3.0], [-2.0, 2.0]]]  # mean |h| = 2 and 2; mean h = 2 and 0, so mean |h - f| = 1 and 2
INCOMING = [[[1.0, -1.0], [4.0, 0.0]]]  # mean |w| = 1 and 2
OUTGOING = [[[1.0, -2.0], [3.0, 0.0]]]  # mean over consumers 2 and 1, sum 4 and 2


@pytest.mark.quick
@on_both_array_modules
@pytest.mark.parametrize(
    ("utility", "outgoing", "expected"),
    [
        ("contribution", "mean", [2 * 2, 1 * 2]),
        ("contribution", "sum", [4 * 2, 2 * 2]),
        ("adaptable_contribution", "mean", [2 * 1 / 1, 1 * 2 / 2]),
        ("adaptable_contribution", "sum", [4 * 1 / 1, 2 * 2 / 2]),
    ],
)
def test_a_units_utility_on_one_mini_batch_is_that_of_the_table(utility, outgoing, expected):
    """The formulas of minilop/plasticity/utility.py, with eta = 0, so f^ is the mean of this mini-batch."""
    rule = rule_of(outputs=2, utility=utility, outgoing=outgoing, decay_rate=0.0)
    hidden = rule.network.hidden[0]
    hidden.incoming.weight[...], hidden.outgoing.weight[...] = device(INCOMING), device(OUTGOING)
    utilities, ranked_by = utilities_after(rule, FEATURES)
    assert utilities.tolist() == ranked_by.tolist() == [expected]


@pytest.mark.quick
def test_the_paper_sums_outgoing_weights_where_the_code_takes_their_mean():
    """Eq. (1): sum over k of |w_{l,i,k}|; gnt.py: the mean over the same. Ranks are the same within a layer."""
    hidden = rule_of(outputs=2).network.hidden[0]
    hidden.outgoing.weight[...] = device(OUTGOING)
    assert host(outgoing_magnitude(hidden, "sum")).tolist() == [[4, 2]]
    assert host(outgoing_magnitude(hidden, "mean")).tolist() == [[2, 1]]


@pytest.mark.quick
@on_both_array_modules
def test_the_magnitudes_of_a_channel_are_those_of_its_kernels():
    """A channel of the last convolution has a feature, and outgoing weights, for each of its four positions."""
    network = convnet([1, 2], "float64", image_size=8, num_channels=2, kernels=((3, 1), (5, 1)), dense_units=(4,))
    first, second, _ = network.hidden
    kernels, dense = host(second.incoming.weight), host(second.outgoing.weight)  # (R, 5, 3, 1, 1), (R, 4, 5 * 4)
    assert_allclose(host(incoming_magnitude(first)), abs(host(first.incoming.weight)).mean(axis=(2, 3, 4)), rtol=1e-14)
    assert_allclose(host(outgoing_magnitude(first, "sum")), abs(kernels).sum(axis=(1, 3, 4)), rtol=1e-14)
    assert_allclose(host(outgoing_magnitude(first, "mean")), abs(kernels).mean(axis=(1, 3, 4)), rtol=1e-14)
    assert_allclose(host(outgoing_magnitude(second, "mean")), abs(dense).mean(axis=1), rtol=1e-14)


@pytest.mark.quick
@on_both_array_modules
def test_the_running_utility_is_the_decaying_average_of_eq_1():
    """u <- eta u + (1 - eta) |h| sum_k |w_k|, from 0; eta = 0.9, |h| = 2 then 5, one outgoing weight of 3."""
    rule = rule_of(**PAPER, decay_rate=0.9)
    rule.network.hidden[0].outgoing.weight[...] = device([[3.0, -1.0]])
    assert_allclose(utilities_after(rule, [[[2.0], [4.0]]])[0], [[0.1 * 6, 0.1 * 4]])
    assert_allclose(utilities_after(rule, [[[5.0], [0.0]]]), [[[0.9 * 0.1 * 6 + 0.1 * 15, 0.9 * 0.1 * 4]]] * 2)
    assert host(rule.units[0]["age"]).tolist() == [[2, 2]]


def test_without_a_trace_the_current_mini_batch_alone_counts():
    """Methods: averaged over a mini-batch the instantaneous utility may stand for the running one, eta = 0."""
    rule = rule_of(**PAPER, decay_rate=0.0)
    rule.network.hidden[0].outgoing.weight[...] = device([[1.0, 1.0]])
    utilities_after(rule, [[[9.0, 9.0], [9.0, 9.0]]])
    assert utilities_after(rule, [[[1.0, 3.0], [-2.0, 4.0]]])[0].tolist() == [[2.0, 3.0]]


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


def test_the_corrected_utility_of_a_constant_unit_is_the_same_at_every_age():
    """The correction cancels exactly: u = q (1 - eta^age), so u / (1 - eta^age) = q."""
    rule = rule_of(utility="contribution", maturity_threshold=1000)
    rule.network.hidden[0].outgoing.weight[...] = device([[0.5, -2.0]])
    for age in range(1, 200):
        utility, corrected = utilities_after(rule, [[[3.0], [0.25]]])
        assert_allclose(corrected, [[0.5 * 3, 2 * 0.25]], rtol=1e-12)
        assert_allclose(utility, (1 - 0.99**age) * corrected, rtol=1e-12)


def test_the_adaptable_contribution_of_a_unit_that_never_varies_is_zero():
    """f / (1 - eta^age) is then the feature itself from the first step on; only rounding is left of |h - f|."""
    rule = rule_of(utility="adaptable_contribution", maturity_threshold=1000)
    for _ in range(50):
        assert abs(utilities_after(rule, [[[3.0, 3.0], [-7.0, -7.0]]])[1]).max() < 1e-13


def test_on_a_units_first_example_its_adaptable_contribution_is_zero():
    """One example at age 1: the corrected mean is that example, |h - f| = 0, whatever h is (gnt.py's new mean)."""
    rule = rule_of(maturity_threshold=1000)
    rule.network.hidden[0].incoming.weight[...] = 1
    rule.network.hidden[0].outgoing.weight[...] = 1
    assert_allclose(utilities_after(rule, [[[3.0], [1e6]]])[1], 0, atol=1e6 * 1e-15)


@on_both_array_modules
def test_lifetime_activity_is_a_sum_that_neither_decays_nor_is_reset():
    """The published residual network: s <- s + (1 - eta) |h|, utility = s sum|w| / K with the present weights."""
    rule = rule_of(utility="contribution", average="lifetime_activity", replacement_rate=0.5, maturity_threshold=1)
    features = [[[2.0], [5.0]]]
    rule.network.hidden[0].outgoing.weight[...] = device([[4.0, 1.0]])
    activity, ranked_by = utilities_after(rule, features)
    assert_allclose(activity, [[0.01 * 2, 0.01 * 5]])
    assert_allclose(ranked_by, [[0.01 * 2 * 4, 0.01 * 5 * 1]])
    rule.step(values_of(features), 1)  # rate 0.5 times 2 mature units: one is due, the second
    assert host(rule.units[0]["age"]).tolist() == [[2, 0]]
    assert_allclose(host(rule.units[0]["utility"]), [[0.01 * (2 + 2), 0.01 * (5 + 5)]])


# --- how many are replaced --------------------------------------------------------------------------------------------


def four_runs(rounding, units_to_replace, due, num_eligible, *more):
    """The numbers of units to replace, and c afterwards."""
    units_to_replace = np.array(units_to_replace)
    number = rounding(units_to_replace, np.array(due), np.array(num_eligible), *more)
    return number.tolist(), units_to_replace.tolist()


@pytest.mark.quick
def test_accumulate_replaces_whole_units_and_carries_the_fraction_over():
    """c = 0.75, 1.0, 2.75 and, with only two eligible units, 3.5."""
    number, left = four_runs(accumulate, [0.5, 0.75, 0.25, 0.5], [0.25, 0.25, 2.5, 3.0], [9, 9, 9, 2])
    assert number == [0, 1, 2, 2]
    assert left == [0.75, 0.0, 0.75, 1.5]


@pytest.mark.quick
def test_single_replaces_one_unit_when_c_exceeds_1():
    """Algorithm 1: "if c > 1". c = 0.75, exactly 1, 2.75, and 3.5 with no eligible unit."""
    number, left = four_runs(single, [0.5, 0.75, 0.25, 0.5], [0.25, 0.25, 2.5, 3.0], [9, 9, 9, 0])
    assert number == [0, 0, 1, 0]
    assert left == [0.75, 1.0, 1.75, 3.5]


@pytest.mark.quick
def test_chance_compares_a_uniform_number_with_what_is_due():
    """gnt.py without accumulation: one unit with probability `due`, or its whole part; c stays as it is."""
    uniforms = {5: np.array([0.2, 0.3, 0.9, 0.1])}
    number, left = four_runs(chance, [0.5] * 4, [0.3, 0.3, 2.5, 3.0], [9, 9, 9, 2], uniforms.get, 5)
    assert number == [1, 0, 2, 2]  # 0.2 < 0.3; 0.3 is not; 2.5 is always 2; 3, but only 2 are eligible
    assert left == [0.5] * 4


@pytest.mark.quick
@on_both_array_modules
def test_step_t_compares_with_number_t_mod_1024_of_the_draw_t_div_1024():
    uniforms = replacement_draws(np.array([5, 9]), layer=2)
    drawn = {
        quotient: host(
            draws.uniform(np.array([5, 9]), "replacement coin", 1024, layer=2, step=quotient, dtype="float64")
        )
        for quotient in (0, 1)
    }
    for step in (0, 1, 1023, 1024, 1025, 7):  # 7 again after the next draw, as after a restart
        assert_array_equal(uniforms(step), drawn[step // 1024][:, step % 1024])


def replacement_steps(num_steps, num_units, **settings):
    """Steps, counted from 1, at which one run replaces units, and how many then."""
    rule = rule_of(num_units, seeds=[0], **settings)
    found = {}
    for step in range(num_steps):
        (mask,) = rule.step(values_of(np.ones((1, num_units, 1))), step)
        if mask is not None:
            found[step + 1] = int(host(mask).sum())
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


@pytest.mark.parametrize("rate_counts", ["eligible", "all"])
def test_a_unit_is_eligible_once_it_is_older_than_the_threshold(rate_counts):
    """Algorithm 1: age strictly greater than m. A rate of 1 replaces all that are eligible: at age 4, for m = 3."""
    found = replacement_steps(12, 2, replacement_rate=1, maturity_threshold=3, rate_counts=rate_counts)
    assert found == {4: 2, 8: 2, 12: 2}


@on_both_array_modules
@pytest.mark.parametrize("rate_counts", ["eligible", "all"])
def test_nothing_is_added_to_c_while_no_unit_is_eligible(rate_counts):
    """gnt.py skips a layer without eligible units before it adds to the counter."""
    rule = rule_of(4, seeds=[0, 1], replacement_rate=0.2, maturity_threshold=10, rate_counts=rate_counts)
    seen = []
    for step in range(12):
        rule.step(values_of(np.ones((2, 4, 1))), step)
        seen.append(rule.units[0]["units_to_replace"].tolist())
    assert seen[:10] == [[0, 0]] * 10  # ages 1 to 10
    assert_allclose(seen[10:], [[0.8, 0.8], [0.6, 0.6]])  # 0.8 a step, one of 1.6 was replaced


def test_eligible_counts_the_eligible_units_and_all_counts_the_layer():
    """Four units, of which one is eligible, at a rate of 0.2."""
    for rate_counts, expected in (("eligible", 0.2 * 1), ("all", 0.2 * 4)):
        rule = rule_of(4, replacement_rate=0.2, maturity_threshold=5, rate_counts=rate_counts)
        rule.units[0]["age"][...] = device([[2.0, 5.0, 0.0, 4.0]])
        rule.step(values_of(np.ones((1, 4, 1))), 0)
        assert rule.units[0]["units_to_replace"].tolist() == [expected]


def test_no_more_units_are_replaced_than_are_eligible_and_the_rest_stays_due():
    """1.5 times 4 units are due as soon as one is eligible, but only 4 can go."""
    rule = rule_of(4, replacement_rate=1.5, maturity_threshold=1, rate_counts="all")
    given = [rule.step(values_of(np.ones((1, 4, 1))), step)[0] for step in range(4)]
    assert [0 if mask is None else host(mask).sum() for mask in given] == [0, 4, 0, 4]  # step 3: all are too young
    assert rule.units[0]["units_to_replace"].tolist() == [(6 - 4) + (6 - 4)]


def test_the_paper_replaces_one_unit_where_the_code_replaces_as_soon_as_c_is_1():
    """At exactly 1 nothing happens in Algorithm 1; the code's floor replaces one. c = 1, 2, 2 with "single"."""
    exact = {"replacement_rate": 0.25, "maturity_threshold": 0, "rate_counts": "all"}
    assert replacement_steps(3, 4, **exact, rounding="single") == {2: 1, 3: 1}
    assert replacement_steps(3, 4, **exact, rounding="accumulate") == {1: 1, 2: 1, 3: 1}


@on_both_array_modules
def test_by_chance_one_unit_goes_with_the_probability_of_what_is_due():
    """gnt.py without accumulation: 0.3 due a step, so 0.3 of the steps, within four standard deviations."""
    settings = {"replacement_rate": 0.1, "maturity_threshold": 0, "rate_counts": "all", "rounding": "chance"}
    rule = rule_of(3, seeds=range(50), **settings)
    counts = np.zeros(50, int)
    for step in range(400):
        (mask,) = rule.step(values_of(np.ones((50, 3, 1))), step)
        counts += 0 if mask is None else host(mask).sum(axis=-1)
    deviation = np.sqrt(50 * 400 * 0.3 * 0.7)
    assert abs(counts.sum() - 50 * 400 * 0.3) < 4 * deviation
    assert len(set(counts.tolist())) > 5  # each run draws its own numbers


def test_by_chance_the_fraction_beyond_whole_units_is_dropped():
    """gnt.py: where one or more are due in a step, as many as the whole part, always."""
    found = replacement_steps(6, 5, replacement_rate=0.5, maturity_threshold=0, rate_counts="all", rounding="chance")
    assert found == dict.fromkeys(range(1, 7), 2)  # 2.5 a step


# --- which units are replaced -----------------------------------------------------------------------------------------


def chosen(utility, age, threshold, number):
    """Which units, a list for each run."""
    runs, units = least_useful(device(utility, float), device(age, float) > threshold, np.asarray(number))
    return [sorted(host(units)[runs == run].tolist()) for run in range(len(utility))]


@on_both_array_modules
def test_the_eligible_unit_of_least_utility_goes_first():
    utility = [[3, 1, 2, 0], [0, 1, 2, 3]]
    age = [[9, 9, 9, 4], [9, 9, 9, 9]]  # the unit of least utility of the first run is too young
    assert chosen(utility, age, 4, [1, 2]) == [[1], [0, 1]]


def test_of_equally_useful_units_that_of_the_lowest_index_goes():
    assert chosen([[5, 0, 0, 0, 0]], [[9] * 5], 4, [2]) == [[1, 2]]


def test_a_run_that_is_due_nothing_keeps_all_its_units():
    assert chosen([[1, 2], [1, 2]], [[9, 9], [9, 9]], 0, [0, 1]) == [[], [0]]


def test_an_infinitely_useful_unit_is_eligible_all_the_same():
    """1 / I is infinite for a unit without incoming weights; nothing guards against it in gnt.py either. A protected
    unit must not be replaced in its place."""
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
    rule = rule_of(hidden=3, replacement_rate=1 / 3, maturity_threshold=4)
    rule.network.hidden[0].incoming.weight[:, 1] = 0
    with np.errstate(invalid="ignore"):
        for step in range(5):
            rule.step(values_of([[[1.0 + step], [0.0], [2.0 * step]]]), step)
    assert host(rule.units[0]["age"]).tolist() == [[5, 0, 5]]
    assert np.isfinite(host(rule.units[0]["utility"])).all()


@on_both_array_modules
def test_a_random_utility_replaces_every_unit_sooner_or_later_and_never_a_young_one():
    rule = rule_of(hidden=5, utility="random", replacement_rate=0.04, maturity_threshold=20)
    replaced = []
    for step in range(600):
        before = host(rule.units[0]["age"])[0].copy()
        rule.step(values_of(np.ones((1, 5, 1))), step)
        gone = np.flatnonzero(host(rule.units[0]["age"])[0] == 0)
        assert (before[gone] >= 20).all()
        replaced += gone.tolist()
    assert set(replaced) == set(range(5)) and len(replaced) > 60


# --- what a replacement does ------------------------------------------------------------------------------------------


def test_removing_a_unit_takes_its_contribution_away_and_its_successor_adds_nothing():
    """Algorithm 1: outgoing weights become 0, "to ensure that the newly added units do not affect" what is computed."""
    learner = make_learner((3, 4, 2), replacement_rate=0.25, maturity_threshold=0)
    network, (rule,) = learner.network, learner.rules
    inputs = device(mini_batch(0, (3, 4, 2))[0])
    before = network.forward(inputs)
    weight = host(network.hidden[0].outgoing.weight).copy()
    (mask,) = rule.step(before, 0)
    gone = host(rule.units[0]["age"]) == 0  # (R, H)
    assert gone.sum(axis=-1).tolist() == [1, 1]
    assert_array_equal(host(mask), gone)
    removed = weight @ (host(before[2]) * gone[..., None])
    after = network.forward(inputs)
    assert_allclose(host(after[-1]), host(before[-1]) - removed, atol=1e-14)
    network.hidden[0].incoming.weight[...] = xp.where(device(gone)[..., None], 9.9, network.hidden[0].incoming.weight)
    assert_array_equal(host(network.forward(inputs)[-1]), host(after[-1]))


def test_the_other_rules_are_told_which_units_were_replaced():
    """A mask for each hidden layer, None for a layer where nothing was replaced."""
    learner = make_learner((3, 4, 2, 1), replacement_rate=0.25, maturity_threshold=0)
    told = []
    learner.rules[0].units_replaced = told.append
    learner.step(*map(device, mini_batch(0, (3, 4, 2, 1))))  # 0.25 times 4 units, and 0.25 times 2
    ((first, second),) = told
    assert_array_equal(host(first), host(learner.rules[0].units[0]["age"]) == 0)
    assert host(first).sum(axis=-1).tolist() == [1, 1] and second is None


@on_both_array_modules
def test_a_new_unit_has_weights_of_the_initial_distribution_no_bias_and_no_past():
    network = mlp((30, 40, 2), "tanh", SEEDS, "float64")
    rule = ContinualBackprop(replacement_rate=1.0, maturity_threshold=0).bind(network, SGD())
    network.hidden[0].incoming.bias[...] = 5
    old = host(network.hidden[0].incoming.weight).copy()
    rule.step(network.forward(device(mini_batch(0, (30, 40, 2))[0])), 0)
    fresh, bound = host(network.hidden[0].incoming.weight), 5 / 3 * np.sqrt(3 / 30)  # kaiming, tanh
    assert (fresh != old).all() and abs(fresh).max() < bound
    assert abs(fresh).max() > 0.99 * bound
    assert fresh.std() == pytest.approx(bound / np.sqrt(3), rel=0.04)  # 2,400 weights: 2 % is two standard errors
    assert (fresh[0] != fresh[1]).all()
    assert not host(network.hidden[0].incoming.bias).any() and not host(network.hidden[0].outgoing.weight).any()
    assert not any(host(array).any() for array in rule.units[0].values())


@on_both_array_modules
def test_normal_fresh_weights_have_variance_2_over_fan_in():
    """The published code for the residual network."""
    learner = make_learner((30, 40, 2), replacement_rate=1.0, maturity_threshold=0, fresh_weights="normal")
    learner.rules[0].step(learner.network.forward(device(mini_batch(0, (30, 40, 2))[0])), 0)
    fresh = host(learner.network.hidden[0].incoming.weight)
    assert fresh.std() == pytest.approx(np.sqrt(2 / 30), rel=0.06)
    assert abs(fresh).max() > 2.5 * np.sqrt(2 / 30)  # beyond any uniform distribution of that variance


def test_neighbors_in_adjacent_layers_replaced_in_one_step_have_a_random_weight_between_them():
    """gnt.py: layer l zeroes the column, then layer l + 1 redraws its whole row."""
    learner = make_learner((3, 2, 2, 1), replacement_rate=1.0, maturity_threshold=0)
    network = learner.network
    learner.rules[0].step(network.forward(device(mini_batch(0, (3, 2, 2, 1))[0])), 0)
    assert host(network.hidden[0].outgoing.weight).all()  # all four: both layers were replaced entirely
    assert not host(network.hidden[1].outgoing.weight).any()


@on_both_array_modules
@pytest.mark.parametrize("optimizer", [Adam(step_size=0.05), SGD(step_size=0.05, momentum=0.9)], ids=["adam", "sgd"])
@pytest.mark.parametrize("reset", [True, False])
def test_resetting_the_optimizer_acts_on_the_weights_of_replaced_units_and_no_others(reset, optimizer):
    """arXiv:2108.06325: moments and time steps of the weights that enter or leave the unit; the paper is silent."""
    learner = make_learner((3, 4, 2), optimizer=optimizer, reset_optimizer_state=reset)
    for array in learner.optimizer.state.values():
        array[...] = 1
    gone = [(0, 1), (1, 0), (1, 2)]  # run, unit
    runs, units = np.transpose(gone)
    learner.rules[0].replace(0, runs, device(units), 0)
    expected = np.ones((2, 4 * 3 + 4 + 2 * 4 + 2))
    if reset:
        for run, unit in gone:
            expected[run, 3 * unit : 3 * unit + 3] = 0  # its row of the first weight
            expected[run, 12 + unit] = 0  # its bias
            expected[run, [16 + unit, 20 + unit]] = 0  # its column of the second
    for array in learner.optimizer.state.values():
        assert_array_equal(host(array), expected[:, : array.shape[-1]])  # a correction for all where none is reset


# --- the whole learner ------------------------------------------------------------------------------------------------


def train(learner, steps, sizes=(3, 6, 5, 2), **options):
    for step in steps:
        inputs, targets = mini_batch(step, sizes, num_runs=len(learner.network.seeds), **options)
        learner.step(device(inputs), device(targets))
    return host(learner.network.parameters)


def test_without_replacement_it_is_backprop_to_the_bit():
    plain = train(make_learner(dtype="float32"), range(60), dtype="float32")
    no_rate = make_learner(dtype="float32", replacement_rate=0.0, maturity_threshold=0)
    assert_array_equal(train(no_rate, range(60), dtype="float32"), plain)
    never_mature = make_learner(dtype="float32", replacement_rate=0.5, maturity_threshold=60)
    assert_array_equal(train(never_mature, range(60), dtype="float32"), plain)
    assert host(never_mature.rules[0].units[0]["age"]).min() == 60
    matures_at_last = make_learner(dtype="float32", replacement_rate=0.5, maturity_threshold=59)
    assert (train(matures_at_last, range(60), dtype="float32") != plain).any()


@on_both_array_modules
def test_a_run_of_nans_is_replaced_beside_the_others_without_a_trace_in_them():
    settings = {"dtype": "float32", "replacement_rate": 0.03, "maturity_threshold": 5}
    alone, beside = make_learner(**settings), make_learner(**settings)
    expected = train(alone, range(80), dtype="float32")
    beside.network.parameters[0] = xp.nan
    numbers = []  # replaced in run 0 and in run 1, for each step and layer where units were
    beside.rules[0].units_replaced = lambda masks: numbers.extend(
        host(mask).sum(axis=-1).tolist() for mask in masks if mask is not None
    )
    with np.errstate(invalid="ignore"):
        found = train(beside, range(80), dtype="float32")
    assert_array_equal(found[1], expected[1])
    for ours, theirs in zip(beside.rules[0].units, alone.rules[0].units):
        for name in ours:
            assert_array_equal(host(ours[name])[1], host(theirs[name])[1])
        assert ours["units_to_replace"][0] == ours["units_to_replace"][1]
    assert numbers == [[1, 1]] * len(numbers) and len(numbers) > 15  # in both runs as many, at the same steps


@on_both_array_modules
@pytest.mark.parametrize("rounding", ["accumulate", "single", "chance"])
@pytest.mark.parametrize("rate_counts", ["eligible", "all"])
def test_a_learner_restored_between_two_replacements_continues_to_the_bit(rounding, rate_counts):
    """Every run has a rate of its own; saved before any unit is eligible, among the first replacements, and later."""
    settings = {
        "replacement_rate": device([[0.05], [0.11], [0.3]]),
        "maturity_threshold": 7,
        "rounding": rounding,
        "rate_counts": rate_counts,
        "seeds": (0, 1, 2),
        "optimizer": Adam(step_size=0.01),
        "reset_optimizer_state": True,
    }
    learner = make_learner(**settings)
    total = []
    learner.rules[0].units_replaced = lambda masks: total.extend(host(mask).sum() for mask in masks if mask is not None)
    copies = []
    for start, stop in ((0, 3), (3, 8), (8, 41), (41, 60)):
        for each in (learner, *copies):
            with np.errstate(divide="ignore", invalid="ignore"):  # units all of whose inputs were replaced
                train(each, range(start, stop))
        copies.append(make_learner(**settings))
        copies[-1].restore(learner.state())
    for copy, (name, array) in product(copies, learner.state().items()):
        assert_array_equal(copy.state()[name], array, name)
    assert sum(total) > 20
    if rounding != "chance":
        assert all((units["units_to_replace"] % 1).any() for units in learner.rules[0].units)  # fractions are due


BASE = ContinualBackprop(replacement_rate=0.03, maturity_threshold=5, decay_rate=0.9)
VARIANTS = {
    "the defaults": (STEP, {}),
    "utility=contribution": (STEP, {"utility": "contribution"}),
    "utility=random": (STEP, {"utility": "random"}),
    "PAPER": (STEP, PAPER),
    "outgoing=sum": (STEP, {"outgoing": "sum"}),
    "average=lifetime_activity": (STEP, {"average": "lifetime_activity", "utility": "contribution"}),
    "bias_correction=no": (STEP, {"bias_correction": False}),
    "rate_counts=all": (STEP, {"rate_counts": "all"}),
    "rounding=chance": (STEP, {"rounding": "chance"}),
    "rounding=chance of more than one": (STEP, {"rounding": "chance", "replacement_rate": 0.3}),
    "rounding=single": (STEP, {"rounding": "single"}),
    "fresh_weights=normal": (STEP, {"fresh_weights": "normal"}),
    "momentum": (SGD(step_size=0.01, momentum=0.9), {}),
    "momentum reset": (SGD(step_size=0.01, momentum=0.9), {"reset_optimizer_state": True}),
    "adam": (Adam(step_size=0.01), {}),
    "adam reset": (Adam(step_size=0.01), {"reset_optimizer_state": True}),
    "weight decay": (SGD(step_size=0.05, weight_decay=0.01), {}),
    "when=before_update": (STEP, {"when": "before_update", "utility": "contribution"}),
    "when=before_update with adam": (Adam(step_size=0.01), {"when": "before_update", "reset_optimizer_state": True}),
    "no trace": (STEP, {"decay_rate": 0.0, "utility": "contribution"}),
    "all at once": (STEP, {"replacement_rate": 1.0, "maturity_threshold": 20}),
    "many more due than eligible": (STEP, {"replacement_rate": 1.5, "rate_counts": "all", "maturity_threshold": 20}),
}


def reference_of(optimizer, rule, sizes, batch, num_steps, seed):
    """The reference of the verification kit, one run unit by unit, and its case, which has the random numbers."""
    network = {"loss": "squared_error", "activation": "relu", "optimizer": optimizer.name}
    settings = {**network, **vars(optimizer), **vars(rule)}
    case = description(
        "a/case", "", settings, {"network": "mlp", "layers": sizes, "batch": batch}, seed, num_steps
    ).case({})
    case = replace(case, inputs=make_inputs(case))
    reference = LearnerReference()
    reference.load(case, case.parameters)
    return reference, case


def compare_with_reference(optimizer, rule, sizes, batch, num_steps):
    """Both trajectories step by step; returns how many units were replaced."""
    references = [reference_of(optimizer, rule, sizes, batch, num_steps, seed) for seed in SEEDS]
    learner = Learner(mlp(sizes, "relu", SEEDS, "float64"), squared_error, optimizer, [rule])
    num_replaced = np.zeros(len(SEEDS))
    for step in range(num_steps):
        inputs, targets = mini_batch(step, sizes, batch)
        with np.errstate(divide="ignore"):  # a unit all of whose inputs were replaced has an infinite utility
            learner.step(device(inputs), device(targets))
        parameters = host(learner.network.parameters)
        for run, (reference, case) in enumerate(references):
            with np.errstate(divide="ignore"):
                reference.step(inputs[run], targets[run], case.example(step)[2])
            layers = reference.rules[0].layers
            ages = [host(units["age"])[run].tolist() for units in learner.rules[0].units]
            assert ages == [units.age.tolist() for units in layers], step  # the very same units, in the very same step
            num_replaced[run] += sum(units.replaced.sum() for units in layers)
            # Two orders of summation in float64 differ by 1e-16 a step; 120 steps of a stable learner do not amplify
            # that a million times.
            assert_allclose(parameters[run], host(reference.network.parameters)[0], rtol=1e-9, atol=1e-10)
    return num_replaced.min()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_equals_a_plain_loop_over_units(variant, batch):
    """Every utility and every convention."""
    optimizer, changes = VARIANTS[variant]
    assert compare_with_reference(optimizer, replace(BASE, **changes), (3, 6, 5, 2), batch, 120) >= 20


@pytest.mark.parametrize("variant", ["PAPER", "the defaults", "rounding=chance", "adam reset"])
def test_a_wider_network_equals_the_loop_too(variant):
    optimizer, changes = VARIANTS[variant]
    rule = replace(BASE, **changes, replacement_rate=0.01)
    assert compare_with_reference(optimizer, rule, (4, 24, 20, 2), 2, 100) >= 20


# --- presets and settings ---------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_codes_and_the_preset_is_the_papers():
    paper, code = ContinualBackprop(**PAPER), ContinualBackprop()
    assert (paper.utility, paper.outgoing, paper.bias_correction) == ("contribution", "sum", False)
    assert (code.utility, code.outgoing, code.bias_correction) == ("adaptable_contribution", "mean", True)
    assert (paper.rounding, paper.rate_counts) == ("single", "eligible")
    assert (code.rounding, code.rate_counts) == ("accumulate", "eligible")
    assert paper.decay_rate == code.decay_rate == 0.99  # Methods: in all experiments
    assert paper.when == code.when == "after_update" and not paper.reset_optimizer_state


def test_a_rule_may_be_bound_to_several_networks():
    """`bind` gives each a copy with state of its own; the rule of the settings stays as it is."""
    rule = ContinualBackprop(replacement_rate=0.5, maturity_threshold=0)
    first, second = (Learner(mlp((3, 4, 2), "relu", [1], "float64"), squared_error, STEP, [rule]) for _ in range(2))
    train(first, range(1), (3, 4, 2))
    assert host(first.rules[0].units[0]["age"]).min() == 0 and host(first.rules[0].units[0]["age"]).max() == 1
    assert not host(second.rules[0].units[0]["age"]).any()
    assert rule == ContinualBackprop(replacement_rate=0.5, maturity_threshold=0) and not hasattr(rule, "units")


def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="average=lifetime_activity needs utility=contribution"):
        ContinualBackprop(average="lifetime_activity", utility="adaptable_contribution")
    with pytest.raises(
        ValueError, match=r"continual_backprop needs the runs axis; make the network with seeds=\[seed\]"
    ):
        ContinualBackprop().bind(mlp((2, 2, 1), "relu", 3, "float64"), SGD())


@pytest.mark.parametrize(
    "changes",
    [
        {"replacement_rate": -1.0},
        {"maturity_threshold": -1},
        {"decay_rate": 1.0},
        {"utility": "weight"},
        {"when": "now"},
    ],
)
def test_a_value_that_does_not_exist_is_refused_by_name(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=name):
        replace(BASE, **changes)


def test_a_network_without_hidden_units_has_nothing_to_replace():
    with pytest.raises(ValueError, match="continual_backprop acts on hidden units, and kind=linear has none"):
        LearnerSettings(SGD(), (ContinualBackprop(),), NetworkSettings(kind="linear"))
