"""What a replacement does to a network and to its optimizer's state: for one run, unit by unit, on the host.

It shares nothing with the library's `minilop/plasticity`. Parameters, running statistics and the optimizer's state are
copied to the host, changed there, and copied back. Random numbers come from `draws`, as the kit gives them to everyone.
Each decision is one small method, so that a known mistake (mistakes/) overrides no more than that.

    for a unit r to replace:   W[r] ~ initial law,  b[r] <- 0,  W'[:, r] <- 0          W' leaves the layer
                               scale, bias and running statistics of its normalization <- 1, 0, 0, 1
                               with reset_optimizer_state, what the optimizer keeps for all these weights <- 0
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
STARTS = {"scale": 1, "bias": 0, "running_mean": 0, "running_variance": 1}  # of a normalization


class Units:
    """The units of a hidden layer, and what a rule remembers of each.

    features       (H, F, B)   of this step; F is 1 unless a unit has several features
    age            (H,)        steps since the unit was made
    utility        (H,)        running average u, or with average="lifetime_activity" the sum of (1 - eta) |h|
    mean_feature   (H,)        running average f
    activity       (H,)        ReDo's, of one or several mini-batches
    due            (1,)        c, how many units are still to be replaced
    worth          (H,)        what units are ranked by in this step
    is_mature      (H,)        of bool, when they were judged
    replaced       (H,)        of bool, in this step
    """

    def __init__(self, layer: HiddenLayer):
        self.layer, self.number = layer, layer.incoming.number
        self.num_units = layer.incoming.num_outputs
        self.age, self.utility, self.mean_feature, self.activity, self.worth = np.zeros((5, self.num_units))
        self.due = np.zeros(1)
        self.is_mature = np.zeros(self.num_units, bool)

    def begin(self, values: list[Array]) -> None:
        """Read the features of a step."""
        features = to_host(self.layer.flat_features(values))[0]
        self.features = features.reshape(self.num_units, -1, features.shape[-1])
        self.replaced = np.zeros(self.num_units, bool)


class Replacer:
    """What rules that replace units share. `record` is the LearnerReference that the rule belongs to."""

    def __init__(self, network: Network, settings: ReferenceSettings, optimizer: Optimizer, record: Any):
        self.network, self.settings, self.optimizer, self.record = network, settings, optimizer, record
        if settings.reset_optimizer_state:
            optimizer.use_per_weight_bias_correction()
        self.layers = [Units(layer) for layer in network.hidden]

    def begin(self, values: list[Array], step: int, draws: Mapping[str, Any]) -> None:
        """Take up the features, the weights and the random numbers of a step."""
        self.num_steps, self.draws = step, draws
        arrays = {"parameters": self.network.parameters, **self.optimizer.state, **self.network.buffers()}
        self.arrays = {name: to_host(array)[0].copy() for name, array in arrays.items()}
        self.views = self.network.views(self.arrays["parameters"])
        for units in self.layers:
            units.begin(values)

    def end(self) -> None:
        """Give back what has changed."""
        arrays = {"parameters": self.network.parameters, **self.optimizer.state, **self.network.buffers()}
        for name, array in arrays.items():
            array[...] = xp.asarray(self.arrays[name][None])

    def consumers(self, units: Units) -> tuple[Weighted, ...]:
        """The layers that consume the features, as far as the convention counts them."""
        return (units.layer.outgoing, *(units.layer.shortcut_consumers if self.settings.shortcuts == "cut" else ()))

    def leaving(self, views: list[dict[str, np.ndarray]], units: Units) -> Iterator[np.ndarray]:
        """Of each consumer a view (O, H, ...) of its weights, or of what the optimizer keeps for them, by unit."""
        for consumer in self.consumers(units):
            weight = views[consumer.index]["weight"]
            yield weight.reshape(len(weight), units.num_units, -1)

    def activity(self, h: np.ndarray) -> np.floating:
        """Of a feature on a mini-batch (B,)."""
        return abs(h).mean()

    # --- one unit -----------------------------------------------------------------------------------------------------

    def replace(self, units: Units, unit: int) -> None:
        units.replaced[unit] = True
        self.give_fresh_weights(units, unit)
        self.reset_bias(units, unit)
        self.reset_normalization(units, unit)
        self.cut_off(units, unit)
        if self.settings.reset_optimizer_state:
            self.reset_optimizer_state(units, unit)

    def give_fresh_weights(self, units: Units, unit: int) -> None:
        drawn = np.asarray(self.draws[f"fresh_weight/{units.number}"][unit])
        is_normal = self.settings.fresh_weights == "normal" or self.settings.initialization == "kaiming_normal"
        fresh = self.fresh_scale(units) * (drawn if is_normal else 2 * drawn - 1)
        self.views[units.layer.incoming.index]["weight"][unit] = fresh

    def fresh_scale(self, units: Units) -> float:
        """The bound of uniform, or the deviation of normal, fresh weights."""
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
            place = normalization.index
            statistics = {name: self.arrays[f"{name}.{place}"] for name in ("running_mean", "running_variance")}
            for name, array in {**self.views[place], **statistics}.items():
                array[unit] = STARTS[name]

    def cut_off(self, units: Units, unit: int) -> None:
        for weight in self.leaving(self.views, units):
            weight[:, unit] = 0

    def reset_optimizer_state(self, units: Units, unit: int) -> None:
        """A weight whose entries are all 0 starts afresh; what weights share, stays."""
        for name in self.states_of_weights():
            views = self.network.views(self.arrays[name])
            self.forget_incoming(views, units, unit, self.fresh_state(name))
            self.forget_outgoing(views, units, unit, self.fresh_state(name))

    def states_of_weights(self) -> list[str]:
        """The names of what the optimizer keeps for each parameter."""
        names = self.optimizer.state
        return [name for name in names if self.arrays[name].shape == self.arrays["parameters"].shape]

    def fresh_state(self, name: str) -> float:
        return 0

    def forget_incoming(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        """The state of weights, bias and normalization."""
        parts = filter(None, (units.layer.incoming, units.layer.bias, units.layer.normalization))
        for part in {part.index for part in parts}:  # often one layer is several of these
            for view in views[part].values():
                view[unit] = value

    def forget_outgoing(self, views: list[dict[str, np.ndarray]], units: Units, unit: int, value: float) -> None:
        for state in self.leaving(views, units):
            state[:, unit] = value

    # --- recording ----------------------------------------------------------------------------------------------------

    def note(self, phase: str, name: str, units: Units) -> None:
        """Record what units have by a name."""
        self.record.note(f"{phase}/{name}/{units.number}", getattr(units, name))
