import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.filters import sobel

from tangrid.errors import ConfigError, DataError, NumericalWarning, ShapeError
from tangrid.seeding import generator
from tangrid.signals.colour import linear_from_srgb, srgb_from_linear
from tangrid.signals.image import ImageSignal


def noise(*shape: int, dtype: str = "uint8") -> np.ndarray:
    largest = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, largest, shape, dtype, endpoint=True)


def every_pixel(signal: ImageSignal) -> torch.Tensor:
    return torch.arange(signal.num_pixels)


def write_exr(path: Path, pixels: np.ndarray) -> None:
    openexr = pytest.importorskip("OpenEXR")
    with openexr.File({}, {"Y": pixels}) as file:
        file.write(str(path))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_values_are_row_by_row(dtype: str, channels: int):
    array = noise(5, 7, channels, dtype=dtype)
    signal = ImageSignal.from_array(array)
    values = signal.pixel_values(every_pixel(signal)).numpy()
    exact = (array / np.iinfo(dtype).max).astype(np.float32).reshape(-1, channels)
    assert (signal.width, signal.height) == (7, 5)
    assert (signal.num_channels, signal.num_pixels) == (channels, 35)
    np.testing.assert_allclose(values, exact, atol=6e-8)
    assert np.array_equal(signal.rows(1, 4).reshape(-1, channels), values[7:28])


def test_coords_are_pixel_centres_x_first():
    signal = ImageSignal.from_array(noise(5, 8))
    coords = signal.pixel_coords(torch.tensor([0, 7, 8, 39]))
    expected = [[0.0625, 0.1], [0.9375, 0.1], [0.0625, 0.3], [0.9375, 0.9]]
    torch.testing.assert_close(coords, torch.tensor(expected))


@given(st.integers(2, 40), st.integers(2, 40), st.sampled_from([1, 3, 4]))
def test_sample_at_centres_gives_the_pixels(height: int, width: int, channels: int):
    signal = ImageSignal.from_array(noise(height, width, channels))
    everything = every_pixel(signal)
    sampled = signal.sample(signal.pixel_coords(everything))
    values = signal.pixel_values(everything)
    torch.testing.assert_close(sampled, values, atol=2e-5, rtol=0)


def test_sample_is_linear_between_and_flat_outside():
    x = (np.arange(8) + 0.5) / 8
    y = (np.arange(6) + 0.5) / 6
    signal = ImageSignal.from_array(0.5 * x[None, :] + 0.25 * y[:, None])
    coords = torch.tensor([[0.3, 0.4], [0.61, 0.77], [-3.0, 0.4], [0.3, 9.0]])
    expected = [
        [0.5 * 0.3 + 0.25 * 0.4],
        [0.5 * 0.61 + 0.25 * 0.77],
        [0.5 / 16 + 0.25 * 0.4],
        [0.5 * 0.3 + 0.25 * 11 / 12],
    ]
    torch.testing.assert_close(signal.sample(coords), torch.tensor(expected))


def test_sample_finds_the_columns_of_a_wide_image():
    columns = np.tile(np.arange(20_000, dtype=np.uint16), (3, 1))
    signal = ImageSignal.from_array(columns)
    everything = torch.arange(20_000, 40_000)
    sampled = signal.sample(signal.pixel_coords(everything)) * 65535
    assert (sampled[:, 0] - torch.arange(20_000)).abs().max() < 0.01


def test_sample_refuses_what_is_not_finite():
    signal = ImageSignal.from_array(noise(4, 4))
    with pytest.raises(ShapeError, match="got 1 of 4 that are not"):
        signal.sample(torch.tensor([[0.5, torch.nan], [0.1, 0.2]]))


def test_site_draws_pixels_with_their_detail():
    signal = ImageSignal.from_array(noise(4, 6, 3))
    site = signal.site
    assert (site.num_dims, site.num_channels, site.resolution) == (2, 3, (6, 4))
    coords, detail = site.sampler(10, generator(3))
    again, _ = site.sampler(10, generator(3))
    assert torch.equal(coords, again)
    columns = (coords * torch.tensor([6, 4]) - 0.5).round().long()
    indices = columns[:, 1] * 6 + columns[:, 0]
    assert torch.equal(coords, signal.pixel_coords(indices))
    assert torch.equal(detail, signal.detail(indices))


def test_site_draws_every_pixel_once_if_asked_for_as_many():
    signal = ImageSignal.from_array(noise(4, 6, 3))
    coords, _ = signal.site.sampler(24, generator(3))
    assert torch.equal(coords, signal.pixel_coords(torch.arange(24)))


def test_detail_is_the_length_of_sobels_gradient():
    pixels = noise(7, 5, 3)
    detail = ImageSignal.from_array(pixels).detail(torch.arange(35)).view(7, 5)
    # scikit-image divides by the sum of the filter's entries, half of them negative.
    slopes = [sobel(pixels[..., c], axis=a) for c in range(3) for a in (0, 1)]
    wanted = np.sqrt(np.square(slopes).sum(0) / 3 / 4)
    assert np.allclose(detail.numpy()[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 120, 255])
def test_a_flat_image_has_no_detail(value: int):
    signal = ImageSignal.from_array(np.full((4, 4, 3), value, dtype=np.uint8))
    assert torch.equal(signal.detail(torch.arange(16)), torch.zeros(16))


@pytest.mark.parametrize("indices", [[-1], [24], [0, 999]])
def test_numbers_outside_are_refused(indices: list[int]):
    signal = ImageSignal.from_array(noise(4, 6))
    with pytest.raises(ShapeError, match="expected pixel numbers from 0 to 23"):
        signal.pixel_values(torch.tensor(indices))
    with pytest.raises(ShapeError, match="expected pixel numbers from 0 to 23"):
        signal.pixel_coords(torch.tensor(indices))


def test_no_numbers_give_no_values():
    signal = ImageSignal.from_array(noise(4, 6, 3))
    assert signal.pixel_values(torch.empty(0, dtype=torch.int64)).shape == (0, 3)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 5), (3, 2)])
def test_rows_outside_are_refused(start: int, stop: int):
    with pytest.raises(ShapeError, match="0 <= start <= stop <= 4"):
        ImageSignal.from_array(noise(4, 6)).rows(start, stop)


def test_bundled_image_is_the_one_of_scikit_image():
    signal = ImageSignal.open("astronaut", crop="64x32+100+50")
    expected = skimage.data.astronaut()[50:82, 100:164]
    assert signal.name == "astronaut"
    assert np.array_equal(signal.pixels, expected)


def test_a_file_comes_before_a_bundled_name(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(3, 4)).save(tmp_path / "coffee", format="PNG")
    assert ImageSignal.open("coffee").width == 4


def test_a_word_that_is_neither_is_explained(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"names \['astronaut', .*got neither"):
        ImageSignal.open("astronaught")
    with pytest.raises(DataError, match="got a path where there is none"):
        ImageSignal.open("astronaut.png")


def test_file_gives_name_and_crop_comes_before_downscale(tmp_path: Path):
    array = noise(20, 30, 3)
    Image.fromarray(array).save(tmp_path / "my.photo.png")
    signal = ImageSignal.open(tmp_path / "my.photo.png", crop="8x6+3+5", downscale=2)
    assert signal.name == "my.photo"
    squares = array[5:11, 3:11].reshape(3, 2, 4, 2, 3)
    expected = squares.mean((1, 3)) / 255
    np.testing.assert_allclose(signal.rows(0, 3), expected, rtol=1e-6)


def test_crop_keeps_the_depth_and_frees_the_rest():
    part = ImageSignal.from_array(noise(50, 50, dtype="uint16")).part(crop="8")
    assert part.pixels.dtype == np.uint16
    assert part.pixels.base is None or part.pixels.base.nbytes == 8 * 8 * 2


def test_pixels_are_read_only_and_the_array_is_not_touched():
    array = noise(4, 4, 3)
    signal = ImageSignal.from_array(array)
    before = signal.pixels.copy()
    array += 1
    assert np.array_equal(signal.pixels, before)
    with pytest.raises(ValueError, match="read-only"):
        signal.pixels[0, 0] = 0


def test_linear_integers_are_linearised():
    array = noise(5, 5, 3)
    signal = ImageSignal.from_array(array, colour="linear")
    expected = linear_from_srgb(array / 255)
    np.testing.assert_allclose(signal.rows(0, 5), expected, rtol=1e-6)
    values = signal.pixel_values(every_pixel(signal)).reshape(5, 5, 3)
    assert np.array_equal(values, signal.rows(0, 5))


def test_exr_is_coded_for_srgb_and_kept_for_linear(tmp_path: Path):
    pixels = np.random.default_rng(0).random((6, 9)).astype(np.float32)
    write_exr(tmp_path / "a.exr", pixels)
    coded = ImageSignal.open(tmp_path / "a.exr")
    np.testing.assert_allclose(
        coded.rows(0, 6)[..., 0], srgb_from_linear(pixels), rtol=1e-6
    )
    kept = ImageSignal.open(tmp_path / "a.exr", colour="linear")
    assert np.array_equal(kept.rows(0, 6)[..., 0], pixels)


def test_clipping_is_told(tmp_path: Path):
    pixels = np.full((6, 9), 0.5, np.float32)
    pixels[0, 0], pixels[3, 3], pixels[5, 5] = 1.5, -0.1, 40.0
    write_exr(tmp_path / "a.exr", pixels)
    with pytest.warns(NumericalWarning, match="clipped 3 of 54 linear values"):
        signal = ImageSignal.open(tmp_path / "a.exr")
    assert signal.rows(0, 6).max() == 1.0
    linear = ImageSignal.open(tmp_path / "a.exr", colour="linear")
    assert linear.rows(0, 6).max() == 40.0


def test_colour_floats_are_taken_as_they_are():
    array = np.random.default_rng(0).random((4, 5, 3))
    for colour in ("srgb", "linear"):
        signal = ImageSignal.from_array(array, colour=colour)
        assert np.array_equal(signal.rows(0, 4), array.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1, 3), (0, 4)])
def test_small_arrays_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ShapeError, match="at least 2 pixels on each side"):
        ImageSignal.from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(5,), (4, 4, 3, 1), (4, 4, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ShapeError, match="Put the channels last"):
        ImageSignal.from_array(np.zeros(shape, np.uint8))


def test_too_many_pixels_are_refused_before_copying():
    huge = np.broadcast_to(np.uint8(0), (2**16, 2**15 + 1))
    with pytest.raises(ShapeError, match=r"at most 2\^31 pixels, got 32769 x 65536"):
        ImageSignal.from_array(huge)


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64"])
def test_other_numbers_are_refused(dtype: str):
    with pytest.raises(ShapeError, match=f"got {dtype}"):
        ImageSignal.from_array(np.zeros((4, 4), dtype))


def test_values_beyond_one_are_refused_for_srgb():
    array = noise(4, 4).astype(np.float32)
    with pytest.raises(ShapeError, match=r"expected sRGB values in \[0, 1\]"):
        ImageSignal.from_array(array)
    signal = ImageSignal.from_array(array, colour="linear")
    assert np.array_equal(signal.rows(0, 4)[..., 0], array)


def test_values_that_are_not_finite_are_refused():
    array = np.zeros((4, 4))
    array[1, 2] = np.nan
    with pytest.raises(DataError, match=r"got 1 of 16 .* column 2, row 1"):
        ImageSignal.from_array(array)


def test_a_slip_in_the_crop_comes_before_the_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="got '12x'"):
        ImageSignal.open(tmp_path / "missing.png", crop="12x")


def test_other_colour_is_explained():
    # Built without the class's own checks of types, which only tests have.
    image = object.__new__(ImageSignal)
    object.__setattr__(image, "pixels", np.zeros((4, 4, 1), np.uint8))
    object.__setattr__(image, "colour", "lab")
    with pytest.raises(ConfigError, match=r"expected one of \['srgb', 'linear'\]"):
        image.__post_init__()


def test_settings_are_explained(tmp_path: Path):
    Image.fromarray(noise(10, 10)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="image of 10 x 10 pixels, got 11 x 11"):
        ImageSignal.open(tmp_path / "a.png", crop="11")
    with pytest.raises(ConfigError, match="got 1 x 1 from 10 x 10 with factor 6"):
        ImageSignal.open(tmp_path / "a.png", downscale=6)


def test_large_photograph_is_never_copied_as_floats(data_folder: Path):
    indices = torch.randint(3250 * 4333, (100_000,), generator=generator(0))
    floats = 3250 * 4333 * 4
    tracemalloc.start()
    try:
        signal = ImageSignal.open(data_folder / "images/large/albert_3250x4333.jpg")
        opened, opening_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        values = signal.pixel_values(indices)
        sampled = signal.sample(signal.pixel_coords(indices))
        strips = [signal.rows(row, row + 64).mean() for row in range(0, 4269, 64)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert signal.pixels.dtype == np.uint8
    assert (signal.width, signal.height, signal.num_channels) == (3250, 4333, 1)
    assert opening_peak < 0.6 * floats
    assert peak - opened < 0.25 * floats
    assert values.mean().item() == pytest.approx(float(np.mean(strips)), abs=0.01)
    torch.testing.assert_close(values, sampled, atol=2e-3, rtol=0)


@pytest.mark.parametrize("number", ["01", "05", "19"])
def test_photographs_are_those_that_pillow_sees(data_folder: Path, number: str):
    path = data_folder / "images" / "kodak" / f"kodim{number}.png"
    signal = ImageSignal.open(path)
    with Image.open(path) as image:
        assert np.array_equal(signal.pixels, np.asarray(image))
