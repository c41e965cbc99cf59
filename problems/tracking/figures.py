"""The figures of tracking: error against the parameter, learned step sizes over time, rates and their closed form."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minilop.experiment.figures import Figure, add_caption, finish_panel, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import color_of, describe_runs, draw_curves, label_of
from problems.shared.sweep_figures import (
    as_infinite,
    describe_overflow,
    describe_sweep,
    draw_level,
    draw_sweep,
    logarithmic,
    mean_in_words,
    swept,
)
from problems.tracking.closed_form import best_rate, error_at_rate

# Sutton (1992), experiment 1: an error, its label, and whether the label is below the line
PUBLISHED_ERRORS = ((3.5, "LMS at its best, published", True), (1.5, "IDBD, published", False))
PUBLISHED_STEP_SIZE = 0.13  # the best one shared by all relevant inputs: Sutton (1992), experiment 2
PUBLISHED_TASK = {"num_inputs": 20, "num_relevant": 5, "task_length": 20, "target_noise": 0}
PUBLISHED_COMPARED = {**PUBLISHED_TASK, "num_compared": 30_000, "compared_bin": 10_000}
PUBLISHED_OBSERVED = {**PUBLISHED_TASK, "num_observed": 250_000}


def figures(results: ResultSet) -> dict[str, Figure]:
    """Error against the parameter, learned step sizes over time, and rates with their closed form, if measured."""
    drawn = {"tracking": compared_figure(results)}
    if with_sweep(results, "observed"):
        drawn["tracking_step_sizes"] = observed_figure(results)
    if with_sweep(results, "rates"):
        drawn["tracking_rates"] = rates_figure(results)
    return drawn


def with_sweep(results: ResultSet, sweep: str) -> list[str]:
    """The learners that have results of an experiment."""
    return [name for name in results.learners if f"{sweep}.squared_error" in results[name].arrays]


def as_published(results: ResultSet, published: Mapping[str, float]) -> bool:
    """Whether the settings are those of a published experiment."""
    return all(getattr(results.settings, name) == value for name, value in published.items())


def about(results: ResultSet) -> str:
    """The task of `compared` and `observed` in a sentence."""
    settings = results.settings
    noise = f", noise of standard deviation {settings.target_noise:g}" if settings.target_noise else ""
    return (
        f"Tracking: {settings.num_inputs} normal inputs, of which {settings.num_relevant} matter; every "
        f"{settings.task_length} examples, one of their signs is inverted{noise}."
    )


def compared_figure(results: ResultSet) -> Figure:
    """Squared error against the step size of LMS, and against the meta step size of the others."""
    settings = results.settings
    learners = list(results.learners)
    kinds = {
        "Step size, the same for all inputs": [name for name in learners if name == "lms"],
        "Meta step size (logarithmic)": [name for name in learners if name != "lms"],
    }
    kinds = {x_label: own for x_label, own in kinds.items() if own}
    figure, panels = new_figure(len(kinds))
    qualification = f"of examples {settings.num_compared - settings.compared_bin:,} to {settings.num_compared:,}"
    for axes, (x_label, own) in zip(panels, kinds.items()):
        if own != ["lms"]:
            logarithmic(axes, "x")
        axes.set_ylim(0, 1.25 * (settings.num_relevant + settings.target_noise**2))
        errors = [results[name]["compared.squared_error"][..., -1] for name in own]
        ends = [draw_sweep(axes, swept(results, name, "compared"), each, name) for name, each in zip(own, errors)]
        if as_published(results, PUBLISHED_COMPARED):
            for level in PUBLISHED_ERRORS:
                draw_level(axes, *level)
        finish_panel(axes, ends, "Squared error", qualification, x_label)
    zero = (
        f"Always predicting 0 has an error of {settings.num_relevant + settings.target_noise**2:g}. Where the dotted "
        "line leaves the solid one, a few runs have bursts of very large errors."
    )
    shown = describe_sweep(results, learners, "compared")
    add_caption(figure, f"{about(results)} {zero} Shown are {shown}")
    return figure


def observed_figure(results: ResultSet) -> Figure:
    """Mean step sizes of relevant and irrelevant inputs over time."""
    settings = results.settings
    shown, errors = {}, []
    for name in with_sweep(results, "observed"):
        step_sizes = results[name]["observed.step_sizes"][:, 0]  # (R, bins, n), of the first meta step size
        arrays = {
            "relevant": step_sizes[..., : settings.num_relevant].mean(axis=-1),
            "irrelevant": step_sizes[..., settings.num_relevant :].mean(axis=-1),
            "diverged_at": results[name]["observed.diverged_at"][:, 0],
        }
        shown[name] = replace(results[name], arrays=arrays)
        last = results[name]["observed.squared_error"][:, 0, -max(1, 10_000 // settings.observed_bin) :].mean(axis=-1)
        value = swept(results, name, "observed")[0]
        errors.append(f"{label_of(name)} (meta step size {value:g}): {mean_in_words(last, 3)}")
    derived = replace(results, learners=shown)
    figure, panels = new_figure(2)
    positions = settings.observed_bin * (np.arange(settings.num_observed // settings.observed_bin) + 1)
    logarithmic(panels[1], "y")
    for axes, measure in zip(panels, ("relevant", "irrelevant")):
        if measure == "relevant" and as_published(results, PUBLISHED_OBSERVED):
            draw_level(axes, PUBLISHED_STEP_SIZE, f"the best for all {settings.num_relevant}, published")
        draw_curves(
            axes,
            derived,
            list(shown),
            measure,
            positions,
            f"Step size of {measure} inputs",
            "mean over these inputs" + (", logarithmic" if measure == "irrelevant" else ""),
            "Example number",
        )
    last_examples = min(10_000, settings.num_observed)
    at_end = f"Squared error of the last {last_examples:,} examples: {'; '.join(errors)}."
    if "autostep_transient" in shown:
        at_end += (
            " With the transient bound, the stored step sizes are shown; steps that would overshoot use smaller ones."
        )
    add_caption(figure, f"{about(results)} {at_end} {describe_runs(derived, list(shown))}")
    return figure


def rates_figure(results: ResultSet) -> Figure:
    """Step sizes and errors on random walks, with the closed form."""
    settings = results.settings
    sigmas = np.array(settings.sigmas)
    learners = with_sweep(results, "rates")
    figure, (left, right) = new_figure(2)
    logarithmic(left, "y")
    right.set_xscale("log")
    grid = np.linspace(0.04, 1.0, 200)
    ends = []
    for sigma in sigmas:
        left.plot(grid, error_at_rate(sigma, grid), color="0.45", linewidth=1.2)
        left.plot(*best_rate(sigma), marker="+", color="black", markersize=11, markeredgewidth=1.2)
        ends.append((float(error_at_rate(sigma, np.array(1.0))), f"σ = {sigma:g}", "0.35"))
    best = best_rate(sigmas)[0]
    right.plot(sigmas, best, color="black", linewidth=1.2, linestyle="--", marker="+", markersize=11)
    labels = [(float(best[-1]), "Closed form", "black")]
    for index, name in enumerate(learners):
        errors = as_infinite(results[name]["rates.squared_error"][..., 1]).mean(axis=0)  # (L, K), of the second half
        step_sizes = results[name]["rates.step_sizes"][..., 1, 0].mean(axis=0)  # (L, K)
        size = 4 if name == "lms" else 11 - 3 * index  # rings of different sizes do not hide each other
        style: dict[str, Any] = {
            "color": color_of(name),
            "marker": "o",
            "markersize": size,
            "fillstyle": "none",
        }
        left.plot(step_sizes, errors, **style, linestyle="")
        if name == "lms":
            continue
        for column, value in enumerate(swept(results, name, "rates")):
            right.plot(sigmas, step_sizes[:, column], **style, linewidth=1.2)
            finite = step_sizes[np.isfinite(step_sizes[:, column]), column]
            end = float(finite[-1]) if len(finite) else np.nan
            labels.append((end, f"{label_of(name)}, {value:g}", color_of(name)))
    finish_panel(
        left, ends, "Squared error", "against the mean step size; logarithmic", "Step size, fixed (LMS) or learned"
    )
    finish_panel(
        right,
        labels,
        "Learned step size",
        "mean; labels: meta step sizes",
        "Standard deviation σ of a step of the walk",
    )
    right.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
    right.minorticks_off()
    counts = sorted({results[name].num_runs for name in learners})
    caption = (
        "One weight tracks random walks in noise of variance 1. Left, lines: the error of a constant step size in "
        "closed form; crosses: its minimum, which the Kalman filter attains; rings: "
        f"{'LMS with fixed step sizes, in red, and ' if 'lms' in learners else ''}the learners of the right panel in "
        f"the same colors, means over the second half of {settings.num_rates:,} examples and over "
        f"{' to '.join(dict.fromkeys(map(str, (counts[0], counts[-1]))))} runs if none overflowed. "
        f"Scale: {results.scale}.{describe_overflow(results, learners, 'rates')}"
    )
    add_caption(figure, caption)
    return figure
