"""Choosing the array module, and what is said where it cannot be had."""

import ctypes
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import device, host

from minilop import backend
from minilop.backend import BackendError, xp
from minilop.experiment.memory import keep_freed_memory

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def numpy_afterwards() -> Iterator[None]:
    yield
    backend.use("numpy")


def fake_cupy(num_devices: int) -> ModuleType:
    """A CuPy that finds so many GPUs; as the real one does, it raises where there is none."""

    class CUDARuntimeError(RuntimeError):
        pass

    def get_device_count() -> int:
        if not num_devices:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return num_devices

    cupy: Any = ModuleType("cupy")
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=get_device_count)
    )
    return cupy


def test_numpy_is_there_from_the_start() -> None:
    assert backend.name() == "numpy"
    assert xp.exp is np.exp
    assert xp.asarray([1.0]).dtype == np.float64


def test_names_that_numpy_loads_only_on_demand_are_found() -> None:
    assert xp.testing.assert_array_equal is np.testing.assert_array_equal


def test_a_name_that_numpy_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        xp.no_such_function  # noqa: B018


def test_cupy_that_is_not_installed_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # what Python keeps for a module that cannot be imported
    with pytest.raises(BackendError, match=r'pip install -e "\.\[cupy\]"') as raised:
        backend.use("cupy")
    assert ".[cupy12]" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_cupy_without_a_gpu_is_one_sentence_about_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(num_devices=0))
    with pytest.raises(BackendError, match="no CUDA-capable device is detected.*nvidia-smi") as raised:
        backend.use("cupy")
    assert "--backend numpy" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_cupy_with_a_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy(num_devices=1)
    cupy.exp = lambda x: "on the device"
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    backend.use("cupy")
    assert backend.name() == "cupy"
    assert xp.exp(0) == "on the device"


def test_no_name_of_the_former_module_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(num_devices=1))
    backend.use("cupy")
    with pytest.raises(AttributeError):
        xp.tanh  # noqa: B018


def test_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(BackendError, match="no backend 'jax'; choose numpy or cupy"):
        backend.use("jax")


def test_a_refused_choice_leaves_the_module_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError):
        backend.use("cupy")
    assert backend.name() == "numpy"
    assert xp.exp is np.exp


def test_what_comes_back_to_the_host_is_a_numpy_array(array_module: str) -> None:
    fetched = host(device([[1.0, 2.0], [3.0, 4.0]]) * 2)
    assert type(fetched) is np.ndarray
    assert fetched.tolist() == [[2.0, 4.0], [6.0, 8.0]]


def test_waiting_for_the_device_waits_only_where_there_is_one(array_module: str) -> None:
    import strict_cupy

    strict_cupy.counts.reset()
    backend.synchronize()
    assert strict_cupy.counts.synchronisations == (1 if array_module == "strict" else 0)


@pytest.mark.parametrize("numbers_in_cache", [1, 7, 12, 119, 120, 1 << 17])
def test_blocks_cover_an_axis_once_and_fit_the_cache(numbers_in_cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of an array of 120 numbers with an axis of 10 has 12 numbers for each of its places."""
    monkeypatch.setattr(backend, "NUMBERS_IN_CACHE", numbers_in_cache)
    places = [np.arange(10)[each] for each in backend.blocks(10, 120)]
    assert np.concatenate(places).tolist() == list(range(10))
    assert all(len(each) == 1 or 12 * len(each) <= numbers_in_cache for each in places)
    assert len(places) == {1: 10, 7: 10, 12: 10, 119: 2}.get(numbers_in_cache, 1)


def test_on_a_gpu_an_axis_is_one_block(strict: Any) -> None:
    assert list(backend.blocks(10, 10 * backend.NUMBERS_IN_CACHE)) == [slice(0, 10)]


@pytest.mark.parametrize("length, size", [(0, 0), (3, 0)])
def test_an_empty_array_has_blocks_too(length: int, size: int, array_module: str) -> None:
    assert sum(len(range(length)[each]) for each in backend.blocks(length, size)) == length


def test_keeping_freed_memory_changes_no_number() -> None:
    before = np.arange(1_000_000.0)
    keep_freed_memory()
    after = np.arange(1_000_000.0)  # larger than glibc's threshold, so it lies in memory that is handled differently
    assert (before == after).all()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_keeping_freed_memory_does_nothing_on_other_systems(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", loaded.append)
    keep_freed_memory()
    assert not loaded


@pytest.mark.parametrize("library", [OSError("libc.so.6: no such file"), SimpleNamespace()])
def test_keeping_freed_memory_is_no_error_with_another_c_library(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str) -> Any:
        asked.append(name)
        if isinstance(library, OSError):
            raise library
        return library  # without mallopt

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    keep_freed_memory()
    assert asked == ["libc.so.6"]
