"""Unlimited classes of generated 32 x 32 color images, which replace ImageNet and CIFAR-100.

Image i of class c is a function of (seed, c, i), so that images can be made individually and in any order. The parts of
an image are:

    object       one of the eight poses of the class (`object_prototypes`), under random illumination
    view         a random rotation, zoom, reflection, slant, shift and distortion
    background   a crop of one of 128 pictures (`object_backgrounds`), more often of one of four that the class prefers
    cover        with some probability a bar, an edge or a shape that hides a part of the object
    camera       gain, offset and noise

The view maps the pixels of the image to those of the pose. Without the distortion, each of its two coordinates is a
function of x plus a function of y, which costs one addition per pixel. The nearest pixel of the pose is taken.

Difficulty: classify two classes after training on 600 images of each, with 100 other images of each for testing. The
table shows the percentage classified correctly, with mean and standard error over random pairs of the classes 0 to 999,
for logistic regression on the pixels (scikit-learn's LogisticRegression with C = 0.03; 20 pairs of hard classes, 40 of
the others) and for convolutional networks (step size 0.01, momentum 0.9, mini-batches of 100):

    preset    logistic regression    convolutional network
    hard      73.8 +- 1.4            92.0 +- 0.8   of the paper, docs/results.md; published for ImageNet: 77, 89
    medium    84.2 +- 1.2            94.1          half as many channels, 40 epochs, 6 pairs
    easy      89.1 +- 1.1            97.0          the same

One core makes 40,000 images per second, after 0.15 s for the backgrounds and 3 ms per class. sin and exp may differ in
the last bit between builds of NumPy, which can change a gray level by one, and rarely a pixel by more.

    python -m minilop.data objects --out docs/synthetic_objects.png        draws ten classes in the three presets
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minilop.data import object_backgrounds as surroundings
from minilop.data.errors import DataError
from minilop.data.hashing import check_indices, keys
from minilop.data.object_prototypes import CANVAS, HALF_WIDTH, POSES, poses
from minilop.data.object_shapes import Draws, Floats, pixel_centers

SIZE = surroundings.SIZE  # pixels per side of an image
HOMES = 4  # preferred backgrounds per class
CHUNK = 64  # images made at a time, so that their arrays fit into the cache
IMAGE_PURPOSE, HOME_PURPOSE = 13, 14


@dataclass(frozen=True)
class Preset:
    """How much the images of a class vary; the values of the presets were chosen for the table above."""

    home: float  # probability of a preferred background
    turn: float  # radians, standard deviation
    zoom: float  # largest change of the logarithm of the size
    shift: float  # largest shift, in widths of the image
    hidden: float  # probability of a cover
    noise: float  # mean of the standard deviation of the noise, relative to full scale
    exposure: float  # largest change of the logarithm of the gain; twice the largest change of the offset
    light: float  # largest change of the logarithm of the colors, jointly and individually
    hue: float  # largest change of the hue of a pose, as a fraction of the circle
    value: float  # largest relative change of the value of a pose


PRESETS = {
    "hard": Preset(0.3, 0.5, 0.45, 0.2, 0.5, 0.08, 0.25, light=0.45, hue=0.3, value=0.4),
    "medium": Preset(0.3, 0.3, 0.35, 0.2, 0.2, 0.04, 0.25, light=0.45, hue=0.16, value=0.25),
    "easy": Preset(0.4, 0.3, 0.3, 0.2, 0.2, 0.04, 0.2, light=0.35, hue=0.12, value=0.2),
}


def synthetic_objects(
    class_number: int, indices: npt.ArrayLike, preset: str = "hard", seed: int = 0
) -> npt.NDArray[np.uint8]:
    """Images (N, 3, 32, 32) of one class, bytes: red, green and blue planes.

    class_number   non-negative, without limit
    indices        (N,) non-negative integers
    preset         "hard", "medium" or "easy"
    seed           different seeds give different classes

    Raises DataError for an invalid class, preset or list of indices.
    """
    if preset not in PRESETS:
        raise DataError(f"There is no preset {preset!r} of synthetic objects; choose {', '.join(PRESETS)}.")
    if not isinstance(class_number, (int, np.integer)) or isinstance(class_number, bool) or class_number < 0:
        raise DataError(
            f"A class of synthetic objects is a number from 0 on, not {class_number!r}; ask for example for 0."
        )
    indices = check_indices(indices, "synthetic objects", "range(700)")
    class_number, seed = int(class_number), int(seed)
    images = np.empty((len(indices), 3, SIZE, SIZE), dtype=np.uint8)
    for start in range(0, len(indices), CHUNK):
        chunk = slice(start, start + CHUNK)
        key = keys(seed, IMAGE_PURPOSE, class_number, indices[chunk])
        images[chunk] = _photograph(key, class_number, PRESETS[preset], seed)
    return images


def _photograph(key: npt.NDArray[np.uint64], class_number: int, preset: Preset, seed: int) -> npt.NDArray[np.uint8]:
    """Images (N, 3, SIZE, SIZE) of the keys (N,)."""
    draws = Draws(key, 40)  # each draw (N,)
    pose = draws.one_of(POSES)
    pixel = _view(draws, preset, seed)  # (N, SIZE, SIZE) of the pose
    homes = Draws(keys(seed, HOME_PURPOSE, class_number, np.arange(HOMES)), 1).one_of(surroundings.BACKGROUNDS)
    picture = np.where(draws.chance(preset.home), homes[draws.one_of(HOMES)], draws.one_of(surroundings.BACKGROUNDS))
    corner = [draws.one_of(surroundings.BACKGROUND - SIZE + 1) for _ in range(2)]
    cover = np.where(draws.chance(preset.hidden), draws.one_of(surroundings.COVERS), surroundings.COVERS)
    light = draws.between(-preset.light, preset.light)
    lights = np.stack([light + draws.between(-preset.light, preset.light) for _ in range(3)], axis=-1)  # (N, 3)
    gain = np.exp(draws.between(-preset.exposure, preset.exposure))
    offset = draws.between(-127.5 * preset.exposure, 127.5 * preset.exposure)
    noise = draws.between(0, 2 * 255 * preset.noise)
    strip = draws.one_of(surroundings.GRAIN)

    planes = poses(class_number, preset.hue, preset.value, seed).reshape(4, -1)
    pixel += pose[:, None, None] * CANVAS**2
    seen = surroundings.covers(seed)[cover] * planes[3].take(pixel) * np.float32(1 / 255)  # (N, SIZE, SIZE)
    windows = np.lib.stride_tricks.sliding_window_view(surroundings.backgrounds(seed), (SIZE, SIZE), axis=(2, 3))
    images = windows[picture, :, corner[0], corner[1]].astype(np.float32)  # (N, 3, SIZE, SIZE)
    for channel in range(3):
        thing = planes[channel].take(pixel) * np.exp(lights[:, channel])[:, None, None]  # (N, SIZE, SIZE)
        thing -= images[:, channel]
        thing *= seen
        images[:, channel] += thing
    images *= gain[:, None, None, None]
    images += offset[:, None, None, None]
    images += (surroundings.grain(seed)[strip] * noise[:, None]).reshape(images.shape)
    return np.clip(images, 0, 255, out=images).astype(np.uint8)


def _view(draws: Draws, preset: Preset, seed: int) -> npt.NDArray[np.int32]:
    """The index in its pose of the pixel that each pixel of an image shows, (N, SIZE, SIZE)."""
    turn = draws.normal(preset.turn)  # (N,), like all that follow unless noted
    cos, sin = np.cos(turn), np.sin(turn)
    slant = draws.between(-0.15, 0.15)
    down = np.exp(draws.between(-preset.zoom, preset.zoom))  # the size of the object in the image
    across = down * draws.one_of([-1, 1])  # reflected or not
    # The point (x, y) of the image is the point (a x + b y, c x + d y) of the object: rotated, zoomed, then slanted.
    c, d = -down * sin, down * cos
    a, b = across * cos + slant * c, across * sin + slant * d
    shifts = [2 * draws.between(-preset.shift, preset.shift) for _ in range(2)]
    bend = [surroundings.bends(seed)[draws.one_of(surroundings.BENDS)] for _ in range(2)]  # (N, SIZE, SIZE)

    x, y = (at.reshape(-1) for at in pixel_centers(SIZE, 1))  # (SIZE,)
    column = _canvas_pixel(a[:, None] * x, b[:, None] * y, shifts[0], bend[0])
    row = _canvas_pixel(c[:, None] * x, d[:, None] * y, shifts[1], bend[1])
    row *= CANVAS
    row += column
    return row


def _canvas_pixel(of_x: Floats, of_y: Floats, shift: Floats, bend: Floats) -> npt.NDArray[np.int32]:
    """The row or column (N, SIZE, SIZE) nearest to of_x + of_y, clipped to the canvas."""
    scale = np.float32(CANVAS / 2 / HALF_WIDTH)
    of_y = (of_y + shift[:, None]) * scale + np.float32(CANVAS / 2)  # (N, SIZE)
    exact = bend * np.float32(0.06 * scale)  # (N, SIZE, SIZE)
    exact += (of_x * scale)[:, None, :]
    exact += of_y[:, :, None]
    return np.clip(exact, 0, CANVAS - 1, out=exact).astype(np.int32)


def contact_sheet(num_classes: int = 10, num_images: int = 8, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A picture (Y, X, 3) of images in a grid, with one row per class and the presets side by side."""
    gap = SIZE // 4  # between the presets
    white = np.full((num_classes * SIZE, gap, 3), 255, np.uint8)
    sheet = []
    for preset in PRESETS:
        images = np.stack([synthetic_objects(number, range(num_images), preset, seed) for number in range(num_classes)])
        grid = images.transpose(0, 3, 1, 4, 2).reshape(num_classes * SIZE, num_images * SIZE, 3)
        sheet += [grid, white]
    return np.concatenate(sheet[:-1], axis=1)
