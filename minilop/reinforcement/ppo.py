"""Proximal Policy Optimization (Schulman, Wolski, Dhariwal, Radford and Klimov, 2017), as Dohare et al. (2024) use it.

Collect T steps of N environments with the present policy, then, with the advantages A and value targets R of
`advantages.py`, a few epochs of mini-batches in random order:

    rho  = pi(a | o) / pi_old(a | o)
    loss = mean max(-rho A, -clip(rho, 1 - epsilon, 1 + epsilon) A)            eq. (7)
         + value_weight * mean (V(o) - R)^2

Here the advantages of an update have been brought to mean 0 and standard deviation 1, over all its samples together; the
value targets R are made of those from before that. Both, and pi_old, stay as they are through all epochs.

Each mini-batch is one step of learning of two networks that share nothing, policy and value: gradient, optimizer,
perturbation, generate-and-test, in the order of `Learner`. So whatever keeps a network plastic acts on both.

Paper - published code - ours. Ours is the published code, of which the paper tells the hyperparameters: weight decay
acts on log_std too and pulls the standard deviation towards 1; perturbation does not. No entropy bonus, no clipping of gradients or values, no
normalization of observations or rewards. The probabilities of old actions are not computed anew when a unit is replaced.
A time limit is a failure unless `time_outs = "bootstrapped"`. One Adam for everything is the same as ours, one for each
network and one for log_std: it treats every parameter by itself.

A rollout with R agents of N environments each:

    ppo = PPO(PPOSettings(), LearnerSettings(optimizer="adam", step_size=1e-4), num_observations, num_actions, seeds)
    while not ppo.is_full:
        actions, log_probabilities = ppo.act(observations, time)  # time counts the steps that the environments took
        ...  # the environments take a step, which makes rewards, terminated, timed_out and last_observations
        ppo.store(observations, actions, log_probabilities, rewards, terminated, timed_out, last_observations)
    ppo.learn()
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_choice, check_range
from minilop.learner import Learner, LearnerSettings, check_one_example, make_mlp, make_optimizer
from minilop.losses import squared_error
from minilop.reinforcement.advantages import TimeOuts, generalized_advantages, normalized
from minilop.reinforcement.policies import log_probability, log_probability_gradients, sample, standardized

_NORMALS_AT_A_TIME = 1 << 15


@dataclass(frozen=True)
class PPOSettings:
    """Hyperparameters; every default is that of the published code for the Ant (its rl/cfg/ant)."""

    num_environments: int = 1  # N, of each run
    num_steps: int = 2048  # T, of each environment between two updates
    num_epochs: int = 10
    mini_batch_size: int = 128  # a divisor of N T
    discount: float = 0.99  # gamma
    lambda_: float = 0.95  # of generalized advantage estimation
    clip: float = 0.2  # epsilon
    value_weight: float = 1.0
    initial_log_std: float = 0.0  # a standard deviation of 1
    hidden_units: tuple[int, ...] = (256, 256)  # of policy and value network alike
    time_outs: TimeOuts = "terminal"  # or "bootstrapped"; see advantages.py

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
        check_range(self, "num_environments num_steps num_epochs mini_batch_size", 1)
        check_range(self, "discount lambda_", 0, 1)
        check_range(self, "clip value_weight", 0)
        check_range(self, "initial_log_std", -20, 20)
        if not all(number >= 1 for number in self.hidden_units):
            raise ValueError(f"hidden_units must all be at least 1, not {self.hidden_units}")
        check_choice("time_outs", self.time_outs, TimeOuts)
        if self.num_samples % self.mini_batch_size:
            raise ValueError(
                f"mini_batch_size must divide the {self.num_samples} samples of an update "
                f"(num_environments * num_steps), {self.mini_batch_size} does not"
            )

    @property
    def num_samples(self) -> int:
        """M = N T, the samples of a run in each update."""
        return self.num_environments * self.num_steps


def policy_loss(
    mean: Array, log_std: Array, actions: Array, old_log_probabilities: Array, advantages: Array, clip: float
) -> tuple[Array, Array, Array]:
    """The clipped loss of each sample, and the gradients of its mean over the mini-batch.

    mean, actions                        (R, A, B)
    log_std                              (R, A)
    old_log_probabilities, advantages    (R, B)
    returns losses (R, B), mean_gradient (R, A, B), log_std_gradient (R, A)
    """
    z = standardized(actions, mean, log_std)
    ratios = xp.exp(log_probability(z, log_std) - old_log_probabilities)  # rho (R, B)
    free = -ratios * advantages
    clipped = -xp.minimum(xp.maximum(ratios, 1 - clip), 1 + clip) * advantages
    # d rho / d log pi = rho, and where the clipped one is the larger, nothing depends on rho.
    slopes = xp.where(clipped > free, xp.zeros_like(free), free)[..., None, :] / actions.shape[-1]  # (R, 1, B)
    by_mean, by_log_std = log_probability_gradients(z, log_std)
    return xp.maximum(free, clipped), slopes * by_mean, (slopes * by_log_std).sum(axis=-1)


def value_loss(values: Array, targets: Array, value_weight: float = 1.0) -> tuple[Array, Array]:
    """value_weight (V - R)^2 of each sample, without a factor 1/2, and the gradient of its mean over the mini-batch.

    values    (R, 1, B)
    targets   (R, B)
    returns   losses (R, B), value_gradient (R, 1, B)
    """
    losses, gradient = squared_error(values, targets[..., None, :])
    return value_weight * losses, value_weight * gradient


class PPO:
    """R independent agents side by side, each with N environments.

    policy, value   the learners of the two networks
    log_std         (R, A)

    A rollout is kept in the order of time; from `begin_update` on, `samples` has a row for each sample.
    """

    def __init__(
        self,
        settings: PPOSettings,
        learner_settings: LearnerSettings,
        num_observations: int,
        num_actions: int,
        seeds: Sequence[int],
    ):
        """Raises ValueError for learner settings that PPO has no meaning for, or seeds without the runs axis."""
        if np.ndim(seeds) != 1:
            raise ValueError("PPO needs the runs axis; give seeds=[seed].")
        if learner_settings.dropout:
            raise ValueError("dropout changes the policy between acting and learning; PPO needs dropout=0")
        if learner_settings.update != "gradient":
            raise ValueError(f"update={learner_settings.update} is for one example a step; choose update=gradient")
        check_one_example(learner_settings, settings.mini_batch_size)
        self.settings = settings
        self.seeds = np.asarray(seeds)
        self.dtype = learner_settings.dtype
        self.num_observations, self.num_actions = num_observations, num_actions
        num_runs, num_layers = len(self.seeds), len(settings.hidden_units) + 1

        def learner(num_outputs: int, first_number: int) -> Learner:
            sizes = (num_observations, *settings.hidden_units, num_outputs)
            network = make_mlp(
                sizes, learner_settings, seeds, scheme="lecun", first_number=first_number, few_examples=False
            )
            return Learner(network, None, learner_settings)

        self.policy = learner(num_actions, first_number=0)
        self.value = learner(1, first_number=num_layers)
        self.log_std = xp.full((num_runs, num_actions), settings.initial_log_std, self.dtype)
        self.log_std_optimizer = make_optimizer(self.log_std, learner_settings, [num_actions])

        def zeros(*shape: int, dtype: str = self.dtype) -> Array:
            return xp.zeros(shape, dtype)

        num_steps, num_environments = settings.num_steps, settings.num_environments
        steps = (num_steps, num_runs, num_environments)
        self.rollout = {
            "observations": zeros(num_steps, num_runs, num_observations, num_environments),
            "actions": zeros(num_steps, num_runs, num_actions, num_environments),
            "log_probabilities": zeros(*steps),
            "rewards": zeros(*steps),
            "terminated": zeros(*steps, dtype="bool"),
            "timed_out": zeros(*steps, dtype="bool"),
            "last_observations": zeros(num_steps, num_runs, num_observations, num_environments),
        }
        # A row of a sample: observation, action, log-probability, advantage, value target.
        self.samples = zeros(num_runs, settings.num_samples, num_observations + num_actions + 3)
        self.parameters_before = xp.zeros_like(self.policy.network.parameters)  # when the last update began
        self.num_stored = 0  # steps of the rollout
        self.epochs_left = 0  # of the update that is under way
        self.epochs_done = 0  # since the start
        size = num_runs * num_actions * num_environments
        self.noise = draws.Ahead(self.draw_noise, max(1, _NORMALS_AT_A_TIME // size))

    def draw_noise(self, steps: np.ndarray) -> Array:
        """The noise of actions at steps (T, 1), (T, R, A, N)."""
        shape = (self.num_actions, self.settings.num_environments)
        return draws.normal(self.seeds, "action noise", shape, step=steps, dtype=self.dtype)

    # --- acting

    def act(self, observations: Array, step: int) -> tuple[Array, Array]:
        """Actions (R, A, N) drawn for these observations (R, I, N), and their log-probabilities (R, N).

        step   of the environments, counted from the start; another one draws other noise
        """
        mean = self.mean_actions(observations)
        noise = self.noise(step)  # (R, A, N): so many standard deviations from the mean the actions are
        return sample(mean, self.log_std, noise), log_probability(noise, self.log_std)

    def mean_actions(self, observations: Array) -> Array:
        """The policy without its noise, (R, A, N)."""
        self._check("observations", observations, self.num_observations)
        return self.policy.network.forward(observations)[-1]

    @property
    def is_full(self) -> bool:
        """Whether the rollout is complete, so that `learn` may begin."""
        return self.num_stored == self.settings.num_steps

    def store(
        self,
        observations: Array,
        actions: Array,
        log_probabilities: Array,
        rewards: Array,
        terminated: Array,
        timed_out: Array,
        last_observations: Array,
    ) -> None:
        """Append a step of all environments to the rollout.

        observations                      (R, I, N)   on which the actions (R, A, N) were taken
        log_probabilities, rewards        (R, N)
        terminated, timed_out             (R, N)      of bool: failed, or stopped by a time limit
        last_observations                 (R, I, N)   to which the actions led, before any reset

        Raises ValueError for other shapes, or where `learn` should have come first.
        """
        if self.is_full or self.epochs_left:
            raise ValueError("The rollout is full; learn before storing further steps.")
        self._check("observations", observations, self.num_observations)
        self._check("actions", actions, self.num_actions)
        self._check("log_probabilities", log_probabilities)
        self._check("rewards", rewards)
        self._check("terminated", terminated)
        self._check("timed_out", timed_out)
        self._check("last_observations", last_observations, self.num_observations)
        step = (observations, actions, log_probabilities, rewards, terminated, timed_out, last_observations)
        for stored, array in zip(self.rollout.values(), step):
            stored[self.num_stored] = array
        self.num_stored += 1

    def _check(self, name: str, array: Array, *features: int) -> None:
        expected = (len(self.seeds), *features, self.settings.num_environments)
        if array.shape != expected:
            letters = "R, n, N" if features else "R, N"
            raise ValueError(f"{name} must have the shape ({letters}), here {expected}, not {array.shape}.")

    # --- learning

    def learn(self) -> None:
        """A whole update. Whoever wants to stop in between calls its parts: begin_update, learn_epoch while epochs_left."""
        self.begin_update()
        while self.epochs_left:
            self.learn_epoch()

    def begin_update(self) -> None:
        """Values, advantages and targets of the rollout, which is then free for the next one.

        Raises ValueError where it is not full.
        """
        if not self.is_full:
            raise ValueError(f"The rollout has {self.num_stored} of {self.settings.num_steps} steps; store more first.")
        rollout, settings = self.rollout, self.settings
        values = self.values_of(rollout["observations"])
        advantages = generalized_advantages(
            rollout["rewards"],
            values,
            self.values_of(rollout["last_observations"]),
            rollout["terminated"],
            rollout["timed_out"],
            settings.discount,
            settings.lambda_,
            settings.time_outs,
        )  # (T, R, N)
        advantage = self.by_run(advantages)[..., 0]  # (R, M)
        parts = (
            self.by_run(rollout["observations"]),
            self.by_run(rollout["actions"]),
            self.by_run(rollout["log_probabilities"]),
            normalized(advantage)[..., None],
            self.by_run(advantages + values),
        )
        for columns, part in zip(self.columns(), parts):
            self.samples[..., columns] = part
        self.parameters_before[...] = self.policy.network.parameters
        self.num_stored = 0
        self.epochs_left = settings.num_epochs

    def by_run(self, array: Array) -> Array:
        """Steps (T, R, n, N) or (T, R, N) as samples of each run, (R, M, n) or (R, M, 1); environments run fastest.

        Contiguous, so that sums over samples have one order, however many runs there are.
        """
        if array.ndim == 3:
            array = array[:, :, None]
        by_run = xp.ascontiguousarray(xp.transpose(array, (1, 0, 3, 2)))  # (R, T, N, n)
        return by_run.reshape(len(self.seeds), -1, array.shape[2])

    def values_of(self, observations: Array) -> Array:
        """What the value network says of observations (T, R, I, N): (T, R, N), a mini-batch at a time."""
        num_steps, num_runs, _, num_environments = observations.shape
        columns = self.by_run(observations).swapaxes(-1, -2)  # (R, I, M)
        size = self.settings.mini_batch_size
        values = xp.concatenate(
            [
                self.value.network.forward(columns[..., start : start + size])[-1]
                for start in range(0, columns.shape[-1], size)
            ],
            axis=-1,
        )  # (R, 1, M)
        return xp.moveaxis(values.reshape(num_runs, num_steps, num_environments), 0, 1)

    def columns(self) -> list[slice]:
        """Where in a row of `samples` observation, action, log-probability, advantage and value target stand."""
        lengths = (self.num_observations, self.num_actions, 1, 1, 1)
        return [slice(*bounds) for bounds in pairwise(np.cumsum((0, *lengths)).tolist())]

    def learn_epoch(self) -> None:
        """Learn once from every sample of the rollout, each run in an order of its own.

        Raises ValueError where no update is under way.
        """
        if not self.epochs_left:
            raise ValueError("No update is under way; call begin_update first.")
        for batch in self.mini_batches():
            self.learn_mini_batch(*batch)
        self.epochs_done += 1
        self.epochs_left -= 1

    def mini_batches(self) -> Iterator[tuple[Array, ...]]:
        """Observations (R, I, B), actions (R, A, B), log-probabilities, advantages and value targets (R, B)."""
        num_samples, size = self.settings.num_samples, self.settings.mini_batch_size
        order = draws.permutation(self.seeds, "order of samples", num_samples, step=self.epochs_done)  # (R, M)
        first_rows = num_samples * xp.arange(len(self.seeds))[:, None]
        rows = self.samples.reshape(-1, self.samples.shape[-1])[order + first_rows]  # (R, M, K)
        for start in range(0, num_samples, size):
            batch = xp.ascontiguousarray(rows[:, start : start + size].swapaxes(-1, -2))  # (R, K, B)
            observations, actions, *others = (batch[:, columns] for columns in self.columns())
            yield observations, actions, *(other[:, 0] for other in others)

    def learn_mini_batch(
        self, observations: Array, actions: Array, old_log_probabilities: Array, advantages: Array, targets: Array
    ) -> None:
        """One step of policy and log_std, and one of the value network."""
        settings = self.settings
        values = self.policy.forward(observations)
        _, mean_gradient, log_std_gradient = policy_loss(
            values[-1], self.log_std, actions, old_log_probabilities, advantages, settings.clip
        )
        self.policy.learn(values, mean_gradient)
        self.log_std_optimizer.step(self.log_std, log_std_gradient)
        values = self.value.forward(observations)
        _, value_gradient = value_loss(values[-1], targets, settings.value_weight)
        self.value.learn(values, value_gradient)

    def policy_weight_change(self) -> Array:
        """Sum over the policy's weights, without biases, of |now - when the last update began|, (R,)."""
        network = self.policy.network
        before = network.views(self.parameters_before)
        changes = (abs(layer.weight - before[layer.index]["weight"]) for layer in network.dense_layers)
        return sum(change.sum(axis=(-1, -2)) for change in changes)

    # --- going on after a stop, and beginning anew

    def arrays(self) -> dict[str, Array]:
        """Every array that PPO itself carries from call to call, by name."""
        of_optimizer = {f"log_std.{name}": array for name, array in self.log_std_optimizer.state.items()}
        return {
            "log_std": self.log_std,
            **of_optimizer,
            "parameters_before": self.parameters_before,
            "samples": self.samples,
            **self.rollout,
        }

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that `restore` needs, on the host; at any moment."""
        state = {name: to_host(array).copy() for name, array in self.arrays().items()}
        for network, learner in (("policy", self.policy), ("value", self.value)):
            state.update({f"{network}.{name}": array for name, array in learner.state().items()})
        for name in ("num_stored", "epochs_left", "epochs_done"):
            state[name] = np.array(getattr(self, name))
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken. Raises KeyError or ValueError where it does not fit."""
        for name, array in self.arrays().items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {array.shape}")
            array[...] = xp.asarray(state[name])
        for network, learner in (("policy", self.policy), ("value", self.value)):
            start = f"{network}."
            learner.restore({name.removeprefix(start): state[name] for name in state if name.startswith(start)})
        for name in ("num_stored", "epochs_left", "epochs_done"):
            setattr(self, name, int(state[name]))

    def begin_anew(self, draw: int) -> None:
        """Forget everything: new networks, others for another `draw` > 0, no moments, an empty rollout."""
        self.policy.begin_anew(draw)
        self.value.begin_anew(draw)
        self.log_std[...] = self.settings.initial_log_std
        for array in self.log_std_optimizer.state.values():
            array[...] = 0
        self.num_stored = 0
        self.epochs_left = 0
