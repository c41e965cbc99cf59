"""The numbers of docs/one_update.md, recomputed by the library phase by phase."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from minilop import draws
from minilop.learner import Learner
from minilop.losses import squared_error
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop
from minilop.recipes import mlp

pytestmark = pytest.mark.quick

PAGE = (Path(__file__).parents[1] / "docs" / "one_update.md").read_text()
NUMBERS = re.compile(r"^    (\w+) +?= (.+)$", re.MULTILINE)  # name = value
SECTIONS = {
    title: {name: np.array(ast.literal_eval(value)) for name, value in NUMBERS.findall(body)}
    for title, body in re.findall(r"^## (.+)\n([^#]*)", PAGE, re.MULTILINE)
}


def check(title, **found):
    """The numbers of a section are these, all of them; arrays have one run."""
    written = SECTIONS[title]
    assert written.keys() == found.keys()
    for name, array in found.items():
        expected = np.asarray(array, float).reshape(written[name].shape)
        np.testing.assert_allclose(written[name], expected, rtol=0, atol=5e-7, err_msg=f"{title}: {name}")


def parameters(network):
    """Copies, so that a later phase does not change them."""
    named = network.named(network.parameters)
    names = {"W1": "weight/0", "b1": "bias/0", "W2": "weight/1", "b2": "bias/1"}
    return {short: named[name].copy() for short, name in names.items()}


def test_the_page_shows_what_the_library_computes():
    before = SECTIONS["Before"]
    rule = ContinualBackprop(
        replacement_rate=0.25,
        maturity_threshold=2,
        decay_rate=0.9,
        utility="contribution",
        outgoing="sum",
        bias_correction=False,
    )
    network = mlp((2, 3, 1), "relu", seeds=[0], dtype="float64")
    learner = Learner(network, squared_error, SGD(step_size=0.1), [rule])
    named = network.named(network.parameters)
    for short, name in {"W1": "weight/0", "b1": "bias/0", "W2": "weight/1", "b2": "bias/1"}.items():
        named[name][...] = before[short].reshape(named[name].shape)
    bound_rule = learner.rules[0]
    units = bound_rule.units[0]
    units["age"][...] = before["age"]
    units["utility"][...] = before["utility"]
    units["units_to_replace"][...] = before["c"]

    values = learner.forward(before["x"][None])
    check("Forward", z=values[1], h=values[2], output=values[3])

    losses, output_gradient = learner.loss(values[-1], before["y"][None])
    check("Loss", losses=losses, output_gradient=output_gradient)

    output_gradients = learner.backward(values, output_gradient)
    gradients = network.named(network.gradients)
    check(
        "Backward",
        h_gradient=output_gradients[1],
        z_gradient=output_gradients[0],
        W2_gradient=gradients["weight/1"],
        b2_gradient=gradients["bias/1"],
        W1_gradient=gradients["weight/0"],
        b1_gradient=gradients["bias/0"],
    )

    learner.update(values, output_gradients)
    updated = parameters(network)
    check("Update", **updated)

    activity = abs(values[2]).mean(axis=-1)
    contribution = activity * abs(updated["W2"]).sum(axis=-2)
    utility = 0.9 * before["utility"] + 0.1 * contribution
    age = before["age"] + 1
    check("Age and utility", age=age, activity=activity, contribution=contribution, utility=utility)

    learner.after_update(values)
    replaced = units["age"] == 0
    check(
        "Selection",
        eligible=age > 2,
        c_before=before["c"] + 0.25 * (age > 2).sum(),
        replaced=replaced,
        c=units["units_to_replace"],
    )

    uniforms = draws.uniform(0, "fresh weight", (2,), layer=0, step=0, slot=1, dtype="float64")
    assert np.allclose(parameters(network)["W1"][0, 1], np.sqrt(3) * (2 * uniforms - 1))
    check("Replacement", u=uniforms, **parameters(network), age=units["age"], utility=units["utility"])
    assert np.allclose(units["utility"], np.where(replaced, 0, utility))


def test_the_outputs_lose_the_contribution_of_the_replaced_unit_alone():
    """As the last paragraph of the page says."""
    h = SECTIONS["Forward"]["h"]
    updated, final = SECTIONS["Update"], SECTIONS["Replacement"]
    lost = (updated["W2"] @ h) - (final["W2"] @ h)
    assert np.allclose(lost, updated["W2"][0, 1] * h[1])
