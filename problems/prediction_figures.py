"""The figures of `problems.prediction`: error against parameter, error over time, and SwiftTD's step sizes."""

from dataclasses import replace

import numpy as np

from minilop.experiment.figures import (
    Figure,
    add_caption,
    describe_runs,
    draw_curves,
    finish_panel,
    name_of,
    new_figure,
)
from minilop.experiment.results import ResultSet
from problems.sweep_figures import as_infinite, describe_sweep, draw_sweep, logarithmic, swept


def draw(results: ResultSet) -> dict[str, Figure]:
    """All figures for which there are results."""
    drawn = {"prediction": compared_figure(results)}
    if any(name.startswith(("swift_td", "tidbd")) for name in results.learners):
        drawn["prediction_step_sizes"] = step_sizes_figure(results)
    return drawn


def about(results: ResultSet) -> str:
    settings = results.settings
    return (
        f"An outcome {settings.delay} steps after each cue, discount {settings.discount:g}; {settings.num_taps} taps of the "
        f"cue, {settings.num_distractors} distractors, a bias; {settings.num_steps:,} steps."
    )


def lifetime_error(results: ResultSet, learner: str) -> np.ndarray:
    """Mean squared difference of value and return over the whole stream, (R, K)."""
    return as_infinite(results[learner]["compared.squared_error"]).mean(axis=-1)


def at_best(results: ResultSet) -> tuple[ResultSet, str]:
    """Curves (R, bins) of each learner at the parameter of least median lifetime error, and which that is."""
    shown, words = {}, []
    for name in results.learners:
        best = np.median(lifetime_error(results, name), axis=0).argmin()
        settings = results.settings
        step_sizes = results[name]["compared.step_sizes"][:, best]  # (R, bins, n)
        distractors = slice(settings.num_taps, settings.num_taps + settings.num_distractors)
        arrays = {
            "squared_error": results[name]["compared.squared_error"][:, best],
            "taps": step_sizes[..., : settings.delay].mean(axis=-1),  # those from the cue until before the outcome
            "distractors": step_sizes[..., distractors].mean(axis=-1),
            "bias": step_sizes[..., -1],
            "diverged_at": results[name]["compared.diverged_at"][:, best],
        }
        shown[name] = replace(results[name], arrays=arrays)
        words.append(f"{name_of(name)} {swept(results, name, 'compared')[best]:g}")
    return replace(results, learners=shown), ", ".join(words)


def compared_figure(results: ResultSet) -> Figure:
    """Lifetime error against the parameter of each method, and the error over time at the best one."""
    settings, learners = results.settings, list(results.learners)
    figure, (left, right) = new_figure(2)
    logarithmic(left, "x")
    ends = [
        draw_sweep(left, swept(results, name, "compared"), lifetime_error(results, name), name) for name in learners
    ]
    left.set_ylim(0, 0.06)
    right.set_ylim(0, 0.08)
    finish_panel(
        left,
        ends,
        "Value error",
        "(value - return)², over the whole stream",
        "Step size of both TD(λ), meta step size of the others (logarithmic)",
    )
    best, words = at_best(results)
    positions = settings.bin_size * (np.arange(settings.num_steps // settings.bin_size) + 1)
    draw_curves(
        right,
        best,
        learners,
        "squared_error",
        positions,
        "Value error",
        "(value - return)², each at its best parameter",
        f"Step (bins of {settings.bin_size:,})",
    )
    caption = f"{about(results)} Left: {describe_sweep(results, learners, 'compared', 'compared')}"
    add_caption(figure, f"{caption} Right, with {words}: {describe_runs(best, learners)}")
    return figure


def step_sizes_figure(results: ResultSet) -> Figure:
    """Step sizes of cue taps and of distractors over time, where they are learned."""
    learned = [name for name in results.learners if name.startswith(("swift_td", "tidbd"))]
    settings = results.settings
    best, words = at_best(replace(results, learners={name: results[name] for name in learned}))
    figure, panels = new_figure(2)
    positions = settings.bin_size * (np.arange(settings.num_steps // settings.bin_size) + 1)
    for axes, measure, label in zip(panels, ("taps", "distractors"), ("taps of the cue", "distractors")):
        logarithmic(axes, "y")
        which = f"of taps 0 to {settings.delay - 1}" if measure == "taps" else "of all"
        draw_curves(
            axes,
            best,
            learned,
            measure,
            positions,
            f"Step size of the {label}",
            f"mean {which}, each method at its best meta step size; logarithmic",
            "Step",
        )
    add_caption(figure, f"{about(results)} Meta step sizes: {words}. {describe_runs(best, learned)}")
    return figure
