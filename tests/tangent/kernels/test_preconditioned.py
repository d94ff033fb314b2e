"""The kernel as Adam sees it, against J P J^T written out."""

import pytest
import torch
from torch import Tensor

from tangrid.decoders import LinearConfig
from tangrid.encodings import DenseGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.kernels.jacobian import jacobian
from tangrid.tangent.kernels.kernel import Outputs
from tangrid.tangent.kernels.preconditioned import adam_kernel
from tangrid.tangent.kernels.subject import ALL, subject_of
from tests.tolerances import PARITY_FLOAT64

RATES = {"grid": 1e-2, "decoder": 1e-3}


def field_of(config: EncodedFieldConfig, num_channels: int = 3) -> Field:
    site = Site(num_dims=2, num_channels=num_channels)
    field = config.build(site, generator(0, "init"))
    with torch.no_grad():
        # Features of 1e-4 would leave nothing of the decoder's inputs.
        for parameter in field.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator(1, "more")))
    return field


GRID = EncodedFieldConfig(
    encoding=DenseGridConfig(num_levels=2, base_resolution=4), decoder=LinearConfig()
)


def gradients(field: Field, points: Tensor) -> dict[str, Tensor]:
    subject = subject_of(field, ALL, torch.float64)
    return dict(jacobian(subject, subject.parameters, points.double()))


def term(gradient: Tensor, steps: Tensor) -> Tensor:
    """J P J^T of some parameters, with points and channels for rows."""
    rows = (gradient * steps.sqrt()).flatten(0, 1).flatten(1)
    return rows @ rows.T


def expected(field: Field, points: Tensor) -> Tensor:
    """Every entry of the table for itself; the layer by its rows and columns."""
    found = gradients(field, points)
    size = len(points) * field.num_channels
    whole = torch.zeros(size, size, dtype=torch.float64)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, gradient in found.items():
        if name.startswith("encoding."):
            squares = gradient.square().sum((0, 1))
            steps = torch.where(squares > 0, RATES["grid"] * squares.rsqrt(), 0)
            whole += term(gradient, steps)
        else:
            place, _, kind = name.rpartition(".")
            layers.setdefault(place, {})[kind] = gradient
    for parts in layers.values():
        # One layer: its outputs are the channels.
        joined = parts["weight"].unflatten(-1, (field.num_channels, -1))
        if "bias" in parts:
            joined = torch.cat([joined, parts["bias"][..., None]], -1)
        squares = joined.square().sum((0, 1))
        factored = torch.outer(squares.sum(1), squares.sum(0)) / squares.sum()
        whole += term(joined, RATES["decoder"] * factored.rsqrt())
    return whole


@pytest.mark.parametrize("outputs", ["full", "trace", 1])
def test_it_is_the_jacobian_in_units_of_adams_steps(outputs: Outputs):
    field, points = field_of(GRID), torch.rand(12, 2, generator=generator(0, "x"))
    found = adam_kernel(field, points, RATES, outputs=outputs).to_dense()
    full = expected(field, points).reshape(12, 3, 12, 3)
    wanted = {
        "full": full.reshape(36, 36),
        "trace": full.diagonal(dim1=1, dim2=3).sum(-1),
        1: full[:, 1, :, 1],
    }[outputs]
    scale = float(wanted.abs().max())
    assert float((found - wanted).abs().max()) <= PARITY_FLOAT64 * scale


def test_what_is_written_out_is_named_and_inference_mode_changes_nothing():
    field, points = field_of(GRID), torch.rand(6, 2, generator=generator(0, "x"))
    assert adam_kernel(field, points, RATES).explicit == ()
    outside = adam_kernel(field, points, RATES).to_dense()
    with torch.inference_mode():
        inside = adam_kernel(field, points, RATES)
    assert torch.equal(inside.to_dense(), outside)
    assert not inside.first[0].sites[0].cotangents.is_inference()


def test_rates_of_groups_count():
    field, points = field_of(GRID), torch.rand(6, 2, generator=generator(0, "x"))
    one = adam_kernel(field, points, RATES).to_dense()
    both = {name: 4 * rate for name, rate in RATES.items()}
    torch.testing.assert_close(adam_kernel(field, points, both).to_dense(), 4 * one)
    other = adam_kernel(field, points, RATES | {"decoder": 2e-3}).to_dense()
    assert bool((other.diagonal() > one.diagonal()).all())


def test_gradients_twice_as_large_make_a_kernel_twice_as_large():
    """Not four times: a step of Adam does not grow with its gradient."""
    field, points = field_of(GRID), torch.rand(6, 2, generator=generator(0, "x"))
    before = adam_kernel(field, points, RATES).parts
    with torch.no_grad():
        layer = next(p for n, p in field.named_parameters() if n.endswith("weight"))
        layer.mul_(2)
    after = adam_kernel(field, points, RATES).parts
    table = next(name for name in before if name.startswith("encoding"))
    torch.testing.assert_close(after[table].to_dense(), 2 * before[table].to_dense())


def test_a_group_without_a_rate_is_refused():
    field, points = field_of(GRID), torch.rand(4, 2, generator=generator(0, "x"))
    with pytest.raises(ConfigError, match="a rate for the group 'decoder'"):
        adam_kernel(field, points, {"grid": 1e-2})


def test_a_part_in_no_group_is_named(monkeypatch: pytest.MonkeyPatch):
    field, points = field_of(GRID), torch.rand(4, 2, generator=generator(0, "x"))
    groups = {"decoder": list(field.decoder.parameters())}  # pyright: ignore
    monkeypatch.setattr(field, "parameter_groups", lambda: groups)
    with pytest.raises(ConfigError, match=r"got 'encoding.*', which is in none"):
        adam_kernel(field, points, RATES)
