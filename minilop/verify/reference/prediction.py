"""Temporal-difference methods, one step of the stream at a time.

A case has one discount for the whole stream, or one for each step, `x/discount`. Only in the latter is the next decay
factor of the trace, `last_decay`, part of the state; with a constant discount it never changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.linear import WeightsReference

METHODS: dict[str, Callable[..., Any]] = {
    "td_lambda": TDLambda,
    "true_online_td_lambda": TrueOnlineTDLambda,
    "tidbd": TIDBD,
    "swift_td": SwiftTD,
}


class PredictionReference(WeightsReference):
    """Runs all of them. x holds the features of a step, and its discount if that changes; y is the cumulant."""

    def __init__(self, methods: Mapping[str, Callable[..., Any]] = METHODS):
        super().__init__(methods)

    def load(self, case: Case, parameters: Arrays) -> None:
        self.discount_changes = "x/discount" in case.inputs
        if self.discount_changes:
            first = float(case.inputs["x/discount"][0])
            case = replace(case, hyperparameters={**case.hyperparameters, "discount": first})
        super().load(case, parameters)

    def arrays(self) -> dict[str, Array]:
        arrays = super().arrays()
        return {name: array for name, array in arrays.items() if name != "last_decay" or self.discount_changes}

    def step(self, x: Any, y: np.ndarray, draws: Arrays) -> Arrays:
        if self.discount_changes:
            self.method.discount = float(x["discount"])
            x = x["features"]
        value = to_host(self.method.step(xp.asarray(x)[None], xp.asarray(y)[None]))[0]
        return {"predict/value": value, **self.after_update()}
