"""The figures of Continual ImageNet, as on the slides, drawn from result files only."""

from collections.abc import Sequence

import numpy as np

from minilop.data import title_of
from minilop.experiment.figures import Axes, Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves

_ACCURACY = ("test_accuracy", "Test accuracy (%)", "at the end of each task")


def figures(results: ResultSet) -> dict[str, Figure]:
    """All methods, backprop at several step sizes with its first ten tasks, and diagnostics of the networks."""
    settings = results.settings
    size = 32 // 2**settings.halvings
    sizes = "-".join(map(str, (*settings.num_channels, *settings.dense_units)))
    images = f"generated images, not ImageNet's ({settings.images} classes)"
    if settings.images == "imagenet32":
        images = title_of(next(iter(results.learners.values())).metadata[0].get("data_source") or "ImageNet")
    about = (
        f"Continual ImageNet on {images}, {size} x {size} pixels; {settings.num_training_images} training and "
        f"{settings.num_test_images} test images per class, {settings.num_epochs} epochs per task, layers {sizes}. "
        "Dashed: a linear network, and a new network for every task."
    )
    steps = [name for name in results.learners if name.startswith("backprop_step_")]
    methods = [name for name in results.learners if name not in steps]
    step_sizes = [name for name in ("backprop", *steps, "linear", "fresh") if name in results.learners]
    drawn = {}
    if methods:
        drawn["continual_imagenet"] = _accuracy_figure(results, methods, about)
        drawn["continual_imagenet_diagnostics"] = _diagnostics_figure(results, methods, about)
    if steps:
        drawn["continual_imagenet_step_sizes"] = _step_size_figure(results, step_sizes, about)
        drawn["continual_imagenet_step_sizes_diagnostics"] = _diagnostics_figure(results, step_sizes, about)
    return drawn


def _draw_binned(
    axes: Axes, results: ResultSet, learners: Sequence[str], measure: str, label: str, qualification: str
) -> None:
    """The learners' curves, averaged over bins of tasks."""
    size = results.settings.bin_size
    means = results.with_curves(lambda curve: curve.reshape(len(curve), -1, size).mean(axis=-1))
    positions = size * (np.arange(results.settings.num_tasks // size) + 1)
    draw_curves(axes, means, learners, measure, positions, label, qualification, f"Task number (bins of {size})")


def _accuracy_figure(results: ResultSet, learners: Sequence[str], about: str) -> Figure:
    figure, (axes,) = new_figure()
    _draw_binned(axes, results, learners, *_ACCURACY)
    add_caption(figure, f"{about} {describe_runs(results, learners, 'task')}")
    return figure


def _step_size_figure(results: ResultSet, learners: Sequence[str], about: str) -> Figure:
    """As on the slides: the first ten tasks one by one on the left, all tasks in bins on the right."""
    figure, (first, all_tasks) = new_figure(2)
    number = min(10, results.settings.num_tasks)
    beginning = results.with_curves(lambda curve: curve[:, :number])
    measure, label, _ = _ACCURACY
    tasks = np.arange(number) + 1
    draw_curves(first, beginning, learners, measure, tasks, label, f"the first {number} tasks", "Task number")
    _draw_binned(all_tasks, results, learners, *_ACCURACY)
    if "backprop" in learners:
        step_size = results["backprop"].metadata[0]["learner_settings"]["optimizer"]["step_size"]
        about += f" Backprop's own step size: {step_size:g}."
    add_caption(figure, f"{about} {describe_runs(results, learners, 'task')}")
    return figure


def _diagnostics_figure(results: ResultSet, learners: Sequence[str], about: str) -> Figure:
    figure, panels = new_figure(4)
    before = "on the test images of the next task, before learning it"
    for axes, measure, label, qualification in zip(
        panels,
        ("dormant_units", "stable_rank", "weight_magnitude", "training_accuracy"),
        ("Dormant units (%)", "Stable rank", "Weight magnitude", "Training accuracy (%)"),
        (
            f"active at under 1 % of positions and images, {before}",
            "of the last hidden layer, as a percentage of its units, on the same images",
            "mean absolute weight, at the end of each task",
            "at the end of each task",
        ),
    ):
        _draw_binned(axes, results, learners, measure, label, qualification)
    add_caption(figure, f"{about} {describe_runs(results, learners, 'task')}")
    return figure
