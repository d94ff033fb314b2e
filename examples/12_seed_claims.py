"""Check two claims about MulFAGrid's tangent kernel: frequencies, and two-point bounds.

Makes the picture of `docs/seed-claims.md` and prints the numbers there:
``python examples/12_seed_claims.py OUT.png``. Runs for one to two minutes.
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import tangrid as tg
from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import EncodingConfig, HashGridConfig
from tangrid.fields import EncodedFieldConfig, Field, fit_budget
from tangrid.presets import find_model
from tangrid.seeding import generator
from tangrid.tangent import DenseKernel, tangent_kernel
from tangrid.tangent.generalisation.bound_map import (
    BoundMap,
    map_difference,
    two_point_map,
)
from tangrid.tangent.spectra.fourier_spectrum import fourier_rayleigh, row_spectrum
from tangrid.tangent.spectra.lattice import Lattice
from tangrid.tangent.spectra.spectrum_record import ShellSpectrum

SIDE = 40
HIGH = SIDE / 4
SEEDS = (0, 1, 2)
STEPS = 150
LATTICE = Lattice((SIDE, SIDE))
IMAGE = tg.ImageSignal.open("astronaut", crop="200x200+126+0", downscale=5)
SITE = IMAGE.site
LEVELS = {"num_levels": 8, "base_resolution": 4, "growth": 5 ** (1 / 7)}
ENCODING_PARAMETERS, FIELD_PARAMETERS = 6_000, 12_000
DISTANCES = (1, 2, 4, 8)
NUM_PAIRS = 16

# Models without levels to share join every comparison at equal parameters.
JOINING = ["neurbf"]
PRESETS = [
    "instant-ngp",
    "instant-ngp-sine",
    "mulfagrid-16",
    "mulfagrid-paper",
    *JOINING,
]


@dataclass(frozen=True)
class Measured:
    """What is looked at in one kernel.

    Attributes:
        rayleigh: Radial Fourier-Rayleigh spectrum under a Hann window.
        row: Radial spectrum of the row at the middle, the papers' way.
        high: Share of ``rayleigh`` at and beyond half the lattice's Nyquist frequency.
        high_row: The same of ``row``.
        index: Non-stationarity.
        trace: Mean of the diagonal.
        maps: Bounds for all labels of pairs of points, by distance in pixels.
        correlations: Mean of K(x, y) over the root of K(x, x) K(y, y), by distance.
        note: Finest level, or what training reached.
    """

    rayleigh: ShellSpectrum
    row: ShellSpectrum
    high: float
    high_row: float
    index: float
    trace: float
    maps: dict[int, list[BoundMap]]
    correlations: dict[int, float]
    note: str


def measure(field: Field, note: str = "") -> Measured:
    """Return spectra and bounds of a field's grid tangent kernel at the pixels."""
    coords = LATTICE.coords()
    kernel = tangent_kernel(field, coords, parameters="grid", outputs="trace")
    dense = DenseKernel(kernel.to_dense(), outputs="trace")
    rayleigh = fourier_rayleigh(dense, LATTICE, window="hann")
    row = row_spectrum(dense, LATTICE, window="hann")
    # Bounds are about one channel: here about one with the mean of all kernels.
    mean = DenseKernel(dense.matrix / field.num_channels)
    found = {distance: pairs_of(mean, distance) for distance in DISTANCES}
    return Measured(
        rayleigh=rayleigh.radial(),
        row=row.radial(),
        high=rayleigh.share_above(HIGH),
        high_row=row.share_above(HIGH),
        index=fourier_rayleigh(dense, LATTICE).non_stationarity or 0.0,
        trace=float(dense.diagonal().mean()),
        maps={
            distance: [two_point_map(pair, num_labels=40) for pair in pairs]
            for distance, pairs in found.items()
        },
        correlations={
            distance: sum(map(correlation, pairs)) / NUM_PAIRS
            for distance, pairs in found.items()
        },
        note=note,
    )


def correlation(kernel: DenseKernel) -> float:
    """Return the cosine of the angle between the gradients at two points."""
    scale = kernel.matrix.diagonal().prod().sqrt()
    return float(kernel.matrix[0, 1] / scale)


def pairs_of(kernel: DenseKernel, distance: int) -> list[DenseKernel]:
    """Return the kernels of pairs of pixels, the same pairs for every model."""
    source = generator(0, "pairs", distance)
    columns = torch.randint(SIDE - distance, (NUM_PAIRS,), generator=source)
    rows = torch.randint(SIDE, (NUM_PAIRS,), generator=source)
    found = []
    for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
        pair = torch.tensor([row * SIDE + column, row * SIDE + column + distance])
        # Half of the pairs lie one above the other.
        if len(found) % 2:
            pair = torch.tensor([column * SIDE + row, (column + distance) * SIDE + row])
        matrix = kernel.matrix[pair][:, pair]
        found.append(DenseKernel(matrix))
    return found


def encodings() -> dict[str, EncodingConfig]:
    """Return the plain grid and MulFAGrid's kernels, on the same levels."""
    ours = dataclasses.replace(find_model("mulfagrid-16").field.encoding, **LEVELS)
    paper = dataclasses.replace(find_model("mulfagrid-paper").field.encoding, **LEVELS)
    return {
        "plain grid": HashGridConfig(log2_table_size=24, **LEVELS),
        "preset (0)": ours,
        **{
            f"centred {scale:g}": dataclasses.replace(ours, output_scale=scale)
            for scale in (0.1, 0.3, 1.0)
        },
        "paper": paper,
        **{name: find_model(name).at(SITE).encoding for name in JOINING},
    }


def features_only(encoding: EncodingConfig, params: int | None, seed: int) -> Field:
    """Return a field whose value is the sum of its features."""
    config = EncodedFieldConfig(encoding=encoding, decoder=LinearConfig(bias=False))
    site = dataclasses.replace(SITE, num_channels=1)
    if params is not None:
        config = fit_budget(config, site, params)
    field = config.build(site, generator(seed, "init"))
    torch.nn.init.ones_(field.decoder.output.weight)
    return field


def finest(field: Field) -> str:
    """Return the finest resolution of a field's grid, where it has one."""
    layout = getattr(field.encoding, "layout", None)
    return f"finest {layout.levels[-1].resolution}" if layout else ""


def settings_of(model: str, params: int | None) -> dict[str, str] | None:
    """Return the levels as text; a budget decides their growth itself."""
    if model in JOINING:
        return None
    kept = {name: str(value) for name, value in LEVELS.items()}
    if params is not None:
        del kept["growth"]
    return {f"field.encoding.{name}": value for name, value in kept.items()}


def untrained(model: str, params: int | None, seed: int) -> Measured:
    """Return what a preset is as it is built."""
    config = find_model(model).at(SITE)
    if model not in JOINING:
        levels = dict(LEVELS) if params is None else LEVELS | {"growth": 1.5}
        encoding = dataclasses.replace(config.encoding, **levels)
        config = dataclasses.replace(config, encoding=encoding)
    if params is not None:
        config = fit_budget(config, SITE, params)
    field = config.build(SITE, generator(seed, "init"))
    return measure(field, finest(field))


def trained(model: str, params: int | None, seed: int) -> Measured:
    """Return what a preset is after some training."""
    run = tg.fit(
        IMAGE,
        model=model,
        params=params,
        steps=STEPS,
        seed=seed,
        progress=False,
        settings=settings_of(model, params),
    )
    return measure(run.field, f"{run.metrics['psnr']:.1f} dB")


def extremes(values: Iterable[float], form: str = ".3f") -> str:
    """Return mean and range over seeds."""
    found = list(values)
    mean = sum(found) / len(found)
    return f"{mean:{form}} ({min(found):{form}}-{max(found):{form}})"


def verdict(ours: list[float], theirs: list[float]) -> str:
    """Return how two sets of values over seeds compare."""
    if all(abs(a - b) <= 1e-9 * b for a, b in zip(ours, theirs, strict=True)):
        return "equal"
    if min(ours) > max(theirs):
        return "higher"
    return "lower" if max(ours) < min(theirs) else "overlapping"


def share_lower(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the share of labels with a lower bound of ours, among those that differ.

    What differs by rounding alone is equal.
    """
    margin = 1e-9 * theirs
    lower, higher = (
        int((ours < theirs - margin).sum()),
        int((ours > theirs + margin).sum()),
    )
    return lower / (lower + higher) if lower + higher else math.nan


def shares_lower(
    ours: list[Measured], theirs: list[Measured]
) -> dict[int, tuple[float, float]]:
    """Return the shares of labels for which our bound is lower: raw and normalised."""
    found = {}
    for distance in DISTANCES:
        maps = [
            (one, other)
            for mine, his in zip(ours, theirs, strict=True)
            for one, other in zip(mine.maps[distance], his.maps[distance], strict=True)
        ]
        raw = [share_lower(one.raw, other.raw) for one, other in maps]
        scaled = [
            share_lower(one.trace_normalised, other.trace_normalised)
            for one, other in maps
        ]
        found[distance] = (sum(raw) / len(raw), sum(scaled) / len(scaled))
    return found


Table = dict[str, list[Measured]]


def report(title: str, table: Table, rivals: tuple[str, ...]) -> None:
    """Print a table, and every model that is no rival against each rival."""
    print(f"\n{title}")
    for name, seeds in table.items():
        print(
            f"  {name:17s} energy beyond {HIGH:g} cycles: Rayleigh "
            f"{extremes(m.high for m in seeds)}, row "
            f"{extremes(m.high_row for m in seeds)}; index "
            f"{extremes((m.index for m in seeds), '.2f')}, trace / M "
            f"{extremes((m.trace for m in seeds), '.2e')}; "
            + ", ".join(dict.fromkeys(m.note for m in seeds))
        )
        means = {
            d: sum(m.correlations[d] for m in seeds) / len(seeds) for d in DISTANCES
        }
        print(
            "    correlation of gradients:",
            ", ".join(f"{distance} px {mean:.2f}" for distance, mean in means.items()),
        )
    for name, seeds in table.items():
        for rival in rivals if name not in rivals else ():
            theirs = table[rival]
            print(
                f"  {name} against {rival}: Rayleigh "
                f"{verdict([m.high for m in seeds], [m.high for m in theirs])}, row "
                f"{verdict([m.high_row for m in seeds], [m.high_row for m in theirs])};"
                " bound lower for (raw, normalised): "
                + ", ".join(
                    f"{distance} px {raw:.0%} {scaled:.0%}"
                    for distance, (raw, scaled) in shares_lower(seeds, theirs).items()
                )
            )


def tabulate(names: Iterable[str], make: Callable[[str, int], Measured]) -> Table:
    """Return what every model is, with every seed."""
    return {name: [make(name, seed) for seed in SEEDS] for name in names}


def draw_spectra(axis: Axes, table: Table, title: str, which: str) -> None:
    """Draw spectra, normalised to unit sum, as mean and range over seeds."""
    for name, seeds in table.items():
        shells = [getattr(measured, which) for measured in seeds]
        energies = torch.stack([shell.energy / shell.total for shell in shells])
        kept = (shells[0].frequency > 0) & (shells[0].frequency < SIDE / 2)
        cycles = shells[0].frequency[kept]
        line = axis.semilogy(cycles, energies.mean(0)[kept], label=name)[0]
        low, high = energies.min(0).values[kept], energies.max(0).values[kept]
        axis.fill_between(cycles, low, high, color=line.get_color(), alpha=0.2, lw=0)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("cycles per side")
    axis.set_ylim(1e-6, 1e-1)
    axis.axvline(HIGH, color="0.7", linewidth=0.8)
    axis.legend(fontsize=7, loc="lower left")


def draw_map(axis: Axes, values: torch.Tensor, title: str, **look: object) -> None:
    """Draw a map over the labels of two points."""
    shown = axis.imshow(values.T, origin="lower", extent=(-1, 1, -1, 1), **look)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("$Y_1$")
    axis.set_ylabel("$Y_2$", labelpad=-6)
    axis.set_xticks([-1, 0, 1])
    axis.set_yticks([-1, 0, 1])
    axis.figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.8)


def draw_bounds(axes: list[Axes], table: Table) -> None:
    """Draw the bound maps of one pair, two pixels apart, and their difference."""
    theirs, ours = (
        table[name][0].maps[2][0] for name in ("instant-ngp", "mulfagrid-16")
    )
    top = float(max(theirs.trace_normalised.max(), ours.trace_normalised.max()))
    look = {"vmin": 0.0, "vmax": top, "cmap": "viridis"}
    draw_map(axes[0], theirs.trace_normalised, "bound, instant-ngp", **look)
    draw_map(axes[1], ours.trace_normalised, "bound, mulfagrid", **look)
    difference = map_difference(ours, theirs)
    most = float(difference.trace_normalised.abs().max())
    share = share_lower(ours.trace_normalised, theirs.trace_normalised)
    look = {"vmin": -most, "vmax": most, "cmap": "RdBu_r"}
    title = f"mulfagrid's is lower for {share:.0%}"
    draw_map(axes[2], difference.trace_normalised, title, **look)


def draw_shares(axis: Axes, levels: Table, end: Table) -> None:
    """Draw for how many labels the normalised bound is lower, by distance."""
    plain, ours = levels["plain grid"], end["mulfagrid-16"]
    lines = {
        "features: centred 1": (levels["centred 1"], plain),
        "features: paper": (levels["paper"], plain),
        "trained, instant-ngp": (ours, end["instant-ngp"]),
        "trained, instant-ngp-sine": (ours, end["instant-ngp-sine"]),
    }
    for name, (one, other) in lines.items():
        shares = [pair[1] for pair in shares_lower(one, other).values()]
        axis.semilogx(DISTANCES, shares, "o-", markersize=4, label=name)
    axis.axhline(0.5, color="0.7", linewidth=0.8)
    axis.set_title("labels with a lower bound", fontsize=10)
    axis.set_xlabel("distance (pixels)")
    axis.set_xticks(DISTANCES, DISTANCES)
    axis.minorticks_off()
    axis.set_ylim(0, 1.02)
    axis.legend(fontsize=7, loc="lower right")


def draw(target: Path, levels: Table, start: Table, end: Table) -> None:
    """Draw spectra above, bounds below."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    axes = figure.subplots(2, 4)
    draw_spectra(axes[0, 0], levels, "features only", "rayleigh")
    draw_spectra(axes[0, 1], start, "with decoders, untrained", "rayleigh")
    draw_spectra(axes[0, 2], end, f"after {STEPS} steps", "rayleigh")
    draw_spectra(axes[0, 3], end, "the same, row of the middle", "row")
    axes[0, 0].set_ylabel("S(k) over its sum")
    draw_bounds(list(axes[1, :3]), end)
    draw_shares(axes[1, 3], levels, end)
    figure.savefig(target, dpi=100, pil_kwargs={"optimize": True})


def compare_features(configs: dict[str, EncodingConfig]) -> Table:
    """Report on grids without decoders.

    Returns:
        Those of equal levels.
    """
    levels = tabulate(
        [name for name in configs if name not in JOINING],
        lambda name, seed: measure(features_only(configs[name], None, seed)),
    )
    report("features only, equal levels", levels, ("plain grid",))

    def sized(name: str, seed: int) -> Measured:
        field = features_only(configs[name], ENCODING_PARAMETERS, seed)
        return measure(field, finest(field))

    table = tabulate([name for name in configs if name != "preset (0)"], sized)
    title = f"features only, {ENCODING_PARAMETERS} parameters"
    report(title, table, ("plain grid",))
    return levels


def check_biases(encoding: EncodingConfig) -> None:
    """Report on a plain grid whose rectifiers have biases."""
    config = EncodedFieldConfig(
        encoding=encoding, decoder=ReluMlpConfig(bias=True, init="uniform")
    )
    table = tabulate(
        ["plain grid"],
        lambda _, seed: measure(config.build(SITE, generator(seed, "init"))),
    )
    report("rectified decoder with biases, equal levels, untrained", table, ())


def compare_presets(params: int | None) -> tuple[Table, Table]:
    """Report on whole models.

    Returns:
        The models untrained, and trained.
    """
    names = [name for name in PRESETS if params is not None or name not in JOINING]
    equal = "equal levels" if params is None else f"{params} parameters"
    rivals = tuple(name for name in names if not name.startswith("mulfagrid"))
    start = tabulate(names, lambda name, seed: untrained(name, params, seed))
    report(f"with decoders, {equal}, untrained", start, rivals)
    end = tabulate(names, lambda name, seed: trained(name, params, seed))
    report(f"with decoders, {equal}, after {STEPS} steps", end, rivals)
    return start, end


def main(target: Path) -> None:
    """Measure everything, then draw."""
    configs = encodings()
    levels = compare_features(configs)
    check_biases(configs["plain grid"])
    start, end = compare_presets(None)
    compare_presets(FIELD_PARAMETERS)
    draw(target, levels, start, end)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "seed_claims.png"))
