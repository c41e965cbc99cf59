"""ReDo with every convention of the cases, unit by unit.

`minilop/plasticity/redo.py` explains the algorithm; this file shares no code with it.
"""

from collections.abc import Mapping
from typing import Any

from minilop.backend import Array
from minilop.verify.reference.replacement import Replacer, Units


class ReDo(Replacer):
    """Replaces all dormant units periodically."""

    def step(self, values: list[Array], step: int, draws: Mapping[str, Any]) -> None:
        self.begin(values, step, draws)
        for units in self.layers:
            self.update_activity(units)
            self.record_units("age_and_utility", "activity", units)
        if (step + 1) % self.settings.redo_period == 0:
            for units in self.layers:
                self.record_margin(units)
                dormant = [unit for unit in range(units.num_units) if self.is_dormant(units, unit)]
                for unit in dormant:
                    self.replace(units, unit)
                units.activity[:] = 0
        self.end()
        for units in self.layers:
            self.record_units("selection", "replaced", units)
        self.record.write_parameters("replacement")
        for units in self.layers:
            for name in self.statistics():
                self.record_units("replacement", name, units)

    def statistics(self) -> tuple[str, ...]:
        """The names of the units' state."""
        return ("activity",) if self.settings.redo_scores == "period" else ()

    def update_activity(self, units: Units) -> None:
        for unit, features in enumerate(units.features):
            present = sum(self.activity(h) for h in features) / len(features)
            units.activity[unit] = present + (units.activity[unit] if self.settings.redo_scores == "period" else 0)

    def is_dormant(self, units: Units, unit: int) -> bool:
        """Whether a unit is dormant. A completely silent layer has no dormant units."""
        return units.activity.max() > 0 and self.score(units, unit) <= self.settings.redo_threshold

    def score(self, units: Units, unit: int) -> float:
        return float(units.activity[unit] / units.activity.mean())

    def record_margin(self, units: Units) -> None:
        """Record the smallest distance of an activity from the threshold; exact zeros are not choices."""
        gaps = abs(units.activity - self.settings.redo_threshold * units.activity.mean())
        if gaps.any():
            self.record.record_margin("dormant", float(gaps[gaps > 0].min() / units.activity.max()))
