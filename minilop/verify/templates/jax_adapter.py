"""An adapter in JAX between minilop's verification kit and an implementation: try it, then put in your own.

    python -m minilop.verify run --adapter jax_adapter.py:Adapter

The upper half is an implementation of SGD and Continual Backprop as pure functions, which jit compiles. Delete it, import
yours instead, and let the lower half call it. `python -m minilop.verify explain CASE` says what a case wants.

The kit has features first and the batch last, (n, B), and weights (O, I); if your layers compute x @ kernel, transpose
what you take and what you return.
"""

from functools import partial

import jax

jax.config.update("jax_enable_x64", True)  # else JAX makes float32 of float64, and no case in float64 can agree

import jax.numpy as jnp
import numpy as np

# --- The implementation: yours goes here ------------------------------------------------------------------------------


def forward(parameters, x):
    """Features (H, B) of the hidden layers, and outputs (O, B); parameters are a list of (weight, bias)."""
    features = []
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(weight @ x + bias[:, None])
        features.append(x)
    weight, bias = parameters[-1]
    return features, weight @ x + bias[:, None]


def mean_loss(parameters, x, y):
    features, outputs = forward(parameters, x)
    losses = ((outputs - y) ** 2).sum(axis=0)
    return losses.mean(), (features, outputs, losses)


@jax.jit
def learn(parameters, x, y, step_size):
    """One step of SGD. Returns the new parameters, the gradients, and what the forward pass found."""
    gradients, found = jax.grad(mean_loss, has_aux=True)(parameters, x, y)
    return jax.tree.map(lambda value, gradient: value - step_size * gradient, parameters, gradients), gradients, found


@partial(jax.jit, static_argnames="decay_rate")
def judge(units, features, outgoing_weight, decay_rate):
    """One step older, the utility up to date; and the utility corrected for its start at 0, (H,)."""
    contribution = abs(features).mean(axis=1) * abs(outgoing_weight).sum(axis=0)
    age = units["age"] + 1
    utility = decay_rate * units["utility"] + (1 - decay_rate) * contribution
    return {**units, "age": age, "utility": utility}, utility / (1 - decay_rate**age)


@jax.jit
def choose(units, corrected_utility, replacement_rate, maturity_threshold):
    """The units to replace as a mask (H,), and what stays due. Masks, so that shapes do not depend on the data."""
    eligible = units["age"] > maturity_threshold
    due = units["units_to_replace"] + replacement_rate * eligible.sum()
    number = jnp.minimum(jnp.floor(due), eligible.sum())
    order = jnp.argsort(jnp.where(eligible, corrected_utility, jnp.inf), stable=True)
    chosen = jnp.argsort(order) < number
    return chosen, {**units, "units_to_replace": due - number}


@jax.jit
def replace(parameters, outgoing, units, chosen, uniform):
    """New incoming weights from uniform numbers (H, I) in [0, 1), no bias, no outgoing weights, no past."""
    weight, bias = parameters
    fresh = jnp.sqrt(6 / weight.shape[1]) * (2 * uniform - 1)
    parameters = jnp.where(chosen[:, None], fresh, weight), jnp.where(chosen, 0, bias)
    outgoing = jnp.where(chosen, 0, outgoing[0]), outgoing[1]
    kept = {name: jnp.where(chosen, 0, units[name]) for name in ("age", "utility")}
    return parameters, outgoing, {**units, **kept}


# --- The adapter: what the kit calls ----------------------------------------------------------------------------------

# Add the cases that your implementation is meant for.
KNOWN = ("sgd/plain", "continual_backprop/contribution", "continual_backprop/immature_units")


class Adapter:
    """A new one is made for each case."""

    def load(self, case, parameters):
        """Begin. case.settings has conventions and hyperparameters, case.sizes the sizes; parameters "weight/0", ..."""
        if case.id not in KNOWN:
            raise NotImplementedError(f"{case.id} is not among the cases of this adapter")
        self.phases, self.settings = case.phases, case.settings
        self.layers = range(len(case.sizes["layers"]) - 1)
        self.parameters = [as_jax(parameters, "weight", "bias", layer=layer) for layer in self.layers]
        self.units = None
        if "replacement_rate" in case.settings:
            zeros = [jnp.zeros_like(bias) for _, bias in self.parameters[:-1]]
            self.units = [{"age": each, "utility": each, "units_to_replace": each[0]} for each in zeros]

    def step(self, x, y, draws):
        """Learn from x (I, B) and y (O, B). Returns what you know of the step, by name; the rest is not compared."""
        self.parameters, gradients, (features, outputs, losses) = learn(
            self.parameters, jnp.asarray(x), jnp.asarray(y), self.settings["step_size"]
        )
        found = {"outputs": outputs, "losses": losses}
        for layer in self.layers:
            if "backward" in self.phases:  # gradients are not in every case
                found[f"weight_gradient/{layer}"], found[f"bias_gradient/{layer}"] = gradients[layer]
            # With its phase a name stands for the value after this phase, without for the one at the end of the step.
            found[f"optimizer/weight/{layer}"], found[f"optimizer/bias/{layer}"] = self.parameters[layer]
        for layer in self.layers[:-1]:
            found[f"features/{layer}"] = features[layer]
        if self.units:
            found |= self.replace(features, draws)
        return {name: np.asarray(value) for name, value in found.items()}

    def replace(self, features, draws):
        settings, hidden, found = self.settings, self.layers[:-1], {}
        judged = []
        for layer in hidden:  # all are judged before any is changed
            outgoing_weight = self.parameters[layer + 1][0]
            judged.append(judge(self.units[layer], features[layer], outgoing_weight, settings["decay_rate"]))
        for layer, (units, corrected) in zip(hidden, judged):
            found[f"age_and_utility/age/{layer}"] = units["age"]
            found[f"age_and_utility/utility/{layer}"] = units["utility"]
            found[f"bias_corrected_utility/{layer}"] = corrected
            chosen, units = choose(units, corrected, settings["replacement_rate"], settings["maturity_threshold"])
            self.parameters[layer], self.parameters[layer + 1], self.units[layer] = replace(
                self.parameters[layer],
                self.parameters[layer + 1],
                units,
                chosen,
                jnp.asarray(draws[f"fresh_weight/{layer}"]),
            )
            found[f"replaced/{layer}"] = chosen
            found[f"units_to_replace/{layer}"] = self.units[layer]["units_to_replace"][None]
            found[f"age/{layer}"] = self.units[layer]["age"]
            found[f"utility/{layer}"] = self.units[layer]["utility"]
        for layer in self.layers:
            found[f"weight/{layer}"], found[f"bias/{layer}"] = self.parameters[layer]
        return found

    def set_state(self, state):
        """Optional, for --mode resync: go on from the reference's state."""
        self.parameters = [as_jax(state, "weight", "bias", layer=layer) for layer in self.layers]
        if self.units:
            for layer in self.layers[:-1]:
                age, utility, due = as_jax(state, "age", "utility", "units_to_replace", layer=layer)
                self.units[layer] = {"age": age, "utility": utility, "units_to_replace": due[0]}


def as_jax(arrays, *names, layer):
    return tuple(jnp.asarray(arrays[f"{name}/{layer}"]) for name in names)
