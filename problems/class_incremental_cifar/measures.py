"""What is measured of the networks of class-incremental CIFAR-100, without learning."""

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
    """How many images are classified correctly among the first `num_seen` classes, (R,).

    which          "training", "validation" or "test" images of these classes, in order
    mini_batches   those of them that are counted
    """
    size = examples.settings.batch_size
    network.begin_evaluation()
    places, labels = examples.places(examples.places_of[which], 0, num_seen)
    num_correct = xp.zeros(len(network.seeds), int)
    for number in mini_batches:
        batch = slice(number * size, (number + 1) * size)
        outputs = network.forward(examples.inputs(places[:, batch]))[-1][:, :num_seen]  # (R, seen, B)
        num_correct += (xp.argmax(outputs, axis=-2) == labels[batch]).sum(axis=-1)
    return num_correct


def diagnose(learner: Learner, examples: Examples, increment: int) -> dict[str, Array]:
    """What the network is when the classes of an increment arrive, before it learns from them: (R,) each.

    dormant_units              percent of all hidden units that are active at under 1 % of places and images of the
                               arriving classes
    dormant_units_on_previous  the same on images of the classes before, NaN where there are none
    stable_rank                of the last hidden layer on the arriving classes, in percent of its units
    weight_magnitude           mean over all parameters
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
    """Percent of dormant units, and stable rank of the last hidden layer in percent of its units, (R,) each.

    On random images of classes `first` to `last` - 1. As in learning they are normalized by their own mean and
    variance, but the running ones stay as they are.
    """
    network = learner.network
    assert isinstance(network, Graph)  # as all with hidden layers are
    places, labels = examples.places(range(examples.places_of["test"].start), first, last)
    order = draws.permutation(network.seeds, "diagnostic images", len(labels), step=increment, slot=first)  # (R, N)
    places = xp.take_along_axis(places, order[:, : examples.settings.num_diagnostic_images], axis=-1)
    statistics = {name: array.copy() for name, array in network.buffers().items()}
    network.begin_step(learner.num_steps)
    num_units = [layer.incoming.num_outputs for layer in network.hidden]
    dormant = []
    for features in network.hidden_features(examples.inputs(places)):
        dormant.append(diagnostics.dormant_unit_fraction(features))
    for name, array in network.buffers().items():
        array[...] = statistics[name]
    stable_rank = 100 / num_units[-1] * diagnostics.stable_rank(features)
    return diagnostics.percentage_of_units(dormant, num_units), stable_rank
