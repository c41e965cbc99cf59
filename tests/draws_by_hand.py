"""The generator of minilop/draws.py a second time, in Python's own integers: slow and plain, to check against."""

import math
import zlib

MASK = 0xFFFFFFFF


def philox_by_hand(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in Python's own integers: ten rounds of two multiplications."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def words_by_hand(seed: int, purpose: str, length: int, layer: int = 0, step: int = 0, slot: int = 0) -> list[int]:
    """counter = (group of four words, step, slot, layer), key = (seed, CRC-32 of the purpose)."""
    key = seed, zlib.crc32(purpose.encode())
    groups = range(math.ceil(length / 4))
    return [word for group in groups for word in philox_by_hand((group, step, slot, layer), key)][:length]
