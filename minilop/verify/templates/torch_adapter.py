"""An adapter in PyTorch between minilop's verification kit and an implementation: try it, then insert your own code.

    python -m minilop.verify run --adapter torch_adapter.py:Adapter

The upper half implements Continual Backprop for networks of nn.Linear, with PyTorch's own SGD. Delete it, import your
own implementation instead, and call that from the lower half. `python -m minilop.verify explain CASE` describes a case.

The kit's arrays have the features first and the batch last, (n, B); PyTorch has the batch first, hence x.T. Weights
(O, I) and biases (O,) have the same shapes as in nn.Linear.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

# --- The implementation: replace it by your own -----------------------------------------------------------------------


class ContinualBackprop:
    """Replaces the least useful units of the hidden layers of `layers`, a list of nn.Linear."""

    def __init__(self, layers, replacement_rate, maturity_threshold, decay_rate):
        self.layers = layers
        self.replacement_rate = replacement_rate
        self.maturity_threshold = maturity_threshold
        self.decay_rate = decay_rate
        self.age = [torch.zeros_like(layer.bias) for layer in layers[:-1]]
        self.utility = [torch.zeros_like(layer.bias) for layer in layers[:-1]]
        self.units_to_replace = [0.0 for _ in layers[:-1]]  # accumulated; the fraction is carried over

    def update_utility(self, index, features):
        """Update age and utility from features (B, H). Returns the bias-corrected utility (H,)."""
        outgoing = self.layers[index + 1].weight.abs().sum(dim=0)
        contribution = features.abs().mean(dim=0) * outgoing
        self.age[index] += 1
        self.utility[index].lerp_(contribution, 1 - self.decay_rate)
        return self.utility[index] / (1 - self.decay_rate ** self.age[index])

    def select(self, index, corrected_utility):
        """Select the units to replace. Returns a mask (H,)."""
        eligible = self.age[index] > self.maturity_threshold
        self.units_to_replace[index] += self.replacement_rate * int(eligible.sum())
        number = min(int(self.units_to_replace[index]), int(eligible.sum()))
        self.units_to_replace[index] -= number
        order = corrected_utility.masked_fill(~eligible, math.inf).argsort(stable=True)
        chosen = torch.zeros_like(eligible)
        chosen[order[:number]] = True
        return chosen

    def replace(self, index, chosen, uniform):
        """Draw incoming weights from `uniform` numbers (H, I) in [0, 1); set all other quantities of the units to 0."""
        incoming, outgoing = self.layers[index], self.layers[index + 1]
        bound = math.sqrt(6 / incoming.in_features)
        incoming.weight[chosen] = bound * (2 * uniform[chosen] - 1)
        incoming.bias[chosen] = 0
        outgoing.weight[:, chosen] = 0
        self.age[index][chosen] = 0
        self.utility[index][chosen] = 0


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
        sizes = case.sizes["layers"]
        dtype = getattr(torch, case.dtype)  # float64, or float32 with --dtype float32
        self.layers = [nn.Linear(inputs, outputs, dtype=dtype) for inputs, outputs in pairwise(sizes)]
        self.load_parameters(parameters)
        trained = [parameter for layer in self.layers for parameter in layer.parameters()]
        self.optimizer = torch.optim.SGD(trained, lr=case.settings["step_size"])
        self.rule = None
        if "replacement_rate" in case.settings:
            names = ("replacement_rate", "maturity_threshold", "decay_rate")
            self.rule = ContinualBackprop(self.layers, **{name: case.settings[name] for name in names})

    def step(self, x, y, draws):
        """Learn from x (I, B) and y (O, B). Returns quantities of the step by name; others are not compared."""
        values = [torch.from_numpy(x).T]
        for layer in self.layers[:-1]:
            values.append(torch.relu(layer(values[-1])))
        outputs = self.layers[-1](values[-1])
        losses = ((outputs - torch.from_numpy(y).T) ** 2).sum(dim=1)
        self.optimizer.zero_grad()
        losses.mean().backward()
        self.optimizer.step()

        found = {"outputs": array(outputs.T), "losses": array(losses)}
        for index, layer in enumerate(self.layers):
            if "backward" in self.phases:  # gradients are not in every case
                found[f"weight_gradient/{index}"] = array(layer.weight.grad)
                found[f"bias_gradient/{index}"] = array(layer.bias.grad)
            # A name with a phase is the value after this phase; without a phase, the value at the end of the step.
            found[f"optimizer/weight/{index}"] = array(layer.weight)
            found[f"optimizer/bias/{index}"] = array(layer.bias)
        for index, features in enumerate(values[1:]):
            found[f"features/{index}"] = array(features.T)
        if self.rule:
            found |= self.replace(values[1:], draws)
        return found

    @torch.no_grad()
    def replace(self, features, draws):
        rule, hidden = self.rule, range(len(features))
        corrected = [
            rule.update_utility(index, features[index]) for index in hidden
        ]  # all utilities are updated before any replacement
        found = {f"bias_corrected_utility/{index}": array(corrected[index]) for index in hidden}
        for index in hidden:
            found[f"age_and_utility/age/{index}"] = array(rule.age[index])
            found[f"age_and_utility/utility/{index}"] = array(rule.utility[index])
        chosen = [rule.select(index, corrected[index]) for index in hidden]
        for index in hidden:
            rule.replace(index, chosen[index], torch.from_numpy(draws[f"fresh_weight/{index}"]))
            found[f"replaced/{index}"] = array(chosen[index])
            found[f"units_to_replace/{index}"] = np.array([rule.units_to_replace[index]])
            found[f"age/{index}"] = array(rule.age[index])
            found[f"utility/{index}"] = array(rule.utility[index])
        for index, layer in enumerate(self.layers):
            found[f"weight/{index}"] = array(layer.weight)
            found[f"bias/{index}"] = array(layer.bias)
        return found

    def set_state(self, state):
        """Optional, for --mode resync: adopt the reference's state."""
        self.load_parameters(state)
        if self.rule:
            for index in range(len(self.layers) - 1):
                self.rule.age[index].copy_(torch.from_numpy(state[f"age/{index}"]))
                self.rule.utility[index].copy_(torch.from_numpy(state[f"utility/{index}"]))
                self.rule.units_to_replace[index] = float(state[f"units_to_replace/{index}"][0])

    @torch.no_grad()
    def load_parameters(self, arrays):
        for index, layer in enumerate(self.layers):
            layer.weight.copy_(torch.from_numpy(arrays[f"weight/{index}"]))
            layer.bias.copy_(torch.from_numpy(arrays[f"bias/{index}"]))


def array(tensor):
    """A NumPy copy of a tensor on any device."""
    return tensor.detach().cpu().numpy().copy()
