"""An ant that learns to run, and the floor under it: physics and environments in plain array operations.

`AntEnvironments` is what experiments use. With the extra `mujoco` there are also `problems.ant.mujoco_ants`, the same
interface on MuJoCo's Ant, and `problems.ant.gymnasium_ants`, our ants behind Gymnasium's interface.

The problems are not installed with the package `minilop`: import them from the folder of the repository, or with that
on PYTHONPATH.
"""

from problems.ant.environment import AntEnvironments
from problems.ant.interface import Environments, Step
from problems.ant.task_settings import AntSettings

__all__ = ["AntEnvironments", "AntSettings", "Environments", "Step"]
