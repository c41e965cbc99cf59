"""The measures of all runs, collected point by point into curves."""

from collections.abc import Mapping

import numpy as np

from minilop.backend import Array, to_host


class Curves:
    """Measures of R runs, by name: `arrays[name]` is (length, R), zero where nothing has been added."""

    def __init__(self, length: int, num_runs: int):
        self.length = length
        self.num_runs = num_runs
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, index: int, values: Mapping[str, Array]) -> None:
        """Add `values`, each (R,), to the point `index` of their curves."""
        for name, value in values.items():
            curve = self.arrays.setdefault(name, np.zeros((self.length, self.num_runs)))
            curve[index] += to_host(value)

    def by_run(self, known: np.ndarray) -> dict[str, np.ndarray]:
        """The curves (R, length), NaN where `known` (R, length) is false."""
        return {name: np.where(known, curve.T, np.nan) for name, curve in self.arrays.items()}
