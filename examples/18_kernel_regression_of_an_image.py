"""Fit an image by kernel regression, with all three ways to solve, and draw it.

Makes a picture of `docs/large-kernels.md` and prints the numbers there:
``python examples/18_kernel_regression_of_an_image.py OUT.png [SEED]``, with the seed
of the pixels that are fitted. Runs for half a minute.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import tangrid as tg
from tangrid.fields import Field
from tangrid.signals.splits import split_at_random
from tangrid.tangent.dynamics.fitted_kernel import FittedKernel
from tangrid.tangent.dynamics.large_regression import kernel_regression

CROP, STEPS = "64", 30
RANKS = (200, 800)


def trained() -> tuple[Field, tg.ImageSignal, Tensor]:
    """Return an InstantNGP after a few steps on a fifth of a crop, and the rest.

    Pixels that the field has seen are known to it, and so to its kernel: leaving one
    out of the regression would not leave it out of them.
    """
    image = tg.ImageSignal.open("astronaut", crop=CROP)
    run = tg.fit(
        image, model="instant-ngp", params=20_000, steps=STEPS, heldout_share=0.8
    )
    return run.field.double(), image, split_at_random(image, 0.8).heldout_indices


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


def told(name: str, fit: FittedKernel, errors: Tensor) -> None:
    """Print what a fit says of itself, and what is measured."""
    mean = errors.mean()
    chance = 4.34 * float(errors.std() / len(errors) ** 0.5 / mean)
    loo = fit.leave_one_out_mse
    score = fit.score
    print(
        f"{name}: test {decibels(mean):.2f} ± {chance:.2f} dB, by cross-validation "
        f"{decibels(score.error):.2f} "
        f"± {4.34 * score.standard_error / score.error:.2f}, leave-one-out "
        f"{'-' if loo is None else f'{decibels(loo):.2f}'}, training "
        f"{decibels(fit.train_mse):.2f}; ridge {fit.relative_ridge:.1e} of the mean "
        f"diagonal, at the end of its path {fit.at_end}, residual {fit.residual:.1e}, "
        f"dimension {score.dimension:.0f}, rank {fit.rank}, trace left "
        f"{fit.trace_left:.1e}, {fit.num_products} products"
    )


def main(target: Path, seed: int) -> None:
    """Fit half of the pixels that the field has not seen, drawn at random."""
    field, image, unseen = trained()
    coords, values = pixels(image)
    draw = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(seed))
    train, test = unseen[draw].chunk(2)
    with torch.no_grad():
        initial = field(coords)
    before = decibels((initial - values)[test].square().mean())
    print(f"the field itself: test {before:.2f} dB")
    runs = {"eigenvalues": {"method": "dense"}}
    runs["conjugate gradients"] = {"method": "conjugate-gradients"}
    runs |= {f"{rank} columns": {"method": "nystrom", "rank": rank} for rank in RANKS}
    pictures = {f"field, {before:.1f} dB": initial}
    for name, settings in runs.items():
        fit = kernel_regression(field, coords[train], values[train], **settings)
        found = fit(coords)
        errors = (found - values)[test].square().mean(1)
        told(name, fit, errors)
        pictures[f"{name}, {decibels(errors.mean()):.1f} dB"] = found
    pictures = {"photograph": values, **pictures}
    figure = Figure(figsize=(12, 2.6), layout="constrained")
    axes = figure.subplots(1, len(pictures))
    for axis, (title, shown) in zip(axes, pictures.items(), strict=True):
        axis.imshow(shown.clamp(0, 1).reshape(image.height, image.width, 3).numpy())
        axis.set_title(title, fontsize=8)
        axis.axis("off")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "kernel_regression.png"),
        seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0,
    )
