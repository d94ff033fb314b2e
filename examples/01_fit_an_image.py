"""Fit a photograph with InstantNGP and MulFAGrid, and draw both with their errors.

Makes the picture at the top of the README:
``python examples/01_fit_an_image.py OUT.png``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import tangrid as tg

MODELS = {"instant-ngp": "InstantNGP", "mulfagrid": "MulFAGrid"}
CROP = "256x256+96+0"
ERROR_SCALE = 0.05


def picture_of(field: torch.nn.Module, width: int, height: int) -> np.ndarray:
    """Return a field's values at the pixel centres, clipped to [0, 1]."""
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    coords = torch.cartesian_prod(y, x).flip(1)
    with torch.no_grad():
        values = field(coords)
    return values.reshape(height, width, -1).clamp(0, 1).numpy()


def main(target: Path) -> None:
    """Fit, then draw original, reconstructions and error maps side by side."""
    image = tg.ImageSignal.open("astronaut", crop=CROP)
    original = image.rows(0, image.height)
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    axes = figure.subplots(1, 5)
    axes[0].imshow(original)
    axes[0].set_title("original")
    for place, (model, title) in enumerate(MODELS.items()):
        run = tg.fit(image, model=model, params=140_000, steps=200)
        found = picture_of(run.field, image.width, image.height)
        left, right = axes[1 + 2 * place : 3 + 2 * place]
        left.imshow(found)
        left.set_title(f"{title}, {run.metrics['psnr']:.1f} dB")
        error = np.abs(found - original).mean(2)
        shown = right.imshow(error, cmap="inferno", vmin=0, vmax=ERROR_SCALE)
        right.set_title("error")
    figure.colorbar(shown, ax=axes[-1], label="mean absolute error")
    for axis in axes:
        axis.axis("off")
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fit_an_image.png"))
