"""The rows of the benchmark: for each, its name and a function that creates the pair."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.pairs import Pair
from minilop import draws
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, make_learner, make_mlp
from minilop.losses import cross_entropy, squared_error
from minilop.optimizers import SGD, Adam, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest
from minilop.recipes import convnet, mlp
from minilop.reinforcement import PPO, PPOSettings
from minilop.residual_networks import resnet
from problems.ant import AntEnvironments, AntSettings

try:
    import gymnasium
    import mujoco  # noqa: F401 (Gymnasium's Ant needs it)
except ImportError:
    gymnasium = None  # type: ignore[assignment]

try:
    import torch

    from benchmarks import peers
except ImportError:  # then only our times are shown
    torch = None  # type: ignore[assignment]

_EXAMPLES = 64  # number of different examples, used in turn
_RATES = {5: 1e-4, 100: 1e-5, 2000: 1e-6}  # replacement rate by width


def _regression(num_runs: int, continual: bool) -> Pair:
    """Slowly-Changing Regression: 20 - 5 - 1, one example per step, squared error."""
    settings = LearnerSettings(SGD(step_size=0.01))
    if continual:
        rule = ContinualBackprop(replacement_rate=1e-4, rounding="chance", maturity_threshold=10)
        settings = settings.with_rules(rule)
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2, (_EXAMPLES, num_runs, 20)).astype("float32")
    inputs = bits[..., None]  # (T, R, 20, 1)
    targets = generator.normal(size=(_EXAMPLES, num_runs, 1, 1)).astype("float32")
    return _pair((20, 5, 1), settings, num_runs, inputs, targets, bits[:, 0], targets[:, 0, 0])


def _permuted_mnist(width: int, continual: bool) -> Pair:
    """Online Permuted MNIST: 784 - width - width - width - 10, one example per step, cross-entropy."""
    if continual:
        rule = ContinualBackprop(replacement_rate=_RATES[width])
        settings = LearnerSettings(InPlaceSGD(step_size=0.003), (rule,))
    else:
        settings = LearnerSettings(BufferedSGD(step_size=0.003))
    generator = np.random.default_rng(0)
    images = generator.random((_EXAMPLES, 784)).astype("float32") * (generator.random((_EXAMPLES, 784)) < 0.2)
    labels = generator.integers(0, 10, _EXAMPLES)
    return _pair(
        (784, width, width, width, 10), settings, 1, images[:, None, :, None], labels[:, None, None], images, labels
    )


def _dynamic(width: int) -> Pair:
    """The learner with three levels and our own backprop: 64 - width - width - 10, one example per step, cross-entropy.

    The maturity threshold is 1 step, so that the time includes replacements of units.
    """
    sizes = (64, width, width, 10)
    generator = np.random.default_rng(0)
    images = generator.random((_EXAMPLES, 1, 64, 1)).astype("float32")
    examples = list(zip(images, generator.integers(0, 10, (_EXAMPLES, 1, 1))))

    def learner(optimizer: Any, *rules: Any) -> Learner:
        return Learner(mlp(sizes, "relu", [0], "float32"), cross_entropy, optimizer, rules)

    three_levels = learner(NetworkIDBD(step_size=0.003, meta_step_size=0.03), GenerateAndTest(maturity_threshold=1))
    return Pair(_in_turn(three_levels.step, examples), _in_turn(learner(SGD(step_size=0.01)).step, examples))


def _pair(
    sizes: Sequence[int],
    settings: LearnerSettings,
    num_runs: int,
    inputs: np.ndarray,
    targets: np.ndarray,
    peer_inputs: np.ndarray,
    peer_targets: np.ndarray,
) -> Pair:
    """Our learner with R runs and PyTorch's with one run, both with the examples in turn."""
    loss = squared_error if sizes[-1] == 1 else cross_entropy
    learner = make_learner(make_mlp(sizes, settings, range(num_runs)), loss, settings)
    ours = _in_turn(learner.step, list(zip(inputs, targets)))
    if torch is None:
        return Pair(ours, None, num_runs)
    peer_loss = torch.nn.functional.mse_loss if sizes[-1] == 1 else torch.nn.functional.cross_entropy
    step_size = settings.optimizer.step_size
    if settings.rules:
        rule: Any = settings.rules[0]
        peer: Any = peers.ContinualBackprop(sizes, peer_loss, step_size, rule.replacement_rate, rule.maturity_threshold)
    else:
        peer = peers.Backprop(sizes, peer_loss, step_size)
    examples = list(zip(torch.tensor(peer_inputs)[:, None], torch.tensor(peer_targets)[:, None]))
    return Pair(ours, _in_turn(peer.learn, examples), num_runs)


def _convnet(num_runs: int, memory_format: str) -> Pair:
    """The network of Continual ImageNet, a mini-batch of 100 images of 3 x 32 x 32, momentum 0.9."""
    optimizer = SGD(step_size=0.01, momentum=0.9)
    generator = np.random.default_rng(0)
    images = generator.random((num_runs, 3, 32, 32, 100)).astype("float32")
    labels = generator.integers(0, 2, (num_runs, 100))
    learner = Learner(convnet(range(num_runs), "float32"), cross_entropy, optimizer)
    ours = _in_turn(learner.step, [(images, labels)])
    if torch is None:
        return Pair(ours, None, num_runs)
    chosen = getattr(torch, memory_format)
    peer = peers.ConvolutionalBackprop(optimizer.step_size, optimizer.momentum, chosen)
    batch = torch.tensor(np.moveaxis(images[0], -1, 0).copy()).contiguous(memory_format=chosen)
    return Pair(ours, _in_turn(peer.learn, [(batch, torch.tensor(labels[0]))]), num_runs)


def _resnet(memory_format: str) -> Pair:
    """The network of class-incremental CIFAR-100, a mini-batch of 90 images of 3 x 32 x 32, momentum, weight decay."""
    optimizer = SGD(step_size=0.01, momentum=0.9, weight_decay=5e-4)
    generator = np.random.default_rng(0)
    images = generator.random((1, 3, 32, 32, 90)).astype("float32")
    labels = generator.integers(0, 100, (1, 90))
    learner = Learner(resnet([0], "float32"), cross_entropy, optimizer)
    ours = _in_turn(learner.step, [(images, labels)])
    if torch is None:
        return Pair(ours, None)
    chosen = getattr(torch, memory_format)
    peer = peers.ResidualBackprop(optimizer.step_size, optimizer.momentum, optimizer.weight_decay, chosen)
    batch = torch.tensor(np.moveaxis(images[0], -1, 0).copy()).contiguous(memory_format=chosen)
    return Pair(ours, _in_turn(peer.learn, [(batch, torch.tensor(labels[0]))]))


def _ppo(num_runs: int) -> PPO:
    settings = LearnerSettings(Adam(step_size=1e-4, beta_1=0.99, beta_2=0.99))
    return PPO(PPOSettings(), settings, 27, 8, range(num_runs))


def _ppo_action(num_runs: int) -> Pair:
    """An action of the policy 27 - 256 - 256 - 8 with its log-probability, for one environment per run."""
    ppo = _ppo(num_runs)
    observations = np.random.default_rng(0).normal(size=(num_runs, 27, 1)).astype("float32")
    ours = _in_turn(ppo.act, [(observations, step) for step in range(10_000)])
    if torch is None:
        return Pair(ours, None, num_runs)
    peer = peers.PPO(27, 8, 1e-4, (0.99, 0.99))
    return Pair(ours, _in_turn(peer.act, [(torch.tensor(observations[0, :, 0]),)]), num_runs)


def _ppo_update(num_runs: int) -> Pair:
    """An update from 2,048 steps of one environment: 10 epochs of 16 mini-batches of 128 for both networks."""
    ppo = _ppo(num_runs)
    generator = np.random.default_rng(0)
    for array in ppo.rollout.values():
        array[...] = generator.random(array.shape) < 0.01 if array.dtype == bool else generator.normal(size=array.shape)
    ppo.rollout["log_probabilities"] -= 10

    def ours() -> None:
        ppo.num_stored = ppo.settings.num_steps
        ppo.learn()

    if torch is None:
        return Pair(ours, None, num_runs)
    peer = peers.PPO(27, 8, 1e-4, (0.99, 0.99))
    names = ("observations", "actions", "log_probabilities", "rewards", "terminated")
    data = {name: torch.tensor(ppo.rollout[name][:, 0, ..., 0].copy()) for name in names}
    rollout = [*data.values(), data["observations"][-1]]
    return Pair(ours, lambda: peer.learn(*rollout), num_runs)


def _ant(num_runs: int) -> Pair:
    """A step of 256 ants per run with random actions, and a step of a single Ant-v5 without contact forces.

    Times are per ant and step.
    """
    generator = np.random.default_rng(0)
    environments = AntEnvironments(AntSettings(num_environments=256), range(num_runs))
    actions = generator.uniform(-1, 1, (_EXAMPLES, num_runs, 8, 256)).astype("float32")
    ours = _in_turn(environments.step, [(each,) for each in actions])
    num_ants = 256 * num_runs
    if gymnasium is None:
        return Pair(ours, None, num_ants)
    ant = gymnasium.make("Ant-v5", include_cfrc_ext_in_observation=False, contact_cost_weight=0)
    ant.reset(seed=0)

    def step(action: np.ndarray) -> None:
        *_, terminated, truncated, _ = ant.step(action)
        if terminated or truncated:
            ant.reset()

    return Pair(ours, _in_turn(step, [(each,) for each in actions[:, 0, :, 0]]), num_ants)


def _in_turn(step: Callable[..., Any], examples: Sequence[tuple[Any, ...]]) -> Callable[[], Any]:
    position = 0

    def next_step() -> None:
        nonlocal position
        step(*examples[position])
        position = (position + 1) % len(examples)

    return next_step


def _million_words() -> Pair:
    generator = np.random.Philox(0)
    return Pair(lambda: draws.words(0, "benchmark", 1_000_000), lambda: generator.random_raw(500_000))


def _million_normals() -> Pair:
    generator = np.random.default_rng(0)
    return Pair(
        lambda: draws.normal(0, "benchmark", 1_000_000, dtype="float32"),
        lambda: generator.standard_normal(1_000_000, "float32"),
    )


ROWS: dict[str, Callable[[], Pair]] = {
    "million_words": _million_words,
    "million_normals": _million_normals,
    "regression_backprop_100_runs": lambda: _regression(100, continual=False),
    "regression_backprop_1800_runs": lambda: _regression(1800, continual=False),
    "regression_continual_backprop_100_runs": lambda: _regression(100, continual=True),
    "regression_continual_backprop_1800_runs": lambda: _regression(1800, continual=True),
    "permuted_mnist_backprop_100_wide": lambda: _permuted_mnist(100, continual=False),
    "permuted_mnist_backprop_2000_wide": lambda: _permuted_mnist(2000, continual=False),
    "permuted_mnist_continual_backprop_100_wide": lambda: _permuted_mnist(100, continual=True),
    "permuted_mnist_continual_backprop_2000_wide": lambda: _permuted_mnist(2000, continual=True),
    "dynamic_10_wide": lambda: _dynamic(10),
    "dynamic_100_wide": lambda: _dynamic(100),
    "dynamic_1000_wide": lambda: _dynamic(1000),
    "convnet_1_run": lambda: _convnet(1, "contiguous_format"),
    "convnet_3_runs": lambda: _convnet(3, "contiguous_format"),
    "convnet_1_run_peer_channels_last": lambda: _convnet(1, "channels_last"),
    "ppo_update": lambda: _ppo_update(1),
    "ppo_action_1_run": lambda: _ppo_action(1),
    "ppo_action_30_runs": lambda: _ppo_action(30),
    "resnet": lambda: _resnet("contiguous_format"),
    "resnet_peer_channels_last": lambda: _resnet("channels_last"),
    "ant_step_256": lambda: _ant(1),
    "ant_step_5_runs_of_256": lambda: _ant(5),
}
