"""The array modules on which the numerical tests run: NumPy, and a strict stand-in for CuPy (strict_cupy.py).

Tests run on NumPy. At least one test of every operation, rule and problem runs on the stand-in as well:

    from conftest import device, host, on_both_array_modules

    @on_both_array_modules
    def test_relu_keeps_positive_values():
        assert host(Activation("relu").forward(device([[-1.0, 2.0]]))).tolist() == [[0.0, 2.0]]

A test that takes the argument `array_module` runs on both, too; the argument is "numpy" or "strict". Inside, `xp` of
`minilop.backend` is the chosen module. NumPy arrays go to the device by `device(array)` and come back by `host(array)`:
the stand-in refuses to mix the two, and so does CuPy.

Tests run in one process per core by pytest-xdist, each with one BLAS thread; without pytest-xdist, one after the other.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

# Before NumPy is imported; the processes of pytest-xdist inherit them.
os.environ.update({name: "1" for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")})

import numpy as np
import pytest
import strict_cupy

from minilop import backend
from minilop.backend import Array, xp


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Without pytest-xdist, accept and ignore the options that setup.cfg gives it."""
    if not pluginmanager.hasplugin("xdist"):
        for option in ("--numprocesses", "--dist"):
            parser.addoption(option, help="ignored without pytest-xdist")


on_both_array_modules = pytest.mark.usefixtures("array_module")


@pytest.fixture(params=["numpy", "strict"])
def array_module(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on NumPy and on the stand-in for CuPy; NumPy is back afterwards."""
    backend.use("numpy" if request.param == "numpy" else strict_cupy.cupy)
    yield request.param
    backend.use("numpy")


@pytest.fixture
def strict() -> Iterator[strict_cupy.Counts]:
    """Run the test on the stand-in alone; gives its counts of synchronisations, transfers and uploads, at zero."""
    backend.use(strict_cupy.cupy)
    strict_cupy.counts.reset()
    yield strict_cupy.counts
    backend.use("numpy")


def device(values: Any, dtype: Any = None) -> Array:
    """`values`, a NumPy array or nested lists, as an array of the module in use."""
    return xp.asarray(values, dtype)


def host(array: Array) -> np.ndarray:
    """An array of the module in use as a NumPy array."""
    return backend.to_host(array)


def slope(function: Callable[[np.ndarray], float], point: np.ndarray, direction: np.ndarray) -> float:
    """The derivative of `function` at `point` along `direction`, by the central difference of float64 numbers.

    For values and derivatives near 1 its error is about 1e-12 by the step's square and 1e-10 by rounding.
    """
    step = 1e-6
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)
