r"""Lengths and angles of pairs of vectors on their way through random wide layers.

A pair is kept as its two squared lengths and its angle, and a layer acts on these: a
random linear layer with biases adds a constant coordinate, a rectifier halves squared
lengths and shrinks the angle. Every formula is a sum of terms of one sign, so that
angles near 0 and near pi keep their relative accuracy, where a cosine would have lost
them.

References:
    Cho & Saul 2009, "Kernel Methods for Deep Learning" (arc-cosine kernels); Kahan
    2006, "How Futile are Mindless Assessments of Roundoff" (angle of two vectors).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.notation import Features

_CLOSE = 1 - 1e-3
"""Cosines beyond which differences of directions are taken."""
_PAIRED_NUMBERS = 1 << 22


class Pairs(NamedTuple):
    """Hold all pairs of vectors of two sets, each as lengths and an angle."""

    rows: Float[Tensor, " n"]
    """Squared lengths of the first set."""
    columns: Float[Tensor, " m"]
    """Squared lengths of the second set."""
    angle: Float[Tensor, "n m"]
    """Angles between 0 and pi."""

    @property
    def lengths(self) -> Float[Tensor, "n m"]:
        """Products of the two lengths."""
        return _root(self.rows)[:, None] * _root(self.columns)

    @property
    def products(self) -> Float[Tensor, "n m"]:
        """Inner products."""
        return self.lengths * self.angle.cos()


def pairs_of(rows: Features, columns: Float[Tensor, "m f"]) -> Pairs:
    r"""Return lengths and angles of vectors, :math:`2\arctan(|u - v| / |u + v|)`.

    The angle of a zero vector to any other is taken as a right one.

    Args:
        rows: The first set.
        columns: The second set.

    Example:
        >>> close = torch.tensor([[1.0, 0.0], [1.0, 1e-12]], dtype=torch.float64)
        >>> float(pairs_of(close, close).angle[0, 1])
        1e-12
    """
    u, v = _directions(rows), _directions(columns)
    cosine = u @ v.T
    angle = 2 * torch.atan2(_root(1 - cosine), _root(1 + cosine))
    # Cosines lose angles below 1e-8. There differences are taken, pair by pair.
    close = (cosine.detach().abs() > _CLOSE).nonzero()
    exact = [
        _angle_of(u[some[:, 0]], v[some[:, 1]])
        for some in close.split(max(1, _PAIRED_NUMBERS // u.shape[1]))
    ]
    angle = angle.index_put(tuple(close.T), torch.cat(exact))
    return Pairs(rows.square().sum(1), columns.square().sum(1), angle)


def opened(
    gram: Float[Tensor, "n m"], rows: Float[Tensor, " n"], columns: Float[Tensor, " m"]
) -> Pairs:
    """Return lengths and angles from inner products.

    Args:
        gram: Inner products.
        rows: Squared lengths of the first set.
        columns: Squared lengths of the second set.
    """
    lengths = _root(rows)[:, None] * _root(columns)
    known = lengths > 0
    together = torch.where(known, lengths + gram, 1.0)
    apart = torch.where(known, lengths - gram, 1.0)
    return Pairs(rows, columns, 2 * torch.atan2(_root(apart), _root(together)))


def through_layer(pairs: Pairs, gain: float, bias: float) -> Pairs:
    r"""Return the pairs after a random linear layer with biases.

    Inner products become :math:`\Sigma' = g\,\Sigma + b`. The angle follows from
    :math:`\tan^2(\vartheta'/2) = (P' - \Sigma') / (P' + \Sigma')`, whose two halves are
    written as sums.

    Args:
        pairs: What comes in.
        gain: Factor of inner products (g), at least 0.
        bias: Added to inner products (b), at least 0.
    """
    rows, columns = gain * pairs.rows + bias, gain * pairs.columns + bias
    if bias == 0:
        return Pairs(rows, columns, pairs.angle)
    scaled = gain * pairs.lengths
    after = _root(rows)[:, None] * _root(columns)
    # What the product of lengths gains because the two lengths differ.
    uneven = _root(pairs.rows)[:, None] - _root(pairs.columns)
    excess = gain * bias * uneven.square() / (after + scaled + bias)
    half = pairs.angle / 2
    apart = excess + 2 * scaled * half.sin().square()
    together = 2 * bias + excess + 2 * scaled * half.cos().square()
    return Pairs(rows, columns, 2 * torch.atan2(_root(apart), _root(together)))


def rectified(pairs: Pairs) -> Pairs:
    r"""Return the pairs after a rectifier, of vectors that random weights made.

    Squared lengths halve, and
    :math:`\pi\cos\vartheta' = \sin\vartheta + (\pi - \vartheta)\cos\vartheta`.

    Args:
        pairs: What comes in.

    Example:
        >>> right = torch.tensor([[math.pi / 2]], dtype=torch.float64)
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> found = rectified(Pairs(one, one, right))
        >>> round(float(found.angle.cos() * math.pi), 9), float(found.rows)
        (1.0, 0.5)
    """
    half = pairs.angle / 2
    apart = 2 * half.sin().square() - _sine_excess(pairs.angle) / math.pi
    angle = 2 * torch.atan2(_root(apart), _root(2 - apart))
    return Pairs(pairs.rows / 2, pairs.columns / 2, angle)


def _sine_excess(angle: Tensor) -> Tensor:
    """Return sin(t) - t cos(t), by its series where the two nearly cancel."""
    small = angle < 0.25  # five terms are exact to rounding up to there
    square = torch.where(small, angle, 0.0).square()
    series = torch.zeros_like(angle)
    for k in range(5, 0, -1):
        series = (-1) ** (k + 1) * 2 * k / math.factorial(2 * k + 1) + square * series
    return torch.where(
        small, angle * square * series, angle.sin() - angle * angle.cos()
    )


def _angle_of(u: Features, v: Features) -> Float[Tensor, " n"]:
    """Return the angle of each pair of directions."""
    apart, together = (u - v).square().sum(1), (u + v).square().sum(1)
    return 2 * torch.atan2(_root(apart), _root(together))


def _root(numbers: Tensor) -> Tensor:
    """Return square roots whose derivative at 0 is 0 and not infinite."""
    above = numbers > 0
    return torch.where(above, torch.where(above, numbers, 1.0).sqrt(), 0.0)


def _directions(vectors: Features) -> Features:
    # Scaled by the largest entry first, so that squares of small entries stay.
    largest = vectors.detach().abs().amax(1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1.0)
    lengths = _root(scaled.square().sum(1, keepdim=True))
    return scaled / torch.where(lengths > 0, lengths, 1.0)
