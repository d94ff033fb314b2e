"""How well small fits come out, at the least."""

import pytest

from tangrid.fields import fit_budget
from tangrid.presets import find_model
from tangrid.seeding import generator
from tangrid.tasks import ImageRegression
from tangrid.training import TrainingSettings, fit
from tests.training.small_fits import psnr, smooth_image


@pytest.mark.parametrize(
    ("model", "params", "steps", "floor"),
    # When written: 31 to 33, 43, 37 to 40 and 38 to 41 dB, depending on the seed.
    [
        ("instant-ngp", 22_000, 60, 27.0),
        ("instant-ngp-sine", 22_000, 60, 37.0),
        ("mulfagrid", 22_000, 60, 33.0),
        ("siren", 10_000, 200, 30.0),
    ],
)
def test_a_smooth_image_is_fitted(model: str, params: int, steps: int, floor: float):
    image = smooth_image(32)
    preset = find_model(model)
    config = fit_budget(preset.field, image.site, params)
    rates = {**TrainingSettings().rates, **preset.rates}
    settings = TrainingSettings(steps=steps, batch_size=1024, rates=rates)
    task = ImageRegression(image, batch_size=1024)
    field = fit(task, config.build(image.site, generator(0, "init")), settings).field
    assert psnr(field, image) > floor
