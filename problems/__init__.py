"""The problems, in the order in which `run_all.py` runs them. Each problem is a module or a package."""

from problems import (
    class_incremental_cifar,
    continual_imagenet,
    feature_tracking,
    permuted_mnist,
    prediction,
    slippery_ant,
    slowly_changing_regression,
    stationary_ant,
    tracking,
)

PROBLEMS = {
    "permuted_mnist": permuted_mnist,
    "slowly_changing_regression": slowly_changing_regression,
    "continual_imagenet": continual_imagenet,
    "class_incremental_cifar": class_incremental_cifar,
    "slippery_ant": slippery_ant,
    "stationary_ant": stationary_ant,
    "tracking": tracking,
    "prediction": prediction,
    "feature_tracking": feature_tracking,
}
