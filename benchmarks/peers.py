"""The same learners written plainly in PyTorch, as a good user would write them, one run at a time."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

torch.set_num_threads(1)


class Network(nn.Module):
    """A multilayer perceptron that also returns its hidden features."""

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        self.layers: Any = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features = []
        for layer in self.layers[:-1]:
            inputs = torch.relu(layer(inputs))
            features.append(inputs)
        return self.layers[-1](inputs), features


class Backprop:
    """SGD, one example at a time."""

    def __init__(self, sizes: Sequence[int], loss: Any, step_size: float):
        self.network = Network(sizes)
        self.loss = loss
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=step_size)

    def learn(self, inputs: torch.Tensor, target: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        output, features = self.network(inputs)
        loss = self.loss(output, target)
        loss.backward()
        self.optimizer.step()
        self.generate_and_test(features)
        return loss.item()

    def generate_and_test(self, features: list[torch.Tensor]) -> None:
        pass


class ConvolutionalBackprop:
    """The network of Continual ImageNet, trained by SGD with momentum on mini-batches of images."""

    def __init__(self, step_size: float, momentum: float, memory_format: torch.memory_format):
        layers: list[nn.Module] = []
        for channels, outputs, size in ((3, 32, 5), (32, 64, 3), (64, 128, 3)):
            layers += [nn.Conv2d(channels, outputs, size), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)]
        self.network = nn.Sequential(*layers).to(memory_format=memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=step_size, momentum=momentum)

    def learn(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class ResidualBlock(nn.Module):
    """A basic block with biases in all convolutions, as in the published residual network."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(num_outputs)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(num_outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(num_inputs, num_outputs, 1, stride), nn.BatchNorm2d(num_outputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(inputs)))))
        return torch.relu(outputs + (inputs if self.downsample is None else self.downsample(inputs)))


def residual_network(
    widths: Sequence[int] = (64, 128, 256, 512), blocks: Sequence[int] = (2, 2, 2, 2), num_outputs: int = 100
) -> nn.Sequential:
    """The ResNet-18 of class-incremental CIFAR-100."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, 1, 1), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    num_inputs = widths[0]
    for stage, (width, number) in enumerate(zip(widths, blocks)):
        for block in range(number):
            layers.append(ResidualBlock(num_inputs, width, 2 if stage and not block else 1))
            num_inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_inputs, num_outputs))


class ResidualBackprop:
    """The network of class-incremental CIFAR-100, trained by SGD with momentum and weight decay on mini-batches."""

    def __init__(self, step_size: float, momentum: float, weight_decay: float, memory_format: torch.memory_format):
        self.network = residual_network().to(memory_format=memory_format)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=step_size, momentum=momentum, weight_decay=weight_decay
        )

    def learn(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class ContinualBackprop(Backprop):
    """Backprop with generate-and-test, with the utility adaptable_contribution and fractional accumulation."""

    def __init__(
        self,
        sizes: Sequence[int],
        loss: Any,
        step_size: float,
        replacement_rate: float,
        maturity_threshold: int = 100,
        decay_rate: float = 0.99,
    ):
        super().__init__(sizes, loss, step_size)
        self.replacement_rate = replacement_rate
        self.maturity_threshold = maturity_threshold
        self.decay_rate = decay_rate
        hidden = sizes[1:-1]
        self.age = [torch.zeros(size) for size in hidden]
        self.utility = [torch.zeros(size) for size in hidden]
        self.mean_feature = [torch.zeros(size) for size in hidden]
        self.units_to_replace = [0.0 for _ in hidden]

    @torch.no_grad()
    def generate_and_test(self, features: list[torch.Tensor]) -> None:
        layers = self.network.layers
        for index, feature in enumerate(features):
            incoming, outgoing = layers[index], layers[index + 1]
            self.age[index] += 1
            correction = 1 - self.decay_rate ** self.age[index]
            self.mean_feature[index] *= self.decay_rate
            self.mean_feature[index] += (1 - self.decay_rate) * feature.mean(dim=0)
            center = self.mean_feature[index] / correction
            outgoing_magnitude = outgoing.weight.abs().mean(dim=0)
            incoming_magnitude = incoming.weight.abs().mean(dim=1)
            contribution = outgoing_magnitude * (feature - center).abs().mean(dim=0)
            self.utility[index] *= self.decay_rate
            self.utility[index] += (1 - self.decay_rate) * contribution / incoming_magnitude
            eligible = torch.where(self.age[index] > self.maturity_threshold)[0]
            if eligible.shape[0] == 0:
                continue
            self.units_to_replace[index] += self.replacement_rate * eligible.shape[0]
            number = int(self.units_to_replace[index])
            if number == 0:
                continue
            self.units_to_replace[index] -= number
            utility = (self.utility[index] / correction)[eligible]
            replaced = eligible[torch.topk(-utility, number)[1]]
            bound = (6 / incoming.in_features) ** 0.5
            incoming.weight[replaced] = torch.empty(number, incoming.in_features).uniform_(-bound, bound)
            incoming.bias[replaced] = 0
            outgoing.weight[:, replaced] = 0
            for statistic in (self.age, self.utility, self.mean_feature):
                statistic[index][replaced] = 0


class PPO:
    """Proximal Policy Optimization with the published networks and a single Adam."""

    def __init__(self, num_observations: int, num_actions: int, step_size: float, betas: tuple[float, float]):
        self.policy, self.value = (self.make_network(num_observations, outputs) for outputs in (num_actions, 1))
        self.log_std = nn.Parameter(torch.zeros(num_actions))
        parameters = [*self.policy.parameters(), *self.value.parameters(), self.log_std]
        self.optimizer = torch.optim.Adam(parameters, lr=step_size, betas=betas)

    @staticmethod
    def make_network(num_inputs: int, num_outputs: int) -> nn.Sequential:
        layers = [nn.Linear(num_inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, num_outputs)]
        return nn.Sequential(*layers)

    def distribution(self, observations: torch.Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.policy(observations), self.log_std.exp())

    @torch.no_grad()
    def act(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        distribution = self.distribution(observation)
        action = distribution.sample()
        return action, distribution.log_prob(action).sum(dim=-1)

    def learn(
        self,
        observations: torch.Tensor,
        actions: torch.Tensor,
        log_probabilities: torch.Tensor,
        rewards: torch.Tensor,
        done: torch.Tensor,
        last_observation: torch.Tensor,
    ) -> None:
        """An update of 10 epochs of mini-batches of 128, from the steps of one environment."""
        with torch.no_grad():
            values = self.value(torch.cat([observations, last_observation[None]])).squeeze(-1)
        advantages = self.advantages(rewards, values, done)
        targets = advantages + values[:-1]
        advantages = (advantages - advantages.mean()) / advantages.std()
        for _ in range(10):
            for chosen in torch.randperm(len(rewards)).split(128):
                log_probability = self.distribution(observations[chosen]).log_prob(actions[chosen]).sum(dim=-1)
                ratio = (log_probability - log_probabilities[chosen]).exp()
                advantage = advantages[chosen]
                loss = torch.max(-ratio * advantage, -ratio.clamp(0.8, 1.2) * advantage).mean()
                loss = loss + (self.value(observations[chosen]).squeeze(-1) - targets[chosen]).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()

    def advantages(self, rewards: torch.Tensor, values: torch.Tensor, done: torch.Tensor) -> torch.Tensor:
        """Generalized advantage estimation. Python floats are faster here than tensors."""
        advantages, advantage = [], 0.0
        following = values[-1].item()
        for reward, value, ended in zip(*(array.flip(0).tolist() for array in (rewards, values[:-1], done))):
            continues = 0.0 if ended else 1.0
            advantage = reward + 0.99 * continues * following - value + 0.99 * 0.95 * continues * advantage
            advantages.append(advantage)
            following = value
        return torch.tensor(advantages[::-1])
