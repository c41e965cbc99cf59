"""ReDo, unit by unit."""

import torch

from pytorch_adapters.replacement import by_feature, unit_values


class ReDo:
    """State: `activity`, by hidden layer, the summed batch means of |h| since the last replacement."""

    def __init__(self, network, settings, replacer):
        self.network, self.settings, self.replacer = network, settings, replacer
        like = network.weighted[0].weight.detach()
        self.activity = {layer.number: like.new_zeros(layer.num_units) for layer in network.hidden}

    @torch.no_grad()
    def step(self, features, draws, step):
        found, dormant = {}, {}
        due = (step + 1) % self.settings["redo_period"] == 0
        for layer, values in zip(self.network.hidden, features):
            number = layer.number
            present = unit_values(by_feature(values).abs().mean(dim=0), layer.num_units)
            if self.settings["redo_scores"] == "period":
                present = self.activity[number] + present
            self.activity[number] = present
            found[f"age_and_utility/activity/{number}"] = present.clone()
            score = present / present.mean()  # not a number where all are silent: then none is at most tau
            found[f"age_and_utility/score/{number}"] = score
            dormant[number] = (score <= self.settings["redo_threshold"]) & due
            found[f"selection/replaced/{number}"] = dormant[number]
        for layer in self.network.hidden:
            for unit in dormant[layer.number].nonzero().flatten().tolist():
                self.replacer.replace(layer, unit, draws[f"fresh_weight/{layer.number}"][unit])
            if due:
                self.activity[layer.number] = torch.zeros_like(self.activity[layer.number])
        return found

    def state(self):
        return {f"activity/{number}": activity for number, activity in self.activity.items()}

    def set_state(self, state):
        for name, tensor in self.state().items():
            if name in state:
                tensor.copy_(torch.as_tensor(state[name]))
