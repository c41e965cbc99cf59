"""MetaOptimize: the paper's small case by hand, its relatives that are known, rules and blocks, and a known optimum.

Sharifnassab, Salehkaleybar and Sutton (2025), "MetaOptimize", Algorithms 2 and 3; line numbers are those of
minilop/optimizers/metaoptimize.py.
"""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop.backend import xp
from minilop.learner import Learner
from minilop.losses import half_squared_error
from minilop.optimizers import IDBD, SGD, Adam, MetaOptimize
from minilop.plasticity.units import reset_optimizer_state
from minilop.recipes import convnet, mlp
from problems.tracking import Settings, SignStream


def examples(length, num_inputs, num_runs=2):
    """Inputs (T, R, n) and targets (T, R) of a linear target that drifts."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(length, num_runs, num_inputs))
    weights = np.cumsum(0.1 * random.normal(size=inputs.shape), axis=0)
    return inputs, (weights * inputs).sum(axis=-1)


def follow(optimizer, weights, inputs, targets, hessian=""):
    """Linear prediction with the loss delta^2 / 2; the squared errors (T, R). hessian: "", "full" or "diagonal"."""
    errors = []
    for x, y in zip(device(inputs), device(targets)):
        error = y[:, None] - (weights * x).sum(axis=-1, keepdims=True)
        errors.append(host(error)[:, 0])
        product = None
        if hessian:
            traces = optimizer.state["traces"]
            product = x * (x * traces).sum(axis=-1, keepdims=True) if hessian == "full" else x * x * traces
            optimizer.step(weights, -error * x, product)
        else:
            optimizer.step(weights, -error * x)
    return np.square(errors)


# --- SGD as base and as meta update: Algorithm 2, L form --------------------------------------------------------------


@pytest.mark.quick
@on_both_array_modules
def test_two_steps_by_hand():
    """One weight, alpha_0 = 0.1, eta = 0.5, gamma = 0.9; x = 2 and y = 1, twice."""
    weights = device([[0.0]])
    optimizer = MetaOptimize(0.1, 0.5, "sgd", "sgd", trace_decay=0.9).bind(weights)
    optimizer.step(weights, device([[-2.0]]), device([[4.0 * 0]]))  # g = - delta x = - 1 * 2, Hess H = x^2 H = 0
    assert host(weights)[0, 0] == pytest.approx(0.1 * 2)
    assert host(optimizer.state["traces"])[0, 0] == pytest.approx(0.1 * 2)
    assert host(optimizer.state["log_step_sizes"])[0, 0] == 0  # no trace yet
    gradient, product = -(1 - 0.4) * 2, 4 * 0.2
    optimizer.step(weights, device([[gradient]]), device([[product]]))
    assert host(weights)[0, 0] == pytest.approx(0.2 - 0.1 * gradient)  # still with the alpha from before
    assert host(optimizer.state["traces"])[0, 0] == pytest.approx(0.9 * (0.2 - 0.1 * product) - 0.1 * gradient)
    assert host(optimizer.present_step_sizes)[0, 0] == pytest.approx(
        0.1 * math.exp(-0.5 * 0.2 * gradient)
    )  # agreement: it grows


@pytest.mark.quick
@pytest.mark.parametrize("hessian", ["", "full"])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_it_is_the_small_case_of_the_paper_line_by_line(gamma, hessian):
    """All right-hand sides are old values: w' = w - alpha g; H' = gamma (H - alpha Hess H) - alpha g; beta' = beta - eta H g.

    Without the Hessian it is the same with Hess = 0.
    """
    inputs, targets = examples(200, 4)
    weights = device(np.zeros((2, 4)))
    optimizer = MetaOptimize(0.02, 0.003, "sgd", "sgd", trace_decay=gamma).bind(weights)
    follow(optimizer, weights, inputs, targets, hessian)
    for run in range(2):
        w, h, beta = np.zeros(4), np.zeros(4), math.log(0.02)
        for x, y in zip(inputs[:, run], targets[:, run]):
            alpha, gradient = math.exp(beta), -(y - w @ x) * x
            product = x * (x @ h) if hessian else 0
            w, h, beta = (
                w - alpha * gradient,
                gamma * (h - alpha * product) - alpha * gradient,
                beta - 0.003 * h @ gradient,
            )
        assert_allclose(host(weights)[run], w, rtol=0, atol=1e-12)
        assert host(optimizer.present_step_sizes)[run, 0] == pytest.approx(math.exp(beta), rel=1e-12)


@pytest.mark.quick
def test_with_a_step_size_a_weight_and_the_diagonal_of_the_hessian_it_is_idbd():
    """Section 4 of the paper; IDBD uses the new alpha, so `meta_first`. Nowhere does alpha x^2 exceed 1."""
    inputs, targets = examples(300, 5)
    weights = device(np.zeros((2, 5)))
    optimizer = MetaOptimize(0.02, 0.002, "sgd", "sgd", "weight", order="meta_first").bind(weights)
    errors = follow(optimizer, weights, inputs, targets, "diagonal")
    linear = IDBD(device(np.zeros((2, 5))), 0.002, 0.02)
    expected = [host(linear.step(x, y)) ** 2 for x, y in zip(device(inputs), device(targets))]
    assert host(linear.step_sizes).max() * (inputs**2).max() < 1
    assert_allclose(errors, expected, rtol=0, atol=1e-12)
    assert_allclose(host(optimizer.present_step_sizes), host(linear.step_sizes), rtol=1e-12)


@pytest.mark.quick
def test_with_no_trace_decay_it_is_hypergradient_descent():
    """gamma = 0: beta grows by eta alpha times the product of this gradient with the last."""
    weights = device([[0.0, 0.0]])
    optimizer = MetaOptimize(0.1, 0.5, "sgd", "sgd", trace_decay=0.0).bind(weights)
    gradients = [[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]
    beta, alpha_before, before = 0.0, 0.0, np.zeros(2)
    for gradient in np.array(gradients):
        alpha = 0.1 * math.exp(beta)
        optimizer.step(weights, device([gradient]))
        beta += 0.5 * alpha_before * gradient @ before
        alpha_before, before = alpha, gradient
        assert host(optimizer.state["log_step_sizes"])[0, 0] == pytest.approx(beta)


def test_one_step_size_finds_the_best_of_lms():
    """The task of Sutton (1992), best at 0.035 with an error of 3.35: with the full Hessian, from below, 10 runs."""
    length = 60_000
    inputs, targets = SignStream(Settings(), np.arange(100, 110), "float64").examples(0, length)
    weights = device(np.zeros((10, 20)))
    optimizer = MetaOptimize(0.005, 0.001, "sgd", "sgd").bind(weights)
    errors = follow(optimizer, weights, host(inputs)[:, :, 0], host(targets)[..., 0], "full")
    assert host(optimizer.present_step_sizes).mean() == pytest.approx(0.034, abs=0.004)
    assert errors[length // 2 :].mean() == pytest.approx(3.335, abs=0.05)


# --- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_a_meta_step_size_of_zero_is_the_base_rule(base):
    """To the bit for SGD; Adam orders its operations in another way."""
    gradients = np.random.default_rng(0).normal(size=(30, 2, 6))
    found, expected = device(np.zeros((2, 6))), device(np.zeros((2, 6)))
    optimizer = MetaOptimize(0.01, 0.0, base, "sgd").bind(found)
    known = (SGD(0.01) if base == "sgd" else Adam(0.01)).bind(expected)
    for gradient in gradients:
        optimizer.step(found, device(gradient))
        known.step(expected, device(gradient))
    assert_allclose(host(found), host(expected), rtol=0 if base == "sgd" else 1e-13)


@on_both_array_modules
def test_momentum_and_lion_by_hand():
    """m <- 0.9 m + 0.1 g, d = m; and d = sign(0.9 m + 0.1 g), then m <- 0.99 m + 0.01 g."""
    moved = {}
    for base in ("momentum", "lion"):
        weights = device([[0.0]])
        optimizer = MetaOptimize(0.5, 0.0, base, "sgd").bind(weights)
        moved[base] = []
        for gradient in (2.0, -0.1, -3.0):
            optimizer.step(weights, device([[gradient]]))
            moved[base].append(host(weights)[0, 0].item())
    first, second = 0.1 * 2, 0.9 * 0.1 * 2 - 0.1 * 0.1
    third = 0.9 * second - 0.1 * 3
    assert moved["momentum"] == pytest.approx(-0.5 * np.cumsum([first, second, third]))
    # 0.1 * 2 > 0; 0.9 * 0.02 - 0.1 * 0.1 > 0 though the gradient is not; 0.9 * 0.0188 - 0.1 * 3 < 0
    assert moved["lion"] == pytest.approx([-0.5, -1.0, -0.5])


@pytest.mark.parametrize("meta", ["sgd", "momentum", "adam", "lion"])
def test_the_meta_rule_is_the_same_rule_one_level_up(meta):
    """beta <- beta - eta D(z); the sequence of z is made by gradients and traces, so it is fed by hand."""
    optimizer = MetaOptimize(0.1, 0.01, "sgd", meta).bind(device([[0.0]]))
    weights = device([[0.0]])
    as_base = MetaOptimize(0.01, 0.0, meta, "sgd").bind(weights)
    for z in (0.5, -2.0, 0.1, 7.0):
        optimizer.adapt(device([[z]]))
        as_base.step(weights, device([[z]]))
        assert host(optimizer.state["log_step_sizes"])[0, 0] == pytest.approx(host(weights)[0, 0])


@on_both_array_modules
def test_meta_lion_and_the_first_step_of_meta_adam_move_the_logarithm_by_the_meta_step_size():
    """So 0.001 is a factor e in 1,000 steps, whatever the problem."""
    for meta in ("lion", "adam"):
        weights = device([[1.0]])
        optimizer = MetaOptimize(0.1, 0.001, "sgd", meta).bind(weights)
        optimizer.state["traces"][...] = 3.0
        optimizer.step(weights, device([[200.0]]))
        assert host(optimizer.state["log_step_sizes"])[0, 0] == pytest.approx(-0.001)


def test_weight_decay_is_decoupled_from_the_rule_and_shortens_the_trace():
    """change = - alpha (d + kappa w); h <- gamma (1 - kappa alpha) h + change."""
    weights = device([[2.0]])
    optimizer = MetaOptimize(0.1, 0.0, "lion", "sgd", trace_decay=0.5, weight_decay=0.3).bind(weights)
    optimizer.state["traces"][...] = 1.0
    optimizer.step(weights, device([[-7.0]]))
    change = -0.1 * (-1 + 0.3 * 2)
    assert host(weights)[0, 0] == pytest.approx(2 + change)
    assert host(optimizer.state["traces"])[0, 0] == pytest.approx(0.5 * (1 - 0.3 * 0.1) * 1 + change)


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_each_block_has_the_step_size_that_it_would_have_alone():
    """z is a sum over the block. One block is the scalar form, blocks of one weight are one step size a weight."""
    gradients = np.random.default_rng(0).normal(size=(40, 2, 7))

    def learned(columns, step_sizes, layer_sizes=()):
        weights = device(np.zeros((2, columns.stop - columns.start)))
        optimizer = MetaOptimize(0.05, 0.01, "adam", "adam", step_sizes, trace_decay=0.95).bind(weights, layer_sizes)
        for gradient in gradients[..., columns]:
            optimizer.step(weights, device(gradient))
        return host(weights)

    together = learned(slice(0, 7), "layer", [3, 4])
    assert_array_equal(together[:, :3], learned(slice(0, 3), "scalar"))
    assert_array_equal(together[:, 3:], learned(slice(3, 7), "scalar"))
    assert_array_equal(learned(slice(0, 7), "layer", [1] * 7), learned(slice(0, 7), "weight"))
    assert_array_equal(learned(slice(0, 7), "layer", [7]), learned(slice(0, 7), "scalar"))


@on_both_array_modules
@pytest.mark.parametrize(("step_sizes", "shape"), [("scalar", (2, 1)), ("layer", (2, 2)), ("weight", (2, 26))])
def test_in_a_network_a_block_is_a_layer_with_parameters(step_sizes, shape):
    optimizer = MetaOptimize(0.01, 0.001, base="sgd", step_sizes=step_sizes)
    learner = Learner(mlp((3, 5, 1), "relu", [0, 1], "float64"), half_squared_error, optimizer)
    random = np.random.default_rng(0)
    for _ in range(3):
        learner.step(device(random.normal(size=(2, 3, 4))), device(np.ones((2, 1, 4))))
    assert learner.optimizer.state["log_step_sizes"].shape == shape
    alpha = np.broadcast_to(host(learner.optimizer.present_step_sizes), (2, 26))
    if step_sizes == "layer":
        assert len(set(alpha[0, :20])) == len(set(alpha[0, 20:])) == 1 and alpha[0, 0] != alpha[0, 25]


def test_a_lone_bias_and_a_normalization_are_blocks_of_their_own():
    for batch_norm in (False, True):
        network = convnet([0], "float32", image_size=6, kernels=((2, 3),), dense_units=(), batch_norm=batch_norm)
        learner = Learner(network, half_squared_error, MetaOptimize(step_sizes="layer"))
        assert learner.optimizer.state["log_step_sizes"].shape == (1, 3)  # convolution, the other one, dense


def test_a_replaced_unit_starts_afresh_and_what_its_layer_shares_stays():
    """Zero state of a weight is a fresh one, its step size included; the layer's belongs to the other units too."""
    for step_sizes in ("layer", "weight"):
        network = mlp((3, 5, 1), "relu", [0, 1], "float64")
        optimizer = MetaOptimize(0.01, step_sizes=step_sizes).bind(network.parameters, network.layer_sizes)
        for array in optimizer.state.values():
            array += 1
        reset_optimizer_state(optimizer, network, network.hidden[0], xp.asarray([1]), xp.asarray([2]))
        traces = host(network.views(optimizer.state["traces"])[0]["weight"])
        assert traces[1, 2].tolist() == [0, 0, 0] and traces.sum() == 30 - 3
        alpha = np.broadcast_to(host(optimizer.present_step_sizes), (2, 26))
        changed = abs(alpha - 0.01 * math.e) > 1e-12
        assert changed.sum() == (0 if step_sizes == "layer" else 3 + 1 + 1)
        assert alpha[changed] == pytest.approx(0.01)


def test_layers_that_are_not_all_the_parameters_are_refused():
    with pytest.raises(ValueError, match="layer_sizes must sum to the 6 parameters, not to 5"):
        MetaOptimize(0.1, step_sizes="layer").bind(device(np.zeros((1, 6))), [2, 3])


@on_both_array_modules
def test_each_run_may_have_hyperparameters_of_its_own():
    """Arrays (R, 1) in any precision; each run equals itself with these numbers alone, in the precision of its weights."""
    gradients = np.random.default_rng(0).normal(size=(20, 2, 5)).astype("float32")
    own = {
        "step_size": (0.1, 0.01),
        "meta_step_size": (0.01, 0.001),
        "trace_decay": (1.0, 0.9),
        "weight_decay": (0, 0.5),
    }

    def learned(runs, **hyperparameters):
        weights = device(np.ones((len(gradients[0, runs]), 5)), "float32")
        optimizer = MetaOptimize(**hyperparameters).bind(weights)
        for gradient in gradients[:, runs]:
            optimizer.step(weights, device(gradient))
        assert weights.dtype == optimizer.present_step_sizes.dtype == np.float32
        return host(weights)

    together = learned(slice(0, 2), **{name: device(values)[:, None] for name, values in own.items()})
    for run in range(2):
        alone = learned(slice(run, run + 1), **{name: values[run] for name, values in own.items()})
        assert_allclose(together[run], alone[0], rtol=1e-5)  # float32
