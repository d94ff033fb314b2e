import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError, ShapeError
from tangrid.metrics.surfaces import (
    THRESHOLDS,
    SurfaceSamples,
    SurfaceScores,
    compare_surfaces,
)

COUNT = 4000


def directions(seed: int, count: int = COUNT) -> np.ndarray:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sphere(radius: float, seed: int = 0, count: int = COUNT) -> SurfaceSamples:
    normals = directions(seed, count)
    return SurfaceSamples(points=radius * normals, normals=normals)


def sheet(*, height: float = 0.0, tilt: float = 0.0, side: int = 30) -> SurfaceSamples:
    """A square of side 1 with normals that lean by `tilt` degrees."""
    x, y = np.meshgrid(*2 * [np.linspace(0, 1, side)])
    points = np.stack([x.ravel(), y.ravel(), np.full(side**2, height)], axis=1)
    normal = [math.sin(math.radians(tilt)), 0.0, math.cos(math.radians(tilt))]
    return SurfaceSamples(points=points, normals=np.tile(normal, (side**2, 1)))


def nothing(count: int) -> np.ndarray:
    return np.zeros((count, 3))


def test_concentric_spheres_are_their_radii_apart():
    scores = compare_surfaces(sphere(0.5), sphere(0.53), thresholds=(0.031, 0.029))
    assert scores.chamfer_l1 == pytest.approx(0.06, rel=1e-12)
    assert scores.chamfer_l2 == pytest.approx(2 * 0.03**2, rel=1e-12)
    assert scores.hausdorff_95 == pytest.approx(0.03, rel=1e-12)
    assert scores.f_score == {0.031: 100.0, 0.029: 0.0}
    assert scores.normal_consistency == pytest.approx(1.0, abs=1e-12)
    assert scores.nae == pytest.approx(0.0, abs=1e-5)


def test_concentric_spheres_sampled_apart_are_never_nearer_than_their_radii():
    scores = compare_surfaces(sphere(0.5, 1), sphere(0.6, 2))
    assert 0.2 <= scores.chamfer_l1 < 0.21
    assert 0.1 <= scores.hausdorff_95 < 0.11
    assert scores.nae < 2.0


def test_a_surface_is_close_to_another_sampling_of_itself_and_equals_itself():
    # With 4000 points on a sphere of radius 1, each has an area of 0.056 squared.
    scores = compare_surfaces(sphere(1.0, 1), sphere(1.0, 2), thresholds=(0.12,))
    assert 0.0 < scores.chamfer_l1 < 2 * 0.056
    assert scores.f_score[0.12] > 99.0
    assert scores.normal_consistency > 0.998
    assert scores.nae < 3.0
    same = compare_surfaces(sphere(1.0), sphere(1.0))
    assert same.chamfer_l1 == same.chamfer_l2 == same.hausdorff_95 == 0.0
    assert set(same.f_score.values()) == {100.0}
    assert same.nae == pytest.approx(0.0, abs=1e-5)


@given(st.floats(0.0, 90.0))
def test_error_of_normals_is_the_angle_of_a_tilt(tilt: float):
    scores = compare_surfaces(sheet(tilt=tilt), sheet())
    assert scores.nae == pytest.approx(tilt, abs=1e-5)
    assert scores.normal_consistency == pytest.approx(math.cos(math.radians(tilt)))
    leaning = compare_surfaces(sheet(tilt=180 - tilt), sheet())
    assert leaning.nae == pytest.approx(tilt, abs=1e-5)


def test_points_that_turn_with_their_normals_have_the_angle_of_the_turn():
    flat, angle = sheet(), math.radians(3)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    turned = SurfaceSamples(points=flat.points @ turn, normals=flat.normals @ turn)
    assert compare_surfaces(turned, flat).nae == pytest.approx(3, abs=1e-5)


def test_parallel_sheets():
    scores = compare_surfaces(sheet(height=0.002), sheet())
    assert scores.chamfer_l1 == pytest.approx(0.004)
    assert scores.chamfer_l2 == pytest.approx(2 * 0.002**2)
    assert scores.hausdorff_95 == pytest.approx(0.002)
    assert [scores.f_score[t] for t in (1e-2, 1e-3)] == [100.0, 0.0]
    assert scores.nae == 0.0


def test_surfaces_turned_inside_out_score_the_same():
    found, wanted = sphere(0.5, 1), sphere(0.6, 2)
    flipped = SurfaceSamples(points=found.points, normals=-found.normals)
    assert compare_surfaces(flipped, wanted) == compare_surfaces(found, wanted)


def test_f_score_is_the_harmonic_mean_of_precision_and_recall():
    wanted = sheet(side=2)
    far = wanted.points + np.array([0.0, 0.0, 9.0])
    found = SurfaceSamples(
        points=np.concatenate([wanted.points[:1], far]),
        normals=np.concatenate([wanted.normals[:1], wanted.normals]),
    )
    score = compare_surfaces(found, wanted, thresholds=(0.5,)).f_score[0.5]
    precision, recall = 100 / 5, 100 / 4
    assert score == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_distance_equal_to_the_threshold_counts():
    scores = compare_surfaces(sheet(height=0.5), sheet(), thresholds=(0.5,))
    assert scores.f_score == {0.5: 100.0}


def test_outliers_show_in_the_quantile_of_their_direction():
    wanted, lost = sheet(side=10), sheet(side=10)
    lost.points[:10, 2] = 4.0
    scores = compare_surfaces(lost, wanted)
    assert scores.hausdorff_95 == pytest.approx(4.0)
    assert compare_surfaces(wanted, lost).hausdorff_95 == scores.hausdorff_95


def test_swapping_the_surfaces_changes_only_the_number_of_neurbf():
    found, wanted = sphere(0.5, 1, 500), sphere(0.7, 2)
    forth = compare_surfaces(found, wanted, thresholds=(0.21, 0.25)).metrics()
    back = compare_surfaces(wanted, found, thresholds=(0.21, 0.25)).metrics()
    assert forth.pop("nae_neurbf_code") != back.pop("nae_neurbf_code")
    assert forth == pytest.approx(back, rel=1e-14)


def test_number_of_neurbf_by_hand():
    # Found has one point; wanted has two, at 60 and at 0 degrees to it.
    found = SurfaceSamples(points=nothing(1), normals=np.array([[0.0, 0.0, 1.0]]))
    wanted = SurfaceSamples(
        points=np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]),
        normals=np.array([[math.sqrt(0.75), 0.0, 0.5], [0.0, 0.0, -1.0]]),
    )
    scores = compare_surfaces(found, wanted)
    assert scores.nae == pytest.approx((60 + (60 + 0) / 2) / 2)
    assert scores.nae_neurbf_code == pytest.approx((30 + 0.75) / 2)
    assert scores.normal_consistency == pytest.approx((0.5 + 0.75) / 2)
    assert scores.chamfer_l1 == pytest.approx(1 + 1.5)
    assert scores.chamfer_l2 == pytest.approx(1 + 2.5)


def test_equals_the_formulas_without_a_tree():
    found, wanted = sphere(0.5, 1, 60), sphere(0.6, 2, 80)
    table = np.linalg.norm(found.points[:, None] - wanted.points[None], axis=2)
    cosines = np.abs(found.normals @ wanted.normals.T)
    there = cosines[np.arange(60), table.argmin(1)]
    back = cosines[table.argmin(0), np.arange(80)]
    scores = compare_surfaces(found, wanted, thresholds=(0.15,))
    near, far = table.min(1), table.min(0)
    assert scores.chamfer_l1 == pytest.approx(near.mean() + far.mean())
    assert scores.chamfer_l2 == pytest.approx((near**2).mean() + (far**2).mean())
    assert scores.normal_consistency == pytest.approx((there.mean() + back.mean()) / 2)
    angles = np.degrees(np.arccos(there)).mean(), np.degrees(np.arccos(back)).mean()
    assert scores.nae == pytest.approx(sum(angles) / 2)
    assert scores.nae_neurbf_code == pytest.approx((angles[1] + back.mean()) / 2)
    p, r = (near <= 0.15).mean(), (far <= 0.15).mean()
    assert scores.f_score[0.15] == pytest.approx(100 * 2 * p * r / (p + r))
    assert 0 < scores.f_score[0.15] < 100


@pytest.mark.parametrize("length", [1e-300, 1e-5, 7.0, 1e200])
def test_lengths_of_normals_do_not_count(length: float):
    wanted = sheet()
    found = sheet(tilt=20)
    longer = SurfaceSamples(points=found.points, normals=length * found.normals)
    assert compare_surfaces(longer, wanted).nae == pytest.approx(20)


def test_no_score_is_ever_no_number():
    flat = sheet()
    without = SurfaceSamples(points=flat.points, normals=nothing(len(flat.points)))
    for pair in ((without, flat), (flat, without), (without, without)):
        scores = compare_surfaces(*pair)
        assert scores.nae == pytest.approx(90)
        assert scores.normal_consistency == 0.0
        assert all(math.isfinite(score) for score in scores.metrics().values())
    one = SurfaceSamples(points=nothing(1), normals=np.ones((1, 3)))
    same = compare_surfaces(one, one).metrics()
    assert all(math.isfinite(score) for score in same.values())


def test_names_of_scores():
    metrics = compare_surfaces(sheet(), sheet()).metrics()
    assert list(metrics) == [
        "chamfer_l1",
        "chamfer_l2",
        "f_score_1e-2",
        "f_score_2e-3",
        "f_score_1e-3",
        "f_score_2e-4",
        "f_score_1e-4",
        "normal_consistency",
        "nae",
        "nae_neurbf_code",
        "hausdorff_95",
    ]
    assert all(type(score) is float for score in metrics.values())
    odd = compare_surfaces(sheet(), sheet(), thresholds=(0.0125, 20.0)).metrics()
    assert {"f_score_1.25e-2", "f_score_2e1"} < set(odd)
    assert len(THRESHOLDS) == 5


def test_scores_and_samples_are_frozen():
    samples = sheet()
    with pytest.raises(AttributeError):
        samples.points = nothing(1)
    scores: SurfaceScores = compare_surfaces(samples, samples)
    with pytest.raises(AttributeError):
        scores.nae = 0.0


@pytest.mark.parametrize("threshold", [0.0, -1e-3, math.nan, math.inf])
def test_thresholds_are_positive(threshold: float):
    with pytest.raises(ConfigError, match="positive"):
        compare_surfaces(sheet(), sheet(), thresholds=(1e-2, threshold))


@pytest.mark.usefixtures("unchecked")
def test_samples_that_cannot_be_compared_are_refused():
    with pytest.raises(ShapeError, match="at least one point"):
        SurfaceSamples(points=nothing(0), normals=nothing(0))
    with pytest.raises(ShapeError, match="n x 3"):
        SurfaceSamples(points=nothing(2), normals=nothing(3))
    with pytest.raises(ShapeError, match="n x 3"):
        SurfaceSamples(points=np.zeros((2, 2)), normals=np.zeros((2, 2)))
    for broken in (np.full((1, 3), np.nan), np.full((1, 3), np.inf)):
        with pytest.raises(ShapeError, match="finite"):
            SurfaceSamples(points=broken, normals=nothing(1))
        with pytest.raises(ShapeError, match="finite"):
            SurfaceSamples(points=nothing(1), normals=broken)
