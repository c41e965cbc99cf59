"""Generated classes of objects: the same however they are asked for, different as classes, alike within one."""

import numpy as np
import pytest
from click.testing import CliRunner

from minilop.data import DataError, halve, synthetic_objects
from minilop.data.__main__ import main
from minilop.data.hashing import keys, uniforms
from minilop.data.object_backgrounds import backgrounds, bends, covers, grain
from minilop.data.object_prototypes import poses
from minilop.data.object_shapes import Draws, Outline, color, outline_value, pixel_centers, turned
from minilop.data.synthetic_objects import PRESETS, contact_sheet


def outline(power=2, lobes=2, depth=0, egg=0):
    return Outline(*(np.float32(value) for value in (power, lobes, depth, egg)))


@pytest.mark.quick
def test_outlines_by_hand():
    """A diamond, a disc and a box at the point (0.6, 0.8); a star is widest where its lobes point."""
    u, v = np.float32([0.6]), np.float32([0.8])
    assert outline_value(u, v, outline(power=1))[0] == pytest.approx(0.6 + 0.8)
    assert outline_value(u, v, outline(power=2))[0] == pytest.approx(1.0)
    assert outline_value(u, v, outline(power=4))[0] == pytest.approx((0.6**4 + 0.8**4) ** 0.25)
    star = outline(lobes=2, depth=0.5)
    assert outline_value(np.float32([1]), np.float32([0]), star)[0] == pytest.approx(1 / (1 + 0.5))
    assert outline_value(np.float32([0]), np.float32([1]), star)[0] == pytest.approx(1 / (1 - 0.5))
    pear = outline(egg=0.25)
    assert outline_value(np.float32([1]), np.float32([0]), pear)[0] == pytest.approx(1 / (1 + 0.25 * (1 + 1)))


@pytest.mark.quick
def test_colors_of_the_hexagon():
    corners = {0: (1, 0, 0), 1 / 6: (1, 1, 0), 1 / 3: (0, 1, 0), 2 / 3: (0, 0, 1), 1: (1, 0, 0), -1 / 3: (0, 0, 1)}
    for hue, rgb in corners.items():
        assert color(np.array(hue), np.array(1.0), np.array(1.0)) == pytest.approx(rgb)
    assert color(np.array(0.0), np.array(0.5), np.array(0.8)) == pytest.approx((0.8, 0.4, 0.4))
    assert color(np.array(0.3), np.array(0.0), np.array(2.0)) == pytest.approx((1, 1, 1))  # clipped


@pytest.mark.quick
def test_a_turned_frame_sees_its_own_axis_ahead():
    u, v = turned(np.float32(np.cos(0.3)), np.float32(np.sin(0.3)), np.float32(0.3))
    assert (u, v) == pytest.approx((1, 0), abs=1e-6)


@pytest.mark.quick
def test_pixel_centers_by_hand():
    x, y = pixel_centers(4, 2)
    assert x.tolist() == [[-1.5, -0.5, 0.5, 1.5]] and y.tolist() == [[-1.5], [-0.5], [0.5], [1.5]]


def test_draws_are_the_numbers_of_their_keys_in_order():
    key = keys(0, 100, np.arange(3))
    first, second, third, radius, angle = uniforms(key, 5)
    draws = Draws(key, 5, num_axes=2)
    assert draws.between(2, 4)[:, 0, 0] == pytest.approx(2 + 2 * first)
    assert draws.one_of(5)[:, 0, 0].tolist() == np.floor(5 * second).tolist()
    assert draws.chance(0.5)[:, 0, 0].tolist() == (third < 0.5).tolist()
    assert draws.normal(2)[:, 0, 0] == pytest.approx(2 * np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle))
    with pytest.raises(StopIteration):
        draws.between(0, 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_image_made_alone_equals_itself_in_a_batch(preset):
    indices = np.array([70_000, 3, 0, 41, 3, 10**12, *range(100, 170)])  # any order, repeated, over several chunks
    images = synthetic_objects(7, indices, preset, seed=5)
    assert images.shape == (76, 3, 32, 32) and images.dtype == np.uint8
    for image, index in list(zip(images, indices, strict=True))[::5]:
        assert np.array_equal(synthetic_objects(7, [index], preset, seed=5)[0], image)
    assert np.array_equal(images[1], images[4])


def test_images_do_not_depend_on_what_was_made_before():
    expected = synthetic_objects(3, range(4), "easy", seed=2)
    for cached in (poses, backgrounds, covers, bends, grain):
        cached.cache_clear()
    synthetic_objects(11, range(70), "hard", seed=1)
    assert np.array_equal(synthetic_objects(np.int64(3), range(4), "easy", seed=np.int64(2)), expected)


def test_class_index_seed_and_preset_each_change_the_image():
    image = synthetic_objects(1, [1], "hard", 1)
    others = [(2, [1], "hard", 1), (1, [2], "hard", 1), (1, [1], "easy", 1), (1, [1], "hard", 2)]
    for other in others:
        assert (synthetic_objects(*other) != image).mean() > 0.2


def test_the_mean_color_of_a_class_is_what_it_was():
    """Grey levels may differ by one between builds of NumPy, so means are pinned, not bytes."""
    images = synthetic_objects(0, range(64))
    assert images.mean(axis=(0, 2, 3)) == pytest.approx([106.5, 114.9, 128.1], abs=0.3)


def test_images_have_contrast_and_use_the_range():
    images = np.concatenate([synthetic_objects(number, range(50)) for number in range(20)]) / 255
    assert 0.35 < images.mean() < 0.55  # ImageNet: 0.45
    assert 0.2 < images.std() < 0.33  # ImageNet: 0.26 to 0.28
    assert (images.std(axis=(1, 2, 3)) > 0.03).all()


def test_classes_can_be_told_apart_better_in_easier_presets():
    """The nearer of two mean images is a poor classifier, yet better than chance (0.5)."""
    shares = {}
    for preset in PRESETS:
        right = []
        for number in range(0, 24, 2):
            pair = [synthetic_objects(c, range(300), preset).reshape(300, -1) / 255 for c in (number, number + 1)]
            first, second = (images[:200].mean(axis=0) for images in pair)
            nearer = [((images[200:, None] - [first, second]) ** 2).sum(axis=-1).argmin(axis=-1) for images in pair]
            right.append((1 - nearer[0].mean() + nearer[1].mean()) / 2)
        shares[preset] = np.mean(right)
    assert 0.55 < shares["hard"] < shares["medium"] < shares["easy"] < 0.95


def test_poses_are_cut_out_and_differ():
    planes = poses(4, 0.1, 0.1, 0)
    assert planes.shape == (4, 8, 64, 64) and planes.dtype == np.uint8
    cover = planes[3]
    assert (cover[:, [0, -1]] == 0).all() and (cover[:, :, [0, -1]] == 0).all()  # nothing at the canvas's edges
    assert (cover.mean(axis=(1, 2)) > 20).all()  # something in every pose
    assert all((planes[:, 0] != planes[:, pose]).mean() > 0.1 for pose in range(1, 8))
    with pytest.raises(ValueError, match="read-only"):
        planes[0, 0, 0, 0] = 1


def test_banks_have_the_sizes_and_scales_they_claim():
    assert backgrounds(0).shape == (128, 3, 64, 64)
    assert covers(0).shape == (65, 32, 32) and (covers(0)[-1] == 1).all() and covers(0).min() >= 0
    assert 0.03 < (1 - covers(0)[:-1]).mean() < 0.5  # they hide something, not all
    assert bends(0).shape == (64, 32, 32) and bends(0).std() == pytest.approx(1, abs=0.01)
    assert abs(np.diff(bends(0), axis=-1)).mean() < 0.4  # and are smooth
    assert grain(0)[:, 0].mean() == pytest.approx(0, abs=0.02) and grain(0)[:, 0].std() == pytest.approx(1, abs=0.02)


def test_color_pictures_can_be_halved():
    images = synthetic_objects(0, range(3))
    half = halve(images)
    assert half.shape == (3, 3, 16, 16) and half.dtype == np.uint8
    assert half[2, 1, 5, 6] == (images[2, 1, 10:12, 12:14].sum(dtype=int) + 2) // 4


def test_no_indices_give_no_images():
    assert synthetic_objects(0, []).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("indices", [[-1], [0.5], 3, [[1, 2]], [True], ["one"]])
def test_indices_that_are_no_list_of_counting_numbers_are_refused(indices):
    with pytest.raises(DataError, match=r"from 0 on.* ask for example for range\(700\)\."):
        synthetic_objects(0, indices)


@pytest.mark.parametrize("class_number", [-1, 0.0, True, "cat", None])
def test_only_counting_numbers_are_classes(class_number):
    with pytest.raises(DataError, match=r"a number from 0 on, not .*; ask for example for 0\."):
        synthetic_objects(class_number, [0])


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(DataError, match="no preset 'harder' of synthetic objects; choose hard, medium, easy"):
        synthetic_objects(0, [0], "harder")


def test_the_contact_sheet_shows_every_preset(tmp_path):
    sheet = contact_sheet(num_classes=2, num_images=3)
    assert sheet.shape == (2 * 32, 3 * (3 * 32) + 2 * 8, 3)
    assert np.array_equal(sheet[32:64, 64:96], synthetic_objects(1, [2], "hard")[0].transpose(1, 2, 0))
    assert np.array_equal(sheet[:32, -96:-64], synthetic_objects(0, [0], "easy")[0].transpose(1, 2, 0))
    result = CliRunner().invoke(main, ["objects", "--out", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0 and (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(main, ["objects", "--out", str(tmp_path / "nowhere" / "sheet.png")])
    assert result.exit_code == 1 and "choose another --out" in result.output
