import torch

from tangrid.experiments.analyze_specimen import Specimen, field_specimen
from tangrid.interface import build
from tangrid.tangent import tangent_kernel
from tests.experiments.small_analyses import linear_grid, rays, rendered_rays

POINTS = torch.rand(6, 2, dtype=torch.float64)


def ngp() -> Specimen:
    field = build("instant-ngp", num_dims=2, num_channels=3, params=16_000)
    return field_specimen(field, label="a", model="instant-ngp")


def test_a_field_has_a_kernel_for_each_group_that_was_asked_for():
    specimen = ngp()
    assert specimen.kernels == ("all", "grid")
    counts = specimen.counts()
    assert set(counts) == {"grid", "decoder"}
    assert abs(sum(counts.values()) / 16_000 - 1) < 0.02
    found = specimen.kernel("grid", POINTS).to_dense()
    expected = tangent_kernel(specimen.function, POINTS, parameters="grid").to_dense()
    assert torch.equal(found, expected)


def test_a_field_without_a_grid_has_no_kernel_of_it():
    field = build("siren", num_dims=2, num_channels=3, params=4000)
    assert field_specimen(field, label="a", model="siren").kernels == ("all",)


def test_all_comes_first():
    asked = ("decoder", "grid", "all")
    field = build("instant-ngp", num_dims=2, num_channels=3, params=16_000)
    found = field_specimen(field, label="a", model="m", parameters=asked)
    assert found.kernels == ("all", "decoder", "grid")


def test_parts_belong_to_groups():
    specimen = ngp()
    assert specimen.group_of("encoding.table, level 3") == "grid"
    assert specimen.group_of("decoder.layers.1") == "decoder"
    assert specimen.group_of("all parameters") == "other"


def test_frozen_parameters_are_not_counted():
    specimen = field_specimen(linear_grid(), label="a", model="linear")
    assert set(specimen.counts()) == {"grid"}


def test_moving_leaves_the_field_alone():
    specimen = ngp()
    before = specimen.values(POINTS)
    moved = specimen.moved({
        name: value + 1 for name, value in specimen.subject.parameters.items()
    })
    assert not torch.allclose(moved.values(POINTS), before)
    assert torch.equal(specimen.values(POINTS), before)


def test_a_callable_of_rays_is_looked_at_by_group():
    scene = rendered_rays()
    points = rays(5)
    whole = scene.kernel("all", points).to_dense()
    parts = [scene.kernel(name, points).to_dense() for name in scene.groups]
    assert torch.allclose(whole, sum(parts), atol=1e-12)
    assert scene.counts() == {"grid": 4, "decoder": 12}
    # Linear in the gains, not in the waves.
    assert scene.stationarity("grid", points).holds
    assert not scene.stationarity("all", points).holds
    moved = scene.moved({n: 2 * p for n, p in scene.subject.parameters.items()})
    assert not torch.allclose(moved.values(points), scene.values(points))
