"""Inputs of MulFAGrid's lookup for its tests, and how implementations are compared."""

from typing import NamedTuple

import torch
from torch import Tensor

from tangrid.ops.contract import (
    ImplementationName,
    implementation,
    used_implementations,
)
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.mulfa_lookup import FilterKernel, KernelSettings, mulfa_lookup
from tangrid.seeding import generator
from tests.ops.comparison import assert_close
from tests.ops.grid_cases import UGLY, random_points

CPU = torch.device("cpu")
FAITHFUL = ("sum", "signed_eps")
"""Normalisers that divide by a sum of any sign."""
AFFINE = (
    "sum",
    "signed_eps",
    "softmax",
    "lin_softmax",
    "lin_residual",
    "lin_centred",
)
"""Normalisers whose weights sum to one, or nearly so."""


class Case(NamedTuple):
    """Inputs of one lookup and the gradient that comes back to its output."""

    layout: GridLayout
    settings: KernelSettings
    coords: Tensor
    table: Tensor
    kernel: FilterKernel
    upstream: Tensor

    def double(self) -> "Case":
        kernel = FilterKernel(*(tensor.double() for tensor in self.kernel))
        tensors = (self.coords.double(), self.table.double())
        return Case(*self[:2], *tensors, kernel, self.upstream.double())

    def to(self, device: torch.device) -> "Case":
        kernel = FilterKernel(*(tensor.to(device) for tensor in self.kernel))
        tensors = (self.coords.to(device), self.table.to(device))
        return Case(*self[:2], *tensors, kernel, self.upstream.to(device))


def case_of(
    dims: int = 2,
    *,
    channels: int = 2,
    outputs: int | None = None,
    gates: int = 8,
    layers: int = 1,
    num_frequencies: int = 3,
    normaliser: str = "lin_add",
    units: str = "grid",
    coords: Tensor | None = None,
    frequency: float = 1.0,
    **grid: object,
) -> Case:
    """Three levels, the finest of them hashed, with a kernel of unlike parameters."""
    settings = {"num_levels": 3, "base_resolution": 4, "growth": 1.7}
    settings |= {"log2_table_size": max(2 * dims, 3)} | grid
    layout = grid_layout(num_dims=dims, **settings)
    source = generator(0, "mulfa", dims, channels, gates, layers)
    outputs = channels if outputs is None else outputs

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    coords = random_points(UGLY, dims) if coords is None else coords
    levels, inputs = len(layout.levels), 2 * dims * num_frequencies
    # Away from the poles, where no two ways of rounding agree.
    safe = normaliser in FAITHFUL
    kernel = FilterKernel(
        projection=normal(levels, gates, inputs) / inputs**0.5,
        hidden=normal(levels, layers - 1, gates, gates) * (2 / gates) ** 0.5,
        biases=normal(levels, layers, gates) * 0.3,
        frequencies=normal(levels, layers, dims, gates).double() * frequency,
        phases=normal(levels, layers, gates) * 3,
        mix=normal(levels, outputs, gates) * (0.1 if safe else 0.5) / gates**0.5,
        offset=normal(levels, outputs) * 0.1 + float(safe),
    )
    return Case(
        layout,
        KernelSettings(
            num_frequencies=num_frequencies, normaliser=normaliser, units=units
        ),
        coords,
        normal(layout.num_rows, channels),
        kernel,
        normal(len(coords), levels * channels),
    )


def read(case: Case) -> Tensor:
    return mulfa_lookup(
        case.coords, case.table, case.kernel, case.layout, case.settings
    )


def results(case: Case) -> dict[str, Tensor]:
    """Values and all gradients by name, in the current implementation."""
    tensors = (case.coords, case.table, *case.kernel)
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    values = read(
        case._replace(
            coords=leaves[0], table=leaves[1], kernel=FilterKernel(*leaves[2:])
        )
    )
    grads = torch.autograd.grad(values, leaves, case.upstream, materialize_grads=True)
    names = ("coords", "table", *FilterKernel._fields)
    return {"values": values.detach(), **dict(zip(names, grads, strict=True))}


def results_in(
    name: ImplementationName, case: Case, device: torch.device
) -> dict[str, Tensor]:
    """Results of an implementation that runs on a device, back from there."""
    with implementation(name):
        found = results(case.to(device))
    assert used_implementations()["mulfa_lookup"] == name
    return {name: value.cpu() for name, value in found.items()}


def assert_parity(
    case: Case,
    name: ImplementationName = "numba",
    device: torch.device = CPU,
) -> None:
    """The implementation's values and all gradients are the reference's."""
    found = results_in(name, case, device)
    with implementation("reference"):
        expected = results(case)
    if case.settings.normaliser in AFFINE:
        # Terms that cancel, all of them or nearly: only their sizes can be compared.
        error = (found.pop("offset") - expected.pop("offset")).abs().max()
        assert error <= 1e-4 * expected["mix"].abs().max() + 1e-6
    assert_close(found, expected)


def strided(tensor: Tensor) -> Tensor:
    """The same numbers in every second place of a longer tensor."""
    wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), torch.nan)
    wide = wide.to(tensor.dtype)
    wide[..., ::2] = tensor
    return wide[..., ::2]


def scattered_in_memory(case: Case) -> Case:
    return Case(
        *case[:2],
        strided(case.coords),
        strided(case.table),
        FilterKernel(*(strided(tensor) for tensor in case.kernel)),
        strided(case.upstream),
    )
