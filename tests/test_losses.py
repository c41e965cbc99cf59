"""Losses: by hand, and their gradients against central differences."""

import math

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope

from minilop.losses import Loss, cross_entropy, squared_error

pytestmark = pytest.mark.quick


@on_both_array_modules
def test_cross_entropy_by_hand() -> None:
    """-log softmax(outputs)[label]; the gradient of the mean over B examples is (softmax - one-hot) / B."""
    outputs = device([[0.0, math.log(3)], [0.0, 0.0]])  # (O, B): the second example is 3 to 1 for class 0
    losses, gradient = cross_entropy(outputs, device([0, 1]))
    assert host(losses) == pytest.approx([math.log(2), math.log(4)])
    assert host(gradient) == pytest.approx(np.array([[1 / 2 - 1, 3 / 4], [1 / 2, 1 / 4 - 1]]) / 2)


@on_both_array_modules
def test_squared_error_by_hand() -> None:
    """Summed over the outputs without a factor 1/2; the gradient of the mean is 2 (output - target) / B."""
    outputs, targets = device([[1.0, 5.0], [2.0, 0.0]]), device([[3.0, 5.0], [2.5, -1.0]])
    losses, gradient = squared_error(outputs, targets)
    assert host(losses).tolist() == [(1 - 3) ** 2 + 0.5**2, 1.0]
    assert host(gradient).tolist() == [[2 * (1 - 3) / 2, 0], [2 * (2 - 2.5) / 2, 2 * 1 / 2]]


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("leading", [(), (3,)])
@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_gradient_is_that_of_the_mean_loss_of_each_run(loss: Loss, leading: tuple[int, ...], batch: int) -> None:
    random = np.random.default_rng(0)
    outputs, direction = random.normal(size=leading + (4, batch)), random.normal(size=leading + (4, batch))
    if loss is cross_entropy:
        targets = device(random.integers(4, size=leading + (batch,)))
    else:
        targets = device(random.normal(size=leading + (4, batch)))

    def mean_loss(outputs: np.ndarray) -> float:  # summed over the runs, each of which has a loss of its own
        losses, _ = loss(device(outputs), targets)
        assert losses.shape == leading + (batch,)
        return host(losses).mean(axis=-1).sum()

    gradient = host(loss(device(outputs), targets)[1])
    # Losses up to 30: rounding 30 * 1e-16 / 1e-6.
    assert (gradient * direction).sum() == pytest.approx(slope(mean_loss, outputs, direction), abs=1e-7)


def test_runs_do_not_touch_each_other() -> None:
    random = np.random.default_rng(0)
    outputs, labels = random.normal(size=(3, 4, 5)), random.integers(4, size=(3, 5))
    losses, gradient = cross_entropy(device(outputs), device(labels))
    alone = cross_entropy(device(outputs[1]), device(labels[1]))
    assert (host(alone[0]) == host(losses)[1]).all()
    assert (host(alone[1]) == host(gradient)[1]).all()


def test_gradient_of_cross_entropy_sums_to_zero_over_the_classes() -> None:
    """Adding one number to all outputs changes no probability."""
    random = np.random.default_rng(0)
    _, gradient = cross_entropy(device(random.normal(size=(2, 10, 3))), device(random.integers(10, size=(2, 3))))
    assert abs(host(gradient).sum(axis=-2)).max() < 1e-15  # ten numbers below 1/3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_outputs_do_not_overflow(dtype: str) -> None:
    with np.errstate(over="raise", invalid="raise"):
        losses, gradient = cross_entropy(device([[1e4, -1e4], [0.0, 1e4]], dtype), device([1, 1]))
    assert host(losses).tolist() == [1e4, 0]
    assert host(gradient).tolist() == [[0.5, 0], [-0.5, 0]]


@pytest.mark.parametrize("loss, targets", [(cross_entropy, [[1]]), (squared_error, np.float32([[[0.5], [1]]]))])
def test_losses_keep_single_precision(loss: Loss, targets: np.ndarray) -> None:
    losses, gradient = loss(device([[[1.0], [2.0]]], "float32"), device(targets))
    assert losses.dtype == gradient.dtype == np.float32


def test_a_loss_that_is_not_finite_stays_in_its_run() -> None:
    outputs = device([[[1.0], [np.nan]], [[0.0], [0.0]]])
    losses, gradient = cross_entropy(outputs, device([[0], [0]]))
    assert np.isnan(host(losses)[0]).all() and np.isfinite(host(losses)[1]).all()
    assert np.isfinite(host(gradient)[1]).all()
