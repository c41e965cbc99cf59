"""Network IDBD: the rule as a loop over weights, its linear cases, derivatives by finite differences, and its bound.

The rule is our reconstruction; line numbers are those of minilop/optimizers/network_idbd.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop.learner import Learner
from minilop.losses import cross_entropy, half_squared_error, squared_error
from minilop.optimizers import IDBD, SGD, Autostep, NetworkIDBD
from minilop.optimizers.network_idbd import error_norm, fill_squared_inputs
from minilop.recipes import convnet, linear, mlp

pytestmark = pytest.mark.quick

CURVATURES = ("layer_local", "gauss_newton_diagonal", "gauss_newton")
each_curvature = pytest.mark.parametrize("curvature", CURVATURES)
DEFAULTS = NetworkIDBD(step_size=0.02, meta_step_size=0.05, tau=50.0)


def make_network(sizes, seeds):
    """Units of tanh, or a linear network if there are inputs and outputs alone."""
    if len(sizes) == 2:
        return linear(sizes[:1], sizes[1], list(seeds), "float64")
    return mlp(sizes, "tanh", list(seeds), "float64")


def make_learner(sizes, seeds=(0, 1), loss=half_squared_error, **changes):
    return Learner(make_network(sizes, seeds), loss, replace(DEFAULTS, **changes))


def examples(length, sizes, num_runs=2):
    """A target that drifts, as NumPy arrays (T, R, I, 1) and (T, R, O, 1)."""
    random = np.random.default_rng(5)
    inputs = random.normal(size=(length, num_runs, sizes[0], 1))
    weights = np.cumsum(0.1 * random.normal(size=(length, num_runs, sizes[-1], sizes[0])), axis=0)
    return inputs, np.tanh(weights @ inputs) + 0.1 * random.normal(size=(length, num_runs, sizes[-1], 1))


def learn(learner, inputs, targets):
    for x, y in zip(inputs, targets):
        learner.step(device(x), device(y))
    return host(learner.network.parameters).copy()


class SlowNetworkIDBD:
    """One run with one hidden layer of tanh units and one output, weight by weight.

    A weight is known by (unit, source): units are 0 to H - 1 and the output "out"; a source is the number of an input or
    hidden unit, or "bias". `settings` are the hyperparameters. Tests of GenerateAndTest use it as well.
    """

    def __init__(self, w1, b1, w2, b2, settings):
        self.settings = settings
        self.num_hidden, self.num_inputs = len(w1), len(w1[0])
        self.w = {(j, i): w1[j][i] for j in range(self.num_hidden) for i in range(self.num_inputs)}
        self.w.update({(j, "bias"): b1[j] for j in range(self.num_hidden)})
        self.w.update({("out", j): w2[j] for j in range(self.num_hidden)})
        self.w["out", "bias"] = b2
        self.beta, self.h, self.v = ({k: 0.0 for k in self.w} for _ in range(3))

    def alpha(self, k):
        return self.settings.step_size * math.exp(self.beta[k])

    def step(self, x, y):
        """Lines 0 to 6 for one example; returns the features and the error."""
        settings, w, h, v = self.settings, self.w, self.h, self.v
        a = [w[j, "bias"] + sum(w[j, i] * x[i] for i in range(self.num_inputs)) for j in range(self.num_hidden)]
        f = [math.tanh(each) for each in a]
        delta = y - w["out", "bias"] - sum(w["out", j] * f[j] for j in range(self.num_hidden))
        local = {j: w["out", j] * (1 - f[j] ** 2) for j in range(self.num_hidden)} | {"out": 1.0}  # d output / d a_j
        source = {}
        for unit, place in w:
            source[unit, place] = 1.0 if place == "bias" else f[place] if unit == "out" else x[place]
        u = {k: local[k[0]] * source[k] for k in w}  # d output / d w
        c = {k: source[k] ** 2 if settings.curvature == "layer_local" else u[k] ** 2 for k in w}
        for k in w:
            m = delta * u[k] * h[k]
            if settings.normalized:
                v[k] = max(abs(m), v[k] + self.alpha(k) * c[k] / settings.tau * (abs(m) - v[k]))
                m = m / v[k] if v[k] else 0.0
            self.beta[k] += settings.meta_step_size * m
        bound = 1.0
        if settings.overshoot_limit:
            bound = max(1.0, sum(self.alpha(k) * u[k] ** 2 for k in w) / settings.overshoot_limit)
        u_h = sum(u[k] * h[k] for k in w)
        for k in w:
            used = self.alpha(k) / bound
            w[k] += used * delta * u[k]
            if settings.curvature == "gauss_newton":
                h[k] = h[k] - used * u[k] * u_h + used * delta * u[k]
            else:
                h[k] = h[k] * max(1 - used * c[k], 0) + used * delta * u[k]
        return f, delta

    def flat(self, values):
        """A dictionary like `w` in the order of the flat parameters."""
        order = [(j, i) for j in range(self.num_hidden) for i in range(self.num_inputs)]
        order += [(j, "bias") for j in range(self.num_hidden)]
        order += [("out", j) for j in range(self.num_hidden)] + [("out", "bias")]
        return np.array([values[k] for k in order])


def slow_of(network, run, settings):
    """The loop that starts where a network of tanh units, (I, H, 1), does in this run."""
    hidden, out = network.dense_layers
    return SlowNetworkIDBD(
        host(hidden.weight)[run].tolist(),
        host(hidden.bias)[run, :, 0].tolist(),
        host(out.weight)[run, 0].tolist(),
        float(host(out.bias)[run, 0, 0]),
        settings,
    )


# --- the definition ---------------------------------------------------------------------------------------------------


@each_curvature
@pytest.mark.parametrize("changes", [{}, {"normalized": False, "overshoot_limit": 0.0}, {"step_size": 0.5}], ids=str)
def test_network_idbd_is_the_rule_applied_weight_by_weight(curvature, changes):
    """With a step size of 0.5 the bound is met all the time."""
    sizes = (4, 3, 1)
    learner = make_learner(sizes, curvature=curvature, **changes)
    slow = [slow_of(learner.network, run, learner.optimizer) for run in range(2)]
    inputs, targets = examples(150, sizes)
    learn(learner, inputs, targets)
    for run in range(2):
        for x, y in zip(inputs[:, run, :, 0].tolist(), targets[:, run, 0, 0].tolist()):
            slow[run].step(x, y)
        # Rounding of 1e-16 in 150 steps, of which each may double a difference of step sizes now and then.
        assert_allclose(host(learner.network.parameters)[run], slow[run].flat(slow[run].w), rtol=0, atol=1e-9)
        for name, values in (("log_step_sizes", slow[run].beta), ("traces", slow[run].h)):
            assert_allclose(host(learner.optimizer.state[name])[run], slow[run].flat(values), rtol=0, atol=1e-9)


# --- linear cases -----------------------------------------------------------------------------------------------------


def with_bias(inputs):
    """Inputs (R, I, 1) and a further one, always 1, as linear learners take them: (R, I + 1)."""
    return np.concatenate([inputs[..., 0], np.ones((len(inputs), 1))], axis=-1)


@pytest.mark.parametrize("curvature", ["layer_local", "gauss_newton_diagonal"])
def test_without_a_hidden_layer_it_is_autostep_with_the_transient_bound(curvature):
    """There u = x, so the first two curvatures are one. The bias is the weight of an input that is always 1."""
    sizes = (6, 1)
    learner = make_learner(sizes, curvature=curvature)
    learner.network.parameters[...] = 0
    linear = Autostep(device(np.zeros((2, 7))), 0.05, 0.02, 50.0, "transient")
    inputs, targets = examples(300, sizes)
    inputs[100:120] *= 10  # the bound is needed
    for x, y in zip(inputs, targets):
        learner.step(device(x), device(y))
        linear.step(device(with_bias(x)), device(y[:, 0, 0]))
    # Rounding of 1e-16 in 300 steps; one adds logarithms where the other multiplies.
    assert_allclose(host(learner.network.parameters), host(linear.weights), rtol=0, atol=1e-11)
    assert_allclose(host(learner.optimizer.step_sizes), host(linear.step_sizes), rtol=1e-11)


@on_both_array_modules
def test_without_normalizer_and_bound_it_is_idbd():
    sizes = (6, 1)
    learner = make_learner(sizes, normalized=False, overshoot_limit=0.0)
    learner.network.parameters[...] = 0
    linear = IDBD(device(np.zeros((2, 7))), 0.05, 0.02)
    for x, y in zip(*examples(200, sizes)):
        learner.step(device(x), device(y))
        linear.step(device(with_bias(x)), device(y[:, 0, 0]))
    assert_allclose(host(learner.network.parameters), host(linear.weights), rtol=0, atol=1e-11)
    assert_allclose(host(learner.optimizer.step_sizes), host(linear.step_sizes), rtol=1e-11)


def test_the_scale_of_the_targets_changes_no_step_size_of_a_linear_network():
    """The normalizer's purpose; by powers of two to the bit."""
    inputs, targets = examples(100, (5, 1))

    def step_sizes(scale):
        learner = make_learner((5, 1))
        learner.network.parameters[...] = 0
        learn(learner, inputs, scale * targets)
        return host(learner.optimizer.step_sizes)

    for scale in (2.0**-8, 2.0**8):
        assert_array_equal(step_sizes(scale), step_sizes(1.0))


# --- curvature --------------------------------------------------------------------------------------------------------


@on_both_array_modules
def test_sensitivities_are_the_derivatives_of_the_output():
    """s_k^2 = (d output / d w_k)^2 for one output, whatever the error; by a central difference."""
    learner = make_learner((4, 3, 2, 1), seeds=[3])
    network, inputs = learner.network, np.random.default_rng(0).normal(size=(1, 4, 1))
    values = network.forward(device(inputs))
    point = host(network.parameters).copy()
    for error in (0.7, -1e-6):
        gradient = device(np.full((1, 1, 1), error))
        found = host(network.fill_gradients(values, network.backward(values, gradient)) / error_norm(gradient))

        def output(parameters):
            network.parameters[...] = device(parameters)
            return float(host(network.forward(device(inputs))[-1])[0, 0, 0])

        for direction in np.random.default_rng(1).normal(size=(5, *point.shape)):
            derivative = slope(output, point, direction)
            assert (found * direction).sum() * np.sign(error) == pytest.approx(derivative, abs=1e-8)
        network.parameters[...] = device(point)
    assert host(error_norm(device(np.zeros((1, 1, 1))))).tolist() == [[1]]  # no error: 0 / 1


def test_the_source_of_a_weight_is_what_its_unit_reads():
    """x_i^2 for every weight from source i, whichever unit it leads to; 1 for a bias."""
    network = make_network((2, 2, 1), [0])
    values = network.forward(device([[[3.0], [-2.0]]]))
    features = host(values[2])[0, :, 0]
    expected = [9, 4, 9, 4, 1, 1, features[0] ** 2, features[1] ** 2, 1]
    squares = device(np.ones((1, 9)))  # as biases keep
    fill_squared_inputs(network, values, squares)
    assert host(squares)[0] == pytest.approx(expected)


@on_both_array_modules
def test_traces_with_the_full_product_are_the_derivative_of_the_weights_of_a_linear_network():
    """h = d w / d b where all step sizes are multiplied by exp(b): exact for linear networks, by a central difference."""
    inputs, targets = examples(60, (5, 1))
    settings = {"meta_step_size": 0.0, "overshoot_limit": 0.0, "curvature": "gauss_newton"}

    def weights(b):
        return learn(make_learner((5, 1), step_size=0.02 * math.exp(b), **settings), inputs, targets)

    learner = make_learner((5, 1), **settings)
    learn(learner, inputs, targets)
    difference = (weights(1e-5) - weights(-1e-5)) / 2e-5
    # The difference errs by 1e-10 for the step's square and as much by rounding.
    assert_allclose(host(learner.optimizer.state["traces"]), difference, rtol=1e-7, atol=1e-8)


# --- the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1.0, 0.5])
def test_no_step_moves_the_outputs_along_the_error_by_more_than_the_limit(limit):
    """Exactly so without a hidden layer, also for several outputs: at a huge step size eta |e|, at a small one less."""
    inputs, targets = examples(20, (4, 3))
    for step_size, met in ((100.0, True), (1e-3, False)):
        learner = make_learner((4, 3), step_size=step_size, overshoot_limit=limit)
        for x, y in zip(inputs, targets):
            before = host(learner.step(device(x), device(y))[0])
            moved = host(learner.network.forward(device(x))[-1]) - before
            share = (moved * (y - before)).sum(axis=-2) / ((y - before) ** 2).sum(axis=-2)
            # What is left after a full step is nothing but rounding, and then so is the next error.
            assert (share <= limit * (1 + 1e-9)).all()
            assert not met or share == pytest.approx(limit, rel=1e-9)


@each_curvature
def test_a_huge_step_size_is_harmless_in_a_network(curvature):
    learner = make_learner((4, 3, 1), step_size=1e6, curvature=curvature)
    assert np.isfinite(learn(learner, *examples(300, (4, 3, 1)))).all()


# --- what follows -----------------------------------------------------------------------------------------------------


@each_curvature
def test_a_meta_step_size_of_zero_is_sgd_to_the_bit_where_nothing_overshoots(curvature):
    sizes = (4, 6, 5, 2)
    inputs, targets = examples(60, sizes)

    def learn_by_sgd(step_size):
        return learn(Learner(make_network(sizes, [0, 1]), half_squared_error, SGD(step_size)), inputs, targets)

    adapting = make_learner(sizes, meta_step_size=0.0, overshoot_limit=0.0, curvature=curvature)
    assert_array_equal(learn(adapting, inputs, targets), learn_by_sgd(0.02))
    bounded = make_learner(sizes, meta_step_size=0.0, step_size=1e-4, curvature=curvature)
    assert_array_equal(learn(bounded, inputs, targets), learn_by_sgd(1e-4))


@each_curvature
@pytest.mark.parametrize("sizes", [(3, 2, 1), (12, 40, 2)], ids=str)
def test_a_run_alone_equals_itself_among_others_and_after_a_stop(curvature, sizes):
    inputs, targets = examples(60, sizes, num_runs=3)
    together = make_learner(sizes, seeds=[4, 7, 9], curvature=curvature)
    expected = learn(together, inputs, targets)
    alone = make_learner(sizes, seeds=[7], curvature=curvature)
    learn(alone, inputs[:25, 1:2], targets[:25, 1:2])
    resumed = make_learner(sizes, seeds=[7], curvature=curvature)
    resumed.restore(alone.state())
    assert_array_equal(learn(resumed, inputs[25:, 1:2], targets[25:, 1:2])[0], expected[1])


@on_both_array_modules
@pytest.mark.parametrize("sizes", [(3, 2, 1), (12, 40, 1)], ids=str)
def test_each_run_may_have_hyperparameters_of_its_own(sizes):
    inputs, targets = examples(40, sizes)
    names = ("step_size", "meta_step_size", "tau", "overshoot_limit")
    values = {name: np.array([[0.5], [1.0]]) * getattr(DEFAULTS, name) for name in names}
    found = learn(make_learner(sizes, **{name: device(value) for name, value in values.items()}), inputs, targets)
    for run in range(2):
        own = {name: float(value[run, 0]) for name, value in values.items()}
        alone = make_learner(sizes, seeds=[run], **own)
        assert_array_equal(learn(alone, inputs[:, run : run + 1], targets[:, run : run + 1])[0], found[run])


def test_it_runs_on_softmax_without_change():
    """Any loss whose gradient reaches the pre-activations will do; it learns to tell the sign of an input."""
    learner = make_learner((3, 8, 2), loss=cross_entropy, step_size=0.1)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(600):
        x = random.normal(size=(2, 3, 1))
        losses.append(host(learner.step(device(x), device((x[:, 0] > 0).astype(int)))[1]).mean())
    assert np.mean(losses[-200:]) < 0.5 * np.mean(losses[:100])


def test_squared_error_without_the_half_wants_a_limit_of_one_half():
    """Gradients are twice as large, so with half the step size and half the limit all steps are the same."""
    inputs, targets = examples(100, (4, 3, 1))
    half = make_learner((4, 3, 1), step_size=0.5, meta_step_size=0.0)
    whole = make_learner((4, 3, 1), loss=squared_error, step_size=0.25, overshoot_limit=0.5, meta_step_size=0.0)
    assert_array_equal(learn(half, inputs, targets), learn(whole, inputs, targets))


def test_what_it_cannot_do_is_refused():
    learner = make_learner((4, 3, 1))
    values = learner.network.forward(device(np.ones((2, 4, 5))))
    with pytest.raises(ValueError, match="one example per step; choose a mini-batch of 1 or another optimizer"):
        learner.optimizer.update(learner.network, values, values)
    with pytest.raises(TypeError, match="call update"):
        learner.optimizer.step(learner.network.parameters, learner.network.gradients)
    network = convnet([0], "float64", image_size=8, num_channels=1, kernels=[(2, 3)], dense_units=[4])
    of_images = Learner(network, cross_entropy, DEFAULTS)
    with pytest.raises(ValueError, match="is for networks of dense layers; choose gauss_newton_diagonal"):
        of_images.step(device(np.ones((1, 1, 8, 8, 1))), device(np.zeros((1, 1), int)))
