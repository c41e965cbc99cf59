"""ReDo."""

from minilop.verify.catalogue.gradient_descent import ADAM, SGD, learner
from minilop.verify.catalogue.sizes import CONVNET, SMALL, mlp

REDO = {
    **SGD,
    "step_size": 0.02,
    "redo_period": 5,
    "redo_threshold": 0.3,
    "redo_scores": "mini_batch",
    "initialization": "kaiming",
    "fresh_weights": "initial",
    "reset_optimizer_state": False,
    "when": "after_update",
}


DESCRIPTIONS = [
    learner(
        "redo/mini_batch",
        "Scores of the mini-batch of the fifth step, in which dormant units are replaced.",
        REDO,
        SMALL,
        1240,
    ),
    learner(
        "redo/period",
        "Scores of all steps since the last replacement, of single examples.",
        {**REDO, "redo_scores": "period"},
        mlp(3, 5, 2, batch=1),
        1264,
    ),
    learner(
        "redo/silent",
        "A threshold of 0: units without any activity are replaced.",
        {**REDO, "redo_threshold": 0.0, "redo_period": 3},
        mlp(2, 4, 2, batch=1),
        1287,
    ),
    learner(
        "redo/tanh",
        "A feature may be negative: its size counts.",
        {**REDO, "activation": "tanh", "redo_threshold": 0.6},
        SMALL,
        4,
    ),
    learner(
        "redo/adam_reset",
        "With Adam, which begins anew for the weights of a replaced unit.",
        {**REDO, **ADAM, "reset_optimizer_state": True},
        SMALL,
        5,
    ),
    learner(
        "redo/convolutional",
        "Channels of a convolution as units, which have several features behind the flattening.",
        {**REDO, "initialization": "default", "redo_threshold": 0.6},
        CONVNET,
        100,
    ),
]
