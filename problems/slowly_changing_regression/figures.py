"""The figures of Slowly-Changing Regression, drawn from result files only."""

from collections.abc import Mapping, Sequence

import numpy as np

from minilop.experiment.figures import Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves
from problems.shared.online_figures import diagnostics_figure
from problems.slowly_changing_regression.learners import (
    ACTIVATION_LEARNERS,
    STEP_SIZE_LEARNERS,
)


def figures(results: ResultSet) -> dict[str, Figure]:
    """The errors of all methods, activations and learned step sizes, and diagnostics of the networks."""
    settings = results.settings
    positions = settings.bin_size * (np.arange(settings.num_examples // settings.bin_size) + 1)
    change = (
        f"one of {settings.num_slow_bits} slow bits inverted"
        if settings.change == "flip_one"
        else "all slow bits redrawn"
    )
    about = (
        f"Slowly-Changing Regression, {settings.num_hidden} hidden units, {change} every {settings.task_length:,} "
        f"examples; random data from the target network (threshold as in the {settings.target_threshold}).".replace(
            "_", " "
        )
    )
    x_label = f"Example number (bins of {settings.bin_size:,})"
    learned = ("Squared error", "of the prediction before each update; lower is better")

    def error_figure(learners: Sequence[str]) -> Figure:
        figure, (axes,) = new_figure()
        draw_curves(axes, results, learners, "squared_error", positions, *learned, x_label)
        add_caption(figure, f"{about} {describe_runs(results, learners)}")
        return figure

    def step_sizes_figure(kinds: Mapping[str, tuple[str, ...]]) -> Figure:
        figure, panels = new_figure(len(kinds))
        for axes, (qualification, learners) in zip(panels, kinds.items()):
            draw_curves(axes, results, learners, "squared_error", positions, learned[0], qualification, x_label)
        low, high = zip(*(axes.get_ylim() for axes in panels))
        for axes in panels:
            axes.set_ylim(min(low), max(high))
        add_caption(figure, f"{about} {describe_runs(results, sum(kinds.values(), ()))}")
        return figure

    activations = [name for name in ("linear", "backprop", *ACTIVATION_LEARNERS) if name in results.learners]
    methods = [name for name in results.learners if name not in {**ACTIVATION_LEARNERS, **STEP_SIZE_LEARNERS}]
    kinds = {
        "of linear networks, before each update": ("linear", "idbd", "autostep"),
        "of networks with hidden units, before each update": (
            "backprop",
            "continual_backprop",
            "network_idbd",
            "dynamic",
        ),
    }
    learned_here = set(STEP_SIZE_LEARNERS) & set(results.learners)
    beside = {
        kind: tuple(name for name in learners if name in results.learners)
        for kind, learners in kinds.items()
        if learned_here & set(learners)
    }
    drawn, starts = {}, positions - settings.bin_size
    if methods:
        drawn["slowly_changing_regression"] = error_figure(methods)
    if len(activations) > 2:
        drawn["slowly_changing_regression_activations"] = error_figure(activations)
    if beside:
        drawn["slowly_changing_regression_step_sizes"] = step_sizes_figure(beside)
    for group, learners in (("", methods), ("_step_sizes", sum(beside.values(), ()))):
        if learners:
            diagnostics = diagnostics_figure(results, learners, positions, starts, x_label, about)
            drawn[f"slowly_changing_regression{group}_diagnostics"] = diagnostics
    return drawn
