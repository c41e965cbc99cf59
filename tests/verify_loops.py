"""Learners of the verification kit a second time, unit by unit and weight by weight, fed with what the vectors give.

They extend the loops of reference_continual_backprop.py and take every random number from the case's file.
"""

import math

import numpy as np
from reference_continual_backprop import ReferenceRun

from minilop.verify.case import Case
from minilop.verify.reference.settings import learner_settings, optimizer_of

GAINS = {"relu": math.sqrt(2), "tanh": 5 / 3}


class LoopRun(ReferenceRun):
    """SGD, momentum, Adam, L2, Shrink & Perturb and Continual Backprop, on a case of dense layers."""

    def __init__(self, case: Case):
        layers = range(len(case.sizes["layers"]) - 1)
        self.settings = learner_settings(case)
        super().__init__(
            [case.parameters[f"weight/{layer}"] for layer in layers],
            [case.parameters[f"bias/{layer}"] for layer in layers],
            optimizer_of(self.settings),
            self.settings,
            case.seed,
        )
        self.case = case
        self.activation = case.settings["activation"]
        self.gain = GAINS[self.activation]

    def learn(self):
        """All steps; returns what `quantities` are after each."""
        found = []
        for step in range(self.case.steps):
            x, y, self.draws = self.case.example(step)
            self.replaced = []
            self.step(x, y)
            found.append(self.quantities())
        return {name: np.stack([each[name] for each in found]) for name in found[0]}

    def forward(self, inputs):
        activations = super().forward(inputs) if self.activation == "relu" else [inputs]
        if self.activation == "tanh":
            for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
                before = weight @ activations[-1] + bias[:, None]
                activations.append(np.tanh(before) if layer < self.num_hidden else before)
        self.activations = activations
        return activations

    def backward(self, activations, targets):
        outputs, batch = activations[-1], activations[-1].shape[-1]
        if self.case.settings["loss"] == "cross_entropy":
            probabilities = np.exp(outputs) / np.exp(outputs).sum(axis=0)
            delta = np.array(
                [[probabilities[o, b] - (targets[b] == o) for b in range(batch)] for o in range(len(outputs))]
            )
        else:
            delta = (2 if self.case.settings["loss"] == "squared_error" else 1) * (outputs - targets)
        delta, of_weights, of_biases = delta / batch, [], []
        for layer in reversed(range(len(self.weights))):
            of_weights.insert(0, delta @ activations[layer].T)
            of_biases.insert(0, delta.sum(axis=-1))
            slope = activations[layer] > 0 if self.activation == "relu" else 1 - activations[layer] ** 2
            delta = (self.weights[layer].T @ delta) * slope
        return of_weights + of_biases

    def update(self, gradients):
        super().update(gradients)
        for layer in range(len(self.weights)) if self.settings.perturb_scale else ():
            self.weights[layer] += self.settings.perturb_scale * self.draws[f"noise/weight/{layer}"]
            self.biases[layer] += self.settings.perturb_scale * self.draws[f"noise/bias/{layer}"]

    def draw(self, purpose, layer, length, unit=0, distribution=None):
        if purpose == "random utility":
            return self.draws[f"random_utility/{layer}"]
        return self.draws[f"fresh_weight/{layer}"][unit]

    def uniform_number(self, layer):
        return self.draws[f"replacement_coin/{layer}"]

    def quantities(self):
        """By the names of the vectors, without the phase."""
        found = {}
        for layer in range(len(self.weights)):
            found[f"weight/{layer}"] = self.weights[layer].copy()
            found[f"bias/{layer}"] = self.biases[layer].copy()
            if self.settings.optimizer == "adam":
                found[f"first_moment_weight/{layer}"] = self.moments["first"][layer].copy()
                found[f"second_moment_weight/{layer}"] = self.moments["second"][layer].copy()
        for layer in range(self.num_hidden) if self.settings.replacement_rate else ():
            found[f"age/{layer}"] = np.array(self.age[layer])
            if self.settings.utility != "random":
                found[f"utility/{layer}"] = np.array(self.utility[layer])
            found[f"mean_feature/{layer}"] = np.array(self.mean_feature[layer])
            found[f"units_to_replace/{layer}"] = np.array([self.due[layer]])
        for layer in range(self.num_hidden):
            units = [unit for _, where, unit in self.replaced if where == layer]
            found[f"replaced/{layer}"] = np.isin(np.arange(len(self.biases[layer])), units)
        return found


class ReDoRun(LoopRun):
    """ReDo in place of Continual Backprop."""

    def __init__(self, case):
        super().__init__(case)
        self.activity = [[0.0] * len(bias) for bias in self.biases[:-1]]

    def generate_and_test(self, activations):
        settings = self.settings
        for layer in range(self.num_hidden):
            for unit, h in enumerate(activations[layer + 1]):
                before = self.activity[layer][unit] if settings.redo_scores == "period" else 0.0
                self.activity[layer][unit] = before + sum(abs(h)) / len(h)
        if (self.num_steps + 1) % settings.redo_period == 0:
            for layer, activity in enumerate(self.activity):
                mean = sum(activity) / len(activity)
                for unit in range(len(activity)):
                    if mean > 0 and activity[unit] / mean <= settings.redo_threshold:
                        self.replace(layer, unit)
                self.activity[layer] = [0.0] * len(activity)


class WeightByWeight(LoopRun):
    """A rule that learns a step size for every weight, or for every block: weights are numbered one after the other."""

    def __init__(self, case):
        super().__init__(case)
        self.num_weights = len(self.flat())
        self.traces = [0.0] * self.num_weights

    def update(self, gradients):
        flat = []
        for layer in range(len(self.weights)):
            flat += gradients[layer].ravel().tolist() + gradients[len(self.weights) + layer].tolist()
        changes = iter(self.changes(flat))
        for layer in range(len(self.weights)):
            for array in (self.weights[layer], self.biases[layer]):
                for place in np.ndindex(array.shape):
                    array[place] += next(changes)

    def reset_places(self, layer, unit):
        """Numbers of the weights that enter or leave a unit."""
        marks = [np.zeros(array.shape) for pair in zip(self.weights, self.biases) for array in pair]
        marks[2 * layer][unit] = marks[2 * layer + 1][unit] = 1
        marks[2 * layer + 2][:, unit] = 1
        return np.flatnonzero(np.concatenate([mark.ravel() for mark in marks]))

    def replace(self, layer, unit):
        super().replace(layer, unit)
        if self.settings.reset_optimizer_state:
            for k in self.reset_places(layer, unit):
                self.forget(k)


class NetworkIDBDRun(WeightByWeight):
    """Network IDBD, lines 0 to 6 of its docstring."""

    def __init__(self, case):
        super().__init__(case)
        self.beta, self.v = [0.0] * self.num_weights, [0.0] * self.num_weights

    def forget(self, k):
        self.beta[k] = self.v[k] = self.traces[k] = 0.0

    def changes(self, gradients):
        of, h = self.settings, self.traces
        _, y, _ = self.case.example(self.num_steps)
        length = math.sqrt(sum(float(e) ** 2 for e in (self.activations[-1] - y).ravel()))
        g = [-gradient for gradient in gradients]
        s = [each / length for each in g]
        x = []
        for layer, weight in enumerate(self.weights):
            x += [float(self.activations[layer][i, 0]) for _ in weight for i in range(weight.shape[1])]
            x += [1.0] * len(weight)
        c = [each**2 for each in (x if of.curvature == "layer_local" else s)]
        for k in range(self.num_weights):
            m = g[k] * h[k]
            if of.normalized:
                alpha = of.step_size * math.exp(self.beta[k])
                self.v[k] = max(abs(m), self.v[k] + alpha * c[k] / of.tau * (abs(m) - self.v[k]))
                m = m / self.v[k] if self.v[k] else 0.0
            self.beta[k] += of.meta_step_size * m
        alpha = [of.step_size * math.exp(beta) for beta in self.beta]
        if of.overshoot_limit:
            bound = max(sum(a * each**2 for a, each in zip(alpha, s)) / of.overshoot_limit, 1)
            alpha = [a / bound for a in alpha]
        moved = sum(each * trace for each, trace in zip(s, h))
        for k in range(self.num_weights):
            if of.curvature == "gauss_newton":
                h[k] += alpha[k] * g[k] - alpha[k] * s[k] * moved
            else:
                h[k] = h[k] * max(1 - alpha[k] * c[k], 0) + alpha[k] * g[k]
        return [a * each for a, each in zip(alpha, g)]


class MetaOptimizeRun(WeightByWeight):
    """MetaOptimize, lines 1 to 6 of its docstring."""

    def __init__(self, case):
        super().__init__(case)
        lengths = [weight.size + bias.size for weight, bias in zip(self.weights, self.biases)]
        self.block = {
            "scalar": [0] * self.num_weights,
            "layer": [layer for layer, length in enumerate(lengths) for _ in range(length)],
            "weight": list(range(self.num_weights)),
        }[self.settings.step_sizes]
        self.num_blocks = self.block[-1] + 1
        self.beta = [0.0] * self.num_blocks
        self.rules = {
            "base": Rules(self.settings.base, self.num_weights),
            "meta": Rules(self.settings.meta, self.num_blocks),
        }

    def changes(self, gradients):
        of, h, flat = self.settings, self.traces, self.flat()
        z = [0.0] * self.num_blocks
        for k in range(self.num_weights):
            z[self.block[k]] += h[k] * gradients[k]
        if of.order == "meta_first":
            self.adapt(z)
        d = self.rules["base"].directions(gradients)
        changes = []
        for k in range(self.num_weights):
            alpha = of.step_size * math.exp(self.beta[self.block[k]])
            changes.append(-alpha * (d[k] + of.weight_decay * float(flat[k])))
            h[k] = of.trace_decay * (1 - of.weight_decay * alpha) * h[k] + changes[k]
        if of.order == "meta_last":
            self.adapt(z)
        return changes

    def adapt(self, z):
        for block, direction in enumerate(self.rules["meta"].directions(z)):
            self.beta[block] -= self.settings.meta_step_size * direction


class Rules:
    """A first-order rule for each of some numbers."""

    def __init__(self, name, length):
        self.name, self.t, self.m, self.v = name, 0, [0.0] * length, [0.0] * length

    def directions(self, gradients):
        self.t += 1
        return [self.direction(k, gradient) for k, gradient in enumerate(gradients)]

    def direction(self, k, g):
        if self.name == "sgd":
            return g
        if self.name == "lion":
            sign = np.sign(0.9 * self.m[k] + 0.1 * g)
            self.m[k] = 0.99 * self.m[k] + 0.01 * g
            return sign
        self.m[k] = 0.9 * self.m[k] + 0.1 * g
        if self.name == "momentum":
            return self.m[k]
        self.v[k] = 0.999 * self.v[k] + 0.001 * g * g
        return self.m[k] / (1 - 0.9**self.t) / (math.sqrt(self.v[k] / (1 - 0.999**self.t)) + 1e-8)
