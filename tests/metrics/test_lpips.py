"""LPIPS is that of its authors' package, and obeys the laws of a distance.

The values of that package were made once, with lpips 0.1.4, torch 2.13.0 and
torchvision 0.28.0 in an environment of their own:

    metric = lpips.LPIPS(net=name, pnet_rand=True)
    metric.load_state_dict(seeded_tensors(name), strict=False)
    metric(found, target, normalize=True)

on the pictures of `pair`. Only the names ``lins.`` were missing, under which the same
tensors are listed a second time.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from tangrid.errors import DataError, ShapeError
from tangrid.metrics.lpips import NETWORKS, Lpips, read_lpips
from tests.metrics.lpips_weights import save_seeded, save_wrong_weights, seeded_tensors
from tests.tolerances import LPIPS_FLOAT32

GOLDEN = {
    ("alex", 33, 47): 0.09254764020442963,
    ("alex", 64, 40): 0.09871236979961395,
    ("vgg", 33, 47): 0.09015214443206787,
    ("vgg", 64, 40): 0.10085722804069519,
}


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with noise on its right half, and the same without."""
    source = np.random.default_rng(height)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = np.sin(9 * x[..., None] + 5 * y[..., None] * np.arange(1, 4))
    target = (0.5 + 0.45 * waves).astype(np.float32)
    noise = source.uniform(-0.3, 0.3, target.shape).astype(np.float32)
    noise[:, : width // 2] = 0
    return (target + noise).clip(0, 1), target


def metric_of(name: str) -> Lpips:
    tensors = seeded_tensors(name)
    return Lpips(network=NETWORKS[name], file=f"{name}.pt", tensors=tensors)


@pytest.fixture(params=sorted(NETWORKS))
def metric(request: pytest.FixtureRequest) -> Lpips:
    return metric_of(request.param)


@pytest.mark.parametrize(("name", "height", "width"), GOLDEN)
def test_it_is_that_of_the_authors(name: str, height: int, width: int):
    wanted = pytest.approx(GOLDEN[name, height, width], rel=LPIPS_FLOAT32)
    assert metric_of(name).distance(*pair(height, width)) == wanted


def test_equal_pictures_are_at_no_distance_and_others_are(metric: Lpips):
    found, target = pair(40, 32)
    assert metric.distance(target, target.copy()) == 0.0
    forth, back = metric.distance(found, target), metric.distance(target, found)
    assert forth is not None
    assert forth == back > 0
    nearer = (found + target) / 2
    between = metric.distance(nearer, target)
    assert between is not None
    assert 0 < between < forth


def test_values_are_clipped_as_by_a_screen(metric: Lpips):
    found, target = pair(32, 32)
    wide = np.where(found == 1, np.float32(1.5), found)
    assert (wide != found).any()
    assert metric.distance(wide, target) == metric.distance(found, target)
    wide[3, 4, 0] = np.nan
    assert np.isnan(metric.distance(wide, target) or 0.0)


@pytest.mark.parametrize(("name", "smallest"), [("alex", 31), ("vgg", 16)])
def test_pictures_that_are_too_small_have_none(name: str, smallest: int):
    metric = metric_of(name)
    for height, width in ((smallest, smallest), (smallest, 40), (40, smallest)):
        assert metric.distance(*pair(height, width)) is not None
    for height, width in ((smallest - 1, 40), (40, smallest - 1), (1, 1)):
        assert metric.distance(*pair(height, width)) is None


def test_no_gradient_is_kept(metric: Lpips):
    with torch.enable_grad():
        metric.distance(*pair(32, 32))
    assert not any(tensor.requires_grad for tensor in metric.tensors.values())


def test_pictures_that_cannot_be_compared_are_refused(unchecked: None):
    metric = metric_of("alex")
    found, target = pair(40, 32)
    with pytest.raises(ShapeError, match=r"lpips: expected two images of one shape"):
        metric.distance(found[1:], target)
    with pytest.raises(ShapeError, match=r"red, green and blue, got 1 channels"):
        metric.distance(found[..., :1], target[..., :1])


def test_a_file_is_read_under_both_names_of_the_last_layers(tmp_path: Path):
    tensors = seeded_tensors("alex")
    again = {
        key.replace("lin", "lins.") if key.startswith("lin") else key: tensor
        for key, tensor in tensors.items()
    }
    torch.save(tensors | again, tmp_path / "both.pt")
    torch.save(again, tmp_path / "again.pt")
    save_seeded(tmp_path / "plain.pt")
    metrics = [read_lpips(tmp_path / f"{n}.pt") for n in ("plain", "both", "again")]
    assert {metric.file for metric in metrics} == {"plain.pt", "both.pt", "again.pt"}
    assert len({metric.distance(*pair(32, 32)) for metric in metrics}) == 1
    assert len({metric.describe()["weights_hash"] for metric in metrics}) == 1


def test_networks_are_told_apart_and_described(tmp_path: Path):
    for name in NETWORKS:
        read = read_lpips(save_seeded(tmp_path / f"{name}.pt", name))
        assert read.network.name == name
        record = read.describe()
        assert len(record.pop("weights_hash")) == 16
        assert record == {"network": name, "version": "0.1", "file": f"{name}.pt"}


def test_other_weights_have_another_hash():
    tensors = seeded_tensors("alex")
    bias = tensors["net.slice5.10.bias"] * 2
    other = Lpips(
        network=NETWORKS["alex"],
        file="alex.pt",
        tensors=tensors | {"net.slice5.10.bias": bias},
    )
    assert other.describe() != metric_of("alex").describe()


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_wrong_weights(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "got a path where there is none"),
        ("hello", "got one that is damaged or holds more than tensors"),
        ("empty", "got one that is damaged or holds more than tensors"),
        ("cut", "got one that is damaged or holds more than tensors"),
        ("object", "got one that is damaged or holds more than tensors"),
        ("list", "expected tensors of LPIPS by name, got a list"),
        ("nothing", "expected tensors of LPIPS by name, got nothing"),
        ("squeeze", "with AlexNet or VGG16, got those of SqueezeNet"),
        ("last-layers", "got those of neither, such as 'lin0.model.1.weight'"),
        ("lacking", "expected LPIPS with AlexNet, got no 'lin0.model.1.weight'"),
        ("shape", "float32 (384, 192, 3, 3), got float32 (384, 64, 3, 3)"),
        ("half", "float32 (384,), got float16 (384,)"),
        ("words", "got a str as 'lin4.model.1.weight'"),
        ("more", "and nothing else, got 'net.slice6.11.weight' too"),
        ("nan", "got infinity or NaN in 'net.slice5.10.bias'"),
    ],
)
def test_other_files_are_refused(wrong: Path, name: str, words: str):
    path = wrong / f"{name}.pt"
    with pytest.raises(DataError) as refused:
        read_lpips(path)
    assert str(refused.value).startswith(f"{path}: expected ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
