"""What a learning rate on some loss is on half the sum of squares."""

from typing import Literal, get_args

from tangrid.errors import ConfigError

Loss = Literal["sum", "mse", "half-mse"]
"""Half the sum of squares; ``torch.nn.functional.mse_loss``; half of that."""


def effective_rate(rate: float, loss: Loss | str, num_values: int) -> float:
    r"""Return the rate on half the sum of squares that makes the same steps.

    A step of :math:`\eta` on ``mse`` is one of :math:`2\eta/(nC)` on half the sum,
    because the loss divides by the number of values and has no half in front;
    ``half-mse``, the loss of neural-tangents, gives :math:`\eta/(nC)`.

    Args:
        rate: Learning rate on the loss that is really used.
        loss: That loss.
        num_values: Points times channels (n C) that it averages over.

    Raises:
        ConfigError: If there is no such loss, or no value.

    Example:
        >>> effective_rate(0.5, "mse", 100)
        0.01
    """
    return rate * _gradient_scale(loss, num_values)


def effective_ridge(decay: float, loss: Loss | str, num_values: int) -> float:
    r"""Return the ridge on half the sum of squares that pulls as a given decay does.

    Args:
        decay: Factor of :math:`\theta - \theta_0` in the gradient that is really used.
        loss: The loss it was added to.
        num_values: Points times channels (n C) that the loss averages over.

    Raises:
        ConfigError: If there is no such loss, or no value.

    Example:
        >>> effective_ridge(0.01, "mse", 100)
        0.5
    """
    return decay / _gradient_scale(loss, num_values)


def _gradient_scale(loss: str, num_values: int) -> float:
    if loss not in get_args(Loss) or num_values < 1:
        raise ConfigError(
            f"effective_rate: expected one of {', '.join(get_args(Loss))} over at "
            f"least 1 value, got {loss!r} over {num_values}."
        )
    scales = {"sum": 1.0, "mse": 2.0 / num_values, "half-mse": 1.0 / num_values}
    return scales[loss]
