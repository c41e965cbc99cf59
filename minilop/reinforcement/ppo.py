"""Proximal Policy Optimization (Schulman, Wolski, Dhariwal, Radford and Klimov, 2017), as Dohare et al. (2024) use it.

PPO collects T steps of N environments with the current policy. It then learns from them for a few epochs of
mini-batches in random order, with the advantages A and the value targets R of `advantages.py`:

    rho  = pi(a | o) / pi_old(a | o)
    loss = mean max(-rho A, -clip(rho, 1 - epsilon, 1 + epsilon) A)            eq. (7)
         + value_weight * mean (V(o) - R)^2

The advantages of an update are normalized to mean 0 and standard deviation 1 over all its samples. The value targets R
are computed from the advantages before normalization. A, R and pi_old are constant during all epochs. Each mini-batch
is one step of two `Learner`s, policy and value, which have no parameters in common. Every rule that keeps a network
plastic therefore acts on both.

Paper - published code - ours. We follow the published code, whose hyperparameters are in the paper. Weight decay also
acts on log_std, and pulls the standard deviation toward 1; perturbation does not act on it. There is no entropy bonus,
no clipping of gradients or values, and no normalization of observations or rewards. The probabilities of old actions do
not change when a unit is replaced. A time-out counts as a failure unless `time_outs = "bootstrapped"`. We use one Adam
for each network and one for log_std. This is equivalent to one Adam for all parameters, because Adam treats every
parameter separately.

A rollout with R agents of N environments each:

    ppo = PPO(PPOSettings(), LearnerSettings(Adam(step_size=1e-4)), num_observations, num_actions, seeds)
    while not ppo.is_full:
        actions, log_probabilities = ppo.act(observations, time)  # time is the number of steps taken before this one
        ...  # step the environments to get rewards, terminated, timed_out and last_observations
        ppo.store(observations=observations, actions=actions, log_probabilities=log_probabilities, ...)
    ppo.learn()
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minilop import draws
from minilop import state as states
from minilop.backend import Array, xp
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, make_learner, make_mlp
from minilop.reinforcement.advantages import generalized_advantages, normalized
from minilop.reinforcement.policies import log_probability, policy_loss, sample, value_loss
from minilop.reinforcement.ppo_settings import PPOSettings
from minilop.reinforcement.rollout import by_run, check_shape, empty_rollout, empty_samples, store_step

_NORMALS_AT_A_TIME = 1 << 15
COUNTERS = ("num_stored", "epochs_left", "epochs_done")


class PPO:
    """R independent agents side by side, each with N environments.

    policy, value   the learners of the two networks; log_std is (R, A)
    rollout         arrays of the steps, (T, R, n, N) or (T, R, N), by name
    samples         arrays of the samples of an update, (R, M, n) or (R, M), by name; filled by `begin_update`
    """

    def __init__(
        self,
        settings: PPOSettings,
        learner_settings: LearnerSettings,
        num_observations: int,
        num_actions: int,
        seeds: Sequence[int],
    ):
        """Raises ValueError for learner settings that PPO does not support, or seeds without the runs axis."""
        if np.ndim(seeds) != 1:
            raise ValueError("PPO needs the runs axis; give seeds=[seed].")
        if learner_settings.network.dropout:
            raise ValueError("dropout changes the policy between acting and learning; PPO needs dropout=0")
        if learner_settings.optimizer.learns_from_one_example:
            raise ValueError(f"{learner_settings.optimizer.name} learns from one example per step; choose adam or sgd")
        self.settings = settings
        self.seeds = np.asarray(seeds)
        self.dtype = learner_settings.dtype
        self.num_actions = num_actions
        num_runs, num_layers = len(self.seeds), len(settings.hidden_units) + 1
        num_steps, num_environments, num_samples = settings.num_steps, settings.num_environments, settings.num_samples

        def learner(num_outputs: int, first_number: int) -> Learner:
            sizes = (num_observations, *settings.hidden_units, num_outputs)
            network = make_mlp(sizes, learner_settings, seeds, scheme="lecun", first_number=first_number)
            return make_learner(network, None, learner_settings)

        self.policy = learner(num_actions, first_number=0)
        self.value = learner(1, first_number=num_layers)
        self.log_std = xp.full((num_runs, num_actions), settings.initial_log_std, self.dtype)
        self.log_std_optimizer = learner_settings.optimizer.bind(self.log_std, [num_actions])
        features = {name: (num_observations,) for name in ("observations", "last_observations")}
        features["actions"] = (num_actions,)
        self.rollout = empty_rollout(num_steps, num_runs, num_environments, features, self.dtype)
        self.samples = empty_samples(num_runs, num_samples, features, self.dtype)
        self.num_stored = 0  # steps of the rollout
        self.epochs_left = 0  # of the update in progress
        self.epochs_done = 0  # since the start
        size = num_runs * num_actions * num_environments
        self.noise = draws.PrefetchedDraws(self.draw_noise, max(1, _NORMALS_AT_A_TIME // size))

    def draw_noise(self, steps: np.ndarray) -> Array:
        """The noise of actions for steps (T, 1): (T, R, A, N)."""
        shape = (self.num_actions, self.settings.num_environments)
        return draws.normal(self.seeds, "action noise", shape, step=steps, dtype=self.dtype)

    # --- acting

    def act(self, observations: Array, step: int) -> tuple[Array, Array]:
        """Draw actions (R, A, N) for observations (R, I, N). Returns them and their log-probabilities (R, N).

        step   of the environments, counted from the start; each step has different noise
        """
        check_shape("observations", observations, self.rollout["observations"].shape[1:])
        mean = self.policy.network.forward(observations)[-1]  # (R, A, N)
        noise = self.noise(step)  # (R, A, N): deviations from the mean in units of the standard deviation
        return sample(mean, self.log_std, noise), log_probability(noise, self.log_std)

    @property
    def is_full(self) -> bool:
        """Whether the rollout is complete, so that `learn` can be called."""
        return self.num_stored == self.settings.num_steps

    def store(self, **step: Array) -> None:
        """Append a step of all environments to the rollout.

        observations                 (R, I, N)   before the actions
        actions                      (R, A, N)
        log_probabilities, rewards   (R, N)
        terminated, timed_out        (R, N)      of bool: the episode ended by failure, or by a time limit
        last_observations            (R, I, N)   after the actions and before any reset

        Raises ValueError for wrong names or shapes, or if `learn` must be called first.
        """
        if self.is_full or self.epochs_left:
            raise ValueError("The rollout is full; call learn before storing more steps.")
        store_step(self.rollout, self.num_stored, step)
        self.num_stored += 1

    # --- learning

    def learn(self) -> None:
        """Make a complete update. To stop in between, call `begin_update`, then `learn_epoch` while `epochs_left`."""
        self.begin_update()
        while self.epochs_left:
            self.learn_epoch()

    def begin_update(self) -> None:
        """Turn the rollout into samples with advantages and targets, and empty the rollout.

        Raises ValueError if the rollout is not full.
        """
        if not self.is_full:
            raise ValueError(f"The rollout has {self.num_stored} of {self.settings.num_steps} steps; store more first.")
        rollout, settings = self.rollout, self.settings
        values, next_values = (self.values_of(rollout[name]) for name in ("observations", "last_observations"))
        ends = rollout["terminated"], rollout["timed_out"]
        advantages = generalized_advantages(
            rollout["rewards"], values, next_values, *ends, settings.discount, settings.lambda_, settings.time_outs
        )  # (T, R, N)
        for name in ("observations", "actions", "log_probabilities"):
            self.samples[name][...] = by_run(rollout[name])
        self.samples["advantages"][...] = normalized(by_run(advantages))
        self.samples["targets"][...] = by_run(advantages + values)
        self.num_stored = 0
        self.epochs_left = settings.num_epochs

    def values_of(self, observations: Array) -> Array:
        """The values of observations (T, R, I, N), computed in mini-batches: (T, R, N)."""
        num_steps, num_runs, _, num_environments = observations.shape
        columns = by_run(observations).swapaxes(-1, -2)  # (R, I, M)
        size = self.settings.mini_batch_size
        values = xp.concatenate(
            [
                self.value.network.forward(columns[..., start : start + size])[-1]
                for start in range(0, columns.shape[-1], size)
            ],
            axis=-1,
        )  # (R, 1, M)
        return xp.moveaxis(values.reshape(num_runs, num_steps, num_environments), 0, 1)

    def learn_epoch(self, order: Array | None = None) -> None:
        """Learn once from every sample of the rollout.

        order   (R, M)   a permutation of the samples for each run; drawn if None

        Raises ValueError if no update is in progress.
        """
        if not self.epochs_left:
            raise ValueError("No update is in progress; call begin_update first.")
        num_samples, size = self.settings.num_samples, self.settings.mini_batch_size
        if order is None:
            order = draws.permutation(self.seeds, "order of samples", num_samples, step=self.epochs_done)  # (R, M)
        runs = xp.arange(len(self.seeds))[:, None]
        for start in range(0, num_samples, size):
            indices = order[:, start : start + size]  # (R, B)
            batch = {name: rows[runs, indices] for name, rows in self.samples.items()}  # (R, B, n) or (R, B)
            for name in ("observations", "actions"):
                batch[name] = xp.ascontiguousarray(batch[name].swapaxes(-1, -2))  # (R, n, B)
            self.learn_mini_batch(**batch)
        self.epochs_done += 1
        self.epochs_left -= 1

    def learn_mini_batch(
        self, observations: Array, actions: Array, log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        """Take one step of policy and log_std, and one step of the value network, on samples (R, n, B) or (R, B)."""
        settings = self.settings
        values = self.policy.forward(observations)
        _, mean_gradient, log_std_gradient = policy_loss(
            values[-1], self.log_std, actions, log_probabilities, advantages, settings.clip
        )
        self.policy.learn(values, mean_gradient)
        self.log_std_optimizer.step(self.log_std, log_std_gradient)
        values = self.value.forward(observations)
        _, value_gradient = value_loss(values[-1], targets, settings.value_weight)
        self.value.learn(values, value_gradient)

    # --- state

    def arrays(self) -> dict[str, Array]:
        """All arrays of PPO, apart from those of its learners, that persist from call to call, by name."""
        return {
            "log_std": self.log_std,
            **states.prefixed("log_std_optimizer", self.log_std_optimizer.state),
            **states.prefixed("samples", self.samples),
            **states.prefixed("rollout", self.rollout),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Returns a copy, on the host, of everything that `restore` needs. May be called at any time."""
        return {
            **states.copied(self.arrays()),
            **states.prefixed("policy", self.policy.state()),
            **states.prefixed("value", self.value.state()),
            **{name: np.array(getattr(self, name)) for name in COUNTERS},
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.restore(self.arrays(), state, ["policy.", "value.", *COUNTERS])
        self.policy.restore(states.part("policy", state))
        self.value.restore(states.part("value", state))
        for name in COUNTERS:
            setattr(self, name, int(state[name]))

    def reset(self, draw: int) -> None:
        """Draw new networks, different for each `draw` > 0, reset the optimizers, and empty the rollout."""
        self.policy.reset("network", draw)
        self.value.reset("network", draw)
        self.log_std[...] = self.settings.initial_log_std
        for array in self.log_std_optimizer.state.values():
            array[...] = 0
        self.num_stored = 0
        self.epochs_left = 0
