"""The verification kit on PPO: its draws are those of the formula, and its updates those of PyTorch."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from minilop import draws
from minilop.verify.adapter import run_adapter
from minilop.verify.case_files import load_case
from minilop.verify.catalogue import ppo
from minilop.verify.comparison import compare
from minilop.verify.reference import Reference

every_case = pytest.mark.parametrize("case_id", [each.id for each in ppo.DESCRIPTIONS])


@pytest.mark.quick
@every_case
def test_the_orders_of_samples_are_those_of_the_formula(case_id):
    case = load_case(case_id)
    epochs = case.settings["num_epochs"]
    for update, orders in enumerate(case.inputs["draws/order"]):
        for epoch, order in enumerate(orders):
            step = update * epochs + epoch
            assert_array_equal(order, draws.permutation(case.seed, "order of samples", 16, step=step))
            assert sorted(order) == list(range(16))


@pytest.mark.quick
@every_case
def test_a_rollout_has_failures_time_outs_and_ratios_on_either_side(case_id):
    case = load_case(case_id)
    assert case.inputs["x/terminated"].any() and case.inputs["x/timed_out"].any()
    losses = case.expected["mini_batches/mean_gradient"].any(axis=-2)  # (updates, K, B)
    assert losses.any() and not losses.all()  # some are clipped
    assert min(case.margins.values()) >= 1e-3


@pytest.mark.quick
@every_case
def test_wrong_orders_do_not_go_unnoticed(case_id):
    """The reference draws its own; whoever takes those of the file takes the same ones."""
    case = load_case(case_id)

    class OtherSeed(Reference):
        """Draws other orders."""

        def load(self, case, parameters):
            super().load(case, parameters)
            self.reference.ppo.epochs_done = 100

    difference = compare(case, run_adapter(OtherSeed(), case)).difference
    assert (difference.step, difference.phase) == (0, "mini_batches")


@pytest.mark.quick
@every_case
def test_values_and_advantages_layer_by_layer_and_step_by_step(case_id):
    """Of the first update, with the initial value network."""
    case = load_case(case_id)
    x, _, _ = case.example(0)
    activation = np.tanh if case.settings["activation"] == "tanh" else lambda h: np.maximum(h, 0)

    def value_of(observation):
        h = observation
        for layer in range(3):
            h = case.inputs[f"state/value/weight/{layer}"] @ h + case.inputs[f"state/value/bias/{layer}"]
            h = activation(h) if layer < 2 else h
        return h[0]

    advantages = np.zeros((8, 2))
    for environment in range(2):
        advantage = 0.0
        for step in reversed(range(8)):
            value = value_of(x["observations"][step, :, environment])
            next_value = value_of(x["last_observations"][step, :, environment])
            assert case.expected["advantages/values"][0, step, environment] == pytest.approx(value)
            assert case.expected["advantages/next_values"][0, step, environment] == pytest.approx(next_value)
            failed, out_of_time = x["terminated"][step, environment], x["timed_out"][step, environment]
            if failed or (out_of_time and case.settings["time_outs"] == "terminal"):
                next_value = 0.0
            if failed or out_of_time:
                advantage = 0.0
            delta = x["rewards"][step, environment] + case.settings["discount"] * next_value - value
            advantage = delta + case.settings["discount"] * case.settings["lambda_"] * advantage
            advantages[step, environment] = advantage
    assert_allclose(case.expected["advantages/advantages"][0], advantages, rtol=0, atol=1e-12)
    expected = scipy.stats.zscore(advantages.ravel(), ddof=1)
    assert_allclose(case.expected["advantages/normalized_advantages"][0], expected, rtol=0, atol=1e-12)
    targets = (advantages + case.expected["advantages/values"][0]).ravel()
    assert_allclose(case.expected["advantages/targets"][0], targets, rtol=0, atol=1e-12)


@every_case
def test_updates_are_those_of_pytorch(case_id):
    """Autograd and one torch.optim.Adam for policy, value network and log_std, from advantages to parameters."""
    torch = pytest.importorskip("torch")
    case = load_case(case_id)
    settings = case.settings

    def network(name):
        kind = torch.nn.Tanh if settings["activation"] == "tanh" else torch.nn.ReLU
        sizes = (3, 5, 4, 2 if name == "policy" else 1)
        layers = [torch.nn.Linear(*pair).double() for pair in pairwise(sizes)]
        for number, layer in enumerate(layers):
            for part in ("weight", "bias"):
                array = case.inputs[f"state/{name}/{part}/{number}"].copy()
                getattr(layer, part).data = torch.from_numpy(array)
        return torch.nn.Sequential(layers[0], kind(), layers[1], kind(), layers[2])

    policy, value = network("policy"), network("value")
    log_std = torch.nn.Parameter(torch.from_numpy(case.inputs["state/log_std"].copy()))
    optimizer = torch.optim.Adam(
        [*policy.parameters(), *value.parameters(), log_std],
        lr=settings["step_size"],
        betas=(settings["beta_1"], settings["beta_2"]),
        eps=settings["epsilon"],
        weight_decay=settings["weight_decay"],
    )
    for update in range(case.steps):
        x, _, drawn = case.example(update)
        rows = {name: torch.from_numpy(x[name]).mT.reshape(16, -1) for name in ("observations", "actions")}
        old = torch.from_numpy(x["log_probabilities"]).reshape(16)
        advantages, targets = (
            torch.from_numpy(case.expected[f"advantages/{name}"][update])
            for name in ("normalized_advantages", "targets")
        )
        mini_batches = torch.from_numpy(drawn["order"]).reshape(-1, settings["mini_batch_size"])
        for place, chosen in enumerate(mini_batches):
            distribution = torch.distributions.Normal(policy(rows["observations"][chosen]), log_std.exp())
            ratios = (distribution.log_prob(rows["actions"][chosen]).sum(dim=-1) - old[chosen]).exp()
            clipped = ratios.clamp(1 - settings["clip"], 1 + settings["clip"])
            policy_losses = torch.maximum(-ratios * advantages[chosen], -clipped * advantages[chosen])
            value_losses = settings["value_weight"] * (value(rows["observations"][chosen])[:, 0] - targets[chosen]) ** 2
            optimizer.zero_grad()
            (policy_losses.mean() + value_losses.mean()).backward()
            optimizer.step()
            found = {
                name: case.expected[f"mini_batches/{name}"][update, place] for name in ("policy_losses", "value_losses")
            }
            assert_allclose(found["policy_losses"], policy_losses.detach().numpy(), rtol=0, atol=1e-11)
            assert_allclose(found["value_losses"], value_losses.detach().numpy(), rtol=0, atol=1e-11)
        for name, module in (("policy", policy), ("value", value)):
            for number, layer in enumerate(module[::2]):
                for part in ("weight", "bias"):
                    expected = case.expected[f"update/{name}/{part}/{number}"][update]
                    assert_allclose(getattr(layer, part).detach().numpy(), expected, rtol=0, atol=1e-10)
        assert_allclose(log_std.detach().numpy(), case.expected["update/log_std"][update], rtol=0, atol=1e-10)
        moment = optimizer.state[log_std]["exp_avg_sq"].numpy()
        assert_allclose(moment, case.expected["update/second_moment_log_std"][update], rtol=0, atol=1e-11)
