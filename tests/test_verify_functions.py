"""The verification kit on single functions: its vectors by SciPy, by loops over units and steps, and by PyTorch's autograd."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from conftest import slope
from numpy.testing import assert_allclose, assert_array_equal

from minilop.verify.case_files import load_case
from minilop.verify.reference.functions import FUNCTIONS

pytestmark = pytest.mark.quick

EXACT = {"rtol": 1e-12, "atol": 1e-13}


def instances(name):
    """Arguments and results, without their phases, of each instance of a case."""
    case = load_case(f"functions/{name}")
    for step in range(case.steps):
        yield case.arguments(step), {path.split("/", 1)[1]: array[step] for path, array in case.expected.items()}


def derivative(function, arguments, name, results, weights):
    """How fast the weighted mean of `results` grows along a random direction of one argument, and that direction."""
    direction = np.random.default_rng(0).normal(size=arguments[name].shape)

    def total(point):
        return (FUNCTIONS[function](**{**arguments, name: point})[results] * weights).mean()

    return slope(total, arguments[name], direction), direction


# --- losses and initial weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, factor", [("squared_error", 1.0), ("half_squared_error", 0.5)])
def test_squared_errors_are_summed_over_outputs_and_their_gradient_is_that_of_the_mean(name, factor):
    for given, found in instances(name):
        error = given["outputs"] - given["targets"]
        for example in range(4):
            assert found["losses"][example] == pytest.approx(factor * sum(e**2 for e in error[:, example]))
        assert_allclose(found["output_gradient"], factor * 2 * error / 4, **EXACT)
        measured, direction = derivative(name, given, "outputs", "loss/losses", 1.0)
        assert measured == pytest.approx((found["output_gradient"] * direction).sum(), rel=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_large_outputs"])
def test_cross_entropy_is_scipys_log_softmax(name):
    for given, found in instances(name):
        logs = scipy.special.log_softmax(given["outputs"], axis=0)  # (O, B)
        examples = np.arange(4)
        assert_allclose(found["losses"], -logs[given["labels"], examples], rtol=1e-12, atol=1e-12)
        expected = np.exp(logs)
        expected[given["labels"], examples] -= 1
        assert_allclose(found["output_gradient"], expected / 4, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["squared_error", "half_squared_error", "cross_entropy"])
def test_losses_and_gradients_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    for given, found in instances(name):
        outputs = torch.tensor(given["outputs"], requires_grad=True)
        if name == "cross_entropy":
            labels = torch.from_numpy(given["labels"])
            losses = torch.nn.functional.cross_entropy(outputs.T, labels, reduction="none")
        else:
            losses = ((outputs - torch.from_numpy(given["targets"])) ** 2).sum(dim=0) * (0.5 if "half" in name else 1.0)
        losses.mean().backward()
        assert_allclose(found["losses"], losses.detach().numpy(), **EXACT)
        assert_allclose(found["output_gradient"], outputs.grad.numpy(), **EXACT)


def test_initial_weights_have_the_variance_of_their_scheme():
    """Of a uniform law in (-b, b) it is b^2 / 3. The relu's gain is sqrt(2), tanh's 5 / 3; a sigmoid has none."""
    gains = {"relu": 2, "elu": 2, "swish": 2, "tanh": 25 / 9, "sigmoid": 1, "identity": 1, "leaky_relu": 2 / 1.0001}
    for scheme in ("kaiming", "lecun", "xavier", "default", "kaiming_normal"):
        for given, found in instances(f"initial_weights_{scheme}"):
            assert found.keys() == gains.keys()
            for activation, scale in found.items():
                n, outputs, gain = int(given["fan_in"]), int(given["fan_out"]), gains[activation]
                variance = {
                    "kaiming": gain / n,
                    "lecun": 1 / n,
                    "xavier": gain * 2 / (n + outputs),
                    "default": 1 / (3 * n),
                    "kaiming_normal": gain / n,
                }[scheme]
                assert scale == pytest.approx(math.sqrt(variance * (1 if scheme == "kaiming_normal" else 3)))


# --- units and ranks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mean", "sum"])
def test_utilities_unit_by_unit(name):
    for given, found in instances(f"utilities_{name}"):
        for unit in range(5):
            features, centre = given["features"][unit], given["mean_feature"][unit]
            incoming = sum(abs(weight) for weight in given["incoming_weight"][unit]) / 3
            outgoing = sum(abs(weight) for weight in given["outgoing_weight"][:, unit]) / (2 if name == "mean" else 1)
            size = sum(abs(h) for h in features) / 4
            variation = sum(abs(h - centre) for h in features) / 4
            expected = {
                "contribution": outgoing * size,
                "weight": outgoing,
                "adaptation": 1 / incoming,
                "zero_contribution": outgoing * variation,
                "adaptable_contribution": outgoing * variation / incoming,
                "feature_by_input": variation / incoming,
            }
            assert {utility: worth[unit] for utility, worth in found.items()} == pytest.approx(expected)


def test_ranks_by_scipy():
    for given, found in instances("ranks"):
        values = scipy.linalg.svdvals(given["features"])
        assert_allclose(found["singular_values"], values, rtol=0, atol=1e-12)
        if not values.any():
            assert (found["effective_rank"], found["stable_rank"], found["approximate_rank"]) == (1, 0, 0)
            continue
        assert found["effective_rank"] == pytest.approx(math.exp(scipy.stats.entropy(values)))
        for rank, sizes in (("stable_rank", values), ("approximate_rank", values**2)):
            fewest = next(k for k in range(1, 7) if sum(sizes[:k]) > 0.99 * sum(sizes))
            assert found[rank] == fewest


def test_silent_units_are_counted():
    for given, found in instances("silent_units"):
        active = [sum(h != 0 for h in unit) for unit in given["features"]]
        assert active.count(1) == active.count(3) == 1
        assert found["dead_units"] == active.count(0) / 8
        assert found["dormant_units"] == (active.count(0) + 1) / 8  # 1 of 150 is less than 1 %, 3 are not


def test_dormant_units_of_redo_one_by_one():
    for given, found in instances("redo_dormant_units"):
        mean = sum(given["activity"]) / 10
        assert found["dormant"].tolist() == [each / mean <= 0.25 for each in given["activity"]]


def test_the_weight_magnitude_is_a_mean_over_all_weights():
    for given, found in instances("weight_magnitude"):
        every = np.concatenate([weight.ravel() for weight in given.values()])
        assert len(every) == 5 * 3 + 4 * 5 + 2 * 4
        assert found["weight_magnitude"] == pytest.approx(abs(every).mean())


def test_bins_and_standard_errors_are_scipys():
    for given, found in instances("learning_curve"):
        for run in range(5):
            for place in range(4):
                assert found["bins"][run, place] == pytest.approx(
                    given["errors"][run, 6 * place : 6 * place + 6].mean()
                )
        assert_allclose(found["mean"], found["bins"].mean(axis=0), **EXACT)
        assert_allclose(found["standard_error"], scipy.stats.sem(found["bins"], axis=0), **EXACT)


# --- reinforcement learning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["terminal", "bootstrapped"])
def test_advantages_are_sums_of_errors_up_to_the_end_of_the_episode(name):
    """A_t = sum over k of (gamma lambda)^k delta_{t+k}: forwards, where minilop goes backwards."""
    seen = set()
    for given, found in instances(f"advantages_{name}"):
        for environment in range(2):
            rewards, values, next_values, failed, out_of_time = (
                given[part][:, environment] for part in ("rewards", "values", "next_values", "terminated", "timed_out")
            )
            for start in range(12):
                total = 0.0
                for k, step in enumerate(range(start, 12)):
                    counts = not failed[step] and not (name == "terminal" and out_of_time[step])
                    delta = rewards[step] + 0.97 * next_values[step] * counts - values[step]
                    total += (0.97 * 0.9) ** k * delta
                    seen.add((bool(failed[step]), bool(out_of_time[step])))
                    if failed[step] or out_of_time[step]:
                        break
                assert found["advantages"][start, environment] == pytest.approx(total)
    assert {(True, False), (False, True), (False, False)} <= seen


def test_normalized_advantages_are_scipys_scores():
    for given, found in instances("normalized_advantages"):
        assert_allclose(found["normalized_advantages"], scipy.stats.zscore(given["advantages"], ddof=1), **EXACT)


def test_log_probabilities_are_scipys_and_their_gradients_by_differences():
    for given, found in instances("gaussian_log_probability"):
        deviation = np.exp(given["log_std"])[:, None]
        expected = scipy.stats.norm.logpdf(given["actions"], given["mean"], deviation).sum(axis=0)
        assert_allclose(found["log_probability"], expected, **EXACT)
        for argument, gradient in (
            ("mean", found["mean_gradient"]),
            ("log_std", found["log_std_gradient"].sum(axis=-1)),
        ):
            measured, direction = derivative("gaussian_log_probability", given, argument, "policy/log_probability", 6.0)
            assert measured == pytest.approx((gradient * direction).sum(), rel=1e-6)


def test_some_ratios_are_clipped_some_are_not_and_some_would_be_but_for_the_maximum():
    ways = set()
    for given, found in instances("ppo_policy_loss"):
        now = scipy.stats.norm.logpdf(given["actions"], given["mean"], np.exp(given["log_std"])[:, None]).sum(axis=0)
        ratios = np.exp(now - given["old_log_probabilities"])
        for example, (ratio, advantage) in enumerate(zip(ratios, given["advantages"])):
            clipped = min(max(ratio, 0.8), 1.2)
            learns = -ratio * advantage >= -clipped * advantage
            assert found["losses"][example] == pytest.approx(max(-ratio * advantage, -clipped * advantage))
            assert found["mean_gradient"][:, example].any() == learns
            ways.add((bool(ratio != clipped), bool(learns)))
    assert ways == {(False, True), (True, False), (True, True)}


def test_the_gradients_of_ppos_losses_are_pytorchs():
    torch = pytest.importorskip("torch")
    for given, found in instances("ppo_policy_loss"):
        actions, old, advantages = (
            torch.from_numpy(given[name]) for name in ("actions", "old_log_probabilities", "advantages")
        )
        mean, log_std = (torch.tensor(given[name], requires_grad=True) for name in ("mean", "log_std"))
        now = torch.distributions.Normal(mean, log_std.exp()[:, None]).log_prob(actions).sum(dim=0)
        ratios = (now - old).exp()
        losses = torch.maximum(-ratios * advantages, -ratios.clamp(0.8, 1.2) * advantages)
        losses.mean().backward()
        assert_allclose(found["losses"], losses.detach().numpy(), **EXACT)
        assert_allclose(found["mean_gradient"], mean.grad.numpy(), **EXACT)
        assert_allclose(found["log_std_gradient"], log_std.grad.numpy(), **EXACT)
    for given, found in instances("ppo_value_loss"):
        values = torch.tensor(given["values"], requires_grad=True)
        losses = 0.75 * (values - torch.from_numpy(given["targets"])) ** 2
        losses.mean().backward()
        assert_allclose(found["losses"], losses.detach().numpy(), **EXACT)
        assert_allclose(found["value_gradient"], values.grad.numpy(), **EXACT)


def test_choices_are_made_by_a_margin():
    """Not by rounding, in float32 neither."""
    for name in ("ranks", "silent_units", "redo_dormant_units", "ppo_policy_loss"):
        margins = load_case(f"functions/{name}").margins
        assert margins and min(margins.values()) >= 1e-3


def test_arguments_are_left_as_they_are():
    case = load_case("functions/utilities_sum")
    given = case.arguments(0)
    FUNCTIONS["utilities"](**given)
    for name, array in case.arguments(0).items():
        assert_array_equal(given[name], array)
