import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.signals.pixel_stack import PixelStack
from tangrid.signals.view import View
from tests.signals.views import LENSES, random_camera
from tests.tolerances import RAY_FLOAT32


def view(number: int, channels: int = 4, lens: str = "plain") -> View:
    camera = random_camera(number, LENSES[lens])
    rng = np.random.default_rng(number)
    shape = (camera.height, camera.width, channels)
    pixels = rng.integers(0, 256, shape, np.uint8)
    return View(name=f"{number}.png", camera=camera, pixels=pixels, split="train")


KINDS = {
    "one": [view(0)],
    "of one size": [view(3), view(3, 3), view(3)],
    "of many sizes": [view(number) for number in range(5)],
    "with lenses": [view(1, lens="barrel"), view(2), view(4, lens="fisheye")],
    "without alpha": [view(number, channels=3) for number in range(3)],
}


def every_pixel(stack: PixelStack) -> tuple[Tensor, ...]:
    return stack.rays(torch.arange(len(stack)))


def straight(views: list[View]) -> tuple[Tensor, ...]:
    """What each camera says of its pixels, one view after the other."""
    rays = [view.camera.rays() for view in views]
    values = []
    for one in views:
        flat = torch.from_numpy(one.pixels.reshape(-1, one.pixels.shape[2]).copy())
        full = torch.full((len(flat), 1), 255, dtype=torch.uint8)
        rgba = flat if one.has_alpha else torch.cat((flat, full), dim=1)
        values.append(rgba.float() / 255)
    origins, directions = zip(*rays, strict=True)
    return torch.cat(origins), torch.cat(directions), torch.cat(values)


@pytest.mark.parametrize("views", KINDS.values(), ids=KINDS)
def test_pixels_and_rays_are_those_of_the_views(views: list[View]):
    stack = PixelStack.of(views)
    assert len(stack) == sum(view.camera.width * view.camera.height for view in views)
    found, expected = every_pixel(stack), straight(views)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], atol=RAY_FLOAT32, rtol=0)
    assert torch.equal(found[2], expected[2])


@pytest.mark.parametrize("views", KINDS.values(), ids=KINDS)
def test_any_pixels_come_in_the_order_asked_for(views: list[View]):
    stack = PixelStack.of(views)
    source = torch.Generator().manual_seed(0)
    numbers = torch.randint(len(stack), (300,), generator=source)
    numbers[:2] = torch.tensor([len(stack) - 1, 0])
    found, every = stack.rays(numbers), every_pixel(stack)
    for part, whole in zip(found, every, strict=True):
        assert torch.equal(part, whole[numbers])


def test_a_view_without_alpha_is_opaque_beside_one_with():
    with_alpha, without = view(0), view(1, channels=3)
    values = every_pixel(PixelStack.of([without, with_alpha]))[2]
    size = without.camera.width * without.camera.height
    assert bool((values[:size, 3] == 1).all())
    alpha = torch.from_numpy(with_alpha.pixels[..., 3].flatten())
    assert torch.equal(values[size:, 3], alpha.float() / 255)
    assert not bool((values[size:, 3] == 1).all())


def test_values_are_the_whole_range_and_straight():
    """Colours of transparent pixels stay as they are: nothing is premultiplied."""
    one = view(0)
    pixels = one.pixels.copy()
    pixels[0, 0], pixels[0, 1], pixels[1, 0] = 0, 255, (200, 100, 50, 0)
    stack = PixelStack.of([
        View(name="a", camera=one.camera, pixels=pixels, split="train")
    ])
    values = stack.rays(torch.tensor([0, 1, one.camera.width]))[2]
    assert values[0].tolist() == [0.0] * 4
    assert values[1].tolist() == [1.0] * 4
    assert (values[2] * 255).round().tolist() == [200.0, 100.0, 50.0, 0.0]


def test_the_pixels_are_a_copy():
    one = view(0)
    pixels = one.pixels.copy()
    stack = PixelStack.of([
        View(name="a", camera=one.camera, pixels=pixels, split="train")
    ])
    before = every_pixel(stack)[2]
    pixels[:] = 0
    assert torch.equal(every_pixel(stack)[2], before)


def test_no_pixels_have_no_rays():
    found = PixelStack.of([view(0), view(1)]).rays(torch.zeros(0, dtype=torch.int64))
    assert [tuple(part.shape) for part in found] == [(0, 3), (0, 3), (0, 4)]
