"""One step of learning of a network: forward, loss, backward, optimizer, perturb, generate-and-test."""

import torch
from torch.nn import functional

from pytorch_adapters.continual_backprop import ContinualBackprop
from pytorch_adapters.networks import MLP, ConvNet, ResNet
from pytorch_adapters.optimization import Optimization
from pytorch_adapters.optimizers import NetworkIDBD
from pytorch_adapters.redo import ReDo
from pytorch_adapters.replacement import Replacer, fresh_laws
from pytorch_adapters.settings import OFF


def make_network(case, settings):
    sizes, activation = case.sizes, settings.get("activation", "relu")
    if sizes["network"] in ("mlp", "linear"):
        return MLP(sizes["layers"], activation)
    if sizes["network"] == "resnet":
        return ResNet(sizes["input_shape"][0], sizes["widths"], sizes["blocks"], sizes["outputs"])
    if sizes["network"] != "convnet":
        raise NotImplementedError(f"networks of the kind {sizes['network']}")
    layers = sizes["kernels"], sizes["dense_units"], sizes["outputs"]
    return ConvNet(sizes["input_shape"], *layers, activation)


def losses_of(name, outputs, y):
    """The loss of each example, (B,); outputs and targets have the batch first."""
    if name == "cross_entropy":
        return functional.cross_entropy(outputs, y.long(), reduction="none")
    squared = ((outputs - y) ** 2).sum(dim=1)
    return squared / 2 if name == "half_squared_error" else squared


class LearnerAdapter:
    """Cases of kind "learner"."""

    def load(self, case, parameters):
        self.case = case
        self.dtype = getattr(torch, case.dtype)
        self.settings = settings = {**OFF, **case.settings}
        self.network = make_network(case, settings).to(self.dtype)
        self.names = self.network.names()
        with torch.no_grad():
            for name, parameter in self.names.items():
                parameter.copy_(torch.from_numpy(parameters[name]))
        self.optimization = Optimization(self.names, settings)
        activation = settings.get("activation", "relu")
        laws = fresh_laws(self.network, settings["initialization"], activation, settings["fresh_weights"])
        forget = self.optimization.state_of if settings["reset_optimizer_state"] else None
        replacer = Replacer(self.network, laws, forget, settings["shortcuts"] == "cut")
        self.continual_backprop = self.redo = None
        if settings["replacement_rate"]:
            self.continual_backprop = ContinualBackprop(self.network, settings, replacer)
        if settings["redo_period"]:
            self.redo = ReDo(self.network, settings, replacer)
        self.num_steps = 0

    # --- one step

    def step(self, x, y, draws):
        settings = self.settings
        draws = {name: torch.as_tensor(array).to(self.dtype) for name, array in draws.items()}
        x = torch.from_numpy(x).movedim(-1, 0)
        y = torch.from_numpy(y) if settings["loss"] == "cross_entropy" else torch.from_numpy(y).T
        found = {}
        for parameter in self.names.values():
            parameter.grad = None
        outputs, features = self.network(x)
        outputs.retain_grad()
        for layer, values in zip(self.network.hidden, features):
            found[f"forward/features/{layer.number}"] = values.movedim(0, -1)
        found["forward/outputs"] = outputs.T
        found.update({f"forward/{name}": tensor.clone() for name, tensor in self.network.statistics().items()})
        losses = losses_of(settings["loss"], outputs, y)
        found["loss/losses"] = losses
        losses.mean().backward()
        found["loss/output_gradient"] = outputs.grad.T
        for name, parameter in self.names.items():
            quantity, number = name.split("/")
            found[f"backward/{quantity}_gradient/{number}"] = parameter.grad
        if settings["when"] == "before_update":
            found.update(self.generate_and_test(features, draws))
        self.update(outputs)
        found.update(self.snapshot("optimizer"))
        if settings["perturb_scale"]:
            self.perturb(draws)
            found.update(self.snapshot("perturb"))
        if settings["when"] == "after_update":
            found.update(self.generate_and_test(features, draws))
        self.num_steps += 1
        return {name: tensor.detach().numpy() for name, tensor in found.items() if name in self.case.expected}

    @torch.no_grad()
    def update(self, outputs):
        optimizer = self.optimization.optimizer
        if not isinstance(optimizer, NetworkIDBD):
            optimizer.step()
            return
        sources = []
        for layer, inputs in zip(self.network.weighted, self.network.sources):
            sources.append((inputs.detach() ** 2).expand_as(layer.weight))
            sources.append(torch.ones_like(layer.bias))
        optimizer.step(outputs.grad, sources)

    @torch.no_grad()
    def perturb(self, draws):
        for name, parameter in self.names.items():
            parameter += self.settings["perturb_scale"] * draws[f"noise/{name}"].view_as(parameter)

    def generate_and_test(self, features, draws):
        found = {}
        if self.continual_backprop:
            found.update(self.continual_backprop.step(features, draws))
        if self.redo:
            found.update(self.redo.step(features, draws, self.num_steps))
        if found:
            found.update(self.snapshot("replacement"))
        return found

    def snapshot(self, phase):
        """Copies of parameters, running statistics and all other state."""
        state = {**self.names, **self.network.statistics(), **self.optimization.report()}
        for rule in filter(None, (self.continual_backprop, self.redo)):
            state.update(rule.state())
        return {f"{phase}/{name}": tensor.detach().clone() for name, tensor in state.items()}

    # --- resynchronization

    @torch.no_grad()
    def set_state(self, state):
        self.num_steps = state["step"]
        for name, tensor in {**self.names, **self.network.statistics()}.items():
            tensor.copy_(torch.as_tensor(state[name]))
        self.optimization.set_state(state)
        for rule in filter(None, (self.continual_backprop, self.redo)):
            rule.set_state(state)
