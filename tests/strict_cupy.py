"""A stand-in for CuPy that refuses what CuPy refuses, for machines without a GPU.

    from strict_cupy import cupy, counts
    backend.use(cupy)                  # now backend.name() is "cupy", and every branch goes the GPU's way

Its arrays are wrappers around NumPy's and not NumPy arrays themselves, so that a program which mixes up host and device
fails here as it would fail there. What it enforces:

    names         the module has the names of the lists below and no other; each is in CuPy's documented interface
    conversion    an array becomes a NumPy array by `asnumpy` (or `.get()`) alone; `np.asarray(a)` is a TypeError
    mixing        a NumPy array among the arguments of an operator or function is a TypeError, as the value of an
                  assignment a ValueError; Python's and NumPy's scalars are accepted, and NumPy arrays as indices
    scalars       a[0] and a.sum() are arrays of no dimension that live on the device, not numbers
    keywords      `out=` must be one of its own arrays; a ufunc has no `where=` (but `copyto` has); `argsort` sorts
                  stably or not at all
    waiting       `counts` counts what makes the host wait: bool(a), int(a), float(a), a.item(), shapes that depend on
                  data (`nonzero`, `a[mask]`), streams' synchronize, all in `counts.synchronisations`; and in
                  `counts.transfers` the arrays that leave the device, in `counts.uploads` those that enter it

It is stricter than CuPy where CuPy would do something behind our backs: NumPy's own functions of device arrays
(`np.exp(a)`), lists of device arrays in `asarray`, NumPy arrays assigned by index arrays. What it cannot show, because the numbers are made by NumPy on the host: speed, CuPy's order of summation and rounding, its
reading of indices that are out of bounds, overlapping in-place assignments, and its rules of type promotion where they
are not NumPy's.
"""

import operator
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

DTYPES = "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
CONSTANTS = "inf nan pi e newaxis finfo iinfo dtype"

CREATION = "empty empty_like ones ones_like zeros zeros_like full full_like arange linspace eye identity copy diag"
SHAPES = """reshape ravel moveaxis swapaxes transpose expand_dims squeeze broadcast_to broadcast_arrays concatenate stack
    vstack hstack split tile repeat flip roll pad ascontiguousarray meshgrid tril triu"""
UFUNCS = """add subtract multiply divide true_divide floor_divide remainder mod power negative absolute sign exp exp2
    expm1 log log2 log10 log1p sqrt square reciprocal sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh maximum
    minimum fmax fmin floor ceil trunc rint isfinite isinf isnan bitwise_and bitwise_or bitwise_xor invert left_shift
    right_shift equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not"""
REDUCTIONS = """sum prod mean std var max min amax amin any all argmax argmin cumsum cumprod nansum nanmean nanmax nanmin
    median percentile quantile count_nonzero diff"""
SELECTION = "take take_along_axis clip searchsorted sort"
PRODUCTS = "matmul dot vdot inner outer tensordot einsum trace"
COMPARISON = "allclose isclose array_equal abs shares_memory may_share_memory"
DATA_DEPENDENT = "nonzero flatnonzero argwhere unique"  # the host waits for the shape of the result
LINALG = "svd norm qr inv solve eigh"

METHODS = """sum prod mean std var max min any all argmax argmin cumsum cumprod argsort copy ravel flatten reshape
    swapaxes transpose squeeze astype take repeat clip dot trace round view"""
BINARY = "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul"
COMPARISONS = "eq ne lt le gt ge"


class Counts:
    """How often the host had to wait for the device, and how many arrays crossed between the two."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.synchronisations = 0
        self.transfers = 0
        self.uploads = 0


counts = Counts()


class ndarray:
    """An array on the device that is not there: every access to its numbers goes through this class."""

    __slots__ = ("_host",)
    __array_ufunc__ = None  # NumPy's operators leave the work to ours, and its functions refuse
    __hash__ = None

    def __init__(self, host: np.ndarray):
        self._host = host

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: ndarray(self._host.T))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:  # for messages of failed tests only; CuPy would transfer
        return f"device {self._host!r}"

    def __getitem__(self, key: Any) -> "ndarray":
        places, has_mask = _key(key)
        counts.synchronisations += has_mask
        return ndarray(self._host[places])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")  # noqa: TRY004 (as CuPy does)
        self._host[_key(key)[0]] = _unwrap(value)

    def fill(self, value: Any) -> None:
        self._host.fill(_unwrap(value))

    def get(self) -> np.ndarray:
        counts.transfers += 1
        return self._host.copy()

    def _wait(self) -> np.ndarray:
        counts.synchronisations += 1
        return self._host

    def item(self) -> Any:
        return self._wait().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self._wait())

    def __int__(self) -> int:
        return int(self._wait())

    def __float__(self) -> float:
        return float(self._wait())

    def __index__(self) -> int:
        return operator.index(self._wait())

    def __neg__(self) -> "ndarray":
        return ndarray(np.asarray(-self._host))

    def __abs__(self) -> "ndarray":
        return ndarray(np.asarray(abs(self._host)))

    def __invert__(self) -> "ndarray":
        return ndarray(np.asarray(~self._host))


def _add_operators() -> None:
    def forward(function: Callable) -> Callable:
        return lambda self, other: _wrap(function(self._host, _unwrap(other)))

    def reflected(function: Callable) -> Callable:
        return lambda self, other: _wrap(function(_unwrap(other), self._host))

    def in_place(function: Callable) -> Callable:
        def update(self: ndarray, other: Any) -> ndarray:
            function(self._host, _unwrap(other))
            return self

        return update

    for name in BINARY.split():
        function = getattr(operator, f"__{name}__")
        setattr(ndarray, f"__{name}__", forward(function))
        setattr(ndarray, f"__r{name}__", reflected(function))
        setattr(ndarray, f"__i{name}__", in_place(getattr(operator, f"__i{name}__")))
    for name in COMPARISONS.split():
        setattr(ndarray, f"__{name}__", forward(getattr(operator, f"__{name}__")))
    for name in METHODS.split():
        setattr(ndarray, name, _on_device(getattr(np.ndarray, name)))


def _key(key: Any) -> tuple[tuple, bool]:
    """An index for the array inside, which gives a view even of a single number; and whether a mask is in it."""
    places = []
    for place in key if isinstance(key, tuple) else (key,):
        if isinstance(place, (np.ndarray, list)):
            place = _asarray(place)  # CuPy uploads these by itself
        if not isinstance(place, (ndarray, slice, int, np.integer, type(None), type(Ellipsis))):
            raise IndexError(f"{place!r} is no index")
        places.append(place._host if isinstance(place, ndarray) else place)
    has_mask = any(isinstance(place, np.ndarray) and place.dtype == bool for place in places)
    if not any(place is Ellipsis for place in places):
        places.append(Ellipsis)
    return tuple(places), has_mask


def _unwrap(argument: Any) -> Any:
    """What is inside of an argument; refuses NumPy arrays and everything else that would have to be uploaded."""
    if isinstance(argument, ndarray):
        return argument._host
    if isinstance(argument, (int, float, complex, np.generic)):
        return argument
    raise TypeError(f"Unsupported type {type(argument)}")


def _unwrap_all(argument: Any) -> Any:
    """The same for arguments of functions, among which are shapes, types, names and sequences of arrays."""
    if argument is None or isinstance(argument, (str, type, np.dtype)):
        return argument
    if isinstance(argument, (tuple, list)):
        return type(argument)(_unwrap_all(part) for part in argument)
    return _unwrap(argument)


def _wrap(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return (
            type(result)(_wrap(part) for part in result) if type(result) in (tuple, list) else tuple(map(_wrap, result))
        )
    return ndarray(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic, bool)) else result


def _on_device(function: Callable, refused: tuple[str, ...] = (), waits: bool = False) -> Callable:
    """`function` of NumPy, from device arrays to device arrays."""

    def call(*args: Any, out: ndarray | None = None, **kwargs: Any) -> Any:
        for name in refused:
            if name in kwargs:
                raise TypeError(f"Wrong arguments {name!r}")
        counts.synchronisations += waits
        host_args, host_kwargs = _unwrap_all(args), {name: _unwrap_all(value) for name, value in kwargs.items()}
        if out is None:
            return _wrap(function(*host_args, **host_kwargs))
        if not isinstance(out, ndarray):
            raise TypeError(f"out= must be a device array, not {type(out)}")
        function(*host_args, out=out._host, **host_kwargs)
        return out

    return call


def _asarray(a: Any, dtype: Any = None, order: str | None = None) -> ndarray:
    """The only way in: from a NumPy array, a number, or a list of numbers."""
    if isinstance(a, ndarray):
        return ndarray(np.asarray(a._host, dtype, order))
    counts.uploads += 1
    return ndarray(np.array(a, dtype, order=order or "K"))  # a list of device arrays fails in their __array__


def _array(a: Any, dtype: Any = None, copy: bool = True, order: str = "K") -> ndarray:
    inside = _asarray(a, dtype)
    return inside.copy() if copy and isinstance(a, ndarray) else inside


def _asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None) -> np.ndarray:
    """The only way out; a NumPy array stays what it is."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def _copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: ndarray | None = None) -> None:
    if not isinstance(dst, ndarray):
        raise TypeError(f"Unsupported type {type(dst)}")
    np.copyto(dst._host, _unwrap(src), casting, True if where is None else _unwrap(where))


def _argsort(a: ndarray, axis: int = -1, kind: str | None = None) -> ndarray:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return ndarray(np.argsort(_unwrap(a), axis=axis, kind="stable"))


def _where(condition: ndarray, *choices: Any) -> Any:
    if not isinstance(condition, ndarray):
        raise TypeError(f"Unsupported type {type(condition)}")
    counts.synchronisations += not choices
    return _wrap(np.where(condition._host, *map(_unwrap, choices)))


def _synchronize() -> None:
    counts.synchronisations += 1


def _make_module() -> ModuleType:
    module: Any = ModuleType("cupy", "CuPy's names over the strict arrays of this file.")
    for name in (DTYPES + " " + CONSTANTS).split():
        setattr(module, name, getattr(np, name))
    for names in (CREATION, SHAPES, REDUCTIONS, SELECTION, PRODUCTS, COMPARISON):
        for name in names.split():
            setattr(module, name, _on_device(getattr(np, name)))
    for name in UFUNCS.split():
        setattr(module, name, _on_device(getattr(np, name), refused=("where",)))
    for name in DATA_DEPENDENT.split():
        setattr(module, name, _on_device(getattr(np, name), waits=True))
    module.linalg = SimpleNamespace(**{name: _on_device(getattr(np.linalg, name)) for name in LINALG.split()})
    module.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_on_device(np.lib.stride_tricks.as_strided)))
    module.ndarray = ndarray
    module.asarray, module.array, module.asnumpy = _asarray, _array, _asnumpy
    module.copyto, module.argsort, module.where = _copyto, _argsort, _where
    stream = SimpleNamespace(synchronize=_synchronize)
    module.cuda = SimpleNamespace(get_current_stream=lambda: stream)
    return module


_add_operators()
cupy = _make_module()
