r"""The kernel that Fourier features induce, and how it treats places and directions.

Features :math:`a_j \cos(2\pi b_j \cdot x),\, a_j \sin(2\pi b_j \cdot x)` have inner
products that depend on the difference of two points alone,

.. math:: \gamma(x) \cdot \gamma(y) = h_\gamma(x - y), \quad
   h_\gamma(\delta) = \sum_j a_j^2 \cos(2\pi\, b_j \cdot \delta):

the kernel is *stationary*. It is also *isotropic*, a function of the distance, as far
as the frequencies are spread evenly over directions; frequencies along the axes are
not. With whole numbers of cycles per side it is *periodic*, and its matrix on a regular
lattice is circulant.

Coordinates among the features (``includes_coords``) add :math:`x \cdot y`, which
changes from place to place: no profile :math:`h_\gamma` exists then.

References:
    Rahimi & Recht 2007, "Random Features for Large-Scale Kernel Machines"; Tancik et
    al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains".
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords
from tangrid.tangent.algebra.finiteness import check_finite
from tangrid.tangent.kernels.kernel import DenseKernel

_PHASES = 1 << 22
_NUM_DIRECTIONS = 180


def induced_kernel(
    encoding: FourierEncoding, x: Tensor, x2: Tensor | None = None
) -> DenseKernel:
    r"""Return the kernel of Fourier features between points, in closed form.

    It is the tangent kernel of a linear decoder without bias behind the features.

    Args:
        encoding: Frequencies and amplitudes; taken in float64.
        x: Points of the rows, [n, d].
        x2: Points of the columns, [m, d]; None for the same.

    Raises:
        ShapeError: If the points do not fit or are not finite.

    Example:
        >>> encoding = FourierEncoding(torch.tensor([[1.0]]), torch.tensor([2.0]))
        >>> kernel = induced_kernel(encoding, torch.tensor([[0.0], [0.5]]))
        >>> kernel.to_dense().tolist()
        [[4.0, -4.0], [-4.0, 4.0]]
    """
    rows = _points(encoding, x, "x")
    columns = rows if x2 is None else _points(encoding, x2, "x2")
    offsets = rows[:, None] - columns
    waves = _waves(encoding, offsets.flatten(0, 1)).reshape(len(rows), len(columns))
    matrix = waves + rows @ columns.T if encoding.includes_coords else waves
    return DenseKernel(matrix, outputs=0, is_symmetric=x2 is None)


def induced_profile(encoding: FourierEncoding, offsets: Tensor) -> Float[Tensor, " n"]:
    r"""Return the kernel as a function of the difference of two points (h_gamma).

    Args:
        encoding: Frequencies and amplitudes; taken in float64.
        offsets: Differences of points (delta), [n, d], in sides of the box.

    Raises:
        ConfigError: If the kernel is not stationary.
        ShapeError: If the differences do not fit or are not finite.

    Example:
        >>> encoding = FourierEncoding(torch.tensor([[3.0]]), torch.tensor([1.0]))
        >>> induced_profile(encoding, torch.tensor([[0.0], [1 / 6]])).round().tolist()
        [1.0, -1.0]
    """
    check_stationary(encoding, "induced_profile")
    return _waves(encoding, _points(encoding, offsets, "offsets"))


def gaussian_profile(bandwidth_cycles: float, distances: Tensor) -> Tensor:
    r"""Return what Gaussian frequencies tend to as they become many.

    That is :math:`e^{-2 \pi^2 \sigma^2 r^2}`, times the sum of squared amplitudes.

    Args:
        bandwidth_cycles: Standard deviation of the frequencies (sigma), cycles per box
            side.
        distances: Of two points (r), in sides of the box.
    """
    return torch.exp(-2 * (math.pi * bandwidth_cycles * distances) ** 2)


def on_torus(encoding: FourierEncoding) -> FourierEncoding:
    """Return the encoding with every frequency rounded to whole cycles per side.

    What it makes is periodic: the box closes to a torus, and on a regular lattice the
    kernel is circulant. The frequencies move by half a cycle at most.

    Args:
        encoding: Frequencies and amplitudes.

    Example:
        >>> drawn = FourierEncoding(torch.tensor([[2.7, -0.2]]), torch.tensor([1.0]))
        >>> on_torus(drawn).frequencies.tolist()
        [[3.0, -0.0]]
    """
    return FourierEncoding(
        encoding.frequencies.round(), encoding.amplitudes, encoding.includes_coords
    )


def anisotropy(
    encoding: FourierEncoding,
    radii: Float[Tensor, " r"],
    directions: Float[Tensor, "k d"] | None = None,
) -> float:
    r"""Return the share of the profile's energy that depends on direction, 0 to 1.

    With means over directions u inside and over radii r outside,
    :math:`1 - \langle \langle h(r u) \rangle_u^2 \rangle_r /
    \langle \langle h(r u)^2 \rangle_u \rangle_r`. It is 0 for a function of the
    distance alone. Of m Gaussian frequencies chance leaves a share of order 1/m.

    Args:
        encoding: Frequencies and amplitudes.
        radii: Distances to compare directions at, in sides of the box.
        directions: Unit vectors spread evenly, of which one of each opposite pair is
            enough; half a circle in two dimensions if None.

    Raises:
        ConfigError: If the kernel is not stationary, or directions are needed.
        ShapeError: If the directions do not fit.

    Example:
        >>> along_x = FourierEncoding(torch.tensor([[1.0, 0.0]]), torch.tensor([1.0]))
        >>> round(anisotropy(along_x, torch.tensor([0.5])), 2)
        0.85
    """
    if directions is None:
        if encoding.num_dims != 2:
            raise ConfigError(
                "anisotropy(directions=None): expected frequencies in the plane, got "
                f"{encoding.num_dims} coordinates. Give unit vectors, such as "
                "normalised rows of torch.randn."
            )
        angles = torch.arange(_NUM_DIRECTIONS) * (math.pi / _NUM_DIRECTIONS)
        directions = torch.stack((angles.double().cos(), angles.double().sin()), dim=1)
    offsets = radii.double()[:, None, None] * directions.double()
    profile = induced_profile(encoding, offsets.flatten(0, 1)).reshape(len(radii), -1)
    return float(1 - profile.mean(1).square().mean() / profile.square().mean())


def check_stationary(encoding: FourierEncoding, where: str) -> None:
    """Refuse features whose kernel changes from place to place.

    Args:
        encoding: Frequencies and amplitudes.
        where: Name of the operation, for the message.

    Raises:
        ConfigError: If the coordinates are among the features.
    """
    if encoding.includes_coords:
        raise ConfigError(
            f"{where}(encoding=...): expected Fourier features alone, got some with "
            "the coordinates among them, whose kernel x.y is not stationary. Build "
            "them with includes_coords=False."
        )


def _waves(encoding: FourierEncoding, offsets: Float[Tensor, "n d"]) -> Tensor:
    frequencies = encoding.frequencies.double()
    powers = encoding.amplitudes.double().square()
    step = max(1, _PHASES // len(frequencies))
    # Cycles are cut to a fraction first: cosines of large arguments are less exact.
    parts = [
        (2 * math.pi * _fraction(some @ frequencies.T)).cos() @ powers
        for some in offsets.split(step)
    ]
    return torch.cat(parts)


def _fraction(cycles: Tensor) -> Tensor:
    return cycles - cycles.detach().round()


def _points(encoding: FourierEncoding, points: Tensor, name: str) -> Coords:
    if points.ndim != 2 or points.shape[1] != encoding.num_dims or not len(points):
        raise ShapeError(
            f"{name}: expected shape [n, {encoding.num_dims}] with n >= 1, got "
            f"{list(points.shape)}. Give one row per point."
        )
    if not points.dtype.is_floating_point:
        raise ShapeError(
            f"{name}: expected floating point numbers, got {points.dtype}. Convert "
            f"with {name}.double()."
        )
    check_finite(name, points)
    return points.double()
