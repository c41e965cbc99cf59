"""Linear methods, of one example a step: those that predict a number, and what they share with temporal differences."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.optimizers import IDBD, LMS, Autostep
from minilop.verify.case import Arrays, Case

METHODS: dict[str, Callable[..., Any]] = {"lms": LMS, "idbd": IDBD, "autostep": Autostep}


class WeightsReference:
    """Plays a method whose parameters are a vector of weights. `methods` makes it play others by the same names."""

    def __init__(self, methods: Mapping[str, Callable[..., Any]] = METHODS):
        self.methods = methods
        self.margins: dict[str, float] = {}  # there are no choices

    def load(self, case: Case, parameters: Arrays) -> None:
        hyperparameters = {name: value for name, value in case.settings.items() if name != "method"}
        weights = xp.asarray(parameters["weights"])[None].copy()
        self.method = self.methods[case.settings["method"]](weights, **hyperparameters)

    def after_update(self) -> Arrays:
        """Weights and state, as they are at the end of a step."""
        return {f"update/{name}": array for name, array in self.state().items()}

    def state(self) -> Arrays:
        """All that goes from step to step, as `set_state` wants it."""
        return {name: vector_or_number(array) for name, array in self.arrays().items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, array in self.arrays().items():
            array[...] = xp.asarray(state[name])

    def arrays(self) -> dict[str, Array]:
        return {"weights": self.method.weights, **self.method.state}


class LinearReference(WeightsReference):
    """Plays LMS, IDBD and Autostep."""

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        inputs = xp.asarray(x)[None]
        prediction = to_host(self.method.predict(inputs))[0]
        error = to_host(self.method.step(inputs, xp.asarray(y)[None]))[0]
        return {"predict/prediction": prediction, "predict/error": error, **self.after_update()}


def vector_or_number(array: Array) -> np.ndarray:
    """A copy on the host without the runs axis: (1, n) to (n,), and (1, 1) to a number ()."""
    host = to_host(array)[0].copy()
    return host.reshape(()) if host.size == 1 else host
