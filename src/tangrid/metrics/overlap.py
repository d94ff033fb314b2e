"""Intersection over union of two sets of points, such as the insides of two shapes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from tangrid.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Hold how many of the points seen so far lie in two sets, or in one of them.

    Example:
        >>> overlap = Overlap()
        >>> for found, wanted in (([True, True], [True, False]), ([False], [False])):
        ...     overlap = overlap.with_points(np.array(found), np.array(wanted))
        >>> overlap.iou, overlap.num_wrong, overlap.count
        (0.5, 1, 3)
    """

    both: int = 0
    """Points in both sets."""
    only_found: int = 0
    """Points in the reconstruction alone."""
    only_wanted: int = 0
    """Points in the target alone."""
    count: int = 0
    """Points seen, those in neither set included."""

    def with_points(
        self, found: Bool[np.ndarray, " n"], wanted: Bool[np.ndarray, " n"]
    ) -> "Overlap":
        """Return the overlap with more points.

        Args:
            found: Whether each point lies in the reconstruction.
            wanted: Whether it lies in the target.

        Raises:
            ShapeError: If the two are not lists of booleans of one length.
        """
        _check_points(found, wanted)
        return Overlap(
            both=self.both + int(np.count_nonzero(found & wanted)),
            only_found=self.only_found + int(np.count_nonzero(found & ~wanted)),
            only_wanted=self.only_wanted + int(np.count_nonzero(wanted & ~found)),
            count=self.count + len(found),
        )

    @property
    def num_wrong(self) -> int:
        """Number of points that lie in one set and not in the other."""
        return self.only_found + self.only_wanted

    @property
    def iou(self) -> float:
        """Points in both over points in either; 1 where both sets are empty.

        With F the points found and W those wanted, this is |F ∩ W| / |F ∪ W|.
        """
        either = self.both + self.num_wrong
        return self.both / either if either else 1.0


def _check_points(found: np.ndarray, wanted: np.ndarray) -> None:
    if found.shape != wanted.shape or found.ndim != 1:
        raise ShapeError(
            "Overlap: expected two lists of one length, got shapes "
            f"{found.shape} and {wanted.shape}. Flatten both over the same points."
        )
    if found.dtype != np.bool_ or wanted.dtype != np.bool_:
        raise ShapeError(
            f"Overlap: expected booleans, got {found.dtype.name} and "
            f"{wanted.dtype.name}. Say which points are inside, such as distance < 0."
        )
