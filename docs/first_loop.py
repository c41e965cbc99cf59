"""A first training loop: does a network learn its thirtieth task as well as its first?

The data are 1,797 images of handwritten digits. A task is a random permutation of their 64 pixels. The network sees
each image once, guesses the digit, and then learns from it; after the last image, the next task begins with another
permutation. No task is harder than another, so a network that stays able to learn guesses equally well in all of them.

Two learners are compared. Backprop changes all weights a little at each step. Continual Backprop does the same, and
from time to time it also replaces the hidden unit that contributes least by a new one with random incoming weights.

Run it with `python docs/first_loop.py`; it takes 20 to 40 seconds.
"""

import numpy as np

from minilop.data import handwritten_digits
from minilop.learner import Learner
from minilop.losses import cross_entropy
from minilop.optimizers import SGD
from minilop.plasticity import ContinualBackprop
from minilop.recipes import mlp

NUM_TASKS = 30
SEEDS = range(5)  # five networks learn side by side, each from its own initial weights


def accuracy_of_each_task(rules: list, num_tasks: int) -> list[float]:
    """The fraction of images classified correctly before the network learns from them, one number for each task."""
    images, labels = handwritten_digits()
    pixels = images.reshape(len(images), 64).astype("float32") / 16  # ink from 0 to 1
    generator = np.random.default_rng(seed=0)  # both learners get the same tasks

    network = mlp((64, 32, 32, 10), "relu", seeds=SEEDS, dtype="float32")  # two hidden layers of 32 units
    learner = Learner(network, cross_entropy, SGD(step_size=0.03), rules)
    accuracies = []
    for _ in range(num_tasks):
        permutation = generator.permutation(64)
        correct = 0.0
        for index in generator.permutation(len(images)):
            inputs = np.broadcast_to(pixels[index, permutation, None], (len(SEEDS), 64, 1))  # (R, I, B)
            label = np.full((len(SEEDS), 1), labels[index])  # (R, B)
            outputs, _ = learner.step(inputs, label)  # (R, 10, B), computed before the update
            correct += (outputs.argmax(axis=-2) == label).mean()
        accuracies.append(correct / len(images))
    return accuracies


def main(num_tasks: int = NUM_TASKS) -> None:
    """Print the accuracy of both learners on the first and the last tasks."""
    backprop = accuracy_of_each_task([], num_tasks)
    continual = accuracy_of_each_task([ContinualBackprop(replacement_rate=1e-4)], num_tasks)
    print("accuracy (%)          first task   first five   last five")
    for name, accuracies in (("backprop", backprop), ("continual backprop", continual)):
        first, early, late = accuracies[0], np.mean(accuracies[:5]), np.mean(accuracies[-5:])
        print(f"{name:20}{100 * first:12.1f}{100 * early:13.1f}{100 * late:12.1f}")
    lost = 100 * (np.mean(backprop[:5]) - np.mean(backprop[-5:]))
    kept = 100 * (np.mean(continual[-5:]) - np.mean(backprop[-5:]))
    print(f"Backprop loses {lost:.0f} points; Continual Backprop ends {kept:.0f} points above it.")


if __name__ == "__main__":
    main()
