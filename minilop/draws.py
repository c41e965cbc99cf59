"""Random draws that depend on where they are used, not on what was drawn before.

A draw is identified by its coordinates: the run's seed, a purpose in words, a layer, a step and a slot (the unit that
the draw is for). The same coordinates give the same numbers on every backend, for a run alone or among others, and for
a run that was resumed. The generator has no state. Coordinates broadcast like the arguments of a NumPy function, so one
call can draw for many steps; the numbers equal those of a separate call for each step:

    uniform(seeds, "dropout", 64, step=np.arange(100)[:, None], dtype="float32")      # (100, R, 64)

The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
It turns a counter of four 32-bit words and a key of two words into four random words:

    counter = (index of the group of four words, step, slot, layer)        key = (seed, CRC-32 of the purpose)

Word i of a draw is therefore word i mod 4 of group i div 4. Every coordinate is an integer from 0 to 2^32 - 1, and 0 by
default. Words w become numbers as follows:

    uniform       u = (w >> 8) * 2^-24                                   the same in float32 and float64
    integer       floor(w * high / 2^32)
    permutation   the stable argsort of the words
    normal        words w0, w1 of a pair: sqrt(-2 ln(1 - u0)) times cos(2 pi u1), then times sin(2 pi u1)

The table lists the draws of the library. `layer` is the number of layers with weights before the layer that draws: 0
for the first dense layer and 1 for the second, whatever other layers are between them. A layer without weights has the
number of the layer whose outputs it receives. `unit` is the row of a weight or the channel of a bias. Steps are counted
from 0.

    purpose                  layer   step           slot   numbers
    initial weight           yes     0, or *        unit   incoming weights of the unit: bound * (2 u - 1), or normal
    initial bias             yes     0, or *        unit   the same, for the scheme `default`
    fresh weight             yes     of replacing   unit   incoming weights of a replaced unit
    fresh input              yes     of replacing   unit   one per input: which inputs it gets (generate_and_test.py)
    replacement coin         yes     t div 1024     0      number t mod 1024 is for step t
    random utility           yes     of replacing   0      one per unit
    dropout                  yes     t              0      (n, B): one per feature and example; keep if u >= probability
    perturbation             0       t              0      normal, one per parameter
    action noise             0       of environment 0      normal (A, N): one per action and environment
    order of samples         0       epoch          0      a permutation of the samples of a rollout

* The task number, from 0, if the learner starts each task with a new network. If a learner has two networks, as PPO has
a policy and a value network, the layer numbers of the second network continue those of the first, and its perturbation
has the number of its first layer. The problems define purposes of their own.

For example, the first three incoming weights of unit 0 in the first layer of `mlp((20, 5, 1), "relu", [0], "float32")`,
whose bound is sqrt(6 / 20), are -0.0725802, -0.3501955 and 0.3690068.
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

# On a CPU, the four words and two products of this many counters stay in the second-level cache of a core.
# A GPU needs large launches.
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
    """Random 32-bit words as uint32. Their shape is the common shape of the coordinates followed by `shape`."""
    return _draw(lambda drawn: drawn, xp.uint32, purpose, shape, (seed, step, slot, layer))


def uniform(
    seed: Array, purpose: str, shape: Shape, *, layer: Array = 0, step: Array = 0, slot: Array = 0, dtype: str
) -> Array:
    """Uniform numbers in [0, 1). They are multiples of 2^-24, so float32 and float64 runs get the same numbers."""
    return _draw(lambda drawn: _unit_interval(drawn, dtype), dtype, purpose, shape, (seed, step, slot, layer))


def normal(
    seed: Array, purpose: str, shape: Shape, *, layer: Array = 0, step: Array = 0, slot: Array = 0, dtype: str
) -> Array:
    """Standard normal numbers, made from pairs of uniform numbers by the Box-Muller transform.

    Words 2 i and 2 i + 1 give numbers 2 i (with the cosine) and 2 i + 1 (with the sine). The largest possible absolute
    value is 5.77.
    """
    return _draw(lambda drawn: _box_muller(drawn, dtype), dtype, purpose, shape, (seed, step, slot, layer))


def integers(
    seed: Array, purpose: str, shape: Shape, high: int, *, layer: Array = 0, step: Array = 0, slot: Array = 0
) -> Array:
    """Integers from 0 to high - 1 as int64: floor(word * high / 2^32), uniform to within high / 2^32."""
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
    """The numbers of a draw, (common shape of the coordinates) + shape, computed in blocks that fit in the cache.

    convert       turns words into numbers
    coordinates   seed, step, slot and layer
    """
    shape = (shape,) if isinstance(shape, int) else shape
    coordinates = xp.broadcast_arrays(*(xp.asarray(value, xp.uint64) for value in coordinates))
    leading = coordinates[0].shape
    size = math.prod(shape)
    result = xp.empty((math.prod(leading), size), dtype)
    seed, step, slot, layer = (value.reshape(-1, 1) for value in coordinates)  # one row for each draw
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
            for index in range(4):
                drawn[..., index] = counter[index]
            columns = slice(4 * group, min(4 * (group + len(groups)), size))
            converted = convert(drawn.reshape(len(drawn), -1))
            result[rows, columns] = converted[:, : columns.stop - columns.start]
    return result.reshape(leading + shape)


class PrefetchedDraws:
    """Draws needed at every step, made for many steps at a time because the cost of a small draw is mostly overhead.

    draw   a function of steps, a host array (T,) + (1,) * dimensions, that returns an array whose first axis is T

    A call with a step returns the same numbers as a draw for that step alone.
    """

    def __init__(self, draw: Callable[[np.ndarray], Array], steps_at_a_time: int, dimensions: int = 1):
        self.draw = draw
        self.steps = np.arange(steps_at_a_time).reshape((-1,) + (1,) * dimensions)
        self.first_step: int | None = None
        self.drawn: Array = None

    def __call__(self, step: int) -> Array:
        index = step % len(self.steps)
        if step - index != self.first_step:
            self.first_step = step - index
            self.drawn = self.draw(self.first_step + self.steps)
        return self.drawn[index]
