"""Loss functions. Each returns the loss of every example and the gradient of the mean loss of the mini-batch.

    cross_entropy        - log softmax(outputs)[label]; integer labels (R, B)
    squared_error        sum over outputs of (output - target)^2, without a factor 1/2; targets (R, O, B)
    half_squared_error   half of the squared error, so that the gradient is the error, as step-size methods require

All return losses (R, B), measured before any update, and output_gradient (R, O, B), the gradient with respect to the
outputs of the network.
"""

from collections.abc import Callable

from minilop.backend import Array, xp

Loss = Callable[[Array, Array], tuple[Array, Array]]


def cross_entropy(outputs: Array, labels: Array) -> tuple[Array, Array]:
    """Cross-entropy of softmax(outputs). The gradient is (softmax - one-hot) / B."""
    shifted = outputs - outputs.max(axis=-2, keepdims=True)  # (R, O, B); no exponential overflows
    exponentials = xp.exp(shifted)
    total = exponentials.sum(axis=-2, keepdims=True)  # (R, 1, B)
    one_hot = xp.arange(outputs.shape[-2])[:, None] == labels[..., None, :]  # (R, O, B)
    losses = xp.log(total[..., 0, :]) - xp.where(one_hot, shifted, 0).sum(axis=-2)  # (R, B)
    return losses, (exponentials / total - one_hot) / outputs.shape[-1]


def squared_error(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Squared error, summed over the outputs. The gradient is 2 (output - target) / B; ValueError for labels."""
    if targets.ndim != outputs.ndim:  # broadcasting would hide the mistake
        raise ValueError(f"Targets must have the shape (R, O, B), here {outputs.shape}, not {targets.shape}.")
    error = outputs - targets  # (R, O, B)
    return (error * error).sum(axis=-2), error * (2 / outputs.shape[-1])


def half_squared_error(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Half the squared error, summed over the outputs. The gradient is (output - target) / B."""
    losses, output_gradient = squared_error(outputs, targets)
    return losses / 2, output_gradient / 2
