"""Settings that make no sense are refused in one sentence."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from minilop.checks import check_choices
from minilop.learner import LearnerSettings
from minilop.optimizers import Autostep, MetaOptimize, NetworkIDBD
from minilop.plasticity.dynamic import DynamicSettings
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


@pytest.mark.parametrize(
    "settings, name",
    [
        (LearnerSettings, "optimizer"),
        (LearnerSettings, "curvature"),
        (LearnerSettings, "utility"),
        (LearnerSettings, "base"),
        (LearnerSettings, "activation"),
        (DynamicSettings, "new_inputs"),
        (DynamicSettings, "activation"),
    ],
)
def test_settings_of_learners_refuse_a_misspelled_choice(settings, name):
    """An optimizer named "idbd", as the learner of a problem is, must not silently become another one."""
    with pytest.raises(ValueError, match=f"{name} must be .*, not 'idbd'"):
        settings(**{name: "idbd"})


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda weights: Autostep(weights, bound="transiant"), "bound"),
        (lambda weights: NetworkIDBD(weights, 0.01, curvature="gausnewton"), "curvature"),
        (lambda weights: MetaOptimize(weights, 0.01, base="rmsprop"), "base"),
        (lambda weights: MetaOptimize(weights, 0.01, meta="rmsprop"), "meta"),
        (lambda weights: TIDBD(weights, 0.9, 0.9, gradient="full"), "gradient"),
    ],
)
def test_so_do_the_methods_themselves(make, name):
    with pytest.raises(ValueError, match=f"{name} must be "):
        make(np.zeros((1, 4)))
