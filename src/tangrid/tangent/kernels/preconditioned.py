r"""The tangent kernel as Adam sees it: every parameter in units of its own step.

Gradient descent moves a parameter by its rate times its gradient. Adam divides that by
the root of the mean square of its gradients, so that a feature that one point reads
moves as far as a weight that all points share. With the diagonal matrix

.. math::
    P_p = \eta_p \Big/ \sqrt{\textstyle\sum_{ic} (\partial f_c(x_i)/\partial\theta_p)^2}

of rates over root sums of squares, which for residuals without correlation is Adam's
own up to their size, the outputs follow :math:`\dot O \propto -J P J^\top (O - Y)`.
The sums are over the points of the kernel, and no label enters.

Structure is kept. A read of a table gets weights :math:`w_k P_{jo}^{1/2}` for every
channel of the table, which is exact where no point reads a row twice. Where two corners
of a cell share one by chance, as in a hashed table, the sum of their squares stands for
the square of their sum. A linear layer's sums of squares are taken as the product of
those over its rows and its columns (Shazeer and Stern's factored second moments), so
that its gradients stay outer products; where a layer is entered at several sites, the
squares of each are added and not those of their sum.

References:
    Kingma and Ba 2015, "Adam"; Shazeer and Stern 2018, "Adafactor: Adaptive Learning
    Rates with Sublinear Memory Cost".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.errors import ConfigError
from tangrid.fields import Field
from tangrid.notation import Coords
from tangrid.tangent.kernels.assembly import gradient_parts
from tangrid.tangent.kernels.kernel import Outputs
from tangrid.tangent.kernels.parts import Part
from tangrid.tangent.kernels.sites import GradientSite, LookupSite, OuterSite
from tangrid.tangent.kernels.structured import StructuredKernel


def adam_kernel(
    field: Field,
    coords: Coords,
    rates: Mapping[str, float],
    *,
    outputs: Outputs = "trace",
) -> StructuredKernel:
    """Return the tangent kernel of all parameters, each in units of Adam's step.

    Args:
        field: The field at its present parameters.
        coords: Points in the unit box, on the device of the field.
        rates: Learning rate of each parameter group.
        outputs: Which channels, as in `tangent_kernel`; sums of squares are over all.

    Raises:
        ConfigError: If a group has no rate.

    Example:
        >>> import tangrid
        >>> field = tangrid.build("instant-ngp", num_dims=2, num_channels=3, seed=0)
        >>> rates = {"grid": 1e-2, "decoder": 1e-3}
        >>> adam_kernel(field, torch.rand(4, 2), rates).shape
        (4, 4)
    """
    parts = in_adam_units(gradient_parts(field, coords), field, rates)
    return StructuredKernel([p.over(outputs) for p in parts], None, outputs=outputs)


def in_adam_units(
    parts: Sequence[Part], field: Field, rates: Mapping[str, float]
) -> list[Part]:
    """Return gradients in units of the steps that Adam takes.

    Args:
        parts: Gradients in all parameters of the field, for all channels; sums of
            squares are over their points.
        field: Whose they are.
        rates: Learning rate of each parameter group.

    Raises:
        ConfigError: If a group has no rate.
        ResourceError: If there is no memory for as many numbers again.
    """
    require_memory(
        sum(part.num_bytes for part in parts),
        f"in_adam_units: the factored gradients of {parts[0].num_points:,} points",
        "Take fewer.",
    )
    names = {id(p): name for name, p in field.named_parameters()}
    groups = {
        names[id(p)]: group
        for group, members in field.parameter_groups().items()
        for p in members
    }
    with torch.inference_mode(False), torch.no_grad():
        return [_scaled(part, _rate_of(part.name, groups, rates)) for part in parts]


def _rate_of(part: str, groups: Mapping[str, str], rates: Mapping[str, float]) -> float:
    place = part.split(", ", maxsplit=1)[0].split(" (", maxsplit=1)[0]
    named = (
        group
        for name, group in groups.items()
        if name == place or name.startswith(f"{place}.")
    )
    group = next(named, None)
    if group is None:
        raise ConfigError(
            f"adam_kernel: expected every part of the kernel in a group of parameters, "
            f"got '{part}', which is in none. Name it in parameter_groups()."
        )
    if group not in rates:
        raise ConfigError(
            f"adam_kernel(rates=...): expected a rate for the group '{group}', got "
            f"rates for {', '.join(rates)}. Take those that the field is trained with."
        )
    return rates[group]


def _scaled(part: Part, rate: float) -> Part:
    """Return a part whose gradients are taken in units of Adam's steps."""
    lookups = [site for site in part.sites if isinstance(site, LookupSite)]
    outers = [site for site in part.sites if isinstance(site, OuterSite)]
    sites: list[GradientSite] = [*_scaled_reads(lookups, rate)]
    sites += _scaled_layers(outers, rate)
    return replace(part, sites=tuple(sites))


def _scaled_reads(sites: list[LookupSite], rate: float) -> list[LookupSite]:
    if not sites:
        return []
    squares = [site.entries.square().sum(2).flatten(0, 1) for site in sites]
    rows = torch.cat([site.rows.flatten() for site in sites])
    nodes, places = torch.unique(rows, return_inverse=True)
    total = squares[0].new_zeros(len(nodes), squares[0].shape[1])
    total.index_add_(0, places, torch.cat(squares))
    steps = rate**0.5 * _inverse_root(total.sqrt())
    parts = places.split([site.rows.numel() for site in sites])
    return [
        replace(
            site,
            weights=site.channel_weights * steps[place.view(site.rows.shape)],
        )
        for site, place in zip(sites, parts, strict=True)
    ]


def _scaled_layers(sites: list[OuterSite], rate: float) -> list[OuterSite]:
    if not sites:
        return []
    total = torch.stack([
        s.cotangents.square().sum(1).T @ s.inputs.square() for s in sites
    ]).sum(0)
    whole = total.sum().clamp(min=torch.finfo(total.dtype).tiny)
    of_outputs = rate**0.5 * _inverse_root(total.sum(1).sqrt())
    of_inputs = _inverse_root((total.sum(0) / whole).sqrt())
    return [
        replace(s, inputs=s.inputs * of_inputs, cotangents=s.cotangents * of_outputs)
        for s in sites
    ]


def _inverse_root(numbers: Tensor) -> Tensor:
    """Return 1 / sqrt(x), 0 where x is 0: what has no gradient does not move."""
    return torch.where(numbers > 0, numbers.rsqrt(), 0.0)
