"""Predict training from the tangent kernel before the first step, then train.

A grid with a linear decoder does exactly as predicted; InstantNGP does for a while.
Draws the figure of docs/theorem-1.md and prints its numbers:
``python examples/02_training_dynamics.py OUT.png``.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import tangrid as tg
from tangrid.decoders import LinearConfig
from tangrid.encodings import HashGridConfig
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import TangentKernel, tangent_kernel
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.linearisation import (
    LinearisedField,
    predicted_displacement,
    relative_displacement,
)
from tangrid.tangent.dynamics.prediction import predict_mse, predict_training
from tangrid.tangent.dynamics.regression import KernelRegression

WAYS = {
    "plain": {},
    "momentum 0.9": {"momentum": 0.9},
    "Nesterov 0.9": {"momentum": 0.9, "nesterov": True},
}
LEVEL = 0.7
"""Drift of the kernel up to which every predicted loss was right within a tenth."""
SMALL_STEP = 0.001
"""Learning rate over the largest one that is stable at the start."""


def picture(name: str, side: int) -> tuple[Tensor, Tensor]:
    """Return the points and colours of a small picture."""
    image = tg.ImageSignal.open(name, crop=str(5 * side), downscale=5)
    values = torch.tensor(image.rows(0, side)).double().reshape(side * side, -1)
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.cartesian_prod(centres, centres).flip(1), values


def outputs_of(
    field: Field, parameters: list, x: Tensor, y: Tensor, **settings: float
) -> Iterator[Tensor]:
    """Yield the outputs before every step of torch's optimiser.

    Yields:
        Values at the points, [n, c].
    """
    optimizer = torch.optim.SGD(parameters, **settings)
    while True:
        outputs = field(x)
        yield outputs.detach()
        optimizer.zero_grad()
        (0.5 * (outputs - y).square().sum()).backward()
        optimizer.step()


def stable_rate(kernel: TangentKernel, **way: float) -> float:
    """Return the largest rate at which no mode diverges."""
    largest = kernel.eigensystem.largest
    return GradientDescent(1.0, **way).largest_stable_rate(largest)


def draw_linear(axis: Axes) -> None:
    """Train the features of a hashed grid under a linear decoder, three ways."""
    x, y = picture("astronaut", 20)
    grid = HashGridConfig(num_levels=6, base_resolution=4, log2_table_size=7)
    config = EncodedFieldConfig(encoding=grid, decoder=LinearConfig())
    for number, (name, way) in enumerate(WAYS.items()):
        field = config.build(Site(num_dims=2, num_channels=3), generator(0, "init"))
        field = field.double()
        kernel = tangent_kernel(field, x, parameters="grid")
        rate = 0.5 * stable_rate(kernel, **way)
        descent = GradientDescent(rate, **way)
        predicted = predict_training(kernel, y, field(x), descent, torch.arange(201))
        features = field.parameter_groups()["grid"]
        training = outputs_of(field, features, x, y, lr=rate, **way)
        measured = torch.stack([next(training) for _ in range(201)])
        worst = float((measured - predicted.outputs).abs().max())
        print(f"linear decoder, {name}: in 200 steps outputs off by {worst:.1e}")
        curve = (measured - y).square().mean((1, 2))
        axis.plot(predicted.mse, color=f"C{number}", label=name)
        axis.plot(range(0, 201, 10), curve[::10], "o", color=f"C{number}", markersize=4)
    axis.set(yscale="log", xlabel="step", ylabel="mean squared error")
    axis.set_title("grid and linear decoder")
    axis.legend(title="line predicted, dots trained")


@dataclass(frozen=True)
class Comparison:
    """Predicted and measured loss of an InstantNGP, with the drift of its kernel."""

    predicted: Tensor
    measured: Tensor
    drift: Tensor
    has_grown: bool

    @property
    def off(self) -> Tensor:
        """Error of the predicted loss, relative."""
        return (self.predicted / self.measured - 1).abs()


def instant_ngp(channels: int, seed: int, has_grown: bool) -> Field:
    """Return an InstantNGP, its features at ±1e-4 as built or a thousand times that."""
    field = tg.build(
        "instant-ngp", num_dims=2, num_channels=channels, params=20_000, seed=seed
    ).double()
    if has_grown:
        with torch.no_grad():
            for features in field.parameter_groups()["grid"]:
                features.mul_(1000)
    return field


def compare(name: str, seed: int, has_grown: bool, slower: int = 1) -> Comparison:
    """Return losses and drift of training until the prediction is off by a tenth."""
    x, y = picture(name, 12)
    field = instant_ngp(y.shape[1], seed, has_grown)
    before = tangent_kernel(field, x)
    rate = (10 if has_grown else 1) * SMALL_STEP * stable_rate(before) / slower
    steps = torch.arange(600)
    predicted = predict_mse(before, y, field(x), GradientDescent(rate), steps)
    training = outputs_of(field, list(field.parameters()), x, y, lr=rate)
    measured, drift = [], []
    for guess, outputs in zip(predicted.tolist(), training, strict=False):
        measured.append(float((outputs - y).square().mean()))
        change = tangent_kernel(field, x).to_dense() - before.to_dense()
        drift.append(float(change.norm() / before.to_dense().norm()))
        if abs(guess / measured[-1] - 1) > 0.1:
            break
    return Comparison(
        predicted[: len(measured)],
        torch.tensor(measured).double(),
        torch.tensor(drift),
        has_grown,
    )


def draw_levels(axis: Axes) -> None:
    """Draw the error of predicted losses against the drift, for many starts."""
    found = [
        compare(name, seed, has_grown)
        for name in ("astronaut", "camera")
        for seed in range(3)
        for has_grown in (False, True)
    ]
    for has_grown, name in ((False, "features from ±1e-4"), (True, "from ±0.1")):
        group = [run for run in found if run.has_grown == has_grown]
        ends = sorted(float(run.drift[-1]) for run in group)
        inside = max(float(run.off[run.drift <= LEVEL].max()) for run in group)
        learned = [1 - float(run.measured[-1] / run.measured[0]) for run in group]
        first = [float(run.drift[1]) for run in group]
        print(
            f"InstantNGP, {name}: loss off by 10 % at drifts from {ends[0]:.2f} to "
            f"{ends[-1]:.2f}, when {min(learned):.0%} to {max(learned):.0%} of it is "
            f"learned; off by {inside:.1%} at most up to drift {LEVEL}; first step "
            f"drifts {min(first):.2f} to {max(first):.2f}"
        )
        for number, run in enumerate(group):
            style = {"color": "C1" if has_grown else "C0", "linewidth": 1}
            label = name if number == 0 else None
            axis.plot(run.drift[1:], run.off[1:], label=label, **style)
    axis.axhline(0.1, color="grey", linewidth=0.8)
    axis.axvline(LEVEL, color="grey", linewidth=0.8, linestyle="--")
    axis.set(yscale="log", ylim=(1e-5, 0.2), xlabel="drift of the kernel")
    axis.set(title="InstantNGP, 12 starts", ylabel="error of the predicted loss")
    axis.legend()


def say_how_it_begins() -> None:
    """Print what happens to an InstantNGP with features near 0 in its first steps."""
    slow = compare("astronaut", 0, has_grown=False, slower=4)
    print(
        f"at a quarter of the rate: off by 10 % after {len(slow.drift) - 1} steps at "
        f"drift {float(slow.drift[-1]):.2f}, when "
        f"{1 - float(slow.measured[-1] / slow.measured[0]):.0%} is learned"
    )
    x, y = picture("astronaut", 12)
    for share in (SMALL_STEP, 0.5):
        field = instant_ngp(3, 0, has_grown=False)
        before, start = tangent_kernel(field, x), field(x).detach()
        held = {n: p.detach().clone() for n, p in field.named_parameters()}
        rate = share * stable_rate(before)
        training = outputs_of(field, list(field.parameters()), x, y, lr=rate)
        losses = [float((next(training) - y).square().mean()) for _ in range(2)]
        moved = {n: p.detach() - held[n] for n, p in field.named_parameters()}
        after, residual = tangent_kernel(field, x), before.stacked(y - start)
        power = float((residual * (after @ residual)).sum())
        power /= float((residual * (before @ residual)).sum())
        losses += [float((next(training) - y).square().mean())]
        shares = relative_displacement(instant_ngp(3, 0, has_grown=False), moved)
        print(
            f"InstantNGP as built at {share} of the stable rate: losses "
            f"{', '.join(f'{loss:.3g}' for loss in losses)}; the first step moves "
            f"features by {shares['grid']:.1f} times their size, and takes r.K r times "
            f"{power:.3g}"
        )


def draw_instant_ngp(axis: Axes) -> None:
    """Draw the loss of one InstantNGP, of its tangent, and of theory."""
    x, y = picture("astronaut", 12)
    field = instant_ngp(3, 0, has_grown=True)
    kernel = tangent_kernel(field, x)
    rate = 10 * SMALL_STEP * stable_rate(kernel)
    steps = 60
    fit = KernelRegression(kernel, y, field(x), descent=GradientDescent(rate))
    line = LinearisedField(field)
    for step in (10, steps):
        moved = predicted_displacement(field, x, fit.weights(step)[0])
        shares = relative_displacement(field, moved)
        text = ", ".join(f"{group} {share:.2f}" for group, share in shares.items())
        print(f"predicted displacement after {step} steps over the parameters: {text}")
    curves = {}
    for name, model in (("trained", field), ("its tangent, trained", line)):
        trained = [p for p in model.parameters() if p.requires_grad]
        training = outputs_of(model, trained, x, y, lr=rate)
        begun = [next(training) for _ in range(11)]
        if model is field:
            change = tangent_kernel(field, x).to_dense() - kernel.to_dense()
            drift = float(change.norm() / kernel.to_dense().norm())
            print(f"drift of the kernel after 10 steps: {drift:.2f}")
        outputs = torch.stack(begun + [next(training) for _ in range(steps - 10)])
        curves[name] = (outputs - y).square().mean((1, 2))
    predicted = fit.residuals(torch.arange(steps + 1)).square().mean((1, 2))
    off = float((curves["its tangent, trained"] / predicted - 1).abs().max())
    print(f"InstantNGP's tangent: loss off by {off:.1e} at most, relative")
    last = float(curves["trained"][-1])
    print(f"InstantNGP after {steps} steps: {last:.4f}, not {float(predicted[-1]):.4f}")
    axis.plot(predicted, color="C2", label="predicted")
    axis.plot(range(0, steps + 1, 4), curves["its tangent, trained"][::4], "o",
              color="C2", markersize=4, label="its tangent, trained")  # fmt: skip
    axis.plot(curves["trained"], color="black", label="trained")
    axis.set(yscale="log", xlabel="step", title="InstantNGP, features from ±0.1")
    axis.legend()


def main(target: Path) -> None:
    """Draw all three."""
    torch.set_num_threads(1)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_linear(left)
    draw_instant_ngp(middle)
    draw_levels(right)
    say_how_it_begins()
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "training_dynamics.png"))
