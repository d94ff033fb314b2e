"""Small scenes for tests, as views and as files in Blender's format."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tangrid.rendering.camera_paths import turntable
from tangrid.signals.camera import Camera
from tangrid.signals.scene import Scene, SplitName, View
from tangrid.signals.scene_bounds import SceneBounds

OBJECT = SceneBounds(
    scope="object", low=(-1.5, -1.5, -1.5), high=(1.5, 1.5, 1.5), near=2.0, far=6.0
)
WIDTH, HEIGHT = 6, 4


def pixels_of_view(number: int, channels: int = 4) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 255, (HEIGHT, WIDTH, channels), np.uint8)


def cameras_around(count: int) -> list[Camera]:
    return turntable(
        count, 20.0, centre=(0.0, 0.0, 0.0), distance=4.0, width=WIDTH, height=HEIGHT
    )


def small_scene(num_train: int = 3, num_test: int = 2, channels: int = 4) -> Scene:
    cameras = cameras_around(num_train + num_test)
    splits: list[SplitName] = ["train"] * num_train + ["test"] * num_test
    views = [
        View(
            name=f"{split}/r_{number}.png",
            camera=camera,
            pixels=pixels_of_view(number, channels),
            split=split,
        )
        for number, (camera, split) in enumerate(zip(cameras, splits, strict=True))
    ]
    return Scene.from_views(views, OBJECT)


def save_blender(folder: Path, scene: Scene, splits: str = "train val test") -> Path:
    """Write a scene as NeRF's authors did: one angle, names without endings."""
    for split in splits.split():
        views = [view for view in scene.views if view.split == split]
        (folder / split).mkdir(parents=True, exist_ok=True)
        for view in views:
            Image.fromarray(view.pixels).save(folder / view.name)
        camera = scene.views[0].camera
        frames = [
            {
                "file_path": f"./{view.name.removesuffix('.png')}",
                "rotation": 0.1,
                "transform_matrix": view.camera.pose.tolist(),
            }
            for view in views
        ]
        angle = 2 * np.arctan(camera.width / 2 / camera.focal[0])
        if frames:
            content = {"camera_angle_x": angle, "frames": frames}
            write_json(folder / f"transforms_{split}.json", content)
    return folder


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())
