"""The ant: physics and environments in plain array operations, for an agent that learns to run.

Experiments use `AntEnvironments`. The extra `mujoco` adds `problems.ant.mujoco_ants`, the same interface to MuJoCo's
Ant, and `problems.ant.gymnasium_ants`, Gymnasium's interface to our ants.

The package `minilop` does not include the problems. To import them, work in the folder of the repository, or add it to
PYTHONPATH.
"""

from problems.ant.environment import AntEnvironments
from problems.ant.interface import Environments, Step
from problems.ant.task_settings import AntSettings

__all__ = ["AntEnvironments", "AntSettings", "Environments", "Step"]
