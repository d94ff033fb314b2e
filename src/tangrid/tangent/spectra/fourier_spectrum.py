r"""Energy of a tangent kernel by spatial frequency, on a regular lattice of M points.

The **Fourier-Rayleigh spectrum** is :math:`S(k) = \phi_k^* K \phi_k / M` with unit
waves :math:`\phi_k`. It is not negative, :math:`\sum_k S(k) = \operatorname{tr} K / M`,
and for a stationary kernel :math:`\kappa` it is the Fourier transform of any row, on a
scale that does not depend on M:
:math:`\int \kappa(\delta)\, e^{-2\pi i k \cdot \delta}\, d\delta`. The kernel of a grid
is not stationary; how far waves are from being eigenvectors is told by the
non-stationarity index, 0 to 1:
:math:`\lVert F K F^* - \mathrm{diag} \rVert_F / \lVert K \rVert_F`.

The **row spectrum** is the Fourier transform of the kernel between one point and the
lattice, as papers draw it. For a grid it depends on where in its cell the point lies.

Over several channels the kernel's trace over them is meant. A **Hann window** tapers
the waves (their mean square stays 1): without it, the box's border counts as a jump,
and smooth kernels end in a tail of :math:`1/k^2` that is not theirs. Tapered waves
overlap with their neighbours, so there is no index of them.

References:
    Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in
    Low Dimensional Domains"; Zhao et al. 2024, "Grounding and Enhancing Grid-based
    Models for Neural Fields".
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.spectra.lattice import Frequencies, Lattice
from tangrid.tangent.spectra.spectrum_record import (
    FourierSpectrum,
    FrequencyProbe,
    ShellSpectrum,
    shell_numbers,
)

Window = Literal["none", "hann"]
"""Weights of the lattice points: all alike, or falling to 0 at half a box's side."""
RowAverage = Literal["magnitudes", "aligned"]
"""How rows of several centres are averaged; see `row_spectrum`."""

MAX_DENSE_POINTS = 8192
"""Largest lattice whose kernel is transformed along both sides."""


def fourier_rayleigh(
    kernel: TangentKernel, lattice: Lattice, *, window: Window = "none"
) -> FourierSpectrum:
    r"""Return the Fourier-Rayleigh spectrum, exact, from the dense kernel.

    Args:
        kernel: Of the points of the lattice with themselves.
        lattice: Where its points lie.
        window: Taper of the waves towards the box's border.

    Returns:
        S(k) at all M frequencies; without a window, with the non-stationarity index.

    Raises:
        ConfigError: If there is no such window.
        ShapeError: If the kernel is not over this lattice, or too large to be dense.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> row = torch.tensor([3.0, 1.0, 0.0, 1.0], dtype=torch.float64)
        >>> matrix = torch.stack([row.roll(shift) for shift in range(4)])
        >>> found = fourier_rayleigh(DenseKernel(matrix), Lattice((4,)))
        >>> found.energy.tolist(), round(found.non_stationarity, 12)
        ([1.25, 0.75, 0.25, 0.75], 0.0)
    """
    _check(kernel, lattice, "fourier_rayleigh(kernel=...)")
    if lattice.num_points > MAX_DENSE_POINTS:
        raise ShapeError(
            f"fourier_rayleigh(kernel=...): expected at most {MAX_DENSE_POINTS} "
            f"points, got {lattice.num_points}. Use shell_spectrum, or rayleigh_at for "
            "single frequencies: they need products with the kernel alone."
        )
    taper = border_taper(lattice, window).to(kernel.device)
    matrix = _traced(kernel.to_dense(), kernel.num_outputs)
    if window != "none":
        matrix = taper[:, None] * matrix * taper
    energy, outside = _rotated(matrix, lattice)
    share = outside / max(outside + float(energy.square().sum()), 1e-300)
    index = math.sqrt(share) if window == "none" else None
    return FourierSpectrum(lattice, (energy / lattice.num_points).cpu(), index)


def _rotated(matrix: Tensor, lattice: Lattice) -> tuple[Tensor, float]:
    """Return the diagonal of F K F^*, and the sum of squares of the rest.

    A transform along all axes of both sides has at [k, -k'] what F K F^* has at
    [k, k']. It is real at both ends, so half of the second side's last axis suffices.
    """
    shape = tuple(reversed(lattice.sizes))
    width = lattice.sizes[0]
    half = width // 2 + 1
    whole = torch.fft.rfftn(matrix.reshape(*shape, *shape), norm="ortho")
    whole = whole.reshape(lattice.num_points, -1)
    numbers = torch.arange(lattice.num_points, device=matrix.device)
    axes = tuple(range(len(shape)))
    negative = numbers.view(shape).flip(axes).roll((1,) * len(shape), axes).flatten()
    there = negative % width < half
    rows = numbers[there]
    columns = (negative // width * half + negative % width)[there]
    energy = matrix.new_empty(lattice.num_points)
    energy[rows] = whole[rows, columns].real
    energy[negative[there]] = energy[rows]
    whole[rows, columns] = 0.0
    squares = torch.view_as_real(whole).square_().sum((0, 2)).view(-1, half).sum(0)
    # Columns that stand for their mirror images too, which were left out.
    twice = slice(1, (width + 1) // 2)
    return energy, float(squares.sum() + squares[twice].sum())


def rayleigh_at(
    kernel: TangentKernel,
    lattice: Lattice,
    frequencies: Frequencies,
    *,
    window: Window = "none",
    batch: int = 64,
) -> FrequencyProbe:
    r"""Return S(k) at some frequencies, exact, from products with the kernel alone.

    Args:
        kernel: Of the points of the lattice with themselves.
        lattice: Where its points lie.
        frequencies: Whole numbers of cycles per side of the box.
        window: Taper of the waves towards the box's border.
        batch: Frequencies per product; each takes a cosine and a sine.

    Returns:
        S(k), and how far each wave is from being an eigenvector.

    Raises:
        ConfigError: If there is no such window.
        ShapeError: If the kernel is not over this lattice, or the frequencies have
            another number of coordinates.
    """
    _check(kernel, lattice, "rayleigh_at(kernel=...)")
    if frequencies.ndim != 2 or frequencies.shape[1] != lattice.num_dims:
        raise ShapeError(
            f"rayleigh_at(frequencies=...): expected shape [m, {lattice.num_dims}], "
            f"got {list(frequencies.shape)}. Give one row per frequency."
        )
    scaled = border_taper(lattice, window) / math.sqrt(lattice.num_points)
    coords = lattice.coords()
    quotients, squares = [], []
    for part in frequencies.to(coords.dtype).split(batch):
        phases = 2 * math.pi * coords @ part.T
        waves = scaled[:, None] * torch.cat((phases.cos(), phases.sin()), dim=1)
        products = _traced_products(kernel, waves)
        quotients.append((waves * products).sum(0).view(2, -1).sum(0))
        squares.append(products.square().sum(0).view(2, -1).sum(0))
    quotient, square = torch.cat(quotients), torch.cat(squares)
    share = (quotient.square() / square).nan_to_num(1.0).clamp(max=1.0)
    return FrequencyProbe(
        frequencies=frequencies,
        energy=quotient / lattice.num_points,
        leakage=(1 - share).sqrt(),
    )


def shell_spectrum(
    kernel: TangentKernel,
    lattice: Lattice,
    generator: torch.Generator,
    *,
    edges: Float[Tensor, " e"] | None = None,
    probes: int = 8,
    window: Window = "none",
) -> ShellSpectrum:
    r"""Estimate S(k) averaged over shells of equal ``|k|`` from products alone.

    A probe is a sum of all waves of one shell with random phases,
    :math:`v = \sum_k z_k \phi_k` with :math:`|z_k| = 1`, so that the mean of
    :math:`v^\top K v` is the shell's sum. Only what a shell's waves have to do with
    each other is noise: for a stationary kernel one probe is exact. Products needed:
    shells times probes.

    Args:
        kernel: Of the points of the lattice with themselves.
        lattice: Where its points lie.
        generator: Source of the phases.
        edges: Edges of the shells in cycles per side of the box; half octaves if None.
        probes: Probes per shell (Hutchinson's samples), at least 2.
        window: Taper of the waves towards the box's border.

    Returns:
        Shell means with standard errors, and without a window an estimate of the
        non-stationarity index of what the shells cover.

    Raises:
        ConfigError: If there are fewer than 2 probes, or no such window.
        ShapeError: If the kernel is not over this lattice.

    References:
        Hutchinson 1989, "A Stochastic Estimator of the Trace of the Influence Matrix".
    """
    _check(kernel, lattice, "shell_spectrum(kernel=...)")
    if probes < 2:
        raise ConfigError(
            f"shell_spectrum(probes=...): expected at least 2, got {probes}. One probe "
            "has no standard error."
        )
    edges = lattice.octave_edges() if edges is None else edges
    numbers = shell_numbers(lattice.radii, edges)
    taper = border_taper(lattice, window)[:, None]
    found, diagonal, whole = [], 0.0, 0.0
    present = [int(number) for number in numbers.unique() if number >= 0]
    for shell in present:
        inside = (numbers == shell)[:, None]
        noise = torch.randn(
            lattice.num_points, probes, generator=generator, dtype=torch.float64
        )
        phases = torch.where(inside, torch.sgn(lattice.transform(noise)), 0)
        waves = taper * lattice.inverse(phases).real
        products = _traced_products(kernel, waves)
        components = (phases.conj() * lattice.transform(taper * products)).real
        per_wave = components[inside[:, 0]]
        found.append(per_wave.mean(0) / lattice.num_points)
        # Products of different probes, so that their noise does not add up.
        cross = per_wave.sum(1).square() - per_wave.square().sum(1)
        diagonal += float(cross.sum()) / (probes * (probes - 1))
        whole += float((taper * products).square().sum(0).mean())
    samples = torch.stack(found)
    index = math.sqrt(max(1 - diagonal / max(whole, 1e-300), 0.0))
    counts = torch.bincount(numbers[numbers >= 0])
    sums = torch.zeros(len(counts), dtype=torch.float64)
    sums.index_add_(0, numbers[numbers >= 0], lattice.radii[numbers >= 0])
    return ShellSpectrum(
        frequency=(sums / counts)[present],
        energy=samples.mean(1),
        count=counts[present],
        standard_error=samples.std(1) / math.sqrt(probes),
        non_stationarity=index if window == "none" else None,
    )


def row_spectrum(
    kernel: TangentKernel,
    lattice: Lattice,
    *,
    points: Int64[Tensor, " c"] | None = None,
    centres: Coords | None = None,
    window: Window = "hann",
    average: RowAverage = "magnitudes",
) -> FourierSpectrum:
    r"""Return the Fourier transform of the kernel between centres and the lattice.

    :math:`R(k) = \frac1M \left| \sum_x w(x - c)\, K(x, c)\, e^{-2\pi i k \cdot x}
    \right|`, averaged over the centres c. The window w is 1 at the centre and 0 from
    half a box's side on, along each axis. ``magnitudes`` averages the absolute values,
    as papers do; ``aligned`` averages the transforms as seen from each centre, that is
    times :math:`e^{2\pi i k \cdot c}`, and takes the real part. Aligned, without a
    window, over all points of the lattice, it is the Fourier-Rayleigh spectrum.

    Args:
        kernel: Of the lattice with itself, or with the centres.
        lattice: Where the points of the rows lie.
        points: Numbers of the lattice points that are centres, for a kernel of the
            lattice with itself; None for the one nearest the middle.
        centres: Coordinates of the second side's points, for a kernel between the
            lattice and other points.
        window: Taper around each centre; ``none`` leaves the row as it is.
        average: How several centres are averaged.

    Returns:
        R(k) at all M frequencies. Without a window and for a stationary kernel it is
        the Fourier-Rayleigh spectrum.

    Raises:
        ConfigError: If there is no such window or average.
        ShapeError: If kernel, lattice and centres do not fit, or a point is none of the
            lattice's.
    """
    check_choice("row_spectrum(window=...)", window, Window)
    check_choice("row_spectrum(average=...)", average, RowAverage)
    lattice.check_points(kernel.num_points[0], "row_spectrum(kernel=...)")
    if centres is not None:
        fits = centres.shape == (kernel.num_points[1], lattice.num_dims)
        if not fits or points is not None:
            raise ShapeError(
                "row_spectrum(centres=...): expected the coordinates of the kernel's "
                f"second side, [{kernel.num_points[1]}, {lattice.num_dims}], and no "
                f"points besides, got {list(centres.shape)}."
            )
        columns = kernel.to_dense()
    else:
        kernel.check_symmetric("row_spectrum(kernel=..., centres=None)")
        if points is None:
            points = torch.tensor([lattice.middle])
        _check_numbers(points, lattice.num_points)
        centres = lattice.coords()[points]
        columns = kernel.columns(points.to(kernel.device))
    rows = _traced(columns, kernel.num_outputs).cpu().double()
    away = lattice.coords()[:, None] - centres.double().cpu()
    if window == "hann":
        bells = torch.where(away.abs() < 0.5, (math.pi * away).cos().square(), 0.0)
        rows = rows * bells.prod(dim=2)
    transformed = lattice.transform(rows) / math.sqrt(lattice.num_points)
    if average == "magnitudes":
        return FourierSpectrum(lattice, transformed.abs().mean(1))
    turns = lattice.frequencies @ (centres.double().cpu() - lattice.coords()[0]).T
    aligned = torch.polar(torch.ones_like(turns), 2 * math.pi * turns) * transformed
    return FourierSpectrum(lattice, aligned.real.mean(1))


def border_taper(lattice: Lattice, window: Window) -> Float[Tensor, " m"]:
    r"""Return the weights of the lattice points in tapered waves; mean square 1.

    ``hann`` is :math:`\prod_j \sqrt{8/3} \sin^2 \pi x_j`.

    Args:
        lattice: Where the points lie.
        window: Name of the taper.

    Raises:
        ConfigError: If there is no such window.
    """
    check_choice("window", window, Window)
    coords = lattice.coords()
    if window == "none":
        return torch.ones_like(coords[:, 0])
    weights = (math.pi * coords).sin().square().prod(dim=1)
    return weights / weights.square().mean().sqrt()


def _check(kernel: TangentKernel, lattice: Lattice, what: str) -> None:
    kernel.check_symmetric(what)
    lattice.check_points(kernel.num_points[0], what)


def _check_numbers(points: Tensor, count: int) -> None:
    outside = (points < 0) | (points >= count)
    if len(points) == 0 or bool(outside.any()):
        got = int(points[outside][0]) if len(points) else "none"
        raise ShapeError(
            f"row_spectrum(points=...): expected numbers from 0 to {count - 1}, got "
            f"{got}. Lattice points are numbered like pixels."
        )


def _traced(matrix: Tensor, channels: int) -> Tensor:
    """Return the sum of a matrix's blocks of equal channels."""
    if channels == 1:
        return matrix
    rows, columns = (side // channels for side in matrix.shape)
    return torch.einsum("iaja->ij", matrix.view(rows, channels, columns, channels))


def _traced_products(kernel: TangentKernel, vectors: Tensor) -> Tensor:
    """Return products of the trace over channels with columns over the points."""
    vectors = vectors.to(kernel.dtype).to(kernel.device)
    channels = kernel.num_outputs
    if channels == 1:
        return (kernel @ vectors).cpu().double()
    total = torch.zeros_like(vectors)
    for channel in range(channels):
        lifted = vectors.new_zeros(len(vectors), channels, vectors.shape[1])
        lifted[:, channel] = vectors
        product = kernel @ lifted.flatten(0, 1)
        total += product.view(lifted.shape)[:, channel]
    return total.cpu().double()
