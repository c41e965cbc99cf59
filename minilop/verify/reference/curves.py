"""Curves: many runs of a learner on the same stream, each with its own random numbers."""

import numpy as np

from minilop import losses
from minilop.backend import to_host, xp
from minilop.learner_settings import make_learner
from minilop.recipes import mlp
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.settings import learner_settings, library_settings


class CurveReference:
    """Runs all seeds side by side. Another `first_seed` gives other runs; `changes` to the settings make mistakes."""

    def __init__(self, first_seed: int = 1000, **changes: float):
        self.first_seed = first_seed
        self.changes = changes
        self.margins: dict[str, float] = {}  # single choices do not matter for a curve

    def curve(self, case: Case) -> np.ndarray:
        """The mean error of each run in each bin, (runs, bins), measured before learning from each example."""
        runs, bin_size = case.sizes["runs"], case.sizes["bin_size"]
        settings = learner_settings(case, **self.changes)
        seeds = range(self.first_seed, self.first_seed + runs)
        network = mlp(case.sizes["layers"], settings.activation, seeds, settings.dtype)
        loss = getattr(losses, case.settings["loss"])
        learner = make_learner(network, loss, library_settings(settings))
        inputs = xp.asarray(case.inputs["x"].astype(case.dtype))
        targets = xp.asarray(case.inputs["y"])
        errors = xp.empty((case.steps, runs))
        for step in range(case.steps):
            x = xp.repeat(inputs[step][None, :, None], runs, axis=0)  # (R, 20, 1)
            y = xp.repeat(targets[step][None, None, None], runs, axis=0)  # (R, 1, 1)
            _, each_loss = learner.step(x, y)
            errors[step] = each_loss[:, 0]
        return to_host(errors).reshape(-1, bin_size, runs).mean(axis=1).T

    def expected_curve(self, case: Case) -> Arrays:
        """The errors of all runs, their mean, and the standard error of the mean."""
        errors = self.curve(case)
        standard_error = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        return {"curve/error": errors, "curve/mean": errors.mean(axis=0), "curve/standard_error": standard_error}
