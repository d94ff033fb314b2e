"""Marching: the fast form against a look at every place, and the lattice of steps."""

import itertools
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.ops import ray_march as operators
from tangrid.ops.contract import ImplementationName, used_implementations
from tangrid.ops.ray_march import (
    OccupiedCells,
    RaySamples,
    Steps,
    occupied_cells,
)
from tangrid.seeding import generator
from tests.ops.comparison import assert_close, at_home, running
from tests.tolerances import CELLS_FLOAT32, PARITY_FLOAT32, PARITY_FLOAT64

march = at_home(operators.march)
observe = at_home(operators.observe)

FAST = ("numba", "triton")
EVERY = (*FAST, "reference")
# Interpreted programs need seconds for one long ray: they are compared with these.
QUICK = ("numba", "reference")
SIDE = 32


class Rays(NamedTuple):
    """Where rays begin and go, and where samples of them may be."""

    origins: Tensor
    directions: Tensor
    nears: Tensor
    fars: Tensor
    offsets: Tensor


def ray(origin: list[float], direction: list[float], **limits: float) -> Rays:
    given = {"near": 0.0, "far": 1e6, "offset": 0.5, **limits}
    numbers = (torch.tensor([value]) for value in given.values())
    return Rays(torch.tensor([origin]), torch.tensor([direction]), *numbers)


def random_rays(count: int, reach: float = 2.0) -> Rays:
    """Rays from in and around the boxes; some of them pass by."""
    source = generator(0, "rays", count)
    origins = 0.5 + reach * (2 * torch.rand(count, 3, generator=source) - 1)
    targets = 1.6 * torch.rand(count, 3, generator=source) - 0.3
    directions = torch.nn.functional.normalize(targets - origins, dim=1)
    # Some go along a side, or along two.
    directions[::9, 1] = 0
    directions[::13, 0] = 0
    directions[::27, 2] = 1.0
    directions = torch.nn.functional.normalize(directions, dim=1)
    nears = 0.3 * torch.rand(count, generator=source)
    fars = 0.5 + 6 * torch.rand(count, generator=source)
    return Rays(origins, directions, nears, fars, torch.rand(count, generator=source))


def random_cells(fraction: float, cascades: int, side: int = SIDE) -> OccupiedCells:
    """Single cells at random, and a few whole blocks without any."""
    source = generator(0, "cells", cascades, fraction)
    cells = torch.rand(cascades, side, side, side, generator=source) < fraction
    if fraction < 1:
        cells[:, 8:24, :8, 16:] = False
    return occupied_cells(cells)


def full(cascades: int = 1) -> OccupiedCells:
    return random_cells(1.0, cascades)


def places_on_rays(found: RaySamples, rays: Rays, steps: Steps) -> set[tuple[int, int]]:
    """Which place of which ray's lattice each sample has; it must have one."""
    numbers = steps.number(found.distances.double())
    first, owner = found.bounds[:-1], found.rays()
    start = numbers - rays.offsets.double()[owner]
    # The lattice of a ray is known from its first sample.
    behind = start - start[first.clamp(max=max(len(start) - 1, 0))[owner]]
    assert float((behind - behind.round()).abs().max() if len(behind) else 0) < 0.02
    return {
        (int(r), int(k)) for r, k in zip(owner, behind.round().tolist(), strict=True)
    }


def clear_of_borders(found: RaySamples, cells: OccupiedCells) -> Tensor:
    """Which samples single precision puts into a cell without doubt."""
    reach = 2 * (found.points - 0.5).abs().amax(1)
    cascade = reach.clamp(min=1).log2().floor().add(reach >= 1).clamp(min=0)
    cascade = cascade.clamp(max=cells.num_cascades - 1)
    places = (found.points - 0.5) / 2 ** cascade[:, None] * cells.resolution
    return ((places - places.round()).abs() > CELLS_FLOAT32).all(1)


def assert_same_samples(
    choice: ImplementationName,
    rays: Rays,
    cells: OccupiedCells,
    steps: Steps,
    **more,
) -> RaySamples:
    with running(choice):
        found = march(*rays, cells, steps, **more)
    assert used_implementations()["ray_march"] == choice
    with running("reference"):
        expected = march(*rays, cells, steps, **more)
    if found.bounds.equal(expected.bounds):
        assert_close(
            {key: getattr(found, key) for key in ("points", "distances", "lengths")},
            {key: getattr(expected, key) for key in ("points", "distances", "lengths")},
        )
        other = found.cells != expected.cells
        assert not bool((other & clear_of_borders(found, cells)).any())
        return found
    # A place on a border may be taken by one and left by the other.
    both = []
    for samples in (found, expected):
        clear = clear_of_borders(samples, cells)
        keys = zip(samples.rays(), samples.distances, clear, strict=True)
        both.append({(int(r), round(float(t), 4)) for r, t, known in keys if known})
    near = {(r, round(t + d, 4)) for r, t in both[1] for d in (-1e-4, 0.0, 1e-4)}
    far = {(r, round(t + d, 4)) for r, t in both[0] for d in (-1e-4, 0.0, 1e-4)}
    assert both[0] <= near
    assert both[1] <= far
    assert abs(len(found.distances) - len(expected.distances)) <= 5
    return found


CASES = list(itertools.product([1, 2, 3], [0.0, 1 / 64], [0.0, 1e-3, 0.5, 1.0]))
FEW = [(1, 0.0, 0.5), (1, 1 / 64, 1e-3), (1, 1 / 64, 1.0), (3, 0.0, 1e-3)]
FEW += [(3, 1 / 64, 0.5), (2, 0.0, 0.0)]


@pytest.mark.parametrize(
    ("choice", "cascades", "slope", "fraction"),
    [*(("numba", *case) for case in CASES), *(("triton", *case) for case in FEW)],
)
def test_fast_forms_are_the_reference(
    choice, cascades: int, slope: float, fraction: float
):
    steps = Steps(shortest=0.011, longest=0.011 * 2 ** (cascades - 1), slope=slope)
    rays, cells = random_rays(200), random_cells(fraction, cascades)
    found = assert_same_samples(choice, rays, cells, steps)
    if fraction == 0:
        assert not len(found.points)
    elif fraction == 1:
        assert bool((found.bounds.diff() > 32).any())
    if cascades == 1:
        assert bool((found.bounds.diff() == 0).any())


def test_samples_are_where_they_say():
    steps = Steps(shortest=0.013, longest=0.03, slope=1 / 64)
    rays, cells = random_rays(150), random_cells(0.3, 2)
    found = march(*rays, cells, steps)
    owner, distances = found.rays(), found.distances
    assert len(distances) > 1000
    on_ray = rays.origins[owner] + distances[:, None] * rays.directions[owner]
    assert_close({"points": found.points}, {"points": on_ray})
    assert bool(
        ((distances >= rays.nears[owner]) & (distances < rays.fars[owner])).all()
    )
    assert float((found.points - 0.5).abs().max()) < 1 + PARITY_FLOAT32
    clear = clear_of_borders(found, cells)
    cascade = ((found.points - 0.5).abs().amax(1) >= 0.5).long()
    places = (found.points - 0.5) / 2 ** cascade[:, None] + 0.5
    x, y, z = (places * SIDE).long().unbind(1)
    number = ((cascade * SIDE + z) * SIDE + y) * SIDE + x
    assert bool((number == found.cells)[clear].all())
    assert bool(cells.unpacked().flatten()[found.cells].all())
    assert torch.allclose(found.lengths, (distances / 64).clamp(0.013, 0.03))


@pytest.mark.parametrize("choice", QUICK)
@pytest.mark.parametrize("slope", [0.0, 1 / 64])
def test_samples_stand_on_a_lattice(choice, slope: float):
    """Gaps are whole steps, so that filling a cell moves no other sample."""
    steps = Steps(shortest=0.012, longest=0.05, slope=slope)
    rays = random_rays(100)
    with running(choice):
        dense = places_on_rays(march(*rays, full(), steps), rays, steps)
        found = march(*rays, random_cells(0.2, 1), steps)
    sparse = places_on_rays(found, rays, steps)
    assert 0 < len(sparse) < len(dense)
    if not slope:
        gaps = found.distances.diff() / 0.012
        inside = found.rays().diff() == 0
        assert float((gaps - gaps.round()).abs()[inside].max()) < 1e-3


@pytest.mark.parametrize("choice", QUICK)
def test_a_full_box_is_crossed_evenly(choice):
    steps = Steps(shortest=0.01)
    through = ray([-1.0, 0.505, 0.505], [1.0, 0.0, 0.0], offset=0.25)
    with running(choice):
        found = march(*through, full(), steps)
    assert found.bounds.tolist() == [0, 100]
    exact = 1 + 0.01 * (torch.arange(100) + 0.25)
    assert torch.allclose(found.distances, exact, atol=2e-6)
    assert float(found.lengths.sum()) == pytest.approx(1)


@pytest.mark.parametrize("choice", QUICK)
@pytest.mark.parametrize("cascades", [1, 3])
def test_lengths_add_up_to_the_way_inside(choice, cascades: int):
    steps = Steps(shortest=0.004)
    rays = random_rays(60)._replace(nears=torch.zeros(60), fars=torch.full((60,), 1e6))
    with running(choice):
        found = march(*rays, full(cascades), steps)
    edges = 0.5 + 2.0 ** (cascades - 2) * torch.tensor([-1.0, 1.0]).double()
    ways = (edges[:, None, None] - rays.origins) / rays.directions.double()
    ways = ways.nan_to_num(posinf=1e9, neginf=-1e9)
    inside = ((rays.origins.double() - 0.5).abs() < edges[1] - 0.5) | (
        rays.directions != 0
    )
    first = ways.amin(0).amax(1).clamp(min=0)
    wanted = (ways.amax(0).amin(1) - first).clamp(min=0) * inside.all(1)
    total = torch.zeros(60).index_add(0, found.rays(), found.lengths)
    # A half step at either end, and the rounding of some hundred lengths.
    assert float((total - wanted).abs().max()) < 0.004 + 1e-5
    assert float(wanted.max()) > 1


SPECIAL = {
    "inside": (ray([0.52, 0.51, 0.51], [0.0, 0.6, 0.8]), (0.0, 0.6125)),
    "inside, backwards": (ray([0.52, 0.51, 0.51], [0.0, -1.0, 0.0]), (0.0, 0.51)),
    "along x": (ray([-1.0, 0.51, 0.51], [1.0, 0.0, 0.0]), (1.0, 2.0)),
    "against z": (ray([0.51, 0.51, 3.0], [0.0, 0.0, -1.0]), (2.0, 3.0)),
    "near": (ray([-1.0, 0.51, 0.51], [1.0, 0.0, 0.0], near=1.25), (1.25, 2.0)),
    "far": (ray([-1.0, 0.51, 0.51], [1.0, 0.0, 0.0], far=1.25), (1.0, 1.25)),
    "near the end": (ray([-1.0, 0.51, 0.51], [1.0, 0.0, 0.0], near=3.0), None),
    "ends before": (ray([-1.0, 0.51, 0.51], [1.0, 0.0, 0.0], far=0.5), None),
    "misses": (ray([-1.0, 1.51, 0.51], [1.0, 0.0, 0.0]), None),
    "misses aslant": (ray([-1.0, 0.5, 0.5], [0.6, 0.8, 0.0]), None),
    "behind": (ray([2.0, 0.51, 0.51], [1.0, 0.0, 0.0]), None),
    "nothing": (ray([2.0, 0.51, 0.51], [0.0, 0.0, 0.0]), None),
    "nothing inside": (ray([0.5, 0.51, 0.51], [0.0, 0.0, 0.0], far=1e6), None),
}


@pytest.mark.parametrize("choice", QUICK)
@pytest.mark.parametrize("name", SPECIAL)
def test_rays_of_every_kind(name: str, choice):
    rays, span = SPECIAL[name]
    with running(choice):
        found = march(*rays, full(), Steps(shortest=0.01))
    if span is None:
        assert found.bounds.tolist() == [0, 0]
        return
    first, last = float(found.distances[0]), float(found.distances[-1])
    assert first == pytest.approx(span[0] + 0.005, abs=1e-5)
    assert span[1] - 0.01 - 1e-5 <= last < span[1]
    assert len(found.distances) == round((last - first) / 0.01) + 1


def test_programs_take_rays_of_every_kind_at_once():
    parts = zip(*(rays for rays, _ in SPECIAL.values()), strict=True)
    every, steps = Rays(*map(torch.cat, parts)), Steps(shortest=0.02)
    with running("triton"):
        found = march(*every, full(), steps)
        again = march(*every, full(), steps)
    with running("numba"):
        expected = march(*every, full(), steps)
    assert found.bounds.equal(expected.bounds)
    assert found.cells.equal(expected.cells)
    for key in ("points", "distances", "lengths"):
        assert_close({key: getattr(found, key)}, {key: getattr(expected, key)})
        assert getattr(again, key).equal(getattr(found, key))


@pytest.mark.parametrize("choice", EVERY)
def test_no_rays_have_no_samples(choice):
    with running(choice):
        found = march(*(part[:0] for part in random_rays(3)), full(), Steps(shortest=1))
    assert found.bounds.tolist() == [0]
    assert found.points.shape == (0, 3)


@pytest.mark.parametrize("choice", EVERY)
@pytest.mark.parametrize("bad", ["origins", "directions", "nears", "offsets"])
def test_a_ray_that_is_no_number_ends_at_once(choice, bad: str):
    rays = random_rays(2, reach=0.2)
    getattr(rays, bad)[0] = torch.nan
    with running(choice):
        found = march(*rays, full(), Steps(shortest=0.04))
    assert int(found.bounds[1]) == 0
    assert int(found.bounds[2]) > 0
    assert bool(found.points.isfinite().all())


@pytest.mark.parametrize("choice", EVERY)
def test_a_density_that_is_no_number_stays_so(choice):
    highest, lowest = torch.zeros(2), torch.full((2,), torch.inf)
    values = torch.tensor([1.0, torch.nan, 2.0, 3.0])
    with running(choice):
        observe(torch.tensor([0, 0, 0, 1]), values, highest, lowest)
    assert highest.isnan().tolist() == lowest.isnan().tolist() == [True, False]
    assert highest[1] == lowest[1] == 3


@pytest.mark.parametrize("choice", FAST)
def test_a_ray_from_where_steps_are_lost_is_refused(choice):
    """In single precision it would stand still for ever."""
    rays = ray([-1e6, 0.5, 0.5], [1.0, 0.0, 0.0], far=1e9)
    with (
        running(choice),
        pytest.raises(ConfigError, match=r"march: .* move every ray on, got .* 0\.01"),
    ):
        march(*rays, full(), Steps(shortest=0.01))


@pytest.mark.parametrize("choice", QUICK)
def test_directions_may_have_any_length(choice):
    rays, cells = random_rays(80), random_cells(0.5, 1)
    twice = rays._replace(
        directions=2 * rays.directions, nears=rays.nears / 2, fars=rays.fars / 2
    )
    with running(choice):
        expected = march(*rays, cells, Steps(shortest=0.02))
        found = march(*twice, cells, Steps(shortest=0.01))
    assert found.bounds.equal(expected.bounds)
    assert_close({"points": found.points}, {"points": expected.points})
    assert_close({"t": 2 * found.distances}, {"t": expected.distances})


@pytest.mark.parametrize("choice", EVERY)
def test_a_ray_ends_where_cells_are_thick(choice):
    """A step is worth 0.5: after five of them more than two have been passed."""
    rays = ray([-1.0, 0.505, 0.505], [1.0, 0.0, 0.0])
    densities = torch.full((SIDE**3,), 50.0)
    more = {"densities": densities, "most_thickness": 2.25}
    with running(choice):
        found = march(*rays, full(), Steps(shortest=0.01), **more)
        densities.mul_(0.5)
        thinner = march(*rays, full(), Steps(shortest=0.01), **more)
        densities.zero_()
        empty = march(*rays, full(), Steps(shortest=0.01), **more)
    assert [len(part.points) for part in (found, thinner, empty)] == [5, 10, 100]


@pytest.mark.parametrize(
    ("choice", "cascades"), [("numba", 1), ("numba", 2), ("triton", 2)]
)
def test_random_densities_end_the_same_rays(choice, cascades: int):
    rays, cells = random_rays(200), random_cells(0.5, cascades)
    steps = Steps(shortest=0.013, longest=0.03, slope=1 / 64)
    source = generator(0, "densities", cascades)
    densities = torch.empty(cascades * SIDE**3).exponential_(0.02, generator=source)
    found = assert_same_samples(
        choice, rays, cells, steps, densities=densities, most_thickness=4.0
    )
    every = march(*rays, cells, steps)
    assert len(found.points) < 0.8 * len(every.points)
    # What is left is the front of each ray.
    counts = found.bounds.diff()
    places = torch.arange(len(found.cells)) - found.bounds[found.rays()]
    assert found.cells.equal(every.cells[every.bounds[found.rays()] + places])
    thickness = densities[found.cells] * found.lengths
    passed = torch.zeros(200).index_add(0, found.rays(), thickness)
    ended = counts < every.bounds.diff()
    assert bool((passed[ended] > 4.0 - 1e-4).all())
    assert int(ended.sum()) > 20


@pytest.mark.parametrize("choice", EVERY)
def test_what_stands_in_front_of_a_wall_is_not_rounded_away(choice):
    """Twenty-five steps of 9.99, and then a wall: it is not looked at."""
    rays = ray([-1.0, 0.505, 0.505], [1.0, 0.0, 0.0])
    densities = torch.full((SIDE, SIDE, SIDE), 999.0)
    densities[:, :, 8:] = 1e12
    more = {"densities": densities.flatten(), "most_thickness": 249.7}
    with running(choice):
        found = march(*rays, full(), Steps(shortest=0.01), **more)
    assert len(found.points) == 25


STEPS = {
    "alike": Steps(shortest=0.01),
    "growing": Steps(shortest=0.01, slope=1 / 128),
    "growing to an end": Steps(shortest=0.01, longest=0.05, slope=1 / 64),
    "hardly growing": Steps(shortest=0.01, longest=0.01, slope=1 / 256),
}
steps_of_all_kinds = st.sampled_from(list(STEPS.values()))
distances_of_scenes = st.floats(0.0, 50.0)


@given(steps_of_all_kinds, distances_of_scenes)
def test_numbers_and_distances_belong_to_each_other(steps: Steps, distance: float):
    exact = torch.tensor([distance], dtype=torch.float64)
    number = steps.number(exact)
    assert torch.allclose(steps.distance(number), exact, rtol=PARITY_FLOAT64)
    assert torch.allclose(steps.number(steps.distance(number)), number, rtol=1e-11)


@given(steps_of_all_kinds, distances_of_scenes, distances_of_scenes)
def test_what_is_further_away_has_a_larger_number(
    steps: Steps, one: float, other: float
):
    pair = torch.tensor(sorted((one, other)), dtype=torch.float64)
    numbers = steps.number(pair)
    if pair[1] - pair[0] > 1e-12:
        assert float(numbers[0]) < float(numbers[1])
    # Two logarithms meet at a joint, each with a rounding of its own.
    assert float(numbers[0]) <= float(numbers[1]) + 1e-11


@given(steps_of_all_kinds, st.floats(0.0, 5000.0))
def test_a_step_is_as_long_as_it_says(steps: Steps, number: float):
    exact = torch.tensor([number, number + 1], dtype=torch.float64)
    here, there = steps.distance(exact)
    lengths = steps.length(torch.stack((here, there)))
    # A step over a joint has a length between those of both its ends.
    rounding = 1e-9 * (1 + float(there))
    assert lengths[0] - rounding <= there - here <= lengths[1] + rounding


@pytest.mark.parametrize("name", ["growing", "growing to an end"])
def test_nothing_jumps_at_the_joints(name: str):
    steps = STEPS[name]
    joints = [steps.shortest / steps.slope, steps.longest / steps.slope]
    for joint in (value for value in joints if value < torch.inf):
        around = joint * torch.tensor([1 - 1e-12, 1.0, 1 + 1e-12], dtype=torch.float64)
        numbers = steps.number(around)
        assert float((numbers - numbers[1]).abs().max()) < 1e-8
        below = steps.distance(numbers[1] + torch.tensor([-1e-9, 0.0, 1e-9]))
        assert float((below - joint).abs().max()) < 1e-9


@pytest.mark.parametrize(
    "numbers",
    [
        {"shortest": 0.0},
        {"shortest": -1.0},
        {"shortest": float("nan")},
        {"shortest": 0.1, "longest": 0.05},
        {"shortest": 0.1, "slope": -0.1},
        {"shortest": 0.1, "slope": 1.0},
    ],
)
def test_steps_that_do_not_move_forward_are_refused(numbers: dict):
    with pytest.raises(ConfigError, match="expected 0 < shortest <= longest and a slo"):
        Steps(**numbers)


@pytest.mark.parametrize(("cascades", "side"), [(1, 8), (3, 16), (2, 32)])
def test_bits_are_the_cells(cascades: int, side: int):
    source = generator(0, "bits", cascades, side)
    cells = torch.rand(cascades, side, side, side, generator=source) < 0.01
    packed = occupied_cells(cells)
    assert packed.unpacked().equal(cells)
    assert packed.num_cascades == cascades
    num = side // 8
    blocks = cells.view(cascades, num, 8, num, 8, num, 8).any(6).any(4).any(2)
    assert packed.blocks.bool().equal(blocks.flatten(1))
    assert packed.bits.numel() == cells.numel() // 8


@pytest.mark.parametrize(
    "shape", [(1, 12, 12, 12), (1, 8, 8, 16), (8, 8, 8), (1, 0, 0, 0), (1, 4, 4, 4)]
)
def test_grids_that_are_not_made_of_blocks_are_refused(shape: tuple[int, ...]):
    with pytest.raises(
        ShapeError, match=r"expected \[cascades, g, g, g\] with g a mul"
    ):
        occupied_cells(torch.zeros(shape, dtype=torch.bool))


def test_what_does_not_belong_together_is_refused():
    rays, steps = random_rays(4), Steps(shortest=0.1)
    with pytest.raises(ShapeError, match=r"march: expected origins and directions \[r"):
        march(*rays._replace(nears=torch.zeros(3)), full(), steps)
    with pytest.raises(ShapeError, match=r"march\(densities=...\): expected one for"):
        march(*rays, full(), steps, densities=torch.zeros(3))
    cells = occupied_cells(torch.ones(2, 40, 40, 40, dtype=torch.bool))
    with pytest.raises(ConfigError, match=r"of a multiple of 32 cells .* got 40"):
        march(*rays, cells, steps)


def test_float64_runs_in_the_reference():
    rays = Rays(*(part.double() for part in random_rays(20)))
    found = march(*rays, full(), Steps(shortest=0.05))
    assert found.points.dtype == torch.float64
    assert used_implementations()["ray_march"] == "reference"


@pytest.mark.parametrize("cascades", [1, 3])
def test_the_reference_stays_on_the_device(cascades: int, pretend: torch.device):
    rays, cells = random_rays(20), random_cells(0.3, cascades)
    steps = Steps(shortest=0.05, slope=1 / 64)
    there = Rays(*(part.to(pretend) for part in rays))
    # Bits are packed there too, and not only moved.
    packed = occupied_cells(cells.unpacked().to(pretend))
    assert packed.bits.cpu().equal(cells.bits)
    assert packed.blocks.cpu().equal(cells.blocks)
    assert packed.unpacked().cpu().equal(cells.unpacked())
    densities = torch.full((cascades * SIDE**3,), 30.0)
    more = {"most_thickness": 4.0}
    found = operators.march(
        *there, packed, steps, densities=densities.to(pretend), **more
    )
    with running("reference"):
        expected = march(*rays, cells, steps, densities=densities, **more)
    assert found.rays().device == pretend
    assert found.rays().cpu().equal(expected.rays())
    for key, part in expected._asdict().items():
        assert getattr(found, key).cpu().equal(part), key
    highest, lowest = torch.zeros(2, len(densities), device=pretend).unbind()
    operators.observe(found.cells, found.lengths, highest, lowest)
    assert int((highest > 0).sum()) == len(expected.cells.unique())
    with pytest.raises(ShapeError, match=r"march: expected cells where the rays are"):
        operators.march(*there, cells, steps)
