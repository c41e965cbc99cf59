"""The figures of feature tracking: the error at each level of adaptation, ablations, and learned step sizes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minilop.experiment.figures import Axes, Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves, label_of
from problems.shared.sweep_figures import logarithmic, mean_in_words

LEVELS = ("sgd", "sgd_bounded", "two_levels", "three_levels")
ABLATIONS = ("two_levels", "sgd_units", "without_inheritance", "dense_units", "uniform_inputs", "three_levels")
EXPLAINED = {
    "sgd_bounded": "with the same bound on the step as the others",
    "two_levels": "weights and step sizes adapt",
    "three_levels": "units adapt, too",
    "sgd_units": "units adapt as with three levels, step sizes are fixed",
    "without_inheritance": "three levels, but new units do not inherit step sizes",
    "dense_units": "three levels, but new units are connected to all inputs",
    "uniform_inputs": "three levels, but new units are connected to inputs chosen uniformly at random",
}
STREAMS = {
    "redrawn": "teacher features are redrawn",
    "fixed": "teacher features are fixed",
}


def figures(results: ResultSet) -> dict[str, Figure]:
    """The error at each level of adaptation, ablations, and learned step sizes, if there are results."""
    levels, ablations = ([name for name in results.learners if name in group] for group in (LEVELS, ABLATIONS))
    others = [name for name in results.learners if name not in LEVELS + ABLATIONS]
    drawn = {}
    if levels:
        drawn["feature_tracking"] = error_figure(results, levels)
    if set(ablations) - set(LEVELS):
        drawn["feature_tracking_ablations"] = error_figure(results, ablations)
    if others:
        drawn["feature_tracking_variants"] = error_figure(results, others)
    learned = [name for name in ("two_levels", "three_levels", "without_inheritance") if name in results.learners]
    if learned and "redrawn.irrelevant_step_size" in results[learned[0]].arrays:
        drawn["feature_tracking_step_sizes"] = step_sizes_figure(results, learned)
    return drawn


def of_stream(results: ResultSet, stream: str) -> ResultSet:
    """The results of one of the streams, under the names of the measures."""
    start = f"{stream}."
    learners = {}
    for name, learner in results.learners.items():
        arrays = {key.removeprefix(start): array for key, array in learner.arrays.items() if key.startswith(start)}
        if arrays:
            learners[name] = replace(learner, arrays=arrays)
    return replace(results, learners=learners)


def about(results: ResultSet) -> str:
    """The task in a sentence."""
    settings = results.settings
    return (
        f"Feature tracking: {settings.num_inputs} inputs, of which {settings.num_relevant} are relevant; "
        f"{settings.num_hidden} hidden units track {settings.num_features} features of a teacher; the sign of one is "
        f"inverted every {settings.task_length:,} examples and, where features are redrawn, one is redrawn every "
        f"{settings.redraw_period:,}; noise of variance {settings.target_noise**2:g}."
    )


def positions(results: ResultSet, stream: str) -> np.ndarray:
    """The last example of each bin, (bins,)."""
    settings = results.settings
    num_examples = settings.num_redrawn if stream == "redrawn" else settings.num_fixed
    return settings.bin_size * (np.arange(num_examples // settings.bin_size) + 1)


def draw_noise(axes: Axes, results: ResultSet) -> None:
    """A line at the variance of the noise, the error that would remain if the teacher were known."""
    axes.axhline(results.settings.target_noise**2, color="0.45", linewidth=1, linestyle="--")


def error_figure(results: ResultSet, learners: Sequence[str]) -> Figure:
    """Squared error over time on each stream. The caption has its mean over the second half of the first stream."""
    streams = {name: of_stream(results, name) for name in STREAMS}
    streams = {name: each for name, each in streams.items() if each.learners}
    figure, panels = new_figure(len(streams))
    x_label = f"Example number (bins of {results.settings.bin_size:,})"
    for axes, (stream, each) in zip(panels, streams.items()):
        draw_noise(axes, results)
        where = positions(results, stream)
        draw_curves(axes, each, learners, "squared_error", where, "Squared error", STREAMS[stream], x_label)
    redrawn = streams["redrawn"]
    means = []
    for name in learners:
        errors = redrawn[name]["squared_error"]  # (R, bins)
        second_half = errors[:, errors.shape[-1] // 2 :].mean(axis=-1)  # (R,)
        means.append(f"{label_of(name)}: {mean_in_words(second_half, 2)}")
    explained = "; ".join(f"{label_of(name)}: {EXPLAINED[name]}" for name in learners if name in EXPLAINED)
    explanation = f" {explained}." if explained else ""
    at_end = f"Mean over the second half where features are redrawn: {'; '.join(means)}. Dashed: the noise."
    add_caption(figure, f"{about(results)}{explanation} {at_end} {describe_runs(redrawn, learners)}")
    return figure


def step_sizes_figure(results: ResultSet, learners: Sequence[str]) -> Figure:
    """Mean step sizes of the weights from relevant and from irrelevant inputs at the start of each bin."""
    redrawn = of_stream(results, "redrawn")
    figure, panels = new_figure(2)
    starts = positions(results, "redrawn") - results.settings.bin_size
    shown = np.array(
        [redrawn[name][f"{measure}_step_size"] for name in learners for measure in ("relevant", "irrelevant")]
    )
    shown = shown[np.isfinite(shown)]
    for axes, measure in zip(panels, ("relevant", "irrelevant")):
        logarithmic(axes, "y")
        axes.set_ylim(0.8 * shown.min(), 1.25 * shown.max())  # the same for both panels
        draw_curves(
            axes,
            redrawn,
            learners,
            f"{measure}_step_size",
            starts,
            f"Step size of {measure} inputs",
            "mean over their weights, logarithmic",
            "Example number",
        )
    add_caption(figure, f"{about(results)} Features are redrawn. {describe_runs(redrawn, learners)}")
    return figure
