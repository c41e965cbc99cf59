"""Continual Backprop and the state of the optimizer: weight decay, and resets in every kind of network."""

from minilop.verify.catalogue.continual_backprop import CONVOLUTIONAL, RESIDUAL, WITH_ADAM, WITH_MOMENTUM, case
from minilop.verify.catalogue.sizes import CONVNET, RESNET, mlp

RESET = {"reset_optimizer_state": True}
DECAY = {**RESET, "weight_decay": 0.05}
BEFORE = {**RESET, "when": "before_update"}
MOMENTUM = {**RESET, "step_size": 0.005, "momentum": 0.9}
CUT = {**MOMENTUM, "shortcuts": "cut"}
TWO_BLOCKS, TWO_STAGES = {**RESNET, "blocks": (2,)}, {**RESNET, "widths": (2, 2), "blocks": (1, 1)}
SEVERAL = {"transfer_bias": True, "replacement_rate": 0.4537}
FIVE_UNITS = mlp(3, 5, 2, batch=2)
DESCRIPTIONS = [
    case("momentum_decay", "Momentum, reset for replaced units, and weight decay.", DECAY, 5001, base=WITH_MOMENTUM),
    case("adam_reset_decay", "Adam, reset for replaced units, and weight decay.", DECAY, 5103, base=WITH_ADAM),
    case("before_update_reset", "Momentum is reset before the optimizer's step.", BEFORE, 5202, base=WITH_MOMENTUM),
    case("convolutional_reset", "Momentum is reset for channels.", MOMENTUM, 5301, CONVNET, CONVOLUTIONAL),
    # 16 steps: each step of these two has about 150 quantities.
    case("residual_reset", "Momentum is reset for normalizations, too.", MOMENTUM, 5401, TWO_BLOCKS, RESIDUAL, 16),
    case("residual_cut_reset", "And for weights behind shortcuts.", CUT, 5501, TWO_STAGES, RESIDUAL, 16),
    case("transfer_bias_several", "Several units hand their means over in one step.", SEVERAL, 5602, FIVE_UNITS),
]
