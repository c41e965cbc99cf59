"""ReDo periodically replaces every dormant unit (Sokar, Agarwal, Castro and Evci, ICML 2023).

Every `redo_period` steps, in every hidden layer:

    1   s_i <- mean|h_i| / (mean over the units j of the layer of mean|h_j|)            score
    2   R <- all units with s_i <= tau
    3   for r in R:  W[r, :] ~ initial distribution,  b_r <- 0,  W'[:, r] <- 0          W' are outgoing weights

tau is `redo_threshold`. Young units are not protected, and scores are not averaged over earlier periods.

Paper - published comparison code - ours. The loss-of-plasticity code takes the means over the current mini-batch only
and keeps the moments of the optimizer; we also keep learned step sizes. The ReDo paper resets the moments
(`reset_optimizer_state`). With a mini-batch of one example, every unit that is inactive on that example would be
replaced. For online problems we therefore add means over all examples since the last replacement (`redo_scores =
"period"`). A layer in which no unit is active has undefined scores, 0 / 0, and is not changed, as in the published
code.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.networks import HiddenLayer
from minilop.plasticity.rule import Replaced, Rule
from minilop.plasticity.units import batch_mean, replace_units, reset_optimizer_state, unit_mean


def dormant_units(activity: Array, threshold: float) -> Array:
    """Units whose activity is at most `threshold` times their layer's mean: (R, H) to (R, H) of bool."""
    return activity <= threshold * activity.mean(axis=-1, keepdims=True)


@dataclass
class ReDo(Rule):
    """Hyperparameters; the defaults are the published ones for the Ant.

    activity   the state, (R, H) for each hidden layer: the sum of mean|h| over the steps since the last replacement
    """

    redo_period: int = 100  # steps between replacements
    redo_threshold: float = 0.1  # tau
    redo_scores: Literal["mini_batch", "period"] = "mini_batch"
    reset_optimizer_state: bool = False

    name: ClassVar[str] = "redo"
    needs_hidden_units: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        check_range(self, "redo_period", 1)
        check_range(self, "redo_threshold", 0)

    def start(self) -> None:
        self.activity = [self.network.zeros(layer.incoming.num_outputs) for layer in self.network.hidden]
        if self.reset_optimizer_state:
            self.optimizer.use_per_weight_bias_correction()

    def after_update(self, values: list[Array], gradients: Array, step: int) -> Replaced | None:
        """Record the activity in `values`. At the end of a period, replace the dormant units."""
        for layer, activity in zip(self.network.hidden, self.activity):
            if self.redo_scores == "mini_batch":
                activity[...] = 0
            activity += unit_mean(batch_mean(abs(layer.flat_features(values))), activity.shape[-1])
        if (step + 1) % self.redo_period:
            return None
        return [self.replace_dormant(*pair, step) for pair in zip(self.network.hidden, self.activity)]

    def replace_dormant(self, layer: HiddenLayer, activity: Array, step: int) -> Array:
        """Lines 2 and 3 for one hidden layer. Returns the replaced units as a mask (R, H)."""
        is_inactive = activity.max(axis=-1, keepdims=True) == 0  # (R, 1)
        dormant = dormant_units(activity, self.redo_threshold) & ~is_inactive
        # The number of dormant units depends on the data, so the host waits for the device once per period.
        runs, units = xp.nonzero(dormant)
        self.replace(layer, to_host(runs), units, step)
        activity[...] = 0
        return dormant

    def replace(self, layer: HiddenLayer, runs: Array, units: Array, step: int) -> None:
        """Replace the units given by `runs` (on the host) and `units`, (K,) each."""
        replace_units(layer, runs, units, self.network.seeds[runs], step, fresh_rows=self.fresh_rows)
        if self.reset_optimizer_state:
            reset_optimizer_state(self.optimizer, self.network, layer, runs, units)

    def arrays(self) -> dict[str, Array]:
        return {f"activity.{index}": activity for index, activity in enumerate(self.activity)}
