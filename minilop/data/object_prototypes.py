"""The prototypes of a class of generated objects: eight poses, each a color picture with a cover (alpha channel).

A class consists of a body and one to three smaller parts; in half of the classes the smaller parts come in mirrored
pairs, which makes creatures. A part has an outline, a texture of two colors near the hue of the class, and sometimes a
hole. The poses vary the position, size, angle and texture of each part, and the hue and value of the whole. Everything
is a function of (seed, class). Classes differ by chance, as kinds of things in photographs do.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from minilop.data.hashing import keys
from minilop.data.object_shapes import (
    Draws,
    Floats,
    color,
    draw_outline,
    outline_value,
    pixel_centers,
    soft_inside,
    turned,
)

POSES = 8  # pictures per class
CANVAS = 64  # pixels per side
HALF_WIDTH = 1.25  # of the canvas; an object fills about the unit disc
CLASS_PURPOSE, POSE_PURPOSE, PART_PURPOSE, PART_POSE_PURPOSE = 3, 4, 5, 6  # families of draws (see `hashing.keys`)

Tone = tuple[Floats, Floats, Floats]  # (POSES, 1, 1) each: hue offset, saturation factor, value factor


@lru_cache(maxsize=256)  # 131 kB each
def poses(class_number: int, hue_jitter: float, value_jitter: float, seed: int) -> npt.NDArray[np.uint8]:
    """Red, green, blue and cover of the poses of a class, bytes (4, POSES, CANVAS, CANVAS)."""
    of_class = Draws(keys(seed, CLASS_PURPOSE, class_number), 3)
    class_hue, mirrored = of_class.between(0, 1), bool(of_class.chance(0.5))
    num_parts = 2 + int(of_class.one_of(3))
    of_pose = Draws(keys(seed, POSE_PURPOSE, class_number, np.arange(POSES)), 3, num_axes=2)
    tone = (
        of_pose.between(-hue_jitter, hue_jitter),
        of_pose.between(0.8, 1.2),
        of_pose.between(1 - value_jitter, 1 + value_jitter),
    )
    picture = np.zeros((3, POSES, CANVAS, CANVAS), np.float32)
    cover = np.zeros((POSES, CANVAS, CANVAS), np.float32)
    behind: list[tuple[int, Draws]] = []
    before: list[tuple[int, Draws]] = []
    for part in range(num_parts):
        of_part = Draws(keys(seed, PART_PURPOSE, class_number, part), 40)
        (behind if part > 0 and of_part.chance(0.5) else before).append((part, of_part))
    for part, of_part in behind + before:  # in the order of painting
        of_part_pose = Draws(keys(seed, PART_POSE_PURPOSE, class_number, part, np.arange(POSES)), 20, num_axes=2)
        paint, inside = _part(of_part, of_part_pose, part == 0, class_hue, tone)  # (3, POSES, ...), (POSES, ...)
        for side in (slice(None), slice(None, None, -1)) if mirrored and part > 0 else (slice(None),):
            picture += inside[..., side] * (paint[..., side] - picture)
            cover += inside[..., side] * (1 - cover)
    cover[:, [0, -1], :] = cover[:, :, [0, -1]] = 0  # an image shows the edge, which is empty, outside the canvas
    result = np.rint(255 * np.concatenate([picture, cover[None]])).astype(np.uint8)
    result.flags.writeable = False  # the cache returns the same array in each call
    return result


def _part(of_part: Draws, of_pose: Draws, is_body: bool, class_hue: Floats, tone: Tone) -> tuple[Floats, Floats]:
    """The colors (3, POSES, CANVAS, CANVAS), and the fraction of each pixel inside (POSES, CANVAS, CANVAS)."""
    x, y = pixel_centers(CANVAS, HALF_WIDTH)
    size = of_part.between(*((0.45, 0.7) if is_body else (0.16, 0.36)))
    distance = of_part.between(*((0.0, 0.1) if is_body else (0.4, 0.8)))  # of the part from the center
    direction, angle = of_part.between(-np.pi, np.pi), of_part.between(-np.pi, np.pi)
    stretch = of_part.between(-0.45, 0.45)
    is_ring, outline = of_part.chance(0.15), draw_outline(of_part)

    right = x - distance * np.cos(direction) - of_pose.between(-0.06, 0.06)  # (POSES, 1, CANVAS)
    down = y - distance * np.sin(direction) - of_pose.between(-0.06, 0.06)  # (POSES, CANVAS, 1)
    along, across = turned(right, down, angle + of_pose.between(-0.2, 0.2))  # (POSES, CANVAS, CANVAS)
    half_width = size * np.exp(of_pose.between(-0.12, 0.12))  # (POSES, 1, 1)
    half_width_u = half_width * np.exp(stretch + of_pose.between(-0.12, 0.12))
    half_width_v = half_width**2 / half_width_u  # preserves the area
    u, v = along / half_width_u, across / half_width_v
    value = outline_value(u, v, outline)
    inside = soft_inside(value, half_width)
    if is_ring:
        inside *= 1 - soft_inside(value / 0.55, half_width)

    first, second = (_color(of_part, class_hue, tone) for _ in range(2))  # (3, POSES, 1, 1)
    paint = second + _texture(u, v, of_part, of_pose) * (first - second)
    paint *= 1 - np.float32(0.3) * np.minimum(value, 1) ** 4  # darker toward the outline, as round objects are
    return paint, inside


def _texture(u: Floats, v: Floats, of_part: Draws, of_pose: Draws) -> Floats:
    """The fraction of the first color, (POSES, CANVAS, CANVAS): shading, stripes, checks or spots."""
    kind = of_part.one_of(4)
    angle = of_part.between(-np.pi, np.pi)
    frequency = of_part.between(0.8, 2.2) * np.exp(of_pose.between(-0.12, 0.12))  # waves per half width
    sharpness = of_part.between(1, 4)
    phase, other_phase = (of_part.between(0, 2 * np.pi) + of_pose.between(-0.6, 0.6) for _ in range(2))
    s, t = turned(u, v, angle)
    if kind == 0:
        return np.clip(np.float32(0.5) + np.float32(0.5) * s, 0, 1)
    wave = np.sin(2 * np.float32(np.pi) * frequency * s + phase)
    if kind > 1:
        other = np.sin(2 * np.float32(np.pi) * frequency * t + other_phase)
        wave = wave * other if kind == 2 else wave + other - np.float32(0.8)
    return np.float32(0.5) + np.float32(0.5) * np.tanh(sharpness * wave)


def _color(of_part: Draws, class_hue: Floats, tone: Tone) -> Floats:
    """A color of the class in each pose, (3, POSES, 1, 1): near its hue, or any color with probability 1/4."""
    near, anywhere = of_part.between(-0.12, 0.12), of_part.between(0, 1)
    hue = anywhere if of_part.chance(0.25) else class_hue + near
    saturation, value = of_part.between(0.15, 0.95), of_part.between(0.12, 1)
    return color(hue + tone[0], saturation * tone[1], value * tone[2])
