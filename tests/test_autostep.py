"""Autostep: two examples by hand, the rule as a loop over weights, its two guarantees and both bounds.

Mahmood, Sutton, Degris and Pilarski (2012), "Tuning-free step-size adaptation", Table 1.
"""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal
from test_idbd import examples, learn

from minilop.optimizers import LMS, Autostep

pytestmark = pytest.mark.quick

both_bounds = pytest.mark.parametrize("bound", ["permanent", "transient"])


def slow_autostep(inputs, targets, meta_step_size, initial_step_size, tau, bound):
    """Autostep of one run, weight by weight, in the order of the lines: errors, weights and step sizes."""
    n = len(inputs[0])
    w, alpha, h, v = [0.0] * n, [initial_step_size] * n, [0.0] * n, [0.0] * n
    errors = []
    for x, y in zip(inputs.tolist(), targets.tolist()):
        delta = y - sum(w[i] * x[i] for i in range(n))
        errors.append(delta)
        for i in range(n):
            g = delta * x[i] * h[i]
            v[i] = max(abs(g), v[i] + (1 / tau) * alpha[i] * x[i] ** 2 * (abs(g) - v[i]))
            if v[i] != 0:
                alpha[i] *= math.exp(meta_step_size * g / v[i])
        overshoot = max(sum(alpha[i] * x[i] ** 2 for i in range(n)), 1)
        used = [step_size / overshoot for step_size in alpha]
        if bound == "permanent":
            alpha = used
        for i in range(n):
            w[i] += used[i] * delta * x[i]
            h[i] = h[i] * (1 - used[i] * x[i] ** 2) + used[i] * delta * x[i]
    return errors, w, alpha


# --- by hand ----------------------------------------------------------------------------------------------------------


@on_both_array_modules
def test_two_examples_by_hand():
    """The first finds no trace; at the second |g| is all that v knows, so ln(alpha) moves by mu exactly."""
    learner = Autostep(device([[0.0]]), meta_step_size=0.3, initial_step_size=0.1)
    assert host(learner.step(device([[2.0]]), device([1.0]))) == pytest.approx([1.0])
    assert host(learner.step_sizes) == pytest.approx(0.1)  # v = 0: left as it is; M = max(0.1 * 4, 1)
    assert host(learner.weights) == pytest.approx(0.1 * 1 * 2)
    error = 1 - 0.2
    assert host(learner.step(device([[1.0]]), device([1.0]))) == pytest.approx([error])
    step_size = 0.1 * math.exp(0.3)
    assert host(learner.state["normalizers"]) == pytest.approx(error * 1 * 0.2)
    assert host(learner.step_sizes) == pytest.approx(step_size)
    assert host(learner.weights) == pytest.approx(0.2 + step_size * error)
    assert host(learner.state["traces"]) == pytest.approx(0.2 * (1 - step_size) + step_size * error)


def test_the_normalizer_decays_towards_smaller_meta_gradients_with_the_time_constant_tau():
    """v + (alpha x^2 / tau) (|g| - v), where that is above |g|."""
    learner = Autostep(device([[0.0]]), meta_step_size=0.1, initial_step_size=0.1, tau=10.0)
    learner.state["normalizers"][...] = 5.0
    learner.state["traces"][...] = 0.5
    learner.step(device([[2.0]]), device([1.0]))
    meta_gradient = 1 * 2 * 0.5
    normalizer = 5 + 0.1 * 4 / 10 * (meta_gradient - 5)
    assert host(learner.state["normalizers"]) == pytest.approx(normalizer)
    assert host(learner.step_sizes) == pytest.approx(0.1 * math.exp(0.1 * meta_gradient / normalizer))


@both_bounds
def test_a_large_example_is_fitted_and_not_overshot(bound):
    """sum alpha x^2 = 0.05 * (10^2 + 20^2) = 25, so the step is divided by 25; for good only in the paper's form."""
    learner = Autostep(device([[0.0, 0.0]]), 0.01, 0.05, bound=bound)
    inputs, target = device([[10.0, 20.0]]), device([3.0])
    learner.step(inputs, target)
    assert host(learner.predict(inputs)) == pytest.approx(3.0)
    assert host(learner.weights)[0] == pytest.approx([0.05 / 25 * 3 * 10, 0.05 / 25 * 3 * 20])
    assert host(learner.step_sizes)[0] == pytest.approx([0.05 / (25 if bound == "permanent" else 1)] * 2)


# --- the definition ---------------------------------------------------------------------------------------------------


@both_bounds
@pytest.mark.parametrize("tau", [1e4, 20.0])
def test_autostep_is_the_rule_applied_weight_by_weight(tau, bound):
    inputs, targets = examples(400, (3, 6))
    inputs[50, :, 2] = inputs[70] = 0.0  # an input that is absent, and one example without any
    inputs[100:120] *= 10  # the bound is needed
    learner = Autostep(device(np.zeros((3, 6))), 0.05, 0.05, tau, bound)
    errors = learn(learner, inputs, targets)
    for run in range(3):
        expected = slow_autostep(inputs[:, run], targets[:, run], 0.05, 0.05, tau, bound)
        # Rounding of 1e-16 in 400 steps of sums of 6 numbers of 10 at most.
        assert_allclose(errors[:, run], expected[0], rtol=0, atol=1e-11)
        assert_allclose(host(learner.weights)[run], expected[1], rtol=0, atol=1e-11)
        assert_allclose(host(learner.step_sizes)[run], expected[2], rtol=1e-11)


# --- what follows -----------------------------------------------------------------------------------------------------


@both_bounds
def test_the_scale_of_the_targets_changes_nothing(bound):
    """Its aim. By powers of two to the bit, by other factors but for rounding."""
    inputs, targets = examples(300, (2, 5))

    def run(scale):
        learner = Autostep(device(np.zeros((2, 5))), 0.03, bound=bound)
        return learn(learner, inputs, scale * targets) / scale, host(learner.step_sizes)

    errors, step_sizes = run(1.0)
    for scale in (2.0**-10, 2.0**10, -1.0):
        assert_array_equal(run(scale)[0], errors)
        assert_array_equal(run(scale)[1], step_sizes)
    for scale in (1e-3, 1e3):
        # Each of 300 steps rounds by 1e-16 in some other way.
        assert_allclose(run(scale)[0], errors, rtol=0, atol=1e-11)
        assert_allclose(run(scale)[1], step_sizes, rtol=1e-11)


def test_no_step_size_moves_by_more_than_the_meta_step_size_and_no_update_overshoots():
    inputs, targets = examples(300, (2, 5))
    inputs[150:] *= 7
    learner = Autostep(device(np.zeros((2, 5))), 0.1, bound="transient")
    for x, y in zip(inputs, targets):
        before = host(learner.step_sizes).copy()
        error = host(learner.step(device(x), device(y)))
        assert (abs(np.log(host(learner.step_sizes) / before)) <= 0.1 * (1 + 1e-12)).all()
        after = y - host(learner.predict(device(x)))
        # What is left is error (1 - sum alpha x^2), between 0 and all of it; to within rounding of weights near 10.
        assert (after * np.sign(error) >= -1e-13).all() and (abs(after) <= abs(error) + 1e-13).all()


@both_bounds
def test_a_meta_step_size_of_zero_is_lms_to_the_bit_where_nothing_overshoots(bound):
    inputs, targets = examples(50, (2, 5))
    autostep = Autostep(device(np.zeros((2, 5))), 0.0, 0.01, bound=bound)
    lms = LMS(device(np.zeros((2, 5))), 0.01)
    assert_array_equal(learn(autostep, inputs, targets), learn(lms, inputs, targets))


@on_both_array_modules
@pytest.mark.parametrize("swept", ["meta_step_size", "initial_step_size", "tau"])
def test_a_run_alone_equals_itself_in_a_sweep(swept):
    """Also where the hyperparameters have an axis of their own and share the inputs of their run: (R, K, n)."""
    inputs, targets = examples(60, (3, 7))
    values = np.array([[0.3], [0.03]])  # (K, 1)
    together = Autostep(device(np.zeros((3, 2, 7))), **{swept: device(values)})
    errors = learn(together, inputs[:, :, None], targets[..., None])  # (T, R, K)
    for run in range(3):
        for place in range(2):
            alone = Autostep(device(np.zeros((1, 7))), **{swept: device(values[place : place + 1])})
            found = learn(alone, inputs[:, run : run + 1], targets[:, run : run + 1])
            assert_array_equal(found[:, 0], errors[:, run, place])
            assert_array_equal(host(alone.step_sizes)[0], host(together.step_sizes)[run, place])
