"""Reinforcement learning: Proximal Policy Optimization, its Gaussian policy, its advantages; one file each."""

from minilop.reinforcement.ppo import PPO
from minilop.reinforcement.ppo_settings import PPOSettings

__all__ = ["PPO", "PPOSettings"]
