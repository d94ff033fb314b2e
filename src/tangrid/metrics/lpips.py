r"""Learned perceptual image patch similarity (LPIPS), version 0.1.

.. math::
    d(x, y) = \sum_l \frac{1}{H_l W_l} \sum_{h, w, c} w_{lc}
              (\phi_{lhwc}(x) - \phi_{lhwc}(y))^2

with features of five layers of AlexNet or VGG16, each divided by its length over the
channels, and one learned weight per channel. Nothing is downloaded: networks and
weights are read from a file that the package `lpips` of the authors has written.
"""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from tangrid.errors import DataError, ShapeError
from tangrid.metrics.strips import check_same_shape

VERSION = "0.1"
"""Version of the metric; pictures are normalised before the network sees them."""

# So long as features are not all zero it changes nothing; the authors' number.
_LEAST_LENGTH = 1e-10
_RECIPE = (
    "Where the package lpips is, torch.save(lpips.LPIPS(net='alex').state_dict(), "
    "FILE) writes one."
)
_SCALING = ("scaling_layer.shift", "scaling_layer.scale")


@dataclass(frozen=True, kw_only=True)
class _Convolution:
    """Hold one convolution, which a rectifier follows."""

    name: str
    channels: tuple[int, int]
    """Out and in."""
    size: int = 3
    stride: int = 1
    padding: int = 1
    pool: int | None = None
    """Side of the pool before it, which moves by 2."""
    is_seen: bool = False
    """Whether its features are compared."""


@dataclass(frozen=True, kw_only=True)
class LpipsNetwork:
    """Hold the layers of a network up to the last one that is compared."""

    name: str
    """What the package `lpips` calls it."""
    title: str
    """What papers call it."""
    smallest: int
    """Pixels along the shorter side of the smallest pictures that it can see."""
    layers: tuple[_Convolution, ...]

    @property
    def seen(self) -> tuple[_Convolution, ...]:
        """Layers whose features are compared."""
        return tuple(layer for layer in self.layers if layer.is_seen)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor of a file, by its name."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_SCALING, (1, 3, 1, 1))
        for layer in self.layers:
            shapes[f"{layer.name}.weight"] = (*layer.channels, layer.size, layer.size)
            shapes[f"{layer.name}.bias"] = layer.channels[:1]
        for number, layer in enumerate(self.seen):
            shapes[_weights_of(number)] = (1, layer.channels[0], 1, 1)
        return shapes


def _weights_of(number: int) -> str:
    return f"lin{number}.model.1.weight"


def _vgg_layers() -> tuple[_Convolution, ...]:
    """Return blocks of 2, 2, 3, 3 and 3 convolutions; the last of each is seen."""
    layers: list[_Convolution] = []
    before, place = 3, 0
    for block, (count, width) in enumerate(
        ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1
    ):
        for number in range(count):
            layers.append(
                _Convolution(
                    name=f"net.slice{block}.{place}",
                    channels=(width, before),
                    pool=2 if block > 1 and number == 0 else None,
                    is_seen=number == count - 1,
                )
            )
            # The file counts rectifiers and pools too.
            before, place = width, place + 2
        place += 1
    return tuple(layers)


def _alex_layers() -> tuple[_Convolution, ...]:
    def layer(name: str, out: int, into: int, **more: Any) -> _Convolution:  # noqa: ANN401
        name = f"net.slice{name}"
        return _Convolution(name=name, channels=(out, into), is_seen=True, **more)

    return (
        layer("1.0", 64, 3, size=11, stride=4, padding=2),
        layer("2.3", 192, 64, size=5, padding=2, pool=3),
        layer("3.6", 384, 192, pool=3),
        layer("4.8", 256, 384),
        layer("5.10", 256, 256),
    )


NETWORKS = {
    network.name: network
    for network in (
        LpipsNetwork(name="alex", title="AlexNet", smallest=31, layers=_alex_layers()),
        LpipsNetwork(name="vgg", title="VGG16", smallest=16, layers=_vgg_layers()),
    )
}
"""The networks that are known, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lpips:
    """Compare pictures as people would, by a network and weights from a file.

    References:
        [zhang2018]
    """

    network: LpipsNetwork
    """Which network it is."""
    file: str
    """Name of the file, without its folder."""
    tensors: Mapping[str, Tensor]
    """Its tensors, by name."""

    @torch.no_grad()
    def distance(
        self,
        reconstruction: Float32[np.ndarray, "h w c"],
        target: Float32[np.ndarray, "h w c"],
    ) -> float | None:
        """Return how far two pictures are apart.

        Args:
            reconstruction: sRGB values; clipped to [0, 1] here.
            target: The values that they should equal; clipped likewise.

        Returns:
            0 for equal pictures, NaN where a value is NaN; None for pictures that are
            too small for the network (below 31 pixels for AlexNet, 16 for VGG16).

        Raises:
            ShapeError: If they differ in shape or have other than three channels.
        """
        check_same_shape("lpips", reconstruction, target)
        if target.shape[2] != 3:
            raise ShapeError(
                "lpips: expected pictures of red, green and blue, got "
                f"{target.shape[2]} channels. Leave LPIPS out for others."
            )
        if min(target.shape[:2]) < self.network.smallest:
            return None
        # One after the other: equal pictures then have equal bits at every layer.
        pair = [self._scaled(picture) for picture in (reconstruction, target)]
        total, number = 0.0, 0
        for layer in self.network.layers:
            for index in range(2):
                pair[index] = self._after(layer, pair[index])
            if layer.is_seen:
                total += self._gap(pair[0], pair[1], number)
                number += 1
        return total

    def describe(self) -> dict[str, str]:
        """Return what a number of this metric must be read with."""
        digest = hashlib.sha256()
        for name in self.network.shapes:
            digest.update(self.tensors[name].numpy().tobytes())
        return {
            "network": self.network.name,
            "version": VERSION,
            "file": self.file,
            "weights_hash": digest.hexdigest()[:16],
        }

    def _scaled(
        self, picture: Float32[np.ndarray, "h w 3"]
    ) -> Float32[Tensor, "1 3 h w"]:
        """Return a picture from -1 to 1, its channels as the network wants them."""
        values = torch.from_numpy(picture.clip(0, 1)).permute(2, 0, 1)[None]
        shift, scale = (self.tensors[name] for name in _SCALING)
        return (2 * values - 1 - shift) / scale

    def _after(
        self, layer: _Convolution, values: Float32[Tensor, "1 i h w"]
    ) -> Float32[Tensor, "1 o v u"]:
        if layer.pool is not None:
            values = functional.max_pool2d(values, layer.pool, stride=2)
        return functional.conv2d(
            values,
            self.tensors[f"{layer.name}.weight"],
            self.tensors[f"{layer.name}.bias"],
            stride=layer.stride,
            padding=layer.padding,
        ).relu_()

    def _gap(
        self,
        found: Float32[Tensor, "1 c h w"],
        wanted: Float32[Tensor, "1 c h w"],
        number: int,
    ) -> float:
        gap = _normalised(found).sub_(_normalised(wanted)).square_()
        weighed = functional.conv2d(gap, self.tensors[_weights_of(number)])
        return float(weighed.mean(dtype=torch.float64))


def _normalised(values: Float32[Tensor, "1 c h w"]) -> Float32[Tensor, "1 c h w"]:
    return values / (values.square().sum(1, keepdim=True).sqrt() + _LEAST_LENGTH)


def read_lpips(path: str | Path) -> Lpips:
    """Return the metric whose network and weights are in a file.

    Args:
        path: What ``torch.save(lpips.LPIPS(net="alex").state_dict(), path)`` wrote, or
            the same with ``net="vgg"``.

    Returns:
        The metric. No code in the file is run.

    Raises:
        DataError: If there is no such file, it cannot be read, or anything but all
            tensors of one of the two networks is in it; the message says what.
    """
    path = Path(path).expanduser()
    state = _read_tensors(path)
    network = _network_of(path, state)
    # The package names its last layers twice.
    for number in range(len(network.seen)):
        again = state.pop(f"lins.{number}.model.1.weight", None)
        if again is not None:
            state.setdefault(_weights_of(number), again)
    _check_tensors(path, state, network)
    tensors = {name: tensor.detach() for name, tensor in state.items()}
    return Lpips(network=network, file=path.name, tensors=tensors)


def _read_tensors(path: Path) -> dict[str, Any]:
    """Return what a file holds by name, whatever that is."""
    try:
        is_there, is_folder = path.exists(), path.is_dir()
    except OSError:
        # In a folder that may not be entered; reading it tells so below.
        is_there, is_folder = True, False
    if not is_there:
        raise DataError(
            f"{path}: expected a file of LPIPS weights, got a path where there is "
            "none. Check the spelling and the folder that the path starts from."
        )
    if is_folder:
        raise DataError(
            f"{path}: expected a file of LPIPS weights, got a folder. {_RECIPE}"
        )
    try:
        with warnings.catch_warnings():
            # What it warns of are foreign files, which are refused below.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except OSError as error:
        raise DataError(
            f"{path}: expected a file of LPIPS weights, got one that cannot be read "
            f"({error.strerror or error}). Look at its permissions."
        ) from error
    except Exception as error:
        # A foreign or damaged file can make the unpickler raise anything.
        raise DataError(
            f"{path}: expected a file of LPIPS weights, got one that is damaged or "
            f"holds more than tensors. {_RECIPE}"
        ) from error
    if not isinstance(state, dict) or not state:
        raise DataError(
            f"{path}: expected tensors of LPIPS by name, got "
            f"{f'a {type(state).__name__}' if state else 'nothing'}. {_RECIPE}"
        )
    return dict(state)


def _network_of(path: Path, state: Mapping[str, Any]) -> LpipsNetwork:
    for network in NETWORKS.values():
        # Their first layers have one name, the second have not.
        if f"{network.layers[1].name}.weight" in state:
            return network
    squeezed = any(".squeeze." in str(name) for name in state)
    found = "SqueezeNet" if squeezed else f"neither, such as '{next(iter(state))}'"
    raise DataError(
        f"{path}: expected tensors of LPIPS with AlexNet or VGG16, got those of "
        f"{found}. {_RECIPE}"
    )


def _check_tensors(path: Path, state: Mapping[str, Any], network: LpipsNetwork) -> None:
    where = f"{path}: expected LPIPS with {network.title}"
    shapes = network.shapes
    for name in (*shapes, *state):
        if name not in state:
            raise DataError(f"{where}, got no '{name}'. {_RECIPE}")
        if name not in shapes:
            raise DataError(f"{where} and nothing else, got '{name}' too. {_RECIPE}")
        tensor = state[name]
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise DataError(f"{where}, got a {kind} as '{name}'. {_RECIPE}")
        if tensor.shape != shapes[name] or tensor.dtype != torch.float32:
            raise DataError(
                f"{where}, '{name}' with float32 {shapes[name]}, got "
                f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}. "
                f"{_RECIPE}"
            )
        if not tensor.isfinite().all():
            raise DataError(
                f"{where}, got infinity or NaN in '{name}'. The file is damaged: "
                "write it again."
            )
