"""The digits that need no download: the hash behind generated ones, generated ones, real ones."""

import numpy as np
import pytest

from minilop.data import DataError, halve, handwritten_digits, synthetic_digits
from minilop.data.hashing import GOLDEN, keys, mix, uniforms, words

pytestmark = pytest.mark.quick

# The generator's first words from the state 1234567, as published with many implementations of splitmix64.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_mix_is_the_output_function_of_splitmix64():
    """The generator adds GOLDEN to its state, then hashes the state."""
    state, generated = 1234567, []
    for _ in PUBLISHED:
        state = (state + GOLDEN) % 2**64
        generated.append(int(mix(state)))
    assert generated == PUBLISHED


def test_words_of_a_key_are_the_generator_started_there():
    assert words(1234567, 5).tolist() == PUBLISHED


def test_a_uniform_is_the_upper_53_bits_of_its_word():
    assert uniforms(1234567, 5).tolist() == [(word >> 11) / 2**53 for word in PUBLISHED]


def test_a_key_folds_seed_purpose_and_coordinates_one_after_the_other():
    """key = mix(mix(mix(seed GOLDEN + purpose) + (class + 1) GOLDEN) + (index + 1) GOLDEN), modulo 2^64."""
    folded = int(mix((3 * GOLDEN + 2) % 2**64))
    folded = int(mix((folded + (5 + 1) * GOLDEN) % 2**64))
    folded = int(mix((folded + (17 + 1) * GOLDEN) % 2**64))
    assert int(keys(3, 2, 5, 17)) == folded


def test_keys_of_a_batch_are_the_keys_of_its_members():
    together = keys(3, 2, [[5], [6]], np.arange(4))  # (2, 4)
    assert together.tolist() == [[int(keys(3, 2, class_, index)) for index in range(4)] for class_ in (5, 6)]
    assert np.unique(together).size == 8
    assert uniforms(together, 3).shape == (3, 2, 4)


def test_any_integer_is_a_seed():
    assert len({int(keys(seed, 0)) for seed in (-1, 0, 1, 2**64 - 2, 10**30)}) == 5
    assert int(keys(np.int64(7), 0)) == int(keys(7, 0))
    assert int(keys(-1, 0)) == int(keys(2**64 - 1, 0))


def test_a_synthetic_digit_made_alone_equals_itself_in_a_batch():
    indices = np.array([70_000, 3, 0, 41, 3, 10**12, *range(100, 170)])  # any order, repeated, over several chunks
    images, labels = synthetic_digits(indices, seed=5)
    assert images.shape == (76, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (76,) and labels.dtype == np.uint8
    for image, label, index in zip(images, labels, indices, strict=True):
        alone, alone_label = synthetic_digits([index], seed=5)
        assert np.array_equal(alone[0], image) and alone_label[0] == label


def test_labels_of_synthetic_digits_are_near_uniform_and_known():
    labels = synthetic_digits(range(2_000))[1]
    assert labels[:12].tolist() == [4, 6, 1, 3, 8, 6, 9, 8, 1, 3, 4, 2]  # integer arithmetic: the same on every machine
    counts = np.bincount(labels, minlength=10)
    assert abs(counts - 200).max() < 5 * np.sqrt(2_000 * 0.1 * 0.9)  # five standard deviations of a fair draw


def test_synthetic_digits_have_the_ink_of_mnist_in_the_middle():
    images = synthetic_digits(range(2_000))[0] / 255
    assert images.mean() == pytest.approx(0.133, abs=0.005)  # MNIST's training images: 0.131
    assert images[:, [0, -1]].mean() < 0.02 and images[:, :, [0, -1]].mean() < 0.02  # little at the edges
    assert images.max() > 0.95


def test_synthetic_digits_can_be_told_apart():
    """The nearest of ten mean images is a poor classifier, yet far better than chance (0.1)."""
    images, labels = synthetic_digits(range(3_000))
    pixels = images.reshape(3_000, -1) / 255
    means = np.stack([pixels[:2_000][labels[:2_000] == digit].mean(axis=0) for digit in range(10)])
    distances = ((pixels[2_000:, None] - means) ** 2).sum(axis=-1)  # (1000, 10)
    assert (distances.argmin(axis=-1) == labels[2_000:]).mean() > 0.65


def test_another_seed_gives_other_digits():
    assert not np.array_equal(synthetic_digits(range(20), seed=0)[1], synthetic_digits(range(20), seed=1)[1])


def test_no_indices_give_no_digits():
    images, labels = synthetic_digits([])
    assert images.shape == (0, 28, 28) and labels.shape == (0,)


@pytest.mark.parametrize("indices", [[-1], [0.5], 3, [[1, 2]], [True], ["one"]])
def test_indices_that_are_no_list_of_counting_numbers_are_refused(indices):
    with pytest.raises(DataError, match=r"from 0 on.* ask for example for range\(1000\)\."):
        synthetic_digits(indices)


def test_halving_averages_blocks_of_four_and_rounds_halves_up():
    image = np.array([[[0, 1, 255, 255], [0, 1, 255, 255], [0, 0, 9, 0], [0, 1, 0, 0]]], dtype=np.uint8)
    expected = [[[(0 + 1 + 0 + 1 + 2) // 4, 255], [(0 + 0 + 0 + 1 + 2) // 4, (9 + 0 + 0 + 0 + 2) // 4]]]
    assert halve(image).tolist() == expected == [[[1, 255], [0, 2]]]
    assert halve(image).dtype == np.uint8


@pytest.mark.parametrize(
    "images", [np.zeros((1, 7, 8), np.uint8), np.zeros((1, 8, 7), np.uint8), np.zeros(8, np.uint8), np.zeros((1, 8, 8))]
)
def test_only_bytes_of_even_sizes_can_be_halved(images):
    with pytest.raises(DataError, match=r"cannot be halved; provide bytes \(uint8\), with an even number"):
        halve(images)


def test_handwritten_digits_are_those_of_the_repository():
    images, labels = handwritten_digits()
    assert images.shape == (1_797, 8, 8) and images.dtype == np.uint8
    assert labels.shape == (1_797,) and labels.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images[0].tolist()[0] == [0, 0, 5, 13, 9, 1, 0, 0]  # the top row of the first zero


def test_handwritten_digits_equal_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = handwritten_digits()
    assert np.array_equal(images, theirs.images) and np.array_equal(labels, theirs.target)
