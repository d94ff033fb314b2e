"""Even samples and quantiles of weights, against NumPy and by what they cover."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.ops.ray_march import (
    OccupiedCells,
    RaySamples,
    Steps,
    march,
    occupied_cells,
)
from tangrid.rendering.sampling import Spacing, resampled, stratified, warped
from tangrid.rendering.scene_space import BoxRays
from tangrid.seeding import generator
from tests.ops.comparison import assert_same_bits
from tests.tolerances import PARITY_FLOAT32

SPACINGS: list[Spacing] = ["distance", "disparity"]


def grid(cascades: int = 1, side: int = 32) -> OccupiedCells:
    return occupied_cells(torch.ones(cascades, side, side, side, dtype=torch.bool))


def rays_at(
    origins: Tensor, directions: Tensor, near: float = 0.0, far: float = 100.0
) -> BoxRays:
    many = torch.ones(len(origins))
    return BoxRays(origins, directions, near * many, far * many, many)


def random_rays(count: int = 60, near: float = 0.0, far: float = 100.0) -> BoxRays:
    """From inside and outside of the box; about half of them meet it."""
    source = generator(0, "sampling")
    origins = 0.5 + 1.2 * torch.randn(count, 3, generator=source)
    directions = torch.randn(count, 3, generator=source)
    targets = 0.5 + 0.3 * torch.randn(count, 3, generator=source)
    directions[::2] = (targets - origins)[::2]
    directions = torch.nn.functional.normalize(directions, dim=1)
    return rays_at(origins, directions, near, far)


def ways(rays: BoxRays, cascades: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter the largest cube and leave it, by planes in float64."""
    origins, directions = rays.origins.double(), rays.directions.double()
    half = 2.0 ** (cascades - 2)
    planes = torch.stack((0.5 - half - origins, 0.5 + half - origins)) / directions
    first = torch.maximum(planes.amin(0).amax(1), rays.nears.double())
    last = torch.minimum(planes.amax(0).amin(1), rays.fars.double())
    first, last = first.clamp(min=0).numpy(), last.numpy()
    return first, np.maximum(last, first)


def per_ray(samples: RaySamples, values: Tensor) -> list[Tensor]:
    return list(values.split(samples.bounds.diff().tolist()))


def middles(rays: BoxRays) -> Tensor:
    return torch.full_like(rays.nears, 0.5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("cascades", [1, 3])
def test_even_samples_cover_the_way_through_the_box(spacing: Spacing, cascades: int):
    rays = random_rays(near=0.2, far=2.5)
    samples = stratified(rays, grid(cascades), 24, middles(rays), spacing=spacing)
    first, last = ways(rays, cascades)
    counts = samples.bounds.diff()
    assert counts.tolist() == [24 * (b > a) for a, b in zip(first, last, strict=True)]
    assert 0 < int((counts > 0).sum()) < 60
    covered = [float(lengths.sum()) for lengths in per_ray(samples, samples.lengths)]
    assert np.allclose(covered, last - first, atol=1e-5)
    for number, distances in enumerate(per_ray(samples, samples.distances)):
        assert bool((distances.diff() > 0).all())
        if len(distances):
            assert first[number] <= float(distances[0])
            assert float(distances[-1]) <= last[number]
    assert bool((samples.lengths > 0).all())
    edge = 2.0 ** (cascades - 2)
    assert float((samples.points - 0.5).abs().max()) <= edge + 1e-6
    ray = samples.rays()
    found = rays.origins[ray] + samples.distances[:, None] * rays.directions[ray]
    assert torch.equal(samples.points, found)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("jitter", ["per ray", "per bin"])
def test_every_bin_has_one_sample(spacing: Spacing, jitter: str):
    rays = random_rays()
    shape = (60,) if jitter == "per ray" else (60, 16)
    shares = torch.rand(shape, generator=generator(1, "jitter"))
    samples = stratified(rays, grid(2), 16, shares, spacing=spacing)
    first, last = (warped(torch.from_numpy(end), spacing) for end in ways(rays, 2))
    for number, distances in enumerate(per_ray(samples, samples.distances)):
        if not len(distances):
            continue
        width = float(last[number] - first[number]) / 16
        places = (warped(distances, spacing) - float(first[number])) / width
        wanted = torch.arange(16) + shares[number]
        assert torch.allclose(places, wanted, atol=2e-4)


def test_disparity_is_even_beyond_one_side_of_the_box():
    rays = rays_at(torch.full((1, 3), 0.5), torch.eye(3)[:1], near=1.0, far=50.0)
    samples = stratified(rays, grid(8), 30, middles(rays), spacing="disparity")
    inverse = (1 / samples.distances.double()).numpy()
    assert np.allclose(np.diff(inverse), np.diff(inverse).mean(), atol=1e-6)
    assert samples.distances[-1] > 25
    # Within one side it is even in the distance, and there is nothing at infinity.
    rays = rays_at(torch.full((1, 3), 0.5), torch.eye(3)[:1], far=1.0)
    near = stratified(rays, grid(8), 30, middles(rays), spacing="disparity")
    assert torch.allclose(near.distances, (torch.arange(30) + 0.5) / 30)


def test_the_scale_is_smooth_where_it_begins_to_shrink():
    around = torch.tensor([1 - 1e-3, 1.0, 1 + 1e-3], dtype=torch.float64)
    slopes = warped(around, "disparity").diff() / 1e-3
    assert torch.allclose(slopes, torch.ones_like(slopes), atol=2e-3)
    far = warped(torch.tensor([1e6, torch.inf]), "disparity")
    assert far.tolist() == [pytest.approx(2), 2]


def test_another_scale_is_refused(unchecked: None):
    with pytest.raises(ConfigError, match="spacing: expected one of 'distance'"):
        warped(torch.ones(3), "inverse")  # type: ignore[arg-type]


def test_cells_are_those_of_marching():
    source = generator(0, "parallel")
    origins = torch.rand(40, 3, generator=source) * 2 - 0.5
    origins[:, 0] = -3
    rays = rays_at(origins, torch.tensor([[1.0, 0.0, 0.0]]).repeat(40, 1))
    samples = stratified(rays, grid(2), 64, middles(rays))
    steps = Steps(shortest=2 / 64)
    marched = march(*rays[:4], middles(rays), grid(2), steps)
    assert torch.equal(samples.bounds, marched.bounds)
    assert torch.allclose(samples.points, marched.points, atol=1e-6)
    assert torch.allclose(samples.lengths, marched.lengths, atol=1e-6)
    assert torch.equal(samples.cells, marched.cells)


@pytest.mark.parametrize("case", ["no rays", "beside the box", "no numbers"])
def test_rays_that_miss_have_no_samples(case: str):
    rays = rays_at(torch.tensor([[0.5, 0.5, 3.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    if case == "no rays":
        rays = BoxRays(*(part[:0] for part in rays))
    elif case == "no numbers":
        rays = rays._replace(origins=torch.full((1, 3), torch.nan))
    samples = stratified(rays, grid(), 8, middles(rays))
    assert samples.bounds.tolist() == [0] * (len(rays.origins) + 1)
    assert samples.points.shape == (0, 3)
    again = resampled(rays, grid(), samples, samples.distances, 5, middles(rays))
    assert_same_bits(again._asdict(), samples._asdict())


def drawn(
    edges: np.ndarray, weights: np.ndarray, count: int, offset: float, padding: float
) -> np.ndarray:
    """Quantiles of weights that reach over to their neighbours, by interpolation."""
    padded = np.concatenate(([0.0], weights, [0.0]))
    larger = np.maximum(padded[1:], padded[:-1])
    masses = (larger[1:] + larger[:-1]) / 2 + padding
    heaped = np.concatenate(([0.0], np.cumsum(masses) / masses.sum()))
    return np.interp((np.arange(count) + offset) / count, heaped, edges)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_new_samples_are_quantiles_of_the_weights(spacing: Spacing):
    rays = random_rays(far=3.0)
    source = generator(2, "weights")
    offsets = torch.rand(60, generator=source)
    coarse = stratified(rays, grid(3), 12, offsets, spacing=spacing)
    weights = torch.rand(len(coarse.distances), generator=source) ** 6
    weights[::7] = 0
    found = resampled(
        rays, grid(3), coarse, weights, 20, offsets, spacing=spacing, padding=0.01
    )
    assert found.bounds.tolist() == (coarse.bounds * 32 // 12).tolist()
    first, last = ways(rays, 3)
    parts = zip(
        per_ray(coarse, coarse.distances),
        per_ray(coarse, weights),
        per_ray(found, found.distances),
        per_ray(found, found.lengths),
        strict=True,
    )
    for number, (old, weight, every, lengths) in enumerate(parts):
        if not len(old):
            continue
        ends = first[number], last[number]
        borders = np.concatenate((
            [ends[0]],
            (old[1:] + old[:-1]).double() / 2,
            [ends[1]],
        ))
        edges = warped(torch.from_numpy(borders), spacing).numpy()
        share = float(offsets[number])
        new = drawn(edges, weight.double().numpy(), 20, share, 0.01)
        if spacing == "disparity":
            new = np.where(new < 1, new, 1 / (2 - np.maximum(new, 1)))
        wanted = np.sort(np.concatenate((old.double().numpy(), new)))
        assert np.allclose(every, wanted, atol=1e-4)
        # Each stands for what is nearer to it than to the next.
        borders = np.concatenate(([ends[0]], (wanted[1:] + wanted[:-1]) / 2, [ends[1]]))
        assert np.allclose(lengths, np.diff(borders), atol=2e-4)
        assert float(lengths.sum()) == pytest.approx(ends[1] - ends[0], abs=1e-5)


def through_the_box(count: int = 1) -> BoxRays:
    origins = torch.tensor([[-1.0, 0.5, 0.5]]).repeat(count, 1)
    return rays_at(origins, torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1))


def test_even_weights_give_even_samples():
    """With no weight at all there is only the padding, which is even."""
    rays = through_the_box()
    coarse = stratified(rays, grid(), 8, middles(rays))
    found = resampled(rays, grid(), coarse, torch.zeros(8), 16, middles(rays))
    old = 1 + (torch.arange(8) + 0.5) / 8
    new = 1 + (torch.arange(16) + 0.5) / 16
    wanted = torch.cat((old, new)).sort().values
    assert torch.allclose(found.distances, wanted, atol=1e-6)


def test_a_ray_without_weights_needs_padding():
    rays = through_the_box()
    coarse = stratified(rays, grid(), 8, middles(rays))
    with pytest.raises(ConfigError, match=r"expected a padding above 0, got 0\.0"):
        resampled(rays, grid(), coarse, torch.zeros(8), 16, middles(rays), padding=0.0)


def test_samples_gather_around_the_one_that_sees_something():
    rays = through_the_box()
    coarse = stratified(rays, grid(), 16, middles(rays))
    weights = torch.zeros(16)
    weights[6] = 1.0
    found = resampled(
        rays, grid(), coarse, weights, 100, middles(rays), padding=1e-5
    ).distances
    low, high = 1 + 5 / 16, 1 + 8 / 16
    counts = torch.histc(found, 48, 1.0, 2.0).view(16, 3).sum(1) - 1
    assert counts[5:8].tolist() == [25, 50, 25]
    assert int(counts.sum()) == 100
    within = found[(found > low) & (found < high)]
    assert float(within.diff().max()) < 0.01


def test_a_wall_between_two_samples_is_found():
    """One sample sees it and the one before does not; where does it begin?"""
    rays = through_the_box()
    coarse = stratified(rays, grid(), 16, middles(rays))
    weights = torch.nn.functional.one_hot(torch.tensor(7), 16).float()
    found = resampled(rays, grid(), coarse, weights, 32, middles(rays))
    before, seen = 1 + 6.5 / 16, 1 + 7.5 / 16
    between = found.distances[(found.distances > before) & (found.distances < seen)]
    # A quarter of the weight is in its bin, an eighth in the one before.
    assert len(between) >= 11
    assert float(between.diff().max()) < 1 / 16 / 7


def test_no_gradients_and_the_same_bits_again():
    rays = random_rays()
    offsets = torch.rand(60, generator=generator(3, "offsets"))
    coarse = stratified(rays, grid(), 8, offsets)
    weights = torch.linspace(0, 1, len(coarse.distances)).requires_grad_()
    runs = [resampled(rays, grid(), coarse, weights, 9, offsets) for _ in range(2)]
    assert_same_bits(runs[0]._asdict(), runs[1]._asdict())
    assert not any(part.requires_grad for part in runs[0])


def test_offsets_shift_the_quantiles():
    """All offsets together are finer quantiles: nothing else is random."""
    rays = through_the_box(5)
    offsets = (torch.arange(5) + 0.5) / 5
    coarse = stratified(rays, grid(), 10, middles(rays))
    weights = torch.linspace(0, 1, 10).repeat(5)
    found = resampled(rays, grid(), coarse, weights, 6, offsets)
    old = coarse.distances.view(5, 10)
    rows = found.distances.view(5, 16)
    new = torch.stack([
        torch.tensor(sorted(set(row.tolist()) - set(own.tolist())))
        for row, own in zip(rows, old, strict=True)
    ])
    one = through_the_box()
    single = stratified(one, grid(), 10, middles(one))
    finer = resampled(one, grid(), single, weights[:10], 30, middles(one))
    wanted = torch.tensor(sorted(set(finer.distances.tolist()) - set(old[0].tolist())))
    assert torch.allclose(new.T.flatten(), wanted, atol=PARITY_FLOAT32)


@pytest.mark.parametrize("shape", [(59,), (60, 7), (60, 1)])
def test_offsets_of_other_rays_are_refused(shape: tuple[int, ...], unchecked: None):
    with pytest.raises(ShapeError, match=r"stratified\(offsets=...\): expected \[60\]"):
        stratified(random_rays(), grid(), 8, torch.zeros(shape))


def test_weights_of_other_samples_are_refused(unchecked: None):
    rays = random_rays()
    coarse = stratified(rays, grid(), 8, middles(rays))
    marched = march(*rays[:4], middles(rays), grid(), Steps(shortest=0.1))
    for samples, weights in (
        (coarse, coarse.distances[1:]),
        (marched, marched.distances),
    ):
        with pytest.raises(ShapeError, match="samples of these rays by `stratified`"):
            resampled(rays, grid(), samples, weights, 4, middles(rays))
