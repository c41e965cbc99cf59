"""The network of class-incremental CIFAR-100, its new outputs, and checks of settings and learners."""

from collections.abc import Sequence

import numpy as np

from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings
from minilop.networks import Network
from minilop.optimizers import SGD
from minilop.recipes import linear
from minilop.residual_networks import resnet
from problems.class_incremental_cifar.settings import Settings
from problems.shared.generated_images import check_one_example


def make_network(
    settings: Settings, learner_settings: LearnerSettings, input_shape: tuple[int, int, int], seeds: Sequence[int]
) -> Network:
    """The network of the problem, with an output for each class.

    Raises ValueError for a learner whose network settings a residual network cannot satisfy.
    """
    check_one_example(learner_settings, settings.batch_size)
    requested = learner_settings.network
    if requested.kind == "linear":
        return linear(input_shape, settings.num_classes, seeds, learner_settings.dtype)
    if requested.activation != "relu" or requested.dropout or requested.batch_norm:
        raise ValueError(
            "the residual network has relus, is always normalized and never drops; leave these settings out"
        )
    return resnet(
        seeds,
        learner_settings.dtype,
        widths=settings.widths,
        blocks=settings.blocks,
        image_size=input_shape[-1],
        num_channels=input_shape[0],
        num_outputs=settings.num_classes,
    )


def check_settings(settings: Settings, learner_settings: LearnerSettings, side: int) -> None:
    """Raises ValueError for settings that do not fit the learner or images of `side` x `side` pixels."""
    if settings.crop_padding >= side:
        raise ValueError(f"crop_padding={settings.crop_padding} must be less than the {side} pixels of an image's side")
    per_increment = settings.classes_per_increment * settings.num_training_images
    last_batches = {number * per_increment % settings.batch_size for number in range(1, settings.num_increments + 1)}
    if side <= 2 ** (len(settings.widths) - 1) and (1 in last_batches or settings.num_diagnostic_images == 1):
        raise ValueError(
            "one image, of which the last stage sees a single place, has no variance to normalize by; choose another "
            "batch_size or num_diagnostic_images, larger images, or fewer widths and blocks"
        )
    if settings.heads == "paper" and not isinstance(learner_settings.optimizer, SGD):
        raise ValueError(
            "heads=paper starts outputs without state of their own, which is for the optimizer sgd; choose it, or "
            "heads=published_code"
        )
    if settings.heads == "paper" and any(rule.changes_gradients for rule in learner_settings.rules):
        raise ValueError(
            "heads=paper gives outputs new values that l2_init would not know; choose heads=published_code"
        )


def add_outputs(learner: Learner, first: int, last: int, increment: int) -> None:
    """Initialize the weights, biases and momentum of the new outputs `first` to `last` - 1; set later ones to zero."""
    network = learner.network
    head = network.dense_layers[-1]
    for array in (network.parameters, *learner.optimizer.state.values()):
        views = network.views(array)[head.index]
        views["weight"][:, first:] = 0
        views["bias"][:, first:] = 0
    # At increment 0 these are the weights that the network was created with.
    arriving = np.arange(first, last)
    head.weight[:, first:last] = head.initial_rows(network.seeds[:, None], arriving, "initial weight", increment)
