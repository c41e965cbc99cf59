"""Figures of the results of `problems.shared.sweeps`: errors against the swept parameter."""

from collections.abc import Sequence

import numpy as np

from minilop.experiment.figures import Axes
from minilop.experiment.results import ResultSet
from problems.appearance import color_of, label_of


def swept(results: ResultSet, learner: str, name: str) -> np.ndarray:
    """The values (K,) of a learner's swept parameter, from its setting `name`."""
    return np.array(results[learner].metadata[0]["learner_settings"][name], float)


def as_infinite(errors: np.ndarray) -> np.ndarray:
    """Errors with NaN, for a run that overflowed, replaced by infinity, so that means and medians include the run."""
    return np.where(np.isnan(errors), np.inf, errors)


def mean_in_words(errors: np.ndarray, digits: int) -> str:
    """For the caption: the mean of errors (R,) over runs, or how many runs diverged."""
    lost = int((~np.isfinite(errors)).sum())
    if not lost:
        return f"{errors.mean():.{digits}f}"
    return "diverged" if lost == len(errors) else f"diverged in {lost} of {len(errors)} runs"


def logarithmic(axes: Axes, which: str) -> None:
    """Make axis "x" or "y" logarithmic, with plain numbers. If "y" spans few decades, it has ticks at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullFormatter

    class Marks(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
            self.set_params(subs=(1.0, 2.0, 5.0) if which == "y" and vmax < 1e4 * vmin else (1.0,))
            return super().tick_values(vmin, vmax)

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(Marks())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def draw_level(axes: Axes, height: float, text: str, below: bool = False, color: str = "0.4") -> None:
    """A dashed line across the panel, with its label at the right end."""
    axes.axhline(height, color=color, linewidth=1, linestyle="--")
    axes.annotate(
        text,
        (0.99, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, -3 if below else 3),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        fontsize=8,
        color=color,
    )


def draw_sweep(axes: Axes, values: np.ndarray, errors: np.ndarray, learner: str) -> tuple[float, str, str]:
    """Draw the median over runs of errors (R, K) against values (K,), and the mean as a dotted line.

    The upper limit of the panel must be set before. A median that exceeds it or has overflowed is a triangle at the
    top. A value of 0 cannot be shown on a logarithmic axis and becomes a dashed level.

    Returns the height at which the line ends, its label and its color, for `finish_panel`.
    """
    color, name = color_of(learner), label_of(learner)
    order = np.argsort(values)
    values, errors = values[order], as_infinite(errors)[:, order]
    median, mean = np.median(errors, axis=0), errors.mean(axis=0)
    highest = axes.get_ylim()[1]
    if axes.get_xscale() == "log" and (values == 0).any():
        error = median[values == 0][0]
        draw_level(axes, min(error, highest), f"{name} at 0: {mean_in_words(median[values == 0], 3)}", color=color)
        values, median, mean = (array[values > 0] for array in (values, median, mean))
    if not len(values):
        return np.nan, name, color
    axes.plot(values, median, color=color, linewidth=1.8, marker="o", markersize=3.5)
    axes.plot(values, mean, color=color, linewidth=1.2, linestyle=":")
    above = values[median > highest]
    if len(above):
        where = axes.get_xaxis_transform()  # heights as fractions of the panel
        axes.plot(above, np.full(len(above), 0.98), color=color, marker="^", linestyle="", transform=where)
    finite = median[np.isfinite(median)]
    if not len(finite):
        return np.inf, f"{name} (overflowed)", color
    return float(finite[-1]), name, color


def describe_sweep(results: ResultSet, learners: Sequence[str], sweep: str, unit: str = "example") -> str:
    """The part of the caption after "Shown are": lines, number of runs, scale, and runs that overflowed.

    sweep   name of the sweep, which is also the name of the swept setting
    """
    counts = sorted({results[learner].num_runs for learner in learners})
    runs = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    return (
        f"medians over {runs} run{'s' if runs != '1' else ''} and, dotted, means where no run overflowed; triangles "
        f"at the top are above the panel. Scale: {results.scale}.{describe_overflow(results, learners, sweep, unit)}"
    )


def describe_overflow(results: ResultSet, learners: Sequence[str], sweep: str, unit: str = "example") -> str:
    """For the caption: how many runs overflowed at each value, and how early. Empty if none did."""
    overflowed = []
    for learner in learners:
        diverged_at = results[learner][f"{sweep}.diverged_at"]  # (R, ..., K)
        for value, each in zip(swept(results, learner, sweep), np.moveaxis(diverged_at, -1, 0)):
            count = (each >= 0).reshape(len(each), -1).any(axis=-1).sum()
            if count:
                first = each[each >= 0].min()
                overflowed.append(f"{count} of {label_of(learner)} at {value:g} (the first after {first:,} {unit}s)")
    return f" Runs that overflowed: {'; '.join(overflowed)}." if overflowed else ""
