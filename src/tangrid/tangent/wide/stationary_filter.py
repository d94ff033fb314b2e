r"""The filter that a wide network behind Fourier features is.

A rectified network's kernel depends on lengths and angles of its inputs. Fourier
features all have the same length, and their angle depends on the difference of two
points alone; so the composition is stationary,
:math:`K(x, y) = h_{NTK}(h_\gamma(x - y))`, and on a periodic lattice it is a
convolution. The bandwidth of the features decides how wide the filter's spectrum is.

References:
    Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains".
"""

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.encodings.fourier import FourierEncoding
from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.circulant import CirculantKernel
from tangrid.tangent.wide.fourier_kernel import check_stationary, induced_profile
from tangrid.tangent.wide.infinite_width import Kind, ReluNetwork, infinite_width

_MOST_DEVIATION = 1e-6


def composed_profile(
    encoding: FourierEncoding,
    offsets: Tensor,
    *,
    network: ReluNetwork | None = None,
    kind: Kind = "ntk",
) -> Float[Tensor, " n"]:
    r"""Return the kernel of a wide network behind Fourier features, by difference.

    Args:
        encoding: Frequencies and amplitudes.
        offsets: Differences of points (delta), [n, d], in sides of the box.
        network: Depth and variances; None for two hidden layers without biases.
        kind: Tangent kernel, or covariance of the outputs.

    Raises:
        ConfigError: If the kernel is not stationary, or there is no such kind.
        ShapeError: If the differences do not fit or are not finite.

    Example:
        >>> encoding = FourierEncoding(torch.tensor([[1.0]]), torch.tensor([1.0]))
        >>> composed_profile(encoding, torch.tensor([[0.0], [1.0]])).round(decimals=9)
        tensor([3., 3.], dtype=torch.float64)
    """
    check_choice("composed_profile(kind=...)", kind, Kind)
    check_stationary(encoding, "composed_profile")
    origin = torch.zeros(1, encoding.num_dims, dtype=torch.float64)
    if offsets.ndim != 2 or offsets.shape[1] != encoding.num_dims:
        raise ShapeError(
            f"offsets: expected shape [n, {encoding.num_dims}], got "
            f"{list(offsets.shape)}. Give one row per difference."
        )
    found = infinite_width(offsets, origin, network=network, features=encoding)
    return (found.ntk if kind == "ntk" else found.nngp)[:, 0]


def stationary_filter(
    encoding: FourierEncoding,
    lattice: Lattice,
    *,
    network: ReluNetwork | None = None,
    kind: Kind | None = "ntk",
) -> CirculantKernel:
    r"""Return the kernel of Fourier features on a periodic lattice.

    Args:
        encoding: Frequencies and amplitudes; whole cycles per side, see `on_torus`.
        lattice: The points.
        network: Depth and variances of the network behind the features; None for two
            hidden layers without biases.
        kind: Tangent kernel, or covariance of the outputs; None for the kernel of the
            features alone, without a network.

    Raises:
        ConfigError: If the features are not periodic, or of other dimensions, or there
            is no such kind.

    Example:
        >>> encoding = FourierEncoding(torch.tensor([[2.0]]), torch.tensor([1.0]))
        >>> kernel = stationary_filter(encoding, Lattice((8,)), kind=None)
        >>> kernel.transfer.round(decimals=9).tolist()
        [0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 4.0, 0.0]
    """
    where = "stationary_filter"
    if kind is not None:
        check_choice(f"{where}(kind=...)", kind, Kind)
    check_stationary(encoding, where)
    if encoding.num_dims != lattice.num_dims:
        raise ConfigError(
            f"{where}(lattice=...): expected {encoding.num_dims} axes, as the features "
            f"have, got {lattice.num_dims}."
        )
    frequencies = encoding.frequencies.double()
    deviation = float((frequencies - frequencies.round()).abs().max())
    if deviation > _MOST_DEVIATION:
        raise ConfigError(
            f"{where}(encoding=...): expected whole numbers of cycles per side, so "
            f"that the box closes to a torus, got some {deviation:.2g} off. Round them "
            "with on_torus(encoding)."
        )
    coords = lattice.coords()
    offsets = coords - coords[:1]
    if kind is None:
        response = induced_profile(encoding, offsets)
    else:
        response = composed_profile(encoding, offsets, network=network, kind=kind)
    return CirculantKernel(lattice, response)
