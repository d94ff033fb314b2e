"""Scores of fields whose worth is known: exact, too large, too steep, empty."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_evaluation import FittedShape, JudgeSettings, evaluate_sdf
from tests.analytic_shapes import AnalyticShape
from tests.rendering.shapes import is_closed
from tests.training.small_shapes import (
    BALL,
    BLOCK,
    RING,
    ball_signal,
    block_signal,
    exact_shape,
    level_shape,
    ring_signal,
    sheet_signal,
)

QUICK = JudgeSettings(
    resolution=24, surface_points=2000, box_points=4096, near_points=1024
)
FINE = dataclasses.replace(QUICK, resolution=48, surface_points=20_000)
SURFACE_SCORES = {"chamfer_l1", "chamfer_l2", "nae", "hausdorff_95", "f_score_1e-2"}


@pytest.fixture(scope="module")
def ball() -> MeshSignal:
    return ball_signal()


def scores(
    signal: MeshSignal, shape: FittedShape, settings: JudgeSettings = QUICK
) -> dict[str, Any]:
    return evaluate_sdf(signal, shape, settings).metrics


@pytest.mark.parametrize(
    ("signal", "shape", "chord"),
    # Chords cut off up to r (1 - cos(pi / n)) of a curve; a block has none.
    [
        (ball_signal(), BALL, 2e-4),
        (block_signal(), BLOCK, 1e-6),
        (ring_signal(), RING, 4e-4),
    ],
    ids=["ball", "block", "ring"],
)
def test_the_exact_distance_has_no_errors(
    signal: MeshSignal, shape: AnalyticShape, chord: float
):
    exact = exact_shape(signal, shape)
    coarse, fine = scores(signal, exact), scores(signal, exact, FINE)
    assert coarse["iou"] > 0.995
    assert coarse["sdf_error"] < chord
    assert coarse["eikonal"] < 1e-6
    # Two samplings of one surface lie some 0.2 / sqrt(n) apart for each direction.
    assert coarse["chamfer_l1"] < 0.04
    assert fine["chamfer_l1"] < 0.4 * coarse["chamfer_l1"]
    assert fine["nae"] < 0.9 * coarse["nae"] < 8
    assert fine["f_score_1e-2"] > 85
    assert fine["hausdorff_95"] < 0.015
    assert "surface_missing" not in fine


@pytest.mark.parametrize("grown", [-0.04, 0.04])
def test_a_ball_of_another_radius(ball: MeshSignal, grown: float):
    settings = dataclasses.replace(FINE, box_points=2**16)
    found = scores(ball, exact_shape(ball, BALL, grown=grown), settings)
    small, large = sorted([0.45, 0.45 + grown])
    # 65 536 points decide on 3 in 1000.
    assert found["iou"] == pytest.approx((small / large) ** 3, abs=0.01)
    assert found["sdf_error"] == pytest.approx(0.04, abs=2e-4)
    assert found["eikonal"] < 1e-6
    assert found["chamfer_l1"] == pytest.approx(2 * 0.04, rel=0.02)
    assert found["chamfer_l2"] == pytest.approx(2 * 0.04**2, rel=0.04)
    assert found["hausdorff_95"] == pytest.approx(0.04, rel=0.06)
    assert found["f_score_1e-2"] == 0.0


def test_a_distance_twice_as_steep_has_the_same_surface(ball: MeshSignal):
    plain = scores(ball, exact_shape(ball, BALL))
    steep = scores(ball, exact_shape(ball, BALL, scale=2.0))
    assert steep["eikonal"] == pytest.approx(1.0, abs=1e-6)
    assert steep["iou"] == plain["iou"]
    for name in SURFACE_SCORES:
        assert steep[name] == pytest.approx(plain[name], rel=1e-3), name
    # Off by the distance itself: Gaussian noise of 0.005 across the surface.
    across = 0.005 * math.sqrt(2 / math.pi)
    assert steep["sdf_error"] == pytest.approx(across, rel=0.1)


def test_another_judgement_is_the_same(ball: MeshSignal):
    shape = exact_shape(ball, BALL, grown=0.01)
    before = torch.random.get_rng_state()
    first, second = scores(ball, shape), scores(ball, shape)
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("value", [0.25, -0.25])
def test_a_field_without_a_surface_is_told(ball: MeshSignal, value: float):
    evaluation = evaluate_sdf(ball, level_shape(value), QUICK)
    assert evaluation.surface is None
    found = evaluation.metrics
    words = f"got values from {value:g} to {value:g}"
    assert words in found["surface_missing"]
    assert found["surface_faces"] == 0
    assert not SURFACE_SCORES & set(found)
    filled = 4 / 3 * math.pi * 0.45**3
    assert found["iou"] == pytest.approx(0.0 if value > 0 else filled, abs=0.03)
    assert found["eikonal"] == 1.0
    assert found["sdf_error"] == pytest.approx(0.25, abs=1e-3)


def test_a_field_that_is_no_number_is_told(ball: MeshSignal):
    found = scores(ball, level_shape(math.nan))
    assert "expected finite values" in found["surface_missing"]
    assert found["iou"] == 0.0


def test_an_open_sheet_encloses_nothing():
    sheet = sheet_signal()

    def height(coords: Tensor) -> Tensor:
        return coords[:, 2] - 0.5

    up = torch.tensor([[0.0, 0.0, 1.0]])
    shape = FittedShape(height, lambda coords: up.expand(len(coords), 3))
    found = scores(sheet, shape, dataclasses.replace(QUICK, box_points=2**16))
    assert found["iou"] is None
    assert found["is_open"]
    assert found["open_edges"] == 4
    assert found["nae"] < 0.1
    assert found["surface_faces"] > 0
    # An unsigned distance, which the plane is on one side only.
    unsigned = FittedShape(lambda x: height(x).abs(), shape.gradients)
    assert scores(sheet, unsigned)["sdf_error"] < 1e-4 < found["sdf_error"]


def test_facts_of_the_mesh_stand_beside_the_scores(ball: MeshSignal):
    evaluation = evaluate_sdf(ball, exact_shape(ball, BALL), QUICK)
    found = evaluation.metrics
    assert found["mesh_faces"] == len(ball.mesh.faces)
    assert found["mesh_vertices"] == len(ball.mesh.vertices)
    assert found["box_side"] == pytest.approx(4.0 / 0.9, rel=1e-3)
    assert (found["shells"], found["open_edges"], found["is_open"]) == (1, 0, False)
    assert found["notes"] == []
    assert evaluation.surface is not None
    assert found["surface_faces"] == len(evaluation.surface.faces)
    assert is_closed(evaluation.surface)
    middle = np.linalg.norm(evaluation.surface.vertices - 0.5, axis=1)
    assert np.abs(middle - 0.45).max() < 1e-3


def test_many_points_are_asked_for_in_parts(
    ball: MeshSignal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tangrid.tasks.sdf_evaluation._POINTS_PER_CALL", 1000)
    asked: list[int] = []
    exact = exact_shape(ball, BALL)

    def values(coords: Tensor) -> Tensor:
        asked.append(len(coords))
        return exact.values(coords)

    shape = FittedShape(values, exact.gradients)
    settings = dataclasses.replace(QUICK, box_points=2500)
    assert scores(ball, shape, settings)["iou"] > 0.99
    assert asked[:3] == [1000, 1000, 500]


@pytest.mark.parametrize(
    "name", ["resolution", "surface_points", "box_points", "near_points"]
)
def test_judging_by_nothing_is_refused(name: str):
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=rf"judge\.{name}: .* >= 1, got 0"):
        JudgeSettings(**settings)
