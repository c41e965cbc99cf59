"""ReDo: now and then, every dormant unit is replaced (Sokar, Agarwal, Castro and Evci, ICML 2023).

Every `redo_period` steps, in every hidden layer:

    score_i = mean |h_i| / (mean over the units j of the layer of mean |h_j|)
    replace all units with score_i <= tau: fresh incoming weights, bias 0, no outgoing weights

tau is `redo_threshold`. There is neither a protection of young units nor a memory of their past utility.

Paper - published comparison code - ours. The loss-of-plasticity code takes the means over the current mini-batch alone
and leaves the moments of the optimizer as they are; the ReDo paper resets them (`reset_optimizer_state`). On a
mini-batch of one example every unit that is silent on it would be replaced, so for online problems we add means over all
examples since the last replacement (`redo_scores = "period"`). A layer that is completely silent has no scores, 0 / 0,
and is left alone, as in the published code.
"""

from dataclasses import dataclass
from typing import Literal

from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.units import batch_mean, replace_units, reset_optimizer_state, unit_mean


@dataclass(frozen=True)
class ReDoSettings:
    """Hyperparameters; the defaults are the published ones for the Ant, with ReDo itself turned off."""

    redo_period: int = 0  # steps between replacements; 0 turns everything off
    redo_threshold: float = 0.1  # tau
    redo_scores: Literal["mini_batch", "period"] = "mini_batch"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "redo_period redo_threshold", 0)


def dormant_units(activity: Array, threshold: float) -> Array:
    """Units whose share of their layer's mean activity is at most `threshold`: (R, H) to (R, H) of bool."""
    return activity <= threshold * activity.mean(axis=-1, keepdims=True)


class ReDo:
    """State: `activity`, one (R, H) a hidden layer, the sum of the batch means of |h| since the last replacement."""

    def __init__(
        self, network: Network, settings: ReDoSettings, reset_state: bool = False, optimizer: Optimizer | None = None
    ):
        """Raises ValueError for a network without the runs axis."""
        if network.seeds.ndim != 1:
            raise ValueError("ReDo needs the runs axis; make the network with seeds=[seed].")
        self.network = network
        self.settings = settings
        self.optimizer = optimizer if reset_state else None
        self.activity = [network.zeros(layer.incoming.num_outputs) for layer in network.hidden]

    def step(self, values: list[Array], step: int) -> None:
        """Follow the activity in `values`; at the end of a period replace the dormant units."""
        for layer, activity in zip(self.network.hidden, self.activity):
            if self.settings.redo_scores == "mini_batch":
                activity[...] = 0
            activity += unit_mean(batch_mean(abs(layer.flat_features(values))), activity.shape[-1])
        if (step + 1) % self.settings.redo_period:
            return
        for layer, activity in zip(self.network.hidden, self.activity):
            silent = activity.max(axis=-1, keepdims=True) == 0
            # How many units are dormant depends on the data, so once a period the host waits for the device.
            runs, units = xp.nonzero(dormant_units(activity, self.settings.redo_threshold) & ~silent)
            self.replace(layer, runs, units, step)
            activity[...] = 0

    def replace(self, layer: HiddenLayer, runs: Array, units: Array, step: int) -> None:
        """Replace units, named by `runs` and `units` (K,)."""
        replace_units(layer, runs, units, self.network.seeds[to_host(runs)], step)
        if self.optimizer:
            reset_optimizer_state(self.optimizer, self.network, layer, runs, units)
