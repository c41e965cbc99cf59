"""An adapter connects the kit with an implementation: a class that the user writes, with NumPy arrays in and out.

    class Adapter:
        def load(self, case, parameters): ...        start a case: settings in `case`, initial parameters by name
        def step(self, x, y, draws): ...             learn from one example or mini-batch; returns {quantity: array}
        def set_state(self, state): ...              optional: adopt the reference's state, for the mode `resync`
        def call(self, function, arguments): ...     optional: for cases of single functions; returns {quantity: array}
        def curve(self, case): ...                   optional: for cases of curves; returns (runs, bins)

`step` and `call` return the quantities that the implementation has. A full name such as "optimizer/weight/0" includes
the phase; a name without the phase, "weight/0", is the value at the end of the step. Quantities that are not returned
are not compared. For a case that the adapter does not support (another learner, another convention), it raises
NotImplementedError in `load`, `call` or `curve`, and the case is skipped.
"""

import difflib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minilop.verify.case import Arrays, Case, VerifyError, as_array
from minilop.verify.comparison import is_correct
from minilop.verify.curves import checked_errors

Mode = Literal["resync", "free"]


class NotCovered(Exception):
    """The adapter does not support this case."""


def load_adapter(name: str) -> type:
    """The class FILE:CLASS, or MODULE:CLASS. Raises VerifyError if it cannot be imported."""
    source, _, class_name = name.rpartition(":")
    if not source:
        raise VerifyError(f"Name the adapter as FILE:CLASS, such as my_adapter.py:Adapter, not {name!r}.")
    try:
        module = _import_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except FileNotFoundError:
        raise VerifyError(f"There is no file {source}.") from None
    except (Exception, SystemExit) as problem:  # whatever the user's file raises
        raise VerifyError(f"{source} cannot be imported: {type(problem).__name__}: {problem}") from problem
    found = getattr(module, class_name, None)
    if not callable(found):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise VerifyError(f"{source} has no class {class_name}; it has {', '.join(classes) or 'none'}.")
    return found


def make_adapter(adapter_class: Callable[[], Any]) -> Any:
    """A new adapter. Raises VerifyError if its constructor fails when called without arguments."""
    try:
        return adapter_class()
    except (Exception, SystemExit) as problem:
        name = getattr(adapter_class, "__name__", "The adapter")
        raise VerifyError(f"{name}() raised {type(problem).__name__}: {problem}") from problem


def check_methods(adapter: Any, mode: Mode) -> None:
    """Raises VerifyError if an adapter has no methods, or lacks a method that every case of a learner needs."""
    there = {name for name in ("load", "step", "set_state", "call", "curve") if callable(getattr(adapter, name, None))}
    if not there & {"load", "call", "curve"}:
        says = "has none of the methods load, call and curve"
    elif "load" in there and "step" not in there:
        says = "has a method load but no method step; add step"
    elif "load" in there and mode == "resync" and "set_state" not in there:
        says = "has no method set_state, which --mode resync needs; add it or use --mode free"
    else:
        return
    raise VerifyError(f"The adapter {type(adapter).__name__} {says}.")


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module  # as an import would; dataclasses in the file look it up
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # the file may import its neighbors
    specification.loader.exec_module(module)
    return module


def run_adapter(adapter: Any, case: Case, mode: Mode = "free") -> Arrays:
    """What the adapter returned at each step, by full name, (T, ...).

    mode   "free": the adapter keeps its own state from step to step; "resync": it adopts the reference's state before
           each step, so every step is judged separately. Functions and curves have no state and ignore the mode.

    Raises NotCovered if the adapter does not support the case, and VerifyError for anything that cannot be compared.
    """
    if case.kind == "curve":
        return {"curve/error": _curve(adapter, case)}
    returned: list[dict[str, np.ndarray]] = []
    if case.kind == "function":
        call = _method(adapter, "call", case)
        for step in range(case.steps):
            arguments = deepcopy(case.arguments(step))
            with _adapter_errors(case, "call", step):
                found = call(case.settings["function"], arguments)
            returned.append(_checked(case, "call", step, found))
        return _stacked(case, returned)
    load, take_step = _method(adapter, "load", case), _method(adapter, "step", case)
    set_state = _method(adapter, "set_state", case) if mode == "resync" else None
    with _adapter_errors(case, "load"):
        load(deepcopy(case), {name: array.copy() for name, array in case.parameters.items()})
    for step in range(case.steps):
        if set_state:
            state = case.state_before(step)
            with _adapter_errors(case, "set_state", step):
                set_state({name: _as(array, case.dtype) for name, array in state.items()})
        x, y, draws = case.example(step)
        with _adapter_errors(case, "step", step):
            found = take_step(deepcopy(x), deepcopy(y), deepcopy(draws))
        returned.append(_checked(case, "step", step, found))
    return _stacked(case, returned)


def full_name(case: Case, name: str) -> str:
    """The name of a quantity with its phase. Raises VerifyError if the case has no such quantity."""
    if name in case.expected:
        return name
    if name in case.final_names:
        return case.final_names[name]
    raise VerifyError(unknown_quantities(case, [name]))


def unknown_quantities(case: Case, names: Sequence[Any]) -> str:
    """A sentence about names that a case does not have, with the closest existing name."""
    near = difflib.get_close_matches(str(names[0]), [*case.expected, *case.final_names], n=1)
    meant = f" (did you mean {near[0]}?)" if near and len(names) == 1 else ""
    return (
        f"{case.id} has no quantity {', '.join(map(repr, names))}{meant}; case.quantities, or "
        f"`python -m minilop.verify explain {case.id}`, lists all {len(case.expected)}."
    )


def check_array(case: Case, name: str, array: Any, where: str, steps: int | None = None) -> np.ndarray:
    """`array` as a NumPy array. Raises VerifyError if it holds no numbers or has another shape."""
    array = as_array(array, f"{where}: {name}")
    if array.dtype.kind not in "fiub":
        raise VerifyError(f"{where}: {name} must be an array of numbers, not of {array.dtype}.")
    expected = case.expected[name].shape[1:] if steps is None else (steps, *case.expected[name].shape[1:])
    if array.shape != expected:
        raise VerifyError(f"{where}: {name} must have the shape {expected}, not {array.shape}.")
    return array


def _checked(case: Case, method: str, step: int, found: Any) -> Arrays:
    where = f"{case.id}, step {step}"
    if not isinstance(found, Mapping):
        raise VerifyError(f"{where}: {method} must return a dictionary of arrays, not {type(found).__name__}.")
    if unknown := [name for name in found if name not in case.expected and name not in case.final_names]:
        raise VerifyError(f"{where}: {unknown_quantities(case, unknown)}")
    arrays: Arrays = {}
    for name, array in found.items():
        name = full_name(case, name)
        if name in arrays:
            raise VerifyError(f"{where}: {name} was returned both with and without its phase; return it once.")
        arrays[name] = check_array(case, name, array, where)
    for name, final in [(name, case.final_name(name)) for name in arrays]:
        is_shared = name != final and final in arrays and np.shares_memory(arrays[name], arrays[final])
        if is_shared and not is_correct(case, final, step, case.expected[name]):
            raise VerifyError(f"{where}: {name} and {final} share memory but must differ here; return copies.")
    return {name: array.copy() for name, array in arrays.items()}


def _stacked(case: Case, returned: list[Arrays]) -> Arrays:
    names = returned[0].keys()
    for step, arrays in enumerate(returned):
        if arrays.keys() != names:
            changed = ", ".join(sorted(arrays.keys() ^ names))
            raise VerifyError(f"{case.id}, step {step}: return the same quantities at every step; {changed} differs.")
    return {name: np.stack([arrays[name] for arrays in returned]) for name in case.expected if name in names}


def _curve(adapter: Any, case: Case) -> np.ndarray:
    curve = _method(adapter, "curve", case)
    with _adapter_errors(case, "curve"):
        found = curve(deepcopy(case))
    return checked_errors(case, found)


def _method(adapter: Any, name: str, case: Case) -> Any:
    method = getattr(adapter, name, None)
    if callable(method):
        return method
    if name in ("load", "call", "curve"):
        raise NotCovered(f"it has no method {name}")
    raise VerifyError(f"The adapter {type(adapter).__name__} has no method {name}, which {case.id} needs.")


@contextmanager
def _adapter_errors(case: Case, method: str, step: int | None = None) -> Iterator[None]:
    """Turn any exception of the adapter into a sentence."""
    try:
        yield
    except (Exception, SystemExit) as problem:
        # In later calls NotImplementedError is an error of the adapter: PyTorch raises it for a missing kernel.
        is_first = method in ("load", "curve") or (method == "call" and step == 0)
        if isinstance(problem, NotImplementedError) and is_first:
            raise NotCovered(str(problem) or "NotImplementedError") from None
        where = case.id if step is None else f"{case.id}, step {step}"
        said = " ".join(str(problem).split())  # in one line, whatever the message
        raise VerifyError(
            f"{where}: {method} raised {type(problem).__name__}{_adapter_line(problem)}: {said}"
        ) from problem


def _adapter_line(problem: BaseException) -> str:
    """The last line of the adapter's own file in the traceback."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _as(value: Any, dtype: str) -> Any:
    return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
