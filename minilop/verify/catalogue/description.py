"""The definition of a case, before its vectors are computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minilop.verify.case import Arrays, Case

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


@dataclass(frozen=True)
class Description:
    """See `Case` for the fields; `settings` contains the conventions and the hyperparameters."""

    id: str
    kind: str
    comment: str
    settings: Mapping[str, Any]
    sizes: Mapping[str, Any]
    steps: int
    seed: int
    flags: tuple[str, ...] = ()
    tolerances: Mapping[str, float] = field(default_factory=lambda: TOLERANCES)

    def case(self, inputs: Arrays) -> Case:
        """The case with its inputs, without expected results."""
        is_number = {name: type(value) in (int, float) for name, value in self.settings.items()}
        return Case(
            id=self.id,
            kind=self.kind,
            comment=self.comment,
            flags=self.flags,
            conventions={name: value for name, value in self.settings.items() if not is_number[name]},
            hyperparameters={name: value for name, value in self.settings.items() if is_number[name]},
            sizes=self.sizes,
            steps=self.steps,
            tolerances=self.tolerances,
            seed=self.seed,
            inputs=inputs,
        )
