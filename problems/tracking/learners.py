"""The learners of tracking. Each is a rule and the values to compare of one parameter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from minilop.backend import Array
from minilop.checks import check_choices, check_range
from minilop.optimizers import IDBD, LMS, Autostep
from minilop.optimizers.autostep import Bound
from minilop.optimizers.linear_learner import LinearLearner
from problems.shared.sweeps import check_parameters, side_by_side


@dataclass(frozen=True)
class TrackingLearner:
    """A rule and values of one parameter for each experiment: step sizes of lms, meta step sizes of the others."""

    rule: Literal["lms", "idbd", "autostep"] = "lms"
    compared: tuple[float, ...] = (0.03,)
    observed: tuple[float, ...] = ()  # empty: no such experiment
    rates: tuple[float, ...] = ()
    initial_step_size: float = 0.05  # idbd, autostep
    tau: float = 1e4  # autostep
    bound: Bound = "permanent"  # autostep
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_parameters(self.compared, *self.observed, *self.rates)
        check_range(self, "initial_step_size", 1e-30)
        check_range(self, "tau", 1)

    def make(self, weights: Array, values: Sequence[float]) -> LinearLearner:
        """The learner for weights (R, ..., K, n), with these K values of its parameter."""
        parameter = side_by_side(values, self.dtype)
        if self.rule == "lms":
            return LMS(weights, parameter)
        if self.rule == "idbd":
            return IDBD(weights, parameter, self.initial_step_size)
        return Autostep(weights, parameter, self.initial_step_size, self.tau, self.bound)


LEARNERS = {
    "lms": TrackingLearner(
        compared=(0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07),
        rates=(0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
    ),
    "idbd": TrackingLearner(
        rule="idbd",
        compared=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05),
        observed=(0.001,),
        rates=(0.001, 0.01),
    ),
    "autostep": TrackingLearner(
        rule="autostep",
        compared=(1e-4, 3e-4, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5),
        observed=(0.01,),
        rates=(0.001, 0.01, 0.03),
    ),
    "autostep_transient": TrackingLearner(
        rule="autostep",
        bound="transient",
        compared=(1e-4, 3e-4, 0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5),
        observed=(0.01,),  # no rates: the bound almost never acts there
    ),
}
