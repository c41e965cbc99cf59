"""The reference as an adapter. It generates the vectors and can be checked against them like any other adapter.

The rules that replace units are implemented here a second time; everything else is the library's own code.

Each kind of case has its own reference in `REFERENCES`; mistakes/ has references that make one known mistake.
"""

from typing import Any

from minilop.verify.case import Case
from minilop.verify.reference.curves import CurveReference
from minilop.verify.reference.functions import FunctionReference
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.linear import LinearReference
from minilop.verify.reference.ppo import PPOReference
from minilop.verify.reference.prediction import PredictionReference

REFERENCES: dict[str, type] = {
    "learner": LearnerReference,
    "linear": LinearReference,
    "prediction": PredictionReference,
    "function": FunctionReference,
    "ppo": PPOReference,
    "curve": CurveReference,
}


class Reference:
    """Runs all cases: `python -m minilop.verify run --adapter minilop.verify.reference:Reference`."""

    def load(self, case: Case, parameters: dict[str, Any]) -> None:
        self.reference = REFERENCES[case.kind]()
        self.reference.load(case, parameters)

    def step(self, x: Any, y: Any, draws: dict[str, Any]) -> dict[str, Any]:
        return self.reference.step(x, y, draws)

    def set_state(self, state: dict[str, Any]) -> None:
        self.reference.set_state(state)

    def call(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return FunctionReference().call(function, arguments)

    def curve(self, case: Case) -> Any:
        return CurveReference().curve(case)
