"""The optimizer that a case asks for, and its state by the names of the kit."""

import math

import torch

from pytorch_adapters.optimizers import AdamByWeight, MetaOptimize, NetworkIDBD

TORCH_NAMES = {"velocity": "momentum_buffer", "first_moment": "exp_avg", "second_moment": "exp_avg_sq"}


def make_optimizer(names, settings):
    """Of parameters by name."""
    parameters = list(names.values())
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(
            parameters, settings["step_size"], settings["momentum"], weight_decay=settings["weight_decay"]
        )
    if settings["optimizer"] == "network_idbd":
        return NetworkIDBD(parameters, settings)
    if settings["optimizer"] == "metaoptimize":
        layers = [int(name.split("/")[1]) for name in names]
        blocks = {"scalar": [0] * len(layers), "layer": layers, "weight": None}[settings["step_sizes"]]
        return MetaOptimize(parameters, settings, blocks)
    rates = {
        "lr": settings["step_size"],
        "betas": (settings["beta_1"], settings["beta_2"]),
        "eps": settings["epsilon"],
        "weight_decay": settings["weight_decay"],
    }
    if settings["reset_optimizer_state"]:
        return AdamByWeight(parameters, **rates)
    return torch.optim.Adam(parameters, **rates)


class Optimization:
    """An optimizer and what the kit calls its state. Tensors like a parameter have its name at their end."""

    def __init__(self, names, settings):
        self.names, self.settings = names, settings
        self.optimizer = make_optimizer(names, settings)
        if isinstance(self.optimizer, torch.optim.SGD) and settings["momentum"]:
            for parameter in names.values():  # so that it is there before the first step, too
                self.optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}

    def like_parameters(self, name, tensors):
        return {f"{name}_{key}": tensor for key, tensor in zip(self.names, tensors)}

    def state(self):
        """All tensors that may be written to."""
        optimizer = self.optimizer
        if isinstance(optimizer, torch.optim.Optimizer):
            return {
                f"{name}_{key}": optimizer.state[parameter][torch_name]
                for name, torch_name in TORCH_NAMES.items()
                for key, parameter in self.names.items()
                if optimizer.state[parameter].get(torch_name) is not None
            }
        if isinstance(optimizer, MetaOptimize):
            return self.state_of_metaoptimize(optimizer)
        found = {}
        for name, tensors in optimizer.state.items():
            found.update(self.like_parameters(name, tensors))
        return found

    def state_of_metaoptimize(self, optimizer):
        found = self.like_parameters("traces", optimizer.traces)
        for name in optimizer.base[0].state:
            found.update(self.like_parameters(name, [rule.state[name] for rule in optimizer.base]))
        if optimizer.blocks is not None:
            of_meta_rule = {f"meta_{name}": state for name, state in optimizer.meta[0].state.items()}
            return {**found, "log_step_sizes": optimizer.log_step_sizes[0], **of_meta_rule}
        found.update(self.like_parameters("log_step_sizes", optimizer.log_step_sizes))
        for name in optimizer.meta[0].state:
            found.update(self.like_parameters(f"meta_{name}", [rule.state[name] for rule in optimizer.meta]))
        return found

    def report(self):
        """The same with the corrections of Adam, which follow from its step counts."""
        found, optimizer = self.state(), self.optimizer
        betas = {"first_correction": self.settings["beta_1"], "second_correction": self.settings["beta_2"]}
        for name, beta in betas.items():
            if isinstance(optimizer, torch.optim.Adam):
                steps = max((float(state["step"]) for state in optimizer.state.values()), default=0.0)
                found[name] = torch.tensor([1 - beta**steps], dtype=torch.float64)
            elif isinstance(optimizer, AdamByWeight):
                found.update(self.like_parameters(name, [1 - beta**count for count in optimizer.state["count"]]))
        return found

    def state_of(self, parameter):
        """The tensors that are like this parameter."""
        key = next(name for name, each in self.names.items() if each is parameter)
        return [tensor for name, tensor in self.state().items() if name.endswith(f"_{key}")]

    def set_state(self, state):
        optimizer, num_steps = self.optimizer, state["step"]
        if isinstance(optimizer, torch.optim.Adam) and num_steps:
            for parameter in self.names.values():
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                optimizer.state[parameter] = {"step": torch.tensor(float(num_steps)), **moments}
        for name, tensor in self.state().items():
            if name in state:
                tensor.copy_(torch.as_tensor(state[name]))
        if isinstance(optimizer, AdamByWeight):
            for key, count in zip(self.names, optimizer.state["count"]):
                correction = torch.as_tensor(state[f"second_correction_{key}"]).double()  # 1 - beta_2^count
                count.copy_((torch.log1p(-correction) / math.log(self.settings["beta_2"])).round())
