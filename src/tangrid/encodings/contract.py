"""What an encoding is: coordinates to features, and for grids the paper's three parts.

A grid model is ``g(x) = sum_{i in U(x)} phi(x, i) w_i``. The index function U is
`GridEncoding.select`, the kernel function phi is `GridEncoding.lookups`, and `combine`
joins what was read. `forward` is the same thing, fused and fast.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from tangrid.notation import Coords, Features
from tangrid.ops.tracing import untraced
from tangrid.registry import Registry
from tangrid.signals.site import Site

ENCODINGS = Registry("encoding")
"""Every encoding by its public name."""


@dataclass(frozen=True)
class Lookup:
    """One read of one table, ``z = sum_k weights_k * table[rows_k]``.

    Attributes:
        table: Name of the parameter that is read.
        rows: Which rows each point reads.
        weights: The kernel function's values, [n, k]; [n, k, f] where every channel has
            its own.
    """

    table: str
    rows: Int64[Tensor, "n k"]
    weights: Tensor

    def read(self, table: Tensor) -> Tensor:
        """Return what is read, [n, f], in plain PyTorch.

        Args:
            table: The values in every row, [rows, f].
        """
        weights = self.weights[:, :, None] if self.weights.ndim == 2 else self.weights
        return (weights * table[self.rows]).sum(1)


SizeFamily = Callable[[float], "EncodingConfig"]
"""Settings that grow with a size from 0 to 1; see `EncodingConfig.families`."""

Selection = tuple[Tensor, ...]
"""What an index function finds: integer tensors, one or more per level."""

Watcher = Callable[["Encoding", Tensor], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watching_coords(watch: Watcher) -> Iterator[None]:
    """Show every encoding and its points to a function before it is called.

    Args:
        watch: Called with both; for calls in this thread alone.
    """
    token = _watcher.set(watch)
    try:
        yield
    finally:
        _watcher.reset(token)


class Encoding(nn.Module, ABC):
    """Map coordinates to features.

    Attributes:
        num_dims: Coordinates per point (d).
        num_features: Features per point (f).
        is_piecewise_constant: Whether features change with the coordinates by jumps
            alone, so that derivatives are 0 wherever they exist and say nothing.
        stops_gradients: Whether gradients leave out parts of the derivatives on
            purpose.
    """

    num_dims: int
    num_features: int
    is_piecewise_constant: bool = False
    stops_gradients: bool = False

    @untraced
    def __call__(self, coords: Coords) -> Features:
        """Return the features of each point, after showing the points to a watcher.

        Args:
            coords: Points in the unit box.
        """
        watch = _watcher.get()
        if watch is not None:
            watch(self, coords)
        return super().__call__(coords)

    @abstractmethod
    def forward(self, coords: Coords) -> Features:
        """Return the features of each point.

        Args:
            coords: Points in the unit box.
        """

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trainable parameters by group: ``grid``, ``kernel``."""
        return {}


class GridEncoding(Encoding, ABC):
    """An encoding that reads tables; its tangent kernel follows from its lookups."""

    @abstractmethod
    def select(self, coords: Coords) -> Selection:
        """Return the nodes that each point reads (U); carries no gradient.

        Args:
            coords: Points in the unit box.
        """

    @abstractmethod
    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return the reads of all tables, differentiable in coordinates and parameters.

        Args:
            coords: Points in the unit box.
            selection: What `select` found for them.
        """

    def combine(self, reads: tuple[Tensor, ...], coords: Coords) -> Features:
        """Return the reads of all lookups joined; by default one after the other.

        Args:
            reads: One tensor [n, channels] per lookup.
            coords: Points in the unit box.
        """
        del coords
        return torch.cat(reads, dim=1)

    def read(self, lookup: Lookup) -> Tensor:
        """Return what one lookup reads, [n, channels], in plain PyTorch.

        Args:
            lookup: Rows and weights.
        """
        # Not by `get_parameter`: under torch.func a parameter is any tensor.
        return lookup.read(attrgetter(lookup.table)(self))


@dataclass(frozen=True, kw_only=True)
class EncodingConfig(ABC):
    """Settings of one encoding; ``kind`` is its registered name."""

    kind: ClassVar[str]

    @abstractmethod
    def build(self, site: Site, generator: torch.Generator) -> Encoding:
        """Return the encoding for one site.

        Args:
            site: Dimensions, channels and resolution of the signal.
            generator: Source of the initial values.
        """

    def reaching(self, finest_resolution: float) -> "EncodingConfig":
        """Return these settings with a finest resolution that suits the signal.

        The default is these settings: the encoding has no resolution.

        Args:
            finest_resolution: Vertices per axis of the finest level.
        """
        del finest_resolution
        return self

    def families(self) -> tuple[SizeFamily, ...]:
        """Return ways to change the number of parameters, the first to be tried first.

        Each maps a size from 0 to 1 to these settings with more and more parameters.
        The default is none: the encoding has no size of its own to change.
        """
        return ()
