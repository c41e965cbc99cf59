"""Mistakes in temporal-difference methods. Each method is reimplemented with optional mistakes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from minilop.backend import Array, xp
from minilop.optimizers.linear_learner import dot
from minilop.prediction import TIDBD, SwiftTD, TDLambda, TrueOnlineTDLambda
from minilop.prediction.linear_predictor import LinearPredictor
from minilop.verify.case import Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.prediction import METHODS, PredictionReference


def decay_of_trace(method: Any) -> Array:
    """The factor by which the trace of a mistaken method decays before the previous features are added to it."""
    if method.mistake == "trace_decayed_by_next_discount":
        return method.discount * method.trace_decay
    return method.trace_decay if method.mistake == "td_trace_without_discount" else method.state["last_decay"]


class MistakenTDLambda(TDLambda):
    """Lines 1 to 3 of minilop/prediction/td_lambda.py, with accumulating traces and `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake
        self.last_value: Array = 0.0  # value of the previous features, by the weights at that time

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        z, x = self.state["traces"], self.state["last_features"]
        v = self.last_value if self.mistake == "td_value_of_old_weights" else dot(self.weights, x)
        discount = 1 if self.mistake == "td_error_without_discount" else self.discount
        delta = cumulant + discount * value - v  # 1
        old = z.copy()
        z *= decay_of_trace(self)  # 2
        z += x
        self.weights += self.step_size * delta * (old if self.mistake == "td_old_trace" else z)  # 3
        x[...] = features
        self.state["last_decay"][...] = self.discount * self.trace_decay
        self.last_value = value.copy()


class MistakenTrueOnline(TrueOnlineTDLambda):
    """Lines 1 to 4 of the true online method in the same file, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        z, x, v_old = (self.state[name] for name in ("traces", "last_features", "last_value"))
        old = z.copy()
        v = v_old.copy() if self.mistake == "td_value_of_old_weights" else dot(self.weights, x)
        discount = 1 if self.mistake == "td_error_without_discount" else self.discount
        delta = cumulant + discount * value - v  # 1
        decay = decay_of_trace(self)
        dutch = self.mistake != "td_accumulating_trace"
        z[...] = decay * z + (1 - dutch * self.step_size * decay * dot(z, x)) * x  # 2
        used = old if self.mistake == "td_old_trace" else z
        self.weights += self.step_size * ((delta + v - v_old) * used - (v - v_old) * x)  # 3
        v_old[...] = value  # 4
        x[...] = features
        self.state["last_decay"][...] = self.discount * self.trace_decay


class MistakenTIDBD(TIDBD):
    """Lines 1 to 6 of minilop/prediction/tidbd.py, in either form, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        z, h, x = (self.state[name] for name in ("traces", "memory", "last_features"))
        delta = cumulant + self.discount * value - dot(self.weights, x)  # 1
        ordinary = (self.gradient == "ordinary") != (self.mistake == "tidbd_other_gradient")
        u = x - self.discount * features if ordinary else x.copy()
        old = z.copy()
        z[...] = decay_of_trace(self) * z + x  # 4
        self.learn_step_sizes(delta * u * h, u * (old if self.mistake == "tidbd_old_trace_in_normalizer" else z))  # 2
        alpha = self.step_sizes  # 3
        self.weights += alpha * delta * z  # 5
        kept = 1 - alpha * u * (u if self.mistake == "tidbd_decays_by_squares" else z)
        h *= kept if self.mistake == "tidbd_unclipped" else xp.maximum(kept, 0)  # 6
        h += alpha * delta * (u if self.mistake == "tidbd_memory_without_trace" else z)
        x[...] = features
        self.state["last_decay"][...] = self.discount * self.trace_decay


class MistakenSwiftTD(SwiftTD):
    """Lines A to F of minilop/prediction/swift_td.py, with `mistake`."""

    def __init__(self, mistake: str, weights: Array, **hyperparameters: Any):
        super().__init__(weights, **hyperparameters)
        self.mistake = mistake
        self.last_discount: Array = self.discount

    def update(self, features: Array, cumulant: Array, value: Array) -> None:
        state, phi = self.state, features
        beta, v_old, v_delta = state["log_step_sizes"], state["last_value"], state["value_change"]
        z, zd, p, zbar = (state[name] for name in ("traces", "additions", "meta_traces", "sensitivity_traces"))
        h, h_old, h_tmp = state["h"], state["h_old"], state["h_next"]

        d = cumulant + self.discount * value - v_old  # A
        dw = d * z - zd * v_delta
        self.weights += dw  # B
        scale = xp.exp(beta) if self.mistake == "swift_td_multiplies_by_step_size" else xp.exp(-beta)
        beta += self.meta_step_size * scale * (d - v_delta) * p
        xp.minimum(beta, self.log_step_bound, out=beta)
        if self.mistake != "swift_td_no_smallest_step_size":
            xp.maximum(beta, self.log_smallest, out=beta)
        h_old[...] = h
        h[...] = h_tmp + d * zbar - zd * v_delta
        late = self.mistake == "swift_td_trace_decayed_by_last_discount"
        for trace in (z, p, zbar):
            trace *= (self.last_discount if late else self.discount) * self.trace_decay
        self.last_discount = self.discount
        tau = dot(xp.exp(beta), phi * phi)  # C
        missing = 1 - dot(z, phi)
        v_delta[...] = dot(dw, phi)
        bound = self.step_bound / xp.maximum(tau, self.step_bound)
        zd[...] = (1 if self.mistake == "swift_td_unbounded" else bound) * xp.exp(beta) * phi  # D
        p += h_old * phi
        z += zd * missing
        zbar += zd * (missing - zbar * phi)
        h_tmp[...] = h - h_old * phi * (z - zd) - h * zd * phi
        met = tau > self.step_bound  # E
        if self.mistake != "swift_td_no_step_decay":
            beta += met * self.log_step_decay * phi * phi
        if self.mistake != "swift_td_no_smallest_step_size":
            xp.maximum(beta, self.log_smallest, out=beta)
        if self.mistake != "swift_td_meta_traces_kept":
            for array in (h_tmp, h, h_old, zbar):
                array *= ~met
        v_old[...] = value  # F


TD_LAMBDA = {"td_lambda": MistakenTDLambda, "true_online_td_lambda": MistakenTrueOnline}


def mistake(
    name: str,
    says: str,
    page: str,
    kinds: Mapping[str, Callable[..., LinearPredictor]],
    applies: Callable[[Case], bool] = lambda case: True,
) -> Mistake:
    """A mistake of some methods."""
    return Mistake(
        name,
        says,
        f"minilop/prediction/{page}.py",
        "prediction",
        partial(PredictionReference, {**METHODS, **{method: partial(kind, name) for method, kind in kinds.items()}}),
        lambda case: case.settings["method"] in kinds and applies(case),
    )


td_mistake = partial(mistake, page="td_lambda", kinds=TD_LAMBDA)


def discount_changes(case: Case) -> bool:
    """Whether the case has a discount for each step instead of a constant one."""
    return "discount" not in case.settings


tidbd_mistake = partial(mistake, page="tidbd", kinds={"tidbd": MistakenTIDBD})
swift_td_mistake = partial(mistake, page="swift_td", kinds={"swift_td": MistakenSwiftTD})

MISTAKES = [
    td_mistake(
        "td_old_trace",
        "The weights change along the old trace, without the previous features; line 2 must update the trace first.",
    ),
    td_mistake(
        "td_value_of_old_weights",
        "The error uses the value computed one step ago; v must be the value of those features by the current weights.",
    ),
    td_mistake(
        "td_error_without_discount", "The error is r + v' - v; the next value must be discounted, r + gamma v' - v."
    ),
    td_mistake("td_trace_without_discount", "The trace decays by lambda alone; it must decay by gamma lambda."),
    mistake(
        "td_accumulating_trace",
        "The trace accumulates, z <- gamma lambda z + x; true online TD(lambda) has a Dutch trace, which adds "
        "(1 - alpha gamma lambda z . x) x.",
        "td_lambda",
        {"true_online_td_lambda": MistakenTrueOnline},
    ),
    mistake(
        "trace_decayed_by_next_discount",
        "The trace decays by gamma_(t+1), the discount of the bootstrapped value in the error; it must decay by "
        "gamma_t, the discount of the transition into the features that are added to it.",
        "linear_predictor",
        {**TD_LAMBDA, "tidbd": MistakenTIDBD},
        discount_changes,
    ),
    tidbd_mistake(
        "tidbd_other_gradient",
        "The meta-gradient is the ordinary gradient where the case requires the semi-gradient, or vice versa; u is x "
        "for the semi-gradient and x - gamma x' for the ordinary gradient.",
    ),
    tidbd_mistake(
        "tidbd_unclipped",
        "The memory h is multiplied by 1 - alpha u z even if that is negative; the factor must be at least 0.",
    ),
    tidbd_mistake(
        "tidbd_decays_by_squares",
        "The memory h decays by alpha u^2, as in IDBD; with traces it must decay by alpha u z.",
    ),
    tidbd_mistake(
        "tidbd_memory_without_trace",
        "alpha delta u is added to the memory h; it must be the change of the weight, alpha delta z.",
    ),
    tidbd_mistake(
        "tidbd_old_trace_in_normalizer",
        "The normalizer and the bound use the old trace; they must use the updated trace z of line 4.",
        applies=lambda case: case.settings["normalize"],
    ),
    swift_td_mistake(
        "swift_td_no_smallest_step_size",
        "Step sizes have no lower limit (for example because the logarithm beta is compared with eta_min); the lower "
        "limit of beta is ln(eta_min).",
    ),
    swift_td_mistake(
        "swift_td_multiplies_by_step_size", "The meta step size is multiplied by exp(beta); it must be divided by it."
    ),
    swift_td_mistake(
        "swift_td_no_step_decay",
        "Step sizes do not change when the bound takes effect; beta must then decrease by -ln(epsilon) phi^2.",
    ),
    swift_td_mistake(
        "swift_td_unbounded",
        "The addition to the trace is not scaled by eta / tau when tau exceeds eta, so one step may overshoot.",
    ),
    swift_td_mistake(
        "swift_td_trace_decayed_by_last_discount",
        "The traces decay by the previous discount; they must decay by the discount of the transition into the "
        "features that are added to them.",
        applies=discount_changes,
    ),
    swift_td_mistake(
        "swift_td_meta_traces_kept",
        "h, h_old, h_tmp and zbar are kept when the bound takes effect; they must be set to 0.",
    ),
]
