"""Numbers that stand for data."""

from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host


def normals(
    seed: int, purpose: str, shape: tuple[int, ...], steps: int, active_share: float = 1.0, layer: int = 0
) -> np.ndarray:
    """Standard normal numbers (T, ...), which float32 holds exactly; all but about `active_share` of them are 0."""
    where: dict[str, Any] = {"layer": layer, "step": np.arange(steps), "dtype": "float64"}
    numbers = to_host(draws.normal(seed, purpose, shape, **where))
    if active_share < 1:
        numbers *= to_host(draws.uniform(seed, f"{purpose} present", shape, **where)) < active_share
    return in_float32(numbers)


def in_float32(numbers: np.ndarray) -> np.ndarray:
    """The nearest that float32 holds, as float64: both dtypes then see the same."""
    return numbers.astype("float32").astype(float)
