"""The conformance suite of radiance fields: density and colour, check by check.

Most checks are those of every component, on density and colour side by side: every
place is seen from one point outside the box, so that derivatives by the place pass
through the direction too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tangrid.conformance.components import COMPONENT_CHECKS, check_config, findings_of
from tangrid.conformance.subjects import (
    FLOAT32_TOLERANCE,
    Finding,
    components_of,
    distance,
    expect,
    points,
    weights_like,
)
from tangrid.errors import ConfigError
from tangrid.fields import Field, FieldConfig
from tangrid.fields.radiance import (
    EncodedRadianceConfig,
    RadianceField,
    RadianceFieldConfig,
)
from tangrid.notation import Coords, Values
from tangrid.seeding import generator
from tangrid.signals.site import Site

RadianceCheck = Callable[[RadianceFieldConfig], None]

_EYE = (1.7, -0.9, 2.1)
_SAMPLES = 64
_NUDGE = 0.05
"""What parameters are moved by, away from starts at which some have no effect."""


@dataclass(frozen=True, kw_only=True)
class SeenFieldConfig(FieldConfig):
    """A radiance field that is seen from one point: four values at every place."""

    radiance: RadianceFieldConfig = field(default_factory=EncodedRadianceConfig)
    """The radiance field."""

    def build(self, site: Site, generator: torch.Generator) -> "SeenField":
        """Return the field for one site.

        Args:
            site: Three coordinates.
            generator: Source of the initial values.
        """
        return SeenField(self.radiance.build(site, generator))

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return the ways of the radiance field to grow."""

        def seen(family: Callable[[float], FieldConfig]) -> Callable:
            return lambda size: SeenFieldConfig(radiance=family(size))  # pyright: ignore[reportArgumentType]

        return tuple(seen(family) for family in self.radiance.families())


class SeenField(Field):
    """Return the density of a radiance field, and its colour from one point.

    Args:
        radiance: The radiance field.
    """

    num_dims = 3
    num_channels = 4

    def __init__(self, radiance: RadianceField) -> None:
        super().__init__()
        self.radiance = radiance
        self.stops_gradients = radiance.stops_gradients

    def forward(self, coords: Coords) -> Values:
        """Return density, red, green and blue.

        Args:
            coords: Points in the unit box.
        """
        density, hidden = self.radiance.density(coords)
        views = self.radiance.encode_directions(directions_to(coords))
        colour = self.radiance.colour(hidden, views)
        return torch.cat((density[:, None], colour), dim=1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the groups of the radiance field."""
        return self.radiance.parameter_groups()


def directions_to(coords: Coords) -> Tensor:
    """Return the directions in which places are seen from a point outside the box.

    Args:
        coords: Points in the unit box.
    """
    offsets = coords - torch.tensor(_EYE, dtype=coords.dtype)
    return offsets / offsets.square().sum(1, keepdim=True).sqrt()


def check_values(config: RadianceFieldConfig) -> None:
    """Densities are not negative, colours are from 0 to 1, and hidden features as said.

    Args:
        config: Settings of the field.
    """
    for built in components_of(config):
        component = _radiance(built)
        for count in (_SAMPLES, 1, 0):
            coords = points(3, count)
            density, hidden = component.density(coords)
            views = component.encode_directions(directions_to(coords))
            colour = component.colour(hidden, views)
            shapes = (density.shape, hidden.shape, len(views), colour.shape)
            wanted = ((count,), (count, component.num_hidden), count, (count, 3))
            expect(shapes == wanted, "shapes", wanted, shapes)
            positive = bool((density >= 0).all())
            expect(positive, "density", "no negative numbers", "some")
            inside = bool(((colour >= 0) & (colour <= 1)).all())
            expect(inside, "colour", "numbers from 0 to 1", "some outside")


def check_culling(config: RadianceFieldConfig) -> None:
    """Colours of some samples are those that they have among all.

    Args:
        config: Settings of the field.
    """
    for built in components_of(config):
        component = _radiance(built)
        coords = points(3, _SAMPLES)
        density, hidden = component.density(coords)
        views = component.encode_directions(directions_to(coords))
        kept = density > density.median()
        wanted = component.colour(hidden, views)[kept]
        found = component.colour(hidden[kept], views[kept])
        error = distance(found, wanted)
        sentence = f"others, by {error:.1e}"
        holds = error <= FLOAT32_TOLERANCE
        expect(holds, "colour of kept samples", "their colours among all", sentence)


def check_flow(config: RadianceFieldConfig) -> None:
    """Every trained parameter has an effect on density or colour.

    Args:
        config: Settings of the field.
    """
    source = generator(0, "conformance", "nudge")
    for component in components_of(SeenFieldConfig(radiance=config)):
        wide = component.double()
        trained = {n: p for n, p in wide.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for parameter in trained.values():
                parameter.add_(
                    torch.randn(parameter.shape, generator=source), alpha=_NUDGE
                )
        values = wide(points(3, _SAMPLES).double())
        grads = torch.autograd.grad(
            (values * weights_like(values)).sum(),
            list(trained.values()),
            materialize_grads=True,
        )
        for name, gradient in zip(trained, grads, strict=True):
            moves = bool((gradient != 0).any())
            expect(moves, f"gradient of {name}", "some that is not 0", "0 throughout")


def check_space(config: RadianceFieldConfig) -> None:
    """A site that is not in space is refused.

    Args:
        config: Settings of the field.
    """
    for num_dims in (2, 4):
        site = Site(num_dims=num_dims, num_channels=3)
        try:
            with torch.device("meta"):
                config.build(site, torch.Generator())
        except ConfigError:
            continue
        wanted = "a ConfigError: places of a radiance field are in space"
        expect(False, f"build in {num_dims} dimensions", wanted, "a field")


def _radiance(component: object) -> RadianceField:
    if not isinstance(component, RadianceField):
        expect(False, "build", "a RadianceField", type(component).__name__)
    return component  # pyright: ignore[reportReturnType]


def _seen(check: Callable[[FieldConfig], None]) -> RadianceCheck:
    def run(config: RadianceFieldConfig) -> None:
        check(SeenFieldConfig(radiance=config))

    run.__name__ = check.__name__
    return run


RADIANCE_CHECKS: tuple[RadianceCheck, ...] = (
    check_config,
    *(_seen(check) for check in COMPONENT_CHECKS if check is not check_config),
    check_values,
    check_culling,
    check_flow,
    check_space,
)
"""Every check; each takes the settings of a radiance field and raises what is wrong."""


def check_radiance_field(
    config: RadianceFieldConfig | type[RadianceFieldConfig],
) -> list[Finding]:
    """Run every check on a radiance field.

    Args:
        config: Its settings, or their class for the defaults.

    Returns:
        One finding per check, in the order of `RADIANCE_CHECKS`.

    Example:
        >>> from tangrid.fields.radiance import NerfConfig
        >>> small = NerfConfig(width=8, num_hidden=2, seen_again_after=1)
        >>> {finding.error for finding in check_radiance_field(small)}
        {None}
    """
    settings = config() if isinstance(config, type) else config
    return findings_of(RADIANCE_CHECKS, settings)
