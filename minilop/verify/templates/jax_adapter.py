"""An adapter in JAX between minilop's verification kit and an implementation: try it, then insert your own code.

    python -m minilop.verify run --adapter jax_adapter.py:Adapter

The upper half implements SGD and Continual Backprop as pure functions, compiled by jit. Delete it, import your own
implementation instead, and call that from the lower half. `python -m minilop.verify explain CASE` describes a case.

The kit's arrays have the features first and the batch last, (n, B), and weights are (O, I). If your layers compute
x @ kernel, transpose the arrays that you receive and return.
"""

from functools import partial

import jax

jax.config.update("jax_enable_x64", True)  # without this JAX converts float64 to float32, and no float64 case agrees

import jax.numpy as jnp
import numpy as np

# --- The implementation: replace it by your own -----------------------------------------------------------------------


def forward(parameters, x):
    """The features (H, B) of the hidden layers, and the outputs (O, B); parameters are a list of (weight, bias)."""
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
    """One step of SGD. Returns the new parameters, the gradients, and the results of the forward pass."""
    gradients, found = jax.grad(mean_loss, has_aux=True)(parameters, x, y)
    return jax.tree.map(lambda value, gradient: value - step_size * gradient, parameters, gradients), gradients, found


@partial(jax.jit, static_argnames="decay_rate")
def update_utility(units, features, outgoing_weight, decay_rate):
    """Returns the units with updated age and utility, and the bias-corrected utility (H,)."""
    contribution = abs(features).mean(axis=1) * abs(outgoing_weight).sum(axis=0)
    age = units["age"] + 1
    utility = decay_rate * units["utility"] + (1 - decay_rate) * contribution
    return {**units, "age": age, "utility": utility}, utility / (1 - decay_rate**age)


@jax.jit
def select(units, corrected_utility, replacement_rate, maturity_threshold):
    """Returns a mask (H,) of the units to replace, and the updated units. A mask has a shape that jit can compile."""
    eligible = units["age"] > maturity_threshold
    units_to_replace = units["units_to_replace"] + replacement_rate * eligible.sum()
    number = jnp.minimum(jnp.floor(units_to_replace), eligible.sum())
    order = jnp.argsort(jnp.where(eligible, corrected_utility, jnp.inf), stable=True)
    chosen = jnp.argsort(order) < number
    return chosen, {**units, "units_to_replace": units_to_replace - number}


@jax.jit
def replace(parameters, outgoing, units, chosen, uniform):
    """Draw incoming weights from `uniform` numbers (H, I) in [0, 1); set all other quantities of the units to 0."""
    weight, bias = parameters
    fresh = jnp.sqrt(6 / weight.shape[1]) * (2 * uniform - 1)
    parameters = jnp.where(chosen[:, None], fresh, weight), jnp.where(chosen, 0, bias)
    outgoing = jnp.where(chosen, 0, outgoing[0]), outgoing[1]
    kept = {name: jnp.where(chosen, 0, units[name]) for name in ("age", "utility")}
    return parameters, outgoing, {**units, **kept}


# --- The adapter: what the kit calls ----------------------------------------------------------------------------------

# Add the cases that your implementation supports.
KNOWN = ("sgd/plain", "continual_backprop/contribution", "continual_backprop/immature_units")


class Adapter:
    """The kit creates a new adapter for each case."""

    def load(self, case, parameters):
        """Start a case with case.settings, case.sizes, and initial parameters "weight/0", "bias/0", ..."""
        if case.id not in KNOWN:
            raise NotImplementedError(f"{case.id} is not supported by this adapter")
        self.phases, self.settings = case.phases, case.settings
        self.layers = range(len(case.sizes["layers"]) - 1)
        self.parameters = [as_jax(parameters, "weight", "bias", layer=layer) for layer in self.layers]
        self.units = None
        if "replacement_rate" in case.settings:
            zeros = [jnp.zeros_like(bias) for _, bias in self.parameters[:-1]]
            self.units = [{"age": each, "utility": each, "units_to_replace": each[0]} for each in zeros]

    def step(self, x, y, draws):
        """Learn from x (I, B) and y (O, B). Returns quantities of the step by name; others are not compared."""
        self.parameters, gradients, (features, outputs, losses) = learn(
            self.parameters, jnp.asarray(x), jnp.asarray(y), self.settings["step_size"]
        )
        found = {"outputs": outputs, "losses": losses}
        for layer in self.layers:
            if "backward" in self.phases:  # gradients are not in every case
                found[f"weight_gradient/{layer}"], found[f"bias_gradient/{layer}"] = gradients[layer]
            # A name with a phase is the value after this phase; without a phase, the value at the end of the step.
            found[f"optimizer/weight/{layer}"], found[f"optimizer/bias/{layer}"] = self.parameters[layer]
        for layer in self.layers[:-1]:
            found[f"features/{layer}"] = features[layer]
        if self.units:
            found |= self.replace(features, draws)
        return {name: np.asarray(value) for name, value in found.items()}

    def replace(self, features, draws):
        settings, hidden, found = self.settings, self.layers[:-1], {}
        updated = []
        for layer in hidden:  # all utilities are updated before any replacement
            outgoing_weight = self.parameters[layer + 1][0]
            updated.append(update_utility(self.units[layer], features[layer], outgoing_weight, settings["decay_rate"]))
        for layer, (units, corrected) in zip(hidden, updated):
            found[f"age_and_utility/age/{layer}"] = units["age"]
            found[f"age_and_utility/utility/{layer}"] = units["utility"]
            found[f"bias_corrected_utility/{layer}"] = corrected
            chosen, units = select(units, corrected, settings["replacement_rate"], settings["maturity_threshold"])
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
        """Optional, for --mode resync: adopt the reference's state."""
        self.parameters = [as_jax(state, "weight", "bias", layer=layer) for layer in self.layers]
        if self.units:
            for layer in self.layers[:-1]:
                age, utility, units_to_replace = as_jax(state, "age", "utility", "units_to_replace", layer=layer)
                self.units[layer] = {"age": age, "utility": utility, "units_to_replace": units_to_replace[0]}


def as_jax(arrays, *names, layer):
    return tuple(jnp.asarray(arrays[f"{name}/{layer}"]) for name in names)
