"""The sizes of the networks in the cases, as small as possible; see `make_network`."""

from typing import Any

MLP = {"network": "mlp", "layers": (3, 5, 4, 2), "batch": 4}
SMALL = {"network": "mlp", "layers": (2, 3, 3), "batch": 2}
CONVNET = {
    "network": "convnet",
    "input_shape": (1, 6, 6),
    "kernels": ((2, 3),),
    "dense_units": (3,),
    "outputs": 2,
    "batch": 2,
}
RESNET = {"network": "resnet", "input_shape": (1, 4, 4), "widths": (2,), "blocks": (1,), "outputs": 2, "batch": 2}


def mlp(*layers: int, batch: int) -> dict[str, Any]:
    """A multilayer perceptron."""
    return {"network": "mlp", "layers": layers, "batch": batch}
