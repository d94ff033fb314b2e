"""Measure what estimates of large kernels are worth, on one that is small enough.

Makes the picture of `docs/large-kernels.md` and prints the numbers there:
``python examples/10_large_kernels.py OUT.png``. Runs for about a minute.
"""

import sys
import time
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import tangrid as tg
from tangrid.fields import Field
from tangrid.seeding import generator
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.algebra.block_lanczos import leading_pairs
from tangrid.tangent.algebra.conjugate_gradients import quadratic_form
from tangrid.tangent.algebra.extreme_eigenvalues import extreme_eigenvalues
from tangrid.tangent.algebra.kernel_functions import descent_powers, whole_powers
from tangrid.tangent.algebra.krylov import lanczos
from tangrid.tangent.algebra.nystrom import pivoted_cholesky
from tangrid.tangent.algebra.spectral_density import SpectralDensity, spectral_density

CROP = "64"
KNOWN, LARGE = 400, 10_000  # points: all pairs of three channels; the first channel
RIDGES = (1e-1, 1e-2, 1e-3, 1e-4)  # over the mean of the diagonal
RANKS = (0, 50, 200)
COLOURS = ("tab:gray", "tab:orange", "tab:blue")
MOST = 1000


def fitted() -> tuple[Field, tg.ImageSignal]:
    """Return a small InstantNGP after 100 steps on a photograph."""
    image = tg.ImageSignal.open("astronaut", crop=CROP)
    run = tg.fit(image, model="instant-ngp", params=20_000, steps=100)
    return run.field.double(), image


def sample(image: tg.ImageSignal, count: int, stream: str) -> tuple[Tensor, Tensor]:
    """Return random points and the image's values in their pixels."""
    draw = generator(0, "example", stream)
    coords = torch.rand(count, 2, generator=draw, dtype=torch.float64)
    pixels = torch.from_numpy(image.rows(0, image.height)).double()
    size = torch.tensor([image.width, image.height])
    x, y = (coords * size).long().T
    return coords, pixels[y, x]


def spectrum(axis: Axes, kernel: DenseKernel) -> None:
    """Draw all eigenvalues, and what products and columns tell of them."""
    exact, ranks = kernel.eigensystem.values, torch.arange(1, kernel.shape[0] + 1)
    axis.loglog(ranks, exact, "k", linewidth=1, label="exact")
    found = leading_pairs(
        kernel, 50, generator=generator(0), tolerance=1e-8, max_products=MOST
    )
    errors = ((found.values - exact[:50]).abs() / exact[:50]).max()
    print(f"leading 50: {found.num_products} products, relative error {errors:.1e}")
    axis.loglog(
        ranks[:50], found.values, "o", ms=3, color="tab:blue", label="50 leading"
    )
    near = pivoted_cholesky(kernel, 200, generator=generator(0))
    axis.loglog(
        ranks[: near.rank], near.eigenvalues, color="tab:orange", label="200 columns"
    )
    density = spectral_density(kernel, generator=generator(0))
    places = torch.logspace(-4.5, 3, 200, dtype=torch.float64)
    counts = density.counts_above(places)
    low, high = (
        (bound + sign * 2 * counts.standard_errors).clamp(1, len(ranks))
        for sign, bound in ((-1, counts.lower), (1, counts.upper))
    )
    axis.fill_betweenx(places, low, high, alpha=0.3, label="bounds of 10 probes")
    start = torch.randn(len(ranks), 1, generator=generator(0)).double()
    (space,) = lanczos(kernel, start, 80)
    least = float(space.ritz[0][0])
    axis.axhline(least, color="tab:red", lw=1, ls=":", label="least by 80 products")
    print(
        f"largest {exact[0]:.3g}, smallest {exact[-1]:.3g}, resolution "
        f"{kernel.eigensystem.resolution:.1e}; smallest by 80 Lanczos steps "
        f"{least:.3g}, bound from 200 columns {near.smallest_at_most:.3g}"
    )
    axis.set(
        xlabel="rank", ylabel="eigenvalue", title=f"Eigenvalues, {len(ranks)} rows"
    )
    axis.set_ylim(float(exact[-1]) / 3, float(exact[0]) * 3)
    axis.legend(fontsize=8, loc="lower left")


def densities(axis: Axes, kernel: DenseKernel) -> None:
    """Draw eigenvalues per decade, exact and estimated, and print sums over them."""
    exact = kernel.eigensystem.values
    places = torch.logspace(-5, 3, 400, dtype=torch.float64)
    away = (places.log10()[:, None] - exact.log10()) / 0.15
    bells = torch.exp(-0.5 * away.square()).sum(1) / (0.15 * (2 * torch.pi) ** 0.5)
    axis.semilogx(places, bells, "k", linewidth=1, label="exact")
    plain = spectral_density(kernel, generator=generator(0))
    near = pivoted_cholesky(kernel, 200, generator=generator(0))
    helped = spectral_density(kernel, generator=generator(0), approximation=near)
    curve = plain.curve(places)
    low, high = (
        curve.per_decade + sign * 2 * curve.standard_errors for sign in (-1, 1)
    )
    axis.fill_between(places, low, high, alpha=0.4, label="10 probes, 50 products each")
    axis.set(xlabel="eigenvalue", ylabel="eigenvalues per decade", title="Density")
    axis.legend(fontsize=8)
    mean = float(kernel.diagonal().mean())
    for share in RIDGES:
        ridge = share * mean
        dimension = float((exact / (exact + ridge)).sum())
        volume = float(torch.log(exact + ridge).sum())
        print(
            f"ridge {share:.0e}: d = {dimension:.2f}, {shown(plain, ridge)[0]}, with "
            f"columns {shown(helped, ridge)[0]}; log det = {volume:.1f}, "
            f"{shown(plain, ridge)[1]}, with columns {shown(helped, ridge)[1]}"
        )


def shown(density: SpectralDensity, ridge: float) -> list[str]:
    """Return effective dimension and log-determinant with their errors."""
    found = [density.effective_dimension(ridge), density.log_determinant(ridge)]
    return [
        f"{it.value:.2f} ± {it.standard_error:.2f} (truncation {it.truncation:.1e})"
        for it in found
    ]


def columns(axis: Axes, kernel: DenseKernel) -> None:
    """Draw the error of approximations from columns against the best there is."""
    values = kernel.eigensystem.values
    ranks, lost = [10, 20, 50, 100, 200, 400], []
    for rank in ranks:
        tries = [
            pivoted_cholesky(kernel, rank, generator=generator(seed)).relative_error
            for seed in range(5)
        ]
        lost.append(sum(tries) / len(tries))
    best = [float(values[rank:].sum() / values.sum()) for rank in ranks]
    for rank, found, least in zip(ranks, lost, best, strict=True):
        print(f"rank {rank}: {found:.2e} of the trace is left, best {least:.2e}")
    axis.loglog(ranks, lost, "o-", color="tab:orange", ms=3, label="chosen columns")
    axis.loglog(ranks, best, "k", linewidth=1, label="best of that rank")
    axis.set(xlabel="rank", ylabel="share of the trace left", title="Approximation")
    axis.legend(fontsize=8)


def solvers(axis: Axes, kernel: DenseKernel, residual: Tensor) -> None:
    """Draw the products that a solution takes, and print the bounds of its energy."""
    mean, system = float(kernel.diagonal().mean()), kernel.eigensystem
    inner = system.coefficients(residual)
    for rank, colour in zip(RANKS, COLOURS, strict=True):
        near = pivoted_cholesky(kernel, rank, generator=generator(0)) if rank else None
        steps = []
        for share in RIDGES:
            ridge = share * mean
            energy = quadratic_form(
                kernel, residual, ridge=ridge, approximation=near, max_steps=MOST
            )
            steps.append(energy.num_steps)
            exact = float((inner.square().sum(1) / (system.values + ridge)).sum())
            inside = energy.lower <= exact <= energy.upper
            print(
                f"rank {rank}, ridge {share:.0e}: {energy.num_steps} products, "
                f"converged {energy.converged}; energy {exact:.6g}, bounds around it "
                f"{inside}, relative half-width {energy.error / exact:.1e}"
            )
        axis.loglog(RIDGES, steps, "o-", color=colour, ms=3, label=f"rank {rank}")
    axis.set(xlabel="ridge over mean diagonal", ylabel="products", title="Solving")
    axis.legend(fontsize=8, title="preconditioner", title_fontsize=8)


def training(kernel: DenseKernel, residual: Tensor) -> None:
    """Print how exact the residual is that gradient descent leaves."""
    system = kernel.eigensystem
    rate, steps = 1.0 / system.largest, [10, 1000, 100_000]
    found = descent_powers(kernel, residual, steps, rate=rate)
    factors = whole_powers(1.0 - rate * system.values, torch.tensor(steps).double())
    inner = system.coefficients(residual)
    for at, step in enumerate(steps):
        exact = system.vectors @ (factors[at][:, None] * inner)
        error = float((found.values[at] - exact).norm() / residual.norm())
        print(
            f"descent, {step} steps: {found.num_steps} products, error {error:.1e}, "
            f"bound {float(found.errors[at].max()):.1e}"
        )


def large(field: Field, image: tg.ImageSignal) -> None:
    """Print the same quantities where the matrix would not be made."""
    coords, targets = sample(image, LARGE, "large")
    kernel = tangent_kernel(field, coords, outputs=0)
    rows, mean = kernel.shape[0], float(kernel.diagonal().mean())
    began = time.perf_counter()
    top = extreme_eigenvalues(kernel, 20)
    print(
        f"{rows} rows: eigenvalues {top.values[0]:.4g} to {top.values[-1]:.4g}, each "
        f"within {float((top.residuals / top.values).max()):.1e} of itself, "
        f"{top.num_products} products, {time.perf_counter() - began:.0f} s"
    )
    began = time.perf_counter()
    near = pivoted_cholesky(kernel, 400, generator=generator(0))
    print(
        f"{rows} rows: {near.relative_error:.2e} of the trace is left at rank 400, "
        f"smallest eigenvalue at most {near.smallest_at_most:.2g}, "
        f"{time.perf_counter() - began:.0f} s"
    )
    began = time.perf_counter()
    density = spectral_density(
        kernel, generator=generator(0), num_steps=20, approximation=near
    )
    print(
        f"{rows} rows: d(1e-1) = {shown(density, 1e-1 * mean)[0]}, "
        f"{time.perf_counter() - began:.0f} s"
    )
    began = time.perf_counter()
    with torch.no_grad():
        residual = kernel.stacked(targets - field(coords))[:, :1]
    energy = quadratic_form(kernel, residual, ridge=1e-1 * mean, approximation=near)
    print(
        f"{rows} rows: energy at ridge 1e-1 {energy.value:.8g}, relative half-width "
        f"{energy.error / energy.value:.1e}, {energy.num_steps} products, "
        f"{time.perf_counter() - began:.0f} s"
    )


def main(target: Path) -> None:
    """Measure against the truth, then where there is none."""
    field, image = fitted()
    coords, targets = sample(image, KNOWN, "known")
    kernel = DenseKernel(tangent_kernel(field, coords).to_dense(), num_outputs=3)
    with torch.no_grad():
        residual = kernel.stacked(targets - field(coords))
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    spectrum(axes[0, 0], kernel)
    densities(axes[0, 1], kernel)
    columns(axes[1, 0], kernel)
    solvers(axes[1, 1], kernel, residual)
    training(kernel, residual)
    figure.savefig(target, dpi=100)
    large(field, image)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "large_kernels.png"))
