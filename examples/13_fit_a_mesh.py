"""Fit a knot with InstantNGP and MulFAGrid, and draw both with their errors.

Makes the picture of docs/sdf.md: ``python examples/13_fit_a_mesh.py OUT.png``.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure
from PIL import Image

import tangrid as tg

MODELS = {"instant-ngp": "InstantNGP", "mulfagrid": "MulFAGrid"}
SETTINGS = {"judge.resolution": "128", "judge.surface_points": "100000"}
PARAMS = 100_000
STEPS = 300


def main(target: Path) -> None:
    """Fit, then draw truth, fits and errors side by side."""
    knot = tg.MeshSignal.open("knot")
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    axes = figure.subplots(1, 5)
    with TemporaryDirectory() as parent:
        for place, (model, title) in enumerate(MODELS.items()):
            folder = Path(parent) / model
            run = tg.fit(
                knot,
                model=model,
                params=PARAMS,
                steps=STEPS,
                settings=SETTINGS,
                out=folder,
            )
            views = {
                kind: Image.open(folder / f"view_0_{kind}.png").copy()
                for kind in ("target", "fit", "error")
            }
            scale = run.framing.error_scale
            axes[0].imshow(views["target"])
            axes[0].set_title("mesh")
            left, right = axes[1 + 2 * place : 3 + 2 * place]
            left.imshow(views["fit"])
            left.set_title(f"{title}, {run.metrics['nae']:.1f}°")
            right.imshow(views["error"])
            right.set_title(f"error, up to {scale:g}")
    for axis in axes:
        axis.axis("off")
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fit_a_mesh.png"))
