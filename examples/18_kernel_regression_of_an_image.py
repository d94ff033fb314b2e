"""Fit an image by kernel regression, with all three ways to solve, and draw it.

Makes a picture of `docs/large-kernels.md` and prints the numbers there:
``python examples/18_kernel_regression_of_an_image.py OUT.png``. Runs for about a minute
on an idle machine.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import tangrid as tg
from tangrid.fields import Field
from tangrid.tangent.dynamics.fitted_kernel import FittedKernel
from tangrid.tangent.dynamics.large_regression import kernel_regression

CROP, STEPS = "64", 30
RANKS = (200, 800)


def trained() -> tuple[Field, tg.ImageSignal]:
    """Return an InstantNGP after a few steps on the crop."""
    image = tg.ImageSignal.open("astronaut", crop=CROP)
    run = tg.fit(image, model="instant-ngp", params=20_000, steps=STEPS)
    return run.field.double(), image


def pixels(image: tg.ImageSignal) -> tuple[Tensor, Tensor]:
    """Return the centres of all pixels, row by row, and their values."""
    values = torch.from_numpy(image.rows(0, image.height)).double()
    y, x = torch.meshgrid(
        (torch.arange(image.height).double() + 0.5) / image.height,
        (torch.arange(image.width).double() + 0.5) / image.width,
        indexing="ij",
    )
    return torch.stack((x, y), dim=-1).reshape(-1, 2), values.reshape(-1, 3)


def decibels(mse: float | Tensor) -> float:
    """Return the PSNR of an error."""
    return -10 * float(torch.as_tensor(mse).log10())


def told(name: str, fit: FittedKernel, test: float) -> None:
    """Print what a fit says of itself, and what is measured."""
    loo = fit.leave_one_out_mse
    score = fit.score
    print(
        f"{name}: test {test:.2f} dB, by cross-validation {decibels(score.error):.2f} "
        f"± {4.34 * score.standard_error / score.error:.2f}, leave-one-out "
        f"{'-' if loo is None else f'{decibels(loo):.2f}'}, training "
        f"{decibels(fit.train_mse):.2f}; ridge {fit.relative_ridge:.1e} of the mean "
        f"diagonal, at the end of its path {fit.at_end}, residual {fit.residual:.1e}, "
        f"dimension {score.dimension:.0f}, rank {fit.rank}, trace left "
        f"{fit.trace_left:.1e}, {fit.num_products} products"
    )


def main(target: Path) -> None:
    """Fit half of the pixels, drawn like the squares of one colour, by each method."""
    field, image = trained()
    coords, values = pixels(image)
    number = torch.arange(len(coords))
    is_train = (number % image.width + number // image.width) % 2 == 0
    with torch.no_grad():
        initial = field(coords)
    before = decibels((initial - values)[~is_train].square().mean())
    print(f"the field itself: test {before:.2f} dB")
    runs = {"eigenvalues": {"method": "dense"}}
    runs["conjugate gradients"] = {"method": "conjugate-gradients"}
    runs |= {f"{rank} columns": {"method": "nystrom", "rank": rank} for rank in RANKS}
    pictures = {f"field, {before:.1f} dB": initial}
    for name, settings in runs.items():
        fit = kernel_regression(field, coords[is_train], values[is_train], **settings)
        found = fit(coords)
        test = decibels((found - values)[~is_train].square().mean())
        told(name, fit, test)
        pictures[f"{name}, {test:.1f} dB"] = found
    pictures = {"photograph": values, **pictures}
    figure = Figure(figsize=(12, 2.6), layout="constrained")
    axes = figure.subplots(1, len(pictures))
    for axis, (title, shown) in zip(axes, pictures.items(), strict=True):
        axis.imshow(shown.clamp(0, 1).reshape(image.height, image.width, 3).numpy())
        axis.set_title(title, fontsize=8)
        axis.axis("off")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "kernel_regression.png"))
