"""The axis of runs, which minilop's functions have and the kit has not."""

from typing import Any

import numpy as np

from minilop.backend import to_host, xp


def alone(array: Any) -> Any:
    """On the device, with the axis of a single run."""
    return xp.asarray(array)[None]


def host(array: Any) -> np.ndarray:
    """Back, without it."""
    return to_host(array)[0]
