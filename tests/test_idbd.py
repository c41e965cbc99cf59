"""LMS and IDBD: two examples by hand, the rule as a loop over weights, and what follows from it.

Sutton (1992), "Adapting bias by gradient descent: an incremental version of delta-bar-delta".
"""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.optimizers import IDBD, LMS

pytestmark = pytest.mark.quick


def examples(num_examples, shape, seed=0):
    """Inputs (T, ..., n) and targets (T, ...) of a linear target whose weights change sign halfway, and noise."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(num_examples, *shape))
    signs = np.where(np.arange(num_examples) < num_examples // 2, 1.0, -1.0).reshape(-1, *[1] * (len(shape) - 1))
    return inputs, signs * inputs[..., : shape[-1] // 2].sum(axis=-1) + random.normal(size=inputs.shape[:-1]) / 10


def learn(learner, inputs, targets):
    """The errors (T, ...) of the learner's predictions, each made before it learns from the example."""
    return np.stack([host(learner.step(device(x), device(y))) for x, y in zip(inputs, targets)])


def slow_idbd(inputs, targets, meta_step_size, initial_step_size):
    """IDBD of one run, weight by weight, in the order of the paper's lines: errors, weights and step sizes."""
    n = len(inputs[0])
    w, beta, h = [0.0] * n, [math.log(initial_step_size)] * n, [0.0] * n
    errors = []
    for x, y in zip(inputs.tolist(), targets.tolist()):
        delta = y - sum(w[i] * x[i] for i in range(n))
        errors.append(delta)
        for i in range(n):
            beta[i] += meta_step_size * delta * x[i] * h[i]
            alpha = math.exp(beta[i])
            w[i] += alpha * delta * x[i]
            h[i] = h[i] * max(1 - alpha * x[i] ** 2, 0) + alpha * delta * x[i]
    return errors, w, [math.exp(b) for b in beta]


# --- by hand ----------------------------------------------------------------------------------------------------------


@on_both_array_modules
def test_two_examples_of_lms_by_hand():
    learner = LMS(device([[1.0, 0.0]]), step_size=0.1)
    assert host(learner.step(device([[2.0, 1.0]]), device([3.0]))) == pytest.approx(3 - 1 * 2)
    first = [1 + 0.1 * 1 * 2, 0 + 0.1 * 1 * 1]
    assert host(learner.weights)[0] == pytest.approx(first)
    error = 0 - (first[0] * 1 + first[1] * -1)
    assert host(learner.step(device([[1.0, -1.0]]), device([0.0]))) == pytest.approx(error)
    assert host(learner.weights)[0] == pytest.approx([first[0] + 0.1 * error, first[1] - 0.1 * error])


@on_both_array_modules
def test_two_examples_of_idbd_by_hand():
    """The first finds no trace and is LMS; the second raises the step size, because it errs to the same side."""
    learner = IDBD(device([[0.0]]), meta_step_size=0.5, initial_step_size=0.1)
    assert host(learner.step(device([[2.0]]), device([1.0]))) == pytest.approx([1.0])
    assert host(learner.step_sizes) == pytest.approx(0.1)
    assert host(learner.weights) == pytest.approx(0.1 * 1 * 2)
    assert host(learner.state["traces"]) == pytest.approx(0.1 * 1 * 2)
    error = 1 - 0.2 * 1
    assert host(learner.step(device([[1.0]]), device([1.0]))) == pytest.approx([error])
    step_size = 0.1 * math.exp(0.5 * error * 1 * 0.2)  # with the trace from before
    assert host(learner.step_sizes) == pytest.approx(step_size)
    assert host(learner.weights) == pytest.approx(0.2 + step_size * error * 1)  # with the step size from after
    assert host(learner.state["traces"]) == pytest.approx(0.2 * (1 - step_size * 1) + step_size * error * 1)


def test_a_trace_is_forgotten_where_its_factor_would_be_negative():
    """[1 - alpha x^2]+: with alpha = 0.5 and x = 2 it is 1 - 2 < 0, so 0."""
    learner = IDBD(device([[0.0]]), meta_step_size=0.0, initial_step_size=0.5)
    learner.state["traces"][...] = 7.0
    learner.step(device([[2.0]]), device([1.0]))
    assert host(learner.state["traces"]) == pytest.approx(0.5 * 1 * 2)


# --- the definition ---------------------------------------------------------------------------------------------------


def test_idbd_is_the_rule_applied_weight_by_weight():
    inputs, targets = examples(400, (3, 6))
    learner = IDBD(device(np.zeros((3, 6))), 0.02, 0.05)
    errors = learn(learner, inputs, targets)
    for run in range(3):
        expected = slow_idbd(inputs[:, run], targets[:, run], 0.02, 0.05)
        # Rounding of 1e-16 in 400 steps of sums of 6 numbers, none much above 1.
        assert_allclose(errors[:, run], expected[0], rtol=0, atol=1e-12)
        assert_allclose(host(learner.weights)[run], expected[1], rtol=0, atol=1e-12)
        assert_allclose(host(learner.step_sizes)[run], expected[2], rtol=1e-12)
    step_sizes = host(learner.step_sizes)
    assert step_sizes[:, :3].mean() > 1.2 * step_sizes[:, 3:].mean()  # it has learned something, too


def test_the_trace_is_the_derivative_of_the_weight_by_its_log_step_size():
    """With one weight nothing is neglected: w after some examples, differentiated by beta, is h."""
    inputs, targets = examples(30, (1, 1))

    def weight(beta):
        learner = LMS(device([[0.0]]), math.exp(beta))
        learn(learner, inputs, targets)
        return host(learner.weights)[0, 0]

    learner = IDBD(device([[0.0]]), 0.0, 0.05)
    learn(learner, inputs, targets)
    beta = math.log(0.05)
    # Central difference: its error is about 1e-10 by the step's square and by rounding.
    slope = (weight(beta + 1e-5) - weight(beta - 1e-5)) / 2e-5
    assert host(learner.state["traces"])[0, 0] == pytest.approx(slope, rel=1e-7)


# --- what follows -----------------------------------------------------------------------------------------------------


def test_a_meta_step_size_of_zero_is_lms_to_the_bit():
    inputs, targets = examples(50, (2, 5))
    idbd = IDBD(device(np.zeros((2, 5))), 0.0, 0.05)
    lms = LMS(device(np.zeros((2, 5))), idbd.step_sizes)  # exp(ln 0.05), which is 0.05 but for rounding
    assert_array_equal(learn(idbd, inputs, targets), learn(lms, inputs, targets))
    assert_array_equal(host(idbd.weights), host(lms.weights))


def test_mirrored_targets_give_the_same_step_sizes():
    inputs, targets = examples(100, (2, 5))
    learner, mirror = (IDBD(device(np.zeros((2, 5))), 0.02) for _ in range(2))
    assert_array_equal(learn(learner, inputs, targets), -learn(mirror, inputs, -targets))
    assert_array_equal(host(learner.step_sizes), host(mirror.step_sizes))
    assert_array_equal(host(learner.weights), -host(mirror.weights))


def test_the_best_meta_step_size_goes_with_the_square_of_the_targets_scale():
    """Targets times 4 and theta / 16 is the same learning: powers of two, so to the bit."""
    inputs, targets = examples(100, (2, 5))
    learner, large = (IDBD(device(np.zeros((2, 5))), theta) for theta in (0.02, 0.02 / 16))
    assert_array_equal(4 * learn(learner, inputs, targets), learn(large, inputs, 4 * targets))
    assert_array_equal(host(learner.step_sizes), host(large.step_sizes))


@pytest.mark.parametrize("kind, swept", [(LMS, "step_size"), (IDBD, "meta_step_size"), (IDBD, "initial_step_size")])
def test_a_run_alone_equals_itself_in_a_sweep(kind, swept):
    """Also where the hyperparameters have an axis of their own and share the inputs of their run: (R, K, n)."""
    inputs, targets = examples(60, (3, 7))
    values = np.array([[0.01], [0.03]])  # (K, 1)
    fixed = {} if kind is LMS or swept == "meta_step_size" else {"meta_step_size": 0.01}
    together = kind(device(np.zeros((3, 2, 7))), **{swept: device(values)}, **fixed)
    errors = learn(together, inputs[:, :, None], targets[..., None])  # (T, R, K)
    for run in range(3):
        for place in range(2):
            alone = kind(device(np.zeros((1, 7))), **{swept: device(values[place : place + 1])}, **fixed)
            found = learn(alone, inputs[:, run : run + 1], targets[:, run : run + 1])
            assert_array_equal(found[:, 0], errors[:, run, place])
            assert_array_equal(host(alone.weights)[0], host(together.weights)[run, place])


def test_the_same_lines_learn_without_the_axis_of_runs():
    inputs, targets = examples(60, (1, 4))
    one, many = IDBD(device(np.zeros(4)), 0.01), IDBD(device(np.zeros((1, 4))), 0.01)
    assert_array_equal(learn(one, inputs[:, 0], targets[:, 0]), learn(many, inputs, targets)[:, 0])


def test_hyperparameters_of_double_precision_leave_single_precision_as_it_is():
    weights = device(np.zeros((2, 3)), "float32")
    learner = IDBD(weights, device([[0.1], [0.2]]), np.float64(0.05))
    error = learner.step(device(np.ones((2, 3)), "float32"), device([1.0, 2.0], "float32"))
    assert error.dtype == weights.dtype == learner.step_sizes.dtype == np.float32
    assert learner.weights is weights and host(weights).all()  # changed in place


def test_a_meta_step_size_that_is_too_large_spoils_its_own_run_alone():
    """theta = 10 overflows; its neighbour with 0.01 does not notice, to the bit."""
    inputs, targets = examples(300, (2, 5))
    learner = IDBD(device(np.zeros((2, 5))), device([[0.01], [10.0]]))
    alone = IDBD(device(np.zeros((1, 5))), 0.01)
    with np.errstate(all="ignore"):
        errors = learn(learner, inputs, targets)
    assert not np.isfinite(errors[-1, 1])
    assert_array_equal(errors[:, 0], learn(alone, inputs[:, :1], targets[:, :1])[:, 0])
