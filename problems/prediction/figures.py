"""The figures of prediction: error against the parameter, error over time, and learned step sizes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minilop.experiment.figures import Figure, add_caption, finish_panel, new_figure
from minilop.experiment.results import ResultSet
from problems.appearance import describe_runs, draw_curves, label_of
from problems.prediction.stream import CueStream
from problems.shared.sweep_figures import as_infinite, describe_sweep, draw_level, draw_sweep, logarithmic, swept

CHOSEN = "of least median error, chosen on these same runs"


def figures(results: ResultSet) -> dict[str, Figure]:
    """Error against the parameter, error over time, and learned step sizes, if there are results."""
    seeds = {run["seed"] for learner in results.learners.values() for run in learner.metadata}
    returns = CueStream(results.settings, np.array(sorted(seeds)), "float64").returns
    error_of_zero = float(np.square(returns).mean())
    drawn = {"prediction": compared_figure(results, error_of_zero)}
    learned, words = at_best(results, [name for name in results.learners if name.startswith(("swift_td", "tidbd"))])
    if learned.learners:
        drawn["prediction_step_sizes"] = step_sizes_figure(learned, words)
    return drawn


def about(results: ResultSet) -> str:
    settings = results.settings
    return (
        f"An outcome {settings.delay} steps after each cue, discount {settings.discount:g}; {settings.num_taps} taps "
        f"of the cue, {settings.num_distractors} distractors, a bias; {settings.num_steps:,} steps."
    )


def lifetime_error(results: ResultSet, learner: str) -> np.ndarray:
    """Mean squared difference between value and return over the whole stream, (R, K)."""
    return as_infinite(results[learner]["compared.squared_error"]).mean(axis=-1)


def at_best(results: ResultSet, learners: Sequence[str]) -> tuple[ResultSet, str]:
    """Curves (R, bins) of each learner at the parameter of least median lifetime error, and these parameters in words.

    A learner that overflowed at all parameters is left out.
    """
    shown, words = {}, []
    for name in learners:
        medians = np.median(lifetime_error(results, name), axis=0)  # (K,)
        best = medians.argmin()
        if not np.isfinite(medians[best]):
            continue
        settings = results.settings
        step_sizes = results[name]["compared.step_sizes"][:, best]  # (R, bins, n)
        distractors = slice(settings.num_taps, settings.num_taps + settings.num_distractors)
        arrays = {
            "squared_error": results[name]["compared.squared_error"][:, best],
            "taps": step_sizes[..., : settings.delay].mean(axis=-1),  # from the cue to just before the outcome
            "distractors": step_sizes[..., distractors].mean(axis=-1),
            "bias": step_sizes[..., -1],
            "diverged_at": results[name]["compared.diverged_at"][:, best],
        }
        shown[name] = replace(results[name], arrays=arrays)
        words.append(f"{label_of(name)}: {swept(results, name, 'compared')[best]:g}")
    return replace(results, learners=shown), "; ".join(words)


def compared_figure(results: ResultSet, error_of_zero: float) -> Figure:
    """Lifetime error against the parameter of each method, and the error over time at the best parameter.

    error_of_zero   the error of always predicting 0
    """
    settings, learners = results.settings, list(results.learners)
    best, words = at_best(results, learners)
    figure, panels = new_figure(2 if best.learners else 1)
    for axes in panels:
        logarithmic(axes, "y")
        draw_level(axes, error_of_zero, "always predicting 0")
    left = panels[0]
    logarithmic(left, "x")
    medians = [np.median(lifetime_error(results, name), axis=0) for name in learners]
    smallest = min(error_of_zero, *(each.min() for each in medians))
    left.set_ylim(0.8 * smallest, 1.6 * error_of_zero)
    ends = [
        draw_sweep(left, swept(results, name, "compared"), lifetime_error(results, name), name) for name in learners
    ]
    finish_panel(
        left,
        ends,
        "Value error",
        "(value - return)², over the whole stream; logarithmic",
        "Step size of the two TD(λ), meta step size of the others (logarithmic)",
    )
    shown = describe_sweep(results, learners, "compared", "step")
    caption = f"{about(results)} {'Left:' if best.learners else 'Shown are'} {shown}"
    if best.learners:
        positions = settings.bin_size * (np.arange(settings.num_steps // settings.bin_size) + 1)
        draw_curves(
            panels[1],
            best,
            learners,
            "squared_error",
            positions,
            "Value error",
            "(value - return)², each at its best parameter; logarithmic",
            f"Step (bins of {settings.bin_size:,})",
        )
        caption += (
            " Right: means over the same runs, except those that overflowed, with bands of one standard error, "
            f"at the parameter {CHOSEN}: {words}."
        )
    add_caption(figure, caption)
    return figure


def step_sizes_figure(best: ResultSet, words: str) -> Figure:
    """Learned step sizes of cue taps and of distractors over time. `best` and `words` are the results of `at_best`."""
    settings, learned = best.settings, list(best.learners)
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
    add_caption(figure, f"{about(best)} Meta step sizes {CHOSEN}: {words}. {describe_runs(best, learned, 'step')}")
    return figure
