"""Continual Backprop a second time, for one run and unit by unit: slow and plain, to check the array program against.

It shares with minilop only the random draws (so that new weights are the same) and the names of hyperparameters. It
follows Dohare et al., Nature 632 (2024), Algorithm 1, or, where hyperparameters say so, the published code, gnt.py:

    in every layer, ages and utilities are updated and units chosen; then the chosen units of all layers are replaced
"""

import math

import numpy as np

from minilop import draws
from minilop.backend import to_host


class ReferenceRun:
    """One network and its learner in float64.

    weights[l]  (n_{l+1}, n_l)   the incoming weights of hidden layer l; weights[l + 1] are its outgoing ones
    biases[l]   (n_{l+1},)
    optimizer   SGD or Adam
    rule        ContinualBackprop of the library, or settings of the kit with its conventions `centre`, `transfer_bias`
                and further utilities
    """

    def __init__(self, weights, biases, optimizer, rule, seed):
        self.weights = [np.array(weight, float) for weight in weights]
        self.biases = [np.array(bias, float) for bias in biases]
        self.optimizer = optimizer
        self.rule = rule
        self.centre = getattr(rule, "centre", "updated")
        self.transfer_bias = getattr(rule, "transfer_bias", False)
        self.seed = seed
        self.gain = math.sqrt(2)  # of the relu
        self.num_hidden = len(weights) - 1
        sizes = [len(bias) for bias in biases[:-1]]
        self.age = [[0] * size for size in sizes]
        self.utility = [[0.0] * size for size in sizes]
        self.mean_feature = [[0.0] * size for size in sizes]
        self.due = [0.0] * self.num_hidden
        self.num_steps = 0
        self.replaced = []  # (step, layer, unit)
        shapes = [array.shape for array in self.weights + self.biases]
        names = ("velocity", "first", "second", "count")
        self.moments = {name: [np.zeros(shape) for shape in shapes] for name in names}

    def flat(self):
        """All parameters as one vector: layer after layer, the weight before its bias."""
        return np.concatenate([part.ravel() for pair in zip(self.weights, self.biases) for part in pair])

    def step(self, inputs, targets):
        """One step on the mini-batch inputs (I, B), targets (O, B)."""
        activations = self.forward(inputs)
        gradients = self.backward(activations, targets)
        if self.rule.when == "before_update":
            self.generate_and_test(activations)
        self.update(gradients)
        if self.rule.when == "after_update":
            self.generate_and_test(activations)
        self.num_steps += 1

    def forward(self, inputs):
        activations = [inputs]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            before = weight @ activations[-1] + bias[:, None]
            activations.append(np.maximum(before, 0) if layer < self.num_hidden else before)
        return activations

    def backward(self, activations, targets):
        """Gradients of the squared error, summed over outputs and averaged over examples, without a factor 1/2."""
        delta = 2 * (activations[-1] - targets) / targets.shape[-1]
        of_weights, of_biases = [], []
        for layer in reversed(range(len(self.weights))):
            of_weights.insert(0, delta @ activations[layer].T)
            of_biases.insert(0, delta.sum(axis=-1))
            delta = (self.weights[layer].T @ delta) * (activations[layer] > 0)
        return of_weights + of_biases

    def update(self, gradients):
        optimizer = self.optimizer
        for index, (parameter, gradient) in enumerate(zip(self.weights + self.biases, gradients)):
            gradient = gradient + optimizer.weight_decay * parameter
            if optimizer.name == "adam":
                first, second, count = (self.moments[name][index] for name in ("first", "second", "count"))
                first[...] = optimizer.beta_1 * first + (1 - optimizer.beta_1) * gradient
                second[...] = optimizer.beta_2 * second + (1 - optimizer.beta_2) * gradient**2
                count += 1
                unbiased_first = first / (1 - optimizer.beta_1**count)
                unbiased_second = second / (1 - optimizer.beta_2**count)
                parameter -= optimizer.step_size * unbiased_first / (np.sqrt(unbiased_second) + optimizer.epsilon)
            else:
                velocity = self.moments["velocity"][index]
                velocity[...] = optimizer.momentum * velocity + gradient
                parameter -= optimizer.step_size * velocity

    def generate_and_test(self, activations):
        chosen = [self.choose(layer, activations[layer + 1]) for layer in range(self.num_hidden)]
        for layer, units in enumerate(chosen):
            for unit in units:
                self.replace(layer, unit)

    def choose(self, layer, features):
        """The units of a layer to be replaced in this step, features (H, B)."""
        rule, eta = self.rule, self.rule.decay_rate
        num_units = len(features)
        ranked_by = []
        for unit in range(num_units):
            self.age[layer][unit] += 1
            h = [float(value) for value in features[unit]]
            correction = 1 - eta ** self.age[layer][unit]
            old_mean = self.mean_feature[layer][unit]
            new_mean = eta * old_mean + (1 - eta) * sum(h) / len(h)
            self.mean_feature[layer][unit] = new_mean
            centre = (new_mean if self.centre == "updated" else old_mean) / correction
            outgoing = sum(abs(weight) for weight in self.weights[layer + 1][:, unit])
            if rule.outgoing == "mean":
                outgoing /= len(self.weights[layer + 1])
            incoming = sum(abs(weight) for weight in self.weights[layer][unit]) / len(self.weights[layer][unit])
            activity = sum(abs(value) for value in h) / len(h)
            variation = sum(abs(value - centre) for value in h) / len(h)
            now = {
                "weight": outgoing,
                "contribution": outgoing * activity,
                "adaptation": 1 / incoming,
                "zero_contribution": outgoing * variation,
                "adaptable_contribution": outgoing * variation / incoming,
                "feature_by_input": variation / incoming,
                "random": 0.0,
            }[rule.utility]
            if rule.average == "lifetime_activity":
                self.utility[layer][unit] += (1 - eta) * activity
                ranked_by.append(outgoing * (self.utility[layer][unit] if rule.utility == "contribution" else 1))
            else:
                self.utility[layer][unit] = eta * self.utility[layer][unit] + (1 - eta) * now
                ranked_by.append(self.utility[layer][unit] / (correction if rule.bias_correction else 1))
        eligible = [unit for unit in range(num_units) if self.age[layer][unit] > rule.maturity_threshold]
        if not eligible:
            return []
        due_now = rule.replacement_rate * (len(eligible) if rule.rate_counts == "eligible" else num_units)
        if rule.rounding == "chance":
            number = math.floor(due_now) if due_now >= 1 else int(self.uniform_number(layer) < due_now)
        else:
            self.due[layer] += due_now
            number = int(self.due[layer] > 1) if rule.rounding == "single" else math.floor(self.due[layer])
        number = min(number, len(eligible))
        if rule.rounding != "chance":
            self.due[layer] -= number
        if rule.utility == "random" and number:
            ranked_by = self.draw("random utility", layer, num_units).tolist()
        return sorted(eligible, key=lambda unit: (ranked_by[unit], unit))[:number]

    def replace(self, layer, unit):
        rule, following = self.rule, self.weights[layer + 1]
        if self.transfer_bias:
            mean = self.mean_feature[layer][unit] / (1 - rule.decay_rate ** self.age[layer][unit])
            for consumer in range(len(following)):
                self.biases[layer + 1][consumer] += following[consumer, unit] * mean
        fan_in = self.weights[layer].shape[1]
        if rule.fresh_weights == "initial":
            bound = self.gain * math.sqrt(3 / fan_in)
            self.weights[layer][unit] = bound * (2 * self.draw("fresh weight", layer, fan_in, unit) - 1)
        else:
            normals = self.draw("fresh weight", layer, fan_in, unit, draws.normal)
            self.weights[layer][unit] = math.sqrt(2 / fan_in) * normals
        self.biases[layer][unit] = 0
        following[:, unit] = 0
        if rule.reset_optimizer_state:
            for arrays in self.moments.values():
                arrays[layer][unit] = 0
                arrays[layer + 1][:, unit] = 0
                arrays[len(self.weights) + layer][unit] = 0
        self.age[layer][unit] = 0
        self.mean_feature[layer][unit] = 0.0
        if rule.average == "utility":
            self.utility[layer][unit] = 0.0
        self.replaced.append((self.num_steps, layer, unit))

    def uniform_number(self, layer):
        """Step t takes number t mod 1024 of the draw at step t div 1024."""
        quotient, remainder = divmod(self.num_steps, 1024)
        uniforms = draws.uniform(self.seed, "replacement coin", 1024, layer=layer, step=quotient, dtype="float64")
        return to_host(uniforms)[remainder]

    def draw(self, purpose, layer, length, unit=0, distribution=draws.uniform):
        """Random numbers for a hidden layer in this step."""
        step = self.num_steps
        return to_host(distribution(self.seed, purpose, length, layer=layer, step=step, slot=unit, dtype="float64"))
