"""Size a model to a number of trainable parameters."""

import math
from collections.abc import Callable

import torch
from torch import nn

from tangrid.encodings import EncodingConfig
from tangrid.errors import ConfigError
from tangrid.fields.contract import FieldConfig
from tangrid.signals.site import Site

TOLERANCE = 0.02
"""Largest relative distance from the budget that counts as meeting it."""
_BISECTIONS = 40


def num_trained(module: nn.Module) -> int:
    """Return how many trainable parameters a module has.

    Args:
        module: A field, or a part of one.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_parameters(config: EncodingConfig | FieldConfig, site: Site) -> int:
    """Return how many trainable parameters a model would have, without building it.

    Args:
        config: Settings of a field or of an encoding.
        site: Where it would be built.
    """
    with torch.device("meta"):
        return num_trained(config.build(site, torch.Generator()))


def fit_budget(config: FieldConfig, site: Site, params: int) -> FieldConfig:
    """Return the settings whose trainable parameters come nearest to a budget.

    A grid grows its finest resolution first, then its tables; a network its width. The
    first way to grow that meets the budget is taken.

    Args:
        config: Settings to start from.
        site: Where the field will be built.
        params: Wanted number of trainable parameters.

    Raises:
        ConfigError: If no size comes within 2 %.

    Example:
        >>> from tangrid.fields.siren import SirenConfig
        >>> site = Site(num_dims=2, num_channels=3)
        >>> sized = fit_budget(SirenConfig(), site, 50_000)
        >>> abs(count_parameters(sized, site) / 50_000 - 1) < 0.02
        True
    """
    reached: list[tuple[int, FieldConfig]] = []
    for family in config.families():
        low, high = family(0.0), family(1.0)
        sizes = [(count_parameters(low, site), low), (_size(high, site), high)]
        if sizes[0][0] <= params <= sizes[1][0]:
            found = _bisect(family, site, params)
            sizes.append((count_parameters(found, site), found))
        reached += [(int(size), c) for size, c in sizes if size < math.inf]
        if any(abs(count - params) <= TOLERANCE * params for count, _ in reached):
            break
    if not reached:
        raise ConfigError(
            f"--params {params}: expected a model whose size can change, got "
            f"'{config.kind}' without one. Leave --params out."
        )
    count, best = min(reached, key=lambda item: abs(item[0] - params))
    if abs(count - params) > TOLERANCE * params:
        counts = [count for count, _ in reached]
        raise ConfigError(
            f"--params {params}: expected a budget this model can meet within "
            f"{TOLERANCE:.0%}, got one whose nearest size has {count} parameters (the "
            f"model reaches from {min(counts)} to {max(counts)}). Choose another "
            "budget or change the number of levels or the decoder's width."
        )
    return best


def _size(config: FieldConfig, site: Site) -> int | float:
    """Return the number of parameters; infinity for more than the model may have."""
    try:
        return count_parameters(config, site)
    except ConfigError:
        return math.inf


def _bisect(
    family: Callable[[float], FieldConfig], site: Site, params: int
) -> FieldConfig:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _size(family(middle), site) < params:
            low = middle
        else:
            high = middle
    ends = (family(low), family(high))
    return min(ends, key=lambda c: abs(_size(c, site) - params))
