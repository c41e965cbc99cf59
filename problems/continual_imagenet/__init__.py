"""Continual ImageNet: two classes of small color images are to be told apart, then two others, thousands of times.

Each task is a pair of classes, 600 images of each to train on in many epochs, 100 of each to test on. When it begins,
the output layer is set to zero; everything else is carried over. No task is harder than another, and yet in the paper
backprop learns the later ones no better than a linear network does, while Continual Backprop keeps improving. `fresh`,
a new network for every task, is what plasticity lost is measured against.

A zero output layer passes no gradient down, so in the first step of a task the layers below it move by what is left of
their momentum, and by decay and noise, alone.

Dohare et al. (2024), "Continual ImageNet". Paper - published code - ours:

  pairs of classes        random, rarely repeated - a stored order of the classes for each run, repeated or not - the
                          classes in a random order, two by two; when all have been seen, in a new one
  inputs                  - stored centred, (almost surely) bytes / 255 - mean image - the same; generated images
                          bytes / 255 - 1/2
  initial weights         "Kaiming" - uniform within 1 / sqrt(fan_in), biases too - the same
  output layer            reset - weights and biases zero, their momentum kept - the same
  utility                 contribution in the text - adaptable_contribution in its files - the files'
  replacement rate        counts eligible units - counts all as soon as one is eligible - the same
  accuracy                on the test images after the last epoch - the same - the same
  number of tasks         2,000 for backprop, 5,000 for the others - the same - 5,000 for all

Dormant units, stable rank, weight magnitude and training accuracy are ours: the paper shows them for other
problems.
"""

from problems.continual_imagenet.figures import figures
from problems.continual_imagenet.images import data_source
from problems.continual_imagenet.problem import ImagePairs, start
from problems.continual_imagenet.settings import SCALES, Settings

__all__ = ["SCALES", "TITLE", "ImagePairs", "Settings", "data_source", "figures", "start"]

TITLE = "Continual ImageNet: pairs of image classes to tell apart, one pair after another"
