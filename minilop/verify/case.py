"""A case of the verification kit: its inputs, the expected results, and their tolerances.

A case consists of three files in `vectors/v1/<suite>/<name>/`. `case.json` describes it. `inputs.npz` and
`expected.npz` hold arrays whose names are paths:

    inputs      state/<quantity>/<layer>             before the first step; parameters are weight and bias
                x, y                                 one entry per step, (T, ...); x/<argument> if there are several
                draws/<purpose>/<layer>              one entry per step: the random numbers of the step, by slot
    expected    <phase>/<quantity>/<layer>           one entry per step, in the order of computation

A case is a single run: no array has a runs axis. Features come first and the batch last: inputs (I, B), weights (O, I)
or (O, C, k, k), biases and all other quantities of units (H,). Layers with weights are counted from 0.

A draw belongs to a slot, not to a position in a sequence. An implementation that replaces unit r uses row r of
`draws/fresh_weight`, so the wrong choice of a unit does not change later draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

PARAMETERS = ("weight", "bias", "normalization_scale", "normalization_bias", "weights", "log_std")

Arrays = dict[str, np.ndarray]


class VerifyError(Exception):
    """Nothing can be compared. The message is one sentence that states the problem and the remedy."""


@dataclass(frozen=True)
class Case:
    """One case. All arrays are float64 except those of choices and counts; `cast` converts them to float32.

    id                suite and name, "continual_backprop/contribution"
    kind              "learner", "linear", "prediction", "function", "ppo" or "curve": the protocol of the case
    comment           description in one sentence
    flags             the known mistakes (mistakes/) that the case is designed to catch
    conventions       choices by name, where the paper and published code differ
    hyperparameters   numbers by name
    sizes             of the network, the mini-batch and so on
    steps             T
    tolerances        by dtype: the allowed error, relative to the largest magnitude of the quantity in the whole case
    margins           by kind of choice (which unit, how many): the smallest relative distance from the opposite
                      decision. As long as it is far above the tolerance, rounding decides nothing
    seed              of all draws; `catalogue/` describes the draws
    """

    id: str
    kind: str
    comment: str
    flags: tuple[str, ...]
    conventions: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    sizes: Mapping[str, Any]
    steps: int
    tolerances: Mapping[str, float]
    seed: int
    dtype: str = "float64"
    margins: Mapping[str, float] = field(default_factory=dict)
    inputs: Arrays = field(default_factory=dict, repr=False)
    expected: Arrays = field(default_factory=dict, repr=False)

    @property
    def suite(self) -> str:
        """The part of `id` before the slash."""
        return self.id.split("/")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """Conventions and hyperparameters together."""
        return {**self.conventions, **self.hyperparameters}

    @property
    def tolerance(self) -> float:
        """The tolerance of the current dtype."""
        return self.tolerances[self.dtype]

    @property
    def initial_state(self) -> Arrays:
        """State before the first step, by "<quantity>/<layer>"."""
        return below(self.inputs, "state")

    @property
    def parameters(self) -> Arrays:
        """Parameters before the first step: "weight/0", "bias/0", ..."""
        return {name: array for name, array in self.initial_state.items() if last_quantity(name) in PARAMETERS}

    @property
    def quantities(self) -> tuple[str, ...]:
        """Full names of the expected quantities of a step, in order."""
        return tuple(self.expected)

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """The phases of a step, in order."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.expected))

    @cached_property
    def final_names(self) -> dict[str, str]:
        """Maps each name without a phase to the full name in the last phase that has this quantity."""
        return {name.split("/", 1)[1]: name for name in self.expected}

    def final_name(self, name: str) -> str:
        """The full name of the same quantity in the last phase that has it."""
        return self.final_names[name.split("/", 1)[1]]

    def example(self, step: int) -> tuple[Any, np.ndarray | None, Arrays]:
        """x, y and draws of a step; x is a dictionary if there are several arguments, y is None if there is none."""
        y = np.asarray(self.inputs["y"][step]) if "y" in self.inputs else None
        several = below_at(self.inputs, "x", step)
        return several or self.inputs["x"][step], y, below_at(self.inputs, "draws", step)

    def arguments(self, step: int) -> dict[str, Any]:
        """The arguments of a function: the arrays of one instance, and all settings by name."""
        settings = {name: value for name, value in self.settings.items() if name != "function"}
        return {**below_at(self.inputs, "x", step), **settings}

    def state_before(self, step: int) -> dict[str, Any]:
        """The reference's state before a step, by "<quantity>/<layer>", and the number of steps taken, "step"."""
        initial = self.initial_state
        if step:
            initial = {name: self.expected[self.final_names[name]][step - 1] for name in initial}
        return {**{name: np.array(array) for name, array in initial.items()}, "step": step}

    def cast(self, dtype: str) -> "Case":
        """The same case with all inputs in `dtype`, float32 or float64; the expected results keep their precision."""
        if dtype not in self.tolerances:
            raise VerifyError(f"{self.id} has tolerances for {' and '.join(self.tolerances)}, not for {dtype}.")
        inputs = {
            name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in self.inputs.items()
        }
        return replace(self, dtype=dtype, inputs=inputs)


def as_array(value: Any, what: str) -> np.ndarray:
    """`value` as a NumPy array. Raises VerifyError for ragged lists, tensors on a device and so on."""
    try:
        return np.asarray(value)
    except Exception:  # noqa: BLE001 - frameworks raise different exceptions
        raise VerifyError(
            f"{what} is not an array that NumPy can read; it must be a regular array on the host."
        ) from None


def below(arrays: Arrays, folder: str) -> Arrays:
    """The arrays whose names begin with `folder`/, by the remainder of their names."""
    start = f"{folder}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def below_at(arrays: Arrays, folder: str, step: int) -> Arrays:
    """The entries of one step of these arrays; an entry may be a single number."""
    return {name: np.asarray(array[step]) for name, array in below(arrays, folder).items()}


def last_quantity(name: str) -> str:
    """The quantity in "<phase>/<quantity>/<layer>", with or without a phase or a layer."""
    parts = [part for part in name.split("/") if not part.isdecimal()]
    return parts[-1]
