"""Shapes on another device than the CPU: traced, painted and judged there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers
from tangrid.rendering.isosurface import extract_surface
from tangrid.rendering.sphere_tracing import trace
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_evaluation import FittedShape, JudgeSettings, evaluate_sdf
from tangrid.tasks.sdf_pictures import (
    VIEWS,
    PictureSizes,
    camera_of,
    draw_field,
    draw_shape,
    frame_shape,
)
from tests.training.small_shapes import ball_signal

CPU = torch.device("cpu")
SIZES = PictureSizes(view=16, slice=16)
JUDGE = JudgeSettings(
    resolution=16, surface_points=500, box_points=500, near_points=500
)


class Ball(Field):
    """The distance to a ball whose radius is trained."""

    num_dims, num_channels = 3, 1

    def __init__(self) -> None:
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(0.4))

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return (coords - 0.5).norm(dim=1, keepdim=True) - self.radius

    def parameter_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        return {"decoder": [self.radius]}


def on_each(
    device: torch.device, function: Callable[[MeshSignal, FittedShape], Any]
) -> tuple[Any, Any]:
    """What comes out there and on the CPU."""
    found = []
    for place in (device, CPU):
        with Workers(1, place) as workers:
            shape = FittedShape.of(Ball().to(place), workers)
            assert shape.device == place
            found.append(function(ball_signal(3), shape))
    return found[0], found[1]


def test_scores_are_those_of_the_cpu(pretend: torch.device):
    found, expected = on_each(
        pretend, lambda signal, shape: evaluate_sdf(signal, shape, JUDGE).metrics
    )
    assert found == expected
    assert found["iou"] > 0.5


def test_a_picture_is_that_of_the_cpu(pretend: torch.device):
    camera = camera_of(next(iter(VIEWS)), 12)
    found, expected = on_each(
        pretend, lambda _, shape: draw_field(shape, camera, (None, lambda x: x))
    )
    assert all(map(np.array_equal, found, expected))
    assert not np.array_equal(*found)


@pytest.mark.slow
def test_all_pictures_are_those_of_the_cpu(pretend: torch.device):
    def pictures(signal: MeshSignal, shape: FittedShape) -> dict[str, bytes]:
        return dict(draw_shape(signal, shape, frame_shape(signal, shape), SIZES))

    found, expected = on_each(pretend, pictures)
    assert found == expected


def test_points_may_be_anywhere_and_rays_stay(pretend: torch.device):
    with Workers(1, pretend) as workers:
        shape = FittedShape.of(Ball().to(pretend), workers)
        points = torch.rand(5, 3)
        for place in (CPU, pretend):
            assert shape.values(points.to(place)).device == place
            assert shape.gradients(points.to(place)).device == place
            assert shape.slopes(points.to(place), 0.01).device == place
        rays = torch.tensor([[0.5, 0.5, 2.0]]), torch.tensor([[0.0, 0.0, -1.0]])
        hits = trace(shape.values, *(part.to(pretend) for part in rays))
        assert hits.points.device == hits.is_hit.device == pretend
        assert abs(float(hits.points[0, 2].cpu()) - 0.9) < 1e-3
        assert len(extract_surface(shape.values, 8).faces)
