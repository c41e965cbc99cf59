"""Random numbers that serve as data."""

from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host


def normals(
    seed: int, purpose: str, shape: tuple[int, ...], steps: int, active_share: float = 1.0, layer: int = 0
) -> np.ndarray:
    """Standard normal numbers (T, ...), exact in float32; a fraction of about 1 - `active_share` is set to 0."""
    where: dict[str, Any] = {"layer": layer, "step": np.arange(steps), "dtype": "float64"}
    numbers = to_host(draws.normal(seed, purpose, shape, **where))
    if active_share < 1:
        numbers *= to_host(draws.uniform(seed, f"{purpose} present", shape, **where)) < active_share
    return in_float32(numbers)


def in_float32(numbers: np.ndarray) -> np.ndarray:
    """The numbers rounded to float32, as float64, so that both dtypes use the same values."""
    return numbers.astype("float32").astype(float)
