"""See the eigenvectors of tangent kernels at the pixels, and an image made of them.

Makes a picture of `docs/article.md` and prints the numbers there:
``python examples/08_eigenvectors_of_an_image.py OUT.png``. Runs for about a minute.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import tangrid as tg
from tangrid.encodings import FourierConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import TangentKernel, tangent_kernel
from tangrid.tangent.wide.infinite_width import ReluNetwork, infinite_width_kernel

SIDE = 40
SHOWN = (1, 2, 3, 10, 100, 1600)
STEPS = 30
LEADING = (10, 50, 200, 800)
SITE = Site(num_dims=2, num_channels=1, resolution=(SIDE, SIDE))
NETWORK = ReluNetwork(num_hidden=3, bias_variance=0.1)


def picture() -> tg.ImageSignal:
    """Return a small grey photograph."""
    image = tg.ImageSignal.open("astronaut", crop="200x200+126+0", downscale=5)
    return tg.ImageSignal.from_array(image.rows(0, SIDE).mean(2))


def kernels(image: tg.ImageSignal, coords: torch.Tensor) -> dict[str, TangentKernel]:
    """Return the tangent kernels of fields at the pixels."""
    fourier = FourierConfig(num_frequencies=256, bandwidth_cycles=4.0)
    features = fourier.build(SITE, generator(0, "features")).double()
    grid = tg.build("instant-ngp", num_dims=2, num_channels=1, params=20_000, seed=0)
    trained = tg.fit(
        image, model="instant-ngp", params=20_000, seed=0, steps=STEPS, progress=False
    )
    return {
        "network of coordinates": infinite_width_kernel(coords, network=NETWORK),
        "behind Fourier features": infinite_width_kernel(
            coords, network=NETWORK, features=features
        ),
        "InstantNGP, untrained": tangent_kernel(grid, coords),
        f"InstantNGP, {STEPS} steps": tangent_kernel(trained.field, coords),
    }


def print_shares(name: str, kernel: TangentKernel, grey: torch.Tensor) -> None:
    """Print how much of the image the leading eigenvectors hold."""
    found = kernel.eigensystem
    weights = found.vectors.T @ grey
    print(f"{name}: condition {found.condition:.1e}, rank {found.rank}")
    for count in LEADING:
        part = found.vectors[:, :count] @ weights[:count]
        power = float(part.square().sum() / grey.square().sum())
        steps = edges(part) / edges(grey)
        print(f"  first {count}: {power:.3f} of variance, {steps:.3f} of edges")


def print_variants(coords: torch.Tensor, grey: torch.Tensor) -> None:
    """Print the shares of InstantNGP where rectifiers do not change with the place."""
    for name in ("features x 1000", "all features alike", "linear decoder"):
        decoder = {} if name != "linear decoder" else {"field.decoder": "linear"}
        field = tg.build(
            "instant-ngp",
            num_dims=2,
            num_channels=1,
            params=20_000,
            seed=0,
            settings=decoder,
        )
        with torch.no_grad():
            for table in field.parameter_groups()["grid"]:
                if name == "features x 1000":
                    table.mul_(1000)
                elif name == "all features alike":
                    table.fill_(1e-4)
        kernel = tangent_kernel(field, coords, parameters="grid")
        print_shares(f"InstantNGP, untrained, {name}", kernel, grey)


def edges(values: torch.Tensor) -> float:
    """Return the sum of squared differences of neighbouring pixels."""
    box = values.reshape(SIDE, SIDE)
    return float(box.diff(dim=0).square().sum() + box.diff(dim=1).square().sum())


def main(target: Path) -> None:
    """Draw eigenvectors on the left, and the image from leading ones on the right."""
    image = picture()
    pixels = torch.arange(SIDE * SIDE)
    coords = image.pixel_coords(pixels).double()
    values = image.pixel_values(pixels).double()[:, 0]
    grey = values - values.mean()
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    columns = len(SHOWN) + len(LEADING) + 1
    axes = figure.subplots(4, columns)
    for row, (name, kernel) in enumerate(kernels(image, coords).items()):
        found = kernel.eigensystem
        weights = found.vectors.T @ grey
        print_shares(name, kernel, grey)
        for axis, number in zip(axes[row], SHOWN, strict=False):
            vector = found.vectors[:, number - 1].reshape(SIDE, SIDE)
            most = float(vector.abs().max())
            axis.imshow(
                vector, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest"
            )
            if row == 0:
                axis.set_title(f"#{number}", fontsize=9)
        for axis, count in zip(axes[row][len(SHOWN) :], LEADING, strict=False):
            part = found.vectors[:, :count] @ weights[:count]
            axis.imshow(
                part.reshape(SIDE, SIDE),
                cmap="gray",
                vmin=float(grey.min()),
                vmax=float(grey.max()),
                interpolation="nearest",
            )
            if row == 0:
                axis.set_title(f"first {count}", fontsize=9)
        axes[row, -1].imshow(
            grey.reshape(SIDE, SIDE), cmap="gray", interpolation="nearest"
        )
        axes[row, 0].set_ylabel(
            name.replace(" of ", "\nof ").replace(" F", "\nF").replace(", ", "\n")
        )
        axes[row, 0].yaxis.label.set_size(9)
    print_variants(coords, grey)
    axes[0, -1].set_title("image", fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(target, dpi=95, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "eigenvectors_of_an_image.png"))
