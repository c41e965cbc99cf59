"""How results of `problems.sweeps` are drawn: errors against the parameter that was swept."""

from typing import Any

import numpy as np

from minilop.experiment.figures import COLOURS, Axes, name_of
from minilop.experiment.results import ResultSet


def swept(results: ResultSet, learner: str, name: str) -> np.ndarray:
    """The values (K,) of a learner's parameter, as its setting `name` says."""
    return np.array(results[learner].metadata[0]["learner_settings"][name], float)


def as_infinite(errors: np.ndarray) -> np.ndarray:
    """Errors in which a run that overflowed, NaN, counts as infinite, so that no mean or median flatters it."""
    return np.where(np.isnan(errors), np.inf, errors)


def logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis, "x" or "y", over a few decades at most: 1, 2 and 5 are marked in each, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0,) if which == "x" else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def draw_sweep(
    axes: Axes, values: np.ndarray, errors: np.ndarray, learner: str, **style: Any
) -> tuple[float, str, str]:
    """Median over the runs of errors (R, K) against values (K,), and dotted their mean; the end, to be labelled."""
    errors = as_infinite(errors)
    median, mean = np.median(errors, axis=0), errors.mean(axis=0)
    colour = COLOURS[learner]
    shown = {"color": colour, "linewidth": 1.8, "marker": "o", "markersize": 3.5, **style}
    axes.plot(values, median, **shown)
    axes.plot(values, mean, color=colour, linewidth=1.2, linestyle=":")
    finite = median[np.isfinite(median)]
    return float(finite[-1]) if len(finite) else 0.0, name_of(learner), colour


def describe_sweep(results: ResultSet, learners: list[str], sweep: str, setting: str) -> str:
    """For the caption: number of runs, what the lines are, the scale, and which runs overflowed at which value."""
    counts = sorted({results[learner].num_runs for learner in learners})
    runs = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    text = (
        f"Line: median over {runs} run{'s' if runs != '1' else ''}; dotted: their mean, drawn where no run overflowed. "
        f"Scale: {results.scale}."
    )
    overflowed = []
    for learner in learners:
        diverged = (results[learner][f"{sweep}.diverged_at"] >= 0).sum(axis=0)  # (K,)
        counted = zip(diverged, swept(results, learner, setting))
        overflowed += [f"{count} of {name_of(learner)} at {value:g}" for count, value in counted if count]
    return text + (f" Runs that overflowed: {', '.join(overflowed)}." if overflowed else "")
