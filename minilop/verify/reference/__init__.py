"""The reference as an adapter, which makes the vectors and is judged by them as any other is.

Rules that replace units are written a second time here; all else is the library's own code.

Each kind of case has its own player, `REFERENCES`; mistakes/ has players that make one of the known mistakes.
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
    """All cases; what `python -m minilop.verify run --adapter minilop.verify.reference:Reference` judges."""

    def load(self, case: Case, parameters: dict[str, Any]) -> None:
        self.player = REFERENCES[case.kind]()
        self.player.load(case, parameters)

    def step(self, x: Any, y: Any, draws: dict[str, Any]) -> dict[str, Any]:
        return self.player.step(x, y, draws)

    def set_state(self, state: dict[str, Any]) -> None:
        self.player.set_state(state)

    def call(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return FunctionReference().call(function, arguments)

    def curve(self, case: Case) -> Any:
        return CurveReference().curve(case)
