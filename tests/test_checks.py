"""Settings that make no sense are refused in one sentence."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from minilop.checks import check_choice, check_choices, check_range
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import Autostep, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest
from minilop.prediction import TIDBD

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


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda weights: Autostep(weights, bound="transiant"), "bound"),
        (lambda weights: TIDBD(weights, 0.9, 0.9, gradient="full"), "gradient"),
    ],
)
def test_so_do_methods_of_linear_prediction(make, name):
    with pytest.raises(ValueError, match=f"{name} must be "):
        make(np.zeros((1, 4)))
