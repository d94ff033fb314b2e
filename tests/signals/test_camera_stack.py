from collections.abc import Sequence

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.signals.camera import Camera
from tangrid.signals.camera_stack import CameraStack
from tests.signals.views import LENSES, random_camera
from tests.tolerances import RAY_FLOAT32

KINDS = {
    "plain": ["plain"],
    "photograph": ["plain", "photograph", "barrel"],
    "fisheye": ["fisheye", "bent-fisheye"],
    "mixed": list(LENSES),
}


def centres(camera: Camera) -> torch.Tensor:
    x, y = torch.meshgrid(
        torch.arange(camera.width) + 0.5,
        torch.arange(camera.height) + 0.5,
        indexing="xy",
    )
    return torch.stack((x, y), -1).reshape(-1, 2)


@pytest.mark.parametrize("names", KINDS.values(), ids=KINDS)
def test_rays_are_those_of_each_camera(names: Sequence[str]):
    cameras = [random_camera(i, LENSES[name]) for i, name in enumerate(names * 2)]
    stack = CameraStack.of(cameras)
    assert stack.num_cameras == len(cameras)
    assert stack.sizes.tolist() == [[c.width, c.height] for c in cameras]
    pixels = torch.cat([centres(camera) for camera in cameras])
    counts = torch.tensor([camera.width * camera.height for camera in cameras])
    numbers = torch.repeat_interleave(torch.arange(len(cameras)), counts)
    order = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))
    origins, directions = stack.rays(numbers[order], pixels[order])
    wanted = [camera.rays() for camera in cameras]
    assert origins.dtype == directions.dtype == torch.float32
    assert torch.equal(origins, torch.cat([part for part, _ in wanted])[order])
    torch.testing.assert_close(
        directions, torch.cat([part for _, part in wanted])[order],
        atol=RAY_FLOAT32, rtol=0,
    )  # fmt: skip


def test_only_bent_rays_take_the_trouble():
    assert CameraStack.of([random_camera(0)]).lenses is None
    both = [random_camera(0), random_camera(1, LENSES["barrel"])]
    assert CameraStack.of(both).lenses is not None


def test_no_camera_is_refused():
    with pytest.raises(ConfigError, match="at least one camera"):
        CameraStack.of([])
