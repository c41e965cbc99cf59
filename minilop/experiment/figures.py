"""The style of all figures: labels on the curves, one standard error as a band, captions.

The `figures` of a problem decides what is drawn. Everything is drawn from a `ResultSet`, that is, from result files.
The argument `appearance_of` maps the name of a learner to its `Appearance`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minilop.experiment.results import LearnerResults, ResultSet
from minilop.experiment.saving import printable
from minilop.statistics import mean_and_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # workers import this file, but do not need matplotlib
    Axes = Figure = Any

# For learners without a color of their own.
_FREE_COLORS = ("goldenrod", "teal", "deeppink", "black", "saddlebrown", "darkgreen")


class Appearance(NamedTuple):
    """How a learner looks in all figures. If `color` is empty, the next of `_FREE_COLORS` is used."""

    label: str
    color: str = ""
    dashes: str = "-"  # Matplotlib's line style


def new_figure(num_panels: int = 1, most_columns: int = 2, height: float = 4.2) -> tuple[Figure, Sequence[Axes]]:
    """A figure with its panels in rows of at most `most_columns`; `height` is that of a panel, in inches."""
    from matplotlib.figure import Figure

    columns = min(most_columns, num_panels)
    rows = -(-num_panels // columns)
    figure = Figure(figsize=(7.2 * columns, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel()[:num_panels])


def draw_curves(
    axes: Axes,
    results: ResultSet,
    learners: Sequence[str],
    measure: str,
    positions: np.ndarray,
    label: str,
    qualification: str,
    x_label: str,
    *,
    appearance_of: Callable[[str], Appearance],
) -> None:
    """The mean over runs of a measure (R, num_bins) against `positions` (num_bins,), for each of the learners.

    The band is one standard error over the runs that have not diverged. `label` and, in smaller type, `qualification`
    are above the panel.
    """
    ends = []
    free_colors = itertools.cycle(_FREE_COLORS)
    for learner in learners:
        if learner not in results.learners or measure not in results[learner].arrays:
            continue
        name, color, dashes = appearance_of(learner)
        color = color or next(free_colors)
        mean, error = mean_and_error(results[learner][measure])
        axes.plot(positions, mean, color=color, linestyle=dashes, linewidth=1.8)
        alone = np.isfinite(mean) & ~np.isfinite(np.r_[np.nan, mean[:-1]]) & ~np.isfinite(np.r_[mean[1:], np.nan])
        if alone.any():  # points without neighbors have no line
            axes.plot(positions[alone], mean[alone], color=color, linestyle="", marker="o", markersize=3)
        axes.fill_between(positions, mean - error, mean + error, color=color, alpha=0.22, linewidth=0)
        finite = np.flatnonzero(np.isfinite(mean))
        if len(finite):
            ends.append((mean[finite[-1]], name, color))
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    finish_panel(axes, ends, label, qualification, x_label)


def finish_panel(axes: Axes, ends: list[tuple[float, str, str]], label: str, qualification: str, x_label: str) -> None:
    """Style a panel whose curves and scales are complete.

    ends   for each curve its last value, label and color; NaN: no label; infinite: label at the top
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    if axes.get_yscale() == "linear":
        axes.locator_params(axis="y", nbins=6)
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(x_label)
    axes.set_title(f"{label}\n", loc="left", fontsize=11)
    axes.text(0, 1.02, qualification, transform=axes.transAxes, fontsize=8.5, color="0.35")
    _label_ends(axes, [end for end in ends if not np.isnan(end[0])])


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each label to the right of the end of its curve, and move labels apart that would overlap."""
    if not ends:
        return
    ends.sort()
    scale = axes.yaxis.get_transform().transform  # to coordinates that are linear on the page
    low, high = scale(np.array(axes.get_ylim()))
    heights = np.clip((scale(np.array([end for end, _, _ in ends])) - low) / (high - low), 0, 1)
    gap = 0.052
    for _ in range(200):  # push neighbors apart until they do not overlap
        for index in range(len(heights) - 1):
            overlap = gap - (heights[index + 1] - heights[index])
            if overlap > 0:
                heights[index] -= overlap / 2
                heights[index + 1] += overlap / 2
    for height, (_, text, color) in zip(heights, ends):
        axes.text(1.01, height, text, color=color, transform=axes.transAxes, va="center", fontsize=9.5)


def describe_runs(
    results: ResultSet, learners: Sequence[str], unit: str = "example", *, appearance_of: Callable[[str], Appearance]
) -> str:
    """Text for the caption: the number of runs, the meaning of the band, the scale, and the diverged runs.

    `unit` is the unit of `diverged_at`.
    """
    shown: dict[str, LearnerResults] = {name: results[name] for name in learners if name in results.learners}
    counts = sorted({each.num_runs for each in shown.values()})
    if len(counts) == 1:
        runs = f"{counts[0]} run{'s' if counts[0] > 1 else ''}"
    else:
        runs = f"runs ({'; '.join(f'{appearance_of(name).label}: {each.num_runs}' for name, each in shown.items())})"
    sentence = f"Mean over {runs}; band: one standard error. Scale: {results.scale}."
    gone = []
    for name, each in shown.items():
        places = each["diverged_at"][each["diverged_at"] >= 0]
        if len(places):
            gone.append(f"{len(places)} of {appearance_of(name).label} (the first after {places.min():,} {unit}s)")
    return sentence + (f" Diverged and left out from then on: {'; '.join(gone)}." if gone else "")


def add_caption(figure: Figure, text: str) -> None:
    """Add a caption below the panels, wrapped to the width of the figure; words longer than a line are broken."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=8.5)
    widest = 0.94 * 72 * figure.get_figwidth()  # in points; rounding to pixels makes letters up to 3 % wider

    def fits(line: str) -> bool:
        width: float = text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]
        return width <= widest

    lines: list[str] = []
    for word in printable(text).split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
            continue
        lines.append(word)
        while not fits(lines[-1]):
            cut = max(length for length in range(1, len(lines[-1])) if fits(lines[-1][:length]))
            lines[-1:] = [lines[-1][:cut], lines[-1][cut:]]
    caption = figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontproperties=font, color="0.25")
    caption.set_parse_math(False)  # the text of a user may contain dollar signs
