"""The learner: one step by hand, its phases in order, runs that do not notice each other, and going on after a stop."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop.learner import Learner, LearnerSettings, make_mlp
from minilop.losses import squared_error

_CONTINUAL = {"replacement_rate": 0.02, "maturity_threshold": 5}
KINDS = {
    "backprop": {},
    "l2": {"weight_decay": 0.01},
    "momentum": {"momentum": 0.9, "step_size": 0.01},
    "shrink_and_perturb": {"weight_decay": 0.01, "perturb_scale": 0.01},
    "continual_backprop": _CONTINUAL,
    "continual_backprop by chance": {**_CONTINUAL, "rounding": "chance"},
    "continual_backprop of the paper": {**_CONTINUAL, "rounding": "single", "utility": "contribution"},
    "continual_backprop at random": {**_CONTINUAL, "utility": "random", "transfer_bias": True},
    "continual_backprop with a lifetime average": {
        **_CONTINUAL,
        "average": "lifetime_activity",
        "utility": "contribution",
    },
    "continual_backprop with adam": {
        **_CONTINUAL,
        "optimizer": "adam",
        "step_size": 0.01,
        "reset_optimizer_state": True,
    },
    "adam": {"optimizer": "adam", "step_size": 0.01},
    "dropout": {"dropout": 0.3},
    "redo": {"redo_period": 9, "redo_scores": "period", "redo_threshold": 0.3},
    "network_idbd": {"optimizer": "network_idbd", "step_size": 0.01, "overshoot_limit": 0.0},
    "continual_backprop with network_idbd": {
        **_CONTINUAL,
        "optimizer": "network_idbd",
        "step_size": 0.01,
        "overshoot_limit": 0.0,
        "reset_optimizer_state": True,
    },
    "metaoptimize": {"optimizer": "metaoptimize", "step_size": 0.01, "meta_step_size": 0.001},
    "metaoptimize by layers": {
        "optimizer": "metaoptimize",
        "step_size": 0.001,
        "base": "momentum",
        "meta": "lion",
        "step_sizes": "layer",
    },
    "metaoptimize by weights": {
        **_CONTINUAL,
        "optimizer": "metaoptimize",
        "step_size": 0.001,
        "base": "sgd",
        "step_sizes": "weight",
        "trace_decay": 0.9,
        "reset_optimizer_state": True,
    },
    "tanh": {"activation": "tanh"},
    "linear": {"network": "linear"},
}
IN_PLACE = {
    "in place": {"update": "in_place"},
    "l2 in place": {"update": "in_place", "weight_decay": 0.01},
    "continual_backprop in place": {**_CONTINUAL, "update": "in_place"},
    "pending": {"update": "pending"},
    "dropout pending": {"update": "pending", "dropout": 0.3},
}
NARROW = (3, 6, 5, 1)  # 65 parameters: in NumPy the runs are interleaved in memory
WIDE = (12, 30, 20, 2)  # 1,052 parameters: each run has its own stretch of memory
NUM_STEPS = 60


def settings_of(kind, **changes):
    return LearnerSettings(**{"step_size": 0.05, **{**KINDS, **IN_PLACE}[kind], **changes})


def make_learner(sizes, settings, seeds):
    return Learner(make_mlp(sizes, settings, seeds), squared_error, settings)


def train(learner, sizes, steps):
    """Steps on a stream of which each run's part is named by its seed; returns the parameters."""
    for step in steps:
        drawn = [np.random.default_rng([int(seed), step]) for seed in learner.network.seeds]
        inputs = np.stack([0.5 * random.normal(size=(sizes[0], 1)) for random in drawn])
        targets = np.stack([random.normal(size=(sizes[-1], 1)) for random in drawn])
        learner.step(device(inputs, learner.settings.dtype), device(targets, learner.settings.dtype))
    learner.network.flush()
    return host(learner.network.parameters).copy()


# --- one step ---------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_one_step_on_one_weight_by_hand(array_module):
    """y = w x + b = 0.5 * 2 + 0.25; the loss (y - 3)^2 has the gradient 2 (y - 3), without a factor 1/2."""
    learner = make_learner((1, 1), LearnerSettings(network="linear", step_size=0.1, dtype="float64"), [0])
    learner.network.parameters[...] = device([[0.5, 0.25]])
    outputs, losses = learner.step(device([[[2.0]]]), device([[[3.0]]]))
    assert host(outputs).tolist() == [[[1.25]]]  # of before the update
    assert host(losses).tolist() == [[(1.25 - 3) ** 2]]
    gradient = 2 * (1.25 - 3)
    assert_allclose(host(learner.network.parameters), [[0.5 - 0.1 * gradient * 2, 0.25 - 0.1 * gradient]])
    assert learner.num_steps == 1


@pytest.mark.quick
@pytest.mark.parametrize(
    ("when", "order"),
    [
        ("after_update", ["forward", "loss", "backward", "update", "perturb", "generate_and_test"]),
        ("before_update", ["forward", "loss", "backward", "generate_and_test", "update", "perturb"]),
    ],
)
def test_the_phases_of_a_step_come_in_their_order(when, order, monkeypatch):
    """Algorithm 1 of Dohare et al. (2024): update, then replace; the layer-style published code replaces first."""
    learner = make_learner(NARROW, settings_of("continual_backprop", when=when, perturb_scale=0.1), [0, 1])
    called = []

    def spy(owner, name):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *arguments: (called.append(name), original(*arguments))[1])

    spy(learner, "loss")
    spy(learner.network, "backward")
    for phase in ("forward", "update", "perturb", "generate_and_test"):
        spy(learner, phase)
    train(learner, NARROW, range(1))
    assert called == order


@pytest.mark.quick
def test_phases_called_from_outside_make_the_same_step(array_module):
    """Whoever wants to look between two phases may call them: that changes nothing."""
    settings = settings_of("continual_backprop", perturb_scale=0.01)
    whole, parts = (make_learner(NARROW, settings, [0, 1]) for _ in range(2))
    for step in range(20):
        random = np.random.default_rng(step)
        inputs, targets = device(random.normal(size=(2, 3, 1)), "float32"), device(np.ones((2, 1, 1)), "float32")
        whole.step(inputs, targets)
        values = parts.forward(inputs)
        _, output_gradient = parts.loss(values[-1], targets)
        parts.update(values, parts.network.backward(values, output_gradient))
        parts.perturb()
        parts.generate_and_test(values)
        parts.num_steps += 1
    assert_array_equal(host(parts.network.parameters), host(whole.network.parameters))


@pytest.mark.parametrize("kind", IN_PLACE)
def test_updates_in_place_or_saved_up_are_those_of_the_gradient_but_for_rounding(kind, array_module):
    """float64: the order of multiplications differs, which costs 1e-16 a step."""
    settings = settings_of(kind, dtype="float64")
    found = train(make_learner(WIDE, settings, [1, 2]), WIDE, range(NUM_STEPS))
    expected = train(make_learner(WIDE, replace(settings, update="gradient"), [1, 2]), WIDE, range(NUM_STEPS))
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.quick
def test_a_step_neither_waits_for_the_device_nor_fetches_from_it(strict):
    """Ages, counts and numbers due live on the host, so nobody waits, whoever is replaced."""
    learner = make_learner(NARROW, settings_of("continual_backprop", perturb_scale=0.01), [0, 1])
    batches = [(device(np.ones((2, 3, 1)), "float32"), device(np.ones((2, 1, 1)), "float32")) for _ in range(40)]
    strict.reset()
    for inputs, targets in batches:
        learner.step(inputs, targets)
    assert strict.synchronisations == 0 and strict.transfers == 0
    assert host(learner.continual_backprop.state[0]["age"]).min() < 40  # something was replaced


# --- runs beside each other -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_the_same_to_the_bit_whoever_runs_beside_it(kind):
    """Interleaved in memory: two runs and five have the same sums, whichever place a run has."""
    settings = settings_of(kind)
    two = train(make_learner(NARROW, settings, [4, 9]), NARROW, range(NUM_STEPS))
    five = train(make_learner(NARROW, settings, [1, 9, 2, 4, 3]), NARROW, range(NUM_STEPS))
    assert np.isfinite(five).all()
    assert_array_equal(two, five[[3, 1]])


@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, *IN_PLACE) if kind != "linear"])  # which is narrow
def test_a_run_of_a_wide_network_is_the_same_alone(kind):
    settings = settings_of(kind, step_size=0.01)
    alone = train(make_learner(WIDE, settings, [9]), WIDE, range(NUM_STEPS))
    beside = train(make_learner(WIDE, settings, [1, 9, 2]), WIDE, range(NUM_STEPS))
    assert np.isfinite(beside).all()
    assert_array_equal(alone[0], beside[1])


def test_runs_differ_in_their_initial_weights_and_learners_of_a_seed_do_not(array_module):
    backprop = make_learner(NARROW, settings_of("backprop"), [4, 9]).network.parameters
    others = [
        make_learner(NARROW, settings_of(kind), [4, 9]).network.parameters
        for kind in ("shrink_and_perturb", "continual_backprop", "adam", "redo")
    ]
    for other in others:
        assert_array_equal(host(other), host(backprop))
    assert (host(backprop)[0] != host(backprop)[1])[:18].all()  # the first weight; biases are all 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "linear"])
@pytest.mark.parametrize("sizes", [NARROW, WIDE])
def test_a_run_that_diverges_leaves_the_others_to_the_bit_as_they_were(kind, sizes):
    """Its step size is 1e30; the hyperparameters of optimizers are numbers, or arrays (R, 1) with one for each run."""
    settings = settings_of(kind)
    size = settings.step_size
    sober = replace(settings, step_size=np.full((3, 1), size, "float32"))
    wild = replace(settings, step_size=np.array([[size], [1e30], [size]], "float32"))
    expected = train(make_learner(sizes, sober, [4, 9, 2]), sizes, range(NUM_STEPS))
    with np.errstate(all="ignore"):
        found = train(make_learner(sizes, wild, [4, 9, 2]), sizes, range(NUM_STEPS))
    assert not np.isfinite(found[1]).all()
    assert_array_equal(found[[0, 2]], expected[[0, 2]])


def test_each_run_may_have_a_step_size_and_a_decay_of_its_own(array_module):
    """A sweep is just more runs: each equals the run with that number for all."""
    sizes, rates, decays = np.array([[0.05], [0.01]]), (0.05, 0.01), (0.0, 0.1)
    both = settings_of("l2", step_size=device(sizes), weight_decay=device([[0.0], [0.1]]), dtype="float64")
    found = train(make_learner(NARROW, both, [4, 9]), NARROW, range(NUM_STEPS))
    for run, (rate, decay) in enumerate(zip(rates, decays)):
        one = settings_of("backprop", step_size=rate, weight_decay=decay, dtype="float64")
        expected = train(make_learner(NARROW, one, [4, 9]), NARROW, range(NUM_STEPS))
        assert_array_equal(found[run], expected[run])


# --- going on after a stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [NARROW, WIDE])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_learner_goes_on_bit_for_bit(kind, sizes, array_module):
    """Stopped before the first unit is mature, and between two replacements whose fractions are carried over."""
    settings = settings_of(kind)
    uninterrupted = make_learner(sizes, settings, [4, 9])
    expected = train(uninterrupted, sizes, range(NUM_STEPS))
    learner = make_learner(sizes, settings, [4, 9])
    for start, stop in ((0, 3), (3, 29), (29, NUM_STEPS)):
        train(learner, sizes, range(start, stop))
        state = learner.state()
        train(learner, sizes, range(stop, stop + 5))  # what happens afterwards must not reach into the state
        learner = make_learner(sizes, settings, [4, 9])
        learner.restore(state)
    assert_array_equal(host(learner.network.parameters), expected)
    for name, array in uninterrupted.state().items():
        assert_array_equal(array, learner.state()[name], name)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_learner_that_saves_updates_up_carries_them_out_before_it_is_saved(kind, array_module):
    """So the one that was asked for its state and the one that is restored from it are the same to the bit."""
    settings = settings_of(kind)
    learner = make_learner(WIDE, settings, [4, 9])
    train(learner, WIDE, range(21))  # 21 is no multiple of the updates that are saved up
    restored = make_learner(WIDE, settings, [4, 9])
    restored.restore(learner.state())
    assert_array_equal(train(restored, WIDE, range(21, 50)), train(learner, WIDE, range(21, 50)))


def test_a_state_is_made_of_host_arrays_with_everything_that_is_carried(array_module):
    learner = make_learner(NARROW, settings_of("continual_backprop with adam"), [4, 9])
    state = learner.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    layers = {f"{name}.{layer}" for layer in (0, 1) for name in ("age", "utility", "mean_feature", "correction")}
    moments = {"first_moment", "second_moment", "first_correction", "second_correction"}
    assert set(state) == {"parameters", "num_steps", "replacements_due.0", "replacements_due.1", *layers, *moments}
    assert state["parameters"].shape == (2, 65)


def test_a_state_that_does_not_fit_is_refused(array_module):
    backprop = make_learner(NARROW, settings_of("backprop"), [4, 9])
    with pytest.raises(ValueError, match=r"parameters has the shape \(2, 1052\), not \(2, 65\)"):
        backprop.restore(make_learner(WIDE, settings_of("backprop"), [4, 9]).state())
    with pytest.raises(KeyError, match="velocity"):
        make_learner(NARROW, settings_of("momentum"), [4, 9]).restore(backprop.state())


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"update": "in_place", "momentum": 0.9},
            "update=in_place is for plain SGD; choose optimizer=sgd and momentum=0",
        ),
        ({"update": "pending", "optimizer": "adam"}, "update=pending is for plain SGD; choose optimizer=sgd"),
        ({"update": "pending", "weight_decay": 0.1}, "update=pending is for plain SGD alone; choose update=in_place"),
        ({"update": "pending", "perturb_scale": 0.1}, "update=pending is for plain SGD alone; choose update=in_place"),
        ({"update": "pending", **_CONTINUAL}, "update=pending is for plain SGD alone; choose update=in_place"),
        ({"update": "pending", "redo_period": 5}, "update=pending is for plain SGD alone; choose update=in_place"),
        (
            {"update": "in_place", "step_size": np.full((2, 1), 0.1)},
            "update=in_place takes numbers for all runs; choose update=gradient",
        ),
        ({"update": "in_place", "optimizer": "network_idbd"}, "update=in_place is for plain SGD; choose optimizer=sgd"),
        ({"optimizer": "network_idbd", "weight_decay": 0.1}, "network_idbd knows no weight decay; set weight_decay=0"),
        (
            {**_CONTINUAL, "average": "lifetime_activity"},
            "average=lifetime_activity needs utility=weight or utility=contribution",
        ),
    ],
)
def test_settings_that_contradict_are_refused_with_the_remedy(changes, message):
    with pytest.raises(ValueError, match=message):
        make_learner(NARROW, LearnerSettings(**changes), [0, 1])


def test_what_is_not_named_is_turned_off():
    learner = make_learner(NARROW, LearnerSettings(), [0, 1])
    assert learner.optimizer.state == {} and learner.arrays().keys() == {"parameters"}
    assert learner.shrink_and_perturb is learner.continual_backprop is learner.redo is None


@pytest.mark.parametrize(
    "changes",
    [
        {"step_size": -0.1},
        {"step_size": float("inf")},
        {"step_size": float("nan")},
        {"weight_decay": -1.0},
        {"perturb_scale": -1.0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"momentum": 1.0},
        {"beta_1": 1.0},
        {"beta_2": -0.5},
        {"epsilon": -1.0},
        {"replacement_rate": -1.0},
        {"replacement_rate": float("inf")},
        {"maturity_threshold": -5},
        {"decay_rate": 1.0},
        {"redo_period": -5},
        {"redo_threshold": -0.1},
        {"meta_step_size": -0.1},
        {"overshoot_limit": float("inf")},
        {"trace_decay": 1.5},
    ],
    ids=str,
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name} must be a finite number, at least 0"):
        LearnerSettings(**changes)


def test_momentum_with_adam_is_refused():
    with pytest.raises(ValueError, match="momentum is for optimizer=sgd; Adam has beta_1"):
        LearnerSettings(optimizer="adam", momentum=0.9)


def test_updates_in_place_refuse_a_mini_batch():
    settings = LearnerSettings(update="in_place")
    learner = Learner(make_mlp((2, 3, 1), settings, [0]), squared_error, settings)
    with pytest.raises(ValueError, match="one example a step; choose update=gradient"):
        learner.step(device(np.zeros((1, 2, 5)), "float32"), device(np.zeros((1, 1, 5)), "float32"))


@pytest.mark.parametrize("shape", [(2, 1), (1, 3, 1), (2, 2, 1)])
def test_inputs_of_another_shape_are_refused(shape):
    learner = Learner(make_mlp((2, 3, 1), LearnerSettings(), [0]), squared_error, LearnerSettings())
    expected = r"Inputs must have the shape \(R, I, B\), here \(1, 2, B\)"
    with pytest.raises(ValueError, match=expected):
        learner.step(device(np.zeros(shape), "float32"), device(np.zeros((1, 1, 1)), "float32"))
