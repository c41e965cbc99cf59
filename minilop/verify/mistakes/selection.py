"""Mistakes of Continual Backprop in the selection of units: how many, which ones, and the order of the layers."""

from minilop.verify.mistakes.conditions import Family, accumulates, every, has, has_several_hidden_layers, replaces
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.replacement import Units

CONTINUAL_BACKPROP = "minilop/plasticity/continual_backprop.py"
NUM_TO_REPLACE = "minilop/plasticity/num_to_replace.py"

MISTAKES = Family()


# --- number of units to replace ---------------------------------------------------------------------------------------


@MISTAKES.from_class("budget_counts_immature", NUM_TO_REPLACE, replaces)
class CountsAll(ContinualBackprop):
    """units_to_replace grows by replacement_rate times the number of all units, from the first step on; immature units
    must not count."""

    def num_counted_units(self, units: Units, num_eligible: int) -> int:
        return units.num_units


MISTAKES.from_settings(
    "budget_counts_all_units",
    NUM_TO_REPLACE,
    {"rate_counts": "all"},
    every(replaces, has(rate_counts="eligible")),
    "As soon as one unit is mature, all units count in units_to_replace; this case counts only mature units.",
)


MISTAKES.from_settings(
    "budget_counts_eligible_units",
    NUM_TO_REPLACE,
    {"rate_counts": "eligible"},
    every(replaces, has(rate_counts="all")),
    "Only mature units count in units_to_replace; this case counts all units as soon as one is mature.",
)


@MISTAKES.from_class("budget_reset_to_zero", NUM_TO_REPLACE, accumulates)
class ResetsToZero(ContinualBackprop):
    """A replacement sets units_to_replace to 0; it must subtract the number of replaced units, so that the fraction is
    carried over."""

    def num_subtracted(self, units: Units, wanted: int, number: int) -> float:
        return float(units.units_to_replace[0]) if wanted else 0


@MISTAKES.from_class("excess_dropped", NUM_TO_REPLACE, accumulates)
class ExcessDropped(ContinualBackprop):
    """If units_to_replace exceeds the number of mature units, the excess is dropped; it must be carried over."""

    def num_subtracted(self, units: Units, wanted: int, number: int) -> float:
        return wanted


@MISTAKES.from_class("one_replacement_a_step", NUM_TO_REPLACE, every(replaces, has(rounding=("accumulate", "chance"))))
class OneAtATime(ContinualBackprop):
    """At most one unit per layer is replaced in a step; this case may require several."""

    def num_to_replace(self, units: Units, due: float) -> int:
        return min(super().num_to_replace(units, due), 1)


@MISTAKES.from_class("due_at_one", NUM_TO_REPLACE, every(replaces, has(rounding="single")))
class AtLeastOne(ContinualBackprop):
    """A unit is replaced as soon as units_to_replace reaches 1; units_to_replace must exceed 1."""

    def exceeds_one(self, units: Units) -> bool:
        return bool(units.units_to_replace[0] >= 1)


@MISTAKES.from_class(
    "one_budget_for_all_layers",
    NUM_TO_REPLACE,
    every(replaces, has_several_hidden_layers, has(rounding=("accumulate", "single"), rate_counts="eligible")),
)
class OneBudget(ContinualBackprop):
    """All layers share one units_to_replace, and the least useful units of the whole network are replaced; each layer
    must have its own count."""

    def generate_and_test(self) -> None:
        for units in self.layers:
            self.update_utilities(units)
            units.units_to_replace = self.layers[0].units_to_replace  # shared from here on
        all_units = [(units, unit) for units in self.layers for unit in range(units.num_units)]
        eligible = [pair for pair in all_units if self.is_eligible(*pair)]
        number = min(self.num_to_replace(self.layers[0], self.settings.replacement_rate * len(eligible)), len(eligible))
        self.layers[0].units_to_replace -= number
        for units, unit in sorted(eligible, key=lambda pair: self.sort_key(*pair))[:number]:
            self.replace(units, unit)


# --- which units, and the order of the layers -------------------------------------------------------------------------


@MISTAKES.from_class("age_at_least", CONTINUAL_BACKPROP, replaces)
class AgeAtLeast(ContinualBackprop):
    """A unit counts as mature when its age equals maturity_threshold; its age must exceed the threshold."""

    def is_eligible(self, units: Units, unit: int) -> bool:
        return bool(units.age[unit] >= self.settings.maturity_threshold)


@MISTAKES.from_class("maturity_ignored", CONTINUAL_BACKPROP, replaces)
class AnyAge(ContinualBackprop):
    """Units of any age count and may be replaced; only units older than maturity_threshold are eligible."""

    def is_eligible(self, units: Units, unit: int) -> bool:
        return True


@MISTAKES.from_class("immature_replaced", CONTINUAL_BACKPROP, replaces)
class ImmatureReplaced(ContinualBackprop):
    """Only mature units count, but the least useful of all units are replaced; immature units must be protected."""

    def candidates(self, units: Units, eligible: list[int]) -> list[int]:
        return list(range(units.num_units))


@MISTAKES.from_class("ties_to_the_highest_index", CONTINUAL_BACKPROP, replaces)
class HighestIndexFirst(ContinualBackprop):
    """Of several units with the same utility, the last is replaced; it must be the first (a stable sort)."""

    def sort_key(self, units: Units, unit: int) -> tuple[float, int]:
        score, _ = super().sort_key(units, unit)
        return score, -unit


@MISTAKES.from_class("layers_in_sequence", CONTINUAL_BACKPROP, every(replaces, has_several_hidden_layers))
class InSequence(ContinualBackprop):
    """Utilities of a layer are updated after replacements in the layer before it; all layers must be updated before any
    replacement."""

    def generate_and_test(self) -> None:
        for units in self.layers:
            self.replace_all(units, self.update_and_select(units))


@MISTAKES.from_class("layers_in_reverse", CONTINUAL_BACKPROP, every(replaces, has_several_hidden_layers))
class InReverse(ContinualBackprop):
    """Utilities of a layer are updated after replacements in the layer after it; all layers must be updated before any
    replacement."""

    def generate_and_test(self) -> None:
        for units in reversed(self.layers):
            self.replace_all(units, self.update_and_select(units))
