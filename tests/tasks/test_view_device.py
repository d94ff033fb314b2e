"""Scenes on another device than the CPU: everything follows the field."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tangrid.encodings import TensorfVmConfig
from tangrid.fields.radiance import Growth, RadianceField, SeparateRadianceConfig
from tangrid.fields.workers import Workers
from tangrid.ops.contract import implementation
from tangrid.rendering.views import RadianceScene, render_view
from tangrid.rendering.volume import MarchSettings
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tasks.view_evaluation import judge_view
from tangrid.tasks.view_protocols import find_protocol
from tangrid.tasks.view_synthesis import ViewSynthesis
from tangrid.training import TrainingSettings, fit
from tests.ops.comparison import assert_close
from tests.tasks.small_scenes import SETTINGS, SPACE, photographs, tiny_field

CPU = torch.device("cpu")
WAYS = {
    "marched": {},
    "growing steps": {"march": MarchSettings(step=1 / 24, slope=1 / 64)},
    "hierarchical": {
        "march": MarchSettings(sampling="hierarchical", coarse=8, fine=8),
        "background": "white",
    },
    "several rays, all losses": {
        "rays_per_pixel": 2,
        "distortion": 0.01,
        "opacity_entropy": 0.001,
        "huber": 0.1,
    },
}


def task_on(device: torch.device, **changes) -> ViewSynthesis:
    settings = replace(SETTINGS, **changes)
    return ViewSynthesis(
        photographs().of_split("train"),
        replace(SPACE, cascades=2) if settings.march.slope else SPACE,
        settings=settings,
        batch_size=2048,
        device=device,
    )


def trained(task: ViewSynthesis, field: RadianceField, steps: int) -> dict[str, Tensor]:
    """What some steps find and leave, without moving the field."""
    losses = []
    with Workers(1, task.device) as workers:
        for step in range(steps):
            batch = task.batch(step)
            (piece,) = batch.pieces(2**40)
            loss = task.loss(field, piece)
            assert loss.device == task.device
            loss.backward()
            losses.append(loss.detach().cpu())
            task.finish_step(step, batch, field, workers)
    grads = {name: part.grad for name, part in field.named_parameters()}
    found = {**task.state, **grads, "losses": torch.stack(losses)}
    # The lowest of what was never seen is infinite.
    return {name: part.cpu().double().nan_to_num() for name, part in found.items()}


@pytest.mark.parametrize("way", WAYS)
def test_steps_are_those_of_the_cpu(way: str, pretend: torch.device):
    with implementation("reference"):
        expected = trained(task_on(CPU, **WAYS[way]), tiny_field(), 4)
        task = task_on(pretend, **WAYS[way])
        found = trained(task, tiny_field().to(pretend), 4)
    assert_close(found, expected)
    assert float(expected["losses"].min()) > 0
    on_host = {"samples_per_ray", "counts"}
    for name, part in task.state.items():
        assert part.device == (CPU if name in on_host else pretend), name


def test_a_batch_is_drawn_and_counted_without_waiting(pretend: torch.device):
    from tests.pretended_device import waits  # noqa: PLC0415

    task, field = task_on(pretend), tiny_field().to(pretend)
    with Workers(1, pretend) as workers:
        waits.clear()
        batch = task.batch(0)
        assert batch.offsets.device == batch.wanted.device == pretend
        assert not waits
        task.loss(field, batch)
        assert waits
        waits.clear()
        task.finish_step(0, batch, field, workers)
        task.finish_step(SETTINGS.occupancy.interval - 1, batch, field, workers)
    assert not waits


def test_pictures_are_those_of_the_cpu(pretend: torch.device):
    view, protocol = photographs().views[0], find_protocol("blender-white")
    found = []
    with implementation("reference"):
        for device in (CPU, pretend):
            task, field = task_on(device), tiny_field().to(device)
            scene = RadianceScene(
                field=field,
                space=task.space,
                occupancy=task.occupancy,
                march=task.settings.march,
            )
            with Workers(1, device) as workers:
                seen = render_view(scene, view.camera, workers, supersampling=2)
                judged = judge_view(scene, view, protocol, workers)
            scores = {name: torch.tensor(x) for name, x in judged.scores.items() if x}
            found.append({**vars(seen), **scores})
    assert_close(found[1], found[0])
    assert all(part.device == CPU for part in found[1].values())
    assert float(found[1]["opacity"].max()) > 0


def growing_field() -> RadianceField:
    grid = TensorfVmConfig(resolution=5, num_ranks=2)
    config = SeparateRadianceConfig(
        density_encoding=grid,
        appearance_encoding=grid,
        density_shift=0.0,
        growth=Growth(at=(0.3, 0.6), resolutions=(7, 9)),
    )
    return config.build(Site(num_dims=3, num_channels=3), generator(0, "growing"))


@pytest.mark.parametrize("build", [tiny_field, growing_field])
def test_training_is_that_of_the_cpu(
    build: Callable[[], RadianceField], pretend: torch.device
):
    settings = TrainingSettings(steps=6, batch_size=2048, threads=1)
    fitted = []
    with implementation("reference"):
        for device in (CPU, pretend):
            task, field = task_on(device), build().to(device)
            fit(task, field, settings)
            fitted.append({n: p.detach().cpu() for n, p in field.named_parameters()})
            assert {part.device for part in field.parameters()} == {device}
    before = dict(build().named_parameters())
    assert any(
        before[name].shape != part.shape for name, part in fitted[1].items()
    ) == (build is growing_field)
    assert_close(fitted[1], fitted[0])
