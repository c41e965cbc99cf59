"""The learner: one step by hand, its phases, its rules, runs that do not notice each other, stops and resets."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop.fast import BufferedDense, BufferedSGD, InPlaceSGD
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, NetworkSettings, make_convnet, make_learner, make_mlp
from minilop.losses import squared_error
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from minilop.plasticity.rule import Rule
from minilop.recipes import convnet, linear, mlp

PLAIN = SGD(step_size=0.05)
CONTINUAL = ContinualBackprop(replacement_rate=0.02, maturity_threshold=5)
RESETTING = replace(CONTINUAL, reset_optimizer_state=True)
IDBD = NetworkIDBD(step_size=0.01, overshoot_limit=0.0)
KINDS = {
    "backprop": LearnerSettings(PLAIN),
    "l2": LearnerSettings(SGD(step_size=0.05, weight_decay=0.01)),
    "momentum": LearnerSettings(SGD(step_size=0.01, momentum=0.9)),
    "adam": LearnerSettings(Adam(step_size=0.01)),
    "adam with a state of each weight": LearnerSettings(Adam(step_size=0.01), (RESETTING,)),
    "l2_init": LearnerSettings(PLAIN, (L2Init(init_decay=0.01),)),
    "l2_init with continual_backprop": LearnerSettings(PLAIN, (L2Init(init_decay=0.01), CONTINUAL)),
    "shrink_and_perturb": LearnerSettings(SGD(step_size=0.05, weight_decay=0.01), (ShrinkAndPerturb(0.01),)),
    "continual_backprop": LearnerSettings(PLAIN, (CONTINUAL,)),
    "continual_backprop of the paper": LearnerSettings(
        PLAIN, (replace(CONTINUAL, rounding="single", utility="contribution", outgoing="sum", bias_correction=False),)
    ),
    "continual_backprop by chance": LearnerSettings(PLAIN, (replace(CONTINUAL, rounding="chance"),)),
    "continual_backprop at random": LearnerSettings(
        PLAIN, (replace(CONTINUAL, utility="random", when="before_update"),)
    ),
    "continual_backprop with a lifetime average": LearnerSettings(
        PLAIN, (replace(CONTINUAL, average="lifetime_activity", utility="contribution", fresh_weights="normal"),)
    ),
    "redo": LearnerSettings(PLAIN, (ReDo(redo_period=9, redo_scores="period", redo_threshold=0.3),)),
    "redo after continual_backprop": LearnerSettings(
        SGD(step_size=0.01, momentum=0.9), (ShrinkAndPerturb(0.01), CONTINUAL, ReDo(9, 0.3, "period", True))
    ),
    "network_idbd": LearnerSettings(IDBD),
    "continual_backprop with network_idbd": LearnerSettings(IDBD, (RESETTING,)),
    "generate_and_test": LearnerSettings(IDBD, (GenerateAndTest(replacement_rate=0.02, maturity_threshold=5),)),
    "metaoptimize": LearnerSettings(MetaOptimize(step_size=0.01, meta_step_size=0.001)),
    "metaoptimize by layers": LearnerSettings(
        MetaOptimize(step_size=0.001, meta_step_size=0.01, base="momentum", meta="lion", step_sizes="layer")
    ),
    "metaoptimize by weights": LearnerSettings(
        MetaOptimize(step_size=0.001, meta_step_size=0.01, base="sgd", step_sizes="weight", trace_decay=0.9),
        (RESETTING,),
    ),
    "dropout": LearnerSettings(PLAIN, network=NetworkSettings(dropout=0.3)),
    "tanh": LearnerSettings(PLAIN, network=NetworkSettings(activation="tanh")),
    "linear": LearnerSettings(PLAIN, network=NetworkSettings(kind="linear")),
}
FAST = {
    "in place": LearnerSettings(InPlaceSGD(step_size=0.05)),
    "l2 in place": LearnerSettings(InPlaceSGD(step_size=0.05, weight_decay=0.01)),
    "continual_backprop in place": LearnerSettings(InPlaceSGD(step_size=0.05), (CONTINUAL,)),
    "buffered": LearnerSettings(BufferedSGD(step_size=0.05)),
    "buffered with dropout": LearnerSettings(BufferedSGD(step_size=0.05), network=NetworkSettings(dropout=0.3)),
}
OF_IMAGES = {
    "batch_norm": LearnerSettings(SGD(step_size=0.05), network=NetworkSettings(batch_norm=True)),
    "continual_backprop with batch_norm": LearnerSettings(
        SGD(step_size=0.01, momentum=0.9), (RESETTING,), NetworkSettings(batch_norm=True)
    ),
}
ALL = {**KINDS, **FAST, **OF_IMAGES}
NARROW = (3, 6, 5, 1)
WIDE = (12, 30, 20, 2)
NUM_STEPS = 60
of_each_size = pytest.mark.parametrize("sizes", [NARROW, WIDE], ids=["narrow", "wide"])
of_each_kind_and_size = pytest.mark.parametrize(
    ("kind", "sizes"),
    [(kind, sizes) for kind in ALL for sizes in (NARROW, WIDE) if sizes == NARROW or kind not in OF_IMAGES],
    ids=lambda value: value if isinstance(value, str) else "wide" if value == WIDE else "narrow",
)


def settings_of(kind, sizes=NARROW, **changes):
    """Steps of the wide networks are smaller, so that they do not diverge."""
    settings = ALL[kind].change(**changes)
    return settings.change(step_size=0.2 * settings.optimizer.step_size) if sizes == WIDE else settings


def make(sizes, settings, seeds, loss=squared_error):
    """A learner of vectors, or of images if it has batch normalization, which is for mini-batches."""
    if settings.network.batch_norm:
        network = make_convnet((2, 8, 8), [(4, 3)], [5], 2, settings, seeds)
    else:
        network = make_mlp(sizes, settings, seeds)
    return make_learner(network, loss, settings)


def mini_batch(learner, step):
    """Inputs and targets of a step; those of a run are named by its seed."""
    network = learner.network
    batch_size = 1 if len(network.input_shape) == 2 else 4
    input_shape = (*network.input_shape[1:], batch_size)
    drawn = [np.random.default_rng([int(seed), step]) for seed in network.seeds]
    inputs = np.stack([0.5 * random.normal(size=input_shape) for random in drawn])
    targets = np.stack([random.normal(size=(network.dense_layers[-1].num_outputs, batch_size)) for random in drawn])
    return device(inputs, network.dtype), device(targets, network.dtype)


def train(learner, steps):
    """Learn from the mini-batches of some steps; returns the parameters."""
    for step in steps:
        learner.step(*mini_batch(learner, step))
    learner.network.flush()
    return host(learner.network.parameters).copy()


def assert_same_state(found, expected):
    """To the bit, by name."""
    found, expected = found.state(), expected.state()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


# --- one step ---------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_one_step_on_one_weight_by_hand(array_module):
    """y = w x + b = 0.5 * 2 + 0.25; the loss (y - 3)^2 has the gradient 2 (y - 3), without a factor 1/2."""
    settings = LearnerSettings(SGD(step_size=0.1), network=NetworkSettings(kind="linear"), dtype="float64")
    learner = make((1, 1), settings, [0])
    learner.network.parameters[...] = device([[0.5, 0.25]])
    outputs, losses = learner.step(device([[[2.0]]]), device([[[3.0]]]))
    assert host(outputs).tolist() == [[[1.25]]]  # of before the update
    assert host(losses).tolist() == [[(1.25 - 3) ** 2]]
    gradient = 2 * (1.25 - 3)
    assert_allclose(host(learner.network.parameters), [[0.5 - 0.1 * gradient * 2, 0.25 - 0.1 * gradient]])
    assert learner.num_steps == 1


def record(monkeypatch, called, owner, name, shown=None):
    """Note the calls of a method."""
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments: (called.append(shown or name), original(*arguments))[1])


@pytest.mark.quick
def test_the_phases_of_a_step_come_in_their_order(monkeypatch):
    learner = make(NARROW, settings_of("backprop"), [0, 1])
    called, phases = [], ["forward", "loss", "backward", "before_update", "update", "after_update"]
    for phase in phases:
        record(monkeypatch, called, learner, phase)
    train(learner, range(1))
    assert called == phases


@pytest.mark.quick
@pytest.mark.parametrize(
    ("when", "order"),
    [("after_update", ["update", "perturb", "replace"]), ("before_update", ["replace", "update", "perturb"])],
)
def test_units_are_replaced_after_the_update_or_before_it(when, order, monkeypatch):
    """Algorithm 1 of Dohare et al. (2024): update, then replace; the layer-style published code replaces first."""
    rules = ShrinkAndPerturb(0.1), replace(CONTINUAL, when=when)
    learner = make(NARROW, LearnerSettings(PLAIN, rules), [0, 1])
    called = []
    record(monkeypatch, called, learner.optimizer, "update")
    record(monkeypatch, called, learner.rules[0], "noise", "perturb")
    record(monkeypatch, called, learner.rules[1], "step", "replace")
    train(learner, range(1))
    assert called == order


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["l2_init with continual_backprop", "redo after continual_backprop", "in place"])
def test_phases_called_from_outside_make_the_same_step(kind, array_module):
    """Whoever wants to look between two phases may call them: that changes nothing."""
    whole, parts = (make(NARROW, settings_of(kind), [0, 1]) for _ in range(2))
    for step in range(20):
        inputs, targets = mini_batch(whole, step)
        whole.step(inputs, targets)
        values = parts.forward(inputs)
        _, output_gradient = parts.loss(values[-1], targets)
        output_gradients = parts.backward(values, output_gradient)
        parts.before_update(values)
        parts.update(values, output_gradients)
        parts.after_update(values)
    assert_same_state(parts, whole)


@pytest.mark.quick
def test_a_learner_without_a_loss_learns_from_the_gradient_of_the_outputs():
    """As PPO does, whose loss is that of two networks."""
    with_loss = make(NARROW, settings_of("continual_backprop"), [0, 1])
    without = make(NARROW, settings_of("continual_backprop"), [0, 1], loss=None)
    for step in range(10):
        inputs, targets = mini_batch(without, step)
        values = without.forward(inputs)
        without.learn(values, squared_error(values[-1], targets)[1])
    train(with_loss, range(10))
    assert_same_state(without, with_loss)
    with pytest.raises(AssertionError, match="call forward and learn instead of step"):
        without.step(inputs, targets)


@pytest.mark.quick
def test_gradients_are_there_for_whoever_looks_unless_the_optimizer_forms_none():
    learner, in_place = (make(NARROW, settings_of(kind), [0, 1]) for kind in ("backprop", "in place"))
    assert learner.gradients is None
    before = host(learner.network.parameters).copy()
    after = train(learner, range(1))
    assert_allclose(after, before - np.float32(0.05) * host(learner.gradients), rtol=1e-6)
    train(in_place, range(1))
    assert in_place.gradients is None


@pytest.mark.parametrize("kind", FAST)
def test_the_fast_optimizers_are_sgd_but_for_rounding(kind, array_module):
    """float64: the order of multiplications differs, which costs 1e-16 a step."""
    settings = settings_of(kind, WIDE, dtype="float64")
    optimizer = settings.optimizer
    plain = settings.with_part("optimizer", SGD(optimizer.step_size, weight_decay=optimizer.weight_decay))
    found, expected = (train(make(WIDE, each, [1, 2]), range(NUM_STEPS)) for each in (settings, plain))
    assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.quick
@pytest.mark.parametrize(("kind", "transfers"), [("shrink_and_perturb", 0), ("adam", 0), ("continual_backprop", 2)])
def test_a_step_fetches_nothing_but_the_numbers_of_eligible_units(kind, transfers, strict):
    """Continual Backprop fetches one number for each run and layer: how many to replace is decided on the host."""
    learner = make(NARROW, settings_of(kind), [0, 1])
    batches = [mini_batch(learner, step) for step in range(40)]
    strict.reset()
    for inputs, targets in batches:
        learner.step(inputs, targets)
    waiting = -(-40 // 100) * len(learner.optimizer.state)  # for subnormal numbers, once in 100 steps
    assert strict.transfers == 40 * transfers and strict.synchronisations <= waiting
    if transfers:
        assert host(learner.rules[0].units[0]["age"]).min() < 40  # something was replaced


# --- the step size ----------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(step_size=0.01, weight_decay=0.01),
        SGD(step_size=0.01, momentum=0.9),
        Adam(step_size=0.01),
        InPlaceSGD(step_size=0.01, weight_decay=0.01),
        BufferedSGD(step_size=0.01),
        NetworkIDBD(step_size=0.01, overshoot_limit=0.0, normalized=False),
        MetaOptimize(step_size=0.01, meta_step_size=0.01),
        MetaOptimize(step_size=0.01, base="lion", meta="momentum", step_sizes="layer", order="meta_first"),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_the_optimizer_owns_the_step_size_and_a_change_acts_on_the_next_step(optimizer):
    """A schedule writes learner.optimizer.step_size; twice the step size is twice the change of that step."""

    def change_of_the_11th_step(factor):
        learner = make(NARROW, LearnerSettings(optimizer, dtype="float64"), [0, 1])
        before = train(learner, range(10))
        learner.optimizer.step_size *= factor
        return train(learner, range(10, 11)) - before

    once, twice = change_of_the_11th_step(1), change_of_the_11th_step(2)
    assert abs(once).max() > 1e-6
    assert_allclose(twice, 2 * once, rtol=1e-9, atol=1e-15)
    assert optimizer.step_size == 0.01  # the settings of other learners are as they were
    assert not change_of_the_11th_step(0).any()


def test_each_run_may_have_a_step_size_and_a_decay_of_its_own(array_module):
    """A sweep is just more runs: each equals the run with that number for all."""
    rates, decays = (0.05, 0.01), (0.0, 0.1)
    both = LearnerSettings(SGD(device([[0.05], [0.01]]), weight_decay=device([[0.0], [0.1]])), dtype="float64")
    found = train(make(NARROW, both, [4, 9]), range(NUM_STEPS))
    for run, (rate, decay) in enumerate(zip(rates, decays)):
        one = LearnerSettings(SGD(rate, weight_decay=decay), dtype="float64")
        assert_array_equal(found[run], train(make(NARROW, one, [4, 9]), range(NUM_STEPS))[run])


# --- rules ------------------------------------------------------------------------------------------------------------


class Witness(Rule):
    """Notes what it is asked and told, in a list that it may share with others."""

    def __init__(self, name, told, replaces=()):
        self.name, self.told, self.replaces = name, told, replaces

    def before_update(self, values, gradients, step):
        self.told.append((self.name, "before", step))
        return self.mask() if "before" in self.replaces else None

    def after_update(self, values, gradients, step):
        self.told.append((self.name, "after", step))
        return self.mask() if "after" in self.replaces else None

    def mask(self):
        """Unit 2 of the second layer in run 1."""
        replaced = np.zeros((2, 5), bool)
        replaced[1, 2] = True
        return [None, device(replaced)]

    def units_replaced(self, replaced):
        assert replaced[0] is None
        self.told.append((self.name, "told of", np.argwhere(host(replaced[1])).tolist()))

    def layers_reset(self, layers):
        self.told.append((self.name, "reset", [layer.index for layer in layers]))


def witnesses(*replaces):
    """A learner with a rule for each entry, and what the rules are told."""
    told = []
    rules = [Witness(f"rule {number}", told, each) for number, each in enumerate(replaces)]
    return Learner(mlp(NARROW, "relu", [0, 1], "float32"), squared_error, PLAIN, rules), told


@pytest.mark.quick
def test_rules_act_in_the_order_in_which_they_are_given(monkeypatch):
    learner, told = witnesses((), ())
    monkeypatch.setattr(learner.optimizer, "update", lambda *arguments: told.append("update"))
    train(learner, range(2))
    for step in range(2):
        before, after = ([(f"rule {number}", each, step) for number in (0, 1)] for each in ("before", "after"))
        assert told[5 * step : 5 * step + 5] == [*before, "update", *after]
    assert len(told) == 10


@pytest.mark.quick
@pytest.mark.parametrize("phase", ["before", "after"])
def test_all_rules_are_told_of_replaced_units_before_the_next_rule_acts(phase, array_module):
    """Those that act earlier and the one that has replaced them, too."""
    learner, told = witnesses((), (phase,), ())
    train(learner, range(1))
    told = [each for each in told if each[1] in (phase, "told of")]
    assert told == [
        ("rule 0", phase, 0),
        ("rule 1", phase, 0),
        *[(f"rule {number}", "told of", [[1, 2]]) for number in range(3)],
        ("rule 2", phase, 0),
    ]


@pytest.mark.quick
def test_nobody_is_told_if_nothing_was_replaced():
    learner, told = witnesses((), ())
    for nothing in (None, [], [None, None]):
        learner.announce(nothing)
    assert told == []


@pytest.mark.quick
def test_the_regularization_of_l2_init_pulls_a_new_unit_to_its_own_first_weights():
    """It is told of the units that Continual Backprop replaces, whichever of the two acts first."""
    for rules in ((L2Init(), CONTINUAL), (CONTINUAL, L2Init())):
        learner = make(NARROW, LearnerSettings(SGD(step_size=0.0), rules), [4, 9])
        start = host(learner.network.parameters).copy()
        train(learner, range(30))  # with a step size of 0 only replacements change the parameters
        (l2_init,) = (rule for rule in learner.rules if rule.name == "l2_init")
        assert_array_equal(host(l2_init.initial_parameters), host(learner.network.parameters))
        assert (host(learner.network.parameters) != start).any()


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["l2_init with continual_backprop", "redo after continual_backprop"])
def test_learners_that_are_made_of_the_same_objects_share_no_state(kind):
    settings = settings_of(kind)
    first, second, alone = (make(NARROW, settings, seeds) for seeds in ([4, 9], [1, 2], [1, 2]))
    for step in range(30):
        train(first, [step])
        train(second, [step])
    train(alone, range(30))
    assert_same_state(second, alone)
    for rule, other, given in zip(first.rules, second.rules, settings.rules):
        assert rule is not other and rule is not given
        assert rule.network is first.network and rule.optimizer is first.optimizer
        assert rule == other == given  # the hyperparameters


@pytest.mark.quick
def test_a_rule_that_needs_gradients_is_refused_if_there_are_none():
    network = mlp(NARROW, "relu", [0, 1], "float32")
    with pytest.raises(ValueError, match="^l2_init does not work with the optimizer sgd_in_place; choose sgd$"):
        Learner(network, squared_error, InPlaceSGD(), [CONTINUAL, L2Init()])
    Learner(network, squared_error, InPlaceSGD(), [CONTINUAL, ReDo(), ShrinkAndPerturb()])


@pytest.mark.quick
def test_a_rule_that_changes_gradients_is_refused_if_the_optimizer_takes_them_apart():
    """Network IDBD divides them by the error, which the change does not contain."""
    network = mlp(NARROW, "relu", [0, 1], "float32")
    with pytest.raises(ValueError, match="^l2_init does not work with the optimizer network_idbd; choose sgd$"):
        Learner(network, squared_error, NetworkIDBD(), [L2Init()])
    Learner(network, squared_error, NetworkIDBD(), [CONTINUAL, ReDo(), ShrinkAndPerturb()])


@pytest.mark.quick
@pytest.mark.parametrize("rule", [CONTINUAL, ReDo(), L2Init(), ShrinkAndPerturb()], ids=lambda rule: rule.name)
def test_every_rule_is_refused_if_the_weights_are_not_up_to_date(rule):
    network = mlp(NARROW, "relu", [0, 1], "float32", dense_layer=BufferedDense)
    with pytest.raises(ValueError, match=f"^{rule.name} does not work with the optimizer sgd_buffered; choose sgd$"):
        Learner(network, squared_error, BufferedSGD(), [rule])


@pytest.mark.quick
@pytest.mark.parametrize("optimizer", [SGD(), Adam(), MetaOptimize(), InPlaceSGD()], ids=lambda each: each.name)
def test_inheritance_needs_step_sizes_of_weights(optimizer):
    with pytest.raises(ValueError, match=f"inherits step sizes, and {optimizer.name} has none; choose network_idbd"):
        Learner(mlp(NARROW, "relu", [0, 1], "float32"), squared_error, optimizer, [GenerateAndTest()])


@pytest.mark.quick
@pytest.mark.parametrize("rule", [CONTINUAL, ReDo(), GenerateAndTest()], ids=lambda rule: rule.name)
def test_rules_that_replace_units_need_the_runs_axis(rule):
    with pytest.raises(ValueError, match=rf"{rule.name} needs the runs axis; make the network with seeds=\[seed\]"):
        Learner(mlp(NARROW, "relu", 3, "float32"), squared_error, NetworkIDBD(), [rule])


@pytest.mark.quick
@pytest.mark.parametrize("optimizer", [NetworkIDBD(), InPlaceSGD(), BufferedSGD()], ids=lambda each: each.name)
def test_an_optimizer_of_single_examples_refuses_a_mini_batch(optimizer):
    learner = make((2, 3, 1), LearnerSettings(optimizer), [0])
    before = host(learner.network.parameters).copy()
    with pytest.raises(ValueError, match="one example per step; choose"):
        learner.step(device(np.zeros((1, 2, 5)), "float32"), device(np.zeros((1, 1, 5)), "float32"))
    assert_array_equal(host(learner.network.parameters), before)


@pytest.mark.quick
@pytest.mark.parametrize("optimizer", [InPlaceSGD(), BufferedSGD()], ids=lambda each: each.name)
def test_an_optimizer_of_dense_layers_refuses_images(optimizer):
    """It would leave the kernels as they are."""
    network = convnet([0], "float32", image_size=6, kernels=((4, 3),), dense_units=())
    learner = Learner(network, squared_error, optimizer)
    with pytest.raises(ValueError, match=f"^{optimizer.name} is for networks of dense layers and one example per step"):
        learner.step(device(np.ones((1, 3, 6, 6, 1)), "float32"), device(np.ones((1, 2, 1)), "float32"))


@pytest.mark.quick
@pytest.mark.parametrize("shape", [(2, 1), (1, 3, 1), (2, 2, 1)])
def test_inputs_of_another_shape_are_refused(shape):
    learner = make((2, 3, 1), LearnerSettings(), [0])
    expected = r"Inputs must have the shape \(R, I, B\), here \(1, 2, B\)"
    with pytest.raises(ValueError, match=expected):
        learner.step(device(np.zeros(shape), "float32"), device(np.zeros((1, 1, 1)), "float32"))


# --- runs beside each other -------------------------------------------------------------------------------------------


@of_each_kind_and_size
def test_a_run_is_the_same_to_the_bit_alone_and_whoever_runs_beside_it(kind, sizes):
    settings = settings_of(kind, sizes)
    among = train(make(sizes, settings, [1, 9, 2, 4, 3]), range(NUM_STEPS))
    assert np.isfinite(among).all()
    assert_array_equal(train(make(sizes, settings, [9]), range(NUM_STEPS))[0], among[1])
    assert_array_equal(train(make(sizes, settings, [4, 9]), range(NUM_STEPS)), among[[3, 1]])


def test_runs_differ_in_their_initial_weights_and_learners_of_a_seed_do_not(array_module):
    backprop = make(NARROW, settings_of("backprop"), [4, 9]).network.parameters
    for kind in ("shrink_and_perturb", "continual_backprop", "adam", "redo", "buffered"):
        assert_array_equal(host(make(NARROW, settings_of(kind), [4, 9]).network.parameters), host(backprop))
    assert (host(backprop)[0] != host(backprop)[1])[:18].all()  # the first weight; biases are all 0


@of_each_size
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "linear"])
def test_a_run_that_diverges_leaves_the_others_to_the_bit_as_they_were(kind, sizes):
    """Its step size is 1e30; the hyperparameters of optimizers are numbers, or arrays (R, 1) with one for each run."""
    settings = settings_of(kind, sizes)
    size = settings.optimizer.step_size
    sober = settings.change(step_size=np.full((3, 1), size, "float32"))
    wild = settings.change(step_size=np.array([[size], [1e30], [size]], "float32"))
    expected = train(make(sizes, sober, [4, 9, 2]), range(NUM_STEPS))
    with np.errstate(all="ignore"):
        found = train(make(sizes, wild, [4, 9, 2]), range(NUM_STEPS))
    assert not np.isfinite(found[1]).all()
    assert_array_equal(found[[0, 2]], expected[[0, 2]])


# --- continuing after a stop ------------------------------------------------------------------------------------------


@of_each_kind_and_size
def test_a_restored_learner_continues_to_the_bit(kind, sizes, array_module):
    """Stopped before the first unit is mature, and between two replacements whose fractions are carried over.

    Buffered updates are applied at each stop, which rounds, so the other learner applies them there as well.
    """
    settings = settings_of(kind, sizes)
    uninterrupted, learner = (make(sizes, settings, [4, 9]) for _ in range(2))
    for start, stop in ((0, 3), (3, 29), (29, NUM_STEPS)):
        train(uninterrupted, range(start, stop))
        train(learner, range(start, stop))
        state = learner.state()
        train(learner, range(stop, stop + 5))  # what happens afterwards must not reach into the state
        learner = make(sizes, settings, [4, 9])
        learner.restore(state)
    assert_same_state(learner, uninterrupted)


@pytest.mark.parametrize("kind", FAST)
def test_buffered_updates_are_applied_before_a_learner_is_saved(kind, array_module):
    """So the one that was asked for its state and the one that is restored from it are the same to the bit."""
    settings = settings_of(kind, WIDE)
    learner = make(WIDE, settings, [4, 9])
    for step in range(21):  # no multiple of the size of the buffer
        learner.step(*mini_batch(learner, step))
    restored = make(WIDE, settings, [4, 9])
    restored.restore(learner.state())
    assert_array_equal(train(restored, range(21, 50)), train(learner, range(21, 50)))
    assert_same_state(restored, learner)


@pytest.mark.quick
def test_a_state_is_made_of_host_arrays_with_everything_that_is_carried(array_module):
    learner = make(NARROW, settings_of("adam with a state of each weight"), [4, 9])
    state = learner.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    units = ("age", "utility", "mean_feature", "correction", "units_to_replace")
    moments = ("first_moment", "second_moment", "first_correction", "second_correction")
    assert set(state) == {
        "parameters",
        "num_steps",
        *[f"optimizer.{name}" for name in moments],
        *[f"continual_backprop.{name}.{layer}" for name in units for layer in (0, 1)],
    }
    assert state["parameters"].shape == state["optimizer.first_correction"].shape == (2, 65)


@pytest.mark.quick
def test_running_statistics_are_part_of_the_state():
    learner = make(NARROW, settings_of("batch_norm"), [4, 9])
    train(learner, range(3))
    names = set(learner.state()) - {"parameters", "num_steps"}
    assert names == {f"{name}.{index}" for name in ("running_mean", "running_variance") for index in (1, 6)}
    assert (learner.state()["running_mean.1"] != 0).all()


@pytest.mark.quick
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(array_module):
    backprop = make(NARROW, settings_of("backprop"), [4, 9])
    train(backprop, range(3))
    with pytest.raises(ValueError, match=r"parameters has the shape \(2, 1052\), not \(2, 65\)"):
        backprop.restore(make(WIDE, settings_of("backprop"), [4, 9]).state())
    momentum, untouched = (make(NARROW, settings_of("momentum"), [4, 9]) for _ in range(2))
    with pytest.raises(ValueError, match="lacks optimizer.velocity; restore it into"):
        momentum.restore(backprop.state())
    with pytest.raises(ValueError, match="has optimizer.velocity in addition; restore it into"):
        backprop.restore(momentum.state())
    whole = {**momentum.state(), "parameters": np.zeros((2, 65))}
    del whole["num_steps"]
    with pytest.raises(ValueError, match="lacks num_steps; restore it into"):
        momentum.restore(whole)
    assert_same_state(momentum, untouched)


@pytest.mark.quick
def test_backprop_carries_nothing_but_its_parameters():
    learner = make(NARROW, LearnerSettings(), [0, 1])
    assert learner.optimizer.state == {} and learner.arrays().keys() == {"parameters"} and learner.rules == []


# --- resets -----------------------------------------------------------------------------------------------------------

HEAD = 5 + 1  # parameters of the output layer


def trained_and_reset(kind, what, draw, steps=30):
    """The same learner before and after a reset, and a network with the initial values of that draw."""
    before, after, fresh = (make(NARROW, settings_of(kind), [4, 9]) for _ in range(3))
    train(before, range(steps))
    train(after, range(steps))
    after.reset(what, draw)
    fresh.network.initialize(draw)
    return before.state(), after.state(), host(fresh.network.parameters)


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["momentum", "redo after continual_backprop", "buffered"])
def test_resetting_the_head_changes_the_output_layer_and_nothing_else(kind, array_module):
    before, after, initial = trained_and_reset(kind, "head", 3)
    assert_array_equal(after["parameters"][:, -HEAD:], initial[:, -HEAD:])
    assert (after["parameters"] != before["parameters"]).any()
    assert_array_equal(after.pop("parameters")[:, :-HEAD], before.pop("parameters")[:, :-HEAD])
    for name, array in before.items():
        assert_array_equal(after[name], array, name)


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["momentum", "redo after continual_backprop", "buffered", *OF_IMAGES])
def test_resetting_the_parameters_keeps_statistics_and_all_other_state(kind, array_module):
    """With scales and biases of normalizations, as the published baseline of CIFAR-100."""
    before, after, initial = trained_and_reset(kind, "parameters", 3)
    assert_array_equal(after.pop("parameters"), initial)
    assert (before.pop("parameters") != initial).any()
    for name, array in before.items():
        assert_array_equal(after[name], array, name)


@pytest.mark.parametrize("kind", ALL)
def test_resetting_the_network_makes_a_learner_that_has_not_learned(kind, array_module):
    """It equals a new learner of a network with the initial values of that draw; only the count of steps continues."""
    settings = settings_of(kind)
    learner = make(NARROW, settings, [4, 9])
    train(learner, range(21))
    learner.reset("network", 3)
    network = make(NARROW, settings, [4, 9]).network
    network.initialize(3)
    new = make_learner(network, squared_error, settings)
    new.num_steps = 21  # so that dropout, noise and replacements draw the same numbers
    assert_same_state(learner, new)
    train(learner, range(21, 40))
    train(new, range(21, 40))
    assert_same_state(learner, new)


@pytest.mark.quick
@pytest.mark.parametrize("what", ["head", "parameters", "network"])
def test_every_reset_draws_other_numbers_unless_it_has_the_same_draw(what):
    first, again, other = (trained_and_reset("backprop", what, draw)[1]["parameters"] for draw in (1, 1, 2))
    start = host(make(NARROW, settings_of("backprop"), [4, 9]).network.parameters)
    assert_array_equal(first, again)
    weights = slice(-HEAD, -1)  # biases start at 0
    assert (first[:, weights] != other[:, weights]).all() and (first[:, weights] != start[:, weights]).all()


@pytest.mark.quick
def test_resetting_nothing_changes_nothing():
    """The `reset` of the settings is what a problem passes at a new task."""
    before, after, _ = trained_and_reset("redo after continual_backprop", LearnerSettings().reset, 3)
    for name, array in before.items():
        assert_array_equal(after[name], array, name)


@pytest.mark.quick
def test_rules_are_told_which_layers_have_been_reset():
    for what, indices in (("head", [4]), ("parameters", [0, 1, 2, 3, 4]), ("network", [0, 1, 2, 3, 4])):
        learner, told = witnesses(())
        learner.reset(what, 1)
        assert told == [("rule 0", "reset", indices)]


@pytest.mark.quick
def test_l2_init_pulls_a_reset_head_to_its_new_values_and_other_layers_to_their_old_ones():
    learner = make(NARROW, settings_of("l2_init"), [4, 9])
    start = host(learner.network.parameters).copy()
    train(learner, range(10))
    learner.reset("head", 1)
    initial = host(learner.rules[0].initial_parameters)
    assert_array_equal(initial[:, :-HEAD], start[:, :-HEAD])
    assert_array_equal(initial[:, -HEAD:], host(learner.network.parameters)[:, -HEAD:])


def test_a_misspelled_reset_changes_nothing() -> None:
    learner = Learner(mlp((3, 4, 2), "relu", [0], "float64"), squared_error, SGD())
    before = host(learner.network.parameters).copy()
    with pytest.raises(ValueError, match="reset must be nothing or head or parameters or network, not 'heads'"):
        learner.reset("heads", 1)  # type: ignore[arg-type]
    assert (host(learner.network.parameters) == before).all()


def test_rules_of_units_are_refused_by_a_network_without_any() -> None:
    with pytest.raises(ValueError, match="redo acts on hidden units, and this network has none; remove the rule"):
        Learner(linear((3,), 2, [0], "float64"), squared_error, SGD(), [ReDo()])


def test_two_rules_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="A learner takes at most one rule of each kind"):
        Learner(mlp((3, 4, 2), "relu", [0], "float64"), squared_error, SGD(), [ReDo(), ReDo()])
