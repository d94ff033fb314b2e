r"""Whether the tangent kernel of a field can move at all: the assumptions of Theorem 2.

The kernel stays where it is under gradient descent if the values are affine in the
trained parameters, :math:`f(\theta + d + e) - f(\theta + d) - f(\theta + e) + f(\theta)
= 0` for all steps d and e. This is tested with numbers, so that a field nobody has
heard of is judged as well; what is known of its structure only explains the verdict.

The kernel is that of the gradients. Under Adam what acts is a preconditioned kernel
:math:`J P_t J^\top`, which moves for every field.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn

from tangrid.decoders.mlp import Mlp
from tangrid.encodings.mulfa_grid import MulfaGrid
from tangrid.errors import ConfigError
from tangrid.fields import EncodedField, Field
from tangrid.seeding import generator as named_generator
from tangrid.tangent.kernels.subject import (
    Function,
    Inputs,
    Selection,
    Subject,
    subject_of,
)

TOLERANCE = 1e-10
"""Relative second difference in float64 above which a field is not affine.

An affine field leaves rounding, some 1e-15 times the roundings on the way; a nonlinear
one leaves far more as soon as steps are not small against what bends it.
"""
_STEP_SIZES = (1e-2, 1.0, 10.0)
"""Steps over one plus the typical size of each parameter: small ones see smooth bends,
large ones the kinks of rectifiers. A bend farther away than that is not seen."""
_NUM_POINTS = 64

Steps = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """Hold one thing that Theorem 2 needs.

    Attributes:
        statement: What has to be true.
        holds: Whether the test found it so.
        deviation: Largest relative second difference of the values that was seen.
    """

    statement: str
    holds: bool
    deviation: float

    def __str__(self) -> str:
        """Return the statement with its verdict."""
        verdict = "holds" if self.holds else "FAILS"
        return f"{verdict}: {self.statement} (deviation {self.deviation:.1e})"


@dataclass(frozen=True, kw_only=True)
class Stationarity:
    """Say whether Theorem 2 applies to a field and a choice of trained parameters.

    Attributes:
        groups: Groups of trained parameters that were looked at.
        holds: Whether the values are affine in all of them together.
        deviation: Largest relative second difference in all of them together.
        tolerance: What rounding may leave.
        assumptions: What was tested: each group alone, then each pair of groups.
        reasons: What of the field's structure is known to bend it; empty if nothing is.
    """

    groups: tuple[str, ...]
    holds: bool
    deviation: float
    tolerance: float
    assumptions: tuple[Assumption, ...]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return the verdict in words, with every assumption on a line of its own."""
        trained = " and ".join(self.groups)
        if self.holds:
            head = (
                f"Theorem 2 holds: the values are affine in {trained}, so gradient "
                "descent leaves the tangent kernel where it is."
            )
        else:
            head = (
                f"Theorem 2 does not hold: the values are not affine in {trained}, so "
                "the tangent kernel moves in training."
            )
        lines = [head, *map(str, self.assumptions)]
        lines += [f"because {reason}" for reason in self.reasons]
        return "\n  ".join(lines)


def stationarity(
    model: nn.Module | Function,
    parameters: Selection = "all",
    *,
    points: Inputs | None = None,
    generator: torch.Generator | None = None,
    num_draws: int = 2,
) -> Stationarity:
    """Return which assumption of Theorem 2 holds or fails, from a test in float64.

    Each group of parameters is moved alone, which finds nonlinear functions; then each
    pair of groups, which finds products such as features times decoder weights.

    Args:
        model: A field, a module or a callable, as `tangent_kernel` takes it.
        parameters: Which of its parameters are trained.
        points: Where values are compared; None draws 64 in the unit box of a field.
        generator: Source of points and steps; None for a fixed one.
        num_draws: Random steps for every test.

    Raises:
        ConfigError: If the choice names no trainable parameter.
        ShapeError: If the points do not fit.

    Example:
        >>> from tangrid.decoders import LinearConfig
        >>> from tangrid.encodings import FourierConfig
        >>> from tangrid.fields import EncodedFieldConfig
        >>> from tangrid.signals.site import Site
        >>> config = EncodedFieldConfig(
        ...     encoding=FourierConfig(num_frequencies=8), decoder=LinearConfig()
        ... )
        >>> field = config.build(Site(num_dims=2, num_channels=1), torch.Generator())
        >>> stationarity(field).holds
        True
    """
    source = generator or named_generator(0, "stationarity")
    subject = subject_of(model, parameters, torch.float64)
    inputs = _points(subject, points, source)
    groups = _groups(model, subject.parameters)

    def deviation(one: list[str], two: list[str]) -> float:
        return max(_second_differences(subject, inputs, one, two, source, num_draws))

    found = [
        _assumption(f"the values are affine in the {group} alone", deviation(m, m))
        for group, m in groups.items()
    ]
    for (one, members), (two, others) in combinations(groups.items(), 2):
        statement = f"nothing multiplies or bends {one} and {two} together"
        found.append(_assumption(statement, deviation(members, others)))
    together = list(subject.parameters)
    whole = deviation(together, together)
    holds = whole <= TOLERANCE and all(assumption.holds for assumption in found)
    return Stationarity(
        groups=tuple(groups),
        holds=holds,
        deviation=whole,
        tolerance=TOLERANCE,
        assumptions=tuple(found),
        reasons=() if holds else tuple(_reasons(model, set(groups))),
    )


def _points(subject: Subject, points: Inputs | None, source: torch.Generator) -> Inputs:
    if points is not None:
        convert = {"dtype": subject.dtype, "device": subject.device}
        if isinstance(points, tuple):
            return tuple(tensor.to(**convert) for tensor in points)
        return points.to(**convert)
    if subject.field is None:
        raise ConfigError(
            "stationarity(points=...): expected points, for a module or callable that "
            "is no field does not say which it takes; got None."
        )
    drawn = torch.rand(_NUM_POINTS, subject.field.num_dims, generator=source)
    return drawn.to(dtype=subject.dtype, device=subject.device)


def _groups(
    model: nn.Module | Function, chosen: Mapping[str, Tensor]
) -> dict[str, list[str]]:
    """Return the chosen parameters by group; outside of fields each is its own."""
    group_of = dict.fromkeys(chosen, "")
    if isinstance(model, Field):
        names = {id(p): name for name, p in model.named_parameters()}
        for group, members in model.parameter_groups().items():
            group_of |= {names[id(p)]: group for p in members if names[id(p)] in chosen}
    groups: dict[str, list[str]] = {}
    for name, group in group_of.items():
        groups.setdefault(group or name, []).append(name)
    return groups


def _assumption(statement: str, deviation: float) -> Assumption:
    return Assumption(
        statement=statement, holds=deviation <= TOLERANCE, deviation=deviation
    )


def _second_differences(
    subject: Subject,
    inputs: Inputs,
    one: list[str],
    two: list[str],
    source: torch.Generator,
    num_draws: int,
) -> Iterator[float]:
    """Yield second differences of the values over the values, draw by draw.

    Yields:
        0 where the values are affine, give or take rounding.
    """

    def moved(*steps: Steps) -> Tensor:
        given = dict(subject.parameters)
        for step in steps:
            given |= {name: given[name] + change for name, change in step.items()}
        with torch.no_grad():
            return subject.function(given, inputs)

    def drawn(names: list[str], size: float) -> Steps:
        # What is large bends over large steps, what is near 0 over steps of order 1.
        return {
            name: size
            * (1 + _typical(subject.parameters[name]))
            * _normal(subject.parameters[name], source)
            for name in names
        }

    for size in _STEP_SIZES:
        for _ in range(num_draws):
            first, second = drawn(one, size), drawn(two, size)
            values = torch.stack((
                moved(),
                moved(first, second),
                -moved(first),
                -moved(second),
            ))
            # By channel: a large one would hide what bends a small one.
            largest = values.abs().sum(0).amax(0)
            difference = values.sum(0).abs().amax(0)
            if not bool(torch.isfinite(largest).all()):
                yield math.inf
                continue
            yield float(torch.where(largest > 0, difference / largest, 0.0).max())


def _typical(parameter: Tensor) -> float:
    return float(parameter.double().square().mean().sqrt())


def _normal(like: Tensor, source: torch.Generator) -> Tensor:
    drawn = torch.randn(like.shape, generator=source, dtype=torch.float64)
    return drawn.to(like.device)


def _reasons(model: nn.Module | Function, groups: set[str]) -> Iterator[str]:
    """Yield what of a known field's structure bends it.

    Yields:
        Clauses that go on from "because".
    """
    if not isinstance(model, EncodedField):
        return
    decoder = model.decoder
    if isinstance(decoder, Mlp):
        hidden = len(decoder.layers) - 1
        yield (
            f"the decoder has {hidden} hidden layers with a nonlinearity, through "
            "which every gradient passes"
        )
        if decoder.output_activation != "none":
            yield f"the output passes a {decoder.output_activation}"
    elif {"grid", "decoder"} <= groups:
        yield (
            "the decoder is trained together with the features that it multiplies, "
            "and a product of two trained factors is bilinear"
        )
    if isinstance(model.encoding, MulfaGrid) and "kernel" in groups:
        yield (
            "the interpolation kernel is trained: it multiplies the features, and its "
            "waves are not linear in their own frequencies"
        )
