"""Measures of plasticity: dead and dormant units, three ranks of the features, and the magnitude of the weights.

`features` are the activations of one hidden layer on a set of examples, (R, H, N), taken after the activation function
and not centered, as published. Each measure returns one number per run, (R,), or NaN if the features of the run are not
finite.

Dohare et al. (2024), Methods, and the published plotting code.
"""

from collections.abc import Iterable, Sequence

from minilop.backend import Array, blocks, xp


def dead_unit_fraction(features: Array) -> Array:
    """Fraction of units that are exactly zero on every example. It does not detect units that saturate."""
    return _where_finite(features, (features == 0).all(axis=-1).mean(axis=-1))


def dormant_unit_fraction(features: Array, dormant_threshold: float = 0.01) -> Array:
    """Fraction of units that are active (nonzero) on less than `dormant_threshold` of the examples."""
    return _where_finite(features, ((features != 0).mean(axis=-1) < dormant_threshold).mean(axis=-1))


def percentage_of_units(fractions: Sequence[Array], num_units: Sequence[int]) -> Array:
    """Percentage of the units of several layers together, (R,), from each layer's fraction (R,) and number of units."""
    return 100 / sum(num_units) * sum(number * fraction for number, fraction in zip(num_units, fractions))


def effective_rank(features: Array) -> Array:
    """exp(-sum p ln p), from the entropy of the normalized singular values p = s / sum(s), with 0 ln 0 = 0.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007. If n singular values are equal
    and all others 0, the effective rank is n.
    """
    fractions = _fractions(singular_values(features))
    entropy = -(fractions * xp.log(xp.where(fractions > 0, fractions, 1))).sum(axis=-1)
    return _where_finite(features, xp.exp(entropy))


def stable_rank(features: Array, fraction: float = 0.99) -> Array:
    """The smallest number of singular values whose sum exceeds `fraction` of the sum of all, as the paper defines it.

    Elsewhere, the stable rank is a ratio of squared norms. The published code counts the cumulative fractions below
    0.99 and adds one. The two counts differ only if a cumulative fraction equals 0.99, which here is not enough.
    """
    fractions = _fractions(singular_values(features))
    cumulative = xp.cumsum(fractions, axis=-1)
    return _where_finite(features, _count_until(cumulative > fraction + _rounding(fractions)))


def approximate_rank(features: Array, fraction: float = 0.99) -> Array:
    """The smallest number of singular values whose squares sum to at least `fraction` of all squares, as published."""
    fractions = _fractions(_fractions(singular_values(features)) ** 2)  # normalized first, so that no square overflows
    cumulative = xp.cumsum(fractions, axis=-1)
    return _where_finite(features, _count_until(cumulative >= fraction - _rounding(fractions)))


def weight_magnitude(weights: Iterable[Array]) -> Array:
    """Mean absolute weight over all the given weight matrices (R, O, I) together; biases are not included."""
    total, count = 0, 0
    for weight in weights:
        for rows in blocks(weight.shape[-2], weight.shape[-2] * weight.shape[-1]):
            total = total + abs(weight[..., rows, :]).sum(axis=(-1, -2))
        count += weight.shape[-1] * weight.shape[-2]
    return total / count


def singular_values(features: Array) -> Array:
    """Singular values of each run's features, largest first, (R, min(H, N)); zeros if the features are not finite."""
    return xp.linalg.svd(xp.where(_finite(features)[..., None, None], features, 0), compute_uv=False)


def _fractions(values: Array) -> Array:
    total = values.sum(axis=-1, keepdims=True)
    return values / xp.where(total > 0, total, 1)  # all zero if no unit is active


def _rounding(fractions: Array) -> float:
    """Tolerance for the rounding error of a sum of fractions, so that float32 and float64 agree on ties."""
    return fractions.shape[-1] * float(xp.finfo(fractions.dtype).eps)


def _count_until(reached: Array) -> Array:
    """The number of entries up to the first true one in `reached` (R, k), or 0 if none is true."""
    return xp.where(reached.any(axis=-1), xp.argmax(reached, axis=-1) + 1, 0)


def _finite(features: Array) -> Array:
    return xp.isfinite(features).all(axis=(-1, -2))


def _where_finite(features: Array, measured: Array) -> Array:
    return xp.where(_finite(features), measured, xp.nan)
