"""Temporal-difference learning: steps by hand, each method as a loop over features, and what the methods have in common.

True online TD(lambda) against the online lambda-return algorithm, van Seijen et al. (2016); TIDBD, Kearney et al. (2018);
SwiftTD, Javed, Sharifnassab and Sutton (2024).
"""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from numpy.testing import assert_allclose, assert_array_equal

from minilop import state as states
from minilop.optimizers import IDBD
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda

pytestmark = pytest.mark.quick

GAMMA, LAMBDA = 0.9, 0.8


def stream(num_steps, shape, seed=0):
    """Features (T, ..., n), some of them 0, and cumulants (T, ...) that follow the features of three steps before."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(num_steps, *shape)) * (random.random((num_steps, *shape)) < 0.6)
    cumulants = random.normal(size=(num_steps, *shape[:-1])) / 10
    cumulants[3:] += features[:-3, ..., 0] - features[:-3, ..., 1]
    return features, cumulants


def predict(method, features, cumulants):
    """The values (T, ...) of a stream's features, each from before learning from the step."""
    return np.stack([host(method.step(device(x), device(r))) for x, r in zip(features, cumulants)])


def zeros(*shape):
    return device(np.zeros(shape))


# --- by hand: one feature that is always 1 ----------------------------------------------------------------------------


def by_hand(method, cumulants):
    """The weight after each step."""
    weights = []
    for cumulant in cumulants:
        method.step(device([[1.0]]), device([cumulant]))
        weights.append(host(method.weights)[0, 0].item())
    return weights


@on_both_array_modules
def test_td_lambda_by_hand():
    """The first step has nothing behind it. z = 1, then gamma lambda + 1."""
    found = by_hand(TDLambda(zeros(1, 1), 0.1, GAMMA, LAMBDA), [5.0, 1.0, 2.0])
    first = 0.1 * (1 + 0.9 * 0 - 0) * 1
    assert found == pytest.approx([0, first, first + 0.1 * (2 + 0.9 * first - first) * (0.72 + 1)])


@on_both_array_modules
def test_true_online_td_lambda_by_hand():
    """v_old is the value of the second step's features by the weights that it found, 0, and v that by the later ones."""
    found = by_hand(TrueOnlineTDLambda(zeros(1, 1), 0.1, GAMMA, LAMBDA), [5.0, 1.0, 2.0])
    first = 0.1 * 1
    trace = 0.72 * 1 + (1 - 0.1 * 0.72 * 1)
    delta = 2 + 0.9 * first - first
    assert found == pytest.approx([0, first, first + 0.1 * (delta + first - 0) * trace - 0.1 * (first - 0)])


@on_both_array_modules
def test_tidbd_by_hand():
    method = TIDBD(zeros(1, 1), GAMMA, LAMBDA, meta_step_size=0.5, initial_step_size=0.1)
    assert by_hand(method, [5.0, 1.0]) == pytest.approx([0, 0.1])
    assert host(method.state["memory"]) == pytest.approx(0.1 * 1)  # it was 0
    delta = 2 + 0.9 * 0.1 - 0.1
    step_size = 0.1 * math.exp(0.5 * delta * 1 * 0.1)
    assert by_hand(method, [2.0]) == pytest.approx([0.1 + step_size * delta * 1.72])
    assert host(method.step_sizes) == pytest.approx(step_size)
    assert host(method.state["memory"]) == pytest.approx(0.1 * (1 - step_size * 1.72) + step_size * delta * 1.72)


@on_both_array_modules
def test_swift_td_by_hand():
    """Step 1 makes a trace, step 2 moves the weight, step 3 makes the first trace of the meta-gradient, step 4 uses it."""
    method = SwiftTD(zeros(1, 1), GAMMA, LAMBDA, meta_step_size=0.01, initial_step_size=0.1, step_bound=10.0)
    assert by_hand(method, [5.0, 1.0]) == pytest.approx([0, 0.1])
    assert host(method.state["h"]) == pytest.approx(0.1 * 1)  # d zbar
    z = 0.72 * 0.1 + 0.1 * (1 - 0.72 * 0.1)  # at the end of step 2
    zbar = 0.72 * 0.1 + 0.1 * (1 - 0.72 * 0.1 - 0.72 * 0.1)
    h_next = 0.1 - 0 - 0.1 * 0.1
    assert host(method.state["h_next"]) == pytest.approx(h_next)
    delta = 2 + 0.9 * 0.1 - 0  # v_old is the value that step 2 found
    third = 0.1 + delta * z - 0.1 * 0.1
    assert by_hand(method, [2.0]) == pytest.approx([third])
    assert host(method.state["h"]) == pytest.approx(h_next + delta * zbar - 0.1 * 0.1)
    assert host(method.state["meta_traces"]) == pytest.approx(0.1)  # the h of step 2
    assert host(method.step_sizes) == pytest.approx(0.1)
    by_hand(method, [3.0])
    value_change = delta * z - 0.1 * 0.1
    delta = 3 + 0.9 * third - 0.1
    assert host(method.step_sizes) == pytest.approx(0.1 * math.exp(0.01 / 0.1 * (delta - value_change) * 0.1))


@on_both_array_modules
def test_the_bound_of_swift_td_limits_the_trace_and_shrinks_the_step_sizes():
    """sum alpha phi^2 = 0.2 * (1 + 4) = 1 with a bound of 0.5: half the addition, and epsilon^(phi^2) for the future."""
    method = SwiftTD(zeros(1, 3), GAMMA, LAMBDA, 0.01, 0.2, step_bound=0.5, step_decay=0.9)
    method.step(device([[1.0, 2.0, 0.0]]), device([0.0]))
    assert host(method.state["additions"])[0] == pytest.approx([0.5 * 0.2 * 1, 0.5 * 0.2 * 2, 0])
    assert host(method.step_sizes)[0] == pytest.approx([0.2 * 0.9, 0.2 * 0.9**4, 0.2])
    assert not any(host(method.state[name]).any() for name in ("h", "h_old", "h_next", "sensitivity_traces"))


def test_the_step_sizes_of_swift_td_stay_between_their_limits():
    features, cumulants = stream(300, (2, 6))
    method = SwiftTD(zeros(2, 6), GAMMA, LAMBDA, 10.0, 0.01, step_bound=0.3, smallest_step_size=1e-3)
    smallest, largest = 1.0, 0.0
    for x, r in zip(features, cumulants):
        method.step(device(x), device(r))
        step_sizes = host(method.step_sizes)
        smallest, largest = min(smallest, step_sizes.min()), max(largest, step_sizes.max())
    assert largest == pytest.approx(0.3)
    assert smallest == pytest.approx(1e-3)


# --- definitions ------------------------------------------------------------------------------------------------------


def per_step(value, features):
    """A discount or trace decay, one number or one a step, as a list with one a step."""
    return np.broadcast_to(value, len(features)).tolist()


def online_lambda_return(features, cumulants, step_size, gamma, lambda_):
    """The values that the online lambda-return algorithm finds; at every step it learns all of the past anew.

    gamma and lambda_ are numbers or one a step, of the transition into its features. The lambda-return is

        G_t  =  r_(t+1) + gamma_(t+1) ( (1 - lambda_(t+1)) v_(t+1) + lambda_(t+1) G_(t+1) )

    and at the horizon G is v.
    """
    gamma, lambda_ = per_step(gamma, features), per_step(lambda_, features)
    n = features.shape[-1]
    weights, values = np.zeros(n), []  # values[t] of features t, by the weights of then
    for horizon in range(len(features)):
        values.append(weights @ features[horizon])
        targets, target = {}, values[horizon]
        for t in reversed(range(horizon)):
            mixed = (1 - lambda_[t + 1]) * values[t + 1] + lambda_[t + 1] * target
            targets[t] = target = cumulants[t + 1] + gamma[t + 1] * mixed
        weights = np.zeros(n)
        for t in range(horizon):
            weights = weights + step_size * (targets[t] - weights @ features[t]) * features[t]
    return np.array(values), weights


@pytest.mark.parametrize("step_size", [0.01, 0.2])
def test_true_online_td_lambda_is_the_online_lambda_return_algorithm(step_size):
    features, cumulants = stream(40, (1, 5))
    method = TrueOnlineTDLambda(zeros(1, 5), step_size, GAMMA, LAMBDA)
    values = predict(method, features, cumulants)[:, 0]
    expected, weights = online_lambda_return(features[:, 0], cumulants[:, 0], step_size, GAMMA, LAMBDA)
    assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert_allclose(host(method.weights)[0], weights, rtol=0, atol=1e-12)


def slow_true_online(features, cumulants, step_size, gamma, lambda_):
    n = len(features[0])
    w, z, v_old, x, decay = [0.0] * n, [0.0] * n, 0.0, [0.0] * n, 0.0
    values = []
    stream = zip(features.tolist(), cumulants.tolist(), per_step(gamma, features), per_step(lambda_, features))
    for x_next, r, gamma_next, lambda_next in stream:
        v = sum(w[i] * x[i] for i in range(n))
        v_next = sum(w[i] * x_next[i] for i in range(n))
        delta = r + gamma_next * v_next - v
        overlap = sum(z[i] * x[i] for i in range(n))
        for i in range(n):
            z[i] = decay * z[i] + (1 - step_size * decay * overlap) * x[i]
            w[i] += step_size * (delta + v - v_old) * z[i] - step_size * (v - v_old) * x[i]
        v_old, x, decay = v_next, x_next, gamma_next * lambda_next
        values.append(v_next)
    return values


def slow_tidbd(features, cumulants, gamma, lambda_, theta, alpha_0, gradient, tau):
    """tau None: plain. Returns values and step sizes."""
    n = len(features[0])
    w, z, h, v, x = ([0.0] * n for _ in range(5))
    beta = [math.log(alpha_0)] * n
    values, decay = [], 0.0
    stream = zip(features.tolist(), cumulants.tolist(), per_step(gamma, features), per_step(lambda_, features))
    for x_next, r, gamma_next, lambda_next in stream:
        values.append(sum(w[i] * x_next[i] for i in range(n)))
        delta = r + gamma_next * values[-1] - sum(w[i] * x[i] for i in range(n))
        u = [x[i] - (gamma_next * x_next[i] if gradient == "ordinary" else 0) for i in range(n)]
        z = [decay * z[i] + x[i] for i in range(n)]
        for i in range(n):
            m = delta * u[i] * h[i]
            if tau is None:
                beta[i] += theta * m
                continue
            v[i] = max(abs(m), v[i] + math.exp(beta[i]) * u[i] * z[i] / tau * (abs(m) - v[i]))
            if v[i] != 0:
                beta[i] += theta * m / v[i]
        if tau is not None:
            overshoot = max(sum(math.exp(beta[i]) * u[i] * z[i] for i in range(n)), 1)
            beta = [b - math.log(overshoot) for b in beta]
        for i in range(n):
            alpha = math.exp(beta[i])
            w[i] += alpha * delta * z[i]
            h[i] = h[i] * max(1 - alpha * u[i] * z[i], 0) + alpha * delta * z[i]
        x, decay = x_next, gamma_next * lambda_next
    return values, [math.exp(b) for b in beta]


def slow_swift_td(features, cumulants, gamma, lambda_, theta, alpha_0, eta, epsilon, eta_min):
    n = len(features[0])
    w, z, zd, h, h_old, h_tmp, zbar, p, dw = ([0.0] * n for _ in range(9))
    beta = [math.log(alpha_0)] * n
    v_old = v_delta = 0.0
    values = []
    stream = zip(features.tolist(), cumulants.tolist(), per_step(gamma, features), per_step(lambda_, features))
    for phi, r, gamma_now, lambda_now in stream:
        v = sum(w[i] * phi[i] for i in range(n))
        d = r + gamma_now * v - v_old
        for i in range(n):
            dw[i] = d * z[i] - zd[i] * v_delta
            w[i] += dw[i]
            beta[i] += theta / math.exp(beta[i]) * (d - v_delta) * p[i]
            beta[i] = min(max(beta[i], math.log(eta_min)), math.log(eta))
            h_old[i] = h[i]
            h[i] = h_tmp[i] + d * zbar[i] - zd[i] * v_delta
            h_tmp[i] = h[i]
            zd[i] = 0.0
            z[i], p[i], zbar[i] = (gamma_now * lambda_now * each for each in (z[i], p[i], zbar[i]))
        tau = sum(math.exp(beta[i]) * phi[i] ** 2 for i in range(n))
        total = sum(z[i] * phi[i] for i in range(n))
        v_delta = sum(dw[i] * phi[i] for i in range(n))
        for i in range(n):
            if phi[i] == 0:
                continue
            zd[i] = min(1, eta / tau) * math.exp(beta[i]) * phi[i]
            z[i] += zd[i] * (1 - total)
            p[i] += h_old[i] * phi[i]
            zbar[i] += zd[i] * (1 - total - zbar[i] * phi[i])
            h_tmp[i] = h[i] - h_old[i] * phi[i] * (z[i] - zd[i]) - h[i] * zd[i] * phi[i]
        if tau > eta:
            for i in range(n):
                beta[i] = max(beta[i] + math.log(epsilon) * phi[i] ** 2, math.log(eta_min))
                h_tmp[i] = h[i] = h_old[i] = zbar[i] = 0.0
        v_old = v
        values.append(v)
    return values, [math.exp(b) for b in beta]


# Rounding of 1e-16 in 300 steps of sums of 6 numbers; exp and log of step sizes round differently here and there.
CLOSE = {"rtol": 0, "atol": 1e-11}


def test_true_online_td_lambda_is_its_equations_feature_by_feature():
    features, cumulants = stream(300, (3, 6))
    values = predict(TrueOnlineTDLambda(zeros(3, 6), 0.1, GAMMA, LAMBDA), features, cumulants)
    for run in range(3):
        assert_allclose(values[:, run], slow_true_online(features[:, run], cumulants[:, run], 0.1, 0.9, 0.8), **CLOSE)


@pytest.mark.parametrize("gradient", ["semi", "ordinary"])
@pytest.mark.parametrize("tau", [None, 1e4, 30.0])
def test_tidbd_is_its_equations_feature_by_feature(gradient, tau):
    features, cumulants = stream(300, (3, 6))
    method = TIDBD(zeros(3, 6), GAMMA, LAMBDA, 0.02, 0.05, gradient, tau is not None, tau or 1e4)
    values = predict(method, features, cumulants)
    for run in range(3):
        expected = slow_tidbd(features[:, run], cumulants[:, run], 0.9, 0.8, 0.02, 0.05, gradient, tau)
        assert_allclose(values[:, run], expected[0], **CLOSE)
        assert_allclose(host(method.step_sizes)[run], expected[1], rtol=1e-11)
    assert np.ptp(host(method.step_sizes)) > 0.01


@pytest.mark.parametrize("step_bound, meta_step_size", [(0.1, 0.003), (1.0, 0.003), (10.0, 3e-4)])
def test_swift_td_is_its_equations_feature_by_feature(step_bound, meta_step_size):
    features, cumulants = stream(300, (3, 6))
    features[40] = 0.0  # nothing at all
    method = SwiftTD(zeros(3, 6), GAMMA, LAMBDA, meta_step_size, 0.05, step_bound, 0.95, 1e-4)
    values = predict(method, features, cumulants)
    for run in range(3):
        expected = slow_swift_td(
            features[:, run], cumulants[:, run], 0.9, 0.8, meta_step_size, 0.05, step_bound, 0.95, 1e-4
        )
        assert_allclose(values[:, run], expected[0], **CLOSE)
        assert_allclose(host(method.step_sizes)[run], expected[1], rtol=1e-10)
    assert np.ptp(host(method.step_sizes)) > 0.001


def test_tidbd_forgets_nothing_below_zero():
    """With a step size of 2 for features of length 1, alpha x z exceeds 1 at once, and [z]+ is 0."""
    features, cumulants = stream(12, (1, 3))
    method = TIDBD(zeros(1, 3), GAMMA, LAMBDA, 0.001, 2.0)
    values = predict(method, features, cumulants)
    expected = slow_tidbd(features[:, 0], cumulants[:, 0], 0.9, 0.8, 0.001, 2.0, "semi", None)
    assert_allclose(values[:, 0], expected[0], rtol=1e-10)
    assert_allclose(host(method.step_sizes)[0], expected[1], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_large_and_rare_feature_leaves_swift_td_with_numbers(dtype):
    """It lowers its own step size to the limit and no further; else 1 / alpha would overflow, and 0 times that is NaN."""
    method = SwiftTD(device(np.zeros((1, 2)), dtype), 0.9, 0.9, step_bound=0.1)
    for step in range(60):
        method.step(device([[1.0, 1000.0 if step == 50 else 0.0]], dtype), 1.0)
    assert np.isfinite(host(method.weights)).all()
    assert host(method.step_sizes)[0, 1] == pytest.approx(math.exp(-15), rel=1e-5)


# --- relations --------------------------------------------------------------------------------------------------------


def test_swift_td_that_learns_no_step_sizes_is_true_online_td_lambda():
    """theta = 0, and a bound that is never met."""
    features, cumulants = stream(500, (2, 6))
    for step_size in (0.01, 0.1):
        swift = SwiftTD(zeros(2, 6), GAMMA, LAMBDA, 0.0, step_size, step_bound=1e6)
        true_online = TrueOnlineTDLambda(zeros(2, 6), step_size, GAMMA, LAMBDA)
        values = predict(true_online, features, cumulants)
        assert_allclose(predict(swift, features, cumulants), values, rtol=0, atol=1e-12)


def test_tidbd_that_learns_no_step_sizes_is_td_lambda():
    features, cumulants = stream(500, (2, 6))
    values = predict(TDLambda(zeros(2, 6), 0.05, GAMMA, LAMBDA), features, cumulants)
    tidbd = TIDBD(zeros(2, 6), GAMMA, LAMBDA, 0.0, 0.05)
    assert_allclose(predict(tidbd, features, cumulants), values, rtol=0, atol=1e-12)


def test_without_a_future_tidbd_is_idbd():
    """lambda = gamma = 0: the cumulant of the next step is the target."""
    features, cumulants = stream(300, (2, 6))
    tidbd, idbd = TIDBD(zeros(2, 6), 0.0, 0.0, 0.02, 0.05), IDBD(zeros(2, 6), 0.02, 0.05)
    predict(tidbd, features, cumulants)
    for x, y in zip(features[:-1], cumulants[1:]):
        idbd.step(device(x), device(y))
    assert_allclose(host(tidbd.weights), host(idbd.weights), rtol=0, atol=1e-12)
    assert_allclose(host(tidbd.step_sizes), host(idbd.step_sizes), rtol=1e-12)


def test_traces_without_lambda_are_the_same_in_all():
    """lambda = 0: accumulating and true online TD are TD(0)."""
    features, cumulants = stream(200, (2, 6))
    values = predict(TDLambda(zeros(2, 6), 0.1, GAMMA, 0.0), features, cumulants)
    assert_allclose(predict(TrueOnlineTDLambda(zeros(2, 6), 0.1, GAMMA, 0.0), features, cumulants), values, atol=1e-12)


def make(kind, weights, values):
    """The method with these values of its own parameter: a number, or (K, 1)."""
    if kind in (TDLambda, TrueOnlineTDLambda):
        return kind(weights, values, GAMMA, LAMBDA)
    if kind == "normalized":
        return TIDBD(weights, GAMMA, LAMBDA, values, 0.03, normalize=True)
    return kind(weights, GAMMA, LAMBDA, values, 0.03)


EVERY = [TDLambda, TrueOnlineTDLambda, TIDBD, "normalized", SwiftTD]


@pytest.mark.parametrize("kind", EVERY)
def test_a_run_alone_equals_itself_in_a_sweep(kind):
    """K hyperparameters share the features of their run, (R, K, n) and (R, 1, n)."""
    features, cumulants = stream(80, (3, 6))
    values = np.array([[0.001], [0.01]])
    together = predict(make(kind, zeros(3, 2, 6), device(values)), features[:, :, None], cumulants[..., None])
    for run in range(3):
        for place in range(2):
            alone = make(kind, zeros(1, 6), device(values[place : place + 1]))
            found = predict(alone, features[:, run : run + 1], cumulants[:, run : run + 1])
            assert_array_equal(found[:, 0], together[:, run, place])


@pytest.mark.parametrize("kind", EVERY)
def test_mirrored_cumulants_give_mirrored_values_and_the_same_step_sizes(kind):
    features, cumulants = stream(80, (2, 6))
    method, mirror = make(kind, zeros(2, 6), 0.01), make(kind, zeros(2, 6), 0.01)
    assert_array_equal(predict(method, features, cumulants), -predict(mirror, features, -cumulants))
    assert_array_equal(host(method.step_sizes), host(mirror.step_sizes))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("in_two_steps", [False, True])
def test_an_episode_ends(kind, in_two_steps):
    """As the module's docstring has it: then no trace and no expectation reaches from one episode into the next. It may
    also end in features of 0, with the last cumulant, before the next one begins with a discount of 0."""
    method = make(kind, device([[0.2, 0.2, 0.2]]), 0.01)
    first, second, third, nothing = device(np.eye(3))[0:1], device(np.eye(3))[1:2], device(np.eye(3))[2:3], zeros(1, 3)
    method.step(first, 0.0)
    method.step(second, 0.5)
    if in_two_steps:
        method.step(nothing, 1.0)
    method.discount = 0.0
    method.step(third, 0.0 if in_two_steps else 1.0)
    method.discount = GAMMA
    weights = host(method.weights).copy()
    assert weights[0, 1] > 0.2  # the last cumulant exceeded its value
    assert weights[0, 2] == 0.2  # the beginning taught nothing about the end
    method.step(second, 3.0)
    assert_array_equal(host(method.weights)[0, :2], weights[0, :2])  # nor does what comes later
    assert host(method.weights)[0, 2] > weights[0, 2]


# --- discounts and trace decays that change from step to step -----------------------------------------------------------


def predict_changing(method, features, cumulants, discounts, trace_decays):
    """As `predict`, with a discount and a trace decay for each step."""
    values = []
    for x, r, discount, trace_decay in zip(features, cumulants, discounts, trace_decays, strict=True):
        method.discount, method.trace_decay = float(discount), float(trace_decay)
        values.append(host(method.step(device(x), device(r))))
    return np.stack(values)


@pytest.mark.parametrize(
    "make_method",
    [
        lambda weights: TDLambda(weights, 0.1, 0.9, 1.0),
        lambda weights: TrueOnlineTDLambda(weights, 0.1, 0.9, 1.0),
        lambda weights: TIDBD(weights, 0.9, 1.0, initial_step_size=0.1),
        lambda weights: TIDBD(weights, 0.9, 1.0, initial_step_size=0.1, gradient="ordinary"),
        lambda weights: TIDBD(weights, 0.9, 1.0, initial_step_size=0.1, normalize=True),
        lambda weights: SwiftTD(weights, 0.9, 1.0, initial_step_size=0.1, step_bound=1.0),
    ],
    ids=["accumulating", "true online", "tidbd", "tidbd ordinary", "tidbd normalized", "swift_td"],
)
@on_both_array_modules
def test_a_discount_of_0_ends_an_episode_and_keeps_the_trace_that_led_to_it(make_method):
    """Two steps, reward 1 at the end: z = gamma lambda (1, 0) + (0, 1), with the discount between the two states."""
    method = make_method(zeros(1, 2))
    first, second = device([[1.0, 0.0]]), device([[0.0, 1.0]])
    method.step(first, 0.0)
    method.step(second, 0.0)
    method.discount = 0.0
    method.step(first, 1.0)  # the next episode begins
    assert host(method.weights)[0] == pytest.approx([0.1 * 0.9, 0.1])
    method.discount = 0.9
    method.step(second, 1.0)
    assert host(method.weights)[0, 1] == pytest.approx(0.1)  # the trace of the old episode has ended


def changing(num_steps=120):
    """Discounts and trace decays (T,), of which some are 0."""
    random = np.random.default_rng(7)
    discounts = random.uniform(0.5, 1.0, num_steps) * (random.random(num_steps) < 0.9)
    return discounts, random.uniform(0.2, 1.0, num_steps)


@pytest.mark.parametrize("step_size", [0.01, 0.2])
def test_true_online_td_lambda_is_the_online_lambda_return_algorithm_with_changing_discounts(step_size):
    features, cumulants = stream(40, (1, 5))
    gammas, lambdas = changing(40)
    method = TrueOnlineTDLambda(zeros(1, 5), step_size, GAMMA, LAMBDA)
    values = predict_changing(method, features, cumulants, gammas, lambdas)[:, 0]
    expected, weights = online_lambda_return(features[:, 0], cumulants[:, 0], step_size, gammas, lambdas)
    assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert_allclose(host(method.weights)[0], weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gradient", ["semi", "ordinary"])
@pytest.mark.parametrize("tau", [None, 30.0])
def test_tidbd_with_changing_discounts_is_its_equations_feature_by_feature(gradient, tau):
    features, cumulants = stream(120, (2, 6))
    gammas, lambdas = changing()
    method = TIDBD(zeros(2, 6), GAMMA, LAMBDA, 0.02, 0.05, gradient, tau is not None, tau or 1e4)
    values = predict_changing(method, features, cumulants, gammas, lambdas)
    for run in range(2):
        expected = slow_tidbd(features[:, run], cumulants[:, run], gammas, lambdas, 0.02, 0.05, gradient, tau)
        assert_allclose(values[:, run], expected[0], **CLOSE)


def test_swift_td_with_changing_discounts_is_true_online_td_lambda_and_its_equations():
    features, cumulants = stream(120, (2, 6))
    gammas, lambdas = changing()
    swift = SwiftTD(zeros(2, 6), GAMMA, LAMBDA, 0.0, 0.1, step_bound=1e6)
    true_online = TrueOnlineTDLambda(zeros(2, 6), 0.1, GAMMA, LAMBDA)
    values = predict_changing(true_online, features, cumulants, gammas, lambdas)
    assert_allclose(predict_changing(swift, features, cumulants, gammas, lambdas), values, rtol=0, atol=1e-12)
    learning = SwiftTD(zeros(2, 6), GAMMA, LAMBDA, 0.003, 0.05, 0.3, 0.95, 1e-4)
    values = predict_changing(learning, features, cumulants, gammas, lambdas)
    for run in range(2):
        slow = slow_swift_td(features[:, run], cumulants[:, run], gammas, lambdas, 0.003, 0.05, 0.3, 0.95, 1e-4)
        assert_allclose(values[:, run], slow[0], **CLOSE)


def test_tidbd_that_learns_no_step_sizes_is_td_lambda_with_changing_discounts():
    features, cumulants = stream(120, (2, 6))
    gammas, lambdas = changing()
    values = predict_changing(TDLambda(zeros(2, 6), 0.05, GAMMA, LAMBDA), features, cumulants, gammas, lambdas)
    tidbd = TIDBD(zeros(2, 6), GAMMA, LAMBDA, 0.0, 0.05)
    assert_allclose(predict_changing(tidbd, features, cumulants, gammas, lambdas), values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", EVERY)
def test_a_stream_with_changing_discounts_goes_on_from_a_saved_state(kind):
    """The discount of the transition into the last features is part of it."""
    features, cumulants = stream(60, (2, 6))
    gammas, lambdas = changing(60)
    first, second = slice(0, 25), slice(25, 60)
    method, resumed = make(kind, zeros(2, 6), 0.01), make(kind, zeros(2, 6), 0.01)
    predict_changing(method, features[first], cumulants[first], gammas[first], lambdas[first])
    states.restore(resumed.state, states.copied(method.state))
    resumed.weights[...] = method.weights
    rest = features[second], cumulants[second], gammas[second], lambdas[second]
    assert_array_equal(predict_changing(resumed, *rest), predict_changing(method, *rest))


@pytest.mark.parametrize("kind", EVERY)
def test_single_precision_stays_single(kind):
    weights = device(np.zeros((2, 3)), "float32")
    method = make(kind, weights, device([[0.01], [0.02]]))
    for _ in range(3):
        value = method.step(device(np.ones((2, 3)), "float32"), device([1.0, 2.0], "float32"))
    assert value.dtype == method.step_sizes.dtype == np.float32
    assert {array.dtype for array in method.state.values()} == {np.dtype("float32")}
    assert method.weights is weights and host(weights).all()
