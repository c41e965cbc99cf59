"""Dead and dormant units, the three ranks and the weight magnitude, each by hand first.

Dohare et al., Nature 632 (2024), Methods, where nothing else is said.
"""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.diagnostics import (
    approximate_rank,
    dead_unit_fraction,
    dormant_unit_fraction,
    effective_rank,
    singular_values,
    stable_rank,
    weight_magnitude,
)
from minilop.recipes import mlp

pytestmark = pytest.mark.quick

ALL = (
    dead_unit_fraction,
    dormant_unit_fraction,
    effective_rank,
    stable_rank,
    approximate_rank,
)


def with_singular_values(values, num_units=12, num_examples=30):
    """Features (1, H, N) with the given singular values, between random directions."""
    random = np.random.default_rng(len(values))
    left = np.linalg.qr(random.normal(size=(num_units, num_units)))[0][:, : len(values)]
    right = np.linalg.qr(random.normal(size=(num_examples, num_examples)))[0][:, : len(values)]
    return device(((left * values) @ right.T)[None])


@on_both_array_modules
def test_the_three_ranks_count_differently():
    """Singular values 10, 1, 0.1, 0.01.

    stable       sum 11.11; 10 holds 90.0 % of it, 10 + 1 hold 99.01 %: 2
    approximate  sum of squares 101.0101; 100 holds 99.0001 % of it: 1
    effective    exp of the entropy of the shares of the sum
    """
    values = [10, 1, 0.1, 0.01]
    features = with_singular_values(values)
    assert_allclose(host(singular_values(features))[0, :4], values, rtol=1e-12)
    assert host(stable_rank(features)).tolist() == [2]
    assert host(approximate_rank(features)).tolist() == [1]
    shares = [value / 11.11 for value in values]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert 1 < expected < 2
    assert_allclose(host(effective_rank(features)), [expected], rtol=1e-12)


def test_a_long_tail_counts_for_the_stable_rank_first():
    """1 and 60 values of 0.02.

    stable       sum 2.2, 99 % of it 2.178: the 1 and (2.178 - 1) / 0.02 = 58.9 of the others, so 59
    approximate  sum of squares 1.024, 99 % of it 1.01376: the 1 and 0.01376 / 0.0004 = 34.4 others, so 35
    """
    features = with_singular_values([1] + [0.02] * 60, num_units=70, num_examples=80)
    assert host(stable_rank(features)).tolist() == [1 + 59]
    assert host(approximate_rank(features)).tolist() == [1 + 35]


def test_a_matrix_of_rank_one_has_every_rank_one():
    features = device(np.outer([1.0, -2.0, 0.5], [1.0, 3.0, 0.0, -1.0])[None])
    for rank in (effective_rank, stable_rank, approximate_rank):
        assert_allclose(host(rank(features)), [1], rtol=1e-12)


def test_n_equal_values_have_the_effective_rank_n_and_nearly_as_large_a_stable_one():
    """Smallest k with k / n > 0.99: for n = 10 that is 10, for n = 150 it is 149, since 148.5 / 150 = 0.99."""
    for num, stable in ((10, 10), (150, 149)):
        features = device(3 * np.eye(num)[None])
        assert_allclose(host(effective_rank(features)), [num], rtol=1e-12)
        assert host(stable_rank(features)).tolist() == [stable]
        assert host(approximate_rank(features)).tolist() == [stable]


def test_on_a_tie_the_strict_rule_of_the_paper_takes_one_more():
    """min {k : share of the first k > fraction}. 3 of 4 equal values hold exactly 0.75, which is not more than that; the
    published code counts shares below the fraction and adds one, which gives 3."""
    features = device(np.eye(4)[None])
    assert host(stable_rank(features, 0.75)).tolist() == [4]
    assert host(stable_rank(features, 0.7499)).tolist() == [3]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("num", [100, 200, 500])
def test_a_tie_is_a_tie_whatever_the_rounding(num, dtype):
    """99 of 100 equal values hold exactly 0.99: not more, so the stable rank takes one more; at least, so the approximate
    rank does not."""
    features = device(np.eye(num)[None], dtype)
    assert host(stable_rank(features)).tolist() == [num * 99 // 100 + 1]
    assert host(approximate_rank(features)).tolist() == [num * 99 // 100]


@on_both_array_modules
def test_features_that_are_all_zero_have_no_rank_and_only_dead_units():
    features = device(np.zeros((1, 3, 7)))
    assert host(stable_rank(features)).tolist() == [0]
    assert host(approximate_rank(features)).tolist() == [0]
    assert host(effective_rank(features)).tolist() == [1]  # exp of no entropy
    assert host(dead_unit_fraction(features)).tolist() == [1]
    assert host(dormant_unit_fraction(features)).tolist() == [1]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_ranks_do_not_depend_on_the_scale_even_where_squares_leave_the_range(scale):
    """Such features are what a run has just before it diverges; 1e30 squared is beyond float32."""
    features = np.random.default_rng(0).normal(size=(2, 6, 20)).astype("float32")
    for rank in (stable_rank, approximate_rank):
        assert_array_equal(host(rank(device(features * np.float32(scale)))), host(rank(device(features))))
    scaled = host(effective_rank(device(features * np.float32(scale))))
    assert_allclose(scaled, host(effective_rank(device(features))), rtol=1e-5)  # float32


@on_both_array_modules
def test_a_dead_unit_is_zero_everywhere_and_a_dormant_one_almost():
    """Dead: exactly 0 on all examples. Dormant: active on less than 1 % of them; here 0, 1, 2, 3 and 200 of 200."""
    features = np.zeros((1, 5, 200))
    for unit, active in enumerate((0, 1, 2, 3, 200)):
        features[0, unit, :active] = -0.5  # the sign does not matter
    assert_allclose(host(dead_unit_fraction(device(features))), [1 / 5])
    assert_allclose(host(dormant_unit_fraction(device(features))), [2 / 5])  # 2 of 200 are 1 %, not less
    assert_allclose(host(dormant_unit_fraction(device(features), 0.02)), [4 / 5])
    assert_allclose(host(dormant_unit_fraction(device(features), 0.005)), [1 / 5])  # 1 of 200 is not less than that


def test_a_tiny_activity_is_activity():
    features = np.zeros((1, 1, 10))
    features[0, 0, 3] = 1e-30
    assert host(dead_unit_fraction(device(features))).tolist() == [0]


@on_both_array_modules
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_run_that_is_not_finite_measures_nan_and_its_neighbours_do_not_notice(bad):
    features = np.maximum(np.random.default_rng(1).normal(size=(3, 6, 40)), 0)
    expected = [host(measure(device(features))) for measure in ALL]
    features[1, 2, 3] = bad
    for measure, right in zip(ALL, expected):
        with np.errstate(invalid="ignore"):
            found = host(measure(device(features)))
        assert_array_equal(found, [right[0], np.nan, right[2]])


def test_a_network_without_the_runs_axis_is_measured_by_one_number():
    features = np.maximum(np.random.default_rng(1).normal(size=(3, 6, 40)), 0)
    for measure in ALL:
        together = host(measure(device(features)))
        assert host(measure(device(features[2]))) == pytest.approx(together[2], rel=1e-12)


@on_both_array_modules
def test_weight_magnitude_is_the_mean_over_all_weights_of_all_matrices():
    """Sum of |W| over all matrices over the number of weights: a large layer counts more than a small one."""
    first = device([[[1.0, -2.0], [3.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    second = device([[[-4.0, 5.0]], [[0.0, 0.0]]])
    assert_allclose(host(weight_magnitude([first, second])), [(1 + 2 + 3 + 0 + 4 + 5) / 6, 4 / 6])


def test_biases_are_no_weights():
    network = mlp((2, 3, 1), "relu", [0], "float64")
    for layer in network.dense_layers:
        layer.weight[...] = 0.5
        layer.bias[...] = 100
    assert host(weight_magnitude(layer.weight for layer in network.dense_layers)).tolist() == [0.5]


def test_a_fresh_lecun_layer_of_256_units_has_the_magnitude_of_half_its_bound():
    """Uniform in +-sqrt(3 / 256): mean sqrt(3 / 256) / 2 = 0.0541, where the published weight curves of the Ant start.

    65,536 weights: the standard error is 0.2 % of that.
    """
    network = mlp((256, 256, 1), "relu", [0], "float32", scheme="lecun")
    magnitude = host(weight_magnitude([network.hidden[0].incoming.weight]))[0]
    assert magnitude == pytest.approx(math.sqrt(3 / 256) / 2, rel=0.01)
    assert round(math.sqrt(3 / 256) / 2, 4) == 0.0541
