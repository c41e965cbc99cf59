"""How results of `problems.shared.sweeps` are drawn: errors against the parameter that was swept."""

from collections.abc import Sequence

import numpy as np

from minilop.experiment.figures import Axes
from minilop.experiment.results import ResultSet
from problems.appearance import color_of, label_of


def swept(results: ResultSet, learner: str, name: str) -> np.ndarray:
    """The values (K,) of a learner's parameter, as its setting `name` says."""
    return np.array(results[learner].metadata[0]["learner_settings"][name], float)


def as_infinite(errors: np.ndarray) -> np.ndarray:
    """Errors in which a run that overflowed, NaN, counts as infinite, so that no mean or median flatters it."""
    return np.where(np.isnan(errors), np.inf, errors)


def mean_in_words(errors: np.ndarray, digits: int) -> str:
    """For the caption: the mean over runs of errors (R,), or that runs diverged."""
    lost = int((~np.isfinite(errors)).sum())
    if not lost:
        return f"{errors.mean():.{digits}f}"
    return "diverged" if lost == len(errors) else f"diverged in {lost} of {len(errors)} runs"


def logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis, "x" or "y", with plain numbers: on "y" 1, 2 and 5 of each decade, unless there are many."""
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
    """A dashed line across the panel, named at its right end."""
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
    """Median over the runs of errors (R, K) against values (K,), and dotted their mean; the end, to be labelled.

    The panel has its upper limit already; a median above it, or overflowed, is a triangle at the top. A value of 0, for
    which a logarithmic axis has no place, is a dashed level.
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
        where = axes.get_xaxis_transform()  # heights are fractions of the panel's
        axes.plot(above, np.full(len(above), 0.98), color=color, marker="^", linestyle="", transform=where)
    finite = median[np.isfinite(median)]
    if not len(finite):
        return np.inf, f"{name} (overflowed)", color
    return float(finite[-1]), name, color


def describe_sweep(results: ResultSet, learners: Sequence[str], sweep: str, unit: str = "example") -> str:
    """For the caption, what follows "Shown are": the lines, number of runs, the scale, which runs overflowed.

    The swept setting has the name of the `sweep`.
    """
    counts = sorted({results[learner].num_runs for learner in learners})
    runs = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    return (
        f"medians over {runs} run{'s' if runs != '1' else ''}, dotted their means where no run overflowed; triangles "
        f"at the top: above the panel. Scale: {results.scale}.{describe_overflow(results, learners, sweep, unit)}"
    )


def describe_overflow(results: ResultSet, learners: Sequence[str], sweep: str, unit: str = "example") -> str:
    """For the caption: how many runs overflowed at which value, and how early; nothing where none did."""
    overflowed = []
    for learner in learners:
        places = results[learner][f"{sweep}.diverged_at"]  # (R, ..., K)
        for value, each in zip(swept(results, learner, sweep), np.moveaxis(places, -1, 0)):
            count = (each >= 0).reshape(len(each), -1).any(axis=-1).sum()
            if count:
                first = each[each >= 0].min()
                overflowed.append(f"{count} of {label_of(learner)} at {value:g} (the first after {first:,} {unit}s)")
    return f" Runs that overflowed: {'; '.join(overflowed)}." if overflowed else ""
