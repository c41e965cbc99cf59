"""What a network has kept: dead and dormant units, three ranks of its features, the size of its weights.

`features` are the activations of one hidden layer on a set of examples, (R, H, N), as published: after the activation
function, not centred. Each measure returns one number a run, (R,), and NaN where features are not finite.

Dohare et al. (2024), Methods, and the published plotting code.
"""

from collections.abc import Iterable, Sequence

from minilop.backend import Array, blocks, xp


def dead_unit_fraction(features: Array) -> Array:
    """Fraction of units that are exactly zero on every example. For units that saturate instead this says nothing."""
    return _where_finite(features, (features == 0).all(axis=-1).mean(axis=-1))


def dormant_unit_fraction(features: Array, dormant_threshold: float = 0.01) -> Array:
    """Fraction of units that are active (not zero) on less than `dormant_threshold` of the examples."""
    return _where_finite(features, ((features != 0).mean(axis=-1) < dormant_threshold).mean(axis=-1))


def percentage_of_units(fractions: Sequence[Array], num_units: Sequence[int]) -> Array:
    """Percent of the units of several layers together, (R,), from each layer's fraction (R,) and number of units."""
    return 100 / sum(num_units) * sum(number * fraction for number, fraction in zip(num_units, fractions))


def effective_rank(features: Array) -> Array:
    """exp of the entropy of the normalized singular values: -sum p ln p with p = s / sum(s) and 0 ln 0 = 0.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007. n equal values give n.
    """
    shares = _shares(singular_values(features))
    entropy = -(shares * xp.log(xp.where(shares > 0, shares, 1))).sum(axis=-1)
    return _where_finite(features, xp.exp(entropy))


def stable_rank(features: Array, fraction: float = 0.99) -> Array:
    """The fewest singular values that hold more than `fraction` of their sum: the paper's meaning of the name.

    Not the ratio of squared norms that is elsewhere called stable rank. The published code counts the cumulative
    fractions below 0.99 and adds one; the two differ only on a tie, which here counts as not yet reached.
    """
    shares = _shares(singular_values(features))
    held = xp.cumsum(shares, axis=-1)
    return _where_finite(features, _first(held > fraction + _rounding(shares)))


def approximate_rank(features: Array, fraction: float = 0.99) -> Array:
    """The fewest singular values whose squares hold at least `fraction` of the sum of squares, as published."""
    shares = _shares(_shares(singular_values(features)) ** 2)  # squared as shares, so that no square overflows
    held = xp.cumsum(shares, axis=-1)
    return _where_finite(features, _first(held >= fraction - _rounding(shares)))


def weight_magnitude(weights: Iterable[Array]) -> Array:
    """Mean absolute weight over all the given weight matrices (R, O, I) together; biases do not count."""
    total, count = 0, 0
    for weight in weights:
        for rows in blocks(weight.shape[-2], weight.shape[-2] * weight.shape[-1]):
            total = total + abs(weight[..., rows, :]).sum(axis=(-1, -2))
        count += weight.shape[-1] * weight.shape[-2]
    return total / count


def singular_values(features: Array) -> Array:
    """Singular values of each run's features, largest first, (R, min(H, N)); zeros where features are not finite."""
    return xp.linalg.svd(xp.where(_finite(features)[..., None, None], features, 0), compute_uv=False)


def _shares(values: Array) -> Array:
    total = values.sum(axis=-1, keepdims=True)
    return values / xp.where(total > 0, total, 1)  # all zero where nothing is active


def _rounding(shares: Array) -> float:
    """How far a sum of shares may be off, so that a tie is a tie in float32 and float64 alike."""
    return shares.shape[-1] * float(xp.finfo(shares.dtype).eps)


def _first(reached: Array) -> Array:
    """How many values it takes until `reached` (R, k) is true; 0 where it never is, as with all values zero."""
    return xp.where(reached.any(axis=-1), xp.argmax(reached, axis=-1) + 1, 0)


def _finite(features: Array) -> Array:
    return xp.isfinite(features).all(axis=(-1, -2))


def _where_finite(features: Array, measured: Array) -> Array:
    return xp.where(_finite(features), measured, xp.nan)
