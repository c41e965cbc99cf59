"""Mistakes of Continual Backprop in selection: how many units are due, which go, and in what order layers are changed."""

from minilop.verify.mistakes.conditions import Family, accumulates, both, has, has_several_hidden_layers, replaces
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.replacement import Units

CONTINUAL_BACKPROP = "minilop/plasticity/continual_backprop.py"
NUM_TO_REPLACE = "minilop/plasticity/num_to_replace.py"

MISTAKES = Family()


# --- how many are due -------------------------------------------------------------------------------------------------


@MISTAKES.made_by("budget_counts_immature", NUM_TO_REPLACE, replaces)
class CountsAll(ContinualBackprop):
    """What is due grows by replacement_rate times the number of all units, from the first step on; immature ones must
    not count."""

    def number_counted(self, units: Units, num_eligible: int) -> int:
        return units.num_units


MISTAKES.changed(
    "budget_counts_all_units",
    NUM_TO_REPLACE,
    {"rate_counts": "all"},
    both(replaces, has(rate_counts="eligible")),
    "As soon as one unit is mature, all count in what is due; this case counts the mature ones alone.",
)


MISTAKES.changed(
    "budget_counts_eligible_units",
    NUM_TO_REPLACE,
    {"rate_counts": "eligible"},
    both(replaces, has(rate_counts="all")),
    "Mature units alone count in what is due; this case counts all as soon as one is mature.",
)


@MISTAKES.made_by("budget_reset_to_zero", NUM_TO_REPLACE, accumulates)
class ResetsToZero(ContinualBackprop):
    """A replacement sets what is due to 0; it must subtract the number of units replaced, so that the fraction is
    carried over."""

    def taken_off(self, units: Units, wanted: int, number: int) -> float:
        return float(units.due[0]) if wanted else 0


@MISTAKES.made_by("excess_dropped", NUM_TO_REPLACE, accumulates)
class ExcessDropped(ContinualBackprop):
    """Where more units are due than are mature, the rest is forgotten; it must stay due."""

    def taken_off(self, units: Units, wanted: int, number: int) -> float:
        return wanted


@MISTAKES.made_by("one_replacement_a_step", NUM_TO_REPLACE, both(replaces, has(rounding=("accumulate", "chance"))))
class OneAtATime(ContinualBackprop):
    """At most one unit of a layer is replaced in a step; as many must be as are due."""

    def how_many(self, units: Units, due: float) -> int:
        return min(super().how_many(units, due), 1)


@MISTAKES.made_by("due_at_one", NUM_TO_REPLACE, both(replaces, has(rounding="single")))
class AtLeastOne(ContinualBackprop):
    """A unit is replaced as soon as what is due reaches 1; it must exceed 1."""

    def exceeds(self, units: Units) -> bool:
        return bool(units.due[0] >= 1)


@MISTAKES.made_by(
    "one_budget_for_all_layers",
    NUM_TO_REPLACE,
    both(replaces, has_several_hidden_layers, has(rounding=("accumulate", "single"), rate_counts="eligible")),
)
class OneBudget(ContinualBackprop):
    """What is due is counted over all layers together, and the least useful units of all are replaced; each layer has
    its own count."""

    def generate_and_test(self) -> None:
        for units in self.layers:
            self.judge(units)
            units.due = self.layers[0].due  # shared from here on
        every = [(units, unit) for units in self.layers for unit in range(units.num_units)]
        eligible = [pair for pair in every if self.is_eligible(*pair)]
        number = min(self.how_many(self.layers[0], self.settings.replacement_rate * len(eligible)), len(eligible))
        self.layers[0].due -= number
        for units, unit in sorted(eligible, key=lambda pair: self.place(*pair))[:number]:
            self.replace(units, unit)


# --- which, and in what order -----------------------------------------------------------------------------------------


@MISTAKES.made_by("age_at_least", CONTINUAL_BACKPROP, replaces)
class AgeAtLeast(ContinualBackprop):
    """A unit counts as mature from age = maturity_threshold on; its age must be above it."""

    def is_eligible(self, units: Units, unit: int) -> bool:
        return bool(units.age[unit] >= self.settings.maturity_threshold)


@MISTAKES.made_by("maturity_ignored", CONTINUAL_BACKPROP, replaces)
class AnyAge(ContinualBackprop):
    """Units of any age are counted and may be replaced; only those above maturity_threshold must be."""

    def is_eligible(self, units: Units, unit: int) -> bool:
        return True


@MISTAKES.made_by("immature_replaced", CONTINUAL_BACKPROP, replaces)
class ImmatureReplaced(ContinualBackprop):
    """The mature units alone are counted, but the least useful of all units are replaced, immature ones too; they must
    be protected."""

    def candidates(self, units: Units, eligible: list[int]) -> list[int]:
        return list(range(units.num_units))


@MISTAKES.made_by("ties_to_the_highest_index", CONTINUAL_BACKPROP, replaces)
class HighestIndexFirst(ContinualBackprop):
    """Of several units with the same utility the last is replaced; it must be the first (a stable sort)."""

    def place(self, units: Units, unit: int) -> tuple[float, int]:
        worth, _ = super().place(units, unit)
        return worth, -unit


@MISTAKES.made_by("layers_in_sequence", CONTINUAL_BACKPROP, both(replaces, has_several_hidden_layers))
class InSequence(ContinualBackprop):
    """A layer is judged after units of the layer before it have been replaced; all must be judged before any is
    changed."""

    def generate_and_test(self) -> None:
        for units in self.layers:
            self.replace_all(units, self.judge_and_choose(units))


@MISTAKES.made_by("layers_in_reverse", CONTINUAL_BACKPROP, both(replaces, has_several_hidden_layers))
class InReverse(ContinualBackprop):
    """A layer is judged after units of the layer behind it have been replaced; all must be judged before any is
    changed."""

    def generate_and_test(self) -> None:
        for units in reversed(self.layers):
            self.replace_all(units, self.judge_and_choose(units))
