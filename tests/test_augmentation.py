"""Random changes of images: each against a slow loop over pixels that follows the description, and against PyTorch."""

import math

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop import draws
from minilop.backend import to_host
from minilop.data.augmentation import augment

pytestmark = pytest.mark.quick

SEEDS = np.array([3, 8])


def make_images(size=7, channels=2, number=9, runs=2, dtype="float32"):
    """Every number another one, none of them 0."""
    images = np.arange(1, runs * channels * size * size * number + 1, dtype=dtype)
    return images.reshape(runs, channels, size, size, number)


def draws_of(step, number, runs=2):
    """Flips, places of the window and shares of the angle, (R, B) each."""
    drawn = to_host(draws.uniform(SEEDS[:runs], "augmentation", (4, number), step=step, dtype="float64"))
    return drawn.transpose(1, 0, 2)


def flip_slowly(image):
    """(C, Y, X): left and right change places."""
    size = image.shape[-1]
    flipped = image.copy()
    for column in range(size):
        flipped[:, :, column] = image[:, :, size - 1 - column]
    return flipped


def crop_slowly(image, padding, row, column):
    """numpy.pad's reflection, and a window cut out."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
    size = image.shape[-1]
    return padded[:, row : row + size, column : column + size]


def rotate_slowly(image, degrees):
    """Each pixel's middle, as a complex number with the imaginary axis upwards, turned back and looked up."""
    size = image.shape[-1]
    rotated = np.zeros_like(image)
    for row in range(size):
        for column in range(size):
            now = complex(column - (size - 1) / 2, (size - 1) / 2 - row)
            before = now * complex(math.cos(math.radians(degrees)), -math.sin(math.radians(degrees)))
            source_column, source_row = round(before.real + (size - 1) / 2), round((size - 1) / 2 - before.imag)
            if 0 <= source_row < size and 0 <= source_column < size:
                rotated[:, row, column] = image[:, source_row, source_column]
    return rotated


def each(change, images):
    """`change(image, run, place)` of every image (C, Y, X)."""
    changed = np.empty_like(images)
    for run in range(images.shape[0]):
        for place in range(images.shape[-1]):
            changed[run, ..., place] = change(images[run, ..., place], run, place)
    return changed


def test_a_flip_mirrors_about_half_of_the_images(array_module):
    images = make_images(number=200, size=3)
    flips = draws_of(5, 200)[0] < 0.5
    found = host(augment(device(images), SEEDS, 5, crop_padding=0, rotation=0))
    assert_array_equal(found, each(lambda image, r, b: flip_slowly(image) if flips[r, b] else image, images))
    assert abs(flips.mean() - 0.5) < 4 * 0.5 / math.sqrt(400)


@pytest.mark.parametrize("padding", [1, 2, 6])
def test_a_crop_is_a_window_of_the_image_and_its_mirror_images(padding, array_module):
    """Among them the image itself; rows and columns by draws of their own, each from 0 to 2 `padding`."""
    images = make_images()
    _, down, right, _ = np.floor(draws_of(5, 9) * (2 * padding + 1)).astype(int)
    found = host(augment(device(images), SEEDS, 5, flip=False, crop_padding=padding, rotation=0))
    assert_array_equal(found, each(lambda image, r, b: crop_slowly(image, padding, down[r, b], right[r, b]), images))
    assert (down != right).any() and down.max() <= 2 * padding and len(np.unique(down)) > 2


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("largest", [15.0, 90.0])
def test_a_rotation_takes_the_nearest_pixel_and_leaves_corners_zero(size, largest, array_module):
    """float64, so that no pixel's source is rounded to another one."""
    images = make_images(size, dtype="float64")
    angles = largest * draws_of(5, 9)[3]
    found = host(augment(device(images), SEEDS, 5, flip=False, crop_padding=0, rotation=largest))
    assert_array_equal(found, each(lambda image, r, b: rotate_slowly(image, angles[r, b]), images))
    assert (found == 0).any() and (angles >= 0).all() and (angles < largest).all()


def test_a_rotation_is_counter_clockwise(monkeypatch, array_module):
    """A quarter turn: what was on the right is on top. By hand, with angles that would be drawn next to never."""
    monkeypatch.setattr(draws, "uniform", lambda *_, **__: device(np.full((1, 4, 1), 1.0)))
    image = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2, 1)
    found = host(augment(device(image), SEEDS[:1], 0, flip=False, crop_padding=0, rotation=90.0))
    assert found[0, 0, ..., 0].tolist() == [[2, 4], [1, 3]]


def test_a_rotation_is_that_of_pytorch():
    """Which torchvision's is made of: an affine grid of the inverse turn, sampled at the nearest pixels."""
    torch = pytest.importorskip("torch")
    images = make_images(16, channels=3, number=4, dtype="float64")
    angles = 15.0 * draws_of(2, 4)[3]
    found = augment(images, SEEDS, 2, flip=False, crop_padding=0)

    def rotate(image, run, place):
        turn = math.radians(angles[run, place])
        inverse = [[[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]]]
        batch = torch.tensor(image)[None]
        grid = torch.nn.functional.affine_grid(
            torch.tensor(inverse, dtype=torch.float64), batch.shape, align_corners=False
        )
        return torch.nn.functional.grid_sample(batch, grid, mode="nearest", align_corners=False)[0].numpy()

    assert_array_equal(found, each(rotate, images))


def test_the_changes_come_one_after_the_other(array_module):
    """Flip, crop, rotation, as published: the corners are zero whatever was mirrored into them before."""
    images = make_images(8, dtype="float64")
    flips, down, right, turns = draws_of(11, 9)

    def change(image, r, b):
        image = flip_slowly(image) if flips[r, b] < 0.5 else image
        image = crop_slowly(image, 3, int(down[r, b] * 7), int(right[r, b] * 7))
        return rotate_slowly(image, 15 * turns[r, b])

    assert_array_equal(host(augment(device(images), SEEDS, 11, crop_padding=3)), each(change, images))


def test_all_turned_off_changes_nothing(array_module):
    images = make_images()
    found = host(augment(device(images), SEEDS, 4, flip=False, crop_padding=0, rotation=0))
    assert_array_equal(found, images)
    assert found.dtype == "float32" and host(augment(device(images), SEEDS, 4)).dtype == "float32"


def test_every_run_image_and_step_has_changes_of_its_own(array_module):
    images = np.repeat(make_images(20, number=1), 12, axis=-1)
    images[1] = images[0]
    changed = [host(augment(device(images), SEEDS, step)) for step in (0, 1)]
    different = {image.tobytes() for step in changed for run in step for image in np.moveaxis(run, -1, 0)}
    assert len(different) == 48
    assert_array_equal(host(augment(device(images), SEEDS, 1)), changed[1])


def test_a_run_alone_is_changed_as_among_others(array_module):
    images = make_images()
    both = host(augment(device(images), SEEDS, 3))
    assert_array_equal(host(augment(device(images[1:]), SEEDS[1:], 3)), both[1:])


def test_float32_takes_nearly_the_same_pixels_as_float64():
    """A source exactly between two pixels may go either way: less than one pixel in a thousand."""
    images = make_images(32, channels=1, number=50)
    found = augment(images, SEEDS, 0)
    exact = augment(images.astype("float64"), SEEDS, 0)
    assert (found != exact).mean() < 1e-3
    assert_allclose(found.mean(), exact.mean(), rtol=1e-3)


@pytest.mark.parametrize("padding", [-1, 7])
def test_a_padding_that_the_mirror_cannot_fill_is_refused(padding):
    with pytest.raises(ValueError, match="crop_padding must be from 0 to 6 for these images"):
        augment(make_images(), SEEDS, 0, crop_padding=padding)
