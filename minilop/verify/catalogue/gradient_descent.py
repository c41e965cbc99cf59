"""Networks and their losses; SGD, momentum, Adam, L2 regularization, Shrink & Perturb."""

from collections.abc import Mapping
from typing import Any

from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.sizes import CONVNET, MLP, RESNET, SMALL, mlp

SGD = {
    "loss": "squared_error",
    "activation": "relu",
    "optimizer": "sgd",
    "step_size": 0.05,
    "momentum": 0.0,
    "weight_decay": 0.0,
}
ADAM = {**SGD, "optimizer": "adam", "step_size": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-8}


def learner(
    name: str, comment: str, settings: Mapping[str, Any], sizes: Mapping[str, Any], seed: int, steps: int = 60
) -> Description:
    """A case of a learner, by suite and name."""
    return Description(name, "learner", comment, settings, sizes, steps, seed)


LOSSES_AND_GRADIENTS = [
    learner(
        "networks/linear",
        "One layer without hidden units.",
        SGD,
        {**MLP, "network": "linear", "layers": (3, 2)},
        11,
        steps=5,
    ),
    *(
        learner(
            f"networks/{name}",
            f"The activation {name} in a network of two hidden layers.",
            {**SGD, "activation": name},
            MLP,
            12,
            steps=5,
        )
        for name in ("tanh", "leaky_relu", "sigmoid", "elu", "swish")
    ),
    learner(
        "networks/convnet",
        "Two convolutions with biases, 2 x 2 max-pooling behind each, and a dense layer.",
        SGD,
        {**CONVNET, "input_shape": (2, 8, 8), "kernels": ((2, 3), (3, 2))},
        13,
        steps=3,
    ),
    learner(
        "networks/residual",
        "A residual network of two stages, whose second shortcut is a 1 x 1 convolution; batch normalization learns.",
        SGD,
        {**RESNET, "widths": (2, 3), "blocks": (1, 1)},
        14,
        steps=3,
    ),
]

DESCRIPTIONS = [
    *LOSSES_AND_GRADIENTS,
    learner(
        "sgd/plain",
        "Stochastic gradient descent on mini-batches of four; the squared error is summed over outputs.",
        SGD,
        mlp(3, 5, 4, 3, batch=4),
        3953,
    ),
    learner(
        "sgd/single_example",
        "One example a step, and half the squared error.",
        {**SGD, "loss": "half_squared_error"},
        mlp(3, 5, 4, 2, batch=1),
        406,
    ),
    learner(
        "sgd/cross_entropy",
        "Cross-entropy with labels, averaged over the mini-batch.",
        {**SGD, "loss": "cross_entropy"},
        mlp(3, 5, 3, batch=4),
        489,
    ),
    learner(
        "momentum/plain",
        "Heavy-ball momentum, neither dampened nor Nesterov's.",
        {**SGD, "step_size": 0.01, "momentum": 0.9},
        SMALL,
        4,
    ),
    learner(
        "momentum/decay",
        "Momentum of the gradient with weight decay added to it.",
        {**SGD, "step_size": 0.01, "momentum": 0.9, "weight_decay": 0.1},
        SMALL,
        463,
    ),
    learner("adam/plain", "Adam with bias correction.", ADAM, SMALL, 481),
    learner(
        "adam/epsilon",
        "Adam with an epsilon that is felt: it is added to the root of the corrected second moment.",
        {**ADAM, "epsilon": 0.05},
        SMALL,
        7,
    ),
    learner(
        "adam/decay",
        "Adam with weight decay added to the gradient, as L2 regularization and not as AdamW.",
        {**ADAM, "weight_decay": 0.1},
        SMALL,
        523,
    ),
    learner(
        "l2/plain",
        "SGD with weight decay added to the gradient of weights and biases.",
        {**SGD, "weight_decay": 0.1},
        SMALL,
        542,
    ),
    learner(
        "l2/single_example",
        "The same with one example a step.",
        {**SGD, "weight_decay": 0.03},
        mlp(3, 5, 2, batch=1),
        560,
    ),
    learner(
        "shrink_and_perturb/sgd",
        "SGD with weight decay, then noise on every weight and bias.",
        {**SGD, "weight_decay": 0.1, "perturb_scale": 0.03},
        SMALL,
        580,
    ),
    learner(
        "shrink_and_perturb/adam",
        "The same noise after a step of Adam with weight decay.",
        {**ADAM, "weight_decay": 0.1, "perturb_scale": 0.03},
        SMALL,
        604,
    ),
]
