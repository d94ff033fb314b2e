r"""Leave-one-out errors of many small regressions at once, for ridges that are known.

With :math:`B = (K + \mu)^{-1}` the error at a point of the fit to all others is
:math:`(B r)_i / B_{ii}`, as `KernelRegression.leave_one_out` has it from eigenvectors.
Where the ridge is given no eigenvectors are needed, which take three times as long.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.errors import NumericalError


def leave_one_out_errors(
    kernels: Float[Tensor, "b n n"],
    residuals: Float[Tensor, "b n r"],
    ridges: Float[Tensor, " b"],
) -> Float[Tensor, "b n r"]:
    """Return the error at every point of each group, fitted to the group's others.

    Args:
        kernels: One kernel per group, one row per point; 0 where there is no point.
        residuals: What is fitted, 0 where there is no point.
        ridges: What is added to each diagonal, above 0.

    Raises:
        NumericalError: If a kernel with its ridge is not positive definite.
        ResourceError: If there is no memory for their inverses.

    Example:
        >>> kernels = torch.tensor([[[1.0, 0.5], [0.5, 1.0]]])
        >>> residuals, ridges = torch.tensor([[[1.0], [0.0]]]), torch.tensor([1.0])
        >>> leave_one_out_errors(kernels, residuals, ridges).flatten().tolist()
        [1.0, -0.25]
    """
    count, rows = kernels.shape[:2]
    require_memory(
        3 * kernels.numel() * kernels.element_size(),
        f"leave_one_out_errors: factors and inverses of {count} kernels of {rows} rows",
        "Take fewer or smaller groups.",
    )
    damped = kernels.clone()
    damped.diagonal(dim1=1, dim2=2).add_(ridges[:, None])
    factors, failed = torch.linalg.cholesky_ex(damped)
    lost = ~damped.isfinite().flatten(1).all(1)
    if bool(lost.any()):
        raise NumericalError(
            "leave_one_out_errors: expected finite numbers, got others in "
            f"{int(lost.sum())} of {count} kernels. Look at the field: its outputs or "
            "gradients have overflown."
        )
    if bool(failed.any()):
        raise NumericalError(
            "leave_one_out_errors: expected kernels that are positive definite with "
            f"their ridges, got {int((failed != 0).sum())} of {count} that are not. "
            "Take a larger ridge."
        )
    inverses = torch.cholesky_inverse(factors)
    return inverses @ residuals / inverses.diagonal(dim1=1, dim2=2)[:, :, None]
