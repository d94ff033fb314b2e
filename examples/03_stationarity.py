"""Measure how far tangent kernels move in training, and which must stay (Theorem 2).

Makes the picture of `docs/theorem-2.md` and prints the numbers there:
``python examples/03_stationarity.py OUT.png``. Runs for about a minute.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import tangrid as tg
from tangrid.decoders import LinearConfig, ReluMlpConfig, SineResidualMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    IdentityConfig,
    MulfaGridConfig,
)
from tangrid.errors import NumericalError
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig, SirenConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.dynamics.drift import KernelDrift, drift_curve
from tangrid.tangent.dynamics.stationarity import stationarity

SIDE = 32
NUM_PROBES = 192
LOWEST_PSNR = 10.0  # of a fit that did not diverge
STEPS = (1, 3, 10, 30, 100, 300)
ADAM_RATES = {"grid": 2e-2, "kernel": 3e-2, "decoder": 5e-3}
SITE = Site(num_dims=2, num_channels=1, resolution=(SIDE, SIDE))
HASH = HashGridConfig(
    num_levels=5, base_resolution=4, growth=1.5, log2_table_size=7
)  # the finest levels have 169 and 400 vertices for 128 rows
MULFA = MulfaGridConfig(
    num_levels=5,
    base_resolution=4,
    log2_table_size=7,
    index_mode="normalised",
    gate_bandwidth=300.0,
    output_scale=0.0,
)
WAVES = FourierConfig(num_frequencies=64, bandwidth_cycles=3.0)


def of(encoding, decoder=None) -> FieldConfig:  # noqa: ANN001
    """Return a field with an encoding and a decoder, linear by default."""
    return EncodedFieldConfig(encoding=encoding, decoder=decoder or LinearConfig())


MODELS: dict[str, tuple[FieldConfig, str]] = {
    "dense grid, features": (of(DenseGridConfig(base_resolution=4)), "grid"),
    "hash grid, features": (of(HASH), "grid"),
    "Fourier, linear": (of(WAVES), "all"),
    "hash grid, linear decoder": (of(HASH), "all"),
    "hash grid, MLP": (of(HASH, ReluMlpConfig()), "all"),
    "MulFAGrid, sine MLP": (of(MULFA, SineResidualMlpConfig()), "all"),
    "Fourier, MLP": (of(WAVES, ReluMlpConfig(bias=True, init="uniform")), "all"),
    "coordinates, MLP": (
        of(IdentityConfig(), ReluMlpConfig(bias=True, init="uniform")),
        "all",
    ),
    "SIREN": (SirenConfig(width=64, num_hidden=2), "all"),
}
TRACKED = "hash grid, MLP"


class Training:
    """Fit one field to all pixels at once."""

    def __init__(self, field: Field, trained: str, share: float | None) -> None:
        image = tg.ImageSignal.open("astronaut", crop="128x128+160+50", downscale=4)
        pixels = torch.arange(SIDE * SIDE)
        self.coords = image.pixel_coords(pixels)
        self.targets = image.pixel_values(pixels).mean(1, keepdim=True)
        self.field, self.done = field, 0
        groups = field.parameter_groups()
        chosen = {g: p for g, p in groups.items() if trained in ("all", g)}
        if share is None:
            options = [{"params": p, "lr": ADAM_RATES[g]} for g, p in chosen.items()]
            self.optimizer = torch.optim.Adam(options)
        else:
            kernel = tangent_kernel(field, self.coords, parameters=trained)
            limit = 2 / float(kernel.eigenvalues(1)[0])
            everything = [p for members in chosen.values() for p in members]
            self.optimizer = torch.optim.SGD(everything, lr=share * limit)

    def to(self, step: int) -> None:
        """Train until so many steps are made in all."""
        for _ in range(step - self.done):
            self.optimizer.zero_grad()
            residual = self.field(self.coords) - self.targets
            (0.5 * residual.square().sum()).backward()
            self.optimizer.step()
        self.done = step

    @property
    def psnr(self) -> float:
        """Quality of the fit in decibels."""
        with torch.no_grad():
            mse = (self.field(self.coords) - self.targets).square().mean()
        return float(-10 * mse.log10())


def curve_of(
    config: FieldConfig, trained: str, share: float | None
) -> tuple[dict[int, KernelDrift], float]:
    """Return the drift of one model on random points, and how well it fits."""
    field = config.build(SITE, generator(0, "init"))
    probes = torch.rand(NUM_PROBES, 2, generator=generator(0, "probes"))
    training = Training(field, trained, share)
    curve = drift_curve(
        lambda: tangent_kernel(field, probes, parameters=trained), training.to, STEPS
    )
    return curve, training.psnr


def descended(
    config: FieldConfig, trained: str
) -> tuple[dict[int, KernelDrift], float, float]:
    """Return the same for the largest rate at which gradient descent survives."""
    share = 0.5  # of what the initial kernel allows
    while True:
        try:
            curve, psnr = curve_of(config, trained, share)
        except NumericalError:
            psnr = -math.inf
        if psnr > LOWEST_PSNR:
            return curve, psnr, share
        share /= 4


def all_curves() -> Iterator[tuple[str, str, dict[int, KernelDrift]]]:
    """Yield the drift of every model under both optimisers, and print it.

    Yields:
        Model, optimiser and drift by step.
    """
    for name, (config, trained) in MODELS.items():
        field = config.build(SITE, generator(0, "init"))
        print(f"{name}: {stationarity(field, trained)}")
        curve, psnr, share = descended(config, trained)
        report(f"descent at {share:g} of the limit", curve, psnr)
        yield name, "descent", curve
        curve, psnr = curve_of(config, trained, None)
        report("Adam", curve, psnr)
        yield name, "Adam", curve


def report(how: str, curve: dict[int, KernelDrift], psnr: float) -> None:
    """Print the drift at the end."""
    end = curve[STEPS[-1]].whole
    print(
        f"  {how}, {psnr:.1f} dB: change {end.relative:.3g} = scale "
        f"{end.scale - 1:+.3g} and rest {end.rest:.3g}; alignment "
        f"{end.alignment:.4f}; angle {end.leading.degrees:.0f} degrees "
        f"(top {end.leading.num_leading})"
    )


def trained_shares() -> dict[str, tuple[float, float]]:
    """Return each part's share of the trace, before and after training with Adam."""
    config, trained = MODELS[TRACKED]
    field = config.build(SITE, generator(0, "init"))
    probes = torch.rand(NUM_PROBES, 2, generator=generator(0, "probes"))
    shares = []
    training = Training(field, trained, None)
    for step in (0, STEPS[-1]):
        training.to(step)
        kernel = tangent_kernel(field, probes, parameters=trained)
        whole = float(kernel.diagonal().sum())
        traces = {n: float(p.diagonal().sum()) for n, p in kernel.parts.items()}
        shares.append({name: trace / whole for name, trace in traces.items()})
    return {name: (shares[0][name], shares[1][name]) for name in shares[0]}


def draw_parts(axis: Axes) -> None:
    """Draw which part of a field its kernel comes from, before and after training."""
    shares = trained_shares()
    places = torch.arange(len(shares))
    for offset, when in ((-0.2, "before"), (0.2, "after")):
        heights = [pair[when == "after"] for pair in shares.values()]
        axis.bar(places + offset, heights, 0.4, label=when, log=True)
    names = [n.removeprefix("encoding.table, ") for n in shares]
    names = [n.replace("decoder.layers.", "layer ") for n in names]
    axis.set_xticks(places, names, rotation=30)
    axis.set_ylim(1e-8, 30)
    axis.set_title(f"share of the trace, {TRACKED}, Adam")
    axis.legend(ncols=2, loc="upper center")
    for name, (before, after) in shares.items():
        print(f"  {name}: {before:.3g} of the trace before, {after:.3g} after")


def main(target: Path) -> None:
    """Draw change and alignment over the steps, and the parts of one model."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 2)
    styles = {
        # The three that stay lie on each other: broad below narrow.
        name: {"color": f"C{index}", "linewidth": max(7 - 2.5 * index, 1.5)}
        for index, name in enumerate(MODELS)
    }
    for name, optimizer, curve in all_curves():
        upper = axes[0, 0 if optimizer == "descent" else 1]
        steps, changes = list(curve), [drift.whole for drift in curve.values()]
        relative = [change.relative for change in changes]
        upper.plot(steps, relative, ".-", label=name, **styles[name])
        if optimizer == "Adam":
            alignment = [change.alignment for change in changes]
            axes[1, 0].semilogx(steps, alignment, ".-", **styles[name])
    draw_parts(axes[1, 1])
    for axis, how in zip(axes[0], ("gradient descent", "Adam"), strict=True):
        axis.set_title(f"relative change, {how}")
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=1e-4)
        axis.set_ylim(-3e-5, 300)
        axis.set_yticks([0, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100])
    axes[1, 0].set_title("alignment with the initial kernel, Adam")
    axes[1, 0].set_xlabel("step")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right")
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "stationarity.png"))
