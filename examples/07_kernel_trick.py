"""Separate two rings by explicit features, by their kernel, and by an infinite network.

Makes a picture of `docs/article.md` and prints the numbers there:
``python examples/07_kernel_trick.py OUT.png``. Runs for a few seconds.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from tangrid.encodings import FourierConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.fourier_kernel import induced_kernel
from tangrid.tangent.wide.infinite_width import infinite_width_kernel

NUM_POINTS = 80
RIDGE = 1e-2
PIXELS = Lattice((80, 80))
FEATURES = FourierConfig(num_frequencies=100, bandwidth_cycles=1.0)


def rings() -> tuple[torch.Tensor, torch.Tensor]:
    """Return points on two rings, and -1 for the inner one and 1 for the outer."""
    drawn = generator(0, "rings")
    noise = torch.randn(NUM_POINTS, dtype=torch.float64, generator=drawn)
    angles = 2 * math.pi * torch.rand(NUM_POINTS, dtype=torch.float64, generator=drawn)
    labels = torch.arange(NUM_POINTS).double() % 2 * 2 - 1
    radii = 0.25 + 0.1 * labels + 0.02 * noise
    x = 0.5 + radii[:, None] * torch.stack((angles.cos(), angles.sin()), dim=1)
    return x, labels[:, None]


def by_features(
    phi: torch.Tensor, labels: torch.Tensor, away: torch.Tensor
) -> torch.Tensor:
    """Return ridge regression on the features themselves: one weight for each."""
    square = phi.T @ phi + RIDGE * torch.eye(phi.shape[1], dtype=phi.dtype)
    return away @ torch.linalg.solve(square, phi.T @ labels)


def by_kernel(
    kernel: TangentKernel, labels: torch.Tensor, between: TangentKernel
) -> torch.Tensor:
    """Return ridge regression by inner products alone: one weight for each point."""
    descent = GradientDescent(1e-6, ridge=RIDGE)
    fit = KernelRegression(kernel, labels, descent=descent)
    return fit.predict(math.inf, between)[0]


def main(target: Path) -> None:
    """Compare, then draw."""
    x, labels = rings()
    pixels = PIXELS.coords()
    site = Site(num_dims=2, num_channels=1)
    encoding = FEATURES.build(site, generator(0, "features")).double()
    straight = torch.cat((x, torch.ones_like(x[:, :1])), dim=1)
    plane = torch.cat((pixels, torch.ones_like(pixels[:, :1])), dim=1)
    line = by_features(straight, labels, plane)
    explicit = by_features(encoding(x), labels, encoding(pixels))
    implicit = by_kernel(
        induced_kernel(encoding, x), labels, induced_kernel(encoding, pixels, x)
    )
    infinite = by_kernel(
        infinite_width_kernel(x, features=encoding),
        labels,
        infinite_width_kernel(pixels, x, features=encoding),
    )
    right = (by_features(straight, labels, straight) * labels > 0).double().mean()
    both = (by_features(encoding(x), labels, encoding(x)) * labels > 0).double().mean()
    difference = (explicit - implicit).abs().max()
    print(f"right with a straight line: {right:.3f}; with features: {both:.3f}")
    print(f"features against their kernel: {difference:.2e}")
    panels = {
        "a straight line cannot": line,
        "200 Fourier features": explicit,
        f"their kernel (differs by {difference:.0e})": implicit,
        "infinite network: only a kernel": infinite,
    }
    figure = Figure(figsize=(11, 3.1), layout="constrained")
    for axis, (title, values) in zip(
        figure.subplots(1, 4), panels.items(), strict=True
    ):
        axis.imshow(
            values.reshape(80, 80),
            extent=(0, 1, 1, 0),
            cmap="PuOr",
            vmin=-1.5,
            vmax=1.5,
            interpolation="nearest",
        )
        if float(values.min()) < 0 < float(values.max()):
            axis.contour(
                values.reshape(80, 80),
                levels=[0.0],
                colors="k",
                linewidths=1,
                extent=(0, 1, 0, 1),
            )
        axis.scatter(*x.T, c=labels[:, 0], cmap="PuOr", edgecolors="k", s=16)
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(target, dpi=90, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "kernel_trick.png"))
