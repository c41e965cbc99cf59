"""Curves: many runs side by side on one stream, with PyTorch's own random numbers."""

import torch

from pytorch_adapters.networks import ACTIVATIONS, initial_scale

TIMES = 4  # as many runs as are asked for: side by side they cost little, and the mean becomes twice as sure


class Runs:
    """R networks of one hidden layer: weights (R, H, I) and (R, O, H), all else with the runs first too."""

    def __init__(self, case, seed):
        self.settings, self.runs = case.settings, TIMES * case.sizes["runs"]
        num_inputs, num_units, num_outputs = case.sizes["layers"]
        self.dtype = getattr(torch, case.dtype)
        self.random = torch.Generator().manual_seed(seed)
        self.activation = ACTIVATIONS[self.settings["activation"]]
        self.bound = initial_scale("kaiming", self.settings["activation"], num_inputs, num_units)
        last_bound = initial_scale("kaiming", "identity", num_units, num_outputs)
        self.weight = self.uniform(self.bound, self.runs, num_units, num_inputs)
        self.bias = torch.zeros(self.runs, num_units, dtype=self.dtype)
        self.last_weight = self.uniform(last_bound, self.runs, num_units)  # of the only output
        self.last_bias = torch.zeros(self.runs, dtype=self.dtype)
        self.parameters = [self.weight, self.bias, self.last_weight, self.last_bias]
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.age = torch.zeros(self.runs, num_units, dtype=self.dtype)
        self.utility = torch.zeros_like(self.age)
        self.due = torch.zeros(self.runs, dtype=torch.float64)

    def uniform(self, bound, *shape):
        return bound * (2 * torch.rand(*shape, generator=self.random, dtype=self.dtype) - 1)

    def step(self, x, y):
        """One example for all: x (I,), y (); the squared errors (R,) from before it is learned from."""
        features = self.activation(self.weight @ x + self.bias)  # (R, H)
        losses = ((self.last_weight * features).sum(dim=1) + self.last_bias - y) ** 2
        gradients = torch.autograd.grad(losses.sum(), self.parameters)  # the runs share nothing
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients):
                parameter.sub_(gradient, alpha=self.settings["step_size"])
            if self.settings.get("replacement_rate"):
                self.generate_and_test(features)
        return losses.detach()

    def generate_and_test(self, features):
        """Continual Backprop by the contribution, with bias correction, and a budget that accumulates."""
        eta = self.settings["decay_rate"]
        self.age += 1
        self.utility.mul_(eta).add_(features.abs() * self.last_weight.abs(), alpha=1 - eta)
        mature = self.age > self.settings["maturity_threshold"]
        self.due += self.settings["replacement_rate"] * mature.sum(dim=1)
        ranked = None
        while ((self.due >= 1) & mature.any(dim=1)).any():
            if ranked is None:
                ranked = self.utility / (1 - eta**self.age)
            runs = ((self.due >= 1) & mature.any(dim=1)).nonzero().flatten()
            units = ranked[runs].masked_fill(~mature[runs], torch.inf).argmin(dim=1)
            self.weight[runs, units] = self.uniform(self.bound, len(runs), self.weight.shape[2])
            for array in (self.bias, self.last_weight, self.age, self.utility):
                array[runs, units] = 0
            mature[runs, units] = False
            self.due[runs] -= 1


def curve(case):
    """The mean error of each run in each bin, (runs, bins)."""
    settings = case.settings
    if settings["loss"] != "squared_error" or settings.get("utility", "contribution") != "contribution":
        raise NotImplementedError("curves of another loss or utility")
    runs = Runs(case, seed=0)
    inputs = torch.from_numpy(case.inputs["x"]).to(runs.dtype)
    targets = torch.from_numpy(case.inputs["y"]).to(runs.dtype)
    errors = torch.stack([runs.step(x, y) for x, y in zip(inputs, targets)])  # (T, R)
    return errors.unflatten(0, (-1, case.sizes["bin_size"])).mean(dim=1).T.numpy()
