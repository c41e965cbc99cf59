"""Updates of PPO: the advantages, all mini-batches of all epochs, and the resulting state."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.learner_settings import LearnerSettings
from minilop.optimizers.optimizer import Optimizer
from minilop.reinforcement import PPO, PPOSettings
from minilop.reinforcement.policies import log_probability, policy_loss, standardized, value_loss
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.networks import named, of_one_run
from minilop.verify.reference.settings import learner_settings, library_settings

SETTINGS = {each.name for each in dataclasses.fields(PPOSettings)}
MOMENTS = ("first_moment", "second_moment")


def ppo_arguments(case: Case) -> dict[str, Any]:
    """The arguments of the PPO constructor."""
    sizes = {**case.sizes, "hidden_units": tuple(case.sizes["hidden_units"])}
    given = {name: value for name, value in {**sizes, **case.settings}.items() if name in SETTINGS}
    return {
        "settings": PPOSettings(**given),
        "learner_settings": library_settings(learner_settings(case)),
        "num_observations": sizes["num_observations"],
        "num_actions": sizes["num_actions"],
        "seeds": [case.seed],
    }


class RecordedPPO(PPO):
    """Records the results of each mini-batch; mistakes override its methods."""

    def __init__(
        self,
        settings: PPOSettings,
        learner_settings: LearnerSettings,
        num_observations: int,
        num_actions: int,
        seeds: list[int],
    ):
        super().__init__(settings, learner_settings, num_observations, num_actions, seeds)
        self.written: dict[str, list[np.ndarray]] = {}  # one entry per mini-batch
        self.closest_ratio = np.inf  # smallest relative distance of a ratio from the clipping bounds

    def begin_update(self) -> None:
        self.written = {}
        super().begin_update()
        self.prepare(**self.samples)

    def prepare(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        """Called with the new samples of an update, (1, M, n) or (1, M); mistakes change them in place."""

    def policy_loss(
        self, mean: Array, actions: Array, old_log_probabilities: Array, advantages: Array
    ) -> tuple[Array, Array, Array]:
        return policy_loss(mean, self.log_std, actions, old_log_probabilities, advantages, self.settings.clip)

    def value_loss(self, values: Array, targets: Array) -> tuple[Array, Array]:
        return value_loss(values, targets, self.settings.value_weight)

    def learn_mini_batch(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        values = self.policy.forward(observations)
        self.record_clipping_margin(values[-1], actions, log_probabilities)
        losses, mean_gradient, log_std_gradient = self.policy_loss(values[-1], actions, log_probabilities, advantages)
        self.policy.learn(values, mean_gradient)
        self.log_std_optimizer.step(self.log_std, log_std_gradient)
        values = self.value.forward(observations)
        value_losses, value_gradient = self.value_loss(values[-1], targets)
        self.value.learn(values, value_gradient)
        self.write("policy_losses", losses)
        self.write("mean_gradient", mean_gradient)
        self.write("log_std_gradient", log_std_gradient)
        self.write("value_losses", value_losses)
        self.write("value_gradient", value_gradient[:, 0])

    def write(self, name: str, array: Array) -> None:
        self.written.setdefault(f"mini_batches/{name}", []).append(to_host(array)[0].copy())

    def record_clipping_margin(self, mean: Array, actions: Array, old_log_probabilities: Array) -> None:
        now = log_probability(standardized(actions, mean, self.log_std), self.log_std)
        ratios = np.exp(to_host(now - old_log_probabilities))
        for bound in (1 - self.settings.clip, 1 + self.settings.clip):
            self.closest_ratio = min(self.closest_ratio, float(abs(ratios / bound - 1).min()))


class PPOReference:
    """Runs one update per step, on a given rollout. Another `kind` of PPO introduces a mistake."""

    def __init__(self, kind: type[RecordedPPO] = RecordedPPO):
        self.kind = kind

    @property
    def margins(self) -> dict[str, float]:
        """The margins of the closest choices so far, by kind."""
        return {"clipped": self.ppo.closest_ratio}

    def load(self, case: Case, parameters: Arrays) -> None:
        self.ppo = self.kind(**ppo_arguments(case))
        for name, view in self.views(moments=False):
            view[...] = xp.asarray(parameters[name].reshape(view.shape))

    def step(self, x: Arrays, y: np.ndarray | None, draws: Arrays) -> Arrays:
        """Run the parts of `PPO.learn`. PPO draws the orders of samples itself, from the case's seed."""
        ppo = self.ppo
        for name, stored in ppo.rollout.items():
            stored[...] = xp.asarray(x[name])[:, None]
        ppo.num_stored = ppo.settings.num_steps
        values = to_host(ppo.values_of(ppo.rollout["observations"]))[:, 0]
        next_values = to_host(ppo.values_of(ppo.rollout["last_observations"]))[:, 0]
        ppo.begin_update()
        normalized, targets = (to_host(ppo.samples[name])[0] for name in ("advantages", "targets"))
        written = {
            "advantages/values": values,
            "advantages/next_values": next_values,
            "advantages/advantages": targets.reshape(values.shape) - values,
            "advantages/normalized_advantages": normalized.copy(),
            "advantages/targets": targets.copy(),
        }
        while ppo.epochs_left:
            ppo.learn_epoch()
        written |= {name: np.stack(arrays) for name, arrays in ppo.written.items()}
        return written | {f"update/{name}": array for name, array in self.state().items()}

    def state(self) -> Arrays:
        """The complete state between updates, in the form that `set_state` takes."""
        return {name: of_one_run(name, view) for name, view in self.views()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, view in self.views():
            view[...] = xp.asarray(state[name].reshape(view.shape))
        settings = self.ppo.settings
        self.ppo.epochs_done = state["step"] * settings.num_epochs
        steps = self.ppo.epochs_done * (settings.num_samples // settings.mini_batch_size)  # of Adam
        for optimizer in self.optimizers():
            optimizer.state["first_correction"][...] = 1 - optimizer.beta_1**steps
            optimizer.state["second_correction"][...] = 1 - optimizer.beta_2**steps

    def optimizers(self) -> tuple[Any, ...]:
        return self.ppo.policy.optimizer, self.ppo.value.optimizer, self.ppo.log_std_optimizer

    def views(self, moments: bool = True) -> Iterator[tuple[str, Array]]:
        """The parameters and Adam's moments by name, as views (1, ...). Layers are counted from 0 in each network."""
        for name, learner in (("policy", self.ppo.policy), ("value", self.ppo.value)):
            first = learner.network.dense_layers[0].number
            vectors = [("", learner.network.parameters), *self.moments_of(learner.optimizer, moments)]
            for prefix, vector in vectors:
                for path, view in named(learner.network, vector, prefix):
                    quantity, number = path.split("/")
                    yield f"{name}/{quantity}/{int(number) - first}", view
        yield "log_std", self.ppo.log_std
        for prefix, vector in self.moments_of(self.ppo.log_std_optimizer, moments):
            yield f"{prefix}log_std", vector

    @staticmethod
    def moments_of(optimizer: Optimizer, wanted: bool) -> list[tuple[str, Array]]:
        return [(f"{moment}_", optimizer.state[moment]) for moment in MOMENTS if wanted]
