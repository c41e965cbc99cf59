"""Continual ImageNet: binary classification of small color images, with a new pair of classes in every task.

Each task is a pair of classes with 600 training images each, learned in many epochs, and 100 test images each. When a
task begins, the output layer is set to zero; everything else is kept. No task is harder than another. Yet in the paper,
backprop learns the later tasks no better than a linear network, while Continual Backprop keeps improving. Loss of
plasticity is measured relative to `fresh`, a new network for every task.

A zero output layer passes no gradient to the layers below. In the first step of a task, these layers change only by
their remaining momentum, by weight decay and by noise.

Dohare et al. (2024), "Continual ImageNet". Paper - published code - ours:

  pairs of classes        random, rarely repeated - a stored order of the classes for each run, repeated or not - pairs
                          of a random order of the classes; after all classes, of a new order
  inputs                  - stored centered, almost surely as bytes / 255 - mean image - the same; generated images as
                          bytes / 255 - 1/2
  initial weights         "Kaiming" - uniform within 1 / sqrt(fan_in), biases too - the same
  output layer            reset - weights and biases zero, their momentum kept - the same
  utility                 contribution - adaptable_contribution - as in the code
  replacement rate        of the eligible units - of all units as soon as one is eligible - as in the code
  accuracy                on the test images after the last epoch - the same - the same
  number of tasks         2,000 for backprop, 5,000 for the others - the same - 5,000 for all

Dormant units, stable rank, weight magnitude and training accuracy are our additions; the paper shows them for other
problems.
"""

from problems.continual_imagenet.figures import figures
from problems.continual_imagenet.images import data_source
from problems.continual_imagenet.problem import ImagePairs, start
from problems.continual_imagenet.settings import SCALES, Settings

__all__ = ["SCALES", "TITLE", "ImagePairs", "Settings", "data_source", "figures", "start"]

TITLE = "Continual ImageNet: binary classification of images, one pair of classes after another"
