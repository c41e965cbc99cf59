"""Updates of PPO: a policy and a value network of their own, one Adam for both and log_std."""

import torch
from torch import nn

from pytorch_adapters.functions import advantages, normalized_advantages, policy_losses
from pytorch_adapters.networks import MLP

MOMENTS = {"first_moment": "exp_avg", "second_moment": "exp_avg_sq"}


def of_moment(name, moment):
    """ "policy/weight/0" to "policy/first_moment_weight/0"."""
    *network, quantity = name.split("/", 1)
    return "/".join([*network, f"{moment}_{quantity}"])


class PPOAdapter:
    """Cases of kind "ppo": a step is a whole update, of a rollout that is given."""

    def load(self, case, parameters):
        self.settings, sizes = case.settings, case.sizes
        self.dtype = getattr(torch, case.dtype)
        num_samples = sizes["num_steps"] * sizes["num_environments"]
        self.batches_an_epoch = num_samples // self.settings["mini_batch_size"]

        def network(num_outputs):
            layers = (sizes["num_observations"], *sizes["hidden_units"], num_outputs)
            return MLP(layers, self.settings["activation"]).to(self.dtype)

        self.policy, self.value = network(sizes["num_actions"]), network(1)
        self.log_std = nn.Parameter(torch.zeros(sizes["num_actions"], dtype=self.dtype))
        self.names = {f"policy/{name}": parameter for name, parameter in self.policy.names().items()}
        self.names |= {f"value/{name}": parameter for name, parameter in self.value.names().items()}
        self.names["log_std"] = self.log_std
        with torch.no_grad():
            for name, parameter in self.names.items():
                parameter.copy_(torch.from_numpy(parameters[name]))
        self.optimizer = torch.optim.Adam(
            self.names.values(),
            lr=self.settings["step_size"],
            betas=(self.settings["beta_1"], self.settings["beta_2"]),
            eps=self.settings["epsilon"],
            weight_decay=self.settings["weight_decay"],
        )

    def step(self, x, y, draws):
        settings = self.settings
        rollout = {name: torch.from_numpy(array) for name, array in x.items()}
        values, next_values = (
            self.values_of(rollout[name]).detach() for name in ("observations", "last_observations")
        )  # (T, N)
        advantage = advantages(
            rollout["rewards"],
            values,
            next_values,
            rollout["terminated"],
            rollout["timed_out"],
            settings["discount"],
            settings["lambda_"],
            settings["time_outs"],
        )["advantages"]
        targets = (advantage + values).flatten()  # sample t N + n is step t of environment n
        normalized = normalized_advantages(advantage.flatten())["normalized_advantages"]
        found = {
            "advantages/values": values,
            "advantages/next_values": next_values,
            "advantages/advantages": advantage,
            "advantages/normalized_advantages": normalized,
            "advantages/targets": targets,
        }
        samples = (
            rollout["observations"].transpose(1, 2).flatten(0, 1),  # (M, I)
            rollout["actions"].transpose(1, 2).flatten(0, 1),
            rollout["log_probabilities"].flatten(),
            normalized,
            targets,
        )
        batches = []
        for order in draws["order"]:
            for rows in torch.from_numpy(order).long().split(settings["mini_batch_size"]):
                batches.append(self.learn(*(each[rows] for each in samples)))
        for name in batches[0]:
            found[f"mini_batches/{name}"] = torch.stack([batch[name] for batch in batches])
        found.update({f"update/{name}": tensor for name, tensor in self.state().items()})
        return {name: tensor.detach().clone().numpy() for name, tensor in found.items()}

    def values_of(self, observations):
        """(T, I, N) to (T, N)."""
        return self.value(observations.transpose(1, 2))[0].squeeze(-1)

    def learn(self, observations, actions, old_log_probabilities, advantage, targets):
        """One mini-batch; samples come first."""
        mean = self.policy(observations)[0].T  # (A, B)
        mean.retain_grad()
        values = self.value(observations)[0]  # (B, 1)
        values.retain_grad()
        of_policy = policy_losses(
            mean, self.log_std, actions.T, old_log_probabilities, advantage, self.settings["clip"]
        )
        of_value = self.settings["value_weight"] * (values.squeeze(-1) - targets) ** 2
        self.optimizer.zero_grad()
        (of_policy.mean() + of_value.mean()).backward()
        found = {
            "policy_losses": of_policy,
            "mean_gradient": mean.grad,
            "log_std_gradient": self.log_std.grad,
            "value_losses": of_value,
            "value_gradient": values.grad[:, 0],
        }
        self.optimizer.step()
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def state(self):
        """Parameters and moments by the kit's names: "policy/first_moment_weight/0"."""
        found = dict(self.names)
        for name, parameter in self.names.items():
            for moment, torch_name in MOMENTS.items():
                found[of_moment(name, moment)] = self.optimizer.state[parameter][torch_name]
        return found

    @torch.no_grad()
    def set_state(self, state):
        steps = float(state["step"] * self.settings["num_epochs"] * self.batches_an_epoch)
        for name, parameter in self.names.items():
            parameter.copy_(torch.as_tensor(state[name]))
            moments = {
                torch_name: torch.as_tensor(state[of_moment(name, moment)]).clone()
                for moment, torch_name in MOMENTS.items()
            }
            self.optimizer.state[parameter] = {"step": torch.tensor(steps), **moments}
