"""Continual Backprop, unit by unit."""

import math

import torch

from pytorch_adapters.replacement import by_feature, unit_values


class ContinualBackprop:
    """State, by hidden layer: age, utility and mean_feature (H,), and how many replacements are due."""

    def __init__(self, network, settings, replacer):
        self.network, self.settings, self.replacer = network, settings, replacer
        like = network.weighted[0].weight.detach()
        self.age, self.utility, self.mean_feature, self.due = {}, {}, {}, {}
        for layer in network.hidden:
            for state in (self.age, self.utility, self.mean_feature):
                state[layer.number] = like.new_zeros(layer.num_units)
            self.due[layer.number] = 0.0

    def __getitem__(self, name):
        return self.settings[name]

    def correction(self, number):
        """1 - eta^age, by unit."""
        return 1 - self["decay_rate"] ** self.age[number]

    @torch.no_grad()
    def step(self, features, draws):
        """Judge all units, then replace; returns what was found, by "<phase>/<quantity>/<layer>"."""
        found, chosen = {}, {}
        for layer, values in zip(self.network.hidden, features):
            utility = self.judge(layer, by_feature(values), found)
            chosen[layer.number] = self.choose(layer, utility, draws)
        for layer in self.network.hidden:
            number = layer.number
            replaced = torch.zeros(layer.num_units, dtype=torch.bool)
            replaced[chosen[number]] = True
            found[f"selection/replaced/{number}"] = replaced
            found[f"selection/units_to_replace/{number}"] = torch.tensor([self.due[number]], dtype=torch.float64)
            self.replace(layer, chosen[number], draws)
        return found

    def judge(self, layer, values, found):
        """Ages and averages; returns what units are ranked by. `values` (B, F)."""
        number, eta = layer.number, self["decay_rate"]
        self.age[number] += 1
        correction = self.correction(number)
        previous = self.mean_feature[number] / correction
        mean = unit_values(values.mean(dim=0), layer.num_units)
        self.mean_feature[number] = eta * self.mean_feature[number] + (1 - eta) * mean
        centre = self.mean_feature[number] / correction
        if self["centre"] == "previous":
            centre = previous
        ranked = self.average(layer, values, centre)
        found[f"age_and_utility/age/{number}"] = self.age[number].clone()
        found[f"age_and_utility/utility/{number}"] = self.utility[number].clone()
        found[f"age_and_utility/mean_feature/{number}"] = self.mean_feature[number].clone()
        if self["bias_correction"] and self["average"] == "utility":
            ranked = ranked / correction
            found[f"age_and_utility/bias_corrected_utility/{number}"] = ranked
        return ranked

    def average(self, layer, values, centre):
        number, eta = layer.number, self["decay_rate"]
        name = self["utility"]
        activity = values.abs().mean(dim=0)  # (F,)
        outgoing = self.outgoing_magnitude(layer)  # (F,)
        if name == "random":
            return self.utility[number]
        if self["average"] == "lifetime_activity":
            self.utility[number] += (1 - eta) * unit_values(activity, layer.num_units)
            worth = unit_values(outgoing, layer.num_units)
            return worth if name == "weight" else worth * self.utility[number]
        places = len(activity) // layer.num_units
        incoming = layer.incoming.weight.abs().flatten(1).mean(dim=1).repeat_interleave(places)
        variation = (values - centre.repeat_interleave(places)).abs().mean(dim=0)
        worth = {
            "contribution": outgoing * activity,
            "weight": outgoing,
            "adaptation": 1 / incoming,
            "zero_contribution": outgoing * variation,
            "adaptable_contribution": outgoing * variation / incoming,
            "feature_by_input": variation / incoming,
        }[name]
        self.utility[number] = eta * self.utility[number] + (1 - eta) * unit_values(worth, layer.num_units)
        return self.utility[number]

    def outgoing_magnitude(self, layer):
        """Sum or mean of the absolute weights that leave each feature, (F,)."""
        total, count = 0, 0
        for reader in self.replacer.readers(layer):
            weight = reader.weight.abs()
            total = total + weight.sum(dim=0).flatten(1).sum(dim=1) if weight.ndim == 4 else total + weight.sum(dim=0)
            count += weight[:, 0].numel()
        return total / count if self["outgoing"] == "mean" else total

    def choose(self, layer, utility, draws):
        """The units to replace, least useful first."""
        number = layer.number
        if self["utility"] == "random":
            utility = draws[f"random_utility/{number}"]
        eligible = [unit for unit in range(layer.num_units) if self.age[number][unit] > self["maturity_threshold"]]
        counted = len(eligible)
        if self["rate_counts"] == "all" and eligible:
            counted = layer.num_units
        rate = self["replacement_rate"] * counted
        if self["rounding"] == "chance":
            wanted = math.floor(rate)
            if wanted == 0:
                wanted = int(float(draws[f"replacement_coin/{number}"].reshape(-1)[0]) < rate)
            wanted = min(wanted, len(eligible))
        else:
            self.due[number] += rate
            wanted = int(self.due[number] > 1) if self["rounding"] == "single" else math.floor(self.due[number])
            wanted = min(wanted, len(eligible))
            self.due[number] -= wanted
        return sorted(eligible, key=lambda unit: (float(torch.nan_to_num(utility[unit])), unit))[:wanted]

    def replace(self, layer, units, draws):
        number = layer.number
        if self["transfer_bias"]:
            mean = self.mean_feature[number] / self.correction(number)
            weight = layer.outgoing(layer.readers[0].weight).sum(dim=-1)  # (O, H)
            for unit in units:
                layer.readers[0].bias.add_(weight[:, unit] * mean[unit])
        for unit in units:
            self.replacer.replace(layer, unit, draws[f"fresh_weight/{number}"][unit])
            self.age[number][unit] = 0
            self.mean_feature[number][unit] = 0
            if self["average"] == "utility":
                self.utility[number][unit] = 0

    def state(self):
        """By "<quantity>/<layer>"."""
        found = {}
        for number in self.age:
            for name in ("age", "utility", "mean_feature"):
                found[f"{name}/{number}"] = getattr(self, name)[number]
        return found

    def set_state(self, state):
        for name, tensor in self.state().items():
            if name in state:
                tensor.copy_(torch.as_tensor(state[name]))
        for number in self.due:
            self.due[number] = float(state.get(f"units_to_replace/{number}", [0.0])[0])
