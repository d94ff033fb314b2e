"""Write views in the formats that tangrid only reads; Blender's is in scene_files."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from tangrid.signals.camera import Camera
from tangrid.signals.scene import View
from tests.signals.scene_files import write_json

OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenCV's axes of a camera to OpenGL's, and back."""


def save_pictures(folder: Path, names: Sequence[str], views: Sequence[View]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, view in zip(names, views, strict=True):
        Image.fromarray(view.pixels).save(folder / name)


def numbered(views: Sequence[View]) -> list[str]:
    return [f"{number:03d}.png" for number in range(len(views))]


def intrinsics(camera: Camera) -> dict:
    """What nerfstudio says of a camera."""
    (fx, fy), (cx, cy) = camera.focal, camera.principal_point
    lens = {name: value for name, value in vars(camera.lens).items() if value}
    model = "OPENCV_FISHEYE" if lens.pop("is_fisheye", False) else "OPENCV"
    sizes = {"w": camera.width, "h": camera.height}
    numbers = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    return {**sizes, **lens, **numbers, "camera_model": model}


def save_transforms(folder: Path, views: Sequence[View], **keys: object) -> Path:
    names = numbered(views)
    save_pictures(folder / "images", names, views)
    frames = [
        {
            "file_path": f"images/{name}",
            "transform_matrix": view.camera.pose.tolist(),
            **intrinsics(view.camera),
        }
        for name, view in zip(names, views, strict=True)
    ]
    write_json(folder / "transforms.json", {**keys, "frames": frames})
    return folder


def save_llff(
    folder: Path, views: Sequence[View], depths: tuple[float, float], factor: int = 1
) -> Path:
    """Poses as LLFF orders them; photographs in images_N for another factor."""
    images = folder / ("images" if factor == 1 else f"images_{factor}")
    save_pictures(images, numbered(views), views)
    rows = []
    for view in views:
        camera = view.camera
        right, up, back, position = camera.pose[:3].T
        size = factor * np.array([camera.height, camera.width, camera.focal[0]])
        matrix = np.stack((-up, right, back, position, size), axis=1)
        rows.append(np.concatenate((matrix.reshape(-1), depths)))
    np.save(folder / "poses_bounds.npy", np.stack(rows))
    return folder


COLMAP_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV",
                 "OPENCV_FISHEYE")  # fmt: skip
"""In the order of their numbers."""


def colmap_parameters(camera: Camera, model: str) -> list[float]:
    lens, focal = camera.lens, list(camera.focal)
    rest = {
        "SIMPLE_PINHOLE": [],
        "PINHOLE": [],
        "SIMPLE_RADIAL": [lens.k1],
        "RADIAL": [lens.k1, lens.k2],
        "OPENCV": [lens.k1, lens.k2, lens.p1, lens.p2],
        "OPENCV_FISHEYE": [lens.k1, lens.k2, lens.k3, lens.k4],
    }[model]
    has_two = model in {"PINHOLE", "OPENCV", "OPENCV_FISHEYE"}
    return [*(focal if has_two else focal[:1]), *camera.principal_point, *rest]


def colmap_pose(camera: Camera) -> tuple[list[float], list[float]]:
    """Quaternion, w first, and translation from the world to the camera."""
    to_camera = np.linalg.inv(camera.pose @ OPENCV)
    x, y, z, w = Rotation.from_matrix(to_camera[:3, :3]).as_quat()
    return [w, x, y, z], to_camera[:3, 3].tolist()


def save_colmap(
    folder: Path,
    views: Sequence[View],
    *,
    model: str = "PINHOLE",
    points: np.ndarray | None = None,
    is_text: bool = False,
) -> Path:
    """A camera for each view; every view sees every point."""
    names = numbered(views)
    save_pictures(folder / "images", names, views)
    place = folder / "sparse" / "0"
    place.mkdir(parents=True, exist_ok=True)
    points = np.empty((0, 3)) if points is None else points
    write = write_colmap_text if is_text else write_colmap_binary
    cameras = [view.camera for view in views]
    write(place, names, cameras, model, points)
    return folder


def write_colmap_binary(
    place: Path, names: Sequence[str], cameras: Sequence[Camera], model: str,
    points: np.ndarray,
) -> None:  # fmt: skip
    data = struct.pack("<Q", len(cameras))
    for number, camera in enumerate(cameras):
        numbers = (number + 1, COLMAP_MODELS.index(model), camera.width, camera.height)
        parameters = colmap_parameters(camera, model)
        data += struct.pack(f"<iiQQ{len(parameters)}d", *numbers, *parameters)
    (place / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(cameras))
    for number, (name, camera) in enumerate(zip(names, cameras, strict=True)):
        turn, shift = colmap_pose(camera)
        data += struct.pack("<i7di", 50 - number, *turn, *shift, number + 1)
        data += name.encode() + b"\0" + struct.pack("<Q", len(points) + 1)
        data += struct.pack("<ddq", 0.5, 0.5, -1)
        for index in range(len(points)):
            data += struct.pack("<ddq", 1.0, 2.0, 7 + index)
    (place / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(points))
    for index, point in reversed(list(enumerate(points))):
        data += struct.pack("<Q3d3BdQ", 7 + index, *point, 1, 2, 3, 0.5, len(cameras))
        data += struct.pack("<ii", 1, index) * len(cameras)
    (place / "points3D.bin").write_bytes(data)


def write_colmap_text(
    place: Path, names: Sequence[str], cameras: Sequence[Camera], model: str,
    points: np.ndarray,
) -> None:  # fmt: skip
    lines = ["# Camera list"]
    for number, camera in enumerate(cameras):
        parameters = colmap_parameters(camera, model)
        words = (number + 1, model, camera.width, camera.height, *parameters)
        lines.append(" ".join(map(str, words)))
    (place / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    seen = " ".join(f"1.0 2.0 {7 + index}" for index in range(len(points)))
    for number, (name, camera) in enumerate(zip(names, cameras, strict=True)):
        turn, shift = colmap_pose(camera)
        words = (50 - number, *turn, *shift, number + 1, name)
        lines += [" ".join(map(str, words)), seen and f"0.5 0.5 -1 {seen}"]
    (place / "images.txt").write_text("\n".join(lines) + "\n")
    lines = ["# 3D point list"]
    lines += [
        " ".join(map(str, (7 + index, *point, 1, 2, 3, 0.5, 1, index, 2, index)))
        for index, point in enumerate(points)
    ]
    (place / "points3D.txt").write_text("\n".join(lines) + "\n")


def save_nsvf(
    folder: Path,
    views: Sequence[View],
    box: Sequence[float],
    *,
    is_matrix: bool = True,
    beginnings: Sequence[str] = ("0_", "1_", "2_"),
) -> Path:
    marks = dict(zip(("train", "val", "test"), beginnings, strict=True))
    names = [
        f"{marks[view.split]}{number:03d}.png" for number, view in enumerate(views)
    ]
    save_pictures(folder / "rgb", names, views)
    (folder / "pose").mkdir(exist_ok=True)
    for name, view in zip(names, views, strict=True):
        np.savetxt(folder / "pose" / f"{name[:-4]}.txt", view.camera.pose @ OPENCV)
    (fx, fy), (cx, cy) = views[0].camera.focal, views[0].camera.principal_point
    if is_matrix:
        matrix = np.array([[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        np.savetxt(folder / "intrinsics.txt", matrix)
    else:
        text = f"{fx} {cx} {cy} 0.\n0. 0. 0.\n0.\n1.\n{views[0].camera.height} 9\n"
        (folder / "intrinsics.txt").write_text(text)
    (folder / "bbox.txt").write_text(" ".join(map(str, [*box, 0.1])))
    return folder
