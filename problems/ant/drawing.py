"""Drawings of ants: a strip of poses, and a frame of an animation."""

import math

import numpy as np

from minilop.experiment.figures import Axes
from problems.ant.body import ANT, Body

_SLANT = np.array([[1.0, 0.0], [0.35, 0.25], [0.0, 1.0]])  # x to the right, y away from the viewer, z up
_TORSO = 0.25  # radius in m, as Ant-v5's
_HEIGHTS = (-0.5, 1.4)  # range of z that is shown, in m
_HALF_WIDTH, _HALF_DEPTH = 2.2, 1.2  # of the floor shown around a followed ant, in m


def skeleton(pose: np.ndarray, body: Body = ANT) -> np.ndarray:
    """Points of the four legs in the world's axes, (4 legs, center of the torso - hip - ankle - foot, 3).

    pose   (15,): position, quaternion, hip and ankle of each leg
    """
    w, x, y, z = pose[3:7]
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    azimuths = (np.arange(4) + 0.5) * (math.pi / 2)
    hips, ankles = pose[7:].reshape(4, 2).T
    headings, flat = azimuths + hips, np.zeros(4)
    bar = body.bar * np.stack([np.cos(azimuths), np.sin(azimuths), flat], axis=-1)  # (4, 3)
    upper = body.upper * np.stack([np.cos(headings), np.sin(headings), flat], axis=-1)
    lower = body.lower * np.stack(
        [np.cos(ankles) * np.cos(headings), np.cos(ankles) * np.sin(headings), -np.sin(ankles)], axis=-1
    )
    points = np.cumsum(np.stack([np.zeros_like(bar), bar, upper, lower], axis=1), axis=1)  # (4, 4, 3)
    return pose[:3] + points @ rotation.T


def draw_pose(axes: Axes, pose: np.ndarray, color: str | tuple[float, ...] = "0.2", layer: int = 2) -> None:
    """Draw one ant, seen from the side and slightly from above, over lower layers. A pose that is NaN is skipped."""
    from matplotlib.patches import Circle

    if not np.isfinite(pose).all():
        return
    legs = skeleton(pose) @ _SLANT  # (4, 4, 2)
    for leg in legs[np.argsort(-skeleton(pose)[:, -1, 1])]:  # the farthest first
        axes.plot(*leg.T, color=color, linewidth=1.6, solid_capstyle="round", zorder=layer)
    axes.add_patch(Circle(tuple(legs[0, 0]), _TORSO, facecolor="white", edgecolor=color, linewidth=1.4, zorder=layer))


def prepare(axes: Axes) -> None:
    """Set equal scales, and show only the x axis."""
    axes.set_aspect("equal")
    axes.set_ylim(*_HEIGHTS)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw_walk(axes: Axes, poses: np.ndarray, every: int = 10) -> None:
    """Draw a strip of poses (T, 15), one in `every`, later ones darker."""
    prepare(axes)
    axes.axhline(0, color="0.8", linewidth=1, zorder=0)
    shown = poses[::every]
    for number, pose in enumerate(shown):
        color = (0.0, 0.25, 0.5, 0.3 + 0.7 * (number + 1) / len(shown))
        draw_pose(axes, pose, color, layer=number + 1)
    reached = poses[np.isfinite(poses[:, 0]), :2] @ _SLANT[:2]  # (T, 2), the path of the torso in the figure
    (left, low), (right, high) = np.minimum(reached.min(axis=0), 0), np.maximum(reached.max(axis=0), 0)
    axes.set_xlim(left - 1.2, right + 1.2)
    axes.set_ylim(low + _HEIGHTS[0], high + _HEIGHTS[1])


def follow_walk(axes: Axes, poses: np.ndarray, number: int, step_seconds: float) -> None:
    """Draw pose `number` of a walk (T, 15), centered in the panel, on a floor with a line every meter.

    After the end of the walk, draw its last pose in light gray.
    """
    prepare(axes)
    last = int(np.isfinite(poses[: number + 1, 0]).sum()) - 1
    pose = poses[last].copy()
    x, y = pose[:2]
    left, right, near, far = x - _HALF_WIDTH, x + _HALF_WIDTH, -_HALF_DEPTH, _HALF_DEPTH
    for line in range(math.ceil(left - 1), math.floor(right + 1) + 1):  # may begin outside the panel
        _floor_line(axes, [[line, near], [line, far]])
    for line in range(math.ceil(y + near), math.floor(y + far) + 1):
        _floor_line(axes, [[left - 1, line - y], [right + 1, line - y]])
    pose[1] = 0
    draw_pose(axes, pose, color="0.2" if last == number else "0.7")
    axes.set_xlim(left, right)
    axes.set_xticks(range(math.ceil(left), math.floor(right) + 1))
    over = "" if last == number else ", where the episode ended"
    text = f"{last * step_seconds:.2f} s, {x:.1f} m{over}"
    axes.text(1, 1.02, text, transform=axes.transAxes, ha="right", fontsize=8.5, color="0.35")


def _floor_line(axes: Axes, ends: list[list[float]]) -> None:
    """ends   ((x, y), (x, y))"""
    axes.plot(*(np.pad(ends, ((0, 0), (0, 1))) @ _SLANT).T, color="0.88", linewidth=1, zorder=0)
