"""What a conformance check looks at: one component, built at several sites."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from tangrid.encodings import Encoding, EncodingConfig
from tangrid.errors import ConfigError, TangridError
from tangrid.fields import Field, FieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site

Component = Encoding | Field
"""What is checked: a module that maps coordinates to columns of numbers."""
ComponentConfig = EncodingConfig | FieldConfig

SITES = (
    Site(num_dims=2, num_channels=3, resolution=(24, 16)),
    Site(num_dims=3, num_channels=1),
)
"""Where components are checked; without a signal, as when a saved field is loaded."""

FLOAT32_TOLERANCE = 1e-4
"""Two ways to compute one thing in float32 may differ by this, relative in RMS."""


class ConformanceError(TangridError):
    """A component does not do what the contract asks of it."""

    exit_code = 1


class Finding(NamedTuple):
    """What one check found.

    Attributes:
        check: Name of the check, in words.
        error: What is wrong; None if nothing is.
    """

    check: str
    error: ConformanceError | None


def expect(holds: bool, what: str, wanted: object, found: object) -> None:
    """Raise the error of a check unless a condition holds.

    Args:
        holds: The condition.
        what: What was looked at.
        wanted: What the contract asks for, in words.
        found: What there is.

    Raises:
        ConformanceError: If the condition does not hold.
    """
    if not holds:
        raise ConformanceError(f"{what}: expected {wanted}, got {found}.")


def build(config: ComponentConfig, site: Site, seed: int = 0) -> Component:
    """Return a component built as a fit builds it.

    Args:
        config: Its settings.
        site: Where it is built.
        seed: Source of the initial values.
    """
    return config.build(site, generator(seed, "init"))


def columns_of(component: Component) -> int:
    """Return how many numbers a component gives for each point.

    Args:
        component: The component.
    """
    if isinstance(component, Encoding):
        return component.num_features
    return component.num_channels


def sites_of(config: ComponentConfig) -> list[Site]:
    """Return the sites at which a component can be built.

    Args:
        config: Its settings; it may refuse a site with a `ConfigError`.

    Returns:
        At least one site.

    Raises:
        ConformanceError: If the component refuses all of them.
    """
    accepted = []
    refusals = []
    for site in SITES:
        try:
            with torch.device("meta"):
                build(config, site)
        except ConfigError as error:
            refusals.append(str(error))
        else:
            accepted.append(site)
    if not accepted:
        kind = "a field" if isinstance(config, FieldConfig) else "an encoding"
        raise ConformanceError(
            f"{type(config).__name__}.build: expected {kind} in two or three "
            f"dimensions, got refusals: {' '.join(refusals)}"
        )
    return accepted


def components_of(config: ComponentConfig, seed: int = 0) -> Iterator[Component]:
    """Yield the component at every site that it accepts.

    Args:
        config: Its settings.
        seed: Source of the initial values.

    Yields:
        A new component for each site.
    """
    for site in sites_of(config):
        yield build(config, site, seed)


def points(num_dims: int, count: int = 7, stream: str = "points") -> Tensor:
    """Return random points of the unit box.

    Args:
        num_dims: Coordinates per point.
        count: Number of points.
        stream: Name of the random stream.
    """
    return torch.rand(count, num_dims, generator=generator(0, "conformance", stream))


def corners(num_dims: int) -> Tensor:
    """Return the corners of the unit box.

    Args:
        num_dims: Coordinates per point.
    """
    numbers = torch.arange(2**num_dims)[:, None]
    return ((numbers >> torch.arange(num_dims)) & 1).float()


def weights_like(features: Tensor) -> Tensor:
    """Return fixed random weights that turn features into a scalar.

    Args:
        features: Gives the shape and the dtype.
    """
    drawn = torch.randn(features.shape, generator=generator(0, "conformance", "sum"))
    return drawn.to(features.dtype)


def distance(found: Tensor, wanted: Tensor) -> float:
    """Return the root mean square difference, relative to what is wanted.

    Args:
        found: Numbers to judge.
        wanted: Numbers to judge them by.
    """
    if wanted.numel() == 0:
        return 0.0
    exact = wanted.detach().double()
    scale = exact.square().mean().sqrt()
    error = (found.detach().double() - exact).square().mean().sqrt()
    return float(error / scale) if scale > 0 else float(error)
