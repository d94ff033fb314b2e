import pytest
from PIL import Image

from tangrid.signals.bundled import BUNDLED_IMAGES, bundled_path


@pytest.mark.parametrize("name", BUNDLED_IMAGES)
def test_every_name_is_in_the_package(name: str):
    path = bundled_path(name)
    assert path is not None
    with Image.open(path) as image:
        assert min(image.size) >= 100


@pytest.mark.parametrize("name", ["", "astronaut.png", "../astronaut", "lena"])
def test_other_names_are_not_found(name: str):
    assert bundled_path(name) is None
