"""Look at the kernels of Fourier features: direction, place, and bandwidth.

Makes the picture of `docs/fourier-features.md` and prints the numbers there:
``python examples/06_fourier_features.py OUT.png``. Runs for half a minute.
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.wide.finite_width import FiniteReluNetwork
from tangrid.tangent.wide.fourier_kernel import anisotropy, induced_profile, on_torus
from tangrid.tangent.wide.infinite_width import ReluNetwork, infinite_width
from tangrid.tangent.wide.stationary_filter import composed_profile, stationary_filter

NETWORK = ReluNetwork(num_hidden=3)
RADII = torch.linspace(0.01, 0.25, 25)
FREQUENCY_COUNTS = (8, 16, 32, 64, 128, 256, 512, 1024)
BANDWIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
WIDTHS = (16, 32, 64, 128, 256, 512)
AXES = {"family": "posenc-new-linear", "octaves": 5.0}
GAUSSIAN = {"family": "gaussian", "bandwidth_cycles": 10.0}


def features(num_dims: int, seed: int = 0, **settings: object) -> FourierEncoding:
    """Return Fourier features over the line or the plane."""
    site = Site(num_dims=num_dims, num_channels=1)
    return FourierConfig(**settings).build(site, generator(seed, "frequencies"))


def listed(names: tuple[int, ...], values: torch.Tensor) -> str:
    """Return numbers with what they belong to."""
    pairs = zip(names, values.tolist(), strict=True)
    return ", ".join(f"{name}: {value:.4f}" for name, value in pairs)


def profile_map(encoding: FourierEncoding, deep: bool) -> torch.Tensor:
    """Return the kernel between the middle and its surroundings, 1 in the middle."""
    side = torch.linspace(-0.25, 0.25, 101, dtype=torch.float64)
    offsets = torch.cartesian_prod(side, side).flip(1)
    if deep:
        values = composed_profile(encoding, offsets, network=NETWORK)
    else:
        values = induced_profile(encoding, offsets)
    return values.reshape(101, 101) / values.max()


def draw_maps(axes: list[Axes]) -> None:
    """Draw how the kernel falls off in the plane."""
    maps = {
        "positional: $h_\\gamma$": (features(2, num_frequencies=64, **AXES), False),
        "Gaussian: $h_\\gamma$": (features(2, num_frequencies=128, **GAUSSIAN), False),
        "Gaussian, then a\nwide network": (
            features(2, num_frequencies=128, **GAUSSIAN),
            True,
        ),
    }
    for axis, (title, (encoding, deep)) in zip(axes, maps.items(), strict=True):
        shown = axis.imshow(
            profile_map(encoding, deep),
            extent=(-0.25, 0.25, 0.25, -0.25),
            cmap="RdBu_r",
            vmin=-1,
            vmax=1,
        )
        axis.set_title(title, fontsize=10)
        axis.set_xticks([-0.2, 0, 0.2])
        axis.set_yticks([-0.2, 0, 0.2])
    axes[0].figure.colorbar(shown, ax=axes[2], shrink=0.8)


def draw_anisotropy(axis: Axes) -> None:
    """Draw the share of the kernel that depends on direction."""
    for name, settings in {"positional": AXES, "Gaussian": GAUSSIAN}.items():
        shares = torch.tensor([
            [
                anisotropy(features(2, seed, num_frequencies=m, **settings), RADII)
                for m in FREQUENCY_COUNTS
            ]
            for seed in range(5 if name == "Gaussian" else 1)
        ]).mean(0)
        axis.loglog(FREQUENCY_COUNTS, shares, "o-", markersize=3, label=name)
        print(f"anisotropy, {name}:", listed(FREQUENCY_COUNTS, shares))
    axis.set_title("share that depends\non direction", fontsize=10)
    axis.set_xlabel("frequencies m")
    axis.legend(fontsize=8)


def draw_rows(axis: Axes, encoding: FourierEncoding | None, title: str) -> None:
    """Draw the kernel between three points of the line and all others."""
    x = torch.linspace(0, 1, 401, dtype=torch.float64)[:, None]
    centres = torch.tensor([[0.1], [0.5], [0.8]], dtype=torch.float64)
    # Without a bias, networks on the line know nothing but the sign of x.
    network = NETWORK if encoding else ReluNetwork(num_hidden=3, bias_variance=0.1)
    rows = infinite_width(x, centres, network=network, features=encoding).ntk
    peaks = infinite_width(centres, network=network, features=encoding).ntk
    for centre, row, peak in zip(centres, rows.T, peaks.diagonal(), strict=True):
        line = axis.plot(x, row, linewidth=1)[0]
        axis.plot(centre, peak, "o", color=line.get_color(), markersize=3)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("x")
    axis.set_ylim(bottom=0)
    change = float(peaks.diagonal().max() / peaks.diagonal().min())
    print(f"{title!r}: K(x, x) changes by a factor of {change:.6f}")


def draw_spectra(axis: Axes) -> None:
    """Draw the filter's spectrum on a periodic line, as the bandwidth grows."""
    lattice = Lattice((4096,))
    for number, bandwidth in enumerate(BANDWIDTHS):
        encoding = features(1, num_frequencies=512, bandwidth_cycles=bandwidth)
        spectrum = stationary_filter(
            on_torus(encoding), lattice, network=NETWORK
        ).spectrum
        radial = spectrum.radial(lattice.octave_edges(4))
        energy = radial.energy / spectrum.total
        above = (radial.frequency > 0) & (radial.frequency < 600)
        colour = f"C{number}"
        label = f"{bandwidth:g}"
        axis.loglog(radial.frequency[above], energy[above], color=colour, label=label)
        print(
            f"sigma {bandwidth:g}: share of the energy at 32 cycles and beyond "
            f"{spectrum.share_above(32.0):.4f}; slope between 256 and 512 cycles "
            f"{spectrum.radial().slope(256.0, 512.0):.2f}"
        )
    axis.set_title("spectrum of the filter\nfor bandwidths $\\sigma$", fontsize=10)
    axis.set_xlabel("frequency k (cycles)")
    axis.set_ylim(1e-8, 1)
    axis.legend(fontsize=6, ncols=2, loc="lower left")


def print_plane() -> None:
    """Print the same in the plane."""
    lattice = Lattice((64, 64))
    for bandwidth in BANDWIDTHS[:-1]:
        encoding = features(2, num_frequencies=512, bandwidth_cycles=bandwidth)
        spectrum = stationary_filter(
            on_torus(encoding), lattice, network=NETWORK
        ).spectrum
        print(
            f"plane, sigma {bandwidth:g}: share of the energy at 8 cycles and beyond "
            f"{spectrum.share_above(8.0):.4f}"
        )


def draw_convergence(axis: Axes) -> None:
    """Draw how networks of finite width approach the limit."""
    encoding = features(1, num_frequencies=16, bandwidth_cycles=2.0).double()
    x = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)[:, None]
    limit = infinite_width(x, network=NETWORK, features=encoding).ntk
    errors = torch.zeros(len(WIDTHS), 20, dtype=torch.float64)
    for row, width in enumerate(WIDTHS):
        for seed in range(20):
            drawn = generator(seed, "width", width)
            model = FiniteReluNetwork(NETWORK, 32, width, 1, drawn, encoding)
            kernel = tangent_kernel(model, x, implementation="jacobian").to_dense()
            errors[row, seed] = (kernel - limit).norm() / limit.norm()
    mean = errors.square().mean(1).sqrt()
    axis.loglog(WIDTHS, errors, ".", color="0.7", markersize=3)
    axis.loglog(WIDTHS, mean, "o-", markersize=3, label="measured")
    guide = [float(mean[0]) * (WIDTHS[0] / width) ** 0.5 for width in WIDTHS]
    axis.loglog(WIDTHS, guide, "k--", linewidth=1, label="1 / root of width")
    axis.set_title("finite width: distance\nto the limit", fontsize=10)
    axis.set_xlabel("width")
    axis.set_xticks(WIDTHS, WIDTHS, fontsize=8)
    axis.minorticks_off()
    axis.legend(fontsize=8)
    print("distance to the limit:", listed(WIDTHS, mean))


def main(target: Path) -> None:
    """Draw everything."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 4)
    draw_maps(list(axes[0, :3]))
    draw_anisotropy(axes[0, 3])
    draw_rows(axes[1, 0], None, "NTK of coordinates:\nchanges with the place")
    encoding = features(1, num_frequencies=128, bandwidth_cycles=4.0)
    draw_rows(axes[1, 1], encoding, "behind Fourier features:\nthe same everywhere")
    draw_spectra(axes[1, 2])
    print_plane()
    draw_convergence(axes[1, 3])
    figure.savefig(target, dpi=95, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fourier_features.png"))
