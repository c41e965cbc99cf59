"""Random augmentation of training images: each image is flipped, cropped and rotated independently.

    flip       exchanges left and right, with probability 1/2
    crop       extends the image by `padding` pixels on each side by reflection in its outermost pixels
               (d c b | a b c d | c b a), and cuts out a window of the original size at a random position
    rotation   about the center, counterclockwise, by a uniform angle in [0, `rotation`] degrees; takes the nearest
               pixel, and 0 outside the image

The order and the conventions are those of the published code of Dohare et al. (2024) for CIFAR-100, which uses
torchvision. 0 is the mean color if the images are standardized.

The source of each pixel of the result is computed backward through all three operations, and then all pixels are
fetched once. Draws (`minilop.draws`): purpose "augmentation", at the step, per run (4, B) uniform numbers: flip if
below 1/2, row and column of the window, and fraction of the largest angle.
"""

import math

from minilop import draws
from minilop.backend import Array, xp


def augment(
    images: Array, seeds: Array, step: int, *, flip: bool = True, crop_padding: int = 4, rotation: float = 15.0
) -> Array:
    """Augmented copies of images (R, C, Y, X, B), different at each step.

    seeds     (R,), one per run

    flip=False, crop_padding=0 and rotation=0 each turn off an operation, without changing the draws of the others.
    Raises ValueError unless the padding is smaller than the images.
    """
    height, width, number = images.shape[-3:]
    if not 0 <= crop_padding < min(height, width):
        raise ValueError(
            f"crop_padding must be from 0 to {min(height, width) - 1} for these images, not {crop_padding}."
        )
    drawn = draws.uniform(seeds, "augmentation", (4, number), step=step, dtype=images.dtype)  # (R, 4, B)
    flips, down, right, turns = (drawn[:, which, None, None, :] for which in range(4))  # (R, 1, 1, B) each
    row, column = xp.arange(height)[:, None, None], xp.arange(width)[:, None]  # (Y, 1, 1), (X, 1)
    inside = None
    if rotation:
        row, column = before_rotation(row, column, turns * rotation, height, width)  # (R, Y, X, B)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = xp.clip(row, 0, height - 1), xp.clip(column, 0, width - 1)  # pixels outside become 0 later
    if crop_padding:
        row = before_crop(row, down, crop_padding, height)
        column = before_crop(column, right, crop_padding, width)
    if flip:
        column = xp.where(flips < 0.5, width - 1 - column, column)
    changed = fetch(images, row, column)
    return changed if inside is None else changed * inside[:, None]


def before_rotation(row: Array, column: Array, degrees: Array, height: int, width: int) -> tuple[Array, Array]:
    """The row and the column from which a rotation takes a pixel; they may lie outside the image.

    The rotation is counterclockwise, and rows count downward: with x to the right and y down from the center, the pixel
    at (x, y) comes from (x cos a - y sin a, x sin a + y cos a).
    """
    angle = degrees * (math.pi / 180)
    cos, sin = xp.cos(angle), xp.sin(angle)  # (R, 1, 1, B)
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    x = (column - middle_column).astype(degrees.dtype)
    y = (row - middle_row).astype(degrees.dtype)
    source_row = xp.rint(x * sin + y * cos + middle_row)  # (R, Y, X, B)
    source_column = xp.rint(x * cos - y * sin + middle_column)
    return source_row.astype(int), source_column.astype(int)


def before_crop(index: Array, drawn: Array, padding: int, length: int) -> Array:
    """The row or column from which the window takes a pixel; `drawn` selects one of 2 `padding` + 1 positions."""
    corner = (drawn * (2 * padding + 1)).astype(int)
    distance = abs(index + corner - padding)  # reflected in the first pixel
    return length - 1 - abs(length - 1 - distance)  # and in the last


def fetch(images: Array, row: Array, column: Array) -> Array:
    """The pixels of the images (R, C, Y, X, B) at `row` and `column`, which broadcast to (R, Y, X, B)."""
    num_runs, num_channels, height, width, number = images.shape
    pixel = (row * width + column) * number + xp.arange(number)  # (R, Y, X, B) in a plane of Y X B numbers, or fewer
    pixel = pixel.reshape((1,) * (4 - pixel.ndim) + pixel.shape)
    plane = xp.arange(num_runs * num_channels).reshape(num_runs, num_channels, 1, 1, 1)
    indices = plane * (height * width * number) + pixel[:, None]
    return xp.take(images.reshape(-1), xp.broadcast_to(indices, images.shape))
