"""Solve for the colours of a made scene whose density is known, without any training.

Makes the picture of docs/scenes.md: ``python examples/19_colours_of_a_scene.py
OUT.png``. Runs for less than a minute.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from tangrid.experiments.demo_scene import analytic_radiance, demo_scene
from tangrid.fields.workers import Workers
from tangrid.rendering.views import render_view
from tangrid.tasks.view_colours import solve_colours
from tangrid.tasks.view_protocols import PROTOCOLS
from tangrid.tasks.voxel_colours import VoxelSettings

SIZE, VIEWS = 64, 24
GRIDS = {
    "colours": VoxelSettings(resolution=32),
    "with directions": VoxelSettings(resolution=32, degree=1),
    "three grids": VoxelSettings(resolution=64, levels=3),
}


def main(target: Path) -> None:
    """Solve with each kind of voxels, then draw a view that was not solved with."""
    scene = demo_scene(size=SIZE, train_views=VIEWS, test_views=4)
    train, test = scene.of_split("train"), scene.of_split("test")
    protocol = PROTOCOLS["blender-white"]
    pixels = test[0].pixels / 255
    photograph = pixels[:, :, :3] * pixels[:, :, 3:] + 1 - pixels[:, :, 3:]
    pictures = {"photograph": photograph}
    with Workers() as workers:
        for name, settings in GRIDS.items():
            solved = solve_colours(
                analytic_radiance(), train, protocol, workers, settings=settings
            )
            psnr = solved.judge(test, workers)["psnr"]
            print(
                f"{name}: {solved.num_voxels} unknowns, {solved.num_rays} rays, ridge "
                f"{solved.ridge:.2e}, {solved.iterations} steps to a gradient of "
                f"{solved.gradient:.1e}, rays solved with {solved.train_psnr:.2f} dB, "
                f"test {psnr:.2f} dB"
            )
            shown = render_view(solved.scene, test[0].camera, workers)
            picture = shown.over(protocol.colour).clamp(0, 1)
            pictures[f"{name}, test {psnr:.1f} dB"] = picture.numpy()
    figure = Figure(figsize=(2.8 * len(pictures), 3), layout="constrained")
    axes = figure.subplots(1, len(pictures))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "colours_of_a_scene.png"))
