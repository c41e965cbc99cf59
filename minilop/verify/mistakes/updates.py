"""Mistakes in losses, in optimizers and in the noise of Shrink & Perturb."""

from abc import ABC, abstractmethod
from typing import Any

from minilop.backend import Array, xp
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb
from minilop.verify.case import Arrays, Case
from minilop.verify.mistakes.conditions import Family, every, has, has_mini_batch, several_outputs, uses
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.networks import named

LOSSES = "minilop/losses.py"
SGD = "minilop/optimizers/sgd.py"
ADAM = "minilop/optimizers/adam.py"
NOISE = "minilop/plasticity/shrink_and_perturb.py"

MISTAKES = Family()

decays = every(uses("weight_decay"), has(optimizer=("sgd", "adam")))


class Mistaken(LearnerReference):
    """A reference with shortcuts to the objects that mistakes change."""

    @property
    def optimizer(self) -> Any:
        return self.learner.optimizer

    @property
    def of_weights(self) -> Array:
        """A mask with 1 for weights and 0 for biases, (1, P)."""
        mask = xp.zeros_like(self.network.parameters)
        for name, view in named(self.network, mask):
            view[...] = float(name.startswith("weight"))
        return mask


# --- losses -----------------------------------------------------------------------------------------------------------


class OtherLoss(Mistaken, ABC):
    """Losses and gradients multiplied by constants."""

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
        """The factors of the losses and of the gradient, for outputs (1, O, B)."""


@MISTAKES.from_class("loss_summed_over_mini_batch", LOSSES, has_mini_batch)
class LossSummedOverMiniBatch(OtherLoss):
    """The gradient is that of the summed loss over the mini-batch; it must be the gradient of the mean loss."""

    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1, outputs.shape[-1]


@MISTAKES.from_class("squared_error_halved", LOSSES, has(loss="squared_error"))
class SquaredErrorHalved(OtherLoss):
    """The squared error has a factor 1/2; this case has no such factor, so gradients are twice as large."""

    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1 / 2, 1 / 2


@MISTAKES.from_class("half_squared_error_doubled", LOSSES, has(loss="half_squared_error"))
class SquaredErrorDoubled(OtherLoss):
    """The squared error lacks the factor 1/2 that this case requires."""

    def factors(self, outputs: Array) -> tuple[float, float]:
        return 2, 2


@MISTAKES.from_class(
    "loss_averaged_over_outputs", LOSSES, every(several_outputs, has(loss=("squared_error", "half_squared_error")))
)
class LossAveragedOverOutputs(OtherLoss):
    """The squared error is averaged over outputs, as torch.nn.MSELoss does; it must be summed over them."""

    def factors(self, outputs: Array) -> tuple[float, float]:
        return 1 / outputs.shape[-2], 1 / outputs.shape[-2]


# --- weight decay and momentum ----------------------------------------------------------------------------------------


@MISTAKES.from_class("decay_skips_biases", SGD, decays)
class OtherDecay(Mistaken):
    """Weight decay does not act on the biases; it must act on them, too."""

    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        self.optimizer.regularized = self.regularized

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        return gradients + self.optimizer.weight_decay * self.of_weights * parameters


@MISTAKES.from_class("decay_doubled", SGD, decays)
class DecayDoubled(OtherDecay):
    """2 weight_decay times the parameter is added to the gradient; it must be weight_decay times the parameter, the
    gradient of half the squared norm."""

    def regularized(self, parameters: Array, gradients: Array) -> Array:
        return gradients + 2 * self.optimizer.weight_decay * parameters


@MISTAKES.from_class(
    "decay_decoupled",
    SGD,
    every(decays, lambda case: bool(case.settings["optimizer"] == "adam" or case.settings.get("momentum"))),
)
class DecayDecoupled(Mistaken):
    """Weight decay is decoupled from the gradient, as in AdamW; it must be added to the gradient."""

    def load(self, case: Case, parameters: Arrays) -> None:
        super().load(case, parameters)
        self.optimizer.regularized = lambda parameters, gradients: gradients

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.network.parameters *= 1 - self.optimizer.step_size * self.optimizer.weight_decay
        super().update(values, output_gradients)


@MISTAKES.from_class("decay_not_scaled_by_step_size", SGD, decays)
class DecayNotScaledByStepSize(DecayDecoupled):
    """Parameters shrink by weight_decay at each step; the decay must be added to the gradient, so that the step size
    scales it."""

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
        """Update `velocity` in place. Returns the direction of the step."""


@MISTAKES.from_class("momentum_dampened", SGD, uses("momentum"))
class MomentumDampened(OtherMomentum):
    """The gradient is multiplied by 1 - momentum in the velocity; it must be added unscaled."""

    def velocity(self, velocity: Array, gradients: Array) -> Array:
        velocity *= self.optimizer.momentum
        velocity += (1 - self.optimizer.momentum) * gradients
        return velocity


@MISTAKES.from_class("nesterov", SGD, uses("momentum"))
class Nesterov(OtherMomentum):
    """The step follows Nesterov, gradient + momentum velocity; it must be the velocity."""

    def velocity(self, velocity: Array, gradients: Array) -> Array:
        velocity *= self.optimizer.momentum
        velocity += gradients
        return gradients + self.optimizer.momentum * velocity


# --- Adam -------------------------------------------------------------------------------------------------------------


@MISTAKES.from_class("adam_epsilon_before_correction", ADAM, has(optimizer="adam"))
class OtherAdam(Mistaken):
    """Epsilon is added to the root of the second moment before the bias correction; it must be added after it."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        parameters, before = self.network.parameters, self.network.parameters.copy()
        super().update(values, output_gradients)
        change = self.change(*self.optimizer.state.values())
        parameters[...] = before - self.optimizer.step_size * change

    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        """The step's direction. It would be correct with epsilon added to the corrected square root."""
        return first / of_first / (xp.sqrt(second) + self.optimizer.epsilon) * xp.sqrt(of_second)


@MISTAKES.from_class("adam_epsilon_inside_root", ADAM, has(optimizer="adam"))
class AdamEpsilonInsideRoot(OtherAdam):
    """Epsilon is added to the second moment under the square root; it must be added to the square root."""

    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first / of_first / xp.sqrt(second / of_second + self.optimizer.epsilon)


@MISTAKES.from_class("adam_published_correction", ADAM, has(optimizer="adam"))
class AdamPublishedCorrection(OtherAdam):
    """The step is multiplied by 1 - beta_2^t; the factor must be sqrt(1 - beta_2^t) / (1 - beta_1^t)."""

    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first * of_second / (xp.sqrt(second) + self.optimizer.epsilon)


@MISTAKES.from_class("adam_uncorrected", ADAM, has(optimizer="adam"))
class AdamUncorrected(OtherAdam):
    """Adam's moments are not corrected; each must be divided by its bias correction."""

    def change(self, first: Array, second: Array, of_first: Array, of_second: Array) -> Array:
        return first / (xp.sqrt(second) + self.optimizer.epsilon)


# --- noise ------------------------------------------------------------------------------------------------------------


@MISTAKES.from_class("noise_skips_biases", NOISE, uses("perturb_scale"))
class OtherNoise(Mistaken):
    """No noise is added to the biases; it must be added to them, too."""

    def perturb(self, rule: ShrinkAndPerturb) -> None:
        self.network.parameters += self.scaled(rule.perturb_scale, rule.noise(self.learner.num_steps))

    def scaled(self, scale: float, noise: Array) -> Array:
        """The noise to add; sigma N(0, 1) would be correct."""
        return scale * noise * self.of_weights


@MISTAKES.from_class("noise_scaled_by_step_size", NOISE, uses("perturb_scale"))
class NoiseScaledByStepSize(OtherNoise):
    """Noise is multiplied by the step size; it must be multiplied only by perturb_scale."""

    def scaled(self, scale: float, noise: Array) -> Array:
        return self.optimizer.step_size * scale * noise


@MISTAKES.from_class("noise_as_variance", NOISE, uses("perturb_scale"))
class NoiseAsVariance(OtherNoise):
    """perturb_scale is used as the variance of the noise; it is the standard deviation."""

    def scaled(self, scale: float, noise: Array) -> Array:
        return scale**0.5 * noise


@MISTAKES.from_class("noise_before_update", NOISE, uses("perturb_scale"))
class NoiseBeforeUpdate(Mistaken):
    """Noise is added before the optimizer's step; it must be added after it."""

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        if self.shrink_and_perturb:
            super().perturb(self.shrink_and_perturb)
        super().update(values, output_gradients)

    def perturb(self, rule: ShrinkAndPerturb) -> None:
        """The noise has already been added."""
