"""Numbers that must be finite, and what it means where they are not."""

import torch
from torch import Tensor

from tangrid.errors import NumericalError, ShapeError


def check_finite(where: str, values: Tensor) -> None:
    """Refuse numbers that are not finite.

    Args:
        where: Name of what they are, for the message.
        values: The numbers.

    Raises:
        ShapeError: If one of them is not.
    """
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise ShapeError(
            f"{where}: expected finite numbers, got {bad} of {values.numel()} that are "
            "not. Look at the points and labels they were made of."
        )


def check_gradients(where: str, numbers: Tensor) -> None:
    """Refuse what was made of gradients that are not finite.

    Args:
        where: Name of what made it, for the message.
        numbers: What was made.

    Raises:
        NumericalError: If one of the numbers is not finite.
    """
    if not torch.isfinite(numbers).all():
        raise NumericalError(
            f"{where}: expected finite numbers, got others. The field's gradients "
            "overflow, so that training may have diverged, or what they are multiplied "
            "by is out of range."
        )
