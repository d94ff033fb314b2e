"""Colours at voxels are found again from pictures of them, exactly as rendered."""

import numpy as np
import pytest
import torch

from tangrid import devices
from tangrid.errors import ConfigError, DataError, NumericalWarning, ResourceError
from tangrid.fields.workers import Workers
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.views import RadianceScene, render_view
from tangrid.rendering.volume import MarchSettings
from tangrid.signals.view import View
from tangrid.tasks.view_colours import solve_colours
from tangrid.tasks.view_protocols import PROTOCOLS
from tangrid.tasks.voxel_colours import VoxelColours, VoxelSettings, rendering_matrix
from tests.rendering.media import EvenMedium, in_ball
from tests.tasks.small_scenes import SETTINGS, SPACE, photographs
from tests.tolerances import KNOWN_COLOURS, RENDERED_ROWS

WHITE = PROTOCOLS["blender-white"]
MARCHES = {
    "occupancy": MarchSettings(step=1 / 48),
    "hierarchical": MarchSettings(sampling="hierarchical", coarse=12, fine=20),
}


def ball(settings: VoxelSettings, density: float = 8.0, kind: str = "occupancy"):
    """An even ball whose colours stand at voxels, none of them equal."""
    march = MARCHES[kind]
    occupancy = Occupancy(SETTINGS.occupancy, march.longest_steps(1))
    field = VoxelColours(EvenMedium(in_ball, density), settings)
    source = torch.Generator().manual_seed(0)
    shape = (field.num_columns, 3)
    colours = 0.1 * torch.randn(shape, generator=source)
    # Seen from everywhere they stay between 0 and 1: pictures keep no others.
    colours[:: settings.num_harmonics] += 0.5 / settings.levels
    field.set_colours(colours)
    return RadianceScene(field=field, space=SPACE, occupancy=occupancy, march=march)


def views_of(scene: RadianceScene, workers: Workers, count: int = 4) -> list[View]:
    """Photographs of a scene, with eight bits as files have them."""
    found = []
    for view in photographs(count=count).views:
        picture = render_view(scene, view.camera, workers).over(WHITE.colour)
        pixels = (picture.numpy() * 255).round().astype(np.uint8)
        found.append(
            View(name=view.name, camera=view.camera, pixels=pixels, split="train")
        )
    return found


@pytest.mark.parametrize("kind", MARCHES)
@pytest.mark.parametrize(("levels", "degree"), [(1, 0), (2, 0), (1, 2)])
def test_matrix_is_the_renderer(levels: int, degree: int, kind: str):
    settings = VoxelSettings(resolution=8, levels=levels, degree=degree)
    scene = ball(settings, kind=kind)
    with Workers(2) as workers:
        views = views_of(scene, workers)
        system = rendering_matrix(scene, views, WHITE.colour, workers)
        pictures = [render_view(scene, view.camera, workers) for view in views]
    table = scene.field.grid.table.detach().reshape(-1, 3).double().numpy()
    rendered = torch.cat([it.colour.flatten(0, 1) for it in pictures])
    opacity = torch.cat([it.opacity.flatten() for it in pictures])
    seen = opacity > 0
    found = torch.from_numpy(system.matrix @ table)
    assert system.num_rays == len(opacity) > int(seen.sum()) > 50
    assert torch.allclose(found, rendered[seen].double(), rtol=0, atol=RENDERED_ROWS)
    assert torch.allclose(system.opacity, opacity[seen], rtol=0, atol=RENDERED_ROWS)


def test_wanted_is_the_picture_less_what_comes_from_behind():
    scene = ball(VoxelSettings(resolution=6))
    with Workers(1) as workers:
        views = list(photographs("ball").views)
        system = rendering_matrix(scene, views, (1.0, 0.5, 0.0), workers)
    pixels = np.concatenate([view.pixels.reshape(-1, 4) for view in views]) / 255
    over = pixels[:, :3] * pixels[:, 3:] + (1 - pixels[:, 3:]) * [1.0, 0.5, 0.0]
    behind = (1 - system.opacity)[:, None] * torch.tensor([1.0, 0.5, 0.0])
    # Rays that see nothing are left out; the others keep their order.
    for row in (system.wanted + behind)[::7].numpy():
        assert np.abs(over - row).max(1).min() < RENDERED_ROWS


@pytest.mark.parametrize("degree", [0, 1])
def test_pictures_are_made_again_to_their_last_bit(degree: int):
    settings = VoxelSettings(resolution=5, degree=degree)
    scene = ball(settings, density=2.0)
    with Workers(2) as workers:
        views = views_of(scene, workers, count=24)
        found = solve_colours(
            medium_of(scene), views, WHITE, workers, settings=settings, ridge=1e-3
        )
        scores = found.judge(views, workers)
    # Eight bits leave an error of 1/255/sqrt(12): 58.9 dB, of which a fit takes some.
    assert found.train_psnr > 57
    assert scores["psnr"] > 57
    assert found.gradient <= 1e-6


def test_noise_free_colours_are_those_of_the_voxels(monkeypatch):
    settings = VoxelSettings(resolution=5)
    scene = ball(settings, density=2.0)
    with Workers(2) as workers:
        views = views_of(scene, workers, count=24)
        system = rendering_matrix(scene, views, WHITE.colour, workers)
        table = scene.field.grid.table.detach().double()
        exact = torch.from_numpy(system.matrix @ table.numpy()).float()
        monkeypatch.setattr(
            "tangrid.tasks.view_colours.rendering_matrix",
            lambda *_: system.__class__(
                system.matrix, system.opacity, exact, system.num_rays
            ),
        )
        found = solve_colours(
            medium_of(scene), views, WHITE, workers, settings=settings, ridge=1e-9
        )
    squares = np.asarray(system.matrix.multiply(system.matrix).sum(0)).ravel()
    clear = torch.from_numpy(squares > 1e-2 * squares.max())
    solved = (found.scene.field.base + found.scene.field.grid.table).detach().double()
    assert int(clear.sum()) > 20
    assert torch.allclose(solved[clear], table[clear], rtol=0, atol=KNOWN_COLOURS)


def test_it_says_where_it_stops_before_it_is_there(monkeypatch):
    monkeypatch.setattr("tangrid.tasks.view_colours._MOST_STEPS", 3)
    settings = VoxelSettings(resolution=5)
    scene = ball(settings, density=2.0)
    with Workers(2) as workers:
        views = views_of(scene, workers)
        with pytest.warns(NumericalWarning, match="after 3 steps"):
            found = solve_colours(
                medium_of(scene), views, WHITE, workers, settings=settings, ridge=1e-6
            )
    assert found.gradient > 1e-6


def medium_of(scene: RadianceScene) -> RadianceScene:
    return RadianceScene(
        field=scene.field.medium,
        space=scene.space,
        occupancy=scene.occupancy,
        march=scene.march,
    )


def test_matrix_and_transpose_are_adjoint(seeded: torch.Generator):
    scene = ball(VoxelSettings(resolution=8, levels=2, degree=1))
    with Workers(2) as workers:
        views = views_of(scene, workers)
        matrix = rendering_matrix(scene, views, WHITE.colour, workers).matrix
    # The transpose is what autograd makes of the renderer.
    rows, columns = matrix.shape
    values = torch.randn(rows, 3, generator=seeded)
    pulled = torch.from_numpy(matrix.T @ values.double().numpy())
    directions = torch.randn(columns, 3, generator=seeded).double()
    pushed = torch.from_numpy(matrix @ directions.numpy())
    left = float((pulled * directions).sum())
    assert left == pytest.approx(float((pushed * values.double()).sum()), rel=1e-6)


def test_ridge_is_chosen_where_pictures_are_noisy():
    settings = VoxelSettings(resolution=8)
    scene = ball(settings, density=2.0)
    source = np.random.default_rng(0)
    with Workers(2) as workers:
        clean = views_of(scene, workers, count=10)
        noisy = [
            View(
                name=view.name,
                camera=view.camera,
                pixels=np.clip(
                    view.pixels + source.normal(0, 12, view.pixels.shape), 0, 255
                ).astype(np.uint8),
                split="train",
            )
            for view in clean[::2]
        ]
        fits = {
            ridge: solve_colours(
                medium_of(scene), noisy, WHITE, workers, settings=settings, ridge=ridge
            )
            for ridge in ("gcv", 1e-6)
        }
        heldout = {
            ridge: fit.judge(clean[1::2], workers)["psnr"]
            for ridge, fit in fits.items()
        }
    assert fits["gcv"].path.is_inside
    assert heldout["gcv"] > heldout[1e-6] + 1


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("inf")])
def test_refuses_ridges(ridge: float):
    scene = ball(VoxelSettings(resolution=4))
    with Workers(1) as workers, pytest.raises(ConfigError, match="above 0"):
        solve_colours(medium_of(scene), [], WHITE, workers, ridge=ridge)


def test_refuses_a_density_of_nothing():
    scene = medium_of(ball(VoxelSettings(resolution=4), density=0.0))
    views = list(photographs("ball").views)
    with Workers(1) as workers, pytest.raises(DataError, match="none does"):
        solve_colours(scene, views, WHITE, workers)


def test_refuses_no_photographs_and_more_than_there_is_memory_for(
    monkeypatch: pytest.MonkeyPatch,
):
    scene = ball(VoxelSettings(resolution=4))
    with Workers(1) as workers:
        with pytest.raises(ConfigError, match="at least one photograph, got none"):
            rendering_matrix(scene, [], WHITE.colour, workers)
        monkeypatch.setattr(devices, "available_memory_mb", lambda: 1e-4)
        with pytest.raises(ResourceError, match=r"rendering matrix of .* pixels"):
            rendering_matrix(
                scene, list(photographs("ball").views), WHITE.colour, workers
            )


@pytest.mark.parametrize(
    "settings",
    [
        {"resolution": 1},
        {"resolution": 8, "levels": 4},
        {"resolution": 10, "levels": 3},
        {"levels": 0},
        {"degree": 3},
    ],
)
def test_refuses_grids(settings):
    with pytest.raises(ConfigError, match="VoxelSettings"):
        VoxelSettings(**settings)
