"""Single functions, each as one would write it in PyTorch; gradients by autograd.

Arguments are tensors, but for settings and whole numbers; every function returns what its case's comment names.
"""

import math

import numpy as np
import torch
from torch import distributions
from torch.nn import functional

from pytorch_adapters.networks import GAINS, initial_scale


def gradients(total, *tensors):
    return [gradient.detach() for gradient in torch.autograd.grad(total, tensors)]


def loss(each, outputs):
    (gradient,) = gradients(each.mean(), outputs)
    return {"losses": each.detach(), "output_gradient": gradient}


def squared_error(outputs, targets):
    outputs.requires_grad_()
    return loss(functional.mse_loss(outputs, targets, reduction="none").sum(dim=0), outputs)


def half_squared_error(outputs, targets):
    outputs.requires_grad_()
    return loss(0.5 * functional.mse_loss(outputs, targets, reduction="none").sum(dim=0), outputs)


def cross_entropy(outputs, labels):
    outputs.requires_grad_()
    return loss(functional.cross_entropy(outputs.T, labels, reduction="none"), outputs)


def initial_weight_scale(fan_in, fan_out, scheme):
    return {
        f"scale/{name}": torch.tensor(initial_scale(scheme, name, int(fan_in), int(fan_out)), dtype=torch.float64)
        for name in GAINS
    }


def utilities(features, mean_feature, incoming_weight, outgoing_weight, outgoing):
    magnitude = outgoing_weight.abs()
    leaving = magnitude.mean(dim=0) if outgoing == "mean" else magnitude.sum(dim=0)
    entering = incoming_weight.abs().mean(dim=1)
    activity = features.abs().mean(dim=1)
    variation = (features - mean_feature[:, None]).abs().mean(dim=1)
    return {
        "utility/contribution": leaving * activity,
        "utility/weight": leaving,
        "utility/adaptation": 1 / entering,
        "utility/zero_contribution": leaving * variation,
        "utility/adaptable_contribution": leaving * variation / entering,
        "utility/feature_by_input": variation / entering,
    }


def ranks(features):
    values = torch.linalg.svdvals(features)
    if not values.any():
        zero = torch.tensor(0)
        return {
            "singular_values": values,
            "effective_rank": torch.ones(()),
            "stable_rank": zero,
            "approximate_rank": zero,
        }
    shares, squares = values / values.sum(), values**2 / (values**2).sum()
    return {
        "singular_values": values,
        "effective_rank": torch.exp(-torch.special.xlogy(shares, shares).sum()),
        "stable_rank": (shares.cumsum(0) <= 0.99).sum() + 1,
        "approximate_rank": (squares.cumsum(0) < 0.99).sum() + 1,
    }


def silent_units(features, dormant_threshold):
    active = (features != 0).double().mean(dim=1)
    return {
        "dead_units": (active == 0).double().mean(),
        "dormant_units": (active < dormant_threshold).double().mean(),
    }


def redo_dormant_units(activity, redo_threshold):
    return {"dormant": activity / activity.mean() <= redo_threshold}


def weight_magnitude(**weights):
    return {"weight_magnitude": torch.cat([weight.flatten() for weight in weights.values()]).abs().mean()}


def learning_curve(errors, bin_size):
    bins = errors.unflatten(1, (-1, bin_size)).mean(dim=2)
    return {"bins": bins, "mean": bins.mean(dim=0), "standard_error": bins.std(dim=0) / math.sqrt(len(bins))}


def advantages(rewards, values, next_values, terminated, timed_out, discount, lambda_, time_outs):
    found = torch.zeros_like(rewards)
    for environment in range(rewards.shape[1]):
        following = 0.0
        for step in reversed(range(len(rewards))):
            at = step, environment
            worthless = bool(terminated[at]) or (time_outs == "terminal" and bool(timed_out[at]))
            delta = rewards[at] + (0.0 if worthless else discount * next_values[at]) - values[at]
            ended = bool(terminated[at] or timed_out[at])
            following = delta if ended else delta + discount * lambda_ * following
            found[at] = following
    return {"advantages": found}


def normalized_advantages(advantages):
    return {"normalized_advantages": (advantages - advantages.mean()) / advantages.std()}


def log_probability(actions, mean, log_std):
    """Of actions (A, B), (B,)."""
    return distributions.Normal(mean, log_std.exp()[:, None].expand_as(mean)).log_prob(actions).sum(dim=0)


def gaussian_log_probability(actions, mean, log_std):
    by_example = log_std[:, None].repeat(1, actions.shape[1]).requires_grad_()
    mean.requires_grad_()
    found = distributions.Normal(mean, by_example.exp()).log_prob(actions).sum(dim=0)
    by_mean, by_log_std = gradients(found.sum(), mean, by_example)
    return {"log_probability": found.detach(), "mean_gradient": by_mean, "log_std_gradient": by_log_std}


def policy_losses(mean, log_std, actions, old_log_probabilities, advantages, clip):
    """Of each sample, (B,)."""
    ratio = torch.exp(log_probability(actions, mean, log_std) - old_log_probabilities)
    return torch.maximum(-ratio * advantages, -ratio.clamp(1 - clip, 1 + clip) * advantages)


def ppo_policy_loss(mean, log_std, actions, old_log_probabilities, advantages, clip):
    mean.requires_grad_(), log_std.requires_grad_()
    each = policy_losses(mean, log_std, actions, old_log_probabilities, advantages, clip)
    by_mean, by_log_std = gradients(each.mean(), mean, log_std)
    return {"losses": each.detach(), "mean_gradient": by_mean, "log_std_gradient": by_log_std}


def ppo_value_loss(values, targets, value_weight):
    values.requires_grad_()
    each = value_weight * (values - targets) ** 2
    (gradient,) = gradients(each.mean(), values)
    return {"losses": each.detach(), "value_gradient": gradient}


def call(function, arguments):
    """By its name; arrays in and out."""
    tensors = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()
    }
    found = {name: tensor.numpy() for name, tensor in globals()[function](**tensors).items()}
    return found
