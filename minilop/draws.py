"""Random draws as functions of where they are used, not as a sequence.

A draw is named by its coordinates: the run's seed, a purpose in words, a layer, a step and a slot (the unit that takes
the draw). The same coordinates give the same numbers on every backend, alone or among other runs, today or in a
resumed run; nothing has a state. Coordinates broadcast like the arguments of a NumPy function, so many steps can be
drawn in one call, and each equals the one drawn by itself:

    uniform(seeds, "dropout", 64, step=np.arange(100)[:, None], dtype="float32")      # (100, R, 64)

The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
From a counter of four 32-bit words and a key of two it makes four random words:

    counter = (index of the group of four words, step, slot, layer)        key = (seed, CRC-32 of the purpose)

so word i of a draw is word i mod 4 of group i div 4. Every coordinate is a whole number from 0 to 2^32 - 1; one that is
not named is 0. From words w to numbers:

    uniform       u = (w >> 8) * 2^-24                                   float32 and float64 runs see the same ones
    whole number  floor(w * high / 2^32)
    permutation   the stable argsort of the words
    normal        words w0, w1 of a pair: sqrt(-2 ln(1 - u0)) times cos(2 pi u1), then times sin(2 pi u1)

What is drawn, with `layer` the number of layers with weights before the one that draws (so the first dense layer's is 0,
the second's 1, whatever stands between them; a layer without weights has the number of the one whose outputs it treats),
`unit` the row of a weight or channel of a bias, and a step counted from 0:

    purpose                  layer   step           slot   numbers
    initial weight           yes     0, or *        unit   incoming weights of the unit: bound * (2 u - 1), or normal
    initial bias             yes     0, or *        unit   the same, for the scheme `default`
    fresh weight             yes     of replacing   unit   incoming weights of a replaced unit
    fresh input              yes     of replacing   unit   one an input: which the unit reads (generate_and_test.py)
    replacement coin         yes     t div 1024     0      number t mod 1024 is for step t
    random utility           yes     of replacing   0      one a unit
    dropout                  yes     t              0      (n, B): one a feature and example; kept if u >= probability
    perturbation             0       t              0      normal, one a parameter
    action noise             0       of environment 0      normal (A, N): one an action and environment
    order of samples         0       epoch          0      a permutation of the samples of a rollout

* the number of the task, from 0, for a learner that begins it with a new network. Where a learner has two networks, as
PPO has a policy and a value network, the layers of the second count on where those of the first end, and its
perturbation has the number of its first layer. The problems name their own purposes. For example the first three incoming weights of unit 0 in the first layer of
`mlp((20, 5, 1), "relu", [0], "float32")`, whose bound is sqrt(6 / 20), are
-0.0725802, -0.3501955 and 0.3690068.
"""

import math
import zlib
from collections.abc import Callable

import numpy as np

from minilop import backend
from minilop.backend import Array, xp

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and square root of 3, as fractions of 2^32
_ROUNDS = 10
_LOW_32_BITS = 0xFFFFFFFF

# The four words and two products of so many counters stay in a core's second-level cache; a GPU wants large launches.
_COUNTERS_AT_A_TIME = {"numpy": 16_384, "cupy": 1 << 22}

Shape = int | tuple[int, ...]


def philox(counter: Array, key_0: Array, key_1: Array) -> Array:
    """Philox4x32-10: turns each counter of four words into four random words, in place.

    counter        uint64 (4, ...), each below 2^32; overwritten and returned
    key_0, key_1   uint64, each below 2^32, broadcasting against a word of the counter
    """
    c0, c1, c2, c3 = counter
    product_0, product_1 = xp.empty_like(c0), xp.empty_like(c0)
    for _ in range(_ROUNDS):
        # c0, c1, c2, c3 = high(m1 c2) ^ c1 ^ key_0, low(m1 c2), high(m0 c0) ^ c3 ^ key_1, low(m0 c0)
        xp.multiply(c0, _MULTIPLIERS[0], out=product_0)
        xp.multiply(c2, _MULTIPLIERS[1], out=product_1)
        for word, carried, key, product in ((c0, c1, key_0, product_1), (c2, c3, key_1, product_0)):
            xp.right_shift(product, 32, out=word)
            xp.bitwise_xor(word, carried, out=word)
            xp.bitwise_xor(word, key, out=word)
            xp.bitwise_and(product, _LOW_32_BITS, out=carried)
        key_0 = (key_0 + _KEY_INCREMENTS[0]) & _LOW_32_BITS
        key_1 = (key_1 + _KEY_INCREMENTS[1]) & _LOW_32_BITS
    return counter


def words(seed: Array, purpose: str, shape: Shape, *, layer: Array = 0, step: Array = 0, slot: Array = 0) -> Array:
    """Random 32-bit words, uint32 of the coordinates' common shape followed by `shape`."""
    return _draw(lambda drawn: drawn, xp.uint32, purpose, shape, (seed, step, slot, layer))


def uniform(
    seed: Array, purpose: str, shape: Shape, *, layer: Array = 0, step: Array = 0, slot: Array = 0, dtype: str
) -> Array:
    """Uniform numbers in [0, 1): multiples of 2^-24, so that float32 and float64 runs see the same ones exactly."""
    return _draw(lambda drawn: _unit_interval(drawn, dtype), dtype, purpose, shape, (seed, step, slot, layer))


def normal(
    seed: Array, purpose: str, shape: Shape, *, layer: Array = 0, step: Array = 0, slot: Array = 0, dtype: str
) -> Array:
    """Standard normal numbers, by Box and Muller's transform of pairs of uniform ones.

    Words 2 i and 2 i + 1 make numbers 2 i (the cosine) and 2 i + 1 (the sine). No number lies beyond 5.77.
    """
    return _draw(lambda drawn: _box_muller(drawn, dtype), dtype, purpose, shape, (seed, step, slot, layer))


def integers(
    seed: Array, purpose: str, shape: Shape, high: int, *, layer: Array = 0, step: Array = 0, slot: Array = 0
) -> Array:
    """Whole numbers from 0 to high - 1 as int64: floor(word * high / 2^32), uniform to within high / 2^32."""
    return _draw(lambda drawn: drawn, xp.int64, purpose, shape, (seed, step, slot, layer)) * high >> 32


def permutation(seed: Array, purpose: str, length: int, *, layer: Array = 0, step: Array = 0, slot: Array = 0) -> Array:
    """A random order of 0 .. length - 1 as int64 (..., length): the stable argsort of `length` words."""
    return xp.argsort(words(seed, purpose, length, layer=layer, step=step, slot=slot), axis=-1, kind="stable")


def _unit_interval(drawn: Array, dtype: str) -> Array:
    return (drawn >> 8).astype(dtype) * 2.0**-24


def _box_muller(drawn: Array, dtype: str) -> Array:
    radius = xp.sqrt(-2 * xp.log(1 - _unit_interval(drawn[..., 0::2], dtype)))
    angle = _unit_interval(drawn[..., 1::2], dtype) * (2 * math.pi)
    numbers = xp.empty(drawn.shape, dtype)
    xp.multiply(radius, xp.cos(angle), out=numbers[..., 0::2])
    xp.multiply(radius, xp.sin(angle), out=numbers[..., 1::2])
    return numbers


def _draw(
    convert: Callable[[Array], Array], dtype: str, purpose: str, shape: Shape, coordinates: tuple[Array, ...]
) -> Array:
    """All draws: `convert`ed words in blocks that fit the cache, (coordinates' shape) + shape.

    coordinates   seed, step, slot and layer
    """
    shape = (shape,) if isinstance(shape, int) else shape
    coordinates = xp.broadcast_arrays(*(xp.asarray(value, xp.uint64) for value in coordinates))
    leading = coordinates[0].shape
    size = math.prod(shape)
    result = xp.empty((math.prod(leading), size), dtype)
    seed, step, slot, layer = (value.reshape(-1, 1) for value in coordinates)  # a row each
    key_1 = zlib.crc32(purpose.encode())
    num_groups = -(-size // 4)
    at_a_time = backend.choose(_COUNTERS_AT_A_TIME)
    num_rows = max(1, at_a_time // max(1, num_groups))
    for row in range(0, len(result), num_rows):
        rows = slice(row, row + num_rows)
        for group in range(0, num_groups, at_a_time):
            groups = xp.arange(group, min(group + at_a_time, num_groups), dtype=xp.uint64)
            counter = xp.empty((4, len(seed[rows]), len(groups)), xp.uint64)
            counter[0], counter[1], counter[2], counter[3] = groups, step[rows], slot[rows], layer[rows]
            philox(counter, seed[rows], key_1)
            drawn = xp.empty(counter.shape[1:] + (4,), xp.uint32)
            for place in range(4):
                drawn[..., place] = counter[place]
            columns = slice(4 * group, min(4 * (group + len(groups)), size))
            converted = convert(drawn.reshape(len(drawn), -1))
            result[rows, columns] = converted[:, : columns.stop - columns.start]
    return result.reshape(leading + shape)


class PrefetchedDraws:
    """Draws that every step needs, made for many steps at a time because small draws cost mostly overhead.

    draw   from steps, a host array (T,) + (1,) * dimensions, to an array with T first
    Calling with a step returns the same numbers as drawing at that step alone.
    """

    def __init__(self, draw: Callable[[np.ndarray], Array], steps_at_a_time: int, dimensions: int = 1):
        self.draw = draw
        self.steps = np.arange(steps_at_a_time).reshape((-1,) + (1,) * dimensions)
        self.first_step: int | None = None
        self.drawn: Array = None

    def __call__(self, step: int) -> Array:
        place = step % len(self.steps)
        if step - place != self.first_step:
            self.first_step = step - place
            self.drawn = self.draw(self.first_step + self.steps)
        return self.drawn[place]
