"""The inputs of the cases of learners of networks. The other files of this folder define the cases of each suite.

y                    for cross_entropy "verify labels", integers below the number of outputs; otherwise normal numbers
draws/fresh_weight   (T, H, ...): row r is for unit r of the layer, uniform in [0, 1) or standard normal, depending on
                     the conventions `initialization` and `fresh_weights`; not scaled
draws/random_utility      (T, H): for utility=random
draws/replacement_coin    (T,): for rounding=chance; a unit is replaced if the number is below the quota
draws/noise/<parameter>   (T, ...): standard normal, one number per parameter, in the parameter's shape
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host
from minilop.networks import HiddenLayer, Network
from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue import (
    continual_backprop,
    gradient_descent,
    optimizer_state,
    redo,
    step_sizes,
    two_hidden_layers,
)
from minilop.verify.catalogue.examples import normals
from minilop.verify.catalogue.flags import FLAGS
from minilop.verify.reference.networks import make_network, named, of_one_run, shapes_of_examples
from minilop.verify.reference.settings import learner_settings

FAMILIES = (gradient_descent, continual_backprop, optimizer_state, redo, step_sizes, two_hidden_layers)
DESCRIPTIONS = [
    replace(description, flags=FLAGS.get(description.id, ()))
    for family in FAMILIES
    for description in family.DESCRIPTIONS
]
DRAWS_AT_A_TIME = 1024  # steps whose uniform numbers are drawn together


def make_inputs(case: Case) -> Arrays:
    """Initial parameters, examples and draws of a case of a learner."""
    network = make_network(case, learner_settings(case))
    inputs = {f"state/{name}": of_one_run(name, view) for name, view in named(network, network.parameters)}
    if case.sizes["network"] == "resnet":
        for name in [name for name in inputs if name.startswith("state/bias/")]:
            layer = int(name.split("/")[-1])
            inputs[name] = normals(case.seed, "verify biases", inputs[name].shape, layer + 1)[layer]
    shape, num_outputs = shapes_of_examples(case.sizes)
    inputs["x"] = normals(case.seed, "verify inputs", shape, case.steps)
    batch = case.sizes["batch"]
    if case.settings["loss"] == "cross_entropy":
        steps = np.arange(case.steps)
        inputs["y"] = to_host(draws.integers(case.seed, "verify labels", batch, num_outputs, step=steps))
    else:
        inputs["y"] = normals(case.seed, "verify targets", (num_outputs, batch), case.steps)
    return {**inputs, **{f"draws/{name}": to_host(array) for name, array in make_draws(case, network)}}


def make_draws(case: Case, network: Network) -> Iterator[tuple[str, Array]]:
    """The draws available to the learner, by "<purpose>/<layer>", (T, ...)."""
    settings, steps = learner_settings(case), np.arange(case.steps)
    if settings.perturb_scale:
        noise = draws.normal(case.seed, "perturbation", network.num_parameters, step=steps, dtype="float64")  # (T, P)
        yield from ((f"noise/{name}", of_steps(name, view)) for name, view in named(network, noise))
    if not (settings.replacement_rate or settings.redo_period):
        return
    for layer in network.hidden:
        number = layer.incoming.number
        yield f"fresh_weight/{number}", fresh_weights(case, layer)
        if settings.utility == "random" and settings.replacement_rate:
            shape = layer.incoming.num_outputs
            yield (
                f"random_utility/{number}",
                draws.uniform(case.seed, "random utility", shape, layer=number, step=steps, dtype="float64"),
            )
        if settings.rounding == "chance" and settings.replacement_rate:
            uniform = draws.uniform(case.seed, "replacement coin", DRAWS_AT_A_TIME, layer=number, dtype="float64")
            yield f"replacement_coin/{number}", uniform[: case.steps]


def fresh_weights(case: Case, layer: HiddenLayer) -> Array:
    """Random numbers (T, H, ...) for fresh weights, not scaled."""
    incoming, settings = layer.incoming, learner_settings(case)
    draw = draws.normal if incoming.is_normal or settings.fresh_weights == "normal" else draws.uniform
    return draw(
        case.seed,
        "fresh weight",
        incoming.row_shape,
        layer=incoming.number,
        step=np.arange(case.steps)[:, None],
        slot=np.arange(incoming.num_outputs),
        dtype="float64",
    )


def of_steps(name: str, array: Array) -> Array:
    """The array (T, ...); quantities of units become (T, H)."""
    return array if "weight" in name else array.reshape(len(array), -1)
