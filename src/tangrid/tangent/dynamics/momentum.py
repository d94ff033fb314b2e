r"""Descent with momentum on one eigenmode: powers of a small matrix.

With :math:`x = \eta q` a step takes the residual p, the velocity v and the gain h to

.. math:: v' = \beta v + p, \qquad p' = p - x\,d, \qquad h' = h + \eta\,d,

where d is :math:`v'`, or :math:`p + \beta v'` if it looks ahead (Nesterov's method as
``torch.optim.SGD`` has it). That is one 3x3 matrix per mode; its powers by repeated
squaring take a logarithm of the number of steps, have no trouble where the two roots
meet, and sum the gain without a division by the eigenvalue.

References:
    Polyak 1964, "Some methods of speeding up the convergence of iteration methods";
    Sutskever et al. 2013, "On the importance of initialization and momentum".
"""

import torch
from jaxtyping import Float
from torch import Tensor

Modes = Float[Tensor, " m"]


def momentum_response(
    damped: Modes,
    times: Float[Tensor, " t"],
    rate: float,
    momentum: float,
    nesterov: bool,
) -> tuple[Float[Tensor, "t m"], Float[Tensor, "t m"]]:
    """Return residual and gain of each mode after each number of steps.

    Args:
        damped: Eigenvalues with the ridge in them (q).
        times: Whole numbers of steps, or infinity for a descent that is stable.
        rate: Learning rate (eta).
        momentum: Share of the last step that is made again (beta).
        nesterov: Whether it looks ahead.
    """
    powers = [_step_matrix(damped, rate, momentum, nesterov)]
    state = damped.new_tensor([1.0, 0.0, 0.0]).expand(len(damped), 3)
    residuals = damped.new_empty(len(times), len(damped))
    gains = torch.empty_like(residuals)
    made = 0
    for place in times.argsort().tolist():
        if times[place] == torch.inf:
            residuals[place] = torch.where(damped == 0, 1.0, 0.0)
            gains[place] = 1 / damped
            continue
        ahead = int(times[place]) - made
        state = _advanced(state, ahead, powers)
        made += ahead
        residuals[place], gains[place] = state[:, 0], state[:, 2]
    return residuals, gains


def _step_matrix(
    damped: Modes, rate: float, momentum: float, nesterov: bool
) -> Float[Tensor, "m 3 3"]:
    one, zero = torch.ones_like(damped), torch.zeros_like(damped)
    from_residual, from_velocity = one, momentum * one
    if nesterov:
        from_residual, from_velocity = (1 + momentum) * one, momentum**2 * one
    step = rate * damped
    rows = (
        (1 - step * from_residual, -step * from_velocity, zero),
        (one, momentum * one, zero),
        (rate * from_residual, rate * from_velocity, one),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _advanced(
    state: Float[Tensor, "m 3"], ahead: int, powers: list[Float[Tensor, "m 3 3"]]
) -> Float[Tensor, "m 3"]:
    """Return the state some steps later; squares that are missing are added."""
    for bit in range(ahead.bit_length()):
        if bit == len(powers):
            powers.append(powers[-1] @ powers[-1])
        if ahead >> bit & 1:
            state = (powers[bit] @ state[:, :, None])[:, :, 0]
    return state


def momentum_rate(step: Modes, momentum: float, nesterov: bool) -> Modes:
    r"""Return -log of the larger root of each mode: the pace it settles into.

    The roots z = 1 - y solve :math:`y^2 - b y + x = 0` with
    :math:`b = 1 - \beta + x`, Nesterov's :math:`1 - \beta + (1 + \beta) x`; written so,
    the digits of small x survive.

    Args:
        step: Rate times eigenvalue (x).
        momentum: Share of the last step that is made again (beta).
        nesterov: Whether it looks ahead.
    """
    middle = 1 - momentum + step * (1 + momentum if nesterov else 1)
    inside = middle**2 - 4 * step
    spread = inside.clamp(min=0).sqrt()
    # Both roots of y from the one that does not cancel.
    far = (middle + spread) / 2
    near = torch.where(step > 0, step / far, 0.0)
    real = torch.minimum(-torch.log1p(-near.clamp(max=1)), -(1 - far).abs().log())
    product = momentum * (1 - step if nesterov else torch.ones_like(step))
    swinging = -0.5 * product.abs().log()
    return torch.where(inside >= 0, real, swinging)
