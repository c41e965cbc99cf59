"""An adapter in NumPy between minilop's verification kit and an implementation: try it, then put in your own.

    python -m minilop.verify run --adapter numpy_adapter.py:Adapter

The upper half is an implementation of SGD and Continual Backprop, one network, features first and batch last. Delete it,
import yours instead, and let the lower half call it. `python -m minilop.verify explain CASE` says what a case wants.
"""

import numpy as np

# --- The implementation: yours goes here ------------------------------------------------------------------------------


def forward(weights, biases, x):
    """Values of all layers: the inputs (I, B), features after relu (H, B), outputs (O, B)."""
    values = [x]
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        sums = weight @ values[-1] + bias[:, None]
        values.append(sums if layer == len(weights) - 1 else np.maximum(sums, 0))
    return values


def backward(weights, values, y):
    """Losses (B,), and the gradients of their mean: of the weights (O, I) and biases (O,) of each layer."""
    error = values[-1] - y
    gradient = 2 * error / y.shape[1]  # of the mean over examples of the sum over outputs of error^2
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
        self.units_to_replace = [0.0 for _ in hidden]  # the fraction that is carried over

    def judge(self, layer, features):
        """Age the units; bring their utility up to date. Returns it corrected for its start at 0, (H,)."""
        outgoing = abs(self.weights[layer + 1]).sum(axis=0)
        contribution = abs(features).mean(axis=1) * outgoing
        self.age[layer] += 1
        self.utility[layer] *= self.decay_rate
        self.utility[layer] += (1 - self.decay_rate) * contribution
        return self.utility[layer] / (1 - self.decay_rate ** self.age[layer])

    def choose(self, layer, corrected_utility):
        """The units to replace, bool (H,)."""
        eligible = self.age[layer] > self.maturity_threshold
        self.units_to_replace[layer] += self.replacement_rate * eligible.sum()
        number = min(int(self.units_to_replace[layer]), eligible.sum())
        self.units_to_replace[layer] -= number
        order = np.argsort(np.where(eligible, corrected_utility, np.inf), kind="stable")
        chosen = np.zeros(len(eligible), bool)
        chosen[order[:number]] = True
        return chosen

    def replace(self, layer, chosen, uniform):
        """New incoming weights from uniform numbers (H, I) in [0, 1), no bias, no outgoing weights, no past."""
        bound = np.sqrt(6 / self.weights[layer].shape[1])
        self.weights[layer][chosen] = bound * (2 * uniform[chosen] - 1)
        self.biases[layer][chosen] = 0
        self.weights[layer + 1][:, chosen] = 0
        self.age[layer][chosen] = 0
        self.utility[layer][chosen] = 0


# --- The adapter: what the kit calls ----------------------------------------------------------------------------------

# Add the cases that your implementation is meant for.
KNOWN = ("sgd/plain", "continual_backprop/contribution", "continual_backprop/immature_units")


class Adapter:
    """A new one is made for each case."""

    def load(self, case, parameters):
        """Begin. case.settings has conventions and hyperparameters, case.sizes the sizes; parameters "weight/0", ..."""
        if case.id not in KNOWN:
            raise NotImplementedError(f"{case.id} is not among the cases of this adapter")
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
        """Learn from x (I, B) and y (O, B). Returns what you know of the step, by name; the rest is not compared."""
        values = forward(self.weights, self.biases, x)
        losses, weight_gradients, bias_gradients = backward(self.weights, values, y)
        found = {"outputs": values[-1], "losses": losses}
        for layer in self.layers:
            if "backward" in self.phases:  # gradients are not in every case
                found[f"weight_gradient/{layer}"] = weight_gradients[layer]
                found[f"bias_gradient/{layer}"] = bias_gradients[layer]
            self.weights[layer] -= self.step_size * weight_gradients[layer]
            self.biases[layer] -= self.step_size * bias_gradients[layer]
            # With its phase a name stands for the value after this phase, without for the one at the end of the step.
            found[f"optimizer/weight/{layer}"] = self.weights[layer].copy()
            found[f"optimizer/bias/{layer}"] = self.biases[layer].copy()
        for layer in self.layers[:-1]:
            found[f"features/{layer}"] = values[layer + 1]
        if self.rule:
            found |= self.replace(values, draws)
        return found

    def replace(self, values, draws):
        rule, hidden = self.rule, self.layers[:-1]
        corrected = [rule.judge(layer, values[layer + 1]) for layer in hidden]  # all are judged before any is changed
        found = {f"bias_corrected_utility/{layer}": corrected[layer] for layer in hidden}
        for layer in hidden:
            found[f"age_and_utility/age/{layer}"] = rule.age[layer].copy()
            found[f"age_and_utility/utility/{layer}"] = rule.utility[layer].copy()
        chosen = [rule.choose(layer, corrected[layer]) for layer in hidden]
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
        """Optional, for --mode resync: go on from the reference's state."""
        for layer in self.layers:
            self.weights[layer][...] = state[f"weight/{layer}"]
            self.biases[layer][...] = state[f"bias/{layer}"]
        if self.rule:
            for layer in self.layers[:-1]:
                self.rule.age[layer][...] = state[f"age/{layer}"]
                self.rule.utility[layer][...] = state[f"utility/{layer}"]
                self.rule.units_to_replace[layer] = float(state[f"units_to_replace/{layer}"][0])
