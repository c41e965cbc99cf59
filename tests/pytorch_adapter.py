"""The adapter of tests/pytorch_adapters, as `python -m minilop.verify run --adapter tests/pytorch_adapter.py:Adapter` takes it."""

from pytorch_adapters import curve, functions
from pytorch_adapters.learners import LearnerAdapter
from pytorch_adapters.linear import LinearAdapter
from pytorch_adapters.ppo import PPOAdapter
from pytorch_adapters.prediction import PredictionAdapter

KINDS = {"learner": LearnerAdapter, "linear": LinearAdapter, "prediction": PredictionAdapter, "ppo": PPOAdapter}


class Adapter:
    """Each kind of case has its own."""

    def load(self, case, parameters):
        if case.kind not in KINDS:
            raise NotImplementedError(case.kind)
        self.kind = KINDS[case.kind]()
        self.kind.load(case, parameters)

    def step(self, x, y, draws):
        return self.kind.step(x, y, draws)

    def set_state(self, state):
        self.kind.set_state(state)

    def call(self, function, arguments):
        return functions.call(function, arguments)

    def curve(self, case):
        return curve.curve(case)
