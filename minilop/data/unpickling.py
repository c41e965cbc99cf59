"""Pickles that hold nothing but arrays, read without running anything else.

A pickle is a program: it may name any function of any module and call it. The official CIFAR and ImageNet 32 x 32 files
need only the few functions by which NumPy rebuilds its arrays, so this reader knows only those, under the module names
of old and of new NumPy, and refuses a pickle that names another before anything of it has been called.
"""

import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import IO, Any

import numpy as np

from minilop.data.errors import DataError


class _Refused(Exception):
    """The pickle asks for something that is no array."""


def _plain_dtype(*arguments: Any) -> np.dtype:
    """NumPy's dtype of numbers or text; one of Python objects, or with fields, is no picture's."""
    dtype = np.dtype(*arguments)
    if dtype.kind not in "biufSU":
        raise _Refused(f"an array of type {dtype}")
    return dtype


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which pickles of the oldest binary protocol store bytes."""
    if encoding != "latin1":
        raise _Refused(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _numpy(module: str, name: str) -> Any:
    return getattr(__import__(f"numpy._core.{module}", fromlist=[name]), name)


ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _latin1_bytes,
    **{
        (f"numpy.{core}.{module}", name): _numpy(module, name)
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    },
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def unpickle_arrays(source: str | os.PathLike[str] | IO[bytes], name: str | None = None) -> Any:
    """What a pickle of arrays, numbers, texts, lists and dictionaries holds; texts of Python 2 are read as latin1.

    source  a path, or an open binary file, which is read to the end of its pickle and left open
    name    what to call it in a message, where it has no path of its own

    Raises DataError where the file cannot be read, is damaged, or asks for anything else, which is then not run.
    """
    name = name or str(source)
    try:
        with open(source, "rb") if isinstance(source, str | os.PathLike) else nullcontext(source) as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except _Refused as refused:
        raise DataError(
            f"{name} asks for {refused} where only arrays are admitted, and nothing of it was run; "
            "get the file again from its official source."
        ) from None
    except OSError as problem:
        reason = problem.strerror or problem
        raise DataError(f"{name} cannot be read ({reason}); check that it is a file you may read.") from None
    except Exception as problem:  # noqa: BLE001 - damage surfaces as almost any error
        raise DataError(
            f"{name} is not a pickle, or is damaged or truncated ({type(problem).__name__}); download it again."
        ) from None
