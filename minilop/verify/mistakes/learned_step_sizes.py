"""Mistakes of MetaOptimize and of network IDBD."""

from minilop.backend import Array, xp
from minilop.optimizers.metaoptimize import RATES, direction
from minilop.optimizers.network_idbd import error_norm, fill_squared_inputs
from minilop.verify.case import Arrays, Case
from minilop.verify.mistakes.conditions import Family, every, has, idbd, metaoptimizes, uses
from minilop.verify.mistakes.updates import Mistaken

META = "minilop/optimizers/metaoptimize.py"
NETWORK_IDBD = "minilop/optimizers/network_idbd.py"

MISTAKES = Family()


# --- MetaOptimize -----------------------------------------------------------------------------------------------------


@MISTAKES.from_class("meta_trace_first", META, every(metaoptimizes, has(order="meta_last")))
class MetaTraceFirst(Mistaken):
    """The meta-gradient uses the trace that includes this step's change; it must use the trace from before."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer, gradients = self.optimizer, self.network.gradients
        traces, step_sizes = optimizer.state["traces"], optimizer.present_step_sizes
        change = direction(optimizer.base, gradients, optimizer.base_state)
        change = -step_sizes * (change + optimizer.weight_decay * self.network.parameters)
        self.network.parameters += change
        traces *= optimizer.trace_decay * (1 - optimizer.weight_decay * step_sizes)
        traces += change
        optimizer.adapt(optimizer.block_sums(traces * gradients))


@MISTAKES.from_class(
    "meta_gradient_averaged", META, every(metaoptimizes, has(step_sizes=("scalar", "layer"), meta=("sgd", "adam")))
)
class MetaGradientAveraged(Mistaken):
    """The meta-gradient of a block is the mean over its weights; it must be their sum."""

    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        sums = self.optimizer.block_sums
        counts = sums(xp.ones_like(self.network.parameters))
        self.optimizer.block_sums = lambda values: sums(values) / counts


@MISTAKES.from_class("meta_decay_coupled", META, every(metaoptimizes, uses("weight_decay")))
class MetaDecayCoupled(Mistaken):
    """Weight decay is added to the gradient; in MetaOptimize it is decoupled from the gradient."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer, parameters = self.optimizer, self.network.parameters
        decay, optimizer.weight_decay = optimizer.weight_decay, 0.0
        optimizer.step(parameters, self.network.gradients + decay * parameters)
        optimizer.weight_decay = decay


@MISTAKES.from_class("meta_trace_not_decayed", META, every(metaoptimizes, uses("weight_decay")))
class MetaTraceNotDecayed(Mistaken):
    """Traces ignore the weight decay; they must be multiplied by 1 - weight_decay step_size."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer = self.optimizer
        factor = 1 - optimizer.weight_decay * optimizer.present_step_sizes
        optimizer.state["traces"][...] /= factor  # `step` multiplies by it
        optimizer.step(self.network.parameters, self.network.gradients)


@MISTAKES.from_class("lion_momentum_first", META, every(metaoptimizes, has(meta="lion")))
class LionMomentumFirst(Mistaken):
    """Lion takes the sign of its updated momentum; it must take the sign of beta_1 momentum + (1 - beta_1) gradient,
    with the momentum from before the update."""

    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        self.optimizer.adapt = self.adapt

    def adapt(self, meta_gradient: Array) -> None:
        optimizer = self.optimizer
        momentum = optimizer.meta_state["momentum"]
        momentum += (1 - RATES["lion"][1]) * (meta_gradient - momentum)
        optimizer.state["log_step_sizes"] -= optimizer.meta_step_size * xp.sign(momentum)


# --- network IDBD -----------------------------------------------------------------------------------------------------


class OtherIDBD(Mistaken):
    """Lines 0 to 6 of network IDBD once more; mistakes override single lines."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer, parameters = self.optimizer, self.network.parameters
        gradient = -self.network.gradients
        sensitivity = self.sensitivity(gradient, output_gradients[-1])
        curvature = sensitivity * sensitivity
        if optimizer.curvature == "layer_local":
            curvature = xp.ones_like(parameters)
            fill_squared_inputs(self.network, values, curvature)
        beta, traces, normalizers = optimizer.state.values()
        trace = self.trace_of_line_1(traces, gradient, curvature)
        meta_gradient = gradient * trace
        if optimizer.normalized:
            size = abs(meta_gradient)
            moved = normalizers + optimizer.step_sizes * curvature / optimizer.tau * (size - normalizers)
            normalizers[...] = xp.maximum(moved, size)
            meta_gradient = meta_gradient / xp.where(normalizers == 0, 1, normalizers)
        beta += optimizer.meta_step_size * meta_gradient
        used = self.bounded(optimizer.step_sizes, sensitivity)
        change = used * gradient
        parameters += change
        if optimizer.curvature == "gauss_newton":
            traces -= used * sensitivity * (sensitivity * traces).sum(axis=-1, keepdims=True)
        else:
            traces *= self.forgetting(used, curvature)
        traces += change

    def sensitivity(self, gradient: Array, output_gradient: Array) -> Array:
        return gradient / error_norm(output_gradient)

    def trace_of_line_1(self, traces: Array, gradient: Array, curvature: Array) -> Array:
        return traces

    def bounded(self, step_sizes: Array, sensitivity: Array) -> Array:
        overshoot = (step_sizes * sensitivity * sensitivity).sum(axis=-1, keepdims=True)
        return step_sizes / self.optimizer.overshoot_bound(overshoot)

    def forgetting(self, used: Array, curvature: Array) -> Array:
        return xp.maximum(1 - used * curvature, 0)


@MISTAKES.from_class(
    "idbd_without_positive_part", NETWORK_IDBD, every(idbd, has(curvature=("layer_local", "gauss_newton_diagonal")))
)
class IDBDWithoutPositivePart(OtherIDBD):
    """Traces are multiplied by 1 - step size times curvature even if that is negative; the factor must then be 0."""

    def forgetting(self, used: Array, curvature: Array) -> Array:
        return 1 - used * curvature


@MISTAKES.from_class("idbd_bound_stored", NETWORK_IDBD, every(idbd, uses("overshoot_limit")))
class IDBDBoundStored(OtherIDBD):
    """The bound M permanently divides the stored step sizes; it must divide only those used in this step."""

    def bounded(self, step_sizes: Array, sensitivity: Array) -> Array:
        used = super().bounded(step_sizes, sensitivity)
        self.optimizer.state["log_step_sizes"] += xp.log(used / step_sizes)
        return used


@MISTAKES.from_class(
    "idbd_new_trace_first", NETWORK_IDBD, every(idbd, has(curvature=("layer_local", "gauss_newton_diagonal")))
)
class IDBDNewTraceFirst(OtherIDBD):
    """Step sizes are adapted with the traces from after this step; they must be adapted with those from before."""

    def trace_of_line_1(self, traces: Array, gradient: Array, curvature: Array) -> Array:
        step_sizes = self.optimizer.step_sizes
        return traces * xp.maximum(1 - step_sizes * curvature, 0) + step_sizes * gradient


@MISTAKES.from_class(
    "idbd_sensitivity_of_loss",
    NETWORK_IDBD,
    every(idbd, lambda case: bool(case.settings["overshoot_limit"]) or case.settings["curvature"] != "layer_local"),
)
class IDBDSensitivityOfLoss(OtherIDBD):
    """The gradient of the loss is used as that of the output; it must be divided by the norm of the error."""

    def sensitivity(self, gradient: Array, output_gradient: Array) -> Array:
        return gradient


@MISTAKES.from_class(
    "idbd_trace_not_forgotten", NETWORK_IDBD, every(idbd, has(curvature=("layer_local", "gauss_newton_diagonal")))
)
class IDBDTraceNotForgotten(OtherIDBD):
    """Changes are added to the traces without decay; traces must be multiplied by [1 - step size times curvature]+."""

    def forgetting(self, used: Array, curvature: Array) -> Array:
        return xp.ones_like(used)


MISTAKES.from_settings(
    "meta_first_for_last",
    META,
    {"order": "meta_first"},
    every(metaoptimizes, has(order="meta_last")),
    "Step sizes are adapted before they are used; this case requires adaptation after the step.",
)


MISTAKES.from_settings(
    "meta_last_for_first",
    META,
    {"order": "meta_last"},
    every(metaoptimizes, has(order="meta_first")),
    "Step sizes are adapted after the step; this case requires adaptation before they are used.",
)


MISTAKES.from_settings(
    "idbd_unbounded",
    NETWORK_IDBD,
    {"overshoot_limit": 0.0},
    every(idbd, uses("overshoot_limit")),
    "The overshoot is not bounded; step sizes must be divided by M whenever M exceeds 1.",
)


MISTAKES.from_settings(
    "idbd_unnormalized",
    NETWORK_IDBD,
    {"normalized": False},
    every(idbd, has(normalized=True)),
    "The log step sizes change by the meta-gradient itself; it must be divided by its normalizer.",
)
