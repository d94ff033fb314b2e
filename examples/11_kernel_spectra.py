"""Measure the kernels of grids by frequency: rows, closed forms, hashes, large ones.

Makes the picture of `docs/kernel-spectra.md` and prints the numbers there:
``python examples/11_kernel_spectra.py OUT.png``. Runs for half a minute.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig, EncodingConfig, HashGridConfig
from tangrid.fields import EncodedField, EncodedFieldConfig
from tangrid.ops.grid_lookup.layout import Interpolation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import TangentKernel, tangent_kernel
from tangrid.tangent.spectra.fourier_spectrum import (
    fourier_rayleigh,
    row_spectrum,
    shell_spectrum,
)
from tangrid.tangent.spectra.grid_spectrum import (
    collision_deviation,
    level_spectrum,
    pyramid_spectrum,
)
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import FourierSpectrum

LINE = Lattice((480,))
PLANE = Lattice((64, 64))
PYRAMID = DenseGridConfig(num_levels=8, base_resolution=4).reaching(32)


def summed(encoding: EncodingConfig, num_dims: int) -> EncodedField:
    """Return a field whose value is the sum of the features."""
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig(bias=False))
    field = config.build(Site(num_dims=num_dims, num_channels=1), generator(0, "init"))
    torch.nn.init.ones_(field.decoder.output.weight)
    return field


def grid_kernel(encoding: EncodingConfig, lattice: Lattice) -> TangentKernel:
    """Return the grid tangent kernel of the summed features on a lattice."""
    field = summed(encoding, lattice.num_dims)
    return tangent_kernel(field, lattice.coords(), parameters="grid")


def one_level(resolution: int, **settings: object) -> DenseGridConfig:
    """Return a grid of one level with one feature."""
    return DenseGridConfig(
        num_levels=1, channels_per_level=1, base_resolution=resolution, **settings
    )


def closed_form(encoding: DenseGridConfig, lattice: Lattice) -> FourierSpectrum:
    """Return the closed form of a grid whose features are summed."""
    gains = [float(encoding.channels_per_level)] * encoding.num_levels
    layout = encoding.layout(lattice.num_dims)
    energy = pyramid_spectrum(lattice.frequencies, layout, gains)
    return FourierSpectrum(lattice, energy)


def draw_rows(axis: Axes) -> None:
    """Draw that a row's spectrum depends on where in a cell its centre lies."""
    encoding = one_level(17)
    kernel = grid_kernel(encoding, LINE)
    half = slice(1, 64)
    cycles = LINE.frequencies[half, 0]
    # A cell has 30 points: the first of them lies next to a node.
    centres = {"node": 240, "quarter of a cell": 247, "middle of a cell": 255}
    at_eight = {}
    for name, point in centres.items():
        row = row_spectrum(kernel, LINE, points=torch.tensor([point]), window="none")
        axis.semilogy(cycles, row.energy[half], linewidth=1, label=f"row at a {name}")
        at_eight[name] = float(row.energy[8])
    rayleigh = fourier_rayleigh(kernel, LINE, window="hann")
    axis.semilogy(cycles, rayleigh.energy[half], "k", label="Fourier-Rayleigh, Hann")
    closed = level_spectrum(LINE.frequencies, 1 / 16)
    axis.semilogy(cycles, closed[half], "C3--", label="$h\\,$sinc$^4(kh)$")
    axis.set_title("one level, 16 cells on a line", fontsize=10)
    axis.set_ylim(3e-9, 20)
    axis.legend(fontsize=7, loc="upper right")
    at_eight |= {"Rayleigh": float(rayleigh.energy[8]), "closed": float(closed[8])}
    print("at 8 cycles:", {name: f"{value:.3e}" for name, value in at_eight.items()})
    index = fourier_rayleigh(kernel, LINE).non_stationarity
    print(f"non-stationarity index of this level {index:.3f}")


def draw_pyramid(axis: Axes) -> None:
    """Draw a grid of several levels against its closed form, with and without taper."""
    kernel = grid_kernel(PYRAMID, PLANE)
    closed = closed_form(PYRAMID, PLANE)
    plain = fourier_rayleigh(kernel, PLANE)
    tapered = fourier_rayleigh(kernel, PLANE, window="hann")
    for direction, colour in (("axis", "C0"), ("diagonal", "C1")):
        lines = [
            found.along(direction, half_angle_degrees=0.0)
            for found in (plain, tapered, closed)
        ]
        kept = (lines[0].frequency > 0) & (lines[0].frequency < 32)
        cycles = lines[0].frequency[kept]
        looks = ({"linestyle": ":"}, {}, {"color": "k", "linestyle": "--"})
        names = (f"{direction}, no window", f"{direction}, Hann", None)
        for line, look, name in zip(lines, looks, names, strict=True):
            axis.loglog(
                cycles, line.energy[kept], **{"color": colour, **look}, label=name
            )
        print(direction, "measured / closed form, no window and Hann:")
        for k in (4, 8, 12, 16, 20, 24, 28):
            place = int((lines[0].frequency - k).abs().argmin())
            ratios = [
                float(line.energy[place] / lines[2].energy[place]) for line in lines
            ]
            at = float(lines[0].frequency[place])
            print(f"  {at:.1f} cycles: {ratios[0]:.3f} {ratios[1]:.3f}")
        slope = lines[1].slope(4.0, 16.0), lines[2].slope(4.0, 16.0)
        print(f"  slope from 4 to 16 cycles {slope[0]:.2f}, closed {slope[1]:.2f}")
    print(f"non-stationarity index of the pyramid {plain.non_stationarity:.3f}")
    axis.plot([], [], "k--", label="closed forms")
    axis.set_title("8 levels of 4 to 32 nodes, plane", fontsize=10)
    axis.set_ylim(1e-7, 1)
    axis.legend(fontsize=7)


def draw_interpolations(axis: Axes) -> None:
    """Draw what smoother weights do to high frequencies."""
    kept = slice(1, 130)
    cycles = LINE.frequencies[kept, 0]
    for interpolation in ("nearest", "linear", "smoothstep", "quintic"):
        kernel = grid_kernel(one_level(17, interpolation=interpolation), LINE)
        found = fourier_rayleigh(kernel, LINE, window="hann")
        line = axis.loglog(cycles, found.energy[kept], label=interpolation)[0]
        closed = level_spectrum(LINE.frequencies, 1 / 16, interpolation)
        axis.loglog(cycles, closed[kept], "--", color=line.get_color(), linewidth=0.8)
        print(f"{interpolation}: share beyond 24 cycles {found.share_above(24.0):.2e}")
    axis.set_title("interpolation, 16 cells (dashed: closed)", fontsize=10)
    axis.set_ylim(1e-13, 0.2)
    axis.legend(fontsize=7)


def draw_collisions(axis: Axes) -> None:
    """Draw the spectra of hashed levels, and print what becomes of the index."""
    lattice = Lattice((48, 48))
    dense = grid_kernel(one_level(41, convention="tiny-cuda-nn"), lattice)
    reference = fourier_rayleigh(dense, lattice)
    print(f"dense level of 41 nodes: index {reference.non_stationarity:.3f}")
    shells = reference.radial()
    axis.loglog(shells.frequency[1:], shells.energy[1:], "k", label="dense, 1681 rows")
    for log2_size in (9, 7, 5):
        size = 2**log2_size
        hashed = HashGridConfig(
            num_levels=1,
            channels_per_level=1,
            base_resolution=41,
            log2_table_size=log2_size,
        )
        kernel = grid_kernel(hashed, lattice)
        found = fourier_rayleigh(kernel, lattice)
        radial = found.radial()
        axis.loglog(radial.frequency[1:], radial.energy[1:], label=f"T = {size}")
        added = kernel.to_dense() - dense.to_dense()
        middle = (lattice.radii > 0) & (lattice.radii < 20)
        ratio = (found.energy / reference.energy)[middle]
        print(
            f"T = {size}: index {found.non_stationarity:.3f}, added to entries times T "
            f"{float(added.mean()) * size:.3f}, deviation over predicted "
            f"{float(added.std()) / collision_deviation(size, 2):.3f}, energy below 20 "
            f"cycles over dense: mean {float(ratio.mean()):.3f}, "
            f"deviation {float(ratio.std()):.3f}"
        )
    axis.set_title("one level of 41 nodes, hashed", fontsize=10)
    axis.set_ylim(1e-5, 3e-3)
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(fontsize=7, loc="lower left")


def count_collisions(num_dims: int, interpolation: Interpolation) -> None:
    """Print what hashes add to entries between points that share no node."""
    size, means, deviations = 256, [], []
    for step in range(12):
        resolution = (400, 60)[num_dims - 2] + 2 * step
        config = HashGridConfig(
            num_levels=1,
            channels_per_level=1,
            base_resolution=resolution,
            log2_table_size=8,
            interpolation=interpolation,
        )
        source = generator(resolution, "collisions")
        x = torch.rand(800, num_dims, generator=source, dtype=torch.float64)
        field = summed(config, num_dims)
        kernel = tangent_kernel(field, x, parameters="grid").to_dense()
        far = kernel[((x[:, None] - x) * resolution).abs().amax(-1) > 2.5]
        means.append(float(far.mean()) * size)
        predicted = collision_deviation(size, num_dims, interpolation)
        deviations.append(float(far.std()) / predicted)
    both = torch.tensor([means, deviations])
    mean, error = both.mean(1).tolist(), (both.std(1) / math.sqrt(12)).tolist()
    print(
        f"collisions, {num_dims}-D, {interpolation}: mean times T {mean[0]:.3f} +- "
        f"{error[0]:.3f}, deviation over predicted {mean[1]:.3f} +- {error[1]:.3f}"
    )


def draw_time_constants(axis: Axes) -> None:
    """Draw how long training takes for each wave: predicted, and solved."""
    lattice = Lattice((240,))
    encoding = DenseGridConfig(num_levels=5, base_resolution=4, growth=2.0)
    kernel = grid_kernel(encoding, lattice)
    system = kernel.eigensystem
    rate = 1 / system.largest
    found = fourier_rayleigh(kernel, lattice)
    constants = found.time_constants(rate, lattice.num_points)
    waves = lattice.transform(system.vectors).abs().square()
    steps = torch.logspace(0, 7, 2000, dtype=torch.float64)
    decay = (-rate * steps[:, None] * system.clipped).exp()
    left = waves @ decay.T  # [frequency, step]
    solved = torch.tensor([
        float(steps[int(row.argmin())]) if row.min() == 0 else math.nan
        for row in (left > math.exp(-1)).long()
    ])
    kept = slice(1, 64)
    cycles = lattice.frequencies[kept, 0]
    axis.loglog(cycles, solved[kept], label="until 1/e is left")
    axis.loglog(cycles, constants[kept], "--", label=r"$\tau(k) = 1/(\eta\,n\,S(k))$")
    axis.set_title("steps to learn a wave, 4 to 64 nodes", fontsize=10)
    axis.set_ylabel("steps")
    axis.legend(fontsize=7)
    for k in (1, 4, 16, 32, 48):
        print(f"wave {k}: tau {float(constants[k]):.1f}, solved {float(solved[k]):.1f}")


def draw_large(axis: Axes) -> None:
    """Draw a lattice of 65 536 points, whose kernel is never dense."""
    lattice = Lattice((256, 256))
    encoding = HashGridConfig(num_levels=10, log2_table_size=14, base_resolution=8)
    encoding = encoding.reaching(192)
    kernel = grid_kernel(encoding, lattice)
    found = shell_spectrum(
        kernel, lattice, generator(0, "probes"), probes=6, window="hann"
    )
    closed = closed_form(encoding, lattice).radial(lattice.octave_edges())
    kept = found.frequency > 0
    axis.errorbar(
        found.frequency[kept],
        found.energy[kept],
        found.standard_error[kept],
        fmt="o",
        markersize=3,
        label="6 probes per shell",
    )
    axis.loglog(closed.frequency[kept], closed.energy[kept], "k--", label="closed form")
    axis.set_title("10 levels to 192 nodes, M = 65 536", fontsize=10)
    axis.legend(fontsize=7)
    for place in range(len(found.energy)):
        k, ratio = (
            float(found.frequency[place]),
            float(found.energy[place] / closed.energy[place]),
        )
        error = float(found.standard_error[place] / closed.energy[place])
        print(f"shell at {k:.1f}: measured / closed {ratio:.3f} +- {error:.3f}")


def main(target: Path) -> None:
    """Draw everything."""
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    draw_rows(axes[0])
    draw_pyramid(axes[1])
    draw_interpolations(axes[2])
    draw_collisions(axes[3])
    count_collisions(2, "nearest")
    count_collisions(2, "linear")
    count_collisions(3, "linear")
    draw_time_constants(axes[4])
    draw_large(axes[5])
    for axis in axes:
        axis.set_xlabel("frequency k (cycles per side)")
    axes[0].set_ylabel("energy S(k)")
    axes[3].set_ylabel("energy S(k)")
    figure.savefig(target, dpi=92, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "kernel_spectra.png"))
