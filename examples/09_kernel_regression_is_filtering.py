"""Train by kernel regression and by a filter, and find the same outputs.

Makes a picture of `docs/article.md` and prints the numbers there:
``python examples/09_kernel_regression_is_filtering.py OUT.png``. Runs for a few
seconds.
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import tangrid as tg
from tangrid.encodings import FourierConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.circulant import CirculantKernel, every, filtered
from tangrid.tangent.wide.fourier_kernel import on_torus
from tangrid.tangent.wide.infinite_width import ReluNetwork
from tangrid.tangent.wide.stationary_filter import stationary_filter

NETWORK = ReluNetwork(num_hidden=3)
LINE, STRIDE = Lattice((256,)), 4
STEPS = (3.0, 30.0, 300.0)
SIDE = 96
IMAGE_STEPS = (10.0, 100.0, 1000.0)
BANDWIDTHS = (1.0, 6.0)


def kernel_on(lattice: Lattice, bandwidth: float) -> CirculantKernel:
    """Return the kernel of a wide network behind Fourier features on a torus."""
    site = Site(num_dims=lattice.num_dims, num_channels=1)
    config = FourierConfig(num_frequencies=256, bandwidth_cycles=bandwidth)
    encoding = config.build(site, generator(0, "frequencies"))
    return stationary_filter(on_torus(encoding), lattice, network=NETWORK)


def signal(x: torch.Tensor) -> torch.Tensor:
    """Return a wave of 2 cycles, a weaker one of 11, and a step."""
    waves = torch.cos(4 * torch.pi * x) + 0.4 * torch.sin(22 * torch.pi * x)
    return waves + ((x > 0.3) & (x < 0.6)).double()


def stepwise(
    kernel: CirculantKernel, targets: torch.Tensor, rate: float
) -> torch.Tensor:
    """Return outputs at all points after some numbers of steps, with the matrix."""
    chosen = every(kernel.lattice, STRIDE)
    everywhere = kernel.to_dense()[:, chosen]
    weights = torch.zeros_like(targets)
    found = []
    for step in range(int(max(STEPS))):
        weights = weights + rate * (targets - everywhere[chosen] @ weights)
        if step + 1 in STEPS:
            found.append(everywhere @ weights)
    return torch.stack(found)


def draw_line(outputs: Axes, factors: Axes, bandwidth: float) -> None:
    """Draw outputs by regression and by filter, and what becomes of each wave."""
    kernel = kernel_on(LINE, bandwidth)
    x = LINE.coords()
    chosen = every(LINE, STRIDE)
    targets = signal(x)[chosen]
    trained = kernel.aliased(STRIDE)
    rate = 1 / float(trained.transfer.max())
    by_matrix = stepwise(kernel, targets, rate)
    by_filter = filtered(kernel, targets, GradientDescent(rate), STEPS, stride=STRIDE)
    difference = float((by_matrix - by_filter).abs().max())
    print(f"line, sigma {bandwidth:g}: largest difference {difference:.1e}")
    outputs.plot(x[chosen], targets, "k.", markersize=3)
    frequency = trained.lattice.frequencies[:, 0]
    order = frequency.argsort()
    for number, steps in enumerate(STEPS):
        colour = f"C{number}"
        outputs.plot(x, by_matrix[number], color=colour, linewidth=1)
        outputs.plot(x[::3], by_filter[number][::3], ".", color=colour, markersize=2)
        learned = 1 - (1 - rate * trained.transfer) ** steps
        label = f"{steps:.0f} steps"
        factors.plot(frequency[order], learned[order], color=colour, label=label)
        at = {k: f"{float(learned[frequency == k]):.3f}" for k in (2, 11, 30)}
        print(f"  after {steps:.0f} steps, learned of wave k:", at)
    outputs.set_title(rf"$\sigma$ = {bandwidth:g}: lines by matrix, dots by FFT")
    factors.set_title(r"$1 - (1 - \eta H_k)^t$")
    factors.set_xlabel("frequency k (cycles)")


def draw_image(axes: list[Axes], bandwidth: float) -> None:
    """Draw a photograph after some steps of regression at all its pixels."""
    lattice = Lattice((SIDE, SIDE))
    image = tg.ImageSignal.open("astronaut", crop="192x192+126+0", downscale=2)
    pixels = torch.arange(lattice.num_points)
    values = image.pixel_values(pixels).double()
    kernel = kernel_on(lattice, bandwidth)
    descent = GradientDescent(1 / float(kernel.transfer.max()))
    found = filtered(kernel, values, descent, IMAGE_STEPS)
    for axis, steps, seen in zip(axes, IMAGE_STEPS, found, strict=True):
        error = float((seen - values).square().mean())
        psnr = -10 * torch.log10(torch.tensor(error))
        axis.imshow(seen.clamp(0, 1).reshape(SIDE, SIDE, 3), interpolation="nearest")
        axis.set_title(
            rf"$\sigma$ = {bandwidth:g}, {steps:.0f} steps: {psnr:.1f} dB", fontsize=9
        )
        axis.set_axis_off()
        print(f"image, sigma {bandwidth:g}, {steps:.0f} steps: {psnr:.2f} dB")


def main(target: Path) -> None:
    """Draw a signal on the line above, a photograph below."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    axes = above.subplots(1, 4, width_ratios=(1.4, 1, 1.4, 1))
    pictures = below.subplots(1, 2 * len(IMAGE_STEPS))
    for place, bandwidth in enumerate(BANDWIDTHS):
        draw_line(axes[2 * place], axes[2 * place + 1], bandwidth)
        start = place * len(IMAGE_STEPS)
        draw_image(list(pictures[start : start + len(IMAGE_STEPS)]), bandwidth)
    axes[1].legend(fontsize=7, loc="upper right", handlelength=1)
    for axis in axes:
        axis.title.set_size(10)
    figure.savefig(target, dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "filtering.png"))
