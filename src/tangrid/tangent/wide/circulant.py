r"""Stationary kernels on a periodic lattice: a convolution, and Fourier does the rest.

If a kernel depends on the difference of two points alone and the box closes to a torus,
its matrix on a regular lattice is circulant. Products are convolutions, waves are
eigenvectors, and the eigenvalues are the discrete Fourier transform H of any row. So
training is a *filter*: gradient descent on half the sum of squares multiplies wave k of
the targets by :math:`1 - (1 - \eta H_k)^t`.

Trained on every s-th point only, H is replaced by its *aliased* form: frequencies that
those points cannot tell apart are added up.

References:
    Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains".
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.notation import Values
from tangrid.tangent.algebra.finiteness import check_finite
from tangrid.tangent.dynamics.descent import Descent, Times
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import FourierSpectrum

_ROUNDINGS = 8.0
"""Roundings of the largest eigenvalue per doubling of the points."""


class CirculantKernel(TangentKernel):
    """Multiply by a stationary kernel of the points of a periodic lattice, by FFT.

    Args:
        lattice: The points.
        response: Kernel between every point and point 0: what a filter answers to one
            impulse.

    Raises:
        ShapeError: If there is not one finite floating point number per point.
        NumericalError: If it is not the row of a symmetric positive matrix.

    Example:
        >>> row = torch.tensor([2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
        >>> kernel = CirculantKernel(Lattice((4,)), row)
        >>> kernel.transfer.tolist()
        [4.0, 2.0, 0.0, 2.0]
        >>> (kernel @ torch.ones(4, dtype=torch.float64)).tolist()
        [4.0, 4.0, 4.0, 4.0]
    """

    def __init__(self, lattice: Lattice, response: Float[Tensor, " m"]) -> None:
        lattice.check_points(len(response), "CirculantKernel")
        if not response.dtype.is_floating_point:
            raise ShapeError(
                "CirculantKernel(response=...): expected floating point numbers, got "
                f"{response.dtype}. Convert with response.double()."
            )
        check_finite("CirculantKernel(response=...)", response)
        self.lattice = lattice
        self.response = response
        count = lattice.num_points
        self.num_points = (count, count)
        self.num_outputs = 1
        self.outputs = 0
        self.is_symmetric = True
        self.dtype, self.device = response.dtype, response.device
        scaled = lattice.transform(response[:, None])[:, 0] * count**0.5
        largest = float(scaled.abs().max())
        # A fast transform rounds once per doubling of the points.
        roundings = _ROUNDINGS * (1.0 + math.log2(count))
        slack = roundings * torch.finfo(response.dtype).eps * largest
        if float(scaled.imag.abs().max()) > slack or float(scaled.real.min()) < -slack:
            raise NumericalError(
                "CirculantKernel(response=...): expected the first row of a symmetric "
                "positive circulant matrix, got one with eigenvalues down to "
                f"{float(scaled.real.min()):.3g} and imaginary parts up to "
                f"{float(scaled.imag.abs().max()):.3g}. Is the kernel periodic?"
            )
        self.transfer = scaled.real.clamp(min=0)
        """Factor of each wave (H), in the order of ``lattice.frequencies``."""

    def eigenvalues(
        self, k: int | None = None, *, largest: bool = True
    ) -> Float[Tensor, " k"]:
        """Return eigenvalues, the outermost first: the transfer function in order.

        Args:
            k: How many; all by default.
            largest: Whether to begin at the largest or at the smallest.

        Raises:
            ConfigError: If ``k`` is not between 1 and the number of points.
        """
        if k is not None and not 1 <= k <= len(self.transfer):
            raise ConfigError(
                f"kernel.eigenvalues(k={k}): expected a number from 1 to "
                f"{len(self.transfer)}, the points of the lattice."
            )
        return self.transfer.sort(descending=largest).values[:k]

    @property
    def spectrum(self) -> FourierSpectrum:
        """Eigenvalues per point, which are the same on finer lattices."""
        return FourierSpectrum(
            self.lattice, self.transfer / self.lattice.num_points, 0.0
        )

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the whole matrix."""
        return self.columns(torch.arange(self.lattice.num_points, device=self.device))

    def diagonal(self) -> Float[Tensor, " rows"]:
        """Return the diagonal: the same number everywhere."""
        return self.response[:1].expand(self.lattice.num_points).clone()

    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points.

        Args:
            points: Numbers of points of the second side.
        """
        everywhere = torch.arange(self.lattice.num_points, device=self.device)
        number = torch.zeros_like(everywhere[:, None] + points)
        stride = 1
        for size in self.lattice.sizes:
            row, column = everywhere // stride % size, points // stride % size
            number += (row[:, None] - column) % size * stride
            stride *= size
        return self.response[number]

    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        waves = self.lattice.transform(stacked)
        return self.lattice.inverse(self.transfer[:, None] * waves).real

    def aliased(self, stride: int) -> "CirculantKernel":
        """Return the kernel of every s-th point along each axis.

        Its eigenvalues are sums over the frequencies that these points confuse, divided
        by the number of those.

        Args:
            stride: Points from one to the next (s); divides all sides of the lattice.

        Raises:
            ConfigError: If it does not.
        """
        chosen = every(self.lattice, stride)
        sizes = tuple(size // stride for size in self.lattice.sizes)
        return CirculantKernel(Lattice(sizes), self.response[chosen])


def every(lattice: Lattice, stride: int) -> Int64[Tensor, " k"]:
    """Return the numbers of every s-th point along each axis, from point 0.

    Args:
        lattice: The points.
        stride: Points from one to the next (s); divides all sides of the lattice.

    Raises:
        ConfigError: If it does not.

    Example:
        >>> every(Lattice((4, 2)), 2).tolist()
        [0, 2]
    """
    if stride < 1 or any(size % stride for size in lattice.sizes):
        raise ConfigError(
            "stride: expected a whole number that divides all sides of the lattice "
            f"{lattice.sizes}, got {stride}."
        )
    numbers = torch.arange(lattice.num_points).reshape(*reversed(lattice.sizes))
    steps = (slice(None, None, stride),) * lattice.num_dims
    return numbers[steps].flatten()


def filtered(
    kernel: CirculantKernel,
    targets: Values,
    descent: Descent,
    times: Times,
    *,
    stride: int = 1,
) -> Float[Tensor, "t m c"]:
    r"""Return what training from 0 makes of targets on a lattice: they are filtered.

    Kernel regression :math:`K_{xX} K^{-1} (I - (I - \eta K)^t)\, Y` of all points x
    from every s-th point X, without any matrix: wave k of the outputs is
    :math:`H_k\, g_q Y_q`, q being k as the trained points see it and g the gain
    :math:`(1 - (1 - \eta H'_q)^t) / H'_q` with the aliased spectrum H'.

    Args:
        kernel: Of the whole lattice.
        targets: Values of the trained points, in their order.
        descent: How training goes downhill.
        times: When, in steps or units of time.
        stride: Points from one trained point to the next (s).

    Returns:
        Outputs at all points of the lattice, for each time.

    Raises:
        ShapeError: If the targets do not fit.
        NumericalError: If training would leave the finite numbers.

    Example:
        >>> from tangrid.tangent.dynamics.descent import GradientDescent
        >>> row = torch.tensor([2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
        >>> kernel = CirculantKernel(Lattice((4,)), row)
        >>> filtered(kernel, torch.ones(4, 1), GradientDescent(0.125), 1).flatten()
        tensor([0.5000, 0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    trained = kernel.aliased(stride)
    stacked = trained.stacked(targets)
    gains = descent.response(trained.transfer, times).gains
    if not bool(torch.isfinite(gains).all()):
        raise NumericalError(
            "filtered(times=inf): expected a kernel without vanishing eigenvalues, got "
            f"{int((trained.transfer == 0).sum())} of {len(gains[0])}. Take finite "
            "times or a ridge."
        )
    chosen = every(kernel.lattice, stride)
    found = []
    for gain in gains:
        waves = gain[:, None] * trained.lattice.transform(stacked)
        weights = trained.lattice.inverse(waves).real
        impulses = weights.new_zeros(kernel.shape[0], weights.shape[1])
        impulses[chosen] = weights
        found.append(kernel @ impulses)
    return torch.stack(found)
