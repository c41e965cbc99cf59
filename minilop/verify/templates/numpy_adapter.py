"""An adapter in NumPy between minilop's verification kit and an implementation: try it, then insert your own code.

    python -m minilop.verify run --adapter numpy_adapter.py:Adapter

The upper half implements SGD and Continual Backprop for one network, with features first and the batch last. Delete it,
import your own implementation instead, and call that from the lower half. `python -m minilop.verify explain CASE`
describes a case.
"""

import numpy as np

# --- The implementation: replace it by your own -----------------------------------------------------------------------


def forward(weights, biases, x):
    """The values of all layers: inputs (I, B), features after the relu (H, B), outputs (O, B)."""
    values = [x]
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        sums = weight @ values[-1] + bias[:, None]
        values.append(sums if layer == len(weights) - 1 else np.maximum(sums, 0))
    return values


def backward(weights, values, y):
    """The losses (B,), and the gradients of their mean: weights (O, I) and biases (O,) of each layer."""
    error = values[-1] - y
    gradient = 2 * error / y.shape[1]  # gradient of the mean over examples of the sum of error^2 over outputs
    weight_gradients, bias_gradients = [], []
    for weight, inputs in zip(weights[::-1], values[-2::-1]):
        weight_gradients.insert(0, gradient @ inputs.T)
        bias_gradients.insert(0, gradient.sum(axis=1))
        gradient = (weight.T @ gradient) * (inputs > 0)
    return (error**2).sum(axis=0), weight_gradients, bias_gradients


class ContinualBackprop:
    """Replaces the least useful units of the hidden layers."""

    def __init__(self, weights, biases, replacement_rate, maturity_threshold, decay_rate):
        self.weights, self.biases = weights, biases  # changed in place
        self.replacement_rate = replacement_rate
        self.maturity_threshold = maturity_threshold
        self.decay_rate = decay_rate
        hidden = biases[:-1]
        self.age = [np.zeros_like(bias) for bias in hidden]
        self.utility = [np.zeros_like(bias) for bias in hidden]
        self.units_to_replace = [0.0 for _ in hidden]  # accumulated; the fraction is carried over

    def update_utility(self, layer, features):
        """Update age and utility. Returns the bias-corrected utility (H,)."""
        outgoing = abs(self.weights[layer + 1]).sum(axis=0)
        contribution = abs(features).mean(axis=1) * outgoing
        self.age[layer] += 1
        self.utility[layer] *= self.decay_rate
        self.utility[layer] += (1 - self.decay_rate) * contribution
        return self.utility[layer] / (1 - self.decay_rate ** self.age[layer])

    def select(self, layer, corrected_utility):
        """Select the units to replace. Returns a mask (H,)."""
        eligible = self.age[layer] > self.maturity_threshold
        self.units_to_replace[layer] += self.replacement_rate * eligible.sum()
        number = min(int(self.units_to_replace[layer]), eligible.sum())
        self.units_to_replace[layer] -= number
        order = np.argsort(np.where(eligible, corrected_utility, np.inf), kind="stable")
        chosen = np.zeros(len(eligible), bool)
        chosen[order[:number]] = True
        return chosen

    def replace(self, layer, chosen, uniform):
        """Draw incoming weights from `uniform` numbers (H, I) in [0, 1); set all other quantities of the units to 0."""
        bound = np.sqrt(6 / self.weights[layer].shape[1])
        self.weights[layer][chosen] = bound * (2 * uniform[chosen] - 1)
        self.biases[layer][chosen] = 0
        self.weights[layer + 1][:, chosen] = 0
        self.age[layer][chosen] = 0
        self.utility[layer][chosen] = 0


# --- The adapter: what the kit calls ----------------------------------------------------------------------------------

# Add the cases that your implementation supports.
KNOWN = ("sgd/plain", "continual_backprop/contribution", "continual_backprop/immature_units")


class Adapter:
    """The kit creates a new adapter for each case."""

    def load(self, case, parameters):
        """Start a case with case.settings, case.sizes, and initial parameters "weight/0", "bias/0", ..."""
        if case.id not in KNOWN:
            raise NotImplementedError(f"{case.id} is not supported by this adapter")
        self.phases = case.phases
        self.step_size = case.settings["step_size"]
        self.layers = range(len(case.sizes["layers"]) - 1)
        self.weights = [parameters[f"weight/{layer}"] for layer in self.layers]
        self.biases = [parameters[f"bias/{layer}"] for layer in self.layers]
        self.rule = None
        if "replacement_rate" in case.settings:
            names = ("replacement_rate", "maturity_threshold", "decay_rate")
            self.rule = ContinualBackprop(self.weights, self.biases, **{name: case.settings[name] for name in names})

    def step(self, x, y, draws):
        """Learn from x (I, B) and y (O, B). Returns quantities of the step by name; others are not compared."""
        values = forward(self.weights, self.biases, x)
        losses, weight_gradients, bias_gradients = backward(self.weights, values, y)
        found = {"outputs": values[-1], "losses": losses}
        for layer in self.layers:
            if "backward" in self.phases:  # gradients are not in every case
                found[f"weight_gradient/{layer}"] = weight_gradients[layer]
                found[f"bias_gradient/{layer}"] = bias_gradients[layer]
            self.weights[layer] -= self.step_size * weight_gradients[layer]
            self.biases[layer] -= self.step_size * bias_gradients[layer]
            # A name with a phase is the value after this phase; without a phase, the value at the end of the step.
            found[f"optimizer/weight/{layer}"] = self.weights[layer].copy()
            found[f"optimizer/bias/{layer}"] = self.biases[layer].copy()
        for layer in self.layers[:-1]:
            found[f"features/{layer}"] = values[layer + 1]
        if self.rule:
            found |= self.replace(values, draws)
        return found

    def replace(self, values, draws):
        rule, hidden = self.rule, self.layers[:-1]
        corrected = [
            rule.update_utility(layer, values[layer + 1]) for layer in hidden
        ]  # all utilities are updated before any replacement
        found = {f"bias_corrected_utility/{layer}": corrected[layer] for layer in hidden}
        for layer in hidden:
            found[f"age_and_utility/age/{layer}"] = rule.age[layer].copy()
            found[f"age_and_utility/utility/{layer}"] = rule.utility[layer].copy()
        chosen = [rule.select(layer, corrected[layer]) for layer in hidden]
        for layer in hidden:
            rule.replace(layer, chosen[layer], draws[f"fresh_weight/{layer}"])
            found[f"replaced/{layer}"] = chosen[layer]
            found[f"units_to_replace/{layer}"] = np.array([rule.units_to_replace[layer]])
            found[f"age/{layer}"] = rule.age[layer]
            found[f"utility/{layer}"] = rule.utility[layer]
        for layer in self.layers:
            found[f"weight/{layer}"] = self.weights[layer]
            found[f"bias/{layer}"] = self.biases[layer]
        return found

    def set_state(self, state):
        """Optional, for --mode resync: adopt the reference's state."""
        for layer in self.layers:
            self.weights[layer][...] = state[f"weight/{layer}"]
            self.biases[layer][...] = state[f"bias/{layer}"]
        if self.rule:
            for layer in self.layers[:-1]:
                self.rule.age[layer][...] = state[f"age/{layer}"]
                self.rule.utility[layer][...] = state[f"utility/{layer}"]
                self.rule.units_to_replace[layer] = float(state[f"units_to_replace/{layer}"][0])
