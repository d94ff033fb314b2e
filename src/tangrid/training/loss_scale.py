"""A factor of the loss that keeps small gradients alive where float16 carries them.

float16 knows no number between 0 and 6e-8, and the gradient of a mean over a large
batch is smaller. The loss is multiplied on its way in, gradients are divided on their
way out. Where one has become infinite the step is left out and the factor halved; after
many good steps it is doubled.
"""

import torch
from torch import Tensor

USUAL_SCALE = 128.0
"""Where the factor begins; tiny-cuda-nn keeps it there."""
_GROWTH = 2.0
_GROWTH_INTERVAL = 2000
"""Good steps before it is tried with a larger factor, as PyTorch's scaler does."""


class LossScale:
    """The factor as it is now; nobody waits for the device to look at it.

    Args:
        first: Where it begins.
        device: Where the field is.

    Example:
        >>> scale = LossScale(128.0, torch.device("cpu"))
        >>> gradient = torch.tensor([256.0, float("inf")])
        >>> bool(scale.take_out([gradient])), float(gradient[0]), float(scale.factor)
        (True, 2.0, 64.0)

    References:
        Micikevicius et al. 2018; the rule of `torch.amp.GradScaler`.
    """

    def __init__(self, first: float, device: torch.device) -> None:
        self.factor = torch.full((), first, device=device)
        self._good_steps = torch.zeros((), dtype=torch.int32, device=device)

    def take_out(self, gradients: list[Tensor]) -> Tensor:
        """Divide gradients by the factor, and adapt it.

        Args:
            gradients: Of the loss times the factor; changed in place.

        Returns:
            One number, 1 if any of them is not finite and the step must be left out,
            else 0.
        """
        overflow = torch.zeros_like(self.factor)
        # What `torch.amp.GradScaler` calls: one pass over each gradient.
        torch._amp_foreach_non_finite_check_and_unscale_(  # pyright: ignore[reportPrivateImportUsage]
            gradients, overflow, self.factor.reciprocal()
        )
        torch._amp_update_scale_(  # pyright: ignore[reportPrivateImportUsage]
            self.factor,
            self._good_steps,
            overflow,
            _GROWTH,
            1 / _GROWTH,
            _GROWTH_INTERVAL,
        )
        return overflow

    @property
    def state(self) -> dict[str, Tensor]:
        """What a run that goes on must know; changing it changes the factor."""
        return {"factor": self.factor, "good_steps": self._good_steps}
