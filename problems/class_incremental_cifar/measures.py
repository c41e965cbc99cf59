"""The measures of the networks of class-incremental CIFAR-100."""

from collections.abc import Iterable

from minilop import diagnostics, draws
from minilop.backend import Array, xp
from minilop.learner import Learner
from minilop.networks import Network
from minilop.residual_networks import Graph
from problems.class_incremental_cifar.examples import Examples


def count_correct(
    network: Network, examples: Examples, which: str, num_seen: int, mini_batches: Iterable[int]
) -> Array:
    """The number of images classified correctly among the first `num_seen` classes, (R,).

    which          "training", "validation" or "test": the images of these classes, in order
    mini_batches   indices of the mini-batches to count
    """
    size = examples.settings.batch_size
    network.begin_evaluation()
    indices, labels = examples.indices(examples.indices_of[which], 0, num_seen)
    num_correct = xp.zeros(len(network.seeds), int)
    for number in mini_batches:
        batch = slice(number * size, (number + 1) * size)
        outputs = network.forward(examples.inputs(indices[:, batch]))[-1][:, :num_seen]  # (R, seen, B)
        num_correct += (xp.argmax(outputs, axis=-2) == labels[batch]).sum(axis=-1)
    return num_correct


def diagnose(learner: Learner, examples: Examples, increment: int) -> dict[str, Array]:
    """Measures of the network when the classes of an increment arrive, before it learns them, (R,) each.

    dormant_units              percentage of all hidden units that are active at under 1 % of positions and images of
                               the arriving classes
    dormant_units_on_previous  the same on images of the earlier classes, NaN if there are none
    stable_rank                of the last hidden layer on the arriving classes, as a percentage of its units
    weight_magnitude           mean absolute value of all parameters
    """
    network = learner.network
    measures = {"weight_magnitude": abs(network.parameters).mean(axis=-1)}
    if not network.hidden:
        return measures
    num_seen = examples.settings.num_seen(increment)
    arriving = num_seen - examples.settings.classes_per_increment
    measures["dormant_units"], measures["stable_rank"] = diagnose_on(learner, examples, increment, arriving, num_seen)
    measures["dormant_units_on_previous"] = (
        diagnose_on(learner, examples, increment, 0, arriving)[0] if arriving else xp.full(len(network.seeds), xp.nan)
    )
    return measures


def diagnose_on(learner: Learner, examples: Examples, increment: int, first: int, last: int) -> tuple[Array, Array]:
    """Percentage of dormant units, and stable rank of the last hidden layer as a percentage of its units, (R,) each.

    Measured on random images of classes `first` to `last` - 1. As in learning, batch normalization uses the mean and
    variance of these images, but the running statistics do not change.
    """
    network = learner.network
    assert isinstance(network, Graph)  # all networks with hidden layers are
    indices, labels = examples.indices(range(examples.indices_of["test"].start), first, last)
    order = draws.permutation(network.seeds, "diagnostic images", len(labels), step=increment, slot=first)  # (R, N)
    indices = xp.take_along_axis(indices, order[:, : examples.settings.num_diagnostic_images], axis=-1)
    statistics = {name: array.copy() for name, array in network.buffers().items()}
    network.begin_step(learner.num_steps)
    num_units = [layer.incoming.num_outputs for layer in network.hidden]
    dormant = []
    for features in network.hidden_features(examples.inputs(indices)):
        dormant.append(diagnostics.dormant_unit_fraction(features))
    for name, array in network.buffers().items():
        array[...] = statistics[name]
    stable_rank = 100 / num_units[-1] * diagnostics.stable_rank(features)
    return diagnostics.percentage_of_units(dormant, num_units), stable_rank
