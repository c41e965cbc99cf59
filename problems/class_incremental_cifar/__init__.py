"""Class-incremental CIFAR-100: five classes to tell apart, then ten, up to a hundred, by one network that learns on.

Whenever classes arrive, the network trains on all images of all classes so far for hundreds of epochs; nothing is taken
away, so nothing need be forgotten. Yet the network that has been trained all the way ends below one that is trained
from scratch on the same images (`retrained`); the difference is plasticity lost.

Dohare et al. (2024), "Class-incremental CIFAR-100". Paper - published code - ours:

  new outputs             fresh ones at each increase - all there from the start, the unseen out of the loss but not out
                          of weight decay, which makes them nearly zero - the code's (heads), the paper's by an option
  accuracy                "test accuracy" - the best over the epochs of an increment, chosen on the test images -
                          both: best_test_accuracy, and test_accuracy of the network that early stopping keeps
  early stopping          on validation images - their accuracy after each epoch; weights and running statistics of the
                          best are loaded at the end, momentum and ages are not - the same, each run its own
  retrained network       from scratch - new weights, biases, scales; momentum and running statistics stay - the same
  head resetting          - - all 100 outputs are redrawn, their momentum stays - the same
  Continual Backprop      running average of the contribution - lifetime activity times present weights - the code's
  diagnostics             - on 1,000 images, validation's among them, normalized by their own mean and variance, before
                          anything is redrawn - the same
  last mini-batch         - smaller where the images do not divide; they do, 25 updates an epoch for every five classes
                          - the same

Labels are numbers in the order of arrival, so the outputs of the classes seen are the first; the published code has
them in the order of the files, and looks them up. Training accuracy is ours: of the network that early stopping keeps.
"""

from problems.class_incremental_cifar.figures import figures
from problems.class_incremental_cifar.images import data_source, read_images
from problems.class_incremental_cifar.problem import ClassIncremental, start
from problems.class_incremental_cifar.settings import SCALES, Settings

__all__ = ["SCALES", "TITLE", "ClassIncremental", "Settings", "data_source", "figures", "read_images", "start"]

TITLE = "Class-incremental CIFAR-100: ever more classes of images to tell apart"
