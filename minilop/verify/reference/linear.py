"""Linear methods that learn from one example per step, and the base class of the temporal-difference methods."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.optimizers import IDBD, LMS, Autostep
from minilop.verify.case import Arrays, Case

METHODS: dict[str, Callable[..., Any]] = {"lms": LMS, "idbd": IDBD, "autostep": Autostep}


class WeightsReference:
    """Runs a method whose parameters are a vector of weights. `methods` may substitute others, to make mistakes."""

    def __init__(self, methods: Mapping[str, Callable[..., Any]] = METHODS):
        self.methods = methods
        self.margins: dict[str, float] = {}  # these methods make no choices

    def load(self, case: Case, parameters: Arrays) -> None:
        hyperparameters = {name: value for name, value in case.settings.items() if name != "method"}
        weights = xp.asarray(parameters["weights"])[None].copy()
        self.method = self.methods[case.settings["method"]](weights, **hyperparameters)

    def after_update(self) -> Arrays:
        """Weights and state at the end of a step."""
        return {f"update/{name}": array for name, array in self.state().items()}

    def state(self) -> Arrays:
        """The complete state between steps, in the form that `set_state` takes."""
        return {name: vector_or_number(array) for name, array in self.arrays().items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, array in self.arrays().items():
            array[...] = xp.asarray(state[name])

    def arrays(self) -> dict[str, Array]:
        return {"weights": self.method.weights, **self.method.state}


class LinearReference(WeightsReference):
    """Runs LMS, IDBD and Autostep."""

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        inputs = xp.asarray(x)[None]
        prediction = to_host(self.method.predict(inputs))[0]
        error = to_host(self.method.step(inputs, xp.asarray(y)[None]))[0]
        return {"predict/prediction": prediction, "predict/error": error, **self.after_update()}


def vector_or_number(array: Array) -> np.ndarray:
    """A copy on the host without the runs axis: (1, n) becomes (n,), and (1, 1) becomes a number ()."""
    host = to_host(array)[0].copy()
    return host.reshape(()) if host.size == 1 else host
