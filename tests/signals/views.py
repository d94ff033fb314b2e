"""Cameras for tests: at random places, with all kinds of lenses, and their law."""

import numpy as np
from scipy.spatial.transform import Rotation

from tangrid.signals.camera import Camera
from tangrid.signals.lens import Lens

LENSES = {
    "plain": Lens(),
    "photograph": Lens(k1=0.058, k2=-0.081, p1=-0.001, p2=0.0002),
    "barrel": Lens(k1=-0.2, k2=0.05, k3=-0.004, k4=0.0002),
    "fisheye": Lens(is_fisheye=True),
    "bent-fisheye": Lens(is_fisheye=True, k1=0.04, k2=-0.01, k3=0.002, k4=-0.0003),
}


def random_pose(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
    pose[:3, 3] = rng.normal(size=3)
    return pose


def random_camera(number: int, lens: Lens | None = None) -> Camera:
    rng = np.random.default_rng(1000 + number)
    width, height = (int(side) for side in rng.integers(5, 12, 2))
    focal = tuple(float(side) for side in rng.uniform(8, 14, 2))
    return Camera(
        pose=random_pose(number),
        width=width,
        height=height,
        focal=focal,
        centre=(width / 2 + 0.7, height / 2 - 0.4),
        lens=lens or Lens(),
    )


def pixels_of(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Where a camera sees points of the world, by the formulas of OpenCV's manual."""
    x, y, z = ((points - camera.pose[:3, 3]) @ camera.pose[:3, :3]).T * [
        [1],
        [-1],
        [-1],
    ]
    lens = camera.lens
    if lens.is_fisheye:
        radius = np.hypot(x, y)
        t = np.arctan2(radius, z)
        bent = t + lens.k1 * t**3 + lens.k2 * t**5 + lens.k3 * t**7 + lens.k4 * t**9
        seen_x, seen_y = bent * x / radius, bent * y / radius
    else:
        a, b = x / z, y / z
        r = np.sqrt(a**2 + b**2)
        radial = 1 + lens.k1 * r**2 + lens.k2 * r**4 + lens.k3 * r**6 + lens.k4 * r**8
        seen_x = a * radial + 2 * lens.p1 * a * b + lens.p2 * (r**2 + 2 * a**2)
        seen_y = b * radial + lens.p1 * (r**2 + 2 * b**2) + 2 * lens.p2 * a * b
    places = np.stack((seen_x, seen_y), -1) * camera.focal
    return places + camera.principal_point
