"""LMS, IDBD and Autostep: a linear prediction that learns from one example at a time."""

import torch


class WeightsAdapter:
    """What methods with a vector of weights share: state is a dictionary of tensors."""

    def load(self, case, parameters):
        self.case = case
        self.settings = case.settings
        self.dtype = getattr(torch, case.dtype)
        weights = torch.from_numpy(parameters["weights"]).clone()
        self.state = {"weights": weights, **self.initial_state(weights)}

    def report(self, **found):
        found.update({f"update/{name}": tensor.clone() for name, tensor in self.state.items()})
        return {name.replace("__", "/"): tensor.numpy() for name, tensor in found.items()}

    def set_state(self, state):
        for name in self.state:
            self.state[name] = torch.as_tensor(state[name]).clone()


class LinearAdapter(WeightsAdapter):
    """Cases of kind "linear"."""

    def initial_state(self, weights):
        if self.settings["method"] == "lms":
            return {}
        step_sizes = torch.full_like(weights, self.settings["initial_step_size"])
        traces = torch.zeros_like(weights)
        if self.settings["method"] == "idbd":
            return {"log_step_sizes": step_sizes.log(), "traces": traces}
        return {"step_sizes": step_sizes, "traces": traces, "normalizers": traces.clone()}

    def step(self, x, y, draws):
        x, y = torch.from_numpy(x), torch.as_tensor(y)
        weights = self.state["weights"].requires_grad_()
        prediction = weights @ x
        error = y - prediction
        (0.5 * error**2).backward()
        change = -weights.grad  # error x
        weights = weights.detach()
        weights.grad = None
        self.state["weights"] = weights
        getattr(self, self.settings["method"])(x, change)
        return self.report(predict__prediction=prediction.detach(), predict__error=error.detach())

    def lms(self, x, change):
        self.state["weights"] += self.settings["step_size"] * change

    def idbd(self, x, change):
        state = self.state
        state["log_step_sizes"] += self.settings["meta_step_size"] * change * state["traces"]
        step_sizes = state["log_step_sizes"].exp()
        state["weights"] += step_sizes * change
        state["traces"] = state["traces"] * (1 - step_sizes * x**2).clamp(min=0) + step_sizes * change

    def autostep(self, x, change):
        state, settings = self.state, self.settings
        step_sizes, normalizers = state["step_sizes"], state["normalizers"]
        meta_gradient = change * state["traces"]
        size = meta_gradient.abs()
        moved = normalizers + step_sizes * x**2 / settings["tau"] * (size - normalizers)
        state["normalizers"] = normalizers = torch.maximum(size, moved)
        ratio = torch.where(normalizers == 0, torch.zeros_like(size), meta_gradient / normalizers)
        step_sizes = step_sizes * torch.exp(settings["meta_step_size"] * ratio)
        used = step_sizes / (step_sizes * x**2).sum().clamp(min=1)
        state["step_sizes"] = used.clone() if settings["bound"] == "permanent" else step_sizes
        state["weights"] += used * change
        state["traces"] = state["traces"] * (1 - used * x**2) + used * change
