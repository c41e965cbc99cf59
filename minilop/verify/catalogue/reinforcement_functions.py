"""The cases of single functions of reinforcement learning."""

import numpy as np

from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.examples import in_float32
from minilop.verify.catalogue.functions import FunctionCases, events, numbers

CASES = FunctionCases()


def rollout(case: Case) -> Arrays:
    return {
        **{name: numbers(case, name, 12, 2) for name in ("rewards", "values", "next_values")},
        "terminated": events(case, "terminated", 12, 2, share=0.15),
        "timed_out": events(case, "timed out", 12, 2, share=0.15),
    }


for seed, time_outs in ((241, "terminal"), (242, "bootstrapped")):
    CASES.add(
        f"advantages_{time_outs}",
        "advantages",
        "rewards, values, next_values (T, N), terminated, timed_out (T, N) of bool, discount, lambda_, time_outs (what "
        "V' is at a time-out: 0 where it is terminal) -> advantages (T, N), generalized. No advantage flows over an "
        "end.",
        rollout,
        seed=seed,
        flags=(
            "advantages_flow_over_ends",
            "advantages_flow_over_time_outs",
            "advantages_value_after_failures",
            "advantages_other_time_outs",
        ),
        steps=3,
        discount=0.97,
        lambda_=0.9,
        time_outs=time_outs,
    )


def policy(case: Case) -> Arrays:
    return {
        "actions": numbers(case, "actions", 2, 6),
        "mean": numbers(case, "mean", 2, 6, scale=0.5),
        "log_std": numbers(case, "log_std", 2, scale=0.25),
    }


def update(case: Case) -> Arrays:
    """A policy update whose old log-probabilities are close to the current ones, so that only some ratios are "
    "clipped."""
    arrays = policy(case)
    z = (arrays["actions"] - arrays["mean"]) / np.exp(arrays["log_std"])[..., None]
    constant = arrays["log_std"].sum(axis=-1) + np.log(2 * np.pi)
    present = -0.5 * (z**2).sum(axis=-2) - constant[:, None]
    old = in_float32(present + numbers(case, "old", 6, scale=0.375))
    return {**arrays, "old_log_probabilities": old, "advantages": numbers(case, "advantages", 6)}


CASES.add(
    "normalized_advantages",
    "normalized_advantages",
    "advantages (M,) -> normalized_advantages (M,), with mean 0 and standard deviation 1, by M - 1 and without an "
    "epsilon.",
    lambda case: {"advantages": numbers(case, "advantages", 8)},
    seed=243,
    flags=("advantages_normalized_by_n", "advantages_normalized_with_epsilon"),
)
CASES.add(
    "gaussian_log_probability",
    "gaussian_log_probability",
    "actions, mean (A, B), log_std (A,) -> log_probability (B,) of the actions, and its gradients mean_gradient (A, "
    "B) and log_std_gradient (A, B), of each example.",
    policy,
    seed=244,
    flags=("log_probability_without_constant",),
)
CASES.add(
    "ppo_policy_loss",
    "ppo_policy_loss",
    "mean, actions (A, B), log_std (A,), old_log_probabilities, advantages (B,), clip -> losses (B,), "
    "max(-rho A, -clip(rho) A), and the gradients of their mean: mean_gradient (A, B), log_std_gradient (A,).",
    update,
    seed=247,
    flags=("policy_loss_without_maximum", "policy_gradient_through_the_clip", "policy_loss_unclipped"),
    clip=0.2,
)
CASES.add(
    "ppo_value_loss",
    "ppo_value_loss",
    "values, targets (B,), value_weight -> losses (B,), value_weight (V - R)^2 without a factor 1/2, and "
    "value_gradient (B,), of their mean.",
    lambda case: {"values": numbers(case, "values", 6), "targets": numbers(case, "targets", 6)},
    seed=246,
    flags=("value_loss_halved",),
    value_weight=0.75,
)

DESCRIPTIONS = CASES.descriptions
make_inputs = CASES.make_inputs
