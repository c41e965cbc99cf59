"""Settings of a learner: named parts, changes by name, and values that are refused in one sentence."""

from dataclasses import fields, replace
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_array_equal

from minilop.fast import BufferedDense, BufferedSGD, InPlaceSGD
from minilop.layers import Activation, BatchNorm, Dense, Dropout
from minilop.learner_settings import (
    LearnerSettings,
    NetworkSettings,
    make_convnet,
    make_learner,
    make_mlp,
)
from minilop.losses import squared_error
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from problems.shared.generated_images import check_one_example

pytestmark = pytest.mark.quick

OPTIMIZERS = (SGD, Adam, NetworkIDBD, MetaOptimize, InPlaceSGD, BufferedSGD)
UNIT_RULES = (ContinualBackprop, GenerateAndTest, ReDo)
RULES = (*UNIT_RULES, L2Init, ShrinkAndPerturb)
PARTS = (*OPTIMIZERS, *RULES, NetworkSettings)
NUMBERS = [(part, each.name) for part in PARTS for each in fields(part) if type(each.default) in (int, float)]
CHOICES = [
    (part, name)
    for part in (*PARTS, LearnerSettings)
    for name, kind in get_type_hints(part).items()
    if get_origin(kind) is Literal
]


def by_name(value):
    return value.__name__ if isinstance(value, type) else None


# --- parts ------------------------------------------------------------------------------------------------------------


def test_the_parts_are_optimizer_network_and_rules_in_their_order():
    rules = ShrinkAndPerturb(), ContinualBackprop(), ReDo()
    settings = LearnerSettings(Adam(), rules)
    parts = settings.parts()
    assert list(parts) == ["optimizer", "network", "shrink_and_perturb", "continual_backprop", "redo"]
    assert parts["optimizer"] is settings.optimizer and parts["network"] is settings.network
    assert tuple(parts.values())[2:] == rules


def test_the_default_is_backprop():
    """SGD without momentum, decay or rules, and a network of rectifiers."""
    settings = LearnerSettings()
    assert list(settings.parts()) == ["optimizer", "network"]
    assert settings.optimizer == SGD(step_size=0.01, momentum=0.0, weight_decay=0.0)
    assert settings.network == NetworkSettings("deep", "relu", 0.0, False)
    assert (settings.reset, settings.dtype) == ("nothing", "float32")


def test_two_default_settings_do_not_share_their_optimizer():
    """A schedule writes to the step size of an optimizer."""
    LearnerSettings().optimizer.step_size = 7.0
    assert LearnerSettings().optimizer.step_size == 0.01


# --- changes ----------------------------------------------------------------------------------------------------------

ALL = LearnerSettings(SGD(step_size=0.5), (ShrinkAndPerturb(), ContinualBackprop(), L2Init(), ReDo()))


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("step_size", 0.1, "optimizer"),
        ("momentum", 0.9, "optimizer"),
        ("dropout", 0.3, "network"),
        ("activation", "tanh", "network"),
        ("perturb_scale", 0.2, "shrink_and_perturb"),
        ("replacement_rate", 0.01, "continual_backprop"),
        ("init_decay", 0.4, "l2_init"),
        ("redo_period", 7, "redo"),
    ],
)
def test_a_setting_is_changed_in_the_one_part_that_has_it(setting, value, part):
    changed = ALL.change(**{setting: value})
    for name, before in ALL.parts().items():
        after = changed.parts()[name]
        assert after == (replace(before, **{setting: value}) if name == part else before)
    assert (changed.reset, changed.dtype) == (ALL.reset, ALL.dtype)
    assert getattr(ALL.parts()[part], setting) != value  # the original is as it was


def test_reset_and_dtype_are_settings_of_the_learner_itself():
    changed = ALL.change(reset="head", dtype="float64")
    assert (changed.reset, changed.dtype) == ("head", "float64")
    assert changed.parts() == ALL.parts()


def test_several_settings_are_changed_at_once_and_rules_keep_their_order():
    changed = ALL.change(step_size=0.1, maturity_threshold=5, perturb_scale=0.2, batch_norm=True, dtype="float64")
    assert [rule.name for rule in changed.rules] == [rule.name for rule in ALL.rules]
    assert changed.optimizer.step_size == 0.1 and changed.network.batch_norm
    assert changed.rules[0].perturb_scale == 0.2 and changed.rules[1].maturity_threshold == 5
    assert ALL.change() == ALL


@pytest.mark.parametrize(
    ("settings", "setting", "message"),
    [
        (ALL, "learning_rate", "learning_rate belongs to no part of this learner"),
        (ALL, "reset_optimizer_state", "reset_optimizer_state belongs to continual_backprop and redo of this learner"),
        (LearnerSettings(Adam()), "momentum", "momentum belongs to no part of this learner"),
        (LearnerSettings(NetworkIDBD()), "weight_decay", "weight_decay belongs to no part of this learner"),
        (LearnerSettings(BufferedSGD()), "weight_decay", "weight_decay belongs to no part of this learner"),
        (LearnerSettings(), "replacement_rate", "replacement_rate belongs to no part of this learner"),
        (
            LearnerSettings(NetworkIDBD(), (ContinualBackprop(), GenerateAndTest())),
            "maturity_threshold",
            "maturity_threshold belongs to continual_backprop and generate_and_test of this learner",
        ),
        (LearnerSettings(), "name", "name belongs to no part of this learner"),  # a constant of the class, no setting
    ],
)
def test_a_setting_of_no_part_or_of_several_is_refused_and_the_parts_are_named(settings, setting, message):
    with pytest.raises(ValueError, match=rf"^{message}; see parts\(\)$"):
        settings.change(**{setting: 0.5})


def test_a_changed_value_is_checked_as_a_given_one():
    with pytest.raises(ValueError, match="momentum must be a finite number, at least 0 and below 1, not 1.5"):
        ALL.change(momentum=1.5)
    with pytest.raises(ValueError, match="^redo acts on hidden units"):
        LearnerSettings(rules=(ReDo(),)).change(kind="linear")
    with pytest.raises(ValueError, match="reset must be nothing or head or parameters or network, not 'everything'"):
        ALL.change(reset="everything")


def test_rules_are_added_after_those_that_are_there():
    settings = LearnerSettings(rules=(ShrinkAndPerturb(),)).with_rules(ContinualBackprop(), ReDo())
    assert [rule.name for rule in settings.rules] == ["shrink_and_perturb", "continual_backprop", "redo"]


def test_a_part_is_replaced_by_its_name():
    changed = ALL.with_part("optimizer", Adam()).with_part("redo", ReDo(redo_period=3))
    assert changed.optimizer == Adam()
    assert changed.rules == (*ALL.rules[:3], ReDo(redo_period=3))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "name"), NUMBERS, ids=by_name)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_number_out_of_range_is_refused_by_name_in_one_sentence(part, name, value):
    pattern = rf"^{name} must be a finite number, at least [01]( and (below|at most) 1)?, not {value}$"
    with pytest.raises(ValueError, match=pattern):
        part(**{name: value})


@pytest.mark.parametrize(
    ("part", "name", "inside", "outside", "allowed"),
    [
        (SGD, "momentum", 0.999, 1.0, "at least 0 and below 1"),
        (Adam, "beta_1", 0.0, 1.0, "at least 0 and below 1"),
        (Adam, "beta_2", 0.999, 1.0, "at least 0 and below 1"),
        (NetworkIDBD, "tau", 1.0, 0.5, "at least 1"),
        (NetworkIDBD, "overshoot_limit", 0.0, -0.1, "at least 0"),
        (MetaOptimize, "trace_decay", 1.0, 1.5, "at least 0 and at most 1"),
        (ContinualBackprop, "decay_rate", 0.0, 1.0, "at least 0 and below 1"),
        (ContinualBackprop, "maturity_threshold", 0, -1, "at least 0"),
        (GenerateAndTest, "decay_rate", 0.999, 1.0, "at least 0 and below 1"),
        (GenerateAndTest, "num_new_inputs", 1, 0, "at least 1"),
        (ReDo, "redo_period", 1, 0, "at least 1"),
        (ReDo, "redo_threshold", 0.0, -0.1, "at least 0"),
        (NetworkSettings, "dropout", 0.999, 1.0, "at least 0 and below 1"),
    ],
    ids=by_name,
)
def test_the_limits_of_a_range(part, name, inside, outside, allowed):
    assert getattr(part(**{name: inside}), name) == inside
    with pytest.raises(ValueError, match=f"^{name} must be a finite number, {allowed}, not {outside}$"):
        part(**{name: outside})


@pytest.mark.parametrize(("part", "name"), CHOICES, ids=by_name)
def test_a_misspelled_choice_is_refused_and_the_choices_are_listed(part, name):
    choices = " or ".join(get_args(get_type_hints(part)[name]))
    with pytest.raises(ValueError, match=f"^{name} must be {choices}, not 'idbd'$"):
        part(**{name: "idbd"})


@pytest.mark.parametrize("rule", UNIT_RULES)
def test_a_linear_network_has_no_units_for_a_rule(rule):
    with pytest.raises(ValueError, match=f"^{rule.name} acts on hidden units, and kind=linear has none; choose kind="):
        LearnerSettings(NetworkIDBD(), (rule(),), NetworkSettings(kind="linear"))


@pytest.mark.parametrize("rule", [L2Init, ShrinkAndPerturb])
def test_rules_that_act_on_parameters_are_for_linear_networks_too(rule):
    assert LearnerSettings(rules=(rule(),), network=NetworkSettings(kind="linear")).rules == (rule(),)


@pytest.mark.parametrize("changes", [{"dropout": 0.1}, {"batch_norm": True}])
def test_a_linear_network_has_no_units_to_drop_or_normalize(changes):
    with pytest.raises(ValueError, match="kind=linear has no hidden units to drop or normalize; choose kind=deep"):
        NetworkSettings(kind="linear", **changes)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_works_with_buffered_updates(rule):
    """They act on the weights, which are not up to date."""
    message = "does not work with the optimizer sgd_buffered; choose sgd"
    if rule is GenerateAndTest:
        message = "inherits step sizes, and sgd_buffered has none; choose network_idbd"
    with pytest.raises(ValueError, match=f"^{rule.name} {message}$"):
        LearnerSettings(BufferedSGD(), (rule(),))


@pytest.mark.parametrize("optimizer", [SGD, Adam, MetaOptimize, InPlaceSGD])
def test_inheritance_needs_step_sizes_of_weights(optimizer):
    message = f"^generate_and_test inherits step sizes, and {optimizer.name} has none; choose network_idbd$"
    with pytest.raises(ValueError, match=message):
        LearnerSettings(optimizer(), (GenerateAndTest(),))
    assert LearnerSettings(NetworkIDBD(), (GenerateAndTest(),)).rules == (GenerateAndTest(),)


@pytest.mark.parametrize("optimizer", [InPlaceSGD, NetworkIDBD])
def test_a_rule_that_changes_gradients_needs_an_optimizer_that_follows_them(optimizer):
    """One never forms them, the other takes error and inputs apart."""
    with pytest.raises(ValueError, match=f"^l2_init does not work with the optimizer {optimizer.name}; choose sgd$"):
        LearnerSettings(optimizer(), (L2Init(),))
    for rule in (ContinualBackprop(), ReDo(), ShrinkAndPerturb()):
        assert LearnerSettings(optimizer(), (rule,)).rules == (rule,)


def test_a_lifetime_average_is_one_of_contributions():
    with pytest.raises(ValueError, match="average=lifetime_activity needs utility=contribution"):
        ContinualBackprop(average="lifetime_activity")
    ContinualBackprop(average="lifetime_activity", utility="contribution")


@pytest.mark.parametrize("optimizer", [NetworkIDBD, InPlaceSGD, BufferedSGD])
def test_an_optimizer_of_single_examples_refuses_mini_batches(optimizer):
    settings = LearnerSettings(optimizer())
    check_one_example(settings, 1)
    message = f"^{optimizer.name} learns from one example per step; choose a batch_size of 1 or another optimizer$"
    with pytest.raises(ValueError, match=message):
        check_one_example(settings, 2)


@pytest.mark.parametrize("optimizer", [SGD, Adam, MetaOptimize])
def test_the_other_optimizers_take_mini_batches(optimizer):
    check_one_example(LearnerSettings(optimizer()), 32)


def test_a_hyperparameter_may_be_an_array_with_a_value_for_each_run(array_module):
    step_size = device([[0.1], [0.2]])
    assert LearnerSettings(SGD(step_size=step_size)).optimizer.step_size is step_size


# --- networks and learners --------------------------------------------------------------------------------------------


def test_a_multilayer_perceptron_has_the_activation_and_dropout_of_the_settings():
    settings = LearnerSettings(network=NetworkSettings(activation="tanh", dropout=0.3), dtype="float64")
    network = make_mlp((3, 5, 4, 2), settings, [0, 1], first_number=7)
    assert [type(layer) for layer in network.layers] == 2 * [Dense, Activation, Dropout] + [Dense]
    assert network.layers[1].name == "tanh" and network.layers[2].probability == 0.3
    assert network.dtype == "float64" and network.parameters.shape == (2, 20 + 24 + 10)
    assert [layer.number for layer in network.dense_layers] == [7, 8, 9]


def test_the_linear_baseline_has_one_layer_from_inputs_to_outputs():
    settings = LearnerSettings(network=NetworkSettings(kind="linear"))
    assert [(layer.num_inputs, layer.num_outputs) for layer in make_mlp((3, 5, 4, 2), settings, [0]).layers] == [(3, 2)]
    images = make_convnet((2, 6, 6), [(4, 3)], [5], 3, settings, [0])
    assert not images.hidden and images.dense_layers[0].num_inputs == 2 * 6 * 6


@pytest.mark.parametrize("kind", ["deep", "linear"])
def test_buffered_updates_come_with_layers_that_buffer_them(kind):
    settings = LearnerSettings(BufferedSGD(), network=NetworkSettings(kind=kind))
    assert {type(layer) for layer in make_mlp((3, 5, 2), settings, [0]).dense_layers} == {BufferedDense}


def test_a_convolutional_network_has_the_layers_of_the_settings():
    settings = LearnerSettings(network=NetworkSettings("deep", "tanh", 0.1, batch_norm=True))
    layers = make_convnet((2, 8, 8), [(4, 3)], [5], 3, settings, [0]).layers
    assert sum(isinstance(layer, BatchNorm) for layer in layers) == 2
    assert [layer.probability for layer in layers if isinstance(layer, Dropout)] == [0.1]
    assert {layer.name for layer in layers if isinstance(layer, Activation)} == {"tanh"}


def test_what_a_recipe_cannot_make_is_refused():
    with pytest.raises(ValueError, match="batch_norm needs a network that learns from mini-batches of images"):
        make_mlp((3, 5, 2), LearnerSettings(network=NetworkSettings(batch_norm=True)), [0])
    with pytest.raises(ValueError, match="Images must be square, not 8 x 6 pixels"):
        make_convnet((3, 8, 6), [(4, 3)], [5], 2, LearnerSettings(), [0])


@pytest.mark.parametrize("optimizer", [InPlaceSGD, BufferedSGD])
@pytest.mark.parametrize("kind", ["deep", "linear"])
def test_optimizers_of_dense_layers_are_not_for_images(optimizer, kind):
    """They would leave the kernels as they are."""
    settings = LearnerSettings(optimizer(), network=NetworkSettings(kind=kind))
    with pytest.raises(ValueError, match=f"^{optimizer.name} is for networks of dense layers; choose sgd"):
        make_convnet((3, 8, 8), [(4, 3)], [5], 2, settings, [0])


def test_a_learner_is_made_of_copies_of_the_parts(array_module):
    """So the settings can make another learner, and they still compare equal."""
    settings = LearnerSettings(Adam(step_size=0.02), (ContinualBackprop(replacement_rate=0.3, maturity_threshold=1),))
    before = replace(settings)
    learners = [make_learner(make_mlp((3, 6, 1), settings, [0, 1]), squared_error, settings) for _ in range(2)]
    for learner in learners:
        assert learner.optimizer == settings.optimizer and learner.optimizer is not settings.optimizer
        assert learner.rules == list(settings.rules) and learner.rules[0] is not settings.rules[0]
        for _ in range(4):
            learner.step(device(np.ones((2, 3, 1)), "float32"), device(np.ones((2, 1, 1)), "float32"))
    assert_array_equal(*(host(learner.network.parameters) for learner in learners))
    assert not hasattr(settings.optimizer, "state") and not hasattr(settings.rules[0], "units")
    assert settings == before
