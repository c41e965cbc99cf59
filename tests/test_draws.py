"""Draws are functions of their coordinates: the published vectors, an independent generator, and what follows.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules
from draws_by_hand import MASK, philox_by_hand, words_by_hand

from minilop import draws
from minilop.backend import Array

pytestmark = pytest.mark.quick

KNOWN_ANSWERS = [  # of the file kat_vectors that the authors publish with their generator
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([MASK] * 4, [MASK] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@on_both_array_modules
@pytest.mark.parametrize("counter, key, answer", KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: list[int], key: list[int], answer: list[int]) -> None:
    drawn = draws.philox(device(counter, "uint64")[:, None], *(device([word], "uint64") for word in key))
    assert host(drawn)[:, 0].tolist() == answer


@pytest.mark.parametrize("counter, key, answer", KNOWN_ANSWERS)
def test_the_generator_of_these_tests_gives_them_too(counter: list[int], key: list[int], answer: list[int]) -> None:
    assert list(philox_by_hand(tuple(counter), (key[0], key[1]))) == answer


def test_philox_overwrites_the_counter_it_is_given() -> None:
    counter = device(np.zeros((4, 3)), "uint64")
    assert draws.philox(counter, device([0], "uint64"), device([0], "uint64")) is counter
    assert host(counter)[0].tolist() == [0x6627E8D5] * 3


@on_both_array_modules
@pytest.mark.parametrize("length", [1, 3, 4, 5, 11])
def test_words_follow_the_layout_of_counter_and_key(length: int) -> None:
    drawn = draws.words(12345, "initial weight", length, layer=3, step=700, slot=21)
    assert host(drawn).tolist() == words_by_hand(12345, "initial weight", length, layer=3, step=700, slot=21)
    assert drawn.dtype == np.uint32


def test_coordinates_may_use_all_32_bits() -> None:
    drawn = draws.words(MASK, "x", 4, layer=MASK, step=MASK, slot=MASK)
    assert host(drawn).tolist() == words_by_hand(MASK, "x", 4, layer=MASK, step=MASK, slot=MASK)


def test_every_coordinate_makes_another_draw() -> None:
    variants = [
        draws.words(1, "a", 4),
        draws.words(2, "a", 4),
        draws.words(1, "b", 4),
        draws.words(1, "a", 4, layer=1),
        draws.words(1, "a", 4, step=1),
        draws.words(1, "a", 4, slot=1),
    ]
    assert len({tuple(host(words).tolist()) for words in variants}) == len(variants)


def test_a_shape_is_filled_in_order() -> None:
    flat = host(draws.words(5, "x", 30))
    assert (host(draws.words(5, "x", (2, 3, 5))) == flat.reshape(2, 3, 5)).all()
    assert host(draws.words(5, "x", ())) == flat[0]


def test_a_run_alone_draws_what_it_draws_among_others() -> None:
    together = host(draws.words(np.array([3, 7, 11]), "x", (2, 5), step=9))  # (3, 2, 5)
    for run, seed in enumerate([3, 7, 11]):
        assert (together[run] == host(draws.words(seed, "x", (2, 5), step=9))).all()


def test_many_steps_drawn_at_once_are_the_steps_drawn_one_by_one() -> None:
    seeds = np.array([4, 5])
    chunk = host(draws.words(seeds, "x", 6, step=np.arange(10, 30)[:, None]))  # (20, 2, 6)
    assert chunk.shape == (20, 2, 6)
    for place, step in enumerate(range(10, 30)):
        assert (chunk[place] == host(draws.words(seeds, "x", 6, step=step))).all()


def test_a_slot_draws_the_same_whatever_the_other_slots_are() -> None:
    few = host(draws.words(np.array([[8], [9]]), "x", 3, slot=np.arange(4)))  # (2, 4, 3)
    many = host(draws.words(np.array([[8], [9]]), "x", 3, slot=np.arange(10)))  # (2, 10, 3)
    assert (few == many[:, :4]).all()
    assert few[1, 2].tolist() == words_by_hand(9, "x", 3, slot=2)


BLOCK = 4 * 16_384  # words of the blocks that NumPy takes


@on_both_array_modules
@pytest.mark.parametrize("length", [BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 6])
def test_a_draw_goes_on_across_the_boundary_of_a_block(length: int) -> None:
    drawn = host(draws.words(2, "x", length))
    assert drawn.shape == (length,)
    for place in (0, 1, BLOCK // 2 + 1, BLOCK - 5, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 5):
        if place < length:
            key = 2, zlib.crc32(b"x")
            assert drawn[place] == philox_by_hand((place // 4, 0, 0, 0), key)[place % 4]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("draw", ["words", "uniform", "normal"])
def test_the_size_of_the_blocks_changes_nothing(size: int, draw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> np.ndarray:
        options = {} if draw == "words" else {"dtype": "float64"}
        coordinates = np.array([1, 2, 3])[:, None], np.arange(4)
        return host(getattr(draws, draw)(coordinates[0], "x", (3, 7), step=coordinates[1], **options))  # (3, 4, 3, 7)

    expected = drawn()
    monkeypatch.setattr(draws, "_COUNTERS_AT_A_TIME", {"numpy": size, "cupy": size})
    # Words and uniform numbers are exact; logarithm and sine may round differently in arrays of different lengths.
    np.testing.assert_allclose(drawn(), expected, rtol=0, atol=1e-14 if draw == "normal" else 0)


@on_both_array_modules
def test_uniform_is_the_upper_24_bits_of_a_word() -> None:
    drawn = draws.uniform(6, "x", 1000, dtype="float64")
    expected = [(word >> 8) / 2**24 for word in words_by_hand(6, "x", 1000)]
    assert host(drawn).tolist() == expected


def test_uniform_numbers_of_float32_and_float64_are_the_same() -> None:
    single = draws.uniform(np.arange(5), "x", 2000, dtype="float32")
    double = draws.uniform(np.arange(5), "x", 2000, dtype="float64")
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert (host(single).astype("float64") == host(double)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_are_spread_over_zero_to_one_without_one(dtype: str) -> None:
    drawn = host(draws.uniform(0, "x", 100_000, dtype=dtype)).astype("float64")
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.bincount((10 * drawn).astype(int), minlength=10)
    assert abs(counts - 10_000).max() < 5 * math.sqrt(100_000 * 0.1 * 0.9)  # five standard deviations


def test_the_largest_word_is_still_below_one_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def philox(counter: Array, key_0: Array, key_1: Array) -> Array:
        counter[...] = MASK
        return counter

    monkeypatch.setattr(draws, "philox", philox)
    assert host(draws.uniform(0, "x", 3, dtype="float32")).tolist() == [1 - 2.0**-24] * 3
    assert host(draws.integers(0, "x", 3, 10)).tolist() == [9, 9, 9]
    # u = 1 - 2^-24 in the radius gives the largest normal number, 5.77 by the docstring; no logarithm of zero
    assert abs(host(draws.normal(0, "x", 3, dtype="float32"))).max() == pytest.approx(math.sqrt(48 * math.log(2)))
    assert math.sqrt(48 * math.log(2)) < 5.77


@on_both_array_modules
def test_two_words_make_two_normal_numbers() -> None:
    """Box and Muller: sqrt(-2 ln(1 - u)) times the cosine, and the sine, of 2 pi u'."""
    first, second = (2 * (word >> 8) / 2**25 for word in words_by_hand(6, "x", 2))
    radius, angle = math.sqrt(-2 * math.log(1 - first)), 2 * math.pi * second
    drawn = host(draws.normal(6, "x", 2, dtype="float64"))
    assert drawn == pytest.approx([radius * math.cos(angle), radius * math.sin(angle)], abs=1e-14)


@pytest.mark.parametrize("length", [1, 3, 5])
def test_an_odd_number_of_normals_is_the_beginning_of_more(length: int) -> None:
    short = host(draws.normal(np.arange(3), "x", length, dtype="float64"))
    long = host(draws.normal(np.arange(3), "x", 8, dtype="float64"))
    np.testing.assert_allclose(short, long[:, :length], rtol=0, atol=1e-14)


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    number = 200_000
    drawn = host(draws.normal(1, "x", number, dtype="float64"))
    # mean 0, variance 1, third moment 0, fourth 3; five standard deviations of each sample moment
    assert abs(drawn.mean()) < 5 * math.sqrt(1 / number)
    assert abs((drawn**2).mean() - 1) < 5 * math.sqrt(2 / number)
    assert abs((drawn**3).mean()) < 5 * math.sqrt(15 / number)
    assert abs((drawn**4).mean() - 3) < 5 * math.sqrt(96 / number)
    assert abs((drawn[0::2] * drawn[1::2]).mean()) < 5 * math.sqrt(2 / number)  # cosine and sine do not correlate


def test_normal_numbers_of_float32_are_those_of_float64_but_for_rounding() -> None:
    single = host(draws.normal(1, "x", 10_000, dtype="float32"))
    double = host(draws.normal(1, "x", 10_000, dtype="float64"))
    assert single.dtype == np.float32
    # An angle up to 2 pi is rounded by 2e-7 and multiplied by a radius up to 5.8.
    np.testing.assert_allclose(single, double, rtol=0, atol=5e-6)


@on_both_array_modules
@pytest.mark.parametrize("high", [1, 2, 10, 60_000, 2**31])
def test_an_integer_is_its_word_scaled_down(high: int) -> None:
    drawn = draws.integers(6, "x", 100, high)
    assert drawn.dtype == np.int64
    assert host(drawn).tolist() == [word * high // 2**32 for word in words_by_hand(6, "x", 100)]


@on_both_array_modules
@pytest.mark.parametrize("length", [1, 2, 64, 1797])
def test_a_permutation_contains_everything_once(length: int) -> None:
    orders = draws.permutation(np.array([1, 2, 3]), "x", length, step=5)  # (3, length)
    assert orders.dtype == np.int64
    assert (np.sort(host(orders)) == np.arange(length)).all()
    words = words_by_hand(2, "x", length, step=5)
    assert host(orders)[1].tolist() == sorted(range(length), key=words.__getitem__)


def test_equal_words_keep_their_order_in_a_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    tied = [3, 1, 3, 1, 2] * 20
    monkeypatch.setattr(draws, "words", lambda *args, **kwargs: device(tied, "uint32"))
    assert host(draws.permutation(0, "x", len(tied))).tolist() == sorted(range(len(tied)), key=tied.__getitem__)


def counted(draw: Callable[[np.ndarray], Array], calls: list[int]) -> Callable[[np.ndarray], Array]:
    def call(steps: np.ndarray) -> Array:
        calls.append(int(steps.ravel()[0]))
        return draw(steps)

    return call


@on_both_array_modules
def test_prefetched_draws_are_those_of_each_step() -> None:
    seeds, calls = np.array([1, 2]), []

    def draw(steps: Array) -> Array:
        return draws.words(seeds, "x", 3, step=steps)

    prefetched = draws.PrefetchedDraws(counted(draw, calls), steps_at_a_time=8)
    for step in range(20):
        assert (host(prefetched(step)) == host(draw(step))).all()
    assert calls == [0, 8, 16]


def test_prefetched_draws_may_start_anywhere_and_go_back() -> None:
    calls: list[int] = []
    prefetched = draws.PrefetchedDraws(
        counted(lambda steps: draws.words(3, "x", 2, step=steps), calls), 8, dimensions=0
    )
    for step in (13, 14, 2, 1000, 13):
        assert host(prefetched(step)).tolist() == words_by_hand(3, "x", 2, step=step)
    assert calls == [8, 0, 1000, 8]
