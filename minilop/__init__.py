"""minilop: loss of plasticity in deep continual learning, in explicit NumPy.

The reference implementation of Dohare, Hernandez-Garcia, Lan, Rahman, Mahmood and Sutton, "Loss of plasticity in deep
continual learning", Nature 632, 768-774 (2024). `docs/reading_order.md` is a guide to reading the source.

Letters used for shapes everywhere:

    R  runs: independent repetitions that advance side by side in the same arrays
    B  examples of a mini-batch          n  units of a layer: I inputs, H hidden units, O outputs
    P  parameters of a network           T  steps

Activations are (R, n, B), weights (R, n_out, n_in), biases (R, n_out, 1), and a network's parameters (R, P). Images are
(R, C, Y, X, B) with C channels, and kernels are (R, C_out, C_in, k, k). All code indexes axes from the right, so
layers, losses, networks and optimizers also work on a single network without the runs axis. Only the rules that replace
units need that axis.
"""

__version__ = "0.1.0"
