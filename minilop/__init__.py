"""minilop: loss of plasticity in deep continual learning, in explicit NumPy.

The reference implementation of Dohare, Hernandez-Garcia, Lan, Rahman, Mahmood and Sutton, "Loss of plasticity in deep
continual learning", Nature 632, 768-774 (2024). `docs/reading_order.md` is the route through the source.

Letters used for shapes everywhere:

    R  runs: independent repetitions that one array program advances side by side
    B  examples of a mini-batch          n  units of a layer: I inputs, H hidden units, O outputs
    P  parameters of a network           T  steps

Activations are (R, n, B), weights (R, n_out, n_in), biases (R, n_out, 1), a network's parameters (R, P); images are
(R, C, Y, X, B) with C channels, kernels (R, C_out, C_in, k, k). Every line
indexes from the right, so layers, losses, networks and optimizers also run one network without the leading axis; rules
that replace units need it.
"""

__version__ = "0.1.0"
