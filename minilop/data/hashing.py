"""Random numbers for generated pictures: a hash of what is asked for, never a sequence.

A picture must be the same whether it is made alone or in a batch, today or in another order. So its random numbers are
a function of its coordinates (seed, purpose, class, index): `keys` folds these into one 64-bit key for each picture,
and the k-th number of a picture is a hash of its key and k.

The hash is the output function of splitmix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014; constants: D. Stafford's variant 13). The generator itself adds GOLDEN to its state and hashes
the state, so its k-th word (k = 0, 1, ...) from the state s is mix(s + (k + 1) GOLDEN), which is what `words` computes.

Everything else draws from `minilop.draws`. This second generator stays, for generated pictures alone, because another
one would change every picture, and with them all results on them.
"""

import numpy as np
import numpy.typing as npt

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio, made odd: its multiples spread evenly over 64 bits


def mix(z: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """The hash of each 64-bit word of `z`, any shape: it maps the 2^64 words one to one."""
    word = np.asarray(z, dtype=np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant; NumPy warns where the array is a single number
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(word ^ (word >> np.uint64(31)))


def keys(seed: int, purpose: int, *coordinates: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """One key for each picture, of the coordinates' common shape.

    seed         any integer (taken modulo 2^64)
    purpose      a constant that keeps families of pictures apart which share seed and coordinates
    coordinates  non-negative integers or arrays of them that broadcast together, for example class and index
    """
    key = mix((int(seed) * GOLDEN + purpose) % 2**64)  # int: a NumPy integer would overflow
    for coordinate in coordinates:
        key = mix(_step(key, np.asarray(coordinate).astype(np.uint64)))
    return key


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
