"""Pictures are made in bands, so that rays of large ones need little memory."""

import pytest

from tangrid.fields.workers import Workers
from tangrid.rendering.views import render_view
from tangrid.signals.camera import Camera
from tests.ops.comparison import assert_same_bits
from tests.rendering.test_views import SIDE, camera, random_scene


@pytest.mark.parametrize("supersampling", [1, 3])
@pytest.mark.parametrize("pieces", [1, 2])
def test_bands_do_not_change_the_bits(
    supersampling: int, pieces: int, monkeypatch: pytest.MonkeyPatch
):
    scene, taken = random_scene(), []
    rays = Camera.rays

    def counted(self: Camera, rows: range | None = None):
        taken.append(range(self.height) if rows is None else rows)
        return rays(self, rows)

    monkeypatch.setattr(Camera, "rays", counted)
    with Workers(2) as workers:
        whole = render_view(scene, camera(), workers, supersampling=supersampling)
        assert taken == [range(SIDE * supersampling)]
        monkeypatch.setattr("tangrid.rendering.views._BAND", pieces * 1024)
        banded = render_view(scene, camera(), workers, supersampling=supersampling)
    assert_same_bits(vars(banded), vars(whole))
    assert float(whole.opacity.max()) > 0.9
    # A band has few rows, of which the first may be the last one of that before.
    assert len(taken) > 2
    most = pieces * 1024 / (SIDE * supersampling) + 2
    assert max(map(len, taken[1:])) <= most


def test_bands_may_be_shorter_than_a_row(monkeypatch: pytest.MonkeyPatch):
    scene = random_scene()
    wide = Camera(pose=camera().pose, width=700, height=3, focal=(700.0, 70.0))
    with Workers(2) as workers:
        whole = render_view(scene, wide, workers, supersampling=2)
        monkeypatch.setattr("tangrid.rendering.views._BAND", 1024)
        assert_same_bits(
            vars(render_view(scene, wide, workers, supersampling=2)), vars(whole)
        )
