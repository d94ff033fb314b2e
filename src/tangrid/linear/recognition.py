"""Which fields are linear in what is trained, by their parts and by their numbers."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tangrid.decoders.linear import LinearDecoder
from tangrid.decoders.sum import SumDecoder
from tangrid.encodings import Encoding
from tangrid.encodings.contract import GridEncoding
from tangrid.errors import ConfigError
from tangrid.fields import EncodedField, Field
from tangrid.notation import Coords
from tangrid.seeding import generator

_SLACK = 1e-4
"""What float32 may leave of the law of linearity, relative to the values."""
_TO_DO = (
    "Take linear-grid, fourier-linear, or a grid whose channels share fixed weights "
    "under --set field.decoder=sum; --optimizer gauss-newton is for the others."
)


def trained_names(field: Field) -> list[str]:
    """Return the names of the parameters that are trained.

    Args:
        field: The field.
    """
    return [name for name, p in field.named_parameters() if p.requires_grad]


def summed_grid(field: Field) -> GridEncoding | None:
    """Return the grid of a field that is the sum of its reads, if it is one.

    Args:
        field: The field; it may be on the device ``meta``.
    """
    if not isinstance(field, EncodedField) or not isinstance(field.decoder, SumDecoder):
        return None
    encoding = field.encoding
    if not isinstance(encoding, GridEncoding) or _trained(field.decoder):
        return None
    joins = type(encoding).combine is GridEncoding.combine
    groups = encoding.parameter_groups()
    others = [p for name, ps in groups.items() if name != "grid" for p in ps]
    is_fixed = not any(p.requires_grad for p in others)
    return encoding if joins and is_fixed and _trained(encoding) else None


def fixed_features(field: Field) -> tuple[Encoding, LinearDecoder] | None:
    """Return the features and the matrix of a field that trains the matrix alone.

    Args:
        field: The field; it may be on the device ``meta``.
    """
    if not isinstance(field, EncodedField):
        return None
    if not isinstance(field.decoder, LinearDecoder) or _trained(field.encoding):
        return None
    decoder = field.decoder
    return (field.encoding, decoder) if all(_is_trained(decoder)) else None


def check_solvable(field: Field, model: str) -> None:
    """Refuse a field of which no part says that it is linear in what is trained.

    Args:
        field: The field; it may be on the device ``meta``.
        model: Its name, for the message.

    Raises:
        ConfigError: If neither sums of a grid nor a matrix of features are all of it.
    """
    if summed_grid(field) is None and fixed_features(field) is None:
        raise ConfigError(
            "--optimizer exact: expected a model that is linear in what is trained, "
            f"got '{model}', {_words(field)}. {_TO_DO}"
        )


def check_linear(field: Field, coords: Coords) -> None:
    r"""Refuse a field whose values are not linear in what is trained.

    Two draws of all trained parameters, :math:`\theta_1` and :math:`\theta_2`, must
    give :math:`f(a\theta_1 + b\theta_2) - f(0) = a (f(\theta_1) - f(0)) + b
    (f(\theta_2) - f(0))`.

    Args:
        field: The field.
        coords: Points to try it at.

    Raises:
        ConfigError: If they do not.
    """
    own = {n: p.detach() for n, p in field.named_parameters() if p.requires_grad}
    draw = generator(0, "linear")
    first, second = (
        {name: torch.randn(p.shape, generator=draw).to(p) for name, p in own.items()}
        for _ in range(2)
    )
    a, b = 0.7, -1.3
    both = {name: a * first[name] + b * second[name] for name in own}

    def values(parameters: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return functional_call(field, parameters, (coords,)).double()

    nothing = values({name: torch.zeros_like(p) for name, p in own.items()})
    wanted = a * (values(first) - nothing) + b * (values(second) - nothing)
    error = float((values(both) - nothing - wanted).abs().max())
    size = float(wanted.abs().max())
    if not error <= _SLACK * size:
        raise ConfigError(
            "linear: expected a field that is linear in what is trained, got a "
            f"{type(field).__name__} that is not: for two draws of its parameters the "
            f"law of linearity is off by {error:.2g}, of values up to {size:.2g}. "
            f"{_TO_DO}"
        )


def _words(field: Field) -> str:
    """Return why a field is not linear, as far as its parts say."""
    if not isinstance(field, EncodedField):
        return "whose layers are products of each other's weights"
    if isinstance(field.decoder, SumDecoder):
        return "whose encoding trains more than the features that it adds up"
    if isinstance(field.decoder, LinearDecoder):
        return "which trains a matrix and the features that it multiplies"
    return "whose decoder is not linear"


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def _is_trained(module: nn.Module) -> list[bool]:
    return [p.requires_grad for p in module.parameters()]
