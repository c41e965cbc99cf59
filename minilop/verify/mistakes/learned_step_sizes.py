"""Mistakes of MetaOptimize and of network IDBD."""

from minilop.backend import Array, xp
from minilop.optimizers.metaoptimize import RATES, direction
from minilop.optimizers.network_idbd import error_norm, fill_squared_inputs
from minilop.verify.case import Arrays, Case
from minilop.verify.mistakes.updates import Mistaken

# --- MetaOptimize -----------------------------------------------------------------------------------------------------


class MetaTraceFirst(Mistaken):
    """The meta-gradient from the trace that this step's change is already in."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer, gradients = self.optimizer, self.network.gradients
        traces, step_sizes = optimizer.state["traces"], optimizer.present_step_sizes
        change = direction(optimizer.base, gradients, optimizer.base_state)
        change = -step_sizes * (change + optimizer.weight_decay * self.network.parameters)
        self.network.parameters += change
        traces *= optimizer.trace_decay * (1 - optimizer.weight_decay * step_sizes)
        traces += change
        optimizer.adapt(optimizer.block_sums(traces * gradients))


class MetaGradientAveraged(Mistaken):
    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        sums = self.optimizer.block_sums
        counts = sums(xp.ones_like(self.network.parameters))
        self.optimizer.block_sums = lambda values: sums(values) / counts


class MetaDecayCoupled(Mistaken):
    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer, parameters = self.optimizer, self.network.parameters
        decay, optimizer.weight_decay = optimizer.weight_decay, 0.0
        optimizer.step(parameters, self.network.gradients + decay * parameters)
        optimizer.weight_decay = decay


class MetaTraceNotDecayed(Mistaken):
    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        optimizer = self.optimizer
        optimizer.state["traces"][...] /= (
            1 - optimizer.weight_decay * optimizer.present_step_sizes
        )  # `step` multiplies by it
        optimizer.step(self.network.parameters, self.network.gradients)


class LionMomentumFirst(Mistaken):
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
    """Lines 0 to 6 of network IDBD once more, to be changed in places."""

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


class IDBDWithoutPositivePart(OtherIDBD):
    def forgetting(self, used: Array, curvature: Array) -> Array:
        return 1 - used * curvature


class IDBDBoundStored(OtherIDBD):
    def bounded(self, step_sizes: Array, sensitivity: Array) -> Array:
        used = super().bounded(step_sizes, sensitivity)
        self.optimizer.state["log_step_sizes"] += xp.log(used / step_sizes)
        return used


class IDBDNewTraceFirst(OtherIDBD):
    def trace_of_line_1(self, traces: Array, gradient: Array, curvature: Array) -> Array:
        step_sizes = self.optimizer.step_sizes
        return traces * xp.maximum(1 - step_sizes * curvature, 0) + step_sizes * gradient


class IDBDSensitivityOfLoss(OtherIDBD):
    def sensitivity(self, gradient: Array, output_gradient: Array) -> Array:
        return gradient


class IDBDTraceNotForgotten(OtherIDBD):
    def forgetting(self, used: Array, curvature: Array) -> Array:
        return xp.ones_like(used)
