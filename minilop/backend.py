"""The array module behind every algorithm: NumPy, or CuPy for the GPU.

    from minilop.backend import xp

`xp` has the names of the module that `use` chose last (NumPy at the start), so `xp.exp(x)` runs where the arrays are.
Host-side code (files, figures, counts that all runs share) imports NumPy itself as `np`, and fetches with `to_host`.
"""

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

NUMBERS_IN_CACHE = 1 << 17

Array = Any  # numpy.ndarray or cupy.ndarray, whichever `xp` makes


class BackendError(RuntimeError):
    """The array module that was asked for cannot be used here; the message names the remedy."""


class _ArrayModule(ModuleType):
    """A module whose names are those of NumPy or CuPy: `use` fills its dictionary, so a look-up costs no more."""

    def __getattr__(self, name: str) -> Any:  # names that the module itself loads only on demand
        return getattr(self._module, name)


xp: Any = _ArrayModule("xp")


def use(module: str | ModuleType) -> None:
    """Choose the array module: "numpy", "cupy", or any module with NumPy's names (the tests bring a strict one).

    Arrays made before the call stay what they are, so choose before building networks.
    Raises BackendError, in one sentence with the remedy, where CuPy or a GPU is missing.
    """
    chosen = module if isinstance(module, ModuleType) else _import(module)
    vars(xp).clear()
    vars(xp).update(vars(chosen), __name__="xp", _module=chosen)


def name() -> str:
    """The name of the array module in use, "numpy" or "cupy"."""
    return xp._module.__name__


def choose(values: Mapping[str, Any]) -> Any:
    """The value for the array module in use; for any but CuPy it is that for NumPy."""
    return values.get(name(), values["numpy"])


def _import(module: str) -> ModuleType:
    if module == "numpy":
        return np
    if module != "cupy":
        raise BackendError(f"There is no backend {module!r}; choose numpy or cupy.")
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        raise BackendError(
            'The backend cupy needs CuPy: install it with `python -m pip install -e ".[cupy]"` for CUDA 13, '
            'or ".[cupy12]" for CUDA 12.'
        ) from None
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as problem:
        raise BackendError(
            f"CuPy is installed but finds no usable GPU ({problem}); check the driver with `nvidia-smi`, "
            "or run with `--backend numpy`."
        ) from None
    return cupy


def like(array: Array, hyperparameter: Array) -> Array:
    """A number as it is; an array in the precision of `array`, which it would otherwise change."""
    if isinstance(hyperparameter, (int, float)):
        return float(hyperparameter)
    return xp.asarray(hyperparameter, array.dtype)


def to_host(array: Array) -> np.ndarray:
    """`array` as a NumPy array; the one place where data leaves the device."""
    return xp._module.asnumpy(array) if hasattr(xp._module, "asnumpy") else np.asarray(array)


def synchronize() -> None:
    """Wait until the device has finished; a clock read before that tells nothing. Returns at once for NumPy."""
    if hasattr(xp._module, "cuda"):
        xp._module.cuda.get_current_stream().synchronize()


def blocks(length: int, size: int) -> Iterator[slice]:
    """Slices of an axis of `length`, of an array of `size` numbers, for passes that make temporaries.

    Where the slices are summed, `size` must be that of one run: the order of a sum may not depend on how many runs stand
    side by side. On a CPU a slice of the array and a few temporaries like it stay in a core's cache; on a GPU, where every call costs
    a launch, the axis is one slice.
    """
    numbers = size if name() == "cupy" else NUMBERS_IN_CACHE
    step = max(1, numbers * length // max(1, size))
    return (slice(start, start + step) for start in range(0, length, step))


use("numpy")
