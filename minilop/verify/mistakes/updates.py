"""Mistakes of losses, of optimizers and of Shrink & Perturb's noise."""

from abc import ABC, abstractmethod
from typing import Any

from minilop.backend import Array, xp
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.networks import named


class Mistaken(LearnerReference):
    """A reference with short names for what its mistakes need."""

    @property
    def optimizer(self) -> Any:
        return self.learner.optimizer

    @property
    def of_weights(self) -> Array:
        """1 for weights, 0 for biases, (1, P)."""
        mask = xp.zeros_like(self.network.parameters)
        for name, view in named(self.network, mask):
            view[...] = float(name.startswith("weight"))
        return mask


# --- losses -----------------------------------------------------------------------------------------------------------


class OtherLoss(Mistaken, ABC):
    """Losses and gradient multiplied by numbers."""

    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        loss = self.loss

        def scaled(outputs: Array, targets: Array) -> tuple[Array, Array]:
            losses, output_gradient = loss(outputs, targets)
            of_losses, of_gradient = self.factors(outputs)
            return losses * of_losses, output_gradient * of_gradient

        self.loss = scaled

    @abstractmethod
    def factors(self, outputs: Array) -> tuple[float, float]:
        """Of losses and gradient, for outputs (1, O, B)."""


class LossSummedOverMiniBatch(OtherLoss):
    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1, outputs.shape[-1]


class SquaredErrorHalved(OtherLoss):
    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1 / 2, 1 / 2


class SquaredErrorDoubled(OtherLoss):
    def factors(self, outputs: Array) -> tuple[float, float]:
        return 2, 2


class LossAveragedOverOutputs(OtherLoss):
    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1 / outputs.shape[-2], 1 / outputs.shape[-2]


# --- weight decay and momentum ----------------------------------------------------------------------------------------


class OtherDecay(Mistaken):
    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        self.optimizer.regularized = self.regularized

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        return gradients + self.optimizer.weight_decay * self.of_weights * parameters


class DecayDoubled(OtherDecay):
    def regularized(self, parameters: Array, gradients: Array) -> Array:
        return gradients + 2 * self.optimizer.weight_decay * parameters


class DecayDecoupled(Mistaken):
    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        self.optimizer.regularized = lambda parameters, gradients: gradients

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.network.parameters *= 1 - self.optimizer.step_size * self.optimizer.weight_decay
        super().update(values, output_gradients)


class DecayNotScaledByStepSize(DecayDecoupled):
    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.network.parameters *= 1 - self.optimizer.weight_decay
        LearnerReference.update(self, values, output_gradients)


class OtherMomentum(Mistaken, ABC):
    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        parameters, optimizer = self.network.parameters, self.optimizer
        gradients = optimizer.regularized(parameters, self.network.gradients)
        parameters -= optimizer.step_size * self.velocity(optimizer.state["velocity"], gradients)

    @abstractmethod
    def velocity(self, velocity: Array, gradients: Array) -> Array:
        """What parameters move by, of `velocity`, which goes on by one step."""


class MomentumDampened(OtherMomentum):
    def velocity(self, velocity: Array, gradients: Array) -> Array:
        velocity *= self.optimizer.momentum
        velocity += (1 - self.optimizer.momentum) * gradients
        return velocity


class Nesterov(OtherMomentum):
    def velocity(self, velocity: Array, gradients: Array) -> Array:
        velocity *= self.optimizer.momentum
        velocity += gradients
        return gradients + self.optimizer.momentum * velocity


# --- Adam -------------------------------------------------------------------------------------------------------------


class OtherAdam(Mistaken):
    """The moments are right, what is made of them is not."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        parameters, before = self.network.parameters, self.network.parameters.copy()
        super().update(values, output_gradients)
        change = self.change(*self.optimizer.state.values())
        parameters[...] = before - self.optimizer.step_size * change

    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        """From moments and corrections, epsilon outside of the corrected root would be right."""
        return first / of_first / (xp.sqrt(second) + self.optimizer.epsilon) * xp.sqrt(of_second)


class AdamEpsilonInsideRoot(OtherAdam):
    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first / of_first / xp.sqrt(second / of_second + self.optimizer.epsilon)


class AdamPublishedCorrection(OtherAdam):
    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first * of_second / (xp.sqrt(second) + self.optimizer.epsilon)


class AdamUncorrected(OtherAdam):
    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first / (xp.sqrt(second) + self.optimizer.epsilon)


# --- noise ------------------------------------------------------------------------------------------------------------


class OtherNoise(Mistaken):
    def perturb(self, rule: ShrinkAndPerturb) -> None:
        self.network.parameters += self.scaled(rule.perturb_scale, rule.noise(self.learner.num_steps))

    def scaled(self, scale: float, noise: Array) -> Array:
        """sigma N(0, 1) would be right."""
        return scale * noise * self.of_weights


class NoiseScaledByStepSize(OtherNoise):
    def scaled(self, scale: float, noise: Array) -> Array:
        return self.optimizer.step_size * scale * noise


class NoiseAsVariance(OtherNoise):
    def scaled(self, scale: float, noise: Array) -> Array:
        return scale**0.5 * noise


class NoiseBeforeUpdate(Mistaken):
    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        if self.shrink_and_perturb:
            super().perturb(self.shrink_and_perturb)
        super().update(values, output_gradients)

    def perturb(self, rule: ShrinkAndPerturb) -> None:
        """It has been done."""
