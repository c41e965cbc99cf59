"""Class-incremental CIFAR-100: one network learns to classify 5 classes of images, then 10, and so on up to 100.

Whenever classes arrive, the network trains on all images of all classes so far for hundreds of epochs. No images are
removed, so the network need not forget anything. Yet the network that is trained continually ends with a lower accuracy
than one that is trained from scratch on the same images (`retrained`); the difference is the loss of plasticity.

Dohare et al. (2024), "Class-incremental CIFAR-100". Paper - published code - ours:

  new outputs             created at each increment - all exist from the start; the loss omits unseen outputs, but
                          weight decay does not, so they become nearly zero - as in the code; option `heads`
  accuracy                "test accuracy" - the best over the epochs of an increment, selected on the test images -
                          both: best_test_accuracy, and test_accuracy of the network that early stopping selects
  early stopping          on validation images - by their accuracy after each epoch; at the end, the best weights and
                          running statistics are loaded, but not momentum and ages - the same, in each run separately
  retrained network       from scratch - new weights, biases, scales; momentum and running statistics stay - the same
  head resetting          - - all 100 outputs are redrawn, their momentum stays - the same
  Continual Backprop      running average of the contribution - lifetime activity times current weights - as in the code
  diagnostics             - on 1,000 training and validation images, normalized by their own mean and variance, before
                          anything is redrawn - the same
  last mini-batch         - smaller if the images do not divide evenly; they do, with 25 updates per epoch for every
                          five classes - the same

Labels follow the order of arrival, so the outputs of the classes seen come first. The published code has them in the
order of the files and looks them up. Training accuracy, of the network that early stopping selects, is our addition.
"""

from problems.class_incremental_cifar.figures import figures
from problems.class_incremental_cifar.images import data_source, read_images
from problems.class_incremental_cifar.problem import ClassIncremental, start
from problems.class_incremental_cifar.settings import SCALES, Settings

__all__ = ["SCALES", "TITLE", "ClassIncremental", "Settings", "data_source", "figures", "read_images", "start"]

TITLE = "Class-incremental CIFAR-100: classification of images with a growing number of classes"
