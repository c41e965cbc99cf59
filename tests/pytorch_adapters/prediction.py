"""Streaming prediction of a discounted sum: TD(lambda), true online TD(lambda), TIDBD, SwiftTD."""

import math

import torch

from pytorch_adapters.linear import WeightsAdapter

STATES = {
    "td_lambda": ("traces", "last_features"),
    "true_online_td_lambda": ("traces", "last_features"),
    "tidbd": ("traces", "memory", "last_features"),
    "swift_td": ("traces", "additions", "meta_traces", "sensitivity_traces", "h", "h_old", "h_next"),
}


class PredictionAdapter(WeightsAdapter):
    """Cases of kind "prediction"; x are the features of a step and y the cumulant that came with them.

    Where the discount changes, x are `features` and `discount`.
    """

    def initial_state(self, weights):
        method = self.settings["method"]
        state = {name: torch.zeros_like(weights) for name in STATES[method]}
        if "initial_step_size" in self.settings:
            state["log_step_sizes"] = torch.full_like(weights, self.settings["initial_step_size"]).log()
        if self.settings.get("normalize"):
            state["normalizers"] = torch.zeros_like(weights)
        self.discount_changes = "discount" not in self.settings
        if self.discount_changes and method != "swift_td":
            state["last_decay"] = weights.new_zeros(())
        if method in ("true_online_td_lambda", "swift_td"):
            state["last_value"] = weights.new_zeros(())
        if method == "swift_td":
            state["value_change"] = weights.new_zeros(())
        return state

    def step(self, x, y, draws):
        self.discount = float(x["discount"]) if self.discount_changes else self.settings["discount"]
        x, y = torch.from_numpy(x["features"] if self.discount_changes else x), torch.as_tensor(y)
        value = self.state["weights"] @ x
        decay = self.discount * self.settings["trace_decay"]  # into x
        self.decay = self.state.get("last_decay", decay)  # into the features of the step before, for all but SwiftTD
        getattr(self, self.settings["method"])(x, y, value)
        if "last_decay" in self.state:
            self.state["last_decay"] = x.new_tensor(decay)
        return self.report(predict__value=value)

    def td_lambda(self, x, cumulant, value):
        state, last = self.state, self.state["last_features"]
        delta = cumulant + self.discount * value - state["weights"] @ last
        state["traces"] = self.decay * state["traces"] + last
        state["weights"] += self.settings["step_size"] * delta * state["traces"]
        state["last_features"] = x

    def true_online_td_lambda(self, x, cumulant, value):
        state, last, alpha = self.state, self.state["last_features"], self.settings["step_size"]
        v = state["weights"] @ last
        delta = cumulant + self.discount * value - v
        z = state["traces"]
        state["traces"] = z = self.decay * z + (1 - alpha * self.decay * (z @ last)) * last
        surplus = v - state["last_value"]
        state["weights"] += alpha * (delta + surplus) * z - alpha * surplus * last
        state["last_value"], state["last_features"] = value, x

    def tidbd(self, x, cumulant, value):
        state, settings, last = self.state, self.settings, self.state["last_features"]
        delta = cumulant + self.discount * value - state["weights"] @ last
        u = last if settings["gradient"] == "semi" else last - self.discount * x
        state["traces"] = z = self.decay * state["traces"] + last
        m = delta * u * state["memory"]
        beta = state["log_step_sizes"]
        if settings["normalize"]:
            v = state["normalizers"]
            v = torch.maximum(m.abs(), v + beta.exp() * u * z / settings["tau"] * (m.abs() - v))
            state["normalizers"] = v
            beta = beta + settings["meta_step_size"] * torch.where(v == 0, torch.zeros_like(m), m / v)
            beta = beta - (beta.exp() * u * z).sum().clamp(min=1).log()
        else:
            beta = beta + settings["meta_step_size"] * m
        state["log_step_sizes"] = beta
        alpha = beta.exp()
        state["weights"] += alpha * delta * z
        state["memory"] = state["memory"] * (1 - alpha * u * z).clamp(min=0) + alpha * delta * z
        state["last_features"] = x

    def swift_td(self, phi, cumulant, value):
        state, settings = self.state, self.settings
        eta, smallest = settings["step_bound"], settings.get("smallest_step_size", math.exp(-15))
        z, zd, p, zbar = (state[name] for name in ("traces", "additions", "meta_traces", "sensitivity_traces"))
        beta, v_delta = state["log_step_sizes"], state["value_change"]
        d = cumulant + self.discount * value - state["last_value"]  # A
        dw = d * z - zd * v_delta  # B
        state["weights"] += dw
        beta = beta + settings["meta_step_size"] / beta.exp() * (d - v_delta) * p
        beta = beta.clamp(math.log(smallest), math.log(eta))
        h_old = state["h"]
        h = state["h_next"] + d * zbar - zd * v_delta
        z, p, zbar = self.decay * z, self.decay * p, self.decay * zbar
        tau = (beta.exp() * phi**2).sum()  # C
        missing = 1 - z @ phi
        zd = min(1.0, eta / float(tau)) * beta.exp() * phi if tau > 0 else torch.zeros_like(phi)  # D
        p = p + h_old * phi
        z = z + zd * missing
        zbar = zbar + zd * (missing - zbar * phi)
        h_next = h - h_old * phi * (z - zd) - h * zd * phi
        if tau > eta:  # E
            beta = (beta + math.log(settings["step_decay"]) * phi**2).clamp(min=math.log(smallest))
            h_next, h, h_old, zbar = (torch.zeros_like(phi) for _ in range(4))
        new = {"traces": z, "additions": zd, "meta_traces": p, "sensitivity_traces": zbar, "log_step_sizes": beta}
        state.update(new, h=h, h_old=h_old, h_next=h_next, value_change=dw @ phi, last_value=value)  # F
