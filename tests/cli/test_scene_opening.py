"""Which scene the flags of a fit mean."""

from pathlib import Path

import pytest

from tangrid.cli.scene_flags import SceneFlags
from tangrid.cli.scene_opening import open_scene
from tangrid.experiments.scene_source import SceneSource
from tangrid.runs.codec import from_plain, to_plain
from tests.cli.conftest import Type
from tests.cli.messages import MESSAGES
from tests.signals.scene_files import small_scene
from tests.signals.scene_writers import save_colmap, save_transforms


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A folder with two formats."""
    views = small_scene(6, 0).views
    save_transforms(tmp_path / "garden", views, aabb_scale=1)
    return save_colmap(tmp_path / "garden", views)


def test_a_format_can_be_named(both: Path, capsys: pytest.CaptureFixture[str]):
    source, scene = open_scene(str(both), SceneFlags())
    assert (source.scene_format, scene.source_format) == (None, "transforms")
    assert "Name another one with --format." in capsys.readouterr().err
    source, scene = open_scene(str(both), SceneFlags(format="colmap"))
    assert (source.scene_format, scene.source_format) == ("colmap", "colmap")
    assert "--format" not in capsys.readouterr().err


def test_what_is_kept_of_a_source_is_read_again(both: Path):
    source, _ = open_scene(str(both), SceneFlags(format="colmap"))
    kept = to_plain(source)
    assert from_plain(kept, SceneSource) == source
    # Runs of earlier versions say nothing of a format.
    del kept["scene_format"]
    assert from_plain(kept, SceneSource).scene_format is None


def test_an_empty_name_is_no_demonstration(workplace: Path, tangrid: Type):
    outcome = tangrid("compare", "scene", "", "--models", "instant-ngp")
    assert MESSAGES["folders without a name"]["scene"].matches(outcome.message)
    assert outcome.code == 2
    assert {path.name for path in workplace.iterdir()} == {"wave.png"}
