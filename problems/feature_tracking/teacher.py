"""The teacher, whose features determine the targets of feature tracking."""

import math

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from problems.feature_tracking.settings import Settings


class Teacher:
    """The teachers of R runs. Draws are stateless, so tasks can be requested in any order."""

    def __init__(self, settings: Settings, seeds: np.ndarray, is_redrawn: bool):
        self.settings = settings
        self.seeds = seeds
        self.tasks_per_feature = settings.redraw_period // settings.task_length if is_redrawn else 0

    def changed(self, purpose: str, count: int) -> np.ndarray:
        """The index of the feature that each of the changes 1 to `count` affects, (count, R, 1)."""
        changes = np.arange(1, count + 1)[:, None]
        return to_host(draws.integers(self.seeds, purpose, 1, self.settings.num_features, step=changes))

    def signs(self, task: int) -> np.ndarray:
        """The signs s of a task, (R, J)."""
        number = self.settings.num_features
        signs = 2 * to_host(draws.integers(self.seeds, "teacher sign", number, 2)) - 1
        inverted = self.changed("inverted teacher sign", task) == np.arange(number)  # (task, R, J)
        return signs * (1 - 2 * (inverted.sum(axis=0) % 2))

    def features(self, task: int, dtype: str) -> Array:
        """The features v of a task, (R, J, relevant)."""
        settings = self.settings
        slots = np.arange(settings.num_features)
        count = task // self.tasks_per_feature if self.tasks_per_feature else 0
        redrawn = self.changed("redrawn teacher feature", count) == slots  # (count, R, J)
        last = (np.arange(1, count + 1)[:, None, None] * redrawn).max(axis=0, initial=0)  # (R, J)
        seeds = self.seeds[:, None]
        drawn = draws.normal(seeds, "teacher feature", settings.num_relevant, step=last, slot=slots, dtype=dtype)
        return math.sqrt(2) * drawn / xp.sqrt((drawn * drawn).sum(axis=-1, keepdims=True))
