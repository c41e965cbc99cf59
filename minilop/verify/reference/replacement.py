"""The replacement of a unit in a network and in its optimizer's state: one run, unit by unit, on the host.

This file shares no code with the library's `minilop/plasticity`. Parameters, running statistics and the optimizer's
state are copied to the host, changed there, and copied back. The random numbers are the case's `draws`. Each decision
is a small method, so that a known mistake (mistakes/) overrides only that decision.

    to replace unit r:   W[r] ~ initial distribution,  b[r] <- 0,  W'[:, r] <- 0        W' are the outgoing weights
                         scale, bias and running statistics of its normalization <- 1, 0, 0, 1
                         with reset_optimizer_state, the optimizer's state of all these weights <- 0
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.layers.weighted import Weighted
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer
from minilop.verify.reference.settings import ReferenceSettings

GAINS = {"relu": math.sqrt(2), "tanh": 5 / 3}
INITIAL_VALUES = {"scale": 1, "bias": 0, "running_mean": 0, "running_variance": 1}  # of a normalization layer


class Units:
    """The state of the units of a hidden layer.

    features           (H, F, B)   of this step; F is 1 unless a unit has several features
    age                (H,)        steps since the unit was (re)initialized
    utility            (H,)        running average u, or with average="lifetime_activity" the sum of (1 - eta) |h|
    mean_feature       (H,)        running average f
    activity           (H,)        for ReDo, of one or several mini-batches
    units_to_replace   (1,)        c, the accumulated number of units to replace
    ranking_score      (H,)        units with the lowest score are replaced first
    is_mature          (H,)        bool, when the utilities were updated
    replaced           (H,)        bool, in this step
    """

    def __init__(self, layer: HiddenLayer):
        self.layer, self.number = layer, layer.incoming.number
        self.num_units = layer.incoming.num_outputs
        self.age, self.utility, self.mean_feature, self.activity, self.ranking_score = np.zeros((5, self.num_units))
        self.units_to_replace = np.zeros(1)
        self.is_mature = np.zeros(self.num_units, bool)

    def begin(self, values: list[Array]) -> None:
        """Store the features of a step."""
        features = to_host(self.layer.flat_features(values))[0]
        self.features = features.reshape(self.num_units, -1, features.shape[-1])
        self.replaced = np.zeros(self.num_units, bool)


class Replacer:
    """The base class of the rules that replace units. `record` is the LearnerReference that the rule belongs to."""

    def __init__(self, network: Network, settings: ReferenceSettings, optimizer: Optimizer, record: Any):
        self.network, self.settings, self.optimizer, self.record = network, settings, optimizer, record
        if settings.reset_optimizer_state:
            optimizer.use_per_weight_bias_correction()
        self.layers = [Units(layer) for layer in network.hidden]

    def begin(self, values: list[Array], step: int, draws: Mapping[str, Any]) -> None:
        """Copy the features, the weights and the random numbers of a step."""
        self.num_steps, self.draws = step, draws
        arrays = {"parameters": self.network.parameters, **self.optimizer.state, **self.network.buffers()}
        self.arrays = {name: to_host(array)[0].copy() for name, array in arrays.items()}
        self.views = self.network.views(self.arrays["parameters"])
        for units in self.layers:
            units.begin(values)

    def end(self) -> None:
        """Copy the changed arrays back."""
        arrays = {"parameters": self.network.parameters, **self.optimizer.state, **self.network.buffers()}
        for name, array in arrays.items():
            array[...] = xp.asarray(self.arrays[name][None])

    def consumers(self, units: Units) -> tuple[Weighted, ...]:
        """The layers that consume the features, according to the convention `shortcuts`."""
        return (units.layer.outgoing, *(units.layer.shortcut_consumers if self.settings.shortcuts == "cut" else ()))

    def outgoing_views(self, views: list[dict[str, np.ndarray]], units: Units) -> Iterator[np.ndarray]:
        """Views (O, H, ...) of each consumer's weights, or of the optimizer's state of these weights, by unit."""
        for consumer in self.consumers(units):
            weight = views[consumer.index]["weight"]
            yield weight.reshape(len(weight), units.num_units, -1)

    def activity(self, h: np.ndarray) -> np.floating:
        """The activity of a feature on a mini-batch, given its values (B,)."""
        return abs(h).mean()

    # --- one unit -----------------------------------------------------------------------------------------------------

    def replace(self, units: Units, unit: int) -> None:
        units.replaced[unit] = True
        self.reinitialize_incoming_weights(units, unit)
        self.reset_bias(units, unit)
        self.reset_normalization(units, unit)
        self.zero_outgoing_weights(units, unit)
        if self.settings.reset_optimizer_state:
            self.reset_optimizer_state(units, unit)

    def reinitialize_incoming_weights(self, units: Units, unit: int) -> None:
        drawn = np.asarray(self.draws[f"fresh_weight/{units.number}"][unit])
        is_normal = self.settings.fresh_weights == "normal" or self.settings.initialization == "kaiming_normal"
        fresh = self.fresh_scale(units) * (drawn if is_normal else 2 * drawn - 1)
        self.views[units.layer.incoming.index]["weight"][unit] = fresh

    def fresh_scale(self, units: Units) -> float:
        """The bound of uniform fresh weights, or the standard deviation of normal ones."""
        fan_in = self.fan_in(units)
        if self.settings.fresh_weights == "normal":
            return math.sqrt(2 / fan_in)
        squares = {"kaiming": 3 * self.gain() ** 2, "kaiming_normal": self.gain() ** 2, "default": 1}
        return math.sqrt(squares[self.settings.initialization] / fan_in)

    def gain(self) -> float:
        return GAINS[self.settings.activation]

    def fan_in(self, units: Units) -> int:
        return math.prod(units.layer.incoming.row_shape)

    def reset_bias(self, units: Units, unit: int) -> None:
        self.views[units.layer.bias.index]["bias"][unit] = 0

    def reset_normalization(self, units: Units, unit: int) -> None:
        if normalization := units.layer.normalization:
            index = normalization.index
            statistics = {name: self.arrays[f"{name}.{index}"] for name in ("running_mean", "running_variance")}
            for name, array in {**self.views[index], **statistics}.items():
                array[unit] = INITIAL_VALUES[name]

    def zero_outgoing_weights(self, units: Units, unit: int) -> None:
        for weight in self.outgoing_views(self.views, units):
            weight[:, unit] = 0

    def reset_optimizer_state(self, units: Units, unit: int) -> None:
        """Reset the per-weight state to its initial values; state that weights share is kept."""
        for name in self.per_weight_states():
            views = self.network.views(self.arrays[name])
            self.reset_incoming_state(views, units, unit, self.initial_state_value(name))
            self.reset_outgoing_state(views, units, unit, self.initial_state_value(name))

    def per_weight_states(self) -> list[str]:
        """The names of the optimizer's per-parameter arrays."""
        names = self.optimizer.state
        return [name for name in names if self.arrays[name].shape == self.arrays["parameters"].shape]

    def initial_state_value(self, name: str) -> float:
        return 0

    def reset_incoming_state(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        """Reset the state of the incoming weights, the bias and the normalization."""
        parts = filter(None, (units.layer.incoming, units.layer.bias, units.layer.normalization))
        for part in {part.index for part in parts}:  # one layer often has several of these roles
            for view in views[part].values():
                view[unit] = value

    def reset_outgoing_state(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        for state in self.outgoing_views(views, units):
            state[:, unit] = value

    # --- recording ----------------------------------------------------------------------------------------------------

    def record_units(self, phase: str, name: str, units: Units) -> None:
        """Record a quantity of the units by name."""
        self.record.write_units(f"{phase}/{name}/{units.number}", getattr(units, name))
