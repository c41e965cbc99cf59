"""Temporal-difference methods, one step of the stream at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.backend import to_host, xp
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.verify.case import Arrays
from minilop.verify.reference.linear import WeightsReference

METHODS: dict[str, Callable[..., Any]] = {
    "td_lambda": TDLambda,
    "true_online_td_lambda": TrueOnlineTDLambda,
    "tidbd": TIDBD,
    "swift_td": SwiftTD,
}


class PredictionReference(WeightsReference):
    """Plays them all; x are the features of a step and y is the cumulant that came with them."""

    def __init__(self, methods: Mapping[str, Callable[..., Any]] = METHODS):
        super().__init__(methods)

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        value = to_host(self.method.step(xp.asarray(x)[None], xp.asarray(y)[None]))[0]
        return {"predict/value": value, **self.after_update()}
