"""Adds and removes the runs axis, which minilop's functions have and the kit's arrays do not."""

from typing import Any

import numpy as np

from minilop.backend import to_host, xp


def on_device(array: Any) -> Any:
    """The array on the device, with a runs axis of length 1."""
    return xp.asarray(array)[None]


def on_host(array: Any) -> np.ndarray:
    """The array on the host, without the runs axis."""
    return to_host(array)[0]
