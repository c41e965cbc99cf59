"""The rules that replace units, recorded while they work. Known mistakes override them further."""

from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.networks import HiddenLayer
from minilop.plasticity.redo import ReDo
from minilop.verify.reference.continual_backprop import ContinualBackprop, ReplacementBudget


class RecordedContinualBackprop(ContinualBackprop):
    """Records the utilities, the chosen units, and the network and statistics after replacement."""

    record: Any  # the LearnerReference that it belongs to

    def utility_of(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        """What `update_utility` is in the rule itself; mistakes override this method."""
        return super().update_utility(state, features, incoming, outgoing)

    def update_utility(self, state: dict[str, Array], features: Array, incoming: Array, outgoing: Array) -> Array:
        utility = self.utility_of(state, features, incoming, outgoing)
        number = next(layer.incoming.number for layer, each in zip(self.network.hidden, self.state) if each is state)
        for name in self.recorded_statistics():
            self.record.write(f"age_and_utility/{name}/{number}", state[name])
        ranked_by = utility
        if self.settings.bias_correction and self.settings.average == "utility" and self.settings.utility != "random":
            ranked_by = utility / state["correction"]
            self.record.write(f"age_and_utility/bias_corrected_utility/{number}", ranked_by)
        self.ranked_by[number] = to_host(ranked_by)[0].copy()
        self.mature[number] = to_host(state["age"])[0] > self.settings.maturity_threshold
        return utility

    def recorded_statistics(self) -> tuple[str, ...]:
        """The names of the statistics of units that are recorded."""
        utility = () if self.settings.utility == "random" else ("utility",)
        return ("age", *utility, "mean_feature") if self.follows_mean else ("age", *utility)

    def random_utility(self, layer: HiddenLayer, step: int) -> Array:
        utility = super().random_utility(layer, step)
        self.ranked_by[layer.incoming.number] = to_host(utility)[0].copy()
        return utility

    def replace(self, layer: HiddenLayer, state: dict[str, Array], runs: np.ndarray, units: Array, step: int) -> None:
        self.record.replaced[layer.incoming.number][:, to_host(units)] = True
        super().replace(layer, state, runs, units, step)

    def step(self, values: list[Array], step: int) -> None:
        self.ranked_by: dict[int, np.ndarray] = {}  # (H,) by layer
        self.mature: dict[int, np.ndarray] = {}
        self.record.begin_selection()
        super().step(values, step)
        self.record.write_selection()
        for layer, budget in zip(self.network.hidden, self.budgets):
            number = layer.incoming.number
            if self.settings.rounding != "chance":
                self.record.write(f"selection/units_to_replace/{number}", xp.asarray(budget.units_to_replace[:, None]))
            self.note_margins(number, budget, step)
        self.record.write_parameters("replacement")
        for layer, state in zip(self.network.hidden, self.state):
            for name in self.recorded_statistics():
                self.record.write(f"replacement/{name}/{layer.incoming.number}", state[name])

    def note_margins(self, number: int, budget: ReplacementBudget, step: int) -> None:
        """How far the choices of this step were from others: of how many units, and of which."""
        replaced = self.record.replaced[number][0]
        num_mature = int(self.mature[number].sum())
        if self.settings.rounding == "chance":
            counted = num_mature if self.settings.rate_counts == "eligible" else budget.num_units
            if num_mature:
                chance = self.settings.replacement_rate * counted
                self.record.note_margin("how_many", abs(float(budget.uniform_number(step)[0]) - chance))
        else:
            left = float(budget.units_to_replace[0])
            self.record.note_margin("how_many", min(abs(1 - left), left if replaced.any() else 1.0))
        others = self.mature[number] & ~replaced
        utility = self.ranked_by[number]
        if replaced.any() and others.any() and utility.any():  # where all are 0, so they are in every arithmetic
            gap = utility[others].min() - utility[replaced].max()
            self.record.note_margin("which_unit", float(gap / utility.max()))


class RecordedReDo(ReDo):
    """Records activities, the dormant units, and the network after replacement."""

    record: Any

    def replace(self, layer: HiddenLayer, runs: Array, units: Array, step: int) -> None:
        number = layer.incoming.number
        on_device = next(array for each, array in zip(self.network.hidden, self.activity) if each is layer)
        activity = to_host(on_device)[0]
        self.record.write(f"age_and_utility/activity/{number}", on_device)
        self.record.replaced[number][:, to_host(units)] = True
        gaps = abs(activity - self.redo_threshold * activity.mean())
        if gaps.any():  # where all is 0, so it is in every arithmetic
            self.record.note_margin("dormant", float(gaps[gaps > 0].min() / activity.max()))
        super().replace(layer, runs, units, step)

    def after_update(self, values: list[Array], gradients: Any, step: int) -> Any:
        self.record.begin_selection()
        replaced = super().after_update(values, gradients, step)
        for layer, activity in zip(self.network.hidden, self.activity):
            name = f"age_and_utility/activity/{layer.incoming.number}"
            if name not in self.record.written:  # no replacements in this step
                self.record.write(name, activity)
        self.record.write_selection()
        self.record.write_parameters("replacement")
        if self.redo_scores == "period":
            for layer, activity in zip(self.network.hidden, self.activity):
                self.record.write(f"replacement/activity/{layer.incoming.number}", activity)
        return replaced
