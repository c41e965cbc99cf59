"""Random numbers for generated pictures, by hashing.

A picture must be the same whether it is made alone, in a batch or in another order. So its random numbers are a
function of its coordinates (seed, purpose, class, index): `keys` combines these into one 64-bit key per picture, and
number k of a picture is a hash of its key and k.

The hash is the output function of splitmix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014; constants: D. Stafford's variant 13). The generator itself adds GOLDEN to its state and hashes
the state, so its k-th word (k = 0, 1, ...) from the state s is mix(s + (k + 1) GOLDEN), which is what `words` computes.

Everything else draws from `minilop.draws`. This second generator remains because another one would change all generated
pictures and so all results on them.
"""

import numpy as np
import numpy.typing as npt

from minilop.data.errors import DataError

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio, made odd: its multiples spread evenly over 64 bits


def mix(z: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """The hash of each 64-bit word in `z`, of any shape; a one-to-one map."""
    word = np.asarray(z, dtype=np.uint64)
    with np.errstate(over="ignore"):  # arithmetic is modulo 2^64; NumPy would warn about single numbers
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(word ^ (word >> np.uint64(31)))


def keys(seed: int, purpose: int, *coordinates: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """One key per picture, in the common shape of the coordinates.

    seed         any integer (used modulo 2^64)
    purpose      a constant that distinguishes families of pictures with the same seed and coordinates
    coordinates  non-negative integers or arrays of them that broadcast together, for example class and index
    """
    key = mix((int(seed) * GOLDEN + purpose) % 2**64)  # int: a NumPy integer would overflow
    for coordinate in coordinates:
        key = mix(_step(key, np.asarray(coordinate).astype(np.uint64)))
    return key


def check_indices(indices: npt.ArrayLike, kind: str, example: str) -> npt.NDArray[np.integer]:
    """The indices of pictures as an array (N,). Raises DataError unless they are one list of non-negative integers."""
    array = np.asarray(indices)
    is_integer = array.dtype.kind in "iu" and array.size > 0
    if array.ndim != 1 or (array.size and (not is_integer or array.min() < 0)):
        raise DataError(
            f"The indices of {kind} should be one list of integers from 0 on but have shape {array.shape}, type "
            f"{array.dtype}{f' and minimum {array.min()}' if is_integer else ''}; ask for example for {example}."
        )
    return array


def words(key: npt.ArrayLike, num_words: int) -> npt.NDArray[np.uint64]:
    """The first `num_words` words of every key: (num_words, *shape of key)."""
    key = np.asarray(key, dtype=np.uint64)
    k = np.arange(num_words, dtype=np.uint64).reshape(-1, *[1] * key.ndim)
    return mix(_step(key, k))


def uniforms(key: npt.ArrayLike, num_uniforms: int) -> npt.NDArray[np.float64]:
    """The first `num_uniforms` numbers in [0, 1) of every key: (num_uniforms, *shape of key), multiples of 2^-53."""
    return (words(key, num_uniforms) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _step(key: npt.NDArray[np.uint64], k: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        return np.asarray(key + (k + np.uint64(1)) * np.uint64(GOLDEN))
