"""The figure shared by the online problems: diagnostics of the networks."""

from collections.abc import Sequence

import numpy as np

from minilop.experiment.figures import Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves


def diagnostics_figure(
    results: ResultSet, learners: Sequence[str], positions: np.ndarray, starts: np.ndarray, x_label: str, about: str
) -> Figure:
    """Weight magnitude and, if learners have hidden units, their dead units, effective rank and stable rank.

    positions   (num_bins,), where averages over a bin are drawn
    starts      (num_bins,), where measures taken at the start of a bin are drawn
    """
    of_features = "of the features at the start of the bin, as a percentage of the units"
    measures = {
        "weight_magnitude": ("Weight magnitude", "mean absolute weight, averaged over the bin"),
        "dead_units": ("Dead units (%)", "zero on every diagnostic example, at the start of the bin"),
        "effective_rank": ("Effective rank", of_features),
        "stable_rank": ("Stable rank", of_features),
    }
    # Networks without hidden units have no dead units and no ranks.
    measured = {measure for name in learners for measure in results[name].arrays}
    measures = {measure: words for measure, words in measures.items() if measure in measured}
    figure, panels = new_figure(len(measures))
    for axes, (measure, (label, qualification)) in zip(panels, measures.items()):
        where = positions if measure == "weight_magnitude" else starts
        draw_curves(axes, results, learners, measure, where, label, qualification, x_label)
    add_caption(figure, f"{about} {describe_runs(results, learners)}")
    return figure
