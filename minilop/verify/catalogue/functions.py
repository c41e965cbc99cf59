"""Builds the cases of single functions.

The kit calls `call(name, arguments)` of an adapter. The name is the setting `function`. The arguments are arrays
without a runs axis and the settings of the case, by name. The comments of the cases describe arguments and results.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host
from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.examples import in_float32, normals


class FunctionCases:
    """Descriptions of cases, and the functions that draw their arguments."""

    def __init__(self) -> None:
        self.descriptions: list[Description] = []
        self.makers: dict[str, Callable[[Case], Arrays]] = {}  # by case id; each draws the arguments (T, ...)

    def add(
        self,
        name: str,
        function: str,
        comment: str,
        make: Callable[[Case], Arrays],
        seed: int,
        flags: tuple[str, ...] = (),
        steps: int = 6,
        sizes: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """Add a case whose arguments are drawn by `make`."""
        case_id, settings = f"functions/{name}", {"function": function, **settings}
        self.descriptions.append(Description(case_id, "function", comment, settings, sizes or {}, steps, seed, flags))
        self.makers[case_id] = make

    def make_inputs(self, case: Case) -> Arrays:
        """The arguments by name."""
        return {f"x/{name}": array for name, array in self.makers[case.id](case).items()}


def numbers(case: Case, argument: str, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normal numbers (T, ...), different for each argument."""
    return in_float32(scale * normals(case.seed, f"verify {argument}", shape, case.steps))


def events(case: Case, argument: str, *shape: int, share: float) -> np.ndarray:
    """Bools (T, ...); a fraction of about `share` is true."""
    drawn = draws.uniform(case.seed, f"verify {argument}", shape, step=np.arange(case.steps), dtype="float64")
    return to_host(drawn) < share


def integers(case: Case, argument: str, *shape: int, high: int) -> np.ndarray:
    """Integers (T, ...) from 0 to `high` - 1."""
    return to_host(draws.integers(case.seed, f"verify {argument}", shape, high, step=np.arange(case.steps)))
