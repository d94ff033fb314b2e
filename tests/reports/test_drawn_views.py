from pathlib import Path

from PIL import Image

from tangrid.reports.drawn_views import SLICES, VIEWS, views_of
from tangrid.reports.pictures import embed_small


def test_views_are_named_and_stay_in_their_folder():
    entries = [{"target": "a.png", "fit": None}, {"name": "top", "fit": "../../b.png"}]
    first, second = views_of({"views": entries}, VIEWS)
    assert (first.name, second.name) == ("view 1", "top")
    assert first.path(Path("run"), "target") == Path("run/a.png")
    assert first.path(Path("run"), "fit") is None
    assert second.path(Path("run"), "fit") == Path("run/b.png")
    assert views_of({"views": entries}, SLICES) == []


def test_pictures_that_are_not_there_are_left_out(tmp_path: Path):
    Image.new("RGB", (600, 300)).save(tmp_path / "a.png")
    (tmp_path / "damaged.png").write_bytes(b"damaged")
    entry = {"target": "a.png", "fit": "gone.png", "depth": "damaged.png"}
    (view,) = views_of({"views": [entry]}, VIEWS)
    assert {kind: it.width for kind, it in view.pictures(tmp_path).items()} == {
        "target": 600
    }
    assert view.pictures(tmp_path, embed_small)["target"].width == 480
