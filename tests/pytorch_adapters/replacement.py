"""What rules that replace units share."""

import math

from pytorch_adapters.networks import initial_scale


def by_feature(features):
    """Features with the batch first, as (B, F): the places of an image count as examples."""
    return features.movedim(1, -1).flatten(0, -2) if features.ndim == 4 else features


def unit_values(values, num_units):
    """Means over the features of each unit, (F,) to (H,)."""
    return values.view(num_units, -1).mean(dim=1)


class Replacer:
    """What all rules that replace units do to one.

    law          which law fresh weights have: ("uniform" or "normal", scale), by hidden layer
    forget       a function that gives all tensors of the optimizer's state for a parameter, or None to leave them
    cut          whether shortcuts lose their weights too
    """

    def __init__(self, network, laws, forget=None, cut=False):
        self.network, self.laws, self.forget, self.cut = network, laws, forget, cut

    def readers(self, layer):
        return layer.readers if self.cut else layer.readers[:1]

    def replace(self, layer, unit, drawn):
        """`drawn` are the numbers of this slot, uniform in (0, 1) or standard normal."""
        law, scale = self.laws[layer.number]
        fresh = scale * (2 * drawn - 1) if law == "uniform" else scale * drawn
        layer.incoming.weight[unit] = fresh
        layer.incoming.bias[unit] = 0
        touched = [layer.incoming.weight, layer.incoming.bias]
        if layer.normalization is not None:
            layer.normalization.weight[unit] = 1
            layer.normalization.bias[unit] = 0
            layer.normalization.running_mean[unit] = 0
            layer.normalization.running_var[unit] = 1
            touched += [layer.normalization.weight, layer.normalization.bias]
        for reader in self.readers(layer):
            layer.outgoing(reader.weight)[:, unit] = 0
        if self.forget is None:
            return
        for parameter in touched:
            for state in self.forget(parameter):
                state[unit] = 0
        for reader in self.readers(layer):
            for state in self.forget(reader.weight):
                layer.outgoing(state)[:, unit] = 0


def fresh_laws(network, scheme, activation, fresh_weights):
    laws = {}
    for layer in network.hidden:
        weight = layer.incoming.weight
        fan_in = weight[0].numel()
        fan_out = weight.shape[0] * weight[0, 0].numel()
        if fresh_weights == "normal":
            laws[layer.number] = ("normal", math.sqrt(2 / fan_in))
        else:
            law = "normal" if scheme == "kaiming_normal" else "uniform"
            laws[layer.number] = (law, initial_scale(scheme, activation, fan_in, fan_out))
    return laws
