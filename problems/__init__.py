"""The problems, one file each, in the order in which `run_all.py` takes them."""

from problems import class_incremental_cifar, continual_imagenet, permuted_mnist, slowly_changing_regression

PROBLEMS = {
    "permuted_mnist": permuted_mnist,
    "slowly_changing_regression": slowly_changing_regression,
    "continual_imagenet": continual_imagenet,
    "class_incremental_cifar": class_incremental_cifar,
}
