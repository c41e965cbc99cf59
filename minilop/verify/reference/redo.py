"""ReDo, with every convention that a case of the kit has, unit by unit; `minilop/plasticity/redo.py` explains it.

It shares nothing with that file.
"""

from collections.abc import Mapping
from typing import Any

from minilop.backend import Array
from minilop.verify.reference.replacement import Replacer, Units


class ReDo(Replacer):
    """Every dormant unit is replaced, periodically."""

    def step(self, values: list[Array], step: int, draws: Mapping[str, Any]) -> None:
        self.begin(values, step, draws)
        for units in self.layers:
            self.judge(units)
            self.note("age_and_utility", "activity", units)
        if (step + 1) % self.settings.redo_period == 0:
            for units in self.layers:
                self.note_margin(units)
                dormant = [unit for unit in range(units.num_units) if self.is_dormant(units, unit)]
                for unit in dormant:
                    self.replace(units, unit)
                units.activity[:] = 0
        self.end()
        for units in self.layers:
            self.note("selection", "replaced", units)
        self.record.write_parameters("replacement")
        for units in self.layers:
            for name in self.statistics():
                self.note("replacement", name, units)

    def statistics(self) -> tuple[str, ...]:
        """What goes from step to step."""
        return ("activity",) if self.settings.redo_scores == "period" else ()

    def judge(self, units: Units) -> None:
        for unit, features in enumerate(units.features):
            present = sum(self.activity(h) for h in features) / len(features)
            units.activity[unit] = present + (units.activity[unit] if self.settings.redo_scores == "period" else 0)

    def is_dormant(self, units: Units, unit: int) -> bool:
        """A layer that is completely silent has no dormant units."""
        return units.activity.max() > 0 and self.score(units, unit) <= self.settings.redo_threshold

    def score(self, units: Units, unit: int) -> float:
        return float(units.activity[unit] / units.activity.mean())

    def note_margin(self, units: Units) -> None:
        """How far the choices were from others; where all is 0, so it is in every arithmetic."""
        gaps = abs(units.activity - self.settings.redo_threshold * units.activity.mean())
        if gaps.any():
            self.record.note_margin("dormant", float(gaps[gaps > 0].min() / units.activity.max()))
