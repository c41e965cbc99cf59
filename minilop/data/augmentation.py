"""Random changes of images to train on: mirrored, shifted and turned, each image in its own way.

    flip       left and right change places, with probability 1/2
    crop       the image is continued by `padding` pixels on each side as in a mirror that stands in its outermost pixels
               (d c b | a b c d | c b a), and a window of the image's size cut out at a random place
    rotation   about the middle, by an angle uniform in [0, `rotation`] degrees, counter-clockwise as one looks at the
               picture; the nearest pixel is taken, and what comes from beyond the edge is 0

In this order, and with these conventions, in the published code of Dohare et al. (2024) for CIFAR-100, which takes them
from torchvision. 0 is the mean colour where the images are standardized.

Nothing is moved three times: for each pixel of the result, going back from the last change to the first, it is worked out
where it comes from, and then all are fetched at once. Draws (`minilop.draws`): purpose "augmentation", at the step, for
each run (4, B) uniform numbers: flip below 1/2; place of the window, row and column; share of the largest angle.
"""

import math

from minilop import draws
from minilop.backend import Array, xp


def augment(
    images: Array, seeds: Array, step: int, *, flip: bool = True, crop_padding: int = 4, rotation: float = 15.0
) -> Array:
    """Changed copies of images (R, C, Y, X, B) of R runs with their seeds; another step, other changes.

    flip=False, crop_padding=0 and rotation=0 each turn a change off; those that stay do not notice.
    Raises ValueError for a padding that a mirror cannot fill: it must be less than the image's side.
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
        row, column = xp.clip(row, 0, height - 1), xp.clip(column, 0, width - 1)  # any pixel will do where it becomes 0
    if crop_padding:
        row = before_crop(row, down, crop_padding, height)
        column = before_crop(column, right, crop_padding, width)
    if flip:
        column = xp.where(flips < 0.5, width - 1 - column, column)
    changed = fetch(images, row, column)
    return changed if inside is None else changed * inside[:, None]


def before_rotation(row: Array, column: Array, degrees: Array, height: int, width: int) -> tuple[Array, Array]:
    """Row and column from which a rotation takes a pixel, whole numbers, some beyond the edge.

    Counter-clockwise where rows count downwards: with x to the right and y down from the middle, what is now at (x, y)
    was at (x cos a - y sin a, x sin a + y cos a).
    """
    angle = degrees * (math.pi / 180)
    cos, sin = xp.cos(angle), xp.sin(angle)  # (R, 1, 1, B)
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    x = (column - middle_column).astype(degrees.dtype)
    y = (row - middle_row).astype(degrees.dtype)
    source_row = xp.rint(x * sin + y * cos + middle_row)  # (R, Y, X, B)
    source_column = xp.rint(x * cos - y * sin + middle_column)
    return source_row.astype(int), source_column.astype(int)


def before_crop(place: Array, drawn: Array, padding: int, length: int) -> Array:
    """Row or column from which the window takes a pixel: of its 2 `padding` + 1 places the one that `drawn` chooses."""
    corner = (drawn * (2 * padding + 1)).astype(int)
    distance = abs(place + corner - padding)  # mirrored in the first pixel
    return length - 1 - abs(length - 1 - distance)  # and in the last


def fetch(images: Array, row: Array, column: Array) -> Array:
    """The pixels of images (R, C, Y, X, B) at `row` and `column`, which broadcast to (R, Y, X, B)."""
    num_runs, num_channels, height, width, number = images.shape
    pixel = (row * width + column) * number + xp.arange(number)  # (R, Y, X, B) in a plane of Y X B numbers, or fewer
    pixel = pixel.reshape((1,) * (4 - pixel.ndim) + pixel.shape)
    plane = xp.arange(num_runs * num_channels).reshape(num_runs, num_channels, 1, 1, 1)
    places = plane * (height * width * number) + pixel[:, None]
    return xp.take(images.reshape(-1), xp.broadcast_to(places, images.shape))
