"""Map how near points are to each other for the parameters of fields.

Makes a picture of `docs/article.md` and prints the numbers there:
``python examples/14_distance_in_gradient_space.py OUT.png``. Runs for about a minute.
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

import tangrid as tg
from tangrid.fields import Field
from tangrid.tangent import TangentKernel, tangent_kernel
from tangrid.tangent.kernels.gradient_distance import (
    gradient_cosines,
    gradient_distances,
)
from tangrid.tangent.spectra.lattice import Lattice

SIDE = 64
CENTRES = ((0.3, 0.4), (0.7, 0.65))
STEPS = 100
MODELS = {"instant-ngp": 20_000, "mulfagrid-16": 20_000, "fourier-mlp": None}
SHOWN = {
    "InstantNGP,\ngrid (GTK)": ("instant-ngp", "grid"),
    "MulFAGrid,\ngrid (GTK)": ("mulfagrid-16", "grid"),
    "InstantNGP,\nall parameters": ("instant-ngp", "all"),
    "Fourier features,\nall parameters": ("fourier-mlp", "all"),
}
Kernels = dict[str, TangentKernel]


def fields(steps: int) -> dict[str, Field]:
    """Return the fields, trained on a photograph for some steps."""
    image = tg.ImageSignal.open("astronaut", crop="192x192+126+0", downscale=3)
    return {
        model: tg.fit(
            image, model=model, params=params, steps=steps, progress=False
        ).field
        for model, params in MODELS.items()
    }


def kernels(steps: int, coords: torch.Tensor) -> Kernels:
    """Return the tangent kernels at the pixels."""
    trained = fields(steps)
    return {
        title: tangent_kernel(trained[model], coords, parameters=group, outputs="trace")
        for title, (model, group) in SHOWN.items()
    }


def draw_maps(
    axes: list[Axes], found: Kernels, point: int, where: torch.Tensor
) -> AxesImage:
    """Draw cosines between the gradient at one point and those at all others.

    Returns:
        The last of the maps.
    """
    for axis, kernel in zip(axes, found.values(), strict=True):
        cosines = gradient_cosines(kernel, torch.tensor([point]))
        shown = axis.imshow(
            cosines.reshape(SIDE, SIDE),
            extent=(0, 1, 1, 0),
            cmap="RdBu_r",
            norm=SymLogNorm(0.03, vmin=-1, vmax=1),
            interpolation="nearest",
        )
        axis.plot(*where, "o", color="lime", markersize=2)
        axis.set_xticks([])
        axis.set_yticks([])
    return shown


def draw_curves(axis: Axes, found: Kernels, point: int, coords: torch.Tensor) -> None:
    """Draw the distance in gradient space by the distance in the image."""
    away = (coords - coords[point]).norm(dim=1)
    edges = torch.linspace(0, 0.5, 33, dtype=torch.float64)
    shell = torch.bucketize(away, edges)
    for title, kernel in found.items():
        lengths = kernel.diagonal().sqrt()
        distances = gradient_distances(kernel, torch.tensor([point]))[0]
        means = torch.stack([distances[shell == k].mean() for k in range(1, 33)])
        name = title.replace("\n", " ")
        axis.plot(edges[1:] - 1 / 128, means / lengths[point], linewidth=1, label=name)
        cosines = gradient_cosines(kernel, torch.tensor([point]))[0]
        at = [float(cosines[shell == k].mean()) for k in (2, 4, 8, 24)]
        listed = ", ".join(f"{cosine:.3f}" for cosine in at)
        spread = float(lengths.max() / lengths.min())
        print(
            f"{name}: gradients' lengths within a factor {spread:.1f}; mean cosine at "
            f"1.5, 3.5, 7.5 and 23.5 pixels: {listed}"
        )


def main(target: Path) -> None:
    """Draw untrained fields from one point, and trained ones from two."""
    coords = Lattice((SIDE, SIDE)).coords()
    centres = torch.tensor(CENTRES, dtype=torch.float64)
    first, second = torch.cdist(centres, coords).argmin(1).tolist()
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(3, 5, width_ratios=(1, 1, 1, 1, 1.5))
    untrained, trained = kernels(1, coords), kernels(STEPS, coords)
    rows = (
        ("after 1 step", untrained, first),
        (f"after {STEPS} steps", trained, first),
        ("the same,\nanother point", trained, second),
    )
    for row, (name, found, point) in zip(axes, rows, strict=True):
        print(name.replace("\n", " "))
        shown = draw_maps(list(row[:4]), found, point, coords[point])
        draw_curves(row[4], found, point, coords)
        row[0].set_ylabel(name)
        row[4].set_ylabel("d / |gradient|", fontsize=9)
    for axis, title in zip(axes[0], SHOWN, strict=False):
        axis.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=axes[:, 3], label="cosine of gradients", shrink=0.6)
    axes[0, 4].set_title("distance in gradient space", fontsize=10)
    axes[0, 4].legend(fontsize=6)
    axes[2, 4].set_xlabel("distance in the image")
    figure.savefig(target, dpi=95, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "distance_in_gradient_space.png"))
