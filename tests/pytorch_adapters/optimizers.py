"""Optimizers that torch.optim does not have. All change parameters by their .grad and keep tensors like them in `state`."""

import torch


class AdamByWeight:
    """Adam with a step count for every weight, so that the state of single weights may begin again."""

    def __init__(self, parameters, lr, betas, eps, weight_decay):
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.state = {
            name: [torch.zeros_like(parameter) for parameter in self.parameters]
            for name in ("first_moment", "second_moment", "count")
        }

    @torch.no_grad()
    def step(self):
        beta_1, beta_2 = self.betas
        for parameter, first, second, count in zip(self.parameters, *self.state.values()):
            gradient = parameter.grad + self.weight_decay * parameter
            count += 1
            first.mul_(beta_1).add_((1 - beta_1) * gradient)
            second.mul_(beta_2).add_((1 - beta_2) * gradient**2)
            first_hat = first / (1 - beta_1**count)
            second_hat = second / (1 - beta_2**count)
            parameter -= self.lr * first_hat / (second_hat.sqrt() + self.eps)


class NetworkIDBD:
    """A step size for every weight, learned as by IDBD, from one example at a time.

    For each parameter, h `traces`, v `normalizers` and beta `log_step_sizes`, in lists as the parameters are.
    """

    def __init__(self, parameters, settings):
        self.parameters = list(parameters)
        self.settings = settings
        self.state = {
            name: [torch.zeros_like(parameter) for parameter in self.parameters]
            for name in ("log_step_sizes", "traces", "normalizers")
        }

    def step_sizes(self):
        return [self.settings["step_size"] * torch.exp(beta) for beta in self.state["log_step_sizes"]]

    @torch.no_grad()
    def step(self, output_gradient, squared_sources):
        """`output_gradient` (1, O); `squared_sources`, x_i^2 of the source of each weight, as the parameters are."""
        settings = self.settings
        length = output_gradient.norm()
        g = [-parameter.grad for parameter in self.parameters]
        s = [each / length if length > 0 else torch.zeros_like(each) for each in g]
        c = squared_sources if settings["curvature"] == "layer_local" else [each**2 for each in s]
        for g_k, c_k, alpha, beta, h, v in zip(g, c, self.step_sizes(), *self.state.values()):
            m = g_k * h
            if settings["normalized"]:
                v.copy_(torch.maximum(m.abs(), v + alpha * c_k / settings["tau"] * (m.abs() - v)))
                m = torch.where(v > 0, m / v, torch.zeros_like(m))
            beta += settings["meta_step_size"] * m
        alphas = self.step_sizes()
        if settings["overshoot_limit"]:
            overshoot = sum((alpha * s_k**2).sum() for alpha, s_k in zip(alphas, s))
            bound = max(float(overshoot) / settings["overshoot_limit"], 1.0)
            alphas = [alpha / bound for alpha in alphas]
        product = sum((s_k * h).sum() for s_k, h in zip(s, self.state["traces"]))
        for parameter, g_k, s_k, c_k, alpha, h in zip(self.parameters, g, s, c, alphas, self.state["traces"]):
            parameter += alpha * g_k
            if settings["curvature"] == "gauss_newton":
                h -= alpha * s_k * product
            else:
                h *= (1 - alpha * c_k).clamp(min=0)
            h += alpha * g_k


RATES = {"sgd": (0.0, 0.0), "momentum": (0.9, 0.0), "adam": (0.9, 0.999), "lion": (0.9, 0.99)}
STATES = {"sgd": (), "momentum": ("momentum",), "lion": ("momentum",)}
STATES["adam"] = ("momentum", "second_moment", "first_correction", "second_correction")


class FirstOrderRule:
    """Directions from gradients, for one tensor."""

    def __init__(self, name, like):
        self.name = name
        self.state = {each: torch.zeros_like(like) for each in STATES[name]}

    def direction(self, gradient):
        beta_1, beta_2 = RATES[self.name]
        if self.name == "sgd":
            return gradient
        momentum = self.state["momentum"]
        if self.name == "lion":
            found = torch.sign(beta_1 * momentum + (1 - beta_1) * gradient)
            momentum.mul_(beta_2).add_((1 - beta_2) * gradient)
            return found
        momentum.mul_(beta_1).add_((1 - beta_1) * gradient)
        if self.name == "momentum":
            return momentum.clone()
        second, first_correction, second_correction = (
            self.state[name] for name in ("second_moment", "first_correction", "second_correction")
        )
        second.mul_(beta_2).add_((1 - beta_2) * gradient**2)
        first_correction.mul_(beta_1).add_(1 - beta_1)
        second_correction.mul_(beta_2).add_(1 - beta_2)
        return momentum / first_correction / ((second / second_correction).sqrt() + 1e-8)


class MetaOptimize:
    """Step sizes of blocks of parameters, learned from how each block's debt to its step size meets the gradient.

    blocks   of each parameter its block; None for a step size of every single weight
    """

    def __init__(self, parameters, settings, blocks):
        self.parameters = list(parameters)
        self.settings = settings
        self.blocks = blocks
        self.traces = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.base = [FirstOrderRule(settings["base"], parameter.detach()) for parameter in self.parameters]
        if blocks is None:
            self.log_step_sizes = [torch.zeros_like(parameter) for parameter in self.parameters]
        else:
            self.log_step_sizes = [torch.zeros(max(blocks) + 1, dtype=self.parameters[0].dtype)]
        self.meta = [FirstOrderRule(settings["meta"], beta.detach()) for beta in self.log_step_sizes]

    def step_sizes(self):
        """Of each parameter, a tensor that broadcasts to it."""
        alphas = [self.settings["step_size"] * torch.exp(beta) for beta in self.log_step_sizes]
        return alphas if self.blocks is None else [alphas[0][block] for block in self.blocks]

    def meta_gradients(self):
        by_weight = [h * parameter.grad for h, parameter in zip(self.traces, self.parameters)]
        if self.blocks is None:
            return by_weight
        sums = torch.zeros_like(self.log_step_sizes[0])
        for block, each in zip(self.blocks, by_weight):
            sums[block] += each.sum()
        return [sums]

    def adapt(self, meta_gradients):
        for beta, rule, z in zip(self.log_step_sizes, self.meta, meta_gradients):
            beta -= self.settings["meta_step_size"] * rule.direction(z)

    @torch.no_grad()
    def step(self):
        settings = self.settings
        kappa = settings.get("weight_decay", 0.0)
        z = self.meta_gradients()
        if settings["order"] == "meta_first":
            self.adapt(z)
        for parameter, rule, h, alpha in zip(self.parameters, self.base, self.traces, self.step_sizes()):
            change = -alpha * (rule.direction(parameter.grad) + kappa * parameter)
            parameter += change
            h.copy_(settings["trace_decay"] * (1 - kappa * alpha) * h + change)
        if settings["order"] == "meta_last":
            self.adapt(z)
