"""Mistakes in linear methods that learn step sizes. Each method is reimplemented with optional mistakes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minilop.backend import Array, xp
from minilop.optimizers import IDBD, LMS, Autostep
from minilop.optimizers.linear_learner import LinearLearner, dot
from minilop.verify.case import Arrays
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.linear import METHODS, LinearReference


class MistakenLMS(LMS):
    """The LMS rule, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake

    def update(self, error: Array, inputs: Array) -> None:
        factor = 2 if self.mistake == "lms_squared_error" else 1
        self.weights += factor * self.step_size * error * inputs


class MistakenIDBD(IDBD):
    """Lines 2 to 5 of minilop/optimizers/idbd.py, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake

    def update(self, error: Array, inputs: Array) -> None:
        beta, h = self.state["log_step_sizes"], self.state["traces"]
        old_step_sizes = self.step_sizes
        if self.mistake == "idbd_new_trace":
            self.update_trace(old_step_sizes, error, inputs)
        slope = inputs if self.mistake == "idbd_prediction_gradient" else error * inputs
        sign = -1 if self.mistake == "idbd_meta_gradient_sign" else 1
        beta += sign * self.meta_step_size * slope * h  # 2
        step_sizes = old_step_sizes if self.mistake == "idbd_old_step_size" else xp.exp(beta)  # 3
        self.weights += step_sizes * error * inputs  # 4
        if self.mistake != "idbd_new_trace":
            self.update_trace(step_sizes, error, inputs)

    def update_trace(self, step_sizes: Array, error: Array, inputs: Array) -> None:
        h = self.state["traces"]
        kept = 1 - step_sizes * inputs**2
        h *= kept if self.mistake == "idbd_unclipped" else xp.maximum(kept, 0)  # 5
        h += step_sizes * error * inputs


class MistakenAutostep(Autostep):
    """Lines 2 to 8 of minilop/optimizers/autostep.py, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake

    def update(self, error: Array, inputs: Array) -> None:
        alpha, h, v = (self.state[name] for name in ("step_sizes", "traces", "normalizers"))
        g = error * inputs * h  # 2
        old = v.copy()
        v += alpha * inputs**2 / self.tau * (abs(g) - v)  # 3
        if self.mistake != "autostep_no_maximum":
            xp.maximum(v, abs(g), out=v)
        divisor = old if self.mistake == "autostep_old_normalizer" else v
        alpha *= xp.exp(self.meta_step_size * xp.where(divisor == 0, 0, g / xp.where(divisor == 0, 1, divisor)))  # 4
        overshoot = xp.maximum(dot(alpha, inputs**2), 1)  # 5
        if self.mistake == "autostep_no_bound":
            overshoot = xp.ones_like(overshoot)
        used = alpha / overshoot
        stays = {"autostep_bound_stays": True, "autostep_bound_passes": False}
        if stays.get(self.mistake, self.bound == "permanent"):
            alpha[...] = used  # 6
        self.weights += used * error * inputs  # 7
        h *= 1 - used * inputs**2  # 8
        h += used * error * inputs


class ReferenceWithoutWarnings(LinearReference):
    """Suppresses overflow warnings, since a method with a mistake may diverge."""

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        with np.errstate(all="ignore"):
            return super().step(x, y, draws)


class ErrorSign(ReferenceWithoutWarnings):
    """Returns the error with the wrong sign. `stepping`: the weights use the wrong sign, too."""

    def __init__(self, stepping: bool):
        super().__init__(
            {name: partial(_ascending, method) for name, method in METHODS.items()} if stepping else METHODS
        )

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        written = super().step(x, y, draws)
        return {**written, "predict/error": -written["predict/error"]}


def _ascending(method: Callable[..., LinearLearner], weights: Array, **hyperparameters: Any) -> LinearLearner:
    learner = method(weights, **hyperparameters)
    update = learner.update
    learner.update = lambda error, inputs: update(-error, inputs)  # type: ignore[method-assign]
    return learner


def mistake(name: str, says: str, method: str, kind: Callable[..., LinearLearner]) -> Mistake:
    """A mistake of one method."""
    return Mistake(
        name,
        says,
        f"minilop/optimizers/{method}.py",
        "linear",
        partial(ReferenceWithoutWarnings, {**METHODS, method: partial(kind, name)}),
        lambda case: case.settings["method"] == method,
    )


MISTAKES = [
    Mistake(
        "error_sign",
        "The weights change along prediction - target, away from the target; the error must be target - prediction.",
        "minilop/optimizers/linear_learner.py",
        "linear",
        partial(ErrorSign, stepping=True),
    ),
    Mistake(
        "error_reported_as_prediction_minus_target",
        "The error is returned as prediction - target although the weights change correctly; it must be target - "
        "prediction.",
        "minilop/optimizers/linear_learner.py",
        "linear",
        partial(ErrorSign, stepping=False),
    ),
    mistake(
        "lms_squared_error",
        "The weights change by 2 alpha delta x, the gradient step on delta^2; the rule for delta^2 / 2 is alpha delta "
        "x.",
        "lms",
        MistakenLMS,
    ),
    mistake(
        "idbd_prediction_gradient",
        "The log step sizes change by theta x h, along the gradient of the prediction; they must change by theta "
        "delta x h, down the gradient of the squared error.",
        "idbd",
        MistakenIDBD,
    ),
    mistake(
        "idbd_meta_gradient_sign",
        "The log step sizes decrease if the current change agrees with past ones; delta x h > 0 must increase them.",
        "idbd",
        MistakenIDBD,
    ),
    mistake(
        "idbd_old_step_size",
        "Weights and traces use the step sizes from before this example; they must use the new ones of line 3.",
        "idbd",
        MistakenIDBD,
    ),
    mistake(
        "idbd_unclipped",
        "The trace is multiplied by 1 - alpha x^2 even if that is negative; the factor must be [1 - alpha x^2]+.",
        "idbd",
        MistakenIDBD,
    ),
    mistake(
        "idbd_new_trace",
        "The log step sizes use a trace that already includes this example; line 2 uses the trace from before.",
        "idbd",
        MistakenIDBD,
    ),
    mistake(
        "autostep_no_maximum",
        "The normalizer is only averaged; it must be at least |g|, so that ln(alpha) changes by at most mu.",
        "autostep",
        MistakenAutostep,
    ),
    mistake(
        "autostep_old_normalizer",
        "The meta-gradient is divided by the old normalizer; line 3 must update the normalizer first.",
        "autostep",
        MistakenAutostep,
    ),
    mistake(
        "autostep_no_bound",
        "The step sizes are not divided by M = max(sum alpha x^2, 1), so an update may overshoot its own example.",
        "autostep",
        MistakenAutostep,
    ),
    mistake(
        "autostep_bound_stays",
        "The stored step sizes are divided by M, as in the paper; a transient bound divides only those of this update.",
        "autostep",
        MistakenAutostep,
    ),
    mistake(
        "autostep_bound_passes",
        "Only the step sizes of this update are divided by M; a permanent bound, as in the paper, divides the stored "
        "ones.",
        "autostep",
        MistakenAutostep,
    ),
]
