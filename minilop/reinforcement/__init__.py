"""Reinforcement learning by Proximal Policy Optimization, with a Gaussian policy and generalized advantages."""

from minilop.reinforcement.ppo import PPO
from minilop.reinforcement.ppo_settings import PPOSettings

__all__ = ["PPO", "PPOSettings"]
