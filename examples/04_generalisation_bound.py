"""Ask the generalisation bound of Theorem 3 whether it holds, and what it is good for.

Makes the picture of `docs/theorem-3.md` and prints the numbers there:
``python examples/04_generalisation_bound.py OUT.png``. Runs for a minute or two.
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

import tangrid as tg
from tangrid.decoders import LinearConfig, ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    IdentityConfig,
    MulfaGridConfig,
)
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.generalisation.bound import generalisation_bound
from tangrid.tangent.generalisation.bound_forms import confidence_term
from tangrid.tangent.generalisation.bound_map import (
    BoundMap,
    map_difference,
    two_point_map,
)
from tangrid.tangent.generalisation.bound_trials import bound_trials
from tangrid.tangent.generalisation.norm_rules import FixedNorm

NODES = 16
SIZES = (32, 128, 512, 2048, 8192)
NUM_DRAWS = 80
IMAGES = ("astronaut", "camera")
SIDE, NUM_TRAINED, STEPS = 32, 512, 300
SITE = Site(num_dims=2, num_channels=1, resolution=(SIDE, SIDE))
INFINITE = 100.0  # where infinite bounds are drawn
RATES = {"grid": 2e-2, "kernel": 1e-2, "decoder": 5e-3}
MLP = ReluMlpConfig(bias=True, init="uniform")
PIXELS = 128  # along a side of the image that the two-point maps are about
DISTANCES = (0.25, 1.0, 4.0, 16.0)
NUM_PAIRS = 40
COARSE = {"num_levels": 5, "base_resolution": 4}


def of(encoding, decoder=MLP) -> FieldConfig:  # noqa: ANN001
    """Return a field with an encoding and a decoder."""
    return EncodedFieldConfig(encoding=encoding, decoder=decoder)


def encoders() -> dict[str, FieldConfig]:
    """Return the models whose order the bound is asked for."""
    found = {"coordinates": of(IdentityConfig())}
    for sigma in (1.0, 2.0, 4.0, 8.0, 16.0):
        waves = FourierConfig(num_frequencies=64, bandwidth_cycles=sigma)
        found[f"Fourier {sigma:g}"] = of(waves)
    for nodes in (4, 8, 16, 32):
        grid = DenseGridConfig(num_levels=1, base_resolution=nodes)
        found[f"grid {nodes}"] = of(grid)
    for finest, size in ((16, 6), (16, 10), (32, 6), (32, 10)):
        table = HashGridConfig(**COARSE, log2_table_size=size).reaching(finest)
        found[f"hash {finest}, 2^{size} rows"] = of(table)
    mulfa = MulfaGridConfig(
        **COARSE, log2_table_size=10, index_mode="normalised", gate_bandwidth=30.0
    )
    found["MulFAGrid 16"] = of(mulfa.reaching(16), SineResidualMlpConfig())
    return found


# A case where the bound says something.


def line() -> Field:
    """Return piecewise linear functions of [0, 1], trained by their nodes."""
    grid = DenseGridConfig(num_levels=1, base_resolution=NODES, channels_per_level=1)
    site = Site(num_dims=1, num_channels=1)
    field = of(grid, LinearConfig(bias=False)).build(site, generator(0, "init"))
    with torch.no_grad():
        field.get_parameter("decoder.output.weight").fill_(1.0)
    return field


def noisy_wave(count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return independent points with noisy labels in [-1, 1]."""
    x, noise = torch.rand(2, count, 1, generator=source, dtype=torch.float64)
    return x, 0.7 * torch.sin(2 * math.pi * x) + 0.3 * (2 * noise - 1)


def draw_sizes(axis: Axes) -> None:
    """Draw bound and true loss over the number of samples."""
    bounds, losses = [], []
    for size in SIZES:
        found = bound_trials(
            line(),
            "grid",
            noisy_wave,
            num_points=size,
            num_trials=NUM_DRAWS,
            descent=GradientDescent(10 / size),
            time=200.0,
            # Fixed beforehand: holds all functions whose nodes are in [-1, 1].
            norm=FixedNorm(math.sqrt(NODES)),
            generator=generator(0, "draws"),
        )
        print(f"n = {size}: {found}")
        bounds.append(float(found.bounds.max()))
        losses.append(float(found.population_losses.max()))
    axis.loglog(SIZES, bounds, ".-", label="bound")
    axis.loglog(SIZES, losses, ".-", label="true loss")
    axis.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    axis.set_yticks([], minor=True)
    axis.axhline(1, color="grey", linestyle=":", label="vacuous above")
    axis.set_title(f"line of {NODES} nodes, worst of {NUM_DRAWS} draws", fontsize=10)
    axis.set_xlabel("samples n")
    axis.legend()


# The map of two points.


def preset(name: str) -> Field:
    """Return a preset of 30 000 parameters for an image of 128 by 128 pixels."""
    size = (PIXELS, PIXELS)
    return tg.build(name, num_dims=2, num_channels=1, params=30_000, resolution=size)


def linear(encoding) -> Field:  # noqa: ANN001
    """Return a grid behind one and the same linear decoder."""
    field = of(encoding, LinearConfig()).build(SITE, generator(0, "init"))
    with torch.no_grad():
        weight = field.get_parameter("decoder.output.weight")
        weight.uniform_(-0.25, 0.25, generator=generator(0, "decoder"))
    return field


def maps(field: Field, distance: float, *, memory: bool = False) -> list[BoundMap]:
    """Return the maps of random pairs of points so many pixels apart.

    With ``memory`` the kernel is its diagonal: a model that links no two points.
    """
    source = generator(0, "pairs", str(distance))
    first = 0.05 + 0.9 * torch.rand(NUM_PAIRS, 2, generator=source)
    angle = 2 * math.pi * torch.rand(NUM_PAIRS, generator=source)
    way = torch.stack((angle.cos(), angle.sin()), dim=1)
    second = (first + distance / PIXELS * way).clamp(0, 1)
    kernel = tangent_kernel(field, torch.cat((first, second)), parameters="grid")
    whole = kernel.to_dense()
    if memory:
        whole = whole.diagonal().diag()
    pairs = torch.arange(NUM_PAIRS)[:, None] + torch.tensor([0, NUM_PAIRS])
    return [
        two_point_map(DenseKernel(whole[pair][:, pair]), num_labels=41)
        for pair in pairs
    ]


def trained(name: str) -> Field:
    """Return a preset that was fitted to an image."""
    image = tg.ImageSignal.open("astronaut", crop="256x256+96+0", downscale=2)
    run = tg.fit(image, model=name, params=30_000, steps=200, progress=False)
    print(f"{name} fitted: {run.metrics['psnr']:.1f} dB")
    return run.field


def print_shares() -> None:
    """Print for what share of labels the first of two models has the lower bound."""
    plain = HashGridConfig(num_levels=8, base_resolution=8, growth=1.4)
    bent = MulfaGridConfig(
        num_levels=8, base_resolution=8, growth=1.4, output_scale=1.0
    )
    ngp, fitted = preset("instant-ngp"), trained("mulfagrid-16")
    compare("MulFAGrid, InstantNGP, untrained", preset("mulfagrid-16"), ngp)
    compare("MulFAGrid, InstantNGP, trained", fitted, trained("instant-ngp"))
    sine = trained("instant-ngp-sine")
    compare("MulFAGrid, the same grid without its kernel, trained", fitted, sine)
    compare("MulFAGrid, grid, one linear decoder", linear(bent), linear(plain))
    compare("memory, InstantNGP, untrained", ngp, ngp, memory=True)


def compare(title: str, one: Field, other: Field, *, memory: bool = False) -> None:
    """Print shares and traces of random pairs at several distances."""
    for distance in DISTANCES:
        firsts = maps(one, distance, memory=memory)
        seconds = maps(other, distance)
        rows = [map_difference(a, b) for a, b in zip(firsts, seconds, strict=True)]
        # Pairs whose maps are equal have no share.
        raw = torch.tensor([row.share_lower_raw for row in rows]).nanmean()
        normal = torch.tensor([row.share_lower_normalised for row in rows]).nanmean()
        traces = sum(m.trace for m in firsts) / sum(m.trace for m in seconds)
        print(
            f"{title}, {distance:g} px: lower raw {raw:.2f}, trace-normalised "
            f"{normal:.2f}; ratio of traces {traces:.2g}"
        )


def draw_maps(axes: list[Axes], figure: Figure) -> None:
    """Draw how the maps of two presets differ at one pair of points."""
    one, other = (
        maps(preset(name), 1.0)[0] for name in ("mulfagrid-16", "instant-ngp")
    )
    found = map_difference(one, other)
    forms = {"raw": found.raw, "trace-normalised": found.trace_normalised}
    for axis, (form, difference) in zip(axes, forms.items(), strict=True):
        most = float(difference.abs().max())
        shown = axis.imshow(
            difference.T,
            origin="lower",
            extent=(-1, 1, -1, 1),
            cmap="RdBu_r",
            vmin=-most,
            vmax=most,
        )
        axis.set_title(f"MulFAGrid - InstantNGP, {form}", fontsize=10)
        axis.set_xlabel("Y1")
        axis.set_ylabel("Y2")
        figure.colorbar(shown, ax=axis)


# Does the bound rank models?


def study(name: str) -> dict[str, tuple[float, ...]]:
    """Return scores of the initial kernel, and the test PSNR reached, by model."""
    image = tg.ImageSignal.open(name, crop="256x256", downscale=SIDE // 4)
    pixels = torch.randperm(SIDE * SIDE, generator=generator(0, "split"))
    x, y = image.pixel_coords(pixels), image.pixel_values(pixels).mean(1, keepdim=True)
    memory = 2 * float(y[:NUM_TRAINED].square().mean().sqrt())
    chance = confidence_term(NUM_TRAINED, 0.05)
    print(f"{name}, a kernel that links no two points: {memory + chance:.3g}")
    found = {}
    for label, config in encoders().items():
        field = config.build(SITE, generator(0, "init"))
        scores = scores_of(field, x[:NUM_TRAINED], y[:NUM_TRAINED])
        best = best_psnr(field, x, y)
        shown = ", ".join(f"{score:.3g}" for score in scores)
        print(f"{name}, {label}: {shown}; reached {best:.2f} dB")
        found[label] = (*scores, best)
    return found


def scores_of(field: Field, x: Tensor, y: Tensor) -> tuple[float, float, float, float]:
    """Return three bounds and the leave-one-out error of the initial kernel."""
    kernel = tangent_kernel(field, x)
    with torch.no_grad():
        initial = field(x)
    rate = 1 / kernel.eigensystem.largest
    bound = generalisation_bound(
        kernel, y, initial, descent=GradientDescent(rate), time=float(STEPS)
    )
    regression = KernelRegression(kernel, y, initial)
    errors = regression.leave_one_out(regression.relative_ridge(1e-3))
    return (*(form.total for form in bound.forms), float(errors.square().mean()))


def best_psnr(field: Field, x: Tensor, y: Tensor) -> float:
    """Return the best test PSNR while the first pixels are trained on with Adam."""
    groups = field.parameter_groups()
    options = [{"params": p, "lr": RATES[group]} for group, p in groups.items()]
    optimizer, best = torch.optim.Adam(options), 0.0
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        residual = field(x[:NUM_TRAINED]) - y[:NUM_TRAINED]
        residual.square().mean().backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                mse = (field(x[NUM_TRAINED:]) - y[NUM_TRAINED:]).square().mean()
            best = max(best, float(-10 * mse.log10()))
    return best


def draw_ranking(axes: list[Axes]) -> None:
    """Draw test PSNR over each score, and print how well each one ranks."""
    found = {name: list(study(name).values()) for name in IMAGES}
    titles = ("raw", "trace-normalised bound", "finite-time bound", "leave-one-out MSE")
    for index, title in enumerate(titles):
        ranks = []
        for name, rows in found.items():
            scores, reached = [row[index] for row in rows], [row[-1] for row in rows]
            ranks.append(spearmanr([-score for score in scores], reached).statistic)
            if index > 0:
                shown = [min(score, INFINITE) for score in scores]
                axes[index - 1].plot(shown, reached, ".", label=name)
        told = ", ".join(f"{rank:+.2f}" for rank in ranks)
        print(f"{title}: Spearman {told} for {', '.join(IMAGES)}")
        if index > 0:
            axes[index - 1].set_title(f"rank correlation {told}", fontsize=10)
            axes[index - 1].set_xlabel(title)
    axes[0].set_xscale("log")
    axes[0].set_xticks([1, 10, INFINITE], ["1", "10", "infinite"])
    axes[0].set_ylabel("test PSNR, dB")
    axes[0].legend()
    axes[2].set_xscale("log")


def main(target: Path) -> None:
    """Draw what holds above, and what it is good for below."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    draw_sizes(axes[0, 0])
    print_shares()
    draw_maps(list(axes[0, 1:]), figure)
    draw_ranking(list(axes[1]))
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "generalisation_bound.png"))
