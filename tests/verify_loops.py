"""Learners of the verification kit a second time, weight by weight, fed with what the vectors give.

Networks of dense layers, their gradients and optimizers in float64. Rules that replace units are not here: the kit's
own reference (minilop/verify/reference/) is unit by unit; the library and PyTorch are what it is compared with.
"""

import math

import numpy as np

from minilop.verify.case import Case
from minilop.verify.reference.settings import learner_settings


class LoopRun:
    """SGD, momentum, Adam, L2 and Shrink & Perturb.

    weights[l]  (n_{l+1}, n_l)   the incoming weights of hidden layer l; weights[l + 1] are its outgoing ones
    biases[l]   (n_{l+1},)
    """

    def __init__(self, case: Case):
        layers = range(len(case.sizes["layers"]) - 1)
        self.case, self.settings = case, learner_settings(case)
        self.weights = [np.array(case.parameters[f"weight/{layer}"], float) for layer in layers]
        self.biases = [np.array(case.parameters[f"bias/{layer}"], float) for layer in layers]
        self.activation = case.settings["activation"]
        self.num_hidden = len(self.weights) - 1
        self.num_steps = 0
        shapes = [array.shape for array in self.weights + self.biases]
        names = ("velocity", "first", "second", "count")
        self.moments = {name: [np.zeros(shape) for shape in shapes] for name in names}

    def learn(self):
        """All steps; returns what `quantities` are after each."""
        found = []
        for step in range(self.case.steps):
            x, y, self.draws = self.case.example(step)
            self.activations = self.forward(x)
            self.update(self.backward(self.activations, y))
            self.num_steps += 1
            found.append(self.quantities())
        return {name: np.stack([each[name] for each in found]) for name in found[0]}

    def flat(self):
        """All parameters as one vector: layer after layer, the weight before its bias."""
        return np.concatenate([part.ravel() for pair in zip(self.weights, self.biases) for part in pair])

    def forward(self, inputs):
        activations, activate = [inputs], np.tanh if self.activation == "tanh" else lambda z: np.maximum(z, 0)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            before = weight @ activations[-1] + bias[:, None]
            activations.append(activate(before) if layer < self.num_hidden else before)
        return activations

    def backward(self, activations, targets):
        """Gradients of the mean loss over examples."""
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
        of = self.settings
        for index, (parameter, gradient) in enumerate(zip(self.weights + self.biases, gradients)):
            gradient = gradient + of.weight_decay * parameter
            if of.optimizer == "adam":
                first, second, count = (self.moments[name][index] for name in ("first", "second", "count"))
                first[...] = of.beta_1 * first + (1 - of.beta_1) * gradient
                second[...] = of.beta_2 * second + (1 - of.beta_2) * gradient**2
                count += 1
                unbiased_first = first / (1 - of.beta_1**count)
                unbiased_second = second / (1 - of.beta_2**count)
                parameter -= of.step_size * unbiased_first / (np.sqrt(unbiased_second) + of.epsilon)
            else:
                velocity = self.moments["velocity"][index]
                velocity[...] = of.momentum * velocity + gradient
                parameter -= of.step_size * velocity
        for layer in range(len(self.weights)) if of.perturb_scale else ():
            self.weights[layer] += of.perturb_scale * self.draws[f"noise/weight/{layer}"]
            self.biases[layer] += of.perturb_scale * self.draws[f"noise/bias/{layer}"]

    def quantities(self):
        """By the names of the vectors, without the phase."""
        found = {}
        for layer in range(len(self.weights)):
            found[f"weight/{layer}"] = self.weights[layer].copy()
            found[f"bias/{layer}"] = self.biases[layer].copy()
            if self.settings.optimizer == "adam":
                found[f"first_moment_weight/{layer}"] = self.moments["first"][layer].copy()
                found[f"second_moment_weight/{layer}"] = self.moments["second"][layer].copy()
        return found


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


class NetworkIDBDRun(WeightByWeight):
    """Network IDBD, lines 0 to 6 of its docstring."""

    def __init__(self, case):
        super().__init__(case)
        self.beta, self.v = [0.0] * self.num_weights, [0.0] * self.num_weights

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
