"""Settings that make no sense are refused in one sentence."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pytest
from conftest import device, on_both_array_modules

from minilop.checks import check_choice, check_choices, check_range
from minilop.layers import Activation, Bias, Convolution, Dense, Dropout
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import IDBD, LMS, SGD, Autostep, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.recipes import convnet, linear, mlp
from minilop.residual_networks import resnet

pytestmark = pytest.mark.quick


@dataclass
class Drink:
    kind: Literal["tea", "coffee"] = "tea"
    cups: int = 1


def test_a_choice_is_one_of_those_that_its_annotation_names():
    check_choices(Drink("coffee"))
    with pytest.raises(ValueError, match="kind must be tea or coffee, not 'cocoa'"):
        check_choices(Drink("cocoa"))


def test_so_is_a_single_choice():
    check_choice("drink", "tea", Literal["tea", "coffee"])
    with pytest.raises(ValueError, match="^drink must be tea or coffee, not 'cocoa'$"):
        check_choice("drink", "cocoa", Literal["tea", "coffee"])


@pytest.mark.parametrize(
    ("low", "high", "below_high", "inside", "outside", "message"),
    [
        (0, math.inf, False, [0, 5], [-1, math.inf, math.nan], "at least 0"),
        (1, 3, False, [1, 3], [0, 4, -math.inf], "at least 1 and at most 3"),
        (0, 2.5, True, [0, 2], [2.5, 7], "at least 0 and below 2.5"),
    ],
)
def test_a_number_lies_in_its_range(low, high, below_high, inside, outside, message):
    for cups in inside:
        check_range(Drink(cups=cups), "cups", low, high, below_high)
    for cups in outside:
        with pytest.raises(ValueError, match=f"^cups must be a finite number, {message}, not {cups}$"):
            check_range(Drink(cups=cups), "cups", low, high, below_high)


def test_an_array_with_a_value_for_each_run_is_not_looked_into():
    """The host would wait for the device."""
    check_range(Drink(cups=np.array([[-1.0], [2.0]])), "cups", 0)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (LearnerSettings, "reset"),
        (LearnerSettings, "dtype"),
        (NetworkSettings, "kind"),
        (NetworkSettings, "activation"),
        (NetworkIDBD, "curvature"),
        (MetaOptimize, "base"),
        (MetaOptimize, "meta"),
        (ContinualBackprop, "utility"),
        (GenerateAndTest, "new_inputs"),
    ],
)
def test_parts_of_learners_refuse_a_misspelled_choice(part, name):
    """A utility named "idbd" must not silently become another one. test_learner_settings.py has all of them."""
    with pytest.raises(ValueError, match=f"{name} must be .*, not 'idbd'"):
        part(**{name: "idbd"})


# --- linear methods ---------------------------------------------------------------------------------------------------

STREAM = {"discount": 0.9, "trace_decay": 0.9}
METHODS = {
    "lms": partial(LMS, step_size=0.1),
    "idbd": IDBD,
    "autostep": Autostep,
    "td_lambda": partial(TDLambda, step_size=0.1, **STREAM),
    "true_online_td": partial(TrueOnlineTDLambda, step_size=0.1, **STREAM),
    "tidbd": partial(TIDBD, **STREAM),
    "swift_td": partial(SwiftTD, **STREAM),
}
SUPERVISED = ("lms", "idbd", "autostep")
PREDICTING = ("td_lambda", "true_online_td", "tidbd", "swift_td")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ([0.0, 0.0, 0.0], "list"),
        (0.0, "float"),
        (None, "NoneType"),
        (lambda: device(np.zeros(3, int)), r"[a-z_]+.ndarray of int64 and shape \(3,\)"),
        (lambda: device(np.zeros(())), r"[a-z_]+.ndarray of float64 and shape \(\)"),
    ],
    ids=["list", "number", "none", "whole numbers", "no axis"],
)
@on_both_array_modules
def test_linear_methods_refuse_weights_that_they_cannot_change_in_place(name, weights, found):
    """A list would be copied into other arrays, and predict 0 for ever; whole numbers would be rounded."""
    message = (
        f"^weights must be an array \\(..., n\\) of floating-point numbers, such as [a-z]+.zeros\\(n\\), not {found}$"
    )
    with pytest.raises(ValueError, match=message):
        METHODS[name](weights() if callable(weights) else weights)


BAD_VALUES = [
    *[(name, "step_size", -0.1, "at least 0") for name in ("lms", "td_lambda", "true_online_td")],
    *[(name, "step_size", math.nan, "at least 0") for name in ("lms", "td_lambda", "true_online_td")],
    *[(name, "meta_step_size", -0.1, "at least 0") for name in ("idbd", "autostep", "tidbd", "swift_td")],
    *[(name, "meta_step_size", math.inf, "at least 0") for name in ("idbd", "autostep", "tidbd", "swift_td")],
    *[(name, "initial_step_size", 0, "at least 1e-30") for name in ("idbd", "autostep", "tidbd", "swift_td")],
    *[(name, "initial_step_size", -0.1, "at least 1e-30") for name in ("idbd", "autostep", "tidbd", "swift_td")],
    *[(name, "tau", 0, "at least 1") for name in ("autostep", "tidbd")],
    *[(name, "discount", 2, "at least 0 and at most 1") for name in PREDICTING],
    *[(name, "trace_decay", 2, "at least 0 and at most 1") for name in PREDICTING],
    *[(name, "trace_decay", math.nan, "at least 0 and at most 1") for name in PREDICTING],
    ("swift_td", "step_bound", 0, "at least 1e-30"),
    ("swift_td", "step_decay", 1.5, "at least 1e-30 and at most 1"),
    ("swift_td", "smallest_step_size", 0, "at least 1e-30"),
]


@pytest.mark.parametrize(("name", "setting", "value", "range_"), BAD_VALUES)
def test_linear_methods_refuse_values_out_of_range(name, setting, value, range_):
    with pytest.raises(ValueError, match=f"^{setting} must be a finite number, {range_}, not {value}$"):
        METHODS[name](np.zeros(3), **{setting: value})


def test_swift_td_refuses_a_smallest_step_size_above_the_bound():
    with pytest.raises(ValueError, match="^smallest_step_size must be at most step_bound, 0.1, not 0.2$"):
        METHODS["swift_td"](np.zeros(3), smallest_step_size=0.2)


@pytest.mark.parametrize("value", ["0.1", None, 1j])
def test_a_hyperparameter_is_a_number_or_an_array(value):
    """Text would become a number, and None NaN, without a word."""
    for make in (lambda: IDBD(np.zeros(3), value), lambda: NetworkIDBD(meta_step_size=value)):
        with pytest.raises(ValueError, match="^meta_step_size must be a finite number, at least 0, not "):
            make()


def test_a_number_of_numpy_is_a_number():
    with pytest.raises(ValueError, match="^step_size must be a finite number, at least 0, not -1.0$"):
        LMS(np.zeros(3), np.float32(-1))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "inputs",
    [[1.0, 0.0, 0.0], 1.0, np.ones(1), np.ones(4), np.ones((2, 3))],
    ids=["list", "number", "one for all", "too many", "too many runs"],
)
def test_linear_methods_refuse_inputs_of_another_shape_than_their_weights(name, inputs):
    """One input for all weights would be repeated without a word."""
    method = METHODS[name](np.zeros(3))
    signal = "inputs" if name in SUPERVISED else "features"
    with pytest.raises(ValueError, match=rf"^{signal} must be an array of the shape \(3,\), not "):
        method.step(inputs, 1.0)
    with pytest.raises(ValueError, match=f"^{signal} must be an array of the shape"):
        method.predict(inputs)


@pytest.mark.parametrize("name", METHODS)
def test_linear_methods_refuse_a_signal_of_another_shape_than_their_predictions(name):
    method = METHODS[name](np.zeros((2, 3)))
    signal = "targets" if name in SUPERVISED else "cumulant"
    with pytest.raises(ValueError, match=rf"^{signal} must be an array of the shape \(2,\), not \(2, 1\)$"):
        method.step(np.ones((2, 3)), np.ones((2, 1)))
    method.step(np.ones((2, 3)), 1.0)
    method.step(np.ones((1, 3)), np.ones(2))  # the same inputs in both runs


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda weights: Autostep(weights, bound="transiant"), "bound"),
        (lambda weights: TIDBD(weights, 0.9, 0.9, gradient="full"), "gradient"),
    ],
)
def test_linear_methods_refuse_a_misspelled_choice(make, name):
    with pytest.raises(ValueError, match=f"{name} must be "):
        make(np.zeros((1, 4)))


# --- networks ---------------------------------------------------------------------------------------------------------

RUN = {"seeds": [0], "dtype": "float32"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp((2, 3, 1), "relu", **RUN, scheme="kaimin"), "scheme must be kaiming or .*, not 'kaimin'"),
        (lambda: Dense(2, 3, scheme="kaimin"), "scheme must be kaiming or .*, not 'kaimin'"),
        (lambda: Convolution(1, 2, 3, scheme="kaimin"), "scheme must be kaiming or .*, not 'kaimin'"),
        (lambda: Bias(2, 9, "kaimin"), "scheme must be kaiming or .*, not 'kaimin'"),
        (lambda: mlp((2, 3, 1), "rely", **RUN), "activation must be .*relu.*, not 'rely'"),
        (lambda: convnet(**RUN, activation="rely"), "activation must be .*relu.*, not 'rely'"),
        (lambda: Activation("rely"), "activation must be relu or .*, not 'rely'"),
        (lambda: Dense(2, 3, "rely"), "activation must be .*relu.*, not 'rely'"),
        (lambda: mlp((2, -3, 1), "relu", **RUN), "the sizes of a layer must be whole numbers, at least 1, not -3"),
        (lambda: mlp((2, 3.0, 1), "relu", **RUN), "the sizes of a layer must be whole numbers, at least 1, not 3.0"),
        (lambda: mlp((2, 3, 1), "relu", **RUN, dropout=1.0), "the dropout probability must be .* below 1, not 1.0"),
        (lambda: mlp((2, 3, 1), "relu", [0], "float23"), "dtype must be float32 or float64, not 'float23'"),
        (
            lambda: mlp((2, 3, 1), "relu", [0.5], "float32"),
            "A network needs at least one seed, and all seeds must be whole",
        ),
        (lambda: linear((3, -8, 8), 1, **RUN), "the sizes of a layer must be whole numbers, at least 1, not -192"),
        (lambda: linear((5,), 0, **RUN), "the sizes of a layer must be whole numbers, at least 1, not 0"),
        (lambda: convnet(**RUN, num_outputs=-2), "the sizes of a layer must be whole numbers, at least 1, not -2"),
        (lambda: convnet(**RUN, kernels=((3, -3),)), "the sizes of a layer must be whole numbers, at least 1, not -3"),
        (lambda: resnet(**RUN, num_outputs=0), "the sizes of a layer must be whole numbers, at least 1, not 0"),
        (lambda: Dense(0, 3), "the sizes of a layer must be whole numbers, at least 1, not 0"),
        (lambda: Dense(3, -1), "the sizes of a layer must be whole numbers, at least 1, not -1"),
        (lambda: Convolution(-1, 2, 3), "the sizes of a layer must be whole numbers, at least 1, not -1"),
        (lambda: Dropout(math.nan, 3), "the dropout probability must be a finite number, at least 0 and below 1"),
    ],
)
def test_networks_and_layers_refuse_unknown_names_and_sizes_below_one(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_a_learner_refuses_a_loss_that_is_a_name():
    with pytest.raises(TypeError, match="^Learner needs a loss function, such as squared_error, or None, not 'mse'"):
        Learner(mlp((2, 3, 1), "relu", **RUN), "mse", SGD())
