"""The array module behind every algorithm: NumPy, or CuPy for the GPU.

    from minilop.backend import xp

`xp` has the attributes of the module that the last call of `use` chose (NumPy at first), so `xp.exp(x)` runs where the
arrays are. Host code (files, figures, counts that all runs share) imports NumPy as `np` and copies arrays from the
device with `to_host`.
"""

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

NUMBERS_IN_CACHE = 1 << 17

Array = Any  # numpy.ndarray or cupy.ndarray, depending on `xp`


class BackendError(RuntimeError):
    """The requested array module cannot be used here. The message says what to do."""


class _ArrayModule(ModuleType):
    """A module with the attributes of NumPy or CuPy. `use` fills its dictionary, so attribute access costs no more."""

    def __getattr__(self, name: str) -> Any:  # attributes that NumPy or CuPy loads on demand
        return getattr(self._module, name)


xp: Any = _ArrayModule("xp")


def use(module: str | ModuleType) -> None:
    """Choose the array module: "numpy", "cupy", or any module with NumPy's functions (the tests supply a strict one).

    Existing arrays are not converted, so call this function before building networks.
    Raises BackendError if CuPy or a GPU is missing.
    """
    chosen = module if isinstance(module, ModuleType) else _import(module)
    vars(xp).clear()
    vars(xp).update(vars(chosen), __name__="xp", _module=chosen)


def name() -> str:
    """The name of the array module in use, "numpy" or "cupy"."""
    return xp._module.__name__


def choose(values: Mapping[str, Any]) -> Any:
    """The entry of `values` for the array module in use, or the entry for "numpy" if there is none."""
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
    """A number as a float, or an array in the dtype of `array`, so that arithmetic with `array` keeps that dtype."""
    if isinstance(hyperparameter, (int, float)):
        return float(hyperparameter)
    return xp.asarray(hyperparameter, array.dtype)


def to_host(array: Array) -> np.ndarray:
    """`array` as a NumPy array. Data leave the device only through this function."""
    return xp._module.asnumpy(array) if hasattr(xp._module, "asnumpy") else np.asarray(array)


def synchronize() -> None:
    """Wait until the device has finished. Call it before reading a clock. Returns at once for NumPy."""
    if hasattr(xp._module, "cuda"):
        xp._module.cuda.get_current_stream().synchronize()


def blocks(length: int, size: int) -> Iterator[slice]:
    """Slices of an axis of `length`, so that temporary arrays can be made for one slice at a time.

    size   number of entries of the whole array; of one run if the slices are summed, because the order of a sum must
           not depend on the number of runs

    On a CPU, one slice of the array and a few temporary arrays of its size stay in the cache of a core. On a GPU, where
    every call costs a launch, there is one slice for the whole axis.
    """
    numbers = size if name() == "cupy" else NUMBERS_IN_CACHE
    step = max(1, numbers * length // max(1, size))
    return (slice(start, start + step) for start in range(0, length, step))


use("numpy")
