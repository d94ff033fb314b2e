"""Train one perceptron with and without Fourier features on a sum of five waves.

Shows the spectral bias of the plain one, and that the tangent kernel at the start of
training predicts what is left of every frequency after every step. Draws the figure of
docs/spectral-bias.md and prints its numbers: ``python examples/05_spectral_bias.py
OUT.png``.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import EncodingConfig, FourierConfig, IdentityConfig
from tangrid.fields import EncodedFieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import TangentKernel, tangent_kernel
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.frequency_residual import (
    FrequencyResidual,
    residual_by_frequency,
)
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.spectra.lattice import Lattice

LATTICE = Lattice((64,))
FREQUENCIES = (1, 2, 4, 8, 16)
AMPLITUDE = 0.2
STEPS = 4096
SHOWN = (64, 512, STEPS)
MARKS = sorted({round(2 ** (k / 2)) for k in range(25)} | {0})
NAMES: dict[str, EncodingConfig] = {
    "plain": IdentityConfig(),
    "Fourier features": FourierConfig(num_frequencies=32, bandwidth_cycles=8.0),
}


@dataclass(frozen=True)
class Trained:
    """What theory says of one network, and what training does with it.

    Attributes:
        fit: Theory: regression with the kernel at the start.
        predicted: What it leaves of each frequency at the marks.
        measured: What training leaves.
        modes_off: Largest error of any mode at any mark, over the initial residual.
        changes: After some steps the kernel's relative change (drift), and the factor
            (geometric mean) by which its 21st to 40th eigenvalues have changed.
    """

    fit: KernelRegression
    predicted: FrequencyResidual
    measured: FrequencyResidual
    modes_off: float
    changes: dict[int, tuple[float, float]]

    @property
    def rate(self) -> float:
        """Learning rate: half of what is stable."""
        return self.fit.descent.rate

    def steps_to_halve(self, frequency: int, rate: float | None = None) -> float:
        """Return the predicted steps after which half a wave is left."""
        times = torch.logspace(0, 11, 2201, dtype=torch.float64).round()
        left = residual_by_frequency(self.fit.residuals(times), LATTICE)
        share = left.at(frequency) / self.predicted.at(frequency)[0]
        steps = float(times[(share <= 0.5).nonzero()[0, 0]])
        return steps * (1.0 if rate is None else self.rate / rate)


def signal() -> tuple[Tensor, Tensor]:
    """Return 64 points of the unit interval and the sum of the waves there."""
    x = LATTICE.coords()
    waves = (torch.cos(2 * math.pi * k * x + k) for k in FREQUENCIES)
    return x, AMPLITUDE * sum(waves, torch.zeros_like(x))


def train(encoding: EncodingConfig, width: int, num_hidden: int) -> Trained:
    """Return what the first kernel predicts and what torch's optimiser does."""
    x, y = signal()
    decoder = ReluMlpConfig(
        width=width, num_hidden=num_hidden, bias=True, init="uniform"
    )
    config = EncodedFieldConfig(encoding=encoding, decoder=decoder)
    field = config.build(Site(num_dims=1, num_channels=1), generator(0, "init"))
    field = field.double()
    kernel = tangent_kernel(field, x)
    rate = GradientDescent(1.0).largest_stable_rate(kernel.eigensystem.largest) / 2
    fit = KernelRegression(kernel, y, field(x), descent=GradientDescent(rate))
    optimizer = torch.optim.SGD(field.parameters(), lr=rate)
    found, changes = [], {}
    for step in range(STEPS + 1):
        residual = y - field(x)
        if step in MARKS:
            found.append(residual.detach())
        if step in SHOWN:
            changes[step] = change_of(kernel, tangent_kernel(field, x))
        optimizer.zero_grad()
        (0.5 * residual.square().sum()).backward()
        optimizer.step()
    measured = torch.stack(found)
    off = fit.modes.vectors.T @ measured - fit.mode_residuals(MARKS)
    return Trained(
        fit=fit,
        predicted=residual_by_frequency(fit.residuals(MARKS), LATTICE),
        measured=residual_by_frequency(measured, LATTICE),
        modes_off=float(off.abs().max() / measured[0].norm()),
        changes=changes,
    )


def change_of(before: TangentKernel, after: TangentKernel) -> tuple[float, float]:
    """Return how far a kernel moved, and what became of its middle eigenvalues."""
    difference = after.to_dense() - before.to_dense()
    old, new = (k.eigensystem.values[20:40] for k in (before, after))
    drift = difference.norm() / before.to_dense().norm()
    return float(drift), float((new / old).log().mean().exp())


def say(name: str, trained: Trained) -> None:
    """Print what the page quotes."""
    print(f"{name}: modes off by {trained.modes_off:.2%} of the residual at most")
    for step in SHOWN:
        drift, middle = trained.changes[step]
        print(
            f"  after {step:4d} steps: kernel drift {drift:.4f}, eigenvalues 21 to 40 "
            f"times {middle:.3f}"
        )
        shares = []
        for frequency in FREQUENCIES:
            left = (
                found.at(frequency)[MARKS.index(step)] / found.at(frequency)[0]
                for found in (trained.predicted, trained.measured)
            )
            shares.append(f"{frequency}: " + " / ".join(f"{s:.3g}" for s in left))
        print("    predicted / measured ", *shares, sep="  ")


def draw_amplitudes(axis: Axes, name: str, trained: Trained) -> None:
    """Draw the share of each wave that is left: predicted lines, measured dots."""
    steps = torch.tensor(MARKS[1:])
    between = torch.logspace(0, math.log10(STEPS), 100).round().unique()
    lines = residual_by_frequency(trained.fit.residuals(between), LATTICE)
    for number, frequency in enumerate(FREQUENCIES):
        colour = f"C{number}"
        start = trained.predicted.at(frequency)[0]
        axis.plot(between, lines.at(frequency) / start, color=colour)
        axis.plot(
            steps,
            trained.measured.at(frequency)[1:] / start,
            "o",
            color=colour,
            markersize=4,
            label=str(frequency),
        )
    axis.set(xscale="log", yscale="log", ylim=(1e-3, 1.5), xlim=(0.9, 1.2 * STEPS))
    axis.set(title=name, xlabel="step")


def draw_modes(axis: Axes, name: str, trained: Trained, marker: str) -> None:
    """Draw the pace of each eigenmode against the frequency it has most of."""
    modes = trained.fit.modes
    vectors = modes.vectors.T[:, :, None]
    by_frequency = residual_by_frequency(vectors, LATTICE)
    dominant = by_frequency.frequency[by_frequency.rms.argmax(1)]
    constants = trained.fit.descent.time_constants(modes.values)
    axis.plot(dominant, constants, marker, markersize=4, label=name, alpha=0.7)


def main(target: Path) -> None:
    """Train both, print, and draw."""
    torch.set_num_threads(1)
    runs = {name: train(encoding, 1024, 1) for name, encoding in NAMES.items()}
    for name, trained in runs.items():
        say(name, trained)
    plain, features = runs.values()
    for k in FREQUENCIES:
        slow, fast = plain.steps_to_halve(k), features.steps_to_halve(k)
        same = features.steps_to_halve(k, plain.rate)
        print(
            f"half of {k:2d} cycles is learned after {slow:.0f} / {fast:.0f} steps, "
            f"a factor of {slow / fast:.0f}; at the same rate {slow / same:.0f}"
        )
    say("plain, two hidden layers of 256", train(NAMES["plain"], 256, 2))
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    middle.sharey(left)
    for axis, (name, trained) in zip((left, middle), runs.items(), strict=True):
        draw_amplitudes(axis, name, trained)
    left.set_ylabel("share of the wave that is left")
    left.legend(title="cycles", loc="lower left")
    (line,) = middle.plot([], [], color="grey")
    (dots,) = middle.plot([], [], "o", color="grey", markersize=4)
    middle.legend([line, dots], ["predicted", "trained"], loc="lower left")
    for (name, trained), marker in zip(runs.items(), "os", strict=True):
        draw_modes(right, name, trained, marker)
    right.set(yscale="log", xlabel="main frequency of the eigenvector (cycles)")
    right.set(title="predicted pace of the eigenmodes", ylabel="steps to fall by e")
    right.legend()
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "spectral_bias.png"))
