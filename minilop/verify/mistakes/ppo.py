"""Mistakes in an update of PPO."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np

from minilop.backend import Array, xp
from minilop.reinforcement.advantages import TimeOuts, generalized_advantages, normalized
from minilop.reinforcement.policies import log_probability, log_probability_gradients, standardized
from minilop.reinforcement.rollout import by_run
from minilop.verify.case import Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.ppo import PPOReference, RecordedPPO

Gradients = tuple[Array, Array, Array]


class ValueLossHalved(RecordedPPO):
    def value_loss(self, values: Array, targets: Array) -> tuple[Array, Array]:
        losses, gradient = super().value_loss(values, targets)
        return losses / 2, gradient / 2


class LossWithoutMaximum(RecordedPPO):
    def policy_loss(self, mean: Array, actions: Array, old_log_probabilities: Array, advantages: Array) -> Gradients:
        z = standardized(actions, mean, self.log_std)
        ratios = xp.exp(log_probability(z, self.log_std) - old_log_probabilities)
        clipped = xp.minimum(xp.maximum(ratios, 1 - self.settings.clip), 1 + self.settings.clip)
        slopes = (-ratios * advantages * (clipped == ratios))[..., None, :] / actions.shape[-1]
        by_mean, by_log_std = log_probability_gradients(z, self.log_std)
        return -clipped * advantages, slopes * by_mean, (slopes * by_log_std).sum(axis=-1)


class GradientThroughTheClip(RecordedPPO):
    def policy_loss(self, mean: Array, actions: Array, old_log_probabilities: Array, advantages: Array) -> Gradients:
        losses, _, _ = super().policy_loss(mean, actions, old_log_probabilities, advantages)
        z = standardized(actions, mean, self.log_std)
        ratios = xp.exp(log_probability(z, self.log_std) - old_log_probabilities)
        slopes = (-ratios * advantages)[..., None, :] / actions.shape[-1]
        by_mean, by_log_std = log_probability_gradients(z, self.log_std)
        return losses, slopes * by_mean, (slopes * by_log_std).sum(axis=-1)


class NormalizedByMiniBatch(RecordedPPO):
    """The stored advantages are not normalized."""

    def prepare(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        values = by_run(self.values_of(self.rollout["observations"]))
        advantages[...] = targets - values

    def policy_loss(self, mean: Array, actions: Array, old_log_probabilities: Array, advantages: Array) -> Gradients:
        return super().policy_loss(mean, actions, old_log_probabilities, normalized(advantages))


class AdvantagesNotNormalized(NormalizedByMiniBatch):
    def policy_loss(self, mean: Array, actions: Array, old_log_probabilities: Array, advantages: Array) -> Gradients:
        return RecordedPPO.policy_loss(self, mean, actions, old_log_probabilities, advantages)


class NormalizedByN(RecordedPPO):
    def prepare(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        num_samples = self.settings.num_samples
        advantages *= np.sqrt(num_samples / (num_samples - 1))


class OldProbabilitiesComputedAnew(RecordedPPO):
    def prepare(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        mean = self.policy.network.forward(observations.swapaxes(-1, -2))[-1]
        z = standardized(actions.swapaxes(-1, -2), mean, self.log_std)
        log_probabilities[...] = log_probability(z, self.log_std)


class OtherAdvantages(RecordedPPO, ABC):
    """Advantages with a mistake at the ends of episodes or in the values after them."""

    def prepare(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        values = self.values_of(self.rollout["observations"])
        found = self.advantages(values, self.values_of(self.rollout["last_observations"]))
        advantages[...] = normalized(by_run(found))
        targets[...] = by_run(found + values)

    @abstractmethod
    def advantages(self, values: Array, next_values: Array) -> Array:
        """The advantages (T, R, N), given the values before and after each step."""

    def generalized(self, rewards: Array, values: Array, next_values: Array, time_outs: TimeOuts) -> Array:
        ends = self.rollout["terminated"], self.rollout["timed_out"]
        discount, lambda_ = self.settings.discount, self.settings.lambda_
        return generalized_advantages(rewards, values, next_values, *ends, discount, lambda_, time_outs)


class OtherTimeOuts(OtherAdvantages):
    def advantages(self, values: Array, next_values: Array) -> Array:
        other: TimeOuts = "bootstrapped" if self.settings.time_outs == "terminal" else "terminal"
        return self.generalized(self.rollout["rewards"], values, next_values, other)


class ValueAfterFailures(OtherAdvantages):
    def advantages(self, values: Array, next_values: Array) -> Array:
        cut = self.rollout["terminated"]
        if self.settings.time_outs == "terminal":
            cut = cut | self.rollout["timed_out"]
        rewards = self.rollout["rewards"] + self.settings.discount * next_values * cut
        return self.generalized(rewards, values, next_values, self.settings.time_outs)


class AdvantagesFlowOverEnds(OtherAdvantages):
    def advantages(self, values: Array, next_values: Array) -> Array:
        settings, rollout = self.settings, self.rollout
        cut = rollout["terminated"]
        if settings.time_outs == "terminal":
            cut = cut | rollout["timed_out"]
        advantages = rollout["rewards"] + settings.discount * next_values * ~cut - values
        for step in reversed(range(len(advantages) - 1)):
            advantages[step] += settings.discount * settings.lambda_ * advantages[step + 1]
        return advantages


class LogStdWithoutDecay(RecordedPPO):
    def begin_update(self) -> None:
        self.log_std_optimizer.weight_decay = 0.0
        super().begin_update()


def mistake(
    name: str,
    says: str,
    kind: type[RecordedPPO],
    page: str = "ppo",
    applies: Callable[[Case], bool] = lambda case: True,
) -> Mistake:
    """The mistake of this kind of PPO."""
    return Mistake(name, says, f"minilop/reinforcement/{page}.py", "ppo", partial(PPOReference, kind), applies)


MISTAKES = [
    mistake(
        "ppo_value_loss_halved",
        "The value loss has an extra factor 1/2; it must be value_weight (V - R)^2.",
        ValueLossHalved,
    ),
    mistake(
        "ppo_loss_without_maximum",
        "The policy loss uses only the clipped ratio; it must be the larger of the clipped and the unclipped loss.",
        LossWithoutMaximum,
    ),
    mistake(
        "ppo_gradient_through_the_clip",
        "The policy gradient ignores the clipping; it must be 0 where the clipped loss is the larger one.",
        GradientThroughTheClip,
    ),
    mistake(
        "ppo_old_probabilities_computed_anew",
        "The old log-probabilities are recomputed when the update begins; they must be those stored with the actions.",
        OldProbabilitiesComputedAnew,
    ),
    mistake(
        "ppo_advantages_normalized_by_mini_batch",
        "Advantages are normalized in each mini-batch; they must be normalized once per update, over all of its "
        "samples.",
        NormalizedByMiniBatch,
    ),
    mistake(
        "ppo_advantages_not_normalized",
        "Advantages are not normalized; they must be normalized over all samples of an update.",
        AdvantagesNotNormalized,
    ),
    mistake(
        "ppo_advantages_normalized_by_n",
        "The standard deviation of the advantages divides by n; it must divide by n - 1.",
        NormalizedByN,
        "advantages",
    ),
    mistake(
        "ppo_advantages_flow_over_ends",
        "Advantages flow back across the end of an episode; the next step's advantage must count as 0 there.",
        AdvantagesFlowOverEnds,
        "advantages",
    ),
    mistake(
        "ppo_value_after_failures",
        "The value after an end that counts as terminal is bootstrapped; it must be 0.",
        ValueAfterFailures,
        "advantages",
    ),
    mistake(
        "ppo_other_time_outs",
        "The value after a truncation is bootstrapped where it must be 0, or 0 where it must be bootstrapped.",
        OtherTimeOuts,
        "advantages",
    ),
    mistake(
        "ppo_log_std_without_decay",
        "Weight decay does not act on log_std; it must act on log_std, too.",
        LogStdWithoutDecay,
        applies=lambda case: case.settings["weight_decay"] > 0,
    ),
]
