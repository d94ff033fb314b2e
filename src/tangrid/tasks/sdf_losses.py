"""What it costs a field to miss a signed distance, its slope or its direction."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError

DistanceLoss = Literal["mape", "l1", "l2", "truncated-l1", "siren"]

_PAPER_SIDE = 2.0
"""Side of the box in which SIREN's weights are given."""
_AWAY = 0.02
"""Distance from the surface beyond which SIREN's field is pushed away from 0."""


@dataclass(frozen=True, kw_only=True)
class SdfLoss:
    r"""The loss of a field f that should be the signed distance t, point by point.

    With lengths in box sides, and the weights of this record,

    ``mape``
        :math:`|f - t| / (|t| + \epsilon)`, which cares most for what is near the
        surface (InstantNGP, NeuRBF).
    ``l1``, ``l2``
        :math:`|f - t|` and :math:`(f - t)^2`.
    ``truncated-l1``
        :math:`|\bar f - \bar t|`, both clamped to :math:`[-\tau, \tau]`.
    ``siren``
        SIREN's recipe, which knows no distance away from the surface: 3000 |f| on it
        and 100 exp(-100 |f|) elsewhere, in a box whose sides are 2, with 50 of the
        eikonal loss and 100 of the normal loss. Elsewhere is farther than 0.02 from the
        surface here: the paper's other points are drawn evenly from the box, and nearly
        all of them are.

    To each can be added ``eikonal`` times :math:`|\,|\nabla f| - 1|` everywhere, and
    ``normals`` times :math:`1 - \cos(\nabla f, n)` on the surface. They differentiate
    the gradient of the field again, so its interpolation should be smooth.

    Example:
        >>> loss = SdfLoss(kind="l1")
        >>> loss.of_values(torch.tensor([0.5]), torch.tensor([0.25])).tolist()
        [0.25]

    References:
        Mueller et al. 2022; Sitzmann et al. 2020; Gropp et al. 2020 (eikonal).
    """

    kind: DistanceLoss = "mape"
    """How a wrong distance is counted."""
    epsilon: float = 0.01
    """Added to the distance that ``mape`` divides by."""
    truncation: float = 0.1
    """Distance beyond which ``truncated-l1`` only knows the sign."""
    eikonal: float | None = None
    """Weight of the slope's distance from 1; None for 0, and SIREN's 50."""
    normals: float | None = None
    """Weight of the gradient's turn away from the surface's normal; None for 0, and
    SIREN's 100."""

    def __post_init__(self) -> None:
        """Refuse weights that are no weights.

        Raises:
            ConfigError: If a number is out of range.
        """
        check_choice("loss.kind", self.kind, DistanceLoss)
        for name in ("epsilon", "truncation"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(
                    f"loss.{name}: expected a length > 0 in box sides, got {value}. "
                    "The usual one is 0.01, and 0.1 for a truncation."
                )
        for name in ("eikonal", "normals"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ConfigError(
                    f"loss.{name}: expected a weight >= 0, got {value}. 0 leaves this "
                    "part of the loss out."
                )

    @property
    def slope_weight(self) -> float:
        """Weight of the slope's distance from 1."""
        return self._weight(self.eikonal, 50.0)

    @property
    def normal_weight(self) -> float:
        """Weight of the gradient's turn away from the surface's normal."""
        return self._weight(self.normals, 100.0)

    def with_weights(self) -> "SdfLoss":
        """Return the same loss with both weights as numbers."""
        return dataclasses.replace(
            self, eikonal=self.slope_weight, normals=self.normal_weight
        )

    def _weight(self, given: float | None, in_siren: float) -> float:
        usual = in_siren if self.kind == "siren" else 0.0
        return usual if given is None else given

    @property
    def needs_gradients(self) -> bool:
        """Whether the field's gradient is looked at."""
        return self.slope_weight > 0 or self.normal_weight > 0

    @property
    def is_least_squares(self) -> bool:
        """Whether it is the square of the error of the values, and nothing else."""
        return self.kind == "l2" and not self.needs_gradients

    def of_values(
        self, found: Float[Tensor, " n"], wanted: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the loss of the values at each point.

        Args:
            found: The field's.
            wanted: Signed distances, 0 exactly on the surface.
        """
        if self.kind == "siren":
            size = _PAPER_SIDE * found.abs()
            away = 1e2 * torch.exp(-1e2 * size) * (wanted.abs() > _AWAY)
            return torch.where(wanted == 0, 3e3 * size, away)
        if self.kind == "truncated-l1":
            reach = self.truncation
            return (found.clamp(-reach, reach) - wanted.clamp(-reach, reach)).abs()
        error = found - wanted
        if self.kind == "l2":
            return error.square()
        if self.kind == "mape":
            return error.abs() / (wanted.abs() + self.epsilon)
        return error.abs()

    def of_gradients(
        self, found: Float[Tensor, "n d"], normals: Float[Tensor, "n d"]
    ) -> Float[Tensor, " n"]:
        """Return the loss of the gradients at each point, weighted.

        Args:
            found: The field's gradients.
            normals: Unit normals on the surface, 0 elsewhere.
        """
        # A gradient of exactly 0 has no direction: it is as far from the normal as one
        # at right angles, and its slopes would be no numbers, or huge ones.
        square, tiny = found.square().sum(1), torch.finfo(found.dtype).tiny
        length = square.clamp_min(tiny).sqrt()
        along = (found * normals).sum(1) / length
        cosine = torch.where(square > tiny, along, 0.0)
        is_surface = (normals != 0).any(1)
        slope = self.slope_weight * (length - 1).abs()
        return slope + self.normal_weight * torch.where(is_surface, 1 - cosine, 0.0)
