"""Fit a radiance field to pictures of a made scene, and draw a view it has not seen.

Makes the picture of docs/scenes.md: ``python examples/15_fit_a_scene.py OUT.png``.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure
from PIL import Image

import tangrid as tg
from tangrid.experiments.demo_scene import demo_scene

STEPS = 1000
VIEW = 1
KINDS = ("target", "fit", "error", "depth")


def main(target: Path) -> None:
    """Fit, then draw a test view: photograph, fit, error and depth."""
    scene = demo_scene(size=200)
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        run = tg.fit(scene, model="instant-ngp", steps=STEPS, out=folder)
        pictures = [
            Image.open(folder / f"view_{VIEW}_{kind}.png").copy() for kind in KINDS
        ]
    scores = run.metrics["per_view"][VIEW]
    titles = (
        "photograph, not trained on",
        f"fit, {scores['psnr']:.1f} dB",
        f"error, up to {run.framing.error_scale:g}",
        "depth, near is bright",
    )
    figure = Figure(figsize=(11, 3), layout="constrained")
    axes = figure.subplots(1, len(KINDS))
    for axis, picture, title in zip(axes, pictures, titles, strict=True):
        axis.imshow(picture)
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "fit_a_scene.png"))
