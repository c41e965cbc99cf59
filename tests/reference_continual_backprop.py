"""Continual Backprop a second time, for one run and unit by unit: slow and plain, to check the array program against.

It shares with minilop only the random draws (so that fresh weights are the same) and the names of the settings. It
follows Dohare et al., Nature 632 (2024), Algorithm 1, and the published code, gnt.py, where the settings say so:

    ages and utilities of all layers are brought up to date and units chosen, then the chosen units are replaced
"""

import math

import numpy as np

from minilop import draws
from minilop.backend import to_host


class ReferenceRun:
    """One network and its learner in float64.

    weights[l] (n_{l+1}, n_l) and biases[l] (n_{l+1},); hidden layer l is made by weights[l], consumed by weights[l + 1].
    """

    def __init__(self, weights, biases, settings, seed):
        self.weights = [np.array(weight, float) for weight in weights]
        self.biases = [np.array(bias, float) for bias in biases]
        self.settings = settings
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
        if self.settings.when == "before_update":
            self.generate_and_test(activations)
        self.update(gradients)
        if self.settings.when == "after_update":
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
        settings = self.settings
        for index, (parameter, gradient) in enumerate(zip(self.weights + self.biases, gradients)):
            gradient = gradient + settings.weight_decay * parameter
            if settings.optimizer == "adam":
                first, second, count = (self.moments[name][index] for name in ("first", "second", "count"))
                first[...] = settings.beta_1 * first + (1 - settings.beta_1) * gradient
                second[...] = settings.beta_2 * second + (1 - settings.beta_2) * gradient**2
                count += 1
                unbiased_first = first / (1 - settings.beta_1**count)
                unbiased_second = second / (1 - settings.beta_2**count)
                parameter -= settings.step_size * unbiased_first / (np.sqrt(unbiased_second) + settings.epsilon)
            else:
                velocity = self.moments["velocity"][index]
                velocity[...] = settings.momentum * velocity + gradient
                parameter -= settings.step_size * velocity

    def generate_and_test(self, activations):
        chosen = [self.choose(layer, activations[layer + 1]) for layer in range(self.num_hidden)]
        for layer, units in enumerate(chosen):
            for unit in units:
                self.replace(layer, unit)

    def choose(self, layer, features):
        """The units of a layer to be replaced in this step, features (H, B)."""
        settings, eta = self.settings, self.settings.decay_rate
        num_units = len(features)
        ranked_by = []
        for unit in range(num_units):
            self.age[layer][unit] += 1
            h = [float(value) for value in features[unit]]
            correction = 1 - eta ** self.age[layer][unit]
            old_mean = self.mean_feature[layer][unit]
            new_mean = eta * old_mean + (1 - eta) * sum(h) / len(h)
            self.mean_feature[layer][unit] = new_mean
            centre = (new_mean if settings.centre == "updated" else old_mean) / correction
            outgoing = sum(abs(weight) for weight in self.weights[layer + 1][:, unit])
            if settings.outgoing == "mean":
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
            }[settings.utility]
            if settings.average == "lifetime_activity":
                self.utility[layer][unit] += (1 - eta) * activity
                ranked_by.append(outgoing * (self.utility[layer][unit] if settings.utility == "contribution" else 1))
            else:
                self.utility[layer][unit] = eta * self.utility[layer][unit] + (1 - eta) * now
                ranked_by.append(self.utility[layer][unit] / (correction if settings.bias_correction else 1))
        eligible = [unit for unit in range(num_units) if self.age[layer][unit] > settings.maturity_threshold]
        if not eligible:
            return []
        due_now = settings.replacement_rate * (len(eligible) if settings.rate_counts == "eligible" else num_units)
        if settings.rounding == "chance":
            number = math.floor(due_now) if due_now >= 1 else int(self.coin(layer) < due_now)
        else:
            self.due[layer] += due_now
            number = int(self.due[layer] > 1) if settings.rounding == "single" else math.floor(self.due[layer])
        number = min(number, len(eligible))
        if settings.rounding != "chance":
            self.due[layer] -= number
        if settings.utility == "random" and number:
            ranked_by = self.draw("random utility", layer, num_units).tolist()
        return sorted(eligible, key=lambda unit: (ranked_by[unit], unit))[:number]

    def replace(self, layer, unit):
        settings, following = self.settings, self.weights[layer + 1]
        if settings.transfer_bias:
            mean = self.mean_feature[layer][unit] / (1 - settings.decay_rate ** self.age[layer][unit])
            for consumer in range(len(following)):
                self.biases[layer + 1][consumer] += following[consumer, unit] * mean
        fan_in = self.weights[layer].shape[1]
        if settings.fresh_weights == "initial":
            bound = self.gain * math.sqrt(3 / fan_in)
            self.weights[layer][unit] = bound * (2 * self.draw("fresh weight", layer, fan_in, unit) - 1)
        else:
            normals = self.draw("fresh weight", layer, fan_in, unit, draws.normal)
            self.weights[layer][unit] = math.sqrt(2 / fan_in) * normals
        self.biases[layer][unit] = 0
        following[:, unit] = 0
        if settings.reset_optimizer_state:
            for arrays in self.moments.values():
                arrays[layer][unit] = 0
                arrays[layer + 1][:, unit] = 0
                arrays[len(self.weights) + layer][unit] = 0
        self.age[layer][unit] = 0
        self.mean_feature[layer][unit] = 0.0
        if settings.average == "utility":
            self.utility[layer][unit] = 0.0
        self.replaced.append((self.num_steps, layer, unit))

    def coin(self, layer):
        """Step t takes number t mod 1024 of the sheet t div 1024."""
        sheet, place = divmod(self.num_steps, 1024)
        coins = draws.uniform(self.seed, "replacement coin", 1024, layer=layer, step=sheet, dtype="float64")
        return to_host(coins)[place]

    def draw(self, purpose, layer, length, unit=0, law=draws.uniform):
        """Random numbers for a hidden layer, which is followed by its activation: so layer l is entry 2 l of a network."""
        step = self.num_steps
        return to_host(law(self.seed, purpose, length, layer=layer, step=step, slot=unit, dtype="float64"))
