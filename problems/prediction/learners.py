"""The learners of prediction. Each is a method and the values to compare of one parameter."""

import math
from dataclasses import dataclass
from typing import Literal

from minilop.backend import Array
from minilop.checks import check_choices, check_range
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.prediction.linear_predictor import LinearPredictor
from problems.shared.sweeps import check_parameters, side_by_side


@dataclass(frozen=True)
class PredictionLearner:
    """A method and the values to compare of one parameter.

    compared   step sizes of td and true_online_td, meta step sizes of tidbd and swift_td
    """

    rule: Literal["td", "true_online_td", "tidbd", "swift_td"] = "true_online_td"
    compared: tuple[float, ...] = (0.03,)
    trace_decay: float = 0.95  # lambda
    initial_step_size: float = 0.01  # tidbd, swift_td
    gradient: Literal["semi", "ordinary"] = "semi"  # tidbd
    normalize: bool = False  # tidbd
    tau: float = 1e4  # tidbd, with normalize
    step_bound: float = 0.1  # swift_td: eta
    step_decay: float = 0.99  # swift_td: epsilon
    smallest_step_size: float = math.exp(-15)  # swift_td
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_parameters(self.compared)
        check_range(self, "initial_step_size step_bound smallest_step_size", 1e-30)
        check_range(self, "tau", 1)
        check_range(self, "step_decay", 1e-30, 1)
        check_range(self, "trace_decay", 0, 1)
        if self.smallest_step_size > self.step_bound:
            raise ValueError(f"smallest_step_size must be at most step_bound, {self.step_bound:g}")

    def make(self, weights: Array, discount: float) -> LinearPredictor:
        """The method for weights (R, K, n), with K values of its parameter."""
        value = side_by_side(self.compared, self.dtype)
        if self.rule in ("td", "true_online_td"):
            kind = TDLambda if self.rule == "td" else TrueOnlineTDLambda
            return kind(weights, value, discount, self.trace_decay)
        if self.rule == "tidbd":
            start, options = self.initial_step_size, (self.gradient, self.normalize, self.tau)
            return TIDBD(weights, discount, self.trace_decay, value, start, *options)
        limits = (self.step_bound, self.step_decay, self.smallest_step_size)
        return SwiftTD(weights, discount, self.trace_decay, value, self.initial_step_size, *limits)


STEP_SIZES = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)
META_STEP_SIZES = (1e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LEARNERS = {
    "td_lambda": PredictionLearner("td", STEP_SIZES),
    "true_online_td": PredictionLearner("true_online_td", STEP_SIZES),
    "tidbd": PredictionLearner("tidbd", (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0)),
    "tidbd_normalized": PredictionLearner("tidbd", META_STEP_SIZES, normalize=True, initial_step_size=0.03),
    "swift_td": PredictionLearner("swift_td", META_STEP_SIZES),
    "swift_td_bound_0.5": PredictionLearner(
        "swift_td", META_STEP_SIZES, initial_step_size=0.1, step_bound=0.5, step_decay=0.9
    ),
}
