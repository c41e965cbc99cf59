"""The figures of Online Permuted MNIST, drawn from result files only."""

from collections.abc import Sequence

import numpy as np

from minilop.data import title_of
from minilop.experiment.figures import Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves
from problems.permuted_mnist.digits import DIGITS
from problems.permuted_mnist.learners import STEP_SIZE_LEARNERS
from problems.shared.online_figures import diagnostics_figure


def figures(results: ResultSet) -> dict[str, Figure]:
    """Online accuracy and diagnostics against the task. Learners with learned step sizes have separate figures."""
    settings = results.settings
    tasks = np.arange(settings.num_tasks) + 1
    halved = f", downsampled {settings.halvings} times by a factor of 2" if settings.halvings else ""
    layers = "-".join([str(settings.num_hidden)] * settings.num_hidden_layers)
    source = next(iter(results.learners.values())).metadata[0].get("data_source") or DIGITS[settings.digits]
    about = (
        f"Online Permuted MNIST on {title_of(source)}{halved}, {settings.task_length:,} per task, hidden layers "
        f"{layers}; each example is seen once per task and predicted before the update."
    )
    x_label = f"Task number ({settings.task_length:,} examples each)"
    label = ("Online accuracy (%)", "correct before the update, averaged over the task")

    def accuracy_figure(learners: Sequence[str]) -> Figure:
        figure, (axes,) = new_figure()
        draw_curves(axes, results, learners, "accuracy", tasks, *label, x_label)
        add_caption(figure, f"{about} {describe_runs(results, learners)}")
        return figure

    groups = {"": [name for name in results.learners if name not in STEP_SIZE_LEARNERS]}
    if set(STEP_SIZE_LEARNERS) & set(results.learners):
        beside = ("backprop", "continual_backprop", "adam", *STEP_SIZE_LEARNERS)
        groups["_step_sizes"] = [name for name in beside if name in results.learners]
    drawn = {}
    for group, learners in groups.items():
        if learners:
            drawn[f"permuted_mnist{group}"] = accuracy_figure(learners)
            diagnostics = diagnostics_figure(results, learners, tasks, tasks, x_label, about)
            drawn[f"permuted_mnist{group}_diagnostics"] = diagnostics
    return drawn
